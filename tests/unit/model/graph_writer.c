#include "graph_writer.h"

void graph_writer_raw(struct graph_writer *w, const void *data, size_t bytes)
{
    if (w->bytes + bytes > w->capacity) {
        w->capacity = 2 * (w->bytes + bytes);
        w->data = realloc(w->data, w->capacity);
        assert_non_null(w->data);
    }
    if (bytes > 0) {
        memcpy(w->data + w->bytes, data, bytes);
        w->bytes += bytes;
    }
}

struct weir_slice graph_writer_slice(const struct graph_writer *w)
{
    return weir_slice(w->data, w->bytes);
}

void graph_writer_release(struct graph_writer *w)
{
    free(w->data);
    *w = (struct graph_writer){0};
}

static void put_varint(struct graph_writer *w, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        graph_writer_raw(w, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void put_number(struct graph_writer *w, uint32_t field, uint64_t value)
{
    put_varint(w, field << 3);
    put_varint(w, value);
}

static void put_bytes(struct graph_writer *w, uint32_t field, const void *data, size_t bytes)
{
    put_varint(w, field << 3 | 2);
    put_varint(w, bytes);
    graph_writer_raw(w, data, bytes);
}

/* A message inside another: moves it over and empties it. */
static void put_message(struct graph_writer *w, uint32_t field, struct graph_writer *inner)
{
    put_bytes(w, field, inner->data, inner->bytes);
    graph_writer_release(inner);
}

static void put_attr(struct graph_writer *node, const char *key, struct graph_writer *value)
{
    struct graph_writer entry = {0};
    put_bytes(&entry, 1, key, strlen(key));
    put_message(&entry, 2, value);
    put_message(node, 5, &entry);
}

static void put_attr_number(struct graph_writer *node, const char *key, uint32_t field,
                            uint64_t number)
{
    struct graph_writer value = {0};
    put_number(&value, field, number);
    put_attr(node, key, &value);
}

static struct graph_writer shape_of(const struct graph_attr *attr)
{
    struct graph_writer shape = {0};
    for (uint32_t i = 0; i < attr->rank; i++) {
        struct graph_writer dim = {0};
        put_number(&dim, 1, (uint64_t)attr->dims[i]);
        put_message(&shape, 2, &dim);
    }
    return shape;
}

static void put_tensor(struct graph_writer *node, const struct graph_attr *attr)
{
    struct graph_writer tensor = {0};
    struct graph_writer shape = shape_of(attr);
    put_number(&tensor, 1, attr->type > 0 ? attr->type : 1);
    put_message(&tensor, 2, &shape);
    put_bytes(&tensor, attr->one_by_one ? 5 : 4, attr->values, attr->value_count * sizeof(float));
    struct graph_writer value = {0};
    put_message(&value, 8, &tensor);
    put_attr(node, "value", &value);
}

void graph_writer_node(struct graph_writer *w, const char *name, const char *op, const char *inputs,
                       struct graph_attr attr)
{
    struct graph_writer node = {0};
    put_bytes(&node, 1, name, strlen(name));
    put_bytes(&node, 2, op, strlen(op));
    for (const char *at = inputs; *at != '\0';) {
        size_t length = strcspn(at, " ");
        put_bytes(&node, 3, at, length);
        at += length + (at[length] == ' ');
    }
    bool is_const = strcmp(op, "Const") == 0;
    bool own = is_const || strcmp(op, "Placeholder") == 0;
    put_attr_number(&node, own ? "dtype" : "T", 6, attr.type > 0 ? attr.type : 1);
    if (is_const) {
        put_tensor(&node, &attr);
    } else if (attr.rank > 0) {
        struct graph_writer shape = shape_of(&attr);
        struct graph_writer value = {0};
        put_message(&value, 7, &shape);
        put_attr(&node, "shape", &value);
    }
    if (strcmp(op, "MatMul") == 0) {
        put_attr_number(&node, "transpose_a", 5, attr.transpose_a);
        put_attr_number(&node, "transpose_b", 5, attr.transpose_b);
    }
    put_message(w, 1, &node);
}

void graph_writer_const(struct graph_writer *w, const char *name, uint32_t rows, uint32_t columns,
                        const float *values)
{
    struct graph_attr attr = {
        .values = values,
        .value_count = (rows > 0 ? rows : 1) * columns,
        .rank = rows > 0 ? 2 : 1,
        .dims = {rows > 0 ? rows : columns, columns},
    };
    graph_writer_node(w, name, "Const", "", attr);
}
