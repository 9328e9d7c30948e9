/* RuleSetModel. */
#include "model/pmml/reader.h"

static bool is_rule(const struct pmml_element *e)
{
    return pmml_is(e, "SimpleRule") || pmml_is(e, "CompoundRule");
}

/* Rules among the children of a RuleSet or CompoundRule; what else stands there is refused. */
static const struct model_rule *read_rules(struct pmml_reader *r, const struct pmml_element *parent,
                                           uint32_t *count_out)
{
    struct model_rule *rules = model_alloc(&r->b, parent->child_count, sizeof *rules);
    uint32_t count = 0;
    for (const struct pmml_element *e = parent->first; e != NULL && pmml_ok(r, e); e = e->next) {
        if (!is_rule(e)) {
            if (!pmml_is_predicate(e) && !pmml_is(e, "RuleSelectionMethod") &&
                !pmml_is(e, "ScoreDistribution")) {
                pmml_unsupported(r, e);
            }
            continue;
        }
        struct model_rule *rule = &rules[count++];
        pmml_read_predicate_of(r, e, &rule->predicate);
        rule->is_compound = pmml_is(e, "CompoundRule");
        if (rule->is_compound) {
            rule->rules = read_rules(r, e, &rule->rule_count);
            continue;
        }
        rule->class_index = pmml_class(r, e, pmml_required(r, e, "score"));
        rule->weight = pmml_number(r, e, "weight", 1);
        rule->confidence = pmml_number(r, e, "confidence", 1);
        const char *id = pmml_attribute(e, "id");
        if (id != NULL) {
            struct weir_slice text = pmml_slice(id);
            rule->id = weir_slice(model_copy_text(&r->b, text), text.bytes);
        }
    }
    *count_out = count;
    return rules;
}

struct model_element *pmml_read_rule_set(struct pmml_reader *r, const struct pmml_element *e)
{
    static const char *const criteria[] = {"firstHit", "weightedSum", "weightedMax", NULL};
    const struct pmml_element *set = pmml_child(e, "RuleSet");
    /* The first RuleSelectionMethod is the one to take. */
    const struct pmml_element *method = set != NULL ? pmml_child(set, "RuleSelectionMethod") : NULL;
    struct model_rule_set *s = model_alloc(&r->b, 1, sizeof *s);
    if (method == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs a RuleSet with a RuleSelectionMethod");
    } else if (r->target->classes == NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "predicts a number by rules");
    }
    if (method == NULL || !pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_rule_set_ops, &s->element);
    pmml_required(r, method, "criterion");
    s->criterion = (enum model_criterion)pmml_choice(r, method, "criterion", criteria, 0);
    s->rules = read_rules(r, set, &s->rule_count);
    const char *fallback = pmml_attribute(set, "defaultScore");
    s->default_class = fallback != NULL ? pmml_class(r, set, fallback) : UINT32_MAX;
    s->default_confidence = pmml_number(r, set, "defaultConfidence", NAN);
    s->element.work = model_builder_work(&r->b, r->target->classes->count);
    return &s->element;
}
