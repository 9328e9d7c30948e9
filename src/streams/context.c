/*
 * streams/context.c - what a processor sees of its task: forward, dead letters, time.
 *
 * Records forwarded one by one are gathered and handed on as a block when the input block is done.
 * Their bytes lie in one buffer; the block is laid over it only when all are there: it may move.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

enum { GATHERED_BYTES_MAX = 256 << 20 };

/* A gathered record: where its bytes begin in the buffer. SIZE_MAX = null. */
struct place {
    size_t key, key_bytes, value, value_bytes;
    size_t headers; /* index of the first */
    uint32_t header_count;
    int64_t timestamp_ms, offset;
};

struct header_place {
    size_t name, name_bytes, value, value_bytes;
};

struct gathered {
    struct weir_buffer bytes, places, header_places;
    uint32_t count;
    int32_t partition;
};

static struct gathered *gather(struct weir_context *context)
{
    if (!context->gathered) {
        context->gathered = weir_calloc(1, sizeof *context->gathered);
        if (!context->gathered)
            return NULL;
        weir_buffer_init(&context->gathered->bytes, GATHERED_BYTES_MAX);
        weir_buffer_init(&context->gathered->places, GATHERED_BYTES_MAX);
        weir_buffer_init(&context->gathered->header_places, GATHERED_BYTES_MAX);
    }
    return context->gathered;
}

void context_clear(struct weir_context *context)
{
    context->resume_row = 0;
    if (!context->gathered)
        return;
    context->gathered->count = 0;
    weir_buffer_clear(&context->gathered->bytes);
    weir_buffer_clear(&context->gathered->places);
    weir_buffer_clear(&context->gathered->header_places);
}

void context_release(struct weir_context *context)
{
    if (!context->gathered)
        return;
    weir_buffer_release(&context->gathered->bytes);
    weir_buffer_release(&context->gathered->places);
    weir_buffer_release(&context->gathered->header_places);
    weir_free(context->gathered);
    context->gathered = NULL;
}

static enum weir_err put_slice(struct gathered *gathered, struct weir_slice slice, size_t *place,
                               size_t *bytes)
{
    *place = slice.data ? gathered->bytes.bytes : SIZE_MAX;
    *bytes = slice.bytes;
    return slice.bytes ? weir_buffer_append(&gathered->bytes, slice.data, slice.bytes) : WEIR_OK;
}

static struct weir_slice slice_at(const struct gathered *gathered, size_t place, size_t bytes)
{
    if (place == SIZE_MAX)
        return weir_slice(NULL, 0);
    return weir_slice(bytes ? gathered->bytes.data + place : (const uint8_t *)"", bytes);
}

static enum weir_err put_headers(struct gathered *gathered, const struct weir_header *headers,
                                 uint32_t count)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++) {
        struct header_place place;
        err = put_slice(gathered, headers[i].name, &place.name, &place.name_bytes);
        if (err == WEIR_OK)
            err = put_slice(gathered, headers[i].value, &place.value, &place.value_bytes);
        if (err == WEIR_OK)
            err = weir_buffer_append(&gathered->header_places, &place, sizeof place);
    }
    return err;
}

enum weir_err weir_context_forward_record(struct weir_context *context,
                                          const struct weir_kafka_record *record,
                                          struct weir_error *error)
{
    const struct task *task = context->task;
    const struct weir_rows *input = task->input ? &task->input->rows_meta : NULL;
    struct gathered *gathered = gather(context);
    struct place place = {.timestamp_ms = record->timestamp_ms, .offset = -1};
    const struct weir_header *headers = record->headers;
    uint32_t header_count = record->header_count;
    if (input) {
        place.offset = input->offset[task->input_row];
        if (place.timestamp_ms == -1)
            place.timestamp_ms = input->timestamp_ms[task->input_row];
        if (!headers) {
            headers = input->headers[task->input_row];
            header_count = input->header_count[task->input_row];
        }
    }
    enum weir_err err = gathered ? WEIR_OK : WEIR_NOMEM;
    if (err == WEIR_OK) {
        place.headers = gathered->header_places.bytes / sizeof(struct header_place);
        place.header_count = header_count;
        err = put_slice(gathered, record->key, &place.key, &place.key_bytes);
    }
    if (err == WEIR_OK)
        err = put_slice(gathered, record->value, &place.value, &place.value_bytes);
    if (err == WEIR_OK)
        err = put_headers(gathered, headers, header_count);
    if (err == WEIR_OK)
        err = weir_buffer_append(&gathered->places, &place, sizeof place);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "the records forwarded from one block are too many");
    gathered->count++;
    return WEIR_OK;
}

/* Lays a block over the gathered records from `first` on. */
static enum weir_err lay_block(const struct gathered *gathered, uint32_t first, uint32_t count,
                               const struct task *task, struct weir_block *block,
                               struct weir_header *headers)
{
    const struct place *places = (const struct place *)(const void *)gathered->places.data;
    const struct header_place *header_places =
        (const struct header_place *)(const void *)gathered->header_places.data;
    struct weir_own_rows own;
    enum weir_err err = weir_block_prepare(block, count);
    if (err == WEIR_OK)
        err = weir_block_own_rows(block, &own);
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++) {
        const struct place *place = &places[first + i];
        own.key[i] = slice_at(gathered, place->key, place->key_bytes);
        own.value[i] = slice_at(gathered, place->value, place->value_bytes);
        own.timestamp_ms[i] = place->timestamp_ms;
        own.offset[i] = place->offset;
        own.headers[i] = headers + place->headers;
        own.header_count[i] = place->header_count;
        for (uint32_t j = 0; j < place->header_count; j++) {
            const struct header_place *from = &header_places[place->headers + j];
            headers[place->headers + j] =
                (struct weir_header){slice_at(gathered, from->name, from->name_bytes),
                                     slice_at(gathered, from->value, from->value_bytes)};
        }
    }
    block->rows_meta.topic = (task->in_hand->input ? task->in_hand->input : task->inputs)->topic;
    block->rows_meta.partition = task->partition;
    return err;
}

static enum weir_err hand_on(struct weir_context *context, struct weir_error *error)
{
    struct gathered *gathered = context->gathered;
    struct weir_block *block = NULL;
    size_t header_count = gathered->header_places.bytes / sizeof(struct header_place);
    struct weir_header *headers = weir_calloc(header_count + 1, sizeof *headers);
    enum weir_err err = headers ? weir_block_new(NULL, WEIR_KAFKA_BATCH_MAX, &block) : WEIR_NOMEM;
    if (err != WEIR_OK)
        weir_error_set(error, err, -1, "no memory for a block of forwarded records");
    for (uint32_t first = 0; first < gathered->count && err == WEIR_OK;) {
        uint32_t count = gathered->count - first;
        count = count < WEIR_KAFKA_BATCH_MAX ? count : WEIR_KAFKA_BATCH_MAX;
        err = lay_block(gathered, first, count, context->task, block, headers);
        if (err == WEIR_OK)
            err = task_forward(context->task, context->node, block, error);
        first += count;
    }
    weir_block_free(block);
    weir_free(headers);
    context_clear(context);
    return err;
}

enum weir_err contexts_hand_on(struct task *task, struct weir_error *error)
{
    uint32_t count = task->thread->streams->topology->node_count;
    enum weir_err err = WEIR_OK;
    /* Nodes come behind their parents, so that one pass is enough. */
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++)
        if (task->contexts[i].gathered && task->contexts[i].gathered->count)
            err = hand_on(&task->contexts[i], error);
    return err;
}

/* ---- the rest -------------------------------------------------------------------------------- */

enum weir_err weir_context_forward(struct weir_context *context, const struct weir_block *block,
                                   struct weir_error *error)
{
    return task_forward(context->task, context->node, block, error);
}

enum weir_err weir_context_forward_to(struct weir_context *context, const char *child,
                                      const struct weir_block *block, struct weir_error *error)
{
    const struct weir_topology *topology = context->task->thread->streams->topology;
    const struct node *from = &topology->nodes[context->node];
    for (uint32_t i = 0; i < from->child_count; i++)
        if (strcmp(topology->nodes[from->children[i]].name, child) == 0)
            return task_forward_to(context->task, from->children[i], block, error);
    return weir_error_set(error, WEIR_NOT_FOUND, -1, "processor %s has no child \"%s\"", from->name,
                          child);
}

enum weir_err weir_context_dead_letter(struct weir_context *context, const struct weir_block *block,
                                       uint32_t row, enum weir_err why, const char *message,
                                       struct weir_error *error)
{
    weir_assert(row < block->rows);
    return dead_letter_send(context->task, &block->rows_meta, row, why, message, true, error);
}

enum weir_err weir_context_dead_letter_record(struct weir_context *context,
                                              const struct weir_rows *rows, uint32_t row,
                                              enum weir_err why, const char *message,
                                              struct weir_error *error)
{
    return dead_letter_keep(context->task->thread, rows, row, why, message, error);
}

const char *weir_context_task_id(const struct weir_context *context)
{
    return context->task->id;
}

int32_t weir_context_partition(const struct weir_context *context)
{
    return context->task->partition;
}

int64_t weir_context_stream_time_ms(const struct weir_context *context)
{
    return context->task->stream_time_ms;
}

int64_t weir_context_now_ns(const struct weir_context *context)
{
    return weir_clock_now_ns(context->task->thread->streams->clock);
}

int64_t weir_context_wall_ms(const struct weir_context *context)
{
    return weir_clock_wall_ms(context->task->thread->streams->clock);
}

enum weir_err weir_context_schedule(struct weir_context *context, enum weir_punctuation kind,
                                    int64_t interval_ms,
                                    enum weir_err (*fn)(void *self, struct weir_context *context,
                                                        int64_t time_ms, struct weir_error *error))
{
    struct task *task = context->task;
    if (!task->in_init || interval_ms <= 0)
        return WEIR_INVALID;
    if (task->punctuator_count == PUNCTUATORS_MAX)
        return WEIR_LIMIT;
    task->punctuators[task->punctuator_count++] = (struct punctuator){
        .kind = kind,
        .interval_ms = interval_ms,
        .due_ms = kind == WEIR_WALL_CLOCK_TIME ? weir_context_wall_ms(context) + interval_ms : -1,
        .context = context,
        .fn = fn};
    return WEIR_OK;
}
