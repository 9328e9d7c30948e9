/* Several threads: boundaries, queues, promises kept elsewhere, ends from outside. */
#include "cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/queue.h"
#include "things.h"

enum { MANY = 20000, WAIT_MS = 25000 };

static long fold_result(struct place *place, int32_t sink)
{
    void *value;

    assert_int_equal(weir_flow_stream_wait(place->stream, WAIT_MS), WEIR_OK);
    assert_int_equal(weir_flow_stream_result(place->stream, sink, &value, NULL), WEIR_OK);
    return take_value(value);
}

/* In its order, or it fails. */
static enum weir_err in_sequence(void *opaque, void *sum, void *element, void **out,
                                 struct weir_error *error)
{
    long next = take_value(element), last = sum != NULL ? take_value(sum) : 0;

    (void)opaque;
    (void)error;
    if (next != last + 1)
        return WEIR_INVALID;
    *out = thing(next);
    return WEIR_OK;
}

static void boundaries_between_threads_keep_everything_in_order(void **state)
{
    static const uint32_t buffers[] = {1, 2, 16, 256};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct place place;
        struct weir_flow_outlet out;
        int32_t sink;

        place_open_threads(&place, 3);
        out = count_to(place.graph, MANY);
        for (int islands = 0; islands < 4; islands++)
            out = weir_flow_map(weir_flow_async(out, buffers[i]), twice, NULL, &thing_kind);
        sink = weir_flow_fold(out, NULL, add_up, NULL, &thing_kind);
        place_run(&place);
        assert_int_equal(fold_result(&place, sink), 16L * MANY * (MANY + 1) / 2);
        place_close(&place);
    }
}

static void meshes_on_threads_lose_nothing(void **state)
{
    struct place place;
    struct weir_flow_outlet outs[4], out;
    int32_t sink;

    (void)state;
    place_open_threads(&place, 4);
    weir_flow_balance(count_to(place.graph, MANY), outs, 4);
    for (int i = 0; i < 4; i++)
        outs[i] = weir_flow_async(
            weir_flow_map(weir_flow_async(outs[i], 4), twice, NULL, &thing_kind), 8);
    out = weir_flow_merge(outs, 4);
    sink = weir_flow_fold(out, NULL, add_up, NULL, &thing_kind);
    place_run(&place);
    assert_int_equal(fold_result(&place, sink), 2L * MANY * (MANY + 1) / 2);
    place_close(&place);
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void *offer_all(void *opaque)
{
    struct weir_flow_queue *queue = opaque;

    for (long i = 1; i <= MANY; i++)
        if (weir_flow_queue_offer(queue, thing(i), WAIT_MS) != WEIR_OK)
            abort();
    weir_flow_queue_complete(queue);
    return NULL;
}

static void queues_join_threads_and_streams(void **state)
{
    struct place place;
    struct weir_flow_outlet in;
    struct weir_flow_sink_queue *queue;
    pthread_t thread;
    void *element;
    int32_t sink;

    (void)state;
    place_open_threads(&place, 2);
    in = weir_flow_source_queue(place.graph, 8, &thing_kind);
    sink = weir_flow_sink_queue(weir_flow_async(in, 8), 8);
    place_run(&place);
    queue = weir_flow_stream_value(place.stream, sink);
    assert_int_equal(
        pthread_create(&thread, NULL, offer_all, weir_flow_stream_value(place.stream, in.stage)),
        0);
    for (long i = 1; i <= MANY; i++) {
        assert_int_equal(weir_flow_sink_queue_pull(queue, &element, WAIT_MS, NULL), WEIR_OK);
        assert_int_equal(take_value(element), i);
    }
    assert_int_equal(weir_flow_sink_queue_pull(queue, &element, WAIT_MS, NULL), WEIR_END);
    pthread_join(thread, NULL);
    place_close(&place);
}

static void *offer_until_closed(void *opaque)
{
    for (long i = 1;; i++) {
        void *element = thing(i);
        if (weir_flow_queue_offer(opaque, element, WAIT_MS) != WEIR_OK) {
            take_value(element);
            return NULL;
        }
    }
}

static void a_cancelled_sink_queue_closes_the_source_queue(void **state)
{
    struct place place;
    struct weir_flow_outlet in;
    struct weir_flow_sink_queue *queue;
    pthread_t thread;
    void *element;
    int32_t sink;

    (void)state;
    place_open_threads(&place, 2);
    in = weir_flow_source_queue(place.graph, 4, &thing_kind);
    sink = weir_flow_sink_queue(weir_flow_async(in, 4), 4);
    place_run(&place);
    queue = weir_flow_stream_value(place.stream, sink);
    assert_int_equal(pthread_create(&thread, NULL, offer_until_closed,
                                    weir_flow_stream_value(place.stream, in.stage)),
                     0);
    for (long i = 1; i <= 100; i++) {
        assert_int_equal(weir_flow_sink_queue_pull(queue, &element, WAIT_MS, NULL), WEIR_OK);
        take_value(element);
    }
    weir_flow_sink_queue_cancel(queue);
    pthread_join(thread, NULL);
    assert_int_equal(weir_flow_stream_wait(place.stream, WAIT_MS), WEIR_OK);
    place_close(&place);
}

/* ---- promises kept by other threads ---------------------------------------------------------- */

struct duty {
    struct weir_flow_promise *promise;
    void *element;
};

static void delegate(void *opaque, void *element, struct weir_flow_promise *promise)
{
    struct duty *duty = malloc(sizeof *duty);

    *duty = (struct duty){promise, element};
    if (weir_queue_push(opaque, duty, -1) != WEIR_OK)
        abort();
}

static void *keep_promises(void *opaque)
{
    void *item;

    while (weir_queue_pop(opaque, &item, -1) == WEIR_OK) {
        struct duty *duty = item;
        weir_flow_promise_succeed(duty->promise, duty->element);
        free(duty);
    }
    return NULL;
}

static void promises_kept_by_other_threads_stay_in_order(void **state)
{
    struct weir_queue duties;
    struct place place;
    pthread_t workers[3];
    int32_t sink;

    (void)state;
    assert_int_equal(weir_queue_init(&duties, 64), WEIR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, keep_promises, &duties), 0);
    place_open_threads(&place, 2);
    const struct weir_flow_map_async map = {
        .parallelism = 16, .start = delegate, .opaque = &duties};
    sink = weir_flow_fold(weir_flow_map_async(count_to(place.graph, MANY), &map, &thing_kind), NULL,
                          in_sequence, NULL, &thing_kind);
    place_run(&place);
    assert_int_equal(fold_result(&place, sink), MANY);
    place_close(&place);
    weir_queue_close(&duties);
    for (int i = 0; i < 3; i++)
        pthread_join(workers[i], NULL);
    weir_queue_release(&duties);
}

/* ---- ends from outside ----------------------------------------------------------------------- */

static void a_stream_is_aborted_or_switched_off_at_any_moment(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct place place;
        struct weir_flow_outlet source, out;
        void *element = thing(round);

        place_open_threads(&place, 2);
        source = weir_flow_repeat(place.graph, element, &thing_kind);
        out = weir_flow_kill_switch(weir_flow_async(source, 4));
        weir_flow_ignore(weir_flow_async(out, 4));
        place_run(&place);
        for (int yields = 0; yields < round; yields++)
            sched_yield();
        if (round % 2 == 0)
            weir_flow_kill_switch_shutdown(weir_flow_stream_value(place.stream, out.stage));
        else
            weir_flow_stream_abort(place.stream);
        assert_int_equal(weir_flow_stream_wait(place.stream, WAIT_MS), WEIR_OK);
        take_value(element);
        place_close(&place);
    }
}

static void *turn_off(void *opaque)
{
    weir_flow_shared_kill_switch_shutdown(opaque);
    return NULL;
}

/* While streams begin, run, end by themselves and are freed. */
static void a_shared_switch_is_turned_off_at_any_moment(void **state)
{
    enum { STREAMS = 4 };
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct weir_flow_shared_kill_switch *kill_switch;
        struct weir_flow_graph *graphs[STREAMS];
        struct weir_flow_stream *streams[STREAMS];
        struct place place;
        pthread_t thread;
        void *element = thing(round);

        place_open_threads(&place, 2);
        assert_int_equal(weir_flow_shared_kill_switch_new(&kill_switch), WEIR_OK);
        for (int i = 0; i < STREAMS; i++) {
            struct weir_flow_outlet out;
            assert_int_equal(weir_flow_graph_new(&graphs[i]), WEIR_OK);
            out = weir_flow_repeat(graphs[i], element, &thing_kind);
            if (i % 2 == 1) /* this one ends by itself */
                out = weir_flow_take(out, (uint64_t)round);
            out = weir_flow_via_shared_kill_switch(weir_flow_async(out, 4), kill_switch);
            weir_flow_ignore(weir_flow_async(out, 4));
            if (i == round % STREAMS)
                assert_int_equal(pthread_create(&thread, NULL, turn_off, kill_switch), 0);
            assert_int_equal(weir_flow_run(graphs[i], place.materializer, &streams[i], NULL),
                             WEIR_OK);
        }
        for (int i = 0; i < STREAMS; i++) {
            assert_int_equal(weir_flow_stream_wait(streams[i], WAIT_MS), WEIR_OK);
            weir_flow_stream_free(streams[i]);
            weir_flow_graph_free(graphs[i]);
        }
        pthread_join(thread, NULL);
        weir_flow_shared_kill_switch_free(kill_switch);
        take_value(element);
        place_close(&place);
    }
}

static void timers_fire_on_threads(void **state)
{
    struct place place;
    int tock = 1;
    int32_t sink;

    (void)state;
    place_open_threads(&place, 2);
    sink = weir_flow_ignore(weir_flow_take(weir_flow_tick(place.graph, 1, 1, &tock, NULL), 5));
    place_run(&place);
    assert_int_equal(weir_flow_stream_wait(place.stream, WAIT_MS), WEIR_OK);
    assert_int_equal(weir_flow_stream_result(place.stream, sink, NULL, NULL), WEIR_OK);
    place_close(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boundaries_between_threads_keep_everything_in_order),
        cmocka_unit_test(meshes_on_threads_lose_nothing),
        cmocka_unit_test(queues_join_threads_and_streams),
        cmocka_unit_test(a_cancelled_sink_queue_closes_the_source_queue),
        cmocka_unit_test(promises_kept_by_other_threads_stay_in_order),
        cmocka_unit_test(a_stream_is_aborted_or_switched_off_at_any_moment),
        cmocka_unit_test(a_shared_switch_is_turned_off_at_any_moment),
        cmocka_unit_test(timers_fire_on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
