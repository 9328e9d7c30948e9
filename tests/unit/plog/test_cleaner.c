/* What a compaction leaves. */
#include "keyed.h"

#include <stdio.h>
#include <unistd.h>

#include "plog/log.h"
#include "wire/compress.h"

static const struct weir_plog_clean_settings all = {
    .offset_dirty = -1, .delete_retention_ms = 1000, .map_bytes = 1 << 16};

static void clean_ok(struct fixture *f, const struct weir_plog_clean_settings *settings,
                     int64_t offset_dirty)
{
    struct weir_plog_cleaned out;

    assert_int_equal(clean(f, settings, &out), WEIR_OK);
    assert_int_equal(out.offset_dirty, offset_dirty);
}

static void the_newest_record_of_each_key_stays(void **state)
{
    struct fixture *f = *state;

    open_log(f, false);
    keyed_put(f, 1, 10);
    keyed_put(f, 2, 20);
    keyed_put(f, 1, 11);
    roll(f);
    keyed_put(f, 2, 21);
    clean_ok(f, &all, 3);
    /* What is active is not looked at. */
    assert_holds(f, "1:2=20 2:1=11 3:2=21");
    assert_int_equal(weir_plog_offset_first(f->log), 0);
    roll(f);
    clean_ok(f, &(struct weir_plog_clean_settings){.offset_dirty = 3, .map_bytes = 1 << 16}, 4);
    assert_holds(f, "2:1=11 3:2=21");
    reopen(f, false);
    assert_holds(f, "2:1=11 3:2=21");
    assert_int_equal(keyed_put(f, 3, 30), 4);
}

static void records_of_one_batch_are_judged_one_by_one(void **state)
{
    struct fixture *f = *state;

    for (int codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
        open_log(f, false);
        keyed_append(f, &(struct keyed_batch){.records = {{1, 1}, {2, 2}, {1, 3}, {3, 4}},
                                              .count = 4,
                                              .timestamp = 5000,
                                              .codec = codec});
        keyed_put(f, 3, 5);
        roll(f);
        clean_ok(f, &all, 5);
        assert_holds(f, "1:2=2 2:1=3 4:3=5");
        reopen(f, false);
        assert_holds(f, "1:2=2 2:1=3 4:3=5");
        weir_plog_close(f->log, NULL);
        f->log = NULL;
        assert_int_equal(weir_plog_destroy(f->directory, NULL, NULL), WEIR_OK);
    }
}

static void a_tombstone_stays_for_the_time_given(void **state)
{
    struct fixture *f = *state;
    size_t count;
    struct seen *seen;

    open_log(f, false);
    keyed_put(f, 1, 10);
    keyed_put(f, 1, TOMBSTONE);
    keyed_put(f, 2, 20);
    roll(f);
    clean_ok(f, &all, 3);
    assert_holds(f, "1:1= 2:2=20");
    /* The horizon stands where the base timestamp was; the record's own is as before. */
    seen = read_all(f, &count);
    assert_int_equal(seen[0].timestamp, 1000);
    free(seen);
    for (int i = 0; i < 2; i++) {
        keyed_put(f, 3, i);
        roll(f);
        clean_ok(f, &all, 4 + i);
        assert_holds(f, i == 0 ? "1:1= 2:2=20 3:3=0" : "2:2=20 4:3=1");
        weir_clock_virtual_advance_ms(&f->clock, 1000);
    }
}

static void records_without_a_key_go(void **state)
{
    struct fixture *f = *state;

    open_log(f, false);
    keyed_put(f, NO_KEY, 1);
    keyed_put(f, 1, 2);
    roll(f);
    clean_ok(f, &all, 2);
    assert_holds(f, "1:1=2");
}

static void the_end_of_what_was_cleaned_stays(void **state)
{
    struct fixture *f = *state;

    open_log(f, false);
    keyed_put(f, 1, 1);
    keyed_put(f, NO_KEY, 2);
    roll(f);
    clean_ok(f, &all, 2);
    assert_holds(f, "0:1=1");
    /* The active segment is empty: without a batch at 1 that offset would be given again. */
    abandon(f);
    open_log(f, false);
    assert_int_equal(weir_plog_offset_next(f->log), 2);
    assert_int_equal(keyed_put(f, 2, 3), 2);
}

static void small_neighbours_become_one(void **state)
{
    struct fixture *f = *state;

    open_log(f, false);
    for (int i = 0; i < 6; i++) {
        keyed_put(f, i, i);
        roll(f);
    }
    f->options.segment_bytes = 300;
    weir_plog_configure(f->log, &f->options);
    assert_int_equal(f->log->segment_count, 7);
    clean_ok(f, &all, 6);
    assert_int_equal(f->log->segment_count, 3);
    assert_true(file_exists(f, "00000000000000000003.log"));
    assert_false(file_exists(f, "00000000000000000001.log"));
    assert_false(file_exists(f, "00000000000000000000.log.swap"));
    assert_int_equal(weir_plog_bytes(f->log), 6 * file_size(f, "00000000000000000000.log") / 3);
    assert_holds(f, "0:0=0 1:1=1 2:2=2 3:3=3 4:4=4 5:5=5");
}

static void what_is_young_or_undecided_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_clean_settings lag = all;
    struct weir_plog_dirt dirt;
    struct weir_plog_cleaned out;

    open_log(f, false);
    keyed_put(f, 1, 1);
    keyed_put(f, 1, 2);
    roll(f);
    keyed_append(f, &(struct keyed_batch){
                        .records = {{1, 3}}, .count = 1, .timestamp = FIXTURE_WALL_MS - 50});
    roll(f);
    lag.min_compaction_lag_ms = 100;
    weir_plog_dirt(f->log, &lag, &dirt);
    assert_int_equal(dirt.clean_bytes, 0);
    assert_int_equal(dirt.dirty_bytes, file_size(f, "00000000000000000000.log"));
    assert_int_equal(dirt.dirty_since_ms, FIXTURE_WALL_MS);
    clean_ok(f, &lag, 2);
    assert_holds(f, "1:1=2 2:1=3");
    lag.offset_dirty = 2;
    assert_int_equal(clean(f, &lag, &out), WEIR_END);
    keyed_append(f, &(struct keyed_batch){.records = {{1, 4}},
                                          .count = 1,
                                          .timestamp = 1000,
                                          .producer_id = 5,
                                          .transactional = true});
    roll(f);
    weir_clock_virtual_advance_ms(&f->clock, 100);
    clean_ok(f, &lag, 3);
    assert_holds(f, "2:1=3 3:1=4");
    lag.offset_dirty = 3;
    assert_int_equal(clean(f, &lag, &out), WEIR_END);
    end_transaction(f, 5, true);
    clean_ok(f, &lag, 4);
    assert_holds(f, "3:1=4");
}

static void aborted_records_go_and_replace_nothing(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_clean_settings settings = all;
    struct keyed_batch batch = {.records = {{1, 2}},
                                .count = 1,
                                .timestamp = 1000,
                                .producer_id = 5,
                                .transactional = true};

    open_log(f, false);
    keyed_put(f, 1, 1);
    keyed_append(f, &batch);
    end_transaction(f, 5, false);
    batch.sequence = 1;
    batch.records[0] = (struct keyed_record){2, 3};
    keyed_append(f, &batch);
    end_transaction(f, 5, true);
    roll(f);
    clean_ok(f, &all, 5);
    assert_holds(f, "0:1=1 3:2=3");
    /* The list goes with the marker's transaction, the marker a while later. */
    assert_int_equal(file_size(f, "00000000000000000000.txnindex"), PLOG_TXN_ENTRY_BYTES);
    for (int i = 0; i < 2; i++) {
        settings.offset_dirty = weir_plog_offset_next(f->log);
        keyed_put(f, 9, i);
        roll(f);
        clean_ok(f, &settings, settings.offset_dirty + 1);
        assert_int_equal(file_size(f, "00000000000000000000.txnindex"), 0);
        weir_buffer_clear(&f->buffer);
        assert_int_equal(weir_plog_read(f->log, 1, -1, 1, true, &f->buffer, NULL), WEIR_OK);
        assert_int_equal(plog_get64(f->buffer.data), i == 0 ? 2 : 3);
        weir_clock_virtual_advance_ms(&f->clock, 1000);
    }
    assert_holds(f, "0:1=1 3:2=3 6:9=1");
    reopen(f, false);
    assert_holds(f, "0:1=1 3:2=3 6:9=1");
    assert_int_equal(weir_plog_offset_stable(f->log), weir_plog_offset_next(f->log));
}

static void a_producer_goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_appended out;
    struct batch_spec repeat = {
        .record_count = 3, .idempotent = true, .producer_id = 7, .sequence = 4};

    open_log(f, false);
    append_ok(f, &repeat, 0);
    keyed_put(f, 1, 1);
    roll(f);
    keyed_put(f, 1, 1);
    clean_ok(f, &all, 4);
    assert_holds(f, "3:1=1 4:1=1"); /* it had no keys */
    abandon(f);
    for (int i = 0; i < 9; i++) {
        char name[PLOG_NAME_BYTES], *path;
        weir_plog_name(i, ".snapshot", name);
        path = file_path(f, name);
        unlink(path);
        free(path);
    }
    open_log(f, false);
    /* Recovery has read all of the log: its last segment, and the producers from the first one. */
    assert_int_equal(append(f, &repeat, &out), WEIR_PLOG_ACCEPTED);
    assert_true(out.duplicate);
    assert_int_equal(out.offset_base, 0);
}

static void a_full_map_ends_the_pass_early(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_clean_settings settings = all;
    struct weir_plog_cleaned out;

    open_log(f, false);
    for (int i = 0; i < 60; i++)
        keyed_put(f, i % 20, i);
    roll(f);
    settings.map_bytes = 16 * 24; /* 9 keys of ten slots, twice: the least */
    clean_ok(f, &settings, 9);
    for (int round = 0; round < 10 && settings.offset_dirty < 60; round++) {
        assert_int_equal(clean(f, &settings, &out), WEIR_OK);
        assert_true(out.offset_dirty > settings.offset_dirty);
        settings.offset_dirty = out.offset_dirty;
    }
    assert_int_equal(settings.offset_dirty, 60);
    assert_holds(f, "40:0=40 41:1=41 42:2=42 43:3=43 44:4=44 45:5=45 46:6=46 47:7=47 48:8=48 "
                    "49:9=49 50:10=50 51:11=51 52:12=52 53:13=53 54:14=54 55:15=55 56:16=56 "
                    "57:17=57 58:18=58 59:19=59");
}

static void a_batch_with_more_keys_than_the_map_is_told(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_clean_settings settings = all;
    struct keyed_batch batch = {.count = KEYED_MAX, .timestamp = 1};
    struct weir_plog_cleaned out;

    open_log(f, false);
    for (int i = 0; i < KEYED_MAX; i++)
        batch.records[i] = (struct keyed_record){i, i};
    keyed_append(f, &batch);
    roll(f);
    settings.map_bytes = 1;
    assert_int_equal(clean(f, &settings, &out), WEIR_LIMIT);
    assert_int_equal(out.offset_dirty, 0);
    clean_ok(f, &all, KEYED_MAX);
}

static void damage_is_told_and_kept(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_cleaned out;
    char *path;
    FILE *file;

    open_log(f, false);
    keyed_put(f, 1, 1);
    keyed_put(f, 1, 2);
    roll(f);
    path = file_path(f, "00000000000000000000.log");
    file = fopen(path, "r+b");
    assert_int_equal(fseek(file, PLOG_HEAD_BYTES + 3, SEEK_SET), 0);
    fputc(0x55, file);
    fclose(file);
    free(path);
    assert_int_equal(clean(f, &all, &out), WEIR_CORRUPT);
    assert_false(file_exists(f, "00000000000000000000.log.cleaned"));
    assert_int_equal(weir_plog_check_writable(f->log, NULL), WEIR_OK);
    assert_int_equal(keyed_put(f, 1, 3), 2);
}

static void a_cancelled_pass_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_cleaning *cleaning;
    struct weir_plog_cleaned out;

    open_log(f, false);
    keyed_put(f, 1, 1);
    keyed_put(f, 1, 2);
    roll(f);
    assert_int_equal(weir_plog_cleaning_new(f->log, &all, &cleaning, NULL), WEIR_OK);
    weir_plog_cleaning_cancel(cleaning);
    assert_int_equal(weir_plog_cleaning_run(cleaning, &out, NULL), WEIR_CLOSED);
    weir_plog_cleaning_free(cleaning);
    assert_holds(f, "0:1=1 1:1=2");
}

static void what_was_deleted_meanwhile_is_not_brought_back(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_cleaning *cleaning;
    struct weir_plog_cleaned out;

    open_log(f, false);
    for (int i = 0; i < 3; i++) {
        keyed_put(f, 1, i);
        roll(f);
    }
    assert_int_equal(weir_plog_cleaning_new(f->log, &all, &cleaning, NULL), WEIR_OK);
    assert_int_equal(weir_plog_trim(f->log, 1, NULL), WEIR_OK);
    assert_int_equal(weir_plog_cleaning_run(cleaning, &out, NULL), WEIR_AGAIN);
    assert_int_equal(out.offset_dirty, 0);
    weir_plog_cleaning_free(cleaning);
    assert_holds(f, "1:1=1 2:1=2");
    assert_false(file_exists(f, "00000000000000000000.log.cleaned"));
    clean_ok(f, &all, 3);
    assert_holds(f, "2:1=2");
}

static void the_largest_timestamp_is_one_that_is_there(void **state)
{
    struct fixture *f = *state;
    int64_t offset, timestamp;

    open_log(f, false);
    keyed_append(f, &(struct keyed_batch){.records = {{NO_KEY, 1}}, .count = 1, .timestamp = 9000});
    keyed_put(f, 1, 1);
    keyed_append(f, &(struct keyed_batch){.records = {{NO_KEY, 2}}, .count = 1, .timestamp = 8000});
    roll(f);
    clean_ok(f, &all, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weir_plog_timestamp_max(f->log), 1000);
        assert_int_equal(weir_plog_find_time(f->log, 1000, &offset, &timestamp, NULL), WEIR_OK);
        assert_int_equal(offset, 1);
        reopen(f, i == 0);
    }
}

/* With append times all records of a batch have one, also those that are gone. */
static void append_time_finds_only_what_is_there(void **state)
{
    struct fixture *f = *state;
    int64_t offset, timestamp;

    f->options.log_append_time = true;
    open_log(f, false);
    keyed_append(f, &(struct keyed_batch){.records = {{1, 1}, {2, 1}}, .count = 2});
    weir_clock_virtual_advance_ms(&f->clock, 10);
    keyed_append(f, &(struct keyed_batch){.records = {{1, 2}}, .count = 1, .producer_id = 7});
    weir_clock_virtual_advance_ms(&f->clock, 10);
    keyed_put(f, 1, 3);
    roll(f);
    clean_ok(f, &all, 4);
    assert_holds(f, "1:2=1 3:1=3");
    assert_int_equal(weir_plog_find_time(f->log, 0, &offset, &timestamp, NULL), WEIR_OK);
    assert_int_equal(offset, 1);
    assert_int_equal(timestamp, FIXTURE_WALL_MS);
    /* The producer's last batch is kept without its record. */
    assert_int_equal(weir_plog_find_time(f->log, FIXTURE_WALL_MS + 1, &offset, &timestamp, NULL),
                     WEIR_OK);
    assert_int_equal(offset, 3);
    assert_int_equal(timestamp, FIXTURE_WALL_MS + 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(the_newest_record_of_each_key_stays),
        plog_test(records_of_one_batch_are_judged_one_by_one),
        plog_test(a_tombstone_stays_for_the_time_given),
        plog_test(records_without_a_key_go),
        plog_test(the_end_of_what_was_cleaned_stays),
        plog_test(small_neighbours_become_one),
        plog_test(what_is_young_or_undecided_is_left_alone),
        plog_test(aborted_records_go_and_replace_nothing),
        plog_test(a_producer_goes_on_where_it_was),
        plog_test(a_full_map_ends_the_pass_early),
        plog_test(a_batch_with_more_keys_than_the_map_is_told),
        plog_test(damage_is_told_and_kept),
        plog_test(a_cancelled_pass_changes_nothing),
        plog_test(what_was_deleted_meanwhile_is_not_brought_back),
        plog_test(the_largest_timestamp_is_one_that_is_there),
        plog_test(append_time_finds_only_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
