/* Key-value stores: weir/streams_store.h. */
#include "streams/store/store.h"

enum {
    KINDS = STORE_IS(WEIR_STORE_KEY_VALUE) | STORE_IS(WEIR_STORE_TIMESTAMPED_KEY_VALUE),
};

static const struct weir_slice no_value = {0};

enum weir_err weir_key_value_get(struct weir_store *store, struct weir_slice key,
                                 struct weir_stamped *out, struct weir_error *error)
{
    struct weir_slice stored;
    enum weir_err err = store_check(store, KINDS, key, no_value, error);

    if (err == WEIR_OK)
        err = byte_store_get(&store->bytes, key, &stored, error);
    if (err == WEIR_OK)
        store_unstamp(store, stored, out);
    return err;
}

enum weir_err weir_key_value_put(struct weir_store *store, struct weir_slice key,
                                 struct weir_slice value, int64_t timestamp_ms,
                                 struct weir_error *error)
{
    struct weir_slice stored;
    enum weir_err err = store_check(store, KINDS, key, value, error);

    if (err == WEIR_OK)
        err = store_stamp(store, value, timestamp_ms, &stored, error);
    return err == WEIR_OK ? store_put_bytes(store, key, stored, timestamp_ms, error) : err;
}

enum weir_err weir_key_value_put_if_absent(struct weir_store *store, struct weir_slice key,
                                           struct weir_slice value, int64_t timestamp_ms,
                                           struct weir_stamped *out, struct weir_error *error)
{
    enum weir_err err = weir_key_value_get(store, key, out, error);

    if (err != WEIR_NOT_FOUND)
        return err == WEIR_OK ? WEIR_EXISTS : err;
    return weir_key_value_put(store, key, value, timestamp_ms, error);
}

enum weir_err weir_key_value_range(struct weir_store *store, struct weir_slice from,
                                   struct weir_slice to, bool back,
                                   struct weir_store_iterator **out, struct weir_error *error)
{
    enum weir_err err = store_check(store, KINDS, weir_slice("", 0), no_value, error);

    return err == WEIR_OK ? walk_keys(store, from, to, false, back, out, error) : err;
}

enum weir_err weir_key_value_prefix(struct weir_store *store, struct weir_slice prefix,
                                    struct weir_store_iterator **out, struct weir_error *error)
{
    enum weir_err err = store_check(store, KINDS, prefix, no_value, error);

    return err == WEIR_OK ? walk_keys(store, prefix, prefix, true, false, out, error) : err;
}
