/*
 * flow/actor/inside.h - what the files of actors know of each other.
 *
 *      weir_actor_system --- registry: path -> actor
 *           |  top: actors -- children ... -- children        asks: those that await an answer
 *           `- materializer: turns, timers, threads (flow/dispatcher.h)
 *
 * Life:    an actor's memory lives as long as a ref to it; the system has one until its last turn
 *          is over, and each child has one to its parent.
 * Threads: the fields of an actor belong to its turns, apart from the mailbox (any thread tells),
 *          `stop_asked`, and what stands under the system's mutex: lists of children and of
 *          watches, notices, the registry. The system's mutex is taken before the materializer's.
 * Memory:  an actor with its state, config, timers and path is one allocation; a watch is another.
 * Errors:  as in weir/flow_actor.h.
 */
#ifndef WEIR_FLOW_ACTOR_INSIDE_H
#define WEIR_FLOW_ACTOR_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include <weir/flow_actor.h>

#include "base/assert.h"
#include "base/map.h"
#include "flow/dispatcher.h"

struct actor_ref_ops {
    /* Takes the message if OK; AGAIN, CLOSED. */
    enum weir_err (*tell)(struct weir_actor_ref *ref, struct weir_message *message);
    void (*stop)(struct weir_actor_ref *ref);
    bool (*is_stopped)(const struct weir_actor_ref *ref);
    uint32_t (*pending)(const struct weir_actor_ref *ref);
    void (*free)(struct weir_actor_ref *ref); /* the last reference is gone */
};

struct weir_actor_ref {
    const struct actor_ref_ops *ops;
    struct weir_actor_system *system;
    const char *path;
    _Atomic uint32_t references;
};

/* Many tell, one takes: D. Vyukov's queue of linked messages, with a ceiling. */
struct actor_mailbox {
    _Atomic(struct weir_message *) newest;
    struct weir_message *oldest;
    struct weir_message stub;
    _Atomic uint32_t count; /* in it, on their way in, or about to be refused */
    _Atomic bool closed;
    uint32_t capacity;
};

/* One actor watches another; in the list of the watched, then in the notices of the watcher. */
struct actor_watch {
    struct actor_watch *next; /* of either list; the mutex */
    struct actor_watch *next_mine;
    struct weir_actor *watcher;
    struct weir_actor *watched; /* a reference */
    bool is_notice, cancelled;
};

struct actor_list {
    struct weir_actor *first, *last;
};

enum actor_state {
    ACTOR_STARTING,   /* its start comes at start_ns */
    ACTOR_RUNNING,    /* */
    ACTOR_RESTARTING, /* waits for the end of its children */
    ACTOR_STOPPING,   /* the same */
};

struct actor_timer {
    int64_t due_ns, period_ns;
};

struct weir_actor {
    struct weir_actor_ref ref;
    struct flow_runnable runnable;
    const struct weir_actor_ops *ops;
    void *self;
    const void *config;
    struct actor_timer *timers;
    struct actor_mailbox mailbox;
    _Atomic bool stop_asked;
    enum actor_state state;
    bool is_started;
    struct weir_message *in_hand;
    bool taken;
    struct weir_actor_supervision supervision;
    uint32_t restarts, backoffs; /* since window_ns; in a row */
    int64_t window_ns, start_ns;
    struct weir_random random;
    struct actor_watch *watching; /* mine */
    /* Under the system's mutex. */
    struct weir_actor *parent; /* a reference; NULL at the top */
    struct weir_actor *previous, *next;
    struct actor_list children;
    struct actor_watch *watchers;
    struct actor_watch *notices, *last_notice;
    _Atomic bool has_notices;
    bool is_ask;
};

struct weir_actor_system {
    struct weir_flow_materializer *materializer;
    struct weir_actor_system_options options;
    pthread_mutex_t mutex;
    struct weir_map registry; /* path -> actor */
    struct actor_list top, asks;
    struct weir_random random;
    uint64_t names; /* "$1", "$2" ... */
    bool stopping;
    _Atomic uint64_t dead_letters;
    _Atomic uint32_t ref_count; /* refs whose memory is there */
    /* Under the materializer's mutex. */
    uint32_t alive;
    struct weir_actor *awaited; /* weir_actor_system_stop waits for its end */
    uint32_t awaited_count;
};

/* actor.c */
/* tell, beyond the mailbox's capacity, for answers that the actor waits for; any thread. False: it
 * has stopped, the message is the caller's. */
bool actor_tell_always(struct weir_actor_ref *ref, struct weir_message *message);
/* In the actor's turn: the message is the next one it takes. */
void actor_put_back(struct weir_actor *actor, struct weir_message *message);
extern const struct actor_ref_ops actor_cell_ops;
extern const struct flow_runnable_ops actor_runnable_ops;

/* system.c */
void actor_ref_init(struct weir_actor_ref *ref, const struct actor_ref_ops *ops,
                    struct weir_actor_system *system);
void actor_dead_letter(struct weir_actor_system *system, const char *to,
                       struct weir_message *message, enum weir_err why);
/* Starts an actor: below parent, or at the top; is_ask: without name and registry. */
WEIR_MUST_USE enum weir_err actor_spawn(struct weir_actor_system *system, struct weir_actor *parent,
                                        const struct weir_actor_ops *ops,
                                        const struct weir_actor_options *options, bool is_ask,
                                        struct weir_actor_ref **ref_out, struct weir_error *error);
/* Under the mutex: asks all of a list to stop. */
void actor_list_stop(struct actor_list *list);
/* In its last turn: out of the registry and its parent's list; watchers and parent are told. */
void actor_sign_off(struct weir_actor *actor);
bool actor_has_children(struct weir_actor *actor);

/* watch.c */
/* Takes the next notice that counts; false: none. */
bool actor_next_notice(struct weir_actor *actor, struct weir_actor **watched_out);
/* Under the mutex: the watchers of an actor get their notices. */
void actor_tell_watchers(struct weir_actor *actor);
/* Ends all its own watches. */
void actor_forget_watches(struct weir_actor *actor);

static inline struct weir_actor *actor_of(struct weir_actor_ref *ref)
{
    return (struct weir_actor *)ref;
}

#endif
