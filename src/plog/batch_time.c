/* Looking into one batch: plog/batch_time.h. */
#include "plog/batch_time.h"

#include "base/alloc.h"

/* What is sought, and the batch it is sought in. */
struct seeking {
    const struct plog_head *head;
    int64_t offset_first, timestamp_ms;
    int64_t *offset_out, *timestamp_out;
};

/* A zigzag varint at *at; false: it does not end before `end`. */
static bool get_varint(const uint8_t **at, const uint8_t *end, int64_t *value)
{
    uint64_t bits = 0;

    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        bits |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = (int64_t)(bits >> 1) ^ -(int64_t)(bits & 1);
            return true;
        }
    }
    return false;
}

/* Source of the layout: kafka.apache.org/documentation, "Record". */
static enum weir_err seek_record(const struct seeking *seeking, const uint8_t *at,
                                 const uint8_t *end)
{
    for (int32_t i = 0; i < seeking->head->record_count; i++) {
        int64_t length, timestamp_delta, offset_delta, timestamp, offset;
        const uint8_t *record;
        if (!get_varint(&at, end, &length) || length < 1 || length > end - at)
            return WEIR_CORRUPT;
        record = at + 1; /* behind the attributes */
        at += length;
        if (!get_varint(&record, at, &timestamp_delta) || !get_varint(&record, at, &offset_delta) ||
            __builtin_add_overflow(seeking->head->timestamp_base, timestamp_delta, &timestamp) ||
            __builtin_add_overflow(seeking->head->offset_base, offset_delta, &offset))
            return WEIR_CORRUPT;
        if (offset >= seeking->offset_first && timestamp >= seeking->timestamp_ms) {
            *seeking->offset_out = offset;
            *seeking->timestamp_out = timestamp;
            return WEIR_OK;
        }
    }
    return WEIR_NOT_FOUND;
}

enum weir_err weir_plog_batch_find_time(const struct plog_segment *segment, int64_t at,
                                        const struct plog_head *head, int64_t offset_first,
                                        int64_t timestamp_ms, int64_t *offset_out,
                                        int64_t *timestamp_out, struct weir_error *error)
{
    const struct seeking seeking = {
        .head = head,
        .offset_first = offset_first,
        .timestamp_ms = timestamp_ms,
        .offset_out = offset_out,
        .timestamp_out = timestamp_out,
    };
    uint8_t *batch;
    enum weir_err err;

    if (head->attributes & PLOG_LOG_APPEND_TIME) {
        /* All its records have the one timestamp. */
        *offset_out = head->offset_base > offset_first ? head->offset_base : offset_first;
        *timestamp_out = head->timestamp_max;
        return WEIR_OK;
    }
    batch = weir_alloc((size_t)head->bytes);
    if (batch == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory for a batch", segment->path);
    err = weir_disk_read(segment->disk, segment->path, segment->fd, batch, (size_t)head->bytes, at,
                         error);
    if (err == WEIR_OK && (head->attributes & PLOG_CODEC_MASK) != 0) {
        weir_error_set(error, WEIR_UNSUPPORTED, at, "%s: position %lld: compressed batch",
                       segment->path, (long long)at);
        err = WEIR_UNSUPPORTED;
    } else if (err == WEIR_OK) {
        err = seek_record(&seeking, batch + PLOG_HEAD_BYTES, batch + head->bytes);
    }
    if (err == WEIR_CORRUPT)
        weir_error_set(error, err, at, "%s: position %lld: a batch with records that are not whole",
                       segment->path, (long long)at);
    weir_free(batch);
    return err;
}
