/*
 * Transactions, on the in-memory cluster and on the broker by the same tests: what is committed is
 * read, with its offsets, and nothing else; who is fenced does not write on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "kafka/fake/fake.h"

enum { LIMIT_MS = 20000, TIMEOUT_MS = 10000 };

/* A group's member of one partition. */
struct member {
    struct weir_kafka_consumer *consumer;
    bool owns;
    int32_t index;
    int64_t next;
};

struct world {
    struct cluster cluster;
    struct weir_clock_virtual clock;
    bool is_fake;
    struct weir_kafka *kafka;
    uint32_t topics;
    uint64_t delivered, failed;
    char in[32], out[32], group[32];
};

static void delivered(void *opaque, void *record_opaque, int32_t partition, int64_t offset,
                      const struct weir_error *error)
{
    struct world *world = opaque;
    (void)record_opaque;
    (void)partition;
    (void)offset;
    if (error != NULL)
        world->failed++;
    else
        world->delivered++;
}

static void fresh(struct world *world)
{
    world->topics++;
    snprintf(world->in, sizeof(world->in), "in-%u", world->topics);
    snprintf(world->out, sizeof(world->out), "out-%u", world->topics);
    snprintf(world->group, sizeof(world->group), "group-%u", world->topics);
    if (world->is_fake) {
        assert_int_equal(weir_kafka_fake_topic(world->kafka, world->in, 1), WEIR_OK);
        assert_int_equal(weir_kafka_fake_topic(world->kafka, world->out, 1), WEIR_OK);
        return;
    }
    cluster_topic(&world->cluster, world->kafka, world->in, 1);
    cluster_topic(&world->cluster, world->kafka, world->out, 1);
}

static int setup_fake(void **state)
{
    static struct world world;
    struct weir_kafka_fake_options options;
    memset(&world, 0, sizeof(world));
    world.is_fake = true;
    weir_clock_virtual_init(&world.clock, 1000000);
    weir_kafka_fake_options_default(&options);
    options.clock = &world.clock.clock;
    assert_int_equal(weir_kafka_fake_new(&options, &world.kafka, NULL), WEIR_OK);
    *state = &world;
    return 0;
}

static int setup_broker(void **state)
{
    static struct world world;
    memset(&world, 0, sizeof(world));
    cluster_start(&world.cluster, false);
    world.kafka = cluster_connect(&world.cluster);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    weir_kafka_free(world->kafka);
    if (!world->is_fake)
        cluster_stop(&world->cluster);
    return 0;
}

/* The mock cluster of librdkafka keeps no transactions' records apart. */
#define NEEDS_TRANSACTIONS(world)                                                                  \
    do {                                                                                           \
        if ((world)->cluster.is_mock)                                                              \
            skip();                                                                                \
    } while (0)

static struct weir_kafka_producer *producer_new(struct world *world, const char *transactional_id,
                                                int32_t timeout_ms)
{
    struct weir_kafka_producer_options options;
    struct weir_kafka_producer *producer;
    struct weir_error error = {0};
    weir_kafka_producer_options_default(&options);
    options.linger_ms = 0;
    options.delivered = delivered;
    options.opaque = world;
    options.transactional_id = transactional_id;
    options.transaction_timeout_ms = timeout_ms;
    if (weir_kafka_producer_new(world->kafka, &options, &producer, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    int64_t until_ms = now_ms() + LIMIT_MS;
    enum weir_err err;
    do
        err = weir_kafka_transactions_init(producer, 1000, &error);
    while (err != WEIR_OK && error.retriable && now_ms() < until_ms);
    if (err != WEIR_OK)
        fail_msg("%s", error.message);
    return producer;
}

static enum weir_err send_number(struct world *world, struct weir_kafka_producer *producer,
                                 uint32_t number)
{
    struct weir_kafka_record record = {.topic = world->out,
                                       .partition = 0,
                                       .timestamp_ms = -1,
                                       .value = weir_slice(&number, sizeof(number))};
    return weir_kafka_produce(producer, &record, NULL);
}

static void begin(struct weir_kafka_producer *producer)
{
    struct weir_error error = {0};
    if (weir_kafka_transaction_begin(producer, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

static enum weir_err commit(struct weir_kafka_producer *producer, struct weir_error *error)
{
    enum weir_err err;
    int64_t until_ms = now_ms() + LIMIT_MS;
    do
        err = weir_kafka_transaction_commit(producer, 1000, error);
    while (err != WEIR_OK && error->retriable && now_ms() < until_ms);
    return err;
}

static void commit_well(struct weir_kafka_producer *producer)
{
    struct weir_error error = {0};
    if (commit(producer, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

static void abort_well(struct weir_kafka_producer *producer)
{
    struct weir_error error = {0};
    if (weir_kafka_transaction_abort(producer, LIMIT_MS, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

/* Reads `out` to its end; returns how many, and the numbers. */
static uint32_t read_out(struct world *world, bool open_transactions, uint32_t *numbers,
                         uint32_t capacity, bool *ended)
{
    struct weir_kafka_table_options options;
    struct weir_kafka_table *table;
    uint32_t count = 0;
    enum weir_err err;
    weir_kafka_table_options_default(&options);
    options.topic = world->out;
    options.open_transactions = open_transactions;
    assert_int_equal(weir_kafka_table_open(world->kafka, &options, &table, NULL), WEIR_OK);
    int64_t until_ms = now_ms() + (ended != NULL ? 700 : LIMIT_MS);
    do {
        struct weir_kafka_batch batch;
        err = weir_kafka_table_poll(table, 100, 20, &batch, NULL);
        for (uint32_t i = 0; err == WEIR_OK && i < batch.count; i++) {
            assert_true(count < capacity);
            memcpy(&numbers[count++], batch.rows.value[i].data, sizeof(uint32_t));
        }
        if (err == WEIR_OK)
            weir_kafka_batch_release(&batch);
    } while (err != WEIR_END && now_ms() < until_ms &&
             !(ended != NULL && world->is_fake && err == WEIR_AGAIN));
    if (ended != NULL)
        *ended = err == WEIR_END;
    else
        assert_int_equal(err, WEIR_END);
    weir_kafka_table_close(table);
    return count;
}

/* ---- a member -------------------------------------------------------------------------------- */

static void gained(void *opaque, struct weir_kafka_partition *partitions, const int32_t *indexes,
                   uint32_t count)
{
    struct member *member = opaque;
    if (count == 0)
        return;
    assert_int_equal(count, 1);
    member->owns = true;
    member->index = indexes[0];
    member->next = partitions[0].offset;
}

static void lost(void *opaque, const struct weir_kafka_partition *partitions,
                 const int32_t *indexes, uint32_t count, bool gone)
{
    struct member *member = opaque;
    (void)partitions;
    (void)indexes;
    (void)count;
    (void)gone;
    member->owns = false;
}

static void join(struct world *world, struct member *member)
{
    struct weir_kafka_consumer_options options;
    const char *topic = world->in;
    *member = (struct member){0};
    weir_kafka_consumer_options_default(&options);
    options.group_id = world->group;
    options.topics = &topic;
    options.topic_count = 1;
    options.rebalance =
        (struct weir_kafka_rebalance){.gained = gained, .lost = lost, .opaque = member};
    assert_int_equal(weir_kafka_consumer_new(world->kafka, &options, &member->consumer, NULL),
                     WEIR_OK);
}

/* Polls until it owns the partition, or not. */
static bool settle(struct member *member, int32_t limit_ms)
{
    int64_t until_ms = now_ms() + limit_ms;
    while (!member->owns && now_ms() < until_ms) {
        struct weir_kafka_batch batch;
        if (weir_kafka_poll(member->consumer, 1, 10, NULL, NULL, &batch, NULL) == WEIR_OK)
            weir_kafka_batch_release(&batch);
    }
    return member->owns;
}

static enum weir_err add_offset(struct world *world, struct weir_kafka_producer *producer,
                                struct member *member, int64_t offset, struct weir_error *error)
{
    struct weir_kafka_partition partition = {.topic = world->in, .partition = 0, .offset = offset};
    enum weir_err err =
        weir_kafka_transaction_offsets(producer, member->consumer, &partition, 1, 5000, error);
    assert_int_equal(partition.err, err);
    return err;
}

static void put_input(struct world *world, uint32_t count)
{
    struct weir_kafka_producer_options options;
    struct weir_kafka_producer *producer;
    weir_kafka_producer_options_default(&options);
    assert_int_equal(weir_kafka_producer_new(world->kafka, &options, &producer, NULL), WEIR_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct weir_kafka_record record = {.topic = world->in,
                                           .partition = 0,
                                           .timestamp_ms = -1,
                                           .value = weir_slice(&i, sizeof(i))};
        assert_int_equal(weir_kafka_produce(producer, &record, NULL), WEIR_OK);
    }
    assert_int_equal(weir_kafka_producer_flush(producer, LIMIT_MS), WEIR_OK);
    weir_kafka_producer_close(producer);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void what_is_committed_is_read(void **state)
{
    struct world *world = *state;
    uint32_t numbers[10];
    NEEDS_TRANSACTIONS(world);
    fresh(world);
    struct weir_kafka_producer *producer = producer_new(world, world->out, 60000);
    assert_int_equal(send_number(world, producer, 0), WEIR_CLOSED); /* outside of a transaction */
    begin(producer);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(send_number(world, producer, i), WEIR_OK);
    commit_well(producer);
    begin(producer);
    assert_int_equal(send_number(world, producer, 4), WEIR_OK);
    assert_int_equal(weir_kafka_producer_flush(producer, LIMIT_MS), WEIR_OK);
    abort_well(producer);
    begin(producer);
    assert_int_equal(send_number(world, producer, 5), WEIR_OK);
    commit_well(producer);
    assert_int_equal(read_out(world, false, numbers, 10, NULL), 4);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(numbers[i], i + 1);
    assert_int_equal(numbers[3], 5);
    assert_int_equal(weir_kafka_producer_pending(producer), 0);
    weir_kafka_producer_close(producer);
}

static void an_open_transaction_holds_back_the_end(void **state)
{
    struct world *world = *state;
    uint32_t numbers[10];
    bool ended;
    NEEDS_TRANSACTIONS(world);
    fresh(world);
    struct weir_kafka_producer *producer = producer_new(world, world->out, 60000);
    begin(producer);
    assert_int_equal(send_number(world, producer, 1), WEIR_OK);
    commit_well(producer);
    begin(producer);
    assert_int_equal(send_number(world, producer, 2), WEIR_OK);
    assert_int_equal(weir_kafka_producer_flush(producer, LIMIT_MS), WEIR_OK);
    assert_int_equal(read_out(world, false, numbers, 10, NULL), 1); /* what can be read */
    assert_int_equal(read_out(world, true, numbers, 10, &ended), 1);
    assert_false(ended); /* the transaction may be committed yet */
    commit_well(producer);
    assert_int_equal(read_out(world, true, numbers, 10, NULL), 2);
    weir_kafka_producer_close(producer);
}

static void a_second_producer_fences_the_first(void **state)
{
    struct world *world = *state;
    uint32_t numbers[10];
    struct weir_error error = {0};
    NEEDS_TRANSACTIONS(world);
    fresh(world);
    struct weir_kafka_producer *first = producer_new(world, world->out, 60000);
    begin(first);
    assert_int_equal(send_number(world, first, 1), WEIR_OK);
    assert_int_equal(weir_kafka_producer_flush(first, LIMIT_MS), WEIR_OK);
    struct weir_kafka_producer *second = producer_new(world, world->out, 60000);
    assert_int_not_equal(commit(first, &error), WEIR_OK);
    assert_true(error.fatal);
    assert_int_equal(error.code, WEIR_FENCED);
    weir_kafka_producer_close(first);
    begin(second);
    assert_int_equal(send_number(world, second, 2), WEIR_OK);
    commit_well(second);
    assert_int_equal(read_out(world, true, numbers, 10, NULL), 1);
    assert_int_equal(numbers[0], 2);
    weir_kafka_producer_close(second);
}

static void a_closed_producer_leaves_nothing_open(void **state)
{
    struct world *world = *state;
    uint32_t numbers[10];
    NEEDS_TRANSACTIONS(world);
    fresh(world);
    struct weir_kafka_producer *producer = producer_new(world, world->out, 60000);
    begin(producer);
    assert_int_equal(send_number(world, producer, 1), WEIR_OK);
    assert_int_equal(weir_kafka_producer_flush(producer, LIMIT_MS), WEIR_OK);
    weir_kafka_producer_close(producer);
    assert_int_equal(read_out(world, true, numbers, 10, NULL), 0);
}

static void a_late_transaction_is_fenced(void **state)
{
    struct world *world = *state;
    uint32_t numbers[10];
    struct weir_error error = {0};
    NEEDS_TRANSACTIONS(world);
    fresh(world);
    struct weir_kafka_producer *producer = producer_new(world, world->out, 1000);
    begin(producer);
    assert_int_equal(send_number(world, producer, 1), WEIR_OK);
    assert_int_equal(weir_kafka_producer_flush(producer, LIMIT_MS), WEIR_OK);
    if (world->is_fake)
        weir_clock_virtual_advance_ms(&world->clock, 1001);
    assert_int_equal(read_out(world, true, numbers, 10, NULL), 0); /* waits for its end */
    assert_int_not_equal(commit(producer, &error), WEIR_OK);
    assert_false(error.retriable);
    weir_kafka_producer_close(producer);
    assert_int_equal(read_out(world, true, numbers, 10, NULL), 0);
}

static void offsets_go_with_their_transaction(void **state)
{
    struct world *world = *state;
    struct weir_error error = {0};
    struct member member;
    NEEDS_TRANSACTIONS(world);
    fresh(world);
    put_input(world, 10);
    struct weir_kafka_producer *producer = producer_new(world, world->out, 60000);
    join(world, &member);
    assert_true(settle(&member, LIMIT_MS));
    assert_int_equal(member.next, 0);
    begin(producer);
    assert_int_equal(send_number(world, producer, 1), WEIR_OK);
    assert_int_equal(add_offset(world, producer, &member, 4, &error), WEIR_OK);
    commit_well(producer);
    begin(producer);
    assert_int_equal(send_number(world, producer, 2), WEIR_OK);
    assert_int_equal(add_offset(world, producer, &member, 7, &error), WEIR_OK);
    abort_well(producer);
    weir_kafka_consumer_close(member.consumer, 5000);
    join(world, &member);
    assert_true(settle(&member, LIMIT_MS));
    assert_int_equal(member.next, 4);
    weir_kafka_consumer_close(member.consumer, 5000);
    weir_kafka_producer_close(producer);
}

static void offsets_that_are_undecided_are_waited_for(void **state)
{
    struct world *world = *state;
    struct weir_error error = {0};
    struct member member;
    NEEDS_TRANSACTIONS(world);
    fresh(world);
    put_input(world, 10);
    struct weir_kafka_producer *producer = producer_new(world, world->out, 60000);
    join(world, &member);
    assert_true(settle(&member, LIMIT_MS));
    begin(producer);
    assert_int_equal(add_offset(world, producer, &member, 6, &error), WEIR_OK);
    weir_kafka_consumer_close(member.consumer, 5000);
    join(world, &member);
    assert_false(settle(&member, 1500));
    commit_well(producer);
    assert_true(settle(&member, LIMIT_MS));
    assert_int_equal(member.next, 6);
    weir_kafka_consumer_close(member.consumer, 5000);
    weir_kafka_producer_close(producer);
}

static void who_left_the_group_adds_no_offsets(void **state)
{
    struct world *world = *state;
    struct weir_error error = {0};
    struct member zombie, heir;
    uint32_t numbers[10];
    fresh(world);
    put_input(world, 10);
    struct weir_kafka_producer *producer = producer_new(world, world->out, 60000);
    join(world, &zombie);
    assert_true(settle(&zombie, LIMIT_MS));
    weir_kafka_fake_evict(world->kafka, world->group, world->in, 0);
    join(world, &heir);
    assert_true(settle(&heir, LIMIT_MS));
    begin(producer);
    assert_int_equal(send_number(world, producer, 1), WEIR_OK);
    struct weir_kafka_partition partition = {.topic = world->in, .partition = 0, .offset = 3};
    assert_int_equal(
        weir_kafka_transaction_offsets(producer, zombie.consumer, &partition, 1, 100, &error),
        WEIR_FENCED);
    assert_false(error.fatal);
    abort_well(producer);
    assert_int_equal(weir_kafka_fake_committed(world->kafka, world->group, world->in, 0), -1);
    assert_int_equal(read_out(world, true, numbers, 10, NULL), 0);
    weir_kafka_consumer_close(zombie.consumer, 100);
    weir_kafka_consumer_close(heir.consumer, 100);
    weir_kafka_producer_close(producer);
}

/* ---- faults on the in-memory cluster --------------------------------------------------------- */

static void a_lost_answer_is_asked_for_again(void **state)
{
    struct world *world = *state;
    uint32_t numbers[10];
    struct weir_error error = {0};
    fresh(world);
    struct weir_kafka_producer *producer = producer_new(world, "answers", 60000);
    weir_kafka_fake_fail(
        world->kafka, &(struct weir_kafka_fake_failure){.call = WEIR_KAFKA_FAKE_TRANSACTION_ANSWER,
                                                        .count = 1,
                                                        .err = WEIR_TIMEOUT,
                                                        .retriable = true});
    begin(producer);
    assert_int_equal(send_number(world, producer, 1), WEIR_OK);
    assert_int_equal(weir_kafka_transaction_commit(producer, 100, &error), WEIR_TIMEOUT);
    assert_true(error.retriable);
    assert_int_equal(read_out(world, true, numbers, 10, NULL), 1); /* it took place */
    assert_int_equal(weir_kafka_transaction_commit(producer, 100, &error), WEIR_OK);
    begin(producer);
    abort_well(producer);
    weir_kafka_producer_close(producer);
}

static void an_undelivered_record_fails_the_commit(void **state)
{
    struct world *world = *state;
    uint32_t numbers[10];
    struct weir_error error = {0};
    fresh(world);
    struct weir_kafka_producer *producer = producer_new(world, "undelivered", 60000);
    weir_kafka_fake_fail(world->kafka,
                         &(struct weir_kafka_fake_failure){
                             .call = WEIR_KAFKA_FAKE_DELIVERY, .count = 1, .err = WEIR_BROKER});
    begin(producer);
    assert_int_equal(send_number(world, producer, 1), WEIR_OK);
    assert_int_equal(send_number(world, producer, 2), WEIR_OK);
    assert_int_equal(commit(producer, &error), WEIR_BROKER);
    assert_false(error.fatal);
    abort_well(producer);
    assert_int_equal(read_out(world, true, numbers, 10, NULL), 0);
    weir_kafka_producer_close(producer);
}

int main(void)
{
    const struct CMUnitTest in_memory[] = {
        cmocka_unit_test(what_is_committed_is_read),
        cmocka_unit_test(an_open_transaction_holds_back_the_end),
        cmocka_unit_test(a_second_producer_fences_the_first),
        cmocka_unit_test(a_closed_producer_leaves_nothing_open),
        cmocka_unit_test(a_late_transaction_is_fenced),
        cmocka_unit_test(offsets_go_with_their_transaction),
        cmocka_unit_test(offsets_that_are_undecided_are_waited_for),
        cmocka_unit_test(who_left_the_group_adds_no_offsets),
        cmocka_unit_test(a_lost_answer_is_asked_for_again),
        cmocka_unit_test(an_undelivered_record_fails_the_commit),
    };
    const struct CMUnitTest broker[] = {
        cmocka_unit_test(what_is_committed_is_read),
        cmocka_unit_test(an_open_transaction_holds_back_the_end),
        cmocka_unit_test(a_second_producer_fences_the_first),
        cmocka_unit_test(a_closed_producer_leaves_nothing_open),
        cmocka_unit_test(a_late_transaction_is_fenced),
        cmocka_unit_test(offsets_go_with_their_transaction),
        cmocka_unit_test(offsets_that_are_undecided_are_waited_for),
    };
    int failed = cmocka_run_group_tests(in_memory, setup_fake, teardown);
    return failed + cmocka_run_group_tests(broker, setup_broker, teardown);
}
