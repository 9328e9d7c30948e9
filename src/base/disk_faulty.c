/* The disk that fails on purpose: base/disk.h. */
#include "base/disk.h"

#include <errno.h>

#include "base/assert.h"

/* Counts a call; true if it has to fail. */
static bool must_fail(struct weir_disk_faulty *faulty, unsigned call)
{
    uint64_t number;

    if ((faulty->mask & call) == 0)
        return false;
    number = atomic_fetch_add(&faulty->calls, 1) + 1;
    if (faulty->fail_at == 0 || number < faulty->fail_at ||
        (number > faulty->fail_at && !faulty->broken_for_good))
        return false;
    atomic_fetch_add(&faulty->failed, 1);
    return true;
}

static int faulty_open(void *opaque, const char *path, int flags, mode_t mode)
{
    struct weir_disk_faulty *f = opaque;
    if (must_fail(f, WEIR_DISK_OPEN))
        return -f->error_number;
    return f->below->open(f->below->opaque, path, flags, mode);
}

static int faulty_close(void *opaque, int fd)
{
    struct weir_disk_faulty *f = opaque;
    return f->below->close(f->below->opaque, fd);
}

static ssize_t faulty_pread(void *opaque, int fd, void *into, size_t bytes, int64_t offset)
{
    struct weir_disk_faulty *f = opaque;
    if (must_fail(f, WEIR_DISK_READ))
        return -f->error_number;
    return f->below->pread(f->below->opaque, fd, into, bytes, offset);
}

static ssize_t faulty_pwritev(void *opaque, int fd, const struct iovec *parts, int count,
                              int64_t offset)
{
    struct weir_disk_faulty *f = opaque;
    size_t left = f->write_bytes, done = 0;

    if (!must_fail(f, WEIR_DISK_WRITE))
        return f->below->pwritev(f->below->opaque, fd, parts, count, offset);
    for (int i = 0; i < count && left > 0; i++) {
        size_t bytes = parts[i].iov_len < left ? parts[i].iov_len : left;
        ssize_t wrote = f->below->pwrite(f->below->opaque, fd, parts[i].iov_base, bytes,
                                         offset + (int64_t)done);
        if (wrote < 0)
            return wrote;
        done += (size_t)wrote;
        left -= bytes;
    }
    return f->short_write ? (ssize_t)done : -f->error_number;
}

static ssize_t faulty_pwrite(void *opaque, int fd, const void *data, size_t bytes, int64_t offset)
{
    struct weir_disk_faulty *f = opaque;
    ssize_t wrote = 0;

    if (!must_fail(f, WEIR_DISK_WRITE))
        return f->below->pwrite(f->below->opaque, fd, data, bytes, offset);
    if (f->write_bytes > 0) {
        if (bytes > f->write_bytes)
            bytes = f->write_bytes;
        wrote = f->below->pwrite(f->below->opaque, fd, data, bytes, offset);
    }
    return f->short_write ? wrote : -f->error_number;
}

static int faulty_fsync(void *opaque, int fd)
{
    struct weir_disk_faulty *f = opaque;
    return must_fail(f, WEIR_DISK_SYNC) ? -f->error_number : f->below->fsync(f->below->opaque, fd);
}

static int faulty_fdatasync(void *opaque, int fd)
{
    struct weir_disk_faulty *f = opaque;
    return must_fail(f, WEIR_DISK_SYNC) ? -f->error_number
                                        : f->below->fdatasync(f->below->opaque, fd);
}

static int faulty_ftruncate(void *opaque, int fd, int64_t bytes)
{
    struct weir_disk_faulty *f = opaque;
    return must_fail(f, WEIR_DISK_TRUNCATE) ? -f->error_number
                                            : f->below->ftruncate(f->below->opaque, fd, bytes);
}

static int64_t faulty_size(void *opaque, int fd)
{
    struct weir_disk_faulty *f = opaque;
    return f->below->size(f->below->opaque, fd);
}

static int faulty_lock(void *opaque, int fd)
{
    struct weir_disk_faulty *f = opaque;
    return f->below->lock(f->below->opaque, fd);
}

static int faulty_rename(void *opaque, const char *from, const char *to)
{
    struct weir_disk_faulty *f = opaque;
    return must_fail(f, WEIR_DISK_RENAME) ? -f->error_number
                                          : f->below->rename(f->below->opaque, from, to);
}

static int faulty_unlink(void *opaque, const char *path)
{
    struct weir_disk_faulty *f = opaque;
    return must_fail(f, WEIR_DISK_UNLINK) ? -f->error_number
                                          : f->below->unlink(f->below->opaque, path);
}

static int faulty_mkdir(void *opaque, const char *path, mode_t mode)
{
    struct weir_disk_faulty *f = opaque;
    return must_fail(f, WEIR_DISK_MKDIR) ? -f->error_number
                                         : f->below->mkdir(f->below->opaque, path, mode);
}

static int faulty_rmdir(void *opaque, const char *path)
{
    struct weir_disk_faulty *f = opaque;
    return must_fail(f, WEIR_DISK_UNLINK) ? -f->error_number
                                          : f->below->rmdir(f->below->opaque, path);
}

static int faulty_list(void *opaque, const char *directory, weir_disk_name_fn *each,
                       void *each_opaque)
{
    struct weir_disk_faulty *f = opaque;
    return must_fail(f, WEIR_DISK_LIST)
               ? -f->error_number
               : f->below->list(f->below->opaque, directory, each, each_opaque);
}

void weir_disk_faulty_init(struct weir_disk_faulty *faulty, const struct weir_disk *below)
{
    *faulty = (struct weir_disk_faulty){
        .disk = {.open = faulty_open,
                 .close = faulty_close,
                 .pread = faulty_pread,
                 .pwrite = faulty_pwrite,
                 .pwritev = faulty_pwritev,
                 .fsync = faulty_fsync,
                 .fdatasync = faulty_fdatasync,
                 .ftruncate = faulty_ftruncate,
                 .size = faulty_size,
                 .lock = faulty_lock,
                 .rename = faulty_rename,
                 .unlink = faulty_unlink,
                 .mkdir = faulty_mkdir,
                 .rmdir = faulty_rmdir,
                 .list = faulty_list,
                 .opaque = faulty},
        .below = below != NULL ? below : weir_disk_real(),
        .mask = WEIR_DISK_ANY,
        .error_number = EIO,
    };
}
