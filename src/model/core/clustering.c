/*
 * ClusteringModel with centers. Source: PMML 4.4, "Center-Based Clustering", "Comparison Measures".
 * Ties go to the first cluster.
 */
#include "model/core/elements.h"

static double compare_field(const struct model_compared_field *field, double x, double center)
{
    double z = x - center;
    switch (field->compare) {
    case MODEL_COMPARE_GAUSS_SIM:
        return exp(-M_LN2 * z * z / (field->scale * field->scale));
    case MODEL_COMPARE_DELTA:
        return x == center ? 0 : 1;
    case MODEL_COMPARE_EQUAL:
        return x == center ? 1 : 0;
    case MODEL_COMPARE_ABS_DIFF:
        break;
    }
    return fabs(z);
}

/* counts[2 * x + center] of the fields. False: a value is neither 0 nor 1. */
static bool count_bits(const struct model_comparison *comparison, const double *values,
                       const double *center, double counts[4])
{
    for (uint32_t i = 0; i < comparison->field_count; i++) {
        double x = values[i];
        if (model_is_missing(x)) {
            continue;
        }
        if ((x != 0 && x != 1) || (center[i] != 0 && center[i] != 1)) {
            return false;
        }
        counts[(x == 1 ? 2 : 0) + (center[i] == 1 ? 1 : 0)]++;
    }
    return true;
}

static double similarity(const struct model_comparison *comparison, const double *values,
                         const double *center)
{
    double n[4] = {0, 0, 0, 0};
    if (!count_bits(comparison, values, center, n)) {
        return NAN;
    }
    double differ = n[1] + n[2];
    switch (comparison->measure) {
    case MODEL_MEASURE_SIMPLE_MATCHING:
        return (n[3] + n[0]) / (n[3] + differ + n[0]);
    case MODEL_MEASURE_JACCARD:
        return n[3] / (n[3] + differ);
    case MODEL_MEASURE_TANIMOTO:
        return (n[3] + n[0]) / (n[3] + 2 * differ + n[0]);
    default:
        break;
    }
    double above = 0;
    double below = 0;
    for (int i = 3; i >= 0; i--) {
        above += comparison->above[i] * n[i];
        below += comparison->below[i] * n[i];
    }
    return above / below;
}

static double distance(const struct model_comparison *comparison, const double *values,
                       const double *center)
{
    double sum = 0;
    double weights = 0;
    for (uint32_t i = 0; i < comparison->field_count; i++) {
        const struct model_compared_field *field = &comparison->fields[i];
        if (model_is_missing(values[i])) {
            continue;
        }
        if (model_is_missing(center[i])) {
            return NAN;
        }
        weights += field->missing_weight;
        double c = compare_field(field, values[i], center[i]);
        switch (comparison->measure) {
        case MODEL_MEASURE_CHEBYCHEV:
            sum = isnan(c) || field->weight * c > sum ? field->weight * c : sum;
            break;
        case MODEL_MEASURE_CITY_BLOCK:
            sum += field->weight * c;
            break;
        case MODEL_MEASURE_MINKOWSKI:
            sum += field->weight * pow(c, comparison->p);
            break;
        default:
            sum += field->weight * c * c;
            break;
        }
    }
    if (!(weights > 0)) {
        return NAN;
    }
    sum *= comparison->missing_weight_sum / weights;
    if (comparison->measure == MODEL_MEASURE_EUCLIDEAN) {
        return sqrt(sum);
    }
    return comparison->measure == MODEL_MEASURE_MINKOWSKI ? pow(sum, 1 / comparison->p) : sum;
}

double model_compare_to(const struct model_comparison *comparison, const double *values,
                        const double *center)
{
    return comparison->measure >= MODEL_MEASURE_SIMPLE_MATCHING
               ? similarity(comparison, values, center)
               : distance(comparison, values, center);
}

uint32_t model_rank(const double *values, uint32_t count, bool largest, uint32_t wanted,
                    double *best)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = found;
        while (at > 0 && (largest ? values[i] > values[(uint32_t)best[at - 1]]
                                  : values[i] < values[(uint32_t)best[at - 1]])) {
            at--;
        }
        if (isnan(values[i]) || at == wanted) {
            continue;
        }
        found += found < wanted;
        memmove(best + at + 1, best + at, (found - at - 1) * sizeof *best);
        best[at] = i;
    }
    return found;
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_clustering *m = (const struct model_clustering *)element;
    const struct model_comparison *comparison = &m->comparison;
    double *values = row->work + element->work;
    double *affinities = values + comparison->field_count;
    uint32_t count = element->classes->count;
    uint32_t wanted = element->rank_max < count ? element->rank_max : count;
    for (uint32_t i = 0; i < comparison->field_count; i++) {
        values[i] = model_expr_value(&comparison->fields[i].expr, row);
    }
    for (uint32_t c = 0; c < count; c++) {
        affinities[c] =
            model_compare_to(comparison, values, m->centers + (size_t)c * comparison->field_count);
    }
    double *ranked = affinities + count;
    uint32_t found =
        model_rank(affinities, count, comparison->similarity, wanted > 0 ? wanted : 1, ranked);
    if (found > 0) {
        result->missing = false;
        result->class_index = (uint32_t)ranked[0];
        result->affinities = affinities;
        result->entity_id = element->classes->labels[result->class_index];
        result->ranked_count = found;
        result->ranked = ranked;
        result->ranked_ids = element->classes->labels;
        result->ranked_affinities = affinities;
    }
}

const struct model_element_ops model_clustering_ops = {"ClusteringModel", score};
