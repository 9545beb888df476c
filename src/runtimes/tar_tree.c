/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory tree as a tar archive (see tar_tree.h), read while others may change it. Every entry is looked at with
 * statx() by its parent's descriptor and a file is opened without following anything, then looked at again: a name that
 * became something else in between is left out. The deepest directory is limited, so neither the stack nor the number
 * of descriptors is at the mercy of who made the tree.
 *
 * An upper directory of overlayfs becomes a layer of an image: a character device 0:0 is a white-out, an opaque directory
 * gets the entry that says so. Directories that were renamed (redirects) and files without their data (metacopy) have
 * no form in a layer; those kernels' options are off unless somebody switched them on.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/map.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strv.h"
#include "runtimes/tar_tree.h"

enum { DEPTH_MAX = 512, XATTRS_MAX = 64, CHUNK = 64 << 10 };

struct tree {
        struct zl_tar_writer *writer;
        unsigned flags, depth;
        uint64_t mount;
        struct zl_map *
                links; /* "DEVICE:INODE" of files with several names -> first of them in the archive */
        char *chunk;
        struct zl_tar_xattr xattrs[XATTRS_MAX];
        size_t n_xattrs;
        struct zl_error *err;
};

static int unreadable(struct tree *t, int errnum, const char *name)
{
        return zl_fail_errno(t->err, errnum, "cannot read %.300s", name);
}

/* ---- attributes -------------------------------------------------------------------------------------------- */

static void forget_xattrs(struct tree *t)
{
        while (t->n_xattrs > 0) {
                free(t->xattrs[--t->n_xattrs].name);
                free(t->xattrs[t->n_xattrs].value);
        }
}

/* Those that an image may have, see unpack.c. */
static bool is_wanted(const char *name)
{
        return zl_streq(name, "security.capability") || zl_streq(name, "system.posix_acl_access") ||
               zl_streq(name, "system.posix_acl_default") ||
               (zl_startswith(name, "user.") && !zl_startswith(name, "user.overlay."));
}

static int take_xattr(struct tree *t, int fd, const char *key)
{
        struct zl_tar_xattr *x = &t->xattrs[t->n_xattrs];
        ssize_t n = fgetxattr(fd, key, NULL, 0);

        if (n < 0)
                return 0;
        *x = (struct zl_tar_xattr){ strdup(key), malloc((size_t)n + 1), (size_t)n };
        t->n_xattrs++;
        if (!x->name || !x->value)
                return zl_fail_oom(t->err);
        n = fgetxattr(fd, key, x->value, x->len);
        x->len = n < 0 ? 0 : (size_t)n;
        return 0;
}

/* A file system without attributes has none. */
static int read_xattrs(struct tree *t, int fd, const char *name)
{
        _cleanup_free_ char *list = NULL;
        ssize_t len = flistxattr(fd, NULL, 0);
        int r = 0;

        forget_xattrs(t);
        if (len <= 0)
                return 0;
        list = malloc((size_t)len);
        if (!list)
                return zl_fail_oom(t->err);
        len = flistxattr(fd, list, (size_t)len);
        for (const char *key = list; r == 0 && len > 0 && key < list + len;
             key += strlen(key) + 1) {
                if ((t->flags & ZL_TAR_LAYER) && (zl_streq(key, "trusted.overlay.redirect") ||
                                                  zl_streq(key, "trusted.overlay.metacopy")))
                        return zl_fail(t->err, ZL_E_UNSUPPORTED, 0,
                                       "%.300s: overlayfs keeps it as a reference (%s), which a "
                                       "layer cannot express",
                                       name, key);
                if (is_wanted(key) && t->n_xattrs == XATTRS_MAX)
                        return zl_fail(t->err, ZL_E_UNSUPPORTED, E2BIG,
                                       "%.300s has more than %d attributes", name, XATTRS_MAX);
                if (is_wanted(key))
                        r = take_xattr(t, fd, key);
        }
        return r;
}

/* ---- entries ----------------------------------------------------------------------------------------------- */

static struct zl_tar_entry entry_of(const struct statx *st, char type, const char *name)
{
        return (struct zl_tar_entry){
                .type = type,
                .path = name,
                .link = "",
                .mode = st->stx_mode & 07777U,
                .uid = st->stx_uid,
                .gid = st->stx_gid,
                .mtime = st->stx_mtime.tv_sec,
        };
}

static int put_entry(struct tree *t, struct zl_tar_entry *e)
{
        e->xattrs = t->xattrs;
        e->n_xattrs = t->n_xattrs;
        return zl_tar_writer_entry(t->writer, e, t->err);
}

/* A second name of a file that is in the archive: 1, and it is written. */
static int put_second_name(struct tree *t, const struct statx *st, const char *name)
{
        struct zl_tar_entry e = entry_of(st, '1', name);
        char *first;
        char key[64];
        int r;

        if (st->stx_nlink < 2)
                return 0;
        snprintf(key, sizeof key, "%x:%x:%llx", st->stx_dev_major, st->stx_dev_minor,
                 (unsigned long long)st->stx_ino);
        e.link = zl_map_get(t->links, key);
        if (e.link) {
                r = zl_tar_writer_entry(t->writer, &e, t->err);
                return r < 0 ? r : 1;
        }
        first = strdup(name);
        if (!first || zl_map_put(t->links, key, first) < 0) {
                free(first);
                return zl_fail_oom(t->err);
        }
        return 0;
}

static int copy_data(struct tree *t, int fd, uint64_t size, const char *name)
{
        int r = 0;

        while (r == 0 && size > 0) {
                ssize_t n = read(fd, t->chunk, ZL_MIN(size, (uint64_t)CHUNK));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return unreadable(t, errno, name);
                if (n == 0) { /* it has shrunk */
                        n = (ssize_t)ZL_MIN(size, (uint64_t)CHUNK);
                        memset(t->chunk, 0, (size_t)n);
                }
                size -= (uint64_t)n;
                r = zl_tar_writer_data(t->writer, t->chunk, (size_t)n, t->err);
        }
        return r;
}

static int put_file(struct tree *t, int dir, const char *base, const char *name,
                    const struct statx *st)
{
        _cleanup_close_ int fd = openat(dir, base,
                                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct zl_tar_entry e = entry_of(st, '0', name);
        struct stat now;
        int r;

        if (fd < 0)
                return errno == ENOENT || errno == ELOOP ? 0 : unreadable(t, errno, name);
        if (fstat(fd, &now) < 0 || !S_ISREG(now.st_mode))
                return 0;
        r = put_second_name(t, st, name);
        if (r != 0)
                return r < 0 ? r : 0;
        e.size = (uint64_t)now.st_size;
        r = read_xattrs(t, fd, name);
        r = r < 0 ? r : put_entry(t, &e);
        return r < 0 ? r : copy_data(t, fd, e.size, name);
}

static int put_link(struct tree *t, int dir, const char *base, const char *name,
                    const struct statx *st)
{
        struct zl_tar_entry e = entry_of(st, '2', name);
        char target[4097];
        ssize_t n = readlinkat(dir, base, target, sizeof target - 1);
        int r;

        if (n < 0)
                return 0;
        target[n] = 0;
        r = put_second_name(t, st, name);
        if (r != 0)
                return r < 0 ? r : 0;
        e.link = target;
        forget_xattrs(t);
        return put_entry(t, &e);
}

static int put_node(struct tree *t, const char *name, const struct statx *st)
{
        struct zl_tar_entry e = entry_of(st,
                                         S_ISCHR(st->stx_mode)   ? '3'
                                         : S_ISBLK(st->stx_mode) ? '4'
                                                                 : '6',
                                         name);

        e.major = st->stx_rdev_major;
        e.minor = st->stx_rdev_minor;
        forget_xattrs(t);
        return put_entry(t, &e);
}

/* "DIR/.wh.BASE", an empty file. */
static int put_whiteout(struct tree *t, const char *name, const struct statx *st)
{
        const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
        struct zl_tar_entry e = entry_of(st, '0', name);
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%.*s.wh.%s", (int)(base - name), name, base) < 0)
                return zl_fail_oom(t->err);
        e.path = path;
        e.mode = 0600;
        forget_xattrs(t);
        return put_entry(t, &e);
}

/* ---- directories ------------------------------------------------------------------------------------------- */

static int put_any(struct tree *t, int dir, const char *base, const char *name);

/* File systems that are no files of anybody. */
static bool is_of_the_kernel(int fd)
{
        static const unsigned long magics[] = {
                PROC_SUPER_MAGIC,    SYSFS_MAGIC,        CGROUP_SUPER_MAGIC,
                CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, 0x19800202 /* mqueue */,
                SECURITYFS_MAGIC,    DEBUGFS_MAGIC,      TRACEFS_MAGIC,
                BPF_FS_MAGIC,
        };
        struct statfs fs;

        if (fstatfs(fd, &fs) < 0)
                return true;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(magics); i++)
                if ((unsigned long)fs.f_type == magics[i])
                        return true;
        return false;
}

/* Takes `fd` over. */
static int put_children(struct tree *t, int fd, const char *name)
{
        DIR *dir = fdopendir(fd);
        const struct dirent *de;
        int r = 0;

        if (!dir) {
                zl_close(fd);
                return zl_fail_oom(t->err);
        }
        while (r == 0 && (de = readdir(dir))) {
                _cleanup_free_ char *below = NULL;

                if (zl_streq(de->d_name, ".") || zl_streq(de->d_name, ".."))
                        continue;
                below = zl_path_join(name, de->d_name);
                r = below ? put_any(t, dirfd(dir), de->d_name, below) : zl_fail_oom(t->err);
        }
        closedir(dir);
        return r;
}

static int put_opaque(struct tree *t, int fd, const char *name, const struct statx *st)
{
        struct zl_tar_entry e = entry_of(st, '0', name);
        _cleanup_free_ char *path = NULL;
        char value;

        if (fgetxattr(fd, zl_process_opaque_xattr(), &value, 1) != 1 || value != 'y')
                return 0;
        path = zl_path_join(name, ".wh..wh..opq");
        if (!path)
                return zl_fail_oom(t->err);
        e.path = path;
        e.mode = 0600;
        forget_xattrs(t);
        return put_entry(t, &e);
}

static int put_dir(struct tree *t, int dir, const char *base, const char *name,
                   const struct statx *st)
{
        _cleanup_close_ int fd = openat(dir, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        bool foreign = (t->flags & ZL_TAR_ONE_MOUNT) && st->stx_mnt_id != t->mount;
        _cleanup_free_ char *path = NULL;
        struct zl_tar_entry e;
        int r;

        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                               ? 0
                               : unreadable(t, errno, name);
        if (asprintf(&path, "%s/", name) < 0)
                return zl_fail_oom(t->err);
        e = entry_of(st, '5', path);
        r = read_xattrs(t, fd, name);
        if (r == 0 && *name)
                r = put_entry(t, &e);
        if (r == 0 && (t->flags & ZL_TAR_LAYER))
                r = put_opaque(t, fd, name, st);
        if (r < 0 || foreign || is_of_the_kernel(fd))
                return r;
        if (++t->depth > DEPTH_MAX)
                return zl_fail(t->err, ZL_E_INVALID, 0,
                               "%.300s...: directories are nested deeper than %d", name, DEPTH_MAX);
        r = put_children(t, zl_take_fd(fd), name);
        t->depth--;
        return r;
}

static int put_any(struct tree *t, int dir, const char *base, const char *name)
{
        struct statx st;

        if (statx(dir, base, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                  STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0)
                return errno == ENOENT ? 0 : unreadable(t, errno, name);
        if (t->depth == 0)
                t->mount = st.stx_mnt_id;
        if (S_ISDIR(st.stx_mode))
                return put_dir(t, dir, base, name, &st);
        if ((t->flags & ZL_TAR_ONE_MOUNT) && st.stx_mnt_id != t->mount) {
                struct zl_tar_entry e = entry_of(&st, '0', name);

                forget_xattrs(t);
                return put_entry(t, &e); /* the place it is mounted on */
        }
        switch (st.stx_mode & S_IFMT) {
        case S_IFREG:
                return put_file(t, dir, base, name, &st);
        case S_IFLNK:
                return put_link(t, dir, base, name, &st);
        case S_IFCHR:
                if ((t->flags & ZL_TAR_LAYER) && st.stx_rdev_major == 0 && st.stx_rdev_minor == 0)
                        return put_whiteout(t, name, &st);
                return put_node(t, name, &st);
        case S_IFBLK:
        case S_IFIFO:
                return put_node(t, name, &st);
        default:
                return 0; /* a socket is nothing without who listens */
        }
}

int zl_tar_tree(struct zl_tar_writer *writer, int dirfd, const char *base, const char *name,
                unsigned flags, struct zl_error *err)
{
        struct tree t = { .writer = writer, .flags = flags, .err = err };
        int r;

        t.links = zl_map_new(free);
        t.chunk = malloc(CHUNK);
        r = t.links && t.chunk ? put_any(&t, dirfd, base, name) : zl_fail_oom(err);
        forget_xattrs(&t);
        zl_map_free(t.links);
        free(t.chunk);
        return r;
}
