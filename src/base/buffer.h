/*
 * base/buffer.h - a growing byte buffer with a ceiling that must be given.
 *
 * What:    bytes in one piece of memory: appended at the end, consumed at the front.
 * Life:    weir_buffer_init -> append ... -> weir_buffer_release.
 * Threads: one at a time.
 * Memory:  `data` moves when the buffer grows. One byte behind the content is always kept as a NUL
 *          once something was appended, so that text can be read as a C string.
 * Errors:  LIMIT (the ceiling), NOMEM. After a failed append the content is as before it.
 *
 * To read straight into it: weir_buffer_reserve(&b, n), write at weir_buffer_end(&b), then
 * weir_buffer_commit(&b, written).
 */
#ifndef WEIR_BASE_BUFFER_H
#define WEIR_BASE_BUFFER_H

#include <weir/base.h>

struct weir_buffer {
    uint8_t *data;    /* NULL until the first append */
    size_t bytes;     /* of content */
    size_t capacity;  /* of memory, without the byte for the NUL */
    size_t bytes_max; /* ceiling of `bytes` */
};

/* Allocates nothing. bytes_max > 0. */
void weir_buffer_init(struct weir_buffer *buffer, size_t bytes_max);
/* Frees the memory; the buffer is empty and can be used again. */
void weir_buffer_release(struct weir_buffer *buffer);
/* Forgets the content, keeps the memory. */
void weir_buffer_clear(struct weir_buffer *buffer);

/* Makes room for `more` bytes behind the content. */
WEIR_MUST_USE enum weir_err weir_buffer_reserve(struct weir_buffer *buffer, size_t more);
/* Appends a copy. data may be NULL if bytes is 0; it must not lie in the buffer itself. */
WEIR_MUST_USE enum weir_err weir_buffer_append(struct weir_buffer *buffer, const void *data,
                                               size_t bytes);
WEIR_MUST_USE enum weir_err weir_buffer_append_byte(struct weir_buffer *buffer, uint8_t byte);
/* Appends a C string without its NUL. */
WEIR_MUST_USE enum weir_err weir_buffer_append_text(struct weir_buffer *buffer, const char *text);
/* Appends formatted text; INVALID if the format fails. */
WEIR_MUST_USE enum weir_err weir_buffer_appendf(struct weir_buffer *buffer, const char *format, ...)
    WEIR_PRINTF(2, 3);
WEIR_MUST_USE enum weir_err weir_buffer_appendv(struct weir_buffer *buffer, const char *format,
                                                va_list args) WEIR_PRINTF(2, 0);

/* Drops `bytes` bytes at the front (<= content) and moves the rest down. */
void weir_buffer_consume(struct weir_buffer *buffer, size_t bytes);
/* Cuts the content down to `bytes` (<= content). */
void weir_buffer_truncate(struct weir_buffer *buffer, size_t bytes);
/* Gives the memory (NUL behind the content) to the caller, who weir_frees it; the buffer is empty
 * afterwards. NULL: it was never appended to. */
uint8_t *weir_buffer_detach(struct weir_buffer *buffer);

/* Where reserved room begins. */
static inline uint8_t *weir_buffer_end(struct weir_buffer *buffer)
{
    return buffer->data + buffer->bytes;
}
/* Says that `bytes` of the reserved room were written. */
void weir_buffer_commit(struct weir_buffer *buffer, size_t bytes);

/* The content, borrowed until the next change; data is never NULL. */
static inline struct weir_slice weir_buffer_slice(const struct weir_buffer *buffer)
{
    return weir_slice(buffer->data != NULL ? (const void *)buffer->data : "", buffer->bytes);
}
/* The content as a C string, borrowed until the next change; "" if empty. */
static inline const char *weir_buffer_text(const struct weir_buffer *buffer)
{
    return buffer->data != NULL ? (const char *)buffer->data : "";
}

#endif
