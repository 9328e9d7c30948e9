/*
 * serving/scoring.h - the processor that scores blocks of records with the models in force.
 *
 *      block of records -> by data type -> model in force -> scorer -> ScoringResult a row ->
 *      forward
 *
 * What:    an ordinary processor of weir/streams.h. Every record that could be decoded leaves it as
 *          a result: a value, or an error with its reason. Bad models are sent to the dead letters
 *          by the task of partition 0.
 * Life:    one `scoring` for an instance (scoring_init, release); the engine makes one object a
 * task.
 * Threads: configuration is shared and read-only; totals are atomics; a task's object belongs to
 * it.
 * Memory:  a task allocates when made, and when results outgrow its buffer; else nothing.
 * Errors:  AGAIN with no.model=wait; what forward gives.
 */
#ifndef SERVING_SCORING_H
#define SERVING_SCORING_H

#include <pthread.h>
#include <stdatomic.h>

#include <weir/streams.h>

#include "base/histogram.h"
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

struct scoring_task;

struct scoring {
    struct models *models;
    const struct weir_clock *clock;
    enum no_model_policy no_model;
    int32_t data_type_column; /* of the records' schema; -1 = every record is "wine" */
    uint32_t rows_max;
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
/* The processor's functions; its config is the struct scoring. */
const struct weir_processor_ops *scoring_ops(void);
/* Adds up, over all tasks, the time from a record's timestamp to its score, in ns. */
void scoring_latency(struct scoring *scoring, struct weir_histogram *into);

#endif
