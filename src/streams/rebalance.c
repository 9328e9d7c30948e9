/*
 * streams/rebalance.c - tasks that come and go.
 *
 * Rebalances are told inside the poll: a task that is lost first gets deliveries of what was read
 * for it (for a bounded time), then its commit, then it is closed. With exactly once all tasks of
 * the thread are committed then, for they share its transaction.
 */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

enum {
    REVOKE_TIMEOUT_MS = 10000, /* for the deliveries of what is lost */
    LAST_COMMIT_MS = 3000,
    REPORTS_WAIT_MS = 10,
};

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

/* Is it committed when the marked ones are? */
static bool is_concerned(const struct task *task)
{
    return task->marked || is_exactly_once(task->thread->streams);
}

/* Waits until everything that is to be committed is delivered, or one of the tasks fails. */
static bool wait_for_deliveries(struct stream_thread *thread, int64_t deadline_ns)
{
    for (;;) {
        bool pending = false;
        for (const struct task *task = thread->tasks; task; task = task->next)
            pending |= is_concerned(task) && !task->must_rewind && !task_is_delivered(task);
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

/* What was read for them is delivered and committed, if time allows. */
static void finish_marked(struct stream_thread *thread)
{
    struct weir_error error = {.code = WEIR_OK};
    int64_t deadline_ns =
        thread->closing ? thread->close_deadline_ns
                        : streams_now_ns(thread->streams) + REVOKE_TIMEOUT_MS * WEIR_NS_PER_MS;
    for (struct task *task = thread->tasks; task; task = task->next)
        if (is_concerned(task) && task_flush(task, &error) != WEIR_OK)
            task_fail(task, &error, true);
    wait_for_deliveries(thread, deadline_ns);
    commit_lost(thread);
}

void rebalance_lost(void *opaque, const struct weir_kafka_partition *partitions,
                    const int32_t *indexes, uint32_t count, bool gone)
{
    struct stream_thread *thread = opaque;
    (void)partitions;
    mark(thread, indexes, count);
    if (!gone && transaction_is_decided(thread))
        finish_marked(thread);
    transaction_lost(thread);
    for (struct task **at = &thread->tasks; *at;) {
        if (!(*at)->marked) {
            at = &(*at)->next;
            continue;
        }
        if (thread->closing)
            thread->drained &= is_drained(*at);
        close_task(thread, at);
    }
    thread_go_on(thread);
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
