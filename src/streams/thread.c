/*
 * streams/thread.c - a stream thread: reads, processes, commits.
 *
 * A round: reports -> rewinds -> parked blocks -> punctuators -> commit -> records. What happens
 * when tasks come and go stands in rebalance.c.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "streams/inside.h"

enum {
    CLOSE_TIMEOUT_MS = 3000,
    RETRY_COMMIT_MS = 1000,
    RETRY_PARKED_MS = 100,
    LAG_EVERY_MS = 500,
    REPORTS_WAIT_MS = 10,
    BLOCK_BYTES_MAX = 16 << 20, /* headroom of the producer's queue: what one block may lead to */
    LINGERING_MS = 10,          /* how soon reports are looked for while some are out */
    RESTORING_MS = 1,
    INSTANCE_ID_BYTES = 300,
    TRANSACTIONAL_ID_BYTES = 300,
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
    if (kind == OPAQUE_CHANGE) {
        changes_report(owner, offset, error);
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
    char transactional_id[TRANSACTIONAL_ID_BYTES];
    if (is_exactly_once(streams)) {
        snprintf(transactional_id, sizeof transactional_id, "%s-%s-%u",
                 streams->options.application_id, streams->process_id, thread->number);
        options.transactional_id = transactional_id;
        options.transaction_timeout_ms = streams->options.transaction_timeout_ms;
        thread->transaction = TRANSACTION_NEW;
    }
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
    enum weir_err err = transaction_enter(thread, error);
    *accepted = 0;
    if (err != WEIR_OK)
        return err;
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

bool thread_has_room(const struct stream_thread *thread)
{
    const struct weir_streams_options *options = &thread->streams->options;
    return thread->pending_bytes < options->output_bytes / options->threads;
}

enum weir_err thread_produce(struct stream_thread *thread, const struct weir_kafka_record *record,
                             struct weir_error *error)
{
    enum weir_err err = transaction_enter(thread, error);
    if (err != WEIR_OK)
        return err;
    do
        err = weir_kafka_produce(thread->producer, record, error);
    while (err == WEIR_AGAIN && wait_for_room(thread));
    return err;
}

/* ---- opening --------------------------------------------------------------------------------- */

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

static enum weir_err open_consumer(struct stream_thread *thread, struct weir_error *error)
{
    const struct weir_streams *streams = thread->streams;
    const char *topics[WEIR_NODES_MAX];
    char instance_id[INSTANCE_ID_BYTES];
    struct weir_kafka_consumer_options options;
    weir_kafka_consumer_options_default(&options);
    options.group_id = streams->options.application_id;
    if (streams->options
            .group_instance_id) { /* each thread is a member, named as by Kafka Streams */
        snprintf(instance_id, sizeof instance_id, "%s-%u", streams->options.group_instance_id,
                 thread->number);
        options.group_instance_id = instance_id;
    }
    options.topics = topics;
    options.topic_count = partitions_task_topics(streams, topics);
    options.queue_bytes = streams->options.input_bytes / streams->options.threads;
    options.partitions_expected = streams->options.partitions_expected;
    options.rebalance = (struct weir_kafka_rebalance){.gained = rebalance_gained,
                                                      .lost = rebalance_lost,
                                                      .opaque = thread,
                                                      .sources = rebalance_sources};
    enum weir_err err = weir_kafka_consumer_new(streams->kafka, &options, &thread->consumer, error);
    if (err == WEIR_OK)
        set_wakeable(thread, thread->consumer);
    return err;
}

enum weir_err thread_open_clients(struct stream_thread *thread, struct weir_error *error)
{
    enum weir_err err = open_producer(thread, error);
    return err == WEIR_OK ? open_consumer(thread, error) : err;
}

enum weir_err thread_open(struct stream_thread *thread, struct weir_error *error)
{
    thread->commit_due_ns = streams_now_ns(thread->streams) +
                            thread->streams->options.commit_interval_ms * WEIR_NS_PER_MS;
    enum weir_err err = open_blocks(thread, error);
    if (err == WEIR_OK)
        err = partitions_open(thread, error);
    return err == WEIR_OK ? thread_open_clients(thread, error) : err;
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
             "task %s is set back to its last commit, %s at %lld: %s", task->id,
             task->inputs[0].topic, (long long)task->inputs[0].position_committed,
             task->why.message);
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

/* What is done is committed first, so that a rewind after much work counts as progress; but not of
 * a task with stores, which are as they were at its last commit then. False: not now. */
static bool commit_before_rewind(struct stream_thread *thread, struct task *task)
{
    struct weir_error ignored;
    if (is_exactly_once(thread->streams))
        return true; /* its transaction was aborted */
    task->marked = true;
    enum weir_err err = thread_commit(thread, true, &ignored);
    task->marked = false;
    return err != WEIR_AGAIN;
}

static enum weir_err rewind_task(struct stream_thread *thread, struct task *task,
                                 struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    if (!commit_before_rewind(thread, task))
        return WEIR_OK; /* a rebalance is under way: after it */
    for (uint32_t i = 0; i < task->input_count && err == WEIR_OK; i++)
        err = weir_kafka_rewind(thread->consumer, task->inputs[i].index,
                                task->inputs[i].position_committed, error);
    if (err == WEIR_AGAIN || err == WEIR_NOT_FOUND)
        return WEIR_OK; /* after the rebalance, or not at all */
    if (err == WEIR_OK && !task->dragged)
        err = count_rewind(task, error);
    if (err != WEIR_OK)
        return err;
    task_drop(task);
    stores_rollback(task);
    return WEIR_OK;
}

static enum weir_err rewind_tasks(struct stream_thread *thread, struct weir_error *error)
{
    static const struct weir_error lost_producer = {.code = WEIR_BROKER,
                                                    .message = "the producer had to be replaced"};
    enum weir_err err = WEIR_OK;
    if (!transaction_is_decided(thread))
        return WEIR_OK;
    if (thread->producer_failed) { /* what it had is reported while it closes */
        weir_kafka_producer_close(thread->producer);
        thread->producer = NULL;
        for (struct task *task = thread->tasks; task; task = task->next)
            if (!task_is_delivered(task))
                task_fail(task, &lost_producer, false);
        err = open_producer(thread, error);
    }
    for (struct task *task = thread->tasks; task && err == WEIR_OK; task = task->next)
        if (task->must_rewind)
            err = rewind_task(thread, task, error);
    return err;
}

/* Is it time, or is too much held back in memory? */
static bool commit_is_due(const struct stream_thread *thread)
{
    const struct weir_streams_options *options = &thread->streams->options;
    size_t pending = 0;
    for (const struct task *task = thread->tasks; task; task = task->next)
        pending += stores_pending_bytes(task);
    return streams_now_ns(thread->streams) >= thread->commit_due_ns ||
           pending > options->store_uncommitted_bytes / options->threads;
}

/* Tasks that settle take nothing more until all they led to is delivered. True: so it is. */
static bool all_settled(struct stream_thread *thread)
{
    bool settled = true;
    for (const struct task *task = thread->tasks; task; task = task->next)
        settled &= !task->settling || task->must_rewind || task_is_delivered(task);
    if (!settled) /* what lingers is to go */
        (void)!weir_kafka_producer_flush(thread->producer, REPORTS_WAIT_MS);
    return settled;
}

void thread_go_on(struct stream_thread *thread)
{
    if (!transaction_is_decided(thread))
        return; /* what is in the stores is part of it */
    for (struct task *task = thread->tasks; task; task = task->next)
        task->settling = false;
    thread->committing = false;
}

static void commit_if_due(struct stream_thread *thread, struct weir_error *error)
{
    if (!thread->committing) {
        if (!commit_is_due(thread))
            return;
        for (struct task *task = thread->tasks; task; task = task->next)
            if (task_flush(task, error) != WEIR_OK)
                task_fail(task, error, true);
        thread->committing = true;
    }
    if (!all_settled(thread))
        return;
    struct weir_error why = {.code = WEIR_OK};
    int64_t interval_ms = thread->streams->options.commit_interval_ms;
    if (thread_commit(thread, false, &why) != WEIR_OK && interval_ms > RETRY_COMMIT_MS)
        interval_ms = RETRY_COMMIT_MS;
    thread_go_on(thread);
    thread->commit_due_ns = streams_now_ns(thread->streams) + interval_ms * WEIR_NS_PER_MS;
}

/* Has it patience, and is there room for what it leads to? */
static bool may_run(const struct task *task)
{
    return task->is_ready && !task->must_rewind && !task->settling &&
           transaction_is_decided(task->thread) &&
           task->resume_ns <= streams_now_ns(task->thread->streams) &&
           task->inflight_count < INFLIGHT_MAX && thread_has_room(task->thread);
}

static void run(struct task *task, struct weir_error *error)
{
    enum weir_err err = task->must_rewind ? WEIR_OK : task_run(task, error);
    if (err != WEIR_OK && err != WEIR_AGAIN)
        task_fail(task, error, true);
}

static void retry_parked(struct stream_thread *thread, struct weir_error *error)
{
    int64_t now_ns = streams_now_ns(thread->streams);
    if (!atomic_exchange(&thread->woken, false) && now_ns < thread->retry_due_ns)
        return;
    thread->retry_due_ns = now_ns + RETRY_PARKED_MS * WEIR_NS_PER_MS;
    for (struct task *task = thread->tasks; task; task = task->next)
        if (task->parked && !task->settling)
            run(task, error);
}

/* What had to wait for other inputs of its task may be due. True: something waits still. */
static bool run_waiting(struct stream_thread *thread, struct weir_error *error)
{
    bool waits = false;
    for (struct task *task = thread->tasks; task; task = task->next)
        if (!task->parked && inputs_wait(task)) {
            if (may_run(task))
                run(task, error);
            waits |= inputs_wait(task);
        }
    return waits;
}

static void punctuate(struct stream_thread *thread, struct weir_error *error)
{
    for (struct task *task = thread->tasks; task; task = task->next)
        if (task->punctuator_count && task->is_ready && !task->must_rewind && !task->settling &&
            task_punctuate(task, error) != WEIR_OK)
            task_fail(task, error, true);
}

/* Stores are read one task after the other. *busy: one is being read. */
static enum weir_err restore(struct stream_thread *thread, bool *busy, struct weir_error *error)
{
    struct task *task = thread->tasks;
    while (task && (task->is_ready || task->must_rewind))
        task = task->next;
    if (!task)
        return WEIR_OK;
    *busy = true;
    enum weir_err err = task_restore(task, error);
    if (err == WEIR_OK && task->is_ready)
        thread_tell_running(thread);
    return err;
}

static struct input *input_at(const struct stream_thread *thread, int32_t index)
{
    return (uint32_t)index < thread->input_capacity ? thread->inputs[index] : NULL;
}

/* May records of this partition be read now? */
static bool want(void *opaque, int32_t partition_index)
{
    const struct input *input = input_at(opaque, partition_index);
    return input && !input->has_batch && !input->task->parked && may_run(input->task);
}

static enum weir_err read_records(struct stream_thread *thread, int32_t timeout_ms,
                                  struct weir_error *error)
{
    struct weir_kafka_batch batch = {0};
    if ((run_waiting(thread, error) || thread->pending_bytes) && timeout_ms > LINGERING_MS)
        timeout_ms = LINGERING_MS; /* reports, and who waits, are served in the next round */
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
    struct input *input = input_at(thread, batch.partition_index);
    if (!input || input->task->must_rewind) {
        weir_kafka_batch_release(&batch);
        return WEIR_OK;
    }
    if (input_take(input, &batch) != WEIR_OK) {
        weir_error_set(error, WEIR_NOMEM, -1, "no memory for the times of records");
        task_fail(input->task, error, false);
        return WEIR_OK;
    }
    run(input->task, error);
    return WEIR_OK;
}

static void look_at_lag(struct stream_thread *thread)
{
    int64_t now_ns = streams_now_ns(thread->streams), sum = 0;
    bool known = true;
    if (now_ns < thread->lag_due_ns)
        return;
    thread->lag_due_ns = now_ns + LAG_EVERY_MS * WEIR_NS_PER_MS;
    for (uint32_t i = 0; i < thread->input_capacity; i++) {
        int64_t lag = thread->inputs[i] ? weir_kafka_lag(thread->consumer, (int32_t)i) : 0;
        known &= lag >= 0;
        sum += lag > 0 ? lag : 0;
    }
    atomic_store_explicit(&thread->lag, known ? sum : -1, memory_order_relaxed);
}

enum weir_err thread_step(struct stream_thread *thread, int32_t timeout_ms,
                          struct weir_error *error)
{
    weir_kafka_producer_poll(thread->producer, 0);
    if (atomic_load_explicit(&thread->asked, memory_order_relaxed))
        query_answer(thread);
    enum weir_err err = transaction_step(thread, error);
    if (err == WEIR_OK)
        err = rewind_tasks(thread, error);
    if (err == WEIR_OK && transaction_is_decided(thread)) {
        dead_letters_send_kept(thread);
        retry_parked(thread, error);
        punctuate(thread, error);
        commit_if_due(thread, error);
    }
    if (err == WEIR_OK) {
        partitions_purge(thread);
        err = partitions_look(thread, error);
    }
    bool restores = false;
    if (err == WEIR_OK)
        err = restore(thread, &restores, error);
    if (restores && timeout_ms > RESTORING_MS)
        timeout_ms = RESTORING_MS;
    if (err == WEIR_OK)
        err = read_records(thread, timeout_ms, error);
    look_at_lag(thread);
    return err;
}

/* ---- closing --------------------------------------------------------------------------------- */

static void close_consumer(struct stream_thread *thread)
{
    set_wakeable(thread, NULL);
    weir_kafka_consumer_close(thread->consumer, CLOSE_TIMEOUT_MS); /* `lost` drains */
    thread->consumer = NULL;
    thread_close_tasks(thread);
}

void thread_close_clients(struct stream_thread *thread)
{
    close_consumer(thread);
    weir_kafka_producer_close(thread->producer);
    thread->producer = NULL;
}

static void send_letters(struct stream_thread *thread)
{
    const struct weir_streams *streams = thread->streams;
    struct weir_error ignored;
    while (thread->letters && thread->producer && !thread->producer_failed &&
           transaction_is_decided(thread) && streams_now_ns(streams) < thread->close_deadline_ns &&
           !streams->clock->is_virtual) {
        dead_letters_send_kept(thread);
        weir_kafka_producer_poll(thread->producer, REPORTS_WAIT_MS);
        if (is_exactly_once(streams))
            (void)!thread_commit(thread, false, &ignored);
    }
}

void thread_close(struct stream_thread *thread)
{
    struct weir_streams *streams = thread->streams;
    const uint32_t nodes = streams->topology->node_count;
    if (!thread->closing)
        thread->close_deadline_ns =
            streams_now_ns(streams) + streams->options.drain_timeout_ms * WEIR_NS_PER_MS;
    thread->closing = true;
    close_consumer(thread);
    send_letters(thread);
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
    weir_block_free(thread->single);
    thread->single = NULL;
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
