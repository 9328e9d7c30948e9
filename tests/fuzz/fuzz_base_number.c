/* Numbers: what is accepted is what strtod reads; what is written reads back equal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/number.h"

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void read_as_text(const uint8_t *data, size_t bytes)
{
    char copy[1025], *end;
    double value, expected;
    int64_t whole;
    uint64_t positive;

    if (bytes > 1024)
        return;
    memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    if (weir_parse_int64(weir_slice(data, bytes), &whole) == WEIR_OK)
        weir_assert(whole == strtoll(copy, NULL, 10));
    if (weir_parse_uint64(weir_slice(data, bytes), &positive) == WEIR_OK)
        weir_assert(positive == strtoull(copy, NULL, 10));
    if (weir_parse_double(weir_slice(data, bytes), &value) != WEIR_OK)
        return;
    expected = strtod(copy, &end);
    weir_assert(end == copy + bytes);
    weir_assert((isnan(value) && isnan(expected)) || bits_of(value) == bits_of(expected));
}

static void write_and_read_back(double value)
{
    char text[WEIR_NUMBER_TEXT_MAX];
    double back;
    enum weir_err err;

    err = weir_parse_double(weir_slice(text, weir_format_double(text, value)), &back);
    weir_assert(err == WEIR_OK);
    weir_assert(isnan(value) ? isnan(back) : bits_of(back) == bits_of(value));
    err = weir_parse_double(weir_slice(text, weir_format_double_java(text, value)), &back);
    weir_assert(err == WEIR_OK);
    weir_assert(isnan(value) ? isnan(back) : bits_of(back) == bits_of(value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    double value;

    read_as_text(data, bytes);
    if (bytes >= sizeof value) {
        memcpy(&value, data, sizeof value);
        write_and_read_back(value);
    }
    return 0;
}
