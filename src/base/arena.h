/*
 * base/arena.h - memory that is given back all at once.
 *
 * What:    a bump allocator over a chain of growing chunks, with a ceiling.
 * Life:    weir_arena_init -> alloc ... -> (reset -> alloc ...) -> weir_arena_release.
 * Threads: one at a time.
 * Memory:  what it hands out lives until reset or release, and does not move. The first chunk is
 *          allocated at the first alloc; chunks double from 4 KiB to 1 MiB.
 * Errors:  NULL: no memory, or the ceiling is reached (weir_arena_full says which).
 *
 *      chunk 1 [####]   chunk 2 [########]   chunk 3 [######..........]
 *                                                           ^ next
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct weir_arena_chunk;

struct weir_arena {
    struct weir_arena_chunk *chunks; /* newest first */
    char *next, *end;                /* what is free of the newest chunk */
    size_t bytes_taken;              /* of all chunks, as allocated */
    size_t bytes_max;
    bool full; /* an alloc was refused by the ceiling */
};

/* bytes_max: ceiling of the memory of all chunks. Allocates nothing. */
void weir_arena_init(struct weir_arena *arena, size_t bytes_max);
/* Frees everything that was handed out. The arena can be used again. */
void weir_arena_release(struct weir_arena *arena);
/* As release, but keeps the newest (largest) chunk for the next round: no allocation in steady
 * state. */
void weir_arena_reset(struct weir_arena *arena);

/* Uninitialised memory aligned to 16 bytes, never NULL for want of bytes (0 is allowed). */
void *weir_arena_alloc(struct weir_arena *arena, size_t bytes);
/* Zeroed memory for count elements of `bytes` each; NULL also when the product overflows. */
void *weir_arena_calloc(struct weir_arena *arena, size_t count, size_t bytes);
/* Memory aligned to `alignment`, a power of two up to 4096. */
void *weir_arena_alloc_aligned(struct weir_arena *arena, size_t alignment, size_t bytes);
/* A copy of the bytes with a NUL behind them. */
char *weir_arena_copy_text(struct weir_arena *arena, const void *data, size_t bytes);

/* True if an allocation was refused because of bytes_max (LIMIT), not for want of memory. */
static inline bool weir_arena_full(const struct weir_arena *arena)
{
    return arena->full;
}

#endif
