/*
 * streams/rebalance.c - tasks that come and go, and commits.
 *
 * Rebalances are told inside the poll: a task that is lost first gets deliveries of what was read
 * for it (for a bounded time), then its commit, then it is closed.
 *
 * Brokers forget offsets of topics that no member of a group subscribes to, and we subscribe to
 * tasks alone: what lies still is committed again each hour.
 */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

enum {
    COMMIT_TIMEOUT_MS = 5000,
    COMMIT_AT_ONCE = 512,
    REVOKE_TIMEOUT_MS = 10000, /* for the deliveries of what is lost */
    LAST_COMMIT_MS = 3000,
    KEEP_MS = 3600000,
    REPORTS_WAIT_MS = 10,
};

/* ---- committing ------------------------------------------------------------------------------ */

static void note_commit(struct input *input, const struct weir_kafka_partition *partition)
{
    struct task *task = input->task;
    if (partition->err != WEIR_OK)
        return;
    if (partition->offset > input->position_committed)
        task->rewinds = task->processor_rewinds = 0; /* there is progress */
    input->position_committed = partition->offset;
    input->is_kept = true;
    input->kept_ns = streams_now_ns(task->thread->streams);
}

static enum weir_err commit_some(struct stream_thread *thread, struct input **inputs,
                                 uint32_t count, struct weir_error *error)
{
    struct weir_kafka_partition partitions[COMMIT_AT_ONCE];
    for (uint32_t i = 0; i < count; i++)
        partitions[i] = (struct weir_kafka_partition){.topic = inputs[i]->topic,
                                                      .partition = inputs[i]->task->partition,
                                                      .offset = inputs[i]->position_done};
    enum weir_err err =
        weir_kafka_commit(thread->consumer, partitions, count, COMMIT_TIMEOUT_MS, error);
    if (err == WEIR_OK) {
        for (uint32_t i = 0; i < count; i++)
            note_commit(inputs[i], &partitions[i]);
        count_up(&thread->streams->counters.commits, 1);
    } else if (err != WEIR_AGAIN) {
        count_up(&thread->streams->counters.commit_failures, 1);
        weir_log(&thread->streams->options.log, WEIR_LOG_WARN, "streams",
                 "offsets were not committed: %s", error->message);
    }
    return err;
}

static bool is_to_commit(const struct input *input, int64_t now_ns, bool marked_only)
{
    if (marked_only && !input->task->marked)
        return false;
    if (input->position_done > input->position_committed)
        return !task_has_state(input->task) || task_is_settled(input->task);
    return input->is_kept && now_ns - input->kept_ns >= KEEP_MS * WEIR_NS_PER_MS;
}

/* Of tasks whose offsets are committed now. A failure ends the instance: on its next start the
 * changelogs have what is missing. */
static enum weir_err commit_stores(struct stream_thread *thread, bool marked_only,
                                   struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (struct task *task = thread->tasks; task && err == WEIR_OK; task = task->next) {
        bool together = task_is_settled(task) && (task->marked || !marked_only);
        for (uint32_t i = 0; i < task->input_count; i++)
            together &= task->inputs[i].position_done == task->inputs[i].position_committed;
        if (together)
            err = stores_commit(task, error);
    }
    if (err != WEIR_OK)
        streams_fail(thread->streams, error);
    return err;
}

enum weir_err thread_commit(struct stream_thread *thread, bool marked_only,
                            struct weir_error *error)
{
    struct input *inputs[COMMIT_AT_ONCE];
    int64_t now_ns = streams_now_ns(thread->streams);
    enum weir_err err = WEIR_OK;
    uint32_t count = 0;
    for (uint32_t i = 0; i < thread->input_capacity && err == WEIR_OK; i++) {
        struct input *input = thread->inputs[i];
        if (!input || !is_to_commit(input, now_ns, marked_only))
            continue;
        inputs[count++] = input;
        if (count == COMMIT_AT_ONCE) {
            err = commit_some(thread, inputs, count, error);
            count = 0;
        }
    }
    if (count && err == WEIR_OK)
        err = commit_some(thread, inputs, count, error);
    return err == WEIR_OK ? commit_stores(thread, marked_only, error) : err;
}

/* ---- gained ---------------------------------------------------------------------------------- */

static enum weir_err make_room(struct stream_thread *thread, const int32_t *indexes, uint32_t count)
{
    uint32_t capacity = thread->input_capacity;
    for (uint32_t i = 0; i < count; i++)
        if ((uint32_t)indexes[i] >= capacity)
            capacity = (uint32_t)indexes[i] + 1;
    if (capacity == thread->input_capacity)
        return WEIR_OK;
    struct input **inputs = weir_realloc_array(thread->inputs, capacity, sizeof(struct input *));
    if (!inputs)
        return WEIR_NOMEM;
    for (uint32_t i = thread->input_capacity; i < capacity; i++)
        inputs[i] = NULL;
    thread->inputs = inputs;
    thread->input_capacity = capacity;
    return WEIR_OK;
}

static uint32_t number_of(const struct stream_thread *thread, const char *topic)
{
    const struct weir_topology *topology = thread->streams->topology;
    uint32_t source = topology->topics[partitions_source_topic(topology, topic)].source;
    return thread->streams->numbers.of_node[source];
}

static enum weir_err open_task(struct stream_thread *thread, uint32_t number,
                               const struct weir_kafka_partition *partitions,
                               const int32_t *indexes, uint32_t count, struct weir_error *error)
{
    struct task *task;
    enum weir_err err = task_new(thread, number, partitions, indexes, count, &task, error);
    if (err != WEIR_OK)
        return err;
    task->next = thread->tasks;
    thread->tasks = task;
    atomic_fetch_add(&thread->task_count, 1);
    for (uint32_t i = 0; i < count; i++) {
        thread->inputs[indexes[i]] = &task->inputs[i];
        weir_log(&thread->streams->options.log, WEIR_LOG_INFO, "streams",
                 "task %s: %s-%d from offset %lld", task->id, task->inputs[i].topic,
                 (int)task->partition, (long long)partitions[i].offset);
    }
    return WEIR_OK;
}

/* Those of partitions from `first` on that belong to one task with it, first of all itself. */
static uint32_t gather(const struct stream_thread *thread,
                       const struct weir_kafka_partition *partitions, const int32_t *indexes,
                       uint32_t first, uint32_t count, struct weir_kafka_partition *task_partitions,
                       int32_t *task_indexes)
{
    uint32_t gathered = 0, number = number_of(thread, partitions[first].topic);
    for (uint32_t i = first; i < count; i++) {
        if (partitions[i].partition != partitions[first].partition ||
            number_of(thread, partitions[i].topic) != number)
            continue;
        weir_assert(gathered < WEIR_KAFKA_SOURCES_MAX);
        task_partitions[gathered] = partitions[i];
        task_indexes[gathered++] = indexes[i];
    }
    return gathered;
}

void thread_tell_running(struct stream_thread *thread)
{
    bool ready = true;
    for (const struct task *task = thread->tasks; task; task = task->next)
        ready &= task->is_ready;
    if (ready)
        streams_become(thread->streams, WEIR_STREAMS_RUNNING);
}

void rebalance_gained(void *opaque, struct weir_kafka_partition *partitions, const int32_t *indexes,
                      uint32_t count)
{
    struct stream_thread *thread = opaque;
    struct weir_kafka_partition task_partitions[WEIR_KAFKA_SOURCES_MAX];
    int32_t task_indexes[WEIR_KAFKA_SOURCES_MAX];
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err = make_room(thread, indexes, count);
    if (err != WEIR_OK)
        weir_error_set(&error, err, -1, "no memory for a task");
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++) {
        if (thread->inputs[indexes[i]])
            continue; /* its task was made with another of its partitions */
        uint32_t gathered =
            gather(thread, partitions, indexes, i, count, task_partitions, task_indexes);
        err = open_task(thread, number_of(thread, partitions[i].topic), task_partitions,
                        task_indexes, gathered, &error);
    }
    if (err != WEIR_OK) {
        streams_fail(thread->streams, &error);
        return;
    }
    count_up(&thread->streams->counters.rebalances, 1);
    thread_tell_running(thread);
}

/* ---- lost ------------------------------------------------------------------------------------ */

/* Waits until everything of the marked tasks is delivered, or one of them fails. */
static bool wait_for_deliveries(struct stream_thread *thread, int64_t deadline_ns)
{
    for (;;) {
        bool pending = false;
        for (const struct task *task = thread->tasks; task; task = task->next)
            pending |= task->marked && !task->must_rewind && !task_is_delivered(task);
        if (!pending)
            return true;
        if (streams_now_ns(thread->streams) >= deadline_ns || thread->producer_failed)
            return false;
        if (!weir_kafka_producer_poll(thread->producer, REPORTS_WAIT_MS) &&
            thread->streams->clock->is_virtual)
            return false; /* time does not pass while we wait */
    }
}

/* The last commit of tasks that go; while members come and go the coordinator may ask for a
 * moment's patience. */
static void commit_lost(struct stream_thread *thread)
{
    struct weir_error error = {.code = WEIR_OK};
    int64_t until_ns = streams_now_ns(thread->streams) + LAST_COMMIT_MS * WEIR_NS_PER_MS;
    while (thread_commit(thread, true, &error) == WEIR_AGAIN &&
           streams_now_ns(thread->streams) < until_ns && !thread->streams->clock->is_virtual) {
        const struct timespec moment = {.tv_nsec = 20 * 1000000};
        nanosleep(&moment, NULL);
    }
}

static void close_task(struct stream_thread *thread, struct task **at)
{
    struct task *task = *at;
    *at = task->next;
    for (uint32_t i = 0; i < task->input_count; i++)
        thread->inputs[task->inputs[i].index] = NULL;
    task_free(task);
    atomic_fetch_sub(&thread->task_count, 1);
}

static bool is_drained(const struct task *task)
{
    bool drained = task_is_delivered(task);
    for (uint32_t i = 0; i < task->input_count; i++)
        drained &= task->inputs[i].position_done == task->inputs[i].position_committed;
    return drained;
}

static void mark(struct stream_thread *thread, const int32_t *indexes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if ((uint32_t)indexes[i] < thread->input_capacity && thread->inputs[indexes[i]])
            thread->inputs[indexes[i]]->task->marked = true;
}

void rebalance_lost(void *opaque, const struct weir_kafka_partition *partitions,
                    const int32_t *indexes, uint32_t count, bool gone)
{
    struct stream_thread *thread = opaque;
    struct weir_error error = {.code = WEIR_OK};
    (void)partitions;
    mark(thread, indexes, count);
    if (!gone) {
        int64_t deadline_ns =
            thread->closing ? thread->close_deadline_ns
                            : streams_now_ns(thread->streams) + REVOKE_TIMEOUT_MS * WEIR_NS_PER_MS;
        for (struct task *task = thread->tasks; task; task = task->next)
            if (task->marked && task_flush(task, &error) != WEIR_OK)
                task_fail(task, &error, true);
        wait_for_deliveries(thread, deadline_ns);
        commit_lost(thread);
    }
    for (struct task **at = &thread->tasks; *at;) {
        if (!(*at)->marked) {
            at = &(*at)->next;
            continue;
        }
        if (thread->closing)
            thread->drained &= is_drained(*at);
        close_task(thread, at);
    }
    count_up(&thread->streams->counters.rebalances, 1);
    if (!thread->tasks)
        streams_become(thread->streams, WEIR_STREAMS_REBALANCING);
}

void thread_close_tasks(struct stream_thread *thread)
{
    while (thread->tasks)
        close_task(thread, &thread->tasks);
    weir_free(thread->inputs);
    thread->inputs = NULL;
    thread->input_capacity = 0;
}
