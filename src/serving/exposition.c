/*
 * serving/exposition.c - all figures of a model server as Prometheus text.
 *
 * A registry is filled from one look at everything and written: series of models that went are gone
 * with the next look, and nothing has to be kept in step.
 */
#include <string.h>

#include "base/alloc.h"
#include "serving/server_inside.h"

enum { SERIES_MAX = 16384 };

struct page {
    struct weir_metrics *metrics;
    enum weir_err err; /* the first */
};

static void put_counter(struct page *page, const char *name, const char *help,
                        const struct weir_label *labels, size_t label_count, uint64_t value)
{
    struct weir_metric metric = {name, help, labels, label_count};
    struct weir_counter *counter;
    enum weir_err err = weir_metrics_counter(page->metrics, &metric, &counter, NULL);
    if (err == WEIR_OK)
        weir_counter_add(counter, value);
    else if (page->err == WEIR_OK)
        page->err = err;
}

static void put_gauge(struct page *page, const char *name, const char *help,
                      const struct weir_label *labels, size_t label_count, double value)
{
    struct weir_metric metric = {name, help, labels, label_count};
    struct weir_gauge *gauge;
    enum weir_err err = weir_metrics_gauge(page->metrics, &metric, &gauge, NULL);
    if (err == WEIR_OK)
        weir_gauge_set(gauge, value);
    else if (page->err == WEIR_OK)
        page->err = err;
}

static void put_totals(struct page *page, struct server *server)
{
    struct server_totals totals;
    server_totals(server, &totals);
    const struct weir_streams_stats *streams = &totals.streams;
    put_counter(page, "weir_records_consumed_total", "Records read from the data topic.", NULL, 0,
                streams->records_consumed);
    put_counter(page, "weir_records_produced_total", "Records that the broker has acknowledged.",
                NULL, 0, streams->records_delivered);
    static const struct weir_label value[] = {{"outcome", "value"}},
                                   error[] = {{"outcome", "error"}};
    put_counter(page, "weir_results_total", "Results given, by outcome.", value, 1, totals.results);
    put_counter(page, "weir_results_total", "Results given, by outcome.", error, 1, totals.errors);
    put_counter(page, "weir_records_no_model_total", "Records whose data type had no model.", NULL,
                0, totals.no_model);
    put_counter(page, "weir_dead_letters_total", "Records sent to the dead-letter topic.", NULL, 0,
                streams->dead_letters);
    put_counter(page, "weir_commits_total", "Offset commits.", NULL, 0, streams->commits);
    put_counter(page, "weir_commit_failures_total", "Offset commits that failed.", NULL, 0,
                streams->commit_failures);
    put_counter(page, "weir_rebalances_total", "Changes of the assignment.", NULL, 0,
                streams->rebalances);
    put_counter(page, "weir_rewinds_total", "Tasks set back to their last commit.", NULL, 0,
                streams->rewinds);
    put_gauge(page, "weir_tasks", "Tasks of this instance.", NULL, 0, streams->tasks);
    if (streams->lag_records >= 0)
        put_gauge(page, "weir_consumer_lag_records", "Records not read yet, of our partitions.",
                  NULL, 0, (double)streams->lag_records);
    put_counter(page, "weir_model_records_total", "Records of the models topic.", NULL, 0,
                totals.models.received);
    put_counter(page, "weir_model_loads_total", "Models loaded.", NULL, 0, totals.models.loaded);
    put_counter(page, "weir_model_refusals_total", "Models refused.", NULL, 0,
                totals.models.refused);
    put_counter(page, "weir_model_letters_left_total",
                "Refused models whose dead letter was left to the instance with partition 0.", NULL,
                0, totals.models.letters_left);
    put_counter(page, "weir_model_letters_dropped_total",
                "Refused models that found no room to wait for their dead letter.", NULL, 0,
                totals.models.letters_dropped);
    put_counter(page, "weir_model_swaps_total", "Times that a model came in force.", NULL, 0,
                totals.models.swaps);
    put_gauge(page, "weir_model_bytes", "Memory of the compiled models.", NULL, 0,
              (double)totals.models.loaded_bytes);
}

static void put_version(void *opaque, const struct models_view *view)
{
    struct page *page = opaque;
    const struct weir_label labels[] = {
        {"data_type", view->data_type}, {"model", view->name}, {"version", view->version}};
    if (!view->in_force && !view->statistics.usage)
        return;
    put_gauge(page, "weir_model_in_force", "1 for the model in force.", labels, 3, view->in_force);
    put_counter(page, "weir_inference_records_total", "Records given to a model.", labels, 3,
                view->statistics.usage);
    put_counter(page, "weir_inference_errors_total", "Records for which a model had no result.",
                labels, 3, view->statistics.errors);
    put_gauge(page, "weir_inference_seconds_sum", "Time spent in a model.", labels, 3,
              (double)view->statistics.duration_ns / 1e9);
}

static void put_latency(struct page *page, struct server *server)
{
    static const double edges[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
                                   0.2,   0.5,   1,     2,    5,    10,   60};
    struct weir_metric metric = {"weir_record_e2e_latency_seconds",
                                 "From a record's timestamp to its score.", NULL, 0};
    struct weir_histogram *latency;
    enum weir_err err = weir_metrics_histogram(page->metrics, &metric, 1e-9, edges,
                                               sizeof edges / sizeof *edges, &latency, NULL);
    if (err == WEIR_OK)
        scoring_latency(&server->scoring, latency);
    else if (page->err == WEIR_OK)
        page->err = err;
}

static void put_state(struct page *page, const struct server *server)
{
    enum weir_streams_state now = server_state(server);
    for (int state = WEIR_STREAMS_CREATED; state <= WEIR_STREAMS_ERROR; state++) {
        const struct weir_label label[] = {
            {"state", weir_streams_state_name((enum weir_streams_state)state)}};
        put_gauge(page, "weir_state", "1 for the state the engine is in.", label, 1,
                  (int)now == state);
    }
}

enum weir_err server_write_metrics(struct server *server, struct weir_buffer *into)
{
    struct page page = {.err = WEIR_OK};
    static const struct weir_label build[] = {{"version", WEIR_VERSION}};
    enum weir_err err = weir_metrics_new(SERIES_MAX, NULL, &page.metrics);
    if (err != WEIR_OK)
        return err;
    put_gauge(&page, "weir_build_info", "Always 1; the labels tell the build.", build, 1, 1);
    put_gauge(&page, "weir_start_time_seconds", "When the server started, since 1970.", NULL, 0,
              (double)server->started_wall_ms / 1e3);
    put_state(&page, server);
    put_totals(&page, server);
    models_each(server->models, put_version, &page);
    put_latency(&page, server);
    if (server->options.more_metrics)
        server->options.more_metrics(server->options.opaque, page.metrics);
    err = page.err == WEIR_OK ? weir_metrics_write(page.metrics, into) : page.err;
    weir_metrics_free(page.metrics);
    return err;
}
