/*
 * serving/model_shelf.h - a store of one's own: an engine made for values of "ModelStore".
 *
 * What:    what `weir serve streams custom` keeps its statistics in. It knows what it holds: a row
 *          for each data type, of a fixed size, in the order of their names; so a commit allocates
 *          nothing once the types are known, and what is no such value never gets in.
 * Life:    an engine of weir/streams_store.h; a shelf for each task.
 * Threads: the task's.
 * Memory:  MODEL_RECORD_BYTES_MAX and the data type's name a row, up to MODELS_TYPES_MAX rows.
 * Errors:  CORRUPT, OTHER_VERSION, LIMIT, NOMEM from write.
 */
#ifndef SERVING_MODEL_SHELF_H
#define SERVING_MODEL_SHELF_H

#include <weir/streams_store.h>

/* Takes no config. Nothing outlives the process: it is read again from its changelog. */
const struct weir_store_engine *model_shelf_engine(void);

#endif
