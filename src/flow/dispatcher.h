/*
 * flow/dispatcher.h - what the threads of a materializer run: islands of stages, and actors.
 *
 * What:    a runnable is something that has turns. It is in the run queue at most once, so its
 *          turns never overlap, and the mutex between two of them makes what one thread wrote
 *          visible to the next.
 *
 *              WAITING --wake--> SCHEDULED --> RUNNING --> WAITING, or SCHEDULED if woken meanwhile
 *                                                 `------> DONE
 *
 * Life:    init -> flow_add (its first turn follows) -> turns -> `ended`. Nothing of a runnable is
 *          touched after `ended`; its memory outlives every flow_wake.
 * Threads: flow_wake from any; the rest belongs to the dispatcher.
 * Memory:  a place in the heap of timers each.
 * Errors:  LIMIT, NOMEM from flow_add.
 */
#ifndef WEIR_FLOW_DISPATCHER_H
#define WEIR_FLOW_DISPATCHER_H

#include <pthread.h>
#include <stdatomic.h>

#include <weir/flow.h>

#include "base/clock.h"
#include "base/random.h"
#include "loop/timer_heap.h"

#define FLOW_NEVER INT64_MAX

/* NEW: being made. Whoever wakes it leaves word in its mailbox, for its first turn. */
enum flow_schedule {
    FLOW_NEW,
    FLOW_WAITING,
    FLOW_SCHEDULED,
    FLOW_RUNNING,
    FLOW_RUNNING_WOKEN,
    FLOW_DONE
};

enum flow_turn { FLOW_IDLE_NOW, FLOW_MORE_TO_DO, FLOW_ENDED };

struct flow_runnable;

struct flow_runnable_ops {
    enum flow_turn (*turn)(struct flow_runnable *runnable);
    /* After a turn: when the next one is due without a wake, or FLOW_NEVER. */
    int64_t (*due_ns)(const struct flow_runnable *runnable);
    /* Under the materializer's mutex. */
    void (*ended)(struct flow_runnable *runnable);
};

struct flow_runnable {
    const struct flow_runnable_ops *ops;
    struct weir_flow_materializer *materializer;
    _Atomic int schedule;
    struct flow_runnable *next_scheduled; /* the run queue */
    struct weir_loop_timer wake;          /* in the materializer's heap, always */
};

struct weir_flow_materializer {
    struct weir_flow_materializer_options options;
    pthread_mutex_t mutex;
    pthread_cond_t work, ended;
    struct flow_runnable *first_scheduled, *last_scheduled;
    uint32_t scheduled_count;
    uint32_t idle_threads;
    struct weir_timer_heap timers; /* `wake` of every runnable */
    uint64_t timer_sequence;
    struct weir_random random;
    uint32_t user_count; /* streams and actor systems that are not freed */
    bool stopping;
    pthread_t *threads;
    uint32_t thread_count;
};

void flow_runnable_init(struct flow_runnable *runnable, const struct flow_runnable_ops *ops,
                        struct weir_flow_materializer *materializer);
/* Under the mutex: enters the heap of timers; not scheduled yet. LIMIT, NOMEM. */
WEIR_MUST_USE enum weir_err flow_enter(struct flow_runnable *runnable);
/* Under the mutex: takes back what flow_enter did. */
void flow_leave(struct flow_runnable *runnable);
/* Under the mutex: the first turn may come. */
void flow_schedule_first(struct flow_runnable *runnable);
/* A turn follows, once for all calls before it; nothing happens if it is DONE. Without the mutex.
 */
void flow_wake(struct flow_runnable *runnable);
/* Waits until *count, which lies under the mutex, is 0; timeout_ms 0 = only looks, -1 = for ever.
 * With threads 0 it runs the materializer once instead of waiting. TIMEOUT. */
WEIR_MUST_USE enum weir_err flow_wait(struct weir_flow_materializer *materializer,
                                      const uint32_t *count, int64_t timeout_ms);

#endif
