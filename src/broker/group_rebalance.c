/*
 * broker/group_rebalance.c - joining, electing, assigning: how a group gets to its next generation.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "broker/group.h"

/* ---- answers --------------------------------------------------------------------------------- */

static void put_members(struct wire_writer *writer, int16_t version, const struct group *group)
{
    wire_put_array(writer, (int32_t)group->member_count);
    for (const struct member *at = group->members; at; at = at->next) {
        const struct protocol *protocol = broker_member_protocol(at, group->protocol);
        wire_put_text(writer, at->id);
        if (version >= 5)
            wire_put_text(writer, at->instance_id);
        wire_put_bytes(writer, protocol ? weir_slice(protocol->metadata, protocol->metadata_bytes)
                                        : weir_slice("", 0));
        wire_put_tags(writer);
    }
}

void broker_put_join(struct wire_writer *writer, int16_t version, const struct member *member,
                     enum wire_error error, const struct join_answer *answer)
{
    const struct group *group = member->group;
    const char *leader_id = answer ? answer->leader_id : NULL;
    bool ok = error == WIRE_NONE;
    if (version >= 2)
        wire_put_i32(writer, 0); /* throttle */
    wire_put_i16(writer, (int16_t)error);
    wire_put_i32(writer, ok ? group->generation : -1);
    if (version >= 7)
        wire_put_text(writer, ok ? group->protocol_type : NULL);
    wire_put_text(writer, ok ? group->protocol : version >= 7 ? NULL : "");
    wire_put_text(writer, !ok ? "" : leader_id ? leader_id : group->leader->id);
    if (version >= 9)
        wire_put_bool(writer, answer && answer->skip_assignment);
    wire_put_text(writer, member->id);
    if (ok && group->leader == member && !leader_id)
        put_members(writer, version, group);
    else
        wire_put_array(writer, 0);
    wire_put_tags(writer);
}

void broker_put_sync(struct wire_writer *writer, int16_t version, const struct member *member,
                     enum wire_error error)
{
    if (version >= 1)
        wire_put_i32(writer, 0); /* throttle */
    wire_put_i16(writer, (int16_t)error);
    if (version >= 5) {
        wire_put_text(writer, error == WIRE_NONE ? member->group->protocol_type : NULL);
        wire_put_text(writer, error == WIRE_NONE ? member->group->protocol : NULL);
    }
    wire_put_bytes(writer, error == WIRE_NONE && member->assignment
                               ? weir_slice(member->assignment, member->assignment_bytes)
                               : weir_slice("", 0));
    wire_put_tags(writer);
}

static struct connection *unpark(struct member *member)
{
    struct connection *connection = member->waiting;
    member->waiting = NULL;
    if (connection)
        connection->member = NULL;
    return connection;
}

void broker_answer_waiting(struct member *member, enum wire_error error)
{
    struct connection *connection = unpark(member);
    if (!connection)
        return;
    struct wire_writer writer = broker_answer_begin(connection);
    if (connection->head.key == WIRE_JOIN_GROUP)
        broker_put_join(&writer, connection->head.version, member, error, NULL);
    else
        broker_put_sync(&writer, connection->head.version, member, error);
    broker_answer_end(connection, &writer);
    broker_member_touch(member); /* we kept it waiting: only now is it its turn to be heard of */
}

/* ---- the way to a generation ----------------------------------------------------------------- */

static int32_t longest_rebalance(const struct group *group)
{
    int32_t longest_ms = 0;
    for (const struct member *at = group->members; at; at = at->next)
        if (at->rebalance_timeout_ms > longest_ms)
            longest_ms = at->rebalance_timeout_ms;
    return longest_ms;
}

static void start_timer(struct group *group, int64_t delay_ms)
{
    if (weir_loop_timer_start(&group->rebalance, delay_ms, 0) != WEIR_OK)
        weir_log(&group->broker->options.log, WEIR_LOG_ERROR, "broker",
                 "group %s: no timer for a rebalance", group->id);
}

void broker_group_prepare(struct group *group)
{
    int32_t delay_ms = group->broker->options.group_initial_rebalance_delay_ms;
    if (group->state == GROUP_PREPARING)
        return;
    for (struct member *at = group->members; at; at = at->next) {
        if (group->state == GROUP_COMPLETING)
            broker_answer_waiting(at, WIRE_REBALANCE_IN_PROGRESS);
        at->joined = false;
    }
    group->initial_delay = group->state == GROUP_EMPTY && delay_ms > 0;
    group->state = GROUP_PREPARING;
    group->members_came = false;
    group->delay_left_ms = longest_rebalance(group) - delay_ms;
    start_timer(group, group->initial_delay ? delay_ms : longest_rebalance(group));
}

bool broker_group_prolong_delay(struct group *group)
{
    int64_t delay_ms = group->broker->options.group_initial_rebalance_delay_ms;
    if (!group->members_came || group->delay_left_ms <= 0)
        return false;
    if (delay_ms > group->delay_left_ms)
        delay_ms = group->delay_left_ms;
    group->delay_left_ms -= delay_ms;
    group->members_came = false;
    start_timer(group, delay_ms);
    return true;
}

/* The protocol that all know and that most members prefer. */
static const char *elect_protocol(const struct group *group)
{
    const char *best = NULL;
    uint32_t best_votes = 0;
    const struct member *first = group->members;
    for (uint32_t i = 0; i < first->protocol_count; i++) {
        uint32_t votes = 0;
        if (!broker_group_all_support(group, &first->protocols[i]))
            continue;
        for (const struct member *at = group->members; at; at = at->next)
            for (uint32_t j = 0; j < at->protocol_count; j++)
                if (broker_group_all_support(group, &at->protocols[j])) {
                    votes += strcmp(at->protocols[j].name, first->protocols[i].name) == 0;
                    break; /* a member votes for the first of its list that all know */
                }
        if (!best || votes > best_votes) {
            best = first->protocols[i].name;
            best_votes = votes;
        }
    }
    return best;
}

bool broker_group_keeps_protocol(const struct group *group)
{
    const char *protocol = elect_protocol(group);
    return protocol && group->protocol && strcmp(protocol, group->protocol) == 0;
}

static void become_empty(struct group *group)
{
    group->state = GROUP_EMPTY;
    group->empty_since_ms = weir_clock_wall_ms(group->broker->clock);
    group->generation++;
    weir_free(group->protocol);
    group->protocol = NULL;
    weir_loop_timer_stop(&group->rebalance);
}

static void complete(struct group *group)
{
    const char *protocol = elect_protocol(group);
    char *copy = protocol ? weir_strdup(protocol) : NULL;
    weir_free(group->protocol);
    group->protocol = copy;
    group->generation++;
    group->state = GROUP_COMPLETING;
    group->initial_delay = false;
    if (!group->leader->joined) /* a static member that is away can't lead */
        for (struct member *at = group->members; at; at = at->next)
            if (at->joined) {
                group->leader = at;
                break;
            }
    start_timer(group, longest_rebalance(group));
    for (struct member *at = group->members; at; at = at->next) {
        weir_free(at->assignment);
        at->assignment = NULL;
        at->assignment_bytes = 0;
        broker_answer_waiting(at, copy ? WIRE_NONE : WIRE_INCONSISTENT_GROUP_PROTOCOL);
        if (at->joined)
            broker_member_touch(at);
    }
    weir_log(&group->broker->options.log, WEIR_LOG_DEBUG, "broker",
             "group %s: generation %d, %u members, leader %s", group->id, (int)group->generation,
             group->member_count, group->leader->id);
}

void broker_group_maybe_complete(struct group *group)
{
    bool any = false, all = weir_map_count(&group->pending) == 0;
    if (group->state != GROUP_PREPARING || group->initial_delay)
        return;
    for (const struct member *at = group->members; at; at = at->next) {
        any |= at->joined;
        all &= at->joined;
    }
    if (!group->members)
        become_empty(group);
    else if (all || (any && !weir_loop_timer_is_started(&group->rebalance)))
        complete(group);
    else if (!any && !weir_loop_timer_is_started(&group->rebalance))
        start_timer(group, longest_rebalance(group)); /* only static members, all away */
}

void broker_group_member_left(struct group *group)
{
    if (group->state == GROUP_STABLE || group->state == GROUP_COMPLETING) {
        if (!group->members) {
            become_empty(group);
            return;
        }
        broker_group_prepare(group);
    }
    broker_group_maybe_complete(group);
}

void broker_group_stabilise(struct group *group)
{
    group->state = GROUP_STABLE;
    weir_loop_timer_stop(&group->rebalance);
    for (struct member *at = group->members; at; at = at->next) {
        broker_answer_waiting(at, WIRE_NONE);
        if (at->joined)
            broker_member_touch(at);
    }
}
