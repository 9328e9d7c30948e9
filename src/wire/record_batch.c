/* wire/record_batch.c - record batches of version 2, see record_batch.h. */
#include "wire/record_batch.h"

#include <string.h>

#include "base/digest.h"

enum {
    LENGTH_END = 12, /* bytes that the length does not count */
    CRC_FROM = 21,
    CRC_AT = 17,
    VARINT_BYTES_MAX = 10,
    HEADERS_MAX = 1 << 16, /* of a record */
};

/* ---- numbers --------------------------------------------------------------------------------- */

static uint64_t get(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static void put(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

/* A zigzag varint. False: cut off, or too long. */
static bool take_varint(const uint8_t **at, const uint8_t *end, int64_t *out)
{
    uint64_t value = 0;
    const uint8_t *from = *at;
    for (unsigned shift = 0; from < end && shift < 7 * VARINT_BYTES_MAX; shift += 7) {
        uint8_t byte = *from++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *at = from;
            *out = (int64_t)(value >> 1 ^ (0 - (value & 1)));
            return true;
        }
    }
    return false;
}

static size_t put_varint(uint8_t *at, int64_t number)
{
    uint64_t value = (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);
    size_t bytes = 0;
    for (; value >= 0x80; value >>= 7)
        at[bytes++] = (uint8_t)(value | 0x80);
    at[bytes++] = (uint8_t)value;
    return bytes;
}

/* Bytes behind their length; -1 is null if `nullable`. */
static bool take_bytes(const uint8_t **at, const uint8_t *end, bool nullable,
                       struct weir_slice *out)
{
    int64_t length;
    if (!take_varint(at, end, &length) || length < (nullable ? -1 : 0) || length > end - *at)
        return false;
    *out = weir_slice(length < 0 ? NULL : *at, length < 0 ? 0 : (size_t)length);
    *at += length < 0 ? 0 : length;
    return true;
}

/* ---- the header ------------------------------------------------------------------------------ */

enum weir_err wire_batch_read(struct weir_slice bytes, struct wire_batch *out,
                              struct weir_error *error)
{
    const uint8_t *at = bytes.data;
    if (bytes.bytes < WIRE_BATCH_HEAD_BYTES)
        return weir_error_set(error, WEIR_TRUNCATED, (int64_t)bytes.bytes,
                              "a record batch ends within its header");
    if (at[16] != WIRE_BATCH_MAGIC)
        return weir_error_set(error, WEIR_UNSUPPORTED, 16,
                              "record batch of version %d: only version 2 is taken", at[16]);
    int32_t length = (int32_t)get(at + 8, 4);
    if (length < WIRE_BATCH_HEAD_BYTES - LENGTH_END)
        return weir_error_set(error, WEIR_CORRUPT, 8, "record batch of %d bytes: too short",
                              (int)length);
    *out = (struct wire_batch){
        .bytes = at,
        .byte_count = (size_t)length + LENGTH_END,
        .offset_base = (int64_t)get(at, 8),
        .leader_epoch = (int32_t)get(at + 12, 4),
        .crc = (uint32_t)get(at + CRC_AT, 4),
        .attributes = (int16_t)get(at + 21, 2),
        .last_offset_delta = (int32_t)get(at + 23, 4),
        .timestamp_base = (int64_t)get(at + 27, 8),
        .timestamp_max = (int64_t)get(at + 35, 8),
        .producer_id = (int64_t)get(at + 43, 8),
        .producer_epoch = (int16_t)get(at + 51, 2),
        .sequence_base = (int32_t)get(at + 53, 4),
        .record_count = (int32_t)get(at + 57, 4),
    };
    if (out->byte_count > bytes.bytes)
        return weir_error_set(error, WEIR_TRUNCATED, (int64_t)bytes.bytes,
                              "a record batch of %zu bytes ends after %zu", out->byte_count,
                              bytes.bytes);
    if (out->last_offset_delta < 0 || out->record_count < 0 ||
        out->record_count > (int64_t)out->last_offset_delta + 1 || out->offset_base < 0 ||
        out->offset_base > INT64_MAX - 1 - out->last_offset_delta)
        return weir_error_set(error, WEIR_CORRUPT, 23,
                              "record batch of %d records up to offset delta %d",
                              (int)out->record_count, (int)out->last_offset_delta);
    out->offset_last = out->offset_base + out->last_offset_delta;
    return WEIR_OK;
}

bool wire_batch_crc_holds(const struct wire_batch *batch)
{
    return weir_crc32c(0, batch->bytes + CRC_FROM, batch->byte_count - CRC_FROM) == batch->crc;
}

/* ---- walking --------------------------------------------------------------------------------- */

enum weir_err wire_walk_init(struct wire_walk *walk, const struct wire_batch *batch,
                             size_t inflated_bytes_max, struct weir_error *error)
{
    int codec = batch->attributes & WIRE_BATCH_CODEC_MASK;
    struct weir_slice records =
        weir_slice(batch->bytes + WIRE_BATCH_HEAD_BYTES, batch->byte_count - WIRE_BATCH_HEAD_BYTES);
    *walk = (struct wire_walk){.batch = *batch, .left = batch->record_count};
    weir_buffer_init(&walk->inflated, inflated_bytes_max);
    if (codec != WIRE_CODEC_NONE && batch->record_count > 0) {
        enum weir_err err = wire_inflate(codec, records, &walk->inflated, error);
        if (err != WEIR_OK)
            return err;
        records = weir_buffer_slice(&walk->inflated);
    }
    walk->begin = walk->at = records.data;
    walk->end = walk->at + records.bytes;
    return WEIR_OK;
}

void wire_walk_release(struct wire_walk *walk)
{
    weir_buffer_release(&walk->inflated);
}

static enum weir_err bad_record(const struct wire_walk *walk, struct weir_error *error)
{
    return weir_error_set(error, WEIR_CORRUPT, walk->at - walk->begin,
                          "record %d of a batch: malformed at byte %lld of its records",
                          (int)(walk->batch.record_count - walk->left),
                          (long long)(walk->at - walk->begin));
}

/* [length][attributes i8][timestamp delta][offset delta][key][value][count of headers][headers] */
enum weir_err wire_walk_next(struct wire_walk *walk, struct wire_record *out,
                             struct weir_error *error)
{
    const uint8_t *at = walk->at, *end;
    int64_t length, timestamp_delta, offset_delta, headers;
    if (walk->left == 0)
        return walk->at == walk->end ? WEIR_END : bad_record(walk, error);
    if (!take_varint(&at, walk->end, &length) || length < 1 || length > walk->end - at)
        return bad_record(walk, error);
    end = at + length;
    at++; /* attributes: none are defined */
    if (!take_varint(&at, end, &timestamp_delta) || !take_varint(&at, end, &offset_delta) ||
        offset_delta < 0 || offset_delta > walk->batch.last_offset_delta ||
        !take_bytes(&at, end, true, &out->key) || !take_bytes(&at, end, true, &out->value) ||
        !take_varint(&at, end, &headers) || headers < 0 || headers > HEADERS_MAX)
        return bad_record(walk, error);
    out->headers = weir_slice(at, (size_t)(end - at));
    out->header_count = (int32_t)headers;
    struct weir_slice left = out->headers, name, value;
    enum weir_err err = WEIR_OK;
    for (; headers > 0 && err == WEIR_OK; headers--)
        err = wire_header_next(&left, &name, &value);
    if (err != WEIR_OK || left.bytes)
        return bad_record(walk, error);
    out->offset = walk->batch.offset_base + offset_delta;
    out->timestamp_ms =
        walk->batch.attributes & WIRE_BATCH_LOG_APPEND_TIME
            ? walk->batch.timestamp_max
            : (int64_t)((uint64_t)walk->batch.timestamp_base + (uint64_t)timestamp_delta);
    walk->at = end;
    walk->left--;
    return WEIR_OK;
}

enum weir_err wire_header_next(struct weir_slice *headers, struct weir_slice *name,
                               struct weir_slice *value)
{
    const uint8_t *at = headers->data, *end = at + headers->bytes;
    if (at == end)
        return WEIR_END;
    if (!take_bytes(&at, end, false, name) || !take_bytes(&at, end, true, value))
        return WEIR_CORRUPT;
    *headers = weir_slice(at, (size_t)(end - at));
    return WEIR_OK;
}

/* ---- building -------------------------------------------------------------------------------- */

struct wire_batch_options wire_batch_options(void)
{
    return (struct wire_batch_options){
        .producer_id = -1, .sequence_base = -1, .leader_epoch = -1, .producer_epoch = -1};
}

void wire_builder_init(struct wire_builder *builder, const struct wire_batch_options *options,
                       size_t bytes_max)
{
    *builder = (struct wire_builder){.options = *options};
    weir_buffer_init(&builder->records, bytes_max);
}

void wire_builder_release(struct wire_builder *builder)
{
    weir_buffer_release(&builder->records);
}

/* Writes bytes behind their length; with at NULL only reckons. */
static size_t put_bytes(uint8_t *at, struct weir_slice bytes)
{
    uint8_t scratch[VARINT_BYTES_MAX];
    size_t count = put_varint(at ? at : scratch, bytes.data ? (int64_t)bytes.bytes : -1);
    if (at && bytes.data && bytes.bytes)
        memcpy(at + count, bytes.data, bytes.bytes);
    return count + (bytes.data ? bytes.bytes : 0);
}

/* A record behind its length. Without `headers` they are those of the record, as they stand. */
static size_t put_body(uint8_t *at, int64_t timestamp_delta, int64_t offset_delta,
                       const struct wire_record *record, const struct wire_header *headers)
{
    uint8_t scratch[VARINT_BYTES_MAX];
    size_t bytes = 1;
    if (at)
        at[0] = 0;
    bytes += put_varint(at ? at + bytes : scratch, timestamp_delta);
    bytes += put_varint(at ? at + bytes : scratch, offset_delta);
    bytes += put_bytes(at ? at + bytes : NULL, record->key);
    bytes += put_bytes(at ? at + bytes : NULL, record->value);
    bytes += put_varint(at ? at + bytes : scratch, record->header_count);
    if (!headers) {
        if (at && record->headers.bytes)
            memcpy(at + bytes, record->headers.data, record->headers.bytes);
        return bytes + record->headers.bytes;
    }
    for (int32_t i = 0; i < record->header_count; i++) {
        struct weir_slice name = weir_slice(headers[i].name, strlen(headers[i].name));
        bytes += put_bytes(at ? at + bytes : NULL, name);
        bytes += put_bytes(at ? at + bytes : NULL, headers[i].value);
    }
    return bytes;
}

static enum weir_err append_record(struct weir_buffer *into, int64_t timestamp_delta,
                                   int64_t offset_delta, const struct wire_record *record,
                                   const struct wire_header *headers)
{
    size_t body = put_body(NULL, timestamp_delta, offset_delta, record, headers);
    enum weir_err err =
        body > INT32_MAX ? WEIR_LIMIT : weir_buffer_reserve(into, VARINT_BYTES_MAX + body);
    if (err != WEIR_OK)
        return err;
    uint8_t *at = weir_buffer_end(into);
    size_t head = put_varint(at, (int64_t)body);
    put_body(at + head, timestamp_delta, offset_delta, record, headers);
    weir_buffer_commit(into, head + body);
    return WEIR_OK;
}

enum weir_err wire_builder_add(struct wire_builder *builder, int64_t timestamp_ms,
                               struct weir_slice key, struct weir_slice value,
                               const struct wire_header *headers, uint32_t header_count)
{
    if (header_count > HEADERS_MAX || builder->record_count == INT32_MAX)
        return WEIR_LIMIT;
    struct wire_record record = {.key = key, .value = value, .header_count = (int32_t)header_count};
    int64_t base = builder->record_count ? builder->timestamp_base : timestamp_ms;
    int64_t delta = timestamp_ms - base;
    enum weir_err err =
        append_record(&builder->records, delta, builder->record_count, &record, headers);
    if (err != WEIR_OK)
        return err;
    if (!builder->record_count || timestamp_ms > builder->timestamp_max)
        builder->timestamp_max = timestamp_ms;
    builder->timestamp_base = base;
    builder->record_count++;
    return WEIR_OK;
}

static void put_head(uint8_t *head, const struct wire_builder *builder, size_t batch_bytes)
{
    const struct wire_batch_options *options = &builder->options;
    put(head, (uint64_t)options->offset_base, 8);
    put(head + 8, batch_bytes - LENGTH_END, 4);
    put(head + 12, (uint32_t)options->leader_epoch, 4);
    head[16] = WIRE_BATCH_MAGIC;
    put(head + 21, (uint16_t)options->attributes, 2);
    put(head + 23, (uint32_t)builder->record_count - 1, 4);
    put(head + 27, (uint64_t)builder->timestamp_base, 8);
    put(head + 35, (uint64_t)builder->timestamp_max, 8);
    put(head + 43, (uint64_t)options->producer_id, 8);
    put(head + 51, (uint16_t)options->producer_epoch, 2);
    put(head + 53, (uint32_t)options->sequence_base, 4);
    put(head + 57, (uint32_t)builder->record_count, 4);
    put(head + CRC_AT, weir_crc32c(0, head + CRC_FROM, batch_bytes - CRC_FROM), 4);
}

enum weir_err wire_builder_finish(struct wire_builder *builder, struct weir_buffer *into,
                                  struct weir_error *error)
{
    static const uint8_t blank[WIRE_BATCH_HEAD_BYTES];
    size_t place = into->bytes;
    if (builder->record_count == 0)
        return weir_error_set(error, WEIR_INVALID, -1, "a record batch without records");
    enum weir_err err = weir_buffer_append(into, blank, sizeof blank);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "a record batch: %s", weir_err_text(err));
    err = wire_deflate(builder->options.attributes & WIRE_BATCH_CODEC_MASK,
                       weir_buffer_slice(&builder->records), into, error);
    if (err != WEIR_OK) {
        weir_buffer_truncate(into, place);
        return err;
    }
    put_head(into->data + place, builder, into->bytes - place);
    builder->options.offset_base += builder->record_count;
    if (builder->options.sequence_base >= 0) /* wraps from 2^31 - 1 to 0 */
        builder->options.sequence_base =
            (int32_t)(((uint32_t)builder->options.sequence_base + (uint32_t)builder->record_count) &
                      INT32_MAX);
    builder->record_count = 0;
    weir_buffer_clear(&builder->records);
    return WEIR_OK;
}

/* ---- writing anew ---------------------------------------------------------------------------- */

/* What is left of a batch. */
struct rewritten {
    struct weir_buffer records;
    int64_t timestamp_base, timestamp_max;
    int32_t record_count;
};

static enum weir_err keep_records(struct wire_walk *walk, const uint8_t *keep,
                                  struct rewritten *out, struct weir_error *error)
{
    struct wire_record record;
    enum weir_err err;
    walk->at = walk->begin;
    walk->left = walk->batch.record_count;
    for (int32_t i = 0; (err = wire_walk_next(walk, &record, error)) == WEIR_OK; i++) {
        if (!keep[i])
            continue;
        int64_t delta = (int64_t)((uint64_t)record.timestamp_ms - (uint64_t)out->timestamp_base);
        err = append_record(&out->records, delta, record.offset - walk->batch.offset_base, &record,
                            NULL);
        if (err != WEIR_OK)
            return weir_error_set(error, err, -1, "a record batch: %s", weir_err_text(err));
        if (!out->record_count++ || record.timestamp_ms > out->timestamp_max)
            out->timestamp_max = record.timestamp_ms;
    }
    return err == WEIR_END ? WEIR_OK : err;
}

enum weir_err wire_walk_rewrite(struct wire_walk *walk, const uint8_t *keep,
                                int64_t delete_horizon_ms, struct weir_buffer *into,
                                struct weir_error *error)
{
    const struct wire_batch *batch = &walk->batch;
    struct rewritten left = {.timestamp_base = batch->timestamp_base,
                             .timestamp_max = batch->timestamp_max};
    uint16_t attributes = (uint16_t)batch->attributes;
    size_t place = into->bytes;
    weir_buffer_init(&left.records, INT32_MAX);
    if (delete_horizon_ms >= 0) {
        left.timestamp_base = delete_horizon_ms;
        attributes |= WIRE_BATCH_DELETE_HORIZON;
    }
    enum weir_err err = keep_records(walk, keep, &left, error);
    if (!left.record_count)
        attributes &= (uint16_t) ~(WIRE_BATCH_CODEC_MASK | WIRE_BATCH_DELETE_HORIZON);
    if (err == WEIR_OK &&
        (err = weir_buffer_append(into, batch->bytes, WIRE_BATCH_HEAD_BYTES)) != WEIR_OK)
        weir_error_set(error, err, -1, "a record batch: %s", weir_err_text(err));
    if (err == WEIR_OK && left.record_count)
        err = wire_deflate(attributes & WIRE_BATCH_CODEC_MASK, weir_buffer_slice(&left.records),
                           into, error);
    weir_buffer_release(&left.records);
    if (err != WEIR_OK) {
        weir_buffer_truncate(into, place);
        return err;
    }
    uint8_t *head = into->data + place;
    size_t batch_bytes = into->bytes - place;
    put(head + 8, batch_bytes - LENGTH_END, 4);
    put(head + 21, attributes, 2);
    put(head + 27, (uint64_t)left.timestamp_base, 8);
    put(head + 35, (uint64_t)left.timestamp_max, 8);
    put(head + 57, (uint32_t)left.record_count, 4);
    put(head + CRC_AT, weir_crc32c(0, head + CRC_FROM, batch_bytes - CRC_FROM), 4);
    return WEIR_OK;
}
