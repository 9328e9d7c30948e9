/* The real disk, the one in memory, the faulty one, and the power that goes. */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/disk_memory.h"

struct fixture {
    char directory[64], path[96];
    struct weir_disk_memory *memory; /* NULL: the real one */
    const struct weir_disk *disk;
};

static int set_up_memory(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || weir_disk_memory_new(1 << 20, false, &f->memory) != WEIR_OK)
        return -1;
    f->disk = weir_disk_memory_disk(f->memory);
    snprintf(f->directory, sizeof f->directory, "/some/where");
    snprintf(f->path, sizeof f->path, "%s/file", f->directory);
    *state = f;
    return weir_disk_make_directories(f->disk, f->directory, 0700, NULL) == WEIR_OK ? 0 : -1;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    snprintf(f->directory, sizeof f->directory, "/tmp/weir-disk-XXXXXX");
    if (mkdtemp(f->directory) == NULL)
        return -1;
    snprintf(f->path, sizeof f->path, "%s/file", f->directory);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->memory == NULL) {
        unlink(f->path);
        rmdir(f->directory);
    }
    weir_disk_memory_free(f->memory);
    free(f);
    return 0;
}

static int open_file(struct fixture *f, const struct weir_disk *disk)
{
    int fd = -1;
    assert_int_equal(weir_disk_open(disk, f->path, O_RDWR | O_CREAT | O_TRUNC, 0600, &fd, NULL),
                     WEIR_OK);
    return fd;
}

static void what_is_written_is_read(void **state)
{
    struct fixture *f = *state;
    struct iovec parts[] = {{(char[]){"ab"}, 2}, {NULL, 0}, {(char[]){"cde"}, 3}};
    struct weir_error error;
    char text[8] = "";
    int64_t bytes;
    int fd = open_file(f, f->disk);

    assert_int_equal(weir_disk_write(f->disk, f->path, fd, "xyz", 3, 0, NULL), WEIR_OK);
    assert_int_equal(weir_disk_writev(f->disk, f->path, fd, parts, 3, 1, NULL), WEIR_OK);
    assert_int_equal(weir_disk_sync(f->disk, f->path, fd, NULL), WEIR_OK);
    assert_int_equal(weir_disk_size(f->disk, f->path, fd, &bytes, NULL), WEIR_OK);
    assert_int_equal(bytes, 6);
    assert_int_equal(weir_disk_read(f->disk, f->path, fd, text, 6, 0, NULL), WEIR_OK);
    assert_string_equal(text, "xabcde");
    assert_int_equal(weir_disk_read(f->disk, f->path, fd, text, 6, 2, &error), WEIR_TRUNCATED);
    assert_int_equal(error.position, 6);
    assert_int_equal(weir_disk_truncate(f->disk, f->path, fd, 2, NULL), WEIR_OK);
    assert_int_equal(weir_disk_size(f->disk, f->path, fd, &bytes, NULL), WEIR_OK);
    assert_int_equal(bytes, 2);
    assert_int_equal(weir_disk_close(f->disk, f->path, fd, NULL), WEIR_OK);
    assert_int_equal(weir_disk_close(f->disk, f->path, -1, NULL), WEIR_OK);
}

static void errors_name_the_file_and_the_reason(void **state)
{
    struct fixture *f = *state;
    struct weir_error error;
    char expected[256];
    int fd;

    assert_int_equal(weir_disk_open(f->disk, f->path, O_RDONLY, 0, &fd, &error), WEIR_NOT_FOUND);
    snprintf(expected, sizeof expected, "%s: open: No such file or directory", f->path);
    assert_string_equal(error.message, expected);
    assert_int_equal(weir_disk_unlink(f->disk, f->path, NULL), WEIR_NOT_FOUND);
}

static void a_lock_is_held_by_one(void **state)
{
    struct fixture *f = *state;
    struct weir_error error;
    int first = open_file(f, f->disk), second = open_file(f, f->disk);

    assert_int_equal(weir_disk_lock(f->disk, f->path, first, NULL), WEIR_OK);
    assert_int_equal(weir_disk_lock(f->disk, f->path, second, &error), WEIR_IN_USE);
    assert_non_null(strstr(error.message, "in use by another process"));
    weir_disk_close(f->disk, f->path, first, NULL);
    assert_int_equal(weir_disk_lock(f->disk, f->path, second, NULL), WEIR_OK);
    weir_disk_close(f->disk, f->path, second, NULL);
}

static enum weir_err count_names(void *opaque, const char *name, bool is_directory)
{
    int *counts = opaque;
    counts[is_directory]++;
    return strcmp(name, "stop") == 0 ? WEIR_END : WEIR_OK;
}

static void directories_are_made_and_listed(void **state)
{
    struct fixture *f = *state;
    char path[160], deeper[160];
    int counts[2] = {0, 0};

    snprintf(path, sizeof path, "%s/a", f->directory);
    snprintf(deeper, sizeof deeper, "%s/a/stop", f->directory);
    assert_int_equal(weir_disk_make_directories(f->disk, deeper, 0700, NULL), WEIR_OK);
    assert_int_equal(weir_disk_make_directories(f->disk, deeper, 0700, NULL), WEIR_OK);
    weir_disk_close(f->disk, f->path, open_file(f, f->disk), NULL);
    assert_int_equal(weir_disk_list(f->disk, f->directory, count_names, counts, NULL), WEIR_OK);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
    assert_int_equal(weir_disk_list(f->disk, path, count_names, counts, NULL), WEIR_END);
    assert_int_equal(weir_disk_list(f->disk, "/nowhere/at/all", count_names, counts, NULL),
                     WEIR_NOT_FOUND);
    assert_int_equal(weir_disk_rmdir(f->disk, path, NULL), WEIR_EXISTS);
    assert_int_equal(weir_disk_rmdir(f->disk, deeper, NULL), WEIR_OK);
    assert_int_equal(weir_disk_rmdir(f->disk, path, NULL), WEIR_OK);
}

static void files_are_read_whole_up_to_the_ceiling(void **state)
{
    struct fixture *f = *state;
    struct weir_buffer b;
    char text[100];

    memset(text, 'x', sizeof text);
    assert_int_equal(weir_disk_replace_file(f->disk, f->path, text, 100, NULL), WEIR_OK);
    weir_buffer_init(&b, 100);
    assert_int_equal(weir_disk_read_file(f->disk, f->path, &b, NULL), WEIR_OK);
    assert_int_equal(b.bytes, 100);
    weir_buffer_release(&b);
    weir_buffer_init(&b, 99);
    assert_int_equal(weir_disk_read_file(f->disk, f->path, &b, NULL), WEIR_LIMIT);
    weir_buffer_release(&b);
}

static void short_writes_are_carried_on(void **state)
{
    struct fixture *f = *state;
    struct weir_disk_faulty faulty;
    struct iovec parts[] = {{(char[]){"abc"}, 3}, {(char[]){"defg"}, 4}};
    char text[8] = "";
    int fd;

    weir_disk_faulty_init(&faulty, f->disk);
    fd = open_file(f, &faulty.disk);
    faulty.mask = WEIR_DISK_WRITE;
    faulty.fail_at = 1;
    faulty.short_write = true;
    faulty.write_bytes = 5;
    faulty.calls = 0;
    assert_int_equal(weir_disk_writev(&faulty.disk, f->path, fd, parts, 2, 0, NULL), WEIR_OK);
    assert_int_equal(faulty.calls, 2);
    assert_int_equal(weir_disk_read(f->disk, f->path, fd, text, 7, 0, NULL), WEIR_OK);
    assert_string_equal(text, "abcdefg");
    faulty.calls = 0;
    faulty.write_bytes = 0;
    assert_int_equal(weir_disk_write(&faulty.disk, f->path, fd, "x", 1, 0, NULL), WEIR_IO);
    weir_disk_close(f->disk, f->path, fd, NULL);
}

static void a_replaced_file_is_old_or_new_whichever_call_fails(void **state)
{
    struct fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        struct weir_disk_faulty faulty;
        struct weir_buffer b;
        enum weir_err err;

        assert_int_equal(weir_disk_replace_file(f->disk, f->path, "old", 3, NULL), WEIR_OK);
        weir_disk_faulty_init(&faulty, f->disk);
        faulty.fail_at = n;
        faulty.error_number = ENOSPC;
        faulty.write_bytes = 1;
        err = weir_disk_replace_file(&faulty.disk, f->path, "fresh", 5, NULL);
        weir_buffer_init(&b, 100);
        assert_int_equal(weir_disk_read_file(f->disk, f->path, &b, NULL), WEIR_OK);
        if (err == WEIR_OK)
            assert_string_equal(weir_buffer_text(&b), "fresh");
        else
            assert_true(strcmp(weir_buffer_text(&b), "old") == 0 ||
                        strcmp(weir_buffer_text(&b), "fresh") == 0);
        weir_buffer_release(&b);
        assert_int_equal(err, faulty.failed > 0 ? WEIR_LIMIT : WEIR_OK);
        if (faulty.failed == 0)
            break;
    }
}

/* ---- in memory ------------------------------------------------------------------------------- */

static void descriptors_outlive_names(void **state)
{
    struct fixture *f = *state;
    char text[8] = "", other[128];
    int fd = open_file(f, f->disk), second;

    snprintf(other, sizeof other, "%s.other", f->path);
    assert_int_equal(weir_disk_write(f->disk, f->path, fd, "first", 5, 0, NULL), WEIR_OK);
    assert_int_equal(weir_disk_unlink(f->disk, f->path, NULL), WEIR_OK);
    second = open_file(f, f->disk);
    assert_int_equal(weir_disk_write(f->disk, f->path, second, "second", 6, 0, NULL), WEIR_OK);
    assert_int_equal(weir_disk_read(f->disk, f->path, fd, text, 5, 0, NULL), WEIR_OK);
    assert_string_equal(text, "first");
    assert_int_equal(weir_disk_rename(f->disk, f->path, other, NULL), WEIR_OK);
    assert_int_equal(weir_disk_read(f->disk, f->path, second, text, 6, 0, NULL), WEIR_OK);
    assert_string_equal(text, "second");
    assert_int_equal(weir_disk_unlink(f->disk, f->path, NULL), WEIR_NOT_FOUND);
    weir_disk_close(f->disk, f->path, fd, NULL);
    weir_disk_close(f->disk, f->path, second, NULL);
    assert_int_equal(weir_disk_unlink(f->disk, other, NULL), WEIR_OK);
}

static void holes_are_zeros_also_where_a_file_was_cut(void **state)
{
    struct fixture *f = *state;
    char page[5000];
    int fd = open_file(f, f->disk);

    memset(page, 'x', sizeof page);
    assert_int_equal(weir_disk_write(f->disk, f->path, fd, page, sizeof page, 0, NULL), WEIR_OK);
    assert_int_equal(weir_disk_truncate(f->disk, f->path, fd, 10, NULL), WEIR_OK);
    assert_int_equal(weir_disk_write(f->disk, f->path, fd, "y", 1, 4999, NULL), WEIR_OK);
    assert_int_equal(weir_disk_read(f->disk, f->path, fd, page, sizeof page, 0, NULL), WEIR_OK);
    for (size_t i = 0; i < sizeof page; i++)
        assert_int_equal(page[i], i < 10 ? 'x' : i == 4999 ? 'y' : 0);
    weir_disk_close(f->disk, f->path, fd, NULL);
}

static void a_full_memory_is_a_full_disk(void **state)
{
    struct fixture *f = *state;
    static char much[(1 << 20) + 1];
    int fd = open_file(f, f->disk);
    struct weir_error error;

    assert_int_equal(weir_disk_write(f->disk, f->path, fd, much, sizeof much, 0, &error),
                     WEIR_LIMIT);
    assert_int_equal(weir_disk_memory_bytes(f->memory), 1 << 20);
    assert_int_equal(weir_disk_truncate(f->disk, f->path, fd, 0, NULL), WEIR_OK);
    assert_int_equal(weir_disk_memory_bytes(f->memory), 0);
    assert_int_equal(weir_disk_write(f->disk, f->path, fd, "x", 1, 0, &error), WEIR_OK);
    weir_disk_close(f->disk, f->path, fd, NULL);
}

/* ---- the power ------------------------------------------------------------------------------- */

static void put(const struct weir_disk *disk, const char *path, char letter, bool synced)
{
    char bytes[6000];
    int fd;

    memset(bytes, letter, sizeof bytes);
    assert_int_equal(weir_disk_open(disk, path, O_RDWR | O_CREAT, 0600, &fd, NULL), WEIR_OK);
    assert_int_equal(weir_disk_write(disk, path, fd, bytes, sizeof bytes, 0, NULL), WEIR_OK);
    if (synced)
        assert_int_equal(weir_disk_sync(disk, path, fd, NULL), WEIR_OK);
    assert_int_equal(weir_disk_close(disk, path, fd, NULL), WEIR_OK);
}

/* Which letters a file holds, as bits: 1 a, 2 b; 4: zeros; 8: shorter; 16: it is not there. */
static unsigned letters(const struct weir_disk *disk, const char *path)
{
    struct weir_buffer bytes;
    unsigned found = 0;

    weir_buffer_init(&bytes, 1 << 20);
    if (weir_disk_read_file(disk, path, &bytes, NULL) != WEIR_OK)
        return 16;
    for (size_t i = 0; i < bytes.bytes; i++)
        found |= bytes.data[i] == 'a' ? 1 : bytes.data[i] == 'b' ? 2 : 4;
    if (bytes.bytes < 6000)
        found |= 8;
    weir_buffer_release(&bytes);
    return found;
}

static void what_was_synced_stays_and_the_rest_is_anybodys_guess(void **state)
{
    unsigned synced = 0, overwritten = 0, grown = 0, unnamed = 0, renamed_from = 0, renamed_to = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct weir_disk_memory *memory;
        const struct weir_disk *disk;
        unsigned from, to;
        assert_int_equal(weir_disk_memory_new(1 << 20, true, &memory), WEIR_OK);
        disk = weir_disk_memory_disk(memory);
        put(disk, "/synced", 'a', true);
        put(disk, "/overwritten", 'a', true);
        put(disk, "/grown", 'a', false);
        put(disk, "/from", 'a', true);
        assert_int_equal(weir_disk_sync_directory(disk, "/", NULL), WEIR_OK);
        put(disk, "/overwritten", 'b', false);
        put(disk, "/unnamed", 'a', true);
        assert_int_equal(weir_disk_rename(disk, "/from", "/to", NULL), WEIR_OK);
        assert_int_equal(weir_disk_memory_cut(memory, seed), WEIR_OK);
        synced |= letters(disk, "/synced");
        overwritten |= letters(disk, "/overwritten");
        grown |= letters(disk, "/grown");
        unnamed |= letters(disk, "/unnamed");
        from = letters(disk, "/from");
        to = letters(disk, "/to");
        assert_true((from == 16) != (to == 16));                 /* one of both */
        assert_true(to == 16 || letters(disk, "/unnamed") == 1); /* names in order */
        renamed_from |= from;
        renamed_to |= to;
        put(disk, "/synced", 'b', false); /* it goes on */
        assert_int_equal(letters(disk, "/synced"), 2);
        weir_disk_memory_free(memory);
    }
    assert_int_equal(synced, 1);
    assert_int_equal(overwritten, 1 | 2);
    assert_int_equal(grown, 1 | 4 | 8);
    assert_int_equal(unnamed, 1 | 16);
    assert_int_equal(renamed_from, 1 | 16);
    assert_int_equal(renamed_to, 1 | 16);
}

#define ON_BOTH(test)                                                                              \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down),                                      \
        cmocka_unit_test_setup_teardown(test, set_up_memory, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(what_is_written_is_read),
        ON_BOTH(errors_name_the_file_and_the_reason),
        ON_BOTH(a_lock_is_held_by_one),
        ON_BOTH(directories_are_made_and_listed),
        ON_BOTH(files_are_read_whole_up_to_the_ceiling),
        ON_BOTH(short_writes_are_carried_on),
        ON_BOTH(a_replaced_file_is_old_or_new_whichever_call_fails),
        ON_BOTH(descriptors_outlive_names),
        ON_BOTH(holes_are_zeros_also_where_a_file_was_cut),
        cmocka_unit_test_setup_teardown(a_full_memory_is_a_full_disk, set_up_memory, tear_down),
        cmocka_unit_test(what_was_synced_stays_and_the_rest_is_anybodys_guess),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
