/* The JSON reader: jansson behind caps: base/json.h. */
#include "base/json.h"

static const struct weir_json_limits limits_default = {
    .bytes_max = 1 << 20, .depth_max = 64, .values_max = 100000};

/*
 * Looks at brackets and commas outside of strings only, which is enough for an upper bound of depth
 * and count in anything that jansson will accept: jansson recurses, and allocates by the value.
 */
static enum weir_err scan(struct weir_slice text, const struct weir_json_limits *limits,
                          struct weir_error *error)
{
    const char *at = text.data, *end = at + text.bytes;
    uint64_t depth = 0, values = 1;
    int64_t line = 1;
    bool in_string = false;

    for (; at < end; at++) {
        if (in_string) {
            if (*at == '\\')
                at++;
            else if (*at == '"')
                in_string = false;
            continue;
        }
        switch (*at) {
        case '"':
            in_string = true;
            break;
        case '\n':
            line++;
            break;
        case '[':
        case '{':
            depth++;
            values++;
            break;
        case ']':
        case '}':
            depth -= depth > 0;
            break;
        case ',':
            values++;
            break;
        default:
            break;
        }
        if (depth > limits->depth_max)
            return weir_error_set(error, WEIR_LIMIT, line, "JSON is nested deeper than %u",
                                  limits->depth_max);
        if (values > limits->values_max)
            return weir_error_set(error, WEIR_LIMIT, line, "JSON has more than %u values",
                                  limits->values_max);
    }
    return WEIR_OK;
}

enum weir_err weir_json_read(struct weir_slice text, const struct weir_json_limits *limits,
                             json_t **root_out, struct weir_error *error)
{
    json_error_t why;
    enum weir_err err;

    if (limits == NULL)
        limits = &limits_default;
    if (text.data == NULL || text.bytes == 0)
        return weir_error_set(error, WEIR_PARSE, 1, "JSON is empty");
    if (text.bytes > limits->bytes_max)
        return weir_error_set(error, WEIR_LIMIT, -1, "JSON of %zu bytes, at most %zu are allowed",
                              text.bytes, limits->bytes_max);
    err = scan(text, limits, error);
    if (err != WEIR_OK)
        return err;
    *root_out = json_loadb(text.data, text.bytes, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
    if (*root_out != NULL)
        return WEIR_OK;
    if (json_error_code(&why) == json_error_out_of_memory)
        return weir_error_set(error, WEIR_NOMEM, why.line, "JSON: no memory");
    return weir_error_set(error, WEIR_PARSE, why.line, "JSON, line %d, column %d: %s", why.line,
                          why.column, why.text);
}
