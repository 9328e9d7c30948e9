/*
 * Expressions over slots and the treatment of fields. Source of the formulas: PMML 4.4,
 * "Transformation Dictionary & Derived Values" and "Mining Schema".
 */
#include "model/core/form.h"

static bool contains(const double *values, uint32_t count, double value)
{
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] == value) {
            return true;
        }
    }
    return false;
}

static bool in_interval(const struct model_interval *interval, double value)
{
    bool above = interval->low_closed ? value >= interval->low : value > interval->low;
    bool below = interval->high_closed ? value <= interval->high : value < interval->high;
    return above && below;
}

static bool is_valid(const struct model_treatment *t, double value)
{
    if (isnan(value) || contains(t->invalid_values, t->invalid_count, value)) {
        return false;
    }
    if (t->valid_count == 0 && t->interval_count == 0) {
        return true;
    }
    if (contains(t->valid_values, t->valid_count, value)) {
        return true;
    }
    for (uint32_t i = 0; i < t->interval_count; i++) {
        if (in_interval(&t->intervals[i], value)) {
            return true;
        }
    }
    return false;
}

static enum weir_err treat_missing(const struct model_treatment *t, double *value_out)
{
    if (t->missing_is_invalid) {
        return WEIR_MISSING_INPUT;
    }
    *value_out = t->missing_replacement;
    return WEIR_OK;
}

enum weir_err model_treat_unreadable(const struct model_treatment *t, double *value_out)
{
    switch (t->invalid) {
    case MODEL_INVALID_AS_MISSING:
        return treat_missing(t, value_out);
    case MODEL_INVALID_AS_VALUE:
        *value_out = t->invalid_replacement;
        return WEIR_OK;
    case MODEL_INVALID_RETURN:
    case MODEL_INVALID_AS_IS:
        break;
    }
    return WEIR_INVALID_INPUT;
}

enum weir_err model_treat(const struct model_treatment *t, double raw, double *value_out)
{
    if (model_is_missing(raw) || contains(t->missing_values, t->missing_count, raw)) {
        return treat_missing(t, value_out);
    }
    double value;
    if (!model_cast_number(t->type, raw, &value) && !isnan(raw)) {
        return model_treat_unreadable(t, value_out);
    }
    if (!is_valid(t, value)) {
        if (t->invalid == MODEL_INVALID_AS_IS) {
            *value_out = value;
            return WEIR_OK;
        }
        return model_treat_unreadable(t, value_out);
    }
    if (t->outliers != MODEL_OUTLIERS_AS_IS && (value < t->low || value > t->high)) {
        if (t->outliers == MODEL_OUTLIERS_AS_MISSING) {
            return treat_missing(t, value_out);
        }
        value = value < t->low ? t->low : t->high;
    }
    *value_out = value;
    return WEIR_OK;
}

double model_norm_continuous(const struct model_expr *expr, double value)
{
    const struct model_norm_point *p = expr->points;
    uint32_t last = expr->point_count - 1;
    if (value < p[0].orig || value > p[last].orig) {
        if (expr->outliers == MODEL_OUTLIERS_AS_MISSING) {
            return expr->map_missing_to;
        }
        if (expr->outliers == MODEL_OUTLIERS_AS_EXTREME) {
            return value < p[0].orig ? p[0].norm : p[last].norm;
        }
    }
    uint32_t i = 0;
    while (i + 2 < expr->point_count && value > p[i + 1].orig) {
        i++;
    }
    return p[i].norm +
           (value - p[i].orig) / (p[i + 1].orig - p[i].orig) * (p[i + 1].norm - p[i].norm);
}

double model_norm_inverse(const struct model_expr *expr, double value)
{
    const struct model_norm_point *p = expr->points;
    uint32_t last = expr->point_count - 1;
    bool rising = p[last].norm >= p[0].norm;
    bool low = rising ? value < p[0].norm : value > p[0].norm;
    bool high = rising ? value > p[last].norm : value < p[last].norm;
    if (low || high) {
        if (expr->outliers == MODEL_OUTLIERS_AS_MISSING) {
            return model_missing();
        }
        if (expr->outliers == MODEL_OUTLIERS_AS_EXTREME) {
            return low ? p[0].orig : p[last].orig;
        }
    }
    uint32_t i = 0;
    while (i + 2 < expr->point_count && (rising ? value > p[i + 1].norm : value < p[i + 1].norm)) {
        i++;
    }
    return p[i].orig +
           (value - p[i].norm) / (p[i + 1].norm - p[i].norm) * (p[i + 1].orig - p[i].orig);
}

double model_expr_value(const struct model_expr *expr, struct model_row *row)
{
    if (expr->kind == MODEL_EXPR_CONSTANT) {
        return expr->value;
    }
    double value = model_slot_value(row, expr->slot);
    if (expr->kind == MODEL_EXPR_TREAT) {
        double treated = model_missing();
        enum weir_err err = model_treat(expr->treatment, value, &treated);
        if (err != WEIR_OK) {
            model_row_fail(row, err);
        }
        return treated;
    }
    if (model_is_missing(value)) {
        return expr->map_missing_to;
    }
    switch (expr->kind) {
    case MODEL_EXPR_NORM_CONTINUOUS:
        return model_norm_continuous(expr, value);
    case MODEL_EXPR_NORM_DISCRETE:
        return value == expr->value ? 1 : 0;
    case MODEL_EXPR_SLOT:
    case MODEL_EXPR_CONSTANT:
    case MODEL_EXPR_TREAT:
        break;
    }
    return value;
}

double model_slot_compute(struct model_row *row, uint32_t slot)
{
    const struct model_slot *s = &row->model->slots[slot];
    /* Marked before it is computed: a reader refuses cycles, this only keeps one from recursing. */
    row->computed[slot] = row->epoch;
    row->values[slot] = model_missing();
    if (s->expr == NULL) {
        return row->values[slot]; /* an output of an element that has not run */
    }
    double value = model_expr_value(s->expr, row);
    if (!model_is_missing(value) && s->type != MODEL_STRING) {
        double cast;
        value = model_cast_number(s->type, value, &cast) ? cast : model_missing();
    }
    row->values[slot] = value;
    return value;
}
