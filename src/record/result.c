/*
 * record/result.c - ScoringResult, the message of the scores topic.
 *
 * Field numbers are a promise: docs/formats/messages.md lists them, and none is ever used twice.
 */
#include <weir/record.h>

#include "base/assert.h"
#include "record/protobuf.h"

enum {
    FIELD_FORMAT = 1,
    FIELD_NUMBER = 2,
    FIELD_LABEL = 3,
    FIELD_ERROR = 4,
    FIELD_DATA_TYPE = 5,
    FIELD_MODEL = 6,
    FIELD_DIGEST = 7,
    FIELD_MODEL_POSITION = 8,
    FIELD_SOURCE_TOPIC = 9,
    FIELD_SOURCE_PARTITION = 10,
    FIELD_SOURCE_OFFSET = 11,
    FIELD_QUEUE_NS = 12,
    FIELD_SCORE_NS = 13,
    FIELD_VERSION = 14,
};
/* inside ERROR: code and message; inside MODEL_POSITION: partition and offset */
enum { FIELD_ERROR_CODE = 1, FIELD_ERROR_MESSAGE = 2 };
enum { FIELD_POSITION_PARTITION = 1, FIELD_POSITION_OFFSET = 2 };

enum { FORMAT = 1, TEXT_BYTES_MAX = 512, DIGEST_BYTES = 32 };

/* Cuts a text so that the whole message stays below WEIR_RESULT_BYTES_MAX, at a character's end. */
static struct weir_slice cut(struct weir_slice text)
{
    const uint8_t *bytes = text.data;
    if (text.bytes <= TEXT_BYTES_MAX)
        return text;
    text.bytes = TEXT_BYTES_MAX;
    while (text.bytes && (bytes[text.bytes] & 0xc0) == 0x80)
        text.bytes--;
    return text;
}

static void put_text(struct pb_writer *writer, uint32_t field, struct weir_slice text)
{
    if (text.bytes)
        pb_put_bytes(writer, field, cut(text));
}

static void put_value(struct pb_writer *writer, const struct weir_result *result)
{
    uint8_t nested[TEXT_BYTES_MAX + 128];
    switch (result->kind) {
    case WEIR_RESULT_NUMBER:
        pb_put_double(writer, FIELD_NUMBER, result->number);
        return;
    case WEIR_RESULT_LABEL:
        pb_put_bytes(writer, FIELD_LABEL, cut(result->label));
        return;
    case WEIR_RESULT_ERROR: {
        struct pb_writer inner = {.buffer = nested, .capacity = sizeof nested};
        const char *name = weir_err_name(result->error);
        pb_put_bytes(&inner, FIELD_ERROR_CODE, weir_slice(name, strlen(name)));
        put_text(&inner, FIELD_ERROR_MESSAGE, result->error_message);
        pb_put_bytes(writer, FIELD_ERROR, weir_slice(nested, inner.need));
        return;
    }
    }
}

static void put_model(struct pb_writer *writer, const struct weir_result *result)
{
    uint8_t nested[32];
    struct pb_writer inner = {.buffer = nested, .capacity = sizeof nested};
    put_text(writer, FIELD_MODEL, result->model);
    if (result->digest.bytes == DIGEST_BYTES)
        pb_put_bytes(writer, FIELD_DIGEST, result->digest);
    if (result->model_offset >= 0) {
        if (result->model_partition)
            pb_put_uint(&inner, FIELD_POSITION_PARTITION, (uint64_t)result->model_partition);
        pb_put_uint(&inner, FIELD_POSITION_OFFSET, (uint64_t)result->model_offset);
        pb_put_bytes(writer, FIELD_MODEL_POSITION, weir_slice(nested, inner.need));
    }
}

size_t weir_result_encode_common(const struct weir_result *result, void *buffer, size_t capacity)
{
    struct pb_writer writer = {.buffer = buffer, .capacity = capacity};
    weir_assert(capacity >= WEIR_RESULT_BYTES_MAX);
    pb_put_uint(&writer, FIELD_FORMAT, FORMAT);
    put_text(&writer, FIELD_DATA_TYPE, result->data_type);
    put_model(&writer, result);
    put_text(&writer, FIELD_SOURCE_TOPIC, result->source_topic);
    if (result->source_partition)
        pb_put_uint(&writer, FIELD_SOURCE_PARTITION, (uint64_t)result->source_partition);
    if (result->score_ns)
        pb_put_uint(&writer, FIELD_SCORE_NS, (uint64_t)result->score_ns);
    put_text(&writer, FIELD_VERSION, result->version);
    return writer.need;
}

static uint8_t *write_varint(uint8_t *at, uint8_t tag, uint64_t value)
{
    *at++ = tag;
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

size_t weir_result_encode_row(const struct weir_result *result, struct weir_slice common,
                              void *buffer, size_t capacity)
{
    uint8_t *at = buffer;
    weir_assert(capacity >= common.bytes + WEIR_RESULT_ROW_BYTES_MAX);
    memcpy(at, common.data, common.bytes);
    at += common.bytes;
    if (result->kind == WEIR_RESULT_NUMBER) {
        *at++ = FIELD_NUMBER << 3 | PB_FIXED64;
        memcpy(at, &result->number, sizeof result->number);
        at += sizeof result->number;
    } else {
        struct pb_writer writer = {.buffer = at, .capacity = WEIR_RESULT_ROW_BYTES_MAX - 32};
        put_value(&writer, result);
        at += writer.need;
    }
    if (result->source_offset)
        at =
            write_varint(at, FIELD_SOURCE_OFFSET << 3 | PB_VARINT, (uint64_t)result->source_offset);
    if (result->queue_ns)
        at = write_varint(at, FIELD_QUEUE_NS << 3 | PB_VARINT, (uint64_t)result->queue_ns);
    return (size_t)(at - (uint8_t *)buffer);
}

size_t weir_result_encode(const struct weir_result *result, void *buffer, size_t capacity)
{
    uint8_t common[WEIR_RESULT_BYTES_MAX];
    weir_assert(capacity >= WEIR_RESULT_BYTES_MAX);
    size_t bytes = weir_result_encode_common(result, common, sizeof common);
    weir_assert(bytes + WEIR_RESULT_ROW_BYTES_MAX <= WEIR_RESULT_BYTES_MAX);
    return weir_result_encode_row(result, weir_slice(common, bytes), buffer, capacity);
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum weir_err error_from_name(struct weir_slice name, enum weir_err *out)
{
    for (int code = 0; code < WEIR_ERR_COUNT; code++) {
        const char *known = weir_err_name((enum weir_err)code);
        if (weir_slice_equal(name, weir_slice(known, strlen(known)))) {
            *out = (enum weir_err)code;
            return WEIR_OK;
        }
    }
    *out = WEIR_INTERNAL; /* a code of a later version: the message still tells */
    return WEIR_OK;
}

static enum weir_err read_error(struct weir_slice bytes, struct weir_result *out)
{
    struct pb_cursor cursor = pb_cursor(bytes);
    enum weir_err err = WEIR_OK;
    while (err == WEIR_OK && cursor.at < cursor.end) {
        uint32_t field = 0;
        enum pb_wire wire;
        struct weir_slice text;
        err = pb_read_tag(&cursor, &field, &wire);
        if (err != WEIR_OK)
            return err;
        if (wire != PB_BYTES) {
            err = pb_skip(&cursor, wire);
            continue;
        }
        err = pb_read_bytes(&cursor, &text);
        if (err == WEIR_OK && field == FIELD_ERROR_CODE)
            err = error_from_name(text, &out->error);
        else if (err == WEIR_OK && field == FIELD_ERROR_MESSAGE)
            out->error_message = text;
    }
    out->kind = WEIR_RESULT_ERROR;
    return err;
}

static enum weir_err read_position(struct weir_slice bytes, struct weir_result *out)
{
    struct pb_cursor cursor = pb_cursor(bytes);
    enum weir_err err = WEIR_OK;
    out->model_partition = 0;
    out->model_offset = 0;
    while (err == WEIR_OK && cursor.at < cursor.end) {
        uint32_t field = 0;
        enum pb_wire wire;
        uint64_t value;
        err = pb_read_tag(&cursor, &field, &wire);
        if (err != WEIR_OK)
            return err;
        if (wire != PB_VARINT) {
            err = pb_skip(&cursor, wire);
            continue;
        }
        err = pb_read_varint(&cursor, &value);
        if (err == WEIR_OK && field == FIELD_POSITION_PARTITION)
            out->model_partition = (int32_t)value;
        else if (err == WEIR_OK && field == FIELD_POSITION_OFFSET)
            out->model_offset = (int64_t)value;
    }
    return err;
}

static enum weir_err read_bytes_field(uint32_t field, struct weir_slice bytes,
                                      struct weir_result *out)
{
    switch (field) {
    case FIELD_LABEL:
        out->kind = WEIR_RESULT_LABEL;
        out->label = bytes;
        return WEIR_OK;
    case FIELD_ERROR:
        return read_error(bytes, out);
    case FIELD_DATA_TYPE:
        out->data_type = bytes;
        return WEIR_OK;
    case FIELD_MODEL:
        out->model = bytes;
        return WEIR_OK;
    case FIELD_DIGEST:
        out->digest = bytes;
        return bytes.bytes == DIGEST_BYTES ? WEIR_OK : WEIR_PARSE;
    case FIELD_MODEL_POSITION:
        return read_position(bytes, out);
    case FIELD_SOURCE_TOPIC:
        out->source_topic = bytes;
        return WEIR_OK;
    case FIELD_VERSION:
        out->version = bytes;
        return WEIR_OK;
    default:
        return WEIR_OK;
    }
}

static void read_varint_field(uint32_t field, uint64_t value, uint64_t *format,
                              struct weir_result *out)
{
    switch (field) {
    case FIELD_FORMAT:
        *format = value;
        return;
    case FIELD_SOURCE_PARTITION:
        out->source_partition = (int32_t)value;
        return;
    case FIELD_SOURCE_OFFSET:
        out->source_offset = (int64_t)value;
        return;
    case FIELD_QUEUE_NS:
        out->queue_ns = (int64_t)value;
        return;
    case FIELD_SCORE_NS:
        out->score_ns = (int64_t)value;
        return;
    default:
        return;
    }
}

/* One field; *format is set when it is the format number. */
static enum weir_err read_field(struct pb_cursor *cursor, uint64_t *format, struct weir_result *out)
{
    uint32_t field = 0;
    enum pb_wire wire;
    uint64_t value;
    struct weir_slice bytes;
    enum weir_err err = pb_read_tag(cursor, &field, &wire);
    if (err != WEIR_OK)
        return err;
    if (wire == PB_BYTES) {
        err = pb_read_bytes(cursor, &bytes);
        return err == WEIR_OK ? read_bytes_field(field, bytes, out) : err;
    }
    if (wire == PB_VARINT) {
        err = pb_read_varint(cursor, &value);
        if (err == WEIR_OK)
            read_varint_field(field, value, format, out);
        return err;
    }
    if (wire == PB_FIXED64 && field == FIELD_NUMBER) {
        err = pb_read_fixed64(cursor, &value);
        memcpy(&out->number, &value, sizeof value);
        out->kind = WEIR_RESULT_NUMBER;
        return err;
    }
    return pb_skip(cursor, wire);
}

enum weir_err weir_result_decode(struct weir_slice bytes, struct weir_result *out,
                                 struct weir_error *error)
{
    struct pb_cursor cursor = pb_cursor(bytes);
    uint64_t format = 0;
    *out = (struct weir_result){.model_offset = -1};
    while (cursor.at < cursor.end) {
        int64_t position = cursor.at - (const uint8_t *)bytes.data;
        enum weir_err err = read_field(&cursor, &format, out);
        if (err != WEIR_OK)
            return weir_error_set(error, err, position, "not a ScoringResult: byte %lld %s",
                                  (long long)position,
                                  err == WEIR_TRUNCATED ? "runs over the end of the record"
                                                        : "is not valid protobuf for it");
    }
    if (format != FORMAT)
        return weir_error_set(error, WEIR_OTHER_VERSION, 0,
                              format ? "a ScoringResult of format %llu; this program reads 1"
                                     : "not a ScoringResult: it has no format (%llu)",
                              (unsigned long long)format);
    return WEIR_OK;
}
