#include "model/tensorflow/tensor.h"

#include <string.h>

#include "model/tensorflow/proto.h"

/* TensorProto's fields. */
enum { DTYPE = 1, TENSOR_SHAPE = 2, TENSOR_CONTENT = 4, FLOAT_VAL = 5 };
/* TensorShapeProto's; of its Dim. */
enum { DIM = 2, UNKNOWN_RANK = 3, DIM_SIZE = 1 };

static enum weir_err fail(struct tensor_fault *fault, enum weir_err code, const char *why,
                          const uint8_t *at)
{
    *fault = (struct tensor_fault){why, at};
    return code;
}

static enum weir_err read_dim(struct weir_slice message, int64_t *size_out,
                              struct tensor_fault *fault)
{
    struct proto_cursor c = proto_open(message);
    struct proto_field f;
    *size_out = 0; /* proto3: absent is 0 */
    while (proto_next(&c, &f)) {
        if (f.number == DIM_SIZE) {
            if (f.wire != PROTO_VARINT) {
                return fail(fault, WEIR_PARSE, "a dimension is no number", message.data);
            }
            *size_out = (int64_t)f.value;
        }
    }
    if (c.broken_at != NULL) {
        return fail(fault, WEIR_PARSE, "a dimension is malformed", c.broken_at);
    }
    if (*size_out < -1) {
        return fail(fault, WEIR_PARSE, "a dimension is negative", message.data);
    }
    return WEIR_OK;
}

enum weir_err tensor_shape_read(struct weir_slice message, struct tensor_shape *out,
                                struct tensor_fault *fault)
{
    struct proto_cursor c = proto_open(message);
    struct proto_field f;
    *out = (struct tensor_shape){.known = true};
    while (proto_next(&c, &f)) {
        if (f.number == UNKNOWN_RANK && f.wire == PROTO_VARINT) {
            out->known = f.value == 0;
        } else if (f.number == DIM && f.wire == PROTO_BYTES) {
            if (out->rank == TENSOR_RANK_MAX) {
                return fail(fault, WEIR_LIMIT, "a shape has too many dimensions", c.at);
            }
            enum weir_err err = read_dim(f.bytes, &out->dims[out->rank++], fault);
            if (err != WEIR_OK) {
                return err;
            }
        } else if (f.number == DIM || f.number == UNKNOWN_RANK) {
            return fail(fault, WEIR_PARSE, "a shape has a field of another kind", c.at);
        }
    }
    return c.broken_at == NULL ? WEIR_OK
                               : fail(fault, WEIR_PARSE, "a shape is malformed", c.broken_at);
}

static enum weir_err take_field(const struct proto_field *f, struct tensor *t,
                                struct tensor_fault *fault)
{
    if (f->number == DTYPE && f->wire == PROTO_VARINT) {
        t->type = f->value;
    } else if (f->number == TENSOR_SHAPE && f->wire == PROTO_BYTES) {
        return tensor_shape_read(f->bytes, &t->shape, fault);
    } else if (f->number == TENSOR_CONTENT && f->wire == PROTO_BYTES) {
        t->content = f->bytes;
    } else if (f->number == FLOAT_VAL && f->wire == PROTO_FIXED32) {
        t->value_count++;
    } else if (f->number == FLOAT_VAL && f->wire == PROTO_BYTES) {
        if (f->bytes.bytes % 4 != 0) {
            return fail(fault, WEIR_PARSE, "packed floats are cut", f->bytes.data);
        }
        t->value_count += f->bytes.bytes / 4;
    } else if (f->number <= FLOAT_VAL && f->number != 3) {
        return fail(fault, WEIR_PARSE, "a tensor has a field of another kind", NULL);
    }
    return WEIR_OK;
}

static enum weir_err count_elements(struct tensor *t, struct tensor_fault *fault)
{
    t->count = 1;
    if (!t->shape.known) {
        return fail(fault, WEIR_INVALID, "a constant has no shape", NULL);
    }
    for (uint32_t i = 0; i < t->shape.rank; i++) {
        if (t->shape.dims[i] < 0) {
            return fail(fault, WEIR_INVALID, "a constant has an open dimension", NULL);
        }
        if (t->shape.dims[i] > TENSOR_ELEMENTS_MAX ||
            t->count * (uint64_t)t->shape.dims[i] > TENSOR_ELEMENTS_MAX) {
            return fail(fault, WEIR_LIMIT, "a constant has too many elements", NULL);
        }
        t->count *= (uint64_t)t->shape.dims[i];
    }
    return WEIR_OK;
}

static enum weir_err check_values(const struct tensor *t, struct tensor_fault *fault)
{
    if (t->content.bytes > 0 && t->value_count > 0) {
        return fail(fault, WEIR_INVALID, "a constant holds its values twice", t->content.data);
    }
    if (t->content.bytes > 0 && t->content.bytes != t->count * 4) {
        return fail(fault, WEIR_INVALID, "a constant's bytes do not fit its shape",
                    t->content.data);
    }
    if (t->value_count > t->count) {
        return fail(fault, WEIR_INVALID, "a constant has more values than its shape", NULL);
    }
    if (t->content.bytes == 0 && t->count - t->value_count > TENSOR_REPEATED_MAX) {
        return fail(fault, WEIR_LIMIT, "a constant repeats a value too often", NULL);
    }
    return WEIR_OK;
}

enum weir_err tensor_read(struct weir_slice message, struct tensor *out, struct tensor_fault *fault)
{
    struct proto_cursor c = proto_open(message);
    struct proto_field f;
    *out = (struct tensor){.message = message, .shape = {.known = true}};
    while (proto_next(&c, &f)) {
        enum weir_err err = take_field(&f, out, fault);
        if (err != WEIR_OK) {
            return err;
        }
    }
    if (c.broken_at != NULL) {
        return fail(fault, WEIR_PARSE, "a tensor is malformed", c.broken_at);
    }
    if (out->type != TENSOR_TYPE_FLOAT) {
        return WEIR_OK;
    }
    enum weir_err err = count_elements(out, fault);
    return err == WEIR_OK ? check_values(out, fault) : err;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* count floats from little-endian bytes. */
static void copy_floats(const uint8_t *from, uint64_t count, float *to)
{
    for (uint64_t i = 0; i < count; i++, from += 4) {
        to[i] = float_of((uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
                         (uint32_t)from[3] << 24);
    }
}

void tensor_values(const struct tensor *t, float *values)
{
    if (t->content.bytes > 0) {
        copy_floats(t->content.data, t->count, values);
        return;
    }
    struct proto_cursor c = proto_open(t->message);
    struct proto_field f;
    uint64_t count = 0;
    while (proto_next(&c, &f)) {
        if (f.number == FLOAT_VAL && f.wire == PROTO_FIXED32) {
            values[count++] = float_of((uint32_t)f.value);
        } else if (f.number == FLOAT_VAL && f.wire == PROTO_BYTES) {
            copy_floats(f.bytes.data, f.bytes.bytes / 4, values + count);
            count += f.bytes.bytes / 4;
        }
    }
    float last = count > 0 ? values[count - 1] : 0;
    for (; count < t->count; count++) {
        values[count] = last;
    }
}
