/* Actor systems: refs, names, starting actors, stopping all, dead letters. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "flow/actor/inside.h"

/* ---- messages and refs ----------------------------------------------------------------------- */

void weir_message_drop(struct weir_message *message)
{
    if (message != NULL)
        message->type->drop(message);
}

void actor_ref_init(struct weir_actor_ref *ref, const struct actor_ref_ops *ops,
                    struct weir_actor_system *system)
{
    ref->ops = ops;
    ref->system = system;
    atomic_store_explicit(&ref->references, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&system->ref_count, 1, memory_order_relaxed);
}

struct weir_actor_ref *weir_actor_ref_share(const struct weir_actor_ref *ref)
{
    struct weir_actor_ref *shared = (struct weir_actor_ref *)(uintptr_t)ref;

    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared;
}

void weir_actor_ref_free(struct weir_actor_ref *ref)
{
    struct weir_actor_system *system;

    if (ref == NULL || atomic_fetch_sub_explicit(&ref->references, 1, memory_order_acq_rel) > 1)
        return;
    system = ref->system;
    ref->ops->free(ref);
    atomic_fetch_sub_explicit(&system->ref_count, 1, memory_order_release);
}

const char *weir_actor_ref_path(const struct weir_actor_ref *ref)
{
    return ref->path;
}

bool weir_actor_ref_is_stopped(const struct weir_actor_ref *ref)
{
    return ref->ops->is_stopped(ref);
}

uint32_t weir_actor_ref_pending(const struct weir_actor_ref *ref)
{
    return ref->ops->pending(ref);
}

void actor_dead_letter(struct weir_actor_system *system, const char *to,
                       struct weir_message *message, enum weir_err why)
{
    const struct weir_actor_system_options *options = &system->options;

    atomic_fetch_add_explicit(&system->dead_letters, 1, memory_order_relaxed);
    if (options->on_dead_letter != NULL)
        options->on_dead_letter(options->opaque, to, message, why);
    weir_message_drop(message);
}

enum weir_err weir_actor_try_tell(struct weir_actor_ref *ref, struct weir_message *message)
{
    return ref->ops->tell(ref, message);
}

void weir_actor_tell(struct weir_actor_ref *ref, struct weir_message *message)
{
    enum weir_err err = ref->ops->tell(ref, message);

    if (weir_unlikely(err != WEIR_OK))
        actor_dead_letter(ref->system, ref->path, message, err == WEIR_AGAIN ? WEIR_LIMIT : err);
}

void weir_actor_stop(struct weir_actor_ref *ref)
{
    ref->ops->stop(ref);
}

/* ---- lists of children; under the mutex ------------------------------------------------------ */

static void list_add(struct actor_list *list, struct weir_actor *actor)
{
    actor->previous = list->last;
    actor->next = NULL;
    if (list->last != NULL)
        list->last->next = actor;
    else
        list->first = actor;
    list->last = actor;
}

static void list_remove(struct actor_list *list, struct weir_actor *actor)
{
    if (actor->previous != NULL)
        actor->previous->next = actor->next;
    else
        list->first = actor->next;
    if (actor->next != NULL)
        actor->next->previous = actor->previous;
    else
        list->last = actor->previous;
}

void actor_list_stop(struct actor_list *list)
{
    for (struct weir_actor *actor = list->last; actor != NULL; actor = actor->previous)
        weir_actor_stop(&actor->ref);
}

static struct actor_list *list_of(struct weir_actor *actor)
{
    if (actor->parent != NULL)
        return &actor->parent->children;
    return actor->is_ask ? &actor->ref.system->asks : &actor->ref.system->top;
}

bool actor_has_children(struct weir_actor *actor)
{
    bool has;

    pthread_mutex_lock(&actor->ref.system->mutex);
    has = actor->children.first != NULL;
    pthread_mutex_unlock(&actor->ref.system->mutex);
    return has;
}

static struct weir_slice path_of(const struct weir_actor *actor)
{
    return weir_slice(actor->ref.path, strlen(actor->ref.path));
}

void actor_sign_off(struct weir_actor *actor)
{
    struct weir_actor_system *system = actor->ref.system;

    pthread_mutex_lock(&system->mutex);
    if (!actor->is_ask)
        weir_map_remove(&system->registry, path_of(actor), NULL);
    list_remove(list_of(actor), actor);
    actor_tell_watchers(actor);
    if (actor->parent != NULL)
        flow_wake(&actor->parent->runnable);
    pthread_mutex_unlock(&system->mutex);
}

/* ---- starting -------------------------------------------------------------------------------- */

void weir_actor_options_default(struct weir_actor_options *options)
{
    *options = (struct weir_actor_options){.mailbox = 1024};
}

static bool is_name(const char *name)
{
    static const char others[] = "-_.*$+:@&=,!~'";
    size_t bytes = strlen(name);

    if (bytes == 0 || bytes > WEIR_ACTOR_NAME_MAX || name[0] == '$')
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              strchr(others, *c) != NULL))
            return false;
    return true;
}

static enum weir_err check(const struct weir_actor_ops *ops,
                           const struct weir_actor_options *options, struct weir_error *error)
{
    const struct weir_actor_supervision *rules = &options->supervision;

    if (ops->abi != WEIR_ACTOR_ABI || ops->receive == NULL || ops->name == NULL)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "actor: a behaviour needs abi, name and receive");
    if (ops->timer_count > WEIR_ACTOR_TIMERS_MAX || (ops->timer_count > 0 && ops->on_timer == NULL))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "actor: behaviour %s: at most %d timers, and on_timer with them",
                              ops->name, WEIR_ACTOR_TIMERS_MAX);
    if (options->name != NULL && !is_name(options->name))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "actor: \"%.*s\" is no name: 1 to %d letters, digits and "
                              "-_.*$+:@&=,!~', and no $ in front",
                              WEIR_ACTOR_NAME_MAX, options->name, WEIR_ACTOR_NAME_MAX);
    if (options->mailbox == 0 || options->mailbox > INT32_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "actor: a mailbox takes 1 to %d messages",
                              INT32_MAX);
    if (rules->within_ms < 0 || rules->backoff_min_ms < 0 ||
        rules->backoff_max_ms < rules->backoff_min_ms || !(rules->backoff_random >= 0))
        return weir_error_set(error, WEIR_INVALID, -1,
                              "actor: supervision: times are not negative, and backoff_max_ms "
                              "is not below backoff_min_ms");
    return WEIR_OK;
}

static size_t rounded(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

/* One allocation: the actor, its timers, state, config, path. */
static struct weir_actor *make(struct weir_actor_system *system, struct weir_actor *parent,
                               const struct weir_actor_ops *ops,
                               const struct weir_actor_options *options, const char *path)
{
    size_t timers = rounded(sizeof(struct weir_actor));
    size_t self = timers + rounded(ops->timer_count * sizeof(struct actor_timer));
    size_t config = self + rounded(ops->self_bytes);
    size_t text = config + rounded(options->config_bytes);
    char *memory = weir_calloc(1, text + strlen(path) + 1);
    struct weir_actor *actor = (struct weir_actor *)(void *)memory;

    if (actor == NULL)
        return NULL;
    actor_ref_init(&actor->ref, &actor_cell_ops, system);
    actor->ref.path = memcpy(memory + text, path, strlen(path) + 1);
    flow_runnable_init(&actor->runnable, &actor_runnable_ops, system->materializer);
    actor->ops = ops;
    actor->timers = (struct actor_timer *)(void *)(memory + timers);
    for (uint32_t i = 0; i < ops->timer_count; i++)
        actor->timers[i].due_ns = FLOW_NEVER;
    actor->self = memory + self;
    if (options->config_bytes > 0)
        actor->config = memcpy(memory + config, options->config, options->config_bytes);
    actor->mailbox.oldest = &actor->mailbox.stub;
    atomic_store_explicit(&actor->mailbox.newest, &actor->mailbox.stub, memory_order_relaxed);
    actor->mailbox.capacity = options->mailbox;
    actor->supervision = options->supervision;
    if (parent != NULL)
        actor->parent = actor_of(weir_actor_ref_share(&parent->ref));
    return actor;
}

/* Under the mutex: the first turn may come. Only now is the actor the dispatcher's. */
static enum weir_err enter(struct weir_actor *actor)
{
    struct weir_actor_system *system = actor->ref.system;
    struct weir_flow_materializer *materializer = system->materializer;
    enum weir_err err = WEIR_LIMIT;

    pthread_mutex_lock(&materializer->mutex);
    if (system->alive < system->options.actors_max)
        err = flow_enter(&actor->runnable);
    if (err == WEIR_OK) {
        system->alive++;
        flow_schedule_first(&actor->runnable);
    }
    pthread_mutex_unlock(&materializer->mutex);
    return err;
}

/* Under the mutex. */
static enum weir_err register_actor(struct weir_actor *actor)
{
    struct weir_actor_system *system = actor->ref.system;
    struct weir_map_entry *entry = NULL;
    bool added = true;
    enum weir_err err = WEIR_OK;

    if (system->stopping && actor->parent == NULL)
        return WEIR_CLOSED;
    if (!actor->is_ask)
        err = weir_map_add(&system->registry, path_of(actor), &entry, &added);
    if (err != WEIR_OK)
        return err;
    if (!added)
        return WEIR_EXISTS;
    if (entry != NULL)
        entry->value.pointer = actor;
    list_add(list_of(actor), actor);
    actor->random.state = weir_random_next(&system->random);
    err = enter(actor);
    if (err != WEIR_OK) {
        list_remove(list_of(actor), actor);
        if (entry != NULL)
            weir_map_remove(&system->registry, path_of(actor), NULL);
    }
    return err;
}

enum weir_err actor_spawn(struct weir_actor_system *system, struct weir_actor *parent,
                          const struct weir_actor_ops *ops,
                          const struct weir_actor_options *options, bool is_ask,
                          struct weir_actor_ref **ref_out, struct weir_error *error)
{
    const char *above = parent != NULL ? parent->ref.path : "";
    char path[WEIR_ACTOR_PATH_MAX + 2];
    struct weir_actor *actor;
    enum weir_err err;
    int bytes;

    pthread_mutex_lock(&system->mutex);
    bytes = options->name != NULL
                ? snprintf(path, sizeof path, "%s/%s", above, options->name)
                : snprintf(path, sizeof path, "%s/$%llu", is_ask ? "/temp" : above,
                           (unsigned long long)++system->names);
    if (bytes > WEIR_ACTOR_PATH_MAX) {
        pthread_mutex_unlock(&system->mutex);
        return weir_error_set(error, WEIR_LIMIT, -1,
                              "actor: the path %.60s... is too long: at "
                              "most %d bytes",
                              path, WEIR_ACTOR_PATH_MAX);
    }
    actor = make(system, parent, ops, options, path);
    if (actor != NULL)
        actor->is_ask = is_ask;
    err = actor != NULL ? register_actor(actor) : WEIR_NOMEM;
    if (err == WEIR_OK && ref_out != NULL)
        *ref_out = weir_actor_ref_share(&actor->ref);
    pthread_mutex_unlock(&system->mutex);
    if (err == WEIR_OK)
        return WEIR_OK;
    if (actor != NULL)
        weir_actor_ref_free(&actor->ref);
    return weir_error_set(error, err, -1, "actor: %s cannot be started: %s", path,
                          err == WEIR_EXISTS   ? "there is one of this name"
                          : err == WEIR_CLOSED ? "the system is stopping"
                          : err == WEIR_LIMIT  ? "there are actors_max actors"
                                               : "no memory");
}

static enum weir_err spawn_checked(struct weir_actor_system *system, struct weir_actor *parent,
                                   const struct weir_actor_ops *ops,
                                   const struct weir_actor_options *options,
                                   struct weir_actor_ref **ref_out, struct weir_error *error)
{
    struct weir_actor_options chosen;
    enum weir_err err;

    weir_actor_options_default(&chosen);
    if (options != NULL)
        chosen = *options;
    err = check(ops, &chosen, error);
    if (err != WEIR_OK)
        return err;
    return actor_spawn(system, parent, ops, &chosen, false, ref_out, error);
}

enum weir_err weir_actor_spawn(struct weir_actor_system *system, const struct weir_actor_ops *ops,
                               const struct weir_actor_options *options,
                               struct weir_actor_ref **ref_out, struct weir_error *error)
{
    return spawn_checked(system, NULL, ops, options, ref_out, error);
}

enum weir_err weir_actor_spawn_child(struct weir_actor *actor, const struct weir_actor_ops *ops,
                                     const struct weir_actor_options *options,
                                     struct weir_actor_ref **ref_out, struct weir_error *error)
{
    if (actor->state != ACTOR_RUNNING && actor->state != ACTOR_STARTING)
        return weir_error_set(error, WEIR_CLOSED, -1, "actor: %s is stopping: no new children",
                              actor->ref.path);
    return spawn_checked(actor->ref.system, actor, ops, options, ref_out, error);
}

/* ---- finding --------------------------------------------------------------------------------- */

struct weir_actor_ref *weir_actor_find(struct weir_actor_system *system, const char *path)
{
    struct weir_actor *actor;
    struct weir_actor_ref *found = NULL;

    pthread_mutex_lock(&system->mutex);
    actor = weir_map_get_text(&system->registry, path);
    if (actor != NULL)
        found = weir_actor_ref_share(&actor->ref);
    pthread_mutex_unlock(&system->mutex);
    return found;
}

struct weir_actor_ref *weir_actor_child(struct weir_actor *actor, const char *name)
{
    char path[WEIR_ACTOR_PATH_MAX + 2];

    if (strchr(name, '/') != NULL ||
        snprintf(path, sizeof path, "%s/%s", actor->ref.path, name) > WEIR_ACTOR_PATH_MAX)
        return NULL;
    return weir_actor_find(actor->ref.system, path);
}

enum weir_err weir_actor_children(struct weir_actor *actor,
                                  void (*fn)(void *opaque, struct weir_actor_ref *child),
                                  void *opaque)
{
    pthread_mutex_t *mutex = &actor->ref.system->mutex;
    struct weir_actor_ref **refs;
    uint32_t count = 0;

    pthread_mutex_lock(mutex);
    for (struct weir_actor *child = actor->children.first; child != NULL; child = child->next)
        count++;
    refs = weir_calloc(count, sizeof(struct weir_actor_ref *));
    if (refs == NULL && count > 0) {
        pthread_mutex_unlock(mutex);
        return WEIR_NOMEM;
    }
    count = 0;
    for (struct weir_actor *child = actor->children.first; child != NULL; child = child->next)
        refs[count++] = weir_actor_ref_share(&child->ref);
    pthread_mutex_unlock(mutex);
    for (uint32_t i = 0; i < count; i++) {
        fn(opaque, refs[i]);
        weir_actor_ref_free(refs[i]);
    }
    weir_free(refs);
    return WEIR_OK;
}

/* ---- systems --------------------------------------------------------------------------------- */

void weir_actor_system_options_default(struct weir_actor_system_options *options)
{
    *options = (struct weir_actor_system_options){.throughput = 16, .actors_max = 1000000};
}

enum weir_err weir_actor_system_new(struct weir_flow_materializer *materializer,
                                    const struct weir_actor_system_options *options,
                                    struct weir_actor_system **out, struct weir_error *error)
{
    struct weir_actor_system_options chosen;
    struct weir_actor_system *system;

    weir_actor_system_options_default(&chosen);
    if (options != NULL)
        chosen = *options;
    if (chosen.throughput == 0 || chosen.actors_max == 0 || chosen.actors_max > 1 << 21)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "actor: a system needs a throughput and 1 to %d actors", 1 << 21);
    system = weir_calloc(1, sizeof *system);
    if (system == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "actor: no memory for a system");
    system->materializer = materializer;
    system->options = chosen;
    pthread_mutex_init(&system->mutex, NULL);
    weir_map_init(&system->registry, chosen.actors_max);
    pthread_mutex_lock(&materializer->mutex);
    materializer->user_count++;
    system->random.state = weir_random_next(&materializer->random);
    pthread_mutex_unlock(&materializer->mutex);
    *out = system;
    return WEIR_OK;
}

/* The youngest actor of a list is asked to stop and awaited; false: there is none. */
static bool stop_youngest(struct weir_actor_system *system, const struct actor_list *list)
{
    struct weir_actor *youngest;

    pthread_mutex_lock(&system->mutex);
    system->stopping = true;
    youngest = list->last;
    if (youngest != NULL) {
        pthread_mutex_lock(&system->materializer->mutex);
        system->awaited = youngest;
        system->awaited_count = 1;
        pthread_mutex_unlock(&system->materializer->mutex);
        weir_actor_stop(&youngest->ref);
    }
    pthread_mutex_unlock(&system->mutex);
    return youngest != NULL;
}

static int64_t left_ms(int64_t timeout_ms, int64_t begin_ms)
{
    int64_t left = timeout_ms - (weir_clock_now_ms(NULL) - begin_ms);

    if (timeout_ms < 0)
        return -1;
    return left > 0 ? left : 0;
}

enum weir_err weir_actor_system_stop(struct weir_actor_system *system, int64_t timeout_ms)
{
    const struct actor_list *const lists[] = {&system->top, &system->asks};
    int64_t begin_ms = weir_clock_now_ms(NULL);

    for (int i = 0; i < 2; i++)
        while (stop_youngest(system, lists[i]))
            if (flow_wait(system->materializer, &system->awaited_count,
                          left_ms(timeout_ms, begin_ms)) != WEIR_OK)
                return WEIR_TIMEOUT;
    /* Who has signed off may not be through with its last turn. */
    return flow_wait(system->materializer, &system->alive, left_ms(timeout_ms, begin_ms));
}

void weir_actor_system_free(struct weir_actor_system *system)
{
    enum weir_err err;

    if (system == NULL)
        return;
    err = weir_actor_system_stop(system, -1);
    weir_assert(err == WEIR_OK);
    weir_assert(atomic_load(&system->ref_count) == 0); /* every ref is freed before */
    pthread_mutex_lock(&system->materializer->mutex);
    system->materializer->user_count--;
    pthread_mutex_unlock(&system->materializer->mutex);
    weir_map_release(&system->registry);
    pthread_mutex_destroy(&system->mutex);
    weir_free(system);
}

uint64_t weir_actor_system_dead_letters(const struct weir_actor_system *system)
{
    return atomic_load_explicit(&system->dead_letters, memory_order_relaxed);
}

uint32_t weir_actor_system_count(struct weir_actor_system *system)
{
    uint32_t count;

    pthread_mutex_lock(&system->materializer->mutex);
    count = system->alive;
    pthread_mutex_unlock(&system->materializer->mutex);
    return count;
}
