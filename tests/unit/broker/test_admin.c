/* Topics and their settings, made, changed and read back by librdkafka's admin calls. */
#include "place.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static rd_kafka_event_t *take(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    assert_non_null(event);
    if (rd_kafka_event_error(event))
        fail_msg("%s", rd_kafka_event_error_string(event));
    return event;
}

/* Copies a setting as DescribeConfigs gives it; true if it is a default. */
static bool read_config(rd_kafka_t *client, const char *topic, const char *name, char value[64])
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_ConfigResource_t *which = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_DescribeConfigs(client, &which, 1, NULL, queue);
    rd_kafka_event_t *event = take(queue);
    size_t count, entries;
    bool is_default = false, found = false;
    const rd_kafka_ConfigResource_t **results = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);
    assert_int_equal(count, 1);
    assert_int_equal(rd_kafka_ConfigResource_error(results[0]), 0);
    const rd_kafka_ConfigEntry_t **list = rd_kafka_ConfigResource_configs(results[0], &entries);
    assert_true(entries > 15);
    for (size_t i = 0; i < entries; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(list[i]), name) != 0)
            continue;
        snprintf(value, 64, "%s", rd_kafka_ConfigEntry_value(list[i]));
        is_default = rd_kafka_ConfigEntry_is_default(list[i]) == 1;
        found = true;
    }
    assert_true(found);
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(which);
    rd_kafka_queue_destroy(queue);
    return is_default;
}

static rd_kafka_resp_err_t set_config(rd_kafka_t *client, const char *topic, const char *name,
                                      const char *value)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_ConfigResource_t *which = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_ConfigResource_set_config(which, name, value);
    rd_kafka_AlterConfigs(client, &which, 1, NULL, queue);
    rd_kafka_event_t *event = take(queue);
    size_t count;
    const rd_kafka_ConfigResource_t **results =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
    assert_int_equal(count, 1);
    rd_kafka_resp_err_t err = rd_kafka_ConfigResource_error(results[0]);
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(which);
    rd_kafka_queue_destroy(queue);
    return err;
}

static void settings_are_kept_and_changed(void **state)
{
    struct place *place = *state;
    char value[64];
    rd_kafka_t *client = rd_producer(place_address(place), NULL);
    assert_int_equal(rd_make_topic(client, "t", 2, "cleanup.policy", "compact", "retention.ms",
                                   "1234567", "min.compaction.lag.ms", "604800000", NULL),
                     0);
    assert_false(read_config(client, "t", "cleanup.policy", value));
    assert_string_equal(value, "compact");
    read_config(client, "t", "retention.ms", value);
    assert_string_equal(value, "1234567");
    assert_true(read_config(client, "t", "segment.bytes", value));
    assert_string_equal(value, "1073741824");
    assert_int_equal(set_config(client, "t", "segment.bytes", "1048576"), 0);
    assert_false(read_config(client, "t", "segment.bytes", value));
    assert_string_equal(value, "1048576");
    /* The old call replaces all settings. */
    assert_true(read_config(client, "t", "cleanup.policy", value));
    assert_string_equal(value, "delete");
    rd_end(client);
    place_stop(place);
    place_start(place);
    client = rd_producer(place_address(place), NULL);
    assert_false(read_config(client, "t", "segment.bytes", value));
    assert_string_equal(value, "1048576");
    rd_end(client);
}

static void what_is_wrong_is_refused_as_kafka_does(void **state)
{
    struct place *place = *state;
    rd_kafka_t *client = rd_producer(place_address(place), NULL);
    assert_int_equal(rd_make_topic(client, "t", 1, "retention.msec", "1", NULL),
                     RD_KAFKA_RESP_ERR_INVALID_CONFIG);
    assert_int_equal(rd_make_topic(client, "t", 1, "retention.ms", "soon", NULL),
                     RD_KAFKA_RESP_ERR_INVALID_CONFIG);
    assert_int_equal(rd_make_topic(client, "t", 1, "cleanup.policy", "keep", NULL),
                     RD_KAFKA_RESP_ERR_INVALID_CONFIG);
    assert_int_equal(
        rd_make_topic(client, "t", 1, "message.format.version", "1\ntopic\tu\t1", NULL),
        RD_KAFKA_RESP_ERR_INVALID_CONFIG);
    assert_int_equal(rd_make_topic(client, "t", 1, NULL), 0);
    assert_int_equal(rd_make_topic(client, "t", 1, NULL), RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS);
    assert_int_equal(rd_make_topic(client, "../t", 1, NULL), RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
    assert_int_equal(rd_make_topic(client, "..", 1, NULL), RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
    assert_int_equal(rd_make_topic(client, "a b", 1, NULL), RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
    assert_int_equal(rd_make_topic(client, "wide", 100000, NULL),
                     RD_KAFKA_RESP_ERR_INVALID_PARTITIONS);
    assert_int_equal(set_config(client, "t", "no.such.thing", "1"),
                     RD_KAFKA_RESP_ERR_INVALID_CONFIG);
    rd_end(client);
}

static void topics_grow_and_go(void **state)
{
    struct place *place = *state;
    struct weir_broker_stats stats;
    rd_kafka_t *client = rd_producer(place_address(place), NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    char text[128];
    assert_int_equal(rd_make_topic(client, "t", 2, NULL), 0);
    assert_int_equal(rd_put(client, "t", 1, "v", 0, 5), 5);
    rd_kafka_NewPartitions_t *more = rd_kafka_NewPartitions_new("t", 7, text, sizeof text);
    rd_kafka_CreatePartitions(client, &more, 1, NULL, queue);
    rd_kafka_event_destroy(take(queue));
    rd_kafka_NewPartitions_destroy(more);
    weir_broker_stats(place->broker, &stats);
    assert_int_equal(stats.partitions, 7);
    rd_kafka_t *consumer = rd_consumer(place_address(place), "g", NULL);
    rd_expect(consumer, "t", 1, 0, "v", 0, 5);
    rd_end(consumer);
    rd_kafka_DeleteTopic_t *which = rd_kafka_DeleteTopic_new("t");
    rd_kafka_DeleteTopics(client, &which, 1, NULL, queue);
    rd_kafka_event_destroy(take(queue));
    rd_kafka_DeleteTopic_destroy(which);
    weir_broker_stats(place->broker, &stats);
    assert_int_equal(stats.partitions, 0);
    assert_int_equal(stats.topics, 0);
    rd_kafka_queue_destroy(queue);
    rd_end(client);
}

static void records_are_deleted_up_to_an_offset_and_stay_so(void **state)
{
    struct place *place = *state;
    int64_t low, high;
    rd_kafka_t *client = rd_producer(place_address(place), NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    assert_int_equal(rd_put(client, "t", 0, "v", 0, 100), 100);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "t", 0)->offset = 40;
    rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(client, &request, 1, NULL, queue);
    rd_kafka_event_destroy(take(queue));
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rd_kafka_query_watermark_offsets(client, "t", 0, &low, &high, WAIT_MS), 0);
        assert_int_equal(low, 40);
        assert_int_equal(high, 100);
        rd_end(client);
        place_stop(place);
        place_start(place);
        client = rd_producer(place_address(place), NULL);
    }
    rd_end(client);
}

static void topics_are_not_made_when_that_is_off(void **state)
{
    struct place place;
    (void)state;
    place_init(&place);
    place.options.auto_create_topics = false;
    place_start(&place);
    rd_kafka_t *client = rd_producer(place_address(&place), "allow.auto.create.topics", "true",
                                     "topic.metadata.propagation.max.ms", "100", NULL);
    assert_int_equal(rd_put(client, "nowhere", RD_KAFKA_PARTITION_UA, "v", 0, 1), 0);
    rd_end(client);
    place_release(&place);
}

/* Runs kcat, input and output being files; gives its exit code, 127 = there is none. */
static int run_kcat(char *const *arguments, const char *in, const char *out)
{
    posix_spawn_file_actions_t files;
    pid_t pid;
    int status;
    assert_int_equal(posix_spawn_file_actions_init(&files), 0);
    posix_spawn_file_actions_addopen(&files, 0, in, O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int err = posix_spawnp(&pid, "kcat", &files, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    if (err)
        return 127;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void kcat_reads_and_writes(void **state)
{
    struct place *place = *state;
    char path[128], line[128] = "", address[64];
    snprintf(path, sizeof path, "%s/kcat", place->dir);
    snprintf(address, sizeof address, "%s", place_address(place));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("one\ntwo\nthree\n", file);
    assert_int_equal(fclose(file), 0);
    char *const put[] = {"kcat", "-q", "-P", "-b", address, "-t",
                         "t",    "-p", "0",  "-z", "lz4",   NULL};
    char *const get[] = {"kcat", "-q", "-C",        "-b", address, "-t",     "t", "-p",
                         "0",    "-o", "beginning", "-e", "-f",    "%o=%s,", NULL};
    int code = run_kcat(put, path, "/dev/null");
    if (code == 127)
        skip();
    assert_int_equal(code, 0);
    assert_int_equal(run_kcat(get, "/dev/null", path), 0);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "0=one,1=two,2=three,");
    assert_int_equal(fclose(file), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settings_are_kept_and_changed),
        TEST(what_is_wrong_is_refused_as_kafka_does),
        TEST(topics_grow_and_go),
        TEST(records_are_deleted_up_to_an_offset_and_stay_so),
        cmocka_unit_test(topics_are_not_made_when_that_is_off),
        TEST(kcat_reads_and_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
