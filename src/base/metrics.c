/* The registry of metrics: base/metrics.h. */
#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/map.h"
#include "base/number.h"

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

/*
 * A family is a name; its series hang in a list in the order of registration. Both maps own what
 * they point to: `families` by name, `series` by name and labels as they are written.
 */
struct series {
    struct family *family;
    struct series *next;
    char *labels;                 /* `a="b",c="d"`, escaped; "" = none */
    double (*read)(void *opaque); /* callback series only */
    void *opaque;
    union {
        struct weir_counter counter;
        struct weir_gauge gauge;
        struct weir_histogram *histogram;
    } handle;
};

struct family {
    char *name, *help;
    enum kind kind;
    double scale; /* of histograms, as are the edges */
    size_t edge_count;
    double edges[WEIR_METRIC_EDGES_MAX];
    struct series *first, *last;
};

struct weir_metrics {
    pthread_mutex_t mutex;
    char *prefix;
    struct weir_map families, series;
};

/* 1 us .. 10 s, for durations in seconds. */
static const double edges_default[] = {1e-6, 2.5e-6, 5e-6,   1e-5, 2.5e-5, 5e-5,   1e-4, 2.5e-4,
                                       5e-4, 1e-3,   2.5e-3, 5e-3, 1e-2,   2.5e-2, 5e-2, 0.1,
                                       0.25, 0.5,    1,      2.5,  5,      10};

enum weir_err weir_metrics_new(uint32_t series_max, const char *prefix, struct weir_metrics **out)
{
    struct weir_metrics *metrics = weir_calloc(1, sizeof *metrics);

    if (metrics == NULL)
        return WEIR_NOMEM;
    metrics->prefix = weir_strdup(prefix != NULL ? prefix : "weir_");
    if (metrics->prefix == NULL) {
        weir_free(metrics);
        return WEIR_NOMEM;
    }
    pthread_mutex_init(&metrics->mutex, NULL);
    weir_map_init(&metrics->families, series_max);
    weir_map_init(&metrics->series, series_max);
    *out = metrics;
    return WEIR_OK;
}

static void free_series(struct series *series)
{
    if (series->family->kind == KIND_HISTOGRAM)
        weir_free(series->handle.histogram);
    weir_free(series->labels);
    weir_free(series);
}

static void free_family(struct family *family)
{
    weir_free(family->name);
    weir_free(family->help);
    weir_free(family);
}

void weir_metrics_free(struct weir_metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&metrics->series, e)) != NULL;)
        free_series(e->value.pointer);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&metrics->families, e)) != NULL;)
        free_family(e->value.pointer);
    weir_map_release(&metrics->series);
    weir_map_release(&metrics->families);
    pthread_mutex_destroy(&metrics->mutex);
    weir_free(metrics->prefix);
    weir_free(metrics);
}

/* ---- names */

static bool is_label_name(const char *name)
{
    if (strncmp(name, "__", 2) == 0 || strcmp(name, "le") == 0 || name[0] == '\0' ||
        (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (; *name != '\0'; name++)
        if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
              (*name >= '0' && *name <= '9') || *name == '_'))
            return false;
    return true;
}

static bool ends_in_total(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > 6 && strcmp(name + bytes - 6, "_total") == 0;
}

static enum weir_err check_metric(const struct weir_metrics *metrics,
                                  const struct weir_metric *metric, enum kind kind,
                                  struct weir_error *error)
{
    const char *name = metric->name;
    size_t bytes = strlen(name);

    if (strncmp(name, metrics->prefix, strlen(metrics->prefix)) != 0 || bytes > 128 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != bytes)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "metric %s: a name is %s and then a-z, 0-9 and _", name,
                              metrics->prefix);
    if (ends_in_total(name) != (kind == KIND_COUNTER))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "metric %s: counters end in _total, others don't", name);
    if (metric->label_count > WEIR_LABELS_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "metric %s: more than %d labels", name,
                              WEIR_LABELS_MAX);
    for (size_t i = 0; i < metric->label_count; i++)
        if (!is_label_name(metric->labels[i].name))
            return weir_error_set(error, WEIR_INVALID, -1, "metric %s: \"%s\" is no label name",
                                  name, metric->labels[i].name);
    return WEIR_OK;
}

/* Text with \ and newline (and, in labels, ") escaped as the format wants. */
static enum weir_err put_escaped(struct weir_buffer *into, const char *text, bool quotes)
{
    enum weir_err err = WEIR_OK;

    for (; *text != '\0' && err == WEIR_OK; text++) {
        if (*text == '\n')
            err = weir_buffer_append_text(into, "\\n");
        else if (*text == '\\' || (*text == '"' && quotes))
            err = weir_buffer_appendf(into, "\\%c", *text);
        else
            err = weir_buffer_append_byte(into, (uint8_t)*text);
    }
    return err;
}

/* Appends "name{labels", which is the key of a series; labels begin behind the brace. */
static enum weir_err put_key(struct weir_buffer *into, const struct weir_metric *metric)
{
    enum weir_err err = weir_buffer_appendf(into, "%s{", metric->name);

    for (size_t i = 0; i < metric->label_count && err == WEIR_OK; i++) {
        err = weir_buffer_appendf(into, "%s%s=\"", i > 0 ? "," : "", metric->labels[i].name);
        if (err == WEIR_OK)
            err = put_escaped(into, metric->labels[i].value, true);
        if (err == WEIR_OK)
            err = weir_buffer_append_byte(into, '"');
    }
    return err;
}

/* ---- registering, under the mutex */

static struct family *new_family(const struct weir_metric *metric, enum kind kind)
{
    struct family *family = weir_calloc(1, sizeof *family);

    if (family == NULL)
        return NULL;
    family->name = weir_strdup(metric->name);
    family->help = weir_strdup(metric->help != NULL ? metric->help : "");
    family->kind = kind;
    if (family->name != NULL && family->help != NULL)
        return family;
    free_family(family);
    return NULL;
}

static enum weir_err find_family(struct weir_metrics *metrics, const struct weir_metric *metric,
                                 enum kind kind, struct family **out, struct weir_error *error)
{
    enum weir_err err;

    *out = weir_map_get_text(&metrics->families, metric->name);
    if (*out != NULL)
        return (*out)->kind == kind
                   ? WEIR_OK
                   : weir_error_set(error, WEIR_INVALID, -1,
                                    "metric %s: registered before as another kind", metric->name);
    *out = new_family(metric, kind);
    if (*out == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "metric %s: no memory", metric->name);
    err = weir_map_put_text(&metrics->families, metric->name, *out);
    if (err != WEIR_OK) {
        free_family(*out);
        return weir_error_set(error, err, -1, "metric %s: %s", metric->name, weir_err_text(err));
    }
    return WEIR_OK;
}

static struct series *new_series(struct family *family, const char *labels)
{
    struct series *series = weir_calloc(1, sizeof *series);

    if (series == NULL)
        return NULL;
    series->family = family;
    series->labels = weir_strdup(labels);
    if (family->kind == KIND_HISTOGRAM) {
        series->handle.histogram = weir_alloc(sizeof *series->handle.histogram);
        if (series->handle.histogram != NULL)
            weir_histogram_init(series->handle.histogram);
    }
    if (series->labels == NULL ||
        (family->kind == KIND_HISTOGRAM && series->handle.histogram == NULL)) {
        free_series(series);
        return NULL;
    }
    return series;
}

static enum weir_err find_series(struct weir_metrics *metrics, struct family *family,
                                 struct weir_slice key, struct series **out)
{
    enum weir_err err;

    *out = weir_map_get(&metrics->series, key);
    if (*out != NULL)
        return WEIR_OK;
    *out = new_series(family, (const char *)key.data + strlen(family->name) + 1);
    if (*out == NULL)
        return WEIR_NOMEM;
    err = weir_map_put(&metrics->series, key, *out);
    if (err != WEIR_OK) {
        free_series(*out);
        return err;
    }
    if (family->last != NULL)
        family->last->next = *out;
    else
        family->first = *out;
    family->last = *out;
    return WEIR_OK;
}

enum { KEY_MAX = 4096 };

/* A histogram's ways of being written are the family's: the first registration decides. */
struct shape {
    double scale;
    const double *edges;
    size_t edge_count;
};

static enum weir_err add(struct weir_metrics *metrics, const struct weir_metric *metric,
                         enum kind kind, const struct shape *shape, struct series **out,
                         struct weir_error *error)
{
    struct weir_buffer key;
    struct family *family;
    enum weir_err err = check_metric(metrics, metric, kind, error);

    if (err != WEIR_OK)
        return err;
    weir_buffer_init(&key, KEY_MAX);
    pthread_mutex_lock(&metrics->mutex);
    err = put_key(&key, metric);
    if (err != WEIR_OK) {
        weir_error_set(error, err, -1, "metric %s: its labels: %s", metric->name,
                       weir_err_text(err));
        goto out;
    }
    err = find_family(metrics, metric, kind, &family, error);
    if (err != WEIR_OK)
        goto out;
    if (shape != NULL && family->first == NULL) {
        family->scale = shape->scale;
        family->edge_count = shape->edge_count;
        memcpy(family->edges, shape->edges, shape->edge_count * sizeof *shape->edges);
    }
    err = find_series(metrics, family, weir_buffer_slice(&key), out);
    if (err != WEIR_OK)
        weir_error_set(error, err, -1, "metric %s: %s (at most %u series)", metric->name,
                       weir_err_text(err), metrics->series.count_max);
out:
    pthread_mutex_unlock(&metrics->mutex);
    weir_buffer_release(&key);
    return err;
}

enum weir_err weir_metrics_counter(struct weir_metrics *metrics, const struct weir_metric *metric,
                                   struct weir_counter **out, struct weir_error *error)
{
    struct series *series;
    enum weir_err err = add(metrics, metric, KIND_COUNTER, NULL, &series, error);

    if (err == WEIR_OK)
        *out = &series->handle.counter;
    return err;
}

enum weir_err weir_metrics_gauge(struct weir_metrics *metrics, const struct weir_metric *metric,
                                 struct weir_gauge **out, struct weir_error *error)
{
    struct series *series;
    enum weir_err err = add(metrics, metric, KIND_GAUGE, NULL, &series, error);

    if (err == WEIR_OK)
        *out = &series->handle.gauge;
    return err;
}

enum weir_err weir_metrics_callback(struct weir_metrics *metrics, const struct weir_metric *metric,
                                    double (*read)(void *opaque), void *opaque,
                                    struct weir_error *error)
{
    enum kind kind = ends_in_total(metric->name) ? KIND_COUNTER : KIND_GAUGE;
    struct series *series;
    enum weir_err err = add(metrics, metric, kind, NULL, &series, error);

    if (err != WEIR_OK)
        return err;
    pthread_mutex_lock(&metrics->mutex);
    series->read = read;
    series->opaque = opaque;
    pthread_mutex_unlock(&metrics->mutex);
    return WEIR_OK;
}

enum weir_err weir_metrics_histogram(struct weir_metrics *metrics, const struct weir_metric *metric,
                                     double scale, const double *edges, size_t edge_count,
                                     struct weir_histogram **out, struct weir_error *error)
{
    struct shape shape = {scale, edges, edge_count};
    struct series *series;
    enum weir_err err;

    if (edges == NULL) {
        shape.edges = edges_default;
        shape.edge_count = WEIR_ARRAY_COUNT(edges_default);
    }
    if (!(scale > 0) || shape.edge_count == 0 || shape.edge_count > WEIR_METRIC_EDGES_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "metric %s: 1 to %d edges, scale above 0",
                              metric->name, WEIR_METRIC_EDGES_MAX);
    for (size_t i = 1; i < shape.edge_count; i++)
        if (!(shape.edges[i] > shape.edges[i - 1]))
            return weir_error_set(error, WEIR_INVALID, -1, "metric %s: edges must ascend",
                                  metric->name);
    err = add(metrics, metric, KIND_HISTOGRAM, &shape, &series, error);
    if (err == WEIR_OK)
        *out = series->handle.histogram;
    return err;
}

/* Takes a series out of its family's list. A family without series stays: it is not written. */
static void unlink_series(struct series *series)
{
    struct family *family = series->family;
    struct series *before = NULL;

    for (struct series *s = family->first; s != series; s = s->next)
        before = s;
    if (before != NULL)
        before->next = series->next;
    else
        family->first = series->next;
    if (family->last == series)
        family->last = before;
}

enum weir_err weir_metrics_remove(struct weir_metrics *metrics, const struct weir_metric *metric)
{
    struct weir_buffer key;
    union weir_map_value old;
    enum weir_err err;

    weir_buffer_init(&key, KEY_MAX);
    err = put_key(&key, metric);
    if (err == WEIR_OK) {
        pthread_mutex_lock(&metrics->mutex);
        if (weir_map_remove(&metrics->series, weir_buffer_slice(&key), &old)) {
            unlink_series(old.pointer);
            free_series(old.pointer);
        } else {
            err = WEIR_NOT_FOUND;
        }
        pthread_mutex_unlock(&metrics->mutex);
    }
    weir_buffer_release(&key);
    return err;
}

size_t weir_metrics_remove_callbacks(struct weir_metrics *metrics, const void *opaque)
{
    size_t count = 0;

    pthread_mutex_lock(&metrics->mutex);
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&metrics->series, e)) != NULL;) {
        struct series *series = e->value.pointer;
        if (series->read == NULL || series->opaque != opaque)
            continue;
        weir_map_remove(&metrics->series, weir_slice(e->key, e->key_bytes), NULL);
        unlink_series(series);
        free_series(series);
        count++;
    }
    pthread_mutex_unlock(&metrics->mutex);
    return count;
}

/* ---- writing */

static void format_value(char text[WEIR_NUMBER_TEXT_MAX], double value)
{
    if (isnan(value))
        memcpy(text, "NaN", 4);
    else if (isinf(value))
        memcpy(text, value > 0 ? "+Inf" : "-Inf", 5);
    else
        weir_format_double(text, value);
}

static enum weir_err write_value(const struct series *series, struct weir_buffer *into)
{
    char text[WEIR_NUMBER_TEXT_MAX];
    const char *labels = series->labels;
    bool braces = labels[0] != '\0';

    if (series->read != NULL)
        format_value(text, series->read(series->opaque));
    else if (series->family->kind == KIND_COUNTER)
        weir_format_int64(text, (int64_t)weir_counter_value(&series->handle.counter));
    else
        format_value(text, weir_gauge_value(&series->handle.gauge));
    return weir_buffer_appendf(into, "%s%s%s%s %s\n", series->family->name, braces ? "{" : "",
                               labels, braces ? "}" : "", text);
}

static enum weir_err write_bucket(const struct series *series, const char *edge, uint64_t count,
                                  struct weir_buffer *into)
{
    return weir_buffer_appendf(into, "%s_bucket{%s%sle=\"%s\"} %llu\n", series->family->name,
                               series->labels, series->labels[0] != '\0' ? "," : "", edge,
                               (unsigned long long)count);
}

/* Recorded integers in the written unit. Dividing by 1e9 rounds once, where 1e-9 is no double. */
static double scaled(const struct family *family, int64_t value)
{
    double per_unit = rint(1 / family->scale);
    bool divides = family->scale < 1 && fabs(per_unit * family->scale - 1) < 1e-12;

    return divides ? (double)value / per_unit : (double)value * family->scale;
}

static enum weir_err write_histogram(const struct series *series, struct weir_buffer *into)
{
    const struct family *family = series->family;
    const struct weir_histogram *histogram = series->handle.histogram;
    const char *open = series->labels[0] != '\0' ? "{" : "";
    const char *close = series->labels[0] != '\0' ? "}" : "";
    char text[WEIR_NUMBER_TEXT_MAX];
    uint64_t count = 0;
    enum weir_err err = WEIR_OK;

    for (size_t i = 0; i < family->edge_count && err == WEIR_OK; i++) {
        double edge = family->edges[i] / family->scale;
        /* A hair up: 1e-6 / 1e-9 is a little less than 1000. */
        int64_t value = edge >= 4e18 ? INT64_MAX : edge < 0 ? -1 : (int64_t)(edge + edge * 1e-9);
        count = weir_histogram_count_to(histogram, value);
        format_value(text, family->edges[i]);
        err = write_bucket(series, text, count, into);
    }
    /* Records may have come in meanwhile: +Inf and _count must be the same, and not less. */
    if (weir_histogram_count(histogram) > count)
        count = weir_histogram_count(histogram);
    if (err == WEIR_OK)
        err = write_bucket(series, "+Inf", count, into);
    format_value(text, scaled(family, weir_histogram_sum(histogram)));
    if (err == WEIR_OK)
        err = weir_buffer_appendf(into, "%s_sum%s%s%s %s\n", family->name, open, series->labels,
                                  close, text);
    if (err == WEIR_OK)
        err = weir_buffer_appendf(into, "%s_count%s%s%s %llu\n", family->name, open, series->labels,
                                  close, (unsigned long long)count);
    return err;
}

static enum weir_err write_family(const struct family *family, struct weir_buffer *into)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    enum weir_err err = weir_buffer_appendf(into, "# HELP %s ", family->name);

    if (err == WEIR_OK)
        err = put_escaped(into, family->help, false);
    if (err == WEIR_OK)
        err = weir_buffer_appendf(into, "\n# TYPE %s %s\n", family->name, kinds[family->kind]);
    for (const struct series *s = family->first; s != NULL && err == WEIR_OK; s = s->next)
        err = family->kind == KIND_HISTOGRAM ? write_histogram(s, into) : write_value(s, into);
    return err;
}

enum weir_err weir_metrics_write(struct weir_metrics *metrics, struct weir_buffer *into)
{
    enum weir_err err = WEIR_OK;

    pthread_mutex_lock(&metrics->mutex);
    for (struct weir_map_entry *e = NULL;
         err == WEIR_OK && (e = weir_map_next(&metrics->families, e)) != NULL;) {
        const struct family *family = e->value.pointer;
        if (family->first != NULL)
            err = write_family(family, into);
    }
    pthread_mutex_unlock(&metrics->mutex);
    return err;
}

/* ---- gauges */

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void weir_gauge_set(struct weir_gauge *gauge, double value)
{
    atomic_store_explicit(&gauge->bits, bits_of(value), memory_order_relaxed);
}

void weir_gauge_add(struct weir_gauge *gauge, double more)
{
    uint64_t old = atomic_load_explicit(&gauge->bits, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(&gauge->bits, &old,
                                                  bits_of(double_of(old) + more),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

double weir_gauge_value(const struct weir_gauge *gauge)
{
    return double_of(atomic_load_explicit(&gauge->bits, memory_order_relaxed));
}
