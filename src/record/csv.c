/*
 * record/csv.c - delimited files block by block, RFC 4180 with any delimiter.
 *
 * The file is read in pieces into one buffer; a row is split in place (quotes are taken out where
 * they stand) and its cells go into the block's dictionaries. A row must fit ROW_BYTES_MAX.
 */
#include <weir/record.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/errno_error.h"
#include "base/assert.h"
#include "record/dictionary.h"

enum { ROW_BYTES_MAX = 1 << 20, BUFFER_BYTES = 2 * ROW_BYTES_MAX };

struct weir_csv_reader {
    int fd;
    bool owns_fd, at_end;
    char delimiter;
    char *path;
    struct weir_schema *schema;
    struct weir_slice *missing; /* cells that mean missing */
    uint32_t missing_count;
    struct weir_slice *cells; /* of the current row */
    uint32_t cell_count, cell_capacity;
    char *buffer; /* BUFFER_BYTES */
    size_t begin, end;
    int64_t line; /* of the current row, from 1 */
    int64_t line_next;
    int64_t *lines; /* of the rows of the last block, [lines_capacity] */
    uint32_t lines_capacity;
    uint64_t row, bytes_read, bytes_total;
};

/* ---- bytes to rows --------------------------------------------------------------------------- */

static enum weir_err fill(struct weir_csv_reader *reader, struct weir_error *error)
{
    memmove(reader->buffer, reader->buffer + reader->begin, reader->end - reader->begin);
    reader->end -= reader->begin;
    reader->begin = 0;
    while (reader->end < BUFFER_BYTES && !reader->at_end) {
        ssize_t got = read(reader->fd, reader->buffer + reader->end, BUFFER_BYTES - reader->end);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return weir_errno_set(error, errno, reader->path, "reading");
        reader->at_end = got == 0;
        reader->end += (size_t)got;
        reader->bytes_read += (uint64_t)got;
        if (got > 0 && reader->end - reader->begin >= ROW_BYTES_MAX)
            break;
    }
    return WEIR_OK;
}

/* Length of the row at begin without its line break; *whole_out with it. 0 lines = incomplete. */
static bool find_row(const struct weir_csv_reader *reader, size_t *bytes_out, size_t *whole_out,
                     int64_t *lines_out)
{
    const char *at = reader->buffer + reader->begin, *end = reader->buffer + reader->end;
    const char *start = at;
    bool quoted = false;
    *lines_out = 1;
    for (; at < end; at++) {
        if (*at == '"') {
            quoted = !quoted; /* a doubled quote closes and opens again: the same in the end */
        } else if (*at == '\n') {
            if (!quoted)
                break;
            ++*lines_out;
        }
    }
    if (at == end && (quoted || !reader->at_end))
        return false;
    *whole_out = (size_t)(at - start) + (at < end);
    *bytes_out = (size_t)(at - start);
    if (*bytes_out && start[*bytes_out - 1] == '\r')
        --*bytes_out;
    return true;
}

/* Makes the row at `begin` whole in the buffer. END after the last. */
static enum weir_err next_row(struct weir_csv_reader *reader, char **row_out, size_t *bytes_out,
                              struct weir_error *error)
{
    size_t whole;
    int64_t lines;
    for (;;) {
        if (reader->begin == reader->end && reader->at_end)
            return WEIR_END;
        if (find_row(reader, bytes_out, &whole, &lines) && reader->begin < reader->end) {
            reader->line = reader->line_next;
            reader->line_next += lines;
            *row_out = reader->buffer + reader->begin;
            reader->begin += whole;
            if (*bytes_out == 0)
                continue; /* a blank line */
            return WEIR_OK;
        }
        if (reader->at_end)
            return weir_error_set(error, WEIR_PARSE, reader->line_next,
                                  "%s, line %lld: a quoted cell is not closed before the end",
                                  reader->path, (long long)reader->line_next);
        if (reader->end - reader->begin >= ROW_BYTES_MAX)
            return weir_error_set(error, WEIR_LIMIT, reader->line_next,
                                  "%s, line %lld: the row is over %d bytes (a quote not closed?)",
                                  reader->path, (long long)reader->line_next, ROW_BYTES_MAX);
        enum weir_err err = fill(reader, error);
        if (err != WEIR_OK)
            return err;
    }
}

/* ---- rows to cells --------------------------------------------------------------------------- */

static enum weir_err add_cell(struct weir_csv_reader *reader, struct weir_slice cell)
{
    if (reader->cell_count == reader->cell_capacity) {
        uint32_t capacity = reader->cell_capacity ? reader->cell_capacity * 2 : 64;
        if (capacity > 2 * WEIR_FIELDS_MAX)
            return WEIR_LIMIT;
        void *cells = weir_realloc(reader->cells, capacity * sizeof *reader->cells);
        if (!cells)
            return WEIR_NOMEM;
        reader->cells = cells;
        reader->cell_capacity = capacity;
    }
    reader->cells[reader->cell_count++] = cell;
    return WEIR_OK;
}

/* Takes the quotes out of a quoted cell in place; *at is behind it afterwards. */
static struct weir_slice unquote(char **at, char *end)
{
    char *from = *at + 1, *begin = from, *to = from;
    while (from < end) {
        if (*from == '"') {
            if (from + 1 < end && from[1] == '"')
                from++;
            else
                break;
        }
        *to++ = *from++;
    }
    *at = from < end ? from + 1 : end;
    return weir_slice(begin, (size_t)(to - begin));
}

static enum weir_err split(struct weir_csv_reader *reader, char *row, size_t bytes)
{
    char *at = row, *end = row + bytes;
    reader->cell_count = 0;
    for (;;) {
        struct weir_slice cell;
        if (at < end && *at == '"') {
            cell = unquote(&at, end);
            while (at < end && *at != reader->delimiter)
                at++; /* what stands between the quote and the delimiter is dropped */
        } else {
            char *begin = at;
            at = memchr(begin, reader->delimiter, (size_t)(end - begin));
            at = at ? at : end;
            cell = weir_slice(begin, (size_t)(at - begin));
        }
        enum weir_err err = add_cell(reader, cell);
        if (err != WEIR_OK)
            return err;
        if (at >= end)
            return WEIR_OK;
        at++;
    }
}

static bool is_missing(const struct weir_csv_reader *reader, struct weir_slice cell)
{
    if (cell.bytes == 0)
        return true;
    for (uint32_t i = 0; i < reader->missing_count; i++)
        if (weir_slice_equal(reader->missing[i], cell))
            return true;
    return false;
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum weir_err open_file(struct weir_csv_reader *reader, const char *path,
                               struct weir_error *error)
{
    struct stat status;
    if (strcmp(path, "-") == 0) {
        reader->fd = STDIN_FILENO;
        return WEIR_OK;
    }
    reader->fd = open(path, O_RDONLY | O_CLOEXEC);
    reader->owns_fd = reader->fd >= 0;
    if (reader->fd < 0 || fstat(reader->fd, &status) != 0)
        return weir_errno_set(error, errno, path, NULL);
    if (S_ISDIR(status.st_mode))
        return weir_error_set(error, WEIR_INVALID, -1, "%s: is a directory, not a file", path);
    if (S_ISREG(status.st_mode))
        reader->bytes_total = (uint64_t)status.st_size;
    return WEIR_OK;
}

static enum weir_err make_schema(struct weir_csv_reader *reader, const char *const *names,
                                 uint32_t count, struct weir_error *error)
{
    struct weir_field *fields = weir_calloc(count ? count : 1, sizeof *fields);
    if (!fields)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the header row");
    for (uint32_t i = 0; i < count; i++)
        fields[i] = (struct weir_field){names[i], WEIR_STRING, 0};
    enum weir_err err = weir_schema_new("csv", fields, count, &reader->schema, error);
    weir_free(fields);
    return err;
}

static enum weir_err read_header(struct weir_csv_reader *reader, struct weir_error *error)
{
    char *row;
    size_t bytes;
    enum weir_err err = next_row(reader, &row, &bytes, error);
    if (err == WEIR_END)
        return weir_error_set(error, WEIR_PARSE, 1,
                              "%s: is empty; a header row with the field names is expected",
                              reader->path);
    if (err == WEIR_OK && bytes >= 3 && memcmp(row, "\xef\xbb\xbf", 3) == 0) {
        row += 3; /* a byte-order mark */
        bytes -= 3;
    }
    if (err == WEIR_OK)
        err = split(reader, row, bytes);
    if (err != WEIR_OK)
        return err;
    char **names = weir_calloc(reader->cell_count, sizeof *names);
    if (!names)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the header row");
    for (uint32_t i = 0; i < reader->cell_count && err == WEIR_OK; i++) {
        names[i] = weir_strndup(reader->cells[i].data, reader->cells[i].bytes);
        err = names[i] ? WEIR_OK : weir_error_set(error, WEIR_NOMEM, -1, "no memory");
    }
    if (err == WEIR_OK)
        err = make_schema(reader, (const char *const *)names, reader->cell_count, error);
    if (err != WEIR_OK)
        weir_error_context(error, "%s, header row", reader->path);
    for (uint32_t i = 0; i < reader->cell_count; i++)
        weir_free(names[i]);
    weir_free(names);
    return err;
}

static enum weir_err copy_missing(struct weir_csv_reader *reader,
                                  const struct weir_csv_options *options, struct weir_error *error)
{
    if (options->missing_count == 0)
        return WEIR_OK;
    reader->missing = weir_calloc(options->missing_count, sizeof *reader->missing);
    if (!reader->missing)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the missing cells");
    for (uint32_t i = 0; i < options->missing_count; i++) {
        char *copy = weir_strdup(options->missing[i]);
        if (!copy)
            return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the missing cells");
        reader->missing[i] = weir_slice(copy, strlen(copy));
        reader->missing_count++;
    }
    return WEIR_OK;
}

enum weir_err weir_csv_open(const char *path, const struct weir_csv_options *options,
                            struct weir_csv_reader **reader_out, struct weir_error *error)
{
    static const struct weir_csv_options defaults = {0};
    options = options ? options : &defaults;
    struct weir_csv_reader *reader = weir_calloc(1, sizeof *reader);
    if (!reader)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a CSV reader");
    reader->fd = -1;
    reader->line_next = 1;
    reader->delimiter = options->delimiter ? options->delimiter : ',';
    reader->path = weir_strdup(strcmp(path, "-") == 0 ? "standard input" : path);
    reader->buffer = weir_alloc(BUFFER_BYTES);
    enum weir_err err = reader->path && reader->buffer
                            ? open_file(reader, path, error)
                            : weir_error_set(error, WEIR_NOMEM, -1, "no memory for a CSV reader");
    if (err == WEIR_OK)
        err = copy_missing(reader, options, error);
    if (err == WEIR_OK)
        err = options->names ? make_schema(reader, options->names, options->name_count, error)
                             : read_header(reader, error);
    if (err != WEIR_OK) {
        weir_csv_close(reader);
        return err;
    }
    *reader_out = reader;
    return WEIR_OK;
}

void weir_csv_close(struct weir_csv_reader *reader)
{
    if (!reader)
        return;
    if (reader->owns_fd)
        close(reader->fd);
    for (uint32_t i = 0; i < reader->missing_count; i++)
        weir_free((void *)(uintptr_t)reader->missing[i].data);
    weir_free(reader->missing);
    weir_schema_unref(reader->schema);
    weir_free(reader->cells);
    weir_free(reader->buffer);
    weir_free(reader->lines);
    weir_free(reader->path);
    weir_free(reader);
}

struct weir_schema *weir_csv_schema(const struct weir_csv_reader *reader)
{
    return reader->schema;
}

int64_t weir_csv_line(const struct weir_csv_reader *reader, uint32_t row)
{
    weir_assert(row < reader->lines_capacity);
    return reader->lines[row];
}

uint64_t weir_csv_bytes_read(const struct weir_csv_reader *reader)
{
    return reader->bytes_read - (reader->end - reader->begin);
}

uint64_t weir_csv_bytes_total(const struct weir_csv_reader *reader)
{
    return reader->bytes_total;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum weir_err take_row(struct weir_csv_reader *reader, struct weir_block *block,
                              uint32_t row)
{
    uint32_t fields = weir_schema_field_count(reader->schema);
    if (reader->cell_count != fields) {
        weir_block_fail_row(block, row, WEIR_PARSE);
        return WEIR_OK;
    }
    for (uint32_t i = 0; i < fields; i++) {
        if (is_missing(reader, reader->cells[i]))
            continue;
        enum weir_err err = weir_block_set_string(block, i, row, reader->cells[i]);
        if (err == WEIR_LIMIT)
            weir_block_fail_row(block, row, err);
        else if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

static enum weir_err keep_lines(struct weir_csv_reader *reader, uint32_t capacity)
{
    if (capacity <= reader->lines_capacity)
        return WEIR_OK;
    void *lines = weir_realloc(reader->lines, capacity * sizeof *reader->lines);
    if (!lines)
        return WEIR_NOMEM;
    reader->lines = lines;
    reader->lines_capacity = capacity;
    return WEIR_OK;
}

enum weir_err weir_csv_read(struct weir_csv_reader *reader, struct weir_block *block,
                            struct weir_error *error)
{
    weir_assert(block->schema == reader->schema);
    uint32_t capacity = block->capacity, row = 0;
    struct weir_own_rows own;
    for (uint32_t i = 0; i < weir_schema_field_count(block->schema); i++)
        dictionary_clear(block->columns[i].dictionary);
    enum weir_err err = weir_block_reset(block, capacity);
    if (err == WEIR_OK)
        err = keep_lines(reader, capacity);
    if (err == WEIR_OK)
        err = weir_block_own_rows(block, &own);
    for (; err == WEIR_OK && row < capacity; row++) {
        char *text;
        size_t bytes;
        err = next_row(reader, &text, &bytes, error);
        if (err == WEIR_OK)
            err = split(reader, text, bytes);
        if (err == WEIR_LIMIT && reader->cell_count > WEIR_FIELDS_MAX) {
            weir_block_fail_row(block, row, WEIR_PARSE); /* far too many cells */
            err = WEIR_OK;
        } else if (err == WEIR_OK) {
            err = take_row(reader, block, row);
        }
        if (err != WEIR_OK)
            break;
        own.offset[row] = (int64_t)reader->row++;
        reader->lines[row] = reader->line;
    }
    block->rows = row;
    if (err == WEIR_END)
        return row ? WEIR_OK : WEIR_END;
    return err;
}
