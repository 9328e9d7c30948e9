/* record/encode.c - a row of a block as a protobuf record. */
#include <weir/record.h>

#include "base/assert.h"
#include "record/protobuf.h"

static void put_cell(struct pb_writer *writer, const struct weir_block *block, uint32_t column,
                     uint32_t row, uint32_t field)
{
    const struct weir_column *cells = &block->columns[column];
    uint32_t bits;
    switch (cells->type) {
    case WEIR_DOUBLE:
        pb_put_double(writer, field, cells->f64[row]);
        return;
    case WEIR_FLOAT:
        memcpy(&bits, &cells->f32[row], sizeof bits);
        pb_put_tag(writer, field, PB_FIXED32);
        pb_put_fixed32(writer, bits);
        return;
    case WEIR_INT64:
        pb_put_uint(writer, field, (uint64_t)cells->i64[row]);
        return;
    case WEIR_STRING:
        pb_put_bytes(writer, field, cells->dictionary->strings[cells->code[row]]);
        return;
    }
}

enum weir_err weir_encode_protobuf(const struct weir_block *block, uint32_t row, void *buffer,
                                   size_t capacity, size_t *bytes_out)
{
    struct pb_writer writer = {.buffer = buffer, .capacity = capacity};
    weir_assert(row < block->rows);
    uint32_t count = weir_schema_field_count(block->schema);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = weir_schema_field(block->schema, i)->number;
        if (number && weir_column_is_valid(&block->columns[i], row))
            put_cell(&writer, block, i, row, number);
    }
    if (writer.need > capacity)
        return WEIR_LIMIT;
    *bytes_out = writer.need;
    return WEIR_OK;
}
