/*
 * base/metrics.h - counters, gauges and histograms, written as Prometheus text.
 *
 * What:    a registry of series (name + labels); each gives a handle that is updated without locks.
 *          Text format 0.0.4: prometheus.io/docs/instrumenting/exposition_formats.
 * Life:    weir_metrics_new -> register ... -> weir_metrics_write ... -> weir_metrics_free. Handles
 *          live until their series is removed or the registry is freed.
 * Threads: everything may be called from any thread; a histogram handle has one recording thread.
 * Memory:  names, help and labels are copied. A histogram series takes 29 KiB, others ~200 bytes.
 * Errors:  LIMIT (series_max), INVALID (name, label, a family of another kind), NOMEM.
 *
 * Names are checked: prefix "weir_" (or the registry's), [a-z0-9_], counters end in "_total", no
 * other kind does. Asking for the same name and labels again gives the same handle.
 */
#ifndef WEIR_BASE_METRICS_H
#define WEIR_BASE_METRICS_H

#include <stdatomic.h>

#include <weir/base.h>

#include "base/buffer.h"
#include "base/histogram.h"

struct weir_metrics;

struct weir_label {
    const char *name;  /* [a-zA-Z_][a-zA-Z0-9_]*, not beginning with "__" */
    const char *value; /* any UTF-8 text; escaped when written */
};

enum { WEIR_LABELS_MAX = 8, WEIR_METRIC_EDGES_MAX = 32 };

struct weir_counter {
    _Atomic uint64_t value;
};

struct weir_gauge {
    _Atomic uint64_t bits; /* of a double */
};

/* What a series is. */
struct weir_metric {
    const char *name;
    const char *help; /* one sentence; the first registration of a name decides */
    const struct weir_label *labels;
    size_t label_count; /* <= WEIR_LABELS_MAX */
};

/* series_max: ceiling of all series together. prefix NULL = "weir_". */
WEIR_MUST_USE enum weir_err weir_metrics_new(uint32_t series_max, const char *prefix,
                                             struct weir_metrics **out);
/* Frees all handles. NULL is allowed. */
void weir_metrics_free(struct weir_metrics *metrics);

/* Each registers a series and shares its handle. */
WEIR_MUST_USE enum weir_err weir_metrics_counter(struct weir_metrics *metrics,
                                                 const struct weir_metric *metric,
                                                 struct weir_counter **out,
                                                 struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_metrics_gauge(struct weir_metrics *metrics,
                                               const struct weir_metric *metric,
                                               struct weir_gauge **out, struct weir_error *error);
/* A gauge (counter if the name ends in "_total") whose value is asked for when it is written, under
 * the registry's lock: the function must not call the registry. */
WEIR_MUST_USE enum weir_err weir_metrics_callback(struct weir_metrics *metrics,
                                                  const struct weir_metric *metric,
                                                  double (*read)(void *opaque), void *opaque,
                                                  struct weir_error *error);
/* A histogram whose recorded integers are written times `scale` (ns to seconds: 1e-9). edges:
 * upper bounds in the written unit, ascending, without +Inf; NULL = 1 us .. 10 s for seconds. */
WEIR_MUST_USE enum weir_err weir_metrics_histogram(struct weir_metrics *metrics,
                                                   const struct weir_metric *metric, double scale,
                                                   const double *edges, size_t edge_count,
                                                   struct weir_histogram **out,
                                                   struct weir_error *error);
/* Removes one series and frees its handle, which nobody may use any more. NOT_FOUND. */
enum weir_err weir_metrics_remove(struct weir_metrics *metrics, const struct weir_metric *metric);
/* The same for a callback gauge or any series registered with this opaque: all of them; gives their
 * number. For the end of an object that registered callbacks on itself. */
size_t weir_metrics_remove_callbacks(struct weir_metrics *metrics, const void *opaque);

/* Appends all series as text 0.0.4, families in the order of registration. */
WEIR_MUST_USE enum weir_err weir_metrics_write(struct weir_metrics *metrics,
                                               struct weir_buffer *into);

static inline void weir_counter_add(struct weir_counter *counter, uint64_t more)
{
    atomic_fetch_add_explicit(&counter->value, more, memory_order_relaxed);
}
static inline uint64_t weir_counter_value(const struct weir_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}
void weir_gauge_set(struct weir_gauge *gauge, double value);
void weir_gauge_add(struct weir_gauge *gauge, double more); /* may be negative */
double weir_gauge_value(const struct weir_gauge *gauge);

#endif
