/* serving/engine_streams.c - a model server as a topology of the streams engine, see server.h. */
#include <string.h>

#include <weir/streams_query.h>

#include "base/alloc.h"
#include "serving/model_record.h"
#include "serving/topologies.h"

enum { QUERY_MS = 2000 };

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

enum weir_err topology_decoder(void *config, struct weir_decoder **decoder_out,
                               struct weir_error *error)
{
    struct server *server = config;
    return weir_decoder_protobuf_new(server->schema, decoder_out, error);
}

enum weir_err topology_add_models(struct server *server, struct weir_topology **topology,
                                  struct weir_error *error)
{
    const struct weir_global_store store = {.name = "models",
                                            .source = "models-source",
                                            .topic = server->options.models_topic,
                                            .processor = "models-update",
                                            .update = update_models,
                                            .ready = models_are_ready,
                                            .store = server};
    enum weir_err err = weir_topology_add_global_store(*topology, &store, error);
    if (err == WEIR_OK)
        return err;
    weir_topology_free(*topology);
    *topology = NULL;
    return err;
}

static enum weir_err build(struct server *server, struct weir_topology **out,
                           struct weir_error *error)
{
    server->scoring.store =
        server->options.engine == SERVER_STREAMS_MEMORY ? NULL : model_store_name;
    switch (server->options.engine) {
    case SERVER_STREAMS_STANDARD:
        return topology_standard(server, out, error);
    case SERVER_STREAMS_CUSTOM:
        return topology_custom(server, out, error);
    default:
        return topology_memory(server, out, error);
    }
}

static enum weir_err make(struct server *server, struct weir_error *error)
{
    struct engine *engine = server->engine = weir_calloc(1, sizeof *engine);
    if (!engine)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for an engine");
    server->options.streams.on_state = on_state;
    server->options.streams.opaque = server;
    enum weir_err err = build(server, &engine->topology, error);
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

/* ---- what models did, by the stores of all tasks here ---------------------------------------- */

struct wanted {
    const char *data_type;
    const uint8_t *digest;
    pthread_mutex_t lock; /* tasks of several threads add to it at a time */
    struct statistics_copy sum;
};

static enum weir_err add_up(void *opaque, const struct weir_store_view *view,
                            struct weir_error *error)
{
    struct wanted *wanted = opaque;
    struct weir_stamped found;
    struct model_record record;
    const struct weir_slice key = weir_slice(wanted->data_type, strlen(wanted->data_type));
    enum weir_err err = weir_key_value_get(view->store, key, &found, error);
    if (err == WEIR_NOT_FOUND)
        return WEIR_OK;
    if (err == WEIR_OK)
        err = model_record_decode(found.value, &record, error);
    if (err != WEIR_OK || memcmp(record.digest, wanted->digest, sizeof record.digest) != 0)
        return err;
    pthread_mutex_lock(&wanted->lock);
    statistics_merge(&wanted->sum, &record.statistics);
    pthread_mutex_unlock(&wanted->lock);
    return WEIR_OK;
}

static enum weir_err statistics(struct server *server, const char *data_type,
                                const uint8_t digest[32], struct statistics_copy *out,
                                struct weir_error *error)
{
    struct wanted wanted = {
        .data_type = data_type, .digest = digest, .lock = PTHREAD_MUTEX_INITIALIZER};
    if (!server->scoring.store)
        return WEIR_OK;
    enum weir_err err = weir_streams_query(streams_of(server), server->scoring.store, -1, add_up,
                                           &wanted, QUERY_MS, error);
    if (err == WEIR_OK)
        *out = wanted.sum;
    return err;
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
                                          .statistics = statistics,
                                          .stop = stop,
                                          .free = release};
