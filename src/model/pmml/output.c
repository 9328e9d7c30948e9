/* Output: the features of a result and where later readers find them. */
#include "model/pmml/reader.h"

#include <stdio.h>

/* What predictedDisplayValue gives for each class: displayValue of its TargetValue, else itself. */
static void read_displays(struct pmml_reader *r, const struct pmml_element *model,
                          struct model_element *base)
{
    const struct model_classes *classes = base->classes;
    const struct pmml_element *targets = pmml_child(model, "Targets");
    const struct pmml_element *target = targets != NULL ? pmml_own_target(r, targets) : NULL;
    double *displays = model_alloc(&r->b, classes->count, sizeof *displays);
    if (displays == NULL) {
        return;
    }
    for (uint32_t i = 0; i < classes->count; i++) {
        displays[i] = model_builder_symbol(&r->b, classes->labels[i]);
    }
    for (const struct pmml_element *e = target != NULL ? target->first : NULL;
         e != NULL && pmml_ok(r, e); e = e->next) {
        const char *text = pmml_attribute(e, "displayValue");
        if (text != NULL) {
            uint32_t index = pmml_class(r, e, pmml_required(r, e, "value"));
            displays[index] = model_builder_symbol(&r->b, pmml_slice(text));
        }
    }
    base->displays = displays;
}

static enum model_feature read_feature(struct pmml_reader *r, const struct pmml_element *e)
{
    static const char *const names[] = {
        "predictedValue",   "probability", "confidence",      "entityId",
        "transformedValue", "reasonCode",  "affinity",        "predictedDisplayValue",
        "clusterId",        "decision",    "clusterAffinity", "entityAffinity",
        "residual",         NULL};
    static const enum model_feature features[] = {
        MODEL_FEATURE_PREDICTED_VALUE,   MODEL_FEATURE_PROBABILITY,       MODEL_FEATURE_CONFIDENCE,
        MODEL_FEATURE_ENTITY_ID,         MODEL_FEATURE_TRANSFORMED_VALUE, MODEL_FEATURE_REASON_CODE,
        MODEL_FEATURE_AFFINITY,          MODEL_FEATURE_DISPLAY_VALUE,     MODEL_FEATURE_ENTITY_ID,
        MODEL_FEATURE_TRANSFORMED_VALUE, MODEL_FEATURE_AFFINITY,          MODEL_FEATURE_AFFINITY,
        MODEL_FEATURE_RESIDUAL};
    enum model_feature feature = features[pmml_choice(r, e, "feature", names, 0)];
    /* A number is displayed as it is. */
    bool shown = feature == MODEL_FEATURE_DISPLAY_VALUE && r->target->classes == NULL;
    return shown ? MODEL_FEATURE_PREDICTED_VALUE : feature;
}

/* Reasons are ranked, and the clusters or neighbors of a record. */
static void read_rank(struct pmml_reader *r, const struct pmml_element *model,
                      const struct pmml_element *e, struct model_element *base,
                      struct model_output *output)
{
    bool ranks_entities =
        pmml_is(model, "ClusteringModel") || pmml_is(model, "NearestNeighborModel");
    bool is_ranked = output->feature == MODEL_FEATURE_REASON_CODE ||
                     (ranks_entities && (output->feature == MODEL_FEATURE_ENTITY_ID ||
                                         output->feature == MODEL_FEATURE_AFFINITY));
    double rank = pmml_number(r, e, "rank", 1);
    if (!(rank >= 1 && rank <= 1000 && rank == floor(rank))) {
        pmml_fail(r, e, WEIR_INVALID, "has a rank that is none from 1 to 1000");
        return;
    }
    output->rank = (uint32_t)rank;
    base->rank_max = output->rank > base->rank_max ? output->rank : base->rank_max;
    if (rank > 1 && !is_ranked) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has a rank above 1, which its feature has not");
    }
}

/* The value of another target than the model's own, which is a field by its name. */
static bool is_of_other_target(const struct pmml_reader *r, const struct pmml_element *e,
                               const struct model_output *output)
{
    const char *target = pmml_attribute(e, "targetField");
    return target != NULL && strcmp(target, r->target->name) != 0 &&
           output->feature == MODEL_FEATURE_PREDICTED_VALUE && pmml_in_scope(r, target);
}

/* The value of a field that is there already: another target's, or a segment's output. */
static enum model_type read_copy(struct pmml_reader *r, const struct pmml_element *e,
                                 const char *field, struct model_output *output)
{
    struct model_expr *expr = model_alloc(&r->b, 1, sizeof *expr);
    if (expr == NULL) {
        return MODEL_DOUBLE;
    }
    *expr = pmml_field_expression(r, e, field);
    output->feature = MODEL_FEATURE_TRANSFORMED_VALUE;
    output->expr = expr;
    return expr->type;
}

static enum model_type read_expression(struct pmml_reader *r, const struct pmml_element *e,
                                       struct model_output *output)
{
    struct model_expr *expr = model_alloc(&r->b, 1, sizeof *expr);
    if (!pmml_ok(r, e)) {
        return MODEL_DOUBLE;
    }
    enum model_type type =
        (enum model_type)pmml_choice(r, e, "dataType", pmml_type_names, MODEL_TYPE_OPEN);
    pmml_read_derivation(r, e, type, expr);
    bool date = expr->type >= MODEL_DATE && expr->type <= MODEL_DATE_TIME;
    pmml_cast(r, e, date ? MODEL_STRING : MODEL_TYPE_OPEN, expr);
    output->expr = expr;
    return expr->type;
}

/* What was observed comes with the row, as an input. */
static void read_residual(struct pmml_reader *r, const struct pmml_element *model,
                          const struct pmml_element *e, struct model_output *output)
{
    const struct pmml_element *target = pmml_find_target(pmml_child(model, "MiningSchema"));
    struct model_expr *expr = model_alloc(&r->b, 1, sizeof *expr);
    if (target == NULL || r->scope->parent != NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "asks for a residual of a segment or without a target");
    } else if (pmml_ok(r, e)) {
        *expr = (struct model_expr){.kind = MODEL_EXPR_SLOT, .map_missing_to = model_missing()};
        expr->slot = pmml_read_observed(r, target);
        expr->type = r->target->type;
        output->expr = expr;
    }
}

/* Fills what the feature needs; the type of its values. */
static enum model_type read_value(struct pmml_reader *r, const struct pmml_element *model,
                                  const struct pmml_element *e, struct model_element *base,
                                  struct model_output *output)
{
    const char *label = pmml_attribute(e, "value");
    switch (output->feature) {
    case MODEL_FEATURE_ENTITY_ID:
        r->b.model->makes_strings = true;
        return MODEL_STRING;
    case MODEL_FEATURE_REASON_CODE:
        return MODEL_STRING;
    case MODEL_FEATURE_DISPLAY_VALUE:
        if (base->displays == NULL) {
            read_displays(r, model, base);
        }
        return MODEL_STRING;
    case MODEL_FEATURE_PREDICTED_VALUE:
        return r->target->classes != NULL ? r->target->type : MODEL_DOUBLE;
    case MODEL_FEATURE_TRANSFORMED_VALUE:
        return read_expression(r, e, output);
    case MODEL_FEATURE_RESIDUAL:
        read_residual(r, model, e, output);
        break;
    default:
        break;
    }
    bool is_number = output->feature == MODEL_FEATURE_RESIDUAL && r->target->classes == NULL;
    output->class_index = label != NULL && !is_number ? pmml_class(r, e, label) : UINT32_MAX;
    return MODEL_DOUBLE;
}

static void read_output_field(struct pmml_reader *r, const struct pmml_element *model,
                              const struct pmml_element *e, bool is_copy,
                              struct model_element *base, struct model_output *output)
{
    const struct model_classes *classes = r->target->classes;
    bool is_rule = pmml_is_rule_feature(model, e);
    output->feature = is_rule ? MODEL_FEATURE_RULE : read_feature(r, e);
    output->name = pmml_required(r, e, "name");
    output->class_index = UINT32_MAX;
    if (!is_rule) {
        read_rank(r, model, e, base, output);
    }
    bool of_other = is_of_other_target(r, e, output);
    enum model_type type = of_other  ? read_copy(r, e, pmml_attribute(e, "targetField"), output)
                           : is_rule ? pmml_read_rule_feature(r, e, base, output)
                           : is_copy ? read_copy(r, e, output->name, output)
                                     : read_value(r, model, e, base, output);
    if (type != MODEL_STRING && output->feature != MODEL_FEATURE_TRANSFORMED_VALUE) {
        type = (enum model_type)pmml_choice(r, e, "dataType", pmml_type_names, type);
        /* A number may be declared a string or a date; it stays a number. */
        bool is_number = type != MODEL_STRING && type != MODEL_BOOLEAN &&
                         (type < MODEL_DATE || type >= MODEL_TIME_SECONDS);
        type = is_number ? type : MODEL_DOUBLE;
    }
    /* A class whose labels are numbers may be declared a string; its value stays a number. */
    bool is_class = output->feature == MODEL_FEATURE_PREDICTED_VALUE && classes != NULL;
    output->type = is_class ? r->target->type : type;
    struct model_slot slot = {.name = output->name, .type = output->type};
    slot.optype = output->type == MODEL_STRING ? MODEL_CATEGORICAL : MODEL_CONTINUOUS;
    if (pmml_ok(r, e)) {
        output->slot = model_builder_slot(&r->b, &slot);
        pmml_scope_add(r, output->name, output->slot);
    }
}

/* A predicted value under the target's own name: the first column of the output has it already. */
static bool is_target_again(const struct pmml_element *e, const struct pmml_target *target)
{
    const char *feature = pmml_attribute(e, "feature");
    const char *name = pmml_attribute(e, "name");
    return name != NULL && strcmp(name, target->name) == 0 &&
           (feature == NULL || strcmp(feature, "predictedValue") == 0);
}

/* Expressions in Output may name the target: it is what the model predicts. */
static void open_target(struct pmml_reader *r, const struct pmml_element *output,
                        struct model_element *base)
{
    struct model_slot slot = {.name = r->target->name, .type = r->target->type};
    slot.optype = r->target->optype;
    for (const struct pmml_element *f = output->first; f != NULL; f = f->next) {
        base->target_is_read |= f->child_count > 0 && slot.name[0] != '\0';
    }
    if (base->target_is_read) {
        base->target_slot = model_builder_slot(&r->b, &slot);
        pmml_scope_add(r, slot.name, base->target_slot);
    }
}

/* True: an earlier sibling says the same word for word. Another one of that name is refused. */
static bool is_repeated(struct pmml_reader *r, const struct pmml_element *e)
{
    const char *name = pmml_attribute(e, "name");
    const struct pmml_element *other = e->parent->first;
    while (other != e && (name == NULL || pmml_attribute(other, "name") == NULL ||
                          strcmp(pmml_attribute(other, "name"), name) != 0)) {
        other = other->next;
    }
    if (other == e) {
        return false;
    }
    bool same =
        other->attribute_count == e->attribute_count && other->first == NULL && e->first == NULL;
    for (uint32_t i = 0; same && i < e->attribute_count; i++) {
        const char *value = pmml_attribute(other, e->attributes[i].name);
        same = value != NULL && strcmp(value, e->attributes[i].value) == 0;
    }
    if (!same) {
        pmml_fail(r, e, WEIR_INVALID, "has the name \"%.60s\" of another", name);
    }
    return same;
}

/* ---- segmentId ------------------------------------------------------------------------------- */

/* True: the field is this segment's to give. Its place, from 1, is its id if it has none. */
static bool is_asked(const struct pmml_asking *asking, const struct pmml_element *field)
{
    const char *id = pmml_attribute(field, "segmentId");
    char text[sizeof "4294967295"];
    snprintf(text, sizeof text, "%u", asking->place);
    return id != NULL && strcmp(asking->id != NULL ? asking->id : text, id) == 0;
}

void pmml_read_output(struct pmml_reader *r, const struct pmml_element *model, bool top,
                      struct model_element *base)
{
    const struct pmml_element *e = pmml_child(model, "Output");
    const struct pmml_element *outer = r->asking != NULL ? r->asking->output : NULL;
    size_t capacity = (e != NULL ? e->child_count : 0) + (outer != NULL ? outer->child_count : 0);
    struct model_output *outputs = model_alloc(&r->b, capacity, sizeof *outputs);
    uint32_t count = 0;
    if (e != NULL) {
        open_target(r, e, base);
    }
    for (const struct pmml_element *f = e != NULL ? e->first : NULL; f != NULL && pmml_ok(r, f);
         f = f->next) {
        bool of_segment = pmml_attribute(f, "segmentId") != NULL;
        if (!pmml_is(f, "OutputField")) {
            pmml_unsupported(r, f);
        } else if (is_repeated(r, f) || (top && !of_segment && is_target_again(f, r->target))) {
            continue;
        } else {
            read_output_field(r, model, f, of_segment, base, &outputs[count++]);
        }
    }
    for (const struct pmml_element *f = outer != NULL ? outer->first : NULL;
         f != NULL && pmml_ok(r, f); f = f->next) {
        if (is_asked(r->asking, f)) {
            read_output_field(r, model, f, false, base, &outputs[count++]);
        }
    }
    base->outputs = outputs;
    base->output_count = count;
}
