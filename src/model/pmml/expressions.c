/* Expressions and predicates. */
#include "model/pmml/reader.h"

#include <stdlib.h>

/* ---- expressions ----------------------------------------------------------------------------- */

static const char *const outlier_names[] = {"asIs", "asMissingValues", "asExtremeValues", NULL};

static const char *const expression_names[] = {
    "Constant", "FieldRef",  "NormContinuous", "NormDiscrete", "Discretize", "MapValues",
    "Apply",    "TextIndex", "Aggregate",      "Lag",          NULL};

bool pmml_is_expression(const struct pmml_element *element)
{
    for (uint32_t i = 0; expression_names[i] != NULL; i++) {
        if (pmml_is(element, expression_names[i])) {
            return true;
        }
    }
    return false;
}

static void read_constant(struct pmml_reader *r, const struct pmml_element *e,
                          struct model_expr *expr)
{
    static const char *const types[] = {"string", "integer", "float", "double", "boolean", NULL};
    struct weir_slice text = pmml_text(r->document, e);
    expr->kind = MODEL_EXPR_CONSTANT;
    const char *missing = pmml_attribute(e, "missing");
    if (text.data == NULL || (missing != NULL && strcmp(missing, "true") == 0)) {
        expr->value = model_missing();
        return;
    }
    double number;
    bool is_number = model_parse_value(MODEL_DOUBLE, text, &number);
    uint32_t type = pmml_choice(r, e, "dataType", types, is_number ? MODEL_DOUBLE : MODEL_STRING);
    expr->value = pmml_value(r, e, (enum model_type)type, text.data);
}

void pmml_read_norm_continuous(struct pmml_reader *r, const struct pmml_element *e,
                               struct model_expr *expr)
{
    expr->kind = MODEL_EXPR_NORM_CONTINUOUS;
    expr->outliers = (enum model_outliers)pmml_choice(r, e, "outliers", outlier_names, 0);
    struct model_norm_point *points =
        model_alloc(&r->b, pmml_count(e, "LinearNorm"), sizeof *points);
    for (const struct pmml_element *p = e->first; p != NULL && points != NULL; p = p->next) {
        if (!pmml_is(p, "LinearNorm")) {
            pmml_unsupported(r, p);
            continue;
        }
        struct model_norm_point *point = &points[expr->point_count++];
        point->orig = pmml_required_number(r, p, "orig");
        point->norm = pmml_required_number(r, p, "norm");
        if (expr->point_count > 1 && !(point->orig > point[-1].orig)) {
            pmml_fail(r, p, WEIR_INVALID, "is not in ascending order of orig");
        }
    }
    if (points != NULL && expr->point_count < 2) {
        pmml_fail(r, e, WEIR_INVALID, "needs two or more LinearNorm");
    }
    expr->points = points;
}

void pmml_read_expression(struct pmml_reader *r, const struct pmml_element *e,
                          struct model_expr *expr)
{
    *expr = (struct model_expr){.map_missing_to = model_missing()};
    if (pmml_is(e, "Constant")) {
        read_constant(r, e, expr);
        return;
    }
    bool is_ref = pmml_is(e, "FieldRef");
    if (!is_ref && !pmml_is(e, "NormContinuous") && !pmml_is(e, "NormDiscrete")) {
        pmml_unsupported(r, e);
        return;
    }
    expr->slot = pmml_slot(r, e, pmml_required(r, e, "field"));
    if (r->err != WEIR_OK) {
        return;
    }
    enum model_type type = pmml_slot_info(r, expr->slot)->type;
    const char *map = pmml_attribute(e, "mapMissingTo");
    if (map != NULL) {
        expr->map_missing_to = pmml_value(r, e, is_ref ? type : MODEL_DOUBLE, map);
    }
    if (is_ref) {
        expr->kind = MODEL_EXPR_SLOT;
    } else if (pmml_is(e, "NormContinuous")) {
        pmml_read_norm_continuous(r, e, expr);
    } else {
        expr->kind = MODEL_EXPR_NORM_DISCRETE;
        expr->value = pmml_value(r, e, type, pmml_required(r, e, "value"));
    }
}

void pmml_read_derivation(struct pmml_reader *r, const struct pmml_element *field,
                          struct model_expr *expr)
{
    for (const struct pmml_element *e = field->first; e != NULL; e = e->next) {
        if (pmml_is_expression(e)) {
            pmml_read_expression(r, e, expr);
            return;
        }
    }
    pmml_fail(r, field, WEIR_INVALID, "needs an expression");
}

/* ---- predicates ------------------------------------------------------------------------------ */

static const char *const predicate_names[] = {
    "SimplePredicate", "SimpleSetPredicate", "CompoundPredicate", "True", "False", NULL};

bool pmml_is_predicate(const struct pmml_element *element)
{
    for (uint32_t i = 0; predicate_names[i] != NULL; i++) {
        if (pmml_is(element, predicate_names[i])) {
            return true;
        }
    }
    return false;
}

static const char *const operator_names[] = {"equal",       "notEqual",     "lessThan",
                                             "lessOrEqual", "greaterThan",  "greaterOrEqual",
                                             "isMissing",   "isNotMissing", NULL};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* An order comparison of an ordinal field, as the set of declared values that satisfy it. */
static void read_ordinal(struct pmml_reader *r, const struct pmml_element *e,
                         const struct model_slot *slot, struct model_predicate *p)
{
    uint32_t rank = 0;
    while (rank < slot->value_count && slot->values[rank] != p->value) {
        rank++;
    }
    if (rank == slot->value_count) {
        pmml_fail(r, e, WEIR_INVALID, "compares with a value that its ordinal field has not");
        return;
    }
    double *values = model_alloc(&r->b, slot->value_count, sizeof *values);
    if (values == NULL) {
        return;
    }
    p->count = 0;
    for (uint32_t i = 0; i < slot->value_count; i++) {
        bool below = p->kind == MODEL_PREDICATE_LESS || p->kind == MODEL_PREDICATE_LESS_OR_EQUAL;
        bool closed =
            p->kind == MODEL_PREDICATE_LESS_OR_EQUAL || p->kind == MODEL_PREDICATE_GREATER_OR_EQUAL;
        if ((below ? i < rank : i > rank) || (closed && i == rank)) {
            values[p->count++] = slot->values[i];
        }
    }
    qsort(values, p->count, sizeof *values, ascending);
    p->values = values;
    p->kind = MODEL_PREDICATE_IS_IN;
}

static void read_simple(struct pmml_reader *r, const struct pmml_element *e,
                        struct model_predicate *p)
{
    pmml_required(r, e, "operator");
    p->kind = (enum model_predicate_kind)(MODEL_PREDICATE_EQUAL +
                                          pmml_choice(r, e, "operator", operator_names, 0));
    p->slot = pmml_slot(r, e, pmml_required(r, e, "field"));
    if (r->err != WEIR_OK || p->kind == MODEL_PREDICATE_IS_MISSING ||
        p->kind == MODEL_PREDICATE_IS_NOT_MISSING) {
        return;
    }
    const struct model_slot *slot = pmml_slot_info(r, p->slot);
    p->value = pmml_value(r, e, slot->type, pmml_required(r, e, "value"));
    bool order = p->kind != MODEL_PREDICATE_EQUAL && p->kind != MODEL_PREDICATE_NOT_EQUAL;
    if (!order || r->err != WEIR_OK) {
        return;
    }
    if (slot->optype == MODEL_ORDINAL && slot->value_count > 0) {
        read_ordinal(r, e, slot, p);
    } else if (slot->type == MODEL_STRING) {
        pmml_fail(r, e, WEIR_INVALID, "orders strings, which have no order");
    }
}

static void read_set(struct pmml_reader *r, const struct pmml_element *e, struct model_predicate *p)
{
    static const char *const names[] = {"isIn", "isNotIn", NULL};
    pmml_required(r, e, "booleanOperator");
    p->kind = (enum model_predicate_kind)(MODEL_PREDICATE_IS_IN +
                                          pmml_choice(r, e, "booleanOperator", names, 0));
    p->slot = pmml_slot(r, e, pmml_required(r, e, "field"));
    const struct pmml_element *array = pmml_child(e, "Array");
    if (array == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs an Array");
    }
    if (r->err != WEIR_OK) {
        return;
    }
    enum model_type type = pmml_slot_info(r, p->slot)->type;
    const struct weir_slice *words;
    uint32_t count = pmml_array(r, array, &words);
    double *values = model_alloc(&r->b, count, sizeof *values);
    for (uint32_t i = 0; i < count && values != NULL; i++) {
        if (!model_builder_value(&r->b, type, words[i], &values[i])) {
            pmml_fail(r, array, WEIR_INVALID, "holds a value that is not of the field's type");
            return;
        }
    }
    if (values != NULL) {
        qsort(values, count, sizeof *values, ascending);
        p->values = values;
        p->count = count;
    }
}

static void read_predicate(struct pmml_reader *r, const struct pmml_element *e,
                           struct model_predicate *p);

static void read_compound(struct pmml_reader *r, const struct pmml_element *e,
                          struct model_predicate *p)
{
    static const char *const names[] = {"and", "or", "xor", "surrogate", NULL};
    pmml_required(r, e, "booleanOperator");
    p->kind = (enum model_predicate_kind)(MODEL_PREDICATE_AND +
                                          pmml_choice(r, e, "booleanOperator", names, 0));
    if (e->child_count < 2) {
        pmml_fail(r, e, WEIR_INVALID, "needs two or more predicates");
    }
    struct model_predicate *parts = model_alloc(&r->b, e->child_count, sizeof *parts);
    for (const struct pmml_element *part = e->first; part != NULL && parts != NULL;
         part = part->next) {
        if (!pmml_is_predicate(part)) {
            pmml_unsupported(r, part);
        }
        if (r->err != WEIR_OK) {
            return;
        }
        read_predicate(r, part, &parts[p->count++]);
    }
    p->parts = parts;
}

static void read_predicate(struct pmml_reader *r, const struct pmml_element *e,
                           struct model_predicate *p)
{
    *p = (struct model_predicate){.kind = MODEL_PREDICATE_TRUE};
    if (pmml_is(e, "SimplePredicate")) {
        read_simple(r, e, p);
    } else if (pmml_is(e, "SimpleSetPredicate")) {
        read_set(r, e, p);
    } else if (pmml_is(e, "CompoundPredicate")) {
        read_compound(r, e, p);
    } else if (pmml_is(e, "False")) {
        p->kind = MODEL_PREDICATE_FALSE;
    }
}

void pmml_read_predicate_of(struct pmml_reader *r, const struct pmml_element *element,
                            struct model_predicate *predicate)
{
    for (const struct pmml_element *e = element->first; e != NULL; e = e->next) {
        if (pmml_is_predicate(e)) {
            read_predicate(r, e, predicate);
            pmml_ok(r, e);
            return;
        }
    }
    pmml_fail(r, element, WEIR_INVALID, "needs a predicate");
}
