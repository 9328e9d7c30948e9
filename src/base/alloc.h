/*
 * base/alloc.h - the allocator seam: all memory of the libraries comes from here.
 *
 * What:    malloc and friends by other names, so that a test can count allocations and make the
 *          n-th one fail.
 * Life:    what one of these functions gives is freed with weir_free.
 * Threads: any.
 * Memory:  a size of 0 gives a pointer that may only be freed. Fresh memory is not cleared, save by
 *          weir_calloc.
 * Errors:  NULL when there is no memory (or the watch says so); errno is not meaningful.
 *
 * A test of allocation failure:
 *
 *      for (uint64_t n = 1;; n++) {
 *          weir_alloc_watch_start(n);
 *          enum weir_err err = work();            // must end in OK or NOMEM, and leak nothing
 *          struct weir_alloc_counts counts = weir_alloc_watch_stop();
 *          if (counts.failed == 0)
 *              break;                             // n is past the last allocation: all were tried
 *          assert_int_equal(err, WEIR_NOMEM);
 *      }
 *
 * The watch is process-wide state, the only one of this room; while it is off it costs one
 * predictable branch.
 */
#ifndef WEIR_BASE_ALLOC_H
#define WEIR_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

/* Gives `bytes` of memory, aligned for any type; NULL = no memory. */
void *weir_alloc(size_t bytes) __attribute__((malloc, warn_unused_result));
/* Gives count * bytes of zeroed memory; NULL = no memory or the product overflows. */
void *weir_calloc(size_t count, size_t bytes) __attribute__((malloc, warn_unused_result));
/* Takes memory (NULL = none) and gives it back with a new size, moved if need be. On NULL the old
 * memory is still the caller's, unchanged. */
void *weir_realloc(void *memory, size_t bytes) __attribute__((warn_unused_result));
/* As weir_realloc for count * bytes, with a check for overflow. */
void *weir_realloc_array(void *memory, size_t count, size_t bytes)
    __attribute__((warn_unused_result));
/* Gives memory aligned to `alignment`, a power of two >= sizeof(void *). weir_free frees it. */
void *weir_alloc_aligned(size_t alignment, size_t bytes)
    __attribute__((malloc, warn_unused_result));
/* Gives a copy of a text (borrowed for the call). */
char *weir_strdup(const char *text) __attribute__((malloc, warn_unused_result));
/* Gives a copy of `bytes` bytes with a NUL behind them. */
char *weir_strndup(const void *data, size_t bytes) __attribute__((malloc, warn_unused_result));
/* Takes memory from any function above; NULL is allowed. */
void weir_free(void *memory);

/* What was seen between weir_alloc_watch_start and _stop, in all threads. */
struct weir_alloc_counts {
    uint64_t allocations; /* calls that asked for memory, failed ones included */
    uint64_t frees;       /* calls of weir_free with memory */
    uint64_t failed;      /* calls made to fail */
};

/* Tests only. Begins to count; the fail_at-th allocation from now (1 = the next) gives NULL, those
 * behind it succeed again; 0 = none fails. */
void weir_alloc_watch_start(uint64_t fail_at);
/* Counts so far, without ending the watch. */
struct weir_alloc_counts weir_alloc_watch_counts(void);
/* Ends the watch and says what it saw. */
struct weir_alloc_counts weir_alloc_watch_stop(void);

#endif
