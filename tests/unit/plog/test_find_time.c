/* Finding by timestamp, with and without the help of the indexes. */
#include "fixture.h"

#include "wire/record_batch.h"

static void assert_found(struct fixture *f, int64_t timestamp, int64_t offset, int64_t found)
{
    int64_t offset_found = -1, timestamp_found = -1;

    assert_int_equal(weir_plog_find_time(f->log, timestamp, &offset_found, &timestamp_found, NULL),
                     WEIR_OK);
    assert_int_equal(offset_found, offset);
    assert_int_equal(timestamp_found, found);
}

static void assert_none(struct fixture *f, int64_t timestamp)
{
    int64_t offset, found;

    assert_int_equal(weir_plog_find_time(f->log, timestamp, &offset, &found, NULL), WEIR_NOT_FOUND);
}

static void the_first_record_not_older_is_found_inside_its_batch(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 3000;
    f->options.index_interval_bytes = 200;
    open_log(f, false);
    assert_none(f, 0);
    assert_int_equal(weir_plog_timestamp_max(f->log), -1);
    /* Records at 100, 110, 120 | 130 .. : offset o has 100 + 10 * o. */
    for (int i = 0; i < 60; i++)
        append_ok(f,
                  &(struct batch_spec){.record_count = 3,
                                       .timestamp = 100 + 30 * i,
                                       .timestamp_step = 10,
                                       .value_bytes = 40},
                  3 * i);
    for (int pass = 0; pass < 3; pass++) {
        assert_found(f, 0, 0, 100);
        assert_found(f, -5, 0, 100);
        for (int64_t t = 100; t <= 1890; t += 7)
            assert_found(f, t, (t - 100 + 9) / 10, 100 + (t - 100 + 9) / 10 * 10);
        assert_found(f, 1890, 179, 1890);
        assert_none(f, 1891);
        reopen(f, pass == 0);
    }
    assert_int_equal(weir_plog_trim(f->log, 100, NULL), WEIR_OK);
    assert_found(f, 0, 100, 1100);
    assert_found(f, 1095, 100, 1100);
    assert_found(f, 1101, 101, 1110);
}

static void timestamps_out_of_order_are_found_at_their_first(void **state)
{
    struct fixture *f = *state;
    static const int64_t times[] = {50, 20, 90, 30, 90, 10, 95, 60, 100, 5};

    f->options.index_interval_bytes = 0;
    open_log(f, false);
    for (int i = 0; i < 10; i++)
        append_ok(f, &(struct batch_spec){.timestamp = times[i], .value_bytes = 100}, i);
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(weir_plog_timestamp_max(f->log), 100);
        for (int64_t t = 0; t <= 100; t++) {
            int first = 0;
            while (times[first] < t)
                first++;
            assert_found(f, t, first, times[first]);
        }
        assert_none(f, 101);
        reopen(f, true);
    }
}

static void append_time_finds_whole_batches(void **state)
{
    struct fixture *f = *state;

    f->options.log_append_time = true;
    open_log(f, false);
    for (int i = 0; i < 10; i++) {
        struct weir_plog_appended out;
        append(f, &(struct batch_spec){.record_count = 2}, &out);
        weir_clock_virtual_advance_ms(&f->clock, 10);
    }
    assert_found(f, FIXTURE_WALL_MS + 11, 4, FIXTURE_WALL_MS + 20);
    assert_int_equal(weir_plog_trim(f->log, 5, NULL), WEIR_OK);
    assert_found(f, 0, 5, FIXTURE_WALL_MS + 20);
}

static void compressed_batches_are_looked_into(void **state)
{
    struct fixture *f = *state;

    open_log(f, false);
    for (int16_t codec = 0; codec < WIRE_CODEC_COUNT; codec++) {
        struct wire_batch_options options = wire_batch_options();
        struct wire_builder builder;
        struct weir_plog_appended out;
        enum weir_plog_refusal refusal;
        options.attributes = codec;
        wire_builder_init(&builder, &options, 1 << 20);
        weir_buffer_clear(&f->buffer);
        for (int i = 0; i < 100; i++)
            assert_int_equal(wire_builder_add(&builder, 1000 * codec + i, weir_slice(NULL, 0),
                                              weir_slice("some value", 10), NULL, 0),
                             WEIR_OK);
        assert_int_equal(wire_builder_finish(&builder, &f->buffer, NULL), WEIR_OK);
        wire_builder_release(&builder);
        assert_int_equal(
            weir_plog_append(f->log, f->buffer.data, f->buffer.bytes, 0, &out, &refusal, NULL),
            WEIR_OK);
    }
    for (int codec = 0; codec < WIRE_CODEC_COUNT; codec++)
        assert_found(f, 1000 * codec + 57, 100 * codec + 57, 1000 * codec + 57);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(the_first_record_not_older_is_found_inside_its_batch),
        plog_test(timestamps_out_of_order_are_found_at_their_first),
        plog_test(append_time_finds_whole_batches),
        plog_test(compressed_batches_are_looked_into),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
