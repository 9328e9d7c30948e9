/* wire/field.c - the fields of Kafka's protocol, see field.h. */
#include "wire/field.h"

#include <string.h>

enum { PLAIN_LENGTH_BYTES = 4, COMPACT_LENGTH_BYTES = 5 };

/* ---- reading --------------------------------------------------------------------------------- */

struct wire_reader wire_reader(struct weir_slice bytes, bool flexible)
{
    const uint8_t *begin = bytes.data;
    struct wire_reader reader = {begin, begin ? begin + bytes.bytes : begin, flexible, false};
    return reader;
}

/* The next `bytes` bytes, or NULL. */
static const uint8_t *take(struct wire_reader *reader, size_t bytes)
{
    if (reader->failed || (size_t)(reader->end - reader->at) < bytes) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->at;
    reader->at += bytes;
    return at;
}

static uint64_t take_big_endian(struct wire_reader *reader, size_t bytes)
{
    const uint8_t *at = take(reader, bytes);
    uint64_t value = 0;
    for (size_t i = 0; at && i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

int8_t wire_i8(struct wire_reader *reader)
{
    return (int8_t)take_big_endian(reader, 1);
}

int16_t wire_i16(struct wire_reader *reader)
{
    return (int16_t)take_big_endian(reader, 2);
}

int32_t wire_i32(struct wire_reader *reader)
{
    return (int32_t)take_big_endian(reader, 4);
}

int64_t wire_i64(struct wire_reader *reader)
{
    return (int64_t)take_big_endian(reader, 8);
}

bool wire_bool(struct wire_reader *reader)
{
    return wire_i8(reader) != 0;
}

uint32_t wire_uvarint(struct wire_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        const uint8_t *at = take(reader, 1);
        if (!at)
            return 0;
        value |= (uint64_t)(*at & 0x7f) << shift;
        if (*at < 0x80) {
            reader->failed = value > UINT32_MAX;
            return reader->failed ? 0 : (uint32_t)value;
        }
    }
    reader->failed = true;
    return 0;
}

/* Length of a string or of bytes; -1 = null. */
static int64_t take_length(struct wire_reader *reader, size_t plain_bytes)
{
    if (reader->flexible)
        return (int64_t)wire_uvarint(reader) - 1;
    return plain_bytes == 2 ? wire_i16(reader) : wire_i32(reader);
}

static struct weir_slice take_slice(struct wire_reader *reader, int64_t length)
{
    static const char empty[1];
    if (reader->failed || length < -1) {
        reader->failed = true;
        return weir_slice(NULL, 0);
    }
    if (length == -1)
        return weir_slice(NULL, 0);
    const uint8_t *at = take(reader, (size_t)length);
    if (!at)
        return weir_slice(NULL, 0);
    return weir_slice(length ? (const void *)at : empty, (size_t)length);
}

struct wire_uuid wire_uuid(struct wire_reader *reader)
{
    struct wire_uuid value = {{0}};
    const uint8_t *at = take(reader, sizeof value.bytes);
    if (at)
        memcpy(value.bytes, at, sizeof value.bytes);
    return value;
}

struct weir_slice wire_string(struct wire_reader *reader)
{
    int64_t length = take_length(reader, 2);
    return take_slice(reader, length);
}

struct weir_slice wire_string_plain(struct wire_reader *reader)
{
    int64_t length = wire_i16(reader);
    return take_slice(reader, length);
}

struct weir_slice wire_bytes(struct wire_reader *reader)
{
    int64_t length = take_length(reader, 4);
    return take_slice(reader, length);
}

int32_t wire_array(struct wire_reader *reader, size_t element_bytes_min)
{
    int64_t count = reader->flexible ? (int64_t)wire_uvarint(reader) - 1 : wire_i32(reader);
    size_t left = (size_t)(reader->end - reader->at);
    if (reader->failed || count < -1 || count > WIRE_ARRAY_MAX ||
        (count > 0 && (size_t)count > left / element_bytes_min)) {
        reader->failed = true;
        return 0;
    }
    return (int32_t)count;
}

void wire_tags(struct wire_reader *reader)
{
    if (!reader->flexible)
        return;
    uint32_t count = wire_uvarint(reader);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        wire_uvarint(reader); /* the tag */
        take(reader, wire_uvarint(reader));
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

struct wire_writer wire_writer(struct weir_buffer *into, bool flexible)
{
    struct wire_writer writer = {into, flexible, WEIR_OK};
    return writer;
}

static void put(struct wire_writer *writer, const void *bytes, size_t count)
{
    if (writer->err == WEIR_OK && count)
        writer->err = weir_buffer_append(writer->into, bytes, count);
}

static void put_big_endian(struct wire_writer *writer, uint64_t value, size_t bytes)
{
    uint8_t text[8];
    for (size_t i = 0; i < bytes; i++)
        text[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    put(writer, text, bytes);
}

void wire_put_i8(struct wire_writer *writer, int8_t value)
{
    put_big_endian(writer, (uint64_t)value, 1);
}

void wire_put_i16(struct wire_writer *writer, int16_t value)
{
    put_big_endian(writer, (uint64_t)value, 2);
}

void wire_put_i32(struct wire_writer *writer, int32_t value)
{
    put_big_endian(writer, (uint64_t)value, 4);
}

void wire_put_i64(struct wire_writer *writer, int64_t value)
{
    put_big_endian(writer, (uint64_t)value, 8);
}

void wire_put_bool(struct wire_writer *writer, bool value)
{
    wire_put_i8(writer, value);
}

void wire_put_uvarint(struct wire_writer *writer, uint32_t value)
{
    uint8_t bytes[5];
    size_t count = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[count++] = (uint8_t)(value | 0x80);
    bytes[count++] = (uint8_t)value;
    put(writer, bytes, count);
}

void wire_put_uuid(struct wire_writer *writer, struct wire_uuid value)
{
    put(writer, value.bytes, sizeof value.bytes);
}

void wire_put_string(struct wire_writer *writer, struct weir_slice text)
{
    if (text.data && text.bytes > INT16_MAX)
        text.bytes = INT16_MAX; /* an error message of ours: names are checked when they come in */
    if (writer->flexible)
        wire_put_uvarint(writer, text.data ? (uint32_t)text.bytes + 1 : 0);
    else
        wire_put_i16(writer, text.data ? (int16_t)text.bytes : -1);
    put(writer, text.data, text.data ? text.bytes : 0);
}

void wire_put_text(struct wire_writer *writer, const char *text)
{
    wire_put_string(writer, weir_slice(text, text ? strlen(text) : 0));
}

void wire_put_bytes(struct wire_writer *writer, struct weir_slice bytes)
{
    if (writer->flexible)
        wire_put_uvarint(writer, bytes.data ? (uint32_t)bytes.bytes + 1 : 0);
    else
        wire_put_i32(writer, bytes.data ? (int32_t)bytes.bytes : -1);
    put(writer, bytes.data, bytes.data ? bytes.bytes : 0);
}

void wire_put_array(struct wire_writer *writer, int32_t count)
{
    if (writer->flexible)
        wire_put_uvarint(writer, (uint32_t)(count + 1));
    else
        wire_put_i32(writer, count);
}

void wire_put_tags(struct wire_writer *writer)
{
    if (writer->flexible)
        wire_put_uvarint(writer, 0);
}

size_t wire_reserve_i32(struct wire_writer *writer)
{
    size_t place = writer->into->bytes;
    wire_put_i32(writer, 0);
    return place;
}

void wire_fill_i32(struct wire_writer *writer, size_t place, int32_t value)
{
    uint32_t bits = (uint32_t)value;
    if (writer->err != WEIR_OK)
        return;
    for (unsigned i = 0; i < 4; i++)
        writer->into->data[place + i] = (uint8_t)(bits >> 8 * (3 - i));
}

size_t wire_bytes_begin(struct wire_writer *writer)
{
    static const uint8_t zeros[COMPACT_LENGTH_BYTES];
    size_t place = writer->into->bytes;
    put(writer, zeros, writer->flexible ? COMPACT_LENGTH_BYTES : PLAIN_LENGTH_BYTES);
    return place;
}

void wire_bytes_end(struct wire_writer *writer, size_t place)
{
    size_t head_bytes = writer->flexible ? COMPACT_LENGTH_BYTES : PLAIN_LENGTH_BYTES;
    if (writer->err != WEIR_OK)
        return;
    uint32_t length = (uint32_t)(writer->into->bytes - place - head_bytes);
    if (!writer->flexible) {
        wire_fill_i32(writer, place, (int32_t)length);
        return;
    }
    uint64_t left = (uint64_t)length + 1;
    for (size_t i = 0; i < COMPACT_LENGTH_BYTES; i++, left >>= 7)
        writer->into->data[place + i] =
            (uint8_t)((left & 0x7f) | (i + 1 < COMPACT_LENGTH_BYTES ? 0x80 : 0));
}
