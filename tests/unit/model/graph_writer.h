/*
 * Writes small GraphDefs for tests, field by field, well formed or not.
 *
 *      struct graph_writer w = {0};
 *      graph_writer_node(&w, "x", "Placeholder", "", (struct graph_attr){0});
 *      ... graph_writer_slice(&w) ... graph_writer_release(&w);
 */
#ifndef TESTS_UNIT_MODEL_GRAPH_WRITER_H
#define TESTS_UNIT_MODEL_GRAPH_WRITER_H

#include "support.h"

struct graph_writer {
    uint8_t *data;
    size_t bytes, capacity;
};

/* Attributes that a node gets; zero means: leave it out. */
struct graph_attr {
    uint32_t type; /* 0: float */
    const float *values;
    uint32_t value_count;
    bool one_by_one; /* as float_val, not as tensor_content */
    uint32_t rank;   /* of a constant or a placeholder */
    int64_t dims[9];
    bool transpose_a, transpose_b;
};

/* inputs: names separated by blanks. */
void graph_writer_node(struct graph_writer *w, const char *name, const char *op, const char *inputs,
                       struct graph_attr attr);
/* A constant matrix, or with rows == 0 a vector. */
void graph_writer_const(struct graph_writer *w, const char *name, uint32_t rows, uint32_t columns,
                        const float *values);
void graph_writer_raw(struct graph_writer *w, const void *data, size_t bytes);
struct weir_slice graph_writer_slice(const struct graph_writer *w);
void graph_writer_release(struct graph_writer *w);

#endif
