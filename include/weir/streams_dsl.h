/*
 * weir/streams_dsl.h - Kafka Streams' DSL: streams, tables, windows and joins by their names.
 *
 * What:    a builder to which operations are added, each giving the stream or table that comes out
 *          of it. What is built is a topology (weir/streams.h), with nodes, stores and internal
 *          topics named as Kafka Streams names them.
 *
 *              struct weir_stream *lines = weir_builder_stream(builder, "lines", NULL);
 *              struct weir_stream *words = weir_stream_flat_map_values(lines, split, NULL, NULL);
 *              struct weir_grouped *by_word = weir_stream_group_by(words, word_as_key, NULL, NULL);
 *              struct weir_table *counts = weir_grouped_count(by_word, NULL, NULL);
 *              weir_stream_to(weir_table_to_stream(counts, NULL), "counts", NULL);
 *              err = weir_builder_build(builder, &topology, &error);
 *
 * Life:    weir_builder_new -> operations -> weir_builder_build, which takes the builder. Streams,
 *          tables and the like belong to it and must not be used afterwards.
 * Threads: a builder is one thread's. Your functions run on the threads of the tasks, each task's
 *          by one thread at a time; what their configs point to is shared by all tasks.
 * Memory:  what a function is given is borrowed for the call; what it makes comes from
 *          weir_context_alloc and need not be freed. Configs are borrowed for the topology's life.
 * Errors:  operations never fail: the first fault is kept, and build tells it, with the operation's
 *          name. An error from one of your functions fails the task (it is rewound once, then the
 *          instance ends with it); to skip a record, forward nothing or weir_context_refuse.
 *
 * A name that may be NULL is made up as Kafka Streams makes it ("KSTREAM-FILTER-0000000003").
 * A serde that is NULL is the one that is known from further up, and else bytes.
 */
#ifndef WEIR_STREAMS_DSL_H
#define WEIR_STREAMS_DSL_H

#include <weir/streams.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_builder;
struct weir_stream;       /* KStream */
struct weir_table;        /* KTable */
struct weir_global_table; /* GlobalKTable */
struct weir_grouped;      /* KGroupedStream */
struct weir_windowed;     /* TimeWindowedKStream, SessionWindowedKStream */

/* ---- your functions -------------------------------------------------------------------------- */

/* May the record go on? */
typedef bool weir_predicate(void *config, const struct weir_record *record);
/* Changes the record in hand, which is a copy. */
typedef enum weir_err weir_mapper(void *config, struct weir_context *context,
                                  struct weir_record *record, struct weir_error *error);
/* Looks at the record; gives on what it likes: weir_context_forward_value, _forward_record. */
typedef enum weir_err weir_visitor(void *config, struct weir_context *context,
                                   const struct weir_record *record, struct weir_error *error);
/* Takes the record into the aggregate of its key; null becomes a tombstone. */
typedef enum weir_err weir_aggregator(void *config, struct weir_context *context,
                                      const struct weir_record *record,
                                      struct weir_value *aggregate, struct weir_error *error);
/* Two sessions have become one: takes the later aggregate into the earlier one. */
typedef enum weir_err weir_merger(void *config, struct weir_context *context,
                                  const struct weir_value *key, struct weir_value *aggregate,
                                  const struct weir_value *later, struct weir_error *error);
/* The value of a joined record; `other` is null where a left or outer join found nothing, and so is
 * the record's own value where an outer join found only the other. */
typedef enum weir_err weir_joiner(void *config, struct weir_context *context,
                                  const struct weir_record *record, const struct weir_value *other,
                                  struct weir_value *joined_out, struct weir_error *error);

/* ---- how topics and stores are read and written ---------------------------------------------- */

/* Consumed, Produced, Grouped, Repartitioned: NULL is the same as all zero. */
struct weir_with {
    const struct weir_serde *key, *value;
    const char *name;
    int32_t partitions; /* repartition only [as many as what leads to it] */
    /* Sources only: rows are decoded into columns, for a processor of your own that takes blocks */
    weir_decoder_factory *decoder;
    void *decoder_config;
};

/* Materialized: NULL is the same as the defaults. */
struct weir_materialized {
    const char *name; /* of the store; with it the store can be queried */
    const struct weir_serde *key, *value;
    const struct weir_store_engine *engine;
    void *engine_config;
    bool caching, logging;
    int64_t retention_ms; /* of windows; 0 = their size and grace */
};
/* Of the builder's engine, cached, with a changelog. */
void weir_materialized_default(struct weir_materialized *materialized);

/* ---- builder --------------------------------------------------------------------------------- */

/* NULL: no memory. */
struct weir_builder *weir_builder_new(void);
/* Engine of stores that name none [weir_store_in_memory()]. */
void weir_builder_set_engine(struct weir_builder *builder, const struct weir_store_engine *engine);
/* Takes the builder. INVALID, EXISTS, LIMIT, NOMEM: what went wrong first. */
WEIR_MUST_USE enum weir_err weir_builder_build(struct weir_builder *builder,
                                               struct weir_topology **topology_out,
                                               struct weir_error *error);
void weir_builder_free(struct weir_builder *builder); /* one that is not built; NULL is allowed */

struct weir_stream *weir_builder_stream(struct weir_builder *builder, const char *topic,
                                        const struct weir_with *with);
struct weir_stream *weir_builder_streams(struct weir_builder *builder, const char *const *topics,
                                         uint32_t topic_count, const struct weir_with *with);
/* The newest value of each key of a topic. */
struct weir_table *weir_builder_table(struct weir_builder *builder, const char *topic,
                                      const struct weir_with *with,
                                      const struct weir_materialized *materialized);
/* The same of all its partitions, on every instance, in memory. */
struct weir_global_table *weir_builder_global_table(struct weir_builder *builder, const char *topic,
                                                    const struct weir_with *with,
                                                    const char *store);

/* ---- streams, record by record --------------------------------------------------------------- */

struct weir_stream *weir_stream_filter(struct weir_stream *stream, weir_predicate *predicate,
                                       void *config, const char *name);
struct weir_stream *weir_stream_filter_not(struct weir_stream *stream, weir_predicate *predicate,
                                           void *config, const char *name);
/* Key and value may change; what follows and needs records by key is repartitioned. */
struct weir_stream *weir_stream_map(struct weir_stream *stream, weir_mapper *mapper, void *config,
                                    const char *name);
/* The key stays, whatever the mapper does to it. */
struct weir_stream *weir_stream_map_values(struct weir_stream *stream, weir_mapper *mapper,
                                           void *config, const char *name);
/* The value stays. */
struct weir_stream *weir_stream_select_key(struct weir_stream *stream, weir_mapper *mapper,
                                           void *config, const char *name);
struct weir_stream *weir_stream_flat_map(struct weir_stream *stream, weir_visitor *visitor,
                                         void *config, const char *name);
/* The visitor forwards by weir_context_forward_value. */
struct weir_stream *weir_stream_flat_map_values(struct weir_stream *stream, weir_visitor *visitor,
                                                void *config, const char *name);
/* The visitor looks, and the record goes on as it was. */
struct weir_stream *weir_stream_peek(struct weir_stream *stream, weir_visitor *visitor,
                                     void *config, const char *name);
void weir_stream_foreach(struct weir_stream *stream, weir_visitor *visitor, void *config,
                         const char *name);
struct weir_stream *weir_stream_merge(struct weir_stream *stream, struct weir_stream *other,
                                      const char *name);

/* Where records go whose predicate is the first to say yes; predicate NULL: all that are left. */
struct weir_branch {
    weir_predicate *predicate;
    void *config;
    struct weir_stream *stream; /* out */
};
void weir_stream_split(struct weir_stream *stream, struct weir_branch *branches, uint32_t count,
                       const char *name);

/* A processor of your own (weir/streams.h), which may use these stores. */
struct weir_stream *weir_stream_process(struct weir_stream *stream,
                                        const struct weir_processor_ops *ops, void *config,
                                        const char *const *stores, uint32_t store_count,
                                        const char *name);
/* For processors; its processors are named by weir_stream_process. */
void weir_builder_add_store(struct weir_builder *builder, const struct weir_store_options *options);
void weir_stream_to(struct weir_stream *stream, const char *topic, const struct weir_with *with);
/* Through a topic of its own, by key. */
struct weir_stream *weir_stream_repartition(struct weir_stream *stream,
                                            const struct weir_with *with);
struct weir_table *weir_stream_to_table(struct weir_stream *stream,
                                        const struct weir_materialized *materialized,
                                        const char *name);

/* ---- tables ---------------------------------------------------------------------------------- */

struct weir_table *weir_table_filter(struct weir_table *table, weir_predicate *predicate,
                                     void *config, const char *name);
struct weir_table *weir_table_map_values(struct weir_table *table, weir_mapper *mapper,
                                         void *config, const char *name);
/* Of each window only the last result, when it has closed (by stream time, grace included). */
struct weir_table *weir_table_suppress_until_window_closes(struct weir_table *table,
                                                           const char *name);
/* Of each key one result at most in limit_ms of stream time. */
struct weir_table *weir_table_suppress_until_time_limit(struct weir_table *table, int64_t limit_ms,
                                                        const char *name);
struct weir_stream *weir_table_to_stream(struct weir_table *table, const char *name);

/* ---- grouping and aggregates ----------------------------------------------------------------- */

struct weir_grouped *weir_stream_group_by_key(struct weir_stream *stream,
                                              const struct weir_with *with);
/* By the key that the mapper gives. */
struct weir_grouped *weir_stream_group_by(struct weir_stream *stream, weir_mapper *mapper,
                                          void *config, const struct weir_with *with);

/* Records without key or value are left out by all of these. Counts are integers (int64). */
struct weir_table *weir_grouped_count(struct weir_grouped *grouped,
                                      const struct weir_materialized *materialized,
                                      const char *name);
/* The first value of a key is its aggregate as it is; the aggregator takes in the others. */
struct weir_table *weir_grouped_reduce(struct weir_grouped *grouped, weir_aggregator *reducer,
                                       void *config, const struct weir_materialized *materialized,
                                       const char *name);
struct weir_table *weir_grouped_aggregate(struct weir_grouped *grouped, struct weir_value initial,
                                          weir_aggregator *aggregator, void *config,
                                          const struct weir_materialized *materialized,
                                          const char *name);

/* TimeWindows: [start, start + size), a new one every advance_ms [size_ms: tumbling]. Records are
 * taken until grace_ms after a window's end, by stream time. */
struct weir_windowed *weir_grouped_windowed_by(struct weir_grouped *grouped, int64_t size_ms,
                                               int64_t advance_ms, int64_t grace_ms);
/* SessionWindows: what is at most gap_ms apart belongs together. */
struct weir_windowed *weir_grouped_sessions(struct weir_grouped *grouped, int64_t gap_ms,
                                            int64_t grace_ms);
/* As above, by window; the tables' records have one. Sessions need a merger, time windows none. */
struct weir_table *weir_windowed_count(struct weir_windowed *windowed,
                                       const struct weir_materialized *materialized,
                                       const char *name);
struct weir_table *weir_windowed_reduce(struct weir_windowed *windowed, weir_aggregator *reducer,
                                        void *config, const struct weir_materialized *materialized,
                                        const char *name);
struct weir_table *weir_windowed_aggregate(struct weir_windowed *windowed,
                                           struct weir_value initial, weir_aggregator *aggregator,
                                           weir_merger *merger, void *config,
                                           const struct weir_materialized *materialized,
                                           const char *name);

/* ---- joins ----------------------------------------------------------------------------------- */

/* A record with what the table has for its key by now. Left: also where it has nothing. */
struct weir_stream *weir_stream_join_table(struct weir_stream *stream, struct weir_table *table,
                                           bool left, weir_joiner *joiner, void *config,
                                           const char *name);
enum weir_join { WEIR_INNER_JOIN, WEIR_LEFT_JOIN, WEIR_OUTER_JOIN };
/*
 * Records of one key that are at most within_ms apart (JoinWindows). Left and outer joins tell of a
 * record that has found none when stream time has passed its window and grace_ms. The joiner's
 * record is the first stream's, `other` the other's.
 */
struct weir_stream *weir_stream_join(struct weir_stream *stream, struct weir_stream *other,
                                     enum weir_join join, int64_t within_ms, int64_t grace_ms,
                                     weir_joiner *joiner, void *config, const char *name);
/* By the key that the mapper gives (the record itself stays as it is). */
struct weir_stream *weir_stream_join_global_table(struct weir_stream *stream,
                                                  struct weir_global_table *table,
                                                  weir_mapper *key_mapper, bool left,
                                                  weir_joiner *joiner, void *config,
                                                  const char *name);

#ifdef __cplusplus
}
#endif
#endif
