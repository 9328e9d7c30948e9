/*
 * model/tensorflow/tensor.h - TensorProto and TensorShapeProto.
 *
 * What:    tensor_read looks at a constant: type, shape and how many values are stored;
 *          tensor_values writes them out. Values are stored as raw little-endian bytes
 *          (tensor_content) or one by one (float_val); with fewer of the latter than the shape
 *          asks for, the last one is repeated, without any all are 0.
 * Life, memory: a tensor borrows the message.
 * Threads: plain values.
 * Errors:  PARSE (*at_out = where, if that is known, else unchanged), and those said below;
 *          *why_out = a static text.
 */
#ifndef WEIR_MODEL_TENSORFLOW_TENSOR_H
#define WEIR_MODEL_TENSORFLOW_TENSOR_H

#include <weir/base.h>

enum {
    TENSOR_RANK_MAX = 8,
    TENSOR_ELEMENTS_MAX = 1 << 26, /* of one tensor: 256 MiB */
    TENSOR_REPEATED_MAX = 1 << 20, /* values that repeat the last one stored */
};

/* enum DataType of types.proto. */
enum { TENSOR_TYPE_NONE = 0, TENSOR_TYPE_FLOAT = 1 };

struct tensor_shape {
    bool known; /* false: any rank */
    uint32_t rank;
    int64_t dims[TENSOR_RANK_MAX]; /* -1 = any */
};

struct tensor {
    struct weir_slice message;
    uint64_t type;
    struct tensor_shape shape;
    struct weir_slice content; /* null: values one by one */
    uint64_t value_count;      /* of those */
    uint64_t count;            /* elements of the shape */
};

struct tensor_fault {
    const char *why;
    const uint8_t *at; /* NULL = unknown */
};

/* Errors: PARSE, LIMIT (rank). */
enum weir_err tensor_shape_read(struct weir_slice message, struct tensor_shape *out,
                                struct tensor_fault *fault);
/* Errors: PARSE, LIMIT, INVALID (values do not fit the shape). The type is not judged; values are
 * looked at only if it is float. */
enum weir_err tensor_read(struct weir_slice message, struct tensor *out,
                          struct tensor_fault *fault);
/* Writes a float tensor's values, tensor->count of them. */
void tensor_values(const struct tensor *tensor, float *values);

#endif
