/* Fields of the protocol: golden bytes from its description, hostile bytes, round trips. */
#include "cmocka_all.h"

#include <string.h>

#include "wire/api.h"

static struct wire_reader reader_of(const void *bytes, size_t count, bool flexible)
{
    return wire_reader(weir_slice(bytes, count), flexible);
}
#define READER(flexible, ...)                                                                      \
    reader_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), flexible)

static void assert_text(struct weir_slice slice, const char *text)
{
    assert_non_null(slice.data);
    assert_int_equal(slice.bytes, strlen(text));
    assert_memory_equal(slice.data, text, slice.bytes);
}

static void numbers_are_big_endian(void **state)
{
    (void)state;
    struct wire_reader r =
        READER(false, 0xff, 0xff, 0xfe, 0x00, 0x00, 0x01, 0x02, 0x80, 0, 0, 0, 0, 0, 0, 0x05, 0x01);
    assert_int_equal(wire_i8(&r), -1);
    assert_int_equal(wire_i16(&r), -2);
    assert_int_equal(wire_i32(&r), 0x102);
    assert_true(wire_i64(&r) == INT64_MIN + 5);
    assert_true(wire_bool(&r));
    assert_false(r.failed);
    assert_ptr_equal(r.at, r.end);
}

static void plain_strings_have_two_bytes_of_length(void **state)
{
    (void)state;
    struct wire_reader r = READER(false, 0x00, 0x02, 'h', 'i', 0xff, 0xff, 0x00, 0x00);
    assert_text(wire_string(&r), "hi");
    assert_null(wire_string(&r).data);
    assert_text(wire_string(&r), "");
    assert_false(r.failed);
}

static void compact_strings_have_a_varint_plus_one(void **state)
{
    (void)state;
    struct wire_reader r = READER(true, 0x03, 'h', 'i', 0x00, 0x01, 0xff, 0xff);
    assert_text(wire_string(&r), "hi");
    assert_null(wire_string(&r).data);
    assert_text(wire_string(&r), "");
    assert_null(wire_string_plain(&r).data);
    assert_false(r.failed);
}

static void varints_end_after_five_bytes(void **state)
{
    (void)state;
    struct wire_reader r = READER(true, 0x00, 0x7f, 0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0x0f);
    assert_int_equal(wire_uvarint(&r), 0);
    assert_int_equal(wire_uvarint(&r), 127);
    assert_int_equal(wire_uvarint(&r), 128);
    assert_true(wire_uvarint(&r) == UINT32_MAX);
    assert_false(r.failed);
    r = READER(true, 0xff, 0xff, 0xff, 0xff, 0x1f);
    assert_int_equal(wire_uvarint(&r), 0);
    assert_true(r.failed);
    r = READER(true, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00);
    wire_uvarint(&r);
    assert_true(r.failed);
    r = READER(true, 0x80);
    wire_uvarint(&r);
    assert_true(r.failed);
}

static void tags_are_read_over(void **state)
{
    (void)state;
    struct wire_reader r = READER(true, 0x02, 0x00, 0x01, 0xaa, 0x05, 0x02, 0xbb, 0xcc, 0x07);
    wire_tags(&r);
    assert_false(r.failed);
    assert_int_equal(wire_i8(&r), 7);
    r = READER(true, 0x01, 0x00, 0x7f, 0xaa);
    wire_tags(&r);
    assert_true(r.failed);
    r = READER(true, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00); /* four thousand million of them */
    wire_tags(&r);
    assert_true(r.failed);
    r = READER(false, 0x02);
    wire_tags(&r); /* none in plain forms */
    assert_int_equal(wire_i8(&r), 2);
}

static void a_failed_reader_gives_nothing_more(void **state)
{
    (void)state;
    struct wire_reader r = READER(false, 0x00, 0x05, 'a', 'b');
    assert_null(wire_string(&r).data);
    assert_true(r.failed);
    assert_int_equal(wire_i8(&r), 0);
    assert_int_equal(wire_array(&r, 1), 0);
    assert_null(wire_bytes(&r).data);
    r = READER(false, 0xff, 0xfe); /* a length of -2 */
    assert_null(wire_string(&r).data);
    assert_true(r.failed);
}

static void arrays_claim_no_more_than_can_follow(void **state)
{
    (void)state;
    struct wire_reader r = READER(false, 0x00, 0x00, 0x00, 0x02, 1, 2, 3, 4);
    assert_int_equal(wire_array(&r, 2), 2);
    r = READER(false, 0x00, 0x00, 0x00, 0x03, 1, 2, 3, 4);
    assert_int_equal(wire_array(&r, 2), 0);
    assert_true(r.failed);
    r = READER(false, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3, 4);
    wire_array(&r, 1);
    assert_true(r.failed);
    r = READER(false, 0xff, 0xff, 0xff, 0xff);
    assert_int_equal(wire_array(&r, 1), -1);
    assert_false(r.failed);
    r = READER(false, 0xff, 0xff, 0xff, 0xfe);
    wire_array(&r, 1);
    assert_true(r.failed);
    r = READER(true, 0x00, 0x02, 0x09);
    assert_int_equal(wire_array(&r, 1), -1);
    assert_int_equal(wire_array(&r, 1), 1);
}

static void assert_written(const struct weir_buffer *buffer, const uint8_t *bytes, size_t count)
{
    assert_int_equal(buffer->bytes, count);
    assert_memory_equal(buffer->data, bytes, count);
}
#define WRITTEN(buffer, ...)                                                                       \
    assert_written(buffer, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void writes_the_plain_forms(void **state)
{
    (void)state;
    struct weir_buffer buffer;
    weir_buffer_init(&buffer, 1 << 16);
    struct wire_writer w = wire_writer(&buffer, false);
    size_t place = wire_reserve_i32(&w);
    wire_put_i16(&w, -2);
    wire_put_i64(&w, 0x0102030405060708);
    wire_put_text(&w, "hi");
    wire_put_text(&w, NULL);
    wire_put_bytes(&w, weir_slice("x", 1));
    wire_put_array(&w, -1);
    wire_put_tags(&w);
    wire_put_bool(&w, true);
    wire_fill_i32(&w, place, 0x0a0b0c0d);
    assert_int_equal(w.err, WEIR_OK);
    WRITTEN(&buffer, 0x0a, 0x0b, 0x0c, 0x0d, 0xff, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8, 0, 2, 'h', 'i',
            0xff, 0xff, 0, 0, 0, 1, 'x', 0xff, 0xff, 0xff, 0xff, 1);
    weir_buffer_release(&buffer);
}

static void writes_the_compact_forms(void **state)
{
    (void)state;
    struct weir_buffer buffer;
    weir_buffer_init(&buffer, 1 << 16);
    struct wire_writer w = wire_writer(&buffer, true);
    wire_put_text(&w, "hi");
    wire_put_text(&w, NULL);
    wire_put_bytes(&w, weir_slice("x", 1));
    wire_put_bytes(&w, weir_slice(NULL, 0));
    wire_put_array(&w, 127);
    wire_put_array(&w, -1);
    wire_put_tags(&w);
    WRITTEN(&buffer, 3, 'h', 'i', 0, 2, 'x', 0, 0x80, 0x01, 0, 0);
    weir_buffer_release(&buffer);
}

static void ids_are_sixteen_bytes(void **state)
{
    (void)state;
    struct weir_buffer buffer;
    struct wire_uuid id, read;
    for (uint8_t i = 0; i < sizeof id.bytes; i++)
        id.bytes[i] = (uint8_t)(i * 17);
    weir_buffer_init(&buffer, 64);
    struct wire_writer w = wire_writer(&buffer, true);
    wire_put_uuid(&w, id);
    assert_int_equal(buffer.bytes, 16);
    struct wire_reader r = reader_of(buffer.data, buffer.bytes, true);
    read = wire_uuid(&r);
    assert_memory_equal(read.bytes, id.bytes, 16);
    assert_false(r.failed);
    read = wire_uuid(&r);
    assert_true(r.failed);
    weir_buffer_release(&buffer);
}

static void bytes_may_get_their_length_behind_them(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 126, 127, 20000};
    for (int flexible = 0; flexible < 2; flexible++) {
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            struct weir_buffer buffer;
            weir_buffer_init(&buffer, 1 << 20);
            struct wire_writer w = wire_writer(&buffer, flexible);
            wire_put_i16(&w, 7);
            size_t place = wire_bytes_begin(&w);
            for (size_t n = 0; n < counts[i]; n++)
                wire_put_i8(&w, 'x');
            wire_bytes_end(&w, place);
            wire_put_i16(&w, 9);
            assert_int_equal(w.err, WEIR_OK);
            struct wire_reader r = reader_of(buffer.data, buffer.bytes, flexible);
            assert_int_equal(wire_i16(&r), 7);
            assert_int_equal(wire_bytes(&r).bytes, counts[i]);
            assert_int_equal(wire_i16(&r), 9);
            assert_false(r.failed);
            weir_buffer_release(&buffer);
        }
    }
}

static void a_full_writer_stops_and_says_so(void **state)
{
    (void)state;
    struct weir_buffer buffer;
    weir_buffer_init(&buffer, 5);
    struct wire_writer w = wire_writer(&buffer, false);
    wire_put_i32(&w, 1);
    wire_put_i32(&w, 2);
    wire_put_i8(&w, 3);
    assert_int_equal(w.err, WEIR_LIMIT);
    assert_int_equal(buffer.bytes, 4);
    weir_buffer_release(&buffer);
}

/* ---- heads ----------------------------------------------------------------------------------- */

static void the_table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_api_count; i++) {
        const struct wire_api *api = &wire_apis[i];
        assert_ptr_equal(wire_api_find(api->key), api);
        assert_true(i == 0 || api->key > wire_apis[i - 1].key);
        assert_true(api->advertised_min <= api->min && api->min <= api->max);
    }
    assert_null(wire_api_find(12345));
    /* What librdkafka up to 2.2 must see before it uses message format 2 and groups. */
    assert_int_equal(wire_api_find(WIRE_PRODUCE)->advertised_min, 0);
    assert_int_equal(wire_api_find(WIRE_FETCH)->advertised_min, 0);
    assert_int_equal(wire_api_find(WIRE_JOIN_GROUP)->advertised_min, 0);
    assert_true(wire_api_find(WIRE_OFFSET_FETCH)->advertised_min <= 1);
}

static void reads_plain_and_flexible_heads(void **state)
{
    (void)state;
    struct wire_request_head head;
    struct wire_reader r = READER(false, 0, 18, 0, 0, 0, 0, 0, 7, 0, 2, 'm', 'e', 0x55);
    assert_true(wire_request_head(&r, &head));
    assert_int_equal(head.key, WIRE_API_VERSIONS);
    assert_int_equal(head.correlation_id, 7);
    assert_text(head.client_id, "me");
    assert_true(head.supported);
    assert_false(r.flexible);
    assert_int_equal(wire_i8(&r), 0x55);
    /* From version 3 on tags follow the client id, which itself stays plain. */
    r = READER(false, 0, 18, 0, 3, 0, 0, 0, 7, 0, 2, 'm', 'e', 0, 0x55);
    assert_true(wire_request_head(&r, &head));
    assert_true(r.flexible);
    assert_int_equal(wire_i8(&r), 0x55);
    r = READER(false, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff);
    assert_true(wire_request_head(&r, &head));
    assert_false(head.supported);
    assert_null(head.client_id.data);
    r = READER(false, 0, 18, 0, 0, 0, 0, 0);
    assert_false(wire_request_head(&r, &head));
}

static void answers_have_tags_but_those_of_api_versions(void **state)
{
    (void)state;
    struct weir_buffer buffer;
    struct wire_request_head head = {.correlation_id = 9, .supported = true, .version = 3};
    weir_buffer_init(&buffer, 1 << 10);
    struct wire_writer w = wire_writer(&buffer, false);
    head.key = WIRE_API_VERSIONS;
    head.api = wire_api_find(head.key);
    wire_response_head(&w, &head);
    WRITTEN(&buffer, 0, 0, 0, 9);
    assert_true(w.flexible);
    weir_buffer_clear(&buffer);
    head.key = WIRE_FIND_COORDINATOR;
    head.api = wire_api_find(head.key);
    wire_response_head(&w, &head);
    WRITTEN(&buffer, 0, 0, 0, 9, 0);
    weir_buffer_clear(&buffer);
    head.version = 2;
    wire_response_head(&w, &head);
    WRITTEN(&buffer, 0, 0, 0, 9);
    weir_buffer_release(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_big_endian),
        cmocka_unit_test(plain_strings_have_two_bytes_of_length),
        cmocka_unit_test(compact_strings_have_a_varint_plus_one),
        cmocka_unit_test(varints_end_after_five_bytes),
        cmocka_unit_test(tags_are_read_over),
        cmocka_unit_test(a_failed_reader_gives_nothing_more),
        cmocka_unit_test(arrays_claim_no_more_than_can_follow),
        cmocka_unit_test(writes_the_plain_forms),
        cmocka_unit_test(writes_the_compact_forms),
        cmocka_unit_test(ids_are_sixteen_bytes),
        cmocka_unit_test(bytes_may_get_their_length_behind_them),
        cmocka_unit_test(a_full_writer_stops_and_says_so),
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(reads_plain_and_flexible_heads),
        cmocka_unit_test(answers_have_tags_but_those_of_api_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
