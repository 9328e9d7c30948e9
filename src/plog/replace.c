/*
 * Putting a cleaned segment in the place of others: weir_plog_replace of plog/log.h.
 *
 *      0.log 40.log 90.log   + 0.log.cleaned ...     the cleaning has written and synced them
 *      1. indexes, then the .log: .cleaned -> .swap  the .log's makes it whole; names are synced
 *      2. the list in memory
 *      3. 40.*, 90.* are removed
 *      4. indexes, then the .log: .swap -> the name  names are synced before and behind the .log's
 *
 * An open finds a `.log.swap`: it goes on at 3. It finds none: what is at .cleaned or .swap was not
 * whole and is removed. A cleaned segment reaches as far as what it replaces, as it keeps the last
 * batch; so its own batches say which segments step 3 removes.
 */
#include "plog/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "plog/walk.h"

/* ---- replacing */

/* Where the sources stand in the list, with the active segment behind them; false: not any more.
 * The mutex is held. */
static bool find_sources(const struct weir_plog *log, struct plog_segment *const *sources,
                         uint32_t count, uint32_t *number_out)
{
    uint32_t number = 0;

    while (number < log->segment_count && log->segments[number] != sources[0])
        number++;
    if (number + count >= log->segment_count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (log->segments[number + i] != sources[i])
            return false;
    }
    *number_out = number;
    return true;
}

static bool are_listed(struct weir_plog *log, struct plog_segment *const *sources, uint32_t count)
{
    uint32_t number;
    bool found;

    pthread_mutex_lock(&log->mutex);
    found = find_sources(log, sources, count, &number);
    pthread_mutex_unlock(&log->mutex);
    return found;
}

static void change_list(struct weir_plog *log, struct plog_segment *const *sources, uint32_t count,
                        struct plog_segment *with)
{
    uint32_t number = 0;
    int64_t bytes = with->bytes;

    for (uint32_t i = 0; i < count; i++)
        bytes -= sources[i]->bytes;
    pthread_mutex_lock(&log->mutex);
    find_sources(log, sources, count, &number);
    log->segments[number] = with;
    memmove(log->segments + number + 1, log->segments + number + count,
            (log->segment_count - number - count) * sizeof(struct plog_segment *));
    log->segment_count -= count - 1;
    atomic_fetch_add(&log->bytes, bytes);
    pthread_mutex_unlock(&log->mutex);
}

/* Step 1. Until the .log has its name, or if it lets go of it again, nothing has happened. */
static enum weir_err make_whole(struct weir_plog *log, const struct plog_segment *with,
                                struct weir_error *error)
{
    struct weir_error cause;
    enum weir_err gone,
        err = weir_plog_segment_rename_indexes(with, PLOG_STAGE_CLEANED, PLOG_STAGE_SWAP, error);

    if (err == WEIR_OK)
        err = weir_plog_segment_rename_log(with, PLOG_STAGE_CLEANED, PLOG_STAGE_SWAP, error);
    if (err == WEIR_OK) {
        err = weir_disk_sync_directory(log->disk, log->directory, error);
        if (err != WEIR_OK)
            weir_plog_fail(log, error);
        return err;
    }
    (void)!weir_plog_segment_unlink(with, PLOG_STAGE_CLEANED, NULL);
    gone = weir_plog_segment_unlink(with, PLOG_STAGE_SWAP, &cause);
    if (gone != WEIR_OK && gone != WEIR_NOT_FOUND)
        weir_plog_fail(log, &cause);
    return err;
}

/* Steps 3 and 4. */
static enum weir_err take_names(struct weir_plog *log, struct plog_segment *const *sources,
                                uint32_t count, const struct plog_segment *with,
                                struct weir_error *error)
{
    enum weir_err err = WEIR_OK;

    for (uint32_t i = 1; err == WEIR_OK && i < count; i++)
        err = weir_plog_segment_unlink(sources[i], PLOG_STAGE_NONE, error);
    if (err == WEIR_OK)
        err = weir_plog_segment_rename_indexes(with, PLOG_STAGE_SWAP, PLOG_STAGE_NONE, error);
    if (err == WEIR_OK)
        err = weir_disk_sync_directory(log->disk, log->directory, error);
    if (err == WEIR_OK)
        err = weir_plog_segment_rename_log(with, PLOG_STAGE_SWAP, PLOG_STAGE_NONE, error);
    if (err == WEIR_OK)
        err = weir_disk_sync_directory(log->disk, log->directory, error);
    return err;
}

/* With shape_mutex. */
static enum weir_err replace(struct weir_plog *log, struct plog_segment *const *sources,
                             uint32_t count, struct plog_segment *with, struct weir_error *error)
{
    struct weir_error cause = {.code = WEIR_OK};
    enum weir_err err;

    if (!are_listed(log, sources, count)) {
        (void)!weir_plog_segment_unlink(with, PLOG_STAGE_CLEANED, NULL);
        weir_plog_segment_unref(with);
        return weir_error_set(error, WEIR_AGAIN, -1, "%s: was deleted while it was cleaned",
                              sources[0]->path);
    }
    err = make_whole(log, with, &cause);
    if (err == WEIR_OK) {
        change_list(log, sources, count, with);
        err = take_names(log, sources, count, with, &cause);
        if (err != WEIR_OK)
            weir_plog_fail(log, &cause);
        for (uint32_t i = 0; i < count; i++)
            weir_plog_segment_unref(sources[i]); /* the list's reference */
    } else {
        weir_plog_segment_unref(with);
    }
    if (err != WEIR_OK && error != NULL) {
        *error = cause;
        error->fatal = atomic_load(&log->failed);
    }
    return err;
}

enum weir_err weir_plog_replace(struct weir_plog *log, struct plog_segment *const *sources,
                                uint32_t count, struct plog_segment *with, struct weir_error *error)
{
    enum weir_err err;

    pthread_mutex_lock(&log->shape_mutex);
    err = replace(log, sources, count, with, error);
    pthread_mutex_unlock(&log->shape_mutex);
    return err;
}

/* ---- after an end without warning */

enum { OFFSETS_BYTES_MAX = PLOG_SEGMENTS_MAX * 8, OFFSET_DIGITS = 20 };

struct leftovers {
    struct weir_plog *log;
    struct weir_error *error;
    struct weir_buffer swaps, logs; /* int64_t, the offsets of their names */
    bool found;                     /* any file at all that is not in its place */
};

static bool ends_with(const char *name, const char *suffix)
{
    size_t bytes = strlen(name), suffix_bytes = strlen(suffix);

    return bytes >= suffix_bytes && strcmp(name + bytes - suffix_bytes, suffix) == 0;
}

/* A file of a segment that is not in its place. */
static bool is_staged(const char *name)
{
    return strspn(name, "0123456789") == OFFSET_DIGITS && name[OFFSET_DIGITS] == '.' &&
           (ends_with(name, PLOG_STAGE_CLEANED) || ends_with(name, PLOG_STAGE_SWAP));
}

static enum weir_err note_name(void *opaque, const char *name, bool is_directory)
{
    struct leftovers *leftovers = opaque;
    bool staged = !is_directory && is_staged(name);
    struct weir_buffer *offsets = NULL;
    int64_t offset;

    leftovers->found = leftovers->found || staged;
    if (staged && ends_with(name, ".log" PLOG_STAGE_SWAP))
        offsets = &leftovers->swaps;
    else if (!is_directory && strspn(name, "0123456789") == OFFSET_DIGITS &&
             strcmp(name + OFFSET_DIGITS, ".log") == 0)
        offsets = &leftovers->logs;
    if (offsets == NULL)
        return WEIR_OK;
    offset = (int64_t)strtoull(name, NULL, 10);
    return weir_buffer_append(offsets, &offset, sizeof offset);
}

static enum weir_err remove_staged(void *opaque, const char *name, bool is_directory)
{
    struct leftovers *leftovers = opaque;
    struct weir_plog *log = leftovers->log;
    char path[PLOG_PATH_BYTES];

    if (is_directory || !is_staged(name) || !weir_plog_path(log->directory, name, path))
        return WEIR_OK;
    weir_log(&log->options.log, WEIR_LOG_INFO, "plog", "%s: deleted, of an unfinished cleaning",
             path);
    return weir_disk_unlink(log->disk, path, leftovers->error);
}

static bool stage_path(const struct weir_plog *log, int64_t offset, const char *suffix,
                       char path[PLOG_PATH_BYTES])
{
    char name[PLOG_NAME_BYTES];

    weir_plog_name(offset, suffix, name);
    return weir_plog_path(log->directory, name, path);
}

/* Where a whole `.log.swap` ends. */
static enum weir_err find_end(const struct leftovers *leftovers, int64_t base, int64_t *end_out)
{
    const struct weir_disk *disk = leftovers->log->disk;
    char path[PLOG_PATH_BYTES];
    uint8_t window[PLOG_WINDOW_BYTES];
    struct plog_walk walk;
    struct plog_head head;
    int64_t bytes = 0;
    int fd;
    enum weir_err err;

    if (!stage_path(leftovers->log, base, ".log" PLOG_STAGE_SWAP, path))
        return weir_error_set(leftovers->error, WEIR_INVALID, -1, "%s: the path is too long",
                              leftovers->log->directory);
    *end_out = base;
    err = weir_disk_open(disk, path, O_RDONLY, 0, &fd, leftovers->error);
    if (err != WEIR_OK)
        return err;
    err = weir_disk_size(disk, path, fd, &bytes, leftovers->error);
    weir_plog_walk_init(&walk, disk, fd, path, 0, bytes, window, sizeof window);
    while (err == WEIR_OK) {
        err = weir_plog_walk_next(&walk, &head, NULL, leftovers->error);
        if (err == WEIR_OK)
            *end_out = head.offset_last + 1;
    }
    weir_disk_close(disk, path, fd, NULL);
    return err == WEIR_END ? WEIR_OK : err;
}

/* Step 3. */
static enum weir_err remove_segment(const struct leftovers *leftovers, int64_t offset)
{
    /* The .log last: as long as it is there, this is done again. */
    static const char *const suffixes[] = {".index", ".timeindex", ".txnindex", ".log"};
    char path[PLOG_PATH_BYTES];
    enum weir_err err = WEIR_OK;

    for (size_t i = 0; err == WEIR_OK && i < sizeof suffixes / sizeof *suffixes; i++) {
        if (stage_path(leftovers->log, offset, suffixes[i], path))
            err = weir_disk_unlink(leftovers->log->disk, path, leftovers->error);
        if (err == WEIR_NOT_FOUND)
            err = WEIR_OK;
    }
    return err;
}

static enum weir_err rename_swap(const struct leftovers *leftovers, int64_t offset,
                                 const char *suffix)
{
    char both[PLOG_NAME_BYTES], from[PLOG_PATH_BYTES], to[PLOG_PATH_BYTES];
    enum weir_err err;

    snprintf(both, sizeof both, "%s%s", suffix, PLOG_STAGE_SWAP);
    if (!stage_path(leftovers->log, offset, both, from) ||
        !stage_path(leftovers->log, offset, suffix, to))
        return WEIR_OK; /* the .log's path was shorter by less than there is room */
    err = weir_disk_rename(leftovers->log->disk, from, to, leftovers->error);
    return err == WEIR_NOT_FOUND ? WEIR_OK : err;
}

/* Steps 3 and 4 of one replacement, as much of them as is left. */
static enum weir_err finish(const struct leftovers *leftovers, int64_t base)
{
    struct weir_plog *log = leftovers->log;
    const int64_t *logs = (const int64_t *)(const void *)leftovers->logs.data;
    int64_t end;
    enum weir_err err = find_end(leftovers, base, &end);

    for (size_t i = 0; err == WEIR_OK && i < leftovers->logs.bytes / sizeof *logs; i++) {
        if (logs[i] > base && logs[i] < end)
            err = remove_segment(leftovers, logs[i]);
    }
    if (err == WEIR_OK)
        err = rename_swap(leftovers, base, ".index");
    if (err == WEIR_OK)
        err = rename_swap(leftovers, base, ".timeindex");
    if (err == WEIR_OK)
        err = rename_swap(leftovers, base, ".txnindex");
    if (err == WEIR_OK)
        err = weir_disk_sync_directory(log->disk, log->directory, leftovers->error);
    if (err == WEIR_OK)
        err = rename_swap(leftovers, base, ".log");
    if (err == WEIR_OK)
        err = weir_disk_sync_directory(log->disk, log->directory, leftovers->error);
    return err;
}

enum weir_err weir_plog_finish_replacements(struct weir_plog *log, struct weir_error *error)
{
    struct leftovers leftovers = {.log = log, .error = error};
    enum weir_err err;

    weir_buffer_init(&leftovers.swaps, OFFSETS_BYTES_MAX);
    weir_buffer_init(&leftovers.logs, OFFSETS_BYTES_MAX);
    err = weir_disk_list(log->disk, log->directory, note_name, &leftovers, error);
    if (err == WEIR_NOT_FOUND) /* a new log */
        err = WEIR_OK;
    if (err == WEIR_OK && leftovers.found) {
        const int64_t *swaps = (const int64_t *)(const void *)leftovers.swaps.data;
        for (size_t i = 0; err == WEIR_OK && i < leftovers.swaps.bytes / sizeof *swaps; i++)
            err = finish(&leftovers, swaps[i]);
        if (err == WEIR_OK)
            err = weir_disk_list(log->disk, log->directory, remove_staged, &leftovers, error);
    }
    weir_buffer_release(&leftovers.swaps);
    weir_buffer_release(&leftovers.logs);
    return err;
}
