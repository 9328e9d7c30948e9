/* State stores: the one in memory against a plain model, and what a changelog gives back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "fixture.h"

/* ---- the store in memory --------------------------------------------------------------------- */

enum { KEYS = 300, STEPS = 20000, VALUE_MAX = 40 };

/* By key; its text is the number in four digits, so that both are in one order. */
struct model {
    char values[KEYS][VALUE_MAX];
    size_t bytes[KEYS];
    bool has[KEYS];
};

static struct weir_slice key_of(uint32_t number, char text[8])
{
    snprintf(text, 8, "%04u", number);
    return weir_slice(text, 4);
}

static void assert_same(const struct weir_store_ops *ops, void *store, const struct model *model)
{
    struct weir_slice key = weir_slice("", 0), value;
    uint64_t count = 0;
    bool same = true;
    char text[8];
    for (uint32_t i = 0; i < KEYS; i++) {
        assert_int_equal(ops->get(store, key_of(i, text), &value),
                         model->has[i] ? WEIR_OK : WEIR_NOT_FOUND);
        if (!model->has[i])
            continue;
        assert_true(weir_slice_equal(value, weir_slice(model->values[i], model->bytes[i])));
        assert_int_equal(ops->next(store, key, same, &key, &value), WEIR_OK);
        assert_true(weir_slice_equal(key, key_of(i, text)));
        same = false;
        count++;
    }
    assert_int_equal(ops->next(store, key, same, &key, &value), WEIR_END);
    assert_int_equal(ops->count(store), count);
}

static void the_store_in_memory_is_a_sorted_map(void **state)
{
    const struct weir_store_ops *ops = &weir_memory_store_ops;
    struct model *model = calloc(1, sizeof *model);
    struct weir_random random = {.state = 20261123};
    char text[8];
    void *store;
    (void)state;
    assert_non_null(model);
    assert_int_equal(ops->open(NULL, "s", "0_0", &store, NULL), WEIR_OK);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t number = weir_random_below(&random, KEYS);
        bool removes = weir_random_below(&random, 3) == 0;
        if (!removes) {
            model->bytes[number] = weir_random_below(&random, VALUE_MAX);
            memset(model->values[number], (int)('a' + step % 26), model->bytes[number]);
        }
        model->has[number] = !removes;
        struct weir_slice value = weir_slice(model->values[number], model->bytes[number]);
        assert_int_equal(
            ops->put(store, key_of(number, text), removes ? weir_slice(NULL, 0) : value), WEIR_OK);
        if (step % 1000 == 0)
            assert_same(ops, store, model);
    }
    assert_same(ops, store, model);
    ops->close(store);
    free(model);
}

static void it_takes_so_much_and_no_more(void **state)
{
    const struct weir_store_ops *ops = &weir_memory_store_ops;
    struct weir_memory_store options = {.bytes_max = 1000};
    struct weir_slice value;
    char text[8];
    void *store;
    uint32_t taken = 0;
    (void)state;
    assert_int_equal(ops->open(&options, "s", "0_0", &store, NULL), WEIR_OK);
    while (taken < 1000 && ops->put(store, key_of(taken, text), weir_slice("12345", 5)) == WEIR_OK)
        taken++;
    assert_in_range(taken, 5, 50);
    assert_int_equal(ops->put(store, key_of(taken, text), weir_slice("12345", 5)), WEIR_LIMIT);
    assert_int_equal(ops->put(store, key_of(0, text), weir_slice("x", 1)), WEIR_OK); /* in place */
    assert_int_equal(ops->get(store, key_of(0, text), &value), WEIR_OK);
    assert_true(weir_slice_equal(value, weir_slice("x", 1)));
    assert_int_equal(ops->put(store, key_of(0, text), weir_slice(NULL, 0)), WEIR_OK);
    assert_int_equal(ops->put(store, key_of(taken, text), weir_slice("12345", 5)), WEIR_OK);
    ops->close(store);
}

/* ---- in a topology --------------------------------------------------------------------------- */

/* Counts the values of a key; a value "-" removes it. */
struct counting {
    struct weir_store *store;
    uint32_t rows, failures;
    char restored[512];
};

static enum weir_err count_init(void *config, struct weir_context *context, void **self_out,
                                struct weir_error *error)
{
    struct counting *counting = config;
    (void)error;
    counting->store = weir_context_store(context, "counts");
    assert_non_null(counting->store);
    assert_null(weir_context_store(context, "others"));
    *self_out = config;
    return WEIR_OK;
}

static enum weir_err count_row(void *self, struct weir_context *context,
                               const struct weir_block *block, uint32_t row,
                               struct weir_error *error)
{
    struct counting *counting = self;
    struct weir_slice key = block->rows_meta.key[row], value = {0};
    struct weir_store *store = weir_context_store(context, "counts");
    char text[16] = "0";
    enum weir_err err = weir_store_get(store, key, &value);
    if (err != WEIR_OK && err != WEIR_NOT_FOUND)
        return err;
    if (err == WEIR_OK)
        memcpy(text, value.data, value.bytes);
    snprintf(text, sizeof text, "%lu", strtoul(text, NULL, 10) + 1);
    bool removes = weir_slice_equal(block->rows_meta.value[row], weir_slice("-", 1));
    err = weir_store_put(store, key, weir_slice(removes ? NULL : text, removes ? 0 : strlen(text)),
                         error);
    counting->rows++;
    if (err == WEIR_OK && counting->failures) {
        counting->failures--;
        return weir_error_set(error, WEIR_MODEL_FAILED, -1, "told to fail");
    }
    return err;
}

static struct weir_topology *counting_topology(struct counting *counting)
{
    static const struct weir_processor_ops ops = {
        .abi = WEIR_PROCESSOR_ABI, .init = count_init, .process = count_row};
    static const char *const data[] = {"data"}, *const count[] = {"count"};
    struct weir_topology *topology;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", TOPIC("in"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_processor(topology, "count", &ops, counting, data, 1, NULL),
                     WEIR_OK);
    assert_int_equal(
        weir_topology_add_store(topology, "counts", &weir_memory_store_ops, NULL, count, 1, NULL),
        WEIR_OK);
    return topology;
}

static bool append(void *opaque, struct weir_slice key, struct weir_slice value)
{
    char *text = opaque;
    size_t at = strlen(text);
    snprintf(text + at, 512 - at, "%.*s=%.*s ", (int)key.bytes, (const char *)key.data,
             (int)value.bytes, (const char *)value.data);
    return true;
}

static void assert_holds(const struct counting *counting, const char *wanted)
{
    char text[512] = "";
    assert_int_equal(
        weir_store_range(counting->store, weir_slice(NULL, 0), weir_slice(NULL, 0), append, text),
        WEIR_OK);
    assert_string_equal(text, wanted);
}

static void put(struct fixture *fixture, const char *key, const char *value)
{
    struct weir_kafka_record record = {.topic = "in",
                                       .timestamp_ms = 77,
                                       .key = weir_slice(key, strlen(key)),
                                       .value = weir_slice(value, strlen(value))};
    assert_int_equal(weir_kafka_fake_append(fixture->kafka, &record, NULL, NULL), WEIR_OK);
}

static void on_restore(void *opaque, const struct weir_restore *progress)
{
    struct counting *counting = opaque;
    size_t at = strlen(counting->restored);
    snprintf(counting->restored + at, sizeof counting->restored - at, "%s %s %llu %lld/%lld; ",
             progress->store, progress->task_id, (unsigned long long)progress->records,
             (long long)progress->offset, (long long)progress->end);
}

static void a_store_comes_back_from_its_changelog(void **state)
{
    struct counting counting = {0};
    struct weir_kafka_batch batch = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture.options.on_restore = on_restore;
    fixture.options.opaque = &counting;
    put(&fixture, "b", "x");
    put(&fixture, "a", "x");
    put(&fixture, "b", "x");
    put(&fixture, "c", "x");
    put(&fixture, "c", "-");
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    instance_settle(&fixture, streams);
    assert_holds(&counting, "a=1 b=2 ");
    assert_int_equal(weir_store_count(counting.store), 2);
    assert_string_equal(counting.restored, "counts 0_0 0 0/0; ");
    assert_int_equal(fixture_count(&fixture, "app-counts-changelog", 0), 5);
    assert_int_equal(weir_kafka_fake_read(fixture.kafka, "app-counts-changelog", 0, 4, &batch),
                     WEIR_OK);
    assert_true(weir_slice_equal(batch.rows.key[0], weir_slice("c", 1)));
    assert_null(batch.rows.value[0].data);
    assert_int_equal(batch.rows.timestamp_ms[0], 77); /* of the record that led to it */
    weir_kafka_batch_release(&batch);
    instance_kill(&fixture, streams);

    fixture.options.batch_rows = 2;
    counting.restored[0] = '\0';
    put(&fixture, "a", "x");
    streams = instance_open(&fixture, counting_topology(&counting));
    instance_settle(&fixture, streams);
    assert_holds(&counting, "a=2 b=2 ");
    assert_string_equal(counting.restored, "counts 0_0 2 2/5; counts 0_0 4 4/5; counts 0_0 5 5/5; "
                                           "counts 0_0 5 5/5; ");
    assert_int_equal(counting.rows, 6);
    instance_close(streams);
    fixture_release(&fixture);
}

/* While the changelog can't be read nothing is processed, and the instance is not RUNNING. */
static void a_task_waits_for_its_stores(void **state)
{
    struct counting counting = {0};
    struct weir_error error = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "app-counts-changelog", 1), WEIR_OK);
    struct weir_kafka_record record = {.topic = "app-counts-changelog",
                                       .timestamp_ms = 1,
                                       .key = weir_slice("a", 1),
                                       .value = weir_slice("41", 2)};
    assert_int_equal(weir_kafka_fake_append(fixture.kafka, &record, NULL, NULL), WEIR_OK);
    put(&fixture, "a", "x");
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_FETCH, "app-counts-changelog", 0, 5, WEIR_BROKER, false);
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    for (int i = 0; weir_kafka_fake_failed(fixture.kafka, WEIR_KAFKA_FAKE_FETCH) < 5; i++) {
        assert_true(i < 100);
        assert_int_equal(weir_streams_state(streams), WEIR_STREAMS_REBALANCING);
        assert_int_equal(counting.rows, 0);
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
    }
    instance_settle(&fixture, streams);
    assert_int_equal(weir_streams_state(streams), WEIR_STREAMS_RUNNING);
    assert_holds(&counting, "a=42 ");
    instance_close(streams);
    fixture_release(&fixture);
}

/* A rewind takes the store back to what the changelog has, which is what was delivered. */
static void a_rewind_reads_the_store_again(void **state)
{
    struct counting counting = {0};
    struct weir_streams_stats stats;
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put(&fixture, "a", "x");
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    instance_settle(&fixture, streams);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_DELIVERY, "app-counts-changelog", 0, 1, WEIR_BROKER,
                 false);
    put(&fixture, "a", "x");
    instance_settle(&fixture, streams);
    weir_streams_stats(streams, &stats);
    assert_int_equal(stats.rewinds, 1);
    assert_int_equal(counting.rows, 3);
    assert_holds(&counting, "a=2 "); /* not 3: what was not delivered never was */
    assert_int_equal(fixture_committed(&fixture, 0), 2);
    instance_close(streams);
    fixture_release(&fixture);
}

static void no_position_is_committed_before_its_changes_are_delivered(void **state)
{
    struct counting counting = {0};
    struct weir_error error = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 5000, 0);
    put(&fixture, "a", "x");
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    for (int i = 0; i < 40; i++) {
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
        weir_clock_virtual_advance_ms(&fixture.clock, 100);
        assert_int_equal(fixture_committed(&fixture, 0), -1);
    }
    assert_int_equal(counting.rows, 1);
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_committed(&fixture, 0), 1);
    instance_close(streams);
    fixture_release(&fixture);
}

static void range_is_between_both_ends(void **state)
{
    struct counting counting = {0};
    struct fixture fixture;
    char text[512] = "";
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    for (const char *key = "a\0b\0ba\0c\0"; *key; key += strlen(key) + 1)
        put(&fixture, key, "x");
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    instance_settle(&fixture, streams);
    assert_int_equal(
        weir_store_range(counting.store, weir_slice("aa", 2), weir_slice("ba", 2), append, text),
        WEIR_OK);
    assert_string_equal(text, "b=1 ba=1 ");
    instance_close(streams);
    fixture_release(&fixture);
}

static void faults_of_stores_are_named(void **state)
{
    static const char *const data[] = {"data"}, *const count[] = {"count"};
    const struct weir_store_ops *ops = &weir_memory_store_ops;
    struct weir_store_ops broken = *ops;
    struct counting counting = {0};
    struct weir_topology *topology = counting_topology(&counting);
    struct weir_error error;
    (void)state;
    broken.next = NULL;
    assert_int_equal(weir_topology_add_store(topology, "counts", ops, NULL, count, 1, &error),
                     WEIR_EXISTS);
    assert_int_equal(weir_topology_add_store(topology, "two words", ops, NULL, count, 1, &error),
                     WEIR_INVALID);
    assert_int_equal(weir_topology_add_store(topology, "s", ops, NULL, data, 1, &error),
                     WEIR_NOT_FOUND);
    assert_int_equal(weir_topology_add_store(topology, "s", ops, NULL, count, 0, &error),
                     WEIR_INVALID);
    assert_int_equal(weir_topology_add_store(topology, "s", &broken, NULL, count, 1, &error),
                     WEIR_INVALID);
    weir_topology_free(topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_store_in_memory_is_a_sorted_map),
        cmocka_unit_test(it_takes_so_much_and_no_more),
        cmocka_unit_test(a_store_comes_back_from_its_changelog),
        cmocka_unit_test(a_task_waits_for_its_stores),
        cmocka_unit_test(a_rewind_reads_the_store_again),
        cmocka_unit_test(no_position_is_committed_before_its_changes_are_delivered),
        cmocka_unit_test(range_is_between_both_ends),
        cmocka_unit_test(faults_of_stores_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
