/*
 * base/disk.h - the seam of files: a table of calls, the real one and one that fails on purpose.
 *
 * What:    struct weir_disk wraps the system calls that durable storage is made of, one to one; the
 *          functions below it loop over short reads and writes and fill struct weir_error.
 * Life:    the real disk is static; a faulty one is the test's memory and outlives its users.
 * Threads: any; the same file descriptor as the system allows.
 * Memory:  paths and data are borrowed for the call.
 * Errors:  a table call gives >= 0, or -errno. The functions give IO, NOT_FOUND (ENOENT), EXISTS
 *          (EEXIST), DENIED (EACCES, EPERM, EROFS), IN_USE (lock held), LIMIT (ENOSPC, EDQUOT,
 *          EMFILE, ENFILE), NOMEM, with "path: what: reason" in *error.
 */
#ifndef WEIR_BASE_DISK_H
#define WEIR_BASE_DISK_H

#include <stdatomic.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <weir/base.h>

#include "base/buffer.h"

/* One name of a directory, borrowed for the call; "." and ".." are left out. Not WEIR_OK ends the
 * walk with that code. */
typedef enum weir_err weir_disk_name_fn(void *opaque, const char *name, bool is_directory);

/* All members are required. `opaque` is the table's own. Descriptors are opened close-on-exec. */
struct weir_disk {
    int (*open)(void *opaque, const char *path, int flags, mode_t mode);
    int (*close)(void *opaque, int fd);
    ssize_t (*pread)(void *opaque, int fd, void *into, size_t bytes, int64_t offset);
    ssize_t (*pwrite)(void *opaque, int fd, const void *data, size_t bytes, int64_t offset);
    ssize_t (*pwritev)(void *opaque, int fd, const struct iovec *parts, int count, int64_t offset);
    int (*fsync)(void *opaque, int fd);
    int (*fdatasync)(void *opaque, int fd);
    int (*ftruncate)(void *opaque, int fd, int64_t bytes);
    int64_t (*size)(void *opaque, int fd); /* of the file, in bytes */
    int (*lock)(void *opaque, int fd);     /* exclusive, at once or -EWOULDBLOCK; ends with close */
    int (*rename)(void *opaque, const char *from, const char *to);
    int (*unlink)(void *opaque, const char *path);
    int (*mkdir)(void *opaque, const char *path, mode_t mode);
    int (*rmdir)(void *opaque, const char *path);
    /* 0, -errno, or a positive enum weir_err of `each`. */
    int (*list)(void *opaque, const char *directory, weir_disk_name_fn *each, void *each_opaque);
    void *opaque;
};

/* The file system; static, shared. */
const struct weir_disk *weir_disk_real(void);

/* In all functions below disk NULL means the real one, and `path` names the file in messages. */

/* flags as in open(2); O_CLOEXEC is added. */
WEIR_MUST_USE enum weir_err weir_disk_open(const struct weir_disk *disk, const char *path,
                                           int flags, mode_t mode, int *fd_out,
                                           struct weir_error *error);
/* The descriptor is gone in any case. fd -1 is allowed. */
enum weir_err weir_disk_close(const struct weir_disk *disk, const char *path, int fd,
                              struct weir_error *error);
/* Reads exactly `bytes`; TRUNCATED if the file ends before. */
WEIR_MUST_USE enum weir_err weir_disk_read(const struct weir_disk *disk, const char *path, int fd,
                                           void *into, size_t bytes, int64_t offset,
                                           struct weir_error *error);
/* Writes all; after a failure any part of it may be in the file. */
WEIR_MUST_USE enum weir_err weir_disk_write(const struct weir_disk *disk, const char *path, int fd,
                                            const void *data, size_t bytes, int64_t offset,
                                            struct weir_error *error);
/* The same for several parts one behind the other; count <= 1024. The parts are changed. */
WEIR_MUST_USE enum weir_err weir_disk_writev(const struct weir_disk *disk, const char *path, int fd,
                                             struct iovec *parts, int count, int64_t offset,
                                             struct weir_error *error);
/* fdatasync. After a failure the content of the file is unknown: don't try again, stop. */
WEIR_MUST_USE enum weir_err weir_disk_sync(const struct weir_disk *disk, const char *path, int fd,
                                           struct weir_error *error);
/* fsync of a directory, which makes the names in it durable (after create, rename, unlink). */
WEIR_MUST_USE enum weir_err weir_disk_sync_directory(const struct weir_disk *disk, const char *path,
                                                     struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_disk_truncate(const struct weir_disk *disk, const char *path,
                                               int fd, int64_t bytes, struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_disk_size(const struct weir_disk *disk, const char *path, int fd,
                                           int64_t *bytes_out, struct weir_error *error);
/* Takes the lock of an open file: IN_USE if another process (or descriptor) has it. */
WEIR_MUST_USE enum weir_err weir_disk_lock(const struct weir_disk *disk, const char *path, int fd,
                                           struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_disk_rename(const struct weir_disk *disk, const char *from,
                                             const char *to, struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_disk_unlink(const struct weir_disk *disk, const char *path,
                                             struct weir_error *error);
/* Makes a directory and those above it, and their names durable; fine if it exists. */
WEIR_MUST_USE enum weir_err weir_disk_make_directories(const struct weir_disk *disk,
                                                       const char *path, mode_t mode,
                                                       struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_disk_rmdir(const struct weir_disk *disk, const char *path,
                                            struct weir_error *error);
WEIR_MUST_USE enum weir_err weir_disk_list(const struct weir_disk *disk, const char *directory,
                                           weir_disk_name_fn *each, void *opaque,
                                           struct weir_error *error);
/* Appends a whole file to `into`, whose ceiling is the cap (LIMIT). */
WEIR_MUST_USE enum weir_err weir_disk_read_file(const struct weir_disk *disk, const char *path,
                                                struct weir_buffer *into, struct weir_error *error);
/* Replaces a file so that after a crash either the old or the new content is there: writes
 * "<path>.tmp", syncs, renames, syncs the directory. */
WEIR_MUST_USE enum weir_err weir_disk_replace_file(const struct weir_disk *disk, const char *path,
                                                   const void *data, size_t bytes,
                                                   struct weir_error *error);

/* Which calls of a faulty disk count and may fail; a mask. */
enum weir_disk_call {
    WEIR_DISK_OPEN = 1 << 0,
    WEIR_DISK_READ = 1 << 1,
    WEIR_DISK_WRITE = 1 << 2, /* pwrite, pwritev */
    WEIR_DISK_SYNC = 1 << 3,  /* fsync, fdatasync */
    WEIR_DISK_TRUNCATE = 1 << 4,
    WEIR_DISK_RENAME = 1 << 5,
    WEIR_DISK_UNLINK = 1 << 6, /* unlink, rmdir */
    WEIR_DISK_MKDIR = 1 << 7,
    WEIR_DISK_LIST = 1 << 8,
    WEIR_DISK_ANY = (1 << 9) - 1,
};

/*
 * A disk for tests that passes everything to another one, counts the calls of the mask, and lets
 * the fail_at-th fail (and, if `broken_for_good`, all behind it). A write that fails can first
 * write some of its bytes, as a full disk or a crash does. Set the fields before use, or between
 * calls.
 */
struct weir_disk_faulty {
    struct weir_disk disk; /* hand out &faulty.disk */
    const struct weir_disk *below;
    unsigned mask;          /* enum weir_disk_call; [any] */
    uint64_t fail_at;       /* 1 = the next counted call; 0 = none [0] */
    int error_number;       /* [EIO] */
    size_t write_bytes;     /* written by a failing write before it fails [0] */
    bool short_write;       /* the failing write gives write_bytes instead of an error [false] */
    bool broken_for_good;   /* [false] */
    _Atomic uint64_t calls; /* counted so far */
    _Atomic uint64_t failed;
};

/* below NULL = the real disk. The struct must not move afterwards. */
void weir_disk_faulty_init(struct weir_disk_faulty *faulty, const struct weir_disk *below);

#endif
