/* Failures that meet one another: nothing undelivered is committed, nothing hangs or aborts. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static void put_many(struct fixture *fixture, uint32_t count)
{
    char name[32];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%u", i);
        fixture_put(fixture, 0, name);
    }
}

static void what_a_processor_keeps_is_not_committed_before_it_is_delivered(void **state)
{
    struct fixture fixture;
    struct behaviour keeps = {.fail_at = -1, .keeps = true}, again = keeps;
    struct weir_error error = {0};
    (void)state;
    fixture_init(&fixture, 1, 1000, 0);
    put_many(&fixture, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&keeps));
    for (int i = 0; i < 6; i++) { /* read, flushed, on its way */
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
        weir_clock_virtual_advance_ms(&fixture.clock, 60);
    }
    instance_kill(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 0);
    assert_int_equal(fixture_committed(&fixture, 0), -1);
    streams = instance_open(&fixture, copy_topology(&again));
    instance_settle(&fixture, streams);
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 10);
    assert_int_equal(fixture_committed(&fixture, 0), 10);
    instance_close(streams);
    fixture_release(&fixture);
}

/* The first block's failure is reported while the second one is in hand. */
static void a_failure_reported_within_the_next_block_is_not_committed(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1, .clock = &fixture.clock, .takes_ms = 20};
    struct weir_error error = {0};
    (void)state;
    fixture_init(&fixture, 1, 30, 0);
    fixture.options.batch_rows = 5;
    fixture.options.commit_interval_ms = 1000000;
    put_many(&fixture, 10);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_DELIVERY, "out", 2, 1, WEIR_BROKER, false);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_PRODUCE, "out", 6, 1, WEIR_AGAIN, false);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    assert_int_equal(instance_step(streams, &error), WEIR_OK);
    behaviour.takes_ms = 40;
    assert_int_equal(instance_step(streams, &error), WEIR_OK);
    assert_int_equal(behaviour.calls, 2);
    instance_close(streams);
    assert_true(fixture_committed(&fixture, 0) <= 0);
    fixture_release(&fixture);
}

static void a_failed_task_outlasts_a_long_rebalance(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    struct weir_error error = {0};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_DELIVERY, "out", 0, 1, WEIR_BROKER, false);
    assert_int_equal(instance_step(streams, &error), WEIR_OK);
    weir_kafka_fake_hold_rebalance(fixture.kafka, "app", true);
    for (int i = 0; i < 100; i++) {
        if (instance_step(streams, &error) != WEIR_OK)
            fail_msg("step %d: %s", i, error.message);
        weir_clock_virtual_advance_ms(&fixture.clock, 50);
    }
    weir_kafka_fake_hold_rebalance(fixture.kafka, "app", false);
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_committed(&fixture, 0), 10);
    instance_close(streams);
    fixture_release(&fixture);
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

static void a_task_waits_while_the_dead_letter_topic_is_away(void **state)
{
    struct fixture fixture;
    static const char *const data[] = {"data"};
    struct weir_topology *topology;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture_put(&fixture, 0, "\xff");
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(
        weir_topology_add_source(topology, "data", TOPIC("in"), wine_decoder, NULL, NULL), WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", data, 1, NULL), WEIR_OK);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_DELIVERY, "dead", 0, 40, WEIR_BROKER, false);
    struct weir_streams *streams = instance_open(&fixture, topology);
    for (int i = 0; i < 10; i++)
        instance_settle(&fixture, streams);
    assert_int_equal(fixture_committed(&fixture, 0), -1);
    assert_int_equal(weir_streams_state(streams), WEIR_STREAMS_RUNNING);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_DELIVERY, "dead", 0, 0, WEIR_BROKER, false);
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "dead", 0), 1);
    assert_int_equal(fixture_committed(&fixture, 0), 1);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_record_that_is_refused_after_it_was_sent_becomes_a_dead_letter(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = -1};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 1);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_DELIVERY, "out", 0, UINT32_MAX, WEIR_LIMIT, false);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    for (int i = 0; i < 5; i++)
        instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "dead", 0), 1);
    assert_int_equal(fixture_committed(&fixture, 0), 1);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_row_that_is_refused_comes_again_and_those_before_it_do_not(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {
        .fail_at = -1, .one_by_one = true, .refuse = 2, .refuse_offset = 4};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 10);
    assert_int_equal(behaviour.calls, 12);
    instance_close(streams);
    fixture_release(&fixture);
}

/* At least once: what came before the failure in its block is not taken back. */
static void what_was_forwarded_before_a_failure_comes_again(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = 5, .failures = 1, .one_by_one = true};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 10);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 15);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_rebalance_with_a_failed_flushing_task_does_not_abort(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = 5, .failures = 1, .keeps = true};
    struct weir_error error = {0};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    struct weir_streams *streams = instance_open(&fixture, copy_topology(&behaviour));
    for (int i = 0; i < 3; i++)
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
    put_many(&fixture, 10);
    assert_int_equal(instance_step(streams, &error), WEIR_OK);
    weir_kafka_fake_hold_rebalance(fixture.kafka, "app", true);
    for (int i = 0; i < 4; i++) {
        weir_clock_virtual_advance_ms(&fixture.clock, 200);
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
    }
    weir_kafka_fake_hold_rebalance(fixture.kafka, "app", false);
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_count(&fixture, "out", 0), 10);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_wish_to_wait_behind_another_processor_is_an_error(void **state)
{
    struct fixture fixture;
    struct behaviour first = {.fail_at = -1}, second = {.fail_at = -1, .refuse = UINT32_MAX};
    struct weir_error error = {0};
    static const char *const copy[] = {"copy"};
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_many(&fixture, 10);
    struct weir_topology *topology = copy_topology(&first);
    struct weir_topology *other = copy_topology(&second); /* for its table of functions */
    assert_int_equal(weir_topology_add_processor(topology, "second", other->nodes[1].ops, &second,
                                                 copy, 1, NULL),
                     WEIR_OK);
    struct weir_streams *streams = instance_open(&fixture, topology);
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < 1000 && err == WEIR_OK; i++) {
        err = instance_step(streams, &error);
        weir_clock_virtual_advance_ms(&fixture.clock, 100);
    }
    assert_int_equal(err, WEIR_INVALID);
    assert_non_null(strstr(error.message, "second"));
    instance_close(streams);
    weir_topology_free(other);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_processor_keeps_is_not_committed_before_it_is_delivered),
        cmocka_unit_test(a_failure_reported_within_the_next_block_is_not_committed),
        cmocka_unit_test(a_failed_task_outlasts_a_long_rebalance),
        cmocka_unit_test(a_task_waits_while_the_dead_letter_topic_is_away),
        cmocka_unit_test(a_record_that_is_refused_after_it_was_sent_becomes_a_dead_letter),
        cmocka_unit_test(a_row_that_is_refused_comes_again_and_those_before_it_do_not),
        cmocka_unit_test(what_was_forwarded_before_a_failure_comes_again),
        cmocka_unit_test(a_rebalance_with_a_failed_flushing_task_does_not_abort),
        cmocka_unit_test(a_wish_to_wait_behind_another_processor_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
