/*
 * weir/flow_actor.h - actors for C: state that only messages reach, many of them on few threads.
 *
 * What:    An actor has a behaviour, state of its own, and a bounded mailbox; it takes one message
 *          at a time. Actors make a tree: who starts one supervises it. Names and meaning are those
 *          of Akka. Actors run on the threads of a materializer (weir/flow.h), beside its streams.
 *
 *              /manager                     restarts its children when they fail
 *                 /manager/wine             takes messages one by one
 *                 /manager/beer
 *
 * Life:    materializer_new -> weir_actor_system_new -> spawn, tell ... -> weir_actor_system_stop
 *          -> free every ref -> weir_actor_system_free -> materializer_free.
 *
 *              struct greeting { struct weir_message message; const char *whom; };
 *              static const struct weir_message_type greeting_type = {"greeting", drop_greeting};
 *
 *              greeting->message.type = &greeting_type;
 *              weir_actor_tell(ref, &greeting->message);
 *
 * Threads: an actor's functions run on one thread at a time, on any thread of the materializer;
 *          they must not block. tell, stop and the functions of refs may be called by any thread.
 * Memory:  a message begins with struct weir_message and has one owner; telling gives it away, and
 *          the engine drops it once it was received. Mailboxes are linked through the messages:
 *          telling allocates nothing. An actor is one allocation of about 500 bytes, its state,
 *          its config and its path. Refs are counted: whoever gets one frees it.
 * Errors:  what goes wrong inside an actor is decided by its supervision. What cannot be delivered
 *          becomes a dead letter. Order: from one thread to one actor, as told.
 */
#ifndef WEIR_FLOW_ACTOR_H
#define WEIR_FLOW_ACTOR_H

#include <weir/base.h>
#include <weir/flow.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_actor_system;
struct weir_actor; /* an actor, seen from inside */
struct
    weir_actor_ref; /* where messages are told: an actor, a router, or one who awaits an answer */

enum {
    WEIR_ACTOR_NAME_MAX = 100,  /* bytes */
    WEIR_ACTOR_PATH_MAX = 500,  /* "/manager/wine" */
    WEIR_ACTOR_TIMERS_MAX = 64, /* of a behaviour */
};

/* ---- messages -------------------------------------------------------------------------------- */

struct weir_message;

struct weir_message_type {
    const char *name;                           /* for dead letters; static */
    void (*drop)(struct weir_message *message); /* required */
    /* Optional: a copy with its own owner, NULL = no memory. For routers that tell several. */
    struct weir_message *(*share)(const struct weir_message *message);
    /* Optional: where the message keeps the ref (or NULL) that an answer is told to. It belongs to
     * the message: share copies it by weir_actor_ref_share, drop frees it. */
    struct weir_actor_ref **(*reply_to)(struct weir_message *message);
};

/* First member of every message. */
struct weir_message {
    const struct weir_message_type *type;
    struct weir_message *next; /* the engine's own */
};

void weir_message_drop(struct weir_message *message); /* NULL is allowed */

/* Told instead of an answer by what cannot give one (a router whose time is over). */
struct weir_actor_failure {
    struct weir_message message; /* type weir_actor_failure_type */
    struct weir_error error;
};
extern const struct weir_message_type weir_actor_failure_type;

/* ---- systems --------------------------------------------------------------------------------- */

struct weir_actor_system_options {
    uint32_t throughput; /* messages of an actor's turn [16] */
    uint32_t actors_max; /* alive at once [1,000,000] */
    /*
     * Optional: what was not delivered, before it is dropped; on any thread, also inside tell. to:
     * the path of the addressee. why: CLOSED (stopped; an answer that comes too late), LIMIT
     * (mailbox full), UNSUPPORTED (unhandled), NOMEM (a router that could not share it).
     */
    void (*on_dead_letter)(void *opaque, const char *to, const struct weir_message *message,
                           enum weir_err why);
    void *opaque;
    struct weir_log log; /* failures and what supervision made of them */
};
void weir_actor_system_options_default(struct weir_actor_system_options *options);
/* The materializer is borrowed until free; options NULL = defaults. INVALID, NOMEM. */
WEIR_MUST_USE enum weir_err weir_actor_system_new(struct weir_flow_materializer *materializer,
                                                  const struct weir_actor_system_options *options,
                                                  struct weir_actor_system **out,
                                                  struct weir_error *error);
/*
 * Stops the actors at the top one after the other, the youngest first, each with all that is below
 * it; then nothing can be spawned any more. timeout_ms as in weir_flow_stream_wait: TIMEOUT, and it
 * may be called again. Not from inside an actor.
 */
WEIR_MUST_USE enum weir_err weir_actor_system_stop(struct weir_actor_system *system,
                                                   int64_t timeout_ms);
/* Stops first, for as long as it takes. Every ref must have been freed (assertion). NULL is
 * allowed. */
void weir_actor_system_free(struct weir_actor_system *system);
uint64_t weir_actor_system_dead_letters(const struct weir_actor_system *system);
/* Actors alive, those that await answers included. */
uint32_t weir_actor_system_count(struct weir_actor_system *system);
/* The actor at a path, e.g. "/manager/wine"; gives a ref, NULL: none is alive there. */
struct weir_actor_ref *weir_actor_find(struct weir_actor_system *system, const char *path);

/* ---- refs: any thread ------------------------------------------------------------------------ */

struct weir_actor_ref *weir_actor_ref_share(const struct weir_actor_ref *ref);
void weir_actor_ref_free(struct weir_actor_ref *ref); /* NULL is allowed */
/* "/manager/wine"; borrowed as long as the ref. */
const char *weir_actor_ref_path(const struct weir_actor_ref *ref);
/* Has it stopped? A router has when all of its routees have. */
bool weir_actor_ref_is_stopped(const struct weir_actor_ref *ref);
/* Messages that wait; of a router, those of all routees. */
uint32_t weir_actor_ref_pending(const struct weir_actor_ref *ref);

/* Takes the message; what can't be delivered becomes a dead letter. */
void weir_actor_tell(struct weir_actor_ref *ref, struct weir_message *message);
/* Takes it if OK. AGAIN: the mailbox is full (of all routees); CLOSED: stopped. */
WEIR_MUST_USE enum weir_err weir_actor_try_tell(struct weir_actor_ref *ref,
                                                struct weir_message *message);
/* Stops an actor after the message in hand: first its children, then itself; what waits in the
 * mailbox becomes dead letters. Of a router: all routees. */
void weir_actor_stop(struct weir_actor_ref *ref);

/* ---- behaviours ------------------------------------------------------------------------------ */

#define WEIR_ACTOR_ABI 1

/* A function that gives an error fails the actor; its supervision says what follows. */
struct weir_actor_ops {
    uint32_t abi; /* WEIR_ACTOR_ABI */
    const char *name;
    size_t self_bytes;    /* of `self`, zeroed before each start */
    uint32_t timer_count; /* timers 0 .. timer_count - 1 */
    /* Optional: before the first message, and again after a restart. */
    enum weir_err (*start)(void *self, struct weir_actor *actor, struct weir_error *error);
    /* Required. The message is dropped afterwards unless weir_actor_take has made it the actor's,
     * or weir_actor_unhandled a dead letter. */
    enum weir_err (*receive)(void *self, struct weir_actor *actor, struct weir_message *message,
                             struct weir_error *error);
    /* Required with timers. */
    enum weir_err (*on_timer)(void *self, struct weir_actor *actor, uint32_t timer,
                              struct weir_error *error);
    /* Required with weir_actor_watch: somebody watched has stopped. */
    enum weir_err (*on_terminated)(void *self, struct weir_actor *actor, struct weir_actor_ref *who,
                                   struct weir_error *error);
    /* Optional: once for each start that succeeded, when all children have stopped. */
    void (*stop)(void *self, struct weir_actor *actor, bool restarting);
};

enum weir_actor_directive {
    WEIR_ACTOR_STOP,
    WEIR_ACTOR_RESUME,  /* goes on with the next message, state as it is; a failed start: stops */
    WEIR_ACTOR_RESTART, /* children stop, state is made anew, the mailbox stays */
};

struct weir_actor_supervision {
    enum weir_actor_directive directive; /* [STOP] */
    /* Optional: decides by the error instead. On the failing actor's thread. */
    enum weir_actor_directive (*decide)(void *opaque, const struct weir_error *error);
    void *opaque;
    /* More restarts than this within so long: it stops. restarts_max 0 = no limit. */
    uint32_t restarts_max;
    int64_t within_ms;
    /* Restarts wait backoff_min_ms, doubled each time up to backoff_max_ms, plus a random part of
     * up to backoff_random of that; a run of backoff_max_ms without failure begins anew.
     * backoff_min_ms 0 = at once. */
    int64_t backoff_min_ms, backoff_max_ms;
    double backoff_random;
};

struct weir_actor_options {
    /* Letters, digits and -_.*$+:@&=,!~'; not beginning with $. NULL: "$1", "$2" ... Other names,
     * which may come from messages, are INVALID. */
    const char *name;
    const void *config; /* copied; what it points to is borrowed for the actor's life */
    size_t config_bytes;
    uint32_t mailbox; /* messages [1024] */
    struct weir_actor_supervision supervision;
};
void weir_actor_options_default(struct weir_actor_options *options);

/*
 * Starts an actor at the top, from any thread; it runs soon afterwards. options NULL = defaults;
 * ref_out may be NULL. ops are static. INVALID, EXISTS (the name), LIMIT, CLOSED, NOMEM.
 */
WEIR_MUST_USE enum weir_err weir_actor_spawn(struct weir_actor_system *system,
                                             const struct weir_actor_ops *ops,
                                             const struct weir_actor_options *options,
                                             struct weir_actor_ref **ref_out,
                                             struct weir_error *error);

/* ---- inside an actor's functions ------------------------------------------------------------- */

/* The same below this actor. */
WEIR_MUST_USE enum weir_err weir_actor_spawn_child(struct weir_actor *actor,
                                                   const struct weir_actor_ops *ops,
                                                   const struct weir_actor_options *options,
                                                   struct weir_actor_ref **ref_out,
                                                   struct weir_error *error);
/* Gives a ref to a child by its name, NULL: there is none. */
struct weir_actor_ref *weir_actor_child(struct weir_actor *actor, const char *name);
/* Calls fn with a ref to each child, borrowed, in the order of their starts. NOMEM. */
WEIR_MUST_USE enum weir_err
weir_actor_children(struct weir_actor *actor,
                    void (*fn)(void *opaque, struct weir_actor_ref *child), void *opaque);
/* Its own ref, borrowed. */
struct weir_actor_ref *weir_actor_self(struct weir_actor *actor);
struct weir_actor_system *weir_actor_system(struct weir_actor *actor);
const void *weir_actor_config(const struct weir_actor *actor);
int64_t weir_actor_now_ns(const struct weir_actor *actor);
/* Inside receive: the message in hand is the actor's from now on; once. */
void weir_actor_take(struct weir_actor *actor);
/* Inside receive: the message in hand is not for this actor. */
void weir_actor_unhandled(struct weir_actor *actor);
/* Stops after this function. */
void weir_actor_stop_self(struct weir_actor *actor);
/* on_terminated follows when it stops, at once if it has; once however often it is called. Only of
 * actors (INVALID). NOMEM. */
WEIR_MUST_USE enum weir_err weir_actor_watch(struct weir_actor *actor, struct weir_actor_ref *ref,
                                             struct weir_error *error);
void weir_actor_unwatch(struct weir_actor *actor, struct weir_actor_ref *ref);
/* on_timer after delay_ms, then every period_ms (0 = once); a started timer is moved. Timers stop
 * with the actor and at a restart. */
void weir_actor_timer_start(struct weir_actor *actor, uint32_t timer, int64_t delay_ms,
                            int64_t period_ms);
void weir_actor_timer_stop(struct weir_actor *actor, uint32_t timer);

/* ---- questions ------------------------------------------------------------------------------- */

/*
 * Makes a ref that takes one answer, for the reply_to of a question. fn is called once, on a thread
 * of the materializer: OK and the answer (taken); the error of a weir_actor_failure; TIMEOUT after
 * timeout_ms; or CLOSED when the system stops. LIMIT, CLOSED, NOMEM: fn is not called.
 */
typedef void weir_actor_answer_fn(void *opaque, struct weir_message *answer,
                                  const struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_actor_ask(struct weir_actor_system *system, int64_t timeout_ms,
                                           weir_actor_answer_fn *fn, void *opaque,
                                           struct weir_actor_ref **reply_to_out,
                                           struct weir_error *error);
/* The same for a thread that waits: not one of the materializer, nor inside its run. Tells question
 * to ref, with the answer's address in its reply_to (required in its type); takes it anyhow. */
WEIR_MUST_USE enum weir_err weir_actor_ask_wait(struct weir_actor_ref *ref,
                                                struct weir_message *question, int64_t timeout_ms,
                                                struct weir_message **answer_out,
                                                struct weir_error *error);

/* A stage that asks an actor for each element; answers in the order of the elements. */
struct weir_flow_ask {
    struct weir_actor_ref *ref; /* borrowed while streams of the graph run */
    uint32_t parallelism;       /* questions open at once */
    int64_t timeout_ms;         /* then the stage fails with TIMEOUT, or as supervision says */
    /* Takes the element; gives the question, whose type has reply_to. */
    enum weir_err (*question)(void *opaque, void *element, struct weir_message **question_out,
                              struct weir_error *error);
    /* Takes the answer; gives the element that goes on. */
    enum weir_err (*element)(void *opaque, struct weir_message *answer, void **element_out,
                             struct weir_error *error);
    void *opaque;
};
struct weir_flow_outlet weir_flow_ask(struct weir_flow_outlet in, const struct weir_flow_ask *ask,
                                      const struct weir_flow_kind *kind);

/* ---- routers --------------------------------------------------------------------------------- */

/* A router is a ref that hands each message to its routees on the teller's thread, passing over
 * those that have stopped. Full mailboxes are passed over too, except by BROADCAST and
 * CONSISTENT_HASH, where they make dead letters. */
enum weir_router_logic {
    WEIR_ROUTER_ROUND_ROBIN,
    WEIR_ROUTER_RANDOM,
    WEIR_ROUTER_SMALLEST_MAILBOX,
    WEIR_ROUTER_BROADCAST,       /* to all; needs share */
    WEIR_ROUTER_CONSISTENT_HASH, /* by `hash`: equal ones to the same routee, while it lives */
    /* To all at once, the first answer counts; and to one after the other every interval_ms until
     * one answers. Need share and reply_to; after within_ms a weir_actor_failure with TIMEOUT is
     * told instead. */
    WEIR_ROUTER_SCATTER_GATHER_FIRST,
    WEIR_ROUTER_TAIL_CHOPPING,
};

struct weir_router_options {
    enum weir_router_logic logic;
    const char *name; /* shown as its path; borrowed for the call; need not be unique */
    uint64_t (*hash)(void *opaque, const struct weir_message *message);
    void *opaque;
    int64_t within_ms, interval_ms;
    uint64_t seed; /* of RANDOM and TAIL_CHOPPING */
};
/* A group router: routees that live on their own; they are shared. INVALID, NOMEM. */
WEIR_MUST_USE enum weir_err weir_router_new(struct weir_actor_system *system,
                                            const struct weir_router_options *options,
                                            struct weir_actor_ref *const *routees, uint32_t count,
                                            struct weir_actor_ref **router_out,
                                            struct weir_error *error);
/* A pool router: `count` new children "<name>-1" ... of an actor, and the router before them. */
WEIR_MUST_USE enum weir_err
weir_router_spawn_pool(struct weir_actor *actor, const struct weir_actor_ops *ops,
                       const struct weir_actor_options *options, uint32_t count,
                       const struct weir_router_options *router, struct weir_actor_ref **router_out,
                       struct weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
