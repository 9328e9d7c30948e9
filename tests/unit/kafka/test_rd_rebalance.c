/*
 * Members of a group come and go under load, each on a thread of its own, while a third of the
 * partitions is always left unread. Every record is seen, and none is seen again beyond the last
 * commit that its member could make.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

enum {
    PARTITIONS = 12,
    TASKS = 6, /* each has two of them */
    MEMBERS = 3,
    INDEXES_MAX = 64,
    RECORDS = 120000,
    PRODUCE_MS = 9000,
    LIMIT_MS = 60000,
    COMMIT_MS = 40,
};

struct world {
    struct weir_kafka *kafka;
    char topic[32], tasks[32]; /* no tasks: the group shares out the partitions themselves */
    _Atomic uint8_t *seen;     /* [RECORDS] */
    _Atomic uint64_t records, moved, joins, gone, refused;
    _Atomic uint64_t allowed; /* records that may be seen again: read, but commit refused */
    _Atomic bool stop;
    pthread_mutex_t mutex;
    char fault[256]; /* the first; asserts are not for threads */
};

struct member {
    struct world *world;
    uint32_t number;
    struct weir_kafka_consumer *consumer;
    bool owns[INDEXES_MAX];
    struct weir_kafka_partition at[INDEXES_MAX];
    int64_t committed[INDEXES_MAX];
    uint64_t turn;
};

static void fault(struct world *world, const char *format, ...) WEIR_PRINTF(2, 3);
static void fault(struct world *world, const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&world->mutex);
    if (world->fault[0] == '\0') {
        va_start(args, format);
        vsnprintf(world->fault, sizeof(world->fault), format, args);
        va_end(args);
    }
    pthread_mutex_unlock(&world->mutex);
    atomic_store(&world->stop, true);
}

static void commit(struct member *member, const int32_t *indexes, uint32_t count)
{
    struct weir_kafka_partition commits[INDEXES_MAX];
    for (uint32_t i = 0; i < count; i++)
        commits[i] = member->at[indexes[i]];
    struct weir_error error = {0};
    enum weir_err err = weir_kafka_commit(member->consumer, commits, count, 5000, &error);
    if (err != WEIR_OK && err != WEIR_AGAIN && err != WEIR_FENCED)
        fault(member->world, "commit: %s", error.message);
    for (uint32_t i = 0; i < count; i++) {
        if (commits[i].err == WEIR_OK)
            member->committed[indexes[i]] = commits[i].offset;
        else
            atomic_fetch_add(&member->world->refused, 1);
    }
}

static void on_gained(void *opaque, struct weir_kafka_partition *partitions, const int32_t *indexes,
                      uint32_t count)
{
    struct member *member = opaque;
    for (uint32_t i = 0; i < count; i++) {
        int32_t index = indexes[i];
        if (index < 0 || index >= INDEXES_MAX || member->owns[index] || partitions[i].offset < 0) {
            fault(member->world, "gained index %d, offset %lld", index,
                  (long long)partitions[i].offset);
            return;
        }
        member->owns[index] = true;
        member->at[index] = partitions[i];
        member->committed[index] = partitions[i].offset;
    }
    atomic_fetch_add(&member->world->moved, count);
}

static void on_lost(void *opaque, const struct weir_kafka_partition *partitions,
                    const int32_t *indexes, uint32_t count, bool gone)
{
    struct member *member = opaque;
    commit(member, indexes, count);
    for (uint32_t i = 0; i < count; i++) {
        int32_t index = indexes[i];
        if (!member->owns[index] || partitions[i].offset != member->at[index].offset)
            fault(member->world, "lost index %d at %lld, read to %lld", index,
                  (long long)partitions[i].offset, (long long)member->at[index].offset);
        member->owns[index] = false;
        atomic_fetch_add(&member->world->allowed,
                         (uint64_t)(member->at[index].offset - member->committed[index]));
    }
    if (gone)
        atomic_fetch_add(&member->world->gone, count);
}

static uint32_t sources(void *opaque, const char *topic, int32_t partition,
                        struct weir_kafka_partition *out, uint32_t capacity)
{
    const struct world *world = ((struct member *)opaque)->world;
    if (strcmp(topic, world->tasks) != 0 || capacity < 2)
        fault(((struct member *)opaque)->world, "asked for the sources of %s", topic);
    out[0] = (struct weir_kafka_partition){.topic = world->topic, .partition = partition};
    out[1] = (struct weir_kafka_partition){.topic = world->topic, .partition = partition + TASKS};
    return 2;
}

/* Is the other partition of the task ours, too, if this one is? */
static void check_pair(struct member *member, int32_t partition)
{
    int32_t other = (partition + TASKS) % PARTITIONS;
    bool has = false;
    for (int32_t i = 0; i < INDEXES_MAX; i++)
        has |= member->owns[i] && member->at[i].partition == other;
    if (!has)
        fault(member->world, "partition %d is ours without %d", partition, other);
}

static bool not_this_third(void *opaque, int32_t index)
{
    return (uint64_t)index % 3 != ((struct member *)opaque)->turn / 50 % 3;
}

static void take(struct member *member)
{
    struct world *world = member->world;
    struct weir_kafka_batch batch;
    struct weir_error error = {0};
    member->turn++;
    enum weir_err err =
        weir_kafka_poll(member->consumer, 100, 5, not_this_third, member, &batch, &error);
    if (err == WEIR_AGAIN)
        return;
    if (err != WEIR_OK) {
        fault(world, "poll: %s", error.message);
        return;
    }
    int32_t index = batch.partition_index;
    if (!member->owns[index] || !not_this_third(member, index) ||
        batch.rows.partition != member->at[index].partition)
        fault(world, "records of index %d, which is not wanted or not ours", index);
    if (world->tasks[0] != '\0')
        check_pair(member, batch.rows.partition);
    for (uint32_t i = 0; i < batch.count; i++) {
        uint32_t number = RECORDS;
        if (batch.rows.offset[i] != member->at[index].offset + i)
            fault(world, "partition %d: offset %lld after %lld", batch.rows.partition,
                  (long long)batch.rows.offset[i], (long long)member->at[index].offset + i - 1);
        if (batch.rows.value[i].bytes == sizeof(number))
            memcpy(&number, batch.rows.value[i].data, sizeof(number));
        if (number >= RECORDS) {
            fault(world, "a record that nobody wrote");
            break;
        }
        atomic_fetch_add(&world->seen[number], 1);
    }
    member->at[index].offset = batch.offset_next;
    atomic_fetch_add(&world->records, batch.count);
    weir_kafka_batch_release(&batch);
}

static void live(struct member *member, int64_t life_ms)
{
    struct world *world = member->world;
    const char *topic = world->tasks[0] != '\0' ? world->tasks : world->topic;
    struct weir_kafka_consumer_options options;
    weir_kafka_consumer_options_default(&options);
    options.group_id = world->topic;
    options.topics = &topic;
    options.topic_count = 1;
    options.queue_bytes = 1 << 20;
    options.rebalance =
        (struct weir_kafka_rebalance){.gained = on_gained,
                                      .lost = on_lost,
                                      .opaque = member,
                                      .sources = world->tasks[0] != '\0' ? sources : NULL};
    struct weir_error error = {0};
    if (weir_kafka_consumer_new(world->kafka, &options, &member->consumer, &error) != WEIR_OK) {
        fault(world, "%s", error.message);
        return;
    }
    atomic_fetch_add(&world->joins, 1);
    int64_t end = now_ms() + life_ms, next_commit = 0;
    while (now_ms() < end && !atomic_load(&world->stop)) {
        take(member);
        if (now_ms() < next_commit)
            continue;
        next_commit = now_ms() + COMMIT_MS;
        int32_t indexes[INDEXES_MAX];
        uint32_t count = 0;
        for (int32_t i = 0; i < INDEXES_MAX; i++)
            if (member->owns[i])
                indexes[count++] = i;
        if (count > 0)
            commit(member, indexes, count);
    }
    weir_kafka_consumer_close(member->consumer, 10000);
    for (int32_t i = 0; i < INDEXES_MAX; i++)
        if (member->owns[i])
            fault(world, "index %d is still owned after close", i);
}

static void *member_main(void *opaque)
{
    struct member *member = opaque;
    static const int64_t lives_ms[] = {1900, 1100, 700};
    while (!atomic_load(&member->world->stop))
        live(member, lives_ms[member->number]);
    return NULL;
}

/* All records in about PRODUCE_MS, so that the members live through all of it. */
static void produce(struct world *world)
{
    struct weir_kafka_producer_options options;
    weir_kafka_producer_options_default(&options);
    struct weir_kafka_producer *producer;
    assert_int_equal(weir_kafka_producer_new(world->kafka, &options, &producer, NULL), WEIR_OK);
    int64_t start = now_ms();
    for (uint32_t i = 0; i < RECORDS && !atomic_load(&world->stop);) {
        uint32_t due = (uint32_t)((now_ms() - start) * RECORDS / PRODUCE_MS);
        for (; i < RECORDS && i < due; i++) {
            struct weir_kafka_record record = {.topic = world->topic,
                                               .timestamp_ms = -1,
                                               .partition = (int32_t)(i % PARTITIONS),
                                               .value = weir_slice(&i, sizeof(i))};
            assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
        }
        weir_kafka_producer_poll(producer, 5);
    }
    assert_int_equal(weir_kafka_producer_flush(producer, LIMIT_MS), WEIR_OK);
    weir_kafka_producer_close(producer);
}

static uint32_t count_missing(struct world *world, uint32_t *repeated_out)
{
    uint32_t missing = 0;
    *repeated_out = 0;
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint8_t seen = atomic_load(&world->seen[i]);
        missing += seen == 0;
        *repeated_out += seen > 1 ? seen - 1U : 0;
    }
    return missing;
}

static void come_and_go(struct cluster *cluster, const char *topic, const char *tasks)
{
    if (cluster->is_mock)
        skip(); /* its groups take seconds to form and do not notice who leaves */
    static struct world world;
    memset(&world, 0, sizeof(world));
    pthread_mutex_init(&world.mutex, NULL);
    snprintf(world.topic, sizeof(world.topic), "%s", topic);
    snprintf(world.tasks, sizeof(world.tasks), "%s", tasks);
    world.seen = calloc(RECORDS, sizeof(*world.seen));
    world.kafka = cluster_connect(cluster);
    cluster_topic(cluster, world.kafka, world.topic, PARTITIONS);
    if (tasks[0] != '\0')
        cluster_topic(cluster, world.kafka, tasks, TASKS);
    static struct member members[MEMBERS];
    pthread_t threads[MEMBERS];
    memset(members, 0, sizeof(members));
    for (uint32_t m = 0; m < MEMBERS; m++) {
        members[m].world = &world;
        members[m].number = m;
        assert_int_equal(pthread_create(&threads[m], NULL, member_main, &members[m]), 0);
    }
    produce(&world);
    int64_t deadline = now_ms() + LIMIT_MS;
    uint32_t repeated = 0;
    struct weir_kafka_table_options options; /* only to wait: its topic gets nothing */
    weir_kafka_table_options_default(&options);
    options.topic = "nothing";
    struct weir_kafka_table *table;
    struct weir_kafka_batch batch;
    assert_int_equal(weir_kafka_table_open(world.kafka, &options, &table, NULL), WEIR_OK);
    while (count_missing(&world, &repeated) > 0 && now_ms() < deadline && !atomic_load(&world.stop))
        (void)!weir_kafka_table_poll(table, 1, 100, &batch, NULL);
    weir_kafka_table_close(table);
    atomic_store(&world.stop, true);
    for (uint32_t m = 0; m < MEMBERS; m++)
        pthread_join(threads[m], NULL);
    uint32_t missing = count_missing(&world, &repeated);
    printf("[ measured ] %d records, %llu joins, %llu partitions gained, %llu lost without "
           "membership, %llu commits refused; %u records missing, %u repeated, %llu allowed\n",
           RECORDS, (unsigned long long)world.joins, (unsigned long long)world.moved,
           (unsigned long long)world.gone, (unsigned long long)world.refused, missing, repeated,
           (unsigned long long)world.allowed);
    weir_kafka_free(world.kafka);
    free((void *)(uintptr_t)world.seen);
    pthread_mutex_destroy(&world.mutex);
    if (world.fault[0] != '\0')
        fail_msg("%s", world.fault);
    assert_int_equal(missing, 0);
    assert_true(repeated <= world.allowed);
    assert_true(world.moved > 2 * PARTITIONS);
}

static void nothing_is_lost_or_repeated_when_members_come_and_go(void **state)
{
    come_and_go(*state, "churn", "");
}

static void nor_when_the_group_shares_out_tasks(void **state)
{
    come_and_go(*state, "sources", "tasks");
}

static int set_up(void **state)
{
    static struct cluster cluster;
    cluster_start(&cluster, getenv("WEIR_TEST_MOCK") != NULL);
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
        cmocka_unit_test(nothing_is_lost_or_repeated_when_members_come_and_go),
        cmocka_unit_test(nor_when_the_group_shares_out_tasks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
