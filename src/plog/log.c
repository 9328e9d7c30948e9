/* Life of a log, its list of segments, rolling and syncing: plog/log.h. */
#include "plog/log.h"

#include <fcntl.h>

#include "base/alloc.h"
#include "base/assert.h"

/* ---- settings and life */

void weir_plog_options_default(struct weir_plog_options *options)
{
    *options = (struct weir_plog_options){
        .segment_bytes = INT64_C(1) << 30,
        .segment_ms = INT64_C(7) * 24 * 60 * 60 * 1000,
        .retention_bytes = -1,
        .retention_ms = INT64_C(7) * 24 * 60 * 60 * 1000,
        .producer_id_expiration_ms = INT64_C(24) * 3600 * 1000,
        .index_interval_bytes = 4096,
        .message_bytes_max = 1048588,
        .deletes = true,
        .flush = WEIR_PLOG_FLUSH_NONE,
    };
}

void weir_plog_configure(struct weir_plog *log, const struct weir_plog_options *options)
{
    log->options = *options;
    log->options.disk = log->disk;
    if (log->options.segment_bytes > PLOG_SEGMENT_BYTES_MAX)
        log->options.segment_bytes = PLOG_SEGMENT_BYTES_MAX;
}

static enum weir_err check_options(const struct weir_plog_options *options,
                                   struct weir_error *error)
{
    if (options->segment_bytes < 1 || options->segment_ms < 1 || options->retention_bytes < -1 ||
        options->retention_ms < -1 || options->index_interval_bytes < 0 ||
        options->message_bytes_max < 0)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a partition log's setting is out of range: segment_bytes %lld, "
                              "segment_ms %lld, retention_bytes %lld, retention_ms %lld",
                              (long long)options->segment_bytes, (long long)options->segment_ms,
                              (long long)options->retention_bytes,
                              (long long)options->retention_ms);
    return WEIR_OK;
}

enum weir_err weir_plog_open(const char *directory, const struct weir_plog_options *options,
                             const struct weir_plog_recovery *recovery, struct weir_plog **log_out,
                             struct weir_error *error)
{
    static const struct weir_plog_recovery unknown = {.offset_first = -1, .offset_recovery = -1};
    struct weir_plog *log;
    enum weir_err err = check_options(options, error);

    if (err != WEIR_OK)
        return err;
    log = weir_calloc(1, sizeof *log);
    if (log != NULL)
        log->directory = weir_strdup(directory);
    if (log == NULL || log->directory == NULL) {
        weir_free(log);
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory", directory);
    }
    log->disk = options->disk != NULL ? options->disk : weir_disk_real();
    weir_plog_configure(log, options);
    pthread_mutex_init(&log->shape_mutex, NULL);
    pthread_mutex_init(&log->mutex, NULL);
    pthread_mutex_init(&log->sync_mutex, NULL);
    weir_plog_producers_init(&log->producers);
    for (int i = 0; i < PLOG_SNAPSHOTS; i++)
        log->snapshots[i] = -1;
    err = weir_plog_finish_replacements(log, error);
    if (err == WEIR_OK)
        err = weir_plog_recover(log, recovery != NULL ? recovery : &unknown, error);
    if (err != WEIR_OK) {
        weir_plog_free(log);
        return err;
    }
    *log_out = log;
    return WEIR_OK;
}

void weir_plog_free(struct weir_plog *log)
{
    for (uint32_t i = 0; i < log->segment_count; i++)
        weir_plog_segment_unref(log->segments[i]);
    weir_free(log->segments);
    weir_plog_producers_release(&log->producers);
    pthread_mutex_destroy(&log->sync_mutex);
    pthread_mutex_destroy(&log->mutex);
    pthread_mutex_destroy(&log->shape_mutex);
    weir_free(log->directory);
    weir_free(log);
}

enum weir_err weir_plog_close(struct weir_plog *log, struct weir_error *error)
{
    enum weir_err err = weir_plog_check_writable(log, error);

    if (err == WEIR_OK)
        err = weir_plog_seal(log, error);
    if (err == WEIR_OK)
        err = weir_plog_sync(log, error);
    if (err == WEIR_OK)
        err = weir_plog_segment_sync(weir_plog_active(log), true, error);
    /* Once on disk; a snapshot may not be ahead of its log. */
    if (err == WEIR_OK)
        weir_plog_save_snapshot(log);
    for (uint32_t i = 0; i < log->segment_count; i++) {
        char path[PLOG_PATH_BYTES];
        /* The next open builds it anew. */
        if (!atomic_load(&log->segments[i]->index_damaged))
            continue;
        weir_plog_segment_path(log->segments[i], ".index", path);
        weir_log(&log->options.log, WEIR_LOG_WARN, "plog",
                 "%s: damaged, built anew by the next open", path);
        (void)!weir_disk_unlink(log->disk, path, NULL);
    }
    weir_plog_free(log);
    return err;
}

/* ---- failure */

enum weir_err weir_plog_fail(struct weir_plog *log, const struct weir_error *error)
{
    bool first;

    pthread_mutex_lock(&log->mutex);
    first = !atomic_load(&log->failed);
    if (first) {
        log->failure = *error;
        atomic_store(&log->failed, true);
    }
    pthread_mutex_unlock(&log->mutex);
    if (first)
        weir_log(&log->options.log, WEIR_LOG_ERROR, "plog", "%s: read-only from now on: %s",
                 log->directory, error->message);
    return WEIR_IO;
}

bool weir_plog_is_read_only(const struct weir_plog *log)
{
    return atomic_load(&log->failed);
}

enum weir_err weir_plog_check_writable(struct weir_plog *log, struct weir_error *error)
{
    if (!atomic_load_explicit(&log->failed, memory_order_relaxed))
        return WEIR_OK;
    pthread_mutex_lock(&log->mutex);
    weir_error_set(error, WEIR_IO, -1, "%s is read-only since: %s", log->directory,
                   log->failure.message);
    pthread_mutex_unlock(&log->mutex);
    if (error != NULL)
        error->fatal = true;
    return WEIR_IO;
}

/* Hands a failed write on to the caller, with the mark that nothing more will be written. */
static enum weir_err fail(struct weir_plog *log, const struct weir_error *cause,
                          struct weir_error *error)
{
    weir_plog_fail(log, cause);
    if (error != NULL) {
        *error = *cause;
        error->code = WEIR_IO;
        error->fatal = true;
    }
    return WEIR_IO;
}

/* ---- indexes of the active segment */

void weir_plog_lend_pending(struct weir_plog *log, struct plog_segment *segment)
{
    segment->offsets.pending = log->pending_offsets;
    segment->times.pending = log->pending_times;
}

void weir_plog_take_pending(struct plog_segment *segment)
{
    weir_assert(segment->offsets.pending_count == 0 && segment->times.pending_count == 0);
    segment->offsets.pending = NULL;
    segment->times.pending = NULL;
}

static enum weir_err write_indexes(struct weir_plog *log, struct weir_error *error)
{
    struct plog_segment *segment = weir_plog_active(log);
    struct weir_error cause;
    enum weir_err err = weir_plog_segment_write_indexes(segment, &cause);

    if (err != WEIR_OK)
        return fail(log, &cause, error);
    pthread_mutex_lock(&log->mutex);
    weir_plog_segment_indexes_written(segment);
    pthread_mutex_unlock(&log->mutex);
    return WEIR_OK;
}

enum weir_err weir_plog_make_index_room(struct weir_plog *log, struct weir_error *error)
{
    const struct plog_segment *segment = weir_plog_active(log);

    if (!weir_plog_index_full(&segment->offsets) && !weir_plog_index_full(&segment->times))
        return WEIR_OK;
    return write_indexes(log, error);
}

enum weir_err weir_plog_seal(struct weir_plog *log, struct weir_error *error)
{
    enum weir_err err = weir_plog_make_index_room(log, error);

    if (err != WEIR_OK)
        return err;
    /* The time index of a sealed segment ends with its largest timestamp. */
    pthread_mutex_lock(&log->mutex);
    weir_plog_segment_note_time(weir_plog_active(log));
    pthread_mutex_unlock(&log->mutex);
    return write_indexes(log, error);
}

/* ---- the list */

enum weir_err weir_plog_reserve_segment(struct weir_plog *log, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    pthread_mutex_lock(&log->mutex);
    if (log->segment_count == PLOG_SEGMENTS_MAX) {
        err = weir_error_set(error, WEIR_LIMIT, -1, "%s: more than %d segments", log->directory,
                             PLOG_SEGMENTS_MAX);
    } else if (log->segment_count == log->segment_capacity) {
        uint32_t capacity = log->segment_capacity > 0 ? 2 * log->segment_capacity : 4;
        struct plog_segment **segments =
            weir_realloc_array(log->segments, capacity, sizeof(struct plog_segment *));
        if (segments == NULL) {
            err = weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory for a segment",
                                 log->directory);
        } else {
            log->segments = segments;
            log->segment_capacity = capacity;
        }
    }
    pthread_mutex_unlock(&log->mutex);
    return err;
}

void weir_plog_push_segment(struct weir_plog *log, struct plog_segment *segment)
{
    pthread_mutex_lock(&log->mutex);
    log->segments[log->segment_count++] = segment;
    pthread_mutex_unlock(&log->mutex);
    log->active = segment;
    atomic_store(&log->directory_dirty, true);
}

void weir_plog_drop_segments(struct weir_plog *log, uint32_t count, const char *why)
{
    for (; count > 0; count--) {
        struct plog_segment *segment = log->segments[0];
        struct weir_error cause;

        pthread_mutex_lock(&log->mutex);
        log->segment_count--;
        memmove(log->segments, log->segments + 1,
                log->segment_count * sizeof(struct plog_segment *));
        /* The list is empty only in recovery, which sets the bounds itself. */
        if (log->segment_count > 0 &&
            log->segments[0]->offset_base > atomic_load(&log->offset_first))
            atomic_store(&log->offset_first, log->segments[0]->offset_base);
        atomic_fetch_sub(&log->bytes, segment->bytes);
        pthread_mutex_unlock(&log->mutex);
        if (weir_plog_segment_unlink(segment, PLOG_STAGE_NONE, &cause) != WEIR_OK)
            weir_log(&log->options.log, WEIR_LOG_WARN, "plog",
                     "a segment that is no longer part of the log stays on the disk: %s",
                     cause.message);
        weir_log(&log->options.log, WEIR_LOG_INFO, "plog", "%s: deleted (%s), %lld bytes",
                 segment->path, why, (long long)segment->bytes);
        weir_plog_segment_unref(segment);
        atomic_store(&log->directory_dirty, true);
    }
}

/* ---- snapshots of the producers */

void weir_plog_push_snapshot(struct weir_plog *log, int64_t offset)
{
    if (log->snapshots[0] >= 0) {
        char name[PLOG_NAME_BYTES], path[PLOG_PATH_BYTES];
        weir_plog_name(log->snapshots[0], ".snapshot", name);
        if (weir_plog_path(log->directory, name, path))
            (void)!weir_disk_unlink(log->disk, path, NULL);
    }
    memmove(log->snapshots, log->snapshots + 1, sizeof log->snapshots - sizeof log->snapshots[0]);
    log->snapshots[PLOG_SNAPSHOTS - 1] = offset;
}

void weir_plog_save_snapshot(struct weir_plog *log)
{
    int64_t offset = atomic_load(&log->offset_next);
    char name[PLOG_NAME_BYTES], path[PLOG_PATH_BYTES];
    struct weir_error error;

    if (log->snapshots[PLOG_SNAPSHOTS - 1] == offset || offset == 0)
        return;
    weir_plog_name(offset, ".snapshot", name);
    if (!weir_plog_path(log->directory, name, path))
        return;
    if (weir_plog_producers_save(&log->producers, log->disk, path, &error) == WEIR_OK)
        weir_plog_push_snapshot(log, offset);
    else
        weir_log(&log->options.log, WEIR_LOG_WARN, "plog",
                 "no snapshot of the producers, the next open scans more: %s", error.message);
}

/* ---- roll */

enum weir_err weir_plog_roll(struct weir_plog *log, struct weir_error *error)
{
    int64_t offset_next = atomic_load(&log->offset_next);
    struct plog_segment *segment, *sealed = weir_plog_active(log);
    enum weir_err err;

    weir_assert(sealed->bytes > 0);
    err = weir_plog_reserve_segment(log, error);
    /* In this order: where a segment exists behind it, one is sealed. */
    if (err == WEIR_OK)
        err = weir_plog_seal(log, error);
    if (err == WEIR_OK)
        err = weir_plog_segment_create(log->disk, log->directory, offset_next, PLOG_STAGE_NONE,
                                       &segment, error);
    if (err != WEIR_OK)
        return err;
    pthread_mutex_lock(&log->mutex);
    weir_plog_take_pending(sealed);
    weir_plog_lend_pending(log, segment);
    pthread_mutex_unlock(&log->mutex);
    atomic_store(&sealed->indexes_unsynced, true);
    segment->created_ms = weir_clock_wall_ms(log->options.clock);
    weir_plog_save_snapshot(log);
    weir_plog_push_segment(log, segment);
    return WEIR_OK;
}

/* ---- sync */

/* The first segment with bytes below `offset` or with indexes that are not flushed, with a
 * reference; and how far it goes. */
static struct plog_segment *take_unflushed(struct weir_plog *log, int64_t offset,
                                           int64_t *offset_out, bool *sealed_out)
{
    struct plog_segment *found = NULL;
    int64_t flushed = atomic_load(&log->offset_flushed);

    pthread_mutex_lock(&log->mutex);
    for (uint32_t i = 0; i < log->segment_count; i++) {
        struct plog_segment *segment = log->segments[i];
        bool sealed = i + 1 < log->segment_count;
        if ((segment->offset_next <= flushed || flushed >= offset) &&
            !(sealed && atomic_load(&segment->indexes_unsynced)))
            continue;
        found = segment;
        *offset_out = segment->offset_next;
        *sealed_out = sealed;
        weir_plog_segment_ref(found);
        break;
    }
    pthread_mutex_unlock(&log->mutex);
    return found;
}

static enum weir_err sync_up_to(struct weir_plog *log, int64_t offset, struct weir_error *cause)
{
    /* Names first: a file without one is lost with all it holds. */
    if (atomic_exchange(&log->directory_dirty, false)) {
        enum weir_err err = weir_disk_sync_directory(log->disk, log->directory, cause);
        if (err != WEIR_OK)
            return err;
    }
    for (;;) {
        int64_t upto = 0;
        bool sealed = false;
        struct plog_segment *segment = take_unflushed(log, offset, &upto, &sealed);
        enum weir_err err;
        if (segment == NULL)
            return WEIR_OK;
        err = weir_plog_segment_sync(segment, sealed, cause);
        if (err == WEIR_OK && sealed)
            atomic_store(&segment->indexes_unsynced, false);
        weir_plog_segment_unref(segment);
        if (err != WEIR_OK)
            return err;
        if (upto > atomic_load(&log->offset_flushed))
            atomic_store(&log->offset_flushed, upto);
    }
}

enum weir_err weir_plog_sync(struct weir_plog *log, struct weir_error *error)
{
    struct weir_error cause;
    enum weir_err err = weir_plog_check_writable(log, error);

    if (err != WEIR_OK)
        return err;
    pthread_mutex_lock(&log->sync_mutex);
    err = sync_up_to(log, atomic_load(&log->offset_next), &cause);
    pthread_mutex_unlock(&log->sync_mutex);
    return err == WEIR_OK ? WEIR_OK : fail(log, &cause, error);
}

/* ---- bounds */

bool weir_plog_is_writable(const struct weir_plog *log)
{
    return !atomic_load(&log->failed);
}

int64_t weir_plog_offset_first(const struct weir_plog *log)
{
    return atomic_load(&log->offset_first);
}

int64_t weir_plog_offset_next(const struct weir_plog *log)
{
    return atomic_load(&log->offset_next);
}

int64_t weir_plog_offset_flushed(const struct weir_plog *log)
{
    return atomic_load(&log->offset_flushed);
}

int64_t weir_plog_bytes(const struct weir_plog *log)
{
    return atomic_load(&log->bytes);
}
