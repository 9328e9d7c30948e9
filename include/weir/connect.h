/*
 * weir/connect.h - Kafka topics as sources, flows and sinks of weir/flow.h.
 *
 * What:    A source is a member of a consumer group; its elements are blocks of records, each of
 *          one partition, or the records one by one (weir_connect_each). A table is a topic that
 *          everybody reads whole. A producer is a flow:
 *          an element goes on when the records made of it are delivered. So a plain sink is
 *          producer and ignore, a committable one producer and committer, and what came between
 *          may keep its element until its results are safe:
 *
 *              source -- blocks --> stages --> producer -- delivered --> committer
 *                 ^                                                          |
 *                 +------- the offsets below all that is done are committed -+
 *
 * Life:    weir_connect_source in a graph -> weir_flow_run -> weir_connect_stop (drains) -> the
 *          stream ends. The cluster and all texts of the options outlive graph and streams.
 * Threads: a source has a thread of its own, which reads, commits and answers rebalances, so that
 *          a stage never waits for the broker. weir_connect_stop, weir_connect_done* and the
 *          kinds' functions may be called by any thread.
 * Memory:  blocks are pooled: none is allocated once `blocks` of them exist, and while none is free
 *          no partition is read (back-pressure; the client goes on answering the group). All of
 *          them must be dropped before the stream is freed; results of its sinks are.
 * Errors:  what the client can't mend fails the stream with the client's error. A record of a
 *          committable source that is dropped and not done fails it with INVALID: its partition
 *          would never be committed again.
 */
#ifndef WEIR_CONNECT_H
#define WEIR_CONNECT_H

#include <weir/flow.h>
#include <weir/kafka.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { WEIR_CONNECT_BLOCKS_MAX = 4096, WEIR_CONNECT_PARTITIONS_MAX = 1 << 16 };

/* ---- elements of a source -------------------------------------------------------------------- */

/* A block of records of one partition, in offset order; shared, so never written to. */
struct weir_connect_block {
    struct weir_kafka_batch batch;
};

/* A row of a block; holds its block. */
struct weir_connect_record {
    struct weir_connect_block *block;
    uint32_t row;
    bool done; /* the engine's own */
};

extern const struct weir_flow_kind weir_connect_block_kind;
extern const struct weir_flow_kind weir_connect_record_kind;

/* Any thread, the caller holding the element; twice does no harm. Says that a record, or all of a
 * block, is processed for good. Order does not matter: committed is what lies below the first
 * record that is not done. What a stage leaves out, it must say is done. */
void weir_connect_done(struct weir_connect_record *record);
void weir_connect_done_block(struct weir_connect_block *block);

/* ---- source ---------------------------------------------------------------------------------- */

enum weir_connect_guarantee {
    WEIR_CONNECT_COMMITTABLE,  /* at least once: commits what is done */
    WEIR_CONNECT_AT_MOST_ONCE, /* commits a block, then hands it out */
    WEIR_CONNECT_PLAIN,        /* commits nothing */
};

struct weir_connect_source_options {
    struct weir_kafka *kafka;                    /* required */
    struct weir_kafka_consumer_options consumer; /* its rebalance functions are not used */
    enum weir_connect_guarantee guarantee;       /* [COMMITTABLE] */
    uint32_t records_max;    /* of a block, at most WEIR_KAFKA_BATCH_MAX [1024] */
    uint32_t blocks;         /* not yet done or not yet dropped [64] */
    uint32_t commit_records; /* done since the last commit: commit now [1000] */
    int32_t commit_ms;       /* and at the latest after this time [1000] */
    int32_t drain_ms;        /* how long the end, and a partition that is taken away, wait for what
                                 is under way; the rest comes again, elsewhere [10000] */
    int32_t poll_ms;         /* without a thread: between two looks [10] */
    bool thread; /* [true]; false: all happens inside the stage, which waits for commits,
                                and a partition taken away waits for nothing. For virtual clocks */
};
void weir_connect_source_options_default(struct weir_connect_source_options *options);

/*
 * Elements: struct weir_connect_block. Materialises a struct weir_connect_control *. A partition
 * taken away: blocks not handed out yet are given back, what is under way has drain_ms to become
 * done, then what is done is committed, and nothing of it afterwards. When downstream cancels or
 * the stream fails, what is done is committed too.
 */
struct weir_flow_outlet weir_connect_source(struct weir_flow_graph *graph,
                                            const struct weir_connect_source_options *options);
struct weir_connect_control;
/* Any thread, until the stream is freed: reads no more, completes, and ends when all that was
 * handed out is dropped and what is done is committed, or drain_ms is over. */
void weir_connect_stop(struct weir_connect_control *control);
/* Any thread, until the stream is freed: is this partition ours now? */
bool weir_connect_owns(struct weir_connect_control *control, const char *topic, int32_t partition);
/* Since the start of the stream; any thread, until it is freed. */
struct weir_connect_stats {
    uint64_t records; /* handed out */
    uint64_t commits, commit_failures, rebalances;
    uint32_t partitions; /* ours now */
    int64_t lag_records; /* of those, in the log behind what was read; -1 = not known */
};
void weir_connect_stats(struct weir_connect_control *control, struct weir_connect_stats *out);

/* Blocks in, their records out, one by one; allocates nothing for them. */
struct weir_flow_outlet weir_connect_each(struct weir_flow_outlet in);

/* Blocks or records are done when they arrive here. */
int32_t weir_connect_committer(struct weir_flow_outlet in);

/* ---- table ----------------------------------------------------------------------------------- */

/*
 * All of a topic, from the beginning, without a group, and what comes later. Elements: struct
 * weir_connect_table_block, one at a time: the next is read when it has been dropped. When the end
 * that the topic had at the start is reached, an element with batch.count 0 says so, once.
 */
struct weir_connect_table_block {
    struct weir_kafka_batch batch;
    bool past_end; /* written after the start */
};
extern const struct weir_flow_kind weir_connect_table_kind;

struct weir_connect_table_options {
    struct weir_kafka *kafka; /* required */
    struct weir_kafka_table_options table;
    uint32_t records_max; /* of a block, at most WEIR_KAFKA_BATCH_MAX [256] */
    int32_t poll_ms;      /* between two looks [20] */
};
void weir_connect_table_options_default(struct weir_connect_table_options *options);
/* What passes (a broker that is away) is waited for; what is fatal fails the stream. */
struct weir_flow_outlet weir_connect_table(struct weir_flow_graph *graph,
                                           const struct weir_connect_table_options *options);

/* ---- producer -------------------------------------------------------------------------------- */

/* Rows first .. end - 1, each a record of one partition (-1 = by key) of a topic. */
struct weir_connect_rows {
    const char *topic;
    int32_t partition;
    const struct weir_rows *rows;
    uint32_t first, end;
};

struct weir_connect_producer_options {
    struct weir_kafka *kafka;                    /* required */
    struct weir_kafka_producer_options producer; /* its delivered and opaque are not used */
    /* Required. The index-th record made of an element, whose bytes it may point to; false = there
     * is none, so an element may become no record, one, or many. Borrows the element. */
    bool (*record)(void *opaque, const void *element, uint32_t index,
                   struct weir_kafka_record *record_out);
    /* Optional: rows of a block at once, where the index-th record and those behind it are that.
     * False: ask `record`. Borrows the element, as record does. */
    bool (*rows)(void *opaque, const void *element, uint32_t index,
                 struct weir_connect_rows *rows_out);
    /* Optional: the record will never be taken (LIMIT, INVALID); another one to be sent in its
     * place, false = it fails the stream. Asked again when that one is refused, too. */
    bool (*instead)(void *opaque, const void *element, uint32_t index,
                    const struct weir_error *error, struct weir_kafka_record *record_out);
    void *opaque;
    uint32_t elements_max; /* under way at once [1024] */
    int32_t poll_ms;       /* between two looks for delivery reports [2] */
};
void weir_connect_producer_options_default(struct weir_connect_producer_options *options);

/* Elements go on in order, each when all records made of it are delivered. A record that can't be
 * delivered fails the stream with the client's error; upstream's failure does not wait. */
struct weir_flow_outlet weir_connect_producer(struct weir_flow_outlet in,
                                              const struct weir_connect_producer_options *options);

#ifdef __cplusplus
}
#endif
#endif
