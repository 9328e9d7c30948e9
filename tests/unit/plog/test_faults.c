/* Every call of the disk fails in turn, and every allocation: what was acknowledged is there. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"

enum { BATCHES = 40 };

static struct batch_spec spec_of(int64_t number)
{
    return (struct batch_spec){
        .value_bytes = 150,
        .seed = (uint64_t)number,
        .timestamp = 1000 + number,
        .idempotent = true,
        .producer_id = 1 + number % 2,
        .sequence = (int32_t)(number / 2),
    };
}

/* Opens, appends, syncs, trims, reads and closes, as far as the disk lets it. Gives the number of
 * batches acknowledged so far, beginning at `from`; checks that a failure is told and lasts. */
static int64_t work(struct fixture *f, int64_t from, enum weir_err *err_out)
{
    struct weir_error error = {0};
    enum weir_err err = weir_plog_open(f->directory, &f->options, NULL, &f->log, &error);
    bool broken = false;
    int64_t number = from;

    *err_out = err;
    if (err != WEIR_OK) {
        assert_true(error.message[0] != '\0');
        f->log = NULL;
        return from;
    }
    for (; number < from + BATCHES; number++) {
        struct batch_spec spec = spec_of(number);
        struct weir_plog_appended out;
        enum weir_plog_refusal refusal;
        size_t bytes = batch_make(f->batch, &spec);
        err = weir_plog_append(f->log, f->batch, bytes, 0, &out, &refusal, &error);
        if (err != WEIR_OK) {
            assert_int_equal(refusal, WEIR_PLOG_STORAGE);
            broken = error.fatal;
            /* Fatal stays fatal. */
            if (broken)
                assert_int_equal(weir_plog_append(f->log, f->batch, bytes, 0, &out, &refusal, NULL),
                                 WEIR_IO);
            break;
        }
        assert_int_equal(out.offset_base, number);
        if (number % 8 == 7 && weir_plog_sync(f->log, &error) != WEIR_OK) {
            assert_true(error.fatal);
            broken = true;
            number++;
            break;
        }
        weir_buffer_clear(&f->buffer);
        err = weir_plog_read(f->log, number, -1, 1, true, &f->buffer, NULL);
        if (err == WEIR_OK)
            assert_int_equal(plog_get64(f->buffer.data), number);
        weir_plog_maintain(f->log);
    }
    *err_out = weir_plog_close(f->log, &error);
    assert_true(!broken || *err_out == WEIR_IO);
    f->log = NULL;
    return number;
}

static void check_all(struct fixture *f, int64_t acknowledged)
{
    struct batch_spec next;
    struct weir_plog_appended out;
    int64_t known;

    open_log(f, false);
    known = weir_plog_offset_next(f->log);
    /* A write that failed may still have got through whole. */
    assert_true(known == acknowledged || known == acknowledged + 1);
    for (int64_t i = 0; i < known; i++) {
        struct batch_spec spec = spec_of(i);
        assert_batch_at(f, i, &spec);
    }
    if (known > 0) {
        next = spec_of(known - 1);
        assert_int_equal(append(f, &next, &out), WEIR_PLOG_ACCEPTED);
        assert_true(out.duplicate);
        assert_int_equal(out.offset_base, known - 1);
    }
    next = spec_of(known);
    append_ok(f, &next, known);
    assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    f->log = NULL;
}

static void every_call_fails_in_turn(struct fixture *f, unsigned mask, int error_number,
                                     size_t write_bytes, bool short_write, bool for_good)
{
    struct weir_disk_faulty faulty;

    f->options.segment_bytes = 2500;
    f->options.index_interval_bytes = 300;
    for (uint64_t n = 1;; n++) {
        enum weir_err err;
        int64_t acknowledged;
        weir_disk_faulty_init(&faulty, NULL);
        faulty.mask = mask;
        faulty.fail_at = n;
        faulty.error_number = error_number;
        faulty.write_bytes = write_bytes;
        faulty.short_write = short_write;
        faulty.broken_for_good = for_good;
        f->options.disk = &faulty.disk;
        acknowledged = work(f, 0, &err);
        f->options.disk = weir_disk_real();
        check_all(f, acknowledged);
        assert_int_equal(weir_plog_destroy(f->directory, NULL, NULL), WEIR_OK);
        if (atomic_load(&faulty.failed) == 0) {
            assert_int_equal(acknowledged, BATCHES);
            assert_true(n > 1);
            break;
        }
    }
}

static void no_failing_call_loses_what_was_acknowledged(void **state)
{
    every_call_fails_in_turn(*state, WEIR_DISK_ANY, EIO, 0, false, false);
}

static void a_disk_that_stays_broken_loses_nothing_either(void **state)
{
    every_call_fails_in_turn(*state, WEIR_DISK_ANY & ~(unsigned)WEIR_DISK_READ, EIO, 0, false,
                             true);
}

static void a_full_disk_tears_no_acknowledged_batch(void **state)
{
    every_call_fails_in_turn(*state, WEIR_DISK_WRITE, ENOSPC, 70, false, true);
}

static void short_writes_are_gone_on_with(void **state)
{
    every_call_fails_in_turn(*state, WEIR_DISK_WRITE, 0, 7, true, false);
}

static void a_failed_sync_makes_the_log_read_only_and_reading_goes_on(void **state)
{
    struct fixture *f = *state;
    struct weir_disk_faulty faulty;
    struct weir_plog_appended out;
    struct weir_error error = {0};
    struct batch_spec spec = spec_of(0);

    weir_disk_faulty_init(&faulty, NULL);
    faulty.mask = WEIR_DISK_SYNC;
    f->options.disk = &faulty.disk;
    open_log(f, false);
    append_ok(f, &spec, 0);
    faulty.fail_at = atomic_load(&faulty.calls) + 1;
    assert_int_equal(weir_plog_sync(f->log, &error), WEIR_IO);
    assert_true(error.fatal);
    assert_int_equal(weir_plog_offset_flushed(f->log), 0);
    assert_batch_at(f, 0, &spec);
    spec = spec_of(1);
    assert_int_equal(append(f, &spec, &out), WEIR_PLOG_STORAGE);
    /* Not even once the disk is well again: what the kernel dropped is unknown. */
    assert_int_equal(weir_plog_sync(f->log, NULL), WEIR_IO);
    assert_int_equal(weir_plog_trim(f->log, 1, NULL), WEIR_IO);
    assert_int_equal(weir_plog_close(f->log, &error), WEIR_IO);
    f->log = NULL;
}

static void every_allocation_fails_in_turn(void **state)
{
    struct fixture *f = *state;
    int64_t done = 0;

    f->options.segment_bytes = 2500;
    f->options.index_interval_bytes = 300;
    f->options.retention_ms = -1; /* the times of the batches are long ago */
    /* The test's own reads shall not fail. */
    assert_int_equal(weir_buffer_reserve(&f->buffer, 1 << 20), WEIR_OK);
    for (uint64_t n = 1;; n++) {
        struct weir_alloc_counts counts;
        enum weir_err err;
        weir_alloc_watch_start(n);
        done = work(f, 0, &err);
        counts = weir_alloc_watch_stop();
        check_all(f, done);
        assert_int_equal(weir_plog_destroy(f->directory, NULL, NULL), WEIR_OK);
        if (counts.failed == 0)
            break;
    }
    assert_int_equal(done, BATCHES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(no_failing_call_loses_what_was_acknowledged),
        plog_test(a_disk_that_stays_broken_loses_nothing_either),
        plog_test(a_full_disk_tears_no_acknowledged_batch),
        plog_test(short_writes_are_gone_on_with),
        plog_test(a_failed_sync_makes_the_log_read_only_and_reading_goes_on),
        plog_test(every_allocation_fails_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
