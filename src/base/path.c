/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside a root (see path.h). Two resolvers with one contract: the kernel's (openat2) and our own
 * walk. The walk opens one component at a time with O_PATH | O_NOFOLLOW, so no symbolic link is ever
 * followed behind our back; it keeps the stack of directories it came through, so ".." goes back to
 * where we came from instead of asking the file system, which a rename could make lie.
 *
 * What may go wrong: the fallback does not notice a directory moved out of the root during the walk
 * in the way RESOLVE_IN_ROOT does, but since ".." uses the stack it cannot climb out by it either.
 */
#include "base/path.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/openat2.h>
#include <sys/sysmacros.h>
#endif

#include "base/buf.h"
#include "base/fd.h"
#include "base/forbid.h"

enum {
        MAX_LINKS = 40,  /* as the kernel */
        MAX_DEPTH = 256, /* directories kept open by the walk */
};

#ifndef O_PATH
#define O_PATH O_SEARCH
#endif

#ifdef __linux__
static int open_with_kernel(int rootfd, const char *path, int flags, mode_t mode,
                            enum zl_path_policy policy)
{
        static const uint64_t resolve[] = {
                [ZL_PATH_IN_ROOT] = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
                [ZL_PATH_BENEATH] = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
                [ZL_PATH_NO_SYMLINKS] = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
                [ZL_PATH_NO_MOUNTS] = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
        };
        struct open_how how = {
                .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                /* O_TMPFILE holds the bit of O_DIRECTORY; a mode without need is refused. */
                .mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0,
                .resolve = resolve[policy],
        };
        int fd;

        if (zl_forbidden("openat2"))
                return -ENOSYS;
        for (int tries = 0; tries < 64; tries++) {
                fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof how);
                if (fd >= 0)
                        return fd;
                /* Seccomp filters that are older than the call answer EPERM for it. A real EPERM comes
                 * back from the walk as well. */
                if (errno == EPERM)
                        return -ENOSYS;
                if (errno != EAGAIN) /* a rename raced with us; the kernel asks to try again */
                        return -errno;
        }
        return -EAGAIN;
}
#else
static int open_with_kernel(int rootfd _unused_, const char *path _unused_, int flags _unused_,
                            mode_t mode _unused_, enum zl_path_policy policy _unused_)
{
        return -ENOSYS;
}
#endif

/* --- the walk ---------------------------------------------------------------------------------- */

struct walk {
        enum zl_path_policy policy;
        int stack[MAX_DEPTH]; /* stack[0] is a duplicate of the root */
        int depth;            /* index of the current directory */
        int links;
        uint64_t mount; /* of the root, for NO_MOUNTS */
        char *rest;     /* what is still to walk; owned */
};

static void walk_done(struct walk *w)
{
        for (int i = 0; i <= w->depth; i++)
                zl_close(w->stack[i]);
        free(w->rest);
}

/* Cuts the first component off w->rest; "" at the end. The caller frees it. */
static char *next_component(struct walk *w)
{
        char *s = w->rest + strspn(w->rest, "/");
        size_t n = strcspn(s, "/");
        char *component = strndup(s, n);

        memmove(w->rest, s + n, strlen(s + n) + 1);
        return component;
}

/* Which mount a descriptor is on. Bind mounts of one file system differ by it, which the device number does
 * not tell (statx has it since Linux 5.8); without it the device must do. */
static int mount_id(int fd, uint64_t *ret)
{
        struct stat st;
#ifdef STATX_MNT_ID
        struct statx stx;

        if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &stx) == 0 &&
            (stx.stx_mask & STATX_MNT_ID)) {
                *ret = stx.stx_mnt_id;
                return 0;
        }
#endif
        if (fstat(fd, &st) < 0)
                return -errno;
        *ret = (uint64_t)st.st_dev;
        return 0;
}

static bool at_last_component(const struct walk *w)
{
        return w->rest[strspn(w->rest, "/")] == 0;
}

static int walk_up(struct walk *w)
{
        if (w->depth > 0)
                zl_close(w->stack[w->depth--]);
        else if (w->policy != ZL_PATH_IN_ROOT)
                return -EXDEV;
        return 0;
}

/* Puts the target of the link `fd` in front of what is left to walk. */
static int walk_link(struct walk *w, int fd)
{
        char target[PATH_MAX];
        char *rest;
        ssize_t n;

        if ((w->policy != ZL_PATH_IN_ROOT && w->policy != ZL_PATH_BENEATH) ||
            ++w->links > MAX_LINKS)
                return -ELOOP;
        n = readlinkat(fd, "", target, sizeof target - 1);
        if (n < 0)
                return -errno;
        target[n] = 0;
        if (target[0] == '/' && w->policy == ZL_PATH_BENEATH)
                return -EXDEV;
        if (target[0] == '/')
                while (w->depth > 0)
                        zl_close(w->stack[w->depth--]);
        if (asprintf(&rest, "%s%s", target, w->rest) < 0) /* rest is empty or begins with a slash */
                return -ENOMEM;
        free(w->rest);
        w->rest = rest;
        return 0;
}

static int open_last(struct walk *w, const char *name, int flags, mode_t mode)
{
        int fd = openat(w->stack[w->depth], *name ? name : ".", flags | O_NOFOLLOW | O_CLOEXEC,
                        mode);

        return fd < 0 ? -errno : fd;
}

static int check_mount(struct walk *w, int fd)
{
        uint64_t mount = 0;
        int r;

        if (w->policy != ZL_PATH_NO_MOUNTS)
                return 0;
        r = mount_id(fd, &mount);
        if (r < 0)
                return r;
        return mount == w->mount ? 0 : -EXDEV;
}

/* The last component is missing and the caller wants it made. O_EXCL, because a name that appears now may be
 * a symbolic link; then the walk begins anew (-EAGAIN). */
static int create_last(struct walk *w, const char *name, int flags, mode_t mode)
{
        int fd;

        if (*w->rest) /* "new/" */
                return -EISDIR;
        fd = open_last(w, name, flags | O_EXCL, mode);
        return fd == -EEXIST && !(flags & O_EXCL) ? -EAGAIN : fd;
}

/* Opens the last component, which `fd` (O_PATH) shows not to be a link that is to be followed. */
static int open_found(struct walk *w, const char *name, int fd, int flags)
{
        _cleanup_close_ int found = -EBADF;
        int r;

        if ((flags & O_CREAT) && (flags & O_EXCL))
                return -EEXIST;
        found = open_last(w, name, flags & ~O_CREAT, 0);
        /* What was looked at may have been replaced since by a link or by another thing. */
        if (found == -ELOOP && !(flags & O_NOFOLLOW) &&
            (w->policy == ZL_PATH_IN_ROOT || w->policy == ZL_PATH_BENEATH))
                return -EAGAIN;
        if (found < 0)
                return found;
        if (flags & O_PATH) {
                struct stat then, now;

                if (fstat(fd, &then) < 0 || fstat(found, &now) < 0)
                        return -errno;
                if (then.st_ino != now.st_ino || then.st_dev != now.st_dev)
                        return -EAGAIN;
        }
        r = check_mount(w, found);
        return r < 0 ? r : zl_take_fd(found);
}

/* One component. Returns 1 to go on, or the final descriptor through *ret_fd with 0. */
static int walk_step(struct walk *w, int flags, mode_t mode, int *ret_fd)
{
        _cleanup_free_ char *name = next_component(w);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        bool last, keep_link;
        int r;

        if (!name)
                return -ENOMEM;
        if (zl_streq(name, "."))
                return 1;
        if (zl_streq(name, "..")) {
                r = walk_up(w);
                return r < 0 ? r : 1;
        }
        last = at_last_component(w);
        if (*name == 0) {
                *ret_fd = open_last(w, "", flags, mode);
                return ZL_MIN(*ret_fd, 0);
        }
        fd = openat(w->stack[w->depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
                if (errno != ENOENT || !(flags & O_CREAT) || !last)
                        return -errno;
                *ret_fd = create_last(w, name, flags, mode);
                return ZL_MIN(*ret_fd, 0);
        }
        r = check_mount(w, fd);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        /* "link/" means the directory behind the link, whatever the flags say. */
        keep_link = last && *w->rest == 0 &&
                    ((flags & O_NOFOLLOW) || ((flags & O_CREAT) && (flags & O_EXCL)));
        if (S_ISLNK(st.st_mode) && !keep_link) {
                r = walk_link(w, fd);
                return r < 0 ? r : 1;
        }
        if (last) {
                *ret_fd = open_found(w, name, fd, *w->rest ? flags | O_DIRECTORY : flags);
                return ZL_MIN(*ret_fd, 0);
        }
        if (!S_ISDIR(st.st_mode))
                return -ENOTDIR;
        if (w->depth + 1 >= MAX_DEPTH)
                return -ENAMETOOLONG;
        w->stack[++w->depth] = zl_take_fd(fd);
        return 1;
}

static int walk_once(int rootfd, const char *path, int flags, mode_t mode,
                     enum zl_path_policy policy)
{
        struct walk w = { .policy = policy };
        int fd = -EBADF, r;

        w.stack[0] = openat(rootfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (w.stack[0] < 0)
                return -errno;
        w.rest = strdup(path);
        r = w.rest ? mount_id(w.stack[0], &w.mount) : -ENOMEM;
        if (r == 0)
                do
                        r = walk_step(&w, flags, mode, &fd);
                while (r > 0);
        walk_done(&w);
        return r < 0 ? r : fd;
}

static int open_with_walk(int rootfd, const char *path, int flags, mode_t mode,
                          enum zl_path_policy policy)
{
        int fd = -EAGAIN;

        for (int tries = 0; fd == -EAGAIN && tries < 64; tries++)
                fd = walk_once(rootfd, path, flags, mode, policy);
        return fd;
}

int zl_open_in(int rootfd, const char *path, int flags, mode_t mode, enum zl_path_policy policy)
{
        int fd;

        while (*path == '/')
                path++;
        if (*path == 0)
                path = ".";
        fd = open_with_kernel(rootfd, path, flags, mode, policy);
        if (fd != -ENOSYS)
                return fd;
        return open_with_walk(rootfd, path, flags, mode, policy);
}

enum { LINKS_MAX = 40 };

/* The component that begins at `begin` of `made` is a link that leads to nothing: the way goes on where it leads, inside the root.
 * `rest` comes behind it. */
static int way_of_link(int parent, const char *made, size_t begin, const char *rest,
                       char ret[PATH_MAX])
{
        char link[PATH_MAX];
        ssize_t n = readlinkat(parent, made + begin, link, sizeof link - 1);
        int len;

        if (n < 0)
                return errno == EINVAL ? -ENOTDIR : -errno;
        link[n] = 0;
        len = snprintf(ret, PATH_MAX, "%.*s/%s%s", *link == '/' ? 0 : (int)begin, made, link, rest);
        return len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int mkdir_p(int rootfd, const char *path, mode_t mode, int depth)
{
        _cleanup_free_ char *copy = strdup(path);
        size_t end = 0;
        int fd;

        if (!copy)
                return -ENOMEM;
        fd = zl_open_in(rootfd, path, O_PATH | O_DIRECTORY, 0, ZL_PATH_IN_ROOT);
        if (fd != -ENOENT)
                return fd;
        fd = zl_open_in(rootfd, "", O_PATH | O_DIRECTORY, 0, ZL_PATH_IN_ROOT);
        while (fd >= 0 && path[end += strspn(path + end, "/")]) {
                _cleanup_close_ int parent = fd;
                size_t begin = end;
                int tries = 0;

                end += strcspn(path + end, "/");
                copy[end] = 0;
                /* Look, then create, then look again: somebody may be creating beside us. */
                while ((fd = zl_open_in(rootfd, copy, O_PATH | O_DIRECTORY, 0, ZL_PATH_IN_ROOT)) ==
                               -ENOENT &&
                       tries++ < 2)
                        if (mkdirat(parent, copy + begin, mode) < 0 && errno != EEXIST)
                                return -errno;
                if (fd == -ENOENT) {
                        char way[PATH_MAX];
                        int r = way_of_link(parent, copy, begin, path + end, way);

                        if (r == 0)
                                r = depth < LINKS_MAX ? mkdir_p(rootfd, way, mode, depth + 1)
                                                      : -ELOOP;
                        return r;
                }
                copy[end] = path[end];
        }
        return fd;
}

int zl_mkdir_p_in(int rootfd, const char *path, mode_t mode)
{
        return mkdir_p(rootfd, path, mode, 0);
}

int zl_open_parent_in(int rootfd, const char *path, enum zl_path_policy policy,
                      const char **ret_base)
{
        _cleanup_free_ char *parent = NULL;
        const char *slash = strrchr(path, '/');
        const char *base = slash ? slash + 1 : path;
        int fd;

        if (!zl_path_is_name(base))
                return -EINVAL;
        parent = strndup(path, (size_t)(base - path));
        if (!parent)
                return -ENOMEM;
        fd = zl_open_in(rootfd, parent, O_PATH | O_DIRECTORY, 0, policy);
        if (fd >= 0)
                *ret_base = base;
        return fd;
}

char *zl_path_join(const char *a, const char *b)
{
        size_t n = strlen(a);
        char *path;

        while (n > 0 && a[n - 1] == '/')
                n--;
        while (*b == '/')
                b++;
        if (*a == 0) /* a relative path must not become an absolute one */
                return strdup(b);
        if (asprintf(&path, "%.*s/%s", (int)n, a, b) < 0)
                return NULL;
        return path;
}

static bool component_is_clean(const char *s, size_t n)
{
        return n > 0 && !(n == 1 && s[0] == '.') && !(n == 2 && s[0] == '.' && s[1] == '.');
}

char *zl_path_beside(const char *path, const char *name)
{
        const char *slash = path ? strrchr(path, '/') : NULL;
        char *file;

        return slash && asprintf(&file, "%.*s/%s", (int)(slash - path), path, name) >= 0 ? file
                                                                                         : NULL;
}

bool zl_path_is_clean_relative(const char *path)
{
        for (;;) {
                size_t n = strcspn(path, "/");

                if (!component_is_clean(path, n))
                        return false;
                if (path[n] == 0)
                        return true;
                path += n + 1;
        }
}

bool zl_path_is_clean_absolute(const char *path)
{
        return path[0] == '/' && (path[1] == 0 || zl_path_is_clean_relative(path + 1));
}

bool zl_path_is_name(const char *name)
{
        size_t n = strlen(name);

        return n <= 255 && !strchr(name, '/') && component_is_clean(name, n);
}

char *zl_path_clean_absolute(const char *path)
{
        char *out = malloc(strlen(path) + 2);
        size_t len = 0;

        if (!out)
                return NULL;
        while (*path) {
                size_t n = strcspn(path, "/");

                if (n == 2 && path[0] == '.' && path[1] == '.') {
                        while (len > 0 && out[--len] != '/')
                                ;
                } else if (component_is_clean(path, n)) {
                        out[len++] = '/';
                        memcpy(out + len, path, n);
                        len += n;
                }
                path += n + (path[n] == '/');
        }
        if (len == 0)
                out[len++] = '/';
        out[len] = 0;
        return out;
}

char *zl_find_program(const char *name)
{
        const char *path = getenv("PATH");
        _cleanup_free_ char *copy = strdup(path && *path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
        char *save = NULL;

        for (char *dir = copy ? strtok_r(copy, ":", &save) : NULL; dir;
             dir = strtok_r(NULL, ":", &save)) {
                _cleanup_free_ char *file = dir[0] == '/' ? zl_path_join(dir, name) : NULL;

                if (file && access(file, X_OK) == 0)
                        return zl_take_ptr(file);
        }
        return NULL;
}
