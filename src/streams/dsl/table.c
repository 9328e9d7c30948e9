/* Tables: sources, filter, mapValues, and where their values are. See dsl.h. */
#include <stdio.h>

#include "base/alloc.h"
#include "streams/dsl/dsl.h"

enum { PREFIX_BYTES_MAX = 300 };

/* ---- what the nodes do ----------------------------------------------------------------------- */

struct keeper {
    const struct operation *operation;
    struct weir_store *store; /* NULL: nobody reads the table's values */
};

static enum weir_err keep_init(void *config, struct weir_context *context, void **self_out,
                               struct weir_error *error)
{
    struct keeper *keeper = weir_calloc(1, sizeof *keeper);
    if (!keeper)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a table");
    keeper->operation = config;
    keeper->store = weir_context_store(context, keeper->operation->store);
    if (keeper->store && keeper->operation->is_cached)
        store_listen(context, keeper->operation->store, typed_show);
    *self_out = keeper;
    return WEIR_OK;
}

static void keep_close(void *self, struct weir_context *context)
{
    (void)context;
    weir_free(self);
}

static enum weir_err keep(void *self, struct weir_context *context,
                          const struct weir_record *record, struct weir_error *error)
{
    const struct keeper *keeper = self;
    struct weir_record change = *record;
    int64_t old_ms;
    if (weir_value_is_null(record->key))
        return WEIR_OK;
    if (!keeper->store)
        return weir_context_forward_record(context, record, error);
    enum weir_err err = typed_get(context, keeper->store, keeper->operation, &record->key,
                                  &change.old, &old_ms, error);
    if (err == WEIR_OK)
        err = typed_put(context, keeper->store, keeper->operation, &record->key, &record->value,
                        record->timestamp_ms, error);
    if (err != WEIR_OK || keeper->operation->is_cached)
        return err;
    return weir_context_forward_record(context, &change, error);
}

static enum weir_err apply(const struct operation *operation, struct weir_context *context,
                           const struct weir_record *record, struct weir_value *value,
                           struct weir_error *error)
{
    struct weir_record changed = *record;
    enum weir_err err = WEIR_OK;
    changed.value = *value;
    if (weir_value_is_null(*value))
        return WEIR_OK;
    if (operation->mapper)
        err = operation->mapper(operation->config, context, &changed, error);
    else if (operation->predicate(operation->config, &changed) == operation->negate)
        changed.value = weir_value_null();
    *value = changed.value;
    return err;
}

static enum weir_err change(void *self, struct weir_context *context,
                            const struct weir_record *record, struct weir_error *error)
{
    struct weir_record changed = *record;
    enum weir_err err = apply(self, context, record, &changed.value, error);
    if (err == WEIR_OK)
        err = apply(self, context, record, &changed.old, error);
    return err == WEIR_OK ? weir_context_forward_record(context, &changed, error) : err;
}

static enum weir_err to_stream(void *self, struct weir_context *context,
                               const struct weir_record *record, struct weir_error *error)
{
    struct weir_record plain = *record;
    (void)self;
    plain.old = weir_value_null();
    return weir_context_forward_record(context, &plain, error);
}

static const struct weir_processor_ops keep_ops = {
    .abi = WEIR_PROCESSOR_ABI, .init = keep_init, .process = keep, .close = keep_close};
static const struct weir_processor_ops change_ops = {
    .abi = WEIR_PROCESSOR_ABI, .init = dsl_init, .process = change};
static const struct weir_processor_ops to_stream_ops = {
    .abi = WEIR_PROCESSOR_ABI, .init = dsl_init, .process = to_stream};

/* ---- the operations -------------------------------------------------------------------------- */

struct weir_table *table_of(const struct weir_stream *from, const char *node,
                            const struct weir_store_options *store, const struct weir_serde *key,
                            const struct weir_serde *value)
{
    struct weir_builder *builder = from->builder;
    struct weir_table *table = dsl_alloc(builder, sizeof *table);
    if (!table)
        return &builder->no_table;
    table->stream = *from;
    table->stream.node = node;
    table->stream.key = key;
    table->stream.value = value;
    table->stream.is_rekeyed = false;
    if (store)
        table->store = *store;
    return table;
}

/* A named store is there to be asked; another only when a join needs it. */
static struct weir_table *add_keeper(const struct weir_stream *stream, const char *node,
                                     const struct weir_store_options *store,
                                     const struct weir_materialized *materialized)
{
    const struct operation operation = {.store = store->name,
                                        .is_cached = store->caching,
                                        .key = stream->key,
                                        .value = stream->value};
    dsl_add(stream->builder, node, &keep_ops, &operation, stream->node);
    struct weir_table *table = table_of(stream, node, store, stream->key, stream->value);
    if (materialized && materialized->name) {
        dsl_add_store(stream->builder, store, node);
        table->has_store = true;
    }
    return table;
}

struct weir_table *weir_builder_table(struct weir_builder *builder, const char *topic,
                                      const struct weir_with *with,
                                      const struct weir_materialized *materialized)
{
    static const struct weir_with none;
    char prefix[PREFIX_BYTES_MAX];
    struct weir_store_options store;
    with = with ? with : &none;
    snprintf(prefix, sizeof prefix, "%s-", topic);
    dsl_materialize(builder, materialized, prefix, &store);
    const char *source = dsl_name_suffixed(builder, with->name, "-source", "KSTREAM-SOURCE-");
    const char *node = dsl_name_or(builder, with->name, "KTABLE-SOURCE-");
    const struct weir_serde *key =
        materialized && materialized->key ? materialized->key : with->key;
    const struct weir_serde *value =
        materialized && materialized->value ? materialized->value : with->value;
    return add_keeper(
        dsl_source(builder, source, &topic, 1, &(struct weir_with){.key = key, .value = value}),
        node, &store, materialized);
}

struct weir_table *weir_stream_to_table(struct weir_stream *stream,
                                        const struct weir_materialized *materialized,
                                        const char *name)
{
    struct weir_builder *builder = stream->builder;
    struct weir_store_options store;
    struct weir_stream typed = *stream;
    const char *node = dsl_name_or(builder, name, "KSTREAM-TOTABLE-");
    dsl_materialize(builder, materialized, "KSTREAM-TOTABLE-", &store);
    if (materialized && materialized->key)
        typed.key = materialized->key;
    if (materialized && materialized->value)
        typed.value = materialized->value;
    if (typed.is_rekeyed)
        typed = *dsl_repartition(&typed, name ? name : node, 0);
    return add_keeper(&typed, node, &store, materialized);
}

static struct weir_table *derive(struct weir_table *table, const struct operation *operation,
                                 const char *name, const char *prefix)
{
    struct weir_builder *builder = table->stream.builder;
    const char *node = dsl_name_or(builder, name, prefix);
    struct operation *by = dsl_alloc(builder, sizeof *by);
    dsl_add(builder, node, &change_ops, operation, table->stream.node);
    struct weir_table *out =
        table_of(&table->stream, node, NULL, table->stream.key, table->stream.value);
    out->window_kind = table->window_kind;
    out->windows = table->windows;
    if (by) {
        *by = *operation;
        out->parent = table;
        out->by = by;
    }
    return out;
}

struct weir_table *weir_table_filter(struct weir_table *table, weir_predicate *predicate,
                                     void *config, const char *name)
{
    const struct operation operation = {
        .needs_function = true, .predicate = predicate, .config = config};
    return derive(table, &operation, name, "KTABLE-FILTER-");
}

struct weir_table *weir_table_map_values(struct weir_table *table, weir_mapper *mapper,
                                         void *config, const char *name)
{
    const struct operation operation = {.needs_function = true, .mapper = mapper, .config = config};
    struct weir_table *out = derive(table, &operation, name, "KTABLE-MAPVALUES-");
    out->stream.value = NULL;
    return out;
}

struct weir_stream *weir_table_to_stream(struct weir_table *table, const char *name)
{
    static const struct operation nothing;
    struct weir_builder *builder = table->stream.builder;
    const char *node = dsl_name_or(builder, name, "KTABLE-TOSTREAM-");
    dsl_add(builder, node, &to_stream_ops, &nothing, table->stream.node);
    return dsl_stream(&table->stream, node);
}

/* ---- reading --------------------------------------------------------------------------------- */

void table_materialize(struct weir_table *table)
{
    while (table->parent)
        table = table->parent;
    if (!table->has_store && table->store.name)
        dsl_add_store(table->stream.builder, &table->store, table->stream.node);
    table->has_store = true;
}

void table_enable_get(struct weir_table *table, const char *processor)
{
    struct weir_builder *builder = table->stream.builder;
    table_materialize(table);
    while (table->parent)
        table = table->parent;
    if (!dsl_failed(builder))
        (void)!weir_topology_connect_store(builder->topology, table->store.name, processor,
                                           &builder->error);
}

enum weir_err table_get(struct weir_context *context, const struct weir_table *table,
                        const struct weir_value *key, struct weir_value *value_out,
                        struct weir_error *error)
{
    if (table->parent) {
        const struct weir_record record = {.key = *key,
                                           .timestamp_ms = weir_context_stream_time_ms(context)};
        enum weir_err err = table_get(context, table->parent, key, value_out, error);
        return err == WEIR_OK ? apply(table->by, context, &record, value_out, error) : err;
    }
    const struct operation serdes = {.key = table->stream.key, .value = table->stream.value};
    struct weir_store *store = weir_context_store(context, table->store.name);
    int64_t timestamp_ms;
    return typed_get(context, store, &serdes, key, value_out, &timestamp_ms, error);
}
