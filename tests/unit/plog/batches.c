/* tests/unit/plog/batches.h */
#include "batches.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plog/batch_head.h"

static size_t put_varint(uint8_t *at, int64_t value)
{
    uint64_t zigzag = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    size_t bytes = 0;

    while (zigzag >= 0x80) {
        at[bytes++] = (uint8_t)(zigzag | 0x80);
        zigzag >>= 7;
    }
    at[bytes++] = (uint8_t)zigzag;
    return bytes;
}

static size_t put_record(uint8_t *at, const struct batch_spec *spec, int32_t number,
                         uint64_t *state)
{
    uint8_t head[64];
    size_t used = 0, length_bytes;

    head[used++] = 0;
    used += put_varint(head + used, number * spec->timestamp_step);
    used += put_varint(head + used, number);
    used += put_varint(head + used, -1);
    used += put_varint(head + used, (int64_t)spec->value_bytes);
    length_bytes = put_varint(at, (int64_t)(used + spec->value_bytes + 1));
    memcpy(at + length_bytes, head, used);
    at += length_bytes + used;
    for (size_t i = 0; i < spec->value_bytes; i++)
        at[i] = (uint8_t)dice(state);
    at[spec->value_bytes] = 0;
    return length_bytes + used + spec->value_bytes + 1;
}

void batch_seal(uint8_t *bytes)
{
    int64_t size = (int64_t)plog_get32(bytes + 8) + PLOG_HEAD_LENGTH_END;
    plog_put32(bytes + 17, plog_batch_crc(bytes, size));
}

size_t batch_make(uint8_t *bytes, const struct batch_spec *spec)
{
    int32_t count = spec->record_count > 0 ? spec->record_count : 1;
    uint64_t state = spec->seed * 2 + 1;
    size_t size = PLOG_HEAD_BYTES;

    for (int32_t i = 0; i < count; i++)
        size += put_record(bytes + size, spec, i, &state);
    plog_put64(bytes, 0);
    plog_put32(bytes + 8, (uint32_t)(size - PLOG_HEAD_LENGTH_END));
    plog_put32(bytes + 12, 0);
    bytes[16] = 2;
    plog_put16(bytes + 21, spec->transactional ? PLOG_TRANSACTIONAL : 0);
    plog_put32(bytes + 23, (uint32_t)(count - 1));
    plog_put64(bytes + 27, spec->timestamp);
    plog_put64(bytes + 35, spec->timestamp + (count - 1) * spec->timestamp_step);
    plog_put64(bytes + 43, spec->idempotent ? spec->producer_id : -1);
    plog_put16(bytes + 51, spec->idempotent ? (uint16_t)spec->producer_epoch : 0xffff);
    plog_put32(bytes + 53, spec->idempotent ? (uint32_t)spec->sequence : UINT32_MAX);
    plog_put32(bytes + 57, (uint32_t)count);
    batch_seal(bytes);
    return size;
}

char *directory_make(void)
{
    const char *base = getenv("TMPDIR");
    size_t bytes = strlen(base != NULL ? base : "/tmp") + 32;
    char *path = malloc(bytes);

    snprintf(path, bytes, "%s/weir-plog-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL) {
        perror(path);
        abort();
    }
    return path;
}

void directory_remove(char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char child[4096];

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (unlink(child) != 0)
            rmdir(child);
    }
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
    free(path);
}

uint64_t dice(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * UINT64_C(0x2545f4914f6cdd1d)) >> 8;
}

uint64_t dice_below(uint64_t *state, uint64_t limit)
{
    return dice(state) % limit;
}

uint64_t dice_seed(const char *test)
{
    const char *given = getenv("WEIR_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;

    seed |= 1;
    printf("%s: WEIR_SEED=%llu\n", test, (unsigned long long)seed);
    return seed;
}
