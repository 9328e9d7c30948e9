/* Opening after an unclean end: torn tails, damage, leftovers, kill -9. */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_at(const struct fixture *f, const char *name, int64_t at, const void *data,
                     size_t bytes)
{
    char *path = file_path(f, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, bytes, at), bytes);
    close(fd);
    free(path);
}

static void cut_file(const struct fixture *f, const char *name, int64_t bytes)
{
    char *path = file_path(f, name);

    assert_int_equal(truncate(path, bytes), 0);
    free(path);
}

static void remove_file(const struct fixture *f, const char *name)
{
    char *path = file_path(f, name);

    assert_int_equal(unlink(path), 0);
    free(path);
}

static void fill(struct fixture *f, int from, int to)
{
    for (int i = from; i < to; i++)
        append_ok(
            f, &(struct batch_spec){.value_bytes = 150, .seed = (uint64_t)i, .timestamp = 1000 + i},
            i);
}

static void assert_filled(struct fixture *f, int from, int to)
{
    for (int i = from; i < to; i++)
        assert_batch_at(
            f, i,
            &(struct batch_spec){.value_bytes = 150, .seed = (uint64_t)i, .timestamp = 1000 + i});
}

static const char first_log[] = "00000000000000000000.log";
static const char first_index[] = "00000000000000000000.index";
static const char first_times[] = "00000000000000000000.timeindex";

static void a_torn_tail_is_cut_at_every_byte(void **state)
{
    struct fixture *f = *state;
    int64_t whole, before;

    open_log(f, false);
    fill(f, 0, 3);
    before = weir_plog_bytes(f->log);
    fill(f, 3, 4);
    whole = weir_plog_bytes(f->log);
    for (int64_t bytes = whole - 1; bytes >= before; bytes--) {
        abandon(f);
        cut_file(f, first_log, bytes);
        open_log(f, false);
        assert_int_equal(weir_plog_offset_next(f->log), 3);
        assert_int_equal(file_size(f, first_log), before);
        fill(f, 3, 4);
        assert_int_equal(weir_plog_bytes(f->log), whole);
    }
    assert_filled(f, 0, 4);
}

static void a_flipped_bit_ends_the_log_before_its_batch(void **state)
{
    struct fixture *f = *state;
    int64_t one;

    open_log(f, false);
    fill(f, 0, 1);
    one = weir_plog_bytes(f->log);
    /* Of what the CRC covers and of the length, every 7th byte. */
    for (int64_t at = 8; at < one; at += 7) {
        uint8_t byte = 0xa5;
        if (at >= 12 && at < 16)
            continue; /* the leader epoch is nobody's to check */
        fill(f, 1, 5);
        abandon(f);
        write_at(f, first_log, one * 2 + at, &byte, 1);
        open_log(f, false);
        assert_true(weir_plog_offset_next(f->log) == 2 || weir_plog_offset_next(f->log) == 5);
        if (weir_plog_offset_next(f->log) == 5) {
            assert_filled(f, 0, 5); /* the byte was that before */
        } else {
            assert_filled(f, 0, 2);
        }
        abandon(f);
        cut_file(f, first_log, one);
        open_log(f, false);
    }
}

static void damaged_indexes_cost_time_only(void **state)
{
    struct fixture *f = *state;
    uint8_t junk[4096];

    f->options.segment_bytes = 20000;
    f->options.index_interval_bytes = 500;
    open_log(f, false);
    fill(f, 0, 300);
    memset(junk, 0xff, sizeof junk);
    for (int way = 0; way < 8; way++) {
        reopen(f, true);
        assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
        switch (way) {
        case 0:
            remove_file(f, first_index);
            break;
        case 1:
            remove_file(f, first_times);
            break;
        case 2: /* as long as Kafka preallocates */
            cut_file(f, first_index, 10 << 20);
            cut_file(f, first_times, 10 << 20);
            break;
        case 3:
            cut_file(f, first_index, 13);
            break;
        case 4: /* inside: found by those who read */
            write_at(f, first_index, 16, junk, 8);
            break;
        case 5: /* positions between batches */
            memset(junk, 0x01, sizeof junk);
            write_at(f, first_index, 8, junk, 100);
            break;
        case 6:
            write_at(f, first_index, 0, junk, (size_t)file_size(f, first_index));
            break;
        default: /* empty, but there */
            cut_file(f, first_index, 0);
            cut_file(f, first_times, 0);
            break;
        }
        open_log(f, true);
        assert_int_equal(weir_plog_offset_next(f->log), 300);
        assert_filled(f, 0, 300);
    }
    reopen(f, true);
    assert_true(file_size(f, first_index) > 0 && file_size(f, first_index) < 1000);
}

static void a_wrong_index_of_the_last_segment_never_cuts_the_log(void **state)
{
    struct fixture *f = *state;
    uint8_t entry[8] = {0, 0, 0, 40, 0, 0, 0x10, 0x01};

    f->options.index_interval_bytes = 500;
    open_log(f, false);
    fill(f, 0, 100);
    assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    write_at(f, first_index, file_size(f, first_index) - 8, entry, sizeof entry);
    open_log(f, true);
    assert_int_equal(weir_plog_offset_next(f->log), 100);
    assert_filled(f, 0, 100);
}

static void count_line(void *opaque, enum weir_log_level level, const char *area,
                       const char *message)
{
    (void)area;
    if (level == WEIR_LOG_WARN && strstr(message, "does not belong") != NULL)
        ++*(int *)opaque;
}

static void strangers_are_reported_and_left_and_leftovers_swept(void **state)
{
    struct fixture *f = *state;
    int reported = 0;

    write_at(f, "notes.txt", 0, "x", 1);
    write_at(f, "00000000000000000000.log.bak", 0, "x", 1);
    write_at(f, "99999999999999999999.log", 0, "x", 1);
    write_at(f, "00000000000000000777.index", 0, "x", 1);
    write_at(f, "00000000000000000777.snapshot.tmp", 0, "x", 1);
    write_at(f, "leader-epoch-checkpoint", 0, "0\n0\n", 4);
    f->options.log =
        (struct weir_log){.write = count_line, .opaque = &reported, .level = WEIR_LOG_WARN};
    open_log(f, false);
    assert_int_equal(reported, 3);
    assert_true(file_exists(f, "notes.txt"));
    assert_true(file_exists(f, "00000000000000000000.log.bak"));
    assert_true(file_exists(f, "99999999999999999999.log"));
    assert_true(file_exists(f, "leader-epoch-checkpoint"));
    assert_false(file_exists(f, "00000000000000000777.index"));
    assert_false(file_exists(f, "00000000000000000777.snapshot.tmp"));
    f->options.log = (struct weir_log){0};
    weir_plog_configure(f->log, &f->options);
}

static void open_known(struct fixture *f, int64_t offset_first, int64_t offset_recovery)
{
    struct weir_plog_recovery known = {.offset_first = offset_first,
                                       .offset_recovery = offset_recovery};

    assert_int_equal(weir_plog_open(f->directory, &f->options, &known, &f->log, NULL), WEIR_OK);
}

static void what_follows_the_recovery_point_is_checked(void **state)
{
    struct fixture *f = *state;
    uint8_t byte = 0x5a;

    f->options.segment_bytes = 1000;
    open_log(f, false);
    fill(f, 0, 20);
    abandon(f);
    write_at(f, first_log, 100, &byte, 1);
    /* All flushed but the last segment: the first is trusted. */
    open_known(f, -1, 18);
    assert_int_equal(weir_plog_offset_next(f->log), 20);
    assert_filled(f, 1, 20);
    abandon(f);
    /* Nothing flushed: the log ends where it is damaged. */
    open_known(f, -1, 0);
    assert_int_equal(weir_plog_offset_next(f->log), 0);
    assert_int_equal(weir_plog_bytes(f->log), 0);
    fill(f, 0, 20);
    assert_filled(f, 0, 20);
}

static void the_first_offset_of_the_checkpoint_holds(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 1000;
    open_log(f, false);
    fill(f, 0, 20);
    abandon(f);
    open_known(f, 7, -1);
    assert_int_equal(weir_plog_offset_first(f->log), 7);
    assert_false(file_exists(f, first_log));
    assert_filled(f, 7, 20);
    abandon(f);
    /* The end was lost with the power, the checkpoint was not. */
    open_known(f, 500, -1);
    assert_int_equal(weir_plog_offset_first(f->log), 500);
    assert_int_equal(weir_plog_offset_next(f->log), 500);
    append_ok(f, &(struct batch_spec){0}, 500);
}

/* The child appends and counts up what it may acknowledge; never returns. */
static _Noreturn void write_until_killed(struct fixture *f, _Atomic int64_t *acknowledged)
{
    for (int i = 0;; i++) {
        struct batch_spec spec = {.value_bytes = 150, .seed = (uint64_t)i, .timestamp = 1000 + i};
        struct weir_plog_appended out;
        enum weir_plog_refusal refusal;
        size_t bytes = batch_make(f->batch, &spec);
        if (weir_plog_append(f->log, f->batch, bytes, 0, &out, &refusal, NULL) != WEIR_OK)
            _exit(1);
        atomic_store(acknowledged, i + 1);
        if (i % 100 == 99)
            weir_plog_maintain(f->log);
    }
}

static void kill_9_loses_nothing_acknowledged(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = dice_seed("kill_9_loses_nothing_acknowledged");
    _Atomic int64_t *acknowledged =
        mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    f->options.segment_bytes = 100000;
    f->options.index_interval_bytes = 500;
    for (int round = 0; round < 8; round++) {
        int64_t target = (int64_t)dice_below(&seed, 4000), seen;
        pid_t child;
        atomic_store(acknowledged, 0);
        child = fork();
        if (child == 0) {
            open_log(f, false);
            write_until_killed(f, acknowledged);
        }
        while (atomic_load(acknowledged) <= target && waitpid(child, NULL, WNOHANG) == 0)
            ;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        seen = atomic_load(acknowledged);
        assert_true(seen > target);
        open_log(f, false);
        assert_true(weir_plog_offset_next(f->log) >= seen);
        assert_filled(f, 0, (int)seen);
        assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
        f->log = NULL;
        assert_int_equal(weir_plog_destroy(f->directory, weir_disk_real(), NULL), WEIR_OK);
    }
    munmap((void *)acknowledged, sizeof *acknowledged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(a_torn_tail_is_cut_at_every_byte),
        plog_test(a_flipped_bit_ends_the_log_before_its_batch),
        plog_test(damaged_indexes_cost_time_only),
        plog_test(a_wrong_index_of_the_last_segment_never_cuts_the_log),
        plog_test(strangers_are_reported_and_left_and_leftovers_swept),
        plog_test(what_follows_the_recovery_point_is_checked),
        plog_test(the_first_offset_of_the_checkpoint_holds),
        plog_test(kill_9_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
