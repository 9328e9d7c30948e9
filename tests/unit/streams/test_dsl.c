/* The DSL on the test driver: what each operation gives, in which order, with which names. */
#include <stdio.h>
#include <string.h>

#include <weir/streams_dsl.h>

#include "fixture.h"
#include "streams/dsl/dsl.h"

/* ---- driving --------------------------------------------------------------------------------- */

static const struct weir_with text_with = {.key = &weir_serde_string, .value = &weir_serde_string};

static struct weir_builder *begin(void)
{
    struct weir_builder *builder = weir_builder_new();
    assert_non_null(builder);
    return builder;
}

static struct weir_test_driver *drive(struct weir_builder *builder)
{
    struct weir_streams_options options;
    struct weir_topology *topology;
    struct weir_test_driver *driver;
    struct weir_error error;
    weir_streams_options_default(&options);
    options.application_id = "app";
    options.commit_interval_ms = 1000;
    if (weir_builder_build(builder, &topology, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    if (weir_test_driver_new(topology, &options, 0, 1, &driver, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return driver;
}

/* NULL key, NULL value: null. */
static void feed_on(struct weir_test_driver *driver, const char *topic, const char *key,
                    const char *value, int64_t timestamp_ms)
{
    const struct weir_kafka_record record = {.topic = topic,
                                             .timestamp_ms = timestamp_ms,
                                             .key = weir_slice(key, key ? strlen(key) : 0),
                                             .value = weir_slice(value, value ? strlen(value) : 0)};
    struct weir_error error;
    if (weir_test_driver_pipe(driver, &record, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

static void feed(struct weir_test_driver *driver, const char *key, const char *value,
                 int64_t timestamp_ms)
{
    feed_on(driver, "in", key, value, timestamp_ms);
}

static const char *text_of(struct weir_slice slice)
{
    static char texts[4][64];
    static int next;
    char *text = texts[next++ % 4];
    if (!slice.data)
        return "null";
    if (slice.bytes == 8 &&
        !memchr(" abcdefghijklmnopqrstuvwxyz", ((const char *)slice.data)[7], 27)) {
        uint64_t number = 0;
        for (int i = 0; i < 8; i++)
            number = number << 8 | ((const uint8_t *)slice.data)[i];
        snprintf(text, 64, "%llu", (unsigned long long)number);
        return text;
    }
    snprintf(text, 64, "%.*s", (int)slice.bytes, (const char *)slice.data);
    return text;
}

/* "key=value@time " of all that has come out since; windowed keys as "key[start]", sessions as
 * "key[end,start]". */
static const char *taken_from(struct weir_test_driver *driver, const char *topic, int times)
{
    static char text[1024];
    struct weir_kafka_batch out;
    size_t at = 0;
    text[0] = '\0';
    while (weir_test_driver_read(driver, topic, &out) == WEIR_OK)
        for (uint32_t row = 0; row < out.count; row++) {
            struct weir_slice key = out.rows.key[row];
            key.bytes -= (size_t)times * 8;
            at += (size_t)snprintf(text + at, sizeof text - at, "%s", text_of(key));
            for (int i = 0; i < times; i++)
                at += (size_t)snprintf(
                    text + at, sizeof text - at, "%s%s%s", i ? "," : "[",
                    text_of(weir_slice((const uint8_t *)key.data + key.bytes + 8 * i, 8)),
                    i == times - 1 ? "]" : "");
            at += (size_t)snprintf(text + at, sizeof text - at, "=%s@%lld ",
                                   text_of(out.rows.value[row]),
                                   (long long)out.rows.timestamp_ms[row]);
        }
    return text;
}

static const char *taken(struct weir_test_driver *driver)
{
    return taken_from(driver, "out", 0);
}

/* ---- functions ------------------------------------------------------------------------------- */

static enum weir_err split_words(void *config, struct weir_context *context,
                                 const struct weir_record *line, struct weir_error *error)
{
    const char *at = line->value.bytes.data, *end = at + line->value.bytes.bytes;
    enum weir_err err = WEIR_OK;
    (void)config;
    while (at < end && err == WEIR_OK) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        size_t bytes = (size_t)((space ? space : end) - at);
        err = weir_context_forward_value(context, weir_value_bytes(weir_slice(at, bytes)), error);
        at += bytes + 1;
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

static bool is_long(void *config, const struct weir_record *record)
{
    return record->value.bytes.bytes > *(const size_t *)config;
}

static bool starts_with(void *config, const struct weir_record *record)
{
    return record->value.bytes.bytes > 0 &&
           *(const char *)record->value.bytes.data == *(const char *)config;
}

/* The value with the config's text behind it. */
static enum weir_err append(void *config, struct weir_context *context, struct weir_record *record,
                            struct weir_error *error)
{
    size_t bytes = record->value.bytes.bytes, more = strlen(config);
    char *text = weir_context_alloc(context, bytes + more);
    (void)error;
    memcpy(text, record->value.bytes.data, bytes);
    memcpy(text + bytes, config, more);
    record->value.bytes = weir_slice(text, bytes + more);
    record->key = weir_value_null(); /* which mapValues does not let through */
    return WEIR_OK;
}

static enum weir_err concatenate(void *config, struct weir_context *context,
                                 const struct weir_record *record, struct weir_value *aggregate,
                                 struct weir_error *error)
{
    size_t one = aggregate->bytes.bytes, two = record->value.bytes.bytes;
    char *text = weir_context_alloc(context, one + two + 1);
    (void)config;
    (void)error;
    if (one > 0)
        memcpy(text, aggregate->bytes.data, one);
    memcpy(text + one, record->value.bytes.data, two);
    *aggregate = weir_value_bytes(weir_slice(text, one + two));
    return WEIR_OK;
}

static enum weir_err merge_texts(void *config, struct weir_context *context,
                                 const struct weir_value *key, struct weir_value *aggregate,
                                 const struct weir_value *later, struct weir_error *error)
{
    const struct weir_record record = {.key = *key, .value = *later};
    return concatenate(config, context, &record, aggregate, error);
}

static enum weir_err join_texts(void *config, struct weir_context *context,
                                const struct weir_record *record, const struct weir_value *other,
                                struct weir_value *joined_out, struct weir_error *error)
{
    const struct weir_record second = {
        .value = weir_value_is_null(*other) ? weir_value_bytes(weir_slice("?", 1)) : *other};
    *joined_out = record->value;
    return concatenate(config, context, &second, joined_out, error);
}

/* Of an outer join either may be missing. */
static enum weir_err join_either(void *config, struct weir_context *context,
                                 const struct weir_record *record, const struct weir_value *other,
                                 struct weir_value *joined_out, struct weir_error *error)
{
    struct weir_record one = *record;
    if (weir_value_is_null(one.value))
        one.value = weir_value_bytes(weir_slice("?", 1));
    return join_texts(config, context, &one, other, joined_out, error);
}

static const struct weir_materialized *uncached(const char *name, const struct weir_serde *value)
{
    static struct weir_materialized materialized;
    weir_materialized_default(&materialized);
    materialized.name = name;
    materialized.value = value;
    materialized.caching = false;
    return &materialized;
}

/* ---- streams --------------------------------------------------------------------------------- */

static void word_count(void **state)
{
    static const char wanted[] =
        "Topologies:\n"
        "   Sub-topology: 0\n"
        "    Source: KSTREAM-SOURCE-0000000000 (topics: [in])\n"
        "      --> KSTREAM-FLATMAPVALUES-0000000001\n"
        "    Processor: KSTREAM-FLATMAPVALUES-0000000001 (stores: [])\n"
        "      --> KSTREAM-KEY-SELECT-0000000002\n"
        "      <-- KSTREAM-SOURCE-0000000000\n"
        "    Processor: KSTREAM-KEY-SELECT-0000000002 (stores: [])\n"
        "      --> counts-repartition-filter\n"
        "      <-- KSTREAM-FLATMAPVALUES-0000000001\n"
        "    Processor: counts-repartition-filter (stores: [])\n"
        "      --> counts-repartition-sink\n"
        "      <-- KSTREAM-KEY-SELECT-0000000002\n"
        "    Sink: counts-repartition-sink (topic: counts-repartition)\n"
        "      <-- counts-repartition-filter\n"
        "\n"
        "  Sub-topology: 1\n"
        "    Source: counts-repartition-source (topics: [counts-repartition])\n"
        "      --> KSTREAM-AGGREGATE-0000000003\n"
        "    Processor: KSTREAM-AGGREGATE-0000000003 (stores: [counts])\n"
        "      --> KTABLE-TOSTREAM-0000000007\n"
        "      <-- counts-repartition-source\n"
        "    Processor: KTABLE-TOSTREAM-0000000007 (stores: [])\n"
        "      --> KSTREAM-SINK-0000000008\n"
        "      <-- KSTREAM-AGGREGATE-0000000003\n"
        "    Sink: KSTREAM-SINK-0000000008 (topic: out)\n"
        "      <-- KTABLE-TOSTREAM-0000000007\n"
        "\n";
    struct weir_builder *builder = begin();
    char text[sizeof wanted];
    (void)state;
    struct weir_stream *lines = weir_builder_stream(builder, "in", &text_with);
    struct weir_stream *words = weir_stream_flat_map_values(lines, split_words, NULL, NULL);
    struct weir_grouped *by_word = weir_stream_group_by(words, value_as_key, NULL, NULL);
    struct weir_table *counts = weir_grouped_count(by_word, uncached("counts", NULL), NULL);
    weir_stream_to(weir_table_to_stream(counts, NULL), "out", NULL);
    assert_int_equal(weir_topology_describe(lines->builder->topology, text, sizeof text),
                     sizeof wanted - 1);
    assert_string_equal(text, wanted);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, NULL, "to be or not to be", 5);
    feed(driver, NULL, "or", 4);
    assert_string_equal(taken(driver), "to=1@5 be=1@5 or=1@5 not=1@5 to=2@5 be=2@5 or=2@5 ");
    weir_test_driver_free(driver);
}

/* What has been counted need not lie between the sub-topologies any more. */
static void internal_topics_are_emptied(void **state)
{
    struct weir_builder *builder = begin();
    int64_t first, next;
    (void)state;
    struct weir_stream *words = weir_builder_stream(builder, "in", &text_with);
    struct weir_grouped *by_word = weir_stream_group_by(words, value_as_key, NULL, NULL);
    weir_stream_to(
        weir_table_to_stream(weir_grouped_count(by_word, uncached("counts", NULL), NULL), NULL),
        "out", NULL);
    struct weir_test_driver *driver = drive(builder);
    struct weir_kafka *kafka = weir_test_driver_kafka(driver);
    for (int i = 0; i < 5; i++)
        feed(driver, NULL, "to", i);
    assert_int_equal(weir_test_driver_advance(driver, 2000, NULL), WEIR_OK); /* a commit */
    assert_int_equal(weir_kafka_offsets(kafka, "app-counts-repartition", 0, 0, &first, &next, NULL),
                     WEIR_OK);
    assert_int_equal(next, 5);
    assert_int_equal(first, 0);
    assert_int_equal(weir_test_driver_advance(driver, 40000, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_offsets(kafka, "app-counts-repartition", 0, 0, &first, &next, NULL),
                     WEIR_OK);
    assert_int_equal(first, 5);
    weir_test_driver_free(driver);
}

/* The last count of each word, at the commit. */
static void a_cached_table_tells_the_last(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_stream *words = weir_builder_stream(builder, "in", &text_with);
    struct weir_grouped *by_word = weir_stream_group_by(words, value_as_key, NULL, NULL);
    weir_stream_to(weir_table_to_stream(weir_grouped_count(by_word, NULL, NULL), NULL), "out",
                   NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, NULL, "to", 1);
    feed(driver, NULL, "be", 2);
    feed(driver, NULL, "to", 3);
    assert_string_equal(taken(driver), "");
    assert_int_equal(weir_test_driver_advance(driver, 2000, NULL), WEIR_OK);
    assert_string_equal(taken(driver), "to=2@3 be=1@2 ");
    weir_test_driver_free(driver);
}

/* The table's store comes behind the counts', which its changes lead to. */
static void a_flush_reaches_all_stores_in_any_order(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_table *table = weir_builder_table(builder, "in", &text_with, NULL);
    struct weir_stream *changes = weir_table_to_stream(table, NULL);
    struct weir_grouped *by_key = weir_stream_group_by_key(changes, NULL);
    weir_stream_to(weir_table_to_stream(weir_grouped_count(by_key, NULL, NULL), NULL), "out", NULL);
    struct weir_stream *other = weir_builder_stream(builder, "other", &text_with);
    weir_stream_to(weir_stream_join_table(other, table, false, join_texts, NULL, NULL), "joined",
                   &text_with);
    struct weir_test_driver *driver = drive(builder);
    for (int round = 1; round <= 3; round++) {
        char wanted[32];
        feed(driver, "k", "a", 10 * round);
        feed(driver, "k", "b", 10 * round + 1);
        assert_int_equal(weir_test_driver_advance(driver, 2000, NULL), WEIR_OK);
        snprintf(wanted, sizeof wanted, "k=%d@%d ", round, 10 * round + 1);
        assert_string_equal(taken(driver), wanted);
    }
    weir_test_driver_free(driver);
}

static void one_record_at_a_time(void **state)
{
    static const size_t three = 3;
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    stream = weir_stream_filter(stream, is_long, (void *)(uintptr_t)&three, NULL);
    stream = weir_stream_map_values(stream, append, (void *)(uintptr_t) "!", NULL);
    weir_stream_to(stream, "out", NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "a", "one", 1);
    feed(driver, "b", "four", 2);
    assert_string_equal(taken(driver), "b=four!@2 ");
    weir_test_driver_free(driver);
}

static void branches_and_merge(void **state)
{
    struct weir_branch branches[] = {{.predicate = starts_with, .config = (void *)(uintptr_t) "a"},
                                     {.predicate = starts_with, .config = (void *)(uintptr_t) "b"},
                                     {.predicate = NULL}};
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    weir_stream_split(stream, branches, 3, NULL);
    struct weir_stream *marked =
        weir_stream_map_values(branches[1].stream, append, (void *)(uintptr_t) "*", NULL);
    weir_stream_to(weir_stream_merge(branches[0].stream, marked, NULL), "out", &text_with);
    weir_stream_to(branches[2].stream, "rest", NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "1", "ant", 1);
    feed(driver, "2", "bee", 2);
    feed(driver, "3", "cat", 3);
    assert_string_equal(taken(driver), "1=ant@1 2=bee*@2 ");
    assert_string_equal(taken_from(driver, "rest", 0), "3=cat@3 ");
    weir_test_driver_free(driver);
}

/* ---- windows --------------------------------------------------------------------------------- */

static void tumbling_windows_and_grace(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    struct weir_windowed *windowed =
        weir_grouped_windowed_by(weir_stream_group_by_key(stream, NULL), 10, 0, 5);
    weir_stream_to(
        weir_table_to_stream(weir_windowed_count(windowed, uncached("c", NULL), NULL), NULL), "out",
        NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "a", "x", 3);
    feed(driver, "a", "x", 9);
    feed(driver, "a", "x", 14);
    feed(driver, "a", "x", 2); /* window 0 is open until 15 */
    feed(driver, "b", "x", 15);
    feed(driver, "a", "x", 8); /* now it is closed */
    assert_string_equal(taken_from(driver, "out", 1),
                        "a[0]=1@3 a[0]=2@9 a[10]=1@14 a[0]=3@9 b[10]=1@15 ");
    weir_test_driver_free(driver);
}

static void hopping_windows(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    struct weir_windowed *windowed =
        weir_grouped_windowed_by(weir_stream_group_by_key(stream, NULL), 10, 5, 0);
    weir_stream_to(
        weir_table_to_stream(
            weir_windowed_reduce(windowed, concatenate, NULL, uncached("c", NULL), NULL), NULL),
        "out", NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "a", "x", 3);
    feed(driver, "a", "y", 7);
    feed(driver, "a", "z", 12);
    assert_string_equal(taken_from(driver, "out", 1),
                        "a[0]=x@3 a[0]=xy@7 a[5]=y@7 a[5]=yz@12 a[10]=z@12 ");
    weir_test_driver_free(driver);
}

static void sessions_grow_together(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    struct weir_windowed *windowed =
        weir_grouped_sessions(weir_stream_group_by_key(stream, NULL), 10, 100);
    struct weir_table *table =
        weir_windowed_aggregate(windowed, weir_value_bytes(weir_slice("", 0)), concatenate,
                                merge_texts, NULL, uncached("s", &weir_serde_string), NULL);
    weir_stream_to(weir_table_to_stream(table, NULL), "out", NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "a", "x", 0);
    feed(driver, "a", "y", 20);
    feed(driver, "b", "w", 5);
    assert_string_equal(taken_from(driver, "out", 2), "a[0,0]=x@0 a[20,20]=y@20 b[5,5]=w@5 ");
    feed(driver, "a", "z", 10); /* joins both */
    assert_string_equal(taken_from(driver, "out", 2),
                        "a[0,0]=null@0 a[20,20]=null@20 a[20,0]=xyz@20 ");
    feed(driver, "b", "v", 5); /* the same session: nothing goes */
    assert_string_equal(taken_from(driver, "out", 2), "b[5,5]=wv@5 ");
    feed(driver, "c", "u", 200);
    feed(driver, "c", "t", 80); /* too late by 10 and more */
    assert_string_equal(taken_from(driver, "out", 2), "c[200,200]=u@200 ");
    weir_test_driver_free(driver);
}

/* ---- tables and joins ------------------------------------------------------------------------ */

static void a_stream_joins_a_table(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    struct weir_table *table = weir_builder_table(builder, "table", &text_with, NULL);
    struct weir_table *marked = weir_table_map_values(table, append, (void *)(uintptr_t) "'", NULL);
    marked = weir_table_filter(marked, starts_with, (void *)(uintptr_t) "t", NULL);
    weir_stream_to(weir_stream_join_table(stream, marked, false, join_texts, NULL, NULL), "out",
                   &text_with);
    weir_stream_to(weir_stream_join_table(stream, marked, true, join_texts, NULL, NULL), "left",
                   &text_with);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "k", "early", 1);
    feed_on(driver, "table", "k", "table", 2);
    feed_on(driver, "table", "l", "other", 2);
    feed(driver, "k", "late", 3);
    feed(driver, "l", "hidden", 4);
    feed_on(driver, "table", "k", NULL, 5);
    feed(driver, "k", "gone", 6);
    assert_string_equal(taken(driver), "k=latetable'@3 ");
    assert_string_equal(taken_from(driver, "left", 0),
                        "k=early?@1 k=latetable'@3 l=hidden?@4 k=gone?@6 ");
    weir_test_driver_free(driver);
}

static void a_rekeyed_stream_is_repartitioned_before_it_joins(void **state)
{
    struct weir_builder *builder = begin();
    struct weir_with by_text = text_with;
    (void)state;
    by_text.name = NULL;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    stream = weir_stream_map(stream, value_as_key, NULL, NULL);
    stream->key = stream->value = &weir_serde_string;
    struct weir_table *table = weir_builder_table(builder, "table", &text_with, NULL);
    weir_stream_to(weir_stream_join_table(stream, table, false, join_texts, NULL, NULL), "out",
                   &by_text);
    struct weir_test_driver *driver = drive(builder);
    feed_on(driver, "table", "k", "table", 2);
    feed(driver, NULL, "k", 3);
    assert_string_equal(taken(driver), "k=ktable@3 ");
    weir_test_driver_free(driver);
}

static void a_stream_joins_a_global_table(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_global_table *table =
        weir_builder_global_table(builder, "table", &text_with, "all");
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    weir_stream_to(
        weir_stream_join_global_table(stream, table, value_as_key, true, join_texts, NULL, NULL),
        "out", &text_with);
    struct weir_test_driver *driver = drive(builder);
    feed_on(driver, "table", "k", "table", 2);
    feed(driver, "x", "k", 3);
    feed(driver, "y", "l", 4);
    assert_string_equal(taken(driver), "x=ktable@3 y=l?@4 ");
    weir_test_driver_free(driver);
}

static void a_table_tells_what_it_becomes(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_table *table =
        weir_builder_table(builder, "in", &text_with, uncached("named", NULL));
    table = weir_table_filter(table, starts_with, (void *)(uintptr_t) "a", NULL);
    weir_stream_to(weir_table_to_stream(table, NULL), "out", NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "k", "ant", 1);
    feed(driver, "k", "bee", 2);
    feed(driver, NULL, "asp", 3); /* without a key it is of no table */
    feed(driver, "k", "ape", 4);
    assert_string_equal(taken(driver), "k=ant@1 k=null@2 k=ape@4 ");
    weir_test_driver_free(driver);
}

/* ---- two streams ----------------------------------------------------------------------------- */

static struct weir_test_driver *drive_join(enum weir_join join)
{
    struct weir_builder *builder = begin();
    struct weir_stream *one = weir_builder_stream(builder, "in", &text_with);
    struct weir_stream *other = weir_builder_stream(builder, "other", &text_with);
    weir_stream_to(weir_stream_join(one, other, join, 10, 5, join_either, NULL, NULL), "out",
                   &text_with);
    return drive(builder);
}

static void feed_both(struct weir_test_driver *driver)
{
    feed(driver, "k", "a", 0);
    feed_on(driver, "other", "k", "1", 5);
    feed(driver, "k", "b", 8);
    feed_on(driver, "other", "l", "2", 9); /* of another key */
    feed_on(driver, "other", "k", "3", 30);
    feed(driver, "m", "c", 60);
    feed_on(driver, "other", "n", "4", 90);
}

static void streams_join_within_a_time(void **state)
{
    struct weir_test_driver *driver = drive_join(WEIR_INNER_JOIN);
    (void)state;
    feed_both(driver);
    assert_string_equal(taken(driver), "k=a1@5 k=b1@8 ");
    weir_test_driver_free(driver);
    driver = drive_join(WEIR_LEFT_JOIN);
    feed_both(driver);
    assert_string_equal(taken(driver), "k=a1@5 k=b1@8 m=c?@60 ");
    weir_test_driver_free(driver);
    driver = drive_join(WEIR_OUTER_JOIN);
    feed_both(driver);
    assert_string_equal(taken(driver), "k=a1@5 k=b1@8 l=?2@9 k=?3@30 m=c?@60 ");
    weir_test_driver_free(driver);
}

/* What waits is not told of when it finds one in time. */
static void a_late_match_is_no_miss(void **state)
{
    struct weir_test_driver *driver = drive_join(WEIR_LEFT_JOIN);
    (void)state;
    feed(driver, "k", "a", 0);
    feed(driver, "x", "-", 12);
    feed_on(driver, "other", "k", "1", 10);
    feed(driver, "x", "-", 50);
    assert_string_equal(taken(driver), "k=a1@10 x=-?@12 ");
    weir_test_driver_free(driver);
}

/* ---- suppress -------------------------------------------------------------------------------- */

static void only_the_last_result_of_a_window(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    struct weir_windowed *windowed =
        weir_grouped_windowed_by(weir_stream_group_by_key(stream, NULL), 10, 0, 5);
    struct weir_table *counts = weir_windowed_count(windowed, uncached("c", NULL), NULL);
    weir_stream_to(
        weir_table_to_stream(weir_table_suppress_until_window_closes(counts, NULL), NULL), "out",
        NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "a", "x", 3);
    feed(driver, "a", "x", 12);
    feed(driver, "b", "x", 4);
    feed(driver, "a", "x", 5);
    feed(driver, "a", "x", 14);
    assert_string_equal(taken_from(driver, "out", 1), "");
    feed(driver, "c", "x", 15);
    assert_string_equal(taken_from(driver, "out", 1), "a[0]=2@5 b[0]=1@4 ");
    feed(driver, "c", "x", 40);
    assert_string_equal(taken_from(driver, "out", 1), "a[10]=2@14 c[10]=1@15 ");
    weir_test_driver_free(driver);
}

static void only_the_last_session(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    struct weir_windowed *windowed =
        weir_grouped_sessions(weir_stream_group_by_key(stream, NULL), 10, 0);
    struct weir_table *counts = weir_windowed_count(windowed, uncached("c", NULL), NULL);
    weir_stream_to(
        weir_table_to_stream(weir_table_suppress_until_window_closes(counts, NULL), NULL), "out",
        NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "a", "x", 3);
    feed(driver, "a", "x", 9);
    feed(driver, "a", "x", 40);
    assert_string_equal(taken_from(driver, "out", 2), "a[9,3]=2@9 ");
    weir_test_driver_free(driver);
}

static void no_more_than_one_result_in_a_time(void **state)
{
    struct weir_builder *builder = begin();
    (void)state;
    struct weir_table *table =
        weir_builder_table(builder, "in", &text_with, uncached("named", NULL));
    weir_stream_to(
        weir_table_to_stream(weir_table_suppress_until_time_limit(table, 10, NULL), NULL), "out",
        NULL);
    struct weir_test_driver *driver = drive(builder);
    feed(driver, "a", "1", 0);
    feed(driver, "b", "1", 1);
    feed(driver, "a", "2", 9);
    assert_string_equal(taken(driver), "");
    feed(driver, "c", NULL, 11);
    assert_string_equal(taken(driver), "a=2@9 b=1@1 ");
    feed(driver, "a", "3", 21);
    assert_string_equal(taken(driver), "c=null@11 ");
    weir_test_driver_free(driver);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void the_first_fault_is_told(void **state)
{
    struct weir_builder *builder = begin();
    struct weir_topology *topology;
    struct weir_error error;
    (void)state;
    struct weir_stream *stream = weir_builder_stream(builder, "in", &text_with);
    struct weir_windowed *windowed =
        weir_grouped_windowed_by(weir_stream_group_by_key(stream, NULL), 10, 11, 0);
    weir_stream_to(weir_table_to_stream(weir_windowed_count(windowed, NULL, NULL), NULL), "out",
                   NULL);
    weir_builder_stream(builder, "in", NULL); /* a second fault */
    assert_int_equal(weir_builder_build(builder, &topology, &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "windows of 10 ms, every 11 ms"));
    builder = begin();
    weir_builder_stream(builder, "in", NULL);
    weir_builder_stream(builder, "in", NULL);
    assert_int_equal(weir_builder_build(builder, &topology, &error), WEIR_EXISTS);
    builder = begin();
    weir_stream_filter(weir_builder_stream(builder, "in", NULL), NULL, NULL, "long ones");
    assert_int_equal(weir_builder_build(builder, &topology, &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "\"long ones\""));
    builder = begin();
    weir_builder_stream(builder, NULL, NULL);
    assert_int_equal(weir_builder_build(builder, &topology, &error), WEIR_INVALID);
    weir_builder_free(begin());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_count),
        cmocka_unit_test(internal_topics_are_emptied),
        cmocka_unit_test(a_cached_table_tells_the_last),
        cmocka_unit_test(a_flush_reaches_all_stores_in_any_order),
        cmocka_unit_test(one_record_at_a_time),
        cmocka_unit_test(branches_and_merge),
        cmocka_unit_test(tumbling_windows_and_grace),
        cmocka_unit_test(hopping_windows),
        cmocka_unit_test(sessions_grow_together),
        cmocka_unit_test(a_stream_joins_a_table),
        cmocka_unit_test(a_rekeyed_stream_is_repartitioned_before_it_joins),
        cmocka_unit_test(a_stream_joins_a_global_table),
        cmocka_unit_test(a_table_tells_what_it_becomes),
        cmocka_unit_test(streams_join_within_a_time),
        cmocka_unit_test(a_late_match_is_no_miss),
        cmocka_unit_test(only_the_last_result_of_a_window),
        cmocka_unit_test(only_the_last_session),
        cmocka_unit_test(no_more_than_one_result_in_a_time),
        cmocka_unit_test(the_first_fault_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
