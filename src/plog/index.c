/* Sparse index files: plog/index.h. */
#include "plog/index.h"

#include "base/assert.h"
#include "plog/batch_head.h"

/* Below this many entries a search reads the whole range at once. */
enum { RANGE_MAX = 64 };

static struct plog_index_entry decode(const struct plog_index *index, const uint8_t *at)
{
    struct plog_index_entry entry;

    if (index->entry_bytes == PLOG_TIME_ENTRY_BYTES) {
        entry.key = plog_get64(at);
        entry.value = plog_get32(at + 8);
    } else {
        entry.key = plog_get32(at);
        entry.value = plog_get32(at + 4);
    }
    return entry;
}

void weir_plog_index_add(struct plog_index *index, struct plog_index_entry entry)
{
    uint8_t *at = index->pending + (size_t)index->pending_count * index->entry_bytes;

    weir_assert(!weir_plog_index_full(index));
    if (index->entry_bytes == PLOG_TIME_ENTRY_BYTES) {
        plog_put64(at, entry.key);
        plog_put32(at + 8, entry.value);
    } else {
        plog_put32(at, (uint32_t)entry.key);
        plog_put32(at + 4, entry.value);
    }
    index->pending_count++;
}

enum weir_err weir_plog_index_write(struct plog_index *index, const struct weir_disk *disk,
                                    const char *path, struct weir_error *error)
{
    if (index->pending_count == 0)
        return WEIR_OK;
    return weir_disk_write(disk, path, index->fd, index->pending,
                           (size_t)index->pending_count * index->entry_bytes,
                           (int64_t)index->stored * index->entry_bytes, error);
}

void weir_plog_index_written(struct plog_index *index)
{
    index->stored += index->pending_count;
    index->pending_count = 0;
}

/* The number of entries at `entries` whose key is <= key; they ascend. */
static uint32_t count_up_to(const struct plog_index *index, const uint8_t *entries, uint32_t count,
                            int64_t key)
{
    uint32_t low = 0;

    while (count > 0) {
        uint32_t half = count / 2;
        if (decode(index, entries + (size_t)(low + half) * index->entry_bytes).key <= key) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

bool weir_plog_index_search_pending(const struct plog_index *index, int64_t key,
                                    struct plog_index_entry *out)
{
    uint32_t count = count_up_to(index, index->pending, index->pending_count, key);

    if (count == 0)
        return false;
    *out = decode(index, index->pending + (size_t)(count - 1) * index->entry_bytes);
    return true;
}

enum weir_err weir_plog_index_read(const struct plog_index *index, const struct weir_disk *disk,
                                   const char *path, uint32_t number, struct plog_index_entry *out,
                                   struct weir_error *error)
{
    uint8_t entry[PLOG_ENTRY_BYTES_MAX];
    enum weir_err err = weir_disk_read(disk, path, index->fd, entry, index->entry_bytes,
                                       (int64_t)number * index->entry_bytes, error);
    if (err == WEIR_OK)
        *out = decode(index, entry);
    return err;
}

enum weir_err weir_plog_index_search_file(const struct plog_index *index,
                                          const struct weir_disk *disk, const char *path,
                                          uint32_t stored, int64_t key,
                                          struct plog_index_entry *out, struct weir_error *error)
{
    uint8_t range[RANGE_MAX * PLOG_ENTRY_BYTES_MAX];
    uint32_t low = 0, count = stored;
    enum weir_err err;

    /* Invariant: entries below `low` have keys <= key, those from low + count on have larger. */
    while (count > RANGE_MAX - 1) {
        uint32_t half = count / 2;
        struct plog_index_entry entry;
        err = weir_plog_index_read(index, disk, path, low + half, &entry, error);
        if (err != WEIR_OK)
            return err;
        if (entry.key <= key) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    /* One more in front: the answer, if all of the range is larger. */
    if (low > 0) {
        low--;
        count++;
    }
    if (count == 0)
        return WEIR_NOT_FOUND;
    err = weir_disk_read(disk, path, index->fd, range, (size_t)count * index->entry_bytes,
                         (int64_t)low * index->entry_bytes, error);
    if (err != WEIR_OK)
        return err;
    count = count_up_to(index, range, count, key);
    if (count == 0)
        return WEIR_NOT_FOUND;
    *out = decode(index, range + (size_t)(count - 1) * index->entry_bytes);
    return WEIR_OK;
}
