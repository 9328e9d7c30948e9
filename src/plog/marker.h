/*
 * plog/marker.h - the control batch that ends a transaction in a partition.
 *
 * What:    one batch of one record, byte for byte as Apache Kafka writes it: 78 bytes.
 *
 *      header        attributes = transactional | control, no sequence, one record
 *      key           version i16 = 0 | type i16: 0 = abort, 1 = commit
 *      value         version i16 = 0 | coordinator epoch i32
 *
 * Threads: any; pure.
 * Memory:  none.
 * Source:  kafka.apache.org/documentation, "Control Batches"; KIP-98.
 */
#ifndef WEIR_PLOG_MARKER_H
#define WEIR_PLOG_MARKER_H

#include "plog/batch_head.h"
#include "plog/plog.h"

enum { PLOG_MARKER_BYTES = 78 };

/* Writes a marker with base offset 0. */
void weir_plog_marker_put(const struct weir_plog_marker *marker, int64_t now_ms,
                          uint8_t bytes[PLOG_MARKER_BYTES]);
/* Reads one from a whole batch with PLOG_CONTROL of which `bytes` has the first PLOG_MARKER_BYTES.
 * False: a control batch of another kind. */
bool weir_plog_marker_read(const struct plog_head *head, const uint8_t bytes[PLOG_MARKER_BYTES],
                           struct weir_plog_marker *out);

#endif
