/*
 * streams/commit.c - what is committed: offsets of what is done, then stores.
 *
 * At least once offsets go to the group, with exactly once into the thread's transaction, see
 * transaction.c.
 *
 * Brokers forget offsets of topics that no member of a group subscribes to, and we subscribe to
 * tasks alone: what lies still is committed again each hour.
 */
#include "streams/inside.h"

enum {
    COMMIT_TIMEOUT_MS = 5000,
    COMMIT_AT_ONCE = 512,
    KEEP_MS = 3600000,
};

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

/* To the group, or into the thread's transaction. */
static enum weir_err send_some(struct stream_thread *thread, struct input **inputs, uint32_t count,
                               struct weir_error *error)
{
    struct weir_kafka_partition partitions[COMMIT_AT_ONCE];
    for (uint32_t i = 0; i < count; i++)
        partitions[i] = (struct weir_kafka_partition){.topic = inputs[i]->topic,
                                                      .partition = inputs[i]->task->partition,
                                                      .offset = inputs[i]->position_done};
    if (is_exactly_once(thread->streams))
        return weir_kafka_transaction_offsets(thread->producer, thread->consumer, partitions, count,
                                              COMMIT_TIMEOUT_MS, error);
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

enum weir_err commit_send_offsets(struct stream_thread *thread, bool marked_only,
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
            err = send_some(thread, inputs, count, error);
            count = 0;
        }
    }
    return count && err == WEIR_OK ? send_some(thread, inputs, count, error) : err;
}

bool commit_is_needed(const struct stream_thread *thread)
{
    int64_t now_ns = streams_now_ns(thread->streams);
    for (uint32_t i = 0; i < thread->input_capacity; i++)
        if (thread->inputs[i] && is_to_commit(thread->inputs[i], now_ns, false))
            return true;
    return false;
}

enum weir_err commit_note_transaction(struct stream_thread *thread, struct weir_error *error)
{
    int64_t now_ns = streams_now_ns(thread->streams);
    for (uint32_t i = 0; i < thread->input_capacity; i++) {
        struct input *input = thread->inputs[i];
        if (input && is_to_commit(input, now_ns, false))
            note_commit(input, &(struct weir_kafka_partition){.offset = input->position_done});
    }
    count_up(&thread->streams->counters.commits, 1);
    return commit_stores(thread, false, error);
}

enum weir_err thread_commit(struct stream_thread *thread, bool marked_only,
                            struct weir_error *error)
{
    if (is_exactly_once(thread->streams))
        return transaction_commit(thread, error);
    enum weir_err err = commit_send_offsets(thread, marked_only, error);
    return err == WEIR_OK ? commit_stores(thread, marked_only, error) : err;
}
