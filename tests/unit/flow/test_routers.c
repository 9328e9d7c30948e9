/* Questions and routers. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors.h"
#include "things.h"

/* ---- questions ------------------------------------------------------------------------------- */

struct heard {
    uint32_t count;
    enum weir_err err;
    char answer[128];
};

static void hear(void *opaque, struct weir_message *answer, const struct weir_error *error)
{
    struct heard *heard = opaque;

    heard->count++;
    heard->err = error->code;
    assert_int_equal(answer == NULL, error->code != WEIR_OK);
    if (answer != NULL)
        snprintf(heard->answer, sizeof heard->answer, "%s", ((struct say *)answer)->what);
    weir_message_drop(answer);
}

static void ask(struct stage *stage, struct weir_actor_ref *ref, const char *what, long number,
                struct heard *heard)
{
    struct weir_message *question = say_number(what, number);

    *heard = (struct heard){.count = 0};
    assert_int_equal(
        weir_actor_ask(stage->system, 100, hear, heard, &((struct say *)question)->reply_to, NULL),
        WEIR_OK);
    weir_actor_tell(ref, question);
}

static void an_answer_comes_once(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct heard first, second;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    ask(&stage, a, "!answer", 1, &first);
    ask(&stage, a, "!later", 50, &second);
    stage_run(&stage);
    assert_int_equal(first.count, 1);
    assert_int_equal(first.err, WEIR_OK);
    assert_string_equal(first.answer, "a");
    stage_run_ms(&stage, 49);
    assert_int_equal(second.count, 0);
    stage_run_ms(&stage, 200);
    assert_int_equal(second.count, 1);
    assert_int_equal(second.err, WEIR_OK);
    assert_int_equal(weir_actor_system_count(stage.system), 1);
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void without_an_answer_the_time_is_over(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct heard heard;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    ask(&stage, a, "!later", 101, &heard);
    stage_run_ms(&stage, 99);
    assert_int_equal(heard.count, 0);
    stage_run_ms(&stage, 1);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.err, WEIR_TIMEOUT);
    stage_run_ms(&stage, 1); /* too late */
    assert_int_equal(heard.count, 1);
    expect_letters(&stage, "/temp/$1:a:CLOSED");
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void a_system_that_stops_answers_its_questions(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct heard heard, at_once;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    ask(&stage, a, "!later", 50, &heard);
    stage_run(&stage);
    ask(&stage, a, "nothing", 50, &at_once); /* has not even started to wait */
    weir_actor_ref_free(a);
    assert_int_equal(weir_actor_system_stop(stage.system, 0), WEIR_OK);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.err, WEIR_CLOSED);
    assert_int_equal(at_once.count, 1);
    assert_int_equal(at_once.err, WEIR_CLOSED);
    stage_close(&stage);
}

static void a_thread_may_wait_for_its_answer(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct weir_message *answer;
    struct weir_error error;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    assert_int_equal(weir_actor_ask_wait(a, say("!answer"), 100, &answer, &error), WEIR_OK);
    assert_string_equal(((struct say *)answer)->what, "a");
    weir_message_drop(answer);
    assert_int_equal(weir_actor_ask_wait(a, say("silence"), 100, &answer, &error), WEIR_TIMEOUT);
    weir_actor_ref_free(a);
    stage_close(&stage);
}

/* ---- the stage of flow ----------------------------------------------------------------------- */

static enum weir_err thing_to_question(void *opaque, void *element, struct weir_message **out,
                                       struct weir_error *error)
{
    long number = take_value(element);

    (void)opaque;
    if (number == 13)
        return weir_error_set(error, WEIR_INVALID_INPUT, -1, "13");
    *out = say_number(number % 2 ? "!answer" : "!later", number);
    return WEIR_OK;
}

static enum weir_err answer_to_thing(void *opaque, struct weir_message *answer, void **out,
                                     struct weir_error *error)
{
    (void)opaque;
    (void)error;
    *out = thing(((struct say *)answer)->number);
    weir_message_drop(answer);
    return WEIR_OK;
}

static enum weir_flow_directive leave_out(void *opaque, const struct weir_error *error)
{
    (void)opaque;
    (void)error;
    return WEIR_FLOW_RESUME;
}

static void run_asking_stream(struct stage *stage, uint32_t last, bool resume,
                              enum weir_err expected, long sum)
{
    struct weir_actor_ref *a = spawn(stage, "a");
    const struct weir_flow_ask asks = {.ref = a,
                                       .parallelism = 1,
                                       .timeout_ms = 100,
                                       .question = thing_to_question,
                                       .element = answer_to_thing};
    struct weir_flow_graph *graph;
    struct weir_flow_stream *stream;
    struct weir_flow_outlet out;
    void *value = NULL;
    int32_t sink;

    assert_int_equal(weir_flow_graph_new(&graph), WEIR_OK);
    out = weir_flow_ask(count_to(graph, last), &asks, &thing_kind);
    if (resume)
        out = weir_flow_supervision(out, leave_out, NULL);
    sink = weir_flow_fold(out, NULL, add_up, NULL, &thing_kind);
    assert_int_equal(weir_flow_run(graph, stage->materializer, &stream, NULL), WEIR_OK);
    for (int i = 0; i < 400; i++)
        stage_run_ms(stage, 1);
    assert_int_equal(weir_flow_stream_wait(stream, 0), WEIR_OK);
    assert_int_equal(weir_flow_stream_result(stream, sink, &value, NULL), expected);
    if (expected == WEIR_OK)
        assert_int_equal(take_value(value), sum);
    weir_flow_stream_free(stream);
    weir_flow_graph_free(graph);
    weir_actor_stop(a);
    weir_actor_ref_free(a);
    stage_run(stage);
}

static void a_stage_asks_for_each_element(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct stage stage;
        stage_open(&stage, seed);
        run_asking_stream(&stage, 12, false, WEIR_OK, 78);
        run_asking_stream(&stage, 14, false, WEIR_INVALID_INPUT, 0);
        run_asking_stream(&stage, 14, true, WEIR_OK, 92);
        stage_close(&stage);
        assert_int_equal(thing_count, 0);
    }
}

/* ---- routers --------------------------------------------------------------------------------- */

enum { ROUTEES = 3 };

struct group {
    struct stage stage;
    struct weir_actor_ref *routees[ROUTEES], *router;
};

static void group_open(struct group *group, const struct weir_router_options *options)
{
    static const char *const names[] = {"a", "b", "c"};

    stage_open(&group->stage, 0);
    for (int i = 0; i < ROUTEES; i++) {
        struct weir_actor_options one;
        weir_actor_options_default(&one);
        one.name = names[i];
        one.mailbox = 4;
        group->routees[i] = spawn_with(&group->stage, &one);
    }
    assert_int_equal(weir_router_new(group->stage.system, options, group->routees, ROUTEES,
                                     &group->router, NULL),
                     WEIR_OK);
    expect_trace(&group->stage, "+a +b +c");
}

static void group_close(struct group *group)
{
    for (int i = 0; i < ROUTEES; i++)
        weir_actor_ref_free(group->routees[i]);
    weir_actor_ref_free(group->router);
    stage_close(&group->stage);
}

static void round_robin_goes_round_past_those_that_are_full_or_gone(void **state)
{
    const struct weir_router_options options = {.logic = WEIR_ROUTER_ROUND_ROBIN, .name = "r"};
    struct group group;

    (void)state;
    group_open(&group, &options);
    for (int i = 0; i < 4; i++)
        tell(group.router, "x");
    assert_int_equal(weir_actor_ref_pending(group.router), 4);
    expect_trace(&group.stage, "a:x a:x b:x c:x");
    weir_actor_stop(group.routees[1]);
    expect_trace(&group.stage, "-b");
    tell(group.router, "1"); /* would be b's: c takes it */
    tell(group.router, "2");
    tell(group.router, "3");
    expect_trace(&group.stage, "c:1 c:2 a:3");
    for (int i = 0; i < 8; i++)
        tell(group.router, "y");
    tell(group.router, "too many");
    expect_letters(&group.stage, "r:too many:LIMIT");
    expect_trace(&group.stage, "c:y c:y c:y c:y a:y a:y a:y a:y");
    weir_actor_stop(group.router);
    expect_trace(&group.stage, "-a -c");
    assert_true(weir_actor_ref_is_stopped(group.router));
    tell(group.router, "late");
    expect_letters(&group.stage, "r:late:CLOSED");
    group_close(&group);
}

static void random_reaches_all_and_is_had_again_from_its_seed(void **state)
{
    char traces[2][sizeof((struct stage *)0)->trace];

    (void)state;
    for (int run = 0; run < 2; run++) {
        const struct weir_router_options options = {.logic = WEIR_ROUTER_RANDOM, .seed = 5};
        struct group group;
        group_open(&group, &options);
        for (int i = 0; i < 30; i++) {
            tell(group.router, "x");
            stage_run(&group.stage);
        }
        snprintf(traces[run], sizeof traces[run], "%s", group.stage.trace);
        for (int i = 0; i < ROUTEES; i++)
            assert_non_null(strstr(traces[run], (const char *[]){"a:", "b:", "c:"}[i]));
        group_close(&group);
    }
    assert_string_equal(traces[0], traces[1]);
}

static void the_smallest_mailbox_gets_the_message(void **state)
{
    const struct weir_router_options options = {.logic = WEIR_ROUTER_SMALLEST_MAILBOX};
    struct group group;

    (void)state;
    group_open(&group, &options);
    tell(group.routees[0], "own");
    tell(group.routees[1], "own");
    tell(group.router, "1");
    tell(group.router, "2");
    expect_trace(&group.stage, "a:own a:2 b:own c:1");
    weir_actor_stop(group.routees[0]);
    expect_trace(&group.stage, "-a");
    tell(group.router, "3");
    expect_trace(&group.stage, "b:3");
    group_close(&group);
}

static void broadcast_reaches_all_that_live(void **state)
{
    const struct weir_router_options options = {.logic = WEIR_ROUTER_BROADCAST, .name = "r"};
    struct group group;

    (void)state;
    group_open(&group, &options);
    tell(group.router, "1");
    expect_trace(&group.stage, "a:1 b:1 c:1");
    weir_actor_stop(group.routees[2]);
    expect_trace(&group.stage, "-c");
    tell(group.router, "2");
    expect_trace(&group.stage, "a:2 b:2");
    weir_actor_stop(group.router);
    expect_trace(&group.stage, "-a -b");
    tell(group.router, "3");
    expect_letters(&group.stage, "r:3:CLOSED");
    group_close(&group);
}

static uint64_t hash_number(void *opaque, const struct weir_message *message)
{
    (void)opaque;
    return (uint64_t)((const struct say *)message)->number;
}

/* Who takes `number`? */
static char taker(struct group *group, long number)
{
    char name;

    weir_actor_tell(group->router, say_number("x", number));
    stage_run(&group->stage);
    name = group->stage.trace[0];
    group->stage.trace[0] = '\0';
    return name;
}

static void equal_hashes_go_to_the_same_routee_while_it_lives(void **state)
{
    const struct weir_router_options options = {.logic = WEIR_ROUTER_CONSISTENT_HASH,
                                                .hash = hash_number};
    enum { NUMBERS = 300 };
    struct group group;
    char before[NUMBERS];
    int counts[ROUTEES] = {0}, moved = 0;

    (void)state;
    group_open(&group, &options);
    for (int i = 0; i < NUMBERS; i++) {
        before[i] = taker(&group, i);
        counts[before[i] - 'a']++;
        assert_int_equal(taker(&group, i), before[i]);
    }
    for (int i = 0; i < ROUTEES; i++)
        assert_in_range(counts[i], NUMBERS / 5, NUMBERS / 2);
    weir_actor_stop(group.routees[1]);
    expect_trace(&group.stage, "-b");
    for (int i = 0; i < NUMBERS; i++) {
        char now = taker(&group, i);
        assert_true(now != 'b');
        assert_true(before[i] == 'b' || now == before[i]);
        moved += now != before[i];
    }
    assert_int_equal(moved, counts[1]);
    group_close(&group);
}

/* ---- the first answer ------------------------------------------------------------------------ */

static void scatter_gather_takes_the_first_answer(void **state)
{
    const struct weir_router_options options = {
        .logic = WEIR_ROUTER_SCATTER_GATHER_FIRST, .name = "r", .within_ms = 20};
    struct group group;
    struct heard heard;

    (void)state;
    group_open(&group, &options);
    ask(&group.stage, group.router, "!answer", 0, &heard);
    stage_run(&group.stage);
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.answer, "a");
    stage_run(&group.stage);
    assert_int_equal(weir_actor_system_dead_letters(group.stage.system), 2); /* the slower two */
    weir_actor_stop(group.routees[0]);
    stage_run(&group.stage);
    ask(&group.stage, group.router, "!later", 10, &heard);
    stage_run_ms(&group.stage, 10);
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.answer, "b");
    ask(&group.stage, group.router, "!later", 21, &heard);
    stage_run_ms(&group.stage, 20);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.err, WEIR_TIMEOUT);
    stage_run_ms(&group.stage, 20);
    assert_int_equal(heard.count, 1);
    tell(group.router, "nobody wants to know");
    group.stage.trace[0] = '\0';
    expect_trace(&group.stage, "b:nobody wants to know c:nobody wants to know");
    weir_actor_stop(group.router);
    stage_run(&group.stage);
    group.stage.letters[0] = '\0';
    ask(&group.stage, group.router, "!answer", 0, &heard);
    expect_letters(&group.stage, "r:!answer:CLOSED");
    stage_run_ms(&group.stage, 100);
    assert_int_equal(heard.err, WEIR_TIMEOUT);
    group_close(&group);
}

static void tail_chopping_asks_the_next_one_after_a_while(void **state)
{
    const struct weir_router_options options = {
        .logic = WEIR_ROUTER_TAIL_CHOPPING, .name = "r", .within_ms = 50, .interval_ms = 10};
    struct group group;
    struct heard heard;

    (void)state;
    group_open(&group, &options);
    ask(&group.stage, group.router, "x", 0, &heard);
    stage_run_ms(&group.stage, 9);
    assert_int_equal(strlen(group.stage.trace), 4); /* one */
    stage_run_ms(&group.stage, 1);
    assert_int_equal(strlen(group.stage.trace), 8); /* two */
    stage_run_ms(&group.stage, 30);
    assert_int_equal(strlen(group.stage.trace), 12); /* all, once each */
    assert_non_null(strstr(group.stage.trace, "a:x"));
    assert_non_null(strstr(group.stage.trace, "b:x"));
    assert_non_null(strstr(group.stage.trace, "c:x"));
    assert_int_equal(heard.count, 0);
    stage_run_ms(&group.stage, 10);
    assert_int_equal(heard.err, WEIR_TIMEOUT);
    ask(&group.stage, group.router, "!later", 15, &heard); /* answered before the third */
    stage_run_ms(&group.stage, 15);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.err, WEIR_OK);
    stage_run_ms(&group.stage, 50);
    assert_int_equal(weir_actor_system_dead_letters(group.stage.system), 1); /* the second one's */
    group_close(&group);
}

static void a_race_that_the_system_ends_is_answered(void **state)
{
    const struct weir_router_options options = {.logic = WEIR_ROUTER_SCATTER_GATHER_FIRST,
                                                .within_ms = 50};
    struct group group;
    struct heard heard;

    (void)state;
    group_open(&group, &options);
    ask(&group.stage, group.router, "x", 0, &heard);
    stage_run(&group.stage);
    assert_int_equal(weir_actor_system_stop(group.stage.system, 0), WEIR_OK);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.err, WEIR_CLOSED);
    group_close(&group);
}

/* ---- pools ----------------------------------------------------------------------------------- */

static struct weir_actor_ref *pool;

static enum weir_err boss_start(void *self, struct weir_actor *actor, struct weir_error *error)
{
    const struct weir_router_options router = {.logic = WEIR_ROUTER_ROUND_ROBIN, .name = "pool"};
    struct weir_actor_options options;

    (void)self;
    weir_actor_options_default(&options);
    options.name = "worker";
    options.supervision.directive = WEIR_ACTOR_RESTART;
    return weir_router_spawn_pool(actor, &obedient, &options, 3, &router, &pool, error);
}

static enum weir_err boss_receive(void *self, struct weir_actor *actor,
                                  struct weir_message *message, struct weir_error *error)
{
    (void)self;
    (void)message;
    (void)error;
    weir_actor_take(actor);
    weir_actor_tell(pool, message);
    return WEIR_OK;
}

static void boss_stop(void *self, struct weir_actor *actor, bool restarting)
{
    (void)self;
    (void)actor;
    (void)restarting;
    weir_actor_ref_free(pool);
}

static void a_pool_is_children_behind_a_router(void **state)
{
    static const struct weir_actor_ops boss = {.abi = WEIR_ACTOR_ABI,
                                               .name = "boss",
                                               .start = boss_start,
                                               .receive = boss_receive,
                                               .stop = boss_stop};
    struct stage stage;
    struct weir_actor_options options;
    struct weir_actor_ref *ref;

    (void)state;
    stage_open(&stage, 0);
    weir_actor_options_default(&options);
    options.name = "boss";
    assert_int_equal(weir_actor_spawn(stage.system, &boss, &options, &ref, NULL), WEIR_OK);
    expect_trace(&stage, "+worker-1 +worker-2 +worker-3");
    tell(ref, "1");
    tell(ref, "!fail");
    tell(ref, "3");
    expect_trace(&stage, "worker-1:1 worker-3:3 ~worker-2 +worker-2");
    weir_actor_stop(ref);
    expect_trace(&stage, "-worker-3 -worker-2 -worker-1");
    weir_actor_ref_free(ref);
    stage_close(&stage);
}

static void options_that_make_no_router_are_refused(void **state)
{
    static const struct weir_router_options bad[] = {
        {.logic = WEIR_ROUTER_CONSISTENT_HASH},
        {.logic = WEIR_ROUTER_SCATTER_GATHER_FIRST},
        {.logic = WEIR_ROUTER_TAIL_CHOPPING, .within_ms = 10},
    };
    struct group group;
    struct weir_actor_ref *router;
    struct weir_error error;
    const struct weir_router_options good = {.logic = WEIR_ROUTER_BROADCAST};

    (void)state;
    group_open(&group, &good);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(
            weir_router_new(group.stage.system, &bad[i], group.routees, ROUTEES, &router, &error),
            WEIR_INVALID);
    assert_int_equal(weir_router_new(group.stage.system, &good, group.routees, 0, &router, &error),
                     WEIR_INVALID);
    group_close(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_once),
        cmocka_unit_test(without_an_answer_the_time_is_over),
        cmocka_unit_test(a_system_that_stops_answers_its_questions),
        cmocka_unit_test(a_thread_may_wait_for_its_answer),
        cmocka_unit_test(a_stage_asks_for_each_element),
        cmocka_unit_test(round_robin_goes_round_past_those_that_are_full_or_gone),
        cmocka_unit_test(random_reaches_all_and_is_had_again_from_its_seed),
        cmocka_unit_test(the_smallest_mailbox_gets_the_message),
        cmocka_unit_test(broadcast_reaches_all_that_live),
        cmocka_unit_test(equal_hashes_go_to_the_same_routee_while_it_lives),
        cmocka_unit_test(scatter_gather_takes_the_first_answer),
        cmocka_unit_test(tail_chopping_asks_the_next_one_after_a_while),
        cmocka_unit_test(a_race_that_the_system_ends_is_answered),
        cmocka_unit_test(a_pool_is_children_behind_a_router),
        cmocka_unit_test(options_that_make_no_router_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
