/* A bump allocator with a ceiling: base/arena.h. */
#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { CHUNK_BYTES_MIN = 4096, CHUNK_BYTES_MAX = 1 << 20, ALIGNMENT = 16 };

struct weir_arena_chunk {
    struct weir_arena_chunk *older;
    size_t bytes; /* with this head */
    _Alignas(ALIGNMENT) char memory[];
};

void weir_arena_init(struct weir_arena *arena, size_t bytes_max)
{
    *arena = (struct weir_arena){.bytes_max = bytes_max};
}

static void free_chunks(struct weir_arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct weir_arena_chunk *older = chunk->older;
        weir_free(chunk);
        chunk = older;
    }
}

void weir_arena_release(struct weir_arena *arena)
{
    free_chunks(arena->chunks);
    weir_arena_init(arena, arena->bytes_max);
}

void weir_arena_reset(struct weir_arena *arena)
{
    struct weir_arena_chunk *newest = arena->chunks;

    arena->full = false;
    if (newest == NULL)
        return;
    free_chunks(newest->older);
    newest->older = NULL;
    arena->bytes_taken = newest->bytes;
    arena->next = newest->memory;
    arena->end = (char *)newest + newest->bytes;
}

/* Adds a chunk with room for `bytes`: twice the last one, within the caps, or as large as asked. */
static bool add_chunk(struct weir_arena *arena, size_t bytes)
{
    const size_t head = sizeof(struct weir_arena_chunk);
    size_t left = arena->bytes_max - arena->bytes_taken;
    size_t take = arena->chunks != NULL ? 2 * arena->chunks->bytes : CHUNK_BYTES_MIN;
    struct weir_arena_chunk *chunk;

    if (bytes > left || left - bytes < head) {
        arena->full = true;
        return false;
    }
    if (take > CHUNK_BYTES_MAX)
        take = CHUNK_BYTES_MAX;
    if (take < bytes + head)
        take = bytes + head;
    if (take > left)
        take = left;
    chunk = weir_alloc(take);
    if (chunk == NULL)
        return false;
    chunk->older = arena->chunks;
    chunk->bytes = take;
    arena->chunks = chunk;
    arena->bytes_taken += take;
    arena->next = chunk->memory;
    arena->end = (char *)chunk + take;
    return true;
}

static inline size_t padding(const char *at, size_t alignment)
{
    return (size_t)(-(uintptr_t)at & (alignment - 1));
}

void *weir_arena_alloc_aligned(struct weir_arena *arena, size_t alignment, size_t bytes)
{
    size_t pad;
    char *memory;

    weir_assert(alignment > 0 && alignment <= 4096 && (alignment & (alignment - 1)) == 0);
    pad = padding(arena->next, alignment);
    if (arena->next == NULL || (size_t)(arena->end - arena->next) < pad ||
        (size_t)(arena->end - arena->next) - pad < bytes) {
        /* A new chunk is aligned to 16: more may need padding. */
        size_t slack = alignment > ALIGNMENT ? alignment - ALIGNMENT : 0;
        if (bytes > SIZE_MAX - slack) {
            arena->full = true;
            return NULL;
        }
        if (!add_chunk(arena, bytes + slack))
            return NULL;
        pad = padding(arena->next, alignment);
    }
    memory = arena->next + pad;
    arena->next = memory + bytes;
    return memory;
}

void *weir_arena_alloc(struct weir_arena *arena, size_t bytes)
{
    return weir_arena_alloc_aligned(arena, ALIGNMENT, bytes);
}

void *weir_arena_calloc(struct weir_arena *arena, size_t count, size_t bytes)
{
    size_t total;
    void *memory;

    if (__builtin_mul_overflow(count, bytes, &total)) {
        arena->full = true;
        return NULL;
    }
    memory = weir_arena_alloc(arena, total);
    if (memory != NULL)
        memset(memory, 0, total);
    return memory;
}

char *weir_arena_copy_text(struct weir_arena *arena, const void *data, size_t bytes)
{
    char *copy = bytes < SIZE_MAX ? weir_arena_alloc_aligned(arena, 1, bytes + 1) : NULL;

    if (copy == NULL)
        return NULL;
    if (bytes > 0)
        memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    return copy;
}
