/*
 * streams/task_stores.c - the stores of a task: opened, read from their changelogs, committed.
 *
 *      open (lock, engine's position) --> read changelog from there to its end --> the task starts
 *      put --> pending, and a record of the changelog, an output of the block in hand
 *      commit: nothing in flight --> offsets --> store_commit(position)
 *      rewind: store_rollback
 *
 * So offsets, and what is in an engine, always speak of the same records. What was delivered since
 * the last commit when a process dies lies in the changelog, is read from there and processed
 * again: it counts twice, as at least once allows.
 *
 * Stores of a thread are read one after the other, for each needs a client meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/errno_error.h"
#include "streams/inside.h"
#include "streams/store/store.h"

enum {
    BATCHES_A_ROUND = 64,
    RESTORE_COMMIT_BYTES = 8 << 20,
    DIRECTORY_MODE = 0700,
    LOCK_MODE = 0600,
};

uint32_t store_number(const struct weir_streams *streams, uint32_t kind)
{
    return streams->numbers.of_node[streams->topology->kinds[kind].processors[0]];
}

/* ---- the task's directory -------------------------------------------------------------------- */

static enum weir_err refused(const char *path, const char *what, struct weir_error *error)
{
    enum weir_err err = weir_errno_code(errno);
    weir_errno_set(error, errno, path, what);
    weir_error_context(error, "state.dir");
    return err;
}

static enum weir_err make_directory(const char *path, struct weir_error *error)
{
    return mkdir(path, DIRECTORY_MODE) == 0 || errno == EEXIST ? WEIR_OK
                                                               : refused(path, "mkdir", error);
}

/* <state.dir>/<application.id>/<task>, ours alone while the task is. AGAIN: somebody has it. */
static enum weir_err take_directory(struct task *task, struct weir_error *error)
{
    const struct weir_streams_options *options = &task->thread->streams->options;
    char path[PATH_MAX];
    int bytes = snprintf(path, sizeof path, "%s/%s/%s/.lock", options->state_dir,
                         options->application_id, task->id);
    if (bytes < 0 || (size_t)bytes >= sizeof path)
        return weir_error_set(error, WEIR_INVALID, -1, "state.dir has a name that is too long");
    enum weir_err err = WEIR_OK;
    for (char *at = path + strlen(options->state_dir); at && err == WEIR_OK;
         at = strchr(at + 1, '/')) {
        *at = '\0';
        err = make_directory(path, error);
        *at = '/';
    }
    if (err != WEIR_OK)
        return err;
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, LOCK_MODE);
    if (lock < 0)
        return refused(path, "open", error);
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        err = errno == EWOULDBLOCK ? WEIR_AGAIN : refused(path, "flock", error);
        close(lock);
        return err;
    }
    task->lock = lock;
    *strrchr(path, '/') = '\0';
    task->directory = weir_strdup(path);
    return task->directory ? WEIR_OK : weir_error_set(error, WEIR_NOMEM, -1, "no memory");
}

static void leave_directory(struct task *task)
{
    weir_free(task->directory);
    task->directory = NULL;
    if (task->lock >= 0)
        close(task->lock);
    task->lock = -1;
}

/* ---- changes on their way -------------------------------------------------------------------- */

/* Those of one store that the block in hand has led to. */
static struct changes *changes_of(struct task_store *store)
{
    struct stream_thread *thread = store->task->thread;
    struct inflight *inflight = store->task->in_hand;
    struct changes *changes = inflight->changes;
    while (changes && changes->store != store)
        changes = changes->next;
    if (changes)
        return changes;
    changes = thread->changes_pool;
    if (changes)
        thread->changes_pool = changes->next;
    else
        changes = weir_alloc(sizeof *changes);
    if (!changes)
        return NULL;
    *changes = (struct changes){.inflight = inflight, .store = store, .next = inflight->changes};
    inflight->changes = changes;
    return changes;
}

void changes_report(struct changes *changes, int64_t offset, const struct weir_error *error)
{
    struct inflight *inflight = changes->inflight;
    if (inflight->task && !error && offset >= changes->store->position)
        changes->store->position = offset + 1;
    progress_report(inflight, error);
}

static int64_t timestamp_in_hand(const struct task *task)
{
    return task->input ? task->input->rows_meta.timestamp_ms[task->input_row]
                       : task->stream_time_ms;
}

static enum weir_err log_change(void *opaque, struct weir_store *of, struct weir_slice key,
                                struct weir_slice value, int64_t timestamp_ms,
                                struct weir_error *error)
{
    struct task_store *store = opaque;
    struct task *task = store->task;
    (void)of;
    if (!task->in_hand)
        return weir_error_set(error, WEIR_INVALID, -1,
                              "store %s is written to by init or close: only processing, "
                              "punctuators and flush may",
                              store->kind->options.name);
    struct changes *changes = changes_of(store);
    if (!changes)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a change");
    progress_output(task, key.bytes + value.bytes, 1);
    const struct weir_kafka_record record = {
        .topic = store->changelog,
        .partition = task->partition,
        .timestamp_ms = timestamp_ms >= 0 ? timestamp_ms : timestamp_in_hand(task),
        .key = key,
        .value = value,
        .opaque = (void *)((uintptr_t)changes | OPAQUE_CHANGE)};
    enum weir_err err = thread_produce(task->thread, &record, error);
    if (err != WEIR_OK) {
        progress_report(changes->inflight, NULL); /* no report will come */
        weir_error_context(error, "changelog of store %s", store->kind->options.name);
    }
    return err == WEIR_AGAIN ? WEIR_TIMEOUT : err;
}

static enum weir_err show_change(void *opaque, struct weir_store *of,
                                 const struct store_change *change, struct weir_error *error)
{
    const struct task_store *store = opaque;
    (void)of;
    if (!store->listener)
        return WEIR_OK;
    enum weir_err err = store->listen(store->listener, change, error);
    if (!store->task->input) /* else a record's memory is in use */
        weir_arena_reset(&store->task->arena);
    return err;
}

/* ---- opening --------------------------------------------------------------------------------- */

static struct weir_store_place place_of(const struct task_store *store)
{
    return (struct weir_store_place){.directory = store->task->directory,
                                     .task_id = store->task->id,
                                     .store = store->kind->options.name};
}

static enum weir_err open_one(struct task_store *store, struct weir_error *error)
{
    const struct weir_store_options *options = &store->kind->options;
    const struct store_owner owner = {
        .log = options->logging ? log_change : NULL, .changed = show_change, .opaque = store};
    const struct weir_store_place place = place_of(store);
    bool rebuilt = false;
    enum weir_err err =
        store_open(options, &place, &owner, &store->store, &store->position, &rebuilt, error);
    if (rebuilt)
        weir_log(&store->task->thread->streams->options.log, WEIR_LOG_WARN, "streams",
                 "store %s of task %s can't be read and is built anew from its changelog",
                 options->name, store->task->id);
    store->is_read = !options->logging;
    store->position_committed = store->position;
    if (err != WEIR_OK)
        weir_error_context(error, "store %s of task %s", options->name, store->task->id);
    return err;
}

static bool needs_directory(const struct task *task)
{
    bool needs = false;
    for (uint32_t i = 0; i < task->store_count; i++)
        needs |= task->stores[i].kind->options.engine->persistent;
    return needs && task->lock < 0;
}

enum weir_err stores_make(struct task *task, struct weir_error *error)
{
    const struct weir_streams *streams = task->thread->streams;
    const struct weir_topology *topology = streams->topology;
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->kind_count; i++)
        count += store_number(streams, i) == task->number;
    if (count == 0)
        return WEIR_OK;
    task->stores = weir_calloc(count, sizeof *task->stores);
    if (!task->stores)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for stores");
    for (uint32_t i = 0; i < topology->kind_count; i++)
        if (store_number(streams, i) == task->number)
            task->stores[task->store_count++] = (struct task_store){
                .task = task,
                .kind = &topology->kinds[i],
                .changelog = streams->changelogs + (size_t)i * (WEIR_KAFKA_TOPIC_BYTES_MAX + 1),
                .position = -1};
    return WEIR_OK;
}

static void close_table(struct task_store *store)
{
    weir_kafka_table_close(store->table);
    store->table = NULL;
}

void stores_close(struct task *task)
{
    for (uint32_t i = 0; i < task->store_count; i++) {
        close_table(&task->stores[i]);
        store_close(task->stores[i].store);
    }
    weir_free(task->stores);
    task->stores = NULL;
    task->store_count = 0;
    leave_directory(task);
}

static enum weir_err commit_one(struct task_store *store, struct weir_error *error)
{
    int64_t position = store->position > 0 ? store->position : 0;
    if (store_pending_bytes(store->store) == 0 && position == store->position_committed)
        return WEIR_OK;
    enum weir_err err = store_commit(store->store, position, error);
    if (err == WEIR_OK)
        store->position_committed = position;
    else
        weir_error_context(error, "task %s", store->task->id);
    return err;
}

/* ---- reading changelogs ---------------------------------------------------------------------- */

static void tell(const struct task_store *store, int64_t offset)
{
    const struct weir_streams_options *options = &store->task->thread->streams->options;
    const struct weir_restore progress = {
        .store = store->kind->options.name,
        .task_id = store->task->id,
        .records = store->records,
        .offset = offset,
        .end =
            store->is_read ? offset : weir_kafka_table_end(store->table, store->task->partition)};
    if (options->on_restore)
        options->on_restore(options->opaque, &progress);
}

/* What is in an engine that knows more than its changelog is of another changelog. */
static enum weir_err build_anew(struct task_store *store, struct weir_error *error)
{
    const struct weir_store_place place = place_of(store);
    weir_log(&store->task->thread->streams->options.log, WEIR_LOG_WARN, "streams",
             "store %s of task %s is ahead of its changelog %s, which was made anew: so is the "
             "store",
             store->kind->options.name, store->task->id, store->changelog);
    close_table(store);
    store_close(store->store);
    store->store = NULL;
    enum weir_err err =
        store->kind->options.engine->destroy(store->kind->options.engine_config, &place, error);
    return err == WEIR_OK ? open_one(store, error) : err;
}

static enum weir_err apply(struct task_store *store, const struct weir_kafka_batch *batch,
                           struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t row = 0; row < batch->count && err == WEIR_OK; row++) {
        if (batch->rows.key[row].data)
            err = store_restore(store->store, batch->rows.key[row], batch->rows.value[row],
                                batch->rows.timestamp_ms[row], error);
        if (err != WEIR_OK)
            weir_error_context(error, "changelog %s, partition %d, offset %lld", store->changelog,
                               (int)store->task->partition, (long long)batch->rows.offset[row]);
    }
    store->records += batch->count;
    store->position = batch->offset_next;
    if (err == WEIR_OK && store_pending_bytes(store->store) >= RESTORE_COMMIT_BYTES)
        err = commit_one(store, error);
    return err;
}

static enum weir_err open_table(struct task_store *store, struct weir_error *error)
{
    struct weir_kafka_table_options options;
    weir_kafka_table_options_default(&options);
    options.topic = store->changelog;
    options.partition = store->task->partition;
    options.offset = store->position >= 0 ? store->position : WEIR_KAFKA_BEGINNING;
    options.open_transactions = true; /* of the task's last owner: they may be committed yet */
    return weir_kafka_table_open(store->task->thread->streams->kafka, &options, &store->table,
                                 error);
}

static enum weir_err end_restore(struct task_store *store, struct weir_error *error)
{
    int64_t end = weir_kafka_table_end(store->table, store->task->partition);
    if (store->position > end && end >= 0 && store->kind->options.engine->persistent)
        return build_anew(store, error);
    store->position = end > store->position ? end : store->position;
    store->is_read = true;
    tell(store, store->position);
    close_table(store);
    return commit_one(store, error);
}

/* What there is of one store. AGAIN: no more for now. */
static enum weir_err restore_some(struct task_store *store, struct weir_error *error)
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
    if (err == WEIR_END)
        return end_restore(store, error);
    if (err == WEIR_OK || err == WEIR_AGAIN)
        return err;
    weir_log(&streams->options.log, WEIR_LOG_WARN, "streams", "store %s of task %s: %s",
             store->kind->options.name, store->task->id, error->message);
    return error->fatal ? err : WEIR_AGAIN;
}

enum weir_err stores_restore(struct task *task, bool *ready_out, struct weir_error *error)
{
    enum weir_err err = needs_directory(task) ? take_directory(task, error) : WEIR_OK;
    uint32_t ready = 0;
    for (uint32_t i = 0; i < task->store_count && err == WEIR_OK; i++) {
        struct task_store *store = &task->stores[i];
        if (!store->store)
            err = open_one(store, error);
        if (err == WEIR_OK && !store->is_read)
            err = restore_some(store, error);
        if (err != WEIR_OK || !store->is_read)
            break;
        ready++;
    }
    *ready_out = ready == task->store_count;
    return err == WEIR_AGAIN ? WEIR_OK : err;
}

/* ---- commit and rewind ----------------------------------------------------------------------- */

enum weir_err stores_flush(struct task *task, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < task->store_count && err == WEIR_OK; i++)
        err = store_flush(task->stores[i].store, error);
    return err;
}

bool stores_are_dirty(const struct task *task)
{
    bool dirty = false;
    for (uint32_t i = 0; i < task->store_count; i++)
        dirty |= store_is_dirty(task->stores[i].store);
    return dirty;
}

enum weir_err stores_commit(struct task *task, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    for (uint32_t i = 0; i < task->store_count && err == WEIR_OK; i++)
        err = commit_one(&task->stores[i], error);
    return err;
}

void stores_rollback(struct task *task)
{
    for (uint32_t i = 0; i < task->store_count; i++)
        if (task->stores[i].store)
            store_rollback(task->stores[i].store);
}

size_t stores_pending_bytes(const struct task *task)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < task->store_count; i++)
        bytes += task->stores[i].store ? store_pending_bytes(task->stores[i].store) : 0;
    return bytes;
}

/* ---- for processors -------------------------------------------------------------------------- */

static struct task_store *find(const struct weir_context *context, const char *name)
{
    struct task *task = context->task;
    for (uint32_t i = 0; i < task->store_count; i++) {
        const struct topology_store *kind = task->stores[i].kind;
        for (uint32_t k = 0; k < kind->processor_count && strcmp(kind->options.name, name) == 0;
             k++)
            if (kind->processors[k] == context->node)
                return &task->stores[i];
    }
    return NULL;
}

struct weir_store *weir_context_store(const struct weir_context *context, const char *name)
{
    const struct task_store *store = find(context, name);
    return store ? store->store : NULL;
}

void store_listen(struct weir_context *context, const char *name, store_listener *listen)
{
    struct task_store *store = find(context, name);
    weir_assert(store);
    store->listener = context;
    store->listen = listen;
}
