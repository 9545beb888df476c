/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone3 (5.3) gives in one call what otherwise takes several and has gaps in between: namespaces, pidfd, and (5.7) being born
 * in the cgroup, which spares the move afterwards.
 *
 * The fallback cannot put the child into the group; the caller sees that in cgroup_done and moves it.
 */
#include "linux/clone.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/forbid.h"

static long try_clone3(const struct zl_clone *how, int cgroup_fd)
{
        struct clone_args args = {
                .flags = how->flags | (how->pidfd ? CLONE_PIDFD : 0) |
                         (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
                .pidfd = (uint64_t)(uintptr_t)how->pidfd,
                .exit_signal = SIGCHLD,
                .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
        };

        if (zl_forbidden("clone3")) {
                errno = ENOSYS;
                return -1;
        }
        return syscall(SYS_clone3, &args, sizeof args);
}

static long classic_clone(const struct zl_clone *how)
{
        unsigned long flags = (unsigned long)how->flags | SIGCHLD;
        long pid;

        /* Without a stack the child goes on on its copy of ours, as fork() does. */
        pid = syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
        if (pid > 0 && how->pidfd) {
                /* The child is ours and not waited for yet: its pid cannot be reused. */
                *how->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
                if (*how->pidfd < 0) {
                        int saved = errno;

                        kill((pid_t)pid, SIGKILL);
                        errno = saved;
                        return -1;
                }
        }
        return pid;
}

static long do_clone(struct zl_clone *how)
{
        long pid = try_clone3(how, how->cgroup_fd);

        how->cgroup_done = pid >= 0 && how->cgroup_fd >= 0;
        /* The group may refuse births (domain threaded, a frozen parent, 5.3–5.6 without the flag): join it afterwards then. */
        if (pid < 0 && how->cgroup_fd >= 0 && errno != ENOSYS)
                pid = try_clone3(how, -1);
        if (pid < 0 && errno == ENOSYS)
                pid = classic_clone(how);
        return pid < 0 ? -errno : pid;
}

pid_t zl_clone(struct zl_clone *how)
{
        int dumpable = how->hidden ? prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) : 0;
        long pid;

        /* What the child did first would be too late: it is visible in its pid namespace before it runs. */
        if (dumpable == 1)
                prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        pid = do_clone(how);
        if (pid != 0 && dumpable == 1)
                prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        return (pid_t)pid;
}
