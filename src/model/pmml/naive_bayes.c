/* NaiveBayesModel. */
#include "model/pmml/reader.h"

#include <float.h>

/* Counts by class of a TargetValueCounts; a class that it does not name has none. */
static void read_counts(struct pmml_reader *r, const struct pmml_element *parent, double *counts)
{
    const struct pmml_element *list = pmml_child(parent, "TargetValueCounts");
    if (list == NULL) {
        pmml_fail(r, parent, WEIR_INVALID, "needs TargetValueCounts");
        return;
    }
    for (const struct pmml_element *e = list->first; e != NULL && pmml_ok(r, e); e = e->next) {
        if (!pmml_is(e, "TargetValueCount")) {
            pmml_unsupported(r, e);
            return;
        }
        uint32_t index = pmml_class(r, e, pmml_required(r, e, "value"));
        double count = pmml_required_number(r, e, "count");
        if (!(count >= 0) || isinf(count)) {
            pmml_fail(r, e, WEIR_INVALID, "has a count that is none");
        } else if (r->err == WEIR_OK) {
            counts[index] = count;
        }
    }
}

/* Counts of pairs become the shares of a value in what was counted for each class. */
static void divide_by_sums(struct model_bayes_input *input, double *shares, uint32_t class_count)
{
    for (uint32_t c = 0; c < class_count; c++) {
        double sum = 0;
        for (uint32_t v = 0; v < input->value_count; v++) {
            sum += shares[(size_t)v * class_count + c];
        }
        for (uint32_t v = 0; v < input->value_count && sum > 0; v++) {
            shares[(size_t)v * class_count + c] /= sum;
        }
    }
}

static void read_pairs(struct pmml_reader *r, const struct pmml_element *e,
                       struct model_bayes_input *input)
{
    uint32_t class_count = r->target->classes->count;
    uint32_t value_count = pmml_count(e, "PairCounts");
    double *values = model_alloc(&r->b, value_count, sizeof *values);
    double *shares = model_alloc(&r->b, (size_t)value_count * class_count, sizeof *shares);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (!pmml_is(c, "PairCounts")) {
            continue;
        }
        double value = pmml_value(r, c, input->expr.type, pmml_required(r, c, "value"));
        for (uint32_t i = 0; i < input->value_count; i++) {
            if (values[i] == value) {
                pmml_fail(r, c, WEIR_INVALID, "stands there twice for one value");
                return;
            }
        }
        values[input->value_count] = value;
        read_counts(r, c, shares + (size_t)input->value_count++ * class_count);
    }
    if (r->err == WEIR_OK) {
        divide_by_sums(input, shares, class_count);
    }
    input->values = values;
    input->shares = shares;
}

static void read_distribution(struct pmml_reader *r, const struct pmml_element *e,
                              struct model_distribution *d)
{
    if (pmml_is(e, "GaussianDistribution")) {
        d->kind = MODEL_DISTRIBUTION_GAUSSIAN;
        d->a = pmml_required_number(r, e, "mean");
        d->b = pmml_required_number(r, e, "variance");
    } else if (pmml_is(e, "PoissonDistribution")) {
        d->kind = MODEL_DISTRIBUTION_POISSON;
        d->a = pmml_required_number(r, e, "mean");
        d->b = d->a;
    } else if (pmml_is(e, "UniformDistribution")) {
        d->kind = MODEL_DISTRIBUTION_UNIFORM;
        d->a = pmml_required_number(r, e, "lower");
        d->b = pmml_required_number(r, e, "upper");
    } else {
        pmml_unsupported(r, e);
        return;
    }
    bool uniform = d->kind == MODEL_DISTRIBUTION_UNIFORM;
    if (!isfinite(d->a) || !isfinite(d->b) || !(d->b > (uniform ? d->a : 0))) {
        pmml_fail(r, e, WEIR_INVALID, "has no width");
    }
}

static void read_stats(struct pmml_reader *r, const struct pmml_element *list,
                       struct model_bayes_input *input)
{
    struct model_distribution *distributions =
        model_alloc(&r->b, r->target->classes->count, sizeof *distributions);
    for (const struct pmml_element *e = list->first; e != NULL && pmml_ok(r, e); e = e->next) {
        if (!pmml_is(e, "TargetValueStat") || e->child_count != 1) {
            pmml_unsupported(r, e);
            return;
        }
        uint32_t index = pmml_class(r, e, pmml_required(r, e, "value"));
        if (r->err == WEIR_OK) {
            read_distribution(r, e->first, &distributions[index]);
        }
    }
    input->distributions = distributions;
}

static void read_input(struct pmml_reader *r, const struct pmml_element *e,
                       struct model_bayes_input *input)
{
    const struct pmml_element *derived = pmml_child(e, "DerivedField");
    const struct pmml_element *stats = pmml_child(e, "TargetValueStats");
    const char *name = pmml_required(r, e, "fieldName");
    if (derived != NULL) {
        enum model_type type =
            (enum model_type)pmml_choice(r, derived, "dataType", pmml_type_names, MODEL_STRING);
        pmml_read_derivation(r, derived, type, &input->expr);
    } else {
        input->expr = pmml_field_expression(r, e, name);
    }
    if (r->err != WEIR_OK) {
        return;
    }
    if (stats != NULL && pmml_child(e, "PairCounts") != NULL) {
        pmml_fail(r, e, WEIR_INVALID, "has both PairCounts and TargetValueStats");
    } else if (stats != NULL && input->expr.type == MODEL_STRING) {
        pmml_fail(r, e, WEIR_INVALID, "has TargetValueStats for a field of strings");
    } else if (stats != NULL) {
        read_stats(r, stats, input);
    } else {
        read_pairs(r, e, input);
    }
}

/*
 * Documents of 4.1 have their continuous inputs each in an Extension. The rule that the threshold
 * stands in for a smaller density came with 4.2; who wrote the extensions replaced a density of 0.
 */
static const struct pmml_element *input_of(const struct pmml_element *e)
{
    return pmml_is(e, "Extension") ? pmml_child(e, "BayesInput") : e;
}

static void read_inputs(struct pmml_reader *r, const struct pmml_element *e,
                        struct model_naive_bayes *m)
{
    struct model_bayes_input *inputs = model_alloc(&r->b, e->child_count, sizeof *inputs);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        const struct pmml_element *input = input_of(c);
        if (input == NULL) {
            continue;
        }
        if (!pmml_is(input, "BayesInput")) {
            pmml_unsupported(r, input);
            return;
        }
        inputs[m->input_count].density_min = input == c ? m->threshold : DBL_TRUE_MIN;
        read_input(r, input, &inputs[m->input_count++]);
    }
    m->inputs = inputs;
}

struct model_element *pmml_read_naive_bayes(struct pmml_reader *r, const struct pmml_element *e)
{
    struct model_naive_bayes *m = model_alloc(&r->b, 1, sizeof *m);
    const struct pmml_element *inputs = pmml_child(e, "BayesInputs");
    const struct pmml_element *output = pmml_child(e, "BayesOutput");
    if (r->target->classes == NULL || inputs == NULL || output == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs classes, BayesInputs and BayesOutput");
        return NULL;
    }
    double *counts = model_alloc(&r->b, r->target->classes->count, sizeof *counts);
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_naive_bayes_ops, &m->element);
    m->threshold = pmml_required_number(r, e, "threshold");
    if (!(m->threshold >= 0 && m->threshold < 1)) {
        pmml_fail(r, e, WEIR_INVALID, "has a threshold that is no probability");
    }
    read_counts(r, output, counts);
    m->counts = counts;
    read_inputs(r, inputs, m);
    m->element.work = model_builder_work(&r->b, (size_t)2 * r->target->classes->count);
    return &m->element;
}
