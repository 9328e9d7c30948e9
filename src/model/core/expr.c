/*
 * Expressions over slots and the treatment of fields. Source of the formulas: PMML 4.4,
 * "Transformation Dictionary & Derived Values" and "Mining Schema".
 */
#include <stdio.h>

#include "base/number.h"
#include "model/core/calendar.h"
#include "model/core/function.h"

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

bool model_is_valid(const struct model_treatment *t, double value)
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
    if (!model_is_valid(t, value)) {
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

static double text_of_value(enum model_type type, struct model_row *row, double value)
{
    char text[MODEL_CALENDAR_TEXT_MAX];
    size_t bytes;
    if (type == MODEL_BOOLEAN) {
        bytes = (size_t)snprintf(text, sizeof text, "%s", value == 1 ? "true" : "false");
    } else if (model_is_calendar(type)) {
        bytes = model_format_calendar(text, type, value);
    } else {
        bytes = weir_format_double(text, value);
    }
    double string = model_missing();
    return model_row_string(row, weir_slice(text, bytes), &string) ? string : model_missing();
}

/* A value that the other type does not have is missing. */
static double cast(const struct model_expr *expr, struct model_row *row)
{
    enum model_type from = expr->args[0].type;
    enum model_type to = expr->type;
    double value = model_expr_value(&expr->args[0], row);
    double result = model_missing();
    bool ok = true;
    if (model_is_missing(value)) {
        return value;
    }
    if (to == MODEL_STRING) {
        return text_of_value(from, row, value);
    }
    if (from == MODEL_STRING) {
        ok = model_parse_value(to, model_row_text(row, value), &result);
    } else if (model_is_calendar(from) && model_is_calendar(to)) {
        ok = model_convert_calendar(from, to, value, &result);
    } else {
        ok = model_cast_number(to, value, &result);
    }
    return ok ? result : model_missing();
}

static double discretize(const struct model_expr *expr, double value)
{
    for (uint32_t i = 0; i < expr->count; i++) {
        if (in_interval(&expr->bins[i].interval, value)) {
            return expr->bins[i].value;
        }
    }
    return expr->default_value;
}

/* Order of a table's row and the values of the fields. */
static int compare_row(const struct model_expr *expr, const double *cells, struct model_row *row)
{
    for (uint32_t i = 0; i < expr->count; i++) {
        double value = model_expr_value(&expr->args[i], row);
        if (cells[i] != value) {
            return cells[i] < value ? -1 : 1;
        }
    }
    return 0;
}

static double map_values(const struct model_expr *expr, struct model_row *row)
{
    uint32_t low = 0;
    uint32_t high = expr->row_count;
    for (uint32_t i = 0; i < expr->count; i++) {
        if (model_is_missing(model_expr_value(&expr->args[i], row))) {
            return expr->map_missing_to;
        }
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const double *cells = expr->table + (size_t)middle * (expr->count + 1);
        int order = compare_row(expr, cells, row);
        if (order == 0) {
            return cells[expr->count];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return expr->default_value;
}

/* mapMissingTo for a missing argument, defaultValue for a missing result. */
static double apply(const struct model_expr *expr, struct model_row *row)
{
    for (uint32_t i = 0; i < expr->count && !model_is_missing(expr->map_missing_to); i++) {
        if (model_is_missing(model_expr_value(&expr->args[i], row))) {
            return expr->map_missing_to;
        }
    }
    double value = model_missing();
    if (!model_call(expr, row, &value)) {
        if (!expr->invalid_is_missing) {
            model_row_fail(row, WEIR_MODEL_FAILED);
        }
        value = model_missing();
    }
    return model_is_missing(value) ? expr->default_value : value;
}

double model_expr_value(const struct model_expr *expr, struct model_row *row)
{
    switch (expr->kind) {
    case MODEL_EXPR_CONSTANT:
        return expr->value;
    case MODEL_EXPR_CAST:
        return cast(expr, row);
    case MODEL_EXPR_MAP_VALUES:
        return map_values(expr, row);
    case MODEL_EXPR_APPLY:
        return apply(expr, row);
    default:
        break;
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
    case MODEL_EXPR_DISCRETIZE:
        return discretize(expr, value);
    default:
        return value;
    }
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
