/* The .properties format, as java.util.Properties reads it. */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/properties.h"

static enum weir_err put_pair(void *opaque, const char *key, const char *value, int64_t line,
                              struct weir_error *error)
{
    (void)error;
    return weir_buffer_appendf(opaque, "%lld:[%s][%s] ", (long long)line, key, value);
}

static void check(const char *text, const char *expected)
{
    struct weir_buffer b;
    struct weir_error error = {.message = ""};

    weir_buffer_init(&b, 10000);
    if (weir_properties_read(weir_slice(text, strlen(text)), put_pair, &b, &error) != WEIR_OK)
        fail_msg("%s: %s", text, error.message);
    assert_string_equal(weir_buffer_text(&b), expected);
    weir_buffer_release(&b);
}

static void pairs_are_read_as_java_reads_them(void **state)
{
    (void)state;
    check("", "");
    check("a=b", "1:[a][b] ");
    check("a:b\nc d\r\ne\tf\rg", "1:[a][b] 2:[c][d] 3:[e][f] 4:[g][] ");
    check("  a  =  b c  \n", "1:[a][b c  ] ");
    check("a==b\nc:=d\ne =:f", "1:[a][=b] 2:[c][=d] 3:[e][:f] ");
    check("# no\n  ! no \\\n\nx=#y!", "4:[x][#y!] ");
    check("a=1,\\\n   2,\\\r\n\t3\nb=4", "1:[a][1,2,3] 4:[b][4] ");
    check("a=b\\\\\nc=d", "1:[a][b\\] 2:[c][d] ");
    check("a\\ b\\=c\\:d = e\\tf\\ng\\\\h\\q", "1:[a b=c:d][e\tf\ng\\hq] ");
    check("a=\\u00e4\\uD83D\\uDE00", "1:[a][\xC3\xA4\xF0\x9F\x98\x80] ");
    check("=x", "1:[][x] ");
    check("a=b\\", "1:[a][b] ");
    check("a=\\\n# not a comment\nb", "1:[a][# not a comment] 3:[b][] ");
    check("\xEF\xBB\xBF"
          "a=\xC3\xA4",
          "1:[a][\xC3\xA4] ");
}

static void malformed_text_is_refused_with_its_line(void **state)
{
    static const char *const texts[] = {"\na=\\u12", "\na=\\uD83D", "\na=\\uDE00x", "\na=\\u0000",
                                        "\na=\xff",  "\n\xC3=x",    "\na=\\\xC3"};
    struct weir_buffer b;
    struct weir_error error;

    (void)state;
    weir_buffer_init(&b, 10000);
    for (size_t i = 0; i < WEIR_ARRAY_COUNT(texts); i++) {
        assert_int_equal(
            weir_properties_read(weir_slice(texts[i], strlen(texts[i])), put_pair, &b, &error),
            WEIR_PARSE);
        assert_int_equal(error.position, 2);
    }
    assert_int_equal(weir_properties_read(weir_slice("a=\0b", 4), put_pair, &b, &error),
                     WEIR_PARSE);
    weir_buffer_release(&b);
}

static void long_lines_meet_the_ceiling(void **state)
{
    static char text[WEIR_PROPERTIES_BYTES_MAX + 1];
    struct weir_buffer b;

    (void)state;
    memset(text, 'x', sizeof text);
    weir_buffer_init(&b, 10000);
    assert_int_equal(
        weir_properties_read(weir_slice(text, WEIR_PROPERTIES_LINE_MAX), put_pair, &b, NULL),
        WEIR_LIMIT);
    assert_int_equal(weir_properties_read(weir_slice(text, sizeof text), put_pair, &b, NULL),
                     WEIR_LIMIT);
    weir_buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_read_as_java_reads_them),
        cmocka_unit_test(malformed_text_is_refused_with_its_line),
        cmocka_unit_test(long_lines_meet_the_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
