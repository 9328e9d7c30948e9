/*
 * A stream with a table, or a global table: each record with what the table has by now. See dsl.h.
 *
 * Without a key to look for, or a value to join, a record is left out; of a left join it goes on
 * alone (KIP-962).
 */
#include "streams/dsl/dsl.h"

static enum weir_err join(const struct operation *operation, struct weir_context *context,
                          const struct weir_record *record, const struct weir_value *other,
                          struct weir_error *error)
{
    struct weir_value joined = weir_value_null();
    if (weir_value_is_null(record->value) || (weir_value_is_null(*other) && !operation->left))
        return WEIR_OK;
    enum weir_err err =
        operation->joiner(operation->config, context, record, other, &joined, error);
    return err == WEIR_OK ? weir_context_forward_value(context, joined, error) : err;
}

static enum weir_err join_table(void *self, struct weir_context *context,
                                const struct weir_record *record, struct weir_error *error)
{
    const struct operation *operation = self;
    struct weir_value other = weir_value_null();
    enum weir_err err = WEIR_OK;
    if (!weir_value_is_null(record->key))
        err = table_get(context, operation->table, &record->key, &other, error);
    return err == WEIR_OK ? join(operation, context, record, &other, error) : err;
}

static enum weir_err join_global(void *self, struct weir_context *context,
                                 const struct weir_record *record, struct weir_error *error)
{
    const struct operation *operation = self;
    struct weir_record keyed = *record;
    struct weir_value other = weir_value_null();
    enum weir_err err = operation->mapper(operation->config, context, &keyed, error);
    if (err == WEIR_OK && !weir_value_is_null(keyed.key))
        err = global_get(context, operation->global, &keyed.key, &other, error);
    return err == WEIR_OK ? join(operation, context, record, &other, error) : err;
}

static const struct weir_processor_ops join_table_ops = {
    .abi = WEIR_PROCESSOR_ABI, .init = dsl_init, .process = join_table};
static const struct weir_processor_ops join_global_ops = {
    .abi = WEIR_PROCESSOR_ABI, .init = dsl_init, .process = join_global};

struct weir_stream *weir_stream_join_table(struct weir_stream *stream, struct weir_table *table,
                                           bool left, weir_joiner *joiner, void *config,
                                           const char *name)
{
    struct weir_builder *builder = stream->builder;
    struct weir_stream from = *stream;
    const struct operation operation = {
        .needs_function = true, .joiner = joiner, .config = config, .left = left, .table = table};
    if (!from.key)
        from.key = table->stream.key;
    if (from.is_rekeyed)
        from = *dsl_repartition(&from, name ? name : from.node, 0);
    const char *node = dsl_name_or(builder, name, left ? "KSTREAM-LEFTJOIN-" : "KSTREAM-JOIN-");
    dsl_copartition(&from, &table->stream);
    dsl_add(builder, node, &join_table_ops, &operation, from.node);
    table_enable_get(table, node);
    struct weir_stream *out = dsl_stream(&from, node);
    dsl_join_sources(out, &from, &table->stream);
    out->value = NULL;
    return out;
}

struct weir_stream *weir_stream_join_global_table(struct weir_stream *stream,
                                                  struct weir_global_table *table,
                                                  weir_mapper *key_mapper, bool left,
                                                  weir_joiner *joiner, void *config,
                                                  const char *name)
{
    if (!key_mapper || !joiner)
        dsl_fault(stream->builder, WEIR_INVALID,
                  "a join with a global table needs a key mapper and a joiner");
    const struct operation operation = {
        .mapper = key_mapper, .joiner = joiner, .config = config, .left = left, .global = table};
    const char *node = dsl_name_or(stream->builder, name, "KSTREAM-LEFTJOIN-");
    dsl_add(stream->builder, node, &join_global_ops, &operation, stream->node);
    struct weir_stream *out = dsl_stream(stream, node);
    out->value = NULL;
    return out;
}
