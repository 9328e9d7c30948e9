/* The in-memory cluster's records: copying, partitioning, appending, reading. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kafka/fake/fake_impl.h"

static enum weir_err copy_slice(struct fake *fake, struct weir_slice from, struct weir_slice *to)
{
    *to = (struct weir_slice){NULL, 0};
    if (from.data == NULL)
        return WEIR_OK;
    char *data = weir_arena_alloc(&fake->arena, from.bytes);
    if (data == NULL)
        return weir_arena_full(&fake->arena) ? WEIR_LIMIT : WEIR_NOMEM;
    if (from.bytes > 0)
        memcpy(data, from.data, from.bytes);
    *to = weir_slice(data, from.bytes);
    return WEIR_OK;
}

enum weir_err fake_record_copy(struct fake *fake, const struct weir_kafka_record *record,
                               struct fake_record *out, size_t *bytes_out)
{
    size_t bytes = record->key.bytes + record->value.bytes;
    for (uint32_t i = 0; i < record->header_count; i++)
        bytes += record->headers[i].name.bytes + record->headers[i].value.bytes;
    if (bytes > fake->options.record_bytes_max)
        return WEIR_LIMIT;
    memset(out, 0, sizeof(*out));
    enum weir_err err = copy_slice(fake, record->key, &out->key);
    if (err == WEIR_OK)
        err = copy_slice(fake, record->value, &out->value);
    if (err == WEIR_OK && record->header_count > 0) {
        struct weir_header *headers =
            weir_arena_calloc(&fake->arena, record->header_count, sizeof(*headers));
        err = headers != NULL ? WEIR_OK : WEIR_NOMEM;
        for (uint32_t i = 0; i < record->header_count && err == WEIR_OK; i++) {
            err = copy_slice(fake, record->headers[i].name, &headers[i].name);
            if (err == WEIR_OK)
                err = copy_slice(fake, record->headers[i].value, &headers[i].value);
        }
        out->headers = headers;
        out->header_count = record->header_count;
    }
    out->timestamp_ms =
        record->timestamp_ms >= 0 ? record->timestamp_ms : weir_clock_wall_ms(fake->options.clock);
    if (bytes_out != NULL)
        *bytes_out = bytes;
    return err;
}

/* MurmurHash2 by Austin Appleby (public domain), seed and use as in Kafka's Java producer. */
static uint32_t murmur2(const void *data, size_t bytes)
{
    const unsigned char *at = data;
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28cU ^ (uint32_t)bytes;
    size_t left = bytes;
    for (; left >= 4; left -= 4, at += 4) {
        uint32_t k =
            (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h = (h * m) ^ k;
    }
    if (left >= 3)
        h ^= (uint32_t)at[2] << 16;
    if (left >= 2)
        h ^= (uint32_t)at[1] << 8;
    if (left >= 1)
        h = (h ^ at[0]) * m;
    h ^= h >> 13;
    h *= m;
    return h ^ (h >> 15);
}

/* Records without a key take the partitions in turn: the same run gives the same places. */
int32_t fake_partition_of(struct fake *fake, const struct fake_topic *topic,
                          const struct weir_kafka_record *record)
{
    if (record->partition >= 0)
        return record->partition;
    uint32_t count = (uint32_t)topic->partition_count;
    if (record->key.data == NULL)
        return (int32_t)(fake->keyless_next++ % count);
    return (int32_t)((murmur2(record->key.data, record->key.bytes) & 0x7fffffff) % count);
}

enum weir_err fake_append(struct fake_partition *partition, const struct fake_record *record)
{
    enum weir_err err = fake_reserve(&partition->records, &partition->record_capacity,
                                     partition->record_count, sizeof(*record), FAKE_RECORDS_MAX);
    if (err != WEIR_OK)
        return err;
    partition->records[partition->record_count] = *record;
    partition->records[partition->record_count++].offset = partition->next++;
    return WEIR_OK;
}

uint32_t fake_search(const struct fake_partition *partition, int64_t offset)
{
    uint32_t low = partition->record_first, high = partition->record_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (partition->records[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int64_t fake_readable_end(const struct fake *fake, const struct fake_topic *topic,
                          int32_t partition)
{
    int64_t end = topic->partitions[partition].next;
    for (const struct fake_transaction *open = fake->open; open != NULL; open = open->next)
        for (uint32_t i = 0; i < open->place_count; i++) {
            const struct fake_place *place = &open->places[i];
            if (place->topic == topic && place->partition == partition && place->first < end)
                end = place->first;
        }
    return end;
}

static bool is_readable(const struct fake_record *record)
{
    return record->transaction == NULL || record->transaction->state == FAKE_COMMITTED;
}

enum weir_err fake_take(struct fake *fake, struct weir_batch_pool *pool,
                        const struct fake_topic *topic, int32_t partition, int64_t end,
                        uint32_t count_max, int64_t *position, struct weir_kafka_batch *batch)
{
    const struct fake_partition *from = &topic->partitions[partition];
    int64_t readable = fake_readable_end(fake, topic, partition);
    if (end > readable)
        end = readable;
    uint32_t index = fake_search(from, *position), behind = index, count = 0;
    for (; count < count_max && behind < from->record_count && from->records[behind].offset < end;
         behind++)
        count += is_readable(&from->records[behind]);
    if (count == 0) {
        if (*position < end)
            *position = end;
        return WEIR_AGAIN;
    }
    struct weir_batch *out;
    enum weir_err err = weir_batch_get(pool, count, &out);
    if (err != WEIR_OK)
        return err;
    for (uint32_t i = 0; index < behind; index++) {
        const struct fake_record *record = &from->records[index];
        if (!is_readable(record))
            continue;
        out->key[i] = record->key;
        out->value[i] = record->value;
        out->timestamp_ms[i] = record->timestamp_ms;
        out->offset[i] = record->offset;
        out->headers[i] = record->headers;
        out->header_count[i++] = record->header_count;
    }
    weir_batch_publish(out, count, batch);
    batch->rows.topic = topic->name;
    batch->rows.partition = partition;
    batch->rows.received_ns = fake_now_ns(fake);
    *position = from->records[behind - 1].offset + 1;
    batch->offset_next = *position;
    return WEIR_OK;
}

/* ---- for tests ------------------------------------------------------------------------------- */

static struct fake *fake_of(struct weir_kafka *kafka)
{
    weir_assert(kafka->ops == &weir_kafka_fake_ops);
    return WEIR_CONTAINER(kafka, struct fake, base);
}

enum weir_err weir_kafka_fake_append(struct weir_kafka *kafka,
                                     const struct weir_kafka_record *record, int32_t *partition_out,
                                     int64_t *offset_out)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    struct fake_topic *topic = fake_topic_find(fake, record->topic);
    enum weir_err err = topic != NULL ? WEIR_OK : WEIR_NOT_FOUND;
    int32_t number = err == WEIR_OK ? fake_partition_of(fake, topic, record) : 0;
    if (err == WEIR_OK && number >= topic->partition_count)
        err = WEIR_NOT_FOUND;
    struct fake_record copy;
    if (err == WEIR_OK)
        err = fake_record_copy(fake, record, &copy, NULL);
    if (err == WEIR_OK)
        err = fake_append(&topic->partitions[number], &copy);
    if (err == WEIR_OK && partition_out != NULL)
        *partition_out = number;
    if (err == WEIR_OK && offset_out != NULL)
        *offset_out = topic->partitions[number].next - 1;
    fake_changed(fake);
    fake_unlock(fake);
    return err;
}

static struct fake_partition *partition_named(struct fake *fake, const char *name,
                                              int32_t partition)
{
    struct fake_topic *topic = fake_topic_find(fake, name);
    weir_assert(topic != NULL && partition >= 0 && partition < topic->partition_count);
    return &topic->partitions[partition];
}

void weir_kafka_fake_gap(struct weir_kafka *kafka, const char *topic, int32_t partition,
                         int64_t count)
{
    struct fake *fake = fake_of(kafka);
    weir_assert(count >= 0);
    fake_lock(fake);
    partition_named(fake, topic, partition)->next += count;
    fake_changed(fake);
    fake_unlock(fake);
}

void fake_log_trim(struct fake_partition *log, int64_t offset)
{
    log->record_first = fake_search(log, offset);
    log->first = offset;
}

void weir_kafka_fake_delete_before(struct weir_kafka *kafka, const char *topic, int32_t partition,
                                   int64_t offset)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    struct fake_partition *log = partition_named(fake, topic, partition);
    weir_assert(offset >= log->first && offset <= log->next);
    fake_log_trim(log, offset);
    fake_changed(fake);
    fake_unlock(fake);
}

enum weir_err weir_kafka_fake_read(struct weir_kafka *kafka, const char *topic, int32_t partition,
                                   int64_t offset, struct weir_kafka_batch *batch)
{
    struct fake *fake = fake_of(kafka);
    memset(batch, 0, sizeof(*batch));
    fake_lock(fake);
    fake_advance(fake);
    struct fake_topic *found = fake_topic_find(fake, topic);
    enum weir_err err = WEIR_NOT_FOUND;
    if (found != NULL && partition >= 0 && partition < found->partition_count)
        err = fake_take(fake, NULL, found, partition, INT64_MAX, 1, &offset, batch);
    fake_unlock(fake);
    return err;
}
