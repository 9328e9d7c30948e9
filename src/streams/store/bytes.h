/*
 * streams/store/bytes.h - what was put since the last commit, over an engine.
 *
 *      get, seek -->  pending   a: 7  c: -  d: 4        (-: removed)
 *                     engine    a: 5  b: 1  c: 2
 *                     seen      a: 7  b: 1  d: 4
 *
 * Life:    byte_store_init -> put, get, seek ..., commit or rollback -> byte_store_release.
 * Threads: one.
 * Memory:  pending entries, until commit or rollback: the owner watches pending_bytes and commits.
 * Errors:  NOMEM, and the engine's. After a failed commit all is pending as before.
 *
 * An entry is dirty from its put until `flush` has shown it to the owner: cached stores tell their
 * changelog and those downstream only then. Entries are shown in the order in which they became
 * dirty, as Kafka Streams' cache does it.
 */
#ifndef WEIR_STREAMS_BYTES_H
#define WEIR_STREAMS_BYTES_H

#include <weir/streams_store.h>

#include "streams/store/tree.h"

struct pending;

struct byte_store {
    const struct weir_store_engine *engine;
    void *self; /* the engine's */
    struct tree pending;
    size_t pending_bytes;
    struct pending *dirty_first, *dirty_last;
    struct weir_store_write *writes; /* scratch of commit */
    size_t write_capacity;
};

/* The engine is open; the store takes it. Allocates nothing. */
void byte_store_init(struct byte_store *store, const struct weir_store_engine *engine, void *self);
/* Forgets what is pending and closes the engine. */
void byte_store_release(struct byte_store *store);

/* NOT_FOUND. Slices given out here and by seek are borrowed until the next call. */
WEIR_MUST_USE enum weir_err byte_store_get(struct byte_store *store, struct weir_slice key,
                                           struct weir_slice *value_out, struct weir_error *error);
/* As the engine's. */
WEIR_MUST_USE enum weir_err byte_store_seek(struct byte_store *store, struct weir_slice key,
                                            bool beyond, bool back, struct weir_slice *key_out,
                                            struct weir_slice *value_out, struct weir_error *error);
/* A null value removes. The value may be one that was given out. dirty: it is shown by flush, with
 * the timestamp. */
WEIR_MUST_USE enum weir_err byte_store_put(struct byte_store *store, struct weir_slice key,
                                           struct weir_slice value, int64_t timestamp_ms,
                                           bool dirty, struct weir_error *error);

/* A dirty entry: what it is, and what it was when it was shown last (null: not there). */
struct byte_store_change {
    struct weir_slice key, value, old;
    int64_t timestamp_ms;
};
/* Shows the dirty entries, which are clean then. `each` may put into the store; what it makes dirty
 * is shown, too. */
WEIR_MUST_USE enum weir_err
byte_store_flush(struct byte_store *store,
                 enum weir_err (*each)(void *opaque, const struct byte_store_change *change,
                                       struct weir_error *error),
                 void *opaque, struct weir_error *error);

/* Gives all that is pending to the engine. */
WEIR_MUST_USE enum weir_err byte_store_commit(struct byte_store *store, int64_t position,
                                              struct weir_error *error);
void byte_store_rollback(struct byte_store *store);
/* Entries, if no pending one were new: an estimate. */
uint64_t byte_store_count(const struct byte_store *store);

#endif
