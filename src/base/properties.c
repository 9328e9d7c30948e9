/* Java's .properties format: base/properties.h. */
#include "base/properties.h"

#include <string.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/utf8.h"

struct reader {
    const char *at, *end;
    int64_t line;
    struct weir_error *error;
};

/* One character of a logical line. */
struct character {
    char text[4];
    size_t bytes; /* 0 = the logical line ends here */
    bool escaped; /* stands for itself: no separator, no comment */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static enum weir_err bad(struct reader *r, const char *why)
{
    return weir_error_set(r->error, WEIR_PARSE, r->line, "line %lld: %s", (long long)r->line, why);
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && is_blank(*r->at))
        r->at++;
}

/* Steps over \n, \r or \r\n. */
static void skip_line_end(struct reader *r)
{
    if (r->at[0] == '\r' && r->end - r->at > 1 && r->at[1] == '\n')
        r->at++;
    r->at++;
    r->line++;
}

/* The four digits behind "\u". */
static bool take_hex(struct reader *r, uint32_t *out)
{
    uint8_t bytes[2];

    if (r->end - r->at < 4 || weir_hex_decode(r->at, 4, bytes, 2) != 0)
        return false;
    r->at += 4;
    *out = (uint32_t)bytes[0] << 8 | bytes[1];
    return true;
}

/* Behind "\u": one UTF-16 unit, or two escapes that make one character. */
static enum weir_err take_unicode(struct reader *r, struct character *c)
{
    uint32_t unit, low;

    if (!take_hex(r, &unit))
        return bad(r, "\\u needs four hexadecimal digits");
    if (unit >= 0xD800 && unit <= 0xDBFF && r->end - r->at >= 2 && r->at[0] == '\\' &&
        r->at[1] == 'u') {
        r->at += 2;
        if (!take_hex(r, &low) || low < 0xDC00 || low > 0xDFFF)
            return bad(r, "half of a surrogate pair is missing");
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    c->bytes = weir_utf8_encode(unit, c->text);
    if (c->bytes == 0)
        return bad(r, "half of a surrogate pair is missing");
    return unit == 0 ? bad(r, "\\u0000 is not allowed") : WEIR_OK;
}

/* Behind a backslash that does not end the line. */
static enum weir_err take_escape(struct reader *r, struct character *c)
{
    static const char from[] = "tnrf", to[] = "\t\n\r\f";
    const char *known;

    c->escaped = true;
    if (*r->at == 'u') {
        r->at++;
        return take_unicode(r, c);
    }
    known = *r->at != '\0' ? strchr(from, *r->at) : NULL;
    if (known != NULL) {
        c->text[0] = to[known - from];
        c->bytes = 1;
        r->at++;
        return WEIR_OK;
    }
    /* Any other character stands for itself; it may have several bytes. */
    c->bytes = weir_utf8_bytes(r->at, (size_t)(r->end - r->at));
    memcpy(c->text, r->at, c->bytes);
    r->at += c->bytes;
    return c->bytes > 0 && c->text[0] != '\0' ? WEIR_OK : bad(r, "not UTF-8 text");
}

/* The next character of the logical line, which an escaped line end does not end. */
static enum weir_err take(struct reader *r, struct character *c)
{
    *c = (struct character){.bytes = 0};
    while (r->at < r->end && *r->at == '\\') {
        r->at++;
        if (r->at == r->end)
            return WEIR_OK; /* Java drops a lone backslash at the end of the file, too */
        if (!is_line_end(*r->at))
            return take_escape(r, c);
        skip_line_end(r);
        skip_blanks(r);
    }
    if (r->at == r->end || is_line_end(*r->at))
        return WEIR_OK;
    c->bytes = weir_utf8_bytes(r->at, (size_t)(r->end - r->at));
    if (c->bytes == 0 || *r->at == '\0')
        return bad(r, "not UTF-8 text");
    memcpy(c->text, r->at, c->bytes);
    r->at += c->bytes;
    return WEIR_OK;
}

static enum weir_err keep(struct reader *r, struct weir_buffer *pair, const void *data,
                          size_t bytes)
{
    enum weir_err err = weir_buffer_append(pair, data, bytes);

    if (err == WEIR_OK)
        return WEIR_OK;
    return weir_error_set(r->error, err, r->line, "line %lld: %s", (long long)r->line,
                          err == WEIR_LIMIT ? "longer than 64 KiB" : "no memory");
}

/* Reads one logical line into pair as "key NUL value"; *value_out is where the value begins. */
static enum weir_err take_pair(struct reader *r, struct weir_buffer *pair, size_t *value_out)
{
    enum { KEY, BEFORE_SEPARATOR, BEFORE_VALUE, VALUE } state = KEY;
    struct character c;
    enum weir_err err;

    weir_buffer_clear(pair);
    *value_out = 0;
    for (;;) {
        bool blank, separator;
        err = take(r, &c);
        if (err != WEIR_OK)
            return err;
        if (c.bytes == 0)
            break;
        blank = !c.escaped && is_blank(c.text[0]);
        separator = !c.escaped && (c.text[0] == '=' || c.text[0] == ':');
        if (state == KEY && (blank || separator)) {
            err = keep(r, pair, "", 1);
            *value_out = pair->bytes;
            state = separator ? BEFORE_VALUE : BEFORE_SEPARATOR;
        } else if (state == BEFORE_SEPARATOR && separator) {
            state = BEFORE_VALUE;
        } else if ((state == BEFORE_SEPARATOR || state == BEFORE_VALUE) && blank) {
            continue;
        } else {
            state = state == KEY ? KEY : VALUE;
            err = keep(r, pair, c.text, c.bytes);
        }
        if (err != WEIR_OK)
            return err;
    }
    if (state == KEY) {
        err = keep(r, pair, "", 1);
        *value_out = pair->bytes;
    }
    return err == WEIR_OK ? keep(r, pair, "", 1) : err;
}

enum weir_err weir_properties_read(struct weir_slice text, weir_property_fn *each, void *opaque,
                                   struct weir_error *error)
{
    struct reader r = {.at = text.data, .line = 1, .error = error};
    struct weir_buffer pair;
    enum weir_err err = WEIR_OK;

    if (text.bytes > WEIR_PROPERTIES_BYTES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "larger than %d bytes",
                              WEIR_PROPERTIES_BYTES_MAX);
    if (text.bytes == 0)
        return WEIR_OK;
    r.end = r.at + text.bytes;
    if (text.bytes >= 3 && memcmp(r.at, "\xEF\xBB\xBF", 3) == 0)
        r.at += 3; /* editors on Windows mark UTF-8 so */
    weir_buffer_init(&pair, WEIR_PROPERTIES_LINE_MAX);
    while (err == WEIR_OK && r.at < r.end) {
        skip_blanks(&r);
        if (r.at == r.end)
            break;
        if (*r.at == '#' || *r.at == '!') {
            while (r.at < r.end && !is_line_end(*r.at))
                r.at++;
        } else if (!is_line_end(*r.at)) {
            int64_t line = r.line;
            size_t value;
            err = take_pair(&r, &pair, &value);
            if (err == WEIR_OK)
                err = each(opaque, (const char *)pair.data, (const char *)pair.data + value, line,
                           error);
        }
        if (err == WEIR_OK && r.at < r.end)
            skip_line_end(&r);
    }
    weir_buffer_release(&pair);
    return err;
}
