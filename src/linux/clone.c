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

static struct clone_args clone3_args(const struct zl_clone *how, int cgroup_fd)
{
        return (struct clone_args){
                .flags = how->flags | (how->pidfd ? CLONE_PIDFD : 0) |
                         (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
                .pidfd = (uint64_t)(uintptr_t)how->pidfd,
                .exit_signal = SIGCHLD,
                .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
        };
}

static long try_clone3(const struct zl_clone *how, int cgroup_fd)
{
        struct clone_args args = clone3_args(how, cgroup_fd);

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

/* What the child did first would be too late: it is visible in its pid namespace before it runs. */
static int hide(const struct zl_clone *how)
{
        int dumpable = how->hidden ? prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) : 0;

        if (dumpable == 1)
                prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        return dumpable;
}

static void show(int dumpable)
{
        if (dumpable == 1)
                prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

pid_t zl_clone(struct zl_clone *how)
{
        int dumpable = hide(how);
        long pid = do_clone(how);

        if (pid != 0)
                show(dumpable);
        return (pid_t)pid;
}

/* --- on one processor -------------------------------------------------------------------------------------------------- */

/* Wide enough for all processors that a kernel can have: the size of its own mask is not known, and a smaller one is an error. */
struct cpus {
        unsigned long words[128];
};

void zl_stay_here(void)
{
        struct cpus here = { { 0 } };
        unsigned cpu;

        if (syscall(SYS_getcpu, &cpu, NULL, NULL) < 0 || cpu >= 8 * sizeof here)
                return;
        here.words[cpu / (8 * sizeof(long))] = 1UL << cpu % (8 * sizeof(long));
        syscall(SYS_sched_setaffinity, 0, sizeof here, &here);
}

/* --- on the caller's memory ------------------------------------------------------------------------------------------- */

/* The call is made in place and not by libc's syscall(): that would return in the child, whose next calls would then write over
 * the address to which the parent is still to return. What the child calls lies below this frame, which the parent finds as it was. */
static __attribute__((noinline)) long clone_here(struct clone_args *args, void (*run)(void *data),
                                                 void *data)
{
        long r = -ENOSYS;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        /* They keep books of the stack, and the child never comes back to them. */
#elif defined(__x86_64__)
        __asm__ volatile("syscall"
                         : "=a"(r)
                         : "0"((long)SYS_clone3), "D"(args), "S"(sizeof *args)
                         : "rcx", "r11", "memory");
#elif defined(__aarch64__)
        register long x8 __asm__("x8") = SYS_clone3;
        register long x0 __asm__("x0") = (long)args;
        register long x1 __asm__("x1") = sizeof *args;

        __asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x8) : "memory");
        r = x0;
#endif
        if (r == 0) {
                run(data);
                __builtin_trap(); /* and so the call above is no jump that leaves this frame first */
        }
        return r;
}

pid_t zl_clone_borrowing(struct zl_clone *how, void (*run)(void *data), void *data)
{
        struct clone_args args = clone3_args(how, how->cgroup_fd);
        struct cpus cpus;
        sigset_t all, before;
        int dumpable;
        bool stays;
        long pid;

        if (zl_forbidden("borrow") || zl_forbidden("clone3"))
                return -ENOSYS;
        args.flags |= CLONE_VM | CLONE_VFORK;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        dumpable = hide(how);
        stays = syscall(SYS_sched_getaffinity, 0, sizeof cpus, &cpus) > 0;
        if (stays)
                zl_stay_here();
        pid = clone_here(&args, run, data);
        if (stays)
                syscall(SYS_sched_setaffinity, 0, sizeof cpus, &cpus);
        show(dumpable);
        sigprocmask(SIG_SETMASK, &before, NULL);
        how->cgroup_done = pid > 0 && how->cgroup_fd >= 0;
        return (pid_t)pid;
}
