/*
 * base/histogram.h - how values are distributed, in fixed memory.
 *
 * What:    counts in log-linear buckets: values below 64 one by one, above that 64 buckets to each
 *          power of two, so that a reported value is within 0.8 % of the true one. Values are
 *          int64 from 0 to 2^62 - 1 (usually nanoseconds); others are clamped.
 *          Idea: HdrHistogram (hdrhistogram.org).
 * Life:    weir_histogram_init on the caller's memory (29 KiB); nothing to release.
 * Threads: one thread records; any thread reads or merges from it meanwhile and sees a state
 *          between two records, give or take the record being written.
 * Memory:  the struct, nothing else.
 * Errors:  none.
 */
#ifndef WEIR_BASE_HISTOGRAM_H
#define WEIR_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WEIR_HISTOGRAM_BITS = 6, /* 2^6 buckets to a power of two */
    WEIR_HISTOGRAM_BUCKETS = (62 - WEIR_HISTOGRAM_BITS + 1) << WEIR_HISTOGRAM_BITS,
};

struct weir_histogram {
    _Atomic uint64_t counts[WEIR_HISTOGRAM_BUCKETS];
    _Atomic uint64_t count;
    _Atomic int64_t sum; /* of the exact values; saturates */
    _Atomic int64_t min, max;
};

/* Empty; min and max read as 0. Also forgets everything (from the recording thread). */
void weir_histogram_init(struct weir_histogram *histogram);
/* Counts a value `times` times. Owner thread. */
void weir_histogram_record(struct weir_histogram *histogram, int64_t value);
void weir_histogram_record_n(struct weir_histogram *histogram, int64_t value, uint64_t times);
/* Adds what `from` has to `into`, whose owner calls this. */
void weir_histogram_merge(struct weir_histogram *into, const struct weir_histogram *from);

uint64_t weir_histogram_count(const struct weir_histogram *histogram);
int64_t weir_histogram_sum(const struct weir_histogram *histogram);
int64_t weir_histogram_min(const struct weir_histogram *histogram); /* exact; 0 if empty */
int64_t weir_histogram_max(const struct weir_histogram *histogram); /* exact; 0 if empty */
double weir_histogram_mean(const struct weir_histogram *histogram); /* 0 if empty */
/* The value below which `percent` (0..100) of the values lie: the middle of its bucket, held
 * between min and max; 0 if empty. */
int64_t weir_histogram_percentile(const struct weir_histogram *histogram, double percent);
/* How many values lie in buckets that end at or below `value`. */
uint64_t weir_histogram_count_to(const struct weir_histogram *histogram, int64_t value);

#endif
