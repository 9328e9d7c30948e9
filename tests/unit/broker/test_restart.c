/* What was acknowledged is there after an orderly stop and after kill -9. */
#include "place.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void commit(rd_kafka_t *consumer, const char *topic, int32_t partition, int64_t offset,
                   const char *metadata)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *at = rd_kafka_topic_partition_list_add(list, topic, partition);
    at->offset = offset;
    if (metadata) {
        at->metadata = strdup(metadata);
        at->metadata_size = strlen(metadata);
    }
    assert_int_equal(rd_kafka_commit(consumer, list, 0), 0);
    rd_kafka_topic_partition_list_destroy(list);
}

static void assert_committed(rd_kafka_t *consumer, const char *topic, int32_t partition,
                             int64_t offset, const char *metadata)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition);
    assert_int_equal(rd_kafka_committed(consumer, list, WAIT_MS), 0);
    assert_int_equal(list->elems[0].err, 0);
    assert_int_equal(list->elems[0].offset, offset);
    if (metadata) {
        assert_int_equal(list->elems[0].metadata_size, strlen(metadata));
        assert_memory_equal(list->elems[0].metadata, metadata, strlen(metadata));
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void an_orderly_stop_keeps_everything(void **state)
{
    struct place place;
    (void)state;
    place_init(&place);
    place_start(&place);
    rd_kafka_t *producer = rd_producer(place_address(&place), NULL);
    rd_kafka_t *consumer = rd_consumer(place_address(&place), "readers", NULL);
    assert_int_equal(rd_make_topic(producer, "kept", 3, "retention.ms", "-1", NULL), 0);
    for (int32_t p = 0; p < 3; p++)
        assert_int_equal(rd_put(producer, "kept", p, "v", 0, 100), 100);
    commit(consumer, "kept", 0, 42, "some words");
    commit(consumer, "kept", 2, 7, NULL);
    commit(consumer, "kept", 2, 8, NULL);
    rd_end(producer);
    rd_end(consumer);
    place_stop(&place);
    for (int round = 0; round < 2; round++) {
        struct weir_broker_stats stats;
        int64_t before_ms = now_ms();
        place_start(&place);
        print_message("restarted in %lld ms\n", (long long)(now_ms() - before_ms));
        consumer = rd_consumer(place_address(&place), "readers", NULL);
        weir_broker_stats(place.broker, &stats);
        assert_int_equal(stats.topics, 1);
        assert_int_equal(stats.partitions, 3);
        assert_int_equal(stats.groups, 1);
        for (int32_t p = 0; p < 3; p++)
            rd_expect(consumer, "kept", p, 0, "v", 0, 100);
        assert_committed(consumer, "kept", 0, 42, "some words");
        assert_committed(consumer, "kept", 1, RD_KAFKA_OFFSET_INVALID, NULL);
        assert_committed(consumer, "kept", 2, 8, NULL);
        producer = rd_producer(place_address(&place), NULL);
        assert_int_equal(rd_make_topic(producer, "kept", 3, NULL),
                         RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS);
        rd_end(producer);
        rd_end(consumer);
        place_stop(&place);
    }
    place_release(&place);
}

/* ---- kill -9 --------------------------------------------------------------------------------- */

/* A broker in a process of its own; its address comes through a pipe. */
static pid_t start_process(struct place *place, char address[64])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct weir_broker *broker;
        if (weir_broker_start(&place->options, &broker, NULL) != WEIR_OK)
            _exit(1);
        const char *text = weir_broker_address(broker);
        if (write(ends[1], text, strlen(text)) < 0)
            _exit(1);
        close(ends[1]);
        for (;;)
            pause();
    }
    close(ends[1]);
    ssize_t count = read(ends[0], address, 63);
    assert_true(count > 0);
    address[count] = '\0';
    close(ends[0]);
    return pid;
}

static void kill_process(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void kill_9_loses_nothing_acknowledged(void **state)
{
    enum { ROUNDS = 4, EACH = 300 };
    struct place place;
    char address[64];
    (void)state;
    place_init(&place);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid = start_process(&place, address);
        rd_kafka_t *producer =
            rd_producer(address, "enable.idempotence", round % 2 ? "true" : "false", NULL);
        rd_kafka_t *consumer = rd_consumer(address, "readers", NULL);
        if (round > 0) {
            rd_expect(consumer, "log", 0, 0, "v", 0, round * EACH);
            assert_committed(consumer, "log", 0, round * EACH, NULL);
        }
        assert_int_equal(rd_put(producer, "log", 0, "v", round * EACH, (round + 1) * EACH), EACH);
        commit(consumer, "log", 0, (round + 1) * EACH, NULL);
        kill_process(pid);
        rd_kafka_destroy_flags(consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        rd_kafka_destroy(producer);
    }
    place_start(&place);
    rd_kafka_t *consumer = rd_consumer(place_address(&place), "readers", NULL);
    rd_expect(consumer, "log", 0, 0, "v", 0, ROUNDS * EACH);
    rd_end(consumer);
    place_release(&place);
}

/* Appends something to a file, as a write that was cut off would. */
static void append_to(const struct place *place, const char *name, const char *bytes, size_t count)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", place->dir, name);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void torn_tails_are_cut(void **state)
{
    struct place place;
    char address[64];
    (void)state;
    place_init(&place);
    pid_t pid = start_process(&place, address);
    rd_kafka_t *producer = rd_producer(address, NULL);
    rd_kafka_t *consumer = rd_consumer(address, "readers", NULL);
    assert_int_equal(rd_put(producer, "log", 0, "v", 0, 50), 50);
    commit(consumer, "log", 0, 33, "m");
    kill_process(pid);
    rd_kafka_destroy_flags(consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    rd_kafka_destroy(producer);
    append_to(&place, "log-0/00000000000000000000.log", "\0\0\0\0\0\0\0\62\0\0\4\0torn", 16);
    append_to(&place, "weir-journal", "\0\0\0\50\1\2\3\4half of it", 18);
    place_start(&place);
    producer = rd_producer(place_address(&place), NULL);
    consumer = rd_consumer(place_address(&place), "readers", NULL);
    assert_committed(consumer, "log", 0, 33, "m");
    assert_int_equal(rd_put(producer, "log", 0, "v", 50, 60), 10);
    rd_expect(consumer, "log", 0, 0, "v", 0, 60);
    rd_end(producer);
    rd_end(consumer);
    place_release(&place);
}

static void a_deleted_topic_stays_away_with_its_offsets(void **state)
{
    struct place place;
    (void)state;
    place_init(&place);
    place_start(&place);
    rd_kafka_t *producer = rd_producer(place_address(&place), NULL);
    rd_kafka_t *consumer = rd_consumer(place_address(&place), "readers", NULL);
    assert_int_equal(rd_put(producer, "gone", 0, "v", 0, 10), 10);
    assert_int_equal(rd_put(producer, "other", 0, "v", 0, 10), 10);
    commit(consumer, "gone", 0, 5, NULL);
    commit(consumer, "other", 0, 6, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(producer);
    rd_kafka_DeleteTopic_t *which = rd_kafka_DeleteTopic_new("gone");
    rd_kafka_DeleteTopics(producer, &which, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy(which);
    rd_kafka_queue_destroy(queue);
    rd_end(producer);
    rd_end(consumer);
    place_stop(&place);
    place_start(&place);
    producer = rd_producer(place_address(&place), NULL);
    consumer = rd_consumer(place_address(&place), "readers", NULL);
    assert_int_equal(rd_make_topic(producer, "gone", 1, NULL), 0);
    int64_t low, high;
    assert_int_equal(rd_kafka_query_watermark_offsets(producer, "gone", 0, &low, &high, WAIT_MS),
                     0);
    assert_int_equal(high, 0);
    assert_committed(consumer, "gone", 0, RD_KAFKA_OFFSET_INVALID, NULL);
    assert_committed(consumer, "other", 0, 6, NULL);
    rd_end(producer);
    rd_end(consumer);
    place_release(&place);
}

static void producer_ids_never_repeat(void **state)
{
    struct place place;
    (void)state;
    place_init(&place);
    for (int round = 0; round < 3; round++) { /* an id that came again would fail as a duplicate */
        place_start(&place);
        for (int i = 0; i < 3; i++) {
            rd_kafka_t *producer =
                rd_producer(place_address(&place), "enable.idempotence", "true", NULL);
            assert_int_equal(
                rd_put(producer, "log", 0, "v", (round * 3 + i) * 10, (round * 3 + i) * 10 + 10),
                10);
            rd_end(producer);
        }
        place_stop(&place);
    }
    place_start(&place);
    rd_kafka_t *consumer = rd_consumer(place_address(&place), "readers", NULL);
    rd_expect(consumer, "log", 0, 0, "v", 0, 90);
    rd_end(consumer);
    place_release(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_9_loses_nothing_acknowledged), /* forks: before any thread */
        cmocka_unit_test(torn_tails_are_cut),
        cmocka_unit_test(an_orderly_stop_keeps_everything),
        cmocka_unit_test(a_deleted_topic_stays_away_with_its_offsets),
        cmocka_unit_test(producer_ids_never_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
