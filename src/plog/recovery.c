/*
 * Opening a directory: what is there, what of it counts, where the log ends, who its producers are.
 *
 *      1. list       names to base offsets and snapshots; leftovers are swept, strangers reported
 *      2. segments   opened in order; those below the first offset are deleted
 *      3. plan       the segment from which on the batches are checked, the newest snapshot before
 *      4. walk       checked segments are scanned whole and their indexes built anew; the others
 *                    are stepped over only where an index or the producers need it
 *      5. cut        behind the first bad batch nothing counts: the file is cut, later ones deleted
 */
#include "plog/log.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"

enum {
    NAME_DIGITS = 20,
    SCAN_WINDOW_BYTES = 1 << 20, /* checked segments are read whole */
    STEP_WINDOW_BYTES = 1 << 16, /* of the others, the headers */
};

struct recovering {
    struct weir_plog *log;
    const struct weir_plog_recovery *known;
    struct weir_error *error;
    int64_t *bases, *snapshots; /* ascending once listed */
    uint32_t base_count, base_capacity, snapshot_count, snapshot_capacity;
    int64_t now_ms;
    int64_t replay_from;  /* the producers know all before it */
    uint32_t check_from;  /* number of the first segment to check; segment_count = none */
    int64_t rebuilt_next; /* end of the first sealed segment whose indexes are new, unsynced */
    uint32_t aborted_bad; /* of the first whose aborted transactions are not known */
    struct plog_segment *walked; /* the one whose batches are replayed */
    bool note_aborted;           /* its aborted transactions are listed anew */
    struct weir_error replay_error;
    uint8_t *window;
    size_t window_bytes;
};

/* ---- list */

static enum weir_err push_offset(struct recovering *r, int64_t **offsets, uint32_t *count,
                                 uint32_t *capacity, int64_t offset)
{
    if (*count == *capacity) {
        uint32_t more = *capacity > 0 ? 2 * *capacity : 16;
        int64_t *grown;
        if (*count == PLOG_SEGMENTS_MAX)
            return weir_error_set(r->error, WEIR_LIMIT, -1, "%s: more than %d segments",
                                  r->log->directory, PLOG_SEGMENTS_MAX);
        grown = weir_realloc_array(*offsets, more, sizeof **offsets);
        if (grown == NULL)
            return weir_error_set(r->error, WEIR_NOMEM, -1, "%s: no memory", r->log->directory);
        *offsets = grown;
        *capacity = more;
    }
    (*offsets)[(*count)++] = offset;
    return WEIR_OK;
}

/* Reads "<20 digits>"; gives the suffix behind, or NULL. */
static const char *split_name(const char *name, int64_t *offset)
{
    *offset = 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' ||
            __builtin_mul_overflow(*offset, INT64_C(10), offset) ||
            __builtin_add_overflow(*offset, name[i] - '0', offset))
            return NULL;
    }
    return name + NAME_DIGITS;
}

static bool is_known_file(const char *name)
{
    /* Kafka's own, which the owner of the log may write. */
    return strcmp(name, "leader-epoch-checkpoint") == 0 || strcmp(name, "partition.metadata") == 0;
}

static enum weir_err list_name(void *opaque, const char *name, bool is_directory)
{
    struct recovering *r = opaque;
    int64_t offset;
    const char *suffix = is_directory ? NULL : split_name(name, &offset);

    if (suffix != NULL && strcmp(suffix, ".log") == 0)
        return push_offset(r, &r->bases, &r->base_count, &r->base_capacity, offset);
    if (suffix != NULL && strcmp(suffix, ".snapshot") == 0)
        return push_offset(r, &r->snapshots, &r->snapshot_count, &r->snapshot_capacity, offset);
    if (suffix != NULL &&
        (strcmp(suffix, ".index") == 0 || strcmp(suffix, ".timeindex") == 0 ||
         strcmp(suffix, ".txnindex") == 0 || strcmp(suffix, ".snapshot.tmp") == 0))
        return WEIR_OK;
    if (!is_known_file(name))
        weir_log(&r->log->options.log, WEIR_LOG_WARN, "plog",
                 "%s/%s does not belong to the log and is left alone", r->log->directory, name);
    return WEIR_OK;
}

static bool has_base(const struct recovering *r, int64_t offset)
{
    for (uint32_t low = 0, high = r->base_count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (r->bases[middle] == offset)
            return true;
        if (r->bases[middle] < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Sweeps what a deletion or a replacement left behind when it was cut short. */
static enum weir_err sweep_name(void *opaque, const char *name, bool is_directory)
{
    struct recovering *r = opaque;
    char path[PLOG_PATH_BYTES];
    int64_t offset;
    const char *suffix = is_directory ? NULL : split_name(name, &offset);
    bool orphan;

    if (suffix == NULL || !weir_plog_path(r->log->directory, name, path))
        return WEIR_OK;
    orphan = (strcmp(suffix, ".index") == 0 || strcmp(suffix, ".timeindex") == 0 ||
              strcmp(suffix, ".txnindex") == 0) &&
             !has_base(r, offset);
    if (!orphan && strcmp(suffix, ".snapshot.tmp") != 0)
        return WEIR_OK;
    weir_log(&r->log->options.log, WEIR_LOG_INFO, "plog", "%s: deleted, a leftover", path);
    return weir_disk_unlink(r->log->disk, path, r->error);
}

static int compare_offsets(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static enum weir_err list_directory(struct recovering *r)
{
    struct weir_plog *log = r->log;
    enum weir_err err = weir_disk_make_directories(log->disk, log->directory, 0755, r->error);

    if (err == WEIR_OK)
        err = weir_disk_list(log->disk, log->directory, list_name, r, r->error);
    if (err != WEIR_OK)
        return err;
    if (r->base_count > 0)
        qsort(r->bases, r->base_count, sizeof *r->bases, compare_offsets);
    if (r->snapshot_count > 0)
        qsort(r->snapshots, r->snapshot_count, sizeof *r->snapshots, compare_offsets);
    return weir_disk_list(log->disk, log->directory, sweep_name, r, r->error);
}

/* ---- segments */

static enum weir_err begin_segment(struct recovering *r, int64_t offset_base)
{
    struct plog_segment *segment;
    enum weir_err err = weir_plog_reserve_segment(r->log, r->error);

    if (err == WEIR_OK)
        err = weir_plog_segment_create(r->log->disk, r->log->directory, offset_base,
                                       PLOG_STAGE_NONE, &segment, r->error);
    if (err != WEIR_OK)
        return err;
    segment->created_ms = r->now_ms;
    weir_plog_push_segment(r->log, segment);
    return WEIR_OK;
}

/* Where the segment behind number `i` begins. */
static int64_t base_after(const struct weir_plog *log, uint32_t i)
{
    return i + 1 < log->segment_count ? log->segments[i + 1]->offset_base : INT64_MAX;
}

static enum weir_err open_segments(struct recovering *r, bool **indexed_out)
{
    struct weir_plog *log = r->log;
    bool *indexed = weir_calloc(r->base_count > 0 ? r->base_count : 1, sizeof *indexed);

    if (indexed == NULL)
        return weir_error_set(r->error, WEIR_NOMEM, -1, "%s: no memory", log->directory);
    *indexed_out = indexed;
    r->aborted_bad = UINT32_MAX;
    for (uint32_t i = 0; i < r->base_count; i++) {
        struct plog_segment *segment;
        bool aborted = false;
        enum weir_err err = weir_plog_reserve_segment(log, r->error);
        if (err == WEIR_OK)
            err = weir_plog_segment_open(log->disk, log->directory, r->bases[i], &segment,
                                         &indexed[i], &aborted, r->error);
        if (err != WEIR_OK)
            return err;
        if (!aborted && r->aborted_bad == UINT32_MAX)
            r->aborted_bad = i;
        /* The first batch tells a created_ms later; an empty segment is as good as new. */
        segment->created_ms = r->now_ms;
        atomic_fetch_add(&log->bytes, segment->bytes);
        weir_plog_push_segment(log, segment);
    }
    return WEIR_OK;
}

/* ---- plan */

/* Decides which segments are checked: with an orderly close none, else those behind the recovery
 * point, the last one at least; and all from the first one on whose aborted transactions are not
 * known, as only their batches tell. */
static void plan_checks(struct recovering *r)
{
    const struct weir_plog *log = r->log;
    int64_t flushed = r->known->offset_recovery;

    r->check_from = r->aborted_bad < log->segment_count ? r->aborted_bad : log->segment_count;
    if (r->known->clean || log->segment_count == 0)
        return;
    if (r->check_from == log->segment_count)
        r->check_from--;
    /* The one before a segment that begins at the recovery point, too: its indexes were written at
     * its end, and synced with the next one. */
    while (flushed >= 0 && r->check_from > 0 &&
           log->segments[r->check_from]->offset_base >= flushed)
        r->check_from--;
    /* A segment without a batch says nothing about the end of the one before. */
    while (r->check_from > 0 && log->segments[r->check_from]->bytes == 0)
        r->check_from--;
}

/* Loads the newest good snapshot that is not ahead of what is trusted, and deletes the others that
 * are. */
static enum weir_err load_snapshot(struct recovering *r, int64_t trusted)
{
    struct weir_plog *log = r->log;

    r->replay_from = 0;
    for (uint32_t i = r->snapshot_count; i > 0; i--) {
        char name[PLOG_NAME_BYTES], path[PLOG_PATH_BYTES];
        struct weir_error cause;
        enum weir_err err;
        weir_plog_name(r->snapshots[i - 1], ".snapshot", name);
        if (!weir_plog_path(log->directory, name, path))
            continue;
        if (r->replay_from > 0)
            break;
        err = r->snapshots[i - 1] > trusted
                  ? weir_error_set(&cause, WEIR_CORRUPT, -1, "%s: ahead of the checked log", path)
                  : weir_plog_producers_load(&log->producers, log->disk, path, r->now_ms, &cause);
        if (err == WEIR_NOMEM || err == WEIR_IO) {
            if (r->error != NULL)
                *r->error = cause;
            return err;
        }
        if (err == WEIR_OK) {
            r->replay_from = r->snapshots[i - 1];
            continue;
        }
        weir_log(&log->options.log, WEIR_LOG_INFO, "plog", "producer snapshot dropped: %s",
                 cause.message);
        (void)!weir_disk_unlink(log->disk, path, NULL);
        r->snapshots[i - 1] = -1;
    }
    for (uint32_t i = 0; i < r->snapshot_count; i++) {
        if (r->snapshots[i] >= 0)
            weir_plog_push_snapshot(log, r->snapshots[i]);
    }
    return WEIR_OK;
}

/* ---- walk */

static enum weir_err replay(void *opaque, const struct plog_head *head, int64_t position)
{
    struct recovering *r = opaque;
    enum weir_err err;

    if (head->producer_id < 0 || head->offset_base < r->replay_from)
        return WEIR_OK;
    if (head->attributes & PLOG_CONTROL)
        err = weir_plog_replay_control(r->log, r->walked, head, position, r->note_aborted,
                                       &r->replay_error);
    else if ((err = weir_plog_producers_add(&r->log->producers, head, r->now_ms)) != WEIR_OK)
        weir_error_set(&r->replay_error, err, -1, "%s: no room for the producers",
                       r->log->directory);
    /* A segment may be walked twice. */
    if (err == WEIR_OK)
        r->replay_from = head->offset_last + 1;
    return err;
}

/* The age of a segment that was here before: since its first batch's timestamp. */
static enum weir_err read_age(struct recovering *r, struct plog_segment *segment)
{
    uint8_t bytes[PLOG_HEAD_BYTES];
    struct plog_head head;
    enum weir_err err;

    if (segment->bytes < PLOG_HEAD_BYTES)
        return WEIR_OK;
    err =
        weir_disk_read(segment->disk, segment->path, segment->fd, bytes, sizeof bytes, 0, r->error);
    if (err == WEIR_OK && plog_head_read(bytes, &head) && head.timestamp_max >= 0 &&
        head.timestamp_max < r->now_ms)
        segment->created_ms = head.timestamp_max;
    return err;
}

static enum weir_err flush_indexes(struct plog_segment *segment, struct weir_error *error)
{
    enum weir_err err = weir_plog_segment_write_indexes(segment, error);

    if (err != WEIR_OK)
        return err;
    weir_plog_segment_indexes_written(segment);
    return WEIR_OK;
}

/* Writes what a scan left pending; of a sealed segment, the last entry of the time index too. */
static enum weir_err finish_indexes(struct recovering *r, struct plog_segment *segment, bool sealed)
{
    enum weir_err err = flush_indexes(segment, r->error);

    if (err == WEIR_OK && sealed) {
        if (segment->offset_next < r->rebuilt_next)
            r->rebuilt_next = segment->offset_next;
        weir_plog_segment_note_time(segment);
        atomic_store(&segment->indexes_unsynced, true);
        err = flush_indexes(segment, r->error);
    }
    if (err == WEIR_OK)
        weir_plog_take_pending(segment);
    return err;
}

/* Where to begin when only the end of a segment is wanted: at the last entry of its index. */
static enum weir_err last_position(struct recovering *r, const struct plog_segment *segment,
                                   int64_t *position_out)
{
    struct plog_index_entry entry;
    enum weir_err err;

    *position_out = 0;
    if (r->replay_from <= segment->offset_base || segment->offsets.stored == 0)
        return WEIR_OK;
    err = weir_plog_index_read(&segment->offsets, segment->disk, segment->path,
                               segment->offsets.stored - 1, &entry, r->error);
    if (err == WEIR_OK && segment->offset_base + entry.key < r->replay_from)
        *position_out = entry.value;
    return err;
}

/* Goes through one segment as far as needed. *valid_out < its bytes: it ends there. */
static enum weir_err walk_segment(struct recovering *r, uint32_t number, bool indexed,
                                  int64_t *valid_out)
{
    struct weir_plog *log = r->log;
    struct plog_segment *segment = log->segments[number];
    bool last = number + 1 == log->segment_count, checked = number >= r->check_from;
    bool replayed = base_after(log, number) > r->replay_from;
    struct plog_scan scan = {
        .check_crc = checked,
        .rebuild = checked || !indexed,
        .offset_limit = base_after(log, number),
        .index_interval_bytes = log->options.index_interval_bytes,
        .window = r->window,
        .window_bytes = checked ? r->window_bytes : STEP_WINDOW_BYTES,
        .each = replayed ? replay : NULL,
        .opaque = r,
    };
    struct weir_error cause;
    enum weir_err err = read_age(r, segment);

    *valid_out = segment->bytes;
    r->walked = segment;
    r->note_aborted = checked;
    if (err == WEIR_OK && checked)
        err = weir_plog_forget_aborted(segment, r->error);
    if (err != WEIR_OK)
        return err;
    if (!scan.rebuild && !last && !replayed) {
        segment->offset_next = base_after(log, number);
        return WEIR_OK;
    }
    if (!scan.rebuild) {
        err = last_position(r, segment, &scan.position);
        if (err == WEIR_OK)
            err = weir_plog_segment_scan(segment, &scan, valid_out, &cause);
        /* The index may be what is wrong: once more, from the beginning. */
        scan.rebuild = err == WEIR_CORRUPT;
        scan.position = 0;
    }
    if (scan.rebuild) {
        weir_plog_lend_pending(log, segment);
        err = weir_plog_segment_scan(segment, &scan, valid_out, &cause);
        if (err == WEIR_OK || err == WEIR_CORRUPT) {
            enum weir_err finished = finish_indexes(r, segment, !last);
            if (finished != WEIR_OK)
                return finished;
        }
    }
    if (err == WEIR_CORRUPT) {
        weir_log(&log->options.log, WEIR_LOG_WARN, "plog", "%s", cause.message);
        return WEIR_OK;
    }
    /* A failure of the callback has its own detail. */
    if (err != WEIR_OK && r->error != NULL)
        *r->error = r->replay_error.code != WEIR_OK ? r->replay_error : cause;
    return err;
}

/* ---- cut */

static enum weir_err delete_last(struct recovering *r)
{
    struct weir_plog *log = r->log;
    struct plog_segment *last = weir_plog_active(log);
    enum weir_err err = weir_plog_segment_unlink(last, PLOG_STAGE_NONE, r->error);

    if (err != WEIR_OK)
        return err;
    atomic_fetch_sub(&log->bytes, last->bytes);
    log->segment_count--;
    log->active = log->segment_count > 0 ? log->segments[log->segment_count - 1] : NULL;
    weir_plog_segment_unref(last);
    return WEIR_OK;
}

/* Ends the log behind `valid` bytes of segment `number`. That is synced: else, when the power goes
 * again, what is cut here may come back in the place of what was appended since. */
static enum weir_err cut(struct recovering *r, uint32_t number, int64_t valid)
{
    struct weir_plog *log = r->log;
    struct plog_segment *segment = log->segments[number];
    enum weir_err err;

    weir_log(&log->options.log, WEIR_LOG_WARN, "plog",
             "%s: cut at offset %lld; behind it %lld bytes that are no whole batches, %u segments",
             segment->path, (long long)segment->offset_next, (long long)(segment->bytes - valid),
             (unsigned)(log->segment_count - number - 1));
    err = weir_disk_truncate(log->disk, segment->path, segment->fd, valid, r->error);
    if (err != WEIR_OK)
        return err;
    atomic_fetch_sub(&log->bytes, segment->bytes - valid);
    segment->bytes = valid;
    while (err == WEIR_OK && log->segment_count > number + 1)
        err = delete_last(r);
    if (err == WEIR_OK)
        err = weir_disk_sync(log->disk, segment->path, segment->fd, r->error);
    return err == WEIR_OK ? weir_disk_sync_directory(log->disk, log->directory, r->error) : err;
}

/* With the power the end of a segment can go, at the end of a batch by chance, while those behind
 * it stay. What they hold was never flushed either: a log has no holes. */
static bool ends_early(const struct weir_plog *log, uint32_t number)
{
    return number + 1 < log->segment_count &&
           log->segments[number]->offset_next < log->segments[number + 1]->offset_base;
}

static enum weir_err walk_segments(struct recovering *r, const bool *indexed)
{
    struct weir_plog *log = r->log;

    for (uint32_t i = 0; i < log->segment_count; i++) {
        struct plog_segment *segment = log->segments[i];
        int64_t valid;
        enum weir_err err = walk_segment(r, i, indexed[i], &valid);
        if (err != WEIR_OK)
            return err;
        if (valid == segment->bytes && !(i >= r->check_from && ends_early(log, i)))
            continue;
        if (i >= r->check_from || i + 1 == log->segment_count) {
            err = cut(r, i, valid);
            if (err != WEIR_OK)
                return err;
        } else {
            /* It was flushed, so this is a damage of the disk, not a torn write: what is behind it
             * is kept and read on from the next segment. */
            atomic_fetch_sub(&log->bytes, segment->bytes - valid);
            segment->bytes = valid;
            segment->offset_next = base_after(log, i);
        }
    }
    return WEIR_OK;
}

/* ---- all together */

/* Sets the bounds. The first offset may lie behind the end when the end was lost with the power. */
static enum weir_err set_bounds(struct recovering *r)
{
    struct weir_plog *log = r->log;
    int64_t first = r->known->offset_first, next, flushed;
    uint32_t below = 0;

    next = log->segment_count > 0 ? weir_plog_active(log)->offset_next : first > 0 ? first : 0;
    if (log->segment_count > 0 && first > next) {
        weir_log(&log->options.log, WEIR_LOG_WARN, "plog",
                 "%s: ends at offset %lld, before its first offset %lld: begun anew there",
                 log->directory, (long long)next, (long long)first);
        weir_plog_drop_segments(log, log->segment_count, "below the first offset");
        weir_plog_producers_clear(&log->producers);
        next = first;
    }
    if (log->segment_count == 0) {
        enum weir_err err = begin_segment(r, next);
        if (err != WEIR_OK)
            return err;
    }
    if (r->replay_from > next) {
        weir_log(&log->options.log, WEIR_LOG_WARN, "plog",
                 "%s: ends at offset %lld, before what its producers knew: they are forgotten",
                 log->directory, (long long)next);
        weir_plog_producers_clear(&log->producers);
    }
    while (below + 1 < log->segment_count && log->segments[below + 1]->offset_base <= first)
        below++;
    weir_plog_drop_segments(log, below, "below the first offset");
    if (first < log->segments[0]->offset_base)
        first = log->segments[0]->offset_base;
    flushed = next;
    if (!r->known->clean) {
        flushed = r->known->offset_recovery >= 0 ? r->known->offset_recovery
                                                 : weir_plog_active(log)->offset_base;
        flushed = flushed < next ? flushed : next;
    }
    if (r->rebuilt_next < flushed)
        flushed = r->rebuilt_next;
    atomic_store(&log->offset_unstable, weir_plog_producers_unstable(&log->producers));
    atomic_store(&log->offset_first, first);
    atomic_store(&log->offset_next, next);
    atomic_store(&log->offset_flushed, flushed);
    return WEIR_OK;
}

static enum weir_err recover(struct recovering *r, bool **indexed)
{
    struct weir_plog *log = r->log;
    int64_t trusted;
    enum weir_err err = list_directory(r);

    if (err == WEIR_OK)
        err = open_segments(r, indexed);
    if (err != WEIR_OK)
        return err;
    plan_checks(r);
    trusted =
        r->check_from < log->segment_count ? log->segments[r->check_from]->offset_base : INT64_MAX;
    err = load_snapshot(r, trusted);
    if (err == WEIR_OK)
        err = walk_segments(r, *indexed);
    if (err == WEIR_OK)
        err = set_bounds(r);
    if (err == WEIR_OK)
        weir_plog_lend_pending(log, weir_plog_active(log));
    return err;
}

enum weir_err weir_plog_recover(struct weir_plog *log, const struct weir_plog_recovery *recovery,
                                struct weir_error *error)
{
    struct recovering r = {
        .log = log,
        .known = recovery,
        .error = error,
        .now_ms = weir_clock_wall_ms(log->options.clock),
        .window_bytes = SCAN_WINDOW_BYTES,
        .rebuilt_next = INT64_MAX,
    };
    bool *indexed = NULL;
    enum weir_err err;

    r.window = weir_alloc(r.window_bytes);
    err = r.window != NULL ? recover(&r, &indexed)
                           : weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory", log->directory);
    weir_free(r.window);
    weir_free(indexed);
    weir_free(r.bases);
    weir_free(r.snapshots);
    return err;
}
