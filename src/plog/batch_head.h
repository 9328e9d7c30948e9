/*
 * plog/batch_head.h - the fixed 61 bytes at the front of a record batch, as the log needs them.
 *
 * What:    reading the header of a stored batch and patching the fields a log owns.
 *          wire/record_batch.h reads a batch that is in memory whole; a log steps from header to
 *          header in a file and never has the rest.
 * Threads: any; pure.
 * Memory:  none.
 * Errors:  a header that cannot belong to a batch of version 2 gives false.
 * Source:  kafka.apache.org/documentation, "Record Batch".
 *
 *      0 base offset i64      16 magic i8            27 base timestamp i64    53 base sequence i32
 *      8 length i32           17 CRC-32C u32         35 max timestamp i64     57 record count i32
 *     12 leader epoch i32     21 attributes i16      43 producer id i64       61 records
 *                             23 last offset delta   51 producer epoch i16
 *
 * The length counts what follows it (from 12), the CRC covers what follows it (from 21).
 */
#ifndef WEIR_PLOG_BATCH_HEAD_H
#define WEIR_PLOG_BATCH_HEAD_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/digest.h"

enum {
    PLOG_HEAD_BYTES = 61,
    PLOG_HEAD_LENGTH_END = 12, /* bytes the length does not count */
    PLOG_HEAD_CRC_FROM = 21,
    PLOG_CODEC_MASK = 0x07,
    PLOG_LOG_APPEND_TIME = 0x08,
    PLOG_TRANSACTIONAL = 0x10,
    PLOG_CONTROL = 0x20,
    PLOG_DELETE_HORIZON = 0x40, /* the base timestamp is one (KIP-534) */
};

struct plog_head {
    int64_t offset_base, offset_last;
    int64_t bytes; /* of the whole batch */
    int64_t timestamp_base, timestamp_max;
    int64_t producer_id; /* -1 = none */
    int32_t leader_epoch;
    int32_t record_count;
    int32_t sequence_base; /* -1 = none */
    int32_t last_offset_delta;
    uint32_t crc;
    uint16_t attributes;
    int16_t producer_epoch;
};

static inline int64_t plog_get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return (int64_t)be64toh(value);
}

static inline uint32_t plog_get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return be32toh(value);
}

static inline uint16_t plog_get16(const uint8_t *at)
{
    return (uint16_t)((unsigned)at[0] << 8 | at[1]);
}

static inline void plog_put64(uint8_t *at, int64_t value)
{
    uint64_t big = htobe64((uint64_t)value);
    memcpy(at, &big, sizeof big);
}

static inline void plog_put32(uint8_t *at, uint32_t value)
{
    uint32_t big = htobe32(value);
    memcpy(at, &big, sizeof big);
}

static inline void plog_put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Reads PLOG_HEAD_BYTES bytes. False: no batch of version 2 begins so. The record count and the
 * CRC are not looked at: a compacted batch has fewer records than offsets. */
static inline bool plog_head_read(const uint8_t *at, struct plog_head *head)
{
    int32_t length = (int32_t)plog_get32(at + 8);

    head->offset_base = plog_get64(at);
    head->bytes = (int64_t)length + PLOG_HEAD_LENGTH_END;
    head->leader_epoch = (int32_t)plog_get32(at + 12);
    head->crc = plog_get32(at + 17);
    head->attributes = plog_get16(at + 21);
    head->last_offset_delta = (int32_t)plog_get32(at + 23);
    head->timestamp_base = plog_get64(at + 27);
    head->timestamp_max = plog_get64(at + 35);
    head->producer_id = plog_get64(at + 43);
    head->producer_epoch = (int16_t)plog_get16(at + 51);
    head->sequence_base = (int32_t)plog_get32(at + 53);
    head->record_count = (int32_t)plog_get32(at + 57);
    if (at[16] != 2 || head->bytes < PLOG_HEAD_BYTES || head->last_offset_delta < 0 ||
        head->record_count < 0 || head->offset_base < 0 ||
        head->offset_base > INT64_MAX - 1 - head->last_offset_delta)
        return false;
    head->offset_last = head->offset_base + head->last_offset_delta;
    return true;
}

/* CRC-32C of a whole batch in memory. */
static inline uint32_t plog_batch_crc(const uint8_t *batch, int64_t bytes)
{
    return weir_crc32c(0, batch + PLOG_HEAD_CRC_FROM, (size_t)bytes - PLOG_HEAD_CRC_FROM);
}

/* Sequence of the last record of a batch; they wrap from 2^31 - 1 to 0. */
static inline int32_t plog_sequence_add(int32_t sequence, int32_t more)
{
    return (int32_t)(((uint32_t)sequence + (uint32_t)more) & INT32_MAX);
}

#endif
