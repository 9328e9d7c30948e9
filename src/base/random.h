/*
 * base/random.h - numbers that look random and can be had again from their seed.
 *
 * What:    SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
 *          For tests, jitter and sampling; never for secrets.
 * Life:    set `state` to the seed (any value); nothing to release.
 * Threads: one at a time; give each thread its own.
 * Memory:  the struct.
 * Errors:  none.
 */
#ifndef WEIR_BASE_RANDOM_H
#define WEIR_BASE_RANDOM_H

#include <stdint.h>

struct weir_random {
    uint64_t state;
};

/* The next 64 bits. */
static inline uint64_t weir_random_next(struct weir_random *random)
{
    uint64_t x = random->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* 0 .. bound - 1, bound > 0; even to within bound / 2^32. */
static inline uint32_t weir_random_below(struct weir_random *random, uint32_t bound)
{
    return (uint32_t)(((weir_random_next(random) >> 32) * bound) >> 32);
}

/* 0 <= x < 1. */
static inline double weir_random_double(struct weir_random *random)
{
    return (double)(weir_random_next(random) >> 11) * 0x1p-53;
}

#endif
