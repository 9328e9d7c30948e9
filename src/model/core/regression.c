/*
 * RegressionModel: sums of predictors and their normalization. Source: PMML 4.4, "Regression";
 * classification of two classes takes p and 1 - p, an ordinal target differences of cumulative
 * probabilities. A missing number leaves a table without value, a missing category adds nothing.
 */
#include "model/core/elements.h"

uint32_t model_argmax(const double *values, uint32_t count)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (!isnan(values[i]) && (best == UINT32_MAX || values[i] > values[best])) {
            best = i;
        }
    }
    return best;
}

void model_softmax(double *values, uint32_t count)
{
    double largest = -INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        largest = values[i] > largest ? values[i] : largest;
    }
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        values[i] = exp(values[i] - largest);
        sum += values[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        values[i] /= sum;
    }
}

void model_simplemax(double *values, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += values[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        values[i] /= sum;
    }
}

double model_link_inverse(enum model_normalization normalization, double value)
{
    switch (normalization) {
    case MODEL_NORMALIZATION_LOGIT:
        return 1 / (1 + exp(-value));
    case MODEL_NORMALIZATION_PROBIT:
        return 0.5 * erfc(-value * 0.70710678118654752440);
    case MODEL_NORMALIZATION_CLOGLOG:
        return 1 - exp(-exp(value));
    case MODEL_NORMALIZATION_LOGLOG:
        return exp(-exp(-value));
    case MODEL_NORMALIZATION_CAUCHIT:
        return 0.5 + atan(value) / 3.14159265358979323846;
    case MODEL_NORMALIZATION_EXP:
        return exp(value);
    case MODEL_NORMALIZATION_NONE:
    case MODEL_NORMALIZATION_SIMPLEMAX:
    case MODEL_NORMALIZATION_SOFTMAX:
        break;
    }
    return value;
}

static double term_value(const struct model_predictor_term *term, bool is_float,
                         struct model_row *row, bool *missing)
{
    double product = model_rounded(is_float, term->coefficient);
    for (uint32_t i = 0; i < term->slot_count; i++) {
        double value = model_slot_value(row, term->slots[i]);
        *missing |= model_is_missing(value);
        product = model_rounded(is_float, product * model_rounded(is_float, value));
    }
    return product;
}

/* False: a number is missing. */
static bool table_value(const struct model_regression_table *table, bool is_float,
                        struct model_row *row, double *value_out)
{
    double sum = model_rounded(is_float, table->intercept);
    for (uint32_t i = 0; i < table->numeric_count; i++) {
        const struct model_numeric_predictor *p = &table->numeric[i];
        double value = model_slot_value(row, p->slot);
        if (model_is_missing(value)) {
            return false;
        }
        double power = p->exponent == 1 ? value : pow(value, p->exponent);
        double part = model_rounded(is_float, p->coefficient) * model_rounded(is_float, power);
        sum = model_rounded(is_float, sum + model_rounded(is_float, part));
    }
    for (uint32_t i = 0; i < table->categorical_count; i++) {
        const struct model_categorical_predictor *p = &table->categorical[i];
        if (model_slot_value(row, p->slot) == p->value) {
            sum = model_rounded(is_float, sum + model_rounded(is_float, p->coefficient));
        }
    }
    bool missing = false;
    for (uint32_t i = 0; i < table->term_count; i++) {
        double part = term_value(&table->terms[i], is_float, row, &missing);
        sum = model_rounded(is_float, sum + part);
    }
    *value_out = sum;
    return !missing;
}

static double clip(double p)
{
    return p < 0 ? 0 : p > 1 ? 1 : p;
}

static void normalize_two(enum model_normalization normalization, double *values)
{
    if (normalization == MODEL_NORMALIZATION_SOFTMAX) {
        model_softmax(values, 2);
    } else if (normalization == MODEL_NORMALIZATION_SIMPLEMAX) {
        model_simplemax(values, 2);
    } else {
        values[0] = clip(model_link_inverse(normalization, values[0]));
        values[1] = 1 - values[0];
    }
}

static void normalize_many(enum model_normalization normalization, double *values, uint32_t count)
{
    if (normalization == MODEL_NORMALIZATION_SOFTMAX) {
        model_softmax(values, count);
    } else if (normalization == MODEL_NORMALIZATION_NONE) {
        double sum = 0;
        for (uint32_t i = 0; i + 1 < count; i++) {
            sum += values[i];
        }
        values[count - 1] = 1 - sum;
    } else {
        for (uint32_t i = 0; i < count; i++) {
            values[i] = model_link_inverse(normalization, values[i]);
        }
        model_simplemax(values, count);
    }
}

/* The tables give cumulative probabilities of the first, second ... category; the last one is 1. */
static void normalize_ordinal(enum model_normalization normalization, double *values,
                              uint32_t count)
{
    double below = 0;
    for (uint32_t i = 0; i < count; i++) {
        double upto = i + 1 < count ? model_link_inverse(normalization, values[i]) : 1;
        values[i] = upto - below;
        below = upto;
    }
}

static void classify(const struct model_regression *r, double *values, struct model_row *row,
                     struct model_result *result)
{
    const struct model_element *element = &r->element;
    uint32_t class_count = element->classes->count;
    if (r->ordinal && r->normalization != MODEL_NORMALIZATION_SOFTMAX &&
        r->normalization != MODEL_NORMALIZATION_SIMPLEMAX) {
        normalize_ordinal(r->normalization, values, r->table_count);
    } else if (r->table_count == 2) {
        normalize_two(r->normalization, values);
    } else {
        normalize_many(r->normalization, values, r->table_count);
    }
    double *probabilities = row->work + element->work;
    for (uint32_t i = 0; i < class_count; i++) {
        probabilities[i] = NAN;
    }
    for (uint32_t i = 0; i < r->table_count; i++) {
        values[i] = model_rounded(element->is_float, values[i]);
    }
    uint32_t best = model_argmax(values, r->table_count);
    for (uint32_t i = 0; i < r->table_count; i++) {
        probabilities[r->tables[i].class_index] = values[i];
    }
    if (best != UINT32_MAX) {
        result->missing = false;
        result->class_index = r->tables[best].class_index;
        result->probabilities = probabilities;
    }
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_regression *r = (const struct model_regression *)element;
    if (element->classes == NULL) {
        double value;
        if (table_value(&r->tables[0], element->is_float, row, &value)) {
            enum model_normalization n = r->normalization;
            result->missing = false;
            value = model_link_inverse(
                n == MODEL_NORMALIZATION_SOFTMAX ? MODEL_NORMALIZATION_LOGIT : n, value);
            result->number = model_rounded(element->is_float, value);
        }
        return;
    }
    double *values = row->work + element->work + element->classes->count;
    for (uint32_t i = 0; i < r->table_count; i++) {
        if (!table_value(&r->tables[i], element->is_float, row, &values[i])) {
            return;
        }
    }
    classify(r, values, row, result);
}

const struct model_element_ops model_regression_ops = {"RegressionModel", score};
