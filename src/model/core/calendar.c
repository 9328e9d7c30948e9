#include "model/core/calendar.h"

#include <stdio.h>

#include "base/number.h"

#define DAY_SECONDS 86400.0
#define YEAR_0_DAYS (-719528) /* from 1970-01-01 */
#define YEAR_10000_DAYS 2932897

static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
    /* Years that begin in March end with the leap day. */
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t model_days_of_year(int64_t year)
{
    return days_of_date(year, 1, 1);
}

struct date {
    int64_t year, month, day;
};

static struct date date_of_days(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    struct date date = {year + era * 400, month < 10 ? month + 3 : month - 9,
                        of_year - (153 * month + 2) / 5 + 1};
    date.year += date.month <= 2;
    return date;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Takes `digits` digits and, unless it is NUL, the character behind them. */
static bool take(struct weir_slice *text, int digits, char stop, int64_t *out)
{
    const char *at = text->data;
    size_t bytes = (size_t)digits + (stop != '\0');
    int64_t value = 0;
    if (text->bytes < bytes) {
        return false;
    }
    for (int i = 0; i < digits; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return false;
        }
        value = value * 10 + (at[i] - '0');
    }
    *out = value;
    *text = weir_slice(at + bytes, text->bytes - bytes);
    return stop == '\0' || at[digits] == stop;
}

static bool take_date(struct weir_slice *text, double *days)
{
    int64_t year = 0;
    int64_t month = 0;
    int64_t day = 0;
    if (!take(text, 4, '-', &year) || !take(text, 2, '-', &month) || !take(text, 2, '\0', &day) ||
        month < 1 || month > 12 || day < 1) {
        return false;
    }
    int64_t count = days_of_date(year, month, day);
    *days = (double)count;
    return date_of_days(count).day == day;
}

static bool take_time(struct weir_slice *text, double *seconds)
{
    int64_t hour = 0;
    int64_t minute = 0;
    int64_t second = 0;
    double fraction = 0;
    if (!take(text, 2, ':', &hour) || !take(text, 2, ':', &minute) ||
        !take(text, 2, '\0', &second) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    if (text->bytes > 1 && *(const char *)text->data == '.') {
        int64_t digit;
        double unit = 1;
        *text = weir_slice((const char *)text->data + 1, text->bytes - 1);
        while (take(text, 1, '\0', &digit)) {
            unit /= 10;
            fraction += (double)digit * unit;
        }
    }
    *seconds = (double)(hour * 3600 + minute * 60 + second) + fraction;
    return true;
}

static bool counts(enum model_type type)
{
    return type >= MODEL_TIME_SECONDS;
}

bool model_parse_calendar(enum model_type type, struct weir_slice text, double *value_out)
{
    double days;
    double seconds;
    if (counts(type) && weir_parse_double(text, value_out) == WEIR_OK) {
        return *value_out == floor(*value_out) && !isinf(*value_out);
    }
    if (type == MODEL_TIME || type == MODEL_TIME_SECONDS) {
        return take_time(&text, value_out) && text.bytes == 0;
    }
    if (!take_date(&text, &days)) {
        return false;
    }
    if (text.bytes == 0) {
        return model_convert_calendar(MODEL_DATE, type, days, value_out);
    }
    char separator = *(const char *)text.data;
    text = weir_slice((const char *)text.data + 1, text.bytes - 1);
    return (separator == 'T' || separator == ' ') && take_time(&text, &seconds) &&
           text.bytes == 0 && type != MODEL_DATE &&
           model_convert_calendar(MODEL_DATE_TIME, type, days * DAY_SECONDS + seconds, value_out);
}

/* ---- types ----------------------------------------------------------------------------------- */

/* Days from 1970 to the year that a type counts from. */
static double epoch_of(enum model_type type)
{
    static const int64_t years[] = {0, 1960, 1970, 1980};
    enum model_type first = type >= MODEL_SECONDS_0 ? MODEL_SECONDS_0 : MODEL_DAYS_0;
    return (double)model_days_of_year(years[type - first]);
}

/* Any type with a date as seconds since 1970. */
static bool to_date_time(enum model_type from, double value, double *seconds_out)
{
    if (from == MODEL_DATE) {
        *seconds_out = value * DAY_SECONDS;
    } else if (from == MODEL_DATE_TIME) {
        *seconds_out = value;
    } else if (from >= MODEL_SECONDS_0) {
        *seconds_out = value + epoch_of(from) * DAY_SECONDS;
    } else if (from >= MODEL_DAYS_0) {
        *seconds_out = (value + epoch_of(from)) * DAY_SECONDS;
    } else {
        return false;
    }
    return true;
}

bool model_convert_calendar(enum model_type from, enum model_type to, double value,
                            double *value_out)
{
    bool is_time = from == MODEL_TIME || from == MODEL_TIME_SECONDS;
    bool wants_time = to == MODEL_TIME || to == MODEL_TIME_SECONDS;
    double seconds = 0;
    if (is_time || !to_date_time(from, value, &seconds)) {
        *value_out = value;
        return is_time && wants_time;
    }
    double days = floor(seconds / DAY_SECONDS);
    if (to == MODEL_DATE) {
        *value_out = days;
    } else if (to == MODEL_DATE_TIME) {
        *value_out = seconds;
    } else if (wants_time) {
        *value_out = seconds - days * DAY_SECONDS;
    } else if (to >= MODEL_SECONDS_0) {
        *value_out = seconds - epoch_of(to) * DAY_SECONDS;
    } else {
        *value_out = days - epoch_of(to);
    }
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

size_t model_format_datetime(char *text, size_t capacity, struct weir_slice pattern,
                             double date_time)
{
    double day = floor(date_time / DAY_SECONDS);
    if (!(day >= YEAR_0_DAYS && day < YEAR_10000_DAYS)) {
        return SIZE_MAX;
    }
    int64_t second = (int64_t)floor(date_time - day * DAY_SECONDS);
    struct date date = date_of_days((int64_t)day);
    int64_t day_of_year = (int64_t)day - model_days_of_year(date.year) + 1;
    const char *from = pattern.data;
    size_t used = 0;
    for (size_t i = 0; i < pattern.bytes; i++) {
        char c = from[i] == '%' && i + 1 < pattern.bytes ? from[++i] : '\0';
        int64_t number = c == 'Y'   ? date.year
                         : c == 'm' ? date.month
                         : c == 'd' ? date.day
                         : c == 'y' ? date.year % 100
                         : c == 'j' ? day_of_year
                         : c == 'H' ? second / 3600
                         : c == 'M' ? second / 60 % 60
                         : c == 'S' ? second % 60
                                    : -1;
        if (capacity - used < 5 || (number < 0 && c != '\0' && c != '%')) {
            return SIZE_MAX;
        }
        int width = c == 'Y' ? 4 : c == 'j' ? 3 : 2;
        if (number < 0) {
            text[used++] = from[i];
        } else {
            used +=
                (size_t)snprintf(text + used, capacity - used, "%0*lld", width, (long long)number);
        }
    }
    return used;
}

size_t model_format_calendar(char text[MODEL_CALENDAR_TEXT_MAX], enum model_type type, double value)
{
    const char *pattern = type == MODEL_DATE   ? "%Y-%m-%d"
                          : type == MODEL_TIME ? "%H:%M:%S"
                                               : "%Y-%m-%dT%H:%M:%S";
    size_t bytes = SIZE_MAX;
    double date_time;
    if (type == MODEL_TIME) {
        bytes = model_format_datetime(text, MODEL_CALENDAR_TEXT_MAX, weir_slice(pattern, 8), value);
    } else if (!counts(type) && model_convert_calendar(type, MODEL_DATE_TIME, value, &date_time)) {
        bytes = model_format_datetime(text, MODEL_CALENDAR_TEXT_MAX,
                                      weir_slice(pattern, strlen(pattern)), date_time);
    }
    return bytes != SIZE_MAX ? bytes : weir_format_double(text, value);
}
