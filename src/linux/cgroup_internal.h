/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the cgroup_*.c files; not for other rooms. */
#pragma once

#include "linux/cgroup.h"

enum { ZL_HIERARCHIES_MAX = ZL_CGROUP_DOORS_MAX, ZL_CGROUP_TEXT_MAX = 64 << 10 };

/* One mounted hierarchy: a directory below /sys/fs/cgroup ("." on pure version 2). */
struct zl_hierarchy {
        char *dir;    /* "cpu,cpuacct" */
        bool v2;      /* "unified" of a hybrid layout, or the only one */
        bool created; /* the group's directory was made by this handle */
};

struct zl_cgroup {
        int root_fd; /* /sys/fs/cgroup */
        bool v2, exclusive, late, rootless;
        char *path; /* relative, without leading slash */
        char *shown_path;
        int dir_fd; /* the group's directory in the v2 hierarchy, if there is one */
        struct zl_hierarchy h[ZL_HIERARCHIES_MAX];
        size_t n;
};

/* The hierarchy that carries a v1 controller (or, on v2, the only one if the controller is enabled there), or NULL. */
const struct zl_hierarchy *zl_cgroup_controller(const struct zl_cgroup *cg, const char *name);
/* Any hierarchy that tells about processes: v2 if there is one. */
const struct zl_hierarchy *zl_cgroup_any(const struct zl_cgroup *cg);

/* File of the group: negative errno like openat. */
int zl_cgroup_open_file(const struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *file,
                        int flags);
int zl_cgroup_read(const struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *file,
                   char **ret);
/* A number, or `fallback` if the file is missing or says something else ("max" gives UINT64_MAX). */
uint64_t zl_cgroup_read_u64(const struct zl_cgroup *cg, const struct zl_hierarchy *h,
                            const char *file, uint64_t fallback);
/* Writes and explains a failure by file and value. */
int zl_cgroup_write(const struct zl_cgroup *cg, const struct zl_hierarchy *h, const char *file,
                    const char *value, struct zl_error *err);

/* The limits in the language of either version. */
int zl_cgroup_apply_v1(struct zl_cgroup *cg, const struct zl_oci_resources *r,
                       struct zl_error *err);
int zl_cgroup_apply_v2(struct zl_cgroup *cg, const struct zl_oci_resources *r,
                       struct zl_error *err);

/* Device rules in their final order: what the spec says, then what every container may have. -1 is "any". */
enum { ZL_DEV_MKNOD = 1, ZL_DEV_READ = 2, ZL_DEV_WRITE = 4 }; /* as BPF_DEVCG_ACC_ */
struct zl_device_rule {
        bool allow;
        char type; /* a b c */
        int64_t major, minor;
        unsigned access;
};
int zl_device_rules(const struct zl_oci_resources *r, struct zl_device_rule **ret, size_t *ret_n,
                    struct zl_error *err);
/* Attaches an eBPF program that says yes or no by the rules (the last match wins) to a v2 group. */
int zl_device_bpf_attach(int cgroup_fd, const struct zl_device_rule *rules, size_t n,
                         struct zl_error *err);
