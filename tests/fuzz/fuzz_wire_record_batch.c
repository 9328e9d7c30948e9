/* Bytes as record batches: each is refused or walked to its end; its CRC is left aside. */
#include <stdint.h>

#include "wire/record_batch.h"

static void walk_headers(const struct wire_record *record)
{
    struct weir_slice headers = record->headers, name, value;
    for (int32_t i = 0; i < record->header_count; i++)
        if (wire_header_next(&headers, &name, &value) != WEIR_OK)
            __builtin_trap(); /* the walk has checked them */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_slice bytes = weir_slice(data, size);
    struct wire_batch batch;
    struct weir_error error;
    while (wire_batch_read(bytes, &batch, &error) == WEIR_OK) {
        struct wire_walk walk;
        struct wire_record record;
        wire_batch_crc_holds(&batch);
        enum weir_err err = wire_walk_init(&walk, &batch, 1 << 20, &error);
        while (err == WEIR_OK && (err = wire_walk_next(&walk, &record, &error)) == WEIR_OK)
            walk_headers(&record);
        wire_walk_release(&walk);
        bytes = weir_slice((const uint8_t *)bytes.data + batch.byte_count,
                           bytes.bytes - batch.byte_count);
    }
    return 0;
}
