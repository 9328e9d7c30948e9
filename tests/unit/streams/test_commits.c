/* What is committed was delivered; what fails in passing is done again. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static void put_many(struct fixture *fixture, int32_t partition, uint32_t first, uint32_t count)
{
    char name[32];
    for (uint32_t i = first; i < first + count; i++) {
        snprintf(name, sizeof name, "%d-%u", partition, i);
        fixture_put(fixture, partition, name);
    }
}

static void assert_all_there(struct fixture *fixture, int32_t partition, uint32_t count)
{
    char name[32];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%d-%u", partition, i);
        if (!fixture_count_value(fixture, "out", partition, name))
            fail_msg("%s is missing", name);
    }
}

static void records_keep_partition_and_order_and_are_committed(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, 2, 0, 0);
    put_many(&fixture, 0, 0, 5000);
    put_many(&fixture, 1, 0, 30);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    instance_settle(&fixture, streams);
    assert_int_equal(weir_streams_state(streams), WEIR_STREAMS_RUNNING);
    assert_int_equal(fixture_count(&fixture, "out", 0), 5000);
    assert_int_equal(fixture_count(&fixture, "out", 1), 30);
    assert_int_equal(fixture_committed(&fixture, 0), 5000);
    assert_int_equal(fixture_committed(&fixture, 1), 30);
    struct weir_kafka_batch batch;
    for (int64_t offset = 0; offset < 5000; offset++) {
        char name[32];
        int length = snprintf(name, sizeof name, "0-%d", (int)offset);
        assert_int_equal(weir_kafka_fake_read(fixture.kafka, "out", 0, offset, &batch), WEIR_OK);
        assert_true(weir_slice_equal(batch.rows.value[0], weir_slice(name, (size_t)length)));
        assert_true(weir_slice_equal(batch.rows.key[0], weir_slice(name, (size_t)length)));
        weir_kafka_batch_release(&batch);
    }
    struct weir_streams_stats stats;
    weir_streams_stats(streams, &stats);
    assert_int_equal(stats.records_consumed, 5030);
    assert_int_equal(stats.records_delivered, 5030);
    assert_int_equal(stats.tasks, 2);
    instance_close(streams);
    assert_int_equal(behaviour.opened, 2);
    assert_int_equal(behaviour.closed, 2);
    fixture_release(&fixture);
}

static void nothing_is_committed_before_it_is_delivered(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    struct weir_error error = {0};
    (void)state;
    fixture_init(&fixture, 1, 1000, 0);
    put_many(&fixture, 0, 0, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    for (int i = 0; i < 9; i++) {
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
        weir_clock_virtual_advance_ms(&fixture.clock, 100);
        assert_int_equal(fixture_committed(&fixture, 0), -1);
    }
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_committed(&fixture, 0), 10);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_failed_delivery_is_done_again_from_the_last_commit(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    put_many(&fixture, 0, 0, 100);
    instance_settle(&fixture, streams);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_DELIVERY, "out", 3, 2, WEIR_BROKER, false);
    put_many(&fixture, 0, 100, 100);
    instance_settle(&fixture, streams);
    assert_all_there(&fixture, 0, 200);
    assert_int_equal(fixture_committed(&fixture, 0), 200);
    assert_int_equal(fixture_count_value(&fixture, "out", 0, "0-50"), 1);
    struct weir_streams_stats stats;
    weir_streams_stats(streams, &stats);
    assert_int_equal(stats.rewinds, 1);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_fatal_producer_is_replaced(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, 1, 10, 0);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_DELIVERY, "out", 7, 1, WEIR_BROKER, true);
    put_many(&fixture, 0, 0, 100);
    instance_settle(&fixture, streams);
    assert_all_there(&fixture, 0, 100);
    assert_int_equal(fixture_committed(&fixture, 0), 100);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_failed_commit_is_made_again(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_COMMIT, NULL, 0, 3, WEIR_BROKER, false);
    put_many(&fixture, 0, 0, 10);
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_committed(&fixture, 0), 10);
    assert_int_equal(fixture_count(&fixture, "out", 0), 10);
    struct weir_streams_stats stats;
    weir_streams_stats(streams, &stats);
    assert_int_equal(stats.commit_failures, 3);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_close_commits_what_was_delivered(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    struct weir_error error = {0};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture.options.commit_interval_ms = 1000000;
    put_many(&fixture, 0, 0, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    for (int i = 0; i < 5; i++)
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
    assert_int_equal(fixture_committed(&fixture, 0), -1);
    thread_close(streams->threads[0]);
    assert_int_equal(fixture_committed(&fixture, 0), 10);
    assert_int_equal(weir_streams_stop(streams), WEIR_OK);
    assert_int_equal(weir_streams_state(streams), WEIR_STREAMS_NOT_RUNNING);
    weir_streams_free(streams);
    fixture_release(&fixture);
}

static void a_stop_that_could_not_deliver_says_so(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    struct weir_error error = {0};
    (void)state;
    fixture_init(&fixture, 1, 1000, 0);
    put_many(&fixture, 0, 0, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    for (int i = 0; i < 5; i++)
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
    thread_close(streams->threads[0]);
    assert_int_equal(fixture_committed(&fixture, 0), -1);
    assert_int_equal(weir_streams_stop(streams), WEIR_TIMEOUT);
    weir_streams_free(streams);
    fixture_release(&fixture);
}

static void a_refused_block_comes_again_and_is_processed_once(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1, .refuse = 3};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 0, 0, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    instance_settle(&fixture, streams);
    assert_int_equal(behaviour.calls, 4);
    assert_int_equal(fixture_count(&fixture, "out", 0), 10);
    assert_int_equal(fixture_committed(&fixture, 0), 10);
    instance_close(streams);
    fixture_release(&fixture);
}

static void all_of_very_many_tasks_are_committed(void **state)
{
    enum { TASKS = 1100 };
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, TASKS, 0, 0);
    for (int32_t i = 0; i < TASKS; i++)
        put_many(&fixture, i, 0, 1);
    fixture.options.commit_interval_ms = 1000000000; /* at the end alone */
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    for (int i = 0; i < TASKS / 100; i++)
        instance_settle(&fixture, streams);
    assert_int_equal(fixture_committed(&fixture, 0), -1);
    instance_close(streams);
    for (int32_t i = 0; i < TASKS; i++)
        assert_int_equal(fixture_committed(&fixture, i), 1);
    fixture_release(&fixture);
}

static void punctuators_do_not_pile_up_behind_a_parked_block(void **state)
{
    struct fixture fixture;
    (void)state;
    for (int keeps = 0; keeps < 2; keeps++) {
        struct behaviour behaviour = {
            .fail_at = -1, .refuse = 1000, .ticks = true, .keeps = keeps == 1};
        fixture_init(&fixture, 1, 0, 0);
        put_many(&fixture, 0, 0, 10);
        struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
        instance_settle(&fixture, streams);
        assert_in_range(streams->threads[0]->tasks->inflight_count, 1, 2); /* block, flush */
        behaviour.refuse = 0;
        instance_settle(&fixture, streams);
        assert_int_equal(fixture_count(&fixture, "out", 0), 10);
        assert_int_equal(fixture_committed(&fixture, 0), 10);
        instance_close(streams);
        fixture_release(&fixture);
    }
}

static void a_wake_brings_a_parked_block_back_at_once(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1, .refuse = 1};
    struct weir_error error = {0};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 0, 0, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    for (int i = 0; i < 10; i++) /* the clock stands */
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
    assert_int_equal(behaviour.calls, 1);
    weir_streams_wake(streams);
    assert_int_equal(instance_step(streams, &error), WEIR_OK);
    assert_int_equal(behaviour.calls, 2);
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 10);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_parked_block_is_read_again_by_the_next_owner(void **state)
{
    struct fixture fixture;
    struct behaviour never = {.fail_at = -1, .refuse = UINT32_MAX}, copies = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 0, 0, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&never));
    instance_settle(&fixture, streams);
    instance_close(streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 0);
    streams = instance_open(&fixture, copy_topology(&copies));
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 10);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_processor_that_fails_once_goes_on(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = 5, .failures = 1};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 0, 0, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    instance_settle(&fixture, streams);
    assert_all_there(&fixture, 0, 10);
    assert_int_equal(fixture_committed(&fixture, 0), 10);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_processor_that_always_fails_ends_the_instance(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = 5, .failures = UINT32_MAX};
    struct weir_error error = {0};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 0, 0, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < 1000 && err == WEIR_OK; i++) {
        err = instance_step(streams, &error);
        weir_clock_virtual_advance_ms(&fixture.clock, 100);
    }
    assert_int_equal(err, WEIR_MODEL_FAILED);
    assert_non_null(strstr(error.message, "told to fail"));
    assert_non_null(strstr(error.message, "copy"));
    assert_true(fixture_committed(&fixture, 0) < 6);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_record_that_is_too_large_becomes_a_dead_letter_without_value(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 0, 0, 10);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_PRODUCE, "out", 4, 1, WEIR_LIMIT, false);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 9);
    assert_int_equal(fixture_count(&fixture, "dead", 0), 1);
    assert_int_equal(fixture_committed(&fixture, 0), 10);
    struct weir_kafka_batch batch;
    assert_int_equal(weir_kafka_fake_read(fixture.kafka, "dead", 0, 0, &batch), WEIR_OK);
    assert_null(batch.rows.value[0].data);
    assert_true(weir_slice_equal(batch.rows.key[0], weir_slice("0-4", 3)));
    weir_kafka_batch_release(&batch);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_full_send_queue_is_waited_for(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 0, 0, 100);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_PRODUCE, "out", 50, 3, WEIR_AGAIN, false);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 100);
    assert_int_equal(fixture_committed(&fixture, 0), 100);
    instance_close(streams);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_keep_partition_and_order_and_are_committed),
        cmocka_unit_test(nothing_is_committed_before_it_is_delivered),
        cmocka_unit_test(a_failed_delivery_is_done_again_from_the_last_commit),
        cmocka_unit_test(a_fatal_producer_is_replaced),
        cmocka_unit_test(a_failed_commit_is_made_again),
        cmocka_unit_test(a_close_commits_what_was_delivered),
        cmocka_unit_test(a_stop_that_could_not_deliver_says_so),
        cmocka_unit_test(a_refused_block_comes_again_and_is_processed_once),
        cmocka_unit_test(all_of_very_many_tasks_are_committed),
        cmocka_unit_test(punctuators_do_not_pile_up_behind_a_parked_block),
        cmocka_unit_test(a_wake_brings_a_parked_block_back_at_once),
        cmocka_unit_test(a_parked_block_is_read_again_by_the_next_owner),
        cmocka_unit_test(a_processor_that_fails_once_goes_on),
        cmocka_unit_test(a_processor_that_always_fails_ends_the_instance),
        cmocka_unit_test(a_record_that_is_too_large_becomes_a_dead_letter_without_value),
        cmocka_unit_test(a_full_send_queue_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
