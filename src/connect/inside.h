/*
 * connect/inside.h - what the files of this room know of each other: readers, partitions, blocks.
 *
 * What:    a reader owns a consumer; it hands blocks to its source and hears when they are done.
 *
 *              partition:  [ done done | open done open ]     its line of blocks, in offset order
 *                                      ^ position: what may be committed
 *
 * Life:    a reader is part of its source's stage; blocks live as long as the reader.
 * Threads: the consumer belongs to who makes steps: the reader's thread, or the stage. All fields
 *          behind `mutex` by any thread; it is not held while the client is called, but
 *          to wake it.
 * Memory:  a block's batch goes back to the client in a step, on the consumer's thread.
 * Errors:  the first failure sticks to the reader and fails the stage.
 */
#ifndef WEIR_CONNECT_INSIDE_H
#define WEIR_CONNECT_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include <weir/connect.h>

#include "base/assert.h"

struct connect_reader;

struct connect_partition {
    char topic[WEIR_KAFKA_TOPIC_BYTES_MAX + 1];
    int32_t partition;
    int64_t position, committed;
    struct connect_block *oldest, *newest; /* its line */
    uint32_t live;                         /* blocks in the hands of the stream */
};

/* Where a block is. */
enum connect_block_state {
    CONNECT_FREE,
    CONNECT_QUEUED, /* waits for demand */
    CONNECT_LIVE,   /* somebody holds it */
    CONNECT_DROPPED /* nobody does; it stays in its line until that has passed it */
};

struct connect_block {
    struct weir_connect_block block;
    struct connect_reader *reader;
    struct connect_partition *partition; /* whose line it is in; NULL: none */
    struct connect_block *next_in_line;
    struct connect_block *next; /* in the queue, in `returned` or in `spare` */
    _Atomic uint32_t references;
    enum connect_block_state state;
    uint32_t low, done_count; /* rows 0 .. low - 1 are done */
    struct weir_connect_record records[];
};

struct connect_reader {
    const struct weir_connect_source_options *options;
    struct weir_kafka_consumer *consumer;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct connect_partition **partitions; /* by the client's index; NULL = not ours */
    struct weir_kafka_partition *commits;  /* a commit being made: as many places */
    uint32_t partition_count;
    struct connect_block *queue_first, *queue_last;
    struct connect_block *returned; /* batches to give back to the client */
    struct connect_block *spare;
    struct connect_block *held; /* at most once: not handed out before its commit */
    uint32_t queued_count, made_count, live_count;
    uint64_t done_count;             /* records, since the last commit */
    struct weir_connect_stats stats; /* lag_records: as of the last look */
    int64_t commit_due_ns, lag_due_ns;
    int64_t end_due_ns; /* 0: reads; else nothing is added to the queue any more */
    bool wants_room;    /* a step found no place for a block */
    bool discards;      /* what is queued is of no use any more */
    bool stopping, drained, closed;
    struct weir_error failure; /* code OK: none */
    /* Tells the source that there is something to see; outside the mutex. */
    void (*notify)(struct connect_reader *reader);
};

/* block.c; those with `_locked` with the mutex. */
/* AGAIN: all are in use. NOMEM. */
WEIR_MUST_USE enum weir_err connect_block_get_locked(struct connect_reader *reader,
                                                     struct connect_block **block_out);
void connect_block_hand_over_locked(struct connect_reader *reader, struct connect_block *block,
                                    struct connect_partition *partition);
/* The oldest that waits, or NULL. */
struct connect_block *connect_block_take(struct connect_reader *reader);
void connect_block_ref(struct connect_block *block);
void connect_block_unref(struct connect_block *block);
/* Takes blocks out of the queue: of one partition, or all (-1). They stay in their lines. */
void connect_queue_discard_locked(struct connect_reader *reader, int32_t partition_index);
/* Ends a line: its blocks are nobody's progress any more. */
void connect_line_end_locked(struct connect_partition *partition);
/* Gives batches back to the client; on its thread. */
void connect_returned_release(struct connect_reader *reader);
void connect_blocks_free(struct connect_reader *reader);
/* A block that never entered a line goes back, with its batch. */
void connect_block_return_locked(struct connect_block *block);

static inline struct connect_block *connect_block_of(struct weir_connect_block *block)
{
    return WEIR_CONTAINER(block, struct connect_block, block);
}

/* reader.c */
WEIR_MUST_USE enum weir_err connect_reader_open(struct connect_reader *reader,
                                                struct weir_error *error);
/* One round on the consumer's thread: serves the group, reads, commits, and ends if that is due. */
void connect_reader_step(struct connect_reader *reader, int32_t timeout_ms, int64_t now_ns);
void connect_reader_stop(struct connect_reader *reader, bool discard);
/* Closes whatever is open; no block is live. */
void connect_reader_release(struct connect_reader *reader);
void connect_reader_fail_locked(struct connect_reader *reader, const struct weir_error *error);

#endif
