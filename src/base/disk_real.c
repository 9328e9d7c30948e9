/* The real disk: one system call per function: base/disk.h. */
#include "base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int real_open(void *opaque, const char *path, int flags, mode_t mode)
{
    int fd;

    (void)opaque;
    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int real_close(void *opaque, int fd)
{
    (void)opaque;
    /* On Linux the descriptor is gone even after EINTR. */
    return close(fd) != 0 && errno != EINTR ? -errno : 0;
}

static ssize_t real_pread(void *opaque, int fd, void *into, size_t bytes, int64_t offset)
{
    ssize_t done;

    (void)opaque;
    do
        done = pread(fd, into, bytes, offset);
    while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

static ssize_t real_pwrite(void *opaque, int fd, const void *data, size_t bytes, int64_t offset)
{
    ssize_t done;

    (void)opaque;
    do
        done = pwrite(fd, data, bytes, offset);
    while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

static ssize_t real_pwritev(void *opaque, int fd, const struct iovec *parts, int count,
                            int64_t offset)
{
    ssize_t done;

    (void)opaque;
    do
        done = pwritev(fd, parts, count, offset);
    while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

/* A sync that was interrupted has not said that it failed, so it may be asked again. */
static int real_fsync(void *opaque, int fd)
{
    int done;

    (void)opaque;
    do
        done = fsync(fd);
    while (done != 0 && errno == EINTR);
    return done != 0 ? -errno : 0;
}

static int real_fdatasync(void *opaque, int fd)
{
    int done;

    (void)opaque;
    do
        done = fdatasync(fd);
    while (done != 0 && errno == EINTR);
    return done != 0 ? -errno : 0;
}

static int real_ftruncate(void *opaque, int fd, int64_t bytes)
{
    int done;

    (void)opaque;
    do
        done = ftruncate(fd, bytes);
    while (done != 0 && errno == EINTR);
    return done != 0 ? -errno : 0;
}

static int64_t real_size(void *opaque, int fd)
{
    struct stat status;

    (void)opaque;
    return fstat(fd, &status) != 0 ? -errno : (int64_t)status.st_size;
}

static int real_lock(void *opaque, int fd)
{
    (void)opaque;
    return flock(fd, LOCK_EX | LOCK_NB) != 0 ? -errno : 0;
}

static int real_rename(void *opaque, const char *from, const char *to)
{
    (void)opaque;
    return rename(from, to) != 0 ? -errno : 0;
}

static int real_unlink(void *opaque, const char *path)
{
    (void)opaque;
    return unlink(path) != 0 ? -errno : 0;
}

static int real_mkdir(void *opaque, const char *path, mode_t mode)
{
    (void)opaque;
    return mkdir(path, mode) != 0 ? -errno : 0;
}

static int real_rmdir(void *opaque, const char *path)
{
    (void)opaque;
    return rmdir(path) != 0 ? -errno : 0;
}

static bool is_directory(DIR *directory, const struct dirent *entry)
{
    struct stat status;

    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
}

static int real_list(void *opaque, const char *directory, weir_disk_name_fn *each,
                     void *each_opaque)
{
    DIR *open_directory = opendir(directory);
    int result = 0;

    (void)opaque;
    if (open_directory == NULL)
        return -errno;
    for (;;) {
        struct dirent *entry;
        errno = 0;
        entry = readdir(open_directory); /* NOLINT(concurrency-mt-unsafe): our own stream */
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        result = (int)each(each_opaque, entry->d_name, is_directory(open_directory, entry));
        if (result != 0)
            break;
    }
    closedir(open_directory);
    return result;
}

const struct weir_disk *weir_disk_real(void)
{
    static const struct weir_disk real = {
        .open = real_open,
        .close = real_close,
        .pread = real_pread,
        .pwrite = real_pwrite,
        .pwritev = real_pwritev,
        .fsync = real_fsync,
        .fdatasync = real_fdatasync,
        .ftruncate = real_ftruncate,
        .size = real_size,
        .lock = real_lock,
        .rename = real_rename,
        .unlink = real_unlink,
        .mkdir = real_mkdir,
        .rmdir = real_rmdir,
        .list = real_list,
    };
    return &real;
}
