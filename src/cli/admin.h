/*
 * cli/admin.h - what `weir topics` and `weir groups` share: a cluster, columns, the question.
 *
 * Life:    admin_open -> use -> admin_close. A table: table_begin -> table_cell, a row after the
 *          other -> table_print, which also releases it.
 * Threads: the caller's.
 * Memory:  a table is held in memory before it is printed, for the widths: up to 64 MiB.
 * Errors:  a table keeps its first one and table_print gives it.
 */
#ifndef CLI_ADMIN_H
#define CLI_ADMIN_H

#include "base/buffer.h"
#include "base/json.h"
#include "cli/commands.h"
#include "kafka/admin.h"

struct admin {
    const struct run *run;
    struct weir_kafka *kafka;
    struct weir_kafka_property *properties;
    int32_t timeout_ms;
    bool json;
};

WEIR_MUST_USE enum weir_err admin_open(const struct run *run, struct admin *out,
                                       struct weir_error *error);
void admin_close(struct admin *admin);
/* Asks at the terminal; where there is none --yes is needed. DENIED: no. */
WEIR_MUST_USE enum weir_err admin_confirm(const struct run *run, const char *question,
                                          struct weir_error *error);
/* Prints what the writer has put into the buffer, and a line end; releases the buffer. */
WEIR_MUST_USE enum weir_err admin_print_json(struct weir_json *json, struct weir_buffer *text,
                                             struct weir_error *error);

enum { TABLE_COLUMNS_MAX = 12, TABLE_BYTES_MAX = 64 << 20 };

struct table {
    struct weir_buffer cells; /* texts with a NUL behind each */
    uint32_t columns, cell_count;
    size_t widths[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX];
    enum weir_err err;
};

/* heads: NULL-ended; one that begins with ">" has its column to the right. */
void table_begin(struct table *table, const char *const *heads);
void table_cell(struct table *table, const char *format, ...) WEIR_PRINTF(2, 3);
/* An offset or count; "-" below 0. */
void table_number(struct table *table, int64_t value);
WEIR_MUST_USE enum weir_err table_print(struct table *table, struct weir_error *error);

/* A list of things, as an array of objects or as rows of a table. It must not move between begin
 * and end. */
struct admin_listing {
    bool as_json; /* which of the two is written to */
    struct weir_json json;
    struct table table;
    struct weir_buffer text; /* of the JSON */
};

void admin_listing_begin(const struct admin *admin, const char *const *heads,
                         struct admin_listing *out);
/* Prints it, unless making it has failed (err); releases it in any case. */
WEIR_MUST_USE enum weir_err admin_listing_end(struct admin_listing *listing, enum weir_err err,
                                              struct weir_error *error);

#endif
