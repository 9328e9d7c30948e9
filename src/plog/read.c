/* Reading and finding by time, from any thread. The contract stands in plog/plog.h. */
#include "plog/log.h"

#include "base/assert.h"

static enum weir_err out_of_range(const struct weir_plog *log, int64_t offset,
                                  struct weir_error *error)
{
    return weir_error_set(error, WEIR_NOT_FOUND, offset, "%s: offset %lld is outside %lld..%lld",
                          log->directory, (long long)offset, (long long)weir_plog_offset_first(log),
                          (long long)weir_plog_offset_next(log));
}

/* The number of the last segment that begins at or before offset; mutex held. */
static uint32_t segment_number(const struct weir_plog *log, int64_t offset)
{
    uint32_t low = 0, count = log->segment_count;

    while (count > 1) {
        uint32_t half = count / 2;
        if (log->segments[low + half]->offset_base <= offset) {
            low += half;
            count -= half;
        } else {
            count = half;
        }
    }
    return low;
}

/* Takes a view of the segment that holds offset; *base_next_out: where the one behind it begins, or
 * -1. NOT_FOUND: outside of the log. END: offset is the next one. */
static enum weir_err take_view(struct weir_plog *log, int64_t offset, struct plog_view *view,
                               int64_t *base_next_out)
{
    enum weir_err err = WEIR_OK;

    pthread_mutex_lock(&log->mutex);
    if (offset < atomic_load(&log->offset_first) || offset > atomic_load(&log->offset_next)) {
        err = WEIR_NOT_FOUND;
    } else if (offset == atomic_load(&log->offset_next)) {
        err = WEIR_END;
    } else {
        uint32_t number = segment_number(log, offset);
        weir_plog_view_take(view, log->segments[number], offset);
        *base_next_out =
            number + 1 < log->segment_count ? log->segments[number + 1]->offset_base : -1;
    }
    pthread_mutex_unlock(&log->mutex);
    return err;
}

/* Leaves a view; where a read ended is the hint for the next one. */
static void leave_view(struct weir_plog *log, struct plog_view *view, int64_t hint_offset,
                       int64_t hint_position)
{
    if (hint_offset >= 0) {
        pthread_mutex_lock(&log->mutex);
        view->segment->hint_offset = hint_offset;
        view->segment->hint_position = hint_position;
        pthread_mutex_unlock(&log->mutex);
    }
    weir_plog_segment_unref(view->segment);
}

/* What a read goes on with from segment to segment. */
struct reading {
    int64_t offset; /* next to read */
    int64_t offset_end;
    size_t bytes_left;
    bool at_least_one;
};

/* Reads on in the segment that holds reading->offset. END: nothing more to read. */
static enum weir_err read_segment(struct weir_plog *log, struct reading *reading,
                                  struct weir_buffer *into, struct weir_error *error)
{
    struct plog_view view;
    struct plog_head head;
    struct plog_range range = {
        .offset_end = reading->offset_end,
        .offset_next = -1,
        .bytes_max = reading->bytes_left,
        .at_least_one = reading->at_least_one,
    };
    int64_t base_next = -1;
    size_t before = into->bytes;
    enum weir_err err = take_view(log, reading->offset, &view, &base_next);

    if (err != WEIR_OK)
        return err;
    err = weir_plog_view_find(&view, reading->offset, &range.position, &head, error);
    if (err == WEIR_OK && head.offset_last >= reading->offset_end) {
        err = WEIR_END;
    } else if (err == WEIR_OK) {
        range.first_bytes = (size_t)head.bytes;
        err = weir_plog_view_read(&view, &range, into, error);
        if (err == WEIR_OK && into->bytes == before)
            err = WEIR_END;
    } else if (err == WEIR_NOT_FOUND) {
        /* A segment may end before the next one begins: records that were cleaned away. */
        range.offset_next = base_next;
        err = base_next >= 0 ? WEIR_OK : WEIR_END;
    }
    if (err == WEIR_OK) {
        size_t given = into->bytes - before;
        reading->offset = range.offset_next;
        reading->bytes_left -= given < reading->bytes_left ? given : reading->bytes_left;
        reading->at_least_one = reading->at_least_one && given == 0;
        /* Only the end of the segment is worth going on to the next. */
        if (given > 0 && range.position < view.bytes)
            err = WEIR_END;
    }
    leave_view(log, &view, into->bytes > before ? range.offset_next : -1, range.position);
    return err;
}

enum weir_err weir_plog_read(struct weir_plog *log, int64_t offset, int64_t offset_end,
                             size_t bytes_max, bool at_least_one, struct weir_buffer *into,
                             struct weir_error *error)
{
    struct reading reading = {
        .offset = offset,
        .offset_end = offset_end >= 0 ? offset_end : INT64_MAX,
        .bytes_left = bytes_max,
        .at_least_one = at_least_one,
    };
    const size_t before = into->bytes;
    enum weir_err err;

    do
        err = read_segment(log, &reading, into, error);
    while (err == WEIR_OK && (reading.bytes_left > 0 || reading.at_least_one));
    if (err == WEIR_END)
        return WEIR_OK;
    if (err == WEIR_OK || into->bytes > before) {
        /* What was read stands; the next read meets the failure again. */
        return WEIR_OK;
    }
    return err == WEIR_NOT_FOUND ? out_of_range(log, offset, error) : err;
}

int64_t weir_plog_batches_end(struct weir_slice batches)
{
    int64_t end = -1;

    for (size_t at = 0; batches.bytes - at >= PLOG_HEAD_BYTES;) {
        struct plog_head head;
        if (!plog_head_read((const uint8_t *)batches.data + at, &head) ||
            (size_t)head.bytes > batches.bytes - at)
            break;
        end = head.offset_last + 1;
        at += (size_t)head.bytes;
    }
    return end;
}
