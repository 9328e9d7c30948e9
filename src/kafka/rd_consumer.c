/*
 * The consumer of a group on librdkafka.
 *
 * A partition on its way, each step inside poll, on the caller's thread:
 *
 *   librdkafka assigns -> WAITS for its offsets (asked, and asked again until they are known)
 *                      -> assigned with a real offset, `gained` -> read
 *   revoked            -> `lost` -> unassigned -> gone
 *   out of the log     -> `lost` -> unassigned -> WAITS
 *
 * A slot WAITS while told is false. librdkafka's rebalance is answered at once with an empty
 * assignment; the partitions are added when their offsets are known. So a slow coordinator holds up
 * no rebalance, and librdkafka never chooses an offset itself.
 *
 * Commits and rewinds are made in the steady state only, and commits inside `lost`. While a
 * JoinGroup waits at the broker, a commit stands behind it on the same connection, comes to the
 * next generation with the number of the last, and librdkafka 2.0.2 answers that refusal by
 * throwing the whole assignment away.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "kafka/rd.h"

enum {
    SLOTS_MAX = 100000,
    LOOK_AGAIN_MS = 100, /* a wait is cut so that librdkafka sees us polling */
    EVENTS_A_POLL = 64,
    NO_ID_MS = 300,
};

struct rd_consumer {
    struct weir_kafka_consumer base;
    struct rd_client client;
    struct rd_signal signal;
    _Atomic bool awake;
    struct weir_batch_pool pool;
    struct weir_kafka_rebalance rebalance;
    bool from_end, in_callback, closing, is_static;
    bool gone;     /* inside `lost`: the membership is over */
    bool assigned; /* librdkafka assigned at least once, be it nothing */
    uint64_t wake_bytes, wake_rows;
    struct rd_slot **slots; /* by partition index; NULL = free */
    uint32_t slot_count;
    uint32_t cursor;
    uint32_t waiting; /* slots that are not told */
    int64_t ask_ns;   /* when to ask for offsets (again) */
    rd_kafka_queue_t *events, *commits;
    uint64_t commit_number;
    struct weir_error failure; /* told by librdkafka: code OK = none */
};

static struct rd_consumer *consumer_of(const struct weir_kafka_consumer *base)
{
    return (struct rd_consumer *)(uintptr_t)base;
}

static struct rd_slot *slot_at(const struct rd_consumer *consumer, int32_t index)
{
    if (index < 0 || (uint32_t)index >= consumer->slot_count)
        return NULL;
    return consumer->slots[index];
}

static int32_t slot_index(const struct rd_consumer *consumer, const char *topic, int32_t partition)
{
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        if (consumer->slots[i] != NULL && consumer->slots[i]->partition == partition &&
            strcmp(consumer->slots[i]->topic, topic) == 0)
            return (int32_t)i;
    return -1;
}

/* Has the coordinator answered a JoinGroup? */
static bool has_id(const struct rd_consumer *consumer)
{
    char *id = rd_kafka_memberid(consumer->client.rk);
    bool has = id != NULL && id[0] != '\0';
    if (id != NULL)
        rd_kafka_mem_free(consumer->client.rk, id);
    return has;
}

static void on_event(rd_kafka_t *rk, void *opaque)
{
    (void)rk;
    rd_signal_raise(opaque);
}

/* ---- telling the caller ---------------------------------------------------------------------- */

struct told {
    struct weir_kafka_partition *partitions;
    int32_t *indexes;
    uint32_t count;
};

static bool told_init(struct told *told, uint32_t capacity)
{
    told->count = 0;
    told->partitions = weir_calloc(capacity + 1, sizeof(*told->partitions));
    told->indexes = weir_calloc(capacity + 1, sizeof(*told->indexes));
    return told->partitions != NULL && told->indexes != NULL;
}

static void told_release(struct told *told)
{
    weir_free(told->partitions);
    weir_free(told->indexes);
}

static struct weir_kafka_partition *told_add(struct told *told, const struct rd_slot *slot,
                                             int32_t index)
{
    told->partitions[told->count] = (struct weir_kafka_partition){
        .topic = slot->topic, .partition = slot->partition, .offset = slot->position};
    told->indexes[told->count] = index;
    return &told->partitions[told->count++];
}

static void tell_lost(struct rd_consumer *consumer, struct told *told, bool gone)
{
    if (told->count == 0)
        return;
    if (consumer->rebalance.lost != NULL) {
        consumer->in_callback = true;
        consumer->gone = gone;
        consumer->rebalance.lost(consumer->rebalance.opaque, told->partitions, told->indexes,
                                 told->count, gone);
        consumer->in_callback = consumer->gone = false;
    }
    for (uint32_t i = 0; i < told->count; i++) {
        consumer->slots[told->indexes[i]]->told = false;
        consumer->waiting++;
    }
}

/* ---- rebalance ------------------------------------------------------------------------------- */

static void log_failure(struct rd_consumer *consumer, rd_kafka_error_t *failure, const char *what)
{
    if (failure == NULL)
        return;
    weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka", "%s: %s", what,
             rd_kafka_error_string(failure));
    rd_kafka_error_destroy(failure);
}

static enum weir_err slot_add(struct rd_consumer *consumer, const char *topic, int32_t partition)
{
    uint32_t index = 0;
    while (index < consumer->slot_count && consumer->slots[index] != NULL)
        index++;
    if (index == consumer->slot_count) {
        uint32_t more = index + 16;
        if (more > SLOTS_MAX)
            return WEIR_LIMIT;
        struct rd_slot **slots =
            weir_realloc_array(consumer->slots, more, sizeof(struct rd_slot *));
        if (slots == NULL)
            return WEIR_NOMEM;
        memset(slots + index, 0, 16 * sizeof(struct rd_slot *));
        consumer->slots = slots;
        consumer->slot_count = more;
    }
    enum weir_err err = rd_slot_new(&consumer->client, &consumer->signal, topic, partition,
                                    &consumer->slots[index]);
    if (err != WEIR_OK)
        return err;
    consumer->slots[index]->wake_bytes = consumer->wake_bytes;
    consumer->slots[index]->wake_rows = consumer->wake_rows;
    consumer->waiting++;
    consumer->ask_ns = 0;
    return WEIR_OK;
}

static void on_assign(struct rd_consumer *consumer, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        const char *topic = list->elems[i].topic;
        int32_t partition = list->elems[i].partition;
        if (slot_index(consumer, topic, partition) >= 0)
            continue;
        enum weir_err err = slot_add(consumer, topic, partition);
        if (err != WEIR_OK && consumer->failure.code == WEIR_OK) {
            weir_error_set(&consumer->failure, err, -1, "%s [%d] can't be taken over", topic,
                           partition);
            consumer->failure.fatal = true;
        }
    }
}

/* Tells of those that were told, then takes back all of the list from librdkafka and from us. */
static void on_revoke(struct rd_consumer *consumer, const rd_kafka_topic_partition_list_t *list,
                      bool gone)
{
    struct told told;
    rd_kafka_topic_partition_list_t *assigned = rd_kafka_topic_partition_list_new(list->cnt);
    if (told_init(&told, (uint32_t)list->cnt)) {
        for (int i = 0; i < list->cnt; i++) {
            int32_t index = slot_index(consumer, list->elems[i].topic, list->elems[i].partition);
            if (index >= 0 && consumer->slots[index]->told)
                told_add(&told, consumer->slots[index], index);
        }
        tell_lost(consumer, &told, gone);
    }
    told_release(&told);
    for (int i = 0; i < list->cnt; i++) {
        const char *topic = list->elems[i].topic;
        int32_t partition = list->elems[i].partition;
        int32_t index = slot_index(consumer, topic, partition);
        if (index < 0)
            continue;
        if (consumer->slots[index]->queue != NULL) /* only those were ever assigned */
            rd_kafka_topic_partition_list_add(assigned, topic, partition);
        rd_slot_free(consumer->slots[index]);
        consumer->slots[index] = NULL;
        consumer->waiting--;
    }
    log_failure(consumer, rd_kafka_incremental_unassign(consumer->client.rk, assigned),
                "giving partitions back");
    rd_kafka_topic_partition_list_destroy(assigned);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct rd_consumer *consumer =
        WEIR_CONTAINER((struct rd_client *)opaque, struct rd_consumer, client);
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
        consumer->assigned = true;
        on_assign(consumer, partitions);
        log_failure(consumer, rd_kafka_incremental_assign(rk, none), "taking partitions");
        rd_kafka_topic_partition_list_destroy(none);
        return;
    }
    if (err != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka", "rebalance: %s",
                 rd_kafka_err2str(err));
    on_revoke(consumer, partitions, rd_kafka_assignment_lost(rk));
}

/* ---- where reading begins -------------------------------------------------------------------- */

static int64_t begin_offset(struct rd_consumer *consumer, const struct rd_slot *slot,
                            int64_t committed, int64_t first, int64_t end)
{
    if (committed < 0)
        return consumer->from_end ? end : first;
    if (committed >= first && committed <= end)
        return committed;
    weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka",
             "%s [%d]: the committed offset %lld is not in the log, which has %lld to %lld; "
             "reading from %lld",
             slot->topic, slot->partition, (long long)committed, (long long)first, (long long)end,
             (long long)first);
    return first;
}

/* Assigns the waiting slots whose three offsets are known, and tells of them. */
static void gain(struct rd_consumer *consumer, const rd_kafka_topic_partition_list_t *committed,
                 const rd_kafka_topic_partition_list_t *firsts,
                 const rd_kafka_topic_partition_list_t *ends)
{
    struct told told;
    rd_kafka_topic_partition_list_t *assign = rd_kafka_topic_partition_list_new(committed->cnt);
    if (!told_init(&told, (uint32_t)committed->cnt))
        goto out;
    for (int i = 0; i < committed->cnt; i++) {
        const rd_kafka_topic_partition_t *at = &committed->elems[i], *first, *end;
        int32_t index = slot_index(consumer, at->topic, at->partition);
        first = rd_kafka_topic_partition_list_find(firsts, at->topic, at->partition);
        end = rd_kafka_topic_partition_list_find(ends, at->topic, at->partition);
        if (index < 0 || at->err || first == NULL || first->err || end == NULL || end->err ||
            first->offset < 0 || end->offset < 0)
            continue;
        struct rd_slot *slot = consumer->slots[index];
        int64_t offset = begin_offset(consumer, slot, at->offset, first->offset, end->offset);
        if (rd_slot_begin(slot, offset) != WEIR_OK)
            continue;
        slot->end = end->offset;
        rd_kafka_topic_partition_list_add(assign, at->topic, at->partition)->offset = offset;
        told_add(&told, slot, index)->committed = at->offset >= 0 && at->offset == offset;
    }
    rd_kafka_error_t *failure =
        assign->cnt > 0 ? rd_kafka_incremental_assign(consumer->client.rk, assign) : NULL;
    if (failure != NULL) {
        log_failure(consumer, failure, "taking partitions");
        for (uint32_t i = 0; i < told.count; i++)
            rd_slot_end(consumer->slots[told.indexes[i]]);
        goto out;
    }
    for (uint32_t i = 0; i < told.count; i++)
        consumer->slots[told.indexes[i]]->told = true;
    consumer->waiting -= told.count;
    if (told.count > 0 && consumer->rebalance.gained != NULL) {
        consumer->in_callback = true;
        consumer->rebalance.gained(consumer->rebalance.opaque, told.partitions, told.indexes,
                                   told.count);
        consumer->in_callback = false;
    }
out:
    told_release(&told);
    rd_kafka_topic_partition_list_destroy(assign);
}

/* Asks where the waiting slots begin: committed offset, first, end. Takes RD_ANSWER_MS a question
 * at most. */
static void ask_and_gain(struct rd_consumer *consumer)
{
    int64_t now_ns = weir_clock_now_ns(NULL);
    if (consumer->waiting == 0 || consumer->closing || now_ns < consumer->ask_ns)
        return;
    rd_kafka_topic_partition_list_t *list =
                                        rd_kafka_topic_partition_list_new((int)consumer->waiting),
                                    *firsts, *ends;
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        if (consumer->slots[i] != NULL && !consumer->slots[i]->told)
            rd_kafka_topic_partition_list_add(list, consumer->slots[i]->topic,
                                              consumer->slots[i]->partition);
    struct weir_error error = {0};
    rd_kafka_resp_err_t code = rd_kafka_committed(consumer->client.rk, list, RD_ANSWER_MS);
    enum weir_err err = WEIR_OK;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        err = rd_error(&consumer->client, &error, code, "asking for committed offsets");
    if (err == WEIR_OK)
        err = rd_ask_offsets(&consumer->client, list, RD_ANSWER_MS, &firsts, &ends, &error);
    if (err == WEIR_OK) {
        gain(consumer, list, firsts, ends);
        rd_kafka_topic_partition_list_destroy(firsts);
        rd_kafka_topic_partition_list_destroy(ends);
    } else {
        weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka", "%s; asking again",
                 error.message);
    }
    rd_kafka_topic_partition_list_destroy(list);
    consumer->ask_ns = weir_clock_now_ns(NULL) + RD_RETRY_MS * WEIR_NS_PER_MS;
}

/*
 * Takes a slot out of librdkafka's assignment outside a rebalance. Not while one is under way:
 * librdkafka would take this call for the answer to it and go on before `lost` was told. (One that
 * begins between the look and the call is answered too early; then the next owner may begin before
 * our last commit and reads some records again: at least once still holds.)
 */
static enum weir_err slot_unassign(struct rd_consumer *consumer, const struct rd_slot *slot,
                                   struct weir_error *error)
{
    if (!atomic_load(&consumer->client.steady) || rd_kafka_queue_length(consumer->events) > 0)
        return weir_error_set(error, WEIR_AGAIN, -1, "a rebalance is under way");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, slot->topic, slot->partition);
    rd_kafka_error_t *failure = rd_kafka_incremental_unassign(consumer->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (failure == NULL)
        return WEIR_OK;
    enum weir_err err = rd_error(&consumer->client, error, rd_kafka_error_code(failure), "%s [%d]",
                                 slot->topic, slot->partition);
    rd_kafka_error_destroy(failure);
    return err;
}

/* The broker has our position no more: the partition is lost and gained again. */
static void restart(struct rd_consumer *consumer, uint32_t index)
{
    struct rd_slot *slot = consumer->slots[index];
    if (slot_unassign(consumer, slot, NULL) == WEIR_AGAIN)
        return; /* the next poll tries again; any other failure says that it is not assigned */
    weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka",
             "%s [%d]: offset %lld is not in the log any more, beginning again", slot->topic,
             slot->partition, (long long)slot->position);
    struct told told;
    rd_slot_end(slot);
    slot->reset = false;
    if (told_init(&told, 1)) {
        told_add(&told, slot, (int32_t)index);
        tell_lost(consumer, &told, true);
    }
    told_release(&told);
    consumer->ask_ns = 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static enum weir_err consumer_open(struct rd_consumer *consumer, struct weir_kafka *kafka,
                                   const struct weir_kafka_consumer_options *options,
                                   struct weir_error *error)
{
    struct rd_cluster *cluster = rd_cluster_of(kafka);
    struct rd_fetch_texts fetch;
    char debug[256]; /* the join states are told there: rd.c */
    snprintf(debug, sizeof(debug), "%s%scgrp", cluster->debug, cluster->debug[0] != 0 ? "," : "");
    rd_fetch_budget(options->queue_bytes, options->partitions_expected, &fetch);
    consumer->wake_bytes = fetch.wake_bytes;
    consumer->wake_rows = fetch.wake_rows;
    const struct rd_setting defaults[] = {
        {"queued.max.messages.kbytes", fetch.kbytes},
        {"queued.min.messages", fetch.messages},
        {"max.partition.fetch.bytes", fetch.partition_bytes},
        {"fetch.max.bytes", fetch.fetch_bytes},
        /* A parked fetch holds up partitions that are new or were full: not for long. */
        {"fetch.wait.max.ms", "50"},
        {"fetch.error.backoff.ms", "50"},
        /* By heartbeats members learn that partitions have to move. */
        {"heartbeat.interval.ms", "1000"},
        {NULL, NULL},
    };
    const struct rd_setting fixed[] = {
        {"group.id", options->group_id},
        {"group.instance.id", options->group_instance_id},
        {"debug", debug},
        {"partition.assignment.strategy", "cooperative-sticky"},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"enable.partition.eof", "false"},
        {"auto.offset.reset", "error"},
        {NULL, NULL},
    };
    rd_kafka_conf_t *conf;
    enum weir_err err = rd_conf_new(cluster, defaults, fixed, &conf, error);
    if (err != WEIR_OK)
        return err;
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    return rd_client_open(&consumer->client, cluster, RD_KAFKA_CONSUMER, conf, error);
}

static void consumer_free(struct rd_consumer *consumer)
{
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        if (consumer->slots[i] != NULL)
            rd_slot_free(consumer->slots[i]);
    weir_free(consumer->slots);
    weir_batch_pool_release(&consumer->pool);
    rd_kafka_queue_cb_event_enable(consumer->events, NULL, NULL);
    rd_kafka_queue_destroy(consumer->events);
    rd_kafka_queue_destroy(consumer->commits);
    rd_client_close(&consumer->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    rd_signal_release(&consumer->signal);
    weir_free(consumer);
}

enum weir_err rd_consumer_new(struct weir_kafka *kafka,
                              const struct weir_kafka_consumer_options *options,
                              struct weir_kafka_consumer **consumer_out, struct weir_error *error)
{
    struct rd_consumer *consumer = weir_calloc(1, sizeof(*consumer));
    if (consumer == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a consumer");
    consumer->base.ops = &weir_kafka_rd_ops;
    consumer->rebalance = options->rebalance;
    consumer->from_end = options->from_end;
    consumer->is_static = options->group_instance_id != NULL;
    weir_batch_pool_init(&consumer->pool, rd_batch_dispose);
    enum weir_err err = rd_signal_init(&consumer->signal, error);
    if (err == WEIR_OK) {
        err = consumer_open(consumer, kafka, options, error);
        if (err != WEIR_OK)
            rd_signal_release(&consumer->signal);
    }
    if (err != WEIR_OK) {
        weir_free(consumer);
        return err;
    }
    rd_kafka_poll_set_consumer(consumer->client.rk);
    consumer->events = rd_kafka_queue_get_consumer(consumer->client.rk);
    consumer->commits = rd_kafka_queue_new(consumer->client.rk);
    rd_kafka_queue_cb_event_enable(consumer->events, on_event, &consumer->signal);
    rd_kafka_topic_partition_list_t *topics =
        rd_kafka_topic_partition_list_new((int)options->topic_count);
    for (uint32_t i = 0; i < options->topic_count; i++)
        rd_kafka_topic_partition_list_add(topics, options->topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(consumer->client.rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        err = rd_error(&consumer->client, error, code, "subscribing");
        consumer_free(consumer);
        return err;
    }
    *consumer_out = &consumer->base;
    return WEIR_OK;
}

/* ---- poll ------------------------------------------------------------------------------------ */

/* An error that librdkafka tells the consumer as a whole. */
static void serve_error(struct rd_consumer *consumer, const rd_kafka_message_t *message)
{
    char reason[200];
    rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(consumer->client.rk, reason, sizeof(reason));
    if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_error(&consumer->client, &consumer->failure, fatal, "the consumer can't go on: %s",
                 reason);
        consumer->failure.fatal = true;
    } else if (rd_err(message->err) == WEIR_DENIED) {
        rd_error(&consumer->client, &consumer->failure, message->err, "%s",
                 rd_kafka_message_errstr(message));
    } else {
        weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka", "%s",
                 rd_kafka_message_errstr(message));
    }
}

/* A record that came past its partition's queue, as after a topic was deleted and made again: the
 * partition is begun anew from the position we know. */
static void serve_stray(struct rd_consumer *consumer, const rd_kafka_message_t *message)
{
    int32_t index = slot_index(consumer, rd_kafka_topic_name(message->rkt), message->partition);
    if (index >= 0)
        consumer->slots[index]->reset = true;
}

static void serve_events(struct rd_consumer *consumer)
{
    for (int i = 0; i < EVENTS_A_POLL; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client.rk, 0);
        if (message == NULL)
            return;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            serve_stray(consumer, message);
        else
            serve_error(consumer, message);
        rd_kafka_message_destroy(message);
    }
}

/* One pass over the partitions, beginning behind the one that was served last. */
static enum weir_err take(struct rd_consumer *consumer, uint32_t count_max,
                          bool (*want)(void *opaque, int32_t partition_index), void *want_opaque,
                          struct weir_kafka_batch *batch, struct weir_error *error)
{
    for (uint32_t step = 0; step < consumer->slot_count; step++) {
        uint32_t index = consumer->cursor + step;
        index = index >= consumer->slot_count ? index - consumer->slot_count : index;
        struct rd_slot *slot = consumer->slots[index];
        if (slot == NULL || !slot->told)
            continue;
        if (slot->reset) {
            restart(consumer, index);
            continue;
        }
        if (!atomic_load_explicit(&slot->ready, memory_order_relaxed) ||
            (want != NULL && !want(want_opaque, (int32_t)index)))
            continue;
        enum weir_err err = rd_slot_take(slot, &consumer->pool, count_max, INT64_MAX, batch, error);
        if (err == WEIR_AGAIN)
            continue;
        consumer->cursor = index + 1 < consumer->slot_count ? index + 1 : 0;
        if (err == WEIR_OK)
            batch->partition_index = (int32_t)index;
        return err;
    }
    return WEIR_AGAIN;
}

enum weir_err rd_consumer_poll(struct weir_kafka_consumer *base, uint32_t count_max,
                               int32_t timeout_ms,
                               bool (*want)(void *opaque, int32_t partition_index),
                               void *want_opaque, struct weir_kafka_batch *batch,
                               struct weir_error *error)
{
    struct rd_consumer *consumer = consumer_of(base);
    weir_assert(!consumer->in_callback);
    int64_t deadline_ns = 0;
    for (;;) {
        serve_events(consumer);
        ask_and_gain(consumer);
        if (consumer->failure.code != WEIR_OK) {
            enum weir_err code = consumer->failure.code;
            if (error != NULL)
                *error = consumer->failure;
            if (!consumer->failure.fatal)
                consumer->failure.code = WEIR_OK;
            return code;
        }
        enum weir_err err = take(consumer, count_max, want, want_opaque, batch, error);
        if (err != WEIR_AGAIN || timeout_ms <= 0 || atomic_exchange(&consumer->awake, false))
            return err;
        int64_t now_ns = weir_clock_now_ns(NULL);
        if (deadline_ns == 0)
            deadline_ns = now_ns + timeout_ms * WEIR_NS_PER_MS;
        if (now_ns >= deadline_ns)
            return WEIR_AGAIN;
        int64_t wait_ms = (deadline_ns - now_ns + WEIR_NS_PER_MS - 1) / WEIR_NS_PER_MS;
        rd_signal_wait(&consumer->signal, wait_ms < LOOK_AGAIN_MS ? wait_ms : LOOK_AGAIN_MS);
    }
}

void rd_consumer_wake(struct weir_kafka_consumer *base)
{
    struct rd_consumer *consumer = consumer_of(base);
    atomic_store(&consumer->awake, true);
    rd_signal_raise(&consumer->signal);
}

/* ---- positions ------------------------------------------------------------------------------- */

/* Waits for the answer to commit `number`; answers to earlier ones that were given up are dropped.
 * */
static rd_kafka_event_t *commit_answer(struct rd_consumer *consumer, uint64_t number,
                                       int32_t timeout_ms)
{
    int64_t deadline_ns = weir_clock_now_ns(NULL) + timeout_ms * WEIR_NS_PER_MS;
    for (;;) {
        int64_t left_ms = (deadline_ns - weir_clock_now_ns(NULL)) / WEIR_NS_PER_MS;
        rd_kafka_event_t *event =
            rd_kafka_queue_poll(consumer->commits, left_ms > 0 ? (int)left_ms : 0);
        if (event == NULL) {
            if (left_ms <= 0)
                return NULL;
            continue;
        }
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT &&
            (uint64_t)(uintptr_t)rd_kafka_event_opaque(event) == number)
            return event;
        rd_kafka_event_destroy(event);
    }
}

/* Each one's own outcome, and the first failure among them. */
static enum weir_err commit_outcome(struct rd_consumer *consumer, rd_kafka_event_t *event,
                                    struct weir_kafka_partition *partitions, uint32_t count,
                                    struct weir_error *error)
{
    rd_kafka_resp_err_t whole = rd_kafka_event_error(event);
    rd_kafka_topic_partition_list_t *answers = rd_kafka_event_topic_partition_list(event);
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < count; i++) {
        if (partitions[i].err != WEIR_OK)
            continue;
        rd_kafka_topic_partition_t *answer =
            answers != NULL ? rd_kafka_topic_partition_list_find(answers, partitions[i].topic,
                                                                 partitions[i].partition)
                            : NULL;
        rd_kafka_resp_err_t code = answer != NULL && answer->err ? answer->err : whole;
        /* We are still a member, but of the next generation: librdkafka joined it meanwhile. */
        if (code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION &&
            !rd_kafka_assignment_lost(consumer->client.rk))
            code = RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;
        partitions[i].err = rd_err(code);
        if (partitions[i].err != WEIR_OK && err == WEIR_OK)
            err = rd_error(&consumer->client, error, code, "committing %s [%d] at %lld",
                           partitions[i].topic, partitions[i].partition,
                           (long long)partitions[i].offset);
    }
    return err;
}

/* May a commit be sent now? */
static enum weir_err commit_allowed(struct rd_consumer *consumer, struct weir_error *error)
{
    if (consumer->gone || rd_kafka_assignment_lost(consumer->client.rk))
        return weir_error_set(error, WEIR_FENCED, -1, "the membership in the group is over");
    if (consumer->in_callback || atomic_load(&consumer->client.steady))
        return WEIR_OK;
    weir_error_set(error, WEIR_AGAIN, -1, "a rebalance is under way");
    if (error != NULL)
        error->retriable = true;
    return WEIR_AGAIN;
}

enum weir_err rd_consumer_commit(struct weir_kafka_consumer *base,
                                 struct weir_kafka_partition *partitions, uint32_t count,
                                 int32_t timeout_ms, struct weir_error *error)
{
    struct rd_consumer *consumer = consumer_of(base);
    enum weir_err foreign = WEIR_OK, err = commit_allowed(consumer, error);
    if (err != WEIR_OK) {
        for (uint32_t i = 0; i < count; i++)
            partitions[i].err = err;
        return err;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (uint32_t i = 0; i < count; i++) {
        int32_t index = slot_index(consumer, partitions[i].topic, partitions[i].partition);
        /* The broker would take a commit of somebody else's partition: never send it. */
        partitions[i].err = index >= 0 && consumer->slots[index]->told ? WEIR_OK : WEIR_FENCED;
        if (partitions[i].err == WEIR_OK)
            rd_kafka_topic_partition_list_add(list, partitions[i].topic, partitions[i].partition)
                ->offset = partitions[i].offset;
        else if (foreign == WEIR_OK)
            foreign = weir_error_set(error, WEIR_FENCED, partitions[i].offset,
                                     "%s [%d] is not ours to commit", partitions[i].topic,
                                     partitions[i].partition);
    }
    if (list->cnt > 0) {
        uint64_t number = ++consumer->commit_number;
        rd_kafka_resp_err_t code = rd_kafka_commit_queue(
            consumer->client.rk, list, consumer->commits, NULL, (void *)(uintptr_t)number);
        rd_kafka_event_t *event =
            code == RD_KAFKA_RESP_ERR_NO_ERROR ? commit_answer(consumer, number, timeout_ms) : NULL;
        if (event != NULL) {
            err = commit_outcome(consumer, event, partitions, count, error);
            rd_kafka_event_destroy(event);
        } else {
            code = code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : RD_KAFKA_RESP_ERR__TIMED_OUT;
            err = rd_error(&consumer->client, error, code, "committing %d offsets", list->cnt);
            for (uint32_t i = 0; i < count; i++)
                if (partitions[i].err == WEIR_OK)
                    partitions[i].err = err;
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    return err != WEIR_OK ? err : foreign;
}

enum weir_err rd_consumer_rewind(struct weir_kafka_consumer *base, int32_t partition_index,
                                 int64_t offset, struct weir_error *error)
{
    struct rd_consumer *consumer = consumer_of(base);
    weir_assert(!consumer->in_callback);
    struct rd_slot *slot = slot_at(consumer, partition_index);
    if (slot == NULL || !slot->told)
        return weir_error_set(error, WEIR_NOT_FOUND, -1, "partition index %d is not ours",
                              partition_index);
    enum weir_err err = slot_unassign(consumer, slot, error);
    if (err != WEIR_OK)
        return err;
    /* From here on librdkafka itself drops what was fetched: its version is outdated. */
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, slot->topic, slot->partition)->offset = offset;
    rd_kafka_error_t *failure = rd_kafka_incremental_assign(consumer->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    slot->position = offset;
    slot->reset = false;
    if (failure != NULL) {
        log_failure(consumer, failure, "reading a partition again");
        slot->reset = true; /* it is lost and gained in the next poll */
    }
    return WEIR_OK;
}

int64_t rd_consumer_lag(const struct weir_kafka_consumer *base, int32_t partition_index)
{
    const struct rd_consumer *consumer = consumer_of(base);
    const struct rd_slot *slot = slot_at(consumer, partition_index);
    if (slot == NULL || !slot->told)
        return -1;
    int64_t low, high, end = slot->end;
    if (rd_kafka_get_watermark_offsets(consumer->client.rk, slot->topic, slot->partition, &low,
                                       &high) == RD_KAFKA_RESP_ERR_NO_ERROR &&
        high > end)
        end = high;
    return end > slot->position ? end - slot->position : 0;
}

/* ---- close ----------------------------------------------------------------------------------- */

/*
 * librdkafka 2.0.2 aborts the process when a member is destroyed between the answer to its first
 * JoinGroup and its first assignment (its issue 4312). So that assignment is awaited. A member that
 * has no id yet has had no answer; it gets a moment in which a living broker would have given one.
 * A rebalance under way is awaited too, for half the time, so that the last commits can be made.
 */
static void await_assignment(struct rd_consumer *consumer, int64_t deadline_ns)
{
    int64_t start_ns = weir_clock_now_ns(NULL), now_ns = start_ns;
    int64_t no_id_ns = start_ns + NO_ID_MS * WEIR_NS_PER_MS;
    int64_t half_ns = start_ns + (deadline_ns - start_ns) / 2;
    while (now_ns < deadline_ns) {
        serve_events(consumer);
        now_ns = weir_clock_now_ns(NULL);
        if (consumer->assigned ? atomic_load(&consumer->client.steady) || now_ns >= half_ns
                               : now_ns >= no_id_ns && !has_id(consumer))
            return;
        rd_signal_wait(&consumer->signal, 5);
    }
}

static void *destroy_slowly(void *opaque)
{
    consumer_free(opaque);
    return NULL;
}

/* Ends a consumer that did not get to leave its group in time: not on the caller's time. */
static void consumer_abandon(struct rd_consumer *consumer)
{
    rd_client_abandon(&consumer->client);
    for (uint32_t i = 0; i < consumer->slot_count; i++)
        if (consumer->slots[i] != NULL)
            rd_slot_end(consumer->slots[i]);
    weir_batch_pool_release(&consumer->pool);
    if (!consumer->assigned && has_id(consumer))
        return; /* can't be destroyed, see await_assignment: it stays until the process ends */
    pthread_t thread;
    if (pthread_create(&thread, NULL, destroy_slowly, consumer) == 0)
        pthread_detach(thread);
}

/*
 * librdkafka 2.0.2 leaves the group at close only when it has partitions to give back; a member
 * without any would hold up the others until its session ends. Unsubscribing always leaves (also a
 * static member, which must not). The member's id is forgotten when LeaveGroup is sent.
 */
static void unsubscribe(struct rd_consumer *consumer, int64_t deadline_ns)
{
    if (consumer->is_static ||
        rd_kafka_unsubscribe(consumer->client.rk) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    serve_events(consumer); /* `lost` is told in here */
    while (has_id(consumer) && weir_clock_now_ns(NULL) < deadline_ns) {
        rd_signal_wait(&consumer->signal, 2);
        serve_events(consumer);
    }
}

static bool leave(struct rd_consumer *consumer, int64_t deadline_ns)
{
    await_assignment(consumer, deadline_ns);
    if (!consumer->assigned && has_id(consumer))
        return false;
    consumer->closing = true;
    unsubscribe(consumer, deadline_ns);
    rd_kafka_error_t *failure =
        rd_kafka_consumer_close_queue(consumer->client.rk, consumer->events);
    if (failure != NULL) {
        log_failure(consumer, failure, "leaving the group");
        return false;
    }
    for (;;) {
        serve_events(consumer);
        if (rd_kafka_consumer_closed(consumer->client.rk))
            return true;
        if (weir_clock_now_ns(NULL) >= deadline_ns)
            return false;
        rd_signal_wait(&consumer->signal, 5);
    }
}

void rd_consumer_close(struct weir_kafka_consumer *base, int32_t timeout_ms)
{
    struct rd_consumer *consumer = consumer_of(base);
    bool left = leave(consumer, weir_clock_now_ns(NULL) + timeout_ms * WEIR_NS_PER_MS);
    consumer->closing = true;
    struct told told;
    if (told_init(&told, consumer->slot_count)) {
        for (uint32_t i = 0; i < consumer->slot_count; i++)
            if (consumer->slots[i] != NULL && consumer->slots[i]->told)
                told_add(&told, consumer->slots[i], (int32_t)i);
        tell_lost(consumer, &told, true);
    }
    told_release(&told);
    if (left) {
        consumer_free(consumer);
        return;
    }
    weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka",
             "the group was not left within %d ms; its session has to run out", timeout_ms);
    consumer_abandon(consumer);
}
