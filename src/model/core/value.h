/*
 * model/core/value.h - what a value is while a model runs, and the tables of strings and classes.
 *
 * What:    every value is one double. Numbers are themselves, booleans 0 and 1, strings the number
 *          of their symbol (below). What a double means is a matter of the slot it stands in, never
 *          of the value. Missing is one NaN with a payload of its own, so that it travels through
 *          columns and copies; any other NaN is a value (an invalid one, unless a field takes
 *          invalid values as they are).
 * Life:    symbols and classes grow while a reader builds a model and are immutable afterwards.
 * Threads: immutable after the build.
 * Memory:  the model's arena.
 */
#ifndef WEIR_MODEL_CORE_VALUE_H
#define WEIR_MODEL_CORE_VALUE_H

#include <math.h>
#include <string.h>

#include <weir/base.h>

/* PMML's DATATYPE. What dates and times are as numbers: calendar.h. */
enum model_type {
    MODEL_STRING,
    MODEL_INTEGER,
    MODEL_FLOAT,
    MODEL_DOUBLE,
    MODEL_BOOLEAN,
    MODEL_DATE,
    MODEL_TIME,
    MODEL_DATE_TIME,
    MODEL_TIME_SECONDS, /* this one and those behind it count, and are numbers to functions */
    MODEL_DAYS_0,
    MODEL_DAYS_1960,
    MODEL_DAYS_1970,
    MODEL_DAYS_1980,
    MODEL_SECONDS_0,
    MODEL_SECONDS_1960,
    MODEL_SECONDS_1970,
    MODEL_SECONDS_1980,
    MODEL_TYPE_OPEN, /* no type: what reads an expression takes the one it has */
};

static inline bool model_is_calendar(enum model_type type)
{
    return type >= MODEL_DATE;
}

/* PMML's OPTYPE. */
enum model_optype { MODEL_CONTINUOUS, MODEL_CATEGORICAL, MODEL_ORDINAL };

#define MODEL_MISSING_BITS UINT64_C(0x7ff80000006d6973)

static inline double model_missing(void)
{
    uint64_t bits = MODEL_MISSING_BITS;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline bool model_is_missing(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits == MODEL_MISSING_BITS;
}

/*
 * Strings that a model knows, numbered from 0 in order of first sight. A scorer numbers strings
 * that the model does not know from symbols->count upwards, so that two equal strings have equal
 * numbers whether or not the model knows them.
 */
struct model_symbols {
    struct weir_slice *strings; /* [count] */
    uint32_t count, capacity;
    uint32_t *buckets; /* [bucket_count], number + 1, 0 = empty; linear probing */
    uint32_t bucket_count;
};

enum { MODEL_SYMBOLS_MAX = 1 << 22, MODEL_CLASSES_MAX = 4096 };

/* Number of a string, or -1. */
int64_t model_symbols_find(const struct model_symbols *symbols, struct weir_slice text);
/* Number of a string; copies it (malloc) if it is new. Errors: NOMEM, LIMIT (MODEL_SYMBOLS_MAX). */
WEIR_MUST_USE enum weir_err model_symbols_add(struct model_symbols *symbols, struct weir_slice text,
                                              uint32_t *number_out);
/* Forgets all but the first count strings. */
void model_symbols_truncate(struct model_symbols *symbols, uint32_t count);
void model_symbols_release(struct model_symbols *symbols);

/*
 * Reads text as a value of a type: surrounding blanks are dropped for all but strings, "1.0" is an
 * integer, "INF", "-INF" and "NaN" are numbers, a boolean is true, false, 1 or 0, dates and times
 * are written as in ISO 8601 without a zone. Not for strings.
 * False when the text is no such value.
 */
bool model_parse_value(enum model_type type, struct weir_slice text, double *value_out);
/* Brings a number to a type as PMML casts it: float rounds to float32, integer and boolean must be
 * whole (0 or 1). False when it is no such value. */
bool model_cast_number(enum model_type type, double number, double *value_out);

/* The categories of a classification, in the order of the target's Value elements. */
struct model_classes {
    uint32_t count;
    const struct weir_slice *labels; /* [count] as written in the document */
    const double *values;            /* [count] the labels as values of the target's type */
};

#endif
