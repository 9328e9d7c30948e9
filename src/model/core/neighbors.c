/*
 * NearestNeighborModel. Source: PMML 4.4, "k-Nearest Neighbors". Of instances equally near those
 * first in the document are the neighbors. A tie of votes goes to the class with most instances,
 * then to the one whose label comes first as bytes. A neighbor whose own value is missing has no
 * vote.
 */
#include "model/core/elements.h"

static double weight_of(const struct model_neighbors *m, const struct model_neighbor_target *target,
                        double distance)
{
    return target->vote == MODEL_VOTE_WEIGHTED ? 1 / (distance + m->threshold) : 1;
}

/* Class a rather than b. */
static bool beats(const struct model_neighbor_target *target, const double *votes, uint32_t a,
                  uint32_t b)
{
    if (votes[a] != votes[b]) {
        return votes[a] > votes[b];
    }
    if (target->cases[a] != target->cases[b]) {
        return target->cases[a] > target->cases[b];
    }
    struct weir_slice x = target->classes->labels[a];
    struct weir_slice y = target->classes->labels[b];
    int order = memcmp(x.data, y.data, x.bytes < y.bytes ? x.bytes : y.bytes);
    return order != 0 ? order < 0 : x.bytes < y.bytes;
}

static uint32_t vote(const struct model_neighbors *m, const struct model_neighbor_target *target,
                     const double *distances, const double *neighbors, uint32_t count,
                     double *votes)
{
    uint32_t best = UINT32_MAX;
    memset(votes, 0, target->classes->count * sizeof *votes);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = (uint32_t)neighbors[i];
        if (!model_is_missing(target->values[n])) {
            votes[(uint32_t)target->values[n]] += weight_of(m, target, distances[n]);
        }
    }
    for (uint32_t c = 0; c < target->classes->count; c++) {
        if (votes[c] > 0 && (best == UINT32_MAX || beats(target, votes, c, best))) {
            best = c;
        }
    }
    return best;
}

/* Sorts by insertion as it gathers: neighbors are few. */
static double median(const struct model_neighbor_target *target, const double *neighbors,
                     uint32_t count, double *sorted)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        double value = target->values[(uint32_t)neighbors[i]];
        if (model_is_missing(value)) {
            continue;
        }
        uint32_t at = found++;
        for (; at > 0 && sorted[at - 1] > value; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = value;
    }
    if (found == 0) {
        return model_missing();
    }
    double upper = sorted[found / 2];
    return found % 2 == 1 ? upper : (sorted[found / 2 - 1] + upper) / 2;
}

static double average(const struct model_neighbors *m, const struct model_neighbor_target *target,
                      const double *distances, const double *neighbors, uint32_t count)
{
    double sum = 0;
    double weights = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = (uint32_t)neighbors[i];
        if (!model_is_missing(target->values[n])) {
            double weight = weight_of(m, target, distances[n]);
            sum += weight * target->values[n];
            weights += weight;
        }
    }
    return weights > 0 ? sum / weights : model_missing();
}

/* A number, or the index of a class; missing without any vote. `scratch`: classes or neighbors. */
static double predict(const struct model_neighbors *m, const struct model_neighbor_target *target,
                      const double *distances, const double *neighbors, uint32_t count,
                      double *scratch)
{
    if (target->classes != NULL) {
        uint32_t best = vote(m, target, distances, neighbors, count, scratch);
        return best != UINT32_MAX ? best : model_missing();
    }
    return target->vote == MODEL_VOTE_MEDIAN ? median(target, neighbors, count, scratch)
                                             : average(m, target, distances, neighbors, count);
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_neighbors *m = (const struct model_neighbors *)element;
    uint32_t width = m->comparison.field_count;
    double *values = row->work + element->work;
    double *distances = values + width;
    double *neighbors = distances + m->instance_count;
    double *scratch = neighbors + m->neighbor_count;
    for (uint32_t i = 0; i < width; i++) {
        values[i] = model_expr_value(&m->comparison.fields[i].expr, row);
    }
    for (uint32_t i = 0; i < m->instance_count; i++) {
        distances[i] = model_compare_to(&m->comparison, values, m->instances + (size_t)i * width);
    }
    uint32_t count = model_rank(distances, m->instance_count, m->comparison.similarity,
                                m->neighbor_count, neighbors);
    for (uint32_t i = 1; i < m->target_count; i++) {
        const struct model_neighbor_target *other = &m->targets[i];
        double value = predict(m, other, distances, neighbors, count, scratch);
        bool is_class = other->classes != NULL && !model_is_missing(value);
        row->values[other->slot] = is_class ? other->classes->values[(uint32_t)value] : value;
        row->computed[other->slot] = row->epoch;
    }
    double value = predict(m, &m->targets[0], distances, neighbors, count, scratch);
    if (model_is_missing(value)) {
        return;
    }
    result->missing = false;
    result->number = value;
    result->class_index = element->classes != NULL ? (uint32_t)value : UINT32_MAX;
    result->ranked_count = count;
    result->ranked = neighbors;
    result->ranked_ids = m->ids;
    result->ranked_affinities = distances;
    result->entity_id = m->ids[(uint32_t)neighbors[0]];
}

const struct model_element_ops model_neighbors_ops = {"NearestNeighborModel", score};
