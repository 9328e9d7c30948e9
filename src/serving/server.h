/*
 * serving/server.h - a model server on either engine: topics, scoring, HTTP, one life.
 *
 *      mdata --> scoring --> scores             streams: a topology, engine_streams.c
 *      models --> models table \-> dead letters    flow: streams with a custom stage, engine_flow.c
 *
 * Life:    server_new -> server_tick until it is stopped -> server_stop -> server_free.
 *          The first ticks look for the topics and start the engine; none blocks longer than
 *          SERVER_TICK_MS_MAX, so that the caller can look after signals in between.
 * Threads: one thread calls these functions; callbacks come from threads of the server.
 * Memory:  options are copied, but for what they point to, which is borrowed until free.
 * Errors:  server_tick gives what stops the server for good; what may pass is logged and tried
 * again.
 */
#ifndef SERVING_SERVER_H
#define SERVING_SERVER_H

#include <weir/kafka.h>
#include <weir/streams.h>

#include "base/metrics.h"
#include "base/net.h"
#include "http/http.h"
#include "serving/models.h"
#include "serving/scoring.h"

enum { SERVER_TICK_MS_MAX = 2000 };

struct server;

/* What moves the records; flow: scoring is a stage of its own. */
enum server_engine {
    SERVER_STREAMS_MEMORY, /* topologies.h has these three */
    SERVER_STREAMS_STANDARD,
    SERVER_STREAMS_CUSTOM,
    SERVER_FLOW_CUSTOM,
};

struct server_options {
    enum server_engine engine; /* [SERVER_STREAMS_CUSTOM] */
    struct weir_kafka_options kafka;
    struct weir_streams_options streams; /* application_id, threads, intervals ... */
    const char *data_topic, *models_topic, *scores_topic, *dead_letter_topic;
    enum no_model_policy no_model;
    size_t model_cache_bytes;
    bool reference;     /* models topic as the reference has it: not compacted */
    bool http;          /* serve HTTP at http_listen */
    bool http_optional; /* a port that is taken is logged, not fatal */
    bool insecure;
    struct weir_endpoint http_listen;
    int64_t sample_every_ns; /* 0 = no samples */
    /* All optional; on threads of the server, borrowed for the call, must be brief. */
    void (*on_state)(void *opaque, enum weir_streams_state from, enum weir_streams_state to);
    void (*on_model)(void *opaque, const struct models_event *event);
    void (*on_sample)(void *opaque, const struct scoring_sample *sample);
    void (*more_metrics)(void *opaque, struct weir_metrics *metrics); /* on the HTTP thread */
    void *opaque;
    struct weir_log log;
};

/* [brackets] of the parts, topics mdata, models, scores, weir-dead-letters. */
void server_options_default(struct server_options *options);

/* Checks the settings and opens the HTTP port; does not wait for the broker. */
enum weir_err server_new(const struct server_options *options, struct server **out,
                         struct weir_error *error);
/* Goes on: OK; anything else ends the server. Returns within SERVER_TICK_MS_MAX, at once when there
 * is nothing to do. */
enum weir_err server_tick(struct server *server, struct weir_error *error);
/* Drains and commits. TIMEOUT: not everything was delivered in time and will be read again. */
enum weir_err server_stop(struct server *server);
void server_free(struct server *server); /* NULL is allowed */

/* "127.0.0.1:8888", or NULL without HTTP. */
const char *server_address(const struct server *server);
enum weir_streams_state server_state(const struct server *server);
/* The topology in words. */
size_t server_describe(const struct server *server, char *text, size_t capacity);

/* What has happened since the start. in = results + errors + dead, once it has drained. */
struct server_totals {
    uint64_t in, results, errors, dead, dead_models, no_model;
    struct weir_streams_stats streams;
    struct models_counts models;
    int64_t latency_p50_ns, latency_p99_ns; /* record's timestamp to score */
};
void server_totals(struct server *server, struct server_totals *out);
/* The name of the model that came in force last, into text; "" if none is. */
void server_model_name(struct server *server, char *text, size_t capacity);

#endif
