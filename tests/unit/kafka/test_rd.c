/* The client on librdkafka, against a cluster: what goes in comes out, once, whatever moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "cluster.h"

enum { INDEXES_MAX = 256, LIMIT_MS = 30000 };

struct world {
    struct cluster cluster;
    struct weir_kafka *kafka;
    uint64_t delivered, failed;
    struct weir_error error;
    uint32_t topics; /* for fresh names */
};

static void delivered(void *opaque, void *record_opaque, int32_t partition, int64_t offset,
                      const struct weir_error *error)
{
    struct world *world = opaque;
    (void)partition;
    if (error != NULL) {
        world->failed++;
        world->error = *error;
        return;
    }
    world->delivered++;
    if (record_opaque != NULL)
        *(int64_t *)record_opaque = offset;
}

static struct weir_kafka_producer *producer_new(struct world *world)
{
    struct weir_kafka_producer_options options;
    weir_kafka_producer_options_default(&options);
    options.delivered = delivered;
    options.opaque = world;
    struct weir_kafka_producer *producer;
    struct weir_error error = {0};
    if (weir_kafka_producer_new(world->kafka, &options, &producer, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return producer;
}

static const char *fresh_topic(struct world *world, int32_t partitions, char *name, size_t capacity)
{
    snprintf(name, capacity, "topic-%u", ++world->topics);
    cluster_topic(&world->cluster, world->kafka, name, partitions);
    return name;
}

/* Numbers 0 .. count-1, each to partition number % partitions. */
static void produce_numbers(struct world *world, const char *topic, uint32_t count,
                            int32_t partitions)
{
    struct weir_kafka_producer *producer = producer_new(world);
    struct weir_error error = {0};
    uint64_t before = world->delivered;
    for (uint32_t i = 0; i < count; i++) {
        struct weir_kafka_record record = {.topic = topic,
                                           .partition = (int32_t)i % partitions,
                                           .timestamp_ms = -1,
                                           .value = weir_slice(&i, sizeof(i))};
        enum weir_err err;
        while ((err = weir_kafka_produce(producer, &record, &error)) == WEIR_AGAIN)
            weir_kafka_producer_poll(producer, 10);
        if (err != WEIR_OK)
            fail_msg("%s", error.message);
    }
    assert_int_equal(weir_kafka_producer_flush(producer, LIMIT_MS), WEIR_OK);
    assert_int_equal(world->delivered - before, count);
    weir_kafka_producer_close(producer);
}

/* ---- a member that checks all it sees -------------------------------------------------------- */

struct member {
    struct weir_kafka_consumer *consumer;
    bool owns[INDEXES_MAX];
    struct weir_kafka_partition at[INDEXES_MAX]; /* offset: next expected at least */
    uint8_t *seen;     /* [records of the topic] how often, shared between members */
    uint64_t *records; /* shared */
    uint32_t gained, lost;
    bool commits;
};

static void member_commit(struct member *member, const int32_t *indexes, uint32_t count)
{
    struct weir_kafka_partition commits[INDEXES_MAX];
    struct weir_error error = {0};
    for (uint32_t i = 0; i < count; i++)
        commits[i] = member->at[indexes[i]];
    enum weir_err err = weir_kafka_commit(member->consumer, commits, count, 10000, &error);
    if (err != WEIR_OK && err != WEIR_AGAIN)
        fail_msg("commit: %s", error.message);
}

static void on_gained(void *opaque, struct weir_kafka_partition *partitions, const int32_t *indexes,
                      uint32_t count)
{
    struct member *member = opaque;
    for (uint32_t i = 0; i < count; i++) {
        assert_in_range(indexes[i], 0, INDEXES_MAX - 1);
        assert_false(member->owns[indexes[i]]);
        assert_true(partitions[i].offset >= 0);
        member->owns[indexes[i]] = true;
        member->at[indexes[i]] = partitions[i];
    }
    member->gained += count;
}

static void on_lost(void *opaque, const struct weir_kafka_partition *partitions,
                    const int32_t *indexes, uint32_t count, bool gone)
{
    struct member *member = opaque;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(member->owns[indexes[i]]);
        assert_int_equal(partitions[i].offset, member->at[indexes[i]].offset);
    }
    assert_false(gone);
    if (member->commits)
        member_commit(member, indexes, count);
    for (uint32_t i = 0; i < count; i++)
        member->owns[indexes[i]] = false;
    member->lost += count;
}

static void join(struct world *world, struct member *member, const char *group, const char *topic)
{
    struct weir_kafka_consumer_options options;
    weir_kafka_consumer_options_default(&options);
    options.group_id = group;
    options.topics = &topic;
    options.topic_count = 1;
    options.queue_bytes = 1 << 20;
    options.rebalance =
        (struct weir_kafka_rebalance){.gained = on_gained, .lost = on_lost, .opaque = member};
    struct weir_error error = {0};
    if (weir_kafka_consumer_new(world->kafka, &options, &member->consumer, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

/* One poll; every record counts in `seen`, and offsets must go on without a gap. */
static enum weir_err step(struct member *member, int32_t timeout_ms)
{
    struct weir_kafka_batch batch;
    struct weir_error error = {0};
    enum weir_err err =
        weir_kafka_poll(member->consumer, 100, timeout_ms, NULL, NULL, &batch, &error);
    if (err == WEIR_AGAIN)
        return err;
    if (err != WEIR_OK)
        fail_msg("poll: %s", error.message);
    int32_t index = batch.partition_index;
    assert_in_range(index, 0, INDEXES_MAX - 1);
    assert_true(member->owns[index]);
    for (uint32_t i = 0; i < batch.count; i++) {
        assert_int_equal(batch.rows.offset[i], member->at[index].offset + i);
        uint32_t number;
        assert_int_equal(batch.rows.value[i].bytes, sizeof(number));
        memcpy(&number, batch.rows.value[i].data, sizeof(number));
        if (member->seen != NULL)
            member->seen[number]++;
    }
    assert_int_equal(batch.rows.partition, member->at[index].partition);
    member->at[index].offset = batch.offset_next;
    if (member->records != NULL)
        *member->records += batch.count;
    weir_kafka_batch_release(&batch);
    return WEIR_OK;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void records_come_out_as_they_went_in(void **state)
{
    struct world *world = *state;
    char topic[32];
    fresh_topic(world, 1, topic, sizeof(topic));
    struct weir_kafka_producer *producer = producer_new(world);
    struct weir_header headers[] = {{weir_slice("h", 1), weir_slice("v", 1)},
                                    {weir_slice("n", 1), {NULL, 0}}};
    int64_t offsets[3] = {-1, -1, -1};
    struct weir_kafka_record record = {.topic = topic,
                                       .partition = -1,
                                       .timestamp_ms = 42,
                                       .key = weir_slice("key", 3),
                                       .value = weir_slice("value", 5),
                                       .headers = headers,
                                       .header_count = 2,
                                       .opaque = &offsets[0]};
    assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
    record = (struct weir_kafka_record){.topic = topic, .timestamp_ms = 43, .opaque = &offsets[1]};
    assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK); /* nulls */
    record.key = record.value = weir_slice("", 0);
    record.opaque = &offsets[2];
    assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK); /* empty */
    assert_int_equal(weir_kafka_producer_pending(producer), 3);
    assert_int_equal(weir_kafka_producer_flush(producer, LIMIT_MS), WEIR_OK);
    assert_int_equal(offsets[0], 0);
    assert_int_equal(offsets[2], 2);
    weir_kafka_producer_close(producer);

    struct weir_kafka_table_options options;
    weir_kafka_table_options_default(&options);
    options.topic = topic;
    struct weir_kafka_table *table;
    struct weir_kafka_batch batch;
    assert_int_equal(weir_kafka_table_open(world->kafka, &options, &table, NULL), WEIR_OK);
    int64_t deadline = now_ms() + LIMIT_MS;
    enum weir_err err;
    do {
        err = weir_kafka_table_poll(table, 10, 1000, &batch, NULL);
    } while (err == WEIR_AGAIN && now_ms() < deadline);
    assert_int_equal(err, WEIR_OK);
    assert_int_equal(batch.count, 3);
    assert_string_equal(batch.rows.topic, topic);
    assert_true(weir_slice_equal(batch.rows.key[0], weir_slice("key", 3)));
    assert_true(weir_slice_equal(batch.rows.value[0], weir_slice("value", 5)));
    assert_int_equal(batch.rows.timestamp_ms[0], 42);
    assert_int_equal(batch.rows.header_count[0], 2);
    assert_true(weir_slice_equal(batch.rows.headers[0][0].name, weir_slice("h", 1)));
    assert_true(weir_slice_equal(batch.rows.headers[0][0].value, weir_slice("v", 1)));
    assert_null(batch.rows.headers[0][1].value.data);
    assert_null(batch.rows.key[1].data);
    assert_null(batch.rows.value[1].data);
    assert_int_equal(batch.rows.header_count[1], 0);
    assert_non_null(batch.rows.key[2].data);
    assert_non_null(batch.rows.value[2].data);
    assert_int_equal(batch.rows.value[2].bytes, 0);
    weir_kafka_batch_release(&batch);
    assert_int_equal(weir_kafka_table_poll(table, 10, 1000, &batch, NULL), WEIR_END);
    assert_int_equal(weir_kafka_table_end(table, 0), 3);
    assert_int_equal(weir_kafka_table_partitions(table), 1);
    weir_kafka_table_close(table);
}

static void a_table_ends_where_it_was_opened(void **state)
{
    struct world *world = *state;
    char topic[32];
    fresh_topic(world, 3, topic, sizeof(topic));
    produce_numbers(world, topic, 1000, 3);
    struct weir_kafka_table_options options;
    weir_kafka_table_options_default(&options);
    options.topic = topic;
    struct weir_kafka_table *table;
    struct weir_kafka_batch batch;
    assert_int_equal(weir_kafka_table_open(world->kafka, &options, &table, NULL), WEIR_OK);
    /* The ends are found in the first poll; what is written after that is past them. */
    int64_t deadline = now_ms() + LIMIT_MS;
    uint32_t before = 0, after = 0;
    bool ended = false, more = false;
    while ((!ended || after < 30) && now_ms() < deadline) {
        enum weir_err err = weir_kafka_table_poll(table, 7, 100, &batch, NULL);
        if (!more && weir_kafka_table_partitions(table) > 0) {
            more = true;
            produce_numbers(world, topic, 30, 3);
        }
        if (err == WEIR_END) {
            assert_false(ended);
            ended = true;
            assert_int_equal(before, 1000);
        } else if (err == WEIR_OK) {
            int64_t end = weir_kafka_table_end(table, batch.partition_index);
            for (uint32_t i = 0; i < batch.count; i++)
                assert_int_equal(batch.rows.offset[i] < end, batch.rows.offset[0] < end);
            *(batch.rows.offset[0] < end ? &before : &after) += batch.count;
            weir_kafka_batch_release(&batch);
        }
    }
    assert_true(ended);
    assert_int_equal(before, 1000);
    assert_int_equal(after, 30);
    weir_kafka_table_close(table);
}

static void a_table_waits_for_its_topic(void **state)
{
    struct world *world = *state;
    if (world->cluster.is_mock)
        skip(); /* the mock makes every topic that is asked for */
    struct weir_kafka_table_options options;
    weir_kafka_table_options_default(&options);
    options.topic = "not-there-yet";
    struct weir_kafka_table *table;
    struct weir_kafka_batch batch;
    assert_int_equal(weir_kafka_table_open(world->kafka, &options, &table, NULL), WEIR_OK);
    int64_t deadline = now_ms() + LIMIT_MS;
    enum weir_err err;
    while ((err = weir_kafka_table_poll(table, 10, 100, &batch, NULL)) == WEIR_AGAIN)
        assert_true(now_ms() < deadline);
    assert_int_equal(err, WEIR_END);
    assert_int_equal(weir_kafka_table_partitions(table), 0);
    int32_t partitions;
    assert_int_equal(
        weir_kafka_topic_partitions(world->kafka, "not-there-yet", 5000, &partitions, NULL),
        WEIR_NOT_FOUND);
    cluster_topic(&world->cluster, world->kafka, "not-there-yet", 2);
    produce_numbers(world, "not-there-yet", 10, 2);
    uint32_t count = 0;
    while (count < 10) {
        assert_true(now_ms() < deadline);
        err = weir_kafka_table_poll(table, 10, 100, &batch, NULL);
        if (err == WEIR_OK) {
            count += batch.count;
            weir_kafka_batch_release(&batch);
        } else {
            assert_int_equal(err, WEIR_AGAIN);
        }
    }
    weir_kafka_table_close(table);
}

static void topics_are_made_and_described(void **state)
{
    struct world *world = *state;
    if (world->cluster.is_mock)
        skip(); /* it knows no CreateTopics */
    const struct weir_kafka_property config[] = {{"cleanup.policy", "compact"}};
    const struct weir_kafka_topic topics[] = {
        {.name = "made-a", .partitions = 3, .replication = -1},
        {.name = "made-b", .partitions = 1, .replication = -1, .config = config, .config_count = 1},
    };
    bool created[2];
    struct weir_error error = {0};
    if (weir_kafka_topics_create(world->kafka, topics, 2, 10000, created, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    assert_true(created[0] && created[1]);
    assert_int_equal(weir_kafka_topics_create(world->kafka, topics, 2, 10000, created, NULL),
                     WEIR_OK);
    assert_false(created[0] || created[1]);
    int32_t partitions;
    assert_int_equal(weir_kafka_topic_partitions(world->kafka, "made-a", 5000, &partitions, NULL),
                     WEIR_OK);
    assert_int_equal(partitions, 3);
    produce_numbers(world, "made-a", 30, 3);
    int64_t first, next;
    assert_int_equal(weir_kafka_offsets(world->kafka, "made-a", 2, 5000, &first, &next, NULL),
                     WEIR_OK);
    assert_int_equal(first, 0);
    assert_int_equal(next, 10);
    assert_int_equal(weir_kafka_offsets(world->kafka, "made-a", 7, 5000, &first, &next, NULL),
                     WEIR_NOT_FOUND);
}

static void a_rewind_reads_again_from_there(void **state)
{
    struct world *world = *state;
    char topic[32];
    fresh_topic(world, 2, topic, sizeof(topic));
    const uint32_t count = 20000;
    produce_numbers(world, topic, count, 2);
    uint8_t *seen = calloc(count, 1);
    uint64_t records = 0, expected = count;
    struct member member = {.seen = seen, .records = &records, .commits = true};
    join(world, &member, topic, topic);
    int64_t deadline = now_ms() + LIMIT_MS;
    uint32_t rewinds = 0;
    while (records < expected && now_ms() < deadline) {
        step(&member, 100);
        /* Again and again in the middle of what was fetched ahead. */
        if (rewinds < 20 && records > (rewinds + 1) * 900) {
            int32_t index = (int32_t)(rewinds % 2);
            int64_t back = member.at[index].offset / 2;
            struct weir_error error = {0};
            enum weir_err err = weir_kafka_rewind(member.consumer, index, back, &error);
            if (err == WEIR_AGAIN)
                continue;
            if (err != WEIR_OK)
                fail_msg("%s", error.message);
            expected += (uint64_t)(member.at[index].offset - back);
            member.at[index].offset = back; /* step() checks that it goes on exactly here */
            rewinds++;
        }
    }
    assert_int_equal(records, expected);
    assert_int_equal(rewinds, 20);
    for (uint32_t i = 0; i < count; i++)
        assert_true(seen[i] > 0);
    assert_int_equal(weir_kafka_rewind(member.consumer, 99, 0, NULL), WEIR_NOT_FOUND);
    assert_int_equal(weir_kafka_lag(member.consumer, 0), 0);
    weir_kafka_consumer_close(member.consumer, 10000);
    free(seen);
}

static void records_are_deleted_before_an_offset(void **state)
{
    struct world *world = *state;
    char name[32];
    int64_t first, next;
    struct weir_error error = {0};
    if (world->cluster.is_mock)
        skip(); /* it knows no DeleteRecords */
    const char *topic = fresh_topic(world, 2, name, sizeof(name));
    produce_numbers(world, topic, 20, 2);
    struct weir_kafka_partition partitions[] = {{.topic = topic, .partition = 0, .offset = 7},
                                                {.topic = topic, .partition = 1, .offset = 10}};
    if (weir_kafka_delete_records(world->kafka, partitions, 2, LIMIT_MS, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    assert_int_equal(weir_kafka_offsets(world->kafka, topic, 0, LIMIT_MS, &first, &next, NULL),
                     WEIR_OK);
    assert_int_equal(first, 7);
    assert_int_equal(next, 10);
    partitions[0].offset = 11; /* there is no such offset */
    assert_int_not_equal(weir_kafka_delete_records(world->kafka, partitions, 1, LIMIT_MS, &error),
                         WEIR_OK);
    assert_non_null(strstr(error.message, topic));
}

static void commits_are_found_by_the_next_member(void **state)
{
    struct world *world = *state;
    if (world->cluster.is_mock)
        skip(); /* it does not notice that the first member left */
    char topic[32];
    fresh_topic(world, 1, topic, sizeof(topic));
    produce_numbers(world, topic, 1000, 1);
    uint64_t records = 0;
    struct member first = {.records = &records};
    join(world, &first, topic, topic);
    int64_t deadline = now_ms() + LIMIT_MS;
    while (records < 500 && now_ms() < deadline)
        step(&first, 100);
    struct weir_kafka_partition commits[] = {{.topic = topic, .partition = 0, .offset = 123},
                                             {.topic = topic, .partition = 5, .offset = 1}};
    assert_int_equal(weir_kafka_commit(first.consumer, commits, 2, 10000, NULL), WEIR_FENCED);
    assert_int_equal(commits[0].err, WEIR_OK);
    assert_int_equal(commits[1].err, WEIR_FENCED);
    weir_kafka_consumer_close(first.consumer, 10000);
    struct member second = {.records = &records};
    join(world, &second, topic, topic);
    while (second.gained == 0 && now_ms() < deadline)
        step(&second, 100);
    assert_int_equal(second.gained, 1);
    assert_true(second.at[0].offset >= 123);
    assert_true(second.at[0].committed);
    records = 0;
    while (step(&second, 1000) == WEIR_OK)
        continue;
    assert_int_equal(second.at[0].offset, 1000);
    weir_kafka_consumer_close(second.consumer, 10000);
}

static void errors_say_who_and_what(void **state)
{
    (void)state;
    struct weir_kafka_options options;
    weir_kafka_options_default(&options);
    options.bootstrap_servers = "127.0.0.1:1";
    struct weir_kafka *kafka;
    struct weir_error error = {0};
    const struct weir_kafka_property wrong[] = {{"no.such.property", "1"}};
    options.properties = wrong;
    options.property_count = 1;
    assert_int_equal(weir_kafka_new(&options, &kafka, &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "no.such.property"));
    const struct weir_kafka_property ours[] = {{"enable.auto.commit", "true"}};
    options.properties = ours;
    assert_int_equal(weir_kafka_new(&options, &kafka, &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "enable.auto.commit"));
    options.property_count = 0;
    assert_int_equal(weir_kafka_new(&options, &kafka, &error), WEIR_OK);
    int32_t partitions;
    enum weir_err err = weir_kafka_topic_partitions(kafka, "t", 500, &partitions, &error);
    assert_true(err == WEIR_BROKER || err == WEIR_TIMEOUT);
    assert_true(error.retriable);
    printf("[ message  ] %s\n", error.message);
    assert_non_null(strstr(error.message, "127.0.0.1:1"));
    weir_kafka_free(kafka);
}

static void what_is_not_delivered_is_reported_closed(void **state)
{
    (void)state;
    struct world world = {0};
    struct weir_kafka_options options;
    weir_kafka_options_default(&options);
    options.bootstrap_servers = "127.0.0.1:1";
    assert_int_equal(weir_kafka_new(&options, &world.kafka, NULL), WEIR_OK);
    struct weir_kafka_producer *producer = producer_new(&world);
    for (int i = 0; i < 10; i++) {
        struct weir_kafka_record record = {.topic = "t", .partition = 0, .timestamp_ms = -1};
        assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
    }
    assert_int_equal(weir_kafka_producer_flush(producer, 10), WEIR_TIMEOUT);
    weir_kafka_producer_close(producer);
    assert_int_equal(world.failed, 10);
    assert_int_equal(world.error.code, WEIR_CLOSED);
    weir_kafka_free(world.kafka);
}

static int set_up(void **state)
{
    static struct world world;
    memset(&world, 0, sizeof(world));
    cluster_start(&world.cluster, getenv("WEIR_TEST_MOCK") != NULL);
    world.kafka = cluster_connect(&world.cluster);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    weir_kafka_free(world->kafka);
    cluster_stop(&world->cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_say_who_and_what),
        cmocka_unit_test(what_is_not_delivered_is_reported_closed),
        cmocka_unit_test(records_come_out_as_they_went_in),
        cmocka_unit_test(a_table_ends_where_it_was_opened),
        cmocka_unit_test(a_table_waits_for_its_topic),
        cmocka_unit_test(topics_are_made_and_described),
        cmocka_unit_test(records_are_deleted_before_an_offset),
        cmocka_unit_test(commits_are_found_by_the_next_member),
        cmocka_unit_test(a_rewind_reads_again_from_there),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
