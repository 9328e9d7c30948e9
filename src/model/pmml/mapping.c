/* Discretize and MapValues: expressions that look a value up. */
#include <stdlib.h>

#include "model/pmml/reader.h"

enum { COLUMNS_MAX = 64 };

/* Type of what is looked up: said by the expression, else what the field around it wants. */
static enum model_type type_of(struct pmml_reader *r, const struct pmml_element *e,
                               enum model_type wanted)
{
    enum model_type fallback = wanted == MODEL_TYPE_OPEN ? MODEL_STRING : wanted;
    return (enum model_type)pmml_choice(r, e, "dataType", pmml_type_names, fallback);
}

static void read_defaults(struct pmml_reader *r, const struct pmml_element *e,
                          struct model_expr *expr)
{
    const char *map = pmml_attribute(e, "mapMissingTo");
    const char *fallback = pmml_attribute(e, "defaultValue");
    if (map != NULL) {
        expr->map_missing_to = pmml_value(r, e, expr->type, map);
    }
    if (fallback != NULL) {
        expr->default_value = pmml_value(r, e, expr->type, fallback);
    }
}

void pmml_read_discretize(struct pmml_reader *r, const struct pmml_element *e,
                          enum model_type wanted, struct model_expr *expr)
{
    expr->kind = MODEL_EXPR_DISCRETIZE;
    expr->type = type_of(r, e, wanted);
    expr->slot = pmml_slot(r, e, pmml_required(r, e, "field"));
    struct model_bin *bins = model_alloc(&r->b, e->child_count, sizeof *bins);
    if (pmml_ok(r, e) && pmml_slot_info(r, expr->slot)->type == MODEL_STRING) {
        pmml_fail(r, e, WEIR_INVALID, "has a field of strings, which lie in no interval");
    }
    for (const struct pmml_element *b = e->first; b != NULL && pmml_ok(r, b); b = b->next) {
        const struct pmml_element *interval = pmml_child(b, "Interval");
        if (!pmml_is(b, "DiscretizeBin") || interval == NULL) {
            pmml_fail(r, b, WEIR_INVALID, "is no DiscretizeBin with an Interval");
            return;
        }
        struct model_bin *bin = &bins[expr->count++];
        bin->interval = pmml_interval(r, interval);
        bin->value = pmml_value(r, b, expr->type, pmml_required(r, b, "binValue"));
    }
    expr->bins = bins;
    read_defaults(r, e, expr);
}

/* ---- MapValues ------------------------------------------------------------------------------- */

/* The columns that are looked up, and last the one that comes out. */
struct columns {
    const char *names[COLUMNS_MAX + 1];
    enum model_type types[COLUMNS_MAX + 1];
    uint32_t count; /* with the last one */
};

static void read_columns(struct pmml_reader *r, const struct pmml_element *e,
                         struct model_expr *expr, struct columns *columns)
{
    struct model_expr *args = model_alloc(&r->b, e->child_count, sizeof *args);
    for (const struct pmml_element *c = e->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (!pmml_is(c, "FieldColumnPair")) {
            continue;
        }
        if (columns->count == COLUMNS_MAX) {
            pmml_fail(r, c, WEIR_LIMIT, "is more than column %d", COLUMNS_MAX);
            return;
        }
        args[expr->count] = pmml_field_expression(r, c, pmml_required(r, c, "field"));
        columns->names[columns->count] = pmml_required(r, c, "column");
        columns->types[columns->count++] = args[expr->count++].type;
    }
    columns->names[columns->count] = pmml_required(r, e, "outputColumn");
    columns->types[columns->count++] = expr->type;
    expr->args = args;
    if (expr->count == 0) {
        pmml_fail(r, e, WEIR_INVALID, "needs a FieldColumnPair");
    }
}

const struct pmml_element *pmml_cell(const struct pmml_element *row, const char *column)
{
    const char *colon = strrchr(column, ':');
    return pmml_child(row, colon != NULL ? colon + 1 : column);
}

struct weir_slice pmml_cell_text(struct pmml_reader *r, const struct pmml_element *row,
                                 const char *column)
{
    const struct pmml_element *cell = pmml_cell(row, column);
    struct weir_slice text = cell != NULL ? pmml_text(r->document, cell) : weir_slice(NULL, 0);
    return text.bytes > 0 ? text : weir_slice(NULL, 0);
}

/* Cells of a row; one that lacks a column, or has a cell of the wrong type, is refused. */
static void read_cells(struct pmml_reader *r, const struct pmml_element *row,
                       const struct columns *columns, double *cells)
{
    for (uint32_t i = 0; i < columns->count && r->err == WEIR_OK; i++) {
        const struct pmml_element *cell = pmml_cell(row, columns->names[i]);
        if (cell == NULL) {
            pmml_fail(r, row, WEIR_INVALID, "has no cell in the column \"%.60s\"",
                      columns->names[i]);
            return;
        }
        struct weir_slice text = pmml_text(r->document, cell);
        if (text.data == NULL) {
            text = weir_slice("", 0);
        }
        if (!model_builder_value(&r->b, columns->types[i], text, &cells[i])) {
            pmml_fail(r, cell, WEIR_INVALID, "holds a value that its column can't have");
        }
    }
}

/* Rows in the order of their keys, those with equal keys in the order of the document. */
struct table_row {
    const double *cells;
    uint32_t key_count, index;
};

static int by_key(const void *a, const void *b)
{
    const struct table_row *x = a;
    const struct table_row *y = b;
    for (uint32_t i = 0; i < x->key_count; i++) {
        if (x->cells[i] != y->cells[i]) {
            return x->cells[i] < y->cells[i] ? -1 : 1;
        }
    }
    return (x->index > y->index) - (x->index < y->index);
}

static bool same_key(const struct table_row *x, const struct table_row *y)
{
    return memcmp(x->cells, y->cells, x->key_count * sizeof(double)) == 0;
}

/* Two rows with one key must agree. */
static void sort_table(struct pmml_reader *r, const struct pmml_element *e, struct model_expr *expr,
                       const double *cells)
{
    size_t width = expr->count + 1;
    struct table_row *rows = pmml_scratch(r, expr->row_count, sizeof *rows);
    double *table = model_alloc(&r->b, expr->row_count * width, sizeof *table);
    if (rows == NULL || table == NULL) {
        return;
    }
    for (uint32_t i = 0; i < expr->row_count; i++) {
        rows[i] = (struct table_row){cells + i * width, expr->count, i};
    }
    qsort(rows, expr->row_count, sizeof *rows, by_key);
    for (uint32_t i = 0; i < expr->row_count; i++) {
        if (i > 0 && same_key(&rows[i - 1], &rows[i]) &&
            rows[i - 1].cells[expr->count] != rows[i].cells[expr->count]) {
            pmml_fail(r, e, WEIR_INVALID, "has two rows for one key, which do not agree");
        }
        memcpy(table + i * width, rows[i].cells, width * sizeof *table);
    }
    expr->table = table;
}

void pmml_read_map_values(struct pmml_reader *r, const struct pmml_element *e,
                          enum model_type wanted, struct model_expr *expr)
{
    struct columns columns = {.count = 0};
    const struct pmml_element *table = pmml_child(e, "InlineTable");
    expr->kind = MODEL_EXPR_MAP_VALUES;
    expr->type = type_of(r, e, wanted);
    if (table == NULL) {
        pmml_fail(r, e, WEIR_UNSUPPORTED, "has no InlineTable, and no other table is supported");
    }
    if (r->err == WEIR_OK) {
        read_columns(r, e, expr, &columns);
    }
    if (table == NULL || r->err != WEIR_OK) {
        return;
    }
    size_t row_count = pmml_count(table, "row");
    double *cells = pmml_scratch(r, row_count * columns.count, sizeof *cells);
    for (const struct pmml_element *c = table->first; c != NULL && pmml_ok(r, c); c = c->next) {
        if (pmml_is(c, "row")) {
            read_cells(r, c, &columns, cells + (size_t)expr->row_count++ * columns.count);
        }
    }
    if (r->err == WEIR_OK) {
        sort_table(r, e, expr, cells);
    }
    read_defaults(r, e, expr);
}
