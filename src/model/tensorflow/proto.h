/*
 * model/tensorflow/proto.h - walks the fields of one protobuf message.
 *
 *      struct proto_cursor c = proto_open(message);
 *      struct proto_field f;
 *      while (proto_next(&c, &f)) { ... f.number, f.wire, f.value or f.bytes ... }
 *      if (c.broken_at != NULL) the message is malformed there
 *
 * Life, memory: a cursor borrows the message; so do the slices that it gives.
 * Threads: plain values.
 * Errors:  the walk ends and broken_at is set: truncated or overlong varint, a length beyond the
 *          message, field number 0, a group, an unknown wire type.
 */
#ifndef WEIR_MODEL_TENSORFLOW_PROTO_H
#define WEIR_MODEL_TENSORFLOW_PROTO_H

#include <weir/base.h>

enum proto_wire { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 };

struct proto_cursor {
    const uint8_t *at, *end;
    const uint8_t *broken_at; /* NULL: whole so far */
};

struct proto_field {
    uint32_t number;
    enum proto_wire wire;
    uint64_t value;          /* VARINT; FIXED32 and FIXED64 as their bits */
    struct weir_slice bytes; /* BYTES: never null */
};

static inline struct proto_cursor proto_open(struct weir_slice message)
{
    const uint8_t *data = message.data;
    /* No address may be computed from a null pointer. */
    return (struct proto_cursor){data, data != NULL ? data + message.bytes : NULL, NULL};
}

/* The next field; false at the end or when broken. */
bool proto_next(struct proto_cursor *cursor, struct proto_field *field);
/* The next varint, of a packed field; false at the end or when broken. */
bool proto_next_varint(struct proto_cursor *cursor, uint64_t *value_out);

#endif
