/* Building a topology, and telling it as Kafka Streams does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static const struct weir_processor_ops *batch_ops(void)
{
    static struct behaviour behaviour;
    static struct weir_processor_ops ops;
    struct weir_topology *topology = copy_topology(&behaviour);
    ops = *topology->nodes[1].ops;
    weir_topology_free(topology);
    return &ops;
}

static enum weir_err no_update(void *store, const struct weir_block *block, bool past_end,
                               struct weir_error *error)
{
    (void)store;
    (void)block;
    (void)past_end;
    (void)error;
    return WEIR_OK;
}

static void faults_are_named_when_they_are_made(void **state)
{
    static const char *const data[] = {"data"}, *const none[] = {"none"}, *const out[] = {"out"};
    struct weir_processor_ops both = *batch_ops(), neither = both;
    struct weir_topology *topology;
    struct weir_error error;
    (void)state;
    both.process = (enum weir_err(*)(void *, struct weir_context *, const struct weir_record *,
                                     struct weir_error *))1;
    neither.process_batch = NULL;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", TOPIC("in"), NULL, NULL, &error),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", TOPIC("x"), NULL, NULL, &error),
                     WEIR_EXISTS);
    assert_non_null(strstr(error.message, "data"));
    assert_int_equal(weir_topology_add_source(topology, "", TOPIC("x"), NULL, NULL, &error),
                     WEIR_INVALID);
    assert_int_equal(weir_topology_add_source(topology, "again", TOPIC("in"), NULL, NULL, &error),
                     WEIR_EXISTS);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", none, 1, &error),
                     WEIR_NOT_FOUND);
    assert_non_null(strstr(error.message, "none"));
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", data, 1, &error), WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out2", "out", out, 1, &error),
                     WEIR_NOT_FOUND);
    assert_int_equal(weir_topology_add_processor(topology, "p", &both, NULL, data, 1, &error),
                     WEIR_INVALID);
    assert_int_equal(weir_topology_add_processor(topology, "p", &neither, NULL, data, 1, &error),
                     WEIR_INVALID);
    assert_int_equal(weir_topology_add_processor(topology, "p", batch_ops(), NULL, NULL, 0, &error),
                     WEIR_INVALID);
    weir_topology_free(topology);
}

static void a_topology_without_a_source_is_refused(void **state)
{
    struct weir_streams_options options;
    struct weir_streams *streams;
    struct weir_topology *topology;
    struct fixture fixture;
    struct weir_error error;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    options = fixture.options;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_streams_new(topology, fixture.kafka, &options, &streams, &error),
                     WEIR_INVALID);
    fixture_release(&fixture);
}

static void assert_told(const struct weir_topology *topology, const char *wanted)
{
    char text[16384], cut[20];
    size_t bytes = weir_topology_describe(topology, text, sizeof text);
    assert_string_equal(text, wanted);
    assert_int_equal(bytes, strlen(wanted));
    assert_int_equal(weir_topology_describe(topology, cut, sizeof cut), bytes);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    assert_int_equal(weir_topology_describe(topology, NULL, 0), bytes);
}

static void the_description_is_kafka_streams_own(void **state)
{
    static const char *const data[] = {"data"}, *const scoring[] = {"scoring"},
                             *const other[] = {"other"};
    struct weir_global_store store = {.name = "models",
                                      .source = "models-source",
                                      .topic = "models",
                                      .processor = "models-update",
                                      .update = no_update};
    struct weir_topology *topology;
    (void)state;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", TOPIC("mdata"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(
        weir_topology_add_processor(topology, "scoring", batch_ops(), NULL, data, 1, NULL),
        WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "scores", "scores", scoring, 1, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_global_store(topology, &store, NULL), WEIR_OK);
    assert_told(topology, "Topologies:\n"
                          "   Sub-topology: 0\n"
                          "    Source: data (topics: [mdata])\n"
                          "      --> scoring\n"
                          "    Processor: scoring (stores: [])\n"
                          "      --> scores\n"
                          "      <-- data\n"
                          "    Sink: scores (topic: scores)\n"
                          "      <-- scoring\n"
                          "\n"
                          "  Sub-topology: 1 for global store (will not generate tasks)\n"
                          "    Source: models-source (topics: [models])\n"
                          "      --> models-update\n"
                          "    Processor: models-update (stores: [models])\n"
                          "      --> none\n"
                          "      <-- models-source\n");
    /* numbers go by the order of adding */
    assert_int_equal(weir_topology_add_source(topology, "other", TOPIC("other"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "end", "end", other, 1, NULL), WEIR_OK);
    char text[4096];
    weir_topology_describe(topology, text, sizeof text);
    assert_non_null(strstr(text, "\n  Sub-topology: 2\n    Source: other (topics: [other])\n"
                                 "      --> end\n    Sink: end (topic: end)\n      <-- other\n\n"));
    weir_topology_free(topology);
}

/* As Kafka Streams 4.1 printed it: a Java HashSet's order. */
static void topics_of_a_source_stand_in_its_order(void **state)
{
    static const char *const source[] = {"s"}, *const many[] = {"orders",
                                                                "payments",
                                                                "clicks",
                                                                "views-of-page",
                                                                "a-very-long-topic-name",
                                                                "mdata",
                                                                "models",
                                                                "t1",
                                                                "t2",
                                                                "t3",
                                                                "t4",
                                                                "t5",
                                                                "t6",
                                                                "t7"};
    struct weir_topology *topology;
    struct weir_error error;
    (void)state;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "s", many, 0, NULL, NULL, &error),
                     WEIR_INVALID);
    assert_int_equal(weir_topology_add_source(topology, "r", TOPIC("t7"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "s", many, 14, NULL, NULL, &error),
                     WEIR_EXISTS); /* and leaves nothing of it */
    weir_topology_free(topology);
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "s", many, 14, NULL, NULL, NULL), WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "o", "out", source, 1, NULL), WEIR_OK);
    assert_told(topology,
                "Topologies:\n"
                "   Sub-topology: 0\n"
                "    Source: s (topics: [t4, models, t5, t6, t7, views-of-page, payments, "
                "a-very-long-topic-name, clicks, mdata, orders, t1, t2, t3])\n"
                "      --> o\n"
                "    Sink: o (topic: out)\n"
                "      <-- s\n"
                "\n");
    weir_topology_free(topology);
}

/* ---- against Kafka Streams ------------------------------------------------------------------- */

enum { LINE_BYTES = 1024, WORDS_MAX = 16 };

static enum weir_err add_store(struct weir_topology *topology, const char *name,
                               const char *const *processors, uint32_t count)
{
    struct weir_store_options options;
    weir_store_options_default(&options);
    options.name = name;
    return weir_topology_add_store(topology, &options, processors, count, NULL);
}

/* "source NAME TOPIC", "processor NAME PARENT...", "sink NAME PARENT...", "store NAME
 * PROCESSOR..." */
static void add_line(struct weir_topology *topology, char *line)
{
    const char *words[WORDS_MAX];
    uint32_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        assert_true(count < WORDS_MAX);
        words[count++] = word;
    }
    assert_true(count >= 3);
    const char *const *parents = words + 2;
    enum weir_err err;
    if (strcmp(words[0], "source") == 0)
        err = weir_topology_add_source(topology, words[1], parents, 1, NULL, NULL, NULL);
    else if (strcmp(words[0], "store") == 0)
        err = add_store(topology, words[1], parents, count - 2);
    else if (strcmp(words[0], "sink") == 0)
        err = weir_topology_add_sink(topology, words[1], "o", parents, count - 2, NULL);
    else
        err = weir_topology_add_processor(topology, words[1], batch_ops(), NULL, parents, count - 2,
                                          NULL);
    assert_int_equal(err, WEIR_OK);
}

/* A case of the file: how a topology is made, "----", its description; then "====". */
static bool run_case(FILE *file)
{
    char line[LINE_BYTES], wanted[16384] = "";
    struct weir_topology *topology;
    size_t bytes = 0;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    while (fgets(line, sizeof line, file) && strcmp(line, "----\n") != 0)
        add_line(topology, line);
    while (fgets(line, sizeof line, file) && strncmp(line, "====", 4) != 0) {
        assert_true(bytes + strlen(line) < sizeof wanted);
        memcpy(wanted + bytes, line, strlen(line) + 1);
        bytes += strlen(line);
    }
    if (bytes)
        assert_told(topology, wanted);
    weir_topology_free(topology);
    return bytes > 0;
}

static void descriptions_are_those_of_java(void **state)
{
    char path[512], line[LINE_BYTES];
    const char *directory = getenv("WEIR_SOURCE_DIR");
    uint32_t cases = 0;
    (void)state;
    if (!directory)
        skip();
    snprintf(path, sizeof path, "%s/tests/golden/streams/describe.txt", directory);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) && strncmp(line, "====", 4) != 0)
        continue; /* what the file says of itself */
    while (run_case(file))
        cases++;
    fclose(file);
    printf("%u descriptions\n", cases);
    assert_true(cases >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_are_named_when_they_are_made),
        cmocka_unit_test(a_topology_without_a_source_is_refused),
        cmocka_unit_test(the_description_is_kafka_streams_own),
        cmocka_unit_test(topics_of_a_source_stand_in_its_order),
        cmocka_unit_test(descriptions_are_those_of_java),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
