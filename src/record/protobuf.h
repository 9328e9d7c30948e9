/*
 * record/protobuf.h - the protobuf wire format: reading and writing one field at a time.
 *
 * What:    a cursor that reads tags and values with every bound checked, and a writer that appends
 *          to a buffer of known size. Used by the table-driven decoder and by the messages of the
 *          model server.
 * Life:    values on the stack; nothing to release.
 * Threads: none of its own.
 * Memory:  the cursor borrows the bytes; strings it hands out point into them.
 * Errors:  TRUNCATED (the bytes end inside a value) and PARSE (what can't be protobuf), with the
 *          cursor left on the byte where the offending value begins.
 *
 * Source of the format: protobuf.dev, "Encoding".
 */
#ifndef RECORD_PROTOBUF_H
#define RECORD_PROTOBUF_H

#include <string.h>

#include <weir/base.h>

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_cursor {
    const uint8_t *at, *end;
};

static inline struct pb_cursor pb_cursor(struct weir_slice bytes)
{
    const uint8_t *begin = bytes.data;
    struct pb_cursor cursor = {begin, begin ? begin + bytes.bytes : begin};
    return cursor;
}

/* Up to ten bytes, little-endian groups of seven bits; an eleventh, or bits above 64, are PARSE. */
enum weir_err pb_read_varint_slow(struct pb_cursor *cursor, uint64_t *out);

static inline enum weir_err pb_read_varint(struct pb_cursor *cursor, uint64_t *out)
{
    if (cursor->at < cursor->end && *cursor->at < 0x80) {
        *out = *cursor->at++;
        return WEIR_OK;
    }
    return pb_read_varint_slow(cursor, out);
}

static inline enum weir_err pb_read_fixed64(struct pb_cursor *cursor, uint64_t *out)
{
    if (cursor->end - cursor->at < 8)
        return WEIR_TRUNCATED;
    memcpy(out, cursor->at, 8); /* little-endian on every machine Weir runs on: see protobuf.c */
    cursor->at += 8;
    return WEIR_OK;
}

static inline enum weir_err pb_read_fixed32(struct pb_cursor *cursor, uint32_t *out)
{
    if (cursor->end - cursor->at < 4)
        return WEIR_TRUNCATED;
    memcpy(out, cursor->at, 4);
    cursor->at += 4;
    return WEIR_OK;
}

/* A length and so many bytes, borrowed. */
enum weir_err pb_read_bytes(struct pb_cursor *cursor, struct weir_slice *out);
/* Field number 1 .. 2^29-1 and wire type; groups (3, 4) and reserved types are PARSE. */
enum weir_err pb_read_tag(struct pb_cursor *cursor, uint32_t *field_out, enum pb_wire *wire_out);
/* Steps over the value of an unknown field. */
enum weir_err pb_skip(struct pb_cursor *cursor, enum pb_wire wire);

/* Well-formed UTF-8 without surrogates (RFC 3629), as proto3 asks of strings. */
bool pb_utf8_valid(struct weir_slice text);

/* ---- writing --------------------------------------------------------------------------------- */

/* Appends as long as there is room; `need` counts what it would have written all the same, so that
 * need > capacity says that the buffer was too small. A NULL buffer only counts. */
struct pb_writer {
    uint8_t *buffer;
    size_t capacity, need;
};

void pb_put_varint(struct pb_writer *writer, uint64_t value);
void pb_put_tag(struct pb_writer *writer, uint32_t field, enum pb_wire wire);
void pb_put_fixed64(struct pb_writer *writer, uint64_t value);
void pb_put_fixed32(struct pb_writer *writer, uint32_t value);
void pb_put_raw(struct pb_writer *writer, const void *bytes, size_t count);
/* Tag, length, bytes. */
void pb_put_bytes(struct pb_writer *writer, uint32_t field, struct weir_slice bytes);
/* Tag and varint, tag and IEEE 754 bits. */
void pb_put_uint(struct pb_writer *writer, uint32_t field, uint64_t value);
void pb_put_double(struct pb_writer *writer, uint32_t field, double value);

#endif
