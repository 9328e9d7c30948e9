/* Operations that look at one record at a time. See dsl.h. */
#include <stdio.h>
#include <string.h>

#include "streams/dsl/dsl.h"

enum { NAME_BYTES_MAX = 400 };

/* ---- what the nodes do ----------------------------------------------------------------------- */

static enum weir_err filter(void *self, struct weir_context *context,
                            const struct weir_record *record, struct weir_error *error)
{
    const struct operation *operation = self;
    if (operation->predicate(operation->config, record) == operation->negate)
        return WEIR_OK;
    return weir_context_forward_record(context, record, error);
}

static enum weir_err map(void *self, struct weir_context *context, const struct weir_record *record,
                         struct weir_error *error)
{
    const struct operation *operation = self;
    struct weir_record mapped = *record;
    enum weir_err err = operation->mapper(operation->config, context, &mapped, error);
    if (err != WEIR_OK)
        return err;
    if (operation->keeps_key) {
        mapped.key = record->key;
        mapped.window = record->window;
    }
    if (operation->keeps_value)
        mapped.value = record->value;
    return weir_context_forward_record(context, &mapped, error);
}

static enum weir_err visit(void *self, struct weir_context *context,
                           const struct weir_record *record, struct weir_error *error)
{
    const struct operation *operation = self;
    return operation->visitor(operation->config, context, record, error);
}

static enum weir_err peek(void *self, struct weir_context *context,
                          const struct weir_record *record, struct weir_error *error)
{
    enum weir_err err = visit(self, context, record, error);
    return err == WEIR_OK ? weir_context_forward_record(context, record, error) : err;
}

static enum weir_err pass(void *self, struct weir_context *context,
                          const struct weir_record *record, struct weir_error *error)
{
    (void)self;
    return weir_context_forward_record(context, record, error);
}

static enum weir_err pass_keyed(void *self, struct weir_context *context,
                                const struct weir_record *record, struct weir_error *error)
{
    return weir_value_is_null(record->key) ? WEIR_OK : pass(self, context, record, error);
}

static enum weir_err split(void *self, struct weir_context *context,
                           const struct weir_record *record, struct weir_error *error)
{
    const struct operation *operation = self;
    for (uint32_t i = 0; i < operation->branch_count; i++) {
        const struct weir_branch *branch = &operation->branches[i];
        if (!branch->predicate || branch->predicate(branch->config, record))
            return weir_context_forward_record_to(context, operation->children[i], record, error);
    }
    return WEIR_OK;
}

#define OPS(function)                                                                              \
    {                                                                                              \
        .abi = WEIR_PROCESSOR_ABI, .init = dsl_init, .process = (function)                         \
    }
static const struct weir_processor_ops filter_ops = OPS(filter), map_ops = OPS(map),
                                       visit_ops = OPS(visit), peek_ops = OPS(peek),
                                       pass_ops = OPS(pass), pass_keyed_ops = OPS(pass_keyed),
                                       split_ops = OPS(split);

/* ---- the operations -------------------------------------------------------------------------- */

static struct weir_stream *add(struct weir_stream *stream, const struct weir_processor_ops *ops,
                               const struct operation *operation, const char *name,
                               const char *prefix)
{
    const char *node = dsl_name_or(stream->builder, name, prefix);
    dsl_add(stream->builder, node, ops, operation, stream->node);
    return dsl_stream(stream, node);
}

struct weir_stream *weir_stream_filter(struct weir_stream *stream, weir_predicate *predicate,
                                       void *config, const char *name)
{
    const struct operation operation = {
        .needs_function = true, .predicate = predicate, .config = config};
    return add(stream, &filter_ops, &operation, name, "KSTREAM-FILTER-");
}

struct weir_stream *weir_stream_filter_not(struct weir_stream *stream, weir_predicate *predicate,
                                           void *config, const char *name)
{
    const struct operation operation = {
        .needs_function = true, .predicate = predicate, .config = config, .negate = true};
    return add(stream, &filter_ops, &operation, name, "KSTREAM-FILTER-");
}

/* The serdes of what was mapped are not known any more. */
struct weir_stream *weir_stream_map(struct weir_stream *stream, weir_mapper *mapper, void *config,
                                    const char *name)
{
    const struct operation operation = {.needs_function = true, .mapper = mapper, .config = config};
    struct weir_stream *out = add(stream, &map_ops, &operation, name, "KSTREAM-MAP-");
    out->key = out->value = NULL;
    out->is_rekeyed = true;
    return out;
}

struct weir_stream *weir_stream_map_values(struct weir_stream *stream, weir_mapper *mapper,
                                           void *config, const char *name)
{
    const struct operation operation = {
        .needs_function = true, .mapper = mapper, .config = config, .keeps_key = true};
    struct weir_stream *out = add(stream, &map_ops, &operation, name, "KSTREAM-MAPVALUES-");
    out->value = NULL;
    return out;
}

struct weir_stream *weir_stream_select_key(struct weir_stream *stream, weir_mapper *mapper,
                                           void *config, const char *name)
{
    const struct operation operation = {
        .needs_function = true, .mapper = mapper, .config = config, .keeps_value = true};
    struct weir_stream *out = add(stream, &map_ops, &operation, name, "KSTREAM-KEY-SELECT-");
    out->key = NULL;
    out->is_rekeyed = true;
    return out;
}

struct weir_stream *weir_stream_flat_map(struct weir_stream *stream, weir_visitor *visitor,
                                         void *config, const char *name)
{
    const struct operation operation = {
        .needs_function = true, .visitor = visitor, .config = config};
    struct weir_stream *out = add(stream, &visit_ops, &operation, name, "KSTREAM-FLATMAP-");
    out->key = out->value = NULL;
    out->is_rekeyed = true;
    return out;
}

struct weir_stream *weir_stream_flat_map_values(struct weir_stream *stream, weir_visitor *visitor,
                                                void *config, const char *name)
{
    const struct operation operation = {
        .needs_function = true, .visitor = visitor, .config = config};
    struct weir_stream *out = add(stream, &visit_ops, &operation, name, "KSTREAM-FLATMAPVALUES-");
    out->value = NULL;
    return out;
}

struct weir_stream *weir_stream_peek(struct weir_stream *stream, weir_visitor *visitor,
                                     void *config, const char *name)
{
    const struct operation operation = {
        .needs_function = true, .visitor = visitor, .config = config};
    return add(stream, &peek_ops, &operation, name, "KSTREAM-PEEK-");
}

void weir_stream_foreach(struct weir_stream *stream, weir_visitor *visitor, void *config,
                         const char *name)
{
    const struct operation operation = {
        .needs_function = true, .visitor = visitor, .config = config};
    (void)add(stream, &visit_ops, &operation, name, "KSTREAM-FOREACH-");
}

struct weir_stream *weir_stream_merge(struct weir_stream *stream, struct weir_stream *other,
                                      const char *name)
{
    static const struct operation nothing;
    struct weir_builder *builder = stream->builder;
    const char *node = dsl_name_or(builder, name, "KSTREAM-MERGE-");
    const char *parents[] = {stream->node, other->node};
    struct weir_stream *out = dsl_stream(stream, node);
    if (!dsl_failed(builder))
        (void)!weir_topology_add_processor(builder->topology, node, &pass_ops,
                                           (void *)(uintptr_t)&nothing, parents, 2,
                                           &builder->error);
    dsl_join_sources(out, stream, other);
    out->is_rekeyed |= other->is_rekeyed;
    out->key = stream->key == other->key ? stream->key : NULL;
    out->value = stream->value == other->value ? stream->value : NULL;
    return out;
}

void weir_stream_split(struct weir_stream *stream, struct weir_branch *branches, uint32_t count,
                       const char *name)
{
    struct weir_builder *builder = stream->builder;
    const char *node = dsl_name_or(builder, name, "KSTREAM-BRANCH-");
    struct weir_branch *copy = dsl_alloc(builder, (count + 1) * sizeof *copy);
    const char **children = dsl_alloc(builder, (count + 1) * sizeof(const char *));
    char text[NAME_BYTES_MAX];
    for (uint32_t i = 0; i < count && !dsl_failed(builder); i++) {
        (void)dsl_name(builder, "KSTREAM-BRANCH-"); /* Kafka Streams uses up one for each */
        snprintf(text, sizeof text, "%s%u", node, branches[i].predicate ? i + 1 : 0);
        copy[i] = branches[i];
        children[i] = dsl_copy(builder, text);
    }
    const struct operation operation = {
        .branches = copy, .children = children, .branch_count = count};
    dsl_add(builder, node, &split_ops, &operation, stream->node);
    for (uint32_t i = 0; i < count; i++) {
        static const struct operation nothing;
        branches[i].stream = &builder->no_stream;
        if (dsl_failed(builder))
            continue;
        dsl_add(builder, children[i], &pass_ops, &nothing, node);
        branches[i].stream = dsl_stream(stream, children[i]);
    }
}

struct weir_stream *weir_stream_process(struct weir_stream *stream,
                                        const struct weir_processor_ops *ops, void *config,
                                        const char *const *stores, uint32_t store_count,
                                        const char *name)
{
    struct weir_builder *builder = stream->builder;
    const char *node = dsl_name_or(builder, name, "KSTREAM-PROCESSOR-");
    struct weir_stream *out = dsl_stream(stream, node);
    if (!dsl_failed(builder))
        (void)!weir_topology_add_processor(builder->topology, node, ops, config, &stream->node, 1,
                                           &builder->error);
    for (uint32_t i = 0; i < store_count && !dsl_failed(builder); i++)
        (void)!weir_topology_connect_store(builder->topology, stores[i], node, &builder->error);
    out->key = out->value = NULL;
    out->is_rekeyed = true;
    return out;
}

/* ---- topics ---------------------------------------------------------------------------------- */

static void add_sink(struct weir_builder *builder, const char *node, const char *topic,
                     const char *parent, const struct weir_serde *key,
                     const struct weir_serde *value)
{
    if (dsl_failed(builder))
        return;
    if (weir_topology_add_sink(builder->topology, node, topic, &parent, 1, &builder->error) ==
        WEIR_OK)
        (void)!weir_topology_set_serdes(builder->topology, node, key, value, &builder->error);
}

void weir_stream_to(struct weir_stream *stream, const char *topic, const struct weir_with *with)
{
    static const struct weir_with none;
    with = with ? with : &none;
    add_sink(stream->builder, dsl_name_or(stream->builder, with->name, "KSTREAM-SINK-"), topic,
             stream->node, with->key ? with->key : stream->key,
             with->value ? with->value : stream->value);
}

/* A prefix that was made up gives made-up names. */
static bool is_made_up(const char *prefix)
{
    return strncmp(prefix, "KSTREAM", strlen("KSTREAM")) == 0;
}

struct weir_stream *dsl_repartition(const struct weir_stream *stream, const char *prefix,
                                    int32_t partitions)
{
    static const struct operation nothing;
    struct weir_builder *builder = stream->builder;
    const char *given = is_made_up(prefix) ? NULL : prefix;
    const char *sink = dsl_name(builder, "KSTREAM-SINK-");
    const char *keyed = dsl_name(builder, "KSTREAM-FILTER-");
    const char *source = dsl_name(builder, "KSTREAM-SOURCE-");
    if (given) {
        sink = dsl_append(builder, given, "-repartition-sink");
        keyed = dsl_append(builder, given, "-repartition-filter");
        source = dsl_append(builder, given, "-repartition-source");
    }
    const char *topic = dsl_append(builder, prefix, "-repartition");
    if (!dsl_failed(builder))
        (void)!topology_add_internal(builder->topology, topic, partitions, &builder->error);
    dsl_add(builder, keyed, &pass_keyed_ops, &nothing, stream->node);
    add_sink(builder, sink, topic, keyed, stream->key, stream->value);
    const struct weir_with same = {.key = stream->key, .value = stream->value};
    return dsl_source(builder, source, &topic, 1, &same);
}

struct weir_stream *weir_stream_repartition(struct weir_stream *stream,
                                            const struct weir_with *with)
{
    static const struct weir_with none;
    with = with ? with : &none;
    struct weir_stream typed = *stream;
    typed.key = with->key ? with->key : stream->key;
    typed.value = with->value ? with->value : stream->value;
    return dsl_repartition(&typed, dsl_name_or(stream->builder, with->name, "KSTREAM-REPARTITION-"),
                           with->partitions);
}

/* ---- grouping -------------------------------------------------------------------------------- */

static struct weir_grouped *group(const struct weir_stream *stream, const struct weir_with *with)
{
    struct weir_builder *builder = stream->builder;
    struct weir_grouped *grouped = dsl_alloc(builder, sizeof *grouped);
    if (!grouped)
        return &builder->no_grouped;
    grouped->stream = *stream;
    if (with && with->key)
        grouped->stream.key = with->key;
    if (with && with->value)
        grouped->stream.value = with->value;
    grouped->name = with ? dsl_copy(builder, with->name) : NULL;
    return grouped;
}

struct weir_grouped *weir_stream_group_by_key(struct weir_stream *stream,
                                              const struct weir_with *with)
{
    return group(stream, with);
}

struct weir_grouped *weir_stream_group_by(struct weir_stream *stream, weir_mapper *mapper,
                                          void *config, const struct weir_with *with)
{
    return group(weir_stream_select_key(stream, mapper, config, with ? with->name : NULL), with);
}
