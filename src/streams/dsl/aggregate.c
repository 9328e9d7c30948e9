/*
 * Aggregates by key, by window and by session. See dsl.h.
 *
 * A record that comes when its window has been closed for good is left out, and counted as dropped.
 */
#include "base/alloc.h"
#include "streams/dsl/dsl.h"

/* Of a task. */
struct aggregation {
    const struct operation *operation;
    struct weir_store *store;
    int64_t stream_time_ms; /* of the records that came here */
};

static enum weir_err aggregate_init(void *config, struct weir_context *context, void **self_out,
                                    struct weir_error *error)
{
    struct aggregation *aggregation = weir_calloc(1, sizeof *aggregation);
    if (!aggregation)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for an aggregate");
    aggregation->operation = config;
    aggregation->store = weir_context_store(context, aggregation->operation->store);
    aggregation->stream_time_ms = -1;
    if (aggregation->operation->is_cached)
        store_listen(context, aggregation->operation->store, typed_show);
    *self_out = aggregation;
    return WEIR_OK;
}

static void aggregate_close(void *self, struct weir_context *context)
{
    (void)context;
    weir_free(self);
}

/* *value: what there was, then what there is. */
static enum weir_err take_in(const struct operation *operation, struct weir_context *context,
                             const struct weir_record *record, struct weir_value *value,
                             struct weir_error *error)
{
    if (weir_value_is_null(*value) && operation->is_reduce) {
        *value = record->value;
        return WEIR_OK;
    }
    if (weir_value_is_null(*value))
        *value = operation->initial;
    return operation->aggregator(operation->config, context, record, value, error);
}

/* Cached stores tell of it later themselves. */
static enum weir_err tell(const struct operation *operation, struct weir_context *context,
                          const struct weir_record *change, struct weir_error *error)
{
    return operation->is_cached ? WEIR_OK : weir_context_forward_record(context, change, error);
}

static bool is_left_out(const struct weir_record *record)
{
    return weir_value_is_null(record->key) || weir_value_is_null(record->value);
}

/* ---- by key ---------------------------------------------------------------------------------- */

static enum weir_err aggregate(void *self, struct weir_context *context,
                               const struct weir_record *record, struct weir_error *error)
{
    const struct aggregation *aggregation = self;
    const struct operation *operation = aggregation->operation;
    struct weir_record change = *record;
    int64_t old_ms;
    if (is_left_out(record))
        return WEIR_OK;
    enum weir_err err = typed_get(context, aggregation->store, operation, &record->key, &change.old,
                                  &old_ms, error);
    change.value = change.old;
    if (err == WEIR_OK)
        err = take_in(operation, context, record, &change.value, error);
    if (err != WEIR_OK)
        return err;
    if (old_ms > change.timestamp_ms)
        change.timestamp_ms = old_ms;
    err = typed_put(context, aggregation->store, operation, &record->key, &change.value,
                    change.timestamp_ms, error);
    return err == WEIR_OK ? tell(operation, context, &change, error) : err;
}

/* ---- by window ------------------------------------------------------------------------------- */

static enum weir_err aggregate_window(const struct aggregation *aggregation,
                                      struct weir_context *context,
                                      const struct weir_record *record, struct weir_slice key,
                                      int64_t start_ms, struct weir_error *error)
{
    const struct operation *operation = aggregation->operation;
    struct weir_record change = *record;
    struct weir_stamped old = {.timestamp_ms = -1};
    struct weir_slice bytes;
    enum weir_err err = weir_window_get(aggregation->store, key, start_ms, &old, error);
    if (err == WEIR_NOT_FOUND)
        err = WEIR_OK;
    if (err == WEIR_OK)
        err =
            typed_value(context, operation->value, operation->store, old.value, &change.old, error);
    change.value = change.old;
    change.window =
        (struct weir_window){WEIR_TIME_WINDOW, start_ms, start_ms + operation->windows.size_ms};
    if (err == WEIR_OK)
        err = take_in(operation, context, record, &change.value, error);
    if (err == WEIR_OK)
        err =
            typed_bytes(context, operation->value, operation->store, &change.value, &bytes, error);
    if (err != WEIR_OK)
        return err;
    if (old.timestamp_ms > change.timestamp_ms)
        change.timestamp_ms = old.timestamp_ms;
    err = weir_window_put(aggregation->store, key, bytes, start_ms, change.timestamp_ms, error);
    return err == WEIR_OK ? tell(operation, context, &change, error) : err;
}

static enum weir_err aggregate_windows(void *self, struct weir_context *context,
                                       const struct weir_record *record, struct weir_error *error)
{
    struct aggregation *aggregation = self;
    const struct operation *operation = aggregation->operation;
    const struct windows *windows = &operation->windows;
    int64_t at_ms = record->timestamp_ms;
    struct weir_slice key;
    if (is_left_out(record) || at_ms < 0)
        return WEIR_OK;
    if (at_ms > aggregation->stream_time_ms)
        aggregation->stream_time_ms = at_ms;
    int64_t closed_ms = aggregation->stream_time_ms - windows->grace_ms;
    int64_t first_ms = at_ms - windows->size_ms + windows->advance_ms;
    first_ms = first_ms > 0 ? first_ms / windows->advance_ms * windows->advance_ms : 0;
    enum weir_err err =
        typed_bytes(context, operation->key, operation->store, &record->key, &key, error);
    for (int64_t start = first_ms; start <= at_ms && err == WEIR_OK; start += windows->advance_ms) {
        if (start + windows->size_ms > closed_ms)
            err = aggregate_window(aggregation, context, record, key, start, error);
        else
            count_up(&context->task->thread->streams->counters.dropped, 1);
    }
    return err;
}

/* ---- by session ------------------------------------------------------------------------------ */

/* A session that a record belongs to. */
struct session {
    struct session *next;
    struct weir_window window;
    struct weir_value value;
};

/* Those within the gap, in their order. */
static enum weir_err find_sessions(const struct aggregation *aggregation,
                                   struct weir_context *context, const struct weir_record *record,
                                   struct weir_slice key, struct session **out,
                                   struct weir_error *error)
{
    const struct operation *operation = aggregation->operation;
    int64_t gap_ms = operation->windows.size_ms, at_ms = record->timestamp_ms;
    struct weir_store_iterator *walk;
    struct weir_store_entry entry;
    enum weir_err err = weir_session_find(aggregation->store, key, at_ms - gap_ms, at_ms + gap_ms,
                                          false, &walk, error);
    if (err != WEIR_OK)
        return err;
    while ((err = weir_store_iterator_next(walk, &entry, error)) == WEIR_OK) {
        struct session *session = weir_context_alloc(context, sizeof *session);
        err = session ? typed_value(context, operation->value, operation->store, entry.value,
                                    &session->value, error)
                      : weir_error_set(error, WEIR_NOMEM, -1, "no memory for a session");
        if (err != WEIR_OK)
            break;
        session->window = (struct weir_window){WEIR_SESSION_WINDOW, entry.start_ms, entry.end_ms};
        session->next = NULL;
        *out = session;
        out = &session->next;
    }
    weir_store_iterator_free(walk);
    return err == WEIR_END ? WEIR_OK : err;
}

/* Of reduced values the later session's is taken in like a record's. */
static enum weir_err merge(const struct operation *operation, struct weir_context *context,
                           const struct session *session, struct weir_record *merged,
                           struct weir_error *error)
{
    const struct weir_record later = {.key = merged->key, .value = session->value};
    if (session->window.start_ms < merged->window.start_ms)
        merged->window.start_ms = session->window.start_ms;
    if (session->window.end_ms > merged->window.end_ms)
        merged->window.end_ms = session->window.end_ms;
    if (operation->is_reduce)
        return take_in(operation, context, &later, &merged->value, error);
    return operation->merger(operation->config, context, &merged->key, &merged->value,
                             &session->value, error);
}

static enum weir_err remove_session(const struct aggregation *aggregation,
                                    struct weir_context *context, const struct weir_record *record,
                                    struct weir_slice key, const struct session *session,
                                    struct weir_error *error)
{
    const struct weir_slice nothing = {0};
    struct weir_record gone = *record;
    gone.value = weir_value_null();
    gone.old = session->value;
    gone.window = session->window;
    gone.timestamp_ms = session->window.end_ms;
    enum weir_err err = weir_session_put(aggregation->store, key, nothing, session->window.start_ms,
                                         session->window.end_ms, record->timestamp_ms, error);
    return err == WEIR_OK ? tell(aggregation->operation, context, &gone, error) : err;
}

/* Puts what the sessions and the record have become. */
static enum weir_err put_session(const struct aggregation *aggregation,
                                 struct weir_context *context, const struct weir_record *record,
                                 struct weir_slice key, struct weir_record *merged,
                                 struct weir_error *error)
{
    const struct operation *operation = aggregation->operation;
    struct weir_slice bytes;
    enum weir_err err = take_in(operation, context, record, &merged->value, error);
    if (err == WEIR_OK)
        err =
            typed_bytes(context, operation->value, operation->store, &merged->value, &bytes, error);
    if (err == WEIR_OK)
        err = weir_session_put(aggregation->store, key, bytes, merged->window.start_ms,
                               merged->window.end_ms, record->timestamp_ms, error);
    merged->timestamp_ms = merged->window.end_ms;
    return err == WEIR_OK ? tell(operation, context, merged, error) : err;
}

static enum weir_err aggregate_sessions(void *self, struct weir_context *context,
                                        const struct weir_record *record, struct weir_error *error)
{
    struct aggregation *aggregation = self;
    const struct operation *operation = aggregation->operation;
    int64_t at_ms = record->timestamp_ms;
    struct weir_record merged = *record;
    struct session *sessions = NULL;
    struct weir_slice key;
    if (is_left_out(record) || at_ms < 0)
        return WEIR_OK;
    if (at_ms > aggregation->stream_time_ms)
        aggregation->stream_time_ms = at_ms;
    int64_t closed_ms =
        aggregation->stream_time_ms - operation->windows.grace_ms - operation->windows.size_ms;
    merged.value = operation->is_reduce ? weir_value_null() : operation->initial;
    merged.window = (struct weir_window){WEIR_SESSION_WINDOW, at_ms, at_ms};
    enum weir_err err =
        typed_bytes(context, operation->key, operation->store, &record->key, &key, error);
    if (err == WEIR_OK)
        err = find_sessions(aggregation, context, record, key, &sessions, error);
    for (const struct session *at = sessions; at && err == WEIR_OK; at = at->next)
        err = merge(operation, context, at, &merged, error);
    if (err == WEIR_OK && merged.window.end_ms < closed_ms) {
        count_up(&context->task->thread->streams->counters.dropped, 1);
        return WEIR_OK;
    }
    bool grows = merged.window.start_ms != at_ms || merged.window.end_ms != at_ms;
    for (const struct session *at = sessions; at && grows && err == WEIR_OK; at = at->next)
        err = remove_session(aggregation, context, record, key, at, error);
    return err == WEIR_OK ? put_session(aggregation, context, record, key, &merged, error) : err;
}

#define OPS(function)                                                                              \
    {                                                                                              \
        .abi = WEIR_PROCESSOR_ABI, .init = aggregate_init, .process = (function),                  \
        .close = aggregate_close                                                                   \
    }
static const struct weir_processor_ops aggregate_ops = OPS(aggregate),
                                       windows_ops = OPS(aggregate_windows),
                                       sessions_ops = OPS(aggregate_sessions);

/* ---- the operations -------------------------------------------------------------------------- */

static enum weir_err count_one(void *config, struct weir_context *context,
                               const struct weir_record *record, struct weir_value *aggregate,
                               struct weir_error *error)
{
    (void)config;
    (void)context;
    (void)record;
    (void)error;
    aggregate->integer++;
    return WEIR_OK;
}

static enum weir_err add_counts(void *config, struct weir_context *context,
                                const struct weir_value *key, struct weir_value *aggregate,
                                const struct weir_value *later, struct weir_error *error)
{
    (void)config;
    (void)context;
    (void)key;
    (void)error;
    aggregate->integer += later->integer;
    return WEIR_OK;
}

static const struct weir_processor_ops *ops_of(const struct windows *windows)
{
    if (!windows)
        return &aggregate_ops;
    return windows->kind == SESSIONS ? &sessions_ops : &windows_ops;
}

static void set_windows(struct weir_store_options *store, const struct windows *windows,
                        const struct weir_materialized *materialized)
{
    bool sessions = windows->kind == SESSIONS;
    store->kind = sessions ? WEIR_STORE_SESSION : WEIR_STORE_WINDOW;
    if (!sessions)
        store->window_size_ms = windows->size_ms;
    if (!materialized || materialized->retention_ms == 0)
        store->retention_ms = windows->size_ms + windows->grace_ms;
}

/* Adds the node with its store, behind a repartition topic where the keys have changed. */
static struct weir_table *add(const struct weir_grouped *grouped, const struct windows *windows,
                              struct operation *operation,
                              const struct weir_materialized *materialized, const char *prefix,
                              const char *name)
{
    struct weir_stream stream = grouped->stream;
    struct weir_builder *builder = stream.builder;
    struct weir_store_options store;
    dsl_materialize(builder, materialized, prefix, &store);
    if (windows) {
        operation->windows = *windows;
        set_windows(&store, windows, materialized);
    }
    if (materialized && materialized->key)
        stream.key = materialized->key;
    if (materialized && materialized->value)
        operation->value = materialized->value;
    operation->key = stream.key;
    operation->store = store.name;
    operation->is_cached = store.caching;
    const char *node = dsl_name_or(builder, name, prefix);
    if (stream.is_rekeyed)
        stream = *dsl_repartition(&stream, grouped->name ? grouped->name : store.name, 0);
    dsl_add(builder, node, ops_of(windows), operation, stream.node);
    dsl_add_store(builder, &store, node);
    struct weir_table *table = table_of(&stream, node, &store, stream.key, operation->value);
    table->has_store = true;
    if (windows) {
        table->windows = *windows;
        table->window_kind = windows->kind == SESSIONS ? WEIR_SESSION_WINDOW : WEIR_TIME_WINDOW;
    }
    return table;
}

static struct weir_table *count(const struct weir_grouped *grouped, const struct windows *windows,
                                const struct weir_materialized *materialized, const char *name)
{
    struct operation operation = {.needs_function = true,
                                  .aggregator = count_one,
                                  .merger = add_counts,
                                  .initial = weir_value_integer(0),
                                  .value = &weir_serde_int64};
    if (materialized && !materialized->name) /* Kafka Streams uses up one more here */
        (void)dsl_name(grouped->stream.builder, "");
    return add(grouped, windows, &operation, materialized, "KSTREAM-AGGREGATE-", name);
}

static struct weir_table *reduce(const struct weir_grouped *grouped, const struct windows *windows,
                                 weir_aggregator *reducer, void *config,
                                 const struct weir_materialized *materialized, const char *name)
{
    struct operation operation = {.needs_function = true,
                                  .aggregator = reducer,
                                  .config = config,
                                  .is_reduce = true,
                                  .value = grouped->stream.value};
    return add(grouped, windows, &operation, materialized, "KSTREAM-REDUCE-", name);
}

struct weir_table *weir_grouped_count(struct weir_grouped *grouped,
                                      const struct weir_materialized *materialized,
                                      const char *name)
{
    return count(grouped, NULL, materialized, name);
}

struct weir_table *weir_grouped_reduce(struct weir_grouped *grouped, weir_aggregator *reducer,
                                       void *config, const struct weir_materialized *materialized,
                                       const char *name)
{
    return reduce(grouped, NULL, reducer, config, materialized, name);
}

struct weir_table *weir_grouped_aggregate(struct weir_grouped *grouped, struct weir_value initial,
                                          weir_aggregator *aggregator, void *config,
                                          const struct weir_materialized *materialized,
                                          const char *name)
{
    struct operation operation = {
        .needs_function = true, .aggregator = aggregator, .config = config, .initial = initial};
    return add(grouped, NULL, &operation, materialized, "KSTREAM-AGGREGATE-", name);
}

static struct weir_windowed *windowed(struct weir_grouped *grouped, enum window_kind kind,
                                      int64_t size_ms, int64_t advance_ms, int64_t grace_ms)
{
    struct weir_builder *builder = grouped->stream.builder;
    struct weir_windowed *made = dsl_alloc(builder, sizeof *made);
    if (size_ms < 1 || advance_ms < 1 || advance_ms > size_ms || grace_ms < 0)
        dsl_fault(
            builder, WEIR_INVALID,
            "windows of %lld ms, every %lld ms, with %lld ms of grace: the size is 1 or more, "
            "they begin at least as often, and grace is not negative",
            (long long)size_ms, (long long)advance_ms, (long long)grace_ms);
    if (!made)
        return &builder->no_windowed;
    *made = (struct weir_windowed){
        .grouped = grouped,
        .windows = {
            .kind = kind, .size_ms = size_ms, .advance_ms = advance_ms, .grace_ms = grace_ms}};
    return made;
}

struct weir_windowed *weir_grouped_windowed_by(struct weir_grouped *grouped, int64_t size_ms,
                                               int64_t advance_ms, int64_t grace_ms)
{
    return windowed(grouped, TUMBLING_OR_HOPPING, size_ms, advance_ms ? advance_ms : size_ms,
                    grace_ms);
}

struct weir_windowed *weir_grouped_sessions(struct weir_grouped *grouped, int64_t gap_ms,
                                            int64_t grace_ms)
{
    return windowed(grouped, SESSIONS, gap_ms, gap_ms, grace_ms);
}

struct weir_table *weir_windowed_count(struct weir_windowed *windowed,
                                       const struct weir_materialized *materialized,
                                       const char *name)
{
    return count(windowed->grouped, &windowed->windows, materialized, name);
}

struct weir_table *weir_windowed_reduce(struct weir_windowed *windowed, weir_aggregator *reducer,
                                        void *config, const struct weir_materialized *materialized,
                                        const char *name)
{
    return reduce(windowed->grouped, &windowed->windows, reducer, config, materialized, name);
}

struct weir_table *weir_windowed_aggregate(struct weir_windowed *windowed,
                                           struct weir_value initial, weir_aggregator *aggregator,
                                           weir_merger *merger, void *config,
                                           const struct weir_materialized *materialized,
                                           const char *name)
{
    struct operation operation = {.needs_function = true,
                                  .aggregator = aggregator,
                                  .merger = merger,
                                  .config = config,
                                  .initial = initial};
    if (windowed->windows.kind == SESSIONS && !merger)
        dsl_fault(windowed->grouped->stream.builder, WEIR_INVALID,
                  "sessions need a merger, for they grow together");
    return add(windowed->grouped, &windowed->windows, &operation, materialized,
               "KSTREAM-AGGREGATE-", name);
}
