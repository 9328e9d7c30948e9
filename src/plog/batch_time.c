/* Looking into one batch: plog/batch_time.h. */
#include "plog/batch_time.h"

#include "base/alloc.h"
#include "wire/record_batch.h"

static enum weir_err seek_record(const uint8_t *bytes, const struct plog_head *head,
                                 int64_t offset_first, int64_t timestamp_ms, int64_t *offset_out,
                                 int64_t *timestamp_out, struct weir_error *error)
{
    struct wire_batch batch;
    struct wire_walk walk;
    struct wire_record record;
    enum weir_err err = wire_batch_read(weir_slice(bytes, (size_t)head->bytes), &batch, error);

    if (err != WEIR_OK)
        return err;
    err = wire_walk_init(&walk, &batch, PLOG_INFLATED_BYTES_MAX, error);
    while (err == WEIR_OK && (err = wire_walk_next(&walk, &record, error)) == WEIR_OK) {
        if (record.offset < offset_first || record.timestamp_ms < timestamp_ms)
            continue;
        *offset_out = record.offset;
        *timestamp_out = record.timestamp_ms;
        break;
    }
    wire_walk_release(&walk);
    return err == WEIR_END ? WEIR_NOT_FOUND : err;
}

enum weir_err weir_plog_batch_find_time(const struct plog_segment *segment, int64_t at,
                                        const struct plog_head *head, int64_t offset_first,
                                        int64_t timestamp_ms, int64_t *offset_out,
                                        int64_t *timestamp_out, struct weir_error *error)
{
    uint8_t *bytes;
    enum weir_err err;

    if (head->attributes & PLOG_LOG_APPEND_TIME &&
        head->record_count == head->last_offset_delta + 1) {
        /* All its records have the one timestamp, and compaction has taken none. */
        *offset_out = head->offset_base > offset_first ? head->offset_base : offset_first;
        *timestamp_out = head->timestamp_max;
        return WEIR_OK;
    }
    bytes = weir_alloc((size_t)head->bytes);
    if (bytes == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory for a batch", segment->path);
    err = weir_disk_read(segment->disk, segment->path, segment->fd, bytes, (size_t)head->bytes, at,
                         error);
    if (err == WEIR_OK) {
        err =
            seek_record(bytes, head, offset_first, timestamp_ms, offset_out, timestamp_out, error);
        if (err != WEIR_OK && err != WEIR_NOT_FOUND)
            weir_error_context(error, "%s: position %lld", segment->path, (long long)at);
    }
    weir_free(bytes);
    return err;
}
