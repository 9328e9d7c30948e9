/*
 * cli/score.c - weir score: a CSV file through a model, without Kafka.
 *
 * CSV out: the target, then every other output, a row a row; a row that can't be scored has empty
 * cells and its reason on standard error. JSON out: the same names, and details under "$".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weir/model.h>

#include "base/alloc.h"
#include "base/errno_error.h"
#include "base/json.h"
#include "base/number.h"
#include "cli/commands.h"
#include "cli/csv_input.h"
#include "cli/files.h"

enum { ROWS = 1024, OUTPUT_BYTES_MAX = 64 << 20 };

struct scoring_run {
    struct weir_model *model;
    struct weir_csv_reader *reader;
    struct weir_block *block;
    struct weir_scorer *scorer;
    struct weir_buffer out; /* of one block */
    bool json;
    uint64_t rows, failed;
};

/* ---- opening --------------------------------------------------------------------------------- */

static enum weir_err load_model(struct scoring_run *scoring, const struct weir_settings *settings,
                                struct weir_error *error)
{
    const char *path = weir_settings_string(settings, "score.model");
    struct weir_model_options options = {.unverified =
                                             !weir_settings_bool(settings, "score.verify")};
    void *bytes;
    size_t count;
    enum weir_err err = files_read(path, FILES_MODEL_BYTES_MAX, &bytes, &count, error);
    if (err != WEIR_OK)
        return err;
    err = weir_model_load(weir_slice(bytes, count), &options, &scoring->model, error);
    weir_free(bytes);
    if (err != WEIR_OK)
        weir_error_context(error, "%s", path);
    return err;
}

static enum weir_err open_all(struct scoring_run *scoring, const struct weir_settings *settings,
                              struct weir_error *error)
{
    scoring->json = weir_settings_enum(settings, "score.format") == 1;
    enum weir_err err = load_model(scoring, settings, error);
    if (err == WEIR_OK)
        err = csv_input_open(settings, weir_settings_string(settings, "score.input"),
                             &scoring->reader, error);
    if (err != WEIR_OK)
        return err;
    struct weir_schema *schema = weir_csv_schema(scoring->reader);
    err = weir_block_new(schema, ROWS, &scoring->block);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for %d rows", ROWS);
    return weir_scorer_new(scoring->model, schema, ROWS,
                           scoring->json ? WEIR_SCORER_OUTPUTS | WEIR_SCORER_DETAILS
                                         : WEIR_SCORER_OUTPUTS,
                           &scoring->scorer, error);
}

static void release_all(struct scoring_run *scoring)
{
    weir_scorer_free(scoring->scorer);
    weir_block_free(scoring->block);
    weir_csv_close(scoring->reader);
    weir_model_unref(scoring->model);
    weir_buffer_release(&scoring->out);
}

/* ---- CSV ------------------------------------------------------------------------------------- */

/* Quoted where RFC 4180 asks for it. */
static enum weir_err put_cell(struct weir_buffer *out, struct weir_slice text)
{
    const char *at = text.data;
    bool quote = memchr(at, ',', text.bytes) || memchr(at, '"', text.bytes) ||
                 memchr(at, '\n', text.bytes) || memchr(at, '\r', text.bytes);
    if (!quote)
        return weir_buffer_append(out, text.data, text.bytes);
    enum weir_err err = weir_buffer_append_byte(out, '"');
    for (size_t i = 0; i < text.bytes && err == WEIR_OK; i++) {
        if (at[i] == '"')
            err = weir_buffer_append_byte(out, '"');
        if (err == WEIR_OK)
            err = weir_buffer_append_byte(out, (uint8_t)at[i]);
    }
    return err == WEIR_OK ? weir_buffer_append_byte(out, '"') : err;
}

static enum weir_err put_value(struct weir_buffer *out, const struct weir_block *scores,
                               uint32_t column, uint32_t row)
{
    const struct weir_column *values = &scores->columns[column];
    char number[WEIR_NUMBER_TEXT_MAX];
    size_t bytes = 0;
    if (scores->status[row] != WEIR_OK || !weir_column_is_valid(values, row))
        return WEIR_OK;
    switch (values->type) {
    case WEIR_DOUBLE:
        bytes = weir_format_double(number, values->f64[row]);
        break;
    case WEIR_FLOAT:
        bytes = weir_format_double(number, (double)values->f32[row]);
        break;
    case WEIR_INT64:
        bytes = weir_format_int64(number, values->i64[row]);
        break;
    case WEIR_STRING:
        return put_cell(out, weir_block_string(scores, column, row));
    }
    return weir_buffer_append(out, number, bytes);
}

static enum weir_err put_csv_header(struct scoring_run *scoring)
{
    const struct weir_model_info *info = weir_model_info(scoring->model);
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < info->output_count && err == WEIR_OK; i++) {
        const char *name = info->outputs[i].name;
        if (i)
            err = weir_buffer_append_byte(&scoring->out, ',');
        if (err == WEIR_OK)
            err = put_cell(&scoring->out, weir_slice(name, strlen(name)));
    }
    return err == WEIR_OK ? weir_buffer_append_byte(&scoring->out, '\n') : err;
}

static enum weir_err put_csv_row(struct scoring_run *scoring, const struct weir_block *scores,
                                 uint32_t row)
{
    uint32_t columns = weir_schema_field_count(scores->schema);
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < columns && err == WEIR_OK; i++) {
        if (i)
            err = weir_buffer_append_byte(&scoring->out, ',');
        if (err == WEIR_OK)
            err = put_value(&scoring->out, scores, i, row);
    }
    return err == WEIR_OK ? weir_buffer_append_byte(&scoring->out, '\n') : err;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_json_value(struct weir_json *json, const struct weir_block *scores, uint32_t column,
                           uint32_t row)
{
    const struct weir_column *values = &scores->columns[column];
    if (scores->status[row] != WEIR_OK || !weir_column_is_valid(values, row)) {
        weir_json_null(json);
        return;
    }
    switch (values->type) {
    case WEIR_DOUBLE:
        weir_json_double(json, values->f64[row]);
        return;
    case WEIR_FLOAT:
        weir_json_double(json, (double)values->f32[row]);
        return;
    case WEIR_INT64:
        weir_json_int(json, values->i64[row]);
        return;
    case WEIR_STRING:
        weir_json_slice(json, weir_block_string(scores, column, row));
        return;
    }
}

static void put_classes(struct weir_json *json, const struct weir_model_info *info,
                        const char *name, const double *values)
{
    if (!values)
        return;
    weir_json_key(json, name);
    weir_json_object_begin(json);
    for (uint32_t i = 0; i < info->class_count; i++) {
        if (values[i] != values[i])
            continue; /* NaN: none */
        weir_json_key_slice(json, info->classes[i]);
        weir_json_double(json, values[i]);
    }
    weir_json_object_end(json);
}

static void put_derived(struct weir_json *json, const struct weir_score_details *details)
{
    if (!details->derived_count)
        return;
    weir_json_key(json, "derived");
    weir_json_object_begin(json);
    for (uint32_t i = 0; i < details->derived_count; i++) {
        const struct weir_cell *cell = &details->derived_values[i];
        weir_json_key(json, details->derived[i].name);
        if (!cell->valid)
            weir_json_null(json);
        else if (cell->type == WEIR_STRING)
            weir_json_slice(json, cell->string);
        else if (cell->type == WEIR_INT64)
            weir_json_int(json, cell->i64);
        else
            weir_json_double(json, cell->f64);
    }
    weir_json_object_end(json);
}

static void put_details(struct scoring_run *scoring, struct weir_json *json, uint32_t row,
                        const struct weir_error *why)
{
    const struct weir_model_info *info = weir_model_info(scoring->model);
    struct weir_score_details details;
    weir_json_key(json, "$");
    weir_json_object_begin(json);
    if (why) {
        weir_json_put_text(json, "error", why->message);
    } else {
        weir_scorer_details(scoring->scorer, row, &details);
        if (details.entity_id.data)
            weir_json_put_slice(json, "entityId", details.entity_id);
        if (details.class_count) {
            put_classes(json, info, "probabilities", details.probabilities);
            put_classes(json, info, "confidences", details.confidences);
            put_classes(json, info, "affinities", details.affinities);
        }
        put_derived(json, &details);
    }
    weir_json_object_end(json);
}

static enum weir_err put_json_row(struct scoring_run *scoring, const struct weir_block *scores,
                                  uint32_t row, const struct weir_error *why)
{
    uint32_t columns = weir_schema_field_count(scores->schema);
    struct weir_json json;
    weir_json_begin(&json, &scoring->out);
    weir_json_object_begin(&json);
    for (uint32_t i = 0; i < columns; i++) {
        weir_json_key(&json, weir_schema_field(scores->schema, i)->name);
        put_json_value(&json, scores, i, row);
    }
    put_details(scoring, &json, row, why);
    weir_json_object_end(&json);
    enum weir_err err = weir_json_end(&json);
    return err == WEIR_OK ? weir_buffer_append_byte(&scoring->out, '\n') : err;
}

/* ---- the rows -------------------------------------------------------------------------------- */

/* Says why a row has no result. False: it has one. */
static bool explain(struct scoring_run *scoring, const struct weir_block *scores, uint32_t row,
                    struct weir_error *why)
{
    if (scores->status[row] == WEIR_OK)
        return false;
    if (scoring->block->status[row] != WEIR_OK)
        weir_error_set(why, (enum weir_err)scoring->block->status[row], -1,
                       "the row has another number of cells than there are fields, or one too "
                       "long");
    else
        weir_scorer_explain(scoring->scorer, scoring->block, row, why);
    fprintf(stderr, "line %lld: %s\n", (long long)weir_csv_line(scoring->reader, row),
            why->message);
    scoring->failed++;
    return true;
}

static enum weir_err write_out(struct scoring_run *scoring, struct weir_error *error)
{
    struct weir_slice text = weir_buffer_slice(&scoring->out);
    if (fwrite(text.data, 1, text.bytes, stdout) != text.bytes)
        return weir_errno_set(error, errno, "standard output", NULL);
    weir_buffer_clear(&scoring->out);
    return WEIR_OK;
}

static enum weir_err score_block(struct scoring_run *scoring, struct weir_error *error)
{
    weir_scorer_score(scoring->scorer, scoring->block, NULL, 0);
    const struct weir_block *scores = weir_scorer_output(scoring->scorer);
    enum weir_err err = WEIR_OK;
    for (uint32_t row = 0; row < scoring->block->rows && err == WEIR_OK; row++) {
        struct weir_error why;
        bool failed = explain(scoring, scores, row, &why);
        scoring->rows++;
        err = scoring->json ? put_json_row(scoring, scores, row, failed ? &why : NULL)
                            : put_csv_row(scoring, scores, row);
    }
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for the output of %d rows", ROWS);
    return write_out(scoring, error);
}

int score_run(const struct run *run)
{
    struct scoring_run scoring = {0};
    struct weir_error error = {.code = WEIR_OK};
    if (!csv_input_check(run))
        return EXIT_USAGE;
    weir_buffer_init(&scoring.out, OUTPUT_BYTES_MAX);
    enum weir_err err = open_all(&scoring, run->settings, &error);
    if (err == WEIR_OK && !scoring.json) {
        err = put_csv_header(&scoring);
        err = err == WEIR_OK ? write_out(&scoring, &error) : err;
    }
    while (err == WEIR_OK) {
        err = weir_csv_read(scoring.reader, scoring.block, &error);
        if (scoring.block->rows && err != WEIR_END) {
            enum weir_err scored = score_block(&scoring, &error);
            err = scored == WEIR_OK ? err : scored;
        }
    }
    if (scoring.failed)
        fprintf(stderr, "%llu of %llu rows could not be scored\n",
                (unsigned long long)scoring.failed, (unsigned long long)scoring.rows);
    release_all(&scoring);
    return err == WEIR_END ? EXIT_DONE : fail(run, &error);
}
