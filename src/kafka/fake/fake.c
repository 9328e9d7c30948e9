/* The in-memory cluster: topics, time, failures, administration. See kafka/fake/fake.h. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kafka/fake/fake_impl.h"

static struct fake *fake_of(struct weir_kafka *kafka)
{
    weir_assert(kafka->ops == &weir_kafka_fake_ops);
    return WEIR_CONTAINER(kafka, struct fake, base);
}

/* ---- time ------------------------------------------------------------------------------------ */

void fake_lock(struct fake *fake)
{
    pthread_mutex_lock(&fake->mutex);
}

void fake_unlock(struct fake *fake)
{
    pthread_mutex_unlock(&fake->mutex);
}

void fake_changed(struct fake *fake)
{
    pthread_cond_broadcast(&fake->changed);
}

int64_t fake_now_ns(const struct fake *fake)
{
    return weir_clock_now_ns(fake->options.clock);
}

int64_t fake_deadline(const struct fake *fake, int32_t timeout_ms)
{
    if (!fake->waits)
        return 0;
    return weir_clock_now_ns(NULL) + (int64_t)timeout_ms * WEIR_NS_PER_MS;
}

/* With the real clock things fall due by themselves: then the wait is cut to a millisecond. */
static bool something_falls_due(const struct fake *fake)
{
    if (weir_clock_real() != fake->options.clock && fake->options.clock != NULL &&
        fake->options.clock->is_virtual)
        return false;
    for (uint32_t i = 0; i < fake->group_count; i++)
        if (fake->groups[i]->rebalancing && !fake->groups[i]->held)
            return true;
    return fake->open != NULL || fake_producers_wait(fake);
}

bool fake_wait(struct fake *fake, int64_t deadline_ns)
{
    int64_t now_ns = weir_clock_now_ns(NULL);
    if (!fake->waits || now_ns >= deadline_ns)
        return false;
    int64_t until_ns = deadline_ns;
    if (something_falls_due(fake) && until_ns > now_ns + WEIR_NS_PER_MS)
        until_ns = now_ns + WEIR_NS_PER_MS;
    struct timespec until = {until_ns / WEIR_NS_PER_SECOND, until_ns % WEIR_NS_PER_SECOND};
    pthread_cond_timedwait(&fake->changed, &fake->mutex, &until);
    fake_advance(fake);
    return true;
}

void fake_advance(struct fake *fake)
{
    fake_producers_advance(fake);
    fake_transactions_advance(fake);
    fake_groups_advance(fake);
}

void weir_kafka_fake_tick(struct weir_kafka *kafka)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    fake_advance(fake);
    fake_changed(fake);
    fake_unlock(fake);
}

/* ---- life ------------------------------------------------------------------------------------ */

void weir_kafka_fake_options_default(struct weir_kafka_fake_options *options)
{
    *options = (struct weir_kafka_fake_options){
        .partitions_default = 1,
        .record_bytes_max = 1 << 20,
        .bytes_max = 256 << 20,
    };
}

enum weir_err weir_kafka_fake_new(const struct weir_kafka_fake_options *options,
                                  struct weir_kafka **kafka_out, struct weir_error *error)
{
    if (options->delivery_delay_ms < 0 || options->rebalance_ms < 0 ||
        options->partitions_default < 0 || options->record_bytes_max == 0 ||
        options->bytes_max < options->record_bytes_max)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "a setting of the in-memory cluster is "
                              "negative, zero or smaller than a record");
    struct fake *fake = weir_calloc(1, sizeof(*fake));
    if (fake == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for the in-memory cluster");
    fake->base.ops = &weir_kafka_fake_ops;
    fake->options = *options;
    fake->waits = options->threads || options->clock == NULL || !options->clock->is_virtual;
    weir_arena_init(&fake->arena, options->bytes_max);
    pthread_mutex_init(&fake->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&fake->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *kafka_out = &fake->base;
    return WEIR_OK;
}

static void topic_free(struct fake_topic *topic)
{
    for (int32_t i = 0; i < topic->partition_count; i++)
        weir_free(topic->partitions[i].records);
    weir_free(topic->partitions);
    weir_free(topic->name);
    weir_free(topic);
}

static void cluster_free(struct weir_kafka *kafka)
{
    struct fake *fake = fake_of(kafka);
    weir_assert(fake->client_count == 0); /* producers, consumers and tables are closed first */
    for (uint32_t i = 0; i < fake->group_count; i++)
        fake_group_free(fake->groups[i]);
    weir_free(fake->groups);
    fake_transactions_free(fake);
    for (uint32_t i = 0; i < fake->topic_count; i++)
        topic_free(fake->topics[i]);
    weir_free(fake->topics);
    weir_arena_release(&fake->arena);
    pthread_cond_destroy(&fake->changed);
    pthread_mutex_destroy(&fake->mutex);
    weir_free(fake);
}

/* ---- topics ---------------------------------------------------------------------------------- */

enum weir_err fake_reserve(void *array_pointer, uint32_t *capacity, uint32_t count, size_t bytes,
                           uint32_t max)
{
    if (count < *capacity)
        return WEIR_OK;
    if (count >= max)
        return WEIR_LIMIT;
    uint32_t more = *capacity < 8 ? 8 : *capacity > max / 2 ? max : *capacity * 2;
    void *array;
    memcpy(&array, array_pointer, sizeof(array));
    array = weir_realloc_array(array, more, bytes);
    if (array == NULL)
        return WEIR_NOMEM;
    memcpy(array_pointer, &array, sizeof(array));
    *capacity = more;
    return WEIR_OK;
}

struct fake_topic *fake_topic_find(struct fake *fake, const char *name)
{
    for (uint32_t i = 0; i < fake->topic_count; i++)
        if (strcmp(fake->topics[i]->name, name) == 0)
            return fake->topics[i];
    return NULL;
}

static enum weir_err topic_add(struct fake *fake, const char *name, struct fake_topic **topic_out)
{
    enum weir_err err = fake_reserve(&fake->topics, &fake->topic_capacity, fake->topic_count,
                                     sizeof(*fake->topics), FAKE_TOPICS_MAX);
    if (err != WEIR_OK)
        return err;
    struct fake_topic *topic = weir_calloc(1, sizeof(*topic));
    if (topic == NULL)
        return WEIR_NOMEM;
    topic->name = weir_strdup(name);
    if (topic->name == NULL) {
        weir_free(topic);
        return WEIR_NOMEM;
    }
    fake->topics[fake->topic_count++] = topic;
    *topic_out = topic;
    return WEIR_OK;
}

enum weir_err fake_topic_grow(struct fake *fake, const char *name, int32_t partitions,
                              struct fake_topic **topic_out)
{
    if (partitions < 1 || partitions > FAKE_PARTITIONS_MAX)
        return WEIR_LIMIT;
    struct fake_topic *topic = fake_topic_find(fake, name);
    if (topic == NULL) {
        enum weir_err err = topic_add(fake, name, &topic);
        if (err != WEIR_OK)
            return err;
    }
    if (topic->partition_count < partitions) {
        struct fake_partition *grown =
            weir_realloc_array(topic->partitions, (size_t)partitions, sizeof(*grown));
        if (grown == NULL)
            return WEIR_NOMEM;
        memset(grown + topic->partition_count, 0,
               (size_t)(partitions - topic->partition_count) * sizeof(*grown));
        topic->partitions = grown;
        topic->partition_count = partitions;
        fake->topics_version++;
    }
    if (topic_out != NULL)
        *topic_out = topic;
    return WEIR_OK;
}

enum weir_err weir_kafka_fake_topic(struct weir_kafka *kafka, const char *topic, int32_t partitions)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    enum weir_err err = fake_topic_grow(fake, topic, partitions, NULL);
    fake_advance(fake);
    fake_changed(fake);
    fake_unlock(fake);
    return err;
}

/* ---- failures -------------------------------------------------------------------------------- */

void weir_kafka_fake_fail(struct weir_kafka *kafka, const struct weir_kafka_fake_failure *failure)
{
    struct fake *fake = fake_of(kafka);
    weir_assert(failure->call < WEIR_KAFKA_FAKE_CALL_COUNT);
    weir_assert(failure->count == 0 || failure->err != WEIR_OK);
    fake_lock(fake);
    fake->failures[failure->call].failure = *failure;
    char *topic = fake->failures[failure->call].topic;
    topic[0] = '\0';
    if (failure->topic != NULL) {
        size_t bytes = strlen(failure->topic);
        weir_assert(bytes <= WEIR_KAFKA_TOPIC_BYTES_MAX);
        memcpy(topic, failure->topic, bytes + 1);
    }
    fake_unlock(fake);
}

uint64_t weir_kafka_fake_failed(struct weir_kafka *kafka, enum weir_kafka_fake_call call)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    uint64_t failed = fake->failures[call].failed;
    fake_unlock(fake);
    return failed;
}

bool fake_fails(struct fake *fake, enum weir_kafka_fake_call call, const char *topic,
                struct weir_error *error)
{
    struct weir_kafka_fake_failure *failure = &fake->failures[call].failure;
    const char *only = fake->failures[call].topic;
    if (failure->count == 0 || (only[0] != '\0' && (topic == NULL || strcmp(only, topic) != 0)))
        return false;
    if (failure->skip > 0) {
        failure->skip--;
        return false;
    }
    failure->count--;
    fake->failures[call].failed++;
    weir_error_set(error, failure->err, -1, "%s: a failure that the test asked for",
                   topic != NULL ? topic : "cluster");
    if (error != NULL) {
        error->retriable = failure->retriable;
        error->fatal = failure->fatal;
    }
    return true;
}

void weir_kafka_fake_away(struct weir_kafka *kafka, bool away)
{
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    fake->away = away;
    fake_advance(fake);
    fake_changed(fake);
    fake_unlock(fake);
}

/* ---- administration -------------------------------------------------------------------------- */

/* Before any administration: is there somebody to ask? */
static enum weir_err admin_begin(struct fake *fake, const char *topic, struct weir_error *error)
{
    fake_advance(fake);
    if (fake->away) {
        weir_error_set(error, WEIR_BROKER, -1, "the in-memory broker is away");
        if (error != NULL)
            error->retriable = true;
        return WEIR_BROKER;
    }
    struct weir_error failure = {0};
    if (fake_fails(fake, WEIR_KAFKA_FAKE_ADMIN, topic, &failure)) {
        if (error != NULL)
            *error = failure;
        return failure.code;
    }
    return WEIR_OK;
}

static enum weir_err topics_create(struct weir_kafka *kafka, const struct weir_kafka_topic *topics,
                                   uint32_t count, int32_t timeout_ms, bool *created_out,
                                   struct weir_error *error)
{
    (void)timeout_ms;
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++) {
        err = admin_begin(fake, topics[i].name, error);
        bool missing = fake_topic_find(fake, topics[i].name) == NULL;
        if (err == WEIR_OK && missing) {
            int32_t partitions = topics[i].partitions > 0 ? topics[i].partitions : 1;
            err = fake_topic_grow(fake, topics[i].name, partitions, NULL);
            if (err != WEIR_OK)
                weir_error_set(error, err, -1, "%s can't be created", topics[i].name);
        }
        if (err == WEIR_OK && created_out != NULL)
            created_out[i] = missing;
    }
    fake_advance(fake);
    fake_changed(fake);
    fake_unlock(fake);
    return err;
}

static enum weir_err topic_grow(struct weir_kafka *kafka, const char *name, int32_t partitions,
                                int32_t timeout_ms, struct weir_error *error)
{
    (void)timeout_ms;
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    enum weir_err err = admin_begin(fake, name, error);
    const struct fake_topic *topic = fake_topic_find(fake, name);
    if (err == WEIR_OK && topic == NULL)
        err = weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no topic %s", name);
    else if (err == WEIR_OK && topic->partition_count >= partitions)
        err = weir_error_set(error, WEIR_INVALID, -1, "topic %s has %d partitions already", name,
                             topic->partition_count);
    if (err == WEIR_OK && (err = fake_topic_grow(fake, name, partitions, NULL)) != WEIR_OK)
        weir_error_set(error, err, -1, "%s can't be given partitions", name);
    fake_advance(fake);
    fake_changed(fake);
    fake_unlock(fake);
    return err;
}

static enum weir_err delete_records(struct weir_kafka *kafka,
                                    const struct weir_kafka_partition *partitions, uint32_t count,
                                    int32_t timeout_ms, struct weir_error *error)
{
    struct fake *fake = fake_of(kafka);
    enum weir_err err = WEIR_OK;
    (void)timeout_ms;
    fake_lock(fake);
    for (uint32_t i = 0; i < count && err == WEIR_OK; i++) {
        struct fake_topic *topic = fake_topic_find(fake, partitions[i].topic);
        int32_t partition = partitions[i].partition;
        err = admin_begin(fake, partitions[i].topic, error);
        if (err == WEIR_OK && (topic == NULL || partition >= topic->partition_count))
            err = weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no %s [%d]",
                                 partitions[i].topic, (int)partition);
        else if (err == WEIR_OK && partitions[i].offset > topic->partitions[partition].next)
            err = weir_error_set(error, WEIR_INVALID, -1, "%s [%d] has no offset %lld",
                                 partitions[i].topic, (int)partition,
                                 (long long)partitions[i].offset);
        else if (err == WEIR_OK && partitions[i].offset > topic->partitions[partition].first)
            fake_log_trim(&topic->partitions[partition], partitions[i].offset);
    }
    fake_unlock(fake);
    return err;
}

static enum weir_err topic_partitions(struct weir_kafka *kafka, const char *name,
                                      int32_t timeout_ms, int32_t *partitions_out,
                                      struct weir_error *error)
{
    (void)timeout_ms;
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    enum weir_err err = admin_begin(fake, name, error);
    if (err == WEIR_OK) {
        struct fake_topic *topic = fake_topic_find(fake, name);
        if (topic != NULL)
            *partitions_out = topic->partition_count;
        else
            err = weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no topic %s", name);
    }
    fake_unlock(fake);
    return err;
}

static enum weir_err offsets(struct weir_kafka *kafka, const char *name, int32_t partition,
                             int32_t timeout_ms, int64_t *first_out, int64_t *next_out,
                             struct weir_error *error)
{
    (void)timeout_ms;
    struct fake *fake = fake_of(kafka);
    fake_lock(fake);
    enum weir_err err = admin_begin(fake, name, error);
    if (err == WEIR_OK) {
        struct fake_topic *topic = fake_topic_find(fake, name);
        if (topic != NULL && partition < topic->partition_count) {
            *first_out = topic->partitions[partition].first;
            *next_out = topic->partitions[partition].next;
        } else {
            err = weir_error_set(error, WEIR_NOT_FOUND, -1, "there is no partition %s [%d]", name,
                                 partition);
        }
    }
    fake_unlock(fake);
    return err;
}

static int compare_topics(const void *a, const void *b)
{
    const struct fake_topic *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static enum weir_err topics_list(struct weir_kafka *kafka, int32_t timeout_ms,
                                 void (*each)(void *opaque, const char *name, int32_t partitions),
                                 void *opaque, struct weir_error *error)
{
    (void)timeout_ms;
    struct fake *fake = fake_of(kafka);
    struct fake_topic **sorted = NULL;
    uint32_t count = 0;
    fake_lock(fake);
    enum weir_err err = admin_begin(fake, NULL, error);
    if (err == WEIR_OK) {
        count = fake->topic_count;
        sorted = weir_realloc_array(NULL, count + 1, sizeof(struct fake_topic *));
        if (sorted == NULL)
            err = weir_error_set(error, WEIR_NOMEM, -1, "no memory for %u topics", count);
        else if (count > 0)
            memcpy(sorted, fake->topics, count * sizeof(struct fake_topic *));
    }
    fake_unlock(fake);
    if (err != WEIR_OK)
        return err;
    /* Topics live as long as the cluster, and their names never change. */
    qsort(sorted, count, sizeof(struct fake_topic *), compare_topics);
    for (uint32_t i = 0; i < count; i++)
        each(opaque, sorted[i]->name, sorted[i]->partition_count);
    weir_free(sorted);
    return WEIR_OK;
}

const struct weir_kafka_ops weir_kafka_fake_ops = {
    .abi = WEIR_KAFKA_ABI,
    .free = cluster_free,
    .topics_create = topics_create,
    .topic_grow = topic_grow,
    .delete_records = delete_records,
    .topic_partitions = topic_partitions,
    .offsets = offsets,
    .topics_list = topics_list,
    .group_assignments = fake_group_assignments,
    .producer_new = fake_producer_new,
    .produce = fake_produce,
    .produce_rows = fake_produce_rows,
    .producer_poll = fake_producer_poll,
    .producer_flush = fake_producer_flush,
    .producer_pending = fake_producer_pending,
    .producer_close = fake_producer_close,
    .transactions_init = fake_transactions_init,
    .transaction_begin = fake_transaction_begin,
    .transaction_offsets = fake_transaction_offsets,
    .transaction_commit = fake_transaction_commit,
    .transaction_abort = fake_transaction_abort,
    .consumer_new = fake_consumer_new,
    .poll = fake_consumer_poll,
    .commit = fake_consumer_commit,
    .rewind = fake_consumer_rewind,
    .sources_changed = fake_consumer_sources_changed,
    .lag = fake_consumer_lag,
    .consumer_wake = fake_consumer_wake,
    .consumer_close = fake_consumer_close,
    .table_open = fake_table_open,
    .table_poll = fake_table_poll,
    .table_partitions = fake_table_partitions,
    .table_end = fake_table_end,
    .table_wake = fake_table_wake,
    .table_close = fake_table_close,
};
