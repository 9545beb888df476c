/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor and file helpers. The one with a trap is zl_write_file_at(): a new file has no name until it is
 * complete; one that replaces another is made under a random name in the target's directory (rename
 * does not cross file systems, and two writers do not meet), which is removed again on every failure.
 */
#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/path.h"
#include "base/random.h"

int zl_close(int fd)
{
        int saved = errno;

        if (fd >= 0)
                close(fd);
        errno = saved;
        return -EBADF;
}

ssize_t zl_read_full(int fd, void *buf, size_t len)
{
        size_t done = 0;

        while (done < len) {
                ssize_t n = read(fd, (char *)buf + done, len - done);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

int zl_write_full(int fd, const void *buf, size_t len)
{
        size_t done = 0;

        while (done < len) {
                ssize_t n = write(fd, (const char *)buf + done, len - done);

                if (n >= 0) {
                        done += (size_t)n;
                        continue;
                }
                if (errno == EAGAIN) {
                        struct pollfd p = { .fd = fd, .events = POLLOUT };

                        if (poll(&p, 1, -1) < 0 && errno != EINTR)
                                return -errno;
                } else if (errno != EINTR) {
                        return -errno;
                }
        }
        return 0;
}

static int fd_set_flag(int fd, int get, int set, int flag, bool on)
{
        int flags = fcntl(fd, get);

        if (flags < 0)
                return -errno;
        if (fcntl(fd, set, on ? flags | flag : flags & ~flag) < 0)
                return -errno;
        return 0;
}

int zl_fd_set_nonblock(int fd, bool on)
{
        return fd_set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int zl_fd_set_cloexec(int fd, bool on)
{
        return fd_set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

/* To the end, in steps: kernel files say 0 for their size and pipes nothing. */
static int read_into(int fd, struct zl_buf *buf, size_t max, size_t step)
{
        for (;;) {
                size_t room = ZL_MIN(step, max + 1 - buf->len);
                void *p = zl_buf_reserve(buf, room);
                ssize_t n;

                if (!p)
                        return zl_buf_error(buf);
                n = zl_read_full(fd, p, room);
                if (n < 0)
                        return (int)n;
                buf->len += (size_t)n;
                buf->data[buf->len] = 0;
                if (buf->len > max)
                        return -EFBIG;
                if ((size_t)n < room)
                        return 0;
        }
}

int zl_read_fd(int fd, size_t max, char **ret, size_t *ret_len)
{
        _cleanup_buf_ struct zl_buf buf = ZL_BUF_INIT(0);
        char small[1024], *data;
        struct stat st;
        bool whole = false;
        int r = 0;

        max = ZL_MIN(max, (size_t)SSIZE_MAX - 1);
        buf.max = max + 1;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
                /* Most files of the kernel are short: room is made for what they hold, not for what they could. */
                size_t room = ZL_MIN(sizeof small, max + 1);
                ssize_t n = zl_read_full(fd, small, room);

                r = n < 0 ? (int)n : zl_buf_put(&buf, small, (size_t)n);
                whole = n >= 0 && (size_t)n < room;
                st.st_size = 4095;
        }
        if (r == 0 && !whole)
                r = read_into(fd, &buf, max, ZL_MIN((size_t)st.st_size + 1, max + 1));
        if (r < 0)
                return r;
        if (ret_len)
                *ret_len = buf.len;
        data = zl_buf_take(&buf);
        if (!data)
                return -ENOMEM;
        *ret = data;
        return 0;
}

int zl_read_file_at(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len)
{
        _cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return -errno;
        return zl_read_fd(fd, max, ret, ret_len);
}

int zl_write_string_at(int dirfd, const char *path, const char *value)
{
        _cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        size_t len = strlen(value);
        ssize_t n;

        if (fd < 0)
                return -errno;
        do
                n = write(fd, value, len);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return (size_t)n == len ? 0 : -EIO;
}

static char *parent_of(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

static int sync_parent(int dirfd, const char *path)
{
        _cleanup_free_ char *parent = parent_of(path);
        _cleanup_close_ int fd = -EBADF;

        if (!parent)
                return -ENOMEM;
        fd = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Writes all that belongs into a file that nobody sees yet. */
static int fill_file(int fd, const void *data, size_t len, mode_t mode, unsigned flags)
{
        int r = zl_write_full(fd, data, len);

        if (r < 0)
                return r;
        if (fchmod(fd, mode) < 0) /* the umask must not decide */
                return -errno;
        if ((flags & ZL_WRITE_SYNC) && fsync(fd) < 0)
                return -errno;
        return 0;
}

static int stage_file(int dirfd, const char *path, mode_t mode)
{
#ifdef O_TMPFILE
        _cleanup_free_ char *parent = parent_of(path);
        int fd;

        if (!parent)
                return -ENOMEM;
        fd = openat(dirfd, parent, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
        return fd < 0 ? -errno : fd;
#else
        return -EOPNOTSUPP;
#endif
}

int zl_file_stage_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode)
{
        _cleanup_close_ int fd = stage_file(dirfd, path, mode);
        int r;

        if (fd < 0)
                return fd;
        r = fill_file(fd, data, len, mode, 0);
        return r < 0 ? r : zl_take_fd(fd);
}

int zl_file_publish_at(int fd, int dirfd, const char *path)
{
        char self[32];

        snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
        return linkat(AT_FDCWD, self, dirfd, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A new file without a name (O_TMPFILE) that gets its only name at the end: a writer that is killed leaves nothing. Fails
 * with EEXIST if the name is taken, and otherwise where file system or /proc do not play along.
 * zl-size: what zl_write_file_at() takes, handed on */
static int write_unnamed(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                         unsigned flags)
{
        _cleanup_close_ int fd = stage_file(dirfd, path, mode);
        int r;

        if (fd < 0)
                return fd;
        r = fill_file(fd, data, len, mode, flags);
        return r < 0 ? r : zl_file_publish_at(fd, dirfd, path);
}

/* Under a temporary name beside the target, then in its place.
 * zl-size: what zl_write_file_at() takes, handed on */
static int write_renamed(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                         unsigned flags)
{
        _cleanup_free_ char *tmp = NULL;
        _cleanup_close_ int fd = -EBADF;
        char suffix[13];
        int r;

        zl_random_hex(suffix, sizeof suffix - 1);
        if (asprintf(&tmp, "%s.tmp-%s", path, suffix) < 0)
                return -ENOMEM;
        fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0)
                return -errno;
        r = fill_file(fd, data, len, mode, flags);
        if (r == 0 && (flags & ZL_WRITE_EXCLUSIVE))
                r = linkat(dirfd, tmp, dirfd, path, 0) < 0 ? -errno : 0;
        else if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
                r = -errno;
        if (r < 0 || (flags & ZL_WRITE_EXCLUSIVE))
                unlinkat(dirfd, tmp, 0);
        return r;
}

/* zl-size: where, what and how are all different at every caller; a struct would only rename them */
int zl_write_file_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                     unsigned flags)
{
        int r = -EEXIST;

        if ((flags & ZL_WRITE_EXCLUSIVE) || faccessat(dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                r = write_unnamed(dirfd, path, data, len, mode, flags);
        if (r < 0 && !(r == -EEXIST && (flags & ZL_WRITE_EXCLUSIVE)))
                r = write_renamed(dirfd, path, data, len, mode, flags);
        if (r == 0 && (flags & ZL_WRITE_SYNC))
                r = sync_parent(dirfd, path);
        return r;
}

int zl_mkdir_p_at(int dirfd, const char *path, mode_t mode)
{
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *p = copy + (*copy == '/');; p++) {
                char c = *p;
                struct stat st;

                if (c != '/' && c != 0)
                        continue;
                *p = 0;
                if (*copy && mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
                        return -errno;
                if (c == 0) {
                        if (fstatat(dirfd, *copy ? copy : ".", &st, 0) < 0)
                                return -errno;
                        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
                }
                *p = c;
        }
}

enum {
        RM_DEPTH = 64, /* directories that are open at the same time while a tree is removed */
        RM_PASSES =
                16, /* how often a directory is read again because it filled up or skipped entries */
};

struct rm {
        int top; /* the directory whose tree is removed */
        int depth;
};

static int rm_children(struct rm *rm, int fd);

/* Opens a directory to be emptied; what is a mount point, even of the same file system, is not ours to
 * empty: its content lives elsewhere. */
static int rm_open(int parent, const char *name)
{
        int fd = zl_open_in(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                            ZL_PATH_NO_MOUNTS);

        return fd == -EXDEV ? -EBUSY : fd;
}

/* Hangs a directory that is too deep below the top under a random name; the top's next pass removes it.
 * So neither the stack nor the number of descriptors limits how deep a hostile tree may be. */
static int rm_hang_up(struct rm *rm, int parent, const char *name)
{
        char fresh[17];

        zl_random_hex(fresh, sizeof fresh - 1);
        return renameat(parent, name, rm->top, fresh) < 0 ? -errno : 0;
}

static int rm_entry(struct rm *rm, int parent, const char *name)
{
        int child, r;

        if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM) /* EPERM is what POSIX says for directories */
                return -errno;
        if (rm->depth >= RM_DEPTH)
                return rm_hang_up(rm, parent, name);
        child = rm_open(parent, name);
        if (child == -ENOTDIR)
                return -EPERM; /* a file that may not be removed, an immutable one perhaps */
        if (child < 0)
                return child == -ENOENT ? 0 : child;
        rm->depth++;
        r = rm_children(rm, child);
        rm->depth--;
        if (r < 0)
                return r;
        return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* Empties the directory `fd` (consumed). Some file systems skip entries while others are removed, and the top
 * gets new ones from below, so it is read until a pass finds nothing. */
static int rm_children(struct rm *rm, int fd)
{
        DIR *dir = fdopendir(fd);
        struct dirent *d;
        bool is_top = rm->depth == 0;
        int r = 0;

        if (!dir) {
                r = -errno;
                zl_close(fd);
                return r;
        }
        for (int pass = 0, found = 1; r == 0 && found && (is_top || pass < RM_PASSES); pass++) {
                found = 0;
                rewinddir(dir);
                while (r == 0 && (errno = 0, d = readdir(dir))) {
                        if (zl_streq(d->d_name, ".") || zl_streq(d->d_name, ".."))
                                continue;
                        found = 1;
                        r = rm_entry(rm, dirfd(dir), d->d_name);
                }
                if (r == 0 && errno != 0)
                        r = -errno;
        }
        closedir(dir);
        return r;
}

int zl_rm_rf_at(int dirfd, const char *path)
{
        _cleanup_free_ char *parent_path = NULL;
        _cleanup_close_ int parent = -EBADF, top = -EBADF;
        const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
        struct rm rm = { 0 };
        int fd, r;

        if (!zl_path_is_name(base))
                return -EINVAL;
        parent_path = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
        if (!parent_path)
                return -ENOMEM;
        parent = openat(dirfd, parent_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0)
                return errno == ENOENT ? 0 : -errno;
        if (unlinkat(parent, base, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        top = rm_open(parent, base);
        if (top < 0)
                return top == -ENOENT ? 0 : top == -ENOTDIR ? -EPERM : top;
        rm.top = top;
        fd = fcntl(top, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        r = rm_children(&rm, fd);
        if (r == 0 && unlinkat(parent, base, AT_REMOVEDIR) < 0 && errno != ENOENT)
                r = -errno;
        return r;
}

int zl_open_dir_at(int dirfd, const char *path, mode_t create_mode, struct zl_error *err)
{
        int fd, r;

        if (create_mode) {
                r = zl_mkdir_p_at(dirfd, path, create_mode);
                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot create directory %s", path);
        }
        fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return zl_fail_errno(err, errno, "cannot open directory %s", path);
        return fd;
}

int zl_lock_fd(int fd, bool exclusive, bool wait)
{
        int op = (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB);

        while (flock(fd, op) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}
