/* streams/streams.c - the life of an instance, its states and figures. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

void weir_streams_options_default(struct weir_streams_options *options)
{
    *options = (struct weir_streams_options){.threads = 1,
                                             .poll_ms = 100,
                                             .batch_rows = 1024,
                                             .linger_ms = 100,
                                             .input_bytes = 64 << 20,
                                             .partitions_expected = 16,
                                             .output_bytes = 64 << 20,
                                             .store_uncommitted_bytes = 64 << 20,
                                             .transaction_timeout_ms = 10000,
                                             .drain_timeout_ms = 30000};
}

/* ---- states ---------------------------------------------------------------------------------- */

const char *weir_streams_state_name(enum weir_streams_state state)
{
    static const char *const names[] = {
        "CREATED",     "REBALANCING",   "RUNNING", "PENDING_SHUTDOWN",
        "NOT_RUNNING", "PENDING_ERROR", "ERROR"};
    return names[state];
}

/* The steps that Kafka Streams' client knows (KafkaStreams.State). */
static bool is_step(enum weir_streams_state from, enum weir_streams_state to)
{
    static const uint8_t steps[] = {
        [WEIR_STREAMS_CREATED] = 1 << WEIR_STREAMS_REBALANCING | 1 << WEIR_STREAMS_PENDING_SHUTDOWN,
        [WEIR_STREAMS_REBALANCING] = 1 << WEIR_STREAMS_RUNNING |
                                     1 << WEIR_STREAMS_PENDING_SHUTDOWN |
                                     1 << WEIR_STREAMS_PENDING_ERROR,
        [WEIR_STREAMS_RUNNING] = 1 << WEIR_STREAMS_REBALANCING |
                                 1 << WEIR_STREAMS_PENDING_SHUTDOWN |
                                 1 << WEIR_STREAMS_PENDING_ERROR,
        [WEIR_STREAMS_PENDING_SHUTDOWN] = 1 << WEIR_STREAMS_NOT_RUNNING,
        [WEIR_STREAMS_NOT_RUNNING] = 0,
        [WEIR_STREAMS_PENDING_ERROR] = 1 << WEIR_STREAMS_ERROR,
        [WEIR_STREAMS_ERROR] = 0,
    };
    return steps[from] >> to & 1;
}

void streams_become(struct weir_streams *streams, enum weir_streams_state state)
{
    pthread_mutex_lock(&streams->lock);
    enum weir_streams_state from = streams->state;
    bool step = is_step(from, state);
    if (step)
        streams->state = state;
    pthread_cond_broadcast(&streams->changed);
    pthread_mutex_unlock(&streams->lock);
    if (step && streams->options.on_state)
        streams->options.on_state(streams->options.opaque, from, state);
}

enum weir_streams_state weir_streams_state(const struct weir_streams *streams)
{
    struct weir_streams *locked = (struct weir_streams *)(uintptr_t)streams;
    pthread_mutex_lock(&locked->lock);
    enum weir_streams_state state = streams->state;
    pthread_mutex_unlock(&locked->lock);
    return state;
}

void streams_wake_all(struct weir_streams *streams)
{
    pthread_mutex_lock(&streams->lock);
    pthread_cond_broadcast(&streams->changed);
    for (uint32_t i = 0; i < streams->options.threads; i++)
        if (streams->threads[i]->wakeable)
            weir_kafka_consumer_wake(streams->threads[i]->wakeable);
    pthread_mutex_unlock(&streams->lock);
}

void streams_fail(struct weir_streams *streams, const struct weir_error *error)
{
    pthread_mutex_lock(&streams->lock);
    if (streams->failure.code == WEIR_OK)
        streams->failure = *error;
    pthread_mutex_unlock(&streams->lock);
    weir_log(&streams->options.log, WEIR_LOG_ERROR, "streams", "%s", error->message);
    atomic_store(&streams->stopping, true);
    streams_become(streams, WEIR_STREAMS_PENDING_ERROR);
    streams_become(streams, WEIR_STREAMS_ERROR);
    streams_wake_all(streams);
}

void weir_streams_failure(const struct weir_streams *streams, struct weir_error *out)
{
    struct weir_streams *locked = (struct weir_streams *)(uintptr_t)streams;
    pthread_mutex_lock(&locked->lock);
    *out = streams->failure;
    pthread_mutex_unlock(&locked->lock);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Topics are named after it, with a suffix. */
enum {
    APPLICATION_ID_BYTES_MAX = 150,
    TRANSACTION_TIMEOUT_MS_MIN = 1000,
    COMMIT_INTERVAL_MS = 30000, /* Kafka Streams' own defaults */
    COMMIT_INTERVAL_EXACTLY_ONCE_MS = 100,
};

static enum weir_err check_options(const struct weir_streams_options *options,
                                   struct weir_error *error)
{
    if (!options->application_id || !*options->application_id)
        return weir_error_set(error, WEIR_INVALID, -1, "application.id is needed");
    if (strspn(options->application_id, topic_characters) != strlen(options->application_id) ||
        strlen(options->application_id) > APPLICATION_ID_BYTES_MAX ||
        strspn(options->application_id, ".") == strlen(options->application_id))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "application.id is \"%.40s\": topics are named after it, so that it "
                              "has up to %d letters, digits, '.', '_' and '-'",
                              options->application_id, APPLICATION_ID_BYTES_MAX);
    if (options->threads < 1 || options->threads > THREADS_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "num.stream.threads must be from 1 to %d",
                              THREADS_MAX);
    if (options->batch_rows < 1 || options->batch_rows > WEIR_KAFKA_BATCH_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "batch_rows must be from 1 to %d",
                              WEIR_KAFKA_BATCH_MAX);
    if (options->commit_interval_ms < 0 || options->poll_ms < 0 || options->linger_ms < 0 ||
        options->drain_timeout_ms < 0 || !options->input_bytes || !options->output_bytes ||
        !options->store_uncommitted_bytes)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a time is negative or a size is 0: begin with "
                              "weir_streams_options_default");
    if (options->processing_guarantee == WEIR_EXACTLY_ONCE_V2 &&
        (options->transaction_timeout_ms < TRANSACTION_TIMEOUT_MS_MIN ||
         options->transaction_timeout_ms <= options->commit_interval_ms))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "transaction.timeout.ms is %d: it must be at least %d, and above "
                              "commit.interval.ms, which is %d",
                              (int)options->transaction_timeout_ms, TRANSACTION_TIMEOUT_MS_MIN,
                              (int)options->commit_interval_ms);
    return WEIR_OK;
}

static enum weir_err check_stores(const struct weir_topology *topology,
                                  const struct weir_streams_options *options,
                                  struct weir_error *error)
{
    for (uint32_t i = 0; i < topology->kind_count; i++) {
        const struct weir_store_options *store = &topology->kinds[i].options;
        if (store->engine->persistent && !options->state_dir)
            return weir_error_set(error, WEIR_INVALID, -1,
                                  "store \"%s\" is persistent and needs state.dir", store->name);
        if (strlen(options->application_id) + strlen(store->name) + strlen("--changelog") >
            WEIR_KAFKA_TOPIC_BYTES_MAX)
            return weir_error_set(error, WEIR_INVALID, -1,
                                  "application.id and the name of store \"%s\" are too long for "
                                  "the name of its changelog topic",
                                  store->name);
    }
    return WEIR_OK;
}

static char *keep(char **at, const char *text)
{
    char *begin = *at;
    if (!text)
        return NULL;
    *at = stpcpy(begin, text) + 1;
    return begin;
}

static size_t length(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static enum weir_err copy_texts(struct weir_streams *streams)
{
    struct weir_streams_options *options = &streams->options;
    size_t bytes = length(options->application_id) + length(options->group_instance_id) +
                   length(options->dead_letter_topic) + length(options->state_dir);
    char *at = streams->texts = weir_alloc(bytes);
    if (!at)
        return WEIR_NOMEM;
    options->application_id = keep(&at, options->application_id);
    options->group_instance_id = keep(&at, options->group_instance_id);
    options->dead_letter_topic = keep(&at, options->dead_letter_topic);
    options->state_dir = keep(&at, options->state_dir);
    return WEIR_OK;
}

/* Of tasks for all sub-topologies, though those of global stores have none. */
static enum weir_err name_topics(struct weir_streams *streams)
{
    const struct weir_topology *topology = streams->topology;
    const char *id = streams->options.application_id;
    const size_t bytes = WEIR_KAFKA_TOPIC_BYTES_MAX + 1;
    streams->task_topics = weir_calloc(streams->numbers.count, bytes);
    streams->changelogs = weir_calloc(topology->kind_count + 1, bytes);
    if (!streams->task_topics || !streams->changelogs)
        return WEIR_NOMEM;
    for (uint32_t number = 0; number < streams->numbers.count; number++)
        snprintf(streams->task_topics + number * bytes, bytes, "%s-tasks-%u", id, number);
    for (uint32_t i = 0; i < topology->kind_count; i++)
        snprintf(streams->changelogs + i * bytes, bytes, "%s-%s-changelog", id,
                 topology->kinds[i].options.name);
    return WEIR_OK;
}

/* No two processes share it, which the group's generation makes enough to fence a zombie. */
static void name_process(struct weir_streams *streams)
{
    uint8_t bytes[16];
    weir_assert(getrandom(bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(streams->process_id + 2 * i, 3, "%02x", bytes[i]);
}

static enum weir_err make_threads(struct weir_streams *streams)
{
    for (uint32_t i = 0; i < streams->options.threads; i++) {
        struct stream_thread *thread = weir_calloc(1, sizeof *thread);
        if (!thread)
            return WEIR_NOMEM;
        thread->streams = streams;
        thread->number = i + 1;
        thread->drained = true; /* it has read nothing yet */
        atomic_init(&thread->lag, -1);
        streams->threads[i] = thread;
    }
    return WEIR_OK;
}

static void destroy(struct weir_streams *streams)
{
    for (uint32_t i = 0; i < THREADS_MAX; i++)
        weir_free(streams->threads[i]);
    weir_topology_free(streams->topology);
    weir_free(streams->texts);
    weir_free(streams->task_topics);
    weir_free(streams->changelogs);
    query_release(streams);
    pthread_cond_destroy(&streams->changed);
    pthread_mutex_destroy(&streams->lock);
    weir_free(streams);
}

enum weir_err weir_streams_new(struct weir_topology *topology, struct weir_kafka *kafka,
                               const struct weir_streams_options *options,
                               struct weir_streams **streams_out, struct weir_error *error)
{
    enum weir_err err = check_options(options, error);
    if (err == WEIR_OK)
        err = topology_check(topology, error);
    if (err == WEIR_OK)
        err = check_stores(topology, options, error);
    if (err == WEIR_OK)
        err = topology_name_internals(topology, options->application_id, error);
    struct weir_streams *streams = err == WEIR_OK ? weir_calloc(1, sizeof *streams) : NULL;
    if (!streams) {
        weir_topology_free(topology);
        return err != WEIR_OK ? err
                              : weir_error_set(error, WEIR_NOMEM, -1, "no memory for an instance");
    }
    streams->topology = topology;
    topology_number(topology, &streams->numbers);
    streams->kafka = kafka;
    streams->options = *options;
    if (options->commit_interval_ms == 0)
        streams->options.commit_interval_ms =
            is_exactly_once(streams) ? COMMIT_INTERVAL_EXACTLY_ONCE_MS : COMMIT_INTERVAL_MS;
    name_process(streams);
    streams->clock = weir_clock_real();
    pthread_mutex_init(&streams->lock, NULL);
    pthread_cond_init(&streams->changed, NULL);
    query_init(streams);
    err = copy_texts(streams);
    if (err == WEIR_OK)
        err = name_topics(streams);
    if (err == WEIR_OK)
        err = make_threads(streams);
    if (err != WEIR_OK) {
        destroy(streams);
        return weir_error_set(error, err, -1, "no memory for an instance");
    }
    *streams_out = streams;
    return WEIR_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

enum weir_err weir_streams_start(struct weir_streams *streams, struct weir_error *error)
{
    if (streams->started)
        return weir_error_set(error, WEIR_INVALID, -1, "the instance was started before");
    streams->started = true;
    streams_become(streams, WEIR_STREAMS_REBALANCING);
    enum weir_err err = WEIR_OK;
    if (streams->topology->store_count) {
        streams->global_runs =
            pthread_create(&streams->global_thread, NULL, globals_run, streams) == 0;
        err = streams->global_runs ? WEIR_OK : WEIR_NOMEM;
    } else {
        streams->globals_ready = true;
    }
    for (uint32_t i = 0; i < streams->options.threads && err == WEIR_OK; i++) {
        struct stream_thread *thread = streams->threads[i];
        thread->runs = pthread_create(&thread->thread, NULL, thread_run, thread) == 0;
        err = thread->runs ? WEIR_OK : WEIR_NOMEM;
    }
    if (err == WEIR_OK)
        return err;
    weir_error_set(error, err, -1, "a stream thread can't be started");
    struct weir_error why = {.code = err, .message = "a stream thread can't be started"};
    streams_fail(streams, &why);
    return err;
}

void weir_streams_wake(struct weir_streams *streams)
{
    for (uint32_t i = 0; i < streams->options.threads; i++)
        atomic_store(&streams->threads[i]->woken, true);
    streams_wake_all(streams);
}

static void join_all(struct weir_streams *streams)
{
    for (uint32_t i = 0; i < streams->options.threads; i++) {
        if (streams->threads[i]->runs)
            weir_assert(pthread_join(streams->threads[i]->thread, NULL) == 0);
        streams->threads[i]->runs = false;
    }
    if (streams->global_runs)
        weir_assert(pthread_join(streams->global_thread, NULL) == 0);
    streams->global_runs = false;
}

enum weir_err weir_streams_stop(struct weir_streams *streams)
{
    bool drained = true;
    if (streams->stopped)
        return streams->stop_result;
    streams_become(streams, WEIR_STREAMS_PENDING_SHUTDOWN);
    atomic_store(&streams->stopping, true);
    streams_wake_all(streams);
    join_all(streams);
    for (uint32_t i = 0; i < streams->options.threads; i++)
        drained &= streams->threads[i]->drained;
    streams->stopped = true;
    streams->stop_result = drained ? WEIR_OK : WEIR_TIMEOUT;
    streams_become(streams, WEIR_STREAMS_NOT_RUNNING);
    return streams->stop_result;
}

void weir_streams_free(struct weir_streams *streams)
{
    if (!streams)
        return;
    if (weir_streams_stop(streams) != WEIR_OK)
        weir_log(&streams->options.log, WEIR_LOG_WARN, "streams",
                 "ended before everything was delivered");
    destroy(streams);
}

/* ---- figures --------------------------------------------------------------------------------- */

void weir_streams_stats(const struct weir_streams *streams, struct weir_streams_stats *out)
{
    const struct stream_counters *counters = &streams->counters;
    *out =
        (struct weir_streams_stats){.records_consumed = atomic_load(&counters->consumed),
                                    .records_forwarded_to_sinks = atomic_load(&counters->to_sinks),
                                    .records_delivered = atomic_load(&counters->delivered),
                                    .dead_letters = atomic_load(&counters->dead_letters),
                                    .commits = atomic_load(&counters->commits),
                                    .commit_failures = atomic_load(&counters->commit_failures),
                                    .rebalances = atomic_load(&counters->rebalances),
                                    .rewinds = atomic_load(&counters->rewinds),
                                    .global_records = atomic_load(&counters->global_records),
                                    .records_dropped = atomic_load(&counters->dropped),
                                    .threads = streams->options.threads};
    for (uint32_t i = 0; i < streams->options.threads; i++) {
        int64_t lag = atomic_load(&streams->threads[i]->lag);
        out->tasks += atomic_load(&streams->threads[i]->task_count);
        out->lag_records = lag < 0 || out->lag_records < 0 ? -1 : out->lag_records + lag;
    }
}
