/*
 * Two streams, joined where records of one key are within a time of each other. See dsl.h.
 *
 *      one   -> [windowed: keeps it] -> [join: looks at the other's] --+--> merge
 *      other -> [windowed: keeps it] -> [join: looks at one's] --------+
 *
 * Left and outer joins tell of a record that has found nothing when its window has closed, grace
 * included; until then it waits in a store that both sides share, in the order of time:
 *
 *      timestamp 8 | side 1 | key      ->  value
 */
#include <endian.h>
#include <stdio.h>

#include "base/alloc.h"
#include "streams/dsl/dsl.h"

enum { WAITING_PREFIX_BYTES = 9, THIS_SIDE = 0, OTHER_SIDE = 1 };

/* One of the two. */
struct side {
    struct operation operation;
    const struct side *other;
    const char *waiting; /* the shared store; NULL: an inner join */
    int64_t within_ms, grace_ms;
    uint8_t number;
    bool waits; /* what finds nothing is told of */
};

/* Time as both sides of a task see it. */
struct join_time {
    int64_t stream_time_ms;
    uint32_t users;
};

/* A side in a task. */
struct joining {
    const struct side *side;
    struct join_time *time;
};

static struct join_time *time_of_other(const struct side *side, const struct weir_context *context)
{
    const struct task *task = context->task;
    const struct weir_topology *topology = task->thread->streams->topology;
    for (uint32_t i = 0; i < topology->node_count; i++)
        if (topology->nodes[i].config == side->other && task->contexts[i].open)
            return ((const struct joining *)task->contexts[i].self)->time;
    return NULL;
}

static enum weir_err join_init(void *config, struct weir_context *context, void **self_out,
                               struct weir_error *error)
{
    struct joining *joining = weir_calloc(1, sizeof *joining);
    struct join_time *time = joining ? time_of_other(config, context) : NULL;
    if (joining && !time) {
        time = weir_calloc(1, sizeof *time);
        if (time)
            time->stream_time_ms = -1;
    }
    if (!time) {
        weir_free(joining);
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a join");
    }
    time->users++;
    *joining = (struct joining){.side = config, .time = time};
    *self_out = joining;
    return WEIR_OK;
}

static void join_close(void *self, struct weir_context *context)
{
    struct joining *joining = self;
    (void)context;
    if (--joining->time->users == 0)
        weir_free(joining->time);
    weir_free(joining);
}

/* ---- windowed: keeping ----------------------------------------------------------------------- */

static enum weir_err keep(void *self, struct weir_context *context,
                          const struct weir_record *record, struct weir_error *error)
{
    const struct operation *operation = self;
    struct weir_slice key, value;
    enum weir_err err = weir_context_forward_record(context, record, error);
    if (err != WEIR_OK || weir_value_is_null(record->key) || record->timestamp_ms < 0)
        return err;
    err = typed_bytes(context, operation->key, operation->store, &record->key, &key, error);
    if (err == WEIR_OK)
        err =
            typed_bytes(context, operation->value, operation->store, &record->value, &value, error);
    return err == WEIR_OK
               ? weir_window_put(weir_context_store(context, operation->store), key, value,
                                 record->timestamp_ms, record->timestamp_ms, error)
               : err;
}

/* ---- joining --------------------------------------------------------------------------------- */

/* Whichever side has the record: the joiner gets the first stream's first. */
static enum weir_err join(const struct side *side, struct weir_context *context,
                          const struct weir_record *record, const struct weir_value *other,
                          int64_t timestamp_ms, struct weir_error *error)
{
    const struct operation *operation = &side->operation;
    struct weir_record one = *record, joined = *record;
    if (side->number == OTHER_SIDE)
        one.value = *other;
    enum weir_err err = operation->joiner(operation->config, context, &one,
                                          side->number == OTHER_SIDE ? &record->value : other,
                                          &joined.value, error);
    joined.timestamp_ms = timestamp_ms;
    return err == WEIR_OK ? weir_context_forward_record(context, &joined, error) : err;
}

static enum weir_err waiting_key(struct weir_context *context, int64_t timestamp_ms, uint8_t side,
                                 struct weir_slice key, struct weir_slice *out,
                                 struct weir_error *error)
{
    uint8_t *bytes = weir_context_alloc(context, WAITING_PREFIX_BYTES + key.bytes);
    if (!bytes)
        return weir_error_set(error, WEIR_NOMEM, -1, "no memory for a key");
    store_put64(bytes, timestamp_ms);
    bytes[8] = side;
    memcpy(bytes + WAITING_PREFIX_BYTES, key.data, key.bytes);
    *out = weir_slice(bytes, WAITING_PREFIX_BYTES + key.bytes);
    return WEIR_OK;
}

/* A record that waits has found one: it is not told of alone any more. */
static enum weir_err found(const struct side *side, struct weir_context *context,
                           struct weir_slice key, int64_t other_ms, struct weir_error *error)
{
    struct weir_store *waiting = weir_context_store(context, side->waiting);
    const struct weir_slice nothing = {0};
    struct weir_stamped there;
    struct weir_slice bytes;
    enum weir_err err = waiting_key(context, other_ms, side->other->number, key, &bytes, error);
    if (err == WEIR_OK)
        err = weir_key_value_get(waiting, bytes, &there, error);
    if (err != WEIR_OK)
        return err == WEIR_NOT_FOUND ? WEIR_OK : err;
    return weir_key_value_put(waiting, bytes, nothing, other_ms, error);
}

static enum weir_err join_all(const struct side *side, struct weir_context *context,
                              const struct weir_record *record, struct weir_slice key,
                              uint32_t *count, struct weir_error *error)
{
    const struct operation *theirs = &side->other->operation;
    struct weir_store *store = weir_context_store(context, theirs->store);
    int64_t at_ms = record->timestamp_ms;
    int64_t from_ms = at_ms > side->within_ms ? at_ms - side->within_ms : 0;
    struct weir_store_iterator *walk;
    struct weir_store_entry entry;
    struct weir_value other;
    enum weir_err err =
        weir_window_fetch(store, key, from_ms, at_ms + side->within_ms, false, &walk, error);
    if (err != WEIR_OK)
        return err;
    while ((err = weir_store_iterator_next(walk, &entry, error)) == WEIR_OK) {
        int64_t other_ms = entry.start_ms;
        err = typed_value(context, theirs->value, theirs->store, entry.value, &other, error);
        if (err == WEIR_OK && side->other->waits)
            err = found(side, context, key, other_ms, error);
        if (err == WEIR_OK)
            err = join(side, context, record, &other, other_ms > at_ms ? other_ms : at_ms, error);
        if (err != WEIR_OK)
            break;
        ++*count;
    }
    weir_store_iterator_free(walk);
    return err == WEIR_END ? WEIR_OK : err;
}

/* ---- those that have found nothing ----------------------------------------------------------- */

static enum weir_err tell_one(const struct side *side, struct weir_context *context,
                              const struct weir_store_entry *entry, struct weir_error *error)
{
    const uint8_t *bytes = entry->key.data;
    const struct side *whose = bytes[8] == side->number ? side : side->other;
    const struct weir_value nothing = weir_value_null();
    struct weir_record record = {.timestamp_ms = store_get64(bytes)};
    enum weir_err err = typed_value(
        context, whose->operation.key, side->waiting,
        weir_slice(bytes + WAITING_PREFIX_BYTES, entry->key.bytes - WAITING_PREFIX_BYTES),
        &record.key, error);
    if (err == WEIR_OK)
        err = typed_value(context, whose->operation.value, side->waiting, entry->value,
                          &record.value, error);
    return err == WEIR_OK ? join(whose, context, &record, &nothing, record.timestamp_ms, error)
                          : err;
}

static enum weir_err tell_closed(const struct joining *joining, struct weir_context *context,
                                 struct weir_error *error)
{
    const struct side *side = joining->side;
    struct weir_store *waiting = weir_context_store(context, side->waiting);
    const struct weir_slice all = {0};
    int64_t closed_ms = joining->time->stream_time_ms - side->within_ms - side->grace_ms;
    struct weir_store_iterator *walk;
    struct weir_store_entry entry;
    struct weir_slice key = {0};
    enum weir_err err = weir_key_value_range(waiting, all, all, false, &walk, error);
    if (err != WEIR_OK)
        return err;
    while ((err = weir_store_iterator_next(walk, &entry, error)) == WEIR_OK) {
        if (entry.key.bytes < WAITING_PREFIX_BYTES || store_get64(entry.key.data) >= closed_ms)
            break;
        void *copy = weir_context_alloc(context, entry.key.bytes);
        if (!copy) {
            err = weir_error_set(error, WEIR_NOMEM, -1, "no memory for a key");
            break;
        }
        memcpy(copy, entry.key.data, entry.key.bytes);
        key = weir_slice(copy, entry.key.bytes);
        entry.key = key;
        err = tell_one(side, context, &entry, error);
        if (err == WEIR_OK)
            err = weir_key_value_put(waiting, key, all, store_get64(copy), error);
        if (err != WEIR_OK)
            break;
    }
    weir_store_iterator_free(walk);
    return err == WEIR_END ? WEIR_OK : err;
}

static enum weir_err wait(const struct joining *joining, struct weir_context *context,
                          const struct weir_record *record, struct weir_slice key,
                          struct weir_error *error)
{
    const struct side *side = joining->side;
    const struct operation *operation = &side->operation;
    const struct weir_value nothing = weir_value_null();
    struct weir_slice bytes, value;
    if (record->timestamp_ms + side->within_ms + side->grace_ms < joining->time->stream_time_ms)
        return join(side, context, record, &nothing, record->timestamp_ms, error);
    enum weir_err err =
        waiting_key(context, record->timestamp_ms, side->number, key, &bytes, error);
    if (err == WEIR_OK)
        err = typed_bytes(context, operation->value, side->waiting, &record->value, &value, error);
    return err == WEIR_OK ? weir_key_value_put(weir_context_store(context, side->waiting), bytes,
                                               value, record->timestamp_ms, error)
                          : err;
}

static enum weir_err process(void *self, struct weir_context *context,
                             const struct weir_record *record, struct weir_error *error)
{
    const struct joining *joining = self;
    const struct side *side = joining->side;
    const struct weir_value nothing = weir_value_null();
    struct weir_slice key;
    uint32_t count = 0;
    if (record->timestamp_ms > joining->time->stream_time_ms)
        joining->time->stream_time_ms = record->timestamp_ms;
    if (weir_value_is_null(record->value) || record->timestamp_ms < 0)
        return WEIR_OK;
    if (weir_value_is_null(record->key))
        return side->waits ? join(side, context, record, &nothing, record->timestamp_ms, error)
                           : WEIR_OK;
    enum weir_err err = side->waiting ? tell_closed(joining, context, error) : WEIR_OK;
    if (err == WEIR_OK)
        err = typed_bytes(context, side->operation.key, side->operation.store, &record->key, &key,
                          error);
    if (err == WEIR_OK)
        err = join_all(side, context, record, key, &count, error);
    return err == WEIR_OK && side->waits && count == 0 ? wait(joining, context, record, key, error)
                                                       : err;
}

static enum weir_err pass(void *self, struct weir_context *context,
                          const struct weir_record *record, struct weir_error *error)
{
    (void)self;
    return weir_context_forward_record(context, record, error);
}

static const struct weir_processor_ops keep_ops = {
    .abi = WEIR_PROCESSOR_ABI, .init = dsl_init, .process = keep};
static const struct weir_processor_ops join_ops = {
    .abi = WEIR_PROCESSOR_ABI, .init = join_init, .process = process, .close = join_close};
static const struct weir_processor_ops merge_ops = {
    .abi = WEIR_PROCESSOR_ABI, .init = dsl_init, .process = pass};

/* ---- the operation --------------------------------------------------------------------------- */

static const char *store_of(struct weir_builder *builder, const char *node)
{
    return dsl_append(builder, node, "-store");
}

static void add_window_store(struct weir_builder *builder, const struct side *side,
                             const char *keeper, const char *joiner)
{
    struct weir_store_options options;
    weir_store_options_default(&options);
    options.name = side->operation.store;
    options.kind = WEIR_STORE_WINDOW;
    options.engine = builder->engine;
    options.window_size_ms = 2 * side->within_ms;
    options.retention_ms = 2 * side->within_ms + side->grace_ms;
    options.retention_ms = options.retention_ms > 0 ? options.retention_ms : 1;
    options.retain_duplicates = true;
    dsl_add_store(builder, &options, keeper);
    if (!dsl_failed(builder))
        (void)!weir_topology_connect_store(builder->topology, options.name, joiner,
                                           &builder->error);
}

static void add_join(struct weir_builder *builder, struct side *side, const char *node,
                     const char *parent)
{
    if (!dsl_failed(builder))
        (void)!weir_topology_add_processor(builder->topology, node, &join_ops, side, &parent, 1,
                                           &builder->error);
}

static void add_waiting_store(struct weir_builder *builder, const char *name, const char *one,
                              const char *other)
{
    struct weir_store_options options;
    weir_store_options_default(&options);
    options.name = name;
    options.kind = WEIR_STORE_KEY_VALUE;
    options.engine = builder->engine;
    dsl_add_store(builder, &options, one);
    if (!dsl_failed(builder))
        (void)!weir_topology_connect_store(builder->topology, name, other, &builder->error);
}

struct names {
    const char *windowed[2], *join[2], *merge, *waiting;
};

static void make_names(struct weir_builder *builder, const char *name, enum weir_join join,
                       struct names *out)
{
    const char *suffix[2] = {join == WEIR_OUTER_JOIN ? "-outer-this-join" : "-this-join",
                             join == WEIR_INNER_JOIN ? "-other-join" : "-outer-other-join"};
    const char *prefix[2] = {join == WEIR_OUTER_JOIN ? "KSTREAM-OUTERTHIS-" : "KSTREAM-JOINTHIS-",
                             join == WEIR_INNER_JOIN ? "KSTREAM-JOINOTHER-"
                                                     : "KSTREAM-OUTEROTHER-"};
    out->windowed[0] = dsl_name_suffixed(builder, name, "-this-windowed", "KSTREAM-WINDOWED-");
    out->windowed[1] = dsl_name_suffixed(builder, name, "-other-windowed", "KSTREAM-WINDOWED-");
    const char *made[2] = {dsl_name(builder, prefix[0]), dsl_name(builder, prefix[1])};
    for (int i = 0; i < 2; i++)
        out->join[i] = name ? dsl_append(builder, name, suffix[i]) : made[i];
    out->merge = dsl_name_suffixed(builder, name, "-merge", "KSTREAM-MERGE-");
    out->waiting = NULL;
    if (join == WEIR_INNER_JOIN)
        return;
    const char *number = made[0] + strlen(prefix[0]); /* the first join's */
    out->waiting = name ? dsl_append(builder, name,
                                     join == WEIR_OUTER_JOIN ? "-outer-shared-join-store"
                                                             : "-left-shared-join-store")
                        : store_of(builder, dsl_append(builder, "KSTREAM-OUTERSHARED-", number));
}

struct weir_stream *weir_stream_join(struct weir_stream *stream, struct weir_stream *other,
                                     enum weir_join join, int64_t within_ms, int64_t grace_ms,
                                     weir_joiner *joiner, void *config, const char *name)
{
    static const struct operation nothing;
    struct weir_builder *builder = stream->builder;
    struct side *sides = dsl_alloc(builder, 2 * sizeof *sides);
    struct weir_stream both[2] = {*stream, *other};
    struct names names;
    if (!joiner)
        dsl_fault(builder, WEIR_INVALID, "a join needs a joiner");
    if (within_ms < 0 || grace_ms < 0)
        dsl_fault(builder, WEIR_INVALID,
                  "a join within %lld ms, with %lld ms of grace: neither "
                  "is negative",
                  (long long)within_ms, (long long)grace_ms);
    for (int i = 0; i < 2; i++)
        if (both[i].is_rekeyed)
            both[i] = *dsl_repartition(
                &both[i], name ? dsl_append(builder, name, i ? "-right" : "-left") : both[i].node,
                0);
    make_names(builder, name, join, &names);
    struct weir_stream *out = dsl_stream(&both[0], names.merge);
    if (dsl_failed(builder))
        return out;
    dsl_copartition(&both[0], &both[1]);
    for (uint8_t i = 0; i < 2; i++) {
        sides[i] =
            (struct side){.operation = {.joiner = joiner,
                                        .config = config,
                                        .store = store_of(builder, names.join[i]),
                                        .key = both[i].key,
                                        .value = both[i].value},
                          .other = &sides[1 - i],
                          .waiting = names.waiting,
                          .within_ms = within_ms,
                          .grace_ms = grace_ms,
                          .number = i,
                          .waits = i == 0 ? join != WEIR_INNER_JOIN : join == WEIR_OUTER_JOIN};
        dsl_add(builder, names.windowed[i], &keep_ops, &sides[i].operation, both[i].node);
    }
    for (int i = 0; i < 2; i++)
        add_join(builder, &sides[i], names.join[i], names.windowed[i]);
    if (!dsl_failed(builder))
        (void)!weir_topology_add_processor(builder->topology, names.merge, &merge_ops,
                                           (void *)(uintptr_t)&nothing, names.join, 2,
                                           &builder->error);
    for (int i = 0; i < 2; i++)
        add_window_store(builder, &sides[i], names.windowed[i], names.join[1 - i]);
    if (names.waiting)
        add_waiting_store(builder, names.waiting, names.join[0], names.join[1]);
    dsl_join_sources(out, &both[0], &both[1]);
    out->value = NULL;
    return out;
}
