/* The index files hold what Kafka's own tools check of them (DumpLogSegments). */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct content {
    uint8_t *bytes;
    size_t count;
};

static struct content load(const struct fixture *f, const char *stem, const char *suffix)
{
    char name[64];
    struct content content;
    char *path;
    int fd;

    snprintf(name, sizeof name, "%s%s", stem, suffix);
    content.count = (size_t)file_size(f, name);
    content.bytes = malloc(content.count + 1);
    path = file_path(f, name);
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, content.bytes, content.count), content.count);
    close(fd);
    free(path);
    return content;
}

/* The batch of the .log that holds the offset. */
static struct plog_head batch_with(const struct content *log, int64_t offset)
{
    struct plog_head head = {0};

    for (size_t at = 0; at < log->count; at += (size_t)head.bytes) {
        assert_true(plog_head_read(log->bytes + at, &head));
        if (head.offset_last >= offset)
            return head;
    }
    fail_msg("offset %lld is not in the file", (long long)offset);
    return head;
}

static void check_offsets(const struct content *log, const struct content *index, int64_t base)
{
    int64_t last = -1;

    assert_int_equal(index->count % 8, 0);
    for (size_t at = 0; at < index->count; at += 8) {
        int64_t relative = plog_get32(index->bytes + at);
        size_t position = plog_get32(index->bytes + at + 4);
        struct plog_head head;
        assert_true(relative > last && position < log->count);
        assert_true(plog_head_read(log->bytes + position, &head));
        assert_int_equal(head.offset_last, base + relative);
        last = relative;
    }
}

static void check_times(const struct content *log, const struct content *times, int64_t base)
{
    int64_t last = -1, max = -1;
    struct plog_head head;

    assert_true(times->count > 0 && times->count % 12 == 0);
    for (size_t at = 0; at < times->count; at += 12) {
        int64_t timestamp = plog_get64(times->bytes + at);
        assert_true(timestamp > last);
        head = batch_with(log, base + plog_get32(times->bytes + at + 8));
        assert_int_equal(head.timestamp_max, timestamp);
        last = timestamp;
    }
    for (size_t at = 0; at < log->count; at += (size_t)head.bytes) {
        assert_true(plog_head_read(log->bytes + at, &head));
        max = head.timestamp_max > max ? head.timestamp_max : max;
    }
    assert_int_equal(last, max);
}

static int check_directory(struct fixture *f)
{
    DIR *directory = opendir(f->directory);
    const struct dirent *entry;
    int segments = 0;

    while ((entry = readdir(directory)) != NULL) {
        char stem[32] = {0};
        struct content log, index, times;
        if (strstr(entry->d_name, ".log") == NULL || file_size(f, entry->d_name) == 0)
            continue;
        memcpy(stem, entry->d_name, 20);
        log = load(f, stem, ".log");
        index = load(f, stem, ".index");
        times = load(f, stem, ".timeindex");
        check_offsets(&log, &index, strtoll(stem, NULL, 10));
        check_times(&log, &times, strtoll(stem, NULL, 10));
        free(log.bytes);
        free(index.bytes);
        free(times.bytes);
        segments++;
    }
    closedir(directory);
    return segments;
}

static void entries_lead_to_their_batches(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = dice_seed("entries_lead_to_their_batches");
    int64_t offset = 0;

    f->options.segment_bytes = 300000;
    f->options.index_interval_bytes = 200; /* more entries than wait in memory */
    open_log(f, false);
    for (int i = 0; i < 3000; i++) {
        struct batch_spec spec = {
            .record_count = 1 + (int32_t)dice_below(&seed, 4),
            .value_bytes = (size_t)dice_below(&seed, 200),
            .timestamp = i + (int64_t)dice_below(&seed, 50),
        };
        append_ok(f, &spec, offset);
        offset += spec.record_count;
    }
    /* As written by appends, as built anew by a recovery, and gone on with. */
    assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    assert_true(check_directory(f) > 2);
    open_log(f, false);
    append_ok(f, &(struct batch_spec){.timestamp = 5000}, offset);
    reopen(f, true);
    append_ok(f, &(struct batch_spec){.timestamp = 6000}, offset + 1);
    assert_int_equal(weir_plog_close(f->log, NULL), WEIR_OK);
    f->log = NULL;
    check_directory(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plog_test(entries_lead_to_their_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
