/* The builder: names, nodes, sources, stores, and the first fault. See dsl.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "streams/dsl/dsl.h"

enum { ARENA_BYTES_MAX = 64 << 20, NAME_BYTES_MAX = 400, DAY_MS = 24 * 3600 * 1000 };

/* ---- life ------------------------------------------------------------------------------------ */

struct weir_builder *weir_builder_new(void)
{
    struct weir_builder *builder = weir_calloc(1, sizeof *builder);
    if (!builder)
        return NULL;
    if (weir_topology_new(&builder->topology) != WEIR_OK) {
        weir_free(builder);
        return NULL;
    }
    weir_arena_init(&builder->arena, ARENA_BYTES_MAX);
    builder->engine = weir_store_in_memory();
    builder->no_stream.builder = builder->no_table.stream.builder =
        builder->no_grouped.stream.builder = builder;
    builder->no_windowed.grouped = &builder->no_grouped;
    return builder;
}

static void release(void *owned)
{
    struct weir_builder *builder = owned;
    global_free(builder->globals);
    weir_arena_release(&builder->arena);
    weir_free(builder);
}

void weir_builder_free(struct weir_builder *builder)
{
    if (!builder)
        return;
    weir_topology_free(builder->topology);
    release(builder);
}

void weir_builder_set_engine(struct weir_builder *builder, const struct weir_store_engine *engine)
{
    builder->engine = engine;
}

enum weir_err weir_builder_build(struct weir_builder *builder, struct weir_topology **topology_out,
                                 struct weir_error *error)
{
    enum weir_err err = builder->error.code;
    if (err != WEIR_OK) {
        *error = builder->error;
        weir_builder_free(builder);
        return err;
    }
    *topology_out = builder->topology;
    builder->topology->owned = builder;
    builder->topology->owned_free = release;
    return WEIR_OK;
}

/* ---- faults, memory, names ------------------------------------------------------------------- */

bool dsl_failed(const struct weir_builder *builder)
{
    return builder->error.code != WEIR_OK;
}

void dsl_fault(struct weir_builder *builder, enum weir_err code, const char *format, ...)
{
    char text[WEIR_ERROR_TEXT_MAX];
    va_list args;
    if (dsl_failed(builder))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    weir_error_set(&builder->error, code, -1, "%s", text);
}

void *dsl_alloc(struct weir_builder *builder, size_t bytes)
{
    void *made = weir_arena_calloc(&builder->arena, 1, bytes);
    if (!made)
        dsl_fault(builder, WEIR_NOMEM, "no memory for a topology");
    return made;
}

const char *dsl_copy(struct weir_builder *builder, const char *text)
{
    const char *copy = text ? weir_arena_copy_text(&builder->arena, text, strlen(text)) : NULL;
    if (text && !copy)
        dsl_fault(builder, WEIR_NOMEM, "no memory for a topology");
    return copy;
}

const char *dsl_name(struct weir_builder *builder, const char *prefix)
{
    char name[NAME_BYTES_MAX];
    snprintf(name, sizeof name, "%s%010u", prefix, builder->number++);
    const char *copy = dsl_copy(builder, name);
    return copy ? copy : "";
}

/* A number is used up in any case, so that naming one operation does not rename the others. */
const char *dsl_name_or(struct weir_builder *builder, const char *name, const char *prefix)
{
    const char *made = dsl_name(builder, prefix);
    return name ? dsl_copy(builder, name) : made;
}

const char *dsl_name_suffixed(struct weir_builder *builder, const char *name, const char *suffix,
                              const char *prefix)
{
    const char *made = dsl_name(builder, prefix);
    return name ? dsl_append(builder, name, suffix) : made;
}

const char *dsl_append(struct weir_builder *builder, const char *name, const char *suffix)
{
    char whole[NAME_BYTES_MAX];
    snprintf(whole, sizeof whole, "%s%s", name, suffix);
    return dsl_copy(builder, whole);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

enum weir_err dsl_init(void *config, struct weir_context *context, void **self_out,
                       struct weir_error *error)
{
    (void)context;
    (void)error;
    *self_out = config;
    return WEIR_OK;
}

void dsl_add(struct weir_builder *builder, const char *name, const struct weir_processor_ops *ops,
             const struct operation *operation, const char *parent)
{
    struct operation *copy = dsl_alloc(builder, sizeof *copy);
    if (operation->needs_function && !operation->predicate && !operation->mapper &&
        !operation->visitor && !operation->aggregator && !operation->joiner)
        dsl_fault(builder, WEIR_INVALID, "node \"%s\" is given no function", name);
    if (dsl_failed(builder))
        return;
    *copy = *operation;
    (void)!weir_topology_add_processor(builder->topology, name, ops, copy, &parent, 1,
                                       &builder->error);
}

struct weir_stream *dsl_stream(const struct weir_stream *from, const char *node)
{
    struct weir_builder *builder = from->builder;
    struct weir_stream *stream = dsl_alloc(builder, sizeof *stream);
    if (!stream)
        return &builder->no_stream;
    *stream = *from;
    stream->node = node;
    return stream;
}

struct weir_stream *dsl_source(struct weir_builder *builder, const char *node,
                               const char *const *topics, uint32_t topic_count,
                               const struct weir_with *with)
{
    struct weir_stream *stream = dsl_alloc(builder, sizeof *stream);
    const char **sources = dsl_alloc(builder, sizeof(const char *));
    if (dsl_failed(builder))
        return &builder->no_stream;
    if (weir_topology_add_source(builder->topology, node, topics, topic_count, with->decoder,
                                 with->decoder_config, &builder->error) == WEIR_OK)
        (void)!weir_topology_set_serdes(builder->topology, node, with->key, with->value,
                                        &builder->error);
    sources[0] = node;
    *stream = (struct weir_stream){.builder = builder,
                                   .node = node,
                                   .key = with->key,
                                   .value = with->value,
                                   .sources = sources,
                                   .source_count = 1};
    return stream;
}

struct weir_stream *weir_builder_streams(struct weir_builder *builder, const char *const *topics,
                                         uint32_t topic_count, const struct weir_with *with)
{
    static const struct weir_with none;
    with = with ? with : &none;
    return dsl_source(builder, dsl_name_or(builder, with->name, "KSTREAM-SOURCE-"), topics,
                      topic_count, with);
}

struct weir_stream *weir_builder_stream(struct weir_builder *builder, const char *topic,
                                        const struct weir_with *with)
{
    return weir_builder_streams(builder, &topic, 1, with);
}

void dsl_join_sources(struct weir_stream *out, const struct weir_stream *one,
                      const struct weir_stream *other)
{
    const char **both =
        dsl_alloc(out->builder, (one->source_count + other->source_count) * sizeof(const char *));
    if (!both)
        return;
    for (uint32_t i = 0; i < one->source_count; i++)
        both[i] = one->sources[i];
    for (uint32_t i = 0; i < other->source_count; i++)
        both[one->source_count + i] = other->sources[i];
    out->sources = both;
    out->source_count = one->source_count + other->source_count;
}

void dsl_copartition(const struct weir_stream *one, const struct weir_stream *other)
{
    struct weir_stream both = *one;
    dsl_join_sources(&both, one, other);
    if (!dsl_failed(one->builder))
        (void)!weir_topology_copartition(one->builder->topology, both.sources, both.source_count,
                                         &one->builder->error);
}

/* ---- stores ---------------------------------------------------------------------------------- */

void weir_materialized_default(struct weir_materialized *materialized)
{
    *materialized = (struct weir_materialized){.caching = true, .logging = true};
}

void dsl_materialize(struct weir_builder *builder, const struct weir_materialized *materialized,
                     const char *prefix, struct weir_store_options *out)
{
    struct weir_materialized defaults;
    char whole[NAME_BYTES_MAX];
    weir_materialized_default(&defaults);
    materialized = materialized ? materialized : &defaults;
    weir_store_options_default(out);
    snprintf(whole, sizeof whole, "%sSTATE-STORE-", prefix);
    out->name =
        materialized->name ? dsl_copy(builder, materialized->name) : dsl_name(builder, whole);
    out->kind = WEIR_STORE_TIMESTAMPED_KEY_VALUE;
    out->engine = materialized->engine ? materialized->engine : builder->engine;
    out->engine_config = materialized->engine_config;
    out->caching = materialized->caching;
    out->logging = materialized->logging;
    out->retention_ms = materialized->retention_ms > 0 ? materialized->retention_ms : DAY_MS;
}

void dsl_add_store(struct weir_builder *builder, const struct weir_store_options *options,
                   const char *processor)
{
    if (!dsl_failed(builder))
        (void)!weir_topology_add_store(builder->topology, options, &processor, 1, &builder->error);
}
