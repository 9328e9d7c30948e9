/* The allocator seam, arenas, buffers. */
#include "cmocka_all.h"

#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buffer.h"

static void the_watch_fails_one_allocation_and_counts(void **state)
{
    void *a, *b, *c;
    struct weir_alloc_counts counts;

    (void)state;
    weir_alloc_watch_start(2);
    a = weir_alloc(1);
    b = weir_calloc(1, 1);
    c = weir_strdup("x");
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    weir_free(a);
    weir_free(NULL);
    weir_free(c);
    counts = weir_alloc_watch_stop();
    assert_int_equal(counts.allocations, 3);
    assert_int_equal(counts.failed, 1);
    assert_int_equal(counts.frees, 2);
}

static void sizes_that_overflow_give_null(void **state)
{
    (void)state;
    assert_null(weir_realloc_array(NULL, SIZE_MAX / 2, 3));
    /* Through a volatile: the compiler knows calloc, and warns of what is meant here. */
    volatile size_t many = SIZE_MAX / 2;
    assert_null(weir_calloc(many, 3));
}

static void aligned_memory_is_aligned(void **state)
{
    (void)state;
    for (size_t alignment = 8; alignment <= 4096; alignment *= 2) {
        void *memory = weir_alloc_aligned(alignment, 10);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % alignment, 0);
        weir_free(memory);
    }
}

static void arena_memory_is_aligned_apart_and_stays(void **state)
{
    struct weir_arena arena;
    char *pieces[200];

    (void)state;
    weir_arena_init(&arena, 10 << 20);
    for (int i = 0; i < 200; i++) {
        size_t bytes = (size_t)i * 37;
        pieces[i] = weir_arena_alloc(&arena, bytes);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], i, bytes);
    }
    for (int i = 0; i < 200; i++)
        for (size_t j = 0; j < (size_t)i * 37; j++)
            assert_int_equal((unsigned char)pieces[i][j], i);
    void *wide = weir_arena_alloc_aligned(&arena, 4096, 5000);
    assert_int_equal((uintptr_t)wide % 4096, 0);
    assert_string_equal(weir_arena_copy_text(&arena, "abcdef", 3), "abc");
    weir_arena_release(&arena);
}

static void an_arena_keeps_to_its_ceiling_and_says_so(void **state)
{
    struct weir_arena arena;
    size_t count = 0;

    (void)state;
    weir_arena_init(&arena, 20000);
    while (weir_arena_alloc(&arena, 100) != NULL)
        count++;
    assert_true(count * 112 > 20000 * 3 / 4);
    assert_true(arena.bytes_taken <= 20000);
    assert_true(weir_arena_full(&arena));
    weir_arena_reset(&arena);
    assert_false(weir_arena_full(&arena));
    assert_non_null(weir_arena_alloc(&arena, 100));
    assert_null(weir_arena_calloc(&arena, SIZE_MAX / 4, 8));
    assert_null(weir_arena_alloc(&arena, SIZE_MAX - 8));
    weir_arena_release(&arena);
}

static void a_reset_arena_allocates_nothing_in_the_next_round(void **state)
{
    struct weir_arena arena;

    (void)state;
    weir_arena_init(&arena, 1 << 20);
    for (int i = 0; i < 50; i++)
        assert_non_null(weir_arena_alloc(&arena, 1000));
    weir_arena_reset(&arena);
    weir_alloc_watch_start(0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++)
            assert_non_null(weir_arena_alloc(&arena, 1000));
        weir_arena_reset(&arena);
    }
    assert_int_equal(weir_alloc_watch_stop().allocations, 0);
    weir_arena_release(&arena);
}

static void an_arena_survives_every_failing_allocation(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct weir_arena arena;
        struct weir_alloc_counts counts;
        int got = 0;

        weir_arena_init(&arena, 1 << 20);
        weir_alloc_watch_start(n);
        for (int i = 0; i < 40; i++)
            got += weir_arena_alloc(&arena, 1000) != NULL;
        weir_arena_release(&arena);
        counts = weir_alloc_watch_stop();
        assert_false(weir_arena_full(&arena));
        assert_int_equal(got, counts.failed > 0 ? 39 : 40);
        if (counts.failed == 0)
            break;
    }
}

static void a_buffer_grows_and_ends_in_nul(void **state)
{
    struct weir_buffer b;

    (void)state;
    weir_buffer_init(&b, 1 << 20);
    assert_string_equal(weir_buffer_text(&b), "");
    assert_int_equal(weir_buffer_slice(&b).bytes, 0);
    assert_non_null(weir_buffer_slice(&b).data);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(weir_buffer_appendf(&b, "%d,", i), WEIR_OK);
        assert_int_equal(strlen(weir_buffer_text(&b)), b.bytes);
    }
    assert_memory_equal(b.data + b.bytes - 4, "999,", 4);
    weir_buffer_consume(&b, b.bytes - 4);
    assert_string_equal(weir_buffer_text(&b), "999,");
    weir_buffer_truncate(&b, 2);
    assert_string_equal(weir_buffer_text(&b), "99");
    uint8_t *taken = weir_buffer_detach(&b);
    assert_string_equal((char *)taken, "99");
    weir_free(taken);
    assert_int_equal(b.bytes, 0);
    weir_buffer_release(&b);
}

static void a_buffer_keeps_to_its_ceiling_and_its_content(void **state)
{
    struct weir_buffer b;

    (void)state;
    weir_buffer_init(&b, 10);
    assert_int_equal(weir_buffer_append(&b, "12345678", 8), WEIR_OK);
    assert_int_equal(weir_buffer_append(&b, "abc", 3), WEIR_LIMIT);
    assert_int_equal(weir_buffer_appendf(&b, "%s", "abc"), WEIR_LIMIT);
    assert_int_equal(weir_buffer_reserve(&b, SIZE_MAX), WEIR_LIMIT);
    assert_string_equal(weir_buffer_text(&b), "12345678");
    assert_int_equal(weir_buffer_appendf(&b, "%s", "ab"), WEIR_OK);
    assert_string_equal(weir_buffer_text(&b), "12345678ab");
    assert_int_equal(weir_buffer_append_byte(&b, 'c'), WEIR_LIMIT);
    weir_buffer_release(&b);
}

static void a_buffer_survives_every_failing_allocation(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct weir_buffer b;
        struct weir_alloc_counts counts;
        size_t bytes = 0;

        weir_buffer_init(&b, 1 << 20);
        weir_alloc_watch_start(n);
        for (int i = 0; i < 100; i++)
            if (weir_buffer_appendf(&b, "%020d", i) == WEIR_OK)
                bytes += 20;
        assert_int_equal(b.bytes, bytes);
        assert_int_equal(strlen(weir_buffer_text(&b)), bytes);
        weir_buffer_release(&b);
        counts = weir_alloc_watch_stop();
        if (counts.failed == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_watch_fails_one_allocation_and_counts),
        cmocka_unit_test(sizes_that_overflow_give_null),
        cmocka_unit_test(aligned_memory_is_aligned),
        cmocka_unit_test(arena_memory_is_aligned_apart_and_stays),
        cmocka_unit_test(an_arena_keeps_to_its_ceiling_and_says_so),
        cmocka_unit_test(a_reset_arena_allocates_nothing_in_the_next_round),
        cmocka_unit_test(an_arena_survives_every_failing_allocation),
        cmocka_unit_test(a_buffer_grows_and_ends_in_nul),
        cmocka_unit_test(a_buffer_keeps_to_its_ceiling_and_its_content),
        cmocka_unit_test(a_buffer_survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
