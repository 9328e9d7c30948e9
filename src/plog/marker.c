/* Transaction markers: plog/marker.h. */
#include "plog/marker.h"

/* Lengths of the record, as varints of one byte. */
enum { RECORD_AT = PLOG_HEAD_BYTES, RECORD_VARINT = 32, KEY_VARINT = 8, VALUE_VARINT = 12 };

/* Where the fields of the one record stand. */
enum { KEY_LENGTH_AT = 65, KEY_AT = 66, TYPE_AT = 68, VALUE_LENGTH_AT = 70, EPOCH_AT = 73 };

enum { ABORT = 0, COMMIT = 1 };

void weir_plog_marker_put(const struct weir_plog_marker *marker, int64_t now_ms,
                          uint8_t bytes[PLOG_MARKER_BYTES])
{
    memset(bytes, 0, PLOG_MARKER_BYTES);
    plog_put32(bytes + 8, PLOG_MARKER_BYTES - PLOG_HEAD_LENGTH_END);
    bytes[16] = 2;
    plog_put16(bytes + 21, PLOG_TRANSACTIONAL | PLOG_CONTROL);
    plog_put64(bytes + 27, now_ms);
    plog_put64(bytes + 35, now_ms);
    plog_put64(bytes + 43, marker->producer_id);
    plog_put16(bytes + 51, (uint16_t)marker->producer_epoch);
    plog_put32(bytes + 53, UINT32_MAX);
    plog_put32(bytes + 57, 1);
    bytes[RECORD_AT] = RECORD_VARINT;
    bytes[KEY_LENGTH_AT] = KEY_VARINT;
    plog_put16(bytes + TYPE_AT, marker->commit ? COMMIT : ABORT);
    bytes[VALUE_LENGTH_AT] = VALUE_VARINT;
    plog_put32(bytes + EPOCH_AT, (uint32_t)marker->coordinator_epoch);
    plog_put32(bytes + 17, plog_batch_crc(bytes, PLOG_MARKER_BYTES));
}

bool weir_plog_marker_read(const struct plog_head *head, const uint8_t bytes[PLOG_MARKER_BYTES],
                           struct weir_plog_marker *out)
{
    uint16_t type = plog_get16(bytes + TYPE_AT);

    /* Kafka writes nothing but this: one record, no delta, no headers. */
    if (head->bytes != PLOG_MARKER_BYTES || head->producer_id < 0 || head->record_count != 1 ||
        bytes[KEY_LENGTH_AT] != KEY_VARINT || plog_get16(bytes + KEY_AT) != 0 ||
        bytes[VALUE_LENGTH_AT] != VALUE_VARINT || (type != ABORT && type != COMMIT))
        return false;
    *out = (struct weir_plog_marker){
        .producer_id = head->producer_id,
        .coordinator_epoch = (int32_t)plog_get32(bytes + EPOCH_AT),
        .producer_epoch = head->producer_epoch,
        .commit = type == COMMIT,
    };
    return true;
}
