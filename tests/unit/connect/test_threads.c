/* Readers with threads of their own, in real time; for the thread sanitizer above all. */
#include "station.h"

#include <poll.h>
#include <stdatomic.h>

#include "base/clock.h"

enum { LIMIT_MS = 30000 };

/* Looks until it is true, or the time is over. */
static bool comes_true(bool (*is_true)(void *opaque), void *opaque)
{
    int64_t deadline_ms = weir_clock_now_ms(NULL) + LIMIT_MS;

    while (!is_true(opaque)) {
        if (weir_clock_now_ms(NULL) > deadline_ms)
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

static bool all_committed(void *opaque)
{
    struct station *station = opaque;

    return station_committed_sum(station) == 3 * 2000;
}

static bool has_member(void *opaque)
{
    struct station *station = opaque;

    return weir_kafka_fake_members(station->kafka, "group") == 1;
}

static void records_go_through_islands_while_partitions_move(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line lines[2];

    (void)state;
    station_open_threads(&station);
    station_options(&station, &options);
    options.thread = true;
    options.records_max = 50;
    options.blocks = 8;
    options.commit_ms = 5;
    for (uint32_t i = 0; i < 2; i++) {
        line_open(&lines[i], &station, &options);
        weir_connect_committer(
            weir_flow_async(weir_connect_each(weir_flow_async(lines[i].source, 2)), 16));
        line_start(&lines[i]);
    }
    for (uint32_t i = 0; i < 20; i++) {
        station_put(&station, 100);
        weir_kafka_fake_rebalance(station.kafka, "group");
    }
    assert_true(comes_true(all_committed, &station));
    for (uint32_t i = 0; i < 2; i++)
        line_stop(&lines[i]);
    for (uint32_t i = 0; i < 2; i++) {
        line_wait(&lines[i]);
        line_close(&lines[i]);
    }
    assert_int_equal(station_committed_sum(&station), 3 * 2000);
    station_close(&station);
}

static bool generation_moved(void *opaque)
{
    struct station *station = opaque;

    return weir_kafka_fake_generation(station->kafka, "group") >= 2;
}

static bool first_committed(void *opaque)
{
    return station_committed_sum(opaque) == 1;
}

/* What is under way when its partition goes is committed if it becomes done in time. */
static void a_revoked_partition_waits_for_what_is_under_way(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_flow_sink_queue *queue;
    const struct weir_kafka_record record = {.topic = "in", .partition = 0, .timestamp_ms = 1};
    void *element;

    (void)state;
    station_open_threads(&station);
    station_options(&station, &options);
    options.thread = true;
    options.drain_ms = LIMIT_MS;
    options.commit_ms = 1000 * 1000; /* so that only the rebalance commits */
    options.commit_records = 1000 * 1000;
    line_open(&line, &station, &options);
    int32_t sink = weir_flow_sink_queue(line.source, 1);
    line_start(&line);
    queue = weir_flow_stream_value(line.stream, sink);
    assert_true(comes_true(has_member, &station));
    assert_int_equal(weir_kafka_fake_append(station.kafka, &record, NULL, NULL), WEIR_OK);
    assert_int_equal(weir_flow_sink_queue_pull(queue, &element, LIMIT_MS, NULL), WEIR_OK);
    weir_kafka_fake_revoke(station.kafka, "group", "in", 0);
    assert_true(comes_true(generation_moved, &station));
    assert_int_equal(station_committed_sum(&station), 0);
    weir_connect_done_block(element);
    weir_connect_block_kind.drop(element);
    assert_true(comes_true(first_committed, &station));
    weir_flow_sink_queue_cancel(queue);
    line_wait(&line);
    line_close(&line);
    station_close(&station);
}

/* ... and if not, it is the next owner's. */
static void a_revoked_partition_does_not_wait_for_ever(void **state)
{
    struct station station;
    struct weir_connect_source_options options;
    struct line line;
    struct weir_flow_sink_queue *queue;
    const struct weir_kafka_record record = {.topic = "in", .partition = 0, .timestamp_ms = 1};
    void *first, *again;

    (void)state;
    station_open_threads(&station);
    station_options(&station, &options);
    options.thread = true;
    options.drain_ms = 1;
    options.commit_ms = 1;
    line_open(&line, &station, &options);
    int32_t sink = weir_flow_sink_queue(line.source, 1);
    line_start(&line);
    queue = weir_flow_stream_value(line.stream, sink);
    assert_true(comes_true(has_member, &station));
    assert_int_equal(weir_kafka_fake_append(station.kafka, &record, NULL, NULL), WEIR_OK);
    assert_int_equal(weir_flow_sink_queue_pull(queue, &first, LIMIT_MS, NULL), WEIR_OK);
    weir_kafka_fake_rebalance(station.kafka, "group"); /* lost and gained again */
    assert_int_equal(weir_flow_sink_queue_pull(queue, &again, LIMIT_MS, NULL), WEIR_OK);
    weir_connect_done_block(first); /* too late: it changes nothing */
    weir_connect_block_kind.drop(first);
    assert_int_equal(station_committed_sum(&station), 0);
    weir_connect_done_block(again);
    weir_connect_block_kind.drop(again);
    assert_true(comes_true(first_committed, &station));
    line_stop(&line);
    line_wait(&line);
    line_close(&line);
    station_close(&station);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_go_through_islands_while_partitions_move),
        cmocka_unit_test(a_revoked_partition_waits_for_what_is_under_way),
        cmocka_unit_test(a_revoked_partition_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
