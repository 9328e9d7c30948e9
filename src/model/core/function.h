/*
 * model/core/function.h - PMML's built-in functions.
 *
 * What:    functions over typed values. Types are known when a model is built: integers stay
 *          integers under + - * / (division truncates), an operation with a float is one of floats,
 *          with a double one of doubles. Unless a function says otherwise, a missing argument makes
 *          the result missing.
 * Errors:  a result that is not defined (integer division by 0, an integer beyond 2^53, a text over
 *          MODEL_TEXT_MAX) is told by model_call's return value.
 * Source:  PMML 4.4, "Built-in Functions".
 */
#ifndef WEIR_MODEL_CORE_FUNCTION_H
#define WEIR_MODEL_CORE_FUNCTION_H

#include "model/core/form.h"

enum model_function {
    MODEL_FUNCTION_ADD,
    MODEL_FUNCTION_SUBTRACT,
    MODEL_FUNCTION_MULTIPLY,
    MODEL_FUNCTION_DIVIDE,
    MODEL_FUNCTION_MODULO,
    MODEL_FUNCTION_POW,
    MODEL_FUNCTION_THRESHOLD,
    MODEL_FUNCTION_MIN,
    MODEL_FUNCTION_MAX,
    MODEL_FUNCTION_SUM,
    MODEL_FUNCTION_PRODUCT,
    MODEL_FUNCTION_AVG,
    MODEL_FUNCTION_MEDIAN,
    MODEL_FUNCTION_LOG10,
    MODEL_FUNCTION_LN,
    MODEL_FUNCTION_LN1P,
    MODEL_FUNCTION_EXP,
    MODEL_FUNCTION_EXPM1,
    MODEL_FUNCTION_SQRT,
    MODEL_FUNCTION_ERF,
    MODEL_FUNCTION_SIN,
    MODEL_FUNCTION_ASIN,
    MODEL_FUNCTION_SINH,
    MODEL_FUNCTION_COS,
    MODEL_FUNCTION_ACOS,
    MODEL_FUNCTION_COSH,
    MODEL_FUNCTION_TAN,
    MODEL_FUNCTION_ATAN,
    MODEL_FUNCTION_TANH,
    MODEL_FUNCTION_RINT,
    MODEL_FUNCTION_HYPOT,
    MODEL_FUNCTION_ATAN2,
    MODEL_FUNCTION_NORMAL_CDF,
    MODEL_FUNCTION_NORMAL_PDF,
    MODEL_FUNCTION_NORMAL_IDF,
    MODEL_FUNCTION_ABS,
    MODEL_FUNCTION_FLOOR,
    MODEL_FUNCTION_CEIL,
    MODEL_FUNCTION_ROUND,
    MODEL_FUNCTION_IS_MISSING,
    MODEL_FUNCTION_IS_NOT_MISSING,
    MODEL_FUNCTION_IS_VALID,
    MODEL_FUNCTION_IS_NOT_VALID,
    MODEL_FUNCTION_EQUAL,
    MODEL_FUNCTION_NOT_EQUAL,
    MODEL_FUNCTION_LESS,
    MODEL_FUNCTION_LESS_OR_EQUAL,
    MODEL_FUNCTION_GREATER,
    MODEL_FUNCTION_GREATER_OR_EQUAL,
    MODEL_FUNCTION_AND,
    MODEL_FUNCTION_OR,
    MODEL_FUNCTION_NOT,
    MODEL_FUNCTION_IS_IN,
    MODEL_FUNCTION_IS_NOT_IN,
    MODEL_FUNCTION_IF,
    MODEL_FUNCTION_UPPERCASE,
    MODEL_FUNCTION_LOWERCASE,
    MODEL_FUNCTION_STRING_LENGTH,
    MODEL_FUNCTION_SUBSTRING,
    MODEL_FUNCTION_TRIM_BLANKS,
    MODEL_FUNCTION_CONCAT,
    MODEL_FUNCTION_REPLACE,
    MODEL_FUNCTION_MATCHES,
    MODEL_FUNCTION_FORMAT_DATETIME,
    MODEL_FUNCTION_DAYS_SINCE_YEAR,
    MODEL_FUNCTION_SECONDS_SINCE_YEAR,
    MODEL_FUNCTION_SECONDS_SINCE_MIDNIGHT,
    MODEL_FUNCTIONS
};

enum { MODEL_TEXT_MAX = 1 << 16 }; /* bytes of a string that an expression makes */

/* What a function takes and gives. */
enum model_signature {
    MODEL_SIGNATURE_ARITHMETIC, /* numbers; the common type of the arguments */
    MODEL_SIGNATURE_REAL,       /* numbers; float if all are floats or integers, else double */
    MODEL_SIGNATURE_ROUND,      /* a number; an integer */
    MODEL_SIGNATURE_ANY,        /* anything; a boolean */
    MODEL_SIGNATURE_COMPARE,    /* arguments that compare; a boolean */
    MODEL_SIGNATURE_ORDER,      /* the same, of types that have an order */
    MODEL_SIGNATURE_BOOLEAN,    /* booleans; a boolean */
    MODEL_SIGNATURE_IF,         /* a boolean and one or two of one type */
    MODEL_SIGNATURE_STRING,     /* strings, then integers; a string */
    MODEL_SIGNATURE_CONCAT,     /* strings and integers; a string */
    MODEL_SIGNATURE_LENGTH,     /* a string; an integer */
    MODEL_SIGNATURE_MATCH,      /* strings; a boolean */
    MODEL_SIGNATURE_FORMAT,     /* a date and a string; a string */
    MODEL_SIGNATURE_CALENDAR,   /* a date and maybe an integer; an integer */
};

struct model_function_info {
    const char *name;
    enum model_signature signature;
    uint8_t arguments_min, arguments_max; /* 255 = any number */
};

/* By name; MODEL_FUNCTIONS if there is none. Two names have fewer arguments than their function. */
enum model_function model_function_find(const char *name, const struct model_function_info **info);

/* Type of a call; false when the arguments' types are not what the function takes. */
bool model_function_type(const struct model_function_info *info, const struct model_expr *args,
                         uint32_t count, enum model_type *type_out);

/* Value of a call expression. False: not defined. */
bool model_call(const struct model_expr *expr, struct model_row *row, double *value_out);
/* The same for functions of strings and dates (text.c). */
bool model_call_text(const struct model_expr *expr, struct model_row *row, double *value_out);

#endif
