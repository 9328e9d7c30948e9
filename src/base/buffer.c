/* A growing byte buffer with a ceiling: base/buffer.h. */
#include "base/buffer.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { CAPACITY_MIN = 64 };

void weir_buffer_init(struct weir_buffer *buffer, size_t bytes_max)
{
    weir_assert(bytes_max > 0 && bytes_max < SIZE_MAX / 4);
    *buffer = (struct weir_buffer){.bytes_max = bytes_max};
}

void weir_buffer_release(struct weir_buffer *buffer)
{
    weir_free(buffer->data);
    *buffer = (struct weir_buffer){.bytes_max = buffer->bytes_max};
}

void weir_buffer_clear(struct weir_buffer *buffer)
{
    weir_buffer_truncate(buffer, 0);
}

enum weir_err weir_buffer_reserve(struct weir_buffer *buffer, size_t more)
{
    size_t capacity = buffer->capacity;
    uint8_t *data;

    if (more > buffer->bytes_max - buffer->bytes)
        return WEIR_LIMIT;
    if (weir_likely(buffer->data != NULL && more <= capacity - buffer->bytes))
        return WEIR_OK;
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    while (capacity - buffer->bytes < more)
        capacity *= 2;
    if (capacity > buffer->bytes_max)
        capacity = buffer->bytes_max;
    data = weir_realloc(buffer->data, capacity + 1);
    if (data == NULL)
        return WEIR_NOMEM;
    buffer->data = data;
    buffer->capacity = capacity;
    data[buffer->bytes] = 0;
    return WEIR_OK;
}

void weir_buffer_commit(struct weir_buffer *buffer, size_t bytes)
{
    weir_assert(bytes <= buffer->capacity - buffer->bytes);
    buffer->bytes += bytes;
    if (buffer->data != NULL)
        buffer->data[buffer->bytes] = 0;
}

enum weir_err weir_buffer_append(struct weir_buffer *buffer, const void *data, size_t bytes)
{
    enum weir_err err = weir_buffer_reserve(buffer, bytes);

    if (err != WEIR_OK)
        return err;
    if (bytes > 0)
        memcpy(buffer->data + buffer->bytes, data, bytes);
    weir_buffer_commit(buffer, bytes);
    return WEIR_OK;
}

enum weir_err weir_buffer_append_byte(struct weir_buffer *buffer, uint8_t byte)
{
    return weir_buffer_append(buffer, &byte, 1);
}

enum weir_err weir_buffer_append_text(struct weir_buffer *buffer, const char *text)
{
    return weir_buffer_append(buffer, text, strlen(text));
}

enum weir_err weir_buffer_appendv(struct weir_buffer *buffer, const char *format, va_list args)
{
    va_list again;
    int length;
    enum weir_err err;
    size_t room = buffer->data != NULL ? buffer->capacity - buffer->bytes : 0;

    /* Most texts fit what is there; the others are formatted twice. */
    va_copy(again, args);
    length = vsnprintf(room > 0 ? (char *)weir_buffer_end(buffer) : NULL, room > 0 ? room + 1 : 0,
                       format, again);
    va_end(again);
    if (length < 0) {
        err = WEIR_INVALID;
    } else if (room > 0 && (size_t)length <= room) {
        weir_buffer_commit(buffer, (size_t)length);
        return WEIR_OK;
    } else {
        err = weir_buffer_reserve(buffer, (size_t)length);
    }
    if (err != WEIR_OK) {
        if (buffer->data != NULL)
            buffer->data[buffer->bytes] = 0;
        return err;
    }
    vsnprintf((char *)weir_buffer_end(buffer), (size_t)length + 1, format, args);
    weir_buffer_commit(buffer, (size_t)length);
    return WEIR_OK;
}

enum weir_err weir_buffer_appendf(struct weir_buffer *buffer, const char *format, ...)
{
    enum weir_err err;
    va_list args;

    va_start(args, format);
    err = weir_buffer_appendv(buffer, format, args);
    va_end(args);
    return err;
}

void weir_buffer_consume(struct weir_buffer *buffer, size_t bytes)
{
    weir_assert(bytes <= buffer->bytes);
    if (bytes == 0)
        return;
    memmove(buffer->data, buffer->data + bytes, buffer->bytes - bytes);
    weir_buffer_truncate(buffer, buffer->bytes - bytes);
}

void weir_buffer_truncate(struct weir_buffer *buffer, size_t bytes)
{
    weir_assert(bytes <= buffer->bytes);
    buffer->bytes = bytes;
    if (buffer->data != NULL)
        buffer->data[bytes] = 0;
}

uint8_t *weir_buffer_detach(struct weir_buffer *buffer)
{
    uint8_t *data = buffer->data;

    *buffer = (struct weir_buffer){.bytes_max = buffer->bytes_max};
    return data;
}
