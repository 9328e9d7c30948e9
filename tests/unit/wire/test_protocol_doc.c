/* docs/protocol.md says what the table of requests says: no less, no more. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/api.h"

static void the_page_lists_the_table(void **state)
{
    (void)state;
    const char *source = getenv("WEIR_SOURCE_DIR");
    char path[512], line[512];
    if (!source)
        skip();
    snprintf(path, sizeof path, "%s/docs/protocol.md", source);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t row = 0;
    while (fgets(line, sizeof line, file)) {
        int key, from, to;
        char name[64];
        if (sscanf(line, "| %d | %63[A-Za-z] | %d-%d |", &key, name, &from, &to) != 4)
            continue;
        assert_true(row < wire_api_count);
        const struct wire_api *api = &wire_apis[row++];
        print_message("%s\n", api->name);
        assert_int_equal(key, api->key);
        assert_string_equal(name, api->name);
        assert_int_equal(from, api->min);
        assert_int_equal(to, api->max);
    }
    fclose(file);
    assert_int_equal(row, wire_api_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_page_lists_the_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
