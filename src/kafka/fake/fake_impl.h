/*
 * kafka/fake/fake_impl.h - the inside of the in-memory cluster.
 *
 *      fake -- topics -- partitions -- records (bytes in one arena, in offset order)
 *           -- producers -- sends: what was produced, in order; waiting, then reported
 *                        -- transaction: places in logs, offsets of groups; open, then ended
 *           -- groups -- slots: one a partition, with commit, owner and target
 *                     -- members: consumers, in the order of joining
 *
 * Life:    see kafka/fake/fake.h.
 * Threads: one mutex guards all of it. It is let go while a callback runs; functions named *_locked
 *          and all those below want it held.
 * Memory:  records stay where they are until the cluster is freed.
 * Errors:  enum weir_err.
 */
#ifndef WEIR_KAFKA_FAKE_IMPL_H
#define WEIR_KAFKA_FAKE_IMPL_H

#include <pthread.h>

#include "base/arena.h"
#include "kafka/batch.h"
#include "kafka/fake/fake.h"

enum {
    FAKE_TOPICS_MAX = 10000,
    FAKE_PARTITIONS_MAX = 100000, /* of a topic */
    FAKE_RECORDS_MAX = 1 << 30,   /* of a partition */
    FAKE_GROUPS_MAX = 1000,
    FAKE_MEMBERS_MAX = 10000,
};

struct fake_record {
    struct weir_slice key, value;
    const struct weir_header *headers;
    uint32_t header_count;
    int64_t timestamp_ms, offset;
    const struct fake_transaction *transaction; /* NULL = none */
};

struct fake_partition {
    struct fake_record *records; /* ascending offsets, with gaps */
    uint32_t record_count, record_capacity;
    uint32_t record_first; /* those before it were deleted */
    int64_t first, next;
};

struct fake_topic {
    char *name;
    struct fake_partition *partitions;
    int32_t partition_count;
};

struct fake_slot;

/* Lives as long as the cluster, for its records tell by it whether they can be read. */
struct fake_transaction {
    struct fake_transaction *next; /* of those that are open */
    struct fake_producer *producer;
    enum { FAKE_OPEN, FAKE_COMMITTED, FAKE_ABORTED } state;
    int64_t expiry_ns;
    bool failed; /* a record was not delivered */
    struct fake_place {
        struct fake_topic *topic;
        int32_t partition;
        int64_t first; /* offset of its first record */
    } * places;
    uint32_t place_count, place_capacity;
    struct fake_pending {
        struct fake_slot *slot;
        int64_t offset;
    } * offsets;
    uint32_t offset_count, offset_capacity;
};

enum fake_send_state { FAKE_SEND_WAITS, FAKE_SEND_DONE };

struct fake_send {
    enum fake_send_state state;
    struct fake_topic *topic;
    int32_t partition;
    struct fake_record record;
    size_t bytes;
    int64_t due_ns, expiry_ns;
    void *opaque;
    struct weir_error error; /* DONE: code OK = delivered */
};

struct fake_producer {
    struct weir_kafka_producer base;
    struct fake *fake;
    struct fake_producer *next;
    struct fake_send *sends; /* ring */
    uint32_t send_first, send_count, send_capacity;
    uint32_t done_count; /* at the front of the ring: order is kept */
    size_t queued_bytes, queue_bytes;
    int32_t delivery_timeout_ms;
    weir_kafka_delivered *delivered;
    void *opaque;
    char *transactional_id; /* NULL = without transactions */
    int32_t transaction_timeout_ms;
    bool initialised, fenced;
    struct fake_transaction *transaction; /* that is open; NULL = none */
    bool answer_lost;                     /* of its commit, which took place */
};

struct fake_consumer;

struct fake_slot {
    struct fake_topic *topic;
    int32_t partition;
    int64_t committed;            /* -1 = none */
    struct fake_consumer *owner;  /* holds it now */
    struct fake_consumer *target; /* shall hold it */
    bool benched;                 /* nobody gets it before its owner has let go */
};

struct fake_group {
    char *name;
    struct fake_slot **slots; /* by topic and partition in the order they became known */
    uint32_t slot_count, slot_capacity;
    struct fake_consumer **members;
    uint32_t member_count, member_capacity;
    uint64_t generation;
    uint64_t topics_version; /* of the cluster when slots were last looked for */
    bool rebalancing, held, rotate;
    int64_t rebalanced_ns; /* when it ends */
};

struct fake_owned {
    struct fake_slot *slot; /* given by the group; NULL = this index is free */
    struct fake_slot *read; /* for it: the same, or a source of the task */
    int64_t position;
};

struct fake_consumer {
    struct weir_kafka_consumer base;
    struct fake *fake;
    struct fake_group *group;
    char **topics;
    uint32_t topic_count;
    bool from_end;
    struct weir_kafka_rebalance rebalance;
    bool joined, evicted, in_lost, in_callback, awake, ask_sources;
    struct fake_owned *owned; /* by partition index */
    uint32_t owned_capacity, cursor;
    uint64_t told_generation; /* of the group, when it was last looked for nothing */
    struct weir_batch_pool pool;
};

struct fake_table {
    struct weir_kafka_table base;
    struct fake *fake;
    char *topic;
    int64_t offset;
    int32_t partition;
    bool known, ended, awake, open_transactions;
    bool started;      /* positions are set */
    int32_t end_count; /* partitions there were at open */
    int64_t *ends, *positions;
    int32_t partition_count; /* of positions */
    uint32_t cursor;
    struct weir_batch_pool pool;
};

struct fake {
    struct weir_kafka base;
    struct weir_kafka_fake_options options;
    bool waits;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct fake_topic **topics;
    uint32_t topic_count, topic_capacity;
    uint64_t topics_version; /* counts additions */
    struct fake_group **groups;
    uint32_t group_count, group_capacity;
    struct fake_producer *producers;
    struct fake_transaction *open, *ended;
    uint32_t client_count;
    uint32_t keyless_next; /* partition of the next record without a key */
    struct weir_arena arena;
    bool away;
    struct {
        struct weir_kafka_fake_failure failure;
        char topic[WEIR_KAFKA_TOPIC_BYTES_MAX + 1];
        uint64_t failed;
    } failures[WEIR_KAFKA_FAKE_CALL_COUNT];
};

extern const struct weir_kafka_ops weir_kafka_fake_ops;

/* ---- fake.c: cluster, topics, time ---- */

void fake_lock(struct fake *fake);
void fake_unlock(struct fake *fake);
/* Tells whoever waits that something changed. */
void fake_changed(struct fake *fake);
int64_t fake_now_ns(const struct fake *fake);
/* Deadline of a wait in real time; waits for a change until then. False: it is over, or this
 * cluster never waits. The lock is let go meanwhile. */
int64_t fake_deadline(const struct fake *fake, int32_t timeout_ms);
bool fake_wait(struct fake *fake, int64_t deadline_ns);
/* Lets things happen that are due. */
void fake_advance(struct fake *fake);
struct fake_topic *fake_topic_find(struct fake *fake, const char *name);
/* Records before the offset, which is in the log, are gone. */
void fake_log_trim(struct fake_partition *log, int64_t offset);
enum weir_err fake_topic_grow(struct fake *fake, const char *name, int32_t partitions,
                              struct fake_topic **topic_out);
/* True when this call has to fail, with *error filled. */
bool fake_fails(struct fake *fake, enum weir_kafka_fake_call call, const char *topic,
                struct weir_error *error);
/* Grows an array of `bytes`-sized elements to hold one more than count. */
enum weir_err fake_reserve(void *array_pointer, uint32_t *capacity, uint32_t count, size_t bytes,
                           uint32_t max);

/* ---- fake_log.c: records ---- */

/* Copies a record's bytes. LIMIT, NOMEM. */
enum weir_err fake_record_copy(struct fake *fake, const struct weir_kafka_record *record,
                               struct fake_record *out, size_t *bytes_out);
int32_t fake_partition_of(struct fake *fake, const struct fake_topic *topic,
                          const struct weir_kafka_record *record);
enum weir_err fake_append(struct fake_partition *partition, const struct fake_record *record);
/* Where the oldest open transaction begins, or the log's end: what can be read ends there. */
int64_t fake_readable_end(const struct fake *fake, const struct fake_topic *topic,
                          int32_t partition);
/* Index of the first record at or after offset (record_count = none). */
uint32_t fake_search(const struct fake_partition *partition, int64_t offset);
/* Takes up to count_max records from *position (below end) on, and moves it. AGAIN: there are none;
 * *position then stands behind gaps that end there. */
/* Of ended transactions those that were committed; not beyond fake_readable_end. */
enum weir_err fake_take(struct fake *fake, struct weir_batch_pool *pool,
                        const struct fake_topic *topic, int32_t partition, int64_t end,
                        uint32_t count_max, int64_t *position, struct weir_kafka_batch *batch);

/* ---- fake_producer.c, fake_consumer.c, fake_table.c: members of the table in kafka/ops.h ---- */

enum weir_err fake_producer_new(struct weir_kafka *kafka,
                                const struct weir_kafka_producer_options *options,
                                struct weir_kafka_producer **producer_out,
                                struct weir_error *error);
enum weir_err fake_produce(struct weir_kafka_producer *base, const struct weir_kafka_record *record,
                           struct weir_error *error);
enum weir_err fake_produce_rows(struct weir_kafka_producer *base, const char *topic,
                                int32_t partition, const struct weir_rows *rows, uint32_t first,
                                uint32_t end, void *opaque, uint32_t *accepted_out,
                                struct weir_error *error);
uint32_t fake_producer_poll(struct weir_kafka_producer *base, int32_t timeout_ms);
enum weir_err fake_producer_flush(struct weir_kafka_producer *base, int32_t timeout_ms);
uint64_t fake_producer_pending(const struct weir_kafka_producer *base);
void fake_producer_close(struct weir_kafka_producer *base);
/* What has not come to its log yet is reported as CLOSED. */
void fake_producer_purge(struct fake_producer *producer, const char *why);
/* Calls back for what is done; the lock is let go meanwhile. Returns how many. */
uint32_t fake_producer_report(struct fake_producer *producer);

enum weir_err fake_consumer_new(struct weir_kafka *kafka,
                                const struct weir_kafka_consumer_options *options,
                                struct weir_kafka_consumer **consumer_out,
                                struct weir_error *error);
enum weir_err fake_consumer_poll(struct weir_kafka_consumer *base, uint32_t count_max,
                                 int32_t timeout_ms,
                                 bool (*want)(void *opaque, int32_t partition_index),
                                 void *want_opaque, struct weir_kafka_batch *batch,
                                 struct weir_error *error);
enum weir_err fake_consumer_commit(struct weir_kafka_consumer *base,
                                   struct weir_kafka_partition *partitions, uint32_t count,
                                   int32_t timeout_ms, struct weir_error *error);
/* What stands against any commit now, and against that of one partition. */
enum weir_err fake_commit_allowed(const struct fake_consumer *consumer,
                                  enum weir_kafka_fake_call call, const char *topic,
                                  struct weir_error *error);
enum weir_err fake_commit_slot(const struct fake_consumer *consumer,
                               const struct weir_kafka_partition *partition,
                               struct fake_slot **slot_out, struct weir_error *error);
enum weir_err fake_consumer_rewind(struct weir_kafka_consumer *base, int32_t partition_index,
                                   int64_t offset, struct weir_error *error);
void fake_consumer_sources_changed(struct weir_kafka_consumer *base);
int64_t fake_consumer_lag(const struct weir_kafka_consumer *base, int32_t partition_index);
void fake_consumer_wake(struct weir_kafka_consumer *base);
void fake_consumer_close(struct weir_kafka_consumer *base, int32_t timeout_ms);

enum weir_err fake_table_open(struct weir_kafka *kafka,
                              const struct weir_kafka_table_options *options,
                              struct weir_kafka_table **table_out, struct weir_error *error);
enum weir_err fake_table_poll(struct weir_kafka_table *base, uint32_t count_max, int32_t timeout_ms,
                              struct weir_kafka_batch *batch, struct weir_error *error);
int32_t fake_table_partitions(const struct weir_kafka_table *base);
int64_t fake_table_end(const struct weir_kafka_table *base, int32_t partition);
void fake_table_wake(struct weir_kafka_table *base);
void fake_table_close(struct weir_kafka_table *base);

/* ---- fake_transaction.c (members of the table, too) ---- */

enum weir_err fake_transactions_init(struct weir_kafka_producer *base, int32_t timeout_ms,
                                     struct weir_error *error);
enum weir_err fake_transaction_begin(struct weir_kafka_producer *base, struct weir_error *error);
enum weir_err fake_transaction_offsets(struct weir_kafka_producer *base,
                                       struct weir_kafka_consumer *of,
                                       struct weir_kafka_partition *partitions, uint32_t count,
                                       int32_t timeout_ms, struct weir_error *error);
enum weir_err fake_transaction_commit(struct weir_kafka_producer *base, int32_t timeout_ms,
                                      struct weir_error *error);
enum weir_err fake_transaction_abort(struct weir_kafka_producer *base, int32_t timeout_ms,
                                     struct weir_error *error);
/* May it produce? */
enum weir_err fake_transaction_check(const struct fake_producer *producer,
                                     struct weir_error *error);
/* A record of it comes to this log. */
enum weir_err fake_transaction_touch(struct fake_producer *producer, struct fake_topic *topic,
                                     int32_t partition);
/* Ends it: markers take an offset in each log, offsets become the groups'. */
void fake_transaction_end(struct fake *fake, struct fake_transaction *transaction, bool committed);
void fake_transactions_advance(struct fake *fake);
void fake_transactions_free(struct fake *fake);
/* Is an offset of it part of an open transaction? */
bool fake_transaction_holds(const struct fake *fake, const struct fake_slot *slot);

/* ---- fake_producer.c: time ---- */

void fake_producers_advance(struct fake *fake);
/* Records of any producer that wait for a point in time. */
bool fake_producers_wait(const struct fake *fake);

/* ---- fake_group.c ---- */

struct fake_group *fake_group_find(struct fake *fake, const char *name);
enum weir_err fake_group_get(struct fake *fake, const char *name, struct fake_group **group_out);
void fake_group_free(struct fake_group *group);
struct fake_slot *fake_slot_find(const struct fake_group *group, const char *topic,
                                 int32_t partition);
enum weir_err fake_slot_get(struct fake_group *group, struct fake_topic *topic, int32_t partition,
                            struct fake_slot **slot_out);
void fake_group_begin(struct fake *fake, struct fake_group *group);
void fake_groups_advance(struct fake *fake);
enum weir_err fake_group_join(struct fake *fake, struct fake_group *group,
                              struct fake_consumer *consumer);
enum weir_err
fake_group_assignments(struct weir_kafka *kafka, const char *group_id, int32_t timeout_ms,
                       void (*each)(void *opaque, const struct weir_kafka_assignment *found),
                       void *opaque, struct weir_error *error);
void fake_group_leave(struct fake *fake, struct fake_group *group, struct fake_consumer *consumer);

#endif
