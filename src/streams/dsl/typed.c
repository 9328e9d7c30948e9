/* Values in stores, which hold bytes. See dsl.h. */
#include "streams/dsl/dsl.h"

static const struct weir_serde *serde_or_bytes(const struct weir_serde *serde)
{
    return serde ? serde : &weir_serde_bytes;
}

enum weir_err typed_bytes(struct weir_context *context, const struct weir_serde *serde,
                          const char *store, const struct weir_value *value, struct weir_slice *out,
                          struct weir_error *error)
{
    serde = serde_or_bytes(serde);
    *out = weir_slice(NULL, 0);
    if (weir_value_is_null(*value))
        return WEIR_OK;
    enum weir_err err = serde->serialize(serde->config, context, value, out, error);
    if (err != WEIR_OK)
        weir_error_context(error, "store %s, serde %s", store, serde->name);
    else if (!out->data)
        *out = weir_slice("", 0);
    return err;
}

enum weir_err typed_value(struct weir_context *context, const struct weir_serde *serde,
                          const char *store, struct weir_slice bytes, struct weir_value *out,
                          struct weir_error *error)
{
    serde = serde_or_bytes(serde);
    *out = weir_value_null();
    if (!bytes.data)
        return WEIR_OK;
    void *copy = weir_context_alloc(context, bytes.bytes);
    if (!copy)
        return weir_error_set(error, WEIR_NOMEM, -1, "store %s: no memory for a value", store);
    if (bytes.bytes > 0)
        memcpy(copy, bytes.data, bytes.bytes);
    enum weir_err err =
        serde->deserialize(serde->config, context, weir_slice(copy, bytes.bytes), out, error);
    if (err == WEIR_PARSE) /* of no record in hand: it is the store that is wrong */
        err = error->code = WEIR_CORRUPT;
    if (err != WEIR_OK)
        weir_error_context(error, "store %s, serde %s", store, serde->name);
    return err;
}

enum weir_err typed_get(struct weir_context *context, struct weir_store *store,
                        const struct operation *operation, const struct weir_value *key,
                        struct weir_value *value_out, int64_t *timestamp_out,
                        struct weir_error *error)
{
    struct weir_stamped found;
    struct weir_slice bytes;
    enum weir_err err =
        typed_bytes(context, operation->key, weir_store_name(store), key, &bytes, error);
    if (err == WEIR_OK)
        err = weir_key_value_get(store, bytes, &found, error);
    *value_out = weir_value_null();
    *timestamp_out = -1;
    if (err != WEIR_OK)
        return err == WEIR_NOT_FOUND ? WEIR_OK : err;
    *timestamp_out = found.timestamp_ms;
    return typed_value(context, operation->value, weir_store_name(store), found.value, value_out,
                       error);
}

enum weir_err typed_put(struct weir_context *context, struct weir_store *store,
                        const struct operation *operation, const struct weir_value *key,
                        const struct weir_value *value, int64_t timestamp_ms,
                        struct weir_error *error)
{
    struct weir_slice key_bytes, value_bytes;
    enum weir_err err =
        typed_bytes(context, operation->key, weir_store_name(store), key, &key_bytes, error);
    if (err == WEIR_OK)
        err = typed_bytes(context, operation->value, weir_store_name(store), value, &value_bytes,
                          error);
    return err == WEIR_OK ? weir_key_value_put(store, key_bytes, value_bytes, timestamp_ms, error)
                          : err;
}

enum weir_err typed_show(struct weir_context *context, const struct store_change *change,
                         struct weir_error *error)
{
    const struct node *node = &context->task->thread->streams->topology->nodes[context->node];
    const struct operation *operation = node->config;
    struct weir_record record = {.timestamp_ms = change->now.timestamp_ms};
    bool is_session = operation->windows.kind == SESSIONS && change->start_ms >= 0;
    if (change->start_ms >= 0)
        record.window = (struct weir_window){is_session ? WEIR_SESSION_WINDOW : WEIR_TIME_WINDOW,
                                             change->start_ms, change->end_ms};
    if (is_session)
        record.timestamp_ms = change->end_ms;
    enum weir_err err =
        typed_value(context, operation->key, operation->store, change->key, &record.key, error);
    if (err == WEIR_OK)
        err = typed_value(context, operation->value, operation->store, change->now.value,
                          &record.value, error);
    if (err == WEIR_OK)
        err = typed_value(context, operation->value, operation->store, change->old.value,
                          &record.old, error);
    return err == WEIR_OK ? weir_context_forward_record(context, &record, error) : err;
}
