/* The ordered map against a sorted array, by seed. */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#include "base/alloc.h"
#include "streams/store/tree.h"

enum { KEYS_MAX = 3000, KEY_BYTES_MAX = 12 };

struct item {
    struct tree_entry entry;
    uint8_t bytes[KEY_BYTES_MAX];
};

/* The plain one: pointers in order. */
struct plain {
    struct item *items[KEYS_MAX];
    size_t count;
};

static size_t plain_rank(const struct plain *plain, struct weir_slice key)
{
    size_t at = 0;

    while (at < plain->count && tree_compare(plain->items[at]->entry.key, key) < 0)
        at++;
    return at;
}

static bool plain_has(const struct plain *plain, size_t at, struct weir_slice key)
{
    return at < plain->count && weir_slice_equal(plain->items[at]->entry.key, key);
}

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Few letters, so that keys share prefixes, are prefixes of each other, and hold zeros. */
static struct item *random_item(uint64_t *seed, uint32_t spread)
{
    struct item *item = calloc(1, sizeof *item);
    size_t bytes = next_random(seed) % (KEY_BYTES_MAX + 1);

    assert_non_null(item);
    for (size_t i = 0; i < bytes; i++)
        item->bytes[i] = (uint8_t)(next_random(seed) % spread == 0 ? 0 : next_random(seed) % 3);
    item->entry.key = weir_slice(item->bytes, bytes);
    return item;
}

static void check_walks(const struct tree *tree, const struct plain *plain)
{
    struct tree_cursor cursor;
    const struct weir_slice all = {0};
    struct tree_entry *entry = tree_seek(tree, all, false, &cursor);

    assert_int_equal(tree->count, plain->count);
    for (size_t i = 0; i < plain->count; i++, entry = tree_next(&cursor))
        assert_ptr_equal(entry, &plain->items[i]->entry);
    assert_null(entry);
    entry = tree_seek_back(tree, all, false, &cursor);
    for (size_t i = plain->count; i-- > 0; entry = tree_previous(&cursor))
        assert_ptr_equal(entry, &plain->items[i]->entry);
    assert_null(entry);
}

static void assert_entry(const struct tree_entry *entry, const struct plain *plain, size_t at)
{
    if (at < plain->count)
        assert_ptr_equal(entry, &plain->items[at]->entry);
    else
        assert_null(entry);
}

static void check_seeks(const struct tree *tree, const struct plain *plain, struct weir_slice key)
{
    struct tree_cursor cursor;
    size_t at = plain_rank(plain, key), beyond = at + (plain_has(plain, at, key) ? 1 : 0);

    assert_ptr_equal(tree_find(tree, key), beyond > at ? &plain->items[at]->entry : NULL);
    assert_entry(tree_seek(tree, key, false, &cursor), plain, at);
    assert_entry(tree_seek(tree, key, true, &cursor), plain, beyond);
    assert_entry(tree_seek_back(tree, key, false, &cursor), plain, beyond - 1);
    assert_entry(tree_seek_back(tree, key, true, &cursor), plain, at - 1);
}

static void put(struct tree *tree, struct plain *plain, struct item *item)
{
    struct tree_entry *old;
    size_t at = plain_rank(plain, item->entry.key);

    assert_int_equal(tree_put(tree, &item->entry, &old), WEIR_OK);
    if (plain_has(plain, at, item->entry.key)) {
        assert_ptr_equal(old, &plain->items[at]->entry);
        free(plain->items[at]);
    } else {
        assert_null(old);
        memmove(plain->items + at + 1, plain->items + at,
                (plain->count - at) * sizeof(struct item *));
        plain->count++;
    }
    plain->items[at] = item;
}

static void take(struct tree *tree, struct plain *plain, struct weir_slice key)
{
    size_t at = plain_rank(plain, key);
    struct tree_entry *taken = tree_remove(tree, key);

    if (!plain_has(plain, at, key)) {
        assert_null(taken);
        return;
    }
    assert_ptr_equal(taken, &plain->items[at]->entry);
    free(plain->items[at]);
    plain->count--;
    memmove(plain->items + at, plain->items + at + 1, (plain->count - at) * sizeof(struct item *));
}

static void as_a_sorted_array(void **state)
{
    static struct plain plain;
    struct tree tree;
    uint64_t seed = 7;
    (void)state;

    tree_init(&tree);
    for (int step = 0; step < 40000; step++) {
        /* Waves: mostly puts, then mostly removes. */
        bool putting = next_random(&seed) % 100 < (step / 5000 % 2 == 0 ? 75 : 20);
        struct item *item = random_item(&seed, 4);
        if (putting && plain.count < KEYS_MAX) {
            put(&tree, &plain, item);
        } else {
            take(&tree, &plain, item->entry.key);
            free(item);
        }
        if (step % 16 == 0) {
            struct item *probe = random_item(&seed, 4);
            check_seeks(&tree, &plain, probe->entry.key);
            free(probe);
        }
        if (step % 500 == 0)
            check_walks(&tree, &plain);
    }
    while (plain.count > 0)
        take(&tree, &plain, plain.items[next_random(&seed) % plain.count]->entry.key);
    assert_null(tree.root);
    tree_release(&tree);
}

/* In order and against it, and emptied from either end: as windows come and expire. */
static void in_order(void **state)
{
    static struct item items[KEYS_MAX];
    struct tree tree;
    struct tree_entry *old;
    (void)state;

    for (int way = 0; way < 4; way++) {
        tree_init(&tree);
        for (uint32_t i = 0; i < KEYS_MAX; i++) {
            uint32_t number = way % 2 == 0 ? i : KEYS_MAX - 1 - i;
            for (int byte = 0; byte < 4; byte++)
                items[number].bytes[byte] = (uint8_t)(number >> (24 - 8 * byte));
            items[number].entry.key = weir_slice(items[number].bytes, 4);
            assert_int_equal(tree_put(&tree, &items[number].entry, &old), WEIR_OK);
            assert_null(old);
        }
        for (uint32_t i = 0; i < KEYS_MAX; i++) {
            uint32_t number = way < 2 ? i : KEYS_MAX - 1 - i;
            struct tree_cursor cursor;
            const struct weir_slice all = {0};
            assert_ptr_equal(way < 2 ? tree_seek(&tree, all, false, &cursor)
                                     : tree_seek_back(&tree, all, false, &cursor),
                             &items[number].entry);
            assert_ptr_equal(tree_remove(&tree, items[number].entry.key), &items[number].entry);
        }
        assert_int_equal(tree.count, 0);
        assert_null(tree.root);
    }
}

static void without_memory_it_is_as_before(void **state)
{
    static struct item items[KEYS_MAX];
    struct tree tree;
    uint64_t failures = 0;
    (void)state;

    tree_init(&tree);
    for (uint32_t i = 0; i < KEYS_MAX; i++) {
        struct tree_entry *old;
        struct tree_cursor cursor;
        const struct weir_slice all = {0};
        items[i].bytes[0] = (uint8_t)(i * 7);
        items[i].bytes[1] = (uint8_t)(i >> 8);
        items[i].bytes[2] = (uint8_t)i;
        items[i].entry.key = weir_slice(items[i].bytes, 3);
        for (uint64_t n = 1;; n++) {
            uint64_t count = tree.count, seen = 0;
            weir_alloc_watch_start(n);
            enum weir_err err = tree_put(&tree, &items[i].entry, &old);
            if (weir_alloc_watch_stop().failed == 0) {
                assert_int_equal(err, WEIR_OK);
                break;
            }
            failures++;
            assert_int_equal(err, WEIR_NOMEM);
            for (struct tree_entry *entry = tree_seek(&tree, all, false, &cursor); entry != NULL;
                 entry = tree_next(&cursor))
                seen++;
            assert_int_equal(seen, count);
        }
    }
    assert_true(failures > 50);
    for (uint32_t i = 0; i < KEYS_MAX; i++)
        assert_ptr_equal(tree_find(&tree, items[i].entry.key), &items[i].entry);
    tree_release(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_a_sorted_array),
        cmocka_unit_test(in_order),
        cmocka_unit_test(without_memory_it_is_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
