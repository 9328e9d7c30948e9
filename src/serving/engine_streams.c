/* serving/engine_streams.c - a model server as a topology of the streams engine, see server.h. */
#include <string.h>

#include "base/alloc.h"
#include "serving/server_inside.h"

struct engine {
    _Atomic(struct weir_streams *) streams;
    struct weir_topology *topology; /* until the streams take it */
};

static struct engine *engine_of(const struct server *server)
{
    return server->engine;
}

static struct weir_streams *streams_of(const struct server *server)
{
    return server->engine ? atomic_load(&engine_of(server)->streams) : NULL;
}

static void on_state(void *opaque, enum weir_streams_state from, enum weir_streams_state to)
{
    server_on_state(opaque, from, to);
}

static enum weir_err update_models(void *store, const struct weir_block *block, bool past_end,
                                   struct weir_error *error)
{
    return server_update_models(store, &block->rows_meta, block->rows, past_end, error);
}

static bool models_are_ready(void *store)
{
    struct server *server = store;
    return models_ready(server->models);
}

static enum weir_err make_decoder(void *config, struct weir_decoder **decoder_out,
                                  struct weir_error *error)
{
    struct server *server = config;
    return weir_decoder_protobuf_new(server->schema, decoder_out, error);
}

static enum weir_err build(struct server *server, struct weir_topology *topology,
                           struct weir_error *error)
{
    static const char *data[] = {"data"}, *scoring[] = {"scoring"};
    const char *const topics[] = {server->options.data_topic};
    struct weir_global_store store = {.name = "models",
                                      .source = "models-source",
                                      .topic = server->options.models_topic,
                                      .processor = "models-update",
                                      .update = update_models,
                                      .ready = models_are_ready,
                                      .store = server};
    enum weir_err err =
        weir_topology_add_source(topology, "data", topics, 1, make_decoder, server, error);
    if (err == WEIR_OK)
        err = weir_topology_add_processor(topology, "scoring", scoring_ops(), &server->scoring,
                                          data, 1, error);
    if (err == WEIR_OK)
        err = weir_topology_add_sink(topology, "scores", server->options.scores_topic, scoring, 1,
                                     error);
    if (err == WEIR_OK)
        err = weir_topology_add_global_store(topology, &store, error);
    return err;
}

static enum weir_err make(struct server *server, struct weir_error *error)
{
    struct engine *engine = server->engine = weir_calloc(1, sizeof *engine);
    if (!engine || weir_topology_new(&engine->topology) != WEIR_OK)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a topology");
    server->options.streams.on_state = on_state;
    server->options.streams.opaque = server;
    enum weir_err err = build(server, engine->topology, error);
    if (err != WEIR_OK)
        return err;
    size_t bytes = weir_topology_describe(engine->topology, NULL, 0) + 1;
    server->description = weir_calloc(1, bytes);
    if (!server->description)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a description");
    weir_topology_describe(engine->topology, server->description, bytes);
    return WEIR_OK;
}

static enum weir_err start(struct server *server, struct weir_error *error)
{
    struct engine *engine = server->engine;
    struct weir_topology *topology = engine->topology;
    struct weir_streams *streams;
    engine->topology = NULL; /* taken, also on failure */
    enum weir_err err =
        weir_streams_new(topology, server->kafka, &server->options.streams, &streams, error);
    if (err != WEIR_OK)
        return err;
    atomic_store(&engine->streams, streams);
    return weir_streams_start(streams, error);
}

static enum weir_streams_state state(const struct server *server)
{
    struct weir_streams *streams = streams_of(server);
    return streams ? weir_streams_state(streams) : WEIR_STREAMS_CREATED;
}

static enum weir_err tick(struct server *server, struct weir_error *error)
{
    if (state(server) != WEIR_STREAMS_ERROR)
        return WEIR_OK;
    weir_streams_failure(streams_of(server), error);
    return error->code == WEIR_OK ? WEIR_INTERNAL : error->code;
}

static void wake(struct server *server)
{
    struct weir_streams *streams = streams_of(server);
    if (streams)
        weir_streams_wake(streams);
}

static void stats(struct server *server, struct weir_streams_stats *out)
{
    struct weir_streams *streams = streams_of(server);
    if (streams)
        weir_streams_stats(streams, out);
}

static enum weir_err stop(struct server *server)
{
    struct weir_streams *streams = streams_of(server);
    return streams ? weir_streams_stop(streams) : WEIR_OK;
}

static void release(struct server *server)
{
    struct engine *engine = server->engine;
    if (!engine)
        return;
    weir_streams_free(atomic_load(&engine->streams));
    weir_topology_free(engine->topology);
    weir_free(engine);
}

const struct engine_ops engine_streams = {.make = make,
                                          .start = start,
                                          .tick = tick,
                                          .wake = wake,
                                          .state = state,
                                          .stats = stats,
                                          .stop = stop,
                                          .free = release};
