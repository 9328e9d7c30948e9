/*
 * serving/server_inside.h - the inside of serving/server.h, shared with the HTTP routes.
 *
 * Phases, by what the server waits for:
 *      SERVER_TOPICS   the broker, and the data topic on it
 *      SERVER_STARTED  nothing: the engine runs (engine.h; see its own states)
 *      SERVER_STOPPED  server_free
 */
#ifndef SERVING_SERVER_INSIDE_H
#define SERVING_SERVER_INSIDE_H

#include <stdatomic.h>

#include "serving/engine.h"
#include "serving/server.h"

enum server_phase { SERVER_TOPICS, SERVER_STARTED, SERVER_STOPPED };

struct server {
    struct server_options options;
    _Atomic enum server_phase phase;
    struct weir_kafka *kafka;
    struct weir_schema *schema;
    struct models *models;
    struct scoring scoring;
    bool scoring_ready;
    const struct engine_ops *ops;
    void *engine; /* of ops */
    struct http_server *http;
    char *description;
    int32_t data_partitions, scores_partitions; /* when it started */
    int64_t started_wall_ms;
    int64_t waiting_since_ns; /* for the topics; 0 = not said yet */
    /* the block of the models topic in hand, when the loader's queue was full */
    int32_t update_partition;
    int64_t update_offset;
    uint32_t update_taken;
};

/* ---- server.c, for the engines -------------------------------------------------------------- */

/* Tells a change of state. */
void server_on_state(struct server *server, enum weir_streams_state from,
                     enum weir_streams_state to);
/* Rows of the models topic. AGAIN: the loader's queue is full; come again with the same rows, and
 * it goes on where it was. */
enum weir_err server_update_models(struct server *server, const struct weir_rows *block,
                                   uint32_t count, bool past_end, struct weir_error *error);

/* ---- routes.c -------------------------------------------------------------------------------- */

/* The routes of a server; *count of them. Static but for their opaque, which is filled in. */
enum { SERVER_ROUTES_MAX = 16 };
uint32_t server_routes(struct server *server, struct http_route routes[SERVER_ROUTES_MAX]);

/* ---- exposition.c ---------------------------------------------------------------------------- */

/* Writes all figures as Prometheus text. */
enum weir_err server_write_metrics(struct server *server, struct weir_buffer *into);

#endif
