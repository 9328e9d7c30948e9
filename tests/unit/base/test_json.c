/* The JSON writer and the capped reader. */
#include "cmocka_all.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"

static enum weir_err write_sample(struct weir_buffer *b)
{
    struct weir_json j;

    weir_json_begin(&j, b);
    weir_json_object_begin(&j);
    weir_json_key(&j, "a");
    weir_json_array_begin(&j);
    weir_json_int(&j, -1);
    weir_json_uint(&j, UINT64_MAX);
    weir_json_double(&j, 0.1);
    weir_json_double(&j, (double)NAN);
    weir_json_bool(&j, true);
    weir_json_null(&j);
    weir_json_text(&j, NULL);
    weir_json_object_begin(&j);
    weir_json_object_end(&j);
    weir_json_array_end(&j);
    weir_json_key(&j, "b");
    weir_json_text(&j, "x");
    weir_json_key(&j, "c");
    weir_json_raw(&j, weir_slice("[1]", 3));
    weir_json_object_end(&j);
    return weir_json_end(&j);
}

static void commas_and_nesting_are_right(void **state)
{
    struct weir_buffer b;

    (void)state;
    weir_buffer_init(&b, 1000);
    assert_int_equal(write_sample(&b), WEIR_OK);
    assert_string_equal(weir_buffer_text(&b),
                        "{\"a\":[-1,18446744073709551615,0.1,null,true,null,null,{}],"
                        "\"b\":\"x\",\"c\":[1]}");
    weir_buffer_release(&b);
}

static void check_text(struct weir_slice text, const char *expected)
{
    struct weir_buffer b;
    struct weir_json j;

    weir_buffer_init(&b, 1000);
    weir_json_begin(&j, &b);
    weir_json_slice(&j, text);
    assert_int_equal(weir_json_end(&j), WEIR_OK);
    assert_string_equal(weir_buffer_text(&b), expected);
    weir_buffer_release(&b);
}

static void texts_are_escaped_and_always_utf8(void **state)
{
    (void)state;
    check_text(weir_slice("a\"b\\c/\n\t\r\b\f\x01\x1f\x7f", 14),
               "\"a\\\"b\\\\c/\\n\\t\\r\\b\\f\\u0001\\u001f\x7f\"");
    check_text(weir_slice("\0", 1), "\"\\u0000\"");
    check_text(weir_slice("\xC3\xA4\xF0\x9F\x98\x80", 6), "\"\xC3\xA4\xF0\x9F\x98\x80\"");
    /* Overlong, surrogate, beyond the last code point, cut short, alone. */
    check_text(weir_slice("\xC0\x80", 2), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_text(weir_slice("\xED\xA0\x80x", 4), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx\"");
    check_text(weir_slice("\xF4\x90\x80\x80", 4),
               "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_text(weir_slice("a\xE2\x82", 3), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_text(weir_slice(NULL, 0), "null");
    check_text(weir_slice("", 0), "\"\"");
}

static void numbers_that_are_none_can_be_texts(void **state)
{
    struct weir_buffer b;
    struct weir_json j;

    (void)state;
    weir_buffer_init(&b, 1000);
    weir_json_begin(&j, &b);
    j.nan_as_text = true;
    weir_json_array_begin(&j);
    weir_json_double(&j, (double)NAN);
    weir_json_double(&j, (double)INFINITY);
    weir_json_double(&j, -(double)INFINITY);
    weir_json_array_end(&j);
    assert_int_equal(weir_json_end(&j), WEIR_OK);
    assert_string_equal(weir_buffer_text(&b), "[\"NaN\",\"Infinity\",\"-Infinity\"]");
    weir_buffer_release(&b);
}

static void the_first_error_is_kept_to_the_end(void **state)
{
    struct weir_buffer b;

    (void)state;
    weir_buffer_init(&b, 20);
    assert_int_equal(write_sample(&b), WEIR_LIMIT);
    weir_buffer_release(&b);
    for (uint64_t n = 1;; n++) {
        struct weir_alloc_counts counts;
        enum weir_err err;
        weir_buffer_init(&b, 1000);
        weir_alloc_watch_start(n);
        err = write_sample(&b);
        weir_buffer_release(&b);
        counts = weir_alloc_watch_stop();
        assert_int_equal(err, counts.failed > 0 ? WEIR_NOMEM : WEIR_OK);
        if (counts.failed == 0)
            break;
    }
}

static enum weir_err read_text(const char *text, const struct weir_json_limits *limits,
                               struct weir_error *error)
{
    json_t *root = NULL;
    enum weir_err err = weir_json_read(weir_slice(text, strlen(text)), limits, &root, error);

    if (err == WEIR_OK)
        json_decref(root);
    return err;
}

static void what_is_written_reads_back(void **state)
{
    struct weir_buffer b;
    json_t *root = NULL;

    (void)state;
    weir_buffer_init(&b, 1000);
    assert_int_equal(write_sample(&b), WEIR_OK);
    /* 2^64 - 1 is more than jansson's integers hold. */
    assert_int_equal(weir_json_read(weir_buffer_slice(&b), NULL, &root, NULL), WEIR_PARSE);
    weir_buffer_release(&b);
    assert_int_equal(weir_json_read(weir_slice("{\"x\":[0.1]}", 11), NULL, &root, NULL), WEIR_OK);
    assert_true(json_real_value(json_array_get(json_object_get(root, "x"), 0)) == 0.1);
    json_decref(root);
}

static void the_reader_keeps_to_its_caps(void **state)
{
    const struct weir_json_limits limits = {.bytes_max = 30, .depth_max = 3, .values_max = 6};
    struct weir_error error;

    (void)state;
    assert_int_equal(read_text("[[[1]]]", &limits, NULL), WEIR_OK);
    assert_int_equal(read_text("[[[[1]]]]", &limits, &error), WEIR_LIMIT);
    assert_string_equal(error.message, "JSON is nested deeper than 3");
    assert_int_equal(read_text("[1,2,3,4]", &limits, NULL), WEIR_OK);
    assert_int_equal(read_text("[1,2,3,4,5,6]", &limits, NULL), WEIR_LIMIT);
    assert_int_equal(read_text("\"[[[[,,,,,,,\\\"[[[[\"", &limits, NULL), WEIR_OK);
    assert_int_equal(read_text("\"1234567890123456789012345678901\"", &limits, NULL), WEIR_LIMIT);
}

static void malformed_json_is_refused_with_its_line(void **state)
{
    static const char *const texts[] = {"",    "{",     "[1,]",        "{\"a\":1,\"a\":2}",
                                        "nul", "[1] x", "\"\xff\"",    "{\"a\" 1}",
                                        "'a'", "[01]",  "\"\\u0000\"", "[1e999]"};
    struct weir_error error;

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(texts); i++)
        assert_int_equal(read_text(texts[i], NULL, &error), WEIR_PARSE);
    assert_int_equal(read_text("[1,\n2,\n,]", NULL, &error), WEIR_PARSE);
    assert_int_equal(error.position, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_and_nesting_are_right),
        cmocka_unit_test(texts_are_escaped_and_always_utf8),
        cmocka_unit_test(numbers_that_are_none_can_be_texts),
        cmocka_unit_test(the_first_error_is_kept_to_the_end),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(the_reader_keeps_to_its_caps),
        cmocka_unit_test(malformed_json_is_refused_with_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
