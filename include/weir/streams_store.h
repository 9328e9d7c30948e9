/*
 * weir/streams_store.h - state stores: what the tasks of a topology remember.
 *
 * What:    four kinds of store, and engines that hold their bytes.
 *
 *              kind                      a record is found by        value has a timestamp
 *              key-value                 key                         no
 *              timestamped key-value     key                         yes
 *              window                    key, start of its window    yes
 *              session                   key, start and end          no
 *
 *              engine: in memory; persistent (LMDB, a file a store); one of your own
 *
 *          Each task has a store of its own, and a changelog topic in which it can be found again.
 *          What is written stays pending until the task commits: then it goes to the engine, all of
 *          it or nothing, together with the position in the changelog. A task that is rewound
 *          forgets what was pending, so that nothing is counted twice by it.
 *
 *              put --> pending --commit--> engine          get, range: pending over engine
 *                         `--> changelog: with each put, or cached: the last of each key, when the
 *                              task commits or the cache is full
 * Life:    a store opens with its task, after its changelog was read, and closes with it.
 * Threads: a store belongs to its task's thread.
 * Memory:  slices that are handed in are copied; those handed out are borrowed until the next call
 *          on the same store. A null value deletes.
 * Errors:  NOT_FOUND is an answer, not a failure. IO, CORRUPT and NOMEM fail the task; INVALID: a
 *          function of another kind of store, a null key.
 *
 * Keys are in the order of their bytes (memcmp, the shorter first). Formats of keys and values in
 * the changelog are Kafka Streams' own, so that a Java application can read it; they stand in
 * docs/formats/changelog.md.
 */
#ifndef WEIR_STREAMS_STORE_H
#define WEIR_STREAMS_STORE_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEIR_STORE_NAME_BYTES_MAX = 128,
    WEIR_STORE_KEY_BYTES_MAX = 64 << 10,
    WEIR_STORE_VALUE_BYTES_MAX = 64 << 20,
};

/* ---- engines --------------------------------------------------------------------------------- */

#define WEIR_STORE_ENGINE_ABI 1

/* Where an engine keeps its files, and what for. Borrowed for the call. */
struct weir_store_place {
    const char *directory; /* of the task, there already; NULL: the application has no state.dir */
    const char *task_id;   /* "0_3" */
    const char *store;     /* its name: letters, digits, '.', '_' and '-' */
};

/* One change. */
struct weir_store_write {
    struct weir_slice key, value; /* a null value removes the key */
};

/*
 * An engine: an ordered map of bytes that is written in whole commits. It is called by one thread
 * at a time. A store of your own is one of these tables; examples/custom_store is one.
 */
struct weir_store_engine {
    uint32_t abi;    /* WEIR_STORE_ENGINE_ABI */
    bool persistent; /* what was committed is there again at the next open in the same place */
    /*
     * *position_out is the one of the last commit, -1 if there was none (the engine is empty then).
     * CORRUPT, OTHER_VERSION: what lies there can't be used; `destroy` is called, then open again.
     */
    enum weir_err (*open)(void *config, const struct weir_store_place *place, void **self_out,
                          int64_t *position_out, struct weir_error *error);
    /* Closed by its owner; what was committed stays. */
    void (*close)(void *self);
    /* Persistent engines only: removes what `open` would find. Nothing there is fine. */
    enum weir_err (*destroy)(void *config, const struct weir_store_place *place,
                             struct weir_error *error);
    /* NOT_FOUND. The value is borrowed until the next call. */
    enum weir_err (*get)(void *self, struct weir_slice key, struct weir_slice *value_out,
                         struct weir_error *error);
    /*
     * The first entry at or behind a key, or with `back` the last at or before it; `beyond`: not
     * the key itself. A null key: the first of all, with `back` the last. END. Walks are made of
     * this: the key is then the one that was given last. Both are borrowed until the next call.
     */
    enum weir_err (*seek)(void *self, struct weir_slice key, bool beyond, bool back,
                          struct weir_slice *key_out, struct weir_slice *value_out,
                          struct weir_error *error);
    /* All of these, in the order of their keys, each key once, and the position: at the next open
     * all of it is there or nothing. After a failure the store is closed. */
    enum weir_err (*write)(void *self, const struct weir_store_write *writes, size_t count,
                           int64_t position, struct weir_error *error);
    /* How many entries there are; an estimate will do. */
    uint64_t (*count)(void *self);
};

/* Names the first fault of a table: INVALID and a message. */
WEIR_MUST_USE enum weir_err weir_store_engine_check(const struct weir_store_engine *engine,
                                                    struct weir_error *error);

/* Both take no config. */
const struct weir_store_engine *weir_store_in_memory(void);
/*
 * A file <store>.mdb in the task's directory, by LMDB. The power may take the last commit, never a
 * part of one: the changelog has it. Keys of 510 bytes and more are in no particular order among
 * those that agree with them in the first 494, and a range that begins or ends there may miss some.
 */
const struct weir_store_engine *weir_store_persistent(void);

/* ---- what a store is ------------------------------------------------------------------------- */

enum weir_store_kind {
    WEIR_STORE_KEY_VALUE,
    WEIR_STORE_TIMESTAMPED_KEY_VALUE,
    WEIR_STORE_WINDOW,
    WEIR_STORE_SESSION,
};

/* Kafka Streams' StoreBuilder. */
struct weir_store_options {
    const char *name; /* required */
    enum weir_store_kind kind;
    const struct weir_store_engine *engine; /* [weir_store_in_memory()] */
    void *engine_config;                    /* borrowed as long as the topology */
    bool logging;                           /* a changelog topic [true] */
    bool caching;                           /* [false] */
    int64_t retention_ms;   /* window, session: how long they stay at least [1 day] */
    int64_t window_size_ms; /* window: of each window [retention_ms] */
    bool retain_duplicates; /* window: records of one key and time stay apart [false] */
};
/* Fills in what [brackets] say; begin with it. */
void weir_store_options_default(struct weir_store_options *options);
/* Names the first fault, the engine's too: INVALID and a message. */
WEIR_MUST_USE enum weir_err weir_store_options_check(const struct weir_store_options *options,
                                                     struct weir_error *error);

/* A task's store. */
struct weir_store;

const char *weir_store_name(const struct weir_store *store);
enum weir_store_kind weir_store_kind(const struct weir_store *store);
/* Entries of the engine and pending ones; an estimate. */
uint64_t weir_store_count(const struct weir_store *store);

/* ---- key-value ------------------------------------------------------------------------------- */

/* A value, and the timestamp of the record that led to it; -1 in stores without. */
struct weir_stamped {
    struct weir_slice value;
    int64_t timestamp_ms;
};

/* NOT_FOUND. */
WEIR_MUST_USE enum weir_err weir_key_value_get(struct weir_store *store, struct weir_slice key,
                                               struct weir_stamped *out, struct weir_error *error);
/* timestamp_ms: of the value; in a store without, of its record in the changelog. */
WEIR_MUST_USE enum weir_err weir_key_value_put(struct weir_store *store, struct weir_slice key,
                                               struct weir_slice value, int64_t timestamp_ms,
                                               struct weir_error *error);
/* EXISTS: there is one, which stays and is given out. */
WEIR_MUST_USE enum weir_err
weir_key_value_put_if_absent(struct weir_store *store, struct weir_slice key,
                             struct weir_slice value, int64_t timestamp_ms,
                             struct weir_stamped *out, struct weir_error *error);

/* A walk over a store. The store may be written to meanwhile: what lies ahead is met as it is by
 * then. */
struct weir_store_iterator;

/* From `from` to `to`, both included; null = open. `back`: the other way round. */
WEIR_MUST_USE enum weir_err weir_key_value_range(struct weir_store *store, struct weir_slice from,
                                                 struct weir_slice to, bool back,
                                                 struct weir_store_iterator **out,
                                                 struct weir_error *error);
/* Keys that begin with these bytes. */
WEIR_MUST_USE enum weir_err weir_key_value_prefix(struct weir_store *store,
                                                  struct weir_slice prefix,
                                                  struct weir_store_iterator **out,
                                                  struct weir_error *error);

/* What a walk has come to; borrowed until the next call on the store. */
struct weir_store_entry {
    struct weir_slice key;
    struct weir_slice value;
    int64_t timestamp_ms;     /* of the value; -1 in stores without */
    int64_t start_ms, end_ms; /* of the window, or session; -1 in key-value stores */
};
/* END: no more. */
WEIR_MUST_USE enum weir_err weir_store_iterator_next(struct weir_store_iterator *iterator,
                                                     struct weir_store_entry *out,
                                                     struct weir_error *error);
void weir_store_iterator_free(struct weir_store_iterator *iterator); /* NULL is allowed */

/* ---- window ---------------------------------------------------------------------------------- */

/*
 * Windows that start retention_ms or more before the newest one are not found any more. They are
 * held in segments of max(retention_ms / 2, 60 s), as Kafka Streams does it: a put is dropped when
 * all of its segment is that old. start_ms >= 0, else INVALID.
 */
WEIR_MUST_USE enum weir_err weir_window_put(struct weir_store *store, struct weir_slice key,
                                            struct weir_slice value, int64_t start_ms,
                                            int64_t timestamp_ms, struct weir_error *error);
/* NOT_FOUND. INVALID with retain_duplicates: there may be several. */
WEIR_MUST_USE enum weir_err weir_window_get(struct weir_store *store, struct weir_slice key,
                                            int64_t start_ms, struct weir_stamped *out,
                                            struct weir_error *error);
/* Windows of one key that start in from_ms..to_ms, both included. */
WEIR_MUST_USE enum weir_err weir_window_fetch(struct weir_store *store, struct weir_slice key,
                                              int64_t from_ms, int64_t to_ms, bool back,
                                              struct weir_store_iterator **out,
                                              struct weir_error *error);
/* The same of all keys from key_from to key_to (null = open). */
WEIR_MUST_USE enum weir_err
weir_window_fetch_keys(struct weir_store *store, struct weir_slice key_from,
                       struct weir_slice key_to, int64_t from_ms, int64_t to_ms, bool back,
                       struct weir_store_iterator **out, struct weir_error *error);

/* ---- session --------------------------------------------------------------------------------- */

/* Sessions expire like windows, by their end. timestamp_ms: of its record in the changelog. */
WEIR_MUST_USE enum weir_err weir_session_put(struct weir_store *store, struct weir_slice key,
                                             struct weir_slice value, int64_t start_ms,
                                             int64_t end_ms, int64_t timestamp_ms,
                                             struct weir_error *error);
/* NOT_FOUND. */
WEIR_MUST_USE enum weir_err weir_session_get(struct weir_store *store, struct weir_slice key,
                                             int64_t start_ms, int64_t end_ms,
                                             struct weir_stamped *out, struct weir_error *error);
/* Sessions of a key that end at earliest_end_ms or later, and start at latest_start_ms or
 * earlier. */
WEIR_MUST_USE enum weir_err weir_session_find(struct weir_store *store, struct weir_slice key,
                                              int64_t earliest_end_ms, int64_t latest_start_ms,
                                              bool back, struct weir_store_iterator **out,
                                              struct weir_error *error);
/* The same of all keys from key_from to key_to (null = open). */
WEIR_MUST_USE enum weir_err
weir_session_find_keys(struct weir_store *store, struct weir_slice key_from,
                       struct weir_slice key_to, int64_t earliest_end_ms, int64_t latest_start_ms,
                       bool back, struct weir_store_iterator **out, struct weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
