/*
 * serving/models_table.h - the inside of serving/models.h, shared by its files.
 *
 * A `version` is one content under one name; an `entry` is a record of the topic that points to
 * one:
 *
 *      data type "wine":   entry 3 (ACTIVATE "a")  entry 2 (ADD "b")  entry 1 (ADD "a")   newest
 *      first
 *                                   \                   |                /
 *                                    version a <--------+--- version b
 *
 * States of a version, by what it waits for:
 *      NOT_LOADED   nobody wants it; its content is in the topic
 *      QUEUED       the loader, to parse it
 *      LOADED       nothing: `served.model` is there
 *      REFUSED      nothing; it is never tried again
 *
 * Threads: everything here is guarded by models.lock, but for the epoch parts (models_readers.c)
 *          and a version's `served`, which is immutable while LOADED.
 */
#ifndef SERVING_MODELS_TABLE_H
#define SERVING_MODELS_TABLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "serving/models.h"

enum version_state { VERSION_NOT_LOADED, VERSION_QUEUED, VERSION_LOADED, VERSION_REFUSED };

struct scorer_pool {
    uint32_t count;
    _Atomic(struct weir_scorer *) slots[MODELS_SCORERS_MAX];
};

struct version {
    struct served served; /* what tasks see; the strings below are its */
    struct scorer_pool scorers;
    struct statistics statistics;
    struct version *next; /* of the data type */
    uint32_t references;  /* entries, model sets, the loader */
    enum version_state state;
    uint64_t used; /* when it was in force last, in swaps: for eviction */
    int64_t activated_ms;
    enum weir_err why; /* REFUSED */
    char reason[WEIR_ERROR_TEXT_MAX];
    size_t loaded_bytes;
    struct models_bad *record; /* QUEUED: a copy of its record; NULL = to be fetched by position */
    size_t record_bytes;
    int32_t read_partition; /* QUEUED, without record: where to read it */
    int64_t read_offset;
    bool past_end; /* the record came after the start: refused, it gets a dead letter */
    struct version *queue_next; /* QUEUED */
    char text[];                /* data type, name, description, version */
};

struct entry {
    struct weir_slice key; /* null: none. Bytes behind the struct */
    int64_t timestamp_ms, offset;
    int32_t partition;
    struct version *version; /* ADD; NULL for ACTIVATE */
    char *wanted_name;       /* ACTIVATE: "" = any */
    char *wanted_version;
    struct entry *next; /* older */
};

struct data_type {
    char *name;
    struct entry *entries; /* newest first */
    struct version *versions;
    struct version *in_force;
    uint32_t entry_count;
};

/* A set that readers may still be using. */
struct retired {
    struct retired *next;
    struct model_set *set; /* its versions are unreferenced when it goes */
    uint64_t epoch;        /* readers that entered later don't see it */
};

struct models_reader {
    struct models *models;
    atomic_uint_least64_t epoch; /* 0 = outside; else the epoch in which it entered */
    atomic_bool taken;
    char apart[64 - sizeof(atomic_uint_least64_t) - sizeof(struct models *) - sizeof(atomic_bool)];
};

struct models {
    struct models_options options;
    pthread_mutex_t lock;
    pthread_cond_t work; /* the loader waits on it */
    pthread_t loader;
    bool started, stopping;

    struct data_type *types[MODELS_TYPES_MAX]; /* sorted by name */
    uint32_t type_count;
    struct version *queue_first, *queue_last;
    size_t queue_bytes;
    uint32_t loading; /* 1 while the loader works on one */
    uint64_t swap_count;
    struct models_counts counts;

    struct models_bad *bad_first, *bad_last; /* oldest first */
    size_t bad_bytes;

    _Atomic(struct model_set *) current;
    atomic_uint_least64_t epoch;
    struct retired *retired;
    struct models_reader readers[MODELS_READERS_MAX];
};

/* ---- models.c: the table --------------------------------------------------------------------- */

void version_unref(struct models *models, struct version *version);
/* The newest version of a type that may be used; NULL if there is none. */
struct version *models_candidate(const struct data_type *type);
struct data_type *models_find_type(struct models *models, struct weir_slice name);
/* Looks which version should be in force for the type and gets it there: queues its loading, or
 * makes it current. Tells events; the lock is let go while it does. */
void models_settle(struct models *models, struct data_type *type);
void models_settle_all(struct models *models);

/* ---- models_bad.c: records that wait for their dead letter ----------------------------------- */

/* A copy of a row, in one piece of memory. NULL: no memory. */
struct models_bad *models_copy_bad(const struct weir_rows *rows, uint32_t row);
/* Keeps a refused record for its dead letter; takes it. */
void models_keep_bad(struct models *models, struct models_bad *bad, const struct weir_error *error);
void models_free_bad(struct models *models);

/* ---- models_readers.c: sets and epochs ------------------------------------------------------- */

/* Makes the set anew from the types' in_force. Returns NOMEM without a change. */
enum weir_err models_publish(struct models *models);
/* Frees the sets that no reader uses any more. True when some are left. */
bool models_reclaim(struct models *models);

/* ---- models_loader.c: the loader thread ------------------------------------------------------ */

void *models_loader_run(void *argument);
void version_unload(struct models *models, struct version *version);
/* Puts a version in the loader's queue; takes its record (may be NULL). */
void models_enqueue(struct models *models, struct version *version, struct models_bad *record,
                    bool past_end);

#endif
