/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets (see socket.h). A path that does not fit into sun_path is reached as
 * /proc/self/fd/N/NAME, N being a descriptor of its directory.
 */
#include "base/socket.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"

/* Fills an address for `path` below dirfd; *ret_dir must stay open as long as the address is used. */
static int make_address(int dirfd, const char *path, struct sockaddr_un *sa, int *ret_dir)
{
        const char *slash = strrchr(path, '/');
        const char *base = slash ? slash + 1 : path;
        int n;

        *sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
        *ret_dir = -EBADF;
        if (!zl_path_is_name(
                    base)) /* an empty path would be an abstract address of the kernel's choice */
                return -EINVAL;
        if ((dirfd == AT_FDCWD || path[0] == '/') && strlen(path) < sizeof sa->sun_path) {
                memcpy(sa->sun_path, path, strlen(path) + 1);
                return 0;
        }
        if (slash) {
                _cleanup_free_ char *dir = strndup(path,
                                                   slash == path ? 1 : (size_t)(slash - path));

                if (!dir)
                        return -ENOMEM;
                *ret_dir = openat(dirfd, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        } else {
                *ret_dir = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        if (*ret_dir < 0)
                return -errno;
        n = snprintf(sa->sun_path, sizeof sa->sun_path, "/proc/self/fd/%d/%s", *ret_dir, base);
        return n < (int)sizeof sa->sun_path ? 0 : -ENAMETOOLONG;
}

int zl_unix_listen_at(int dirfd, const char *path, int type, mode_t mode)
{
        _cleanup_close_ int dir = -EBADF, fd = -EBADF;
        struct sockaddr_un sa;
        int r = make_address(dirfd, path, &sa, &dir);

        if (r < 0)
                return r;
        fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        /* The mode of the socket file is 0777 & ~umask, cut by fchmod() of the unbound socket. */
        if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
                return -errno;
        if (chmod(sa.sun_path, mode) < 0 || (type != SOCK_DGRAM && listen(fd, SOMAXCONN) < 0)) {
                r = -errno;
                unlink(sa.sun_path);
                return r;
        }
        return zl_take_fd(fd);
}

int zl_unix_connect_at(int dirfd, const char *path, int type)
{
        _cleanup_close_ int dir = -EBADF, fd = -EBADF;
        struct sockaddr_un sa;
        int r = make_address(dirfd, path, &sa, &dir);

        if (r < 0)
                return r;
        fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        while (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
                if (errno != EINTR)
                        return -errno;
        return zl_take_fd(fd);
}

/* zl-size: mirrors sendmsg(2) */
ssize_t zl_send_fds(int fd, const void *data, size_t len, const int *fds, size_t n_fds, int flags)
{
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(int) * ZL_FDS_MAX)];
        } control;
        struct iovec iov = { (void *)data, len };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        if (n_fds > ZL_FDS_MAX)
                return -EINVAL;
        if (n_fds > 0) {
                struct cmsghdr *c;

                memset(&control, 0, sizeof control);
                msg.msg_control = control.space;
                msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        do
                n = sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

/* Moves the descriptors of a received message to `fds`; closes what does not fit. */
static int collect_fds(struct msghdr *msg, int *fds, size_t room, size_t *n)
{
        bool lost = msg->msg_flags & MSG_CTRUNC;

        *n = 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
                size_t count;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < count; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
                        if (*n < room) {
                                fds[(*n)++] = fd;
                        } else {
                                zl_close(fd);
                                lost = true;
                        }
                }
        }
        return lost ? -EMSGSIZE : 0;
}

/* zl-size: mirrors recvmsg(2) */
ssize_t zl_recv_fds(int fd, void *data, size_t len, int *fds, size_t *n_fds, int flags)
{
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(int) * ZL_FDS_MAX)];
        } control;
        struct iovec iov = { data, len };
        struct msghdr msg = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.space,
                              .msg_controllen = sizeof control.space };
        size_t room = n_fds ? *n_fds : 0, got = 0;
        ssize_t n;
        int r;

        do
                n = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        r = collect_fds(&msg, fds, room, &got);
        if (r == 0 && (msg.msg_flags & MSG_TRUNC))
                r = -EMSGSIZE;
        if (r < 0) {
                for (size_t i = 0; i < got; i++)
                        zl_close(fds[i]);
                got = 0;
        }
        if (n_fds)
                *n_fds = got;
        return r < 0 ? r : n;
}

int zl_unix_peer(int fd, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid)
{
#ifdef SO_PEERCRED
        struct ucred cred;
        socklen_t len = sizeof cred;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
                return -errno;
        *ret_pid = cred.pid;
        *ret_uid = cred.uid;
        *ret_gid = cred.gid;
        return 0;
#else
        *ret_pid = 0;
        return getpeereid(fd, ret_uid, ret_gid) < 0 ? -errno : 0;
#endif
}
