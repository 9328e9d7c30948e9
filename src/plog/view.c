/* Finding and reading batches without the log's mutex: struct plog_view of plog/segment.h. */
#include "plog/segment.h"

#include "plog/walk.h"

void weir_plog_view_take(struct plog_view *view, struct plog_segment *segment, int64_t offset)
{
    struct plog_index_entry entry;

    *view = (struct plog_view){
        .segment = segment,
        .bytes = segment->bytes,
        .offset_next = segment->offset_next,
        .offsets_stored = segment->offsets.stored,
        .times_stored = segment->times.stored,
    };
    weir_plog_segment_ref(segment);
    if (segment->hint_offset == offset) {
        view->position = segment->hint_position;
        view->exact = true;
    } else if (weir_plog_index_search_pending(&segment->offsets, offset - segment->offset_base,
                                              &entry)) {
        view->position = entry.value;
    } else {
        view->search = view->offsets_stored > 0;
    }
}

/* Looks into the stored entries; a damaged index only costs a longer walk. */
static enum weir_err search_stored(struct plog_view *view, int64_t offset, struct weir_error *error)
{
    struct plog_segment *segment = view->segment;
    char path[PLOG_PATH_BYTES];
    struct plog_index_entry entry;
    enum weir_err err;

    view->search = false;
    if (atomic_load_explicit(&segment->index_damaged, memory_order_relaxed))
        return WEIR_OK;
    weir_plog_segment_path(segment, ".index", path);
    err = weir_plog_index_search_file(&segment->offsets, segment->disk, path, view->offsets_stored,
                                      offset - segment->offset_base, &entry, error);
    if (err == WEIR_OK && entry.value < view->bytes)
        view->position = entry.value;
    else if (err == WEIR_OK || err == WEIR_TRUNCATED)
        atomic_store_explicit(&segment->index_damaged, true, memory_order_relaxed);
    else if (err != WEIR_NOT_FOUND)
        return err;
    return WEIR_OK;
}

enum weir_err weir_plog_view_find(struct plog_view *view, int64_t offset, int64_t *position_out,
                                  struct plog_head *head, struct weir_error *error)
{
    struct plog_segment *segment = view->segment;
    uint8_t window[PLOG_WINDOW_BYTES];
    /* Of an exact position only the header is wanted; the batches come with the read. */
    size_t window_bytes = view->exact ? PLOG_HEAD_BYTES : sizeof window;
    struct plog_walk walk;
    enum weir_err err;

    if (view->search) {
        err = search_stored(view, offset, error);
        if (err != WEIR_OK)
            return err;
    }
    weir_plog_walk_init(&walk, segment->disk, segment->fd, segment->path, view->position,
                        view->bytes, window, window_bytes);
    for (bool first = true;; first = false) {
        err = weir_plog_walk_next(&walk, head, position_out, error);
        /* An index that points between batches or behind the offset would hide records. */
        if (first && view->position > 0 && !view->exact &&
            (err == WEIR_CORRUPT || (err == WEIR_OK && head->offset_base > offset))) {
            atomic_store_explicit(&segment->index_damaged, true, memory_order_relaxed);
            weir_plog_walk_init(&walk, segment->disk, segment->fd, segment->path, 0, view->bytes,
                                window, window_bytes);
            continue;
        }
        if (err != WEIR_OK)
            return err == WEIR_END ? WEIR_NOT_FOUND : err;
        if (head->offset_last >= offset)
            return WEIR_OK;
    }
}

/* Counts the whole batches at `data` that end below offset_end. */
static enum weir_err count_whole(const struct plog_view *view, struct plog_range *range,
                                 const uint8_t *data, size_t bytes, size_t *whole_out,
                                 struct weir_error *error)
{
    size_t whole = 0;
    struct plog_head head;

    while (bytes - whole >= PLOG_HEAD_BYTES) {
        if (!plog_head_read(data + whole, &head))
            return weir_error_set(error, WEIR_CORRUPT, range->position + (int64_t)whole,
                                  "%s: position %lld: not a record batch", view->segment->path,
                                  (long long)range->position + (long long)whole);
        if ((size_t)head.bytes > bytes - whole || head.offset_last >= range->offset_end)
            break;
        whole += (size_t)head.bytes;
        range->offset_next = head.offset_last + 1;
    }
    *whole_out = whole;
    return WEIR_OK;
}

enum weir_err weir_plog_view_read(const struct plog_view *view, struct plog_range *range,
                                  struct weir_buffer *into, struct weir_error *error)
{
    const struct plog_segment *segment = view->segment;
    size_t room = into->bytes_max - into->bytes;
    size_t bytes = range->bytes_max, whole = 0;
    enum weir_err err;

    if (bytes < range->first_bytes) {
        if (!range->at_least_one)
            return WEIR_OK;
        bytes = range->first_bytes;
    }
    if (range->first_bytes > room)
        return weir_error_set(error, WEIR_LIMIT, -1, "%s: a batch of %zu bytes, room for %zu",
                              segment->path, range->first_bytes, room);
    if (bytes > room)
        bytes = room;
    if ((int64_t)bytes > view->bytes - range->position)
        bytes = (size_t)(view->bytes - range->position);
    err = weir_buffer_reserve(into, bytes);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "%s: no room for %zu bytes", segment->path, bytes);
    err = weir_disk_read(segment->disk, segment->path, segment->fd, weir_buffer_end(into), bytes,
                         range->position, error);
    if (err == WEIR_TRUNCATED)
        err = WEIR_IO;
    if (err == WEIR_OK)
        err = count_whole(view, range, weir_buffer_end(into), bytes, &whole, error);
    if (err != WEIR_OK)
        return err;
    weir_buffer_commit(into, whole);
    range->position += (int64_t)whole;
    return WEIR_OK;
}
