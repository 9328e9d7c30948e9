/* Pending entries over an engine: streams/store/bytes.h. */
#include "streams/store/bytes.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct pending {
    struct tree_entry head;
    struct weir_slice value; /* null: removed */
    struct weir_slice old;   /* if old_known; else it is the engine's */
    int64_t timestamp_ms;
    bool dirty, old_known;
    struct pending *next, *previous; /* of the dirty ones */
    size_t bytes;                    /* of the whole entry */
    size_t room;                     /* for the value */
    uint8_t memory[];                /* key, old, value */
};

/* ---- entries --------------------------------------------------------------------------------- */

static void leave_dirty(struct byte_store *store, struct pending *entry)
{
    if (!entry->dirty)
        return;
    if (entry->previous != NULL)
        entry->previous->next = entry->next;
    else
        store->dirty_first = entry->next;
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
    else
        store->dirty_last = entry->previous;
    entry->dirty = false;
}

static void become_dirty(struct byte_store *store, struct pending *entry)
{
    entry->dirty = true;
    entry->next = NULL;
    entry->previous = store->dirty_last;
    if (store->dirty_last != NULL)
        store->dirty_last->next = entry;
    else
        store->dirty_first = entry;
    store->dirty_last = entry;
}

/* In the place of another one in the list. */
static void take_place(struct byte_store *store, struct pending *entry, const struct pending *of)
{
    entry->dirty = of->dirty;
    entry->next = of->next;
    entry->previous = of->previous;
    if (!of->dirty)
        return;
    if (entry->previous != NULL)
        entry->previous->next = entry;
    else
        store->dirty_first = entry;
    if (entry->next != NULL)
        entry->next->previous = entry;
    else
        store->dirty_last = entry;
}

static uint8_t *put_bytes(uint8_t *at, struct weir_slice bytes, struct weir_slice *out)
{
    if (bytes.bytes > 0)
        memmove(at, bytes.data, bytes.bytes);
    *out = bytes.data != NULL ? weir_slice(at, bytes.bytes) : weir_slice(NULL, 0);
    return at + bytes.bytes;
}

static struct pending *entry_new(struct weir_slice key, struct weir_slice old,
                                 struct weir_slice value)
{
    /* Some room to grow: counters and sums become longer. */
    size_t room = value.bytes + value.bytes / 4 + 8;
    size_t bytes = sizeof(struct pending) + key.bytes + old.bytes + room;
    struct pending *entry = weir_alloc(bytes);

    if (entry == NULL)
        return NULL;
    *entry = (struct pending){.bytes = bytes, .room = room};
    uint8_t *at = put_bytes(entry->memory, key, &entry->head.key);
    entry->head.key = weir_slice(entry->memory, key.bytes);
    at = put_bytes(at, old, &entry->old);
    put_bytes(at, value, &entry->value);
    return entry;
}

static uint8_t *value_place(struct pending *entry)
{
    return entry->memory + entry->head.key.bytes + entry->old.bytes;
}

/* ---- life ------------------------------------------------------------------------------------ */

void byte_store_init(struct byte_store *store, const struct weir_store_engine *engine, void *self)
{
    *store = (struct byte_store){.engine = engine, .self = self};
    tree_init(&store->pending);
}

void byte_store_rollback(struct byte_store *store)
{
    struct tree_cursor cursor;
    const struct weir_slice all = {0};
    struct tree_entry *entry = tree_seek(&store->pending, all, false, &cursor);

    while (entry != NULL) {
        struct tree_entry *next = tree_next(&cursor);
        weir_free(entry);
        entry = next;
    }
    tree_release(&store->pending);
    store->pending_bytes = 0;
    store->dirty_first = store->dirty_last = NULL;
}

void byte_store_release(struct byte_store *store)
{
    byte_store_rollback(store);
    weir_free(store->writes);
    store->writes = NULL;
    if (store->self != NULL)
        store->engine->close(store->self);
    store->self = NULL;
}

uint64_t byte_store_count(const struct byte_store *store)
{
    return store->engine->count(store->self);
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct pending *find(const struct byte_store *store, struct weir_slice key)
{
    return (struct pending *)tree_find(&store->pending, key);
}

enum weir_err byte_store_get(struct byte_store *store, struct weir_slice key,
                             struct weir_slice *value_out, struct weir_error *error)
{
    const struct pending *entry = find(store, key);

    if (entry == NULL)
        return store->engine->get(store->self, key, value_out, error);
    *value_out = entry->value;
    return entry->value.data != NULL ? WEIR_OK : WEIR_NOT_FOUND;
}

/* The engine's next entry that no pending one hides. */
static enum weir_err seek_engine(struct byte_store *store, struct weir_slice key, bool beyond,
                                 bool back, struct weir_slice *key_out,
                                 struct weir_slice *value_out, struct weir_error *error)
{
    enum weir_err err =
        store->engine->seek(store->self, key, beyond, back, key_out, value_out, error);

    while (err == WEIR_OK && store->pending.count > 0 && find(store, *key_out) != NULL)
        err = store->engine->seek(store->self, *key_out, true, back, key_out, value_out, error);
    return err;
}

/* The next pending entry that is not a removal. */
static struct pending *seek_pending(const struct byte_store *store, struct weir_slice key,
                                    bool beyond, bool back)
{
    struct tree_cursor cursor;
    struct tree_entry *entry = back ? tree_seek_back(&store->pending, key, beyond, &cursor)
                                    : tree_seek(&store->pending, key, beyond, &cursor);

    while (entry != NULL && ((struct pending *)entry)->value.data == NULL)
        entry = back ? tree_previous(&cursor) : tree_next(&cursor);
    return (struct pending *)entry;
}

enum weir_err byte_store_seek(struct byte_store *store, struct weir_slice key, bool beyond,
                              bool back, struct weir_slice *key_out, struct weir_slice *value_out,
                              struct weir_error *error)
{
    const struct pending *entry = seek_pending(store, key, beyond, back);
    enum weir_err err = seek_engine(store, key, beyond, back, key_out, value_out, error);

    if (entry == NULL || (err != WEIR_OK && err != WEIR_END))
        return err;
    if (err == WEIR_OK) {
        int order = tree_compare(*key_out, entry->head.key);
        if (back ? order > 0 : order < 0)
            return WEIR_OK;
    }
    *key_out = entry->head.key;
    *value_out = entry->value;
    return WEIR_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The bytes of a value of its own. */
static void set_value(struct pending *entry, struct weir_slice value)
{
    put_bytes(value_place(entry), value, &entry->value);
}

/* An entry that takes the place of `was` (NULL: none). What flush last showed stays known. */
static enum weir_err put_new(struct byte_store *store, struct pending *was, struct weir_slice key,
                             struct weir_slice value, struct pending **out)
{
    struct weir_slice old = {0};
    struct tree_entry *replaced;

    if (was != NULL)
        old = was->dirty ? was->old : was->value;
    struct pending *entry = entry_new(key, old, value);
    if (entry == NULL)
        return WEIR_NOMEM;
    entry->old_known = was != NULL && (was->dirty ? was->old_known : true);
    if (tree_put(&store->pending, &entry->head, &replaced) != WEIR_OK) {
        weir_free(entry);
        return WEIR_NOMEM;
    }
    store->pending_bytes += entry->bytes;
    if (was != NULL) {
        take_place(store, entry, was);
        store->pending_bytes -= was->bytes;
        weir_free(was);
    }
    *out = entry;
    return WEIR_OK;
}

enum weir_err byte_store_put(struct byte_store *store, struct weir_slice key,
                             struct weir_slice value, int64_t timestamp_ms, bool dirty,
                             struct weir_error *error)
{
    struct pending *entry = find(store, key);

    /* A clean one that becomes dirty has to remember what it was. */
    if (entry != NULL && value.bytes <= entry->room && (entry->dirty || !dirty)) {
        set_value(entry, value);
    } else if (put_new(store, entry, key, value, &entry) != WEIR_OK) {
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for an entry of %zu bytes",
                              key.bytes + value.bytes);
    }
    entry->timestamp_ms = timestamp_ms;
    if (dirty && !entry->dirty)
        become_dirty(store, entry);
    return WEIR_OK;
}

/* ---- flush, commit --------------------------------------------------------------------------- */

static enum weir_err old_of(struct byte_store *store, const struct pending *entry,
                            struct weir_slice *old_out, struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    *old_out = entry->old;
    if (!entry->old_known) {
        err = store->engine->get(store->self, entry->head.key, old_out, error);
        if (err == WEIR_NOT_FOUND) {
            *old_out = weir_slice(NULL, 0);
            err = WEIR_OK;
        }
    }
    return err;
}

enum weir_err byte_store_flush(struct byte_store *store,
                               enum weir_err (*each)(void *opaque,
                                                     const struct byte_store_change *change,
                                                     struct weir_error *error),
                               void *opaque, struct weir_error *error)
{
    while (store->dirty_first != NULL) {
        struct pending *entry = store->dirty_first;
        struct byte_store_change change = {
            .key = entry->head.key, .value = entry->value, .timestamp_ms = entry->timestamp_ms};
        enum weir_err err = old_of(store, entry, &change.old, error);
        if (err != WEIR_OK)
            return err;
        leave_dirty(store, entry);
        err = each(opaque, &change, error);
        if (err != WEIR_OK)
            return err;
    }
    return WEIR_OK;
}

static enum weir_err gather(struct byte_store *store)
{
    struct tree_cursor cursor;
    const struct weir_slice all = {0};
    size_t count = 0;

    if (store->pending.count > store->write_capacity) {
        size_t capacity = store->pending.count + store->pending.count / 2;
        struct weir_store_write *writes =
            weir_realloc_array(store->writes, capacity, sizeof *writes);
        if (writes == NULL)
            return WEIR_NOMEM;
        store->writes = writes;
        store->write_capacity = capacity;
    }
    for (struct tree_entry *at = tree_seek(&store->pending, all, false, &cursor); at != NULL;
         at = tree_next(&cursor))
        store->writes[count++] =
            (struct weir_store_write){at->key, ((const struct pending *)at)->value};
    return WEIR_OK;
}

enum weir_err byte_store_commit(struct byte_store *store, int64_t position,
                                struct weir_error *error)
{
    weir_assert(store->dirty_first == NULL);
    if (gather(store) != WEIR_OK)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory to commit %llu entries",
                              (unsigned long long)store->pending.count);
    enum weir_err err = store->engine->write(store->self, store->writes,
                                             (size_t)store->pending.count, position, error);
    if (err == WEIR_OK)
        byte_store_rollback(store);
    return err;
}
