/*
 * kafka/ops.h - what a cluster is made of: the table that an implementation of weir/kafka.h fills.
 *
 * What:    weir/kafka.h checks arguments and dispatches through this table. Two implementations:
 *          librdkafka (kafka/rd.h) and the in-memory cluster (kafka/fake/fake.h).
 * Life:    a table is static; a handle begins with the base struct below, filled by its maker.
 * Threads: as weir/kafka.h says.
 * Memory:  handles are allocated and freed by the implementation.
 * Errors:  as weir/kafka.h says. A member may rely on checked arguments: required pointers are not
 *          NULL, counts and names are within their limits, numeric options within their ranges.
 */
#ifndef WEIR_KAFKA_OPS_H
#define WEIR_KAFKA_OPS_H

#include <weir/kafka.h>

#define WEIR_KAFKA_ABI 1

/* Members have the meaning of the public function of the same name; all are required. */
struct weir_kafka_ops {
    uint32_t abi; /* WEIR_KAFKA_ABI */

    void (*free)(struct weir_kafka *kafka);
    enum weir_err (*topics_create)(struct weir_kafka *kafka, const struct weir_kafka_topic *topics,
                                   uint32_t count, int32_t timeout_ms, bool *created_out,
                                   struct weir_error *error);
    enum weir_err (*topic_grow)(struct weir_kafka *kafka, const char *topic, int32_t partitions,
                                int32_t timeout_ms, struct weir_error *error);
    enum weir_err (*delete_records)(struct weir_kafka *kafka,
                                    const struct weir_kafka_partition *partitions, uint32_t count,
                                    int32_t timeout_ms, struct weir_error *error);
    enum weir_err (*topic_partitions)(struct weir_kafka *kafka, const char *topic,
                                      int32_t timeout_ms, int32_t *partitions_out,
                                      struct weir_error *error);
    enum weir_err (*offsets)(struct weir_kafka *kafka, const char *topic, int32_t partition,
                             int32_t timeout_ms, int64_t *first_out, int64_t *next_out,
                             struct weir_error *error);
    enum weir_err (*topics_list)(struct weir_kafka *kafka, int32_t timeout_ms,
                                 void (*each)(void *opaque, const char *name, int32_t partitions),
                                 void *opaque, struct weir_error *error);
    enum weir_err (*group_assignments)(struct weir_kafka *kafka, const char *group_id,
                                       int32_t timeout_ms,
                                       void (*each)(void *opaque,
                                                    const struct weir_kafka_assignment *found),
                                       void *opaque, struct weir_error *error);

    enum weir_err (*producer_new)(struct weir_kafka *kafka,
                                  const struct weir_kafka_producer_options *options,
                                  struct weir_kafka_producer **producer_out,
                                  struct weir_error *error);
    enum weir_err (*produce)(struct weir_kafka_producer *producer,
                             const struct weir_kafka_record *record, struct weir_error *error);
    enum weir_err (*produce_rows)(struct weir_kafka_producer *producer, const char *topic,
                                  int32_t partition, const struct weir_rows *rows, uint32_t first,
                                  uint32_t end, void *opaque, uint32_t *accepted_out,
                                  struct weir_error *error);
    uint32_t (*producer_poll)(struct weir_kafka_producer *producer, int32_t timeout_ms);
    enum weir_err (*producer_flush)(struct weir_kafka_producer *producer, int32_t timeout_ms);
    uint64_t (*producer_pending)(const struct weir_kafka_producer *producer);
    void (*producer_close)(struct weir_kafka_producer *producer);
    enum weir_err (*transactions_init)(struct weir_kafka_producer *producer, int32_t timeout_ms,
                                       struct weir_error *error);
    enum weir_err (*transaction_begin)(struct weir_kafka_producer *producer,
                                       struct weir_error *error);
    enum weir_err (*transaction_offsets)(struct weir_kafka_producer *producer,
                                         struct weir_kafka_consumer *consumer,
                                         struct weir_kafka_partition *partitions, uint32_t count,
                                         int32_t timeout_ms, struct weir_error *error);
    enum weir_err (*transaction_commit)(struct weir_kafka_producer *producer, int32_t timeout_ms,
                                        struct weir_error *error);
    enum weir_err (*transaction_abort)(struct weir_kafka_producer *producer, int32_t timeout_ms,
                                       struct weir_error *error);

    enum weir_err (*consumer_new)(struct weir_kafka *kafka,
                                  const struct weir_kafka_consumer_options *options,
                                  struct weir_kafka_consumer **consumer_out,
                                  struct weir_error *error);
    enum weir_err (*poll)(struct weir_kafka_consumer *consumer, uint32_t count_max,
                          int32_t timeout_ms, bool (*want)(void *opaque, int32_t partition_index),
                          void *want_opaque, struct weir_kafka_batch *batch,
                          struct weir_error *error);
    enum weir_err (*commit)(struct weir_kafka_consumer *consumer,
                            struct weir_kafka_partition *partitions, uint32_t count,
                            int32_t timeout_ms, struct weir_error *error);
    enum weir_err (*rewind)(struct weir_kafka_consumer *consumer, int32_t partition_index,
                            int64_t offset, struct weir_error *error);
    void (*sources_changed)(struct weir_kafka_consumer *consumer);
    int64_t (*lag)(const struct weir_kafka_consumer *consumer, int32_t partition_index);
    void (*consumer_wake)(struct weir_kafka_consumer *consumer);
    void (*consumer_close)(struct weir_kafka_consumer *consumer, int32_t timeout_ms);

    enum weir_err (*table_open)(struct weir_kafka *kafka,
                                const struct weir_kafka_table_options *options,
                                struct weir_kafka_table **table_out, struct weir_error *error);
    enum weir_err (*table_poll)(struct weir_kafka_table *table, uint32_t count_max,
                                int32_t timeout_ms, struct weir_kafka_batch *batch,
                                struct weir_error *error);
    int32_t (*table_partitions)(const struct weir_kafka_table *table);
    int64_t (*table_end)(const struct weir_kafka_table *table, int32_t partition);
    void (*table_wake)(struct weir_kafka_table *table);
    void (*table_close)(struct weir_kafka_table *table);
};

/* First members of every implementation's handles. */
struct weir_kafka {
    const struct weir_kafka_ops *ops;
};
struct weir_kafka_producer {
    const struct weir_kafka_ops *ops;
};
struct weir_kafka_consumer {
    const struct weir_kafka_ops *ops;
};
struct weir_kafka_table {
    const struct weir_kafka_ops *ops;
};

/* What batch->impl points to. */
struct weir_kafka_batch_impl {
    void (*release)(struct weir_kafka_batch_impl *impl);
};

/* INVALID, and which member is missing or of another ABI. */
WEIR_MUST_USE enum weir_err weir_kafka_ops_check(const struct weir_kafka_ops *ops,
                                                 struct weir_error *error);

#endif
