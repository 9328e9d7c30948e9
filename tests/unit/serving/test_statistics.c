/* The figures of a model version add up, from any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>

#include <cmocka.h>

#include "serving/statistics.h"

enum { THREADS = 4, BLOCKS = 20000 };

static void a_fresh_one_is_all_zeroes(void **state)
{
    struct statistics statistics = {0};
    (void)state;
    struct statistics_copy copy = statistics_read(&statistics);
    assert_int_equal(copy.usage, 0);
    assert_int_equal(copy.errors, 0);
    assert_int_equal(copy.duration_ns, 0);
    assert_int_equal(copy.min_ns, 0);
    assert_int_equal(copy.max_ns, 0);
}

static void a_blocks_time_is_shared_by_its_rows(void **state)
{
    struct statistics statistics = {0};
    (void)state;
    statistics_record(&statistics, 10, 3, 1000);
    statistics_record(&statistics, 1, 0, 40);
    statistics_record(&statistics, 2, 2, 600);
    struct statistics_copy copy = statistics_read(&statistics);
    assert_int_equal(copy.usage, 13);
    assert_int_equal(copy.errors, 5);
    assert_int_equal(copy.duration_ns, 1640);
    assert_int_equal(copy.min_ns, 40);
    assert_int_equal(copy.max_ns, 300);
}

static void an_empty_block_changes_nothing(void **state)
{
    struct statistics statistics = {0};
    (void)state;
    statistics_record(&statistics, 0, 0, 5000);
    assert_int_equal(statistics_read(&statistics).max_ns, 0);
    assert_int_equal(statistics_read(&statistics).duration_ns, 0);
}

static void a_time_of_zero_is_a_minimum_too(void **state)
{
    struct statistics statistics = {0};
    (void)state;
    statistics_record(&statistics, 4, 0, 0);
    statistics_record(&statistics, 1, 0, 7);
    assert_int_equal(statistics_read(&statistics).min_ns, 0);
    assert_int_equal(statistics_read(&statistics).max_ns, 7);
}

static void merging_adds_and_keeps_the_extremes(void **state)
{
    struct statistics_copy into = {0}, unused = {0};
    const struct statistics_copy a = {10, 1, 500, 20, 80}, b = {5, 0, 100, 10, 30};
    (void)state;
    statistics_merge(&into, &a);
    statistics_merge(&into, &unused); /* its minimum of 0 means nothing */
    statistics_merge(&into, &b);
    assert_int_equal(into.usage, 15);
    assert_int_equal(into.errors, 1);
    assert_int_equal(into.duration_ns, 600);
    assert_int_equal(into.min_ns, 10);
    assert_int_equal(into.max_ns, 80);
}

static void *write_blocks(void *argument)
{
    for (uint64_t i = 1; i <= BLOCKS; i++)
        statistics_record(argument, 2, 1, 2 * i);
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    struct statistics statistics = {0};
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_blocks, &statistics), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct statistics_copy copy = statistics_read(&statistics);
    assert_int_equal(copy.usage, 2 * THREADS * BLOCKS);
    assert_int_equal(copy.errors, THREADS * BLOCKS);
    assert_int_equal(copy.duration_ns, (uint64_t)THREADS * BLOCKS * (BLOCKS + 1));
    assert_int_equal(copy.min_ns, 1);
    assert_int_equal(copy.max_ns, BLOCKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_one_is_all_zeroes),
        cmocka_unit_test(a_blocks_time_is_shared_by_its_rows),
        cmocka_unit_test(an_empty_block_changes_nothing),
        cmocka_unit_test(a_time_of_zero_is_a_minimum_too),
        cmocka_unit_test(merging_adds_and_keeps_the_extremes),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
