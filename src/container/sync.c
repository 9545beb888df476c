/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's side of the talk with the child, and the gate. */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/socket.h"
#include "container/internal.h"

int zl_sync_tell(int fd, int kind, int value)
{
        struct zl_message m = { .kind = kind, .value = value };

        while (send(fd, &m, sizeof m, MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

int zl_sync_recv(int fd, struct zl_message *m, int *ret_fd)
{
        int fds[1];
        bool reset = false;
        size_t n_fds;
        ssize_t n;

        /* Reset: it ended with something of ours unread. That is told first, and once; what it had to say still lies behind it. */
        do {
                n_fds = 1;
                n = zl_recv_fds(fd, m, sizeof *m, fds, &n_fds, 0);
        } while (n == -EINTR || (n == -ECONNRESET && !reset && (reset = true)));
        if (n == 0 || n == -ECONNRESET)
                return 0;
        if (n < 0)
                return (int)n;
        if (n_fds == 1) {
                if (ret_fd)
                        *ret_fd = fds[0];
                else
                        close(fds[0]);
        }
        return n == (ssize_t)sizeof *m ? 1 : -EPROTO;
}

int zl_gate_pass(int fd, const char *command, struct zl_error *err)
{
        int r = zl_sync_tell(fd, ZL_MSG_START, 0);

        if (r < 0)
                return zl_fail(err, ZL_E_STATE, -r, "the container's process has ended");
        return zl_gate_hear(fd, command, err);
}

/* The child's end closes at exec: the end of the stream is the good news. */
int zl_gate_hear(int fd, const char *command, struct zl_error *err)
{
        struct zl_message m;
        int r = zl_sync_recv(fd, &m, NULL);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot hear from the container's process");
        if (r > 0)
                return zl_report_fail(&m, command, err);
        return 0;
}

int zl_console_send(int socket_fd, int master, struct zl_error *err)
{
        static const char name[] = "/dev/ptmx";
        ssize_t n = zl_send_fds(socket_fd, name, sizeof name - 1, &master, 1, 0);

        if (n < 0)
                return zl_fail_errno(err, (int)-n,
                                     "cannot send the terminal to the console socket");
        return 0;
}

int zl_process_equip(struct zl_process_plan *p, const int stdio[3], int *null_fd,
                     struct zl_error *err)
{
        for (int i = 0; i < 3; i++) {
                p->stdio[i] = stdio[i];
                if (p->tty || stdio[i] >= 0)
                        continue;
                if (*null_fd < 0)
                        *null_fd = openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
                if (*null_fd < 0)
                        return zl_fail_errno(err, errno, "cannot open /dev/null");
                p->stdio[i] = *null_fd;
        }
        return 0;
}
