/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking one layer. A layer is unpacked by itself, not over the layers below it, so it can be shared by
 * all images that have it; white-outs become what overlayfs understands.
 *
 * Safety: every path is resolved below the layer's directory with ZL_PATH_BENEATH. Symbolic links that stay
 * inside are followed (merged-usr layers ship lib -> usr/lib and then lib/x), those that are absolute or
 * climb out are an error, as are ".." and absolute names. The last component is never followed. What
 * stands in the way of an entry is removed first, files are created with O_EXCL, so nothing is ever
 * written through an existing name. The layers directory is closed to other users (0700), which is what
 * makes set-user-id files in it harmless on the host.
 *
 * Speed: a file costs open, write, futimens, close, and chown/chmod only where they would change something. That
 * is why the thread has its own umask (0) and why parents are cached: entries of a directory follow each
 * other. Nothing is fsynced here; the caller syncs the file system once per layer.
 *
 * What may go wrong: a directory that appears only as the parent of an entry gets root:root 0755, which in the
 * overlay hides the attributes the same directory has in a lower layer. Tools that make such layers are
 * rare, and Docker and containerd's overlay code behave the same.
 */
#include "image/unpack.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/process.h"

#define WHITEOUT_PREFIX ".wh."
#define OPAQUE_NAME ".wh..wh..opq"
enum { FLUSH_BYTES = 8 << 20, PATH_BYTES_MAX = 4095 };

struct zl_unpack {
        int root;
        struct zl_image_limits limits;
        uint64_t bytes, entries;
        enum zl_path_policy policy;
        char *into; /* NULL: a layer; else the directory of a live root that all goes to */
        unsigned flags;

        /* The directory of the last entry. */
        char *parent_path; /* "" is the root */
        int parent;
        bool parent_is_setgid;

        /* The file being written. */
        int file;
        char *path; /* clean, for messages */
        uint64_t file_size, written, flushed;
        uint32_t mode, uid, gid;
        struct timespec mtime;
        struct zl_tar_xattr *file_xattrs;
        size_t n_file_xattrs;

        FILE *times; /* mtimes of directories, set when all is in them */
        bool told_xattr;
        bool is_root; /* new files belong to 0:0 */
        bool fresh;   /* the entry was made just now, with the mode asked for */
};

int zl_unpack_thread_init(struct zl_error *err)
{
        if (unshare(CLONE_FS) < 0)
                return zl_fail_errno(err, errno, "cannot unshare the umask of a thread");
        umask(0);
        return 0;
}

static FILE *open_scratch(int dirfd)
{
        int fd = openat(dirfd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        FILE *f;

        if (fd < 0) { /* not every file system has O_TMPFILE */
                fd = openat(dirfd, "times", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                if (fd >= 0)
                        unlinkat(dirfd, "times", 0);
        }
        f = fd >= 0 ? fdopen(fd, "w+") : NULL;
        if (!f)
                zl_close(fd);
        return f;
}

int zl_unpack_new(int root, int scratch, const struct zl_image_limits *limits,
                  struct zl_unpack **ret, struct zl_error *err)
{
        _cleanup_(zl_unpack_freep) struct zl_unpack *u = calloc(1, sizeof *u);

        if (!u)
                return zl_fail_oom(err);
        u->root = root;
        u->limits = *limits;
        u->policy = ZL_PATH_BENEATH;
        u->parent = u->file = -EBADF;
        u->is_root = geteuid() == 0 && getegid() == 0;
        u->times = open_scratch(scratch);
        if (!u->times)
                return zl_fail_errno(err, errno, "cannot make a temporary file");
        *ret = zl_take_ptr(u);
        return 0;
}

int zl_unpack_set_live(struct zl_unpack *u, const char *directory, unsigned flags,
                       struct zl_error *err)
{
        u->into = strdup(directory);
        u->policy = ZL_PATH_IN_ROOT;
        u->flags = flags;
        return u->into ? 0 : zl_fail_oom(err);
}

static void free_xattrs(struct zl_unpack *u)
{
        for (size_t i = 0; i < u->n_file_xattrs; i++) {
                free(u->file_xattrs[i].name);
                free(u->file_xattrs[i].value);
        }
        free(u->file_xattrs);
        u->file_xattrs = NULL;
        u->n_file_xattrs = 0;
}

void zl_unpack_free(struct zl_unpack *u)
{
        if (!u)
                return;
        free_xattrs(u);
        zl_close(u->parent);
        zl_close(u->file);
        free(u->parent_path);
        free(u->path);
        free(u->into);
        if (u->times)
                fclose(u->times);
        free(u);
}

uint64_t zl_unpack_bytes(const struct zl_unpack *u)
{
        return u->bytes;
}

uint64_t zl_unpack_entries(const struct zl_unpack *u)
{
        return u->entries;
}

/* ---- names ------------------------------------------------------------------------------------------- */

static int hostile(struct zl_error *err, const char *path, const char *why)
{
        int r = zl_fail(err, ZL_E_INVALID, 0, "refused archive entry \"%.300s\": %s", path, why);

        zl_error_hint(err, "the archive is broken or hostile; nothing of an image is kept then");
        return r;
}

/* Says why the directory of an entry cannot be reached. */
static int unreachable(struct zl_error *err, const char *path, int errnum)
{
        switch (errnum) {
        case EXDEV:
        case ELOOP:
                return hostile(err, path, "a symbolic link in its path leads out of the image");
        case ENOTDIR:
                return hostile(err, path, "its parent is not a directory");
        case ENOENT:
                return hostile(err, path, "a symbolic link in its path leads nowhere");
        case ENAMETOOLONG:
                return hostile(err, path, "its name is too long");
        default:
                return zl_fail_errno(err, errnum, "cannot unpack %.300s", path);
        }
}

/* Cleans a name of the archive: "./a//b/" becomes "a/b", the root "". */
static int clean_name(const char *name, const char *for_entry, char **ret, struct zl_error *err)
{
        _cleanup_free_ char *out = malloc(strlen(name) + 1);
        size_t len = 0;

        if (!out)
                return zl_fail_oom(err);
        /* No program in the container could name it. */
        if (strlen(name) > PATH_BYTES_MAX)
                return hostile(err, for_entry, "its name is too long");
        if (name[0] == '/' && name[1])
                return hostile(err, for_entry, "its name or link target is an absolute path");
        for (const char *p = name; *p;) {
                size_t n = strcspn(p, "/");

                if (n == 2 && p[0] == '.' && p[1] == '.')
                        return hostile(err, for_entry, "its name or link target contains \"..\"");
                if (n > 0 && !(n == 1 && *p == '.')) {
                        if (len)
                                out[len++] = '/';
                        memcpy(out + len, p, n);
                        len += n;
                }
                p += n + (p[n] == '/');
        }
        out[len] = 0;
        *ret = zl_take_ptr(out);
        return 0;
}

static bool is_whiteout(const struct stat *st)
{
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static void forget_parent(struct zl_unpack *u)
{
        u->parent = zl_close(u->parent);
        free(u->parent_path);
        u->parent_path = NULL;
}

static int set_opaque(int dirfd, const char *name)
{
        _cleanup_close_ int fd = openat(dirfd, name,
                                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 || fsetxattr(fd, zl_process_opaque_xattr(), "y", 1, 0) < 0)
                return -errno;
        return 0;
}

/* Undoes what it inherited from a set-group-id parent. */
static int settle_implicit_dir(int parent, const char *base)
{
        return fchownat(parent, base, 0, 0, AT_SYMLINK_NOFOLLOW) < 0 ||
                               fchmodat(parent, base, 0755, 0) < 0
                       ? -errno
                       : 0;
}

/* Makes the missing directory `path`, whose parents exist. */
static int make_implicit_dir(struct zl_unpack *u, const char *path)
{
        _cleanup_close_ int parent = -EBADF;
        const char *base;
        struct stat st;
        int r;

        parent = zl_open_parent_in(u->root, path, u->policy, &base);
        if (parent < 0)
                return parent;
        if (mkdirat(parent, base, 0755) == 0)
                return settle_implicit_dir(parent, base);
        if (errno != EEXIST || fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return -ENOENT; /* a link that leads nowhere */
        if (!is_whiteout(&st))
                return -ENOTDIR;
        /* The lower one is whited out and a new one begins. */
        if (unlinkat(parent, base, 0) < 0 || mkdirat(parent, base, 0755) < 0)
                return -errno;
        r = set_opaque(parent, base);
        return r < 0 ? r : settle_implicit_dir(parent, base);
}

static int open_dir(struct zl_unpack *u, const char *path)
{
        _cleanup_free_ char *prefix = NULL;
        int fd = zl_open_in(u->root, path, O_RDONLY | O_DIRECTORY, 0, u->policy);

        if (fd != -ENOENT && fd != -ENOTDIR)
                return fd;
        prefix = strdup(path);
        if (!prefix)
                return -ENOMEM;
        for (size_t end = 0; path[end];) {
                int r;

                end += path[end] == '/';
                end += strcspn(path + end, "/");
                prefix[end] = 0;
                r = zl_open_in(u->root, prefix, O_PATH | O_DIRECTORY, 0, u->policy);
                if (r == -ENOENT || r == -ENOTDIR)
                        r = make_implicit_dir(u, prefix);
                else if (r >= 0)
                        zl_close(r);
                if (r < 0)
                        return r;
                prefix[end] = path[end];
        }
        return zl_open_in(u->root, path, O_RDONLY | O_DIRECTORY, 0, u->policy);
}

/* Opens the directory of the clean path `path` (cached) and tells the last component. */
static int enter_parent(struct zl_unpack *u, const char *path, const char **ret_base,
                        struct zl_error *err)
{
        const char *slash = strrchr(path, '/');
        size_t n = slash ? (size_t)(slash - path) : 0;
        struct stat st;

        *ret_base = slash ? slash + 1 : path;
        if (strlen(*ret_base) > 255)
                return unreachable(err, path, ENAMETOOLONG);
        if (u->parent_path && strlen(u->parent_path) == n && memcmp(u->parent_path, path, n) == 0)
                return 0;
        forget_parent(u);
        u->parent_path = strndup(path, n);
        if (!u->parent_path)
                return zl_fail_oom(err);
        u->parent = open_dir(u, u->parent_path);
        if (u->parent < 0 || fstat(u->parent, &st) < 0) {
                int r = u->parent < 0 ? u->parent : -errno;

                forget_parent(u);
                return unreachable(err, path, -r);
        }
        u->parent_is_setgid = st.st_mode & S_ISGID;
        return 0;
}

/* ---- attributes --------------------------------------------------------------------------------------- */

/* Attributes that an image may set. The rest is the host's business (labels, integrity) or would let an archive forge
 * white-outs and redirects of overlayfs. */
static bool xattr_is_wanted(const char *name)
{
        if (zl_streq(name, "security.capability") || zl_streq(name, "system.posix_acl_access") ||
            zl_streq(name, "system.posix_acl_default"))
                return true;
        return zl_startswith(name, "user.") && !zl_startswith(name, "user.overlay.");
}

/* By descriptor, or with fd < 0 by name in the current directory. */
/* zl-size: a file by descriptor or by name, and a list with its length */
static int set_xattrs(struct zl_unpack *u, int fd, const char *base,
                      const struct zl_tar_xattr *xattrs, size_t n, struct zl_error *err)
{
        for (size_t i = 0; i < n; i++) {
                const struct zl_tar_xattr *x = &xattrs[i];
                int r;

                if (!xattr_is_wanted(x->name)) {
                        zl_debug("unpack: %s: attribute %.100s dropped", u->path, x->name);
                        continue;
                }
                r = fd >= 0 ? fsetxattr(fd, x->name, x->value, x->len, 0)
                            : lsetxattr(base, x->name, x->value, x->len, 0);
                if (r == 0)
                        continue;
                if (errno != EOPNOTSUPP || !zl_startswith(x->name, "user."))
                        return zl_fail_errno(err, errno,
                                             "cannot set the attribute %.100s of %.300s", x->name,
                                             u->path);
                if (!u->told_xattr)
                        zl_warn("the file system of the image store has no user attributes; the "
                                "image's are lost (first on %s)",
                                u->path);
                u->told_xattr = true;
        }
        return 0;
}

/* Does a new file have this owner without our doing? */
static bool owner_is_right(const struct zl_unpack *u, uint32_t uid, uint32_t gid)
{
        return u->is_root && uid == 0 && gid == 0 && !u->parent_is_setgid;
}

/* Owner, mode, attributes and time of what is not a regular file. `dirfd` and `base` name it. */
static int set_metadata(struct zl_unpack *u, int dirfd, const char *base,
                        const struct zl_tar_entry *e, struct zl_error *err)
{
        const struct timespec times[2] = { u->mtime, u->mtime };
        int r;

        if ((!u->fresh || !owner_is_right(u, e->uid, e->gid)) &&
            fchownat(dirfd, base, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return zl_fail_errno(err, errno, "cannot set the owner of %.300s", u->path);
        /* A new directory inherits set-group-id as well as the group. */
        if (e->type != '2' && (!u->fresh || u->parent_is_setgid || (e->mode & 07000)) &&
            fchmodat(dirfd, base, e->mode & 07777, 0) < 0)
                return zl_fail_errno(err, errno, "cannot set the mode of %.300s", u->path);
        if (e->n_xattrs) {
                /* There is no lsetxattrat(); the working directory is this thread's own. */
                if (fchdir(dirfd) < 0)
                        return zl_fail_errno(err, errno, "cannot enter the directory of %.300s",
                                             u->path);
                r = set_xattrs(u, -1, base, e->xattrs, e->n_xattrs, err);
                if (r < 0)
                        return r;
        }
        if (e->type != '5' && utimensat(dirfd, base, times, AT_SYMLINK_NOFOLLOW) < 0)
                return zl_fail_errno(err, errno, "cannot set the time of %.300s", u->path);
        return 0;
}

/* Remembers the time of a directory: every entry made in it would change it again. */
static int remember_time(struct zl_unpack *u, struct zl_error *err)
{
        uint32_t len = (uint32_t)strlen(u->path) + 1;

        if (fwrite(&len, sizeof len, 1, u->times) != 1 ||
            fwrite(&u->mtime, sizeof u->mtime, 1, u->times) != 1 ||
            fwrite(u->path, len, 1, u->times) != 1)
                return zl_fail_errno(err, errno ? errno : EIO, "cannot write a temporary file");
        return 0;
}

/* ---- entries ------------------------------------------------------------------------------------------- */

/* Takes away what stands at a name, whatever it is. Returns 1 if it was a white-out. */
static int clear_name(struct zl_unpack *u, const char *base)
{
        struct stat st;
        int r;

        if (fstatat(u->parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (S_ISDIR(st.st_mode)) {
                r = zl_rm_rf_at(u->parent, base);
                if (r < 0)
                        return r;
        } else if (unlinkat(u->parent, base, 0) < 0) {
                return -errno;
        }
        return is_whiteout(&st);
}

static int whiteout(struct zl_unpack *u, const char *base, struct zl_error *err)
{
        const char *name = base + strlen(WHITEOUT_PREFIX);
        struct stat st;
        int r = 0;

        if (zl_streq(base, OPAQUE_NAME)) {
                if (fsetxattr(u->parent, zl_process_opaque_xattr(), "y", 1, 0) < 0)
                        return zl_fail_errno(err, errno,
                                             "cannot mark the directory of %.300s opaque", u->path);
                return 0;
        }
        if (zl_startswith(base, WHITEOUT_PREFIX WHITEOUT_PREFIX))
                return 0; /* bookkeeping of aufs */
        if (!zl_path_is_name(name))
                return hostile(err, u->path, "a white-out of no name");
        /* A name that this layer has itself stays and hides the lower one; a directory must not show through. */
        if (fstatat(u->parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                r = S_ISDIR(st.st_mode) ? set_opaque(u->parent, name) : 0;
        else if (mknodat(u->parent, name, S_IFCHR, makedev(0, 0)) < 0)
                r = -errno;
        return r < 0 ? zl_fail_errno(err, -r, "cannot make the white-out %.300s", u->path) : 0;
}

static int make_dir(struct zl_unpack *u, const char *base, const struct zl_tar_entry *e,
                    struct zl_error *err)
{
        const mode_t mode = e->mode & 0777;
        int r = 0;

        if (mkdirat(u->parent, base, mode) < 0) {
                struct stat st;

                if (errno == EEXIST && fstatat(u->parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISDIR(st.st_mode)) {
                        u->fresh = false;
                        return 0;
                }
                r = errno == EEXIST ? clear_name(u, base) : -errno;
                if (r >= 0 && mkdirat(u->parent, base, mode) < 0)
                        r = -errno;
                if (r == 1)
                        r = set_opaque(u->parent, base);
        }
        return r < 0 ? zl_fail_errno(err, -r, "cannot make the directory %.300s", u->path) : 0;
}

/* The same below the directory that all goes to. */
static int place_name(struct zl_unpack *u, const char *name, const char *for_entry, char **ret,
                      struct zl_error *err)
{
        _cleanup_free_ char *clean = NULL;
        int r = clean_name(name, for_entry, &clean, err);

        if (r < 0)
                return r;
        *ret = u->into && *clean ? zl_path_join(u->into, clean) : zl_take_ptr(clean);
        return *ret ? 0 : zl_fail_oom(err);
}

/* The target of a hard link must be in this layer already. */
static int open_link_target(struct zl_unpack *u, const struct zl_tar_entry *e, char **ret_path,
                            struct zl_error *err)
{
        const char *base;
        int fd, r = place_name(u, e->link, u->path, ret_path, err);

        if (r < 0)
                return r;
        if (**ret_path == 0)
                return hostile(err, u->path, "a hard link to nothing");
        fd = zl_open_parent_in(u->root, *ret_path, u->policy, &base);
        if (fd == -EXDEV || fd == -ELOOP)
                return hostile(err, u->path, "its link target leads out of the image");
        if (fd < 0)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "archive entry \"%.300s\": the target of the hard link, %.300s, is "
                               "not in this layer",
                               u->path, *ret_path);
        return fd;
}

static int make_hard_link(struct zl_unpack *u, const char *base, const struct zl_tar_entry *e,
                          struct zl_error *err)
{
        _cleanup_free_ char *target = NULL;
        _cleanup_close_ int dir = open_link_target(u, e, &target, err);
        const char *target_base;
        struct stat st;

        if (dir < 0)
                return dir;
        target_base = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
        if (fstatat(dir, target_base, &st, AT_SYMLINK_NOFOLLOW) < 0 || is_whiteout(&st))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "archive entry \"%.300s\": the target of the hard link, %.300s, is "
                               "not in this layer",
                               u->path, target);
        if (S_ISDIR(st.st_mode))
                return hostile(err, u->path, "a hard link to a directory");
        if (linkat(dir, target_base, u->parent, base, 0) < 0) {
                struct stat old;
                int r = -errno;

                if (r == -EEXIST && fstatat(u->parent, base, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
                    old.st_ino == st.st_ino && old.st_dev == st.st_dev)
                        return 0; /* a link to itself or a second time */
                if (r == -EEXIST)
                        r = clear_name(u, base);
                if (r >= 0 && linkat(dir, target_base, u->parent, base, 0) < 0)
                        r = -errno;
                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot make the hard link %.300s", u->path);
        }
        return 0;
}

static int make_node(struct zl_unpack *u, const char *base, const struct zl_tar_entry *e,
                     struct zl_error *err)
{
        mode_t type = e->type == '3' ? S_IFCHR : e->type == '4' ? S_IFBLK : S_IFIFO;
        dev_t dev = type == S_IFIFO ? 0 : makedev(e->major, e->minor);
        int r;

        if (type == S_IFCHR && dev == 0)
                return hostile(err, u->path, "a device 0:0, which overlayfs takes for a white-out");
        /* Majors have 12 bits and minors 20 in the kernel; makedev() would cut silently. */
        if (type != S_IFIFO && (e->major >= 1U << 12 || e->minor >= 1U << 20))
                return hostile(err, u->path, "a device with an impossible number");
        if (mknodat(u->parent, base, type | (e->mode & 0777), dev) == 0)
                return 0;
        r = errno == EEXIST ? clear_name(u, base) : -errno;
        if (r >= 0 && mknodat(u->parent, base, type | (e->mode & 0777), dev) < 0)
                r = -errno;
        return r < 0 ? zl_fail_errno(err, -r, "cannot make the node %.300s", u->path) : 0;
}

static int make_symlink(struct zl_unpack *u, const char *base, const struct zl_tar_entry *e,
                        struct zl_error *err)
{
        int r;

        if (*e->link == 0)
                return hostile(err, u->path, "a symbolic link to nothing");
        if (symlinkat(e->link, u->parent, base) == 0)
                return 0;
        r = errno == EEXIST ? clear_name(u, base) : -errno;
        if (r >= 0 && symlinkat(e->link, u->parent, base) < 0)
                r = -errno;
        return r < 0 ? zl_fail_errno(err, -r, "cannot make the symbolic link %.300s", u->path) : 0;
}

/* The reader's attributes are gone when the file's data is through: keep a copy of those few. */
static int keep_xattrs(struct zl_unpack *u, const struct zl_tar_entry *e)
{
        if (e->n_xattrs == 0)
                return 0;
        u->file_xattrs = calloc(e->n_xattrs, sizeof *u->file_xattrs);
        if (!u->file_xattrs)
                return -ENOMEM;
        for (size_t i = 0; i < e->n_xattrs; i++) {
                struct zl_tar_xattr *x = &u->file_xattrs[u->n_file_xattrs++];

                *x = (struct zl_tar_xattr){ strdup(e->xattrs[i].name), malloc(e->xattrs[i].len + 1),
                                            e->xattrs[i].len };
                if (!x->name || !x->value)
                        return -ENOMEM;
                memcpy(x->value, e->xattrs[i].value, x->len);
        }
        return 0;
}

static int begin_file(struct zl_unpack *u, const char *base, const struct zl_tar_entry *e,
                      struct zl_error *err)
{
        const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        int r = 0;

        if (e->size > u->limits.layer_bytes)
                return zl_fail(
                        err, ZL_E_INVALID, 0,
                        "archive entry \"%.300s\": a file of %llu bytes is beyond the limit of "
                        "%llu",
                        u->path, (unsigned long long)e->size,
                        (unsigned long long)u->limits.layer_bytes);
        if (keep_xattrs(u, e) < 0)
                return zl_fail_oom(err);
        u->file = openat(u->parent, base, flags, e->mode & 0777);
        if (u->file < 0) {
                r = errno == EEXIST ? clear_name(u, base) : -errno;
                if (r >= 0)
                        u->file = openat(u->parent, base, flags, e->mode & 0777);
                if (r < 0 || u->file < 0)
                        return zl_fail_errno(err, r < 0 ? -r : errno, "cannot make %.300s",
                                             u->path);
        }
        u->file_size = e->size;
        u->written = u->flushed = 0;
        u->mode = e->mode & 07777;
        u->uid = e->uid;
        u->gid = e->gid;
        return 0;
}

static int root_entry(struct zl_unpack *u, const struct zl_tar_entry *e, struct zl_error *err)
{
        int r;

        if (e->type != '5')
                return hostile(err, "/", "the root is not a directory");
        forget_parent(u);
        u->fresh = false;
        r = set_metadata(u, u->root, ".", e, err);
        return r < 0 ? r : remember_time(u, err);
}

static int other_entry(struct zl_unpack *u, const char *base, const struct zl_tar_entry *e,
                       struct zl_error *err)
{
        int r;

        u->fresh = true;
        switch (e->type) {
        case '1':
                return make_hard_link(u, base, e, err); /* the file has its attributes already */
        case '2':
                r = make_symlink(u, base, e, err);
                break;
        case '5':
                r = make_dir(u, base, e, err);
                break;
        default:
                r = make_node(u, base, e, err);
        }
        if (r >= 0)
                r = set_metadata(u, u->parent, base, e, err);
        if (r >= 0 && e->type == '5')
                r = remember_time(u, err);
        return r;
}

/* White-outs mean nothing in a live tree, and owners only if they are asked for. */
static int live_entry(struct zl_unpack *u, const char *base, const struct zl_tar_entry *e,
                      struct zl_error *err)
{
        struct zl_tar_entry entry = *e;
        struct stat st;

        if (!(u->flags & ZL_UNPACK_OWNERS))
                entry.uid = entry.gid = 0;
        if ((u->flags & ZL_UNPACK_NO_OVERWRITE_DIR) &&
            fstatat(u->parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(st.st_mode) != (e->type == '5'))
                return zl_fail(err, ZL_E_EXISTS, 0, "/%.300s is %s directory, the archive's is %s",
                               u->path, e->type == '5' ? "no" : "a",
                               e->type == '5' ? "one" : "none");
        return e->type == '0' ? begin_file(u, base, &entry, err)
                              : other_entry(u, base, &entry, err);
}

int zl_unpack_entry(struct zl_unpack *u, const struct zl_tar_entry *e, struct zl_error *err)
{
        const char *base;
        int r;

        if (++u->entries > u->limits.layer_entries)
                return zl_fail(err, ZL_E_INVALID, 0, "the layer has more than %llu entries",
                               (unsigned long long)u->limits.layer_entries);
        free(u->path);
        u->path = NULL;
        r = place_name(u, e->path, e->path, &u->path, err);
        if (r < 0)
                return r;
        u->mtime = (struct timespec){ e->mtime, e->mtime_nsec };
        if (*u->path == 0)
                return u->into ? 0 : root_entry(u, e, err);
        r = enter_parent(u, u->path, &base, err);
        if (r < 0)
                return r;
        if (u->into)
                return live_entry(u, base, e, err);
        if (zl_startswith(base, WHITEOUT_PREFIX))
                return whiteout(u, base, err);
        if (e->type == '0')
                return begin_file(u, base, e, err);
        return other_entry(u, base, e, err);
}

int zl_unpack_data(struct zl_unpack *u, uint64_t offset, const void *data, size_t len,
                   struct zl_error *err)
{
        const char *p = data;

        u->bytes += len;
        if (u->bytes > u->limits.layer_bytes)
                return zl_fail(err, ZL_E_INVALID, 0, "the layer unpacks to more than %llu bytes",
                               (unsigned long long)u->limits.layer_bytes);
        if (u->file < 0)
                return 0; /* a white-out with content */
        u->written += len;
        while (len > 0) {
                ssize_t n = pwrite(u->file, p, len, (off_t)offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return zl_fail_errno(err, errno, "cannot write %.300s", u->path);
                p += n;
                offset += (uint64_t)n;
                len -= (size_t)n;
        }
#ifdef __linux__
        /* Lets the disk begin with what the sync at the end of the layer would otherwise wait for. */
        if (u->written - u->flushed >= FLUSH_BYTES) {
                (void)sync_file_range(u->file, 0, 0, SYNC_FILE_RANGE_WRITE);
                u->flushed = u->written;
        }
#endif
        return 0;
}

/* Owner, then mode (a change of owner drops set-user-id), then attributes (writing drops capabilities), then time. */
int zl_unpack_entry_end(struct zl_unpack *u, struct zl_error *err)
{
        const struct timespec times[2] = { u->mtime, u->mtime };
        int r;

        if (u->file < 0)
                return 0;
        if (u->written < u->file_size && ftruncate(u->file, (off_t)u->file_size) < 0)
                return zl_fail_errno(err, errno, "cannot set the size of %.300s", u->path);
        if (!owner_is_right(u, u->uid, u->gid) && fchown(u->file, u->uid, u->gid) < 0)
                return zl_fail_errno(err, errno, "cannot set the owner of %.300s", u->path);
        if ((u->mode & 07000) && fchmod(u->file, u->mode) < 0)
                return zl_fail_errno(err, errno, "cannot set the mode of %.300s", u->path);
        r = set_xattrs(u, u->file, NULL, u->file_xattrs, u->n_file_xattrs, err);
        if (r < 0)
                return r;
        free_xattrs(u);
        if (futimens(u->file, times) < 0)
                return zl_fail_errno(err, errno, "cannot set the time of %.300s", u->path);
        r = close(u->file);
        u->file = -EBADF;
        return r < 0 ? zl_fail_errno(err, errno, "cannot write %.300s", u->path) : 0;
}

int zl_unpack_finish(struct zl_unpack *u, struct zl_error *err)
{
        struct timespec mtime;
        uint32_t len;

        forget_parent(u);
        if (fflush(u->times) != 0)
                return zl_fail_errno(err, errno, "cannot write a temporary file");
        rewind(u->times);
        while (fread(&len, sizeof len, 1, u->times) == 1) {
                _cleanup_free_ char *path = malloc(len);
                _cleanup_close_ int fd = -EBADF;

                if (!path)
                        return zl_fail_oom(err);
                if (fread(&mtime, sizeof mtime, 1, u->times) != 1 ||
                    fread(path, len, 1, u->times) != 1)
                        return zl_fail_errno(err, EIO, "cannot read a temporary file");
                /* It may have been replaced by a later entry: then the time is not its own any more. */
                fd = zl_open_in(u->root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                                ZL_PATH_NO_SYMLINKS);
                if (fd >= 0 && futimens(fd, (struct timespec[2]){ mtime, mtime }) < 0)
                        return zl_fail_errno(err, errno, "cannot set the time of %.300s", path);
        }
        return 0;
}
