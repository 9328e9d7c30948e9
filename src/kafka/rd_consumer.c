/*
 * The consumer of a group on librdkafka: its life, polling, commits. What it is given stands in
 * rd_member.c.
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
#include "kafka/rd_member.h"

enum {
    LOOK_AGAIN_MS = 100, /* a wait is cut so that librdkafka sees us polling */
    EVENTS_A_POLL = 64,
    NO_ID_MS = 300,
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
        /* With tasks it matters whether an empty queue is all there is. */
        {"enable.partition.eof", options->rebalance.sources != NULL ? "true" : "false"},
        {"auto.offset.reset", "error"},
        {NULL, NULL},
    };
    rd_kafka_conf_t *conf;
    enum weir_err err = rd_conf_new(cluster, defaults, fixed, &conf, error);
    if (err != WEIR_OK)
        return err;
    rd_kafka_conf_set_rebalance_cb(conf, rd_member_rebalance);
    return rd_client_open(&consumer->client, cluster, RD_KAFKA_CONSUMER, conf, error);
}

static void consumer_free(struct rd_consumer *consumer)
{
    rd_member_release(consumer);
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
    int32_t index =
        rd_member_index(consumer, rd_kafka_topic_name(message->rkt), message->partition);
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
            rd_member_restart(consumer, slot);
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
        if (consumer->ask_sources)
            rd_member_ask_sources(consumer);
        rd_member_gain(consumer);
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

/* May a commit be sent now? One that goes with a transaction does not touch librdkafka's member. */
static enum weir_err commit_allowed(struct rd_consumer *consumer, bool in_transaction,
                                    struct weir_error *error)
{
    if (consumer->gone || rd_kafka_assignment_lost(consumer->client.rk))
        return weir_error_set(error, WEIR_FENCED, -1, "the membership in the group is over");
    if (in_transaction || consumer->in_callback || atomic_load(&consumer->client.steady))
        return WEIR_OK;
    weir_error_set(error, WEIR_AGAIN, -1, "a rebalance is under way");
    if (error != NULL)
        error->retriable = true;
    return WEIR_AGAIN;
}

enum weir_err rd_consumer_commit_list(struct rd_consumer *consumer, bool in_transaction,
                                      struct weir_kafka_partition *partitions, uint32_t count,
                                      rd_kafka_topic_partition_list_t **list_out,
                                      enum weir_err *foreign_out, struct weir_error *error)
{
    enum weir_err err = commit_allowed(consumer, in_transaction, error);
    if (err != WEIR_OK) {
        for (uint32_t i = 0; i < count; i++)
            partitions[i].err = err;
        return err;
    }
    *foreign_out = WEIR_OK;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (uint32_t i = 0; i < count; i++) {
        int32_t index = rd_member_index(consumer, partitions[i].topic, partitions[i].partition);
        /* The broker would take a commit of somebody else's partition: never send it. */
        partitions[i].err = index >= 0 && consumer->slots[index]->told ? WEIR_OK : WEIR_FENCED;
        if (partitions[i].err == WEIR_OK)
            rd_kafka_topic_partition_list_add(list, partitions[i].topic, partitions[i].partition)
                ->offset = partitions[i].offset;
        else if (*foreign_out == WEIR_OK)
            *foreign_out = weir_error_set(error, WEIR_FENCED, partitions[i].offset,
                                          "%s [%d] is not ours to commit", partitions[i].topic,
                                          partitions[i].partition);
    }
    *list_out = list;
    return WEIR_OK;
}

enum weir_err rd_consumer_commit(struct weir_kafka_consumer *base,
                                 struct weir_kafka_partition *partitions, uint32_t count,
                                 int32_t timeout_ms, struct weir_error *error)
{
    struct rd_consumer *consumer = consumer_of(base);
    rd_kafka_topic_partition_list_t *list;
    enum weir_err foreign = WEIR_OK;
    enum weir_err err =
        rd_consumer_commit_list(consumer, false, partitions, count, &list, &foreign, error);
    if (err != WEIR_OK)
        return err;
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
    enum weir_err err = rd_member_unassign(consumer, slot, error);
    if (err != WEIR_OK)
        return err;
    /* From here on librdkafka itself drops what was fetched: its version is outdated. */
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, slot->topic, slot->partition)->offset = offset;
    rd_kafka_error_t *failure = rd_kafka_incremental_assign(consumer->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    slot->position = offset;
    slot->end_seen = -1;
    slot->reset = slot->at_end = false;
    if (failure != NULL) {
        rd_member_log(consumer, failure, "reading a partition again");
        slot->reset = true; /* it is lost and gained in the next poll */
    }
    return WEIR_OK;
}

void rd_consumer_sources_changed(struct weir_kafka_consumer *base)
{
    consumer_of(base)->ask_sources = true;
}

int64_t rd_consumer_lag(const struct weir_kafka_consumer *base, int32_t partition_index)
{
    const struct rd_consumer *consumer = consumer_of(base);
    const struct rd_slot *slot = slot_at(consumer, partition_index);
    if (slot == NULL || !slot->told)
        return -1;
    if (slot->at_end && !atomic_load(&slot->ready))
        return 0; /* what lies behind can't be read, as of a transaction that is open */
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
        rd_member_log(consumer, failure, "leaving the group");
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
    rd_member_lose_all(consumer);
    if (left) {
        consumer_free(consumer);
        return;
    }
    weir_log(&consumer->client.cluster->log, WEIR_LOG_WARN, "kafka",
             "the group was not left within %d ms; its session has to run out", timeout_ms);
    consumer_abandon(consumer);
}
