/*
 * Golden cases of every operator between probes: elements, completion, failure, cancellation and
 * back-pressure. Each case runs in order and under fuzzing seeds, and must come out the same.
 *
 * A case is a line of steps; 'b' in front means the second source or sink:
 *
 *      r2   the sink asks for two          >5   the source sends 5 (there must be demand)
 *      <5   the sink has got 5             .  ! the source completes, fails (IO)
 *      <.   the sink has got completion    <!   the sink has got a failure
 *      _    the sink has got nothing       x    the sink cancels
 *      ?  - the source has (no) demand     <x   the source has been cancelled
 *      +10  ten milliseconds pass
 */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "things.h"

enum { SEEDS = 20 };

struct bench {
    struct place place;
    struct weir_flow_outlet ins[2];
    struct weir_flow_outlet outs[2];
    int sources, sinks;
    struct weir_flow_source_probe *source[2];
    struct weir_flow_sink_probe *sink[2];
};

/* ---- functions for the operators ------------------------------------------------------------- */

static bool is_odd(void *opaque, const void *element)
{
    (void)opaque;
    return value_of(element) % 2 != 0;
}

static bool is_small(void *opaque, const void *element)
{
    (void)opaque;
    return value_of(element) < 10;
}

/* Fails for 13, leaves out negative ones. */
static enum weir_err half(void *opaque, void *element, void **out, struct weir_error *error)
{
    long value = take_value(element);

    (void)opaque;
    (void)error;
    if (value == 13)
        return WEIR_INVALID;
    if (value < 0)
        return WEIR_AGAIN;
    *out = thing(value / 2);
    return WEIR_OK;
}

static enum weir_flow_directive resume(void *opaque, const struct weir_error *error)
{
    (void)opaque;
    return error->code == WEIR_INVALID ? WEIR_FLOW_RESUME : WEIR_FLOW_STOP;
}

static enum weir_flow_directive restart(void *opaque, const struct weir_error *error)
{
    (void)opaque;
    (void)error;
    return WEIR_FLOW_RESTART;
}

static enum weir_err sum_create(void *opaque, void **state_out, struct weir_error *error)
{
    (void)opaque;
    (void)error;
    *state_out = calloc(1, sizeof(long));
    return *state_out != NULL ? WEIR_OK : WEIR_NOMEM;
}

static enum weir_err sum_map(void *opaque, void *state, void *element, void **out,
                             struct weir_error *error)
{
    long *sum = state, value = take_value(element);

    (void)opaque;
    (void)error;
    if (value == 13)
        return WEIR_INVALID;
    *sum += value;
    *out = thing(*sum);
    return WEIR_OK;
}

static enum weir_err sum_complete(void *opaque, void *state, void **out, struct weir_error *error)
{
    (void)opaque;
    (void)error;
    *out = thing(1000 + *(long *)state);
    return WEIR_OK;
}

static void sum_free(void *opaque, void *state)
{
    (void)opaque;
    free(state);
}

static enum weir_err make_seven(void *opaque, void **out, struct weir_error *error)
{
    (void)opaque;
    (void)error;
    *out = thing(7);
    return WEIR_OK;
}

static enum weir_err digits_open(void *opaque, void *element, void **cursor_out,
                                 struct weir_error *error)
{
    long *value = malloc(sizeof *value);

    (void)opaque;
    (void)error;
    *value = take_value(element);
    *cursor_out = value;
    return WEIR_OK;
}

static enum weir_err digits_next(void *opaque, void *cursor, void **out, struct weir_error *error)
{
    long *value = cursor;

    (void)opaque;
    (void)error;
    if (*value == 0)
        return WEIR_END;
    *out = thing(*value % 10);
    *value /= 10;
    return WEIR_OK;
}

static void digits_close(void *opaque, void *cursor)
{
    (void)opaque;
    free(cursor);
}

/* A group as the number whose digits are its elements. */
static enum weir_err group_number(void *opaque, void *element, void **out, struct weir_error *error)
{
    struct weir_flow_group *group = element;
    long value = 0;

    (void)opaque;
    (void)error;
    for (uint32_t i = 0; i < group->count; i++)
        value = value * 10 + value_of(group->elements[i]);
    weir_flow_group_free(group);
    *out = thing(value);
    return WEIR_OK;
}

static enum weir_err pair_number(void *opaque, void *element, void **out, struct weir_error *error)
{
    struct weir_flow_pair *pair = element;

    (void)opaque;
    (void)error;
    *out = thing(value_of(pair->first) * 10 + value_of(pair->second));
    weir_flow_pair_free(pair);
    return WEIR_OK;
}

static enum weir_err rescue(void *opaque, const struct weir_error *failure, void **out,
                            struct weir_error *error)
{
    (void)opaque;
    (void)error;
    *out = thing(failure->code == WEIR_IO ? 99 : 0);
    return WEIR_OK;
}

static uint32_t by_parity(void *opaque, const void *element)
{
    (void)opaque;
    return value_of(element) % 2 != 0 ? 1 : 0;
}

/* Promises that wait until `answer` comes: the test answers in the order of the digits. */
static struct {
    struct weir_flow_promise *promises[16];
    void *elements[16];
    int count;
} open_promises;

static void promise_later(void *opaque, void *element, struct weir_flow_promise *promise)
{
    (void)opaque;
    open_promises.promises[open_promises.count] = promise;
    open_promises.elements[open_promises.count++] = element;
}

static uint64_t tens(void *opaque, const void *element)
{
    (void)opaque;
    return (uint64_t)value_of(element) / 10;
}

static const struct weir_flow_map_async later = {
    .parallelism = 3, .start = promise_later, .partition = tens};

/* Answers the open promise of an element: value 13 fails. */
static void answer(long value)
{
    for (int i = 0; i < open_promises.count; i++)
        if (value_of(open_promises.elements[i]) == value) {
            struct weir_flow_promise *promise = open_promises.promises[i];
            void *element = open_promises.elements[i];
            open_promises.count--;
            open_promises.promises[i] = open_promises.promises[open_promises.count];
            open_promises.elements[i] = open_promises.elements[open_promises.count];
            if (value == 13) {
                struct weir_error error;
                take_value(element);
                weir_error_set(&error, WEIR_INVALID, -1, "thirteen");
                weir_flow_promise_fail(promise, &error);
            } else {
                weir_flow_promise_succeed(promise, element);
            }
            return;
        }
    fail_msg("no promise for %ld is open", value);
}

/* ---- the operators --------------------------------------------------------------------------- */

#define ONE(name, expression)                                                                      \
    static void make_##name(struct bench *b)                                                       \
    {                                                                                              \
        struct weir_flow_outlet in = b->ins[0];                                                    \
        (void)in;                                                                                  \
        b->outs[0] = expression;                                                                   \
    }

static const struct weir_flow_stateful_map sum = {
    .create = sum_create, .map = sum_map, .complete = sum_complete, .free_state = sum_free};
static const struct weir_flow_map_concat digits = {
    .open = digits_open, .next = digits_next, .close = digits_close};
static const struct weir_flow_batch adding = {.max = 2, .aggregate = add_up};

ONE(map, weir_flow_map(in, half, NULL, &thing_kind))
ONE(map_resume, weir_flow_supervision(weir_flow_map(in, half, NULL, &thing_kind), resume, NULL))
ONE(collect, weir_flow_collect(in, half, NULL, &thing_kind))
ONE(filter, weir_flow_filter(in, is_odd, NULL))
ONE(stateful, weir_flow_stateful_map(in, &sum, &thing_kind))
ONE(stateful_restart,
    weir_flow_supervision(weir_flow_stateful_map(in, &sum, &thing_kind), restart, NULL))
ONE(map_concat, weir_flow_map_concat(in, &digits, &thing_kind))
ONE(take, weir_flow_take(in, 2))
ONE(take_none, weir_flow_take(in, 0))
ONE(take_while, weir_flow_take_while(in, is_small, NULL, false))
ONE(take_while_inclusive, weir_flow_take_while(in, is_small, NULL, true))
ONE(drop, weir_flow_drop(in, 2))
ONE(grouped, weir_flow_map(weir_flow_grouped(in, 3), group_number, NULL, &thing_kind))
ONE(grouped_within,
    weir_flow_map(weir_flow_grouped_within(in, 3, 10), group_number, NULL, &thing_kind))
ONE(throttle, weir_flow_throttle(in, 1, 10, 2))
ONE(buffer, weir_flow_buffer(in, 2, WEIR_FLOW_BACKPRESSURE))
ONE(drop_head, weir_flow_buffer(in, 2, WEIR_FLOW_DROP_HEAD))
ONE(drop_tail, weir_flow_buffer(in, 2, WEIR_FLOW_DROP_TAIL))
ONE(drop_buffer, weir_flow_buffer(in, 2, WEIR_FLOW_DROP_BUFFER))
ONE(drop_new, weir_flow_buffer(in, 2, WEIR_FLOW_DROP_NEW))
ONE(buffer_fail, weir_flow_buffer(in, 2, WEIR_FLOW_FAIL))
ONE(batch, weir_flow_batch(in, &adding, &thing_kind))
ONE(conflate, weir_flow_conflate(in, add_up, NULL))
ONE(map_async, weir_flow_map_async(in, &later, &thing_kind))
ONE(unordered, weir_flow_map_async_unordered(in, &later, &thing_kind))
ONE(partitioned, weir_flow_map_async_partitioned(in, &later, &thing_kind))
ONE(async_resume, weir_flow_supervision(weir_flow_map_async(in, &later, &thing_kind), resume, NULL))
ONE(recover, weir_flow_recover(in, rescue, NULL))
ONE(idle, weir_flow_idle_timeout(in, 10))
ONE(initial, weir_flow_initial_timeout(in, 10))
ONE(completion, weir_flow_completion_timeout(in, 10))
ONE(backpressure, weir_flow_backpressure_timeout(in, 10))
ONE(kill_switch, weir_flow_kill_switch(in))
ONE(keep_alive, weir_flow_keep_alive(in, 10, make_seven, NULL))
ONE(watch, weir_flow_watch_termination(in))
ONE(async, weir_flow_async(in, 4))
ONE(merge, weir_flow_merge(b->ins, 2))
ONE(preferred, weir_flow_merge_preferred(b->ins, 2))
ONE(concat, weir_flow_concat(b->ins, 2))
ONE(zip, weir_flow_map(weir_flow_zip(in, b->ins[1]), pair_number, NULL, &thing_kind))
ONE(also_to, weir_flow_also_to(in, &b->outs[1]))
ONE(divert_to, weir_flow_divert_to(in, is_odd, NULL, &b->outs[1]))
ONE(wire_tap, weir_flow_wire_tap(in, &b->outs[1]))

static void make_broadcast(struct bench *b)
{
    weir_flow_broadcast(b->ins[0], b->outs, 2);
}

static void make_balance(struct bench *b)
{
    weir_flow_balance(b->ins[0], b->outs, 2);
}

static void make_partition(struct bench *b)
{
    weir_flow_partition(b->ins[0], by_parity, NULL, b->outs, 2);
}

struct golden {
    const char *name;
    void (*make)(struct bench *b);
    int sources, sinks;
    const char *steps;
};

static const struct golden cases[] = {
    {"map: elements and completion", make_map, 1, 1, "- r2 ? >4 <2 >6 <3 - . <."},
    {"map: its own failure", make_map, 1, 1, "r2 >13 <! <x"},
    {"map: failure from above", make_map, 1, 1, "r2 >4 ! <2 <!"},
    {"map: cancellation", make_map, 1, 1, "r2 >4 x <x"},
    {"map: resumes", make_map_resume, 1, 1, "r2 >13 ? >4 <2"},
    {"collect leaves out", make_collect, 1, 1, "r1 >-1 _ ? >8 <4 - . <."},
    {"collect: failure", make_collect, 1, 1, "r1 >13 <! <x"},
    {"filter", make_filter, 1, 1, "r2 >2 _ >3 <3 >4 >5 <5 - . <."},
    {"filter: failure, cancellation", make_filter, 1, 1, "r1 ! <!"},
    {"filter: cancelled", make_filter, 1, 1, "r1 x <x"},
    {"stateful_map and its last", make_stateful, 1, 1, "r3 >1 <1 >2 <3 . <1003 <."},
    {"stateful_map: the last waits for demand", make_stateful, 1, 1, "r1 >1 <1 . _ r1 <1001 <."},
    {"stateful_map: the last is cancelled", make_stateful, 1, 1, "r1 >1 <1 . x"},
    {"stateful_map: fails", make_stateful, 1, 1, "r2 >1 <1 >13 <! <x"},
    {"stateful_map: restarts", make_stateful_restart, 1, 1, "r3 >7 <7 >13 >1 <1"},
    {"map_concat", make_map_concat, 1, 1, "r2 >321 <1 <2 _ - r1 <3 - r1 ? >0 ? >4 <4 . _ r1 <."},
    {"map_concat: cancelled in the middle", make_map_concat, 1, 1, "r1 >321 <1 x <x"},
    {"map_concat: failure in the middle", make_map_concat, 1, 1, "r1 >321 <1 ! <!"},
    {"take", make_take, 1, 1, "r5 >1 <1 ? >2 <2 <. <x"},
    {"take: fewer", make_take, 1, 1, "r5 >1 . <1 <."},
    {"take: none", make_take_none, 1, 1, "<. <x"},
    {"take: failure", make_take, 1, 1, "r5 >1 ! <1 <!"},
    {"take_while", make_take_while, 1, 1, "r5 >1 <1 >10 <. <x"},
    {"take_while: inclusive", make_take_while_inclusive, 1, 1, "r5 >1 <1 >10 <10 <. <x"},
    {"drop", make_drop, 1, 1, "r1 >1 >2 _ >3 <3 - . <."},
    {"grouped", make_grouped, 1, 1, "- r2 >1 >2 _ >3 <123 >4 . <4 <."},
    {"grouped: nothing left", make_grouped, 1, 1, "r2 >1 >2 >3 . <123 <."},
    {"grouped: failure drops", make_grouped, 1, 1, "r1 >1 >2 ! <!"},
    {"grouped: cancelled", make_grouped, 1, 1, "r1 >1 x <x"},
    {"grouped_within: by count", make_grouped_within, 1, 1, "r1 >1 >2 >3 <123"},
    {"grouped_within: by time", make_grouped_within, 1, 1, "r2 >1 >2 +9 _ +1 <12 +10 _ >3 +10 <3"},
    {"grouped_within: back-pressure", make_grouped_within, 1, 1,
     "? >1 >2 >3 - r1 <123 ? >4 . _ r1 <4 <."},
    {"grouped_within: failure", make_grouped_within, 1, 1, "r1 >1 ! <!"},
    {"grouped_within: cancelled", make_grouped_within, 1, 1, ">1 x <x"},
    {"throttle", make_throttle, 1, 1, "r9 >1 <1 >2 <2 >3 _ - +9 _ +1 <3 >4 _ . _ +10 <4 <."},
    {"throttle: failure drops", make_throttle, 1, 1, "r9 >1 <1 >2 <2 >3 ! <!"},
    {"throttle: cancelled", make_throttle, 1, 1, "r9 >1 <1 >2 <2 >3 x <x"},
    {"buffer: back-pressure", make_buffer, 1, 1, "? >1 >2 - r1 <1 ? >3 - r2 <2 <3 >4 . _ r1 <4 <."},
    {"buffer: failure drops", make_buffer, 1, 1, ">1 >2 ! <!"},
    {"buffer: cancelled", make_buffer, 1, 1, ">1 x <x"},
    {"buffer: drop head", make_drop_head, 1, 1, ">1 >2 >3 ? r3 <2 <3 _ . <."},
    {"buffer: drop tail", make_drop_tail, 1, 1, ">1 >2 >3 ? r3 <1 <3 _ . <."},
    {"buffer: drop buffer", make_drop_buffer, 1, 1, ">1 >2 >3 ? r3 <3 _ . <."},
    {"buffer: drop new", make_drop_new, 1, 1, ">1 >2 >3 ? r3 <1 <2 _ . <."},
    {"buffer: fail", make_buffer_fail, 1, 1, ">1 >2 ? >3 <! <x"},
    {"batch", make_batch, 1, 1, "r1 >1 <1 >2 >3 - r1 <5 ? >4 . _ r1 <4 <."},
    {"batch: failure drops", make_batch, 1, 1, ">2 >3 ! <!"},
    {"batch: cancelled", make_batch, 1, 1, ">2 x <x"},
    {"conflate", make_conflate, 1, 1, ">1 >2 >3 ? r1 <6 . <."},
    {"map_async: in order", make_map_async, 1, 1, ">1 >2 >3 - r3 =2 _ =1 <1 <2 ? =3 <3 . <."},
    {"map_async: completes behind the last", make_map_async, 1, 1, "r2 >1 . _ =1 <1 <."},
    {"map_async: failure", make_map_async, 1, 1, "r2 >1 >13 =13 <! <x =1"},
    {"map_async: failure from above", make_map_async, 1, 1, "r2 >1 ! <! =1"},
    {"map_async: cancelled", make_map_async, 1, 1, "r2 >1 >2 =2 x <x =1"},
    {"map_async: resumes", make_async_resume, 1, 1, "r2 >13 >2 =2 _ =13 <2 . <."},
    {"map_async_unordered", make_unordered, 1, 1, "r3 >1 >2 >3 - =2 <2 ? =3 <3 =1 <1 . <."},
    {"map_async_unordered: kept ones wait", make_unordered, 1, 1, ">1 >2 =2 =1 . r1 <2 r1 <1 <."},
    {"map_async_partitioned", make_partitioned, 1, 1,
     "r3 >11 >12 >21 - =21 _ =11 <11 =12 <12 <21 . <."},
    {"map_async_partitioned: cancelled", make_partitioned, 1, 1, "r3 >11 >12 x <x =11"},
    {"recover", make_recover, 1, 1, "r2 >1 <1 ! <99 <."},
    {"recover: waits for demand", make_recover, 1, 1, "! _ r1 <99 <."},
    {"recover: nothing to do", make_recover, 1, 1, "r1 >1 . <1 <."},
    {"idle_timeout", make_idle, 1, 1, "r9 +9 >1 <1 +9 >2 <2 +10 <! <x"},
    {"initial_timeout", make_initial, 1, 1, "r1 +10 <! <x"},
    {"initial_timeout: in time", make_initial, 1, 1, "r1 +9 >1 <1 +99 r1 >2 <2"},
    {"completion_timeout", make_completion, 1, 1, "r9 +9 >1 <1 +1 <! <x"},
    {"completion_timeout: in time", make_completion, 1, 1, "r9 +9 . <. +9"},
    {"backpressure_timeout", make_backpressure, 1, 1, "r1 +99 >1 <1 +10 <! <x"},
    {"backpressure_timeout: in time", make_backpressure, 1, 1, "r1 >1 <1 +9 r1 +99 >2 <2"},
    {"kill_switch: passes on", make_kill_switch, 1, 1, "r1 >1 <1 . <."},
    {"kill_switch: failure", make_kill_switch, 1, 1, "! <!"},
    {"keep_alive", make_keep_alive, 1, 1, "r9 +9 >1 <1 +9 _ >2 <2 +10 <7 +10 <7 >3 <3 . <."},
    {"keep_alive: back-pressure", make_keep_alive, 1, 1, "_ +99 _ r1 <7 _ +5 r1 _ +5 <7 x <x"},
    {"keep_alive: one waits", make_keep_alive, 1, 1, ">1 - . _ +99 r1 <1 <."},
    {"keep_alive: failure", make_keep_alive, 1, 1, "r1 ! <!"},
    {"keep_alive: no more", make_keep_alive, 1, 1, "r1 . <."},
    {"watch_termination", make_watch, 1, 1, "r1 >1 <1 - . <."},
    {"watch_termination: cancelled", make_watch, 1, 1, "x <x"},
    {"async", make_async, 1, 1, ">1 >2 >3 >4 - r1 <1 r4 <2 <3 <4 ? >5 <5 . <."},
    {"async: completion behind", make_async, 1, 1, ">1 >2 . r1 <1 _ r1 <2 <."},
    {"async: failure overtakes", make_async, 1, 1, ">1 >2 ! <!"},
    {"async: cancelled", make_async, 1, 1, ">1 >2 x <x"},
    {"merge", make_merge, 2, 1, ">1 b>2 - b- r1 <1 ? r1 <2 b? . _ r1 b>3 <3 b. <."},
    {"merge: what waits is not lost", make_merge, 2, 1, ">1 b>2 . b. r2 <1 <2 <."},
    {"merge: failure", make_merge, 2, 1, "b! <! <x"},
    {"merge: cancelled", make_merge, 2, 1, "x <x b<x"},
    {"merge_preferred", make_preferred, 2, 1, "b>2 >1 r1 <1 >3 r1 <3 r1 <2 . b. <."},
    {"concat", make_concat, 2, 1, "r2 >1 <1 b- . _ b>2 <2 - b. <."},
    {"concat: the second ends first", make_concat, 2, 1, "b. r1 >1 <1 . <."},
    {"concat: failure", make_concat, 2, 1, "r1 ! <! b<x"},
    {"zip", make_zip, 2, 1, "r2 >1 _ - b>2 <12 ? b? >3 . _ b>4 <34 <. b<x"},
    {"zip: ends with the shorter", make_zip, 2, 1, "r1 . <. b<x"},
    {"zip: failure drops", make_zip, 2, 1, "r1 >1 b! <! <x"},
    {"zip: cancelled", make_zip, 2, 1, "r1 >1 x <x b<x"},
    {"broadcast", make_broadcast, 1, 2, "r1 - br1 ? >1 <1 b<1 - r1 br1 . <. b<."},
    {"broadcast: goes on for the other", make_broadcast, 1, 2, "br2 - x ? b_ >1 b<1 bx <x"},
    {"broadcast: failure", make_broadcast, 1, 2, "! <! b<!"},
    {"balance", make_balance, 1, 2, "br1 >1 b<1 _ - r1 >2 <2 . <. b<."},
    {"balance: failure", make_balance, 1, 2, "! <! b<!"},
    {"balance: cancelled", make_balance, 1, 2, "x - br1 >1 b<1 bx <x"},
    {"balance: keeps what a cancelled one asked for", make_balance, 1, 2, "r1 x >1 b_ br1 b<1"},
    {"partition", make_partition, 1, 2, "r1 >1 _ - br1 b<1 ? >2 <2 . <. b<."},
    {"partition: the last waits", make_partition, 1, 2, "r1 >1 . _ br1 b<1 <. b<."},
    {"partition: to a cancelled one", make_partition, 1, 2, "r1 bx >1 _ ? >2 <2"},
    {"partition: waiting for a cancelled one", make_partition, 1, 2, "r1 >1 bx ? >2 <2"},
    {"partition: failure drops", make_partition, 1, 2, "r1 >1 ! <! b<!"},
    {"also_to", make_also_to, 1, 2, "r1 - br1 >1 <1 b<1 . <. b<."},
    {"also_to: ends with either", make_also_to, 1, 2, "bx <. <x"},
    {"divert_to", make_divert_to, 1, 2, "r1 br1 >1 b<1 >2 <2 . <. b<."},
    {"wire_tap", make_wire_tap, 1, 2, "r2 >1 <1 b_ br1 >2 <2 b<2 . <. b<."},
    {"wire_tap: does not end with its side", make_wire_tap, 1, 2, "bx r1 >1 <1 x <x"},
};

/* ---- the player ------------------------------------------------------------------------------ */

static void complain(const struct golden *golden, uint64_t seed, const char *step, const char *what)
{
    fail_msg("%s (seed %llu): at \"%s\": %s", golden->name, (unsigned long long)seed, step, what);
}

static const char *expect(struct weir_flow_source_probe *source, struct weir_flow_sink_probe *sink,
                          const char *step)
{
    enum weir_err err;
    void *element;

    if (step[1] == 'x')
        return weir_flow_source_probe_cancelled(source) != WEIR_OK ? NULL : "not cancelled";
    err = weir_flow_sink_probe_take(sink, &element);
    if (err == WEIR_OK) {
        long value = take_value(element);
        if (step[1] == '.' || step[1] == '!')
            return "an element came";
        return value == strtol(step + 1, NULL, 10) ? NULL : "another element came";
    }
    if (step[1] == '.')
        return err == WEIR_END ? NULL : "not completed";
    if (step[1] == '!')
        return err != WEIR_AGAIN && err != WEIR_END ? NULL : "not failed";
    return "no element came";
}

static const char *play(struct bench *b, const char *step)
{
    const int which = step[0] == 'b';
    struct weir_flow_source_probe *source = b->source[which < b->sources ? which : 0];
    struct weir_flow_sink_probe *sink = b->sink[which < b->sinks ? which : 0];
    void *element;

    step += which;
    switch (step[0]) {
    case 'r':
        weir_flow_sink_probe_request(sink, (uint32_t)strtoul(step + 1, NULL, 10));
        return NULL;
    case '>':
        element = thing(strtol(step + 1, NULL, 10));
        if (weir_flow_source_probe_next(source, element) == WEIR_OK)
            return NULL;
        take_value(element);
        return "the source has no demand";
    case '.':
        weir_flow_source_probe_complete(source);
        return NULL;
    case '!':
        weir_flow_source_probe_fail(source, WEIR_IO);
        return NULL;
    case 'x':
        weir_flow_sink_probe_cancel(sink);
        return NULL;
    case '?':
        return weir_flow_source_probe_has_demand(source) ? NULL : "no demand";
    case '-':
        return weir_flow_source_probe_has_demand(source) ? "demand" : NULL;
    case '_':
        return weir_flow_sink_probe_take(sink, &element) == WEIR_AGAIN ? NULL : "something came";
    case '+':
        weir_clock_virtual_advance_ms(&b->place.clock, strtol(step + 1, NULL, 10));
        weir_flow_materializer_run(b->place.materializer);
        return NULL;
    case '=':
        answer(strtol(step + 1, NULL, 10));
        weir_flow_materializer_run(b->place.materializer);
        return NULL;
    default:
        return expect(source, sink, step);
    }
}

static void play_case(const struct golden *golden, uint64_t seed)
{
    struct bench b = {.sources = golden->sources, .sinks = golden->sinks};
    int32_t sinks[2];
    char steps[256], *rest = steps;

    open_promises.count = 0;
    place_open(&b.place, seed);
    for (int i = 0; i < b.sources; i++)
        b.ins[i] = weir_flow_probe_source(b.place.graph, &thing_kind);
    const int32_t sources[2] = {b.ins[0].stage, b.ins[1].stage};
    golden->make(&b);
    for (int i = 0; i < b.sinks; i++)
        sinks[i] = weir_flow_probe_sink(b.outs[i]);
    place_run(&b.place);
    for (int i = 0; i < b.sources; i++)
        b.source[i] = weir_flow_stream_value(b.place.stream, sources[i]);
    for (int i = 0; i < b.sinks; i++)
        b.sink[i] = weir_flow_stream_value(b.place.stream, sinks[i]);
    snprintf(steps, sizeof steps, "%s", golden->steps);
    for (char *step = strtok_r(rest, " ", &rest); step != NULL; step = strtok_r(NULL, " ", &rest)) {
        const char *problem = play(&b, step);
        if (problem != NULL)
            complain(golden, seed, step, problem);
    }
    place_close(&b.place);
}

static void golden_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (uint64_t seed = 0; seed <= SEEDS; seed++)
            play_case(&cases[i], seed);
}

/* ---- sources and sinks ----------------------------------------------------------------------- */

static void finish(struct place *place)
{
    place_run(place);
    assert_int_equal(weir_flow_stream_wait(place->stream, 0), WEIR_OK);
}

static long number_result(struct place *place, int32_t stage)
{
    void *value;

    assert_int_equal(weir_flow_stream_result(place->stream, stage, &value, NULL), WEIR_OK);
    return take_value(value);
}

static void a_graph_runs_as_often_as_one_likes(void **state)
{
    struct place place;
    struct weir_flow_stream *streams[3];
    int32_t sum_up;

    (void)state;
    place_open(&place, 0);
    sum_up = weir_flow_fold(weir_flow_map(count_to(place.graph, 100), twice, NULL, &thing_kind),
                            NULL, add_up, NULL, &thing_kind);
    for (int i = 0; i < 3; i++)
        assert_int_equal(weir_flow_run(place.graph, place.materializer, &streams[i], NULL),
                         WEIR_OK);
    for (int i = 0; i < 3; i++) {
        void *value;
        assert_int_equal(weir_flow_stream_wait(streams[i], 0), WEIR_OK);
        assert_int_equal(weir_flow_stream_result(streams[i], sum_up, &value, NULL), WEIR_OK);
        assert_int_equal(take_value(value), 10100);
        weir_flow_stream_free(streams[i]);
    }
    place_close(&place);
}

static void sources_give_what_they_say(void **state)
{
    void *things[3] = {thing(1), thing(2), thing(4)};
    struct place place;
    int32_t all, first, none, broken, nothing, repeated;
    void *value;
    struct weir_error error;

    (void)state;
    place_open(&place, 0);
    all = weir_flow_fold(weir_flow_from_array(place.graph, things, 3, &thing_kind), NULL, add_up,
                         NULL, &thing_kind);
    first = weir_flow_head(weir_flow_single(place.graph, things[2], &thing_kind));
    none = weir_flow_head(weir_flow_empty(place.graph));
    broken = weir_flow_ignore(weir_flow_failed(place.graph, WEIR_IO, "the wire is cut"));
    nothing = weir_flow_cancelled(count_to(place.graph, 5));
    repeated =
        weir_flow_fold(weir_flow_take(weir_flow_repeat(place.graph, things[1], &thing_kind), 50),
                       NULL, add_up, NULL, &thing_kind);
    finish(&place);
    assert_int_equal(number_result(&place, all), 7);
    assert_int_equal(number_result(&place, first), 4);
    assert_int_equal(weir_flow_stream_result(place.stream, none, &value, NULL), WEIR_NOT_FOUND);
    assert_int_equal(weir_flow_stream_result(place.stream, broken, &value, &error), WEIR_IO);
    assert_string_equal(error.message, "the wire is cut");
    assert_int_equal(weir_flow_stream_result(place.stream, nothing, &value, NULL), WEIR_CLOSED);
    assert_int_equal(number_result(&place, repeated), 100);
    for (int i = 0; i < 3; i++)
        take_value(things[i]);
    place_close(&place);
}

static void a_tick_without_demand_is_left_out(void **state)
{
    struct place place;
    struct weir_flow_sink_probe *probe;
    void *tock = thing(1), *value;
    int32_t sink;

    (void)state;
    place_open(&place, 0);
    sink = weir_flow_probe_sink(weir_flow_tick(place.graph, 5, 10, tock, &thing_kind));
    place_run(&place);
    probe = weir_flow_stream_value(place.stream, sink);
    weir_flow_sink_probe_request(probe, 1);
    weir_clock_virtual_advance_ms(&place.clock, 4);
    assert_int_equal(weir_flow_sink_probe_take(probe, &value), WEIR_AGAIN);
    weir_clock_virtual_advance_ms(&place.clock, 1);
    assert_int_equal(weir_flow_sink_probe_take(probe, &value), WEIR_OK);
    take_value(value);
    weir_clock_virtual_advance_ms(&place.clock, 10);
    weir_flow_sink_probe_request(probe, 2);
    assert_int_equal(weir_flow_sink_probe_take(probe, &value), WEIR_AGAIN);
    weir_clock_virtual_advance_ms(&place.clock, 25);
    assert_int_equal(weir_flow_sink_probe_take(probe, &value), WEIR_OK);
    take_value(value);
    assert_int_equal(weir_flow_sink_probe_take(probe, &value), WEIR_AGAIN);
    take_value(tock);
    weir_flow_stream_abort(place.stream);
    weir_flow_materializer_run(place.materializer);
    place_close(&place);
}

static void collect_all_keeps_to_its_limit(void **state)
{
    struct place place;
    int32_t fits, over;
    void *value;

    (void)state;
    place_open(&place, 0);
    fits = weir_flow_collect_all(count_to(place.graph, 40), 40);
    over = weir_flow_collect_all(count_to(place.graph, 41), 40);
    finish(&place);
    assert_int_equal(weir_flow_stream_result(place.stream, fits, &value, NULL), WEIR_OK);
    assert_int_equal(((struct weir_flow_group *)value)->count, 40);
    weir_flow_group_free(value);
    assert_int_equal(weir_flow_stream_result(place.stream, over, &value, NULL), WEIR_LIMIT);
    place_close(&place);
}

static void a_kill_switch_ends_both_sides(void **state)
{
    (void)state;
    for (int abort_it = 0; abort_it < 2; abort_it++) {
        struct place place;
        struct weir_flow_outlet source, out;
        struct weir_error why;
        int32_t sink;

        place_open(&place, 0);
        source = weir_flow_probe_source(place.graph, &thing_kind);
        out = weir_flow_kill_switch(source);
        sink = weir_flow_ignore(out);
        place_run(&place);
        weir_error_set(&why, WEIR_DENIED, -1, "enough");
        if (abort_it)
            weir_flow_kill_switch_abort(weir_flow_stream_value(place.stream, out.stage), &why);
        weir_flow_kill_switch_shutdown(weir_flow_stream_value(place.stream, out.stage));
        assert_int_equal(weir_flow_stream_wait(place.stream, 0), WEIR_OK);
        assert_int_equal(weir_flow_stream_result(place.stream, sink, NULL, NULL),
                         abort_it ? WEIR_DENIED : WEIR_OK);
        assert_int_equal(
            weir_flow_source_probe_cancelled(weir_flow_stream_value(place.stream, source.stage)),
            abort_it ? WEIR_DENIED : WEIR_CLOSED);
        place_close(&place);
    }
}

/* Two streams that run, and one that starts too late. */
static void a_shared_kill_switch_ends_all_streams(void **state)
{
    enum { STREAMS = 3 };
    (void)state;
    for (int abort_it = 0; abort_it < 2; abort_it++) {
        struct weir_flow_shared_kill_switch *kill_switch;
        struct place places[STREAMS];
        int32_t sinks[STREAMS];
        struct weir_error why;

        assert_int_equal(weir_flow_shared_kill_switch_new(&kill_switch), WEIR_OK);
        weir_error_set(&why, WEIR_DENIED, -1, "enough");
        for (int i = 0; i < STREAMS; i++) {
            struct weir_flow_outlet out;
            place_open(&places[i], 0);
            out = weir_flow_via_shared_kill_switch(
                weir_flow_probe_source(places[i].graph, &thing_kind), kill_switch);
            sinks[i] = weir_flow_ignore(out);
            if (i == STREAMS - 1 && abort_it)
                weir_flow_shared_kill_switch_abort(kill_switch, &why);
            if (i == STREAMS - 1)
                weir_flow_shared_kill_switch_shutdown(kill_switch); /* the first call counts */
            place_run(&places[i]);
        }
        for (int i = 0; i < STREAMS; i++) {
            assert_int_equal(weir_flow_stream_wait(places[i].stream, 0), WEIR_OK);
            assert_int_equal(weir_flow_stream_result(places[i].stream, sinks[i], NULL, NULL),
                             abort_it ? WEIR_DENIED : WEIR_OK);
            place_close(&places[i]);
        }
        weir_flow_shared_kill_switch_free(kill_switch);
    }
}

static enum weir_err tell(void *opaque, void *element, struct weir_error *error)
{
    long value = take_value(element);

    (void)error;
    if (value == 13)
        return WEIR_INVALID;
    *(long *)opaque += value;
    return WEIR_OK;
}

static enum weir_err multiply(void *opaque, void *a, void *b, void **out, struct weir_error *error)
{
    long first = take_value(a), second = take_value(b);

    (void)opaque;
    (void)error;
    if (first == 5)
        return WEIR_INVALID;
    *out = thing(first * second);
    return WEIR_OK;
}

static void foreach_and_zip_with_stop_at_a_failure(void **state)
{
    struct place place;
    long told = 0, short_told = 0;
    int32_t all, failed, products, broken;

    (void)state;
    place_open(&place, 0);
    all = weir_flow_foreach(count_to(place.graph, 12), tell, &told);
    failed = weir_flow_foreach(count_to(place.graph, 20), tell, &short_told);
    products = weir_flow_fold(weir_flow_zip_with(count_to(place.graph, 3), count_to(place.graph, 4),
                                                 multiply, NULL, &thing_kind),
                              NULL, add_up, NULL, &thing_kind);
    broken = weir_flow_ignore(weir_flow_zip_with(count_to(place.graph, 9), count_to(place.graph, 9),
                                                 multiply, NULL, &thing_kind));
    finish(&place);
    assert_int_equal(weir_flow_stream_result(place.stream, all, NULL, NULL), WEIR_OK);
    assert_int_equal(told, 78);
    assert_int_equal(weir_flow_stream_result(place.stream, failed, NULL, NULL), WEIR_INVALID);
    assert_int_equal(short_told, 78);
    assert_int_equal(number_result(&place, products), 1 + 4 + 9);
    assert_int_equal(weir_flow_stream_result(place.stream, broken, NULL, NULL), WEIR_INVALID);
    place_close(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_cases),
        cmocka_unit_test(a_graph_runs_as_often_as_one_likes),
        cmocka_unit_test(sources_give_what_they_say),
        cmocka_unit_test(a_tick_without_demand_is_left_out),
        cmocka_unit_test(collect_all_keeps_to_its_limit),
        cmocka_unit_test(a_kill_switch_ends_both_sides),
        cmocka_unit_test(a_shared_kill_switch_ends_all_streams),
        cmocka_unit_test(foreach_and_zip_with_stop_at_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
