/*
 * Apply, with the built-in functions and those that DefineFunction gives. A defined function is
 * expanded where it is called: its parameters become slots, computed once a row at their first use.
 */
#include "model/core/function.h"
#include "model/pmml/reader.h"

enum { EXPANSIONS_MAX = 100000 }; /* of defined functions in one model */

/* Text that an untyped constant was written with means a string beside strings. */
static void settle_constants(struct pmml_reader *r, const struct pmml_element *const *elements,
                             struct model_expr *args, uint32_t count)
{
    bool strings = false;
    for (uint32_t i = 0; i < count; i++) {
        strings |= args[i].type == MODEL_STRING;
    }
    for (uint32_t i = 0; strings && i < count; i++) {
        const struct pmml_element *e = elements[i];
        if (pmml_is(e, "Constant") && pmml_attribute(e, "dataType") == NULL &&
            args[i].type != MODEL_STRING && !model_is_missing(args[i].value)) {
            args[i].type = MODEL_STRING;
            args[i].value = model_builder_symbol(&r->b, pmml_text(r->document, e));
        }
    }
}

/* The arguments, and the elements they stand in. */
static struct model_expr *read_arguments(struct pmml_reader *r, const struct pmml_element *e,
                                         const struct pmml_element ***elements_out,
                                         uint32_t *count_out)
{
    struct model_expr *args = model_alloc(&r->b, e->child_count, sizeof *args);
    const struct pmml_element **elements = pmml_scratch(r, e->child_count, sizeof(void *));
    uint32_t count = 0;
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (!pmml_is_expression(c)) {
            pmml_unsupported(r, c);
            break;
        }
        elements[count] = c;
        pmml_read_expression(r, c, MODEL_TYPE_OPEN, &args[count++]);
    }
    *elements_out = elements;
    *count_out = count;
    return args;
}

/* ---- built-in functions ---------------------------------------------------------------------- */

/*
 * matches and replace take regular expressions. Those that are plain text are evaluated; the
 * pattern is a constant, from which the backslashes are taken.
 */
static void read_pattern(struct pmml_reader *r, const struct pmml_element *e,
                         struct model_expr *args, uint32_t count)
{
    if (args[1].kind != MODEL_EXPR_CONSTANT || model_is_missing(args[1].value) ||
        (count == 3 && (args[2].kind != MODEL_EXPR_CONSTANT || model_is_missing(args[2].value)))) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has a pattern that is no Constant");
        return;
    }
    struct weir_slice from = r->b.model->symbols.strings[(uint32_t)args[1].value];
    const char *text = from.data;
    char *plain = pmml_scratch(r, from.bytes + 1, 1);
    size_t bytes = 0;
    for (size_t i = 0; i < from.bytes && plain != NULL; i++) {
        bool escaped = text[i] == '\\' && i + 1 < from.bytes;
        i += escaped;
        bool special = strchr("\\^$.|?*+()[]{}", text[i]) != NULL;
        if (special != escaped) {
            pmml_fail(r, e, WEIR_UNSUPPORTED,
                      "has the pattern \"%.60s\": only plain text is supported yet", text);
            return;
        }
        plain[bytes++] = text[i];
    }
    if (count == 3) {
        struct weir_slice by = r->b.model->symbols.strings[(uint32_t)args[2].value];
        if (bytes == 0 || strpbrk(by.data, "\\$") != NULL) {
            pmml_fail(r, e, WEIR_UNSUPPORTED,
                      "replaces an empty pattern, or by text with $ or a backslash");
            return;
        }
    }
    if (plain != NULL) {
        args[1].value = model_builder_symbol(&r->b, weir_slice(plain, bytes));
    }
}

/* The treatment of an input that isValid asks about; a derived field is valid unless missing. */
static const struct model_treatment *treatment_of(struct pmml_reader *r,
                                                  const struct model_expr *arg)
{
    for (uint32_t i = 0; arg->kind == MODEL_EXPR_SLOT && i < r->b.model->input_count; i++) {
        if (r->b.inputs[i].slot == arg->slot) {
            struct model_treatment *copy = model_alloc(&r->b, 1, sizeof *copy);
            if (copy != NULL) {
                *copy = r->b.inputs[i].treatment;
            }
            return copy;
        }
    }
    return NULL;
}

/* An ordinal field is compared by the order of its values, which only predicates do yet. */
static bool orders_ordinal(const struct pmml_reader *r, const struct model_function_info *info,
                           const struct model_expr *args, uint32_t count)
{
    for (uint32_t i = 0; info->signature == MODEL_SIGNATURE_ORDER && i < count; i++) {
        if (args[i].kind == MODEL_EXPR_SLOT &&
            pmml_slot_info(r, args[i].slot)->optype == MODEL_ORDINAL) {
            return true;
        }
    }
    return false;
}

static void read_builtin(struct pmml_reader *r, const struct pmml_element *e, const char *name,
                         struct model_expr *expr)
{
    const struct model_function_info *info = NULL;
    const struct pmml_element **elements;
    enum model_function function = model_function_find(name, &info);
    if (function == MODEL_FUNCTIONS) {
        pmml_fail(r, e, WEIR_UNSUPPORTED,
                  "has function=\"%.60s\", which is no supported function and no DefineFunction",
                  name);
        return;
    }
    struct model_expr *args = read_arguments(r, e, &elements, &expr->count);
    if (r->err != WEIR_OK) {
        return;
    }
    if (expr->count < info->arguments_min ||
        (info->arguments_max < 255 && expr->count > info->arguments_max)) {
        pmml_fail(r, e, WEIR_INVALID, "gives %.30s %u arguments, not its number of them", name,
                  expr->count);
        return;
    }
    bool branches = info->signature == MODEL_SIGNATURE_IF;
    bool mixed = info->signature == MODEL_SIGNATURE_CONCAT || strcmp(name, "substring") == 0 ||
                 info->signature == MODEL_SIGNATURE_FORMAT;
    if (!mixed) {
        settle_constants(r, elements + branches, args + branches, expr->count - branches);
    }
    expr->kind = MODEL_EXPR_APPLY;
    expr->function = function;
    expr->args = args;
    expr->work = model_builder_work(&r->b, expr->count);
    if (!model_function_type(info, args, expr->count, &expr->type)) {
        pmml_fail(r, e, WEIR_INVALID, "gives %.30s arguments of types that it does not take", name);
    } else if (orders_ordinal(r, info, args, expr->count)) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "orders an ordinal field by a function");
    }
    if (function == MODEL_FUNCTION_MATCHES || function == MODEL_FUNCTION_REPLACE) {
        read_pattern(r, e, args, expr->count);
    }
    if (function == MODEL_FUNCTION_IS_VALID || function == MODEL_FUNCTION_IS_NOT_VALID) {
        expr->treatment = treatment_of(r, &args[0]);
    }
    r->b.model->makes_strings |= expr->type == MODEL_STRING;
}

/* ---- defined functions ----------------------------------------------------------------------- */

/* A parameter of a call: the argument, brought to the parameter's type, in a slot of its own. */
static void bind_parameter(struct pmml_reader *r, const struct pmml_element *parameter,
                           struct model_expr *arg)
{
    enum model_type type = (enum model_type)pmml_choice(r, parameter, "dataType", pmml_type_names,
                                                        (uint32_t)arg->type);
    struct model_slot slot = {.name = pmml_required(r, parameter, "name")};
    pmml_cast(r, parameter, type, arg);
    slot.expr = arg;
    slot.type = type;
    slot.optype = type == MODEL_STRING ? MODEL_CATEGORICAL : MODEL_CONTINUOUS;
    if (pmml_ok(r, parameter)) {
        pmml_scope_add(r, slot.name, model_builder_slot(&r->b, &slot));
    }
}

static void read_body(struct pmml_reader *r, const struct pmml_element *e,
                      struct pmml_function *function, struct model_expr *args, uint32_t arg_count,
                      struct model_expr *expr)
{
    struct pmml_scope scope;
    struct pmml_scope *outer = r->scope;
    uint32_t count = 0;
    r->scope = NULL; /* a function sees nothing but its parameters */
    pmml_scope_open(r, &scope);
    for (const struct pmml_element *p = function->element->first; p != NULL && r->err == WEIR_OK;
         p = p->next) {
        if (pmml_is(p, "ParameterField") && count < arg_count) {
            bind_parameter(r, p, &args[count]);
        }
        count += pmml_is(p, "ParameterField");
    }
    if (count != arg_count) {
        pmml_fail(r, e, WEIR_INVALID, "gives %.30s %u arguments, which has %u parameters",
                  function->name, arg_count, count);
    }
    enum model_type type = (enum model_type)pmml_choice(r, function->element, "dataType",
                                                        pmml_type_names, MODEL_TYPE_OPEN);
    if (r->err == WEIR_OK) {
        pmml_read_derivation(r, function->element, type, expr);
    }
    r->scope = outer;
}

static void read_defined(struct pmml_reader *r, const struct pmml_element *e,
                         struct pmml_function *function, struct model_expr *expr)
{
    const struct pmml_element **elements;
    uint32_t count;
    if (function->expanding) {
        pmml_fail(r, e, WEIR_INVALID, "calls \"%.60s\", which is defined by itself",
                  function->name);
        return;
    }
    if (++r->expansions > EXPANSIONS_MAX) {
        pmml_fail(r, e, WEIR_LIMIT, "is one of too many calls of defined functions");
        return;
    }
    struct model_expr *args = read_arguments(r, e, &elements, &count);
    function->expanding = true;
    if (r->err == WEIR_OK) {
        read_body(r, e, function, args, count, expr);
    }
    function->expanding = false;
}

void pmml_read_functions(struct pmml_reader *r, const struct pmml_element *transformations)
{
    r->functions =
        pmml_scratch(r, pmml_count(transformations, "DefineFunction"), sizeof *r->functions);
    for (const struct pmml_element *e = transformations->first; e != NULL && r->err == WEIR_OK;
         e = e->next) {
        if (pmml_is(e, "DefineFunction")) {
            r->functions[r->function_count++] =
                (struct pmml_function){.name = pmml_required(r, e, "name"), .element = e};
        }
    }
}

void pmml_read_apply(struct pmml_reader *r, const struct pmml_element *e, struct model_expr *expr)
{
    static const char *const treatments[] = {"returnInvalid", "asIs", "asMissing", NULL};
    const char *name = pmml_required(r, e, "function");
    const char *map = pmml_attribute(e, "mapMissingTo");
    const char *fallback = pmml_attribute(e, "defaultValue");
    struct pmml_function *defined = NULL;
    for (uint32_t i = 0; i < r->function_count && defined == NULL; i++) {
        defined = strcmp(r->functions[i].name, name) == 0 ? &r->functions[i] : NULL;
    }
    if (defined == NULL) {
        read_builtin(r, e, name, expr);
    } else if (map != NULL || fallback != NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED,
                  "has mapMissingTo or defaultValue for a defined function, not supported yet");
    } else {
        read_defined(r, e, defined, expr);
        return;
    }
    expr->invalid_is_missing = pmml_choice(r, e, "invalidValueTreatment", treatments, 0) == 2;
    if (map != NULL && r->err == WEIR_OK) {
        expr->map_missing_to = pmml_value(r, e, expr->type, map);
    }
    if (fallback != NULL && r->err == WEIR_OK) {
        expr->default_value = pmml_value(r, e, expr->type, fallback);
    }
}
