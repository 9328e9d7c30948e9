/*
 * plog/log.h - the inside of struct weir_plog, for the files of this room.
 *
 * What:    the list of segments, the offsets that bound the log, the producers, the failure that
 *          made it read-only.
 *
 *      segments  [ 0 | 4711 | 9001 ]      the last is active
 *      offsets   first .... flushed .... next
 *
 * Threads: `mutex` guards the list, what readers see of a segment, and `failure`; it is never held
 *          over a call of the disk. `sync_mutex` lets one thread sync at a time and is taken
 *          before `mutex`. The rest is the owner's.
 *
 *          Two threads change the list: the owner adds a segment at its end and drops some at its
 *          front, a cleaning (plog/cleaner.h) puts one in the place of sealed ones. Whoever takes
 *          segments out holds `shape_mutex` until their files have their last names; a cleaning
 *          takes it for that time, the owner only if it is free, else it comes back later. With
 *          it, or while no cleaning runs, the owner reads the list without the mutex.
 *          `shape_mutex` is taken before `mutex`.
 * Memory:  see plog/plog.h.
 * Errors:  see plog/plog.h.
 */
#ifndef WEIR_PLOG_LOG_H
#define WEIR_PLOG_LOG_H

#include <pthread.h>
#include <stdatomic.h>

#include "plog/plog.h"
#include "plog/marker.h"
#include "plog/producers.h"
#include "plog/segment.h"

/* Snapshots kept: of the last rolls and closes. */
enum { PLOG_SNAPSHOTS = 3, PLOG_SEGMENTS_MAX = 1 << 20 };

struct weir_plog {
    struct weir_plog_options options; /* the owner's */
    const struct weir_disk *disk;
    char *directory;

    pthread_mutex_t shape_mutex;
    pthread_mutex_t mutex;
    struct plog_segment **segments;
    struct plog_segment *active; /* the last of them; the owner's */
    uint32_t segment_count, segment_capacity;
    struct weir_error failure; /* of the write that made the log read-only */

    pthread_mutex_t sync_mutex;
    _Atomic bool directory_dirty; /* names were added or removed since the last sync */
    _Atomic bool failed;          /* read-only; the reason is in `failure` */
    _Atomic int64_t offset_first, offset_next, offset_flushed;
    _Atomic int64_t offset_unstable; /* of the oldest open transaction; INT64_MAX = none */
    _Atomic int64_t bytes;           /* of all .log files */

    struct plog_producers producers;
    int64_t snapshots[PLOG_SNAPSHOTS]; /* offsets, newest last; -1 = none */

    /* Lent to the active segment, or to the one that is scanned. */
    uint8_t pending_offsets[PLOG_INDEX_PENDING_MAX * PLOG_OFFSET_ENTRY_BYTES];
    uint8_t pending_times[PLOG_INDEX_PENDING_MAX * PLOG_TIME_ENTRY_BYTES];
};

static inline struct plog_segment *weir_plog_active(const struct weir_plog *log)
{
    return log->active;
}

/* Makes the log read-only for good; gives the code of *error (or IO without detail). */
enum weir_err weir_plog_fail(struct weir_plog *log, const struct weir_error *error);
/* IO and the reason, if the log is read-only; else OK. */
enum weir_err weir_plog_check_writable(struct weir_plog *log, struct weir_error *error);

/* Lends the pending entries' memory to a segment, or takes it back when there are none. */
void weir_plog_lend_pending(struct weir_plog *log, struct plog_segment *segment);
void weir_plog_take_pending(struct plog_segment *segment);
/* Writes the active segment's pending entries if one of the indexes has no room for another. */
WEIR_MUST_USE enum weir_err weir_plog_make_index_room(struct weir_plog *log,
                                                      struct weir_error *error);
/* Writes the rest of the active segment's indexes. A failure makes the log read-only. */
WEIR_MUST_USE enum weir_err weir_plog_seal(struct weir_plog *log, struct weir_error *error);
/* Puts a segment at the end of the list, which takes it; the list has the room. */
WEIR_MUST_USE enum weir_err weir_plog_reserve_segment(struct weir_plog *log,
                                                      struct weir_error *error);
void weir_plog_push_segment(struct weir_plog *log, struct plog_segment *segment);
/* Takes `count` segments off the front and deletes their files; readers may still have them. With
 * shape_mutex, or before the log is anybody's. */
void weir_plog_drop_segments(struct weir_plog *log, uint32_t count, const char *why);
/* Seals the active segment and begins one at the next offset. The active one is not empty. */
WEIR_MUST_USE enum weir_err weir_plog_roll(struct weir_plog *log, struct weir_error *error);
/* Saves the producers at the next offset and deletes the oldest snapshot. A failure is only
 * reported: the next open has more to scan then. */
void weir_plog_save_snapshot(struct weir_plog *log);
void weir_plog_push_snapshot(struct weir_plog *log, int64_t offset);

/* Takes in a marker that stands in `segment`. note: its index has no entry for it yet. A failure
 * makes the log read-only. */
WEIR_MUST_USE enum weir_err weir_plog_take_marker(struct weir_plog *log,
                                                  struct plog_segment *segment,
                                                  const struct plog_head *head,
                                                  const struct weir_plog_marker *marker, bool note,
                                                  struct weir_error *error);

/* The same for a control batch that recovery has met; one that is no marker is passed over. */
WEIR_MUST_USE enum weir_err weir_plog_replay_control(struct weir_plog *log,
                                                     struct plog_segment *segment,
                                                     const struct plog_head *head, int64_t position,
                                                     bool note, struct weir_error *error);
/* The aborted transactions of a segment that recovery checks are listed anew. */
WEIR_MUST_USE enum weir_err weir_plog_forget_aborted(struct plog_segment *segment,
                                                     struct weir_error *error);

/* Calls `each` for the aborted transactions with records in offset_from .. offset_end - 1, in the
 * order of their ends; from any thread. Anything but OK ends it. */
typedef enum weir_err plog_txn_entry_fn(void *opaque, const struct plog_txn_entry *entry);
WEIR_MUST_USE enum weir_err weir_plog_aborted_entries(struct weir_plog *log, int64_t offset_from,
                                                      int64_t offset_end, plog_txn_entry_fn *each,
                                                      void *opaque, struct weir_error *error);

/*
 * Puts `with`, whose files are at PLOG_STAGE_CLEANED and synced, in the place of `count` sealed
 * segments that stand one behind the other; takes its reference. From the cleaning thread.
 * Errors: AGAIN: one of them is no longer in the list, nothing has changed; others: nothing has
 * changed, or (fatal) the log is read-only, and the next open finishes it.
 */
WEIR_MUST_USE enum weir_err weir_plog_replace(struct weir_plog *log,
                                              struct plog_segment *const *sources, uint32_t count,
                                              struct plog_segment *with, struct weir_error *error);
/* Finishes, or takes back, the replacement that an end without warning has cut short. */
WEIR_MUST_USE enum weir_err weir_plog_finish_replacements(struct weir_plog *log,
                                                          struct weir_error *error);

/* Frees the log and closes what is open, writing nothing. */
void weir_plog_free(struct weir_plog *log);
/* Fills an allocated, bare log from its directory (recovery.c). */
WEIR_MUST_USE enum weir_err weir_plog_recover(struct weir_plog *log,
                                              const struct weir_plog_recovery *recovery,
                                              struct weir_error *error);

#endif
