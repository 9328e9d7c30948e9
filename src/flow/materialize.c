/* From blueprint to stream: stages, connections, islands; the end of a stream and its results. */
#include <sched.h>
#include <string.h>

#include "base/alloc.h"
#include "flow/inside.h"

enum { STREAM_BYTES_MAX = 1 << 30 };

/* ---- what an init sees ----------------------------------------------------------------------- */

void *weir_flow_stage_alloc(struct weir_flow_stage *stage, size_t bytes)
{
    return weir_arena_calloc(&stage->island->stream->arena, 1, bytes);
}

void weir_flow_stage_value_set(struct weir_flow_stage *stage, void *value)
{
    stage->value = value;
}

const void *weir_flow_stage_config(const struct weir_flow_stage *stage)
{
    return stage->config;
}

uint32_t weir_flow_stage_in_count(const struct weir_flow_stage *stage)
{
    return stage->in_count;
}

uint32_t weir_flow_stage_out_count(const struct weir_flow_stage *stage)
{
    return stage->out_count;
}

const struct weir_flow_kind *weir_flow_in_kind(const struct weir_flow_stage *stage, uint32_t inlet)
{
    weir_assert(inlet < stage->in_count);
    return stage->ins[inlet]->kind;
}

const struct weir_flow_kind *weir_flow_out_kind(const struct weir_flow_stage *stage,
                                                uint32_t outlet)
{
    weir_assert(outlet < stage->out_count);
    return stage->outs[outlet]->kind;
}

/* ---- islands: the stages that fused edges hold together -------------------------------------- */

static uint32_t root_of(uint32_t *parents, uint32_t node)
{
    while (parents[node] != node)
        node = parents[node] = parents[parents[node]];
    return node;
}

/* Numbers the islands: parents[node] becomes the number of its island. */
static uint32_t divide(const struct weir_flow_graph *graph, uint32_t *parents, uint32_t *numbers)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < graph->node_count; i++)
        parents[i] = i;
    for (uint32_t i = 0; i < graph->node_count; i++)
        for (uint32_t port = 0; port < graph->nodes[i]->in_count; port++) {
            const struct flow_end end = graph->nodes[i]->ins[port];
            if (graph->nodes[end.node]->async_buffer[end.port] == 0)
                parents[root_of(parents, i)] = root_of(parents, (uint32_t)end.node);
        }
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (root_of(parents, i) == i)
            numbers[i] = count++;
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (root_of(parents, i) != i)
            numbers[i] = numbers[root_of(parents, i)];
    return count;
}

/* ---- building -------------------------------------------------------------------------------- */

static enum weir_err make_stage(struct weir_flow_stream *stream, struct weir_flow_stage *stage,
                                const struct weir_flow_stage_ops *ops, struct flow_island *island,
                                uint32_t in_count, uint32_t out_count)
{
    struct weir_arena *arena = &stream->arena;

    stage->ops = ops;
    stage->island = island;
    stage->in_count = (uint16_t)in_count;
    stage->out_count = (uint16_t)out_count;
    stage->open_ports = in_count + out_count;
    stage->self = weir_arena_alloc_aligned(arena, 64, ops->self_bytes > 0 ? ops->self_bytes : 1);
    stage->ins = weir_arena_calloc(arena, in_count, sizeof(struct flow_connection *));
    stage->outs = weir_arena_calloc(arena, out_count, sizeof(struct flow_connection *));
    stage->timers = weir_arena_calloc(arena, ops->timer_count, sizeof *stage->timers);
    if (stage->self == NULL || stage->ins == NULL || stage->outs == NULL || stage->timers == NULL)
        return WEIR_NOMEM;
    memset(stage->self, 0, ops->self_bytes);
    island->stage_count++;
    for (uint32_t i = 0; i < ops->timer_count; i++) {
        stage->timers[i].opaque = stage;
        stage->timers[i].due_ns = FLOW_NEVER;
        if (weir_timer_heap_insert(&island->timers, &stage->timers[i]) != WEIR_OK)
            return WEIR_NOMEM;
    }
    return WEIR_OK;
}

static void connect_ports(struct weir_flow_stream *stream, struct weir_flow_stage *from,
                          uint32_t out_port, struct weir_flow_stage *to, uint32_t in_port,
                          const struct weir_flow_kind *kind)
{
    struct flow_connection *edge = &stream->connections[stream->connection_count++];

    edge->out_stage = from;
    edge->in_stage = to;
    edge->island = to->island;
    edge->out_port = (uint16_t)out_port;
    edge->in_port = (uint16_t)in_port;
    edge->kind = kind;
    from->outs[out_port] = edge;
    to->ins[in_port] = edge;
}

static enum weir_err make_boundary(struct weir_flow_stream *stream, struct weir_flow_stage *from,
                                   uint32_t out_port, struct weir_flow_stage *to, uint32_t in_port)
{
    const struct weir_flow_kind *kind = from->node->kind;
    struct flow_boundary *boundary =
        flow_boundary_new(stream, from->node->async_buffer[out_port], kind);
    struct weir_flow_stage *above = &stream->stages[stream->stage_count++];
    struct weir_flow_stage *below = &stream->stages[stream->stage_count++];

    if (boundary == NULL ||
        make_stage(stream, above, &flow_boundary_in_ops, from->island, 1, 0) != WEIR_OK ||
        make_stage(stream, below, &flow_boundary_out_ops, to->island, 0, 1) != WEIR_OK)
        return WEIR_NOMEM;
    above->config = below->config = boundary;
    connect_ports(stream, from, out_port, above, 0, kind);
    connect_ports(stream, below, 0, to, in_port, kind);
    return WEIR_OK;
}

static enum weir_err make_stages(struct weir_flow_stream *stream, const uint32_t *numbers)
{
    const struct weir_flow_graph *graph = stream->graph;

    stream->stage_count = graph->node_count;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct flow_node *node = graph->nodes[i];
        struct weir_flow_stage *stage = &stream->stages[i];
        stage->node = node;
        stage->config = node->config;
        if (make_stage(stream, stage, node->ops, &stream->islands[numbers[i]], node->in_count,
                       node->out_count) != WEIR_OK)
            return WEIR_NOMEM;
    }
    for (uint32_t i = 0; i < graph->node_count; i++)
        for (uint32_t port = 0; port < graph->nodes[i]->in_count; port++) {
            const struct flow_end end = graph->nodes[i]->ins[port];
            struct weir_flow_stage *from = &stream->stages[end.node], *to = &stream->stages[i];
            if (from->node->async_buffer[end.port] == 0)
                connect_ports(stream, from, (uint32_t)end.port, to, port, from->node->kind);
            else if (make_boundary(stream, from, (uint32_t)end.port, to, port) != WEIR_OK)
                return WEIR_NOMEM;
        }
    return WEIR_OK;
}

/* An island's list of stages and its event queue, with a place for each of its edges. */
static enum weir_err furnish(struct weir_flow_stream *stream, struct flow_island *island)
{
    uint32_t edges = 0, places = 1, count = 0;

    for (uint32_t i = 0; i < stream->connection_count; i++)
        edges += stream->connections[i].in_stage->island == island;
    while (places < edges)
        places *= 2;
    island->queue_mask = places - 1;
    island->queue = weir_arena_calloc(&stream->arena, places, sizeof(struct flow_connection *));
    island->stages =
        weir_arena_calloc(&stream->arena, island->stage_count, sizeof(struct weir_flow_stage *));
    if (island->queue == NULL || island->stages == NULL)
        return WEIR_NOMEM;
    for (uint32_t i = 0; i < stream->stage_count; i++)
        if (stream->stages[i].island == island)
            island->stages[count++] = &stream->stages[i];
    island->alive_count = count;
    return WEIR_OK;
}

static enum weir_err build(struct weir_flow_stream *stream)
{
    const struct weir_flow_graph *graph = stream->graph;
    struct weir_arena *arena = &stream->arena;
    uint32_t *parents = weir_arena_calloc(arena, graph->node_count, sizeof *parents);
    uint32_t *numbers = weir_arena_calloc(arena, graph->node_count, sizeof *numbers);

    stream->stages = weir_arena_calloc(arena, graph->node_count + 2 * graph->async_count,
                                       sizeof *stream->stages);
    stream->connections = weir_arena_calloc(arena, graph->edge_count + graph->async_count,
                                            sizeof *stream->connections);
    if (parents == NULL || numbers == NULL || stream->stages == NULL || stream->connections == NULL)
        return WEIR_NOMEM;
    stream->island_count = divide(graph, parents, numbers);
    stream->islands =
        weir_arena_alloc_aligned(arena, 64, stream->island_count * sizeof *stream->islands);
    if (stream->islands == NULL)
        return WEIR_NOMEM;
    memset(stream->islands, 0, stream->island_count * sizeof *stream->islands);
    for (uint32_t i = 0; i < stream->island_count; i++) {
        stream->islands[i].stream = stream;
        flow_runnable_init(&stream->islands[i].runnable, &flow_island_ops, stream->materializer);
        stream->islands[i].timers.count_max = UINT32_MAX;
    }
    if (make_stages(stream, numbers) != WEIR_OK)
        return WEIR_NOMEM;
    for (uint32_t i = 0; i < stream->island_count; i++)
        if (furnish(stream, &stream->islands[i]) != WEIR_OK)
            return WEIR_NOMEM;
    return WEIR_OK;
}

static enum weir_err init_stages(struct weir_flow_stream *stream, struct weir_error *error)
{
    for (uint32_t i = 0; i < stream->stage_count; i++) {
        struct weir_flow_stage *stage = &stream->stages[i];
        if (stage->ops->init != NULL) {
            enum weir_err err = stage->ops->init(stage->self, stage, error);
            if (err == WEIR_NOMEM)
                weir_error_set(error, err, -1, "flow: no memory for stage %s", stage->ops->name);
            if (err != WEIR_OK)
                return err;
        }
        stage->initialised = true;
    }
    return WEIR_OK;
}

static void release(struct weir_flow_stream *stream)
{
    /* Sinks first: what a source lends out is back when its turn comes. */
    for (uint32_t i = stream->stage_count; i-- > 0;) {
        struct weir_flow_stage *stage = &stream->stages[i];
        if (stage->initialised && stage->ops->release != NULL)
            stage->ops->release(stage->self, stage);
        if (stage->result != NULL)
            weir_flow_drop_element(stage->result_kind, stage->result);
    }
    for (uint32_t i = 0; i < stream->island_count; i++)
        weir_timer_heap_release(&stream->islands[i].timers);
    flow_graph_unref(stream->graph);
    weir_arena_release(&stream->arena);
    weir_free(stream);
}

static enum weir_err start(struct weir_flow_stream *stream)
{
    struct weir_flow_materializer *materializer = stream->materializer;
    uint32_t entered = 0;

    pthread_mutex_lock(&materializer->mutex);
    while (entered < stream->island_count &&
           flow_enter(&stream->islands[entered].runnable) == WEIR_OK)
        entered++;
    if (entered < stream->island_count) {
        while (entered-- > 0)
            flow_leave(&stream->islands[entered].runnable);
        pthread_mutex_unlock(&materializer->mutex);
        return WEIR_NOMEM;
    }
    stream->islands_alive = stream->island_count;
    materializer->user_count++;
    for (uint32_t i = 0; i < stream->island_count; i++) {
        stream->islands[i].fuzzing = materializer->options.fuzzing;
        stream->islands[i].random.state = weir_random_next(&materializer->random);
        flow_schedule_first(&stream->islands[i].runnable);
    }
    pthread_mutex_unlock(&materializer->mutex);
    return WEIR_OK;
}

enum weir_err weir_flow_run(struct weir_flow_graph *graph,
                            struct weir_flow_materializer *materializer,
                            struct weir_flow_stream **out, struct weir_error *error)
{
    enum weir_err err = flow_graph_check(graph, error);
    struct weir_flow_stream *stream;

    if (err != WEIR_OK)
        return err;
    stream = weir_calloc(1, sizeof *stream);
    if (stream == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "flow: no memory for a stream");
    weir_arena_init(&stream->arena, STREAM_BYTES_MAX);
    atomic_fetch_add(&graph->references, 1);
    stream->graph = graph;
    stream->materializer = materializer;
    err = build(stream);
    if (err != WEIR_OK)
        weir_error_set(error, err, -1, "flow: no memory for a stream");
    else
        err = init_stages(stream, error);
    if (err == WEIR_OK)
        err = start(stream);
    if (err != WEIR_OK) {
        if (stream->stages == NULL || stream->islands == NULL)
            stream->stage_count = stream->island_count = 0;
        release(stream);
        return err;
    }
    *out = stream;
    return WEIR_OK;
}

enum weir_err weir_flow_stream_wait(struct weir_flow_stream *stream, int64_t timeout_ms)
{
    return flow_wait(stream->materializer, &stream->islands_alive, timeout_ms);
}

void weir_flow_stream_abort(struct weir_flow_stream *stream)
{
    atomic_store(&stream->aborting, true);
    for (uint32_t i = 0; i < stream->island_count; i++)
        flow_island_wake(&stream->islands[i]);
}

void weir_flow_stream_free(struct weir_flow_stream *stream)
{
    struct weir_flow_materializer *materializer;

    if (stream == NULL)
        return;
    materializer = stream->materializer;
    pthread_mutex_lock(&materializer->mutex);
    weir_assert(stream->islands_alive == 0);
    materializer->user_count--;
    pthread_mutex_unlock(&materializer->mutex);
    /* A thread that kept the last promise may still be on its way out of weir_flow_invoke. */
    while (atomic_load(&stream->invokers) > 0)
        sched_yield();
    release(stream);
}

void *weir_flow_stream_value(struct weir_flow_stream *stream, int32_t stage)
{
    weir_assert(stage >= 0 && (uint32_t)stage < stream->graph->node_count);
    return stream->stages[stage].value;
}

enum weir_err weir_flow_stream_result(struct weir_flow_stream *stream, int32_t number,
                                      void **value_out, struct weir_error *error)
{
    struct weir_flow_stage *stage;

    weir_assert(number >= 0 && (uint32_t)number < stream->graph->node_count);
    stage = &stream->stages[number];
    if (!atomic_load_explicit(&stage->resolved, memory_order_acquire))
        return WEIR_AGAIN;
    if (stage->result_error.code != WEIR_OK) {
        if (error != NULL)
            *error = stage->result_error;
        return stage->result_error.code;
    }
    if (value_out != NULL) {
        *value_out = stage->result;
        stage->result = NULL;
    }
    return WEIR_OK;
}
