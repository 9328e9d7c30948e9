/*
 * serving/engine.h - what moves the records of a model server: the streams engine or the flow
 * engine.
 *
 * What:    a table of functions, by which server.c knows either. What is scored, and how, stands in
 *          scoring.h; which models are in force, in models.h.
 * Life:    make, which describes it in server->description -> start, once the topics are there ->
 *          tick ... -> stop -> free.
 * Threads: make, start, tick, stop and free by the caller of the server; the rest by any.
 * Memory:  server->engine is the engine's own.
 * Errors:  start and tick give what ends the server for good; stop as server_stop.
 */
#ifndef SERVING_ENGINE_H
#define SERVING_ENGINE_H

#include <weir/streams.h>

#include "serving/statistics.h"

struct server;

struct engine_ops {
    enum weir_err (*make)(struct server *server, struct weir_error *error);
    enum weir_err (*start)(struct server *server, struct weir_error *error);
    enum weir_err (*tick)(struct server *server, struct weir_error *error);
    void (*wake)(struct server *server); /* what waits for a model is to be looked at again */
    enum weir_streams_state (*state)(const struct server *server);
    void (*stats)(struct server *server, struct weir_streams_stats *out);
    /* What the model of that digest did for a data type, where the engine keeps that itself; else
     * *out stays. NULL: it never does. AGAIN, TIMEOUT: not now. */
    enum weir_err (*statistics)(struct server *server, const char *data_type,
                                const uint8_t digest[32], struct statistics_copy *out,
                                struct weir_error *error);
    enum weir_err (*stop)(struct server *server);
    void (*free)(struct server *server); /* also when make has failed */
};

extern const struct engine_ops engine_streams;
extern const struct engine_ops engine_flow_custom;

#endif
