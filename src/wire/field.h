/*
 * wire/field.h - the fields of Kafka's protocol, one at a time.
 *
 * What:    a reader over the bytes of a request and a writer into a buffer. A `flexible` one uses
 *          the compact forms (KIP-482): lengths as unsigned varints plus one, tagged fields.
 * Life:    values on the stack.
 * Threads: none of its own.
 * Memory:  the reader borrows; strings and bytes point into the request. The writer appends to a
 *          weir_buffer, whose ceiling bounds an answer.
 * Errors:  sticky: after the first fault every read gives 0 or empty and `failed` stays set; every
 *          write does nothing and `err` stays. Handlers read all they want and look once.
 *
 * Source: kafka.apache.org/protocol, "Protocol Primitive Types".
 */
#ifndef WIRE_FIELD_H
#define WIRE_FIELD_H

#include <weir/base.h>

#include "base/buffer.h"

enum { WIRE_ARRAY_MAX = 1 << 20 }; /* elements of one array */

/* Sixteen bytes; all zero stands for none. */
struct wire_uuid {
    uint8_t bytes[16];
};

struct wire_reader {
    const uint8_t *at, *end;
    bool flexible, failed;
};

struct wire_reader wire_reader(struct weir_slice bytes, bool flexible);
int8_t wire_i8(struct wire_reader *reader);
int16_t wire_i16(struct wire_reader *reader);
int32_t wire_i32(struct wire_reader *reader);
int64_t wire_i64(struct wire_reader *reader);
bool wire_bool(struct wire_reader *reader);
/* Up to five bytes, little-endian groups of seven bits. */
uint32_t wire_uvarint(struct wire_reader *reader);
struct wire_uuid wire_uuid(struct wire_reader *reader);
/* STRING or COMPACT_STRING, nullable or not: null is a null slice. */
struct weir_slice wire_string(struct wire_reader *reader);
/* The same that never is compact (the client id of a request header). */
struct weir_slice wire_string_plain(struct wire_reader *reader);
/* BYTES or COMPACT_BYTES, RECORDS too. */
struct weir_slice wire_bytes(struct wire_reader *reader);
/* Number of elements, -1 = null. Fails when so many can't stand in what is left of the request, an
 * element taking element_bytes_min (>= 1) at least. */
int32_t wire_array(struct wire_reader *reader, size_t element_bytes_min);
/* The tagged fields at a struct's end: read over. Nothing unless flexible. */
void wire_tags(struct wire_reader *reader);

struct wire_writer {
    struct weir_buffer *into;
    bool flexible;
    enum weir_err err;
};

struct wire_writer wire_writer(struct weir_buffer *into, bool flexible);
void wire_put_i8(struct wire_writer *writer, int8_t value);
void wire_put_i16(struct wire_writer *writer, int16_t value);
void wire_put_i32(struct wire_writer *writer, int32_t value);
void wire_put_i64(struct wire_writer *writer, int64_t value);
void wire_put_bool(struct wire_writer *writer, bool value);
void wire_put_uvarint(struct wire_writer *writer, uint32_t value);
void wire_put_uuid(struct wire_writer *writer, struct wire_uuid value);
void wire_put_string(struct wire_writer *writer, struct weir_slice text); /* null slice = null */
void wire_put_text(struct wire_writer *writer, const char *text);         /* NULL = null */
void wire_put_bytes(struct wire_writer *writer, struct weir_slice bytes);
void wire_put_array(struct wire_writer *writer, int32_t count); /* -1 = null */
void wire_put_tags(struct wire_writer *writer);                 /* none of them */

/* A 32-bit place to be filled in later, for sizes that come after their content. */
size_t wire_reserve_i32(struct wire_writer *writer);
void wire_fill_i32(struct wire_writer *writer, size_t place, int32_t value);
/* Bytes that are appended to the writer's buffer by somebody else: their length is filled in behind
 * them. The compact form is a varint of five bytes whatever the length, which readers of varints
 * take as well as the shortest. */
size_t wire_bytes_begin(struct wire_writer *writer);
void wire_bytes_end(struct wire_writer *writer, size_t place);

#endif
