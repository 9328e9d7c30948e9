/*
 * base/json.h - JSON: a writer into a buffer, a reader behind caps.
 *
 * What:    RFC 8259. The writer keeps commas, nesting and escapes right and writes the shortest
 *          numbers that read back equal. The reader is jansson's, which is shown as it is
 *          (json_object_get and so on), after a scan that holds size, depth and count.
 * Life:    writer: weir_json_begin -> values ... -> weir_json_end. Reader: weir_json_read ->
 *          json_decref.
 * Threads: a writer belongs to one thread; the reader any.
 * Memory:  the writer appends to the caller's buffer; all text is copied. The reader's tree belongs
 *          to the caller.
 * Errors:  the writer keeps its first error (LIMIT, NOMEM) and weir_json_end gives it: no check is
 *          needed between. A value out of place is a programmer's mistake (assertion). The reader:
 *          PARSE with line in error.position, LIMIT, NOMEM.
 *
 *      weir_json_begin(&w, &buffer);
 *      weir_json_object_begin(&w);
 *      weir_json_put_int(&w, "usage", 7);
 *      weir_json_object_end(&w);
 *      err = weir_json_end(&w);
 */
#ifndef WEIR_BASE_JSON_H
#define WEIR_BASE_JSON_H

#include <jansson.h>

#include <weir/base.h>

#include "base/buffer.h"

enum { WEIR_JSON_WRITE_DEPTH_MAX = 32 };

struct weir_json {
    struct weir_buffer *into; /* borrowed */
    enum weir_err err;        /* the first */
    uint8_t depth;
    bool after_key;
    bool nan_as_text; /* NaN and infinities as "NaN", "Infinity", "-Infinity" [false: null] */
    struct {
        bool object, filled;
    } levels[WEIR_JSON_WRITE_DEPTH_MAX + 1];
};

/* Begins one value at the end of the buffer. */
void weir_json_begin(struct weir_json *json, struct weir_buffer *into);
/* Asserts that exactly one whole value was written (unless an error came first); gives the first
 * error. */
WEIR_MUST_USE enum weir_err weir_json_end(struct weir_json *json);

void weir_json_object_begin(struct weir_json *json);
void weir_json_object_end(struct weir_json *json);
void weir_json_array_begin(struct weir_json *json);
void weir_json_array_end(struct weir_json *json);
/* Inside an object, before each value. */
void weir_json_key(struct weir_json *json, const char *name);
void weir_json_key_slice(struct weir_json *json, struct weir_slice name);

/* Bytes that are not UTF-8 become U+FFFD; a null slice or NULL text becomes null. */
void weir_json_slice(struct weir_json *json, struct weir_slice text);
void weir_json_text(struct weir_json *json, const char *text);
void weir_json_int(struct weir_json *json, int64_t value);
void weir_json_uint(struct weir_json *json, uint64_t value);
void weir_json_double(struct weir_json *json, double value);
void weir_json_bool(struct weir_json *json, bool value);
void weir_json_null(struct weir_json *json);
/* One value that is JSON already; copied unchecked. */
void weir_json_raw(struct weir_json *json, struct weir_slice value);

/* Key and value of an object's member in one. */
void weir_json_put_slice(struct weir_json *json, const char *name, struct weir_slice text);
void weir_json_put_text(struct weir_json *json, const char *name, const char *text);
void weir_json_put_int(struct weir_json *json, const char *name, int64_t value);
void weir_json_put_uint(struct weir_json *json, const char *name, uint64_t value);
void weir_json_put_double(struct weir_json *json, const char *name, double value);
void weir_json_put_bool(struct weir_json *json, const char *name, bool value);

/* Caps of the reader. */
struct weir_json_limits {
    size_t bytes_max;    /* of the text [1 MiB] */
    uint32_t depth_max;  /* of arrays and objects in each other [64] */
    uint32_t values_max; /* of all values together [100,000] */
};

/* Reads one whole value (any kind; duplicate keys are refused) into *root_out, a new reference.
 * limits NULL = the defaults in brackets. */
WEIR_MUST_USE enum weir_err weir_json_read(struct weir_slice text,
                                           const struct weir_json_limits *limits, json_t **root_out,
                                           struct weir_error *error);

#endif
