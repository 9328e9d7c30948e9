/* Numbers from and to text: base/number.h. */
#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"

enum { TEXT_BYTES_MAX = 1024, DIGITS_MAX = 17 };

/* Powers of ten that a double holds exactly. */
static const double exact_power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- reading */

/* A decimal number taken apart. */
struct decimal {
    bool negative;
    bool exact;        /* all digits are in the mantissa */
    uint64_t mantissa; /* the first 19 digits that count */
    int64_t exponent;  /* value = mantissa * 10^exponent */
};

/* Takes digits into d; *place counts those behind the point. Gives the end of the digits. */
static const char *take_digits(struct decimal *d, const char *at, const char *end, bool fraction)
{
    for (; at < end && is_digit(*at); at++) {
        if (d->mantissa < UINT64_C(1000000000000000000)) {
            d->mantissa = d->mantissa * 10 + (uint64_t)(*at - '0');
            d->exponent -= fraction;
        } else {
            d->exact = d->exact && *at == '0';
            d->exponent += !fraction;
        }
    }
    return at;
}

static bool take_decimal(struct decimal *d, const char *at, const char *end)
{
    const char *digits = at;
    size_t count;

    at = take_digits(d, at, end, false);
    count = (size_t)(at - digits);
    if (at < end && *at == '.') {
        digits = ++at;
        at = take_digits(d, at, end, true);
        count += (size_t)(at - digits);
    }
    if (count == 0)
        return false;
    if (at < end && (*at == 'e' || *at == 'E')) {
        int64_t exponent = 0;
        bool negative;
        at++;
        negative = at < end && *at == '-';
        if (at < end && (*at == '-' || *at == '+'))
            at++;
        if (at == end || !is_digit(*at))
            return false;
        for (; at < end && is_digit(*at); at++)
            if (exponent < 1000000)
                exponent = exponent * 10 + (*at - '0');
        d->exponent += negative ? -exponent : exponent;
    }
    return at == end;
}

/* The C library's correctly rounded reading, in the "C" locale; the text is checked before. */
static double read_slowly(const char *text, size_t bytes)
{
    char copy[TEXT_BYTES_MAX + 1];
    locale_t c_locale;
    double value;

    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    /* glibc and musl answer this one with a constant, so it can't fail. */
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    weir_assert(c_locale != (locale_t)0);
    value = strtod_l(copy, NULL, c_locale);
    freelocale(c_locale);
    return value;
}

static bool take_word(const char *at, size_t bytes, bool negative, double *out)
{
    if (bytes == 3 && strncasecmp(at, "nan", 3) == 0)
        *out = (double)NAN;
    else if ((bytes == 3 && strncasecmp(at, "inf", 3) == 0) ||
             (bytes == 8 && strncasecmp(at, "infinity", 8) == 0))
        *out = negative ? -(double)INFINITY : (double)INFINITY;
    else
        return false;
    return true;
}

enum weir_err weir_parse_double(struct weir_slice text, double *out)
{
    const char *start = text.data, *at = start, *end;
    struct decimal d = {.exact = true};
    double value;

    if (text.bytes == 0)
        return WEIR_PARSE;
    if (text.bytes > TEXT_BYTES_MAX)
        return WEIR_LIMIT;
    end = start + text.bytes;
    d.negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    if (at < end && !is_digit(*at) && *at != '.')
        return take_word(at, (size_t)(end - at), d.negative, out) ? WEIR_OK : WEIR_PARSE;
    if (!take_decimal(&d, at, end))
        return WEIR_PARSE;
    /* Mantissa and power are exact, so one operation rounds once: the nearest double.
     * W. D. Clinger, "How to read floating point numbers accurately", 1990. */
    if (d.exact && d.mantissa <= UINT64_C(1) << 53 && d.exponent >= -22 && d.exponent <= 22) {
        value = (double)d.mantissa;
        value = d.exponent < 0 ? value / exact_power[-d.exponent] : value * exact_power[d.exponent];
        *out = d.negative ? -value : value;
    } else {
        *out = read_slowly(start, text.bytes);
    }
    return WEIR_OK;
}

static enum weir_err take_unsigned(const char *at, const char *end, uint64_t *out)
{
    uint64_t value = 0;
    bool over = false;

    if (at == end)
        return WEIR_PARSE;
    for (; at < end; at++) {
        if (!is_digit(*at))
            return WEIR_PARSE;
        over = over || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
               __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value);
    }
    *out = value;
    return over ? WEIR_LIMIT : WEIR_OK;
}

enum weir_err weir_parse_uint64(struct weir_slice text, uint64_t *out)
{
    const char *at = text.data;

    if (text.bytes == 0)
        return WEIR_PARSE;
    return take_unsigned(at + (*at == '+'), at + text.bytes, out);
}

enum weir_err weir_parse_int64(struct weir_slice text, int64_t *out)
{
    const char *at = text.data;
    uint64_t value, most;
    enum weir_err err;
    bool negative;

    if (text.bytes == 0)
        return WEIR_PARSE;
    negative = *at == '-';
    err = take_unsigned(at + (*at == '+' || negative), at + text.bytes, &value);
    if (err != WEIR_OK)
        return err;
    most = (uint64_t)INT64_MAX + negative;
    if (value > most)
        return WEIR_LIMIT;
    *out = (int64_t)(negative ? 0 - value : value);
    return WEIR_OK;
}

/* ---- writing */

/* 0.d1d2d3... * 10^(exponent + 1): d1 has the place value 10^exponent. No zeros at the end. */
struct digits {
    char text[DIGITS_MAX + 1];
    int count;
    int exponent;
};

static void put_integer(struct digits *d, uint64_t value, int decimals)
{
    char reversed[24];
    int count = 0;

    for (; value > 0; value /= 10)
        reversed[count++] = (char)('0' + value % 10);
    d->exponent = count - 1 - decimals;
    d->count = 0;
    while (count > 0)
        d->text[d->count++] = reversed[--count];
    while (d->count > 1 && d->text[d->count - 1] == '0')
        d->count--;
}

/*
 * Numbers of at most 15 digits in ordinary range, which most are: value * 10^k is within 0.2 of the
 * integer that is meant, and if that integer divided by 10^k (both exact, one rounding) gives the
 * value back, then so will any reader. The smallest such k has the fewest digits.
 */
static bool put_short(struct digits *d, double value)
{
    if (!(value >= 1e-5 && value < 1e15))
        return false;
    for (int k = 0; k <= 20; k++) {
        double scaled = rint(value * exact_power[k]);
        if (scaled >= 1e15)
            return false;
        if (scaled / exact_power[k] == value) {
            put_integer(d, (uint64_t)scaled, k);
            return true;
        }
    }
    return false;
}

/* Rounds to `precision` digits with the C library. Whatever the locale puts between the digits is
 * passed over. */
static void put_rounded(struct digits *d, double value, int precision)
{
    char text[64];
    const char *at = text;

    snprintf(text, sizeof text, "%.*e", precision - 1, value);
    d->count = 0;
    for (; *at != 'e'; at++)
        if (is_digit(*at) && d->count < DIGITS_MAX)
            d->text[d->count++] = *at;
    d->exponent = 0;
    for (const char *digit = at + 2; is_digit(*digit); digit++)
        d->exponent = d->exponent * 10 + (*digit - '0');
    d->exponent = at[1] == '-' ? -d->exponent : d->exponent;
    while (d->count > 1 && d->text[d->count - 1] == '0')
        d->count--;
}

static bool reads_back(const struct digits *d, double value)
{
    char text[DIGITS_MAX + 1 + WEIR_NUMBER_TEXT_MAX];
    size_t bytes = (size_t)d->count;
    double back = 0;
    enum weir_err err;

    memcpy(text, d->text, bytes);
    text[bytes++] = 'e';
    bytes += weir_format_int64(text + bytes, d->exponent - (d->count - 1));
    err = weir_parse_double(weir_slice(text, bytes), &back);
    return err == WEIR_OK && back == value;
}

/*
 * Numbers of 16 and 17 digits in ordinary range: long double has the bits to find the digits with
 * one multiplication (an error below 0.01 in the last place on x86-64). It is a guess that
 * reads_back confirms; the C library, which is never wrong, takes 8 times as long.
 */
static bool put_long(struct digits *d, double value)
{
    int exponent = 0;

    if (!(value >= 1e-5 && value < 1e15))
        return false;
    while (exponent < 14 && value >= exact_power[exponent + 1])
        exponent++;
    while (value * exact_power[-(exponent < 0 ? exponent : 0)] < 1)
        exponent--;
    for (int precision = 16; precision <= DIGITS_MAX; precision++) {
        int decimals = precision - 1 - exponent;
        long double scaled = rintl((long double)value * (long double)exact_power[decimals]);
        if (scaled >= 1e17L)
            return false;
        put_integer(d, (uint64_t)scaled, decimals);
        if (reads_back(d, value))
            return true;
    }
    return false;
}

/* value > 0 and finite. precision_min: fewest digits to try for subnormal numbers. */
static void find_digits(struct digits *d, double value, int precision_min)
{
    /* Only a subnormal number can need fewer than 15 digits and yet not be found by dropping the
     * zeros of 15. */
    int precision = value < 2.2250738585072014e-308 ? precision_min : 15;

    if (put_short(d, value) || put_long(d, value))
        return;
    for (; precision <= DIGITS_MAX; precision++) {
        put_rounded(d, value, precision);
        if (precision == DIGITS_MAX || reads_back(d, value))
            return;
    }
}

static char *put_zeros(char *to, int count)
{
    for (; count > 0; count--)
        *to++ = '0';
    return to;
}

static char *put_range(char *to, const struct digits *d, int from, int until)
{
    for (int i = from; i < until; i++)
        *to++ = d->text[i];
    return to;
}

/* 123.456, 0.00123, 12300; at least `decimals_min` digits behind the point. */
static char *put_plain(char *to, const struct digits *d, int decimals_min)
{
    int whole = d->exponent + 1; /* digits before the point */
    int given = whole < 0 ? 0 : whole < d->count ? whole : d->count;

    if (whole <= 0)
        *to++ = '0';
    to = put_range(to, d, 0, given);
    to = put_zeros(to, whole - given);
    if (given < d->count) {
        *to++ = '.';
        to = put_zeros(to, -whole);
        to = put_range(to, d, given, d->count);
    } else if (decimals_min > 0) {
        *to++ = '.';
        to = put_zeros(to, decimals_min);
    }
    return to;
}

size_t weir_format_double(char text[WEIR_NUMBER_TEXT_MAX], double value)
{
    struct digits d;
    char *to = text;

    if (isnan(value))
        return (size_t)snprintf(text, WEIR_NUMBER_TEXT_MAX, "nan");
    if (signbit(value))
        *to++ = '-';
    value = fabs(value);
    if (value == 0) {
        *to++ = '0';
    } else if (isinf(value)) {
        memcpy(to, "inf", 3);
        to += 3;
    } else {
        find_digits(&d, value, 1);
        if (d.exponent >= -5 && d.exponent < 17) {
            to = put_plain(to, &d, 0);
        } else {
            *to++ = d.text[0];
            if (d.count > 1)
                *to++ = '.';
            to = put_range(to, &d, 1, d.count);
            to += snprintf(to, 6, "e%c%02d", d.exponent < 0 ? '-' : '+', abs(d.exponent));
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

size_t weir_format_double_java(char text[WEIR_NUMBER_TEXT_MAX], double value)
{
    struct digits d = {0};
    char *to = text;

    if (isnan(value))
        return (size_t)snprintf(text, WEIR_NUMBER_TEXT_MAX, "NaN");
    if (signbit(value))
        *to++ = '-';
    value = fabs(value);
    if (value == 0) {
        memcpy(to, "0.0", 3);
        to += 3;
    } else if (isinf(value)) {
        memcpy(to, "Infinity", 8);
        to += 8;
    } else {
        find_digits(&d, value, 2);
        if (value >= 1e-3 && value < 1e7) {
            to = put_plain(to, &d, 1);
        } else {
            *to++ = d.text[0];
            *to++ = '.';
            to = d.count > 1 ? put_range(to, &d, 1, d.count) : put_zeros(to, 1);
            to += snprintf(to, 6, "E%d", d.exponent);
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

size_t weir_format_int64(char text[WEIR_NUMBER_TEXT_MAX], int64_t value)
{
    char reversed[24];
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    int count = 0;
    char *to = text;

    do {
        reversed[count++] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        *to++ = '-';
    while (count > 0)
        *to++ = reversed[--count];
    *to = '\0';
    return (size_t)(to - text);
}
