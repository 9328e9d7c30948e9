/*
 * A partition log opened on any bytes: the .log, its indexes and a snapshot of the producers come
 * from the input. Whatever it holds, the open ends, what can be read is read, appending goes on,
 * and a second open agrees with the first.
 *
 *      flags u8 | log bytes u16 | index bytes u16 | time index bytes u16 | the three | snapshot
 *
 *      flags: 1 = orderly close claimed, 2 = CRCs are put right first, 4 = a first offset of 3
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "plog/batch_head.h"
#include "plog/plog.h"

struct input {
    const uint8_t *at, *end;
};

static size_t take(struct input *input, size_t bytes, const uint8_t **data)
{
    size_t left = (size_t)(input->end - input->at);

    bytes = bytes < left ? bytes : left;
    *data = input->at;
    input->at += bytes;
    return bytes;
}

static void write_file(const char *directory, const char *name, const uint8_t *data, size_t bytes)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    weir_assert(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    close(fd);
}

/* So that the fuzzer gets past the checks. */
static void put_crcs_right(uint8_t *log, size_t bytes)
{
    struct plog_head head;

    for (size_t at = 0; bytes - at >= PLOG_HEAD_BYTES; at += (size_t)head.bytes) {
        if (!plog_head_read(log + at, &head) || (size_t)head.bytes > bytes - at)
            return;
        plog_put32(log + at + 17, plog_batch_crc(log + at, head.bytes));
    }
}

static void use(struct weir_plog *log)
{
    struct weir_buffer buffer;
    int64_t first = weir_plog_offset_first(log), next = weir_plog_offset_next(log), offset, time;

    weir_assert(first >= 0 && first <= next);
    weir_buffer_init(&buffer, 1 << 20);
    for (int i = 0; i <= 8; i++) {
        offset = first + (next - first) / 8 * i;
        weir_buffer_clear(&buffer);
        enum weir_err err = weir_plog_read(log, offset, -1, 1 << 16, true, &buffer, NULL);
        weir_assert(err == WEIR_OK || err == WEIR_CORRUPT || err == WEIR_LIMIT);
    }
    for (time = 0; time < INT64_MAX / 16; time = time * 16 + 1) {
        enum weir_err err = weir_plog_find_time(log, time, &offset, &(int64_t){0}, NULL);
        weir_assert(err != WEIR_OK || (offset >= first && offset < next));
    }
    weir_buffer_release(&buffer);
}

static void open_twice(const char *directory, bool clean, int64_t offset_first)
{
    struct weir_plog_options options;
    struct weir_plog_recovery known = {
        .clean = clean, .offset_first = offset_first, .offset_recovery = -1};
    struct weir_plog *log;
    int64_t next;

    weir_plog_options_default(&options);
    options.index_interval_bytes = 64;
    if (weir_plog_open(directory, &options, &known, &log, NULL) != WEIR_OK)
        return;
    use(log);
    next = weir_plog_offset_next(log);
    if (weir_plog_close(log, NULL) != WEIR_OK)
        return;
    known.clean = true;
    enum weir_err err = weir_plog_open(directory, &options, &known, &log, NULL);
    weir_assert(err == WEIR_OK && weir_plog_offset_next(log) == next);
    use(log);
    weir_plog_close(log, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char directory[] = "/tmp/weir-fuzz-plog-XXXXXX";
    struct input input = {data, data + size};
    const uint8_t *head, *part;
    uint8_t *log;
    size_t bytes;

    if (take(&input, 7, &head) < 7 || mkdtemp(directory) == NULL)
        return 0;
    bytes = take(&input, plog_get16(head + 1), &part);
    log = malloc(bytes + 1);
    memcpy(log, part, bytes);
    if (head[0] & 2)
        put_crcs_right(log, bytes);
    write_file(directory, "00000000000000000000.log", log, bytes);
    free(log);
    bytes = take(&input, plog_get16(head + 3), &part);
    write_file(directory, "00000000000000000000.index", part, bytes);
    bytes = take(&input, plog_get16(head + 5), &part);
    write_file(directory, "00000000000000000000.timeindex", part, bytes);
    bytes = take(&input, SIZE_MAX, &part);
    write_file(directory, "00000000000000000002.snapshot", part, bytes);
    open_twice(directory, head[0] & 1, head[0] & 4 ? 3 : -1);
    weir_assert(weir_plog_destroy(directory, NULL, NULL) == WEIR_OK);
    return 0;
}
