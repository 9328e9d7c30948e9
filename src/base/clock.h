/*
 * base/clock.h - the seam of time: whoever needs a clock is given one.
 *
 * What:    monotonic nanoseconds for durations and deadlines, wall-clock milliseconds for
 *          timestamps; the real one, and a virtual one that a test moves.
 * Life:    the real clock is static; a virtual one is the test's memory and outlives its users.
 * Threads: reading from any thread; advance from any thread.
 * Memory:  none.
 * Errors:  none.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WEIR_NS_PER_MS INT64_C(1000000)
#define WEIR_NS_PER_SECOND INT64_C(1000000000)

struct weir_clock {
    int64_t (*now_ns)(void *opaque);  /* monotonic, >= 0, from some start */
    int64_t (*wall_ms)(void *opaque); /* since 1970-01-01 UTC */
    void *opaque;
    bool is_virtual; /* time passes only by advance: nobody may sleep for it */
};

/* CLOCK_MONOTONIC and CLOCK_REALTIME; static, shared. */
const struct weir_clock *weir_clock_real(void);

/* clock NULL means the real one. */
int64_t weir_clock_now_ns(const struct weir_clock *clock);
int64_t weir_clock_now_ms(const struct weir_clock *clock); /* monotonic too, rounded down */
int64_t weir_clock_wall_ms(const struct weir_clock *clock);

/* A clock that stands until it is moved. Hand out &virtual_clock.clock. */
struct weir_clock_virtual {
    struct weir_clock clock;
    _Atomic int64_t elapsed_ns;
    int64_t wall_start_ms;
};

/* Begins at monotonic 0 and the given wall time. The struct must not move afterwards. */
void weir_clock_virtual_init(struct weir_clock_virtual *clock, int64_t wall_start_ms);
/* Moves both readings forward by ns >= 0. */
void weir_clock_virtual_advance(struct weir_clock_virtual *clock, int64_t ns);
static inline void weir_clock_virtual_advance_ms(struct weir_clock_virtual *clock, int64_t ms)
{
    weir_clock_virtual_advance(clock, ms * WEIR_NS_PER_MS);
}

#endif
