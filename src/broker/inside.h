/*
 * broker/inside.h - the broker's own structures, shared by its files.
 *
 *      struct weir_broker
 *        topics    name -> topic -> partition[] -> partition log; fetches that wait for it
 *        groups    id -> group -> members, committed offsets
 *        transactions  transactional id -> producer id and epoch, partitions, pending offsets
 *        journal   committed offsets, producer ids and transactions on disk
 *        connections: one request at a time each, as Kafka does; answers in order
 *
 *        listeners an address each, with its own security
 *
 * A connection is, by what it waits for:
 *      HANDSHAKE TLS, which comes before everything else
 *      READING   more bytes, or the client to take its answers, or memory
 *      PARKED    something of the broker: records (a fetch), other members (join, sync), the disk
 *                (produce, with flush = every)
 *      CLOSING   nothing; it is freed at the end of the loop's round
 *
 * Everything here belongs to the loop's thread, but for the counters in `stats`, the lists of
 * `syncs`, and what a pass of compaction has of its own until it is done.
 */
#ifndef BROKER_INSIDE_H
#define BROKER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include <weir/broker.h>

#include "base/disk.h"
#include "base/disk_memory.h"
#include "base/map.h"
#include "base/net.h"
#include "broker/tls.h"
#include "broker/users.h"
#include "loop/loop.h"
#include "plog/cleaner.h"
#include "wire/api.h"

enum {
    BROKER_ID = 1,
    LEADER_EPOCH = 0,
    TOPIC_NAME_BYTES_MAX = 249,
    GROUP_ID_BYTES_MAX = 1024,
    TOPICS_MAX = 100000,
    PARTITIONS_MAX = 100000, /* of a broker */
    GROUPS_MAX = 100000,
    MEMBERS_MAX = 10000, /* of a group */
};

/* ---- listeners (listeners.c) ----------------------------------------------------------------- */

/* Kafka's security protocols; a listener has one, no two the same. */
enum security {
    SECURITY_PLAINTEXT,
    SECURITY_SSL,
    SECURITY_SASL_PLAINTEXT,
    SECURITY_SASL_SSL,
    SECURITIES
};

static inline bool security_has_tls(enum security security)
{
    return security == SECURITY_SSL || security == SECURITY_SASL_SSL;
}

static inline bool security_has_sasl(enum security security)
{
    return security == SECURITY_SASL_PLAINTEXT || security == SECURITY_SASL_SSL;
}

struct listener {
    struct weir_broker *broker;
    enum security security;
    struct weir_endpoint endpoint;   /* the port is the real one once it listens */
    struct weir_endpoint advertised; /* no host = where a client came in */
    char address[WEIR_NET_TEXT_MAX];
    int fd;
    struct weir_loop_fd handle;
    bool open;
    struct weir_loop_timer again; /* accepts again when there are descriptors */
};

/* Reads the options and refuses what would let everybody in. */
enum weir_err broker_listeners_parse(struct weir_broker *broker, struct weir_error *error);
enum weir_err broker_listeners_open(struct weir_broker *broker, struct weir_error *error);
void broker_listeners_close(struct weir_broker *broker);
/* "SASL_SSL". Static. */
const char *broker_security_name(enum security security);

/* ---- connections (connection.c) -------------------------------------------------------------- */

enum connection_state {
    CONNECTION_HANDSHAKE,
    CONNECTION_READING,
    CONNECTION_PARKED,
    CONNECTION_CLOSING
};

struct fetch; /* handle_fetch.c */
struct held;  /* syncs.c */
struct sasl;  /* sasl.c */
struct member;

struct connection {
    struct weir_broker *broker;
    const struct listener *listener;
    struct weir_loop_fd handle;
    int fd;
    struct tls *tls;   /* NULL: none */
    struct sasl *sasl; /* until its user is known; NULL: nobody asks, or it is */
    enum connection_state state;
    int64_t opened_ns, active_ns; /* active: when bytes last came or went */
    struct weir_buffer in, out;
    size_t in_used;                /* bytes of `in` that were handled */
    size_t out_sent;               /* bytes of `out` that were sent */
    size_t counted;                /* of both buffers, in the broker's memory_used */
    struct wire_request_head head; /* of the request in hand, kept while it is parked */
    size_t answer_place;           /* where the answer in hand began */
    struct fetch *fetch;           /* PARKED on records */
    struct member *member;         /* PARKED on a group */
    struct held *held;             /* PARKED on the disk */
    bool dirty;                    /* on the list of those to be looked after */
    bool busy;                     /* since the last trim */
    bool stalled;                  /* not read for want of memory */
    bool last;                     /* closed when its answers are sent */
    struct connection *next_dirty;
    struct connection *previous, *next;
    char peer[WEIR_NET_TEXT_MAX];
};

/* The isolation level of a request, else 0. */
enum { READ_COMMITTED = 1 };

/* What a handler did with its request. */
enum handled {
    HANDLED_ANSWER, /* the answer stands in the writer */
    HANDLED_SILENT, /* no answer is due (produce with acks=0) */
    HANDLED_PARKED, /* broker_connection_park was called; the answer comes later */
    HANDLED_CLOSE,  /* malformed beyond an answer */
};

/* A request under way. */
struct request {
    struct weir_broker *broker;
    struct connection *connection;
    struct wire_request_head head;
    struct wire_reader in;
    struct wire_writer out; /* behind the answer's head */
};

enum {
    CONNECTION_READ_BYTES = 64 << 10, /* at once; so many in `out` are waited for, too */
};

enum weir_err broker_connections_open(struct weir_broker *broker);
/* Takes the socket of a new connection. */
void broker_connection_adopt(const struct listener *listener, int fd,
                             const struct weir_address *peer);
void broker_connections_close(struct weir_broker *broker);
/* The answer to the parked request stands in `out`. */
void broker_connection_answered(struct connection *connection);
/* Sends what is due and handles what has come on connections that were answered meanwhile. */
void broker_connections_settle(struct weir_broker *broker);
void broker_connection_close(struct connection *connection);
/* Frees the buffers of connections that were idle since the last call; closes those that are idle
 * or not authenticated for too long. */
void broker_connections_trim(struct weir_broker *broker);

/* ---- requests (requests.c) ------------------------------------------------------------------- */

enum { REQUEST_SIZE_BYTES = 4 }; /* in front of each request and answer */

/* Handles those that are whole, as long as the client takes the answers. */
void broker_requests_handle(struct connection *connection);
/* Is a whole one there? */
bool broker_requests_pending(const struct connection *connection);
/* What the size in front of the next request says; its four bytes are there. */
uint32_t broker_request_size(const struct connection *connection);
/* The request in hand waits: what stands of its answer is taken back. From here on it may be
 * answered, even before its handler returns HANDLED_PARKED. */
void broker_connection_park(struct connection *connection);
/* The answer to a parked request. */
struct wire_writer broker_answer_begin(struct connection *connection);
void broker_answer_end(struct connection *connection, const struct wire_writer *writer);

/* ---- authentication (sasl.c) ----------------------------------------------------------------- */

enum { SASL_REQUEST_BYTES_MAX = 64 << 10 }; /* a request of somebody unknown */

/* Reads sasl.enabled.mechanisms and the users. */
enum weir_err broker_sasl_open(struct weir_broker *broker, struct weir_error *error);
void broker_sasl_close(struct weir_broker *broker);
/* Reads the file of users again if it has changed. */
void broker_users_maintain(struct weir_broker *broker);
/* A connection to a listener that asks who it is. */
enum weir_err broker_sasl_new(struct connection *connection);
void broker_sasl_free(struct connection *connection);
/* May somebody unknown send this? */
bool broker_sasl_admits(const struct connection *connection, const struct wire_request_head *head);
/* Are the next bytes a token without a head (after SaslHandshake version 0)? */
bool broker_sasl_is_raw(const struct connection *connection);
enum handled broker_sasl_take_raw(struct connection *connection, struct weir_slice token);
enum handled broker_handle_sasl_handshake(struct request *request);
enum handled broker_handle_sasl_authenticate(struct request *request);

/* ---- topics (topics.c) ----------------------------------------------------------------------- */

struct partition {
    struct topic *topic;
    int32_t index;
    struct weir_plog *log;
    struct log_sync *sync;    /* syncs.c */
    struct fetch_wait *waits; /* fetches that wait for records here */
    int64_t offset_clean;     /* below it the log was compacted; -1 = nothing of it */
    bool uncleanable;         /* a pass has failed: not again before the next start */
};

struct topic {
    char *name;
    struct wire_uuid id; /* random; a topic made again under the same name has another one */
    struct partition *partitions;
    int32_t partition_count;
    struct weir_map configs; /* name -> text, those that were set */
};

/* Opens the directory: lock, version, catalogue, logs. */
enum weir_err broker_topics_open(struct weir_broker *broker, struct weir_error *error);
/* Flushes, checkpoints, closes; gives the first failure. */
enum weir_err broker_topics_close(struct weir_broker *broker, struct weir_error *error);
struct topic *broker_topic_find(const struct weir_broker *broker, struct weir_slice name);
struct topic *broker_topic_find_id(const struct weir_broker *broker, struct wire_uuid id);
/* NULL: no such topic or partition. */
struct partition *broker_partition_find(const struct weir_broker *broker, struct weir_slice topic,
                                        int32_t index);
bool broker_topic_name_valid(struct weir_slice name);
/* configs: pairs of slices, config_count of them. Errors: EXISTS, INVALID, LIMIT, IO. */
struct config_pair {
    struct weir_slice name, value; /* value null = back to the default */
};
enum weir_err broker_topic_create(struct weir_broker *broker, struct weir_slice name,
                                  int32_t partitions, const struct config_pair *configs,
                                  uint32_t config_count, struct topic **out,
                                  struct weir_error *error);
enum weir_err broker_topic_grow(struct weir_broker *broker, struct topic *topic, int32_t partitions,
                                struct weir_error *error);
enum weir_err broker_topic_delete(struct weir_broker *broker, struct topic *topic,
                                  struct weir_error *error);
/* Sets or takes back settings; all or none. */
enum weir_err broker_topic_configure(struct weir_broker *broker, struct topic *topic,
                                     const struct config_pair *configs, uint32_t config_count,
                                     struct weir_error *error);
/* Retention and rolling of all logs, and checkpoints; called every few seconds. */
void broker_topics_maintain(struct weir_broker *broker);
/* Syncs what is not on the disk yet, soon. */
void broker_topics_sync(struct weir_broker *broker);
struct partition *broker_partition_next(const struct weir_broker *broker,
                                        const struct partition *previous);

/* ---- the directory (data_directory.c) -------------------------------------------------------- */

enum { PATH_BYTES_MAX = 4096 };

void broker_path(const struct weir_broker *broker, const char *name, char path[PATH_BYTES_MAX]);
/* Takes hold of it: locked, of this format or made now, and not cleanly stopped any more. */
enum weir_err broker_directory_open(struct weir_broker *broker, struct weir_error *error);
/* Lets go of it; clean: all is closed and on the disk. */
enum weir_err broker_directory_close(struct weir_broker *broker, bool clean,
                                     struct weir_error *error);
/*
 * Removes folders of partitions that the catalogue does not name: a creation that never came to its
 * end, or a deletion that did not come to its end before a crash. They go, lest a new topic of the
 * same name finds old records. But when there is no catalogue at all, it was lost: CORRUPT, and
 * nothing is touched.
 */
enum weir_err broker_directory_sweep(struct weir_broker *broker, bool has_catalogue,
                                     struct weir_error *error);

/* ---- checkpoints (checkpoints.c) ------------------------------------------------------------- */

/* Reads what the last run wrote, for broker_checkpoint_find until broker_checkpoints_forget. */
void broker_checkpoints_read(struct weir_broker *broker);
void broker_checkpoints_forget(struct weir_broker *broker);
/* -1: it says nothing of this partition. */
struct weir_plog_recovery broker_checkpoint_find(const struct weir_broker *broker,
                                                 const char *topic, int32_t index);
int64_t broker_checkpoint_find_clean(const struct weir_broker *broker, const char *topic,
                                     int32_t index);
/* Writes the first offsets: before their move is told to anybody. Failures are logged, too. */
enum weir_err broker_checkpoint_starts(struct weir_broker *broker, struct weir_error *error);
/* Writes the recovery points: all below them was synced. */
void broker_checkpoint_recovery(struct weir_broker *broker);
/* Writes what is compacted. */
void broker_checkpoint_clean(struct weir_broker *broker);

/* ---- syncs (syncs.c) ------------------------------------------------------------------------- */

struct broker_syncs {
    pthread_t thread;
    pthread_mutex_t mutex; /* of the lists */
    pthread_cond_t work, idle;
    struct log_sync *asked, *done;
    bool has_thread, is_busy, stopping, is_open;
    struct weir_loop_wakeup wakeup; /* something is done */
    struct held *held;              /* answers that wait */
};

/* Before the logs are opened; the thread comes later, or never: then the loop syncs. */
void broker_syncs_open(struct weir_broker *broker);
enum weir_err broker_syncs_start(struct weir_broker *broker);
/* When no connection is left, before the logs are closed. */
void broker_syncs_stop(struct weir_broker *broker);
/* A partition's log was opened; will be closed; the partition itself has moved in memory. */
enum weir_err broker_sync_add(struct partition *partition);
void broker_sync_remove(struct weir_broker *broker, struct partition *partition);
void broker_sync_moved(struct partition *partition);
/* Records came to a partition: who waits for them is woken, now or when they are synced. */
void broker_appended(struct weir_broker *broker, struct partition *partition, size_t bytes);
void broker_sync_if_needed(struct weir_broker *broker, struct partition *partition);
/* Behind the last record that may be read: the high watermark; committed: the last stable offset.
 * With flush = every nothing is shown that the power could still take back. */
int64_t broker_partition_end(const struct weir_broker *broker, const struct partition *partition,
                             bool committed);
/* Begins, or goes on with, an answer that waits until a log is synced up to offset_end; place: of
 * the partition's error in the writer's buffer. False: no memory. */
bool broker_held_add(struct held **held, const struct partition *partition, int64_t offset_end,
                     size_t place);
void broker_held_drop(struct held *held); /* NULL is allowed */
/* Takes it, and what stands in the answer from `body` on. */
enum handled broker_held_park(struct held *held, struct request *request, size_t body);
void broker_held_cancel(struct connection *connection);
size_t broker_held_bytes(const struct connection *connection);

/* ---- compaction (cleaner.c) ------------------------------------------------------------------ */

/* The one pass at a time; a thread of its own runs it. */
struct broker_cleaner {
    struct weir_plog_cleaning *cleaning; /* NULL: none */
    struct topic *topic;                 /* whose partition */
    int32_t index;
    pthread_t thread;
    atomic_bool done; /* by the thread, behind what stands below */
    struct weir_plog_cleaned cleaned;
    enum weir_err err;
    struct weir_error error;
    int64_t look_ms; /* when to look for something dirty again; monotonic clock */
};

/* Takes in a pass that is done, and begins one over the dirtiest partition. */
void broker_cleaner_maintain(struct weir_broker *broker);
/* Ends the pass, if there is one over a partition of this topic (NULL = any), and waits for it: as
 * long as a batch and a write of the disk take. */
void broker_cleaner_leave(struct weir_broker *broker, const struct topic *topic);

/* ---- record keys (record_keys.c) ------------------------------------------------------------- */

enum { RECORD_ERRORS_MAX = 100 }; /* told one by one */

/* Which records of a produce request are refused. */
struct record_errors {
    int32_t indexes[RECORD_ERRORS_MAX]; /* among those of the partition */
    int32_t told, count;
};

/* May these records go to a compacted topic? Each has to have a key. Batches that are damaged are
 * left for the log to refuse. */
enum wire_error broker_check_keys(struct weir_slice records, struct record_errors *bad,
                                  struct weir_error *error);

/* ---- topic ids (topic_id.c) ------------------------------------------------------------------ */

enum { TOPIC_ID_TEXT_BYTES = 23 }; /* with its NUL */

/* A random one (UUID version 4) that Kafka's own clients can take. */
struct wire_uuid broker_topic_id_new(void);
/* As Kafka writes it: base64url without padding. */
void broker_topic_id_format(struct wire_uuid id, char text[TOPIC_ID_TEXT_BYTES]);
/* False: not the text of an id. */
bool broker_topic_id_parse(const char *text, struct wire_uuid *out);
bool broker_topic_id_is_none(struct wire_uuid id);

/* ---- topic settings (topic_config.c) --------------------------------------------------------- */

struct topic_config {
    const char *name;
    const char *default_text; /* Kafka's, unless an option of the broker decides */
};
extern const struct topic_config broker_topic_configs[];
extern const size_t broker_topic_config_count;
/* NULL: there is no such setting. */
const struct topic_config *broker_topic_config_find(struct weir_slice name);
/* INVALID with what is wrong and, for an unknown name, the nearest. */
enum weir_err broker_topic_config_check(struct weir_slice name, struct weir_slice value,
                                        struct weir_error *error);
/* Where a value comes from; the numbers are the protocol's. */
enum config_source { CONFIG_OF_TOPIC = 1, CONFIG_OF_BROKER = 4, CONFIG_DEFAULT = 5 };
enum { CONFIG_TEXT_MAX = 128 };
/* The value in force as text; topic NULL: what one has that sets nothing. */
enum config_source broker_topic_config_text(const struct weir_broker *broker,
                                            const struct topic *topic,
                                            const struct topic_config *config,
                                            char text[CONFIG_TEXT_MAX]);
void broker_topic_log_options(const struct weir_broker *broker, const struct topic *topic,
                              struct weir_plog_options *options);
bool broker_topic_compacts(const struct topic *topic);
bool broker_topic_deletes(const struct topic *topic);
/* How one that compacts is cleaned, and when. */
struct topic_cleaning {
    int64_t delete_retention_ms, lag_ms_min, lag_ms_max;
    double dirty_ratio_min;
};
void broker_topic_cleaning(const struct weir_broker *broker, const struct topic *topic,
                           struct topic_cleaning *out);

/* ---- journal (journal.c) --------------------------------------------------------------------- */

/* A committed offset. */
struct committed {
    int64_t offset, timestamp_ms;
    int32_t leader_epoch;
    char *metadata; /* "" if none */
};

enum journal_kind {
    JOURNAL_COMMIT = 1,
    JOURNAL_FORGET = 2,
    JOURNAL_PRODUCER_ID = 3,
    JOURNAL_FORGET_TOPIC = 4,
    JOURNAL_FORGET_OFFSET = 5,
    JOURNAL_TRANSACTION = 6,
    JOURNAL_TRANSACTION_ADDED = 7,
    JOURNAL_TRANSACTION_OFFSET = 8,
    JOURNAL_FORGET_TRANSACTION = 9,
};

struct journal {
    char *path;
    int fd;
    int64_t bytes;
    int64_t live_bytes;                          /* of the last rewrite */
    int64_t producer_id_next, producer_id_limit; /* limit: reserved on disk */
};

enum weir_err broker_journal_open(struct weir_broker *broker, struct weir_error *error);
enum weir_err broker_journal_close(struct weir_broker *broker, struct weir_error *error);
/* Writes a committed offset behind the others; a null metadata is "". */
enum weir_err broker_journal_commit(struct weir_broker *broker, struct weir_slice group,
                                    struct weir_slice topic, int32_t partition,
                                    const struct committed *committed, struct weir_error *error);
enum weir_err broker_journal_forget_group(struct weir_broker *broker, struct weir_slice group,
                                          struct weir_error *error);
enum weir_err broker_journal_forget_offset(struct weir_broker *broker, struct weir_slice group,
                                           struct weir_slice topic, int32_t partition,
                                           struct weir_error *error);
enum weir_err broker_journal_forget_topic(struct weir_broker *broker, struct weir_slice topic,
                                          struct weir_error *error);
/* A producer id that was never given out before. */
enum weir_err broker_journal_producer_id(struct weir_broker *broker, int64_t *out,
                                         struct weir_error *error);
/* Begins a frame; frame_end fills in its length and checksum. */
size_t broker_journal_frame_begin(struct wire_writer *writer);
void broker_journal_frame_end(struct wire_writer *writer, size_t place);
/* Writes whole frames behind the others; all or none. */
enum weir_err broker_journal_append(struct weir_broker *broker, const struct wire_writer *writer,
                                    struct weir_error *error);
/* Frames of transactions (journal_transactions.c). */
enum weir_err broker_journal_put_transactions(struct weir_broker *broker,
                                              struct wire_writer *writer);
enum weir_err broker_journal_take_transaction(struct weir_broker *broker, enum journal_kind kind,
                                              struct wire_reader *reader);

/* ---- transactions (transactions.c); see transactions.h --------------------------------------- */

/* Completes what was prepared, and aborts in the logs what the journal does not know. */
void broker_transactions_resume(struct weir_broker *broker);
/* Time-outs, what has to be tried again, ids that nobody uses. */
void broker_transactions_maintain(struct weir_broker *broker);
void broker_transactions_close(struct weir_broker *broker);
/* Does an open transaction hold an offset for it? */
bool broker_transactions_unstable(const struct weir_broker *broker, struct weir_slice group,
                                  struct weir_slice topic, int32_t partition);
/* A plain commit has come after those. */
void broker_transactions_supersede(struct weir_broker *broker, struct weir_slice group,
                                   struct weir_slice topic, int32_t partition);
/* May these records be taken? Yes, if they are of no transaction. */
enum wire_error broker_transactions_may_produce(struct weir_broker *broker, struct weir_slice id,
                                                struct weir_slice records, struct weir_slice topic,
                                                int32_t partition);

/* ---- groups (group.c, group_rebalance.c) ----------------------------------------------------- */

/* Kafka's names; see group.h for what each waits for. */
struct group;
/* Removes offsets that nobody uses, and groups that have neither members nor offsets: every ten
 * minutes, as Kafka does; called now and then. */
void broker_groups_maintain(struct weir_broker *broker);
/* Removes a committed offset from memory; fine if there is none. */
void broker_group_drop_offset(struct group *group, struct weir_slice topic, int32_t partition);
/* Removes a committed offset, here and in the journal; NOT_FOUND: there is none. */
enum weir_err broker_group_forget_offset(struct group *group, struct weir_slice topic,
                                         int32_t partition, struct weir_error *error);
/* Forgets what was committed for a topic. */
void broker_groups_forget_topic(struct weir_broker *broker, struct weir_slice topic);
void broker_groups_close(struct weir_broker *broker);
/* The committed offset of a partition, or NULL. */
struct committed *broker_group_committed(const struct group *group, struct weir_slice topic,
                                         int32_t partition);
/* Calls `each` for every committed offset. */
void broker_group_each_committed(const struct group *group,
                                 void (*each)(void *opaque, struct weir_slice topic,
                                              int32_t partition, const struct committed *committed),
                                 void *opaque);
/* Removes a group without members, with its offsets; fine if there is none. */
void broker_group_forget(struct weir_broker *broker, struct weir_slice id);
struct group *broker_group_find(const struct weir_broker *broker, struct weir_slice id);
struct group *broker_group_find_or_make(struct weir_broker *broker, struct weir_slice id);
enum weir_err broker_group_store(struct group *group, struct weir_slice topic, int32_t partition,
                                 const struct committed *committed);
void broker_group_connection_gone(struct connection *connection);

/* ---- handlers -------------------------------------------------------------------------------- */

enum handled broker_handle_produce(struct request *request);
enum handled broker_handle_fetch(struct request *request);
enum handled broker_handle_list_offsets(struct request *request);
enum handled broker_handle_delete_records(struct request *request);
enum handled broker_handle_init_producer_id(struct request *request);
enum handled broker_handle_offset_for_leader_epoch(struct request *request);
enum handled broker_handle_api_versions(struct request *request);
enum handled broker_handle_metadata(struct request *request);
enum handled broker_handle_describe_cluster(struct request *request);
enum handled broker_handle_describe_log_dirs(struct request *request);
enum handled broker_handle_create_topics(struct request *request);
enum handled broker_handle_delete_topics(struct request *request);
enum handled broker_handle_create_partitions(struct request *request);
enum handled broker_handle_describe_configs(struct request *request);
enum handled broker_handle_alter_configs(struct request *request);
enum handled broker_handle_find_coordinator(struct request *request);
enum handled broker_handle_join_group(struct request *request);
enum handled broker_handle_sync_group(struct request *request);
enum handled broker_handle_heartbeat(struct request *request);
enum handled broker_handle_leave_group(struct request *request);
enum handled broker_handle_offset_commit(struct request *request);
enum handled broker_handle_offset_fetch(struct request *request);
enum handled broker_handle_offset_delete(struct request *request);
enum handled broker_handle_add_partitions_to_txn(struct request *request);
enum handled broker_handle_add_offsets_to_txn(struct request *request);
enum handled broker_handle_txn_offset_commit(struct request *request);
enum handled broker_handle_end_txn(struct request *request);
enum handled broker_handle_write_txn_markers(struct request *request);
enum handled broker_handle_describe_producers(struct request *request);
enum handled broker_handle_describe_transactions(struct request *request);
enum handled broker_handle_list_transactions(struct request *request);
enum handled broker_handle_list_groups(struct request *request);
enum handled broker_handle_describe_groups(struct request *request);
enum handled broker_handle_delete_groups(struct request *request);

/* So many bytes came to a partition, or its last stable offset moved: fetches that wait there and
 * now have enough are answered. */
void broker_fetches_wake(struct partition *partition, size_t bytes);
/* The partition goes or moves: all that wait there are answered. */
void broker_fetches_release(struct partition *partition);
/* The connection goes. */
void broker_fetch_cancel(struct connection *connection);

/* ---- the broker (broker.c) ------------------------------------------------------------------- */

/* weir_broker_start and _stop without a thread of their own: whoever opens runs broker->loop. disk
 * and clock are shared. */
enum weir_err broker_open(const struct weir_broker_options *options, const struct weir_disk *disk,
                          const struct weir_clock *clock, struct weir_broker **out,
                          struct weir_error *error);
enum weir_err broker_close(struct weir_broker *broker, struct weir_error *error);

struct broker_counters {
    atomic_uint_least64_t requests, requests_failed, batches_appended, bytes_in, bytes_out,
        connections_opened, connections_expired, tls_handshake_failures, authentications,
        authentication_failures, syncs, syncs_failed, cleaner_passes, cleaner_bytes_read,
        cleaner_bytes_written, cleaner_last_ms;
    atomic_uint_least32_t cleaner_dirty_percent_max, cleaner_uncleanable;
    atomic_uint_least32_t connections, topics, partitions, groups, fetches_parked;
    atomic_uint_least64_t by_api[WEIR_BROKER_API_KEYS];
};

struct weir_broker {
    struct weir_broker_options options;
    char *data_dir;
    struct listener listeners[SECURITIES];
    uint32_t listener_count;
    struct tls_context *tls; /* NULL: no listener has it */
    char *users_path;        /* NULL: no listener asks for users */
    struct users *users;
    int64_t users_stamp_ns;   /* of the file that was read */
    unsigned sasl_mechanisms; /* a bit each, see sasl.c */
    int64_t slow_check_ns;    /* when the next password may be derived */
    uint8_t *scratch;         /* what comes in is read here first */
    char cluster_id[24];
    const struct weir_disk *disk;
    struct weir_disk_memory *memory; /* the disk, where it is in memory */
    const struct weir_clock *clock;
    struct weir_loop *loop;
    pthread_t thread;
    struct weir_loop_timer maintenance;
    uint32_t maintenance_round;
    int lock_fd;
    int64_t offsets_checked_ms;     /* for expiry; monotonic clock */
    struct connection *connections; /* a list */
    struct connection *dirty;       /* a list */
    size_t memory_used;             /* of the connections' buffers */
    struct connection *favoured;    /* is read when memory is used up */
    int32_t stalled_count;
    struct weir_map topics, groups; /* name -> struct topic *, struct group * */
    struct weir_map topic_ids;      /* id -> struct topic * */
    struct weir_map transactions;   /* transactional id -> struct transaction * */
    uint32_t transaction_offsets;   /* that wait in all of them */
    int32_t partition_count;
    bool has_recovery_points; /* there was such a checkpoint */
    bool was_clean;           /* the last stop was orderly */
    bool directory_ready;     /* it is ours, and all of it was read */
    bool cleaned_any;         /* there is, or has to be, a checkpoint of what is compacted */
    struct weir_map starts, recovery_points, clean; /* "<topic>-<n>" -> offset, of checkpoints */
    struct broker_syncs syncs;
    struct broker_cleaner cleaner;
    struct journal journal;
    struct broker_counters stats;
};

/* The part of an answer that says where clients reach us: what is advertised or, if nothing is, the
 * address at which this client has reached us. */
void broker_put_address(struct request *request);
enum wire_error broker_wire_error_of(enum weir_err err);
/* Is this the epoch of our leaders, where a client names one (-1 = it does not)? */
enum wire_error broker_check_leader_epoch(int32_t epoch);

#endif
