/* Event-sourced actors on a journal in memory, whose answers the test gives when it likes. */
#include "cmocka_all.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/flow_persistence.h>

#include "actors.h"
#include "base/alloc.h"
#include "base/queue.h"
#include "base/random.h"

/* ---- a journal ------------------------------------------------------------------------------- */

enum { JOURNAL_MAX = 4096, PAGE = 3 };

enum asked { LOAD, READ, APPEND, SAVE };

struct question {
    enum asked what;
    uint64_t sequence;
    const struct weir_journal_page *page;
    struct weir_journal_promise *promise;
};

/* Of one id: numbers, and the newest snapshot. */
struct journal {
    long events[JOURNAL_MAX];
    uint64_t count;
    long snapshot;
    uint64_t snapshot_sequence; /* 0: none */
    uint32_t stash;             /* of the actor */
    bool later;                 /* questions wait for journal_answer */
    enum weir_err fail;         /* the next append, once */
    struct question waiting[8];
    uint32_t waiting_count;
    uint32_t reads, saves;
};

static void give(struct weir_journal_promise *promise, uint64_t sequence, const long *numbers,
                 uint32_t count)
{
    struct weir_slice items[PAGE];
    const struct weir_journal_page page = {.sequence = sequence, .items = items, .count = count};

    for (uint32_t i = 0; i < count; i++)
        items[i] = weir_slice(&numbers[i], sizeof numbers[i]);
    weir_journal_answer(promise, &page, NULL);
}

static void refuse(struct weir_journal_promise *promise, enum weir_err why)
{
    struct weir_error error;

    (void)weir_error_set(&error, why, -1, "the journal says no");
    weir_journal_answer(promise, NULL, &error);
}

static long number_of(struct weir_slice slice)
{
    long number;

    assert_int_equal(slice.bytes, sizeof number);
    memcpy(&number, slice.data, sizeof number);
    return number;
}

static void append(struct journal *journal, const struct question *question)
{
    enum weir_err fail = journal->fail;

    journal->fail = WEIR_OK;
    if (fail == WEIR_OK && question->page->sequence != journal->count + 1)
        fail = WEIR_INVALID;
    if (fail != WEIR_OK) {
        refuse(question->promise, fail);
        return;
    }
    for (uint32_t i = 0; i < question->page->count; i++)
        journal->events[journal->count++] = number_of(question->page->items[i]);
    weir_journal_answer(question->promise, NULL, NULL);
}

static void answer(struct journal *journal, const struct question *question)
{
    uint64_t from = question->sequence - 1, left;

    switch (question->what) {
    case LOAD:
        give(question->promise, journal->snapshot_sequence, &journal->snapshot,
             journal->snapshot_sequence > 0);
        return;
    case READ:
        journal->reads++;
        left = from < journal->count ? journal->count - from : 0;
        give(question->promise, question->sequence, journal->events + from,
             left < PAGE ? (uint32_t)left : PAGE);
        return;
    case APPEND:
        append(journal, question);
        return;
    case SAVE:
        journal->saves++;
        journal->snapshot = number_of(question->page->items[0]);
        journal->snapshot_sequence = question->page->sequence;
        weir_journal_answer(question->promise, NULL, NULL);
        return;
    }
}

static void ask(struct journal *journal, struct question question)
{
    if (!journal->later) {
        answer(journal, &question);
        return;
    }
    assert_true(journal->waiting_count < 8);
    journal->waiting[journal->waiting_count++] = question;
}

/* Gives the answers that wait. */
static void journal_answer(struct journal *journal)
{
    struct question waiting[8];
    uint32_t count = journal->waiting_count;

    memcpy(waiting, journal->waiting, sizeof waiting);
    journal->waiting_count = 0;
    for (uint32_t i = 0; i < count; i++)
        answer(journal, &waiting[i]);
}

static void journal_load(void *self, const char *id, struct weir_journal_promise *promise)
{
    assert_string_equal(id, "sum");
    ask(self, (struct question){.what = LOAD, .promise = promise});
}

static void journal_read(void *self, const char *id, uint64_t sequence,
                         struct weir_journal_promise *promise)
{
    assert_string_equal(id, "sum");
    ask(self, (struct question){.what = READ, .sequence = sequence, .promise = promise});
}

static void journal_append(void *self, const char *id, const struct weir_journal_page *page,
                           struct weir_journal_promise *promise)
{
    assert_string_equal(id, "sum");
    ask(self, (struct question){.what = APPEND, .page = page, .promise = promise});
}

static void journal_save(void *self, const char *id, const struct weir_journal_page *page,
                         struct weir_journal_promise *promise)
{
    assert_string_equal(id, "sum");
    ask(self, (struct question){.what = SAVE, .page = page, .promise = promise});
}

static const struct weir_journal_ops journal_ops = {.abi = WEIR_JOURNAL_ABI,
                                                    .load = journal_load,
                                                    .read = journal_read,
                                                    .append = journal_append,
                                                    .save = journal_save};

/* ---- an actor that adds up ------------------------------------------------------------------- */

struct sum {
    long value;
};

static char trace[4096];

static void write_down(const char *what, long number)
{
    size_t length = strlen(trace);

    snprintf(trace + length, sizeof trace - length, "%s%s%ld", length > 0 ? " " : "", what, number);
}

/* "add": one event; "split": two halves; "show": none; "fail": fails behind an event. */
static enum weir_err sum_command(void *state, struct weir_actor *actor,
                                 struct weir_message *command, struct weir_error *error)
{
    const struct say *said = (const struct say *)command;
    long half = said->number / 2;
    enum weir_err err = WEIR_OK;

    (void)state;
    if (strcmp(said->what, "add") == 0 || strcmp(said->what, "fail") == 0)
        err = weir_persist(actor, weir_slice(&said->number, sizeof said->number), error);
    if (strcmp(said->what, "split") == 0) {
        err = weir_persist(actor, weir_slice(&half, sizeof half), error);
        half = said->number - half;
        if (err == WEIR_OK)
            err = weir_persist(actor, weir_slice(&half, sizeof half), error);
    }
    if (err == WEIR_OK && strcmp(said->what, "fail") == 0)
        err = weir_error_set(error, WEIR_MODEL_FAILED, -1, "as it was told");
    return err;
}

static enum weir_err sum_event(void *state, struct weir_slice event, struct weir_error *error)
{
    struct sum *sum = state;

    (void)error;
    sum->value += number_of(event);
    return WEIR_OK;
}

static void sum_done(void *state, struct weir_actor *actor, struct weir_message *command)
{
    const struct sum *sum = state;
    const struct journal *journal = weir_persistent_config(actor);

    (void)command;
    assert_true(weir_persistent_sequence(actor) <= journal->count); /* durable before it is told */
    write_down("=", sum->value);
}

static size_t sum_save(const void *state, void *buffer, size_t capacity)
{
    const struct sum *sum = state;

    if (capacity >= sizeof sum->value)
        memcpy(buffer, &sum->value, sizeof sum->value);
    return sizeof sum->value;
}

static enum weir_err sum_restore(void *state, struct weir_slice snapshot, struct weir_error *error)
{
    struct sum *sum = state;

    sum->value = number_of(snapshot);
    return sum->value >= 0 ? WEIR_OK : weir_error_set(error, WEIR_PARSE, -1, "no sum");
}

static const struct weir_persistent_ops sum_ops = {.abi = WEIR_PERSISTENT_ABI,
                                                   .name = "sum",
                                                   .state_bytes = sizeof(struct sum),
                                                   .command = sum_command,
                                                   .event = sum_event,
                                                   .done = sum_done,
                                                   .save = sum_save,
                                                   .restore = sum_restore};

static struct weir_actor_ref *come(struct stage *stage, struct journal *journal)
{
    struct weir_persistent_options options;
    struct weir_actor_options actor;
    struct weir_actor_ref *ref;

    weir_persistent_options_default(&options);
    weir_actor_options_default(&actor);
    options.ops = &sum_ops;
    options.id = "sum";
    options.journal = &journal_ops;
    options.journal_self = journal;
    options.config = journal;
    options.snapshot_events = 5;
    options.stash = journal->stash;
    actor.name = "sum";
    actor.supervision.directive = WEIR_ACTOR_RESTART;
    assert_int_equal(weir_persistent_spawn(stage->system, NULL, &options, &actor, &ref, NULL),
                     WEIR_OK);
    return ref;
}

static void add(struct weir_actor_ref *ref, const char *what, long number)
{
    weir_actor_tell(ref, say_number(what, number));
}

static void expect(struct stage *stage, const char *expected)
{
    stage_run(stage);
    assert_string_equal(trace, expected);
    trace[0] = '\0';
}

/* Ends the actor, and waits until it has gone. */
static void leave(struct stage *stage, struct weir_actor_ref *ref)
{
    weir_actor_stop(ref);
    stage_run(stage);
    assert_true(weir_actor_ref_is_stopped(ref));
    weir_actor_ref_free(ref);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void a_command_is_answered_when_its_events_are_durable(void **state)
{
    struct journal journal = {.later = true, .stash = 16};
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    struct weir_actor_ref *ref = come(&stage, &journal);
    add(ref, "add", 1); /* before it has recovered */
    add(ref, "split", 5);
    expect(&stage, "");
    journal_answer(&journal); /* the snapshot */
    stage_run(&stage);
    journal_answer(&journal); /* the events */
    expect(&stage, "");
    assert_int_equal(journal.waiting[0].what, APPEND);
    add(ref, "show", 0);
    expect(&stage, "");
    journal_answer(&journal);
    expect(&stage, "=1");
    journal_answer(&journal);
    expect(&stage, "=6 =6");
    assert_int_equal(journal.count, 3);
    leave(&stage, ref);
    stage_close(&stage);
}

static void state_comes_back_from_snapshot_and_events(void **state)
{
    struct journal journal = {.stash = 16};
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    struct weir_actor_ref *ref = come(&stage, &journal);
    for (long i = 1; i <= 8; i++)
        add(ref, "add", i);
    expect(&stage, "=1 =3 =6 =10 =15 =21 =28 =36");
    assert_int_equal(journal.saves, 1);
    assert_int_equal(journal.snapshot_sequence, 5);
    leave(&stage, ref);
    for (int round = 0; round < 3; round++) {
        journal.reads = 0;
        if (round == 1)
            journal.snapshot = -1; /* of no use */
        if (round == 2)
            journal.snapshot_sequence = 0;
        ref = come(&stage, &journal);
        add(ref, "show", 0);
        expect(&stage, "=36");
        assert_int_equal(journal.reads, round == 0 ? 2 : 4); /* pages of 3, and the end */
        leave(&stage, ref);
    }
    stage_close(&stage);
}

static void a_stash_has_a_ceiling(void **state)
{
    struct journal journal = {.later = true, .stash = 4};
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    struct weir_actor_ref *ref = come(&stage, &journal);
    for (long i = 1; i <= 6; i++)
        add(ref, "add", i);
    stage_run(&stage);
    expect_letters(&stage, "/sum:add:LIMIT /sum:add:LIMIT");
    journal.later = false;
    journal_answer(&journal);
    expect(&stage, "=1 =3 =6 =10");
    leave(&stage, ref);
    stage_close(&stage);
}

/* Nothing of the failed command happens; what waited comes in its order. */
static void a_failure_restarts_from_the_journal(void **state)
{
    (void)state;
    for (int at_append = 0; at_append < 2; at_append++) {
        struct journal journal = {.stash = 16};
        struct stage stage;

        stage_open(&stage, 0);
        struct weir_actor_ref *ref = come(&stage, &journal);
        add(ref, "add", 1);
        expect(&stage, "=1");
        journal.later = true;
        journal.fail = at_append ? WEIR_IO : WEIR_OK;
        add(ref, at_append ? "split" : "fail", 100);
        add(ref, "add", 2);
        add(ref, "add", 4);
        stage_run(&stage);
        add(ref, "add", 8); /* behind the restart, in the mailbox */
        journal.later = false;
        journal_answer(&journal);
        expect(&stage, "=3 =7 =15");
        assert_int_equal(journal.count, 4);
        leave(&stage, ref);
        stage_close(&stage);
    }
}

static void answers_that_nobody_waits_for_are_dropped(void **state)
{
    struct journal journal = {.later = true, .stash = 16};
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    struct weir_actor_ref *ref = come(&stage, &journal);
    add(ref, "add", 1);
    stage_run(&stage);
    leave(&stage, ref);
    assert_int_equal(journal.waiting_count, 1);
    journal_answer(&journal);
    expect_letters(&stage, "/sum:add:CLOSED");
    stage_close(&stage);
}

static void two_writers_are_found_out(void **state)
{
    struct journal journal = {.stash = 16};
    struct stage stage;

    (void)state;
    stage_open(&stage, 0);
    struct weir_actor_ref *ref = come(&stage, &journal);
    add(ref, "add", 1);
    expect(&stage, "=1");
    journal.events[journal.count++] = 10; /* somebody else */
    add(ref, "add", 2);                   /* refused; it restarts and knows of both */
    add(ref, "show", 0);
    expect(&stage, "=11");
    leave(&stage, ref);
    stage_close(&stage);
}

/* Whatever fails when, what was answered is in the journal, once, and the state is their sum. */
static void what_was_answered_is_there(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct journal journal = {.later = true, .stash = 16};
        struct weir_random random = {.state = seed};
        struct stage stage;
        long answered = 0, sum = 0;

        stage_open(&stage, seed);
        struct weir_actor_ref *ref = come(&stage, &journal);
        for (int step = 0; step < 200; step++) {
            uint32_t drawn = weir_random_below(&random, 10);
            if (drawn < 4)
                add(ref, drawn == 0 ? "split" : "add", 1 + (long)drawn);
            else if (drawn == 4)
                journal.fail = WEIR_IO;
            else if (drawn == 5)
                add(ref, "fail", 1000000);
            else
                journal_answer(&journal);
            stage_run(&stage);
        }
        journal.later = false;
        journal.fail = WEIR_OK;
        journal_answer(&journal);
        stage_run(&stage);
        if (trace[0] != '\0')
            answered = strtol(strrchr(trace, '=') + 1, NULL, 10);
        for (uint64_t i = 0; i < journal.count; i++)
            sum += journal.events[i];
        if (answered != sum)
            fail_msg("seed %lu: answered %ld, in the journal %ld", (unsigned long)seed, answered,
                     sum);
        trace[0] = '\0';
        add(ref, "show", 0);
        stage_run(&stage);
        assert_int_equal(strtol(trace + 1, NULL, 10), sum);
        trace[0] = '\0';
        leave(&stage, ref);
        stage.letters[0] = '\0';
        stage_close(&stage);
    }
}

/* Without memory somewhere: the actor restarts or stops; nothing leaks or is told wrong. */
static void memory_may_be_short_anywhere(void **state)
{
    bool failed = true;

    (void)state;
    for (uint64_t at = 1; failed; at++) {
        struct journal journal = {.stash = 16};
        struct stage stage;
        long sum = 0;

        stage_open(&stage, 0);
        struct weir_actor_ref *ref = come(&stage, &journal);
        stage_run(&stage);
        for (long i = 1; i <= 8; i++)
            add(ref, i % 3 == 0 ? "split" : "add", 2 * i);
        weir_alloc_watch_start(at);
        stage_run(&stage);
        failed = weir_alloc_watch_stop().failed > 0;
        trace[0] = '\0';
        add(ref, "show", 0);
        stage_run(&stage);
        for (uint64_t i = 0; i < journal.count; i++)
            sum += journal.events[i];
        assert_int_equal(strtol(trace + 1, NULL, 10), sum);
        assert_true(failed || sum == 72);
        trace[0] = '\0';
        leave(&stage, ref);
        stage_close(&stage);
    }
}

/* ---- a journal with a thread ----------------------------------------------------------------- */

struct threaded {
    struct journal journal;
    struct weir_queue questions;
    pthread_t thread;
};

static void *answer_all(void *opaque)
{
    struct threaded *threaded = opaque;
    void *item;

    while (weir_queue_pop(&threaded->questions, &item, -1) == WEIR_OK) {
        answer(&threaded->journal, item);
        free(item);
    }
    return NULL;
}

static void hand_over(struct threaded *threaded, struct question question)
{
    struct question *copy = malloc(sizeof *copy);

    *copy = question;
    if (weir_queue_push(&threaded->questions, copy, -1) != WEIR_OK)
        abort();
}

static void threaded_load(void *self, const char *id, struct weir_journal_promise *promise)
{
    (void)id;
    hand_over(self, (struct question){.what = LOAD, .promise = promise});
}

static void threaded_read(void *self, const char *id, uint64_t sequence,
                          struct weir_journal_promise *promise)
{
    (void)id;
    hand_over(self, (struct question){.what = READ, .sequence = sequence, .promise = promise});
}

static void threaded_append(void *self, const char *id, const struct weir_journal_page *page,
                            struct weir_journal_promise *promise)
{
    (void)id;
    hand_over(self, (struct question){.what = APPEND, .page = page, .promise = promise});
}

static void threaded_save(void *self, const char *id, const struct weir_journal_page *page,
                          struct weir_journal_promise *promise)
{
    (void)id;
    hand_over(self, (struct question){.what = SAVE, .page = page, .promise = promise});
}

static const struct weir_journal_ops threaded_ops = {.abi = WEIR_JOURNAL_ABI,
                                                     .load = threaded_load,
                                                     .read = threaded_read,
                                                     .append = threaded_append,
                                                     .save = threaded_save};

static _Atomic long done_count;

static void count_done(void *state, struct weir_actor *actor, struct weir_message *command)
{
    (void)state;
    (void)actor;
    (void)command;
    atomic_fetch_add(&done_count, 1);
}

static void *add_many(void *opaque)
{
    for (int i = 0; i < 500; i++)
        add(opaque, "add", 1);
    return NULL;
}

/* Tellers, the actor and the journal on threads of their own: every command is done, once. */
static void journals_answer_from_other_threads(void **state)
{
    static struct weir_persistent_ops ops;
    struct weir_persistent_options options;
    struct weir_actor_options actor;
    struct weir_actor_system *system;
    struct weir_flow_materializer *materializer;
    struct weir_actor_ref *ref;
    struct threaded threaded = {.journal.stash = 0};
    pthread_t tellers[2];
    int64_t until_ns = weir_clock_now_ns(NULL) + 25 * WEIR_NS_PER_SECOND;

    (void)state;
    ops = sum_ops;
    ops.done = count_done;
    atomic_store(&done_count, 0);
    assert_int_equal(weir_queue_init(&threaded.questions, 64), WEIR_OK);
    assert_int_equal(pthread_create(&threaded.thread, NULL, answer_all, &threaded), 0);
    assert_int_equal(weir_flow_materializer_new(NULL, &materializer, NULL), WEIR_OK);
    assert_int_equal(weir_actor_system_new(materializer, NULL, &system, NULL), WEIR_OK);
    weir_persistent_options_default(&options);
    weir_actor_options_default(&actor);
    options.ops = &ops;
    options.id = "sum";
    options.journal = &threaded_ops;
    options.journal_self = &threaded;
    options.snapshot_events = 50;
    actor.mailbox = 2000;
    assert_int_equal(weir_persistent_spawn(system, NULL, &options, &actor, &ref, NULL), WEIR_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&tellers[i], NULL, add_many, ref), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(tellers[i], NULL);
    while (atomic_load(&done_count) < 1000 && weir_clock_now_ns(NULL) < until_ns)
        sched_yield();
    assert_int_equal(atomic_load(&done_count), 1000);
    weir_actor_ref_free(ref);
    assert_int_equal(weir_actor_system_stop(system, 25000), WEIR_OK);
    weir_queue_close(&threaded.questions);
    pthread_join(threaded.thread, NULL);
    weir_queue_release(&threaded.questions);
    weir_actor_system_free(system);
    weir_flow_materializer_free(materializer);
    assert_int_equal(threaded.journal.count, 1000);
    assert_true(threaded.journal.saves > 10);
}

static void options_that_miss_something_are_refused(void **state)
{
    struct weir_persistent_options options;
    struct journal journal = {.stash = 16};
    struct stage stage;
    struct weir_error error;

    (void)state;
    stage_open(&stage, 0);
    for (int fault = 0; fault < 3; fault++) {
        weir_persistent_options_default(&options);
        options.ops = fault == 0 ? NULL : &sum_ops;
        options.id = fault == 1 ? NULL : "sum";
        options.journal = fault == 2 ? NULL : &journal_ops;
        options.journal_self = &journal;
        assert_int_equal(weir_persistent_spawn(stage.system, NULL, &options, NULL, NULL, &error),
                         WEIR_INVALID);
    }
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_answered_when_its_events_are_durable),
        cmocka_unit_test(state_comes_back_from_snapshot_and_events),
        cmocka_unit_test(a_stash_has_a_ceiling),
        cmocka_unit_test(a_failure_restarts_from_the_journal),
        cmocka_unit_test(answers_that_nobody_waits_for_are_dropped),
        cmocka_unit_test(two_writers_are_found_out),
        cmocka_unit_test(what_was_answered_is_there),
        cmocka_unit_test(memory_may_be_short_anywhere),
        cmocka_unit_test(journals_answer_from_other_threads),
        cmocka_unit_test(options_that_miss_something_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
