/*
 * cli/inspect.c - weir inspect: what a model wants, what it gives, and what it costs.
 *
 * The cost is measured, on the rows of --input: made-up values would take other ways through a
 * model than real ones do.
 */
#include <stdio.h>
#include <string.h>

#include <weir/model.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/number.h"
#include "cli/admin.h"
#include "cli/csv_input.h"
#include "cli/files.h"

enum { ROWS = 1024, JSON_BYTES_MAX = 64 << 20, CLASSES_SHOWN = 20 };

struct inspection {
    const char *path;
    struct weir_model *model;
    const struct weir_model_info *info;
    size_t document_bytes;
    char digest[2 * WEIR_SHA256_BYTES + 1];
    int64_t load_ns;
    /* With --input: */
    uint64_t rows, failed;
    double row_ns, block_ns; /* a row by itself; in blocks of ROWS */
};

static const char *const formats[] = {"", "PMML", "TensorFlow"};
static const char *const types[] = {"double", "float", "int64", "string"};

static const char *const functions[] = {
    [WEIR_FUNCTION_REGRESSION] = "regression",
    [WEIR_FUNCTION_CLASSIFICATION] = "classification",
    [WEIR_FUNCTION_CLUSTERING] = "clustering",
    [WEIR_FUNCTION_ASSOCIATION] = "association",
};

/* ---- loading --------------------------------------------------------------------------------- */

static enum weir_err load(struct inspection *inspection, struct weir_error *error)
{
    void *bytes;
    size_t count;
    uint8_t digest[WEIR_SHA256_BYTES];
    enum weir_err err = files_read(inspection->path, FILES_MODEL_BYTES_MAX, &bytes, &count, error);
    if (err != WEIR_OK)
        return err;
    weir_sha256(bytes, count, digest);
    weir_hex_encode(digest, sizeof digest, inspection->digest);
    inspection->document_bytes = count;
    int64_t start_ns = weir_clock_now_ns(NULL);
    err = weir_model_load(weir_slice(bytes, count), NULL, &inspection->model, error);
    inspection->load_ns = weir_clock_now_ns(NULL) - start_ns;
    weir_free(bytes);
    if (err != WEIR_OK)
        weir_error_context(error, "%s", inspection->path);
    else
        inspection->info = weir_model_info(inspection->model);
    return err;
}

/* ---- the cost -------------------------------------------------------------------------------- */

/* Both ways over one block; the shorter of several times, as others use the machine, too. */
static void measure_block(struct inspection *inspection, struct weir_scorer *scorer,
                          const struct weir_block *block, int64_t best_ns[2])
{
    enum { TIMES = 5 };
    for (int way = 0; way < 2; way++) {
        best_ns[way] = INT64_MAX;
        for (int i = 0; i < TIMES; i++) {
            int64_t start_ns = weir_clock_now_ns(NULL), took_ns;
            if (way == 0)
                for (uint32_t row = 0; row < block->rows; row++)
                    weir_scorer_score(scorer, block, &row, 1);
            else
                weir_scorer_score(scorer, block, NULL, 0);
            took_ns = weir_clock_now_ns(NULL) - start_ns;
            best_ns[way] = took_ns < best_ns[way] ? took_ns : best_ns[way];
        }
    }
    inspection->rows += block->rows;
    inspection->failed += weir_scorer_output(scorer)->failed;
}

/* The file's fields with the types they would have in a stream: a number is no text there. */
static enum weir_err typed_schema(const struct weir_model_info *info, struct weir_schema *file,
                                  struct weir_schema **out, struct weir_error *error)
{
    uint32_t count = weir_schema_field_count(file);
    struct weir_field *fields = weir_calloc(count, sizeof *fields);
    if (!fields)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for %u fields", count);
    for (uint32_t i = 0; i < count; i++) {
        fields[i].name = weir_schema_field(file, i)->name;
        fields[i].type = WEIR_DOUBLE;
    }
    for (uint32_t i = 0; i < info->input_count; i++) {
        int32_t field = weir_schema_find(file, info->inputs[i].name);
        if (field >= 0 && info->inputs[i].type == WEIR_STRING)
            fields[field].type = WEIR_STRING;
    }
    enum weir_err err = weir_schema_new("csv", fields, count, out, error);
    weir_free(fields);
    return err;
}

/* A cell that is no number is missing. */
static enum weir_err take_rows(const struct weir_block *from, struct weir_block *to)
{
    enum weir_err err = weir_block_reset(to, from->rows);
    for (uint32_t column = 0; column < weir_schema_field_count(from->schema); column++) {
        bool is_text = weir_schema_field(to->schema, column)->type == WEIR_STRING;
        for (uint32_t row = 0; err == WEIR_OK && row < from->rows; row++) {
            struct weir_slice cell = weir_block_string(from, column, row);
            double number;
            if (cell.data && is_text)
                err = weir_block_set_string(to, column, row, cell);
            else if (cell.data && weir_parse_double(cell, &number) == WEIR_OK)
                weir_block_set_double(to, column, row, number);
        }
    }
    return err;
}

static enum weir_err measure_rows(struct inspection *inspection, struct weir_csv_reader *reader,
                                  struct weir_schema *schema, struct weir_error *error)
{
    struct weir_block *texts = NULL, *block = NULL;
    struct weir_scorer *scorer = NULL;
    int64_t sums_ns[2] = {0}, best_ns[2];
    enum weir_err err = weir_block_new(weir_csv_schema(reader), ROWS, &texts);
    if (err == WEIR_OK)
        err = weir_block_new(schema, ROWS, &block);
    if (err == WEIR_OK)
        err = weir_scorer_new(inspection->model, schema, ROWS, WEIR_SCORER_OUTPUTS, &scorer, error);
    else
        weir_error_set(error, err, -1, "no memory for %d rows", ROWS);
    while (err == WEIR_OK && (err = weir_csv_read(reader, texts, error)) == WEIR_OK) {
        err = take_rows(texts, block);
        if (err != WEIR_OK) {
            weir_error_set(error, err, -1, "no room for the rows' texts");
            break;
        }
        measure_block(inspection, scorer, block, best_ns);
        sums_ns[0] += best_ns[0];
        sums_ns[1] += best_ns[1];
    }
    weir_scorer_free(scorer);
    weir_block_free(block);
    weir_block_free(texts);
    if (err != WEIR_END)
        return err;
    if (!inspection->rows)
        return weir_error_set(error, WEIR_INVALID, -1, "--input has no rows to measure with");
    inspection->row_ns = (double)sums_ns[0] / (double)inspection->rows;
    inspection->block_ns = (double)sums_ns[1] / (double)inspection->rows;
    return WEIR_OK;
}

static enum weir_err measure(struct inspection *inspection, const struct weir_settings *settings,
                             const char *path, struct weir_error *error)
{
    struct weir_csv_reader *reader;
    enum weir_err err = csv_input_open(settings, path, &reader, error);
    if (err != WEIR_OK)
        return err;
    struct weir_schema *schema = NULL;
    err = typed_schema(inspection->info, weir_csv_schema(reader), &schema, error);
    if (err == WEIR_OK)
        err = measure_rows(inspection, reader, schema, error);
    weir_schema_unref(schema);
    weir_csv_close(reader);
    return err;
}

/* ---- for people ------------------------------------------------------------------------------ */

static enum weir_err print_inputs(const struct weir_model_info *info, struct weir_error *error)
{
    static const char *const heads[] = {"INPUT", "TYPE", "KIND", "WITHOUT IT", NULL};
    struct table table;
    table_begin(&table, heads);
    for (uint32_t i = 0; i < info->input_count; i++) {
        const struct weir_model_input *at = &info->inputs[i];
        table_cell(&table, "%s", at->name);
        table_cell(&table, "%s", types[at->type]);
        table_cell(&table, "%s", at->categorical ? "categorical" : "continuous");
        table_cell(&table, "%s", at->required ? "no result" : "the model decides");
    }
    return table_print(&table, error);
}

static enum weir_err print_outputs(const struct weir_model_info *info, struct weir_error *error)
{
    static const char *const heads[] = {"OUTPUT", "TYPE", NULL};
    struct table table;
    table_begin(&table, heads);
    for (uint32_t i = 0; i < info->output_count; i++) {
        table_cell(&table, "%s", info->outputs[i].name);
        table_cell(&table, "%s", types[info->outputs[i].type]);
    }
    return table_print(&table, error);
}

static void print_classes(const struct weir_model_info *info)
{
    if (!info->class_count)
        return;
    printf("\nclasses:");
    for (uint32_t i = 0; i < info->class_count && i < CLASSES_SHOWN; i++)
        printf("%s %.*s", i ? "," : "", (int)info->classes[i].bytes,
               (const char *)info->classes[i].data);
    if (info->class_count > CLASSES_SHOWN)
        printf(" and %u more (--json has all)", info->class_count - CLASSES_SHOWN);
    printf("\n");
}

static enum weir_err print_text(const struct inspection *inspection, struct weir_error *error)
{
    const struct weir_model_info *info = inspection->info;
    printf("%s: %s %s, %s%s%s\n", inspection->path, formats[info->format], info->algorithm,
           functions[info->function], *info->target ? " of " : "", info->target);
    printf("%zu bytes, sha256 %s\n", inspection->document_bytes, inspection->digest);
    printf("loads in %.1f ms, takes %zu KiB of memory\n\n", (double)inspection->load_ns / 1e6,
           (info->bytes + 1023) / 1024);
    enum weir_err err = print_inputs(info, error);
    if (err != WEIR_OK)
        return err;
    printf("\n");
    err = print_outputs(info, error);
    print_classes(info);
    if (!inspection->rows)
        printf("\n--input FILE.csv measures what it costs to score such rows\n");
    else
        printf("\n%.0f ns to score a row by itself, %.1f ns in blocks of %d (%llu rows, %llu of "
               "them without a result)\n",
               inspection->row_ns, inspection->block_ns, ROWS, (unsigned long long)inspection->rows,
               (unsigned long long)inspection->failed);
    return err;
}

/* ---- for programs ---------------------------------------------------------------------------- */

static void put_fields(struct weir_json *json, const struct weir_model_info *info)
{
    weir_json_key(json, "inputs");
    weir_json_array_begin(json);
    for (uint32_t i = 0; i < info->input_count; i++) {
        weir_json_object_begin(json);
        weir_json_put_text(json, "name", info->inputs[i].name);
        weir_json_put_text(json, "type", types[info->inputs[i].type]);
        weir_json_put_bool(json, "categorical", info->inputs[i].categorical);
        weir_json_put_bool(json, "required", info->inputs[i].required);
        weir_json_object_end(json);
    }
    weir_json_array_end(json);
    weir_json_key(json, "outputs");
    weir_json_array_begin(json);
    for (uint32_t i = 0; i < info->output_count; i++) {
        weir_json_object_begin(json);
        weir_json_put_text(json, "name", info->outputs[i].name);
        weir_json_put_text(json, "type", types[info->outputs[i].type]);
        weir_json_object_end(json);
    }
    weir_json_array_end(json);
    weir_json_key(json, "classes");
    weir_json_array_begin(json);
    for (uint32_t i = 0; i < info->class_count; i++)
        weir_json_slice(json, info->classes[i]);
    weir_json_array_end(json);
}

static enum weir_err print_json(const struct inspection *inspection, struct weir_error *error)
{
    const struct weir_model_info *info = inspection->info;
    struct weir_buffer text;
    struct weir_json json;
    weir_buffer_init(&text, JSON_BYTES_MAX);
    weir_json_begin(&json, &text);
    weir_json_object_begin(&json);
    weir_json_put_text(&json, "file", inspection->path);
    weir_json_put_text(&json, "format", formats[info->format]);
    weir_json_put_text(&json, "algorithm", info->algorithm);
    weir_json_put_text(&json, "function", functions[info->function]);
    weir_json_put_text(&json, "target", info->target);
    weir_json_put_uint(&json, "bytes", inspection->document_bytes);
    weir_json_put_text(&json, "sha256", inspection->digest);
    weir_json_put_uint(&json, "memoryBytes", info->bytes);
    weir_json_put_double(&json, "loadMs", (double)inspection->load_ns / 1e6);
    put_fields(&json, info);
    if (inspection->rows) {
        weir_json_put_uint(&json, "rows", inspection->rows);
        weir_json_put_uint(&json, "rowsWithoutResult", inspection->failed);
        weir_json_put_double(&json, "rowNs", inspection->row_ns);
        weir_json_put_double(&json, "blockRowNs", inspection->block_ns);
    }
    weir_json_object_end(&json);
    return admin_print_json(&json, &text, error);
}

int inspect_run(const struct run *run)
{
    const char *input = weir_settings_string(run->settings, "inspect.input");
    struct inspection inspection = {.path = weir_settings_argument(run->settings, 0)};
    struct weir_error error = {.code = WEIR_OK};
    if (!csv_input_check(run))
        return EXIT_USAGE;
    enum weir_err err = load(&inspection, &error);
    if (err == WEIR_OK && input)
        err = measure(&inspection, run->settings, input, &error);
    if (err == WEIR_OK)
        err = weir_settings_bool(run->settings, "admin.json") ? print_json(&inspection, &error)
                                                              : print_text(&inspection, &error);
    weir_model_unref(inspection.model);
    return err == WEIR_OK ? EXIT_DONE : fail(run, &error);
}
