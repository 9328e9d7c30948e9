/* One value of a setting: base/setting_value.h. */
#include "base/setting_value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/number.h"

enum { ITEMS_MAX = 1024 };

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {{"ms", 1},      {"s", 1000},    {"m", 60000},
                                        {"min", 60000}, {"h", 3600000}, {"d", 86400000}};

static const struct unit sizes[] = {{"B", 1},
                                    {"KiB", 1 << 10},
                                    {"MiB", 1 << 20},
                                    {"GiB", 1 << 30},
                                    {"TiB", INT64_C(1) << 40},
                                    {"k", 1 << 10},
                                    {"K", 1 << 10},
                                    {"M", 1 << 20},
                                    {"G", 1 << 30},
                                    {"kB", 1000},
                                    {"KB", 1000},
                                    {"MB", 1000000},
                                    {"GB", 1000000000}};

static enum weir_err wrong(const struct weir_setting *row, const char *text, const char *expected,
                           struct weir_error *error)
{
    return weir_error_set(error, WEIR_INVALID, -1, "\"%.100s\" is not %s",
                          row->secret ? "****" : text, expected);
}

static enum weir_err check_bounds(const struct weir_setting *row, double value,
                                  struct weir_error *error)
{
    if (row->min == row->max || (value >= (double)row->min && value <= (double)row->max))
        return WEIR_OK;
    if (row->max == INT64_MAX)
        return weir_error_set(error, WEIR_INVALID, -1, "must be at least %" PRId64, row->min);
    if (row->min == INT64_MIN)
        return weir_error_set(error, WEIR_INVALID, -1, "must be at most %" PRId64, row->max);
    return weir_error_set(error, WEIR_INVALID, -1, "must be from %" PRId64 " to %" PRId64, row->min,
                          row->max);
}

static enum weir_err parse_int(const struct weir_setting *row, const char *text, int64_t *out,
                               struct weir_error *error)
{
    if (weir_parse_int64(weir_slice(text, strlen(text)), out) != WEIR_OK)
        return wrong(row, text, "a whole number", error);
    return check_bounds(row, (double)*out, error);
}

static enum weir_err parse_double(const struct weir_setting *row, const char *text, double *out,
                                  struct weir_error *error)
{
    if (weir_parse_double(weir_slice(text, strlen(text)), out) != WEIR_OK || isnan(*out))
        return wrong(row, text, "a number", error);
    return check_bounds(row, *out, error);
}

/* A number with a unit behind it, blanks between allowed; without one it counts in ones. */
static enum weir_err parse_units(const struct weir_setting *row, const char *text,
                                 const struct unit *units, size_t unit_count, const char *expected,
                                 int64_t *out, struct weir_error *error)
{
    size_t digits = strspn(text, "+-0123456789.");
    const char *unit = text + digits + strspn(text + digits, " ");
    int64_t factor = *unit == '\0' ? 1 : 0;
    int64_t whole;
    double value;

    for (size_t i = 0; i < unit_count; i++)
        if (strcmp(unit, units[i].name) == 0)
            factor = units[i].factor;
    if (factor == 0)
        return wrong(row, text, expected, error);
    if (weir_parse_int64(weir_slice(text, digits), &whole) == WEIR_OK) {
        if (__builtin_mul_overflow(whole, factor, out))
            return wrong(row, text, "within the range of 64 bits", error);
    } else {
        /* 1.5s is 1500 ms; 0.1ms is nothing we could keep. */
        if (weir_parse_double(weir_slice(text, digits), &value) != WEIR_OK)
            return wrong(row, text, expected, error);
        value *= (double)factor;
        if (value != rint(value) || fabs(value) > 9e15)
            return wrong(row, text, "a whole number of the smallest unit", error);
        *out = (int64_t)value;
    }
    return check_bounds(row, (double)*out, error);
}

static enum weir_err parse_bool(const struct weir_setting *row, const char *text, int64_t *out,
                                struct weir_error *error)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

    for (size_t i = 0; i < WEIR_ARRAY_COUNT(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2;
            return WEIR_OK;
        }
    }
    return wrong(row, text, "true or false", error);
}

static enum weir_err parse_enum(const struct weir_setting *row, const char *text, int64_t *out,
                                struct weir_error *error)
{
    const char *at = row->values;
    size_t bytes = strlen(text);

    for (int64_t i = 0;; i++) {
        const char *end = strchrnul(at, '|');
        if (bytes == (size_t)(end - at) && strncasecmp(at, text, bytes) == 0) {
            *out = i;
            return WEIR_OK;
        }
        if (*end == '\0')
            break;
        at = end + 1;
    }
    return weir_error_set(error, WEIR_INVALID, -1, "\"%.100s\" is not one of %s",
                          row->secret ? "****" : text, row->values);
}

/* Copies the items between commas, without the blanks around them; empty ones are left out. */
static enum weir_err parse_list(const char *text, struct weir_setting_value *out,
                                struct weir_error *error)
{
    char *to;

    out->items = weir_alloc(strlen(text) + 2);
    if (out->items == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory");
    to = out->items;
    while (*text != '\0') {
        const char *end = strchrnul(text, ','), *last = end;
        while (text < last && (*text == ' ' || *text == '\t'))
            text++;
        while (last > text && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (last > text) {
            if (out->item_count == ITEMS_MAX)
                return weir_error_set(error, WEIR_INVALID, -1, "more than %d items", ITEMS_MAX);
            memcpy(to, text, (size_t)(last - text));
            to += last - text;
            *to++ = '\0';
            out->item_count++;
        }
        text = *end != '\0' ? end + 1 : end;
    }
    return WEIR_OK;
}

static enum weir_err parse_typed(const struct weir_setting *row, const char *text,
                                 struct weir_setting_value *out, struct weir_error *error)
{
    struct weir_endpoint endpoint;

    switch (row->type) {
    case WEIR_SETTING_STRING:
        return WEIR_OK;
    case WEIR_SETTING_INT:
        return parse_int(row, text, &out->integer, error);
    case WEIR_SETTING_DOUBLE:
        return parse_double(row, text, &out->real, error);
    case WEIR_SETTING_BOOL:
        return parse_bool(row, text, &out->integer, error);
    case WEIR_SETTING_DURATION:
        return parse_units(row, text, durations, WEIR_ARRAY_COUNT(durations),
                           "a duration like 250ms, 10s, 5m, 2h or 7d", &out->integer, error);
    case WEIR_SETTING_BYTES:
        return parse_units(row, text, sizes, WEIR_ARRAY_COUNT(sizes),
                           "a size like 4096, 512KiB, 64MiB or 1GiB", &out->integer, error);
    case WEIR_SETTING_ENUM:
        return parse_enum(row, text, &out->integer, error);
    case WEIR_SETTING_ENDPOINT:
        return weir_net_parse(text, -1, &endpoint, error);
    case WEIR_SETTING_LIST:
        return parse_list(text, out, error);
    }
    return weir_error_set(error, WEIR_INTERNAL, -1, "a setting of no known type");
}

enum weir_err weir_setting_value_parse(const struct weir_setting *row, const char *text,
                                       struct weir_setting_value *out, struct weir_error *error)
{
    enum weir_err err;

    *out = (struct weir_setting_value){.text = weir_strdup(text)};
    if (out->text == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory");
    err = parse_typed(row, text, out, error);
    if (err != WEIR_OK)
        weir_setting_value_release(out);
    return err;
}

void weir_setting_value_release(struct weir_setting_value *value)
{
    weir_free(value->text);
    weir_free(value->items);
    *value = (struct weir_setting_value){.text = NULL};
}

const char *weir_setting_argument(const struct weir_setting *row)
{
    if (row->argument != NULL)
        return row->argument;
    switch (row->type) {
    case WEIR_SETTING_STRING:
        return "TEXT";
    case WEIR_SETTING_INT:
        return "N";
    case WEIR_SETTING_DOUBLE:
        return "NUMBER";
    case WEIR_SETTING_BOOL:
        return "true|false";
    case WEIR_SETTING_DURATION:
        return "DURATION";
    case WEIR_SETTING_BYTES:
        return "SIZE";
    case WEIR_SETTING_ENUM:
        return row->values;
    case WEIR_SETTING_ENDPOINT:
        return "HOST:PORT";
    case WEIR_SETTING_LIST:
        return "A,B,...";
    }
    return "VALUE";
}
