/* broker/broker.c - the life of a broker, see weir/broker.h. */
#include <weir/broker.h>

#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "broker/transactions.h"

enum {
    MAINTAIN_EVERY_MS = 1000,
    GROUPS_EVERY = 10,     /* rounds of maintenance */
    CHECKPOINT_EVERY = 60, /* the same; log.flush.offset.checkpoint.interval.ms of Kafka */
    TIMERS_MAX = 1 << 20,  /* sessions, rebalances, parked fetches */
};

void weir_broker_options_default(struct weir_broker_options *options)
{
    *options = (struct weir_broker_options){.listen = "127.0.0.1:9092",
                                            .auto_create_topics = true,
                                            .partitions = 1,
                                            .retention_ms = INT64_C(7) * 24 * 3600 * 1000,
                                            .retention_bytes = -1,
                                            .segment_bytes = 1 << 30,
                                            .message_bytes_max = 1048588,
                                            .cleaner_enable = true,
                                            .cleaner_backoff_ms = 15000,
                                            .cleaner_map_bytes = 16 << 20,
                                            .cleaner_delete_retention_ms = 24 * 3600 * 1000,
                                            .cleaner_lag_ms_max = INT64_MAX,
                                            .cleaner_dirty_ratio_min = 0.5,
                                            .sasl_mechanisms = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
                                            .group_session_timeout_ms_min = 6000,
                                            .group_session_timeout_ms_max = 1800000,
                                            .offsets_retention_ms = INT64_C(7) * 24 * 3600 * 1000,
                                            .transaction_timeout_ms_max = 15 * 60 * 1000,
                                            .transactional_id_expiration_ms =
                                                INT64_C(7) * 24 * 3600 * 1000,
                                            .producer_id_expiration_ms = 24 * 3600 * 1000,
                                            .connections_max = 10000,
                                            .connections_max_idle_ms = 600000,
                                            .request_bytes_max = 100 << 20,
                                            .memory_bytes = 512 << 20};
}

/* ---- the loop's thread ----------------------------------------------------------------------- */

static void on_maintenance(struct weir_loop_timer *timer)
{
    struct weir_broker *broker = timer->opaque;
    bool checkpoint = ++broker->maintenance_round % CHECKPOINT_EVERY == 0;
    broker_topics_maintain(broker);
    if (checkpoint)
        broker_checkpoint_recovery(broker); /* of the syncs before */
    if (checkpoint || broker->options.flush == WEIR_BROKER_FLUSH_INTERVAL)
        broker_topics_sync(broker);
    broker_cleaner_maintain(broker);
    broker_transactions_maintain(broker);
    broker_connections_trim(broker);
    broker_users_maintain(broker);
    if (broker->maintenance_round % GROUPS_EVERY == 0)
        broker_groups_maintain(broker);
}

static void *run(void *opaque)
{
    struct weir_broker *broker = opaque;
    struct weir_error error;
    if (weir_loop_run(broker->loop, &error) != WEIR_OK)
        weir_log(&broker->options.log, WEIR_LOG_ERROR, "broker", "the loop ended: %s",
                 error.message);
    return NULL;
}

/* ---- starting -------------------------------------------------------------------------------- */

static enum weir_err open_all(struct weir_broker *broker, struct weir_error *error)
{
    struct weir_loop_options loop;
    weir_loop_options_default(&loop);
    loop.clock = broker->clock;
    loop.timers_max = TIMERS_MAX;
    enum weir_err err = broker_listeners_parse(broker, error);
    if (err == WEIR_OK)
        err = broker_sasl_open(broker, error);
    if (err == WEIR_OK)
        err = broker_connections_open(broker);
    if (err == WEIR_OK)
        err = weir_loop_new(&loop, &broker->loop, error);
    if (err == WEIR_OK) {
        broker_syncs_open(broker);
        err = broker_topics_open(broker, error);
    }
    if (err == WEIR_OK)
        err = broker_journal_open(broker, error);
    if (err == WEIR_OK)
        broker_transactions_resume(broker);
    if (err == WEIR_OK)
        err = broker_listeners_open(broker, error);
    if (err != WEIR_OK)
        return err;
    weir_loop_timer_init(broker->loop, &broker->maintenance, on_maintenance);
    broker->maintenance.opaque = broker;
    err = weir_loop_timer_start(&broker->maintenance, MAINTAIN_EVERY_MS, MAINTAIN_EVERY_MS);
    return err == WEIR_OK ? err : weir_error_set(error, err, -1, "no memory for a timer");
}

/* Whatever of it is open. */
enum weir_err broker_close(struct weir_broker *broker, struct weir_error *error)
{
    if (broker->loop) {
        uint32_t count;
        broker_listeners_close(broker);
        broker_connections_close(broker);
        weir_loop_timer_stop(&broker->maintenance);
        broker_groups_close(broker);
        while (weir_loop_run_once(broker->loop, 0, &count, NULL) == WEIR_OK && count > 0) {
        }
    }
    broker_cleaner_leave(broker, NULL);
    broker_syncs_stop(broker);
    broker_sasl_close(broker);
    tls_context_free(broker->tls);
    weir_free(broker->scratch);
    enum weir_err err = broker->journal.path ? broker_journal_close(broker, error) : WEIR_OK;
    broker_transactions_close(broker);
    enum weir_err closed = broker_topics_close(broker, err == WEIR_OK ? error : NULL);
    weir_loop_free(broker->loop);
    weir_disk_memory_free(broker->memory);
    weir_free(broker->data_dir);
    weir_free(broker);
    return err == WEIR_OK ? closed : err;
}

static enum weir_err check_options(const struct weir_broker_options *options,
                                   struct weir_error *error)
{
    if (!options->data_dir || !*options->data_dir)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a data directory is needed (log.dirs), or in_memory_bytes");
    if (strlen(options->data_dir) > 2048)
        return weir_error_set(error, WEIR_LIMIT, -1,
                              "the data directory's path is over 2048 bytes");
    if (!options->listen || !options->sasl_mechanisms)
        return weir_error_set(error, WEIR_INVALID, -1, "listeners and mechanisms must be set");
    if (options->partitions < 1)
        return weir_error_set(error, WEIR_INVALID, -1, "num.partitions must be at least 1");
    return WEIR_OK;
}

enum weir_err broker_open(const struct weir_broker_options *options, const struct weir_disk *disk,
                          const struct weir_clock *clock, struct weir_broker **out,
                          struct weir_error *error)
{
    enum weir_err err = check_options(options, error);
    if (err != WEIR_OK)
        return err;
    struct weir_broker *broker = weir_calloc(1, sizeof *broker);
    char *data_dir = broker ? weir_strdup(options->data_dir) : NULL;
    if (!data_dir) {
        weir_free(broker);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a broker");
    }
    broker->options = *options;
    broker->data_dir = data_dir;
    broker->disk = disk;
    broker->clock = clock;
    broker->lock_fd = broker->journal.fd = -1;
    weir_map_init(&broker->topics, TOPICS_MAX);
    weir_map_init(&broker->topic_ids, TOPICS_MAX);
    weir_map_init(&broker->groups, GROUPS_MAX);
    weir_map_init(&broker->transactions, TRANSACTIONS_MAX);
    weir_map_init(&broker->starts, PARTITIONS_MAX);
    weir_map_init(&broker->recovery_points, PARTITIONS_MAX);
    weir_map_init(&broker->clean, PARTITIONS_MAX);
    struct weir_error cause = {.code = WEIR_OK};
    err = open_all(broker, &cause);
    if (err != WEIR_OK) {
        broker_close(broker, NULL);
        if (cause.code == WEIR_OK) /* memory ran out where nobody says so */
            weir_error_set(&cause, err, -1, "starting a broker: %s", weir_err_text(err));
        if (error)
            *error = cause;
        return err;
    }
    /* Texts of the options are the caller's: they have been used up. */
    broker->options.listen = broker->options.advertised = broker->options.data_dir = NULL;
    broker->options.users_path = broker->options.sasl_mechanisms = NULL;
    broker->options.tls = (struct weir_broker_tls){0};
    *out = broker;
    return WEIR_OK;
}

/* With all signals blocked: they are the program's, not ours. */
static bool start_thread(struct weir_broker *broker)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&broker->thread, NULL, run, broker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

/* As broker_open, on the disk or in memory. */
static enum weir_err open_there(const struct weir_broker_options *options, struct weir_broker **out,
                                struct weir_error *error)
{
    struct weir_broker_options chosen = *options;
    struct weir_disk_memory *memory;
    if (!options->in_memory_bytes)
        return broker_open(options, weir_disk_real(), weir_clock_real(), out, error);
    if (options->data_dir)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "%s: with in_memory_bytes there is no data directory; give one of "
                              "both",
                              options->data_dir);
    chosen.data_dir = "/memory";
    enum weir_err err = weir_disk_memory_new(options->in_memory_bytes, false, &memory);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for a broker");
    err = broker_open(&chosen, weir_disk_memory_disk(memory), weir_clock_real(), out, error);
    if (err == WEIR_OK)
        (*out)->memory = memory;
    else
        weir_disk_memory_free(memory);
    return err;
}

enum weir_err weir_broker_start(const struct weir_broker_options *options,
                                struct weir_broker **broker_out, struct weir_error *error)
{
    struct weir_broker *broker;
    enum weir_err err = open_there(options, &broker, error);
    if (err != WEIR_OK)
        return err;
    if (broker_syncs_start(broker) != WEIR_OK || !start_thread(broker)) {
        broker_close(broker, NULL);
        return weir_error_set(error, WEIR_NOMEM, -1, "the broker's threads can't be started");
    }
    *broker_out = broker;
    return WEIR_OK;
}

enum weir_err weir_broker_stop(struct weir_broker *broker, struct weir_error *error)
{
    if (!broker)
        return WEIR_OK;
    weir_loop_stop(broker->loop);
    weir_assert(pthread_join(broker->thread, NULL) == 0);
    return broker_close(broker, error);
}

/* ---- looking at it --------------------------------------------------------------------------- */

const char *weir_broker_address(const struct weir_broker *broker)
{
    return broker->listeners[0].address;
}

const char *weir_broker_address_of(const struct weir_broker *broker, const char *protocol)
{
    for (uint32_t i = 0; i < broker->listener_count; i++)
        if (strcmp(broker_security_name(broker->listeners[i].security), protocol) == 0)
            return broker->listeners[i].address;
    return NULL;
}

void weir_broker_stats(const struct weir_broker *broker, struct weir_broker_stats *out)
{
    const struct broker_counters *counters = &broker->stats;
    *out = (struct weir_broker_stats){
        .requests = atomic_load(&counters->requests),
        .requests_failed = atomic_load(&counters->requests_failed),
        .batches_appended = atomic_load(&counters->batches_appended),
        .bytes_in = atomic_load(&counters->bytes_in),
        .bytes_out = atomic_load(&counters->bytes_out),
        .connections_opened = atomic_load(&counters->connections_opened),
        .connections_expired = atomic_load(&counters->connections_expired),
        .tls_handshake_failures = atomic_load(&counters->tls_handshake_failures),
        .authentications = atomic_load(&counters->authentications),
        .authentication_failures = atomic_load(&counters->authentication_failures),
        .syncs = atomic_load(&counters->syncs),
        .syncs_failed = atomic_load(&counters->syncs_failed),
        .cleaner_passes = atomic_load(&counters->cleaner_passes),
        .cleaner_bytes_read = atomic_load(&counters->cleaner_bytes_read),
        .cleaner_bytes_written = atomic_load(&counters->cleaner_bytes_written),
        .cleaner_last_ms = atomic_load(&counters->cleaner_last_ms),
        .cleaner_dirty_percent_max = atomic_load(&counters->cleaner_dirty_percent_max),
        .cleaner_uncleanable = atomic_load(&counters->cleaner_uncleanable),
        .connections = atomic_load(&counters->connections),
        .topics = atomic_load(&counters->topics),
        .partitions = atomic_load(&counters->partitions),
        .groups = atomic_load(&counters->groups),
        .fetches_parked = atomic_load(&counters->fetches_parked)};
    for (int key = 0; key < WEIR_BROKER_API_KEYS; key++)
        out->requests_by_api[key] = atomic_load(&counters->by_api[key]);
}

const char *weir_broker_api_name(int key)
{
    const struct wire_api *api =
        key >= 0 && key < WEIR_BROKER_API_KEYS ? wire_api_find((int16_t)key) : NULL;
    return api ? api->name : NULL;
}
