/* The allocator seam: base/alloc.h. */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/*
 * The watch. Process-wide on purpose: allocations are counted whoever makes them. It is the one
 * mutable global of the room, and off but in tests.
 */
static struct {
    _Atomic bool on;
    _Atomic uint64_t allocations, frees, failed, fail_at;
} watch;

/* True if this allocation has to fail. Kept out of line: rare. */
static __attribute__((noinline, cold)) bool watched_allocation(void)
{
    uint64_t number = atomic_fetch_add(&watch.allocations, 1) + 1;
    if (number != atomic_load(&watch.fail_at))
        return false;
    atomic_fetch_add(&watch.failed, 1);
    return true;
}

static inline bool must_fail(void)
{
    return weir_unlikely(atomic_load_explicit(&watch.on, memory_order_relaxed)) &&
           watched_allocation();
}

void *weir_alloc(size_t bytes)
{
    return must_fail() ? NULL : malloc(bytes > 0 ? bytes : 1);
}

void *weir_calloc(size_t count, size_t bytes)
{
    size_t total;

    if (__builtin_mul_overflow(count, bytes, &total) || must_fail())
        return NULL;
    return calloc(total > 0 ? total : 1, 1);
}

void *weir_realloc(void *memory, size_t bytes)
{
    return must_fail() ? NULL : realloc(memory, bytes > 0 ? bytes : 1);
}

void *weir_realloc_array(void *memory, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return NULL;
    return weir_realloc(memory, total);
}

void *weir_alloc_aligned(size_t alignment, size_t bytes)
{
    void *memory = NULL;

    weir_assert(alignment >= sizeof(void *) && (alignment & (alignment - 1)) == 0);
    if (must_fail() || posix_memalign(&memory, alignment, bytes > 0 ? bytes : 1) != 0)
        return NULL;
    return memory;
}

char *weir_strdup(const char *text)
{
    return weir_strndup(text, strlen(text));
}

char *weir_strndup(const void *data, size_t bytes)
{
    char *copy = bytes < SIZE_MAX ? weir_alloc(bytes + 1) : NULL;

    if (copy == NULL)
        return NULL;
    if (bytes > 0)
        memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    return copy;
}

void weir_free(void *memory)
{
    if (memory == NULL)
        return;
    if (weir_unlikely(atomic_load_explicit(&watch.on, memory_order_relaxed)))
        atomic_fetch_add(&watch.frees, 1);
    free(memory);
}

void weir_alloc_watch_start(uint64_t fail_at)
{
    atomic_store(&watch.allocations, 0);
    atomic_store(&watch.frees, 0);
    atomic_store(&watch.failed, 0);
    atomic_store(&watch.fail_at, fail_at);
    atomic_store(&watch.on, true);
}

struct weir_alloc_counts weir_alloc_watch_counts(void)
{
    struct weir_alloc_counts counts = {
        .allocations = atomic_load(&watch.allocations),
        .frees = atomic_load(&watch.frees),
        .failed = atomic_load(&watch.failed),
    };
    return counts;
}

struct weir_alloc_counts weir_alloc_watch_stop(void)
{
    atomic_store(&watch.on, false);
    return weir_alloc_watch_counts();
}
