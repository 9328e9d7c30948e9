/* broker/handle_records.c - Produce, ListOffsets, DeleteRecords. */
#include <string.h>

#include "base/assert.h"
#include "broker/inside.h"

/* ---- Produce --------------------------------------------------------------------------------- */

static enum wire_error error_of(enum weir_plog_refusal refusal)
{
    switch (refusal) {
    case WEIR_PLOG_ACCEPTED:
        return WIRE_NONE;
    case WEIR_PLOG_CORRUPT_MESSAGE:
        return WIRE_CORRUPT_MESSAGE;
    case WEIR_PLOG_RECORD_TOO_LARGE:
        return WIRE_MESSAGE_TOO_LARGE;
    case WEIR_PLOG_INVALID_RECORD:
        return WIRE_INVALID_RECORD;
    case WEIR_PLOG_OUT_OF_ORDER_SEQUENCE:
        return WIRE_OUT_OF_ORDER_SEQUENCE;
    case WEIR_PLOG_DUPLICATE_SEQUENCE:
        return WIRE_DUPLICATE_SEQUENCE;
    case WEIR_PLOG_INVALID_PRODUCER_EPOCH:
        return WIRE_INVALID_PRODUCER_EPOCH;
    case WEIR_PLOG_UNKNOWN_PRODUCER:
        return WIRE_UNKNOWN_PRODUCER_ID;
    case WEIR_PLOG_STORAGE:
        return WIRE_STORAGE_ERROR;
    case WEIR_PLOG_INVALID_TXN_STATE:
        return WIRE_INVALID_TXN_STATE;
    }
    return WIRE_UNKNOWN_SERVER_ERROR;
}

/* What became of one partition's batches. */
struct produced {
    enum wire_error error;
    int64_t offset_base, append_time_ms, offset_first;
    struct record_errors bad;
    char message[WEIR_ERROR_TEXT_MAX];
};

/* Holds the answer back until the records are on the disk, if that is asked for. False: no memory.
 */
static bool hold(struct request *request, const struct partition *partition,
                 const struct weir_plog_appended *appended, struct held **held)
{
    if (request->broker->options.flush != WEIR_BROKER_FLUSH_EVERY ||
        weir_plog_offset_flushed(partition->log) > appended->offset_last)
        return true;
    return broker_held_add(held, partition, appended->offset_last + 1,
                           request->out.into->bytes + 4);
}

static void append(struct request *request, struct weir_slice transactional_id,
                   struct weir_slice topic, int32_t index, struct weir_slice records,
                   struct produced *out, struct held **held)
{
    struct weir_broker *broker = request->broker;
    struct weir_plog_appended appended;
    struct weir_error error = {.code = WEIR_OK};
    enum weir_plog_refusal refusal = WEIR_PLOG_ACCEPTED;
    struct partition *partition = broker_partition_find(broker, topic, index);
    *out = (struct produced){.offset_base = -1, .append_time_ms = -1, .offset_first = -1};
    if (!partition) {
        out->error = WIRE_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    if (!records.data) {
        out->error = WIRE_INVALID_RECORD;
        return;
    }
    out->error = broker_transactions_may_produce(broker, transactional_id, records, topic, index);
    if (out->error == WIRE_NONE && broker_topic_compacts(partition->topic))
        out->error = broker_check_keys(records, &out->bad, &error);
    if (out->error != WIRE_NONE) {
        memcpy(out->message, error.message, sizeof out->message);
        return;
    }
    /* The request's own buffer: the log patches offsets into it. */
    uint8_t *bytes = (uint8_t *)(uintptr_t)records.data;
    enum weir_err err = weir_plog_append(partition->log, bytes, records.bytes, LEADER_EPOCH,
                                         &appended, &refusal, &error);
    if (err != WEIR_OK) {
        out->error = refusal == WEIR_PLOG_ACCEPTED ? WIRE_UNKNOWN_SERVER_ERROR : error_of(refusal);
        memcpy(out->message, error.message, sizeof out->message);
        weir_log(&broker->options.log, WEIR_LOG_WARN, "broker", "produce to %s-%d by %s: %s",
                 partition->topic->name, (int)index, request->connection->peer, error.message);
        return;
    }
    out->offset_base = appended.offset_base;
    out->append_time_ms = appended.append_time_ms;
    out->offset_first = weir_plog_offset_first(partition->log);
    atomic_fetch_add_explicit(&broker->stats.batches_appended, 1, memory_order_relaxed);
    if (!appended.duplicate)
        broker_appended(broker, partition, records.bytes);
    if (!hold(request, partition, &appended, held))
        request->in.failed = true; /* nothing is said: the client asks again */
}

static void put_produced(struct wire_writer *out, int16_t version, int32_t index,
                         const struct produced *produced)
{
    wire_put_i32(out, index);
    wire_put_i16(out, (int16_t)produced->error);
    wire_put_i64(out, produced->offset_base);
    wire_put_i64(out, produced->append_time_ms);
    if (version >= 5)
        wire_put_i64(out, produced->offset_first);
    if (version >= 8) {
        wire_put_array(out, produced->bad.told);
        for (int32_t i = 0; i < produced->bad.told; i++) {
            wire_put_i32(out, produced->bad.indexes[i]);
            wire_put_text(out, "a record without a key, in a compacted topic");
            wire_put_tags(out);
        }
        wire_put_text(out, *produced->message ? produced->message : NULL);
    }
    wire_put_tags(out);
}

enum handled broker_handle_produce(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    struct held *held = NULL;
    size_t body = out->into->bytes;
    bool refused = false;
    struct weir_slice transactional_id = wire_string(in);
    int16_t acks = wire_i16(in);
    wire_i32(in); /* timeout: one node never waits for others */
    int32_t topics = wire_array(in, 3);
    wire_put_array(out, topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 5);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++) {
            struct produced produced = {.error = WIRE_INVALID_REQUIRED_ACKS, .offset_base = -1};
            int32_t index = wire_i32(in);
            struct weir_slice records = wire_bytes(in);
            wire_tags(in);
            if (in->failed)
                break;
            if (acks >= -1 && acks <= 1)
                append(request, transactional_id, topic, index, records, &produced, &held);
            put_produced(out, version, index, &produced);
            refused |= produced.error != WIRE_NONE;
        }
        wire_tags(in);
        wire_put_tags(out);
    }
    wire_tags(in);
    wire_put_i32(out, 0); /* throttle */
    wire_put_tags(out);
    if (held && acks != 0 && !in->failed)
        return broker_held_park(held, request, body);
    broker_held_drop(held);
    if (acks != 0 || in->failed)
        return HANDLED_ANSWER;
    /* Without an answer the end of the connection is all that can tell of a failure. */
    return refused ? HANDLED_CLOSE : HANDLED_SILENT;
}

/* ---- ListOffsets ----------------------------------------------------------------------------- */

/* What a timestamp below 0 stands for. All that is here is local: the earliest, too. */
enum { LATEST = -1, EARLIEST = -2, MAX_TIMESTAMP = -3, EARLIEST_LOCAL = -4 };

enum wire_error broker_check_leader_epoch(int32_t epoch)
{
    if (epoch < 0 || epoch == LEADER_EPOCH)
        return WIRE_NONE;
    return epoch < LEADER_EPOCH ? WIRE_FENCED_LEADER_EPOCH : WIRE_UNKNOWN_LEADER_EPOCH;
}

/* The first record below `end` that is as old as this or younger; -1 if there is none. */
static enum wire_error find_time(struct partition *partition, int64_t end, int64_t timestamp_ms,
                                 int64_t *offset, int64_t *timestamp)
{
    enum weir_err err = weir_plog_find_time(partition->log, timestamp_ms, offset, timestamp, NULL);
    if (err == WEIR_OK && *offset >= end)
        err = WEIR_NOT_FOUND;
    if (err == WEIR_OK)
        return WIRE_NONE;
    *offset = -1;
    *timestamp = -1;
    return err == WEIR_NOT_FOUND ? WIRE_NONE : WIRE_STORAGE_ERROR;
}

static enum wire_error find_offset(const struct weir_broker *broker, struct partition *partition,
                                   bool committed, int64_t timestamp_ms, int64_t *offset,
                                   int64_t *timestamp)
{
    *offset = -1;
    *timestamp = -1;
    if (!partition)
        return WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    int64_t end = broker_partition_end(broker, partition, committed);
    if (timestamp_ms == LATEST) {
        *offset = end;
    } else if (timestamp_ms == EARLIEST || timestamp_ms == EARLIEST_LOCAL) {
        *offset = weir_plog_offset_first(partition->log);
    } else if (timestamp_ms == MAX_TIMESTAMP) {
        timestamp_ms = weir_plog_timestamp_max(partition->log);
        return timestamp_ms < 0 ? WIRE_NONE
                                : find_time(partition, end, timestamp_ms, offset, timestamp);
    } else if (timestamp_ms < 0) {
        return WIRE_UNSUPPORTED_VERSION;
    } else {
        return find_time(partition, end, timestamp_ms, offset, timestamp);
    }
    return WIRE_NONE;
}

enum handled broker_handle_list_offsets(struct request *request)
{
    int16_t version = request->head.version;
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    wire_i32(in); /* replica id */
    bool committed = version >= 2 && wire_i8(in) == READ_COMMITTED;
    int32_t topics = wire_array(in, 3);
    if (version >= 2)
        wire_put_i32(out, 0);
    wire_put_array(out, topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 12);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++) {
            int64_t offset = -1, timestamp = -1;
            int32_t index = wire_i32(in);
            int32_t epoch = version >= 4 ? wire_i32(in) : -1;
            int64_t wanted_ms = wire_i64(in);
            wire_tags(in);
            enum wire_error error = broker_check_leader_epoch(epoch);
            if (error == WIRE_NONE)
                error = find_offset(request->broker,
                                    broker_partition_find(request->broker, topic, index), committed,
                                    wanted_ms, &offset, &timestamp);
            wire_put_i32(out, index);
            wire_put_i16(out, (int16_t)error);
            wire_put_i64(out, timestamp);
            wire_put_i64(out, offset);
            if (version >= 4)
                wire_put_i32(out, offset < 0 ? -1 : LEADER_EPOCH);
            wire_put_tags(out);
        }
        wire_tags(in);
        wire_put_tags(out);
    }
    wire_tags(in);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- OffsetForLeaderEpoch -------------------------------------------------------------------- */

/* Where the records of an epoch end. There has been one epoch only. */
static void put_epoch_end(struct request *request, struct weir_slice topic)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t index = wire_i32(in), current = wire_i32(in), epoch = wire_i32(in);
    wire_tags(in);
    struct partition *partition = broker_partition_find(request->broker, topic, index);
    enum wire_error error =
        partition ? broker_check_leader_epoch(current) : WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    bool known = error == WIRE_NONE && epoch == LEADER_EPOCH;
    wire_put_i16(out, (int16_t)error);
    wire_put_i32(out, index);
    wire_put_i32(out, known ? epoch : -1);
    wire_put_i64(out, known ? weir_plog_offset_next(partition->log) : -1);
    wire_put_tags(out);
}

enum handled broker_handle_offset_for_leader_epoch(struct request *request)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    if (request->head.version >= 3)
        wire_i32(in); /* replica id */
    int32_t topics = wire_array(in, 2);
    wire_put_i32(out, 0);
    wire_put_array(out, topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 12);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++)
            put_epoch_end(request, topic);
        wire_tags(in);
        wire_put_tags(out);
    }
    wire_tags(in);
    wire_put_tags(out);
    return HANDLED_ANSWER;
}

/* ---- DeleteRecords --------------------------------------------------------------------------- */

static enum wire_error delete_records(const struct weir_broker *broker, struct partition *partition,
                                      int64_t offset, int64_t *first)
{
    *first = -1;
    if (!partition)
        return WIRE_UNKNOWN_TOPIC_OR_PARTITION;
    if (!broker_topic_deletes(partition->topic))
        return WIRE_POLICY_VIOLATION;
    int64_t end = broker_partition_end(broker, partition, false);
    if (offset == -1)
        offset = end;
    if (offset < 0 || offset > end)
        return WIRE_OFFSET_OUT_OF_RANGE;
    if (offset > weir_plog_offset_first(partition->log) &&
        weir_plog_trim(partition->log, offset, NULL) != WEIR_OK)
        return WIRE_STORAGE_ERROR;
    *first = weir_plog_offset_first(partition->log);
    return WIRE_NONE;
}

/* One partition of the request: records are deleted, or refused because that can't be kept. */
static void put_deleted(struct request *request, struct weir_slice topic, bool refused)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int64_t first = -1;
    int32_t index = wire_i32(in);
    int64_t offset = wire_i64(in);
    wire_tags(in);
    enum wire_error error = WIRE_STORAGE_ERROR;
    if (!refused)
        error = delete_records(
            request->broker, broker_partition_find(request->broker, topic, index), offset, &first);
    wire_put_i32(out, index);
    wire_put_i64(out, first);
    wire_put_i16(out, (int16_t)error);
    wire_put_tags(out);
}

static void put_all_deleted(struct request *request, bool refused)
{
    struct wire_reader *in = &request->in;
    struct wire_writer *out = &request->out;
    int32_t topics = wire_array(in, 2);
    wire_put_i32(out, 0);
    wire_put_array(out, topics > 0 ? topics : 0);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        struct weir_slice topic = wire_string(in);
        int32_t partitions = wire_array(in, 12);
        wire_put_string(out, topic);
        wire_put_array(out, partitions > 0 ? partitions : 0);
        for (int32_t j = 0; j < partitions && !in->failed; j++)
            put_deleted(request, topic, refused);
        wire_tags(in);
        wire_put_tags(out);
    }
    wire_i32(in); /* timeout */
    wire_tags(in);
    wire_put_tags(out);
}

enum handled broker_handle_delete_records(struct request *request)
{
    struct wire_reader again = request->in;
    size_t body = request->out.into->bytes;
    put_all_deleted(request, false);
    /* Before the answer: first offsets outlive a kill. */
    if (broker_checkpoint_starts(request->broker, NULL) != WEIR_OK) {
        weir_buffer_truncate(request->out.into, body);
        request->in = again;
        put_all_deleted(request, true);
    }
    return HANDLED_ANSWER;
}
