/* What goes and when: retention by time and size, rolling by age, trimming. */
#include "fixture.h"

static void fill(struct fixture *f, int from, int to, int64_t timestamp)
{
    for (int i = from; i < to; i++)
        append_ok(f, &(struct batch_spec){.value_bytes = 200, .timestamp = timestamp}, i);
}

static void retention_by_time_goes_by_the_newest_record(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 1000; /* three batches */
    f->options.retention_ms = 5000;
    open_log(f, false);
    fill(f, 0, 3, FIXTURE_WALL_MS);
    fill(f, 3, 6, FIXTURE_WALL_MS + 1000);
    fill(f, 6, 7, FIXTURE_WALL_MS + 2000);
    weir_clock_virtual_advance_ms(&f->clock, 5000);
    assert_int_equal(weir_plog_maintain(f->log), 0);
    weir_clock_virtual_advance_ms(&f->clock, 1);
    assert_int_equal(weir_plog_maintain(f->log), 1);
    assert_int_equal(weir_plog_offset_first(f->log), 3);
    reopen(f, true);
    weir_clock_virtual_advance_ms(&f->clock, 1000);
    assert_int_equal(weir_plog_maintain(f->log), 1);
    assert_int_equal(weir_plog_offset_first(f->log), 6);
    /* The active one goes too when all of it is too old; the offsets go on. */
    weir_clock_virtual_advance_ms(&f->clock, 1000);
    assert_int_equal(weir_plog_maintain(f->log), 1);
    assert_int_equal(weir_plog_offset_first(f->log), 7);
    assert_int_equal(weir_plog_offset_next(f->log), 7);
    assert_int_equal(weir_plog_bytes(f->log), 0);
    assert_int_equal(weir_plog_maintain(f->log), 0);
    fill(f, 7, 8, FIXTURE_WALL_MS);
}

static void an_old_segment_behind_a_young_one_stays(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 1000;
    f->options.retention_ms = 5000;
    open_log(f, false);
    fill(f, 0, 3, FIXTURE_WALL_MS + 10000);
    fill(f, 3, 7, FIXTURE_WALL_MS);
    weir_clock_virtual_advance_ms(&f->clock, 6000);
    assert_int_equal(weir_plog_maintain(f->log), 0);
    assert_int_equal(weir_plog_offset_first(f->log), 0);
}

static void retention_by_size_keeps_at_least_that_much(void **state)
{
    struct fixture *f = *state;
    int64_t one;

    f->options.segment_bytes = 1000;
    f->options.retention_ms = -1;
    open_log(f, false);
    fill(f, 0, 1, 0);
    one = weir_plog_bytes(f->log);
    fill(f, 1, 30, 0);
    f->options.retention_bytes = 10 * one;
    weir_plog_configure(f->log, &f->options);
    assert_int_equal(weir_plog_maintain(f->log), 6);
    assert_int_equal(weir_plog_bytes(f->log), 12 * one);
    assert_int_equal(weir_plog_offset_first(f->log), 18);
    assert_int_equal(weir_plog_maintain(f->log), 0);
}

static void without_the_delete_policy_all_stays(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 1000;
    f->options.retention_ms = 1;
    f->options.retention_bytes = 1;
    f->options.deletes = false;
    open_log(f, false);
    fill(f, 0, 30, 0);
    assert_int_equal(weir_plog_maintain(f->log), 0);
    assert_int_equal(weir_plog_offset_first(f->log), 0);
}

static void segments_roll_by_age(void **state)
{
    struct fixture *f = *state;

    f->options.segment_ms = 1000;
    f->options.retention_ms = -1;
    open_log(f, false);
    fill(f, 0, 2, 0);
    weir_clock_virtual_advance_ms(&f->clock, 1001);
    fill(f, 2, 3, 0);
    assert_true(file_exists(f, "00000000000000000002.log"));
    weir_clock_virtual_advance_ms(&f->clock, 1001);
    weir_plog_maintain(f->log);
    assert_true(file_exists(f, "00000000000000000003.log"));
    /* An empty segment does not age. */
    weir_clock_virtual_advance_ms(&f->clock, 100000);
    weir_plog_maintain(f->log);
    fill(f, 3, 4, 0);
    assert_int_equal(file_size(f, "00000000000000000003.log"), weir_plog_bytes(f->log) / 4);
    assert_false(file_exists(f, "00000000000000000004.log"));
}

static void trimming_moves_the_first_offset_and_drops_whole_segments(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 1000;
    open_log(f, false);
    fill(f, 0, 10, 0);
    assert_int_equal(weir_plog_trim(f->log, 11, NULL), WEIR_NOT_FOUND);
    assert_int_equal(weir_plog_trim(f->log, 4, NULL), WEIR_OK);
    assert_false(file_exists(f, "00000000000000000000.log"));
    assert_false(file_exists(f, "00000000000000000000.index"));
    assert_false(file_exists(f, "00000000000000000000.timeindex"));
    assert_true(file_exists(f, "00000000000000000003.log"));
    assert_int_equal(weir_plog_trim(f->log, 2, NULL), WEIR_OK);
    assert_int_equal(weir_plog_offset_first(f->log), 4);
    assert_int_equal(weir_plog_trim(f->log, 10, NULL), WEIR_OK);
    assert_int_equal(weir_plog_offset_first(f->log), 10);
    assert_int_equal(weir_plog_read(f->log, 9, -1, 1, true, &f->buffer, NULL), WEIR_NOT_FOUND);
    assert_int_equal(weir_plog_read(f->log, 10, -1, 1, true, &f->buffer, NULL), WEIR_OK);
    fill(f, 10, 11, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(retention_by_time_goes_by_the_newest_record),
        plog_test(an_old_segment_behind_a_young_one_stays),
        plog_test(retention_by_size_keeps_at_least_that_much),
        plog_test(without_the_delete_policy_all_stays),
        plog_test(segments_roll_by_age),
        plog_test(trimming_moves_the_first_offset_and_drops_whole_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
