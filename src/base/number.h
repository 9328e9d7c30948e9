/*
 * base/number.h - numbers from and to text, whatever the locale.
 *
 * What:    strict readers for slices, writers that read back equal.
 * Life:    pure functions.
 * Threads: any.
 * Memory:  none; writers fill the caller's array of WEIR_NUMBER_TEXT_MAX bytes.
 * Errors:  readers give PARSE (not a number, or anything behind it) or LIMIT (an integer out of
 *          range; a text over 1,024 bytes). Doubles out of range become infinity or 0, as in C.
 */
#ifndef WEIR_BASE_NUMBER_H
#define WEIR_BASE_NUMBER_H

#include <weir/base.h>

enum { WEIR_NUMBER_TEXT_MAX = 32 };

/* [+-]digits[.digits][(e|E)[+-]digits], digits before or behind the point may be missing but not
 * both; NaN, INF, Infinity with sign and in any case (XML Schema's and PMML's spellings among
 * them). No spaces, no hexadecimal. Correctly rounded. */
WEIR_MUST_USE enum weir_err weir_parse_double(struct weir_slice text, double *out);
/* [+-]digits. */
WEIR_MUST_USE enum weir_err weir_parse_int64(struct weir_slice text, int64_t *out);
/* [+]digits. */
WEIR_MUST_USE enum weir_err weir_parse_uint64(struct weir_slice text, uint64_t *out);

/* Decimal text that reads back equal, the shortest of 15, 16 or 17 digits (or what is shorter still
 * with zeros dropped): "6", "0.1", "5.67910447761194", "1e+22", "nan", "inf", "-inf". Gives the
 * length; NUL-terminated. */
size_t weir_format_double(char text[WEIR_NUMBER_TEXT_MAX], double value);
/* The same digits as Java's Double.toString writes them: "6.0", "5.67910447761194", "1.0E22",
 * "1.0E-5", "NaN", "Infinity". Source: the Java API, java.lang.Double#toString. */
size_t weir_format_double_java(char text[WEIR_NUMBER_TEXT_MAX], double value);
size_t weir_format_int64(char text[WEIR_NUMBER_TEXT_MAX], int64_t value);

#endif
