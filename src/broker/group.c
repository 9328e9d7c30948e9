/* broker/group.c - groups, their members and offsets, see group.h. */
#include "broker/group.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { OFFSETS_MAX = 1 << 20, PENDING_MAX = MEMBERS_MAX, EXPIRE_EVERY_MS = 600000 };

const char *broker_group_state_name(enum group_state state)
{
    static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance",
                                        "Stable", "Dead"};
    return names[state];
}

/* ---- groups ---------------------------------------------------------------------------------- */

struct group *broker_group_find(const struct weir_broker *broker, struct weir_slice id)
{
    return id.data ? weir_map_get(&broker->groups, id) : NULL;
}

/* The rebalance took too long, or the initial delay is over. */
static void on_rebalance_time(struct weir_loop_timer *timer);

struct group *broker_group_find_or_make(struct weir_broker *broker, struct weir_slice id)
{
    struct group *group = broker_group_find(broker, id);
    if (group)
        return group;
    group = weir_calloc(1, sizeof *group);
    if (!group)
        return NULL;
    group->id = weir_strndup(id.data, id.bytes);
    if (!group->id || weir_map_put(&broker->groups, id, group) != WEIR_OK) {
        weir_free(group->id);
        weir_free(group);
        return NULL;
    }
    group->broker = broker;
    group->empty_since_ms = weir_clock_wall_ms(broker->clock);
    weir_map_init(&group->pending, PENDING_MAX);
    weir_map_init(&group->offsets, OFFSETS_MAX);
    weir_loop_timer_init(broker->loop, &group->rebalance, on_rebalance_time);
    group->rebalance.opaque = group;
    atomic_fetch_add(&broker->stats.groups, 1);
    return group;
}

static void committed_free(struct committed *committed)
{
    weir_free(committed->metadata);
    weir_free(committed);
}

/* An id that was given out to a client that is not a member yet. */
struct pending {
    struct group *group;
    char *id;
    struct weir_loop_timer timer;
};

static void pending_free(struct pending *pending)
{
    weir_loop_timer_stop(&pending->timer);
    weir_free(pending->id);
    weir_free(pending);
}

static void on_pending_end(struct weir_loop_timer *timer)
{
    struct pending *pending = timer->opaque;
    struct group *group = pending->group;
    weir_map_remove(&group->pending, weir_slice(pending->id, strlen(pending->id)), NULL);
    pending_free(pending);
    broker_group_maybe_complete(group); /* nobody waits for it any more */
    broker_connections_settle(group->broker);
}

bool broker_pending_add(struct group *group, const char *id, int32_t timeout_ms)
{
    struct pending *pending = weir_calloc(1, sizeof *pending);
    if (!pending)
        return false;
    pending->group = group;
    pending->id = weir_strdup(id);
    weir_loop_timer_init(group->broker->loop, &pending->timer, on_pending_end);
    pending->timer.opaque = pending;
    if (pending->id && weir_loop_timer_start(&pending->timer, timeout_ms, 0) == WEIR_OK &&
        weir_map_put_text(&group->pending, id, pending) == WEIR_OK)
        return true;
    pending_free(pending);
    return false;
}

bool broker_pending_take(struct group *group, struct weir_slice id)
{
    union weir_map_value old;
    if (!id.data || !weir_map_remove(&group->pending, id, &old))
        return false;
    pending_free(old.pointer);
    return true;
}

static void group_free(struct group *group)
{
    weir_loop_timer_stop(&group->rebalance);
    while (group->members)
        broker_member_remove(group->members);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&group->offsets, e)) != NULL;)
        committed_free(e->value.pointer);
    weir_map_release(&group->offsets);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&group->pending, e)) != NULL;)
        pending_free(e->value.pointer);
    weir_map_release(&group->pending);
    weir_free(group->protocol_type);
    weir_free(group->protocol);
    weir_free(group->id);
    weir_free(group);
}

void broker_group_forget(struct weir_broker *broker, struct weir_slice id)
{
    union weir_map_value old;
    if (!id.data || !weir_map_remove(&broker->groups, id, &old))
        return;
    group_free(old.pointer);
    atomic_fetch_sub(&broker->stats.groups, 1);
}

/* Is nobody using what a group has committed for this topic, and since when not? (KIP-211) */
static bool is_unused(const struct group *group, struct weir_slice topic,
                      const struct committed *committed, int64_t *since_ms)
{
    *since_ms = committed->timestamp_ms;
    if (group->state == GROUP_EMPTY) {
        if (*since_ms < group->empty_since_ms)
            *since_ms = group->empty_since_ms;
        return true;
    }
    return group->state == GROUP_STABLE && broker_group_is_of_consumers(group) &&
           !broker_group_subscribes(group, topic);
}

static void expire_offsets(struct group *group, int64_t now_ms)
{
    int64_t retention_ms = group->broker->options.offsets_retention_ms, since_ms;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&group->offsets, e)) != NULL;) {
        struct weir_slice topic = weir_slice(e->key, strlen(e->key));
        struct weir_error error = {.code = WEIR_OK};
        char name[TOPIC_NAME_BYTES_MAX + 1];
        int32_t partition;
        if (!is_unused(group, topic, e->value.pointer, &since_ms) ||
            now_ms - since_ms < retention_ms)
            continue;
        memcpy(&partition, e->key + topic.bytes + 1, sizeof partition);
        snprintf(name, sizeof name, "%s", e->key); /* the entry goes */
        if (broker_group_forget_offset(group, weir_slice(name, topic.bytes), partition, &error) !=
            WEIR_OK) {
            weir_log(&group->broker->options.log, WEIR_LOG_ERROR, "broker",
                     "an expired offset of group %s can't be removed: %s", group->id,
                     error.message);
            return;
        }
    }
}

void broker_groups_maintain(struct weir_broker *broker)
{
    int64_t now_ms = weir_clock_wall_ms(broker->clock);
    int64_t since_ms = weir_clock_now_ms(broker->clock) - broker->offsets_checked_ms;
    if (since_ms < EXPIRE_EVERY_MS)
        return;
    broker->offsets_checked_ms += since_ms;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->groups, e)) != NULL;) {
        struct group *group = e->value.pointer;
        expire_offsets(group, now_ms);
        if (!group->members && !weir_map_count(&group->pending) && !weir_map_count(&group->offsets))
            broker_group_forget(broker, weir_slice(e->key, e->key_bytes));
    }
}

void broker_groups_forget_topic(struct weir_broker *broker, struct weir_slice topic)
{
    for (struct weir_map_entry *g = NULL; (g = weir_map_next(&broker->groups, g)) != NULL;) {
        struct group *group = g->value.pointer;
        for (struct weir_map_entry *e = NULL; (e = weir_map_next(&group->offsets, e)) != NULL;) {
            struct committed *committed = e->value.pointer;
            if (strlen(e->key) != topic.bytes || memcmp(e->key, topic.data, topic.bytes) != 0)
                continue;
            weir_map_remove(&group->offsets, weir_slice(e->key, e->key_bytes), NULL);
            committed_free(committed);
        }
    }
}

void broker_groups_close(struct weir_broker *broker)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&broker->groups, e)) != NULL;)
        group_free(e->value.pointer);
    weir_map_release(&broker->groups);
}

/* ---- members --------------------------------------------------------------------------------- */

struct member *broker_group_member(const struct group *group, struct weir_slice id)
{
    for (struct member *at = group->members; id.data && at; at = at->next)
        if (weir_slice_equal(id, weir_slice(at->id, strlen(at->id))))
            return at;
    return NULL;
}

struct member *broker_group_instance(const struct group *group, struct weir_slice instance_id)
{
    for (struct member *at = group->members; instance_id.data && at; at = at->next)
        if (at->instance_id &&
            weir_slice_equal(instance_id, weir_slice(at->instance_id, strlen(at->instance_id))))
            return at;
    return NULL;
}

static void on_session_end(struct weir_loop_timer *timer)
{
    struct member *member = timer->opaque;
    struct group *group = member->group;
    if (member->waiting) { /* it is we who keep it waiting: the rebalance's own time-out counts */
        broker_member_touch(member);
        return;
    }
    weir_log(&group->broker->options.log, WEIR_LOG_INFO, "broker",
             "group %s: member %s was not heard of for %d ms and is removed", group->id, member->id,
             (int)member->session_timeout_ms);
    broker_member_remove(member);
    broker_group_member_left(group);
    broker_connections_settle(group->broker);
}

/* As Kafka shows it: a slash, and the address without its port. */
static char *host_of(const char *peer)
{
    const char *colon = strrchr(peer, ':');
    struct weir_slice host = weir_slice(peer, colon ? (size_t)(colon - peer) : strlen(peer));
    char text[WEIR_NET_TEXT_MAX + 1];
    int length = snprintf(text, sizeof text, "/%.*s", (int)host.bytes, (const char *)host.data);
    return weir_strndup(text, (size_t)length);
}

struct member *broker_member_new(struct group *group, const char *id, struct weir_slice instance_id,
                                 struct connection *connection)
{
    if (group->member_count >= MEMBERS_MAX)
        return NULL;
    struct member *member = weir_calloc(1, sizeof *member);
    if (!member)
        return NULL;
    struct weir_slice client = connection->head.client_id;
    member->group = group;
    member->id = weir_strdup(id);
    member->client_id = weir_strndup(client.data ? client.data : "", client.bytes);
    member->client_host = host_of(connection->peer);
    if (instance_id.data)
        member->instance_id = weir_strndup(instance_id.data, instance_id.bytes);
    weir_loop_timer_init(group->broker->loop, &member->session, on_session_end);
    member->session.opaque = member;
    struct member **at = &group->members;
    while (*at)
        at = &(*at)->next; /* in order of joining */
    *at = member;
    group->member_count++;
    if (!group->leader)
        group->leader = member;
    if (!member->id || !member->client_id || !member->client_host ||
        (instance_id.data && !member->instance_id)) {
        broker_member_remove(member);
        return NULL;
    }
    return member;
}

static void free_protocols(struct member *member)
{
    for (uint32_t i = 0; i < member->protocol_count; i++) {
        weir_free(member->protocols[i].name);
        weir_free(member->protocols[i].metadata);
    }
    weir_free(member->protocols);
    member->protocols = NULL;
    member->protocol_count = 0;
}

void broker_member_remove(struct member *member)
{
    struct group *group = member->group;
    struct member **at = &group->members;
    broker_answer_waiting(member, WIRE_UNKNOWN_MEMBER_ID);
    while (*at != member)
        at = &(*at)->next;
    *at = member->next;
    group->member_count--;
    if (group->leader == member)
        group->leader = group->members;
    weir_loop_timer_stop(&member->session);
    free_protocols(member);
    weir_free(member->assignment);
    weir_free(member->id);
    weir_free(member->instance_id);
    weir_free(member->client_id);
    weir_free(member->client_host);
    weir_free(member);
}

void broker_member_touch(struct member *member)
{
    if (weir_loop_timer_start(&member->session, member->session_timeout_ms, 0) != WEIR_OK)
        weir_log(&member->group->broker->options.log, WEIR_LOG_ERROR, "broker",
                 "group %s: no timer for a session", member->group->id);
}

void broker_group_connection_gone(struct connection *connection)
{
    struct member *member = connection->member;
    member->waiting = NULL; /* it stays a member until its session ends */
    connection->member = NULL;
    if (member->session_timeout_ms > 0)
        broker_member_touch(member);
}

const struct protocol *broker_member_protocol(const struct member *member, const char *name)
{
    for (uint32_t i = 0; i < member->protocol_count; i++)
        if (strcmp(member->protocols[i].name, name) == 0)
            return &member->protocols[i];
    return NULL;
}

bool broker_group_all_support(const struct group *group, const struct protocol *protocol)
{
    for (const struct member *at = group->members; at; at = at->next)
        if (!broker_member_protocol(at, protocol->name))
            return false;
    return true;
}

static void on_rebalance_time(struct weir_loop_timer *timer)
{
    struct group *group = timer->opaque;
    struct weir_broker *broker = group->broker;
    if (group->state == GROUP_PREPARING) {
        if (group->initial_delay && broker_group_prolong_delay(group))
            return;
        for (struct member *at = group->members, *next; at && !group->initial_delay; at = next) {
            next = at->next;
            if (!at->joined && !at->instance_id)
                broker_member_remove(at); /* static members stay until their session ends */
        }
        group->initial_delay = false;
        broker_group_maybe_complete(group);
    } else if (group->state == GROUP_COMPLETING) {
        broker_group_prepare(group); /* the leader has sent no assignment */
    }
    broker_connections_settle(broker);
}

/* ---- offsets --------------------------------------------------------------------------------- */

enum { KEY_BYTES_MAX = TOPIC_NAME_BYTES_MAX + 1 + 4 };

static struct weir_slice key_of(struct weir_slice topic, int32_t partition,
                                uint8_t key[KEY_BYTES_MAX])
{
    memcpy(key, topic.data, topic.bytes);
    key[topic.bytes] = 0;
    memcpy(key + topic.bytes + 1, &partition, sizeof partition);
    return weir_slice(key, topic.bytes + 1 + sizeof partition);
}

void broker_group_drop_offset(struct group *group, struct weir_slice topic, int32_t partition)
{
    uint8_t key[KEY_BYTES_MAX];
    union weir_map_value old;
    if (topic.data && topic.bytes <= TOPIC_NAME_BYTES_MAX &&
        weir_map_remove(&group->offsets, key_of(topic, partition, key), &old))
        committed_free(old.pointer);
}

enum weir_err broker_group_forget_offset(struct group *group, struct weir_slice topic,
                                         int32_t partition, struct weir_error *error)
{
    if (!broker_group_committed(group, topic, partition))
        return WEIR_NOT_FOUND;
    enum weir_err err = broker_journal_forget_offset(
        group->broker, weir_slice(group->id, strlen(group->id)), topic, partition, error);
    if (err == WEIR_OK)
        broker_group_drop_offset(group, topic, partition);
    return err;
}

struct committed *broker_group_committed(const struct group *group, struct weir_slice topic,
                                         int32_t partition)
{
    uint8_t key[KEY_BYTES_MAX];
    if (!topic.data || topic.bytes > TOPIC_NAME_BYTES_MAX)
        return NULL;
    return weir_map_get(&group->offsets, key_of(topic, partition, key));
}

enum weir_err broker_group_store(struct group *group, struct weir_slice topic, int32_t partition,
                                 const struct committed *committed)
{
    uint8_t key[KEY_BYTES_MAX];
    struct weir_map_entry *entry;
    bool added;
    if (topic.bytes > TOPIC_NAME_BYTES_MAX)
        return WEIR_LIMIT;
    struct committed *copy = weir_alloc(sizeof *copy);
    char *metadata = weir_strdup(committed->metadata ? committed->metadata : "");
    enum weir_err err =
        copy && metadata
            ? weir_map_add(&group->offsets, key_of(topic, partition, key), &entry, &added)
            : WEIR_NOMEM;
    if (err != WEIR_OK) {
        weir_free(copy);
        weir_free(metadata);
        return err;
    }
    *copy = *committed;
    copy->metadata = metadata;
    if (!added)
        committed_free(entry->value.pointer);
    entry->value.pointer = copy;
    return WEIR_OK;
}

void broker_group_each_committed(const struct group *group,
                                 void (*each)(void *opaque, struct weir_slice topic,
                                              int32_t partition, const struct committed *committed),
                                 void *opaque)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&group->offsets, e)) != NULL;) {
        size_t topic_bytes = strlen(e->key);
        int32_t partition;
        memcpy(&partition, e->key + topic_bytes + 1, sizeof partition);
        each(opaque, weir_slice(e->key, topic_bytes), partition, e->value.pointer);
    }
}
