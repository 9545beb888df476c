/* SPDX-License-Identifier: Apache-2.0 */
/* See systemd.h. The protocols are stable and documented in sd_notify(3) and sd_listen_fds(3). */
#include "base/systemd.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "base/parse.h"

enum { FIRST_FD = 3 };

int zl_systemd_notify(const char *state)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un addr = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;
        size_t len;

        if (!path || !*path)
                return 0;
        len = strlen(path);
        if ((path[0] != '/' && path[0] != '@') || len >= sizeof(addr.sun_path))
                return -EINVAL;
        memcpy(addr.sun_path, path, len);
        if (path[0] == '@')
                addr.sun_path[0] = 0; /* the abstract name space */
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
                return -errno;
        return 0;
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
