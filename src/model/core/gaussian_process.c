/*
 * GaussianProcessModel: the mean of the predicted distribution, k' (K + noise I)^-1 y. Source: PMML
 * 4.4, "Gaussian Process Models". A missing input leaves no result.
 */
#include "model/core/elements.h"

double model_covariance_of(const struct model_gaussian_process *m, const double *x, const double *z)
{
    double sum = 0;
    for (uint32_t i = 0; i < m->input_count; i++) {
        double apart = fabs(x[i] - z[i]) / m->lambdas[i];
        switch (m->covariance) {
        case MODEL_COVARIANCE_RADIAL_BASIS:
        case MODEL_COVARIANCE_SQUARED_EXPONENTIAL:
            sum += apart * apart / 2;
            break;
        case MODEL_COVARIANCE_ABSOLUTE_EXPONENTIAL:
            sum += apart;
            break;
        case MODEL_COVARIANCE_GENERALIZED_EXPONENTIAL:
            sum += pow(apart, m->degree);
            break;
        }
    }
    return m->gamma * exp(-sum);
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_gaussian_process *m = (const struct model_gaussian_process *)element;
    double *x = row->work + element->work;
    for (uint32_t i = 0; i < m->input_count; i++) {
        x[i] = model_slot_value(row, m->slots[i]);
        if (model_is_missing(x[i])) {
            return;
        }
    }
    result->missing = false;
    for (uint32_t i = 0; i < m->instance_count; i++) {
        const double *instance = m->instances + (size_t)i * m->input_count;
        result->number += m->coefficients[i] * model_covariance_of(m, x, instance);
    }
}

const struct model_element_ops model_gaussian_process_ops = {"GaussianProcessModel", score};
