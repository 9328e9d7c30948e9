/*
 * loop/loop_impl.h - what struct weir_loop holds; for the files of this folder only.
 *
 * What, life, threads, memory, errors: as in loop/loop.h. Fields above `mutex` belong to the loop's
 * thread, those below to whoever holds the mutex.
 */
#ifndef WEIR_LOOP_LOOP_IMPL_H
#define WEIR_LOOP_LOOP_IMPL_H

#include <pthread.h>

#include "loop/loop.h"
#include "loop/timer_heap.h"

struct post {
    void (*fn)(void *opaque);
    void *opaque;
};

struct weir_loop {
    const struct weir_clock *clock;
    int epoll_fd;
    int event_fd; /* readable: somebody posted, signalled or stopped */
    int64_t now_ns;
    uint64_t timer_sequence;
    struct weir_timer_heap timers;
    uint32_t fd_count;                               /* open handles */
    struct weir_loop_fd *closed_first, *closed_last; /* wait for their on_closed */
    struct weir_loop_wakeup *wakeups;                /* open ones, newest first */
    struct weir_loop_wakeup *wakeup_next;            /* where the walk in progress goes on */
    struct post *running;                            /* posts that are being run; swapped in */
    uint32_t running_capacity;

    _Atomic bool stopped;
    _Atomic uint64_t thread; /* pthread_self of who is inside; 0 = nobody */

    pthread_mutex_t mutex;
    struct post *posts; /* in order of posting */
    uint32_t post_count, post_capacity, post_max;
};

/* Makes the loop's wait end. Any thread, also a signal handler. */
void weir_loop_wake(struct weir_loop *loop);

#endif
