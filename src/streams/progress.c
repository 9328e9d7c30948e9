/*
 * streams/progress.c - which positions may be committed.
 *
 * A block in flight counts its outputs up while it is in hand and down with each report. They are
 * pooled by thread, for the reports of a thread's producer all come on that thread.
 *
 * They stand in one queue for all inputs of a task, for a processor may keep something of one until
 * another's comes.
 *
 * A task whose processors buffer (they have `flush`) is vouched for by its flushes alone: what a
 * block led to may still lie in a processor when the block's own outputs are delivered.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

static void give_back(struct inflight *inflight)
{
    struct stream_thread *thread = inflight->thread;
    while (inflight->changes) {
        struct changes *next = inflight->changes->next;
        inflight->changes->next = thread->changes_pool;
        thread->changes_pool = inflight->changes;
        inflight->changes = next;
    }
    thread->pending_bytes -= inflight->bytes;
    inflight->next = thread->pool;
    thread->pool = inflight;
}

void inflight_pool_free(struct stream_thread *thread)
{
    while (thread->pool) {
        struct inflight *next = thread->pool->next;
        weir_free(thread->pool);
        thread->pool = next;
    }
    while (thread->changes_pool) {
        struct changes *next = thread->changes_pool->next;
        weir_free(thread->changes_pool);
        thread->changes_pool = next;
    }
}

static void append(struct task *task, struct inflight *inflight)
{
    inflight->next = NULL;
    if (task->newest)
        task->newest->next = inflight;
    else
        task->oldest = inflight;
    task->newest = inflight;
}

enum weir_err progress_begin(struct task *task, struct input *input, int64_t offset_first,
                             int64_t offset_next, bool vouches)
{
    struct stream_thread *thread = task->thread;
    struct inflight *inflight = thread->pool;
    weir_assert(!task->in_hand);
    if (inflight)
        thread->pool = inflight->next;
    else
        inflight = weir_alloc(sizeof *inflight);
    if (!inflight)
        return WEIR_NOMEM;
    *inflight = (struct inflight){.task = task,
                                  .input = input,
                                  .thread = thread,
                                  .offset_first = offset_first,
                                  .offset_next = offset_next,
                                  .vouches = vouches};
    append(task, inflight);
    task->inflight_count++;
    task->in_hand = inflight;
    return WEIR_OK;
}

static void vouch(struct task *task)
{
    for (uint32_t i = 0; i < task->input_count; i++)
        task->inputs[i].position_done = task->inputs[i].position_delivered;
}

/* Takes what is done from the old end. A failure ends that until the rewind. */
static void advance(struct task *task)
{
    while (!task->must_rewind && task->oldest && task->oldest->done && task->oldest->left == 0) {
        struct inflight *inflight = task->oldest;
        if (inflight->input)
            inflight->input->position_delivered = inflight->offset_next;
        if (inflight->vouches)
            vouch(task);
        task->oldest = inflight->next;
        if (!task->oldest)
            task->newest = NULL;
        task->inflight_count--;
        give_back(inflight);
    }
}

/* Nothing came of the newest, and it says nothing that those before it don't: behind a block that
 * waits for long such ones would pile up. */
static void drop_empty(struct task *task)
{
    struct inflight *newest = task->newest, *before = task->oldest;
    if (before == newest || newest->left > 0 || newest->input)
        return;
    while (before->next != newest)
        before = before->next;
    if (newest->vouches && !before->vouches)
        return;
    before->next = NULL;
    task->newest = before;
    task->inflight_count--;
    give_back(newest);
}

void progress_end(struct task *task)
{
    struct inflight *ended = task->in_hand;
    ended->done = true;
    task->in_hand = NULL;
    if (ended == task->newest)
        drop_empty(task);
    advance(task);
}

/* Out of the queue: what is flushed before it comes again does not speak for it. */
void progress_park(struct task *task)
{
    struct inflight *before = task->oldest;
    weir_assert(task->in_hand && task->in_hand == task->newest && !task->parked_block);
    task->parked_block = task->in_hand;
    task->in_hand = NULL;
    while (before != task->newest && before->next != task->newest)
        before = before->next;
    if (before == task->newest)
        before = task->oldest = NULL;
    else
        before->next = NULL;
    task->newest = before;
}

void progress_resume(struct task *task)
{
    weir_assert(!task->in_hand && task->parked_block);
    append(task, task->parked_block);
    task->in_hand = task->parked_block;
    task->parked_block = NULL;
}

struct inflight *progress_output(struct task *task, size_t bytes, uint64_t count)
{
    struct inflight *inflight = task->in_hand;
    weir_assert(inflight); /* forward outside process, punctuate and flush */
    inflight->left += count;
    inflight->bytes += bytes;
    task->thread->pending_bytes += bytes;
    return inflight;
}

/* The outputs of one record will never be taken. In a block of several it is not known of which:
 * they come again one by one. A record that is known becomes a dead letter the next time. */
static void note_refusal(const struct inflight *inflight)
{
    struct input *input = inflight->input;
    uint32_t kept = 0;
    if (!input)
        return; /* from a punctuator or a flush: of no one record */
    if (inflight->offset_next > inflight->offset_first + 1 &&
        inflight->offset_next > input->careful_to) {
        input->careful_to = inflight->offset_next;
        return;
    }
    for (uint32_t i = 0; i < input->refused_count; i++)
        if (input->refused[i] >= input->position_committed &&
            input->refused[i] != inflight->offset_first)
            input->refused[kept++] = input->refused[i];
    input->refused_count = kept;
    if (kept == REFUSED_MAX)
        return;
    input->refused[input->refused_count++] = inflight->offset_first;
    input->task->rewinds = 0; /* with this known the next try gets further */
}

void progress_report(struct inflight *inflight, const struct weir_error *error)
{
    struct task *task = inflight->task;
    weir_assert(inflight->left > 0);
    inflight->left--;
    if (!task) {
        if (inflight->left == 0)
            give_back(inflight);
        return;
    }
    if (!error) {
        advance(task);
        return;
    }
    if ((error->code == WEIR_LIMIT || error->code == WEIR_INVALID) &&
        (task->thread->streams->options.dead_letter_topic ||
         task->thread->streams->options.production_handler == WEIR_HANDLER_CONTINUE))
        note_refusal(inflight);
    task_fail(task, error, false);
}

void progress_drop(struct task *task)
{
    if (task->parked_block)
        append(task, task->parked_block);
    task->in_hand = task->parked_block = NULL;
    while (task->oldest) {
        struct inflight *inflight = task->oldest;
        task->oldest = inflight->next;
        inflight->task = NULL;
        if (inflight->left == 0)
            give_back(inflight);
    }
    task->newest = NULL;
    task->inflight_count = 0;
    for (uint32_t i = 0; i < task->input_count; i++) {
        struct input *input = &task->inputs[i];
        input->position_read = input->position_delivered = input->position_done =
            input->position_committed;
    }
}
