#include "model/core/function.h"

#include <stdlib.h>

#define SQRT_HALF 0.70710678118654752440
#define SQRT_TWO_PI 2.50662827463100050242
#define INTEGER_MAX 9007199254740992.0 /* 2^53 */

enum { ANY = 255 };

/* In the order of enum model_function. */
static const struct model_function_info functions[MODEL_FUNCTIONS] = {
    {"+", MODEL_SIGNATURE_ARITHMETIC, 2, 2},
    {"-", MODEL_SIGNATURE_ARITHMETIC, 2, 2},
    {"*", MODEL_SIGNATURE_ARITHMETIC, 2, 2},
    {"/", MODEL_SIGNATURE_ARITHMETIC, 2, 2},
    {"modulo", MODEL_SIGNATURE_ARITHMETIC, 2, 2},
    {"pow", MODEL_SIGNATURE_ARITHMETIC, 2, 2},
    {"threshold", MODEL_SIGNATURE_ARITHMETIC, 2, 2},
    {"min", MODEL_SIGNATURE_ARITHMETIC, 1, ANY},
    {"max", MODEL_SIGNATURE_ARITHMETIC, 1, ANY},
    {"sum", MODEL_SIGNATURE_ARITHMETIC, 1, ANY},
    {"product", MODEL_SIGNATURE_ARITHMETIC, 1, ANY},
    {"avg", MODEL_SIGNATURE_REAL, 1, ANY},
    {"median", MODEL_SIGNATURE_REAL, 1, ANY},
    {"log10", MODEL_SIGNATURE_REAL, 1, 1},
    {"ln", MODEL_SIGNATURE_REAL, 1, 1},
    {"ln1p", MODEL_SIGNATURE_REAL, 1, 1},
    {"exp", MODEL_SIGNATURE_REAL, 1, 1},
    {"expm1", MODEL_SIGNATURE_REAL, 1, 1},
    {"sqrt", MODEL_SIGNATURE_REAL, 1, 1},
    {"erf", MODEL_SIGNATURE_REAL, 1, 1},
    {"sin", MODEL_SIGNATURE_REAL, 1, 1},
    {"asin", MODEL_SIGNATURE_REAL, 1, 1},
    {"sinh", MODEL_SIGNATURE_REAL, 1, 1},
    {"cos", MODEL_SIGNATURE_REAL, 1, 1},
    {"acos", MODEL_SIGNATURE_REAL, 1, 1},
    {"cosh", MODEL_SIGNATURE_REAL, 1, 1},
    {"tan", MODEL_SIGNATURE_REAL, 1, 1},
    {"atan", MODEL_SIGNATURE_REAL, 1, 1},
    {"tanh", MODEL_SIGNATURE_REAL, 1, 1},
    {"rint", MODEL_SIGNATURE_REAL, 1, 1},
    {"hypot", MODEL_SIGNATURE_REAL, 2, 2},
    {"x-atan2", MODEL_SIGNATURE_REAL, 2, 2},
    {"normalCDF", MODEL_SIGNATURE_REAL, 3, 3},
    {"normalPDF", MODEL_SIGNATURE_REAL, 3, 3},
    {"normalIDF", MODEL_SIGNATURE_REAL, 3, 3},
    {"abs", MODEL_SIGNATURE_ARITHMETIC, 1, 1},
    {"floor", MODEL_SIGNATURE_ROUND, 1, 1},
    {"ceil", MODEL_SIGNATURE_ROUND, 1, 1},
    {"round", MODEL_SIGNATURE_ROUND, 1, 1},
    {"isMissing", MODEL_SIGNATURE_ANY, 1, 1},
    {"isNotMissing", MODEL_SIGNATURE_ANY, 1, 1},
    {"isValid", MODEL_SIGNATURE_ANY, 1, 1},
    {"isNotValid", MODEL_SIGNATURE_ANY, 1, 1},
    {"equal", MODEL_SIGNATURE_COMPARE, 2, 2},
    {"notEqual", MODEL_SIGNATURE_COMPARE, 2, 2},
    {"lessThan", MODEL_SIGNATURE_ORDER, 2, 2},
    {"lessOrEqual", MODEL_SIGNATURE_ORDER, 2, 2},
    {"greaterThan", MODEL_SIGNATURE_ORDER, 2, 2},
    {"greaterOrEqual", MODEL_SIGNATURE_ORDER, 2, 2},
    {"and", MODEL_SIGNATURE_BOOLEAN, 2, ANY},
    {"or", MODEL_SIGNATURE_BOOLEAN, 2, ANY},
    {"not", MODEL_SIGNATURE_BOOLEAN, 1, 1},
    {"isIn", MODEL_SIGNATURE_COMPARE, 2, ANY},
    {"isNotIn", MODEL_SIGNATURE_COMPARE, 2, ANY},
    {"if", MODEL_SIGNATURE_IF, 2, 3},
    {"uppercase", MODEL_SIGNATURE_STRING, 1, 1},
    {"lowercase", MODEL_SIGNATURE_STRING, 1, 1},
    {"stringLength", MODEL_SIGNATURE_LENGTH, 1, 1},
    {"substring", MODEL_SIGNATURE_STRING, 3, 3},
    {"trimBlanks", MODEL_SIGNATURE_STRING, 1, 1},
    {"concat", MODEL_SIGNATURE_CONCAT, 1, ANY},
    {"replace", MODEL_SIGNATURE_STRING, 3, 3},
    {"matches", MODEL_SIGNATURE_MATCH, 2, 2},
    {"formatDatetime", MODEL_SIGNATURE_FORMAT, 2, 2},
    {"dateDaysSinceYear", MODEL_SIGNATURE_CALENDAR, 2, 2},
    {"dateSecondsSinceYear", MODEL_SIGNATURE_CALENDAR, 2, 2},
    {"dateSecondsSinceMidnight", MODEL_SIGNATURE_CALENDAR, 1, 1},
};

/* The normal distribution with mean 0 and deviation 1, and a name of the standard's older texts. */
static const struct {
    struct model_function_info info;
    enum model_function function;
} others[] = {
    {{"stdNormalCDF", MODEL_SIGNATURE_REAL, 1, 1}, MODEL_FUNCTION_NORMAL_CDF},
    {{"stdNormalPDF", MODEL_SIGNATURE_REAL, 1, 1}, MODEL_FUNCTION_NORMAL_PDF},
    {{"stdNormalIDF", MODEL_SIGNATURE_REAL, 1, 1}, MODEL_FUNCTION_NORMAL_IDF},
    {{"x-concat", MODEL_SIGNATURE_CONCAT, 1, ANY}, MODEL_FUNCTION_CONCAT},
};

enum model_function model_function_find(const char *name, const struct model_function_info **info)
{
    for (uint32_t i = 0; i < MODEL_FUNCTIONS; i++) {
        if (strcmp(functions[i].name, name) == 0) {
            *info = &functions[i];
            return (enum model_function)i;
        }
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(others[i].info.name, name) == 0) {
            *info = &others[i].info;
            return others[i].function;
        }
    }
    return MODEL_FUNCTIONS;
}

/* ---- types ----------------------------------------------------------------------------------- */

static bool is_number(enum model_type type)
{
    return (type >= MODEL_INTEGER && type <= MODEL_DOUBLE) || type >= MODEL_TIME_SECONDS;
}

/* integer < float < double; days and seconds that count are integers. */
static enum model_type wider(enum model_type a, enum model_type b)
{
    a = model_is_calendar(a) ? MODEL_INTEGER : a;
    b = model_is_calendar(b) ? MODEL_INTEGER : b;
    return a > b ? a : b;
}

static bool all_numbers(const struct model_expr *args, uint32_t count, enum model_type *common)
{
    *common = MODEL_INTEGER;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_number(args[i].type)) {
            return false;
        }
        *common = wider(*common, args[i].type);
    }
    return true;
}

static bool all_of(const struct model_expr *args, uint32_t count, enum model_type type)
{
    for (uint32_t i = 0; i < count; i++) {
        if (args[i].type != type) {
            return false;
        }
    }
    return true;
}

/* Numbers and booleans compare with one another, everything else with its own type. */
static bool all_comparable(const struct model_expr *args, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        bool a = is_number(args[0].type) || args[0].type == MODEL_BOOLEAN;
        bool b = is_number(args[i].type) || args[i].type == MODEL_BOOLEAN;
        bool counted = model_is_calendar(args[0].type) || model_is_calendar(args[i].type);
        if (args[0].type != args[i].type && !(a && b && !counted)) {
            return false;
        }
    }
    return true;
}

bool model_function_type(const struct model_function_info *info, const struct model_expr *args,
                         uint32_t count, enum model_type *type_out)
{
    enum model_type common;
    bool numbers = all_numbers(args, count, &common);
    *type_out = MODEL_BOOLEAN;
    switch (info->signature) {
    case MODEL_SIGNATURE_ARITHMETIC:
        *type_out = common;
        return numbers;
    case MODEL_SIGNATURE_REAL:
        *type_out = common == MODEL_FLOAT ? MODEL_FLOAT : MODEL_DOUBLE;
        return numbers;
    case MODEL_SIGNATURE_ROUND:
        *type_out = MODEL_INTEGER;
        return numbers;
    case MODEL_SIGNATURE_ANY:
        return true;
    case MODEL_SIGNATURE_COMPARE:
        return all_comparable(args, count);
    case MODEL_SIGNATURE_ORDER:
        return all_comparable(args, count) && args[0].type != MODEL_STRING;
    case MODEL_SIGNATURE_BOOLEAN:
        return all_of(args, count, MODEL_BOOLEAN);
    case MODEL_SIGNATURE_IF:
        *type_out = args[1].type;
        if (count == 3 && args[1].type != args[2].type) {
            *type_out = wider(args[1].type, args[2].type);
            return args[0].type == MODEL_BOOLEAN && all_numbers(args + 1, 2, &common);
        }
        return args[0].type == MODEL_BOOLEAN;
    case MODEL_SIGNATURE_STRING:
        *type_out = MODEL_STRING;
        if (strcmp(info->name, "substring") == 0) {
            return args[0].type == MODEL_STRING && all_of(args + 1, count - 1, MODEL_INTEGER);
        }
        return all_of(args, count, MODEL_STRING);
    case MODEL_SIGNATURE_CONCAT:
        *type_out = MODEL_STRING;
        for (uint32_t i = 0; i < count; i++) {
            if (args[i].type != MODEL_STRING && args[i].type != MODEL_INTEGER) {
                return false;
            }
        }
        return true;
    case MODEL_SIGNATURE_LENGTH:
        *type_out = MODEL_INTEGER;
        return args[0].type == MODEL_STRING;
    case MODEL_SIGNATURE_MATCH:
        return all_of(args, count, MODEL_STRING);
    case MODEL_SIGNATURE_FORMAT:
        *type_out = MODEL_STRING;
        return model_is_calendar(args[0].type) && args[1].type == MODEL_STRING;
    case MODEL_SIGNATURE_CALENDAR:
        *type_out = MODEL_INTEGER;
        return model_is_calendar(args[0].type) && (count == 1 || args[1].type == MODEL_INTEGER);
    }
    return false;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static double normal_density(double z)
{
    return exp(-z * z / 2) / SQRT_TWO_PI;
}

/*
 * Inverse of the normal distribution: a start from the tail's leading term, then Newton's method in
 * the logarithm of the smaller tail, where the function is almost straight.
 */
static double normal_quantile(double p)
{
    if (!(p > 0 && p < 1)) {
        return p == 0 ? -INFINITY : p == 1 ? INFINITY : (double)NAN;
    }
    double tail = p < 0.5 ? p : 1 - p;
    double z = tail > 0.4999999 ? 0 : sqrt(-2 * log(2 * tail)) * 0.8;
    for (int i = 0; i < 60; i++) {
        double upper = 0.5 * erfc(z * SQRT_HALF);
        double step = (log(upper) - log(tail)) * upper / normal_density(z);
        z += step;
        if (fabs(step) <= 1e-16 * fabs(z)) {
            break;
        }
    }
    return p < 0.5 ? -z : z;
}

static double normal(enum model_function function, double x, double mean, double deviation)
{
    double z = (x - mean) / deviation;
    if (function == MODEL_FUNCTION_NORMAL_CDF) {
        return 0.5 * erfc(-z * SQRT_HALF);
    }
    if (function == MODEL_FUNCTION_NORMAL_PDF) {
        return normal_density(z) / deviation;
    }
    return mean + deviation * normal_quantile(x);
}

/* The sign is the divisor's. */
static double modulo(double x, double y)
{
    double rest = fmod(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

/* Halves go up, as they are and not as x + 0.5 rounds. */
static double round_half_up(double x)
{
    double below = floor(x);
    return x - below >= 0.5 ? below + 1 : below;
}

static double of_one(enum model_function function, double x)
{
    switch (function) {
    case MODEL_FUNCTION_LOG10:
        return log10(x);
    case MODEL_FUNCTION_LN:
        return log(x);
    case MODEL_FUNCTION_LN1P:
        return log1p(x);
    case MODEL_FUNCTION_EXP:
        return exp(x);
    case MODEL_FUNCTION_EXPM1:
        return expm1(x);
    case MODEL_FUNCTION_SQRT:
        return sqrt(x);
    case MODEL_FUNCTION_ERF:
        return erf(x);
    case MODEL_FUNCTION_SIN:
        return sin(x);
    case MODEL_FUNCTION_ASIN:
        return asin(x);
    case MODEL_FUNCTION_SINH:
        return sinh(x);
    case MODEL_FUNCTION_COS:
        return cos(x);
    case MODEL_FUNCTION_ACOS:
        return acos(x);
    case MODEL_FUNCTION_COSH:
        return cosh(x);
    case MODEL_FUNCTION_TAN:
        return tan(x);
    case MODEL_FUNCTION_ATAN:
        return atan(x);
    case MODEL_FUNCTION_TANH:
        return tanh(x);
    case MODEL_FUNCTION_RINT:
        return nearbyint(x);
    case MODEL_FUNCTION_ABS:
        return fabs(x);
    case MODEL_FUNCTION_FLOOR:
        return floor(x);
    case MODEL_FUNCTION_CEIL:
        return ceil(x);
    case MODEL_FUNCTION_ROUND:
        return round_half_up(x);
    default:
        return normal(function, x, 0, 1);
    }
}

/* False: integers that have no result. */
static bool of_two(enum model_function function, bool integers, double x, double y, double *out)
{
    switch (function) {
    case MODEL_FUNCTION_ADD:
        *out = x + y;
        break;
    case MODEL_FUNCTION_SUBTRACT:
        *out = x - y;
        break;
    case MODEL_FUNCTION_MULTIPLY:
        *out = x * y;
        break;
    case MODEL_FUNCTION_DIVIDE:
        *out = integers ? trunc(x / y) : x / y;
        return !integers || y != 0;
    case MODEL_FUNCTION_MODULO:
        *out = modulo(x, y);
        return !integers || y != 0;
    case MODEL_FUNCTION_POW:
        *out = pow(x, y);
        return !integers || y >= 0;
    case MODEL_FUNCTION_THRESHOLD:
        *out = x > y ? 1 : 0;
        break;
    case MODEL_FUNCTION_HYPOT:
        *out = hypot(x, y);
        break;
    default:
        *out = atan2(x, y);
        break;
    }
    return true;
}

/* What is not an integer, or too large to be exact, is no result of a function that gives one. */
static bool keep_number(const struct model_expr *expr, double value, double *value_out)
{
    *value_out = expr->type == MODEL_FLOAT ? (double)(float)value : value;
    return expr->type != MODEL_INTEGER || fabs(value) <= INTEGER_MAX;
}

static bool call_number(const struct model_expr *expr, struct model_row *row, double *value_out)
{
    double x[3] = {0, 0, 0};
    for (uint32_t i = 0; i < expr->count; i++) {
        x[i] = model_expr_value(&expr->args[i], row);
        if (model_is_missing(x[i])) {
            *value_out = model_missing();
            return true;
        }
    }
    double value;
    if (expr->count == 1) {
        value = of_one(expr->function, x[0]);
    } else if (expr->count == 3) {
        value = normal(expr->function, x[0], x[1], x[2]);
    } else if (!of_two(expr->function, expr->type == MODEL_INTEGER, x[0], x[1], &value)) {
        return false;
    }
    return keep_number(expr, value, value_out);
}

/* ---- aggregates: missing arguments are passed over ------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double aggregate(enum model_function function, double *values, uint32_t count)
{
    double result = values[0];
    if (function == MODEL_FUNCTION_MEDIAN) {
        qsort(values, count, sizeof *values, ascending);
        double upper = values[count / 2];
        return count % 2 == 1 ? upper : (values[count / 2 - 1] + upper) / 2;
    }
    for (uint32_t i = 1; i < count; i++) {
        double x = values[i];
        if (function == MODEL_FUNCTION_MIN) {
            result = x < result || isnan(x) ? x : result;
        } else if (function == MODEL_FUNCTION_MAX) {
            result = x > result || isnan(x) ? x : result;
        } else {
            result = function == MODEL_FUNCTION_PRODUCT ? result * x : result + x;
        }
    }
    return function == MODEL_FUNCTION_AVG ? result / count : result;
}

static bool call_aggregate(const struct model_expr *expr, struct model_row *row, double *value_out)
{
    double *values = row->work + expr->work;
    uint32_t count = 0;
    for (uint32_t i = 0; i < expr->count; i++) {
        double x = model_expr_value(&expr->args[i], row);
        if (!model_is_missing(x)) {
            values[count++] = x;
        }
    }
    if (count == 0) {
        *value_out = model_missing();
        return true;
    }
    return keep_number(expr, aggregate(expr->function, values, count), value_out);
}

/* ---- truths ---------------------------------------------------------------------------------- */

static bool compare(enum model_function function, double x, double y)
{
    switch (function) {
    case MODEL_FUNCTION_EQUAL:
        return x == y;
    case MODEL_FUNCTION_NOT_EQUAL:
        return x != y;
    case MODEL_FUNCTION_LESS:
        return x < y;
    case MODEL_FUNCTION_LESS_OR_EQUAL:
        return x <= y;
    case MODEL_FUNCTION_GREATER:
        return x > y;
    default:
        return x >= y;
    }
}

static double call_comparison(const struct model_expr *expr, struct model_row *row)
{
    double x = model_expr_value(&expr->args[0], row);
    double y = model_expr_value(&expr->args[1], row);
    if (model_is_missing(x) || model_is_missing(y)) {
        return model_missing();
    }
    return compare(expr->function, x, y);
}

/* All arguments are looked at: a missing one leaves no truth, whatever the others are. */
static double call_boolean(const struct model_expr *expr, struct model_row *row)
{
    uint32_t truths = 0;
    bool missing = false;
    for (uint32_t i = 0; i < expr->count; i++) {
        double x = model_expr_value(&expr->args[i], row);
        missing |= model_is_missing(x);
        truths += x == 1;
    }
    if (missing) {
        return model_missing();
    }
    if (expr->function == MODEL_FUNCTION_NOT) {
        return truths == 0;
    }
    return expr->function == MODEL_FUNCTION_AND ? truths == expr->count : truths > 0;
}

/* A missing value is in a list with a missing member. */
static double call_is_in(const struct model_expr *expr, struct model_row *row)
{
    double x = model_expr_value(&expr->args[0], row);
    bool found = false;
    for (uint32_t i = 1; i < expr->count && !found; i++) {
        double y = model_expr_value(&expr->args[i], row);
        found = model_is_missing(x) ? model_is_missing(y) : x == y;
    }
    return found == (expr->function == MODEL_FUNCTION_IS_IN);
}

/* A missing value is neither valid nor invalid. */
static double call_state(const struct model_expr *expr, struct model_row *row)
{
    double x = model_expr_value(&expr->args[0], row);
    bool missing = model_is_missing(x);
    bool valid = !isnan(x) && (expr->treatment == NULL || model_is_valid(expr->treatment, x));
    switch (expr->function) {
    case MODEL_FUNCTION_IS_MISSING:
        return missing;
    case MODEL_FUNCTION_IS_NOT_MISSING:
        return !missing;
    case MODEL_FUNCTION_IS_VALID:
        return valid;
    default:
        return !valid && !missing;
    }
}

static double call_if(const struct model_expr *expr, struct model_row *row)
{
    double truth = model_expr_value(&expr->args[0], row);
    uint32_t branch = truth == 1 ? 1 : 2;
    if (model_is_missing(truth) || branch >= expr->count) {
        return model_missing();
    }
    return model_expr_value(&expr->args[branch], row);
}

bool model_call(const struct model_expr *expr, struct model_row *row, double *value_out)
{
    enum model_function function = expr->function;
    if (function >= MODEL_FUNCTION_UPPERCASE) {
        return model_call_text(expr, row, value_out);
    }
    if (function >= MODEL_FUNCTION_MIN && function <= MODEL_FUNCTION_MEDIAN) {
        return call_aggregate(expr, row, value_out);
    }
    if (function < MODEL_FUNCTION_IS_MISSING) {
        return call_number(expr, row, value_out);
    }
    if (function <= MODEL_FUNCTION_IS_NOT_VALID) {
        *value_out = call_state(expr, row);
    } else if (function <= MODEL_FUNCTION_GREATER_OR_EQUAL) {
        *value_out = call_comparison(expr, row);
    } else if (function <= MODEL_FUNCTION_NOT) {
        *value_out = call_boolean(expr, row);
    } else if (function < MODEL_FUNCTION_IF) {
        *value_out = call_is_in(expr, row);
    } else {
        *value_out = call_if(expr, row);
    }
    return true;
}
