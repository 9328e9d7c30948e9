/*
 * loop/loop.h - one thread, many file descriptors and timers.
 *
 * What:    an event loop on epoll: descriptors (ready to read, to write), timers, wake-ups and
 *          functions posted by other threads.
 * Life:    weir_loop_new -> start handles -> weir_loop_run (until weir_loop_stop) -> close handles
 *          -> weir_loop_free. Handles are the caller's memory:
 *            fd:      open -> on_ready ... -> close -> on_closed: nothing of it runs after that
 *            timer:   init -> start -> on_time ... -> stop: nothing of it runs after stop
 *            wakeup:  open -> on_wakeup ... -> close
 *          A handle must not move, nor be freed before its end.
 * Threads: everything belongs to the thread that runs the loop, except weir_loop_post,
 *          weir_loop_wakeup_signal and weir_loop_stop, which any thread may call until the loop is
 *          freed. Callbacks run on the loop's thread.
 * Memory:  the loop allocates for itself: a heap of timers (timers_max) and a queue of posted
 *          functions (posts_max).
 * Errors:  LIMIT, NOMEM, IO, EXISTS (descriptor watched already).
 *
 * Time comes from the loop's clock, read once a round. With a virtual clock the loop never sleeps
 * for a timer: it waits for descriptors and wake-ups only, and timers fire in the round after the
 * clock was moved (a test calls weir_loop_run_once).
 *
 * Order of a round: wait -> posted functions and wake-ups -> descriptors -> due timers (earliest
 * first, equal times in order of start) -> on_closed of what was closed.
 */
#ifndef WEIR_LOOP_LOOP_H
#define WEIR_LOOP_LOOP_H

#include <stdatomic.h>

#include <weir/base.h>

#include "base/clock.h"

struct weir_loop;

enum { WEIR_LOOP_READ = 1, WEIR_LOOP_WRITE = 2 };

struct weir_loop_options {
    const struct weir_clock *clock; /* NULL = real */
    uint32_t timers_max;            /* started at once [65536] */
    uint32_t posts_max;             /* functions waiting [4096] */
};

void weir_loop_options_default(struct weir_loop_options *options);
/* options NULL = defaults. */
WEIR_MUST_USE enum weir_err weir_loop_new(const struct weir_loop_options *options,
                                          struct weir_loop **out, struct weir_error *error);
/* All handles must have ended (assertion); posted functions that have not run are dropped. NULL is
 * allowed. */
void weir_loop_free(struct weir_loop *loop);

/* Runs rounds until weir_loop_stop. A stop asked for before the run counts. IO if epoll fails. */
WEIR_MUST_USE enum weir_err weir_loop_run(struct weir_loop *loop, struct weir_error *error);
/* One round; waits at most timeout_ms (0 = not at all, -1 = until something happens). *count_out
 * (may be NULL): callbacks that ran. */
WEIR_MUST_USE enum weir_err weir_loop_run_once(struct weir_loop *loop, int64_t timeout_ms,
                                               uint32_t *count_out, struct weir_error *error);
/* Ends weir_loop_run after the current round. Any thread, also a signal handler. */
void weir_loop_stop(struct weir_loop *loop);
/* True on the thread that is inside run or run_once. */
bool weir_loop_is_inside(const struct weir_loop *loop);
/* The clock's reading at the beginning of this round; monotonic ns. */
int64_t weir_loop_now_ns(const struct weir_loop *loop);
const struct weir_clock *weir_loop_clock(const struct weir_loop *loop);

/* Runs fn(opaque) once on the loop's thread, in order of posting. From any thread. LIMIT: the queue
 * is full. opaque is handed through. */
WEIR_MUST_USE enum weir_err weir_loop_post(struct weir_loop *loop, void (*fn)(void *opaque),
                                           void *opaque);

/* A watched descriptor. The caller keeps the descriptor itself and closes it after
 * weir_loop_fd_close (at once is fine). Readiness is level-triggered. */
struct weir_loop_fd {
    /* events: READ, WRITE or both. Hang-up and errors count as whatever is of interest, so that the
     * next read or write meets them. */
    void (*on_ready)(struct weir_loop_fd *handle, unsigned events);
    void (*on_closed)(struct weir_loop_fd *handle); /* may be NULL; may free the handle */
    void *opaque;                                   /* the caller's */
    /* The loop's own. */
    struct weir_loop *loop;
    int fd;
    unsigned interest;
    bool closing;
    struct weir_loop_fd *next_closed;
};

/* Begins to watch. interest may be 0: nothing until weir_loop_fd_interest. Set opaque before. */
WEIR_MUST_USE enum weir_err
weir_loop_fd_open(struct weir_loop *loop, struct weir_loop_fd *handle, int fd, unsigned interest,
                  void (*on_ready)(struct weir_loop_fd *handle, unsigned events),
                  struct weir_error *error);
/* Changes what is of interest; nothing happens if it is the same. */
void weir_loop_fd_interest(struct weir_loop_fd *handle, unsigned interest);
/* Ends the watch: on_ready is not called again, on_closed at the end of this round (of the next, if
 * called outside of one). Once only. */
void weir_loop_fd_close(struct weir_loop_fd *handle,
                        void (*on_closed)(struct weir_loop_fd *handle));

/* A timer. on_time may start, stop or free its own timer. */
struct weir_loop_timer {
    void (*on_time)(struct weir_loop_timer *timer);
    void *opaque; /* the caller's */
    /* The loop's own. */
    struct weir_loop *loop;
    int64_t due_ns;
    int64_t period_ns;
    uint64_t sequence;
    uint32_t heap_index; /* + 1; 0 = not started */
};

/* Set opaque before or after. */
void weir_loop_timer_init(struct weir_loop *loop, struct weir_loop_timer *timer,
                          void (*on_time)(struct weir_loop_timer *timer));
/* Fires after delay_ms from now (the clock, read anew), then every period_ms (0 = once). A started
 * timer is moved. A late periodic timer fires once and keeps its rhythm. LIMIT, NOMEM only if it
 * was not started. */
WEIR_MUST_USE enum weir_err weir_loop_timer_start(struct weir_loop_timer *timer, int64_t delay_ms,
                                                  int64_t period_ms);
/* The same at a point of the monotonic clock. */
WEIR_MUST_USE enum weir_err weir_loop_timer_start_at(struct weir_loop_timer *timer, int64_t due_ns,
                                                     int64_t period_ns);
/* Fine if it is not started. */
void weir_loop_timer_stop(struct weir_loop_timer *timer);
static inline bool weir_loop_timer_is_started(const struct weir_loop_timer *timer)
{
    return timer->heap_index != 0;
}

/* A signal that other threads give and that cannot fail: any number of signals before the loop
 * looks make one call. */
struct weir_loop_wakeup {
    void (*on_wakeup)(struct weir_loop_wakeup *wakeup);
    void *opaque; /* the caller's */
    /* The loop's own. */
    struct weir_loop *loop;
    _Atomic bool signalled;
    struct weir_loop_wakeup *previous, *next;
};

/* Set opaque before. */
void weir_loop_wakeup_open(struct weir_loop *loop, struct weir_loop_wakeup *wakeup,
                           void (*on_wakeup)(struct weir_loop_wakeup *wakeup));
/* Any thread; what it wrote before is visible to on_wakeup. */
void weir_loop_wakeup_signal(struct weir_loop_wakeup *wakeup);
/* on_wakeup is not called again. The caller makes sure that nobody signals any more. */
void weir_loop_wakeup_close(struct weir_loop_wakeup *wakeup);

#endif
