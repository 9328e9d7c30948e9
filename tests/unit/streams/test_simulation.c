/*
 * Random rebalances, refusals, failed deliveries and commits, deaths and restarts, from one seed:
 * every input has an output or a dead letter, and no commit ever passes an input that has none.
 * With exactly once what can be read is at any moment one output of each input that is committed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "fixture.h"

enum { TOPICS = 2, PARTITIONS = 4, ROUNDS = 1500, QUIET_ROUNDS = 2000, INPUTS_MAX = 20000 };

struct simulation {
    struct fixture fixture;
    struct weir_random random;
    struct weir_streams *instances[INSTANCES_MAX];
    struct behaviour behaviours[INSTANCES_MAX];
    uint32_t topics, inputs[TOPICS][PARTITIONS];
    uint8_t *seen[TOPICS][PARTITIONS]; /* outputs and dead letters */
    int64_t read_out[PARTITIONS], read_dead;
    bool one_by_one, keeps, exactly_once;
    uint32_t frozen[INSTANCES_MAX]; /* rounds that it does nothing */
};

static const char *const topics[TOPICS] = {"in", "more"};

static bool chance(struct simulation *simulation, uint32_t in)
{
    return weir_random_below(&simulation->random, in) == 0;
}

static void put_some(struct simulation *simulation)
{
    char name[32];
    uint32_t topic = weir_random_below(&simulation->random, simulation->topics);
    uint32_t partition = weir_random_below(&simulation->random, PARTITIONS);
    uint32_t count = weir_random_below(&simulation->random, 40);
    uint32_t *inputs = &simulation->inputs[topic][partition];
    for (uint32_t i = 0; i < count && *inputs < INPUTS_MAX; i++) {
        snprintf(name, sizeof name, "%u-%u-%u", topic, partition, (*inputs)++);
        fixture_put_on(&simulation->fixture, topics[topic], (int32_t)partition, name);
    }
}

static void start_one(struct simulation *simulation, uint32_t at)
{
    simulation->behaviours[at] = (struct behaviour){.fail_at = -1,
                                                    .one_by_one = simulation->one_by_one,
                                                    .keeps = simulation->keeps,
                                                    .two = simulation->topics > 1,
                                                    .clock = &simulation->fixture.clock};
    simulation->instances[at] =
        instance_open(&simulation->fixture, copy_topology(&simulation->behaviours[at]));
}

static void note_failures(struct simulation *simulation)
{
    struct fixture *fixture = &simulation->fixture;
    uint32_t skip = weir_random_below(&simulation->random, 50);
    uint32_t count = 1 + weir_random_below(&simulation->random, 3);
    bool fatal = chance(simulation, 6);
    switch (weir_random_below(&simulation->random, simulation->exactly_once ? 9 : 5)) {
    case 0:
        fixture_fail(fixture, WEIR_KAFKA_FAKE_DELIVERY, "out", skip, count, WEIR_BROKER, fatal);
        return;
    case 1:
        fixture_fail(fixture, WEIR_KAFKA_FAKE_COMMIT, NULL, skip % 5, count, WEIR_BROKER, false);
        return;
    case 2:
        fixture_fail(fixture, WEIR_KAFKA_FAKE_PRODUCE, "out", skip, count, WEIR_AGAIN, false);
        return;
    case 3:
        fixture_fail(fixture, WEIR_KAFKA_FAKE_DELIVERY, "out", skip, 1, WEIR_LIMIT, false);
        return;
    case 4:
        fixture_fail(fixture, WEIR_KAFKA_FAKE_PRODUCE, "out", skip, 1, WEIR_LIMIT, false);
        return;
    case 5:
        fixture_fail(fixture, WEIR_KAFKA_FAKE_TRANSACTION_OFFSETS, NULL, skip % 5, count,
                     WEIR_BROKER, fatal);
        return;
    case 6:
        fixture_fail(fixture, WEIR_KAFKA_FAKE_TRANSACTION_COMMIT, NULL, skip % 5, count,
                     WEIR_BROKER, fatal);
        return;
    case 7:
        fixture_fail(fixture, WEIR_KAFKA_FAKE_TRANSACTION_ANSWER, NULL, skip % 5, 1, WEIR_BROKER,
                     fatal);
        return;
    case 8:
        weir_kafka_fake_expire(fixture->kafka);
        return;
    }
}

static bool is_owned(const struct simulation *simulation, int32_t partition)
{
    for (uint32_t i = 0; i < INSTANCES_MAX; i++) {
        if (!simulation->instances[i])
            continue;
        const struct task *task = simulation->instances[i]->threads[0]->tasks;
        for (; task; task = task->next)
            if (task->partition == partition)
                return true;
    }
    return false;
}

static void disturb(struct simulation *simulation)
{
    struct fixture *fixture = &simulation->fixture;
    uint32_t at = weir_random_below(&simulation->random, INSTANCES_MAX);
    int32_t partition = (int32_t)weir_random_below(&simulation->random, PARTITIONS);
    if (chance(simulation, 25))
        note_failures(simulation);
    if (chance(simulation, 40))
        weir_kafka_fake_rebalance(fixture->kafka, "app");
    if (chance(simulation, 60) && is_owned(simulation, partition))
        weir_kafka_fake_revoke(fixture->kafka, "app", "app-tasks-0", partition);
    if (chance(simulation, 60) && simulation->instances[at])
        simulation->behaviours[at].refuse = 1 + weir_random_below(&simulation->random, 4);
    if (chance(simulation, 150) && is_owned(simulation, partition)) {
        weir_kafka_fake_evict(fixture->kafka, "app", "app-tasks-0", partition);
        return;
    }
    if (simulation->exactly_once && chance(simulation, 80))
        simulation->frozen[at] = weir_random_below(&simulation->random, 100);
    if (!chance(simulation, 50))
        return;
    simulation->frozen[at] = 0;
    if (!simulation->instances[at]) {
        start_one(simulation, at);
    } else if (at) { /* one stays */
        if (chance(simulation, 2))
            instance_kill(fixture, simulation->instances[at]);
        else
            instance_close(simulation->instances[at]);
        simulation->instances[at] = NULL;
    }
}

static void see(struct simulation *simulation, struct weir_slice name)
{
    char copy[32] = {0};
    uint32_t topic, partition, input;
    assert_true(name.bytes < sizeof copy);
    memcpy(copy, name.data, name.bytes);
    assert_int_equal(sscanf(copy, "%u-%u-%u", &topic, &partition, &input), 3);
    assert_true(topic < TOPICS && partition < PARTITIONS && input < INPUTS_MAX);
    simulation->seen[topic][partition][input]++;
}

static void look(struct simulation *simulation)
{
    struct weir_kafka *kafka = simulation->fixture.kafka;
    struct weir_kafka_batch batch = {0};
    for (int32_t partition = 0; partition < PARTITIONS; partition++) {
        int64_t *offset = &simulation->read_out[partition];
        while (weir_kafka_fake_read(kafka, "out", partition, *offset, &batch) == WEIR_OK) {
            see(simulation, batch.rows.value[0]);
            *offset = batch.offset_next;
            weir_kafka_batch_release(&batch);
        }
    }
    while (weir_kafka_fake_read(kafka, "dead", 0, simulation->read_dead, &batch) == WEIR_OK) {
        see(simulation, batch.rows.key[0]);
        simulation->read_dead = batch.offset_next;
        weir_kafka_batch_release(&batch);
    }
}

static void check_commits(struct simulation *simulation, bool all_readable)
{
    for (uint32_t topic = 0; topic < simulation->topics; topic++)
        for (int32_t partition = 0; partition < PARTITIONS; partition++) {
            int64_t committed =
                fixture_committed_of(&simulation->fixture, topics[topic], partition);
            for (int64_t offset = 0; offset < committed && all_readable; offset++)
                if (!simulation->seen[topic][partition][offset])
                    fail_msg("%s-%d: %lld is committed, but %lld led to nothing", topics[topic],
                             partition, (long long)committed, (long long)offset);
            for (int64_t offset = 0; offset < INPUTS_MAX && simulation->exactly_once; offset++)
                if (simulation->seen[topic][partition][offset] > (offset < committed ? 1 : 0))
                    fail_msg("%s-%d: %lld is committed, but %lld led to %u outputs", topics[topic],
                             partition, (long long)committed, (long long)offset,
                             simulation->seen[topic][partition][offset]);
        }
}

static void step_all(struct simulation *simulation)
{
    struct weir_error error = {0};
    for (uint32_t i = 0; i < INSTANCES_MAX; i++) /* reports come while a block is in hand, too */
        simulation->behaviours[i].takes_ms = weir_random_below(&simulation->random, 12);
    for (uint32_t i = 0; i < INSTANCES_MAX; i++)
        if (simulation->frozen[i])
            simulation->frozen[i]--;
        else if (simulation->instances[i] &&
                 instance_step(simulation->instances[i], &error) != WEIR_OK)
            fail_msg("instance %u: %s", i, error.message);
    weir_clock_virtual_advance_ms(&simulation->fixture.clock,
                                  weir_random_below(&simulation->random, 20));
}

static void end_failures(struct simulation *simulation)
{
    for (int call = 0; call < WEIR_KAFKA_FAKE_CALL_COUNT; call++)
        fixture_fail(&simulation->fixture, (enum weir_kafka_fake_call)call, NULL, 0, 0, WEIR_OK,
                     false);
    for (uint32_t i = 0; i < INSTANCES_MAX; i++)
        simulation->behaviours[i].refuse = simulation->frozen[i] = 0;
}

static void check_end(struct simulation *simulation)
{
    for (uint32_t topic = 0; topic < simulation->topics; topic++)
        for (int32_t i = 0; i < PARTITIONS; i++) {
            int64_t committed = fixture_committed_of(&simulation->fixture, topics[topic], i);
            assert_int_equal(committed, simulation->inputs[topic][i]);
        }
}

static void run(uint64_t seed, uint32_t topic_count, bool one_by_one, bool keeps, bool exactly_once)
{
    struct simulation *simulation = calloc(1, sizeof *simulation);
    assert_non_null(simulation);
    simulation->random.state = seed;
    simulation->topics = topic_count;
    simulation->one_by_one = one_by_one;
    simulation->keeps = keeps;
    simulation->exactly_once = exactly_once;
    printf("seed %llu, topics %u%s%s%s\n", (unsigned long long)seed, topic_count,
           one_by_one ? ", one by one" : "", keeps ? ", kept until the flush" : "",
           exactly_once ? ", exactly once" : "");
    fixture_init(&simulation->fixture, PARTITIONS, 7, 15);
    simulation->fixture.options.batch_rows = 16;
    if (exactly_once) {
        simulation->fixture.options.processing_guarantee = WEIR_EXACTLY_ONCE_V2;
        simulation->fixture.options.transaction_timeout_ms = 1000;
    }
    simulation->fixture.options.max_task_idle_ms = (int32_t)(seed % 3) * 10 - 10;
    for (uint32_t i = 0; i < TOPICS * PARTITIONS; i++) {
        simulation->seen[i / PARTITIONS][i % PARTITIONS] = calloc(INPUTS_MAX, 1);
        assert_non_null(simulation->seen[i / PARTITIONS][i % PARTITIONS]);
    }
    start_one(simulation, 0);
    for (int round = 0; round < ROUNDS; round++) {
        put_some(simulation);
        disturb(simulation);
        step_all(simulation);
        look(simulation);
        /* what is committed may stand behind a transaction that is open yet */
        check_commits(simulation, !simulation->exactly_once);
    }
    end_failures(simulation);
    for (int round = 0; round < QUIET_ROUNDS; round++)
        step_all(simulation);
    look(simulation);
    check_commits(simulation, true);
    check_end(simulation);
    for (uint32_t i = 0; i < INSTANCES_MAX; i++)
        if (simulation->instances[i])
            instance_close(simulation->instances[i]);
    for (uint32_t i = 0; i < TOPICS * PARTITIONS; i++)
        free(simulation->seen[i / PARTITIONS][i % PARTITIONS]);
    fixture_release(&simulation->fixture);
    free(simulation);
}

static void nothing_is_lost_by_blocks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++)
        run(seed, 1, false, false, false);
}

static void nothing_is_lost_row_by_row(void **state)
{
    (void)state;
    for (uint64_t seed = 101; seed <= 104; seed++)
        run(seed, 1, true, false, false);
}

static void nor_of_tasks_with_several_inputs(void **state)
{
    (void)state;
    for (uint64_t seed = 201; seed <= 206; seed++)
        run(seed, 2, seed % 2, false, false);
}

static void nor_what_is_kept_until_the_flush(void **state)
{
    (void)state;
    for (uint64_t seed = 301; seed <= 304; seed++)
        run(seed, 1 + seed % 2, false, true, false);
}

static void exactly_once_is_once(void **state)
{
    (void)state;
    for (uint64_t seed = 401; seed <= 416; seed++)
        run(seed, 1 + seed % 2, seed % 4 > 1, seed % 8 > 5, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_by_blocks),
        cmocka_unit_test(nothing_is_lost_row_by_row),
        cmocka_unit_test(nor_of_tasks_with_several_inputs),
        cmocka_unit_test(nor_what_is_kept_until_the_flush),
        cmocka_unit_test(exactly_once_is_once),
    };
    if (argc == 6) { /* seed, topics, and 0 or 1 for each of the flags: to run one again */
        run(strtoull(argv[1], NULL, 10), (uint32_t)strtoul(argv[2], NULL, 10), argv[3][0] == '1',
            argv[4][0] == '1', argv[5][0] == '1');
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
