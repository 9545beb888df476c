/* SPDX-License-Identifier: Apache-2.0 */
/* See systemd.h. The protocols are stable and documented in sd_notify(3) and sd_listen_fds(3). */
#include "base/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/parse.h"
#include "base/socket.h"

enum { FIRST_FD = 3 };

/* A socket that is connected to $NOTIFY_SOCKET; -ENOENT where there is none. */
static int connect_notify(void)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un addr = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        size_t len;

        if (!path || !*path)
                return -ENOENT;
        len = strlen(path);
        if ((path[0] != '/' && path[0] != '@') || len >= sizeof(addr.sun_path))
                return -EINVAL;
        memcpy(addr.sun_path, path, len);
        if (path[0] == '@')
                addr.sun_path[0] = 0; /* the abstract name space */
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *)&addr,
                    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
                return -errno;
        return zl_take_fd(fd);
}

int zl_systemd_notify(const char *state)
{
        _cleanup_close_ int fd = connect_notify();

        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        return send(fd, state, strlen(state), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int zl_systemd_barrier(int64_t timeout_nsec)
{
        static const char text[] = "BARRIER=1";
        _cleanup_close_ int fd = connect_notify(), end = -EBADF, other = -EBADF;
        struct pollfd p = { 0 };
        int fds[2], r;

        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        end = fds[0];
        other = fds[1];
        r = (int)zl_send_fds(fd, text, sizeof(text) - 1, &other, 1, 0);
        if (r < 0)
                return r;
        other = zl_close(other);
        p.fd = end; /* no events asked for: that the other end is closed is always told */
        r = poll(&p, 1, (int)(timeout_nsec / ZL_NSEC_PER_MSEC));
        return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

static bool is_listening_stream(int fd)
{
        int listening = 0, type = 0;
        socklen_t a = sizeof(listening), b = sizeof(type);

        return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &a) == 0 && listening &&
               getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &b) == 0 && type == SOCK_STREAM;
}

int zl_systemd_take_socket(struct zl_error *err)
{
        const char *pid_text = getenv("LISTEN_PID"), *n_text = getenv("LISTEN_FDS");
        uint64_t pid = 0, n = 0;
        bool ours = pid_text && n_text && zl_parse_u64(pid_text, 10, &pid) == 0 &&
                    zl_parse_u64(n_text, 10, &n) == 0 && pid == (uint64_t)getpid() && n > 0;

        unsetenv("LISTEN_PID");
        unsetenv("LISTEN_FDS");
        unsetenv("LISTEN_FDNAMES");
        if (!ours)
                return -ENOENT;
        if (n > 1)
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "%llu sockets were passed to us, not one", (unsigned long long)n);
        zl_fd_set_cloexec(FIRST_FD, true);
        if (!is_listening_stream(FIRST_FD))
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "what was passed to us is no listening stream socket");
        return FIRST_FD;
}
