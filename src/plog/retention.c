/* Trimming, retention, deletion. The contracts stand in plog/plog.h. */
#include "plog/log.h"

#include <stdio.h>

/* Segments at the front that end at or below the first offset; never the active one. */
static uint32_t count_below_first(const struct weir_plog *log)
{
    int64_t first = weir_plog_offset_first(log);
    uint32_t count = 0;

    while (count + 1 < log->segment_count && log->segments[count + 1]->offset_base <= first)
        count++;
    return count;
}

/* While a cleaning changes the list, they stay until weir_plog_maintain comes by. */
static void drop_below_first(struct weir_plog *log)
{
    if (pthread_mutex_trylock(&log->shape_mutex) != 0)
        return;
    weir_plog_drop_segments(log, count_below_first(log), "trimmed");
    pthread_mutex_unlock(&log->shape_mutex);
}

enum weir_err weir_plog_trim(struct weir_plog *log, int64_t offset, struct weir_error *error)
{
    enum weir_err err = weir_plog_check_writable(log, error);

    if (err != WEIR_OK)
        return err;
    if (offset < 0 || offset > weir_plog_offset_next(log))
        return weir_error_set(error, WEIR_NOT_FOUND, offset,
                              "%s: offset %lld is outside %lld..%lld", log->directory,
                              (long long)offset, (long long)weir_plog_offset_first(log),
                              (long long)weir_plog_offset_next(log));
    if (offset <= weir_plog_offset_first(log))
        return WEIR_OK;
    pthread_mutex_lock(&log->mutex);
    atomic_store(&log->offset_first, offset);
    pthread_mutex_unlock(&log->mutex);
    drop_below_first(log);
    return WEIR_OK;
}

static bool is_expired(const struct weir_plog *log, const struct plog_segment *segment,
                       int64_t now_ms)
{
    /* Without any timestamp the age of the segment has to do. */
    int64_t newest = segment->timestamp_max >= 0 ? segment->timestamp_max : segment->created_ms;

    return log->options.deletes && log->options.retention_ms >= 0 && segment->bytes > 0 &&
           now_ms - newest > log->options.retention_ms;
}

static uint32_t count_expired(const struct weir_plog *log, int64_t now_ms)
{
    uint32_t count = 0;

    while (count + 1 < log->segment_count && is_expired(log, log->segments[count], now_ms))
        count++;
    return count;
}

static uint32_t count_oversized(const struct weir_plog *log)
{
    int64_t excess = weir_plog_bytes(log) - log->options.retention_bytes;
    uint32_t count = 0;

    if (!log->options.deletes || log->options.retention_bytes < 0)
        return 0;
    while (count + 1 < log->segment_count && log->segments[count]->bytes <= excess)
        excess -= log->segments[count++]->bytes;
    return count;
}

/* Rolls the active segment when it is old, or when all is expired: it can only go once it is
 * sealed. Gives the number of segments that were deleted. */
static uint32_t maintain_segments(struct weir_plog *log, int64_t now_ms)
{
    struct plog_segment *active = weir_plog_active(log);
    uint32_t before = log->segment_count;
    bool expired =
        count_expired(log, now_ms) + 1 == log->segment_count && is_expired(log, active, now_ms);
    bool aged;

    if (now_ms < active->created_ms) /* the clock was set back: its age counts from here */
        active->created_ms = now_ms;
    aged = active->bytes > 0 && now_ms - active->created_ms > log->options.segment_ms;
    if (expired || aged) {
        struct weir_error error;
        if (weir_plog_roll(log, &error) == WEIR_OK)
            before++;
        else
            weir_log(&log->options.log, WEIR_LOG_WARN, "plog", "%s: cannot begin a segment: %s",
                     log->directory, error.message);
    }
    weir_plog_drop_segments(log, count_below_first(log), "trimmed");
    weir_plog_drop_segments(log, count_expired(log, now_ms), "retention by time");
    weir_plog_drop_segments(log, count_oversized(log), "retention by size");
    return before - log->segment_count;
}

uint32_t weir_plog_maintain(struct weir_plog *log)
{
    int64_t now_ms = weir_clock_wall_ms(log->options.clock);
    uint32_t dropped;

    weir_plog_producers_expire(&log->producers, now_ms, log->options.producer_id_expiration_ms);
    /* A cleaning that changes the list is soon done with it, and this is called again. */
    if (weir_plog_check_writable(log, NULL) != WEIR_OK ||
        pthread_mutex_trylock(&log->shape_mutex) != 0)
        return 0;
    dropped = maintain_segments(log, now_ms);
    pthread_mutex_unlock(&log->shape_mutex);
    return dropped;
}

/* ---- destroy */

struct destroying {
    const char *directory;
    const struct weir_disk *disk;
    struct weir_error *error;
};

static enum weir_err destroy_name(void *opaque, const char *name, bool is_directory)
{
    const struct destroying *destroying = opaque;
    char path[PLOG_PATH_BYTES];

    if (is_directory || !weir_plog_path(destroying->directory, name, path))
        return weir_error_set(destroying->error, WEIR_EXISTS, -1,
                              "%s/%s is not a file of a log; nothing of it is deleted",
                              destroying->directory, name);
    return weir_disk_unlink(destroying->disk, path, destroying->error);
}

enum weir_err weir_plog_destroy(const char *directory, const struct weir_disk *disk,
                                struct weir_error *error)
{
    struct destroying destroying = {
        .directory = directory,
        .disk = disk != NULL ? disk : weir_disk_real(),
        .error = error,
    };
    enum weir_err err =
        weir_disk_list(destroying.disk, directory, destroy_name, &destroying, error);

    return err == WEIR_OK ? weir_disk_rmdir(destroying.disk, directory, error) : err;
}
