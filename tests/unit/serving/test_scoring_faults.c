/* What goes wrong around the scoring processor loses nothing: deliveries that fail, instances that
 * go, memory that is short; and the steady state allocates nothing. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "stage.h"

static struct stage stage_memory, *const stage = &stage_memory;

static int begin(void **state)
{
    (void)state;
    stage_init(stage);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stage_release(stage);
    return 0;
}

static void fail_deliveries(const char *topic, uint32_t skip, uint32_t count)
{
    struct weir_kafka_fake_failure failure = {.call = WEIR_KAFKA_FAKE_DELIVERY,
                                              .topic = topic,
                                              .skip = skip,
                                              .count = count,
                                              .err = WEIR_BROKER,
                                              .retriable = true};
    weir_kafka_fake_fail(stage->kafka, &failure);
}

/* ---- deliveries ------------------------------------------------------------------------------ */

static void results_that_were_not_delivered_are_made_again(void **state)
{
    enum { RECORDS = 50 };
    struct weir_streams_stats stats;
    (void)state;
    stage_put_value(stage, "wine", "v1", 0);
    struct instance *instance = stage_join(stage);
    fail_deliveries("scores", 20, 3);
    for (int i = 0; i < RECORDS; i++)
        stage_put(stage, 0, "wine", i);
    stage_settle(stage);
    weir_streams_stats(instance->streams, &stats);
    assert_true(stats.rewinds >= 1);
    assert_int_equal(weir_kafka_fake_failed(stage->kafka, WEIR_KAFKA_FAKE_DELIVERY), 3);
    for (int i = 0; i < RECORDS; i++)
        assert_true(stage_results_of(stage, 0, i) >= 1);
    assert_int_equal(stage_committed(stage, 0), RECORDS);
    /* What was scored twice was read twice: the sum holds. */
    assert_int_equal(stats.records_consumed, atomic_load(&instance->scoring.totals.results));
    assert_true(stats.records_consumed > RECORDS);
}

static void dead_letters_that_were_not_delivered_are_made_again(void **state)
{
    enum { RECORDS = 6 };
    (void)state;
    stage->scoring.no_model = NO_MODEL_DEAD_LETTER;
    stage_put_value(stage, "wine", "v1", 0);
    stage_join(stage);
    fail_deliveries("dead", 1, 1);
    for (int i = 0; i < RECORDS; i++)
        stage_put(stage, 0, i % 2 ? "beer" : "wine", i);
    stage_settle(stage);
    bool dead[RECORDS] = {false};
    uint32_t letters = stage_count(stage, "dead", 0);
    for (uint32_t i = 0; i < letters; i++) {
        struct weir_kafka_batch batch = stage_read(stage, "dead", 0, i);
        dead[((const char *)batch.rows.key[0].data)[1] - '0'] = true;
        weir_kafka_batch_release(&batch);
    }
    for (int i = 0; i < RECORDS; i++) {
        assert_int_equal(dead[i], i % 2);
        assert_int_equal(stage_results_of(stage, 0, i) >= 1, i % 2 == 0);
    }
    assert_int_equal(stage_committed(stage, 0), RECORDS);
}

static void nothing_is_committed_while_the_broker_is_away(void **state)
{
    (void)state;
    stage_put_value(stage, "wine", "v1", 0);
    struct instance *instance = stage_join(stage);
    stage_settle(stage);
    stage_put(stage, 0, "wine", 1);
    struct weir_error error;
    assert_int_equal(stage_step(instance, &error), WEIR_OK);
    weir_kafka_fake_away(stage->kafka, true);
    for (int i = 0; i < 20; i++)
        stage_put(stage, 0, "wine", 2 + i);
    stage_settle(stage);
    assert_true(stage_committed(stage, 0) < 1 || stage_count(stage, "scores", 0) >= 1);
    weir_kafka_fake_away(stage->kafka, false);
    stage_settle(stage);
    for (int i = 0; i < 21; i++)
        assert_true(stage_results_of(stage, 0, i) >= 1);
    assert_int_equal(stage_committed(stage, 0), 21);
}

static void another_instance_takes_over_where_one_left(void **state)
{
    (void)state;
    stage_put_value(stage, "wine", "v1", 0);
    struct instance *first = stage_join(stage);
    for (int i = 0; i < 10; i++)
        stage_put(stage, i % STAGE_PARTITIONS, "wine", i);
    stage_settle(stage);
    struct instance *second = stage_join(stage);
    stage_settle(stage); /* a partition each */
    for (int i = 0; i < 10; i++)
        stage_put(stage, i % STAGE_PARTITIONS, "wine", i);
    stage_settle(stage);
    assert_int_equal(atomic_load(&first->scoring.totals.results), 15);
    assert_int_equal(atomic_load(&second->scoring.totals.results), 5);
    stage_leave(first);
    for (int i = 0; i < 10; i++)
        stage_put(stage, i % STAGE_PARTITIONS, "wine", i);
    stage_settle(stage);
    for (int partition = 0; partition < STAGE_PARTITIONS; partition++) {
        assert_int_equal(stage_count(stage, "scores", partition), 15); /* none twice */
        for (int i = 0; i < 15; i++)
            assert_int_equal(stage_results_of(stage, partition, i), 1);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint64_t allocations_of(uint32_t records)
{
    for (uint32_t i = 0; i < records; i++)
        stage_put(stage, 0, i % 3 ? "wine" : "beer", i % 16);
    weir_alloc_watch_start(0);
    stage_settle(stage);
    return weir_alloc_watch_stop().allocations;
}

static void scoring_allocates_nothing_in_steady_state(void **state)
{
    enum { WARM_UP = 20000, MEASURED = 50000 };
    (void)state;
    stage_put_value(stage, "wine", "v1", 1);
    stage_join(stage);
    allocations_of(WARM_UP);
    uint64_t idle = allocations_of(0), busy = allocations_of(MEASURED);
    printf("%d records, two data types, one without a model: %llu allocations, without any %llu\n",
           MEASURED, (unsigned long long)busy, (unsigned long long)idle);
    assert_int_equal(stage_committed(stage, 0), WARM_UP + MEASURED);
    assert_int_equal(stage_count(stage, "scores", 0), WARM_UP + MEASURED);
    assert_true(busy < idle + 20); /* room for the records in the in-memory cluster */
}

/* Each allocation on the way of two records fails once, those of making the task included: the
 * instance goes on, or ends for want of memory, and the next one finds every record. */
static void without_memory_nothing_is_lost(void **state)
{
    enum { TRIES_MAX = 1000, ROUNDS = 40, ROUND_MS = 50 };
    uint64_t failed = 1;
    uint32_t sent = 0;
    (void)state;
    stage_put_value(stage, "wine", "v1", 1);
    for (uint64_t n = 1; failed && n < TRIES_MAX; n++) {
        struct weir_error error = {.code = WEIR_OK};
        struct instance *instance = stage_join(stage);
        enum weir_err err = WEIR_OK;
        stage_put(stage, 0, "wine", 1);
        stage_put(stage, 0, "beer", 1);
        sent += 2;
        weir_alloc_watch_start(n);
        for (int round = 0; round < ROUNDS && err == WEIR_OK; round++) {
            err = stage_step(instance, &error);
            weir_clock_virtual_advance_ms(&stage->clock, ROUND_MS);
        }
        failed = weir_alloc_watch_stop().failed;
        assert_true(err == WEIR_OK || (err == WEIR_NOMEM && failed));
        stage_leave(instance);
    }
    assert_int_equal(failed, 0); /* all of them were tried */
    stage_join(stage);
    stage_settle(stage);
    for (uint32_t i = 0; i < sent; i++)
        assert_true(stage_results_of(stage, 0, i) >= 1);
    printf("%u records over %u failed allocations\n", sent, sent / 2 - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(results_that_were_not_delivered_are_made_again, begin, end),
        cmocka_unit_test_setup_teardown(dead_letters_that_were_not_delivered_are_made_again, begin,
                                        end),
        cmocka_unit_test_setup_teardown(nothing_is_committed_while_the_broker_is_away, begin, end),
        cmocka_unit_test_setup_teardown(another_instance_takes_over_where_one_left, begin, end),
        cmocka_unit_test_setup_teardown(scoring_allocates_nothing_in_steady_state, begin, end),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_lost, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
