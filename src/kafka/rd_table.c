/*
 * A table on librdkafka: every partition of a topic, without joining a group.
 *
 * States of knowledge: partition_count -1 (nobody answered yet) -> 0 (absent; looked for again and
 * again) -> n. What is found when the count is first known has an end; partitions that come later,
 * also those of a topic that was absent at open, are past every end.
 *
 * librdkafka wants a group.id to assign partitions; the one given is made up, joins nothing and
 * commits nothing.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "kafka/rd.h"

enum {
    TABLE_PARTITIONS_MAX = 10000,
    LOOK_AGAIN_MS = 100,
    ABSENT_LOOK_MS = 500,
    PRESENT_LOOK_MS = 30000, /* for partitions that were added */
    EVENTS_A_POLL = 64,
};

struct rd_table {
    struct weir_kafka_table base;
    struct rd_client client;
    struct rd_signal signal;
    _Atomic bool awake;
    struct weir_batch_pool pool;
    char *topic;
    int64_t offset;
    int32_t partition;
    bool open_transactions;          /* the end is behind them */
    _Atomic int32_t partition_count; /* of the topic; -1 = not known */
    bool known, ended;               /* an answer came; END was told */
    struct rd_slot **slots;          /* by partition; NULL = not selected or not begun */
    int32_t slot_count;
    uint32_t cursor;
    int64_t look_ns; /* when to ask for the topic (again) */
    rd_kafka_queue_t *events;
};

static struct rd_table *table_of(const struct weir_kafka_table *base)
{
    return (struct rd_table *)(uintptr_t)base;
}

static void on_event(rd_kafka_t *rk, void *opaque)
{
    (void)rk;
    rd_signal_raise(opaque);
}

static enum weir_err table_client(struct rd_table *table, struct weir_kafka *kafka,
                                  const struct weir_kafka_table_options *options,
                                  struct weir_error *error)
{
    char group[64];
    snprintf(group, sizeof(group), "weir-table-%d-%llx", (int)getpid(),
             (unsigned long long)weir_clock_now_ns(NULL));
    struct rd_fetch_texts fetch;
    rd_fetch_budget(options->queue_bytes, 1, &fetch);
    const struct rd_setting defaults[] = {
        {"queued.max.messages.kbytes", fetch.kbytes},
        {"queued.min.messages", fetch.messages},
        {"fetch.max.bytes", fetch.fetch_bytes},
        {"fetch.wait.max.ms", "100"},
        {"fetch.error.backoff.ms", "50"},
        {NULL, NULL},
    };
    const struct rd_setting fixed[] = {
        {"group.id", group},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"enable.partition.eof", "true"},
        {"auto.offset.reset", "earliest"},
        {NULL, NULL},
    };
    rd_kafka_conf_t *conf;
    struct rd_cluster *cluster = rd_cluster_of(kafka);
    enum weir_err err = rd_conf_new(cluster, defaults, fixed, &conf, error);
    if (err != WEIR_OK)
        return err;
    return rd_client_open(&table->client, cluster, RD_KAFKA_CONSUMER, conf, error);
}

enum weir_err rd_table_open(struct weir_kafka *kafka,
                            const struct weir_kafka_table_options *options,
                            struct weir_kafka_table **table_out, struct weir_error *error)
{
    struct rd_table *table = weir_calloc(1, sizeof(*table));
    char *topic = weir_strdup(options->topic);
    enum weir_err err = WEIR_OK;
    if (table == NULL || topic == NULL)
        err = weir_error_set(error, WEIR_NOMEM, -1, "no memory for a table");
    if (err == WEIR_OK)
        err = rd_signal_init(&table->signal, error);
    if (err == WEIR_OK) {
        err = table_client(table, kafka, options, error);
        if (err != WEIR_OK)
            rd_signal_release(&table->signal);
    }
    if (err != WEIR_OK) {
        weir_free(topic);
        weir_free(table);
        return err;
    }
    table->base.ops = &weir_kafka_rd_ops;
    table->topic = topic;
    table->offset = options->offset;
    table->partition = options->partition;
    table->open_transactions = options->open_transactions;
    atomic_init(&table->partition_count, -1);
    weir_batch_pool_init(&table->pool, rd_batch_dispose);
    rd_kafka_poll_set_consumer(table->client.rk);
    table->events = rd_kafka_queue_get_consumer(table->client.rk);
    rd_kafka_queue_cb_event_enable(table->events, on_event, &table->signal);
    *table_out = &table->base;
    return WEIR_OK;
}

/* ---- finding partitions ---------------------------------------------------------------------- */

static bool selected(const struct rd_table *table, int32_t partition)
{
    return table->partition < 0 || table->partition == partition;
}

static int64_t begin_offset(const struct rd_table *table, int64_t first, int64_t end, bool at_open)
{
    if (table->offset == WEIR_KAFKA_END && at_open)
        return end;
    return table->offset < first ? first : table->offset;
}

/* Makes the slots of new partitions and assigns them. */
static enum weir_err add_partitions(struct rd_table *table, int32_t count,
                                    const rd_kafka_topic_partition_list_t *firsts,
                                    const rd_kafka_topic_partition_list_t *ends)
{
    enum weir_err err = WEIR_OK;
    struct rd_slot **slots =
        weir_realloc_array(table->slots, (size_t)count, sizeof(struct rd_slot *));
    if (slots == NULL)
        return WEIR_NOMEM;
    memset(slots + table->slot_count, 0,
           (size_t)(count - table->slot_count) * sizeof(struct rd_slot *));
    table->slots = slots;
    rd_kafka_topic_partition_list_t *assign = rd_kafka_topic_partition_list_new(firsts->cnt);
    for (int i = 0; i < firsts->cnt && err == WEIR_OK; i++) {
        const rd_kafka_topic_partition_t *first = &firsts->elems[i];
        const rd_kafka_topic_partition_t *end =
            rd_kafka_topic_partition_list_find(ends, first->topic, first->partition);
        if (first->err || end == NULL || end->err || first->offset < 0 || end->offset < 0) {
            err = WEIR_AGAIN;
            break;
        }
        struct rd_slot *slot;
        err = rd_slot_new(&table->client, &table->signal, table->topic, first->partition, &slot);
        if (err != WEIR_OK)
            break;
        slots[first->partition] = slot;
        int64_t offset = begin_offset(table, first->offset, end->offset, !table->known);
        slot->end = table->known ? first->offset : end->offset;
        err = rd_slot_begin(slot, offset);
        rd_kafka_topic_partition_list_add(assign, table->topic, first->partition)->offset = offset;
    }
    rd_kafka_error_t *failure = NULL;
    if (err == WEIR_OK && assign->cnt > 0)
        failure = rd_kafka_incremental_assign(table->client.rk, assign);
    if (failure != NULL) {
        err = rd_err(rd_kafka_error_code(failure));
        rd_kafka_error_destroy(failure);
    }
    rd_kafka_topic_partition_list_destroy(assign);
    for (int32_t p = table->slot_count; p < count && err != WEIR_OK; p++)
        if (slots[p] != NULL) {
            rd_slot_free(slots[p]);
            slots[p] = NULL;
        }
    return err;
}

/* The topic has `count` partitions: begins those that are new. */
static enum weir_err found(struct rd_table *table, int32_t count, struct weir_error *error)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count), *firsts,
                                    *ends;
    for (int32_t p = table->slot_count; p < count; p++)
        if (selected(table, p))
            rd_kafka_topic_partition_list_add(list, table->topic, p);
    enum weir_err err = WEIR_OK;
    if (list->cnt > 0) {
        struct rd_client *asker = &table->client;
        if (table->open_transactions)
            err = rd_admin_get(&table->client.cluster->base, &asker, error);
        if (err == WEIR_OK)
            err = rd_ask_offsets(asker, list, RD_ANSWER_MS, &firsts, &ends, error);
        if (err == WEIR_OK) {
            err = add_partitions(table, count, firsts, ends);
            if (err != WEIR_OK)
                weir_error_set(error, err, -1, "%s: its partitions can't be read yet",
                               table->topic);
            rd_kafka_topic_partition_list_destroy(firsts);
            rd_kafka_topic_partition_list_destroy(ends);
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (err == WEIR_OK && list != NULL && count > table->slot_count) {
        if (table->slots == NULL)
            return WEIR_OK; /* none is selected */
        table->slot_count = count;
    }
    return err;
}

/* Asks what there is, when it is time. Failures that pass are logged once they last. */
static enum weir_err look(struct rd_table *table, struct weir_error *error)
{
    if (weir_clock_now_ns(NULL) < table->look_ns)
        return WEIR_OK;
    struct weir_error failure = {0};
    int32_t count = 0;
    enum weir_err err =
        rd_ask_partitions(&table->client, table->topic, RD_ANSWER_MS, &count, &failure);
    bool absent = err == WEIR_NOT_FOUND;
    if (err == WEIR_OK && count > TABLE_PARTITIONS_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1, "%s has %d partitions, a table reads %d",
                              table->topic, count, TABLE_PARTITIONS_MAX);
    if (err == WEIR_OK && count > table->slot_count)
        err = found(table, count, &failure);
    if (err == WEIR_OK || (absent && table->slot_count == 0)) {
        table->known = true;
        atomic_store(&table->partition_count, absent ? 0 : count);
    }
    int32_t pause_ms = absent ? ABSENT_LOOK_MS : err == WEIR_OK ? PRESENT_LOOK_MS : RD_RETRY_MS;
    table->look_ns = weir_clock_now_ns(NULL) + pause_ms * WEIR_NS_PER_MS;
    if (err == WEIR_DENIED) {
        if (error != NULL)
            *error = failure;
        return err;
    }
    if (err != WEIR_OK && !absent)
        weir_log(&table->client.cluster->log, WEIR_LOG_WARN, "kafka", "%s; asking again",
                 failure.message);
    return WEIR_OK;
}

/* ---- poll ------------------------------------------------------------------------------------ */

static bool at_end(const struct rd_table *table)
{
    for (int32_t p = 0; p < table->slot_count; p++)
        if (table->slots[p] != NULL && table->slots[p]->position < table->slots[p]->end)
            return false;
    return table->known;
}

static void serve_events(struct rd_table *table)
{
    for (int i = 0; i < EVENTS_A_POLL; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(table->client.rk, 0);
        if (message == NULL)
            return;
        weir_log(&table->client.cluster->log, WEIR_LOG_WARN, "kafka", "%s: %s", table->topic,
                 rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
    }
}

static enum weir_err take(struct rd_table *table, uint32_t count_max,
                          struct weir_kafka_batch *batch, struct weir_error *error)
{
    uint32_t count = (uint32_t)table->slot_count;
    for (uint32_t step = 0; step < count; step++) {
        uint32_t p = (table->cursor + step) % count;
        struct rd_slot *slot = table->slots[p];
        if (slot == NULL)
            continue;
        int64_t stop = slot->position < slot->end ? slot->end : INT64_MAX;
        enum weir_err err = rd_slot_take(slot, &table->pool, count_max, stop, batch, error);
        if (err == WEIR_AGAIN)
            continue;
        table->cursor = p + 1;
        if (err == WEIR_OK)
            batch->partition_index = (int32_t)p;
        return err;
    }
    return WEIR_AGAIN;
}

/* What is at hand: the end, once everything before it was handed out, or records. */
static enum weir_err next(struct rd_table *table, uint32_t count_max,
                          struct weir_kafka_batch *batch, struct weir_error *error)
{
    for (int tries = 0; tries < 2; tries++) {
        if (!table->ended && at_end(table)) {
            table->ended = true;
            return WEIR_END;
        }
        enum weir_err err = tries == 0 ? take(table, count_max, batch, error) : WEIR_AGAIN;
        if (err != WEIR_AGAIN)
            return err;
    }
    return WEIR_AGAIN;
}

enum weir_err rd_table_poll(struct weir_kafka_table *base, uint32_t count_max, int32_t timeout_ms,
                            struct weir_kafka_batch *batch, struct weir_error *error)
{
    struct rd_table *table = table_of(base);
    int64_t deadline_ns = weir_clock_now_ns(NULL) + timeout_ms * WEIR_NS_PER_MS;
    for (;;) {
        serve_events(table);
        enum weir_err err = look(table, error);
        if (err == WEIR_OK)
            err = next(table, count_max, batch, error);
        if (err != WEIR_AGAIN || timeout_ms <= 0 || atomic_exchange(&table->awake, false))
            return err;
        int64_t now_ns = weir_clock_now_ns(NULL);
        if (now_ns >= deadline_ns)
            return WEIR_AGAIN;
        int64_t wait_ms = (deadline_ns - now_ns + WEIR_NS_PER_MS - 1) / WEIR_NS_PER_MS;
        rd_signal_wait(&table->signal, wait_ms < LOOK_AGAIN_MS ? wait_ms : LOOK_AGAIN_MS);
    }
}

int32_t rd_table_partitions(const struct weir_kafka_table *base)
{
    return atomic_load(&table_of(base)->partition_count);
}

int64_t rd_table_end(const struct weir_kafka_table *base, int32_t partition)
{
    const struct rd_table *table = table_of(base);
    if (partition < 0 || partition >= table->slot_count || table->slots[partition] == NULL)
        return -1;
    return table->slots[partition]->end;
}

void rd_table_wake(struct weir_kafka_table *base)
{
    struct rd_table *table = table_of(base);
    atomic_store(&table->awake, true);
    rd_signal_raise(&table->signal);
}

void rd_table_close(struct weir_kafka_table *base)
{
    struct rd_table *table = table_of(base);
    for (int32_t p = 0; p < table->slot_count; p++)
        if (table->slots[p] != NULL)
            rd_slot_free(table->slots[p]);
    weir_free(table->slots);
    weir_batch_pool_release(&table->pool);
    rd_kafka_queue_cb_event_enable(table->events, NULL, NULL);
    rd_kafka_queue_destroy(table->events);
    rd_client_close(&table->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    rd_signal_release(&table->signal);
    weir_free(table->topic);
    weir_free(table);
}
