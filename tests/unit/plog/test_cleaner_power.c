/* The power goes during and between passes: of each key the newest synced record is never lost. */
#include "keyed.h"

#include "base/disk_memory.h"

enum { DISK_BYTES = 64 << 20, ROUNDS = 400, KEYS = 12, RECORDS_MAX = 4000 };

/* What was appended: the key of each offset, whose value is the offset. */
struct history {
    int keys[RECORDS_MAX];
    int64_t next;
};

static void append_some(struct fixture *f, struct history *history, uint64_t *seed)
{
    for (uint64_t more = 1 + dice_below(seed, 30); more > 0; more--) {
        struct keyed_batch batch = {.count = 1 + (int)dice_below(seed, 4), .timestamp = 1000};
        batch.codec = dice_below(seed, 3) == 0 ? 3 : 0;
        for (int i = 0; i < batch.count; i++) {
            int key = (int)dice_below(seed, KEYS);
            batch.records[i] = (struct keyed_record){key, (int)history->next};
            history->keys[history->next++] = key;
        }
        assert_int_equal(keyed_append(f, &batch), history->next - batch.count);
        if (dice_below(seed, 15) == 0)
            assert_int_equal(weir_plog_sync(f->log, NULL), WEIR_OK);
        if (dice_below(seed, 10) == 0)
            roll(f);
    }
}

/* Each record is one that was appended; of each key the newest below `flushed`, or a newer one. */
static void check(struct fixture *f, const struct history *history, int64_t flushed)
{
    int64_t newest[KEYS];
    size_t count;
    struct seen *seen = read_all(f, &count);

    assert_true(weir_plog_offset_next(f->log) >= flushed);
    for (int key = 0; key < KEYS; key++)
        newest[key] = -1;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(seen[i].key, history->keys[seen[i].offset]);
        assert_int_equal(seen[i].value, seen[i].offset);
        newest[seen[i].key] = seen[i].offset;
    }
    for (int64_t offset = 0; offset < flushed; offset++)
        assert_true(newest[history->keys[offset]] >= offset);
    free(seen);
}

/* A pass that may end at any call of the disk. */
static int64_t clean_some(struct fixture *f, struct weir_disk_faulty *faulty, int64_t dirty,
                          uint64_t *seed)
{
    const struct weir_plog_clean_settings settings = {
        .offset_dirty = dirty, .delete_retention_ms = 100, .map_bytes = 1 << 14};
    struct weir_plog_cleaned out = {.offset_dirty = dirty};

    atomic_store(&faulty->calls, 0);
    faulty->broken_for_good = true;
    faulty->fail_at = dice_below(seed, 2) == 0 ? 1 + dice_below(seed, 60) : 0;
    return clean(f, &settings, &out) == WEIR_OK ? out.offset_dirty : dirty;
}

static void lose_power(struct fixture *f, struct weir_disk_memory *memory, uint64_t *seed)
{
    struct weir_plog_recovery recovery = {.offset_first = -1};

    recovery.offset_recovery = weir_plog_offset_flushed(f->log);
    abandon(f);
    assert_int_equal(weir_disk_memory_cut(memory, dice(seed)), WEIR_OK);
    f->options.disk = weir_disk_memory_disk(memory);
    assert_int_equal(weir_plog_open(f->directory, &f->options, &recovery, &f->log, NULL), WEIR_OK);
    abandon(f);
}

static void begin_anew(struct fixture *f, const struct weir_disk *disk, struct history *history)
{
    f->options.disk = disk;
    (void)!weir_plog_destroy(f->directory, disk, NULL);
    assert_int_equal(weir_disk_make_directories(disk, f->directory, 0700, NULL), WEIR_OK);
    history->next = 0;
}

static void no_newest_record_of_a_key_is_lost(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = dice_seed("no_newest_record_of_a_key_is_lost");
    struct history history;
    struct weir_disk_memory *memory;
    int64_t dirty = -1, passes = 0;

    assert_int_equal(weir_disk_memory_new(DISK_BYTES, true, &memory), WEIR_OK);
    f->options.segment_bytes = 2000;
    f->options.index_interval_bytes = 200;
    f->options.deletes = false;
    begin_anew(f, weir_disk_memory_disk(memory), &history);
    for (int round = 0; round < ROUNDS; round++) {
        struct weir_disk_faulty faulty;
        int64_t flushed;
        if (history.next > RECORDS_MAX / 2) {
            begin_anew(f, weir_disk_memory_disk(memory), &history);
            dirty = -1;
        }
        weir_disk_faulty_init(&faulty, weir_disk_memory_disk(memory));
        f->options.disk = &faulty.disk;
        open_log(f, false);
        append_some(f, &history, &seed);
        if (dice_below(&seed, 4) != 0) {
            int64_t before = dirty;
            dirty = clean_some(f, &faulty, dirty, &seed);
            passes += dirty > before;
        }
        flushed = weir_plog_offset_flushed(f->log);
        lose_power(f, memory, &seed);
        f->options.disk = weir_disk_memory_disk(memory);
        open_log(f, false);
        check(f, &history, flushed);
        history.next = weir_plog_offset_next(f->log);
        abandon(f);
    }
    assert_true(passes > ROUNDS / 10);
    weir_disk_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(no_newest_record_of_a_key_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
