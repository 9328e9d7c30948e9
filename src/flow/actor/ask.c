/*
 * Questions: the ref that an answer is told to is an actor that lives until the first message, its
 * time, or the end of the system, whichever comes first.
 */
#include <string.h>

#include "base/alloc.h"
#include "flow/actor/inside.h"
#include "flow/inside.h"

/* ---- a failure told as an answer ------------------------------------------------------------- */

static void drop_failure(struct weir_message *message)
{
    weir_free(message);
}

const struct weir_message_type weir_actor_failure_type = {.name = "failure", .drop = drop_failure};

/* ---- the actor that awaits ------------------------------------------------------------------- */

struct ask_config {
    int64_t timeout_ms;
    weir_actor_answer_fn *fn;
    void *opaque;
};

struct ask_self {
    bool answered;
};

static void answer(struct weir_actor *actor, struct ask_self *ask, struct weir_message *message,
                   enum weir_err err, const char *why)
{
    const struct ask_config *config = weir_actor_config(actor);
    struct weir_error error = {.position = -1};

    ask->answered = true;
    weir_actor_stop_self(actor);
    if (message != NULL && message->type == &weir_actor_failure_type) {
        error = ((const struct weir_actor_failure *)message)->error;
        weir_message_drop(message);
        message = NULL;
    } else if (err != WEIR_OK) {
        weir_error_set(&error, err, -1, "%s", why);
    }
    config->fn(config->opaque, message, &error);
}

static enum weir_err ask_start(void *self, struct weir_actor *actor, struct weir_error *error)
{
    const struct ask_config *config = weir_actor_config(actor);

    (void)self;
    (void)error;
    weir_actor_timer_start(actor, 0, config->timeout_ms, 0);
    return WEIR_OK;
}

static enum weir_err ask_receive(void *self, struct weir_actor *actor, struct weir_message *message,
                                 struct weir_error *error)
{
    (void)error;
    weir_actor_take(actor);
    answer(actor, self, message, WEIR_OK, NULL);
    return WEIR_OK;
}

static enum weir_err ask_on_timer(void *self, struct weir_actor *actor, uint32_t timer,
                                  struct weir_error *error)
{
    (void)timer;
    (void)error;
    answer(actor, self, NULL, WEIR_TIMEOUT, "actor: no answer came in time");
    return WEIR_OK;
}

static void ask_stop(void *self, struct weir_actor *actor, bool restarting)
{
    struct ask_self *ask = self;

    (void)restarting;
    if (!ask->answered)
        answer(actor, ask, NULL, WEIR_CLOSED, "actor: the system stopped before an answer came");
}

static const struct weir_actor_ops ask_ops = {
    .abi = WEIR_ACTOR_ABI,
    .name = "ask",
    .self_bytes = sizeof(struct ask_self),
    .timer_count = 1,
    .start = ask_start,
    .receive = ask_receive,
    .on_timer = ask_on_timer,
    .stop = ask_stop,
};

enum weir_err weir_actor_ask(struct weir_actor_system *system, int64_t timeout_ms,
                             weir_actor_answer_fn *fn, void *opaque,
                             struct weir_actor_ref **reply_to_out, struct weir_error *error)
{
    const struct ask_config config = {.timeout_ms = timeout_ms, .fn = fn, .opaque = opaque};
    const struct weir_actor_options options = {
        .config = &config, .config_bytes = sizeof config, .mailbox = 1};

    weir_assert(timeout_ms >= 0);
    return actor_spawn(system, NULL, &ask_ops, &options, true, reply_to_out, error);
}

/* ---- for a thread that waits ----------------------------------------------------------------- */

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t answered;
    bool is_answered;
    struct weir_message *answer;
    struct weir_error error;
};

static void wake_waiter(void *opaque, struct weir_message *message, const struct weir_error *error)
{
    struct waiter *waiter = opaque;

    pthread_mutex_lock(&waiter->mutex);
    waiter->answer = message;
    waiter->error = *error;
    waiter->is_answered = true;
    pthread_cond_signal(&waiter->answered);
    pthread_mutex_unlock(&waiter->mutex);
}

/* fn is always called: here that is waited for. With threads 0 the caller is the thread. */
static void await(struct waiter *waiter, struct weir_actor_ref *reply_to)
{
    struct weir_flow_materializer *materializer = reply_to->system->materializer;

    if (materializer->options.threads == 0) {
        weir_flow_materializer_run(materializer);
        if (!waiter->is_answered) {
            weir_actor_stop(reply_to);
            weir_flow_materializer_run(materializer);
            weir_error_set(&waiter->error, WEIR_TIMEOUT, -1, "actor: no answer came");
        }
        return;
    }
    pthread_mutex_lock(&waiter->mutex);
    while (!waiter->is_answered)
        pthread_cond_wait(&waiter->answered, &waiter->mutex);
    pthread_mutex_unlock(&waiter->mutex);
}

enum weir_err weir_actor_ask_wait(struct weir_actor_ref *ref, struct weir_message *question,
                                  int64_t timeout_ms, struct weir_message **answer_out,
                                  struct weir_error *error)
{
    struct waiter waiter = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                            .answered = PTHREAD_COND_INITIALIZER};
    struct weir_actor_ref *reply_to;
    enum weir_err err;

    weir_assert(question->type->reply_to != NULL);
    err = weir_actor_ask(ref->system, timeout_ms, wake_waiter, &waiter, &reply_to, error);
    if (err != WEIR_OK) {
        weir_message_drop(question);
        return err;
    }
    *question->type->reply_to(question) = weir_actor_ref_share(reply_to);
    weir_actor_tell(ref, question);
    await(&waiter, reply_to);
    weir_actor_ref_free(reply_to);
    if (waiter.answer != NULL)
        *answer_out = waiter.answer;
    else if (error != NULL)
        *error = waiter.error;
    return waiter.error.code;
}

/* ---- the stage ------------------------------------------------------------------------------- */

struct stage_question {
    const struct weir_flow_ask *ask;
    struct weir_flow_promise *promise;
};

static void keep_promise(void *opaque, struct weir_message *message, const struct weir_error *error)
{
    struct stage_question *question = opaque;
    struct weir_error failure = *error;
    void *element = NULL;
    enum weir_err err = error->code;

    if (message != NULL) {
        failure.message[0] = '\0';
        err = question->ask->element(question->ask->opaque, message, &element, &failure);
        failure.code = err;
    }
    if (err == WEIR_OK)
        weir_flow_promise_succeed(question->promise, element);
    else
        weir_flow_promise_fail(question->promise, &failure);
    weir_free(question);
}

static enum weir_err put(const struct weir_flow_ask *ask, void *element,
                         struct weir_flow_promise *promise, struct weir_error *error)
{
    struct weir_message *message = NULL;
    struct weir_actor_ref *reply_to;
    struct stage_question *question;
    enum weir_err err = ask->question(ask->opaque, element, &message, error);

    if (err != WEIR_OK)
        return err;
    weir_assert(message->type->reply_to != NULL);
    question = weir_alloc(sizeof *question);
    err = WEIR_NOMEM;
    if (question != NULL) {
        *question = (struct stage_question){ask, promise};
        err = weir_actor_ask(ask->ref->system, ask->timeout_ms, keep_promise, question, &reply_to,
                             error);
    }
    if (err != WEIR_OK) {
        weir_free(question);
        weir_message_drop(message);
        return err;
    }
    *message->type->reply_to(message) = reply_to;
    weir_actor_tell(ask->ref, message);
    return WEIR_OK;
}

static void stage_start(void *opaque, void *element, struct weir_flow_promise *promise)
{
    struct weir_error error = {.position = -1};
    enum weir_err err = put(opaque, element, promise, &error);

    if (err == WEIR_OK)
        return;
    error.code = err;
    weir_flow_promise_fail(promise, &error);
}

struct weir_flow_outlet weir_flow_ask(struct weir_flow_outlet in, const struct weir_flow_ask *ask,
                                      const struct weir_flow_kind *kind)
{
    struct weir_flow_ask *copy = weir_arena_alloc(&in.graph->arena, sizeof *copy);
    struct weir_flow_map_async map = {
        .parallelism = ask->parallelism, .start = stage_start, .opaque = copy};

    if (copy == NULL) {
        weir_flow_graph_fail(in.graph, WEIR_NOMEM, "flow: no memory for ask");
        return flow_no_outlet(in.graph);
    }
    *copy = *ask;
    return weir_flow_map_async(in, &map, kind);
}
