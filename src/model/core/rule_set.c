/*
 * RuleSetModel. Source: PMML 4.4, "Rule Set". A rule in a CompoundRule fires if all predicates
 * around it and its own are true. weightedSum divides a score's weights by the number of all rules
 * that fired; ties go to the first class in target order.
 */
#include "model/core/elements.h"

/* What has fired so far. */
struct firing {
    double *weights; /* [class_count] */
    const struct model_rule *best;
    uint32_t count;
};

/* True: no further rule matters. */
static bool fire(const struct model_rule_set *s, const struct model_rule *rule,
                 struct model_row *row, struct firing *f)
{
    if (model_predicate_test(&rule->predicate, row) != MODEL_TRUE) {
        return false;
    }
    for (uint32_t i = 0; i < rule->rule_count; i++) {
        if (fire(s, &rule->rules[i], row, f)) {
            return true;
        }
    }
    if (rule->is_compound) {
        return false;
    }
    f->count++;
    f->weights[rule->class_index] += rule->weight;
    if (f->best == NULL ||
        (s->criterion == MODEL_CRITERION_WEIGHTED_MAX && rule->weight > f->best->weight)) {
        f->best = rule;
    }
    return s->criterion == MODEL_CRITERION_FIRST_HIT;
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    const struct model_rule_set *s = (const struct model_rule_set *)element;
    uint32_t class_count = element->classes->count;
    double *confidences = row->work + element->work;
    struct firing f = {.weights = confidences};
    memset(confidences, 0, class_count * sizeof *confidences);
    bool done = false;
    for (uint32_t i = 0; i < s->rule_count && !done; i++) {
        done = fire(s, &s->rules[i], row, &f);
    }
    bool sums = s->criterion == MODEL_CRITERION_WEIGHTED_SUM && f.count > 0;
    for (uint32_t i = 0; i < class_count; i++) {
        confidences[i] = sums ? confidences[i] / f.count : (double)NAN;
    }
    if (sums) {
        result->class_index = model_argmax(confidences, class_count);
    } else if (f.best != NULL) {
        result->class_index = f.best->class_index;
        result->entity_id = f.best->id;
        confidences[result->class_index] = f.best->confidence;
    } else if (s->default_class != UINT32_MAX) {
        result->class_index = s->default_class;
        confidences[result->class_index] = s->default_confidence;
    }
    result->missing = result->class_index == UINT32_MAX;
    result->confidences = confidences;
}

const struct model_element_ops model_rule_set_ops = {"RuleSetModel", score};
