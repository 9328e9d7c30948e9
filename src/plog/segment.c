/* The files of a segment, its indexes and its scan: plog/segment.h. */
#include "plog/segment.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "plog/walk.h"

enum { SUFFIX_BYTES = 4 /* ".log" */ };

void weir_plog_name(int64_t offset, const char *suffix, char name[PLOG_NAME_BYTES])
{
    snprintf(name, PLOG_NAME_BYTES, "%020lld%s", (long long)offset, suffix);
}

bool weir_plog_path(const char *directory, const char *name, char path[PLOG_PATH_BYTES])
{
    int bytes = snprintf(path, PLOG_PATH_BYTES, "%s/%s", directory, name);
    return bytes > 0 && bytes < PLOG_PATH_BYTES;
}

void weir_plog_segment_path(const struct plog_segment *segment, const char *suffix,
                            char path[PLOG_PATH_BYTES])
{
    int stem = (int)strlen(segment->path) - SUFFIX_BYTES;
    /* Room was checked when the segment was made. */
    snprintf(path, PLOG_PATH_BYTES, "%.*s%s", stem, segment->path, suffix);
}

/* ---- life */

static enum weir_err segment_new(const struct weir_disk *disk, const char *directory,
                                 int64_t offset_base, struct plog_segment **out,
                                 struct weir_error *error)
{
    char name[PLOG_NAME_BYTES];
    size_t path_bytes;
    struct plog_segment *segment;

    weir_plog_name(offset_base, ".log", name);
    path_bytes = strlen(directory) + 1 + strlen(name) + 1;
    /* The other suffixes are longer. */
    if (path_bytes + PLOG_NAME_BYTES > PLOG_PATH_BYTES)
        return weir_error_set(error, WEIR_INVALID, -1, "%s: the path is too long", directory);
    segment = weir_calloc(1, sizeof *segment + path_bytes);
    if (segment == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory for a segment", directory);
    snprintf(segment->path, path_bytes, "%s/%s", directory, name);
    segment->disk = disk;
    segment->offset_base = offset_base;
    segment->offset_next = offset_base;
    segment->fd = -1;
    segment->offsets = (struct plog_index){.fd = -1, .entry_bytes = PLOG_OFFSET_ENTRY_BYTES};
    segment->times = (struct plog_index){.fd = -1, .entry_bytes = PLOG_TIME_ENTRY_BYTES};
    segment->aborted.fd = -1;
    segment->timestamp_max = -1;
    segment->timestamp_max_offset = offset_base;
    segment->time_indexed = -1;
    segment->hint_offset = -1;
    atomic_init(&segment->references, 1);
    *out = segment;
    return WEIR_OK;
}

void weir_plog_segment_ref(struct plog_segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
}

void weir_plog_segment_unref(struct plog_segment *segment)
{
    if (atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) != 1)
        return;
    /* What had to reach the disk was synced before; a failing close tells nothing new. */
    weir_disk_close(segment->disk, segment->path, segment->fd, NULL);
    weir_disk_close(segment->disk, segment->path, segment->offsets.fd, NULL);
    weir_disk_close(segment->disk, segment->path, segment->times.fd, NULL);
    weir_disk_close(segment->disk, segment->path, segment->aborted.fd, NULL);
    weir_free(segment);
}

/* The path of one of its files at a stage. */
static void staged_path(const struct plog_segment *segment, const char *suffix, const char *stage,
                        char path[PLOG_PATH_BYTES])
{
    char both[PLOG_NAME_BYTES];

    snprintf(both, sizeof both, "%s%s", suffix, stage);
    weir_plog_segment_path(segment, both, path);
}

/* In the order of deletion: the .log last would leave a segment without indexes after a crash,
 * which is only slow to open; first, it leaves indexes without a segment, which open sweeps up. */
static const char *const suffixes[] = {".log", ".index", ".timeindex", ".txnindex"};
enum { LOG_SUFFIX, FIRST_INDEX, SUFFIXES = 4 };

/* Of them, those that the segment has: the last one only if a transaction was aborted. */
static int suffix_count(const struct plog_segment *segment)
{
    return segment->aborted.fd >= 0 ? SUFFIXES : SUFFIXES - 1;
}

enum weir_err weir_plog_segment_unlink(const struct plog_segment *segment, const char *stage,
                                       struct weir_error *error)
{
    char path[PLOG_PATH_BYTES];
    enum weir_err first = WEIR_OK;

    for (int i = 0; i < suffix_count(segment); i++) {
        enum weir_err err;
        staged_path(segment, suffixes[i], stage, path);
        err = weir_disk_unlink(segment->disk, path, first == WEIR_OK ? error : NULL);
        if (first == WEIR_OK && (err != WEIR_NOT_FOUND || i == LOG_SUFFIX))
            first = err;
    }
    return first;
}

static enum weir_err rename_file(const struct plog_segment *segment, const char *suffix,
                                 const char *from, const char *to, struct weir_error *error)
{
    char old[PLOG_PATH_BYTES], new[PLOG_PATH_BYTES];

    staged_path(segment, suffix, from, old);
    staged_path(segment, suffix, to, new);
    return weir_disk_rename(segment->disk, old, new, error);
}

enum weir_err weir_plog_segment_rename_indexes(const struct plog_segment *segment, const char *from,
                                               const char *to, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    for (int i = FIRST_INDEX; err == WEIR_OK && i < suffix_count(segment); i++)
        err = rename_file(segment, suffixes[i], from, to, error);
    return err;
}

enum weir_err weir_plog_segment_rename_log(const struct plog_segment *segment, const char *from,
                                           const char *to, struct weir_error *error)
{
    return rename_file(segment, suffixes[LOG_SUFFIX], from, to, error);
}

enum weir_err weir_plog_segment_create(const struct weir_disk *disk, const char *directory,
                                       int64_t offset_base, const char *stage,
                                       struct plog_segment **out, struct weir_error *error)
{
    /* Leftovers of a try that failed are emptied. */
    const int flags = O_RDWR | O_CREAT | O_TRUNC;
    char path[PLOG_PATH_BYTES];
    struct plog_segment *segment;
    enum weir_err err = segment_new(disk, directory, offset_base, &segment, error);

    if (err != WEIR_OK)
        return err;
    staged_path(segment, ".index", stage, path);
    err = weir_disk_open(disk, path, flags, 0644, &segment->offsets.fd, error);
    if (err == WEIR_OK) {
        staged_path(segment, ".timeindex", stage, path);
        err = weir_disk_open(disk, path, flags, 0644, &segment->times.fd, error);
    }
    if (err == WEIR_OK) {
        staged_path(segment, ".log", stage, path);
        err = weir_disk_open(disk, path, flags, 0644, &segment->fd, error);
    }
    if (err != WEIR_OK) {
        /* The first failure is the one to tell. */
        (void)!weir_plog_segment_unlink(segment, stage, NULL);
        weir_plog_segment_unref(segment);
        return err;
    }
    *out = segment;
    return WEIR_OK;
}

/* Opens one index. *good_out: it was there, is whole, and its ends are in order. */
static enum weir_err index_open(struct plog_segment *segment, struct plog_index *index,
                                const char *suffix, bool *good_out,
                                struct plog_index_entry *last_out, struct weir_error *error)
{
    char path[PLOG_PATH_BYTES];
    struct plog_index_entry first;
    int64_t bytes;
    enum weir_err err;

    *good_out = false;
    *last_out = (struct plog_index_entry){.key = -1};
    weir_plog_segment_path(segment, suffix, path);
    err = weir_disk_open(segment->disk, path, O_RDWR, 0, &index->fd, error);
    if (err == WEIR_NOT_FOUND)
        return weir_disk_open(segment->disk, path, O_RDWR | O_CREAT, 0644, &index->fd, error);
    if (err == WEIR_OK)
        err = weir_disk_size(segment->disk, path, index->fd, &bytes, error);
    if (err != WEIR_OK)
        return err;
    if (bytes % index->entry_bytes != 0 || bytes > segment->bytes)
        return WEIR_OK;
    index->stored = (uint32_t)(bytes / index->entry_bytes);
    *good_out = true;
    if (index->stored == 0)
        return WEIR_OK;
    err = weir_plog_index_read(index, segment->disk, path, 0, &first, error);
    if (err == WEIR_OK)
        err = weir_plog_index_read(index, segment->disk, path, index->stored - 1, last_out, error);
    if (first.key < 0 || (index->stored > 1 && last_out->key <= first.key))
        *good_out = false;
    return err;
}

enum weir_err weir_plog_segment_open(const struct weir_disk *disk, const char *directory,
                                     int64_t offset_base, struct plog_segment **out,
                                     bool *indexed_out, bool *aborted_out, struct weir_error *error)
{
    char path[PLOG_PATH_BYTES];
    struct plog_segment *segment;
    struct plog_index_entry offset, time;
    bool offsets_good = false, times_good = false;
    enum weir_err err = segment_new(disk, directory, offset_base, &segment, error);

    if (err != WEIR_OK)
        return err;
    err = weir_disk_open(disk, segment->path, O_RDWR, 0, &segment->fd, error);
    if (err == WEIR_OK)
        err = weir_disk_size(disk, segment->path, segment->fd, &segment->bytes, error);
    if (err == WEIR_OK && segment->bytes > PLOG_SEGMENT_BYTES_MAX)
        err = weir_error_set(error, WEIR_CORRUPT, -1, "%s: %lld bytes: more than a segment holds",
                             segment->path, (long long)segment->bytes);
    if (err == WEIR_OK)
        err = index_open(segment, &segment->offsets, ".index", &offsets_good, &offset, error);
    if (err == WEIR_OK)
        err = index_open(segment, &segment->times, ".timeindex", &times_good, &time, error);
    if (err == WEIR_OK) {
        weir_plog_segment_path(segment, ".txnindex", path);
        err = weir_plog_txn_index_open(&segment->aborted, disk, path, offset_base, aborted_out,
                                       error);
    }
    if (err != WEIR_OK) {
        weir_plog_segment_unref(segment);
        return err;
    }
    if (segment->offsets.stored > 0) {
        offsets_good = offsets_good && offset.value < segment->bytes;
        segment->bytes_since_index = segment->bytes - offset.value;
    }
    if (segment->times.stored > 0) {
        segment->timestamp_max = segment->time_indexed = time.key;
        segment->timestamp_max_offset = offset_base + time.value;
    }
    /* A time index gets an entry with each of the other, and one when it is sealed: an empty file
     * is a lost one, unless no batch has a timestamp. */
    if (segment->bytes > 0 &&
        (segment->times.stored == 0 || (segment->offsets.stored == 0 && segment->times.stored > 1)))
        times_good = false;
    *indexed_out = offsets_good && times_good;
    *out = segment;
    return WEIR_OK;
}

/* ---- indexes */

void weir_plog_segment_stamp(struct plog_segment *segment, int64_t timestamp_max,
                             int64_t offset_last)
{
    if (timestamp_max > segment->timestamp_max) {
        segment->timestamp_max = timestamp_max;
        segment->timestamp_max_offset = offset_last;
    }
}

void weir_plog_segment_note_time(struct plog_segment *segment)
{
    struct plog_index_entry entry;

    if (segment->timestamp_max <= segment->time_indexed)
        return;
    entry.key = segment->timestamp_max;
    entry.value = (uint32_t)(segment->timestamp_max_offset - segment->offset_base);
    weir_plog_index_add(&segment->times, entry);
    segment->time_indexed = segment->timestamp_max;
}

void weir_plog_segment_note(struct plog_segment *segment, int32_t index_interval_bytes,
                            int64_t offset_last_of_first, int64_t bytes)
{
    /* As Kafka: the entry names the batch's last offset and where it begins. */
    if (segment->bytes_since_index > index_interval_bytes) {
        struct plog_index_entry entry = {
            .key = offset_last_of_first - segment->offset_base,
            .value = (uint32_t)segment->bytes,
        };
        weir_plog_index_add(&segment->offsets, entry);
        weir_plog_segment_note_time(segment);
        segment->bytes_since_index = 0;
    }
    segment->bytes_since_index += bytes;
}

enum weir_err weir_plog_segment_write_indexes(struct plog_segment *segment,
                                              struct weir_error *error)
{
    char path[PLOG_PATH_BYTES];
    enum weir_err err;

    weir_plog_segment_path(segment, ".index", path);
    err = weir_plog_index_write(&segment->offsets, segment->disk, path, error);
    if (err != WEIR_OK)
        return err;
    weir_plog_segment_path(segment, ".timeindex", path);
    return weir_plog_index_write(&segment->times, segment->disk, path, error);
}

void weir_plog_segment_indexes_written(struct plog_segment *segment)
{
    weir_plog_index_written(&segment->offsets);
    weir_plog_index_written(&segment->times);
}

enum weir_err weir_plog_segment_sync(struct plog_segment *segment, bool indexes,
                                     struct weir_error *error)
{
    enum weir_err err = weir_disk_sync(segment->disk, segment->path, segment->fd, error);

    if (err == WEIR_OK && indexes)
        err = weir_disk_sync(segment->disk, segment->path, segment->offsets.fd, error);
    if (err == WEIR_OK && indexes)
        err = weir_disk_sync(segment->disk, segment->path, segment->times.fd, error);
    if (err == WEIR_OK && indexes && segment->aborted.fd >= 0)
        err = weir_disk_sync(segment->disk, segment->path, segment->aborted.fd, error);
    return err;
}

/* ---- scan */

static enum weir_err empty_index(struct plog_segment *segment, struct plog_index *index,
                                 const char *suffix, struct weir_error *error)
{
    char path[PLOG_PATH_BYTES];

    weir_plog_segment_path(segment, suffix, path);
    index->stored = index->pending_count = 0;
    return weir_disk_truncate(segment->disk, path, index->fd, 0, error);
}

static enum weir_err empty_indexes(struct plog_segment *segment, struct weir_error *error)
{
    enum weir_err err = empty_index(segment, &segment->offsets, ".index", error);

    if (err == WEIR_OK)
        err = empty_index(segment, &segment->times, ".timeindex", error);
    segment->timestamp_max = segment->time_indexed = -1;
    segment->timestamp_max_offset = segment->offset_base;
    segment->bytes_since_index = 0;
    return err;
}

/* Indexes one batch of a scan; nobody reads the segment yet. */
static enum weir_err scan_note(struct plog_segment *segment, const struct plog_scan *scan,
                               int64_t at, const struct plog_head *head, struct weir_error *error)
{
    /* A batch that a cleaning has emptied has no record to be found by its time. */
    if (head->record_count > 0)
        weir_plog_segment_stamp(segment, head->timestamp_max, head->offset_last);
    if (!scan->rebuild)
        return WEIR_OK;
    if (weir_plog_index_full(&segment->offsets) || weir_plog_index_full(&segment->times)) {
        enum weir_err err = weir_plog_segment_write_indexes(segment, error);
        if (err != WEIR_OK)
            return err;
        weir_plog_segment_indexes_written(segment);
    }
    segment->bytes = at;
    weir_plog_segment_note(segment, scan->index_interval_bytes, head->offset_last, head->bytes);
    return WEIR_OK;
}

/* One batch of a scan, whole and in its place? */
static enum weir_err scan_check(struct plog_walk *walk, const struct plog_segment *segment,
                                const struct plog_scan *scan, int64_t at,
                                const struct plog_head *head, struct weir_error *error)
{
    uint32_t crc;
    enum weir_err err;

    if (head->offset_base < segment->offset_next || head->offset_last >= scan->offset_limit ||
        head->offset_last - segment->offset_base > INT32_MAX)
        return weir_error_set(error, WEIR_CORRUPT, at,
                              "%s: position %lld: offset %lld is out of place", segment->path,
                              (long long)at, (long long)head->offset_base);
    if (!scan->check_crc)
        return WEIR_OK;
    err = weir_plog_walk_crc(walk, at, head, &crc, error);
    if (err == WEIR_OK && crc != head->crc)
        err = weir_error_set(error, WEIR_CORRUPT, at,
                             "%s: position %lld: the CRC of the batch at offset %lld is wrong",
                             segment->path, (long long)at, (long long)head->offset_base);
    return err;
}

enum weir_err weir_plog_segment_scan(struct plog_segment *segment, const struct plog_scan *scan,
                                     int64_t *valid_out, struct weir_error *error)
{
    const int64_t bytes = segment->bytes;
    struct plog_walk walk;
    struct plog_head head;
    int64_t at;
    enum weir_err err = scan->rebuild ? empty_indexes(segment, error) : WEIR_OK;

    if (err != WEIR_OK)
        return err;
    weir_plog_walk_init(&walk, segment->disk, segment->fd, segment->path, scan->position, bytes,
                        scan->window, scan->window_bytes);
    if (scan->position == 0)
        segment->offset_next = segment->offset_base;
    *valid_out = scan->position;
    for (;;) {
        err = weir_plog_walk_next(&walk, &head, &at, error);
        if (err == WEIR_OK)
            err = scan_check(&walk, segment, scan, at, &head, error);
        if (err == WEIR_OK)
            err = scan_note(segment, scan, at, &head, error);
        if (err == WEIR_OK && scan->each != NULL)
            err = scan->each(scan->opaque, &head, at);
        if (err != WEIR_OK)
            break;
        segment->offset_next = head.offset_last + 1;
        *valid_out = at + head.bytes;
    }
    segment->bytes = bytes;
    return err == WEIR_END ? WEIR_OK : err;
}
