/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's root file system, built by the child in its own mount namespace.
 *
 * Order, and why:
 *   1. propagation (child_propagation.c): nothing we mount may show up on the host;
 *   2. the root file system itself, a mount of its own (pivot_root wants one, and read-only must not touch the source);
 *   3. the mounts of the config in their order; each target is resolved inside the root, by descriptor: a symbolic link in
 *      the image cannot lead outside, and what was resolved cannot be swapped before it is used;
 *   4. /dev: nodes and links, after the tmpfs that the config usually puts there;
 *   5. masks and read-only paths, last, since they cover what was mounted before.
 *
 * All this happens before the root is changed: sources are still reachable and /proc is the host's, which the fallbacks
 * without the mount API need.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/path.h"
#include "container/internal.h"

/* An overlay that is mounted already, but nowhere. */
static int move_overlay(int target, int overlay)
{
        int r = zl_mount_move_on(target, overlay);

        if (r < 0)
                return r;
        r = fcntl(overlay, F_DUPFD_CLOEXEC, 3);
        return r < 0 ? -errno : r;
}

static int mount_root(struct zl_child *c)
{
        const struct zl_plan *plan = c->plan;
        _cleanup_close_ int fd = openat(AT_FDCWD, plan->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int ahead = plan->options->overlay_fd, r;

        if (fd < 0)
                return zl_child_fail(c, ZL_STAGE_ROOTFS, errno, plan->rootfs);
        c->root_fd = !plan->has_overlay ? zl_mount_bind_on(fd, fd, true)
                     : ahead >= 0       ? move_overlay(fd, ahead)
                                        : zl_mount_overlay_on(fd, &plan->overlay);
        if (c->root_fd < 0)
                return zl_child_fail(c, plan->has_overlay ? ZL_STAGE_OVERLAY : ZL_STAGE_ROOTFS,
                                     -c->root_fd, plan->rootfs);
        if (plan->keep_propagation) {
                r = zl_mount_set_propagation(c->root_fd, MS_PRIVATE);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_PROPAGATION, -r, plan->rootfs);
        }
        return 0;
}

enum { LINKS_MAX = 40 };

/* --- mount points ------------------------------------------------------------------------------------------ */

static int target_file(struct zl_child *c, const char *destination, int depth);

/* The file is a link that leads to nothing (the resolv.conf of many images): what is made is what it leads to, inside the root. */
static int target_behind(struct zl_child *c, int dir, const char *parent, const char *base,
                         int depth)
{
        char link[PATH_MAX], path[PATH_MAX];
        ssize_t n = readlinkat(dir, base, link, sizeof link - 1);

        if (n < 0)
                return errno == EINVAL ? -ENOENT : -errno;
        link[n] = 0;
        if (depth >= LINKS_MAX)
                return -ELOOP;
        if (snprintf(path, sizeof path, "%s/%s", *link == '/' ? "" : parent, link) >=
            (int)sizeof path)
                return -ENAMETOOLONG;
        return target_file(c, path, depth + 1);
}

/* The directory that `destination` is in, made if it is missing. `parent` is its name. */
static int open_parent(struct zl_child *c, const char *destination, char parent[PATH_MAX],
                       const char **ret_base)
{
        const char *slash = strrchr(destination, '/');
        const char *base = slash ? slash + 1 : destination;
        size_t len = (size_t)(base - destination);

        if (!zl_path_is_name(base) || len >= PATH_MAX)
                return -EINVAL;
        memcpy(parent, destination, len);
        parent[len] = 0;
        *ret_base = base;
        return zl_mkdir_p_in(c->root_fd, parent, 0755);
}

static int target_file(struct zl_child *c, const char *destination, int depth)
{
        const char *base;
        char parent[PATH_MAX];
        _cleanup_close_ int dir = -EBADF;
        int fd = zl_open_in(c->root_fd, destination, O_PATH, 0, ZL_PATH_IN_ROOT);

        if (fd != -ENOENT)
                return fd;
        dir = open_parent(c, destination, parent, &base);
        if (dir < 0)
                return dir;
        fd = openat(dir, base, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
                    0644);
        if (fd < 0 && errno != EEXIST)
                return -errno;
        zl_close(fd);
        fd = zl_open_in(c->root_fd, destination, O_PATH, 0, ZL_PATH_IN_ROOT);
        return fd == -ENOENT ? target_behind(c, dir, parent, base, depth) : fd;
}

/* "dest-nofollow": a link that lies there is mounted over itself. Those of the kernel's file systems are the kernel's. -ENOENT: there
 * is none, and the mount point is to be found as always. */
static int target_link(struct zl_child *c, const char *destination)
{
        const char *base;
        _cleanup_close_ int dir = zl_open_parent_in(c->root_fd, destination, ZL_PATH_IN_ROOT,
                                                    &base);
        _cleanup_close_ int fd = dir < 0 ? dir : openat(dir, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct statfs fs;
        struct stat st;

        if (fd < 0)
                return -ENOENT;
        if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
                return -errno;
        if (!S_ISLNK(st.st_mode))
                return -ENOENT;
        if (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
            fs.f_type == DEVPTS_SUPER_MAGIC)
                return -EXDEV;
        return zl_take_fd(fd);
}

/* The common case first: no link on the way, and at most the last component missing. What was opened so is where its name says, so
 * it need not be asked whose files it shows. */
static int target_straight(struct zl_child *c, const char *destination)
{
        _cleanup_close_ int parent = -EBADF;
        const char *base;
        int fd = zl_open_in(c->root_fd, destination, O_PATH | O_DIRECTORY, 0, ZL_PATH_NO_SYMLINKS);

        if (fd != -ENOENT)
                return fd;
        parent = zl_open_parent_in(c->root_fd, destination, ZL_PATH_NO_SYMLINKS, &base);
        if (parent < 0)
                return parent;
        if (mkdirat(parent, base, 0755) < 0 && errno != EEXIST)
                return -errno;
        return zl_open_in(c->root_fd, destination, O_PATH | O_DIRECTORY, 0, ZL_PATH_NO_SYMLINKS);
}

/* /proc and /sys must be real directories of the image: through a link they could hide what is masked later. */
static int target_kernel_fs(struct zl_child *c, const char *destination)
{
        int fd = zl_open_in(c->root_fd, destination, O_PATH | O_DIRECTORY, 0, ZL_PATH_NO_SYMLINKS);

        if (fd != -ENOENT)
                return fd;
        fd = zl_mkdir_p_in(c->root_fd, destination, 0755);
        if (fd < 0)
                return fd;
        /* What was made may have been exchanged for a link while we made it. */
        close(fd);
        return zl_open_in(c->root_fd, destination, O_PATH | O_DIRECTORY, 0, ZL_PATH_NO_SYMLINKS);
}

static bool is_below(const char *path, const char *directory)
{
        size_t n = strlen(directory);

        path += strspn(path, "/");
        return strncmp(path, directory, n) == 0 && (path[n] == 0 || path[n] == '/');
}

/* A link in the image must not bring a mount onto the kernel's files: who names /data did not mean /proc/sys. */
static int refuse_redirected(struct zl_child *c, const struct zl_mount_plan *m, int fd)
{
        _cleanup_close_ int direct = -EBADF;
        struct statfs fs;
        const char *home;

        if (fstatfs(fd, &fs) < 0)
                return -errno;
        if (fs.f_type == PROC_SUPER_MAGIC)
                home = "proc";
        else if (fs.f_type == SYSFS_MAGIC || fs.f_type == CGROUP_SUPER_MAGIC ||
                 fs.f_type == CGROUP2_SUPER_MAGIC)
                home = "sys";
        else
                return 0;
        if (is_below(m->destination, home))
                return 0;
        /* A mount of the config may have brought them elsewhere, under the name that is meant. */
        direct = zl_open_in(c->root_fd, m->destination, O_PATH, 0, ZL_PATH_NO_SYMLINKS);
        return direct < 0 ? -EXDEV : 0;
}

static int target_through_links(struct zl_child *c, const struct zl_mount_plan *m, bool directory)
{
        int fd, r;

        if (!directory)
                fd = target_file(c, m->destination, 0);
        else if (m->kind == ZL_MOUNT_FS &&
                 (zl_streq(m->type, "proc") || zl_streq(m->type, "sysfs")))
                fd = target_kernel_fs(c, m->destination);
        else
                fd = zl_mkdir_p_in(c->root_fd, m->destination, 0755);
        r = fd < 0 ? 0 : refuse_redirected(c, m, fd);
        if (r < 0) {
                close(fd);
                fd = r;
        }
        return fd;
}

int zl_child_open_target(struct zl_child *c, const struct zl_mount_plan *m, bool directory)
{
        int fd = m->options.dest_nofollow ? target_link(c, m->destination) : -ENOENT;

        if (fd == -ENOENT) {
                fd = directory ? target_straight(c, m->destination) : -ELOOP;
                if (fd < 0)
                        fd = target_through_links(c, m, directory);
        }
        if (fd < 0)
                zl_child_fail(c,
                              fd == -ELOOP && m->kind == ZL_MOUNT_FS ? ZL_STAGE_MOUNT_LINK
                                                                     : ZL_STAGE_MOUNT_TARGET,
                              -fd, m->destination);
        return fd;
}

static bool is_root(const char *path)
{
        while (*path) {
                size_t n = strcspn(path, "/");

                if (n > 2 || (n > 0 && memcmp(path, "..", n) != 0))
                        return false;
                path += n + (path[n] == '/');
        }
        return true;
}

/* A mount on "/" itself becomes what later targets are resolved in. */
static int now_root(struct zl_child *c, const struct zl_mount_plan *m, int fd)
{
        zl_close(c->root_fd);
        c->root_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return c->root_fd < 0 ? zl_child_fail(c, ZL_STAGE_MOUNT, errno, m->destination) : 0;
}

static int set_options(struct zl_child *c, const struct zl_mount_plan *m, int target, int fd)
{
        const struct zl_mount_options *o = &m->options;
        int r = 0;

        if (m->kind != ZL_MOUNT_FS)
                r = zl_mount_set_flags(fd, o->flags, o->cleared, false);
        if (r == 0 && (o->recursive_flags || o->recursive_cleared))
                r = zl_mount_set_flags(fd, o->recursive_flags, o->recursive_cleared, true);
        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(o->propagation) && o->propagation[i]; i++)
                r = zl_mount_set_propagation(fd, o->propagation[i]);
        if (r < 0)
                return zl_child_fail(c, ZL_STAGE_MOUNT_FLAGS, -r, m->destination);
        if (is_root(m->destination))
                return now_root(c, m, fd);
        zl_child_note_propagation(c, m, target, fd);
        return 0;
}

/* --- kinds of mounts ------------------------------------------------------------------------------------------ */

static int mount_bind(struct zl_child *c, const struct zl_mount_plan *m)
{
        _cleanup_close_ int source = -EBADF, target = -EBADF, fd = -EBADF;
        struct stat st;
        bool detached;
        int r;

        if (!m->mapped || m->map_fd >= 0)
                source = openat(AT_FDCWD, m->source,
                                O_PATH | O_CLOEXEC | (m->options.source_nofollow ? O_NOFOLLOW : 0));
        /* Root of the user namespace may not reach it: then what our creator took along. */
        detached = m->tree_fd >= 0 &&
                   (m->mapped || m->has_peers || (source < 0 && errno == EACCES));
        if (detached)
                source = fcntl(m->tree_fd, F_DUPFD_CLOEXEC, 3);
        if (source >= 0 && m->map_fd >= 0) {
                int tree = zl_mount_clone_idmapped(source, m->options.rbind, m->map_fd,
                                                   m->options.ridmap);

                if (tree < 0)
                        return zl_child_fail(c, ZL_STAGE_MOUNT, -tree, m->destination);
                zl_close(source);
                source = tree;
                detached = true;
        }
        if (source < 0 || fstat(source, &st) < 0)
                return zl_child_fail(c, ZL_STAGE_MOUNT_SOURCE, errno, m->source);
        target = zl_child_open_target(c, m, S_ISDIR(st.st_mode));
        if (target < 0)
                return target;
        if (!detached)
                fd = zl_mount_bind_on(target, source, m->options.rbind);
        /* In a user namespace a bind may not leave out what the host has mounted below its source. Our creator could. */
        if (!detached && fd == -EINVAL && m->tree_fd >= 0) {
                zl_close(source);
                source = fcntl(m->tree_fd, F_DUPFD_CLOEXEC, 3);
                detached = source >= 0;
        }
        if (detached) {
                r = zl_mount_move_on(target, source);
                fd = r < 0 ? r : zl_take_fd(source);
        }
        if (fd < 0)
                return zl_child_fail(c, ZL_STAGE_MOUNT, -fd, m->destination);
        return set_options(c, m, target, fd);
}

/* A link of the host, made anew. One that is there already and says the same is what was asked for. */
static int make_link(struct zl_child *c, const struct zl_mount_plan *m)
{
        char parent[PATH_MAX], text[PATH_MAX];
        const char *base = NULL;
        _cleanup_close_ int dir = open_parent(c, m->destination, parent, &base);
        ssize_t n;

        if (dir < 0)
                return zl_child_fail(c, ZL_STAGE_MOUNT_TARGET, -dir, m->destination);
        if (symlinkat(m->source, dir, base) == 0)
                return 0;
        if (errno != EEXIST)
                return zl_child_fail(c, ZL_STAGE_MOUNT, errno, m->destination);
        n = readlinkat(dir, base, text, sizeof text - 1);
        text[n < 0 ? 0 : n] = 0;
        return n > 0 && zl_streq(text, m->source)
                       ? 0
                       : zl_child_fail(c, ZL_STAGE_MOUNT, EEXIST, m->destination);
}

/* sysfs belongs to the network namespace; without a new one of ours the kernel refuses a new instance, but not the host's. */
static int bind_host_sys(struct zl_child *c, const struct zl_mount_plan *m, int target)
{
        _cleanup_close_ int source = openat(AT_FDCWD, "/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int fd, r;

        if (source < 0)
                return -errno;
        fd = zl_mount_bind_on(target, source, true);
        if (fd < 0)
                return fd;
        r = zl_mount_set_flags(fd, m->options.flags, 0, true);
        if (r < 0) {
                zl_close(fd);
                return r;
        }
        return fd;
}

static bool is_dev(const char *path)
{
        path += strspn(path, "/");
        return strncmp(path, "dev", 3) == 0 && path[3 + strspn(path + 3, "/")] == 0;
}

/* As runc: a tmpfs that says nothing about its mode looks like the directory that it covers. 0: nothing to keep. */
static mode_t mode_to_keep(struct zl_child *c, const struct zl_mount_plan *m)
{
        const char *data = m->options.data;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (!zl_streq(m->type, "tmpfs") || (data && strstr(data, "mode=")))
                return 0;
        fd = zl_open_in(c->root_fd, m->destination, O_PATH | O_DIRECTORY, 0, ZL_PATH_IN_ROOT);
        return fd >= 0 && fstat(fd, &st) == 0 ? st.st_mode : 0;
}

static int mount_fs(struct zl_child *c, const struct zl_mount_plan *m)
{
        mode_t mode = mode_to_keep(c, m);
        _cleanup_close_ int target = zl_child_open_target(c, m, true), fd = -EBADF, below = -EBADF;
        unsigned long flags = m->options.flags;
        const char *data = m->options.data;
        char with_mode[4096];
        int r;

        if (target < 0)
                return target;
        if (mode) {
                snprintf(with_mode, sizeof with_mode, "%s%smode=%o", data ? data : "",
                         data && *data ? "," : "", mode & 07777);
                data = with_mode;
        }
        /* The nodes in /dev are still to be made. */
        if (flags & MS_RDONLY && is_dev(m->destination)) {
                c->readonly_dev = true;
                flags &= ~(unsigned long)MS_RDONLY;
        }
        if (m->options.copy_up) {
                r = zl_child_enter_cgroup(c);
                if (r < 0)
                        return r;
                below = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (below < 0)
                        return zl_child_fail(c, ZL_STAGE_COPY_UP, errno, m->destination);
                flags &= ~(unsigned long)MS_RDONLY;
        }
        fd = zl_mount_fs_on(target, m->type, m->source, flags, data);
        if (fd == -EPERM && zl_streq(m->type, "sysfs"))
                fd = bind_host_sys(c, m, target);
        if (fd < 0)
                return zl_child_fail(c, ZL_STAGE_MOUNT, -fd, m->destination);
        if (below >= 0) {
                r = zl_child_copy_up(below, fd);
                if (r == 0 && m->options.flags & MS_RDONLY)
                        r = zl_mount_set_flags(fd, MS_RDONLY, 0, false);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_COPY_UP, -r, m->destination);
        }
        return set_options(c, m, target, fd);
}

/* The group of the container as the container shall see it: on version 2 one directory, which without a
 * cgroup namespace is the root of all, on version 1 a tmpfs with one directory per hierarchy. Binding the group's own directory gives the same view as mounting cgroupfs inside
 * a cgroup namespace, works without one, and does not have to wait until the process has joined the group. */
static int mount_cgroup_v1(struct zl_child *c, const struct zl_mount_plan *m, int root)
{
        for (char **dir = c->plan->cgroup_dirs; *dir; dir++) {
                const char *name = *dir + strlen("/sys/fs/cgroup/");
                size_t len = strcspn(name, "/");
                char sub[256], *comma, *save = NULL;
                _cleanup_close_ int fd = -EBADF;
                int r;

                if (len >= sizeof sub)
                        return -ENAMETOOLONG;
                memcpy(sub, name, len);
                sub[len] = 0;
                if (mkdirat(root, sub, 0755) < 0)
                        return -errno;
                /* A file system that is seconds old and that nobody but us can see: names are safe in it. */
                fd = zl_mount_bind_at(root, sub, *dir);
                if (fd == -ENOENT && unlinkat(root, sub, AT_REMOVEDIR) == 0)
                        continue; /* a hierarchy in which no group could be made */
                if (fd < 0)
                        return fd;
                r = zl_mount_set_flags(fd, m->options.flags, 0, false);
                if (r < 0)
                        return r;
                if (!strchr(sub, ','))
                        continue;
                for (comma = strtok_r(sub, ",", &save); comma; comma = strtok_r(NULL, ",", &save)) {
                        char whole[256];

                        memcpy(whole, name, len);
                        whole[len] = 0;
                        if (symlinkat(whole, root, comma) < 0 && errno != EEXIST)
                                return -errno;
                }
        }
        return 0;
}

static int mount_cgroup(struct zl_child *c, const struct zl_mount_plan *m)
{
        _cleanup_close_ int target = zl_child_open_target(c, m, true), fd = -EBADF, source = -EBADF;
        char *const *dirs = c->plan->cgroup_dirs;
        int r = target < 0 ? target : zl_child_enter_cgroup(c);

        if (r < 0)
                return r;
        if (dirs[0] && zl_startswith(dirs[0], "/sys/fs/cgroup/./")) { /* none: an empty directory */
                source = openat(AT_FDCWD, dirs[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
                fd = source < 0 ? -errno : zl_mount_bind_on(target, source, false);
        } else {
                fd = zl_mount_fs_on(target, "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                                    "mode=755");
                if (fd >= 0)
                        r = mount_cgroup_v1(c, m, fd);
        }
        if (fd < 0 || r < 0)
                return zl_child_fail(c, ZL_STAGE_MOUNT, fd < 0 ? -fd : -r, m->destination);
        return set_options(c, m, target, fd);
}

/* --- masks ------------------------------------------------------------------------------------------------------ */

struct masks {
        int null_fd; /* the host's /dev/null, checked */
        int dir_fd; /* an empty read-only tmpfs that is in place somewhere, to be cloned; -1 before the first */
};

static int open_null(void)
{
        struct stat st;
        int fd = openat(AT_FDCWD, "/dev/null", O_PATH | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
                return -errno;
        /* The image's /dev/null could be anything; so could, in a broken host, ours. */
        if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
                close(fd);
                return -ENODEV;
        }
        return fd;
}

static int mask_one(struct zl_child *c, struct masks *masks, const char *path)
{
        /* Through links, too: what a link of the image shows under this name is what shall not be read. */
        _cleanup_close_ int target = zl_open_in(c->root_fd, path, O_PATH, 0, ZL_PATH_IN_ROOT);
        struct stat st;
        int fd;

        if (target == -ENOENT || target == -ENOTDIR)
                return 0;
        if (target < 0)
                return target;
        if (fstat(target, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode)) {
                fd = zl_mount_bind_on(target, masks->null_fd, false);
                zl_close(fd);
                return fd < 0 ? fd : 0;
        }
        if (masks->dir_fd >= 0) {
                fd = zl_mount_bind_on(target, masks->dir_fd, false);
                zl_close(fd);
                return fd < 0 ? fd : 0;
        }
        masks->dir_fd = zl_mount_fs_on(target, "tmpfs", "tmpfs",
                                       MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                                       "size=0k,nr_blocks=1,nr_inodes=2");
        if (masks->dir_fd == -EINVAL)
                masks->dir_fd = zl_mount_fs_on(target, "tmpfs", "tmpfs",
                                               MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
        return masks->dir_fd < 0 ? masks->dir_fd : 0;
}

static int readonly_one(struct zl_child *c, const char *path)
{
        _cleanup_close_ int target = zl_open_in(c->root_fd, path, O_PATH, 0, ZL_PATH_IN_ROOT);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (target == -ENOENT || target == -ENOTDIR)
                return 0;
        if (target < 0)
                return target;
        fd = zl_mount_bind_on(target, target, true);
        if (fd < 0)
                return fd;
        r = zl_mount_set_flags(fd, MS_RDONLY, 0, true);
        return r == -ENOSYS ? zl_mount_set_flags(fd, MS_RDONLY, 0, false) : r;
}

static bool is_repeated(char *const *all, char *const *one)
{
        while (all < one)
                if (zl_streq(*all++, *one))
                        return true;
        return false;
}

int zl_child_mask(struct zl_child *c)
{
        const struct zl_oci_linux *l = c->plan->config->linux_;
        struct masks masks = { -EBADF, -EBADF };
        int r = 0;

        for (char *const *p = l->readonly_paths; p && *p; p++) {
                r = readonly_one(c, *p);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_READONLY, -r, *p);
        }
        if (!l->masked_paths || !l->masked_paths[0])
                return 0;
        masks.null_fd = open_null();
        if (masks.null_fd < 0)
                return zl_child_fail(c, ZL_STAGE_MASK, -masks.null_fd, "(the host's /dev/null)");
        for (char *const *p = l->masked_paths; r == 0 && p && *p; p++) {
                if (is_repeated(l->masked_paths, p))
                        continue;
                r = mask_one(c, &masks, *p);
                if (r < 0)
                        zl_child_fail(c, ZL_STAGE_MASK, -r, *p);
        }
        zl_close(masks.null_fd);
        zl_close(masks.dir_fd);
        return r;
}

/* A working directory that the image lacks is made, as callers of runc have come to expect. What cannot be made is told when it is to
 * be entered. */
static void make_cwd(struct zl_child *c)
{
        const char *cwd = c->process->cwd;

        if (cwd[0] == '/' && cwd[1])
                zl_close(zl_mkdir_p_in(c->root_fd, cwd, 0755));
}

/* --- all of it ----------------------------------------------------------------------------------------------------- */

int zl_child_rootfs(struct zl_child *c)
{
        const struct zl_plan *plan = c->plan;
        int r = zl_child_propagation(c);

        if (r == 0)
                r = mount_root(c);
        for (size_t i = 0; r == 0 && i < plan->n_mounts; i++) {
                const struct zl_mount_plan *m = &plan->mounts[i];

                r = m->kind == ZL_MOUNT_BIND     ? mount_bind(c, m)
                    : m->kind == ZL_MOUNT_CGROUP ? mount_cgroup(c, m)
                    : m->kind == ZL_MOUNT_LINK   ? make_link(c, m)
                                                 : mount_fs(c, m);
        }
        if (r == 0)
                r = zl_child_dev(c);
        if (r == 0)
                make_cwd(c);
        return r;
}

int zl_child_readonly_dev(struct zl_child *c)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!c->readonly_dev)
                return 0;
        fd = zl_open_in(c->root_fd, "dev", O_PATH | O_DIRECTORY, 0, ZL_PATH_NO_SYMLINKS);
        r = fd < 0 ? fd : zl_mount_set_flags(fd, MS_RDONLY, 0, false);
        return r < 0 ? zl_child_fail(c, ZL_STAGE_READONLY, -r, "/dev") : 0;
}

/* Without pivot_root the mounts of the host stay below the root of the container. While one of procfs or sysfs is there in full, the
 * kernel lets a user namespace inside mount another in full, without our masks. */
static void cover_kernel_fs(const struct zl_plan *plan)
{
        for (char *const *p = plan->kernel_fs; p && *p; p++)
                if (umount2(*p, MNT_DETACH) < 0)
                        (void)!mount("tmpfs", *p, "tmpfs", MS_RDONLY, NULL);
}

static int leave_old_root(const struct zl_plan *plan)
{
        _cleanup_close_ int old = -EBADF;
        int r = 0;

        /* Where the tree was left shared, unmounting must not reach the host. Only the old root: what the container's own mounts are to
         * share stays so. */
        if (plan->keep_propagation)
                old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (plan->keep_propagation && old < 0)
                return -errno;
        if (syscall(SYS_pivot_root, ".", ".") < 0)
                return -errno;
        if (old >= 0)
                r = zl_mount_set_propagation(old, MS_SLAVE | MS_REC);
        if (r == 0 && umount2(".", MNT_DETACH) < 0)
                r = -errno;
        return r;
}

/* pivot_root(".", ".") stacks the old root on the new one; unmounting "." then takes the old one away, without any
 * directory for it. --no-pivot (a root on initramfs, which cannot be pivoted) moves the mount instead. */
int zl_child_pivot(struct zl_child *c)
{
        const struct zl_plan *plan = c->plan;
        int r;

        if (plan->config->root->readonly) {
                r = zl_mount_set_flags(c->root_fd, MS_RDONLY, 0, false);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_READONLY, -r, "/");
        }
        r = zl_child_root_propagation(c);
        if (r < 0)
                return r;
        if (fchdir(c->root_fd) < 0)
                return zl_child_fail(c, ZL_STAGE_PIVOT, errno, plan->rootfs);
        if (plan->options->no_pivot) {
                cover_kernel_fs(plan);
                if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
                        return zl_child_fail(c, ZL_STAGE_PIVOT, errno, plan->rootfs);
        } else {
                r = leave_old_root(plan);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_PIVOT, -r, plan->rootfs);
        }
        if (chdir("/") < 0)
                return zl_child_fail(c, ZL_STAGE_PIVOT, errno, "/");
        if (plan->root_propagation && !c->has_propagation &&
            mount(NULL, "/", NULL, plan->root_propagation, NULL) < 0)
                return zl_child_fail(c, ZL_STAGE_PROPAGATION, errno, "/");
        return 0;
}
