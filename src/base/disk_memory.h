/*
 * base/disk_memory.h - a disk in memory, which can lose its power.
 *
 * What:    files and directories behind the calls of base/disk.h, for brokers that keep nothing and
 *          for tests. With `remembers_syncs` it keeps what was synced apart from what was not, and
 *          weir_disk_memory_cut takes back what a real disk may lose when the power goes:
 *
 *              bytes    each page of 4 KiB that was written since the file's last sync holds the
 *                       old content, the new, or sectors of 512 bytes of both; the size may be old,
 *                       new, or between
 *              names    of a directory's creations, renames and deletions since its last sync some
 *                       first ones are done, the others not (file systems keep them in order)
 *
 * Life:    new -> use `disk` -> (cut, when nothing is open) -> free, when nothing is open.
 * Threads: any, by one mutex.
 * Memory:  pages of 4 KiB as they are written, bytes_max of them in all: ENOSPC behind that.
 *          Holes take nothing. Remembering doubles it.
 * Errors:  those of the system calls. Directories are not renamed (EXDEV).
 */
#ifndef WEIR_BASE_DISK_MEMORY_H
#define WEIR_BASE_DISK_MEMORY_H

#include "base/disk.h"

struct weir_disk_memory;

/* NOMEM. The root "/" is there. */
WEIR_MUST_USE enum weir_err weir_disk_memory_new(size_t bytes_max, bool remembers_syncs,
                                                 struct weir_disk_memory **out);
/* NULL is allowed. */
void weir_disk_memory_free(struct weir_disk_memory *memory);
/* As long as `memory`. */
const struct weir_disk *weir_disk_memory_disk(const struct weir_disk_memory *memory);
/* Bytes of pages in use. */
size_t weir_disk_memory_bytes(struct weir_disk_memory *memory);
/* The power goes and comes back; every seed is one way for it. NOMEM (then the disk is of no use).
 */
WEIR_MUST_USE enum weir_err weir_disk_memory_cut(struct weir_disk_memory *memory, uint64_t seed);

#endif
