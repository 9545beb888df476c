/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors: ownership, whole reads and writes, files made complete before they are seen.
 * Everything opened here is O_CLOEXEC. Functions return 0 (or what they say) or a negative errno;
 * those that take an error name the subject in it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Closes if fd >= 0, keeps errno, returns -EBADF so that `fd = zl_close(fd)` resets it. */
int zl_close(int fd);

static inline void zl_closep(int *fd)
{
        zl_close(*fd);
}
#define _cleanup_close_ _cleanup_(zl_closep)

/* Moves a descriptor out of a variable that owns it. */
#define zl_take_fd(fd)                                                                             \
        ({                                                                                         \
                int *_zl_fdp = &(fd);                                                              \
                int _zl_fd = *_zl_fdp;                                                             \
                *_zl_fdp = -EBADF;                                                                 \
                _zl_fd;                                                                            \
        })

/* Reads until `len` bytes or the end of file; returns the number of bytes read. Retries EINTR. */
ssize_t zl_read_full(int fd, void *buf, size_t len);
/* Writes all; retries EINTR and, on non-blocking descriptors, waits with poll(). */
int zl_write_full(int fd, const void *buf, size_t len);

int zl_fd_set_nonblock(int fd, bool on);
int zl_fd_set_cloexec(int fd, bool on);

/* Reads a whole file of at most `max` bytes into a NUL-terminated buffer that the caller frees.
 * -EFBIG if it is larger. `ret_len` may be NULL. `zl_read_fd` reads from the current offset to the end. */
int zl_read_fd(int fd, size_t max, char **ret, size_t *ret_len);
int zl_read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len);

/* Writes to an existing file in one write() call, as kernel interfaces (cgroup, sysctl) want it. */
int zl_write_string_at(int dirfd, const char *path, const char *value);

enum zl_write_flags {
        ZL_WRITE_SYNC = 1 << 0,      /* fsync file and directory: durable when the call returns */
        ZL_WRITE_EXCLUSIVE = 1 << 1, /* -EEXIST if the name exists */
};

/* Makes a file complete under a temporary name in the same directory, then renames (or links, if
 * exclusive) it to `path`: readers see the old content or the new one, never a part. `path` is
 * relative to dirfd. */
int zl_write_file_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                     unsigned flags);

/* The same in two steps, for who has time now and none later: everything is written to a file that has no name yet, and gets its
 * name when it is due. Returns a descriptor to close, or a negative errno where the file system cannot do that: then
 * zl_write_file_at() remains. The name must not be taken (-EEXIST). */
int zl_file_stage_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode);
int zl_file_publish_at(int fd, int dirfd, const char *path);

/* mkdir -p below dirfd; existing directories are fine, -ENOTDIR if something else has the name. */
int zl_mkdir_p_at(int dirfd, const char *path, mode_t mode);

/* Removes a tree of any depth below dirfd without following symbolic links. A mount point, be it `path` itself
 * or inside, gives -EBUSY and what is mounted there is not touched, also if it is a bind mount of
 * the same file system. Missing is success; `path` must not end in a slash, "." or "..". */
int zl_rm_rf_at(int dirfd, const char *path);

/* Opens a directory (O_RDONLY | O_DIRECTORY | O_CLOEXEC); creates it (mkdir -p) if `create_mode`
 * is not 0. */
int zl_open_dir_at(int dirfd, const char *path, mode_t create_mode, struct zl_error *err);

/* Takes an exclusive (or shared) flock(), waiting if `wait`; -EWOULDBLOCK if somebody holds it. */
int zl_lock_fd(int fd, bool exclusive, bool wait);
