/*
 * streams/task.c - a task: source partitions of one number, and its own copy of every processor
 * behind them.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

enum { ARENA_BYTES_MAX = 256 << 20 }; /* what one source record may lead to */

static const struct weir_topology *topology_of(const struct task *task)
{
    return task->thread->streams->topology;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Initialises the processors that can be reached from `node`, each once. */
static enum weir_err open_contexts(struct task *task, uint32_t node, struct weir_error *error)
{
    const struct weir_topology *topology = topology_of(task);
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < topology->nodes[node].child_count && err == WEIR_OK; i++) {
        uint32_t child = topology->nodes[node].children[i];
        const struct node *found = &topology->nodes[child];
        struct weir_context *context = &task->contexts[child];
        if (found->kind != NODE_PROCESSOR || context->open)
            continue;
        if (found->ops->init) {
            err = found->ops->init(found->config, context, &context->self, error);
            if (err != WEIR_OK) {
                weir_error_context(error, "processor %s", found->name);
                return err;
            }
        }
        context->open = true;
        task->has_flush |= found->ops->flush != NULL;
        err = open_contexts(task, child, error);
    }
    return err;
}

static enum weir_err start(struct task *task, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    task->has_flush = task_has_state(task); /* of what lies in a store the flush is the end */
    task->in_init = true;
    for (uint32_t i = 0; i < task->input_count && err == WEIR_OK; i++)
        err = open_contexts(task, task->inputs[i].source, error);
    task->in_init = false;
    task->is_ready = err == WEIR_OK;
    return err;
}

enum weir_err task_restore(struct task *task, struct weir_error *error)
{
    bool ready;
    enum weir_err err = stores_restore(task, &ready, error);
    return err == WEIR_OK && ready ? start(task, error) : err;
}

static void open_input(struct task *task, const struct weir_kafka_partition *partition,
                       int32_t index)
{
    const struct weir_topology *topology = topology_of(task);
    const struct source_topic *topic =
        &topology->topics[partitions_source_topic(topology, partition->topic)];
    struct input *input = &task->inputs[task->input_count++];
    *input = (struct input){.task = task,
                            .source = topic->source,
                            .topic = topic->name,
                            .index = index,
                            .idle_until_ns = -1,
                            .newest_ms = -1,
                            .position_read = partition->offset,
                            .position_delivered = partition->offset,
                            .position_done = partition->offset,
                            .position_committed = partition->offset,
                            .is_kept = partition->committed,
                            .kept_ns = streams_now_ns(task->thread->streams)};
}

enum weir_err task_new(struct stream_thread *thread, uint32_t number,
                       const struct weir_kafka_partition *partitions, const int32_t *indexes,
                       uint32_t count, struct task **out, struct weir_error *error)
{
    struct task *task = weir_calloc(1, sizeof *task);
    struct input *inputs = task ? weir_calloc(count, sizeof *inputs) : NULL;
    if (!inputs) {
        weir_free(task);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a task");
    }
    task->thread = thread;
    task->number = number;
    task->partition = partitions[0].partition;
    task->inputs = inputs;
    task->stream_time_ms = -1;
    task->lock = -1;
    weir_arena_init(&task->arena, ARENA_BYTES_MAX);
    snprintf(task->id, sizeof task->id, "%u_%d", number, (int)task->partition);
    for (uint32_t i = 0; i < topology_of(task)->node_count; i++) {
        task->contexts[i].task = task;
        task->contexts[i].node = i;
    }
    for (uint32_t i = 0; i < count; i++)
        open_input(task, &partitions[i], indexes[i]);
    enum weir_err err = stores_make(task, error);
    if (err == WEIR_OK && task->store_count == 0)
        err = start(task, error);
    if (err != WEIR_OK) {
        task_free(task);
        return err;
    }
    *out = task;
    return WEIR_OK;
}

void task_free(struct task *task)
{
    const struct weir_topology *topology = topology_of(task);
    for (uint32_t i = 0; i < topology->node_count; i++) {
        struct weir_context *context = &task->contexts[i];
        if (context->open && topology->nodes[i].ops->close)
            topology->nodes[i].ops->close(context->self, context);
    }
    task_drop(task);
    stores_close(task);
    weir_arena_release(&task->arena);
    for (uint32_t i = 0; i < task->input_count; i++)
        weir_free(task->inputs[i].times_ms);
    weir_free(task->inputs);
    weir_free(task);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Rows first .. end-1, all of them OK, of a block to a topic. */
static enum weir_err sink_rows(struct task *task, const struct node *sink, uint32_t node,
                               const struct weir_rows *rows, uint32_t first, uint32_t end,
                               struct weir_error *error)
{
    struct stream_thread *thread = task->thread;
    size_t bytes = 0;
    for (uint32_t row = first; row < end; row++)
        bytes += rows->key[row].bytes + rows->value[row].bytes;
    bool same = thread->sink_partitions[node] == partitions_task_count(thread, task->number);
    uint32_t count = end - first, accepted = 0;
    struct inflight *inflight = progress_output(task, bytes, count);
    enum weir_err err = thread_produce_rows(thread, sink->topic, same ? task->partition : -1, rows,
                                            first, end, inflight, &accepted, error);
    count_up(&thread->streams->counters.to_sinks, accepted);
    for (uint32_t refused = count - accepted; refused; refused--)
        progress_report(inflight, NULL); /* no report will come for it */
    if ((err == WEIR_LIMIT || err == WEIR_INVALID) && first + accepted < end) {
        /* this very record will never be taken: a dead letter without value, and on behind it */
        err = row_refused(task, rows, first + accepted, err, error ? error->message : "", false,
                          thread->streams->options.production_handler, error);
        if (err == WEIR_OK && first + accepted + 1 < end)
            err = sink_rows(task, sink, node, rows, first + accepted + 1, end, error);
    }
    return err;
}

/* The runs of good rows of a block. */
static enum weir_err run_sink(struct task *task, const struct node *sink, uint32_t node,
                              const struct weir_block *block, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t row = 0, end; row < block->rows && err == WEIR_OK; row = end) {
        end = row + 1;
        if (block->status[row] != WEIR_OK)
            continue;
        while (end < block->rows && block->status[end] == WEIR_OK)
            end++;
        err = sink_rows(task, sink, node, &block->rows_meta, row, end, error);
    }
    return err;
}

bool node_takes_records(const struct node *node)
{
    return node->kind == NODE_PROCESSOR && node->ops->process;
}

static enum weir_err run_node(struct task *task, uint32_t index, const struct weir_block *block,
                              struct weir_error *error)
{
    const struct node *node = &topology_of(task)->nodes[index];
    struct weir_context *context = &task->contexts[index];
    enum weir_err err = node->kind == NODE_SINK
                            ? run_sink(task, node, index, block, error)
                            : node->ops->process_batch(context->self, context, block, error);
    if (err != WEIR_OK && err != WEIR_AGAIN)
        weir_error_context(error, "%s %s", node->kind == NODE_SINK ? "sink" : "processor",
                           node->name);
    return err;
}

enum weir_err task_forward_to(struct task *task, uint32_t index, const struct weir_block *block,
                              struct weir_error *error)
{
    const struct node *node = &topology_of(task)->nodes[index];
    if (node_takes_records(node))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "processor %s takes records: forward them one by one, or to all "
                              "children",
                              node->name);
    enum weir_err err = run_node(task, index, block, error);
    if (err != WEIR_AGAIN)
        return err;
    return weir_error_set(error, WEIR_INVALID, -1,
                          "processor %s: only one that stands right behind a source may say AGAIN",
                          node->name);
}

/* Of a block that a processor made: its children have no say in when it comes. */
static enum weir_err records_aside(struct task *task, uint32_t node, const struct weir_block *block,
                                   struct weir_error *error)
{
    uint32_t row = task->row, row_child = task->row_child;
    const struct weir_block *input = task->input;
    uint32_t input_row = task->input_row;
    task->row = task->row_child = 0;
    enum weir_err err = records_from_block(task, node, block, error);
    task->row = row;
    task->row_child = row_child;
    task->input = input;
    task->input_row = input_row;
    return err != WEIR_AGAIN ? err
                             : weir_error_set(error, WEIR_INVALID, -1,
                                              "only a processor that stands right behind a source "
                                              "may say AGAIN");
}

enum weir_err task_forward(struct task *task, uint32_t node, const struct weir_block *block,
                           struct weir_error *error)
{
    const struct node *from = &topology_of(task)->nodes[node];
    enum weir_err err = WEIR_OK;
    bool records = false;
    for (uint32_t i = 0; i < from->child_count && err == WEIR_OK; i++) {
        if (node_takes_records(&topology_of(task)->nodes[from->children[i]]))
            records = true;
        else
            err = task_forward_to(task, from->children[i], block, error);
    }
    return err == WEIR_OK && records ? records_aside(task, node, block, error) : err;
}

/* The source's children alone may ask for the block again; those that had it don't get it twice. */
static enum weir_err forward_source(struct task *task, const struct input *input,
                                    const struct weir_block *block, struct weir_error *error)
{
    const struct node *from = &topology_of(task)->nodes[input->source];
    bool records = false;
    for (uint32_t i = 0; i < from->child_count; i++)
        records |= node_takes_records(&topology_of(task)->nodes[from->children[i]]);
    for (; task->child < from->child_count; task->child++) {
        if (node_takes_records(&topology_of(task)->nodes[from->children[task->child]]))
            continue;
        enum weir_err err = run_node(task, from->children[task->child], block, error);
        if (err != WEIR_OK)
            return err;
    }
    enum weir_err err = records ? records_from_block(task, input->source, block, error) : WEIR_OK;
    if (err == WEIR_OK)
        task->child = task->row = task->row_child = 0;
    return err;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static const char no_time[] = "the source's timestamp extractor can't tell its time";

static void mark_timeless(struct weir_block *block)
{
    for (uint32_t row = 0; row < block->rows; row++)
        if (block->rows_meta.timestamp_ms[row] < 0 && block->status[row] == WEIR_OK) {
            block->status[row] = WEIR_INVALID;
            block->failed++;
        }
}

/* Makes the thread's block of this source hold rows of the batch. */
static enum weir_err fill_block(const struct input *input, uint32_t first, uint32_t end,
                                struct weir_block **out, struct weir_error *error)
{
    struct stream_thread *thread = input->task->thread;
    struct weir_block *block = thread->blocks[input->source];
    struct weir_decoder *decoder = thread->decoders[input->source];
    enum weir_err err = weir_block_prepare(block, end - first);
    if (err == WEIR_OK) {
        struct weir_rows *rows = &block->rows_meta;
        *rows = input->batch.rows;
        rows->topic = input->topic;
        rows->key += first;
        rows->value += first;
        rows->timestamp_ms += first;
        rows->offset += first;
        rows->headers += first;
        rows->header_count += first;
        if (decoder)
            err = weir_decode(decoder, block);
    }
    if (err == WEIR_OK && topology_of(input->task)->nodes[input->source].extractor)
        mark_timeless(block);
    *out = block;
    if (err != WEIR_OK)
        weir_error_set(error, err, -1, "no memory for a block of records");
    return err;
}

/* The rows that could not be decoded, with the words for why. */
static enum weir_err send_undecodable(struct task *task, const struct input *input,
                                      const struct weir_block *block, struct weir_error *error)
{
    struct weir_decoder *decoder = task->thread->decoders[input->source];
    enum weir_err err = WEIR_OK;
    for (uint32_t row = 0; block->failed && row < block->rows && err == WEIR_OK; row++) {
        struct weir_error why = {.code = WEIR_OK};
        if (block->status[row] == WEIR_OK)
            continue;
        if (block->rows_meta.timestamp_ms[row] < 0 &&
            topology_of(task)->nodes[input->source].extractor)
            weir_error_set(&why, WEIR_INVALID, -1, "%s", no_time);
        else
            weir_decode_explain(decoder, block->rows_meta.value[row], &why);
        err = row_refused(task, &block->rows_meta, row, (enum weir_err)block->status[row],
                          why.message, true, task->thread->streams->options.deserialization_handler,
                          error);
    }
    return err;
}

/* Where records are taken one by one each moves the time by itself, when it is its turn. */
static void note_time(struct task *task, uint32_t source, const struct weir_block *block)
{
    const struct node *from = &topology_of(task)->nodes[source];
    bool blocks = false;
    for (uint32_t i = 0; i < from->child_count; i++)
        blocks |= !node_takes_records(&topology_of(task)->nodes[from->children[i]]);
    for (uint32_t row = 0; row < block->rows && blocks; row++)
        if (block->rows_meta.timestamp_ms[row] > task->stream_time_ms)
            task->stream_time_ms = block->rows_meta.timestamp_ms[row];
}

static bool is_refused(const struct input *input, int64_t offset)
{
    for (uint32_t i = 0; i < input->refused_count; i++)
        if (input->refused[i] == offset)
            return true;
    return false;
}

static enum weir_err run_block(struct task *task, const struct input *input,
                               struct weir_block *block, struct weir_error *error)
{
    if (block->rows == 1 && is_refused(input, block->rows_meta.offset[0]))
        return row_refused(task, &block->rows_meta, 0, WEIR_LIMIT,
                           "the broker refuses what this record leads to", false,
                           task->thread->streams->options.production_handler, error);
    enum weir_err err = forward_source(task, input, block, error);
    if (err == WEIR_OK)
        err = send_undecodable(task, input, block, error);
    return err;
}

/* Are rows of the block done, and nothing of those behind them? */
static bool is_split(const struct task *task)
{
    const struct node *from = &topology_of(task)->nodes[task->in_hand->input->source];
    bool blocks = false;
    for (uint32_t i = 0; i < from->child_count; i++)
        blocks |= !node_takes_records(&topology_of(task)->nodes[from->children[i]]);
    return !blocks && task->row > 0 && task->row_child == 0;
}

/* Those have a position of their own, so that they can be committed; what is parked is the rest. */
static enum weir_err end_split(struct task *task, struct input *input, struct weir_block *block,
                               struct weir_error *error)
{
    const uint32_t whole = block->rows, rows = task->row;
    const bool vouches = task->in_hand->vouches;
    const int64_t rest = task->in_hand->offset_next;
    int64_t next = input->batch.rows.offset[input->row + rows];
    block->rows = rows;
    enum weir_err err = send_undecodable(task, input, block, error);
    block->rows = whole;
    if (err != WEIR_OK)
        return err;
    count_up(&task->thread->streams->counters.consumed, rows);
    task->in_hand->offset_next = input->position_read = next;
    input->row += rows;
    task->child = task->row = task->row_child = 0;
    progress_end(task);
    return progress_begin(task, input, next, rest, vouches) == WEIR_OK
               ? WEIR_AGAIN
               : weir_error_set(error, WEIR_NOMEM, -1, "no memory for a block in flight");
}

/* The rows of the input's batch up to `end`, as one block. */
static enum weir_err process(struct task *task, struct input *input, uint32_t end,
                             struct weir_error *error)
{
    struct weir_block *block;
    const struct weir_kafka_batch *batch = &input->batch;
    int64_t next = end < batch->count ? batch->rows.offset[end] : batch->offset_next;
    enum weir_err err = fill_block(input, input->row, end, &block, error);
    if (err != WEIR_OK)
        return err;
    if (task->parked_block)
        progress_resume(task);
    else
        err = progress_begin(task, input, batch->rows.offset[input->row], next, !task->has_flush);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for a block in flight");
    note_time(task, input->source, block);
    err = run_block(task, input, block, error);
    weir_arena_reset(&task->arena);
    if (err == WEIR_AGAIN && is_split(task))
        err = end_split(task, input, block, error);
    if (err == WEIR_AGAIN) {
        progress_park(task);
        task->parked = input;
        task->parked_end = end;
    }
    if (err != WEIR_OK)
        return err; /* a failure: the task is rewound, which lets the block go */
    count_up(&task->thread->streams->counters.consumed, end - input->row);
    input->position_read = next;
    input->row = end;
    progress_end(task);
    if (end == batch->count)
        input_drop(input);
    return WEIR_OK;
}

enum weir_err task_run(struct task *task, struct weir_error *error)
{
    struct input *input = task->parked;
    uint32_t end = task->parked_end;
    task->parked = NULL;
    if (!input)
        input = inputs_choose(task, &end);
    while (input) {
        if (!task->parked_block && input->batch.rows.offset[input->row] < input->careful_to)
            end = input->row + 1;
        enum weir_err err = process(task, input, end, error);
        if (err != WEIR_OK)
            return err;
        input = inputs_choose(task, &end);
    }
    return WEIR_OK;
}

bool task_is_delivered(const struct task *task)
{
    return !task->oldest;
}

bool task_has_state(const struct task *task)
{
    return task->store_count > 0;
}

/* A block that is half done and parked has no position. */
bool task_is_settled(const struct task *task)
{
    return task->settling && !task->must_rewind && task_is_delivered(task) && task->child == 0 &&
           task->row == 0 && task->row_child == 0;
}

/* ---- failures -------------------------------------------------------------------------------- */

void task_fail(struct task *task, const struct weir_error *why, bool in_processor)
{
    if (!task->must_rewind || (in_processor && !task->failed_in_processor))
        task->why = *why;
    task->must_rewind = true;
    task->failed_in_processor |= in_processor;
}

bool task_is_untouched(const struct task *task)
{
    bool untouched = !task->oldest && !task->parked_block && stores_pending_bytes(task) == 0;
    for (uint32_t i = 0; i < task->input_count; i++)
        untouched &= task->inputs[i].position_read == task->inputs[i].position_committed;
    return untouched;
}

void task_drop(struct task *task)
{
    progress_drop(task);
    for (uint32_t i = 0; i < task->input_count; i++)
        input_drop(&task->inputs[i]);
    task->parked = NULL;
    task->child = task->row = task->row_child = 0;
    task->input = NULL;
    weir_arena_reset(&task->arena);
    task->must_rewind = task->failed_in_processor = task->letter_failed = task->dragged =
        task->settling = false;
}

/* ---- time and flush -------------------------------------------------------------------------- */

/* Runs what may forward outside of a block: its outputs hold back the positions as they are. */
static enum weir_err run_aside(struct task *task, bool vouches,
                               enum weir_err (*what)(struct task *task, void *opaque,
                                                     struct weir_error *error),
                               void *opaque, struct weir_error *error)
{
    if (progress_begin(task, NULL, -1, -1, vouches) != WEIR_OK)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a block in flight");
    enum weir_err err = what(task, opaque, error);
    weir_arena_reset(&task->arena);
    if (err == WEIR_OK)
        progress_end(task);
    return err;
}

static enum weir_err call_punctuator(struct task *task, void *opaque, struct weir_error *error)
{
    struct punctuator *punctuator = opaque;
    (void)task;
    return punctuator->fn(punctuator->context->self, punctuator->context, punctuator->due_ms,
                          error);
}

enum weir_err task_punctuate(struct task *task, struct weir_error *error)
{
    int64_t wall_ms = weir_clock_wall_ms(task->thread->streams->clock);
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < task->punctuator_count && err == WEIR_OK; i++) {
        struct punctuator *punctuator = &task->punctuators[i];
        int64_t now_ms = punctuator->kind == WEIR_WALL_CLOCK_TIME ? wall_ms : task->stream_time_ms;
        if (now_ms < 0)
            continue;
        if (punctuator->due_ms < 0) /* stream time has begun */
            punctuator->due_ms = now_ms;
        if (now_ms < punctuator->due_ms)
            continue;
        int64_t called_ms = punctuator->due_ms;
        punctuator->due_ms = now_ms;
        err = run_aside(task, !task->has_flush, call_punctuator, punctuator, error);
        /* the rhythm is kept; what was missed is not made up for */
        int64_t missed = (now_ms - called_ms) / punctuator->interval_ms;
        punctuator->due_ms = called_ms + (missed + 1) * punctuator->interval_ms;
    }
    return err;
}

static enum weir_err flush_processors(struct task *task, struct weir_error *error)
{
    const struct weir_topology *topology = topology_of(task);
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < topology->node_count && err == WEIR_OK; i++)
        if (task->contexts[i].open && topology->nodes[i].ops->flush)
            err = topology->nodes[i].ops->flush(task->contexts[i].self, &task->contexts[i], error);
    return err;
}

/* What one gives goes into others: until there is nothing more. */
static enum weir_err call_flush(struct task *task, void *opaque, struct weir_error *error)
{
    enum weir_err err = flush_processors(task, error);
    (void)opaque;
    while (err == WEIR_OK && stores_are_dirty(task)) {
        err = stores_flush(task, error);
        if (err == WEIR_OK)
            err = flush_processors(task, error);
    }
    return err;
}

enum weir_err task_flush(struct task *task, struct weir_error *error)
{
    if (!task->is_ready || task->must_rewind)
        return WEIR_OK;
    task->settling = task_has_state(task) || is_exactly_once(task->thread->streams);
    return task->has_flush ? run_aside(task, true, call_flush, NULL, error) : WEIR_OK;
}
