/* Connectors over the real client, on a broker in a process of its own. */
#include "station.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kafka/cluster.h"

enum { RECORDS = 3000, LIMIT_MS = 60000 };

struct world {
    struct cluster cluster;
    struct station station; /* without a fake: the real client is its kafka */
};

static struct world world;
static uint32_t numbers[RECORDS];

/* ---- what a member does ---------------------------------------------------------------------- */

struct seen {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint32_t times[RECORDS], different, others;
};

static enum weir_err note(void *opaque, void *element, struct weir_error *error)
{
    struct seen *seen = opaque;
    struct weir_connect_record *record = element;
    struct weir_slice value = record->block->batch.rows.value[record->row];
    uint32_t number;

    (void)error;
    assert_int_equal(value.bytes, sizeof number);
    memcpy(&number, value.data, sizeof number);
    pthread_mutex_lock(&seen->mutex);
    if (number >= RECORDS)
        seen->others++;
    else if (seen->times[number]++ == 0)
        seen->different++;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->mutex);
    weir_connect_done(record);
    weir_connect_record_kind.drop(record);
    return WEIR_OK;
}

/* False: there were fewer until the time was over. */
static bool wait_for(struct seen *seen, uint32_t different, uint32_t others)
{
    struct timespec at;
    bool reached = true;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += LIMIT_MS / 1000;
    pthread_mutex_lock(&seen->mutex);
    while (reached && (seen->different < different || seen->others < others))
        reached = pthread_cond_timedwait(&seen->changed, &seen->mutex, &at) == 0;
    pthread_mutex_unlock(&seen->mutex);
    return reached;
}

static void member_open(struct line *line, const char *const *topic, struct seen *seen)
{
    struct weir_connect_source_options options;

    station_options(&world.station, &options);
    options.consumer.group_id = topic[0];
    options.consumer.topics = topic;
    options.thread = true;
    options.records_max = 20;
    options.commit_ms = 10;
    line_open(line, &world.station, &options);
    weir_flow_foreach(weir_flow_async(weir_connect_each(line->source), 64), note, seen);
    line_start(line);
}

/* ---- records in ------------------------------------------------------------------------------ */

static bool number_to_record(void *opaque, const void *element, uint32_t index,
                             struct weir_kafka_record *record)
{
    const uint32_t *number = element;

    record->topic = opaque;
    record->partition = (int32_t)(*number % PARTITIONS);
    record->value = weir_slice(number, sizeof *number);
    return index == 0;
}

static void produce(const char *topic, uint32_t *first, uint32_t count)
{
    struct weir_connect_producer_options options;
    struct line line = {.station = &world.station};
    void **elements = calloc(count, sizeof *elements);

    assert_non_null(elements);
    for (uint32_t i = 0; i < count; i++)
        elements[i] = &first[i];
    weir_connect_producer_options_default(&options);
    options.kafka = world.station.kafka;
    options.record = number_to_record;
    options.opaque = (void *)(uintptr_t)topic;
    assert_int_equal(weir_flow_graph_new(&line.graph), WEIR_OK);
    int32_t sink = weir_flow_ignore(
        weir_connect_producer(weir_flow_from_array(line.graph, elements, count, NULL), &options));
    line_start(&line);
    assert_int_equal(weir_flow_stream_wait(line.stream, LIMIT_MS), WEIR_OK);
    assert_int_equal(weir_flow_stream_result(line.stream, sink, NULL, NULL), WEIR_OK);
    line_close(&line);
    free(elements);
}

/* Members come and go, in order and not; every record is processed, and what is committed when the
 * last has left is all of them. */
static void every_record_is_processed(void **state)
{
    static const char *const topic[] = {"moving"};
    static struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                               .changed = PTHREAD_COND_INITIALIZER};
    static struct seen after = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                                .changed = PTHREAD_COND_INITIALIZER};
    uint32_t last[PARTITIONS] = {RECORDS, RECORDS + 1, RECORDS + 2};
    struct line first, second, third;

    (void)state;
    cluster_topic(&world.cluster, world.station.kafka, topic[0], PARTITIONS);
    produce(topic[0], numbers, RECORDS / 3);
    member_open(&first, topic, &seen);
    assert_true(wait_for(&seen, 1, 0));
    member_open(&second, topic, &seen);
    produce(topic[0], numbers + RECORDS / 3, RECORDS / 3);
    assert_true(wait_for(&seen, RECORDS / 2, 0));
    line_close(&first); /* aborted */
    produce(topic[0], numbers + 2 * (RECORDS / 3), RECORDS / 3);
    assert_true(wait_for(&seen, RECORDS, 0));
    line_stop(&second);
    line_wait(&second);
    line_close(&second);

    produce(topic[0], last, PARTITIONS);
    member_open(&third, topic, &after);
    assert_true(wait_for(&after, 0, PARTITIONS));
    line_stop(&third);
    line_wait(&third);
    line_close(&third);
    assert_int_equal(after.different, 0);
    assert_int_equal(after.others, PARTITIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_is_processed),
    };
    int failed;

    for (uint32_t i = 0; i < RECORDS; i++)
        numbers[i] = i;
    cluster_start(&world.cluster, getenv("WEIR_TEST_MOCK") != NULL);
    if (world.cluster.is_mock) {
        cluster_stop(&world.cluster);
        printf("skipped: the mock cluster doesn't hand partitions over in time; WEIR_BIN names a "
               "broker\n");
        return 77;
    }
    world.station.kafka = cluster_connect(&world.cluster);
    if (weir_flow_materializer_new(NULL, &world.station.materializer, NULL) != WEIR_OK)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    station_close(&world.station);
    cluster_stop(&world.cluster);
    return failed;
}
