/* Error codes, details and the log callback. */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include <weir/base.h>

static void codes_have_names_and_texts(void **state)
{
    (void)state;
    assert_string_equal(weir_err_name(WEIR_OK), "OK");
    assert_string_equal(weir_err_name(WEIR_NO_MODEL), "NO_MODEL");
    assert_string_equal(weir_err_name(WEIR_ERR_COUNT), "UNKNOWN");
    assert_string_equal(weir_err_name((enum weir_err) - 1), "UNKNOWN");
    for (int i = 0; i < WEIR_ERR_COUNT; i++)
        assert_true(strlen(weir_err_text((enum weir_err)i)) > 0);
    assert_string_equal(weir_version(), WEIR_VERSION);
}

static void an_error_keeps_code_position_and_message(void **state)
{
    struct weir_error error;

    (void)state;
    memset(&error, 0xff, sizeof error);
    assert_int_equal(weir_error_set(&error, WEIR_PARSE, 12, "a %s", "b"), WEIR_PARSE);
    assert_int_equal(error.code, WEIR_PARSE);
    assert_int_equal(error.position, 12);
    assert_false(error.retriable);
    assert_false(error.fatal);
    assert_string_equal(error.message, "a b");
    weir_error_context(&error, "file %d", 7);
    assert_string_equal(error.message, "file 7: a b");
    assert_int_equal(error.code, WEIR_PARSE);
    assert_int_equal(weir_error_set(NULL, WEIR_IO, 0, "%s", ""), WEIR_IO);
    weir_error_context(NULL, "x");
}

static void control_characters_are_escaped(void **state)
{
    struct weir_error error;

    (void)state;
    weir_error_set(&error, WEIR_PARSE, -1, "%s", "a\nb\tc\x1b\x7f");
    assert_string_equal(error.message, "a\\nb\\tc\\x1b\\x7f");
    weir_error_context(&error, "x");
    assert_string_equal(error.message, "x: a\\nb\\tc\\x1b\\x7f");
}

static void long_messages_are_cut_where_a_character_ends(void **state)
{
    struct weir_error error;
    char text[1000];

    (void)state;
    memset(text, 'x', sizeof text);
    text[999] = '\0';
    weir_error_set(&error, WEIR_PARSE, -1, "%s", text);
    assert_int_equal(strlen(error.message), WEIR_ERROR_TEXT_MAX - 1);
    assert_string_equal(error.message + WEIR_ERROR_TEXT_MAX - 4, "...");
    for (size_t shift = 0; shift < 3; shift++) {
        for (size_t i = 0; i < 330; i++)
            memcpy(text + shift + 3 * i, "\xE2\x82\xAC", 3);
        weir_error_set(&error, WEIR_PARSE, -1, "%s", text);
        size_t bytes = strlen(error.message);
        assert_string_equal(error.message + bytes - 3, "...");
        assert_int_equal((unsigned char)error.message[bytes - 4], 0xAC);
    }
}

static void null_is_not_empty(void **state)
{
    (void)state;
    assert_true(weir_slice_equal(weir_slice(NULL, 0), weir_slice(NULL, 0)));
    assert_false(weir_slice_equal(weir_slice(NULL, 0), weir_slice("", 0)));
    assert_true(weir_slice_equal(weir_slice("abc", 3), weir_slice("abd", 2)) == false);
    assert_true(weir_slice_equal(weir_slice("abc", 2), weir_slice("abd", 2)));
}

struct seen {
    int count;
    char message[64];
};

static void take_message(void *opaque, enum weir_log_level level, const char *area,
                         const char *message)
{
    struct seen *seen = opaque;

    (void)level;
    assert_string_equal(area, "test");
    seen->count++;
    snprintf(seen->message, sizeof seen->message, "%s", message);
}

static void the_log_drops_what_is_above_its_level_and_keeps_one_line(void **state)
{
    struct seen seen = {.count = 0};
    struct weir_log log = {take_message, &seen, WEIR_LOG_WARN}, none = {.write = NULL};

    (void)state;
    weir_log(&log, WEIR_LOG_INFO, "test", "no");
    assert_int_equal(seen.count, 0);
    weir_log(&log, WEIR_LOG_WARN, "test", "a%sb", "\n");
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.message, "a b");
    weir_log(NULL, WEIR_LOG_ERROR, "test", "x");
    weir_log(&none, WEIR_LOG_ERROR, "test", "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_have_names_and_texts),
        cmocka_unit_test(an_error_keeps_code_position_and_message),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(long_messages_are_cut_where_a_character_ends),
        cmocka_unit_test(null_is_not_empty),
        cmocka_unit_test(the_log_drops_what_is_above_its_level_and_keeps_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
