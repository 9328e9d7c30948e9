/* The in-memory cluster keeps Kafka's promises, and breaks them when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "kafka/fake/fake.h"

enum { INDEXES_MAX = 64, RECORDS_MAX = 4096 };

/* What a consumer was told and read. */
struct reader {
    struct weir_kafka_consumer *consumer;
    struct weir_kafka_partition owned[INDEXES_MAX];
    bool owns[INDEXES_MAX];
    int64_t next[INDEXES_MAX];
    uint32_t gained, lost, gone;
    bool commits;
    enum weir_err commit_err;
    uint64_t records;
    bool has_tasks; /* a task is a partition of "left" and, with both, of "right" */
    bool both;
};

struct world {
    struct weir_clock_virtual clock;
    struct weir_kafka *kafka;
    uint32_t delivered, failed;
    int64_t offsets[RECORDS_MAX];
    struct weir_error error;
};

static void gained(void *opaque, struct weir_kafka_partition *partitions, const int32_t *indexes,
                   uint32_t count)
{
    struct reader *reader = opaque;
    for (uint32_t i = 0; i < count; i++) {
        assert_false(reader->owns[indexes[i]]);
        assert_true(partitions[i].offset >= 0);
        reader->owns[indexes[i]] = true;
        reader->owned[indexes[i]] = partitions[i];
        reader->next[indexes[i]] = partitions[i].offset;
    }
    reader->gained += count;
}

static void lost(void *opaque, const struct weir_kafka_partition *partitions,
                 const int32_t *indexes, uint32_t count, bool gone)
{
    struct reader *reader = opaque;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(reader->owns[indexes[i]]);
        struct weir_kafka_partition commit = partitions[i];
        assert_int_equal(commit.offset, reader->next[indexes[i]]);
        if (reader->commits)
            reader->commit_err = weir_kafka_commit(reader->consumer, &commit, 1, 100, NULL);
        reader->owns[indexes[i]] = false;
    }
    reader->lost += count;
    reader->gone += gone ? count : 0;
}

static uint32_t sources(void *opaque, const char *topic, int32_t partition,
                        struct weir_kafka_partition *out, uint32_t capacity)
{
    const struct reader *reader = opaque;
    assert_string_equal(topic, "tasks");
    assert_true(capacity >= 2);
    out[0] = (struct weir_kafka_partition){.topic = "left", .partition = partition};
    out[1] = (struct weir_kafka_partition){.topic = "right", .partition = partition};
    return reader->both ? 2 : 1;
}

static void delivered(void *opaque, void *record_opaque, int32_t partition, int64_t offset,
                      const struct weir_error *error)
{
    struct world *world = opaque;
    (void)record_opaque;
    (void)partition;
    if (error != NULL) {
        world->failed++;
        world->error = *error;
    } else {
        world->offsets[world->delivered++ % RECORDS_MAX] = offset;
    }
}

static void world_init(struct world *world, struct weir_kafka_fake_options *options)
{
    memset(world, 0, sizeof(*world));
    weir_clock_virtual_init(&world->clock, 1000000);
    struct weir_kafka_fake_options defaults;
    if (options == NULL) {
        weir_kafka_fake_options_default(&defaults);
        options = &defaults;
    }
    options->clock = &world->clock.clock;
    assert_int_equal(weir_kafka_fake_new(options, &world->kafka, NULL), WEIR_OK);
}

static void join(struct world *world, struct reader *reader, const char *topic)
{
    struct weir_kafka_consumer_options options;
    weir_kafka_consumer_options_default(&options);
    options.group_id = "g";
    options.topics = &topic;
    options.topic_count = 1;
    options.rebalance =
        (struct weir_kafka_rebalance){.gained = gained,
                                      .lost = lost,
                                      .opaque = reader,
                                      .sources = reader->has_tasks ? sources : NULL};
    reader->commits = true;
    assert_int_equal(weir_kafka_consumer_new(world->kafka, &options, &reader->consumer, NULL),
                     WEIR_OK);
}

static struct weir_kafka_producer *producer_new(struct world *world)
{
    struct weir_kafka_producer_options options;
    weir_kafka_producer_options_default(&options);
    options.delivered = delivered;
    options.opaque = world;
    struct weir_kafka_producer *producer;
    assert_int_equal(weir_kafka_producer_new(world->kafka, &options, &producer, NULL), WEIR_OK);
    return producer;
}

static struct weir_kafka_record record_of(const char *topic, int32_t partition, const char *value)
{
    return (struct weir_kafka_record){.topic = topic,
                                      .partition = partition,
                                      .timestamp_ms = -1,
                                      .value = weir_slice(value, strlen(value))};
}

static void append(struct world *world, const char *topic, int32_t partition, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct weir_kafka_record record = record_of(topic, partition, "x");
        assert_int_equal(weir_kafka_fake_append(world->kafka, &record, NULL, NULL), WEIR_OK);
    }
}

/* Reads all there is; offsets must be those expected, one after the other. */
static enum weir_err drain(struct reader *reader)
{
    for (;;) {
        struct weir_kafka_batch batch;
        enum weir_err err = weir_kafka_poll(reader->consumer, 7, 0, NULL, NULL, &batch, NULL);
        if (err != WEIR_OK)
            return err;
        assert_true(batch.count > 0 && batch.count <= 7);
        assert_true(reader->owns[batch.partition_index]);
        for (uint32_t i = 0; i < batch.count; i++)
            assert_true(batch.rows.offset[i] >= reader->next[batch.partition_index] + i);
        reader->next[batch.partition_index] = batch.offset_next;
        reader->records += batch.count;
        weir_kafka_batch_release(&batch);
    }
}

static uint32_t owns(const struct reader *reader)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < INDEXES_MAX; i++)
        count += reader->owns[i];
    return count;
}

static void records_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NULL);
    struct weir_kafka_producer *producer = producer_new(&world);
    struct weir_header headers[] = {{weir_slice("h", 1), weir_slice("v", 1)},
                                    {weir_slice("n", 1), {NULL, 0}}};
    struct weir_kafka_record record = record_of("t", -1, "value");
    record.key = weir_slice("key", 3);
    record.timestamp_ms = 42;
    record.headers = headers;
    record.header_count = 2;
    assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
    record = record_of("t", 0, "");
    record.value.data = NULL;
    assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_producer_pending(producer), 2);
    assert_int_equal(weir_kafka_producer_poll(producer, 0), 2);
    assert_int_equal(world.delivered, 2);
    assert_int_equal(world.offsets[1], 1);

    struct reader reader = {0};
    join(&world, &reader, "t");
    struct weir_kafka_batch batch;
    assert_int_equal(weir_kafka_poll(reader.consumer, 10, 0, NULL, NULL, &batch, NULL), WEIR_OK);
    assert_int_equal(batch.count, 2);
    assert_string_equal(batch.rows.topic, "t");
    assert_true(weir_slice_equal(batch.rows.key[0], weir_slice("key", 3)));
    assert_true(weir_slice_equal(batch.rows.value[0], weir_slice("value", 5)));
    assert_int_equal(batch.rows.timestamp_ms[0], 42);
    assert_int_equal(batch.rows.timestamp_ms[1], 1000000);
    assert_int_equal(batch.rows.header_count[0], 2);
    assert_true(weir_slice_equal(batch.rows.headers[0][0].value, weir_slice("v", 1)));
    assert_null(batch.rows.headers[0][1].value.data);
    assert_null(batch.rows.value[1].data);
    assert_int_equal(batch.offset_next, 2);
    reader.next[0] = batch.offset_next;
    weir_kafka_batch_release(&batch);
    assert_int_equal(weir_kafka_lag(reader.consumer, 0), 0);
    weir_kafka_consumer_close(reader.consumer, 0);
    weir_kafka_producer_close(producer);
    weir_kafka_free(world.kafka);
}

/* Values of Kafka's own test of its Java partitioner (UtilsTest.testMurmur2), modulo 7. */
static void keys_go_where_java_sends_them(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int32_t hash;
    } cases[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971}};
    struct world world;
    world_init(&world, NULL);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "t", 7), WEIR_OK);
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(cases); i++) {
        struct weir_kafka_record record = record_of("t", -1, "x");
        record.key = weir_slice(cases[i].key, strlen(cases[i].key));
        int32_t partition;
        assert_int_equal(weir_kafka_fake_append(world.kafka, &record, &partition, NULL), WEIR_OK);
        assert_int_equal(partition, (cases[i].hash & 0x7fffffff) % 7);
    }
    weir_kafka_free(world.kafka);
}

static void deliveries_take_their_time_and_keep_their_order(void **state)
{
    (void)state;
    struct weir_kafka_fake_options options;
    weir_kafka_fake_options_default(&options);
    options.delivery_delay_ms = 20;
    struct world world;
    world_init(&world, &options);
    struct weir_kafka_producer *producer = producer_new(&world);
    for (int i = 0; i < 100; i++) {
        struct weir_kafka_record record = record_of("t", 0, "x");
        assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
    }
    weir_clock_virtual_advance_ms(&world.clock, 19);
    assert_int_equal(weir_kafka_producer_poll(producer, 1000), 0);
    assert_int_equal(weir_kafka_producer_flush(producer, 1000), WEIR_TIMEOUT);
    weir_clock_virtual_advance_ms(&world.clock, 1);
    assert_int_equal(weir_kafka_producer_flush(producer, 0), WEIR_OK);
    assert_int_equal(world.delivered, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(world.offsets[i], i);
    struct weir_kafka_record record = record_of("t", 0, "never");
    assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
    weir_kafka_producer_close(producer);
    assert_int_equal(world.failed, 1);
    assert_int_equal(world.error.code, WEIR_CLOSED);
    weir_kafka_free(world.kafka);
}

static void failures_come_when_asked_for(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NULL);
    struct weir_kafka_producer *producer = producer_new(&world);
    struct weir_kafka_fake_failure failure = {.call = WEIR_KAFKA_FAKE_DELIVERY,
                                              .skip = 1,
                                              .count = 2,
                                              .err = WEIR_BROKER,
                                              .retriable = true};
    weir_kafka_fake_fail(world.kafka, &failure);
    for (int i = 0; i < 5; i++) {
        struct weir_kafka_record record = record_of("t", 0, "x");
        assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
    }
    weir_kafka_producer_poll(producer, 0);
    assert_int_equal(world.delivered, 3);
    assert_int_equal(world.failed, 2);
    assert_true(world.error.retriable);
    assert_int_equal(weir_kafka_fake_failed(world.kafka, WEIR_KAFKA_FAKE_DELIVERY), 2);

    struct reader reader = {0};
    join(&world, &reader, "t");
    drain(&reader);
    assert_int_equal(reader.records, 3);
    failure = (struct weir_kafka_fake_failure){
        .call = WEIR_KAFKA_FAKE_COMMIT, .topic = "t", .count = 1, .err = WEIR_FENCED};
    weir_kafka_fake_fail(world.kafka, &failure);
    struct weir_kafka_partition commit = {.topic = "t", .partition = 0, .offset = 3};
    assert_int_equal(weir_kafka_commit(reader.consumer, &commit, 1, 0, NULL), WEIR_FENCED);
    assert_int_equal(weir_kafka_fake_committed(world.kafka, "g", "t", 0), -1);
    assert_int_equal(weir_kafka_commit(reader.consumer, &commit, 1, 0, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_fake_committed(world.kafka, "g", "t", 0), 3);

    weir_kafka_fake_away(world.kafka, true);
    assert_int_equal(weir_kafka_commit(reader.consumer, &commit, 1, 0, NULL), WEIR_TIMEOUT);
    struct weir_kafka_record record = record_of("t", 0, "late");
    assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
    weir_clock_virtual_advance_ms(&world.clock, 120000);
    weir_kafka_producer_poll(producer, 0);
    assert_int_equal(world.error.code, WEIR_TIMEOUT);
    weir_kafka_fake_away(world.kafka, false);
    weir_kafka_consumer_close(reader.consumer, 0);
    weir_kafka_producer_close(producer);
    weir_kafka_free(world.kafka);
}

static void members_share_out_partitions_and_nothing_is_read_twice(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NULL);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "t", 8), WEIR_OK);
    for (int32_t p = 0; p < 8; p++)
        append(&world, "t", p, 10);
    struct reader a = {0}, b = {0};
    join(&world, &a, "t");
    drain(&a);
    assert_int_equal(owns(&a), 8);
    assert_int_equal(a.records, 80);
    join(&world, &b, "t");
    drain(&b); /* joins; what it shall have is not free yet */
    assert_int_equal(owns(&b), 0);
    drain(&a); /* lets go of its half and keeps the other */
    drain(&b);
    assert_int_equal(owns(&a), 4);
    assert_int_equal(owns(&b), 4);
    assert_int_equal(a.lost, 4);
    assert_int_equal(b.records, 0);
    for (int32_t p = 0; p < 8; p++)
        append(&world, "t", p, 5);
    weir_kafka_fake_rebalance(world.kafka, "g"); /* everything changes hands */
    for (int i = 0; i < 4; i++) {
        drain(&a);
        drain(&b);
    }
    assert_int_equal(a.records + b.records, 120);
    assert_int_equal(owns(&a) + owns(&b), 8);
    weir_kafka_consumer_close(b.consumer, 0);
    drain(&a);
    assert_int_equal(owns(&a), 8);
    weir_kafka_consumer_close(a.consumer, 0);
    assert_int_equal(weir_kafka_fake_members(world.kafka, "g"), 0);
    weir_kafka_free(world.kafka);
}

static void one_member_loses_and_regains_on_demand(void **state)
{
    (void)state;
    struct weir_kafka_fake_options options;
    weir_kafka_fake_options_default(&options);
    options.rebalance_ms = 50;
    struct world world;
    world_init(&world, &options);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "t", 2), WEIR_OK);
    append(&world, "t", 0, 3);
    struct reader reader = {0};
    join(&world, &reader, "t");
    drain(&reader);
    assert_int_equal(reader.gained, 0);
    weir_clock_virtual_advance_ms(&world.clock, 50);
    drain(&reader);
    assert_int_equal(reader.gained, 2);

    struct weir_kafka_partition commit = {.topic = "t", .partition = 0, .offset = 1};
    weir_kafka_fake_hold_rebalance(world.kafka, "g", true);
    weir_clock_virtual_advance_ms(&world.clock, 1000);
    assert_int_equal(weir_kafka_commit(reader.consumer, &commit, 1, 0, NULL), WEIR_AGAIN);
    assert_int_equal(weir_kafka_rewind(reader.consumer, 0, 0, NULL), WEIR_AGAIN);
    weir_kafka_fake_hold_rebalance(world.kafka, "g", false);
    assert_int_equal(weir_kafka_commit(reader.consumer, &commit, 1, 0, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_rewind(reader.consumer, 0, 0, NULL), WEIR_OK);
    reader.next[0] = 0;
    drain(&reader);
    assert_int_equal(reader.records, 6);

    weir_kafka_fake_revoke(world.kafka, "g", "t", 0);
    weir_clock_virtual_advance_ms(&world.clock, 50);
    drain(&reader);
    assert_int_equal(reader.lost, 1);
    assert_int_equal(reader.commit_err, WEIR_OK);
    weir_clock_virtual_advance_ms(&world.clock, 50);
    drain(&reader);
    assert_int_equal(reader.gained, 3);
    assert_int_equal(owns(&reader), 2);

    weir_kafka_fake_evict(world.kafka, "g", "t", 1);
    assert_int_equal(weir_kafka_commit(reader.consumer, &commit, 1, 0, NULL), WEIR_FENCED);
    drain(&reader);
    assert_int_equal(reader.gone, 2);
    assert_int_equal(reader.commit_err, WEIR_FENCED);
    weir_clock_virtual_advance_ms(&world.clock, 50);
    drain(&reader);
    assert_int_equal(owns(&reader), 2);
    assert_int_equal(reader.records, 6);
    weir_kafka_consumer_close(reader.consumer, 0);
    weir_kafka_free(world.kafka);
}

static bool want_second(void *opaque, int32_t index)
{
    return *(int32_t *)opaque == index;
}

static void unwanted_partitions_are_left_alone(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NULL);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "t", 2), WEIR_OK);
    append(&world, "t", 0, 3);
    struct reader reader = {0};
    join(&world, &reader, "t");
    struct weir_kafka_batch batch;
    int32_t wanted = 1;
    assert_int_equal(weir_kafka_poll(reader.consumer, 10, 0, want_second, &wanted, &batch, NULL),
                     WEIR_AGAIN);
    append(&world, "t", 1, 1);
    assert_int_equal(weir_kafka_poll(reader.consumer, 10, 0, want_second, &wanted, &batch, NULL),
                     WEIR_OK);
    assert_int_equal(batch.partition_index, 1);
    reader.next[1] = batch.offset_next;
    weir_kafka_batch_release(&batch);
    assert_int_equal(weir_kafka_lag(reader.consumer, 0), 3);
    weir_kafka_consumer_close(reader.consumer, 0);
    weir_kafka_free(world.kafka);
}

static void a_table_ends_once_where_it_was_opened(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NULL);
    struct weir_kafka_table_options options;
    weir_kafka_table_options_default(&options);
    options.topic = "m";
    struct weir_kafka_table *table;
    struct weir_kafka_batch batch;
    /* Absent: END at once, and read from when it is there. */
    assert_int_equal(weir_kafka_table_open(world.kafka, &options, &table, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_table_partitions(table), -1);
    weir_kafka_fake_away(world.kafka, true);
    assert_int_equal(weir_kafka_table_poll(table, 10, 0, &batch, NULL), WEIR_AGAIN);
    weir_kafka_fake_away(world.kafka, false);
    assert_int_equal(weir_kafka_table_poll(table, 10, 0, &batch, NULL), WEIR_END);
    assert_int_equal(weir_kafka_table_partitions(table), 0);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "m", 1), WEIR_OK);
    append(&world, "m", 0, 3);
    assert_int_equal(weir_kafka_table_poll(table, 10, 0, &batch, NULL), WEIR_OK);
    assert_int_equal(batch.count, 3);
    weir_kafka_batch_release(&batch);
    weir_kafka_table_close(table);
    /* Three records and a gap behind them; a fourth comes after the open. */
    weir_kafka_fake_gap(world.kafka, "m", 0, 2);
    assert_int_equal(weir_kafka_table_open(world.kafka, &options, &table, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_table_poll(table, 2, 0, &batch, NULL), WEIR_OK);
    assert_int_equal(batch.count, 2);
    weir_kafka_batch_release(&batch);
    append(&world, "m", 0, 1);
    assert_int_equal(weir_kafka_table_poll(table, 10, 0, &batch, NULL), WEIR_OK);
    assert_int_equal(batch.count, 1);
    weir_kafka_batch_release(&batch);
    assert_int_equal(weir_kafka_table_poll(table, 10, 0, &batch, NULL), WEIR_END);
    assert_int_equal(weir_kafka_table_end(table, 0), 5);
    assert_int_equal(weir_kafka_table_poll(table, 10, 0, &batch, NULL), WEIR_OK);
    assert_int_equal(batch.rows.offset[0], 5);
    weir_kafka_batch_release(&batch);
    assert_int_equal(weir_kafka_table_poll(table, 10, 0, &batch, NULL), WEIR_AGAIN);
    weir_kafka_table_close(table);
    weir_kafka_free(world.kafka);
}

static void a_commit_out_of_the_log_begins_at_its_first(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NULL);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "t", 1), WEIR_OK);
    append(&world, "t", 0, 10);
    assert_int_equal(weir_kafka_fake_commit(world.kafka, "g", "t", 0, 2), WEIR_OK);
    weir_kafka_fake_delete_before(world.kafka, "t", 0, 5);
    struct reader reader = {0};
    join(&world, &reader, "t");
    drain(&reader);
    assert_int_equal(reader.records, 5);
    assert_int_equal(reader.owned[0].offset, 5);
    assert_false(reader.owned[0].committed);
    weir_kafka_consumer_close(reader.consumer, 0);
    weir_kafka_free(world.kafka);
}

/* Members that share out tasks, and one that dies: sources go where their task goes, with their
 * commits. */
static void sources_go_with_their_task(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NULL);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "tasks", 4), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "left", 4), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "right", 4), WEIR_OK);
    for (int32_t p = 0; p < 4; p++) {
        append(&world, "left", p, 10);
        append(&world, "right", p, 20);
    }
    struct reader one = {.has_tasks = true, .both = true}, two = one;
    join(&world, &one, "tasks");
    drain(&one);
    assert_int_equal(owns(&one), 8);
    assert_int_equal(one.records, 120);
    join(&world, &two, "tasks");
    for (int i = 0; i < 4; i++) {
        drain(&two);
        drain(&one);
    }
    assert_int_equal(owns(&one), 4);
    assert_int_equal(owns(&two), 4);
    assert_int_equal(two.records, 0); /* what was read has been committed */
    for (uint32_t i = 0; i < INDEXES_MAX; i++)
        assert_true(!two.owns[i] || two.owned[i].committed);
    struct weir_kafka_partition foreign = one.owned[0];
    for (uint32_t i = 0; i < INDEXES_MAX; i++)
        if (two.owns[i])
            foreign = two.owned[i];
    assert_int_equal(weir_kafka_commit(one.consumer, &foreign, 1, 0, NULL), WEIR_FENCED);
    weir_kafka_fake_evict(world.kafka, "g", "tasks", 0);
    for (int i = 0; i < 4; i++) {
        drain(&two);
        drain(&one);
    }
    assert_int_equal(one.gone + two.gone, 4);
    assert_int_equal(owns(&one) + owns(&two), 8);
    weir_kafka_consumer_close(one.consumer, 0);
    drain(&two);
    assert_int_equal(owns(&two), 8);
    weir_kafka_consumer_close(two.consumer, 0);
    weir_kafka_free(world.kafka);
}

/* A task that gets another source is begun anew, also one that had none that exists. */
static void a_task_gets_more_sources(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, NULL);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "tasks", 2), WEIR_OK);
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "left", 2), WEIR_OK);
    struct reader one = {.has_tasks = true};
    join(&world, &one, "tasks");
    drain(&one);
    assert_int_equal(owns(&one), 2);
    weir_kafka_sources_changed(one.consumer); /* they have not */
    drain(&one);
    assert_int_equal(one.lost, 0);
    one.both = true;
    weir_kafka_sources_changed(one.consumer);
    drain(&one);
    assert_int_equal(one.lost, 2);
    assert_int_equal(owns(&one), 0); /* a task is gained whole */
    assert_int_equal(weir_kafka_fake_topic(world.kafka, "right", 2), WEIR_OK);
    append(&world, "right", 1, 5);
    drain(&one);
    assert_int_equal(owns(&one), 4);
    assert_int_equal(one.records, 5);
    weir_kafka_consumer_close(one.consumer, 0);
    weir_kafka_free(world.kafka);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_out_as_they_went_in),
        cmocka_unit_test(keys_go_where_java_sends_them),
        cmocka_unit_test(deliveries_take_their_time_and_keep_their_order),
        cmocka_unit_test(failures_come_when_asked_for),
        cmocka_unit_test(members_share_out_partitions_and_nothing_is_read_twice),
        cmocka_unit_test(one_member_loses_and_regains_on_demand),
        cmocka_unit_test(unwanted_partitions_are_left_alone),
        cmocka_unit_test(a_table_ends_once_where_it_was_opened),
        cmocka_unit_test(a_commit_out_of_the_log_begins_at_its_first),
        cmocka_unit_test(sources_go_with_their_task),
        cmocka_unit_test(a_task_gets_more_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
