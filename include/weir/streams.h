/*
 * weir/streams.h - Kafka Streams for C: topologies of sources, processors and sinks, run as tasks.
 *
 * What:    a topology says how records flow; an instance runs it over the partitions that its
 *          consumer group gives it, commits what is done, and keeps global stores up to date.
 *
 *              source "data" (topic mdata) -> processor "scoring" -> sink "scores" (topic scores)
 *              source "models" (topic models) -> global store "models" with its update processor
 *
 * Life:    weir_topology_new -> add ... -> weir_streams_new (takes it) -> start -> stop -> free.
 * Threads: a topology is built by one thread. Each stream thread owns its tasks; a processor object
 *          belongs to one task, so its functions never run twice at once. Global stores are written
 *          by the one global thread; what processors read of them must be safe to share.
 * Memory:  blocks are borrowed for the call that hands them over.
 * Errors:  a processor returns an error to fail its task: see `process_batch`. Building errors come
 *          from weir_topology_* at once, with the node's name.
 *
 * Processors take blocks of records (weir/record.h: process_batch and forward), the fast way, or
 * records one by one (weir/streams_record.h: process and forward_record), the convenient one.
 * Either may stand behind the other.
 *
 * Guarantee, at least once: for each partition the runtime keeps a low-water mark, below which
 * everything that each record led to has been reported delivered; that, and nothing beyond it, is
 * committed: every commit_interval_ms, when a task is taken away, and at the end. A delivery that
 * fails in passing rewinds the task to its last commit; a record that the broker refuses for good
 * (LIMIT, INVALID) becomes a dead letter without value; rewinds that make no progress end in ERROR.
 *
 * Guarantee, exactly once (exactly_once_v2): what the records led to -- outputs, dead letters,
 * changes of stores -- and their offsets are one transaction of the thread, committed every
 * commit_interval_ms. Who reads committed records (read_committed) sees the outputs of each input
 * once, whatever dies. A failure of one task aborts the transaction and rewinds all of the thread.
 * Not covered: what processors do elsewhere than through forward, dead letters and stores; dead
 * letters of global stores.
 */
#ifndef WEIR_STREAMS_H
#define WEIR_STREAMS_H

#include <weir/base.h>
#include <weir/kafka.h>
#include <weir/record.h>
#include <weir/streams_record.h>
#include <weir/streams_store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_topology;
struct weir_streams;
struct weir_context; /* what a processor sees of its task */

enum { WEIR_NODE_NAME_BYTES_MAX = 128, WEIR_NODES_MAX = 256 };

/* ---- processors ------------------------------------------------------------------------------ */

#define WEIR_PROCESSOR_ABI 1

/*
 * A processor's functions; `self` is what `init` made. Not allowed inside them: blocking, calling
 * weir_streams_* of the same instance.
 */
struct weir_processor_ops {
    uint32_t abi; /* WEIR_PROCESSOR_ABI */
    /* Optional [self = NULL]. One object for each task; config is what add_processor was given. */
    enum weir_err (*init)(void *config, struct weir_context *context, void **self_out,
                          struct weir_error *error);
    /*
     * Required, or `process`. Rows of one topic partition in offset order; rows with status other
     * than OK could not be decoded and were dealt with already (skip them). Results go out by
     * weir_context_forward before it returns. AGAIN = can't take the block now (for instance no
     * model yet, and told to wait): the same block comes again, at the latest after poll_ms or at
     * weir_streams_wake, and the task's partitions are not read meanwhile; nothing of it may have
     * been forwarded. Only for a processor right behind a source; further down AGAIN is INVALID.
     * Any other error: the task is rewound to its last commit and, when it fails there again, the
     * instance goes to ERROR with what stands in *error.
     */
    enum weir_err (*process_batch)(void *self, struct weir_context *context,
                                   const struct weir_block *block, struct weir_error *error);
    /* Instead of process_batch (exactly one of the two): record by record, see
     * weir/streams_record.h. AGAIN: the same record comes again, those before it are done. */
    enum weir_err (*process)(void *self, struct weir_context *context,
                             const struct weir_record *record, struct weir_error *error);
    /* Optional: before a commit, to let go what it has buffered (by forward). */
    enum weir_err (*flush)(void *self, struct weir_context *context, struct weir_error *error);
    /* Optional. Always called, once, after a successful init. */
    void (*close)(void *self, struct weir_context *context);
};

/* Names the first fault of a table: INVALID and a message. */
WEIR_MUST_USE enum weir_err weir_processor_ops_check(const struct weir_processor_ops *ops,
                                                     struct weir_error *error);

/*
 * Hands a block to every child of the calling node, which is done with it when this returns. Errors
 * are the children's, to be returned as they are; never AGAIN: a sink takes the whole block (a task
 * is offered a block only while less than output_bytes wait for the broker, so that this may be
 * exceeded by what one block a thread leads to).
 */
WEIR_MUST_USE enum weir_err weir_context_forward(struct weir_context *context,
                                                 const struct weir_block *block,
                                                 struct weir_error *error);
/* The same to one child by name. NOT_FOUND: there is none. */
WEIR_MUST_USE enum weir_err weir_context_forward_to(struct weir_context *context, const char *child,
                                                    const struct weir_block *block,
                                                    struct weir_error *error);
/*
 * Sends row `row` of the block being processed to the dead-letter topic with the KIP-1034 headers
 * (exception = the code's name). Its delivery counts like any output's. Never AGAIN. INVALID: there
 * is no dead-letter topic.
 */
WEIR_MUST_USE enum weir_err weir_context_dead_letter(struct weir_context *context,
                                                     const struct weir_block *block, uint32_t row,
                                                     enum weir_err why, const char *message,
                                                     struct weir_error *error);
/*
 * The same for a record that is no input of this task (a bad model, found by a global store); from
 * process_batch or a punctuator. Copied; sent again until it is delivered; no rewind concerns it.
 * What was not delivered when the task goes is lost: the store's owner keeps count.
 */
WEIR_MUST_USE enum weir_err weir_context_dead_letter_record(struct weir_context *context,
                                                            const struct weir_rows *rows,
                                                            uint32_t row, enum weir_err why,
                                                            const char *message,
                                                            struct weir_error *error);
/* "0_3": sub-topology and partition, as Kafka Streams writes it. Borrowed for the task's life. */
const char *weir_context_task_id(const struct weir_context *context);
int32_t weir_context_partition(const struct weir_context *context);
/* Largest record timestamp seen by the task, ms; -1 before the first. */
int64_t weir_context_stream_time_ms(const struct weir_context *context);
/* The instance's clocks (virtual in the test driver). */
int64_t weir_context_now_ns(const struct weir_context *context);
int64_t weir_context_wall_ms(const struct weir_context *context);

enum weir_punctuation { WEIR_STREAM_TIME, WEIR_WALL_CLOCK_TIME };
/* Calls fn every interval_ms of the given time, between blocks. From init only. */
WEIR_MUST_USE enum weir_err
weir_context_schedule(struct weir_context *context, enum weir_punctuation kind, int64_t interval_ms,
                      enum weir_err (*fn)(void *self, struct weir_context *context, int64_t time_ms,
                                          struct weir_error *error));

/* ---- state stores ---------------------------------------------------------------------------- */

/*
 * Kinds, engines and functions of stores: weir/streams_store.h. What a processor puts is an output
 * of the record in hand: offsets are committed together with the stores, when all of it is
 * delivered, and a rewind takes a store back to the last commit. Puts are for processing, flush and
 * punctuators, not for init and close.
 *
 * The store of that name of the processor's task, there as long as the task is; NULL: the processor
 * is not connected to one.
 */
struct weir_store *weir_context_store(const struct weir_context *context, const char *name);

/* ---- topology -------------------------------------------------------------------------------- */

/* The adders' errors: EXISTS (a node of that name), NOT_FOUND (parent), INVALID, LIMIT, NOMEM. */

WEIR_MUST_USE enum weir_err weir_topology_new(struct weir_topology **topology_out);
void weir_topology_free(struct weir_topology *topology); /* NULL is allowed */

/* Makes the decoder of a source; called once by each stream thread, whose tasks share it. */
typedef enum weir_err weir_decoder_factory(void *config, struct weir_decoder **decoder_out,
                                           struct weir_error *error);

/* A source reads topics, each read by no other source. decoder NULL: rows keep their undecoded
 * value and the block has no columns. Rows that can't be decoded go to the dead-letter topic by the
 * runtime. */
WEIR_MUST_USE enum weir_err weir_topology_add_source(struct weir_topology *topology,
                                                     const char *name, const char *const *topics,
                                                     uint32_t topic_count,
                                                     weir_decoder_factory *decoder, void *config,
                                                     struct weir_error *error);
/*
 * Kafka Streams' TimestampExtractor: when the record happened, ms since 1970, for example from its
 * value, or rows->timestamp_ms[row]. newest_ms: the largest of its partition so far, -1 before the
 * first. Negative: it can't be told, which the deserialization handler deals with.
 */
typedef int64_t weir_timestamp_extractor(void *config, const struct weir_rows *rows, uint32_t row,
                                         int64_t newest_ms);
/* Records of the source have these times instead of their own, also for which of a task's records
 * is next. NOT_FOUND: no such source. */
WEIR_MUST_USE enum weir_err weir_topology_set_timestamps(struct weir_topology *topology,
                                                         const char *source,
                                                         weir_timestamp_extractor *extractor,
                                                         void *config, struct weir_error *error);
/* What these sources read is joined by key: their topics must have the same number of partitions,
 * else the instance ends in ERROR, which names them. NOT_FOUND: no such source. */
WEIR_MUST_USE enum weir_err weir_topology_copartition(struct weir_topology *topology,
                                                      const char *const *sources,
                                                      uint32_t source_count,
                                                      struct weir_error *error);
/* ops are shared for the topology's life; config is borrowed as long. */
WEIR_MUST_USE enum weir_err weir_topology_add_processor(
    struct weir_topology *topology, const char *name, const struct weir_processor_ops *ops,
    void *config, const char *const *parents, uint32_t parent_count, struct weir_error *error);
/* A sink writes rows_meta (key, value, timestamp, headers) of the blocks it gets to a topic; a row
 * with status other than OK is left out. Partition: the task's own number where the topic has as
 * many partitions as the source, else by key. */
WEIR_MUST_USE enum weir_err weir_topology_add_sink(struct weir_topology *topology, const char *name,
                                                   const char *topic, const char *const *parents,
                                                   uint32_t parent_count, struct weir_error *error);

/* How a source reads, or a sink writes, keys and values of records that are processed one by one;
 * NULL: bytes. A sink with serdes chooses partitions by key. NOT_FOUND: no such source or sink. */
WEIR_MUST_USE enum weir_err weir_topology_set_serdes(struct weir_topology *topology,
                                                     const char *name, const struct weir_serde *key,
                                                     const struct weir_serde *value,
                                                     struct weir_error *error);

/*
 * A store that these processors share, in every task. Its changelog is the topic
 * `<application.id>-<name>-changelog`, with a partition for each task, compacted, made when it is
 * missing. Processors that share a store are of one sub-topology. Engine and its config are
 * borrowed for the topology's life.
 */
WEIR_MUST_USE enum weir_err weir_topology_add_store(struct weir_topology *topology,
                                                    const struct weir_store_options *options,
                                                    const char *const *processors,
                                                    uint32_t processor_count,
                                                    struct weir_error *error);

/* One more processor that uses the store (connectProcessorAndStateStores). NOT_FOUND. */
WEIR_MUST_USE enum weir_err weir_topology_connect_store(struct weir_topology *topology,
                                                        const char *store, const char *processor,
                                                        struct weir_error *error);

/*
 * A global store: every instance reads the whole topic, without a group, to its end before the
 * first record is processed, and follows it from then on, on the global thread.
 */
struct weir_global_store {
    const char *name, *source, *topic, *processor; /* names of store and nodes, for describe */
    /* Required. Rows of the topic in offset order (rows_meta only). past_end: these rows were
     * written after the start; a block never spans that end. AGAIN: the same block comes again
     * later. Another error stops the instance. */
    enum weir_err (*update)(void *store, const struct weir_block *block, bool past_end,
                            struct weir_error *error);
    /* Optional [ready at the end of the topic]: may processing begin? Asked until it says true,
     * every poll_ms and at weir_streams_wake. */
    bool (*ready)(void *store);
    void *store; /* borrowed until the instance is freed */
};
WEIR_MUST_USE enum weir_err weir_topology_add_global_store(struct weir_topology *topology,
                                                           const struct weir_global_store *store,
                                                           struct weir_error *error);
/* The topology in words, as Kafka Streams' describe prints it. Writes at most capacity bytes with
 * the final NUL; returns the length it needs. */
size_t weir_topology_describe(const struct weir_topology *topology, char *text, size_t capacity);

/* ---- running --------------------------------------------------------------------------------- */

/* Kafka Streams' names. */
enum weir_streams_state {
    WEIR_STREAMS_CREATED,
    WEIR_STREAMS_REBALANCING, /* waits for stores and for the group */
    WEIR_STREAMS_RUNNING,
    WEIR_STREAMS_PENDING_SHUTDOWN,
    WEIR_STREAMS_NOT_RUNNING,
    WEIR_STREAMS_PENDING_ERROR,
    WEIR_STREAMS_ERROR,
};
const char *weir_streams_state_name(enum weir_streams_state state); /* "RUNNING" */

/* How far a store of a task has been read from its changelog. */
struct weir_restore {
    const char *store, *task_id;
    uint64_t records;
    int64_t offset, end; /* next to read, and where it ends; equal: it is done */
};

/* Kafka Streams' exception handlers. Where there is a dead-letter topic the record goes there
 * first, whatever follows. */
enum weir_handler {
    WEIR_HANDLER_DEFAULT,  /* go on where there are dead letters, else fail; processing: fail */
    WEIR_HANDLER_FAIL,     /* LogAndFail */
    WEIR_HANDLER_CONTINUE, /* LogAndContinue; counted: records_dropped */
};

/* processing.guarantee */
enum weir_guarantee { WEIR_AT_LEAST_ONCE, WEIR_EXACTLY_ONCE_V2 };

struct weir_streams_options {
    const char *application_id;               /* required: group.id and prefix of names */
    const char *group_instance_id;            /* NULL = dynamic member */
    uint32_t threads;                         /* num.stream.threads [1] */
    enum weir_guarantee processing_guarantee; /* [WEIR_AT_LEAST_ONCE] */
    int32_t commit_interval_ms;               /* [0 = 30000, with exactly once 100] */
    /* With exactly once: the broker aborts what takes longer from the first output to its commit;
     * >= 1000 and above commit_interval_ms [10000] */
    int32_t transaction_timeout_ms;
    int32_t poll_ms;              /* [100] */
    uint32_t batch_rows;          /* rows of a block at most [1024]; <= WEIR_KAFKA_BATCH_MAX */
    int32_t linger_ms;            /* of the producers [100, as Kafka Streams has it] */
    size_t input_bytes;           /* what all threads' fetch queues may hold [64 MiB] */
    uint32_t partitions_expected; /* of a thread, to share that out [16] */
    /* How long a task waits for an empty input when others have records: they are processed in the
     * order of their timestamps. 0: only for what the broker has; -1: not at all [0] */
    int32_t max_task_idle_ms;
    const char *dead_letter_topic; /* errors.dead.letter.queue.topic.name; NULL = none */
    /* What follows when a record can't be decoded or deserialized; when a processor of records says
     * that it can't be processed (by an error that is not NOMEM, TIMEOUT, nor of disk or broker);
     * when the broker refuses for good what it led to [DEFAULT] */
    enum weir_handler deserialization_handler, processing_handler, production_handler;
    size_t output_bytes;      /* send queue; reading waits while it is full [64 MiB] */
    int32_t drain_timeout_ms; /* stop gives up then [30000] */
    /* Where persistent stores lie, each task's in <state_dir>/<application.id>/<task>; instances of
     * one machine may share it. NULL: there are no such stores */
    const char *state_dir;
    /* What stores hold in memory between commits, of all threads; beyond it a commit comes early
     * (statestore.uncommitted.max.bytes) [64 MiB] */
    size_t store_uncommitted_bytes;
    /* On any thread of the instance, no lock held; must not call stop or free. */
    void (*on_state)(void *opaque, enum weir_streams_state from, enum weir_streams_state to);
    /* On the stream thread, for each piece of a changelog and at its end; as on_state. */
    void (*on_restore)(void *opaque, const struct weir_restore *progress);
    void *opaque;
    struct weir_log log;
};
/* Fills in what [brackets] say; begin with it. */
void weir_streams_options_default(struct weir_streams_options *options);

/* Takes the topology (also on failure); kafka is borrowed until free. Options are copied. */
WEIR_MUST_USE enum weir_err weir_streams_new(struct weir_topology *topology,
                                             struct weir_kafka *kafka,
                                             const struct weir_streams_options *options,
                                             struct weir_streams **streams_out,
                                             struct weir_error *error);
/* Starts the threads; missing topics are not created here. Errors: INVALID (called twice), NOMEM.
 * What the broker says comes later, by on_state and weir_streams_failure. */
WEIR_MUST_USE enum weir_err weir_streams_start(struct weir_streams *streams,
                                               struct weir_error *error);
/* From any thread: parked blocks and `ready` are looked at again at once. */
void weir_streams_wake(struct weir_streams *streams);
/* Stops reading, finishes what was read, waits for deliveries, commits, leaves the group. May be
 * called again. TIMEOUT: drain_timeout_ms was not enough; what was not committed is read again. */
WEIR_MUST_USE enum weir_err weir_streams_stop(struct weir_streams *streams);
void weir_streams_free(struct weir_streams *streams); /* stops first; NULL is allowed */

enum weir_streams_state weir_streams_state(const struct weir_streams *streams);
/* Why it is in ERROR; code OK otherwise. */
void weir_streams_failure(const struct weir_streams *streams, struct weir_error *out);

/* Counters since start; monotonic, read from any thread. */
struct weir_streams_stats {
    uint64_t records_consumed, records_forwarded_to_sinks, records_delivered, dead_letters;
    uint64_t commits, commit_failures, rebalances, rewinds, global_records;
    uint64_t records_dropped; /* too late for their windows, or by a handler */
    int64_t lag_records;      /* of our partitions; -1 = not known */
    uint32_t tasks, threads;
};
void weir_streams_stats(const struct weir_streams *streams, struct weir_streams_stats *out);

/* ---- test driver ----------------------------------------------------------------------------- */

/*
 * Runs a topology in the calling thread, without broker, on the in-memory cluster and a virtual
 * clock (Kafka Streams' TopologyTestDriver). It takes the topology (also on failure) and waits in
 * real time, up to 10 s, for global stores to be ready.
 */
struct weir_test_driver;

WEIR_MUST_USE enum weir_err weir_test_driver_new(struct weir_topology *topology,
                                                 const struct weir_streams_options *options,
                                                 int64_t start_wall_ms, int32_t partitions,
                                                 struct weir_test_driver **driver_out,
                                                 struct weir_error *error);
void weir_test_driver_free(struct weir_test_driver *driver);
/* Puts a record on an input topic and processes it to the end. timestamp_ms -1 = the clock. */
WEIR_MUST_USE enum weir_err weir_test_driver_pipe(struct weir_test_driver *driver,
                                                  const struct weir_kafka_record *record,
                                                  struct weir_error *error);
/* Takes the next record of an output topic: OK or AGAIN. Borrowed until the next call. */
WEIR_MUST_USE enum weir_err weir_test_driver_read(struct weir_test_driver *driver,
                                                  const char *topic, struct weir_kafka_batch *out);
/* The in-memory cluster that it runs on; borrowed. */
struct weir_kafka *weir_test_driver_kafka(struct weir_test_driver *driver);
/* The instance: its figures. Borrowed. */
const struct weir_streams *weir_test_driver_streams(const struct weir_test_driver *driver);
/* A task's store, to be looked at between records; NULL: there is none. */
struct weir_store *weir_test_driver_store(struct weir_test_driver *driver, const char *name,
                                          int32_t partition);
/* Moves the virtual clock; punctuators and commits that fall due run. */
WEIR_MUST_USE enum weir_err weir_test_driver_advance(struct weir_test_driver *driver,
                                                     int64_t milliseconds,
                                                     struct weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
