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
                          enum model_type wanted, struct model_expr *expr)
{
    struct weir_slice text = pmml_text(r->document, e);
    expr->kind = MODEL_EXPR_CONSTANT;
    const char *missing = pmml_attribute(e, "missing");
    /* Without a type: what is wanted, else an integer, a real number or a string by its looks. */
    double number;
    enum model_type type = wanted;
    if (type == MODEL_TYPE_OPEN && text.data != NULL) {
        bool is_number = model_parse_value(MODEL_DOUBLE, text, &number);
        bool has_point = memchr(text.data, '.', text.bytes) != NULL;
        type = !is_number                             ? MODEL_STRING
               : has_point || number != floor(number) ? MODEL_DOUBLE
                                                      : MODEL_INTEGER;
    }
    expr->type = (enum model_type)pmml_choice(r, e, "dataType", pmml_type_names, type);
    bool empty = text.data == NULL || text.bytes == 0;
    if ((missing != NULL && strcmp(missing, "true") == 0) ||
        (empty && expr->type != MODEL_STRING)) {
        expr->value = model_missing();
        return;
    }
    expr->value = pmml_value(r, e, expr->type, empty ? "" : text.data);
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

/* FieldRef, NormContinuous, NormDiscrete: one field. */
static void read_of_field(struct pmml_reader *r, const struct pmml_element *e,
                          struct model_expr *expr)
{
    bool is_ref = pmml_is(e, "FieldRef");
    expr->slot = pmml_slot(r, e, pmml_required(r, e, "field"));
    if (r->err != WEIR_OK) {
        return;
    }
    enum model_type type = pmml_slot_info(r, expr->slot)->type;
    expr->type = is_ref ? type : MODEL_DOUBLE;
    const char *map = pmml_attribute(e, "mapMissingTo");
    if (map != NULL) {
        expr->map_missing_to = pmml_value(r, e, expr->type, map);
    }
    if (is_ref) {
        expr->kind = MODEL_EXPR_SLOT;
    } else if (pmml_is(e, "NormContinuous")) {
        if (type == MODEL_STRING) {
            pmml_fail(r, e, WEIR_INVALID, "has a field of strings, which can't be normalized");
        }
        pmml_read_norm_continuous(r, e, expr);
    } else {
        expr->kind = MODEL_EXPR_NORM_DISCRETE;
        expr->value = pmml_value(r, e, type, pmml_required(r, e, "value"));
    }
}

void pmml_read_expression(struct pmml_reader *r, const struct pmml_element *e,
                          enum model_type wanted, struct model_expr *expr)
{
    *expr =
        (struct model_expr){.map_missing_to = model_missing(), .default_value = model_missing()};
    if (r->derivation_depth == MODEL_SLOT_DEPTH_MAX) {
        pmml_fail(r, e, WEIR_LIMIT, "stands in too many other expressions and fields");
        return;
    }
    r->derivation_depth++;
    if (pmml_is(e, "Constant")) {
        read_constant(r, e, wanted, expr);
    } else if (pmml_is(e, "FieldRef") || pmml_is(e, "NormContinuous") ||
               pmml_is(e, "NormDiscrete")) {
        read_of_field(r, e, expr);
    } else if (pmml_is(e, "Apply")) {
        pmml_read_apply(r, e, expr);
    } else if (pmml_is(e, "Discretize")) {
        pmml_read_discretize(r, e, wanted, expr);
    } else if (pmml_is(e, "MapValues")) {
        pmml_read_map_values(r, e, wanted, expr);
    } else {
        pmml_unsupported(r, e);
    }
    r->derivation_depth--;
}

/* Numbers that are wider hold the narrower ones; whole dates are no numbers. */
static bool holds(enum model_type type, enum model_type from)
{
    bool calendar = model_is_calendar(type) || model_is_calendar(from);
    return type == from || (type == MODEL_DOUBLE && from != MODEL_STRING &&
                            (!calendar || from >= MODEL_TIME_SECONDS));
}

void pmml_cast(struct pmml_reader *r, const struct pmml_element *element, enum model_type type,
               struct model_expr *expr)
{
    if (type == MODEL_TYPE_OPEN || r->err != WEIR_OK || holds(type, expr->type)) {
        return;
    }
    bool from_date = expr->type >= MODEL_DATE && expr->type <= MODEL_DATE_TIME;
    bool to_date = type >= MODEL_DATE && type <= MODEL_DATE_TIME;
    bool text = type == MODEL_STRING || expr->type == MODEL_STRING;
    if (!text && (from_date || to_date) &&
        !(model_is_calendar(type) && model_is_calendar(expr->type))) {
        pmml_fail(r, element, WEIR_INVALID, "makes a date of a number, or a number of a date");
        return;
    }
    struct model_expr *inner = model_alloc(&r->b, 1, sizeof *inner);
    if (inner == NULL) {
        pmml_ok(r, element);
        return;
    }
    *inner = *expr;
    *expr = (struct model_expr){
        .kind = MODEL_EXPR_CAST,
        .type = type,
        .map_missing_to = model_missing(),
        .default_value = model_missing(),
        .count = 1,
        .args = inner,
    };
    r->b.model->makes_strings |= type == MODEL_STRING;
}

struct model_expr pmml_field_expression(struct pmml_reader *r, const struct pmml_element *element,
                                        const char *name)
{
    uint32_t slot = pmml_slot(r, element, name);
    struct model_expr expr = {.kind = MODEL_EXPR_SLOT, .slot = slot};
    expr.type = r->err == WEIR_OK ? pmml_slot_info(r, slot)->type : MODEL_TYPE_OPEN;
    expr.map_missing_to = model_missing();
    return expr;
}

void pmml_read_derivation(struct pmml_reader *r, const struct pmml_element *field,
                          enum model_type type, struct model_expr *expr)
{
    for (const struct pmml_element *e = field->first; e != NULL; e = e->next) {
        if (pmml_is_expression(e)) {
            pmml_read_expression(r, e, type, expr);
            pmml_cast(r, e, type, expr);
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
