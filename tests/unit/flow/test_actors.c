/* Actors: messages, mailboxes, children, supervision, watches, timers, ends. */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "actors.h"
#include "base/alloc.h"

static struct weir_actor_options named(const char *name)
{
    struct weir_actor_options options;

    weir_actor_options_default(&options);
    options.name = name;
    return options;
}

static struct weir_actor_options restarting(const char *name)
{
    struct weir_actor_options options = named(name);

    options.supervision.directive = WEIR_ACTOR_RESTART;
    return options;
}

static void tell_ref(struct weir_actor_ref *to, const char *what, struct weir_actor_ref *about)
{
    struct weir_message *message = say(what);

    ((struct say *)message)->reply_to = weir_actor_ref_share(about);
    weir_actor_tell(to, message);
}

/* ---- messages and mailboxes ------------------------------------------------------------------ */

static void messages_come_in_order_and_one_at_a_time(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct stage stage;
        struct weir_actor_ref *a;
        char expected[1024] = "+a";

        stage_open(&stage, seed);
        a = spawn(&stage, "a");
        for (int i = 0; i < 100; i++) {
            char what[16];
            snprintf(what, sizeof what, "%d", i);
            tell(a, what);
            snprintf(expected + strlen(expected), 16, " a:%d", i);
        }
        expect_trace(&stage, expected);
        weir_actor_ref_free(a);
        stage_close(&stage);
        assert_string_equal(stage.trace, "-a ");
    }
}

static void a_full_mailbox_refuses_or_makes_dead_letters(void **state)
{
    struct stage stage;
    struct weir_actor_options options = named("a");
    struct weir_actor_ref *a;
    struct weir_message *refused = say("4");

    (void)state;
    stage_open(&stage, 0);
    options.mailbox = 2;
    a = spawn_with(&stage, &options);
    tell(a, "1");
    tell(a, "2");
    assert_int_equal(weir_actor_ref_pending(a), 2);
    tell(a, "3");
    assert_int_equal(weir_actor_try_tell(a, refused), WEIR_AGAIN);
    expect_trace(&stage, "+a a:1 a:2");
    assert_int_equal(weir_actor_ref_pending(a), 0);
    assert_int_equal(weir_actor_try_tell(a, refused), WEIR_OK);
    expect_trace(&stage, "a:4");
    expect_letters(&stage, "/a:3:LIMIT");
    assert_int_equal(weir_actor_system_dead_letters(stage.system), 1);
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void what_is_taken_is_not_dropped_and_what_is_unhandled_is_a_dead_letter(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    tell(a, "!keep");
    tell(a, "!unhandled");
    expect_letters(&stage, "/a:!unhandled:UNSUPPORTED");
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void what_comes_after_the_end_is_a_dead_letter(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct weir_message *late = say("late");

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    tell(a, "!stop");
    tell(a, "waits");
    assert_false(weir_actor_ref_is_stopped(a));
    expect_trace(&stage, "+a -a");
    assert_true(weir_actor_ref_is_stopped(a));
    tell(a, "too late");
    assert_int_equal(weir_actor_try_tell(a, late), WEIR_CLOSED);
    weir_message_drop(late);
    expect_letters(&stage, "/a:waits:CLOSED /a:too late:CLOSED");
    weir_actor_stop(a); /* nothing */
    assert_int_equal(weir_actor_system_count(stage.system), 0);
    weir_actor_ref_free(a);
    stage_close(&stage);
}

/* ---- names and children ---------------------------------------------------------------------- */

static void names_are_checked_because_they_may_come_from_messages(void **state)
{
    static const char *const bad[] = {"",   "a/b", "..",       "../x", "a b",
                                      "$1", "a\n", "\xc3\xa4", "a\\b"};
    char too_long[WEIR_ACTOR_NAME_MAX + 2];
    struct stage stage;
    struct weir_error error;
    struct weir_actor_options options;

    (void)state;
    stage_open(&stage, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options = named(bad[i]);
        if (strcmp(bad[i], "..") == 0) /* a name like another: it is no path to a file */
            continue;
        assert_int_equal(weir_actor_spawn(stage.system, &obedient, &options, NULL, &error),
                         WEIR_INVALID);
    }
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    options = named(too_long);
    assert_int_equal(weir_actor_spawn(stage.system, &obedient, &options, NULL, &error),
                     WEIR_INVALID);
    options = named(too_long + 1);
    assert_int_equal(weir_actor_spawn(stage.system, &obedient, &options, NULL, &error), WEIR_OK);
    assert_int_equal(weir_actor_spawn(stage.system, &obedient, &options, NULL, &error),
                     WEIR_EXISTS);
    stage_close(&stage);
}

static void children_have_names_below_their_parent(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a, *found;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    tell(a, "!spawn b");
    tell(a, "!spawn-anonymous");
    expect_trace(&stage, "+a +b +$1");
    found = weir_actor_find(stage.system, "/a/b");
    assert_non_null(found);
    assert_string_equal(weir_actor_ref_path(found), "/a/b");
    tell(found, "!spawn c");
    tell(found, "hello");
    expect_trace(&stage, "b:hello +c");
    weir_actor_ref_free(found);
    assert_null(weir_actor_find(stage.system, "/b"));
    assert_null(weir_actor_find(stage.system, "a/b"));
    weir_actor_stop(a);
    expect_trace(&stage, "-$1 -c -b -a"); /* children first */
    assert_null(weir_actor_find(stage.system, "/a/b"));
    weir_actor_ref_free(a);
    a = spawn(&stage, "a"); /* the name is free again */
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void a_child_whose_name_is_taken_fails_its_parent(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    tell(a, "!spawn b");
    expect_trace(&stage, "+a +b");
    tell(a, "!spawn b");
    expect_trace(&stage, "-b -a");
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void a_system_ends_in_reverse_order_of_its_beginning(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct weir_actor_options options = named("d");

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    weir_actor_ref_free(spawn(&stage, "b"));
    weir_actor_ref_free(spawn(&stage, "c"));
    tell(a, "!spawn x");
    expect_trace(&stage, "+a +b +c +x");
    assert_int_equal(weir_actor_system_stop(stage.system, 0), WEIR_OK);
    expect_trace(&stage, "-c -b -x -a");
    assert_int_equal(weir_actor_spawn(stage.system, &obedient, &options, NULL, NULL), WEIR_CLOSED);
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void no_more_actors_than_actors_max(void **state)
{
    struct stage stage;
    struct weir_actor_system *small;
    struct weir_actor_system_options options;
    struct weir_error error;

    (void)state;
    stage_open(&stage, 0);
    weir_actor_system_options_default(&options);
    options.actors_max = 2;
    assert_int_equal(weir_actor_system_new(stage.materializer, &options, &small, NULL), WEIR_OK);
    assert_int_equal(weir_actor_spawn(small, &obedient, NULL, NULL, &error), WEIR_OK);
    assert_int_equal(weir_actor_spawn(small, &obedient, NULL, NULL, &error), WEIR_OK);
    assert_int_equal(weir_actor_spawn(small, &obedient, NULL, NULL, &error), WEIR_LIMIT);
    assert_int_equal(weir_actor_system_count(small), 2);
    weir_actor_system_free(small);
    stage_close(&stage);
}

/* ---- supervision ----------------------------------------------------------------------------- */

static void a_failure_stops_unless_supervision_says_otherwise(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a, *b, *c;
    struct weir_actor_options resumes = named("b"), restarts = restarting("c");

    (void)state;
    stage_open(&stage, 0);
    resumes.supervision.directive = WEIR_ACTOR_RESUME;
    a = spawn(&stage, "a");
    b = spawn_with(&stage, &resumes);
    c = spawn_with(&stage, &restarts);
    expect_trace(&stage, "+a +b +c");
    tell(a, "!fail");
    tell(a, "1");
    expect_trace(&stage, "-a");
    expect_letters(&stage, "/a:1:CLOSED");
    tell(b, "!fail");
    tell(b, "1");
    expect_trace(&stage, "b:1");
    tell(c, "!spawn x");
    expect_trace(&stage, "+x");
    tell(c, "!fail");
    tell(c, "1");
    expect_trace(&stage, "-x ~c +c c:1"); /* children go, the mailbox stays */
    weir_actor_ref_free(a);
    weir_actor_ref_free(b);
    weir_actor_ref_free(c);
    stage_close(&stage);
}

static enum weir_actor_directive by_error(void *opaque, const struct weir_error *error)
{
    *(int *)opaque += 1;
    assert_string_equal(error->message, "as it was told");
    return error->code == WEIR_MODEL_FAILED ? WEIR_ACTOR_RESUME : WEIR_ACTOR_STOP;
}

static void supervision_may_decide_by_the_error(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct weir_actor_options options = named("a");
    int asked = 0;

    (void)state;
    stage_open(&stage, 0);
    options.supervision.decide = by_error;
    options.supervision.opaque = &asked;
    a = spawn_with(&stage, &options);
    tell(a, "!fail");
    tell(a, "!fail");
    tell(a, "1");
    expect_trace(&stage, "+a a:1");
    assert_int_equal(asked, 2);
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void too_many_restarts_in_a_time_stop(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct weir_actor_options options = restarting("a");

    (void)state;
    stage_open(&stage, 0);
    options.supervision.restarts_max = 2;
    options.supervision.within_ms = 100;
    a = spawn_with(&stage, &options);
    tell(a, "!fail");
    tell(a, "!fail");
    expect_trace(&stage, "+a ~a +a ~a +a");
    stage_run_ms(&stage, 101); /* a new window */
    tell(a, "!fail");
    tell(a, "!fail");
    expect_trace(&stage, "~a +a ~a +a");
    tell(a, "!fail");
    expect_trace(&stage, "-a");
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void backoff_waits_longer_each_time_and_messages_wait_too(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct weir_actor_options options = restarting("a");

    (void)state;
    stage_open(&stage, 0);
    options.supervision.backoff_min_ms = 10;
    options.supervision.backoff_max_ms = 25;
    a = spawn_with(&stage, &options);
    tell(a, "!fail");
    tell(a, "1");
    expect_trace(&stage, "+a ~a");
    stage_run_ms(&stage, 9);
    expect_trace(&stage, "");
    stage_run_ms(&stage, 1);
    expect_trace(&stage, "+a a:1");
    tell(a, "!fail");
    stage_run_ms(&stage, 19);
    expect_trace(&stage, "~a");
    stage_run_ms(&stage, 1);
    expect_trace(&stage, "+a");
    tell(a, "!fail");
    stage_run_ms(&stage, 24);
    expect_trace(&stage, "~a");
    stage_run_ms(&stage, 1);
    expect_trace(&stage, "+a");
    stage_run_ms(&stage, 25); /* it ran well for backoff_max_ms */
    tell(a, "!fail");
    stage_run_ms(&stage, 10);
    expect_trace(&stage, "~a +a");
    tell(a, "!fail");
    expect_trace(&stage, "~a");
    weir_actor_stop(a); /* no need to wait for the next start */
    tell(a, "2");
    expect_trace(&stage, "");
    expect_letters(&stage, "/a:2:CLOSED");
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void a_timer_that_fails_is_supervised_and_stops_at_a_restart(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;
    struct weir_actor_options options = restarting("a");

    (void)state;
    stage_open(&stage, 0);
    a = spawn_with(&stage, &options);
    weir_actor_tell(a, say_number("!ticks", 5));
    stage_run_ms(&stage, 10);
    expect_trace(&stage, "+a a:tick a:tick");
    tell(a, "!fail-later");
    stage_run_ms(&stage, 30);
    expect_trace(&stage, "~a +a");
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static enum weir_err cannot_start(void *self, struct weir_actor *actor, struct weir_error *error)
{
    (void)self;
    (void)actor;
    return weir_error_set(error, WEIR_IO, -1, "not yet");
}

static enum weir_err never_receives(void *self, struct weir_actor *actor,
                                    struct weir_message *message, struct weir_error *error)
{
    (void)self;
    (void)actor;
    (void)message;
    (void)error;
    fail();
    return WEIR_OK;
}

static void an_actor_that_cannot_start_is_supervised(void **state)
{
    static const struct weir_actor_ops ops = {
        .abi = WEIR_ACTOR_ABI, .name = "x", .start = cannot_start, .receive = never_receives};
    struct stage stage;
    struct weir_actor_options options = restarting("a");
    struct weir_actor_ref *a, *b;

    (void)state;
    stage_open(&stage, 0);
    options.supervision.restarts_max = 3;
    options.supervision.within_ms = 1000;
    options.supervision.backoff_min_ms = options.supervision.backoff_max_ms = 10;
    assert_int_equal(weir_actor_spawn(stage.system, &ops, &options, &a, NULL), WEIR_OK);
    options.supervision.directive = WEIR_ACTOR_RESUME; /* there is nothing to go on with */
    options.name = "b";
    assert_int_equal(weir_actor_spawn(stage.system, &ops, &options, &b, NULL), WEIR_OK);
    stage_run_ms(&stage, 29);
    assert_true(weir_actor_ref_is_stopped(b));
    assert_false(weir_actor_ref_is_stopped(a));
    stage_run_ms(&stage, 1);
    assert_true(weir_actor_ref_is_stopped(a));
    weir_actor_ref_free(a);
    weir_actor_ref_free(b);
    stage_close(&stage);
}

/* ---- watches and timers ---------------------------------------------------------------------- */

static void who_watches_hears_of_the_end_once(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a, *b, *c, *d;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    b = spawn(&stage, "b");
    c = spawn(&stage, "c");
    d = spawn(&stage, "d");
    tell_ref(a, "!watch", b);
    tell_ref(a, "!watch", b);
    tell_ref(a, "!watch", c);
    tell_ref(a, "!unwatch", c);
    tell_ref(d, "!watch", b);
    expect_trace(&stage, "+a +b +c +d");
    weir_actor_stop(d); /* a watcher that goes first */
    expect_trace(&stage, "-d");
    weir_actor_stop(c);
    weir_actor_stop(b);
    expect_trace(&stage, "-c -b a:gone(/b)");
    tell_ref(a, "!watch", b); /* has stopped already */
    expect_trace(&stage, "a:gone(/b)");
    weir_actor_ref_free(a);
    weir_actor_ref_free(b);
    weir_actor_ref_free(c);
    weir_actor_ref_free(d);
    stage_close(&stage);
}

static void a_notice_that_is_under_way_can_be_taken_back(void **state)
{
    struct stage stage;
    struct weir_actor_options options = restarting("a");
    struct weir_actor_ref *a, *b;

    (void)state;
    stage_open(&stage, 0);
    options.supervision.backoff_min_ms = options.supervision.backoff_max_ms = 10;
    a = spawn_with(&stage, &options);
    b = spawn(&stage, "b");
    tell_ref(a, "!watch", b);
    tell(a, "!fail");
    expect_trace(&stage, "+a +b ~a");
    weir_actor_stop(b); /* the notice waits until a runs again */
    expect_trace(&stage, "-b");
    stage_run_ms(&stage, 10);
    expect_trace(&stage, "+a a:gone(/b)");
    weir_actor_ref_free(a);
    weir_actor_ref_free(b);
    stage_close(&stage);
}

static void timers_come_once_or_every_so_often(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    weir_actor_tell(a, say_number("!tick", 10));
    stage_run_ms(&stage, 9);
    expect_trace(&stage, "+a");
    stage_run_ms(&stage, 20);
    expect_trace(&stage, "a:tick");
    weir_actor_tell(a, say_number("!ticks", 10));
    stage_run_ms(&stage, 25);
    expect_trace(&stage, "a:tick a:tick");
    weir_clock_virtual_advance_ms(&stage.clock, 50); /* late: once */
    expect_trace(&stage, "a:tick");
    tell(a, "!no-ticks");
    stage_run_ms(&stage, 50);
    expect_trace(&stage, "");
    weir_actor_ref_free(a);
    stage_close(&stage);
}

/* ---- no memory ------------------------------------------------------------------------------- */

static void life_without_memory(void)
{
    struct stage stage;
    struct weir_actor_options options = named("a");
    struct weir_actor_ref *a = NULL;
    struct weir_error error = {.code = WEIR_OK};

    stage_open(&stage, 0);
    if (weir_actor_spawn(stage.system, &obedient, &options, &a, &error) == WEIR_OK) {
        tell(a, "!spawn b");
        tell_ref(a, "!watch", a);
        stage_run(&stage);
    } else {
        assert_int_equal(error.code, WEIR_NOMEM);
    }
    weir_actor_ref_free(a);
    stage_close(&stage);
}

static void any_allocation_may_fail(void **state)
{
    uint64_t needed, first;
    struct stage stage;

    (void)state;
    weir_alloc_watch_start(0);
    stage_open(&stage, 0);
    first = weir_alloc_watch_stop().allocations;
    stage_close(&stage);
    weir_alloc_watch_start(0);
    life_without_memory();
    needed = weir_alloc_watch_stop().allocations;
    assert_true(needed > first);
    for (uint64_t i = first + 1; i <= needed; i++) {
        weir_alloc_watch_start(i);
        life_without_memory();
        weir_alloc_watch_stop();
    }
}

static void telling_allocates_nothing(void **state)
{
    struct stage stage;
    struct weir_actor_ref *a;

    (void)state;
    stage_open(&stage, 0);
    a = spawn(&stage, "a");
    tell(a, "1");
    stage_run(&stage);
    weir_alloc_watch_start(0);
    for (int i = 0; i < 100; i++)
        tell(a, "2");
    stage_run(&stage);
    assert_int_equal(weir_alloc_watch_stop().allocations, 0);
    weir_actor_ref_free(a);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_in_order_and_one_at_a_time),
        cmocka_unit_test(a_full_mailbox_refuses_or_makes_dead_letters),
        cmocka_unit_test(what_is_taken_is_not_dropped_and_what_is_unhandled_is_a_dead_letter),
        cmocka_unit_test(what_comes_after_the_end_is_a_dead_letter),
        cmocka_unit_test(names_are_checked_because_they_may_come_from_messages),
        cmocka_unit_test(children_have_names_below_their_parent),
        cmocka_unit_test(a_child_whose_name_is_taken_fails_its_parent),
        cmocka_unit_test(a_system_ends_in_reverse_order_of_its_beginning),
        cmocka_unit_test(no_more_actors_than_actors_max),
        cmocka_unit_test(a_failure_stops_unless_supervision_says_otherwise),
        cmocka_unit_test(supervision_may_decide_by_the_error),
        cmocka_unit_test(too_many_restarts_in_a_time_stop),
        cmocka_unit_test(backoff_waits_longer_each_time_and_messages_wait_too),
        cmocka_unit_test(a_timer_that_fails_is_supervised_and_stops_at_a_restart),
        cmocka_unit_test(an_actor_that_cannot_start_is_supervised),
        cmocka_unit_test(who_watches_hears_of_the_end_once),
        cmocka_unit_test(a_notice_that_is_under_way_can_be_taken_back),
        cmocka_unit_test(timers_come_once_or_every_so_often),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(telling_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
