/* Elements become records and go on when those are delivered. */
#include "station.h"

#include <string.h>

/* One record for each row of a block; opaque: how often each row is sent, NULL = once. */
static bool rows_to_out(void *opaque, const void *element, uint32_t index,
                        struct weir_kafka_record *record)
{
    const struct weir_connect_block *block = element;
    uint32_t times = opaque != NULL ? *(const uint32_t *)opaque : 1;

    if (index == block->batch.count * times)
        return false;
    record->topic = "out";
    record->partition = 0;
    record->value = block->batch.rows.value[index / (times > 0 ? times : 1)];
    return true;
}

static int64_t out_count(struct station *station)
{
    struct weir_kafka_batch batch;
    int64_t count = 0;

    while (weir_kafka_fake_read(station->kafka, "out", 0, count, &batch) == WEIR_OK) {
        weir_kafka_batch_release(&batch);
        count++;
    }
    return count;
}

struct copy {
    struct station station;
    struct line line;
    struct weir_connect_producer_options options;
    int32_t sink;
};

static void copy_open(struct copy *copy, int32_t delivery_delay_ms)
{
    station_open(&copy->station, 0, delivery_delay_ms);
    weir_connect_producer_options_default(&copy->options);
    copy->options.kafka = copy->station.kafka;
    copy->options.record = rows_to_out;
}

static void copy_start(struct copy *copy)
{
    struct weir_connect_source_options options;

    station_options(&copy->station, &options);
    options.records_max = 3;
    options.commit_ms = 10;
    line_open(&copy->line, &copy->station, &options);
    copy->sink = weir_connect_committer(weir_connect_producer(copy->line.source, &copy->options));
    line_start(&copy->line);
}

static void a_commit_follows_the_delivery(void **state)
{
    struct copy copy;

    (void)state;
    copy_open(&copy, 200);
    station_put(&copy.station, 20);
    copy_start(&copy);
    station_run_ms(&copy.station, 150);
    assert_int_equal(out_count(&copy.station), 0);
    assert_int_equal(station_committed_sum(&copy.station), 0);
    for (uint32_t i = 0; i < 100; i++) {
        station_run_ms(&copy.station, 5);
        assert_true(station_committed_sum(&copy.station) <= out_count(&copy.station));
    }
    assert_int_equal(out_count(&copy.station), 60);
    assert_int_equal(station_committed_sum(&copy.station), 60);
    line_close(&copy.line);
    station_close(&copy.station);
}

static void a_stop_delivers_what_is_under_way(void **state)
{
    struct copy copy;

    (void)state;
    copy_open(&copy, 200);
    station_put(&copy.station, 20);
    copy_start(&copy);
    station_run_ms(&copy.station, 50);
    line_stop(&copy.line);
    station_run_ms(&copy.station, 1000);
    assert_int_equal(weir_flow_stream_wait(copy.line.stream, 0), WEIR_OK);
    assert_int_equal(weir_flow_stream_result(copy.line.stream, copy.sink, NULL, NULL), WEIR_OK);
    assert_true(out_count(&copy.station) > 0);
    assert_int_equal(station_committed_sum(&copy.station), out_count(&copy.station));
    line_close(&copy.line);
    station_close(&copy.station);
}

static void an_element_is_no_record_or_many(void **state)
{
    (void)state;
    for (uint32_t times = 0; times < 4; times++) {
        struct copy copy;
        copy_open(&copy, 10);
        copy.options.opaque = &times;
        copy.options.elements_max = 2;
        station_put(&copy.station, 20);
        copy_start(&copy);
        station_run_ms(&copy.station, 1000);
        assert_int_equal(out_count(&copy.station), 60 * times);
        assert_int_equal(station_committed_sum(&copy.station), 60);
        line_close(&copy.line);
        station_close(&copy.station);
    }
}

static void a_full_queue_is_waited_for(void **state)
{
    struct copy copy;
    const struct weir_kafka_fake_failure full = {
        .call = WEIR_KAFKA_FAKE_PRODUCE, .skip = 4, .count = 5, .err = WEIR_AGAIN};

    (void)state;
    copy_open(&copy, 10);
    station_put(&copy.station, 20);
    weir_kafka_fake_fail(copy.station.kafka, &full);
    copy_start(&copy);
    station_run_ms(&copy.station, 1000);
    assert_int_equal(weir_kafka_fake_failed(copy.station.kafka, WEIR_KAFKA_FAKE_PRODUCE), 5);
    assert_int_equal(out_count(&copy.station), 60);
    assert_int_equal(station_committed_sum(&copy.station), 60);
    line_close(&copy.line);
    station_close(&copy.station);
}

/* Every third row alone, the others in runs. */
static bool runs_to_out(void *opaque, const void *element, uint32_t index,
                        struct weir_connect_rows *rows)
{
    const struct weir_connect_block *block = element;

    (void)opaque;
    if (index >= block->batch.count || index % 3 == 2)
        return false;
    *rows = (struct weir_connect_rows){
        .topic = "out", .rows = &block->batch.rows, .first = index, .end = index - index % 3 + 2};
    if (rows->end > block->batch.count)
        rows->end = block->batch.count;
    return true;
}

static void rows_go_out_in_runs(void **state)
{
    struct copy copy;
    const struct weir_kafka_fake_failure full = {
        .call = WEIR_KAFKA_FAKE_PRODUCE, .skip = 5, .count = 5, .err = WEIR_AGAIN};

    (void)state;
    copy_open(&copy, 10);
    copy.options.rows = runs_to_out;
    station_put(&copy.station, 20);
    weir_kafka_fake_fail(copy.station.kafka, &full);
    copy_start(&copy);
    station_run_ms(&copy.station, 1000);
    assert_int_equal(out_count(&copy.station), 60);
    assert_int_equal(station_committed_sum(&copy.station), 60);
    line_close(&copy.line);
    station_close(&copy.station);
}

static bool a_word(void *opaque, const void *element, uint32_t index,
                   const struct weir_error *error, struct weir_kafka_record *record)
{
    uint32_t *asked = opaque;

    (void)element;
    (void)index;
    assert_int_equal(error->code, WEIR_LIMIT);
    record->value = weir_slice("instead", 7);
    return ++*asked < 3;
}

static bool once_to_out(void *opaque, const void *element, uint32_t index,
                        struct weir_kafka_record *record)
{
    (void)opaque;
    return rows_to_out(NULL, element, index, record);
}

/* Refused twice, the second record that stands in takes its place; thrice, the stream fails. */
static void another_record_stands_in_for_a_refused_one(void **state)
{
    (void)state;
    for (uint32_t times = 2; times <= 3; times++) {
        struct copy copy;
        uint32_t asked = 0;
        const struct weir_kafka_fake_failure failure = {
            .call = WEIR_KAFKA_FAKE_PRODUCE, .skip = 7, .count = times, .err = WEIR_LIMIT};
        struct weir_kafka_batch batch;

        copy_open(&copy, 10);
        copy.options.record = once_to_out;
        copy.options.instead = a_word;
        copy.options.opaque = &asked;
        station_put(&copy.station, 20);
        weir_kafka_fake_fail(copy.station.kafka, &failure);
        copy_start(&copy);
        station_run_ms(&copy.station, 1000);
        assert_int_equal(asked, times);
        if (times == 3) {
            assert_int_equal(weir_flow_stream_result(copy.line.stream, copy.sink, NULL, NULL),
                             WEIR_LIMIT);
        } else {
            assert_int_equal(out_count(&copy.station), 60);
            assert_int_equal(station_committed_sum(&copy.station), 60);
            assert_int_equal(weir_kafka_fake_read(copy.station.kafka, "out", 0, 7, &batch),
                             WEIR_OK);
            assert_memory_equal(batch.rows.value[0].data, "instead", 7);
            weir_kafka_batch_release(&batch);
        }
        line_close(&copy.line);
        station_close(&copy.station);
    }
}

/* The stream fails; a second one takes up where the commits are, and nothing is lost. */
static void fails_and_goes_on(enum weir_kafka_fake_call call)
{
    struct copy copy;
    const struct weir_kafka_fake_failure failure = {
        .call = call, .topic = "out", .skip = 20, .count = 1, .err = WEIR_BROKER};

    copy_open(&copy, 10);
    station_put(&copy.station, 20);
    weir_kafka_fake_fail(copy.station.kafka, &failure);
    copy_start(&copy);
    station_run_ms(&copy.station, 1000);
    assert_int_equal(weir_flow_stream_result(copy.line.stream, copy.sink, NULL, NULL), WEIR_BROKER);
    line_close(&copy.line);
    assert_true(station_committed_sum(&copy.station) <= 20);
    copy_start(&copy);
    station_run_ms(&copy.station, 1000);
    assert_int_equal(station_committed_sum(&copy.station), 60);
    assert_true(out_count(&copy.station) >= 60);
    line_close(&copy.line);
    station_close(&copy.station);
}

static void a_failed_delivery_fails_the_stream(void **state)
{
    (void)state;
    fails_and_goes_on(WEIR_KAFKA_FAKE_DELIVERY);
}

static void a_refused_record_fails_the_stream(void **state)
{
    (void)state;
    fails_and_goes_on(WEIR_KAFKA_FAKE_PRODUCE);
}

static void options_out_of_bounds_are_refused(void **state)
{
    struct copy copy;
    struct weir_connect_source_options options;

    (void)state;
    copy_open(&copy, 0);
    station_options(&copy.station, &options);
    copy.options.elements_max = 0;
    line_open(&copy.line, &copy.station, &options);
    weir_connect_committer(weir_connect_producer(copy.line.source, &copy.options));
    assert_int_equal(
        weir_flow_run(copy.line.graph, copy.station.materializer, &copy.line.stream, NULL),
        WEIR_INVALID);
    line_close(&copy.line);
    station_close(&copy.station);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_follows_the_delivery),
        cmocka_unit_test(a_stop_delivers_what_is_under_way),
        cmocka_unit_test(an_element_is_no_record_or_many),
        cmocka_unit_test(a_full_queue_is_waited_for),
        cmocka_unit_test(rows_go_out_in_runs),
        cmocka_unit_test(another_record_stands_in_for_a_refused_one),
        cmocka_unit_test(a_failed_delivery_fails_the_stream),
        cmocka_unit_test(a_refused_record_fails_the_stream),
        cmocka_unit_test(options_out_of_bounds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
