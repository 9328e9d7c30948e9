/* The engine in memory of weir/streams_store.h: a tree of entries. */
#include <string.h>

#include <weir/streams_store.h>

#include "base/alloc.h"
#include "streams/store/tree.h"

struct memory_entry {
    struct tree_entry head;
    struct weir_slice value;
    uint8_t bytes[]; /* key, value */
};

struct memory_store {
    struct tree tree;
    struct tree_cursor cursor; /* of the last seek; its entry is `at` as long as `changes` stays */
    struct memory_entry *at;
    uint64_t changes;
};

static struct memory_entry *entry_new(const struct weir_store_write *write)
{
    struct memory_entry *entry = weir_alloc(sizeof *entry + write->key.bytes + write->value.bytes);

    if (entry == NULL)
        return NULL;
    uint8_t *value = entry->bytes + write->key.bytes;
    memcpy(entry->bytes, write->key.data, write->key.bytes);
    if (write->value.bytes > 0)
        memcpy(value, write->value.data, write->value.bytes);
    entry->head.key = weir_slice(entry->bytes, write->key.bytes);
    entry->value = weir_slice(value, write->value.bytes);
    return entry;
}

static enum weir_err memory_open(void *config, const struct weir_store_place *place,
                                 void **self_out, int64_t *position_out, struct weir_error *error)
{
    struct memory_store *store = weir_calloc(1, sizeof *store);

    (void)config;
    if (store == NULL)
        return weir_error_set(error, WEIR_NOMEM, -1, "store %s: no memory", place->store);
    tree_init(&store->tree);
    *self_out = store;
    *position_out = -1;
    return WEIR_OK;
}

static void memory_close(void *self)
{
    struct memory_store *store = self;
    struct tree_cursor cursor;
    const struct weir_slice all = {0};
    struct tree_entry *entry = tree_seek(&store->tree, all, false, &cursor);

    while (entry != NULL) {
        struct tree_entry *next = tree_next(&cursor);
        weir_free(entry);
        entry = next;
    }
    tree_release(&store->tree);
    weir_free(store);
}

static enum weir_err memory_get(void *self, struct weir_slice key, struct weir_slice *value_out,
                                struct weir_error *error)
{
    const struct memory_store *store = self;
    const struct memory_entry *entry = (const struct memory_entry *)tree_find(&store->tree, key);

    (void)error;
    if (entry == NULL)
        return WEIR_NOT_FOUND;
    *value_out = entry->value;
    return WEIR_OK;
}

/* Walks mostly go on from where they are. */
static struct tree_entry *go_on(struct memory_store *store, struct weir_slice key, bool beyond,
                                bool back)
{
    bool here = beyond && store->at != NULL && store->changes == store->tree.changes &&
                key.data != NULL && tree_compare(store->at->head.key, key) == 0;

    if (here)
        return back ? tree_previous(&store->cursor) : tree_next(&store->cursor);
    return back ? tree_seek_back(&store->tree, key, beyond, &store->cursor)
                : tree_seek(&store->tree, key, beyond, &store->cursor);
}

static enum weir_err memory_seek(void *self, struct weir_slice key, bool beyond, bool back,
                                 struct weir_slice *key_out, struct weir_slice *value_out,
                                 struct weir_error *error)
{
    struct memory_store *store = self;

    (void)error;
    store->at = (struct memory_entry *)go_on(store, key, beyond, back);
    store->changes = store->tree.changes;
    if (store->at == NULL)
        return WEIR_END;
    *key_out = store->at->head.key;
    *value_out = store->at->value;
    return WEIR_OK;
}

static void drop(struct tree_entry *entry)
{
    weir_free(entry); /* its bytes are in the same piece of memory */
}

static enum weir_err memory_write(void *self, const struct weir_store_write *writes, size_t count,
                                  int64_t position, struct weir_error *error)
{
    struct memory_store *store = self;

    (void)position; /* nothing outlives the process */
    for (size_t i = 0; i < count; i++) {
        struct tree_entry *old;
        if (writes[i].value.data == NULL) {
            drop(tree_remove(&store->tree, writes[i].key));
            continue;
        }
        struct memory_entry *entry = entry_new(&writes[i]);
        if (entry == NULL || tree_put(&store->tree, &entry->head, &old) != WEIR_OK) {
            weir_free(entry);
            return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a store's entries");
        }
        drop(old);
    }
    return WEIR_OK;
}

static uint64_t memory_count(void *self)
{
    const struct memory_store *store = self;

    return store->tree.count;
}

const struct weir_store_engine *weir_store_in_memory(void)
{
    static const struct weir_store_engine engine = {
        .abi = WEIR_STORE_ENGINE_ABI,
        .open = memory_open,
        .close = memory_close,
        .get = memory_get,
        .seek = memory_seek,
        .write = memory_write,
        .count = memory_count,
    };

    return &engine;
}
