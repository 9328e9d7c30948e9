/*
 * streams/inside.h - the engine's own structures, shared by its files.
 *
 *      weir_streams --- stream_thread --- consumer, producer
 *           |                 +--------- task --- context (a node of it)
 *           |                              +----- input, input ... (a source partition each)
 *           |                              +----- inflight, inflight ... (blocks not delivered yet)
 *           +--- global_thread --- global_table (a store's topic)
 *
 * A task's blocks in flight, oldest first, whatever input they are of:
 *
 *      [done, 0 left][done, 3 left][done, 0 left][in hand]
 *       `-> popped: its input's position_done = its offset_next   the second holds back all behind
 *
 * Of each input: position_committed <= position_done <= position_delivered <= position_read. Only
 * position_done is ever committed.
 *
 * Threads: a stream_thread and all below it belong to its thread; `shared` is under the lock of
 *          weir_streams; counters are atomics.
 */
#ifndef STREAMS_INSIDE_H
#define STREAMS_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <weir/streams.h>

#include "base/arena.h"
#include "base/clock.h"

enum {
    CHILDREN_MAX = 32,
    STORES_MAX = 32,
    PUNCTUATORS_MAX = 16, /* of a task */
    THREADS_MAX = 64,
    INFLIGHT_MAX = 4096,       /* blocks of a task that wait for their deliveries */
    REWINDS_MAX = 10,          /* without progress, then the instance fails */
    PROCESSOR_REWINDS_MAX = 1, /* the same for failures of a processor */
    BACKOFF_MIN_MS = 100,      /* before reading goes on after a rewind; doubles */
    BACKOFF_MAX_MS = 5000,
    REFUSED_MAX = 64, /* records of a task known to be refused for good */
};

/* ---- topology (topology.c) ------------------------------------------------------------------- */

enum node_kind { NODE_SOURCE, NODE_PROCESSOR, NODE_SINK };

struct node {
    enum node_kind kind;
    char *name, *topic; /* topic of a sink */
    const struct weir_processor_ops *ops;
    weir_decoder_factory *decoder;
    void *config;
    const struct weir_serde *key_serde, *value_serde; /* of a source or sink; NULL = bytes */
    bool by_key;                                      /* a sink: never the task's own partition */
    weir_timestamp_extractor *extractor;              /* of a source; NULL = the records' own */
    void *extractor_config;
    uint32_t children[CHILDREN_MAX], child_count;
    uint32_t parents[CHILDREN_MAX], parent_count;
    uint32_t copartition; /* sources of one number need the same number of partitions; 0 = none */
};

struct source_topic {
    char *name;
    uint32_t source; /* node */
};

/* A topic of the application's own, between two of its sub-topologies. Its name gets
 * "<application.id>-" in front when the instance is made. */
struct internal_topic {
    char *name;
    int32_t partitions; /* 0 = as many as what leads to it */
};

/* A store as the topology knows it; its name is a copy. */
struct topology_store {
    struct weir_store_options options;
    uint32_t processors[CHILDREN_MAX], processor_count;
};

struct weir_topology {
    struct node nodes[WEIR_NODES_MAX];
    uint32_t node_count, copartition_count;
    struct source_topic topics[WEIR_KAFKA_SOURCES_MAX];
    uint32_t topic_count;
    struct internal_topic internals[WEIR_KAFKA_SOURCES_MAX];
    uint32_t internal_count;
    struct topology_store kinds[STORES_MAX];
    uint32_t kind_count;
    struct weir_global_store stores[STORES_MAX]; /* their texts are copies */
    uint32_t store_place[STORES_MAX];            /* nodes there were before it was added */
    uint32_t store_count;
    /* What its processors' configs lie in; freed with it. */
    void *owned;
    void (*owned_free)(void *owned);
};

/* Numbers of the sub-topologies as Kafka Streams gives them: in the order of adding. */
struct sub_topologies {
    uint32_t of_node[WEIR_NODES_MAX], of_store[STORES_MAX], count;
};
extern const char topic_characters[]; /* those that Kafka allows in a topic's name */
void topology_number(const struct weir_topology *topology, struct sub_topologies *out);
/* Source and sink of this topic use one of the application's own; partitions 0: as many as what
 * leads to it. EXISTS, LIMIT, NOMEM. */
enum weir_err topology_add_internal(struct weir_topology *topology, const char *topic,
                                    int32_t partitions, struct weir_error *error);
/* Gives internal topics their whole names. INVALID: one is too long. */
enum weir_err topology_name_internals(struct weir_topology *topology, const char *application_id,
                                      struct weir_error *error);
/* The internal topic of that name; NULL = it is none. */
const struct internal_topic *topology_internal(const struct weir_topology *topology,
                                               const char *topic);
/* INVALID: it reads nothing, or has a store that nobody uses. */
enum weir_err topology_check(const struct weir_topology *topology, struct weir_error *error);

/* ---- tasks (task.c, inputs.c, progress.c, task_stores.c, dead_letter.c) ---------------------- */

struct task;
struct stream_thread;

/* A source partition of a task. */
struct input {
    struct task *task;
    uint32_t source; /* node */
    char *topic;
    int32_t index; /* the consumer's number */
    struct weir_kafka_batch batch;
    bool has_batch;
    uint32_t row;          /* of the batch: rows before it are done */
    int64_t idle_until_ns; /* nothing is there to be read: others wait until then; -1 = not idle */
    int64_t *times_ms;     /* of the batch, where the source has an extractor; else NULL */
    int64_t newest_ms;     /* that it has told; -1 = none */
    /* progress */
    int64_t position_read, position_delivered, position_done, position_committed;
    int64_t position_purged; /* an internal topic's: records before it are deleted */
    bool is_kept;            /* the group has an offset of it */
    int64_t kept_ns;         /* since when at least */
    /* failures */
    int64_t careful_to;           /* below it a block is one row, to tell which one is refused */
    int64_t refused[REFUSED_MAX]; /* offsets whose outputs the broker will never take */
    uint32_t refused_count;
};

/* A block whose outputs are on their way. Lives until its last report, whatever its task does. */
struct inflight {
    struct task *task; /* NULL: the task went, or was rewound; the reports mean nothing any more */
    struct input *input; /* NULL: of a punctuator, or a flush */
    struct stream_thread *thread;
    struct inflight *next; /* of the task, or of the pool */
    int64_t offset_first, offset_next;
    uint64_t left; /* reports to come */
    size_t bytes;  /* of its outputs, for back-pressure */
    struct changes *changes;
    bool done;    /* processing is over: no further outputs */
    bool vouches; /* once it is delivered, positions may be committed */
};

/* A bad record of a global store on its way to the dead letters: sent until it is delivered. */
struct letter {
    struct letter *next;
    struct stream_thread *thread;
    struct weir_kafka_record record; /* points into `bytes` */
    bool sent;
    bool delivered; /* and waits for the commit of its transaction */
    _Alignas(struct weir_header) uint8_t bytes[];
};

struct store_change;
typedef enum weir_err store_listener(struct weir_context *context,
                                     const struct store_change *change, struct weir_error *error);

/* A store of a task. */
struct task_store {
    struct task *task;
    const struct topology_store *kind;
    const char *changelog;          /* its topic */
    struct weir_store *store;       /* NULL = not open */
    int64_t position;               /* of the changelog: behind the last that is in the store; -1 */
    int64_t position_committed;     /* as the engine has it */
    struct weir_kafka_table *table; /* while it is read */
    uint64_t records;
    bool is_read; /* all of the changelog */
    /* Who is told of what a cached store shows at a flush; NULL = nobody. */
    struct weir_context *listener;
    store_listener *listen;
};

/* What one block led to in one store. Its records' opaque: with each report the position moves. */
struct changes {
    struct inflight *inflight;
    struct task_store *store; /* there as long as inflight->task */
    struct changes *next;     /* of the block, or of the pool */
};

struct weir_context {
    struct task *task;
    uint32_t node;
    void *self;
    bool open;                        /* init has succeeded */
    const struct weir_record *record; /* in its hands; NULL = none */
};

struct punctuator {
    enum weir_punctuation kind;
    int64_t interval_ms, due_ms; /* due_ms -1: a stream-time one before the first record */
    struct weir_context *context;
    enum weir_err (*fn)(void *self, struct weir_context *context, int64_t time_ms,
                        struct weir_error *error);
};

struct task {
    struct stream_thread *thread;
    struct task *next;
    char id[32];
    uint32_t number; /* of its sub-topology */
    int32_t partition;
    struct input *inputs;
    uint32_t input_count;
    bool marked; /* one of those that a commit, or a loss, is about */
    struct weir_context contexts[WEIR_NODES_MAX];
    struct task_store *stores;
    uint32_t store_count;
    char *directory; /* where its stores lie; NULL: they have none */
    int lock;        /* of it; -1 = not held */
    bool is_ready;   /* its stores are read and its processors initialised */
    bool settling;   /* flushed; takes nothing more until all is delivered and committed */
    struct punctuator punctuators[PUNCTUATORS_MAX];
    uint32_t punctuator_count;
    bool in_init, has_flush;
    int64_t stream_time_ms;
    /* progress */
    struct inflight *oldest, *newest;
    uint32_t inflight_count;
    struct inflight *in_hand; /* outputs made now belong to it */
    /* failures */
    bool must_rewind, failed_in_processor, letter_failed;
    bool dragged; /* must_rewind, for its transaction is aborted: it has not failed itself */
    struct weir_error why;
    uint32_t rewinds, processor_rewinds; /* since the last progress */
    int64_t resume_ns;                   /* not read before */
    /* a block that could not be taken: rows of the input's batch up to parked_end */
    struct input *parked;
    struct inflight *parked_block;
    uint32_t parked_end;
    uint32_t child;     /* of the source: those before it have had the parked block */
    uint32_t row;       /* of the parked block: rows before it are done, by who takes records */
    uint32_t row_child; /* children before it have had that row */
    /* the source's row in hand, where records are taken one by one; NULL = none */
    const struct weir_block *input;
    uint32_t input_row;
    struct weir_arena arena; /* until the row is done */
};

/* Makes a task of these source partitions. One without stores is ready. */
enum weir_err task_new(struct stream_thread *thread, uint32_t number,
                       const struct weir_kafka_partition *partitions, const int32_t *indexes,
                       uint32_t count, struct task **out, struct weir_error *error);
/* Closes the processors; blocks in flight are let go. */
void task_free(struct task *task);
/* Reads its stores on; when that is done its processors are initialised. A failure ends the
 * instance. */
enum weir_err task_restore(struct task *task, struct weir_error *error);
/* Processes what is in hand, as far as the order of its inputs lets it. AGAIN: a block is parked;
 * the next call tries it again. */
enum weir_err task_run(struct task *task, struct weir_error *error);
/* Is everything delivered that was processed? */
bool task_is_delivered(const struct task *task);
/* Has it stores? Then offsets are committed together with them, when nothing is in flight. */
bool task_has_state(const struct task *task);
/* May its offsets and stores be committed now? */
bool task_is_settled(const struct task *task);
/* Calls what is due by the clocks. */
enum weir_err task_punctuate(struct task *task, struct weir_error *error);
/* Lets processors and cached stores give what they have buffered; a task with stores is settling
 * then. */
enum weir_err task_flush(struct task *task, struct weir_error *error);
/* Gives a block to a node's children. */
enum weir_err task_forward(struct task *task, uint32_t node, const struct weir_block *block,
                           struct weir_error *error);
/* The same to one node. */
enum weir_err task_forward_to(struct task *task, uint32_t index, const struct weir_block *block,
                              struct weir_error *error);
/* Does the node take records one by one? */
bool node_takes_records(const struct node *node);

/* ---- records.c ---- */

/* Rows from task->row on, to the children of `node` that take records. AGAIN: task->row and
 * row_child say where to go on. */
enum weir_err records_from_block(struct task *task, uint32_t node, const struct weir_block *block,
                                 struct weir_error *error);
/* Gives a record to a node, whatever it takes. */
enum weir_err record_run(struct task *task, uint32_t index, const struct weir_record *record,
                         struct weir_error *error);
/* Notes a failure: the task waits for its rewind. */
void task_fail(struct task *task, const struct weir_error *why, bool in_processor);
/* Forgets all that was read but not committed. */
void task_drop(struct task *task);
/* Has it done nothing since its last commit? */
bool task_is_untouched(const struct task *task);

/* ---- task_stores.c ---- */

/* Those of the task's sub-topology; not open yet. */
enum weir_err stores_make(struct task *task, struct weir_error *error);
void stores_close(struct task *task);
/* Opens them, waits for the directory, reads on. A failure ends the instance. */
enum weir_err stores_restore(struct task *task, bool *ready_out, struct weir_error *error);
/* Cached ones tell their changelogs, and those downstream. */
enum weir_err stores_flush(struct task *task, struct weir_error *error);
/* Have they something to tell? */
bool stores_are_dirty(const struct task *task);
/* All that is pending. A failure ends the instance. */
enum weir_err stores_commit(struct task *task, struct weir_error *error);
/* Forgets what is pending. */
void stores_rollback(struct task *task);
size_t stores_pending_bytes(const struct task *task);
/* The processor is told of changes of its cached store, at each flush, in the flush. */
void store_listen(struct weir_context *context, const char *name, store_listener *listen);
/* The report of a record of a changelog. */
void changes_report(struct changes *changes, int64_t offset, const struct weir_error *error);
/* The sub-topology of a store. */
uint32_t store_number(const struct weir_streams *streams, uint32_t kind);

/*
 * Which input is next: that with the smallest timestamp at its head, of equals the first;
 * *end_out = the row of its batch where that ends. NULL: none, or an empty one has to be waited
 * for, see max_task_idle_ms.
 */
struct input *inputs_choose(struct task *task, uint32_t *end_out);
/* Takes a batch, which the input must not have. NOMEM: the batch is given back. */
enum weir_err input_take(struct input *input, const struct weir_kafka_batch *batch);
/* Forgets it. */
void input_drop(struct input *input);
/* Is a batch in hand that is not parked? */
bool inputs_wait(const struct task *task);

/* Outputs begin to belong to a new block in flight; input NULL: of a punctuator, or a flush.
 * NOMEM. */
enum weir_err progress_begin(struct task *task, struct input *input, int64_t offset_first,
                             int64_t offset_next, bool vouches);
/* They end. A block without outputs is done with at once. */
void progress_end(struct task *task);
/* They end for now: the block is parked, and comes again behind all others. */
void progress_park(struct task *task);
void progress_resume(struct task *task);
/* Counts an output of the block in hand, for its record's opaque. */
struct inflight *progress_output(struct task *task, size_t bytes, uint64_t count);
/* One report; error NULL = delivered. */
void progress_report(struct inflight *inflight, const struct weir_error *error);
/* Forgets all blocks in flight; position_done falls back to what is committed. */
void progress_drop(struct task *task);
void inflight_pool_free(struct stream_thread *thread);

/* What a record's opaque points to stands in its lowest bits. */
enum {
    OPAQUE_BLOCK = 0,
    OPAQUE_KEPT_LETTER = 1,
    OPAQUE_LETTER = 2,
    OPAQUE_CHANGE = 3,
    OPAQUE_BITS = 3,
};

/* Sends one row of rows to the dead letters in the name of the block in hand. */
enum weir_err dead_letter_send(struct task *task, const struct weir_rows *rows, uint32_t row,
                               enum weir_err why, const char *message, bool with_value,
                               struct weir_error *error);
/* A row that can't be used: sends it to the dead letters where there are any; what follows says the
 * handler. */
enum weir_err row_refused(struct task *task, const struct weir_rows *rows, uint32_t row,
                          enum weir_err why, const char *message, bool with_value,
                          enum weir_handler handler, struct weir_error *error);
/* A copy that is sent until it is delivered. */
enum weir_err dead_letter_keep(struct stream_thread *thread, const struct weir_rows *rows,
                               uint32_t row, enum weir_err why, const char *message,
                               struct weir_error *error);
void dead_letters_send_kept(struct stream_thread *thread);
void dead_letter_report(struct letter *letter, const struct weir_error *error);
/* The transaction ended: those in it are done with, or come again. */
void dead_letters_settle(struct stream_thread *thread, bool committed);
void dead_letters_free(struct stream_thread *thread);

/* ---- threads (thread.c, commit.c, transaction.c, rebalance.c, partitions.c, global.c) -------- */

/* The thread's transaction, see transaction.c. */
enum transaction_state {
    TRANSACTION_NONE,       /* at least once */
    TRANSACTION_NEW,        /* the producer is to be initialised */
    TRANSACTION_IDLE,       /* begins with the next output */
    TRANSACTION_OPEN,       /* */
    TRANSACTION_COMMITTING, /* the answer is still to come */
    TRANSACTION_ABORTING,   /* likewise */
    TRANSACTION_FENCED,     /* producer and consumer are to be made anew */
};

struct stream_thread {
    struct weir_streams *streams;
    uint32_t number;
    pthread_t thread;
    struct weir_kafka_consumer *consumer;
    struct weir_kafka_consumer *wakeable; /* the same for other threads, under the lock */
    struct weir_kafka_producer *producer;
    struct task *tasks;
    struct input **inputs; /* by the consumer's number; NULL = none */
    uint32_t input_capacity;
    int32_t source_partitions[WEIR_KAFKA_SOURCES_MAX]; /* by source topic */
    int32_t sink_partitions[WEIR_NODES_MAX];           /* by node */
    struct weir_block *blocks[WEIR_NODES_MAX];         /* by source: rows in hand */
    struct weir_block *single;                         /* a record on its way to who takes blocks */
    struct weir_decoder *decoders[WEIR_NODES_MAX];     /* by source; NULL = rows stay as they are */
    struct inflight *pool;
    struct changes *changes_pool;
    struct letter *letters;
    size_t pending_bytes; /* of outputs not delivered */
    int64_t commit_due_ns, retry_due_ns, lag_due_ns, topics_due_ns, purge_due_ns;
    bool producer_failed;
    enum transaction_state transaction;
    uint32_t reopenings; /* since the last commit of a transaction */
    bool committing;     /* tasks are settling */
    bool topics_changed; /* and what follows from it is still to be done */
    bool closing;        /* no more waiting for room */
    int64_t close_deadline_ns;
    struct weir_header *headers; /* scratch of dead letters */
    size_t header_capacity;
    atomic_bool woken, asked; /* asked: streams->question */
    atomic_int_least64_t lag;
    atomic_uint_least32_t task_count;
    bool drained; /* at the end: everything was delivered and committed */
    bool runs;
};

/* Makes producer and consumer; partitions of sinks are asked for. */
enum weir_err thread_open(struct stream_thread *thread, struct weir_error *error);
/* The clients alone: made, and ended with all tasks. */
enum weir_err thread_open_clients(struct stream_thread *thread, struct weir_error *error);
void thread_close_clients(struct stream_thread *thread);
/* One round; waits for records up to timeout_ms. A failure ends the instance. */
enum weir_err thread_step(struct stream_thread *thread, int32_t timeout_ms,
                          struct weir_error *error);
/* Finishes what was read, commits, leaves the group. */
void thread_close(struct stream_thread *thread);
void *thread_run(void *opaque);
bool thread_has_room(const struct stream_thread *thread);
/* Room for so many bytes more? Serves reports while it waits. */
enum weir_err thread_produce_rows(struct stream_thread *thread, const char *topic,
                                  int32_t partition, const struct weir_rows *rows, uint32_t first,
                                  uint32_t end, void *opaque, uint32_t *accepted,
                                  struct weir_error *error);
enum weir_err thread_produce(struct stream_thread *thread, const struct weir_kafka_record *record,
                             struct weir_error *error);

/* Commits what is done, of the marked tasks or of all: of tasks with stores when they are settled,
 * offsets first, then the stores. With exactly once always of all. AGAIN: later. */
enum weir_err thread_commit(struct stream_thread *thread, bool marked_only,
                            struct weir_error *error);
/* The commit is over: tasks take records again. */
void thread_go_on(struct stream_thread *thread);
/* For transaction.c: offsets into the transaction; are there any; it is committed. */
enum weir_err commit_send_offsets(struct stream_thread *thread, bool marked_only,
                                  struct weir_error *error);
bool commit_is_needed(const struct stream_thread *thread);
enum weir_err commit_note_transaction(struct stream_thread *thread, struct weir_error *error);

/* May outputs be made? */
bool transaction_is_decided(const struct stream_thread *thread);
/* An output is to be made: a transaction begins if there is none. */
enum weir_err transaction_enter(struct stream_thread *thread, struct weir_error *error);
/* Each round: what is to be done before anything else. A failure ends the instance. */
enum weir_err transaction_step(struct stream_thread *thread, struct weir_error *error);
/* AGAIN: the answer is still to come, or a rebalance is under way. */
enum weir_err transaction_commit(struct stream_thread *thread, struct weir_error *error);
/* Tasks are about to be closed: nothing of theirs may be committed any more. */
void transaction_lost(struct stream_thread *thread);
/* Members of weir_kafka_rebalance. */
void rebalance_gained(void *opaque, struct weir_kafka_partition *partitions, const int32_t *indexes,
                      uint32_t count);
void rebalance_lost(void *opaque, const struct weir_kafka_partition *partitions,
                    const int32_t *indexes, uint32_t count, bool gone);
uint32_t rebalance_sources(void *opaque, const char *topic, int32_t partition,
                           struct weir_kafka_partition *out, uint32_t capacity);
/* RUNNING, if all tasks have their stores. */
void thread_tell_running(struct stream_thread *thread);
/* Ends all tasks. */
void thread_close_tasks(struct stream_thread *thread);

/*
 * The topics whose partitions are the tasks' numbers: `<application.id>-tasks-<sub-topology>`. They
 * stay empty; the group shares them out. Names to subscribe to, into out[WEIR_NODES_MAX]; borrowed
 * from the instance.
 */
uint32_t partitions_task_topics(const struct weir_streams *streams, const char **out);
/* Counts the partitions of all topics, makes the topics of tasks, and waits for members of the
 * group that know no tasks to go. NOT_FOUND, INVALID (sources that are joined differ), IN_USE. */
enum weir_err partitions_open(struct stream_thread *thread, struct weir_error *error);
/* Looks from time to time whether there are more. A failure ends the instance. */
enum weir_err partitions_look(struct stream_thread *thread, struct weir_error *error);
/* Deletes from internal topics, from time to time, what their tasks have committed. */
void partitions_purge(struct stream_thread *thread);
/* Tasks of a sub-topology: the most partitions that one of its topics has. */
int32_t partitions_task_count(const struct stream_thread *thread, uint32_t number);
/* The source topic's number in the topology; it must be one. */
uint32_t partitions_source_topic(const struct weir_topology *topology, const char *name);

struct global_table {
    const struct weir_global_store *store;
    struct weir_kafka_table *table;
    struct weir_block *block;
    struct weir_kafka_batch batch; /* one that was not taken yet */
    bool has_batch, at_end;
};

/* One round over all stores; *ready_out: all are read to the end and ready. */
enum weir_err globals_step(struct weir_streams *streams, int32_t timeout_ms, bool *ready_out,
                           struct weir_error *error);
enum weir_err globals_open(struct weir_streams *streams, struct weir_error *error);
void globals_close(struct weir_streams *streams);
void *globals_run(void *opaque);

/* ---- the instance (streams.c) ---------------------------------------------------------------- */

struct stream_counters {
    atomic_uint_least64_t consumed, to_sinks, delivered, dead_letters, commits, commit_failures,
        rebalances, rewinds, global_records, dropped;
};

struct weir_streams {
    struct weir_topology *topology;
    struct sub_topologies numbers;
    struct weir_kafka *kafka;
    struct weir_streams_options options;
    char *texts;         /* the options' strings */
    char process_id[33]; /* with exactly once: part of the producers' transactional.id */
    /* Names of topics, WEIR_KAFKA_TOPIC_BYTES_MAX + 1 bytes each: */
    char *task_topics; /* by sub-topology */
    char *changelogs;  /* by store */
    const struct weir_clock *clock;
    struct stream_thread *threads[THREADS_MAX];
    struct global_table tables[STORES_MAX];
    pthread_t global_thread;
    bool global_runs, started;
    struct stream_counters counters;
    atomic_bool stopping;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    enum weir_streams_state state;
    bool globals_ready, stopped;
    enum weir_err stop_result;
    struct weir_error failure;
    pthread_mutex_t query_lock; /* of what follows */
    pthread_cond_t answered;
    struct question *question; /* put to the threads; NULL = none */
};

/* ---- query.c ---- */

void query_init(struct weir_streams *streams);
void query_release(struct weir_streams *streams);
/* The thread has been asked. */
void query_answer(struct stream_thread *thread);

/* ---- streams.c ---- */

/* Wakes everybody who waits. */
void streams_wake_all(struct weir_streams *streams);
/* Changes the state if that is a step that Kafka Streams knows; tells on_state. */
void streams_become(struct weir_streams *streams, enum weir_streams_state state);
/* The instance fails: all threads end. */
void streams_fail(struct weir_streams *streams, const struct weir_error *error);
/* Waits so long in real time, or until a wake; not at all with a virtual clock. */
void streams_pause(struct weir_streams *streams, int64_t ms);
int64_t streams_now_ns(const struct weir_streams *streams);

static inline bool is_exactly_once(const struct weir_streams *streams)
{
    return streams->options.processing_guarantee == WEIR_EXACTLY_ONCE_V2;
}

static inline void count_up(atomic_uint_least64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

#endif
