/* Stores of tasks: what a changelog gives back, commits and rewinds. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/random.h"
#include "fixture.h"

/* Counts the values of a key; a value "-" removes it. */
struct counting {
    struct weir_store_options options;
    struct weir_store *store;
    uint32_t rows, failures;
    char restored[512];
};

static struct counting counts_in(const struct weir_store_engine *engine)
{
    struct counting counting = {0};
    weir_store_options_default(&counting.options);
    counting.options.name = "counts";
    counting.options.engine = engine;
    return counting;
}

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

static enum weir_err count_record(void *self, struct weir_context *context,
                                  const struct weir_record *record, struct weir_error *error)
{
    struct counting *counting = self;
    struct weir_slice key = record->key.bytes;
    struct weir_stamped found;
    struct weir_store *store = weir_context_store(context, "counts");
    char text[16] = "0";
    enum weir_err err = weir_key_value_get(store, key, &found, error);
    if (err != WEIR_OK && err != WEIR_NOT_FOUND)
        return err;
    if (err == WEIR_OK)
        memcpy(text, found.value.data, found.value.bytes);
    snprintf(text, sizeof text, "%lu", strtoul(text, NULL, 10) + 1);
    bool removes = weir_slice_equal(record->value.bytes, weir_slice("-", 1));
    err = weir_key_value_put(
        store, key, weir_slice(removes ? NULL : text, removes ? 0 : strlen(text)), -1, error);
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
        .abi = WEIR_PROCESSOR_ABI, .init = count_init, .process = count_record};
    static const char *const data[] = {"data"}, *const count[] = {"count"};
    struct weir_topology *topology;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", TOPIC("in"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_processor(topology, "count", &ops, counting, data, 1, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_store(topology, &counting->options, count, 1, NULL),
                     WEIR_OK);
    return topology;
}

/* "key=value " of keys from .. to; NULL = open. */
static const char *range(const struct counting *counting, const char *from, const char *to)
{
    static char text[512];
    struct weir_store_iterator *walk;
    struct weir_store_entry entry;
    struct weir_error error;
    size_t at = 0;
    text[0] = '\0';
    assert_int_equal(
        weir_key_value_range(counting->store, weir_slice(from, from ? strlen(from) : 0),
                             weir_slice(to, to ? strlen(to) : 0), false, &walk, &error),
        WEIR_OK);
    while (weir_store_iterator_next(walk, &entry, &error) == WEIR_OK)
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s ", (int)entry.key.bytes,
                               (const char *)entry.key.data, (int)entry.value.bytes,
                               (const char *)entry.value.data);
    weir_store_iterator_free(walk);
    return text;
}

static void assert_holds(const struct counting *counting, const char *wanted)
{
    assert_string_equal(range(counting, NULL, NULL), wanted);
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
    struct counting counting = counts_in(weir_store_in_memory());
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
    struct counting counting = counts_in(weir_store_in_memory());
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

/* A rewind takes the store back to the last commit, and what was not delivered never was. */
static void a_rewind_takes_the_store_back(void **state)
{
    struct counting counting = counts_in(weir_store_in_memory());
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
    struct counting counting = counts_in(weir_store_in_memory());
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

/* ---- on disk --------------------------------------------------------------------------------- */

/* Two keys, counted and committed; the instance is gone. */
static void count_two(struct fixture *fixture, struct counting *counting)
{
    fixture->options.on_restore = on_restore;
    fixture->options.opaque = counting;
    put(fixture, "a", "x");
    put(fixture, "b", "x");
    struct weir_streams *streams = instance_open(fixture, counting_topology(counting));
    instance_settle(fixture, streams);
    instance_close(streams);
    assert_int_equal(fixture_committed(fixture, 0), 2);
    counting->restored[0] = '\0';
}

static void a_persistent_store_reads_only_what_it_lacks(void **state)
{
    struct counting counting = counts_in(weir_store_persistent());
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture.options.state_dir = fixture_state_dir();
    count_two(&fixture, &counting);
    const struct weir_kafka_record newer = {.topic = "app-counts-changelog",
                                            .timestamp_ms = 1,
                                            .key = weir_slice("a", 1),
                                            .value = weir_slice("41", 2)};
    assert_int_equal(weir_kafka_fake_append(fixture.kafka, &newer, NULL, NULL), WEIR_OK);
    put(&fixture, "a", "x");
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    instance_settle(&fixture, streams);
    assert_string_equal(counting.restored, "counts 0_0 1 3/3; counts 0_0 1 3/3; ");
    assert_holds(&counting, "a=42 b=1 ");
    instance_close(streams);
    fixture_state_remove(fixture.options.state_dir);
    fixture_release(&fixture);
}

static void a_store_of_another_changelog_is_built_anew(void **state)
{
    struct counting counting = counts_in(weir_store_persistent());
    struct fixture fixture;
    const char *path = fixture_state_dir();
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture.options.state_dir = path;
    count_two(&fixture, &counting);
    fixture_release(&fixture);

    fixture_init(&fixture, 1, 0, 0); /* another cluster: its changelog is shorter */
    fixture.options.state_dir = path;
    put(&fixture, "a", "x");
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    instance_settle(&fixture, streams);
    assert_holds(&counting, "a=1 ");
    instance_close(streams);
    fixture_state_remove(path);
    fixture_release(&fixture);
}

static void a_damaged_store_is_built_anew(void **state)
{
    struct counting counting = counts_in(weir_store_persistent());
    struct fixture fixture;
    char path[96];
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture.options.state_dir = fixture_state_dir();
    count_two(&fixture, &counting);
    snprintf(path, sizeof path, "%s/app/0_0/counts.mdb", fixture.options.state_dir);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("not a store", file);
    assert_int_equal(fclose(file), 0);
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    instance_settle(&fixture, streams);
    assert_holds(&counting, "a=1 b=1 ");
    assert_string_equal(counting.restored, "counts 0_0 2 2/2; counts 0_0 2 2/2; ");
    instance_close(streams);
    fixture_state_remove(fixture.options.state_dir);
    fixture_release(&fixture);
}

/* Who had the task before may still be closing its files. */
static void a_task_waits_for_its_directory(void **state)
{
    struct counting counting = counts_in(weir_store_persistent());
    struct weir_error error = {0};
    struct fixture fixture;
    char path[96];
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture.options.state_dir = fixture_state_dir();
    count_two(&fixture, &counting);
    snprintf(path, sizeof path, "%s/app/0_0/.lock", fixture.options.state_dir);
    int lock = open(path, O_RDWR);
    assert_true(lock >= 0);
    assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
    put(&fixture, "a", "x");
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    for (int i = 0; i < 20; i++) {
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
        assert_int_equal(weir_streams_state(streams), WEIR_STREAMS_REBALANCING);
    }
    assert_int_equal(counting.rows, 2);
    close(lock);
    instance_settle(&fixture, streams);
    assert_holds(&counting, "a=2 b=1 ");
    instance_close(streams);
    fixture_state_remove(fixture.options.state_dir);
    fixture_release(&fixture);
}

static void a_directory_that_cannot_be_made_is_named(void **state)
{
    struct counting counting = counts_in(weir_store_persistent());
    struct weir_error error = {0};
    struct weir_streams *streams;
    struct fixture fixture;
    enum weir_err err = WEIR_OK;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    assert_int_equal(weir_streams_new(counting_topology(&counting), fixture.kafka, &fixture.options,
                                      &streams, &error),
                     WEIR_INVALID); /* no state.dir */
    assert_non_null(strstr(error.message, "\"counts\""));
    fixture.options.state_dir = "/proc/none/state";
    streams = instance_open(&fixture, counting_topology(&counting));
    for (int i = 0; i < 20 && err == WEIR_OK; i++)
        err = instance_step(streams, &error);
    assert_int_not_equal(err, WEIR_OK);
    assert_non_null(strstr(error.message, "/proc/none/state"));
    instance_close(streams);
    fixture_release(&fixture);
}

/* ---- caches, limits -------------------------------------------------------------------------- */

static void a_cached_store_logs_the_last_of_each_key(void **state)
{
    struct counting counting = counts_in(weir_store_in_memory());
    struct fixture fixture;
    (void)state;
    counting.options.caching = true;
    fixture_init(&fixture, 1, 0, 0);
    for (int i = 0; i < 10; i++)
        put(&fixture, i % 2 ? "a" : "b", "x");
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    instance_settle(&fixture, streams);
    assert_holds(&counting, "a=5 b=5 ");
    assert_int_equal(fixture_count(&fixture, "app-counts-changelog", 0), 2);
    assert_int_equal(fixture_committed(&fixture, 0), 10);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_store_without_changelog_has_none(void **state)
{
    struct counting counting = counts_in(weir_store_in_memory());
    struct fixture fixture;
    int32_t partitions;
    (void)state;
    counting.options.logging = false;
    fixture_init(&fixture, 1, 0, 0);
    put(&fixture, "a", "x");
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    instance_settle(&fixture, streams);
    assert_holds(&counting, "a=1 ");
    assert_int_equal(fixture_committed(&fixture, 0), 1);
    assert_int_equal(
        weir_kafka_topic_partitions(fixture.kafka, "app-counts-changelog", 0, &partitions, NULL),
        WEIR_NOT_FOUND);
    instance_close(streams);
    fixture_release(&fixture);
}

static void much_that_is_uncommitted_is_committed_early(void **state)
{
    struct counting counting = counts_in(weir_store_in_memory());
    struct weir_error error = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture.options.commit_interval_ms = 3600000;
    struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
    put(&fixture, "a", "x");
    for (int i = 0; i < 50; i++)
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
    assert_int_equal(counting.rows, 1);
    assert_int_equal(fixture_committed(&fixture, 0), -1);
    streams->options.store_uncommitted_bytes = 1;
    for (int i = 0; i < 5; i++)
        assert_int_equal(instance_step(streams, &error), WEIR_OK);
    assert_int_equal(fixture_committed(&fixture, 0), 1);
    instance_close(streams);
    fixture_release(&fixture);
}

/* A loss, a rewind, a failing commit at any moment, and nothing is counted twice by them. */
static void rewinds_count_nothing_twice(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 200; seed++) {
        struct weir_random random = {.state = seed};
        struct counting counting = counts_in(weir_store_in_memory());
        struct weir_error error = {0};
        struct fixture fixture;
        char wanted[512] = "";
        uint32_t counts[5] = {0};
        counting.options.caching = weir_random_below(&random, 2);
        fixture_init(&fixture, 1, (int32_t)weir_random_below(&random, 2) * 300, 0);
        fixture.options.commit_interval_ms = 500;
        fixture.options.batch_rows = 1 + weir_random_below(&random, 5);
        struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
        for (int i = 0; i < 200; i++) {
            char key[2] = {(char)('a' + weir_random_below(&random, 5)), '\0'};
            if (i < 150) {
                put(&fixture, key, "x");
                counts[key[0] - 'a']++;
            }
            if (weir_random_below(&random, 25) == 0)
                fixture_fail(&fixture, WEIR_KAFKA_FAKE_DELIVERY, "app-counts-changelog", 0, 1,
                             WEIR_BROKER, false);
            if (weir_random_below(&random, 25) == 0)
                fixture_fail(&fixture, WEIR_KAFKA_FAKE_COMMIT, "in", 0, 1, WEIR_BROKER, false);
            if (instance_step(streams, &error) != WEIR_OK)
                fail_msg("seed %u: %s", seed, error.message);
            weir_clock_virtual_advance_ms(&fixture.clock, weir_random_below(&random, 100));
        }
        for (int i = 0; i < 20 && fixture_committed(&fixture, 0) < 150; i++)
            instance_settle(&fixture, streams);
        for (int i = 0; i < 5; i++)
            if (counts[i] > 0)
                snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%c=%u ", 'a' + i,
                         counts[i]);
        assert_holds(&counting, wanted);
        assert_int_equal(fixture_committed(&fixture, 0), 150);
        instance_kill(&fixture, streams);
        streams = instance_open(&fixture, counting_topology(&counting));
        instance_settle(&fixture, streams);
        assert_holds(&counting, wanted); /* and its changelog says the same */
        instance_close(streams);
        fixture_release(&fixture);
    }
}

/* What a round of the next test may do to the instance, its transactions and its membership. */
static void disturb_transactions(struct fixture *fixture, struct weir_random *random)
{
    static const enum weir_kafka_fake_call calls[] = {
        WEIR_KAFKA_FAKE_TRANSACTION_OFFSETS, WEIR_KAFKA_FAKE_TRANSACTION_COMMIT,
        WEIR_KAFKA_FAKE_TRANSACTION_ANSWER, WEIR_KAFKA_FAKE_DELIVERY};
    if (weir_random_below(random, 20) == 0)
        fixture_fail(fixture, calls[weir_random_below(random, 4)], NULL,
                     weir_random_below(random, 3), 1, WEIR_BROKER,
                     weir_random_below(random, 4) == 0);
    if (weir_random_below(random, 60) == 0)
        weir_kafka_fake_expire(fixture->kafka);
    if (weir_random_below(random, 60) == 0)
        weir_kafka_fake_rebalance(fixture->kafka, "app");
}

/* Kills, zombies, lost answers, time-outs: each input counts once, in a store of either kind, and
 * a replay of the changelog says the same. */
static void exactly_once_counts_each_input_once(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 120; seed++) {
        struct weir_random random = {.state = seed};
        bool persistent = seed % 2;
        struct counting counting =
            counts_in(persistent ? weir_store_persistent() : weir_store_in_memory());
        struct counting replayed = counts_in(weir_store_in_memory());
        struct weir_error error = {0};
        struct fixture fixture;
        char directory[2][64], wanted[512] = "";
        uint32_t counts[5] = {0};
        struct weir_streams *zombie = NULL;
        counting.options.caching = weir_random_below(&random, 2);
        fixture_init(&fixture, 1, (int32_t)weir_random_below(&random, 2) * 30, 0);
        fixture.options.processing_guarantee = WEIR_EXACTLY_ONCE_V2;
        fixture.options.transaction_timeout_ms = 3000;
        fixture.options.batch_rows = 1 + weir_random_below(&random, 5);
        for (int i = 0; i < 2; i++)
            snprintf(directory[i], sizeof directory[i], "%s", fixture_state_dir());
        uint32_t home = 0;
        fixture.options.state_dir = directory[home];
        struct weir_streams *streams = instance_open(&fixture, counting_topology(&counting));
        for (int i = 0; i < 300; i++) {
            char key[2] = {(char)('a' + weir_random_below(&random, 5)), '\0'};
            if (i < 250) {
                put(&fixture, key, "x");
                counts[key[0] - 'a']++;
            }
            disturb_transactions(&fixture, &random);
            const struct task *task = streams->threads[0]->tasks;
            if (weir_random_below(&random, 40) == 0 && task) {
                weir_kafka_fake_evict(fixture.kafka, "app", "app-tasks-0", 0);
                if (zombie)
                    instance_close(zombie);
                zombie = streams;
                home = !home;
                fixture.options.state_dir = directory[home];
                streams = instance_open(&fixture, counting_topology(&counting));
            }
            if (zombie && weir_random_below(&random, 30) == 0) {
                instance_close(zombie); /* it wakes up, and finds itself replaced */
                zombie = NULL;
            }
            if (instance_step(streams, &error) != WEIR_OK)
                fail_msg("seed %u: %s", seed, error.message);
            weir_clock_virtual_advance_ms(&fixture.clock, weir_random_below(&random, 60));
        }
        if (zombie)
            instance_close(zombie);
        for (int call = 0; call < WEIR_KAFKA_FAKE_CALL_COUNT; call++)
            fixture_fail(&fixture, (enum weir_kafka_fake_call)call, NULL, 0, 0, WEIR_OK, false);
        instance_settle(&fixture, streams);
        for (int i = 0; i < 20 && fixture_committed(&fixture, 0) < 250; i++)
            instance_settle(&fixture, streams);
        for (int i = 0; i < 5; i++)
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%c=%u ", 'a' + i,
                     counts[i]);
        counting.store = weir_context_store(
            &streams->threads[0]->tasks->contexts[streams->topology->kinds[0].processors[0]],
            "counts");
        if (strcmp(range(&counting, NULL, NULL), wanted) != 0)
            fail_msg("seed %u: %s, not %s; %lld are committed", seed, range(&counting, NULL, NULL),
                     wanted, (long long)fixture_committed(&fixture, 0));
        assert_int_equal(fixture_committed(&fixture, 0), 250);
        instance_close(streams);
        fixture.options.processing_guarantee = WEIR_AT_LEAST_ONCE;
        streams = instance_open(&fixture, counting_topology(&replayed));
        instance_settle(&fixture, streams);
        assert_holds(&replayed, wanted);
        instance_close(streams);
        fixture_release(&fixture);
        fixture_state_remove(directory[0]);
        fixture_state_remove(directory[1]);
    }
}

static void faults_of_stores_are_named(void **state)
{
    static const char *const data[] = {"data"}, *const count[] = {"count"};
    struct weir_store_engine broken = *weir_store_in_memory();
    struct counting counting = counts_in(weir_store_in_memory());
    struct weir_topology *topology = counting_topology(&counting);
    struct weir_store_options options = counting.options;
    struct weir_error error;
    (void)state;
    assert_int_equal(weir_topology_add_store(topology, &options, count, 1, &error), WEIR_EXISTS);
    options.name = "two words";
    assert_int_equal(weir_topology_add_store(topology, &options, count, 1, &error), WEIR_INVALID);
    options.name = "s";
    assert_int_equal(weir_topology_add_store(topology, &options, data, 1, &error), WEIR_NOT_FOUND);
    broken.seek = NULL;
    options.engine = &broken;
    assert_int_equal(weir_topology_add_store(topology, &options, count, 1, &error), WEIR_INVALID);
    weir_topology_free(topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_comes_back_from_its_changelog),
        cmocka_unit_test(a_task_waits_for_its_stores),
        cmocka_unit_test(a_rewind_takes_the_store_back),
        cmocka_unit_test(no_position_is_committed_before_its_changes_are_delivered),
        cmocka_unit_test(a_persistent_store_reads_only_what_it_lacks),
        cmocka_unit_test(a_store_of_another_changelog_is_built_anew),
        cmocka_unit_test(a_damaged_store_is_built_anew),
        cmocka_unit_test(a_task_waits_for_its_directory),
        cmocka_unit_test(a_directory_that_cannot_be_made_is_named),
        cmocka_unit_test(a_cached_store_logs_the_last_of_each_key),
        cmocka_unit_test(a_store_without_changelog_has_none),
        cmocka_unit_test(much_that_is_uncommitted_is_committed_early),
        cmocka_unit_test(rewinds_count_nothing_twice),
        cmocka_unit_test(exactly_once_counts_each_input_once),
        cmocka_unit_test(faults_of_stores_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
