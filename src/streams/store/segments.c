/*
 * Windows and sessions: their keys, and how they expire. The layout stands in store.h.
 *
 * The segment in front puts old and new apart, so that what has expired lies together, at the front
 * of the store. Within a segment entries are in the order of their keys, then of their times.
 */
#include "streams/store/store.h"

enum {
    SWEEP_MAX = 1000, /* entries of a commit */
    CHANGELOG_KEY_BYTES_MIN = WINDOW_SUFFIX_BYTES,
};

/* Behind all segments: their first byte is never above 0x7f. */
static const uint8_t observed_key[] = "\xffobserved";

static const struct weir_slice no_value = {0};

/* ---- keys ------------------------------------------------------------------------------------ */

size_t segments_suffix_bytes(const struct weir_store *store)
{
    return store->options.kind == WEIR_STORE_WINDOW ? WINDOW_SUFFIX_BYTES : SESSION_SUFFIX_BYTES;
}

int64_t segments_number(const struct weir_store *store, int64_t time_ms)
{
    return time_ms / store->segment_ms;
}

int64_t segments_live_ms(const struct weir_store *store)
{
    int64_t live = store->observed_ms - store->options.retention_ms + 1;

    return live > 0 ? live : 0;
}

/* The times of a window's or a session's suffix. */
struct suffix {
    uint8_t bytes[SESSION_SUFFIX_BYTES];
    size_t count;
    int64_t time_ms; /* by which it goes */
};

static struct suffix window_suffix(int64_t start_ms, int32_t sequence)
{
    struct suffix suffix = {.count = WINDOW_SUFFIX_BYTES, .time_ms = start_ms};
    uint32_t big = htobe32((uint32_t)sequence);

    store_put64(suffix.bytes, start_ms);
    memcpy(suffix.bytes + 8, &big, sizeof big);
    return suffix;
}

static struct suffix session_suffix(int64_t start_ms, int64_t end_ms)
{
    struct suffix suffix = {.count = SESSION_SUFFIX_BYTES, .time_ms = end_ms};

    store_put64(suffix.bytes, end_ms);
    store_put64(suffix.bytes + 8, start_ms);
    return suffix;
}

static enum weir_err put_together(struct weir_store *store, struct weir_slice key,
                                  const struct suffix *suffix, struct weir_slice *out,
                                  struct weir_error *error)
{
    uint8_t segment[SEGMENT_BYTES];

    store_put64(segment, segments_number(store, suffix->time_ms));
    weir_buffer_clear(&store->key);
    if (weir_buffer_append(&store->key, segment, sizeof segment) != WEIR_OK ||
        weir_buffer_append(&store->key, key.data, key.bytes) != WEIR_OK ||
        weir_buffer_append(&store->key, suffix->bytes, suffix->count) != WEIR_OK)
        return weir_error_set(error, WEIR_NOMEM, -1, "store %s: no memory for a key", store->name);
    *out = weir_slice(store->key.data, store->key.bytes);
    return WEIR_OK;
}

enum weir_err segments_take_apart(const struct weir_store *store, struct weir_slice stored,
                                  struct weir_store_entry *out)
{
    const uint8_t *at = stored.data, *suffix;
    size_t suffix_bytes = segments_suffix_bytes(store);

    if (stored.bytes < SEGMENT_BYTES + suffix_bytes)
        return WEIR_PARSE;
    out->key = weir_slice(at + SEGMENT_BYTES, stored.bytes - SEGMENT_BYTES - suffix_bytes);
    suffix = at + stored.bytes - suffix_bytes;
    if (store->options.kind == WEIR_STORE_SESSION) {
        out->end_ms = store_get64(suffix);
        out->start_ms = store_get64(suffix + 8);
        return WEIR_OK;
    }
    out->start_ms = store_get64(suffix);
    out->end_ms = out->start_ms + (store->options.window_size_ms > 0 ? store->options.window_size_ms
                                                                     : store->options.retention_ms);
    return WEIR_OK;
}

struct weir_slice segments_changelog_key(struct weir_slice stored)
{
    return weir_slice((const uint8_t *)stored.data + SEGMENT_BYTES, stored.bytes - SEGMENT_BYTES);
}

static void note_time(struct weir_store *store, int64_t time_ms)
{
    store->observed_ms = time_ms > store->observed_ms ? time_ms : store->observed_ms;
}

enum weir_err segments_restore_key(struct weir_store *store, struct weir_slice changelog_key,
                                   struct weir_slice *stored_out, struct weir_error *error)
{
    size_t suffix_bytes = segments_suffix_bytes(store);
    const uint8_t *at = changelog_key.data;
    struct suffix suffix = {.count = suffix_bytes};

    if (changelog_key.bytes < suffix_bytes ||
        store_get64(at + changelog_key.bytes - suffix_bytes) < 0)
        return weir_error_set(error, WEIR_PARSE, -1,
                              "store %s: a changelog record whose key has no time", store->name);
    memcpy(suffix.bytes, at + changelog_key.bytes - suffix_bytes, suffix_bytes);
    suffix.time_ms = store_get64(suffix.bytes);
    note_time(store, suffix.time_ms);
    return put_together(store, weir_slice(at, changelog_key.bytes - suffix_bytes), &suffix,
                        stored_out, error);
}

/* ---- time ------------------------------------------------------------------------------------ */

static int64_t first_segment(const struct weir_store *store)
{
    int64_t oldest = store->observed_ms - store->options.retention_ms;

    return oldest > 0 ? segments_number(store, oldest) : 0;
}

enum weir_err segments_open(struct weir_store *store, struct weir_error *error)
{
    struct weir_slice value;
    enum weir_err err = byte_store_get(
        &store->bytes, weir_slice(observed_key, sizeof observed_key - 1), &value, error);

    if (err == WEIR_OK && value.bytes == 8)
        store->observed_ms = store->committed_ms = store_get64(value.data);
    return err == WEIR_NOT_FOUND ? WEIR_OK : err;
}

enum weir_err segments_note(struct weir_store *store, struct weir_error *error)
{
    uint8_t time[8];

    if (store->observed_ms == store->committed_ms)
        return WEIR_OK;
    store_put64(time, store->observed_ms);
    return byte_store_put(&store->bytes, weir_slice(observed_key, sizeof observed_key - 1),
                          weir_slice(time, sizeof time), 0, false, error);
}

enum weir_err segments_sweep(struct weir_store *store, struct weir_error *error)
{
    const int64_t first = first_segment(store);
    struct weir_slice at = {0}, key, value;
    enum weir_err err = WEIR_OK;

    for (int i = 0; i < SWEEP_MAX; i++) {
        err = byte_store_seek(&store->bytes, at, at.data != NULL, false, &key, &value, error);
        if (err != WEIR_OK || key.bytes < SEGMENT_BYTES || store_get64(key.data) >= first ||
            store_get64(key.data) < 0)
            break;
        weir_buffer_clear(&store->key);
        err = weir_buffer_append(&store->key, key.data, key.bytes);
        at = weir_slice(store->key.data, store->key.bytes);
        if (err == WEIR_OK)
            err = byte_store_put(&store->bytes, at, no_value, 0, false, error);
        if (err != WEIR_OK)
            break;
    }
    return err == WEIR_END ? WEIR_OK : err;
}

/* ---- putting and getting --------------------------------------------------------------------- */

static enum weir_err put(struct weir_store *store, struct weir_slice key,
                         const struct suffix *suffix, struct weir_slice value, int64_t timestamp_ms,
                         struct weir_error *error)
{
    struct weir_slice stored_key, stored_value;
    enum weir_err err;

    note_time(store, suffix->time_ms);
    if (segments_number(store, suffix->time_ms) < first_segment(store))
        return WEIR_OK;
    err = put_together(store, key, suffix, &stored_key, error);
    if (err == WEIR_OK)
        err = store_stamp(store, value, timestamp_ms, &stored_value, error);
    return err == WEIR_OK ? store_put_bytes(store, stored_key, stored_value, timestamp_ms, error)
                          : err;
}

static enum weir_err get(struct weir_store *store, struct weir_slice key,
                         const struct suffix *suffix, struct weir_stamped *out,
                         struct weir_error *error)
{
    struct weir_slice stored_key, stored;
    enum weir_err err;

    if (suffix->time_ms < segments_live_ms(store))
        return WEIR_NOT_FOUND;
    err = put_together(store, key, suffix, &stored_key, error);
    if (err == WEIR_OK)
        err = byte_store_get(&store->bytes, stored_key, &stored, error);
    if (err == WEIR_OK)
        store_unstamp(store, stored, out);
    return err;
}

static enum weir_err check_times(const struct weir_store *store, int64_t start_ms, int64_t end_ms,
                                 struct weir_error *error)
{
    if (start_ms >= 0 && end_ms >= start_ms)
        return WEIR_OK;
    return weir_error_set(error, WEIR_INVALID, -1, "store %s: a time from %lld to %lld ms",
                          store->name, (long long)start_ms, (long long)end_ms);
}

enum weir_err weir_window_put(struct weir_store *store, struct weir_slice key,
                              struct weir_slice value, int64_t start_ms, int64_t timestamp_ms,
                              struct weir_error *error)
{
    enum weir_err err = store_check(store, STORE_IS(WEIR_STORE_WINDOW), key, value, error);

    if (err == WEIR_OK)
        err = check_times(store, start_ms, start_ms, error);
    if (err != WEIR_OK)
        return err;
    if (store->options.retain_duplicates) /* a null value removes none, but has its number, too */
        store->sequence = (int32_t)(((uint32_t)store->sequence + 1) & INT32_MAX);
    struct suffix suffix = window_suffix(start_ms, store->sequence);
    return put(store, key, &suffix, value, timestamp_ms, error);
}

enum weir_err weir_window_get(struct weir_store *store, struct weir_slice key, int64_t start_ms,
                              struct weir_stamped *out, struct weir_error *error)
{
    enum weir_err err = store_check(store, STORE_IS(WEIR_STORE_WINDOW), key, no_value, error);

    if (err == WEIR_OK && store->options.retain_duplicates)
        err = weir_error_set(error, WEIR_INVALID, -1,
                             "store %s retains duplicates: fetch gives all of them", store->name);
    if (err != WEIR_OK)
        return err;
    struct suffix suffix = window_suffix(start_ms, 0);
    return get(store, key, &suffix, out, error);
}

enum weir_err weir_session_put(struct weir_store *store, struct weir_slice key,
                               struct weir_slice value, int64_t start_ms, int64_t end_ms,
                               int64_t timestamp_ms, struct weir_error *error)
{
    enum weir_err err = store_check(store, STORE_IS(WEIR_STORE_SESSION), key, value, error);

    if (err == WEIR_OK)
        err = check_times(store, start_ms, end_ms, error);
    if (err != WEIR_OK)
        return err;
    struct suffix suffix = session_suffix(start_ms, end_ms);
    return put(store, key, &suffix, value, timestamp_ms, error);
}

enum weir_err weir_session_get(struct weir_store *store, struct weir_slice key, int64_t start_ms,
                               int64_t end_ms, struct weir_stamped *out, struct weir_error *error)
{
    enum weir_err err = store_check(store, STORE_IS(WEIR_STORE_SESSION), key, no_value, error);
    struct suffix suffix = session_suffix(start_ms, end_ms);

    return err == WEIR_OK ? get(store, key, &suffix, out, error) : err;
}

/* ---- walks ----------------------------------------------------------------------------------- */

static enum weir_err walk(struct weir_store *store, enum weir_store_kind kind,
                          const struct segment_walk *bounds, struct weir_store_iterator **out,
                          struct weir_error *error)
{
    enum weir_err err = store_check(store, STORE_IS(kind), weir_slice("", 0), no_value, error);

    return err == WEIR_OK ? walk_segments(store, bounds, out, error) : err;
}

enum weir_err weir_window_fetch_keys(struct weir_store *store, struct weir_slice key_from,
                                     struct weir_slice key_to, int64_t from_ms, int64_t to_ms,
                                     bool back, struct weir_store_iterator **out,
                                     struct weir_error *error)
{
    const struct segment_walk bounds = {key_from, key_to, from_ms, to_ms, INT64_MAX, back};

    return walk(store, WEIR_STORE_WINDOW, &bounds, out, error);
}

enum weir_err weir_window_fetch(struct weir_store *store, struct weir_slice key, int64_t from_ms,
                                int64_t to_ms, bool back, struct weir_store_iterator **out,
                                struct weir_error *error)
{
    enum weir_err err = store_check(store, STORE_IS(WEIR_STORE_WINDOW), key, no_value, error);

    return err == WEIR_OK
               ? weir_window_fetch_keys(store, key, key, from_ms, to_ms, back, out, error)
               : err;
}

enum weir_err weir_session_find_keys(struct weir_store *store, struct weir_slice key_from,
                                     struct weir_slice key_to, int64_t earliest_end_ms,
                                     int64_t latest_start_ms, bool back,
                                     struct weir_store_iterator **out, struct weir_error *error)
{
    const struct segment_walk bounds = {key_from,  key_to,          earliest_end_ms,
                                        INT64_MAX, latest_start_ms, back};

    return walk(store, WEIR_STORE_SESSION, &bounds, out, error);
}

enum weir_err weir_session_find(struct weir_store *store, struct weir_slice key,
                                int64_t earliest_end_ms, int64_t latest_start_ms, bool back,
                                struct weir_store_iterator **out, struct weir_error *error)
{
    enum weir_err err = store_check(store, STORE_IS(WEIR_STORE_SESSION), key, no_value, error);

    return err == WEIR_OK ? weir_session_find_keys(store, key, key, earliest_end_ms,
                                                   latest_start_ms, back, out, error)
                          : err;
}
