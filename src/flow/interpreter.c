/*
 * The interpreter of an island: what the port calls do, and the loop that turns them into handlers.
 *
 * An edge is in the event queue at most once, with everything that is to be told in its phase and
 * flags; so the queue never overflows, nothing recurses, nothing is allocated. Whatever order the
 * queue is taken in, each edge sees its own steps in order: that is what fuzzing shuffles.
 */
#include <stdio.h>
#include <string.h>

#include "flow/inside.h"

_Noreturn void flow_illegal(const struct weir_flow_stage *stage, const char *what, uint32_t port)
{
    char text[160];

    snprintf(text, sizeof text, "stage %s: %s (port %u)", stage->ops->name, what, port);
    weir_assert_failed(__FILE__, __LINE__, text);
}

static inline struct flow_connection *inlet_of(const struct weir_flow_stage *stage, uint32_t inlet)
{
    if (weir_unlikely(inlet >= stage->in_count))
        flow_illegal(stage, "there is no such inlet", inlet);
    return stage->ins[inlet];
}

static inline struct flow_connection *outlet_of(const struct weir_flow_stage *stage,
                                                uint32_t outlet)
{
    if (weir_unlikely(outlet >= stage->out_count))
        flow_illegal(stage, "there is no such outlet", outlet);
    return stage->outs[outlet];
}

static inline void enqueue(struct flow_connection *edge)
{
    if (!(edge->flags & FLOW_QUEUED))
        flow_enqueue_as(edge, edge->state | FLOW_STATE(0, FLOW_QUEUED));
}

static void list_stopping(struct weir_flow_stage *stage)
{
    if (stage->stopping || stage->stopped)
        return;
    stage->stopping = true;
    stage->next_stopping = stage->island->stopping;
    stage->island->stopping = stage;
}

static void port_closed(struct weir_flow_stage *stage)
{
    weir_assert(stage->open_ports > 0);
    if (--stage->open_ports == 0)
        list_stopping(stage);
}

static void drop_element_of(struct flow_connection *edge)
{
    if (edge->phase == FLOW_PUSHED || edge->phase == FLOW_HELD)
        weir_flow_drop_element(edge->kind, edge->element);
    edge->phase = FLOW_IDLE;
}

/* ---- inlets ---------------------------------------------------------------------------------- */

void weir_flow_pull(struct weir_flow_stage *stage, uint32_t inlet)
{
    struct flow_connection *edge = inlet_of(stage, inlet);

    if (weir_unlikely(edge->flags & FLOW_IN_CLOSED))
        flow_illegal(stage, "pull of a closed inlet", inlet);
    if (weir_unlikely(edge->phase != FLOW_IDLE))
        flow_illegal(
            stage, edge->phase == FLOW_HELD ? "pull before grab" : "pull of a pulled inlet", inlet);
    edge->phase = FLOW_PULLED;
    if (!(edge->flags & FLOW_OUT_CLOSED))
        enqueue(edge);
}

void weir_flow_try_pull(struct weir_flow_stage *stage, uint32_t inlet)
{
    struct flow_connection *edge = inlet_of(stage, inlet);

    if (!(edge->flags & FLOW_IN_CLOSED) && edge->phase == FLOW_IDLE)
        weir_flow_pull(stage, inlet);
}

void *weir_flow_grab(struct weir_flow_stage *stage, uint32_t inlet)
{
    struct flow_connection *edge = inlet_of(stage, inlet);

    if (weir_unlikely(edge->phase != FLOW_HELD))
        flow_illegal(stage, "grab without an element", inlet);
    edge->phase = FLOW_IDLE;
    return edge->element;
}

void weir_flow_cancel(struct weir_flow_stage *stage, uint32_t inlet, const struct weir_error *cause)
{
    struct flow_connection *edge = inlet_of(stage, inlet);

    if (edge->flags & FLOW_IN_CLOSED)
        return;
    edge->flags |= FLOW_IN_CLOSED;
    drop_element_of(edge);
    port_closed(stage);
    if (edge->flags & FLOW_OUT_CLOSED)
        return;
    if (cause != NULL) {
        edge->error = *cause;
        edge->flags |= FLOW_FAULTY;
    }
    enqueue(edge);
}

bool weir_flow_in_is_available(const struct weir_flow_stage *stage, uint32_t inlet)
{
    return inlet_of(stage, inlet)->phase == FLOW_HELD;
}

bool weir_flow_has_been_pulled(const struct weir_flow_stage *stage, uint32_t inlet)
{
    const struct flow_connection *edge = inlet_of(stage, inlet);

    return !(edge->flags & FLOW_IN_CLOSED) && edge->phase != FLOW_IDLE && edge->phase != FLOW_HELD;
}

bool weir_flow_in_is_closed(const struct weir_flow_stage *stage, uint32_t inlet)
{
    return inlet_of(stage, inlet)->flags & FLOW_IN_CLOSED;
}

/* ---- outlets --------------------------------------------------------------------------------- */

void weir_flow_push(struct weir_flow_stage *stage, uint32_t outlet, void *element)
{
    struct flow_connection *edge = outlet_of(stage, outlet);

    if (weir_unlikely(edge->flags & FLOW_OUT_CLOSED))
        flow_illegal(stage, "push to a closed outlet", outlet);
    if (weir_unlikely(element == NULL))
        flow_illegal(stage, "push of NULL", outlet);
    if (weir_unlikely(edge->flags & FLOW_IN_CLOSED)) {
        /* Cancelled, and the stage has not been told yet. */
        weir_flow_drop_element(edge->kind, element);
        return;
    }
    if (weir_unlikely(edge->phase != FLOW_DEMAND))
        flow_illegal(stage, "push without demand", outlet);
    edge->element = element;
    edge->phase = FLOW_PUSHED;
    enqueue(edge);
}

static void close_outlet(struct weir_flow_stage *stage, uint32_t outlet,
                         const struct weir_error *error)
{
    struct flow_connection *edge = outlet_of(stage, outlet);

    if (edge->flags & FLOW_OUT_CLOSED)
        return;
    edge->flags |= FLOW_OUT_CLOSED;
    port_closed(stage);
    if (edge->flags & FLOW_IN_CLOSED)
        return;
    if (error != NULL) {
        edge->error = *error;
        edge->flags |= FLOW_FAULTY;
    }
    enqueue(edge);
}

void weir_flow_complete(struct weir_flow_stage *stage, uint32_t outlet)
{
    close_outlet(stage, outlet, NULL);
}

void weir_flow_fail(struct weir_flow_stage *stage, uint32_t outlet, const struct weir_error *error)
{
    close_outlet(stage, outlet, error);
}

bool weir_flow_out_is_available(const struct weir_flow_stage *stage, uint32_t outlet)
{
    const struct flow_connection *edge = outlet_of(stage, outlet);

    return edge->phase == FLOW_DEMAND && !(edge->flags & FLOW_OUT_CLOSED);
}

bool weir_flow_out_is_closed(const struct weir_flow_stage *stage, uint32_t outlet)
{
    return outlet_of(stage, outlet)->flags & FLOW_OUT_CLOSED;
}

/* ---- whole stages ---------------------------------------------------------------------------- */

static void close_stage(struct weir_flow_stage *stage, const struct weir_error *failure,
                        const struct weir_error *cause)
{
    for (uint32_t i = 0; i < stage->in_count; i++)
        weir_flow_cancel(stage, i, cause);
    for (uint32_t i = 0; i < stage->out_count; i++)
        close_outlet(stage, i, failure);
}

void weir_flow_complete_stage(struct weir_flow_stage *stage)
{
    close_stage(stage, NULL, NULL);
}

void weir_flow_fail_stage(struct weir_flow_stage *stage, const struct weir_error *error)
{
    /* The error may lie in an edge that is being closed. */
    const struct weir_error copy = *error;

    if (!atomic_load_explicit(&stage->resolved, memory_order_relaxed))
        weir_flow_resolve_error(stage, &copy);
    close_stage(stage, &copy, &copy);
}

void weir_flow_cancel_stage(struct weir_flow_stage *stage, const struct weir_error *cause)
{
    struct weir_error copy;

    if (cause != NULL)
        copy = *cause;
    close_stage(stage, NULL, cause != NULL ? &copy : NULL);
}

void weir_flow_keep_going(struct weir_flow_stage *stage, bool keep_going)
{
    stage->keep_going = keep_going;
    if (!keep_going && stage->open_ports == 0)
        list_stopping(stage);
}

enum weir_flow_directive flow_decide(struct weir_flow_stage *stage, const struct weir_error *error)
{
    const struct flow_node *node = stage->node;

    if (node == NULL || node->decide == NULL)
        return WEIR_FLOW_STOP;
    return node->decide(node->decide_opaque, error);
}

bool flow_fail_or_resume(struct weir_flow_stage *stage, enum weir_err code,
                         struct weir_error *error)
{
    if (error->code != code)
        weir_error_set(error, code, -1, "stage %s: %s", stage->ops->name, weir_err_text(code));
    if (flow_decide(stage, error) != WEIR_FLOW_STOP)
        return false;
    weir_flow_fail_stage(stage, error);
    return true;
}

void weir_flow_drop_element(const struct weir_flow_kind *kind, void *element)
{
    if (kind != NULL)
        kind->drop(element);
}

/* ---- results --------------------------------------------------------------------------------- */

void weir_flow_resolve(struct weir_flow_stage *stage, void *value,
                       const struct weir_flow_kind *kind)
{
    weir_assert(!atomic_load_explicit(&stage->resolved, memory_order_relaxed));
    stage->result = value;
    stage->result_kind = kind;
    atomic_store_explicit(&stage->resolved, true, memory_order_release);
}

void weir_flow_resolve_error(struct weir_flow_stage *stage, const struct weir_error *error)
{
    weir_assert(!atomic_load_explicit(&stage->resolved, memory_order_relaxed));
    stage->result_error = *error;
    atomic_store_explicit(&stage->resolved, true, memory_order_release);
}

/* ---- timers ---------------------------------------------------------------------------------- */

int64_t weir_flow_now_ns(const struct weir_flow_stage *stage)
{
    return weir_clock_now_ns(flow_options(stage->island)->clock);
}

void weir_flow_timer_start(struct weir_flow_stage *stage, uint32_t timer, int64_t delay_ms,
                           int64_t period_ms)
{
    struct flow_island *island = stage->island;
    struct weir_loop_timer *entry = &stage->timers[timer];

    weir_assert(timer < stage->ops->timer_count && delay_ms >= 0 && period_ms >= 0);
    if (stage->stopped)
        return;
    if (__builtin_mul_overflow(delay_ms, WEIR_NS_PER_MS, &entry->due_ns) ||
        __builtin_add_overflow(entry->due_ns, weir_flow_now_ns(stage), &entry->due_ns) ||
        __builtin_mul_overflow(period_ms, WEIR_NS_PER_MS, &entry->period_ns)) {
        entry->due_ns = FLOW_NEVER; /* in more than 292 years */
        entry->period_ns = 0;
    }
    entry->sequence = ++island->timer_sequence;
    weir_timer_heap_move(&island->timers, entry);
}

void weir_flow_timer_stop(struct weir_flow_stage *stage, uint32_t timer)
{
    weir_assert(timer < stage->ops->timer_count);
    stage->timers[timer].due_ns = FLOW_NEVER;
    weir_timer_heap_move(&stage->island->timers, &stage->timers[timer]);
}

static int64_t due_ns_of(const struct flow_island *island)
{
    return island->timers.count > 0 ? island->timers.timers[0]->due_ns : FLOW_NEVER;
}

/* ---- events from anywhere -------------------------------------------------------------------- */

void weir_flow_event_init(struct weir_flow_event *event, struct weir_flow_stage *stage)
{
    *event = (struct weir_flow_event){.stage = stage};
}

void weir_flow_invoke(struct weir_flow_event *event)
{
    struct flow_island *island = event->stage->island;
    struct weir_flow_stream *stream = island->stream;

    atomic_fetch_add(&stream->invokers, 1);
    if (!__atomic_exchange_n(&event->waiting, true, __ATOMIC_ACQ_REL)) {
        struct weir_flow_event *first = atomic_load(&island->mailbox);
        do
            event->next = first;
        while (!atomic_compare_exchange_weak(&island->mailbox, &first, event));
        /* The event may be through, and its owner gone, from here on. */
        flow_island_wake(island);
    }
    atomic_fetch_sub(&stream->invokers, 1);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void stop_stage(struct weir_flow_stage *stage)
{
    const struct weir_error closed = {
        .code = WEIR_CLOSED, .position = -1, .message = "flow: cancelled before it had a result"};

    stage->stopped = true;
    stage->island->alive_count--;
    for (uint32_t i = 0; i < stage->ops->timer_count; i++)
        weir_flow_timer_stop(stage, i);
    if (stage->ops->stop != NULL)
        stage->ops->stop(stage->self, stage);
    for (uint32_t i = 0; i < stage->in_count; i++)
        drop_element_of(stage->ins[i]);
    if (!atomic_load_explicit(&stage->resolved, memory_order_relaxed))
        weir_flow_resolve_error(stage, &closed);
}

static void settle(struct flow_island *island)
{
    while (island->stopping != NULL) {
        struct weir_flow_stage *stage = island->stopping;
        island->stopping = stage->next_stopping;
        stage->stopping = false;
        if (!stage->keep_going && !stage->stopped)
            stop_stage(stage);
    }
}

static void tell_cancelled(struct flow_connection *edge)
{
    struct weir_flow_stage *stage = edge->out_stage;
    const struct weir_error *cause = edge->flags & FLOW_FAULTY ? &edge->error : NULL;

    edge->flags |= FLOW_OUT_CLOSED;
    port_closed(stage);
    if (stage->ops->on_downstream_finish != NULL)
        stage->ops->on_downstream_finish(stage->self, stage, edge->out_port, cause);
    else
        weir_flow_cancel_stage(stage, cause);
}

static void tell_finished(struct flow_connection *edge)
{
    struct weir_flow_stage *stage = edge->in_stage;

    edge->flags |= FLOW_IN_CLOSED;
    if (edge->phase != FLOW_HELD)
        edge->phase = FLOW_IDLE;
    port_closed(stage);
    if (edge->flags & FLOW_FAULTY) {
        if (stage->ops->on_upstream_failure != NULL)
            stage->ops->on_upstream_failure(stage->self, stage, edge->in_port, &edge->error);
        else
            weir_flow_fail_stage(stage, &edge->error);
    } else if (stage->ops->on_upstream_finish != NULL) {
        stage->ops->on_upstream_finish(stage->self, stage, edge->in_port);
    } else {
        weir_flow_complete_stage(stage);
    }
}

static inline void process(struct flow_connection *edge)
{
    struct weir_flow_stage *in = edge->in_stage, *out = edge->out_stage;

    if (weir_likely(edge->state == FLOW_STATE(FLOW_PUSHED, FLOW_QUEUED))) {
        edge->state = FLOW_STATE(FLOW_HELD, 0);
        in->ops->on_push(in->self, in, edge->in_port);
        return;
    }
    if (weir_likely(edge->state == FLOW_STATE(FLOW_PULLED, FLOW_QUEUED))) {
        edge->state = FLOW_STATE(FLOW_DEMAND, 0);
        out->ops->on_pull(out->self, out, edge->out_port);
        return;
    }
    edge->flags &= (uint8_t)~FLOW_QUEUED;
    if (edge->flags == 0)
        return;
    if (edge->flags & FLOW_IN_CLOSED) {
        if (!(edge->flags & FLOW_OUT_CLOSED))
            tell_cancelled(edge);
    } else if (edge->phase == FLOW_PUSHED) {
        /* The last element goes before the completion. */
        edge->phase = FLOW_HELD;
        in->ops->on_push(in->self, in, edge->in_port);
        if (!(edge->flags & FLOW_IN_CLOSED))
            enqueue(edge);
    } else {
        tell_finished(edge);
    }
}

/* In any order: all are legal. */
static void process_fuzzing(struct flow_island *island)
{
    uint32_t left = 1 + weir_random_below(&island->random, 8);

    for (; island->queue_head != island->queue_tail && left > 0; left--) {
        uint32_t head = island->queue_head++;
        uint32_t other = head + weir_random_below(&island->random, island->queue_tail - head);
        struct flow_connection *edge = island->queue[other & island->queue_mask];
        island->queue[other & island->queue_mask] = island->queue[head & island->queue_mask];
        process(edge);
        settle(island);
    }
}

static void process_events(struct flow_island *island)
{
    struct flow_connection *const *const queue = island->queue;
    const uint32_t mask = island->queue_mask;
    uint32_t head = island->queue_head, left = flow_options(island)->events_max;

    for (; head != island->queue_tail && left > 0; left--) {
        process(queue[head++ & mask]);
        if (weir_unlikely(island->stopping != NULL))
            settle(island);
    }
    island->queue_head = head;
}

static void take_mail(struct flow_island *island)
{
    struct weir_flow_event *young =
        atomic_exchange_explicit(&island->mailbox, NULL, memory_order_acquire);
    struct weir_flow_event *old = NULL;

    while (young != NULL) {
        struct weir_flow_event *next = young->next;
        young->next = old;
        old = young;
        young = next;
    }
    while (old != NULL) {
        struct weir_flow_event *event = old;
        struct weir_flow_stage *stage = event->stage;
        old = event->next;
        /* From here on it may be sent again, and what was written before is seen by the handler. */
        (void)__atomic_exchange_n(&event->waiting, false, __ATOMIC_ACQ_REL);
        if (!stage->stopped)
            stage->ops->on_event(stage->self, stage, event);
        settle(island);
    }
}

static void fire_timers(struct flow_island *island)
{
    int64_t now_ns;

    if (due_ns_of(island) == FLOW_NEVER)
        return;
    now_ns = weir_clock_now_ns(flow_options(island)->clock);
    while (due_ns_of(island) <= now_ns) {
        struct weir_loop_timer *timer = island->timers.timers[0];
        struct weir_flow_stage *stage = timer->opaque;
        if (timer->period_ns > 0) /* late: it fires once and keeps its rhythm */
            timer->due_ns += ((now_ns - timer->due_ns) / timer->period_ns + 1) * timer->period_ns;
        else
            timer->due_ns = FLOW_NEVER;
        timer->sequence = ++island->timer_sequence;
        weir_timer_heap_move(&island->timers, timer);
        stage->ops->on_timer(stage->self, stage, (uint32_t)(timer - stage->timers));
        settle(island);
    }
}

static void abort_stages(struct flow_island *island)
{
    const struct weir_error closed = {
        .code = WEIR_CLOSED, .position = -1, .message = "flow: the stream was aborted"};

    island->aborted = true;
    for (uint32_t i = 0; i < island->stage_count; i++)
        if (!island->stages[i]->stopped)
            weir_flow_fail_stage(island->stages[i], &closed);
    settle(island);
}

static enum flow_turn island_turn(struct flow_runnable *runnable)
{
    struct flow_island *island = (struct flow_island *)runnable;

    if (!island->started) {
        island->started = true;
        for (uint32_t i = 0; i < island->stage_count; i++) {
            struct weir_flow_stage *stage = island->stages[i];
            if (stage->ops->start != NULL)
                stage->ops->start(stage->self, stage);
        }
        settle(island);
    }
    if (weir_unlikely(!island->aborted && atomic_load(&island->stream->aborting)))
        abort_stages(island);
    if (atomic_load(&island->mailbox) != NULL)
        take_mail(island);
    fire_timers(island);
    if (weir_unlikely(island->fuzzing))
        process_fuzzing(island);
    else
        process_events(island);
    flow_boundaries_flush(island);
    if (island->alive_count == 0)
        return FLOW_ENDED;
    return island->queue_head != island->queue_tail ? FLOW_MORE_TO_DO : FLOW_IDLE_NOW;
}

static int64_t island_due_ns(const struct flow_runnable *runnable)
{
    return due_ns_of((const struct flow_island *)runnable);
}

static void island_ended(struct flow_runnable *runnable)
{
    const struct flow_island *island = (const struct flow_island *)runnable;

    if (--island->stream->islands_alive == 0)
        pthread_cond_broadcast(&runnable->materializer->ended);
}

const struct flow_runnable_ops flow_island_ops = {
    .turn = island_turn,
    .due_ns = island_due_ns,
    .ended = island_ended,
};
