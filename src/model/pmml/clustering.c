/* ClusteringModel with centers. */
#include "model/pmml/reader.h"

static void read_field(struct pmml_reader *r, const struct pmml_element *e,
                       enum model_compare fallback, struct model_compared_field *field)
{
    pmml_read_compared_field(r, e, fallback, field);
    const char *center = pmml_attribute(e, "isCenterField");
    if (center != NULL && strcmp(center, "true") != 0 && strcmp(center, "1") != 0) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has isCenterField=\"%.20s\", which is not supported yet",
                  center);
    } else if (r->err == WEIR_OK && field->expr.type == MODEL_STRING) {
        pmml_fail(r, e, WEIR_INVALID, "names a field of strings, which has no distance");
    }
}

static void read_fields(struct pmml_reader *r, const struct pmml_element *e,
                        struct model_comparison *comparison)
{
    const struct pmml_element *measure = pmml_child(e, "ComparisonMeasure");
    const struct pmml_element *missing = pmml_child(e, "MissingValueWeights");
    uint32_t count = pmml_count(e, "ClusteringField");
    struct model_compared_field *fields = model_alloc(&r->b, count, sizeof *fields);
    double *weights = pmml_scratch(r, count, sizeof *weights);
    if (measure == NULL || count == 0) {
        pmml_fail(r, e, WEIR_INVALID, "needs a ComparisonMeasure and a ClusteringField");
        return;
    }
    enum model_compare fallback = pmml_read_measure(r, measure, comparison);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "ClusteringField")) {
            read_field(r, c, fallback, &fields[comparison->field_count++]);
        }
    }
    if (missing != NULL && r->err == WEIR_OK) {
        pmml_read_numbers(r, missing, count, weights);
    }
    for (uint32_t i = 0; i < count && r->err == WEIR_OK; i++) {
        fields[i].missing_weight = missing != NULL ? weights[i] : 1;
        comparison->missing_weight_sum += fields[i].missing_weight;
    }
    comparison->fields = fields;
}

static void read_cluster(struct pmml_reader *r, const struct pmml_element *e,
                         const struct model_comparison *comparison, double *center)
{
    pmml_read_numbers(r, e, comparison->field_count, center);
    bool bits = comparison->measure >= MODEL_MEASURE_SIMPLE_MATCHING;
    for (uint32_t i = 0; bits && i < comparison->field_count && r->err == WEIR_OK; i++) {
        if (center[i] != 0 && center[i] != 1) {
            pmml_fail(r, e, WEIR_INVALID, "holds %g, which is neither 0 nor 1", center[i]);
        }
    }
}

static void refuse_others(struct pmml_reader *r, const struct pmml_element *e)
{
    static const char *const known[] = {
        "MiningSchema",      "Output",           "ModelStats",
        "ModelExplanation",  "Targets",          "LocalTransformations",
        "ComparisonMeasure", "ClusteringField",  "MissingValueWeights",
        "Cluster",           "ModelVerification"};
    for (const struct pmml_element *c = e->first; c != NULL && r->err == WEIR_OK; c = c->next) {
        uint32_t i = 0;
        while (i < sizeof known / sizeof known[0] && !pmml_is(c, known[i])) {
            i++;
        }
        if (i == sizeof known / sizeof known[0]) {
            pmml_unsupported(r, c);
        }
    }
}

struct model_element *pmml_read_clustering(struct pmml_reader *r, const struct pmml_element *e)
{
    static const char *const classes[] = {"centerBased", NULL};
    struct model_clustering *m = model_alloc(&r->b, 1, sizeof *m);
    uint32_t count = pmml_count(e, "Cluster");
    pmml_required(r, e, "modelClass");
    pmml_choice(r, e, "modelClass", classes, 0);
    refuse_others(r, e);
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_clustering_ops, &m->element);
    read_fields(r, e, &m->comparison);
    size_t fields = m->comparison.field_count;
    double *centers = model_alloc(&r->b, count * fields, sizeof *centers);
    double *displays = model_alloc(&r->b, count, sizeof *displays);
    uint32_t index = 0;
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "Cluster")) {
            const char *name = pmml_attribute(c, "name");
            displays[index] = name != NULL ? model_builder_symbol(&r->b, pmml_slice(name))
                                           : m->element.classes->values[index];
            read_cluster(r, c, &m->comparison, centers + index++ * fields);
        }
    }
    m->centers = centers;
    m->element.displays = displays;
    m->element.work = model_builder_work(&r->b, fields + 2 * (size_t)count);
    return &m->element;
}
