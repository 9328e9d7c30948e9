/*
 * streams/store/store.h - a task's store, as the task sees it: opened, restored, committed.
 *
 * What:    a kind of store (key_value.c, segments.c) over pending bytes (bytes.h) over an engine.
 *
 *              put --> bytes of the kind --> pending;  owner.log, at once or by store_flush
 *              changelog record --> store_restore --> the same bytes
 *
 * Life:    store_open -> (store_restore ... store_commit) -> used by processors, store_flush,
 *          store_commit or store_rollback ... -> store_close.
 * Threads: the task's.
 * Errors:  as weir/streams_store.h says.
 */
#ifndef WEIR_STREAMS_STORE_INSIDE_H
#define WEIR_STREAMS_STORE_INSIDE_H

#include <endian.h>
#include <string.h>

#include "base/buffer.h"
#include "streams/store/bytes.h"

/* What a cached store tells those downstream: what it is now, and when it told last. */
struct store_change {
    struct weir_slice key;        /* as the user gave it */
    int64_t start_ms, end_ms;     /* of the window or session; -1 in key-value stores */
    struct weir_stamped now, old; /* a null value: not there */
};

struct store_owner {
    /* A record for the changelog; a null value is a tombstone. NULL: the store is not logged. */
    enum weir_err (*log)(void *opaque, struct weir_store *store, struct weir_slice key,
                         struct weir_slice value, int64_t timestamp_ms, struct weir_error *error);
    /* Of cached stores, at each flush. NULL: nobody wants to know. */
    enum weir_err (*changed)(void *opaque, struct weir_store *store,
                             const struct store_change *change, struct weir_error *error);
    void *opaque;
};

struct weir_store {
    struct weir_store_options options;
    char name[WEIR_STORE_NAME_BYTES_MAX + 1];
    struct store_owner owner;
    struct byte_store bytes;
    struct weir_buffer key, value; /* scratch: of the bytes of the kind */
    int64_t segment_ms;
    int64_t observed_ms;  /* newest start (window) or end (session); -1: none */
    int64_t committed_ms; /* what observed_ms was at the last commit */
    int32_t sequence;     /* of windows that retain duplicates */
};

/* Options are those of the topology. *position_out: what the engine holds of the changelog, -1:
 * nothing. An engine that says CORRUPT or OTHER_VERSION is begun anew; *rebuilt_out says so. */
WEIR_MUST_USE enum weir_err store_open(const struct weir_store_options *options,
                                       const struct weir_store_place *place,
                                       const struct store_owner *owner,
                                       struct weir_store **store_out, int64_t *position_out,
                                       bool *rebuilt_out, struct weir_error *error);
void store_close(struct weir_store *store); /* NULL is allowed */

/* A record of the changelog. PARSE: it can't be one. */
WEIR_MUST_USE enum weir_err store_restore(struct weir_store *store, struct weir_slice key,
                                          struct weir_slice value, int64_t timestamp_ms,
                                          struct weir_error *error);
/* Cached stores: tells the owner all it was not told yet. */
WEIR_MUST_USE enum weir_err store_flush(struct weir_store *store, struct weir_error *error);
/* position: of the changelog, behind the last record of what is committed. Flushed before. */
WEIR_MUST_USE enum weir_err store_commit(struct weir_store *store, int64_t position,
                                         struct weir_error *error);
void store_rollback(struct weir_store *store);
/* Has it something to tell at a flush? */
bool store_is_dirty(const struct weir_store *store);
/* What is pending takes so much memory: the task commits when it is too much. */
size_t store_pending_bytes(const struct weir_store *store);

/* ---- between the files of this folder -------------------------------------------------------- */

/* Numbers in keys and stamps: big-endian, so that their bytes are in their order. */
static inline void store_put64(uint8_t *at, int64_t number)
{
    uint64_t big = htobe64((uint64_t)number);
    memcpy(at, &big, sizeof big);
}

static inline int64_t store_get64(const void *at)
{
    uint64_t big;
    memcpy(&big, at, sizeof big);
    return (int64_t)be64toh(big);
}

/* Bytes of the kind are written, and logged as the changelog has them. */
enum weir_err store_put_bytes(struct weir_store *store, struct weir_slice key,
                              struct weir_slice value, int64_t timestamp_ms,
                              struct weir_error *error);
/* INVALID unless it is of this kind, with a key that can be. */
enum weir_err store_check(const struct weir_store *store, unsigned kinds, struct weir_slice key,
                          struct weir_slice value, struct weir_error *error);
#define STORE_IS(kind) (1u << (kind))

bool store_is_stamped(const struct weir_store *store);
/* The stored value: with its timestamp in front where the kind has one. A null value stays null. */
enum weir_err store_stamp(struct weir_store *store, struct weir_slice value, int64_t timestamp_ms,
                          struct weir_slice *out, struct weir_error *error);
/* The other way round. */
void store_unstamp(const struct weir_store *store, struct weir_slice stored,
                   struct weir_stamped *out);

/*
 * Windows and sessions (segments.c). Their bytes of a key are
 *
 *      segment 8 | key | start 8, sequence 4        window
 *      segment 8 | key | end 8, start 8             session
 *
 * and in the changelog, as Kafka Streams has them, the same without the segment.
 */
enum { SEGMENT_BYTES = 8, WINDOW_SUFFIX_BYTES = 12, SESSION_SUFFIX_BYTES = 16 };

bool store_is_segmented(const struct weir_store *store);
size_t segments_suffix_bytes(const struct weir_store *store);
/* By which a window or session goes: its start, its end. */
int64_t segments_number(const struct weir_store *store, int64_t time_ms);
/* What is older than this is not found. */
int64_t segments_live_ms(const struct weir_store *store);
/* All of an entry but its value. PARSE: the key is none of its kind. */
enum weir_err segments_take_apart(const struct weir_store *store, struct weir_slice stored,
                                  struct weir_store_entry *out);
struct weir_slice segments_changelog_key(struct weir_slice stored);
/* The other way round; in store->key. Notes the time. */
enum weir_err segments_restore_key(struct weir_store *store, struct weir_slice changelog_key,
                                   struct weir_slice *stored_out, struct weir_error *error);
/* Removes some of what has expired: enough to keep up. */
enum weir_err segments_sweep(struct weir_store *store, struct weir_error *error);
/* Reads, and writes, observed_ms, which stands in the store under a key of its own. */
enum weir_err segments_open(struct weir_store *store, struct weir_error *error);
enum weir_err segments_note(struct weir_store *store, struct weir_error *error);

/* Walks (walk.c). */
enum weir_err walk_keys(struct weir_store *store, struct weir_slice from, struct weir_slice to,
                        bool is_prefix, bool back, struct weir_store_iterator **out,
                        struct weir_error *error);

/* Bounds of a walk over segments. */
struct segment_walk {
    struct weir_slice key_from, key_to; /* null: open; equal: one key */
    int64_t from_ms, to_ms;             /* of start (window) or end (session) */
    int64_t latest_start_ms;            /* session */
    bool back;
};
enum weir_err walk_segments(struct weir_store *store, const struct segment_walk *walk,
                            struct weir_store_iterator **out, struct weir_error *error);

#endif
