/*
 * SupportVectorMachineModel. Source: PMML 4.4, "Support Vector Machine". A machine's value is the
 * sum of its coefficients times the kernels of its vectors, and a constant. One against one: below
 * the threshold the target category has the vote, else the alternate one; one against all: the
 * smallest value wins, with maxWins the largest. Ties go to the first class in target order.
 */
#include "model/core/elements.h"

static double dot(const double *x, const double *y, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

static double kernel(const struct model_support_vectors *m, const double *x, const double *y)
{
    switch (m->kernel) {
    case MODEL_KERNEL_POLYNOMIAL:
        return pow(m->gamma * dot(x, y, m->input_count) + m->coef0, m->degree);
    case MODEL_KERNEL_SIGMOID:
        return tanh(m->gamma * dot(x, y, m->input_count) + m->coef0);
    case MODEL_KERNEL_RADIAL_BASIS: {
        double squares = 0;
        for (uint32_t i = 0; i < m->input_count; i++) {
            squares += (x[i] - y[i]) * (x[i] - y[i]);
        }
        return exp(-m->gamma * squares);
    }
    case MODEL_KERNEL_LINEAR:
        break;
    }
    return dot(x, y, m->input_count);
}

static double machine_value(const struct model_support_vectors *m,
                            const struct model_support_machine *machine, const double *x,
                            const double *kernels)
{
    if (machine->vectors == NULL) {
        return dot(machine->coefficients, x, m->input_count) + machine->constant;
    }
    double sum = 0;
    for (uint32_t i = 0; i < machine->count; i++) {
        sum += machine->coefficients[i] * kernels[machine->vectors[i]];
    }
    return sum + machine->constant;
}

/* One against one: votes; one against all: values, so turned that the largest is the best. */
static void score_class(const struct model_support_vectors *m, const double *x,
                        const double *kernels, double *classes, struct model_result *result)
{
    for (uint32_t i = 0; i < m->element.classes->count; i++) {
        classes[i] = m->one_against_one ? 0 : (double)NAN;
    }
    for (uint32_t i = 0; i < m->machine_count; i++) {
        const struct model_support_machine *machine = &m->machines[i];
        double value = machine_value(m, machine, x, kernels);
        if (isnan(value)) {
            return;
        }
        if (m->one_against_one) {
            bool below = value < machine->threshold;
            classes[below ? machine->class_index : machine->alternate_index] += 1;
        } else {
            classes[machine->class_index] = m->max_wins ? value : -value;
        }
    }
    result->class_index = model_argmax(classes, m->element.classes->count);
    result->missing = result->class_index == UINT32_MAX;
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_support_vectors *m = (const struct model_support_vectors *)element;
    double *x = row->work + element->work;
    double *kernels = x + m->input_count;
    for (uint32_t i = 0; i < m->input_count; i++) {
        x[i] = model_expr_value(&m->inputs[i], row);
        if (model_is_missing(x[i])) {
            return;
        }
    }
    for (uint32_t i = 0; i < m->vector_count; i++) {
        kernels[i] = kernel(m, x, m->vectors + (size_t)i * m->input_count);
    }
    if (element->classes != NULL) {
        score_class(m, x, kernels, kernels + m->vector_count, result);
    } else {
        result->number = machine_value(m, &m->machines[0], x, kernels);
        result->missing = false;
    }
}

const struct model_element_ops model_support_vectors_ops = {"SupportVectorMachineModel", score};
