/* serving/statistics.c - counters of a model version, see statistics.h. */
#include "serving/statistics.h"

static void lower(atomic_uint_least64_t *least, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(least, memory_order_relaxed);
    while ((seen == 0 || value < seen) &&
           !atomic_compare_exchange_weak_explicit(least, &seen, value, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static void raise_to(atomic_uint_least64_t *most, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(most, memory_order_relaxed);
    while (value > seen && !atomic_compare_exchange_weak_explicit(
                               most, &seen, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void statistics_record(struct statistics *statistics, uint64_t rows, uint64_t errors,
                       uint64_t block_ns)
{
    if (rows == 0)
        return;
    uint64_t each_ns = block_ns / rows;
    atomic_fetch_add_explicit(&statistics->usage, rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&statistics->duration_ns, block_ns, memory_order_relaxed);
    if (errors)
        atomic_fetch_add_explicit(&statistics->errors, errors, memory_order_relaxed);
    lower(&statistics->min_ns_plus_1, each_ns + 1);
    raise_to(&statistics->max_ns, each_ns);
}

struct statistics_copy statistics_read(const struct statistics *statistics)
{
    struct statistics_copy copy;
    uint64_t least = atomic_load_explicit(&statistics->min_ns_plus_1, memory_order_relaxed);
    copy.usage = atomic_load_explicit(&statistics->usage, memory_order_relaxed);
    copy.errors = atomic_load_explicit(&statistics->errors, memory_order_relaxed);
    copy.duration_ns = atomic_load_explicit(&statistics->duration_ns, memory_order_relaxed);
    copy.min_ns = least ? least - 1 : 0;
    copy.max_ns = atomic_load_explicit(&statistics->max_ns, memory_order_relaxed);
    return copy;
}

void statistics_merge(struct statistics_copy *into, const struct statistics_copy *from)
{
    if (from->usage && (into->usage == 0 || from->min_ns < into->min_ns))
        into->min_ns = from->min_ns;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
    into->usage += from->usage;
    into->errors += from->errors;
    into->duration_ns += from->duration_ns;
}
