/* cli/records.c - a CSV file as WineRecords, see records.h. */
#include "cli/records.h"

#include "base/alloc.h"
#include "base/number.h"

enum { FEATURES = 11, DATA_TYPE = 11, ROWS = 256, RECORD_BYTES = 512 };
#define BYTES_MAX ((size_t)4 << 30)

/* The file's columns; a twelfth one, the quality, is let be. */
static const char *const names[] = {"fixed_acidity",
                                    "volatile_acidity",
                                    "citric_acid",
                                    "residual_sugar",
                                    "chlorides",
                                    "free_sulfur_dioxide",
                                    "total_sulfur_dioxide",
                                    "density",
                                    "pH",
                                    "sulphates",
                                    "alcohol",
                                    "quality"};

static enum weir_err append(struct records *records, const void *bytes, size_t count)
{
    if (records->count + 1 >= records->capacity) {
        size_t capacity = records->capacity ? records->capacity * 2 : 1024;
        size_t *begin = weir_realloc(records->begin, capacity * sizeof *begin);
        if (!begin)
            return WEIR_NOMEM;
        records->begin = begin;
        records->capacity = capacity;
    }
    records->begin[records->count] = records->bytes.bytes;
    enum weir_err err = weir_buffer_append(&records->bytes, bytes, count);
    if (err == WEIR_OK)
        records->begin[++records->count] = records->bytes.bytes;
    return err;
}

/* One row of the file as a record. */
static enum weir_err convert(struct weir_csv_reader *reader, const char *path,
                             const struct weir_block *rows, uint32_t row, struct weir_block *record,
                             struct records *records, struct weir_error *error)
{
    uint8_t buffer[RECORD_BYTES];
    size_t bytes;
    long long line = weir_csv_line(reader, row);
    if (rows->status[row] != WEIR_OK)
        return weir_error_set(error, WEIR_PARSE, line,
                              "%s, line %lld: 12 cells with ';' between them are expected (eleven "
                              "features and the quality)",
                              path, line);
    enum weir_err err = weir_block_reset(record, 1);
    for (uint32_t i = 0; i < FEATURES && err == WEIR_OK; i++) {
        struct weir_slice cell = weir_block_string(rows, i, row);
        double value;
        if (!cell.data || weir_parse_double(cell, &value) != WEIR_OK)
            return weir_error_set(error, WEIR_PARSE, line,
                                  "%s, line %lld: %s is not a number: \"%.*s\"", path, line,
                                  names[i], cell.bytes > 40 ? 40 : (int)cell.bytes,
                                  cell.data ? (const char *)cell.data : "");
        weir_block_set_double(record, i, 0, value);
    }
    if (err == WEIR_OK)
        err = weir_block_set_string(record, DATA_TYPE, 0, weir_slice("wine", 4));
    if (err == WEIR_OK)
        err = weir_encode_protobuf(record, 0, buffer, sizeof buffer, &bytes);
    if (err == WEIR_OK)
        err = append(records, buffer, bytes);
    return err == WEIR_OK ? err : weir_error_set(error, err, line, "%s: no memory for it", path);
}

static enum weir_err read_rows(struct weir_csv_reader *reader, const char *path, size_t records_max,
                               struct records *records, struct weir_error *error)
{
    struct weir_schema *schema = NULL;
    struct weir_block *rows = NULL, *record = NULL;
    enum weir_err err = weir_schema_wine(&schema);
    if (err == WEIR_OK)
        err = weir_block_new(schema, 1, &record);
    if (err == WEIR_OK)
        err = weir_block_new(weir_csv_schema(reader), ROWS, &rows);
    if (err != WEIR_OK)
        weir_error_set(error, err, -1, "no memory for the records");
    while (err == WEIR_OK) {
        err = weir_csv_read(reader, rows, error);
        for (uint32_t row = 0; err == WEIR_OK && row < rows->rows; row++)
            err = records->count == records_max
                      ? WEIR_END
                      : convert(reader, path, rows, row, record, records, error);
    }
    weir_block_free(rows);
    weir_block_free(record);
    weir_schema_unref(schema);
    return err == WEIR_END ? WEIR_OK : err;
}

enum weir_err records_read(const char *path, size_t records_max, struct records *out,
                           struct weir_error *error)
{
    struct weir_csv_options options = {
        .delimiter = ';', .names = names, .name_count = sizeof names / sizeof *names};
    struct weir_csv_reader *reader;
    *out = (struct records){0};
    weir_buffer_init(&out->bytes, BYTES_MAX);
    enum weir_err err = weir_csv_open(path, &options, &reader, error);
    if (err != WEIR_OK)
        return err;
    err = read_rows(reader, path, records_max, out, error);
    weir_csv_close(reader);
    if (err == WEIR_OK && out->count == 0)
        err = weir_error_set(error, WEIR_INVALID, -1, "%s: has no records", path);
    if (err != WEIR_OK)
        records_release(out);
    return err;
}

struct weir_slice records_get(const struct records *records, size_t index)
{
    return weir_slice(records->bytes.data + records->begin[index],
                      records->begin[index + 1] - records->begin[index]);
}

void records_release(struct records *records)
{
    weir_buffer_release(&records->bytes);
    weir_free(records->begin);
    *records = (struct records){0};
}
