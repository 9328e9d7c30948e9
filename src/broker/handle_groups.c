/* broker/handle_groups.c - FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/digest.h"
#include "broker/group.h"

enum {
    PROTOCOLS_MAX = 64,
    MEMBER_ID_BYTES = 300,
};

bool broker_group_id_valid(struct weir_slice id)
{
    return id.bytes > 0 && id.bytes <= GROUP_ID_BYTES_MAX && !memchr(id.data, 0, id.bytes);
}

/* ---- FindCoordinator ------------------------------------------------------------------------- */

enum { KEY_GROUP = 0, KEY_TRANSACTION = 1 };

static bool is_coordinated(int8_t kind, struct weir_slice key)
{
    return (kind == KEY_GROUP || kind == KEY_TRANSACTION) && key.data;
}

/* We are it. */
static void put_coordinator(struct request *request, bool ok)
{
    if (ok) {
        broker_put_address(request);
        return;
    }
    wire_put_i32(&request->out, -1);
    wire_put_text(&request->out, "");
    wire_put_i32(&request->out, -1);
}

static void put_coordinator_error(struct wire_writer *out, int16_t version, bool ok)
{
    wire_put_i16(out, ok ? WIRE_NONE : WIRE_INVALID_REQUEST);
    if (version >= 1)
        wire_put_text(out, ok ? NULL : "only groups and transactions have a coordinator");
}

/* Version 4 and later: many keys at once (KIP-699). */
static enum handled find_coordinators(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int8_t kind = wire_i8(in);
    int32_t count = wire_array(in, 1);
    wire_put_i32(out, 0);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count && !in->failed; i++) {
        struct weir_slice key = wire_string(in);
        bool ok = is_coordinated(kind, key);
        wire_put_string(out, key.data ? key : weir_slice("", 0));
        put_coordinator(request, ok);
        put_coordinator_error(out, request->head.version, ok);
        wire_put_tags(out);
    }
    wire_tags(in);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

enum handled broker_handle_find_coordinator(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_writer *out = &request->out;
    if (version >= 4)
        return find_coordinators(request);
    struct weir_slice key = wire_string(&request->in);
    int8_t kind = version >= 1 ? wire_i8(&request->in) : 0;
    wire_tags(&request->in);
    bool ok = is_coordinated(kind, key);
    if (version >= 1)
        wire_put_i32(out, 0);
    put_coordinator_error(out, version, ok);
    put_coordinator(request, ok);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- JoinGroup ------------------------------------------------------------------------------- */

struct join {
    struct weir_slice group_id, member_id, instance_id, protocol_type;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    struct weir_slice names[PROTOCOLS_MAX], metadata[PROTOCOLS_MAX];
    int32_t protocol_count;
};

static void read_join(struct request *request, struct join *join)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    join->group_id = wire_string(in);
    join->session_timeout_ms = wire_i32(in);
    join->rebalance_timeout_ms = version >= 1 ? wire_i32(in) : join->session_timeout_ms;
    join->member_id = wire_string(in);
    join->instance_id = version >= 5 ? wire_string(in) : weir_slice(NULL, 0);
    join->protocol_type = wire_string(in);
    join->protocol_count = wire_array(in, 2);
    if (join->protocol_count > PROTOCOLS_MAX)
        in->failed = true;
    for (int32_t i = 0; i < join->protocol_count && !in->failed; i++) {
        join->names[i] = wire_string(in);
        join->metadata[i] = wire_bytes(in);
        wire_tags(in);
        in->failed |= !join->names[i].data || !join->metadata[i].data;
    }
    if (version >= 8)
        wire_string(in); /* the client's reason (KIP-800), for logs */
    wire_tags(in);
}

static enum handled refuse_join(struct request *request, enum wire_error error,
                                const char *member_id)
{
    int16_t version = request->head.version;
    struct wire_writer *out = &request->out;
    if (version >= 2)
        wire_put_i32(out, 0);
    wire_put_i16(out, (int16_t)error);
    wire_put_i32(out, -1);
    if (version >= 7)
        wire_put_text(out, NULL);
    wire_put_text(out, version >= 7 ? NULL : "");
    wire_put_text(out, "");
    if (version >= 9)
        wire_put_bool(out, false); /* skip assignment */
    wire_put_text(out, member_id);
    wire_put_array(out, 0);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* "<client id>-<32 hex digits>", as Kafka makes them. */
static void make_member_id(const struct request *request, struct weir_slice instance_id,
                           char id[MEMBER_ID_BYTES])
{
    uint8_t random[16];
    char hex[33];
    struct weir_slice stem = instance_id.data ? instance_id : request->head.client_id;
    weir_assert(getrandom(random, sizeof random, 0) == (ssize_t)sizeof random);
    weir_hex_encode(random, sizeof random, hex);
    snprintf(id, MEMBER_ID_BYTES, "%.*s-%s", stem.bytes > 200 ? 200 : (int)stem.bytes,
             stem.data ? (const char *)stem.data : "", hex);
}

/* Replaces the member's protocols. False: no memory. */
static bool set_protocols(struct member *member, const struct join *join)
{
    size_t count = (size_t)join->protocol_count;
    struct protocol *protocols = weir_calloc(count ? count : 1, sizeof *protocols);
    bool ok = protocols != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        protocols[i].name = weir_strndup(join->names[i].data, join->names[i].bytes);
        protocols[i].metadata = weir_strndup(join->metadata[i].data, join->metadata[i].bytes);
        protocols[i].metadata_bytes = join->metadata[i].bytes;
        ok = protocols[i].name && protocols[i].metadata;
    }
    struct protocol *gone = ok ? member->protocols : protocols;
    size_t gone_count = ok ? member->protocol_count : protocols ? count : 0;
    for (size_t i = 0; i < gone_count; i++) {
        weir_free(gone[i].name);
        weir_free(gone[i].metadata);
    }
    weir_free(gone);
    if (ok) {
        member->protocols = protocols;
        member->protocol_count = (uint32_t)count;
    }
    return ok;
}

static bool same_protocols(const struct member *member, const struct join *join)
{
    bool same = member->protocol_count == (uint32_t)join->protocol_count;
    for (uint32_t i = 0; same && i < member->protocol_count; i++) {
        const struct protocol *known = &member->protocols[i];
        same =
            weir_slice_equal(weir_slice(known->name, strlen(known->name)), join->names[i]) &&
            weir_slice_equal(weir_slice(known->metadata, known->metadata_bytes), join->metadata[i]);
    }
    return same;
}

/* Can this member live with the others? */
static bool is_compatible(const struct group *group, const struct join *join)
{
    if (!join->protocol_count || !join->protocol_type.bytes)
        return false;
    if (!group->members || !group->protocol_type)
        return true;
    if (!weir_slice_equal(join->protocol_type,
                          weir_slice(group->protocol_type, strlen(group->protocol_type))))
        return false;
    for (int32_t i = 0; i < join->protocol_count; i++) {
        char name[256];
        snprintf(name, sizeof name, "%.*s",
                 join->names[i].bytes > 255 ? 255 : (int)join->names[i].bytes,
                 (const char *)join->names[i].data);
        struct protocol protocol = {.name = name};
        if (broker_group_all_support(group, &protocol))
            return true;
    }
    return false;
}

/* Finds or makes the member that joins; NULL with *error set, and an id for the answer. */
static struct member *find_joining(struct request *request, struct group *group,
                                   const struct join *join, enum wire_error *error,
                                   char id[MEMBER_ID_BYTES])
{
    struct member *instance = broker_group_instance(group, join->instance_id);
    snprintf(id, MEMBER_ID_BYTES, "%.*s",
             join->member_id.bytes > 299 ? 299 : (int)join->member_id.bytes,
             join->member_id.data ? (const char *)join->member_id.data : "");
    *error = WIRE_NONE;
    if (join->member_id.bytes) {
        struct member *member = broker_group_member(group, join->member_id);
        if (join->instance_id.data && instance && instance != member) {
            *error = WIRE_FENCED_INSTANCE_ID;
            return NULL;
        }
        if (!member && broker_pending_take(group, join->member_id))
            member = broker_member_new(group, id, join->instance_id, request->connection);
        if (!member)
            *error = WIRE_UNKNOWN_MEMBER_ID;
        return member;
    }
    make_member_id(request, join->instance_id, id);
    if (instance) { /* the static member has come back: its old self is fenced */
        char *copy = weir_strdup(id);
        if (!copy) {
            *error = WIRE_UNKNOWN_SERVER_ERROR;
            return NULL;
        }
        broker_answer_waiting(instance, WIRE_FENCED_INSTANCE_ID);
        weir_free(instance->id);
        instance->id = copy;
        return instance;
    }
    if (request->head.version >= 4 && !join->instance_id.data) {
        bool kept = broker_pending_add(group, id, join->session_timeout_ms);
        *error = kept ? WIRE_MEMBER_ID_REQUIRED : WIRE_GROUP_MAX_SIZE_REACHED;
        return NULL;
    }
    struct member *member = broker_member_new(group, id, join->instance_id, request->connection);
    if (!member)
        *error = WIRE_GROUP_MAX_SIZE_REACHED;
    return member;
}

/* Does this join leave the group as it is? A leader that joins again wants a new assignment. */
static bool is_settled(const struct group *group, const struct member *member,
                       const struct join *join)
{
    if (!member->joined || !same_protocols(member, join))
        return false;
    return group->state == GROUP_COMPLETING ||
           (group->state == GROUP_STABLE && group->leader != member);
}

/*
 * A static member has come back without an id of its own, and a stable group goes on as if it had
 * never been away, if the protocol stays the same. If it leads it must not assign anew: from
 * version 9 on it is told so, before that it is told that somebody else leads (KIP-814).
 */
static enum handled welcome_back(struct request *request, struct member *member, const char *old_id)
{
    int16_t version = request->head.version;
    bool leads = member->group->leader == member;
    struct join_answer answer = {.skip_assignment = leads && version >= 9,
                                 .leader_id = leads && version < 9 ? old_id : NULL};
    broker_put_join(&request->out, version, member, WIRE_NONE, &answer);
    broker_member_touch(member);
    return HANDLED_ANSWER;
}

static void wait_for_group(struct request *request, struct member *member)
{
    broker_connection_park(request->connection);
    member->waiting = request->connection;
    request->connection->member = member;
}

/* The group must come together again, and this request waits until it has. */
static enum handled join_next_generation(struct request *request, struct group *group,
                                         struct member *member)
{
    broker_group_prepare(group);
    broker_answer_waiting(member, WIRE_UNKNOWN_MEMBER_ID); /* an older request of the same member */
    weir_loop_timer_stop(&member->session); /* the rebalance time-out watches over it now */
    member->joined = true;
    wait_for_group(request, member);
    broker_group_maybe_complete(group);
    return HANDLED_PARKED;
}

static enum handled join(struct request *request, struct group *group, const struct join *join)
{
    enum wire_error error;
    char id[MEMBER_ID_BYTES], old_id[MEMBER_ID_BYTES] = "";
    if (!is_compatible(group, join))
        return refuse_join(request, WIRE_INCONSISTENT_GROUP_PROTOCOL, "");
    const struct member *instance =
        join->member_id.bytes ? NULL : broker_group_instance(group, join->instance_id);
    if (instance)
        snprintf(old_id, sizeof old_id, "%s", instance->id);
    struct member *member = find_joining(request, group, join, &error, id);
    if (!member)
        return refuse_join(request, error, id);
    member->session_timeout_ms = join->session_timeout_ms;
    member->rebalance_timeout_ms = join->rebalance_timeout_ms;
    if (!instance && is_settled(group, member, join)) {
        broker_put_join(&request->out, request->head.version, member, WIRE_NONE, NULL);
        broker_member_touch(member);
        return HANDLED_ANSWER;
    }
    if (!member->protocol_count && group->state == GROUP_PREPARING && group->generation == 0)
        group->members_came = true; /* a new one: the first rebalance waits for more like it */
    if (!set_protocols(member, join)) {
        if (!member->protocol_count) /* just made: nothing would end it */
            broker_member_remove(member);
        return refuse_join(request, WIRE_UNKNOWN_SERVER_ERROR, id);
    }
    weir_free(group->protocol_type);
    group->protocol_type = weir_strndup(join->protocol_type.data, join->protocol_type.bytes);
    if (instance && group->state == GROUP_STABLE && broker_group_keeps_protocol(group))
        return welcome_back(request, member, old_id);
    return join_next_generation(request, group, member);
}

enum handled broker_handle_join_group(struct request *request)
{
    struct join asked = {0};
    read_join(request, &asked);
    if (request->in.failed)
        return HANDLED_CLOSE;
    if (!broker_group_id_valid(asked.group_id))
        return refuse_join(request, WIRE_INVALID_GROUP_ID, "");
    if (asked.session_timeout_ms < request->broker->options.group_session_timeout_ms_min ||
        asked.session_timeout_ms > request->broker->options.group_session_timeout_ms_max)
        return refuse_join(request, WIRE_INVALID_SESSION_TIMEOUT, "");
    struct group *group = broker_group_find_or_make(request->broker, asked.group_id);
    if (!group)
        return refuse_join(request, WIRE_UNKNOWN_SERVER_ERROR, "");
    return join(request, group, &asked);
}

/* ---- SyncGroup, Heartbeat, LeaveGroup -------------------------------------------------------- */

struct member *broker_group_speaker(struct group *group, struct weir_slice member_id,
                                    struct weir_slice instance_id, int32_t generation,
                                    enum wire_error *error)
{
    struct member *member = group ? broker_group_member(group, member_id) : NULL;
    struct member *instance = group ? broker_group_instance(group, instance_id) : NULL;
    *error = WIRE_NONE;
    if (instance_id.data && instance && instance != member)
        *error = WIRE_FENCED_INSTANCE_ID;
    else if (!member)
        *error = WIRE_UNKNOWN_MEMBER_ID;
    else if (generation != -2 && generation != group->generation)
        *error = WIRE_ILLEGAL_GENERATION;
    return *error == WIRE_NONE ? member : NULL;
}

static enum handled refuse_sync(struct request *request, enum wire_error error)
{
    struct member nobody = {0};
    broker_put_sync(&request->out, request->head.version, &nobody, error);
    return HANDLED_ANSWER;
}

/* Is it said, and not what the group has? */
static bool is_other(struct weir_slice said, const char *text)
{
    return said.data && text && !weir_slice_equal(said, weir_slice(text, strlen(text)));
}

static void take_assignments(struct wire_reader *in, struct group *group, bool keep)
{
    int32_t count = wire_array(in, 2);
    for (int32_t i = 0; i < count && !in->failed; i++) {
        struct weir_slice id = wire_string(in), bytes = wire_bytes(in);
        wire_tags(in);
        struct member *member = keep && !in->failed ? broker_group_member(group, id) : NULL;
        if (!member || !bytes.data)
            continue;
        weir_free(member->assignment);
        member->assignment = weir_strndup(bytes.data, bytes.bytes);
        member->assignment_bytes = member->assignment ? bytes.bytes : 0;
    }
}

enum handled broker_handle_sync_group(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct weir_slice group_id = wire_string(in);
    int32_t generation = wire_i32(in);
    struct weir_slice member_id = wire_string(in);
    struct weir_slice instance_id = version >= 3 ? wire_string(in) : weir_slice(NULL, 0);
    struct weir_slice protocol_type = version >= 5 ? wire_string(in) : weir_slice(NULL, 0);
    struct weir_slice protocol = version >= 5 ? wire_string(in) : weir_slice(NULL, 0);
    enum wire_error error;
    struct group *group = broker_group_find(request->broker, group_id);
    struct member *member = broker_group_speaker(group, member_id, instance_id, generation, &error);
    bool leads = member && group->state == GROUP_COMPLETING && group->leader == member &&
                 !is_other(protocol, group->protocol);
    take_assignments(in, group, leads);
    wire_tags(in);
    if (in->failed)
        return HANDLED_CLOSE;
    if (!member)
        return refuse_sync(request, error);
    if (is_other(protocol_type, group->protocol_type) || is_other(protocol, group->protocol))
        return refuse_sync(request, WIRE_INCONSISTENT_GROUP_PROTOCOL);
    if (group->state == GROUP_PREPARING)
        return refuse_sync(request, WIRE_REBALANCE_IN_PROGRESS);
    if (group->state == GROUP_STABLE) {
        broker_put_sync(&request->out, version, member, WIRE_NONE);
        broker_member_touch(member);
        return HANDLED_ANSWER;
    }
    if (group->state != GROUP_COMPLETING)
        return refuse_sync(request, WIRE_UNKNOWN_MEMBER_ID);
    broker_answer_waiting(member, WIRE_UNKNOWN_MEMBER_ID); /* an older request of the same member */
    wait_for_group(request, member);
    broker_member_touch(member);
    if (leads)
        broker_group_stabilise(group);
    return HANDLED_PARKED;
}

enum handled broker_handle_heartbeat(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct weir_slice group_id = wire_string(in);
    int32_t generation = wire_i32(in);
    struct weir_slice member_id = wire_string(in);
    struct weir_slice instance_id = version >= 3 ? wire_string(in) : weir_slice(NULL, 0);
    wire_tags(in);
    enum wire_error error;
    struct group *group = broker_group_find(request->broker, group_id);
    struct member *member = broker_group_speaker(group, member_id, instance_id, generation, &error);
    if (member) {
        broker_member_touch(member);
        if (group->state == GROUP_PREPARING)
            error = WIRE_REBALANCE_IN_PROGRESS;
    }
    if (version >= 1)
        wire_put_i32(&request->out, 0);
    wire_put_i16(&request->out, (int16_t)error);
    wire_put_tags(&request->out);
    return HANDLED_ANSWER;
}

static enum wire_error leave(struct group *group, struct weir_slice member_id,
                             struct weir_slice instance_id)
{
    enum wire_error error;
    if (group && !member_id.bytes && instance_id.data) { /* an administrator removes it */
        struct member *instance = broker_group_instance(group, instance_id);
        if (!instance)
            return WIRE_UNKNOWN_MEMBER_ID;
        broker_member_remove(instance);
        return WIRE_NONE;
    }
    if (group && broker_pending_take(group, member_id))
        return WIRE_NONE;
    struct member *member = broker_group_speaker(group, member_id, instance_id, -2, &error);
    if (member)
        broker_member_remove(member);
    return error;
}

enum handled broker_handle_leave_group(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct group *group = broker_group_find(request->broker, wire_string(in));
    if (version >= 1)
        wire_put_i32(out, 0);
    if (version < 3) {
        wire_put_i16(out, (int16_t)leave(group, wire_string(in), weir_slice(NULL, 0)));
    } else {
        int32_t count = wire_array(in, 3);
        wire_put_i16(out, WIRE_NONE);
        wire_put_array(out, count > 0 ? count : 0);
        for (int32_t i = 0; i < count && !in->failed; i++) {
            struct weir_slice member_id = wire_string(in), instance_id = wire_string(in);
            if (version >= 5)
                wire_string(in); /* the client's reason, for logs */
            wire_tags(in);
            wire_put_string(out, member_id);
            wire_put_string(out, instance_id);
            wire_put_i16(out, (int16_t)leave(group, member_id, instance_id));
            wire_put_tags(out);
        }
    }
    wire_tags(in);
    wire_put_tags(out);
    if (group)
        broker_group_member_left(group);
    return HANDLED_ANSWER;
}
