/*
 * Walks over a store: each step seeks on from the key where the last one was, so that the store may
 * change meanwhile.
 *
 * Over segments the entries of a range of keys are a range of bytes in each segment:
 *
 *      [ segment 0:  ... lower ===== upper ... | segment 1:  ... lower ===== upper ... | ...
 *
 * A step that comes out of one jumps to the next. As keys have no fixed length, others may lie
 * between these bounds: they are passed over.
 */
#include "streams/store/store.h"

#include "base/alloc.h"

struct weir_store_iterator {
    struct weir_store *store;
    bool back, is_prefix, ended;
    bool beyond;           /* the next seek is for what lies beyond `at` */
    bool has_from, has_to; /* the range is closed there */
    struct weir_buffer at; /* where the next seek begins; empty and not `placed`: the edge */
    bool placed;
    struct weir_buffer from, to; /* keys */
    /* Over segments: */
    struct weir_buffer lower, upper; /* bytes behind the segment; upper open unless has_to */
    int64_t segment_min, segment_max;
    int64_t from_ms, to_ms, latest_start_ms;
};

static struct weir_slice slice_of(const struct weir_buffer *buffer)
{
    return weir_slice(buffer->data != NULL ? (const void *)buffer->data : "", buffer->bytes);
}

static enum weir_err set(struct weir_buffer *buffer, struct weir_slice bytes)
{
    weir_buffer_clear(buffer);
    return weir_buffer_append(buffer, bytes.data, bytes.bytes);
}

/* ---- life ------------------------------------------------------------------------------------ */

static struct weir_store_iterator *iterator_new(struct weir_store *store, struct weir_slice from,
                                                struct weir_slice to, bool back)
{
    enum { BYTES_MAX = 2 * WEIR_STORE_KEY_BYTES_MAX };
    struct weir_store_iterator *it = weir_calloc(1, sizeof *it);

    if (it == NULL)
        return NULL;
    it->store = store;
    it->back = back;
    it->has_from = from.data != NULL;
    it->has_to = to.data != NULL;
    weir_buffer_init(&it->at, BYTES_MAX);
    weir_buffer_init(&it->from, BYTES_MAX);
    weir_buffer_init(&it->to, BYTES_MAX);
    weir_buffer_init(&it->lower, BYTES_MAX);
    weir_buffer_init(&it->upper, BYTES_MAX);
    if (set(&it->from, from) == WEIR_OK && set(&it->to, to) == WEIR_OK)
        return it;
    weir_store_iterator_free(it);
    return NULL;
}

void weir_store_iterator_free(struct weir_store_iterator *iterator)
{
    if (iterator == NULL)
        return;
    weir_buffer_release(&iterator->at);
    weir_buffer_release(&iterator->from);
    weir_buffer_release(&iterator->to);
    weir_buffer_release(&iterator->lower);
    weir_buffer_release(&iterator->upper);
    weir_free(iterator);
}

static enum weir_err no_memory(const struct weir_store *store, struct weir_error *error)
{
    return weir_error_set(error, WEIR_NOMEM, -1, "store %s: no memory for a walk", store->name);
}

/* ---- keys ------------------------------------------------------------------------------------ */

enum weir_err walk_keys(struct weir_store *store, struct weir_slice from, struct weir_slice to,
                        bool is_prefix, bool back, struct weir_store_iterator **out,
                        struct weir_error *error)
{
    struct weir_store_iterator *it = iterator_new(store, from, to, back);
    struct weir_slice start = back ? to : from;

    if (it == NULL)
        return no_memory(store, error);
    it->is_prefix = is_prefix;
    it->placed = start.data != NULL;
    if (set(&it->at, start) != WEIR_OK) {
        weir_store_iterator_free(it);
        return no_memory(store, error);
    }
    *out = it;
    return WEIR_OK;
}

/* Is a key past the end of the range? */
static bool is_past(const struct weir_store_iterator *it, struct weir_slice key)
{
    if (it->is_prefix)
        return key.bytes < it->from.bytes ||
               (it->from.bytes > 0 && memcmp(key.data, it->from.data, it->from.bytes) != 0);
    return it->back ? it->has_from && tree_compare(key, slice_of(&it->from)) < 0
                    : it->has_to && tree_compare(key, slice_of(&it->to)) > 0;
}

static enum weir_err seek(struct weir_store_iterator *it, struct weir_slice *key,
                          struct weir_slice *value, struct weir_error *error)
{
    struct weir_slice at = it->placed ? slice_of(&it->at) : weir_slice(NULL, 0);
    enum weir_err err =
        byte_store_seek(&it->store->bytes, at, it->beyond, it->back, key, value, error);

    if (err != WEIR_OK)
        return err;
    it->placed = it->beyond = true;
    return set(&it->at, *key) == WEIR_OK ? WEIR_OK : no_memory(it->store, error);
}

static enum weir_err next_key(struct weir_store_iterator *it, struct weir_store_entry *out,
                              struct weir_error *error)
{
    struct weir_slice key, value;
    struct weir_stamped stamped;
    enum weir_err err = seek(it, &key, &value, error);

    if (err != WEIR_OK)
        return err;
    if (is_past(it, key))
        return WEIR_END;
    store_unstamp(it->store, value, &stamped);
    *out = (struct weir_store_entry){key, stamped.value, stamped.timestamp_ms, -1, -1};
    return WEIR_OK;
}

/* ---- segments -------------------------------------------------------------------------------- */

/*
 * The largest bytes that an entry of a key up to key_to can have: key_to with the largest suffix,
 * or one of its beginnings with it, should that be larger.
 */
static enum weir_err set_upper(struct weir_store_iterator *it, const uint8_t *suffix, size_t bytes)
{
    struct weir_slice key = slice_of(&it->to);
    const uint8_t *at = key.data;
    size_t length = key.bytes;
    enum weir_err err;

    for (size_t i = key.bytes; i-- > 0;) {
        /* What follows the first i bytes, now: the rest of the key up to length, the suffix. */
        uint8_t rest[SESSION_SUFFIX_BYTES] = {0};
        for (size_t j = 0; j < bytes; j++)
            rest[j] = i + j < length ? at[i + j] : suffix[i + j - length];
        length = memcmp(suffix, rest, bytes) > 0 ? i : length;
    }
    err = set(&it->upper, weir_slice(at, length));
    return err == WEIR_OK ? weir_buffer_append(&it->upper, suffix, bytes) : err;
}

static enum weir_err set_bounds(struct weir_store_iterator *it, bool one_key)
{
    size_t bytes = segments_suffix_bytes(it->store);
    bool window = it->store->options.kind == WEIR_STORE_WINDOW;
    uint8_t smallest[SESSION_SUFFIX_BYTES] = {0}, largest[SESSION_SUFFIX_BYTES];
    enum weir_err err = set(&it->lower, slice_of(&it->from));

    memset(largest, 0xff, sizeof largest);
    store_put64(smallest, it->from_ms);
    store_put64(largest, window ? it->to_ms : INT64_MAX);
    if (err == WEIR_OK && one_key)
        err = weir_buffer_append(&it->lower, smallest, bytes);
    if (err != WEIR_OK || !it->has_to)
        return err;
    if (!one_key)
        return set_upper(it, largest, bytes);
    err = set(&it->upper, slice_of(&it->to));
    return err == WEIR_OK ? weir_buffer_append(&it->upper, largest, bytes) : err;
}

/* The next seek begins at a segment's bytes; with none, before it or at its beginning. */
static enum weir_err jump(struct weir_store_iterator *it, int64_t segment,
                          const struct weir_buffer *bytes, bool beyond)
{
    uint8_t number[SEGMENT_BYTES];

    store_put64(number, segment);
    it->placed = true;
    it->beyond = beyond;
    enum weir_err err = set(&it->at, weir_slice(number, sizeof number));
    if (err == WEIR_OK && bytes != NULL)
        err = weir_buffer_append(&it->at, bytes->data, bytes->bytes);
    return err;
}

static enum weir_err begin(struct weir_store_iterator *it)
{
    if (!it->back)
        return jump(it, it->segment_min, &it->lower, false);
    return it->has_to ? jump(it, it->segment_max, &it->upper, false)
                      : jump(it, it->segment_max + 1, NULL, true);
}

enum weir_err walk_segments(struct weir_store *store, const struct segment_walk *walk,
                            struct weir_store_iterator **out, struct weir_error *error)
{
    struct weir_store_iterator *it = iterator_new(store, walk->key_from, walk->key_to, walk->back);
    int64_t live_ms = segments_live_ms(store);
    bool one_key = walk->key_from.data != NULL && weir_slice_equal(walk->key_from, walk->key_to);

    if (it == NULL)
        return no_memory(store, error);
    it->from_ms = walk->from_ms > live_ms ? walk->from_ms : live_ms;
    it->to_ms = walk->to_ms < store->observed_ms ? walk->to_ms : store->observed_ms;
    it->latest_start_ms = walk->latest_start_ms;
    it->ended = it->from_ms > it->to_ms;
    it->segment_min = segments_number(store, it->from_ms);
    it->segment_max = it->ended ? 0 : segments_number(store, it->to_ms);
    if (!it->ended && (set_bounds(it, one_key) != WEIR_OK || begin(it) != WEIR_OK)) {
        weir_store_iterator_free(it);
        return no_memory(store, error);
    }
    *out = it;
    return WEIR_OK;
}

/* AGAIN: it jumped, because the bytes are outside the bounds of their segment. */
static enum weir_err place(struct weir_store_iterator *it, struct weir_slice bytes)
{
    int64_t segment = bytes.bytes >= SEGMENT_BYTES ? store_get64(bytes.data) : -1;
    struct weir_slice rest =
        weir_slice((const uint8_t *)bytes.data + SEGMENT_BYTES, bytes.bytes - SEGMENT_BYTES);

    if (segment < it->segment_min || segment > it->segment_max)
        return WEIR_END;
    bool below = tree_compare(rest, slice_of(&it->lower)) < 0;
    bool above = it->has_to && tree_compare(rest, slice_of(&it->upper)) > 0;
    if (!below && !above)
        return WEIR_OK;
    enum weir_err err;
    if (it->back)
        err = above ? jump(it, segment, &it->upper, false) : jump(it, segment, NULL, true);
    else
        err =
            below ? jump(it, segment, &it->lower, false) : jump(it, segment + 1, &it->lower, false);
    return err == WEIR_OK ? WEIR_AGAIN : err;
}

static bool is_wanted(const struct weir_store_iterator *it, const struct weir_store_entry *entry)
{
    bool window = it->store->options.kind == WEIR_STORE_WINDOW;
    int64_t time_ms = window ? entry->start_ms : entry->end_ms;

    return time_ms >= it->from_ms && time_ms <= it->to_ms &&
           (window || entry->start_ms <= it->latest_start_ms) &&
           (!it->has_from || tree_compare(entry->key, slice_of(&it->from)) >= 0) &&
           (!it->has_to || tree_compare(entry->key, slice_of(&it->to)) <= 0);
}

static enum weir_err next_in_segments(struct weir_store_iterator *it, struct weir_store_entry *out,
                                      struct weir_error *error)
{
    struct weir_slice key, value;
    struct weir_stamped stamped;
    enum weir_err err;

    for (;;) {
        err = seek(it, &key, &value, error);
        if (err == WEIR_OK)
            err = place(it, key);
        if (err == WEIR_AGAIN)
            continue;
        if (err != WEIR_OK)
            return err == WEIR_NOMEM || err == WEIR_LIMIT ? no_memory(it->store, error) : err;
        if (segments_take_apart(it->store, key, out) == WEIR_OK && is_wanted(it, out))
            break;
    }
    store_unstamp(it->store, value, &stamped);
    out->value = stamped.value;
    out->timestamp_ms = stamped.timestamp_ms;
    return WEIR_OK;
}

enum weir_err weir_store_iterator_next(struct weir_store_iterator *iterator,
                                       struct weir_store_entry *out, struct weir_error *error)
{
    enum weir_err err = WEIR_END;

    if (!iterator->ended)
        err = store_is_segmented(iterator->store) ? next_in_segments(iterator, out, error)
                                                  : next_key(iterator, out, error);
    iterator->ended = err != WEIR_OK;
    return err;
}
