/*
 * Topologies that java/streams/Peer has, too: what weir-streams makes of them.
 *
 * usage: streams_peer describe                  all of them, as text
 *        streams_peer run ADDRESS DIR [NAME...]   to the end of the input, all at a time
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <weir/streams_dsl.h>

enum { TEXT_BYTES = 1 << 16, MOMENT_NS = 50 * 1000000, TRIES = 2400, QUIET = 24, ADMIN_MS = 10000 };

static const struct weir_with text = {.key = &weir_serde_string, .value = &weir_serde_string};

static void stop_if(bool failed, const char *why)
{
    if (!failed)
        return;
    fprintf(stderr, "streams_peer: %s\n", why);
    exit(1);
}

/* The topics that are written: of each topology its own when it runs. */
static char prefix[64];

static const char *out(const char *topic)
{
    static char whole[128];
    snprintf(whole, sizeof whole, "%s%s", prefix, topic);
    return whole;
}

/* ---- functions ------------------------------------------------------------------------------- */

static struct weir_value joined(struct weir_context *context, struct weir_value one,
                                struct weir_value other)
{
    static const struct weir_slice missing = {"?", 1};
    struct weir_slice a = one.type == WEIR_VALUE_BYTES ? one.bytes : missing;
    struct weir_slice b = other.type == WEIR_VALUE_BYTES ? other.bytes : missing;
    char *bytes = weir_context_alloc(context, a.bytes + b.bytes);
    if (a.bytes > 0)
        memcpy(bytes, a.data, a.bytes);
    if (b.bytes > 0)
        memcpy(bytes + a.bytes, b.data, b.bytes);
    return weir_value_bytes(weir_slice(bytes, a.bytes + b.bytes));
}

static enum weir_err join(void *config, struct weir_context *context,
                          const struct weir_record *record, const struct weir_value *other,
                          struct weir_value *joined_out, struct weir_error *error)
{
    (void)config;
    (void)error;
    *joined_out = joined(context, record->value, *other);
    return WEIR_OK;
}

static enum weir_err concatenate(void *config, struct weir_context *context,
                                 const struct weir_record *record, struct weir_value *aggregate,
                                 struct weir_error *error)
{
    (void)config;
    (void)error;
    *aggregate = joined(context, *aggregate, record->value);
    return WEIR_OK;
}

static enum weir_err merge(void *config, struct weir_context *context, const struct weir_value *key,
                           struct weir_value *aggregate, const struct weir_value *later,
                           struct weir_error *error)
{
    (void)config;
    (void)key;
    (void)error;
    *aggregate = joined(context, *aggregate, *later);
    return WEIR_OK;
}

static enum weir_err words(void *config, struct weir_context *context,
                           const struct weir_record *line, struct weir_error *error)
{
    const char *at = line->value.bytes.data, *end = at + line->value.bytes.bytes;
    enum weir_err err = WEIR_OK;
    (void)config;
    while (at < end && err == WEIR_OK) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        struct weir_slice word = weir_slice(at, (size_t)((space ? space : end) - at));
        err = weir_context_forward_value(context, weir_value_bytes(word), error);
        at += word.bytes + 1;
    }
    return err;
}

static enum weir_err value_as_key(void *config, struct weir_context *context,
                                  struct weir_record *record, struct weir_error *error)
{
    (void)config;
    (void)context;
    (void)error;
    record->key = record->value;
    return WEIR_OK;
}

static enum weir_err first_letter_as_key(void *config, struct weir_context *context,
                                         struct weir_record *record, struct weir_error *error)
{
    (void)value_as_key(config, context, record, error);
    record->key.bytes.bytes = 1;
    return WEIR_OK;
}

static enum weir_err append(void *config, struct weir_context *context, struct weir_record *record,
                            struct weir_error *error)
{
    (void)error;
    record->value =
        joined(context, record->value, weir_value_bytes(weir_slice(config, strlen(config))));
    return WEIR_OK;
}

static enum weir_err nothing(void *config, struct weir_context *context,
                             const struct weir_record *record, struct weir_error *error)
{
    (void)config;
    (void)context;
    (void)record;
    (void)error;
    return WEIR_OK;
}

static bool begins_with(void *config, const struct weir_record *record)
{
    return record->value.bytes.bytes > 0 &&
           *(const char *)record->value.bytes.data == *(const char *)config;
}

static bool begins_with_another(void *config, const struct weir_record *record)
{
    return !begins_with(config, record);
}

static bool has_value(void *config, const struct weir_record *record)
{
    (void)config;
    return record->value.type != WEIR_VALUE_NULL;
}

/* Configs are not const, but these are only read. */
static char a[] = "a", b[] = "b", star[] = "*", prime[] = "'";

/* ---- topologies ------------------------------------------------------------------------------ */

static const struct weir_materialized *uncached(const char *name, const struct weir_serde *value)
{
    static struct weir_materialized materialized;
    weir_materialized_default(&materialized);
    materialized.name = name;
    materialized.key = &weir_serde_string;
    materialized.value = value;
    materialized.caching = false;
    return &materialized;
}

static void to_out(struct weir_table *table)
{
    weir_stream_to(weir_table_to_stream(table, NULL), out("out"), NULL);
}

static void count_words(struct weir_builder *builder, bool named)
{
    const struct weir_with by_word = {
        .key = &weir_serde_string, .value = &weir_serde_string, .name = named ? "by-word" : NULL};
    struct weir_stream *lines = weir_builder_stream(builder, "in", &text);
    struct weir_stream *split = weir_stream_flat_map_values(lines, words, NULL, NULL);
    to_out(weir_grouped_count(weir_stream_group_by(split, value_as_key, NULL, &by_word),
                              uncached(named ? "counts" : NULL, NULL), NULL));
}

static struct weir_grouped *grouped(struct weir_builder *builder)
{
    return weir_stream_group_by_key(weir_builder_stream(builder, "in", &text), &text);
}

static struct weir_table *tumbling(struct weir_builder *builder)
{
    return weir_windowed_count(weir_grouped_windowed_by(grouped(builder), 1000, 0, 300),
                               uncached("counts", NULL), NULL);
}

static void sessions(struct weir_builder *builder)
{
    to_out(weir_windowed_aggregate(weir_grouped_sessions(grouped(builder), 300, 200),
                                   weir_value_bytes(weir_slice("", 0)), concatenate, merge, NULL,
                                   uncached(NULL, &weir_serde_string), NULL));
}

static void join_table(struct weir_builder *builder)
{
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text);
    struct weir_table *table = weir_builder_table(builder, "other", &text, uncached(NULL, NULL));
    table = weir_table_map_values(table, append, prime, NULL);
    table = weir_table_filter(table, begins_with_another, b, NULL);
    weir_stream_to(weir_stream_join_table(stream, table, false, join, NULL, NULL), out("out"),
                   &text);
    weir_stream_to(weir_stream_join_table(stream, table, true, join, NULL, NULL), out("left"),
                   &text);
}

static void repartition(struct weir_builder *builder)
{
    const struct weir_with single = {
        .key = &weir_serde_string, .value = &weir_serde_string, .partitions = 1};
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text);
    stream = weir_stream_filter(stream, has_value, NULL, NULL);
    stream = weir_stream_map(stream, first_letter_as_key, NULL, NULL);
    struct weir_table *table = weir_builder_table(builder, "other", &text, uncached(NULL, NULL));
    stream = weir_stream_join_table(stream, table, false, join, NULL, NULL);
    stream = weir_stream_peek(stream, nothing, NULL, NULL);
    stream = weir_stream_select_key(stream, value_as_key, NULL, NULL);
    weir_stream_to(weir_stream_repartition(stream, &single), out("out"), &text);
}

static void join_global(struct weir_builder *builder)
{
    struct weir_global_table *table = weir_builder_global_table(builder, "other", &text, NULL);
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text);
    stream = weir_stream_join_global_table(stream, table, value_as_key, true, join, NULL, NULL);
    weir_stream_to(stream, out("out"), &text);
}

static void join_streams(struct weir_builder *builder, enum weir_join kind)
{
    struct weir_stream *one = weir_builder_stream(builder, "in", &text);
    struct weir_stream *other = weir_builder_stream(builder, "other", &text);
    weir_stream_to(weir_stream_join(one, other, kind, 1000, 300, join, NULL, NULL), out("out"),
                   &text);
}

static void branch(struct weir_builder *builder)
{
    struct weir_branch branches[] = {{.predicate = begins_with, .config = a},
                                     {.predicate = begins_with, .config = b},
                                     {.predicate = NULL}};
    weir_stream_split(weir_builder_stream(builder, "in", &text), branches, 3, NULL);
    struct weir_stream *marked = weir_stream_map_values(branches[1].stream, append, star, NULL);
    weir_stream_to(weir_stream_merge(branches[0].stream, marked, NULL), out("out"), &text);
    weir_stream_to(branches[2].stream, out("left"), &text);
}

static void limit(struct weir_builder *builder)
{
    struct weir_table *table = weir_builder_table(builder, "in", &text, uncached(NULL, NULL));
    table = weir_stream_to_table(weir_table_to_stream(table, NULL), uncached(NULL, NULL), NULL);
    to_out(weir_table_suppress_until_time_limit(table, 1000, NULL));
}

static const char *const names[] = {"words", "named",         "tumbling",   "hopping", "sessions",
                                    "table", "repartitioned", "global",     "inner",   "left",
                                    "outer", "branches",      "suppressed", "limited"};

enum { COUNT = sizeof names / sizeof names[0] };

static void make(struct weir_builder *builder, const char *name)
{
    if (strcmp(name, "words") == 0 || strcmp(name, "named") == 0)
        count_words(builder, name[0] == 'n');
    else if (strcmp(name, "tumbling") == 0)
        to_out(tumbling(builder));
    else if (strcmp(name, "hopping") == 0)
        to_out(weir_windowed_reduce(weir_grouped_windowed_by(grouped(builder), 1000, 400, 0),
                                    concatenate, NULL, uncached(NULL, NULL), NULL));
    else if (strcmp(name, "sessions") == 0)
        sessions(builder);
    else if (strcmp(name, "table") == 0)
        join_table(builder);
    else if (strcmp(name, "repartitioned") == 0)
        repartition(builder);
    else if (strcmp(name, "global") == 0)
        join_global(builder);
    else if (strcmp(name, "inner") == 0)
        join_streams(builder, WEIR_INNER_JOIN);
    else if (strcmp(name, "left") == 0)
        join_streams(builder, WEIR_LEFT_JOIN);
    else if (strcmp(name, "outer") == 0)
        join_streams(builder, WEIR_OUTER_JOIN);
    else if (strcmp(name, "branches") == 0)
        branch(builder);
    else if (strcmp(name, "suppressed") == 0)
        to_out(weir_table_suppress_until_window_closes(tumbling(builder), NULL));
    else if (strcmp(name, "limited") == 0)
        limit(builder);
    else
        stop_if(true, "there is no topology of that name");
}

static struct weir_topology *topology(const char *name, const struct weir_store_engine *engine)
{
    struct weir_builder *builder = weir_builder_new();
    struct weir_topology *made = NULL;
    struct weir_error error;
    stop_if(builder == NULL, "no memory");
    weir_builder_set_engine(builder, engine);
    make(builder, name);
    stop_if(weir_builder_build(builder, &made, &error) != WEIR_OK, error.message);
    return made;
}

/* ---- the program ----------------------------------------------------------------------------- */

static void describe(void)
{
    static char description[TEXT_BYTES];
    for (size_t i = 0; i < COUNT; i++) {
        struct weir_topology *made = topology(names[i], weir_store_in_memory());
        (void)weir_topology_describe(made, description, sizeof description);
        printf("== %s\n%s", names[i], description);
        weir_topology_free(made);
    }
}

static bool is_done(const struct weir_streams *streams)
{
    struct weir_streams_stats stats;
    struct weir_error error;
    weir_streams_failure(streams, &error);
    stop_if(error.code != WEIR_OK, error.message);
    weir_streams_stats(streams, &stats);
    return stats.records_consumed > 0 && stats.lag_records == 0;
}

static struct weir_streams *start(struct weir_kafka *kafka, const char *dir, const char *name)
{
    struct weir_streams_options settings;
    struct weir_streams *streams;
    struct weir_error error;
    weir_streams_options_default(&settings);
    settings.application_id = name;
    settings.state_dir = dir;
    settings.linger_ms = 5;
    settings.commit_interval_ms = 100;
    stop_if(weir_streams_new(topology(name, weir_store_persistent()), kafka, &settings, &streams,
                             &error) != WEIR_OK,
            error.message);
    stop_if(weir_streams_start(streams, &error) != WEIR_OK, error.message);
    return streams;
}

static void make_topic(struct weir_kafka *kafka, const char *name)
{
    const struct weir_kafka_topic topic = {.name = name, .partitions = 1, .replication = -1};
    struct weir_error error;
    stop_if(weir_kafka_topics_create(kafka, &topic, 1, ADMIN_MS, NULL, &error) != WEIR_OK,
            error.message);
}

/* All at a time, until nothing has been left to read for a while. */
static void run(const char *address, const char *dir, const char *const *chosen, int count)
{
    const struct timespec moment = {.tv_nsec = MOMENT_NS};
    struct weir_streams *streams[COUNT];
    struct weir_kafka_options options;
    struct weir_kafka *kafka;
    struct weir_error error;
    int done = 0;
    stop_if(count > COUNT, "there are not so many topologies");
    weir_kafka_options_default(&options);
    options.bootstrap_servers = address;
    stop_if(weir_kafka_new(&options, &kafka, &error) != WEIR_OK, error.message);
    for (int i = 0; i < count; i++) {
        snprintf(prefix, sizeof prefix, "%s-", chosen[i]);
        make_topic(kafka, out("out"));
        make_topic(kafka, out("left"));
        streams[i] = start(kafka, dir, chosen[i]);
    }
    for (int i = 0; i < TRIES && done < QUIET; i++) {
        bool all = true;
        nanosleep(&moment, NULL);
        for (int k = 0; k < count; k++)
            all &= is_done(streams[k]);
        done = all ? done + 1 : 0;
    }
    stop_if(done < QUIET, "not all get to the end");
    for (int i = 0; i < count; i++) {
        stop_if(weir_streams_stop(streams[i]) != WEIR_OK, "one did not stop in order");
        weir_streams_free(streams[i]);
    }
    weir_kafka_free(kafka);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "describe") == 0)
        describe();
    else if (argc > 4 && strcmp(argv[1], "run") == 0)
        run(argv[2], argv[3], (const char *const *)(argv + 4), argc - 4);
    else if (argc == 4 && strcmp(argv[1], "run") == 0)
        run(argv[2], argv[3], names, COUNT);
    else
        stop_if(true, "usage: describe | run ADDRESS DIR [NAME...]");
    return 0;
}
