/* The real and the faulty disk. */
#include "cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"

struct fixture {
    char directory[64], path[96];
};

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

    unlink(f->path);
    rmdir(f->directory);
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
    int fd = open_file(f, NULL);

    assert_int_equal(weir_disk_write(NULL, f->path, fd, "xyz", 3, 0, NULL), WEIR_OK);
    assert_int_equal(weir_disk_writev(NULL, f->path, fd, parts, 3, 1, NULL), WEIR_OK);
    assert_int_equal(weir_disk_sync(NULL, f->path, fd, NULL), WEIR_OK);
    assert_int_equal(weir_disk_size(NULL, f->path, fd, &bytes, NULL), WEIR_OK);
    assert_int_equal(bytes, 6);
    assert_int_equal(weir_disk_read(NULL, f->path, fd, text, 6, 0, NULL), WEIR_OK);
    assert_string_equal(text, "xabcde");
    assert_int_equal(weir_disk_read(NULL, f->path, fd, text, 6, 2, &error), WEIR_TRUNCATED);
    assert_int_equal(error.position, 6);
    assert_int_equal(weir_disk_truncate(NULL, f->path, fd, 2, NULL), WEIR_OK);
    assert_int_equal(weir_disk_size(NULL, f->path, fd, &bytes, NULL), WEIR_OK);
    assert_int_equal(bytes, 2);
    assert_int_equal(weir_disk_close(NULL, f->path, fd, NULL), WEIR_OK);
    assert_int_equal(weir_disk_close(NULL, f->path, -1, NULL), WEIR_OK);
}

static void errors_name_the_file_and_the_reason(void **state)
{
    struct fixture *f = *state;
    struct weir_error error;
    char expected[256];
    int fd;

    assert_int_equal(weir_disk_open(NULL, f->path, O_RDONLY, 0, &fd, &error), WEIR_NOT_FOUND);
    snprintf(expected, sizeof expected, "%s: open: No such file or directory", f->path);
    assert_string_equal(error.message, expected);
    assert_int_equal(weir_disk_unlink(NULL, f->path, NULL), WEIR_NOT_FOUND);
}

static void a_lock_is_held_by_one(void **state)
{
    struct fixture *f = *state;
    struct weir_error error;
    int first = open_file(f, NULL), second = open_file(f, NULL);

    assert_int_equal(weir_disk_lock(NULL, f->path, first, NULL), WEIR_OK);
    assert_int_equal(weir_disk_lock(NULL, f->path, second, &error), WEIR_IN_USE);
    assert_non_null(strstr(error.message, "in use by another process"));
    weir_disk_close(NULL, f->path, first, NULL);
    assert_int_equal(weir_disk_lock(NULL, f->path, second, NULL), WEIR_OK);
    weir_disk_close(NULL, f->path, second, NULL);
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
    assert_int_equal(weir_disk_make_directories(NULL, deeper, 0700, NULL), WEIR_OK);
    assert_int_equal(weir_disk_make_directories(NULL, deeper, 0700, NULL), WEIR_OK);
    weir_disk_close(NULL, f->path, open_file(f, NULL), NULL);
    assert_int_equal(weir_disk_list(NULL, f->directory, count_names, counts, NULL), WEIR_OK);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
    assert_int_equal(weir_disk_list(NULL, path, count_names, counts, NULL), WEIR_END);
    assert_int_equal(weir_disk_list(NULL, "/nowhere/at/all", count_names, counts, NULL),
                     WEIR_NOT_FOUND);
    assert_int_equal(weir_disk_rmdir(NULL, path, NULL), WEIR_EXISTS);
    assert_int_equal(weir_disk_rmdir(NULL, deeper, NULL), WEIR_OK);
    assert_int_equal(weir_disk_rmdir(NULL, path, NULL), WEIR_OK);
}

static void files_are_read_whole_up_to_the_ceiling(void **state)
{
    struct fixture *f = *state;
    struct weir_buffer b;
    char text[100];

    memset(text, 'x', sizeof text);
    assert_int_equal(weir_disk_replace_file(NULL, f->path, text, 100, NULL), WEIR_OK);
    weir_buffer_init(&b, 100);
    assert_int_equal(weir_disk_read_file(NULL, f->path, &b, NULL), WEIR_OK);
    assert_int_equal(b.bytes, 100);
    weir_buffer_release(&b);
    weir_buffer_init(&b, 99);
    assert_int_equal(weir_disk_read_file(NULL, f->path, &b, NULL), WEIR_LIMIT);
    weir_buffer_release(&b);
}

static void short_writes_are_carried_on(void **state)
{
    struct fixture *f = *state;
    struct weir_disk_faulty faulty;
    struct iovec parts[] = {{(char[]){"abc"}, 3}, {(char[]){"defg"}, 4}};
    char text[8] = "";
    int fd;

    weir_disk_faulty_init(&faulty, NULL);
    fd = open_file(f, &faulty.disk);
    faulty.mask = WEIR_DISK_WRITE;
    faulty.fail_at = 1;
    faulty.short_write = true;
    faulty.write_bytes = 5;
    faulty.calls = 0;
    assert_int_equal(weir_disk_writev(&faulty.disk, f->path, fd, parts, 2, 0, NULL), WEIR_OK);
    assert_int_equal(faulty.calls, 2);
    assert_int_equal(weir_disk_read(NULL, f->path, fd, text, 7, 0, NULL), WEIR_OK);
    assert_string_equal(text, "abcdefg");
    faulty.calls = 0;
    faulty.write_bytes = 0;
    assert_int_equal(weir_disk_write(&faulty.disk, f->path, fd, "x", 1, 0, NULL), WEIR_IO);
    weir_disk_close(NULL, f->path, fd, NULL);
}

static void a_replaced_file_is_old_or_new_whichever_call_fails(void **state)
{
    struct fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        struct weir_disk_faulty faulty;
        struct weir_buffer b;
        enum weir_err err;

        assert_int_equal(weir_disk_replace_file(NULL, f->path, "old", 3, NULL), WEIR_OK);
        weir_disk_faulty_init(&faulty, NULL);
        faulty.fail_at = n;
        faulty.error_number = ENOSPC;
        faulty.write_bytes = 1;
        err = weir_disk_replace_file(&faulty.disk, f->path, "fresh", 5, NULL);
        weir_buffer_init(&b, 100);
        assert_int_equal(weir_disk_read_file(NULL, f->path, &b, NULL), WEIR_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_name_the_file_and_the_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lock_is_held_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(directories_are_made_and_listed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_are_read_whole_up_to_the_ceiling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(short_writes_are_carried_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_replaced_file_is_old_or_new_whichever_call_fails, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
