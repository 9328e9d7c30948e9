/*
 * Scorecard: partial scores of characteristics, and the reasons for a score. Source: PMML 4.4,
 * "Scorecard". A characteristic none of whose attributes is true, or whose expression is missing,
 * leaves no score. Reasons are ranked by the points that were lost, one a characteristic, the first
 * of equals first; a characteristic that gained points is none.
 */
#include "model/core/elements.h"

static const struct model_attribute *find_attribute(const struct model_characteristic *c,
                                                    struct model_row *row)
{
    for (uint32_t i = 0; i < c->attribute_count; i++) {
        if (model_predicate_test(&c->attributes[i].predicate, row) == MODEL_TRUE) {
            return &c->attributes[i];
        }
    }
    return NULL;
}

/* Puts a reason behind those with at least its points. */
static void rank_reason(double *points, double *reasons, uint32_t count, double lost, double reason)
{
    uint32_t i = count;
    while (i > 0 && points[i - 1] < lost) {
        points[i] = points[i - 1];
        reasons[i] = reasons[i - 1];
        i--;
    }
    points[i] = lost;
    reasons[i] = reason;
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_scorecard *s = (const struct model_scorecard *)element;
    double *reasons = row->work + element->work;
    double *points = reasons + s->characteristic_count;
    double sum = s->initial_score;
    uint32_t reason_count = 0;
    for (uint32_t i = 0; i < s->characteristic_count; i++) {
        const struct model_attribute *a = find_attribute(&s->characteristics[i], row);
        if (a == NULL) {
            return;
        }
        double partial = a->expr != NULL ? model_expr_value(a->expr, row) : a->partial_score;
        if (model_is_missing(partial)) {
            return;
        }
        sum += partial;
        double lost = s->points_above ? partial - a->baseline : a->baseline - partial;
        if (s->use_reason_codes && lost >= 0) {
            rank_reason(points, reasons, reason_count++, lost, a->reason);
        }
    }
    result->missing = false;
    result->number = sum;
    result->reasons = reasons;
    result->reason_count = reason_count;
}

const struct model_element_ops model_scorecard_ops = {"Scorecard", score};
