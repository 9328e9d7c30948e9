/*
 * weir/kafka.h - Kafka clients: producer, group consumer, table reader, topic administration.
 *
 * What:    the only door to a Kafka cluster. A `struct weir_kafka` is a cluster; behind it stands
 *          librdkafka, or the in-memory cluster that tests run on under a virtual clock. Callers
 *          can't tell which.
 * Life:    weir_kafka_new -> producer / consumer / table ... closed -> weir_kafka_free.
 * Threads: a producer, consumer or table belongs to one thread, which alone calls it; delivery
 *          reports and rebalance callbacks run inside its poll, flush and close. `wake` may be
 *          called from any thread, and so may everything on the cluster itself.
 * Memory:  bytes handed out are borrowed until the batch is released, which must happen before its
 *          consumer is closed (they stay valid when the partition is lost); bytes handed in are
 *          copied.
 * Errors:  BROKER (message says which and why; retriable says whether waiting helps), DENIED,
 *          NOT_FOUND (topic), INVALID (setting), TIMEOUT, FENCED. AGAIN is back-pressure.
 *
 * Why not librdkafka directly: its 2.0.2 loses or misplaces records when pause, seek and batch
 * reading meet a rebalance. Here a partition has its own queue; back-pressure is a queue left
 * unread; positions are counted here, never taken from librdkafka's stored offsets; records of
 * partitions that were taken away are dropped.
 *
 * Options: begin with weir_kafka_*_options_default, which fills in what [brackets] say.
 */
#ifndef WEIR_KAFKA_H
#define WEIR_KAFKA_H

#include <weir/base.h>
#include <weir/record.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEIR_KAFKA_TOPIC_BYTES_MAX = 249, /* Kafka's own limit on a topic's name */
    WEIR_KAFKA_BATCH_MAX = 4096,      /* records of one poll */
    WEIR_KAFKA_SOURCES_MAX = 256,     /* partitions that are read for one that a group gave */
};

/* ---- cluster --------------------------------------------------------------------------------- */

struct weir_kafka;

struct weir_kafka_property {
    const char *name, *value; /* librdkafka's name; an unknown one is refused */
};

struct weir_kafka_options {
    const char *bootstrap_servers;                /* "host:port,..."; required */
    const char *client_id;                        /* [weir] */
    const struct weir_kafka_property *properties; /* pass-through, wins over our defaults */
    uint32_t property_count;
    struct weir_log log;
};
void weir_kafka_options_default(struct weir_kafka_options *options);

/* Checks the settings; does not connect. Options are copied. Errors: INVALID, NOMEM. */
WEIR_MUST_USE enum weir_err weir_kafka_new(const struct weir_kafka_options *options,
                                           struct weir_kafka **kafka_out, struct weir_error *error);
void weir_kafka_free(struct weir_kafka *kafka); /* NULL is allowed; all its clients are closed */

/* ---- records --------------------------------------------------------------------------------- */

/*
 * Records of one partition, in offset order, as arrays (struct weir_rows of weir/record.h): what a
 * block's rows_meta takes over unchanged. Compaction and control records leave gaps in offsets.
 */
struct weir_kafka_batch {
    struct weir_rows rows;
    uint32_t count;
    int32_t partition_index; /* the handle's own number of the partition, see weir_kafka_gained */
    int64_t offset_next;     /* position after the last record of the batch */
    void *impl;
};

/* Returns the bytes to the client. NULL or an empty batch is allowed. */
void weir_kafka_batch_release(struct weir_kafka_batch *batch);

struct weir_kafka_partition {
    const char *topic;
    int32_t partition;
    int64_t offset;    /* next to read */
    bool committed;    /* gained: offset is the committed one, not a beginning or end */
    enum weir_err err; /* commit: what became of this one */
};

/* ---- producer -------------------------------------------------------------------------------- */

struct weir_kafka_producer;

/*
 * Outcome of one record. error is NULL exactly when all in-sync replicas have it (acks=all,
 * idempotent); offset is then its place. Each accepted record gets one report, at the latest in
 * close; record_opaque must live until then.
 * error->retriable: sending it again may help. error->fatal: close the producer and make another.
 * LIMIT, INVALID: this record will never be taken.
 */
typedef void weir_kafka_delivered(void *opaque, void *record_opaque, int32_t partition,
                                  int64_t offset, const struct weir_error *error);

struct weir_kafka_producer_options {
    int32_t linger_ms;           /* how long a batch waits for more [5]; 0 = lowest latency */
    int32_t delivery_timeout_ms; /* a record not taken by then is reported as TIMEOUT [120000] */
    size_t queue_bytes;          /* what may wait for the broker [64 MiB] */
    const char *compression;     /* none, gzip, snappy, lz4, zstd [none] */
    /* transactional.id: records are produced in transactions, see below; NULL = without [NULL] */
    const char *transactional_id;
    int32_t transaction_timeout_ms;  /* the broker aborts what takes longer; >= 1000 [60000] */
    weir_kafka_delivered *delivered; /* may be NULL */
    void *opaque;
};
void weir_kafka_producer_options_default(struct weir_kafka_producer_options *options);

struct weir_kafka_record {
    const char *topic;
    int32_t partition;    /* -1 = by key: murmur2_random, as Java does */
    int64_t timestamp_ms; /* -1 = now */
    struct weir_slice key, value;
    const struct weir_header *headers;
    uint32_t header_count;
    void *opaque; /* given back to `delivered` */
};

WEIR_MUST_USE enum weir_err
weir_kafka_producer_new(struct weir_kafka *kafka, const struct weir_kafka_producer_options *options,
                        struct weir_kafka_producer **producer_out, struct weir_error *error);
/* Copies the record into the send queue. AGAIN: the queue is full; poll and try again. LIMIT: it is
 * larger than message.max.bytes. NOT_FOUND: the topic has no such partition. CLOSED: there is no
 * transaction, or it is to be aborted. After a failure `delivered` is not called for it. */
WEIR_MUST_USE enum weir_err weir_kafka_produce(struct weir_kafka_producer *producer,
                                               const struct weir_kafka_record *record,
                                               struct weir_error *error);
/*
 * The same for rows first .. end-1 of a block, all to one topic: key, value, timestamp and headers
 * are the rows', partition as above, opaque is given back for each. *accepted_out = rows taken;
 * fewer than asked only with a failure, which is that of the first row not taken.
 */
WEIR_MUST_USE enum weir_err
weir_kafka_produce_rows(struct weir_kafka_producer *producer, const char *topic, int32_t partition,
                        const struct weir_rows *rows, uint32_t first, uint32_t end, void *opaque,
                        uint32_t *accepted_out, struct weir_error *error);
/* Serves delivery reports for up to timeout_ms (0 = those at hand). Returns how many. */
uint32_t weir_kafka_producer_poll(struct weir_kafka_producer *producer, int32_t timeout_ms);
/* Waits until every record has its report, up to timeout_ms: OK or TIMEOUT. */
WEIR_MUST_USE enum weir_err weir_kafka_producer_flush(struct weir_kafka_producer *producer,
                                                      int32_t timeout_ms);
/* Records without report yet. */
uint64_t weir_kafka_producer_pending(const struct weir_kafka_producer *producer);
/* What can't be delivered any more is reported as CLOSED. An open transaction is aborted, if that
 * is done within a second; else by its time-out. NULL is allowed. */
void weir_kafka_producer_close(struct weir_kafka_producer *producer);

/* ---- transactions ---------------------------------------------------------------------------- */

/*
 * Of a producer with a transactional_id: records and a group's offsets are committed together or
 * not at all (KIP-98, KIP-447). Consumers and tables read what is committed (read_committed).
 *
 *      init -> begin -> produce ..., offsets -> commit
 *                ^                          `-> abort
 *                `------------------------------'
 *
 * Each waits up to timeout_ms for the broker, serving delivery reports meanwhile. What a failure
 * asks for:
 *   retriable: the same call again, nothing else (a commit whose answer did not come in time);
 *   fatal:     the producer is of no use any more: close it. FENCED: another one of its
 *              transactional_id has begun, or its transaction took longer than its time-out.
 *              What became of a commit that was asked for is not known then;
 *   else:      abort.
 */

struct weir_kafka_consumer;

/* Once, before the first transaction: ends what the last producer of this transactional_id left
 * open, and fences it. */
WEIR_MUST_USE enum weir_err weir_kafka_transactions_init(struct weir_kafka_producer *producer,
                                                         int32_t timeout_ms,
                                                         struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_kafka_transaction_begin(struct weir_kafka_producer *producer,
                                                         struct weir_error *error);
/* Adds offsets of the consumer's group, which become its committed ones with the transaction; also
 * while a rebalance is under way. FENCED, not fatal: the membership is over, abort.
 * partitions[i].err is set as weir_kafka_commit does. */
WEIR_MUST_USE enum weir_err weir_kafka_transaction_offsets(struct weir_kafka_producer *producer,
                                                           struct weir_kafka_consumer *consumer,
                                                           struct weir_kafka_partition *partitions,
                                                           uint32_t count, int32_t timeout_ms,
                                                           struct weir_error *error);
/* Waits for the delivery of all records first; one that was not delivered fails it: abort. */
WEIR_MUST_USE enum weir_err weir_kafka_transaction_commit(struct weir_kafka_producer *producer,
                                                          int32_t timeout_ms,
                                                          struct weir_error *error);
/* Records that are still under way are reported as CLOSED. */
WEIR_MUST_USE enum weir_err weir_kafka_transaction_abort(struct weir_kafka_producer *producer,
                                                         int32_t timeout_ms,
                                                         struct weir_error *error);

/* ---- consumer of a group --------------------------------------------------------------------- */

/*
 * Rebalance, told inside poll and close on the consumer's thread.
 * gained: partitions[i].offset is where reading will begin, always a real offset: the committed
 *         one, or else the log's first or end, found now; a commit below the log's first is
 *         moved there with a warning to the log. If the offsets can't be had, or one is part of
 *         a transaction that is open yet, the partition is not told and it is tried again.
 *         indexes[i] is the number by which poll knows the partition from now on; numbers of lost
 *         partitions are used again. count 0: the group has nothing for this member.
 * lost:   the callee commits what it can (weir_kafka_commit, synchronous) unless `gone` says that
 *         the membership has ended already and commits will be refused. After it returns no record
 *         of these partitions is handed out.
 * sources: optional: the group shares out tasks. A partition of the topics subscribed to is then a
 *         task's number and is never read itself; who is given it reads the partitions that this
 *         names (up to capacity; none is allowed; texts are borrowed until the next call here)
 *         and commits those. Sources of one task are gained together and lost together. The same
 *         partition must not be named for two tasks, and by all members for the same task.
 */
struct weir_kafka_rebalance {
    void (*gained)(void *opaque, struct weir_kafka_partition *partitions, const int32_t *indexes,
                   uint32_t count);
    void (*lost)(void *opaque, const struct weir_kafka_partition *partitions,
                 const int32_t *indexes, uint32_t count, bool gone);
    void *opaque;
    uint32_t (*sources)(void *opaque, const char *topic, int32_t partition,
                        struct weir_kafka_partition *out, uint32_t capacity);
};

#define WEIR_KAFKA_BEGINNING (-2)
#define WEIR_KAFKA_END (-3)

struct weir_kafka_consumer_options {
    const char *group_id;          /* required */
    const char *group_instance_id; /* static membership; NULL = none */
    const char *const *topics;     /* names; required */
    uint32_t topic_count;
    bool from_end;                /* where a partition without a commit begins [the beginning] */
    size_t queue_bytes;           /* what its fetch queues may hold together [64 MiB] */
    uint32_t partitions_expected; /* among how many partitions that is shared out [16] */
    struct weir_kafka_rebalance rebalance;
};
void weir_kafka_consumer_options_default(struct weir_kafka_consumer_options *options);

/* Joins the group by and by, inside poll (cooperative-sticky; no automatic commits). */
WEIR_MUST_USE enum weir_err
weir_kafka_consumer_new(struct weir_kafka *kafka, const struct weir_kafka_consumer_options *options,
                        struct weir_kafka_consumer **consumer_out, struct weir_error *error);
/*
 * Serves rebalances and events, and takes up to count_max records of ONE partition of those for
 * which `want` says true (NULL = all; asked by partition index), the partitions taking turns.
 * Waits up to timeout_ms when there are none. OK with batch->count > 0, or AGAIN, or a failure
 * (fatal: the consumer must be closed).
 */
WEIR_MUST_USE enum weir_err weir_kafka_poll(struct weir_kafka_consumer *consumer,
                                            uint32_t count_max, int32_t timeout_ms,
                                            bool (*want)(void *opaque, int32_t partition_index),
                                            void *want_opaque, struct weir_kafka_batch *batch,
                                            struct weir_error *error);
/* Commits, waiting up to timeout_ms for the answer; partitions[i].err tells each one's own. Errors:
 * FENCED (the membership is over), AGAIN (a rebalance is under way: commit after it), BROKER,
 * TIMEOUT. */
WEIR_MUST_USE enum weir_err weir_kafka_commit(struct weir_kafka_consumer *consumer,
                                              struct weir_kafka_partition *partitions,
                                              uint32_t count, int32_t timeout_ms,
                                              struct weir_error *error);
/* Reads a partition we own again from `offset`; what was fetched is dropped. Takes effect inside
 * later polls; until then nothing of the partition is handed out. Keeps the index and calls neither
 * lost nor gained. Not from within those. AGAIN: a rebalance is under way, try after the next poll.
 * NOT_FOUND: no longer ours. */
WEIR_MUST_USE enum weir_err weir_kafka_rewind(struct weir_kafka_consumer *consumer,
                                              int32_t partition_index, int64_t offset,
                                              struct weir_error *error);
/* Asks `sources` again inside later polls: tasks that have others now are lost and gained. */
void weir_kafka_sources_changed(struct weir_kafka_consumer *consumer);
/* Records in the log behind the position we have handed out; -1 = not known yet. With `sources`, 0
 * also where none of them can be read yet: they belong to an open transaction. */
int64_t weir_kafka_lag(const struct weir_kafka_consumer *consumer, int32_t partition_index);
/* Wakes a waiting poll from another thread. */
void weir_kafka_consumer_wake(struct weir_kafka_consumer *consumer);
/* Tells `lost` of all partitions, leaves the group (not with static membership), frees; gives up
 * the leaving after timeout_ms. NULL is allowed. */
void weir_kafka_consumer_close(struct weir_kafka_consumer *consumer, int32_t timeout_ms);

/* ---- table: all partitions of a topic, from the beginning, without a group ------------------- */

struct weir_kafka_table;

struct weir_kafka_table_options {
    const char *topic;
    int64_t offset;     /* where to begin: WEIR_KAFKA_BEGINNING, _END or an offset [BEGINNING] */
    int32_t partition;  /* -1 = all [-1] */
    size_t queue_bytes; /* what may be fetched ahead [16 MiB] */
    /* The end at open is that of all records, also of transactions that are open then: how they
     * end is waited for. Else it is that of what can be read [no] */
    bool open_transactions;
};
void weir_kafka_table_options_default(struct weir_kafka_table_options *options);

/* An absent topic is no error: it is read from when it exists. */
WEIR_MUST_USE enum weir_err weir_kafka_table_open(struct weir_kafka *kafka,
                                                  const struct weir_kafka_table_options *options,
                                                  struct weir_kafka_table **table_out,
                                                  struct weir_error *error);
/* As weir_kafka_poll. END (once): each partition has been read to the end it had at open (control
 * records and gaps of compaction count as read), or a broker has said that the topic does not
 * exist; while none answers it is AGAIN. Later records still come by further polls. A batch never
 * spans that end. */
WEIR_MUST_USE enum weir_err weir_kafka_table_poll(struct weir_kafka_table *table,
                                                  uint32_t count_max, int32_t timeout_ms,
                                                  struct weir_kafka_batch *batch,
                                                  struct weir_error *error);
/* Partitions of the topic; 0 = absent, -1 = not known yet. */
int32_t weir_kafka_table_partitions(const struct weir_kafka_table *table);
/* End offset of a partition as seen at open, -1 while unknown. */
int64_t weir_kafka_table_end(const struct weir_kafka_table *table, int32_t partition);
void weir_kafka_table_wake(struct weir_kafka_table *table);
void weir_kafka_table_close(struct weir_kafka_table *table); /* NULL is allowed */

/* ---- topics ---------------------------------------------------------------------------------- */

struct weir_kafka_topic {
    const char *name;
    int32_t partitions;  /* create: wanted, [1] */
    int32_t replication; /* create: [-1: the broker's default] */
    const struct weir_kafka_property *config;
    uint32_t config_count;
};

/* Creates what is missing and leaves what exists. created_out[i] (may be NULL) says which. */
WEIR_MUST_USE enum weir_err weir_kafka_topics_create(struct weir_kafka *kafka,
                                                     const struct weir_kafka_topic *topics,
                                                     uint32_t count, int32_t timeout_ms,
                                                     bool *created_out, struct weir_error *error);
/* Gives a topic more partitions, so many in all. INVALID: it has as many already. */
WEIR_MUST_USE enum weir_err weir_kafka_topic_grow(struct weir_kafka *kafka, const char *topic,
                                                  int32_t partitions, int32_t timeout_ms,
                                                  struct weir_error *error);
/* Deletes the records of these partitions that lie before their offsets (KIP-107). The first that
 * fails: NOT_FOUND, INVALID (an offset is not in the log), BROKER ... */
WEIR_MUST_USE enum weir_err weir_kafka_delete_records(struct weir_kafka *kafka,
                                                      const struct weir_kafka_partition *partitions,
                                                      uint32_t count, int32_t timeout_ms,
                                                      struct weir_error *error);
/* Number of partitions. NOT_FOUND: no such topic (none is created). */
WEIR_MUST_USE enum weir_err weir_kafka_topic_partitions(struct weir_kafka *kafka, const char *topic,
                                                        int32_t timeout_ms, int32_t *partitions_out,
                                                        struct weir_error *error);
/* First and next offset of a partition; records of open transactions count. */
WEIR_MUST_USE enum weir_err weir_kafka_offsets(struct weir_kafka *kafka, const char *topic,
                                               int32_t partition, int32_t timeout_ms,
                                               int64_t *first_out, int64_t *next_out,
                                               struct weir_error *error);
/* Names of all topics, sorted, calling `each` for every one. */
WEIR_MUST_USE enum weir_err weir_kafka_topics_list(struct weir_kafka *kafka, int32_t timeout_ms,
                                                   void (*each)(void *opaque, const char *name,
                                                                int32_t partitions),
                                                   void *opaque, struct weir_error *error);

/* ---- groups ---------------------------------------------------------------------------------- */

struct weir_kafka_assignment {
    const char *client_id, *host; /* of the member */
    const char *topic;
    int32_t partition;
};
/* Calls `each` for every partition that a group has given to one of its members; the texts are
 * borrowed for the call. A group that does not exist has none. */
WEIR_MUST_USE enum weir_err
weir_kafka_group_assignments(struct weir_kafka *kafka, const char *group_id, int32_t timeout_ms,
                             void (*each)(void *opaque, const struct weir_kafka_assignment *found),
                             void *opaque, struct weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
