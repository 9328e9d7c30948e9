/* Sequences of idempotent producers: plog/producers.h. The file is in producers_snapshot.c. */
#include "plog/producers.h"

#include "base/alloc.h"
#include "base/assert.h"

void weir_plog_producers_init(struct plog_producers *producers)
{
    weir_map_init(&producers->map, PLOG_PRODUCERS_MAX);
    producers->txn_oldest = producers->txn_youngest = NULL;
}

void weir_plog_producers_clear(struct plog_producers *producers)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&producers->map, e)) != NULL;)
        weir_free(e->value.pointer);
    weir_map_clear(&producers->map);
    producers->txn_oldest = producers->txn_youngest = NULL;
}

void weir_plog_producers_release(struct plog_producers *producers)
{
    weir_plog_producers_clear(producers);
    weir_map_release(&producers->map);
}

static struct plog_producer *find(const struct plog_producers *producers, int64_t id)
{
    return weir_map_get(&producers->map, weir_slice(&id, sizeof id));
}

const struct plog_producer *weir_plog_producers_find(const struct plog_producers *producers,
                                                     int64_t id)
{
    return find(producers, id);
}

static const struct plog_producer_batch *find_repeat(const struct plog_producer *producer,
                                                     const struct plog_head *head)
{
    for (uint8_t i = 0; i < producer->batch_count; i++) {
        const struct plog_producer_batch *batch = &producer->batches[i];
        if (batch->offset_delta == head->last_offset_delta &&
            batch->sequence_last == plog_sequence_add(head->sequence_base, head->last_offset_delta))
            return batch;
    }
    return NULL;
}

enum weir_plog_refusal weir_plog_producers_check(const struct plog_producers *producers,
                                                 const struct plog_head *head,
                                                 const struct plog_producer_batch **repeat_out)
{
    const struct plog_producer *producer = find(producers, head->producer_id);
    const struct plog_producer_batch *newest;
    uint32_t behind;

    *repeat_out = NULL;
    if (producer == NULL)
        return WEIR_PLOG_ACCEPTED;
    if (head->producer_epoch < producer->epoch)
        return WEIR_PLOG_INVALID_PRODUCER_EPOCH;
    if (head->producer_epoch > producer->epoch)
        return head->sequence_base == 0 ? WEIR_PLOG_ACCEPTED : WEIR_PLOG_OUT_OF_ORDER_SEQUENCE;
    if (producer->txn_offset_first >= 0 && !(head->attributes & PLOG_TRANSACTIONAL))
        return WEIR_PLOG_INVALID_TXN_STATE;
    /* Only a transaction marker so far: any sequence begins. */
    if (producer->batch_count == 0)
        return WEIR_PLOG_ACCEPTED;
    *repeat_out = find_repeat(producer, head);
    if (*repeat_out != NULL)
        return WEIR_PLOG_ACCEPTED;
    newest = &producer->batches[producer->batch_newest];
    if (head->sequence_base == plog_sequence_add(newest->sequence_last, 1))
        return WEIR_PLOG_ACCEPTED;
    /* On the circle of 2^31: up to half of it behind the newest was there before. A batch that only
     * overlaps it is no repeat, its end would be lost. */
    behind = ((uint32_t)newest->sequence_last -
              (uint32_t)plog_sequence_add(head->sequence_base, head->last_offset_delta)) &
             INT32_MAX;
    if (behind < UINT32_C(1) << 30)
        return WEIR_PLOG_DUPLICATE_SEQUENCE;
    return WEIR_PLOG_OUT_OF_ORDER_SEQUENCE;
}

/* ---- who has a transaction open */

void weir_plog_producers_link(struct plog_producers *producers, struct plog_producer *producer)
{
    struct plog_producer *older = producers->txn_youngest;

    /* In the log the youngest is the last to come; in a snapshot the order is any. */
    while (older != NULL && older->txn_offset_first > producer->txn_offset_first)
        older = older->txn_older;
    producer->txn_older = older;
    producer->txn_younger = older != NULL ? older->txn_younger : producers->txn_oldest;
    if (older != NULL)
        older->txn_younger = producer;
    else
        producers->txn_oldest = producer;
    if (producer->txn_younger != NULL)
        producer->txn_younger->txn_older = producer;
    else
        producers->txn_youngest = producer;
}

static void unlink_txn(struct plog_producers *producers, struct plog_producer *producer)
{
    if (producer->txn_older != NULL)
        producer->txn_older->txn_younger = producer->txn_younger;
    else
        producers->txn_oldest = producer->txn_younger;
    if (producer->txn_younger != NULL)
        producer->txn_younger->txn_older = producer->txn_older;
    else
        producers->txn_youngest = producer->txn_older;
    producer->txn_older = producer->txn_younger = NULL;
    producer->txn_offset_first = -1;
}

int64_t weir_plog_producers_unstable(const struct plog_producers *producers)
{
    return producers->txn_oldest != NULL ? producers->txn_oldest->txn_offset_first : INT64_MAX;
}

/* ---- batches */

/* Drops the producer that was idle longest. False: all have transactions open. */
static bool evict(struct plog_producers *producers)
{
    struct plog_producer *oldest = NULL;
    union weir_map_value old;

    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&producers->map, e)) != NULL;) {
        struct plog_producer *producer = e->value.pointer;
        if (producer->txn_offset_first < 0 &&
            (oldest == NULL || producer->active_ms < oldest->active_ms))
            oldest = producer;
    }
    if (oldest == NULL)
        return false;
    weir_map_remove(&producers->map, weir_slice(&oldest->id, sizeof oldest->id), &old);
    weir_free(oldest);
    return true;
}

/* The producer of a batch, made if need be. */
static enum weir_err obtain(struct plog_producers *producers, const struct plog_head *head,
                            struct plog_producer **out)
{
    struct plog_producer *producer = find(producers, head->producer_id);

    *out = producer;
    if (producer != NULL)
        return WEIR_OK;
    if (weir_map_count(&producers->map) == PLOG_PRODUCERS_MAX && !evict(producers))
        return WEIR_LIMIT;
    producer = weir_calloc(1, sizeof *producer);
    if (producer == NULL)
        return WEIR_NOMEM;
    producer->id = head->producer_id;
    producer->epoch = head->producer_epoch;
    producer->txn_offset_first = -1;
    producer->coordinator_epoch = -1;
    if (weir_map_put(&producers->map, weir_slice(&producer->id, sizeof producer->id), producer) !=
        WEIR_OK) {
        weir_free(producer);
        return WEIR_NOMEM;
    }
    *out = producer;
    return WEIR_OK;
}

enum weir_err weir_plog_producers_prepare(struct plog_producers *producers,
                                          const struct plog_head *head)
{
    struct plog_producer *producer;

    return obtain(producers, head, &producer);
}

static void note_epoch(struct plog_producer *producer, int16_t epoch)
{
    if (producer->epoch == epoch)
        return;
    producer->epoch = epoch;
    producer->batch_count = 0;
}

enum weir_err weir_plog_producers_add(struct plog_producers *producers,
                                      const struct plog_head *head, int64_t now_ms)
{
    struct plog_producer *producer;
    enum weir_err err = obtain(producers, head, &producer);

    if (err != WEIR_OK)
        return err;
    note_epoch(producer, head->producer_epoch);
    producer->active_ms = now_ms;
    if (head->attributes & PLOG_TRANSACTIONAL && producer->txn_offset_first < 0) {
        producer->txn_offset_first = head->offset_base;
        weir_plog_producers_link(producers, producer);
    }
    if (producer->batch_count < PLOG_PRODUCER_BATCHES)
        producer->batch_newest = producer->batch_count++;
    else
        producer->batch_newest = (uint8_t)((producer->batch_newest + 1) % PLOG_PRODUCER_BATCHES);
    producer->batches[producer->batch_newest] = (struct plog_producer_batch){
        .offset_last = head->offset_last,
        .timestamp = head->timestamp_max,
        .sequence_last = plog_sequence_add(head->sequence_base, head->last_offset_delta),
        .offset_delta = head->last_offset_delta,
    };
    return WEIR_OK;
}

enum weir_err weir_plog_producers_mark(struct plog_producers *producers,
                                       const struct plog_head *head, int32_t coordinator_epoch,
                                       int64_t now_ms, int64_t *txn_first_out)
{
    struct plog_producer *producer;
    enum weir_err err = obtain(producers, head, &producer);

    if (err != WEIR_OK)
        return err;
    *txn_first_out = producer->txn_offset_first;
    note_epoch(producer, head->producer_epoch);
    producer->active_ms = now_ms;
    producer->coordinator_epoch = coordinator_epoch;
    if (producer->txn_offset_first >= 0)
        unlink_txn(producers, producer);
    return WEIR_OK;
}

void weir_plog_producers_expire(struct plog_producers *producers, int64_t now_ms, int64_t idle_ms)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&producers->map, e)) != NULL;) {
        struct plog_producer *producer = e->value.pointer;
        /* Whoever has a transaction open is waited for: its end decides what may be read. */
        if (producer->txn_offset_first >= 0 || now_ms - producer->active_ms <= idle_ms)
            continue;
        weir_map_remove(&producers->map, weir_slice(&producer->id, sizeof producer->id), NULL);
        weir_free(producer);
    }
}
