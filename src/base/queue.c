/* A bounded queue that waits: base/queue.h. */
#include "base/queue.h"

#include <errno.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"

enum weir_err weir_queue_init(struct weir_queue *queue, uint32_t capacity)
{
    pthread_condattr_t attributes;

    weir_assert(capacity >= 1);
    *queue = (struct weir_queue){.capacity = capacity};
    queue->items = weir_calloc(capacity, sizeof *queue->items);
    if (queue->items == NULL)
        return WEIR_NOMEM;
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->not_empty, &attributes);
    pthread_cond_init(&queue->not_full, &attributes);
    pthread_condattr_destroy(&attributes);
    return WEIR_OK;
}

void weir_queue_release(struct weir_queue *queue)
{
    if (queue->items == NULL)
        return;
    pthread_cond_destroy(&queue->not_empty);
    pthread_cond_destroy(&queue->not_full);
    pthread_mutex_destroy(&queue->mutex);
    weir_free(queue->items);
    queue->items = NULL;
}

static struct timespec deadline_in(int64_t timeout_ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += timeout_ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

/* Waits once. False: the time is over. */
static bool wait_on(struct weir_queue *queue, pthread_cond_t *condition, int64_t timeout_ms,
                    const struct timespec *deadline)
{
    if (timeout_ms < 0)
        return pthread_cond_wait(condition, &queue->mutex) == 0;
    return pthread_cond_timedwait(condition, &queue->mutex, deadline) != ETIMEDOUT;
}

/* Enough for any wait that is not for ever, and far from overflow. */
static int64_t bounded(int64_t timeout_ms)
{
    const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;
    return timeout_ms > year_ms ? year_ms : timeout_ms;
}

enum weir_err weir_queue_push(struct weir_queue *queue, void *item, int64_t timeout_ms)
{
    struct timespec deadline = deadline_in(timeout_ms > 0 ? bounded(timeout_ms) : 0);
    enum weir_err err = WEIR_OK;

    pthread_mutex_lock(&queue->mutex);
    while (!queue->closed && queue->count == queue->capacity && err == WEIR_OK) {
        if (timeout_ms == 0)
            err = WEIR_AGAIN;
        else if (!wait_on(queue, &queue->not_full, timeout_ms, &deadline))
            err = queue->count == queue->capacity ? WEIR_TIMEOUT : WEIR_OK;
    }
    if (queue->closed)
        err = WEIR_CLOSED;
    if (err == WEIR_OK) {
        uint32_t last = (uint32_t)(((uint64_t)queue->first + queue->count) % queue->capacity);
        queue->items[last] = item;
        queue->count++;
        pthread_cond_signal(&queue->not_empty);
    }
    pthread_mutex_unlock(&queue->mutex);
    return err;
}

enum weir_err weir_queue_pop(struct weir_queue *queue, void **item_out, int64_t timeout_ms)
{
    struct timespec deadline = deadline_in(timeout_ms > 0 ? bounded(timeout_ms) : 0);
    enum weir_err err = WEIR_OK;

    pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0 && err == WEIR_OK) {
        if (queue->closed)
            err = WEIR_CLOSED;
        else if (timeout_ms == 0)
            err = WEIR_AGAIN;
        else if (!wait_on(queue, &queue->not_empty, timeout_ms, &deadline) && queue->count == 0)
            err = queue->closed ? WEIR_CLOSED : WEIR_TIMEOUT;
    }
    if (err == WEIR_OK) {
        *item_out = queue->items[queue->first];
        queue->first = (queue->first + 1) % queue->capacity;
        queue->count--;
        pthread_cond_signal(&queue->not_full);
    }
    pthread_mutex_unlock(&queue->mutex);
    return err;
}

void weir_queue_close(struct weir_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_empty);
    pthread_cond_broadcast(&queue->not_full);
    pthread_mutex_unlock(&queue->mutex);
}

uint32_t weir_queue_count(struct weir_queue *queue)
{
    uint32_t count;

    pthread_mutex_lock(&queue->mutex);
    count = queue->count;
    pthread_mutex_unlock(&queue->mutex);
    return count;
}
