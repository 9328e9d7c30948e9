/* An owner who appends, rolls and trims; readers; a syncing thread; one pass after the other. */
#include "keyed.h"

#include <pthread.h>

#include "plog/log.h"

enum { READERS = 2, BATCHES = 3000, KEYS = 40 };

struct shared {
    struct fixture *f;
    _Atomic bool done;
};

/* Reads all of the log again and again: whole batches, ascending, and to the end. */
static void *follow(void *opaque)
{
    struct shared *shared = opaque;
    struct weir_plog *log = shared->f->log;
    struct weir_buffer buffer;
    int64_t offset = 0;
    bool last_round = false;

    weir_buffer_init(&buffer, 1 << 20);
    for (;;) {
        enum weir_err err;
        weir_buffer_clear(&buffer);
        err = weir_plog_read(log, offset, -1, 5000, true, &buffer, NULL);
        if (err == WEIR_NOT_FOUND) {
            offset = weir_plog_offset_first(log);
            continue;
        }
        assert_int_equal(err, WEIR_OK);
        for (size_t at = 0; at < buffer.bytes;) {
            struct plog_head head = {0};
            assert_true(plog_head_read(buffer.data + at, &head));
            assert_true((size_t)head.bytes <= buffer.bytes - at);
            assert_int_equal(plog_batch_crc(buffer.data + at, head.bytes), head.crc);
            assert_true(head.offset_last >= offset);
            offset = head.offset_last + 1;
            at += (size_t)head.bytes;
        }
        if (buffer.bytes > 0)
            continue;
        if (last_round)
            break;
        last_round = atomic_load(&shared->done);
        offset = weir_plog_offset_first(log);
    }
    weir_buffer_release(&buffer);
    return NULL;
}

static void *sync_often(void *opaque)
{
    struct shared *shared = opaque;

    while (!atomic_load(&shared->done))
        assert_int_equal(weir_plog_sync(shared->f->log, NULL), WEIR_OK);
    return NULL;
}

struct pass {
    struct weir_plog_cleaning *cleaning;
    struct weir_plog_cleaned cleaned;
    enum weir_err err;
    _Atomic bool done;
    pthread_t thread;
};

static void *run_pass(void *opaque)
{
    struct pass *pass = opaque;

    pass->err = weir_plog_cleaning_run(pass->cleaning, &pass->cleaned, NULL);
    atomic_store(&pass->done, true);
    return NULL;
}

/* Takes in a pass that is done and begins another one. Gives the passes that came to their end. */
static int look_after(struct fixture *f, struct pass *pass, int64_t *dirty)
{
    struct weir_plog_clean_settings settings = {
        .offset_dirty = *dirty, .delete_retention_ms = 1, .map_bytes = 1 << 14};
    int ended = 0;

    if (pass->cleaning != NULL) {
        if (!atomic_load(&pass->done))
            return 0;
        pthread_join(pass->thread, NULL);
        weir_plog_cleaning_free(pass->cleaning);
        pass->cleaning = NULL;
        assert_true(pass->err == WEIR_OK || pass->err == WEIR_AGAIN);
        ended = pass->err == WEIR_OK;
        settings.offset_dirty = *dirty = pass->cleaned.offset_dirty;
    }
    atomic_store(&pass->done, false);
    if (weir_plog_cleaning_new(f->log, &settings, &pass->cleaning, NULL) == WEIR_OK)
        pthread_create(&pass->thread, NULL, run_pass, pass);
    return ended;
}

static void a_log_is_cleaned_while_it_is_used(void **state)
{
    struct fixture *f = *state;
    struct shared shared = {.f = f};
    struct pass pass = {0};
    pthread_t threads[READERS + 1];
    uint64_t seed = dice_seed("a_log_is_cleaned_while_it_is_used");
    int64_t dirty = -1, trimmed = 0, newest_of[KEYS] = {0};
    int passes = 0;
    size_t count;
    struct seen *seen;

    f->options.segment_bytes = 3000;
    f->options.index_interval_bytes = 400;
    f->options.deletes = false;
    open_log(f, false);
    for (int i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, follow, &shared);
    pthread_create(&threads[READERS], NULL, sync_often, &shared);
    for (int i = 0; i < BATCHES || passes == 0; i++) {
        int key = (int)dice_below(&seed, KEYS);
        newest_of[key] = keyed_put(f, key, i);
        if (dice_below(&seed, 300) == 0) {
            trimmed += (int64_t)dice_below(&seed, (uint64_t)(i - trimmed) / 2 + 1);
            assert_int_equal(weir_plog_trim(f->log, trimmed, NULL), WEIR_OK);
        }
        if (i % 20 == 0) {
            weir_clock_virtual_advance_ms(&f->clock, 1);
            weir_plog_maintain(f->log);
            passes += look_after(f, &pass, &dirty);
        }
    }
    if (pass.cleaning != NULL) {
        pthread_join(pass.thread, NULL);
        weir_plog_cleaning_free(pass.cleaning);
        assert_true(pass.err == WEIR_OK || pass.err == WEIR_AGAIN);
    }
    atomic_store(&shared.done, true);
    for (int i = 0; i <= READERS; i++)
        pthread_join(threads[i], NULL);
    seen = read_all(f, &count);
    for (int key = 0; key < KEYS; key++) {
        int64_t newest = -1;
        for (size_t i = 0; i < count; i++) {
            if (seen[i].key == key)
                newest = seen[i].offset;
        }
        if (newest_of[key] >= trimmed)
            assert_int_equal(newest, newest_of[key]);
    }
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(a_log_is_cleaned_while_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
