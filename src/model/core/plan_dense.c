/* Which networks are a chain of full layers, and their matrices. */
#include "base/arena.h"
#include "model/core/kernels.h"

enum { STRIDE = 16, WIDTH_MAX = 1 << 16 };

struct compiler {
    struct weir_model *model;
    struct dense_plan *plan;
    enum weir_err err;
};

/* Zeroed, and aligned so that no vector crosses a cache line. */
static void *take(struct compiler *c, size_t count, size_t bytes)
{
    size_t total;
    void *memory = NULL;
    if (!__builtin_mul_overflow(count, bytes, &total)) {
        memory = weir_arena_alloc_aligned(c->model->arena, 64, total);
    }
    if (memory == NULL) {
        c->err = WEIR_NOMEM;
        return NULL;
    }
    memset(memory, 0, total);
    return memory;
}

static uint32_t stride_of(uint32_t outputs)
{
    return (outputs + STRIDE - 1) / STRIDE * STRIDE;
}

static bool can_activate(enum model_activation activation)
{
    return activation != MODEL_ACTIVATION_RADIAL_BASIS;
}

/* Every neuron takes all activations of the layer before, in order. `first` is the index of the
 * first of them. */
static bool is_full(const struct model_neural_layer *layer, uint32_t first, uint32_t inputs)
{
    for (uint32_t o = 0; o < layer->neuron_count; o++) {
        const struct model_neuron *neuron = &layer->neurons[o];
        if (neuron->connection_count != inputs) {
            return false;
        }
        for (uint32_t i = 0; i < inputs; i++) {
            if (neuron->connections[i].from != first + i) {
                return false;
            }
        }
    }
    return layer->neuron_count > 0 && layer->neuron_count <= WIDTH_MAX &&
           can_activate(layer->activation) && layer->normalization != MODEL_NORMALIZATION_SIMPLEMAX;
}

static bool inputs_fit(const struct weir_model *model, const struct model_neural *n)
{
    for (uint32_t i = 0; i < n->input_count; i++) {
        const struct model_expr *expr = &n->inputs[i];
        bool norm =
            expr->kind == MODEL_EXPR_NORM_CONTINUOUS && expr->outliers != MODEL_OUTLIERS_AS_MISSING;
        if ((expr->kind != MODEL_EXPR_SLOT && !norm) ||
            model_input_of_slot(model, expr->slot) == UINT32_MAX) {
            return false;
        }
    }
    return n->input_count > 0 && n->input_count <= WIDTH_MAX;
}

/* Outputs are the neurons of the last layer, in order. */
static bool outputs_fit(const struct model_neural *n)
{
    uint32_t count = n->layers[n->layer_count - 1].neuron_count;
    uint32_t first = n->activation_count - count;
    if (n->output_count != count ||
        (n->element.classes != NULL && n->element.classes->count != count)) {
        return false;
    }
    for (uint32_t o = 0; o < count; o++) {
        if (n->outputs[o].from != first + o) {
            return false;
        }
        for (uint32_t k = 0; n->element.classes != NULL && k < o; k++) {
            if (n->outputs[k].class_index == n->outputs[o].class_index) {
                return false;
            }
        }
    }
    const struct model_expr *expr = n->outputs[0].expr;
    return n->element.classes != NULL || expr->kind == MODEL_EXPR_SLOT ||
           expr->outliers != MODEL_OUTLIERS_AS_MISSING;
}

static bool fits(const struct weir_model *model, const struct model_neural *n)
{
    uint32_t first = 0;
    uint32_t inputs = n->input_count;
    if (!inputs_fit(model, n)) {
        return false;
    }
    for (uint32_t l = 0; l < n->layer_count; l++) {
        if (!is_full(&n->layers[l], first, inputs)) {
            return false;
        }
        first += inputs;
        inputs = n->layers[l].neuron_count;
    }
    return outputs_fit(n);
}

static void fill_layer(struct compiler *c, const struct model_neural_layer *from, uint32_t inputs,
                       struct dense_layer *to)
{
    uint32_t stride = stride_of(from->neuron_count);
    double *weights = take(c, (size_t)inputs * stride, sizeof *weights);
    double *bias = take(c, stride, sizeof *bias);
    if (c->err != WEIR_OK) {
        return;
    }
    for (uint32_t o = 0; o < from->neuron_count; o++) {
        bias[o] = from->neurons[o].bias;
        for (uint32_t i = 0; i < inputs; i++) {
            weights[(size_t)i * stride + o] = from->neurons[o].connections[i].weight;
        }
    }
    *to = (struct dense_layer){
        .inputs = inputs,
        .outputs = from->neuron_count,
        .stride = stride,
        .activation = from->activation,
        .threshold = from->threshold,
        .softmax = from->normalization == MODEL_NORMALIZATION_SOFTMAX,
        .weights64 = weights,
        .bias64 = bias,
    };
}

static void set_width(struct dense_plan *p, const struct dense_layer *layers)
{
    p->width_max = stride_of(p->input_count);
    for (uint32_t l = 0; l < p->layer_count; l++) {
        p->width_max = layers[l].stride > p->width_max ? layers[l].stride : p->width_max;
    }
    p->plan.scratch_bytes = (size_t)p->width_max * 64 * 2 * sizeof(double);
}

static void from_neural(struct compiler *c, const struct model_neural *n)
{
    struct dense_plan *p = c->plan;
    struct dense_layer *layers = take(c, n->layer_count, sizeof *layers);
    uint32_t *inputs = take(c, n->input_count, sizeof *inputs);
    uint32_t *class_of = take(c, n->output_count, sizeof *class_of);
    if (c->err != WEIR_OK) {
        return;
    }
    *p = (struct dense_plan){
        .plan = {.run = KERNEL_VERSIONS(dense_run64)},
        .input_count = n->input_count,
        .layer_count = n->layer_count,
        .inputs = inputs,
        .norms = n->inputs,
        .layers = layers,
    };
    for (uint32_t i = 0; i < n->input_count; i++) {
        inputs[i] = model_input_of_slot(c->model, n->inputs[i].slot);
    }
    uint32_t width = n->input_count;
    for (uint32_t l = 0; l < n->layer_count; l++) {
        fill_layer(c, &n->layers[l], width, &layers[l]);
        width = n->layers[l].neuron_count;
    }
    for (uint32_t o = 0; o < n->output_count; o++) {
        class_of[o] = n->outputs[o].class_index;
    }
    p->class_of = n->element.classes != NULL ? class_of : NULL;
    const struct model_expr *expr = n->outputs[0].expr;
    p->inverse = expr != NULL && expr->kind == MODEL_EXPR_NORM_CONTINUOUS ? expr : NULL;
    set_width(p, layers);
}

/* A graph's layers, padded to the stride. */
static void fill_float_layer(struct compiler *c, const struct model_dense_layer *from,
                             struct dense_layer *to)
{
    uint32_t stride = stride_of(from->outputs);
    float *weights = take(c, (size_t)from->inputs * stride, sizeof *weights);
    float *bias = take(c, stride, sizeof *bias);
    if (c->err != WEIR_OK) {
        return;
    }
    for (uint32_t i = 0; i < from->inputs; i++) {
        memcpy(weights + (size_t)i * stride, from->weights + (size_t)i * from->outputs,
               from->outputs * sizeof *weights);
    }
    if (from->bias != NULL) {
        memcpy(bias, from->bias, from->outputs * sizeof *bias);
    }
    *to = (struct dense_layer){
        .inputs = from->inputs,
        .outputs = from->outputs,
        .stride = stride,
        .activation = from->activation,
        .softmax = from->normalization == MODEL_NORMALIZATION_SOFTMAX,
        .bias_last = true,
        .weights32 = weights,
        .bias32 = bias,
    };
}

static void from_dense(struct compiler *c, const struct model_dense *d)
{
    struct dense_plan *p = c->plan;
    uint32_t output_count = d->layers[d->layer_count - 1].outputs;
    struct dense_layer *layers = take(c, d->layer_count, sizeof *layers);
    uint32_t *inputs = take(c, d->input_count, sizeof *inputs);
    uint32_t *class_of = take(c, output_count, sizeof *class_of);
    if (c->err != WEIR_OK) {
        return;
    }
    *p = (struct dense_plan){
        .plan = {.run = KERNEL_VERSIONS(dense_run32)},
        .is_float = true,
        .input_count = d->input_count,
        .layer_count = d->layer_count,
        .inputs = inputs,
        .layers = layers,
        .class_of = class_of,
    };
    for (uint32_t i = 0; i < d->input_count; i++) {
        inputs[i] = i;
    }
    for (uint32_t l = 0; l < d->layer_count; l++) {
        fill_float_layer(c, &d->layers[l], &layers[l]);
    }
    for (uint32_t o = 0; o < output_count; o++) {
        class_of[o] = o;
    }
    set_width(p, layers);
}

enum weir_err dense_plan_new(struct weir_model *model, const struct model_plan **plan_out)
{
    const struct model_element *root = model->root;
    struct compiler c = {.model = model};
    bool neural = root->ops == &model_neural_ops && fits(model, (const struct model_neural *)root);
    *plan_out = NULL;
    if (!neural && root->ops != &model_dense_ops) {
        return WEIR_OK;
    }
    c.plan = take(&c, 1, sizeof *c.plan);
    if (c.err == WEIR_OK && neural) {
        from_neural(&c, (const struct model_neural *)root);
    } else if (c.err == WEIR_OK) {
        from_dense(&c, (const struct model_dense *)root);
    }
    *plan_out = c.err == WEIR_OK ? &c.plan->plan : NULL;
    return c.err;
}
