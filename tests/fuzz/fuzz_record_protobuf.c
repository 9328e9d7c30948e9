/*
 * Any bytes as protobuf: rows of a block, then a ModelDescriptor and a ScoringResult. What decodes
 * is encoded and decoded again, and must come out the same; a row that doesn't is explained with
 * the code that it got.
 *
 * The first byte is the length of the block's records: the bytes behind it are cut into so many,
 * the last one is shorter. 0 leaves them whole.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <weir/record.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ROWS_MAX = 64, MESSAGE_BYTES_MAX = 1 << 17 };

/* One field of each type among the one-byte tags, and two behind them. */
static const struct weir_field fields[] = {
    {"number", WEIR_DOUBLE, 1}, {"short", WEIR_FLOAT, 2}, {"count", WEIR_INT64, 3},
    {"label", WEIR_STRING, 15}, {"far", WEIR_STRING, 16}, {"farther", WEIR_DOUBLE, 2000},
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Bytes of one row of a block, put where the caller says. */
static struct weir_slice encode(const struct weir_block *block, uint32_t row, void *buffer)
{
    size_t bytes = 0;
    require(weir_encode_protobuf(block, row, buffer, MESSAGE_BYTES_MAX, &bytes) == WEIR_OK);
    return weir_slice(buffer, bytes);
}

static void decode(struct weir_decoder *decoder, struct weir_block *block,
                   const struct weir_slice *values, uint32_t rows)
{
    require(weir_block_prepare(block, rows) == WEIR_OK);
    block->rows_meta.value = values;
    require(weir_decode(decoder, block) == WEIR_OK);
}

/* The row's bytes decode to a row with the same bytes. */
static void check_again(struct weir_decoder *decoder, const struct weir_block *block, uint32_t row,
                        struct weir_block *again, uint8_t *buffers)
{
    struct weir_slice first = encode(block, row, buffers);
    decode(decoder, again, &first, 1);
    require(again->failed == 0);
    struct weir_slice second = encode(again, 0, buffers + MESSAGE_BYTES_MAX);
    require(first.bytes == second.bytes && memcmp(first.data, second.data, first.bytes) == 0);
}

static void check_rows(const struct weir_slice *values, uint32_t rows, uint8_t *buffers)
{
    struct weir_schema *schema = NULL;
    struct weir_decoder *decoder = NULL;
    struct weir_block *block = NULL;
    struct weir_block *again = NULL;
    require(weir_schema_new("fuzz", fields, FIELDS, &schema, NULL) == WEIR_OK &&
            weir_decoder_protobuf_new(schema, &decoder, NULL) == WEIR_OK &&
            weir_block_new(schema, ROWS_MAX, &block) == WEIR_OK &&
            weir_block_new(schema, 1, &again) == WEIR_OK);
    decode(decoder, block, values, rows);
    uint32_t failed = 0;
    for (uint32_t row = 0; row < rows; row++) {
        enum weir_err status = (enum weir_err)block->status[row];
        if (status == WEIR_OK) {
            check_again(decoder, block, row, again, buffers);
            continue;
        }
        struct weir_error error;
        require(weir_decode_explain(decoder, values[row], &error) == status);
        failed++;
        for (uint32_t c = 0; c < FIELDS; c++) {
            require(!weir_column_is_valid(&block->columns[c], row));
        }
    }
    require(failed == block->failed && block->columns[0].valid_count == rows - failed);
    weir_block_free(again);
    weir_block_free(block);
    weir_decoder_free(decoder);
    weir_schema_unref(schema);
}

static void check_descriptor(struct weir_slice bytes, uint8_t *buffers)
{
    struct weir_descriptor descriptor;
    struct weir_error error;
    if (weir_descriptor_decode(bytes, &descriptor, &error) != WEIR_OK) {
        return;
    }
    size_t need = weir_descriptor_bytes(&descriptor);
    require(need <= MESSAGE_BYTES_MAX && weir_descriptor_encode(&descriptor, buffers) == need);
    require(weir_descriptor_decode(weir_slice(buffers, need), &descriptor, &error) == WEIR_OK);
    uint8_t *second = buffers + MESSAGE_BYTES_MAX;
    require(weir_descriptor_encode(&descriptor, second) == need);
    require(memcmp(buffers, second, need) == 0);
}

static void check_result(struct weir_slice bytes, uint8_t *buffers)
{
    struct weir_result result;
    struct weir_error error;
    if (weir_result_decode(bytes, &result, &error) != WEIR_OK) {
        return;
    }
    size_t need = weir_result_encode(&result, buffers, MESSAGE_BYTES_MAX);
    require(need <= WEIR_RESULT_BYTES_MAX);
    require(weir_result_decode(weir_slice(buffers, need), &result, &error) == WEIR_OK);
    uint8_t *second = buffers + MESSAGE_BYTES_MAX;
    require(weir_result_encode(&result, second, MESSAGE_BYTES_MAX) == need);
    require(memcmp(buffers, second, need) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0 || bytes > MESSAGE_BYTES_MAX / 2) {
        return 0;
    }
    uint8_t *buffers = malloc(2 * MESSAGE_BYTES_MAX);
    require(buffers != NULL);
    struct weir_slice values[ROWS_MAX];
    size_t step = data[0] > 0 ? data[0] : bytes;
    uint32_t rows = 0;
    for (size_t at = 1; rows == 0 || (rows < ROWS_MAX && at < bytes); at += step) {
        values[rows++] = weir_slice(data + at, bytes - at < step ? bytes - at : step);
    }
    check_rows(values, rows, buffers);
    check_descriptor(weir_slice(data + 1, bytes - 1), buffers);
    check_result(weir_slice(data + 1, bytes - 1), buffers);
    free(buffers);
    return 0;
}
