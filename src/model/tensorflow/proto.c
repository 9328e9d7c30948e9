#include "model/tensorflow/proto.h"

#include <string.h>

enum { VARINT_BYTES_MAX = 10 };

static bool broken(struct proto_cursor *c, const uint8_t *at)
{
    c->broken_at = at;
    c->at = c->end;
    return false;
}

bool proto_next_varint(struct proto_cursor *c, uint64_t *value_out)
{
    const uint8_t *start = c->at;
    uint64_t value = 0;
    if (c->at == c->end) {
        return false;
    }
    for (unsigned i = 0; i < VARINT_BYTES_MAX && c->at < c->end; i++) {
        uint8_t byte = *c->at++;
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) {
            break; /* beyond 64 bits */
        }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *value_out = value;
            return true;
        }
    }
    return broken(c, start);
}

/* Bits of a little-endian number. */
static bool take_fixed(struct proto_cursor *c, const uint8_t *start, size_t bytes, uint64_t *bits)
{
    if ((size_t)(c->end - c->at) < bytes) {
        return broken(c, start);
    }
    *bits = 0;
    for (size_t i = 0; i < bytes; i++) {
        *bits |= (uint64_t)c->at[i] << (8 * i);
    }
    c->at += bytes;
    return true;
}

static bool take_bytes(struct proto_cursor *c, const uint8_t *start, struct weir_slice *bytes)
{
    uint64_t length;
    if (!proto_next_varint(c, &length) || length > (uint64_t)(c->end - c->at)) {
        return broken(c, start);
    }
    *bytes = weir_slice(c->at, (size_t)length);
    c->at += length;
    return true;
}

bool proto_next(struct proto_cursor *c, struct proto_field *field)
{
    const uint8_t *start = c->at;
    uint64_t tag;
    if (!proto_next_varint(c, &tag)) {
        return false;
    }
    if (tag > UINT32_MAX || tag >> 3 == 0) {
        return broken(c, start);
    }
    *field =
        (struct proto_field){.number = (uint32_t)(tag >> 3), .wire = (enum proto_wire)(tag & 7)};
    switch (field->wire) {
    case PROTO_VARINT:
        return proto_next_varint(c, &field->value) || broken(c, start);
    case PROTO_FIXED64:
        return take_fixed(c, start, 8, &field->value);
    case PROTO_BYTES:
        return take_bytes(c, start, &field->bytes);
    case PROTO_FIXED32:
        return take_fixed(c, start, 4, &field->value);
    default: /* groups, 6 and 7 */
        return broken(c, start);
    }
}
