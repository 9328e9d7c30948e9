/*
 * weir/broker.h - a single-node broker that speaks the Kafka protocol, with a durable log on disk.
 *
 * What:    any Kafka client can create topics, produce (in transactions, too), fetch and use
 *          consumer groups. Data lie in Kafka's own file layout below one directory and outlive
 *          restarts and kill -9.
 * Life:    weir_broker_start -> (clients) -> weir_broker_stop. Several brokers may live in one
 *          process, each with its own directory and port.
 * Threads: one thread a broker does everything, beside one for each pass of compaction, one at a
 *          time; these functions may be called from any thread, but stop only once.
 * Memory:  buffers of connections stay below memory_bytes, but for 128 KiB a connection and one
 *          request of request_bytes_max; beside them some KiB a partition, member and offset. An
 *          idle connection takes less than 1 KiB, with TLS about 16.
 * Errors:  start: IN_USE (port, or directory of a running broker), DENIED (directory, or a bind
 *          outside the loopback without `insecure`), OTHER_VERSION (directory written by a newer
 *          version), IO, INVALID, NOMEM. Each message says what to do.
 * Security: PLAINTEXT lets everybody in who reaches the port, so it binds the loopback only. From
 *          elsewhere it takes TLS and authentication: SASL_SSL with users, or SSL with client_auth
 *          REQUIRED. There are no permissions below that: who is in may do everything.
 */
#ifndef WEIR_BROKER_H
#define WEIR_BROKER_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_broker;

/* When records are forced to the disk. */
enum weir_broker_flush {
    WEIR_BROKER_FLUSH_NONE,     /* left to the system, and once a minute */
    WEIR_BROKER_FLUSH_INTERVAL, /* every second */
    WEIR_BROKER_FLUSH_EVERY,    /* before it is acknowledged or can be read; requests that come
                                   meanwhile share the next sync */
};

/* Whether clients have to show a certificate. */
enum weir_broker_client_auth {
    WEIR_BROKER_CLIENT_AUTH_NONE,
    WEIR_BROKER_CLIENT_AUTH_REQUESTED,
    WEIR_BROKER_CLIENT_AUTH_REQUIRED,
};

/* TLS of the listeners that begin with SSL or SASL_SSL; files in PEM form, read at start. */
struct weir_broker_tls {
    const char *certificate_path; /* ssl.keystore.location: certificate, those above it, key */
    const char *key_path;         /* where the key is not in the same file */
    const char *key_password;     /* ssl.key.password, of an encrypted key */
    const char *trust_path;       /* ssl.truststore.location: who certifies clients */
    enum weir_broker_client_auth client_auth; /* ssl.client.auth [none] */
};

/* Kafka's names in brackets where it has one. */
struct weir_broker_options {
    /* listeners: "host:port" or "PROTOCOL://host:port" with PLAINTEXT, SSL, SASL_PLAINTEXT or
     * SASL_SSL, several with commas between, no protocol twice; port 0 = any [127.0.0.1:9092] */
    const char *listen;
    const char *advertised; /* advertised.listeners, likewise [the address a client came in by] */
    const char *data_dir;   /* log.dirs; created if it is missing */
    /* > 0: without data_dir; all is kept in memory, up to so many bytes, and gone at the end. A
     * full memory refuses records as a full disk does: see retention_bytes [0] */
    size_t in_memory_bytes;
    struct weir_broker_tls tls;
    const char *users_path;      /* who may come in by SASL: made by `weir users` */
    const char *sasl_mechanisms; /* sasl.enabled.mechanisms [PLAIN,SCRAM-SHA-256,SCRAM-SHA-512] */
    bool insecure; /* listens outside the loopback without TLS and authentication, and takes PLAIN
                      without TLS */
    bool auto_create_topics;   /* auto.create.topics.enable [true] */
    int32_t partitions;        /* num.partitions [1] */
    int64_t retention_ms;      /* log.retention.ms [7 days]; -1 = for ever */
    int64_t retention_bytes;   /* log.retention.bytes [-1] */
    int64_t segment_bytes;     /* log.segment.bytes [1 GiB] */
    int32_t message_bytes_max; /* message.max.bytes [1048588] */
    enum weir_broker_flush flush;
    bool cleaner_enable;        /* log.cleaner.enable [true]: cleanup.policy=compact acts */
    int64_t cleaner_backoff_ms; /* log.cleaner.backoff.ms [15 s], when nothing is dirty */
    size_t cleaner_map_bytes;   /* log.cleaner.dedupe.buffer.size [16 MiB], while it runs */
    int64_t cleaner_delete_retention_ms; /* log.cleaner.delete.retention.ms [1 day] */
    int64_t cleaner_lag_ms_min;          /* log.cleaner.min.compaction.lag.ms [0] */
    int64_t cleaner_lag_ms_max;          /* log.cleaner.max.compaction.lag.ms [INT64_MAX = none] */
    double cleaner_dirty_ratio_min;      /* log.cleaner.min.cleanable.ratio [0.5] */
    int32_t group_initial_rebalance_delay_ms; /* group.initial.rebalance.delay.ms [0] */
    int32_t group_session_timeout_ms_min;     /* group.min.session.timeout.ms [6000] */
    int32_t group_session_timeout_ms_max;     /* group.max.session.timeout.ms [30 minutes] */
    int64_t offsets_retention_ms;             /* offsets.retention.minutes, here in ms [7 days] */
    int32_t transaction_timeout_ms_max;       /* transaction.max.timeout.ms [15 minutes] */
    int64_t transactional_id_expiration_ms;   /* transactional.id.expiration.ms [7 days] */
    int64_t producer_id_expiration_ms;        /* producer.id.expiration.ms [1 day] */
    uint32_t connections_max;                 /* max.connections [10000] */
    int64_t connections_max_idle_ms;          /* connections.max.idle.ms [10 minutes] */
    size_t request_bytes_max;                 /* socket.request.max.bytes [100 MiB] */
    size_t memory_bytes; /* requests and answers of all connections [512 MiB] */
    struct weir_log log;
};

/* Fills in what [brackets] say; begin with it. */
void weir_broker_options_default(struct weir_broker_options *options);

/* Recovers the directory, listens, starts the thread. Options are copied. */
WEIR_MUST_USE enum weir_err weir_broker_start(const struct weir_broker_options *options,
                                              struct weir_broker **broker_out,
                                              struct weir_error *error);
/* Closes the connections, flushes, writes checkpoints; gives the first failure. NULL is allowed. */
enum weir_err weir_broker_stop(struct weir_broker *broker, struct weir_error *error);

/* What clients give as bootstrap.servers: "127.0.0.1:9092". Borrowed until stop. */
const char *weir_broker_address(const struct weir_broker *broker);
/* The same of the listener with this protocol ("SASL_SSL"); NULL: there is none. The one above is
 * the first that was given. */
const char *weir_broker_address_of(const struct weir_broker *broker, const char *protocol);

enum { WEIR_BROKER_API_KEYS = 67 };

/* A moment's figures; counters since start. */
struct weir_broker_stats {
    uint64_t requests, requests_failed, batches_appended, bytes_in, bytes_out;
    uint64_t connections_opened;
    uint64_t connections_expired; /* closed because they were idle, or took too long to come in */
    uint64_t tls_handshake_failures, authentications, authentication_failures;
    uint64_t syncs, syncs_failed; /* of partition logs, in the background */
    uint64_t cleaner_passes, cleaner_bytes_read, cleaner_bytes_written;
    uint64_t cleaner_last_ms;           /* wall clock of the last pass; 0 = none */
    uint32_t cleaner_dirty_percent_max; /* of the compacted partitions, the dirtiest */
    uint32_t cleaner_uncleanable;       /* partitions that are left alone after a failure */
    uint32_t connections, topics, partitions, groups, fetches_parked;
    uint64_t requests_by_api[WEIR_BROKER_API_KEYS]; /* by the protocol's key */
};
void weir_broker_stats(const struct weir_broker *broker, struct weir_broker_stats *out);
/* "Produce", "Fetch" ...; NULL if there is no such request here. Static. */
const char *weir_broker_api_name(int key);

#ifdef __cplusplus
}
#endif
#endif
