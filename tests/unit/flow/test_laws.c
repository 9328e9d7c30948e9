/*
 * Laws under fuzzing: chains and meshes of random operators, in any order of events, lose nothing,
 * make nothing twice and keep order where it is promised; and the n-th allocation may fail.
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "things.h"

enum { ELEMENTS = 60, ROUNDS = 3000 };

static enum weir_err same(void *opaque, void *element, void **out, struct weir_error *error)
{
    (void)opaque;
    (void)error;
    *out = element;
    return WEIR_OK;
}

static bool yes(void *opaque, const void *element)
{
    (void)opaque;
    (void)element;
    return true;
}

static uint32_t by_three(void *opaque, const void *element)
{
    (void)opaque;
    return (uint32_t)(value_of(element) % 3);
}

static void at_once(void *opaque, void *element, struct weir_flow_promise *promise)
{
    (void)opaque;
    weir_flow_promise_succeed(promise, element);
}

static uint64_t one_partition(void *opaque, const void *element)
{
    (void)opaque;
    return (uint64_t)value_of(element) % 2;
}

static enum weir_err open_group(void *opaque, void *element, void **cursor,
                                struct weir_error *error)
{
    struct weir_flow_group *group = element;

    (void)opaque;
    (void)error;
    /* Backwards, so that the last can be taken off. */
    for (uint32_t i = 0; i < group->count / 2; i++) {
        void *other = group->elements[group->count - 1 - i];
        group->elements[group->count - 1 - i] = group->elements[i];
        group->elements[i] = other;
    }
    *cursor = group;
    return WEIR_OK;
}

static enum weir_err next_of_group(void *opaque, void *cursor, void **out, struct weir_error *error)
{
    struct weir_flow_group *group = cursor;

    (void)opaque;
    (void)error;
    if (group->count == 0)
        return WEIR_END;
    *out = group->elements[--group->count];
    return WEIR_OK;
}

static void close_group(void *opaque, void *cursor)
{
    (void)opaque;
    weir_flow_group_free(cursor);
}

static const struct weir_flow_map_concat ungroup = {
    .open = open_group, .next = next_of_group, .close = close_group};

/* One more operator that keeps every element and their order. */
static struct weir_flow_outlet in_order(struct weir_flow_outlet in, struct weir_random *random)
{
    const struct weir_flow_map_async map = {.parallelism = 1 + weir_random_below(random, 5),
                                            .start = at_once,
                                            .partition = one_partition};
    struct weir_flow_outlet side;

    switch (weir_random_below(random, 12)) {
    case 0:
        return weir_flow_map(in, same, NULL, &thing_kind);
    case 1:
        return weir_flow_filter(in, yes, NULL);
    case 2:
        return weir_flow_buffer(in, 1 + weir_random_below(random, 5), WEIR_FLOW_BACKPRESSURE);
    case 3:
        return weir_flow_async(in, 1 + weir_random_below(random, 9));
    case 4:
        return weir_flow_map_async(in, &map, &thing_kind);
    case 5:
        return weir_flow_map_async_partitioned(in, &map, &thing_kind);
    case 6:
        return weir_flow_map_concat(weir_flow_grouped(in, 1 + weir_random_below(random, 7)),
                                    &ungroup, &thing_kind);
    case 7:
        return weir_flow_map_concat(
            weir_flow_grouped_within(in, 1 + weir_random_below(random, 7), 10), &ungroup,
            &thing_kind);
    case 8:
        in = weir_flow_also_to(in, &side);
        weir_flow_ignore(side);
        return in;
    case 9:
        in = weir_flow_wire_tap(in, &side);
        weir_flow_ignore(weir_flow_async(side, 2));
        return in;
    case 10:
        return weir_flow_watch_termination(weir_flow_take_while(in, yes, NULL, false));
    default:
        return weir_flow_drop(in, 0);
    }
}

/* Splits and joins again: every element once, in any order. */
static struct weir_flow_outlet in_disorder(struct weir_flow_outlet in, struct weir_random *random)
{
    struct weir_flow_outlet outs[3];

    if (weir_random_below(random, 2) == 0)
        weir_flow_balance(in, outs, 3);
    else
        weir_flow_partition(in, by_three, NULL, outs, 3);
    for (int i = 0; i < 3; i++)
        outs[i] = in_order(outs[i], random);
    return weir_random_below(random, 2) == 0 ? weir_flow_merge(outs, 3)
                                             : weir_flow_merge_preferred(outs, 3);
}

static void check_all(struct place *place, int32_t sink, bool ordered, uint64_t seed)
{
    struct weir_flow_group *group;
    bool seen[ELEMENTS + 1] = {false};
    void *value;

    if (weir_flow_stream_result(place->stream, sink, &value, NULL) != WEIR_OK)
        fail_msg("seed %llu: no result", (unsigned long long)seed);
    group = value;
    if (group->count != ELEMENTS)
        fail_msg("seed %llu: %u elements", (unsigned long long)seed, group->count);
    for (uint32_t i = 0; i < group->count; i++) {
        long number = value_of(group->elements[i]);
        if (seen[number] || (ordered && number != (long)i + 1))
            fail_msg("seed %llu: %ld at place %u", (unsigned long long)seed, number, i);
        seen[number] = true;
    }
    weir_flow_group_free(group);
}

/* Runs to the end, moving the clock when nothing else moves. */
static void run_out(struct place *place, uint64_t seed)
{
    for (int i = 0; weir_flow_stream_wait(place->stream, 0) != WEIR_OK; i++) {
        if (i == 10000)
            fail_msg("seed %llu: the stream does not end", (unsigned long long)seed);
        weir_clock_virtual_advance_ms(&place->clock, 10);
    }
}

static void nothing_is_lost_doubled_or_disordered(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct weir_random random = {seed};
        struct place place;
        struct weir_flow_outlet out;
        bool ordered = true;
        int32_t sink;

        place_open(&place, seed);
        out = count_to(place.graph, ELEMENTS);
        for (uint32_t length = weir_random_below(&random, 8); length > 0; length--) {
            if (weir_random_below(&random, 5) == 0) {
                out = in_disorder(out, &random);
                ordered = false;
            } else {
                out = in_order(out, &random);
            }
        }
        sink = weir_flow_collect_all(out, ELEMENTS);
        place_run(&place);
        run_out(&place, seed);
        check_all(&place, sink, ordered, seed);
        place_close(&place);
    }
}

static enum weir_err fail_at(void *opaque, void *element, void **out, struct weir_error *error)
{
    long at = (long)(intptr_t)opaque;

    (void)error;
    if (value_of(element) == at) {
        take_value(element);
        return WEIR_INVALID;
    }
    *out = element;
    return WEIR_OK;
}

/* What is on its way when a stream fails, is cancelled or aborted is ended: place_close counts. */
static void whatever_ends_a_stream_ends_its_elements(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct weir_random random = {seed};
        struct place place;
        struct weir_flow_outlet out;
        uint32_t way = weir_random_below(&random, 3);
        enum weir_err err;
        int32_t sink;

        place_open(&place, seed);
        out = count_to(place.graph, ELEMENTS);
        for (uint32_t length = weir_random_below(&random, 8); length > 0; length--) {
            if (way == 0 && length == 2)
                out = weir_flow_map(out, fail_at,
                                    (void *)(intptr_t)(1 + weir_random_below(&random, ELEMENTS)),
                                    &thing_kind);
            out = weir_random_below(&random, 4) == 0 ? in_disorder(out, &random)
                                                     : in_order(out, &random);
        }
        if (way == 1)
            out = weir_flow_take(out, weir_random_below(&random, ELEMENTS));
        sink = weir_flow_ignore(out);
        place_run(&place);
        if (way == 2)
            weir_flow_stream_abort(place.stream);
        run_out(&place, seed);
        err = weir_flow_stream_result(place.stream, sink, NULL, NULL);
        if (err != WEIR_OK && err != (way == 0 ? WEIR_INVALID : WEIR_CLOSED))
            fail_msg("seed %llu: ended with %s", (unsigned long long)seed, weir_err_name(err));
        place_close(&place);
    }
}

/* A sink that asks for few at a time gets no more than it asked for. */
static void demand_is_never_exceeded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct weir_random random = {seed};
        struct weir_flow_sink_probe *probe;
        struct place place;
        struct weir_flow_outlet out;
        uint32_t wanted = 0, got = 0;
        int32_t sink;
        void *element;

        place_open(&place, seed);
        out = count_to(place.graph, ELEMENTS);
        for (uint32_t length = weir_random_below(&random, 5); length > 0; length--)
            out = in_order(out, &random);
        sink = weir_flow_probe_sink(out);
        place_run(&place);
        probe = weir_flow_stream_value(place.stream, sink);
        while (got < ELEMENTS) {
            uint32_t count = weir_random_below(&random, 4);
            weir_flow_sink_probe_request(probe, count);
            wanted += count;
            weir_clock_virtual_advance_ms(&place.clock, 10);
            while (weir_flow_sink_probe_take(probe, &element) == WEIR_OK) {
                assert_int_equal(take_value(element), ++got);
                assert_true(got <= wanted);
            }
            if (got < ELEMENTS)
                assert_int_equal(got, wanted);
        }
        place_close(&place);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static enum weir_err build_and_run(void)
{
    struct weir_flow_materializer_options options;
    struct weir_flow_materializer *materializer = NULL;
    struct weir_flow_graph *graph = NULL;
    struct weir_flow_stream *stream = NULL;
    struct weir_flow_outlet out, side;
    enum weir_err err;
    int32_t sink;
    void *value;

    weir_flow_materializer_options_default(&options);
    options.threads = 0;
    err = weir_flow_materializer_new(&options, &materializer, NULL);
    if (err == WEIR_OK)
        err = weir_flow_graph_new(&graph);
    if (err != WEIR_OK)
        goto out;
    out = weir_flow_async(count_to(graph, 30), 4);
    out = weir_flow_map_concat(weir_flow_grouped(out, 4), &ungroup, &thing_kind);
    out = weir_flow_idle_timeout(weir_flow_also_to(out, &side), 60000);
    weir_flow_sink_queue(side, 64);
    sink = weir_flow_collect_all(weir_flow_buffer(out, 8, WEIR_FLOW_BACKPRESSURE), 100);
    err = weir_flow_run(graph, materializer, &stream, NULL);
    if (err != WEIR_OK)
        goto out;
    assert_int_equal(weir_flow_stream_wait(stream, 0), WEIR_OK);
    err = weir_flow_stream_result(stream, sink, &value, NULL);
    if (err == WEIR_OK)
        weir_flow_group_free(value);
out:
    weir_flow_stream_free(stream);
    weir_flow_graph_free(graph);
    weir_flow_materializer_free(materializer);
    return err;
}

static void any_allocation_may_fail(void **state)
{
    uint64_t n = 1;

    (void)state;
    for (;; n++) {
        enum weir_err err;
        struct weir_alloc_counts counts;

        weir_alloc_watch_start(n);
        err = build_and_run();
        counts = weir_alloc_watch_stop();
        assert_int_equal(thing_count, 0);
        if (counts.failed == 0) {
            assert_int_equal(err, WEIR_OK);
            break;
        }
        if (err != WEIR_NOMEM)
            fail_msg("allocation %llu: %s", (unsigned long long)n, weir_err_name(err));
    }
    assert_true(n > 20);
}

static void steady_state_allocates_nothing(void **state)
{
    struct weir_flow_source_probe *source;
    struct weir_alloc_counts counts;
    struct place place;
    struct weir_flow_outlet in, out;
    const struct weir_flow_map_async map = {.parallelism = 4, .start = at_once};

    (void)state;
    place_open(&place, 0);
    in = weir_flow_probe_source(place.graph, &thing_kind);
    out = weir_flow_buffer(weir_flow_map(in, same, NULL, &thing_kind), 4, WEIR_FLOW_BACKPRESSURE);
    out = weir_flow_map_async(weir_flow_async(out, 4), &map, &thing_kind);
    weir_flow_ignore(weir_flow_throttle(out, 1000000, 1, 1000));
    place_run(&place);
    source = weir_flow_stream_value(place.stream, in.stage);
    assert_int_equal(weir_flow_source_probe_next(source, thing(0)), WEIR_OK);
    weir_alloc_watch_start(0);
    for (long i = 0; i < 500; i++)
        assert_int_equal(weir_flow_source_probe_next(source, thing(i)), WEIR_OK);
    counts = weir_alloc_watch_stop();
    assert_int_equal(counts.allocations, 0);
    place_close(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_doubled_or_disordered),
        cmocka_unit_test(whatever_ends_a_stream_ends_its_elements),
        cmocka_unit_test(demand_is_never_exceeded),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(steady_state_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
