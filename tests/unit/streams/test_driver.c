/* The test driver: a topology without broker and on a virtual clock; dead letters, time, steady
 * state. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "fixture.h"

static struct weir_streams_options driver_options(void)
{
    struct weir_streams_options options;
    weir_streams_options_default(&options);
    options.application_id = "app";
    options.dead_letter_topic = "dead";
    return options;
}

static struct weir_kafka_record record_of(const char *text)
{
    return (struct weir_kafka_record){.topic = "in",
                                      .partition = 1,
                                      .timestamp_ms = -1,
                                      .key = weir_slice("key", 3),
                                      .value = weir_slice(text, strlen(text))};
}

static struct weir_test_driver *driver_of(struct weir_topology *topology)
{
    struct weir_streams_options options = driver_options();
    struct weir_test_driver *driver;
    struct weir_error error = {0};
    if (weir_test_driver_new(topology, &options, 5000, 3, &driver, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return driver;
}

static void a_record_comes_out_where_it_went_in(void **state)
{
    struct behaviour behaviour = {.fail_at = -1};
    struct weir_header header = {weir_slice("name", 4), weir_slice("value", 5)};
    struct weir_kafka_record record = record_of("hello");
    struct weir_kafka_batch out;
    (void)state;
    record.headers = &header;
    record.header_count = 1;
    for (int one_by_one = 0; one_by_one < 2; one_by_one++) {
        behaviour.one_by_one = one_by_one;
        struct weir_test_driver *driver = driver_of(copy_topology(&behaviour));
        assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_AGAIN);
        assert_int_equal(weir_test_driver_pipe(driver, &record, NULL), WEIR_OK);
        assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_OK);
        assert_int_equal(out.rows.partition, 1);
        assert_int_equal(out.rows.timestamp_ms[0], 5000);
        assert_true(weir_slice_equal(out.rows.key[0], record.key));
        assert_true(weir_slice_equal(out.rows.value[0], record.value));
        assert_int_equal(out.rows.header_count[0], 1);
        assert_true(weir_slice_equal(out.rows.headers[0][0].value, header.value));
        assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_AGAIN);
        weir_test_driver_free(driver);
    }
}

static void assert_header(const struct weir_kafka_batch *batch, uint32_t index, const char *name,
                          const char *value)
{
    const struct weir_header *header = &batch->rows.headers[0][index];
    assert_true(weir_slice_equal(header->name, weir_slice(name, strlen(name))));
    if (value)
        assert_true(weir_slice_equal(header->value, weir_slice(value, strlen(value))));
}

static enum weir_err wine_decoder(void *config, struct weir_decoder **out, struct weir_error *error)
{
    struct weir_schema *schema;
    (void)config;
    enum weir_err err = weir_schema_wine(&schema);
    if (err == WEIR_OK)
        err = weir_decoder_protobuf_new(schema, out, error);
    weir_schema_unref(schema);
    return err;
}

static void an_undecodable_record_is_a_dead_letter_with_its_reason(void **state)
{
    static const char *const data[] = {"data"};
    struct weir_kafka_record record = record_of("\xff\xff");
    struct weir_header header = {weir_slice("mine", 4), weir_slice("x", 1)};
    struct weir_topology *topology;
    struct weir_kafka_batch out;
    (void)state;
    record.headers = &header;
    record.header_count = 1;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(
        weir_topology_add_source(topology, "data", TOPIC("in"), wine_decoder, NULL, NULL), WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", data, 1, NULL), WEIR_OK);
    struct weir_test_driver *driver = driver_of(topology);
    assert_int_equal(weir_test_driver_pipe(driver, &record, NULL), WEIR_OK);
    assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_AGAIN);
    assert_int_equal(weir_test_driver_read(driver, "dead", &out), WEIR_OK);
    assert_true(weir_slice_equal(out.rows.key[0], record.key));
    assert_true(weir_slice_equal(out.rows.value[0], record.value));
    assert_int_equal(out.rows.timestamp_ms[0], 5000);
    assert_int_equal(out.rows.header_count[0], 6);
    assert_header(&out, 0, "mine", "x");
    assert_header(&out, 1, "__streams.errors.exception", "TRUNCATED");
    assert_header(&out, 2, "__streams.errors.message", NULL);
    assert_true(out.rows.headers[0][2].value.bytes > 0);
    assert_header(&out, 3, "__streams.errors.topic", "in");
    assert_header(&out, 4, "__streams.errors.partition", "1");
    assert_header(&out, 5, "__streams.errors.offset", "0");
    weir_test_driver_free(driver);
}

static void a_very_large_bad_record_is_cut_and_its_digest_told(void **state)
{
    static char large[(1 << 20) - 2000];
    static const char *const data[] = {"data"};
    struct weir_kafka_record record = record_of("");
    struct weir_topology *topology;
    struct weir_kafka_batch out;
    char digest[WEIR_SHA256_HEX_BYTES];
    uint8_t bytes[WEIR_SHA256_BYTES];
    (void)state;
    memset(large, 0xff, sizeof large);
    record.value = weir_slice(large, sizeof large);
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(
        weir_topology_add_source(topology, "data", TOPIC("in"), wine_decoder, NULL, NULL), WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", data, 1, NULL), WEIR_OK);
    struct weir_test_driver *driver = driver_of(topology);
    assert_int_equal(weir_test_driver_pipe(driver, &record, NULL), WEIR_OK);
    assert_int_equal(weir_test_driver_read(driver, "dead", &out), WEIR_OK);
    assert_int_equal(out.rows.value[0].bytes, 64 << 10);
    assert_int_equal(out.rows.header_count[0], 7);
    weir_sha256(large, sizeof large, bytes);
    weir_hex_encode(bytes, sizeof bytes, digest);
    assert_header(&out, 6, "__weir.value.sha256", digest);
    weir_test_driver_free(driver);
}

/* ---- time ------------------------------------------------------------------------------------ */

static struct {
    uint32_t wall, stream;
} ticks;

static enum weir_err on_wall(void *self, struct weir_context *context, int64_t time_ms,
                             struct weir_error *error)
{
    const struct weir_record record = {.timestamp_ms = time_ms,
                                       .value = weir_value_bytes(weir_slice("tick", 4))};
    (void)self;
    ticks.wall++;
    return weir_context_forward_record(context, &record, error);
}

static enum weir_err on_stream(void *self, struct weir_context *context, int64_t time_ms,
                               struct weir_error *error)
{
    (void)self;
    (void)time_ms;
    (void)error;
    assert_true(weir_context_stream_time_ms(context) >= 0);
    ticks.stream++;
    return WEIR_OK;
}

static enum weir_err schedule_both(void *config, struct weir_context *context, void **self_out,
                                   struct weir_error *error)
{
    (void)config;
    (void)error;
    *self_out = NULL;
    if (weir_context_partition(context) != 1)
        return WEIR_OK;
    assert_string_equal(weir_context_task_id(context), "0_1");
    enum weir_err err = weir_context_schedule(context, WEIR_WALL_CLOCK_TIME, 100, on_wall);
    return err == WEIR_OK ? weir_context_schedule(context, WEIR_STREAM_TIME, 100, on_stream) : err;
}

static enum weir_err swallow(void *self, struct weir_context *context,
                             const struct weir_block *block, struct weir_error *error)
{
    (void)self;
    (void)context;
    (void)block;
    (void)error;
    return WEIR_OK;
}

static void punctuators_follow_their_clocks(void **state)
{
    static const struct weir_processor_ops ops = {
        .abi = WEIR_PROCESSOR_ABI, .init = schedule_both, .process_batch = swallow};
    static const char *const data[] = {"data"}, *const clock[] = {"clock"};
    struct weir_kafka_record record = record_of("x");
    struct weir_topology *topology;
    struct weir_kafka_batch out;
    (void)state;
    memset(&ticks, 0, sizeof ticks);
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", TOPIC("in"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_processor(topology, "clock", &ops, NULL, data, 1, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", clock, 1, NULL), WEIR_OK);
    struct weir_test_driver *driver = driver_of(topology);
    assert_int_equal(ticks.wall, 0);
    assert_int_equal(weir_test_driver_advance(driver, 99, NULL), WEIR_OK);
    assert_int_equal(ticks.wall, 0);
    assert_int_equal(weir_test_driver_advance(driver, 1, NULL), WEIR_OK);
    assert_int_equal(ticks.wall, 1);
    assert_int_equal(weir_test_driver_read(driver, "out", &out), WEIR_OK);
    assert_int_equal(weir_test_driver_advance(driver, 350, NULL), WEIR_OK); /* no catching up */
    assert_int_equal(ticks.wall, 2);
    assert_int_equal(ticks.stream, 0);
    record.timestamp_ms = 100000;
    assert_int_equal(weir_test_driver_pipe(driver, &record, NULL), WEIR_OK);
    assert_int_equal(ticks.stream, 1);
    record.timestamp_ms = 100050;
    assert_int_equal(weir_test_driver_pipe(driver, &record, NULL), WEIR_OK);
    assert_int_equal(ticks.stream, 1);
    record.timestamp_ms = 100100;
    assert_int_equal(weir_test_driver_pipe(driver, &record, NULL), WEIR_OK);
    assert_int_equal(ticks.stream, 2);
    weir_test_driver_free(driver);
}

/* ---- global stores --------------------------------------------------------------------------- */

struct store {
    uint32_t rows, refuse;
    bool past_end;
};

static enum weir_err store_update(void *opaque, const struct weir_block *block, bool past_end,
                                  struct weir_error *error)
{
    struct store *store = opaque;
    (void)error;
    if (store->refuse) {
        store->refuse--;
        return WEIR_AGAIN;
    }
    store->rows += block->rows;
    store->past_end = past_end;
    return WEIR_OK;
}

static void a_global_store_follows_its_topic(void **state)
{
    struct behaviour behaviour = {.fail_at = -1};
    struct store store = {.refuse = 2};
    struct weir_global_store global = {.name = "s",
                                       .source = "s-source",
                                       .topic = "table",
                                       .processor = "s-update",
                                       .update = store_update,
                                       .store = &store};
    struct weir_kafka_record record = record_of("x");
    (void)state;
    struct weir_topology *topology = copy_topology(&behaviour);
    assert_int_equal(weir_topology_add_global_store(topology, &global, NULL), WEIR_OK);
    struct weir_test_driver *driver = driver_of(topology);
    record.topic = "table";
    record.partition = 0;
    assert_int_equal(weir_test_driver_pipe(driver, &record, NULL), WEIR_OK);
    assert_int_equal(store.rows, 1);
    assert_true(store.past_end);
    weir_test_driver_free(driver);
}

/* ---- steady state ---------------------------------------------------------------------------- */

static void records_are_not_allocated_for_in_steady_state(void **state)
{
    enum { WARM_UP = 20000, MEASURED = 50000 };
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    for (int i = 0; i < WARM_UP; i++)
        fixture_put(&fixture, 0, "value");
    instance_settle(&fixture, streams);
    weir_alloc_watch_start(0); /* the in-memory cluster allocates for each poll */
    instance_settle(&fixture, streams);
    uint64_t idle = weir_alloc_watch_stop().allocations;
    for (int i = 0; i < MEASURED; i++)
        fixture_put(&fixture, 0, "value");
    weir_alloc_watch_start(0);
    instance_settle(&fixture, streams);
    uint64_t busy = weir_alloc_watch_stop().allocations;
    assert_int_equal(fixture_committed(&fixture, 0), WARM_UP + MEASURED);
    printf("%d records in as many polls: %llu allocations, without any %llu\n", MEASURED,
           (unsigned long long)busy, (unsigned long long)idle);
    assert_true(busy < idle + 20); /* room for the records in the in-memory cluster */
    instance_close(streams);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_out_where_it_went_in),
        cmocka_unit_test(an_undecodable_record_is_a_dead_letter_with_its_reason),
        cmocka_unit_test(a_very_large_bad_record_is_cut_and_its_digest_told),
        cmocka_unit_test(punctuators_follow_their_clocks),
        cmocka_unit_test(a_global_store_follows_its_topic),
        cmocka_unit_test(records_are_not_allocated_for_in_steady_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
