/*
 * model/core/calendar.h - PMML's dates and times as numbers.
 *
 * What:    a date is days since 1970-01-01, a time seconds since midnight, a dateTime seconds since
 *          1970-01-01T00:00:00; dateDaysSince[Y] and dateTimeSecondsSince[Y] count from the first
 *          instant of the year Y. The calendar is the proleptic Gregorian one, with a year 0 and
 *          without time zones or leap seconds: what XML Schema writes without a zone.
 * Source:  PMML 4.4, "Data Dictionary", DATATYPE.
 */
#ifndef WEIR_MODEL_CORE_CALENDAR_H
#define WEIR_MODEL_CORE_CALENDAR_H

#include "model/core/value.h"

enum { MODEL_CALENDAR_TEXT_MAX = 64 };

/* Days from 1970-01-01 to the first day of a year. */
int64_t model_days_of_year(int64_t year);
/* Text (no blanks around it) as a value of a calendar type. A plain number is read as the days or
 * seconds of a type that counts them. False when it is no such value. */
bool model_parse_calendar(enum model_type type, struct weir_slice text, double *value_out);
/* A value of one calendar type as one of another. False: the one has no such part (a time has no
 * date). A date is the dateTime of its midnight. */
bool model_convert_calendar(enum model_type from, enum model_type to, double value,
                            double *value_out);
/* "2026-02-28", "23:59:59", "2026-02-28T23:59:59", or the count; bytes written. */
size_t model_format_calendar(char text[MODEL_CALENDAR_TEXT_MAX], enum model_type type,
                             double value);
/* strftime's %Y %m %d %y %j %H %M %S %% over a dateTime, C locale; other conversions: SIZE_MAX.
 * Bytes written; SIZE_MAX too when capacity is short or the date is not in years 0 .. 9999. */
size_t model_format_datetime(char *text, size_t capacity, struct weir_slice pattern,
                             double date_time);

#endif
