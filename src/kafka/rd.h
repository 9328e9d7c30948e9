/*
 * kafka/rd.h - what the parts on librdkafka share: settings, errors, logs, partition queues.
 *
 *      rd_cluster -- settings, one shared client for administration
 *      rd_client  -- inside each producer, consumer and table: its rd_kafka_t, its last trouble
 *      rd_slot    -- a partition that is read: queue of its own, position
 *
 * Life:    rd_client_open -> use -> rd_client_close.
 * Threads: log callbacks come from librdkafka's threads; the rest from the owner's.
 * Memory:  a client's texts are copies.
 * Errors:  rd_error turns librdkafka's codes into ours, once, in rd_error.c.
 */
#ifndef WEIR_KAFKA_RD_H
#define WEIR_KAFKA_RD_H

#include <pthread.h>
#include <stdatomic.h>

#include <librdkafka/rdkafka.h>

#include "kafka/batch.h"

enum {
    RD_PROPERTIES_MAX = 256,
    RD_TROUBLE_BYTES = 200,
    RD_ANSWER_MS = 1000, /* what a question asked inside a poll may take */
    RD_RETRY_MS = 200,   /* until it is asked again */
};

struct rd_cluster {
    struct weir_kafka base;
    char *bootstrap_servers, *client_id;
    struct weir_kafka_property *properties; /* copies */
    uint32_t property_count;
    const char *sasl_username, *sasl_password; /* of the properties; "" = none */
    const char *debug;                         /* likewise */
    struct weir_log log;
    pthread_mutex_t mutex; /* guards `admin` being made */
    struct rd_client *admin;
    _Atomic uint32_t client_count;
};

/* The opaque of its rd_kafka_t. */
struct rd_client {
    struct rd_cluster *cluster;
    rd_kafka_t *rk;
    pthread_mutex_t mutex;          /* guards trouble */
    char trouble[RD_TROUBLE_BYTES]; /* the last failure that librdkafka logged */
    int64_t trouble_ns;
    bool abandoned;      /* also guarded: its cluster may be gone */
    _Atomic bool steady; /* a group's member with no rebalance under way, see rd.c */
};

/* One setting; a list ends with name NULL. */
struct rd_setting {
    const char *name, *value;
};

extern const struct weir_kafka_ops weir_kafka_rd_ops;

struct rd_cluster *rd_cluster_of(struct weir_kafka *kafka);

/*
 * Makes a configuration: `defaults`, then the user's properties, then `fixed`. The caller adds its
 * callbacks and gives it to rd_client_open, or destroys it.
 */
WEIR_MUST_USE enum weir_err rd_conf_new(struct rd_cluster *cluster,
                                        const struct rd_setting *defaults,
                                        const struct rd_setting *fixed, rd_kafka_conf_t **conf_out,
                                        struct weir_error *error);
/* Takes conf, also on failure. The client must not move afterwards. */
WEIR_MUST_USE enum weir_err rd_client_open(struct rd_client *client, struct rd_cluster *cluster,
                                           rd_kafka_type_t type, rd_kafka_conf_t *conf,
                                           struct weir_error *error);
/* flags: of rd_kafka_destroy_flags. */
void rd_client_close(struct rd_client *client, int flags);
/* From now on the client does not touch its cluster, which may be freed before rd_client_close. */
void rd_client_abandon(struct rd_client *client);

#ifdef __SANITIZE_THREAD__
/* Does nothing, but brings rd_threads.c into the program. */
void rd_threads_known(void);
#endif

/* ---- rd_error.c ---- */

/* Code for a librdkafka error. */
enum weir_err rd_err(rd_kafka_resp_err_t err);
bool rd_retriable(rd_kafka_resp_err_t err);
/* Fills *error: "<what>: <librdkafka's text>", what to do, and the client's last trouble when the
 * brokers can't be reached. client may be NULL. */
enum weir_err rd_error(struct rd_client *client, struct weir_error *error, rd_kafka_resp_err_t err,
                       const char *format, ...) WEIR_PRINTF(4, 5);

/* ---- rd_admin.c: members of the table, see kafka/ops.h ---- */

enum weir_err rd_topics_create(struct weir_kafka *kafka, const struct weir_kafka_topic *topics,
                               uint32_t count, int32_t timeout_ms, bool *created_out,
                               struct weir_error *error);
enum weir_err rd_topic_grow(struct weir_kafka *kafka, const char *name, int32_t count,
                            int32_t timeout_ms, struct weir_error *error);
enum weir_err rd_delete_records(struct weir_kafka *kafka,
                                const struct weir_kafka_partition *partitions, uint32_t count,
                                int32_t timeout_ms, struct weir_error *error);
enum weir_err rd_topic_partitions(struct weir_kafka *kafka, const char *topic, int32_t timeout_ms,
                                  int32_t *partitions_out, struct weir_error *error);
enum weir_err rd_offsets(struct weir_kafka *kafka, const char *topic, int32_t partition,
                         int32_t timeout_ms, int64_t *first_out, int64_t *next_out,
                         struct weir_error *error);
enum weir_err rd_topics_list(struct weir_kafka *kafka, int32_t timeout_ms,
                             void (*each)(void *opaque, const char *name, int32_t partitions),
                             void *opaque, struct weir_error *error);
enum weir_err
rd_group_assignments(struct weir_kafka *kafka, const char *group_id, int32_t timeout_ms,
                     void (*each)(void *opaque, const struct weir_kafka_assignment *found),
                     void *opaque, struct weir_error *error);
/* The client for administration. */
enum weir_err rd_admin_get(struct weir_kafka *kafka, struct rd_client **admin_out,
                           struct weir_error *error);
/* What asks one question of the admin API, and what reads its answer. */
struct rd_question {
    rd_kafka_admin_op_t op;
    int32_t timeout_ms;
    bool brokers_wait; /* the brokers too take a time-out for it */
    const char *what;  /* "deleting topic t": begins a message */
    void (*ask)(void *opaque, rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options,
                rd_kafka_queue_t *queue);
    /* Not called when the question as a whole failed. */
    enum weir_err (*read)(void *opaque, struct rd_client *admin, rd_kafka_event_t *event,
                          struct weir_error *error);
    void *opaque;
};
enum weir_err rd_admin_ask(struct rd_client *admin, const struct rd_question *question,
                           struct weir_error *error);
/* Partitions of a topic, asked of the brokers by `client`; creates none. */
enum weir_err rd_ask_partitions(struct rd_client *client, const char *topic, int32_t timeout_ms,
                                int32_t *partitions_out, struct weir_error *error);
/* First and end offsets of all partitions in the list, into the elements' offset of `firsts` and
 * `ends` (copies of it made here, the caller's to destroy); an element has its own err. */
enum weir_err rd_ask_offsets(struct rd_client *client,
                             const rd_kafka_topic_partition_list_t *partitions, int32_t timeout_ms,
                             rd_kafka_topic_partition_list_t **firsts_out,
                             rd_kafka_topic_partition_list_t **ends_out, struct weir_error *error);

/* ---- rd_producer.c ---- */

enum weir_err rd_producer_new(struct weir_kafka *kafka,
                              const struct weir_kafka_producer_options *options,
                              struct weir_kafka_producer **producer_out, struct weir_error *error);
enum weir_err rd_produce(struct weir_kafka_producer *base, const struct weir_kafka_record *record,
                         struct weir_error *error);
enum weir_err rd_produce_rows(struct weir_kafka_producer *base, const char *topic,
                              int32_t partition, const struct weir_rows *rows, uint32_t first,
                              uint32_t end, void *opaque, uint32_t *accepted_out,
                              struct weir_error *error);
uint32_t rd_producer_poll(struct weir_kafka_producer *base, int32_t timeout_ms);
enum weir_err rd_producer_flush(struct weir_kafka_producer *base, int32_t timeout_ms);
uint64_t rd_producer_pending(const struct weir_kafka_producer *base);
void rd_producer_close(struct weir_kafka_producer *base);

/* ---- rd_transaction.c ---- */

enum weir_err rd_transactions_init(struct weir_kafka_producer *base, int32_t timeout_ms,
                                   struct weir_error *error);
enum weir_err rd_transaction_begin(struct weir_kafka_producer *base, struct weir_error *error);
enum weir_err rd_transaction_offsets(struct weir_kafka_producer *base,
                                     struct weir_kafka_consumer *of,
                                     struct weir_kafka_partition *partitions, uint32_t count,
                                     int32_t timeout_ms, struct weir_error *error);
enum weir_err rd_transaction_commit(struct weir_kafka_producer *base, int32_t timeout_ms,
                                    struct weir_error *error);
enum weir_err rd_transaction_abort(struct weir_kafka_producer *base, int32_t timeout_ms,
                                   struct weir_error *error);

/* ---- rd_signal.c: sleeping until a queue has something ---- */

struct rd_signal {
    int fd; /* eventfd */
    _Atomic bool raised, waiting;
};

WEIR_MUST_USE enum weir_err rd_signal_init(struct rd_signal *signal, struct weir_error *error);
void rd_signal_release(struct rd_signal *signal);
/* From any thread, also under librdkafka's locks. A write only when somebody sleeps. */
void rd_signal_raise(struct rd_signal *signal);
/* Sleeps until it was raised since the last wait, or for timeout_ms. True: raised. */
bool rd_signal_wait(struct rd_signal *signal, int64_t timeout_ms);

/* ---- rd_slot.c: one partition being read ---- */

struct rd_slot {
    struct rd_client *client;
    const struct rd_share *share; /* consumer: what it is read for */
    struct rd_signal *signal;
    rd_kafka_queue_t *queue; /* of this partition alone, not forwarded; NULL = not reading */
    char *topic;
    int32_t partition;
    _Atomic bool ready;       /* the queue may have something */
    bool told;                /* gained was called */
    bool at_end;              /* told by librdkafka after what was handed out last */
    bool reset;               /* the broker does not have our position any more */
    enum weir_err refused;    /* an error that the caller of poll has to know: DENIED */
    int64_t position;         /* next to hand out */
    int64_t end_seen;         /* by librdkafka behind what it gave us; -1 = not since it began */
    int64_t end;              /* table: as seen at open. consumer: when it was gained */
    struct weir_batch *carry; /* table: what was fetched past `end`, handed out next */
    uint32_t carry_first, carry_count;
    uint64_t taken_bytes, taken_rows; /* since the fetcher was last woken */
    uint64_t wake_bytes, wake_rows;   /* when to wake it */
};

WEIR_MUST_USE enum weir_err rd_slot_new(struct rd_client *client, struct rd_signal *signal,
                                        const char *topic, int32_t partition,
                                        struct rd_slot **slot_out);
void rd_slot_free(struct rd_slot *slot);
/* Gets the queue before the partition is assigned, so that nothing goes elsewhere. */
WEIR_MUST_USE enum weir_err rd_slot_begin(struct rd_slot *slot, int64_t position);
/* Stops listening to the queue, drops what is carried. */
void rd_slot_end(struct rd_slot *slot);
/* Takes up to count_max records. AGAIN: there are none now. A batch never spans `stop` (INT64_MAX =
 * none): the rest is carried. */
WEIR_MUST_USE enum weir_err rd_slot_take(struct rd_slot *slot, struct weir_batch_pool *pool,
                                         uint32_t count_max, int64_t stop,
                                         struct weir_kafka_batch *batch, struct weir_error *error);
/* For weir_batch_pool_init: gives the messages back. */
void rd_batch_dispose(struct weir_batch *batch);
/* Settings of the fetch queues for a budget among so many partitions, into text[2][32]. */
struct rd_fetch_texts {
    char kbytes[24], messages[24], partition_bytes[24], fetch_bytes[24];
    uint64_t wake_bytes, wake_rows;
};
void rd_fetch_budget(size_t queue_bytes, uint32_t partitions, struct rd_fetch_texts *out);

/* ---- rd_consumer.c (see also rd_member.h), rd_table.c ---- */

enum weir_err rd_consumer_new(struct weir_kafka *kafka,
                              const struct weir_kafka_consumer_options *options,
                              struct weir_kafka_consumer **consumer_out, struct weir_error *error);
enum weir_err rd_consumer_poll(struct weir_kafka_consumer *base, uint32_t count_max,
                               int32_t timeout_ms,
                               bool (*want)(void *opaque, int32_t partition_index),
                               void *want_opaque, struct weir_kafka_batch *batch,
                               struct weir_error *error);
enum weir_err rd_consumer_commit(struct weir_kafka_consumer *base,
                                 struct weir_kafka_partition *partitions, uint32_t count,
                                 int32_t timeout_ms, struct weir_error *error);
enum weir_err rd_consumer_rewind(struct weir_kafka_consumer *base, int32_t partition_index,
                                 int64_t offset, struct weir_error *error);
void rd_consumer_sources_changed(struct weir_kafka_consumer *base);
int64_t rd_consumer_lag(const struct weir_kafka_consumer *base, int32_t partition_index);
void rd_consumer_wake(struct weir_kafka_consumer *base);
void rd_consumer_close(struct weir_kafka_consumer *base, int32_t timeout_ms);

enum weir_err rd_table_open(struct weir_kafka *kafka,
                            const struct weir_kafka_table_options *options,
                            struct weir_kafka_table **table_out, struct weir_error *error);
enum weir_err rd_table_poll(struct weir_kafka_table *base, uint32_t count_max, int32_t timeout_ms,
                            struct weir_kafka_batch *batch, struct weir_error *error);
int32_t rd_table_partitions(const struct weir_kafka_table *base);
int64_t rd_table_end(const struct weir_kafka_table *base, int32_t partition);
void rd_table_wake(struct weir_kafka_table *base);
void rd_table_close(struct weir_kafka_table *base);

#endif
