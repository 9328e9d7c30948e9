/* Errors, attributes and arrays. */
#include "model/pmml/reader.h"

#include <stdio.h>

void pmml_fail(struct pmml_reader *r, const struct pmml_element *element, enum weir_err code,
               const char *format, ...)
{
    if (r->err != WEIR_OK) {
        return;
    }
    if (r->b.err != WEIR_OK && r->b.err != code) {
        /* What is missing now is missing because of that. */
        r->err = weir_error_set(r->error, r->b.err, element->line, "line %u: <%.60s> %s",
                                element->line, element->name, weir_err_text(r->b.err));
        return;
    }
    char text[240];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->err = weir_error_set(r->error, code, element->line, "line %u: <%.60s> %s", element->line,
                            element->name, text);
}

void pmml_unsupported(struct pmml_reader *r, const struct pmml_element *element)
{
    pmml_fail(r, element, WEIR_UNSUPPORTED, "is not supported yet");
}

bool pmml_ok(struct pmml_reader *r, const struct pmml_element *element)
{
    if (r->err == WEIR_OK && r->b.err != WEIR_OK) {
        pmml_fail(r, element, r->b.err, "can't be compiled: %s", weir_err_text(r->b.err));
    }
    return r->err == WEIR_OK;
}

void *pmml_scratch(struct pmml_reader *r, size_t count, size_t bytes)
{
    size_t total;
    void *memory = NULL;
    if (!__builtin_mul_overflow(count, bytes, &total)) {
        memory = weir_arena_alloc(&r->document->arena, total);
    }
    if (memory == NULL) {
        pmml_fail(r, r->document->root, WEIR_NOMEM, "can't be read: out of memory");
        return NULL;
    }
    memset(memory, 0, total);
    return memory;
}

struct weir_slice pmml_slice(const char *text)
{
    return weir_slice(text, strlen(text));
}

const char *pmml_required(struct pmml_reader *r, const struct pmml_element *element,
                          const char *name)
{
    const char *value = pmml_attribute(element, name);
    if (value == NULL) {
        pmml_fail(r, element, WEIR_INVALID, "needs an attribute %s", name);
        return "";
    }
    return value;
}

double pmml_number(struct pmml_reader *r, const struct pmml_element *element, const char *name,
                   double fallback)
{
    const char *text = pmml_attribute(element, name);
    double value = fallback;
    if (text != NULL && !model_parse_value(MODEL_DOUBLE, pmml_slice(text), &value)) {
        pmml_fail(r, element, WEIR_INVALID, "has %s=\"%.60s\", which is not a number", name, text);
    }
    return value;
}

double pmml_required_number(struct pmml_reader *r, const struct pmml_element *element,
                            const char *name)
{
    pmml_required(r, element, name);
    return pmml_number(r, element, name, 0);
}

uint32_t pmml_choice(struct pmml_reader *r, const struct pmml_element *element, const char *name,
                     const char *const *names, uint32_t fallback)
{
    const char *text = pmml_attribute(element, name);
    if (text == NULL) {
        return fallback;
    }
    for (uint32_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0) {
            return i;
        }
    }
    pmml_fail(r, element, WEIR_UNSUPPORTED, "has %s=\"%.60s\", which is not supported yet", name,
              text);
    return fallback;
}

double pmml_value(struct pmml_reader *r, const struct pmml_element *element, enum model_type type,
                  const char *text)
{
    double value = 0;
    if (!model_builder_value(&r->b, type, pmml_slice(text), &value) && pmml_ok(r, element)) {
        pmml_fail(r, element, WEIR_INVALID, "has the value \"%.60s\", which its field can't have",
                  text);
    }
    return value;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Reads one word at *at into `word` (as large as the text); false at the end. */
static bool next_word(const char *text, size_t bytes, size_t *at, char *word, size_t *word_bytes)
{
    size_t i = *at;
    size_t n = 0;
    while (i < bytes && is_blank(text[i])) {
        i++;
    }
    if (i == bytes) {
        return false;
    }
    bool quoted = text[i] == '"';
    i += quoted;
    while (i < bytes && (quoted ? text[i] != '"' : !is_blank(text[i]))) {
        i += text[i] == '\\' && i + 1 < bytes && text[i + 1] == '"';
        word[n++] = text[i++];
    }
    *at = i + (quoted && i < bytes);
    *word_bytes = n;
    return true;
}

uint32_t pmml_array(struct pmml_reader *r, const struct pmml_element *array,
                    const struct weir_slice **words_out)
{
    struct weir_slice text = pmml_text(r->document, array);
    char *word = pmml_scratch(r, text.bytes + 1, 1);
    uint32_t count = 0;
    *words_out = NULL;
    if (text.data == NULL || word == NULL) {
        pmml_fail(r, array, WEIR_NOMEM, "can't be read: out of memory");
        return 0;
    }
    size_t bytes;
    for (size_t at = 0; next_word(text.data, text.bytes, &at, word, &bytes);) {
        count++;
    }
    struct weir_slice *words = pmml_scratch(r, count, sizeof *words);
    if (words == NULL) {
        return 0;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < count && next_word(text.data, text.bytes, &at, word, &bytes); i++) {
        words[i] = weir_slice(word, bytes);
        word += bytes; /* words are shorter than the text they came from */
    }
    double n = pmml_number(r, array, "n", count);
    if (n != count) {
        pmml_fail(r, array, WEIR_INVALID, "has n=%g but %u words", n, count);
    }
    *words_out = words;
    return count;
}

void pmml_read_numbers(struct pmml_reader *r, const struct pmml_element *parent, uint32_t count,
                       double *numbers)
{
    const struct pmml_element *array = pmml_child(parent, "Array");
    const struct weir_slice *words;
    if (array == NULL) {
        pmml_fail(r, parent, WEIR_INVALID, "needs an Array");
        return;
    }
    uint32_t found = pmml_array(r, array, &words);
    if (found != count) {
        pmml_fail(r, array, WEIR_INVALID, "has %u numbers instead of %u", found, count);
        return;
    }
    for (uint32_t i = 0; i < count && words != NULL && r->err == WEIR_OK; i++) {
        if (!model_parse_value(MODEL_DOUBLE, words[i], &numbers[i]) || !isfinite(numbers[i])) {
            pmml_fail(r, array, WEIR_INVALID, "holds a word that is no number");
        }
    }
}
