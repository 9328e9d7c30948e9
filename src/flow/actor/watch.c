/*
 * Death watch.
 *
 * A watch is in the watcher's own list for its whole life, and under the system's mutex in one of
 * two others: that of the watched actor until it stops, then the watcher's notices.
 */
#include "base/alloc.h"
#include "flow/actor/inside.h"

static void add_notice(struct actor_watch *watch)
{
    struct weir_actor *watcher = watch->watcher;

    watch->is_notice = true;
    watch->next = NULL;
    if (watcher->last_notice != NULL)
        watcher->last_notice->next = watch;
    else
        watcher->notices = watch;
    watcher->last_notice = watch;
    atomic_store(&watcher->has_notices, true);
}

void actor_tell_watchers(struct weir_actor *actor)
{
    struct actor_watch *watch = actor->watchers;

    actor->watchers = NULL;
    while (watch != NULL) {
        struct actor_watch *next = watch->next;
        add_notice(watch);
        flow_wake(&watch->watcher->runnable);
        watch = next;
    }
}

static void leave_watched(struct actor_watch *watch)
{
    struct actor_watch **place = &watch->watched->watchers;

    while (*place != watch)
        place = &(*place)->next;
    *place = watch->next;
}

/* Out of the watcher's own list, and gone; the caller has the reference to the watched. */
static void end_watch(struct actor_watch *watch)
{
    struct actor_watch **place = &watch->watcher->watching;

    while (*place != watch)
        place = &(*place)->next_mine;
    *place = watch->next_mine;
    weir_free(watch);
}

static struct actor_watch *take_notice(struct weir_actor *actor)
{
    struct actor_watch *watch;

    pthread_mutex_lock(&actor->ref.system->mutex);
    watch = actor->notices;
    if (watch != NULL) {
        actor->notices = watch->next;
        if (actor->notices == NULL)
            actor->last_notice = NULL;
    }
    atomic_store(&actor->has_notices, actor->notices != NULL);
    pthread_mutex_unlock(&actor->ref.system->mutex);
    return watch;
}

bool actor_next_notice(struct weir_actor *actor, struct weir_actor **watched_out)
{
    struct actor_watch *watch;

    while ((watch = take_notice(actor)) != NULL) {
        bool counts = !watch->cancelled;
        *watched_out = watch->watched;
        end_watch(watch);
        if (counts)
            return true;
        weir_actor_ref_free(&(*watched_out)->ref);
    }
    return false;
}

static struct actor_watch *watch_of(struct weir_actor *actor, const struct weir_actor_ref *ref)
{
    for (struct actor_watch *watch = actor->watching; watch != NULL; watch = watch->next_mine)
        if (&watch->watched->ref == ref && !watch->cancelled)
            return watch;
    return NULL;
}

enum weir_err weir_actor_watch(struct weir_actor *actor, struct weir_actor_ref *ref,
                               struct weir_error *error)
{
    struct actor_watch *watch;

    weir_assert(actor->ops->on_terminated != NULL);
    if (ref->ops != &actor_cell_ops)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "%s: only actors can be watched, %s is a router", actor->ref.path,
                              ref->path);
    if (watch_of(actor, ref) != NULL)
        return WEIR_OK;
    watch = weir_calloc(1, sizeof *watch);
    if (watch == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory for a watch", actor->ref.path);
    watch->watcher = actor;
    watch->watched = actor_of(weir_actor_ref_share(ref));
    watch->next_mine = actor->watching;
    actor->watching = watch;
    pthread_mutex_lock(&ref->system->mutex);
    if (weir_actor_ref_is_stopped(ref)) {
        add_notice(watch);
        flow_wake(&actor->runnable);
    } else {
        watch->next = watch->watched->watchers;
        watch->watched->watchers = watch;
    }
    pthread_mutex_unlock(&ref->system->mutex);
    return WEIR_OK;
}

void weir_actor_unwatch(struct weir_actor *actor, struct weir_actor_ref *ref)
{
    struct actor_watch *watch = watch_of(actor, ref);
    struct weir_actor_system *system = actor->ref.system;

    if (watch == NULL)
        return;
    pthread_mutex_lock(&system->mutex);
    watch->cancelled = watch->is_notice;
    if (!watch->is_notice)
        leave_watched(watch);
    pthread_mutex_unlock(&system->mutex);
    if (watch->cancelled)
        return;
    end_watch(watch);
    weir_actor_ref_free(ref);
}

void actor_forget_watches(struct weir_actor *actor)
{
    struct actor_watch *watch, *next;

    pthread_mutex_lock(&actor->ref.system->mutex);
    for (watch = actor->watching; watch != NULL; watch = watch->next_mine)
        if (!watch->is_notice)
            leave_watched(watch);
    actor->notices = actor->last_notice = NULL;
    pthread_mutex_unlock(&actor->ref.system->mutex);
    for (watch = actor->watching; watch != NULL; watch = next) {
        next = watch->next_mine;
        weir_actor_ref_free(&watch->watched->ref);
        weir_free(watch);
    }
    actor->watching = NULL;
}
