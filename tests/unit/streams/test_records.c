/* Records one by one: serdes, the order in which nodes see them, and who takes blocks between. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static char trace[512];

static void note(const char *what, const struct weir_record *record)
{
    size_t at = strlen(trace);
    snprintf(trace + at, sizeof trace - at, "%s:%lld ", what, (long long)record->value.integer);
}

/* Its config is its name; sends what it gets on, one larger. */
static enum weir_err adder_init(void *config, struct weir_context *context, void **self_out,
                                struct weir_error *error)
{
    (void)context;
    (void)error;
    *self_out = config;
    return WEIR_OK;
}

static enum weir_err add(void *self, struct weir_context *context, const struct weir_record *record,
                         struct weir_error *error)
{
    note(self, record);
    return weir_context_forward_value(context, weir_value_integer(record->value.integer + 1),
                                      error);
}

static enum weir_err refuse_odd(void *self, struct weir_context *context,
                                const struct weir_record *record, struct weir_error *error)
{
    note(self, record);
    if (record->value.integer % 2)
        return weir_context_refuse(context, WEIR_INVALID, "odd", error);
    return weir_context_forward_record(context, record, error);
}

static enum weir_err pass(void *self, struct weir_context *context,
                          const struct weir_record *record, struct weir_error *error)
{
    (void)self;
    return weir_context_forward_record(context, record, error);
}

static enum weir_err pass_block(void *self, struct weir_context *context,
                                const struct weir_block *block, struct weir_error *error)
{
    size_t at = strlen(trace);
    snprintf(trace + at, sizeof trace - at, "%s[%u] ", (const char *)self, block->rows);
    return weir_context_forward(context, block, error);
}

static const struct weir_processor_ops adder = {
    .abi = WEIR_PROCESSOR_ABI, .init = adder_init, .process = add};
static const struct weir_processor_ops refuser = {
    .abi = WEIR_PROCESSOR_ABI, .init = adder_init, .process = refuse_odd};
static const struct weir_processor_ops forwarder = {.abi = WEIR_PROCESSOR_ABI, .process = pass};
static const struct weir_processor_ops passer = {
    .abi = WEIR_PROCESSOR_ABI, .init = adder_init, .process_batch = pass_block};

static void add_node(struct weir_topology *topology, const struct weir_processor_ops *ops,
                     const char *name, const char *parent)
{
    assert_int_equal(
        weir_topology_add_processor(topology, name, ops, (void *)(uintptr_t)name, &parent, 1, NULL),
        WEIR_OK);
}

static struct weir_topology *integers(void)
{
    struct weir_topology *topology;
    trace[0] = '\0';
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "in", TOPIC("in"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(
        weir_topology_set_serdes(topology, "in", &weir_serde_string, &weir_serde_int32, NULL),
        WEIR_OK);
    return topology;
}

static void add_sink(struct weir_topology *topology, const char *parent,
                     const struct weir_serde *value)
{
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", &parent, 1, NULL), WEIR_OK);
    assert_int_equal(weir_topology_set_serdes(topology, "out", &weir_serde_string, value, NULL),
                     WEIR_OK);
}

static struct weir_test_driver *drive_with(struct weir_topology *topology,
                                           const struct weir_streams_options *options)
{
    struct weir_test_driver *driver;
    struct weir_error error;
    if (weir_test_driver_new(topology, options, 1000, 1, &driver, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return driver;
}

static struct weir_test_driver *drive(struct weir_topology *topology)
{
    struct weir_streams_options options;
    weir_streams_options_default(&options);
    options.application_id = "app";
    options.dead_letter_topic = "dead";
    return drive_with(topology, &options);
}

static void pipe_integer(struct weir_test_driver *driver, int32_t integer)
{
    uint8_t bytes[4] = {(uint8_t)(integer >> 24), (uint8_t)(integer >> 16), (uint8_t)(integer >> 8),
                        (uint8_t)integer};
    struct weir_error error;
    const struct weir_kafka_record record = {.topic = "in",
                                             .timestamp_ms = -1,
                                             .key = weir_slice("k", 1),
                                             .value = weir_slice(bytes, sizeof bytes)};
    if (weir_test_driver_pipe(driver, &record, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

static void each_record_goes_all_the_way_before_the_next(void **state)
{
    static const uint8_t wanted[] = {0, 0, 0, 0, 0, 0, 0, 9};
    struct weir_topology *topology = integers();
    struct weir_kafka_batch out;
    (void)state;
    add_node(topology, &adder, "a", "in");
    add_node(topology, &adder, "b", "in");
    add_node(topology, &adder, "c", "a");
    add_sink(topology, "c", &weir_serde_int64);
    struct weir_test_driver *driver = drive(topology);
    pipe_integer(driver, 7);
    assert_string_equal(trace, "a:7 c:8 b:7 ");
    assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_OK);
    assert_true(weir_slice_equal(out.rows.value[0], weir_slice(wanted, sizeof wanted)));
    assert_true(weir_slice_equal(out.rows.key[0], weir_slice("k", 1)));
    weir_test_driver_free(driver);
}

/* Blocks are the slower way here, but whoever takes them may stand anywhere. */
static void blocks_and_records_take_turns(void **state)
{
    struct weir_topology *topology = integers();
    struct weir_kafka_batch out;
    (void)state;
    assert_int_equal(weir_topology_set_serdes(topology, "in", NULL, NULL, NULL), WEIR_OK);
    add_node(topology, &passer, "p", "in");
    add_node(topology, &forwarder, "f", "p");
    add_node(topology, &passer, "q", "f");
    add_node(topology, &forwarder, "g", "q");
    add_node(topology, &passer, "r", "g");
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", TOPIC("r"), NULL), WEIR_OK);
    struct weir_test_driver *driver = drive(topology);
    pipe_integer(driver, 7);
    assert_string_equal(trace, "p[1] q[1] r[1] ");
    assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_OK);
    assert_int_equal(out.rows.value[0].bytes, 4);
    weir_test_driver_free(driver);
}

static void what_cannot_be_read_or_used_becomes_a_dead_letter(void **state)
{
    const struct weir_kafka_record text = {
        .topic = "in", .timestamp_ms = -1, .value = weir_slice("seven", 5)};
    struct weir_topology *topology = integers();
    struct weir_kafka_batch out;
    (void)state;
    add_node(topology, &refuser, "r", "in");
    add_sink(topology, "r", &weir_serde_int32);
    struct weir_test_driver *driver = drive(topology);
    pipe_integer(driver, 3);
    assert_int_equal(weir_test_driver_pipe(driver, &text, NULL), WEIR_OK);
    pipe_integer(driver, 4);
    assert_string_equal(trace, "r:3 r:4 ");
    assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_OK);
    assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_AGAIN);
    assert_int_equal(weir_test_driver_read(driver, "dead", &out), WEIR_OK);
    assert_true(weir_slice_equal(out.rows.headers[0][1].value, weir_slice("odd", 3)));
    assert_int_equal(weir_test_driver_read(driver, "dead", &out), WEIR_OK);
    assert_non_null(memmem(out.rows.headers[0][1].value.data, out.rows.headers[0][1].value.bytes,
                           "int32: it has 5 bytes", 21));
    weir_test_driver_free(driver);
}

/* Fails on odd numbers. */
static enum weir_err fail_odd(void *self, struct weir_context *context,
                              const struct weir_record *record, struct weir_error *error)
{
    note(self, record);
    if (record->value.integer % 2)
        return weir_error_set(error, WEIR_MODEL_FAILED, -1, "it is odd");
    return weir_context_forward_record(context, record, error);
}

static const struct weir_processor_ops failer = {
    .abi = WEIR_PROCESSOR_ABI, .init = adder_init, .process = fail_odd};

/* An odd number, a text, an even number. */
static enum weir_err pipe_three(struct weir_test_driver *driver, struct weir_error *error)
{
    static const char *const values[] = {"\0\0\0\3", "seven", "\0\0\0\4"};
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < 3 && err == WEIR_OK; i++) {
        const struct weir_kafka_record record = {
            .topic = "in",
            .timestamp_ms = -1,
            .value = weir_slice(values[i], i == 1 ? strlen(values[i]) : 4)};
        err = weir_test_driver_pipe(driver, &record, error);
    }
    return err;
}

static uint32_t count_on(struct weir_test_driver *driver, const char *topic)
{
    struct weir_kafka_batch out;
    uint32_t count = 0;
    while (weir_test_driver_read(driver, topic, &out) == WEIR_OK)
        count += out.count;
    return count;
}

static void handlers_say_what_follows(void **state)
{
    static const struct {
        enum weir_handler processing, deserialization;
        bool letters;
        enum weir_err err;
        uint32_t out, dead;
        uint64_t dropped;
    } cases[] = {
        {WEIR_HANDLER_CONTINUE, WEIR_HANDLER_CONTINUE, false, WEIR_OK, 1, 0, 2},
        {WEIR_HANDLER_CONTINUE, WEIR_HANDLER_CONTINUE, true, WEIR_OK, 1, 2, 0},
        {WEIR_HANDLER_CONTINUE, WEIR_HANDLER_DEFAULT, true, WEIR_OK, 1, 2, 0},
        {WEIR_HANDLER_CONTINUE, WEIR_HANDLER_FAIL, false, WEIR_INVALID, 0, 0, 1},
        {WEIR_HANDLER_CONTINUE, WEIR_HANDLER_FAIL, true, WEIR_PARSE, 0, 3, 0},
        {WEIR_HANDLER_DEFAULT, WEIR_HANDLER_CONTINUE, true, WEIR_MODEL_FAILED, 0, 0, 0},
        {WEIR_HANDLER_FAIL, WEIR_HANDLER_CONTINUE, true, WEIR_MODEL_FAILED, 0, 2, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_topology *topology = integers();
        struct weir_streams_options options;
        struct weir_streams_stats stats;
        struct weir_error error = {0};
        add_node(topology, &failer, "f", "in");
        add_sink(topology, "f", &weir_serde_int32);
        weir_streams_options_default(&options);
        options.application_id = "app";
        options.dead_letter_topic = cases[i].letters ? "dead" : NULL;
        options.processing_handler = cases[i].processing;
        options.deserialization_handler = cases[i].deserialization;
        struct weir_test_driver *driver = drive_with(topology, &options);
        if (pipe_three(driver, &error) != cases[i].err)
            fail_msg("case %zu: %s", i, error.message);
        weir_streams_stats(weir_test_driver_streams(driver), &stats);
        assert_int_equal(stats.records_dropped, cases[i].dropped);
        assert_int_equal(count_on(driver, "out"), cases[i].out);
        assert_int_equal(count_on(driver, "dead"), cases[i].dead);
        weir_test_driver_free(driver);
    }
}

static void a_value_that_its_serde_does_not_take_is_an_error(void **state)
{
    struct weir_topology *topology = integers();
    struct weir_streams_options options;
    struct weir_test_driver *driver;
    struct weir_error error = {0};
    const struct weir_kafka_record one = {
        .topic = "in", .timestamp_ms = -1, .value = weir_slice("\0\0\0\1", 4)};
    (void)state;
    add_node(topology, &adder, "a", "in");
    add_sink(topology, "a", NULL);
    weir_streams_options_default(&options);
    options.application_id = "app";
    assert_int_equal(weir_test_driver_new(topology, &options, 1000, 1, &driver, NULL), WEIR_OK);
    assert_int_equal(weir_test_driver_pipe(driver, &one, &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "the value can't be written as bytes"));
    weir_test_driver_free(driver);
}

/* The value is the time; odd ones are none. */
static int64_t value_as_time(void *config, const struct weir_rows *rows, uint32_t row,
                             int64_t newest_ms)
{
    const uint8_t *bytes = rows->value[row].data;
    *(int64_t *)config = newest_ms;
    return bytes[3] % 2 ? -1 : bytes[3] * 1000;
}

static void a_source_can_tell_the_times_itself(void **state)
{
    struct weir_topology *topology = integers();
    struct weir_kafka_batch out;
    int64_t newest_ms = 0;
    (void)state;
    assert_int_equal(weir_topology_set_timestamps(topology, "none", value_as_time, NULL, NULL),
                     WEIR_NOT_FOUND);
    assert_int_equal(weir_topology_set_timestamps(topology, "in", value_as_time, &newest_ms, NULL),
                     WEIR_OK);
    add_node(topology, &adder, "a", "in");
    add_sink(topology, "a", &weir_serde_int32);
    struct weir_test_driver *driver = drive(topology);
    pipe_integer(driver, 4);
    pipe_integer(driver, 2);
    pipe_integer(driver, 3);
    assert_int_equal(newest_ms, 4000);
    assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_OK);
    assert_int_equal(out.rows.timestamp_ms[0], 4000);
    assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_OK);
    assert_int_equal(out.rows.timestamp_ms[0], 2000);
    assert_int_equal(count_on(driver, "out"), 0);
    assert_int_equal(weir_test_driver_read(driver, "dead", &out), WEIR_OK);
    assert_non_null(memmem(out.rows.headers[0][1].value.data, out.rows.headers[0][1].value.bytes,
                           "can't tell its time", 19));
    weir_test_driver_free(driver);
}

static void numbers_are_kafkas(void **state)
{
    static const uint8_t half[] = {0x3f, 0xe0, 0, 0, 0, 0, 0, 0},
                         minus_two[] = {0xff, 0xff, 0xff, 0xfe};
    struct weir_error error;
    struct weir_value value;
    (void)state;
    assert_int_equal(
        weir_serde_double.deserialize(NULL, NULL, weir_slice(half, sizeof half), &value, &error),
        WEIR_OK);
    assert_true(value.type == WEIR_VALUE_NUMBER && value.number == 0.5);
    assert_int_equal(weir_serde_int32.deserialize(
                         NULL, NULL, weir_slice(minus_two, sizeof minus_two), &value, &error),
                     WEIR_OK);
    assert_true(value.type == WEIR_VALUE_INTEGER && value.integer == -2);
    assert_int_equal(weir_serde_int64.deserialize(NULL, NULL, weir_slice("1", 1), &value, &error),
                     WEIR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_record_goes_all_the_way_before_the_next),
        cmocka_unit_test(blocks_and_records_take_turns),
        cmocka_unit_test(what_cannot_be_read_or_used_becomes_a_dead_letter),
        cmocka_unit_test(handlers_say_what_follows),
        cmocka_unit_test(a_value_that_its_serde_does_not_take_is_an_error),
        cmocka_unit_test(a_source_can_tell_the_times_itself),
        cmocka_unit_test(numbers_are_kafkas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
