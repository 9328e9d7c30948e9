/*
 * plog/txn_index.h - the aborted transactions of a segment: its file `<base offset>.txnindex`.
 *
 * What:    an entry for each transaction whose abort marker stands in the segment, in the order of
 *          the markers, in Apache Kafka's layout. Made with the first entry; most segments have
 *          none.
 *
 *      version i16 = 0 | producer id i64 | first offset i64 | last offset i64 (the marker's)
 *      | last stable offset i64 (once the transaction had ended)
 *
 * Life:    a part of a segment: init -> open, add ... -> closed with the segment's files.
 * Threads: add and reset belong to the owner. Any thread reads the `stored` entries it has seen
 *          under the log's mutex.
 * Memory:  none: entries are searched where they lie.
 * Errors:  IO, LIMIT.
 */
#ifndef WEIR_PLOG_TXN_INDEX_H
#define WEIR_PLOG_TXN_INDEX_H

#include <weir/base.h>

#include "base/disk.h"

enum { PLOG_TXN_ENTRY_BYTES = 34 };

struct plog_txn_index {
    int fd;          /* -1 = there is no file */
    uint32_t stored; /* entries; written under the log's mutex */
};

struct plog_txn_entry {
    int64_t producer_id, offset_first, offset_last, offset_stable;
};

/* Opens the file at `path` if there is one. *good_out: there is none, or it is whole and all of
 * its entries can be. */
WEIR_MUST_USE enum weir_err weir_plog_txn_index_open(struct plog_txn_index *index,
                                                     const struct weir_disk *disk, const char *path,
                                                     int64_t offset_base, bool *good_out,
                                                     struct weir_error *error);
/* Makes the file, or empties the one that is there. */
WEIR_MUST_USE enum weir_err weir_plog_txn_index_make(struct plog_txn_index *index,
                                                     const struct weir_disk *disk, const char *path,
                                                     struct weir_error *error);
/* Writes an entry behind the others, making the file if need be; `stored` is the caller's to count
 * up then. */
WEIR_MUST_USE enum weir_err weir_plog_txn_index_write(struct plog_txn_index *index,
                                                      const struct weir_disk *disk,
                                                      const char *path,
                                                      const struct plog_txn_entry *entry,
                                                      struct weir_error *error);
/* Takes all entries out. */
WEIR_MUST_USE enum weir_err weir_plog_txn_index_reset(struct plog_txn_index *index,
                                                      const struct weir_disk *disk,
                                                      const char *path, struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_plog_txn_index_read(const struct plog_txn_index *index,
                                                     const struct weir_disk *disk, const char *path,
                                                     uint32_t number, struct plog_txn_entry *out,
                                                     struct weir_error *error);
/* The number of the first entry whose last offset is >= offset; `stored` if there is none. */
WEIR_MUST_USE enum weir_err weir_plog_txn_index_find(const struct plog_txn_index *index,
                                                     const struct weir_disk *disk, const char *path,
                                                     int64_t offset, uint32_t *number_out,
                                                     struct weir_error *error);

#endif
