/* The doors between streams and ordinary threads: source_queue and sink_queue. */
#include "base/queue.h"
#include "flow/inside.h"

static bool is_capacity(struct weir_flow_graph *graph, uint32_t capacity)
{
    if (capacity > 0 && capacity <= WEIR_FLOW_BUFFER_MAX)
        return true;
    weir_flow_graph_fail(graph, WEIR_INVALID, "flow: a queue of no or too many elements");
    return false;
}

static void drop_all(struct weir_queue *queue, const struct weir_flow_kind *kind)
{
    void *element;

    while (weir_queue_pop(queue, &element, 0) == WEIR_OK)
        weir_flow_drop_element(kind, element);
}

/* ---- source_queue ---------------------------------------------------------------------------- */

struct weir_flow_queue {
    struct weir_queue queue;
    struct weir_flow_event event; /* an element or the completion has come */
    _Atomic bool completed;
};

static enum weir_err queue_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    struct weir_flow_queue *queue = self;
    const uint32_t *capacity = stage->config;

    (void)error;
    weir_flow_event_init(&queue->event, stage);
    weir_flow_stage_value_set(stage, queue);
    return weir_queue_init(&queue->queue, *capacity);
}

static void queue_release(void *self, struct weir_flow_stage *stage)
{
    struct weir_flow_queue *queue = self;

    drop_all(&queue->queue, weir_flow_out_kind(stage, 0));
    weir_queue_release(&queue->queue);
}

static void queue_pull(void *self, struct weir_flow_stage *stage, uint32_t outlet)
{
    struct weir_flow_queue *queue = self;
    void *element;
    enum weir_err err = weir_queue_pop(&queue->queue, &element, 0);

    if (err == WEIR_OK)
        weir_flow_push(stage, outlet, element);
    else if (err == WEIR_CLOSED)
        weir_flow_complete_stage(stage);
}

static void queue_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    struct weir_flow_queue *queue = self;

    (void)event;
    if (weir_flow_out_is_available(stage, 0))
        queue_pull(self, stage, 0);
    else if (atomic_load(&queue->completed) && weir_queue_count(&queue->queue) == 0)
        weir_flow_complete_stage(stage);
}

static void queue_stop(void *self, struct weir_flow_stage *stage)
{
    struct weir_flow_queue *queue = self;

    weir_queue_close(&queue->queue);
    drop_all(&queue->queue, weir_flow_out_kind(stage, 0));
}

static const struct weir_flow_stage_ops queue_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "source_queue",
    .self_bytes = sizeof(struct weir_flow_queue),
    .init = queue_init,
    .release = queue_release,
    .stop = queue_stop,
    .on_pull = queue_pull,
    .on_event = queue_event,
};

struct weir_flow_outlet weir_flow_source_queue(struct weir_flow_graph *graph, uint32_t capacity,
                                               const struct weir_flow_kind *kind)
{
    if (!is_capacity(graph, capacity))
        return flow_no_outlet(graph);
    return flow_add_source(graph, &queue_ops, &capacity, sizeof capacity, kind);
}

enum weir_err weir_flow_queue_offer(struct weir_flow_queue *queue, void *element,
                                    int64_t timeout_ms)
{
    enum weir_err err;

    weir_assert(element != NULL);
    err = weir_queue_push(&queue->queue, element, timeout_ms);
    if (err == WEIR_OK)
        weir_flow_invoke(&queue->event);
    return err;
}

void weir_flow_queue_complete(struct weir_flow_queue *queue)
{
    weir_queue_close(&queue->queue);
    atomic_store(&queue->completed, true);
    weir_flow_invoke(&queue->event);
}

/* ---- sink_queue ------------------------------------------------------------------------------ */

struct weir_flow_sink_queue {
    struct weir_queue queue;
    struct weir_flow_event event; /* room, or no more is wanted */
    _Atomic bool cancelled;
    struct weir_error failure; /* before the queue is closed */
};

static enum weir_err sink_init(void *self, struct weir_flow_stage *stage, struct weir_error *error)
{
    struct weir_flow_sink_queue *queue = self;
    const uint32_t *capacity = stage->config;

    (void)error;
    weir_flow_event_init(&queue->event, stage);
    weir_flow_stage_value_set(stage, queue);
    return weir_queue_init(&queue->queue, *capacity);
}

static void sink_release(void *self, struct weir_flow_stage *stage)
{
    struct weir_flow_sink_queue *queue = self;

    drop_all(&queue->queue, weir_flow_in_kind(stage, 0));
    weir_queue_release(&queue->queue);
}

static void sink_start(void *self, struct weir_flow_stage *stage)
{
    (void)self;
    weir_flow_pull(stage, 0);
}

static void sink_pull(struct weir_flow_sink_queue *queue, struct weir_flow_stage *stage)
{
    const uint32_t *capacity = stage->config;

    if (weir_queue_count(&queue->queue) < *capacity)
        weir_flow_try_pull(stage, 0);
}

static void sink_push(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    struct weir_flow_sink_queue *queue = self;
    /* Only this stage puts elements in, and it asked because there was room. */
    enum weir_err err = weir_queue_push(&queue->queue, weir_flow_grab(stage, inlet), 0);

    weir_assert(err == WEIR_OK);
    sink_pull(queue, stage);
}

static void sink_event(void *self, struct weir_flow_stage *stage, struct weir_flow_event *event)
{
    struct weir_flow_sink_queue *queue = self;

    (void)event;
    if (atomic_load(&queue->cancelled))
        weir_flow_cancel_stage(stage, NULL);
    else
        sink_pull(queue, stage);
}

static void sink_finish(void *self, struct weir_flow_stage *stage, uint32_t inlet)
{
    (void)self;
    (void)inlet;
    weir_flow_resolve(stage, NULL, NULL);
}

static void sink_stop(void *self, struct weir_flow_stage *stage)
{
    struct weir_flow_sink_queue *queue = self;

    if (atomic_load(&stage->resolved))
        queue->failure = stage->result_error;
    weir_queue_close(&queue->queue);
}

static const struct weir_flow_stage_ops sink_ops = {
    .abi = WEIR_FLOW_STAGE_ABI,
    .name = "sink_queue",
    .self_bytes = sizeof(struct weir_flow_sink_queue),
    .init = sink_init,
    .release = sink_release,
    .start = sink_start,
    .stop = sink_stop,
    .on_push = sink_push,
    .on_upstream_finish = sink_finish,
    .on_event = sink_event,
};

int32_t weir_flow_sink_queue(struct weir_flow_outlet in, uint32_t capacity)
{
    if (!is_capacity(in.graph, capacity))
        return WEIR_FLOW_NONE;
    return flow_add_sink(in, &sink_ops, &capacity, sizeof capacity);
}

enum weir_err weir_flow_sink_queue_pull(struct weir_flow_sink_queue *queue, void **out,
                                        int64_t timeout_ms, struct weir_error *error)
{
    enum weir_err err = weir_queue_pop(&queue->queue, out, timeout_ms);

    if (err == WEIR_OK) {
        weir_flow_invoke(&queue->event);
        return WEIR_OK;
    }
    if (err != WEIR_CLOSED)
        return err;
    if (queue->failure.code == WEIR_OK)
        return WEIR_END;
    if (error != NULL)
        *error = queue->failure;
    return queue->failure.code;
}

void weir_flow_sink_queue_cancel(struct weir_flow_sink_queue *queue)
{
    atomic_store(&queue->cancelled, true);
    weir_flow_invoke(&queue->event);
}
