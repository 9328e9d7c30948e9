/*
 * streams/thread.c - a stream thread: reads, processes, commits.
 *
 * A round: reports -> rewinds -> parked blocks -> punctuators -> commit -> records.
 *
 * Rebalances are told inside the poll: a partition that is lost first gets deliveries of what was
 * read of it (for a bounded time), then its commit, then its task is closed.
 */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

enum {
    COMMIT_TIMEOUT_MS = 5000,
    REVOKE_TIMEOUT_MS = 10000, /* for the deliveries of what is lost */
    ADMIN_TIMEOUT_MS = 5000,
    CLOSE_TIMEOUT_MS = 3000,
    RETRY_COMMIT_MS = 1000,
    LAST_COMMIT_MS = 3000,
    NEW_TOPIC_MS = 15000,
    RETRY_PARKED_MS = 100,
    LAG_EVERY_MS = 500,
    REPORTS_WAIT_MS = 10,
    BLOCK_BYTES_MAX = 16 << 20, /* headroom of the producer's queue: what one block may lead to */
    LINGERING_MS = 10,          /* how soon reports are looked for while some are out */
};

int64_t streams_now_ns(const struct weir_streams *streams)
{
    return weir_clock_now_ns(streams->clock);
}

/* ---- producing ------------------------------------------------------------------------------- */

static void delivered(void *opaque, void *record_opaque, int32_t partition, int64_t offset,
                      const struct weir_error *error)
{
    struct stream_thread *thread = opaque;
    (void)partition;
    (void)offset;
    if (!error)
        count_up(&thread->streams->counters.delivered, 1);
    if (error && error->fatal)
        thread->producer_failed = true;
    uintptr_t kind = (uintptr_t)record_opaque & OPAQUE_BITS;
    void *owner = (void *)((uintptr_t)record_opaque & ~(uintptr_t)OPAQUE_BITS);
    if (kind == OPAQUE_KEPT_LETTER) {
        dead_letter_report(owner, error);
        return;
    }
    struct inflight *inflight = owner;
    if (error && inflight->task && kind == OPAQUE_LETTER)
        inflight->task->letter_failed |= error->code != WEIR_LIMIT && error->code != WEIR_INVALID;
    progress_report(inflight, error);
}

static enum weir_err open_producer(struct stream_thread *thread, struct weir_error *error)
{
    struct weir_streams *streams = thread->streams;
    struct weir_kafka_producer_options options;
    weir_kafka_producer_options_default(&options);
    options.linger_ms = streams->options.linger_ms;
    options.queue_bytes =
        streams->options.output_bytes / streams->options.threads + (size_t)BLOCK_BYTES_MAX;
    options.delivered = delivered;
    options.opaque = thread;
    thread->producer_failed = false;
    return weir_kafka_producer_new(streams->kafka, &options, &thread->producer, error);
}

/* Waits for room in the queue, a moment at a time. False: there is no more time. */
static bool wait_for_room(struct stream_thread *thread)
{
    if (thread->closing && streams_now_ns(thread->streams) >= thread->close_deadline_ns)
        return false;
    if (!thread->closing && atomic_load(&thread->streams->stopping)) {
        thread->closing = true;
        thread->close_deadline_ns = streams_now_ns(thread->streams) +
                                    thread->streams->options.drain_timeout_ms * WEIR_NS_PER_MS;
    }
    weir_kafka_producer_poll(thread->producer, REPORTS_WAIT_MS);
    return !thread->producer_failed;
}

enum weir_err thread_produce_rows(struct stream_thread *thread, const char *topic,
                                  int32_t partition, const struct weir_rows *rows, uint32_t first,
                                  uint32_t end, void *opaque, uint32_t *accepted,
                                  struct weir_error *error)
{
    enum weir_err err;
    *accepted = 0;
    do {
        uint32_t taken = 0;
        err = weir_kafka_produce_rows(thread->producer, topic, partition, rows, first + *accepted,
                                      end, opaque, &taken, error);
        *accepted += taken;
    } while (err == WEIR_AGAIN && wait_for_room(thread));
    return err == WEIR_AGAIN
               ? weir_error_set(error, WEIR_TIMEOUT, -1, "no room to produce to %s", topic)
               : err;
}

enum weir_err thread_produce(struct stream_thread *thread, const struct weir_kafka_record *record,
                             struct weir_error *error)
{
    enum weir_err err;
    do
        err = weir_kafka_produce(thread->producer, record, error);
    while (err == WEIR_AGAIN && wait_for_room(thread));
    return err;
}

/* ---- committing ------------------------------------------------------------------------------ */

static void note_commit(struct task *task, const struct weir_kafka_partition *partition)
{
    if (partition->err != WEIR_OK)
        return;
    if (partition->offset > task->position_committed)
        task->rewinds = task->processor_rewinds = 0; /* there is progress */
    task->position_committed = partition->offset;
}

enum { COMMIT_AT_ONCE = 512 };

static bool is_among(const struct task *task, const struct weir_kafka_partition *partitions,
                     uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (partitions[i].partition == task->partition &&
            strcmp(partitions[i].topic, task->topic) == 0)
            return true;
    return false;
}

static enum weir_err commit_some(struct stream_thread *thread, struct task **tasks, uint32_t count,
                                 struct weir_error *error)
{
    struct weir_kafka_partition partitions[COMMIT_AT_ONCE];
    for (uint32_t i = 0; i < count; i++)
        partitions[i] = (struct weir_kafka_partition){.topic = tasks[i]->topic,
                                                      .partition = tasks[i]->partition,
                                                      .offset = tasks[i]->position_done};
    enum weir_err err =
        weir_kafka_commit(thread->consumer, partitions, count, COMMIT_TIMEOUT_MS, error);
    if (err == WEIR_OK) {
        for (uint32_t i = 0; i < count; i++)
            note_commit(tasks[i], &partitions[i]);
        count_up(&thread->streams->counters.commits, 1);
    } else if (err != WEIR_AGAIN) {
        count_up(&thread->streams->counters.commit_failures, 1);
        weir_log(&thread->streams->options.log, WEIR_LOG_WARN, "streams",
                 "offsets were not committed: %s", error->message);
    }
    return err;
}

/* Commits what is done of these tasks (all of the thread with only = NULL). */
static enum weir_err commit(struct stream_thread *thread, const struct weir_kafka_partition *only,
                            uint32_t only_count, struct weir_error *error)
{
    struct task *tasks[COMMIT_AT_ONCE], *task = thread->tasks;
    enum weir_err err = WEIR_OK;
    while (task && err == WEIR_OK) {
        uint32_t count = 0;
        for (; task && count < COMMIT_AT_ONCE; task = task->next)
            if (task->position_done > task->position_committed &&
                (!only || is_among(task, only, only_count)))
                tasks[count++] = task;
        if (count)
            err = commit_some(thread, tasks, count, error);
    }
    return err;
}

static void commit_if_due(struct stream_thread *thread, struct weir_error *error)
{
    int64_t now_ns = streams_now_ns(thread->streams);
    if (now_ns < thread->commit_due_ns)
        return;
    for (struct task *task = thread->tasks; task; task = task->next) {
        if (task_flush(task, error) != WEIR_OK)
            task_fail(task, error, true);
    }
    struct weir_error why = {.code = WEIR_OK};
    int64_t interval_ms = thread->streams->options.commit_interval_ms;
    if (commit(thread, NULL, 0, &why) != WEIR_OK && interval_ms > RETRY_COMMIT_MS)
        interval_ms = RETRY_COMMIT_MS;
    thread->commit_due_ns = now_ns + interval_ms * WEIR_NS_PER_MS;
}

/* ---- rebalances ------------------------------------------------------------------------------ */

static void gained(void *opaque, struct weir_kafka_partition *partitions, const int32_t *indexes,
                   uint32_t count)
{
    struct stream_thread *thread = opaque;
    for (uint32_t i = 0; i < count; i++) {
        struct weir_error error = {.code = WEIR_OK};
        struct task *task;
        if (task_new(thread, &partitions[i], indexes[i], &task, &error) != WEIR_OK) {
            streams_fail(thread->streams, &error);
            return;
        }
        task->next = thread->tasks;
        thread->tasks = task;
        atomic_fetch_add(&thread->task_count, 1);
        weir_log(&thread->streams->options.log, WEIR_LOG_INFO, "streams",
                 "task %s: %s-%d from offset %lld", task->id, task->topic, (int)task->partition,
                 (long long)partitions[i].offset);
    }
    count_up(&thread->streams->counters.rebalances, 1);
    streams_become(thread->streams, WEIR_STREAMS_RUNNING);
}

static struct task **find(struct stream_thread *thread,
                          const struct weir_kafka_partition *partition)
{
    struct task **at = &thread->tasks;
    while (*at && ((*at)->partition != partition->partition ||
                   strcmp((*at)->topic, partition->topic) != 0))
        at = &(*at)->next;
    return at;
}

/* Waits until everything of these tasks is delivered, or one of them fails. */
static bool wait_for_deliveries(struct stream_thread *thread,
                                const struct weir_kafka_partition *partitions, uint32_t count,
                                int64_t deadline_ns)
{
    for (;;) {
        bool pending = false;
        for (uint32_t i = 0; i < count; i++) {
            const struct task *task = *find(thread, &partitions[i]);
            pending |=
                task && task->oldest && task->oldest != task->parked_block && !task->must_rewind;
        }
        if (!pending)
            return true;
        if (streams_now_ns(thread->streams) >= deadline_ns || thread->producer_failed)
            return false;
        if (!weir_kafka_producer_poll(thread->producer, REPORTS_WAIT_MS) &&
            thread->streams->clock->is_virtual)
            return false; /* time does not pass while we wait */
    }
}

/* The last commit of partitions that go; while members come and go the coordinator may ask for a
 * moment's patience. */
static void commit_lost(struct stream_thread *thread, const struct weir_kafka_partition *partitions,
                        uint32_t count)
{
    struct weir_error error = {.code = WEIR_OK};
    int64_t until_ns = streams_now_ns(thread->streams) + LAST_COMMIT_MS * WEIR_NS_PER_MS;
    while (commit(thread, partitions, count, &error) == WEIR_AGAIN &&
           streams_now_ns(thread->streams) < until_ns && !thread->streams->clock->is_virtual) {
        const struct timespec moment = {.tv_nsec = 20 * 1000000};
        nanosleep(&moment, NULL);
    }
}

static void close_task(struct stream_thread *thread, struct task **at)
{
    struct task *task = *at;
    *at = task->next;
    task_free(task);
    atomic_fetch_sub(&thread->task_count, 1);
}

static void lost(void *opaque, const struct weir_kafka_partition *partitions,
                 const int32_t *indexes, uint32_t count, bool gone)
{
    struct stream_thread *thread = opaque;
    struct weir_error error = {.code = WEIR_OK};
    (void)indexes;
    if (!gone) {
        int64_t deadline_ns =
            thread->closing ? thread->close_deadline_ns
                            : streams_now_ns(thread->streams) + REVOKE_TIMEOUT_MS * WEIR_NS_PER_MS;
        for (uint32_t i = 0; i < count; i++) {
            struct task *task = *find(thread, &partitions[i]);
            if (task && task_flush(task, &error) != WEIR_OK)
                task_fail(task, &error, true);
        }
        wait_for_deliveries(thread, partitions, count, deadline_ns);
        commit_lost(thread, partitions, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct task **at = find(thread, &partitions[i]);
        if (!*at)
            continue;
        if (thread->closing)
            thread->drained &= (*at)->position_done == (*at)->position_committed &&
                               (!(*at)->oldest || (*at)->oldest == (*at)->parked_block);
        close_task(thread, at);
    }
    count_up(&thread->streams->counters.rebalances, 1);
    if (!thread->tasks)
        streams_become(thread->streams, WEIR_STREAMS_REBALANCING);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The partitions of a topic. One that was created a moment ago may not be known everywhere yet. */
static enum weir_err look_up(struct stream_thread *thread, const char *topic, int32_t *partitions,
                             struct weir_error *error)
{
    const struct timespec moment = {.tv_nsec = 50 * 1000000};
    struct weir_streams *streams = thread->streams;
    int64_t until_ns = streams_now_ns(streams) + NEW_TOPIC_MS * WEIR_NS_PER_MS;
    enum weir_err err;
    while ((err = weir_kafka_topic_partitions(streams->kafka, topic, ADMIN_TIMEOUT_MS, partitions,
                                              error)) != WEIR_OK &&
           (err == WEIR_NOT_FOUND || error->retriable) && streams_now_ns(streams) < until_ns &&
           !streams->clock->is_virtual && !atomic_load(&streams->stopping))
        nanosleep(&moment, NULL);
    return err;
}

/* How many partitions the topics of sources and sinks have: a row keeps its partition's number
 * where that is the same. */
static enum weir_err count_partitions(struct stream_thread *thread, struct weir_error *error)
{
    const struct weir_topology *topology = thread->streams->topology;
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < topology->node_count && err == WEIR_OK; i++) {
        const struct node *node = &topology->nodes[i];
        if (!node->topic)
            continue;
        err = look_up(thread, node->topic, &thread->sink_partitions[i], error);
        if (err == WEIR_NOT_FOUND)
            weir_error_set(error, err, -1, "topic %s of node %s does not exist", node->topic,
                           node->name);
    }
    return err;
}

static enum weir_err open_blocks(struct stream_thread *thread, struct weir_error *error)
{
    const struct weir_topology *topology = thread->streams->topology;
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < topology->node_count && err == WEIR_OK; i++) {
        const struct node *node = &topology->nodes[i];
        if (node->kind != NODE_SOURCE)
            continue;
        if (node->decoder)
            err = node->decoder(node->config, &thread->decoders[i], error);
        if (err == WEIR_OK &&
            weir_block_new(thread->decoders[i] ? weir_decoder_schema(thread->decoders[i]) : NULL,
                           thread->streams->options.batch_rows, &thread->blocks[i]) != WEIR_OK)
            err = weir_error_set(error, WEIR_NOMEM, -1, "no memory for blocks");
    }
    return err;
}

static void set_wakeable(struct stream_thread *thread, struct weir_kafka_consumer *consumer)
{
    pthread_mutex_lock(&thread->streams->lock);
    thread->wakeable = consumer;
    pthread_mutex_unlock(&thread->streams->lock);
}

enum weir_err thread_open(struct stream_thread *thread, struct weir_error *error)
{
    const struct weir_streams *streams = thread->streams;
    const struct weir_topology *topology = streams->topology;
    const char *topics[WEIR_NODES_MAX];
    struct weir_kafka_consumer_options options;
    weir_kafka_consumer_options_default(&options);
    options.group_id = streams->options.application_id;
    options.group_instance_id = streams->options.group_instance_id;
    options.topics = topics;
    for (uint32_t i = 0; i < topology->node_count; i++)
        if (topology->nodes[i].kind == NODE_SOURCE)
            topics[options.topic_count++] = topology->nodes[i].topic;
    options.queue_bytes = streams->options.input_bytes / streams->options.threads;
    options.partitions_expected = streams->options.partitions_expected;
    options.rebalance =
        (struct weir_kafka_rebalance){.gained = gained, .lost = lost, .opaque = thread};
    thread->drained = true;
    thread->commit_due_ns =
        streams_now_ns(streams) + streams->options.commit_interval_ms * WEIR_NS_PER_MS;
    enum weir_err err = open_blocks(thread, error);
    if (err == WEIR_OK)
        err = count_partitions(thread, error);
    if (err == WEIR_OK)
        err = open_producer(thread, error);
    if (err == WEIR_OK)
        err = weir_kafka_consumer_new(streams->kafka, &options, &thread->consumer, error);
    if (err == WEIR_OK)
        set_wakeable(thread, thread->consumer);
    return err;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static int64_t backoff_ns(uint32_t attempts)
{
    int64_t ms = BACKOFF_MIN_MS;
    while (--attempts && ms < BACKOFF_MAX_MS)
        ms *= 2;
    return (ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS) * WEIR_NS_PER_MS;
}

/* Counts a rewind. A failure: too many led nowhere. A dead letter is waited for without end. */
static enum weir_err count_rewind(struct task *task, struct weir_error *error)
{
    struct weir_streams *streams = task->thread->streams;
    bool in_processor = task->failed_in_processor && !task->letter_failed;
    weir_log(&streams->options.log, WEIR_LOG_WARN, "streams",
             "task %s is set back to offset %lld: %s", task->id,
             (long long)task->position_committed, task->why.message);
    count_up(&streams->counters.rewinds, 1);
    uint32_t *count = in_processor ? &task->processor_rewinds : &task->rewinds;
    if (++*count > (in_processor ? (uint32_t)PROCESSOR_REWINDS_MAX : (uint32_t)REWINDS_MAX) &&
        !task->letter_failed) {
        *error = task->why;
        return task->why.code;
    }
    if (!in_processor)
        task->resume_ns = streams_now_ns(streams) + backoff_ns(*count);
    return WEIR_OK;
}

/* What is done is committed first, so that a rewind after much work counts as progress. */
static enum weir_err rewind_task(struct stream_thread *thread, struct task *task,
                                 struct weir_error *error)
{
    struct weir_kafka_partition own = {.topic = task->topic, .partition = task->partition};
    struct weir_error ignored;
    if (commit(thread, &own, 1, &ignored) == WEIR_AGAIN)
        return WEIR_OK; /* a rebalance is under way: after it */
    enum weir_err err =
        weir_kafka_rewind(thread->consumer, task->index, task->position_committed, error);
    if (err == WEIR_AGAIN || err == WEIR_NOT_FOUND)
        return WEIR_OK; /* after the rebalance, or not at all */
    if (err == WEIR_OK)
        err = count_rewind(task, error);
    if (err == WEIR_OK)
        task_drop(task);
    return err;
}

static enum weir_err rewind_tasks(struct stream_thread *thread, struct weir_error *error)
{
    static const struct weir_error lost_producer = {.code = WEIR_BROKER,
                                                    .message = "the producer had to be replaced"};
    enum weir_err err = WEIR_OK;
    if (thread->producer_failed) { /* what it had is reported while it closes */
        weir_kafka_producer_close(thread->producer);
        thread->producer = NULL;
        for (struct task *task = thread->tasks; task; task = task->next)
            if (task->oldest && task->oldest != task->parked_block)
                task_fail(task, &lost_producer, false);
        err = open_producer(thread, error);
    }
    for (struct task *task = thread->tasks; task && err == WEIR_OK; task = task->next)
        if (task->must_rewind)
            err = rewind_task(thread, task, error);
    return err;
}

static void retry_parked(struct stream_thread *thread, struct weir_error *error)
{
    int64_t now_ns = streams_now_ns(thread->streams);
    if (!atomic_exchange(&thread->woken, false) && now_ns < thread->retry_due_ns)
        return;
    thread->retry_due_ns = now_ns + RETRY_PARKED_MS * WEIR_NS_PER_MS;
    for (struct task *task = thread->tasks; task; task = task->next) {
        if (!task->is_parked || task->must_rewind)
            continue;
        enum weir_err err = task_retry(task, error);
        if (err != WEIR_OK && err != WEIR_AGAIN)
            task_fail(task, error, true);
    }
}

static void punctuate(struct stream_thread *thread, struct weir_error *error)
{
    for (struct task *task = thread->tasks; task; task = task->next)
        if (task->punctuator_count && !task->must_rewind && task_punctuate(task, error) != WEIR_OK)
            task_fail(task, error, true);
}

static struct task *task_at(struct stream_thread *thread, int32_t index)
{
    struct task *task = thread->tasks;
    while (task && task->index != index)
        task = task->next;
    return task;
}

/* May records of this partition be read now? */
static bool want(void *opaque, int32_t partition_index)
{
    struct stream_thread *thread = opaque;
    const struct weir_streams_options *options = &thread->streams->options;
    const struct task *task = task_at(thread, partition_index);
    return task && !task->is_parked && !task->must_rewind &&
           task->resume_ns <= streams_now_ns(thread->streams) &&
           task->inflight_count < INFLIGHT_MAX &&
           thread->pending_bytes < options->output_bytes / options->threads;
}

static enum weir_err read_records(struct stream_thread *thread, int32_t timeout_ms,
                                  struct weir_error *error)
{
    struct weir_kafka_batch batch = {0};
    if (thread->pending_bytes && timeout_ms > LINGERING_MS)
        timeout_ms = LINGERING_MS; /* reports are served in the next round */
    enum weir_err err = weir_kafka_poll(thread->consumer, thread->streams->options.batch_rows,
                                        timeout_ms, want, thread, &batch, error);
    if (err == WEIR_AGAIN)
        return WEIR_OK;
    if (err != WEIR_OK) {
        weir_log(&thread->streams->options.log, WEIR_LOG_WARN, "streams", "reading: %s",
                 error->message);
        streams_pause(thread->streams, thread->streams->options.poll_ms);
        return error->fatal ? err : WEIR_OK;
    }
    struct task *task = task_at(thread, batch.partition_index);
    if (!task || task->must_rewind) {
        weir_kafka_batch_release(&batch);
        return WEIR_OK;
    }
    err = task_process(task, &batch, error);
    if (err == WEIR_AGAIN)
        return WEIR_OK;
    if (err != WEIR_OK)
        task_fail(task, error, true);
    return WEIR_OK;
}

static void look_at_lag(struct stream_thread *thread)
{
    int64_t now_ns = streams_now_ns(thread->streams), sum = 0;
    bool known = true;
    if (now_ns < thread->lag_due_ns)
        return;
    thread->lag_due_ns = now_ns + LAG_EVERY_MS * WEIR_NS_PER_MS;
    for (const struct task *task = thread->tasks; task; task = task->next) {
        int64_t lag = weir_kafka_lag(thread->consumer, task->index);
        known &= lag >= 0;
        sum += lag > 0 ? lag : 0;
    }
    atomic_store_explicit(&thread->lag, known ? sum : -1, memory_order_relaxed);
}

enum weir_err thread_step(struct stream_thread *thread, int32_t timeout_ms,
                          struct weir_error *error)
{
    weir_kafka_producer_poll(thread->producer, 0);
    if (thread->letters)
        dead_letters_send_kept(thread);
    enum weir_err err = rewind_tasks(thread, error);
    if (err == WEIR_OK) {
        retry_parked(thread, error);
        punctuate(thread, error);
        commit_if_due(thread, error);
        err = read_records(thread, timeout_ms, error);
    }
    look_at_lag(thread);
    return err;
}

/* ---- closing --------------------------------------------------------------------------------- */

void thread_close(struct stream_thread *thread)
{
    struct weir_streams *streams = thread->streams;
    const uint32_t nodes = streams->topology->node_count;
    if (!thread->closing)
        thread->close_deadline_ns =
            streams_now_ns(streams) + streams->options.drain_timeout_ms * WEIR_NS_PER_MS;
    thread->closing = true;
    set_wakeable(thread, NULL);
    if (thread->consumer)
        weir_kafka_consumer_close(thread->consumer, CLOSE_TIMEOUT_MS); /* `lost` drains */
    thread->consumer = NULL;
    while (thread->tasks)
        close_task(thread, &thread->tasks);
    while (thread->letters && thread->producer && !thread->producer_failed &&
           streams_now_ns(streams) < thread->close_deadline_ns && !streams->clock->is_virtual) {
        dead_letters_send_kept(thread);
        weir_kafka_producer_poll(thread->producer, REPORTS_WAIT_MS);
    }
    thread->drained &= !thread->letters;
    weir_kafka_producer_close(thread->producer);
    thread->producer = NULL;
    dead_letters_free(thread);
    for (uint32_t i = 0; i < nodes; i++) {
        weir_block_free(thread->blocks[i]);
        weir_decoder_free(thread->decoders[i]);
        thread->blocks[i] = NULL;
        thread->decoders[i] = NULL;
    }
    inflight_pool_free(thread);
    weir_free(thread->headers);
    thread->headers = NULL;
    thread->header_capacity = 0;
}

/* Waits until the global stores have been read. False: the instance ends. */
static bool wait_for_globals(struct weir_streams *streams)
{
    pthread_mutex_lock(&streams->lock);
    while (!streams->globals_ready && !atomic_load(&streams->stopping))
        pthread_cond_wait(&streams->changed, &streams->lock);
    pthread_mutex_unlock(&streams->lock);
    return !atomic_load(&streams->stopping);
}

void *thread_run(void *opaque)
{
    struct stream_thread *thread = opaque;
    struct weir_streams *streams = thread->streams;
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err = WEIR_OK;
    if (wait_for_globals(streams)) {
        err = thread_open(thread, &error);
        while (err == WEIR_OK && !atomic_load(&streams->stopping))
            err = thread_step(thread, streams->options.poll_ms, &error);
    }
    if (err != WEIR_OK)
        streams_fail(streams, &error);
    thread_close(thread);
    return NULL;
}
