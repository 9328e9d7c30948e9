/*
 * plog/batch_time.h - the first record of one batch with a timestamp.
 *
 * What:    reads a stored batch and looks at its records, inflating them if need be.
 * Threads: any; the batch lies below the segment's published size.
 * Memory:  the batch and its inflated records for the time of the call, up to
 *          PLOG_INFLATED_BYTES_MAX.
 * Errors:  NOT_FOUND, CORRUPT, IO, NOMEM, LIMIT.
 */
#ifndef WEIR_PLOG_BATCH_TIME_H
#define WEIR_PLOG_BATCH_TIME_H

#include "plog/segment.h"

enum { PLOG_INFLATED_BYTES_MAX = 64 << 20 };

/* The first record of the batch at `at` with an offset >= offset_first and a timestamp >=
 * timestamp_ms. */
WEIR_MUST_USE enum weir_err weir_plog_batch_find_time(const struct plog_segment *segment,
                                                      int64_t at, const struct plog_head *head,
                                                      int64_t offset_first, int64_t timestamp_ms,
                                                      int64_t *offset_out, int64_t *timestamp_out,
                                                      struct weir_error *error);

#endif
