/*
 * DataDictionary, MiningSchema and the scopes of names. A derived field is compiled when something
 * first asks for it, so that one that nothing uses is free to need what is not supported.
 */
#include "model/pmml/reader.h"

/* ---- DataDictionary -------------------------------------------------------------------------- */

const char *const pmml_type_names[] = {
    "string",
    "integer",
    "float",
    "double",
    "boolean",
    "date",
    "time",
    "dateTime",
    "timeSeconds",
    "dateDaysSince[0]",
    "dateDaysSince[1960]",
    "dateDaysSince[1970]",
    "dateDaysSince[1980]",
    "dateTimeSecondsSince[0]",
    "dateTimeSecondsSince[1960]",
    "dateTimeSecondsSince[1970]",
    "dateTimeSecondsSince[1980]",
    NULL,
};
static const char *const optype_names[] = {"continuous", "categorical", "ordinal", NULL};

void pmml_read_dictionary(struct pmml_reader *r, const struct pmml_element *dictionary)
{
    uint32_t count = pmml_count(dictionary, "DataField");
    r->fields = pmml_scratch(r, count, sizeof *r->fields);
    for (const struct pmml_element *e = dictionary->first; e != NULL && r->err == WEIR_OK;
         e = e->next) {
        if (!pmml_is(e, "DataField")) {
            if (!pmml_is(e, "Taxonomy")) {
                pmml_unsupported(r, e);
            }
            continue;
        }
        struct pmml_field *field = &r->fields[r->field_count++];
        field->name = pmml_required(r, e, "name");
        field->element = e;
        field->optype =
            (enum model_optype)pmml_choice(r, e, "optype", optype_names, MODEL_CATEGORICAL);
        /* A type that is not supported is refused when the field is used. */
        const char *type = pmml_attribute(e, "dataType");
        field->type = MODEL_STRING;
        for (uint32_t i = 0; type != NULL && pmml_type_names[i] != NULL; i++) {
            if (strcmp(pmml_type_names[i], type) == 0) {
                field->type = (enum model_type)i;
            }
        }
    }
}

const struct pmml_field *pmml_find_field(const struct pmml_reader *r, const char *name)
{
    for (uint32_t i = 0; i < r->field_count; i++) {
        if (strcmp(r->fields[i].name, name) == 0) {
            return &r->fields[i];
        }
    }
    return NULL;
}

static bool has_property(const struct pmml_element *value, const char *property)
{
    const char *given = pmml_attribute(value, "property");
    return pmml_is(value, "Value") && strcmp(given != NULL ? given : "valid", property) == 0;
}

uint32_t pmml_declared_labels(struct pmml_reader *r, const struct pmml_element *data_field,
                              const struct weir_slice **labels_out)
{
    struct weir_slice *labels = pmml_scratch(r, data_field->child_count, sizeof *labels);
    uint32_t count = 0;
    for (const struct pmml_element *e = data_field->first; e != NULL && labels != NULL;
         e = e->next) {
        if (has_property(e, "valid")) {
            labels[count++] = pmml_slice(pmml_required(r, e, "value"));
        }
    }
    *labels_out = labels;
    return count;
}

/* ---- treatment ------------------------------------------------------------------------------- */

/* Values of a DataField with a property, as values of its type. */
static uint32_t read_values(struct pmml_reader *r, const struct pmml_element *field,
                            enum model_type type, const char *property, const double **out)
{
    double *values = model_alloc(&r->b, field->child_count, sizeof *values);
    uint32_t count = 0;
    for (const struct pmml_element *e = field->first; e != NULL && values != NULL; e = e->next) {
        if (!has_property(e, property)) {
            continue;
        }
        const char *text = pmml_required(r, e, "value");
        double value;
        bool readable = model_builder_value(&r->b, type, pmml_slice(text), &value);
        if (readable) {
            values[count++] = value;
        } else if (strcmp(property, "valid") == 0) {
            pmml_fail(r, e, WEIR_INVALID, "has value=\"%.60s\", which is not of the field's type",
                      text);
        }
    }
    *out = values;
    return count;
}

static void read_missing_texts(struct pmml_reader *r, const struct pmml_element *field,
                               struct model_treatment *t)
{
    struct weir_slice *texts = model_alloc(&r->b, field->child_count, sizeof *texts);
    uint32_t count = 0;
    for (const struct pmml_element *e = field->first; e != NULL && texts != NULL; e = e->next) {
        if (has_property(e, "missing")) {
            struct weir_slice text = pmml_slice(pmml_required(r, e, "value"));
            char *kept = model_copy_text(&r->b, text);
            if (kept != NULL) {
                texts[count++] = weir_slice(kept, text.bytes);
            }
        }
    }
    t->missing_texts = texts;
    t->missing_text_count = count;
}

struct model_interval pmml_interval(struct pmml_reader *r, const struct pmml_element *e)
{
    static const char *const closures[] = {"openOpen", "openClosed", "closedOpen", "closedClosed",
                                           NULL};
    pmml_required(r, e, "closure");
    uint32_t closure = pmml_choice(r, e, "closure", closures, 0);
    return (struct model_interval){
        .low = pmml_number(r, e, "leftMargin", -INFINITY),
        .high = pmml_number(r, e, "rightMargin", INFINITY),
        .low_closed = (closure & 2) != 0,
        .high_closed = (closure & 1) != 0,
    };
}

static void read_intervals(struct pmml_reader *r, const struct pmml_element *field,
                           struct model_treatment *t)
{
    struct model_interval *intervals =
        model_alloc(&r->b, pmml_count(field, "Interval"), sizeof *intervals);
    t->intervals = intervals;
    for (const struct pmml_element *e = field->first; e != NULL && intervals != NULL; e = e->next) {
        if (!pmml_is(e, "Interval")) {
            continue;
        }
        intervals[t->interval_count++] = pmml_interval(r, e);
    }
}

static void read_outliers(struct pmml_reader *r, const struct pmml_element *mining,
                          struct model_treatment *t)
{
    static const char *const names[] = {"asIs", "asMissingValues", "asExtremeValues", NULL};
    t->outliers = (enum model_outliers)pmml_choice(r, mining, "outliers", names, 0);
    t->low = pmml_number(r, mining, "lowValue", -INFINITY);
    t->high = pmml_number(r, mining, "highValue", INFINITY);
    if (t->outliers != MODEL_OUTLIERS_AS_IS && isinf(t->low) && isinf(t->high)) {
        pmml_fail(r, mining, WEIR_INVALID, "treats outliers but has no lowValue or highValue");
    }
}

/* What the MiningField says; its DataField's values and intervals are the caller's. */
static void read_mining_field(struct pmml_reader *r, const struct pmml_element *mining,
                              struct model_treatment *t)
{
    static const char *const invalids[] = {"returnInvalid", "asIs", "asMissing", "asValue", NULL};
    static const char *const missings[] = {"asIs",    "asMean",        "asMode", "asMedian",
                                           "asValue", "returnInvalid", NULL};
    t->invalid = (enum model_invalid)pmml_choice(r, mining, "invalidValueTreatment", invalids, 0);
    const char *text = pmml_attribute(mining, "invalidValueReplacement");
    if (text != NULL) {
        t->invalid_replacement = pmml_value(r, mining, t->type, text);
        if (t->invalid == MODEL_INVALID_AS_IS) {
            t->invalid = MODEL_INVALID_AS_VALUE; /* how 4.3 and older wrote it */
        }
    } else if (t->invalid == MODEL_INVALID_AS_VALUE) {
        pmml_fail(r, mining, WEIR_INVALID, "needs an attribute invalidValueReplacement");
    }
    t->missing_is_invalid = pmml_choice(r, mining, "missingValueTreatment", missings, 0) == 5;
    text = pmml_attribute(mining, "missingValueReplacement");
    t->missing_replacement = text != NULL ? pmml_value(r, mining, t->type, text) : model_missing();
    read_outliers(r, mining, t);
}

static void read_domain(struct pmml_reader *r, const struct pmml_field *field,
                        struct model_treatment *t)
{
    const struct pmml_element *e = field->element;
    t->valid_count = read_values(r, e, field->type, "valid", &t->valid_values);
    t->invalid_count = read_values(r, e, field->type, "invalid", &t->invalid_values);
    t->missing_count = read_values(r, e, field->type, "missing", &t->missing_values);
    read_missing_texts(r, e, t);
    read_intervals(r, e, t);
}

static bool is_plain(const struct model_treatment *t)
{
    return t->type == MODEL_DOUBLE && t->valid_count == 0 && t->invalid_count == 0 &&
           t->missing_count == 0 && t->interval_count == 0 && t->outliers == MODEL_OUTLIERS_AS_IS;
}

static bool is_usage(const struct pmml_element *mining, const char *usage)
{
    const char *given = pmml_attribute(mining, "usageType");
    return strcmp(given != NULL ? given : "active", usage) == 0;
}

const struct pmml_element *pmml_find_target(const struct pmml_element *schema)
{
    for (const struct pmml_element *e = schema->first; e != NULL; e = e->next) {
        if (pmml_is(e, "MiningField") && (is_usage(e, "target") || is_usage(e, "predicted"))) {
            return e;
        }
    }
    return NULL;
}

static void add_input(struct pmml_reader *r, const struct pmml_element *mining)
{
    const char *name = pmml_required(r, mining, "name");
    const struct pmml_field *field = pmml_find_field(r, name);
    if (field == NULL) {
        pmml_fail(r, mining, WEIR_INVALID, "names \"%.60s\", which is no DataField", name);
        return;
    }
    pmml_choice(r, field->element, "dataType", pmml_type_names, 0);
    struct model_treatment treatment = {.type = field->type};
    read_domain(r, field, &treatment);
    read_mining_field(r, mining, &treatment);
    treatment.plain = is_plain(&treatment);
    struct model_slot slot = {
        .name = name,
        .type = field->type,
        .optype = (enum model_optype)pmml_choice(r, mining, "optype", optype_names, field->optype),
        .value_count = treatment.valid_count,
        .values = treatment.valid_values,
    };
    pmml_scope_add(r, name, model_builder_input(&r->b, &slot, &treatment));
    pmml_ok(r, mining);
}

uint32_t pmml_read_observed(struct pmml_reader *r, const struct pmml_element *mining)
{
    const char *name = pmml_required(r, mining, "name");
    const struct pmml_field *field = pmml_find_field(r, name);
    if (field == NULL) {
        pmml_fail(r, mining, WEIR_INVALID, "names \"%.60s\", which is no DataField", name);
        return 0;
    }
    struct model_treatment treatment = {
        .type = field->type,
        .invalid = MODEL_INVALID_AS_MISSING,
        .low = -INFINITY,
        .high = INFINITY,
        .missing_replacement = model_missing(),
    };
    read_domain(r, field, &treatment);
    struct model_slot slot = {.name = name, .type = field->type, .optype = field->optype};
    return model_builder_input(&r->b, &slot, &treatment);
}

void pmml_read_schema_top(struct pmml_reader *r, const struct pmml_element *schema)
{
    bool takes_group = pmml_is(schema->parent, "AssociationModel");
    for (const struct pmml_element *e = schema->first; e != NULL && r->err == WEIR_OK;
         e = e->next) {
        if (!pmml_is(e, "MiningField")) {
            pmml_unsupported(r, e);
        } else if (is_usage(e, "active") || (is_usage(e, "group") && takes_group)) {
            add_input(r, e);
        } else if (is_usage(e, "group") || is_usage(e, "order")) {
            pmml_fail(r, e, WEIR_UNSUPPORTED, "has usageType=\"%s\", which is not supported yet",
                      pmml_attribute(e, "usageType"));
        }
    }
}

static bool has_treatment(const struct pmml_element *mining)
{
    return pmml_attribute(mining, "missingValueReplacement") != NULL ||
           pmml_attribute(mining, "missingValueTreatment") != NULL ||
           pmml_attribute(mining, "outliers") != NULL;
}

/*
 * A segment's MiningField treats the value that its parent made. Validity was settled there: only
 * missing values and outliers are treated again.
 */
static void treat_again(struct pmml_reader *r, const struct pmml_element *mining)
{
    const char *name = pmml_required(r, mining, "name");
    uint32_t from = pmml_slot(r, mining, name);
    struct model_treatment *treatment = model_alloc(&r->b, 1, sizeof *treatment);
    struct model_expr *expr = model_alloc(&r->b, 1, sizeof *expr);
    if (!pmml_ok(r, mining)) {
        return;
    }
    struct model_slot slot = *pmml_slot_info(r, from);
    treatment->type = slot.type;
    read_mining_field(r, mining, treatment);
    treatment->invalid = MODEL_INVALID_AS_IS;
    *expr = (struct model_expr){.kind = MODEL_EXPR_TREAT, .slot = from, .treatment = treatment};
    slot.expr = expr;
    slot.named = false;
    pmml_scope_add(r, name, model_builder_slot(&r->b, &slot));
    pmml_ok(r, mining);
}

void pmml_read_schema_segment(struct pmml_reader *r, const struct pmml_element *schema)
{
    for (const struct pmml_element *e = schema->first; e != NULL && r->err == WEIR_OK;
         e = e->next) {
        if (pmml_is(e, "MiningField") && is_usage(e, "active") && has_treatment(e)) {
            treat_again(r, e);
        }
    }
}

/* ---- scopes ---------------------------------------------------------------------------------- */

static uint32_t bucket_of(const char *name)
{
    uint32_t hash = 2166136261U; /* FNV-1a */
    for (; *name != '\0'; name++) {
        hash = (hash ^ (uint8_t)*name) * 16777619U;
    }
    return hash % PMML_SCOPE_BUCKETS;
}

void pmml_scope_open(struct pmml_reader *r, struct pmml_scope *scope)
{
    *scope = (struct pmml_scope){.parent = r->scope};
    r->scope = scope;
}

void pmml_scope_close(struct pmml_reader *r)
{
    r->scope = r->scope->parent;
}

static struct pmml_name *add_name(struct pmml_reader *r, struct pmml_scope *scope, const char *name)
{
    struct pmml_name *entry = pmml_scratch(r, 1, sizeof *entry);
    if (entry != NULL) {
        struct pmml_name **bucket = &scope->buckets[bucket_of(name)];
        entry->name = name;
        entry->next = *bucket;
        *bucket = entry;
    }
    return entry;
}

void pmml_scope_add(struct pmml_reader *r, const char *name, uint32_t slot)
{
    struct pmml_name *entry = add_name(r, r->scope, name);
    if (entry != NULL) {
        entry->slot = slot;
    }
}

void pmml_scope_add_derived(struct pmml_reader *r, const struct pmml_element *transformations)
{
    for (const struct pmml_element *e = transformations->first; e != NULL && r->err == WEIR_OK;
         e = e->next) {
        if (pmml_is(e, "DerivedField")) {
            struct pmml_name *entry = add_name(r, r->scope, pmml_required(r, e, "name"));
            if (entry != NULL) {
                entry->derived = e;
            }
        }
    }
}

/* Compiles a derived field in the scope that it was written in. */
static void compile_derived(struct pmml_reader *r, struct pmml_name *entry,
                            struct pmml_scope *scope)
{
    const struct pmml_element *e = entry->derived;
    if (entry->compiling) {
        pmml_fail(r, e, WEIR_INVALID, "\"%.60s\" is defined by itself", entry->name);
        return;
    }
    if (r->derivation_depth == MODEL_SLOT_DEPTH_MAX) {
        pmml_fail(r, e, WEIR_LIMIT, "is derived through too many other fields");
        return;
    }
    r->derivation_depth++;
    entry->compiling = true;
    struct pmml_scope *outer = r->scope;
    r->scope = scope;
    struct model_expr *expr = model_alloc(&r->b, 1, sizeof *expr);
    struct model_slot slot = {.name = entry->name, .expr = expr, .named = true};
    slot.type = (enum model_type)pmml_choice(r, e, "dataType", pmml_type_names, MODEL_DOUBLE);
    slot.optype = (enum model_optype)pmml_choice(r, e, "optype", optype_names, MODEL_CONTINUOUS);
    if (pmml_ok(r, e)) {
        pmml_read_derivation(r, e, slot.type, expr);
    }
    slot.value_count = read_values(r, e, slot.type, "valid", &slot.values);
    if (pmml_ok(r, e)) {
        entry->slot = model_builder_slot(&r->b, &slot);
    }
    r->scope = outer;
    r->derivation_depth--;
    entry->compiling = false;
    entry->derived = NULL;
    pmml_ok(r, e);
}

uint32_t pmml_slot(struct pmml_reader *r, const struct pmml_element *element, const char *name)
{
    uint32_t bucket = bucket_of(name);
    for (struct pmml_scope *scope = r->scope; scope != NULL; scope = scope->parent) {
        for (struct pmml_name *entry = scope->buckets[bucket]; entry != NULL; entry = entry->next) {
            if (strcmp(entry->name, name) != 0) {
                continue;
            }
            /* While it is compiled, a derived field's own name means the one it shadows. */
            if (entry->compiling && scope->parent != NULL) {
                continue;
            }
            if (entry->derived != NULL) {
                compile_derived(r, entry, scope);
            }
            return entry->slot;
        }
    }
    pmml_fail(r, element, WEIR_INVALID, "refers to \"%.60s\", which is no field of the model",
              name);
    return 0;
}

bool pmml_in_scope(const struct pmml_reader *r, const char *name)
{
    uint32_t bucket = bucket_of(name);
    for (struct pmml_scope *scope = r->scope; scope != NULL; scope = scope->parent) {
        for (struct pmml_name *entry = scope->buckets[bucket]; entry != NULL; entry = entry->next) {
            if (strcmp(entry->name, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

const struct model_slot *pmml_slot_info(const struct pmml_reader *r, uint32_t slot)
{
    return &r->b.slots[slot];
}
