/* A topic read whole: one block at a time, its end told once, what comes later marked. */
#include "station.h"

struct reading {
    struct station station;
    struct weir_connect_table_options options;
    struct weir_flow_graph *graph;
    struct weir_flow_stream *stream;
    struct weir_flow_sink_probe *probe;
};

static void reading_open(struct reading *reading, const char *topic)
{
    station_open(&reading->station, 0, 0);
    weir_connect_table_options_default(&reading->options);
    reading->options.kafka = reading->station.kafka;
    reading->options.table.topic = topic;
    reading->options.records_max = 8;
    assert_int_equal(weir_flow_graph_new(&reading->graph), WEIR_OK);
}

static void reading_start(struct reading *reading)
{
    int32_t sink = weir_flow_probe_sink(weir_connect_table(reading->graph, &reading->options));
    assert_int_equal(
        weir_flow_run(reading->graph, reading->station.materializer, &reading->stream, NULL),
        WEIR_OK);
    reading->probe = weir_flow_stream_value(reading->stream, sink);
    weir_flow_sink_probe_request(reading->probe, 1000);
}

static void reading_close(struct reading *reading)
{
    if (reading->stream != NULL) {
        weir_flow_stream_abort(reading->stream);
        assert_int_equal(weir_flow_stream_wait(reading->stream, 0), WEIR_OK);
    }
    weir_flow_stream_free(reading->stream);
    weir_flow_graph_free(reading->graph);
    station_close(&reading->station);
}

/* The next block, or NULL after a while. */
static struct weir_connect_table_block *next(struct reading *reading)
{
    void *element = NULL;

    for (int i = 0; i < 20; i++) {
        enum weir_err err = weir_flow_sink_probe_take(reading->probe, &element);
        if (err == WEIR_OK)
            return element;
        assert_int_equal(err, WEIR_AGAIN);
        station_run_ms(&reading->station, 10);
    }
    return NULL;
}

/* Records of all blocks up to the end, or to what there is. */
static uint32_t read_on(struct reading *reading, bool *end_out, bool past_end)
{
    struct weir_connect_table_block *block;
    uint32_t count = 0;

    *end_out = false;
    while (!*end_out && (block = next(reading)) != NULL) {
        assert_int_equal(block->past_end, past_end);
        assert_true(block->batch.count <= 8);
        assert_null(next(reading)); /* one at a time */
        count += block->batch.count;
        *end_out = block->batch.count == 0;
        weir_connect_table_kind.drop(block);
    }
    return count;
}

static void a_topic_is_read_to_its_end_and_followed(void **state)
{
    struct reading reading;
    bool end;

    (void)state;
    reading_open(&reading, "in");
    station_put(&reading.station, 20);
    reading_start(&reading);
    assert_int_equal(read_on(&reading, &end, false), 60);
    assert_true(end);
    station_put(&reading.station, 5);
    assert_int_equal(read_on(&reading, &end, true), 15);
    assert_false(end);
    reading_close(&reading);
}

static void a_topic_that_is_not_there_has_its_end_at_once(void **state)
{
    struct reading reading;
    bool end;

    (void)state;
    reading_open(&reading, "nothing");
    reading_start(&reading);
    assert_int_equal(read_on(&reading, &end, false), 0);
    assert_true(end);
    reading_close(&reading);
}

static void a_failure_is_waited_out_unless_it_is_fatal(void **state)
{
    (void)state;
    for (int fatal = 0; fatal < 2; fatal++) {
        struct weir_kafka_fake_failure failure = {.call = WEIR_KAFKA_FAKE_FETCH,
                                                  .count = 3,
                                                  .err = WEIR_BROKER,
                                                  .retriable = !fatal,
                                                  .fatal = fatal};
        struct reading reading;
        void *element;
        bool end;

        reading_open(&reading, "in");
        station_put(&reading.station, 2);
        weir_kafka_fake_fail(reading.station.kafka, &failure);
        reading_start(&reading);
        if (fatal) {
            station_run_ms(&reading.station, 100);
            assert_int_equal(weir_flow_sink_probe_take(reading.probe, &element), WEIR_BROKER);
        } else {
            assert_int_equal(read_on(&reading, &end, false), 6);
            assert_true(end);
        }
        reading_close(&reading);
    }
}

static void options_out_of_bounds_are_refused(void **state)
{
    (void)state;
    for (int fault = 0; fault < 4; fault++) {
        struct reading reading;

        reading_open(&reading, fault == 0 ? NULL : "in");
        if (fault == 1)
            reading.options.records_max = 0;
        if (fault == 2)
            reading.options.records_max = WEIR_KAFKA_BATCH_MAX + 1;
        if (fault == 3)
            reading.options.poll_ms = 0;
        weir_flow_ignore(weir_connect_table(reading.graph, &reading.options));
        assert_int_equal(
            weir_flow_run(reading.graph, reading.station.materializer, &reading.stream, NULL),
            WEIR_INVALID);
        reading.stream = NULL;
        reading_close(&reading);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_is_read_to_its_end_and_followed),
        cmocka_unit_test(a_topic_that_is_not_there_has_its_end_at_once),
        cmocka_unit_test(a_failure_is_waited_out_unless_it_is_fatal),
        cmocka_unit_test(options_out_of_bounds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
