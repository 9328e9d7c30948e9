/*
 * streams/progress.c - which positions may be committed.
 *
 * A block in flight counts its outputs up while it is in hand and down with each report. Entries are
 * pooled by thread, for the reports of a thread's producer all come on that thread.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

static void give_back(struct inflight *inflight)
{
    struct stream_thread *thread = inflight->thread;
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
}

enum weir_err progress_begin(struct task *task, int64_t offset_first, int64_t offset_next)
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
                                  .thread = thread,
                                  .offset_first = offset_first,
                                  .offset_next = offset_next};
    if (task->newest)
        task->newest->next = inflight;
    else
        task->oldest = inflight;
    task->newest = inflight;
    task->inflight_count++;
    task->in_hand = inflight;
    return WEIR_OK;
}

/* Takes what is done from the old end. */
static void advance(struct task *task)
{
    while (task->oldest && task->oldest->done && task->oldest->left == 0) {
        struct inflight *inflight = task->oldest;
        task->position_done = inflight->offset_next;
        task->oldest = inflight->next;
        if (!task->oldest)
            task->newest = NULL;
        task->inflight_count--;
        give_back(inflight);
    }
}

void progress_end(struct task *task)
{
    task->in_hand->done = true;
    task->in_hand = NULL;
    advance(task);
}

void progress_cancel(struct task *task)
{
    struct inflight *inflight = task->in_hand, **at = &task->oldest, *before = NULL;
    weir_assert(inflight->left == 0); /* AGAIN after outputs breaks the rule of process_batch */
    while (*at != inflight) {
        before = *at;
        at = &(*at)->next;
    }
    *at = inflight->next;
    task->newest = before;
    task->inflight_count--;
    task->in_hand = NULL;
    give_back(inflight);
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

void progress_report(struct inflight *inflight, bool delivered)
{
    struct task *task = inflight->task;
    weir_assert(inflight->left > 0);
    inflight->left--;
    if (!task) {
        if (inflight->left == 0)
            give_back(inflight);
        return;
    }
    if (!delivered)
        task->must_rewind = true;
    else if (!task->must_rewind)
        advance(task);
}

void progress_drop(struct task *task)
{
    task->in_hand = NULL;
    while (task->oldest) {
        struct inflight *inflight = task->oldest;
        task->oldest = inflight->next;
        inflight->task = NULL;
        if (inflight->left == 0)
            give_back(inflight);
    }
    task->newest = NULL;
    task->inflight_count = 0;
    task->position_done = task->position_committed;
}
