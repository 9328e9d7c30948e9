/*
 * plog/walk.h - stepping over the batches of a .log file, header by header.
 *
 * What:    reads a window at a time, so that small batches cost no call each and large ones no
 *          reading beyond their header.
 * Life:    init -> next, next ...; nothing to release.
 * Threads: one; the bytes below `end` must not change meanwhile.
 * Memory:  the window is the caller's, at least PLOG_HEAD_BYTES.
 * Errors:  END behind the last batch, CORRUPT when no whole batch begins at `position`, IO.
 */
#ifndef WEIR_PLOG_WALK_H
#define WEIR_PLOG_WALK_H

#include <weir/base.h>

#include "base/disk.h"
#include "plog/batch_head.h"

/* Enough for most of an index interval. */
enum { PLOG_WINDOW_BYTES = 4096 };

struct plog_walk {
    const struct weir_disk *disk;
    const char *path;
    int fd;
    int64_t position; /* where the next batch begins */
    int64_t end;      /* bytes of the file that count */
    uint8_t *window;
    size_t window_bytes;
    int64_t window_at; /* position of window[0] */
    size_t window_used;
};

void weir_plog_walk_init(struct plog_walk *walk, const struct weir_disk *disk, int fd,
                         const char *path, int64_t position, int64_t end, uint8_t *window,
                         size_t window_bytes);
/* Reads the header of the batch at walk->position and steps behind that batch. *at_out (may be
 * NULL) is where it begins. On any other result walk->position stays. */
WEIR_MUST_USE enum weir_err weir_plog_walk_next(struct plog_walk *walk, struct plog_head *head,
                                                int64_t *at_out, struct weir_error *error);
/* The CRC-32C over the batch at `at`, for head->crc; reads it in pieces. */
WEIR_MUST_USE enum weir_err weir_plog_walk_crc(struct plog_walk *walk, int64_t at,
                                               const struct plog_head *head, uint32_t *crc_out,
                                               struct weir_error *error);

#endif
