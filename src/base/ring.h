/*
 * base/ring.h - a bounded queue from one thread to one other, without locks.
 *
 * What:    a ring of fixed-size items, written by one producer, read by one consumer.
 * Life:    weir_ring_init -> write / read ... -> weir_ring_release.
 * Threads: write by one thread, read by one thread, at the same time. What the producer wrote
 *          before an item is visible to the consumer with the item.
 * Memory:  items are copied in and out. capacity * item_bytes, fixed.
 * Errors:  init: NOMEM. A full or empty ring gives 0; the ring never blocks (base/queue.h does).
 */
#ifndef WEIR_BASE_RING_H
#define WEIR_BASE_RING_H

#include <stdalign.h>
#include <stdatomic.h>

#include <weir/base.h>

struct weir_ring { /* NOLINT(clang-analyzer-optin.performance.Padding): cache lines apart */
    uint8_t *items;
    uint32_t mask; /* capacity - 1 */
    uint32_t item_bytes;
    /* Each side has its own cache line and its own stale copy of the other's position. Positions
     * count items for ever and wrap at 2^32. */
    alignas(64) _Atomic uint32_t written;
    uint32_t read_seen;
    alignas(64) _Atomic uint32_t read;
    uint32_t written_seen;
};

/* capacity: items, a power of two, 2 .. 2^30; item_bytes > 0. */
WEIR_MUST_USE enum weir_err weir_ring_init(struct weir_ring *ring, uint32_t capacity,
                                           uint32_t item_bytes);
void weir_ring_release(struct weir_ring *ring);

/* Producer. Copies up to count items in; gives how many there was room for. */
uint32_t weir_ring_write(struct weir_ring *ring, const void *items, uint32_t count);
/* Consumer. Copies up to count items out; gives how many there were. */
uint32_t weir_ring_read(struct weir_ring *ring, void *items, uint32_t count);
/* Items in it, at some moment during the call; any thread. */
uint32_t weir_ring_count(const struct weir_ring *ring);

#endif
