/*
 * base/properties.h - reads Java's .properties format.
 *
 * What:    logical lines `key = value` with comments (# !), separators (= : or blanks), line
 *          continuation and escapes (\t \n \r \f \uXXXX, surrogate pairs). Text is UTF-8.
 *          Source: the Java API, java.util.Properties#load(Reader).
 * Life:    one call.
 * Threads: any.
 * Memory:  one scratch buffer for the call.
 * Errors:  PARSE (bad \u escape, NUL, bad UTF-8), LIMIT (over 1 MiB, a line over 64 KiB), NOMEM;
 *          whatever the callback gives. position = line.
 */
#ifndef WEIR_BASE_PROPERTIES_H
#define WEIR_BASE_PROPERTIES_H

#include <weir/base.h>

enum { WEIR_PROPERTIES_BYTES_MAX = 1 << 20, WEIR_PROPERTIES_LINE_MAX = 1 << 16 };

/* One pair, C strings borrowed for the call. line: where it begins, from 1. Not WEIR_OK ends. */
typedef enum weir_err weir_property_fn(void *opaque, const char *key, const char *value,
                                       int64_t line, struct weir_error *error);

/* Calls `each` for every pair in order; a repeated key comes again. */
WEIR_MUST_USE enum weir_err weir_properties_read(struct weir_slice text, weir_property_fn *each,
                                                 void *opaque, struct weir_error *error);

#endif
