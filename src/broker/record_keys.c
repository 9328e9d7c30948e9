/* broker/record_keys.c - a compacted topic takes no record without a key, as in Kafka. */
#include "broker/inside.h"
#include "plog/batch_time.h"
#include "wire/record_batch.h"

static enum weir_err check_batch(const struct wire_batch *batch, int32_t *index,
                                 struct record_errors *bad, struct weir_error *error)
{
    struct wire_walk walk;
    struct wire_record record;
    enum weir_err err = wire_walk_init(&walk, batch, PLOG_INFLATED_BYTES_MAX, error);
    while (err == WEIR_OK && (err = wire_walk_next(&walk, &record, error)) == WEIR_OK) {
        if (!record.key.data) {
            if (bad->told < RECORD_ERRORS_MAX)
                bad->indexes[bad->told++] = *index;
            bad->count++;
        }
        ++*index;
    }
    wire_walk_release(&walk);
    return err == WEIR_END ? WEIR_OK : err;
}

enum wire_error broker_check_keys(struct weir_slice records, struct record_errors *bad,
                                  struct weir_error *error)
{
    struct wire_batch batch;
    int32_t index = 0;
    *bad = (struct record_errors){.count = 0};
    while (records.bytes && wire_batch_read(records, &batch, NULL) == WEIR_OK &&
           wire_batch_crc_holds(&batch)) {
        switch (check_batch(&batch, &index, bad, error)) {
        case WEIR_OK:
            break;
        case WEIR_LIMIT:
            return WIRE_MESSAGE_TOO_LARGE;
        case WEIR_NOMEM:
            return WIRE_STORAGE_ERROR;
        default:
            return WIRE_CORRUPT_MESSAGE;
        }
        records = weir_slice((const uint8_t *)records.data + batch.byte_count,
                             records.bytes - batch.byte_count);
    }
    if (bad->count == 0)
        return WIRE_NONE;
    weir_error_set(error, WEIR_INVALID, -1,
                   "%d records without a key: a compacted topic takes none; nothing was appended",
                   (int)bad->count);
    return WIRE_INVALID_RECORD;
}
