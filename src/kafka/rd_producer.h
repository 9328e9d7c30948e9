/*
 * kafka/rd_producer.h - the producer on librdkafka, for rd_producer.c and rd_transaction.c.
 *
 * Life:    rd_producer_new -> rd_producer_close.
 * Threads: the producer's.
 * Memory:  topics are kept until it is closed.
 * Errors:  weir/kafka.h.
 */
#ifndef WEIR_KAFKA_RD_PRODUCER_H
#define WEIR_KAFKA_RD_PRODUCER_H

#include "base/map.h"
#include "kafka/rd.h"

struct rd_producer {
    struct weir_kafka_producer base;
    struct rd_client client;
    weir_kafka_delivered *delivered;
    void *opaque;
    bool has_transactions;
    uint64_t pending;
    uint32_t reported;            /* since poll or flush began */
    struct weir_map topics;       /* name -> rd_kafka_topic_t */
    rd_kafka_topic_t *last_topic; /* of the record before: most often the same again */
    const char *last_name;
};

static inline struct rd_producer *rd_producer_of(const struct weir_kafka_producer *base)
{
    return (struct rd_producer *)(uintptr_t)base;
}

#endif
