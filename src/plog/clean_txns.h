/*
 * plog/clean_txns.h - what a cleaning has to know of transactions.
 *
 * What:    which batches belong to an aborted transaction, and when nothing of a transaction is
 *          left but its marker.
 * Life:    init -> load -> is_aborted ..., batch and marker in the order of the log -> release.
 * Threads: one.
 * Memory:  40 bytes for each aborted transaction of the log, ENTRIES_MAX of them; some more for a
 *          producer between its first batch and its marker.
 * Errors:  NOMEM, LIMIT, IO, CORRUPT.
 */
#ifndef WEIR_PLOG_CLEAN_TXNS_H
#define WEIR_PLOG_CLEAN_TXNS_H

#include "base/map.h"
#include "plog/log.h"

struct plog_clean_txn {
    struct plog_txn_entry entry;
    bool seen; /* a batch of it */
};

struct plog_clean_txns {
    struct plog_clean_txn *aborted; /* by producer, then by marker */
    uint32_t count, capacity;
    struct weir_map committed; /* producers with batches since their last marker */
};

void weir_plog_clean_txns_init(struct plog_clean_txns *txns);
void weir_plog_clean_txns_release(struct plog_clean_txns *txns);
/* Reads the lists of aborted transactions with records in offset_from .. offset_end - 1. */
WEIR_MUST_USE enum weir_err weir_plog_clean_txns_load(struct plog_clean_txns *txns,
                                                      struct weir_plog *log, int64_t offset_from,
                                                      int64_t offset_end, struct weir_error *error);
bool weir_plog_clean_txns_is_aborted(const struct plog_clean_txns *txns,
                                     const struct plog_head *head);
/* Takes in a batch of records. */
WEIR_MUST_USE enum weir_err weir_plog_clean_txns_batch(struct plog_clean_txns *txns,
                                                       const struct plog_head *head,
                                                       bool *aborted_out);
/* Takes in a marker. True: no batch of its transaction was there. *entry_out: how it was aborted,
 * if batches of it were there; else NULL. */
bool weir_plog_clean_txns_marker(struct plog_clean_txns *txns, const struct plog_head *head,
                                 const struct plog_txn_entry **entry_out);

#endif
