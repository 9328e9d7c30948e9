/*
 * serving/scoring.h - scores blocks of records with the models in force, for both engines.
 *
 *      block of records -> by data type -> model in force -> scorer -> ScoringResult a row
 *
 * What:    every record that could be decoded leaves as a result: a value, or an error with its
 *          reason. scoring_ops wraps a task as a processor of weir/streams.h, which sends bad
 *          models to the dead letters on partition 0.
 * Life:    one `scoring` for an instance (scoring_init, release), in it tasks (new, free).
 * Threads: configuration is shared and read-only; totals are atomics; a task belongs to one thread
 *          at a time.
 * Memory:  a task allocates when made, and when results outgrow its buffer; else nothing.
 * Errors:  AGAIN with no.model=wait; NOMEM.
 */
#ifndef SERVING_SCORING_H
#define SERVING_SCORING_H

#include <pthread.h>
#include <stdatomic.h>

#include <weir/streams.h>

#include "base/histogram.h"
#include "serving/model_record.h"
#include "serving/models.h"

/* no.model: what becomes of a record whose data type has no model. */
enum no_model_policy {
    NO_MODEL_SKIP,        /* a result with error NO_MODEL */
    NO_MODEL_WAIT,        /* its partition waits for a model */
    NO_MODEL_DEAD_LETTER, /* a dead letter instead of a result */
};

/* One scored record, for people to look at. Borrowed for the call. */
struct scoring_sample {
    const struct served *served;
    bool is_label;
    double number;
    struct weir_slice label;
    int64_t score_ns;
    int64_t offset;
    int32_t partition;
};

struct scoring_totals {
    atomic_uint_least64_t results;     /* with a value */
    atomic_uint_least64_t errors;      /* results with an error */
    atomic_uint_least64_t no_model;    /* of those, or of the dead letters: for want of a model */
    atomic_uint_least64_t dead;        /* records sent to the dead letters by no.model */
    atomic_uint_least64_t dead_models; /* bad models sent to the dead letters */
};

enum { SCORING_BAD_MODELS_EVERY_MS = 200 }; /* between two looks for letters of bad models */

struct scoring_task;

struct scoring {
    struct models *models;
    const struct weir_clock *clock;
    enum no_model_policy no_model;
    int32_t data_type_column; /* of the records' schema; -1 = every record is "wine" */
    uint32_t rows_max;
    const char *store; /* of the processor: where each task keeps what models did; NULL = nowhere */
    int64_t sample_every_ns;                                              /* 0 = no samples */
    void (*on_sample)(void *opaque, const struct scoring_sample *sample); /* on a stream thread */
    void *opaque;
    /* set by scoring_init */
    struct scoring_totals totals;
    atomic_int_least64_t sampled_ns;
    pthread_mutex_t lock;                /* of tasks */
    struct scoring_task *tasks;          /* those alive */
    struct weir_histogram *latency_gone; /* of tasks that went */
};

/* The members above the line are set by the caller. Errors: NOMEM. */
enum weir_err scoring_init(struct scoring *scoring);
void scoring_release(struct scoring *scoring);

/* LIMIT (models_reader_open), NOMEM. */
enum weir_err scoring_task_new(struct scoring *scoring, struct scoring_task **out,
                               struct weir_error *error);
void scoring_task_free(struct scoring_task *task); /* NULL is allowed */
/* What models did in the block scored last, one after the other; NULL: no more. */
struct scoring_deed {
    char data_type[MODELS_NAME_BYTES_MAX + 1];
    struct model_record record;
};
const struct scoring_deed *scoring_task_deed(const struct scoring_task *task, uint32_t index);
/*
 * Scores a block. The results, borrowed until the next call, have its rows_meta with values of
 * their own. A row that is not OK there has none: it was not OK before, or it has no model and is
 * to be a dead letter with scoring_no_model_text. AGAIN: wait for a model, nothing is counted.
 */
enum weir_err scoring_task_score(struct scoring_task *task, const struct weir_block *block,
                                 const struct weir_block **results_out, struct weir_error *error);
extern const char scoring_no_model_text[];

/* Scoring as a processor of weir/streams.h; its config is the struct scoring. */
const struct weir_processor_ops *scoring_ops(void);
/* Adds up, over all tasks, the time from a record's timestamp to its score, in ns. */
void scoring_latency(struct scoring *scoring, struct weir_histogram *into);

#endif
