/* Finding a record by its timestamp. The contract stands in plog/plog.h. */
#include "plog/log.h"

#include "plog/batch_time.h"
#include "plog/walk.h"

/* Takes a view of the first segment that ends behind offset_from and has such a timestamp. END:
 * there is none. */
static enum weir_err take_view(struct weir_plog *log, int64_t timestamp_ms, int64_t offset_from,
                               struct plog_view *view)
{
    enum weir_err err = WEIR_END;

    pthread_mutex_lock(&log->mutex);
    for (uint32_t i = 0; i < log->segment_count && err == WEIR_END; i++) {
        struct plog_segment *segment = log->segments[i];
        if (segment->offset_next <= offset_from || segment->timestamp_max < timestamp_ms)
            continue;
        weir_plog_view_take(view, segment, segment->offset_base);
        err = WEIR_OK;
    }
    pthread_mutex_unlock(&log->mutex);
    return err;
}

/* The last entry of the time index that is not younger. False: none, or no index. */
static bool search_times(struct weir_plog *log, const struct plog_view *view, int64_t timestamp_ms,
                         struct plog_index_entry *entry)
{
    struct plog_segment *segment = view->segment;
    char path[PLOG_PATH_BYTES];
    bool found;

    pthread_mutex_lock(&log->mutex);
    found = weir_plog_index_search_pending(&segment->times, timestamp_ms, entry);
    pthread_mutex_unlock(&log->mutex);
    if (found || view->times_stored == 0)
        return found;
    weir_plog_segment_path(segment, ".timeindex", path);
    /* Without the index the walk is longer, no more. */
    return weir_plog_index_search_file(&segment->times, segment->disk, path, view->times_stored,
                                       timestamp_ms, entry, NULL) == WEIR_OK;
}

/* Where in the segment to begin: at or before the first batch that will do. */
static enum weir_err first_position(struct weir_plog *log, const struct plog_view *view,
                                    int64_t timestamp_ms, int64_t *at, struct weir_error *error)
{
    struct plog_index_entry entry;
    struct plog_view from;
    struct plog_head head;
    enum weir_err err;

    *at = 0;
    if (!search_times(log, view, timestamp_ms, &entry))
        return WEIR_OK;
    pthread_mutex_lock(&log->mutex);
    weir_plog_view_take(&from, view->segment, view->segment->offset_base + entry.value);
    pthread_mutex_unlock(&log->mutex);
    err = weir_plog_view_find(&from, view->segment->offset_base + entry.value, at, &head, error);
    weir_plog_segment_unref(from.segment);
    /* An entry names the first batch that has its timestamp, so that all before are older. One that
     * does not is damaged. */
    if (err == WEIR_NOT_FOUND || (err == WEIR_OK && head.timestamp_max != entry.key)) {
        *at = 0;
        err = WEIR_OK;
    }
    return err;
}

/* NOT_FOUND: no record of the segment will do. */
static enum weir_err find_in_segment(struct weir_plog *log, const struct plog_view *view,
                                     int64_t timestamp_ms, int64_t *offset_out,
                                     int64_t *timestamp_out, struct weir_error *error)
{
    const struct plog_segment *segment = view->segment;
    int64_t first = weir_plog_offset_first(log), at;
    uint8_t window[PLOG_WINDOW_BYTES];
    struct plog_walk walk;
    struct plog_head head;
    enum weir_err err = first_position(log, view, timestamp_ms, &at, error);

    if (err != WEIR_OK)
        return err;
    weir_plog_walk_init(&walk, segment->disk, segment->fd, segment->path, at, view->bytes, window,
                        sizeof window);
    while ((err = weir_plog_walk_next(&walk, &head, &at, error)) == WEIR_OK) {
        if (head.timestamp_max < timestamp_ms || head.offset_last < first)
            continue;
        err = weir_plog_batch_find_time(segment, at, &head, first, timestamp_ms, offset_out,
                                        timestamp_out, error);
        if (err != WEIR_NOT_FOUND)
            return err;
    }
    return err == WEIR_END ? WEIR_NOT_FOUND : err;
}

enum weir_err weir_plog_find_time(struct weir_plog *log, int64_t timestamp_ms, int64_t *offset_out,
                                  int64_t *timestamp_out, struct weir_error *error)
{
    int64_t offset_from = weir_plog_offset_first(log);
    struct plog_view view;

    /* Records without a timestamp (-1) are never the answer. */
    if (timestamp_ms < 0)
        timestamp_ms = 0;
    while (take_view(log, timestamp_ms, offset_from, &view) == WEIR_OK) {
        enum weir_err err =
            find_in_segment(log, &view, timestamp_ms, offset_out, timestamp_out, error);
        weir_plog_segment_unref(view.segment);
        if (err != WEIR_NOT_FOUND)
            return err;
        /* What had the timestamp is below the first offset; the next segment may do. */
        offset_from = view.offset_next;
    }
    return weir_error_set(error, WEIR_NOT_FOUND, -1, "%s: all records are older than %lld",
                          log->directory, (long long)timestamp_ms);
}

int64_t weir_plog_timestamp_max(struct weir_plog *log)
{
    int64_t largest = -1;

    pthread_mutex_lock(&log->mutex);
    for (uint32_t i = 0; i < log->segment_count; i++)
        if (log->segments[i]->timestamp_max > largest)
            largest = log->segments[i]->timestamp_max;
    pthread_mutex_unlock(&log->mutex);
    return largest;
}
