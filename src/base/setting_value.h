/*
 * base/setting_value.h - one value of a setting, from text to its type.
 *
 * What:    struct weir_setting_value and the one function that reads it; used by settings*.c.
 * Life:    parse -> release; a zeroed value needs no release.
 * Threads: pure.
 * Memory:  a value owns its text and its list items.
 * Errors:  INVALID (what is wrong with the text, without saying where it stood), NOMEM. The text of
 *          a secret is not quoted.
 */
#ifndef WEIR_BASE_SETTING_VALUE_H
#define WEIR_BASE_SETTING_VALUE_H

#include "base/settings.h"

struct weir_setting_value {
    char *text;      /* as given; NULL = unset */
    int64_t integer; /* INT, DURATION in ms, BYTES, BOOL 0 or 1, ENUM index */
    double real;     /* DOUBLE */
    char *items;     /* LIST: the items, each with a NUL, one behind the other */
    size_t item_count;
};

WEIR_MUST_USE enum weir_err weir_setting_value_parse(const struct weir_setting *row,
                                                     const char *text,
                                                     struct weir_setting_value *out,
                                                     struct weir_error *error);
void weir_setting_value_release(struct weir_setting_value *value);
/* How help shows the value: "HOST:PORT", "N", "skip|wait". */
const char *weir_setting_argument(const struct weir_setting *row);

#endif
