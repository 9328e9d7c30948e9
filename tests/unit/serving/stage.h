/*
 * stage.h - the scoring topology on the in-memory cluster: instances of the engine, each with a
 * models table of its own, stepped by hand under a virtual clock. Only loading a model takes real
 * time, and is waited for with a limit.
 *
 *      mdata (2 partitions) -> scoring -> scores (2 partitions), dead (1)
 *      models (1)           -> models table
 *
 * Life:    stage_init -> stage_join ... -> stage_leave -> stage_release.
 * Threads: one, and the loader of each models table.
 * Memory:  the stage's.
 * Errors:  asserted.
 */
#ifndef STAGE_H
#define STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kafka/fake/fake.h"
#include "models_place.h"
#include "serving/scoring.h"
#include "streams/inside.h"

enum { STAGE_PARTITIONS = 2, STAGE_INSTANCES = 2, STAGE_READY_S = 20 };

struct instance {
    struct stage *stage;
    struct models *models;
    struct scoring scoring;
    struct weir_streams *streams; /* NULL: not there */
};

struct stage {
    struct weir_clock_virtual clock;
    struct weir_clock stopwatch; /* the scoring's: each look at it takes a microsecond */
    struct weir_kafka *kafka;
    struct weir_schema *schema;
    struct weir_block *record; /* one row of wine: what stage_put sends */
    struct weir_streams_options options;
    struct scoring scoring; /* of the instances to come: no_model, on_sample ... */
    struct instance instances[STAGE_INSTANCES];
    int64_t records[STAGE_PARTITIONS]; /* put on mdata so far */
};

void stage_init(struct stage *stage);
void stage_release(struct stage *stage);

/* ---- instances ------------------------------------------------------------------------------- */

/* An instance joins and has read the models topic to its end. */
struct instance *stage_join(struct stage *stage);
/* It drains and leaves. */
void stage_leave(struct instance *instance);
/* Rounds of all instances, the clock moving, until nothing is left to do. */
void stage_settle(struct stage *stage);
/* One round of an instance, the clock standing. */
enum weir_err stage_step(struct instance *instance, struct weir_error *error);
/* The instance takes in what is on the models topic; what can be loaded is loaded then. */
void stage_learn(struct instance *instance);

/* ---- records --------------------------------------------------------------------------------- */

/* Puts the stage's record with this data type and alcohol on mdata, key "k<offset>", a header
 * "trace" and the clock's time. Gives its offset. */
int64_t stage_put(struct stage *stage, int32_t partition, const char *data_type, double alcohol);
/* Any bytes; NULL = a null value. */
int64_t stage_put_bytes(struct stage *stage, int32_t partition, const void *bytes, size_t size);
/* Puts a model on the models topic. Gives its offset. version NULL: none is given. */
int64_t stage_put_model(struct stage *stage, const char *data_type, const char *version,
                        struct weir_slice content);
/* The one of place_pmml, which gives value + alcohol. */
int64_t stage_put_value(struct stage *stage, const char *data_type, const char *version,
                        double value);

/* ---- what came out --------------------------------------------------------------------------- */

uint32_t stage_count(struct stage *stage, const char *topic, int32_t partition);
/* The record at an offset of a topic; to be released. */
struct weir_kafka_batch stage_read(struct stage *stage, const char *topic, int32_t partition,
                                   int64_t offset);
/* The result at an offset of scores; its slices are borrowed from *batch, to be released. */
struct weir_result stage_result(struct stage *stage, int32_t partition, int64_t offset,
                                struct weir_kafka_batch *batch);
/* The number of the result at an offset of scores; it must be one. */
double stage_number(struct stage *stage, int32_t partition, int64_t offset);
/* How many results tell of a record. */
uint32_t stage_results_of(struct stage *stage, int32_t partition, int64_t source_offset);
/* Asserts that a record's header number `index` has this name and, unless NULL, this value. */
void stage_assert_header(const struct weir_kafka_batch *batch, uint32_t index, const char *name,
                         const char *value);
int64_t stage_committed(struct stage *stage, int32_t partition);

#endif
