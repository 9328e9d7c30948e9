/*
 * serving/topologies.h - the three model servers on weir-streams, as the reference system has them.
 *
 *      memory     Processor API; statistics in the process's memory alone     topology_memory.c
 *      standard   DSL; statistics in a standard key-value store               topology_standard.c
 *      custom     DSL; statistics in a store of our own (model_shelf.h)       topology_custom.c
 *
 * All three score by the same processor (scoring.h), with models that are global to all tasks. In a
 * store statistics survive: they are found again in its changelog, by whoever gets the task.
 *
 * Life:    the topology is the caller's.
 * Threads: one.
 * Memory:  the server is borrowed as long as the topology.
 * Errors:  of weir/streams.h.
 */
#ifndef SERVING_TOPOLOGIES_H
#define SERVING_TOPOLOGIES_H

#include "serving/server_inside.h"

enum weir_err topology_memory(struct server *server, struct weir_topology **out,
                              struct weir_error *error);
enum weir_err topology_standard(struct server *server, struct weir_topology **out,
                                struct weir_error *error);
enum weir_err topology_custom(struct server *server, struct weir_topology **out,
                              struct weir_error *error);

/* ---- engine_streams.c, for them -------------------------------------------------------------- */

/* Makes the decoder of the data topic; config is the server. */
enum weir_err topology_decoder(void *config, struct weir_decoder **decoder_out,
                               struct weir_error *error);
/* Adds the models topic as a global store. Takes the topology on failure, as *topology = NULL. */
enum weir_err topology_add_models(struct server *server, struct weir_topology **topology,
                                  struct weir_error *error);

#endif
