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
                [ZL_PATH_NO_SYMLINKS] = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
                [ZL_PATH_NO_MOUNTS] = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
        };
        struct open_how how = {
                .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                .mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
                .resolve = resolve[policy],
        };
        int fd;

        if (zl_forbidden("openat2"))
                return -ENOSYS;
        for (int tries = 0; tries < 64; tries++) {
                fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof how);
                if (fd >= 0)
                        return fd;
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
        dev_t dev;  /* of the root, for NO_MOUNTS */
        char *rest; /* what is still to walk; owned */
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

        if (w->policy != ZL_PATH_IN_ROOT || ++w->links > MAX_LINKS)
                return -ELOOP;
        n = readlinkat(fd, "", target, sizeof target - 1);
        if (n < 0)
                return -errno;
        target[n] = 0;
        if (target[0] == '/')
                while (w->depth > 0)
                        zl_close(w->stack[w->depth--]);
        if (asprintf(&rest, "%s/%s", target, w->rest) < 0)
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

static int check_mount(struct walk *w, const struct stat *st)
{
        return w->policy == ZL_PATH_NO_MOUNTS && st->st_dev != w->dev ? -EXDEV : 0;
}

/* One component. Returns 1 to go on, or the final descriptor through *ret_fd with 0. */
static int walk_step(struct walk *w, int flags, mode_t mode, int *ret_fd)
{
        _cleanup_free_ char *name = next_component(w);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        if (!name)
                return -ENOMEM;
        if (*name == 0) {
                *ret_fd = open_last(w, "", flags, mode);
                return *ret_fd < 0 ? *ret_fd : 0;
        }
        if (zl_streq(name, "."))
                return 1;
        if (zl_streq(name, "..")) {
                r = walk_up(w);
                return r < 0 ? r : 1;
        }
        fd = openat(w->stack[w->depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
                if (errno != ENOENT || !(flags & O_CREAT) || !at_last_component(w))
                        return -errno;
                *ret_fd = open_last(w, name, flags | O_EXCL, mode);
                return *ret_fd < 0 ? *ret_fd : 0;
        }
        if (fstat(fd, &st) < 0)
                return -errno;
        r = check_mount(w, &st);
        if (r < 0)
                return r;
        if (S_ISLNK(st.st_mode) && !(at_last_component(w) && (flags & O_NOFOLLOW))) {
                r = walk_link(w, fd);
                return r < 0 ? r : 1;
        }
        if (at_last_component(w)) {
                *ret_fd = open_last(w, name, flags, mode);
                return *ret_fd < 0 ? *ret_fd : 0;
        }
        if (!S_ISDIR(st.st_mode))
                return -ENOTDIR;
        if (w->depth + 1 >= MAX_DEPTH)
                return -ENAMETOOLONG;
        w->stack[++w->depth] = zl_take_fd(fd);
        return 1;
}

static int open_with_walk(int rootfd, const char *path, int flags, mode_t mode,
                          enum zl_path_policy policy)
{
        struct walk w = { .policy = policy };
        struct stat st;
        int fd = -EBADF, r;

        w.stack[0] = openat(rootfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (w.stack[0] < 0)
                return -errno;
        w.rest = strdup(path);
        if (!w.rest || fstat(w.stack[0], &st) < 0) {
                r = w.rest ? -errno : -ENOMEM;
                walk_done(&w);
                return r;
        }
        w.dev = st.st_dev;
        do
                r = walk_step(&w, flags, mode, &fd);
        while (r > 0);
        walk_done(&w);
        return r < 0 ? r : fd;
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

int zl_mkdir_p_in(int rootfd, const char *path, mode_t mode)
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
                copy[end] = path[end];
        }
        return fd;
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
        if (asprintf(&path, "%.*s/%s", (int)n, a, b) < 0)
                return NULL;
        return path;
}

static bool component_is_clean(const char *s, size_t n)
{
        return n > 0 && !(n == 1 && s[0] == '.') && !(n == 2 && s[0] == '.' && s[1] == '.');
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
