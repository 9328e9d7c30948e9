/*
 * ModelVerification: the rows that a model brings along are scored when it is loaded. Source: PMML
 * 4.4, "Model Verification". Compared are the columns of Output fields; where there are none, the
 * target's, which next to them may well hold what was observed. A cell that is absent or empty says
 * nothing.
 */
#include "model/pmml/reader.h"

#include <stdio.h>

enum { ROWS = 256, ROWS_MAX = 100000 };

/* A VerificationField. */
struct verified {
    const char *column;
    int32_t output; /* of the output block, or -1: an input */
    double precision, zero;
};

struct verification {
    struct weir_schema *schema; /* of the fields: all strings */
    struct weir_block *block;
    struct weir_scorer *scorer;
    const struct pmml_element *rows[ROWS]; /* of the block */
    uint32_t count;
    struct verified *fields;
};

/* An OutputField may have the name of the target, whose column it then is. */
static bool is_output_field(const struct pmml_element *model, const char *name)
{
    const struct pmml_element *output = pmml_child(model, "Output");
    for (const struct pmml_element *e = output != NULL ? output->first : NULL; e != NULL;
         e = e->next) {
        const char *given = pmml_attribute(e, "name");
        if (given != NULL && strcmp(given, name) == 0) {
            return true;
        }
    }
    return false;
}

static int32_t output_of(const struct pmml_element *model, const struct weir_model_info *info,
                         const char *name)
{
    if (strcmp(info->outputs[0].name, name) == 0 && is_output_field(model, name)) {
        return 0;
    }
    for (uint32_t i = 1; i < info->output_count; i++) {
        if (strcmp(info->outputs[i].name, name) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

static void read_fields(struct pmml_reader *r, const struct pmml_element *e,
                        const struct weir_model_info *info, struct verification *v)
{
    uint32_t capacity = e->child_count;
    struct weir_field *columns = pmml_scratch(r, capacity, sizeof *columns);
    v->fields = pmml_scratch(r, capacity, sizeof *v->fields);
    uint32_t count = 0;
    int32_t target = -1;
    bool compares_outputs = false;
    for (const struct pmml_element *f = e->first; f != NULL && pmml_ok(r, f); f = f->next) {
        if (!pmml_is(f, "VerificationField")) {
            pmml_unsupported(r, f);
            return;
        }
        const char *name = pmml_required(r, f, "field");
        const char *column = pmml_attribute(f, "column");
        v->fields[count] = (struct verified){
            .column = column != NULL ? column : name,
            .output = output_of(e->parent->parent, info, name),
            .precision = pmml_number(r, f, "precision", 1e-6),
            .zero = pmml_number(r, f, "zeroThreshold", 1e-16),
        };
        compares_outputs |= v->fields[count].output >= 0;
        target = strcmp(name, info->outputs[0].name) == 0 ? (int32_t)count : target;
        columns[count++] = (struct weir_field){.name = name, .type = WEIR_STRING};
    }
    if (target >= 0 && !compares_outputs) {
        v->fields[target].output = 0;
    } else if (r->err == WEIR_OK && !compares_outputs) {
        pmml_fail(r, e, WEIR_INVALID, "names neither an OutputField nor the target");
    }
    struct weir_error error = {.code = WEIR_OK};
    if (r->err == WEIR_OK &&
        weir_schema_new("verification", columns, count, &v->schema, &error) != WEIR_OK) {
        pmml_fail(r, e, error.code, "can't be verified: %s", error.message);
    }
}

/* A cell of the output as text. */
struct given {
    struct weir_slice text;
    char number[40];
};

/* True: what was scored is what the cell says. Numbers near 0 are equal, others within a share. */
static bool is_expected(const struct verified *field, struct weir_slice cell,
                        const struct weir_block *out, uint32_t row, struct given *given)
{
    const struct weir_column *column = &out->columns[field->output];
    bool is_string = column->type == WEIR_STRING;
    given->text = pmml_slice("no result");
    if (!weir_column_is_valid(column, row)) {
        return false;
    }
    double value = 0;
    if (is_string) {
        given->text = weir_block_string(out, (uint32_t)field->output, row);
    } else {
        snprintf(given->number, sizeof given->number, "%.17g", column->f64[row]);
        given->text = pmml_slice(given->number);
    }
    double expected;
    if (weir_slice_equal(cell, given->text)) {
        return true;
    }
    enum model_type type = is_string && model_parse_value(MODEL_BOOLEAN, given->text, &value)
                               ? MODEL_BOOLEAN
                               : MODEL_DOUBLE;
    if (!model_parse_value(type, cell, &expected) ||
        !model_parse_value(type, given->text, &value)) {
        return false;
    }
    bool is_zero = fabs(expected) <= field->zero && fabs(value) <= field->zero;
    return is_zero || fabs(value - expected) <= field->precision * fabs(expected);
}

/* Scores the rows that have been gathered. */
static void compare(struct pmml_reader *r, struct verification *v, uint32_t first)
{
    uint32_t count = weir_schema_field_count(v->schema);
    weir_scorer_score(v->scorer, v->block, NULL, 0);
    const struct weir_block *out = weir_scorer_output(v->scorer);
    for (uint32_t i = 0; i < v->count && r->err == WEIR_OK; i++) {
        for (uint32_t f = 0; f < count && r->err == WEIR_OK; f++) {
            const struct verified *field = &v->fields[f];
            if (field->output < 0) {
                continue;
            }
            struct weir_slice cell = pmml_cell_text(r, v->rows[i], field->column);
            struct given given;
            if (cell.data != NULL && !is_expected(field, cell, out, i, &given)) {
                int bytes = given.text.bytes < 40 ? (int)given.text.bytes : 40;
                pmml_fail(r, v->rows[i], WEIR_INVALID,
                          "%u of ModelVerification: \"%.60s\" should be %.40s and is %.*s",
                          first + i + 1, weir_schema_field(v->schema, f)->name,
                          (const char *)cell.data, bytes, (const char *)given.text.data);
            }
        }
    }
}

static void fill(struct pmml_reader *r, struct verification *v)
{
    enum weir_err err = weir_block_reset(v->block, v->count);
    for (uint32_t i = 0; i < v->count && err == WEIR_OK; i++) {
        for (uint32_t f = 0; f < weir_schema_field_count(v->schema) && err == WEIR_OK; f++) {
            struct weir_slice cell = pmml_cell_text(r, v->rows[i], v->fields[f].column);
            if (cell.data != NULL && v->fields[f].output < 0) {
                err = weir_block_set_string(v->block, f, i, cell);
            }
        }
    }
    if (err != WEIR_OK) {
        pmml_fail(r, v->rows[0], err, "of ModelVerification can't be scored: %s",
                  weir_err_text(err));
    }
}

static void verify_rows(struct pmml_reader *r, const struct pmml_element *table,
                        struct verification *v)
{
    uint32_t done = 0;
    for (const struct pmml_element *e = table->first; e != NULL && r->err == WEIR_OK; e = e->next) {
        if (pmml_is(e, "row")) {
            v->rows[v->count++] = e;
        }
        if (v->count == ROWS || (e->next == NULL && v->count > 0)) {
            fill(r, v);
            if (r->err == WEIR_OK) {
                compare(r, v, done);
            }
            done += v->count;
            v->count = 0;
        }
    }
}

void pmml_verify(struct pmml_reader *r, const struct pmml_element *e, struct weir_model *model)
{
    const struct pmml_element *fields = pmml_child(e, "VerificationFields");
    const struct pmml_element *table = pmml_child(e, "InlineTable");
    struct verification v = {.schema = NULL};
    struct weir_error error = {.code = WEIR_OK};
    if (fields == NULL || table == NULL) {
        pmml_fail(r, e, WEIR_INVALID, "needs VerificationFields and an InlineTable");
        return;
    }
    if (table->child_count > ROWS_MAX) {
        pmml_fail(r, e, WEIR_LIMIT, "has more than %d rows", ROWS_MAX);
    } else {
        read_fields(r, fields, weir_model_info(model), &v);
    }
    if (r->err == WEIR_OK && (weir_scorer_new(model, v.schema, ROWS, WEIR_SCORER_OUTPUTS, &v.scorer,
                                              &error) != WEIR_OK ||
                              weir_block_new(v.schema, ROWS, &v.block) != WEIR_OK)) {
        pmml_fail(r, e, error.code != WEIR_OK ? error.code : WEIR_NOMEM, "can't be scored: %s",
                  error.code != WEIR_OK ? error.message : "out of memory");
    }
    if (r->err == WEIR_OK) {
        verify_rows(r, table, &v);
    }
    weir_block_free(v.block);
    weir_scorer_free(v.scorer);
    weir_schema_unref(v.schema);
}
