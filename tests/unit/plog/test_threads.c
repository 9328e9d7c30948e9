/* Readers and a syncing thread beside the owner, who appends, rolls and deletes. */
#include "fixture.h"

#include <pthread.h>

enum { READERS = 3, BATCHES = 4000 };

struct shared {
    struct fixture *f;
    _Atomic bool done;
    _Atomic int64_t batches_read;
    uint64_t seed;
};

static bool batch_is_whole(const uint8_t *at, size_t left, int64_t *offset, size_t *bytes)
{
    struct plog_head head;

    if (left < PLOG_HEAD_BYTES || !plog_head_read(at, &head) || (size_t)head.bytes > left ||
        plog_batch_crc(at, head.bytes) != head.crc)
        return false;
    *offset = head.offset_base;
    *bytes = (size_t)head.bytes;
    return true;
}

/* Follows the log, now and then from a random place; what it reads is whole and without a gap. */
static void *follow(void *opaque)
{
    struct shared *shared = opaque;
    struct weir_plog *log = shared->f->log;
    uint64_t seed = shared->seed + (uint64_t)(uintptr_t)&seed;
    struct weir_buffer buffer;
    int64_t offset = 0;

    weir_buffer_init(&buffer, 1 << 20);
    while (!atomic_load(&shared->done) || offset < weir_plog_offset_next(log)) {
        enum weir_err err;
        weir_buffer_clear(&buffer);
        err = weir_plog_read(log, offset, -1, 8000, true, &buffer, NULL);
        if (err == WEIR_NOT_FOUND) {
            /* Deleted meanwhile. */
            offset = weir_plog_offset_first(log);
            continue;
        }
        assert_int_equal(err, WEIR_OK);
        for (size_t at = 0, bytes = 0; at < buffer.bytes; at += bytes, offset++) {
            int64_t base;
            assert_true(batch_is_whole(buffer.data + at, buffer.bytes - at, &base, &bytes));
            assert_int_equal(base, offset);
            atomic_fetch_add(&shared->batches_read, 1);
        }
        if (dice_below(&seed, 10) == 0)
            offset = weir_plog_offset_first(log) +
                     (int64_t)dice_below(&seed, 1 + (uint64_t)weir_plog_offset_next(log)) / 2;
        if (offset > weir_plog_offset_next(log))
            offset = weir_plog_offset_next(log);
    }
    weir_buffer_release(&buffer);
    return NULL;
}

static void *sync_often(void *opaque)
{
    struct shared *shared = opaque;

    while (!atomic_load(&shared->done)) {
        assert_int_equal(weir_plog_sync(shared->f->log, NULL), WEIR_OK);
        assert_true(weir_plog_offset_flushed(shared->f->log) <=
                    weir_plog_offset_next(shared->f->log));
    }
    return NULL;
}

static void readers_see_whole_batches_while_segments_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct shared shared = {.f = f, .seed = dice_seed("readers")};
    pthread_t threads[READERS + 1];

    f->options.segment_bytes = 40000;
    f->options.index_interval_bytes = 400;
    f->options.retention_bytes = 150000;
    f->options.retention_ms = -1;
    open_log(f, false);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, follow, &shared);
    pthread_create(&threads[READERS], NULL, sync_often, &shared);
    for (int i = 0; i < BATCHES; i++) {
        append_ok(f, &(struct batch_spec){.value_bytes = 200, .seed = (uint64_t)i}, i);
        if (i % 50 == 0)
            weir_plog_maintain(f->log);
    }
    atomic_store(&shared.done, true);
    for (int i = 0; i <= READERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(weir_plog_offset_first(f->log) > 0);
    assert_true(atomic_load(&shared.batches_read) > 0);
    assert_int_equal(weir_plog_sync(f->log, NULL), WEIR_OK);
    assert_int_equal(weir_plog_offset_flushed(f->log), BATCHES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(readers_see_whole_batches_while_segments_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
