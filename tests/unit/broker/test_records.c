/* Records through librdkafka: produced, kept, fetched, found. */
#include "place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int set_up(void **state)
{
    struct place *place = malloc(sizeof *place);
    assert_non_null(place);
    place_init(place);
    place_start(place);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    place_release(*state);
    free(*state);
    return 0;
}

static void every_codec_comes_back(void **state)
{
    struct place *place = *state;
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    rd_kafka_t *consumer = rd_consumer(place_address(place), "reader", NULL);
    for (size_t i = 0; i < 5; i++) {
        rd_kafka_t *producer =
            rd_producer(place_address(place), "compression.codec", codecs[i], NULL);
        assert_int_equal(rd_put(producer, codecs[i], 0, "a value of some length ", 0, 500), 500);
        rd_end(producer);
        rd_expect(consumer, codecs[i], 0, 0, "a value of some length ", 0, 500);
        rd_expect(consumer, codecs[i], 0, 123, "a value of some length ", 123, 100);
    }
    rd_end(consumer);
}

static void idempotent_producers_are_served(void **state)
{
    struct place *place = *state;
    rd_kafka_t *producer = rd_producer(place_address(place), "enable.idempotence", "true", NULL);
    rd_kafka_t *consumer = rd_consumer(place_address(place), "reader", NULL);
    assert_int_equal(rd_put(producer, "exactly", 0, "v", 0, 2000), 2000);
    assert_int_equal(rd_put(producer, "exactly", 0, "v", 2000, 2001), 1);
    rd_expect(consumer, "exactly", 0, 0, "v", 0, 2001);
    rd_end(producer);
    rd_end(consumer);
}

static void without_acks_nothing_is_answered(void **state)
{
    struct place *place = *state;
    rd_kafka_t *producer = rd_producer(place_address(place), "acks", "0", NULL);
    rd_kafka_t *consumer = rd_consumer(place_address(place), "reader", NULL);
    assert_int_equal(rd_put(producer, "quick", 0, "v", 0, 1), 1);
    assert_int_equal(rd_put(producer, "quick", 0, "v", 1, 100), 99);
    rd_expect(consumer, "quick", 0, 0, "v", 0, 100);
    rd_end(producer);
    rd_end(consumer);
}

static void offsets_are_found_by_time(void **state)
{
    struct place *place = *state;
    rd_kafka_t *producer = rd_producer(place_address(place), NULL);
    for (int i = 0; i < 100; i++) {
        rd_kafka_resp_err_t err = rd_kafka_producev(
            producer, RD_KAFKA_V_TOPIC("times"), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE("v", 1),
            RD_KAFKA_V_TIMESTAMP(1700000000000 + i * 10), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_END);
        assert_int_equal(err, 0);
    }
    assert_int_equal(rd_kafka_flush(producer, WAIT_MS), 0);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    static const struct {
        int64_t time_ms, offset;
    } cases[] = {{0, 0},
                 {1700000000000, 0},
                 {1700000000001, 1},
                 {1700000000500, 50},
                 {1700000000990, 99},
                 {1700000000991, RD_KAFKA_OFFSET_END}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(asked, "times", 0)->offset = cases[i].time_ms;
        assert_int_equal(rd_kafka_offsets_for_times(producer, asked, WAIT_MS), 0);
        assert_int_equal(asked->elems[0].err, 0);
        assert_int_equal(asked->elems[0].offset, cases[i].offset);
        rd_kafka_topic_partition_list_destroy(asked);
    }
    int64_t low, high;
    assert_int_equal(rd_kafka_query_watermark_offsets(producer, "times", 0, &low, &high, WAIT_MS),
                     0);
    assert_int_equal(low, 0);
    assert_int_equal(high, 100);
    rd_kafka_topic_partition_list_destroy(list);
    rd_end(producer);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* A consumer that waits 500 ms for records gets them when they come. */
static void a_parked_fetch_wakes_when_records_come(void **state)
{
    enum { ROUNDS = 200 };
    struct place *place = *state;
    int64_t took_us[ROUNDS];
    rd_kafka_t *producer = rd_producer(place_address(place), NULL);
    rd_kafka_t *consumer =
        rd_consumer(place_address(place), "reader", "fetch.wait.max.ms", "500", NULL);
    assert_int_equal(rd_put(producer, "ping", 0, "v", 0, 1), 1);
    rd_expect(consumer, "ping", 0, 0, "v", 0, 1);
    for (int i = 0; i < ROUNDS; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("ping"),
                                           RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE("v", 1),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_END),
                         0);
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, WAIT_MS);
        clock_gettime(CLOCK_MONOTONIC, &to);
        assert_non_null(message);
        assert_int_equal(message->err, 0);
        rd_kafka_message_destroy(message);
        took_us[i] = (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
        rd_kafka_poll(producer, 0);
    }
    qsort(took_us, ROUNDS, sizeof *took_us, by_size);
    print_message("produce to consume: p50 %lld us, p99 %lld us\n", (long long)took_us[ROUNDS / 2],
                  (long long)took_us[ROUNDS * 99 / 100]);
    assert_true(took_us[ROUNDS / 2] < 100000); /* far below the wait, far above a busy machine */
    rd_end(producer);
    rd_end(consumer);
}

static void large_messages_pass_and_too_large_ones_are_refused(void **state)
{
    struct place *place = *state;
    rd_kafka_t *producer = rd_producer(place_address(place), "message.max.bytes", "3000000", NULL);
    rd_kafka_t *consumer = rd_consumer(place_address(place), "reader", NULL);
    char *value = malloc(2000000);
    assert_non_null(value);
    memset(value, 'x', 2000000);
    assert_int_equal(rd_make_topic(producer, "large", 1, "max.message.bytes", "2500000", NULL), 0);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, "large", NULL);
    assert_int_equal(rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value, 2000000, NULL, 0, NULL),
                     0);
    assert_int_equal(rd_kafka_flush(producer, WAIT_MS), 0);
    rd_kafka_topic_destroy(topic);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "large", 0)->offset = 0;
    assert_int_equal(rd_kafka_assign(consumer, list), 0);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, WAIT_MS);
    assert_non_null(message);
    assert_int_equal(message->err, 0);
    assert_int_equal(message->len, 2000000);
    rd_kafka_message_destroy(message);
    /* The default ceiling of a topic is a megabyte. */
    assert_int_equal(rd_put(producer, "small", 0, "v", 0, 1), 1);
    topic = rd_kafka_topic_new(producer, "small", NULL);
    assert_int_equal(rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value, 2000000, NULL, 0, NULL),
                     0);
    assert_int_equal(rd_kafka_flush(producer, WAIT_MS), 0);
    rd_kafka_topic_destroy(topic);
    int64_t low, high;
    assert_int_equal(rd_kafka_query_watermark_offsets(producer, "small", 0, &low, &high, WAIT_MS),
                     0);
    assert_int_equal(high, 1);
    free(value);
    rd_end(producer);
    rd_end(consumer);
}

static void many_partitions_share_a_fetch(void **state)
{
    struct place *place = *state;
    rd_kafka_t *producer = rd_producer(place_address(place), NULL);
    rd_kafka_t *consumer = rd_consumer(place_address(place), "all", NULL);
    int64_t end_ms = now_ms() + WAIT_MS;
    bool seen[3000] = {false};
    assert_int_equal(rd_make_topic(producer, "wide", 64, NULL), 0);
    assert_int_equal(rd_put(producer, "wide", RD_KAFKA_PARTITION_UA, "", 0, 3000), 3000);
    rd_subscribe(consumer, "wide");
    for (int count = 0; count < 3000;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        assert_true(now_ms() < end_ms);
        if (!message)
            continue;
        assert_int_equal(message->err, 0);
        char text[16] = "";
        memcpy(text, message->payload, message->len < 15 ? message->len : 15);
        long number = strtol(text, NULL, 10);
        assert_in_range(number, 0, 2999);
        assert_false(seen[number]);
        seen[number] = true;
        count++;
        rd_kafka_message_destroy(message);
    }
    rd_end(producer);
    rd_end(consumer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_codec_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(idempotent_producers_are_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_acks_nothing_is_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(offsets_are_found_by_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_parked_fetch_wakes_when_records_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_messages_pass_and_too_large_ones_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(many_partitions_share_a_fetch, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
