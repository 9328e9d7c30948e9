/*
 * plog/clean_batch.h - what a cleaning leaves of one batch.
 *
 * What:    Apache Kafka's rules. Of a batch of records those stay whose key has no later record; a
 *          tombstone stays until its batch's delete horizon, which the first cleaning that meets it
 *          sets. Records of aborted transactions and without a key go. A marker goes once nothing
 *          of its transaction is left and its delete horizon has passed.
 * Threads: one.
 * Memory:  a compressed batch is inflated for the time of the call, up to PLOG_INFLATED_BYTES_MAX.
 * Errors:  CORRUPT, LIMIT, NOMEM.
 */
#ifndef WEIR_PLOG_CLEAN_BATCH_H
#define WEIR_PLOG_CLEAN_BATCH_H

#include "plog/batch_head.h"
#include "plog/key_map.h"

#include "base/buffer.h"

struct plog_clean_rules {
    const struct plog_key_map *map;
    int64_t offset_end; /* keys of all records below it are in the map */
    int64_t now_ms;     /* wall clock */
    int64_t delete_retention_ms;
    struct weir_buffer keep; /* scratch: a byte for each record */
};

/* What the caller knows of the batch. */
struct plog_clean_case {
    bool aborted; /* records of an aborted transaction */
    bool orphan;  /* a marker without its transaction */
    bool needed;  /* the header stays in any case */
};

/* Appends what is left of the whole batch to `into`; nothing at all is fine. */
WEIR_MUST_USE enum weir_err
weir_plog_clean_batch(struct plog_clean_rules *rules, struct weir_slice bytes,
                      const struct plog_head *head, const struct plog_clean_case *known,
                      struct weir_buffer *into, struct weir_error *error);
/* Puts the keys of a batch's records from offset_first on into the map. LIMIT: it is full. */
WEIR_MUST_USE enum weir_err weir_plog_clean_note_keys(struct plog_key_map *map,
                                                      struct weir_slice bytes, int64_t offset_first,
                                                      bool *full_out, struct weir_error *error);

#endif
