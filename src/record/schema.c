/* record/schema.c - the names and types of a record's fields. */
#include <weir/record.h>

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct weir_schema {
    atomic_uint references;
    uint32_t field_count;
    char *name;
    struct weir_field *fields; /* names point into this same allocation */
};

/* The characters that users write one for the other in field names are the same to us. */
static char fold(char c)
{
    return c == ' ' || c == '-' || c == '.' ? '_' : c;
}

static bool same_name(const char *a, const char *b)
{
    while (*a && fold(*a) == fold(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

static enum weir_err check_fields(const struct weir_field *fields, uint32_t count,
                                  struct weir_error *error)
{
    if (count == 0 || count > WEIR_FIELDS_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "a schema has 1 to %d fields, this one %u",
                              WEIR_FIELDS_MAX, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = fields[i].name;
        if (!name || !*name)
            return weir_error_set(error, WEIR_INVALID, i, "field %u has no name", i + 1);
        if (strlen(name) > WEIR_NAME_BYTES_MAX)
            return weir_error_set(error, WEIR_LIMIT, i, "the name of field %u is over %d bytes",
                                  i + 1, WEIR_NAME_BYTES_MAX);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(fields[j].name, name) == 0)
                return weir_error_set(error, WEIR_INVALID, i, "the field \"%s\" is there twice",
                                      name);
    }
    return WEIR_OK;
}

enum weir_err weir_schema_new(const char *name, const struct weir_field *fields,
                              uint32_t field_count, struct weir_schema **schema_out,
                              struct weir_error *error)
{
    enum weir_err err = check_fields(fields, field_count, error);
    if (err != WEIR_OK)
        return err;
    size_t text = strlen(name) + 1;
    for (uint32_t i = 0; i < field_count; i++)
        text += strlen(fields[i].name) + 1;
    struct weir_schema *schema = weir_alloc(sizeof *schema + field_count * sizeof *fields + text);
    if (!schema)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a schema");
    schema->fields = (struct weir_field *)(schema + 1);
    schema->field_count = field_count;
    atomic_init(&schema->references, 1);
    char *at = (char *)(schema->fields + field_count);
    schema->name = at;
    at = stpcpy(at, name) + 1;
    for (uint32_t i = 0; i < field_count; i++) {
        schema->fields[i] = fields[i];
        schema->fields[i].name = at;
        at = stpcpy(at, fields[i].name) + 1;
    }
    *schema_out = schema;
    return WEIR_OK;
}

struct weir_schema *weir_schema_ref(struct weir_schema *schema)
{
    atomic_fetch_add_explicit(&schema->references, 1, memory_order_relaxed);
    return schema;
}

void weir_schema_unref(struct weir_schema *schema)
{
    if (schema && atomic_fetch_sub_explicit(&schema->references, 1, memory_order_acq_rel) == 1)
        weir_free(schema);
}

const char *weir_schema_name(const struct weir_schema *schema)
{
    return schema->name;
}

uint32_t weir_schema_field_count(const struct weir_schema *schema)
{
    return schema->field_count;
}

const struct weir_field *weir_schema_field(const struct weir_schema *schema, uint32_t index)
{
    weir_assert(index < schema->field_count);
    return &schema->fields[index];
}

int32_t weir_schema_find(const struct weir_schema *schema, const char *name)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (strcmp(schema->fields[i].name, name) == 0)
            return (int32_t)i;
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (same_name(schema->fields[i].name, name))
            return (int32_t)i;
    return -1;
}

enum weir_err weir_schema_wine(struct weir_schema **schema_out)
{
    static const struct weir_field fields[] = {
        {"fixed_acidity", WEIR_DOUBLE, 1},
        {"volatile_acidity", WEIR_DOUBLE, 2},
        {"citric_acid", WEIR_DOUBLE, 3},
        {"residual_sugar", WEIR_DOUBLE, 4},
        {"chlorides", WEIR_DOUBLE, 5},
        {"free_sulfur_dioxide", WEIR_DOUBLE, 6},
        {"total_sulfur_dioxide", WEIR_DOUBLE, 7},
        {"density", WEIR_DOUBLE, 8},
        {"pH", WEIR_DOUBLE, 9},
        {"sulphates", WEIR_DOUBLE, 10},
        {"alcohol", WEIR_DOUBLE, 11},
        {"dataType", WEIR_STRING, 12},
        {"ts", WEIR_INT64, 13},
    };
    return weir_schema_new("WineRecord", fields, WEIR_ARRAY_COUNT(fields), schema_out, NULL);
}
