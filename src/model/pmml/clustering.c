/* ClusteringModel with centers, and ComparisonMeasure. */
#include "model/pmml/reader.h"

/* In the order of enum model_measure. */
static const char *const measure_names[] = {
    "euclidean",      "squaredEuclidean", "chebychev", "cityBlock",        "minkowski",
    "simpleMatching", "jaccard",          "tanimoto",  "binarySimilarity", NULL};
/* In the order of enum model_compare. */
static const char *const compare_names[] = {"absDiff", "gaussSim", "delta", "equal", NULL};

static void read_parameters(struct pmml_reader *r, const struct pmml_element *e,
                            struct model_comparison *comparison)
{
    static const char *const above[] = {"c00-parameter", "c01-parameter", "c10-parameter",
                                        "c11-parameter"};
    static const char *const below[] = {"d00-parameter", "d01-parameter", "d10-parameter",
                                        "d11-parameter"};
    if (comparison->measure == MODEL_MEASURE_MINKOWSKI) {
        comparison->p = pmml_required_number(r, e, "p-parameter");
        if (!(comparison->p > 0)) {
            pmml_fail(r, e, WEIR_INVALID, "needs a p-parameter above 0");
        }
    }
    for (int i = 0; comparison->measure == MODEL_MEASURE_BINARY_SIMILARITY && i < 4; i++) {
        comparison->above[i] = pmml_required_number(r, e, above[i]);
        comparison->below[i] = pmml_required_number(r, e, below[i]);
    }
}

static void read_measure(struct pmml_reader *r, const struct pmml_element *e,
                         struct model_comparison *comparison)
{
    static const char *const kinds[] = {"distance", "similarity", NULL};
    const struct pmml_element *measure = e->first;
    pmml_required(r, e, "kind");
    comparison->similarity = pmml_choice(r, e, "kind", kinds, 0) == 1;
    uint32_t i = 0;
    while (measure != NULL && measure_names[i] != NULL && !pmml_is(measure, measure_names[i])) {
        i++;
    }
    if (measure == NULL || measure->next != NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs one measure");
    } else if (measure_names[i] == NULL) {
        pmml_unsupported(r, measure);
    } else {
        comparison->measure = (enum model_measure)i;
        read_parameters(r, measure, comparison);
    }
}

static void read_field(struct pmml_reader *r, const struct pmml_element *e, uint32_t fallback,
                       struct model_compared_field *field)
{
    field->expr = pmml_field_expression(r, e, pmml_required(r, e, "field"));
    field->compare =
        (enum model_compare)pmml_choice(r, e, "compareFunction", compare_names, fallback);
    field->weight = pmml_number(r, e, "fieldWeight", 1);
    field->missing_weight = 1;
    field->scale = pmml_number(r, e, "similarityScale", 0);
    const char *center = pmml_attribute(e, "isCenterField");
    if (center != NULL && strcmp(center, "true") != 0 && strcmp(center, "1") != 0) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has isCenterField=\"%.20s\", which is not supported yet",
                  center);
    } else if (e->first != NULL) {
        pmml_unsupported(r, e->first);
    } else if (r->err == WEIR_OK && field->expr.type == MODEL_STRING) {
        pmml_fail(r, e, WEIR_INVALID, "names a field of strings, which has no distance");
    } else if (field->compare == MODEL_COMPARE_GAUSS_SIM && !(field->scale > 0)) {
        pmml_fail(r, e, WEIR_INVALID, "needs a similarityScale above 0 for gaussSim");
    } else if (!(field->weight >= 0)) {
        pmml_fail(r, e, WEIR_INVALID, "has a fieldWeight below 0");
    }
}

/* Numbers of the one Array in an element, count of them. */
static void read_array(struct pmml_reader *r, const struct pmml_element *parent, uint32_t count,
                       double *numbers)
{
    const struct pmml_element *array = pmml_child(parent, "Array");
    const struct weir_slice *words;
    if (array == NULL) {
        pmml_fail(r, parent, WEIR_INVALID, "needs an Array");
        return;
    }
    uint32_t found = pmml_array(r, array, &words);
    if (found != count) {
        pmml_fail(r, array, WEIR_INVALID, "has %u numbers instead of %u", found, count);
    }
    for (uint32_t i = 0; i < count && r->err == WEIR_OK; i++) {
        if (!model_parse_value(MODEL_DOUBLE, words[i], &numbers[i]) || !isfinite(numbers[i])) {
            pmml_fail(r, array, WEIR_INVALID, "holds a word that is no number");
        }
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
    read_measure(r, measure, comparison);
    uint32_t fallback = pmml_choice(r, measure, "compareFunction", compare_names, 0);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "ClusteringField")) {
            read_field(r, c, fallback, &fields[comparison->field_count++]);
        }
    }
    if (missing != NULL && r->err == WEIR_OK) {
        read_array(r, missing, count, weights);
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
    read_array(r, e, comparison->field_count, center);
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
    m->element.work = model_builder_work(&r->b, fields + count);
    return &m->element;
}
