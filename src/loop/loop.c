/* The event loop: loop/loop.h. */
#include "loop/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/errno_error.h"
#include "loop/loop_impl.h"

enum { EVENTS_A_ROUND = 128 };

void weir_loop_options_default(struct weir_loop_options *options)
{
    *options = (struct weir_loop_options){.timers_max = 65536, .posts_max = 4096};
}

enum weir_err weir_loop_new(const struct weir_loop_options *options, struct weir_loop **out,
                            struct weir_error *error)
{
    struct weir_loop_options defaults;
    struct weir_loop *loop = weir_calloc(1, sizeof *loop);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    enum weir_err err;

    if (loop == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "event loop: no memory");
    weir_loop_options_default(&defaults);
    if (options == NULL)
        options = &defaults;
    loop->clock = options->clock != NULL ? options->clock : weir_clock_real();
    loop->timers.count_max = options->timers_max;
    loop->post_max = options->posts_max;
    loop->now_ns = weir_clock_now_ns(loop->clock);
    pthread_mutex_init(&loop->mutex, NULL);
    loop->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->event_fd < 0 || loop->epoll_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->event_fd, &event) != 0) {
        err = weir_errno_set(error, errno, "event loop", "epoll");
        weir_loop_free(loop);
        return err;
    }
    *out = loop;
    return WEIR_OK;
}

void weir_loop_free(struct weir_loop *loop)
{
    if (loop == NULL)
        return;
    weir_assert(loop->fd_count == 0 && loop->closed_first == NULL);
    weir_assert(loop->timers.count == 0 && loop->wakeups == NULL);
    weir_assert(atomic_load(&loop->thread) == 0);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->event_fd >= 0)
        close(loop->event_fd);
    pthread_mutex_destroy(&loop->mutex);
    weir_timer_heap_release(&loop->timers);
    weir_free(loop->posts);
    weir_free(loop->running);
    weir_free(loop);
}

const struct weir_clock *weir_loop_clock(const struct weir_loop *loop)
{
    return loop->clock;
}

int64_t weir_loop_now_ns(const struct weir_loop *loop)
{
    return loop->now_ns;
}

bool weir_loop_is_inside(const struct weir_loop *loop)
{
    return atomic_load(&loop->thread) == (uint64_t)pthread_self();
}

/* ---- from other threads */

void weir_loop_wake(struct weir_loop *loop)
{
    const uint64_t one = 1;
    int saved = errno; /* of the code a signal handler interrupts */
    ssize_t done;

    /* EAGAIN: the counter is full, so the loop is being woken already. */
    do
        done = write(loop->event_fd, &one, sizeof one);
    while (done < 0 && errno == EINTR);
    errno = saved;
}

void weir_loop_stop(struct weir_loop *loop)
{
    atomic_store(&loop->stopped, true);
    weir_loop_wake(loop);
}

static enum weir_err append_post(struct weir_loop *loop, struct post post)
{
    if (loop->post_count == loop->post_max)
        return WEIR_LIMIT;
    if (loop->post_count == loop->post_capacity) {
        uint32_t capacity = loop->post_capacity > 0 ? loop->post_capacity * 2 : 16;
        struct post *posts;
        if (capacity > loop->post_max)
            capacity = loop->post_max;
        posts = weir_realloc_array(loop->posts, capacity, sizeof *posts);
        if (posts == NULL)
            return WEIR_NOMEM;
        loop->posts = posts;
        loop->post_capacity = capacity;
    }
    loop->posts[loop->post_count++] = post;
    return WEIR_OK;
}

enum weir_err weir_loop_post(struct weir_loop *loop, void (*fn)(void *opaque), void *opaque)
{
    enum weir_err err;
    bool first;

    pthread_mutex_lock(&loop->mutex);
    first = loop->post_count == 0;
    err = append_post(loop, (struct post){fn, opaque});
    pthread_mutex_unlock(&loop->mutex);
    /* The first one wakes; those behind it ride along until the loop takes them all. */
    if (err == WEIR_OK && first)
        weir_loop_wake(loop);
    return err;
}

void weir_loop_wakeup_signal(struct weir_loop_wakeup *wakeup)
{
    if (!atomic_exchange(&wakeup->signalled, true))
        weir_loop_wake(wakeup->loop);
}

/* ---- wake-ups */

void weir_loop_wakeup_open(struct weir_loop *loop, struct weir_loop_wakeup *wakeup,
                           void (*on_wakeup)(struct weir_loop_wakeup *wakeup))
{
    wakeup->on_wakeup = on_wakeup;
    wakeup->loop = loop;
    atomic_init(&wakeup->signalled, false);
    wakeup->previous = NULL;
    wakeup->next = loop->wakeups;
    if (loop->wakeups != NULL)
        loop->wakeups->previous = wakeup;
    loop->wakeups = wakeup;
}

void weir_loop_wakeup_close(struct weir_loop_wakeup *wakeup)
{
    struct weir_loop *loop = wakeup->loop;

    if (loop->wakeup_next == wakeup)
        loop->wakeup_next = wakeup->next;
    if (wakeup->previous != NULL)
        wakeup->previous->next = wakeup->next;
    else
        loop->wakeups = wakeup->next;
    if (wakeup->next != NULL)
        wakeup->next->previous = wakeup->previous;
}

/* ---- descriptors */

static uint32_t epoll_events(unsigned interest)
{
    return ((interest & WEIR_LOOP_READ) != 0 ? (uint32_t)EPOLLIN | EPOLLRDHUP : 0) |
           ((interest & WEIR_LOOP_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0);
}

enum weir_err weir_loop_fd_open(struct weir_loop *loop, struct weir_loop_fd *handle, int fd,
                                unsigned interest,
                                void (*on_ready)(struct weir_loop_fd *handle, unsigned events),
                                struct weir_error *error)
{
    struct epoll_event event = {.events = epoll_events(interest), .data.ptr = handle};

    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return weir_errno_set(error, errno, "event loop", "watch descriptor");
    handle->on_ready = on_ready;
    handle->on_closed = NULL;
    handle->loop = loop;
    handle->fd = fd;
    handle->interest = interest;
    handle->closing = false;
    handle->next_closed = NULL;
    loop->fd_count++;
    return WEIR_OK;
}

void weir_loop_fd_interest(struct weir_loop_fd *handle, unsigned interest)
{
    struct epoll_event event = {.events = epoll_events(interest), .data.ptr = handle};
    int failed;

    weir_assert(!handle->closing);
    if (interest == handle->interest)
        return;
    handle->interest = interest;
    failed = epoll_ctl(handle->loop->epoll_fd, EPOLL_CTL_MOD, handle->fd, &event);
    weir_assert(failed == 0);
}

void weir_loop_fd_close(struct weir_loop_fd *handle, void (*on_closed)(struct weir_loop_fd *handle))
{
    struct weir_loop *loop = handle->loop;

    weir_assert(!handle->closing);
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, handle->fd, NULL);
    /* Events of this round may still point to the handle: `closing` silences them, and on_closed
     * waits until they are through. */
    handle->closing = true;
    handle->on_closed = on_closed;
    if (loop->closed_last != NULL)
        loop->closed_last->next_closed = handle;
    else
        loop->closed_first = handle;
    loop->closed_last = handle;
    loop->fd_count--;
}

/* ---- timers */

void weir_loop_timer_init(struct weir_loop *loop, struct weir_loop_timer *timer,
                          void (*on_time)(struct weir_loop_timer *timer))
{
    timer->loop = loop;
    timer->on_time = on_time;
    timer->heap_index = 0;
    timer->due_ns = 0;
    timer->period_ns = 0;
    timer->sequence = 0;
}

enum weir_err weir_loop_timer_start_at(struct weir_loop_timer *timer, int64_t due_ns,
                                       int64_t period_ns)
{
    struct weir_loop *loop = timer->loop;

    timer->due_ns = due_ns;
    timer->period_ns = period_ns > 0 ? period_ns : 0;
    timer->sequence = ++loop->timer_sequence;
    if (timer->heap_index == 0)
        return weir_timer_heap_insert(&loop->timers, timer);
    weir_timer_heap_move(&loop->timers, timer);
    return WEIR_OK;
}

enum weir_err weir_loop_timer_start(struct weir_loop_timer *timer, int64_t delay_ms,
                                    int64_t period_ms)
{
    /* Ten years are for ever, and far from overflow. */
    const int64_t most_ms = INT64_C(3650) * 24 * 3600 * 1000;
    int64_t now_ns = weir_clock_now_ns(timer->loop->clock);

    delay_ms = delay_ms < 0 ? 0 : delay_ms > most_ms ? most_ms : delay_ms;
    period_ms = period_ms < 0 ? 0 : period_ms > most_ms ? most_ms : period_ms;
    return weir_loop_timer_start_at(timer, now_ns + delay_ms * WEIR_NS_PER_MS,
                                    period_ms * WEIR_NS_PER_MS);
}

void weir_loop_timer_stop(struct weir_loop_timer *timer)
{
    if (timer->heap_index != 0)
        weir_timer_heap_remove(&timer->loop->timers, timer);
}

/* ---- a round */

/* Milliseconds to wait: the caller's, or until the next timer; rounded up, for waking early would
 * spin. */
static int wait_ms(const struct weir_loop *loop, int64_t timeout_ms)
{
    int64_t until_ms = timeout_ms;

    if (loop->closed_first != NULL || atomic_load(&loop->stopped))
        return 0;
    if (loop->timers.count > 0) {
        int64_t left_ns = loop->timers.timers[0]->due_ns - weir_clock_now_ns(loop->clock);
        int64_t left_ms = left_ns <= 0 ? 0 : (left_ns + WEIR_NS_PER_MS - 1) / WEIR_NS_PER_MS;
        /* Virtual time does not pass while we wait. */
        if (left_ns <= 0 || (!loop->clock->is_virtual && (until_ms < 0 || left_ms < until_ms)))
            until_ms = left_ms;
    }
    return until_ms < 0 ? -1 : until_ms > 3600 * 1000 ? 3600 * 1000 : (int)until_ms;
}

/* Runs what was posted before this moment; what it posts itself waits for the next round. */
static uint32_t run_posts(struct weir_loop *loop)
{
    struct post *posts;
    uint32_t count, capacity;

    pthread_mutex_lock(&loop->mutex);
    posts = loop->posts;
    count = loop->post_count;
    capacity = loop->post_capacity;
    loop->posts = loop->running;
    loop->post_capacity = loop->running_capacity;
    loop->post_count = 0;
    loop->running = posts;
    loop->running_capacity = capacity;
    pthread_mutex_unlock(&loop->mutex);
    for (uint32_t i = 0; i < count; i++)
        posts[i].fn(posts[i].opaque);
    return count;
}

static uint32_t run_wakeups(struct weir_loop *loop)
{
    uint32_t count = 0;

    for (struct weir_loop_wakeup *w = loop->wakeups; w != NULL; w = loop->wakeup_next) {
        loop->wakeup_next = w->next;
        /* Cleared before the call: a signal given during it makes another call. */
        if (atomic_exchange(&w->signalled, false)) {
            w->on_wakeup(w);
            count++;
        }
    }
    return count;
}

static uint32_t run_ready(const struct epoll_event *events, int event_count)
{
    uint32_t count = 0;

    for (int i = 0; i < event_count; i++) {
        struct weir_loop_fd *handle = events[i].data.ptr;
        unsigned ready = 0;
        if (handle == NULL || handle->closing)
            continue;
        if ((events[i].events & (EPOLLIN | EPOLLRDHUP)) != 0)
            ready |= WEIR_LOOP_READ;
        if ((events[i].events & EPOLLOUT) != 0)
            ready |= WEIR_LOOP_WRITE;
        if ((events[i].events & (EPOLLHUP | EPOLLERR)) != 0)
            ready |= handle->interest;
        /* Another handle's callback may have changed the interest since the wait. */
        ready &= handle->interest;
        if (ready != 0) {
            handle->on_ready(handle, ready);
            count++;
        }
    }
    return count;
}

/* Runs timers that were due when the round's time was read, each at most once. */
static uint32_t run_timers(struct weir_loop *loop)
{
    uint64_t newest = loop->timer_sequence;
    uint32_t count = 0;

    while (loop->timers.count > 0) {
        struct weir_loop_timer *timer = loop->timers.timers[0];
        /* Timers started by callbacks wait for the next round: no round without an end. */
        if (timer->due_ns > loop->now_ns || timer->sequence > newest)
            break;
        if (timer->period_ns > 0) {
            /* Keeps its rhythm and leaves out the beats that were missed. */
            int64_t missed = (loop->now_ns - timer->due_ns) / timer->period_ns;
            timer->due_ns += (missed + 1) * timer->period_ns;
            timer->sequence = ++loop->timer_sequence;
            weir_timer_heap_move(&loop->timers, timer);
        } else {
            weir_timer_heap_remove(&loop->timers, timer);
        }
        timer->on_time(timer);
        count++;
    }
    return count;
}

static uint32_t run_closed(struct weir_loop *loop)
{
    struct weir_loop_fd *handle = loop->closed_first;
    uint32_t count = 0;

    loop->closed_first = loop->closed_last = NULL;
    while (handle != NULL) {
        struct weir_loop_fd *next = handle->next_closed;
        if (handle->on_closed != NULL) {
            handle->on_closed(handle);
            count++;
        }
        handle = next;
    }
    return count;
}

enum weir_err weir_loop_run_once(struct weir_loop *loop, int64_t timeout_ms, uint32_t *count_out,
                                 struct weir_error *error)
{
    struct epoll_event events[EVENTS_A_ROUND];
    int event_count = epoll_wait(loop->epoll_fd, events, EVENTS_A_ROUND, wait_ms(loop, timeout_ms));
    uint64_t drained;
    uint32_t count = 0;

    if (event_count < 0 && errno != EINTR)
        return weir_errno_set(error, errno, "event loop", "epoll_wait");
    weir_assert(atomic_load(&loop->thread) == 0); /* not from a callback, nor by two threads */
    atomic_store(&loop->thread, (uint64_t)pthread_self());
    loop->now_ns = weir_clock_now_ns(loop->clock);
    for (int i = 0; i < event_count; i++) {
        if (events[i].data.ptr != NULL)
            continue;
        /* Drained before the looks at posts and wake-ups, so that none given after them is lost. */
        while (read(loop->event_fd, &drained, sizeof drained) < 0 && errno == EINTR) {
        }
        count += run_posts(loop);
        count += run_wakeups(loop);
    }
    count += run_ready(events, event_count < 0 ? 0 : event_count);
    count += run_timers(loop);
    count += run_closed(loop);
    atomic_store(&loop->thread, 0);
    if (count_out != NULL)
        *count_out = count;
    return WEIR_OK;
}

enum weir_err weir_loop_run(struct weir_loop *loop, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    while (err == WEIR_OK && !atomic_load(&loop->stopped))
        err = weir_loop_run_once(loop, -1, NULL, error);
    atomic_store(&loop->stopped, false);
    return err;
}
