#include "model/tensorflow/graph.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "model/tensorflow/proto.h"

/* Fields of GraphDef, NodeDef, its map of attributes, AttrValue. */
enum { GRAPH_NODE = 1 };
enum { NODE_NAME = 1, NODE_OP = 2, NODE_INPUT = 3, NODE_ATTR = 5 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum { VALUE_BOOL = 5, VALUE_TYPE = 6, VALUE_SHAPE = 7, VALUE_TENSOR = 8 };

/* Tables of a graph: far more than any of nodes_max nodes takes. */
#define ARENA_BYTES_MAX ((size_t)4 << 30)

static int text_bytes(struct weir_slice text)
{
    return text.bytes < 80 ? (int)text.bytes : 80; /* %.*s of names in messages */
}

enum weir_err graph_fail_at(struct graph *g, const uint8_t *at, enum weir_err code, const char *why)
{
    if (g->err == WEIR_OK) {
        int64_t position = at != NULL ? at - (const uint8_t *)g->document.data : -1;
        g->err = at != NULL ? weir_error_set(g->error, code, position, "graph, byte %lld: %s",
                                             (long long)position, why)
                            : weir_error_set(g->error, code, position, "graph: %s", why);
    }
    return g->err;
}

enum weir_err graph_fail(struct graph *g, const struct graph_node *node, enum weir_err code,
                         const char *format, ...)
{
    if (g->err != WEIR_OK) {
        return g->err;
    }
    char why[160];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (node == NULL) {
        return graph_fail_at(g, NULL, code, why);
    }
    g->err = weir_error_set(g->error, code, node->at - (const uint8_t *)g->document.data,
                            "node \"%.*s\" (%.*s): %s", text_bytes(node->name),
                            (const char *)node->name.data, text_bytes(node->op_name),
                            (const char *)node->op_name.data, why);
    return g->err;
}

static void *take(struct graph *g, size_t count, size_t bytes)
{
    void *memory = weir_arena_calloc(&g->arena, count, bytes);
    if (memory == NULL) {
        graph_fail_at(g, NULL, weir_arena_full(&g->arena) ? WEIR_LIMIT : WEIR_NOMEM,
                      "not enough memory for its tables");
    }
    return memory;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static enum graph_op op_of(struct weir_slice name)
{
    static const struct {
        const char *name;
        enum graph_op op;
    } ops[] = {
        {"Placeholder", GRAPH_PLACEHOLDER},
        {"Const", GRAPH_CONST},
        {"Identity", GRAPH_IDENTITY},
        {"MatMul", GRAPH_MATMUL},
        {"BiasAdd", GRAPH_BIAS_ADD},
        {"Add", GRAPH_ADD},
        {"AddV2", GRAPH_ADD},
        {"Relu", GRAPH_RELU},
        {"Sigmoid", GRAPH_SIGMOID},
        {"Tanh", GRAPH_TANH},
        {"Softmax", GRAPH_SOFTMAX},
    };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (weir_slice_equal(name, weir_slice(ops[i].name, strlen(ops[i].name)))) {
            return ops[i].op;
        }
    }
    return GRAPH_OTHER;
}

static bool is_text(struct weir_slice text, const char *wanted)
{
    return weir_slice_equal(text, weir_slice(wanted, strlen(wanted)));
}

/* Keeps the attributes that matter; an attribute of another kind than expected stays unset. */
static void take_attribute(struct graph *g, struct graph_node *node, struct weir_slice key,
                           struct weir_slice value)
{
    struct proto_cursor c = proto_open(value);
    struct proto_field f;
    while (proto_next(&c, &f)) {
        bool is_type = f.number == VALUE_TYPE && f.wire == PROTO_VARINT;
        bool is_bool = f.number == VALUE_BOOL && f.wire == PROTO_VARINT;
        if (is_type && (is_text(key, "dtype") || is_text(key, "T"))) {
            node->type = f.value;
        } else if (is_bool && is_text(key, "transpose_a")) {
            node->transpose_a = f.value != 0;
        } else if (is_bool && is_text(key, "transpose_b")) {
            node->transpose_b = f.value != 0;
        } else if (f.number == VALUE_TENSOR && f.wire == PROTO_BYTES && is_text(key, "value")) {
            node->value = f.bytes;
        } else if (f.number == VALUE_SHAPE && f.wire == PROTO_BYTES && is_text(key, "shape")) {
            node->shape = f.bytes;
        }
    }
    if (c.broken_at != NULL) {
        graph_fail_at(g, c.broken_at, WEIR_PARSE, "an attribute is malformed");
    }
}

static void read_attribute(struct graph *g, struct graph_node *node, struct weir_slice entry)
{
    struct proto_cursor c = proto_open(entry);
    struct proto_field f;
    struct weir_slice key = weir_slice("", 0);
    struct weir_slice value = weir_slice("", 0);
    while (proto_next(&c, &f)) {
        if (f.number == ENTRY_KEY && f.wire == PROTO_BYTES) {
            key = f.bytes;
        } else if (f.number == ENTRY_VALUE && f.wire == PROTO_BYTES) {
            value = f.bytes;
        }
    }
    if (c.broken_at != NULL) {
        graph_fail_at(g, c.broken_at, WEIR_PARSE, "an attribute is malformed");
        return;
    }
    take_attribute(g, node, key, value);
}

static void read_node(struct graph *g, struct graph_node *node, struct weir_slice message)
{
    struct proto_cursor c = proto_open(message);
    struct proto_field f;
    *node = (struct graph_node){
        .at = message.data,
        .name = weir_slice("", 0),
        .op_name = weir_slice("", 0),
        .input_first = g->input_count,
    };
    while (g->err == WEIR_OK && proto_next(&c, &f)) {
        if (f.number <= NODE_ATTR && f.wire != PROTO_BYTES) {
            graph_fail_at(g, node->at, WEIR_PARSE, "a node has a field of another kind");
        } else if (f.number == NODE_NAME) {
            node->name = f.bytes;
        } else if (f.number == NODE_OP) {
            node->op_name = f.bytes;
        } else if (f.number == NODE_INPUT) {
            g->input_names[g->input_count++] = f.bytes;
        } else if (f.number == NODE_ATTR) {
            read_attribute(g, node, f.bytes);
        }
    }
    if (c.broken_at != NULL) {
        graph_fail_at(g, c.broken_at, WEIR_PARSE, "a node is malformed");
    }
    node->op = op_of(node->op_name);
    node->input_count = g->input_count - node->input_first;
    if (node->name.bytes == 0 || node->op_name.bytes == 0) {
        graph_fail_at(g, node->at, WEIR_INVALID, "a node has no name or no operation");
    }
}

static uint64_t count_inputs(struct weir_slice message)
{
    struct proto_cursor c = proto_open(message);
    struct proto_field f;
    uint64_t count = 0;
    while (proto_next(&c, &f)) {
        count += f.number == NODE_INPUT;
    }
    return count;
}

/* How large the tables must be; nodes_max is checked here. */
static void count_nodes(struct graph *g, uint32_t nodes_max, uint64_t *inputs_out)
{
    struct proto_cursor c = proto_open(g->document);
    struct proto_field f;
    *inputs_out = 0;
    while (g->err == WEIR_OK && proto_next(&c, &f)) {
        if (f.number != GRAPH_NODE) {
            continue; /* versions, a library of functions: a call of one is an unknown operation */
        }
        if (f.wire != PROTO_BYTES) {
            graph_fail_at(g, c.at, WEIR_PARSE, "a node is no message");
        } else if (g->node_count == nodes_max) {
            graph_fail_at(g, f.bytes.data, WEIR_LIMIT, "too many nodes");
        } else {
            g->node_count++;
            *inputs_out += count_inputs(f.bytes);
        }
    }
    if (c.broken_at != NULL) {
        graph_fail_at(g, c.broken_at, WEIR_PARSE, "malformed, this is no GraphDef");
    } else if (g->node_count == 0) {
        graph_fail_at(g, NULL, WEIR_PARSE, "it has no nodes, this is no GraphDef");
    } else if (*inputs_out > UINT32_MAX / 2) {
        graph_fail_at(g, NULL, WEIR_LIMIT, "too many inputs of nodes");
    }
}

static void read_nodes(struct graph *g, uint32_t nodes_max)
{
    uint64_t inputs;
    count_nodes(g, nodes_max, &inputs);
    if (g->err != WEIR_OK) {
        return;
    }
    g->nodes = take(g, g->node_count, sizeof *g->nodes);
    g->order = take(g, g->node_count, sizeof *g->order);
    g->input_names = take(g, inputs, sizeof *g->input_names);
    g->inputs = take(g, inputs, sizeof *g->inputs);
    struct proto_cursor c = proto_open(g->document);
    struct proto_field f;
    uint32_t n = 0;
    while (g->err == WEIR_OK && proto_next(&c, &f)) {
        if (f.number == GRAPH_NODE) {
            read_node(g, &g->nodes[n++], f.bytes);
        }
    }
}

/* ---- edges ----------------------------------------------------------------------------------- */

/* "name", "name:0", "^name" (control). Any other output than 0: these operations have one. */
static struct weir_slice target_of(struct weir_slice written, bool *control, bool *first_output)
{
    const char *text = written.data;
    size_t bytes = written.bytes;
    *control = bytes > 0 && text[0] == '^';
    *first_output = true;
    if (*control) {
        return weir_slice(text + 1, bytes - 1);
    }
    const char *colon = bytes > 0 ? memrchr(text, ':', bytes) : NULL;
    if (colon != NULL) {
        size_t after = bytes - (size_t)(colon - text) - 1;
        *first_output = after == 1 && colon[1] == '0';
        bytes = (size_t)(colon - text);
    }
    return weir_slice(text, bytes);
}

static void resolve_node(struct graph *g, struct graph_node *node, const struct weir_map *names)
{
    for (uint32_t i = 0; i < node->input_count && g->err == WEIR_OK; i++) {
        struct weir_slice written = g->input_names[node->input_first + i];
        bool control, first_output;
        struct weir_slice target = target_of(written, &control, &first_output);
        struct weir_map_entry *entry = weir_map_find(names, target);
        if (entry == NULL) {
            graph_fail(g, node, WEIR_INVALID, "its input \"%.*s\" is not in the graph",
                       text_bytes(written), (const char *)written.data);
            return;
        }
        if (!first_output) {
            graph_fail(g, node, WEIR_UNSUPPORTED, "its input \"%.*s\" is a second output",
                       text_bytes(written), (const char *)written.data);
            return;
        }
        if (!control && node->data_count < i) {
            graph_fail(g, node, WEIR_INVALID, "it has a data input behind a control input");
            return;
        }
        node->data_count += !control;
        g->inputs[node->input_first + i] = (uint32_t)entry->value.number;
    }
}

static void resolve(struct graph *g)
{
    struct weir_map names;
    weir_map_init(&names, g->node_count);
    for (uint32_t n = 0; n < g->node_count && g->err == WEIR_OK; n++) {
        struct weir_map_entry *entry;
        bool added;
        enum weir_err err = weir_map_add(&names, g->nodes[n].name, &entry, &added);
        if (err != WEIR_OK) {
            graph_fail_at(g, NULL, err, "not enough memory for its names");
        } else if (!added) {
            graph_fail(g, &g->nodes[n], WEIR_INVALID, "its name appears twice");
        } else {
            entry->value.number = n;
        }
    }
    for (uint32_t n = 0; n < g->node_count && g->err == WEIR_OK; n++) {
        resolve_node(g, &g->nodes[n], &names);
    }
    weir_map_release(&names);
}

/*
 * Kahn's way: a node is ready when all that it reads is placed. readers[first[n] ..] are the nodes
 * that read node n. What never gets ready stands on a circle or behind one.
 */
static void sort(struct graph *g)
{
    uint32_t *first = take(g, (size_t)g->node_count + 2, sizeof *first);
    uint32_t *readers = take(g, g->input_count, sizeof *readers);
    uint32_t *waiting = take(g, g->node_count, sizeof *waiting);
    if (g->err != WEIR_OK) {
        return;
    }
    for (uint32_t i = 0; i < g->input_count; i++) {
        first[g->inputs[i] + 2]++;
    }
    for (uint32_t n = 2; n < g->node_count + 2; n++) {
        first[n] += first[n - 1];
    }
    uint32_t placed = 0;
    for (uint32_t n = 0; n < g->node_count; n++) {
        const struct graph_node *node = &g->nodes[n];
        waiting[n] = node->input_count;
        for (uint32_t i = 0; i < node->input_count; i++) {
            readers[first[g->inputs[node->input_first + i] + 1]++] = n;
        }
        if (waiting[n] == 0) {
            g->order[placed++] = n;
        }
    }
    for (uint32_t i = 0; i < placed; i++) {
        uint32_t n = g->order[i];
        for (uint32_t r = first[n]; r < first[n + 1]; r++) {
            if (--waiting[readers[r]] == 0) {
                g->order[placed++] = readers[r];
            }
        }
    }
    for (uint32_t n = 0; placed < g->node_count && n < g->node_count; n++) {
        if (waiting[n] > 0) {
            graph_fail(g, &g->nodes[n], WEIR_INVALID,
                       "it waits for itself: the graph has a circle");
            return;
        }
    }
}

/* ---- whole ----------------------------------------------------------------------------------- */

enum weir_err graph_open(struct graph *g, struct weir_slice document, uint32_t nodes_max,
                         struct weir_error *error)
{
    *g = (struct graph){.document = document, .error = error};
    weir_arena_init(&g->arena, ARENA_BYTES_MAX);
    read_nodes(g, nodes_max < UINT32_MAX / 4 ? nodes_max : UINT32_MAX / 4);
    if (g->err == WEIR_OK) {
        resolve(g);
    }
    if (g->err == WEIR_OK) {
        sort(g);
    }
    return g->err;
}

void graph_close(struct graph *g)
{
    weir_arena_release(&g->arena);
}

enum weir_err graph_tensor(struct graph *g, const struct graph_node *node, struct tensor *out)
{
    struct tensor_fault fault = {"", NULL};
    if (node->value.data == NULL) {
        return graph_fail(g, node, WEIR_INVALID, "it has no value");
    }
    enum weir_err err = tensor_read(node->value, out, &fault);
    if (err == WEIR_PARSE && fault.at != NULL) {
        return graph_fail_at(g, fault.at, err, fault.why);
    }
    return err == WEIR_OK ? WEIR_OK : graph_fail(g, node, err, "%s", fault.why);
}
