/*
 * AssociationModel. Source: PMML 4.4, "Association Rules" and "Output" (algorithm, rankBasis). A
 * basket grows over the rows of a group; of rules with equal measures the first in the document is
 * the better one.
 */
#include "base/number.h"
#include "model/core/elements.h"
#include "model/core/function.h"

enum { FITS = 1, HAS_CONSEQUENT = 2 }; /* of a rule and the basket */

/* The doubles of a row's work that keep the basket. */
struct basket {
    double *begun, *group;
    double *items; /* [item_count] 1: it is there */
    double *rules; /* [rule_count] FITS, HAS_CONSEQUENT */
};

static struct basket basket_of(const struct model_association *m, struct model_row *row)
{
    double *work = row->work + m->element.work;
    return (struct basket){work, work + 1, work + 2, work + 2 + m->item_count};
}

static bool is_subset(const struct model_itemset *set, const double *items)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (items[set->items[i]] == 0) {
            return false;
        }
    }
    return true;
}

static void gather(const struct model_association *m, const struct basket *basket,
                   struct model_row *row)
{
    double group = m->has_group ? model_slot_value(row, m->group_slot) : model_missing();
    if (*basket->begun == 0 || model_is_missing(group) || group != *basket->group) {
        memset(basket->items, 0, m->item_count * sizeof *basket->items);
    }
    *basket->begun = 1;
    *basket->group = group;
    for (uint32_t i = 0; i < m->source_count; i++) {
        const struct model_item_source *source = &m->sources[i];
        if (model_slot_value(row, source->slot) == source->value) {
            basket->items[source->item] = 1;
        }
    }
}

static bool is_chosen(const struct model_rule_choice *choice, double state)
{
    switch (choice->algorithm) {
    case MODEL_RULES_EXCLUSIVE_RECOMMENDATION:
        return state == FITS;
    case MODEL_RULES_ASSOCIATION:
        return state == FITS + HAS_CONSEQUENT;
    case MODEL_RULES_RECOMMENDATION:
        break;
    }
    return state != 0;
}

/* Rule a stands before b. */
static bool is_before(const struct model_association *m, const struct model_rule_choice *choice,
                      uint32_t a, uint32_t b)
{
    double x = m->rules[a].measures[choice->basis];
    double y = m->rules[b].measures[choice->basis];
    return x != y ? (choice->ascending ? x < y : x > y) : a < b;
}

/* The best of the chosen rules that stand behind `last` (UINT32_MAX: of all); UINT32_MAX: none. */
static uint32_t next_rule(const struct model_association *m, const struct model_rule_choice *choice,
                          const double *states, uint32_t last)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < m->rule_count; i++) {
        if (is_chosen(choice, states[i]) && (last == UINT32_MAX || is_before(m, choice, last, i)) &&
            (best == UINT32_MAX || is_before(m, choice, i, best))) {
            best = i;
        }
    }
    return best;
}

static double feature_of(const struct model_association_rule *rule, enum model_rule_feature feature)
{
    switch (feature) {
    case MODEL_RULE_ANTECEDENT:
        return rule->antecedent->text;
    case MODEL_RULE_CONSEQUENT:
        return rule->consequent->text;
    case MODEL_RULE_TEXT:
        return rule->text;
    case MODEL_RULE_ID:
        return rule->id;
    default:
        return rule->measures[feature - MODEL_RULE_CONFIDENCE];
    }
}

/* "[a, b]" of the values of all chosen rules, the best first; missing if they are too long. */
static double list(const struct model_association *m, const struct model_rule_choice *choice,
                   const double *states, struct model_row *row)
{
    size_t bytes = 0;
    row->text[bytes++] = '[';
    for (uint32_t i = next_rule(m, choice, states, UINT32_MAX); i != UINT32_MAX;
         i = next_rule(m, choice, states, i)) {
        double value = feature_of(&m->rules[i], choice->feature);
        char number[WEIR_NUMBER_TEXT_MAX];
        struct weir_slice text = choice->feature >= MODEL_RULE_CONFIDENCE
                                     ? weir_slice(number, weir_format_double(number, value))
                                     : model_row_text(row, value);
        if (text.bytes + 3 > MODEL_TEXT_MAX - bytes) {
            return model_missing();
        }
        if (bytes > 1) {
            memcpy(row->text + bytes, ", ", 2);
            bytes += 2;
        }
        memcpy(row->text + bytes, text.data, text.bytes);
        bytes += text.bytes;
    }
    row->text[bytes++] = ']';
    double value;
    return model_row_string(row, weir_slice(row->text, bytes), &value) ? value : model_missing();
}

double model_rule_value(const struct model_association *m, const struct model_rule_choice *choice,
                        uint32_t rank, struct model_row *row)
{
    struct basket basket = basket_of(m, row);
    if (choice->all) {
        return list(m, choice, basket.rules, row);
    }
    uint32_t rule = UINT32_MAX;
    for (uint32_t i = 0; i < rank; i++) {
        rule = next_rule(m, choice, basket.rules, rule);
        if (rule == UINT32_MAX) {
            return model_missing();
        }
    }
    return feature_of(&m->rules[rule], choice->feature);
}

static void score(const struct model_element *element, struct model_row *row,
                  struct model_result *result)
{
    static const struct model_rule_choice best = {.feature = MODEL_RULE_ID};
    const struct model_association *m = (const struct model_association *)element;
    struct basket basket = basket_of(m, row);
    gather(m, &basket, row);
    for (uint32_t i = 0; i < m->rule_count; i++) {
        bool fits = is_subset(m->rules[i].antecedent, basket.items);
        bool has = fits && is_subset(m->rules[i].consequent, basket.items);
        basket.rules[i] = fits ? (has ? FITS + HAS_CONSEQUENT : FITS) : 0;
        result->missing &= !fits;
    }
    double id = model_rule_value(m, &best, 1, row);
    if (!model_is_missing(id)) {
        result->entity_id = model_row_text(row, id);
    }
}

const struct model_element_ops model_association_ops = {"AssociationModel", score};
