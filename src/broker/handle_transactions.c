/* broker/handle_transactions.c - InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn,
 * TxnOffsetCommit, EndTxn. What they do stands in transactions.h. */
#include <stdio.h>
#include <string.h>

#include "broker/group.h"
#include "broker/transactions.h"

/* PRODUCER_FENCED is told to those who know it: before, it was INVALID_PRODUCER_EPOCH. */
static enum wire_error fenced_since(enum wire_error error, int16_t version, int16_t since)
{
    return error == WIRE_PRODUCER_FENCED && version < since ? WIRE_INVALID_PRODUCER_EPOCH : error;
}

static struct producer read_producer(struct wire_reader *in)
{
    struct producer producer = {.id = wire_i64(in)};
    producer.epoch = wire_i16(in);
    return producer;
}

static void put_result(struct wire_writer *out, enum wire_error error)
{
    wire_put_i32(out, 0); /* throttle */
    wire_put_i16(out, (int16_t)error);
    wire_put_tags(out);
}

/* ---- InitProducerId -------------------------------------------------------------------------- */

/* Without a transactional id: a new producer id, also for one that goes on: always right. */
static enum wire_error init_idempotent(struct weir_broker *broker, struct producer *out)
{
    struct weir_error error = {.code = WEIR_OK};
    int64_t id;
    if (broker_journal_producer_id(broker, &id, &error) != WEIR_OK) {
        weir_log(&broker->options.log, WEIR_LOG_ERROR, "broker",
                 "no producer id can be given out: %s", error.message);
        return WIRE_STORAGE_ERROR;
    }
    *out = (struct producer){id, 0};
    return WIRE_NONE;
}

enum handled broker_handle_init_producer_id(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct producer expected = {-1, -1}, given = {-1, -1};
    struct weir_slice id = wire_string(in);
    int32_t timeout_ms = wire_i32(in);
    if (version >= 3)
        expected = read_producer(in);
    wire_tags(in);
    if (in->failed)
        return HANDLED_CLOSE;
    enum wire_error error;
    if ((expected.id < 0) != (expected.epoch < 0))
        error = WIRE_INVALID_REQUEST;
    else if (!id.data)
        error = init_idempotent(request->broker, &given);
    else
        error = broker_transaction_init(request->broker, id, timeout_ms, expected, &given);
    wire_put_i32(out, 0);
    wire_put_i16(out, (int16_t)fenced_since(error, version, 4));
    wire_put_i64(out, given.id);
    wire_put_i16(out, given.epoch);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- AddPartitionsToTxn ---------------------------------------------------------------------- */

/* May it be added? */
static enum wire_error check_partition(const struct weir_broker *broker, struct weir_slice topic,
                                       int32_t index)
{
    const struct partition *partition = broker_partition_find(broker, topic, index);
    if (!partition)
        return WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    return weir_plog_is_writable(partition->log) ? WIRE_NONE : WIRE_STORAGE_ERROR;
}

/* All of a request's partitions? Looked at before any is added. */
static bool check_all(const struct weir_broker *broker, struct wire_reader in)
{
    int32_t topics = wire_array(&in, 2);
    for (int32_t i = 0; i < topics && !in.failed; i++) {
        struct weir_slice topic = wire_string(&in);
        int32_t partitions = wire_array(&in, 4);
        for (int32_t j = 0; j < partitions && !in.failed; j++)
            if (check_partition(broker, topic, wire_i32(&in)) != WIRE_NONE)
                return false;
        wire_tags(&in);
    }
    return !in.failed;
}

static enum wire_error add_all(struct weir_broker *broker, struct transaction *t,
                               struct wire_reader in)
{
    struct transaction_adding adding;
    broker_transaction_add_begin(&adding, broker, t);
    int32_t topics = wire_array(&in, 2);
    for (int32_t i = 0; i < topics; i++) {
        struct weir_slice topic = wire_string(&in);
        int32_t partitions = wire_array(&in, 4);
        for (int32_t j = 0; j < partitions; j++)
            broker_transaction_add(&adding, topic, wire_i32(&in));
        wire_tags(&in);
    }
    return broker_transaction_add_end(&adding);
}

enum handled broker_handle_add_partitions_to_txn(struct request *request)
{
    struct weir_broker *broker = request->broker;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct transaction *t;
    struct weir_slice id = wire_string(in);
    struct producer producer = read_producer(in);
    bool all = check_all(broker, *in);
    enum wire_error error = broker_transaction_speaker(broker, id, producer, &t);
    if (error == WIRE_NONE && all)
        error = broker_transaction_may_add(broker, t);
    if (error == WIRE_NONE && all)
        error = add_all(broker, t, *in);
    error = fenced_since(error, request->head.version, 2);
    int32_t topics = wire_array(in, 2);
    wire_put_i32(out, 0);
    wire_put_array(out, topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 4);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++) {
            int32_t partition = wire_i32(in);
            enum wire_error own = check_partition(broker, topic, partition);
            wire_put_i32(out, partition);
            wire_put_i16(out, (int16_t)(own != WIRE_NONE ? own
                                        : all            ? error
                                                         : WIRE_OPERATION_NOT_ATTEMPTED));
            wire_put_tags(out);
        }
        wire_tags(in);
        wire_put_tags(out);
    }
    wire_tags(in);
    wire_put_tags(out);
    return in->failed ? HANDLED_CLOSE : HANDLED_ANSWER;
}

/* ---- AddOffsetsToTxn, EndTxn ----------------------------------------------------------------- */

enum handled broker_handle_add_offsets_to_txn(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct transaction *t;
    struct weir_slice id = wire_string(in);
    struct producer producer = read_producer(in);
    struct weir_slice group = wire_string(in);
    wire_tags(in);
    if (in->failed)
        return HANDLED_CLOSE;
    enum wire_error error = broker_transaction_speaker(request->broker, id, producer, &t);
    if (error == WIRE_NONE && !broker_group_id_valid(group))
        error = WIRE_INVALID_GROUP_ID;
    if (error == WIRE_NONE)
        error = broker_transaction_may_add(request->broker, t);
    if (error == WIRE_NONE) {
        struct transaction_adding adding;
        broker_transaction_add_begin(&adding, request->broker, t);
        broker_transaction_add(&adding, group, ADD_GROUP);
        error = broker_transaction_add_end(&adding);
    }
    put_result(&request->out, fenced_since(error, request->head.version, 2));
    return HANDLED_ANSWER;
}

enum handled broker_handle_end_txn(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct transaction *t;
    struct weir_slice id = wire_string(in);
    struct producer producer = read_producer(in);
    bool commit = wire_bool(in);
    wire_tags(in);
    if (in->failed)
        return HANDLED_CLOSE;
    enum wire_error error = broker_transaction_speaker(request->broker, id, producer, &t);
    if (error == WIRE_NONE)
        error = broker_transaction_end(request->broker, t, commit);
    put_result(&request->out, fenced_since(error, request->head.version, 2));
    return HANDLED_ANSWER;
}

/* ---- TxnOffsetCommit ------------------------------------------------------------------------- */

enum { METADATA_BYTES_MAX = 4096 }; /* offset.metadata.max.bytes */

/* Who commits, from version 3 on: a member of the group must be one still (KIP-447). */
struct committer {
    int32_t generation;
    struct weir_slice member_id, instance_id;
};

static enum wire_error may_commit(struct weir_broker *broker, struct weir_slice group_id,
                                  const struct committer *committer)
{
    enum wire_error error;
    struct group *group = broker_group_find(broker, group_id);
    if (!broker_group_id_valid(group_id))
        return WIRE_INVALID_GROUP_ID;
    if (committer->generation < 0 && !committer->member_id.bytes)
        return WIRE_NONE;
    if (!group)
        return committer->generation < 0 ? WIRE_UNKNOWN_MEMBER_ID : WIRE_ILLEGAL_GENERATION;
    struct member *member = broker_group_speaker(
        group, committer->member_id, committer->instance_id, committer->generation, &error);
    return member ? WIRE_NONE : error;
}

/* One partition of the request; the metadata are borrowed. */
struct sent_offset {
    int32_t partition;
    struct committed committed;
    struct weir_slice metadata;
    enum wire_error error;
};

static struct sent_offset read_offset(const struct request *request, struct wire_reader *in,
                                      struct weir_slice topic)
{
    struct sent_offset sent = {.partition = wire_i32(in), .error = WIRE_NONE};
    sent.committed = (struct committed){.offset = wire_i64(in), .leader_epoch = -1};
    if (request->head.version >= 2)
        sent.committed.leader_epoch = wire_i32(in);
    sent.metadata = wire_string(in);
    wire_tags(in);
    sent.committed.timestamp_ms = weir_clock_wall_ms(request->broker->clock);
    if (sent.metadata.bytes > METADATA_BYTES_MAX)
        sent.error = WIRE_OFFSET_METADATA_TOO_LARGE;
    else if (!broker_partition_find(request->broker, topic, sent.partition))
        sent.error = WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    return sent;
}

/* Adds the offsets of the request that have no error of their own. */
static enum wire_error add_offsets(const struct request *request, struct transaction *t,
                                   struct weir_slice group)
{
    struct wire_reader in = request->in;
    struct transaction_adding adding;
    char text[METADATA_BYTES_MAX + 1];
    broker_transaction_add_begin(&adding, request->broker, t);
    int32_t topics = wire_array(&in, 2);
    for (int32_t i = 0; i < topics && !in.failed; i++) {
        struct weir_slice topic = wire_string(&in);
        int32_t partitions = wire_array(&in, 13);
        for (int32_t j = 0; j < partitions && !in.failed; j++) {
            struct sent_offset sent = read_offset(request, &in, topic);
            if (sent.error != WIRE_NONE || in.failed)
                continue;
            snprintf(text, sizeof text, "%.*s", (int)sent.metadata.bytes,
                     sent.metadata.data ? (const char *)sent.metadata.data : "");
            sent.committed.metadata = text;
            broker_transaction_add_offset(&adding, group, topic, sent.partition, &sent.committed);
        }
        wire_tags(&in);
    }
    return broker_transaction_add_end(&adding);
}

enum handled broker_handle_txn_offset_commit(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct transaction *t;
    struct committer committer = {.generation = -1};
    struct weir_slice id = wire_string(in), group = wire_string(in);
    struct producer producer = read_producer(in);
    if (version >= 3) {
        committer.generation = wire_i32(in);
        committer.member_id = wire_string(in);
        committer.instance_id = wire_string(in);
    }
    if (in->failed)
        return HANDLED_CLOSE;
    enum wire_error error = broker_transaction_speaker(request->broker, id, producer, &t);
    if (error == WIRE_PRODUCER_FENCED)
        error = WIRE_INVALID_PRODUCER_EPOCH; /* in all versions, as the group's log says it */
    if (error == WIRE_NONE)
        error = broker_transaction_may_add(request->broker, t);
    if (error == WIRE_NONE)
        error = may_commit(request->broker, group, &committer);
    if (error == WIRE_NONE)
        error = add_offsets(request, t, group);
    int32_t topics = wire_array(in, 2);
    wire_put_i32(out, 0);
    wire_put_array(out, topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 13);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++) {
            struct sent_offset sent = read_offset(request, in, topic);
            wire_put_i32(out, sent.partition);
            wire_put_i16(out, (int16_t)(error == WIRE_NONE ? sent.error : error));
            wire_put_tags(out);
        }
        wire_tags(in);
        wire_put_tags(out);
    }
    wire_tags(in);
    wire_put_tags(out);
    return in->failed ? HANDLED_CLOSE : HANDLED_ANSWER;
}
