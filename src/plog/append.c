/* Appending: checks, stamps, one write. The contract stands in plog/plog.h. */
#include "plog/log.h"

#include "base/assert.h"
#include "plog/marker.h"

/* The batches of one append, checked. */
struct incoming {
    uint8_t *bytes;
    int64_t byte_count;
    int64_t offset_count;   /* offsets they take */
    struct plog_head first; /* header of the first, offsets as they came */
    uint32_t batch_count;
    const struct weir_plog_marker *marker; /* it is one; NULL = a producer's records */
};

static enum weir_err refuse(enum weir_plog_refusal refusal, enum weir_plog_refusal *refusal_out,
                            struct weir_error *error, const char *format, ...) WEIR_PRINTF(4, 5);

static enum weir_err refuse(enum weir_plog_refusal refusal, enum weir_plog_refusal *refusal_out,
                            struct weir_error *error, const char *format, ...)
{
    enum weir_err err = WEIR_INVALID;
    va_list args;

    if (refusal == WEIR_PLOG_CORRUPT_MESSAGE)
        err = WEIR_CORRUPT;
    else if (refusal == WEIR_PLOG_RECORD_TOO_LARGE)
        err = WEIR_LIMIT;
    else if (refusal == WEIR_PLOG_INVALID_PRODUCER_EPOCH)
        err = WEIR_FENCED;
    *refusal_out = refusal;
    va_start(args, format);
    weir_error_setv(error, err, -1, format, args);
    va_end(args);
    return err;
}

/* ---- checks */

static enum weir_err check_batch(const struct weir_plog *log, const struct plog_head *head,
                                 const uint8_t *bytes, enum weir_plog_refusal *refusal,
                                 struct weir_error *error)
{
    if (head->bytes > log->options.message_bytes_max)
        return refuse(WEIR_PLOG_RECORD_TOO_LARGE, refusal, error,
                      "a batch of %lld bytes, max.message.bytes is %d", (long long)head->bytes,
                      (int)log->options.message_bytes_max);
    if (plog_batch_crc(bytes, head->bytes) != head->crc)
        return refuse(WEIR_PLOG_CORRUPT_MESSAGE, refusal, error, "the CRC of a batch is wrong");
    if (head->record_count == 0)
        return refuse(WEIR_PLOG_INVALID_RECORD, refusal, error, "a batch without records");
    if (head->record_count - 1 != head->last_offset_delta)
        return refuse(WEIR_PLOG_CORRUPT_MESSAGE, refusal, error,
                      "%d records, but a last offset delta of %d", (int)head->record_count,
                      (int)head->last_offset_delta);
    /* The smallest record has 7 bytes: length, attributes, two deltas, null key and value, no
     * headers. */
    if ((head->attributes & PLOG_CODEC_MASK) == 0 &&
        (head->bytes - PLOG_HEAD_BYTES) / 7 < head->record_count)
        return refuse(WEIR_PLOG_CORRUPT_MESSAGE, refusal, error, "%d records in %lld bytes",
                      (int)head->record_count, (long long)head->bytes);
    if ((head->attributes & PLOG_CODEC_MASK) > 4)
        return refuse(WEIR_PLOG_INVALID_RECORD, refusal, error, "unknown compression %d",
                      head->attributes & PLOG_CODEC_MASK);
    if (head->attributes & PLOG_CONTROL)
        return refuse(WEIR_PLOG_INVALID_RECORD, refusal, error,
                      "control batches are not a client's to write");
    if (head->attributes & PLOG_LOG_APPEND_TIME)
        return refuse(WEIR_PLOG_INVALID_RECORD, refusal, error,
                      "the timestamp type LogAppendTime is not a client's to set");
    if (head->producer_id >= 0 && (head->producer_epoch < 0 || head->sequence_base < 0))
        return refuse(WEIR_PLOG_INVALID_RECORD, refusal, error,
                      "producer %lld without epoch or sequence", (long long)head->producer_id);
    if (head->producer_id < 0 && head->attributes & PLOG_TRANSACTIONAL)
        return refuse(WEIR_PLOG_INVALID_RECORD, refusal, error,
                      "a transactional batch without a producer id");
    return WEIR_OK;
}

static enum weir_err check_batches(const struct weir_plog *log, struct incoming *in,
                                   enum weir_plog_refusal *refusal, struct weir_error *error)
{
    int64_t at = 0;
    bool idempotent = false;

    while (at < in->byte_count) {
        int64_t left = in->byte_count - at;
        struct plog_head head;
        enum weir_err err;

        if (left < PLOG_HEAD_BYTES || !plog_head_read(in->bytes + at, &head) || head.bytes > left)
            return refuse(WEIR_PLOG_CORRUPT_MESSAGE, refusal, error,
                          "byte %lld begins no whole record batch of version 2", (long long)at);
        err = check_batch(log, &head, in->bytes + at, refusal, error);
        if (err != WEIR_OK)
            return err;
        if (in->batch_count == 0)
            in->first = head;
        idempotent = idempotent || head.producer_id >= 0;
        in->batch_count++;
        in->offset_count += (int64_t)head.last_offset_delta + 1;
        at += head.bytes;
    }
    if (in->batch_count == 0)
        return refuse(WEIR_PLOG_INVALID_RECORD, refusal, error, "no record batch");
    if (idempotent && in->batch_count > 1)
        return refuse(WEIR_PLOG_INVALID_RECORD, refusal, error,
                      "%u batches of an idempotent producer at once, 1 is allowed",
                      (unsigned)in->batch_count);
    if (in->byte_count > log->options.segment_bytes)
        return refuse(WEIR_PLOG_RECORD_TOO_LARGE, refusal, error,
                      "%lld bytes do not fit a segment of %lld", (long long)in->byte_count,
                      (long long)log->options.segment_bytes);
    if (in->offset_count > INT32_MAX ||
        in->offset_count > INT64_MAX - 1 - weir_plog_offset_next(log))
        return refuse(WEIR_PLOG_INVALID_RECORD, refusal, error, "more records than offsets");
    return WEIR_OK;
}

/* *done_out: the batch is a repeat, *out is filled and nothing is to be written. */
static enum weir_err check_producer(struct weir_plog *log, const struct incoming *in,
                                    struct weir_plog_appended *out, bool *done_out,
                                    enum weir_plog_refusal *refusal, struct weir_error *error)
{
    const struct plog_head *head = &in->first;
    const struct plog_producer_batch *repeat;
    enum weir_plog_refusal verdict;

    *done_out = false;
    if (head->producer_id < 0)
        return WEIR_OK;
    verdict = weir_plog_producers_check(&log->producers, head, &repeat);
    if (verdict != WEIR_PLOG_ACCEPTED)
        return refuse(verdict, refusal, error, "producer %lld, epoch %d: sequence %d: %s",
                      (long long)head->producer_id, head->producer_epoch, head->sequence_base,
                      verdict == WEIR_PLOG_INVALID_PRODUCER_EPOCH ? "a newer epoch is known"
                      : verdict == WEIR_PLOG_INVALID_TXN_STATE    ? "is not of its transaction"
                      : verdict == WEIR_PLOG_DUPLICATE_SEQUENCE   ? "was here before"
                                                                  : "is not the next one");
    if (repeat != NULL) {
        *out = (struct weir_plog_appended){
            .offset_base = repeat->offset_last - repeat->offset_delta,
            .offset_last = repeat->offset_last,
            .append_time_ms = log->options.log_append_time ? repeat->timestamp : -1,
            .duplicate = true,
        };
        *done_out = true;
        return WEIR_OK;
    }
    if (weir_plog_producers_prepare(&log->producers, head) != WEIR_OK) {
        *refusal = WEIR_PLOG_STORAGE;
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory for a producer",
                              log->directory);
    }
    return WEIR_OK;
}

/* ---- stamps and write */

static bool needs_roll(const struct weir_plog *log, const struct incoming *in, int64_t offset_next,
                       int64_t now_ms)
{
    const struct plog_segment *active = weir_plog_active(log);

    if (active->bytes == 0)
        return false;
    return active->bytes + in->byte_count > log->options.segment_bytes ||
           offset_next + in->offset_count - 1 - active->offset_base > INT32_MAX ||
           now_ms - active->created_ms > log->options.segment_ms;
}

/* Patches offsets, epoch and, if the log sets them, the times of all batches. Gives the largest
 * timestamp and the last offset of the batch that has it, and the last offset of the first one. */
static void stamp(const struct weir_plog *log, const struct incoming *in, int64_t offset,
                  int32_t leader_epoch, int64_t now_ms, struct plog_head *first,
                  int64_t *timestamp_max, int64_t *timestamp_max_offset)
{
    *timestamp_max = -1;
    *timestamp_max_offset = offset;
    for (int64_t at = 0; at < in->byte_count;) {
        uint8_t *batch = in->bytes + at;
        struct plog_head head;

        /* Checked before; the offset may make it fail only where offsets end, which was checked
         * too. */
        plog_put64(batch, offset);
        plog_put32(batch + 12, (uint32_t)leader_epoch);
        if (log->options.log_append_time) {
            plog_put16(batch + 21, plog_get16(batch + 21) | PLOG_LOG_APPEND_TIME);
            plog_put64(batch + 35, now_ms);
            plog_put32(batch + 17, plog_batch_crc(batch, (int64_t)(int32_t)plog_get32(batch + 8) +
                                                             PLOG_HEAD_LENGTH_END));
        }
        weir_assert(plog_head_read(batch, &head));
        if (at == 0)
            *first = head;
        if (head.timestamp_max > *timestamp_max) {
            *timestamp_max = head.timestamp_max;
            *timestamp_max_offset = head.offset_last;
        }
        offset = head.offset_last + 1;
        at += head.bytes;
    }
}

/* Cuts off what a failed write left, as far as the disk lets us: it was not acknowledged. */
static enum weir_err write_failed(struct weir_plog *log, const struct plog_segment *active,
                                  struct weir_error *cause, struct weir_error *error)
{
    (void)!weir_disk_truncate(log->disk, active->path, active->fd, active->bytes, NULL);
    weir_plog_fail(log, cause);
    if (error != NULL) {
        *error = *cause;
        error->code = WEIR_IO;
        error->fatal = true;
    }
    return WEIR_IO;
}

/* Writes the stamped batches and lets readers see them. */
static enum weir_err write_batches(struct weir_plog *log, const struct incoming *in,
                                   int32_t leader_epoch, int64_t now_ms,
                                   struct weir_plog_appended *out, struct weir_error *error)
{
    int64_t offset = weir_plog_offset_next(log), timestamp_max, timestamp_max_offset;
    struct plog_segment *active = weir_plog_active(log);
    struct weir_error cause;
    struct plog_head first = {0};
    enum weir_err err;

    stamp(log, in, offset, leader_epoch, now_ms, &first, &timestamp_max, &timestamp_max_offset);
    err = weir_disk_write(log->disk, active->path, active->fd, in->bytes, (size_t)in->byte_count,
                          active->bytes, &cause);
    if (err != WEIR_OK)
        return write_failed(log, active, &cause, error);

    if (active->bytes == 0)
        active->created_ms = now_ms;
    if (first.producer_id >= 0 && in->marker == NULL) {
        /* Its place was made before. What begins a transaction is unstable before it is seen. */
        err = weir_plog_producers_add(&log->producers, &first, now_ms);
        weir_assert(err == WEIR_OK);
        atomic_store(&log->offset_unstable, weir_plog_producers_unstable(&log->producers));
    }
    pthread_mutex_lock(&log->mutex);
    weir_plog_segment_stamp(active, timestamp_max, timestamp_max_offset);
    weir_plog_segment_note(active, log->options.index_interval_bytes, first.offset_last,
                           in->byte_count);
    active->bytes += in->byte_count;
    active->offset_next = offset + in->offset_count;
    atomic_store(&log->offset_next, active->offset_next);
    atomic_fetch_add(&log->bytes, in->byte_count);
    pthread_mutex_unlock(&log->mutex);
    *out = (struct weir_plog_appended){
        .offset_base = offset,
        .offset_last = offset + in->offset_count - 1,
        .append_time_ms = log->options.log_append_time ? now_ms : -1,
    };
    return WEIR_OK;
}

/* Rolls if need be, then writes what was checked. */
static enum weir_err write_checked(struct weir_plog *log, const struct incoming *in,
                                   int32_t leader_epoch, struct weir_plog_appended *out,
                                   struct weir_error *error)
{
    int64_t now_ms = weir_clock_wall_ms(log->options.clock);
    enum weir_err err = WEIR_OK;

    if (needs_roll(log, in, weir_plog_offset_next(log), now_ms))
        err = weir_plog_roll(log, error);
    if (err == WEIR_OK)
        err = weir_plog_make_index_room(log, error);
    if (err == WEIR_OK)
        err = write_batches(log, in, leader_epoch, now_ms, out, error);
    return err;
}

enum weir_err weir_plog_append(struct weir_plog *log, uint8_t *bytes, size_t byte_count,
                               int32_t leader_epoch, struct weir_plog_appended *out,
                               enum weir_plog_refusal *refusal_out, struct weir_error *error)
{
    struct incoming in = {.bytes = bytes, .byte_count = (int64_t)byte_count};
    bool done;
    enum weir_err err;

    *refusal_out = WEIR_PLOG_STORAGE;
    err = weir_plog_check_writable(log, error);
    if (err != WEIR_OK)
        return err;
    err = check_batches(log, &in, refusal_out, error);
    if (err == WEIR_OK)
        err = check_producer(log, &in, out, &done, refusal_out, error);
    if (err != WEIR_OK)
        return err;
    if (!done)
        err = write_checked(log, &in, leader_epoch, out, error);
    *refusal_out = err == WEIR_OK ? WEIR_PLOG_ACCEPTED : WEIR_PLOG_STORAGE;
    return err;
}

/* ---- transactions */

bool weir_plog_is_transactional(struct weir_slice batches, int64_t *producer_id_out,
                                int16_t *producer_epoch_out)
{
    struct plog_head head;

    if (batches.bytes < PLOG_HEAD_BYTES || !plog_head_read(batches.data, &head) ||
        !(head.attributes & PLOG_TRANSACTIONAL))
        return false;
    *producer_id_out = head.producer_id;
    *producer_epoch_out = head.producer_epoch;
    return true;
}

enum weir_err weir_plog_end_transaction(struct weir_plog *log,
                                        const struct weir_plog_marker *marker, int32_t leader_epoch,
                                        struct weir_plog_appended *out, struct weir_error *error)
{
    uint8_t bytes[PLOG_MARKER_BYTES];
    struct incoming in = {
        .bytes = bytes,
        .byte_count = sizeof bytes,
        .offset_count = 1,
        .batch_count = 1,
        .marker = marker,
    };
    enum weir_err err = weir_plog_check_writable(log, error);

    if (err != WEIR_OK)
        return err;
    weir_plog_marker_put(marker, weir_clock_wall_ms(log->options.clock), bytes);
    weir_assert(plog_head_read(bytes, &in.first));
    if (weir_plog_offset_next(log) == INT64_MAX - 1)
        return weir_error_set(error, WEIR_LIMIT, -1, "%s: no offset is left", log->directory);
    err = weir_plog_producers_prepare(&log->producers, &in.first);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "%s: no room for a producer", log->directory);
    err = write_checked(log, &in, leader_epoch, out, error);
    if (err != WEIR_OK)
        return err;
    in.first.offset_base = in.first.offset_last = out->offset_base;
    return weir_plog_take_marker(log, weir_plog_active(log), &in.first, marker, true, error);
}
