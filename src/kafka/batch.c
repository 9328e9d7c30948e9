/* The arrays behind a batch: kafka/batch.h. */
#include "kafka/batch.h"

#include "base/alloc.h"
#include "base/assert.h"

void weir_batch_pool_init(struct weir_batch_pool *pool, void (*dispose)(struct weir_batch *batch))
{
    *pool = (struct weir_batch_pool){.dispose = dispose};
}

static void batch_free(struct weir_batch *batch)
{
    weir_arena_release(&batch->header_arena);
    weir_free(batch->messages);
    weir_free(batch);
}

void weir_batch_pool_release(struct weir_batch_pool *pool)
{
    weir_assert(pool->in_use == 0); /* a batch was kept beyond the close of its consumer */
    while (pool->spare != NULL) {
        struct weir_batch *next = pool->spare->next;
        batch_free(pool->spare);
        pool->spare = next;
    }
    pool->count = 0;
}

/* One block of memory for all arrays, the widest elements first. */
static enum weir_err batch_grow(struct weir_batch *batch, uint32_t count)
{
    size_t row = sizeof(void *) + 2 * sizeof(struct weir_slice) + 2 * sizeof(int64_t) +
                 sizeof(struct weir_header *) + sizeof(uint32_t);
    char *memory = weir_calloc(count, row);
    if (memory == NULL)
        return WEIR_NOMEM;
    weir_free(batch->messages);
    batch->messages = (void **)(void *)memory;
    batch->key = (struct weir_slice *)(void *)(batch->messages + count);
    batch->value = batch->key + count;
    batch->timestamp_ms = (int64_t *)(void *)(batch->value + count);
    batch->offset = batch->timestamp_ms + count;
    batch->headers = (const struct weir_header **)(void *)(batch->offset + count);
    batch->header_count = (uint32_t *)(void *)(batch->headers + count);
    batch->capacity = count;
    return WEIR_OK;
}

static void batch_release(struct weir_kafka_batch_impl *impl)
{
    weir_batch_put(WEIR_CONTAINER(impl, struct weir_batch, impl));
}

enum weir_err weir_batch_get(struct weir_batch_pool *pool, uint32_t count,
                             struct weir_batch **batch_out)
{
    struct weir_batch *batch = pool != NULL ? pool->spare : NULL;
    if (batch != NULL) {
        pool->spare = batch->next;
    } else {
        if (pool != NULL && pool->count >= WEIR_BATCHES_MAX)
            return WEIR_LIMIT;
        batch = weir_calloc(1, sizeof(*batch));
        if (batch == NULL)
            return WEIR_NOMEM;
        batch->impl.release = batch_release;
        batch->pool = pool;
        weir_arena_init(&batch->header_arena, WEIR_BATCH_HEADER_BYTES_MAX);
        if (pool != NULL)
            pool->count++;
    }
    if (pool != NULL)
        pool->in_use++;
    if (batch->capacity < count && batch_grow(batch, count) != WEIR_OK) {
        weir_batch_put(batch);
        return WEIR_NOMEM;
    }
    *batch_out = batch;
    return WEIR_OK;
}

void weir_batch_publish(struct weir_batch *batch, uint32_t count, struct weir_kafka_batch *out)
{
    out->rows.key = batch->key;
    out->rows.value = batch->value;
    out->rows.timestamp_ms = batch->timestamp_ms;
    out->rows.offset = batch->offset;
    out->rows.headers = batch->headers;
    out->rows.header_count = batch->header_count;
    out->count = count;
    out->impl = &batch->impl;
}

void weir_batch_put(struct weir_batch *batch)
{
    struct weir_batch_pool *pool = batch->pool;
    if (pool == NULL) {
        batch_free(batch);
        return;
    }
    if (pool->dispose != NULL)
        pool->dispose(batch);
    batch->message_count = 0;
    weir_arena_reset(&batch->header_arena);
    weir_assert(pool->in_use > 0);
    pool->in_use--;
    batch->next = pool->spare;
    pool->spare = batch;
}
