/*
 * flow/inside.h - what the files of this room know of each other: graphs, streams, islands, edges.
 *
 * What:    a graph is nodes and edges in one arena; weir_flow_run makes a stage of every node, a
 *          connection of every edge, and splits the stages into islands at asynchronous edges.
 * Life:    everything of a stream lies in its arena, from weir_flow_run to weir_flow_stream_free.
 * Threads: an island and what belongs to it is touched by one thread at a time, the one that runs
 *          it; `mailbox` and `schedule` by any. The materializer's mutex guards its own fields.
 * Memory:  none is allocated by a running island.
 * Errors:  as in weir/flow.h.
 */
#ifndef WEIR_FLOW_INSIDE_H
#define WEIR_FLOW_INSIDE_H

#include <weir/flow.h>

#include "base/arena.h"
#include "base/assert.h"
#include "flow/dispatcher.h"

/* ---- blueprint (graph.c) --------------------------------------------------------------------- */

struct flow_end {
    int32_t node, port;
};

struct flow_node {
    const struct weir_flow_stage_ops *ops;
    const void *config;
    const struct weir_flow_kind *kind;
    uint32_t in_count, out_count;
    struct flow_end *ins;   /* the outlets that the inlets are connected to */
    uint32_t *async_buffer; /* for each outlet; 0 = fused */
    bool *connected;        /* for each outlet */
    enum weir_flow_directive (*decide)(void *opaque, const struct weir_error *error);
    void *decide_opaque;
};

struct weir_flow_graph {
    _Atomic uint32_t references; /* the builder's, and one of each stream */
    struct weir_arena arena;
    struct flow_node **nodes; /* WEIR_FLOW_STAGES_MAX places */
    uint32_t node_count;
    uint32_t edge_count, async_count;
    struct weir_error error; /* the first one sticks */
};

void flow_graph_unref(struct weir_flow_graph *graph);
WEIR_MUST_USE enum weir_err flow_graph_check(const struct weir_flow_graph *graph,
                                             struct weir_error *error);

/* ---- a running stream ------------------------------------------------------------------------ */

/* What an edge waits for. An open edge is in the event queue when the next step is the engine's. */
enum flow_phase {
    FLOW_IDLE,   /* the inlet, to pull */
    FLOW_PULLED, /* the engine, to call on_pull */
    FLOW_DEMAND, /* the outlet, to push */
    FLOW_PUSHED, /* the engine, to call on_push */
    FLOW_HELD,   /* the inlet, to grab */
};

enum flow_edge_flag {
    FLOW_OUT_CLOSED = 1, /* completed, failed, or has been told of the cancellation */
    FLOW_IN_CLOSED = 2,  /* cancelled, or has been told of completion or failure */
    FLOW_FAULTY = 4,     /* `error` is the failure, or the cause of the cancellation */
    FLOW_QUEUED = 8,
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "phase is the low byte of state");
#define FLOW_STATE(phase, flags) ((uint16_t)((phase) | (flags) << 8))

struct flow_connection {
    struct weir_flow_stage *out_stage, *in_stage;
    struct flow_island *island;
    void *element; /* when PUSHED or HELD */
    uint16_t out_port, in_port;
    /* The usual case reads and writes both at once: a word read behind two single bytes written
     * waits for them to reach the cache. */
    union {
        struct {
            uint8_t phase, flags;
        };
        uint16_t state; /* FLOW_STATE */
    };
    const struct weir_flow_kind *kind;
    struct weir_error error;
};

struct weir_flow_stage {
    const struct weir_flow_stage_ops *ops;
    void *self;
    struct flow_connection **ins, **outs;
    struct flow_island *island;
    uint32_t open_ports;
    uint16_t in_count, out_count;
    bool keep_going, stopping, stopped, initialised;
    struct weir_flow_stage *next_stopping;
    const struct flow_node *node; /* NULL: one side of a boundary */
    const void *config;
    struct weir_loop_timer *timers;
    void *value;
    /* The result: written once by the island, then `resolved`. */
    _Atomic bool resolved;
    void *result;
    const struct weir_flow_kind *result_kind;
    struct weir_error result_error;
};

struct flow_boundary;

struct flow_island {
    struct flow_runnable runnable;
    struct weir_flow_stream *stream;
    struct weir_flow_stage **stages;
    uint32_t stage_count, alive_count;
    bool started, aborted;
    /* Edges with an event: each at most once, so that a place for each is enough. */
    struct flow_connection **queue;
    uint32_t queue_mask, queue_head, queue_tail;
    struct weir_flow_stage *stopping; /* all ports closed: stop them after this handler */
    struct weir_timer_heap timers;    /* all of its stages'; those not started are due never */
    uint64_t timer_sequence;
    /* Boundaries that got elements, or room, in this turn: their other side is woken after it. */
    struct flow_boundary *touched, *touched_below;
    struct weir_random random;
    bool fuzzing;
    struct weir_error scratch; /* for the functions of operators: a page of stack less a call */
    _Atomic(struct weir_flow_event *) mailbox; /* youngest first */
};

struct weir_flow_stream {
    struct weir_arena arena;
    struct weir_flow_graph *graph;
    struct weir_flow_materializer *materializer;
    struct weir_flow_stage *stages; /* nodes first, then two for each boundary */
    uint32_t stage_count;
    struct flow_connection *connections;
    uint32_t connection_count;
    struct flow_island *islands;
    uint32_t island_count;
    _Atomic bool aborting;
    _Atomic uint32_t invokers; /* threads inside weir_flow_invoke */
    uint32_t islands_alive;    /* under the materializer's mutex */
};

/* interpreter.c */
extern const struct flow_runnable_ops flow_island_ops;
_Noreturn void flow_illegal(const struct weir_flow_stage *stage, const char *what, uint32_t port)
    __attribute__((cold));
/* Calls `decide` of the node; STOP where there is none. */
enum weir_flow_directive flow_decide(struct weir_flow_stage *stage, const struct weir_error *error);
/* Failed by `decide`: the stage fails and this is true; else it goes on. */
bool flow_fail_or_resume(struct weir_flow_stage *stage, enum weir_err code,
                         struct weir_error *error);

static inline void flow_island_wake(struct flow_island *island)
{
    flow_wake(&island->runnable);
}

static inline const struct weir_flow_materializer_options *
flow_options(const struct flow_island *island)
{
    return &island->runnable.materializer->options;
}

/* boundary.c: the two stages of an asynchronous edge share one of these. */
struct flow_boundary *flow_boundary_new(struct weir_flow_stream *stream, uint32_t capacity,
                                        const struct weir_flow_kind *kind);
extern const struct weir_flow_stage_ops flow_boundary_in_ops;  /* ends the island above */
extern const struct weir_flow_stage_ops flow_boundary_out_ops; /* begins the island below */
void flow_boundaries_flush(struct flow_island *island);

/* graph.c: a stage of one inlet and one outlet, or a sink; the config is copied. */
struct weir_flow_outlet flow_add_linear(struct weir_flow_outlet in,
                                        const struct weir_flow_stage_ops *ops, const void *config,
                                        size_t config_bytes, const struct weir_flow_kind *kind);
struct weir_flow_outlet flow_add_source(struct weir_flow_graph *graph,
                                        const struct weir_flow_stage_ops *ops, const void *config,
                                        size_t config_bytes, const struct weir_flow_kind *kind);
int32_t flow_add_sink(struct weir_flow_outlet in, const struct weir_flow_stage_ops *ops,
                      const void *config, size_t config_bytes);
struct weir_flow_outlet flow_no_outlet(struct weir_flow_graph *graph);

/* ---- port calls of this room's own stages: the usual case inline, the rest by the public ones */

static inline void flow_enqueue_as(struct flow_connection *edge, uint16_t state)
{
    struct flow_island *island = edge->island;

    edge->state = state;
    island->queue[island->queue_tail++ & island->queue_mask] = edge;
}

static inline void flow_pull(struct weir_flow_stage *stage, uint32_t inlet)
{
    struct flow_connection *edge = stage->ins[inlet];

    if (weir_likely(edge->state == FLOW_STATE(FLOW_IDLE, 0)))
        flow_enqueue_as(edge, FLOW_STATE(FLOW_PULLED, FLOW_QUEUED));
    else
        weir_flow_pull(stage, inlet);
}

static inline void *flow_grab(struct weir_flow_stage *stage, uint32_t inlet)
{
    struct flow_connection *edge = stage->ins[inlet];

    if (weir_unlikely(edge->state != FLOW_STATE(FLOW_HELD, 0)))
        return weir_flow_grab(stage, inlet);
    edge->state = FLOW_STATE(FLOW_IDLE, 0);
    return edge->element;
}

static inline void flow_push(struct weir_flow_stage *stage, uint32_t outlet, void *element)
{
    struct flow_connection *edge = stage->outs[outlet];

    if (weir_likely(edge->state == FLOW_STATE(FLOW_DEMAND, 0) && element != NULL)) {
        edge->element = element;
        flow_enqueue_as(edge, FLOW_STATE(FLOW_PUSHED, FLOW_QUEUED));
    } else {
        weir_flow_push(stage, outlet, element);
    }
}
#endif
