/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-up of image content into fresh volumes. The merged view of several layers is a read-only overlay that is
 * made with the mount API and never attached to any directory: it exists as a descriptor only, and is gone when that is
 * closed, also if we are killed. An image of a single layer needs no overlay (and the kernel refuses one).
 *
 * The tree that is copied comes from a stranger. Every step is relative to a descriptor and follows no symbolic link; the
 * image's own links in `path` are resolved inside the image.
 */
#include "runtimes/copy_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <linux/fs.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strv.h"

enum { DEPTH_MAX = 512, XATTR_MAX = 64 << 10 };

struct copier {
        struct zl_map *
                links; /* "DEV:INO" of files with several names -> path of the first copy, relative to `root` */
        int root;
};

/* ---- one file ------------------------------------------------------------------------------------ */

/* Extended attributes, by descriptor path because O_PATH descriptors refuse fgetxattr(). Overlay's own stay behind. */
static int copy_xattrs(int from, int to)
{
        char path_from[64], path_to[64];
        _cleanup_free_ char *names = malloc(XATTR_MAX), *value = malloc(XATTR_MAX);
        ssize_t n;

        if (!names || !value)
                return -ENOMEM;
        snprintf(path_from, sizeof(path_from), "/proc/self/fd/%d", from);
        snprintf(path_to, sizeof(path_to), "/proc/self/fd/%d", to);
        n = listxattr(path_from, names, XATTR_MAX);
        if (n < 0)
                return errno == ENOTSUP ? 0 : -errno;
        for (char *name = names; name < names + n; name += strlen(name) + 1) {
                ssize_t len;

                if (zl_startswith(name, "trusted.overlay.") || zl_startswith(name, "user.overlay."))
                        continue;
                len = getxattr(path_from, name, value, XATTR_MAX);
                if (len < 0 || setxattr(path_to, name, value, (size_t)len, 0) < 0) {
                        /* A label or list that this file system has no place for is not content. */
                        if (errno == ENOTSUP || errno == ENODATA)
                                continue;
                        return -errno;
                }
        }
        return 0;
}

/* Owner before mode (chown clears set-id bits), times last. */
static int copy_meta(int from, int to, const struct stat *st)
{
        const struct timespec times[2] = { st->st_atim, st->st_mtim };
        int r;

        if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
                return -errno;
        r = copy_xattrs(from, to);
        if (r < 0)
                return r;
        return futimens(to, times) < 0 ? -errno : 0;
}

static int copy_bytes(int from, int to)
{
        if (ioctl(to, FICLONE, from) == 0)
                return 0;
        for (;;) {
                ssize_t n = copy_file_range(from, NULL, to, NULL, SSIZE_MAX & ~4095L, 0);

                if (n == 0)
                        return 0;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        break;
        }
        if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
                return -errno;
        for (;;) {
                char buf[64 << 10];
                ssize_t n = zl_read_full(from, buf, sizeof(buf));
                int r = n > 0 ? zl_write_full(to, buf, (size_t)n) : 0;

                if (n <= 0 || r < 0)
                        return n < 0 ? (int)n : r;
        }
}

static int copy_regular(int from_dir, int to_dir, const char *name, const struct stat *st)
{
        _cleanup_close_ int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_close_ int to = -EBADF;
        int r;

        if (from < 0)
                return -errno;
        to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (to < 0)
                return -errno;
        r = copy_bytes(from, to);
        return r < 0 ? r : copy_meta(from, to, st);
}

static int copy_symlink(int from_dir, int to_dir, const char *name, const struct stat *st)
{
        const struct timespec times[2] = { st->st_atim, st->st_mtim };
        char target[4096];
        ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

        if (n < 0)
                return -errno;
        target[n] = 0;
        if (symlinkat(target, to_dir, name) < 0 ||
            fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
            utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return 0;
}

static int copy_special(int to_dir, const char *name, const struct stat *st)
{
        const struct timespec times[2] = { st->st_atim, st->st_mtim };

        if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0 ||
            fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
            fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0 ||
            utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return 0;
}

/* ---- trees --------------------------------------------------------------------------------------- */

/* 1 if the file was linked to an earlier copy of itself, 0 if it must be copied. */
static int link_earlier(struct copier *c, int to_dir, const char *name, const char *path,
                        const struct stat *st)
{
        char key[64];
        const char *first;
        char *copy;

        if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
                return 0;
        snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev,
                 (unsigned long long)st->st_ino);
        first = zl_map_get(c->links, key);
        if (first)
                return linkat(c->root, first, to_dir, name, 0) < 0 ? -errno : 1;
        copy = strdup(path);
        if (!copy || zl_map_put(c->links, key, copy) < 0) {
                free(copy);
                return -ENOMEM;
        }
        return 0;
}

/* One directory on both sides. */
struct level {
        int from, to;
        const char *path; /* below the volume; "" for its root */
        unsigned depth;
};

static int copy_dir(struct copier *c, const struct level *l);

static int copy_subdir(struct copier *c, const struct level *l, const char *name, const char *path)
{
        _cleanup_close_ int from = openat(l->from, name,
                                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_close_ int to = -EBADF;

        if (from < 0 || mkdirat(l->to, name, 0700) < 0)
                return -errno;
        to = openat(l->to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (to < 0)
                return -errno;
        return copy_dir(c, &(struct level){ from, to, path, l->depth + 1 });
}

static int copy_entry(struct copier *c, const struct level *l, const char *name)
{
        _cleanup_free_ char *path = *l->path ? zl_path_join(l->path, name) : strdup(name);
        struct stat st;
        int r;

        if (!path)
                return -ENOMEM;
        if (fstatat(l->from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        r = link_earlier(c, l->to, name, path, &st);
        if (r != 0)
                return r < 0 ? r : 0;
        if (S_ISDIR(st.st_mode))
                return copy_subdir(c, l, name, path);
        if (S_ISREG(st.st_mode))
                return copy_regular(l->from, l->to, name, &st);
        if (S_ISLNK(st.st_mode))
                return copy_symlink(l->from, l->to, name, &st);
        /* The image store's white-outs (only seen without an overlay, where they hide nothing). */
        if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
                return 0;
        return copy_special(l->to, name, &st);
}

static int copy_dir(struct copier *c, const struct level *l)
{
        int fd = l->depth > DEPTH_MAX ? -1 : fcntl(l->from, F_DUPFD_CLOEXEC, 3);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct stat st;
        int r = 0;

        if (!dir) {
                r = l->depth > DEPTH_MAX ? -ELOOP : -errno;
                zl_close(fd);
                return r;
        }
        while (r == 0) {
                const struct dirent *de;

                errno = 0;
                de = readdir(dir);
                if (!de) {
                        r = -errno;
                        break;
                }
                if (!zl_streq(de->d_name, ".") && !zl_streq(de->d_name, ".."))
                        r = copy_entry(c, l, de->d_name);
        }
        closedir(dir);
        if (r == 0 && fstat(l->from, &st) < 0)
                r = -errno;
        return r < 0 ? r : copy_meta(l->from, l->to, &st);
}

/* ---- the merged view ----------------------------------------------------------------------------- */

static int by_user_xattr(int fs)
{
        return !zl_process_is_in_first_userns() &&
                               fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0
                       ? -errno
                       : 0;
}

/* Layers one by one ("lowerdir+", Linux 6.5), topmost first. */
static int set_layers_singly(int fs, char *const *lower_dirs, size_t n)
{
        for (size_t i = n; i-- > 0;)
                if (fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", lower_dirs[i], 0) < 0)
                        return -errno;
        return 0;
}

/* All in one text, which holds 255 bytes at most; so each layer is named by an open descriptor, and 13 fit. */
static int set_layers_joined(int fs, char *const *lower_dirs, size_t n)
{
        char text[256];
        size_t len = 0, opened = 0;
        int fds[16], r = n <= ZL_ARRAY_SIZE(fds) ? 0 : -ENAMETOOLONG;

        for (size_t i = n; r == 0 && i-- > 0;) {
                int fd = open(lower_dirs[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

                if (fd < 0) {
                        r = -errno;
                        break;
                }
                fds[opened++] = fd;
                len += (size_t)snprintf(text + len, sizeof(text) - len, "%s/proc/self/fd/%d",
                                        len > 0 ? ":" : "", fd);
                if (len >= sizeof(text))
                        r = -ENAMETOOLONG;
        }
        if (r == 0 && (fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", text, 0) < 0 ||
                       fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0))
                r = -errno;
        while (opened > 0)
                zl_close(fds[--opened]);
        return r;
}

/* Kernels where overlay does not know the new interface yet (6.1) collect the keys as text and refuse "lowerdir+" only when
 * the file system is made. */
static int open_merged(char *const *lower_dirs)
{
        size_t n = zl_strv_len(lower_dirs);
        _cleanup_close_ int fs = -EBADF;
        int fd, r;

        if (n == 1) {
                fd = open(lower_dirs[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
                return fd < 0 ? -errno : fd;
        }
        fs = fsopen("overlay", FSOPEN_CLOEXEC);
        if (fs < 0)
                return -errno;
        r = by_user_xattr(fs);
        if (r == 0)
                r = set_layers_singly(fs, lower_dirs, n);
        if (r == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                r = -errno;
        if (r == -EINVAL) {
                zl_close(fs);
                fs = fsopen("overlay", FSOPEN_CLOEXEC);
                r = fs < 0 ? -errno : by_user_xattr(fs);
                if (r == 0)
                        r = set_layers_joined(fs, lower_dirs, n);
        }
        if (r < 0)
                return r;
        fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        return fd < 0 ? -errno : fd;
}

int zl_copy_up(char *const *lower_dirs, const char *path, int to_fd, struct zl_error *err)
{
        _cleanup_close_ int root = open_merged(lower_dirs);
        _cleanup_close_ int from = -EBADF;
        struct copier c = { .links = zl_map_new(free), .root = to_fd };
        int r;

        if (root < 0) {
                zl_map_free(c.links);
                return zl_fail_errno(err, -root, "cannot look at the image's files");
        }
        from = zl_open_in(root, path, O_RDONLY | O_DIRECTORY, 0, ZL_PATH_IN_ROOT);
        if (from == -ENOENT || from == -ENOTDIR || from == -ELOOP) {
                zl_map_free(c.links);
                return 0;
        }
        r = from < 0  ? from
            : c.links ? copy_dir(&c, &(struct level){ from, to_fd, "", 0 })
                      : -ENOMEM;
        zl_map_free(c.links);
        return r < 0 ? zl_fail_errno(err, -r, "cannot copy the image's %s into a volume", path) : 0;
}
