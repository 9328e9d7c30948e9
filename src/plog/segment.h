/*
 * plog/segment.h - one segment: a .log file of batches with its indexes.
 *
 * What:    appending at the end, finding a batch by offset, reading whole batches, scanning after
 *          an unclean end. A log (plog/log.h) holds them in the order of their base offsets.
 * Life:    create or open -> ... -> unref. The log holds one reference while the segment is in its
 *          list, each reader one more; the files close with the last, so that names may be deleted
 *          under a reader.
 * Threads: three kinds of fields, marked below. Readers take a struct plog_view under the log's
 *          mutex and work on that without it.
 * Memory:  one allocation and three descriptors.
 * Errors:  IO, LIMIT (descriptors, space), NOMEM, CORRUPT.
 */
#ifndef WEIR_PLOG_SEGMENT_H
#define WEIR_PLOG_SEGMENT_H

#include <stdatomic.h>
#include <limits.h>

#include <weir/base.h>

#include "base/buffer.h"
#include "base/disk.h"
#include "plog/batch_head.h"
#include "plog/index.h"
#include "plog/txn_index.h"

/* Positions in an index have 31 bits, as in Kafka. */
#define PLOG_SEGMENT_BYTES_MAX INT64_C(0x7fffffff)
/* 20 digits, a point, the longest suffix, a NUL. */
enum { PLOG_NAME_BYTES = 40, PLOG_PATH_BYTES = PATH_MAX };

struct plog_segment {
    /* Constant. */
    const struct weir_disk *disk;
    int64_t offset_base;
    int fd;

    _Atomic uint32_t references;
    _Atomic bool index_damaged;    /* seen by a reader; the next open rebuilds it */
    _Atomic bool indexes_unsynced; /* sealed, but perhaps not on the disk */

    /* Written by the owner under the log's mutex. */
    struct plog_index offsets, times;
    struct plog_txn_index aborted;
    int64_t bytes;                /* of the .log that readers may see */
    int64_t offset_next;          /* behind the last batch */
    int64_t timestamp_max;        /* of all batches; -1 = none has one */
    int64_t timestamp_max_offset; /* last offset of the first batch that has it */

    /* Written by readers under the log's mutex: where the last read ended, so that reading on
     * needs no search. */
    int64_t hint_offset, hint_position;

    /* The owner's. */
    int64_t created_ms;        /* wall clock, or the first batch's timestamp after an open */
    int64_t time_indexed;      /* timestamp of the last entry of `times`; -1 = none */
    int64_t bytes_since_index; /* appended since the last entry */

    char path[]; /* of the .log */
};

/* "<20 digits><suffix>", suffix with its point. */
void weir_plog_name(int64_t offset, const char *suffix, char name[PLOG_NAME_BYTES]);
/* "directory/name" into a PLOG_PATH_BYTES array; false: too long. */
bool weir_plog_path(const char *directory, const char *name, char path[PLOG_PATH_BYTES]);
/* The path of the segment's file with another suffix (".index"). */
void weir_plog_segment_path(const struct plog_segment *segment, const char *suffix,
                            char path[PLOG_PATH_BYTES]);

/* A segment that takes the place of others is built aside: its files have a second suffix. */
#define PLOG_STAGE_NONE ""
#define PLOG_STAGE_CLEANED ".cleaned" /* being written */
#define PLOG_STAGE_SWAP ".swap"       /* whole, as soon as the .log has it: replace.c */

/* Makes new empty files. Nothing of them is left after a failure. */
WEIR_MUST_USE enum weir_err weir_plog_segment_create(const struct weir_disk *disk,
                                                     const char *directory, int64_t offset_base,
                                                     const char *stage, struct plog_segment **out,
                                                     struct weir_error *error);
/* Opens the files; *indexed_out = both indexes are there and plausible, *aborted_out = so are the
 * aborted transactions. offset_next is not known yet, the rest is if indexed. */
WEIR_MUST_USE enum weir_err weir_plog_segment_open(const struct weir_disk *disk,
                                                   const char *directory, int64_t offset_base,
                                                   struct plog_segment **out, bool *indexed_out,
                                                   bool *aborted_out, struct weir_error *error);
void weir_plog_segment_ref(struct plog_segment *segment);
void weir_plog_segment_unref(struct plog_segment *segment);
/* Removes the files' names. */
WEIR_MUST_USE enum weir_err weir_plog_segment_unlink(const struct plog_segment *segment,
                                                     const char *stage, struct weir_error *error);
/* Renames the indexes, or the .log, from one stage to another. */
WEIR_MUST_USE enum weir_err weir_plog_segment_rename_indexes(const struct plog_segment *segment,
                                                             const char *from, const char *to,
                                                             struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_plog_segment_rename_log(const struct plog_segment *segment,
                                                         const char *from, const char *to,
                                                         struct weir_error *error);

/* Notes a batch (or batches written at once) in the indexes, if one is due. There is room in the
 * pending entries. Before the segment's bytes are counted up. */
void weir_plog_segment_note(struct plog_segment *segment, int32_t index_interval_bytes,
                            int64_t offset_last_of_first, int64_t bytes);
/* Takes the largest timestamp of a batch into account. */
void weir_plog_segment_stamp(struct plog_segment *segment, int64_t timestamp_max,
                             int64_t offset_last);
/* Notes the largest timestamp, unless the time index ends with it already. Room as above. */
void weir_plog_segment_note_time(struct plog_segment *segment);
/* Writes the pending index entries. The caller calls weir_plog_segment_indexes_written then, under
 * the mutex if readers can see the segment. */
WEIR_MUST_USE enum weir_err weir_plog_segment_write_indexes(struct plog_segment *segment,
                                                            struct weir_error *error);
void weir_plog_segment_indexes_written(struct plog_segment *segment);
/* fdatasync; the .log, with `indexes` all files. */
WEIR_MUST_USE enum weir_err weir_plog_segment_sync(struct plog_segment *segment, bool indexes,
                                                   struct weir_error *error);

/* Called for each batch of a scan, which stands at `position`. */
typedef enum weir_err plog_batch_fn(void *opaque, const struct plog_head *head, int64_t position);

struct plog_scan {
    bool check_crc;
    bool rebuild;         /* the indexes anew; they must have pending room */
    int64_t position;     /* where to begin; 0 with rebuild */
    int64_t offset_limit; /* no batch may reach it (the next segment's base) */
    int32_t index_interval_bytes;
    uint8_t *window; /* the larger the faster */
    size_t window_bytes;
    plog_batch_fn *each; /* may be NULL */
    void *opaque;
};

/* Steps over the batches up to segment->bytes and sets offset_next, the timestamps and the indexes.
 * CORRUPT: stopped at *valid_out, with the reason in *error; what is before it is taken in. */
WEIR_MUST_USE enum weir_err weir_plog_segment_scan(struct plog_segment *segment,
                                                   const struct plog_scan *scan, int64_t *valid_out,
                                                   struct weir_error *error);

/* What a reader may see of a segment, taken under the log's mutex, with a reference. */
struct plog_view {
    struct plog_segment *segment;
    int64_t bytes; /* of the .log */
    int64_t offset_next;
    int64_t position; /* of a batch at or before the offset sought */
    bool exact;       /* position is the offset's own batch */
    bool search;      /* the stored entries of the index may know a better one */
    uint32_t offsets_stored, times_stored;
};

/* With the mutex. */
void weir_plog_view_take(struct plog_view *view, struct plog_segment *segment, int64_t offset);
/* Finds the first batch whose last offset is >= offset. NOT_FOUND: none in the view. */
WEIR_MUST_USE enum weir_err weir_plog_view_find(struct plog_view *view, int64_t offset,
                                                int64_t *position_out, struct plog_head *head,
                                                struct weir_error *error);
/* What to read from a view. */
struct plog_range {
    int64_t position;    /* in: where the first batch begins; out: behind the last */
    int64_t offset_end;  /* no batch that reaches it */
    int64_t offset_next; /* out: behind the last batch */
    size_t bytes_max;
    size_t first_bytes; /* of the first batch */
    bool at_least_one;
};
/* Appends whole batches from range->position on, at most bytes_max bytes and below offset_end. */
WEIR_MUST_USE enum weir_err weir_plog_view_read(const struct plog_view *view,
                                                struct plog_range *range, struct weir_buffer *into,
                                                struct weir_error *error);

#endif
