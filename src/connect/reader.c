/*
 * A reader: the rounds of a consumer, its rebalances, its commits and its end.
 *
 *      reading --stop--> draining: nothing is read, until all is dropped or the time is over
 *                        -> drained: what is done is committed, the stream may end
 *                        -> closed: the last block is back, the consumer is gone
 *
 * A partition taken away is told inside a step. Its queued blocks are discarded, a reader with a
 * thread waits for what the stream still holds of it, what is done is committed, and then its line
 * ends: whatever becomes done later changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "connect/inside.h"

enum {
    QUEUED_MAX = 2,
    COMMIT_TIMEOUT_MS = 5000,
    CLOSE_TIMEOUT_MS = 5000,
    RETRY_MS = 100,
    LAG_MS = 1000
};

void connect_reader_fail_locked(struct connect_reader *reader, const struct weir_error *error)
{
    if (reader->failure.code == WEIR_OK)
        reader->failure = *error;
}

static void fail(struct connect_reader *reader, const struct weir_error *error)
{
    pthread_mutex_lock(&reader->mutex);
    connect_reader_fail_locked(reader, error);
    pthread_mutex_unlock(&reader->mutex);
    reader->notify(reader);
}

/* Waits for a change; with the mutex. False: the time is over. */
static bool wait_until(struct connect_reader *reader, int64_t deadline_ns)
{
    const struct timespec at = {.tv_sec = deadline_ns / WEIR_NS_PER_SECOND,
                                .tv_nsec = deadline_ns % WEIR_NS_PER_SECOND};

    return pthread_cond_timedwait(&reader->changed, &reader->mutex, &at) != ETIMEDOUT;
}

static struct connect_partition *owned(const struct connect_reader *reader, int32_t index)
{
    return (uint32_t)index < reader->partition_count ? reader->partitions[index] : NULL;
}

static void count_up(struct connect_reader *reader, uint64_t *counter)
{
    pthread_mutex_lock(&reader->mutex);
    ++*counter;
    pthread_mutex_unlock(&reader->mutex);
}

/* ---- commits --------------------------------------------------------------------------------- */

/* What is done and not committed, of those of `indexes`, or of all (NULL). */
static uint32_t plan_commit(struct connect_reader *reader, const int32_t *indexes, uint32_t count)
{
    uint32_t planned = 0;

    pthread_mutex_lock(&reader->mutex);
    if (indexes == NULL)
        count = reader->partition_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct connect_partition *partition =
            owned(reader, indexes != NULL ? indexes[i] : (int32_t)i);
        if (partition != NULL && partition->position > partition->committed)
            reader->commits[planned++] =
                (struct weir_kafka_partition){.topic = partition->topic,
                                              .partition = partition->partition,
                                              .offset = partition->position};
    }
    pthread_mutex_unlock(&reader->mutex);
    return planned;
}

/* Waiting helps, or the partitions will be taken away anyway. */
static bool is_passing(enum weir_err err, const struct weir_error *error)
{
    return err == WEIR_AGAIN || err == WEIR_TIMEOUT || err == WEIR_FENCED || error->retriable;
}

static void note_committed(struct connect_reader *reader, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct weir_kafka_partition *made = &reader->commits[i];
        if (made->err == WEIR_OK)
            WEIR_CONTAINER((uintptr_t)made->topic, struct connect_partition, topic)->committed =
                made->offset;
    }
}

static void commit(struct connect_reader *reader, const int32_t *indexes, uint32_t index_count)
{
    struct weir_error error = {.code = WEIR_OK};
    uint32_t count;
    enum weir_err err;

    if (reader->options->guarantee != WEIR_CONNECT_COMMITTABLE)
        return;
    count = plan_commit(reader, indexes, index_count);
    if (count == 0)
        return;
    err = weir_kafka_commit(reader->consumer, reader->commits, count, COMMIT_TIMEOUT_MS, &error);
    count_up(reader, err == WEIR_OK ? &reader->stats.commits : &reader->stats.commit_failures);
    if (err == WEIR_OK)
        note_committed(reader, count);
    else if (!is_passing(err, &error))
        fail(reader, &error);
}

/* How much of the log lies behind what was read. */
static void look_at_lag(struct connect_reader *reader, int64_t now_ns)
{
    int64_t lag = 0;

    if (now_ns < reader->lag_due_ns)
        return;
    reader->lag_due_ns = now_ns + LAG_MS * WEIR_NS_PER_MS;
    for (uint32_t i = 0; i < reader->partition_count && lag >= 0; i++)
        if (reader->partitions[i] != NULL) {
            int64_t of_one = weir_kafka_lag(reader->consumer, (int32_t)i);
            lag = of_one < 0 ? -1 : lag + of_one;
        }
    pthread_mutex_lock(&reader->mutex);
    reader->stats.lag_records = lag;
    pthread_mutex_unlock(&reader->mutex);
}

static void commit_if_due(struct connect_reader *reader, int64_t now_ns)
{
    const struct weir_connect_source_options *options = reader->options;
    bool due;

    pthread_mutex_lock(&reader->mutex);
    due = now_ns >= reader->commit_due_ns || reader->done_count >= options->commit_records;
    if (due)
        reader->done_count = 0;
    pthread_mutex_unlock(&reader->mutex);
    if (!due)
        return;
    reader->commit_due_ns = now_ns + options->commit_ms * WEIR_NS_PER_MS;
    commit(reader, NULL, 0);
}

/* ---- rebalances: inside poll and close ------------------------------------------------------- */

static bool grow(struct connect_reader *reader, uint32_t count)
{
    struct connect_partition **partitions;
    struct weir_kafka_partition *commits;

    if (count <= reader->partition_count)
        return true;
    if (count > WEIR_CONNECT_PARTITIONS_MAX)
        return false;
    partitions = weir_realloc_array(reader->partitions, count, sizeof(*partitions));
    if (partitions == NULL)
        return false;
    reader->partitions = partitions;
    commits = weir_realloc_array(reader->commits, count, sizeof *commits);
    if (commits == NULL)
        return false;
    reader->commits = commits;
    memset(partitions + reader->partition_count, 0,
           (count - reader->partition_count) * sizeof(*partitions));
    reader->partition_count = count;
    return true;
}

static bool gain(struct connect_reader *reader, const struct weir_kafka_partition *gained,
                 int32_t index)
{
    struct connect_partition *partition = weir_calloc(1, sizeof *partition);
    bool grown;

    if (partition == NULL)
        return false;
    (void)snprintf(partition->topic, sizeof partition->topic, "%s", gained->topic);
    partition->partition = gained->partition;
    partition->position = gained->offset;
    partition->committed = gained->offset;
    pthread_mutex_lock(&reader->mutex);
    grown = grow(reader, (uint32_t)index + 1);
    if (grown) {
        reader->partitions[index] = partition;
        reader->stats.partitions++;
    }
    pthread_mutex_unlock(&reader->mutex);
    if (!grown)
        weir_free(partition);
    return grown;
}

static void on_gained(void *opaque, struct weir_kafka_partition *partitions, const int32_t *indexes,
                      uint32_t count)
{
    struct connect_reader *reader = opaque;
    struct weir_error error;

    count_up(reader, &reader->stats.rebalances);
    for (uint32_t i = 0; i < count; i++)
        if (!gain(reader, &partitions[i], indexes[i])) {
            (void)weir_error_set(&error, WEIR_NOMEM, -1, "connect: no place for %s [%d]",
                                 partitions[i].topic, partitions[i].partition);
            fail(reader, &error);
        }
}

static uint32_t live_of(const struct connect_reader *reader, const int32_t *indexes, uint32_t count)
{
    uint32_t live = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct connect_partition *partition = owned(reader, indexes[i]);
        if (partition != NULL)
            live += partition->live;
    }
    return live;
}

static void end_partition(struct connect_reader *reader, int32_t index)
{
    struct connect_partition *partition;

    pthread_mutex_lock(&reader->mutex);
    partition = owned(reader, index);
    if (partition != NULL) {
        connect_line_end_locked(partition);
        reader->partitions[index] = NULL;
        reader->stats.partitions--;
    }
    pthread_mutex_unlock(&reader->mutex);
    weir_free(partition);
}

static void on_lost(void *opaque, const struct weir_kafka_partition *partitions,
                    const int32_t *indexes, uint32_t count, bool gone)
{
    struct connect_reader *reader = opaque;
    const struct weir_connect_source_options *options = reader->options;
    int64_t deadline_ns = weir_clock_now_ns(NULL) + options->drain_ms * WEIR_NS_PER_MS;

    (void)partitions;
    pthread_mutex_lock(&reader->mutex);
    for (uint32_t i = 0; i < count; i++) {
        /* What is queued at most once is committed already: it still goes out. */
        if (options->guarantee != WEIR_CONNECT_AT_MOST_ONCE)
            connect_queue_discard_locked(reader, indexes[i]);
        if (reader->held != NULL && reader->held->block.batch.partition_index == indexes[i]) {
            connect_block_return_locked(reader->held);
            reader->held = NULL;
        }
    }
    while (!gone && options->thread && reader->failure.code == WEIR_OK && !reader->discards &&
           live_of(reader, indexes, count) > 0 && wait_until(reader, deadline_ns))
        continue;
    pthread_mutex_unlock(&reader->mutex);
    if (!gone)
        commit(reader, indexes, count);
    for (uint32_t i = 0; i < count; i++)
        end_partition(reader, indexes[i]);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static bool want_none(void *opaque, int32_t partition_index)
{
    (void)opaque;
    (void)partition_index;
    return false;
}

/* A block to read into, or NULL: there is no place, or nothing is to be read any more. */
static struct connect_block *place_to_read(struct connect_reader *reader)
{
    struct connect_block *block = NULL;
    struct weir_error error;
    enum weir_err err = WEIR_AGAIN;

    pthread_mutex_lock(&reader->mutex);
    if (!reader->stopping && reader->held == NULL && reader->failure.code == WEIR_OK &&
        reader->queued_count < QUEUED_MAX)
        err = connect_block_get_locked(reader, &block);
    reader->wants_room = err == WEIR_AGAIN;
    pthread_mutex_unlock(&reader->mutex);
    if (err == WEIR_NOMEM) {
        (void)weir_error_set(&error, err, -1, "connect: no memory for a block");
        fail(reader, &error);
    }
    return block;
}

static void hand_over(struct connect_reader *reader, struct connect_block *block)
{
    bool committable = reader->options->guarantee == WEIR_CONNECT_COMMITTABLE;
    struct connect_partition *partition =
        committable ? owned(reader, block->block.batch.partition_index) : NULL;

    pthread_mutex_lock(&reader->mutex);
    /* Without its partition it could never be committed: there was no memory for that. */
    if (reader->discards || (committable && partition == NULL))
        connect_block_return_locked(block);
    else
        connect_block_hand_over_locked(reader, block, partition);
    pthread_mutex_unlock(&reader->mutex);
    reader->notify(reader);
}

/* At most once: commits what is held and hands it out; it stays held while that has to wait. */
static void hand_over_committed(struct connect_reader *reader)
{
    struct connect_block *block = reader->held;
    struct weir_error error = {.code = WEIR_OK};
    struct weir_kafka_partition partition = {.topic = block->block.batch.rows.topic,
                                             .partition = block->block.batch.rows.partition,
                                             .offset = block->block.batch.offset_next};
    enum weir_err err =
        weir_kafka_commit(reader->consumer, &partition, 1, COMMIT_TIMEOUT_MS, &error);

    if (err == WEIR_OK) {
        reader->held = NULL;
        hand_over(reader, block);
    } else if (!is_passing(err, &error)) {
        fail(reader, &error);
    }
}

/* A failure that passes is looked at again later, not at once. */
static void pause_after_failure(struct connect_reader *reader)
{
    int64_t until_ns = weir_clock_now_ns(NULL) + RETRY_MS * WEIR_NS_PER_MS;

    pthread_mutex_lock(&reader->mutex);
    while (reader->options->thread && !reader->stopping && wait_until(reader, until_ns))
        continue;
    pthread_mutex_unlock(&reader->mutex);
}

static void read_on(struct connect_reader *reader, int32_t timeout_ms)
{
    const struct weir_connect_source_options *options = reader->options;
    struct connect_block *block = place_to_read(reader);
    struct weir_error error = {.code = WEIR_OK};
    struct weir_kafka_batch none = {.count = 0};
    struct weir_kafka_batch *batch = block != NULL ? &block->block.batch : &none;
    enum weir_err err = weir_kafka_poll(reader->consumer, options->records_max, timeout_ms,
                                        block != NULL ? NULL : want_none, NULL, batch, &error);

    if (err == WEIR_OK) {
        weir_assert(block != NULL);
        if (options->guarantee == WEIR_CONNECT_AT_MOST_ONCE)
            reader->held = block;
        else
            hand_over(reader, block);
        return;
    }
    if (block != NULL) {
        pthread_mutex_lock(&reader->mutex);
        block->next = reader->spare;
        reader->spare = block;
        pthread_mutex_unlock(&reader->mutex);
    }
    if (err == WEIR_AGAIN)
        return;
    if (error.retriable && !error.fatal)
        pause_after_failure(reader);
    else
        fail(reader, &error);
}

/* ---- the end --------------------------------------------------------------------------------- */

void connect_reader_stop(struct connect_reader *reader, bool discard)
{
    pthread_mutex_lock(&reader->mutex);
    reader->stopping = true;
    if (discard) {
        reader->discards = true;
        connect_queue_discard_locked(reader, -1);
    }
    if (!reader->closed)
        weir_kafka_consumer_wake(reader->consumer);
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->mutex);
}

static void close_consumer(struct connect_reader *reader)
{
    connect_returned_release(reader);
    pthread_mutex_lock(&reader->mutex);
    reader->closed = true; /* nobody wakes it from now on */
    pthread_mutex_unlock(&reader->mutex);
    weir_kafka_consumer_close(reader->consumer, CLOSE_TIMEOUT_MS);
    reader->consumer = NULL;
}

/* The last commit; no partition is ours afterwards. */
static void drain(struct connect_reader *reader)
{
    commit(reader, NULL, 0);
    pthread_mutex_lock(&reader->mutex);
    connect_queue_discard_locked(reader, -1);
    if (reader->held != NULL)
        connect_block_return_locked(reader->held);
    reader->held = NULL;
    reader->discards = true;
    pthread_mutex_unlock(&reader->mutex);
    for (uint32_t i = 0; i < reader->partition_count; i++)
        end_partition(reader, (int32_t)i);
}

static void end_if_due(struct connect_reader *reader, int64_t now_ns)
{
    uint32_t live, queued;
    bool began = false;

    pthread_mutex_lock(&reader->mutex);
    if (!reader->stopping) {
        pthread_mutex_unlock(&reader->mutex);
        return;
    }
    if (reader->end_due_ns == 0) {
        began = true;
        reader->end_due_ns = now_ns + reader->options->drain_ms * WEIR_NS_PER_MS;
    }
    live = reader->live_count;
    queued = reader->queued_count;
    pthread_mutex_unlock(&reader->mutex);
    if (began)
        reader->notify(reader);
    if (!reader->drained) {
        if (live + queued > 0 && now_ns < reader->end_due_ns)
            return;
        drain(reader);
    }
    if (live == 0)
        close_consumer(reader);
    pthread_mutex_lock(&reader->mutex);
    reader->drained = true;
    pthread_mutex_unlock(&reader->mutex);
    reader->notify(reader);
}

void connect_reader_step(struct connect_reader *reader, int32_t timeout_ms, int64_t now_ns)
{
    if (reader->closed)
        return;
    connect_returned_release(reader);
    if (reader->held != NULL && !reader->stopping)
        hand_over_committed(reader);
    commit_if_due(reader, now_ns);
    look_at_lag(reader, now_ns);
    read_on(reader, timeout_ms);
    end_if_due(reader, now_ns);
}

/* ---- life ------------------------------------------------------------------------------------ */

enum weir_err connect_reader_open(struct connect_reader *reader, struct weir_error *error)
{
    struct weir_kafka_consumer_options options = reader->options->consumer;
    pthread_condattr_t monotonic;

    options.rebalance =
        (struct weir_kafka_rebalance){.gained = on_gained, .lost = on_lost, .opaque = reader};
    reader->stats.lag_records = -1;
    pthread_mutex_init(&reader->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&reader->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum weir_err err =
        weir_kafka_consumer_new(reader->options->kafka, &options, &reader->consumer, error);
    if (err != WEIR_OK) {
        pthread_cond_destroy(&reader->changed);
        pthread_mutex_destroy(&reader->mutex);
    }
    return err;
}

void connect_reader_release(struct connect_reader *reader)
{
    if (!reader->closed) {
        drain(reader);
        close_consumer(reader);
    }
    connect_blocks_free(reader);
    weir_free(reader->partitions);
    weir_free(reader->commits);
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->mutex);
}
