/* Log-linear histograms: base/histogram.h. */
#include "base/histogram.h"

#include <math.h>
#include <stdbool.h>

enum { SUB_BUCKETS = 1 << WEIR_HISTOGRAM_BITS };

#define VALUE_MAX ((INT64_C(1) << 62) - 1)

/* One writer: a load and a store do, without the cost of an atomic addition. */
static inline void bump(_Atomic uint64_t *counter, uint64_t more)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + more, memory_order_relaxed);
}

static inline uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline int64_t load_signed(const _Atomic int64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static inline void store_signed(_Atomic int64_t *value, int64_t now)
{
    atomic_store_explicit(value, now, memory_order_relaxed);
}

/*
 * Values 0..63 have bucket = value. Above, with e = position of the highest bit (>= 6), the six
 * bits behind it choose among the 64 buckets of that power of two: bucket = (e - 5) * 64 + bits.
 */
static inline uint32_t bucket_of(int64_t value)
{
    int highest;

    if (value < SUB_BUCKETS)
        return (uint32_t)value;
    highest = 63 - __builtin_clzll((uint64_t)value);
    return (uint32_t)(highest - WEIR_HISTOGRAM_BITS + 1) * SUB_BUCKETS +
           (uint32_t)((value >> (highest - WEIR_HISTOGRAM_BITS)) & (SUB_BUCKETS - 1));
}

static int64_t bucket_low(uint32_t bucket)
{
    uint32_t power = bucket / SUB_BUCKETS;

    if (power == 0)
        return bucket;
    return (int64_t)(SUB_BUCKETS + bucket % SUB_BUCKETS) << (power - 1);
}

static int64_t bucket_width(uint32_t bucket)
{
    uint32_t power = bucket / SUB_BUCKETS;
    return power == 0 ? 1 : INT64_C(1) << (power - 1);
}

void weir_histogram_init(struct weir_histogram *histogram)
{
    for (uint32_t i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
        atomic_store_explicit(&histogram->counts[i], 0, memory_order_relaxed);
    atomic_store_explicit(&histogram->count, 0, memory_order_relaxed);
    store_signed(&histogram->sum, 0);
    store_signed(&histogram->min, INT64_MAX);
    store_signed(&histogram->max, 0);
}

static void add_sum(struct weir_histogram *histogram, int64_t value, uint64_t times)
{
    int64_t sum = load_signed(&histogram->sum), more;

    if (times > (uint64_t)INT64_MAX || __builtin_mul_overflow(value, (int64_t)times, &more) ||
        __builtin_add_overflow(sum, more, &sum))
        sum = INT64_MAX;
    store_signed(&histogram->sum, sum);
}

void weir_histogram_record_n(struct weir_histogram *histogram, int64_t value, uint64_t times)
{
    if (times == 0)
        return;
    value = value < 0 ? 0 : value > VALUE_MAX ? VALUE_MAX : value;
    bump(&histogram->counts[bucket_of(value)], times);
    add_sum(histogram, value, times);
    if (value < load_signed(&histogram->min))
        store_signed(&histogram->min, value);
    if (value > load_signed(&histogram->max))
        store_signed(&histogram->max, value);
    bump(&histogram->count, times);
}

void weir_histogram_record(struct weir_histogram *histogram, int64_t value)
{
    weir_histogram_record_n(histogram, value, 1);
}

void weir_histogram_merge(struct weir_histogram *into, const struct weir_histogram *from)
{
    for (uint32_t i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++) {
        uint64_t more = load(&from->counts[i]);
        if (more > 0) {
            bump(&into->counts[i], more);
            bump(&into->count, more);
        }
    }
    add_sum(into, load_signed(&from->sum), 1);
    if (load_signed(&from->min) < load_signed(&into->min))
        store_signed(&into->min, load_signed(&from->min));
    if (load_signed(&from->max) > load_signed(&into->max))
        store_signed(&into->max, load_signed(&from->max));
}

uint64_t weir_histogram_count(const struct weir_histogram *histogram)
{
    return load(&histogram->count);
}

int64_t weir_histogram_sum(const struct weir_histogram *histogram)
{
    return load_signed(&histogram->sum);
}

int64_t weir_histogram_min(const struct weir_histogram *histogram)
{
    int64_t min = load_signed(&histogram->min);
    return min == INT64_MAX ? 0 : min;
}

int64_t weir_histogram_max(const struct weir_histogram *histogram)
{
    return load_signed(&histogram->max);
}

double weir_histogram_mean(const struct weir_histogram *histogram)
{
    uint64_t count = load(&histogram->count);
    return count > 0 ? (double)load_signed(&histogram->sum) / (double)count : 0;
}

int64_t weir_histogram_percentile(const struct weir_histogram *histogram, double percent)
{
    uint64_t count = 0, wanted, seen = 0;
    int64_t min = weir_histogram_min(histogram), max = weir_histogram_max(histogram);

    /* The buckets' own sum: `count` may be a record behind or ahead. */
    for (uint32_t i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
        count += load(&histogram->counts[i]);
    if (count == 0)
        return 0;
    percent = !(percent > 0) ? 0 : percent > 100 ? 100 : percent;
    wanted = (uint64_t)ceil((double)count * percent / 100);
    wanted = wanted < 1 ? 1 : wanted > count ? count : wanted;
    for (uint32_t i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++) {
        seen += load(&histogram->counts[i]);
        if (seen >= wanted) {
            int64_t middle = bucket_low(i) + bucket_width(i) / 2;
            return middle < min ? min : middle > max ? max : middle;
        }
    }
    return max;
}

uint64_t weir_histogram_count_to(const struct weir_histogram *histogram, int64_t value)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++) {
        if (bucket_low(i) + bucket_width(i) - 1 > value)
            break;
        count += load(&histogram->counts[i]);
    }
    return count;
}
