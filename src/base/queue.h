/*
 * base/queue.h - a bounded queue of pointers between threads, which waits.
 *
 * What:    first in, first out; mutex and condition variables; for work at a human rate (models to
 *          load, requests to answer), not for records (base/ring.h).
 * Life:    weir_queue_init -> push / pop ... -> weir_queue_close -> pop until CLOSED ->
 *          weir_queue_release, once no thread uses it any more.
 * Threads: any number on both sides.
 * Memory:  capacity pointers, fixed. Pointers are handed through: push takes, pop gives.
 * Errors:  AGAIN (timeout_ms 0), TIMEOUT, CLOSED; the item is still the caller's then.
 *
 * Waits use the monotonic clock of the system: a test with a virtual clock uses timeout 0.
 */
#ifndef WEIR_BASE_QUEUE_H
#define WEIR_BASE_QUEUE_H

#include <pthread.h>

#include <weir/base.h>

struct weir_queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty, not_full;
    void **items;
    uint32_t capacity, first, count;
    bool closed;
};

/* capacity: pointers, >= 1. NOMEM. */
WEIR_MUST_USE enum weir_err weir_queue_init(struct weir_queue *queue, uint32_t capacity);
/* The queue must be empty or its pointers nobody's: they are dropped. */
void weir_queue_release(struct weir_queue *queue);

/* Appends an item; waits for room up to timeout_ms (0 = not at all, -1 = for ever). */
WEIR_MUST_USE enum weir_err weir_queue_push(struct weir_queue *queue, void *item,
                                            int64_t timeout_ms);
/* Takes the oldest item; waits for one up to timeout_ms (0, -1 as above). CLOSED only when closed
 * and empty: what was pushed before the close still comes out. */
WEIR_MUST_USE enum weir_err weir_queue_pop(struct weir_queue *queue, void **item_out,
                                           int64_t timeout_ms);
/* No more pushes; wakes all who wait. May be called twice. */
void weir_queue_close(struct weir_queue *queue);
/* Items waiting at this moment. */
uint32_t weir_queue_count(struct weir_queue *queue);

#endif
