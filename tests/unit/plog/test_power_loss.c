/* The power goes: of each file only what was synced is left, of each directory the synced names. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 512, DESCRIPTORS_MAX = 1024 };

/* Passes all on to the real disk and remembers what a sync has made safe. */
struct power_disk {
    struct weir_disk disk;
    const struct weir_disk *below;
    struct power_file {
        char path[256];
        int64_t safe_bytes;
        bool exists, name_safe;
    } files[FILES_MAX];
    int file_count;
    int by_descriptor[DESCRIPTORS_MAX]; /* number of a file; -1 = a directory */
};

/* A file that is met for the first time was there before: it is safe as it is. */
static int number_of(struct power_disk *power, const char *path)
{
    struct power_file *file = &power->files[power->file_count];
    struct stat info;

    for (int i = 0; i < power->file_count; i++) {
        if (power->files[i].exists && strcmp(power->files[i].path, path) == 0)
            return i;
    }
    assert_true(power->file_count < FILES_MAX);
    snprintf(file->path, sizeof file->path, "%s", path);
    file->exists = true;
    file->name_safe = stat(path, &info) == 0;
    file->safe_bytes = file->name_safe ? info.st_size : 0;
    return power->file_count++;
}

static int power_open(void *opaque, const char *path, int flags, mode_t mode)
{
    struct power_disk *power = opaque;
    int number = flags & O_DIRECTORY ? -1 : number_of(power, path);
    int fd = power->below->open(power->below->opaque, path, flags, mode);

    if (fd >= 0) {
        assert_true(fd < DESCRIPTORS_MAX);
        power->by_descriptor[fd] = number;
    } else if (number >= 0 && !power->files[number].name_safe) {
        power->files[number].exists = false;
    }
    return fd;
}

static int power_fsync(void *opaque, int fd)
{
    struct power_disk *power = opaque;
    int number = power->by_descriptor[fd];

    if (number >= 0) {
        power->files[number].safe_bytes = power->below->size(power->below->opaque, fd);
        return 0;
    }
    for (int i = 0; i < power->file_count; i++)
        power->files[i].name_safe = true;
    return 0;
}

static int power_ftruncate(void *opaque, int fd, int64_t bytes)
{
    struct power_disk *power = opaque;
    struct power_file *file = &power->files[power->by_descriptor[fd]];

    if (file->safe_bytes > bytes)
        file->safe_bytes = bytes;
    return power->below->ftruncate(power->below->opaque, fd, bytes);
}

static int power_rename(void *opaque, const char *from, const char *to)
{
    struct power_disk *power = opaque;
    int number = number_of(power, from), replaced = number_of(power, to);

    power->files[replaced].exists = false;
    snprintf(power->files[number].path, sizeof power->files[number].path, "%s", to);
    power->files[number].name_safe = false;
    return power->below->rename(power->below->opaque, from, to);
}

static int power_unlink(void *opaque, const char *path)
{
    struct power_disk *power = opaque;

    power->files[number_of(power, path)].exists = false;
    return power->below->unlink(power->below->opaque, path);
}

static void power_init(struct power_disk *power)
{
    power->below = weir_disk_real();
    power->disk = *power->below;
    power->disk.opaque = power;
    power->disk.open = power_open;
    power->disk.fsync = power_fsync;
    power->disk.fdatasync = power_fsync;
    power->disk.ftruncate = power_ftruncate;
    power->disk.rename = power_rename;
    power->disk.unlink = power_unlink;
}

static void lose_power(struct power_disk *power)
{
    for (int i = 0; i < power->file_count; i++) {
        struct power_file *file = &power->files[i];
        if (!file->exists)
            continue;
        if (!file->name_safe)
            unlink(file->path);
        else
            assert_int_equal(truncate(file->path, file->safe_bytes), 0);
    }
    power->file_count = 0;
}

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
    struct power_disk *power = calloc(1, sizeof *power);
    int64_t next = 0;

    power_init(power);
    f->options.disk = &power->disk;
    f->options.segment_bytes = 3000;
    f->options.index_interval_bytes = 300;
    f->options.retention_ms = -1;
    open_log(f, false);
    for (int round = 0; round < 25; round++) {
        struct weir_plog_recovery recovery = {.offset_first = -1, .offset_recovery = -1};
        int64_t flushed;
        for (uint64_t more = 1 + dice_below(&seed, 60); more > 0; more--, next++) {
            struct batch_spec spec = spec_of(next);
            append_ok(f, &spec, next);
            if (dice_below(&seed, sync_in) == 0)
                assert_int_equal(weir_plog_sync(f->log, NULL), WEIR_OK);
        }
        flushed = weir_plog_offset_flushed(f->log);
        assert_true(sync_in > 1 || flushed == next);
        abandon(f);
        lose_power(power);
        if (known)
            recovery.offset_recovery = flushed;
        assert_int_equal(weir_plog_open(f->directory, &f->options, &recovery, &f->log, NULL),
                         WEIR_OK);
        next = check(f, flushed);
    }
    assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    f->log = NULL;
    free(power);
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
