/*
 * An actor's turns: its mailbox, its state, its supervision.
 *
 *      STARTING --start--> RUNNING --failed--> RESTARTING --no children left--> STARTING
 *          `------------------`---------stop-------> STOPPING --no children left--> ended
 *
 * A turn goes one step of this, or takes up to `throughput` messages. Supervision is carried out by
 * the actor that failed, with the rules that it got from its parent: no message is needed, and
 * nothing can come between.
 */
#include <sched.h>
#include <string.h>

#include "base/alloc.h"
#include "flow/actor/inside.h"

/* ---- mailbox --------------------------------------------------------------------------------- */

static void link_in(struct actor_mailbox *mailbox, struct weir_message *message)
{
    struct weir_message *before;

    message->next = NULL;
    before = atomic_exchange_explicit(&mailbox->newest, message, memory_order_acq_rel);
    __atomic_store_n(&before->next, message, __ATOMIC_RELEASE);
}

/* NULL: empty, or the next one is not linked in yet; a wake follows then. */
static struct weir_message *take_out(struct actor_mailbox *mailbox)
{
    struct weir_message *oldest = mailbox->oldest;
    struct weir_message *next = __atomic_load_n(&oldest->next, __ATOMIC_ACQUIRE);

    if (oldest == &mailbox->stub) {
        if (next == NULL)
            return NULL;
        mailbox->oldest = oldest = next;
        next = __atomic_load_n(&oldest->next, __ATOMIC_ACQUIRE);
    }
    if (next == NULL) {
        if (oldest != atomic_load_explicit(&mailbox->newest, memory_order_acquire))
            return NULL;
        link_in(mailbox, &mailbox->stub);
        next = __atomic_load_n(&oldest->next, __ATOMIC_ACQUIRE);
        if (next == NULL)
            return NULL;
    }
    mailbox->oldest = next;
    atomic_fetch_sub_explicit(&mailbox->count, 1, memory_order_relaxed);
    return oldest;
}

/* `count` goes up before `closed` is looked at, so that whoever closes sees all who come. */
static enum weir_err cell_tell(struct weir_actor_ref *ref, struct weir_message *message)
{
    struct weir_actor *actor = actor_of(ref);
    struct actor_mailbox *mailbox = &actor->mailbox;
    bool full = atomic_fetch_add(&mailbox->count, 1) >= mailbox->capacity;

    if (full || atomic_load(&mailbox->closed)) {
        atomic_fetch_sub(&mailbox->count, 1);
        return atomic_load(&mailbox->closed) ? WEIR_CLOSED : WEIR_AGAIN;
    }
    link_in(mailbox, message);
    flow_wake(&actor->runnable);
    return WEIR_OK;
}

bool actor_tell_always(struct weir_actor_ref *ref, struct weir_message *message)
{
    struct weir_actor *actor = actor_of(ref);
    struct actor_mailbox *mailbox = &actor->mailbox;

    atomic_fetch_add(&mailbox->count, 1);
    if (atomic_load(&mailbox->closed)) {
        atomic_fetch_sub(&mailbox->count, 1);
        return false;
    }
    link_in(mailbox, message);
    flow_wake(&actor->runnable);
    return true;
}

void actor_put_back(struct weir_actor *actor, struct weir_message *message)
{
    struct actor_mailbox *mailbox = &actor->mailbox;

    message->next = mailbox->oldest;
    mailbox->oldest = message;
    atomic_fetch_add(&mailbox->count, 1);
}

static void close_mailbox(struct weir_actor *actor)
{
    struct actor_mailbox *mailbox = &actor->mailbox;

    atomic_store(&mailbox->closed, true);
    while (atomic_load(&mailbox->count) > 0) {
        struct weir_message *message = take_out(mailbox);
        if (message != NULL)
            actor_dead_letter(actor->ref.system, actor->ref.path, message, WEIR_CLOSED);
        else
            sched_yield(); /* somebody is between count and link */
    }
}

static void cell_stop(struct weir_actor_ref *ref)
{
    atomic_store(&actor_of(ref)->stop_asked, true);
    flow_wake(&actor_of(ref)->runnable);
}

static bool cell_is_stopped(const struct weir_actor_ref *ref)
{
    return atomic_load(&((const struct weir_actor *)ref)->mailbox.closed);
}

static uint32_t cell_pending(const struct weir_actor_ref *ref)
{
    return atomic_load_explicit(&((const struct weir_actor *)ref)->mailbox.count,
                                memory_order_relaxed);
}

static void cell_free(struct weir_actor_ref *ref)
{
    struct weir_actor *actor = actor_of(ref);

    if (actor->parent != NULL)
        weir_actor_ref_free(&actor->parent->ref);
    weir_free(actor);
}

const struct actor_ref_ops actor_cell_ops = {
    .tell = cell_tell,
    .stop = cell_stop,
    .is_stopped = cell_is_stopped,
    .pending = cell_pending,
    .free = cell_free,
};

/* ---- timers ---------------------------------------------------------------------------------- */

int64_t weir_actor_now_ns(const struct weir_actor *actor)
{
    return weir_clock_now_ns(actor->runnable.materializer->options.clock);
}

void weir_actor_timer_start(struct weir_actor *actor, uint32_t timer, int64_t delay_ms,
                            int64_t period_ms)
{
    weir_assert(timer < actor->ops->timer_count && delay_ms >= 0 && period_ms >= 0);
    actor->timers[timer] = (struct actor_timer){
        .due_ns = weir_actor_now_ns(actor) + delay_ms * WEIR_NS_PER_MS,
        .period_ns = period_ms * WEIR_NS_PER_MS,
    };
}

void weir_actor_timer_stop(struct weir_actor *actor, uint32_t timer)
{
    weir_assert(timer < actor->ops->timer_count);
    actor->timers[timer].due_ns = FLOW_NEVER;
}

static void stop_timers(struct weir_actor *actor)
{
    for (uint32_t i = 0; i < actor->ops->timer_count; i++)
        actor->timers[i].due_ns = FLOW_NEVER;
}

static int64_t actor_due_ns(const struct flow_runnable *runnable)
{
    const struct weir_actor *actor =
        (const struct weir_actor *)((const char *)runnable - offsetof(struct weir_actor, runnable));
    int64_t due_ns = FLOW_NEVER;

    if (actor->state == ACTOR_STARTING)
        return actor->start_ns;
    if (actor->state == ACTOR_RUNNING)
        for (uint32_t i = 0; i < actor->ops->timer_count; i++)
            if (actor->timers[i].due_ns < due_ns)
                due_ns = actor->timers[i].due_ns;
    return due_ns;
}

/* ---- supervision ----------------------------------------------------------------------------- */

static void stop_children(struct weir_actor *actor)
{
    pthread_mutex_lock(&actor->ref.system->mutex);
    actor_list_stop(&actor->children);
    pthread_mutex_unlock(&actor->ref.system->mutex);
}

static void begin_stop(struct weir_actor *actor)
{
    actor->state = ACTOR_STOPPING;
    stop_children(actor);
}

/* Within the limits? Says how long to wait. */
static bool may_restart(struct weir_actor *actor, int64_t *wait_ms_out)
{
    const struct weir_actor_supervision *rules = &actor->supervision;
    int64_t now_ns = weir_actor_now_ns(actor), ran_ns = now_ns - actor->start_ns;
    int64_t wait_ms;

    if (actor->restarts == 0 || now_ns - actor->window_ns > rules->within_ms * WEIR_NS_PER_MS) {
        actor->window_ns = now_ns;
        actor->restarts = 0;
    }
    if (rules->restarts_max > 0 && actor->restarts >= rules->restarts_max)
        return false;
    actor->restarts++;
    *wait_ms_out = 0;
    if (rules->backoff_min_ms == 0)
        return true;
    if (ran_ns >= rules->backoff_max_ms * WEIR_NS_PER_MS)
        actor->backoffs = 0;
    wait_ms = rules->backoff_max_ms;
    if (actor->backoffs < 32 && rules->backoff_min_ms << actor->backoffs < wait_ms)
        wait_ms = rules->backoff_min_ms << actor->backoffs;
    actor->backoffs++;
    wait_ms +=
        (int64_t)((double)wait_ms * rules->backoff_random * weir_random_double(&actor->random));
    *wait_ms_out = wait_ms;
    return true;
}

static void failed(struct weir_actor *actor, enum weir_err err, const struct weir_error *error)
{
    static const char *const words[] = {"stops", "goes on", "restarts"};
    const struct weir_actor_supervision *rules = &actor->supervision;
    enum weir_actor_directive directive = rules->directive;
    struct weir_error why = *error;
    int64_t wait_ms = 0;

    why.code = err;
    if (rules->decide != NULL)
        directive = rules->decide(rules->opaque, &why);
    if (directive == WEIR_ACTOR_RESUME && !actor->is_started)
        directive = WEIR_ACTOR_STOP;
    if (directive == WEIR_ACTOR_RESTART && !may_restart(actor, &wait_ms))
        directive = WEIR_ACTOR_STOP;
    weir_log(&actor->ref.system->options.log, WEIR_LOG_WARN, "actor", "%s failed and %s: %s%s%s",
             actor->ref.path, words[directive], weir_err_name(err),
             why.message[0] == '\0' ? "" : ": ", why.message);
    if (directive == WEIR_ACTOR_STOP) {
        begin_stop(actor);
    } else if (directive == WEIR_ACTOR_RESTART) {
        actor->state = ACTOR_RESTARTING;
        actor->start_ns = weir_actor_now_ns(actor) + wait_ms * WEIR_NS_PER_MS;
        stop_children(actor);
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void start(struct weir_actor *actor)
{
    struct weir_error error = {.position = -1};
    enum weir_err err = WEIR_OK;

    memset(actor->self, 0, actor->ops->self_bytes);
    actor->start_ns = weir_actor_now_ns(actor);
    if (actor->ops->start != NULL)
        err = actor->ops->start(actor->self, actor, &error);
    if (err == WEIR_OK) {
        actor->is_started = true;
        actor->state = ACTOR_RUNNING;
    } else {
        failed(actor, err, &error);
    }
}

/* No children are left: the state ends. */
static void end_state(struct weir_actor *actor, bool restarting)
{
    stop_timers(actor);
    if (actor->is_started && actor->ops->stop != NULL)
        actor->ops->stop(actor->self, actor, restarting);
    actor->is_started = false;
}

static bool goes_on(const struct weir_actor *actor)
{
    return actor->state == ACTOR_RUNNING && !atomic_load(&actor->stop_asked);
}

static void fire_timers(struct weir_actor *actor)
{
    int64_t now_ns;

    if (actor->ops->timer_count == 0 || actor_due_ns(&actor->runnable) == FLOW_NEVER)
        return;
    now_ns = weir_actor_now_ns(actor);
    for (uint32_t i = 0; i < actor->ops->timer_count && goes_on(actor); i++) {
        struct actor_timer *timer = &actor->timers[i];
        struct weir_error error = {.position = -1};
        enum weir_err err;
        if (timer->due_ns > now_ns)
            continue;
        if (timer->period_ns > 0) /* late: it fires once and keeps its rhythm */
            timer->due_ns += ((now_ns - timer->due_ns) / timer->period_ns + 1) * timer->period_ns;
        else
            timer->due_ns = FLOW_NEVER;
        err = actor->ops->on_timer(actor->self, actor, i, &error);
        if (err != WEIR_OK)
            failed(actor, err, &error);
    }
}

static void take_notices(struct weir_actor *actor)
{
    struct weir_actor *watched;

    while (goes_on(actor) && actor_next_notice(actor, &watched)) {
        struct weir_error error = {.position = -1};
        enum weir_err err = actor->ops->on_terminated(actor->self, actor, &watched->ref, &error);
        weir_actor_ref_free(&watched->ref);
        if (err != WEIR_OK)
            failed(actor, err, &error);
    }
}

static void receive(struct weir_actor *actor, struct weir_message *message)
{
    struct weir_error error;
    enum weir_err err;

    error.position = -1;
    error.message[0] = '\0';
    actor->in_hand = message;
    actor->taken = false;
    err = actor->ops->receive(actor->self, actor, message, &error);
    actor->in_hand = NULL;
    if (!actor->taken)
        weir_message_drop(message);
    if (weir_unlikely(err != WEIR_OK))
        failed(actor, err, &error);
}

static enum flow_turn run(struct weir_actor *actor)
{
    uint32_t left = actor->ref.system->options.throughput;

    if (weir_unlikely(actor->runnable.materializer->options.fuzzing))
        left = 1 + weir_random_below(&actor->random, left);
    fire_timers(actor);
    if (weir_unlikely(atomic_load(&actor->has_notices)))
        take_notices(actor);
    for (; left > 0 && goes_on(actor); left--) {
        struct weir_message *message = take_out(&actor->mailbox);
        if (message == NULL)
            return FLOW_IDLE_NOW;
        receive(actor, message);
    }
    return FLOW_MORE_TO_DO;
}

static enum flow_turn actor_turn(struct flow_runnable *runnable)
{
    struct weir_actor *actor =
        (struct weir_actor *)((char *)runnable - offsetof(struct weir_actor, runnable));

    /* Who awaits an answer starts in any case: its `stop` says that none came. */
    if (weir_unlikely(atomic_load(&actor->stop_asked)) && actor->state != ACTOR_STOPPING &&
        !(actor->is_ask && actor->state == ACTOR_STARTING))
        begin_stop(actor);
    switch (actor->state) {
    case ACTOR_STARTING:
        if (actor->start_ns > weir_actor_now_ns(actor))
            return FLOW_IDLE_NOW;
        start(actor);
        return FLOW_MORE_TO_DO;
    case ACTOR_RUNNING:
        return run(actor);
    case ACTOR_RESTARTING:
        if (actor_has_children(actor))
            return FLOW_IDLE_NOW;
        end_state(actor, true);
        actor->state = ACTOR_STARTING;
        return FLOW_MORE_TO_DO;
    case ACTOR_STOPPING:
        if (actor_has_children(actor))
            return FLOW_IDLE_NOW;
        end_state(actor, false);
        close_mailbox(actor);
        actor_forget_watches(actor);
        actor_sign_off(actor);
        return FLOW_ENDED;
    }
    return FLOW_IDLE_NOW;
}

static void actor_ended(struct flow_runnable *runnable)
{
    struct weir_actor *actor =
        (struct weir_actor *)((char *)runnable - offsetof(struct weir_actor, runnable));
    struct weir_actor_system *system = actor->ref.system;

    if (system->awaited == actor)
        system->awaited_count = 0;
    if (--system->alive == 0 || system->awaited_count == 0)
        pthread_cond_broadcast(&system->materializer->ended);
    weir_actor_ref_free(&actor->ref);
}

const struct flow_runnable_ops actor_runnable_ops = {
    .turn = actor_turn,
    .due_ns = actor_due_ns,
    .ended = actor_ended,
};

/* ---- inside an actor's functions ------------------------------------------------------------- */

struct weir_actor_ref *weir_actor_self(struct weir_actor *actor)
{
    return &actor->ref;
}

struct weir_actor_system *weir_actor_system(struct weir_actor *actor)
{
    return actor->ref.system;
}

const void *weir_actor_config(const struct weir_actor *actor)
{
    return actor->config;
}

void weir_actor_take(struct weir_actor *actor)
{
    weir_assert(actor->in_hand != NULL && !actor->taken);
    actor->taken = true;
}

void weir_actor_unhandled(struct weir_actor *actor)
{
    weir_actor_take(actor);
    actor_dead_letter(actor->ref.system, actor->ref.path, actor->in_hand, WEIR_UNSUPPORTED);
}

void weir_actor_stop_self(struct weir_actor *actor)
{
    atomic_store(&actor->stop_asked, true);
}
