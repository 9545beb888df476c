/* SPDX-License-Identifier: Apache-2.0 */
/* Making processes with namespaces, in a group, with a pidfd. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct zl_clone {
        uint64_t flags; /* CLONE_NEW… only; CLONE_NEWTIME is refused (unshare it in the child) */
        int cgroup_fd;  /* v2 directory to be born in, or -1 */
        int *pidfd;     /* where to put a pidfd, or NULL */
        int hidden; /* 1: not dumpable from its birth (nobody inside may trace it or read its /proc) */
        int cgroup_done; /* out: 1 if the child was born in the group */
};

/* As fork() by clone3(), without running atfork handlers: the child may only call async-signal-safe functions.
 * Falls back to clone() + pidfd_open() without clone3 (ZL_FORBID=clone3). Returns the pid, 0 in the child, or a negative errno. */
pid_t zl_clone(struct zl_clone *how);

/* This process, and what it makes from now on, keeps to the processor on which it runs. For one that makes another and waits for it, or ends: to
 * wake a processor that sleeps takes longer than many a child's work, and ours is about to be free. What was made is to undo it at once
 * (sched_setaffinity). What the kernel says against it is not told. */
void zl_stay_here(void);

/* As vfork(): `run` is called in a process that has our memory, on our stack, and we go on when that has ended or executed something; it
 * must not return. What it writes is written here, too, and it may wait for nothing that we are to do. All signals are blocked in it, and it
 * begins on our processor alone (zl_stay_here). `how` may not ask for namespaces. There is no fallback: -ENOSYS where it cannot be (the processor, a sanitizer, ZL_FORBID=borrow or clone3), and
 * what the kernel says if the group refuses births. Not for programs with several threads. Returns the pid or a negative errno. */
pid_t zl_clone_borrowing(struct zl_clone *how, void (*run)(void *data), void *data);
