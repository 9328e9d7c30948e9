/* The power goes: pages that were not synced are lost, torn or there, names are from before. */
#include "fixture.h"

#include "base/disk_memory.h"

enum { DISK_BYTES = 64 << 20, ROUNDS = 300 };

static struct batch_spec spec_of(int64_t number)
{
    return (struct batch_spec){
        .value_bytes = 200,
        .seed = (uint64_t)number,
        .timestamp = 1000 + number,
        .idempotent = true,
        .producer_id = 3,
        .sequence = (int32_t)number,
    };
}

/* All below `flushed` is there; gives the next offset. */
static int64_t check(struct fixture *f, int64_t flushed)
{
    int64_t next = weir_plog_offset_next(f->log);

    assert_true(next >= flushed);
    for (int64_t i = 0; i < next; i++) {
        struct batch_spec spec = spec_of(i);
        int64_t offset = -1, timestamp;
        assert_batch_at(f, i, &spec);
        assert_int_equal(weir_plog_find_time(f->log, 1000 + i, &offset, &timestamp, NULL), WEIR_OK);
        assert_int_equal(offset, i);
    }
    if (next > 0) {
        struct batch_spec spec = spec_of(next - 1);
        struct weir_plog_appended out;
        assert_int_equal(append(f, &spec, &out), WEIR_PLOG_ACCEPTED);
        assert_true(out.duplicate);
    }
    return next;
}

static void lose_power_at_random(struct fixture *f, uint64_t seed, uint64_t sync_in, bool known)
{
    struct weir_disk_memory *memory;
    int64_t next = 0;

    assert_int_equal(weir_disk_memory_new(DISK_BYTES, true, &memory), WEIR_OK);
    f->options.disk = weir_disk_memory_disk(memory);
    f->options.segment_bytes = 3000;
    f->options.index_interval_bytes = 300;
    f->options.retention_ms = -1;
    assert_int_equal(weir_disk_make_directories(f->options.disk, f->directory, 0700, NULL),
                     WEIR_OK);
    open_log(f, false);
    for (int round = 0; round < ROUNDS; round++) {
        struct weir_plog_recovery recovery = {.offset_first = -1, .offset_recovery = -1};
        int64_t flushed;
        for (uint64_t more = 1 + dice_below(&seed, round < 3 ? 60 : 12); more > 0; more--, next++) {
            struct batch_spec spec = spec_of(next);
            append_ok(f, &spec, next);
            if (dice_below(&seed, sync_in) == 0)
                assert_int_equal(weir_plog_sync(f->log, NULL), WEIR_OK);
        }
        flushed = weir_plog_offset_flushed(f->log);
        assert_true(sync_in > 1 || flushed == next);
        abandon(f);
        assert_int_equal(weir_disk_memory_cut(memory, dice(&seed)), WEIR_OK);
        if (known)
            recovery.offset_recovery = flushed;
        assert_int_equal(weir_plog_open(f->directory, &f->options, &recovery, &f->log, NULL),
                         WEIR_OK);
        next = check(f, flushed);
        if (next > 400) { /* begun anew, to stay quick */
            abandon(f);
            assert_int_equal(weir_plog_destroy(f->directory, f->options.disk, NULL), WEIR_OK);
            assert_int_equal(weir_disk_make_directories(f->options.disk, f->directory, 0700, NULL),
                             WEIR_OK);
            open_log(f, false);
            next = 0;
        }
    }
    assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    f->log = NULL;
    weir_disk_memory_free(memory);
}

static void a_sync_with_each_batch_loses_none(void **state)
{
    lose_power_at_random(*state, dice_seed("a_sync_with_each_batch_loses_none"), 1, false);
}

static void nothing_below_the_flushed_offset_is_lost(void **state)
{
    lose_power_at_random(*state, dice_seed("nothing_below_the_flushed_offset_is_lost"), 20, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(a_sync_with_each_batch_loses_none),
        plog_test(nothing_below_the_flushed_offset_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
