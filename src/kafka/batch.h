/*
 * kafka/batch.h - the arrays behind struct weir_kafka_batch, kept for the next one.
 *
 * What:    a pool of batches for one consumer or table: key, value, timestamp, offset and headers
 *          as arrays, and for librdkafka the messages that the bytes are borrowed from.
 * Life:    weir_batch_pool_init -> get -> fill -> publish -> (the caller's release) -> release.
 * Threads: those of the consumer or table.
 * Memory:  a batch is allocated the first time as many are in use at once and then kept; arrays
 *          grow to the largest count asked for. Headers live in an arena a batch.
 * Errors:  NOMEM; LIMIT (WEIR_BATCHES_MAX are not released).
 */
#ifndef WEIR_KAFKA_BATCH_H
#define WEIR_KAFKA_BATCH_H

#include "base/arena.h"
#include "kafka/ops.h"

enum { WEIR_BATCHES_MAX = 4096, WEIR_BATCH_HEADER_BYTES_MAX = 64 << 20 };

struct weir_batch;

struct weir_batch_pool {
    struct weir_batch *spare; /* list by `next` */
    uint32_t count;           /* made */
    uint32_t in_use;
    void (*dispose)(struct weir_batch *batch); /* before a batch is spare again; may be NULL */
};

struct weir_batch {
    struct weir_kafka_batch_impl impl;
    struct weir_batch_pool *pool; /* NULL: freed on release */
    struct weir_batch *next;
    uint32_t capacity;
    uint32_t message_count; /* of `messages`, in use */
    void **messages;        /* [capacity] rd_kafka_message_t *; the in-memory cluster has none */
    struct weir_slice *key, *value;
    int64_t *timestamp_ms, *offset;
    const struct weir_header **headers;
    uint32_t *header_count;
    struct weir_arena header_arena;
};

void weir_batch_pool_init(struct weir_batch_pool *pool, void (*dispose)(struct weir_batch *batch));
/* Every batch must have been released (asserted). */
void weir_batch_pool_release(struct weir_batch_pool *pool);
/* A batch with room for `count` rows. pool NULL: one of its own. */
WEIR_MUST_USE enum weir_err weir_batch_get(struct weir_batch_pool *pool, uint32_t count,
                                           struct weir_batch **batch_out);
/* Points *out at the first `count` rows; from now on the caller of weir_kafka_poll owns it. */
void weir_batch_publish(struct weir_batch *batch, uint32_t count, struct weir_kafka_batch *out);
/* Gives back a batch that was not published. */
void weir_batch_put(struct weir_batch *batch);

#endif
