/*
 * streams/dsl/dsl.h - what the operations of the DSL are made of.
 *
 * What:    each operation adds nodes to the topology at once, in the order in which it is called; a
 *          node's config is an `operation`, which says what to do.
 *
 *              weir_stream, weir_table ...   what the user holds: the node that it comes out of,
 *                                            its serdes, and the sources that lead to it
 *              operation                     what a node does: the user's function, its store
 *
 * Life:    all of it lies in the builder's arena, and goes with the topology.
 * Threads: building: one. Operations are read by all tasks.
 * Memory:  the arena.
 * Errors:  kept in the builder: dsl_fault. After the first nothing is added any more.
 */
#ifndef WEIR_STREAMS_DSL_INSIDE_H
#define WEIR_STREAMS_DSL_INSIDE_H

#include <weir/streams_dsl.h>

#include "base/arena.h"
#include "streams/inside.h"
#include "streams/store/store.h"

struct weir_stream {
    struct weir_builder *builder;
    const char *node;
    const struct weir_serde *key, *value; /* NULL = not known */
    const char *const *sources;           /* nodes that lead to it */
    uint32_t source_count;
    bool is_rekeyed; /* the keys are not those of its partitions any more */
};

enum window_kind { TUMBLING_OR_HOPPING, SESSIONS };

struct windows {
    enum window_kind kind;
    int64_t size_ms, advance_ms; /* sessions: size is the gap */
    int64_t grace_ms;
};

struct operation;

struct weir_table {
    struct weir_stream stream; /* its changes; rekeyed: never */
    /* Where its values are: a store, or what its parent has, changed by `by`. */
    struct weir_store_options store; /* name NULL = none */
    bool has_store;                  /* it was added to the topology */
    struct weir_table *parent;
    const struct operation *by;
    enum weir_window_kind window_kind; /* of its keys, and how they are made */
    struct windows windows;
};

struct weir_grouped {
    struct weir_stream stream;
    const char *name; /* of the repartition topic; NULL = the store's */
};

struct weir_windowed {
    struct weir_grouped *grouped;
    struct windows windows;
};

/* What a node does. Each kind of node uses some of it. */
struct operation {
    weir_predicate *predicate;
    weir_mapper *mapper;
    weir_visitor *visitor;
    weir_aggregator *aggregator;
    weir_merger *merger;
    weir_joiner *joiner;
    void *config;
    bool needs_function; /* one of these */
    bool negate;         /* filter */
    bool left;           /* join */
    bool is_reduce;      /* the first value is the aggregate */
    bool keeps_key;      /* map */
    bool keeps_value;
    struct weir_value initial;
    struct windows windows;
    bool until_closed; /* suppress: until the window has closed */
    int64_t wait_ms;   /* suppress: by stream time */
    enum weir_window_kind window_kind;
    const char *store;
    bool is_cached;                       /* the store tells those downstream at its flushes */
    const struct weir_serde *key, *value; /* of the store */
    struct weir_table *table;             /* join */
    struct weir_global_table *global;
    const struct weir_branch *branches; /* split */
    const char *const *children;
    uint32_t branch_count;
};

struct weir_builder {
    struct weir_arena arena;
    struct weir_topology *topology;
    const struct weir_store_engine *engine;
    uint32_t number; /* of the next name */
    struct weir_error error;
    struct weir_global_table *globals; /* to be freed with it */
    /* Given out when there is no memory for better ones. */
    struct weir_stream no_stream;
    struct weir_table no_table;
    struct weir_grouped no_grouped;
    struct weir_windowed no_windowed;
};

/* ---- builder.c ---- */

bool dsl_failed(const struct weir_builder *builder);
/* Keeps the first fault. The second: what the topology said, in builder->error. */
void dsl_fault(struct weir_builder *builder, enum weir_err code, const char *format, ...)
    WEIR_PRINTF(3, 4);
/* Zeroed; NULL and a fault when there is no memory. */
void *dsl_alloc(struct weir_builder *builder, size_t bytes);
const char *dsl_copy(struct weir_builder *builder, const char *text);
/* The next name "<prefix><ten digits>". */
const char *dsl_name(struct weir_builder *builder, const char *prefix);
/* The user's name, or the next. */
const char *dsl_name_or(struct weir_builder *builder, const char *name, const char *prefix);
const char *dsl_append(struct weir_builder *builder, const char *name, const char *suffix);
/* The user's name with a suffix, or the next. */
const char *dsl_name_suffixed(struct weir_builder *builder, const char *name, const char *suffix,
                              const char *prefix);
/* A copy of the operation for a node that is then added behind the parent. */
void dsl_add(struct weir_builder *builder, const char *name, const struct weir_processor_ops *ops,
             const struct operation *operation, const char *parent);
/* What comes out of a node: the same serdes and sources as went in. */
struct weir_stream *dsl_stream(const struct weir_stream *from, const char *node);
struct weir_stream *dsl_source(struct weir_builder *builder, const char *node,
                               const char *const *topics, uint32_t topic_count,
                               const struct weir_with *with);
/* Fills `out` with what is materialized: its name (made up with this prefix), engine, cache. */
void dsl_materialize(struct weir_builder *builder, const struct weir_materialized *materialized,
                     const char *prefix, struct weir_store_options *out);
/* Adds the store, for this processor. */
void dsl_add_store(struct weir_builder *builder, const struct weir_store_options *options,
                   const char *processor);
/* The sources of both have to have the same number of partitions. */
void dsl_copartition(const struct weir_stream *one, const struct weir_stream *other);
/* Both sources' names. */
void dsl_join_sources(struct weir_stream *out, const struct weir_stream *one,
                      const struct weir_stream *other);
/* Inits of processors: the operation is the object. */
enum weir_err dsl_init(void *config, struct weir_context *context, void **self_out,
                       struct weir_error *error);

/* Through a topic "<prefix>-repartition". */
struct weir_stream *dsl_repartition(const struct weir_stream *stream, const char *prefix,
                                    int32_t partitions);

/* ---- typed.c: stores of values ---- */

/* Bytes of a key or value; a null value is null bytes. */
enum weir_err typed_bytes(struct weir_context *context, const struct weir_serde *serde,
                          const char *store, const struct weir_value *value, struct weir_slice *out,
                          struct weir_error *error);
/* Copies the bytes first, so that the value outlives them. */
enum weir_err typed_value(struct weir_context *context, const struct weir_serde *serde,
                          const char *store, struct weir_slice bytes, struct weir_value *out,
                          struct weir_error *error);
/* A value of a timestamped key-value store; NOT_FOUND is null, -1. */
enum weir_err typed_get(struct weir_context *context, struct weir_store *store,
                        const struct operation *operation, const struct weir_value *key,
                        struct weir_value *value_out, int64_t *timestamp_out,
                        struct weir_error *error);
enum weir_err typed_put(struct weir_context *context, struct weir_store *store,
                        const struct operation *operation, const struct weir_value *key,
                        const struct weir_value *value, int64_t timestamp_ms,
                        struct weir_error *error);
/* Listens to a cached store and forwards what it shows. */
enum weir_err typed_show(struct weir_context *context, const struct store_change *change,
                         struct weir_error *error);

/* ---- table.c ---- */

/* Sees to it that the table has its values in a store: its own, or that of what it comes from. */
void table_materialize(struct weir_table *table);
/* The same, and that this processor can read them. */
void table_enable_get(struct weir_table *table, const char *processor);
/* The value of a key by now; null = none. */
enum weir_err table_get(struct weir_context *context, const struct weir_table *table,
                        const struct weir_value *key, struct weir_value *value_out,
                        struct weir_error *error);
/* A table that comes out of a node with a store. */
struct weir_table *table_of(const struct weir_stream *from, const char *node,
                            const struct weir_store_options *store, const struct weir_serde *key,
                            const struct weir_serde *value);

/* ---- global.c ---- */

enum weir_err global_get(struct weir_context *context, struct weir_global_table *table,
                         const struct weir_value *key, struct weir_value *value_out,
                         struct weir_error *error);
void global_free(struct weir_global_table *table);

#endif
