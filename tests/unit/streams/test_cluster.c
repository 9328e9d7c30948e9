/* Tasks on a broker, through librdkafka: order of two inputs, transactions, stores. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fixture.h"
#include "../kafka/cluster.h"

#include <weir/streams.h>

enum { PARTITIONS = 4, RECORDS = 500, LIMIT_MS = 60000 };

struct watch {
    int64_t last_ms[PARTITIONS]; /* of a partition; its task's thread's */
    atomic_uint rows, disorders;
};

static enum weir_err watch_init(void *config, struct weir_context *context, void **self_out,
                                struct weir_error *error)
{
    (void)context;
    (void)error;
    *self_out = config;
    return WEIR_OK;
}

static enum weir_err watch_rows(void *self, struct weir_context *context,
                                const struct weir_block *block, struct weir_error *error)
{
    struct watch *watch = self;
    int64_t *last_ms = &watch->last_ms[weir_context_partition(context)];
    for (uint32_t row = 0; row < block->rows; row++) {
        if (block->rows_meta.timestamp_ms[row] < *last_ms)
            atomic_fetch_add(&watch->disorders, 1);
        *last_ms = block->rows_meta.timestamp_ms[row];
    }
    atomic_fetch_add(&watch->rows, block->rows);
    return weir_context_forward(context, block, error);
}

static struct weir_topology *make_topology(struct watch *watch)
{
    static const struct weir_processor_ops ops = {
        .abi = WEIR_PROCESSOR_ABI, .init = watch_init, .process_batch = watch_rows};
    static const char *const in[] = {"in"}, *const more[] = {"more"},
                             *const sources[] = {"data", "more"}, *const watched[] = {"watch"};
    struct weir_topology *topology;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", in, 1, NULL, NULL, NULL), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "more", more, 1, NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_copartition(topology, sources, 2, NULL), WEIR_OK);
    assert_int_equal(weir_topology_add_processor(topology, "watch", &ops, watch, sources, 2, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", watched, 1, NULL), WEIR_OK);
    return topology;
}

static rd_kafka_t *producer(const struct cluster *cluster, const char *transactional_id)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(
        rd_kafka_conf_set(conf, "bootstrap.servers", cluster->address, text, sizeof text),
        RD_KAFKA_CONF_OK);
    if (transactional_id)
        assert_int_equal(
            rd_kafka_conf_set(conf, "transactional.id", transactional_id, text, sizeof text),
            RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(rk);
    return rk;
}

/* Records to each partition, every second millisecond. */
static void put(rd_kafka_t *rk, const char *topic, int count, int64_t from_ms)
{
    for (int i = 0; i < count * PARTITIONS; i++)
        assert_int_equal(
            rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(i % PARTITIONS),
                              RD_KAFKA_V_TIMESTAMP(from_ms + i / PARTITIONS * 2),
                              RD_KAFKA_V_VALUE((void *)(uintptr_t) "x", 1), RD_KAFKA_V_END),
            RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(rk, LIMIT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void succeeds(rd_kafka_error_t *failure)
{
    if (failure)
        fail_msg("%s", rd_kafka_error_string(failure));
}

/* Behind the last record of "more" stand a commit marker, which is no record, and records that
 * nobody may read yet: what is behind them must not be waited for. */
static rd_kafka_t *put_in_transactions(const struct cluster *cluster, int64_t begin_ms)
{
    rd_kafka_t *rk = producer(cluster, "writer");
    succeeds(rd_kafka_init_transactions(rk, LIMIT_MS));
    succeeds(rd_kafka_begin_transaction(rk));
    put(rk, "more", RECORDS, begin_ms + 1);
    succeeds(rd_kafka_commit_transaction(rk, LIMIT_MS));
    succeeds(rd_kafka_begin_transaction(rk));
    put(rk, "more", 10, begin_ms);
    return rk;
}

static void wait_for_rows(struct watch *watch, uint32_t rows)
{
    int64_t until_ms = now_ms() + LIMIT_MS;
    const struct timespec moment = {.tv_nsec = 5 * 1000000};
    while (atomic_load(&watch->rows) < rows && now_ms() < until_ms)
        nanosleep(&moment, NULL);
    assert_int_equal(atomic_load(&watch->rows), rows);
}

static void two_topics_are_read_in_the_order_of_their_timestamps(void **state)
{
    struct cluster *cluster = *state;
    struct watch watch = {0};
    struct weir_streams_options options;
    struct weir_streams_stats stats;
    struct weir_streams *streams;
    int64_t begin_ms = (int64_t)time(NULL) * 1000 - 60000; /* retention spares them */
    if (cluster->is_mock)
        skip(); /* it knows neither groups enough nor transactions */
    struct weir_kafka *kafka = cluster_connect(cluster);
    cluster_topic(cluster, kafka, "in", PARTITIONS);
    cluster_topic(cluster, kafka, "more", PARTITIONS);
    cluster_topic(cluster, kafka, "out", PARTITIONS);
    rd_kafka_t *plain = producer(cluster, NULL), *open = put_in_transactions(cluster, begin_ms);
    put(plain, "in", RECORDS, begin_ms);
    weir_streams_options_default(&options);
    options.application_id = "app";
    options.batch_rows = 64;
    options.threads = 2;
    assert_int_equal(weir_streams_new(make_topology(&watch), kafka, &options, &streams, NULL),
                     WEIR_OK);
    assert_int_equal(weir_streams_start(streams, NULL), WEIR_OK);
    wait_for_rows(&watch, 2 * RECORDS * PARTITIONS);
    assert_int_equal(atomic_load(&watch.disorders), 0);
    put(plain, "in", 1, begin_ms + 10 * RECORDS); /* the transaction is still open */
    wait_for_rows(&watch, 2 * RECORDS * PARTITIONS + PARTITIONS);
    assert_int_equal(weir_streams_stop(streams), WEIR_OK);
    weir_streams_stats(streams, &stats);
    assert_int_equal(stats.records_delivered, 2 * RECORDS * PARTITIONS + PARTITIONS);
    weir_streams_free(streams);

    /* another one begins behind all that */
    assert_int_equal(weir_streams_new(make_topology(&watch), kafka, &options, &streams, NULL),
                     WEIR_OK);
    assert_int_equal(weir_streams_start(streams, NULL), WEIR_OK);
    put(plain, "in", 1, begin_ms + 20 * RECORDS);
    wait_for_rows(&watch, 2 * RECORDS * PARTITIONS + 2 * PARTITIONS);
    assert_int_equal(weir_streams_stop(streams), WEIR_OK);
    weir_streams_free(streams);
    assert_int_equal(atomic_load(&watch.disorders), 0);
    succeeds(rd_kafka_abort_transaction(open, LIMIT_MS));
    rd_kafka_destroy(open);
    rd_kafka_destroy(plain);
    weir_kafka_free(kafka);
}

/* ---- a store --------------------------------------------------------------------------------- */

enum { COUNTED = 2000 };

struct counts {
    const struct weir_store_engine *engine;
    atomic_uint rows, restored;
    atomic_ullong restored_records;
    atomic_ullong largest; /* count that any partition has come to */
};

static enum weir_err count_init(void *config, struct weir_context *context, void **self_out,
                                struct weir_error *error)
{
    (void)context;
    (void)error;
    *self_out = config;
    return WEIR_OK;
}

/* Under one key, how many rows of the partition there have been. */
static enum weir_err count_rows(void *self, struct weir_context *context,
                                const struct weir_block *block, struct weir_error *error)
{
    struct counts *counts = self;
    struct weir_store *store = weir_context_store(context, "rows");
    struct weir_slice key = weir_slice("rows", 4);
    struct weir_stamped found;
    uint64_t count = 0;
    enum weir_err err = WEIR_OK;
    for (uint32_t row = 0; row < block->rows && err == WEIR_OK; row++) {
        if (weir_key_value_get(store, key, &found, error) == WEIR_OK)
            memcpy(&count, found.value.data, sizeof count);
        count++;
        err = weir_key_value_put(store, key, weir_slice(&count, sizeof count), -1, error);
    }
    if (count > atomic_load(&counts->largest))
        atomic_store(&counts->largest, count);
    atomic_fetch_add(&counts->rows, block->rows);
    return err;
}

static void on_restore(void *opaque, const struct weir_restore *progress)
{
    struct counts *counts = opaque;
    if (progress->offset != progress->end)
        return;
    atomic_fetch_add(&counts->restored, 1);
    atomic_fetch_add(&counts->restored_records, progress->records);
}

static struct weir_topology *counting_topology(struct counts *counts, const char *topic)
{
    static const struct weir_processor_ops ops = {
        .abi = WEIR_PROCESSOR_ABI, .init = count_init, .process_batch = count_rows};
    static const char *const data[] = {"data"}, *const count[] = {"count"};
    const char *const in[] = {topic};
    struct weir_topology *topology;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", in, 1, NULL, NULL, NULL), WEIR_OK);
    assert_int_equal(weir_topology_add_processor(topology, "count", &ops, counts, data, 1, NULL),
                     WEIR_OK);
    struct weir_store_options store;
    weir_store_options_default(&store);
    store.name = "rows";
    store.engine = counts->engine;
    assert_int_equal(weir_topology_add_store(topology, &store, count, 1, NULL), WEIR_OK);
    return topology;
}

/* An instance counts, and the next one goes on counting where it ended. */
static void count_on(struct cluster *cluster, struct counts *counts, const char *application,
                     const char *state_dir)
{
    struct weir_streams_options options;
    struct weir_streams *streams;
    int64_t begin_ms = (int64_t)time(NULL) * 1000 - 60000;
    const struct timespec moment = {.tv_nsec = 5 * 1000000};
    struct weir_kafka *kafka = cluster_connect(cluster);
    rd_kafka_t *plain = producer(cluster, NULL);
    weir_streams_options_default(&options);
    options.application_id = application;
    options.threads = 2;
    options.state_dir = state_dir;
    options.on_restore = on_restore;
    options.opaque = counts;
    for (uint32_t run = 1; run <= 3; run++) {
        int64_t until_ms = now_ms() + LIMIT_MS;
        put(plain, application, COUNTED, begin_ms);
        assert_int_equal(weir_streams_new(counting_topology(counts, application), kafka, &options,
                                          &streams, NULL),
                         WEIR_OK);
        assert_int_equal(weir_streams_start(streams, NULL), WEIR_OK);
        while (atomic_load(&counts->rows) < run * COUNTED * PARTITIONS && now_ms() < until_ms)
            nanosleep(&moment, NULL);
        assert_int_equal(weir_streams_stop(streams), WEIR_OK);
        weir_streams_free(streams);
        assert_int_equal(atomic_load(&counts->rows), run * COUNTED * PARTITIONS);
        assert_int_equal(atomic_load(&counts->largest), run * COUNTED);
        assert_true(atomic_load(&counts->restored) >= run * PARTITIONS);
    }
    rd_kafka_destroy(plain);
    weir_kafka_free(kafka);
}

static void a_store_is_read_from_its_changelog(void **state)
{
    struct cluster *cluster = *state;
    struct counts counts = {.engine = weir_store_in_memory()};
    if (cluster->is_mock)
        skip();
    struct weir_kafka *kafka = cluster_connect(cluster);
    cluster_topic(cluster, kafka, "counted", PARTITIONS);
    weir_kafka_free(kafka);
    count_on(cluster, &counts, "counted", NULL);
    assert_true(atomic_load(&counts.restored_records) > 0);
}

/* Files that were closed in order are ahead of nothing: their changelogs are not read again. */
static void a_persistent_store_is_still_there(void **state)
{
    struct cluster *cluster = *state;
    struct counts counts = {.engine = weir_store_persistent()};
    const char *directory = fixture_state_dir();
    if (cluster->is_mock)
        skip();
    struct weir_kafka *kafka = cluster_connect(cluster);
    cluster_topic(cluster, kafka, "kept", PARTITIONS);
    weir_kafka_free(kafka);
    count_on(cluster, &counts, "kept", directory);
    assert_int_equal(atomic_load(&counts.restored_records), 0);
    fixture_state_remove(directory);
}

static int set_up(void **state)
{
    static struct cluster cluster;
    cluster_start(&cluster, false);
    *state = &cluster;
    return 0;
}

static int tear_down(void **state)
{
    cluster_stop(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_topics_are_read_in_the_order_of_their_timestamps),
        cmocka_unit_test(a_store_is_read_from_its_changelog),
        cmocka_unit_test(a_persistent_store_is_still_there),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
