/*
 * The in-memory cluster's consumer: joins, is told of rebalances, reads, commits.
 *
 * States of a membership: not joined (joins in the next poll) -> joined -> evicted (the next poll
 * tells lost with gone) -> not joined.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kafka/fake/fake_impl.h"

static struct fake_consumer *consumer_of(const struct weir_kafka_consumer *base)
{
    return (struct fake_consumer *)(uintptr_t)base;
}

static void consumer_free(struct fake_consumer *consumer)
{
    weir_batch_pool_release(&consumer->pool);
    for (uint32_t i = 0; i < consumer->topic_count; i++)
        weir_free(consumer->topics[i]);
    weir_free(consumer->topics);
    weir_free(consumer->owned);
    weir_free(consumer);
}

enum weir_err fake_consumer_new(struct weir_kafka *kafka,
                                const struct weir_kafka_consumer_options *options,
                                struct weir_kafka_consumer **consumer_out, struct weir_error *error)
{
    struct fake *fake = WEIR_CONTAINER(kafka, struct fake, base);
    struct fake_consumer *consumer = weir_calloc(1, sizeof(*consumer));
    if (consumer == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a consumer");
    consumer->base.ops = &weir_kafka_fake_ops;
    consumer->fake = fake;
    consumer->from_end = options->from_end;
    consumer->rebalance = options->rebalance;
    weir_batch_pool_init(&consumer->pool, NULL);
    consumer->topics = weir_calloc(options->topic_count, sizeof(*consumer->topics));
    bool made = consumer->topics != NULL;
    for (uint32_t i = 0; i < options->topic_count && made; i++) {
        consumer->topics[i] = weir_strdup(options->topics[i]);
        made = consumer->topics[i] != NULL;
        consumer->topic_count += made;
    }
    fake_lock(fake);
    made = made && fake_group_get(fake, options->group_id, &consumer->group) == WEIR_OK;
    fake->client_count += made;
    fake_unlock(fake);
    if (!made) {
        consumer_free(consumer);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a consumer");
    }
    *consumer_out = &consumer->base;
    return WEIR_OK;
}

/* ---- rebalance ------------------------------------------------------------------------------- */

struct told {
    struct weir_kafka_partition *partitions;
    int32_t *indexes;
    uint32_t count;
};

static bool told_init(struct told *told, uint32_t capacity)
{
    told->count = 0;
    told->partitions = weir_calloc(capacity, sizeof(*told->partitions));
    told->indexes = weir_calloc(capacity, sizeof(*told->indexes));
    return told->partitions != NULL && told->indexes != NULL;
}

static void told_release(struct told *told)
{
    weir_free(told->partitions);
    weir_free(told->indexes);
}

static void told_add(struct told *told, const struct fake_slot *slot, int64_t offset,
                     uint32_t index)
{
    told->partitions[told->count] = (struct weir_kafka_partition){
        .topic = slot->topic->name,
        .partition = slot->partition,
        .offset = offset,
        .committed = slot->committed >= 0 && slot->committed == offset};
    told->indexes[told->count++] = (int32_t)index;
}

static bool is_read_for(const struct fake_consumer *consumer, const struct fake_slot *slot)
{
    for (uint32_t i = 0; i < consumer->owned_capacity; i++)
        if (consumer->owned[i].slot == slot)
            return true;
    return false;
}

/* Lets go of the slots that have nothing to be read. */
static bool let_go_idle(struct fake_consumer *consumer, bool all)
{
    bool again = false;
    for (uint32_t i = 0; i < consumer->group->slot_count; i++) {
        struct fake_slot *slot = consumer->group->slots[i];
        if (slot->owner != consumer || (!all && slot->target == consumer) ||
            is_read_for(consumer, slot))
            continue;
        slot->owner = NULL;
        again |= slot->benched;
    }
    return again;
}

/* Tells `lost` of what is read for slots that go (for `only`, for all of them with `all`), then
 * lets those go. */
static bool lose(struct fake_consumer *consumer, bool all, const struct fake_slot *only, bool gone)
{
    struct fake *fake = consumer->fake;
    struct told told;
    bool told_any = false;
    if (!told_init(&told, consumer->owned_capacity + 1))
        goto out;
    for (uint32_t i = 0; i < consumer->owned_capacity; i++) {
        struct fake_owned *owned = &consumer->owned[i];
        if (owned->slot != NULL &&
            (all || (only != NULL ? owned->slot == only : owned->slot->target != consumer)))
            told_add(&told, owned->read, owned->position, i);
    }
    told_any = told.count > 0;
    if (told_any && consumer->rebalance.lost != NULL) {
        consumer->in_lost = consumer->in_callback = true;
        fake_unlock(fake);
        consumer->rebalance.lost(consumer->rebalance.opaque, told.partitions, told.indexes,
                                 told.count, gone);
        fake_lock(fake);
        consumer->in_lost = consumer->in_callback = false;
    }
    bool again = false;
    for (uint32_t i = 0; i < told.count; i++) {
        struct fake_owned *owned = &consumer->owned[told.indexes[i]];
        if (owned->slot->owner == consumer)
            owned->slot->owner = NULL;
        again |= owned->slot->benched;
        owned->slot = owned->read = NULL;
    }
    again |= let_go_idle(consumer, all);
    if (again)
        fake_group_begin(fake, consumer->group);
    fake_changed(fake);
out:
    told_release(&told);
    return told_any;
}

static int64_t begin_offset(struct fake_consumer *consumer, struct fake_slot *slot)
{
    const struct fake_partition *log = &slot->topic->partitions[slot->partition];
    if (slot->committed < 0)
        return consumer->from_end ? log->next : log->first;
    if (slot->committed >= log->first && slot->committed <= log->next)
        return slot->committed;
    weir_log(&consumer->fake->options.log, WEIR_LOG_WARN, "kafka",
             "%s [%d]: the committed offset %lld is not in the log any more, reading from %lld",
             slot->topic->name, slot->partition, (long long)slot->committed, (long long)log->first);
    return log->first;
}

/* So many free indexes. */
static bool make_room(struct fake_consumer *consumer, uint32_t count)
{
    for (uint32_t i = 0; i < consumer->owned_capacity; i++)
        count -= count > 0 && consumer->owned[i].slot == NULL;
    if (count == 0)
        return true;
    uint32_t more = consumer->owned_capacity + count + 16;
    struct fake_owned *owned = weir_realloc_array(consumer->owned, more, sizeof(*owned));
    if (owned == NULL)
        return false;
    memset(owned + consumer->owned_capacity, 0, (more - consumer->owned_capacity) * sizeof(*owned));
    consumer->owned = owned;
    consumer->owned_capacity = more;
    return true;
}

/* What is to be read for a slot: itself, or what the consumer names, which it is asked without the
 * lock. False: it can't be had yet. */
static bool sources_of(struct fake_consumer *consumer, struct fake_slot *slot,
                       struct fake_slot **out, uint32_t *count_out)
{
    struct fake *fake = consumer->fake;
    struct weir_kafka_partition sources[WEIR_KAFKA_SOURCES_MAX];
    out[0] = slot;
    *count_out = 1;
    if (consumer->rebalance.sources == NULL)
        return true;
    fake_unlock(fake);
    *count_out = consumer->rebalance.sources(consumer->rebalance.opaque, slot->topic->name,
                                             slot->partition, sources, WEIR_KAFKA_SOURCES_MAX);
    fake_lock(fake);
    for (uint32_t i = 0; i < *count_out; i++) {
        struct fake_topic *topic = fake_topic_find(fake, sources[i].topic);
        if (topic == NULL || sources[i].partition >= topic->partition_count ||
            fake_slot_get(consumer->group, topic, sources[i].partition, &out[i]) != WEIR_OK)
            return false;
    }
    return true;
}

static bool is_to_gain(const struct fake_consumer *consumer, const struct fake_slot *slot)
{
    return slot->target == consumer && slot->owner == NULL && !slot->benched;
}

/* Takes a slot with all that is read for it, or nothing. */
static void take_over(struct fake_consumer *consumer, struct fake_slot *slot, struct told *told)
{
    struct fake_slot *sources[WEIR_KAFKA_SOURCES_MAX];
    uint32_t count, index = 0;
    if (!sources_of(consumer, slot, sources, &count) || !is_to_gain(consumer, slot) ||
        !make_room(consumer, count))
        return;
    for (uint32_t i = 0; i < count; i++)
        if (fake_transaction_holds(consumer->fake, sources[i]))
            return; /* how that ends decides where reading begins */
    slot->owner = consumer;
    for (uint32_t i = 0; i < count; i++) {
        while (consumer->owned[index].slot != NULL)
            index++;
        int64_t offset = begin_offset(consumer, sources[i]);
        consumer->owned[index] = (struct fake_owned){slot, sources[i], offset};
        told_add(told, sources[i], offset, index);
    }
}

static bool gain(struct fake_consumer *consumer)
{
    struct fake *fake = consumer->fake;
    struct fake_group *group = consumer->group;
    struct told told;
    uint32_t slot_count = group->slot_count, gains = 0; /* sources are added to the slots */
    for (uint32_t i = 0; i < slot_count; i++)
        gains += is_to_gain(consumer, group->slots[i]);
    if (gains == 0)
        return false;
    bool told_any = false;
    if (!told_init(&told, gains * WEIR_KAFKA_SOURCES_MAX))
        goto out;
    for (uint32_t i = 0; i < slot_count && gains > 0; i++)
        if (is_to_gain(consumer, group->slots[i])) {
            take_over(consumer, group->slots[i], &told);
            gains--;
        }
    told_any = told.count > 0;
    if (told_any && consumer->rebalance.gained != NULL) {
        consumer->in_callback = true;
        fake_unlock(fake);
        consumer->rebalance.gained(consumer->rebalance.opaque, told.partitions, told.indexes,
                                   told.count);
        fake_lock(fake);
        consumer->in_callback = false;
    }
out:
    told_release(&told);
    return told_any;
}

static bool has_other_sources(struct fake_consumer *consumer, struct fake_slot *slot)
{
    struct fake_slot *sources[WEIR_KAFKA_SOURCES_MAX];
    uint32_t count, owned = 0, same = 0;
    if (!sources_of(consumer, slot, sources, &count))
        return true;
    for (uint32_t i = 0; i < consumer->owned_capacity; i++) {
        if (consumer->owned[i].slot != slot)
            continue;
        owned++;
        for (uint32_t k = 0; k < count; k++)
            same += consumer->owned[i].read == sources[k];
    }
    return owned != count || same != count;
}

/* Slots for which others are to be read now are lost; they are gained again like any other. */
static void ask_sources(struct fake_consumer *consumer)
{
    const struct fake_group *group = consumer->group;
    consumer->ask_sources = false;
    for (uint32_t i = 0; i < group->slot_count; i++) {
        struct fake_slot *slot = group->slots[i];
        if (slot->owner != consumer || !has_other_sources(consumer, slot))
            continue;
        lose(consumer, false, slot, false);
        if (slot->owner == consumer)
            slot->owner = NULL; /* it had none before */
    }
}

/* The group has settled, and there is nothing for this member: said once a generation. */
static void tell_nothing(struct fake_consumer *consumer)
{
    struct fake *fake = consumer->fake;
    const struct fake_group *group = consumer->group;
    if (consumer->evicted || group->rebalancing || consumer->told_generation == group->generation)
        return;
    consumer->told_generation = group->generation;
    for (uint32_t i = 0; i < group->slot_count; i++)
        if (group->slots[i]->owner == consumer || group->slots[i]->target == consumer)
            return;
    if (consumer->rebalance.gained == NULL)
        return;
    consumer->in_callback = true;
    fake_unlock(fake);
    consumer->rebalance.gained(consumer->rebalance.opaque, NULL, NULL, 0);
    fake_lock(fake);
    consumer->in_callback = false;
}

/* Tells what is to be told. */
static enum weir_err serve(struct fake_consumer *consumer, struct weir_error *error)
{
    struct fake *fake = consumer->fake;
    if (consumer->evicted) {
        lose(consumer, true, NULL, true);
        consumer->evicted = consumer->joined = false;
    }
    if (!consumer->joined && !fake->away) {
        enum weir_err err = fake_group_join(fake, consumer->group, consumer);
        if (err != WEIR_OK)
            return weir_error_set(error, err, -1, "group %s can't be joined",
                                  consumer->group->name);
        consumer->joined = true;
    }
    fake_advance(fake);
    if (consumer->ask_sources && !consumer->evicted && !consumer->group->rebalancing)
        ask_sources(consumer);
    while (!consumer->evicted && !consumer->group->rebalancing &&
           (lose(consumer, false, NULL, false) || gain(consumer)))
        fake_advance(fake);
    tell_nothing(consumer);
    return WEIR_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

/*
 * The next partition in turn that is wanted and has something. `want` is called with the lock let
 * go: it may look at the cluster.
 */
static enum weir_err take(struct fake_consumer *consumer, uint32_t count_max,
                          bool (*want)(void *opaque, int32_t partition_index), void *want_opaque,
                          struct weir_kafka_batch *batch, struct weir_error *error)
{
    struct fake *fake = consumer->fake;
    if (fake->away)
        return WEIR_AGAIN;
    for (uint32_t step = 0; step < consumer->owned_capacity; step++) {
        uint32_t index = (consumer->cursor + step) % consumer->owned_capacity;
        struct fake_owned *owned = &consumer->owned[index];
        struct fake_slot *slot = owned->read;
        if (slot == NULL || owned->position >= slot->topic->partitions[slot->partition].next)
            continue;
        if (want != NULL) {
            fake_unlock(fake);
            bool wanted = want(want_opaque, (int32_t)index);
            fake_lock(fake);
            if (!wanted)
                continue;
        }
        struct fake_partition *log = &slot->topic->partitions[slot->partition];
        if (consumer->evicted || owned->slot->owner != consumer)
            return WEIR_AGAIN;
        if (owned->position < log->first)
            owned->position = log->first;
        struct weir_error failure = {0};
        if (fake_fails(fake, WEIR_KAFKA_FAKE_FETCH, slot->topic->name, &failure)) {
            if (error != NULL)
                *error = failure;
            return failure.code;
        }
        enum weir_err err = fake_take(fake, &consumer->pool, slot->topic, slot->partition,
                                      log->next, count_max, &owned->position, batch);
        if (err == WEIR_AGAIN)
            continue;
        consumer->cursor = index + 1;
        if (err == WEIR_OK)
            batch->partition_index = (int32_t)index;
        else
            weir_error_set(error, err, -1, "no memory for a batch");
        return err;
    }
    return WEIR_AGAIN;
}

enum weir_err fake_consumer_poll(struct weir_kafka_consumer *base, uint32_t count_max,
                                 int32_t timeout_ms,
                                 bool (*want)(void *opaque, int32_t partition_index),
                                 void *want_opaque, struct weir_kafka_batch *batch,
                                 struct weir_error *error)
{
    struct fake_consumer *consumer = consumer_of(base);
    struct fake *fake = consumer->fake;
    fake_lock(fake);
    weir_assert(!consumer->in_callback); /* no poll from within lost and gained */
    int64_t deadline_ns = fake_deadline(fake, timeout_ms);
    enum weir_err err;
    do {
        fake_advance(fake);
        err = serve(consumer, error);
        if (err == WEIR_OK)
            err = take(consumer, count_max, want, want_opaque, batch, error);
    } while (err == WEIR_AGAIN && !consumer->awake && fake_wait(fake, deadline_ns));
    consumer->awake = false;
    fake_unlock(fake);
    return err;
}

/* ---- positions ------------------------------------------------------------------------------- */

static bool is_read(const struct fake_consumer *consumer, const struct fake_slot *slot)
{
    for (uint32_t i = 0; i < consumer->owned_capacity; i++)
        if (consumer->owned[i].read == slot)
            return consumer->owned[i].slot->owner == consumer;
    return false;
}

enum weir_err fake_commit_slot(const struct fake_consumer *consumer,
                               const struct weir_kafka_partition *partition,
                               struct fake_slot **slot_out, struct weir_error *error)
{
    struct fake_slot *slot =
        fake_slot_find(consumer->group, partition->topic, partition->partition);
    if (slot == NULL || !is_read(consumer, slot))
        return weir_error_set(error, WEIR_FENCED, partition->offset,
                              "%s [%d] is not ours to commit", partition->topic,
                              partition->partition);
    /* Apache Kafka would take it; here it is surely a fault of the engine. */
    if (partition->offset > slot->topic->partitions[partition->partition].next)
        return weir_error_set(error, WEIR_INVALID, partition->offset,
                              "%s [%d]: offset %lld is beyond the log's end", partition->topic,
                              partition->partition, (long long)partition->offset);
    *slot_out = slot;
    return WEIR_OK;
}

enum weir_err fake_commit_allowed(const struct fake_consumer *consumer,
                                  enum weir_kafka_fake_call call, const char *topic,
                                  struct weir_error *error)
{
    struct fake *fake = consumer->fake;
    enum weir_err err = WEIR_OK;
    struct weir_error failure = {0};
    if (fake->away) {
        err = weir_error_set(&failure, WEIR_TIMEOUT, -1, "the in-memory broker is away");
        failure.retriable = true;
    } else if (!consumer->joined || consumer->evicted) {
        err = weir_error_set(&failure, WEIR_FENCED, -1, "the membership in %s is over",
                             consumer->group->name);
    } else if (call == WEIR_KAFKA_FAKE_COMMIT && consumer->group->rebalancing &&
               !consumer->in_lost) {
        err = weir_error_set(&failure, WEIR_AGAIN, -1, "group %s is rebalancing",
                             consumer->group->name);
        failure.retriable = true;
    } else if (fake_fails(fake, call, topic, &failure)) {
        err = failure.code;
    }
    if (err != WEIR_OK && error != NULL)
        *error = failure;
    return err;
}

static enum weir_err commit_one(struct fake_consumer *consumer,
                                const struct weir_kafka_partition *partition,
                                struct weir_error *error)
{
    struct fake_slot *slot;
    enum weir_err err = fake_commit_slot(consumer, partition, &slot, error);
    if (err == WEIR_OK)
        slot->committed = partition->offset;
    return err;
}

enum weir_err fake_consumer_commit(struct weir_kafka_consumer *base,
                                   struct weir_kafka_partition *partitions, uint32_t count,
                                   int32_t timeout_ms, struct weir_error *error)
{
    (void)timeout_ms;
    struct fake_consumer *consumer = consumer_of(base);
    fake_lock(consumer->fake);
    fake_advance(consumer->fake);
    enum weir_err err =
        fake_commit_allowed(consumer, WEIR_KAFKA_FAKE_COMMIT, partitions[0].topic, error);
    bool allowed = err == WEIR_OK;
    for (uint32_t i = 0; i < count; i++) {
        partitions[i].err =
            allowed ? commit_one(consumer, &partitions[i], err == WEIR_OK ? error : NULL) : err;
        if (err == WEIR_OK)
            err = partitions[i].err;
    }
    fake_unlock(consumer->fake);
    return err;
}

static struct fake_owned *owned_at(const struct fake_consumer *consumer, int32_t index)
{
    if (index < 0 || (uint32_t)index >= consumer->owned_capacity ||
        consumer->owned[index].slot == NULL)
        return NULL;
    return &consumer->owned[index];
}

enum weir_err fake_consumer_rewind(struct weir_kafka_consumer *base, int32_t partition_index,
                                   int64_t offset, struct weir_error *error)
{
    struct fake_consumer *consumer = consumer_of(base);
    fake_lock(consumer->fake);
    weir_assert(!consumer->in_callback);
    fake_advance(consumer->fake);
    struct fake_owned *owned = owned_at(consumer, partition_index);
    enum weir_err err = WEIR_OK;
    if (owned == NULL || consumer->evicted)
        err = weir_error_set(error, WEIR_NOT_FOUND, -1, "partition index %d is not ours",
                             partition_index);
    else if (consumer->group->rebalancing || owned->slot->target != consumer)
        err =
            weir_error_set(error, WEIR_AGAIN, -1, "group %s is rebalancing", consumer->group->name);
    else
        owned->position = offset;
    fake_unlock(consumer->fake);
    return err;
}

void fake_consumer_sources_changed(struct weir_kafka_consumer *base)
{
    struct fake_consumer *consumer = consumer_of(base);
    fake_lock(consumer->fake);
    consumer->ask_sources = true;
    fake_unlock(consumer->fake);
}

int64_t fake_consumer_lag(const struct weir_kafka_consumer *base, int32_t partition_index)
{
    struct fake_consumer *consumer = consumer_of(base);
    fake_lock(consumer->fake);
    struct fake_owned *owned = owned_at(consumer, partition_index);
    int64_t lag = -1;
    if (owned != NULL)
        lag = fake_readable_end(consumer->fake, owned->read->topic, owned->read->partition) -
              owned->position;
    fake_unlock(consumer->fake);
    return lag;
}

void fake_consumer_wake(struct weir_kafka_consumer *base)
{
    struct fake_consumer *consumer = consumer_of(base);
    fake_lock(consumer->fake);
    consumer->awake = true;
    fake_changed(consumer->fake);
    fake_unlock(consumer->fake);
}

void fake_consumer_close(struct weir_kafka_consumer *base, int32_t timeout_ms)
{
    (void)timeout_ms;
    struct fake_consumer *consumer = consumer_of(base);
    struct fake *fake = consumer->fake;
    fake_lock(fake);
    fake_advance(fake);
    lose(consumer, true, NULL, consumer->evicted);
    fake_group_leave(fake, consumer->group, consumer);
    fake->client_count--;
    fake_advance(fake);
    fake_unlock(fake);
    consumer_free(consumer);
}
