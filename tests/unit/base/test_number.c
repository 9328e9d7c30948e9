/* Numbers from and to text. */
#include "cmocka_all.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/number.h"

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static enum weir_err parse(const char *text, double *out)
{
    return weir_parse_double(weir_slice(text, strlen(text)), out);
}

static void doubles_are_read_as_strtod_reads_them(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "+1",
        "1.",
        ".5",
        "1e5",
        "1E+5",
        "1e-5",
        "00012.500",
        "9007199254740993",
        "123456789012345678901234567890",
        "0.1",
        "1e22",
        "1e23",
        "-1e-22",
        "5e-324",
        "1e-400",
        "1e400",
        "2.2250738585072011e-308",
        "179769313486231580793728971405301e277",
        "0.000000000000000000000000000000000000000000000000000000000000000000001",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "18446744073709551616",
        "9999999999999999999999",
        "1000000000000000000000000"};

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(texts); i++) {
        double value = 0;
        assert_int_equal(parse(texts[i], &value), WEIR_OK);
        assert_int_equal(bits_of(value), bits_of(strtod(texts[i], NULL)));
    }
}

static void words_for_what_is_no_number_are_read(void **state)
{
    double value;

    (void)state;
    assert_int_equal(parse("NaN", &value), WEIR_OK);
    assert_true(isnan(value));
    assert_int_equal(parse("INF", &value), WEIR_OK);
    assert_true(isinf(value) && value > 0);
    assert_int_equal(parse("-INF", &value), WEIR_OK);
    assert_true(isinf(value) && value < 0);
    assert_int_equal(parse("+Infinity", &value), WEIR_OK);
    assert_true(isinf(value) && value > 0);
}

static void what_is_not_a_number_is_refused(void **state)
{
    static const char *const texts[] = {"",    " 1",  "1 ",    "+",    "-",    ".",
                                        "e5",  "1e",  "1e+",   "0x1",  "1,5",  "1_0",
                                        "--1", "+-1", "1.2.3", "nanx", "inf1", "1d"};
    char longest[1100];
    double value;

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(texts); i++)
        assert_int_equal(parse(texts[i], &value), WEIR_PARSE);
    assert_int_equal(weir_parse_double(weir_slice("1\0", 2), &value), WEIR_PARSE);
    memset(longest, '1', sizeof longest);
    assert_int_equal(weir_parse_double(weir_slice(longest, 1024), &value), WEIR_OK);
    assert_int_equal(weir_parse_double(weir_slice(longest, 1025), &value), WEIR_LIMIT);
}

static void whole_numbers_are_read_within_their_range(void **state)
{
    int64_t value;
    uint64_t unsigned_value;

    (void)state;
    assert_int_equal(weir_parse_int64(weir_slice("-9223372036854775808", 20), &value), WEIR_OK);
    assert_true(value == INT64_MIN);
    assert_int_equal(weir_parse_int64(weir_slice("+9223372036854775807", 20), &value), WEIR_OK);
    assert_true(value == INT64_MAX);
    assert_int_equal(weir_parse_int64(weir_slice("9223372036854775808", 19), &value), WEIR_LIMIT);
    assert_int_equal(weir_parse_int64(weir_slice("-9223372036854775809", 20), &value), WEIR_LIMIT);
    assert_int_equal(weir_parse_int64(weir_slice("-", 1), &value), WEIR_PARSE);
    assert_int_equal(weir_parse_int64(weir_slice("1.0", 3), &value), WEIR_PARSE);
    assert_int_equal(weir_parse_int64(weir_slice("", 0), &value), WEIR_PARSE);
    assert_int_equal(weir_parse_uint64(weir_slice("18446744073709551615", 20), &unsigned_value),
                     WEIR_OK);
    assert_true(unsigned_value == UINT64_MAX);
    assert_int_equal(weir_parse_uint64(weir_slice("18446744073709551616", 20), &unsigned_value),
                     WEIR_LIMIT);
    assert_int_equal(weir_parse_uint64(weir_slice("-1", 2), &unsigned_value), WEIR_PARSE);
}

static void check_round_trip(double value)
{
    char text[WEIR_NUMBER_TEXT_MAX], java[WEIR_NUMBER_TEXT_MAX];
    size_t bytes = weir_format_double(text, value);
    double back = 0;

    assert_int_equal(bytes, strlen(text));
    assert_int_equal(weir_parse_double(weir_slice(text, bytes), &back), WEIR_OK);
    assert_int_equal(bits_of(back), bits_of(value));
    assert_int_equal(bits_of(strtod(text, NULL)), bits_of(value));
    bytes = weir_format_double_java(java, value);
    assert_int_equal(bytes, strlen(java));
    assert_int_equal(bits_of(strtod(java, NULL)), bits_of(value));
}

static void doubles_read_back_equal(void **state)
{
    uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    check_round_trip(DBL_MAX);
    check_round_trip(DBL_MIN);
    check_round_trip(DBL_TRUE_MIN);
    check_round_trip(-0.0);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = next_random(&seed);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            check_round_trip(value);
        check_round_trip((double)(int64_t)(bits >> 40) / 1000);
        check_round_trip((double)(bits % 100000000) * 1e-7);
        check_round_trip((double)bits * 1e-15);
    }
}

static void short_numbers_are_written_short(void **state)
{
    static const struct {
        double value;
        const char *plain, *java;
    } cases[] = {
        {0, "0", "0.0"},
        {-0.0, "-0", "-0.0"},
        {6, "6", "6.0"},
        {0.1, "0.1", "0.1"},
        {100, "100", "100.0"},
        {5.67910447761194, "5.67910447761194", "5.67910447761194"},
        {1.0 / 3, "0.3333333333333333", "0.3333333333333333"},
        {1e7, "10000000", "1.0E7"},
        {9999999, "9999999", "9999999.0"},
        {1e-3, "0.001", "0.001"},
        {1e-5, "0.00001", "1.0E-5"},
        {1.5e-6, "1.5e-06", "1.5E-6"},
        {1e22, "1e+22", "1.0E22"},
        {123456789012345680.0, "1.2345678901234568e+17", "1.2345678901234568E17"},
        {DBL_TRUE_MIN, "5e-324", "4.9E-324"},
        {DBL_MAX, "1.7976931348623157e+308", "1.7976931348623157E308"},
        {-2.5, "-2.5", "-2.5"},
    };
    char text[WEIR_NUMBER_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(cases); i++) {
        weir_format_double(text, cases[i].value);
        assert_string_equal(text, cases[i].plain);
        weir_format_double_java(text, cases[i].value);
        assert_string_equal(text, cases[i].java);
    }
    weir_format_double(text, (double)NAN);
    assert_string_equal(text, "nan");
    weir_format_double_java(text, -(double)INFINITY);
    assert_string_equal(text, "-Infinity");
    weir_format_int64(text, INT64_MIN);
    assert_string_equal(text, "-9223372036854775808");
    weir_format_int64(text, 0);
    assert_string_equal(text, "0");
}

static void a_locale_with_commas_changes_nothing(void **state)
{
    char text[WEIR_NUMBER_TEXT_MAX];
    double value = 0;

    (void)state;
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL)
        print_message("de_DE.UTF-8 is not installed: checked in the C locale only\n");
    weir_format_double(text, 1.0 / 3);
    assert_string_equal(text, "0.3333333333333333");
    assert_int_equal(parse("0.33333333333333331483", &value), WEIR_OK);
    assert_true(value == 1.0 / 3);
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_read_as_strtod_reads_them),
        cmocka_unit_test(words_for_what_is_no_number_are_read),
        cmocka_unit_test(what_is_not_a_number_is_refused),
        cmocka_unit_test(whole_numbers_are_read_within_their_range),
        cmocka_unit_test(doubles_read_back_equal),
        cmocka_unit_test(short_numbers_are_written_short),
        cmocka_unit_test(a_locale_with_commas_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
