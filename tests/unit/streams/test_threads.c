/* Real threads on the in-memory cluster: states, the barrier, wakes, draining, failing. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fixture.h"

enum { LIMIT_MS = 20000, RECORDS = 2000 };

struct watch {
    atomic_uint states; /* bit by state */
    atomic_bool ready;
    atomic_uint updates;
};

static void on_state(void *opaque, enum weir_streams_state from, enum weir_streams_state to)
{
    struct watch *watch = opaque;
    (void)from;
    atomic_fetch_or(&watch->states, 1u << to);
}

static enum weir_err update(void *opaque, const struct weir_block *block, bool past_end,
                            struct weir_error *error)
{
    struct watch *watch = opaque;
    (void)past_end;
    (void)error;
    atomic_fetch_add(&watch->updates, block->rows);
    return WEIR_OK;
}

static bool is_ready(void *opaque)
{
    struct watch *watch = opaque;
    return atomic_load(&watch->ready);
}

/* The cluster offers nothing to wait on across threads: look again, up to a limit. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int64_t until_ms = weir_clock_now_ms(NULL) + LIMIT_MS;                                     \
        while (!(condition)) {                                                                     \
            assert_true(weir_clock_now_ms(NULL) < until_ms);                                       \
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);                               \
        }                                                                                          \
    } while (0)

static void cluster_init(struct fixture *fixture)
{
    struct weir_kafka_fake_options options;
    weir_kafka_fake_options_default(&options);
    options.threads = true;
    options.delivery_delay_ms = 2;
    assert_int_equal(weir_kafka_fake_new(&options, &fixture->kafka, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(fixture->kafka, "in", 4), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(fixture->kafka, "out", 4), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(fixture->kafka, "dead", 1), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(fixture->kafka, "table", 1), WEIR_OK);
    weir_clock_virtual_init(&fixture->clock, 1000000);
    weir_streams_options_default(&fixture->options);
    fixture->options.application_id = "app";
    fixture->options.dead_letter_topic = "dead";
    fixture->options.commit_interval_ms = 20;
    fixture->options.threads = 2;
}

static struct weir_streams *start(struct fixture *fixture, struct watch *watch,
                                  struct weir_topology *topology)
{
    struct weir_streams *streams;
    fixture->options.on_state = on_state;
    fixture->options.opaque = watch;
    assert_int_equal(weir_streams_new(topology, fixture->kafka, &fixture->options, &streams, NULL),
                     WEIR_OK);
    assert_int_equal(weir_streams_state(streams), WEIR_STREAMS_CREATED);
    assert_int_equal(weir_streams_start(streams, NULL), WEIR_OK);
    assert_int_equal(weir_streams_start(streams, NULL), WEIR_INVALID);
    return streams;
}

static uint32_t outputs(struct fixture *fixture)
{
    uint32_t count = 0;
    for (int32_t i = 0; i < 4; i++)
        count += fixture_count(fixture, "out", i);
    return count;
}

static void put_all(struct fixture *fixture)
{
    char name[32];
    for (int i = 0; i < RECORDS; i++) {
        snprintf(name, sizeof name, "%d", i);
        fixture_put(fixture, i % 4, name);
    }
}

static void records_wait_for_the_stores_and_a_stop_drains(void **state)
{
    struct fixture fixture;
    struct behaviour behaviours = {.fail_at = -1};
    struct watch watch = {0};
    struct weir_global_store global = {.name = "s",
                                       .source = "s-source",
                                       .topic = "table",
                                       .processor = "s-update",
                                       .update = update,
                                       .ready = is_ready,
                                       .store = &watch};
    struct weir_kafka_record record = {
        .topic = "table", .timestamp_ms = 1, .value = weir_slice("m", 1)};
    (void)state;
    cluster_init(&fixture);
    fixture.options.threads = 1; /* one task's processor object is counted without a lock */
    put_all(&fixture);
    assert_int_equal(weir_kafka_fake_append(fixture.kafka, &record, NULL, NULL), WEIR_OK);
    struct weir_topology *topology = copy_topology(&behaviours);
    assert_int_equal(weir_topology_add_global_store(topology, &global, NULL), WEIR_OK);
    struct weir_streams *streams = start(&fixture, &watch, topology);
    WAIT_FOR(atomic_load(&watch.updates) == 1);
    assert_int_equal(outputs(&fixture), 0);
    atomic_store(&watch.ready, true);
    weir_streams_wake(streams);
    WAIT_FOR(outputs(&fixture) == RECORDS);
    assert_int_equal(weir_streams_stop(streams), WEIR_OK);
    assert_int_equal(weir_streams_stop(streams), WEIR_OK);
    assert_int_equal(weir_streams_state(streams), WEIR_STREAMS_NOT_RUNNING);
    assert_int_equal(atomic_load(&watch.states),
                     1u << WEIR_STREAMS_REBALANCING | 1u << WEIR_STREAMS_RUNNING |
                         1u << WEIR_STREAMS_PENDING_SHUTDOWN | 1u << WEIR_STREAMS_NOT_RUNNING);
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(fixture_committed(&fixture, i), RECORDS / 4);
    weir_streams_free(streams);
    fixture_release(&fixture);
}

static struct weir_topology *pass_topology(void)
{
    static const char *const data[] = {"data"};
    struct weir_topology *topology;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", TOPIC("in"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", data, 1, NULL), WEIR_OK);
    return topology;
}

static void two_instances_of_two_threads_share_the_work(void **state)
{
    struct fixture fixture;
    struct watch watch = {0};
    struct weir_streams_stats stats;
    (void)state;
    cluster_init(&fixture);
    struct weir_streams *first = start(&fixture, &watch, pass_topology());
    struct weir_streams *second = start(&fixture, &watch, pass_topology());
    put_all(&fixture);
    WAIT_FOR(outputs(&fixture) >= RECORDS / 2);
    weir_streams_wake(first);
    assert_int_equal(weir_streams_stop(second), WEIR_OK);
    weir_streams_stats(first, &stats);
    for (int32_t i = 0; i < 4; i++)
        WAIT_FOR(fixture_committed(&fixture, i) == RECORDS / 4);
    assert_true(outputs(&fixture) >= RECORDS);
    assert_int_equal(weir_streams_stop(first), WEIR_OK);
    weir_streams_free(first);
    weir_streams_free(second);
    fixture_release(&fixture);
}

static void a_failing_processor_ends_in_error_with_its_reason(void **state)
{
    struct fixture fixture;
    struct behaviour behaviour = {.fail_at = 0, .failures = UINT32_MAX};
    struct watch watch = {0};
    struct weir_error error;
    (void)state;
    cluster_init(&fixture);
    fixture.options.threads = 1;
    fixture_put(&fixture, 2, "x");
    struct weir_streams *streams = start(&fixture, &watch, copy_topology(&behaviour));
    WAIT_FOR(weir_streams_state(streams) == WEIR_STREAMS_ERROR);
    weir_streams_failure(streams, &error);
    assert_int_equal(error.code, WEIR_MODEL_FAILED);
    assert_non_null(strstr(error.message, "copy"));
    enum weir_err stopped = weir_streams_stop(streams); /* the record in hand was not done */
    assert_true(stopped == WEIR_OK || stopped == WEIR_TIMEOUT);
    assert_int_equal(weir_streams_state(streams), WEIR_STREAMS_ERROR);
    weir_streams_free(streams);
    assert_int_equal(behaviour.opened, behaviour.closed);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_wait_for_the_stores_and_a_stop_drains),
        cmocka_unit_test(two_instances_of_two_threads_share_the_work),
        cmocka_unit_test(a_failing_processor_ends_in_error_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
