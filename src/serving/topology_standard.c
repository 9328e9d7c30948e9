/*
 * serving/topology_standard.c - the model server in the DSL, with a standard store.
 *
 * The store is cached, so that its changelog gets one record a data type and commit, not one a
 * block. With state.dir it lies on disk, and only what is missing there is read again.
 */
#include <weir/streams_dsl.h>

#include "serving/model_record.h"
#include "serving/topologies.h"

enum weir_err topology_standard(struct server *server, struct weir_topology **out,
                                struct weir_error *error)
{
    static const char *const stores[] = {model_store_name};
    const struct weir_with data = {
        .name = "data", .decoder = topology_decoder, .decoder_config = server};
    const struct weir_with scores = {.name = "scores"};
    struct weir_store_options store;
    struct weir_builder *builder = weir_builder_new();

    weir_store_options_default(&store);
    store.name = model_store_name;
    store.caching = true;
    if (server->options.streams.state_dir)
        store.engine = weir_store_persistent();
    weir_builder_add_store(builder, &store);

    struct weir_stream *records = weir_builder_stream(builder, server->options.data_topic, &data);
    struct weir_stream *results =
        weir_stream_process(records, scoring_ops(), &server->scoring, stores, 1, "scoring");
    weir_stream_to(results, server->options.scores_topic, &scores);

    enum weir_err err = weir_builder_build(builder, out, error);
    return err == WEIR_OK ? topology_add_models(server, out, error) : err;
}
