/* Stages of one's own: life, events, timers, and the illegal calls that are caught. */
#include "cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "things.h"

/* ---- illegal calls --------------------------------------------------------------------------- */

enum crime {
    PULL_TWICE,
    PULL_BEFORE_GRAB,
    GRAB_NOTHING,
    GRAB_TWICE,
    PUSH_UNASKED,
    PUSH_NULL,
    PULL_CLOSED,
    PUSH_CLOSED,
    NO_SUCH_PORT,
    CRIMES
};

static const char *const caught[CRIMES] = {
    [PULL_TWICE] = "stage criminal: pull of a pulled inlet (port 0)",
    [PULL_BEFORE_GRAB] = "stage criminal: pull before grab (port 0)",
    [GRAB_NOTHING] = "stage criminal: grab without an element (port 0)",
    [GRAB_TWICE] = "stage criminal: grab without an element (port 0)",
    [PUSH_UNASKED] = "stage criminal: push without demand (port 0)",
    [PUSH_NULL] = "stage criminal: push of NULL (port 0)",
    [PULL_CLOSED] = "stage criminal: pull of a closed inlet (port 0)",
    [PUSH_CLOSED] = "stage criminal: push to a closed outlet (port 0)",
    [NO_SUCH_PORT] = "stage criminal: there is no such outlet (port 7)",
};

static void criminal_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    enum crime crime = *(const enum crime *)weir_flow_stage_config(stage);

    (void)self;
    weir_flow_pull(stage, 0);
    if (crime == PULL_TWICE)
        weir_flow_pull(stage, 0);
    if (crime == GRAB_NOTHING)
        weir_flow_grab(stage, 0);
    if (crime == PUSH_NULL)
        weir_flow_push(stage, outlet, NULL);
    if (crime == NO_SUCH_PORT)
        weir_flow_complete(stage, 7);
    if (crime == PULL_CLOSED) {
        weir_flow_cancel(stage, 0, NULL);
        weir_flow_pull(stage, 0);
    }
    if (crime == PUSH_CLOSED) {
        weir_flow_complete(stage, outlet);
        weir_flow_push(stage, outlet, stage);
    }
}

static void criminal_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    enum crime crime = *(const enum crime *)weir_flow_stage_config(stage);
    void *element;

    (void)self;
    if (crime == PULL_BEFORE_GRAB)
        weir_flow_pull(stage, inlet);
    element = weir_flow_grab(stage, inlet);
    if (crime == GRAB_TWICE)
        weir_flow_grab(stage, inlet);
    weir_flow_push(stage, 0, element);
    if (crime == PUSH_UNASKED)
        weir_flow_push(stage, 0, element);
}

static const struct weir_flow_stage_ops criminal_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "criminal",
    .on_push = criminal_push,
    .on_pull = criminal_pull,
};

static void commit_crime(enum crime crime)
{
    struct place place;
    struct weir_flow_outlet in;

    place_open(&place, 0);
    in = weir_flow_repeat(place.graph, &place, NULL);
    const struct weir_flow_stage_options options = {
        .config = &crime, .config_bytes = sizeof crime, .ins = &in, .in_count = 1, .out_count = 1};
    in.stage = weir_flow_stage_add(place.graph, &criminal_ops, &options);
    weir_flow_ignore(weir_flow_take(in, 5));
    place_run(&place);
    weir_flow_materializer_run(place.materializer);
    _exit(0);
}

static void illegal_calls_are_caught_by_name(void **state)
{
    (void)state;
    for (int crime = 0; crime < CRIMES; crime++) {
        char text[512] = "";
        int ends[2], status;
        size_t length = 0;
        ssize_t got;
        pid_t child;

        assert_int_equal(pipe(ends), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            dup2(ends[1], STDERR_FILENO);
            commit_crime((enum crime)crime);
        }
        close(ends[1]);
        while (length < sizeof text - 1 &&
               (got = read(ends[0], text + length, sizeof text - 1 - length)) > 0)
            length += (size_t)got;
        close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (strstr(text, caught[crime]) == NULL)
            fail_msg("crime %d: \"%s\" does not say \"%s\"", crime, text, caught[crime]);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static char diary[256];

static void note(const char *word)
{
    size_t length = strlen(diary);
    snprintf(diary + length, sizeof diary - length, "%s%s", length > 0 ? " " : "", word);
}

struct writer {
    struct weir_flow_event event;
    int events;
};

static enum weir_err writer_init(void *self, struct weir_flow_stage *stage,
                                 struct weir_error *error)
{
    struct writer *writer = self;

    (void)error;
    note("init");
    weir_flow_event_init(&writer->event, stage);
    weir_flow_stage_value_set(stage, writer);
    return WEIR_OK;
}

static void writer_release(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    (void)stage;
    note("release");
}

static void writer_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    note("start");
    weir_flow_timer_start(stage, 1, 20, 0);
    weir_flow_timer_start(stage, 0, 5, 10);
}

static void writer_stop(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    (void)stage;
    note("stop");
}

static void writer_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    (void)self;
    (void)stage;
    (void)outlet;
    note("pull");
}

static void writer_timer(void *self, struct weir_flow_stage *stage, uint32_t timer)
{
    (void)self;
    note(timer == 0 ? "tick" : "tock");
    if (timer == 1)
        weir_flow_timer_stop(stage, 0);
}

static void writer_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    struct writer *writer = self;

    assert_ptr_equal(event, &writer->event);
    note("event");
    if (++writer->events == 2) {
        weir_flow_keep_going(stage, true);
        weir_flow_complete_stage(stage);
    } else if (writer->events == 3) {
        weir_flow_keep_going(stage, false);
    }
}

static const struct weir_flow_stage_ops writer_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "writer",
    .self_bytes = sizeof(struct writer),
    .timer_count = 2,
    .init = writer_init,
    .release = writer_release,
    .start = writer_start,
    .stop = writer_stop,
    .on_pull = writer_pull,
    .on_timer = writer_timer,
    .on_event = writer_event,
};

static void a_stage_lives_by_its_hooks_timers_and_events(void **state)
{
    const struct weir_flow_stage_options options = {.out_count = 1};
    struct place place;
    struct weir_flow_outlet out;
    struct writer *writer;

    (void)state;
    diary[0] = '\0';
    place_open(&place, 0);
    out = (struct weir_flow_outlet){place.graph,
                                    weir_flow_stage_add(place.graph, &writer_ops, &options), 0};
    weir_flow_ignore(out);
    place_run(&place);
    assert_string_equal(diary, "init");
    writer = weir_flow_stream_value(place.stream, out.stage);
    weir_flow_materializer_run(place.materializer);
    weir_flow_invoke(&writer->event);
    weir_flow_invoke(&writer->event); /* both make one */
    weir_flow_materializer_run(place.materializer);
    for (int i = 0; i < 8; i++) {
        weir_clock_virtual_advance_ms(&place.clock, 5);
        weir_flow_materializer_run(place.materializer);
    }
    assert_string_equal(diary, "init start pull event tick tick tock");
    weir_flow_invoke(&writer->event);
    assert_int_equal(weir_flow_stream_wait(place.stream, 0), WEIR_TIMEOUT); /* it keeps going */
    weir_flow_invoke(&writer->event);
    assert_int_equal(weir_flow_stream_wait(place.stream, 0), WEIR_OK);
    weir_flow_invoke(&writer->event); /* nobody hears it */
    place_close(&place);
    assert_string_equal(diary, "init start pull event tick tick tock event event stop release");
}

static void *call_writer(void *opaque)
{
    struct writer *writer = opaque;

    weir_flow_invoke(&writer->event);
    return NULL;
}

static enum weir_err hasty_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    pthread_t thread;
    enum weir_err err = writer_init(self, stage, error);

    assert_int_equal(pthread_create(&thread, NULL, call_writer, self), 0);
    pthread_join(thread, NULL);
    /* Nobody may be running what is not made yet. */
    weir_flow_materializer_run(
        *(struct weir_flow_materializer *const *)weir_flow_stage_config(stage));
    note("made");
    return err;
}

static void an_event_before_the_stream_has_started_comes_after_its_start(void **state)
{
    static struct weir_flow_stage_ops hasty_ops;
    struct place place;

    (void)state;
    hasty_ops = writer_ops;
    hasty_ops.init = hasty_init;
    diary[0] = '\0';
    place_open(&place, 0);
    const struct weir_flow_stage_options options = {
        .out_count = 1, .config = &place.materializer, .config_bytes = sizeof place.materializer};
    weir_flow_ignore((struct weir_flow_outlet){
        place.graph, weir_flow_stage_add(place.graph, &hasty_ops, &options), 0});
    place_run(&place);
    weir_flow_materializer_run(place.materializer);
    assert_string_equal(diary, "init made start event pull");
    place_close(&place);
}

/* ---- building -------------------------------------------------------------------------------- */

static const struct weir_flow_kind unshared = {.drop = (void (*)(void *))(uintptr_t)1};

static void build_wrongly(struct weir_flow_graph *graph, int fault)
{
    struct weir_flow_outlet out = weir_flow_empty(graph), outs[2];

    switch (fault) {
    case 0:
        break; /* left open */
    case 1:
        weir_flow_ignore(out);
        weir_flow_ignore(out);
        break;
    case 2:
        weir_flow_single(graph, graph, &unshared);
        break;
    case 3:
        weir_flow_ignore(weir_flow_buffer(out, 0, WEIR_FLOW_FAIL));
        break;
    case 4:
        weir_flow_ignore(weir_flow_async(out, WEIR_FLOW_BUFFER_MAX + 1));
        break;
    case 5:
        outs[0] = out;
        outs[1] = count_to(graph, 1);
        weir_flow_ignore(weir_flow_merge(outs, 2));
        break;
    default:
        weir_flow_broadcast(out, outs, 1);
        outs[0].port = 1;
        weir_flow_ignore(outs[0]);
    }
}

static void a_graph_says_what_is_wrong_with_it(void **state)
{
    static const char *const texts[] = {
        "flow: outlet 0 of stage 0 (array) is not connected",
        "flow: outlet 0 of array is connected twice",
        "flow: elements that a graph keeps need a kind with share",
        "flow: a buffer of no or too many elements",
        "flow: the buffer of async is too large",
        "flow: elements of several kinds would come together",
        "flow: inlet 0 of ignore gets no outlet of this graph",
    };

    (void)state;
    for (int fault = 0; fault < 7; fault++) {
        struct place place;
        struct weir_error error;

        place_open(&place, 0);
        build_wrongly(place.graph, fault);
        assert_int_equal(weir_flow_run(place.graph, place.materializer, &place.stream, &error),
                         fault == 4 ? WEIR_LIMIT : WEIR_INVALID);
        assert_string_equal(error.message, texts[fault]);
        place.stream = NULL;
        place_close(&place);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(illegal_calls_are_caught_by_name),
        cmocka_unit_test(a_stage_lives_by_its_hooks_timers_and_events),
        cmocka_unit_test(an_event_before_the_stream_has_started_comes_after_its_start),
        cmocka_unit_test(a_graph_says_what_is_wrong_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
