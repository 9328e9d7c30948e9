/* The plain life of a partition log: append, read, roll, trim, open again. */
#include "fixture.h"

#include "base/alloc.h"

static void batches_come_back_as_they_went_in(void **state)
{
    struct fixture *f = *state;

    open_log(f, false);
    for (int i = 0; i < 200; i++)
        append_ok(f,
                  &(struct batch_spec){.record_count = 3, .value_bytes = 50, .seed = (uint64_t)i},
                  3 * i);
    for (int pass = 0; pass < 3; pass++) {
        for (int64_t offset = 0; offset < 600; offset += 7) {
            assert_batch_at(f, offset,
                            &(struct batch_spec){.record_count = 3,
                                                 .value_bytes = 50,
                                                 .seed = (uint64_t)offset / 3});
            assert_int_equal(plog_get64(f->buffer.data), offset / 3 * 3);
        }
        reopen(f, pass == 0);
        assert_int_equal(weir_plog_offset_next(f->log), 600);
    }
    weir_buffer_clear(&f->buffer);
    assert_int_equal(weir_plog_read(f->log, 600, -1, 100, true, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(f->buffer.bytes, 0);
    assert_int_equal(weir_plog_read(f->log, 601, -1, 100, true, &f->buffer, NULL), WEIR_NOT_FOUND);
    assert_int_equal(weir_plog_read(f->log, -1, -1, 100, true, &f->buffer, NULL), WEIR_NOT_FOUND);
}

static void a_read_ends_at_its_limits(void **state)
{
    struct fixture *f = *state;
    size_t one;

    open_log(f, false);
    for (int i = 0; i < 10; i++)
        append_ok(f, &(struct batch_spec){.record_count = 2, .value_bytes = 10}, 2 * i);
    one = batch_make(f->batch, &(struct batch_spec){.record_count = 2, .value_bytes = 10});
    assert_int_equal(weir_plog_read(f->log, 0, -1, one * 3 + 5, true, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(f->buffer.bytes, one * 3);
    weir_buffer_clear(&f->buffer);
    assert_int_equal(weir_plog_read(f->log, 0, -1, one - 1, false, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(f->buffer.bytes, 0);
    /* The batch 6..7 reaches 7: an end of 7 leaves it out, 8 takes it in. */
    assert_int_equal(weir_plog_read(f->log, 0, 7, 1 << 20, true, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(f->buffer.bytes, one * 3);
    weir_buffer_clear(&f->buffer);
    assert_int_equal(weir_plog_read(f->log, 0, 8, 1 << 20, true, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(f->buffer.bytes, one * 4);
}

static void segments_roll_by_size_and_a_read_goes_on_into_the_next(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 1000;
    open_log(f, false);
    for (int i = 0; i < 50; i++)
        append_ok(f, &(struct batch_spec){.value_bytes = 200, .seed = (uint64_t)i}, i);
    assert_int_equal(weir_plog_read(f->log, 3, -1, 1 << 20, true, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(f->buffer.bytes, weir_plog_bytes(f->log) / 50 * 47);
    reopen(f, false);
    weir_buffer_clear(&f->buffer);
    assert_int_equal(weir_plog_read(f->log, 49, -1, 1 << 20, true, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(plog_get64(f->buffer.data), 49);
    assert_int_equal(weir_plog_trim(f->log, 23, NULL), WEIR_OK);
    assert_int_equal(weir_plog_offset_first(f->log), 23);
    assert_int_equal(weir_plog_read(f->log, 22, -1, 1, true, &f->buffer, NULL), WEIR_NOT_FOUND);
    assert_int_equal(weir_plog_read(f->log, 23, -1, 1, true, &f->buffer, NULL), WEIR_OK);
}

static void a_bad_batch_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_appended out;
    enum weir_plog_refusal refusal;
    struct batch_spec spec = {.record_count = 2, .value_bytes = 20};
    size_t bytes;

    f->options.message_bytes_max = 1000;
    open_log(f, false);
    for (size_t i = 0; i < 4; i++) {
        bytes = batch_make(f->batch, &spec);
        f->batch[(size_t[]){16, 8, 30, bytes - 1}[i]] ^= 1;
        assert_int_equal(weir_plog_append(f->log, f->batch, bytes, 0, &out, &refusal, NULL),
                         WEIR_CORRUPT);
        assert_int_equal(refusal, WEIR_PLOG_CORRUPT_MESSAGE);
    }
    for (size_t cut = 1; cut < bytes; cut++) {
        batch_make(f->batch, &spec);
        assert_int_equal(weir_plog_append(f->log, f->batch, cut, 0, &out, &refusal, NULL),
                         WEIR_CORRUPT);
    }
    batch_make(f->batch, &spec);
    plog_put32(f->batch + 57, 3);
    batch_seal(f->batch);
    assert_int_equal(weir_plog_append(f->log, f->batch, bytes, 0, &out, &refusal, NULL),
                     WEIR_CORRUPT);
    spec.value_bytes = 600;
    assert_int_equal(append(f, &spec, &out), WEIR_PLOG_RECORD_TOO_LARGE);
    assert_int_equal(weir_plog_append(f->log, f->batch, 0, 0, &out, &refusal, NULL), WEIR_INVALID);
    assert_int_equal(refusal, WEIR_PLOG_INVALID_RECORD);
    assert_int_equal(weir_plog_offset_next(f->log), 0);
    assert_int_equal(weir_plog_bytes(f->log), 0);
}

static void log_append_time_stamps_and_keeps_the_crc_right(void **state)
{
    struct fixture *f = *state;
    struct weir_plog_appended out;

    f->options.log_append_time = true;
    open_log(f, false);
    assert_int_equal(append(f, &(struct batch_spec){.timestamp = 5, .value_bytes = 5}, &out),
                     WEIR_PLOG_ACCEPTED);
    assert_int_equal(out.append_time_ms, FIXTURE_WALL_MS);
    assert_int_equal(weir_plog_read(f->log, 0, -1, 1, true, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(plog_get64(f->buffer.data + 35), FIXTURE_WALL_MS);
    assert_int_equal(plog_get16(f->buffer.data + 21), PLOG_LOG_APPEND_TIME);
    assert_int_equal(plog_get32(f->buffer.data + 17),
                     plog_batch_crc(f->buffer.data, (int64_t)f->buffer.bytes));
}

static void an_append_allocates_nothing_in_steady_state(void **state)
{
    struct fixture *f = *state;
    struct batch_spec spec = {.value_bytes = 100, .idempotent = true, .producer_id = 7};
    struct weir_alloc_counts counts;

    open_log(f, false);
    append_ok(f, &spec, 0);
    weir_alloc_watch_start(0);
    for (spec.sequence = 1; spec.sequence < 2000; spec.sequence++)
        append_ok(f, &spec, spec.sequence);
    counts = weir_alloc_watch_stop();
    assert_int_equal(counts.allocations, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(batches_come_back_as_they_went_in),
        plog_test(a_read_ends_at_its_limits),
        plog_test(segments_roll_by_size_and_a_read_goes_on_into_the_next),
        plog_test(a_bad_batch_is_refused_by_name),
        plog_test(log_append_time_stamps_and_keeps_the_crc_right),
        plog_test(an_append_allocates_nothing_in_steady_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
