#include "model/core/value.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/number.h"
#include "model/core/calendar.h"

/* ---- symbols --------------------------------------------------------------------------------- */

static uint32_t hash_of(struct weir_slice text)
{
    const uint8_t *bytes = text.data;
    uint32_t hash = 2166136261U; /* FNV-1a */
    for (size_t i = 0; i < text.bytes; i++) {
        hash = (hash ^ bytes[i]) * 16777619U;
    }
    return hash;
}

/* Bucket that holds the text, or the empty one where it belongs. */
static uint32_t find_bucket(const struct model_symbols *symbols, struct weir_slice text)
{
    uint32_t mask = symbols->bucket_count - 1;
    uint32_t i = hash_of(text) & mask;
    while (symbols->buckets[i] != 0 &&
           !weir_slice_equal(symbols->strings[symbols->buckets[i] - 1], text)) {
        i = (i + 1) & mask;
    }
    return i;
}

int64_t model_symbols_find(const struct model_symbols *symbols, struct weir_slice text)
{
    if (symbols->bucket_count == 0) {
        return -1;
    }
    return (int64_t)symbols->buckets[find_bucket(symbols, text)] - 1;
}

static enum weir_err grow(struct model_symbols *symbols)
{
    uint32_t capacity = symbols->capacity > 0 ? symbols->capacity * 2 : 32;
    struct weir_slice *strings =
        weir_realloc(symbols->strings, capacity * sizeof *symbols->strings);
    if (strings == NULL) {
        return WEIR_NOMEM;
    }
    symbols->strings = strings;
    uint32_t bucket_count = capacity * 2;
    uint32_t *buckets = weir_calloc(bucket_count, sizeof *buckets);
    if (buckets == NULL) {
        return WEIR_NOMEM;
    }
    weir_free(symbols->buckets);
    symbols->buckets = buckets;
    symbols->bucket_count = bucket_count;
    symbols->capacity = capacity;
    for (uint32_t i = 0; i < symbols->count; i++) {
        buckets[find_bucket(symbols, symbols->strings[i])] = i + 1;
    }
    return WEIR_OK;
}

enum weir_err model_symbols_add(struct model_symbols *symbols, struct weir_slice text,
                                uint32_t *number_out)
{
    int64_t known = model_symbols_find(symbols, text);
    if (known >= 0) {
        *number_out = (uint32_t)known;
        return WEIR_OK;
    }
    if (symbols->count == MODEL_SYMBOLS_MAX) {
        return WEIR_LIMIT;
    }
    if (symbols->count == symbols->capacity && grow(symbols) != WEIR_OK) {
        return WEIR_NOMEM;
    }
    char *copy = weir_alloc(text.bytes + 1);
    if (copy == NULL) {
        return WEIR_NOMEM;
    }
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    symbols->buckets[find_bucket(symbols, text)] = symbols->count + 1;
    symbols->strings[symbols->count] = weir_slice(copy, text.bytes);
    *number_out = symbols->count++;
    return WEIR_OK;
}

void model_symbols_truncate(struct model_symbols *symbols, uint32_t count)
{
    /* In the order opposite to their coming, no string was put past a bucket that is emptied. */
    while (symbols->count > count) {
        struct weir_slice last = symbols->strings[symbols->count - 1];
        symbols->buckets[find_bucket(symbols, last)] = 0;
        symbols->count--;
        weir_free((void *)(uintptr_t)last.data);
    }
}

void model_symbols_release(struct model_symbols *symbols)
{
    for (uint32_t i = 0; i < symbols->count; i++) {
        weir_free((void *)(uintptr_t)symbols->strings[i].data);
    }
    weir_free(symbols->strings);
    weir_free(symbols->buckets);
    *symbols = (struct model_symbols){.count = 0};
}

/* ---- numbers --------------------------------------------------------------------------------- */

static struct weir_slice trim(struct weir_slice text)
{
    const char *data = text.data;
    size_t begin = 0;
    size_t end = text.bytes;
    while (begin < end && memchr(" \t\r\n", data[begin], 4) != NULL) {
        begin++;
    }
    while (end > begin && memchr(" \t\r\n", data[end - 1], 4) != NULL) {
        end--;
    }
    return weir_slice(data + begin, end - begin);
}

static bool is_word(struct weir_slice text, const char *word)
{
    return weir_slice_equal(text, weir_slice(word, strlen(word)));
}

bool model_cast_number(enum model_type type, double number, double *value_out)
{
    *value_out = type == MODEL_FLOAT ? (double)(float)number : number;
    if (type == MODEL_BOOLEAN) {
        return number == 0 || number == 1;
    }
    if (type == MODEL_TIME || type == MODEL_DATE_TIME) {
        return isfinite(number); /* seconds may have a fraction */
    }
    bool whole = type == MODEL_INTEGER || model_is_calendar(type);
    return !whole || (number == floor(number) && !isinf(number));
}

bool model_parse_value(enum model_type type, struct weir_slice text, double *value_out)
{
    struct weir_slice word = trim(text);
    double number;
    if (model_is_calendar(type)) {
        return model_parse_calendar(type, word, value_out);
    }
    if (is_word(word, "true") || is_word(word, "false")) {
        *value_out = is_word(word, "true") ? 1 : 0;
        return type == MODEL_BOOLEAN || type == MODEL_INTEGER;
    }
    return weir_parse_double(word, &number) == WEIR_OK &&
           model_cast_number(type, number, value_out);
}
