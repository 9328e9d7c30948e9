/* broker/handle_offsets.c - OffsetCommit, OffsetFetch, OffsetDelete. */
#include <stdio.h>
#include <string.h>

#include "broker/group.h"

enum { METADATA_BYTES_MAX = 4096 }; /* offset.metadata.max.bytes */

/* ---- OffsetCommit ---------------------------------------------------------------------------- */

static enum wire_error may_commit(struct group *group, int32_t generation,
                                  struct weir_slice member_id, struct weir_slice instance_id)
{
    enum wire_error error;
    if (generation < 0 && !group->members) /* a consumer that assigns itself, or an administrator */
        return WIRE_NONE;
    struct member *member = broker_group_speaker(group, member_id, instance_id, generation, &error);
    if (!member)
        return error;
    broker_member_touch(member);
    return group->state == GROUP_COMPLETING ? WIRE_REBALANCE_IN_PROGRESS : WIRE_NONE;
}

static enum wire_error commit(struct request *request, struct group *group, struct weir_slice topic,
                              int32_t partition, const struct committed *committed)
{
    struct weir_error error = {.code = WEIR_OK};
    if (!broker_partition_find(request->broker, topic, partition))
        return WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    enum weir_err err =
        broker_journal_commit(request->broker, weir_slice(group->id, strlen(group->id)), topic,
                              partition, committed, &error);
    if (err == WEIR_OK)
        err = broker_group_store(group, topic, partition, committed);
    if (err == WEIR_OK)
        broker_transactions_supersede(request->broker, weir_slice(group->id, strlen(group->id)),
                                      topic, partition);
    else
        weir_log(&request->broker->options.log, WEIR_LOG_ERROR, "broker",
                 "an offset of group %s was not stored: %s", group->id, error.message);
    return err == WEIR_OK ? WIRE_NONE : WIRE_UNKNOWN_SERVER_ERROR;
}

/* One partition of an OffsetCommit request, answered. */
static void commit_partition(struct request *request, struct group *group, struct weir_slice topic,
                             enum wire_error error)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    char text[METADATA_BYTES_MAX + 1];
    int32_t partition = wire_i32(in);
    struct committed committed = {.offset = wire_i64(in), .leader_epoch = -1};
    if (version >= 6)
        committed.leader_epoch = wire_i32(in);
    if (version == 1)
        wire_i64(in); /* a timestamp that nothing reads any more */
    struct weir_slice metadata = wire_string(in);
    wire_tags(in);
    committed.timestamp_ms = weir_clock_wall_ms(request->broker->clock);
    if (error == WIRE_NONE && metadata.bytes > METADATA_BYTES_MAX)
        error = WIRE_OFFSET_METADATA_TOO_LARGE;
    if (error == WIRE_NONE && !in->failed) {
        snprintf(text, sizeof text, "%.*s", (int)metadata.bytes,
                 metadata.data ? (const char *)metadata.data : "");
        committed.metadata = text;
        error = commit(request, group, topic, partition, &committed);
    }
    wire_put_i32(&request->out, partition);
    wire_put_i16(&request->out, (int16_t)error);
    wire_put_tags(&request->out);
}

/* A member's group must be there; who has no group commits into a new one. NULL with *error set. */
static struct group *find_committing(struct request *request, struct weir_slice id,
                                     int32_t generation, enum wire_error *error)
{
    if (!broker_group_id_valid(id)) {
        *error = WIRE_INVALID_GROUP_ID;
        return NULL;
    }
    struct group *group = broker_group_find(request->broker, id);
    if (!group && generation >= 0) {
        *error = request->head.version >= 9 ? WIRE_GROUP_ID_NOT_FOUND : WIRE_ILLEGAL_GENERATION;
        return NULL;
    }
    if (!group)
        group = broker_group_find_or_make(request->broker, id);
    if (!group)
        *error = WIRE_COORDINATOR_NOT_AVAILABLE;
    return group;
}

enum handled broker_handle_offset_commit(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct weir_slice group_id = wire_string(in);
    int32_t generation = wire_i32(in);
    struct weir_slice member_id = wire_string(in);
    struct weir_slice instance_id = version >= 7 ? wire_string(in) : weir_slice(NULL, 0);
    if (version >= 2 && version <= 4)
        wire_i64(in); /* retention time: offsets of a living group are kept */
    if (in->failed)
        return HANDLED_CLOSE;
    enum wire_error error = WIRE_NONE;
    struct group *group = find_committing(request, group_id, generation, &error);
    if (group)
        error = may_commit(group, generation, member_id, instance_id);
    int32_t topics = wire_array(in, 2);
    if (version >= 3)
        wire_put_i32(out, 0);
    wire_put_array(out, topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 12);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++)
            commit_partition(request, group, topic, error);
        wire_tags(in);
        wire_put_tags(out);
    }
    wire_tags(in);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- OffsetFetch ----------------------------------------------------------------------------- */

/* unstable: a transaction is about to change it, and the client wants to wait for that. */
static void put_committed(struct wire_writer *out, int16_t version, int32_t partition,
                          const struct committed *committed, bool unstable)
{
    committed = unstable ? NULL : committed;
    wire_put_i32(out, partition);
    wire_put_i64(out, committed ? committed->offset : -1);
    if (version >= 5)
        wire_put_i32(out, committed ? committed->leader_epoch : -1);
    wire_put_text(out, committed ? committed->metadata : "");
    wire_put_i16(out, unstable ? WIRE_UNSTABLE_OFFSET_COMMIT : WIRE_NONE);
    wire_put_tags(out);
}

static void skip_topics(struct wire_reader *in)
{
    int32_t topics = wire_array(in, 2);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        wire_string(in);
        int32_t partitions = wire_array(in, 4);
        for (int32_t j = 0; j < partitions && !in->failed; j++)
            wire_i32(in);
        wire_tags(in);
    }
}

/* require_stable stands behind the groups: looked at before they are answered. */
static bool requires_stable(struct wire_reader in, int16_t version)
{
    int32_t groups = version >= 8 ? wire_array(&in, 3) : 1;
    for (int32_t i = 0; i < groups && !in.failed; i++) {
        wire_string(&in);
        if (version >= 9) {
            wire_string(&in);
            wire_i32(&in);
        }
        skip_topics(&in);
        if (version >= 8)
            wire_tags(&in);
    }
    return version >= 7 && wire_bool(&in) && !in.failed;
}

/* All committed offsets of a group, an array element a partition: topics may repeat, as the
 * protocol allows. */
struct all_offsets {
    struct weir_broker *broker;
    struct weir_slice group_id;
    struct wire_writer *out;
    int16_t version;
    bool stable;
};

static void put_any(void *opaque, struct weir_slice topic, int32_t partition,
                    const struct committed *committed)
{
    struct all_offsets *all = opaque;
    wire_put_string(all->out, topic);
    wire_put_array(all->out, 1);
    put_committed(all->out, all->version, partition, committed,
                  all->stable &&
                      broker_transactions_unstable(all->broker, all->group_id, topic, partition));
    wire_put_tags(all->out);
}

/* The topics of a request for one group, answered. */
static void fetch_offsets(struct request *request, struct weir_slice group_id, bool stable)
{
    const struct group *group = broker_group_find(request->broker, group_id);
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t topics = wire_array(in, 2);
    if (topics < 0) {
        struct all_offsets all = {request->broker, group_id, out, version, stable};
        wire_put_array(out, group ? (int32_t)weir_map_count(&group->offsets) : 0);
        if (group)
            broker_group_each_committed(group, put_any, &all);
    } else {
        wire_put_array(out, topics);
    }
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 4);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++) {
            int32_t partition = wire_i32(in);
            put_committed(out, version, partition,
                          group ? broker_group_committed(group, topic, partition) : NULL,
                          stable && broker_transactions_unstable(request->broker, group_id, topic,
                                                                 partition));
        }
        wire_tags(in);
        wire_put_tags(out);
    }
}

/* Version 9: a member says who it is. Nobody is refused who does not. */
static enum wire_error may_fetch(const struct group *group, struct weir_slice member_id,
                                 int32_t generation)
{
    if (!member_id.data || generation < 0 || !group)
        return WIRE_NONE;
    if (!broker_group_member(group, member_id))
        return WIRE_UNKNOWN_MEMBER_ID;
    return generation == group->generation ? WIRE_NONE : WIRE_ILLEGAL_GENERATION;
}

/* Version 8 and later: many groups at once (KIP-709). */
static void fetch_groups(struct request *request, bool stable)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t count = wire_array(in, 3);
    wire_put_array(out, count > 0 ? count : 0);
    for (int32_t i = 0; i < count && !in->failed; i++) {
        struct weir_slice id = wire_string(in);
        struct weir_slice member_id = version >= 9 ? wire_string(in) : weir_slice(NULL, 0);
        int32_t generation = version >= 9 ? wire_i32(in) : -1;
        const struct group *group = broker_group_find(request->broker, id);
        wire_put_string(out, id.data ? id : weir_slice("", 0));
        fetch_offsets(request, id, stable);
        wire_tags(in);
        wire_put_i16(out, (int16_t)may_fetch(group, member_id, generation));
        wire_put_tags(out);
    }
}

enum handled broker_handle_offset_fetch(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    bool stable = requires_stable(*in, version);
    if (version >= 3)
        wire_put_i32(out, 0);
    if (version >= 8)
        fetch_groups(request, stable);
    else
        fetch_offsets(request, wire_string(in), stable);
    if (version >= 7)
        wire_bool(in); /* require_stable, known already */
    wire_tags(in);
    if (version >= 2 && version < 8)
        wire_put_i16(out, WIRE_NONE);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- OffsetDelete ---------------------------------------------------------------------------- */

static enum wire_error may_delete(const struct group *group)
{
    if (!group)
        return WIRE_GROUP_ID_NOT_FOUND;
    return group->members && !broker_group_is_of_consumers(group) ? WIRE_NON_EMPTY_GROUP
                                                                  : WIRE_NONE;
}

static enum wire_error delete_offset(struct request *request, struct group *group,
                                     struct weir_slice topic, int32_t partition)
{
    struct weir_error error = {.code = WEIR_OK};
    if (!broker_partition_find(request->broker, topic, partition))
        return WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    if (group->members && broker_group_subscribes(group, topic))
        return WIRE_GROUP_SUBSCRIBED_TO_TOPIC;
    enum weir_err err = broker_group_forget_offset(group, topic, partition, &error);
    if (err == WEIR_OK || err == WEIR_NOT_FOUND)
        return WIRE_NONE;
    weir_log(&request->broker->options.log, WEIR_LOG_ERROR, "broker",
             "an offset of group %s was not deleted: %s", group->id, error.message);
    return WIRE_UNKNOWN_SERVER_ERROR;
}

enum handled broker_handle_offset_delete(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct group *group = broker_group_find(request->broker, wire_string(in));
    enum wire_error refused = may_delete(group);
    int32_t topics = wire_array(in, 6);
    wire_put_i16(out, (int16_t)refused);
    wire_put_i32(out, 0);
    wire_put_array(out, refused == WIRE_NONE && topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed && refused == WIRE_NONE; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 4);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++) {
            int32_t partition = wire_i32(in);
            wire_put_i32(out, partition);
            wire_put_i16(out, in->failed
                                  ? WIRE_NONE
                                  : (int16_t)delete_offset(request, group, topic, partition));
        }
    }
    return HANDLED_ANSWER;
}
