/* Tasks of several source partitions: their order, their positions, and which of them there are. */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

enum { NOTES_BYTES = 4096, HOUR_MS = 3600000 };

/* What a processor was shown, as "in10 more20 " by topic and timestamp. */
struct notes {
    char text[NOTES_BYTES];
    uint32_t opened, refuse, failures;
};

static enum weir_err note_init(void *config, struct weir_context *context, void **self_out,
                               struct weir_error *error)
{
    (void)context;
    (void)error;
    ((struct notes *)config)->opened++;
    *self_out = config;
    return WEIR_OK;
}

static enum weir_err note(void *self, struct weir_context *context, const struct weir_block *block,
                          struct weir_error *error)
{
    struct notes *notes = self;
    if (notes->refuse) {
        notes->refuse--;
        return WEIR_AGAIN;
    }
    for (uint32_t row = 0; row < block->rows; row++) {
        size_t at = strlen(notes->text);
        snprintf(notes->text + at, sizeof notes->text - at, "%s%lld ", block->rows_meta.topic,
                 (long long)block->rows_meta.timestamp_ms[row]);
    }
    if (notes->failures) {
        notes->failures--;
        return weir_error_set(error, WEIR_MODEL_FAILED, -1, "told to fail");
    }
    return weir_context_forward(context, block, error);
}

/* Sources in and more -> note -> out. */
static struct weir_topology *joined(struct notes *notes)
{
    static const struct weir_processor_ops ops = {
        .abi = WEIR_PROCESSOR_ABI, .init = note_init, .process_batch = note};
    static const char *const sources[] = {"data", "more"}, *const noted[] = {"note"};
    struct weir_topology *topology;
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", TOPIC("in"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "more", TOPIC("more"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_processor(topology, "note", &ops, notes, sources, 2, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", noted, 1, NULL), WEIR_OK);
    return topology;
}

static void put_at(struct fixture *fixture, const char *topic, int32_t partition,
                   int64_t timestamp_ms)
{
    struct weir_kafka_record record = {.topic = topic,
                                       .partition = partition,
                                       .timestamp_ms = timestamp_ms,
                                       .key = weir_slice("k", 1),
                                       .value = weir_slice("v", 1)};
    assert_int_equal(weir_kafka_fake_append(fixture->kafka, &record, NULL, NULL), WEIR_OK);
}

static void step(struct weir_streams *streams, int times)
{
    struct weir_error error = {0};
    while (times--)
        if (instance_step(streams, &error) != WEIR_OK)
            fail_msg("%s", error.message);
}

/* ---- order ----------------------------------------------------------------------------------- */

static void records_come_in_the_order_of_their_timestamps(void **state)
{
    static const int64_t in[] = {10, 20, 20, 30, 70}, more[] = {5, 20, 25, 60};
    struct notes notes = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    for (uint32_t i = 0; i < 5; i++)
        put_at(&fixture, "in", 0, in[i]);
    for (uint32_t i = 0; i < 4; i++)
        put_at(&fixture, "more", 0, more[i]);
    fixture.options.batch_rows = 2; /* an order beyond what is in hand */
    struct weir_streams *streams = instance_open(&fixture, joined(&notes));
    step(streams, 20);
    assert_string_equal(notes.text, "more5 in10 in20 in20 more20 more25 in30 more60 in70 ");
    assert_int_equal(notes.opened, 1);
    instance_close(streams);
    assert_int_equal(fixture_committed_of(&fixture, "in", 0), 5);
    assert_int_equal(fixture_committed_of(&fixture, "more", 0), 4);
    assert_int_equal(fixture_count(&fixture, "out", 0), 9);
    fixture_release(&fixture);
}

/* What the broker has of an empty input is waited for, without a limit; with max_task_idle_ms what
 * it might get, too. */
static void an_empty_input_is_waited_for(void **state)
{
    struct notes notes = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_at(&fixture, "in", 0, 10);
    put_at(&fixture, "more", 0, 5);
    fixture_fail(&fixture, WEIR_KAFKA_FAKE_FETCH, "more", 0, 5, WEIR_BROKER, false);
    struct weir_streams *streams = instance_open(&fixture, joined(&notes));
    for (int i = 0; weir_kafka_fake_failed(fixture.kafka, WEIR_KAFKA_FAKE_FETCH) < 5; i++) {
        assert_true(i < 100);
        assert_string_equal(notes.text, "");
        step(streams, 1);
    }
    step(streams, 5);
    assert_string_equal(notes.text, "more5 in10 ");
    put_at(&fixture, "in", 0, 20); /* with nothing to be waited for */
    step(streams, 5);
    assert_string_equal(notes.text, "more5 in10 in20 ");
    instance_close(streams);
    fixture_release(&fixture);
}

static void an_idle_input_is_waited_for_so_long(void **state)
{
    struct notes notes = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture.options.max_task_idle_ms = 1000;
    fixture.options.batch_rows = 1; /* what is held is not read on */
    put_at(&fixture, "in", 0, 10);
    put_at(&fixture, "in", 0, 12);
    struct weir_streams *streams = instance_open(&fixture, joined(&notes));
    step(streams, 5);
    weir_clock_virtual_advance_ms(&fixture.clock, 999);
    step(streams, 5);
    assert_string_equal(notes.text, "");
    put_at(&fixture, "more", 0, 5);
    step(streams, 5);
    assert_string_equal(notes.text, "more5 ");
    weir_clock_virtual_advance_ms(&fixture.clock, 999); /* it begins anew */
    step(streams, 5);
    assert_string_equal(notes.text, "more5 ");
    weir_clock_virtual_advance_ms(&fixture.clock, 1);
    step(streams, 5);
    assert_string_equal(notes.text, "more5 in10 in12 ");
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_parked_block_holds_back_the_other_input(void **state)
{
    struct notes notes = {.refuse = 1};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_at(&fixture, "in", 0, 10);
    put_at(&fixture, "more", 0, 20);
    struct weir_streams *streams = instance_open(&fixture, joined(&notes));
    step(streams, 10);
    assert_string_equal(notes.text, "");
    weir_clock_virtual_advance_ms(&fixture.clock, 200); /* it is offered again */
    step(streams, 10);
    assert_string_equal(notes.text, "in10 more20 ");
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_rewind_takes_back_all_inputs(void **state)
{
    struct notes notes = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 20, 0);
    put_at(&fixture, "in", 0, 10);
    put_at(&fixture, "more", 0, 20);
    struct weir_streams *streams = instance_open(&fixture, joined(&notes));
    step(streams, 5);
    assert_string_equal(notes.text, "in10 more20 "); /* nothing of it is delivered yet */
    notes.failures = 1;
    put_at(&fixture, "in", 0, 30);
    step(streams, 1);
    assert_int_equal(notes.failures, 0);
    notes.text[0] = '\0';
    instance_settle(&fixture, streams);
    assert_string_equal(notes.text, "in10 more20 in30 ");
    assert_int_equal(fixture_committed_of(&fixture, "in", 0), 2);
    assert_int_equal(fixture_committed_of(&fixture, "more", 0), 1);
    instance_close(streams);
    fixture_release(&fixture);
}

/* ---- which tasks there are ------------------------------------------------------------------- */

static int32_t partitions_of(struct fixture *fixture, const char *topic)
{
    int32_t partitions = 0;
    struct weir_error error;
    if (weir_kafka_topic_partitions(fixture->kafka, topic, 0, &partitions, &error) != WEIR_OK)
        return 0;
    return partitions;
}

static uint32_t tasks_of(const struct weir_streams *streams)
{
    struct weir_streams_stats stats;
    weir_streams_stats(streams, &stats);
    return stats.tasks;
}

static void there_are_as_many_tasks_as_the_largest_topic_has_partitions(void **state)
{
    struct notes notes = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 2, 0, 0);
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "more", 3), WEIR_OK);
    put_at(&fixture, "more", 2, 10); /* its task has no other input to wait for */
    struct weir_streams *streams = instance_open(&fixture, joined(&notes));
    step(streams, 10);
    assert_int_equal(partitions_of(&fixture, "app-tasks-0"), 3);
    assert_int_equal(tasks_of(streams), 3);
    assert_string_equal(notes.text, "more10 ");
    instance_close(streams);
    fixture_release(&fixture);
}

static void each_sub_topology_has_tasks_of_its_own(void **state)
{
    struct behaviour behaviour = {.fail_at = -1};
    struct weir_topology *topology = copy_topology(&behaviour);
    static const char *const more[] = {"more"};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 2, 0, 0);
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "more", 5), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "more", TOPIC("more"), NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "end", "out", more, 1, NULL), WEIR_OK);
    struct weir_streams *streams = instance_open(&fixture, topology);
    step(streams, 10);
    assert_int_equal(partitions_of(&fixture, "app-tasks-0"), 2);
    assert_int_equal(partitions_of(&fixture, "app-tasks-1"), 5);
    assert_int_equal(tasks_of(streams), 7);
    instance_close(streams);
    fixture_release(&fixture);
}

static void a_source_may_have_several_topics(void **state)
{
    static const char *const topics[] = {"in", "more"}, *const data[] = {"data"};
    struct weir_topology *topology;
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 2, 0, 0);
    assert_int_equal(weir_topology_new(&topology), WEIR_OK);
    assert_int_equal(weir_topology_add_source(topology, "data", topics, 2, NULL, NULL, NULL),
                     WEIR_OK);
    assert_int_equal(weir_topology_add_sink(topology, "out", "out", data, 1, NULL), WEIR_OK);
    fixture_put_on(&fixture, "in", 1, "a");
    fixture_put_on(&fixture, "more", 1, "b");
    struct weir_streams *streams = instance_open(&fixture, topology);
    step(streams, 10);
    assert_int_equal(tasks_of(streams), 2);
    assert_int_equal(fixture_count(&fixture, "out", 1), 2);
    instance_close(streams);
    assert_int_equal(fixture_committed_of(&fixture, "more", 1), 1);
    fixture_release(&fixture);
}

static void joined_topics_need_the_same_number_of_partitions(void **state)
{
    static const char *const sources[] = {"data", "more"}, *const unknown[] = {"data", "copy"};
    struct notes notes = {0};
    struct weir_streams *streams;
    struct weir_error error = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 2, 0, 0);
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "more", 3), WEIR_OK);
    struct weir_topology *topology = joined(&notes);
    assert_int_equal(weir_topology_copartition(topology, unknown, 2, &error), WEIR_NOT_FOUND);
    assert_int_equal(weir_topology_copartition(topology, sources, 2, NULL), WEIR_OK);
    assert_int_equal(weir_streams_new(topology, fixture.kafka, &fixture.options, &streams, &error),
                     WEIR_OK);
    streams->clock = &fixture.clock.clock;
    assert_int_equal(thread_open(streams->threads[0], &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "topics in (2 partitions) and more (3) are joined"));
    instance_close(streams);

    /* when it comes to that later, the instance ends */
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "in", 3), WEIR_OK);
    topology = joined(&notes);
    assert_int_equal(weir_topology_copartition(topology, sources, 2, NULL), WEIR_OK);
    streams = instance_open(&fixture, topology);
    step(streams, 10);
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "in", 4), WEIR_OK);
    weir_clock_virtual_advance_ms(&fixture.clock, 5000);
    assert_int_equal(instance_step(streams, &error), WEIR_INVALID);
    instance_close(streams);
    fixture_release(&fixture);
}

static void partitions_that_are_added_are_taken_up(void **state)
{
    struct notes notes = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "more", 2), WEIR_OK);
    struct weir_streams *streams = instance_open(&fixture, joined(&notes));
    put_at(&fixture, "more", 1, 10);
    step(streams, 10);
    assert_int_equal(tasks_of(streams), 2);
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "in", 2), WEIR_OK);   /* of a task */
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "more", 4), WEIR_OK); /* more tasks */
    put_at(&fixture, "in", 1, 20);
    put_at(&fixture, "more", 3, 30);
    weir_clock_virtual_advance_ms(&fixture.clock, 5000);
    step(streams, 10);
    assert_int_equal(partitions_of(&fixture, "app-tasks-0"), 4);
    assert_int_equal(tasks_of(streams), 4);
    assert_true(strcmp(notes.text, "more10 in20 more30 ") == 0 ||
                strcmp(notes.text, "more10 more30 in20 ") == 0);
    assert_int_equal(fixture_committed_of(&fixture, "more", 1), 1);
    instance_close(streams);
    fixture_release(&fixture);
}

/* One instance sees new partitions before the other, which has to be given tasks all the same. */
static void instances_need_not_see_partitions_at_once(void **state)
{
    struct notes notes = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    struct weir_streams *one = instance_open(&fixture, joined(&notes));
    step(one, 5);
    weir_clock_virtual_advance_ms(&fixture.clock, 2500);
    struct weir_streams *two = instance_open(&fixture, joined(&notes));
    assert_int_equal(weir_kafka_fake_topic(fixture.kafka, "in", 8), WEIR_OK);
    for (int32_t i = 0; i < 8; i++)
        put_at(&fixture, "in", i, 10);
    for (int i = 0; i < 400 && fixture_committed_of(&fixture, "in", 7) != 1; i++) {
        step(one, 1);
        step(two, 1);
        weir_clock_virtual_advance_ms(&fixture.clock, 20);
    }
    for (int i = 0; i < 100; i++) {
        step(one, 1);
        step(two, 1);
        weir_clock_virtual_advance_ms(&fixture.clock, 50);
    }
    for (int32_t i = 0; i < 8; i++)
        assert_int_equal(fixture_committed_of(&fixture, "in", i), 1);
    assert_int_equal(tasks_of(one) + tasks_of(two), 8);
    assert_int_equal(strlen(notes.text), 8 * strlen("in10 "));
    instance_close(one);
    instance_close(two);
    fixture_release(&fixture);
}

/* ---- the group ------------------------------------------------------------------------------- */

/* Brokers forget offsets of topics that nobody subscribes to. */
static void offsets_are_kept_although_nothing_happens(void **state)
{
    struct notes notes = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    put_at(&fixture, "in", 0, 10);
    struct weir_streams *streams = instance_open(&fixture, joined(&notes));
    instance_settle(&fixture, streams);
    assert_int_equal(fixture_committed_of(&fixture, "in", 0), 1);
    assert_int_equal(weir_kafka_fake_commit(fixture.kafka, "app", "in", 0, -1), WEIR_OK);
    weir_clock_virtual_advance_ms(&fixture.clock, HOUR_MS - 20000);
    step(streams, 2);
    assert_int_equal(fixture_committed_of(&fixture, "in", 0), -1);
    weir_clock_virtual_advance_ms(&fixture.clock, 20000);
    step(streams, 2);
    assert_int_equal(fixture_committed_of(&fixture, "in", 0), 1);
    assert_int_equal(fixture_committed_of(&fixture, "more", 0), -1); /* it never had one */
    instance_close(streams);
    fixture_release(&fixture);
}

static void members_that_know_no_tasks_are_refused(void **state)
{
    const char *const topic = "in";
    struct notes notes = {0};
    struct weir_kafka_consumer_options options;
    struct weir_kafka_consumer *consumer;
    struct weir_kafka_batch batch;
    struct weir_streams *streams;
    struct weir_error error = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    weir_kafka_consumer_options_default(&options);
    options.group_id = "app";
    options.topics = &topic;
    options.topic_count = 1;
    assert_int_equal(weir_kafka_consumer_new(fixture.kafka, &options, &consumer, NULL), WEIR_OK);
    assert_int_equal(weir_kafka_poll(consumer, 1, 0, NULL, NULL, &batch, NULL), WEIR_AGAIN);
    assert_int_equal(
        weir_streams_new(joined(&notes), fixture.kafka, &fixture.options, &streams, &error),
        WEIR_OK);
    streams->clock = &fixture.clock.clock;
    assert_int_equal(thread_open(streams->threads[0], &error), WEIR_IN_USE);
    assert_non_null(strstr(error.message, "reads topic in itself"));
    instance_close(streams);
    weir_kafka_consumer_close(consumer, 0);
    streams = instance_open(&fixture, joined(&notes));
    instance_close(streams);
    fixture_release(&fixture);
}

static void an_application_id_has_to_be_good_for_topics(void **state)
{
    struct notes notes = {0};
    struct weir_streams *streams;
    struct weir_error error = {0};
    struct fixture fixture;
    (void)state;
    fixture_init(&fixture, 1, 0, 0);
    fixture.options.application_id = "two words";
    assert_int_equal(
        weir_streams_new(joined(&notes), fixture.kafka, &fixture.options, &streams, &error),
        WEIR_INVALID);
    assert_non_null(strstr(error.message, "two words"));
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_in_the_order_of_their_timestamps),
        cmocka_unit_test(an_empty_input_is_waited_for),
        cmocka_unit_test(an_idle_input_is_waited_for_so_long),
        cmocka_unit_test(a_parked_block_holds_back_the_other_input),
        cmocka_unit_test(a_rewind_takes_back_all_inputs),
        cmocka_unit_test(there_are_as_many_tasks_as_the_largest_topic_has_partitions),
        cmocka_unit_test(each_sub_topology_has_tasks_of_its_own),
        cmocka_unit_test(a_source_may_have_several_topics),
        cmocka_unit_test(joined_topics_need_the_same_number_of_partitions),
        cmocka_unit_test(partitions_that_are_added_are_taken_up),
        cmocka_unit_test(instances_need_not_see_partitions_at_once),
        cmocka_unit_test(offsets_are_kept_although_nothing_happens),
        cmocka_unit_test(members_that_know_no_tasks_are_refused),
        cmocka_unit_test(an_application_id_has_to_be_good_for_topics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
