/*
 * model/tensorflow/compile.h - a graph's one chain of operations as dense layers.
 *
 *      Placeholder -> MatMul -> BiasAdd -> Relu -> MatMul -> BiasAdd -> Sigmoid
 *                     '------ layer 0 -------'    '------- layer 1 -------'
 *
 * What:    the chain begins at the one Placeholder and ends at the one node that depends on it and
 *          that nobody reads. A layer holds a MatMul, then a sum, an activation and a softmax, each
 *          at most once and in this order; an operation that comes out of this order begins a layer
 *          of its own, whose matrix is the unit matrix (finite values pass it unchanged).
 *          Constants that nothing reads are left out, whatever their type.
 * Life, memory: the model is built in the arena of b; the graph is only read.
 * Threads: one.
 * Errors:  in graph->err and graph->error, or in b->err.
 */
#ifndef WEIR_MODEL_TENSORFLOW_COMPILE_H
#define WEIR_MODEL_TENSORFLOW_COMPILE_H

#include "model/core/builder.h"
#include "model/tensorflow/graph.h"

enum {
    COMPILE_WIDTH_MAX = 1 << 16,      /* outputs of a layer but the last */
    COMPILE_UNIT_WIDTH_MAX = 1 << 10, /* of a layer with a unit matrix */
    COMPILE_WEIGHTS_MAX = 1 << 26,    /* numbers of all layers together: 256 MiB */
};

/* Sets b->model's inputs and root. *outputs_out = outputs of the last layer. */
WEIR_MUST_USE enum weir_err compile_graph(struct graph *graph, struct model_builder *b,
                                          uint32_t *outputs_out);

#endif
