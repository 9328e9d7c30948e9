/*
 * weir/kafka.h: arguments are checked here, the work is done behind the table of kafka/ops.h.
 * weir_kafka_new stands in rd.c, so that the in-memory cluster can be linked without librdkafka.
 */
#include <weir/kafka.h>

#include <string.h>

#include "base/assert.h"
#include "kafka/ops.h"

enum {
    TRANSACTION_TIMEOUT_MS_MIN = 1000,
    LINGER_MS_MAX = 900000,
    PARTITIONS_EXPECTED_MAX = 100000,
    TOPICS_MAX = 1024
};
static const size_t queue_bytes_min = 64 << 10;
static const size_t queue_bytes_max = (size_t)1 << 40;

/* clang-format off: it never settles on a layout of these lines */
#define OPS_MEMBERS(X)                                                                             \
    X(free)                                                                                        \
    X(topics_create)                                                                               \
    X(topic_grow)                                                                                  \
    X(delete_records)                                                                              \
    X(topic_partitions)                                                                            \
    X(offsets)                                                                                     \
    X(topics_list)                                                                                 \
    X(group_assignments)                                                                           \
    X(producer_new)                                                                                \
    X(produce)                                                                                     \
    X(produce_rows)                                                                                \
    X(producer_poll)                                                                               \
    X(producer_flush)                                                                              \
    X(producer_pending)                                                                            \
    X(producer_close)                                                                              \
    X(transactions_init)                                                                           \
    X(transaction_begin)                                                                           \
    X(transaction_offsets)                                                                         \
    X(transaction_commit)                                                                          \
    X(transaction_abort)                                                                           \
    X(consumer_new)                                                                                \
    X(poll)                                                                                        \
    X(commit)                                                                                      \
    X(rewind)                                                                                      \
    X(sources_changed)                                                                             \
    X(lag)                                                                                         \
    X(consumer_wake)                                                                               \
    X(consumer_close)                                                                              \
    X(table_open)                                                                                  \
    X(table_poll)                                                                                  \
    X(table_partitions)                                                                            \
    X(table_end)                                                                                   \
    X(table_wake)                                                                                  \
    X(table_close)
/* clang-format on */

enum weir_err weir_kafka_ops_check(const struct weir_kafka_ops *ops, struct weir_error *error)
{
    if (ops->abi != WEIR_KAFKA_ABI)
        return weir_error_set(error, WEIR_INVALID, -1, "the table has ABI %u, %d is needed",
                              ops->abi, WEIR_KAFKA_ABI);
#define CHECK(member)                                                                              \
    if (ops->member == NULL)                                                                       \
        return weir_error_set(error, WEIR_INVALID, -1, "%s is missing in the table", #member);
    OPS_MEMBERS(CHECK)
#undef CHECK
    return WEIR_OK;
}

/* Kafka's own rule for names of topics. */
static enum weir_err check_topic(const char *name, struct weir_error *error)
{
    size_t bytes = name != NULL ? strlen(name) : 0;
    if (bytes == 0)
        return weir_error_set(error, WEIR_INVALID, -1, "a topic has no name");
    if (bytes > WEIR_KAFKA_TOPIC_BYTES_MAX)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "the topic name %.40s... has %zu bytes, %d "
                              "at most",
                              name, bytes, WEIR_KAFKA_TOPIC_BYTES_MAX);
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    if (strspn(name, allowed) != bytes || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "the topic name %s has other characters than letters, digits, '.', "
                              "'_' and '-'",
                              name);
    return WEIR_OK;
}

static enum weir_err check_range(const char *what, int64_t value, int64_t min, int64_t max,
                                 struct weir_error *error)
{
    if (value >= min && value <= max)
        return WEIR_OK;
    return weir_error_set(error, WEIR_INVALID, -1, "%s is %lld, it must be %lld to %lld", what,
                          (long long)value, (long long)min, (long long)max);
}

static enum weir_err check_queue_bytes(size_t bytes, struct weir_error *error)
{
    return check_range("queue_bytes", bytes > queue_bytes_max ? -1 : (int64_t)bytes,
                       (int64_t)queue_bytes_min, (int64_t)queue_bytes_max, error);
}

/* ---- cluster --------------------------------------------------------------------------------- */

void weir_kafka_free(struct weir_kafka *kafka)
{
    if (kafka != NULL)
        kafka->ops->free(kafka);
}

enum weir_err weir_kafka_topics_create(struct weir_kafka *kafka,
                                       const struct weir_kafka_topic *topics, uint32_t count,
                                       int32_t timeout_ms, bool *created_out,
                                       struct weir_error *error)
{
    enum weir_err err = check_range("the number of topics", count, 0, TOPICS_MAX, error);
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++) {
        err = check_topic(topics[i].name, error);
        if (err == WEIR_OK)
            err =
                check_range("partitions", topics[i].partitions, 0, PARTITIONS_EXPECTED_MAX, error);
    }
    if (err != WEIR_OK || count == 0)
        return err;
    return kafka->ops->topics_create(kafka, topics, count, timeout_ms, created_out, error);
}

enum weir_err weir_kafka_topic_grow(struct weir_kafka *kafka, const char *topic, int32_t partitions,
                                    int32_t timeout_ms, struct weir_error *error)
{
    enum weir_err err = check_topic(topic, error);
    if (err == WEIR_OK)
        err = check_range("partitions", partitions, 1, PARTITIONS_EXPECTED_MAX, error);
    if (err != WEIR_OK)
        return err;
    return kafka->ops->topic_grow(kafka, topic, partitions, timeout_ms, error);
}

enum weir_err weir_kafka_delete_records(struct weir_kafka *kafka,
                                        const struct weir_kafka_partition *partitions,
                                        uint32_t count, int32_t timeout_ms,
                                        struct weir_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        enum weir_err err = check_topic(partitions[i].topic, error);
        if (err != WEIR_OK)
            return err;
        weir_assert(partitions[i].offset >= 0);
    }
    return count > 0 ? kafka->ops->delete_records(kafka, partitions, count, timeout_ms, error)
                     : WEIR_OK;
}

enum weir_err weir_kafka_topic_partitions(struct weir_kafka *kafka, const char *topic,
                                          int32_t timeout_ms, int32_t *partitions_out,
                                          struct weir_error *error)
{
    enum weir_err err = check_topic(topic, error);
    if (err != WEIR_OK)
        return err;
    return kafka->ops->topic_partitions(kafka, topic, timeout_ms, partitions_out, error);
}

enum weir_err weir_kafka_offsets(struct weir_kafka *kafka, const char *topic, int32_t partition,
                                 int32_t timeout_ms, int64_t *first_out, int64_t *next_out,
                                 struct weir_error *error)
{
    enum weir_err err = check_topic(topic, error);
    if (err == WEIR_OK)
        err = check_range("partition", partition, 0, INT32_MAX, error);
    if (err != WEIR_OK)
        return err;
    return kafka->ops->offsets(kafka, topic, partition, timeout_ms, first_out, next_out, error);
}

enum weir_err weir_kafka_topics_list(struct weir_kafka *kafka, int32_t timeout_ms,
                                     void (*each)(void *opaque, const char *name,
                                                  int32_t partitions),
                                     void *opaque, struct weir_error *error)
{
    return kafka->ops->topics_list(kafka, timeout_ms, each, opaque, error);
}

enum weir_err
weir_kafka_group_assignments(struct weir_kafka *kafka, const char *group_id, int32_t timeout_ms,
                             void (*each)(void *opaque, const struct weir_kafka_assignment *found),
                             void *opaque, struct weir_error *error)
{
    return kafka->ops->group_assignments(kafka, group_id, timeout_ms, each, opaque, error);
}

/* ---- producer -------------------------------------------------------------------------------- */

void weir_kafka_producer_options_default(struct weir_kafka_producer_options *options)
{
    *options = (struct weir_kafka_producer_options){
        .linger_ms = 5,
        .delivery_timeout_ms = 120000,
        .queue_bytes = 64 << 20,
        .compression = "none",
        .transaction_timeout_ms = 60000,
    };
}

enum weir_err weir_kafka_producer_new(struct weir_kafka *kafka,
                                      const struct weir_kafka_producer_options *options,
                                      struct weir_kafka_producer **producer_out,
                                      struct weir_error *error)
{
    static const char *const kinds[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    bool known = options->compression == NULL;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(kinds) && !known; i++)
        known = strcmp(options->compression, kinds[i]) == 0;
    if (!known)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "compression is %s, it must be none, gzip, snappy, lz4 or zstd",
                              options->compression);
    enum weir_err err = check_range("linger_ms", options->linger_ms, 0, LINGER_MS_MAX, error);
    if (err == WEIR_OK)
        err = check_range("delivery_timeout_ms", options->delivery_timeout_ms, 1, INT32_MAX, error);
    if (err == WEIR_OK)
        err = check_queue_bytes(options->queue_bytes, error);
    if (err == WEIR_OK && options->linger_ms >= options->delivery_timeout_ms)
        err = weir_error_set(error, WEIR_INVALID, -1,
                             "linger_ms is %d, it must be below delivery_timeout_ms, which is %d",
                             options->linger_ms, options->delivery_timeout_ms);
    if (err == WEIR_OK && options->transactional_id != NULL)
        err = check_range("transaction_timeout_ms", options->transaction_timeout_ms,
                          TRANSACTION_TIMEOUT_MS_MIN, INT32_MAX, error);
    if (err != WEIR_OK)
        return err;
    return kafka->ops->producer_new(kafka, options, producer_out, error);
}

enum weir_err weir_kafka_produce(struct weir_kafka_producer *producer,
                                 const struct weir_kafka_record *record, struct weir_error *error)
{
    return producer->ops->produce(producer, record, error);
}

enum weir_err weir_kafka_produce_rows(struct weir_kafka_producer *producer, const char *topic,
                                      int32_t partition, const struct weir_rows *rows,
                                      uint32_t first, uint32_t end, void *opaque,
                                      uint32_t *accepted_out, struct weir_error *error)
{
    weir_assert(first <= end);
    return producer->ops->produce_rows(producer, topic, partition, rows, first, end, opaque,
                                       accepted_out, error);
}

uint32_t weir_kafka_producer_poll(struct weir_kafka_producer *producer, int32_t timeout_ms)
{
    return producer->ops->producer_poll(producer, timeout_ms);
}

enum weir_err weir_kafka_producer_flush(struct weir_kafka_producer *producer, int32_t timeout_ms)
{
    return producer->ops->producer_flush(producer, timeout_ms);
}

uint64_t weir_kafka_producer_pending(const struct weir_kafka_producer *producer)
{
    return producer->ops->producer_pending(producer);
}

void weir_kafka_producer_close(struct weir_kafka_producer *producer)
{
    if (producer != NULL)
        producer->ops->producer_close(producer);
}

/* ---- transactions ---------------------------------------------------------------------------- */

enum weir_err weir_kafka_transactions_init(struct weir_kafka_producer *producer, int32_t timeout_ms,
                                           struct weir_error *error)
{
    return producer->ops->transactions_init(producer, timeout_ms, error);
}

enum weir_err weir_kafka_transaction_begin(struct weir_kafka_producer *producer,
                                           struct weir_error *error)
{
    return producer->ops->transaction_begin(producer, error);
}

enum weir_err weir_kafka_transaction_offsets(struct weir_kafka_producer *producer,
                                             struct weir_kafka_consumer *consumer,
                                             struct weir_kafka_partition *partitions,
                                             uint32_t count, int32_t timeout_ms,
                                             struct weir_error *error)
{
    for (uint32_t i = 0; i < count; i++)
        weir_assert(partitions[i].topic != NULL && partitions[i].offset >= 0);
    weir_assert(producer->ops == consumer->ops);
    return count > 0 ? producer->ops->transaction_offsets(producer, consumer, partitions, count,
                                                          timeout_ms, error)
                     : WEIR_OK;
}

enum weir_err weir_kafka_transaction_commit(struct weir_kafka_producer *producer,
                                            int32_t timeout_ms, struct weir_error *error)
{
    return producer->ops->transaction_commit(producer, timeout_ms, error);
}

enum weir_err weir_kafka_transaction_abort(struct weir_kafka_producer *producer, int32_t timeout_ms,
                                           struct weir_error *error)
{
    return producer->ops->transaction_abort(producer, timeout_ms, error);
}

/* ---- consumer -------------------------------------------------------------------------------- */

void weir_kafka_consumer_options_default(struct weir_kafka_consumer_options *options)
{
    *options = (struct weir_kafka_consumer_options){
        .queue_bytes = 64 << 20,
        .partitions_expected = 16,
    };
}

enum weir_err weir_kafka_consumer_new(struct weir_kafka *kafka,
                                      const struct weir_kafka_consumer_options *options,
                                      struct weir_kafka_consumer **consumer_out,
                                      struct weir_error *error)
{
    if (options->group_id == NULL || options->group_id[0] == '\0')
        return weir_error_set(error, WEIR_INVALID, -1, "group.id is empty");
    enum weir_err err =
        check_range("the number of topics", options->topic_count, 1, TOPICS_MAX, error);
    for (uint32_t i = 0; i < options->topic_count && err == WEIR_OK; i++)
        err = check_topic(options->topics[i], error);
    if (err == WEIR_OK)
        err = check_queue_bytes(options->queue_bytes, error);
    if (err == WEIR_OK)
        err = check_range("partitions_expected", options->partitions_expected, 1,
                          PARTITIONS_EXPECTED_MAX, error);
    if (err != WEIR_OK)
        return err;
    return kafka->ops->consumer_new(kafka, options, consumer_out, error);
}

enum weir_err weir_kafka_poll(struct weir_kafka_consumer *consumer, uint32_t count_max,
                              int32_t timeout_ms,
                              bool (*want)(void *opaque, int32_t partition_index),
                              void *want_opaque, struct weir_kafka_batch *batch,
                              struct weir_error *error)
{
    weir_assert(count_max > 0 && count_max <= WEIR_KAFKA_BATCH_MAX);
    memset(batch, 0, sizeof(*batch));
    return consumer->ops->poll(consumer, count_max, timeout_ms, want, want_opaque, batch, error);
}

enum weir_err weir_kafka_commit(struct weir_kafka_consumer *consumer,
                                struct weir_kafka_partition *partitions, uint32_t count,
                                int32_t timeout_ms, struct weir_error *error)
{
    if (count == 0)
        return WEIR_OK;
    for (uint32_t i = 0; i < count; i++)
        weir_assert(partitions[i].topic != NULL && partitions[i].offset >= 0);
    return consumer->ops->commit(consumer, partitions, count, timeout_ms, error);
}

enum weir_err weir_kafka_rewind(struct weir_kafka_consumer *consumer, int32_t partition_index,
                                int64_t offset, struct weir_error *error)
{
    weir_assert(offset >= 0);
    return consumer->ops->rewind(consumer, partition_index, offset, error);
}

void weir_kafka_sources_changed(struct weir_kafka_consumer *consumer)
{
    consumer->ops->sources_changed(consumer);
}

int64_t weir_kafka_lag(const struct weir_kafka_consumer *consumer, int32_t partition_index)
{
    return consumer->ops->lag(consumer, partition_index);
}

void weir_kafka_consumer_wake(struct weir_kafka_consumer *consumer)
{
    consumer->ops->consumer_wake(consumer);
}

void weir_kafka_consumer_close(struct weir_kafka_consumer *consumer, int32_t timeout_ms)
{
    if (consumer != NULL)
        consumer->ops->consumer_close(consumer, timeout_ms);
}

void weir_kafka_batch_release(struct weir_kafka_batch *batch)
{
    if (batch == NULL || batch->impl == NULL)
        return;
    struct weir_kafka_batch_impl *impl = batch->impl;
    memset(batch, 0, sizeof(*batch));
    impl->release(impl);
}

/* ---- table ----------------------------------------------------------------------------------- */

void weir_kafka_table_options_default(struct weir_kafka_table_options *options)
{
    *options = (struct weir_kafka_table_options){
        .offset = WEIR_KAFKA_BEGINNING,
        .partition = -1,
        .queue_bytes = 16 << 20,
    };
}

enum weir_err weir_kafka_table_open(struct weir_kafka *kafka,
                                    const struct weir_kafka_table_options *options,
                                    struct weir_kafka_table **table_out, struct weir_error *error)
{
    enum weir_err err = check_topic(options->topic, error);
    if (err == WEIR_OK)
        err = check_range("offset", options->offset, WEIR_KAFKA_END, INT64_MAX, error);
    if (err == WEIR_OK && options->offset == -1)
        err = weir_error_set(error, WEIR_INVALID, -1, "offset is -1, which is none");
    if (err == WEIR_OK)
        err = check_range("partition", options->partition, -1, INT32_MAX, error);
    if (err == WEIR_OK)
        err = check_queue_bytes(options->queue_bytes, error);
    if (err != WEIR_OK)
        return err;
    return kafka->ops->table_open(kafka, options, table_out, error);
}

enum weir_err weir_kafka_table_poll(struct weir_kafka_table *table, uint32_t count_max,
                                    int32_t timeout_ms, struct weir_kafka_batch *batch,
                                    struct weir_error *error)
{
    weir_assert(count_max > 0 && count_max <= WEIR_KAFKA_BATCH_MAX);
    memset(batch, 0, sizeof(*batch));
    return table->ops->table_poll(table, count_max, timeout_ms, batch, error);
}

int32_t weir_kafka_table_partitions(const struct weir_kafka_table *table)
{
    return table->ops->table_partitions(table);
}

int64_t weir_kafka_table_end(const struct weir_kafka_table *table, int32_t partition)
{
    return table->ops->table_end(table, partition);
}

void weir_kafka_table_wake(struct weir_kafka_table *table)
{
    table->ops->table_wake(table);
}

void weir_kafka_table_close(struct weir_kafka_table *table)
{
    if (table != NULL)
        table->ops->table_close(table);
}
