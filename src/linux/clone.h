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
