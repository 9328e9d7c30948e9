/*
 * streams/store_memory.c - a key-value store in memory: a skip list (Pugh 1990), for its order.
 *
 * An entry is one allocation: links, key, value. A value that fits where the last one was takes its
 * place, so that updates of counters allocate nothing.
 */
#include <string.h>

#include <weir/streams.h>

#include "base/alloc.h"
#include "base/random.h"

enum { LEVELS = 16 }; /* good for 4^16 entries */

static const size_t bytes_max_default = (size_t)256 << 20;

struct entry {
    uint32_t key_bytes, value_bytes, value_capacity;
    uint8_t levels;
    struct entry *next[]; /* [levels]; behind them key and value */
};

struct memory_store {
    struct entry *first[LEVELS];
    struct weir_random random;
    uint64_t count;
    size_t bytes, bytes_max;
};

static uint8_t *key_of(const struct entry *entry)
{
    return (uint8_t *)(uintptr_t)(entry->next + entry->levels);
}

static struct weir_slice key_slice(const struct entry *entry)
{
    return weir_slice(key_of(entry), entry->key_bytes);
}

static struct weir_slice value_slice(const struct entry *entry)
{
    return weir_slice(key_of(entry) + entry->key_bytes, entry->value_bytes);
}

static size_t size_of(uint8_t levels, size_t key_bytes, size_t value_capacity)
{
    return sizeof(struct entry) + levels * sizeof(struct entry *) + key_bytes + value_capacity;
}

static int compare(struct weir_slice a, struct weir_slice b)
{
    size_t least = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = least > 0 ? memcmp(a.data, b.data, least) : 0;
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* The first entry that is not before the key; links[level] is what leads to it or past it. */
static struct entry *seek(struct memory_store *store, struct weir_slice key,
                          struct entry **links[LEVELS])
{
    struct entry **at = store->first;
    for (int level = LEVELS - 1; level >= 0; level--) {
        while (at[level] && compare(key_slice(at[level]), key) < 0)
            at = at[level]->next;
        links[level] = &at[level];
    }
    return *links[0];
}

static enum weir_err memory_open(void *config, const char *name, const char *task_id,
                                 void **self_out, struct weir_error *error)
{
    const struct weir_memory_store *options = config;
    struct memory_store *store = weir_calloc(1, sizeof *store);
    (void)task_id;
    if (!store)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for store %s", name);
    store->bytes_max = options && options->bytes_max ? options->bytes_max : bytes_max_default;
    store->random.state = 1; /* its shape needs no secret */
    *self_out = store;
    return WEIR_OK;
}

static void unlink_entry(struct memory_store *store, struct entry *entry,
                         struct entry **links[LEVELS])
{
    for (uint8_t level = 0; level < entry->levels; level++)
        *links[level] = entry->next[level];
    store->bytes -= size_of(entry->levels, entry->key_bytes, entry->value_capacity);
    store->count--;
    weir_free(entry);
}

static enum weir_err insert(struct memory_store *store, struct weir_slice key,
                            struct weir_slice value, struct entry **links[LEVELS])
{
    uint8_t levels = 1;
    while (levels < LEVELS && weir_random_below(&store->random, 4) == 0)
        levels++;
    size_t bytes = size_of(levels, key.bytes, value.bytes);
    if (key.bytes > UINT32_MAX || value.bytes > UINT32_MAX || bytes > store->bytes_max ||
        store->bytes > store->bytes_max - bytes)
        return WEIR_LIMIT;
    struct entry *entry = weir_alloc(bytes);
    if (!entry)
        return WEIR_NOMEM;
    *entry = (struct entry){.key_bytes = (uint32_t)key.bytes,
                            .value_bytes = (uint32_t)value.bytes,
                            .value_capacity = (uint32_t)value.bytes,
                            .levels = levels};
    if (key.bytes)
        memcpy(key_of(entry), key.data, key.bytes);
    if (value.bytes)
        memcpy(key_of(entry) + key.bytes, value.data, value.bytes);
    for (uint8_t level = 0; level < levels; level++) {
        entry->next[level] = *links[level];
        *links[level] = entry;
    }
    store->bytes += bytes;
    store->count++;
    return WEIR_OK;
}

static enum weir_err memory_put(void *self, struct weir_slice key, struct weir_slice value)
{
    struct memory_store *store = self;
    struct entry **links[LEVELS], *found = seek(store, key, links);
    bool same = found && compare(key_slice(found), key) == 0;
    if (same && value.data && value.bytes <= found->value_capacity) {
        if (value.bytes)
            memmove(key_of(found) + found->key_bytes, value.data, value.bytes);
        found->value_bytes = (uint32_t)value.bytes;
        return WEIR_OK;
    }
    if (!value.data) {
        if (same)
            unlink_entry(store, found, links);
        return WEIR_OK;
    }
    /* the old one goes when the new one stands before it: key and value may be the old one's own */
    enum weir_err err = insert(store, key, value, links);
    if (err == WEIR_OK && same) {
        seek(store, key, links);
        for (uint8_t level = 0; level < found->levels; level++)
            if (*links[level] != found) /* the new one: from there on */
                links[level] = &(*links[level])->next[level];
        unlink_entry(store, found, links);
    }
    return err;
}

static enum weir_err memory_get(void *self, struct weir_slice key, struct weir_slice *value_out)
{
    struct entry **links[LEVELS];
    const struct entry *found = seek(self, key, links);
    if (!found || compare(key_slice(found), key) != 0)
        return WEIR_NOT_FOUND;
    *value_out = value_slice(found);
    return WEIR_OK;
}

static enum weir_err memory_next(void *self, struct weir_slice key, bool same,
                                 struct weir_slice *key_out, struct weir_slice *value_out)
{
    struct entry **links[LEVELS];
    const struct entry *found = seek(self, key, links);
    if (found && !same && compare(key_slice(found), key) == 0)
        found = found->next[0];
    if (!found)
        return WEIR_END;
    *key_out = key_slice(found);
    *value_out = value_slice(found);
    return WEIR_OK;
}

static uint64_t memory_count(const void *self)
{
    return ((const struct memory_store *)self)->count;
}

static void memory_close(void *self)
{
    struct memory_store *store = self;
    while (store->first[0]) {
        struct entry *next = store->first[0]->next[0];
        weir_free(store->first[0]);
        store->first[0] = next;
    }
    weir_free(store);
}

const struct weir_store_ops weir_memory_store_ops = {
    .abi = WEIR_STORE_ABI,
    .open = memory_open,
    .put = memory_put,
    .get = memory_get,
    .next = memory_next,
    .count = memory_count,
    .close = memory_close,
};
