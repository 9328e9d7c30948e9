/*
 * streams/query.c - questions from outside to the stores of tasks, see weir/streams_query.h.
 *
 *      caller: question --> each thread's `asked` --> waits for `left` to be 0
 *      thread: between two rounds: takes it, looks, left--
 *
 * Stores belong to their threads and have no locks: so the question goes to the thread.
 */
#include <weir/streams_query.h>

#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "streams/inside.h"

struct question {
    uint32_t kind; /* of the store, in the topology */
    int32_t partition;
    enum weir_err (*look)(void *opaque, const struct weir_store_view *view,
                          struct weir_error *error);
    void *opaque;
    /* under the lock of questions: */
    uint32_t left; /* threads that have not answered */
    uint32_t seen; /* tasks */
    enum weir_err err;
    struct weir_error error;
};

/* ---- threads --------------------------------------------------------------------------------- */

static enum weir_err look_at(const struct question *question, const struct task *task,
                             uint32_t *seen, struct weir_error *error)
{
    const struct topology_store *kind = &task->thread->streams->topology->kinds[question->kind];
    if (question->partition >= 0 && task->partition != question->partition)
        return WEIR_OK;
    for (uint32_t i = 0; i < task->store_count; i++) {
        if (task->stores[i].kind != kind)
            continue;
        if (!task->is_ready)
            return weir_error_set(error, WEIR_AGAIN, -1, "store %s of task %s is being restored",
                                  kind->options.name, task->id);
        const struct weir_store_view view = {
            .store = task->stores[i].store, .task_id = task->id, .partition = task->partition};
        ++*seen;
        return question->look(question->opaque, &view, error);
    }
    return WEIR_OK;
}

void query_answer(struct stream_thread *thread)
{
    struct weir_streams *streams = thread->streams;
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err = WEIR_OK;
    uint32_t seen = 0;
    pthread_mutex_lock(&streams->query_lock);
    struct question *question = atomic_exchange(&thread->asked, false) ? streams->question : NULL;
    pthread_mutex_unlock(&streams->query_lock);
    if (!question)
        return;
    for (const struct task *task = thread->tasks; task && err == WEIR_OK; task = task->next)
        err = look_at(question, task, &seen, &error);
    pthread_mutex_lock(&streams->query_lock);
    question->seen += seen;
    if (err != WEIR_OK && question->err == WEIR_OK) {
        question->err = err;
        question->error = error;
    }
    question->left--;
    pthread_cond_broadcast(&streams->answered);
    pthread_mutex_unlock(&streams->query_lock);
}

/* ---- callers --------------------------------------------------------------------------------- */

void query_init(struct weir_streams *streams)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&streams->query_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&streams->answered, &attributes);
    pthread_condattr_destroy(&attributes);
}

void query_release(struct weir_streams *streams)
{
    pthread_cond_destroy(&streams->answered);
    pthread_mutex_destroy(&streams->query_lock);
}

static bool find_kind(const struct weir_streams *streams, const char *store, uint32_t *out)
{
    for (uint32_t i = 0; i < streams->topology->kind_count; i++)
        if (strcmp(streams->topology->kinds[i].options.name, store) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static struct timespec deadline_of(int32_t timeout_ms)
{
    int64_t until_ns = weir_clock_now_ns(NULL) + timeout_ms * WEIR_NS_PER_MS;
    return (struct timespec){until_ns / WEIR_NS_PER_SECOND, until_ns % WEIR_NS_PER_SECOND};
}

/* Held: query_lock. Threads that have not begun are not asked any more; the others are waited for,
 * for they have the question in hand. */
static bool wait_for_answers(struct weir_streams *streams, struct question *question,
                             const struct timespec *until)
{
    bool in_time = true;
    while (question->left > 0) {
        if (in_time) {
            in_time = pthread_cond_timedwait(&streams->answered, &streams->query_lock, until) == 0;
        } else {
            for (uint32_t i = 0; i < streams->options.threads; i++)
                question->left -= atomic_exchange(&streams->threads[i]->asked, false);
            if (question->left > 0)
                pthread_cond_wait(&streams->answered, &streams->query_lock);
        }
    }
    return in_time;
}

enum weir_err weir_streams_query(struct weir_streams *streams, const char *store, int32_t partition,
                                 enum weir_err (*look)(void *opaque,
                                                       const struct weir_store_view *view,
                                                       struct weir_error *error),
                                 void *opaque, int32_t timeout_ms, struct weir_error *error)
{
    struct question question = {.partition = partition, .look = look, .opaque = opaque};
    const struct timespec until = deadline_of(timeout_ms);
    if (!find_kind(streams, store, &question.kind))
        return weir_error_set(error, WEIR_NOT_FOUND, -1, "the topology has no store \"%s\"", store);
    enum weir_streams_state state = weir_streams_state(streams);
    if (state != WEIR_STREAMS_RUNNING)
        return weir_error_set(error, WEIR_AGAIN, -1, "the instance is %s",
                              weir_streams_state_name(state));
    pthread_mutex_lock(&streams->query_lock);
    bool in_time = true;
    while (streams->question && in_time)
        in_time = pthread_cond_timedwait(&streams->answered, &streams->query_lock, &until) == 0;
    if (in_time) {
        streams->question = &question;
        question.left = streams->options.threads;
        for (uint32_t i = 0; i < streams->options.threads; i++)
            atomic_store(&streams->threads[i]->asked, true);
        pthread_mutex_unlock(&streams->query_lock);
        streams_wake_all(streams);
        pthread_mutex_lock(&streams->query_lock);
        in_time = wait_for_answers(streams, &question, &until);
        streams->question = NULL;
        pthread_cond_broadcast(&streams->answered);
    }
    pthread_mutex_unlock(&streams->query_lock);
    if (question.err != WEIR_OK) {
        if (error)
            *error = question.error;
        return question.err;
    }
    if (!in_time)
        return weir_error_set(error, WEIR_TIMEOUT, -1, "store %s: no answer within %d ms", store,
                              (int)timeout_ms);
    if (partition >= 0 && question.seen == 0)
        return weir_error_set(error, WEIR_NOT_FOUND, -1,
                              "partition %d of store %s is not with this instance", (int)partition,
                              store);
    return WEIR_OK;
}
