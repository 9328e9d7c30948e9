#include "model/core/scorer.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "model/core/function.h"

enum { MISSING_NAMED_MAX = 5 };

/* ---- making ---------------------------------------------------------------------------------- */

/* What a plan gives is the class, the number and the probabilities. */
static bool plan_gives_outputs(const struct weir_model *model)
{
    const struct model_element *root = model->root;
    for (uint32_t i = 0; i < root->output_count; i++) {
        enum model_feature feature = root->outputs[i].feature;
        if (feature != MODEL_FEATURE_PREDICTED_VALUE && feature != MODEL_FEATURE_PROBABILITY) {
            return false;
        }
    }
    return true;
}

static void *take(struct weir_scorer *scorer, size_t count, size_t bytes, enum weir_err *err)
{
    (void)scorer;
    size_t total;
    void *memory = NULL;
    if (*err == WEIR_OK && !__builtin_mul_overflow(count, bytes, &total)) {
        memory = weir_alloc_aligned(64, total > 0 ? total : 64);
        if (memory != NULL) {
            memset(memory, 0, total);
        }
    }
    if (memory == NULL) {
        *err = WEIR_NOMEM;
    }
    return memory;
}

static enum weir_err take_plan(struct weir_scorer *s)
{
    const struct weir_model *model = s->model;
    bool outputs = (s->flags & WEIR_SCORER_OUTPUTS) != 0;
    enum weir_err err = WEIR_OK;
    if (model->plan == NULL || (s->flags & WEIR_SCORER_DETAILS) != 0 ||
        (outputs && !plan_gives_outputs(model))) {
        return WEIR_OK;
    }
    enum model_isa isa =
        (s->flags & WEIR_SCORER_PORTABLE) != 0 ? MODEL_ISA_PORTABLE : model_isa_detect();
    s->plan = model->plan;
    s->run = model->plan->run[isa];
    s->scan = model_scan_for(isa);
    s->columns = take(s, model->input_count, sizeof *s->columns, &err);
    s->cells = take(s, model->input_count, sizeof *s->cells, &err);
    s->numbers = take(s, MODEL_TILE, sizeof *s->numbers, &err);
    s->classes = take(s, MODEL_TILE, sizeof *s->classes, &err);
    s->scratch = take(s, 1, model->plan->scratch_bytes, &err);
    s->tiles = take(s, (size_t)model->input_count * MODEL_TILE, sizeof *s->tiles, &err);
    s->direct_columns = take(s, model->input_count, sizeof *s->direct_columns, &err);
    for (uint32_t i = 0; s->direct && err == WEIR_OK && i < model->input_count; i++) {
        s->direct_columns[i] = (uint32_t)s->bindings[i].column;
    }
    s->one = s->direct && !outputs;
    uint32_t class_count = model->info.class_count;
    if (outputs && class_count > 0) {
        s->probability_cells = take(s, (size_t)class_count * MODEL_TILE, sizeof(double), &err);
        s->probabilities = take(s, class_count, sizeof *s->probabilities, &err);
        for (uint32_t c = 0; c < class_count && err == WEIR_OK; c++) {
            s->probabilities[c] = s->probability_cells + (size_t)c * MODEL_TILE;
        }
    }
    return err;
}

static enum weir_err take_row(struct weir_scorer *s)
{
    enum weir_err err = WEIR_OK;
    s->row.model = s->model;
    s->row.values = take(s, s->model->slot_count, sizeof *s->row.values, &err);
    s->row.computed = take(s, s->model->slot_count, sizeof *s->row.computed, &err);
    s->row.work = take(s, s->model->work_count, sizeof *s->row.work, &err);
    s->row.strings = &s->strings;
    if (s->model->makes_strings) {
        s->row.text = take(s, MODEL_TEXT_MAX, 1, &err);
    }
    return err;
}

static enum weir_err take_details(struct weir_scorer *s)
{
    if ((s->flags & WEIR_SCORER_DETAILS) == 0) {
        return WEIR_OK;
    }
    struct model_detail_store *d = &s->details;
    const struct weir_model *model = s->model;
    enum weir_err err = WEIR_OK;
    d->entity_ids = take(s, s->rows_max, sizeof *d->entity_ids, &err);
    d->has = take(s, s->rows_max, 1, &err);
    size_t cells = (size_t)s->rows_max * model->info.class_count;
    d->probabilities = take(s, cells, sizeof *d->probabilities, &err);
    d->confidences = take(s, cells, sizeof *d->confidences, &err);
    d->affinities = take(s, cells, sizeof *d->affinities, &err);
    d->derived_slots = take(s, model->slot_count, sizeof *d->derived_slots, &err);
    d->derived = take(s, model->slot_count, sizeof *d->derived, &err);
    for (uint32_t i = 0; i < model->slot_count && err == WEIR_OK; i++) {
        if (model->slots[i].named) {
            d->derived_slots[d->derived_count] = i;
            d->derived[d->derived_count++] = (struct weir_field){
                .name = model->slots[i].name,
                .type = model->slots[i].type == MODEL_STRING ? WEIR_STRING : WEIR_DOUBLE};
        }
    }
    d->cells = take(s, (size_t)s->rows_max * d->derived_count, sizeof *d->cells, &err);
    return err;
}

/* Columns of classes get their labels as the first codes: code = class index from then on. */
static enum weir_err seed_classes(struct weir_scorer *s, uint32_t column)
{
    enum weir_err err = weir_block_reset(s->output, 1);
    for (uint32_t c = 0; c < s->model->info.class_count && err == WEIR_OK; c++) {
        err = weir_block_set_string(s->output, column, 0, s->model->info.classes[c]);
        weir_assert(err != WEIR_OK || s->output->columns[column].code[0] == c);
    }
    return err;
}

static bool is_class_output(const struct weir_model *model, uint32_t index)
{
    const struct model_element *root = model->root;
    return index < root->output_count && root->classes != NULL &&
           root->outputs[index].feature == MODEL_FEATURE_PREDICTED_VALUE;
}

static enum weir_err take_output(struct weir_scorer *s, struct weir_error *error)
{
    const struct weir_model_info *info = &s->model->info;
    bool outputs = (s->flags & WEIR_SCORER_OUTPUTS) != 0;
    enum weir_err err = weir_schema_new("scores", info->outputs, outputs ? info->output_count : 1,
                                        &s->output_schema, error);
    if (err != WEIR_OK) {
        return err;
    }
    err = weir_block_new(s->output_schema, s->rows_max, &s->output);
    if (err == WEIR_OK && s->model->root->classes != NULL && !s->model->result_is_index) {
        err = seed_classes(s, 0);
    }
    for (uint32_t i = 0; outputs && i < s->model->root->output_count && err == WEIR_OK; i++) {
        if (is_class_output(s->model, i)) {
            err = seed_classes(s, i + 1);
        }
    }
    return err == WEIR_OK ? weir_block_reset(s->output, 0) : err;
}

enum weir_err weir_scorer_new(struct weir_model *model, struct weir_schema *schema,
                              uint32_t rows_max, unsigned flags, struct weir_scorer **scorer_out,
                              struct weir_error *error)
{
    struct weir_scorer *s = weir_calloc(1, sizeof *s);
    if (s == NULL) {
        return weir_error_set(error, WEIR_NOMEM, -1, "out of memory");
    }
    s->model = weir_model_ref(model);
    s->schema = weir_schema_ref(schema);
    s->rows_max = rows_max > 0 ? rows_max : 1;
    s->flags = flags;
    enum weir_err err = model_bind(s, error);
    if (err == WEIR_OK) {
        err = take_output(s, error);
        err = err == WEIR_OK ? take_plan(s) : err;
        err = err == WEIR_OK ? take_row(s) : err;
        err = err == WEIR_OK ? take_details(s) : err;
        if (err != WEIR_OK) {
            weir_error_set(error, err, -1, "can't make a scorer for %u rows: %s", rows_max,
                           weir_err_text(err));
        }
    }
    if (err != WEIR_OK) {
        weir_scorer_free(s);
        return err;
    }
    *scorer_out = s;
    return WEIR_OK;
}

void weir_scorer_free(struct weir_scorer *s)
{
    if (s == NULL) {
        return;
    }
    model_unbind(s);
    weir_block_free(s->output);
    weir_schema_unref(s->output_schema);
    weir_schema_unref(s->schema);
    weir_free(s->row.values);
    weir_free(s->row.computed);
    weir_free(s->row.work);
    weir_free(s->row.text);
    weir_free(s->details.entity_ids);
    weir_free(s->details.has);
    weir_free(s->details.probabilities);
    weir_free(s->details.confidences);
    weir_free(s->details.affinities);
    weir_free(s->details.derived_slots);
    weir_free(s->details.derived);
    weir_free(s->details.cells);
    weir_free(s->direct_columns);
    weir_free(s->columns);
    weir_free(s->cells);
    weir_free(s->tiles);
    weir_free(s->numbers);
    weir_free(s->classes);
    weir_free(s->probabilities);
    weir_free(s->probability_cells);
    weir_free(s->scratch);
    weir_model_unref(s->model);
    weir_free(s);
}

/* ---- writing results ------------------------------------------------------------------------- */

static void set_valid(struct weir_column *column, uint32_t row, bool valid)
{
    uint64_t bit = UINT64_C(1) << (row & 63);
    column->valid[row >> 6] = (column->valid[row >> 6] & ~bit) | (valid ? bit : 0);
}

static void write_number(struct weir_column *column, uint32_t row, double value)
{
    bool missing = model_is_missing(value);
    column->f64[row] = missing ? (double)NAN : value;
    set_valid(column, row, !missing);
}

static void write_class(struct weir_column *column, uint32_t row, uint32_t index)
{
    bool missing = index == UINT32_MAX;
    if (column->type == WEIR_INT64) {
        column->i64[row] = missing ? 0 : (int64_t)index;
    } else {
        column->code[row] = index;
    }
    set_valid(column, row, !missing);
}

static enum weir_err write_string(struct weir_scorer *s, uint32_t column, uint32_t row,
                                  struct weir_slice text)
{
    if (text.data == NULL) {
        write_class(&s->output->columns[column], row, UINT32_MAX);
        return WEIR_OK;
    }
    return weir_block_set_string(s->output, column, row, text);
}

static struct weir_slice truth_text(double value)
{
    return model_is_missing(value) ? weir_slice(NULL, 0)
           : value != 0            ? weir_slice("true", 4)
                                   : weir_slice("false", 5);
}

/* Probability columns of a model without Output fields. */
static void write_default_outputs(struct weir_scorer *s, uint32_t row,
                                  const struct model_result *result)
{
    for (uint32_t c = 0; c < s->model->info.class_count; c++) {
        double p = result->probabilities != NULL ? result->probabilities[c] : model_missing();
        write_number(&s->output->columns[c + 1], row, isnan(p) ? model_missing() : p);
    }
}

static enum weir_err write_outputs(struct weir_scorer *s, uint32_t row,
                                   const struct model_result *result)
{
    const struct model_element *root = s->model->root;
    if (root->output_count == 0) {
        write_default_outputs(s, row, result);
        return WEIR_OK;
    }
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < root->output_count && err == WEIR_OK; i++) {
        const struct model_output *output = &root->outputs[i];
        struct weir_column *column = &s->output->columns[i + 1];
        double value = s->row.values[output->slot];
        if (is_class_output(s->model, i)) {
            write_class(column, row, result->missing ? UINT32_MAX : result->class_index);
        } else if (output->type == MODEL_BOOLEAN) {
            err = write_string(s, i + 1, row, truth_text(value));
        } else if (column->type == WEIR_STRING) {
            err = write_string(s, i + 1, row, model_row_text(&s->row, value));
        } else {
            write_number(column, row, value);
        }
    }
    return err;
}

static void write_missing(struct weir_scorer *s, uint32_t row)
{
    uint32_t count = weir_schema_field_count(s->output_schema);
    for (uint32_t i = 0; i < count; i++) {
        struct weir_column *column = &s->output->columns[i];
        if (column->type == WEIR_DOUBLE) {
            write_number(column, row, model_missing());
        } else {
            write_class(column, row, UINT32_MAX);
        }
    }
}

static void write_status(struct weir_scorer *s, uint32_t row, enum weir_err status)
{
    s->output->status[row] = (uint8_t)status;
    if (status != WEIR_OK) {
        s->output->failed++;
        write_missing(s, row);
    }
}

static struct weir_cell cell_of(const struct weir_scorer *s, uint32_t slot)
{
    double value = s->row.values[slot];
    struct weir_cell cell = {.valid =
                                 s->row.computed[slot] == s->row.epoch && !model_is_missing(value)};
    if (s->model->slots[slot].type == MODEL_STRING) {
        cell.type = WEIR_STRING;
        cell.string = cell.valid ? model_row_text(&s->row, value) : weir_slice(NULL, 0);
    } else {
        cell.type = WEIR_DOUBLE;
        cell.f64 = value;
    }
    return cell;
}

static void keep_details(struct weir_scorer *s, uint32_t row, const struct model_result *result)
{
    struct model_detail_store *d = &s->details;
    uint32_t classes = s->model->info.class_count;
    d->entity_ids[row] = result->entity_id;
    d->has[row] = 0;
    const double *from[] = {result->probabilities, result->confidences, result->affinities};
    double *to[] = {d->probabilities, d->confidences, d->affinities};
    for (uint32_t i = 0; i < sizeof from / sizeof from[0]; i++) {
        if (from[i] != NULL && classes > 0) {
            d->has[row] |= (uint8_t)(1U << i);
            memcpy(to[i] + (size_t)row * classes, from[i], classes * sizeof(double));
        }
    }
    for (uint32_t i = 0; i < d->derived_count; i++) {
        model_slot_value(&s->row, d->derived_slots[i]);
        d->cells[(size_t)row * d->derived_count + i] = cell_of(s, d->derived_slots[i]);
    }
}

/* ---- the general path ------------------------------------------------------------------------ */

static void begin_row(struct model_row *row)
{
    if (++row->epoch == 0) {
        memset(row->computed, 0, row->model->slot_count * sizeof *row->computed);
        row->epoch = 1;
    }
    row->status = WEIR_OK;
}

static void score_row(struct weir_scorer *s, const struct weir_block *block, uint32_t r)
{
    const struct weir_model *model = s->model;
    struct model_result result = {.missing = true, .class_index = UINT32_MAX};
    begin_row(&s->row);
    for (uint32_t i = 0; i < model->input_count && s->row.status == WEIR_OK; i++) {
        uint32_t slot = model->inputs[i].slot;
        s->row.status = model_bind_value(s, block, i, r, &s->row.values[slot]);
        s->row.computed[slot] = s->row.epoch;
    }
    if (s->row.status == WEIR_OK) {
        model_element_score(model->root, &s->row, &result);
    }
    enum weir_err status = s->row.status;
    if (status == WEIR_OK && result.missing) {
        status = WEIR_NO_RESULT;
    } else if (status == WEIR_OK && model->root->classes == NULL && isnan(result.number)) {
        status = WEIR_MODEL_FAILED;
    }
    if (status == WEIR_OK && model->root->function == WEIR_FUNCTION_ASSOCIATION) {
        status = write_string(s, 0, r, result.entity_id);
    } else if (status == WEIR_OK && model->root->classes != NULL) {
        write_class(&s->output->columns[0], r, result.class_index);
    } else if (status == WEIR_OK) {
        write_number(&s->output->columns[0], r, result.number);
    }
    if (status == WEIR_OK && (s->flags & WEIR_SCORER_OUTPUTS) != 0) {
        status = write_outputs(s, r, &result);
    }
    if ((s->flags & WEIR_SCORER_DETAILS) != 0) {
        keep_details(s, r, &result);
    }
    write_status(s, r, status);
}

/* ---- the fast path --------------------------------------------------------------------------- */

/* Rows of one call to the plan. */
struct tile {
    uint32_t first;       /* row, when rows == NULL */
    const uint32_t *rows; /* [count] */
    uint32_t count;
};

static uint32_t tile_row(const struct tile *tile, uint32_t k)
{
    return tile->rows != NULL ? tile->rows[k] : tile->first + k;
}

/* Treated cells of one input; NaN where the general path has to say what is wrong. */
static void fill_column(struct weir_scorer *s, const struct weir_block *block, uint32_t input,
                        const struct tile *tile, double *cells)
{
    const struct model_binding *binding = &s->bindings[input];
    bool plain = s->model->inputs[input].treatment.plain && binding->column >= 0;
    if (plain && binding->type == WEIR_DOUBLE) {
        const double *from = block->columns[binding->column].f64;
        for (uint32_t k = 0; k < tile->count; k++) {
            cells[k] = from[tile_row(tile, k)];
        }
    } else {
        for (uint32_t k = 0; k < tile->count; k++) {
            if (model_bind_value(s, block, input, tile_row(tile, k), &cells[k]) != WEIR_OK) {
                cells[k] = model_missing();
            }
        }
    }
    for (uint32_t k = tile->count; k % 64 != 0; k++) {
        cells[k] = 0;
    }
}

static void gather_columns(struct weir_scorer *s, const struct weir_block *block,
                           const struct tile *tile)
{
    for (uint32_t i = 0; i < s->model->input_count; i++) {
        if (s->direct && tile->rows == NULL) {
            s->columns[i] = block->columns[s->bindings[i].column].f64 + tile->first;
        } else {
            double *cells = s->tiles + (size_t)i * MODEL_TILE;
            fill_column(s, block, i, tile, cells);
            s->columns[i] = cells;
        }
        s->cells[i] = s->columns[i][0];
    }
}

static void write_tile_outputs(struct weir_scorer *s, uint32_t r, uint32_t k)
{
    uint32_t classes = s->model->info.class_count;
    const struct model_element *root = s->model->root;
    for (uint32_t c = 0; root->output_count == 0 && c < classes; c++) {
        double p = s->probabilities[c][k];
        write_number(&s->output->columns[c + 1], r, isnan(p) ? model_missing() : p);
    }
    for (uint32_t i = 0; i < root->output_count; i++) {
        const struct model_output *output = &root->outputs[i];
        struct weir_column *column = &s->output->columns[i + 1];
        if (is_class_output(s->model, i)) {
            write_class(column, r, s->classes[k]);
        } else if (output->feature == MODEL_FEATURE_PREDICTED_VALUE) {
            write_number(column, r, s->numbers[k]);
        } else if (s->probabilities != NULL) {
            uint32_t c = output->class_index != UINT32_MAX ? output->class_index : s->classes[k];
            double p = s->probabilities[c][k];
            write_number(column, r, isnan(p) ? model_missing() : p);
        } else {
            write_number(column, r, model_missing());
        }
    }
}

/* One row of a tile whose inputs are all numbers. */
static void write_tile_row(struct weir_scorer *s, uint32_t r, uint32_t k)
{
    struct weir_column *column = &s->output->columns[0];
    if (s->model->root->classes != NULL) {
        write_class(column, r, s->classes[k]);
    } else {
        column->f64[r] = s->numbers[k];
        set_valid(column, r, true);
    }
    if ((s->flags & WEIR_SCORER_OUTPUTS) != 0) {
        write_tile_outputs(s, r, k);
    }
    s->output->status[r] = WEIR_OK;
}

/* Rows first .. first + count of column 0 are valid; count > 0. */
static void set_valid_range(struct weir_column *column, uint32_t first, uint32_t count)
{
    for (uint32_t r = first; r < first + count;) {
        uint32_t left = first + count - r;
        uint32_t bits = 64 - (r & 63) < left ? 64 - (r & 63) : left;
        uint64_t ones = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
        column->valid[r >> 6] |= ones << (r & 63);
        r += bits;
    }
}

/* All rows of a contiguous tile at once: the plan's results are the column. */
static void write_tile(struct weir_scorer *s, const struct tile *tile)
{
    struct weir_column *column = &s->output->columns[0];
    uint32_t first = tile->first;
    if (s->model->result_is_index) {
        for (uint32_t k = 0; k < tile->count; k++) {
            column->i64[first + k] = (int64_t)s->classes[k];
        }
    } else if (s->model->root->classes != NULL) {
        memcpy(column->code + first, s->classes, tile->count * sizeof *column->code);
    } else {
        memcpy(column->f64 + first, s->numbers, tile->count * sizeof *column->f64);
    }
    memset(s->output->status + first, WEIR_OK, tile->count);
    set_valid_range(column, first, tile->count);
}

static void treat_targets(struct weir_scorer *s, uint32_t count)
{
    const struct model_element *root = s->model->root;
    for (uint32_t k = 0; root->target != NULL && root->classes == NULL && k < count; k++) {
        s->numbers[k] = model_target_apply(root->target, false, s->numbers[k]);
    }
}

/* Results that are no number: an input was none, or the model failed; the general path says. */
static uint64_t scan_numbers(const struct weir_scorer *s, uint32_t count, uint64_t *nan_rows)
{
    const double *numbers = s->numbers;
    uint64_t found[MODEL_TILE / 64];
    uint64_t any = s->scan(&numbers, 1, count, found);
    for (uint32_t i = 0; i < (count + 63) / 64; i++) {
        nan_rows[i] |= found[i];
    }
    return any;
}

/* Rows where no class wins, for all its activations are NaN; the general path says so. */
static uint64_t scan_classes(const struct weir_scorer *s, uint32_t count, uint64_t *nan_rows)
{
    uint64_t any = 0;
    for (uint32_t k = 0; k < count; k++) {
        any |= s->classes[k] == UINT32_MAX;
    }
    for (uint32_t k = 0; any != 0 && k < count; k++) {
        nan_rows[k / 64] |= (uint64_t)(s->classes[k] == UINT32_MAX) << (k % 64);
    }
    return any;
}

static void score_tile(struct weir_scorer *s, const struct weir_block *block,
                       const struct tile *tile)
{
    gather_columns(s, block, tile);
    struct model_run run = {
        .columns = s->columns,
        .row = s->cells,
        .rows = tile->count,
        .numbers = s->numbers,
        .classes = s->classes,
        .probabilities = s->probabilities,
        .scratch = s->scratch,
    };
    s->run(s->plan, &run);
    uint64_t nan_rows[MODEL_TILE / 64] = {0};
    uint64_t any = 0;
    if (!s->plan->nan_spreads) {
        any = s->scan(s->columns, s->model->input_count, tile->count, nan_rows);
    }
    any |= s->model->root->classes == NULL ? scan_numbers(s, tile->count, nan_rows)
                                           : scan_classes(s, tile->count, nan_rows);
    treat_targets(s, tile->count);
    bool whole = (s->flags & WEIR_SCORER_OUTPUTS) == 0 && tile->rows == NULL;
    if (any == 0 && block->failed == 0 && whole) {
        write_tile(s, tile);
        return;
    }
    for (uint32_t k = 0; k < tile->count; k++) {
        uint32_t r = tile_row(tile, k);
        bool general = any != 0 && ((nan_rows[k / 64] >> (k % 64)) & 1) != 0;
        if (block->status[r] != WEIR_OK) {
            write_status(s, r, (enum weir_err)block->status[r]);
        } else if (general) {
            score_row(s, block, r);
        } else {
            write_tile_row(s, r, k);
        }
    }
}

/* ---- scoring --------------------------------------------------------------------------------- */

/* Validity of the rows as a whole: words past the last row stay 0. */
static void finish_output(struct weir_scorer *s, const struct weir_block *block, bool all)
{
    uint32_t columns = weir_schema_field_count(s->output_schema);
    for (uint32_t i = 0; i < columns; i++) {
        struct weir_column *column = &s->output->columns[i];
        if (i == 0 && all && s->output->failed == 0) {
            column->valid_count = block->rows;
            continue;
        }
        uint32_t count = 0;
        for (uint32_t w = 0; w < (block->rows + 63) / 64; w++) {
            count += (uint32_t)__builtin_popcountll(column->valid[w]);
        }
        column->valid_count = count;
    }
}

/* Clears the validity of all rows: those that are scored set theirs. */
static void begin_output(struct weir_scorer *s, const struct weir_block *block)
{
    uint32_t columns = weir_schema_field_count(s->output_schema);
    size_t bytes = (size_t)(block->rows + 63) / 64 * sizeof(uint64_t);
    for (uint32_t i = 0; i < columns; i++) {
        memset(s->output->columns[i].valid, 0, bytes);
    }
    s->output->rows = block->rows;
    s->output->failed = 0;
}

static void score_general(struct weir_scorer *s, const struct weir_block *block,
                          const uint32_t *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t r = rows != NULL ? rows[i] : i;
        if (block->status[r] != WEIR_OK) {
            write_status(s, r, (enum weir_err)block->status[r]);
        } else {
            score_row(s, block, r);
        }
    }
}

/*
 * A block of one row, inputs straight from its columns, nothing wanted but the value: the whole way
 * in a few dozen instructions. False: the row needs the general path.
 */
static bool score_one(struct weir_scorer *s, const struct weir_block *block)
{
    uint32_t count = s->model->input_count;
    struct weir_block *out = s->output;
    struct weir_column *column = &out->columns[0];
    struct model_run run = {
        .row = s->cells,
        .rows = 1,
        .numbers = s->numbers,
        .classes = s->classes,
        .scratch = s->scratch,
    };
    bool is_nan = false;
    for (uint32_t i = 0; i < count; i++) {
        double cell = block->columns[s->direct_columns[i]].f64[0];
        s->cells[i] = cell;
        is_nan |= isnan(cell);
    }
    if (is_nan) {
        return false;
    }
    s->run(s->plan, &run);
    const struct model_element *root = s->model->root;
    if (root->classes != NULL) {
        if (s->classes[0] == UINT32_MAX) {
            return false;
        }
        write_class(column, 0, s->classes[0]);
    } else {
        treat_targets(s, 1);
        column->f64[0] = s->numbers[0];
        if (isnan(s->numbers[0])) {
            return false;
        }
    }
    out->rows = 1;
    out->failed = 0;
    out->status[0] = WEIR_OK;
    column->valid[0] = 1;
    column->valid_count = 1;
    return true;
}

void weir_scorer_score(struct weir_scorer *s, const struct weir_block *block, const uint32_t *rows,
                       uint32_t row_count)
{
    weir_assert(block->rows <= s->rows_max);
    if (block->rows == 1 && s->one && block->failed == 0 && (rows == NULL || row_count == 1) &&
        score_one(s, block)) {
        return;
    }
    uint32_t count = rows != NULL ? row_count : block->rows;
    begin_output(s, block);
    /* What the rows of the last block made is forgotten, so that strings don't pile up. */
    if (s->model->makes_strings) {
        model_symbols_truncate(&s->strings, s->strings_bound);
    }
    if (!s->direct) {
        model_bind_block(s, block);
    }
    s->strings_bound = s->strings.count;
    if (s->plan == NULL) {
        score_general(s, block, rows, count);
    }
    for (uint32_t i = 0; s->plan != NULL && i < count; i += MODEL_TILE) {
        struct tile tile = {
            .first = i,
            .rows = rows != NULL ? rows + i : NULL,
            .count = count - i < MODEL_TILE ? count - i : MODEL_TILE,
        };
        score_tile(s, block, &tile);
    }
    finish_output(s, block, rows == NULL);
}

const struct weir_block *weir_scorer_output(const struct weir_scorer *s)
{
    return s->output;
}

/* "; missing: a, b, c ..." of the row's inputs; "" if none is. */
static const char *list_missing(const struct weir_scorer *s, const struct weir_block *block,
                                uint32_t row, char *text, size_t capacity)
{
    size_t used = 0;
    uint32_t count = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < s->model->input_count; i++) {
        double value;
        if (model_bind_value(s, block, i, row, &value) != WEIR_OK || !isnan(value)) {
            continue;
        }
        const char *lead = count == 0 ? "; missing: " : ", ";
        const char *name = s->model->info.inputs[i].name;
        if (++count > MISSING_NAMED_MAX || strlen(lead) + strlen(name) + 5 > capacity - used) {
            memcpy(text + used, " ...", 5);
            break;
        }
        used += (size_t)snprintf(text + used, capacity - used, "%s%s", lead, name);
    }
    return text;
}

enum weir_err weir_scorer_explain(const struct weir_scorer *s, const struct weir_block *block,
                                  uint32_t row, struct weir_error *error)
{
    weir_assert(row < s->output->rows);
    if (block->status[row] != WEIR_OK) {
        enum weir_err status = (enum weir_err)block->status[row];
        return weir_error_set(error, status, -1, "the record could not be decoded");
    }
    for (uint32_t i = 0; i < s->model->input_count; i++) {
        double value;
        double raw;
        enum weir_err err = model_bind_value(s, block, i, row, &value);
        if (err == WEIR_OK) {
            continue;
        }
        const char *name = s->model->info.inputs[i].name;
        const struct model_binding *binding = &s->bindings[i];
        bool readable = model_bind_raw(s, block, i, row, &raw) == WEIR_OK;
        if (err == WEIR_MISSING_INPUT) {
            return weir_error_set(error, err, -1, "input \"%s\" is missing", name);
        }
        if (binding->type == WEIR_STRING && binding->column >= 0) {
            struct weir_slice text = weir_block_string(block, (uint32_t)binding->column, row);
            int bytes = text.bytes < 80 ? (int)text.bytes : 80;
            return weir_error_set(error, err, -1, "input \"%s\" can't be \"%.*s\"", name, bytes,
                                  text.data != NULL ? (const char *)text.data : "");
        }
        return weir_error_set(error, err, -1, "input \"%s\" can't be %.17g", name,
                              readable ? raw : (double)NAN);
    }
    enum weir_err status = (enum weir_err)s->output->status[row];
    char missing[256];
    return weir_error_set(error, status, -1, "%s%s", weir_err_text(status),
                          list_missing(s, block, row, missing, sizeof missing));
}

void weir_scorer_details(const struct weir_scorer *s, uint32_t row, struct weir_score_details *out)
{
    weir_assert((s->flags & WEIR_SCORER_DETAILS) != 0 && row < s->output->rows);
    const struct model_detail_store *d = &s->details;
    uint32_t classes = s->model->info.class_count;
    bool scored = s->output->status[row] == WEIR_OK;
    *out = (struct weir_score_details){
        .entity_id = scored ? d->entity_ids[row] : weir_slice(NULL, 0),
        .class_count = classes,
        .derived_count = d->derived_count,
        .derived = d->derived,
        .derived_values = d->cells + (size_t)row * d->derived_count,
    };
    if (scored && (d->has[row] & 1) != 0 && classes > 0) {
        out->probabilities = d->probabilities + (size_t)row * classes;
    }
    if (scored && (d->has[row] & 2) != 0 && classes > 0) {
        out->confidences = d->confidences + (size_t)row * classes;
    }
    if (scored && (d->has[row] & 4) != 0 && classes > 0) {
        out->affinities = d->affinities + (size_t)row * classes;
    }
}
