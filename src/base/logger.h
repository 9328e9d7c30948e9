/*
 * base/logger.h - the program's log: lines for people or for machines, on a FILE.
 *
 * What:    an implementation of struct weir_log. Human: `2026-01-31T12:34:56.789Z WARN  broker
 *          message`; JSON: {"time":..., "level":..., "area":..., "message":...}, one a line.
 * Life:    weir_logger_new -> weir_logger_log handed to libraries -> weir_logger_free after them.
 * Threads: any; lines don't mix.
 * Memory:  fixed: a table of recent messages.
 * Errors:  new: NOMEM. A failed write to the FILE is ignored.
 *
 * The same message (area and text) is written at most repeats_per_second times a second; what was
 * left out is counted and told at the next chance: "message (37 more like it)". Errors too.
 */
#ifndef WEIR_BASE_LOGGER_H
#define WEIR_BASE_LOGGER_H

#include <stdio.h>

#include <weir/base.h>

#include "base/clock.h"

struct weir_logger;

struct weir_logger_options {
    FILE *out; /* borrowed [stderr] */
    bool json; /* [false] */
    enum weir_log_level level;
    uint32_t repeats_per_second;    /* 0 = no cap [5] */
    const struct weir_clock *clock; /* NULL = real */
};

void weir_logger_options_default(struct weir_logger_options *options);
WEIR_MUST_USE enum weir_err weir_logger_new(const struct weir_logger_options *options,
                                            struct weir_logger **out);
/* Tells what is still suppressed and frees. NULL is allowed. */
void weir_logger_free(struct weir_logger *logger);
/* A log to be copied into options; borrows the logger. Its level is the logger's at this moment. */
struct weir_log weir_logger_log(struct weir_logger *logger);
/* Raises or lowers what is written; logs that were handed out before can only be lowered by it. */
void weir_logger_set_level(struct weir_logger *logger, enum weir_log_level level);
/* "error", "warn", "info", "debug"; static. */
const char *weir_log_level_name(enum weir_log_level level);

#endif
