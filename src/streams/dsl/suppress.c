/*
 * Suppress: results of a table wait until they are final, or for some time. See dsl.h.
 *
 * They wait in a store, in the order in which they are due:
 *
 *      't' | due 8 | window start 8, end 8 | key    ->  timestamp 8 | has a value 1 | value
 *      'k' | window start 8, end 8 | key            ->  due 8     (time limits: since when)
 */
#include "base/alloc.h"
#include "streams/dsl/dsl.h"

enum { WINDOW_BYTES = 16, TIME_BYTES = 1 + 8 + WINDOW_BYTES, VALUE_BYTES = 9 };

/* Of a task. */
struct waiting {
    const struct operation *operation;
    struct weir_store *store;
    int64_t stream_time_ms;
};

static enum weir_err suppress_init(void *config, struct weir_context *context, void **self_out,
                                   struct weir_error *error)
{
    struct waiting *waiting = weir_calloc(1, sizeof *waiting);
    if (!waiting)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for suppressed results");
    waiting->operation = config;
    waiting->store = weir_context_store(context, waiting->operation->store);
    waiting->stream_time_ms = -1;
    *self_out = waiting;
    return WEIR_OK;
}

static void suppress_close(void *self, struct weir_context *context)
{
    (void)context;
    weir_free(self);
}

static void *memory(struct weir_context *context, size_t bytes, struct weir_error *error)
{
    void *made = weir_context_alloc(context, bytes);
    if (!made)
        weir_error_set(error, WEIR_NOMEM, -1, "no memory for suppressed results");
    return made;
}

/* ---- what waits ------------------------------------------------------------------------------ */

/* 'k' and 't' keys share their end. */
static enum weir_err keys_of(struct weir_context *context, const struct weir_record *record,
                             struct weir_slice key, struct weir_slice *by_key,
                             struct weir_slice *by_time, struct weir_error *error)
{
    uint8_t *timed = memory(context, TIME_BYTES + key.bytes, error);
    uint8_t *keyed = memory(context, 1 + WINDOW_BYTES + key.bytes, error);
    if (!timed || !keyed)
        return WEIR_NOMEM;
    timed[0] = 't';
    store_put64(timed + 9, record->window.start_ms);
    store_put64(timed + 17, record->window.end_ms);
    memcpy(timed + TIME_BYTES, key.data, key.bytes);
    keyed[0] = 'k';
    memcpy(keyed + 1, timed + 9, WINDOW_BYTES + key.bytes);
    *by_time = weir_slice(timed, TIME_BYTES + key.bytes);
    *by_key = weir_slice(keyed, 1 + WINDOW_BYTES + key.bytes);
    return WEIR_OK;
}

/* When it is due: at the end of its window, or when the first result of its key has waited. */
static enum weir_err due_of(const struct waiting *waiting, const struct weir_record *record,
                            struct weir_slice by_key, int64_t *due_out, struct weir_error *error)
{
    struct weir_stamped since;
    uint8_t bytes[8];
    *due_out = waiting->operation->until_closed ? record->window.end_ms : record->timestamp_ms;
    if (waiting->operation->until_closed)
        return WEIR_OK;
    enum weir_err err = weir_key_value_get(waiting->store, by_key, &since, error);
    if (err == WEIR_OK && since.value.bytes == sizeof bytes) {
        *due_out = store_get64(since.value.data);
        return WEIR_OK;
    }
    if (err != WEIR_NOT_FOUND)
        return err;
    store_put64(bytes, *due_out);
    return weir_key_value_put(waiting->store, by_key, weir_slice(bytes, sizeof bytes),
                              record->timestamp_ms, error);
}

static enum weir_err put(const struct waiting *waiting, struct weir_context *context,
                         const struct weir_record *record, struct weir_error *error)
{
    const struct operation *operation = waiting->operation;
    struct weir_slice key, value, by_key, by_time;
    int64_t due_ms;
    enum weir_err err =
        typed_bytes(context, operation->key, operation->store, &record->key, &key, error);
    if (err == WEIR_OK)
        err =
            typed_bytes(context, operation->value, operation->store, &record->value, &value, error);
    if (err == WEIR_OK)
        err = keys_of(context, record, key, &by_key, &by_time, error);
    if (err == WEIR_OK)
        err = due_of(waiting, record, by_key, &due_ms, error);
    if (err != WEIR_OK)
        return err;
    store_put64((uint8_t *)(uintptr_t)by_time.data + 1, due_ms);
    if (!value.data && operation->until_closed) /* a session that has become another */
        return weir_key_value_put(waiting->store, by_time, value, record->timestamp_ms, error);
    uint8_t *bytes = memory(context, VALUE_BYTES + value.bytes, error);
    if (!bytes)
        return WEIR_NOMEM;
    store_put64(bytes, record->timestamp_ms);
    bytes[8] = value.data != NULL;
    if (value.data)
        memcpy(bytes + VALUE_BYTES, value.data, value.bytes);
    return weir_key_value_put(waiting->store, by_time, weir_slice(bytes, VALUE_BYTES + value.bytes),
                              record->timestamp_ms, error);
}

/* ---- what goes on ---------------------------------------------------------------------------- */

static enum weir_err emit(const struct waiting *waiting, struct weir_context *context,
                          const struct weir_store_entry *entry, struct weir_error *error)
{
    const struct operation *operation = waiting->operation;
    const uint8_t *key = entry->key.data, *value = entry->value.data;
    const struct weir_slice nothing = {0};
    struct weir_record record = {.timestamp_ms = store_get64(value)};
    size_t key_bytes = entry->key.bytes;
    uint8_t *copy = memory(context, key_bytes, error);
    if (!copy)
        return WEIR_NOMEM;
    memcpy(copy, key, key_bytes);
    record.window =
        (struct weir_window){operation->window_kind, store_get64(copy + 9), store_get64(copy + 17)};
    enum weir_err err =
        typed_value(context, operation->key, operation->store,
                    weir_slice(copy + TIME_BYTES, key_bytes - TIME_BYTES), &record.key, error);
    if (err == WEIR_OK && value[8])
        err = typed_value(context, operation->value, operation->store,
                          weir_slice(value + VALUE_BYTES, entry->value.bytes - VALUE_BYTES),
                          &record.value, error);
    if (err == WEIR_OK)
        err = weir_key_value_put(waiting->store, weir_slice(copy, key_bytes), nothing,
                                 record.timestamp_ms, error);
    if (err == WEIR_OK && !operation->until_closed) {
        copy[8] = 'k'; /* in front of the window and the key */
        err = weir_key_value_put(waiting->store, weir_slice(copy + 8, key_bytes - 8), nothing,
                                 record.timestamp_ms, error);
    }
    return err == WEIR_OK ? weir_context_forward_record(context, &record, error) : err;
}

/* All that are due by now. */
static enum weir_err emit_due(const struct waiting *waiting, struct weir_context *context,
                              struct weir_error *error)
{
    const struct operation *operation = waiting->operation;
    int64_t due_ms = waiting->stream_time_ms - operation->wait_ms;
    struct weir_store_iterator *walk;
    struct weir_store_entry entry;
    enum weir_err err = weir_key_value_prefix(waiting->store, weir_slice("t", 1), &walk, error);
    if (err != WEIR_OK)
        return err;
    while ((err = weir_store_iterator_next(walk, &entry, error)) == WEIR_OK) {
        if (entry.key.bytes < TIME_BYTES || entry.value.bytes < VALUE_BYTES) {
            err = weir_error_set(error, WEIR_CORRUPT, -1, "store %s has an entry that is none",
                                 operation->store);
            break;
        }
        if (store_get64((const uint8_t *)entry.key.data + 1) > due_ms)
            break;
        err = emit(waiting, context, &entry, error);
        if (err != WEIR_OK)
            break;
    }
    weir_store_iterator_free(walk);
    return err == WEIR_END ? WEIR_OK : err;
}

static enum weir_err suppress(void *self, struct weir_context *context,
                              const struct weir_record *record, struct weir_error *error)
{
    struct waiting *waiting = self;
    if (weir_value_is_null(record->key))
        return WEIR_OK;
    if (record->timestamp_ms > waiting->stream_time_ms)
        waiting->stream_time_ms = record->timestamp_ms;
    enum weir_err err = put(waiting, context, record, error);
    return err == WEIR_OK ? emit_due(waiting, context, error) : err;
}

static const struct weir_processor_ops suppress_ops = {
    .abi = WEIR_PROCESSOR_ABI, .init = suppress_init, .process = suppress, .close = suppress_close};

/* ---- the operations -------------------------------------------------------------------------- */

static struct weir_table *add(struct weir_table *table, struct operation *operation,
                              const char *name)
{
    struct weir_builder *builder = table->stream.builder;
    const char *node = name ? dsl_copy(builder, name) : dsl_name(builder, "KTABLE-SUPPRESS-");
    struct weir_store_options store;
    weir_store_options_default(&store);
    store.name = name ? dsl_append(builder, name, "-store")
                      : dsl_name(builder, "KTABLE-SUPPRESS-STATE-STORE-");
    table_materialize(table);
    store.kind = WEIR_STORE_KEY_VALUE;
    store.engine = builder->engine;
    operation->store = store.name;
    operation->key = table->stream.key;
    operation->value = table->stream.value;
    operation->window_kind = table->window_kind;
    dsl_add(builder, node, &suppress_ops, operation, table->stream.node);
    dsl_add_store(builder, &store, node);
    struct weir_table *out =
        table_of(&table->stream, node, NULL, table->stream.key, table->stream.value);
    out->window_kind = table->window_kind;
    out->windows = table->windows;
    return out;
}

struct weir_table *weir_table_suppress_until_window_closes(struct weir_table *table,
                                                           const char *name)
{
    const struct windows *windows = &table->windows;
    struct operation operation = {.until_closed = true, .wait_ms = windows->grace_ms};
    if (table->window_kind == WEIR_NO_WINDOW)
        dsl_fault(table->stream.builder, WEIR_INVALID,
                  "suppress until the window closes: node \"%s\" has no windows",
                  table->stream.node);
    if (table->window_kind == WEIR_SESSION_WINDOW)
        operation.wait_ms += windows->size_ms;
    return add(table, &operation, name);
}

struct weir_table *weir_table_suppress_until_time_limit(struct weir_table *table, int64_t limit_ms,
                                                        const char *name)
{
    struct operation operation = {.wait_ms = limit_ms};
    if (limit_ms < 0)
        dsl_fault(table->stream.builder, WEIR_INVALID, "suppress for %lld ms", (long long)limit_ms);
    return add(table, &operation, name);
}
