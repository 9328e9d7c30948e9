/*
 * The in-memory cluster's transactions.
 *
 * A transaction knows the places in logs where it began, and offsets of groups. While it is open
 * nobody reads on there; its end decides whether its records can be read, and takes an offset in
 * each log as the markers of a broker do.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kafka/fake/fake_impl.h"

enum { PLACES_MAX = 1 << 20 };

static struct fake_producer *producer_of(const struct weir_kafka_producer *base)
{
    return (struct fake_producer *)(uintptr_t)base;
}

/* ---- ends ------------------------------------------------------------------------------------ */

void fake_transaction_end(struct fake *fake, struct fake_transaction *transaction, bool committed)
{
    struct fake_transaction **link = &fake->open;
    while (*link != transaction)
        link = &(*link)->next;
    *link = transaction->next;
    transaction->next = fake->ended;
    fake->ended = transaction;
    transaction->state = committed ? FAKE_COMMITTED : FAKE_ABORTED;
    transaction->producer->transaction = NULL;
    transaction->producer = NULL;
    for (uint32_t i = 0; i < transaction->place_count; i++) {
        const struct fake_place *place = &transaction->places[i];
        place->topic->partitions[place->partition].next++;
    }
    for (uint32_t i = 0; i < transaction->offset_count && committed; i++)
        transaction->offsets[i].slot->committed = transaction->offsets[i].offset;
    fake_changed(fake);
}

static void fence(struct fake *fake, struct fake_producer *producer)
{
    producer->fenced = true;
    if (producer->transaction != NULL) {
        producer->transaction->failed = true;
        fake_transaction_end(fake, producer->transaction, false);
    }
}

void fake_transactions_advance(struct fake *fake)
{
    int64_t now_ns = fake_now_ns(fake);
    struct fake_transaction *open = fake->open;
    while (open != NULL) {
        struct fake_transaction *next = open->next;
        if (now_ns >= open->expiry_ns)
            fence(fake, open->producer);
        open = next;
    }
}

void weir_kafka_fake_expire(struct weir_kafka *kafka)
{
    weir_assert(kafka->ops == &weir_kafka_fake_ops);
    struct fake *fake = WEIR_CONTAINER(kafka, struct fake, base);
    fake_lock(fake);
    while (fake->open != NULL)
        fence(fake, fake->open->producer);
    fake_unlock(fake);
}

void fake_transactions_free(struct fake *fake)
{
    weir_assert(fake->open == NULL);
    while (fake->ended != NULL) {
        struct fake_transaction *next = fake->ended->next;
        weir_free(fake->ended->places);
        weir_free(fake->ended->offsets);
        weir_free(fake->ended);
        fake->ended = next;
    }
}

bool fake_transaction_holds(const struct fake *fake, const struct fake_slot *slot)
{
    for (const struct fake_transaction *open = fake->open; open != NULL; open = open->next)
        for (uint32_t i = 0; i < open->offset_count; i++)
            if (open->offsets[i].slot == slot)
                return true;
    return false;
}

/* ---- records --------------------------------------------------------------------------------- */

static enum weir_err is_fenced(const struct fake_producer *producer, struct weir_error *error)
{
    if (!producer->fenced)
        return WEIR_OK;
    weir_error_set(error, WEIR_FENCED, -1, "producer %s is fenced", producer->transactional_id);
    if (error != NULL)
        error->fatal = true;
    return WEIR_FENCED;
}

enum weir_err fake_transaction_check(const struct fake_producer *producer, struct weir_error *error)
{
    if (producer->transactional_id == NULL)
        return WEIR_OK;
    enum weir_err err = is_fenced(producer, error);
    if (err == WEIR_OK && producer->transaction == NULL)
        err = weir_error_set(error, WEIR_CLOSED, -1, "producer %s has no transaction",
                             producer->transactional_id);
    return err;
}

enum weir_err fake_transaction_touch(struct fake_producer *producer, struct fake_topic *topic,
                                     int32_t partition)
{
    struct fake_transaction *transaction = producer->transaction;
    if (transaction == NULL)
        return WEIR_OK;
    for (uint32_t i = 0; i < transaction->place_count; i++)
        if (transaction->places[i].topic == topic && transaction->places[i].partition == partition)
            return WEIR_OK;
    enum weir_err err =
        fake_reserve(&transaction->places, &transaction->place_capacity, transaction->place_count,
                     sizeof(*transaction->places), PLACES_MAX);
    if (err == WEIR_OK)
        transaction->places[transaction->place_count++] =
            (struct fake_place){topic, partition, topic->partitions[partition].next};
    return err;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static enum weir_err is_away(const struct fake *fake, struct weir_error *error)
{
    if (!fake->away)
        return WEIR_OK;
    weir_error_set(error, WEIR_TIMEOUT, -1, "the in-memory broker is away");
    if (error != NULL)
        error->retriable = true;
    return WEIR_TIMEOUT;
}

enum weir_err fake_transactions_init(struct weir_kafka_producer *base, int32_t timeout_ms,
                                     struct weir_error *error)
{
    struct fake_producer *producer = producer_of(base);
    struct fake *fake = producer->fake;
    (void)timeout_ms;
    if (producer->transactional_id == NULL)
        return weir_error_set(error, WEIR_INVALID, -1, "the producer has no transactional_id");
    fake_lock(fake);
    fake_advance(fake);
    enum weir_err err = is_away(fake, error);
    if (err == WEIR_OK)
        err = is_fenced(producer, error);
    for (struct fake_producer *other = fake->producers; other != NULL && err == WEIR_OK;
         other = other->next)
        if (other != producer && other->transactional_id != NULL && other->initialised &&
            strcmp(other->transactional_id, producer->transactional_id) == 0)
            fence(fake, other);
    producer->initialised = err == WEIR_OK;
    fake_unlock(fake);
    return err;
}

enum weir_err fake_transaction_begin(struct weir_kafka_producer *base, struct weir_error *error)
{
    struct fake_producer *producer = producer_of(base);
    struct fake *fake = producer->fake;
    fake_lock(fake);
    fake_advance(fake);
    enum weir_err err = is_fenced(producer, error);
    if (err == WEIR_OK && (!producer->initialised || producer->transaction != NULL))
        err = weir_error_set(error, WEIR_INVALID, -1, "%s",
                             producer->initialised ? "a transaction is open already"
                                                   : "transactions are not initialised");
    struct fake_transaction *transaction =
        err == WEIR_OK ? weir_calloc(1, sizeof(*transaction)) : NULL;
    if (transaction != NULL) {
        transaction->producer = producer;
        transaction->expiry_ns =
            fake_now_ns(fake) + producer->transaction_timeout_ms * WEIR_NS_PER_MS;
        transaction->next = fake->open;
        fake->open = producer->transaction = transaction;
    } else if (err == WEIR_OK) {
        err = weir_error_set(error, WEIR_NOMEM, -1, "no memory for a transaction");
    }
    fake_unlock(fake);
    return err;
}

static enum weir_err is_open(const struct fake_producer *producer, struct weir_error *error)
{
    enum weir_err err = is_fenced(producer, error);
    if (err == WEIR_OK)
        err = is_away(producer->fake, error);
    if (err == WEIR_OK && producer->transaction == NULL && !producer->answer_lost)
        err = weir_error_set(error, WEIR_INVALID, -1, "no transaction is open");
    return err;
}

static enum weir_err add_offset(struct fake_transaction *transaction, struct fake_slot *slot,
                                int64_t offset)
{
    for (uint32_t i = 0; i < transaction->offset_count; i++)
        if (transaction->offsets[i].slot == slot) {
            transaction->offsets[i].offset = offset;
            return WEIR_OK;
        }
    enum weir_err err =
        fake_reserve(&transaction->offsets, &transaction->offset_capacity,
                     transaction->offset_count, sizeof(*transaction->offsets), PLACES_MAX);
    if (err == WEIR_OK)
        transaction->offsets[transaction->offset_count++] = (struct fake_pending){slot, offset};
    return err;
}

enum weir_err fake_transaction_offsets(struct weir_kafka_producer *base,
                                       struct weir_kafka_consumer *of,
                                       struct weir_kafka_partition *partitions, uint32_t count,
                                       int32_t timeout_ms, struct weir_error *error)
{
    struct fake_producer *producer = producer_of(base);
    const struct fake_consumer *consumer = (const struct fake_consumer *)(const void *)of;
    struct fake *fake = producer->fake;
    (void)timeout_ms;
    fake_lock(fake);
    fake_advance(fake);
    enum weir_err err = is_open(producer, error);
    if (err == WEIR_OK)
        err = fake_commit_allowed(consumer, WEIR_KAFKA_FAKE_TRANSACTION_OFFSETS,
                                  partitions[0].topic, error);
    bool allowed = err == WEIR_OK;
    for (uint32_t i = 0; i < count; i++) {
        struct fake_slot *slot;
        partitions[i].err = allowed ? fake_commit_slot(consumer, &partitions[i], &slot,
                                                       err == WEIR_OK ? error : NULL)
                                    : err;
        if (partitions[i].err == WEIR_OK)
            partitions[i].err = add_offset(producer->transaction, slot, partitions[i].offset);
        if (err == WEIR_OK)
            err = partitions[i].err;
    }
    fake_unlock(fake);
    return err;
}

/* Nothing stands against the commit. */
static enum weir_err commit_delivered(struct fake_producer *producer, struct weir_error *error)
{
    struct fake *fake = producer->fake;
    struct weir_error failure = {0};
    if (producer->transaction->failed)
        return weir_error_set(error, WEIR_BROKER, -1,
                              "a record of the transaction was not delivered: abort it");
    if (fake_fails(fake, WEIR_KAFKA_FAKE_TRANSACTION_COMMIT, NULL, &failure)) {
        if (error != NULL)
            *error = failure;
        return failure.code;
    }
    fake_transaction_end(fake, producer->transaction, true);
    if (!fake_fails(fake, WEIR_KAFKA_FAKE_TRANSACTION_ANSWER, NULL, &failure))
        return WEIR_OK;
    if (failure.retriable)
        producer->answer_lost = true;
    producer->fenced |= failure.fatal;
    if (error != NULL)
        *error = failure;
    return failure.code;
}

enum weir_err fake_transaction_commit(struct weir_kafka_producer *base, int32_t timeout_ms,
                                      struct weir_error *error)
{
    struct fake_producer *producer = producer_of(base);
    struct fake *fake = producer->fake;
    fake_lock(fake);
    fake_advance(fake);
    int64_t deadline_ns = fake_deadline(fake, timeout_ms);
    fake_producer_report(producer);
    while (producer->send_count > 0 && !fake->away && fake_wait(fake, deadline_ns))
        fake_producer_report(producer);
    enum weir_err err = is_open(producer, error);
    if (err == WEIR_OK && producer->answer_lost) {
        producer->answer_lost = false;
    } else if (err == WEIR_OK && producer->send_count > 0) {
        err = weir_error_set(error, WEIR_TIMEOUT, -1, "%u records are not delivered yet",
                             producer->send_count);
        if (error != NULL)
            error->retriable = true;
    } else if (err == WEIR_OK) {
        err = commit_delivered(producer, error);
    }
    fake_unlock(fake);
    return err;
}

enum weir_err fake_transaction_abort(struct weir_kafka_producer *base, int32_t timeout_ms,
                                     struct weir_error *error)
{
    struct fake_producer *producer = producer_of(base);
    struct fake *fake = producer->fake;
    (void)timeout_ms;
    fake_lock(fake);
    fake_advance(fake);
    fake_producer_purge(producer, "its transaction was aborted");
    fake_producer_report(producer);
    enum weir_err err = is_open(producer, error);
    if (err == WEIR_OK && producer->answer_lost)
        err = weir_error_set(error, WEIR_INVALID, -1, "a commit has been asked for");
    if (err == WEIR_OK)
        fake_transaction_end(fake, producer->transaction, false);
    fake_unlock(fake);
    return err;
}
