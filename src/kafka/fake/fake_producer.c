/*
 * The in-memory cluster's producer.
 *
 *      sends   [ done done | waits waits waits ]     a ring in the order of produce
 *                ^ next report
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kafka/fake/fake_impl.h"

enum { SENDS_MAX = 1 << 24 };

static struct fake_producer *producer_of(const struct weir_kafka_producer *base)
{
    return (struct fake_producer *)(uintptr_t)base;
}

static struct fake_send *send_at(const struct fake_producer *producer, uint32_t index)
{
    weir_assert(producer->send_capacity > 0);
    return &producer->sends[(producer->send_first + index) % producer->send_capacity];
}

enum weir_err fake_producer_new(struct weir_kafka *kafka,
                                const struct weir_kafka_producer_options *options,
                                struct weir_kafka_producer **producer_out, struct weir_error *error)
{
    struct fake *fake = WEIR_CONTAINER(kafka, struct fake, base);
    struct fake_producer *producer = weir_calloc(1, sizeof(*producer));
    if (producer == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a producer");
    producer->base.ops = &weir_kafka_fake_ops;
    producer->fake = fake;
    producer->queue_bytes = options->queue_bytes;
    producer->delivery_timeout_ms = options->delivery_timeout_ms;
    producer->delivered = options->delivered;
    producer->opaque = options->opaque;
    producer->transaction_timeout_ms = options->transaction_timeout_ms;
    if (options->transactional_id != NULL) {
        producer->transactional_id = weir_strdup(options->transactional_id);
        if (producer->transactional_id == NULL) {
            weir_free(producer);
            return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a producer");
        }
    }
    fake_lock(fake);
    producer->next = fake->producers;
    fake->producers = producer;
    fake->client_count++;
    fake_unlock(fake);
    *producer_out = &producer->base;
    return WEIR_OK;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void send_finish(struct fake_producer *producer, struct fake_send *send)
{
    send->state = FAKE_SEND_DONE;
    producer->done_count++;
    producer->queued_bytes -= send->bytes;
    fake_changed(producer->fake);
}

/* Looks at the oldest record that waits. False: it waits on. */
static bool send_settle(struct fake_producer *producer, struct fake_send *send, int64_t now_ns)
{
    struct fake *fake = producer->fake;
    if (fake->away || send->due_ns > now_ns) {
        if (now_ns < send->expiry_ns)
            return false;
        weir_error_set(&send->error, WEIR_TIMEOUT, -1, "%s [%d]: not delivered within %d ms",
                       send->topic->name, send->partition, producer->delivery_timeout_ms);
        send->error.retriable = true;
    } else if (producer->fenced) { /* its transaction has ended without it */
        (void)fake_transaction_check(producer, &send->error);
    } else if (!fake_fails(fake, WEIR_KAFKA_FAKE_DELIVERY, send->topic->name, &send->error)) {
        struct fake_partition *log = &send->topic->partitions[send->partition];
        enum weir_err err = fake_transaction_touch(producer, send->topic, send->partition);
        send->record.transaction = producer->transaction;
        if (err == WEIR_OK)
            err = fake_append(log, &send->record);
        if (err != WEIR_OK)
            weir_error_set(&send->error, err, -1, "%s [%d]: the log is full", send->topic->name,
                           send->partition);
        send->record.offset = log->next - 1;
    }
    if (producer->transaction != NULL && send->error.code != WEIR_OK)
        producer->transaction->failed = true;
    send_finish(producer, send);
    return true;
}

void fake_producers_advance(struct fake *fake)
{
    int64_t now_ns = fake_now_ns(fake);
    for (struct fake_producer *producer = fake->producers; producer != NULL;
         producer = producer->next) {
        while (producer->done_count < producer->send_count &&
               send_settle(producer, send_at(producer, producer->done_count), now_ns))
            continue;
    }
}

bool fake_producers_wait(const struct fake *fake)
{
    for (const struct fake_producer *producer = fake->producers; producer != NULL;
         producer = producer->next)
        if (producer->done_count < producer->send_count)
            return true;
    return false;
}

/* ---- produce --------------------------------------------------------------------------------- */

static enum weir_err find_place(struct fake *fake, const struct weir_kafka_record *record,
                                struct fake_topic **topic_out, int32_t *partition_out,
                                struct weir_error *error)
{
    struct fake_topic *topic = fake_topic_find(fake, record->topic);
    if (topic == NULL && fake->options.partitions_default > 0) {
        enum weir_err err =
            fake_topic_grow(fake, record->topic, fake->options.partitions_default, &topic);
        if (err != WEIR_OK)
            return weir_error_set(error, err, -1, "%s can't be created", record->topic);
    }
    if (topic == NULL)
        return weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no topic %s", record->topic);
    if (record->partition >= topic->partition_count)
        return weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no partition %s [%d]",
                              record->topic, record->partition);
    *partition_out = fake_partition_of(fake, topic, record);
    *topic_out = topic;
    return WEIR_OK;
}

static enum weir_err ring_reserve(struct fake_producer *producer)
{
    if (producer->send_count < producer->send_capacity)
        return WEIR_OK;
    if (producer->send_capacity >= SENDS_MAX)
        return WEIR_AGAIN;
    uint32_t more = producer->send_capacity > 0 ? producer->send_capacity * 2 : 64;
    struct fake_send *sends = weir_calloc(more, sizeof(*sends));
    if (sends == NULL)
        return WEIR_NOMEM;
    for (uint32_t i = 0; i < producer->send_count; i++)
        sends[i] = *send_at(producer, i);
    weir_free(producer->sends);
    producer->sends = sends;
    producer->send_first = 0;
    producer->send_capacity = more;
    return WEIR_OK;
}

static enum weir_err produce_locked(struct fake_producer *producer,
                                    const struct weir_kafka_record *record,
                                    struct weir_error *error)
{
    struct fake *fake = producer->fake;
    struct weir_error failure = {0};
    if (fake_fails(fake, WEIR_KAFKA_FAKE_PRODUCE, record->topic, &failure)) {
        if (error != NULL)
            *error = failure;
        return failure.code;
    }
    struct fake_send send = {.opaque = record->opaque};
    enum weir_err err = fake_transaction_check(producer, error);
    if (err != WEIR_OK)
        return err;
    err = find_place(fake, record, &send.topic, &send.partition, error);
    if (err != WEIR_OK)
        return err;
    size_t bytes = record->key.bytes + record->value.bytes;
    if (producer->queued_bytes > 0 && producer->queued_bytes + bytes > producer->queue_bytes)
        return weir_error_set(error, WEIR_AGAIN, -1, "the send queue is full");
    err = ring_reserve(producer);
    if (err == WEIR_OK)
        err = fake_record_copy(fake, record, &send.record, &send.bytes);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "%s [%d]: a record of %zu bytes can't be taken",
                              record->topic, send.partition, bytes);
    int64_t now_ns = fake_now_ns(fake);
    send.due_ns = now_ns + fake->options.delivery_delay_ms * WEIR_NS_PER_MS;
    send.expiry_ns = now_ns + producer->delivery_timeout_ms * WEIR_NS_PER_MS;
    producer->send_count++;
    *send_at(producer, producer->send_count - 1) = send;
    producer->queued_bytes += send.bytes;
    return WEIR_OK;
}

enum weir_err fake_produce(struct weir_kafka_producer *base, const struct weir_kafka_record *record,
                           struct weir_error *error)
{
    struct fake_producer *producer = producer_of(base);
    fake_lock(producer->fake);
    fake_advance(producer->fake);
    enum weir_err err = produce_locked(producer, record, error);
    fake_advance(producer->fake);
    fake_unlock(producer->fake);
    return err;
}

enum weir_err fake_produce_rows(struct weir_kafka_producer *base, const char *topic,
                                int32_t partition, const struct weir_rows *rows, uint32_t first,
                                uint32_t end, void *opaque, uint32_t *accepted_out,
                                struct weir_error *error)
{
    static const struct weir_slice none;
    struct fake_producer *producer = producer_of(base);
    enum weir_err err = WEIR_OK;
    uint32_t row = first;
    fake_lock(producer->fake);
    fake_advance(producer->fake);
    for (; row < end; row++) {
        struct weir_kafka_record record = {
            .topic = topic,
            .partition = partition,
            .timestamp_ms = rows->timestamp_ms != NULL ? rows->timestamp_ms[row] : -1,
            .key = rows->key != NULL ? rows->key[row] : none,
            .value = rows->value != NULL ? rows->value[row] : none,
            .headers = rows->headers != NULL ? rows->headers[row] : NULL,
            .header_count = rows->header_count != NULL ? rows->header_count[row] : 0,
            .opaque = opaque,
        };
        err = produce_locked(producer, &record, error);
        if (err != WEIR_OK)
            break;
    }
    fake_advance(producer->fake);
    fake_unlock(producer->fake);
    *accepted_out = row - first;
    return err;
}

/* ---- reports --------------------------------------------------------------------------------- */

uint32_t fake_producer_report(struct fake_producer *producer)
{
    uint32_t count = 0;
    while (producer->done_count > 0) {
        struct fake_send send = *send_at(producer, 0);
        producer->send_first = (producer->send_first + 1) % producer->send_capacity;
        producer->send_count--;
        producer->done_count--;
        count++;
        if (producer->delivered == NULL)
            continue;
        fake_unlock(producer->fake);
        bool failed = send.error.code != WEIR_OK;
        producer->delivered(producer->opaque, send.opaque, send.partition,
                            failed ? -1 : send.record.offset, failed ? &send.error : NULL);
        fake_lock(producer->fake);
    }
    return count;
}

uint32_t fake_producer_poll(struct weir_kafka_producer *base, int32_t timeout_ms)
{
    struct fake_producer *producer = producer_of(base);
    struct fake *fake = producer->fake;
    fake_lock(fake);
    fake_advance(fake);
    int64_t deadline_ns = fake_deadline(fake, timeout_ms);
    uint32_t count = fake_producer_report(producer);
    while (count == 0 && producer->send_count > 0 && fake_wait(fake, deadline_ns))
        count = fake_producer_report(producer);
    fake_unlock(fake);
    return count;
}

enum weir_err fake_producer_flush(struct weir_kafka_producer *base, int32_t timeout_ms)
{
    struct fake_producer *producer = producer_of(base);
    struct fake *fake = producer->fake;
    fake_lock(fake);
    fake_advance(fake);
    int64_t deadline_ns = fake_deadline(fake, timeout_ms);
    fake_producer_report(producer);
    while (producer->send_count > 0 && fake_wait(fake, deadline_ns))
        fake_producer_report(producer);
    enum weir_err err = producer->send_count > 0 ? WEIR_TIMEOUT : WEIR_OK;
    fake_unlock(fake);
    return err;
}

uint64_t fake_producer_pending(const struct weir_kafka_producer *base)
{
    struct fake_producer *producer = producer_of(base);
    fake_lock(producer->fake);
    uint64_t pending = producer->send_count;
    fake_unlock(producer->fake);
    return pending;
}

void fake_producer_purge(struct fake_producer *producer, const char *why)
{
    while (producer->done_count < producer->send_count) {
        struct fake_send *send = send_at(producer, producer->done_count);
        weir_error_set(&send->error, WEIR_CLOSED, -1, "%s [%d]: %s", send->topic->name,
                       send->partition, why);
        send_finish(producer, send);
    }
}

void fake_producer_close(struct weir_kafka_producer *base)
{
    struct fake_producer *producer = producer_of(base);
    struct fake *fake = producer->fake;
    fake_lock(fake);
    fake_advance(fake);
    fake_producer_purge(producer, "the producer was closed");
    fake_producer_report(producer);
    if (producer->transaction != NULL)
        fake_transaction_end(fake, producer->transaction, false);
    struct fake_producer **link = &fake->producers;
    while (*link != producer)
        link = &(*link)->next;
    *link = producer->next;
    fake->client_count--;
    fake_unlock(fake);
    weir_free(producer->sends);
    weir_free(producer->transactional_id);
    weir_free(producer);
}
