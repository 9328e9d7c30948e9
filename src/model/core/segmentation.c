/*
 * MiningModel: segments and how their results become one. Source: PMML 4.4, "Multiple Models".
 * A segment whose predicate is false or unknown takes no part; a segment without prediction has no
 * vote and no weight. Sums run in document order. Ties go to the first class in target order.
 */
#include "model/core/elements.h"

/* What has been gathered from the segments so far. */
struct gathering {
    double sum;            /* regression: of values, weighted where the method says so */
    double *classes;       /* classification: votes or sums of probabilities */
    double *votes;         /* MEDIAN: [voted][class_count or 1] */
    double weight;         /* of segments that voted */
    double winning_weight; /* MAX: of those that are surest */
    double missing_weight; /* of segments that took part and had no prediction */
    double best;           /* MAX: the largest probability seen */
    uint32_t voted;
};

static bool is_weighted(enum model_method method)
{
    return method == MODEL_METHOD_WEIGHTED_AVERAGE || method == MODEL_METHOD_WEIGHTED_SUM ||
           method == MODEL_METHOD_WEIGHTED_MAJORITY_VOTE || method == MODEL_METHOD_WEIGHTED_MEDIAN;
}

static double weight_of(const struct model_segment *segment, struct model_row *row)
{
    return segment->has_weight_slot ? model_slot_value(row, segment->weight_slot) : segment->weight;
}

/* Probability of a class; a result without probabilities is sure of its class. */
static double probability(const struct model_result *result, uint32_t index)
{
    if (result->probabilities == NULL) {
        return index == result->class_index ? 1 : 0;
    }
    double p = result->probabilities[index];
    return isnan(p) ? 0 : p;
}

static void gather_max(struct gathering *g, const struct model_result *result, uint32_t count)
{
    double largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        largest = fmax(largest, probability(result, i));
    }
    if (g->voted == 0 || largest > g->best) {
        memset(g->classes, 0, count * sizeof *g->classes);
        g->winning_weight = 0;
        g->best = largest;
    }
    if (largest == g->best) {
        g->winning_weight += 1;
        for (uint32_t i = 0; i < count; i++) {
            g->classes[i] += probability(result, i);
        }
    }
}

static void gather_class(const struct model_segmentation *s, struct gathering *g,
                         const struct model_result *result, double weight)
{
    uint32_t count = s->element.classes->count;
    bool is_float = s->element.is_float;
    switch (s->method) {
    case MODEL_METHOD_MAJORITY_VOTE:
    case MODEL_METHOD_WEIGHTED_MAJORITY_VOTE:
        g->classes[result->class_index] += weight;
        break;
    case MODEL_METHOD_AVERAGE:
        for (uint32_t i = 0; i < count; i++) {
            g->classes[i] = model_rounded(is_float, g->classes[i] + probability(result, i));
        }
        break;
    case MODEL_METHOD_WEIGHTED_AVERAGE:
        for (uint32_t i = 0; i < count; i++) {
            double share = model_rounded(is_float, weight * probability(result, i));
            g->classes[i] = model_rounded(is_float, g->classes[i] + share);
        }
        break;
    case MODEL_METHOD_MAX:
        gather_max(g, result, count);
        break;
    default:
        for (uint32_t i = 0; i < count; i++) {
            g->votes[(size_t)g->voted * count + i] = probability(result, i);
        }
        break;
    }
    g->voted++;
}

/* Pairs of number and weight, in order of the numbers. */
static void insert_weighted(double *pairs, uint32_t count, double number, double weight)
{
    uint32_t at = count;
    for (; at > 0 && pairs[2 * (size_t)(at - 1)] > number; at--) {
        memcpy(pairs + 2 * (size_t)at, pairs + 2 * (size_t)(at - 1), 2 * sizeof *pairs);
    }
    pairs[2 * (size_t)at] = number;
    pairs[2 * (size_t)at + 1] = weight;
}

/* The first number up to which half of the weight is passed; reached exactly, the middle of it and
 * the next. */
static double weighted_median(const double *pairs, uint32_t count, double weight)
{
    double passed = 0;
    for (uint32_t i = 0; i < count; i++) {
        double number = pairs[2 * (size_t)i];
        passed += pairs[2 * (size_t)i + 1];
        if (2 * passed == weight && i + 1 < count) {
            return (number + pairs[2 * (size_t)(i + 1)]) / 2;
        }
        if (2 * passed >= weight) {
            return number;
        }
    }
    return model_missing();
}

static void gather_number(const struct model_segmentation *s, struct gathering *g, double number,
                          double weight)
{
    if (s->method == MODEL_METHOD_MEDIAN) {
        g->votes[g->voted] = number;
    } else if (s->method == MODEL_METHOD_WEIGHTED_MEDIAN) {
        insert_weighted(g->votes, g->voted, number, weight);
    } else if (s->method == MODEL_METHOD_MAX) {
        g->sum = g->voted == 0 || number > g->sum ? number : g->sum;
    } else {
        double part = is_weighted(s->method) ? weight * number : number;
        g->sum =
            model_rounded(s->element.is_float, g->sum + model_rounded(s->element.is_float, part));
    }
    g->voted++;
}

/* Median of count values `step` apart, by insertion into place: segments are few. */
static double median(double *values, uint32_t count, uint32_t step)
{
    for (uint32_t i = 1; i < count; i++) {
        double value = values[(size_t)i * step];
        uint32_t j = i;
        while (j > 0 && values[(size_t)(j - 1) * step] > value) {
            values[(size_t)j * step] = values[(size_t)(j - 1) * step];
            j--;
        }
        values[(size_t)j * step] = value;
    }
    uint32_t middle = count / 2;
    double upper = values[(size_t)middle * step];
    return count % 2 == 1 ? upper : (values[(size_t)(middle - 1) * step] + upper) / 2;
}

static void finish_class(const struct model_segmentation *s, struct gathering *g,
                         struct model_result *result)
{
    uint32_t count = s->element.classes->count;
    double divisor = s->method == MODEL_METHOD_MAX ? g->winning_weight : g->weight;
    for (uint32_t i = 0; i < count; i++) {
        if (s->method == MODEL_METHOD_MEDIAN) {
            g->classes[i] = median(g->votes + i, g->voted, count);
        } else {
            g->classes[i] = model_rounded(s->element.is_float, g->classes[i] / divisor);
        }
    }
    result->probabilities = g->classes;
    result->class_index = model_argmax(g->classes, count);
    result->missing = result->class_index == UINT32_MAX;
}

static void finish_number(const struct model_segmentation *s, struct gathering *g,
                          struct model_result *result)
{
    result->missing = false;
    switch (s->method) {
    case MODEL_METHOD_AVERAGE:
        result->number = g->sum / g->voted;
        break;
    case MODEL_METHOD_WEIGHTED_AVERAGE:
        result->number = g->sum / g->weight;
        break;
    case MODEL_METHOD_MEDIAN:
        result->number = median(g->votes, g->voted, 1);
        break;
    case MODEL_METHOD_WEIGHTED_MEDIAN:
        result->number = weighted_median(g->votes, g->voted, g->weight);
        break;
    default:
        result->number = g->sum;
        break;
    }
    result->number = model_rounded(s->element.is_float, result->number);
}

/* The first segment whose predicate is true; if it has no prediction and may be skipped, the next
 * one. */
static void select_first(const struct model_segmentation *s, struct model_row *row,
                         struct model_result *result)
{
    for (uint32_t i = 0; i < s->segment_count && row->status == WEIR_OK; i++) {
        const struct model_segment *segment = &s->segments[i];
        if (model_predicate_test(&segment->predicate, row) != MODEL_TRUE) {
            continue;
        }
        model_element_score(segment->element, row, result);
        if (!result->missing || s->missing_prediction != MODEL_PREDICTION_SKIP_SEGMENT) {
            return;
        }
    }
}

/* Every segment whose predicate is true, each seeing the outputs of those before; the last one of
 * the chain's own kind gives the result: in a classification, a regression only serves those behind
 * it. A segment without prediction ends the chain, unless told to continue. */
static void chain(const struct model_segmentation *s, struct model_row *row,
                  struct model_result *result)
{
    for (uint32_t i = 0; i < s->segment_count && row->status == WEIR_OK; i++) {
        const struct model_segment *segment = &s->segments[i];
        if (model_predicate_test(&segment->predicate, row) != MODEL_TRUE) {
            continue;
        }
        struct model_result next;
        model_element_score(segment->element, row, &next);
        if (next.missing && s->missing_prediction == MODEL_PREDICTION_SKIP_SEGMENT) {
            continue;
        }
        if (segment->element->classes == s->element.classes) {
            *result = next;
        }
        if (next.missing && s->missing_prediction == MODEL_PREDICTION_RETURN_MISSING) {
            result->missing = true;
            return;
        }
    }
}

/* False: the segments that had no prediction leave the whole without one. */
static bool gather(const struct model_segmentation *s, struct model_row *row, struct gathering *g)
{
    for (uint32_t i = 0; i < s->segment_count && row->status == WEIR_OK; i++) {
        const struct model_segment *segment = &s->segments[i];
        if (model_predicate_test(&segment->predicate, row) != MODEL_TRUE) {
            continue;
        }
        struct model_result result;
        model_element_score(segment->element, row, &result);
        double weight = is_weighted(s->method) ? weight_of(segment, row) : 1;
        if (model_is_missing(weight)) {
            return false;
        }
        if (result.missing) {
            if (s->missing_prediction == MODEL_PREDICTION_RETURN_MISSING) {
                return false;
            }
            g->missing_weight += weight;
            continue;
        }
        g->weight += weight;
        if (s->element.classes != NULL) {
            gather_class(s, g, &result, weight);
        } else {
            gather_number(s, g, result.number, weight);
        }
    }
    if (s->missing_prediction == MODEL_PREDICTION_SKIP_SEGMENT && g->missing_weight > 0) {
        double all = g->weight + g->missing_weight;
        return g->missing_weight / all <= s->missing_threshold;
    }
    return true;
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_segmentation *s = (const struct model_segmentation *)element;
    if (s->method == MODEL_METHOD_SELECT_FIRST) {
        select_first(s, row, result);
        return;
    }
    if (s->method == MODEL_METHOD_MODEL_CHAIN) {
        chain(s, row, result);
        return;
    }
    uint32_t class_count = element->classes != NULL ? element->classes->count : 0;
    struct gathering g = {.classes = row->work + element->work};
    g.votes = g.classes + class_count;
    memset(g.classes, 0, class_count * sizeof *g.classes);
    if (!gather(s, row, &g) || g.voted == 0) {
        return;
    }
    if (class_count > 0) {
        finish_class(s, &g, result);
    } else {
        finish_number(s, &g, result);
    }
}

const struct model_element_ops model_segmentation_ops = {"MiningModel", score};
