/*
 * streams/records.c - records one by one: from the rows of a block through nodes into sinks.
 *
 * Depth first: a record goes to a node with all that follows from it before the next node, or the
 * next record, has its turn. Joins and tables in one sub-topology rely on that order.
 */
#include <endian.h>
#include <string.h>

#include "base/assert.h"
#include "streams/inside.h"

enum { WINDOW_BYTES_MAX = 16 };

static const struct weir_topology *topology_of(const struct task *task)
{
    return task->thread->streams->topology;
}

static const struct weir_serde *serde_or_bytes(const struct weir_serde *serde)
{
    return serde ? serde : &weir_serde_bytes;
}

/* ---- from rows ------------------------------------------------------------------------------- */

static enum weir_err deserialize(struct weir_context *context, const struct weir_serde *serde,
                                 const char *what, struct weir_slice bytes,
                                 struct weir_value *value_out, struct weir_error *error)
{
    serde = serde_or_bytes(serde);
    *value_out = weir_value_null();
    if (!bytes.data)
        return WEIR_OK;
    enum weir_err err = serde->deserialize(serde->config, context, bytes, value_out, error);
    if (err != WEIR_OK)
        weir_error_context(error, "the %s can't be read as %s", what, serde->name);
    return err;
}

static enum weir_err record_of_row(struct weir_context *context, const struct node *from,
                                   const struct weir_rows *rows, uint32_t row,
                                   struct weir_record *out, struct weir_error *error)
{
    *out = (struct weir_record){.timestamp_ms = rows->timestamp_ms[row],
                                .headers = rows->headers[row],
                                .header_count = rows->header_count[row]};
    enum weir_err err =
        deserialize(context, from->key_serde, "key", rows->key[row], &out->key, error);
    return err == WEIR_OK ? deserialize(context, from->value_serde, "value", rows->value[row],
                                        &out->value, error)
                          : err;
}

/* Does it say something about the record, not about the machine? */
static bool is_of_the_record(enum weir_err err)
{
    switch (err) {
    case WEIR_OK:
    case WEIR_AGAIN:
    case WEIR_NOMEM:
    case WEIR_TIMEOUT:
    case WEIR_IO:
    case WEIR_CORRUPT:
    case WEIR_BROKER:
    case WEIR_CLOSED:
    case WEIR_FENCED:
    case WEIR_DENIED:
        return false;
    default:
        return true;
    }
}

static enum weir_err run_row(struct task *task, const struct node *from,
                             struct weir_context *context, const struct weir_block *block,
                             struct weir_error *error)
{
    const struct weir_streams_options *options = &task->thread->streams->options;
    struct weir_record record;
    uint32_t row = task->row;
    enum weir_err err = record_of_row(context, from, &block->rows_meta, row, &record, error);
    if (err == WEIR_PARSE)
        return row_refused(task, &block->rows_meta, row, err, error->message, true,
                           options->deserialization_handler, error);
    for (; err == WEIR_OK && task->row_child < from->child_count; task->row_child++) {
        uint32_t child = from->children[task->row_child];
        if (node_takes_records(&topology_of(task)->nodes[child]))
            err = record_run(task, child, &record, error);
        if (err != WEIR_OK)
            break;
    }
    if (is_of_the_record(err) && options->processing_handler != WEIR_HANDLER_DEFAULT)
        return row_refused(task, &block->rows_meta, row, err, error->message, true,
                           options->processing_handler, error);
    return err;
}

enum weir_err records_from_block(struct task *task, uint32_t node, const struct weir_block *block,
                                 struct weir_error *error)
{
    const struct node *from = &topology_of(task)->nodes[node];
    struct weir_context *context = &task->contexts[node];
    bool is_source = from->kind == NODE_SOURCE;
    enum weir_err err = WEIR_OK;
    task->input = block;
    for (; task->row < block->rows; task->row++) {
        task->input_row = task->row;
        if (is_source && block->rows_meta.timestamp_ms[task->row] > task->stream_time_ms)
            task->stream_time_ms = block->rows_meta.timestamp_ms[task->row];
        if (block->status[task->row] == WEIR_OK)
            err = run_row(task, from, context, block, error);
        if (is_source)
            weir_arena_reset(&task->arena);
        if (err != WEIR_OK)
            break;
        task->row_child = 0;
    }
    task->input = NULL;
    return err;
}

/* ---- into sinks ------------------------------------------------------------------------------ */

static enum weir_err serialize(struct weir_context *context, const struct weir_serde *serde,
                               const char *what, const struct weir_value *value,
                               struct weir_slice *bytes_out, struct weir_error *error)
{
    serde = serde_or_bytes(serde);
    *bytes_out = weir_slice(NULL, 0);
    if (value->type == WEIR_VALUE_NULL)
        return WEIR_OK;
    enum weir_err err = serde->serialize(serde->config, context, value, bytes_out, error);
    if (err != WEIR_OK)
        weir_error_context(error, "the %s can't be written as %s", what, serde->name);
    else if (!bytes_out->data)
        *bytes_out = weir_slice("", 0); /* nothing, but not null */
    return err;
}

/* As Kafka Streams' windowed serdes: behind the key the start, or the end and the start. */
static enum weir_err add_window(struct weir_context *context, const struct weir_window *window,
                                struct weir_slice *key, struct weir_error *error)
{
    if (window->kind == WEIR_NO_WINDOW || !key->data)
        return WEIR_OK;
    uint8_t *bytes = weir_context_alloc(context, key->bytes + WINDOW_BYTES_MAX);
    if (!bytes)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a windowed key");
    size_t at = key->bytes;
    uint64_t start = htobe64((uint64_t)window->start_ms), end = htobe64((uint64_t)window->end_ms);
    memcpy(bytes, key->data, at);
    if (window->kind == WEIR_SESSION_WINDOW) {
        memcpy(bytes + at, &end, sizeof end);
        at += sizeof end;
    }
    memcpy(bytes + at, &start, sizeof start);
    *key = weir_slice(bytes, at + sizeof start);
    return WEIR_OK;
}

static enum weir_err bytes_of(struct weir_context *context, const struct node *sink,
                              const struct weir_record *record, struct weir_kafka_record *out,
                              struct weir_error *error)
{
    *out = (struct weir_kafka_record){.topic = sink->topic,
                                      .partition = -1,
                                      .timestamp_ms = record->timestamp_ms,
                                      .headers = record->headers,
                                      .header_count = record->header_count};
    enum weir_err err = serialize(context, sink->key_serde, "key", &record->key, &out->key, error);
    if (err == WEIR_OK)
        err = add_window(context, &record->window, &out->key, error);
    return err == WEIR_OK
               ? serialize(context, sink->value_serde, "value", &record->value, &out->value, error)
               : err;
}

/* What the broker will never take becomes a dead letter without value. */
static enum weir_err refuse(struct task *task, const struct weir_kafka_record *out,
                            enum weir_err why, struct weir_error *error)
{
    const struct weir_rows *input = task->input ? &task->input->rows_meta : NULL;
    const int64_t offset = input ? input->offset[task->input_row] : -1;
    const struct weir_rows rows = {.topic = input ? input->topic : task->inputs->topic,
                                   .partition = task->partition,
                                   .key = &out->key,
                                   .value = &out->value,
                                   .timestamp_ms = &out->timestamp_ms,
                                   .offset = &offset,
                                   .headers = &out->headers,
                                   .header_count = &out->header_count};
    return row_refused(task, &rows, 0, why, error->message, false,
                       task->thread->streams->options.production_handler, error);
}

static enum weir_err run_sink(struct task *task, uint32_t index, const struct node *sink,
                              const struct weir_record *record, struct weir_error *error)
{
    struct stream_thread *thread = task->thread;
    struct weir_kafka_record out;
    enum weir_err err = bytes_of(&task->contexts[index], sink, record, &out, error);
    if (err != WEIR_OK)
        return err;
    if (!sink->by_key &&
        thread->sink_partitions[index] == partitions_task_count(thread, task->number))
        out.partition = task->partition;
    struct inflight *inflight = progress_output(task, out.key.bytes + out.value.bytes, 1);
    out.opaque = inflight;
    err = thread_produce(thread, &out, error);
    if (err == WEIR_OK) {
        count_up(&thread->streams->counters.to_sinks, 1);
        return err;
    }
    progress_report(inflight, NULL); /* no report will come */
    if (err == WEIR_LIMIT || err == WEIR_INVALID)
        return refuse(task, &out, err, error);
    return err == WEIR_AGAIN ? WEIR_TIMEOUT : err;
}

/* ---- through nodes --------------------------------------------------------------------------- */

/* A record for who takes blocks. */
static enum weir_err run_batch(struct task *task, const struct node *node,
                               struct weir_context *context, const struct weir_record *record,
                               struct weir_error *error)
{
    struct stream_thread *thread = task->thread;
    const struct weir_rows *rows = task->input ? &task->input->rows_meta : NULL;
    struct weir_kafka_record bytes;
    struct weir_own_rows own;
    enum weir_err err = bytes_of(context, node, record, &bytes, error);
    if (err != WEIR_OK)
        return err;
    struct weir_block *block = thread->single; /* NULL: further up in this call */
    thread->single = NULL;
    err = block ? WEIR_OK : weir_block_new(NULL, 1, &block);
    if (err == WEIR_OK)
        err = weir_block_prepare(block, 1);
    if (err == WEIR_OK)
        err = weir_block_own_rows(block, &own);
    if (err != WEIR_OK) {
        weir_block_free(block);
        return weir_error_set(error, err, -1, "no memory for a block of one record");
    }
    own.key[0] = bytes.key;
    own.value[0] = bytes.value;
    own.timestamp_ms[0] = bytes.timestamp_ms;
    own.offset[0] = rows ? rows->offset[task->input_row] : -1;
    own.headers[0] = bytes.headers;
    own.header_count[0] = bytes.header_count;
    block->rows_meta.topic = rows ? rows->topic : task->inputs->topic;
    block->rows_meta.partition = task->partition;
    err = node->ops->process_batch(context->self, context, block, error);
    weir_block_free(thread->single);
    thread->single = block;
    return err;
}

enum weir_err record_run(struct task *task, uint32_t index, const struct weir_record *record,
                         struct weir_error *error)
{
    const struct node *node = &topology_of(task)->nodes[index];
    struct weir_context *context = &task->contexts[index];
    const struct weir_record *outer = context->record;
    enum weir_err err;
    context->record = record;
    if (node->kind == NODE_SINK)
        err = run_sink(task, index, node, record, error);
    else if (node->ops->process)
        err = node->ops->process(context->self, context, record, error);
    else
        err = run_batch(task, node, context, record, error);
    context->record = outer;
    if (err != WEIR_OK && err != WEIR_AGAIN)
        weir_error_context(error, "%s %s", node->kind == NODE_SINK ? "sink" : "processor",
                           node->name);
    return err;
}

/* ---- for processors -------------------------------------------------------------------------- */

void *weir_context_alloc(struct weir_context *context, size_t bytes)
{
    return weir_arena_alloc(&context->task->arena, bytes);
}

static enum weir_err forward_to(struct weir_context *context, uint32_t child,
                                const struct weir_record *record, struct weir_error *error)
{
    weir_assert(context->task->in_hand); /* from processing, flush or a punctuator */
    enum weir_err err = record_run(context->task, child, record, error);
    if (err != WEIR_AGAIN)
        return err;
    return weir_error_set(error, WEIR_INVALID, -1,
                          "processor %s: only one that stands right behind a source may say AGAIN",
                          topology_of(context->task)->nodes[child].name);
}

enum weir_err weir_context_forward_record(struct weir_context *context,
                                          const struct weir_record *record,
                                          struct weir_error *error)
{
    const struct node *from = &topology_of(context->task)->nodes[context->node];
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < from->child_count && err == WEIR_OK; i++)
        err = forward_to(context, from->children[i], record, error);
    return err;
}

enum weir_err weir_context_forward_record_to(struct weir_context *context, const char *child,
                                             const struct weir_record *record,
                                             struct weir_error *error)
{
    const struct weir_topology *topology = topology_of(context->task);
    const struct node *from = &topology->nodes[context->node];
    for (uint32_t i = 0; i < from->child_count; i++)
        if (strcmp(topology->nodes[from->children[i]].name, child) == 0)
            return forward_to(context, from->children[i], record, error);
    return weir_error_set(error, WEIR_NOT_FOUND, -1, "processor %s has no child \"%s\"", from->name,
                          child);
}

enum weir_err weir_context_forward_value(struct weir_context *context, struct weir_value value,
                                         struct weir_error *error)
{
    if (!context->record)
        return weir_error_set(error, WEIR_INVALID, -1, "there is no record in hand");
    struct weir_record record = *context->record;
    record.value = value;
    return weir_context_forward_record(context, &record, error);
}

bool weir_context_metadata(const struct weir_context *context, struct weir_record_metadata *out)
{
    const struct task *task = context->task;
    if (!task->input)
        return false;
    *out = (struct weir_record_metadata){.topic = task->input->rows_meta.topic,
                                         .partition = task->input->rows_meta.partition,
                                         .offset = task->input->rows_meta.offset[task->input_row]};
    return true;
}

enum weir_err weir_context_refuse(struct weir_context *context, enum weir_err why,
                                  const char *message, struct weir_error *error)
{
    struct task *task = context->task;
    if (!task->input)
        return weir_error_set(error, WEIR_INVALID, -1, "there is no record in hand");
    return dead_letter_send(task, &task->input->rows_meta, task->input_row, why, message, true,
                            error);
}

void weir_context_commit(struct weir_context *context)
{
    context->task->thread->commit_due_ns = streams_now_ns(context->task->thread->streams);
}
