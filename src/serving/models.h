/*
 * serving/models.h - the models topic as a table: which model is in force for each data type.
 *
 *      records of the topic -> update -> [version][version][version]      one list a data type
 *                                            |  loader thread: parse, check, warm
 *                                            v
 *                                        model set (immutable)  <- one atomic pointer
 *                                            ^
 *                          enter ... leave   |  scoring tasks, a reader each
 *
 * What:    the newest ADD or ACTIVATE record of a data type that can be used is in force; a
 *          tombstone brings back the one before. A bad model never replaces a good one, also where
 *          they share a key: the older record goes when the newer one is loaded. A version
 *          is loaded when it comes in force, not before; one that was loaded stays in memory while
 *          the cache has room, and is read again by its offset when it is wanted after that.
 * Life:    models_new -> start -> update ..., readers enter and leave ... -> free.
 * Threads: update belongs to one thread (the global thread of the engine); the loader is a thread
 *          of this object; a reader belongs to one scoring task; the rest may be called from any
 *          thread. Scoring tasks take no lock: they publish an epoch when they enter, and what was
 *          replaced is freed when every reader has left the epoch in which it was current.
 * Memory:  bytes of records are copied. Ceilings below; the compiled models not in force are kept
 *          within cache_bytes, least recently in force first to go.
 * Errors:  a bad record is kept for models_take_bad, counted and told to `on_event`; update fails
 *          only with AGAIN (the loader's queue is full) and NOMEM.
 */
#ifndef SERVING_MODELS_H
#define SERVING_MODELS_H

#include <weir/base.h>
#include <weir/model.h>
#include <weir/record.h>

#include "base/clock.h"
#include "serving/statistics.h"

enum {
    MODELS_TYPES_MAX = 1024,         /* data types */
    MODELS_VERSIONS_MAX = 1024,      /* records kept of a data type; the oldest go first */
    MODELS_READERS_MAX = 1024,       /* scoring tasks of an instance */
    MODELS_SCORERS_MAX = 64,         /* threads that score */
    MODELS_NAME_BYTES_MAX = 255,     /* of a data type, name or version */
    MODELS_BAD_BYTES_MAX = 16 << 20, /* bad records waiting for their dead letter */
};

struct models;
struct models_reader;

/* A version of a model, as scoring tasks see it: immutable but for statistics and scorers. */
struct served {
    const char *data_type, *name, *description, *version;
    bool version_given; /* by the publisher; else it is the digest's first 16 hex digits */
    enum weir_model_format format;
    uint8_t digest[32]; /* sha256 of the content */
    int32_t partition;  /* of the models topic */
    int64_t offset;
    int64_t since_ms; /* timestamp of its record */
    int64_t load_ns;  /* what loading it took */
    struct weir_model *model;
    struct statistics *statistics;
    struct scorer_pool *scorers;
    void *impl;
};

/* What is in force, at one moment. */
struct model_set {
    uint32_t count;
    const struct served *served[]; /* sorted by data type */
};

enum models_event_kind {
    MODELS_RECEIVED, /* a record of a version that was not known */
    MODELS_LOADED,
    MODELS_IN_FORCE,  /* `before` was in force till now; NULL = none */
    MODELS_WITHDRAWN, /* nothing is in force for data_type any more */
    MODELS_REFUSED,   /* error says why; served is NULL */
};

struct models_event {
    enum models_event_kind kind;
    const char *data_type, *name;
    const struct served *served, *before;
    const struct weir_error *error;
    int32_t partition;
    int64_t offset;
};

struct models_options {
    struct weir_schema *schema; /* of the records that will be scored; shared */
    uint32_t rows_max;          /* of a block */
    uint32_t scorers;           /* threads that score: so many scorers are made for each model */
    size_t cache_bytes;         /* compiled models that are not in force [256 MiB] */
    size_t queue_bytes;         /* content waiting for the loader [256 MiB] */
    int64_t bad_age_ns;         /* see models_take_bad [30 s] */
    const struct weir_clock *clock;
    /* Reads the record at a position of the models topic again: gives a copy of its value, to be
     * freed with weir_free. Called on the loader thread. */
    enum weir_err (*fetch)(void *opaque, int32_t partition, int64_t offset, void **value_out,
                           size_t *bytes_out, struct weir_error *error);
    /* Called on the loader's or the updating thread, no lock held; borrowed for the call. */
    void (*on_event)(void *opaque, const struct models_event *event);
    void *opaque;
};

enum weir_err models_new(const struct models_options *options, struct models **out);
/* Starts the loader. Errors: NOMEM. */
enum weir_err models_start(struct models *models);
/* Stops the loader. No reader may be inside. NULL is allowed. */
void models_free(struct models *models);

/* Rows of the models topic, in order; the rows taken are counted in *taken (all, or those before
 * the one that met AGAIN: continue with it later). past_end: they came after the start. */
enum weir_err models_update(struct models *models, const struct weir_rows *rows, uint32_t count,
                            bool past_end, uint32_t *taken);
/* True when nothing waits to be loaded: the model in force of each data type is loaded, or every
 * candidate has been refused. */
bool models_ready(struct models *models);

/* ---- scoring tasks --------------------------------------------------------------------------- */

/* LIMIT: MODELS_READERS_MAX. */
enum weir_err models_reader_open(struct models *models, struct models_reader **out);
void models_reader_close(struct models_reader *reader);
/* The set in force, valid until models_leave. Wait-free. Does not nest. */
const struct model_set *models_enter(struct models_reader *reader);
void models_leave(struct models_reader *reader);
/* The model in force for a data type ("" means wine), or NULL. */
const struct served *model_set_find(const struct model_set *set, struct weir_slice data_type);
/* A scorer of this model for the calling thread until it is given back, within one enter/leave.
 * NULL only if more threads score than were announced. */
struct weir_scorer *served_take_scorer(const struct served *served);
void served_give_scorer(const struct served *served, struct weir_scorer *scorer);

/* ---- bad records ----------------------------------------------------------------------------- */

/* A record that came after the start and was refused; all memory in one piece. */
struct models_bad {
    struct weir_rows rows; /* one row */
    enum weir_err why;
    int64_t at_ns; /* when it was refused, or returned */
    char message[WEIR_ERROR_TEXT_MAX];
    size_t bytes; /* of the piece */
    struct models_bad *next;
};
/* Takes the oldest; free it with weir_free, or return it. Those older than bad_age_ns are left to
 * whoever owned the dead letters meanwhile. NULL: there is none. */
struct models_bad *models_take_bad(struct models *models);
/* Gives back what was just taken: its dead letter could not be sent. */
void models_return_bad(struct models *models, struct models_bad *bad);

/* ---- looking at it --------------------------------------------------------------------------- */

struct models_view {
    const char *data_type, *name, *description, *version;
    const char *state;     /* in-force, standby, loading, not-loaded, refused */
    const char *reason;    /* of a refusal, else "" */
    const char *algorithm; /* "" unless loaded */
    const uint8_t *digest;
    enum weir_model_format format;
    int32_t partition;
    int64_t offset, since_ms, activated_ms; /* activated 0 = never */
    int64_t load_ns;
    size_t bytes; /* of the compiled model; 0 unless loaded */
    bool in_force;
    struct statistics_copy statistics;
};
/* Calls `each` for every version known, data types in order of name, newest record first, with the
 * lock held: be brief. */
void models_each(struct models *models, void (*each)(void *opaque, const struct models_view *view),
                 void *opaque);

struct models_counts {
    uint64_t received, loaded, refused, swaps, evicted, fetched;
    uint64_t letters_left;    /* bad records that grew older than bad_age_ns */
    uint64_t letters_dropped; /* ... and those that found no room */
    size_t loaded_bytes;
    uint32_t versions, data_types;
};
void models_count(struct models *models, struct models_counts *out);

#endif
