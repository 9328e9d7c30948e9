/* cli/broker.c - weir broker: the embedded broker alone, until SIGTERM. */
#include <stdio.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "cli/commands.h"
#include "cli/embedded.h"
#include "cli/signals.h"
#include "http/http.h"

/* ---- /metrics -------------------------------------------------------------------------------- */

static enum weir_err put(struct weir_metrics *metrics, const char *name, const char *help,
                         bool counter, uint64_t value)
{
    struct weir_metric metric = {.name = name, .help = help};
    struct weir_counter *count;
    struct weir_gauge *gauge;
    enum weir_err err = counter ? weir_metrics_counter(metrics, &metric, &count, NULL)
                                : weir_metrics_gauge(metrics, &metric, &gauge, NULL);
    if (err == WEIR_OK && counter)
        weir_counter_add(count, value);
    else if (err == WEIR_OK)
        weir_gauge_set(gauge, (double)value);
    return err;
}

static enum weir_err put_all(struct weir_metrics *metrics, const struct weir_broker_stats *stats)
{
    const struct {
        const char *name, *help;
        bool counter;
        uint64_t value;
    } rows[] = {
        {"weir_broker_requests_total", "Requests handled.", true, stats->requests},
        {"weir_broker_request_failures_total", "Requests that broke their connection.", true,
         stats->requests_failed},
        {"weir_broker_batches_total", "Record batches appended.", true, stats->batches_appended},
        {"weir_broker_received_bytes_total", "Bytes received.", true, stats->bytes_in},
        {"weir_broker_sent_bytes_total", "Bytes sent.", true, stats->bytes_out},
        {"weir_broker_connections_opened_total", "Connections accepted.", true,
         stats->connections_opened},
        {"weir_broker_connections", "Connections open.", false, stats->connections},
        {"weir_broker_topics", "Topics.", false, stats->topics},
        {"weir_broker_partitions", "Partitions.", false, stats->partitions},
        {"weir_broker_groups", "Consumer groups.", false, stats->groups},
        {"weir_broker_fetches_parked", "Fetches that wait for records.", false,
         stats->fetches_parked},
    };
    enum weir_err err = WEIR_OK;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && err == WEIR_OK; i++)
        err = put(metrics, rows[i].name, rows[i].help, rows[i].counter, rows[i].value);
    return err;
}

static void metrics_page(void *opaque, const struct http_request *request,
                         struct http_response *response)
{
    struct weir_broker_stats stats;
    struct weir_metrics *metrics;
    (void)request;
    weir_broker_stats(opaque, &stats);
    enum weir_err err = weir_metrics_new(64, NULL, &metrics);
    if (err == WEIR_OK) {
        err = put_all(metrics, &stats);
        if (err == WEIR_OK)
            err = weir_metrics_write(metrics, &response->body);
        weir_metrics_free(metrics);
    }
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    response->status = err == WEIR_OK ? 200 : 500;
}

static void health(void *opaque, const struct http_request *request, struct http_response *response)
{
    (void)opaque;
    (void)request;
    if (weir_buffer_append_text(&response->body, "ok\n") != WEIR_OK)
        response->status = 500;
}

static enum weir_err open_http(const struct run *run, struct weir_broker *broker,
                               struct http_server **out, struct weir_error *error)
{
    const struct http_route routes[] = {{"/metrics", metrics_page, broker},
                                        {"/livez", health, broker},
                                        {"/readyz", health, broker}};
    struct http_options options = {.listen =
                                       weir_settings_endpoint(run->settings, "broker.http.listen"),
                                   .insecure = weir_settings_bool(run->settings, "insecure"),
                                   .routes = routes,
                                   .route_count = sizeof routes / sizeof *routes,
                                   .log = run->log};
    *out = NULL;
    return *options.listen.host ? http_start(&options, out, error) : WEIR_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

int broker_run(const struct run *run)
{
    struct embedded_options options = {.settings = run->settings,
                                       .own_settings = true,
                                       .insecure = weir_settings_bool(run->settings, "insecure"),
                                       .log = run->log};
    struct weir_error error = {.code = WEIR_OK};
    struct embedded *embedded;
    struct http_server *http = NULL;
    int64_t start_ns = weir_clock_now_ns(NULL);
    if (embedded_start(&options, &embedded, &error) != WEIR_OK)
        return fail(run, &error);
    int status = EXIT_DONE;
    if (open_http(run, embedded_broker(embedded), &http, &error) == WEIR_OK) {
        printf("broker at %s, data in %s, ready after %.1f ms\n", embedded_address(embedded),
               embedded_directory(embedded), (double)(weir_clock_now_ns(NULL) - start_ns) / 1e6);
        fflush(stdout);
        while (!signals_wait(-1)) {
        }
        signals_force_on_next();
    } else {
        status = fail(run, &error);
    }
    http_stop(http);
    embedded_stop(embedded);
    return status;
}
