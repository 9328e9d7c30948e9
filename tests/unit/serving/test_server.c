/* The server's own wiring, on the in-memory cluster: it waits for its topics and creates what is
 * missing, scores, reads old models again, says what happened, and ends in order. Its threads are
 * real ones; what they do is waited for, with a limit. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "kafka/fake/fake.h"
#include "models_place.h"
#include "serving/server.h"

enum { WAIT_S = 20, PARTITIONS = 3 };

static struct weir_kafka *cluster; /* the one of the server that was made last */

/* These two stand in for those of kafka/rd.c, which is then not linked at all. */
void weir_kafka_options_default(struct weir_kafka_options *options)
{
    *options = (struct weir_kafka_options){.client_id = "test"};
}

enum weir_err weir_kafka_new(const struct weir_kafka_options *options,
                             struct weir_kafka **kafka_out, struct weir_error *error)
{
    struct weir_kafka_fake_options fake;
    weir_kafka_fake_options_default(&fake);
    fake.log = options->log;
    enum weir_err err = weir_kafka_fake_new(&fake, kafka_out, error);
    cluster = *kafka_out;
    return err;
}

static struct weir_slice text(const char *chars)
{
    return weir_slice(chars, strlen(chars));
}

static struct server *make(struct server_options *options)
{
    struct server *server;
    struct weir_error error = {.code = WEIR_OK};
    if (server_new(options, &server, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return server;
}

static enum server_engine engine; /* of the tests that follow */

static struct server_options options_of_a_test(void)
{
    struct server_options options;
    server_options_default(&options);
    options.engine = engine;
    options.streams.application_id = "app";
    options.streams.commit_interval_ms = 50;
    options.streams.poll_ms = 5;
    options.streams.linger_ms = 0;
    return options;
}

/* Ticks until the condition holds, or the time is over. */
static void wait_until(struct server *server, bool (*holds)(struct server *server, int64_t limit),
                       int64_t limit)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    int64_t until_ns = weir_clock_now_ns(NULL) + WAIT_S * WEIR_NS_PER_SECOND;
    struct weir_error error;
    while (!holds(server, limit)) {
        assert_int_equal(server_tick(server, &error), WEIR_OK);
        assert_true(weir_clock_now_ns(NULL) < until_ns);
        clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL); /* between two looks */
    }
}

static bool runs(struct server *server, int64_t limit)
{
    (void)limit;
    return server_state(server) == WEIR_STREAMS_RUNNING;
}

static bool has_swapped(struct server *server, int64_t swaps)
{
    struct server_totals totals;
    server_totals(server, &totals);
    return totals.models.swaps >= (uint64_t)swaps;
}

static bool has_delivered(struct server *server, int64_t records)
{
    struct server_totals totals;
    server_totals(server, &totals);
    return totals.streams.records_delivered >= (uint64_t)records;
}

static void put(const char *topic, int32_t partition, struct weir_slice value)
{
    struct weir_kafka_record record = {
        .topic = topic, .partition = partition, .timestamp_ms = 1, .value = value};
    assert_int_equal(weir_kafka_fake_append(cluster, &record, NULL, NULL), WEIR_OK);
}

/* A record of nothing but defaults: wine, all zeroes. */
static void put_records(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        put("mdata", (int32_t)(i % PARTITIONS), text(""));
}

static void put_descriptor(const struct weir_descriptor *descriptor)
{
    void *bytes = weir_alloc(weir_descriptor_bytes(descriptor));
    assert_non_null(bytes);
    put("models", 0, weir_slice(bytes, weir_descriptor_encode(descriptor, bytes)));
    weir_free(bytes);
}

static void put_model(const char *version, double value)
{
    char *pmml = place_pmml(value);
    struct weir_descriptor descriptor = {.name = text("m"),
                                         .model_type = WEIR_DESCRIPTOR_PMML,
                                         .data = text(pmml),
                                         .version = text(version)};
    put_descriptor(&descriptor);
    weir_free(pmml);
}

/* The number of the newest result of a partition. */
static double last_number(int32_t partition)
{
    struct weir_kafka_batch batch = {0};
    struct weir_result result = {.number = -1};
    struct weir_error error;
    int64_t offset = 0;
    while (weir_kafka_fake_read(cluster, "scores", partition, offset, &batch) == WEIR_OK) {
        assert_int_equal(weir_result_decode(batch.rows.value[0], &result, &error), WEIR_OK);
        assert_int_equal(result.kind, WEIR_RESULT_NUMBER);
        offset = batch.offset_next;
        weir_kafka_batch_release(&batch);
    }
    return result.number;
}

static void start(struct server *server)
{
    assert_int_equal(weir_kafka_fake_topic(cluster, "mdata", PARTITIONS), WEIR_OK);
    wait_until(server, runs, 0);
}

/* ---- starting -------------------------------------------------------------------------------- */

static void it_waits_for_the_broker_and_for_its_data(void **state)
{
    struct server_options options = options_of_a_test();
    struct weir_error error;
    int32_t partitions = 0;
    (void)state;
    struct server *server = make(&options);
    weir_kafka_fake_away(cluster, true);
    assert_int_equal(server_tick(server, &error), WEIR_OK);
    weir_kafka_fake_away(cluster, false);
    assert_int_equal(server_tick(server, &error), WEIR_OK);
    assert_int_equal(server_state(server), WEIR_STREAMS_CREATED);
    assert_int_equal(weir_kafka_topic_partitions(cluster, "scores", 0, &partitions, &error),
                     WEIR_NOT_FOUND); /* how many is not known before the data topic is there */
    start(server);
    assert_int_equal(weir_kafka_topic_partitions(cluster, "scores", 0, &partitions, &error),
                     WEIR_OK);
    assert_int_equal(partitions, PARTITIONS);
    assert_int_equal(weir_kafka_topic_partitions(cluster, "models", 0, &partitions, &error),
                     WEIR_OK);
    assert_int_equal(partitions, 1);
    assert_int_equal(
        weir_kafka_topic_partitions(cluster, "weir-dead-letters", 0, &partitions, &error), WEIR_OK);
    assert_int_equal(partitions, 1);
    assert_int_equal(server_stop(server), WEIR_OK);
    server_free(server);
}

static void settings_out_of_bounds_are_refused_by_name(void **state)
{
    struct server *server;
    struct weir_error error;
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct server_options options = options_of_a_test();
        if (i < 2)
            options.streams.threads = i ? MODELS_SCORERS_MAX + 1 : 0;
        else
            options.streams.batch_rows = i == 2 ? 0 : WEIR_KAFKA_BATCH_MAX + 1;
        assert_int_equal(server_new(&options, &server, &error), WEIR_INVALID);
        assert_non_null(strstr(error.message, i < 2 ? "num.stream.threads" : "batch.rows"));
    }
}

static void it_can_go_before_it_has_started(void **state)
{
    struct server_options options = options_of_a_test();
    struct server_totals totals;
    char name[32];
    (void)state;
    struct server *server = make(&options);
    server_totals(server, &totals);
    assert_int_equal(totals.in, 0);
    assert_int_equal(totals.latency_p99_ns, 0);
    server_model_name(server, name, sizeof name);
    assert_string_equal(name, "");
    assert_null(server_address(server));
    assert_int_equal(server_stop(server), WEIR_OK);
    server_free(server);
    server_free(NULL);
}

static void it_describes_its_topology(void **state)
{
    struct server_options options = options_of_a_test();
    char description[4096], cut[8];
    (void)state;
    options.data_topic = "my-data";
    struct server *server = make(&options);
    size_t bytes = server_describe(server, description, sizeof description);
    assert_int_equal(strlen(description), bytes);
    assert_non_null(strstr(description, "my-data"));
    assert_non_null(strstr(description, "scoring"));
    assert_non_null(strstr(description, "models"));
    assert_int_equal(server_describe(server, cut, sizeof cut), bytes);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    server_free(server);
}

/* ---- running --------------------------------------------------------------------------------- */

static void its_totals_add_up(void **state)
{
    enum { GOOD = 60, BAD = 6 };
    struct server_options options = options_of_a_test();
    struct server_totals totals;
    char name[32];
    (void)state;
    options.streams.threads = 2;
    struct server *server = make(&options);
    start(server);
    put_model("v1", 5);
    wait_until(server, has_swapped, 1);
    put_records(GOOD);
    for (int i = 0; i < BAD; i++)
        put("mdata", i % PARTITIONS, text("\xff"));
    wait_until(server, has_delivered, GOOD + BAD);
    assert_int_equal(server_stop(server), WEIR_OK);
    assert_int_equal(server_state(server), WEIR_STREAMS_NOT_RUNNING);
    server_totals(server, &totals);
    assert_int_equal(totals.in, GOOD + BAD);
    assert_int_equal(totals.results, GOOD);
    assert_int_equal(totals.errors, 0);
    assert_int_equal(totals.dead, BAD);
    assert_int_equal(totals.dead_models, 0);
    assert_int_equal(totals.no_model, 0);
    assert_true(totals.latency_p50_ns > 0);
    assert_true(totals.latency_p99_ns >= totals.latency_p50_ns);
    server_model_name(server, name, sizeof name);
    assert_string_equal(name, "m");
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        assert_true(last_number(partition) == 5);
        assert_int_equal(weir_kafka_fake_committed(cluster, "app", "mdata", partition),
                         (GOOD + BAD) / PARTITIONS);
    }
    server_free(server);
}

static void an_old_model_is_read_again_from_its_topic(void **state)
{
    struct weir_descriptor activate = {
        .name = text("m"), .version = text("v2"), .action = WEIR_DESCRIPTOR_ACTIVATE};
    struct server_options options = options_of_a_test();
    struct server_totals totals;
    (void)state;
    options.model_cache_bytes = 1; /* nothing that is not in force stays */
    struct server *server = make(&options);
    start(server);
    put_model("v1", 1);
    wait_until(server, has_swapped, 1);
    put_model("v2", 2);
    wait_until(server, has_swapped, 2);
    put_model("v3", 3);
    wait_until(server, has_swapped, 3);
    put_records(PARTITIONS);
    wait_until(server, has_delivered, PARTITIONS);
    assert_true(last_number(0) == 3);
    put_descriptor(&activate);
    wait_until(server, has_swapped, 4);
    put_records(PARTITIONS);
    wait_until(server, has_delivered, 2 * PARTITIONS);
    assert_true(last_number(0) == 2);
    server_totals(server, &totals);
    assert_int_equal(totals.models.fetched, 1);
    assert_int_equal(totals.models.refused, 0);
    server_free(server); /* stops first */
}

static void records_that_wait_are_woken_by_their_model(void **state)
{
    struct server_options options = options_of_a_test();
    struct server_totals totals;
    (void)state;
    options.no_model = NO_MODEL_WAIT;
    struct server *server = make(&options);
    start(server);
    put_records(PARTITIONS);
    put_model("v1", 4);
    wait_until(server, has_delivered, PARTITIONS);
    server_totals(server, &totals);
    assert_int_equal(totals.results, PARTITIONS);
    assert_int_equal(totals.no_model, 0);
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        assert_true(last_number(partition) == 4);
    server_free(server);
}

static bool has_read(struct server *server, int64_t records)
{
    struct server_totals totals;
    server_totals(server, &totals);
    return weir_kafka_fake_members(cluster, "app") > 0 && totals.streams.lag_records == 0 &&
           records >= 0;
}

/* They are the next owner's; waiting for the end of drain_timeout_ms would help nobody. */
static void records_that_wait_do_not_hold_up_the_end(void **state)
{
    struct server_options options = options_of_a_test();
    (void)state;
    options.no_model = NO_MODEL_WAIT;
    options.streams.batch_rows = 2;
    options.streams.drain_timeout_ms = 1000 * 1000;
    struct server *server = make(&options);
    start(server);
    put_records(30 * PARTITIONS);
    wait_until(server, has_read, 0);
    assert_int_equal(server_stop(server), WEIR_OK);
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        assert_true(weir_kafka_fake_committed(cluster, "app", "mdata", partition) <= 0);
    server_free(server);
}

static int64_t committed_sum(void)
{
    int64_t sum = 0;
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        int64_t committed = weir_kafka_fake_committed(cluster, "app", "mdata", partition);
        sum += committed > 0 ? committed : 0;
    }
    return sum;
}

static bool has_committed(struct server *server, int64_t records)
{
    (void)server;
    return committed_sum() >= records;
}

/* Nothing behind it is committed, and its records are read again. */
static void a_failed_delivery_is_made_good(void **state)
{
    enum { RECORDS = 60 };
    struct weir_kafka_fake_failure failure = {.call = WEIR_KAFKA_FAKE_DELIVERY,
                                              .topic = "scores",
                                              .skip = 10,
                                              .count = 1,
                                              .err = WEIR_TIMEOUT,
                                              .retriable = true};
    struct server_options options = options_of_a_test();
    struct server_totals totals;
    (void)state;
    options.streams.batch_rows = 4;
    struct server *server = make(&options);
    start(server);
    put_model("v1", 5);
    wait_until(server, has_swapped, 1);
    weir_kafka_fake_fail(cluster, &failure);
    put_records(RECORDS);
    wait_until(server, has_committed, RECORDS);
    assert_int_equal(weir_kafka_fake_failed(cluster, WEIR_KAFKA_FAKE_DELIVERY), 1);
    server_totals(server, &totals);
    assert_true(totals.in > RECORDS);
    assert_true(totals.streams.rewinds > 0);
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        assert_true(last_number(partition) == 5);
    assert_int_equal(server_stop(server), WEIR_OK);
    server_free(server);
}

static bool has_letters_of_models(struct server *server, int64_t letters)
{
    struct server_totals totals;
    server_totals(server, &totals);
    return totals.dead_models >= (uint64_t)letters;
}

static void a_bad_model_becomes_a_dead_letter(void **state)
{
    struct server_options options = options_of_a_test();
    struct weir_kafka_batch batch = {0};
    struct server_totals totals;
    (void)state;
    struct server *server = make(&options);
    start(server);
    put_records(PARTITIONS); /* whoever has partition 0 sends the letter */
    wait_until(server, has_delivered, PARTITIONS);
    put("models", 0, text("\xff\xff"));
    wait_until(server, has_letters_of_models, 1);
    assert_int_equal(weir_kafka_fake_read(cluster, "weir-dead-letters", 0, 0, &batch), WEIR_OK);
    assert_memory_equal(batch.rows.value[0].data, "\xff\xff", 2);
    weir_kafka_batch_release(&batch);
    server_totals(server, &totals);
    assert_int_equal(totals.dead, 0);
    assert_int_equal(totals.errors, PARTITIONS); /* of records, for want of a model */
    assert_int_equal(server_stop(server), WEIR_OK);
    server_free(server);
}

static void a_record_without_model_may_be_a_dead_letter(void **state)
{
    struct server_options options = options_of_a_test();
    struct weir_kafka_batch batch = {0};
    struct server_totals totals;
    (void)state;
    options.no_model = NO_MODEL_DEAD_LETTER;
    struct server *server = make(&options);
    start(server);
    put("mdata", 1, text(""));
    wait_until(server, has_delivered, 1);
    assert_int_equal(weir_kafka_fake_read(cluster, "weir-dead-letters", 0, 0, &batch), WEIR_OK);
    assert_memory_equal(batch.rows.headers[0][0].value.data, "NO_MODEL", 8);
    weir_kafka_batch_release(&batch);
    server_totals(server, &totals);
    assert_int_equal(totals.dead, 1);
    assert_int_equal(totals.no_model, 1);
    assert_int_equal(server_stop(server), WEIR_OK);
    server_free(server);
}

/* A result with its record's headers is too large: a dead letter stands in for it. */
static void a_result_that_is_refused_becomes_a_dead_letter(void **state)
{
    struct weir_kafka_fake_failure failure = {
        .call = WEIR_KAFKA_FAKE_PRODUCE, .topic = "scores", .count = 2, .err = WEIR_LIMIT};
    struct server_options options = options_of_a_test();
    struct weir_kafka_batch batch = {0};
    (void)state;
    struct server *server = make(&options);
    start(server);
    put_model("v1", 5);
    wait_until(server, has_swapped, 1);
    weir_kafka_fake_fail(cluster, &failure); /* in a run of rows, and alone */
    put("mdata", 1, text(""));
    wait_until(server, has_committed, 1);
    assert_int_equal(weir_kafka_fake_read(cluster, "weir-dead-letters", 0, 0, &batch), WEIR_OK);
    assert_memory_equal(batch.rows.headers[0][0].value.data, "LIMIT", 5);
    weir_kafka_batch_release(&batch);
    assert_int_equal(server_stop(server), WEIR_OK);
    server_free(server);
}

static void what_ends_the_engine_is_told_by_the_tick(void **state)
{
    struct weir_kafka_fake_failure failure = {.call = WEIR_KAFKA_FAKE_FETCH,
                                              .topic = "mdata",
                                              .count = 1,
                                              .err = WEIR_DENIED,
                                              .fatal = true};
    const struct timespec moment = {.tv_nsec = 1000000};
    struct server_options options = options_of_a_test();
    struct weir_error error = {.code = WEIR_OK};
    (void)state;
    struct server *server = make(&options);
    start(server);
    weir_kafka_fake_fail(cluster, &failure);
    put_records(1);
    int64_t until_ns = weir_clock_now_ns(NULL) + WAIT_S * WEIR_NS_PER_SECOND;
    while (server_tick(server, &error) == WEIR_OK && weir_clock_now_ns(NULL) < until_ns)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
    assert_int_equal(error.code, WEIR_DENIED);
    assert_int_equal(server_state(server), WEIR_STREAMS_ERROR);
    assert_true(strlen(error.message) > 0);
    server_free(server);
}

static int on_memory(void **state)
{
    (void)state;
    engine = SERVER_STREAMS_MEMORY;
    return 0;
}

static int on_standard(void **state)
{
    (void)state;
    engine = SERVER_STREAMS_STANDARD;
    return 0;
}

static int on_custom(void **state)
{
    (void)state;
    engine = SERVER_STREAMS_CUSTOM;
    return 0;
}

static int on_flow(void **state)
{
    (void)state;
    engine = SERVER_FLOW_CUSTOM;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_for_the_broker_and_for_its_data),
        cmocka_unit_test(settings_out_of_bounds_are_refused_by_name),
        cmocka_unit_test(it_can_go_before_it_has_started),
        cmocka_unit_test(it_describes_its_topology),
        cmocka_unit_test(its_totals_add_up),
        cmocka_unit_test(an_old_model_is_read_again_from_its_topic),
        cmocka_unit_test(records_that_wait_are_woken_by_their_model),
        cmocka_unit_test(a_failed_delivery_is_made_good),
        cmocka_unit_test(a_bad_model_becomes_a_dead_letter),
        cmocka_unit_test(a_record_without_model_may_be_a_dead_letter),
        cmocka_unit_test(what_ends_the_engine_is_told_by_the_tick),
    };
    int failed = cmocka_run_group_tests_name("memory", tests, on_memory, NULL);
    failed += cmocka_run_group_tests_name("standard", tests, on_standard, NULL);
    failed += cmocka_run_group_tests_name("custom", tests, on_custom, NULL);
    const struct CMUnitTest of_flow[] = {
        cmocka_unit_test(a_result_that_is_refused_becomes_a_dead_letter),
        cmocka_unit_test(records_that_wait_do_not_hold_up_the_end),
    };
    failed += cmocka_run_group_tests_name("flow", tests, on_flow, NULL);
    return failed + cmocka_run_group_tests_name("of flow", of_flow, on_flow, NULL);
}
