/* The event loop: order, ends of handles, signals from other threads, virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/random.h"
#include "loop/loop.h"

/* A loop on a virtual clock. */
struct fixture {
    struct weir_clock_virtual clock;
    struct weir_loop *loop;
};

static void set_up_with(struct fixture *f, uint32_t timers_max, uint32_t posts_max)
{
    struct weir_loop_options options;

    weir_clock_virtual_init(&f->clock, 0);
    weir_loop_options_default(&options);
    options.clock = &f->clock.clock;
    options.timers_max = timers_max;
    options.posts_max = posts_max;
    assert_int_equal(weir_loop_new(&options, &f->loop, NULL), WEIR_OK);
}

static void set_up(struct fixture *f)
{
    set_up_with(f, 65536, 4096);
}

static void tear_down(struct fixture *f)
{
    weir_loop_free(f->loop);
}

static uint32_t one_round(struct fixture *f)
{
    uint32_t count = 0;
    assert_int_equal(weir_loop_run_once(f->loop, 0, &count, NULL), WEIR_OK);
    return count;
}

/* ---- timers */

struct trace {
    int seen[64];
    int count;
};

struct traced_timer {
    struct weir_loop_timer timer;
    struct trace *trace;
    int number;
};

static void trace_timer(struct weir_loop_timer *timer)
{
    struct traced_timer *traced = timer->opaque;
    traced->trace->seen[traced->trace->count++] = traced->number;
}

static void init_traced(struct fixture *f, struct traced_timer *t, struct trace *trace, int number)
{
    t->trace = trace;
    t->number = number;
    weir_loop_timer_init(f->loop, &t->timer, trace_timer);
    t->timer.opaque = t;
}

static void timers_fire_in_order_of_time_then_of_start(void **state)
{
    struct fixture f;
    struct trace trace = {.count = 0};
    struct traced_timer timers[4];
    const int64_t delays[] = {20, 10, 10, 5};

    (void)state;
    set_up(&f);
    for (int i = 0; i < 4; i++) {
        init_traced(&f, &timers[i], &trace, i);
        assert_int_equal(weir_loop_timer_start(&timers[i].timer, delays[i], 0), WEIR_OK);
    }
    assert_int_equal(one_round(&f), 0);
    weir_clock_virtual_advance_ms(&f.clock, 10);
    assert_int_equal(one_round(&f), 3);
    assert_int_equal(trace.seen[0], 3);
    assert_int_equal(trace.seen[1], 1);
    assert_int_equal(trace.seen[2], 2);
    weir_clock_virtual_advance_ms(&f.clock, 10);
    assert_int_equal(one_round(&f), 1);
    assert_int_equal(trace.seen[3], 0);
    assert_false(weir_loop_timer_is_started(&timers[0].timer));
    tear_down(&f);
}

static void a_late_periodic_timer_fires_once_and_keeps_its_rhythm(void **state)
{
    struct fixture f;
    struct trace trace = {.count = 0};
    struct traced_timer t;

    (void)state;
    set_up(&f);
    init_traced(&f, &t, &trace, 1);
    assert_int_equal(weir_loop_timer_start(&t.timer, 10, 10), WEIR_OK);
    weir_clock_virtual_advance_ms(&f.clock, 35); /* beats at 10, 20, 30 are missed */
    assert_int_equal(one_round(&f), 1);
    assert_int_equal(one_round(&f), 0);
    weir_clock_virtual_advance_ms(&f.clock, 4); /* 39 */
    assert_int_equal(one_round(&f), 0);
    weir_clock_virtual_advance_ms(&f.clock, 1); /* 40 */
    assert_int_equal(one_round(&f), 1);
    weir_loop_timer_stop(&t.timer);
    weir_clock_virtual_advance_ms(&f.clock, 100);
    assert_int_equal(one_round(&f), 0);
    tear_down(&f);
}

static void stop_other(struct weir_loop_timer *timer)
{
    weir_loop_timer_stop(timer->opaque);
}

static void a_timer_stopped_by_another_that_is_due_does_not_fire(void **state)
{
    struct fixture f;
    struct trace trace = {.count = 0};
    struct traced_timer victim;
    struct weir_loop_timer killer;

    (void)state;
    set_up(&f);
    init_traced(&f, &victim, &trace, 1);
    weir_loop_timer_init(f.loop, &killer, stop_other);
    killer.opaque = &victim.timer;
    assert_int_equal(weir_loop_timer_start(&killer, 1, 0), WEIR_OK);
    assert_int_equal(weir_loop_timer_start(&victim.timer, 1, 0), WEIR_OK);
    weir_clock_virtual_advance_ms(&f.clock, 1);
    assert_int_equal(one_round(&f), 1);
    assert_int_equal(trace.count, 0);
    tear_down(&f);
}

static void free_itself(struct weir_loop_timer *timer)
{
    int *count = timer->opaque;
    ++*count;
    free(timer);
}

static void a_timer_may_free_itself(void **state)
{
    struct fixture f;
    struct weir_loop_timer *timer = malloc(sizeof *timer);
    int count = 0;

    (void)state;
    assert_non_null(timer);
    set_up(&f);
    weir_loop_timer_init(f.loop, timer, free_itself);
    timer->opaque = &count;
    assert_int_equal(weir_loop_timer_start(timer, 0, 0), WEIR_OK);
    assert_int_equal(one_round(&f), 1);
    assert_int_equal(count, 1);
    tear_down(&f);
}

static void restart_at_once(struct weir_loop_timer *timer)
{
    int *count = timer->opaque;
    ++*count;
    assert_int_equal(weir_loop_timer_start(timer, 0, 0), WEIR_OK);
}

static void a_timer_that_restarts_itself_does_not_hold_up_the_round(void **state)
{
    struct fixture f;
    struct weir_loop_timer timer;
    int count = 0;

    (void)state;
    set_up(&f);
    weir_loop_timer_init(f.loop, &timer, restart_at_once);
    timer.opaque = &count;
    assert_int_equal(weir_loop_timer_start(&timer, 0, 0), WEIR_OK);
    assert_int_equal(one_round(&f), 1);
    assert_int_equal(one_round(&f), 1);
    weir_loop_timer_stop(&timer);
    assert_int_equal(count, 2);
    tear_down(&f);
}

static void the_number_of_timers_has_a_ceiling(void **state)
{
    struct fixture f;
    struct trace trace = {.count = 0};
    struct traced_timer timers[3];

    (void)state;
    set_up_with(&f, 2, 1);
    for (int i = 0; i < 3; i++)
        init_traced(&f, &timers[i], &trace, i);
    assert_int_equal(weir_loop_timer_start(&timers[0].timer, 5, 0), WEIR_OK);
    assert_int_equal(weir_loop_timer_start(&timers[1].timer, 5, 0), WEIR_OK);
    assert_int_equal(weir_loop_timer_start(&timers[2].timer, 5, 0), WEIR_LIMIT);
    assert_int_equal(weir_loop_timer_start(&timers[0].timer, 9, 0), WEIR_OK); /* moves */
    weir_loop_timer_stop(&timers[0].timer);
    weir_loop_timer_stop(&timers[1].timer);
    tear_down(&f);
}

/* Against the plain model: sort by (due, order of start). */
static void many_timers_started_moved_and_stopped_fire_as_a_sorted_list_says(void **state)
{
    enum { COUNT = 40 };
    struct fixture f;
    struct trace trace = {.count = 0};
    struct traced_timer timers[COUNT];
    struct weir_random random = {20240917};
    int64_t last = -1;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)random.state);
    set_up(&f);
    for (int i = 0; i < COUNT; i++)
        init_traced(&f, &timers[i], &trace, i);
    for (int i = 0; i < 400; i++) {
        struct weir_loop_timer *timer = &timers[weir_random_below(&random, COUNT)].timer;
        if (weir_random_below(&random, 4) == 0)
            weir_loop_timer_stop(timer);
        else
            assert_int_equal(weir_loop_timer_start(timer, weir_random_below(&random, 50), 0),
                             WEIR_OK);
    }
    weir_clock_virtual_advance_ms(&f.clock, 50);
    one_round(&f);
    for (int i = 0; i < trace.count; i++) {
        const struct weir_loop_timer *now = &timers[trace.seen[i]].timer;
        assert_true(now->due_ns >= last);
        if (i > 0 && now->due_ns == last)
            assert_true(now->sequence > timers[trace.seen[i - 1]].timer.sequence);
        last = now->due_ns;
    }
    for (int i = 0; i < COUNT; i++)
        assert_false(weir_loop_timer_is_started(&timers[i].timer));
    tear_down(&f);
}

/* ---- descriptors */

struct pipe_end {
    struct weir_loop_fd handle;
    int ready, closed;
    struct pipe_end *other;
};

static void on_pipe_ready(struct weir_loop_fd *handle, unsigned events)
{
    struct pipe_end *end = handle->opaque;
    char byte;

    assert_int_equal(events, WEIR_LOOP_READ);
    assert_int_equal(read(handle->fd, &byte, 1), 1);
    end->ready++;
}

static void on_pipe_closed(struct weir_loop_fd *handle)
{
    struct pipe_end *end = handle->opaque;
    end->closed++;
}

static void close_both(struct weir_loop_fd *handle, unsigned events)
{
    struct pipe_end *end = handle->opaque;

    (void)events;
    end->ready++;
    weir_loop_fd_close(&end->handle, on_pipe_closed);
    weir_loop_fd_close(&end->other->handle, on_pipe_closed);
}

static void a_descriptor_is_called_while_ready_and_of_interest(void **state)
{
    struct fixture f;
    struct pipe_end end = {.ready = 0};
    int fds[2];

    (void)state;
    set_up(&f);
    assert_int_equal(pipe(fds), 0);
    end.handle.opaque = &end;
    assert_int_equal(
        weir_loop_fd_open(f.loop, &end.handle, fds[0], WEIR_LOOP_READ, on_pipe_ready, NULL),
        WEIR_OK);
    assert_int_equal(one_round(&f), 0);
    assert_int_equal(write(fds[1], "ab", 2), 2);
    assert_int_equal(one_round(&f), 1);
    weir_loop_fd_interest(&end.handle, 0);
    assert_int_equal(one_round(&f), 0);
    weir_loop_fd_interest(&end.handle, WEIR_LOOP_READ);
    assert_int_equal(one_round(&f), 1);
    assert_int_equal(end.ready, 2);
    weir_loop_fd_close(&end.handle, on_pipe_closed);
    assert_int_equal(end.closed, 0);
    assert_int_equal(one_round(&f), 1);
    assert_int_equal(end.closed, 1);
    close(fds[0]);
    close(fds[1]);
    tear_down(&f);
}

static void nothing_runs_after_close_even_if_the_event_was_fetched(void **state)
{
    struct fixture f;
    struct pipe_end a = {.ready = 0}, b = {.ready = 0};
    int first[2], second[2];

    (void)state;
    set_up(&f);
    assert_int_equal(pipe(first), 0);
    assert_int_equal(pipe(second), 0);
    a.other = &b;
    b.other = &a;
    a.handle.opaque = &a;
    b.handle.opaque = &b;
    assert_int_equal(
        weir_loop_fd_open(f.loop, &a.handle, first[0], WEIR_LOOP_READ, close_both, NULL), WEIR_OK);
    assert_int_equal(
        weir_loop_fd_open(f.loop, &b.handle, second[0], WEIR_LOOP_READ, close_both, NULL), WEIR_OK);
    assert_int_equal(write(first[1], "a", 1), 1);
    assert_int_equal(write(second[1], "b", 1), 1);
    assert_int_equal(one_round(&f), 3); /* one on_ready, two on_closed */
    assert_int_equal(a.ready + b.ready, 1);
    assert_int_equal(a.closed + b.closed, 2);
    for (int i = 0; i < 2; i++) {
        close(first[i]);
        close(second[i]);
    }
    tear_down(&f);
}

static void a_descriptor_that_cannot_be_watched_is_an_error(void **state)
{
    struct fixture f;
    struct pipe_end end = {.ready = 0}, again = {.ready = 0};
    struct weir_error error;
    int fds[2];

    (void)state;
    set_up(&f);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(
        weir_loop_fd_open(f.loop, &end.handle, fds[0], WEIR_LOOP_READ, on_pipe_ready, &error),
        WEIR_OK);
    assert_int_equal(
        weir_loop_fd_open(f.loop, &again.handle, fds[0], WEIR_LOOP_READ, on_pipe_ready, &error),
        WEIR_EXISTS);
    weir_loop_fd_close(&end.handle, NULL);
    one_round(&f);
    close(fds[0]);
    close(fds[1]);
    tear_down(&f);
}

/* ---- other threads */

struct posted {
    struct weir_loop *loop;
    int order[8];
    int count;
    bool inside;
};

static void posted_first(void *opaque)
{
    struct posted *p = opaque;
    p->order[p->count++] = 1;
    p->inside = weir_loop_is_inside(p->loop);
}

static void posted_second(void *opaque)
{
    struct posted *p = opaque;
    p->order[p->count++] = 2;
    assert_int_equal(weir_loop_post(p->loop, posted_first, p), WEIR_OK);
}

static void posts_run_in_order_and_what_they_post_runs_a_round_later(void **state)
{
    struct fixture f;
    struct posted p = {.count = 0};

    (void)state;
    set_up(&f);
    p.loop = f.loop;
    assert_int_equal(weir_loop_post(f.loop, posted_second, &p), WEIR_OK);
    assert_int_equal(weir_loop_post(f.loop, posted_first, &p), WEIR_OK);
    assert_int_equal(one_round(&f), 2);
    assert_int_equal(p.order[0], 2);
    assert_int_equal(p.order[1], 1);
    assert_true(p.inside);
    assert_false(weir_loop_is_inside(f.loop));
    assert_int_equal(one_round(&f), 1);
    assert_int_equal(p.count, 3);
    tear_down(&f);
}

static void posts_have_a_ceiling(void **state)
{
    struct fixture f;
    struct posted p = {.count = 0};

    (void)state;
    set_up_with(&f, 1, 2);
    p.loop = f.loop;
    assert_int_equal(weir_loop_post(f.loop, posted_first, &p), WEIR_OK);
    assert_int_equal(weir_loop_post(f.loop, posted_first, &p), WEIR_OK);
    assert_int_equal(weir_loop_post(f.loop, posted_first, &p), WEIR_LIMIT);
    one_round(&f);
    assert_int_equal(weir_loop_post(f.loop, posted_first, &p), WEIR_OK);
    one_round(&f);
    assert_int_equal(p.count, 3);
    tear_down(&f);
}

enum { SIGNALS = 2000 };

struct signaller {
    struct weir_loop *loop;
    struct weir_loop_wakeup wakeup;
    _Atomic int given;
    int seen, posts;
};

static void on_signal(struct weir_loop_wakeup *wakeup)
{
    struct signaller *s = wakeup->opaque;
    s->seen = atomic_load(&s->given);
    if (s->seen == SIGNALS && s->posts == SIGNALS)
        weir_loop_stop(s->loop);
}

static void on_post(void *opaque)
{
    struct signaller *s = opaque;
    s->posts++;
    if (s->seen == SIGNALS && s->posts == SIGNALS)
        weir_loop_stop(s->loop);
}

static void *give_signals(void *opaque)
{
    struct signaller *s = opaque;
    for (int i = 0; i < SIGNALS; i++) {
        while (weir_loop_post(s->loop, on_post, s) == WEIR_LIMIT)
            sched_yield();
        atomic_fetch_add(&s->given, 1);
        weir_loop_wakeup_signal(&s->wakeup);
    }
    return NULL;
}

static void no_signal_or_post_of_another_thread_is_lost(void **state)
{
    struct weir_loop_options options;
    struct signaller s = {.seen = 0};
    pthread_t thread;

    (void)state;
    weir_loop_options_default(&options);
    options.posts_max = 16;
    assert_int_equal(weir_loop_new(&options, &s.loop, NULL), WEIR_OK);
    s.wakeup.opaque = &s;
    weir_loop_wakeup_open(s.loop, &s.wakeup, on_signal);
    assert_int_equal(pthread_create(&thread, NULL, give_signals, &s), 0);
    assert_int_equal(weir_loop_run(s.loop, NULL), WEIR_OK); /* ends when the last was seen */
    pthread_join(thread, NULL);
    assert_int_equal(s.seen, SIGNALS);
    assert_int_equal(s.posts, SIGNALS);
    weir_loop_wakeup_close(&s.wakeup);
    weir_loop_free(s.loop);
}

static void close_itself(struct weir_loop_wakeup *wakeup)
{
    int *count = wakeup->opaque;
    ++*count;
    weir_loop_wakeup_close(wakeup);
    free(wakeup);
}

static void a_wakeup_may_close_and_free_itself(void **state)
{
    struct fixture f;
    int count = 0;

    (void)state;
    set_up(&f);
    for (int i = 0; i < 3; i++) {
        struct weir_loop_wakeup *wakeup = malloc(sizeof *wakeup);
        assert_non_null(wakeup);
        wakeup->opaque = &count;
        weir_loop_wakeup_open(f.loop, wakeup, close_itself);
        weir_loop_wakeup_signal(wakeup);
    }
    assert_int_equal(one_round(&f), 3);
    assert_int_equal(count, 3);
    tear_down(&f);
}

static void a_stop_before_the_run_counts(void **state)
{
    struct fixture f;

    (void)state;
    set_up(&f);
    weir_loop_stop(f.loop);
    assert_int_equal(weir_loop_run(f.loop, NULL), WEIR_OK);
    tear_down(&f);
}

static void stop_the_loop(struct weir_loop_timer *timer)
{
    weir_loop_stop(timer->loop);
}

static void real_timers_wake_the_loop_and_not_before_their_time(void **state)
{
    struct weir_loop *loop;
    struct weir_loop_timer timer;
    int64_t begin_ns = weir_clock_now_ns(NULL);

    (void)state;
    assert_int_equal(weir_loop_new(NULL, &loop, NULL), WEIR_OK);
    weir_loop_timer_init(loop, &timer, stop_the_loop);
    assert_int_equal(weir_loop_timer_start(&timer, 5, 0), WEIR_OK);
    assert_int_equal(weir_loop_run(loop, NULL), WEIR_OK);
    assert_true(weir_clock_now_ns(NULL) - begin_ns >= 5 * WEIR_NS_PER_MS);
    weir_loop_free(loop);
}

static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct weir_loop *loop = NULL;
        struct weir_loop_timer timer;
        struct posted p = {.count = 0};
        struct weir_alloc_counts counts;
        enum weir_err err;

        weir_alloc_watch_start(n);
        err = weir_loop_new(NULL, &loop, NULL);
        if (err == WEIR_OK) {
            p.loop = loop;
            weir_loop_timer_init(loop, &timer, stop_the_loop);
            err = weir_loop_timer_start(&timer, 1, 0);
            if (err == WEIR_OK)
                err = weir_loop_post(loop, posted_first, &p);
            weir_loop_timer_stop(&timer);
        }
        weir_loop_free(loop);
        counts = weir_alloc_watch_stop();
        if (counts.failed == 0) {
            assert_int_equal(err, WEIR_OK);
            assert_int_equal(counts.allocations, counts.frees);
            break;
        }
        assert_int_equal(err, WEIR_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_of_time_then_of_start),
        cmocka_unit_test(a_late_periodic_timer_fires_once_and_keeps_its_rhythm),
        cmocka_unit_test(a_timer_stopped_by_another_that_is_due_does_not_fire),
        cmocka_unit_test(a_timer_may_free_itself),
        cmocka_unit_test(a_timer_that_restarts_itself_does_not_hold_up_the_round),
        cmocka_unit_test(the_number_of_timers_has_a_ceiling),
        cmocka_unit_test(many_timers_started_moved_and_stopped_fire_as_a_sorted_list_says),
        cmocka_unit_test(a_descriptor_is_called_while_ready_and_of_interest),
        cmocka_unit_test(nothing_runs_after_close_even_if_the_event_was_fetched),
        cmocka_unit_test(a_descriptor_that_cannot_be_watched_is_an_error),
        cmocka_unit_test(posts_run_in_order_and_what_they_post_runs_a_round_later),
        cmocka_unit_test(posts_have_a_ceiling),
        cmocka_unit_test(no_signal_or_post_of_another_thread_is_lost),
        cmocka_unit_test(a_wakeup_may_close_and_free_itself),
        cmocka_unit_test(a_stop_before_the_run_counts),
        cmocka_unit_test(real_timers_wake_the_loop_and_not_before_their_time),
        cmocka_unit_test(every_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
