/*
 * streams/inputs.c - which of a task's source partitions is next.
 *
 * A task holds at most one batch of each; what it holds is not read on. Rows are taken in the order
 * of their timestamps over all inputs, as far as each input is in order itself. While an input is
 * empty that order is not known, so that the others wait for it: as long as there is something to
 * be read of it, and max_task_idle_ms longer (KIP-695).
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

/* The times that the source's extractor tells stand in for the records' own. */
static enum weir_err extract_times(struct input *input)
{
    const struct stream_thread *thread = input->task->thread;
    const struct node *source = &thread->streams->topology->nodes[input->source];
    struct weir_rows *rows = &input->batch.rows;
    if (!source->extractor)
        return WEIR_OK;
    if (!input->times_ms)
        input->times_ms = weir_calloc(thread->streams->options.batch_rows, sizeof(int64_t));
    if (!input->times_ms)
        return WEIR_NOMEM;
    if (!rows->topic)
        rows->topic = input->topic;
    for (uint32_t row = 0; row < input->batch.count; row++) {
        int64_t time_ms = source->extractor(source->extractor_config, rows, row, input->newest_ms);
        input->times_ms[row] = time_ms;
        if (time_ms > input->newest_ms)
            input->newest_ms = time_ms;
    }
    rows->timestamp_ms = input->times_ms;
    return WEIR_OK;
}

enum weir_err input_take(struct input *input, const struct weir_kafka_batch *batch)
{
    weir_assert(!input->has_batch &&
                batch->count <= input->task->thread->streams->options.batch_rows);
    input->batch = *batch;
    input->has_batch = true;
    input->row = 0;
    enum weir_err err = extract_times(input);
    if (err != WEIR_OK)
        input_drop(input);
    return err;
}

void input_drop(struct input *input)
{
    if (input->has_batch)
        weir_kafka_batch_release(&input->batch);
    input->has_batch = false;
    input->row = 0;
}

bool inputs_wait(const struct task *task)
{
    for (uint32_t i = 0; i < task->input_count; i++)
        if (task->inputs[i].has_batch && &task->inputs[i] != task->parked)
            return true;
    return false;
}

/* Have the others to wait for this one, which is empty? */
static bool is_waited_for(struct input *input)
{
    const struct stream_thread *thread = input->task->thread;
    int64_t idle_ms = thread->streams->options.max_task_idle_ms;
    if (idle_ms < 0)
        return false;
    if (weir_kafka_lag(thread->consumer, input->index) != 0) {
        input->idle_until_ns = -1;
        return true;
    }
    int64_t now_ns = streams_now_ns(thread->streams);
    if (input->idle_until_ns < 0)
        input->idle_until_ns = now_ns + idle_ms * WEIR_NS_PER_MS;
    return now_ns < input->idle_until_ns;
}

static int64_t head_ms(const struct input *input)
{
    return input->batch.rows.timestamp_ms[input->row];
}

/* Where the rows of `first` end that come before all of the other input's. */
static uint32_t end_before(const struct input *first, const struct input *other, uint32_t end)
{
    int64_t until_ms = head_ms(other);
    uint32_t row = first->row + 1;
    while (row < end && (first->batch.rows.timestamp_ms[row] < until_ms ||
                         (first->batch.rows.timestamp_ms[row] == until_ms && first < other)))
        row++;
    return row;
}

struct input *inputs_choose(struct task *task, uint32_t *end_out)
{
    struct input *first = NULL;
    bool wait = false;
    for (uint32_t i = 0; i < task->input_count; i++) {
        struct input *input = &task->inputs[i];
        if (!input->has_batch) {
            wait |= task->input_count > 1 && is_waited_for(input);
            continue;
        }
        input->idle_until_ns = -1;
        if (!first || head_ms(input) < head_ms(first))
            first = input;
    }
    if (!first || wait)
        return NULL;
    *end_out = first->batch.count;
    for (uint32_t i = 0; i < task->input_count; i++)
        if (task->inputs[i].has_batch && &task->inputs[i] != first)
            *end_out = end_before(first, &task->inputs[i], *end_out);
    return first;
}
