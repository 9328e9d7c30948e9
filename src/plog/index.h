/*
 * plog/index.h - a sparse index file: big-endian entries of one size, their keys ascending.
 *
 *      offset index, 8 bytes:    relative offset u32 | position of the batch in the .log u32
 *      time index, 12 bytes:     timestamp i64       | relative offset u32
 *
 * The newest entries wait in memory and go to the file a buffer at a time:
 *
 *      [ stored in the file ............ ][ pending ]
 *
 * Life:    init -> add, flush, search ... ; the owner of the descriptor closes it.
 * Threads: add and flush by the log's owner, the counters and the pending bytes under the log's
 *          mutex once readers can see the segment. Stored entries never change, so that
 *          weir_plog_index_search_file needs no lock.
 * Memory:  `pending` is borrowed: a log lends its one buffer to the active segment.
 * Errors:  IO.
 */
#ifndef WEIR_PLOG_INDEX_H
#define WEIR_PLOG_INDEX_H

#include <weir/base.h>

#include "base/disk.h"

enum {
    PLOG_OFFSET_ENTRY_BYTES = 8,
    PLOG_TIME_ENTRY_BYTES = 12,
    PLOG_ENTRY_BYTES_MAX = 12,
    PLOG_INDEX_PENDING_MAX = 256, /* entries; a write of an index each MiB of log, by default */
};

struct plog_index {
    int fd;
    uint32_t entry_bytes;
    uint32_t stored;        /* entries in the file */
    uint32_t pending_count; /* entries behind them, in memory */
    uint8_t *pending;       /* room for PLOG_INDEX_PENDING_MAX; NULL = sealed */
};

/* One entry of either index: key is the relative offset or the timestamp, value the position or
 * the relative offset. */
struct plog_index_entry {
    int64_t key;
    uint32_t value;
};

static inline bool weir_plog_index_full(const struct plog_index *index)
{
    return index->pending_count == PLOG_INDEX_PENDING_MAX;
}

/* Appends an entry to the pending ones. There must be room. */
void weir_plog_index_add(struct plog_index *index, struct plog_index_entry entry);
/* Writes the pending entries. They stay pending; weir_plog_index_flushed makes them stored. `path`
 * names the file in messages. */
WEIR_MUST_USE enum weir_err weir_plog_index_write(struct plog_index *index,
                                                  const struct weir_disk *disk, const char *path,
                                                  struct weir_error *error);
void weir_plog_index_written(struct plog_index *index);

/* The last entry with key <= `key`. False: there is none. */
bool weir_plog_index_search_pending(const struct plog_index *index, int64_t key,
                                    struct plog_index_entry *out);
/* The same in the first `stored` entries of the file. NOT_FOUND, IO, TRUNCATED. */
WEIR_MUST_USE enum weir_err weir_plog_index_search_file(const struct plog_index *index,
                                                        const struct weir_disk *disk,
                                                        const char *path, uint32_t stored,
                                                        int64_t key, struct plog_index_entry *out,
                                                        struct weir_error *error);
/* The entry of that number in the file. */
WEIR_MUST_USE enum weir_err weir_plog_index_read(const struct plog_index *index,
                                                 const struct weir_disk *disk, const char *path,
                                                 uint32_t number, struct plog_index_entry *out,
                                                 struct weir_error *error);

#endif
