/*
 * record/model_descriptor.c - ModelDescriptor, the message of the models topic.
 *
 * Fields 1-6 are the reference system's; 16-18 are ours and skipped by its readers. Which of the
 * oneof's two (data = 5, location = 6) came last wins, as protobuf says.
 * Layout: docs/formats/messages.md.
 */
#include <weir/record.h>

#include "record/protobuf.h"

enum {
    FIELD_NAME = 1,
    FIELD_DESCRIPTION = 2,
    FIELD_DATA_TYPE = 3,
    FIELD_MODEL_TYPE = 4,
    FIELD_DATA = 5,
    FIELD_LOCATION = 6,
    FIELD_VERSION = 16,
    FIELD_SHA256 = 17,
    FIELD_ACTION = 18,
};

enum { SHA256_BYTES = 32 };

static enum weir_err read_bytes(struct pb_cursor *cursor, enum pb_wire wire, struct weir_slice *out)
{
    return wire == PB_BYTES ? pb_read_bytes(cursor, out) : WEIR_PARSE;
}

static enum weir_err read_enum(struct pb_cursor *cursor, enum pb_wire wire, int32_t *out)
{
    uint64_t value;
    if (wire != PB_VARINT)
        return WEIR_PARSE;
    enum weir_err err = pb_read_varint(cursor, &value);
    if (err == WEIR_OK)
        *out = (int32_t)(uint32_t)value; /* an enum is an int32: higher bits are dropped */
    return err;
}

static enum weir_err read_field(struct pb_cursor *cursor, uint32_t field, enum pb_wire wire,
                                struct weir_descriptor *out)
{
    enum weir_err err;
    switch (field) {
    case FIELD_NAME:
        return read_bytes(cursor, wire, &out->name);
    case FIELD_DESCRIPTION:
        return read_bytes(cursor, wire, &out->description);
    case FIELD_DATA_TYPE:
        return read_bytes(cursor, wire, &out->data_type);
    case FIELD_MODEL_TYPE:
        return read_enum(cursor, wire, &out->model_type);
    case FIELD_DATA:
        err = read_bytes(cursor, wire, &out->data);
        out->location = weir_slice(NULL, 0);
        return err;
    case FIELD_LOCATION:
        err = read_bytes(cursor, wire, &out->location);
        out->data = weir_slice(NULL, 0);
        return err;
    case FIELD_VERSION:
        return read_bytes(cursor, wire, &out->version);
    case FIELD_SHA256:
        err = read_bytes(cursor, wire, &out->sha256);
        return err == WEIR_OK && out->sha256.bytes != SHA256_BYTES ? WEIR_PARSE : err;
    case FIELD_ACTION:
        return read_enum(cursor, wire, &out->action);
    default:
        return pb_skip(cursor, wire);
    }
}

enum weir_err weir_descriptor_decode(struct weir_slice bytes, struct weir_descriptor *out,
                                     struct weir_error *error)
{
    struct pb_cursor cursor = pb_cursor(bytes);
    struct weir_slice empty = weir_slice("", 0);
    *out = (struct weir_descriptor){
        .name = empty, .description = empty, .data_type = empty, .version = empty};
    while (cursor.at < cursor.end) {
        const uint8_t *begin = cursor.at;
        uint32_t field = 0;
        enum pb_wire wire;
        enum weir_err err = pb_read_tag(&cursor, &field, &wire);
        if (err == WEIR_OK)
            err = read_field(&cursor, field, wire, out);
        if (err != WEIR_OK) {
            int64_t position = begin - (const uint8_t *)bytes.data;
            return weir_error_set(error, err, position,
                                  "not a ModelDescriptor: byte %lld (field %u) %s",
                                  (long long)position, (unsigned)field,
                                  err == WEIR_TRUNCATED ? "runs over the end of the record"
                                                        : "is not valid protobuf for it");
        }
    }
    if (!pb_utf8_valid(out->name) || !pb_utf8_valid(out->data_type) ||
        !pb_utf8_valid(out->description) || !pb_utf8_valid(out->version))
        return weir_error_set(error, WEIR_PARSE, -1,
                              "not a ModelDescriptor: name, description, dataType and version must "
                              "be UTF-8");
    return WEIR_OK;
}

static void put_text(struct pb_writer *writer, uint32_t field, struct weir_slice text)
{
    if (text.bytes)
        pb_put_bytes(writer, field, text);
}

static size_t encode(const struct weir_descriptor *descriptor, uint8_t *buffer, size_t capacity)
{
    struct pb_writer writer = {.buffer = buffer, .capacity = capacity};
    put_text(&writer, FIELD_NAME, descriptor->name);
    put_text(&writer, FIELD_DESCRIPTION, descriptor->description);
    put_text(&writer, FIELD_DATA_TYPE, descriptor->data_type);
    if (descriptor->model_type)
        pb_put_uint(&writer, FIELD_MODEL_TYPE, (uint64_t)(int64_t)descriptor->model_type);
    if (descriptor->data.data) /* a member of the oneof is written even if it is empty */
        pb_put_bytes(&writer, FIELD_DATA, descriptor->data);
    else if (descriptor->location.data)
        pb_put_bytes(&writer, FIELD_LOCATION, descriptor->location);
    put_text(&writer, FIELD_VERSION, descriptor->version);
    put_text(&writer, FIELD_SHA256, descriptor->sha256);
    if (descriptor->action)
        pb_put_uint(&writer, FIELD_ACTION, (uint64_t)(int64_t)descriptor->action);
    return writer.need;
}

size_t weir_descriptor_bytes(const struct weir_descriptor *descriptor)
{
    return encode(descriptor, NULL, 0);
}

size_t weir_descriptor_encode(const struct weir_descriptor *descriptor, void *buffer)
{
    return encode(descriptor, buffer, SIZE_MAX);
}
