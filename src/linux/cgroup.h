/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups of one container: version 1, hybrid and version 2 behind one handle. The layout of the machine is found out
 * once per handle. On version 1 a group is one directory per mounted controller, all with the same relative
 * path; on version 2 one directory.
 *
 * A controller that is missing is an error that names it if the resources ask for it, and ignored otherwise.
 * Threads: a handle belongs to one thread at a time. Calls write to cgroupfs; on version 1 joining may take
 * 11 ms (an RCU grace period in the kernel), everything else is short.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <zlayer/runtime.h>

#include "base/error.h"
#include "oci/runtime_config.h"

struct zl_cgroup;

struct zl_cgroup_options {
        const char *path; /* relative to the hierarchies' roots, clean; "zlayer/web.api.1" */
        bool create;      /* make the directories; on failure everything made is removed again */
        bool exclusive;   /* with create: it must not hold processes (-EBUSY otherwise) */
        bool owned; /* with !create: zl_cgroup_remove() may remove it (a group loaded from state) */
};

/* Opens or creates the group. -ENOENT if !create and it is not there. */
int zl_cgroup_open(const struct zl_cgroup_options *options, struct zl_cgroup **ret,
                   struct zl_error *err);
/* Forgets the handle; the group stays. NULL is allowed. */
void zl_cgroup_free(struct zl_cgroup *cg);
ZL_DEFINE_CLEANUP(struct zl_cgroup *, zl_cgroup_freep, zl_cgroup_free)

/* "/zlayer/x", relative to the hierarchy's mount point. Lives as long as the handle. */
const char *zl_cgroup_path(const struct zl_cgroup *cg);
/* Pure version 2? */
bool zl_cgroup_is_v2(const struct zl_cgroup *cg);
/* The directory of the i-th hierarchy below /sys/fs/cgroup ("memory"; "." on pure version 2), NULL behind the last. */
const char *zl_cgroup_hierarchy(const struct zl_cgroup *cg, size_t i);
/* Directory of the group in the v2 hierarchy for CLONE_INTO_CGROUP, or -1 on v1 (also hybrid). Owned by the handle. */
int zl_cgroup_dir_fd(const struct zl_cgroup *cg);

/* Sets limits. Call before a process joins when creating (device rules among them). NULL: nothing to set. */
int zl_cgroup_apply(struct zl_cgroup *cg, const struct zl_oci_resources *resources,
                    struct zl_error *err);
/* Moves a process in, on every hierarchy. */
int zl_cgroup_attach(struct zl_cgroup *cg, pid_t pid, struct zl_error *err);

/* Figures; those of missing controllers are 0. Fills all but the net_ members. */
int zl_cgroup_stats(struct zl_cgroup *cg, struct zl_stats *ret, struct zl_error *err);

/* How often the out-of-memory killer struck in the group so far. 0 if it cannot be known. */
uint64_t zl_cgroup_oom_kills(struct zl_cgroup *cg);
/* A descriptor that becomes ready when that counter may have changed: an inotify on memory.events (v2) or an eventfd
 * (v1). Read what is there, then look at zl_cgroup_oom_kills(). The caller closes it. */
int zl_cgroup_oom_fd(struct zl_cgroup *cg, struct zl_error *err);

/* All processes in the group and below. The caller frees. */
int zl_cgroup_pids(struct zl_cgroup *cg, pid_t **ret, size_t *ret_n, struct zl_error *err);
/* Sends a signal to every process; KILL is atomic with cgroup.kill (5.14) and otherwise repeated until nobody new appears. */
int zl_cgroup_kill_all(struct zl_cgroup *cg, int sig, struct zl_error *err);
/* Freezes or thaws; returns when the kernel says it is done (at most 2 s, then ZL_E_TIMEOUT). */
int zl_cgroup_freeze(struct zl_cgroup *cg, bool freeze, struct zl_error *err);
bool zl_cgroup_is_frozen(struct zl_cgroup *cg);
/* Removes the group and everything below it; waits up to 2 s for dying processes. Missing is success. Leaves the parents,
 * except that an empty parent "zlayer" is left too (others may be creating in it). */
int zl_cgroup_remove(struct zl_cgroup *cg, struct zl_error *err);
