/* How the inputs of a model find their columns, and what a cell is worth. */
#include "base/alloc.h"
#include "base/number.h"
#include "model/core/scorer.h"

static void bind_input(struct weir_scorer *scorer, uint32_t input, int32_t column)
{
    struct model_binding *binding = &scorer->bindings[input];
    binding->column = column;
    if (column >= 0) {
        binding->type = weir_schema_field(scorer->schema, (uint32_t)column)->type;
    }
}

/* A field that may feed input `wanted` of a graph, in the order of field numbers; with no numbers
 * at all (CSV) the order of the header. Returns -1 when they run out. */
static int32_t find_by_position(const struct weir_schema *schema, uint32_t wanted)
{
    uint32_t count = weir_schema_field_count(schema);
    bool numbered = false;
    for (uint32_t i = 0; i < count; i++) {
        numbered |= weir_schema_field(schema, i)->number > 0;
    }
    if (!numbered) {
        return wanted < count ? (int32_t)wanted : -1;
    }
    uint32_t last = 0;
    int32_t best = -1;
    for (uint32_t n = 0; n <= wanted; n++) {
        uint32_t lowest = UINT32_MAX;
        best = -1;
        for (uint32_t i = 0; i < count; i++) {
            const struct weir_field *field = weir_schema_field(schema, i);
            if (field->type != WEIR_STRING && field->number > last && field->number < lowest) {
                lowest = field->number;
                best = (int32_t)i;
            }
        }
        if (best < 0) {
            return -1;
        }
        last = lowest;
    }
    return best;
}

static bool is_direct(const struct weir_scorer *scorer)
{
    bool direct = true;
    for (uint32_t i = 0; i < scorer->model->input_count; i++) {
        const struct model_binding *binding = &scorer->bindings[i];
        direct &= binding->column >= 0 && binding->type == WEIR_DOUBLE &&
                  scorer->model->inputs[i].treatment.plain;
    }
    return direct;
}

enum weir_err model_bind(struct weir_scorer *scorer, struct weir_error *error)
{
    const struct weir_model *model = scorer->model;
    scorer->bindings = weir_calloc(model->input_count, sizeof *scorer->bindings);
    if (scorer->bindings == NULL) {
        return weir_error_set(error, WEIR_NOMEM, -1, "out of memory");
    }
    uint32_t found = 0;
    for (uint32_t i = 0; i < model->input_count; i++) {
        const char *name = model->info.inputs[i].name;
        int32_t column = model->inputs_by_position ? find_by_position(scorer->schema, i)
                                                   : weir_schema_find(scorer->schema, name);
        bind_input(scorer, i, column);
        found += column >= 0;
    }
    if (model->inputs_by_position && found < model->input_count) {
        return weir_error_set(error, WEIR_INVALID, -1,
                              "the model wants %u numeric fields, the schema \"%s\" has %u",
                              model->input_count, weir_schema_name(scorer->schema), found);
    }
    if (found == 0 && model->input_count > 0) {
        return weir_error_set(error, WEIR_INVALID, -1,
                              "the schema \"%s\" has none of the model's %u inputs (\"%.60s\" ...)",
                              weir_schema_name(scorer->schema), model->input_count,
                              model->info.inputs[0].name);
    }
    scorer->direct = is_direct(scorer);
    return WEIR_OK;
}

void model_unbind(struct weir_scorer *scorer)
{
    for (uint32_t i = 0; scorer->bindings != NULL && i < scorer->model->input_count; i++) {
        weir_free(scorer->bindings[i].strings);
    }
    weir_free(scorer->bindings);
    model_symbols_release(&scorer->strings);
}

/* ---- strings --------------------------------------------------------------------------------- */

static struct model_string_value value_of_string(struct weir_scorer *scorer, uint32_t input,
                                                 struct weir_slice text)
{
    const struct model_treatment *t = &scorer->model->inputs[input].treatment;
    struct model_string_value value = {model_missing(), WEIR_OK};
    for (uint32_t i = 0; i < t->missing_text_count; i++) {
        if (weir_slice_equal(t->missing_texts[i], text)) {
            return value;
        }
    }
    if (t->type != MODEL_STRING) {
        if (!model_parse_value(t->type, text, &value.raw)) {
            value.status = WEIR_INVALID_INPUT;
        }
        return value;
    }
    int64_t known = model_symbols_find(&scorer->model->symbols, text);
    uint32_t number = (uint32_t)known;
    if (known < 0) {
        if (model_symbols_add(&scorer->strings, text, &number) != WEIR_OK) {
            value.status = WEIR_NOMEM;
            return value;
        }
        number += scorer->model->symbols.count;
    }
    value.raw = number;
    return value;
}

static bool reserve(struct model_binding *binding, uint32_t count)
{
    if (count <= binding->string_capacity) {
        return true;
    }
    uint32_t capacity = binding->string_capacity > 0 ? binding->string_capacity : 64;
    while (capacity < count) {
        capacity *= 2;
    }
    void *grown = weir_realloc_array(binding->strings, capacity, sizeof *binding->strings);
    if (grown == NULL) {
        return false;
    }
    binding->strings = grown;
    binding->string_capacity = capacity;
    return true;
}

void model_bind_block(struct weir_scorer *scorer, const struct weir_block *block)
{
    for (uint32_t i = 0; i < scorer->model->input_count; i++) {
        struct model_binding *binding = &scorer->bindings[i];
        if (binding->column < 0 || binding->type != WEIR_STRING) {
            continue;
        }
        const struct weir_dictionary *dictionary = block->columns[binding->column].dictionary;
        if (binding->generation != dictionary->generation) {
            binding->generation = dictionary->generation;
            binding->string_count = 0;
        }
        if (!reserve(binding, dictionary->count)) {
            continue; /* what is not in the table is NOMEM for its rows */
        }
        while (binding->string_count < dictionary->count) {
            uint32_t code = binding->string_count;
            struct model_string_value value = value_of_string(scorer, i, dictionary->strings[code]);
            if (value.status == WEIR_NOMEM) {
                break; /* tried again with the next block */
            }
            binding->strings[code] = value;
            binding->string_count++;
        }
    }
}

/* ---- cells ----------------------------------------------------------------------------------- */

/* A number where the model wants a string: its shortest text. Strings that no model knows are all
 * different from every category, so they need no number of their own. */
static double string_of_number(const struct weir_scorer *scorer, double number)
{
    char text[WEIR_NUMBER_TEXT_MAX];
    size_t bytes = weir_format_double(text, number);
    return (double)model_symbols_find(&scorer->model->symbols, weir_slice(text, bytes));
}

enum weir_err model_bind_raw(const struct weir_scorer *scorer, const struct weir_block *block,
                             uint32_t input, uint32_t row, double *raw_out)
{
    const struct model_binding *binding = &scorer->bindings[input];
    *raw_out = model_missing();
    if (binding->column < 0) {
        return WEIR_OK;
    }
    const struct weir_column *column = &block->columns[binding->column];
    if (!weir_column_is_valid(column, row)) {
        return WEIR_OK;
    }
    double number = 0;
    switch (binding->type) {
    case WEIR_DOUBLE:
        number = column->f64[row];
        break;
    case WEIR_FLOAT:
        number = (double)column->f32[row];
        break;
    case WEIR_INT64:
        number = (double)column->i64[row];
        break;
    case WEIR_STRING:
        if (column->code[row] >= binding->string_count) {
            return WEIR_NOMEM;
        }
        *raw_out = binding->strings[column->code[row]].raw;
        return (enum weir_err)binding->strings[column->code[row]].status;
    }
    bool wants_string = scorer->model->inputs[input].treatment.type == MODEL_STRING;
    *raw_out = wants_string ? string_of_number(scorer, number) : number;
    return WEIR_OK;
}

enum weir_err model_bind_value(const struct weir_scorer *scorer, const struct weir_block *block,
                               uint32_t input, uint32_t row, double *value_out)
{
    const struct model_treatment *treatment = &scorer->model->inputs[input].treatment;
    double raw;
    enum weir_err err = model_bind_raw(scorer, block, input, row, &raw);
    if (err == WEIR_OK) {
        return model_treat(treatment, raw, value_out);
    }
    return err == WEIR_INVALID_INPUT ? model_treat_unreadable(treatment, value_out) : err;
}
