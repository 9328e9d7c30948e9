/*
 * serving/models_loader.c - the thread that loads models, and frees those that nobody uses.
 *
 * It alone parses, binds and warms; scoring tasks meet a model only when all of that is done. The
 * scorers are made here too, so that a task that takes up a new model allocates nothing.
 */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/digest.h"
#include "serving/models_table.h"

enum { RECLAIM_EVERY_MS = 5, RETRY_FETCH_MS = 1000, WARM_ROUNDS = 4 };

void models_enqueue(struct models *models, struct version *version, struct models_bad *record,
                    bool past_end)
{
    weir_assert(version->state == VERSION_NOT_LOADED);
    version->state = VERSION_QUEUED;
    version->references++;
    version->record = record;
    version->record_bytes = record ? record->rows.value->bytes : 0;
    version->past_end = past_end;
    models->queue_bytes += version->record_bytes;
    version->queue_next = NULL;
    if (models->queue_first)
        models->queue_last->queue_next = version;
    else
        models->queue_first = version;
    models->queue_last = version;
    pthread_cond_signal(&models->work);
}

/* ---- without the lock: only the loader touches a version that it has taken ---------------------
 * */

struct loaded {
    struct weir_model *model;
    struct weir_scorer *scorers[MODELS_SCORERS_MAX];
    uint32_t scorer_count;
    int64_t load_ns;
};

static void loaded_release(struct loaded *loaded)
{
    for (uint32_t i = 0; i < loaded->scorer_count; i++)
        weir_scorer_free(loaded->scorers[i]);
    weir_model_unref(loaded->model);
}

/* Scores rows without any value a few times: pages are touched, tables are filled, before the first
 * record has to wait for it. */
static enum weir_err warm(struct models *models, struct loaded *loaded)
{
    struct weir_block *block;
    enum weir_err err = weir_block_new(models->options.schema, models->options.rows_max, &block);
    if (err != WEIR_OK)
        return err;
    err = weir_block_reset(block, models->options.rows_max);
    for (uint32_t i = 0; err == WEIR_OK && i < loaded->scorer_count; i++)
        for (int round = 0; round < WARM_ROUNDS; round++)
            weir_scorer_score(loaded->scorers[i], block, NULL, 0);
    weir_block_free(block);
    return err;
}

static enum weir_err load(struct models *models, const struct version *version,
                          struct weir_slice content, struct loaded *loaded,
                          struct weir_error *error)
{
    struct weir_model_options options = {.format = version->served.format};
    int64_t start_ns = weir_clock_now_ns(NULL);
    *loaded = (struct loaded){0};
    enum weir_err err = weir_model_load(content, &options, &loaded->model, error);
    for (uint32_t i = 0; err == WEIR_OK && i < models->options.scorers; i++) {
        err = weir_scorer_new(loaded->model, models->options.schema, models->options.rows_max,
                              WEIR_SCORER_VALUE, &loaded->scorers[i], error);
        loaded->scorer_count += err == WEIR_OK;
    }
    if (err == WEIR_OK && warm(models, loaded) != WEIR_OK)
        err = weir_error_set(error, WEIR_NOMEM, -1, "no memory to warm the model");
    loaded->load_ns = weir_clock_now_ns(NULL) - start_ns;
    if (err != WEIR_OK)
        loaded_release(loaded);
    return err;
}

/* The record of a version that is not at hand: from the topic, by its position. */
static enum weir_err fetch(struct models *models, const struct version *version, void **value_out,
                           struct weir_slice *value, struct weir_error *error)
{
    size_t bytes = 0;
    if (!models->options.fetch)
        return weir_error_set(error, WEIR_NOT_FOUND, version->read_offset,
                              "the model's content is not in memory and can't be read again");
    enum weir_err err = models->options.fetch(models->options.opaque, version->read_partition,
                                              version->read_offset, value_out, &bytes, error);
    *value = weir_slice(*value_out, bytes);
    return err;
}

static enum weir_err fetch_and_load(struct models *models, const struct version *version,
                                    const struct models_bad *record, struct loaded *loaded,
                                    struct weir_error *error)
{
    struct weir_descriptor descriptor;
    uint8_t digest[WEIR_SHA256_BYTES];
    void *fetched = NULL;
    struct weir_slice value = record ? record->rows.value[0] : weir_slice(NULL, 0);
    enum weir_err err = record ? WEIR_OK : fetch(models, version, &fetched, &value, error);
    if (err == WEIR_OK)
        err = weir_descriptor_decode(value, &descriptor, error);
    if (err == WEIR_OK) {
        weir_sha256(descriptor.data.data, descriptor.data.bytes, digest);
        if (memcmp(digest, version->served.digest, sizeof digest) != 0)
            err = weir_error_set(error, WEIR_NOT_FOUND, version->read_offset,
                                 "the record at offset %lld of the models topic is another one now",
                                 (long long)version->read_offset);
    }
    if (err == WEIR_OK)
        err = load(models, version, descriptor.data, loaded, error);
    weir_free(fetched);
    return err;
}

/* ---- with the lock --------------------------------------------------------------------------- */

void version_unload(struct models *models, struct version *version)
{
    if (!version->served.model)
        return;
    for (uint32_t i = 0; i < version->scorers.count; i++)
        weir_scorer_free(atomic_exchange(&version->scorers.slots[i], NULL));
    version->scorers.count = 0;
    weir_model_unref(version->served.model);
    version->served.model = NULL;
    models->counts.loaded_bytes -= version->loaded_bytes;
    version->loaded_bytes = 0;
}

static void keep(struct models *models, struct version *version, struct loaded *loaded)
{
    version->served.model = loaded->model;
    version->served.load_ns = loaded->load_ns;
    version->loaded_bytes = weir_model_info(loaded->model)->bytes;
    models->counts.loaded_bytes += version->loaded_bytes;
    models->counts.loaded++;
    for (uint32_t i = 0; i < loaded->scorer_count; i++)
        atomic_store(&version->scorers.slots[i], loaded->scorers[i]);
    version->scorers.count = loaded->scorer_count;
    version->state = VERSION_LOADED;
    version->used = ++models->swap_count;
}

/* Lets go of the version least recently in force while the standby ones are over the cache's size.
 * No set is retired: no task can be using a version that is not in force. */
static void evict(struct models *models)
{
    for (;;) {
        struct version *oldest = NULL;
        size_t standby_bytes = 0;
        for (uint32_t i = 0; i < models->type_count; i++) {
            struct data_type *type = models->types[i];
            for (struct version *at = type->versions; at; at = at->next) {
                if (at->state != VERSION_LOADED || at == type->in_force)
                    continue;
                standby_bytes += at->loaded_bytes;
                if (!oldest || at->used < oldest->used)
                    oldest = at;
            }
        }
        if (!oldest || standby_bytes <= models->options.cache_bytes)
            return;
        version_unload(models, oldest);
        oldest->state = VERSION_NOT_LOADED;
        models->counts.evicted++;
    }
}

static void tell(struct models *models, struct version *version, const struct weir_error *error)
{
    if (!models->options.on_event)
        return;
    struct models_event event = {.kind = error ? MODELS_REFUSED : MODELS_LOADED,
                                 .data_type = version->served.data_type,
                                 .name = version->served.name,
                                 .served = error ? NULL : &version->served,
                                 .error = error,
                                 .partition = version->served.partition,
                                 .offset = version->served.offset};
    pthread_mutex_unlock(&models->lock);
    models->options.on_event(models->options.opaque, &event);
    pthread_mutex_lock(&models->lock);
}

/* Until there is work, or so many ms are over; -1 = no limit. Lets go of the lock meanwhile. */
static void wait_for_work(struct models *models, int64_t ms)
{
    struct timespec until;
    if (ms < 0) {
        pthread_cond_wait(&models->work, &models->lock);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (ms % 1000) * 1000000L;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&models->work, &models->lock, &until);
}

/* Superseded while it waited? Then its content stays in the topic. Else notes where that is: in the
 * newest of its records, for the topic may be compacted. */
static bool is_wanted(struct models *models, struct version *version)
{
    struct weir_slice name =
        weir_slice(version->served.data_type, strlen(version->served.data_type));
    struct data_type *type = models_find_type(models, name);
    if (models->stopping || !type || models_candidate(type) != version)
        return false;
    const struct entry *entry = type->entries;
    while (entry->version != version)
        entry = entry->next;
    version->read_partition = entry->partition;
    version->read_offset = entry->offset;
    return true;
}

/* Takes the record if it is to get a dead letter. */
static void reject(struct models *models, struct version *version, struct models_bad **record,
                   const struct weir_error *error)
{
    version->state = VERSION_REFUSED;
    version->why = error->code;
    memcpy(version->reason, error->message, sizeof version->reason);
    models->counts.refused++;
    if (*record && version->past_end) {
        models_keep_bad(models, *record, error);
        *record = NULL;
    }
    tell(models, version, error);
}

static void load_next(struct models *models)
{
    struct version *version = models->queue_first;
    struct weir_error error = {.code = WEIR_OK};
    struct loaded loaded;
    models->queue_first = version->queue_next;
    models->queue_bytes -= version->record_bytes;
    struct models_bad *record = version->record;
    version->record = NULL;
    version->record_bytes = 0;
    if (!is_wanted(models, version)) {
        version->state = VERSION_NOT_LOADED;
        weir_free(record);
        version_unref(models, version);
        return;
    }
    models->loading = 1;
    models->counts.fetched += record == NULL;
    pthread_mutex_unlock(&models->lock);
    enum weir_err err = fetch_and_load(models, version, record, &loaded, &error);
    pthread_mutex_lock(&models->lock);
    if (err == WEIR_OK) {
        keep(models, version, &loaded);
        tell(models, version, NULL);
    } else if (!record && (err == WEIR_TIMEOUT || err == WEIR_BROKER) && !models->stopping) {
        version->state = VERSION_NOT_LOADED; /* the broker is away: settled again below */
        wait_for_work(models, RETRY_FETCH_MS);
    } else {
        reject(models, version, &record, &error);
    }
    models_settle_all(models);
    models->loading = 0;
    weir_free(record);
    version_unref(models, version);
}

void *models_loader_run(void *argument)
{
    struct models *models = argument;
    pthread_mutex_lock(&models->lock);
    while (!models->stopping) {
        bool left = models_reclaim(models);
        if (!left)
            evict(models);
        if (models->queue_first)
            load_next(models);
        else
            wait_for_work(models, left ? RECLAIM_EVERY_MS : -1);
    }
    pthread_mutex_unlock(&models->lock);
    return NULL;
}
