/*
 * weir/streams_query.h - interactive queries: looking into the stores of a running instance.
 *
 * What:    a question is put to the stream threads and answered between two of their rounds, with
 *          the functions of weir/streams_store.h: get, range, prefix. What is seen is what the
 *          processors see, changes included that are not committed yet.
 * Life:    while the instance lives.
 * Threads: weir_streams_query from any thread but a stream thread (so not from a processor); one
 *          question at a time, others wait. `look` runs on stream threads, one task after the
 *          other; tasks of different threads at the same time.
 * Memory:  what `look` is given is borrowed for the call.
 * Errors:  NOT_FOUND, AGAIN, TIMEOUT, see below.
 */
#ifndef WEIR_STREAMS_QUERY_H
#define WEIR_STREAMS_QUERY_H

#include <weir/streams.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A store of one task. It may be read, not written to. */
struct weir_store_view {
    struct weir_store *store;
    const char *task_id; /* "0_3" */
    int32_t partition;   /* of the task: of the store's changelog, too */
};

/*
 * Calls `look` for the store of that name of every task of this instance that has one (partition
 * -1), or of the task of that partition. Waits up to timeout_ms for the threads to answer.
 * NOT_FOUND: the topology has no such store, or no task here has that partition. AGAIN: stores are
 * being restored or tasks move: ask again in a moment; `look` may have seen some. TIMEOUT: a thread
 * is busy with one block for that long. An error from `look` ends its thread's part and is given.
 */
WEIR_MUST_USE enum weir_err
weir_streams_query(struct weir_streams *streams, const char *store, int32_t partition,
                   enum weir_err (*look)(void *opaque, const struct weir_store_view *view,
                                         struct weir_error *error),
                   void *opaque, int32_t timeout_ms, struct weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
