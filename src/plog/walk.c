/* Stepping over batches: plog/walk.h. */
#include "plog/walk.h"

#include "base/assert.h"

void weir_plog_walk_init(struct plog_walk *walk, const struct weir_disk *disk, int fd,
                         const char *path, int64_t position, int64_t end, uint8_t *window,
                         size_t window_bytes)
{
    weir_assert(window_bytes >= PLOG_HEAD_BYTES);
    *walk = (struct plog_walk){
        .disk = disk,
        .path = path,
        .fd = fd,
        .position = position,
        .end = end,
        .window = window,
        .window_bytes = window_bytes,
    };
}

/* Moves the window so that it begins at `at`. */
static enum weir_err slide(struct plog_walk *walk, int64_t at, struct weir_error *error)
{
    int64_t left = walk->end - at;
    size_t bytes = left < (int64_t)walk->window_bytes ? (size_t)left : walk->window_bytes;
    enum weir_err err;

    walk->window_used = 0;
    err = weir_disk_read(walk->disk, walk->path, walk->fd, walk->window, bytes, at, error);
    if (err != WEIR_OK)
        return err == WEIR_TRUNCATED ? WEIR_IO : err;
    walk->window_at = at;
    walk->window_used = bytes;
    return WEIR_OK;
}

static bool holds(const struct plog_walk *walk, int64_t at, int64_t bytes)
{
    return walk->window_used > 0 && at >= walk->window_at &&
           at + bytes <= walk->window_at + (int64_t)walk->window_used;
}

enum weir_err weir_plog_walk_next(struct plog_walk *walk, struct plog_head *head, int64_t *at_out,
                                  struct weir_error *error)
{
    int64_t at = walk->position;

    if (at >= walk->end)
        return WEIR_END;
    if (walk->end - at < PLOG_HEAD_BYTES)
        return weir_error_set(error, WEIR_CORRUPT, at, "%s: position %lld: a torn batch header",
                              walk->path, (long long)at);
    if (!holds(walk, at, PLOG_HEAD_BYTES)) {
        enum weir_err err = slide(walk, at, error);
        if (err != WEIR_OK)
            return err;
    }
    if (!plog_head_read(walk->window + (at - walk->window_at), head))
        return weir_error_set(error, WEIR_CORRUPT, at, "%s: position %lld: not a record batch",
                              walk->path, (long long)at);
    if (head->bytes > walk->end - at)
        return weir_error_set(error, WEIR_CORRUPT, at,
                              "%s: position %lld: the batch of %lld bytes is torn", walk->path,
                              (long long)at, (long long)head->bytes);
    walk->position = at + head->bytes;
    if (at_out != NULL)
        *at_out = at;
    return WEIR_OK;
}

enum weir_err weir_plog_walk_crc(struct plog_walk *walk, int64_t at, const struct plog_head *head,
                                 uint32_t *crc_out, struct weir_error *error)
{
    int64_t from = at + PLOG_HEAD_CRC_FROM, to = at + head->bytes;
    uint32_t crc = 0;

    /* A batch that lies across the end of the window is read again whole, if it fits. */
    if (!holds(walk, at, head->bytes) && head->bytes <= (int64_t)walk->window_bytes) {
        enum weir_err err = slide(walk, at, error);
        if (err != WEIR_OK)
            return err;
    }
    while (from < to) {
        int64_t bytes;
        if (!holds(walk, from, 1)) {
            enum weir_err err = slide(walk, from, error);
            if (err != WEIR_OK)
                return err;
        }
        bytes = walk->window_at + (int64_t)walk->window_used - from;
        if (bytes > to - from)
            bytes = to - from;
        crc = weir_crc32c(crc, walk->window + (from - walk->window_at), (size_t)bytes);
        from += bytes;
    }
    *crc_out = crc;
    return WEIR_OK;
}
