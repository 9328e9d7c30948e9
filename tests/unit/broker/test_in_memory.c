/* Brokers in memory, as tests of a user would have them: many in one process, gone at the end. */
#include "place.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

enum { BROKERS = 8 };

static struct weir_broker *start(size_t bytes)
{
    struct weir_broker_options options;
    struct weir_broker *broker;
    struct weir_error error;

    weir_broker_options_default(&options);
    options.listen = "127.0.0.1:0";
    options.in_memory_bytes = bytes;
    if (weir_broker_start(&options, &broker, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return broker;
}

static int descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static void many_brokers_live_in_one_process(void **state)
{
    struct weir_broker *brokers[BROKERS];
    int before = descriptors();

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BROKERS; i++)
            brokers[i] = start(16 << 20);
        for (int i = 0; i < BROKERS; i++) {
            char prefix[32];
            rd_kafka_t *producer = rd_producer(weir_broker_address(brokers[i]), NULL);
            snprintf(prefix, sizeof prefix, "broker-%d-", i);
            assert_int_equal(rd_put(producer, "t", 0, prefix, 0, 100), 100);
            rd_end(producer);
        }
        for (int i = 0; i < BROKERS; i++) {
            char prefix[32];
            rd_kafka_t *consumer = rd_consumer(weir_broker_address(brokers[i]), "g", NULL);
            snprintf(prefix, sizeof prefix, "broker-%d-", i);
            rd_expect(consumer, "t", 0, 0, prefix, 0, 100);
            rd_end(consumer);
        }
        for (int i = 0; i < BROKERS; i++)
            assert_int_equal(weir_broker_stop(brokers[i], NULL), WEIR_OK);
    }
    assert_int_equal(descriptors(), before);
}

static void a_full_memory_refuses_records_as_a_full_disk_does(void **state)
{
    struct weir_broker *broker = start(2 << 20);
    rd_kafka_t *producer =
        rd_producer(weir_broker_address(broker), "message.timeout.ms", "2000", NULL);
    char value[50000];

    (void)state;
    memset(value, 'v', sizeof value);
    assert_int_equal(rd_make_topic(producer, "t", 1, NULL), RD_KAFKA_RESP_ERR_NO_ERROR);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("t"),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_VALUE(value, sizeof value), RD_KAFKA_V_END),
                         RD_KAFKA_RESP_ERR_NO_ERROR);
    while (rd_kafka_outq_len(producer) > 0)
        rd_kafka_poll(producer, 100);
    rd_end(producer);
    /* The partition is read-only, the broker lives. */
    producer = rd_producer(weir_broker_address(broker), "message.timeout.ms", "1000", NULL);
    assert_int_equal(rd_put(producer, "t", 0, "x", 0, 1), 0);
    rd_end(producer);
    (void)weir_broker_stop(broker, NULL); /* says that the partition had failed */
}

static void a_directory_and_memory_exclude_each_other(void **state)
{
    struct weir_broker_options options;
    struct weir_broker *broker;
    struct weir_error error;

    (void)state;
    weir_broker_options_default(&options);
    options.listen = "127.0.0.1:0";
    options.data_dir = "/tmp/weir-never-made";
    options.in_memory_bytes = 1 << 20;
    assert_int_equal(weir_broker_start(&options, &broker, &error), WEIR_INVALID);
    assert_non_null(strstr(error.message, "/tmp/weir-never-made"));
    options.data_dir = NULL;
    options.in_memory_bytes = 100; /* nothing fits */
    assert_int_equal(weir_broker_start(&options, &broker, &error), WEIR_LIMIT);
    options.in_memory_bytes = 0;
    assert_int_equal(weir_broker_start(&options, &broker, &error), WEIR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_brokers_live_in_one_process),
        cmocka_unit_test(a_full_memory_refuses_records_as_a_full_disk_does),
        cmocka_unit_test(a_directory_and_memory_exclude_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
