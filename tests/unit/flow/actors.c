#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors.h"

_Atomic long say_count;

static struct stage *on_stage;

/* ---- messages -------------------------------------------------------------------------------- */

static void drop_say(struct weir_message *message)
{
    struct say *said = (struct say *)message;

    weir_actor_ref_free(said->reply_to);
    free(said);
    atomic_fetch_sub(&say_count, 1);
}

static struct weir_message *share_say(const struct weir_message *message)
{
    const struct say *said = (const struct say *)message;
    struct say *copy = (struct say *)say_number(said->what, said->number);

    if (said->reply_to != NULL)
        copy->reply_to = weir_actor_ref_share(said->reply_to);
    return &copy->message;
}

static struct weir_actor_ref **reply_to_of(struct weir_message *message)
{
    return &((struct say *)message)->reply_to;
}

const struct weir_message_type say_type = {
    .name = "say", .drop = drop_say, .share = share_say, .reply_to = reply_to_of};

struct weir_message *say_number(const char *what, long number)
{
    struct say *said = calloc(1, sizeof *said);

    assert_non_null(said);
    said->message.type = &say_type;
    said->number = number;
    snprintf(said->what, sizeof said->what, "%s", what);
    atomic_fetch_add(&say_count, 1);
    return &said->message;
}

struct weir_message *say(const char *what)
{
    return say_number(what, 0);
}

void tell(struct weir_actor_ref *ref, const char *what)
{
    weir_actor_tell(ref, say(what));
}

/* ---- the trace ------------------------------------------------------------------------------- */

static void append(char *text, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t capacity, const char *format, ...)
{
    size_t bytes = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + bytes, capacity - bytes, format, args);
    va_end(args);
}

#define TRACE(...) append(on_stage->trace, sizeof on_stage->trace, __VA_ARGS__)

static const char *name_of(struct weir_actor *actor)
{
    return strrchr(weir_actor_ref_path(weir_actor_self(actor)), '/') + 1;
}

/* ---- the obedient ---------------------------------------------------------------------------- */

struct obedient_self {
    bool fail_at_timer;
    struct say *kept;
};

static enum weir_err obedient_start(void *self, struct weir_actor *actor, struct weir_error *error)
{
    const struct obedient_self *obedient_self = self;

    (void)error;
    assert_null(obedient_self->kept);
    TRACE("+%s ", name_of(actor));
    return WEIR_OK;
}

static enum weir_err failure(struct weir_error *error)
{
    return weir_error_set(error, WEIR_MODEL_FAILED, -1, "as it was told");
}

static enum weir_err spawn_below(struct weir_actor *actor, const char *name,
                                 struct weir_error *error)
{
    struct weir_actor_options options;

    weir_actor_options_default(&options);
    options.name = name;
    return weir_actor_spawn_child(actor, &obedient, &options, NULL, error);
}

static void answer(struct weir_actor *actor, const struct say *said)
{
    assert_non_null(said->reply_to);
    weir_actor_tell(said->reply_to, say_number(name_of(actor), said->number));
}

static enum weir_err obey(struct obedient_self *self, struct weir_actor *actor, struct say *said,
                          struct weir_error *error)
{
    const char *what = said->what;

    if (strcmp(what, "!fail") == 0)
        return failure(error);
    if (strcmp(what, "!fail-later") == 0)
        self->fail_at_timer = true;
    else if (strcmp(what, "!stop") == 0)
        weir_actor_stop_self(actor);
    else if (strcmp(what, "!unhandled") == 0)
        weir_actor_unhandled(actor);
    else if (strcmp(what, "!answer") == 0)
        answer(actor, said);
    else if (strncmp(what, "!spawn ", 7) == 0)
        return spawn_below(actor, what + 7, error);
    else if (strcmp(what, "!spawn-anonymous") == 0)
        return spawn_below(actor, NULL, error);
    else if (strcmp(what, "!watch") == 0)
        return weir_actor_watch(actor, said->reply_to, error);
    else if (strcmp(what, "!unwatch") == 0)
        weir_actor_unwatch(actor, said->reply_to);
    else if (strcmp(what, "!tick") == 0)
        weir_actor_timer_start(actor, 0, said->number, 0);
    else if (strcmp(what, "!ticks") == 0)
        weir_actor_timer_start(actor, 0, said->number, said->number);
    else if (strcmp(what, "!no-ticks") == 0)
        weir_actor_timer_stop(actor, 0);
    else if (strcmp(what, "!keep") == 0) {
        weir_actor_take(actor);
        weir_message_drop(&said->message);
    } else if (strcmp(what, "!later") == 0) {
        weir_actor_take(actor);
        self->kept = said;
        weir_actor_timer_start(actor, 1, said->number, 0);
    } else
        fail_msg("no such order: %s", what);
    return WEIR_OK;
}

static enum weir_err obedient_receive(void *self, struct weir_actor *actor,
                                      struct weir_message *message, struct weir_error *error)
{
    struct say *said = (struct say *)message;

    if (message->type != &say_type) {
        TRACE("%s:<%s> ", name_of(actor), message->type->name);
        return WEIR_OK;
    }
    if (said->what[0] == '!')
        return obey(self, actor, said, error);
    TRACE("%s:%s ", name_of(actor), said->what);
    return WEIR_OK;
}

static enum weir_err obedient_on_timer(void *self, struct weir_actor *actor, uint32_t timer,
                                       struct weir_error *error)
{
    struct obedient_self *obedient_self = self;

    if (timer == 1) {
        answer(actor, obedient_self->kept);
        weir_message_drop(&obedient_self->kept->message);
        obedient_self->kept = NULL;
        return WEIR_OK;
    }
    if (obedient_self->fail_at_timer)
        return failure(error);
    TRACE("%s:tick ", name_of(actor));
    return WEIR_OK;
}

static enum weir_err obedient_on_terminated(void *self, struct weir_actor *actor,
                                            struct weir_actor_ref *who, struct weir_error *error)
{
    (void)self;
    (void)error;
    TRACE("%s:gone(%s) ", name_of(actor), weir_actor_ref_path(who));
    return WEIR_OK;
}

static void obedient_stop(void *self, struct weir_actor *actor, bool restarting)
{
    const struct obedient_self *obedient_self = self;

    if (obedient_self->kept != NULL)
        weir_message_drop(&obedient_self->kept->message);
    TRACE("%s%s ", restarting ? "~" : "-", name_of(actor));
}

const struct weir_actor_ops obedient = {
    .abi = WEIR_ACTOR_ABI,
    .name = "obedient",
    .self_bytes = sizeof(struct obedient_self),
    .timer_count = 2,
    .start = obedient_start,
    .receive = obedient_receive,
    .on_timer = obedient_on_timer,
    .on_terminated = obedient_on_terminated,
    .stop = obedient_stop,
};

struct weir_actor_ref *spawn_with(struct stage *stage, const struct weir_actor_options *options)
{
    struct weir_error error = {.message = ""};
    struct weir_actor_ref *ref = NULL;

    if (weir_actor_spawn(stage->system, &obedient, options, &ref, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return ref;
}

struct weir_actor_ref *spawn(struct stage *stage, const char *name)
{
    struct weir_actor_options options;

    weir_actor_options_default(&options);
    options.name = name;
    return spawn_with(stage, &options);
}

/* ---- the stage ------------------------------------------------------------------------------- */

static void on_dead_letter(void *opaque, const char *to, const struct weir_message *message,
                           enum weir_err why)
{
    struct stage *stage = opaque;
    const char *what =
        message->type == &say_type ? ((const struct say *)message)->what : message->type->name;

    append(stage->letters, sizeof stage->letters, "%s:%s:%s ", to, what, weir_err_name(why));
}

void stage_open(struct stage *stage, uint64_t seed)
{
    struct weir_flow_materializer_options options;
    struct weir_actor_system_options system_options;

    memset(stage, 0, sizeof *stage);
    on_stage = stage;
    weir_clock_virtual_init(&stage->clock, 0);
    weir_flow_materializer_options_default(&options);
    options.threads = 0;
    options.clock = &stage->clock.clock;
    options.fuzzing = seed != 0;
    options.seed = seed;
    assert_int_equal(weir_flow_materializer_new(&options, &stage->materializer, NULL), WEIR_OK);
    weir_actor_system_options_default(&system_options);
    system_options.on_dead_letter = on_dead_letter;
    system_options.opaque = stage;
    assert_int_equal(
        weir_actor_system_new(stage->materializer, &system_options, &stage->system, NULL), WEIR_OK);
}

void stage_close(struct stage *stage)
{
    weir_actor_system_free(stage->system);
    weir_flow_materializer_free(stage->materializer);
    assert_int_equal(atomic_load(&say_count), 0);
}

void stage_run(struct stage *stage)
{
    weir_flow_materializer_run(stage->materializer);
}

void stage_run_ms(struct stage *stage, int64_t ms)
{
    stage_run(stage);
    for (; ms > 0; ms--) {
        weir_clock_virtual_advance_ms(&stage->clock, 1);
        stage_run(stage);
    }
}

static void expect(char *text, const char *expected)
{
    size_t bytes = strlen(text);

    if (bytes > 0)
        text[bytes - 1] = '\0';
    assert_string_equal(text, expected);
    text[0] = '\0';
}

void expect_trace(struct stage *stage, const char *expected)
{
    stage_run(stage);
    expect(stage->trace, expected);
}

void expect_letters(struct stage *stage, const char *expected)
{
    stage_run(stage);
    expect(stage->letters, expected);
}
