/* Sources on a virtual clock: what is handed out, what is committed, and when. */
#include "station.h"

#include <string.h>

#include "base/alloc.h"

/* ---- a sink that notes what came ------------------------------------------------------------- */

static enum weir_err count_block(void *opaque, void *element, struct weir_error *error)
{
    struct weir_connect_block *block = element;

    (void)error;
    *(uint32_t *)opaque += block->batch.count;
    weir_connect_done_block(block);
    weir_connect_block_kind.drop(block);
    return WEIR_OK;
}

static enum weir_err count_and_forget(void *opaque, void *element, struct weir_error *error)
{
    struct weir_connect_block *block = element;

    (void)error;
    *(uint32_t *)opaque += block->batch.count;
    weir_connect_block_kind.drop(block);
    return WEIR_OK;
}

static void blocks_are_read_and_committed(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    uint32_t count = 0;

    (void)state;
    station_open(&station, 0, 0);
    station_put(&station, 100);
    station_options(&station, &options);
    options.records_max = 7;
    options.blocks = 2;
    line_open(&line, &station, &options);
    weir_flow_foreach(line.source, count_block, &count);
    line_start(&line);
    station_run_ms(&station, 3000);
    assert_int_equal(count, 300);
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        assert_int_equal(station_committed(&station, partition), 100);
    line_stop(&line);
    station_run_ms(&station, 20);
    assert_int_equal(weir_flow_stream_wait(line.stream, 0), WEIR_OK);
    assert_int_equal(weir_kafka_fake_members(station.kafka, "group"), 0);
    line_close(&line);
    station_close(&station);
}

static void commits_come_by_count_before_their_time(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    uint32_t count = 0;

    (void)state;
    station_open(&station, 0, 0);
    station_options(&station, &options);
    options.commit_ms = 1000 * 1000;
    options.commit_records = 30;
    line_open(&line, &station, &options);
    weir_flow_foreach(line.source, count_block, &count);
    line_start(&line);
    station_run_ms(&station, 50);
    station_put(&station, 9); /* 27 records: not yet */
    station_run_ms(&station, 50);
    assert_int_equal(count, 27);
    assert_int_equal(station_committed_sum(&station), 0);
    station_put(&station, 1);
    station_run_ms(&station, 50);
    assert_int_equal(station_committed_sum(&station), 30);
    line_close(&line);
    station_close(&station);
}

static void the_commit_stays_below_what_is_not_done(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_flow_sink_probe *probe;
    struct weir_connect_record *records[5];
    void *element;

    (void)state;
    station_open(&station, 0, 0);
    station_put(&station, 5);
    station_options(&station, &options);
    options.records_max = 2;
    options.commit_ms = 10;
    line_open(&line, &station, &options);
    int32_t sink = weir_flow_probe_sink(weir_connect_each(line.source));
    line_start(&line);
    probe = weir_flow_stream_value(line.stream, sink);
    weir_flow_sink_probe_request(probe, 15);
    station_run_ms(&station, 200);
    for (uint32_t i = 0, mine = 0; i < 15; i++) {
        assert_int_equal(weir_flow_sink_probe_take(probe, &element), WEIR_OK);
        struct weir_connect_record *record = element;
        if (record->block->batch.rows.partition == 1) {
            records[mine++] = record;
        } else {
            weir_connect_done(record);
            weir_connect_record_kind.drop(record);
        }
    }
    for (uint32_t i = 5; i-- > 1;)
        weir_connect_done(records[i]);
    station_run_ms(&station, 100);
    assert_int_equal(station_committed(&station, 0), 5);
    assert_int_equal(station_committed(&station, 1), -1);
    weir_connect_done(records[0]);
    station_run_ms(&station, 100);
    assert_int_equal(station_committed(&station, 1), 5);
    for (uint32_t i = 0; i < 5; i++)
        weir_connect_record_kind.drop(records[i]);
    line_close(&line);
    station_close(&station);
}

static void no_block_is_read_while_none_is_free(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_flow_sink_probe *probe;
    void *element;

    (void)state;
    station_open(&station, 0, 0);
    station_put(&station, 50);
    station_options(&station, &options);
    options.records_max = 1;
    options.blocks = 4;
    line_open(&line, &station, &options);
    int32_t sink = weir_flow_probe_sink(line.source);
    line_start(&line);
    probe = weir_flow_stream_value(line.stream, sink);
    weir_flow_sink_probe_request(probe, 100);
    station_run_ms(&station, 500);
    for (uint32_t round = 0; round < 20; round++) {
        void *taken[4];
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(weir_flow_sink_probe_take(probe, &taken[i]), WEIR_OK);
        assert_int_equal(weir_flow_sink_probe_take(probe, &element), WEIR_AGAIN);
        for (uint32_t i = 0; i < 4; i++) {
            weir_connect_done_block(taken[i]);
            weir_connect_block_kind.drop(taken[i]);
        }
        station_run_ms(&station, 100);
    }
    while (weir_flow_sink_probe_take(probe, &element) == WEIR_OK)
        weir_connect_block_kind.drop(element);
    line_close(&line);
    station_close(&station);
}

static void a_record_forgotten_fails_the_stream(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_error error;
    uint32_t count = 0;

    (void)state;
    station_open(&station, 0, 0);
    station_put(&station, 1);
    station_options(&station, &options);
    line_open(&line, &station, &options);
    int32_t sink = weir_flow_foreach(line.source, count_and_forget, &count);
    line_start(&line);
    station_run_ms(&station, 100);
    assert_int_equal(weir_flow_stream_result(line.stream, sink, NULL, &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "in [0] was dropped"));
    line_close(&line);
    assert_int_equal(station_committed_sum(&station), 0);
    station_close(&station);
}

static void at_most_once_is_committed_first(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_kafka_fake_failure failure = {
        .call = WEIR_KAFKA_FAKE_COMMIT, .count = 3, .err = WEIR_BROKER, .retriable = true};
    uint32_t count = 0;

    (void)state;
    station_open(&station, 0, 0);
    station_put(&station, 10);
    weir_kafka_fake_fail(station.kafka, &failure);
    station_options(&station, &options);
    options.guarantee = WEIR_CONNECT_AT_MOST_ONCE;
    options.records_max = 4;
    line_open(&line, &station, &options);
    weir_flow_foreach(line.source, count_and_forget, &count);
    line_start(&line);
    for (uint32_t i = 0; i < 60; i++) {
        station_run_ms(&station, 5);
        assert_true(station_committed_sum(&station) >= count);
    }
    assert_int_equal(count, 30);
    assert_int_equal(weir_kafka_fake_failed(station.kafka, WEIR_KAFKA_FAKE_COMMIT), 3);
    line_close(&line);
    station_close(&station);
}

static void plain_commits_nothing(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    uint32_t count = 0;

    (void)state;
    station_open(&station, 0, 0);
    station_put(&station, 10);
    station_options(&station, &options);
    options.guarantee = WEIR_CONNECT_PLAIN;
    line_open(&line, &station, &options);
    weir_flow_foreach(line.source, count_and_forget, &count);
    line_start(&line);
    station_run_ms(&station, 3000);
    assert_int_equal(count, 30);
    line_close(&line);
    assert_int_equal(station_committed(&station, 0), -1);
    station_close(&station);
}

static void the_clients_failure_is_the_streams(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_kafka_fake_failure failure = {
        .call = WEIR_KAFKA_FAKE_FETCH, .count = 3, .err = WEIR_BROKER, .retriable = true};
    uint32_t count = 0;

    (void)state;
    station_open(&station, 0, 0);
    station_put(&station, 10);
    station_options(&station, &options);
    line_open(&line, &station, &options);
    int32_t sink = weir_flow_foreach(line.source, count_block, &count);
    weir_kafka_fake_fail(station.kafka, &failure);
    line_start(&line);
    station_run_ms(&station, 1000);
    assert_int_equal(count, 30); /* what passes is waited for */
    failure.err = WEIR_DENIED;
    failure.retriable = false;
    weir_kafka_fake_fail(station.kafka, &failure);
    station_put(&station, 1);
    station_run_ms(&station, 1000);
    assert_int_equal(weir_flow_stream_result(line.stream, sink, NULL, NULL), WEIR_DENIED);
    line_close(&line);
    assert_int_equal(station_committed_sum(&station), 30);
    station_close(&station);
}

static void a_cancelled_source_commits_what_is_done(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;

    (void)state;
    station_open(&station, 0, 0);
    station_put(&station, 10);
    station_options(&station, &options);
    options.commit_ms = 1000 * 1000;
    line_open(&line, &station, &options);
    weir_connect_committer(weir_flow_take(weir_connect_each(line.source), 4));
    line_start(&line);
    station_run_ms(&station, 100);
    assert_int_equal(weir_flow_stream_wait(line.stream, 0), WEIR_OK);
    assert_int_equal(station_committed_sum(&station), 4);
    assert_int_equal(weir_kafka_fake_members(station.kafka, "group"), 0);
    line_close(&line);
    station_close(&station);
}

static void a_stop_waits_for_what_is_under_way_and_not_for_ever(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_flow_sink_probe *probe;
    void *element;

    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        station_open(&station, 0, 0);
        station_put(&station, 1);
        station_options(&station, &options);
        options.drain_ms = 500;
        line_open(&line, &station, &options);
        int32_t sink = weir_flow_probe_sink(line.source);
        line_start(&line);
        probe = weir_flow_stream_value(line.stream, sink);
        weir_flow_sink_probe_request(probe, 1);
        station_run_ms(&station, 100);
        assert_int_equal(weir_flow_sink_probe_take(probe, &element), WEIR_OK);
        weir_flow_sink_probe_request(probe, 9);
        line_stop(&line);
        station_run_ms(&station, 400);
        assert_int_equal(weir_flow_stream_wait(line.stream, 0), WEIR_TIMEOUT);
        if (kept == 0) {
            weir_connect_done_block(element);
            weir_connect_block_kind.drop(element);
        }
        void *other;
        while (weir_flow_sink_probe_take(probe, &other) == WEIR_OK) {
            weir_connect_done_block(other);
            weir_connect_block_kind.drop(other);
        }
        station_run_ms(&station, kept == 0 ? 20 : 200);
        assert_int_equal(weir_flow_stream_wait(line.stream, 0), WEIR_OK);
        if (kept == 1)
            weir_connect_block_kind.drop(element);
        line_close(&line);
        assert_int_equal(station_committed_sum(&station), kept == 0 ? 3 : 2);
        station_close(&station);
    }
}

static void options_out_of_bounds_are_refused(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_flow_stream *stream;

    (void)state;
    station_open(&station, 0, 0);
    station_options(&station, &options);
    options.records_max = WEIR_KAFKA_BATCH_MAX + 1;
    line_open(&line, &station, &options);
    weir_flow_ignore(line.source);
    assert_int_equal(weir_flow_run(line.graph, station.materializer, &stream, NULL), WEIR_INVALID);
    line_close(&line);
    station_options(&station, &options);
    options.consumer.group_id = "";
    line_open(&line, &station, &options);
    weir_flow_ignore(line.source);
    assert_int_equal(weir_flow_run(line.graph, station.materializer, &stream, NULL), WEIR_INVALID);
    line_close(&line);
    station_close(&station);
}

/* The fake allocates a little by the poll; were it by the record, these were 600 or more. */
static void nothing_is_allocated_for_each_record(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_flow_sink_probe *probe;
    struct weir_alloc_counts counts;
    uint32_t done = 0;

    (void)state;
    station_open(&station, 0, 0);
    station_put(&station, 300);
    station_options(&station, &options);
    options.records_max = 50;
    options.blocks = 6;
    line_open(&line, &station, &options);
    int32_t sink = weir_flow_probe_sink(weir_connect_each(line.source));
    line_start(&line);
    probe = weir_flow_stream_value(line.stream, sink);
    while (done < 900) {
        void *element;
        if (done == 300)
            weir_alloc_watch_start(0);
        weir_flow_sink_probe_request(probe, 1);
        while (weir_flow_sink_probe_take(probe, &element) == WEIR_AGAIN)
            station_run_ms(&station, 5);
        weir_connect_done(element);
        weir_connect_record_kind.drop(element);
        done++;
    }
    counts = weir_alloc_watch_stop();
    assert_true(counts.allocations < 100);
    line_close(&line);
    assert_int_equal(station_committed_sum(&station), 900);
    station_close(&station);
}

/* The n-th allocation fails: the stream does not start, fails, or goes on; nothing is lost. */
static void memory_may_run_out_anywhere(void **state)
{
    struct weir_alloc_counts counts = {.failed = 1};

    (void)state;
    for (uint64_t n = 1; counts.failed > 0; n++) {
        struct station station;
        struct weir_connect_source_options options;
        struct line line;
        uint32_t count = 0;
        station_open(&station, 0, 0);
        station_put(&station, 10);
        station_options(&station, &options);
        line_open(&line, &station, &options);
        weir_flow_foreach(line.source, count_block, &count);
        weir_alloc_watch_start(n);
        enum weir_err err = weir_flow_run(line.graph, station.materializer, &line.stream, NULL);
        if (err == WEIR_OK)
            station_run_ms(&station, 100);
        counts = weir_alloc_watch_stop();
        assert_true(err == WEIR_OK || err == WEIR_NOMEM);
        if (err != WEIR_OK)
            line.stream = NULL;
        line_close(&line);
        assert_int_equal(station_committed_sum(&station), count);
        if (counts.failed == 0)
            assert_int_equal(count, 30);
        station_close(&station);
    }
}

static void a_source_tells_what_it_has_and_has_done(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct weir_connect_stats stats;
    struct line line;

    (void)state;
    station_open(&station, 0, 0);
    station_options(&station, &options);
    options.commit_ms = 10;
    station_put(&station, 20);
    line_open(&line, &station, &options);
    weir_connect_committer(line.source);
    line_start(&line);
    struct weir_connect_control *control = weir_flow_stream_value(line.stream, line.source.stage);
    weir_connect_stats(control, &stats);
    assert_int_equal(stats.partitions, 0);
    assert_int_equal(stats.lag_records, -1);
    assert_false(weir_connect_owns(control, "in", 0));
    station_run_ms(&station, 3000);
    weir_connect_stats(control, &stats);
    assert_int_equal(stats.records, 60);
    assert_int_equal(stats.partitions, PARTITIONS);
    assert_int_equal(stats.lag_records, 0);
    assert_int_equal(stats.rebalances, 1);
    assert_true(stats.commits > 0);
    assert_int_equal(stats.commit_failures, 0);
    assert_true(weir_connect_owns(control, "in", 2));
    assert_false(weir_connect_owns(control, "out", 0));
    line_close(&line);
    station_close(&station);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_read_and_committed),
        cmocka_unit_test(commits_come_by_count_before_their_time),
        cmocka_unit_test(the_commit_stays_below_what_is_not_done),
        cmocka_unit_test(no_block_is_read_while_none_is_free),
        cmocka_unit_test(a_record_forgotten_fails_the_stream),
        cmocka_unit_test(at_most_once_is_committed_first),
        cmocka_unit_test(plain_commits_nothing),
        cmocka_unit_test(the_clients_failure_is_the_streams),
        cmocka_unit_test(a_cancelled_source_commits_what_is_done),
        cmocka_unit_test(a_stop_waits_for_what_is_under_way_and_not_for_ever),
        cmocka_unit_test(options_out_of_bounds_are_refused),
        cmocka_unit_test(nothing_is_allocated_for_each_record),
        cmocka_unit_test(a_source_tells_what_it_has_and_has_done),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
