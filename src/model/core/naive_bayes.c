/*
 * NaiveBayesModel. Source: PMML 4.4, "Naive Bayes". A class weighs as much as its count in the
 * training data times, for each input that is not missing, the probability of the input's value
 * given the class. A product of many small numbers leaves the range of a double, its mantissa and
 * exponent apart do not.
 */
#include "model/core/elements.h"

static double density(const struct model_distribution *d, double x)
{
    switch (d->kind) {
    case MODEL_DISTRIBUTION_GAUSSIAN:
        return exp(-(x - d->a) * (x - d->a) / (2 * d->b)) / sqrt(2 * M_PI * d->b);
    case MODEL_DISTRIBUTION_POISSON: {
        int sign;
        return x >= 0 && x == floor(x) ? exp(x * log(d->a) - d->a - lgamma_r(x + 1, &sign)) : 0;
    }
    case MODEL_DISTRIBUTION_UNIFORM:
        return x >= d->a && x <= d->b ? 1 / (d->b - d->a) : 0;
    case MODEL_DISTRIBUTION_NONE:
        break;
    }
    return 0;
}

/* Probability of a value given a class. `found` is its row of the table, UINT32_MAX = none. */
static double factor(const struct model_naive_bayes *m, const struct model_bayes_input *input,
                     double x, uint32_t found, uint32_t class_index)
{
    if (input->distributions != NULL) {
        double p = density(&input->distributions[class_index], x);
        return p >= input->density_min ? p : m->threshold;
    }
    if (found == UINT32_MAX) {
        return m->threshold;
    }
    double p = input->shares[(size_t)found * m->element.classes->count + class_index];
    return p > 0 ? p : m->threshold;
}

static uint32_t find_value(const struct model_bayes_input *input, double x)
{
    for (uint32_t i = 0; i < input->value_count; i++) {
        if (input->values[i] == x) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_naive_bayes *m = (const struct model_naive_bayes *)element;
    uint32_t class_count = element->classes->count;
    double *mantissas = row->work + element->work;
    double *exponents = mantissas + class_count;
    int exponent;
    for (uint32_t c = 0; c < class_count; c++) {
        mantissas[c] = frexp(m->counts[c], &exponent);
        exponents[c] = exponent;
    }
    for (uint32_t i = 0; i < m->input_count; i++) {
        const struct model_bayes_input *input = &m->inputs[i];
        double x = model_expr_value(&input->expr, row);
        if (model_is_missing(x)) {
            continue;
        }
        uint32_t found = find_value(input, x);
        for (uint32_t c = 0; c < class_count; c++) {
            mantissas[c] = frexp(mantissas[c] * factor(m, input, x, found, c), &exponent);
            exponents[c] += exponent;
        }
    }
    double largest = -INFINITY;
    for (uint32_t c = 0; c < class_count; c++) {
        largest = mantissas[c] > 0 && exponents[c] > largest ? exponents[c] : largest;
    }
    double sum = 0;
    for (uint32_t c = 0; c < class_count; c++) {
        double below = exponents[c] - largest;
        mantissas[c] = mantissas[c] > 0 && below > -2000 ? ldexp(mantissas[c], (int)below) : 0;
        sum += mantissas[c];
    }
    if (!(sum > 0) || row->status != WEIR_OK) {
        return; /* no class is possible */
    }
    for (uint32_t c = 0; c < class_count; c++) {
        mantissas[c] /= sum;
    }
    result->class_index = model_argmax(mantissas, class_count);
    result->missing = result->class_index == UINT32_MAX;
    result->probabilities = mantissas;
}

const struct model_element_ops model_naive_bayes_ops = {"NaiveBayesModel", score};
