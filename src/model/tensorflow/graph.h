/*
 * model/tensorflow/graph.h - a GraphDef as a table of nodes.
 *
 *      nodes   [ Placeholder | Const | MatMul | ... ]    in document order
 *      inputs  [ 0 1 | 2 3 | ... ]                       indexes of nodes, node after node
 *      order   [ ... ]                                   every node behind all that it reads
 *
 * Life:    graph_open -> read it -> graph_close (also after a failed graph_open).
 * Threads: one.
 * Memory:  tables in an arena of the graph; names and messages borrow the document.
 * Errors:  the first one is in graph.err and in *graph.error.
 */
#ifndef WEIR_MODEL_TENSORFLOW_GRAPH_H
#define WEIR_MODEL_TENSORFLOW_GRAPH_H

#include "base/arena.h"
#include "model/tensorflow/tensor.h"

enum graph_op {
    GRAPH_OTHER, /* not supported */
    GRAPH_PLACEHOLDER,
    GRAPH_CONST,
    GRAPH_IDENTITY,
    GRAPH_MATMUL,
    GRAPH_BIAS_ADD,
    GRAPH_ADD,
    GRAPH_RELU,
    GRAPH_SIGMOID,
    GRAPH_TANH,
    GRAPH_SOFTMAX,
};

struct graph_node {
    const uint8_t *at; /* in the document */
    struct weir_slice name, op_name;
    enum graph_op op;
    uint32_t input_first, input_count; /* in graph.inputs: data first, then control inputs */
    uint32_t data_count;               /* of them: data */
    uint64_t type;                     /* attribute dtype or T; TENSOR_TYPE_NONE = not given */
    bool transpose_a, transpose_b;
    struct weir_slice value, shape; /* attributes, messages; null = not given */
};

struct graph {
    struct weir_slice document;
    struct weir_error *error;
    enum weir_err err;
    struct weir_arena arena;
    uint32_t node_count, input_count;
    struct graph_node *nodes;       /* [node_count] */
    struct weir_slice *input_names; /* [input_count] as written */
    uint32_t *inputs;               /* [input_count] */
    uint32_t *order;                /* [node_count] */
};

WEIR_MUST_USE enum weir_err graph_open(struct graph *graph, struct weir_slice document,
                                       uint32_t nodes_max, struct weir_error *error);
void graph_close(struct graph *graph);

/* The node behind the n-th data input. n < node->data_count. */
static inline struct graph_node *graph_input(const struct graph *graph,
                                             const struct graph_node *node, uint32_t n)
{
    return &graph->nodes[graph->inputs[node->input_first + n]];
}

/* Keeps the first error: `node "x" (Op): ...`, position = its byte. node may be NULL. */
enum weir_err graph_fail(struct graph *graph, const struct graph_node *node, enum weir_err code,
                         const char *format, ...) WEIR_PRINTF(4, 5);
/* An error at a byte of the document; at NULL = unknown. */
enum weir_err graph_fail_at(struct graph *graph, const uint8_t *at, enum weir_err code,
                            const char *why);
/* The constant of a Const node. */
enum weir_err graph_tensor(struct graph *graph, const struct graph_node *node, struct tensor *out);

#endif
