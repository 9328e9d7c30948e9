/*
 * weir/flow_persistence.h - actors whose state is the sum of their events, kept in a journal.
 *
 * What:    an event-sourced actor takes commands. A command decides on events; they change the
 *          state when they are durable, and only then is the command answered. After a restart, of
 *          the actor or of the machine, the state is made again from the newest snapshot and the
 *          events behind it. Names and meaning are those of Akka Persistence.
 *
 *              command -- persist --> journal -- durable --> event, event ... --> done: answer
 *                 `- meanwhile further commands wait in a stash, in their order
 *
 * Life:    options -> weir_persistent_spawn -> as any actor of weir/flow_actor.h. The journal
 *          outlives the actor system.
 * Threads: a behaviour's functions run as those of any actor. A journal's functions are called on
 *          the actor's thread and must not block; its answers may come at once or later, from any
 *          thread, also when the actor has stopped; all have come before the system is freed.
 * Memory:  what a journal is given to write is borrowed until it answers; what it answers with is
 *          copied. Ceilings below.
 * Errors:  a journal that cannot read or append, and an event that cannot be applied, fail the
 *          actor: its supervision says what follows. A restart recovers from the journal; to
 *          resume is no way out, as the actor then fails at each further command. A
 *          snapshot that cannot be written, or read, costs time and nothing else.
 */
#ifndef WEIR_FLOW_PERSISTENCE_H
#define WEIR_FLOW_PERSISTENCE_H

#include <weir/flow_actor.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    WEIR_PERSISTENT_ID_MAX = 255,            /* bytes */
    WEIR_PERSISTENT_EVENTS_MAX = 1024,       /* of one command */
    WEIR_PERSISTENT_BYTES_MAX = 16 << 20,    /* of one command's events */
    WEIR_PERSISTENT_SNAPSHOT_MAX = 64 << 20, /* bytes */
};

/* ---- journals -------------------------------------------------------------------------------- */

/* The answer that a journal owes: exactly one. */
struct weir_journal_promise;

/* sequence: of the first event, or of the last one that the snapshot holds. */
struct weir_journal_page {
    uint64_t sequence;
    const struct weir_slice *items; /* events; or one: the snapshot */
    uint32_t count;
};

/* error NULL: it is done. page: what was read, else NULL. */
void weir_journal_answer(struct weir_journal_promise *promise, const struct weir_journal_page *page,
                         const struct weir_error *error);

#define WEIR_JOURNAL_ABI 1

/*
 * A journal keeps the pasts of many actors, each under its id, which is any text and must not
 * become a path. Events of an id are numbered from 1 without gaps. One actor of an id writes at a
 * time.
 */
struct weir_journal_ops {
    uint32_t abi; /* WEIR_JOURNAL_ABI */
    /* Required. The newest snapshot that is whole, as a page of one; of none when there is none. */
    void (*load)(void *self, const char *id, struct weir_journal_promise *promise);
    /* Required. The events from `sequence` on, or the first of them; a page of none: no more. */
    void (*read)(void *self, const char *id, uint64_t sequence,
                 struct weir_journal_promise *promise);
    /* Required. Makes all of the events durable, or none. page->sequence is that of the last event
     * plus 1, else INVALID: somebody else has written. */
    void (*append)(void *self, const char *id, const struct weir_journal_page *page,
                   struct weir_journal_promise *promise);
    /* Optional [no snapshots]. Keeps a snapshot beside the older ones, as many as it likes. */
    void (*save)(void *self, const char *id, const struct weir_journal_page *page,
                 struct weir_journal_promise *promise);
};

/* ---- behaviours ------------------------------------------------------------------------------ */

#define WEIR_PERSISTENT_ABI 1

struct weir_persistent_ops {
    uint32_t abi; /* WEIR_PERSISTENT_ABI */
    const char *name;
    size_t state_bytes; /* of `state`, zeroed before each recovery */
    /* Optional: the state before the first event; and its end. */
    enum weir_err (*start)(void *state, struct weir_actor *actor, struct weir_error *error);
    void (*stop)(void *state, struct weir_actor *actor);
    /* Required. Looks at the state and calls weir_persist for each event; the state must not change
     * here. The command is borrowed until `done` has returned. */
    enum weir_err (*command)(void *state, struct weir_actor *actor, struct weir_message *command,
                             struct weir_error *error);
    /* Required. Changes the state, of an event that is durable or comes from the journal. */
    enum weir_err (*event)(void *state, struct weir_slice event, struct weir_error *error);
    /* Optional: all events of the command, or none, are durable and applied: time to answer. */
    void (*done)(void *state, struct weir_actor *actor, struct weir_message *command);
    /* Optional, both or none. save writes the state and returns its bytes; with a capacity that is
     * too small it writes nothing. restore makes the state (zeroed, started) again from them. */
    size_t (*save)(const void *state, void *buffer, size_t capacity);
    enum weir_err (*restore)(void *state, struct weir_slice snapshot, struct weir_error *error);
};

struct weir_persistent_options {
    const struct weir_persistent_ops *ops;  /* required; static */
    const char *id;                         /* required; borrowed for the actor's life */
    const struct weir_journal_ops *journal; /* required */
    void *journal_self;
    const void *config;       /* weir_persistent_config; borrowed for the actor's life */
    uint32_t snapshot_events; /* a snapshot after so many [1000]; 0 = none */
    uint32_t stash;           /* commands that wait; what comes then is a dead letter [1024] */
};
void weir_persistent_options_default(struct weir_persistent_options *options);

/* Below `parent`, or at the top of the system when that is NULL. `actor`: as for any actor (its
 * config is not used), NULL = defaults. Errors of weir_actor_spawn; INVALID. */
WEIR_MUST_USE enum weir_err weir_persistent_spawn(struct weir_actor_system *system,
                                                  struct weir_actor *parent,
                                                  const struct weir_persistent_options *options,
                                                  const struct weir_actor_options *actor,
                                                  struct weir_actor_ref **ref_out,
                                                  struct weir_error *error);

/* Inside command: this is to happen. Copies. LIMIT, NOMEM: nothing of the command happens, and it
 * should fail with that. */
WEIR_MUST_USE enum weir_err weir_persist(struct weir_actor *actor, struct weir_slice event,
                                         struct weir_error *error);
/* Inside a behaviour's functions that get the actor. */
const void *weir_persistent_config(const struct weir_actor *actor);
/* Events so far: the number of the last one. */
uint64_t weir_persistent_sequence(const struct weir_actor *actor);

#ifdef __cplusplus
}
#endif
#endif
