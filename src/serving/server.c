/* serving/server.c - the life of a model server, see server.h. */
#include "serving/server.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "serving/server_inside.h"

enum { ADMIN_TIMEOUT_MS = 1500, FETCH_TIMEOUT_MS = 10000, FETCH_POLL_MS = 100 };

void server_options_default(struct server_options *options)
{
    *options = (struct server_options){.engine = SERVER_STREAMS_CUSTOM,
                                       .data_topic = "mdata",
                                       .models_topic = "models",
                                       .scores_topic = "scores",
                                       .dead_letter_topic = "weir-dead-letters"};
    weir_kafka_options_default(&options->kafka);
    weir_streams_options_default(&options->streams);
}

/* ---- callbacks of the parts ------------------------------------------------------------------ */

/* Reads one record of the models topic again, on the loader's thread. */
static enum weir_err fetch_model(void *opaque, int32_t partition, int64_t offset, void **value_out,
                                 size_t *bytes_out, struct weir_error *error)
{
    struct server *server = opaque;
    struct weir_kafka_table_options options;
    struct weir_kafka_table *table;
    weir_kafka_table_options_default(&options);
    options.topic = server->options.models_topic;
    options.partition = partition;
    options.offset = offset;
    enum weir_err err = weir_kafka_table_open(server->kafka, &options, &table, error);
    if (err != WEIR_OK)
        return err;
    err = WEIR_AGAIN;
    for (int waited_ms = 0; err == WEIR_AGAIN && waited_ms < FETCH_TIMEOUT_MS;
         waited_ms += FETCH_POLL_MS) {
        struct weir_kafka_batch batch = {0};
        err = weir_kafka_table_poll(table, 1, FETCH_POLL_MS, &batch, error);
        if (err == WEIR_OK && batch.count && batch.rows.offset[0] == offset &&
            batch.rows.value[0].data) {
            *bytes_out = batch.rows.value[0].bytes;
            *value_out = weir_alloc(*bytes_out ? *bytes_out : 1);
            err = *value_out ? WEIR_OK : WEIR_NOMEM;
            if (*value_out)
                memcpy(*value_out, batch.rows.value[0].data, *bytes_out);
        } else if (err == WEIR_OK || err == WEIR_END) {
            err = WEIR_NOT_FOUND;
        }
        weir_kafka_batch_release(&batch);
    }
    weir_kafka_table_close(table);
    if (err == WEIR_AGAIN)
        err = WEIR_TIMEOUT;
    if (err != WEIR_OK)
        weir_error_set(error, err, offset, "the model at offset %lld of %s can't be read again: %s",
                       (long long)offset, server->options.models_topic, weir_err_text(err));
    return err;
}

static void log_model(const struct server *server, const struct models_event *event)
{
    const struct weir_log *log = &server->options.log;
    switch (event->kind) {
    case MODELS_RECEIVED:
        weir_log(log, WEIR_LOG_DEBUG, "models", "received %s/%s at offset %lld", event->data_type,
                 event->name, (long long)event->offset);
        return;
    case MODELS_LOADED:
        weir_log(log, WEIR_LOG_DEBUG, "models", "loaded %s/%s (%s) in %.1f ms", event->data_type,
                 event->name, weir_model_info(event->served->model)->algorithm,
                 (double)event->served->load_ns / 1e6);
        return;
    case MODELS_IN_FORCE:
        weir_log(log, WEIR_LOG_INFO, "models", "%s: %s version %s is in force%s%s",
                 event->data_type, event->name, event->served->version,
                 event->before ? ", after " : "", event->before ? event->before->name : "");
        return;
    case MODELS_WITHDRAWN:
        weir_log(log, WEIR_LOG_WARN, "models", "%s: no model is in force any more",
                 event->data_type);
        return;
    case MODELS_REFUSED:
        weir_log(log, WEIR_LOG_WARN, "models", "%s/%s at partition %d, offset %lld refused: %s",
                 event->data_type, event->name, (int)event->partition, (long long)event->offset,
                 event->error->message);
        return;
    }
}

static void on_model(void *opaque, const struct models_event *event)
{
    struct server *server = opaque;
    log_model(server, event);
    if (server->options.on_model)
        server->options.on_model(server->options.opaque, event);
    server->ops->wake(server);
}

static void on_sample(void *opaque, const struct scoring_sample *sample)
{
    struct server *server = opaque;
    if (server->options.on_sample)
        server->options.on_sample(server->options.opaque, sample);
}

void server_on_state(struct server *server, enum weir_streams_state from,
                     enum weir_streams_state to)
{
    weir_log(&server->options.log, WEIR_LOG_INFO, "server", "state %s -> %s",
             weir_streams_state_name(from), weir_streams_state_name(to));
    if (server->options.on_state)
        server->options.on_state(server->options.opaque, from, to);
}

enum weir_err server_update_models(struct server *server, const struct weir_rows *block,
                                   uint32_t count, bool past_end, struct weir_error *error)
{
    struct weir_rows rows = *block;
    uint32_t skip = 0, taken = 0;
    if (count && rows.partition == server->update_partition &&
        rows.offset[0] == server->update_offset)
        skip = server->update_taken;
    rows.key += skip;
    rows.value += skip;
    rows.timestamp_ms += skip;
    rows.offset += skip;
    rows.headers += skip;
    rows.header_count += skip;
    enum weir_err err = models_update(server->models, &rows, count - skip, past_end, &taken);
    server->update_partition = rows.partition;
    server->update_offset = err == WEIR_AGAIN ? block->offset[0] : -1;
    server->update_taken = skip + taken;
    if (err != WEIR_OK && err != WEIR_AGAIN)
        return weir_error_set(error, err, -1, "the models topic can't be taken in: %s",
                              weir_err_text(err));
    return err;
}

/* ---- making ---------------------------------------------------------------------------------- */

static enum weir_err make_models(struct server *server, struct weir_error *error)
{
    struct models_options options = {.schema = server->schema,
                                     .rows_max = server->options.streams.batch_rows,
                                     .scorers = server->options.streams.threads,
                                     .cache_bytes = server->options.model_cache_bytes,
                                     .fetch = fetch_model,
                                     .on_event = on_model,
                                     .opaque = server};
    server->scoring =
        (struct scoring){.no_model = server->options.no_model,
                         .data_type_column = weir_schema_find(server->schema, "dataType"),
                         .rows_max = server->options.streams.batch_rows,
                         .sample_every_ns = server->options.sample_every_ns,
                         .on_sample = on_sample,
                         .opaque = server};
    enum weir_err err = models_new(&options, &server->models);
    if (err == WEIR_OK) {
        server->scoring.models = server->models;
        err = scoring_init(&server->scoring);
        server->scoring_ready = err == WEIR_OK;
    }
    return err == WEIR_OK ? err : weir_error_set(error, err, -1, "no memory for the models");
}

static enum weir_err open_http(struct server *server, struct weir_error *error)
{
    struct http_route routes[SERVER_ROUTES_MAX];
    struct http_options options = {.listen = server->options.http_listen,
                                   .insecure = server->options.insecure,
                                   .routes = routes,
                                   .route_count = server_routes(server, routes),
                                   .log = server->options.log};
    if (!server->options.http)
        return WEIR_OK;
    enum weir_err err = http_start(&options, &server->http, error);
    if (err == WEIR_IN_USE && server->options.http_optional) {
        weir_log(&server->options.log, WEIR_LOG_WARN, "http", "%s", error ? error->message : "");
        options.listen.port = 0;
        err = http_start(&options, &server->http, error);
    }
    return err;
}

static enum weir_err check_options(const struct server_options *options, struct weir_error *error)
{
    if (options->streams.threads < 1 || options->streams.threads > MODELS_SCORERS_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "num.stream.threads must be from 1 to %d",
                              MODELS_SCORERS_MAX);
    if (options->streams.batch_rows < 1 || options->streams.batch_rows > WEIR_KAFKA_BATCH_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "batch.rows must be from 1 to %d",
                              WEIR_KAFKA_BATCH_MAX);
    return WEIR_OK;
}

enum weir_err server_new(const struct server_options *options, struct server **out,
                         struct weir_error *error)
{
    enum weir_err err = check_options(options, error);
    if (err != WEIR_OK)
        return err;
    struct server *server = weir_calloc(1, sizeof *server);
    if (!server)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a server");
    server->options = *options;
    server->options.streams.dead_letter_topic = options->dead_letter_topic;
    server->options.streams.log = options->log;
    server->options.kafka.log = options->log;
    server->started_wall_ms = weir_clock_wall_ms(NULL);
    server->update_offset = -1;
    server->ops = options->engine == SERVER_FLOW_CUSTOM ? &engine_flow_custom : &engine_streams;
    err = weir_schema_wine(&server->schema);
    if (err == WEIR_OK)
        err = weir_kafka_new(&server->options.kafka, &server->kafka, error);
    else
        weir_error_set(error, err, -1, "no memory for a schema");
    if (err == WEIR_OK)
        err = make_models(server, error);
    if (err == WEIR_OK)
        err = server->ops->make(server, error);
    if (err == WEIR_OK && (err = models_start(server->models)) != WEIR_OK)
        weir_error_set(error, err, -1, "no memory for the models");
    if (err == WEIR_OK)
        err = open_http(server, error);
    if (err != WEIR_OK) {
        server_free(server);
        return err;
    }
    *out = server;
    return WEIR_OK;
}

/* ---- topics ---------------------------------------------------------------------------------- */

/* Something that may pass: said once, and again every ten seconds. */
static enum weir_err wait_for(struct server *server, const char *what, const char *message)
{
    int64_t now_ns = weir_clock_now_ns(NULL);
    if (!server->waiting_since_ns || now_ns - server->waiting_since_ns > 10 * WEIR_NS_PER_SECOND) {
        weir_log(&server->options.log, WEIR_LOG_WARN, "server", "waiting for %s: %s", what,
                 message);
        server->waiting_since_ns = now_ns;
    }
    return WEIR_AGAIN;
}

/* What to do about a failure of the broker: wait if waiting may help. */
static enum weir_err broker_failed(struct server *server, enum weir_err err,
                                   const struct weir_error *error)
{
    if (err == WEIR_TIMEOUT || err == WEIR_BROKER || error->retriable)
        return wait_for(server, server->options.kafka.bootstrap_servers, error->message);
    return err;
}

static enum weir_err prepare_topics(struct server *server, struct weir_error *error)
{
    const struct server_options *options = &server->options;
    struct weir_error why = {.code = WEIR_OK};
    enum weir_err err = weir_kafka_topic_partitions(
        server->kafka, options->data_topic, ADMIN_TIMEOUT_MS, &server->data_partitions, &why);
    if (err == WEIR_NOT_FOUND)
        return wait_for(server, options->data_topic,
                        "the topic does not exist yet (weir provide creates it)");
    if (err == WEIR_OK) {
        /* A model must not vanish from the topic before those who replay it have read it. */
        static const struct weir_kafka_property compacted[] = {
            {"cleanup.policy", "compact"}, {"min.compaction.lag.ms", "604800000"}};
        struct weir_kafka_topic topics[] = {
            {.name = options->models_topic,
             .partitions = 1,
             .replication = -1,
             .config = compacted,
             .config_count = options->reference ? 0 : WEIR_ARRAY_COUNT(compacted)},
            {.name = options->scores_topic,
             .partitions = server->data_partitions,
             .replication = -1},
            {.name = options->dead_letter_topic, .partitions = 1, .replication = -1}};
        err = weir_kafka_topics_create(server->kafka, topics, WEIR_ARRAY_COUNT(topics),
                                       ADMIN_TIMEOUT_MS, NULL, &why);
    }
    if (err == WEIR_OK) {
        err = weir_kafka_topic_partitions(server->kafka, options->scores_topic, ADMIN_TIMEOUT_MS,
                                          &server->scores_partitions, &why);
        if (err == WEIR_NOT_FOUND) /* it has just been made */
            return wait_for(server, options->scores_topic, "the brokers don't know it yet");
    }
    if (err != WEIR_OK) {
        err = broker_failed(server, err, &why);
        if (err != WEIR_AGAIN && error)
            *error = why;
    }
    return err;
}

enum weir_err server_tick(struct server *server, struct weir_error *error)
{
    struct weir_error why = {.code = WEIR_OK};
    enum weir_err err;
    if (atomic_load(&server->phase) == SERVER_TOPICS) {
        err = prepare_topics(server, &why);
        if (err == WEIR_AGAIN)
            return WEIR_OK;
        if (err == WEIR_OK)
            err = server->ops->start(server, &why);
        if (err == WEIR_OK)
            atomic_store(&server->phase, SERVER_STARTED);
    } else {
        err = server->ops->tick(server, &why);
    }
    if (err != WEIR_OK && error)
        *error = why;
    return err;
}

/* ---- the end --------------------------------------------------------------------------------- */

enum weir_err server_stop(struct server *server)
{
    atomic_store(&server->phase, SERVER_STOPPED);
    return server->ops->stop(server);
}

void server_free(struct server *server)
{
    if (!server)
        return;
    http_stop(server->http);
    server->ops->free(server);
    models_free(server->models);
    if (server->scoring_ready)
        scoring_release(&server->scoring);
    weir_kafka_free(server->kafka);
    weir_schema_unref(server->schema);
    weir_free(server->description);
    weir_free(server);
}

/* ---- looking at it --------------------------------------------------------------------------- */

const char *server_address(const struct server *server)
{
    return server->http ? http_address(server->http) : NULL;
}

enum weir_streams_state server_state(const struct server *server)
{
    return server->ops->state(server);
}

size_t server_describe(const struct server *server, char *text, size_t capacity)
{
    size_t bytes = strlen(server->description);
    if (capacity) {
        size_t fits = bytes < capacity ? bytes : capacity - 1;
        memcpy(text, server->description, fits);
        text[fits] = '\0';
    }
    return bytes;
}

void server_totals(struct server *server, struct server_totals *out)
{
    struct scoring_totals *totals = &server->scoring.totals;
    *out = (struct server_totals){0};
    server->ops->stats(server, &out->streams);
    models_count(server->models, &out->models);
    out->results = atomic_load(&totals->results);
    out->errors = atomic_load(&totals->errors);
    out->no_model = atomic_load(&totals->no_model);
    out->in = out->streams.records_consumed;
    out->dead_models = atomic_load(&totals->dead_models);
    out->dead = out->streams.dead_letters - out->dead_models; /* of records */
    struct weir_histogram *latency = weir_alloc(sizeof *latency);
    if (latency) {
        weir_histogram_init(latency);
        scoring_latency(&server->scoring, latency);
        out->latency_p50_ns = weir_histogram_percentile(latency, 50);
        out->latency_p99_ns = weir_histogram_percentile(latency, 99);
        weir_free(latency);
    }
}

struct newest {
    int64_t activated_ms, offset;
    char *text;
    size_t capacity;
};

static void name_newest(void *opaque, const struct models_view *view)
{
    struct newest *newest = opaque;
    if (!view->in_force || view->activated_ms < newest->activated_ms ||
        (view->activated_ms == newest->activated_ms && view->offset < newest->offset))
        return;
    newest->activated_ms = view->activated_ms;
    newest->offset = view->offset;
    snprintf(newest->text, newest->capacity, "%s", view->name);
}

void server_model_name(struct server *server, char *text, size_t capacity)
{
    struct newest newest = {.text = text, .capacity = capacity};
    weir_assert(capacity > 0);
    text[0] = '\0';
    models_each(server->models, name_newest, &newest);
}
