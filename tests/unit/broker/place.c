/* A broker in a folder of its own, and librdkafka as its client: place.h. */
#include "place.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the folder ------------------------------------------------------------------------------ */

static void on_log(void *opaque, enum weir_log_level level, const char *area, const char *message)
{
    (void)opaque;
    (void)level;
    if (getenv("WEIR_TEST_LOG"))
        fprintf(stderr, "%s: %s\n", area, message);
}

void place_init(struct place *place)
{
    *place = (struct place){0};
    snprintf(place->dir, sizeof place->dir, "%.40s/weir-broker-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(place->dir));
    weir_broker_options_default(&place->options);
    place->options.listen = "127.0.0.1:0";
    place->options.data_dir = place->dir;
    place->options.log = (struct weir_log){on_log, NULL, WEIR_LOG_DEBUG};
}

void place_start(struct place *place)
{
    struct weir_error error = {.code = WEIR_OK};
    if (weir_broker_start(&place->options, &place->broker, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

void place_stop(struct place *place)
{
    struct weir_error error = {.code = WEIR_OK};
    if (weir_broker_stop(place->broker, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    place->broker = NULL;
}

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
    (void)stat;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void place_release(struct place *place)
{
    if (place->broker)
        place_stop(place);
    nftw(place->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *place_address(const struct place *place)
{
    return weir_broker_address(place->broker);
}

/* ---- clients --------------------------------------------------------------------------------- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        fail_msg("%s", text);
}

static void set_all(rd_kafka_conf_t *conf, va_list pairs)
{
    for (const char *name; (name = va_arg(pairs, const char *)) != NULL;)
        set(conf, name, va_arg(pairs, const char *));
}

static rd_kafka_t *make(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char text[256];
    rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof text);
    if (!client)
        fail_msg("%s", text);
    return client;
}

struct reports {
    int delivered, failed;
};

static void on_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct reports *reports = message->_private;
    (void)client;
    (void)opaque;
    if (!reports)
        return;
    if (message->err)
        reports->failed++;
    else
        reports->delivered++;
}

rd_kafka_t *rd_producer(const char *address, ...)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    va_list pairs;
    set(conf, "bootstrap.servers", address);
    set(conf, "linger.ms", "0");
    set(conf, "message.timeout.ms", "15000");
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    va_start(pairs, address);
    set_all(conf, pairs);
    va_end(pairs);
    return make(RD_KAFKA_PRODUCER, conf);
}

rd_kafka_t *rd_consumer(const char *address, const char *group, ...)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    va_list pairs;
    set(conf, "bootstrap.servers", address);
    set(conf, "group.id", group);
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "enable.auto.commit", "false");
    va_start(pairs, group);
    set_all(conf, pairs);
    va_end(pairs);
    rd_kafka_t *client = make(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(client);
    return client;
}

void rd_end(rd_kafka_t *client)
{
    if (rd_kafka_type(client) == RD_KAFKA_PRODUCER)
        assert_int_equal(rd_kafka_flush(client, WAIT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    else
        rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
}

int rd_put(rd_kafka_t *producer, const char *topic, int32_t partition, const char *prefix, int from,
           int to)
{
    struct reports reports = {0};
    int64_t end_ms = now_ms() + WAIT_MS;
    for (int i = from; i < to; i++) {
        char key[32], value[256];
        snprintf(key, sizeof key, "k%d", i);
        snprintf(value, sizeof value, "%s%d", prefix, i);
        rd_kafka_resp_err_t err = rd_kafka_producev(
            producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
            RD_KAFKA_V_KEY(key, strlen(key)), RD_KAFKA_V_VALUE(value, strlen(value)),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(&reports), RD_KAFKA_V_END);
        if (err)
            fail_msg("%s", rd_kafka_err2str(err));
    }
    while (reports.delivered + reports.failed < to - from) {
        assert_true(now_ms() < end_ms);
        rd_kafka_poll(producer, 100);
    }
    return reports.delivered;
}

void rd_expect(rd_kafka_t *consumer, const char *topic, int32_t partition, int64_t offset,
               const char *prefix, int from, int count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    int64_t end_ms = now_ms() + WAIT_MS;
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    assert_int_equal(rd_kafka_assign(consumer, list), 0);
    rd_kafka_topic_partition_list_destroy(list);
    for (int i = 0; i < count;) {
        char value[256];
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        if (now_ms() > end_ms)
            fail_msg("%d of %d messages came", i, count);
        if (!message)
            continue;
        if (message->err)
            fail_msg("%s", rd_kafka_message_errstr(message));
        snprintf(value, sizeof value, "%s%d", prefix, from + i);
        assert_int_equal(message->len, strlen(value));
        assert_memory_equal(message->payload, value, message->len);
        if (offset >= 0)
            assert_int_equal(message->offset, offset + i);
        rd_kafka_message_destroy(message);
        i++;
    }
}

void rd_subscribe(rd_kafka_t *consumer, const char *topic)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    assert_int_equal(rd_kafka_subscribe(consumer, list), 0);
    rd_kafka_topic_partition_list_destroy(list);
}

rd_kafka_resp_err_t rd_make_topic(rd_kafka_t *client, const char *topic, int partitions, ...)
{
    char text[256];
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(topic, partitions, 1, text, sizeof text);
    va_list pairs;
    assert_non_null(wanted);
    va_start(pairs, partitions);
    for (const char *name; (name = va_arg(pairs, const char *)) != NULL;)
        rd_kafka_NewTopic_set_config(wanted, name, va_arg(pairs, const char *));
    va_end(pairs);
    rd_kafka_CreateTopics(client, &wanted, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    assert_non_null(event);
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    if (!err && count)
        err = rd_kafka_topic_result_error(results[0]);
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(wanted);
    rd_kafka_queue_destroy(queue);
    return err;
}
