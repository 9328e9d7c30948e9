/* Functions that read and make strings, and those of dates. */
#include "model/core/calendar.h"
#include "model/core/function.h"

#include "base/assert.h"
#include "base/number.h"

struct weir_slice model_row_text(const struct model_row *row, double value)
{
    const struct model_symbols *known = &row->model->symbols;
    if (!(value >= 0)) {
        return weir_slice(NULL, 0);
    }
    uint32_t number = (uint32_t)value;
    if (number < known->count) {
        return known->strings[number];
    }
    number -= known->count;
    return number < row->strings->count ? row->strings->strings[number] : weir_slice(NULL, 0);
}

bool model_row_string(struct model_row *row, struct weir_slice text, double *value_out)
{
    int64_t known = model_symbols_find(&row->model->symbols, text);
    uint32_t number = (uint32_t)known;
    if (known < 0) {
        enum weir_err err = model_symbols_add(row->strings, text, &number);
        if (err != WEIR_OK) {
            model_row_fail(row, WEIR_NOMEM);
            return false;
        }
        number += row->model->symbols.count;
    }
    *value_out = number;
    return true;
}

static bool is_ascii(struct weir_slice text)
{
    const uint8_t *bytes = text.data;
    for (size_t i = 0; i < text.bytes; i++) {
        if (bytes[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* Letters beyond ASCII have cases that depend on tables: such a text has no result here. */
static bool change_case(bool upper, struct weir_slice text, struct model_row *row, double *out)
{
    const char *from = text.data;
    if (!is_ascii(text) || text.bytes > MODEL_TEXT_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.bytes; i++) {
        char c = from[i];
        bool change = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
        row->text[i] = change ? (char)(c ^ 0x20) : c;
    }
    return model_row_string(row, weir_slice(row->text, text.bytes), out);
}

/* Bytes of the first count characters of UTF-8. */
static size_t skip_characters(struct weir_slice text, double count)
{
    const uint8_t *bytes = text.data;
    size_t i = 0;
    for (size_t n = 0; (double)n < count && i < text.bytes; n++) {
        i++;
        while (i < text.bytes && (bytes[i] & 0xc0) == 0x80) {
            i++;
        }
    }
    return i;
}

static double length_of(struct weir_slice text)
{
    const uint8_t *bytes = text.data;
    double count = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        count += (bytes[i] & 0xc0) != 0x80;
    }
    return count;
}

/* Positions count from 1; what lies past the end is left out. */
static bool substring(struct weir_slice text, double from, double count, struct model_row *row,
                      double *out)
{
    if (!(from >= 1 && count >= 0)) {
        return false;
    }
    size_t begin = skip_characters(text, from - 1);
    struct weir_slice rest = weir_slice((const char *)text.data + begin, text.bytes - begin);
    return model_row_string(row, weir_slice(rest.data, skip_characters(rest, count)), out);
}

static bool trim_blanks(struct weir_slice text, struct model_row *row, double *out)
{
    const char *data = text.data;
    size_t begin = 0;
    size_t end = text.bytes;
    while (begin < end && (unsigned char)data[begin] <= ' ') {
        begin++;
    }
    while (end > begin && (unsigned char)data[end - 1] <= ' ') {
        end--;
    }
    return model_row_string(row, weir_slice(data + begin, end - begin), out);
}

static bool append(struct model_row *row, size_t *used, struct weir_slice text)
{
    if (text.bytes > MODEL_TEXT_MAX - *used) {
        return false;
    }
    if (text.bytes > 0) {
        weir_assert(text.data != NULL);
        memcpy(row->text + *used, text.data, text.bytes);
    }
    *used += text.bytes;
    return true;
}

static const char *find(struct weir_slice text, struct weir_slice part)
{
    if (part.bytes == 0) {
        return text.data != NULL ? text.data : "";
    }
    return text.bytes < part.bytes ? NULL : memmem(text.data, text.bytes, part.data, part.bytes);
}

/* The pattern is plain text and not empty: the reader has seen to it. */
static bool replace(struct weir_slice text, struct weir_slice part, struct weir_slice by,
                    struct model_row *row, double *out)
{
    size_t used = 0;
    for (const char *hit; (hit = find(text, part)) != NULL;) {
        size_t before = (size_t)(hit - (const char *)text.data);
        if (!append(row, &used, weir_slice(text.data, before)) || !append(row, &used, by)) {
            return false;
        }
        text = weir_slice(hit + part.bytes, text.bytes - before - part.bytes);
    }
    return append(row, &used, text) && model_row_string(row, weir_slice(row->text, used), out);
}

/* Missing arguments are passed over. x: values of the arguments. */
static bool concat(const struct model_expr *expr, const double *x, struct model_row *row,
                   double *out)
{
    size_t used = 0;
    for (uint32_t i = 0; i < expr->count; i++) {
        char number[WEIR_NUMBER_TEXT_MAX];
        if (model_is_missing(x[i])) {
            continue;
        }
        struct weir_slice part = model_row_text(row, x[i]);
        if (expr->args[i].type == MODEL_INTEGER) {
            part = weir_slice(number, weir_format_int64(number, (int64_t)x[i]));
        }
        if (!append(row, &used, part)) {
            return false;
        }
    }
    return model_row_string(row, weir_slice(row->text, used), out);
}

static bool call_calendar(const struct model_expr *expr, const double *x, struct model_row *row,
                          double *out)
{
    enum model_type type = expr->args[0].type;
    double seconds;
    if (expr->function == MODEL_FUNCTION_SECONDS_SINCE_MIDNIGHT) {
        bool ok = model_convert_calendar(type, MODEL_TIME, x[0], out);
        *out = floor(*out);
        return ok;
    }
    bool is_time = type == MODEL_TIME && expr->function == MODEL_FUNCTION_FORMAT_DATETIME;
    if (!is_time && !model_convert_calendar(type, MODEL_DATE_TIME, x[0], &seconds)) {
        return false;
    }
    if (expr->function == MODEL_FUNCTION_FORMAT_DATETIME) {
        size_t bytes = model_format_datetime(row->text, MODEL_TEXT_MAX, model_row_text(row, x[1]),
                                             is_time ? x[0] : seconds);
        return bytes != SIZE_MAX && model_row_string(row, weir_slice(row->text, bytes), out);
    }
    if (!(fabs(x[1]) < 1e6)) {
        return false;
    }
    double days = (double)model_days_of_year((int64_t)x[1]);
    *out = expr->function == MODEL_FUNCTION_DAYS_SINCE_YEAR ? floor(seconds / 86400) - days
                                                            : floor(seconds) - days * 86400;
    return true;
}

bool model_call_text(const struct model_expr *expr, struct model_row *row, double *value_out)
{
    /* All arguments first: one that makes a string makes it in row->text, too. */
    double *x = row->work + expr->work;
    uint32_t missing = 0;
    for (uint32_t i = 0; i < expr->count; i++) {
        x[i] = model_expr_value(&expr->args[i], row);
        missing += model_is_missing(x[i]);
    }
    *value_out = model_missing();
    if (expr->function == MODEL_FUNCTION_CONCAT) {
        return missing == expr->count || concat(expr, x, row, value_out);
    }
    if (missing > 0) {
        return true;
    }
    struct weir_slice text = model_row_text(row, x[0]);
    switch (expr->function) {
    case MODEL_FUNCTION_UPPERCASE:
    case MODEL_FUNCTION_LOWERCASE:
        return change_case(expr->function == MODEL_FUNCTION_UPPERCASE, text, row, value_out);
    case MODEL_FUNCTION_STRING_LENGTH:
        *value_out = length_of(text);
        return true;
    case MODEL_FUNCTION_SUBSTRING:
        return substring(text, x[1], x[2], row, value_out);
    case MODEL_FUNCTION_TRIM_BLANKS:
        return trim_blanks(text, row, value_out);
    case MODEL_FUNCTION_REPLACE:
        return replace(text, model_row_text(row, x[1]), model_row_text(row, x[2]), row, value_out);
    case MODEL_FUNCTION_MATCHES:
        *value_out = find(text, model_row_text(row, x[1])) != NULL;
        return true;
    default:
        return call_calendar(expr, x, row, value_out);
    }
}
