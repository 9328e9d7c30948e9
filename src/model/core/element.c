/* What all elements have in common: target treatment and outputs. */
#include "model/core/elements.h"

/* PMML's order: clip, rescale, cast. */
double model_target_apply(const struct model_target *t, bool is_float, double number)
{
    double value = number < t->min ? t->min : number > t->max ? t->max : number;
    value = model_rounded(is_float, value * model_rounded(is_float, t->rescale_factor));
    value = model_rounded(is_float, value + model_rounded(is_float, t->rescale_constant));
    switch (t->cast) {
    case MODEL_CAST_ROUND:
        return floor(value + 0.5);
    case MODEL_CAST_CEILING:
        return ceil(value);
    case MODEL_CAST_FLOOR:
        return floor(value);
    case MODEL_CAST_NONE:
        break;
    }
    return value;
}

static void treat_target(const struct model_element *element, struct model_result *result)
{
    const struct model_target *target = element->target;
    if (target == NULL) {
        return;
    }
    if (element->classes != NULL) {
        if (result->missing && target->default_class != UINT32_MAX) {
            result->missing = false;
            result->class_index = target->default_class;
            result->probabilities = target->priors;
        }
        return;
    }
    if (!result->missing) {
        result->number = model_target_apply(target, element->is_float, result->number);
    } else if (!model_is_missing(target->default_value)) {
        result->missing = false;
        result->number = target->default_value;
    }
}

static double predicted_value(const struct model_element *element,
                              const struct model_result *result)
{
    if (result->missing) {
        return model_missing();
    }
    return element->classes != NULL ? element->classes->values[result->class_index]
                                    : result->number;
}

/* Number of the entity of an output's rank, UINT32_MAX if there are not as many. */
static uint32_t ranked(const struct model_output *output, const struct model_result *result)
{
    bool is_there = output->rank <= result->ranked_count;
    return is_there ? (uint32_t)result->ranked[output->rank - 1] : UINT32_MAX;
}

static double entity_id(const struct model_output *output, struct model_row *row,
                        const struct model_result *result)
{
    struct weir_slice id = result->entity_id;
    if (result->ranked_count > 0) {
        uint32_t number = ranked(output, result);
        id = number != UINT32_MAX ? result->ranked_ids[number] : weir_slice(NULL, 0);
    }
    double value;
    return id.data != NULL && model_row_string(row, id, &value) ? value : model_missing();
}

static double affinity(const struct model_output *output, const struct model_result *result)
{
    uint32_t number = output->class_index;
    if (number == UINT32_MAX) {
        number = ranked(output, result);
    }
    double value = number != UINT32_MAX ? result->ranked_affinities[number] : NAN;
    return isnan(value) ? model_missing() : value;
}

/* Observed less predicted; of a class 1 or 0 for observed or not, less its probability. */
static double residual(const struct model_element *element, const struct model_output *output,
                       struct model_row *row, const struct model_result *result)
{
    double observed = model_expr_value(output->expr, row);
    if (model_is_missing(observed)) {
        return observed;
    }
    if (element->classes == NULL) {
        return observed - result->number;
    }
    uint32_t index = output->class_index != UINT32_MAX ? output->class_index : result->class_index;
    if (result->probabilities == NULL || isnan(result->probabilities[index])) {
        return model_missing();
    }
    return (observed == element->classes->values[index] ? 1 : 0) - result->probabilities[index];
}

/* Value of one Output field. */
static double output_value(const struct model_element *element, const struct model_output *output,
                           struct model_row *row, const struct model_result *result)
{
    if (output->feature == MODEL_FEATURE_TRANSFORMED_VALUE) {
        /* An output that fails is missing; what a later segment would make of it is not scored. */
        enum weir_err status = row->status;
        double value = model_expr_value(output->expr, row);
        if (status == WEIR_OK && row->status == WEIR_MODEL_FAILED && element == row->model->root) {
            row->status = status;
            value = model_missing();
        }
        return value;
    }
    if (result->missing) {
        return model_missing();
    }
    const double *of_class = NULL;
    switch (output->feature) {
    case MODEL_FEATURE_PREDICTED_VALUE:
        return predicted_value(element, result);
    case MODEL_FEATURE_PROBABILITY:
        of_class = result->probabilities;
        break;
    case MODEL_FEATURE_CONFIDENCE:
        of_class = result->confidences;
        break;
    case MODEL_FEATURE_REASON_CODE:
        return output->rank <= result->reason_count ? result->reasons[output->rank - 1]
                                                    : model_missing();
    case MODEL_FEATURE_AFFINITY:
        return result->ranked_count > 0 ? affinity(output, result) : model_missing();
    case MODEL_FEATURE_DISPLAY_VALUE:
        return element->displays[result->class_index];
    case MODEL_FEATURE_RULE:
        return model_rule_value((const struct model_association *)element, output->choice,
                                output->rank, row);
    case MODEL_FEATURE_RESIDUAL:
        return residual(element, output, row, result);
    case MODEL_FEATURE_ENTITY_ID:
        return entity_id(output, row, result);
    case MODEL_FEATURE_TRANSFORMED_VALUE:
        break;
    }
    uint32_t index = output->class_index != UINT32_MAX ? output->class_index : result->class_index;
    return of_class != NULL && !isnan(of_class[index]) ? of_class[index] : model_missing();
}

void model_element_score(const struct model_element *element, struct model_row *row,
                         struct model_result *result)
{
    *result = (struct model_result){.missing = true, .class_index = UINT32_MAX};
    element->ops->score(element, row, result);
    treat_target(element, result);
    if (element->target_is_read) {
        row->values[element->target_slot] = predicted_value(element, result);
        row->computed[element->target_slot] = row->epoch;
    }
    for (uint32_t i = 0; i < element->output_count; i++) {
        const struct model_output *output = &element->outputs[i];
        row->values[output->slot] = output_value(element, output, row, result);
        row->computed[output->slot] = row->epoch;
    }
}
