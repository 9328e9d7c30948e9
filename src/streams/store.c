/*
 * streams/store.c - state stores of a task, and their changelogs.
 *
 * What is put goes into the store and to the changelog, as an output of the block in hand: a
 * position is committed only when all that was put before it is delivered. A task begins, and
 * begins again after a rewind, with what the changelog has: its stores are read to the end before
 * it runs. Those of a thread are read one after the other, for each needs a client meanwhile.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "streams/inside.h"

enum { BATCHES_A_ROUND = 64, RANGE_KEY_BYTES_MAX = 16 << 20 };

uint32_t store_number(const struct weir_streams *streams, uint32_t kind)
{
    return streams->numbers.of_node[streams->topology->kinds[kind].processors[0]];
}

/* ---- life ------------------------------------------------------------------------------------ */

static void close_table(struct weir_store *store)
{
    weir_kafka_table_close(store->table);
    store->table = NULL;
}

static enum weir_err open_one(struct weir_store *store, struct weir_error *error)
{
    store->records = 0;
    store->ready = false;
    enum weir_err err = store->kind->ops->open(store->kind->config, store->kind->name,
                                               store->task->id, &store->self, error);
    if (err != WEIR_OK)
        weir_error_context(error, "store %s", store->kind->name);
    return err;
}

enum weir_err stores_open(struct task *task, struct weir_error *error)
{
    const struct weir_streams *streams = task->thread->streams;
    const struct weir_topology *topology = streams->topology;
    enum weir_err err = WEIR_OK;
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->kind_count; i++)
        count += store_number(streams, i) == task->number;
    task->is_ready = count == 0;
    if (count == 0)
        return WEIR_OK;
    task->stores = weir_calloc(count, sizeof *task->stores);
    if (!task->stores)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for stores");
    for (uint32_t i = 0; i < topology->kind_count && err == WEIR_OK; i++) {
        if (store_number(streams, i) != task->number)
            continue;
        struct weir_store *store = &task->stores[task->store_count++];
        *store = (struct weir_store){.task = task,
                                     .kind = &topology->kinds[i],
                                     .changelog = streams->changelogs +
                                                  (size_t)i * (WEIR_KAFKA_TOPIC_BYTES_MAX + 1)};
        err = open_one(store, error);
    }
    return err;
}

static void close_one(struct weir_store *store)
{
    close_table(store);
    if (store->self)
        store->kind->ops->close(store->self);
    store->self = NULL;
}

void stores_close(struct task *task)
{
    for (uint32_t i = 0; i < task->store_count; i++)
        close_one(&task->stores[i]);
    weir_free(task->stores);
    task->stores = NULL;
    task->store_count = 0;
}

enum weir_err stores_reset(struct task *task, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    task->is_ready = task->store_count == 0;
    for (uint32_t i = 0; i < task->store_count && err == WEIR_OK; i++) {
        close_one(&task->stores[i]);
        err = open_one(&task->stores[i], error);
    }
    return err;
}

/* ---- reading changelogs ---------------------------------------------------------------------- */

static void tell(const struct weir_store *store, int64_t offset)
{
    const struct weir_streams_options *options = &store->task->thread->streams->options;
    const struct weir_restore progress = {
        .store = store->kind->name,
        .task_id = store->task->id,
        .records = store->records,
        .offset = offset,
        .end = store->ready ? offset : weir_kafka_table_end(store->table, store->task->partition)};
    if (options->on_restore)
        options->on_restore(options->opaque, &progress);
}

static enum weir_err apply(struct weir_store *store, const struct weir_kafka_batch *batch,
                           struct weir_error *error)
{
    for (uint32_t row = 0; row < batch->count; row++) {
        if (!batch->rows.key[row].data)
            continue; /* of no store */
        enum weir_err err =
            store->kind->ops->put(store->self, batch->rows.key[row], batch->rows.value[row]);
        if (err != WEIR_OK)
            return weir_error_set(error, err, batch->rows.offset[row],
                                  "store %s of task %s can't take what its changelog has: %s",
                                  store->kind->name, store->task->id, weir_err_text(err));
    }
    store->records += batch->count;
    return WEIR_OK;
}

static enum weir_err open_table(struct weir_store *store, struct weir_error *error)
{
    struct weir_kafka_table_options options;
    weir_kafka_table_options_default(&options);
    options.topic = store->changelog;
    options.partition = store->task->partition;
    return weir_kafka_table_open(store->task->thread->streams->kafka, &options, &store->table,
                                 error);
}

/* What there is of one store. AGAIN: no more for now. */
static enum weir_err restore_some(struct weir_store *store, struct weir_error *error)
{
    const struct weir_streams *streams = store->task->thread->streams;
    enum weir_err err = store->table ? WEIR_OK : open_table(store, error);
    for (int i = 0; i < BATCHES_A_ROUND && err == WEIR_OK; i++) {
        struct weir_kafka_batch batch = {0};
        err = weir_kafka_table_poll(store->table, streams->options.batch_rows, 0, &batch, error);
        if (err != WEIR_OK)
            break;
        err = apply(store, &batch, error);
        if (err == WEIR_OK)
            tell(store, batch.offset_next);
        weir_kafka_batch_release(&batch);
        if (err != WEIR_OK)
            return err;
    }
    if (err == WEIR_END) {
        store->ready = true;
        tell(store, weir_kafka_table_end(store->table, store->task->partition));
        close_table(store);
        return WEIR_OK;
    }
    if (err == WEIR_OK || err == WEIR_AGAIN)
        return err;
    weir_log(&streams->options.log, WEIR_LOG_WARN, "streams", "store %s of task %s: %s",
             store->kind->name, store->task->id, error->message);
    return error->fatal ? err : WEIR_AGAIN;
}

enum weir_err stores_restore(struct task *task, struct weir_error *error)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < task->store_count; i++, ready++) {
        struct weir_store *store = &task->stores[i];
        enum weir_err err = store->ready ? WEIR_OK : restore_some(store, error);
        if (err != WEIR_OK && err != WEIR_AGAIN)
            return err;
        if (!store->ready)
            break;
    }
    task->is_ready = ready == task->store_count;
    return WEIR_OK;
}

/* ---- for processors -------------------------------------------------------------------------- */

struct weir_store *weir_context_store(const struct weir_context *context, const char *name)
{
    struct task *task = context->task;
    for (uint32_t i = 0; i < task->store_count; i++) {
        const struct store_kind *kind = task->stores[i].kind;
        for (uint32_t k = 0; k < kind->processor_count && strcmp(kind->name, name) == 0; k++)
            if (kind->processors[k] == context->node)
                return &task->stores[i];
    }
    return NULL;
}

static enum weir_err log_change(struct weir_store *store, struct weir_slice key,
                                struct weir_slice value, struct weir_error *error)
{
    struct task *task = store->task;
    struct inflight *inflight = progress_output(task, key.bytes + value.bytes, 1);
    const struct weir_kafka_record record = {
        .topic = store->changelog,
        .partition = task->partition,
        .timestamp_ms = task->input ? task->input->rows_meta.timestamp_ms[task->input_row]
                                    : task->stream_time_ms,
        .key = key,
        .value = value,
        .opaque = inflight};
    enum weir_err err = thread_produce(task->thread, &record, error);
    if (err != WEIR_OK) {
        progress_report(inflight, NULL); /* no report will come */
        weir_error_context(error, "changelog of store %s", store->kind->name);
    }
    return err == WEIR_AGAIN ? WEIR_TIMEOUT : err;
}

enum weir_err weir_store_put(struct weir_store *store, struct weir_slice key,
                             struct weir_slice value, struct weir_error *error)
{
    weir_assert(store->task->in_hand && key.data); /* not from init and close */
    enum weir_err err = log_change(store, key, value, error);
    if (err != WEIR_OK)
        return err;
    err = store->kind->ops->put(store->self, key, value);
    return err == WEIR_OK ? err
                          : weir_error_set(error, err, -1, "store %s of task %s: %s",
                                           store->kind->name, store->task->id, weir_err_text(err));
}

enum weir_err weir_store_get(struct weir_store *store, struct weir_slice key,
                             struct weir_slice *value_out)
{
    return store->kind->ops->get(store->self, key, value_out);
}

static bool is_behind(struct weir_slice key, struct weir_slice last)
{
    size_t least = key.bytes < last.bytes ? key.bytes : last.bytes;
    int order = least > 0 ? memcmp(key.data, last.data, least) : 0;
    return order > 0 || (order == 0 && key.bytes > last.bytes);
}

enum weir_err
weir_store_range(struct weir_store *store, struct weir_slice from, struct weir_slice to,
                 bool (*each)(void *opaque, struct weir_slice key, struct weir_slice value),
                 void *opaque)
{
    const struct weir_store_ops *ops = store->kind->ops;
    struct weir_buffer last; /* the key that comes before the next: `each` may remove it */
    struct weir_slice key, value;
    weir_buffer_init(&last, RANGE_KEY_BYTES_MAX);
    enum weir_err err = ops->next(store->self, from, true, &key, &value);
    while (err == WEIR_OK && !(to.data && is_behind(key, to))) {
        weir_buffer_clear(&last);
        err = key.bytes ? weir_buffer_append(&last, key.data, key.bytes) : WEIR_OK;
        if (err != WEIR_OK || !each(opaque, key, value))
            break;
        err = ops->next(store->self, weir_slice(last.data, last.bytes), false, &key, &value);
    }
    weir_buffer_release(&last);
    return err == WEIR_END ? WEIR_OK : err;
}

uint64_t weir_store_count(const struct weir_store *store)
{
    return store->kind->ops->count(store->self);
}
