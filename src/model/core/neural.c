/*
 * NeuralNetwork and dense graphs, one row at a time. Source: PMML 4.4, "Neural Network Models".
 */
#include "model/core/elements.h"

double model_activate(enum model_activation activation, double threshold, double z)
{
    switch (activation) {
    case MODEL_ACTIVATION_IDENTITY:
        return z;
    case MODEL_ACTIVATION_LOGISTIC:
        return 1 / (1 + exp(-z));
    case MODEL_ACTIVATION_TANH:
        return tanh(z);
    case MODEL_ACTIVATION_RECTIFIER:
        return z > 0 ? z : 0;
    case MODEL_ACTIVATION_THRESHOLD:
        return z > threshold ? 1 : 0;
    case MODEL_ACTIVATION_EXPONENTIAL:
        return exp(z);
    case MODEL_ACTIVATION_RECIPROCAL:
        return 1 / z;
    case MODEL_ACTIVATION_SQUARE:
        return z * z;
    case MODEL_ACTIVATION_GAUSS:
        return exp(-(z * z));
    case MODEL_ACTIVATION_SINE:
        return sin(z);
    case MODEL_ACTIVATION_COSINE:
        return cos(z);
    case MODEL_ACTIVATION_ELLIOTT:
        return z / (1 + fabs(z));
    case MODEL_ACTIVATION_ARCTAN:
        return 2 * atan(z) / 3.14159265358979323846;
    case MODEL_ACTIVATION_RADIAL_BASIS:
        break;
    }
    return z;
}

static double weighted_sum(const struct model_neuron *neuron, const double *activations)
{
    double z = neuron->bias;
    for (uint32_t i = 0; i < neuron->connection_count; i++) {
        z += neuron->connections[i].weight * activations[neuron->connections[i].from];
    }
    return z;
}

/* exp(f * log(altitude) - distance^2 / (2 width^2)), f = number of connections. */
static double radial_basis(const struct model_neuron *neuron, const double *activations)
{
    double squares = 0;
    for (uint32_t i = 0; i < neuron->connection_count; i++) {
        double d = activations[neuron->connections[i].from] - neuron->connections[i].weight;
        squares += d * d;
    }
    double z = squares / (2 * neuron->width * neuron->width);
    return exp(neuron->connection_count * log(neuron->altitude) - z);
}

static void score_layer(const struct model_neural_layer *layer, const double *activations,
                        double *out)
{
    for (uint32_t i = 0; i < layer->neuron_count; i++) {
        const struct model_neuron *neuron = &layer->neurons[i];
        if (layer->activation == MODEL_ACTIVATION_RADIAL_BASIS) {
            out[i] = radial_basis(neuron, activations);
        } else {
            double z = weighted_sum(neuron, activations);
            out[i] = model_activate(layer->activation, layer->threshold, z);
        }
    }
    if (layer->normalization == MODEL_NORMALIZATION_SOFTMAX) {
        model_softmax(out, layer->neuron_count);
    } else if (layer->normalization == MODEL_NORMALIZATION_SIMPLEMAX) {
        model_simplemax(out, layer->neuron_count);
    }
}

static void take_class(const struct model_neural *n, const double *activations, double *p,
                       struct model_result *result)
{
    for (uint32_t i = 0; i < n->element.classes->count; i++) {
        p[i] = NAN;
    }
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < n->output_count; i++) {
        const struct model_neural_output *output = &n->outputs[i];
        double activation = activations[output->from];
        p[output->class_index] = activation;
        if (!isnan(activation) && (best == UINT32_MAX || activation > p[best])) {
            best = output->class_index;
        }
    }
    result->missing = best == UINT32_MAX;
    result->class_index = best;
    result->probabilities = p;
}

static void neural_score(const struct model_element *element, struct model_row *row,
                         struct model_result *result)
{
    const struct model_neural *n = (const struct model_neural *)element;
    double *activations = row->work + element->work;
    for (uint32_t i = 0; i < n->input_count; i++) {
        activations[i] = model_expr_value(&n->inputs[i], row);
        if (model_is_missing(activations[i])) {
            return;
        }
    }
    double *out = activations + n->input_count;
    for (uint32_t i = 0; i < n->layer_count; i++) {
        score_layer(&n->layers[i], activations, out);
        out += n->layers[i].neuron_count;
    }
    if (element->classes != NULL) {
        take_class(n, activations, activations + n->activation_count, result);
        return;
    }
    double y = activations[n->outputs[0].from];
    const struct model_expr *expr = n->outputs[0].expr;
    result->number = expr->kind == MODEL_EXPR_NORM_CONTINUOUS ? model_norm_inverse(expr, y) : y;
    result->missing = model_is_missing(result->number);
}

const struct model_element_ops model_neural_ops = {"NeuralNetwork", neural_score};

/* ---- dense network --------------------------------------------------------------------------- */

static float activate_float(enum model_activation activation, float z)
{
    switch (activation) {
    case MODEL_ACTIVATION_LOGISTIC:
        return 1.0F / (1.0F + expf(-z));
    case MODEL_ACTIVATION_TANH:
        return tanhf(z);
    case MODEL_ACTIVATION_RECTIFIER:
        return z > 0 ? z : 0;
    default:
        return z;
    }
}

static void softmax_float(float *values, uint32_t count)
{
    float largest = -INFINITY;
    float sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        largest = values[i] > largest ? values[i] : largest;
    }
    for (uint32_t i = 0; i < count; i++) {
        values[i] = expf(values[i] - largest);
        sum += values[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        values[i] /= sum;
    }
}

static void dense_layer(const struct model_dense_layer *layer, const float *x, float *y)
{
    for (uint32_t o = 0; o < layer->outputs; o++) {
        float sum = 0;
        for (uint32_t i = 0; i < layer->inputs; i++) {
            sum += x[i] * layer->weights[(size_t)i * layer->outputs + o];
        }
        y[o] = activate_float(layer->activation, layer->bias != NULL ? sum + layer->bias[o] : sum);
    }
    if (layer->normalization == MODEL_NORMALIZATION_SOFTMAX) {
        softmax_float(y, layer->outputs);
    }
}

static void dense_score(const struct model_element *element, struct model_row *row,
                        struct model_result *result)
{
    const struct model_dense *d = (const struct model_dense *)element;
    double *p = row->work + element->work;
    /* Two buffers of floats live in the doubles behind the probabilities. */
    float *x = (float *)(void *)(p + element->classes->count);
    float *y = (float *)(void *)(p + element->classes->count + d->width_max);
    for (uint32_t i = 0; i < d->input_count; i++) {
        double value = model_slot_value(row, row->model->inputs[i].slot);
        if (model_is_missing(value)) {
            return;
        }
        x[i] = (float)value;
    }
    for (uint32_t i = 0; i < d->layer_count; i++) {
        dense_layer(&d->layers[i], x, y);
        float *swap = x;
        x = y;
        y = swap;
    }
    for (uint32_t i = 0; i < element->classes->count; i++) {
        p[i] = (double)x[i];
    }
    result->class_index = model_argmax(p, element->classes->count);
    result->missing = result->class_index == UINT32_MAX;
    result->probabilities = p;
}

const struct model_element_ops model_dense_ops = {"GraphDef", dense_score};
