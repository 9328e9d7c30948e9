/*
 * Global tables: a topic's newest values, in memory, for all tasks of an instance. See dsl.h.
 *
 * The global thread writes a whole block under the lock; tasks read and copy under it.
 */
#include <pthread.h>
#include <stdio.h>

#include "base/alloc.h"
#include "streams/dsl/dsl.h"
#include "streams/store/tree.h"

enum { PREFIX_BYTES_MAX = 300 };

struct global_entry {
    struct tree_entry head;
    struct weir_slice value;
    uint8_t bytes[];
};

struct weir_global_table {
    struct weir_builder *builder;
    struct weir_global_table *next;
    const char *store;
    const struct weir_serde *key, *value;
    struct tree tree;
    pthread_rwlock_t lock;
};

/* ---- writing --------------------------------------------------------------------------------- */

static enum weir_err put(struct weir_global_table *table, struct weir_slice key,
                         struct weir_slice value)
{
    struct tree_entry *old;
    if (!value.data) {
        weir_free(tree_remove(&table->tree, key));
        return WEIR_OK;
    }
    struct global_entry *entry = weir_alloc(sizeof *entry + key.bytes + value.bytes);
    if (!entry)
        return WEIR_NOMEM;
    memcpy(entry->bytes, key.data, key.bytes);
    memcpy(entry->bytes + key.bytes, value.data, value.bytes);
    entry->head.key = weir_slice(entry->bytes, key.bytes);
    entry->value = weir_slice(entry->bytes + key.bytes, value.bytes);
    enum weir_err err = tree_put(&table->tree, &entry->head, &old);
    weir_free(err == WEIR_OK ? (void *)old : (void *)entry);
    return err;
}

static enum weir_err update(void *store, const struct weir_block *block, bool past_end,
                            struct weir_error *error)
{
    struct weir_global_table *table = store;
    enum weir_err err = WEIR_OK;
    (void)past_end;
    pthread_rwlock_wrlock(&table->lock);
    for (uint32_t row = 0; row < block->rows && err == WEIR_OK; row++)
        if (block->rows_meta.key[row].data)
            err = put(table, block->rows_meta.key[row], block->rows_meta.value[row]);
    pthread_rwlock_unlock(&table->lock);
    return err == WEIR_OK
               ? err
               : weir_error_set(error, err, -1, "no memory for global table %s", table->store);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A copy, in the context's memory. */
static enum weir_err find(struct weir_context *context, struct weir_global_table *table,
                          struct weir_slice key, struct weir_slice *value_out,
                          struct weir_error *error)
{
    enum weir_err err = WEIR_OK;
    *value_out = weir_slice(NULL, 0);
    pthread_rwlock_rdlock(&table->lock);
    const struct global_entry *entry = (const struct global_entry *)tree_find(&table->tree, key);
    if (entry) {
        void *copy = weir_context_alloc(context, entry->value.bytes);
        if (copy)
            memcpy(copy, entry->value.data, entry->value.bytes);
        else
            err = weir_error_set(error, WEIR_NOMEM, -1, "no memory for a value");
        *value_out = weir_slice(copy, entry->value.bytes);
    }
    pthread_rwlock_unlock(&table->lock);
    return err;
}

enum weir_err global_get(struct weir_context *context, struct weir_global_table *table,
                         const struct weir_value *key, struct weir_value *value_out,
                         struct weir_error *error)
{
    struct weir_slice bytes, value;
    enum weir_err err = typed_bytes(context, table->key, table->store, key, &bytes, error);
    if (err == WEIR_OK)
        err = find(context, table, bytes, &value, error);
    return err == WEIR_OK
               ? typed_value(context, table->value, table->store, value, value_out, error)
               : err;
}

/* ---- life ------------------------------------------------------------------------------------ */

void global_free(struct weir_global_table *table)
{
    struct tree_cursor cursor;
    const struct weir_slice all = {0};
    for (; table; table = table->next) {
        struct tree_entry *entry = tree_seek(&table->tree, all, false, &cursor);
        while (entry) {
            struct tree_entry *next = tree_next(&cursor);
            weir_free(entry);
            entry = next;
        }
        tree_release(&table->tree);
        pthread_rwlock_destroy(&table->lock);
    }
}

struct weir_global_table *weir_builder_global_table(struct weir_builder *builder, const char *topic,
                                                    const struct weir_with *with, const char *store)
{
    static const struct weir_with none;
    static struct weir_global_table no_table; /* never used: the builder has a fault then */
    char prefix[PREFIX_BYTES_MAX];
    with = with ? with : &none;
    snprintf(prefix, sizeof prefix, "%s-STATE-STORE-", topic);
    struct weir_global_table *table = dsl_alloc(builder, sizeof *table);
    if (!table)
        return &no_table;
    table->builder = builder;
    table->store = dsl_name_or(builder, store, prefix);
    table->key = with->key;
    table->value = with->value;
    tree_init(&table->tree);
    pthread_rwlock_init(&table->lock, NULL);
    table->next = builder->globals;
    builder->globals = table;
    const struct weir_global_store global = {
        .name = table->store,
        .source = dsl_name_suffixed(builder, with->name, "-source", "KSTREAM-SOURCE-"),
        .topic = topic,
        .processor = dsl_name_or(builder, with->name, "KTABLE-SOURCE-"),
        .update = update,
        .store = table};
    if (!dsl_failed(builder))
        (void)!weir_topology_add_global_store(builder->topology, &global, &builder->error);
    return table;
}

void weir_builder_add_store(struct weir_builder *builder, const struct weir_store_options *options)
{
    if (!dsl_failed(builder))
        (void)!weir_topology_add_store(builder->topology, options, NULL, 0, &builder->error);
}
