/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `run` and `exec` share when they start a process: inherited descriptors, the console socket, and
 * waiting in the foreground with signals and window sizes passed on.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/socket.h"
#include "cli/oci/oci.h"
#include "cli/terminal.h"

enum { FIRST_PRESERVED = 3, MAX_PRESERVED = 1024 };

uint64_t zl_oci_listen_fds(void)
{
        const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
        uint64_t n, owner;

        if (!fds || zl_parse_u64(fds, 10, &n) < 0 || n > MAX_PRESERVED)
                return 0;
        if (pid && (zl_parse_u64(pid, 10, &owner) < 0 || owner != (uint64_t)getpid()))
                return 0;
        return n;
}

int zl_oci_preserved_fds(uint64_t preserve, uint64_t listen, int **ret, size_t *ret_n,
                         struct zl_error *err)
{
        uint64_t n = preserve + listen;
        _cleanup_free_ int *fds = NULL;

        if (preserve > MAX_PRESERVED || n > MAX_PRESERVED)
                return zl_fail(err, ZL_E_INVALID, 0, "--preserve-fds: at most %d descriptors",
                               MAX_PRESERVED);
        fds = calloc(n + 1, sizeof(int));
        if (!fds)
                return zl_fail_oom(err);
        for (uint64_t i = 0; i < n; i++) {
                fds[i] = (int)(FIRST_PRESERVED + i);
                int flags = fcntl(fds[i], F_GETFD);

                /* What was passed to us came through an exec; what closes at the next one is our own. Numbers that are not in use
                 * are not in the container either (as crun; callers give a limit, not a list). */
                if (flags < 0 || flags & FD_CLOEXEC)
                        fds[i] = -1;
        }
        *ret = zl_take_ptr(fds);
        *ret_n = n;
        return 0;
}

int zl_oci_connect(const char *option, const char *path, struct zl_error *err)
{
        int fd = zl_unix_connect_at(AT_FDCWD, path, SOCK_STREAM);

        return fd < 0 ? zl_fail_errno(err, -fd, "--%s: cannot connect to %s", option, path) : fd;
}

int zl_oci_send_pidfd(int socket_fd, int pidfd, struct zl_error *err)
{
        static const char word[] = "pidfd";
        ssize_t n = socket_fd < 0 ? 0 : zl_send_fds(socket_fd, word, sizeof word - 1, &pidfd, 1, 0);

        return n < 0 ? zl_fail_errno(err, (int)-n, "--pidfd-socket: cannot send the pidfd") : 0;
}

static void pass_signal(int sig, void *data)
{
        const struct zl_oci_wait *w = data;

        /* The process may be gone: then there is nobody to tell. */
        (void)syscall(SYS_pidfd_send_signal, w->pidfd, sig, NULL, 0);
}

static void pass_size(uint16_t rows, uint16_t cols, void *data)
{
        const struct zl_oci_wait *w = data;
        struct winsize size = { .ws_row = rows, .ws_col = cols };

        if (w->console >= 0)
                ioctl(w->console, TIOCSWINSZ, &size);
}

void zl_oci_plain_lines(int console)
{
        struct termios t;

        if (console < 0 || isatty(STDOUT_FILENO) || tcgetattr(console, &t) < 0)
                return;
        t.c_oflag &= ~(tcflag_t)ONLCR;
        tcsetattr(console, TCSANOW, &t);
}

int zl_oci_wait_foreground(const struct zl_oci_wait *w, int *ret_code, struct zl_error *err)
{
        struct zl_foreground fg = {
                .tty_fd = w->console,
                .done_fd = w->pidfd,
                .on_signal = pass_signal,
                .on_resize = pass_size,
                .data = (void *)w,
        };
        siginfo_t info = { 0 };
        int r = zl_foreground_run(&fg, err);

        if (r < 0)
                return r;
        while (waitid(P_PID, (id_t)w->pid, &info, WEXITED) < 0)
                if (errno != EINTR)
                        return zl_fail_errno(err, errno, "cannot wait for process %d", w->pid);
        *ret_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
        return 0;
}
