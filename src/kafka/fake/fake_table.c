/* The in-memory cluster's table: all partitions of a topic, first to the end it had at open. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kafka/fake/fake_impl.h"

static struct fake_table *table_of(const struct weir_kafka_table *base)
{
    return (struct fake_table *)(uintptr_t)base;
}

enum weir_err fake_table_open(struct weir_kafka *kafka,
                              const struct weir_kafka_table_options *options,
                              struct weir_kafka_table **table_out, struct weir_error *error)
{
    struct fake *fake = WEIR_CONTAINER(kafka, struct fake, base);
    struct fake_table *table = weir_calloc(1, sizeof(*table));
    if (table == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a table");
    table->base.ops = &weir_kafka_fake_ops;
    table->fake = fake;
    table->offset = options->offset;
    table->partition = options->partition;
    table->open_transactions = options->open_transactions;
    weir_batch_pool_init(&table->pool, NULL);
    table->topic = weir_strdup(options->topic);
    if (table->topic == NULL) {
        weir_free(table);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a table");
    }
    fake_lock(fake);
    fake->client_count++;
    fake_unlock(fake);
    *table_out = &table->base;
    return WEIR_OK;
}

static bool selected(const struct fake_table *table, int32_t partition)
{
    return table->partition < 0 || table->partition == partition;
}

static int64_t start_of(const struct fake_table *table, const struct fake_partition *log,
                        bool at_open)
{
    if (table->offset == WEIR_KAFKA_END && at_open)
        return log->next;
    if (table->offset < 0)
        return log->first;
    return table->offset;
}

/* Takes over partitions that are new. Those there at the first look have an end. */
static enum weir_err table_refresh(struct fake_table *table)
{
    struct fake_topic *topic = fake_topic_find(table->fake, table->topic);
    int32_t count = topic != NULL ? topic->partition_count : 0;
    bool at_open = !table->known;
    if (topic != NULL && count > table->partition_count) {
        int64_t *positions = weir_realloc_array(table->positions, (size_t)count, sizeof(int64_t));
        if (positions != NULL)
            table->positions = positions;
        int64_t *ends = weir_realloc_array(table->ends, (size_t)count, sizeof(int64_t));
        if (ends != NULL)
            table->ends = ends;
        if (positions == NULL || ends == NULL)
            return WEIR_NOMEM;
        for (int32_t p = table->partition_count; p < count; p++) {
            table->positions[p] = start_of(table, &topic->partitions[p], at_open);
            table->ends[p] = !at_open                   ? topic->partitions[p].first
                             : table->open_transactions ? topic->partitions[p].next
                                                        : fake_readable_end(table->fake, topic, p);
        }
        table->partition_count = count;
    }
    table->known = true;
    return WEIR_OK;
}

static enum weir_err take(struct fake_table *table, uint32_t count_max,
                          struct weir_kafka_batch *batch, struct weir_error *error)
{
    struct fake *fake = table->fake;
    struct fake_topic *topic = fake_topic_find(fake, table->topic);
    struct weir_error failure = {0};
    uint32_t count = (uint32_t)table->partition_count;
    for (uint32_t step = 0; step < count; step++) {
        int32_t p = (int32_t)((table->cursor + step) % count);
        const struct fake_partition *log = &topic->partitions[p];
        if (table->positions[p] < log->first)
            table->positions[p] = log->first;
        if (!selected(table, p) || table->positions[p] >= log->next)
            continue;
        if (fake_fails(fake, WEIR_KAFKA_FAKE_FETCH, table->topic, &failure)) {
            if (error != NULL)
                *error = failure;
            return failure.code;
        }
        int64_t end = table->positions[p] < table->ends[p] ? table->ends[p] : log->next;
        enum weir_err err =
            fake_take(fake, &table->pool, topic, p, end, count_max, &table->positions[p], batch);
        if (err == WEIR_AGAIN)
            continue;
        table->cursor = (uint32_t)p + 1;
        batch->partition_index = p;
        return err;
    }
    return WEIR_AGAIN;
}

static bool at_end(const struct fake_table *table)
{
    for (int32_t p = 0; p < table->partition_count; p++)
        if (selected(table, p) && table->positions[p] < table->ends[p])
            return false;
    return true;
}

enum weir_err fake_table_poll(struct weir_kafka_table *base, uint32_t count_max, int32_t timeout_ms,
                              struct weir_kafka_batch *batch, struct weir_error *error)
{
    struct fake_table *table = table_of(base);
    struct fake *fake = table->fake;
    fake_lock(fake);
    int64_t deadline_ns = fake_deadline(fake, timeout_ms);
    enum weir_err err;
    do {
        fake_advance(fake);
        err = WEIR_AGAIN;
        if (!fake->away) {
            err = table_refresh(table);
            if (err == WEIR_OK && !table->ended && at_end(table)) {
                table->ended = true;
                err = WEIR_END;
            } else if (err == WEIR_OK) {
                err = take(table, count_max, batch, error);
            }
            /* What is left before the end may be a gap. */
            if (err == WEIR_AGAIN && !table->ended && at_end(table)) {
                table->ended = true;
                err = WEIR_END;
            }
        }
    } while (err == WEIR_AGAIN && !table->awake && fake_wait(fake, deadline_ns));
    table->awake = false;
    fake_unlock(fake);
    return err;
}

int32_t fake_table_partitions(const struct weir_kafka_table *base)
{
    struct fake_table *table = table_of(base);
    fake_lock(table->fake);
    int32_t count = table->known ? table->partition_count : -1;
    fake_unlock(table->fake);
    return count;
}

int64_t fake_table_end(const struct weir_kafka_table *base, int32_t partition)
{
    struct fake_table *table = table_of(base);
    fake_lock(table->fake);
    int64_t end = -1;
    if (partition >= 0 && partition < table->partition_count)
        end = table->ends[partition];
    fake_unlock(table->fake);
    return end;
}

void fake_table_wake(struct weir_kafka_table *base)
{
    struct fake_table *table = table_of(base);
    fake_lock(table->fake);
    table->awake = true;
    fake_changed(table->fake);
    fake_unlock(table->fake);
}

void fake_table_close(struct weir_kafka_table *base)
{
    struct fake_table *table = table_of(base);
    fake_lock(table->fake);
    table->fake->client_count--;
    fake_unlock(table->fake);
    weir_batch_pool_release(&table->pool);
    weir_free(table->positions);
    weir_free(table->ends);
    weir_free(table->topic);
    weir_free(table);
}
