/*
 * GeneralRegressionModel: x * beta over the predictor-to-parameter matrix, then the inverse link.
 * Source: PMML 4.4, "General Regression", table of link functions.
 */
#include "model/core/elements.h"

/* Product of a parameter's cells; false when a predictor is missing, or in no row of its matrix. */
static bool cells_product(const struct model_pcell *pcell, struct model_row *row, double *out)
{
    double product = 1;
    for (uint32_t i = 0; i < pcell->cell_count; i++) {
        const struct model_ppcell *cell = &pcell->cells[i];
        double value = model_slot_value(row, cell->slot);
        if (model_is_missing(value)) {
            return false;
        }
        if (cell->category_count > 0) {
            uint32_t c = 0;
            while (c < cell->category_count && cell->categories[c] != value) {
                c++;
            }
            if (c == cell->category_count) {
                return false;
            }
            product *= cell->contrasts[c];
        } else if (cell->factor) {
            product = value == cell->value ? product : 0;
        } else {
            product *= cell->value == 1 ? value : pow(value, cell->value);
        }
    }
    *out = product;
    return true;
}

static double inverse_negbin(double eta, double c)
{
    return 1 / (c * (exp(-eta) - 1));
}

static double inverse_oddspower(double eta, double d)
{
    return d == 0 ? 1 / (1 + exp(-eta)) : 1 / (1 + pow(1 + d * eta, -1 / d));
}

static double inverse_link(const struct model_general_regression *g, double eta)
{
    switch (g->link) {
    case MODEL_LINK_IDENTITY:
        return eta;
    case MODEL_LINK_LOG:
        return exp(eta);
    case MODEL_LINK_LOGIT:
        return model_link_inverse(MODEL_NORMALIZATION_LOGIT, eta);
    case MODEL_LINK_PROBIT:
        return model_link_inverse(MODEL_NORMALIZATION_PROBIT, eta);
    case MODEL_LINK_CLOGLOG:
        return model_link_inverse(MODEL_NORMALIZATION_CLOGLOG, eta);
    case MODEL_LINK_LOGLOG:
        return model_link_inverse(MODEL_NORMALIZATION_LOGLOG, eta);
    case MODEL_LINK_CAUCHIT:
        return model_link_inverse(MODEL_NORMALIZATION_CAUCHIT, eta);
    case MODEL_LINK_LOGC:
        return 1 - exp(eta);
    case MODEL_LINK_NEGBIN:
        return inverse_negbin(eta, g->dist_parameter);
    case MODEL_LINK_ODDSPOWER:
        return inverse_oddspower(eta, g->link_parameter);
    case MODEL_LINK_POWER:
        return g->link_parameter == 0 ? exp(eta) : pow(eta, 1 / g->link_parameter);
    }
    return eta;
}

/* Offset or trials: a field or a constant. False when the field is missing. */
static bool field_or(bool has_slot, uint32_t slot, double constant, struct model_row *row,
                     double *out)
{
    *out = has_slot ? model_slot_value(row, slot) : constant;
    return !model_is_missing(*out);
}

/* Nothing before the first time; past the last one that was observed there is no result. */
static void score_cox(const struct model_cox *cox, double eta, struct model_row *row,
                      struct model_result *result)
{
    double time = model_slot_value(row, cox->time_slot);
    const struct model_baseline *baseline = cox->baselines;
    if (cox->has_strata) {
        double stratum = model_slot_value(row, cox->stratum_slot);
        const struct model_baseline *end = baseline + cox->baseline_count;
        while (baseline < end && baseline->stratum != stratum) {
            baseline++;
        }
        if (baseline == end) {
            return;
        }
    }
    if (!(time <= baseline->time_max)) {
        return;
    }
    uint32_t passed = 0;
    while (passed < baseline->cell_count && baseline->times[passed] <= time) {
        passed++;
    }
    result->missing = false;
    result->number = passed > 0 ? baseline->hazards[passed - 1] * exp(eta) : 0;
}

static void score_number(const struct model_general_regression *g, struct model_row *row,
                         struct model_result *result)
{
    double eta = 0;
    double offset;
    double trials;
    for (uint32_t i = 0; i < g->pcell_count; i++) {
        double product;
        if (!cells_product(&g->pcells[i], row, &product)) {
            return;
        }
        eta += g->pcells[i].beta * (product - g->pcells[i].reference);
    }
    if (g->cox != NULL) {
        score_cox(g->cox, eta, row, result);
        return;
    }
    if (!field_or(g->has_offset_slot, g->offset_slot, g->offset, row, &offset) ||
        !field_or(g->has_trials_slot, g->trials_slot, g->trials, row, &trials)) {
        return;
    }
    result->missing = false;
    result->number = inverse_link(g, eta + offset) * trials;
}

static void score_class(const struct model_general_regression *g, struct model_row *row,
                        struct model_result *result)
{
    uint32_t count = g->element.classes->count;
    double *p = row->work + g->element.work;
    double offset;
    if (!field_or(g->has_offset_slot, g->offset_slot, g->offset, row, &offset)) {
        return;
    }
    for (uint32_t c = 0; c < count; c++) {
        p[c] = c == g->reference_class ? 0 : offset;
    }
    for (uint32_t i = 0; i < g->pcell_count; i++) {
        const struct model_pcell *pcell = &g->pcells[i];
        double product;
        if (!cells_product(pcell, row, &product)) {
            return;
        }
        for (uint32_t c = 0; c < count; c++) {
            bool takes = pcell->class_index == UINT32_MAX || pcell->class_index == c;
            if (takes && c != g->reference_class) {
                p[c] += pcell->beta * product;
            }
        }
    }
    if (g->multinomial) {
        model_softmax(p, count);
    } else if (g->ordinal) {
        double before = 0;
        for (uint32_t c = 0; c < count; c++) {
            double upto = c + 1 < count ? model_link_inverse(g->cumulative_link, p[c]) : 1;
            p[c] = upto - before;
            before = upto;
        }
    } else {
        uint32_t event = 1 - g->reference_class;
        p[event] = inverse_link(g, p[event]);
        p[g->reference_class] = 1 - p[event];
    }
    result->class_index = model_argmax(p, count);
    result->missing = result->class_index == UINT32_MAX;
    result->probabilities = p;
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_general_regression *g = (const struct model_general_regression *)element;
    if (element->classes == NULL) {
        score_number(g, row, result);
    } else {
        score_class(g, row, result);
    }
}

const struct model_element_ops model_general_regression_ops = {"GeneralRegressionModel", score};
