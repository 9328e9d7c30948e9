#include "model/tensorflow/compile.h"

#include <stdio.h>

#include "base/assert.h"

/* What the open layer has already; it only grows. */
enum stage { STAGE_MATRIX, STAGE_BIAS, STAGE_ACTIVATION, STAGE_SOFTMAX, STAGE_NO_LAYER };

struct compiler {
    struct graph *graph;
    struct model_builder *b;
    const struct graph_node *placeholder;
    const struct graph_node **chain; /* [chain_count] without the placeholder, first to last */
    uint32_t chain_count;
    const struct graph_node *before;  /* the node that the one at hand reads */
    struct model_dense_layer *layers; /* [layer_count], room for chain_count */
    uint32_t layer_count;
    enum stage stage;
    uint32_t width;       /* of the value so far; 0 = the graph has not said yet */
    uint32_t input_count; /* 0 likewise */
    uint64_t weights;     /* numbers taken so far */
};

static bool ok(const struct compiler *c)
{
    return c->graph->err == WEIR_OK && c->b->err == WEIR_OK;
}

/* ---- the chain ------------------------------------------------------------------------------- */

static void check_node(struct graph *g, const struct graph_node *node)
{
    static const uint32_t arity[] = {
        [GRAPH_PLACEHOLDER] = 0, [GRAPH_CONST] = 0,   [GRAPH_IDENTITY] = 1, [GRAPH_MATMUL] = 2,
        [GRAPH_BIAS_ADD] = 2,    [GRAPH_ADD] = 2,     [GRAPH_RELU] = 1,     [GRAPH_SIGMOID] = 1,
        [GRAPH_TANH] = 1,        [GRAPH_SOFTMAX] = 1,
    };
    if (node->op == GRAPH_OTHER) {
        graph_fail(g, node, WEIR_UNSUPPORTED,
                   "this operation is not supported; dense layers of Placeholder, Const, Identity, "
                   "MatMul, BiasAdd, Add, Relu, Sigmoid, Tanh, Softmax are");
    } else if (node->data_count != arity[node->op]) {
        graph_fail(g, node, WEIR_INVALID, "it has %u inputs instead of %u", node->data_count,
                   arity[node->op]);
    }
}

static void check_type(struct graph *g, const struct graph_node *node)
{
    if (node->type != TENSOR_TYPE_NONE && node->type != TENSOR_TYPE_FLOAT) {
        graph_fail(g, node, WEIR_UNSUPPORTED, "its type (%llu) is not float32",
                   (unsigned long long)node->type);
    }
}

static uint32_t index_of(const struct graph *g, const struct graph_node *node)
{
    return (uint32_t)(node - g->nodes);
}

/* Which nodes depend on the placeholder (bit 0), and which of these are read (bit 1). */
static void mark(struct compiler *c, uint8_t *marks)
{
    struct graph *g = c->graph;
    for (uint32_t i = 0; i < g->node_count && ok(c); i++) {
        uint32_t n = g->order[i];
        const struct graph_node *node = &g->nodes[n];
        check_node(g, node);
        if (node->op == GRAPH_PLACEHOLDER) {
            if (c->placeholder != NULL) {
                graph_fail(g, node, WEIR_UNSUPPORTED, "it is a second Placeholder");
            }
            c->placeholder = node;
            marks[n] = 1;
        }
        for (uint32_t k = 0; ok(c) && k < node->data_count; k++) {
            uint32_t from = index_of(g, graph_input(g, node, k));
            if ((marks[from] & 1) != 0) {
                marks[from] |= 2;
                marks[n] |= 1;
            }
        }
    }
    if (ok(c) && c->placeholder == NULL) {
        graph_fail(g, NULL, WEIR_INVALID, "it has no Placeholder: nothing goes in");
    }
}

/* The node that gives the result. */
static const struct graph_node *find_last(struct compiler *c, const uint8_t *marks)
{
    struct graph *g = c->graph;
    const struct graph_node *last = NULL;
    for (uint32_t n = 0; n < g->node_count && ok(c); n++) {
        if (marks[n] != 1) {
            continue;
        }
        if (last != NULL) {
            graph_fail(g, &g->nodes[n], WEIR_UNSUPPORTED, "it is a second output beside \"%.*s\"",
                       (int)(last->name.bytes < 60 ? last->name.bytes : 60),
                       (const char *)last->name.data);
        }
        last = &g->nodes[n];
    }
    return last; /* there is one: the placeholder is marked and the graph has no circle */
}

/* The one input of a node that depends on the placeholder; NULL (and an error) if two do. */
static const struct graph_node *input_of(struct compiler *c, const struct graph_node *node,
                                         const uint8_t *marks)
{
    const struct graph_node *found = NULL;
    for (uint32_t k = 0; k < node->data_count; k++) {
        const struct graph_node *input = graph_input(c->graph, node, k);
        if ((marks[index_of(c->graph, input)] & 1) == 0) {
            continue;
        }
        if (found != NULL) {
            graph_fail(c->graph, node, WEIR_UNSUPPORTED, "it joins two computed values");
            return NULL;
        }
        found = input;
    }
    return found;
}

static void find_chain(struct compiler *c)
{
    struct graph *g = c->graph;
    uint8_t *marks = weir_arena_calloc(&g->arena, g->node_count, 1);
    c->chain = weir_arena_calloc(&g->arena, g->node_count, sizeof(const struct graph_node *));
    if (marks == NULL || c->chain == NULL) {
        graph_fail(g, NULL, WEIR_NOMEM, "out of memory");
        return;
    }
    mark(c, marks);
    const struct graph_node *node = ok(c) ? find_last(c, marks) : NULL;
    while (ok(c) && node != c->placeholder) {
        check_type(g, node);
        c->chain[c->chain_count++] = node;
        node = input_of(c, node, marks);
    }
    for (uint32_t i = 0; i < c->chain_count / 2; i++) {
        const struct graph_node *swap = c->chain[i];
        c->chain[i] = c->chain[c->chain_count - 1 - i];
        c->chain[c->chain_count - 1 - i] = swap;
    }
}

/* ---- constants ------------------------------------------------------------------------------- */

/* Looks at the constant behind input n of a node, through Identity. */
static bool read_constant(struct compiler *c, const struct graph_node *node, uint32_t n,
                          struct tensor *out)
{
    const struct graph_node *from = graph_input(c->graph, node, n);
    while (from->op == GRAPH_IDENTITY) {
        from = graph_input(c->graph, from, 0);
    }
    if (from->op == GRAPH_PLACEHOLDER) {
        graph_fail(c->graph, node, WEIR_UNSUPPORTED, "its input %u is no constant", n);
        return false;
    }
    if (from->op != GRAPH_CONST) {
        graph_fail(c->graph, from, WEIR_UNSUPPORTED, "it computes with constants alone");
        return false;
    }
    if (graph_tensor(c->graph, from, out) != WEIR_OK) {
        return false;
    }
    if (out->type != TENSOR_TYPE_FLOAT) {
        graph_fail(c->graph, from, WEIR_UNSUPPORTED, "its type (%llu) is not float32",
                   (unsigned long long)out->type);
        return false;
    }
    return true;
}

/* Room for numbers of a layer, within the limit. */
static float *take(struct compiler *c, const struct graph_node *node, uint64_t count)
{
    if (count > COMPILE_WEIGHTS_MAX - c->weights) {
        graph_fail(c->graph, node, WEIR_LIMIT, "the graph has more than %u weights",
                   COMPILE_WEIGHTS_MAX);
        return NULL;
    }
    c->weights += count;
    return model_alloc(c->b, count, sizeof(float));
}

/* A tensor's values; a NaN would spoil every result. */
static float *take_values(struct compiler *c, const struct graph_node *node,
                          const struct tensor *tensor)
{
    float *values = take(c, node, tensor->count);
    if (values == NULL) {
        return NULL;
    }
    tensor_values(tensor, values);
    for (uint64_t i = 0; i < tensor->count; i++) {
        if (isnan(values[i])) {
            graph_fail(c->graph, node, WEIR_INVALID, "a constant that it reads holds a NaN");
            return NULL;
        }
    }
    return values;
}

/* ---- layers ---------------------------------------------------------------------------------- */

static void open_layer(struct compiler *c, uint32_t outputs, const float *weights)
{
    c->layers[c->layer_count++] = (struct model_dense_layer){
        .inputs = c->width,
        .outputs = outputs,
        .weights = weights,
        .activation = MODEL_ACTIVATION_IDENTITY,
        .normalization = MODEL_NORMALIZATION_NONE,
    };
    c->width = outputs;
    c->stage = STAGE_MATRIX;
}

/* The layer that takes a step of this stage: the open one, or a new one with a unit matrix. NULL
 * and an error if there can't be one. */
static struct model_dense_layer *layer_for(struct compiler *c, const struct graph_node *node,
                                           enum stage stage)
{
    if (stage > c->stage) {
        c->stage = stage;
        return &c->layers[c->layer_count - 1];
    }
    if (c->width == 0) {
        graph_fail(c->graph, node, WEIR_UNSUPPORTED,
                   "the Placeholder has no shape that says how many inputs there are");
        return NULL;
    }
    if (c->width > COMPILE_UNIT_WIDTH_MAX) {
        graph_fail(c->graph, node, WEIR_LIMIT, "it is not behind a MatMul, and wider than %u",
                   COMPILE_UNIT_WIDTH_MAX);
        return NULL;
    }
    float *unit = take(c, node, (uint64_t)c->width * c->width);
    if (unit == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < c->width; i++) {
        unit[(size_t)i * c->width + i] = 1;
    }
    open_layer(c, c->width, unit);
    c->stage = stage;
    return &c->layers[c->layer_count - 1];
}

static void transpose(const float *from, uint32_t rows, uint32_t columns, float *to)
{
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t k = 0; k < columns; k++) {
            to[(size_t)k * rows + r] = from[(size_t)r * columns + k];
        }
    }
}

static void add_matmul(struct compiler *c, const struct graph_node *node)
{
    struct tensor t;
    if (graph_input(c->graph, node, 0) != c->before) {
        graph_fail(c->graph, node, WEIR_UNSUPPORTED, "it multiplies a constant by the records");
        return;
    }
    if (node->transpose_a) {
        graph_fail(c->graph, node, WEIR_UNSUPPORTED, "it transposes the records");
        return;
    }
    if (!read_constant(c, node, 1, &t)) {
        return;
    }
    if (t.shape.rank != 2 || t.count == 0 || t.shape.dims[0] > COMPILE_WIDTH_MAX ||
        t.shape.dims[1] > COMPILE_WIDTH_MAX) {
        graph_fail(c->graph, node, t.count > COMPILE_WIDTH_MAX ? WEIR_LIMIT : WEIR_INVALID,
                   "its weights are no matrix of at most %u by %u", COMPILE_WIDTH_MAX,
                   COMPILE_WIDTH_MAX);
        return;
    }
    uint32_t rows = (uint32_t)t.shape.dims[0];
    uint32_t columns = (uint32_t)t.shape.dims[1];
    uint32_t inputs = node->transpose_b ? columns : rows;
    if (c->width == 0) {
        c->width = c->input_count = inputs;
    }
    if (inputs != c->width) {
        graph_fail(c->graph, node, WEIR_INVALID, "its weights want %u values, it gets %u", inputs,
                   c->width);
        return;
    }
    float *weights = take_values(c, node, &t);
    if (weights != NULL && node->transpose_b) {
        float *turned = take(c, node, t.count);
        if (turned != NULL) {
            transpose(weights, rows, columns, turned);
        }
        weights = turned;
    }
    if (weights != NULL) {
        open_layer(c, node->transpose_b ? rows : columns, weights);
    }
}

/* BiasAdd wants a vector; Add spreads a number or a row over the records as well. */
static bool bias_fits(const struct compiler *c, const struct graph_node *node,
                      const struct tensor *t)
{
    uint32_t rank = t->shape.rank;
    int64_t last = rank > 0 ? t->shape.dims[rank - 1] : 1;
    if (node->op == GRAPH_BIAS_ADD) {
        return rank == 1 && last == c->width;
    }
    return rank <= 2 && (rank < 2 || t->shape.dims[0] == 1) && (last == c->width || last == 1);
}

static void add_bias(struct compiler *c, const struct graph_node *node)
{
    struct graph *g = c->graph;
    /* A sum may have its constant first. */
    uint32_t constant = graph_input(g, node, 0) == c->before ? 1 : 0;
    if (constant == 0 && node->op == GRAPH_BIAS_ADD) {
        graph_fail(g, node, WEIR_UNSUPPORTED, "it adds the records to a constant");
        return;
    }
    struct tensor t;
    struct model_dense_layer *layer = layer_for(c, node, STAGE_BIAS);
    if (layer == NULL || !read_constant(c, node, constant, &t)) {
        return;
    }
    if (!bias_fits(c, node, &t)) {
        graph_fail(g, node, WEIR_INVALID, "its constant does not fit the %u values it gets",
                   c->width);
        return;
    }
    float *values = take_values(c, node, &t);
    if (values != NULL && t.count < c->width) {
        float *spread = take(c, node, c->width);
        for (uint32_t i = 0; spread != NULL && i < c->width; i++) {
            spread[i] = values[0];
        }
        values = spread;
    }
    layer->bias = values;
}

static void add_activation(struct compiler *c, const struct graph_node *node,
                           enum model_activation activation)
{
    struct model_dense_layer *layer = layer_for(c, node, STAGE_ACTIVATION);
    if (layer != NULL) {
        layer->activation = activation;
    }
}

static void add_softmax(struct compiler *c, const struct graph_node *node)
{
    struct model_dense_layer *layer = layer_for(c, node, STAGE_SOFTMAX);
    if (layer != NULL) {
        layer->normalization = MODEL_NORMALIZATION_SOFTMAX;
    }
}

static void add_node(struct compiler *c, const struct graph_node *node)
{
    switch (node->op) {
    case GRAPH_MATMUL:
        add_matmul(c, node);
        break;
    case GRAPH_BIAS_ADD:
    case GRAPH_ADD:
        add_bias(c, node);
        break;
    case GRAPH_RELU:
        add_activation(c, node, MODEL_ACTIVATION_RECTIFIER);
        break;
    case GRAPH_SIGMOID:
        add_activation(c, node, MODEL_ACTIVATION_LOGISTIC);
        break;
    case GRAPH_TANH:
        add_activation(c, node, MODEL_ACTIVATION_TANH);
        break;
    case GRAPH_SOFTMAX:
        add_softmax(c, node);
        break;
    case GRAPH_IDENTITY:
    case GRAPH_PLACEHOLDER: /* not in the chain: neither these */
    case GRAPH_CONST:
    case GRAPH_OTHER:
        break;
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* [records, inputs]; a graph without a shape says it by its first matrix. */
static void read_placeholder(struct compiler *c)
{
    const struct graph_node *node = c->placeholder;
    struct tensor_shape shape;
    struct tensor_fault fault = {"", NULL};
    weir_assert(node != NULL); /* a whole chain begins with one */
    check_type(c->graph, node);
    if (node->shape.data == NULL || !ok(c)) {
        return;
    }
    enum weir_err err = tensor_shape_read(node->shape, &shape, &fault);
    if (err != WEIR_OK) {
        graph_fail_at(c->graph, fault.at, err, fault.why);
        return;
    }
    if (!shape.known || shape.rank == 0) { /* old graphs wrote an unknown shape as an empty one */
        return;
    }
    if (shape.rank != 2 || shape.dims[0] > 1 || shape.dims[0] == 0 || shape.dims[1] == 0) {
        graph_fail(c->graph, node, WEIR_UNSUPPORTED,
                   "its shape is not [any number of records, inputs]");
    } else if (shape.dims[1] > WEIR_FIELDS_MAX) {
        graph_fail(c->graph, node, WEIR_LIMIT, "more than %d inputs", WEIR_FIELDS_MAX);
    } else if (shape.dims[1] > 0) {
        c->width = c->input_count = (uint32_t)shape.dims[1];
    }
}

static void add_inputs(struct compiler *c)
{
    const struct model_treatment treatment = {
        .type = MODEL_DOUBLE,
        .low = -INFINITY,
        .high = INFINITY,
        .missing_replacement = model_missing(),
        .missing_is_invalid = true,
        .plain = true,
    };
    if (c->input_count > WEIR_FIELDS_MAX) {
        graph_fail(c->graph, c->placeholder, WEIR_LIMIT, "more than %d inputs", WEIR_FIELDS_MAX);
    }
    for (uint32_t i = 0; i < c->input_count && ok(c); i++) {
        char name[128];
        struct weir_slice of = c->placeholder->name;
        snprintf(name, sizeof name, "%.*s[%u]", (int)(of.bytes < 100 ? of.bytes : 100),
                 (const char *)of.data, i);
        model_builder_input(c->b, &(struct model_slot){.name = name, .type = MODEL_DOUBLE},
                            &treatment);
    }
}

static const struct model_classes *take_classes(struct compiler *c)
{
    char(*texts)[12] = weir_arena_calloc(&c->graph->arena, c->width, sizeof *texts);
    struct weir_slice *labels = weir_arena_calloc(&c->graph->arena, c->width, sizeof *labels);
    if (texts == NULL || labels == NULL) {
        graph_fail(c->graph, NULL, WEIR_NOMEM, "out of memory");
        return NULL;
    }
    for (uint32_t i = 0; i < c->width; i++) {
        int bytes = snprintf(texts[i], sizeof texts[i], "%u", i);
        labels[i] = weir_slice(texts[i], (size_t)bytes);
    }
    return model_builder_classes(c->b, MODEL_INTEGER, labels, c->width);
}

static void add_root(struct compiler *c)
{
    if (c->width >= WEIR_FIELDS_MAX) {
        graph_fail(c->graph, NULL, WEIR_LIMIT, "more than %d outputs", WEIR_FIELDS_MAX - 1);
        return;
    }
    struct model_dense *dense = model_alloc(c->b, 1, sizeof *dense);
    const struct model_classes *classes = take_classes(c);
    if (dense == NULL || classes == NULL) {
        return;
    }
    uint32_t width_max = c->input_count;
    for (uint32_t l = 0; l < c->layer_count; l++) {
        width_max = c->layers[l].outputs > width_max ? c->layers[l].outputs : width_max;
    }
    *dense = (struct model_dense){
        .element = {.ops = &model_dense_ops,
                    .function = WEIR_FUNCTION_CLASSIFICATION,
                    .classes = classes,
                    .work = model_builder_work(c->b, 2 * (size_t)width_max + classes->count)},
        .input_count = c->input_count,
        .layer_count = c->layer_count,
        .width_max = width_max,
        .layers = c->layers,
    };
    c->b->model->root = &dense->element;
    c->b->model->inputs_by_position = true;
    c->b->model->result_is_index = true;
}

enum weir_err compile_graph(struct graph *graph, struct model_builder *b, uint32_t *outputs_out)
{
    struct compiler c = {.graph = graph, .b = b, .stage = STAGE_NO_LAYER};
    find_chain(&c);
    if (ok(&c)) {
        read_placeholder(&c);
    }
    c.layers = model_alloc(b, c.chain_count, sizeof *c.layers);
    for (uint32_t i = 0; i < c.chain_count && ok(&c); i++) {
        c.before = i > 0 ? c.chain[i - 1] : c.placeholder;
        add_node(&c, c.chain[i]);
    }
    if (ok(&c) && c.layer_count == 0) {
        graph_fail(graph, c.placeholder, WEIR_UNSUPPORTED, "nothing is computed from it");
    }
    if (ok(&c)) {
        add_inputs(&c);
    }
    if (ok(&c)) {
        add_root(&c);
    }
    if (graph->err == WEIR_OK && b->err != WEIR_OK) {
        graph_fail(graph, NULL, b->err, "it can't be compiled: %s", weir_err_text(b->err));
    }
    *outputs_out = c.width;
    return graph->err;
}
