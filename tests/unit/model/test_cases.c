/*
 * Text cases: every tests/golden/model/<topic>.txt holds models, rows and what must come out. A new
 * case needs no C. The format:
 *
 *      === name of what must hold
 *      <DataDictionary> ... (what stands inside <PMML>; a whole document if it begins with <?xml)
 *      --- rows
 *      x:d,colour            a header: names of columns, ":d" = double column, else strings
 *      1.5,red               an empty cell is missing
 *      --- expect
 *      2.5,0.75              outputs in order (_ = missing, "a,b" = with a comma), or !CODE for a
 *                            row without result
 *
 * or, instead of rows and expect, what the loader must say:
 *      --- refused
 *      UNSUPPORTED line 3: <Apply>      code, and text that the message must contain
 *
 * Each case runs through plan and general path, portable and dispatched, in a block and row by row.
 */
#include "support.h"

#include <dirent.h>
#include <math.h>

enum { COLUMNS_MAX = 16, ROWS_MAX = 64 };

struct rows {
    char *names[COLUMNS_MAX];
    bool is_double[COLUMNS_MAX];
    char *cells[ROWS_MAX][COLUMNS_MAX];
    uint32_t columns, rows;
};

/* Cuts *at behind the next `stop`, which becomes a NUL; the piece before it. */
static char *cut(char **at, char stop)
{
    char *piece = *at;
    char *end = strchr(piece, stop);
    if (end == NULL) {
        *at = piece + strlen(piece);
    } else {
        *end = '\0';
        *at = end + 1;
    }
    return piece;
}

/* An expected cell; one with a comma stands in quotes. */
static char *cut_cell(char **at)
{
    if (**at != '"') {
        return cut(at, ',');
    }
    ++*at;
    char *cell = cut(at, '"');
    cut(at, ',');
    return cell;
}

static struct rows read_rows(char *text)
{
    struct rows rows = {.columns = 0};
    char *header = cut(&text, '\n');
    while (*header != '\0') {
        char *name = cut(&header, ',');
        char *kind = strstr(name, ":d");
        rows.is_double[rows.columns] = kind != NULL;
        if (kind != NULL) {
            *kind = '\0';
        }
        rows.names[rows.columns++] = name;
    }
    while (*text != '\0') {
        char *line = cut(&text, '\n');
        for (uint32_t c = 0; c < rows.columns; c++) {
            rows.cells[rows.rows][c] = cut(&line, ',');
        }
        rows.rows++;
        assert_true(rows.rows < ROWS_MAX);
    }
    return rows;
}

static struct weir_block *block_of(const struct rows *rows)
{
    struct weir_field fields[COLUMNS_MAX];
    struct weir_schema *schema = NULL;
    struct weir_block *block = NULL;
    for (uint32_t c = 0; c < rows->columns; c++) {
        fields[c] = (struct weir_field){rows->names[c],
                                        rows->is_double[c] ? WEIR_DOUBLE : WEIR_STRING, c + 1};
    }
    assert_int_equal(weir_schema_new("case", fields, rows->columns, &schema, NULL), WEIR_OK);
    assert_int_equal(weir_block_new(schema, rows->rows, &block), WEIR_OK);
    assert_int_equal(weir_block_reset(block, rows->rows), WEIR_OK);
    for (uint32_t r = 0; r < rows->rows; r++) {
        for (uint32_t c = 0; c < rows->columns; c++) {
            const char *cell = rows->cells[r][c];
            if (*cell == '\0') {
                continue;
            }
            if (rows->is_double[c]) {
                weir_block_set_double(block, c, r, strtod(cell, NULL));
            } else {
                struct weir_slice text = weir_slice(cell, strlen(cell));
                assert_int_equal(weir_block_set_string(block, c, r, text), WEIR_OK);
            }
        }
    }
    weir_schema_unref(schema);
    return block;
}

/* A cell equals what the case expects. */
static bool is_expected(const struct weir_block *out, uint32_t column, uint32_t row,
                        const char *want, char *got, size_t got_bytes)
{
    const struct weir_column *c = &out->columns[column];
    if (!weir_column_is_valid(c, row)) {
        snprintf(got, got_bytes, "_");
        return strcmp(want, "_") == 0;
    }
    if (c->type == WEIR_STRING) {
        struct weir_slice text = weir_block_string(out, column, row);
        snprintf(got, got_bytes, "%.*s", (int)text.bytes, (const char *)text.data);
        return strcmp(want, got) == 0;
    }
    snprintf(got, got_bytes, "%.17g", c->f64[row]);
    return support_near(strtod(want, NULL), c->f64[row], 1e-12);
}

static void check_row(const char *name, const struct weir_block *out, uint32_t row,
                      const char *expected, uint32_t columns)
{
    char line[512];
    snprintf(line, sizeof line, "%s", expected);
    if (line[0] == '!') {
        const char *got = weir_err_name((enum weir_err)out->status[row]);
        if (strcmp(got, line + 1) != 0 || weir_column_is_valid(&out->columns[0], row)) {
            fail_msg("%s: row %u: expected %s, got %s", name, row, line, got);
        }
        return;
    }
    if (out->status[row] != WEIR_OK) {
        fail_msg("%s: row %u: expected %s, got !%s", name, row, line,
                 weir_err_name((enum weir_err)out->status[row]));
    }
    char *at = line;
    for (uint32_t c = 0; c < columns && *at != '\0'; c++) {
        char got[256];
        const char *want = cut_cell(&at);
        if (!is_expected(out, c, row, want, got, sizeof got)) {
            fail_msg("%s: row %u column %u: expected %s, got %s", name, row, c, want, got);
        }
    }
}

static void score(const char *name, struct weir_model *model, const struct rows *rows,
                  char **expected, unsigned flags)
{
    struct weir_block *block = block_of(rows);
    struct weir_scorer *scorer = NULL;
    struct weir_error error;
    if (weir_scorer_new(model, block->schema, rows->rows, flags, &scorer, &error) != WEIR_OK) {
        fail_msg("%s: %s", name, error.message);
    }
    bool outputs = (flags & WEIR_SCORER_OUTPUTS) != 0;
    uint32_t columns = outputs ? weir_model_info(model)->output_count : 1;
    weir_scorer_score(scorer, block, NULL, 0);
    const struct weir_block *out = weir_scorer_output(scorer);
    for (uint32_t r = 0; r < rows->rows; r++) {
        check_row(name, out, r, expected[r], columns);
        assert_int_equal(weir_scorer_explain(scorer, block, r, &error), out->status[r]);
    }
    for (uint32_t r = 0; r < rows->rows; r++) {
        weir_scorer_score(scorer, block, &r, 1);
        check_row(name, out, r, expected[r], columns);
    }
    weir_scorer_free(scorer);
    weir_block_free(block);
}

static void check_scores(const char *name, struct weir_slice document, char *row_text,
                         char *expect_text)
{
    static const unsigned flags[] = {
        WEIR_SCORER_VALUE,
        WEIR_SCORER_VALUE | WEIR_SCORER_PORTABLE,
        WEIR_SCORER_OUTPUTS,
        WEIR_SCORER_OUTPUTS | WEIR_SCORER_PORTABLE,
        WEIR_SCORER_OUTPUTS | WEIR_SCORER_DETAILS,
    };
    struct weir_model *model = NULL;
    struct weir_error error;
    if (weir_model_load(document, NULL, &model, &error) != WEIR_OK) {
        fail_msg("%s: %s", name, error.message);
    }
    struct rows rows = read_rows(row_text);
    char *expected[ROWS_MAX];
    for (uint32_t r = 0; r < rows.rows; r++) {
        expected[r] = cut(&expect_text, '\n');
        if (expected[r][0] == '\0') {
            fail_msg("%s: row %u has no expected result", name, r);
        }
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        score(name, model, &rows, expected, flags[i]);
    }
    weir_model_unref(model);
}

static void check_refusal(const char *name, struct weir_slice document, char *want)
{
    struct weir_model *model = NULL;
    struct weir_error error = {.code = WEIR_OK};
    enum weir_err err = weir_model_load(document, NULL, &model, &error);
    char *text = want;
    char *code = cut(&text, ' ');
    char *message = cut(&text, '\n');
    if (strcmp(weir_err_name(err), code) != 0 || strstr(error.message, message) == NULL) {
        fail_msg("%s: expected %s \"%s\", got %s \"%s\"", name, code, message, weir_err_name(err),
                 error.message);
    }
}

/* One case: from behind "=== " to the next one. */
static void check_case(char *text)
{
    char document[65536];
    char *name = cut(&text, '\n');
    char *rows = strstr(text, "--- rows\n");
    char *expect = strstr(text, "--- expect\n");
    char *refused = strstr(text, "--- refused\n");
    char *body_end = rows != NULL ? rows : refused;
    assert_non_null(body_end);
    *body_end = '\0';
    bool whole = strncmp(text, "<?xml", 5) == 0 || strncmp(text, "<PMML", 5) == 0;
    int bytes = whole ? snprintf(document, sizeof document, "%s", text)
                      : snprintf(document, sizeof document,
                                 "<PMML xmlns=\"http://www.dmg.org/PMML-4_4\" version=\"4.4\">"
                                 "<Header/>\n%s</PMML>",
                                 text);
    assert_true(bytes > 0 && (size_t)bytes < sizeof document);
    struct weir_slice slice = weir_slice(document, (size_t)bytes);
    print_message("    %s\n", name);
    if (refused != NULL) {
        check_refusal(name, slice, refused + strlen("--- refused\n"));
        return;
    }
    assert_non_null(expect);
    *expect = '\0';
    check_scores(name, slice, rows + strlen("--- rows\n"), expect + strlen("--- expect\n"));
}

static void check_file(const char *path)
{
    struct weir_slice bytes = support_read(path);
    assert_non_null(bytes.data);
    char *text = (char *)(uintptr_t)bytes.data;
    char *at = strstr(text, "=== ");
    while (at != NULL) {
        char *next = strstr(at + 4, "\n=== ");
        if (next != NULL) {
            *next = '\0';
        }
        check_case(at + 4);
        at = next != NULL ? next + 1 : NULL;
    }
    free(text);
}

static void every_text_case_comes_out_as_written(void **state)
{
    (void)state;
    char folder[1024];
    const char *source = getenv("WEIR_SOURCE_DIR");
    snprintf(folder, sizeof folder, "%s/tests/golden/model", source != NULL ? source : ".");
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        fail_msg("%s can't be opened: set WEIR_SOURCE_DIR", folder);
    }
    uint32_t files = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0) {
            char path[2048];
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            print_message("%s\n", entry->d_name);
            check_file(path);
            files++;
        }
    }
    closedir(dir);
    assert_true(files > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_case_comes_out_as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
