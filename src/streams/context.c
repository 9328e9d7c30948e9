/* streams/context.c - what a processor sees of its task: forward, dead letters, time. */
#include <string.h>

#include "base/assert.h"
#include "streams/inside.h"

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
