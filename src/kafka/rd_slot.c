/*
 * One partition being read through a queue of its own: kafka/rd.h.
 *
 * `ready` is set by librdkafka when the empty queue gets something and taken back before the queue
 * is read, so that a record that comes in between sets it again. A queue that is not wanted stays
 * unread: that is the back-pressure, for librdkafka stops fetching a partition whose queue is full.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "kafka/rd.h"

enum {
    MESSAGE_OVERHEAD = 256, /* bytes librdkafka spends on a fetched message beyond its content */
    KBYTES_MIN = 64,
    MESSAGES_MIN = 256,
    PARTITION_BYTES_MAX = 1 << 20,
    FETCH_BYTES_MIN = 1 << 20,
    FETCH_BYTES_MAX = 50 << 20,
};

static uint64_t clamp(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

/* librdkafka's limits count content alone; the messages' own weight is counted by their number. */
void rd_fetch_budget(size_t queue_bytes, uint32_t partitions, struct rd_fetch_texts *out)
{
    uint64_t share = queue_bytes / partitions;
    uint64_t kbytes = clamp(share / 1024, KBYTES_MIN, 2000000);
    uint64_t messages = clamp(share / MESSAGE_OVERHEAD, MESSAGES_MIN, 1000000);
    snprintf(out->kbytes, sizeof(out->kbytes), "%llu", (unsigned long long)kbytes);
    snprintf(out->messages, sizeof(out->messages), "%llu", (unsigned long long)messages);
    snprintf(out->partition_bytes, sizeof(out->partition_bytes), "%llu",
             (unsigned long long)clamp(share / 2, KBYTES_MIN * 1024, PARTITION_BYTES_MAX));
    snprintf(out->fetch_bytes, sizeof(out->fetch_bytes), "%llu",
             (unsigned long long)clamp(queue_bytes / 2, FETCH_BYTES_MIN, FETCH_BYTES_MAX));
    out->wake_bytes = kbytes * 1024 / 2;
    out->wake_rows = messages / 2;
}

enum weir_err rd_slot_new(struct rd_client *client, struct rd_signal *signal, const char *topic,
                          int32_t partition, struct rd_slot **slot_out)
{
    struct rd_slot *slot = weir_calloc(1, sizeof(*slot));
    if (slot == NULL)
        return WEIR_NOMEM;
    slot->client = client;
    slot->signal = signal;
    slot->partition = partition;
    slot->position = slot->end = -1;
    slot->wake_bytes = slot->wake_rows = UINT64_MAX;
    atomic_init(&slot->ready, false);
    slot->topic = weir_strdup(topic);
    if (slot->topic == NULL) {
        weir_free(slot);
        return WEIR_NOMEM;
    }
    *slot_out = slot;
    return WEIR_OK;
}

void rd_slot_free(struct rd_slot *slot)
{
    rd_slot_end(slot);
    weir_free(slot->topic);
    weir_free(slot);
}

/* Under librdkafka's lock of the queue: nothing of librdkafka may be called. */
static void on_ready(rd_kafka_t *rk, void *opaque)
{
    (void)rk;
    struct rd_slot *slot = opaque;
    atomic_store(&slot->ready, true);
    rd_signal_raise(slot->signal);
}

enum weir_err rd_slot_begin(struct rd_slot *slot, int64_t position)
{
    if (slot->queue == NULL) {
        slot->queue = rd_kafka_queue_get_partition(slot->client->rk, slot->topic, slot->partition);
        if (slot->queue == NULL)
            return WEIR_INTERNAL;
        rd_kafka_queue_forward(slot->queue, NULL);
        rd_kafka_queue_cb_event_enable(slot->queue, on_ready, slot);
    }
    slot->position = position;
    slot->end_seen = -1;
    slot->reset = slot->at_end = false;
    atomic_store(&slot->ready, true);
    return WEIR_OK;
}

void rd_slot_end(struct rd_slot *slot)
{
    if (slot->carry != NULL) {
        weir_batch_put(slot->carry);
        slot->carry = NULL;
    }
    if (slot->queue == NULL)
        return;
    rd_kafka_queue_cb_event_enable(slot->queue, NULL, NULL);
    rd_kafka_queue_destroy(slot->queue);
    slot->queue = NULL;
}

void rd_batch_dispose(struct weir_batch *batch)
{
    for (uint32_t i = 0; i < batch->message_count; i++)
        rd_kafka_message_destroy(batch->messages[i]);
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* What is no record: ends and errors of the partition. */
static void take_event(struct rd_slot *slot, const rd_kafka_message_t *message)
{
    switch ((int)message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        slot->end_seen = message->offset;
        slot->at_end = true;
        return;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        slot->reset = true;
        return;
    default:
        if (rd_err(message->err) == WEIR_DENIED)
            slot->refused = WEIR_DENIED;
        weir_log(&slot->client->cluster->log, WEIR_LOG_WARN, "kafka", "%s [%d]: %s", slot->topic,
                 slot->partition, rd_kafka_message_errstr(message));
        return;
    }
}

static enum weir_err take_headers(struct weir_batch *batch, rd_kafka_message_t *message,
                                  uint32_t row)
{
    rd_kafka_headers_t *headers;
    batch->headers[row] = NULL;
    batch->header_count[row] = 0;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return WEIR_OK; /* none */
    size_t count = rd_kafka_header_cnt(headers);
    struct weir_header *out = weir_arena_calloc(&batch->header_arena, count, sizeof(*out));
    if (out == NULL)
        return WEIR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *name;
        const void *value;
        size_t bytes;
        if (rd_kafka_header_get_all(headers, i, &name, &value, &bytes) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        out[i].name = weir_slice(name, strlen(name));
        out[i].value = weir_slice(value, bytes);
    }
    batch->headers[row] = out;
    batch->header_count[row] = (uint32_t)count;
    return WEIR_OK;
}

/*
 * One by one: with more in a call librdkafka 2.0.2 loses those that it has taken out of the queue,
 * but not handed over yet, when a rebalance begins meanwhile: it throws them away, and fetches on
 * behind them (its own fix: 2.1.0, #4208). What is thrown away with one in a call was never counted
 * as read.
 */
static uint32_t take_from_queue(struct rd_slot *slot, rd_kafka_message_t **messages, uint32_t count)
{
    uint32_t got = 0;
    while (got < count && rd_kafka_consume_batch_queue(slot->queue, 0, messages + got, 1) == 1)
        got++;
    return got;
}

/* Fills the arrays from the messages, and closes the gaps that events leave. Returns rows. */
static enum weir_err take_messages(struct rd_slot *slot, struct weir_batch *batch, uint32_t count,
                                   uint32_t *rows_out)
{
    uint32_t row = 0;
    uint64_t bytes = 0;
    int64_t next = slot->position; /* a rebalance may make librdkafka fetch again what we had */
    enum weir_err err = WEIR_OK;
    rd_kafka_message_t **messages = (rd_kafka_message_t **)(void *)batch->messages;
    for (uint32_t i = 0; i < count; i++) {
        rd_kafka_message_t *message = messages[i];
        if (weir_unlikely(message->err != RD_KAFKA_RESP_ERR_NO_ERROR || err != WEIR_OK ||
                          message->offset < next)) {
            if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
                take_event(slot, message);
            rd_kafka_message_destroy(message);
            continue;
        }
        rd_kafka_timestamp_type_t type;
        messages[row] = message;
        slot->at_end = false;
        batch->key[row] = weir_slice(message->key, message->key_len);
        batch->value[row] = weir_slice(message->payload, message->len);
        batch->offset[row] = message->offset;
        next = message->offset + 1;
        batch->timestamp_ms[row] = rd_kafka_message_timestamp(message, &type);
        bytes += message->len + message->key_len;
        err = take_headers(batch, message, row++);
    }
    batch->message_count = row;
    slot->taken_bytes += bytes;
    slot->taken_rows += row;
    *rows_out = row;
    return err;
}

/*
 * librdkafka 2.0.2 looks at full queues again only when a broker's thread has something else to
 * do, at the latest after a second. The one public call that wakes those threads and changes
 * nothing is to set the credentials to what they are already. It is made when half of what a full
 * queue holds has been taken: once in megabytes.
 */
static void wake_fetcher(struct rd_slot *slot)
{
    if (slot->taken_bytes < slot->wake_bytes && slot->taken_rows < slot->wake_rows)
        return;
    slot->taken_bytes = slot->taken_rows = 0;
    const struct rd_cluster *cluster = slot->client->cluster;
    rd_kafka_error_t *failure = rd_kafka_sasl_set_credentials(
        slot->client->rk, cluster->sasl_username, cluster->sasl_password);
    if (failure != NULL)
        rd_kafka_error_destroy(failure);
}

/* Behind the last record there may be control records, and what was aborted: when all records are
 * handed out the position is where librdkafka saw the end. */
static void pass_to_end(struct rd_slot *slot)
{
    if (slot->carry == NULL && slot->end_seen > slot->position)
        slot->position = slot->end_seen;
}

static void publish(struct rd_slot *slot, struct weir_batch *batch, uint32_t count,
                    struct weir_kafka_batch *out)
{
    weir_batch_publish(batch, count, out);
    out->rows.topic = slot->topic;
    out->rows.partition = slot->partition;
    out->rows.received_ns = weir_clock_now_ns(NULL);
    out->offset_next = slot->position = batch->offset[count - 1] + 1;
}

/* Moves rows first .. count-1 to another batch, which is handed out next. */
static enum weir_err carry_rest(struct rd_slot *slot, struct weir_batch_pool *pool,
                                struct weir_batch *batch, uint32_t first, uint32_t count)
{
    struct weir_batch *rest;
    enum weir_err err = weir_batch_get(pool, count - first, &rest);
    if (err != WEIR_OK)
        return err;
    for (uint32_t row = first; row < count; row++) {
        uint32_t to = row - first;
        rest->messages[to] = batch->messages[row];
        rest->key[to] = batch->key[row];
        rest->value[to] = batch->value[row];
        rest->offset[to] = batch->offset[row];
        rest->timestamp_ms[to] = batch->timestamp_ms[row];
        rest->headers[to] = NULL;
        rest->header_count[to] = 0;
        rest->message_count = to + 1;
        if (err == WEIR_OK && batch->header_count[row] > 0)
            err = take_headers(rest, rest->messages[to], to);
    }
    batch->message_count = first;
    slot->carry = rest;
    return err;
}

static enum weir_err take_carried(struct rd_slot *slot, struct weir_kafka_batch *out)
{
    struct weir_batch *batch = slot->carry;
    slot->carry = NULL;
    publish(slot, batch, batch->message_count, out);
    pass_to_end(slot);
    return WEIR_OK;
}

enum weir_err rd_slot_take(struct rd_slot *slot, struct weir_batch_pool *pool, uint32_t count_max,
                           int64_t stop, struct weir_kafka_batch *batch, struct weir_error *error)
{
    if (slot->carry != NULL)
        return take_carried(slot, batch);
    if (slot->queue == NULL || !atomic_load(&slot->ready))
        return WEIR_AGAIN;
    struct weir_batch *taken;
    enum weir_err err = weir_batch_get(pool, count_max, &taken);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for a batch, or too many are kept");
    atomic_store(&slot->ready, false);
    uint32_t got = take_from_queue(slot, (rd_kafka_message_t **)(void *)taken->messages, count_max);
    uint32_t rows = 0;
    if (got > 0) {
        atomic_store(&slot->ready, true); /* there may be more */
        err = take_messages(slot, taken, got, &rows);
        wake_fetcher(slot);
    }
    uint32_t before = stop == INT64_MAX ? rows : 0;
    while (before < rows && taken->offset[before] < stop)
        before++;
    if (err == WEIR_OK && before == 0 && rows > 0) {
        slot->carry = taken; /* a gap ends at `stop`: that is told before these */
        slot->position = stop;
        return WEIR_AGAIN;
    }
    if (err == WEIR_OK && before < rows)
        err = carry_rest(slot, pool, taken, before, rows);
    if (err != WEIR_OK) {
        /* What was taken from the queue is gone: the position says where to begin again. */
        slot->reset = true;
        weir_batch_put(taken);
        return weir_error_set(error, err, -1, "%s [%d]: no memory for headers", slot->topic,
                              slot->partition);
    }
    if (rows == 0) {
        pass_to_end(slot);
        weir_batch_put(taken);
        if (slot->refused == WEIR_OK)
            return WEIR_AGAIN;
        slot->refused = WEIR_OK;
        return rd_error(slot->client, error, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                        "%s [%d]", slot->topic, slot->partition);
    }
    publish(slot, taken, before, batch);
    if (slot->carry != NULL)
        slot->position = stop;
    pass_to_end(slot);
    return WEIR_OK;
}
