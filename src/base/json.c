/* The JSON writer: base/json.h. */
#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/number.h"
#include "base/utf8.h"

static void put(struct weir_json *json, const void *data, size_t bytes)
{
    if (json->err == WEIR_OK)
        json->err = weir_buffer_append(json->into, data, bytes);
}

static void put_text(struct weir_json *json, const char *text)
{
    put(json, text, strlen(text));
}

/*
 * Level 0 is the place of the one outermost value; each array or object opens a level. `filled`
 * says that a value stands there already: the next needs a comma, and at level 0 there is no next.
 */
static void before_value(struct weir_json *json)
{
    if (json->levels[json->depth].object) {
        weir_assert(json->after_key);
        json->after_key = false;
        return;
    }
    weir_assert(json->depth > 0 || !json->levels[0].filled);
    if (json->levels[json->depth].filled)
        put(json, ",", 1);
    json->levels[json->depth].filled = true;
}

void weir_json_begin(struct weir_json *json, struct weir_buffer *into)
{
    *json = (struct weir_json){.into = into};
}

enum weir_err weir_json_end(struct weir_json *json)
{
    weir_assert(json->depth == 0 && json->levels[0].filled);
    return json->err;
}

static void open_level(struct weir_json *json, bool object)
{
    before_value(json);
    weir_assert(json->depth < WEIR_JSON_WRITE_DEPTH_MAX);
    json->depth++;
    json->levels[json->depth].object = object;
    json->levels[json->depth].filled = false;
    put(json, object ? "{" : "[", 1);
}

static void close_level(struct weir_json *json, bool object)
{
    weir_assert(json->depth > 0 && json->levels[json->depth].object == object);
    weir_assert(!json->after_key);
    json->depth--;
    put(json, object ? "}" : "]", 1);
}

void weir_json_object_begin(struct weir_json *json)
{
    open_level(json, true);
}

void weir_json_object_end(struct weir_json *json)
{
    close_level(json, true);
}

void weir_json_array_begin(struct weir_json *json)
{
    open_level(json, false);
}

void weir_json_array_end(struct weir_json *json)
{
    close_level(json, false);
}

static void put_escaped(struct weir_json *json, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    const char *place;

    if (c == '"' || c == '\\') {
        text[1] = (char)c;
        put(json, text, 2);
    } else if (c != 0 && (place = strchr("\bb\ff\nn\rr\tt", c)) != NULL) {
        text[1] = place[1];
        put(json, text, 2);
    } else {
        put(json, text, sizeof text);
    }
}

static void put_string(struct weir_json *json, struct weir_slice text)
{
    const uint8_t *at = text.data, *end = at != NULL ? at + text.bytes : at, *plain = at;

    put(json, "\"", 1);
    while (at < end) {
        size_t bytes = weir_utf8_bytes(at, (size_t)(end - at));
        if (bytes > 0 && *at >= 0x20 && *at != '"' && *at != '\\') {
            at += bytes;
            continue;
        }
        put(json, plain, (size_t)(at - plain));
        if (bytes == 0)
            put_text(json, "\xEF\xBF\xBD"); /* U+FFFD */
        else
            put_escaped(json, *at);
        plain = ++at;
    }
    if (plain < end)
        put(json, plain, (size_t)(end - plain));
    put(json, "\"", 1);
}

void weir_json_key_slice(struct weir_json *json, struct weir_slice name)
{
    weir_assert(json->levels[json->depth].object && !json->after_key);
    if (json->levels[json->depth].filled)
        put(json, ",", 1);
    json->levels[json->depth].filled = true;
    json->after_key = true;
    put_string(json, name);
    put(json, ":", 1);
}

void weir_json_key(struct weir_json *json, const char *name)
{
    weir_json_key_slice(json, weir_slice(name, strlen(name)));
}

void weir_json_slice(struct weir_json *json, struct weir_slice text)
{
    before_value(json);
    if (text.data == NULL)
        put_text(json, "null");
    else
        put_string(json, text);
}

void weir_json_text(struct weir_json *json, const char *text)
{
    weir_json_slice(json, weir_slice(text, text != NULL ? strlen(text) : 0));
}

void weir_json_int(struct weir_json *json, int64_t value)
{
    char text[WEIR_NUMBER_TEXT_MAX];
    size_t bytes = weir_format_int64(text, value);

    before_value(json);
    put(json, text, bytes);
}

void weir_json_uint(struct weir_json *json, uint64_t value)
{
    if (value <= INT64_MAX) {
        weir_json_int(json, (int64_t)value);
        return;
    }
    before_value(json);
    if (json->err == WEIR_OK)
        json->err = weir_buffer_appendf(json->into, "%llu", (unsigned long long)value);
}

void weir_json_double(struct weir_json *json, double value)
{
    char text[WEIR_NUMBER_TEXT_MAX];

    before_value(json);
    if (isfinite(value))
        put(json, text, weir_format_double(text, value));
    else if (!json->nan_as_text)
        put_text(json, "null");
    else
        put_text(json, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

void weir_json_bool(struct weir_json *json, bool value)
{
    before_value(json);
    put_text(json, value ? "true" : "false");
}

void weir_json_null(struct weir_json *json)
{
    before_value(json);
    put_text(json, "null");
}

void weir_json_raw(struct weir_json *json, struct weir_slice value)
{
    before_value(json);
    put(json, value.data, value.bytes);
}

void weir_json_put_slice(struct weir_json *json, const char *name, struct weir_slice text)
{
    weir_json_key(json, name);
    weir_json_slice(json, text);
}

void weir_json_put_text(struct weir_json *json, const char *name, const char *text)
{
    weir_json_key(json, name);
    weir_json_text(json, text);
}

void weir_json_put_int(struct weir_json *json, const char *name, int64_t value)
{
    weir_json_key(json, name);
    weir_json_int(json, value);
}

void weir_json_put_uint(struct weir_json *json, const char *name, uint64_t value)
{
    weir_json_key(json, name);
    weir_json_uint(json, value);
}

void weir_json_put_double(struct weir_json *json, const char *name, double value)
{
    weir_json_key(json, name);
    weir_json_double(json, value);
}

void weir_json_put_bool(struct weir_json *json, const char *name, bool value)
{
    weir_json_key(json, name);
    weir_json_bool(json, value);
}
