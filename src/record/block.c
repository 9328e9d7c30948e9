/*
 * record/block.c - rows as columns.
 *
 * All cells of a block lie in one allocation, column after column, each aligned to a cache line and
 * padded to 64 rows, so that kernels may read whole vectors and whole words of validity bits.
 */
#include <weir/record.h>

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "record/dictionary.h"

enum { ALIGNMENT = 64, ROWS_PER_WORD = 64 };

/* What stands behind block->impl. */
struct block_impl {
    void *cells;    /* the columns' one allocation */
    void *own_rows; /* rows_meta of the block's own, made by weir_block_own_rows */
    uint32_t own_rows_capacity;
};

static size_t cell_bytes(enum weir_type type)
{
    return type == WEIR_FLOAT || type == WEIR_STRING ? 4 : 8;
}

static uint32_t column_count(const struct weir_block *block)
{
    return block->schema ? weir_schema_field_count(block->schema) : 0;
}

static size_t round_up(size_t value, size_t to)
{
    return (value + to - 1) / to * to;
}

/* Bytes of all columns, validity and statuses for so many rows; lays them out when base is given.
 * */
static size_t lay_out(struct weir_block *block, uint32_t capacity, uint8_t *base)
{
    size_t at = 0;
    uint32_t count = column_count(block);
    for (uint32_t i = 0; i < count; i++) {
        struct weir_column *column = &block->columns[i];
        if (base)
            column->f64 = (double *)(void *)(base + at);
        at += round_up(capacity * cell_bytes(column->type), ALIGNMENT);
        if (base)
            column->valid = (uint64_t *)(void *)(base + at);
        at += round_up(capacity / ROWS_PER_WORD * sizeof(uint64_t), ALIGNMENT);
    }
    if (base)
        block->status = base + at;
    return at + round_up(capacity, ALIGNMENT);
}

static enum weir_err grow(struct weir_block *block, uint32_t rows)
{
    struct block_impl *impl = block->impl;
    uint32_t capacity = (uint32_t)round_up(rows ? rows : 1, ROWS_PER_WORD);
    void *cells = weir_alloc_aligned(ALIGNMENT, lay_out(block, capacity, NULL));
    if (!cells)
        return WEIR_NOMEM;
    weir_free(impl->cells);
    impl->cells = cells;
    lay_out(block, capacity, cells);
    block->capacity = capacity;
    return WEIR_OK;
}

enum weir_err weir_block_new(struct weir_schema *schema, uint32_t capacity,
                             struct weir_block **block_out)
{
    uint32_t count = schema ? weir_schema_field_count(schema) : 0;
    if (capacity > WEIR_BLOCK_ROWS_MAX)
        return WEIR_LIMIT;
    struct weir_block *block = weir_calloc(1, sizeof *block);
    if (!block)
        return WEIR_NOMEM;
    block->schema = schema ? weir_schema_ref(schema) : NULL;
    block->impl = weir_calloc(1, sizeof(struct block_impl));
    block->columns = weir_calloc(count ? count : 1, sizeof *block->columns);
    enum weir_err err = block->impl && block->columns ? WEIR_OK : WEIR_NOMEM;
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++) {
        block->columns[i].type = weir_schema_field(schema, i)->type;
        if (block->columns[i].type == WEIR_STRING)
            err = dictionary_new(&block->columns[i].dictionary);
    }
    if (err == WEIR_OK)
        err = grow(block, capacity);
    if (err != WEIR_OK) {
        weir_block_free(block);
        return err;
    }
    *block_out = block;
    return WEIR_OK;
}

void weir_block_free(struct weir_block *block)
{
    if (!block)
        return;
    for (uint32_t i = 0; block->columns && i < column_count(block); i++)
        dictionary_free(block->columns[i].dictionary);
    if (block->impl) {
        struct block_impl *impl = block->impl;
        weir_free(impl->cells);
        weir_free(impl->own_rows);
    }
    weir_free(block->impl);
    weir_free(block->columns);
    weir_schema_unref(block->schema);
    weir_free(block);
}

enum weir_err weir_block_prepare(struct weir_block *block, uint32_t rows)
{
    block->rows = 0;
    block->failed = 0;
    block->rows_meta = (struct weir_rows){0};
    if (rows > WEIR_BLOCK_ROWS_MAX)
        return WEIR_LIMIT;
    if (rows > block->capacity) {
        enum weir_err err = grow(block, rows);
        if (err != WEIR_OK)
            return err;
    }
    uint32_t count = column_count(block);
    for (uint32_t i = 0; i < count; i++)
        if (block->columns[i].dictionary)
            dictionary_open(block->columns[i].dictionary, rows);
    memset(block->status, WEIR_OK, rows);
    block->rows = rows;
    return WEIR_OK;
}

static void clear_column(struct weir_column *column, uint32_t rows)
{
    size_t words = (rows + ROWS_PER_WORD - 1) / ROWS_PER_WORD;
    memset(column->valid, 0, words * sizeof *column->valid);
    column->valid_count = 0;
    switch (column->type) {
    case WEIR_DOUBLE:
        for (uint32_t i = 0; i < rows; i++)
            column->f64[i] = (double)NAN;
        return;
    case WEIR_FLOAT:
        for (uint32_t i = 0; i < rows; i++)
            column->f32[i] = NAN;
        return;
    case WEIR_INT64:
        memset(column->i64, 0, rows * sizeof *column->i64);
        return;
    case WEIR_STRING:
        memset(column->code, 0xff, rows * sizeof *column->code);
        return;
    }
}

enum weir_err weir_block_reset(struct weir_block *block, uint32_t rows)
{
    enum weir_err err = weir_block_prepare(block, rows);
    if (err != WEIR_OK)
        return err;
    uint32_t count = column_count(block);
    for (uint32_t i = 0; i < count; i++)
        clear_column(&block->columns[i], rows);
    return WEIR_OK;
}

/* ---- rows of its own ------------------------------------------------------------------------- */

enum weir_err weir_block_own_rows(struct weir_block *block, struct weir_own_rows *out)
{
    struct block_impl *impl = block->impl;
    const size_t each = 2 * sizeof(struct weir_slice) + 2 * sizeof(int64_t) +
                        sizeof(struct weir_header *) + sizeof(uint32_t);
    if (impl->own_rows_capacity < block->capacity) {
        void *own = weir_alloc(each * block->capacity);
        if (!own)
            return WEIR_NOMEM;
        weir_free(impl->own_rows);
        impl->own_rows = own;
        impl->own_rows_capacity = block->capacity;
    }
    size_t capacity = impl->own_rows_capacity;
    struct weir_own_rows own = {.key = impl->own_rows};
    own.value = own.key + capacity;
    own.timestamp_ms = (int64_t *)(void *)(own.value + capacity);
    own.offset = own.timestamp_ms + capacity;
    own.headers = (const struct weir_header **)(void *)(own.offset + capacity);
    own.header_count = (uint32_t *)(void *)(own.headers + capacity);
    memset(own.key, 0, block->rows * sizeof *own.key);
    memset(own.value, 0, block->rows * sizeof *own.value);
    memset(own.headers, 0, block->rows * sizeof *own.headers);
    memset(own.header_count, 0, block->rows * sizeof *own.header_count);
    for (uint32_t i = 0; i < block->rows; i++) {
        own.timestamp_ms[i] = -1;
        own.offset[i] = i;
    }
    block->rows_meta = (struct weir_rows){.key = own.key,
                                          .value = own.value,
                                          .timestamp_ms = own.timestamp_ms,
                                          .offset = own.offset,
                                          .headers = own.headers,
                                          .header_count = own.header_count};
    if (out)
        *out = own;
    return WEIR_OK;
}

/* ---- cells ----------------------------------------------------------------------------------- */

static struct weir_column *cell(struct weir_block *block, uint32_t column, uint32_t row,
                                enum weir_type type)
{
    weir_assert(column < column_count(block) && row < block->rows);
    struct weir_column *found = &block->columns[column];
    weir_assert(found->type == type);
    uint64_t bit = UINT64_C(1) << (row % ROWS_PER_WORD);
    uint64_t *word = &found->valid[row / ROWS_PER_WORD];
    found->valid_count += !(*word & bit);
    *word |= bit;
    return found;
}

void weir_block_set_double(struct weir_block *block, uint32_t column, uint32_t row, double value)
{
    cell(block, column, row, WEIR_DOUBLE)->f64[row] = value;
}

void weir_block_set_float(struct weir_block *block, uint32_t column, uint32_t row, float value)
{
    cell(block, column, row, WEIR_FLOAT)->f32[row] = value;
}

void weir_block_set_int64(struct weir_block *block, uint32_t column, uint32_t row, int64_t value)
{
    cell(block, column, row, WEIR_INT64)->i64[row] = value;
}

enum weir_err weir_block_set_string(struct weir_block *block, uint32_t column, uint32_t row,
                                    struct weir_slice value)
{
    uint32_t code;
    weir_assert(column < column_count(block));
    weir_assert(block->columns[column].type == WEIR_STRING);
    enum weir_err err = dictionary_add(block->columns[column].dictionary, value, &code);
    if (err == WEIR_OK)
        cell(block, column, row, WEIR_STRING)->code[row] = code;
    return err;
}

struct weir_slice weir_block_string(const struct weir_block *block, uint32_t column, uint32_t row)
{
    const struct weir_column *found = &block->columns[column];
    weir_assert(column < column_count(block) && row < block->rows);
    weir_assert(found->type == WEIR_STRING);
    return weir_column_is_valid(found, row) ? found->dictionary->strings[found->code[row]]
                                            : weir_slice(NULL, 0);
}

void weir_block_fail_row(struct weir_block *block, uint32_t row, enum weir_err why)
{
    weir_assert(row < block->rows && why != WEIR_OK);
    if (block->status[row] != WEIR_OK)
        return;
    block->status[row] = (uint8_t)why;
    block->failed++;
}
