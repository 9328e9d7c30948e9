/*
 * Routers: refs that choose among others on the teller's thread. No mailbox, no turn; the routees
 * never change, those that have stopped are passed over.
 *
 * CONSISTENT_HASH is rendezvous hashing: each routee is given a number from the message's hash and
 * its own place, the highest wins; when one stops, only its messages move.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "flow/actor/inside.h"

enum { ROUTEES_MAX = 65536 };

struct router {
    struct weir_actor_ref ref;
    struct weir_router_options options;
    _Atomic uint64_t turn; /* ROUND_ROBIN; the random state otherwise */
    char path[WEIR_ACTOR_PATH_MAX + 2];
    uint32_t count;
    struct weir_actor_ref *routees[];
};

static struct router *router_of(struct weir_actor_ref *ref)
{
    return (struct router *)ref;
}

static uint64_t next_random(struct router *router)
{
    struct weir_random random = {atomic_fetch_add_explicit(
        &router->turn, UINT64_C(0x9e3779b97f4a7c15), memory_order_relaxed)};
    return weir_random_next(&random);
}

/* ---- one of them ----------------------------------------------------------------------------- */

/* From place `first` on the first one that takes it. */
static enum weir_err tell_from(struct router *router, uint32_t first, struct weir_message *message)
{
    enum weir_err err = WEIR_CLOSED;

    for (uint32_t i = 0; i < router->count; i++) {
        enum weir_err one =
            weir_actor_try_tell(router->routees[(first + i) % router->count], message);
        if (one == WEIR_OK)
            return WEIR_OK;
        if (one == WEIR_AGAIN)
            err = WEIR_AGAIN;
    }
    return err;
}

static uint32_t smallest(struct router *router)
{
    uint32_t best = 0, fewest = UINT32_MAX;

    for (uint32_t i = 0; i < router->count; i++) {
        uint32_t pending;
        if (weir_actor_ref_is_stopped(router->routees[i]))
            continue;
        pending = weir_actor_ref_pending(router->routees[i]);
        if (pending < fewest) {
            fewest = pending;
            best = i;
        }
    }
    return best;
}

static enum weir_err tell_by_hash(struct router *router, struct weir_message *message)
{
    uint64_t hash = router->options.hash(router->options.opaque, message), highest = 0;
    struct weir_actor_ref *chosen = NULL;

    for (uint32_t i = 0; i < router->count; i++) {
        struct weir_random random = {hash ^ (i + 1) * UINT64_C(0xd6e8feb86659fd93)};
        uint64_t rank = weir_random_next(&random);
        if (weir_actor_ref_is_stopped(router->routees[i]) || (chosen != NULL && rank <= highest))
            continue;
        highest = rank;
        chosen = router->routees[i];
    }
    return chosen != NULL ? weir_actor_try_tell(chosen, message) : WEIR_CLOSED;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static struct weir_message *shared(struct router *router, struct weir_message *message)
{
    weir_assert(message->type->share != NULL);
    struct weir_message *copy = message->type->share(message);

    if (copy == NULL) {
        atomic_fetch_add_explicit(&router->ref.system->dead_letters, 1, memory_order_relaxed);
        if (router->ref.system->options.on_dead_letter != NULL)
            router->ref.system->options.on_dead_letter(router->ref.system->options.opaque,
                                                       router->path, message, WEIR_NOMEM);
    }
    return copy;
}

/* The last one that lives gets the message itself. */
static enum weir_err tell_all(struct router *router, struct weir_message *message)
{
    uint32_t last = router->count;

    for (uint32_t i = 0; i < router->count; i++)
        if (!weir_actor_ref_is_stopped(router->routees[i]))
            last = i;
    if (last == router->count)
        return WEIR_CLOSED;
    for (uint32_t i = 0; i < last; i++)
        if (!weir_actor_ref_is_stopped(router->routees[i])) {
            struct weir_message *copy = shared(router, message);
            if (copy != NULL)
                weir_actor_tell(router->routees[i], copy);
        }
    weir_actor_tell(router->routees[last], message);
    return WEIR_OK;
}

/* ---- the first answer ------------------------------------------------------------------------ */

/* An actor a question: asks the routees, all at once or one after the other, and hands on the first
 * answer. */
struct race_config {
    struct router *router; /* a reference, freed by `stop` */
    struct weir_message *question;
    struct weir_actor_ref *reply_to; /* taken out of the question; may be NULL */
};

struct race_self {
    uint32_t asked, first;
    bool over;
};

enum { RACE_END, RACE_NEXT };

static enum weir_err race_ask(struct race_self *race, struct weir_actor *actor, uint32_t count)
{
    const struct race_config *config = weir_actor_config(actor);
    struct router *router = config->router;

    for (; count > 0 && race->asked < router->count; race->asked++) {
        struct weir_actor_ref *routee =
            router->routees[(race->first + race->asked) % router->count];
        struct weir_message *copy;
        if (weir_actor_ref_is_stopped(routee))
            continue;
        copy = shared(router, config->question);
        if (copy == NULL)
            continue;
        *copy->type->reply_to(copy) = weir_actor_ref_share(weir_actor_self(actor));
        weir_actor_tell(routee, copy);
        count--;
    }
    return WEIR_OK;
}

static enum weir_err race_start(void *self, struct weir_actor *actor, struct weir_error *error)
{
    const struct race_config *config = weir_actor_config(actor);
    const struct weir_router_options *options = &config->router->options;
    struct race_self *race = self;

    (void)error;
    weir_actor_timer_start(actor, RACE_END, options->within_ms, 0);
    if (options->logic == WEIR_ROUTER_SCATTER_GATHER_FIRST)
        return race_ask(race, actor, UINT32_MAX);
    race->first = (uint32_t)(next_random(config->router) % config->router->count);
    weir_actor_timer_start(actor, RACE_NEXT, options->interval_ms, options->interval_ms);
    return race_ask(race, actor, 1);
}

static void hand_on(struct weir_actor *actor, struct race_self *race, struct weir_message *answer)
{
    const struct race_config *config = weir_actor_config(actor);

    race->over = true;
    weir_actor_stop_self(actor);
    if (config->reply_to != NULL)
        weir_actor_tell(config->reply_to, answer);
    else
        weir_message_drop(answer);
}

static void hand_on_failure(struct weir_actor *actor, struct race_self *race, enum weir_err why,
                            const char *text)
{
    const struct race_config *config = weir_actor_config(actor);
    struct weir_actor_failure *failure;

    race->over = true;
    weir_actor_stop_self(actor);
    failure = config->reply_to != NULL ? weir_calloc(1, sizeof *failure) : NULL;
    if (failure == NULL) /* whoever asked has a time of its own */
        return;
    failure->message.type = &weir_actor_failure_type;
    weir_error_set(&failure->error, why, -1, "%s: %s", config->router->path, text);
    weir_actor_tell(config->reply_to, &failure->message);
}

static enum weir_err race_receive(void *self, struct weir_actor *actor,
                                  struct weir_message *message, struct weir_error *error)
{
    (void)error;
    weir_actor_take(actor);
    hand_on(actor, self, message);
    return WEIR_OK;
}

static enum weir_err race_on_timer(void *self, struct weir_actor *actor, uint32_t timer,
                                   struct weir_error *error)
{
    struct race_self *race = self;

    (void)error;
    if (race->over)
        return WEIR_OK;
    if (timer == RACE_NEXT)
        return race_ask(race, actor, 1);
    hand_on_failure(actor, race, WEIR_TIMEOUT, "no routee answered in time");
    return WEIR_OK;
}

static void race_stop(void *self, struct weir_actor *actor, bool restarting)
{
    const struct race_config *config = weir_actor_config(actor);
    struct race_self *race = self;

    (void)restarting;
    if (!race->over)
        hand_on_failure(actor, race, WEIR_CLOSED, "the system stopped");
    weir_message_drop(config->question);
    weir_actor_ref_free(config->reply_to);
    weir_actor_ref_free(&config->router->ref);
}

static const struct weir_actor_ops race_ops = {
    .abi = WEIR_ACTOR_ABI,
    .name = "first answer",
    .self_bytes = sizeof(struct race_self),
    .timer_count = 2,
    .start = race_start,
    .receive = race_receive,
    .on_timer = race_on_timer,
    .stop = race_stop,
};

static enum weir_err begin_race(struct router *router, struct weir_message *message)
{
    struct weir_actor_ref **place;
    struct race_config config = {.router = router, .question = message};
    const struct weir_actor_options options = {
        .config = &config, .config_bytes = sizeof config, .mailbox = 1};
    enum weir_err err;

    weir_assert(message->type->share != NULL && message->type->reply_to != NULL);
    place = message->type->reply_to(message);
    config.reply_to = *place;
    *place = NULL;
    weir_actor_ref_share(&router->ref);
    err = actor_spawn(router->ref.system, NULL, &race_ops, &options, true, NULL, NULL);
    if (err != WEIR_OK) {
        *place = config.reply_to;
        weir_actor_ref_free(&router->ref);
        return err == WEIR_CLOSED ? WEIR_CLOSED : WEIR_AGAIN;
    }
    return WEIR_OK;
}

/* ---- the ref --------------------------------------------------------------------------------- */

static bool router_is_stopped(const struct weir_actor_ref *ref)
{
    const struct router *router = (const struct router *)ref;

    for (uint32_t i = 0; i < router->count; i++)
        if (!weir_actor_ref_is_stopped(router->routees[i]))
            return false;
    return true;
}

static enum weir_err router_tell(struct weir_actor_ref *ref, struct weir_message *message)
{
    struct router *router = router_of(ref);

    switch (router->options.logic) {
    case WEIR_ROUTER_ROUND_ROBIN:
        return tell_from(
            router,
            (uint32_t)(atomic_fetch_add_explicit(&router->turn, 1, memory_order_relaxed) %
                       router->count),
            message);
    case WEIR_ROUTER_RANDOM:
        return tell_from(router, (uint32_t)(next_random(router) % router->count), message);
    case WEIR_ROUTER_SMALLEST_MAILBOX:
        return tell_from(router, smallest(router), message);
    case WEIR_ROUTER_BROADCAST:
        return tell_all(router, message);
    case WEIR_ROUTER_CONSISTENT_HASH:
        return tell_by_hash(router, message);
    case WEIR_ROUTER_SCATTER_GATHER_FIRST:
    case WEIR_ROUTER_TAIL_CHOPPING:
        return router_is_stopped(ref) ? WEIR_CLOSED : begin_race(router, message);
    }
    return WEIR_CLOSED;
}

static void router_stop(struct weir_actor_ref *ref)
{
    struct router *router = router_of(ref);

    for (uint32_t i = 0; i < router->count; i++)
        weir_actor_stop(router->routees[i]);
}

static uint32_t router_pending(const struct weir_actor_ref *ref)
{
    const struct router *router = (const struct router *)ref;
    uint32_t pending = 0;

    for (uint32_t i = 0; i < router->count; i++)
        pending += weir_actor_ref_pending(router->routees[i]);
    return pending;
}

static void router_free(struct weir_actor_ref *ref)
{
    struct router *router = router_of(ref);

    for (uint32_t i = 0; i < router->count; i++)
        weir_actor_ref_free(router->routees[i]);
    weir_free(router);
}

static const struct actor_ref_ops router_ops = {
    .tell = router_tell,
    .stop = router_stop,
    .is_stopped = router_is_stopped,
    .pending = router_pending,
    .free = router_free,
};

static enum weir_err check(const struct weir_router_options *options, uint32_t count,
                           struct weir_error *error)
{
    bool races = options->logic == WEIR_ROUTER_SCATTER_GATHER_FIRST ||
                 options->logic == WEIR_ROUTER_TAIL_CHOPPING;

    if (count == 0 || count > ROUTEES_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "router: 1 to %d routees", ROUTEES_MAX);
    if (options->logic > WEIR_ROUTER_TAIL_CHOPPING)
        return weir_error_set(error, WEIR_INVALID, -1, "router: there is no such logic");
    if (options->logic == WEIR_ROUTER_CONSISTENT_HASH && options->hash == NULL)
        return weir_error_set(error, WEIR_INVALID, -1, "router: CONSISTENT_HASH needs hash");
    if (races && options->within_ms <= 0)
        return weir_error_set(error, WEIR_INVALID, -1, "router: the first answer needs within_ms");
    if (options->logic == WEIR_ROUTER_TAIL_CHOPPING && options->interval_ms <= 0)
        return weir_error_set(error, WEIR_INVALID, -1, "router: TAIL_CHOPPING needs interval_ms");
    return WEIR_OK;
}

enum weir_err weir_router_new(struct weir_actor_system *system,
                              const struct weir_router_options *options,
                              struct weir_actor_ref *const *routees, uint32_t count,
                              struct weir_actor_ref **router_out, struct weir_error *error)
{
    enum weir_err err = check(options, count, error);
    struct router *router;

    if (err != WEIR_OK)
        return err;
    router = weir_calloc(1, sizeof *router + count * sizeof(struct weir_actor_ref *));
    if (router == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "router: no memory for %u routees", count);
    actor_ref_init(&router->ref, &router_ops, system);
    snprintf(router->path, sizeof router->path, "%s",
             options->name != NULL ? options->name : "router");
    router->ref.path = router->path;
    router->options = *options;
    router->options.name = router->path;
    if (options->logic != WEIR_ROUTER_ROUND_ROBIN)
        atomic_store_explicit(&router->turn, options->seed, memory_order_relaxed);
    router->count = count;
    for (uint32_t i = 0; i < count; i++)
        router->routees[i] = weir_actor_ref_share(routees[i]);
    *router_out = &router->ref;
    return WEIR_OK;
}

/* ---- pools ----------------------------------------------------------------------------------- */

static enum weir_err spawn_routees(struct weir_actor *actor, const struct weir_actor_ops *ops,
                                   const struct weir_actor_options *options, uint32_t count,
                                   struct weir_actor_ref **routees, struct weir_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        struct weir_actor_options one = *options;
        char name[WEIR_ACTOR_NAME_MAX + 16];
        enum weir_err err;
        snprintf(name, sizeof name, "%.*s-%u", WEIR_ACTOR_NAME_MAX, options->name, i + 1);
        one.name = name;
        err = weir_actor_spawn_child(actor, ops, &one, &routees[i], error);
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

enum weir_err weir_router_spawn_pool(struct weir_actor *actor, const struct weir_actor_ops *ops,
                                     const struct weir_actor_options *options, uint32_t count,
                                     const struct weir_router_options *router,
                                     struct weir_actor_ref **router_out, struct weir_error *error)
{
    struct weir_actor_ref **routees;
    enum weir_err err = check(router, count, error);

    if (err != WEIR_OK)
        return err;
    if (options == NULL || options->name == NULL)
        return weir_error_set(error, WEIR_INVALID, -1, "router: a pool needs a name");
    routees = weir_calloc(count, sizeof(struct weir_actor_ref *));
    if (routees == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "router: no memory for %u routees", count);
    err = spawn_routees(actor, ops, options, count, routees, error);
    if (err == WEIR_OK)
        err = weir_router_new(weir_actor_system(actor), router, routees, count, router_out, error);
    for (uint32_t i = 0; i < count; i++) {
        if (err != WEIR_OK && routees[i] != NULL)
            weir_actor_stop(routees[i]);
        weir_actor_ref_free(routees[i]);
    }
    weir_free(routees);
    return err;
}
