/* Stores are looked into while threads run: every key is found, in one task; what can't be answered
 * says why. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <weir/streams_dsl.h>
#include <weir/streams_query.h>

#include "fixture.h"

enum { LIMIT_MS = 20000, KEYS = 40, EACH = 5, PARTITIONS = 4 };

struct found {
    uint64_t keys, sum;
    uint32_t tasks, fail;
    pthread_mutex_t lock;
};

static enum weir_err add_up(void *opaque, const struct weir_store_view *view,
                            struct weir_error *error)
{
    struct found *found = opaque;
    struct weir_store_iterator *walk;
    struct weir_store_entry entry;
    const struct weir_slice open = {NULL, 0};
    if (found->fail)
        return weir_error_set(error, WEIR_CORRUPT, -1, "told to fail");
    pthread_mutex_lock(&found->lock);
    found->tasks++;
    enum weir_err err = weir_key_value_range(view->store, open, open, false, &walk, error);
    while (err == WEIR_OK && weir_store_iterator_next(walk, &entry, error) == WEIR_OK) {
        found->keys++;
        for (size_t i = 0, count = 0; i < entry.value.bytes; i++) { /* a big-endian int64 */
            count = count << 8 | ((const uint8_t *)entry.value.data)[i];
            found->sum += i + 1 == entry.value.bytes ? count : 0;
        }
    }
    weir_store_iterator_free(walk);
    pthread_mutex_unlock(&found->lock);
    return err;
}

static struct weir_topology *counts(void)
{
    static const struct weir_with text = {.key = &weir_serde_string, .value = &weir_serde_string};
    static const struct weir_materialized named = {.name = "counts", .logging = true};
    struct weir_builder *builder;
    struct weir_topology *topology;
    struct weir_error error = {0};
    builder = weir_builder_new();
    weir_grouped_count(weir_stream_group_by_key(weir_builder_stream(builder, "in", &text), NULL),
                       &named, NULL);
    if (weir_builder_build(builder, &topology, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return topology;
}

static enum weir_err ask(struct weir_streams *streams, const char *store, int32_t partition,
                         struct found *found, struct weir_error *error)
{
    *found = (struct found){.fail = found->fail, .lock = PTHREAD_MUTEX_INITIALIZER};
    return weir_streams_query(streams, store, partition, add_up, found, LIMIT_MS, error);
}

static void *ask_often(void *opaque)
{
    struct found found = {0};
    struct weir_error error;
    for (int i = 0; i < 200; i++)
        if (ask(opaque, "counts", -1, &found, &error) == WEIR_OK && found.tasks == PARTITIONS)
            assert_true(found.sum <= KEYS * EACH);
    return NULL;
}

static void stores_of_running_threads_answer(void **state)
{
    struct weir_kafka_fake_options options;
    struct fixture fixture;
    struct weir_streams *streams;
    struct found found = {0}, part;
    struct weir_error error;
    (void)state;
    weir_kafka_fake_options_default(&options);
    options.threads = true;
    assert_int_equal(weir_kafka_fake_new(&options, &fixture.kafka, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "in", PARTITIONS), WEIR_OK);
    weir_clock_virtual_init(&fixture.clock, 1000000);
    weir_streams_options_default(&fixture.options);
    fixture.options.application_id = "app";
    fixture.options.commit_interval_ms = 20;
    fixture.options.threads = 2;
    assert_int_equal(weir_streams_new(counts(), fixture.kafka, &fixture.options, &streams, &error),
                     WEIR_OK);
    assert_int_equal(ask(streams, "counts", -1, &found, &error), WEIR_AGAIN);
    assert_string_equal(error.message, "the instance is CREATED");
    assert_int_equal(weir_streams_start(streams, &error), WEIR_OK);
    pthread_t asker;
    assert_int_equal(pthread_create(&asker, NULL, ask_often, streams), 0);
    for (int i = 0; i < KEYS * EACH; i++) {
        char key[16];
        snprintf(key, sizeof key, "key %d", i % KEYS);
        fixture_put(&fixture, i % KEYS % PARTITIONS, key);
    }
    int64_t until_ms = weir_clock_now_ms(NULL) + LIMIT_MS;
    while (ask(streams, "counts", -1, &found, &error) != WEIR_OK || found.sum < KEYS * EACH) {
        assert_true(weir_clock_now_ms(NULL) < until_ms);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(found.keys, KEYS);
    assert_int_equal(found.sum, KEYS * EACH);
    assert_int_equal(found.tasks, PARTITIONS);
    part = (struct found){0};
    assert_int_equal(ask(streams, "counts", 1, &part, &error), WEIR_OK);
    assert_int_equal(part.tasks, 1);
    assert_int_equal(part.keys, KEYS / PARTITIONS);
    assert_int_equal(ask(streams, "counts", PARTITIONS, &part, &error), WEIR_NOT_FOUND);
    assert_int_equal(ask(streams, "others", -1, &part, &error), WEIR_NOT_FOUND);
    part.fail = 1;
    assert_int_equal(ask(streams, "counts", -1, &part, &error), WEIR_CORRUPT);
    assert_string_equal(error.message, "told to fail");
    pthread_join(asker, NULL);
    assert_int_equal(weir_streams_stop(streams), WEIR_OK);
    part.fail = 0;
    assert_int_equal(ask(streams, "counts", -1, &part, &error), WEIR_AGAIN);
    weir_streams_free(streams);
    weir_kafka_free(fixture.kafka);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_of_running_threads_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
