/* serving/topology_memory.c - the model server in the Processor API: source, scoring, sink. */
#include "serving/topologies.h"

enum weir_err topology_memory(struct server *server, struct weir_topology **out,
                              struct weir_error *error)
{
    static const char *const data[] = {"data"}, *const scoring[] = {"scoring"};
    const char *const topics[] = {server->options.data_topic};
    struct weir_topology *topology;
    if (weir_topology_new(&topology) != WEIR_OK)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a topology");
    enum weir_err err =
        weir_topology_add_source(topology, "data", topics, 1, topology_decoder, server, error);
    if (err == WEIR_OK)
        err = weir_topology_add_processor(topology, "scoring", scoring_ops(), &server->scoring,
                                          data, 1, error);
    if (err == WEIR_OK)
        err = weir_topology_add_sink(topology, "scores", server->options.scores_topic, scoring, 1,
                                     error);
    if (err == WEIR_OK)
        err = topology_add_models(server, &topology, error);
    if (err != WEIR_OK)
        weir_topology_free(topology);
    *out = err == WEIR_OK ? topology : NULL;
    return err;
}
