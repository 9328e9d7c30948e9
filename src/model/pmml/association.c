/* AssociationModel and the OutputFields about its rules. */
#include "model/pmml/reader.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 26 }; /* bytes of all rules' texts, which repeat their items */

/* Ids of items or itemsets, sorted. */
struct place {
    const char *id;
    uint32_t index;
};

struct places {
    struct place *items;
    uint32_t count;
};

struct reading {
    struct places items, sets;
    const char **values; /* of the items */
    struct model_itemset *itemsets;
    size_t text_bytes; /* made so far */
};

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->id, ((const struct place *)b)->id);
}

static void sort_places(struct pmml_reader *r, const struct pmml_element *e, struct places *places)
{
    if (r->err != WEIR_OK || places->count == 0) {
        return;
    }
    qsort(places->items, places->count, sizeof *places->items, by_id);
    for (uint32_t i = 1; i < places->count; i++) {
        if (strcmp(places->items[i].id, places->items[i - 1].id) == 0) {
            pmml_fail(r, e, WEIR_INVALID, "has two elements with the id \"%.60s\"",
                      places->items[i].id);
        }
    }
}

static uint32_t find_place(struct pmml_reader *r, const struct pmml_element *e,
                           const struct places *places, const char *attribute)
{
    struct place key = {.id = pmml_required(r, e, attribute)};
    const struct place *found =
        places->count > 0 ? bsearch(&key, places->items, places->count, sizeof key, by_id) : NULL;
    if (found == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "names \"%.60s\", which there is not", key.id);
        return 0;
    }
    return found->index;
}

/* ---- items ----------------------------------------------------------------------------------- */

/* The values that mean an item: of its field, else of every active field that can have it. */
static void read_item(struct pmml_reader *r, const struct pmml_element *model,
                      const struct pmml_element *e, uint32_t item, struct model_association *m,
                      struct model_item_source *sources)
{
    const char *field = pmml_attribute(e, "field");
    const char *category = pmml_attribute(e, "category");
    const char *value = pmml_required(r, e, "value");
    const char *text = category != NULL ? category : value;
    const struct pmml_element *schema = pmml_child(model, "MiningSchema");
    for (const struct pmml_element *f = schema->first; f != NULL && pmml_ok(r, f); f = f->next) {
        const char *usage = pmml_attribute(f, "usageType");
        const char *name = pmml_required(r, f, "name");
        bool active = usage == NULL || strcmp(usage, "active") == 0;
        if (!active || (field != NULL && strcmp(field, name) != 0)) {
            continue;
        }
        uint32_t slot = pmml_slot(r, e, name);
        double number;
        if (r->err == WEIR_OK &&
            model_builder_value(&r->b, pmml_slot_info(r, slot)->type, pmml_slice(text), &number)) {
            sources[m->source_count++] = (struct model_item_source){slot, item, number};
        }
    }
}

static uint32_t count_active(const struct pmml_element *model)
{
    return pmml_child(model, "MiningSchema")->child_count;
}

static void read_items(struct pmml_reader *r, const struct pmml_element *e,
                       struct model_association *m, struct reading *reading)
{
    uint32_t count = pmml_count(e, "Item");
    size_t most = (size_t)count * count_active(e);
    struct model_item_source *sources = model_alloc(&r->b, most, sizeof *sources);
    reading->items.items = pmml_scratch(r, count, sizeof *reading->items.items);
    reading->values = pmml_scratch(r, count, sizeof *reading->values);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "Item")) {
            uint32_t i = reading->items.count++;
            reading->items.items[i] = (struct place){pmml_required(r, c, "id"), i};
            reading->values[i] = pmml_required(r, c, "value");
            read_item(r, e, c, i, m, sources);
        }
    }
    sort_places(r, e, &reading->items);
    m->item_count = count;
    m->sources = sources;
}

/* ---- itemsets and rules ---------------------------------------------------------------------- */

/* Counts text before it is made. */
static bool has_room(struct pmml_reader *r, const struct pmml_element *e, struct reading *reading,
                     size_t bytes)
{
    reading->text_bytes += bytes;
    if (reading->text_bytes > TEXT_MAX) {
        pmml_fail(r, e, WEIR_LIMIT, "and those before it name too many items");
    }
    return r->err == WEIR_OK;
}

static double set_text(struct pmml_reader *r, const struct pmml_element *e, struct reading *reading,
                       const struct model_itemset *set)
{
    size_t bytes = sizeof "{}";
    for (uint32_t i = 0; i < set->count; i++) {
        bytes += strlen(reading->values[set->items[i]]) + 3;
    }
    char *text = has_room(r, e, reading, bytes) ? pmml_scratch(r, bytes, 1) : NULL;
    char *at = text;
    if (text == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        at = stpcpy(at, i > 0 ? " , " : set->count > 1 ? "{" : "");
        at = stpcpy(at, reading->values[set->items[i]]);
    }
    stpcpy(at, set->count != 1 ? (set->count == 0 ? "{}" : "}") : "");
    return model_builder_symbol(&r->b, pmml_slice(text));
}

static void read_itemset(struct pmml_reader *r, const struct pmml_element *e,
                         struct reading *reading, struct model_itemset *set)
{
    uint32_t *items = model_alloc(&r->b, e->child_count, sizeof *items);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "ItemRef")) {
            items[set->count++] = find_place(r, c, &reading->items, "itemRef");
        } else {
            pmml_unsupported(r, c);
        }
    }
    set->items = items;
    if (r->err == WEIR_OK) {
        set->text = set_text(r, e, reading, set);
    }
}

static void read_itemsets(struct pmml_reader *r, const struct pmml_element *e,
                          struct reading *reading)
{
    uint32_t count = pmml_count(e, "Itemset");
    reading->itemsets = model_alloc(&r->b, count, sizeof *reading->itemsets);
    reading->sets.items = pmml_scratch(r, count, sizeof *reading->sets.items);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "Itemset")) {
            uint32_t i = reading->sets.count++;
            reading->sets.items[i] = (struct place){pmml_required(r, c, "id"), i};
            read_itemset(r, c, reading, &reading->itemsets[i]);
        }
    }
    sort_places(r, e, &reading->sets);
}

static void read_rule(struct pmml_reader *r, const struct pmml_element *e, struct reading *reading,
                      uint32_t place, struct model_association_rule *rule)
{
    /* In the order of enum model_rule_basis. */
    static const char *const names[] = {"confidence", "support", "lift", "leverage", "affinity"};
    for (uint32_t i = 0; i < MODEL_BASIS_COUNT; i++) {
        rule->measures[i] = pmml_number(r, e, names[i], model_missing());
    }
    pmml_required_number(r, e, "confidence");
    pmml_required_number(r, e, "support");
    uint32_t antecedent = find_place(r, e, &reading->sets, "antecedent");
    uint32_t consequent = find_place(r, e, &reading->sets, "consequent");
    if (!pmml_ok(r, e)) {
        return;
    }
    rule->antecedent = &reading->itemsets[antecedent];
    rule->consequent = &reading->itemsets[consequent];
    struct weir_slice from = r->b.model->symbols.strings[(uint32_t)rule->antecedent->text];
    struct weir_slice to = r->b.model->symbols.strings[(uint32_t)rule->consequent->text];
    size_t bytes = from.bytes + to.bytes + sizeof " -> ";
    char *text = has_room(r, e, reading, bytes) ? pmml_scratch(r, bytes, 1) : NULL;
    char number[sizeof "4294967295"];
    snprintf(number, sizeof number, "%u", place);
    const char *id = pmml_attribute(e, "id");
    if (text != NULL) {
        snprintf(text, bytes, "%.*s -> %.*s", (int)from.bytes, (const char *)from.data,
                 (int)to.bytes, (const char *)to.data);
        rule->text = model_builder_symbol(&r->b, pmml_slice(text));
        rule->id = model_builder_symbol(&r->b, pmml_slice(id != NULL ? id : number));
    }
}

static const struct pmml_element *find_group(const struct pmml_element *schema)
{
    const struct pmml_element *e = schema->first;
    while (e != NULL && (pmml_attribute(e, "usageType") == NULL ||
                         strcmp(pmml_attribute(e, "usageType"), "group") != 0)) {
        e = e->next;
    }
    return e;
}

struct model_element *pmml_read_association(struct pmml_reader *r, const struct pmml_element *e)
{
    struct model_association *m = model_alloc(&r->b, 1, sizeof *m);
    uint32_t count = pmml_count(e, "AssociationRule");
    struct model_association_rule *rules = model_alloc(&r->b, count, sizeof *rules);
    const struct pmml_element *group = find_group(pmml_child(e, "MiningSchema"));
    struct reading reading = {.text_bytes = 0};
    if (!pmml_ok(r, e)) {
        return NULL;
    }
    pmml_read_base(r, e, &model_association_ops, &m->element);
    read_items(r, e, m, &reading);
    if (r->err == WEIR_OK) {
        read_itemsets(r, e, &reading);
    }
    if (r->err == WEIR_OK && group != NULL) {
        m->has_group = true;
        m->group_slot = pmml_slot(r, group, pmml_required(r, group, "name"));
    }
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "AssociationRule")) {
            uint32_t place = ++m->rule_count;
            read_rule(r, c, &reading, place, &rules[place - 1]);
        }
    }
    m->rules = rules;
    r->b.model->makes_strings = true; /* of lists */
    m->element.work = model_builder_work(&r->b, 2 + (size_t)m->item_count + m->rule_count);
    return &m->element;
}

/* ---- OutputFields ---------------------------------------------------------------------------- */

/* Names of a feature or ruleFeature, in the order of enum model_rule_feature; two are one more. */
static const char *const feature_names[] = {"antecedent", "consequent", "rule",      "ruleId",
                                            "confidence", "support",    "lift",      "leverage",
                                            "affinity",   "entityId",   "ruleValue", NULL};
enum { ENTITY_ID = 9, RULE_VALUE = 10 };

bool pmml_is_rule_feature(const struct pmml_element *model, const struct pmml_element *e)
{
    const char *feature = pmml_attribute(e, "feature");
    uint32_t i = 0;
    while (feature != NULL && feature_names[i] != NULL && strcmp(feature_names[i], feature) != 0) {
        i++;
    }
    return feature != NULL && feature_names[i] != NULL && pmml_is(model, "AssociationModel");
}

static void check_basis(struct pmml_reader *r, const struct pmml_element *e,
                        const struct model_association *m, const struct model_rule_choice *choice)
{
    for (uint32_t i = 0; i < m->rule_count && r->err == WEIR_OK; i++) {
        if (model_is_missing(m->rules[i].measures[choice->basis])) {
            pmml_fail(r, e, WEIR_INVALID, "ranks by what rule %u has not", i + 1);
        }
    }
}

enum model_type pmml_read_rule_feature(struct pmml_reader *r, const struct pmml_element *e,
                                       const struct model_element *base,
                                       struct model_output *output)
{
    static const char *const algorithms[] = {"exclusiveRecommendation", "recommendation",
                                             "ruleAssociation", NULL};
    static const char *const bases[] = {"confidence", "support",  "lift",
                                        "leverage",   "affinity", NULL};
    static const char *const orders[] = {"descending", "ascending", NULL};
    struct model_rule_choice *choice = model_alloc(&r->b, 1, sizeof *choice);
    uint32_t feature = pmml_choice(r, e, "feature", feature_names, 0);
    if (feature == RULE_VALUE) {
        feature = pmml_choice(r, e, "ruleFeature", feature_names, MODEL_RULE_CONSEQUENT);
    }
    feature = feature == ENTITY_ID ? MODEL_RULE_ID : feature;
    const char *multiple = pmml_attribute(e, "isMultiValued");
    bool all = multiple != NULL && strcmp(multiple, "0") != 0 && strcmp(multiple, "false") != 0;
    double rank = pmml_number(r, e, "rank", 1);
    if (all ? rank != 0 : !(rank >= 1 && rank <= 1000 && rank == floor(rank))) {
        pmml_fail(r, e, WEIR_INVALID,
                  "has a rank that is none from 1 to 1000, or 0 with all rules");
    }
    if (!pmml_ok(r, e)) {
        return MODEL_STRING;
    }
    *choice = (struct model_rule_choice){
        .algorithm = (enum model_rule_algorithm)pmml_choice(r, e, "algorithm", algorithms, 0),
        .basis = (enum model_rule_basis)pmml_choice(r, e, "rankBasis", bases, 0),
        .ascending = pmml_choice(r, e, "rankOrder", orders, 0) == 1,
        .feature = (enum model_rule_feature)feature,
        .all = all,
    };
    check_basis(r, e, (const struct model_association *)base, choice);
    output->feature = MODEL_FEATURE_RULE;
    output->rank = (uint32_t)rank;
    output->choice = choice;
    return all || feature < MODEL_RULE_CONFIDENCE ? MODEL_STRING : MODEL_DOUBLE;
}
