/*
 * serving/statistics.h - what a model version has done: how often, how fast, how often in vain.
 *
 * Life:    zeroed memory is a fresh one (statistics_init says so in words); nothing to release.
 * Threads: any number of writers and readers; relaxed atomics, one addition a block.
 * Memory:  fixed.
 * Errors:  none.
 *
 * A record's time is its block's time in the model divided by the block's rows, so that minimum and
 * maximum are over blocks.
 */
#ifndef SERVING_STATISTICS_H
#define SERVING_STATISTICS_H

#include <stdatomic.h>
#include <stdint.h>

struct statistics {
    atomic_uint_least64_t usage;  /* records given to the model */
    atomic_uint_least64_t errors; /* of those, without result */
    atomic_uint_least64_t duration_ns;
    atomic_uint_least64_t min_ns_plus_1, max_ns; /* of a record; 0 in min = none yet */
};

/* A moment's copy; times in ns, 0 when nothing was scored. */
struct statistics_copy {
    uint64_t usage, errors, duration_ns, min_ns, max_ns;
};

/* A block of `rows` records, `errors` of them without result, took so many ns in the model. */
void statistics_record(struct statistics *statistics, uint64_t rows, uint64_t errors,
                       uint64_t block_ns);
struct statistics_copy statistics_read(const struct statistics *statistics);
/* Adds `from` to *into. */
void statistics_merge(struct statistics_copy *into, const struct statistics_copy *from);

#endif
