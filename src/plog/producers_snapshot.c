/*
 * The file `<offset>.snapshot`: Kafka's producer snapshot, version 1, with the older batches behind
 * it. Kafka checks the CRC over all of it and leaves the rest unread.
 *
 *      version i16 = 1 | CRC-32C u32 of what follows | count i32
 *      count x { producer id i64 | epoch i16 | last sequence i32 | last offset i64 |
 *                offset delta i32 | timestamp i64 | coordinator epoch i32 | txn first offset i64 }
 *      "WPB1"
 *      count x { n u8 | n x { last sequence i32 | last offset i64 | delta i32 | timestamp i64 } }
 */
#include "plog/producers.h"

#include "base/alloc.h"

enum {
    VERSION = 1,
    CRC_AT = 2,
    BODY_AT = 6,
    ENTRIES_AT = 10,
    ENTRY_BYTES = 46,
    OLDER_BYTES = 24,
    MAGIC = 0x57504231, /* WPB1 */
    MAGIC_BYTES = 4,
    FILE_BYTES_MAX =
        ENTRIES_AT + MAGIC_BYTES +
        PLOG_PRODUCERS_MAX * (ENTRY_BYTES + 1 + (PLOG_PRODUCER_BATCHES - 1) * OLDER_BYTES),
};

/* ---- save */

/* The batch that came `age` batches before the newest. */
static const struct plog_producer_batch *batch_at(const struct plog_producer *producer, int age)
{
    int index = producer->batch_newest - age;
    return &producer->batches[index < 0 ? index + PLOG_PRODUCER_BATCHES : index];
}

static void put_entry(uint8_t *at, const struct plog_producer *producer)
{
    static const struct plog_producer_batch none = {
        .offset_last = -1, .timestamp = -1, .sequence_last = -1};
    const struct plog_producer_batch *newest =
        producer->batch_count > 0 ? batch_at(producer, 0) : &none;

    plog_put64(at, producer->id);
    plog_put16(at + 8, (uint16_t)producer->epoch);
    plog_put32(at + 10, (uint32_t)newest->sequence_last);
    plog_put64(at + 14, newest->offset_last);
    plog_put32(at + 22, (uint32_t)newest->offset_delta);
    plog_put64(at + 26, newest->timestamp);
    plog_put32(at + 34, (uint32_t)producer->coordinator_epoch);
    plog_put64(at + 38, producer->txn_offset_first);
}

static uint8_t *put_older(uint8_t *at, const struct plog_producer *producer)
{
    int older = producer->batch_count > 0 ? producer->batch_count - 1 : 0;

    *at++ = (uint8_t)older;
    for (int age = older; age > 0; age--, at += OLDER_BYTES) {
        const struct plog_producer_batch *batch = batch_at(producer, age);
        plog_put32(at, (uint32_t)batch->sequence_last);
        plog_put64(at + 4, batch->offset_last);
        plog_put32(at + 12, (uint32_t)batch->offset_delta);
        plog_put64(at + 16, batch->timestamp);
    }
    return at;
}

enum weir_err weir_plog_producers_save(const struct plog_producers *producers,
                                       const struct weir_disk *disk, const char *path,
                                       struct weir_error *error)
{
    uint32_t count = weir_map_count(&producers->map);
    size_t bytes = ENTRIES_AT + MAGIC_BYTES +
                   (size_t)count * (ENTRY_BYTES + 1 + (PLOG_PRODUCER_BATCHES - 1) * OLDER_BYTES);
    uint8_t *file = weir_alloc(bytes), *at;
    enum weir_err err;

    if (file == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "%s: no memory", path);
    plog_put16(file, VERSION);
    plog_put32(file + BODY_AT, count);
    at = file + ENTRIES_AT;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&producers->map, e)) != NULL;) {
        put_entry(at, e->value.pointer);
        at += ENTRY_BYTES;
    }
    plog_put32(at, MAGIC);
    at += MAGIC_BYTES;
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&producers->map, e)) != NULL;)
        at = put_older(at, e->value.pointer);
    bytes = (size_t)(at - file);
    plog_put32(file + CRC_AT, weir_crc32c(0, file + BODY_AT, bytes - BODY_AT));
    err = weir_disk_replace_file(disk, path, file, bytes, error);
    weir_free(file);
    return err;
}

/* ---- load */

static void push_batch(struct plog_producer *producer, int32_t sequence, int64_t offset,
                       int32_t delta, int64_t timestamp)
{
    producer->batch_newest = producer->batch_count++;
    producer->batches[producer->batch_newest] = (struct plog_producer_batch){
        .offset_last = offset,
        .timestamp = timestamp,
        .sequence_last = sequence,
        .offset_delta = delta,
    };
}

/* Reads the older batches of one producer from *at; false = the file is not well made. */
static bool get_older(const uint8_t **at, const uint8_t *end, struct plog_producer *producer)
{
    const uint8_t *from = *at;
    uint8_t older;

    if (from == end)
        return false;
    older = *from++;
    if (older >= PLOG_PRODUCER_BATCHES || (size_t)(end - from) < (size_t)older * OLDER_BYTES)
        return false;
    for (; older > 0; older--, from += OLDER_BYTES)
        push_batch(producer, (int32_t)plog_get32(from), plog_get64(from + 4),
                   (int32_t)plog_get32(from + 12), plog_get64(from + 16));
    *at = from;
    return true;
}

static enum weir_err load_entries(struct plog_producers *producers, const uint8_t *file,
                                  size_t bytes, int64_t now_ms)
{
    const uint8_t *at = file + ENTRIES_AT, *end = file + bytes, *older;
    uint32_t count = plog_get32(file + BODY_AT);
    bool has_older;

    if (count > PLOG_PRODUCERS_MAX || (size_t)(end - at) < (size_t)count * ENTRY_BYTES)
        return WEIR_CORRUPT;
    older = at + (size_t)count * ENTRY_BYTES;
    has_older = end - older >= MAGIC_BYTES && plog_get32(older) == MAGIC;
    older += has_older ? MAGIC_BYTES : 0;
    for (; count > 0; count--, at += ENTRY_BYTES) {
        int64_t id = plog_get64(at);
        int32_t sequence = (int32_t)plog_get32(at + 10);
        struct plog_producer *producer = weir_calloc(1, sizeof *producer);
        if (producer == NULL)
            return WEIR_NOMEM;
        producer->id = id;
        producer->epoch = (int16_t)plog_get16(at + 8);
        producer->coordinator_epoch = (int32_t)plog_get32(at + 34);
        producer->txn_offset_first = plog_get64(at + 38);
        producer->active_ms = now_ms;
        if (weir_map_get(&producers->map, weir_slice(&id, sizeof id)) != NULL ||
            (has_older && !get_older(&older, end, producer))) {
            weir_free(producer);
            return WEIR_CORRUPT;
        }
        if (sequence >= 0)
            push_batch(producer, sequence, plog_get64(at + 14), (int32_t)plog_get32(at + 22),
                       plog_get64(at + 26));
        if (weir_map_put(&producers->map, weir_slice(&id, sizeof id), producer) != WEIR_OK) {
            weir_free(producer);
            return WEIR_NOMEM;
        }
        if (producer->txn_offset_first >= 0)
            weir_plog_producers_link(producers, producer);
    }
    return WEIR_OK;
}

enum weir_err weir_plog_producers_load(struct plog_producers *producers,
                                       const struct weir_disk *disk, const char *path,
                                       int64_t now_ms, struct weir_error *error)
{
    struct weir_buffer file;
    enum weir_err err;

    weir_buffer_init(&file, FILE_BYTES_MAX);
    err = weir_disk_read_file(disk, path, &file, error);
    if (err != WEIR_OK)
        goto out;
    if (file.bytes >= 2 && plog_get16(file.data) != VERSION)
        err = weir_error_set(error, WEIR_OTHER_VERSION, -1, "%s: version %u, not %d", path,
                             (unsigned)plog_get16(file.data), VERSION);
    else if (file.bytes < ENTRIES_AT ||
             plog_get32(file.data + CRC_AT) !=
                 weir_crc32c(0, file.data + BODY_AT, file.bytes - BODY_AT))
        err = weir_error_set(error, WEIR_CORRUPT, -1, "%s: torn or damaged", path);
    else
        err = load_entries(producers, file.data, file.bytes, now_ms);
    if (err == WEIR_CORRUPT || err == WEIR_NOMEM)
        weir_error_set(error, err, -1, "%s: %s", path, weir_err_text(err));
    if (err != WEIR_OK)
        weir_plog_producers_clear(producers);
out:
    weir_buffer_release(&file);
    return err;
}
