/* ComparisonMeasure, and what ClusteringField and KNNInput have in common. */
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

enum model_compare pmml_read_measure(struct pmml_reader *r, const struct pmml_element *e,
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
    return (enum model_compare)pmml_choice(r, e, "compareFunction", compare_names, 0);
}

void pmml_read_compared_field(struct pmml_reader *r, const struct pmml_element *e,
                              enum model_compare fallback, struct model_compared_field *field)
{
    field->expr = pmml_field_expression(r, e, pmml_required(r, e, "field"));
    field->compare =
        (enum model_compare)pmml_choice(r, e, "compareFunction", compare_names, fallback);
    field->weight = pmml_number(r, e, "fieldWeight", 1);
    field->missing_weight = 1;
    field->scale = pmml_number(r, e, "similarityScale", 0);
    if (e->first != NULL) {
        pmml_unsupported(r, e->first);
    } else if (field->compare == MODEL_COMPARE_GAUSS_SIM && !(field->scale > 0)) {
        pmml_fail(r, e, WEIR_INVALID, "needs a similarityScale above 0 for gaussSim");
    } else if (!(field->weight >= 0)) {
        pmml_fail(r, e, WEIR_INVALID, "has a fieldWeight below 0");
    }
}
