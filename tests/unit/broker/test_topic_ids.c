/* Topics by their ids: given once, kept, found by, and given to topics of before there were any. */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "broker/config_about.h"

static int set_up(void **state)
{
    struct raw *raw = malloc(sizeof *raw);
    assert_non_null(raw);
    raw_init(raw);
    raw_start(raw);
    *state = raw;
    return 0;
}

static int tear_down(void **state)
{
    raw_release(*state);
    free(*state);
    return 0;
}

static struct wire_uuid id_of(struct raw *raw, const char *topic)
{
    const struct topic *found = broker_topic_find(raw->broker, weir_slice(topic, strlen(topic)));
    assert_non_null(found);
    assert_false(broker_topic_id_is_none(found->id));
    return found->id;
}

static void texts_are_kafkas(void **state)
{
    (void)state;
    static const struct wire_uuid known = {{0xb3, 0x1e, 0xfb, 0xe8, 0x0b, 0x1d, 0x43, 0xfb, 0x99,
                                            0xfc, 0x04, 0x10, 0x41, 0x00, 0xff, 0x3f}};
    char text[TOPIC_ID_TEXT_BYTES];
    struct wire_uuid id;
    broker_topic_id_format(known, text);
    assert_string_equal(text, "sx776AsdQ_uZ_AQQQQD_Pw");
    assert_true(broker_topic_id_parse(text, &id));
    assert_memory_equal(id.bytes, known.bytes, 16);
    for (int i = 0; i < 1000; i++) {
        struct wire_uuid made = broker_topic_id_new();
        broker_topic_id_format(made, text);
        assert_int_not_equal(text[0], '-');
        assert_true(broker_topic_id_parse(text, &id));
        assert_memory_equal(id.bytes, made.bytes, 16);
    }
    static const char *const others[] = {"",
                                         "sx776AsdQ_uZ_AQQQQD_P",
                                         "sx776AsdQ_uZ_AQQQQD_Pww",
                                         "sx776AsdQ+uZ_AQQQQD_Pw",
                                         "AAAAAAAAAAAAAAAAAAAAAA",
                                         "sx776AsdQ_uZ_AQQQQD_Px"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(broker_topic_id_parse(others[i], &id));
}

static void ids_outlive_a_restart_but_not_a_deletion(void **state)
{
    struct raw *raw = *state;
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 2);
    raw_make_topic(raw, fd, "u", 1);
    struct wire_uuid t = id_of(raw, "t"), u = id_of(raw, "u");
    assert_memory_not_equal(t.bytes, u.bytes, 16);
    raw_close(raw, fd);
    raw_stop(raw);
    raw_start(raw);
    assert_memory_equal(id_of(raw, "t").bytes, t.bytes, 16);
    assert_ptr_equal(broker_topic_find_id(raw->broker, u),
                     broker_topic_find(raw->broker, weir_slice("u", 1)));
    assert_int_equal(broker_topic_delete(raw->broker, broker_topic_find_id(raw->broker, t), NULL),
                     WEIR_OK);
    assert_null(broker_topic_find_id(raw->broker, t));
    fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 2);
    assert_memory_not_equal(id_of(raw, "t").bytes, t.bytes, 16);
    raw_close(raw, fd);
}

static void write_catalogue(struct raw *raw, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/weir-topics", raw->place.dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* What 0.1 has written. */
static void topics_of_version_1_get_ids_for_good(void **state)
{
    struct raw *raw = *state;
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 2);
    raw_make_topic(raw, fd, "u", 1);
    raw_produce(raw, fd, "t", 1, 3);
    raw_close(raw, fd);
    raw_stop(raw);
    write_catalogue(raw, "weir-topics 1\ntopic\tt\t2\tretention.ms=-1\ntopic\tu\t1\n");
    raw_start(raw);
    struct wire_uuid t = id_of(raw, "t"), u = id_of(raw, "u");
    const struct topic *topic = broker_topic_find(raw->broker, weir_slice("t", 1));
    assert_string_equal(weir_map_get_text(&topic->configs, "retention.ms"), "-1");
    assert_int_equal(weir_plog_offset_next(topic->partitions[1].log), 3);
    raw_stop(raw);
    raw_start(raw);
    assert_memory_equal(id_of(raw, "t").bytes, t.bytes, 16);
    assert_memory_equal(id_of(raw, "u").bytes, u.bytes, 16);
}

static void a_line_without_an_id_or_with_anothers_is_refused(void **state)
{
    struct raw *raw = *state;
    static const char *const texts[] = {"weir-topics 2\ntopic\tt\t1\n",
                                        "weir-topics 2\ntopic\tt\t1\tretention.ms=-1\n",
                                        "weir-topics 2\ntopic\tt\t1\tsx776AsdQ_uZ_AQQQQD_Pw\n"
                                        "topic\tu\t1\tsx776AsdQ_uZ_AQQQQD_Pw\n"};
    raw_stop(raw);
    for (size_t i = 0; i < 3; i++) {
        struct weir_error error = {.code = WEIR_OK};
        write_catalogue(raw, texts[i]);
        assert_int_equal(
            broker_open(&raw->place.options, raw->disk, &raw->clock.clock, &raw->broker, &error),
            WEIR_CORRUPT);
        raw->broker = NULL;
    }
    write_catalogue(raw, "weir-topics 2\n");
    raw_start(raw);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void begin_fetch(struct call *call, int fd, struct wire_uuid id, int32_t epoch)
{
    struct wire_writer *w = &call->writer;
    call_begin(call, fd, WIRE_FETCH, 17);
    wire_put_i32(w, 0); /* wait */
    wire_put_i32(w, 1);
    wire_put_i32(w, 1 << 20);
    wire_put_i8(w, 0);
    wire_put_i32(w, 0);
    wire_put_i32(w, -1);
    wire_put_array(w, 1);
    wire_put_uuid(w, id);
    wire_put_array(w, 1);
    wire_put_i32(w, 0);
    wire_put_i32(w, epoch);
    wire_put_i64(w, 0);
    wire_put_i32(w, -1);
    wire_put_i64(w, -1);
    wire_put_i32(w, 1 << 20);
    wire_put_tags(w);
    wire_put_tags(w);
    wire_put_array(w, 0);
    wire_put_text(w, "");
    wire_put_tags(w);
}

static int fetch_error(struct raw *raw, int fd, struct wire_uuid id, int32_t epoch, size_t *bytes)
{
    struct call call;
    struct wire_reader *r = &call.reader;
    begin_fetch(&call, fd, id, epoch);
    call_now(raw, &call);
    wire_i32(r);
    assert_int_equal(wire_i16(r), WIRE_NONE);
    assert_int_equal(wire_i32(r), 0);
    assert_int_equal(wire_array(r, 1), 1);
    assert_memory_equal(wire_uuid(r).bytes, id.bytes, 16);
    assert_int_equal(wire_array(r, 1), 1);
    assert_int_equal(wire_i32(r), 0);
    int error = wire_i16(r);
    wire_i64(r);
    wire_i64(r);
    wire_i64(r);
    assert_int_equal(wire_array(r, 1), -1);
    wire_i32(r);
    *bytes = wire_bytes(r).bytes;
    wire_tags(r);
    wire_tags(r);
    wire_tags(r);
    assert_false(r->failed);
    assert_ptr_equal(r->at, r->end);
    call_end(&call);
    return error;
}

static void records_are_fetched_by_id(void **state)
{
    struct raw *raw = *state;
    int fd = raw_connect(raw);
    size_t bytes;
    raw_make_topic(raw, fd, "t", 1);
    raw_produce(raw, fd, "t", 0, 3);
    struct wire_uuid id = id_of(raw, "t");
    assert_int_equal(fetch_error(raw, fd, id, 0, &bytes), WIRE_NONE);
    assert_true(bytes > 300);
    assert_int_equal(fetch_error(raw, fd, id, 1, &bytes), WIRE_UNKNOWN_LEADER_EPOCH);
    assert_int_equal(bytes, 0);
    id.bytes[0] ^= 1;
    assert_int_equal(fetch_error(raw, fd, id, 0, &bytes), WIRE_UNKNOWN_TOPIC_ID);
    assert_int_equal(bytes, 0);
    raw_close(raw, fd);
}

static void topics_are_described_and_deleted_by_id(void **state)
{
    struct raw *raw = *state;
    struct call call;
    int fd = raw_connect(raw);
    raw_make_topic(raw, fd, "t", 1);
    struct wire_uuid id = id_of(raw, "t");
    for (int round = 0; round < 2; round++) {
        call_begin(&call, fd, WIRE_METADATA, 12);
        wire_put_array(&call.writer, 1);
        wire_put_uuid(&call.writer, id);
        wire_put_text(&call.writer, NULL);
        wire_put_tags(&call.writer);
        wire_put_bool(&call.writer, true);
        wire_put_bool(&call.writer, false);
        wire_put_tags(&call.writer);
        call_now(raw, &call);
        wire_i32(&call.reader);
        wire_array(&call.reader, 1);
        wire_i32(&call.reader);
        wire_string(&call.reader);
        wire_i32(&call.reader);
        wire_string(&call.reader);
        wire_tags(&call.reader);
        wire_string(&call.reader);
        wire_i32(&call.reader);
        assert_int_equal(wire_array(&call.reader, 1), 1);
        assert_int_equal(wire_i16(&call.reader), round ? WIRE_UNKNOWN_TOPIC_ID : WIRE_NONE);
        assert_int_equal(wire_string(&call.reader).bytes, round ? 0 : 1);
        assert_memory_equal(wire_uuid(&call.reader).bytes, id.bytes, 16);
        call_end(&call);
        call_begin(&call, fd, WIRE_DELETE_TOPICS, 6);
        wire_put_array(&call.writer, 1);
        wire_put_text(&call.writer, NULL);
        wire_put_uuid(&call.writer, id);
        wire_put_tags(&call.writer);
        wire_put_i32(&call.writer, 1000);
        wire_put_tags(&call.writer);
        call_now(raw, &call);
        wire_i32(&call.reader);
        assert_int_equal(wire_array(&call.reader, 1), 1);
        assert_int_equal(wire_string(&call.reader).bytes, round ? 0 : 1);
        assert_memory_equal(wire_uuid(&call.reader).bytes, id.bytes, 16);
        assert_int_equal(wire_i16(&call.reader), round ? WIRE_UNKNOWN_TOPIC_ID : WIRE_NONE);
        call_end(&call);
    }
    raw_close(raw, fd);
}

static void every_setting_is_explained(void **state)
{
    (void)state;
    for (size_t i = 0; i < broker_topic_config_count; i++)
        assert_true(strlen(broker_config_about(broker_topic_configs[i].name)->text) > 10);
    for (size_t i = 0; i < broker_config_count; i++)
        assert_true(strlen(broker_config_about(broker_configs[i].name)->text) > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_kafkas),
        TEST(ids_outlive_a_restart_but_not_a_deletion),
        TEST(topics_of_version_1_get_ids_for_good),
        TEST(a_line_without_an_id_or_with_anothers_is_refused),
        TEST(records_are_fetched_by_id),
        TEST(topics_are_described_and_deleted_by_id),
        cmocka_unit_test(every_setting_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
