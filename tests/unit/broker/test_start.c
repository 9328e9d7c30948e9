/* Starting: what is refused, and in which words; several brokers side by side. */
#include "place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

static void assert_refused(struct place *place, enum weir_err err, const char *words)
{
    struct weir_broker *broker = NULL;
    struct weir_error error = {.code = WEIR_OK};
    assert_int_equal(weir_broker_start(&place->options, &broker, &error), err);
    assert_null(broker);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    assert_null(strchr(error.message, '\n'));
}

static void write_file(const struct place *place, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", place->dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_taken_port_is_named(void **state)
{
    struct place one, two;
    (void)state;
    place_init(&one);
    place_init(&two);
    place_start(&one);
    two.options.listen = place_address(&one);
    assert_refused(&two, WEIR_IN_USE, "in use");
    place_release(&one);
    two.options.listen = "127.0.0.1:0";
    place_start(&two); /* a refused start leaves nothing behind */
    place_release(&two);
}

static void a_directory_has_one_broker(void **state)
{
    struct place place;
    (void)state;
    place_init(&place);
    place_start(&place);
    assert_refused(&place, WEIR_IN_USE, "another broker runs on this directory");
    rd_kafka_t *producer = rd_producer(place_address(&place), NULL);
    assert_int_equal(rd_put(producer, "t", 0, "v", 0, 10), 10); /* the first one is unharmed */
    rd_end(producer);
    place_release(&place);
}

static void a_directory_that_cannot_be_written_is_named(void **state)
{
    struct place place;
    char path[80];
    (void)state;
    place_init(&place);
    write_file(&place, "file", "x");
    snprintf(path, sizeof path, "%s/file/below", place.dir);
    const char *const paths[] = {path, "/proc/no-such-place"};
    for (int i = 0; i < 2; i++) {
        struct weir_broker *broker = NULL;
        struct weir_error error = {.code = WEIR_OK};
        place.options.data_dir = paths[i];
        assert_int_not_equal(weir_broker_start(&place.options, &broker, &error), WEIR_OK);
        assert_non_null(strstr(error.message, paths[i]));
    }
    place.options.data_dir = "";
    assert_refused(&place, WEIR_INVALID, "data directory");
    place_release(&place);
}

static void other_directories_are_not_touched(void **state)
{
    static const struct {
        const char *name, *text;
        enum weir_err err;
        const char *words;
    } cases[] = {
        {"meta.properties", "version=1\nweir.format=2\nbroker.id=1\ncluster.id=x\n",
         WEIR_OTHER_VERSION, "newer version"},
        {"meta.properties", "version=1\ncluster.id=abc\nnode.id=1\n", WEIR_INVALID,
         "not a directory of weir broker"},
        {"weir-topics", "weir-topics 3\n", WEIR_OTHER_VERSION, "not a catalogue"},
        {"weir-topics", "weir-topics 1\ntopic\t../../etc\t1\n", WEIR_CORRUPT, "can't be read"},
        {"weir-topics", "weir-topics 1\ntopic\tt\t99999999999999\n", WEIR_CORRUPT, "can't be read"},
        {"weir-topics", "weir-topics 1\ntopic\tt\t1", WEIR_CORRUPT, "cut off"},
        {"weir-journal", "SOMETHING ELSE", WEIR_OTHER_VERSION, "not a journal"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct place place;
        place_init(&place);
        write_file(&place, cases[i].name, cases[i].text);
        assert_refused(&place, cases[i].err, cases[i].words);
        assert_refused(&place, cases[i].err, cases[i].words); /* and it stays so */
        place_release(&place);
    }
}

static void a_lost_catalogue_loses_no_records(void **state)
{
    struct place place;
    char path[128];
    struct stat stat_of;
    (void)state;
    place_init(&place);
    place_start(&place);
    rd_kafka_t *producer = rd_producer(place_address(&place), NULL);
    assert_int_equal(rd_put(producer, "t", 0, "v", 0, 10), 10);
    rd_end(producer);
    place_stop(&place);
    snprintf(path, sizeof path, "%s/weir-topics", place.dir);
    assert_int_equal(unlink(path), 0);
    assert_refused(&place, WEIR_CORRUPT, "weir-topics is missing");
    snprintf(path, sizeof path, "%s/t-0/00000000000000000000.log", place.dir);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_true(stat_of.st_size > 0);
    place_release(&place);
}

static void leftovers_of_an_unfinished_deletion_go(void **state)
{
    struct place place;
    char path[128];
    struct stat stat_of;
    (void)state;
    place_init(&place);
    place_start(&place);
    rd_kafka_t *producer = rd_producer(place_address(&place), NULL);
    assert_int_equal(rd_put(producer, "t", 0, "v", 0, 10), 10);
    rd_end(producer);
    place_stop(&place);
    write_file(&place, "weir-topics", "weir-topics 1\n");
    snprintf(path, sizeof path, "%s/photos-2024", place.dir);
    assert_int_equal(mkdir(path, 0755), 0);
    write_file(&place, "photos-2024/00000000000000000000.log", "");
    write_file(&place, "photos-2024/sea.jpg", "a picture");
    place_start(&place);
    snprintf(path, sizeof path, "%s/photos-2024/sea.jpg", place.dir);
    assert_int_equal(stat(path, &stat_of), 0); /* not ours, nor to remove */
    snprintf(path, sizeof path, "%s/t-0", place.dir);
    assert_int_equal(stat(path, &stat_of), -1);
    place_release(&place);
}

static void outside_the_loopback_only_if_told(void **state)
{
    struct place place;
    (void)state;
    place_init(&place);
    place.options.listen = "0.0.0.0:0";
    assert_refused(&place, WEIR_DENIED, "--insecure");
    place.options.insecure = true;
    place_start(&place);
    /* Who comes in by the loopback is sent there again, not to 0.0.0.0. */
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1%s", strrchr(place_address(&place), ':'));
    rd_kafka_t *producer = rd_producer(address, NULL);
    const struct rd_kafka_metadata *metadata;
    assert_int_equal(rd_kafka_metadata(producer, 0, NULL, &metadata, WAIT_MS), 0);
    assert_int_equal(metadata->broker_cnt, 1);
    assert_string_equal(metadata->brokers[0].host, "127.0.0.1");
    rd_kafka_metadata_destroy(metadata);
    assert_int_equal(rd_put(producer, "t", 0, "v", 0, 10), 10);
    rd_end(producer);
    place_release(&place);
}

static void several_live_side_by_side(void **state)
{
    enum { BROKERS = 5 };
    struct place places[BROKERS];
    (void)state;
    for (int i = 0; i < BROKERS; i++) {
        place_init(&places[i]);
        int64_t before_ns = weir_clock_now_ns(NULL);
        place_start(&places[i]);
        print_message("started in %lld us\n",
                      (long long)(weir_clock_now_ns(NULL) - before_ns) / 1000);
    }
    for (int i = 0; i < BROKERS; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "broker %d: ", i);
        rd_kafka_t *producer = rd_producer(place_address(&places[i]), NULL);
        assert_int_equal(rd_put(producer, "t", 0, prefix, 0, 10), 10);
        rd_end(producer);
    }
    for (int i = 0; i < BROKERS; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "broker %d: ", i);
        rd_kafka_t *consumer = rd_consumer(place_address(&places[i]), "g", NULL);
        rd_expect(consumer, "t", 0, 0, prefix, 0, 10);
        rd_end(consumer);
        place_release(&places[i]);
    }
}

static void starts_and_stops_again_and_again(void **state)
{
    struct place place;
    (void)state;
    place_init(&place);
    for (int i = 0; i < 20; i++) {
        place_start(&place);
        place_stop(&place);
    }
    assert_int_equal(weir_broker_stop(NULL, NULL), WEIR_OK);
    place_release(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_taken_port_is_named),
        cmocka_unit_test(a_directory_has_one_broker),
        cmocka_unit_test(a_directory_that_cannot_be_written_is_named),
        cmocka_unit_test(other_directories_are_not_touched),
        cmocka_unit_test(a_lost_catalogue_loses_no_records),
        cmocka_unit_test(leftovers_of_an_unfinished_deletion_go),
        cmocka_unit_test(outside_the_loopback_only_if_told),
        cmocka_unit_test(several_live_side_by_side),
        cmocka_unit_test(starts_and_stops_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
