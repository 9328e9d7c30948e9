/*
 * The producer on librdkafka: idempotent, acks=all, one delivery report a record.
 *
 * librdkafka copies the record and keeps order, retries and sequence numbers; what is counted here
 * is only how many reports are still to come.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "kafka/rd_producer.h"

enum {
    PRODUCER_TOPICS_MAX = 10000,
    MESSAGE_OVERHEAD = 256, /* bytes librdkafka spends on a message beyond its content, about */
    PURGE_MS = 1000,
    ABORT_MS = 1000,
};

/* The report of one record. */
static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct rd_producer *producer =
        WEIR_CONTAINER((struct rd_client *)opaque, struct rd_producer, client);
    producer->pending--;
    producer->reported++;
    if (producer->delivered == NULL)
        return;
    if (weir_likely(message->err == RD_KAFKA_RESP_ERR_NO_ERROR)) {
        producer->delivered(producer->opaque, message->_private, message->partition,
                            message->offset, NULL);
        return;
    }
    struct weir_error error = {0};
    char reason[200];
    bool fatal = rd_kafka_fatal_error(rk, reason, sizeof(reason)) != RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_error(&producer->client, &error, message->err, "%s [%d]: not delivered",
             rd_kafka_topic_name(message->rkt), message->partition);
    if (fatal) {
        weir_error_context(&error, "%s", reason);
        error.fatal = true;
        error.retriable = true; /* with another producer */
    }
    /* A topic that is not there may be there later; a partition beyond its count will not. */
    if (message->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        error.retriable = false;
    producer->delivered(producer->opaque, message->_private, message->partition, -1, &error);
}

enum weir_err rd_producer_new(struct weir_kafka *kafka,
                              const struct weir_kafka_producer_options *options,
                              struct weir_kafka_producer **producer_out, struct weir_error *error)
{
    char linger[16], timeout[16], transaction_timeout[16], kbytes[24], messages[24];
    bool has_transactions = options->transactional_id != NULL;
    size_t queue_kbytes = options->queue_bytes / 1024;
    size_t queue_messages = options->queue_bytes / MESSAGE_OVERHEAD;
    snprintf(linger, sizeof(linger), "%d", options->linger_ms);
    /* A transaction does not wait for a record longer than the broker for the transaction. */
    snprintf(timeout, sizeof(timeout), "%d",
             has_transactions && options->transaction_timeout_ms < options->delivery_timeout_ms
                 ? options->transaction_timeout_ms
                 : options->delivery_timeout_ms);
    snprintf(transaction_timeout, sizeof(transaction_timeout), "%d",
             options->transaction_timeout_ms);
    snprintf(kbytes, sizeof(kbytes), "%zu",
             queue_kbytes > INT32_MAX ? (size_t)INT32_MAX : queue_kbytes);
    snprintf(messages, sizeof(messages), "%zu",
             queue_messages > 10000000 ? (size_t)10000000 : queue_messages);
    const struct rd_setting defaults[] = {
        {"enable.idempotence", "true"},
        {"partitioner", "murmur2_random"},
        {"linger.ms", linger},
        {"delivery.timeout.ms", timeout},
        {"queue.buffering.max.kbytes", kbytes},
        {"queue.buffering.max.messages", messages},
        {"compression.codec", options->compression != NULL ? options->compression : "none"},
        {"transactional.id", options->transactional_id},
        {"transaction.timeout.ms", has_transactions ? transaction_timeout : NULL},
        {NULL, NULL},
    };
    struct rd_producer *producer = weir_calloc(1, sizeof(*producer));
    if (producer == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a producer");
    producer->base.ops = &weir_kafka_rd_ops;
    producer->delivered = options->delivered;
    producer->opaque = options->opaque;
    producer->has_transactions = has_transactions;
    weir_map_init(&producer->topics, PRODUCER_TOPICS_MAX);
    rd_kafka_conf_t *conf;
    struct rd_cluster *cluster = rd_cluster_of(kafka);
    enum weir_err err = rd_conf_new(cluster, defaults, NULL, &conf, error);
    if (err == WEIR_OK) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
        err = rd_client_open(&producer->client, cluster, RD_KAFKA_PRODUCER, conf, error);
    }
    if (err != WEIR_OK) {
        weir_free(producer);
        return err;
    }
    *producer_out = &producer->base;
    return WEIR_OK;
}

/* ---- produce --------------------------------------------------------------------------------- */

static enum weir_err topic_get(struct rd_producer *producer, const char *name,
                               rd_kafka_topic_t **topic_out, struct weir_error *error)
{
    if (producer->last_topic != NULL && strcmp(producer->last_name, name) == 0) {
        *topic_out = producer->last_topic;
        return WEIR_OK;
    }
    rd_kafka_topic_t *topic = weir_map_get_text(&producer->topics, name);
    if (topic == NULL) {
        topic = rd_kafka_topic_new(producer->client.rk, name, NULL);
        if (topic == NULL)
            return rd_error(&producer->client, error, rd_kafka_last_error(), "topic %s", name);
        enum weir_err err = weir_map_put_text(&producer->topics, name, topic);
        if (err != WEIR_OK) {
            rd_kafka_topic_destroy(topic);
            return weir_error_set(error, err, -1, "a producer writes to %d topics at most",
                                  PRODUCER_TOPICS_MAX);
        }
    }
    producer->last_topic = *topic_out = topic;
    producer->last_name = rd_kafka_topic_name(topic);
    return WEIR_OK;
}

static enum weir_err headers_make(const struct weir_kafka_record *record,
                                  rd_kafka_headers_t **headers_out, struct weir_error *error)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);
    for (uint32_t i = 0; i < record->header_count; i++) {
        weir_assert(record->headers != NULL);
        const struct weir_header *header = &record->headers[i];
        rd_kafka_resp_err_t err =
            rd_kafka_header_add(headers, header->name.data, (ssize_t)header->name.bytes,
                                header->value.data, (ssize_t)header->value.bytes);
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_headers_destroy(headers);
            return rd_error(NULL, error, err, "header %u", i);
        }
    }
    *headers_out = headers;
    return WEIR_OK;
}

static enum weir_err refused(struct rd_producer *producer, const char *topic, int32_t partition,
                             rd_kafka_error_t *failure, struct weir_error *error)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(failure);
    rd_kafka_error_destroy(failure);
    enum weir_err err = rd_error(&producer->client, error, code, "%s [%d]", topic, partition);
    if (code == RD_KAFKA_RESP_ERR__STATE)
        err = weir_error_set(error, WEIR_CLOSED, -1,
                             "%s [%d]: no transaction is open, or it failed", topic, partition);
    char reason[200];
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(producer->client.rk, reason, sizeof(reason));
    if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR) {
        err = rd_error(NULL, error, fatal, "%s [%d]: the producer can't go on: %s", topic,
                       partition, reason);
        if (error != NULL)
            error->fatal = true;
    }
    return err;
}

static inline enum weir_err produce_one(struct rd_producer *producer, rd_kafka_topic_t *topic,
                                        const struct weir_kafka_record *record,
                                        struct weir_error *error)
{
    rd_kafka_vu_t units[8];
    size_t count = 0;
    units[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic};
    units[count++] =
        (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_PARTITION,
                        .u.i32 = record->partition < 0 ? RD_KAFKA_PARTITION_UA : record->partition};
    units[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY};
    units[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = record->opaque};
    units[count++] =
        (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_VALUE,
                        .u.mem = {(void *)(uintptr_t)record->value.data, record->value.bytes}};
    units[count++] =
        (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_KEY,
                        .u.mem = {(void *)(uintptr_t)record->key.data, record->key.bytes}};
    /* librdkafka takes 0 for "now"; so does a record of 1 January 1970, which we let pass. */
    units[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TIMESTAMP,
                                     .u.i64 = record->timestamp_ms < 0 ? 0 : record->timestamp_ms};
    rd_kafka_headers_t *headers = NULL;
    if (record->header_count > 0) {
        enum weir_err err = headers_make(record, &headers, error);
        if (err != WEIR_OK)
            return err;
        units[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers};
    }
    rd_kafka_error_t *failure = rd_kafka_produceva(producer->client.rk, units, count);
    if (weir_likely(failure == NULL)) {
        producer->pending++;
        return WEIR_OK;
    }
    if (headers != NULL)
        rd_kafka_headers_destroy(headers);
    return refused(producer, rd_kafka_topic_name(topic), record->partition, failure, error);
}

enum weir_err rd_produce(struct weir_kafka_producer *base, const struct weir_kafka_record *record,
                         struct weir_error *error)
{
    struct rd_producer *producer = rd_producer_of(base);
    rd_kafka_topic_t *topic = NULL;
    enum weir_err err = topic_get(producer, record->topic, &topic, error);
    return err == WEIR_OK ? produce_one(producer, topic, record, error) : err;
}

enum weir_err rd_produce_rows(struct weir_kafka_producer *base, const char *topic_name,
                              int32_t partition, const struct weir_rows *rows, uint32_t first,
                              uint32_t end, void *opaque, uint32_t *accepted_out,
                              struct weir_error *error)
{
    static const struct weir_slice none;
    struct rd_producer *producer = rd_producer_of(base);
    rd_kafka_topic_t *topic = NULL;
    enum weir_err err = topic_get(producer, topic_name, &topic, error);
    uint32_t row = first;
    for (; err == WEIR_OK && row < end; row++) {
        const struct weir_kafka_record record = {
            .topic = topic_name,
            .partition = partition,
            .timestamp_ms = rows->timestamp_ms != NULL ? rows->timestamp_ms[row] : -1,
            .key = rows->key != NULL ? rows->key[row] : none,
            .value = rows->value != NULL ? rows->value[row] : none,
            .headers = rows->headers != NULL ? rows->headers[row] : NULL,
            .header_count = rows->header_count != NULL ? rows->header_count[row] : 0,
            .opaque = opaque,
        };
        err = produce_one(producer, topic, &record, error);
        if (err != WEIR_OK)
            break;
    }
    *accepted_out = row - first;
    return err;
}

/* ---- reports --------------------------------------------------------------------------------- */

uint32_t rd_producer_poll(struct weir_kafka_producer *base, int32_t timeout_ms)
{
    struct rd_producer *producer = rd_producer_of(base);
    producer->reported = 0;
    rd_kafka_poll(producer->client.rk, timeout_ms);
    return producer->reported;
}

enum weir_err rd_producer_flush(struct weir_kafka_producer *base, int32_t timeout_ms)
{
    struct rd_producer *producer = rd_producer_of(base);
    if (producer->pending > 0)
        (void)rd_kafka_flush(producer->client.rk, timeout_ms); /* also ends the lingering */
    return producer->pending == 0 ? WEIR_OK : WEIR_TIMEOUT;
}

uint64_t rd_producer_pending(const struct weir_kafka_producer *base)
{
    return rd_producer_of(base)->pending;
}

void rd_producer_close(struct weir_kafka_producer *base)
{
    struct rd_producer *producer = rd_producer_of(base);
    rd_kafka_error_t *failure = NULL;
    if (producer->has_transactions) /* fails where none is open, which is well */
        failure = rd_kafka_abort_transaction(producer->client.rk, ABORT_MS);
    if (failure != NULL)
        rd_kafka_error_destroy(failure);
    if (producer->pending > 0) {
        rd_kafka_purge(producer->client.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        int64_t deadline_ns = weir_clock_now_ns(NULL) + PURGE_MS * WEIR_NS_PER_MS;
        while (producer->pending > 0 && weir_clock_now_ns(NULL) < deadline_ns)
            rd_kafka_poll(producer->client.rk, 10);
    }
    if (producer->pending > 0)
        weir_log(&producer->client.cluster->log, WEIR_LOG_ERROR, "kafka",
                 "%llu records have no report at the close of their producer",
                 (unsigned long long)producer->pending);
    for (struct weir_map_entry *entry = NULL;
         (entry = weir_map_next(&producer->topics, entry)) != NULL;)
        rd_kafka_topic_destroy(entry->value.pointer);
    weir_map_release(&producer->topics);
    rd_client_close(&producer->client, 0);
    weir_free(producer);
}
