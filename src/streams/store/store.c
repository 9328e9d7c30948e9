/* Stores of all kinds: life, limits, timestamps, changelog. See store.h. */
#include "streams/store/store.h"

#include <string.h>

#include "base/alloc.h"

enum { STAMP_BYTES = 8 };

/* ---- options --------------------------------------------------------------------------------- */

void weir_store_options_default(struct weir_store_options *options)
{
    *options = (struct weir_store_options){
        .engine = weir_store_in_memory(),
        .logging = true,
        .retention_ms = 24 * 3600 * 1000,
    };
}

enum weir_err weir_store_engine_check(const struct weir_store_engine *engine,
                                      struct weir_error *error)
{
    const char *fault = NULL;

    if (engine->abi != WEIR_STORE_ENGINE_ABI)
        fault = "abi is not WEIR_STORE_ENGINE_ABI";
    else if (!engine->open || !engine->close || !engine->get || !engine->seek || !engine->write ||
             !engine->count)
        fault = "open, close, get, seek, write and count are required";
    else if (engine->persistent && !engine->destroy)
        fault = "a persistent one needs destroy";
    return fault == NULL ? WEIR_OK
                         : weir_error_set(error, WEIR_INVALID, -1, "a store's engine: %s", fault);
}

enum weir_err weir_store_options_check(const struct weir_store_options *options,
                                       struct weir_error *error)
{
    const char *fault = NULL;

    if (options->engine == NULL)
        fault = "it has no engine: begin with weir_store_options_default";
    else if (options->kind > WEIR_STORE_SESSION)
        fault = "there is no such kind";
    else if (options->retention_ms < 1 || options->window_size_ms < 0)
        fault = "a time is negative, or nothing is retained";
    else if (options->window_size_ms > options->retention_ms)
        fault = "its windows are larger than what it retains";
    else if (options->retain_duplicates && options->caching)
        fault = "a cache can't retain duplicates";
    if (fault != NULL)
        return weir_error_set(error, WEIR_INVALID, -1, "store \"%s\": %s", options->name, fault);
    return weir_store_engine_check(options->engine, error);
}

bool store_is_segmented(const struct weir_store *store)
{
    return store->options.kind == WEIR_STORE_WINDOW || store->options.kind == WEIR_STORE_SESSION;
}

bool store_is_stamped(const struct weir_store *store)
{
    return store->options.kind == WEIR_STORE_TIMESTAMPED_KEY_VALUE ||
           store->options.kind == WEIR_STORE_WINDOW;
}

const char *weir_store_name(const struct weir_store *store)
{
    return store->name;
}

enum weir_store_kind weir_store_kind(const struct weir_store *store)
{
    return store->options.kind;
}

uint64_t weir_store_count(const struct weir_store *store)
{
    return byte_store_count(&store->bytes) + store->bytes.pending.count;
}

bool store_is_dirty(const struct weir_store *store)
{
    return store->bytes.dirty_first != NULL;
}

size_t store_pending_bytes(const struct weir_store *store)
{
    return store->bytes.pending_bytes;
}

enum weir_err store_check(const struct weir_store *store, unsigned kinds, struct weir_slice key,
                          struct weir_slice value, struct weir_error *error)
{
    const char *fault = NULL;

    if ((kinds & STORE_IS(store->options.kind)) == 0)
        fault = "it is a store of another kind";
    else if (key.data == NULL)
        fault = "the key is null";
    if (fault != NULL)
        return weir_error_set(error, WEIR_INVALID, -1, "store %s: %s", store->name, fault);
    if (key.bytes > WEIR_STORE_KEY_BYTES_MAX || value.bytes > WEIR_STORE_VALUE_BYTES_MAX)
        return weir_error_set(error, WEIR_LIMIT, -1,
                              "store %s: a key of %zu bytes (%d at most) with a value of %zu (%d)",
                              store->name, key.bytes, WEIR_STORE_KEY_BYTES_MAX, value.bytes,
                              WEIR_STORE_VALUE_BYTES_MAX);
    return WEIR_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* What can't be used is given up: the changelog has it. */
static enum weir_err open_engine(struct weir_store *store, const struct weir_store_place *place,
                                 int64_t *position_out, bool *rebuilt_out, struct weir_error *error)
{
    const struct weir_store_engine *engine = store->options.engine;
    void *config = store->options.engine_config, *self = NULL;
    enum weir_err err = engine->open(config, place, &self, position_out, error);

    *rebuilt_out = engine->persistent && (err == WEIR_CORRUPT || err == WEIR_OTHER_VERSION);
    if (*rebuilt_out) {
        err = engine->destroy(config, place, error);
        if (err == WEIR_OK)
            err = engine->open(config, place, &self, position_out, error);
    }
    if (err == WEIR_OK)
        byte_store_init(&store->bytes, engine, self);
    return err;
}

enum weir_err store_open(const struct weir_store_options *options,
                         const struct weir_store_place *place, const struct store_owner *owner,
                         struct weir_store **store_out, int64_t *position_out, bool *rebuilt_out,
                         struct weir_error *error)
{
    struct weir_store *store = weir_calloc(1, sizeof *store);

    if (store == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "store %s: no memory", options->name);
    store->options = *options;
    store->owner = *owner;
    store->observed_ms = store->committed_ms = -1;
    store->segment_ms = options->retention_ms / 2 > 60000 ? options->retention_ms / 2 : 60000;
    weir_buffer_init(&store->key, 2 * WEIR_STORE_KEY_BYTES_MAX);
    weir_buffer_init(&store->value, WEIR_STORE_VALUE_BYTES_MAX + STAMP_BYTES);
    memcpy(store->name, options->name, strlen(options->name) + 1);
    store->options.name = store->name;
    enum weir_err err = open_engine(store, place, position_out, rebuilt_out, error);
    if (err == WEIR_OK && store_is_segmented(store))
        err = segments_open(store, error);
    if (err != WEIR_OK) {
        store_close(store);
        return err;
    }
    *store_out = store;
    return WEIR_OK;
}

void store_close(struct weir_store *store)
{
    if (store == NULL)
        return;
    byte_store_release(&store->bytes);
    weir_buffer_release(&store->key);
    weir_buffer_release(&store->value);
    weir_free(store);
}

/* ---- timestamps ------------------------------------------------------------------------------ */

enum weir_err store_stamp(struct weir_store *store, struct weir_slice value, int64_t timestamp_ms,
                          struct weir_slice *out, struct weir_error *error)
{
    uint8_t stamp[STAMP_BYTES];

    *out = value;
    if (!store_is_stamped(store) || value.data == NULL)
        return WEIR_OK;
    store_put64(stamp, timestamp_ms);
    weir_buffer_clear(&store->value);
    if (weir_buffer_append(&store->value, stamp, sizeof stamp) != WEIR_OK ||
        weir_buffer_append(&store->value, value.data, value.bytes) != WEIR_OK)
        return weir_error_set(error, WEIR_NOMEM, -1, "store %s: no memory for a value",
                              store->name);
    *out = weir_slice(store->value.data, store->value.bytes);
    return WEIR_OK;
}

void store_unstamp(const struct weir_store *store, struct weir_slice stored,
                   struct weir_stamped *out)
{
    *out = (struct weir_stamped){.value = stored, .timestamp_ms = -1};
    if (!store_is_stamped(store) || stored.data == NULL || stored.bytes < STAMP_BYTES)
        return;
    out->timestamp_ms = store_get64(stored.data);
    out->value = weir_slice((const uint8_t *)stored.data + STAMP_BYTES, stored.bytes - STAMP_BYTES);
}

/* ---- the changelog --------------------------------------------------------------------------- */

static enum weir_err log_change(struct weir_store *store, struct weir_slice key,
                                struct weir_slice stored, int64_t timestamp_ms,
                                struct weir_error *error)
{
    struct weir_stamped value;

    if (store->owner.log == NULL)
        return WEIR_OK;
    store_unstamp(store, stored, &value);
    if (store_is_segmented(store))
        key = segments_changelog_key(key);
    return store->owner.log(store->owner.opaque, store, key, value.value, timestamp_ms, error);
}

enum weir_err store_put_bytes(struct weir_store *store, struct weir_slice key,
                              struct weir_slice value, int64_t timestamp_ms,
                              struct weir_error *error)
{
    bool caching = store->options.caching;
    /* The log comes second, and may look at what was given: that is copied by then. */
    enum weir_err err = byte_store_put(&store->bytes, key, value, timestamp_ms, caching, error);

    return err == WEIR_OK && !caching ? log_change(store, key, value, timestamp_ms, error) : err;
}

enum weir_err store_restore(struct weir_store *store, struct weir_slice key,
                            struct weir_slice value, int64_t timestamp_ms, struct weir_error *error)
{
    struct weir_slice stored_key = key, stored_value;
    enum weir_err err = WEIR_OK;

    if (key.data == NULL || key.bytes > 2 * WEIR_STORE_KEY_BYTES_MAX)
        return weir_error_set(error, WEIR_PARSE, -1, "store %s: a changelog record without a key",
                              store->name);
    if (store_is_segmented(store))
        err = segments_restore_key(store, key, &stored_key, error);
    if (err == WEIR_OK)
        err = store_stamp(store, value, timestamp_ms, &stored_value, error);
    if (err != WEIR_OK)
        return err;
    return byte_store_put(&store->bytes, stored_key, stored_value, timestamp_ms, false, error);
}

static enum weir_err show(void *opaque, const struct byte_store_change *bytes,
                          struct weir_error *error)
{
    struct weir_store *store = opaque;
    struct store_change change = {.key = bytes->key, .start_ms = -1, .end_ms = -1};
    enum weir_err err = log_change(store, bytes->key, bytes->value, bytes->timestamp_ms, error);

    if (err != WEIR_OK || store->owner.changed == NULL)
        return err;
    if (store_is_segmented(store)) {
        struct weir_store_entry entry;
        if (segments_take_apart(store, bytes->key, &entry) != WEIR_OK)
            return WEIR_OK;
        change.key = entry.key;
        change.start_ms = entry.start_ms;
        change.end_ms = entry.end_ms;
    }
    store_unstamp(store, bytes->value, &change.now);
    store_unstamp(store, bytes->old, &change.old);
    if (change.now.timestamp_ms < 0)
        change.now.timestamp_ms = bytes->timestamp_ms;
    return store->owner.changed(store->owner.opaque, store, &change, error);
}

enum weir_err store_flush(struct weir_store *store, struct weir_error *error)
{
    return byte_store_flush(&store->bytes, show, store, error);
}

enum weir_err store_commit(struct weir_store *store, int64_t position, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    if (store_is_segmented(store)) {
        err = segments_sweep(store, error);
        if (err == WEIR_OK)
            err = segments_note(store, error);
    }
    if (err == WEIR_OK)
        err = byte_store_commit(&store->bytes, position, error);
    if (err == WEIR_OK)
        store->committed_ms = store->observed_ms;
    else
        weir_error_context(error, "store %s", store->name);
    return err;
}

void store_rollback(struct weir_store *store)
{
    byte_store_rollback(&store->bytes);
    store->observed_ms = store->committed_ms;
}
