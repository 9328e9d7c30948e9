/* Error codes and error details: include/weir/base.h. */
#include <weir/base.h>

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define NAME(name, text) #name,
static const char *const names[] = {WEIR_ERR_TABLE(NAME)};
#undef NAME
#define TEXT(name, text) text,
static const char *const texts[] = {WEIR_ERR_TABLE(TEXT)};
#undef TEXT

const char *weir_err_name(enum weir_err err)
{
    return (unsigned)err < WEIR_ERR_COUNT ? names[err] : "UNKNOWN";
}

const char *weir_err_text(enum weir_err err)
{
    return (unsigned)err < WEIR_ERR_COUNT ? texts[err] : "unknown error";
}

const char *weir_version(void)
{
    return WEIR_VERSION;
}

bool weir_slice_equal(struct weir_slice a, struct weir_slice b)
{
    if (a.data == NULL || b.data == NULL)
        return a.data == b.data;
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

/* Copies text into message: control characters as \n, \t or \x1b, cut where a UTF-8 character ends,
 * "..." where something is missing. */
static void put_message(char message[WEIR_ERROR_TEXT_MAX], const char *text, bool was_cut)
{
    static const char hex[] = "0123456789abcdef";
    const size_t room = WEIR_ERROR_TEXT_MAX - 1 - 3; /* always left for "..." */
    size_t used = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        char escaped[4] = {(char)c, 0, 0, 0};
        size_t bytes = 1;

        if (c < 0x20 || c == 0x7f) {
            escaped[0] = '\\';
            escaped[1] = c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : 'x';
            escaped[2] = hex[c >> 4];
            escaped[3] = hex[c & 15];
            bytes = escaped[1] == 'x' ? 4 : 2;
        }
        if (used + bytes > room) {
            was_cut = true;
            break;
        }
        memcpy(message + used, escaped, bytes);
        used += bytes;
    }
    if (was_cut) {
        /* Back over the bytes of a character that lost its end. */
        size_t start = used;
        while (start > 0 && ((unsigned char)message[start - 1] & 0xC0) == 0x80)
            start--;
        if (start > 0 && (unsigned char)message[start - 1] >= 0xC0)
            used = start - 1;
        memcpy(message + used, "...", 3);
        used += 3;
    }
    message[used] = '\0';
}

enum weir_err weir_error_setv(struct weir_error *error, enum weir_err code, int64_t position,
                              const char *format, va_list args)
{
    char text[WEIR_ERROR_TEXT_MAX];
    int length;

    if (error == NULL)
        return code;
    length = vsnprintf(text, sizeof text, format, args);
    if (length < 0) {
        text[0] = '\0';
        length = 0;
    }
    error->code = code;
    error->retriable = false;
    error->fatal = false;
    error->position = position;
    put_message(error->message, text, (size_t)length >= sizeof text);
    return code;
}

#undef weir_error_set
enum weir_err weir_error_set(struct weir_error *error, enum weir_err code, int64_t position,
                             const char *format, ...)
{
    va_list args;

    va_start(args, format);
    weir_error_setv(error, code, position, format, args);
    va_end(args);
    return code;
}

void weir_error_context(struct weir_error *error, const char *format, ...)
{
    char context[WEIR_ERROR_TEXT_MAX], text[2 * WEIR_ERROR_TEXT_MAX + 2];
    va_list args;

    if (error == NULL)
        return;
    va_start(args, format);
    if (vsnprintf(context, sizeof context, format, args) < 0)
        context[0] = '\0';
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", context, error->message);
    put_message(error->message, text, false);
}
