/* NeuralNetwork. */
#include "model/pmml/reader.h"

#include <stdlib.h>

/* In the order of enum model_activation. */
static const char *const activation_names[] = {
    "identity",    "logistic",   "tanh",   "rectifier",   "threshold",
    "exponential", "reciprocal", "square", "Gauss",       "sine",
    "cosine",      "Elliott",    "arctan", "radialBasis", NULL};
/* In the order of enum model_normalization. */
static const char *const normalization_names[] = {"none", "simplemax", "softmax", NULL};

/* Ids of inputs and neurons with the index of their activation, sorted by id once all of a layer
 * are known: a layer only connects to what stands before it. */
struct neuron_id {
    const char *id;
    uint32_t index;
};

struct neuron_ids {
    struct neuron_id *items;
    uint32_t count;
};

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct neuron_id *)a)->id, ((const struct neuron_id *)b)->id);
}

static uint32_t find_id(struct pmml_reader *r, const struct pmml_element *e,
                        const struct neuron_ids *ids, const char *id)
{
    struct neuron_id key = {id, 0};
    const struct neuron_id *found = bsearch(&key, ids->items, ids->count, sizeof key, by_id);
    if (found == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "refers to neuron \"%.60s\", which is none before it", id);
        return 0;
    }
    return found->index;
}

static void sort_ids(struct pmml_reader *r, const struct pmml_element *e, struct neuron_ids *ids)
{
    qsort(ids->items, ids->count, sizeof *ids->items, by_id);
    for (uint32_t i = 1; i < ids->count; i++) {
        if (strcmp(ids->items[i - 1].id, ids->items[i].id) == 0) {
            pmml_fail(r, e, WEIR_INVALID, "has the neuron id \"%.60s\" twice", ids->items[i].id);
        }
    }
}

static void read_inputs(struct pmml_reader *r, const struct pmml_element *e, struct model_neural *n,
                        struct neuron_ids *ids)
{
    struct model_expr *inputs = model_alloc(&r->b, e->child_count, sizeof *inputs);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        const struct pmml_element *field = pmml_child(c, "DerivedField");
        if (!pmml_is(c, "NeuralInput") || field == NULL) {
            pmml_fail(r, c, WEIR_INVALID, "is no NeuralInput with a DerivedField");
            return;
        }
        ids->items[ids->count++] =
            (struct neuron_id){pmml_required(r, c, "id"), n->activation_count++};
        pmml_read_derivation(r, field, MODEL_DOUBLE, &inputs[n->input_count++]);
    }
    n->inputs = inputs;
    sort_ids(r, e, ids);
}

static void read_neuron(struct pmml_reader *r, const struct pmml_element *e,
                        const struct neuron_ids *ids, bool radial, struct model_neuron *neuron)
{
    struct model_connection *connections = model_alloc(&r->b, e->child_count, sizeof *connections);
    neuron->bias = pmml_number(r, e, "bias", 0);
    neuron->width = pmml_number(r, e, "width", neuron->width);
    neuron->altitude = pmml_number(r, e, "altitude", neuron->altitude);
    if (radial && !(neuron->width > 0)) {
        pmml_fail(r, e, WEIR_INVALID, "needs a width for radialBasis");
    }
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (!pmml_is(c, "Con")) {
            pmml_unsupported(r, c);
            return;
        }
        struct model_connection *connection = &connections[neuron->connection_count++];
        connection->from = find_id(r, c, ids, pmml_required(r, c, "from"));
        connection->weight = pmml_required_number(r, c, "weight");
    }
    neuron->connections = connections;
}

/* model is the NeuralNetwork, whose attributes a layer may override. */
static void read_layer(struct pmml_reader *r, const struct pmml_element *model,
                       const struct pmml_element *e, struct model_neural *n, struct neuron_ids *ids,
                       struct model_neural_layer *layer)
{
    layer->activation = (enum model_activation)pmml_choice(
        r, e, "activationFunction", activation_names,
        pmml_choice(r, model, "activationFunction", activation_names, 0));
    /* The network's own normalization belongs to its last layer. */
    uint32_t normalization = pmml_choice(r, model, "normalizationMethod", normalization_names, 0);
    bool is_last = e == model->last || e->next == NULL || !pmml_is(e->next, "NeuralLayer");
    layer->normalization = (enum model_normalization)pmml_choice(
        r, e, "normalizationMethod", normalization_names, is_last ? normalization : 0);
    layer->threshold = pmml_number(r, e, "threshold", pmml_number(r, model, "threshold", 0));
    double width = pmml_number(r, e, "width", pmml_number(r, model, "width", 0));
    double altitude = pmml_number(r, e, "altitude", pmml_number(r, model, "altitude", 1));
    struct model_neuron *neurons = model_alloc(&r->b, e->child_count, sizeof *neurons);
    uint32_t known = ids->count;
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (!pmml_is(c, "Neuron")) {
            pmml_unsupported(r, c);
            return;
        }
        struct neuron_ids before = {ids->items, known};
        struct model_neuron *neuron = &neurons[layer->neuron_count++];
        neuron->width = width;
        neuron->altitude = altitude;
        bool radial = layer->activation == MODEL_ACTIVATION_RADIAL_BASIS;
        read_neuron(r, c, &before, radial, neuron);
        ids->items[ids->count++] =
            (struct neuron_id){pmml_required(r, c, "id"), n->activation_count++};
    }
    layer->neurons = neurons;
    sort_ids(r, e, ids);
}

static void read_output(struct pmml_reader *r, const struct pmml_element *e,
                        const struct neuron_ids *ids, struct model_neural_output *output)
{
    const struct pmml_element *field = pmml_child(e, "DerivedField");
    output->from = find_id(r, e, ids, pmml_required(r, e, "outputNeuron"));
    const struct pmml_element *x = field != NULL ? field->first : NULL;
    if (x == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a DerivedField with an expression");
        return;
    }
    if (r->target->classes != NULL) {
        if (!pmml_is(x, "NormDiscrete")) {
            pmml_unsupported(r, x);
            return;
        }
        output->class_index = pmml_class(r, x, pmml_required(r, x, "value"));
        return;
    }
    /* The field here is the target, which is no input: only the norm itself is read. */
    struct model_expr *expr = model_alloc(&r->b, 1, sizeof *expr);
    if (!pmml_ok(r, x)) {
        return;
    }
    expr->kind = MODEL_EXPR_SLOT;
    if (pmml_is(x, "NormContinuous")) {
        pmml_read_norm_continuous(r, x, expr);
    } else if (!pmml_is(x, "FieldRef")) {
        pmml_unsupported(r, x);
    }
    output->expr = expr;
}

static void read_outputs(struct pmml_reader *r, const struct pmml_element *e,
                         struct model_neural *n, const struct neuron_ids *ids)
{
    struct model_neural_output *outputs = model_alloc(&r->b, e->child_count, sizeof *outputs);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (!pmml_is(c, "NeuralOutput")) {
            pmml_unsupported(r, c);
            return;
        }
        read_output(r, c, ids, &outputs[n->output_count++]);
    }
    n->outputs = outputs;
    if (n->output_count == 0 || (r->target->classes == NULL && n->output_count != 1)) {
        pmml_fail(r, e, WEIR_INVALID, "has %u NeuralOutputs, which its functionName can't have",
                  n->output_count);
    }
}

static void read_parts(struct pmml_reader *r, const struct pmml_element *e, struct model_neural *n,
                       struct neuron_ids *ids)
{
    const struct pmml_element *inputs = pmml_child(e, "NeuralInputs");
    const struct pmml_element *outputs = pmml_child(e, "NeuralOutputs");
    struct model_neural_layer *layers =
        model_alloc(&r->b, pmml_count(e, "NeuralLayer"), sizeof *layers);
    if (inputs == NULL || outputs == NULL || pmml_child(e, "NeuralLayer") == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs NeuralInputs, NeuralLayer and NeuralOutputs");
    }
    if (inputs == NULL || outputs == NULL || !pmml_ok(r, e)) {
        return;
    }
    read_inputs(r, inputs, n, ids);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "NeuralLayer")) {
            read_layer(r, e, c, n, ids, &layers[n->layer_count++]);
        }
    }
    n->layers = layers;
    if (r->err == WEIR_OK) {
        read_outputs(r, outputs, n, ids);
    }
}

struct model_element *pmml_read_neural(struct pmml_reader *r, const struct pmml_element *e)
{
    struct model_neural *n = model_alloc(&r->b, 1, sizeof *n);
    const struct pmml_element *inputs = pmml_child(e, "NeuralInputs");
    size_t id_count = inputs != NULL ? inputs->child_count : 0;
    for (const struct pmml_element *c = e->first; c != NULL; c = c->next) {
        id_count += pmml_is(c, "NeuralLayer") ? c->child_count : 0;
    }
    struct neuron_ids ids = {pmml_scratch(r, id_count, sizeof *ids.items), 0};
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_neural_ops, &n->element);
    read_parts(r, e, n, &ids);
    size_t class_count = r->target->classes != NULL ? r->target->classes->count : 0;
    n->element.work = model_builder_work(&r->b, n->activation_count + class_count);
    return &n->element;
}
