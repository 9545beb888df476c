/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups of one container: version 1, hybrid and version 2 behind one handle. The layout of the machine is found out
 * once per handle. On version 1 a group is one directory per mounted controller, all with the same relative
 * path; on version 2 one directory.
 *
 * Where a process is counted (joining, doors, listing, the descriptor of the group, its kills) NULL stands for "no group": nothing to do,
 * nobody there.
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
        bool born_only; /* with create: only what a process can be born in (version 2); zl_cgroup_make() makes the rest */
        bool late;     /* with create: nothing yet; zl_cgroup_make() makes all of it */
        bool rootless; /* device rules are set where that is permitted */
        bool owned; /* with !create: zl_cgroup_remove() may remove it (a group loaded from state) */
};

/* Finds out where the hierarchies are, for the next zl_cgroup_open() of this process, which has one thread. What goes wrong is told by that. */
void zl_cgroup_look_ahead(void);

/* Opens or creates the group. -ENOENT if !create and it is not there. */
int zl_cgroup_open(const struct zl_cgroup_options *options, struct zl_cgroup **ret,
                   struct zl_error *err);
/* After born_only: the hierarchies of version 1; after late: everything. On failure zl_cgroup_remove() takes back what was made. */
int zl_cgroup_make(struct zl_cgroup *cg, struct zl_error *err);
/* For a caller without privileges on version 2: the group below which he may make others and move his processes into them. That beside
 * which he is (whose children can have limits), or else his own. NULL in `*ret`: there is none. The caller frees. -ENOMEM. */
int zl_cgroup_find_delegated(char **ret);
/* Can groups below that one have limits of `controller`? Not if it holds processes itself, as the caller's own does. */
bool zl_cgroup_hands_on(const char *path, const char *controller);
/* Forgets the handle; the group stays. NULL is allowed. */
void zl_cgroup_free(struct zl_cgroup *cg);
ZL_DEFINE_CLEANUP(struct zl_cgroup *, zl_cgroup_freep, zl_cgroup_free)

/* "/zlayer/x", relative to the hierarchy's mount point. Lives as long as the handle. */
const char *zl_cgroup_path(const struct zl_cgroup *cg);
/* Pure version 2? */
bool zl_cgroup_is_v2(const struct zl_cgroup *cg);
/* The directory of the i-th hierarchy below /sys/fs/cgroup ("memory"; "." on pure version 2), NULL behind the last. */
const char *zl_cgroup_hierarchy(const struct zl_cgroup *cg, size_t i);
/* Directory of the group in the v2 hierarchy for CLONE_INTO_CGROUP, or -1 where there is none. Owned by the handle. */
int zl_cgroup_dir_fd(const struct zl_cgroup *cg);

/* Sets limits. Call before a process joins when creating (device rules among them). NULL: nothing to set. */
int zl_cgroup_apply(struct zl_cgroup *cg, const struct zl_oci_resources *resources,
                    struct zl_error *err);
/* Moves a process in, on every hierarchy. */
int zl_cgroup_attach(struct zl_cgroup *cg, pid_t pid, struct zl_error *err);

/* The doors of the group: through them a process of one thread goes into the hierarchies of version 1 by itself, without the lock
 * over all processes and hence without the wait that zl_cgroup_attach() may mean (5.6; before that it waits, too). Into
 * that of version 2 it is born. */
enum { ZL_CGROUP_DOORS_MAX = 24 };
struct zl_cgroup_doors {
        int fds[ZL_CGROUP_DOORS_MAX];
        size_t n;
};
/* Opens them, before the process is made; zl_cgroup_doors_close() when that is done. Nothing is left open on failure. */
int zl_cgroup_doors_open(struct zl_cgroup *cg, struct zl_cgroup_doors *ret, struct zl_error *err);
/* After that: one more, into a group below in the hierarchy of one controller of version 1. It is entered last. */
int zl_cgroup_doors_add(struct zl_cgroup *cg, const char *controller, const char *below,
                        struct zl_cgroup_doors *doors, struct zl_error *err);
void zl_cgroup_doors_close(struct zl_cgroup_doors *doors);
/* Called by the process. Async-signal-safe. On failure (a negative errno) it may be in some of the groups: attach it. */
int zl_cgroup_doors_enter(const struct zl_cgroup_doors *doors);

/* Figures; those of missing controllers are 0. Fills all but the net_ members. */
int zl_cgroup_stats(struct zl_cgroup *cg, struct zl_stats *ret, struct zl_error *err);

/* Of these, and by few questions, what is left to say of a group at its end: all processor time, and the peak of the memory. */
void zl_cgroup_totals(struct zl_cgroup *cg, uint64_t *ret_cpu_usec, uint64_t *ret_memory_peak);

/* Lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and "full …". False if there is none (NULL is none). */
bool zl_pressure_parse(const char *text, struct zl_pressure *ret);

/* A file of the group in the hierarchy of a controller ("memory"; NULL: any that tells about processes). The caller frees. -ENOENT where there
 * is no such controller or file. */
int zl_cgroup_read_file(struct zl_cgroup *cg, const char *controller, const char *file, char **ret);

/* The value behind KEY in the "KEY VALUE" lines of such a file, or `fallback`. */
uint64_t zl_cgroup_stat_value(const char *text, const char *key, uint64_t fallback);

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
/* Thaws whatever group of version 1 a process is in, so that it can die. Best effort; on version 2 frozen processes die anyway. */
void zl_cgroup_thaw_process(pid_t pid);
/* Removes the group if nobody is in it and nothing below it; otherwise a negative errno, and it is as it was. */
int zl_cgroup_remove_unused(struct zl_cgroup *cg);
/* Removes the group and everything below it; waits up to 2 s for dying processes. Missing is success. Leaves the parents,
 * except that an empty parent "zlayer" is left too (others may be creating in it). */
int zl_cgroup_remove(struct zl_cgroup *cg, struct zl_error *err);
