/*
 * What the tests of this room share: the shared data's folder, files, models from text, blocks from
 * rows of text.
 */
#ifndef TESTS_UNIT_MODEL_SUPPORT_H
#define TESTS_UNIT_MODEL_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weir/model.h>

/* Path below the shared data (static buffer), or NULL when it is absent: skip then. */
const char *support_shared(const char *below);
/* A whole file, NUL-terminated (free it); data NULL if it can't be read. */
struct weir_slice support_read(const char *path);
/* Loads a model; fails the test, with the message, if it can't. */
struct weir_model *support_load(struct weir_slice bytes);

/* Rows of numbers from a delimited file without header, values[row * columns + column]. */
struct support_table {
    uint32_t rows, columns;
    double *values;
};
/* first: lines to leave out at the start. Cells that are no number are NaN. */
struct support_table support_table(const char *path, char delimiter, uint32_t first);

/* A schema of double columns, and a block of it with a table's values (NaN = missing). */
struct weir_schema *support_schema(const char *const *names, uint32_t count);
struct weir_block *support_block(struct weir_schema *schema, const struct support_table *table,
                                 uint32_t columns);

/* |a - b| <= relative * |a| + 1e-13; NaN equals NaN. */
bool support_near(double a, double b, double relative);

extern const char *const support_wine_fields[11];

#endif
