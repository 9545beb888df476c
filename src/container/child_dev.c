/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev of the container: the nodes and links that runtime-spec promises, the config's own devices, and the terminal.
 *
 * Nodes are made with mknod where that is allowed; in a user namespace it never is, and a node that was made before (plan_mounts.c),
 * or else the host's, is mounted instead. A name that exists already must be that very device. Nothing is looked up by path twice: the parent
 * directory is opened inside the root and the last component made in it.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/path.h"
#include "container/internal.h"

/* A file to mount something on, made if it is missing. What is there already is not opened, only pointed at: the image may have
 * put a FIFO there, on which we would hang, or a device that does something when it is opened. A link is refused. */
static int open_mount_point(int dir, const char *base, mode_t mode)
{
        _cleanup_close_ int target = -EBADF;
        struct stat st;
        int fd = openat(dir, base, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
                        mode);

        if (fd < 0 && errno != EEXIST)
                return -errno;
        zl_close(fd);
        target = openat(dir, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (target < 0 || fstat(target, &st) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return -ELOOP;
        return zl_take_fd(target);
}

static int bind_device(struct zl_child *c, int dir, const char *base, const char *path)
{
        _cleanup_close_ int source = openat(AT_FDCWD, path, O_PATH | O_CLOEXEC);
        _cleanup_close_ int target = -EBADF;
        int fd;

        if (source < 0)
                return -errno;
        target = open_mount_point(dir, base, 0644);
        if (target < 0)
                return target;
        fd = zl_mount_bind_on(target, source, false);
        zl_close(fd);
        return fd < 0 ? fd : 0;
}

static int put_node(int dir, const char *base, int node)
{
        _cleanup_close_ int target = open_mount_point(dir, base, 0644);

        return target < 0 ? target : zl_mount_move_on(target, node);
}

/* It must be that very device; its mode is set through the descriptor that was looked at. */
static int take_existing(int dir, const char *base, const struct zl_device_plan *d)
{
        _cleanup_close_ int fd = openat(dir, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        char path[ZL_FD_PATH_MAX];
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if ((st.st_mode & S_IFMT) != (d->mode & S_IFMT) ||
            (!S_ISFIFO(st.st_mode) && st.st_rdev != d->dev))
                return -EEXIST;
        return chmod(zl_fd_path(fd, path), d->mode & 07777) < 0 ? -errno : 0;
}

/* The directory that one node was made in; most of them share it. What it was opened as it stays, whatever its name means by now. */
struct parent {
        int fd;
        size_t len; /* of its path, with the slash at the end */
        char path[PATH_MAX];
};

static int open_parent(struct zl_child *c, const char *path, struct parent *parent)
{
        const char *slash = strrchr(path, '/');
        size_t len = slash ? (size_t)(slash + 1 - path) : 0;

        if (!zl_path_is_name(path + len) || len >= sizeof parent->path)
                return -EINVAL;
        if (parent->fd >= 0 && parent->len == len && memcmp(parent->path, path, len) == 0)
                return 0;
        memcpy(parent->path, path, len);
        parent->path[len] = 0;
        parent->len = len;
        zl_close(parent->fd);
        parent->fd = zl_mkdir_p_in(c->root_fd, parent->path, 0755);
        return ZL_MIN(parent->fd, 0);
}

static int make_device(struct zl_child *c, const struct zl_device_plan *d, struct parent *parent)
{
        int r = open_parent(c, d->path, parent), dir = parent->fd;
        const char *base = d->path + parent->len;

        if (r < 0)
                return r;
        if (d->tree_fd >= 0)
                return put_node(dir, base, d->tree_fd);
        if (c->plan->new_user_ns || c->plan->join_user_fd >= 0)
                return bind_device(c, dir, base, d->path);
        if (mknodat(dir, base, d->mode, d->dev) < 0) {
                if (errno == EPERM)
                        return bind_device(c, dir, base, d->path);
                if (errno != EEXIST)
                        return -errno;
                r = take_existing(dir, base, d);
                if (r < 0)
                        return r;
        }
        if ((d->uid || d->gid) && fchownat(dir, base, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return 0;
}

static int make_links(struct zl_child *c, struct parent *parent)
{
        static const struct {
                const char *name, *target;
        } links[] = {
                { "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
                { "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
                { "ptmx", "pts/ptmx" },
        };
        int r = open_parent(c, "/dev/core", parent), dir = parent->fd;

        if (r < 0)
                return zl_child_fail(c, ZL_STAGE_SYMLINK, -r, "/dev");
        for (size_t i = 0; i < ZL_ARRAY_SIZE(links); i++) {
                if (symlinkat(links[i].target, dir, links[i].name) == 0 || errno == EEXIST)
                        continue;
                return zl_child_fail(c, ZL_STAGE_SYMLINK, errno, links[i].name);
        }
        /* As every runtime: where the host has /proc/kcore there is /dev/core. */
        if (symlinkat("/proc/kcore", dir, "core") < 0 && errno != EEXIST)
                return zl_child_fail(c, ZL_STAGE_SYMLINK, errno, "core");
        return 0;
}

int zl_child_dev(struct zl_child *c)
{
        const struct zl_plan *plan = c->plan;
        struct stat st;
        struct parent parent = { .fd = -EBADF };
        int r = 0;

        if (!plan->setup_dev) /* the config brings a /dev of its own: it is not ours to change */
                return 0;
        /* Through a link the nodes would come to some other place of the image. */
        if (fstatat(c->root_fd, "dev", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
                return zl_child_fail(c, ZL_STAGE_DEVICE, ELOOP, "/dev");
        for (size_t i = 0; r == 0 && i < plan->n_devices; i++) {
                r = make_device(c, &plan->devices[i], &parent);
                if (r < 0)
                        zl_child_fail(c, ZL_STAGE_DEVICE, -r, plan->devices[i].path);
        }
        if (r == 0)
                r = make_links(c, &parent);
        zl_close(parent.fd);
        return r;
}

/* --- the terminal ---------------------------------------------------------------------------------------------- */

static int send_console(struct zl_child *c, int master)
{
        struct zl_message m = { .kind = ZL_MSG_CONSOLE };
        union {
                char buf[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { { 0 } };
        struct iovec iov = { &m, sizeof m };
        struct msghdr msg = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.buf,
                              .msg_controllen = sizeof control.buf };
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &master, sizeof master);
        while (sendmsg(c->sync_fd, &msg, MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

/* The image cannot give us a false terminal: it must be the multiplexer of a devpts file system. */
static int open_master(struct zl_child *c)
{
        _cleanup_close_ int found = zl_open_in(c->root_fd, "dev/pts/ptmx", O_PATH, 0,
                                               ZL_PATH_IN_ROOT);
        char path[ZL_FD_PATH_MAX];
        struct statfs fs;
        struct stat st;

        int fd;

        if (found < 0)
                return found;
        if (fstatfs(found, &fs) < 0 || fstat(found, &st) < 0)
                return -errno;
        if (fs.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
                return -ENODEV;
        /* Opened only now that it is known, and through the host's procfs: in an exec, /proc is the container's. */
        fd = openat(c->proc_fd, zl_fd_path(found, path) + strlen("/proc/"),
                    O_RDWR | O_NOCTTY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int bind_console(struct zl_child *c, int slave)
{
        _cleanup_close_ int dir = zl_mkdir_p_in(c->root_fd, "dev", 0755);
        _cleanup_close_ int target = -EBADF;
        int fd;

        if (dir < 0)
                return dir;
        target = open_mount_point(dir, "console", 0620);
        if (target < 0)
                return target;
        fd = zl_mount_bind_on(target, slave, false);
        zl_close(fd);
        return fd < 0 ? fd : 0;
}

int zl_child_console(struct zl_child *c, bool mount_console)
{
        const struct zl_process_plan *p = c->process;
        struct winsize size = { .ws_row = p->rows, .ws_col = p->cols };
        _cleanup_close_ int master = -EBADF;
        int r, unlock = 0;

        if (!p->tty)
                return 0;
        master = open_master(c);
        if (master < 0)
                return zl_child_fail(c, ZL_STAGE_CONSOLE, -master, "/dev/pts/ptmx");
        if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
                return zl_child_fail(c, ZL_STAGE_CONSOLE, errno, "unlock");
        c->tty_fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (c->tty_fd < 0)
                return zl_child_fail(c, ZL_STAGE_CONSOLE, errno, "pty");
        if ((p->rows || p->cols) && ioctl(master, TIOCSWINSZ, &size) < 0)
                return zl_child_fail(c, ZL_STAGE_CONSOLE, errno, "size");
        if (mount_console) {
                r = bind_console(c, c->tty_fd);
                if (r < 0)
                        return zl_child_fail(c, ZL_STAGE_CONSOLE, -r, "/dev/console");
        }
        r = send_console(c, master);
        return r < 0 ? zl_child_fail(c, ZL_STAGE_CONSOLE, -r, "console socket") : 0;
}

/* --- tmpcopyup ----------------------------------------------------------------------------------------------------- */

enum { COPY_DEPTH_MAX = 64 };

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
        _cleanup_close_ int from = openat(from_dir, name,
                                          O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        _cleanup_close_ int to = openat(to_dir, name,
                                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        char buf[16384];
        ssize_t n;
        int r;

        if (from < 0 || to < 0)
                return -errno;
        while ((n = zl_read_full(from, buf, sizeof buf)) > 0) {
                r = zl_write_full(to, buf, (size_t)n);
                if (r < 0)
                        return r;
        }
        if (n < 0)
                return (int)n;
        if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
                return -errno;
        return 0;
}

struct copying {
        int from, to;
        int depth;
};

static int copy_tree(int from, int to, int depth);

static int copy_dir(const struct copying *c, const char *name, const struct stat *st)
{
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        int r;

        if (mkdirat(c->to, name, 0700) < 0)
                return -errno;
        from = openat(c->from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        to = openat(c->to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (from < 0 || to < 0)
                return -errno;
        r = copy_tree(from, to, c->depth + 1);
        if (r < 0)
                return r;
        return fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0
                       ? -errno
                       : 0;
}

static int copy_link(const struct copying *c, const char *name)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(c->from, name, target, sizeof target - 1);

        if (n < 0)
                return -errno;
        target[n] = 0;
        return symlinkat(target, c->to, name) < 0 ? -errno : 0;
}

static int copy_entry(void *data, const char *name, _unused_ unsigned char type)
{
        const struct copying *c = data;
        struct stat st;
        int r;

        if (fstatat(c->from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISREG(st.st_mode))
                return copy_file(c->from, c->to, name, &st);
        if (S_ISDIR(st.st_mode))
                return copy_dir(c, name, &st);
        if (S_ISLNK(st.st_mode))
                r = copy_link(c, name);
        else
                r = mknodat(c->to, name, st.st_mode, st.st_rdev) < 0 ? -errno : 0;
        if (r < 0)
                return r;
        return fchownat(c->to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_tree(int from, int to, int depth)
{
        struct copying c = { from, to, depth };

        return depth > COPY_DEPTH_MAX ? -ELOOP : zl_dir_each(from, copy_entry, &c);
}

/* `from_fd` is the directory that a tmpfs now covers, `to_fd` the tmpfs (O_PATH is enough). */
int zl_child_copy_up(int from_fd, int to_fd)
{
        _cleanup_close_ int to = openat(to_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return to < 0 ? -errno : copy_tree(from_fd, to, 0);
}
