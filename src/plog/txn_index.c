/* Aborted transactions of a segment: plog/txn_index.h. */
#include "plog/txn_index.h"

#include <fcntl.h>

#include "plog/batch_head.h"

enum { VERSION = 0 };

static void put_entry(uint8_t *at, const struct plog_txn_entry *entry)
{
    plog_put16(at, VERSION);
    plog_put64(at + 2, entry->producer_id);
    plog_put64(at + 10, entry->offset_first);
    plog_put64(at + 18, entry->offset_last);
    plog_put64(at + 26, entry->offset_stable);
}

static bool get_entry(const uint8_t *at, struct plog_txn_entry *entry)
{
    entry->producer_id = plog_get64(at + 2);
    entry->offset_first = plog_get64(at + 10);
    entry->offset_last = plog_get64(at + 18);
    entry->offset_stable = plog_get64(at + 26);
    return plog_get16(at) == VERSION && entry->offset_first >= 0 &&
           entry->offset_first < entry->offset_last && entry->offset_stable >= 0;
}

enum weir_err weir_plog_txn_index_read(const struct plog_txn_index *index,
                                       const struct weir_disk *disk, const char *path,
                                       uint32_t number, struct plog_txn_entry *out,
                                       struct weir_error *error)
{
    uint8_t bytes[PLOG_TXN_ENTRY_BYTES];
    enum weir_err err = weir_disk_read(disk, path, index->fd, bytes, sizeof bytes,
                                       (int64_t)number * PLOG_TXN_ENTRY_BYTES, error);

    if (err == WEIR_OK && !get_entry(bytes, out))
        err = weir_error_set(error, WEIR_CORRUPT, number, "%s: entry %u can't be", path,
                             (unsigned)number);
    return err;
}

static enum weir_err check_entries(struct plog_txn_index *index, const struct weir_disk *disk,
                                   const char *path, int64_t offset_base, bool *good_out,
                                   struct weir_error *error)
{
    int64_t last = offset_base - 1;

    for (uint32_t i = 0; i < index->stored; i++) {
        struct plog_txn_entry entry;
        enum weir_err err = weir_plog_txn_index_read(index, disk, path, i, &entry, error);
        if (err != WEIR_OK && err != WEIR_CORRUPT)
            return err;
        if (err == WEIR_CORRUPT || entry.offset_last <= last)
            return WEIR_OK;
        last = entry.offset_last;
    }
    *good_out = true;
    return WEIR_OK;
}

enum weir_err weir_plog_txn_index_open(struct plog_txn_index *index, const struct weir_disk *disk,
                                       const char *path, int64_t offset_base, bool *good_out,
                                       struct weir_error *error)
{
    int64_t bytes = 0;
    enum weir_err err = weir_disk_open(disk, path, O_RDWR, 0, &index->fd, error);

    *good_out = err == WEIR_NOT_FOUND;
    if (err == WEIR_NOT_FOUND)
        return WEIR_OK;
    if (err == WEIR_OK)
        err = weir_disk_size(disk, path, index->fd, &bytes, error);
    if (err != WEIR_OK || bytes % PLOG_TXN_ENTRY_BYTES != 0 ||
        bytes / PLOG_TXN_ENTRY_BYTES > INT32_MAX)
        return err;
    index->stored = (uint32_t)(bytes / PLOG_TXN_ENTRY_BYTES);
    return check_entries(index, disk, path, offset_base, good_out, error);
}

enum weir_err weir_plog_txn_index_make(struct plog_txn_index *index, const struct weir_disk *disk,
                                       const char *path, struct weir_error *error)
{
    return weir_disk_open(disk, path, O_RDWR | O_CREAT | O_TRUNC, 0644, &index->fd, error);
}

enum weir_err weir_plog_txn_index_write(struct plog_txn_index *index, const struct weir_disk *disk,
                                        const char *path, const struct plog_txn_entry *entry,
                                        struct weir_error *error)
{
    uint8_t bytes[PLOG_TXN_ENTRY_BYTES];
    enum weir_err err = WEIR_OK;

    if (index->fd < 0)
        err = weir_plog_txn_index_make(index, disk, path, error);
    if (err != WEIR_OK)
        return err;
    put_entry(bytes, entry);
    return weir_disk_write(disk, path, index->fd, bytes, sizeof bytes,
                           (int64_t)index->stored * PLOG_TXN_ENTRY_BYTES, error);
}

enum weir_err weir_plog_txn_index_reset(struct plog_txn_index *index, const struct weir_disk *disk,
                                        const char *path, struct weir_error *error)
{
    index->stored = 0;
    return index->fd < 0 ? WEIR_OK : weir_disk_truncate(disk, path, index->fd, 0, error);
}

enum weir_err weir_plog_txn_index_find(const struct plog_txn_index *index,
                                       const struct weir_disk *disk, const char *path,
                                       int64_t offset, uint32_t *number_out,
                                       struct weir_error *error)
{
    uint32_t low = 0, high = index->stored;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct plog_txn_entry entry;
        enum weir_err err = weir_plog_txn_index_read(index, disk, path, middle, &entry, error);
        if (err != WEIR_OK)
            return err;
        if (entry.offset_last < offset)
            low = middle + 1;
        else
            high = middle;
    }
    *number_out = low;
    return WEIR_OK;
}
