/* AnomalyDetectionModel: another model's result as a score. Source: PMML 4.4, "Anomaly Detection
 * Models". */
#include "model/core/elements.h"

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_anomaly *m = (const struct model_anomaly *)element;
    struct model_result inner;
    model_element_score(m->inner, row, &inner);
    if (inner.missing) {
        return;
    }
    result->missing = false;
    switch (m->kind) {
    case MODEL_ANOMALY_ISOLATION_FOREST:
        result->number = exp2(-inner.number / m->path_length);
        break;
    case MODEL_ANOMALY_ONE_CLASS:
        result->number = inner.number;
        break;
    case MODEL_ANOMALY_CLUSTER_DISTANCE:
        result->number = inner.affinities[inner.class_index] / m->distances[inner.class_index];
        break;
    }
}

const struct model_element_ops model_anomaly_ops = {"AnomalyDetectionModel", score};
