/*
 * model/tensorflow/tensorflow.h - the reader of TensorFlow's frozen graphs.
 *
 * What:    a GraphDef whose only variable input is one Placeholder and whose other nodes are Const,
 *          Identity, MatMul, BiasAdd, Add, AddV2, Relu, Sigmoid, Tanh and Softmax, all of float32,
 *          in one chain. It becomes dense layers of the core. Anything else is refused, naming the
 *          node and its operation.
 * Inputs:  one for each column of the Placeholder, bound by position. Outputs: result (index of the
 *          largest output, int64), p0 .. pn (the outputs).
 * Sums:    as struct model_dense_layer says (core/elements.h): products in the order of the inputs,
 *          each product and each sum rounded to float32, the bias last.
 * Life, threads, memory: as weir_model_load, which calls it.
 * Errors:  PARSE (malformed protobuf), INVALID (contradicts itself: an input that is not there,
 *          a circle, shapes that do not fit), UNSUPPORTED, LIMIT, NOMEM; position = byte
 *          of the graph.
 * Limits:  nodes_max nodes; in tensor.h and compile.c those of tensors and layers. The nesting is
 *          that of the format; nothing recurses.
 * Source of the format: tensorflow/core/framework/{graph,node_def,attr_value,tensor,
 *          tensor_shape}.proto; of the protobuf encoding: protobuf.dev, "Encoding".
 */
#ifndef WEIR_MODEL_TENSORFLOW_TENSORFLOW_H
#define WEIR_MODEL_TENSORFLOW_TENSORFLOW_H

#include <weir/model.h>

WEIR_MUST_USE enum weir_err tensorflow_load(struct weir_slice bytes, uint32_t nodes_max,
                                            struct weir_model **model_out,
                                            struct weir_error *error);

#endif
