/* What is built on the table of disk calls: base/disk.h. */
#include "base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/errno_error.h"

static const struct weir_disk *table(const struct weir_disk *disk)
{
    return disk != NULL ? disk : weir_disk_real();
}

/* result: >= 0 or -errno of a call. */
static enum weir_err check(int64_t result, const char *path, const char *what,
                           struct weir_error *error)
{
    return result >= 0 ? WEIR_OK : weir_errno_set(error, (int)-result, path, what);
}

enum weir_err weir_disk_open(const struct weir_disk *disk, const char *path, int flags, mode_t mode,
                             int *fd_out, struct weir_error *error)
{
    disk = table(disk);
    *fd_out = disk->open(disk->opaque, path, flags, mode);
    return check(*fd_out, path, "open", error);
}

enum weir_err weir_disk_close(const struct weir_disk *disk, const char *path, int fd,
                              struct weir_error *error)
{
    disk = table(disk);
    return fd < 0 ? WEIR_OK : check(disk->close(disk->opaque, fd), path, "close", error);
}

enum weir_err weir_disk_read(const struct weir_disk *disk, const char *path, int fd, void *into,
                             size_t bytes, int64_t offset, struct weir_error *error)
{
    uint8_t *to = into;

    disk = table(disk);
    while (bytes > 0) {
        ssize_t done = disk->pread(disk->opaque, fd, to, bytes, offset);
        if (done < 0)
            return check(done, path, "read", error);
        if (done == 0)
            return weir_error_set(error, WEIR_TRUNCATED, offset,
                                  "%s: ends at byte %lld, %zu bytes too early", path,
                                  (long long)offset, bytes);
        to += done;
        offset += done;
        bytes -= (size_t)done;
    }
    return WEIR_OK;
}

/* A write that takes nothing and says no error would loop for ever. */
static enum weir_err no_progress(const char *path, struct weir_error *error)
{
    return weir_error_set(error, WEIR_IO, -1, "%s: write: nothing was written", path);
}

enum weir_err weir_disk_write(const struct weir_disk *disk, const char *path, int fd,
                              const void *data, size_t bytes, int64_t offset,
                              struct weir_error *error)
{
    const uint8_t *from = data;

    disk = table(disk);
    while (bytes > 0) {
        ssize_t done = disk->pwrite(disk->opaque, fd, from, bytes, offset);
        if (done < 0)
            return check(done, path, "write", error);
        if (done == 0)
            return no_progress(path, error);
        from += done;
        offset += done;
        bytes -= (size_t)done;
    }
    return WEIR_OK;
}

enum weir_err weir_disk_writev(const struct weir_disk *disk, const char *path, int fd,
                               struct iovec *parts, int count, int64_t offset,
                               struct weir_error *error)
{
    disk = table(disk);
    weir_assert(count >= 0 && count <= 1024);
    for (;;) {
        ssize_t done;
        while (count > 0 && parts->iov_len == 0) {
            parts++;
            count--;
        }
        if (count == 0)
            return WEIR_OK;
        done = disk->pwritev(disk->opaque, fd, parts, count, offset);
        if (done < 0)
            return check(done, path, "write", error);
        if (done == 0)
            return no_progress(path, error);
        offset += done;
        while (done > 0) {
            size_t take = (size_t)done < parts->iov_len ? (size_t)done : parts->iov_len;
            parts->iov_base = (uint8_t *)parts->iov_base + take;
            parts->iov_len -= take;
            done -= (ssize_t)take;
            if (parts->iov_len == 0) {
                parts++;
                count--;
            }
        }
    }
}

enum weir_err weir_disk_sync(const struct weir_disk *disk, const char *path, int fd,
                             struct weir_error *error)
{
    disk = table(disk);
    return check(disk->fdatasync(disk->opaque, fd), path, "fdatasync", error);
}

enum weir_err weir_disk_sync_directory(const struct weir_disk *disk, const char *path,
                                       struct weir_error *error)
{
    enum weir_err err, close_err;
    int fd;

    disk = table(disk);
    err = weir_disk_open(disk, path, O_RDONLY | O_DIRECTORY, 0, &fd, error);
    if (err != WEIR_OK)
        return err;
    err = check(disk->fsync(disk->opaque, fd), path, "fsync", error);
    close_err = weir_disk_close(disk, path, fd, err == WEIR_OK ? error : NULL);
    return err != WEIR_OK ? err : close_err;
}

enum weir_err weir_disk_truncate(const struct weir_disk *disk, const char *path, int fd,
                                 int64_t bytes, struct weir_error *error)
{
    disk = table(disk);
    return check(disk->ftruncate(disk->opaque, fd, bytes), path, "truncate", error);
}

enum weir_err weir_disk_size(const struct weir_disk *disk, const char *path, int fd,
                             int64_t *bytes_out, struct weir_error *error)
{
    disk = table(disk);
    *bytes_out = disk->size(disk->opaque, fd);
    return check(*bytes_out, path, "stat", error);
}

enum weir_err weir_disk_lock(const struct weir_disk *disk, const char *path, int fd,
                             struct weir_error *error)
{
    int result;

    disk = table(disk);
    result = disk->lock(disk->opaque, fd);
    if (result == -EWOULDBLOCK)
        return weir_error_set(error, WEIR_IN_USE, -1, "%s: in use by another process", path);
    return check(result, path, "lock", error);
}

enum weir_err weir_disk_rename(const struct weir_disk *disk, const char *from, const char *to,
                               struct weir_error *error)
{
    disk = table(disk);
    return check(disk->rename(disk->opaque, from, to), to, "rename", error);
}

enum weir_err weir_disk_unlink(const struct weir_disk *disk, const char *path,
                               struct weir_error *error)
{
    disk = table(disk);
    return check(disk->unlink(disk->opaque, path), path, "unlink", error);
}

enum weir_err weir_disk_rmdir(const struct weir_disk *disk, const char *path,
                              struct weir_error *error)
{
    disk = table(disk);
    return check(disk->rmdir(disk->opaque, path), path, "rmdir", error);
}

/* Makes the name of a new directory durable; where the one above it may not be read, that is left
 * to the system. */
static enum weir_err sync_above(const struct weir_disk *disk, const char *path,
                                struct weir_error *error)
{
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t bytes = slash != NULL ? (size_t)(slash - path) : 0;
    enum weir_err err;

    memcpy(above, path, bytes);
    if (bytes == 0)
        above[bytes++] = slash != NULL ? '/' : '.';
    above[bytes] = '\0';
    err = weir_disk_sync_directory(disk, above, error);
    return err == WEIR_DENIED ? WEIR_OK : err;
}

enum weir_err weir_disk_make_directories(const struct weir_disk *disk, const char *path,
                                         mode_t mode, struct weir_error *error)
{
    char part[PATH_MAX];
    size_t bytes = strlen(path);
    int result = 0;

    disk = table(disk);
    if (bytes == 0 || bytes >= sizeof part)
        return weir_error_set(error, WEIR_INVALID, -1, "\"%s\": not a usable path", path);
    for (size_t i = 1; i <= bytes; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        result = disk->mkdir(disk->opaque, part, mode);
        if (result != 0 && result != -EEXIST)
            return check(result, part, "mkdir", error);
        if (result == 0 && sync_above(disk, part, error) != WEIR_OK)
            return WEIR_IO;
    }
    return WEIR_OK;
}

enum weir_err weir_disk_list(const struct weir_disk *disk, const char *directory,
                             weir_disk_name_fn *each, void *opaque, struct weir_error *error)
{
    int result;

    disk = table(disk);
    result = disk->list(disk->opaque, directory, each, opaque);
    /* A code of the callback is its own business, with its own detail. */
    return result > 0 ? (enum weir_err)result : check(result, directory, "list", error);
}

enum weir_err weir_disk_read_file(const struct weir_disk *disk, const char *path,
                                  struct weir_buffer *into, struct weir_error *error)
{
    int fd;
    int64_t offset = 0;
    enum weir_err err;

    disk = table(disk);
    err = weir_disk_open(disk, path, O_RDONLY, 0, &fd, error);
    if (err != WEIR_OK)
        return err;
    /* To the end, not by size: /proc and pipes have none, and files may grow meanwhile. */
    for (;;) {
        size_t room = into->bytes_max - into->bytes;
        uint8_t probe;
        ssize_t done;
        if (room > 0) {
            room = room < 65536 ? room : 65536;
            err = weir_buffer_reserve(into, room);
            if (err != WEIR_OK) {
                weir_error_set(error, err, -1, "%s: no memory to read it", path);
                break;
            }
            done = disk->pread(disk->opaque, fd, weir_buffer_end(into), room, offset);
        } else {
            done = disk->pread(disk->opaque, fd, &probe, 1, offset);
        }
        if (done < 0)
            err = check(done, path, "read", error);
        else if (done > 0 && room == 0)
            err = weir_error_set(error, WEIR_LIMIT, -1, "%s: larger than %zu bytes", path,
                                 into->bytes_max);
        if (done <= 0 || err != WEIR_OK)
            break;
        weir_buffer_commit(into, (size_t)done);
        offset += done;
    }
    weir_disk_close(disk, path, fd, NULL);
    return err;
}

/* Writes and syncs a new file. */
static enum weir_err write_new_file(const struct weir_disk *disk, const char *path,
                                    const void *data, size_t bytes, struct weir_error *error)
{
    enum weir_err err, close_err;
    int fd;

    err = weir_disk_open(disk, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, error);
    if (err != WEIR_OK)
        return err;
    err = weir_disk_write(disk, path, fd, data, bytes, 0, error);
    if (err == WEIR_OK)
        err = check(disk->fsync(disk->opaque, fd), path, "fsync", error);
    close_err = weir_disk_close(disk, path, fd, err == WEIR_OK ? error : NULL);
    return err != WEIR_OK ? err : close_err;
}

enum weir_err weir_disk_replace_file(const struct weir_disk *disk, const char *path,
                                     const void *data, size_t bytes, struct weir_error *error)
{
    char temporary[PATH_MAX], directory[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    enum weir_err err;

    disk = table(disk);
    if (strlen(path) + sizeof ".tmp" > sizeof temporary)
        return weir_error_set(error, WEIR_INVALID, -1, "%.80s...: path is too long", path);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (slash != NULL)
        snprintf(directory, sizeof directory, "%.*s", slash == path ? 1 : (int)(slash - path),
                 path);
    err = write_new_file(disk, temporary, data, bytes, error);
    if (err == WEIR_OK)
        err = weir_disk_rename(disk, temporary, path, error);
    if (err != WEIR_OK) {
        disk->unlink(disk->opaque, temporary);
        return err;
    }
    return weir_disk_sync_directory(disk, directory, error);
}
