/* Producers, the transactions they have open, and those that were aborted. The contracts stand in
 * plog/plog.h. */
#include "plog/log.h"

/* ---- the owner's */

enum weir_err weir_plog_take_marker(struct weir_plog *log, struct plog_segment *segment,
                                    const struct plog_head *head,
                                    const struct weir_plog_marker *marker, bool note,
                                    struct weir_error *error)
{
    int64_t now_ms = weir_clock_wall_ms(log->options.clock), first;
    enum weir_err err =
        weir_plog_producers_mark(&log->producers, head, marker->coordinator_epoch, now_ms, &first);
    int64_t unstable = weir_plog_producers_unstable(&log->producers);

    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "%s: no room for a producer", log->directory);
    /* The records are known as aborted before they can be read. */
    if (note && first >= 0 && !marker->commit) {
        struct plog_txn_entry entry = {
            .producer_id = head->producer_id,
            .offset_first = first,
            .offset_last = head->offset_last,
            .offset_stable = unstable < head->offset_last + 1 ? unstable : head->offset_last + 1,
        };
        char path[PLOG_PATH_BYTES];
        struct weir_error cause;
        bool made = segment->aborted.fd < 0;
        weir_plog_segment_path(segment, ".txnindex", path);
        err = weir_plog_txn_index_write(&segment->aborted, log->disk, path, &entry, &cause);
        if (err != WEIR_OK) {
            if (error != NULL)
                *error = cause;
            return weir_plog_fail(log, &cause);
        }
        if (made)
            atomic_store(&log->directory_dirty, true);
        pthread_mutex_lock(&log->mutex);
        segment->aborted.stored++;
        pthread_mutex_unlock(&log->mutex);
    }
    atomic_store(&log->offset_unstable, unstable);
    return WEIR_OK;
}

enum weir_err weir_plog_replay_control(struct weir_plog *log, struct plog_segment *segment,
                                       const struct plog_head *head, int64_t position, bool note,
                                       struct weir_error *error)
{
    uint8_t bytes[PLOG_MARKER_BYTES];
    struct weir_plog_marker marker;
    enum weir_err err;

    if (head->bytes != sizeof bytes)
        return WEIR_OK;
    err = weir_disk_read(segment->disk, segment->path, segment->fd, bytes, sizeof bytes, position,
                         error);
    if (err != WEIR_OK || !weir_plog_marker_read(head, bytes, &marker))
        return err;
    return weir_plog_take_marker(log, segment, head, &marker, note, error);
}

enum weir_err weir_plog_forget_aborted(struct plog_segment *segment, struct weir_error *error)
{
    char path[PLOG_PATH_BYTES];

    weir_plog_segment_path(segment, ".txnindex", path);
    return weir_plog_txn_index_reset(&segment->aborted, segment->disk, path, error);
}

bool weir_plog_transaction_after(const struct weir_plog *log, int64_t offset,
                                 struct weir_plog_transaction *out)
{
    const struct plog_producer *at = log->producers.txn_oldest;

    while (at != NULL && at->txn_offset_first <= offset)
        at = at->txn_younger;
    if (at == NULL)
        return false;
    *out = (struct weir_plog_transaction){
        .producer_id = at->id,
        .offset_first = at->txn_offset_first,
        .producer_epoch = at->epoch,
    };
    return true;
}

static struct weir_plog_producer told_of(const struct plog_producer *producer)
{
    bool has_batch = producer->batch_count > 0;
    const struct plog_producer_batch *newest = &producer->batches[producer->batch_newest];

    return (struct weir_plog_producer){
        .id = producer->id,
        .timestamp = has_batch ? newest->timestamp : -1,
        .offset_first = producer->txn_offset_first,
        .sequence_last = has_batch ? newest->sequence_last : -1,
        .coordinator_epoch = producer->coordinator_epoch,
        .epoch = producer->epoch,
    };
}

uint32_t weir_plog_producer_count(const struct weir_plog *log)
{
    return weir_map_count(&log->producers.map);
}

void weir_plog_each_producer(const struct weir_plog *log,
                             void (*each)(void *opaque, const struct weir_plog_producer *producer),
                             void *opaque)
{
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&log->producers.map, e)) != NULL;) {
        struct weir_plog_producer producer = told_of(e->value.pointer);
        each(opaque, &producer);
    }
}

bool weir_plog_producer_find(const struct weir_plog *log, int64_t id,
                             struct weir_plog_producer *out)
{
    const struct plog_producer *producer = weir_plog_producers_find(&log->producers, id);

    if (producer != NULL)
        *out = told_of(producer);
    return producer != NULL;
}

/* ---- any thread's */

int64_t weir_plog_offset_stable(const struct weir_plog *log)
{
    /* In this order: an append tells that it is unstable before it moves the end. */
    int64_t next = atomic_load(&log->offset_next), first = atomic_load(&log->offset_first);
    int64_t unstable = atomic_load(&log->offset_unstable);

    if (unstable > next)
        return next;
    return unstable > first ? unstable : first; /* records of it may be trimmed */
}

/* The segment that holds *offset or, if there is none, the first one behind it; with a reference.
 * Gives its entries as they stand, and moves *offset behind it. NULL: the end. */
static struct plog_segment *take_segment(struct weir_plog *log, int64_t *offset,
                                         struct plog_txn_index *index)
{
    struct plog_segment *found = NULL;

    pthread_mutex_lock(&log->mutex);
    for (uint32_t low = 0, high = log->segment_count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (log->segments[middle]->offset_next > *offset) {
            found = log->segments[middle];
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (found != NULL) {
        *index = found->aborted;
        *offset = found->offset_next;
        weir_plog_segment_ref(found);
    }
    pthread_mutex_unlock(&log->mutex);
    return found;
}

/* The entries of one segment; END: those behind can't touch the range. */
static enum weir_err list_entries(const struct plog_segment *segment,
                                  const struct plog_txn_index *index, int64_t offset_from,
                                  int64_t offset_end, plog_txn_entry_fn *each, void *opaque,
                                  struct weir_error *error)
{
    char path[PLOG_PATH_BYTES];
    uint32_t number;
    enum weir_err err;

    weir_plog_segment_path(segment, ".txnindex", path);
    err = weir_plog_txn_index_find(index, segment->disk, path, offset_from, &number, error);
    for (; err == WEIR_OK && number < index->stored; number++) {
        struct plog_txn_entry entry;
        err = weir_plog_txn_index_read(index, segment->disk, path, number, &entry, error);
        if (err == WEIR_OK && entry.offset_first < offset_end)
            err = each(opaque, &entry);
        /* What was not ended then began at or behind that offset. */
        if (err == WEIR_OK && entry.offset_stable >= offset_end)
            return WEIR_END;
    }
    return err;
}

enum weir_err weir_plog_aborted_entries(struct weir_plog *log, int64_t offset_from,
                                        int64_t offset_end, plog_txn_entry_fn *each, void *opaque,
                                        struct weir_error *error)
{
    int64_t offset = offset_from;
    enum weir_err err = WEIR_OK;

    while (err == WEIR_OK) {
        struct plog_txn_index index;
        struct plog_segment *segment = take_segment(log, &offset, &index);
        if (segment == NULL)
            return WEIR_OK;
        if (index.stored > 0)
            err = list_entries(segment, &index, offset_from, offset_end, each, opaque, error);
        weir_plog_segment_unref(segment);
    }
    return err == WEIR_END ? WEIR_OK : err;
}

/* The caller's function, which is told less. */
struct listing {
    weir_plog_aborted_fn *each;
    void *opaque;
};

static enum weir_err list_entry(void *opaque, const struct plog_txn_entry *entry)
{
    const struct listing *listing = opaque;

    return listing->each(listing->opaque, entry->producer_id, entry->offset_first);
}

enum weir_err weir_plog_aborted(struct weir_plog *log, int64_t offset_from, int64_t offset_end,
                                weir_plog_aborted_fn *each, void *opaque, struct weir_error *error)
{
    struct listing listing = {.each = each, .opaque = opaque};

    return weir_plog_aborted_entries(log, offset_from, offset_end, list_entry, &listing, error);
}
