/*
 * Bytes as a request's head and, behind it, fields in an order that the bytes themselves choose:
 * the readers never leave their bytes, and what they give is what a writer writes.
 */
#include <stdint.h>
#include <string.h>

#include "wire/api.h"

static void read_field(struct wire_reader *reader, unsigned kind)
{
    struct weir_slice slice = {NULL, 0};
    switch (kind % 10) {
    case 0:
        wire_i8(reader);
        break;
    case 1:
        wire_i16(reader);
        break;
    case 2:
        wire_i32(reader);
        break;
    case 3:
        wire_i64(reader);
        break;
    case 4:
        wire_uvarint(reader);
        break;
    case 5:
        slice = wire_string(reader);
        break;
    case 6:
        slice = wire_bytes(reader);
        break;
    case 7:
        wire_array(reader, 1 + kind % 7);
        break;
    case 8:
        wire_tags(reader);
        break;
    default:
        slice = wire_string_plain(reader);
        break;
    }
    if (slice.data && slice.bytes) { /* touch both ends */
        volatile uint8_t sink = *(const uint8_t *)slice.data;
        sink = ((const uint8_t *)slice.data)[slice.bytes - 1];
        (void)sink;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader reader = wire_reader(weir_slice(data, size), false);
    struct wire_request_head head;
    if (wire_request_head(&reader, &head)) {
        struct weir_buffer buffer;
        weir_buffer_init(&buffer, 1 << 16);
        struct wire_writer writer = wire_writer(&buffer, false);
        wire_response_head(&writer, &head);
        weir_buffer_release(&buffer);
    }
    for (size_t i = 0; i < size && !reader.failed && reader.at < reader.end; i++)
        read_field(&reader, data[size - 1 - i]);
    return 0;
}
