/*
 * streams/global.c - the global thread: topics that every instance reads whole.
 *
 * The barrier: until every table has been read to the end it had at the start, and every store says
 * that it is ready, no record is processed.
 */
#include <time.h>

#include "base/alloc.h"
#include "streams/inside.h"

enum { NOT_TAKEN_MS = 10, BATCH = 256 };

enum weir_err globals_open(struct weir_streams *streams, struct weir_error *error)
{
    const struct weir_topology *topology = streams->topology;
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < topology->store_count && err == WEIR_OK; i++) {
        struct global_table *global = &streams->tables[i];
        struct weir_kafka_table_options options;
        weir_kafka_table_options_default(&options);
        global->store = &topology->stores[i];
        options.topic = global->store->topic;
        if (weir_block_new(NULL, BATCH, &global->block) != WEIR_OK)
            return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a global store");
        err = weir_kafka_table_open(streams->kafka, &options, &global->table, error);
    }
    return err;
}

void globals_close(struct weir_streams *streams)
{
    for (uint32_t i = 0; i < streams->topology->store_count; i++) {
        struct global_table *global = &streams->tables[i];
        if (global->has_batch)
            weir_kafka_batch_release(&global->batch);
        weir_kafka_table_close(global->table);
        weir_block_free(global->block);
        *global = (struct global_table){0};
    }
}

/* Gives the batch in hand to the store. */
static enum weir_err update(struct weir_streams *streams, struct global_table *global,
                            struct weir_error *error)
{
    enum weir_err err = weir_block_prepare(global->block, global->batch.count);
    if (err != WEIR_OK)
        return weir_error_set(error, err, -1, "no memory for a global store");
    global->block->rows_meta = global->batch.rows;
    if (!global->block->rows_meta.topic)
        global->block->rows_meta.topic = global->store->topic;
    err = global->store->update(global->store->store, global->block, global->at_end, error);
    if (err == WEIR_AGAIN)
        return err;
    if (err == WEIR_OK)
        count_up(&streams->counters.global_records, global->batch.count);
    else
        weir_error_context(error, "global store %s", global->store->name);
    weir_kafka_batch_release(&global->batch);
    global->has_batch = false;
    return err;
}

static enum weir_err step(struct weir_streams *streams, struct global_table *global,
                          int32_t timeout_ms, struct weir_error *error)
{
    if (!global->has_batch) {
        global->batch = (struct weir_kafka_batch){0};
        enum weir_err err =
            weir_kafka_table_poll(global->table, BATCH, timeout_ms, &global->batch, error);
        if (err == WEIR_END)
            global->at_end = true;
        else if (err != WEIR_OK && err != WEIR_AGAIN) {
            weir_log(&streams->options.log, WEIR_LOG_WARN, "streams", "global store %s: %s",
                     global->store->name, error->message);
            return error->fatal ? err : WEIR_AGAIN;
        }
        global->has_batch = err == WEIR_OK && global->batch.count > 0;
        if (!global->has_batch)
            return WEIR_OK;
    }
    return update(streams, global, error);
}

enum weir_err globals_step(struct weir_streams *streams, int32_t timeout_ms, bool *ready_out,
                           struct weir_error *error)
{
    uint32_t count = streams->topology->store_count;
    bool ready = true, refused = false;
    for (uint32_t i = 0; i < count; i++) {
        struct global_table *global = &streams->tables[i];
        enum weir_err err = step(streams, global, timeout_ms / (int32_t)count, error);
        if (err != WEIR_OK && err != WEIR_AGAIN)
            return err;
        refused |= err == WEIR_AGAIN;
        ready &= global->at_end && !global->has_batch &&
                 (!global->store->ready || global->store->ready(global->store->store));
    }
    *ready_out = ready;
    return refused ? WEIR_AGAIN : WEIR_OK;
}

static void tell_ready(struct weir_streams *streams)
{
    pthread_mutex_lock(&streams->lock);
    streams->globals_ready = true;
    pthread_cond_broadcast(&streams->changed);
    pthread_mutex_unlock(&streams->lock);
}

void streams_pause(struct weir_streams *streams, int64_t ms)
{
    struct timespec until;
    if (streams->clock->is_virtual)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&streams->lock);
    if (!atomic_load(&streams->stopping))
        pthread_cond_timedwait(&streams->changed, &streams->lock, &until);
    pthread_mutex_unlock(&streams->lock);
}

void *globals_run(void *opaque)
{
    struct weir_streams *streams = opaque;
    struct weir_error error = {.code = WEIR_OK};
    bool told = false, ready = false;
    enum weir_err err = globals_open(streams, &error);
    while (err == WEIR_OK && !atomic_load(&streams->stopping)) {
        int32_t timeout_ms = streams->options.poll_ms;
        err = globals_step(streams, timeout_ms, &ready, &error);
        if (ready && !told) {
            told = true;
            tell_ready(streams);
        }
        if (err == WEIR_AGAIN) {
            streams_pause(streams, NOT_TAKEN_MS);
            err = WEIR_OK;
        }
    }
    if (err != WEIR_OK)
        streams_fail(streams, &error);
    globals_close(streams);
    return NULL;
}
