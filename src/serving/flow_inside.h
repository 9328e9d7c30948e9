/*
 * serving/flow_inside.h - what the files of the flow engine know of each other.
 *
 *      lane:      source of mdata --> scoring --> producer --> count --> committer
 *      table:     models topic --> models table (serving/models.h)
 *      letters:   bad models, where partition 0 is ours --> producer --> gone
 *
 * What:    each line is a graph, run as a stream; one that fails by what may pass is run again.
 * Life:    lines are made with the engine, run from its start to its stop.
 * Threads: a line's stages run on one thread at a time; `ready` and counters by any; `stream` and
 *          what it materialised under the engine's lock, as a line may be run anew.
 * Memory:  a lane scores into memory of its own, valid until the producer has copied it.
 * Errors:  a stage's failure ends its stream; engine_flow.c decides what follows.
 */
#ifndef SERVING_FLOW_INSIDE_H
#define SERVING_FLOW_INSIDE_H

#include <weir/connect.h>

#include "kafka/letter.h"
#include "serving/server_inside.h"

struct flow_engine;

/* A record on its way to the dead letters. */
struct flow_letter {
    struct weir_header *headers;
    size_t header_capacity;
    struct weir_header bare[KAFKA_LETTER_HEADERS_MAX]; /* there is always room for the smallest */
    struct kafka_letter_words words;
    enum kafka_letter_level level;
    struct weir_error why;
};

struct flow_line {
    struct flow_engine *engine;
    const char *name;
    struct weir_flow_graph *graph;
    int32_t first, sink;             /* stages: the source and the end */
    struct weir_flow_stream *stream; /* NULL: not now */
    struct weir_flow_event *event;   /* its stage that waits for models */
    int64_t again_ns;                /* when it runs again; 0 = never */
    uint32_t failures;               /* in a row */
    uint64_t delivered_before;       /* when it failed last */
    _Atomic uint64_t reruns;         /* since the start */
};

/* A member of the group, with its consumer and producer. */
struct flow_lane {
    struct flow_line line;
    struct weir_connect_stats gone; /* of its streams that ended */
    uint32_t told;                  /* partitions, in the log */
    char instance_id[256];
    struct scoring_task *task;
    struct weir_decoder *decoder;
    struct weir_block *block;         /* decoded: the records of the element in hand */
    const struct weir_block *results; /* of those */
    struct flow_letter letter;
    _Atomic uint64_t scored, letters, delivered; /* records */
};

struct flow_engine {
    struct server *server;
    struct weir_flow_materializer *materializer;
    _Atomic int state;  /* enum weir_streams_state */
    _Atomic bool ready; /* the models in force are loaded */
    _Atomic bool ends;  /* the lanes drain: nobody waits for a model any more */
    pthread_mutex_t lock;
    struct flow_line table, letters;
    _Atomic uint64_t global_records, model_letters;
    uint32_t lane_count;
    struct flow_lane lanes[];
};

/* ---- engine_flow.c --------------------------------------------------------------------------- */

/* The models are ready, for the first time. */
void flow_engine_is_ready(struct flow_engine *engine);
/* Has this instance partition 0 of the data? */
bool flow_engine_owns_first(struct flow_engine *engine);

/* ---- flow_scoring.c -------------------------------------------------------------------------- */

/* Blocks in and out, scored when they leave; their results are the lane's until the next one.
 * Materialises the models table. */
struct weir_flow_outlet flow_scoring(struct weir_flow_outlet in, struct flow_lane *lane);
/* What the producer makes of a block, opaque being its lane: a result or a dead letter for each
 * row. */
bool flow_scoring_rows(void *opaque, const void *element, uint32_t index,
                       struct weir_connect_rows *rows_out);
bool flow_scoring_record(void *opaque, const void *element, uint32_t index,
                         struct weir_kafka_record *record_out);
bool flow_scoring_instead(void *opaque, const void *element, uint32_t index,
                          const struct weir_error *error, struct weir_kafka_record *record_out);

/* ---- flow_models.c --------------------------------------------------------------------------- */

/* Blocks of the models topic into the models table. */
int32_t flow_models_sink(struct weir_flow_outlet in, struct flow_engine *engine);
/* Bad models that wait for their letter; and the record of one, opaque being the engine. */
struct weir_flow_outlet flow_bad_models(struct weir_flow_graph *graph, struct flow_engine *engine);
bool flow_bad_models_record(void *opaque, const void *element, uint32_t index,
                            struct weir_kafka_record *record_out);
bool flow_bad_models_instead(void *opaque, const void *element, uint32_t index,
                             const struct weir_error *error, struct weir_kafka_record *record_out);
/* The end of a letter that was delivered. */
enum weir_err flow_bad_models_sent(void *opaque, void *element, struct weir_error *error);

/* ---- letters (flow_scoring.c) ---------------------------------------------------------------- */

/* Fills the record of a row. */
void flow_letter_make(struct flow_letter *letter, const struct server *server,
                      const struct weir_rows *rows, uint32_t row,
                      struct weir_kafka_record *record_out);
/* The next level of a letter that was refused; false: there is none. */
bool flow_letter_shorten(struct flow_letter *letter);

#endif
