/* record/protobuf.c - the protobuf wire format, see protobuf.h. */
#include "record/protobuf.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "fixed-width values are copied as they lie in the record");

enum { VARINT_BYTES_MAX = 10 };

enum weir_err pb_read_varint_slow(struct pb_cursor *cursor, uint64_t *out)
{
    uint64_t value = 0;
    const uint8_t *at = cursor->at;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++, at++) {
        if (at == cursor->end)
            return WEIR_TRUNCATED;
        if (i == VARINT_BYTES_MAX - 1 && *at > 1)
            return WEIR_PARSE; /* an eleventh byte to come, or bits beyond the 64th */
        value |= (uint64_t)(*at & 0x7f) << (7 * i);
        if (*at < 0x80) {
            cursor->at = at + 1;
            *out = value;
            return WEIR_OK;
        }
    }
    return WEIR_PARSE;
}

enum weir_err pb_read_bytes(struct pb_cursor *cursor, struct weir_slice *out)
{
    const uint8_t *begin = cursor->at;
    uint64_t length;
    enum weir_err err = pb_read_varint(cursor, &length);
    if (err != WEIR_OK)
        return err;
    if (length > (uint64_t)(cursor->end - cursor->at)) {
        cursor->at = begin;
        return WEIR_TRUNCATED;
    }
    *out = weir_slice(cursor->at, (size_t)length);
    cursor->at += length;
    return WEIR_OK;
}

enum weir_err pb_read_tag(struct pb_cursor *cursor, uint32_t *field_out, enum pb_wire *wire_out)
{
    const uint8_t *begin = cursor->at;
    uint64_t tag;
    enum weir_err err = pb_read_varint(cursor, &tag);
    if (err != WEIR_OK)
        return err;
    unsigned wire = tag & 7;
    bool known = wire == PB_VARINT || wire == PB_FIXED64 || wire == PB_BYTES || wire == PB_FIXED32;
    if (!known || tag >> 3 == 0 || tag > UINT32_MAX) {
        cursor->at = begin;
        return WEIR_PARSE;
    }
    *field_out = (uint32_t)(tag >> 3);
    *wire_out = (enum pb_wire)wire;
    return WEIR_OK;
}

enum weir_err pb_skip(struct pb_cursor *cursor, enum pb_wire wire)
{
    uint64_t wide;
    uint32_t narrow;
    struct weir_slice bytes;
    switch (wire) {
    case PB_VARINT:
        return pb_read_varint(cursor, &wide);
    case PB_FIXED64:
        return pb_read_fixed64(cursor, &wide);
    case PB_FIXED32:
        return pb_read_fixed32(cursor, &narrow);
    case PB_BYTES:
        return pb_read_bytes(cursor, &bytes);
    }
    return WEIR_PARSE;
}

/* Bytes that must follow a lead byte, and the range of the first of them: RFC 3629, section 4. */
static unsigned utf8_tail(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 1;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0)
            *low = 0xa0; /* shorter forms exist */
        if (lead == 0xed)
            *high = 0x9f; /* surrogates */
        return 2;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0)
            *low = 0x90;
        if (lead == 0xf4)
            *high = 0x8f; /* beyond U+10FFFF */
        return 3;
    }
    return 0;
}

bool pb_utf8_valid(struct weir_slice text)
{
    const uint8_t *at = text.data, *end = text.bytes ? at + text.bytes : at;
    while (at < end) {
        uint8_t lead = *at++, low, high;
        if (lead < 0x80)
            continue;
        unsigned tail = utf8_tail(lead, &low, &high);
        if (tail == 0 || (size_t)(end - at) < tail || *at < low || *at > high)
            return false;
        for (unsigned i = 1; i < tail; i++)
            if ((at[i] & 0xc0) != 0x80)
                return false;
        at += tail;
    }
    return true;
}

void pb_put_raw(struct pb_writer *writer, const void *bytes, size_t count)
{
    if (count && writer->need <= writer->capacity && count <= writer->capacity - writer->need)
        memcpy(writer->buffer + writer->need, bytes, count);
    writer->need += count;
}

void pb_put_varint(struct pb_writer *writer, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    size_t count = 0;
    while (value >= 0x80) {
        bytes[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[count++] = (uint8_t)value;
    pb_put_raw(writer, bytes, count);
}

void pb_put_tag(struct pb_writer *writer, uint32_t field, enum pb_wire wire)
{
    pb_put_varint(writer, (uint64_t)field << 3 | (unsigned)wire);
}

void pb_put_fixed64(struct pb_writer *writer, uint64_t value)
{
    pb_put_raw(writer, &value, sizeof value);
}

void pb_put_fixed32(struct pb_writer *writer, uint32_t value)
{
    pb_put_raw(writer, &value, sizeof value);
}

void pb_put_bytes(struct pb_writer *writer, uint32_t field, struct weir_slice bytes)
{
    pb_put_tag(writer, field, PB_BYTES);
    pb_put_varint(writer, bytes.bytes);
    pb_put_raw(writer, bytes.data, bytes.bytes);
}

void pb_put_uint(struct pb_writer *writer, uint32_t field, uint64_t value)
{
    pb_put_tag(writer, field, PB_VARINT);
    pb_put_varint(writer, value);
}

void pb_put_double(struct pb_writer *writer, uint32_t field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    pb_put_tag(writer, field, PB_FIXED64);
    pb_put_fixed64(writer, bits);
}
