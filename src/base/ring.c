/* The queue from one thread to one other: base/ring.h. */
#include "base/ring.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum weir_err weir_ring_init(struct weir_ring *ring, uint32_t capacity, uint32_t item_bytes)
{
    size_t bytes;

    weir_assert(capacity >= 2 && capacity <= 1u << 30 && (capacity & (capacity - 1)) == 0);
    weir_assert(item_bytes > 0);
    memset(ring, 0, sizeof *ring);
    if (__builtin_mul_overflow((size_t)capacity, (size_t)item_bytes, &bytes))
        return WEIR_NOMEM;
    ring->items = weir_alloc_aligned(64, bytes);
    if (ring->items == NULL)
        return WEIR_NOMEM;
    ring->mask = capacity - 1;
    ring->item_bytes = item_bytes;
    return WEIR_OK;
}

void weir_ring_release(struct weir_ring *ring)
{
    weir_free(ring->items);
    ring->items = NULL;
}

/* Copies between the ring and flat memory, in two parts where the ring wraps. */
static void copy_items(struct weir_ring *ring, uint32_t position, const void *in, void *out,
                       uint32_t count)
{
    uint32_t first = position & ring->mask;
    uint32_t straight = ring->mask + 1 - first;
    size_t size = ring->item_bytes;

    if (straight > count)
        straight = count;
    weir_assert(in != NULL || out != NULL);
    if (in != NULL) {
        memcpy(ring->items + first * size, in, straight * size);
        memcpy(ring->items, (const uint8_t *)in + straight * size, (count - straight) * size);
    } else {
        memcpy(out, ring->items + first * size, straight * size);
        memcpy((uint8_t *)out + straight * size, ring->items, (count - straight) * size);
    }
}

uint32_t weir_ring_write(struct weir_ring *ring, const void *items, uint32_t count)
{
    uint32_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    uint32_t capacity = ring->mask + 1;
    uint32_t room = capacity - (written - ring->read_seen);

    if (room < count) {
        /* Acquire: the consumer has copied out what stood in the places we are about to fill. */
        ring->read_seen = atomic_load_explicit(&ring->read, memory_order_acquire);
        room = capacity - (written - ring->read_seen);
    }
    if (count > room)
        count = room;
    if (count > 0) {
        copy_items(ring, written, items, NULL, count);
        atomic_store_explicit(&ring->written, written + count, memory_order_release);
    }
    return count;
}

uint32_t weir_ring_read(struct weir_ring *ring, void *items, uint32_t count)
{
    uint32_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    uint32_t there = ring->written_seen - read;

    if (there < count) {
        ring->written_seen = atomic_load_explicit(&ring->written, memory_order_acquire);
        there = ring->written_seen - read;
    }
    if (count > there)
        count = there;
    if (count > 0) {
        copy_items(ring, read, NULL, items, count);
        atomic_store_explicit(&ring->read, read + count, memory_order_release);
    }
    return count;
}

uint32_t weir_ring_count(const struct weir_ring *ring)
{
    /* read first: it never overtakes written, so the difference can't be negative. */
    uint32_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    uint32_t count = atomic_load_explicit(&ring->written, memory_order_acquire) - read;

    return count <= ring->mask + 1 ? count : ring->mask + 1;
}
