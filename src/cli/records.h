/*
 * cli/records.h - the records of a CSV file as WineRecord bytes, encoded once.
 *
 * Life:    records_read -> records_get ... -> records_release.
 * Threads: read-only after records_read.
 * Memory:  all bytes in one piece, with an index.
 * Errors:  as weir_csv_open; PARSE with file and line for a cell that is no number.
 */
#ifndef CLI_RECORDS_H
#define CLI_RECORDS_H

#include <weir/record.h>

#include "base/buffer.h"

struct records {
    struct weir_buffer bytes;
    size_t *begin; /* [count + 1] */
    size_t count, capacity;
};

/* Reads at most records_max rows of eleven numbers, in the order of WineRecord's fields, ';'
 * between them; further cells (the quality) take no part. No header row. */
enum weir_err records_read(const char *path, size_t records_max, struct records *out,
                           struct weir_error *error);
struct weir_slice records_get(const struct records *records, size_t index);
void records_release(struct records *records);

#endif
