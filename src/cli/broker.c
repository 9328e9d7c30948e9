/* cli/broker.c - weir broker: the embedded broker alone, until SIGTERM. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "cli/commands.h"
#include "cli/embedded.h"
#include "cli/kafka_names.h"
#include "cli/signals.h"
#include "http/http.h"

/* ---- /metrics -------------------------------------------------------------------------------- */

static enum weir_err put_requests(struct weir_metrics *metrics,
                                  const struct weir_broker_stats *stats)
{
    enum weir_err err = WEIR_OK;
    for (int key = 0; key < WEIR_BROKER_API_KEYS && err == WEIR_OK; key++) {
        const struct weir_label label = {"api", weir_broker_api_name(key)};
        const struct weir_metric metric = {"weir_broker_api_requests_total",
                                           "Requests by their name in the protocol.", &label, 1};
        struct weir_counter *count;
        if (!label.value)
            continue;
        err = weir_metrics_counter(metrics, &metric, &count, NULL);
        if (err == WEIR_OK)
            weir_counter_add(count, stats->requests_by_api[key]);
    }
    return err;
}

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
        {"weir_broker_connections_expired_total",
         "Connections closed for being idle, or for taking too long to come in.", true,
         stats->connections_expired},
        {"weir_broker_tls_handshake_failures_total", "TLS handshakes that failed.", true,
         stats->tls_handshake_failures},
        {"weir_broker_authentications_total", "Users who came in.", true, stats->authentications},
        {"weir_broker_authentication_failures_total", "Users who were refused.", true,
         stats->authentication_failures},
        {"weir_broker_log_syncs_total", "Syncs of partition logs in the background.", true,
         stats->syncs},
        {"weir_broker_log_syncs_failed_total",
         "Those that failed: the partition is read-only until the next start.", true,
         stats->syncs_failed},
        {"weir_broker_cleaner_passes_total", "Passes of compaction over a partition.", true,
         stats->cleaner_passes},
        {"weir_broker_cleaner_read_bytes_total", "Bytes that compaction read.", true,
         stats->cleaner_bytes_read},
        {"weir_broker_cleaner_written_bytes_total", "Bytes that compaction wrote.", true,
         stats->cleaner_bytes_written},
        {"weir_broker_cleaner_last_pass_timestamp_seconds", "When the last pass ended; 0 = never.",
         false, stats->cleaner_last_ms / 1000},
        {"weir_broker_cleaner_dirty_percent_max",
         "How much of the dirtiest compacted partition is new.", false,
         stats->cleaner_dirty_percent_max},
        {"weir_broker_cleaner_uncleanable_partitions",
         "Partitions that are not compacted any more after a failure.", false,
         stats->cleaner_uncleanable},
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
    return err == WEIR_OK ? put_requests(metrics, stats) : err;
}

static void metrics_page(void *opaque, const struct http_request *request,
                         struct http_response *response)
{
    struct weir_broker_stats stats;
    struct weir_metrics *metrics;
    (void)request;
    weir_broker_stats(opaque, &stats);
    enum weir_err err = weir_metrics_new(128, NULL, &metrics);
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

/* ---- settings of Apache Kafka ---------------------------------------------------------------- */

/* What a file has that was written for Apache Kafka. */
static enum weir_err look_at_others(const struct run *run, struct weir_error *error)
{
    for (size_t i = 0; i < weir_settings_extra_count(run->settings); i++) {
        const char *name, *value;
        weir_settings_extra(run->settings, i, &name, &value);
        const struct kafka_name *known = kafka_name_find(name);
        if (known && known->refused)
            return weir_error_set(error, WEIR_UNSUPPORTED, -1,
                                  "%s is a setting of Apache Kafka that this broker does not have: "
                                  "%s",
                                  name, known->hint);
        if (known)
            weir_log(&run->log, WEIR_LOG_INFO, "broker", "%s has no effect here: %s", name,
                     known->hint);
        else
            weir_log(&run->log, WEIR_LOG_WARN, "broker",
                     "%s is not a setting of the broker: passed over", name);
    }
    return WEIR_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

static void print_listeners(const struct weir_broker *broker)
{
    static const char *const protocols[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
        const char *address = weir_broker_address_of(broker, protocols[i]);
        if (address)
            printf("listening: %s://%s\n", protocols[i], address);
    }
}

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
    if (look_at_others(run, &error) != WEIR_OK ||
        embedded_check_listeners(run->settings, &error) != WEIR_OK)
        return fail_usage(run, "%s", error.message);
    if (embedded_start(&options, &embedded, &error) != WEIR_OK)
        return fail(run, &error);
    int status = EXIT_DONE;
    if (open_http(run, embedded_broker(embedded), &http, &error) == WEIR_OK) {
        const char *directory = embedded_directory(embedded);
        printf("broker at %s, data in %s, ready after %.1f ms\n", embedded_address(embedded),
               directory ? directory : "memory",
               (double)(weir_clock_now_ns(NULL) - start_ns) / 1e6);
        if (weir_broker_address_of(embedded_broker(embedded), "PLAINTEXT") == NULL ||
            strchr(weir_settings_string(run->settings, "listeners"), ','))
            print_listeners(embedded_broker(embedded));
        if (http)
            printf("metrics: http://%s/metrics\n", http_address(http));
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
