/* Blueprints: nodes and edges, and the first error of building them. */
#include <string.h>

#include "base/alloc.h"
#include "flow/inside.h"

enum { GRAPH_BYTES_MAX = 64 << 20, BUFFER_DEFAULT = 16 };

enum weir_err weir_flow_graph_new(struct weir_flow_graph **out)
{
    struct weir_flow_graph *graph = weir_calloc(1, sizeof *graph);

    if (graph == NULL)
        return WEIR_NOMEM;
    graph->nodes = weir_calloc(WEIR_FLOW_STAGES_MAX, sizeof(struct flow_node *));
    if (graph->nodes == NULL) {
        weir_free(graph);
        return WEIR_NOMEM;
    }
    weir_arena_init(&graph->arena, GRAPH_BYTES_MAX);
    atomic_init(&graph->references, 1);
    *out = graph;
    return WEIR_OK;
}

void flow_graph_unref(struct weir_flow_graph *graph)
{
    if (atomic_fetch_sub(&graph->references, 1) != 1)
        return;
    weir_arena_release(&graph->arena);
    weir_free(graph->nodes);
    weir_free(graph);
}

void weir_flow_graph_free(struct weir_flow_graph *graph)
{
    if (graph != NULL)
        flow_graph_unref(graph);
}

void weir_flow_graph_fail(struct weir_flow_graph *graph, enum weir_err code, const char *message)
{
    if (graph->error.code == WEIR_OK)
        weir_error_set(&graph->error, code, -1, "%s", message);
}

struct weir_flow_outlet flow_no_outlet(struct weir_flow_graph *graph)
{
    return (struct weir_flow_outlet){graph, WEIR_FLOW_NONE, 0};
}

const struct weir_flow_kind *weir_flow_outlet_kind(struct weir_flow_outlet outlet)
{
    return outlet.stage < 0 ? NULL : outlet.graph->nodes[outlet.stage]->kind;
}

static enum weir_err check_ins(struct weir_flow_graph *graph, const char *name,
                               const struct weir_flow_stage_options *options)
{
    for (uint32_t i = 0; i < options->in_count; i++) {
        const struct weir_flow_outlet in = options->ins[i];
        bool known = in.graph == graph && in.stage >= 0 && in.port >= 0 &&
                     (uint32_t)in.stage < graph->node_count &&
                     (uint32_t)in.port < graph->nodes[in.stage]->out_count;
        if (!known)
            return weir_error_set(&graph->error, WEIR_INVALID, -1,
                                  "flow: inlet %u of %s gets no outlet of this graph", i, name);
        if (graph->nodes[in.stage]->connected[in.port])
            return weir_error_set(&graph->error, WEIR_INVALID, -1,
                                  "flow: outlet %d of %s is connected twice", (int)in.port,
                                  graph->nodes[in.stage]->ops->name);
        graph->nodes[in.stage]->connected[in.port] = true;
    }
    return WEIR_OK;
}

static struct flow_node *make_node(struct weir_flow_graph *graph,
                                   const struct weir_flow_stage_ops *ops,
                                   const struct weir_flow_stage_options *options)
{
    struct weir_arena *arena = &graph->arena;
    struct flow_node *node = weir_arena_calloc(arena, 1, sizeof *node);
    void *config = weir_arena_calloc(arena, 1, options->config_bytes);

    if (node == NULL || config == NULL)
        return NULL;
    node->ops = ops;
    node->kind = options->kind;
    node->in_count = options->in_count;
    node->out_count = options->out_count;
    node->ins = weir_arena_calloc(arena, options->in_count, sizeof *node->ins);
    node->async_buffer = weir_arena_calloc(arena, options->out_count, sizeof(uint32_t));
    node->connected = weir_arena_calloc(arena, options->out_count, sizeof(bool));
    if (node->ins == NULL || node->async_buffer == NULL || node->connected == NULL)
        return NULL;
    if (options->config_bytes > 0)
        memcpy(config, options->config, options->config_bytes);
    node->config = config;
    for (uint32_t i = 0; i < options->in_count; i++)
        node->ins[i] = (struct flow_end){options->ins[i].stage, options->ins[i].port};
    return node;
}

int32_t weir_flow_stage_add(struct weir_flow_graph *graph, const struct weir_flow_stage_ops *ops,
                            const struct weir_flow_stage_options *options)
{
    struct flow_node *node;

    if (graph->error.code != WEIR_OK)
        return WEIR_FLOW_NONE;
    weir_assert(ops->abi == WEIR_FLOW_STAGE_ABI && ops->name != NULL);
    weir_assert(options->in_count == 0 || ops->on_push != NULL);
    weir_assert(options->out_count == 0 || ops->on_pull != NULL);
    if (options->in_count > WEIR_FLOW_PORTS_MAX || options->out_count > WEIR_FLOW_PORTS_MAX ||
        options->in_count + options->out_count == 0) {
        weir_error_set(&graph->error, WEIR_INVALID, -1, "flow: %s has %u inlets and %u outlets",
                       ops->name, options->in_count, options->out_count);
        return WEIR_FLOW_NONE;
    }
    if (graph->node_count == WEIR_FLOW_STAGES_MAX) {
        weir_flow_graph_fail(graph, WEIR_LIMIT, "flow: the graph has too many stages");
        return WEIR_FLOW_NONE;
    }
    if (check_ins(graph, ops->name, options) != WEIR_OK)
        return WEIR_FLOW_NONE;
    node = make_node(graph, ops, options);
    if (node == NULL) {
        weir_flow_graph_fail(graph, weir_arena_full(&graph->arena) ? WEIR_LIMIT : WEIR_NOMEM,
                             "flow: no memory for a stage of the graph");
        return WEIR_FLOW_NONE;
    }
    graph->edge_count += options->in_count;
    graph->nodes[graph->node_count] = node;
    return (int32_t)graph->node_count++;
}

struct weir_flow_outlet flow_add_linear(struct weir_flow_outlet in,
                                        const struct weir_flow_stage_ops *ops, const void *config,
                                        size_t config_bytes, const struct weir_flow_kind *kind)
{
    const struct weir_flow_stage_options options = {.config = config,
                                                    .config_bytes = config_bytes,
                                                    .ins = &in,
                                                    .in_count = 1,
                                                    .out_count = 1,
                                                    .kind = kind};
    return (struct weir_flow_outlet){in.graph, weir_flow_stage_add(in.graph, ops, &options), 0};
}

struct weir_flow_outlet flow_add_source(struct weir_flow_graph *graph,
                                        const struct weir_flow_stage_ops *ops, const void *config,
                                        size_t config_bytes, const struct weir_flow_kind *kind)
{
    const struct weir_flow_stage_options options = {
        .config = config, .config_bytes = config_bytes, .out_count = 1, .kind = kind};
    return (struct weir_flow_outlet){graph, weir_flow_stage_add(graph, ops, &options), 0};
}

int32_t flow_add_sink(struct weir_flow_outlet in, const struct weir_flow_stage_ops *ops,
                      const void *config, size_t config_bytes)
{
    const struct weir_flow_stage_options options = {
        .config = config, .config_bytes = config_bytes, .ins = &in, .in_count = 1};
    return weir_flow_stage_add(in.graph, ops, &options);
}

struct weir_flow_outlet weir_flow_async(struct weir_flow_outlet in, uint32_t buffer)
{
    uint32_t capacity = 2;

    if (in.stage < 0)
        return in;
    if (buffer > WEIR_FLOW_BUFFER_MAX) {
        weir_flow_graph_fail(in.graph, WEIR_LIMIT, "flow: the buffer of async is too large");
        return flow_no_outlet(in.graph);
    }
    while (capacity < (buffer > 0 ? buffer : BUFFER_DEFAULT))
        capacity *= 2;
    if (in.graph->nodes[in.stage]->async_buffer[in.port] == 0)
        in.graph->async_count++;
    in.graph->nodes[in.stage]->async_buffer[in.port] = capacity;
    return in;
}

struct weir_flow_outlet weir_flow_supervision(
    struct weir_flow_outlet in,
    enum weir_flow_directive (*decide)(void *opaque, const struct weir_error *error), void *opaque)
{
    if (in.stage >= 0) {
        in.graph->nodes[in.stage]->decide = decide;
        in.graph->nodes[in.stage]->decide_opaque = opaque;
    }
    return in;
}

enum weir_err flow_graph_check(const struct weir_flow_graph *graph, struct weir_error *error)
{
    if (graph->error.code != WEIR_OK) {
        if (error != NULL)
            *error = graph->error;
        return graph->error.code;
    }
    if (graph->node_count == 0)
        return weir_error_set(error, WEIR_INVALID, -1, "flow: the graph is empty");
    for (uint32_t i = 0; i < graph->node_count; i++)
        for (uint32_t port = 0; port < graph->nodes[i]->out_count; port++)
            if (!graph->nodes[i]->connected[port])
                return weir_error_set(error, WEIR_INVALID, -1,
                                      "flow: outlet %u of stage %u (%s) is not connected", port, i,
                                      graph->nodes[i]->ops->name);
    return WEIR_OK;
}
