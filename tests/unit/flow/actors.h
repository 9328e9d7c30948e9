/* Actors that do what they are told, write down what happens to them, and count their messages. */
#ifndef TEST_FLOW_ACTORS_H
#define TEST_FLOW_ACTORS_H

#include <stdatomic.h>

#include <weir/flow_actor.h>

#include "base/clock.h"

/*
 * What a message says, and what its receiver does:
 *      "..."         writes "<name>:..." into the trace
 *      "!fail"       fails with MODEL_FAILED; "!fail-later": at the next timer
 *      "!stop"       stops itself
 *      "!unhandled"  says that it does not know it
 *      "!answer"     tells reply_to "<number>" from its name
 *      "!spawn x"    starts a child x that behaves as it does; "!spawn-anonymous"
 *      "!watch"      watches reply_to; "!unwatch" no longer
 *      "!tick"       timer 0 in `number` ms; "!ticks": every so often; "!no-ticks"
 *      "!keep"       takes the message and drops it itself
 *      "!later"      answers reply_to when timer 1 comes, in `number` ms
 */
struct say {
    struct weir_message message;
    struct weir_actor_ref *reply_to;
    long number;
    char what[64];
};

extern const struct weir_message_type say_type;
/* Says alive in the whole process. */
extern _Atomic long say_count;

struct weir_message *say(const char *what);
struct weir_message *say_number(const char *what, long number);
void tell(struct weir_actor_ref *ref, const char *what);

struct stage {
    struct weir_clock_virtual clock;
    struct weir_flow_materializer *materializer;
    struct weir_actor_system *system;
    char trace[4096];
    char letters[4096]; /* "<to>:<what>:<why> " */
};

/* One stage at a time: the actors write into it. seed 0: in order; else fuzzing. */
void stage_open(struct stage *stage, uint64_t seed);
/* Frees all, and sees that nothing is left alive. */
void stage_close(struct stage *stage);
/* Until nothing moves. */
void stage_run(struct stage *stage);
void stage_run_ms(struct stage *stage, int64_t ms);
/* What was written since the last call is this; runs first. */
void expect_trace(struct stage *stage, const char *expected);
void expect_letters(struct stage *stage, const char *expected);

extern const struct weir_actor_ops obedient;

/* An obedient actor with the default options, or those given. */
struct weir_actor_ref *spawn(struct stage *stage, const char *name);
struct weir_actor_ref *spawn_with(struct stage *stage, const struct weir_actor_options *options);

#endif
