/* tests/unit/plog/fixture.h */
#include "fixture.h"

#include <stdio.h>
#include <sys/stat.h>

#include "plog/log.h"

int fixture_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->directory = directory_make();
    weir_clock_virtual_init(&f->clock, FIXTURE_WALL_MS);
    weir_plog_options_default(&f->options);
    f->options.clock = &f->clock.clock;
    f->options.disk = weir_disk_real();
    f->batch = malloc(BATCH_BYTES_MAX);
    weir_buffer_init(&f->buffer, 64 << 20);
    *state = f;
    return 0;
}

int fixture_tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->log != NULL)
        weir_plog_close(f->log, NULL);
    weir_buffer_release(&f->buffer);
    free(f->batch);
    directory_remove(f->directory);
    free(f);
    return 0;
}

void open_log(struct fixture *f, bool clean)
{
    struct weir_plog_recovery known = {.clean = clean, .offset_first = -1, .offset_recovery = -1};
    struct weir_error error = {0};

    if (weir_plog_open(f->directory, &f->options, &known, &f->log, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

void reopen(struct fixture *f, bool clean)
{
    assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    open_log(f, clean);
}

enum weir_plog_refusal append(struct fixture *f, const struct batch_spec *spec,
                              struct weir_plog_appended *out)
{
    size_t bytes = batch_make(f->batch, spec);
    enum weir_plog_refusal refusal;
    struct weir_error error = {0};
    enum weir_err err = weir_plog_append(f->log, f->batch, bytes, 0, out, &refusal, &error);

    assert_int_equal(err == WEIR_OK, refusal == WEIR_PLOG_ACCEPTED);
    assert_true(err == WEIR_OK || error.message[0] != '\0');
    return refusal;
}

void append_ok(struct fixture *f, const struct batch_spec *spec, int64_t offset)
{
    struct weir_plog_appended out;

    assert_int_equal(append(f, spec, &out), WEIR_PLOG_ACCEPTED);
    assert_int_equal(out.offset_base, offset);
    assert_false(out.duplicate);
}

void abandon(struct fixture *f)
{
    weir_plog_free(f->log);
    f->log = NULL;
}

void assert_batch_at(struct fixture *f, int64_t offset, const struct batch_spec *spec)
{
    size_t bytes = batch_make(f->batch, spec);

    weir_buffer_clear(&f->buffer);
    assert_int_equal(weir_plog_read(f->log, offset, -1, 1, true, &f->buffer, NULL), WEIR_OK);
    assert_int_equal(f->buffer.bytes, bytes);
    assert_true(plog_get64(f->buffer.data) <= offset);
    assert_memory_equal(f->buffer.data + 16, f->batch + 16, bytes - 16);
}

char *file_path(const struct fixture *f, const char *name)
{
    size_t bytes = strlen(f->directory) + strlen(name) + 2;
    char *path = malloc(bytes);

    snprintf(path, bytes, "%s/%s", f->directory, name);
    return path;
}

int64_t file_size(const struct fixture *f, const char *name)
{
    char *path = file_path(f, name);
    struct stat info;
    int64_t size = stat(path, &info) == 0 ? info.st_size : -1;

    free(path);
    return size;
}

bool file_exists(const struct fixture *f, const char *name)
{
    return file_size(f, name) >= 0;
}
