/* Delimited files are read as RFC 4180 says, whatever the line ends, and bad ones are refused with
 * the line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <weir/record.h>

static char path[] = "weir-csv-XXXXXX";

static void write_file(const char *text, size_t count)
{
    memcpy(path, "weir-csv-XXXXXX", sizeof path);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, count), count);
    close(fd);
}

/* Opens the text as a file and reads up to 64 rows. */
static enum weir_err read_text(const char *text, const struct weir_csv_options *options,
                               struct weir_csv_reader **reader, struct weir_block **block,
                               struct weir_error *error)
{
    *reader = NULL;
    *block = NULL;
    write_file(text, strlen(text));
    enum weir_err err = weir_csv_open(path, options, reader, error);
    unlink(path);
    if (err != WEIR_OK)
        return err;
    assert_int_equal(weir_block_new(weir_csv_schema(*reader), 64, block), WEIR_OK);
    return weir_csv_read(*reader, *block, error);
}

static void done(struct weir_csv_reader *reader, struct weir_block *block)
{
    weir_block_free(block);
    weir_csv_close(reader);
}

static void assert_cell(const struct weir_block *block, uint32_t column, uint32_t row,
                        const char *expected)
{
    struct weir_slice cell = weir_block_string(block, column, row);
    if (!expected) {
        assert_null(cell.data);
        return;
    }
    assert_non_null(cell.data);
    assert_int_equal(cell.bytes, strlen(expected));
    assert_memory_equal(cell.data, expected, cell.bytes);
}

static void cells_quotes_and_line_ends_are_read(void **state)
{
    (void)state;
    struct weir_csv_reader *reader;
    struct weir_block *block;
    static const char text[] = "\xef\xbb\xbf"
                               "a,\"b c\",d\r\n"
                               "1,\"x,\"\"y\"\"\",3\r\n\r\n"
                               "\"two\nlines\",,NA\n"
                               "last,row,no end";
    static const char *missing[] = {"NA"};
    struct weir_csv_options options = {.missing = missing, .missing_count = 1};
    assert_int_equal(read_text(text, &options, &reader, &block, NULL), WEIR_OK);
    assert_string_equal(weir_schema_field(block->schema, 0)->name, "a");
    assert_string_equal(weir_schema_field(block->schema, 1)->name, "b c");
    assert_int_equal(block->rows, 3);
    assert_cell(block, 0, 0, "1");
    assert_cell(block, 1, 0, "x,\"y\"");
    assert_cell(block, 0, 1, "two\nlines");
    assert_cell(block, 1, 1, NULL);
    assert_cell(block, 2, 1, NULL);
    assert_cell(block, 2, 2, "no end");
    assert_int_equal(weir_csv_line(reader, 0), 2);
    assert_int_equal(weir_csv_line(reader, 1), 4);
    assert_int_equal(weir_csv_line(reader, 2), 6);
    assert_int_equal(block->rows_meta.offset[2], 2);
    assert_int_equal(weir_csv_read(reader, block, NULL), WEIR_END);
    done(reader, block);
}

static void names_can_be_given_for_a_file_without_header(void **state)
{
    (void)state;
    struct weir_csv_reader *reader;
    struct weir_block *block;
    static const char *names[] = {"x", "y"};
    struct weir_csv_options options = {.delimiter = ';', .names = names, .name_count = 2};
    assert_int_equal(read_text("1;2\n3;4\n", &options, &reader, &block, NULL), WEIR_OK);
    assert_int_equal(block->rows, 2);
    assert_cell(block, 1, 1, "4");
    done(reader, block);
}

static void a_row_with_another_number_of_cells_fails_alone(void **state)
{
    (void)state;
    struct weir_csv_reader *reader;
    struct weir_block *block;
    assert_int_equal(read_text("a,b\n1\n1,2\n1,2,3\n", NULL, &reader, &block, NULL), WEIR_OK);
    assert_int_equal(block->rows, 3);
    assert_int_equal(block->failed, 2);
    assert_int_equal(block->status[0], WEIR_PARSE);
    assert_int_equal(block->status[1], WEIR_OK);
    assert_int_equal(block->status[2], WEIR_PARSE);
    done(reader, block);
}

static void bad_files_are_refused_with_place_and_reason(void **state)
{
    (void)state;
    struct weir_csv_reader *reader;
    struct weir_block *block;
    struct weir_error error = {0};
    assert_int_equal(read_text("", NULL, &reader, &block, &error), WEIR_PARSE);
    assert_non_null(strstr(error.message, "header row"));
    assert_int_equal(read_text("a,a\n", NULL, &reader, &block, &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "twice"));
    assert_int_equal(read_text("a,b\n1,2\n\"3,4\n", NULL, &reader, &block, &error), WEIR_PARSE);
    assert_int_equal(error.position, 3);
    done(reader, block);
    assert_int_equal(weir_csv_open("no/such/file.csv", NULL, &reader, &error), WEIR_NOT_FOUND);
    assert_int_equal(weir_csv_open(".", NULL, &reader, &error), WEIR_INVALID);
}

static void a_file_of_many_blocks_is_read_whole(void **state)
{
    (void)state;
    enum { ROWS = 200000 };
    struct weir_csv_reader *reader;
    struct weir_block *block;
    size_t at = 0;
    char *text = malloc(ROWS * 16);
    at += (size_t)snprintf(text, 16, "n\n");
    for (int i = 0; i < ROWS; i++)
        at += (size_t)snprintf(text + at, 16, "%d\n", i);
    write_file(text, at);
    free(text);
    assert_int_equal(weir_csv_open(path, NULL, &reader, NULL), WEIR_OK);
    unlink(path);
    assert_int_equal(weir_block_new(weir_csv_schema(reader), 1024, &block), WEIR_OK);
    int row = 0;
    while (weir_csv_read(reader, block, NULL) == WEIR_OK) {
        for (uint32_t i = 0; i < block->rows; i++, row++) {
            char expected[16];
            snprintf(expected, sizeof expected, "%d", row);
            assert_cell(block, 0, i, expected);
        }
    }
    assert_int_equal(row, ROWS);
    assert_int_equal(weir_csv_bytes_read(reader), weir_csv_bytes_total(reader));
    done(reader, block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_quotes_and_line_ends_are_read),
        cmocka_unit_test(names_can_be_given_for_a_file_without_header),
        cmocka_unit_test(a_row_with_another_number_of_cells_fails_alone),
        cmocka_unit_test(bad_files_are_refused_with_place_and_reason),
        cmocka_unit_test(a_file_of_many_blocks_is_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
