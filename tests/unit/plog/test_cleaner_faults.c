/* A pass that meets a failing disk, or the end of its process, at each call in turn. */
#include "keyed.h"

#include <dirent.h>
#include <stdio.h>

#include "base/alloc.h"
#include "plog/log.h"

enum { ROUNDS = 4, KEYS = 5 };

static const struct weir_plog_clean_settings all = {
    .offset_dirty = -1, .delete_retention_ms = 100, .map_bytes = 1 << 14};

/* Segments, clean and dirty; records to go for each reason there is. */
static void build(struct fixture *f)
{
    struct weir_plog_cleaned out;
    int32_t sequence = 0;

    weir_clock_virtual_init(&f->clock, FIXTURE_WALL_MS);
    open_log(f, false);
    for (int round = 0; round < ROUNDS; round++) {
        struct keyed_batch batch = {.records = {{0, round}, {1 + round % 2, TOMBSTONE}, {9, round}},
                                    .count = 3,
                                    .timestamp = 1000,
                                    .codec = 3,
                                    .producer_id = 5,
                                    .transactional = true};
        batch.sequence = sequence;
        sequence += 3;
        keyed_append(f, &batch);
        end_transaction(f, 5, round % 2 == 1);
        for (int key = 0; key < KEYS; key++)
            keyed_put(f, key + 2 * (round % 2), 10 * round + key);
        roll(f);
        if (round == 1) {
            assert_int_equal(clean(f, &all, &out), WEIR_OK);
            weir_clock_virtual_advance_ms(&f->clock, 200);
        }
    }
    keyed_put(f, 7, 7);
}

struct content {
    struct seen *seen;
    size_t count;
    int64_t next;
};

static struct content content_of(struct fixture *f)
{
    struct content content = {.next = weir_plog_offset_next(f->log)};

    content.seen = read_all(f, &content.count);
    return content;
}

static bool holds(const struct content *content, const struct seen *record)
{
    for (size_t i = 0; i < content->count; i++) {
        if (memcmp(&content->seen[i], record, sizeof *record) == 0)
            return true;
    }
    return false;
}

static void assert_within(const struct content *inner, const struct content *outer)
{
    assert_int_equal(inner->next, outer->next);
    for (size_t i = 0; i < inner->count; i++)
        assert_true(holds(outer, &inner->seen[i]));
}

/* What the log has now lies between what it had and what it is to have. */
static void check_between(struct fixture *f, const struct content *before,
                          const struct content *after)
{
    struct content now = content_of(f);

    assert_within(&now, before);
    assert_within(after, &now);
    free(now.seen);
}

/* Another pass makes it what it is to be, and the log goes on. */
static void check_final(struct fixture *f, const struct content *before,
                        const struct content *after)
{
    struct weir_plog_cleaned out;
    struct content now;

    check_between(f, before, after);
    assert_int_equal(clean(f, &all, &out), WEIR_OK);
    now = content_of(f);
    assert_within(&now, after);
    assert_int_equal(now.count, after->count);
    free(now.seen);
    assert_int_equal(keyed_put(f, 1, 1), before->next);
}

static bool has_swap(const struct fixture *f)
{
    DIR *directory = opendir(f->directory);
    bool found = false;

    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        found = found || strstr(entry->d_name, ".swap") != NULL;
    closedir(directory);
    return found;
}

static bool has_leftovers(const struct fixture *f)
{
    DIR *directory = opendir(f->directory);
    bool found = false;

    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        found = found || strstr(entry->d_name, ".swap") || strstr(entry->d_name, ".cleaned");
    closedir(directory);
    return found;
}

/* An open that ends at each of its calls but the last, one further each time: what the one before
 * has left is what the next one finds. */
static void open_in_steps(struct fixture *f)
{
    enum weir_err err;

    for (uint64_t n = 1;; n++) {
        struct weir_disk_faulty faulty;
        weir_disk_faulty_init(&faulty, NULL);
        faulty.fail_at = n;
        faulty.broken_for_good = true;
        f->options.disk = &faulty.disk;
        err = weir_plog_open(f->directory, &f->options, NULL, &f->log, NULL);
        f->options.disk = weir_disk_real();
        if (err == WEIR_OK)
            abandon(f);
        if (err == WEIR_OK || atomic_load(&faulty.failed) == 0)
            return;
    }
}

static void fresh(struct fixture *f)
{
    if (f->log != NULL)
        assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    f->log = NULL;
    assert_int_equal(weir_plog_destroy(f->directory, NULL, NULL), WEIR_OK);
    build(f);
}

static void measure(struct fixture *f, struct content *before, struct content *after)
{
    struct weir_plog_cleaned out;

    f->options.segment_bytes = 1200;
    f->options.index_interval_bytes = 200;
    f->options.deletes = false;
    build(f);
    *before = content_of(f);
    assert_int_equal(clean(f, &all, &out), WEIR_OK);
    *after = content_of(f);
    assert_true(after->count < before->count);
}

static void an_end_at_any_call_is_finished_or_taken_back(void **state)
{
    struct fixture *f = *state;
    struct content before, after;
    uint64_t swaps = 0, n;

    measure(f, &before, &after);
    for (n = 1;; n++) {
        struct weir_disk_faulty faulty;
        struct weir_plog_cleaned out;
        enum weir_err err;
        fresh(f);
        abandon(f);
        weir_disk_faulty_init(&faulty, NULL);
        f->options.disk = &faulty.disk;
        open_log(f, false);
        atomic_store(&faulty.calls, 0);
        faulty.fail_at = n;
        faulty.broken_for_good = true;
        faulty.write_bytes = 10;
        err = clean(f, &all, &out);
        faulty.fail_at = 0;
        check_between(f, &before, &after); /* what readers of this process still saw */
        abandon(f);
        f->options.disk = weir_disk_real();
        if (has_swap(f)) {
            swaps++;
            open_in_steps(f);
        }
        open_log(f, false);
        assert_false(has_leftovers(f));
        check_final(f, &before, &after);
        if (atomic_load(&faulty.failed) == 0)
            break;
        assert_int_not_equal(err, WEIR_OK);
    }
    assert_true(swaps > 5);
    print_message("%llu calls, %llu with a replacement under way\n", (unsigned long long)n,
                  (unsigned long long)swaps);
    free(before.seen);
    free(after.seen);
}

static void a_failing_call_is_told_and_nothing_is_lost(void **state)
{
    struct fixture *f = *state;
    struct content before, after;

    measure(f, &before, &after);
    for (uint64_t n = 1;; n++) {
        struct weir_disk_faulty faulty;
        struct weir_plog_cleaned out;
        enum weir_err err;
        fresh(f);
        abandon(f);
        weir_disk_faulty_init(&faulty, NULL);
        f->options.disk = &faulty.disk;
        open_log(f, false);
        atomic_store(&faulty.calls, 0);
        faulty.fail_at = n;
        err = clean(f, &all, &out);
        faulty.fail_at = 0;
        check_between(f, &before, &after);
        if (weir_plog_check_writable(f->log, NULL) != WEIR_OK) {
            assert_int_not_equal(err, WEIR_OK);
            abandon(f);
            open_log(f, false);
        }
        assert_false(has_swap(f)); /* what an open would take for a whole one */
        check_final(f, &before, &after);
        abandon(f);
        f->options.disk = weir_disk_real();
        if (atomic_load(&faulty.failed) == 0)
            break;
        open_log(f, false);
    }
    free(before.seen);
    free(after.seen);
}

static void without_memory_nothing_changes(void **state)
{
    struct fixture *f = *state;
    struct content before, after;

    measure(f, &before, &after);
    fresh(f);
    for (uint64_t n = 1;; n++) {
        struct weir_alloc_counts counts;
        struct weir_plog_cleaned out;
        enum weir_err err;
        weir_alloc_watch_start(n);
        err = clean(f, &all, &out);
        counts = weir_alloc_watch_stop();
        assert_int_equal(err, counts.failed > 0 ? WEIR_NOMEM : WEIR_OK);
        assert_int_equal(weir_plog_check_writable(f->log, NULL), WEIR_OK);
        check_between(f, &before, &after);
        if (counts.failed == 0)
            break;
    }
    check_final(f, &before, &after);
    free(before.seen);
    free(after.seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(an_end_at_any_call_is_finished_or_taken_back),
        plog_test(a_failing_call_is_told_and_nothing_is_lost),
        plog_test(without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
