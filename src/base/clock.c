/* The seam of time: base/clock.h. */
#include "base/clock.h"

#include <time.h>

#include "base/assert.h"

static int64_t read_clock(clockid_t id, int64_t units_per_second)
{
    struct timespec now = {0};
    int failed = clock_gettime(id, &now);

    weir_assert(failed == 0);
    return (int64_t)now.tv_sec * units_per_second +
           (int64_t)now.tv_nsec / (WEIR_NS_PER_SECOND / units_per_second);
}

static int64_t real_now_ns(void *opaque)
{
    (void)opaque;
    return read_clock(CLOCK_MONOTONIC, WEIR_NS_PER_SECOND);
}

static int64_t real_wall_ms(void *opaque)
{
    (void)opaque;
    return read_clock(CLOCK_REALTIME, 1000);
}

const struct weir_clock *weir_clock_real(void)
{
    static const struct weir_clock real = {.now_ns = real_now_ns, .wall_ms = real_wall_ms};
    return &real;
}

int64_t weir_clock_now_ns(const struct weir_clock *clock)
{
    return clock != NULL ? clock->now_ns(clock->opaque) : real_now_ns(NULL);
}

int64_t weir_clock_now_ms(const struct weir_clock *clock)
{
    return weir_clock_now_ns(clock) / WEIR_NS_PER_MS;
}

int64_t weir_clock_wall_ms(const struct weir_clock *clock)
{
    return clock != NULL ? clock->wall_ms(clock->opaque) : real_wall_ms(NULL);
}

static int64_t virtual_now_ns(void *opaque)
{
    struct weir_clock_virtual *clock = opaque;
    return atomic_load(&clock->elapsed_ns);
}

static int64_t virtual_wall_ms(void *opaque)
{
    struct weir_clock_virtual *clock = opaque;
    return clock->wall_start_ms + atomic_load(&clock->elapsed_ns) / WEIR_NS_PER_MS;
}

void weir_clock_virtual_init(struct weir_clock_virtual *clock, int64_t wall_start_ms)
{
    clock->clock = (struct weir_clock){
        .now_ns = virtual_now_ns, .wall_ms = virtual_wall_ms, .opaque = clock, .is_virtual = true};
    clock->wall_start_ms = wall_start_ms;
    atomic_init(&clock->elapsed_ns, 0);
}

void weir_clock_virtual_advance(struct weir_clock_virtual *clock, int64_t ns)
{
    weir_assert(ns >= 0);
    atomic_fetch_add(&clock->elapsed_ns, ns);
}
