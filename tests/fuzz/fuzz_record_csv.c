/*
 * Any bytes as a delimited file, read block by block to its end. The first byte chooses delimiter,
 * header and rows of a block. Every cell that is read is looked at, lines never go back, and
 * the reader ends.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <weir/record.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_block(const struct weir_csv_reader *reader, const struct weir_block *block,
                        int64_t *line)
{
    uint32_t columns = weir_schema_field_count(block->schema);
    uint32_t failed = 0;
    for (uint32_t row = 0; row < block->rows; row++) {
        failed += block->status[row] != WEIR_OK;
        require(weir_csv_line(reader, row) > *line);
        *line = weir_csv_line(reader, row);
        for (uint32_t c = 0; c < columns; c++) {
            bool valid = weir_column_is_valid(&block->columns[c], row);
            struct weir_slice text = weir_block_string(block, c, row);
            require(valid == (text.data != NULL));
            volatile uint8_t sink =
                text.bytes > 0 ? ((const uint8_t *)text.data)[text.bytes - 1] : 0;
            (void)sink;
        }
    }
    require(failed == block->failed);
}

static void read_all(struct weir_csv_reader *reader, uint32_t capacity, size_t bytes)
{
    struct weir_block *block = NULL;
    struct weir_error error;
    int64_t line = 0;
    require(weir_block_new(weir_csv_schema(reader), capacity, &block) == WEIR_OK);
    size_t rows = 0;
    enum weir_err err;
    while ((err = weir_csv_read(reader, block, &error)) == WEIR_OK) {
        check_block(reader, block, &line);
        rows += block->rows;
        require(block->rows > 0 && rows <= bytes + 1);
    }
    require(err != WEIR_END || block->rows == 0);
    weir_block_free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char delimiters[] = {0, ';', '\t', '|'};
    static const char *const names[] = {"a", "b", "c"};
    static const char *const missing[] = {"NA", "?"};
    unsigned choice = bytes > 0 ? data[0] : 0;
    struct weir_csv_options options = {
        .delimiter = delimiters[choice % 4],
        .names = (choice & 4) != 0 ? names : NULL,
        .name_count = (choice & 4) != 0 ? 3 : 0,
        .missing = missing,
        .missing_count = (choice & 8) != 0 ? 2 : 0,
    };
    size_t length = bytes > 0 ? bytes - 1 : 0;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0);
    require(length == 0 || write(fd, data + 1, length) == (ssize_t)length);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct weir_csv_reader *reader = NULL;
    struct weir_error error;
    if (weir_csv_open(path, &options, &reader, &error) == WEIR_OK) {
        read_all(reader, (choice & 16) != 0 ? 64 : 1, length);
        weir_csv_close(reader);
    }
    close(fd);
    return 0;
}
