/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running hooks: a program each, with the state document on standard input, in order, until one fails.
 *
 * The same code runs in the parent (hooks of the host) and in the child between clone and exec (hooks in the container's
 * namespaces), so it allocates nothing. A hook that does not read its input must not block us: the
 * document goes through a memory file, not a pipe.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "container/internal.h"
#include "linux/clone.h"

static _Noreturn void hook_main(const struct zl_oci_hook *hook, int input)
{
        static char *no_env[] = { NULL };
        char *only_path[] = { hook->path, NULL };

        zl_child_reset_signals();
        if (dup2(input, 0) < 0)
                _exit(127);
        /* Standard output and error are ours; anything else stays behind. */
        syscall(SYS_close_range, 3U, ~0U, 0U);
        execve(hook->path, hook->args && hook->args[0] ? hook->args : only_path,
               hook->env ? hook->env : no_env);
        _exit(errno == ENOENT ? 127 : 126);
}

/* Waits with a deadline. */
static int wait_hook(pid_t pid, int pidfd, int64_t deadline)
{
        siginfo_t info = { 0 };
        int r = 0;

        for (;;) {
                struct pollfd p = { .fd = pidfd, .events = POLLIN };
                int64_t left = deadline < 0 ? -1 : (deadline - zl_now_monotonic()) / 1000000 + 1;
                int n = poll(&p, 1, deadline >= 0 && left < 0 ? 0 : (int)ZL_MIN(left, 1 << 30));

                if (n > 0)
                        break;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n == 0 && left > 0)
                        continue;
                kill(pid, SIGKILL);
                r = -ETIMEDOUT;
                break;
        }
        while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
                if (errno != EINTR)
                        return -errno;
        if (r == 0 && (info.si_code != CLD_EXITED || info.si_status != 0))
                r = -ECHILD;
        return r;
}

static int run_one(const struct zl_oci_hook *hook, const char *state)
{
        _cleanup_close_ int input = memfd_create("state", MFD_CLOEXEC);
        _cleanup_close_ int pidfd = -EBADF;
        struct zl_clone how = { .cgroup_fd = -1, .pidfd = &pidfd };
        int64_t deadline = hook->has_timeout ? zl_now_monotonic() + hook->timeout * ZL_NSEC_PER_SEC
                                             : -1;
        pid_t pid;
        int r;

        if (input < 0)
                return -errno;
        r = zl_write_full(input, state, strlen(state));
        if (r < 0)
                return r;
        if (lseek(input, 0, SEEK_SET) < 0)
                return -errno;
        pid = zl_clone(&how);
        if (pid < 0)
                return pid;
        if (pid == 0)
                hook_main(hook, input);
        return wait_hook(pid, pidfd, deadline);
}

int zl_hooks_run(const struct zl_oci_hook *hooks, size_t n, const char *state,
                 const struct zl_oci_hook **ret_failed)
{
        for (size_t i = 0; i < n; i++) {
                int r = run_one(&hooks[i], state);

                if (r < 0) {
                        *ret_failed = &hooks[i];
                        return r;
                }
        }
        return 0;
}
