/* BaselineModel with the test statistic zValue, the one without memory of earlier records. */
#include "model/pmml/reader.h"

static void read_distribution(struct pmml_reader *r, const struct pmml_element *e,
                              struct model_baseline_test *m)
{
    if (pmml_is(e, "GaussianDistribution") || pmml_is(e, "AnyDistribution")) {
        m->mean = pmml_required_number(r, e, "mean");
        m->variance = pmml_required_number(r, e, "variance");
    } else if (pmml_is(e, "PoissonDistribution")) {
        m->mean = pmml_required_number(r, e, "mean");
        m->variance = m->mean;
    } else if (pmml_is(e, "UniformDistribution")) {
        double lower = pmml_required_number(r, e, "lower");
        double upper = pmml_required_number(r, e, "upper");
        m->mean = (lower + upper) / 2;
        m->variance = (upper - lower) * (upper - lower) / 12;
    } else {
        pmml_unsupported(r, e);
    }
    if (r->err == WEIR_OK && !(m->variance > 0)) {
        pmml_fail(r, e, WEIR_INVALID, "has a variance that is not above 0");
    }
}

struct model_element *pmml_read_baseline(struct pmml_reader *r, const struct pmml_element *e)
{
    static const char *const statistics[] = {"zValue", NULL};
    const struct pmml_element *test = pmml_child(e, "TestDistributions");
    const struct pmml_element *baseline = test != NULL ? pmml_child(test, "Baseline") : NULL;
    struct model_baseline_test *m = model_alloc(&r->b, 1, sizeof *m);
    if (baseline == NULL || baseline->first == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs TestDistributions with a Baseline");
    }
    if (baseline == NULL || !pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_baseline_ops, &m->element);
    pmml_required(r, test, "testStatistic");
    pmml_choice(r, test, "testStatistic", statistics, 0);
    if (pmml_number(r, test, "windowSize", 0) > 1) {
        pmml_fail(r, test, WEIR_UNSUPPORTED,
                  "has a windowSize above 1, which is not supported yet");
    } else if (m->element.classes != NULL) {
        pmml_fail(r, e, WEIR_INVALID, "classifies, which a test statistic can't");
    }
    struct model_expr field = pmml_field_expression(r, test, pmml_required(r, test, "field"));
    m->slot = field.slot;
    if (r->err == WEIR_OK && field.type == MODEL_STRING) {
        pmml_fail(r, test, WEIR_INVALID, "names a field of strings, which is no number");
    }
    read_distribution(r, baseline->first, m);
    return &m->element;
}
