/* AnomalyDetectionModel. */
#include "model/pmml/reader.h"

static const char *const algorithm_names[] = {"iforest", "ocsvm", "clusterMeanDist", NULL};
static const char *const inner_names[] = {"MiningModel", "SupportVectorMachineModel",
                                          "ClusteringModel"};

static const struct pmml_element *find_inner(struct pmml_reader *r, const struct pmml_element *e)
{
    const struct pmml_element *inner = NULL;
    for (const struct pmml_element *c = e->first; c != NULL; c = c->next) {
        inner = inner == NULL && pmml_is_model(c) ? c : inner;
    }
    if (inner == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a model");
    }
    return inner;
}

/* Source of the formula: F. T. Liu and others, "Isolation Forest", 2008, equation 1. */
static double path_length(struct pmml_reader *r, const struct pmml_element *e)
{
    double n = pmml_required_number(r, e, "sampleDataSize");
    if (r->err == WEIR_OK && !(n > 1)) {
        pmml_fail(r, e, WEIR_INVALID, "needs a sampleDataSize above 1");
    }
    return 2 * (log(n - 1) + 0.57721566) - 2 * (n - 1) / n;
}

static const double *read_distances(struct pmml_reader *r, const struct pmml_element *e,
                                    const struct model_clustering *inner)
{
    const struct pmml_element *means = pmml_child(e, "MeanClusterDistances");
    uint32_t count = inner->element.classes->count;
    double *distances = model_alloc(&r->b, count, sizeof *distances);
    if (means == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs MeanClusterDistances");
    } else if (inner->comparison.similarity) {
        pmml_fail(r, e, WEIR_INVALID, "divides a similarity by distances");
    }
    if (pmml_ok(r, e)) {
        pmml_read_numbers(r, means, count, distances);
    }
    for (uint32_t i = 0; i < count && r->err == WEIR_OK; i++) {
        if (!(distances[i] > 0)) {
            pmml_fail(r, means, WEIR_INVALID, "holds %g, which is not above 0", distances[i]);
        }
    }
    return distances;
}

struct model_element *pmml_read_anomaly(struct pmml_reader *r, const struct pmml_element *e)
{
    struct model_anomaly *m = model_alloc(&r->b, 1, sizeof *m);
    const struct pmml_element *inner = find_inner(r, e);
    pmml_required(r, e, "algorithmType");
    uint32_t kind = pmml_choice(r, e, "algorithmType", algorithm_names, 0);
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_anomaly_ops, &m->element);
    m->kind = (enum model_anomaly_kind)kind;
    if (m->element.classes != NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "classifies; only a score is supported");
    } else if (!pmml_is(inner, inner_names[kind])) {
        pmml_fail(r, inner, WEIR_UNSUPPORTED, "is not the %s that algorithmType=\"%s\" has",
                  inner_names[kind], algorithm_names[kind]);
    } else {
        m->inner = pmml_read_model(r, inner, false);
    }
    if (r->err == WEIR_OK && kind != MODEL_ANOMALY_CLUSTER_DISTANCE && m->inner->classes != NULL) {
        pmml_fail(r, inner, WEIR_INVALID, "classifies, which gives no score");
    } else if (r->err == WEIR_OK && kind == MODEL_ANOMALY_ISOLATION_FOREST) {
        m->path_length = path_length(r, e);
    } else if (r->err == WEIR_OK && kind == MODEL_ANOMALY_CLUSTER_DISTANCE) {
        m->distances = read_distances(r, e, (const struct model_clustering *)m->inner);
    }
    return &m->element;
}
