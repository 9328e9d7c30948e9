/* A pass over a log: plog/cleaner.h. */
#include "plog/cleaner.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "plog/clean_batch.h"
#include "plog/clean_txns.h"
#include "plog/walk.h"

enum { WRITE_BYTES = 1 << 20, WINDOW_BYTES = 1 << 16 };

struct weir_plog_cleaning {
    struct weir_plog *log;
    const struct weir_disk *disk;
    struct weir_plog_clean_settings settings;
    int64_t segment_bytes;
    int32_t index_interval_bytes;
    struct plog_segment **sources; /* sealed, in their order; with a reference each */
    uint32_t source_count;
    int64_t *producers_last; /* the last offsets of the producers' last batches, ascending */
    uint32_t producer_count, producer_next;
    struct plog_key_map map;
    struct plog_clean_rules rules;
    struct plog_clean_txns txns;
    struct weir_buffer batch, written;
    struct weir_plog_cleaned cleaned;
    _Atomic bool cancelled;
    uint8_t window[WINDOW_BYTES];
    uint8_t pending_offsets[PLOG_INDEX_PENDING_MAX * PLOG_OFFSET_ENTRY_BYTES];
    uint8_t pending_times[PLOG_INDEX_PENDING_MAX * PLOG_TIME_ENTRY_BYTES];
};

/* ---- what there is to do (the owner's) */

static int64_t offset_dirty(const struct weir_plog *log,
                            const struct weir_plog_clean_settings *settings)
{
    int64_t first = weir_plog_offset_first(log), dirty = settings->offset_dirty;

    /* The end may have been lost with the power since it was written down. */
    return dirty > first && dirty <= weir_plog_offset_next(log) ? dirty : first;
}

/* Segments from the front that a pass may read: sealed, decided and, where dirty, old enough. */
static uint32_t count_cleanable(const struct weir_plog *log,
                                const struct weir_plog_clean_settings *settings, int64_t now_ms)
{
    int64_t stable = weir_plog_offset_stable(log), dirty = offset_dirty(log, settings);
    int64_t lag_ms = settings->min_compaction_lag_ms;
    uint32_t count = 0;

    for (; count + 1 < log->segment_count; count++) {
        const struct plog_segment *segment = log->segments[count];
        if (segment->offset_next > stable)
            break;
        if (lag_ms > 0 && segment->offset_next > dirty && segment->timestamp_max > now_ms - lag_ms)
            break;
    }
    return count;
}

void weir_plog_dirt(const struct weir_plog *log, const struct weir_plog_clean_settings *settings,
                    struct weir_plog_dirt *out)
{
    int64_t now_ms = weir_clock_wall_ms(log->options.clock), dirty = offset_dirty(log, settings);
    uint32_t count = count_cleanable(log, settings, now_ms);

    *out = (struct weir_plog_dirt){.dirty_since_ms = -1};
    for (uint32_t i = 0; i < count; i++) {
        const struct plog_segment *segment = log->segments[i];
        if (segment->offset_next <= dirty) {
            out->clean_bytes += segment->bytes;
            continue;
        }
        out->dirty_bytes += segment->bytes;
        if (out->dirty_since_ms < 0)
            out->dirty_since_ms = segment->created_ms;
    }
}

/* ---- life */

static int compare_offsets(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Where the producers' last batches end, so that an open without snapshots finds their state. */
static enum weir_err copy_producers(struct weir_plog_cleaning *c)
{
    const struct weir_map *map = &c->log->producers.map;
    uint32_t count = weir_map_count(map);

    c->producers_last = weir_calloc(count > 0 ? count : 1, sizeof *c->producers_last);
    if (c->producers_last == NULL)
        return WEIR_NOMEM;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(map, e)) != NULL;) {
        const struct plog_producer *producer = e->value.pointer;
        if (producer->batch_count > 0)
            c->producers_last[c->producer_count++] =
                producer->batches[producer->batch_newest].offset_last;
    }
    qsort(c->producers_last, c->producer_count, sizeof *c->producers_last, compare_offsets);
    return WEIR_OK;
}

static enum weir_err copy_sources(struct weir_plog_cleaning *c, uint32_t count)
{
    c->sources = weir_calloc(count, sizeof(struct plog_segment *));
    if (c->sources == NULL)
        return WEIR_NOMEM;
    for (; c->source_count < count; c->source_count++) {
        c->sources[c->source_count] = c->log->segments[c->source_count];
        weir_plog_segment_ref(c->sources[c->source_count]);
    }
    return WEIR_OK;
}

enum weir_err weir_plog_cleaning_new(struct weir_plog *log,
                                     const struct weir_plog_clean_settings *settings,
                                     struct weir_plog_cleaning **out, struct weir_error *error)
{
    int64_t now_ms = weir_clock_wall_ms(log->options.clock);
    uint32_t count = count_cleanable(log, settings, now_ms);
    int64_t dirty = offset_dirty(log, settings);
    struct weir_plog_cleaning *c;
    enum weir_err err;

    if (count == 0 || log->segments[count - 1]->offset_next <= dirty)
        return WEIR_END;
    c = weir_calloc(1, sizeof *c);
    if (c == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory to clean it", log->directory);
    c->log = log;
    c->disk = log->disk;
    c->settings = *settings;
    c->settings.offset_dirty = dirty;
    c->segment_bytes = log->options.segment_bytes;
    c->index_interval_bytes = log->options.index_interval_bytes;
    c->rules = (struct plog_clean_rules){
        .map = &c->map,
        .offset_end = dirty,
        .now_ms = now_ms,
        .delete_retention_ms = settings->delete_retention_ms,
    };
    weir_buffer_init(&c->rules.keep, INT32_MAX);
    weir_buffer_init(&c->batch, PLOG_SEGMENT_BYTES_MAX);
    weir_buffer_init(&c->written, PLOG_SEGMENT_BYTES_MAX);
    weir_plog_clean_txns_init(&c->txns);
    err = copy_sources(c, count);
    if (err == WEIR_OK)
        err = copy_producers(c);
    if (err == WEIR_OK)
        err = weir_plog_key_map_init(&c->map, settings->map_bytes);
    if (err != WEIR_OK) {
        weir_plog_cleaning_free(c);
        return weir_error_set(error, err, -1, "%s: no memory to clean it", log->directory);
    }
    *out = c;
    return WEIR_OK;
}

void weir_plog_cleaning_cancel(struct weir_plog_cleaning *cleaning)
{
    atomic_store(&cleaning->cancelled, true);
}

void weir_plog_cleaning_free(struct weir_plog_cleaning *c)
{
    for (uint32_t i = 0; i < c->source_count; i++)
        weir_plog_segment_unref(c->sources[i]);
    weir_free(c->sources);
    weir_free(c->producers_last);
    weir_plog_key_map_release(&c->map);
    weir_plog_clean_txns_release(&c->txns);
    weir_buffer_release(&c->rules.keep);
    weir_buffer_release(&c->batch);
    weir_buffer_release(&c->written);
    weir_free(c);
}

/* ---- reading */

static void walk_source(struct weir_plog_cleaning *c, const struct plog_segment *source,
                        struct plog_walk *walk)
{
    weir_plog_walk_init(walk, c->disk, source->fd, source->path, 0, source->bytes, c->window,
                        sizeof c->window);
}

static enum weir_err next_batch(struct weir_plog_cleaning *c, struct plog_walk *walk,
                                struct plog_head *head, int64_t *at, struct weir_error *error)
{
    if (atomic_load_explicit(&c->cancelled, memory_order_relaxed))
        return weir_error_set(error, WEIR_CLOSED, -1, "%s: the cleaning was cancelled", walk->path);
    return weir_plog_walk_next(walk, head, at, error);
}

/* The whole batch into c->batch. What is damaged must not get a new CRC. */
static enum weir_err load_batch(struct weir_plog_cleaning *c, const struct plog_walk *walk,
                                const struct plog_head *head, int64_t at, struct weir_error *error)
{
    size_t bytes = (size_t)head->bytes;
    enum weir_err err;

    weir_buffer_clear(&c->batch);
    err = weir_buffer_reserve(&c->batch, bytes);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "%s: no memory for a batch of %zu bytes", walk->path,
                              bytes);
    err = weir_disk_read(c->disk, walk->path, walk->fd, c->batch.data, bytes, at, error);
    if (err != WEIR_OK)
        return err;
    weir_buffer_commit(&c->batch, bytes);
    c->cleaned.bytes_read += head->bytes;
    if (plog_batch_crc(c->batch.data, head->bytes) != head->crc)
        return weir_error_set(error, WEIR_CORRUPT, at,
                              "%s: position %lld: the CRC of the batch at offset %lld is wrong",
                              walk->path, (long long)at, (long long)head->offset_base);
    return WEIR_OK;
}

/* ---- 1. the map */

/* END: the map is full; rules.offset_end is behind the last batch that went in whole. */
static enum weir_err note_source(struct weir_plog_cleaning *c, const struct plog_segment *source,
                                 struct weir_error *error)
{
    struct plog_walk walk;
    struct plog_head head;
    int64_t at;
    enum weir_err err;

    walk_source(c, source, &walk);
    while ((err = next_batch(c, &walk, &head, &at, error)) == WEIR_OK) {
        bool full = false;
        if (head.offset_last < c->settings.offset_dirty)
            continue;
        if (head.record_count > 0 && !(head.attributes & PLOG_CONTROL) &&
            !weir_plog_clean_txns_is_aborted(&c->txns, &head)) {
            err = load_batch(c, &walk, &head, at, error);
            if (err != WEIR_OK)
                return err;
            err = weir_plog_clean_note_keys(&c->map, weir_buffer_slice(&c->batch),
                                            c->settings.offset_dirty, &full, error);
        }
        if (err != WEIR_OK) {
            weir_error_context(error, "%s: position %lld", source->path, (long long)at);
            return err;
        }
        if (full)
            return WEIR_END;
        c->rules.offset_end = head.offset_last + 1;
    }
    if (err != WEIR_END)
        return err;
    c->rules.offset_end = source->offset_next;
    return WEIR_OK;
}

/* Up to where the map has room: the rest is left to the next pass. */
static enum weir_err note_keys(struct weir_plog_cleaning *c, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    for (uint32_t i = 0; err == WEIR_OK && i < c->source_count; i++) {
        if (c->sources[i]->offset_next > c->settings.offset_dirty)
            err = note_source(c, c->sources[i], error);
    }
    if (err != WEIR_OK && err != WEIR_END)
        return err;
    if (c->rules.offset_end <= c->settings.offset_dirty)
        return weir_error_set(error, WEIR_LIMIT, -1,
                              "%s: the batch at offset %lld has more keys than %zu bytes hold; "
                              "raise log.cleaner.dedupe.buffer.size",
                              c->log->directory, (long long)c->settings.offset_dirty,
                              c->settings.map_bytes);
    return WEIR_OK;
}

/* ---- 2. writing anew */

static enum weir_err flush(struct weir_plog_cleaning *c, struct plog_segment *target,
                           struct weir_error *error)
{
    int64_t at = target->bytes - (int64_t)c->written.bytes;
    enum weir_err err = weir_disk_write(c->disk, target->path, target->fd, c->written.data,
                                        c->written.bytes, at, error);

    c->cleaned.bytes_written += (int64_t)c->written.bytes;
    weir_buffer_clear(&c->written);
    return err;
}

/* Indexes the batch that was put behind the others in c->written. */
static enum weir_err note_batch(struct weir_plog_cleaning *c, struct plog_segment *target,
                                const struct plog_head *head, struct weir_error *error)
{
    if (target->bytes + head->bytes > PLOG_SEGMENT_BYTES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "%s: cleaned it would be over %lld bytes",
                              target->path, (long long)PLOG_SEGMENT_BYTES_MAX);
    if (weir_plog_index_full(&target->offsets) || weir_plog_index_full(&target->times)) {
        enum weir_err err = weir_plog_segment_write_indexes(target, error);
        if (err != WEIR_OK)
            return err;
        weir_plog_segment_indexes_written(target);
    }
    if (head->record_count > 0)
        weir_plog_segment_stamp(target, head->timestamp_max, head->offset_last);
    weir_plog_segment_note(target, c->index_interval_bytes, head->offset_last, head->bytes);
    target->bytes += head->bytes;
    return c->written.bytes >= WRITE_BYTES ? flush(c, target, error) : WEIR_OK;
}

static enum weir_err note_aborted(struct weir_plog_cleaning *c, struct plog_segment *target,
                                  const struct plog_txn_entry *entry, struct weir_error *error)
{
    char path[PLOG_PATH_BYTES];
    enum weir_err err;

    weir_plog_segment_path(target, ".txnindex" PLOG_STAGE_CLEANED, path);
    err = weir_plog_txn_index_write(&target->aborted, c->disk, path, entry, error);
    if (err == WEIR_OK)
        target->aborted.stored++;
    return err;
}

/* Is this the last batch of a producer? Asked in the order of the log. */
static bool is_producers_last(struct weir_plog_cleaning *c, const struct plog_head *head)
{
    while (c->producer_next < c->producer_count &&
           c->producers_last[c->producer_next] < head->offset_last)
        c->producer_next++;
    return head->producer_id >= 0 && c->producer_next < c->producer_count &&
           c->producers_last[c->producer_next] == head->offset_last;
}

/* last: of all that go into the target, which has to end where they do. */
static enum weir_err write_batch(struct weir_plog_cleaning *c, struct plog_segment *target,
                                 const struct plog_head *head, bool last, struct weir_error *error)
{
    struct plog_clean_case known = {.needed = last || is_producers_last(c, head)};
    const struct plog_txn_entry *entry = NULL;
    const size_t before = c->written.bytes;
    struct plog_head left;
    enum weir_err err = WEIR_OK;

    if (head->attributes & PLOG_CONTROL)
        known.orphan = weir_plog_clean_txns_marker(&c->txns, head, &entry);
    else if ((err = weir_plog_clean_txns_batch(&c->txns, head, &known.aborted)) != WEIR_OK)
        weir_error_set(error, err, -1, "no room for a transaction");
    if (err == WEIR_OK)
        err = weir_plog_clean_batch(&c->rules, weir_buffer_slice(&c->batch), head, &known,
                                    &c->written, error);
    if (err == WEIR_OK && entry != NULL)
        err = note_aborted(c, target, entry, error);
    if (err != WEIR_OK || c->written.bytes == before)
        return err;
    weir_assert(plog_head_read(c->written.data + before, &left));
    return note_batch(c, target, &left, error);
}

static enum weir_err write_source(struct weir_plog_cleaning *c, const struct plog_segment *source,
                                  bool last, struct plog_segment *target, struct weir_error *error)
{
    struct plog_walk walk;
    struct plog_head head;
    int64_t at;
    enum weir_err err;

    walk_source(c, source, &walk);
    while ((err = next_batch(c, &walk, &head, &at, error)) == WEIR_OK) {
        err = load_batch(c, &walk, &head, at, error);
        if (err != WEIR_OK)
            return err;
        err = write_batch(c, target, &head, last && walk.position == source->bytes, error);
        if (err != WEIR_OK) {
            weir_error_context(error, "%s: position %lld", source->path, (long long)at);
            return err;
        }
    }
    return err == WEIR_END ? WEIR_OK : err;
}

/* The rest of the target's files, synced. */
static enum weir_err finish_target(struct weir_plog_cleaning *c, struct plog_segment *target,
                                   struct weir_error *error)
{
    enum weir_err err = flush(c, target, error);

    if (err == WEIR_OK)
        err = weir_plog_segment_write_indexes(target, error);
    if (err != WEIR_OK)
        return err;
    weir_plog_segment_indexes_written(target);
    weir_plog_segment_note_time(target);
    err = weir_plog_segment_write_indexes(target, error);
    if (err != WEIR_OK)
        return err;
    weir_plog_segment_indexes_written(target);
    weir_plog_take_pending(target);
    return weir_plog_segment_sync(target, true, error);
}

static enum weir_err write_target(struct weir_plog_cleaning *c, struct plog_segment **sources,
                                  uint32_t count, struct plog_segment *target,
                                  struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    target->offsets.pending = c->pending_offsets;
    target->times.pending = c->pending_times;
    target->created_ms = sources[0]->created_ms;
    target->offset_next = sources[count - 1]->offset_next;
    weir_buffer_clear(&c->written);
    if (sources[0]->aborted.fd >= 0) {
        /* It replaces the list of that name, even by an empty one. */
        char path[PLOG_PATH_BYTES];
        weir_plog_segment_path(target, ".txnindex" PLOG_STAGE_CLEANED, path);
        err = weir_plog_txn_index_make(&target->aborted, c->disk, path, error);
    }
    for (uint32_t i = 0; err == WEIR_OK && i < count; i++)
        err = write_source(c, sources[i], i + 1 == count, target, error);
    return err == WEIR_OK ? finish_target(c, target, error) : err;
}

static enum weir_err clean_group(struct weir_plog_cleaning *c, struct plog_segment **sources,
                                 uint32_t count, struct weir_error *error)
{
    struct plog_segment *target;
    enum weir_err err = weir_plog_segment_create(
        c->disk, c->log->directory, sources[0]->offset_base, PLOG_STAGE_CLEANED, &target, error);

    if (err != WEIR_OK)
        return err;
    err = write_target(c, sources, count, target, error);
    if (err == WEIR_OK)
        return weir_plog_replace(c->log, sources, count, target, error);
    (void)!weir_plog_segment_unlink(target, PLOG_STAGE_CLEANED, NULL);
    weir_plog_segment_unref(target);
    return err;
}

/* How many segments from `first` on fit into one. */
static uint32_t group_size(const struct weir_plog_cleaning *c, uint32_t first, uint32_t count)
{
    int64_t bytes = c->sources[first]->bytes, base = c->sources[first]->offset_base;
    uint32_t size = 1;

    while (first + size < count) {
        const struct plog_segment *next = c->sources[first + size];
        bytes += next->bytes;
        if (bytes > c->segment_bytes || next->offset_next - base > INT32_MAX)
            break;
        size++;
    }
    return size;
}

enum weir_err weir_plog_cleaning_run(struct weir_plog_cleaning *c, struct weir_plog_cleaned *out,
                                     struct weir_error *error)
{
    uint32_t count = 0;
    /* A record that the power could still take must not replace one that is on the disk. */
    enum weir_err err = weir_plog_sync(c->log, error);

    c->cleaned.offset_dirty = c->settings.offset_dirty;
    if (err == WEIR_OK)
        err = weir_plog_clean_txns_load(&c->txns, c->log, c->sources[0]->offset_base,
                                        c->sources[c->source_count - 1]->offset_next, error);
    if (err == WEIR_OK)
        err = note_keys(c, error);
    while (count < c->source_count && c->sources[count]->offset_base < c->rules.offset_end)
        count++;
    for (uint32_t i = 0, size = 0; err == WEIR_OK && i < count; i += size) {
        size = group_size(c, i, count);
        err = clean_group(c, c->sources + i, size, error);
    }
    if (err == WEIR_OK)
        c->cleaned.offset_dirty = c->rules.offset_end;
    *out = c->cleaned;
    return err;
}
