/* The hash map, against a plain list. */
#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/random.h"

static struct weir_slice key_of(char text[16], int number)
{
    return weir_slice(text, (size_t)snprintf(text, 16, "key-%d", number));
}

static void what_was_put_is_found_and_else_nothing(void **state)
{
    struct weir_map map;
    int a, b;

    (void)state;
    weir_map_init(&map, 100);
    assert_null(weir_map_get_text(&map, "a"));
    assert_null(weir_map_next(&map, NULL));
    assert_int_equal(weir_map_put_text(&map, "a", &a), WEIR_OK);
    assert_int_equal(weir_map_put(&map, weir_slice("", 0), &b), WEIR_OK);
    assert_int_equal(weir_map_put(&map, weir_slice("a\0b", 3), &b), WEIR_OK);
    assert_ptr_equal(weir_map_get_text(&map, "a"), &a);
    assert_ptr_equal(weir_map_get(&map, weir_slice("", 0)), &b);
    assert_ptr_equal(weir_map_get(&map, weir_slice("a\0b", 3)), &b);
    assert_null(weir_map_get(&map, weir_slice("a\0c", 3)));
    assert_int_equal(weir_map_put_text(&map, "a", &b), WEIR_OK);
    assert_ptr_equal(weir_map_get_text(&map, "a"), &b);
    assert_int_equal(weir_map_count(&map), 3);
    weir_map_release(&map);
}

static void random_changes_give_what_a_plain_list_gives(void **state)
{
    enum { KEYS = 300 };
    uint64_t model[KEYS] = {0}; /* 0 = absent */
    struct weir_map map;
    struct weir_random random = {4711};
    char text[16];
    uint32_t count = 0;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)random.state);
    weir_map_init(&map, 1000);
    for (uint64_t step = 1; step <= 20000; step++) {
        int number = (int)weir_random_below(&random, KEYS);
        struct weir_slice key = key_of(text, number);
        struct weir_map_entry *entry;
        union weir_map_value old = {.number = 0};
        bool added;
        if (weir_random_below(&random, 2) == 0) {
            assert_int_equal(weir_map_add(&map, key, &entry, &added), WEIR_OK);
            assert_int_equal(added, model[number] == 0);
            assert_int_equal(entry->value.number, model[number]);
            count += added;
            model[number] = entry->value.number = step;
        } else {
            assert_int_equal(weir_map_remove(&map, key, &old), model[number] != 0);
            assert_int_equal(old.number, model[number]);
            count -= model[number] != 0;
            model[number] = 0;
        }
        assert_int_equal(weir_map_count(&map), count);
    }
    for (int i = 0; i < KEYS; i++) {
        struct weir_map_entry *entry = weir_map_find(&map, key_of(text, i));
        assert_int_equal(entry != NULL ? entry->value.number : 0, model[i]);
    }
    assert_true(map.entry_capacity <= 1024); /* gaps are closed, tables don't grow for ever */
    weir_map_release(&map);
}

static void the_walk_follows_insertion_and_may_remove(void **state)
{
    struct weir_map map;
    char text[16];
    int expected = 0;

    (void)state;
    weir_map_init(&map, 100);
    for (int i = 0; i < 100; i++) {
        struct weir_map_entry *entry;
        assert_int_equal(weir_map_add(&map, key_of(text, i), &entry, NULL), WEIR_OK);
        entry->value.number = (uint64_t)i;
    }
    for (struct weir_map_entry *e = NULL; (e = weir_map_next(&map, e)) != NULL; expected++) {
        assert_int_equal(e->value.number, expected);
        assert_string_equal(e->key, (char *)key_of(text, expected).data);
        if (expected % 2 == 0)
            assert_true(weir_map_remove(&map, weir_slice(e->key, e->key_bytes), NULL));
    }
    assert_int_equal(expected, 100);
    assert_int_equal(weir_map_count(&map), 50);
    weir_map_clear(&map);
    assert_int_equal(weir_map_count(&map), 0);
    assert_null(weir_map_find(&map, key_of(text, 1)));
    weir_map_release(&map);
}

static void the_ceiling_counts_what_lives(void **state)
{
    struct weir_map map;
    int value;

    (void)state;
    weir_map_init(&map, 2);
    assert_int_equal(weir_map_put_text(&map, "a", &value), WEIR_OK);
    assert_int_equal(weir_map_put_text(&map, "b", &value), WEIR_OK);
    assert_int_equal(weir_map_put_text(&map, "c", &value), WEIR_LIMIT);
    assert_int_equal(weir_map_put_text(&map, "a", NULL), WEIR_OK);
    assert_true(weir_map_remove(&map, weir_slice("a", 1), NULL));
    assert_int_equal(weir_map_put_text(&map, "c", &value), WEIR_OK);
    weir_map_release(&map);
}

static void every_failing_allocation_leaves_the_map_whole(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct weir_map map;
        struct weir_alloc_counts counts;
        char text[16];
        uint32_t put = 0;

        weir_map_init(&map, 100);
        weir_alloc_watch_start(n);
        for (int i = 0; i < 50; i++) {
            enum weir_err err = weir_map_put(&map, key_of(text, i), &map);
            assert_true(err == WEIR_OK || err == WEIR_NOMEM);
            put += err == WEIR_OK;
            assert_ptr_equal(weir_map_get(&map, key_of(text, i)), err == WEIR_OK ? &map : NULL);
        }
        assert_int_equal(weir_map_count(&map), put);
        weir_map_release(&map);
        counts = weir_alloc_watch_stop();
        assert_int_equal(put, 50 - counts.failed);
        if (counts.failed == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found_and_else_nothing),
        cmocka_unit_test(random_changes_give_what_a_plain_list_gives),
        cmocka_unit_test(the_walk_follows_insertion_and_may_remove),
        cmocka_unit_test(the_ceiling_counts_what_lives),
        cmocka_unit_test(every_failing_allocation_leaves_the_map_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
