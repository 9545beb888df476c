/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCI runtime configuration (config.json, runtime-spec 1.2) as plain structs: one member per property, with the
 * name of the property in snake_case. Whoever runs a container fills or loads a struct zl_oci_config; nobody
 * but this file knows the JSON.
 *
 * Conventions: an absent string, object or array is NULL; an absent scalar has has_NAME false. Arrays of strings are
 * NULL-terminated vectors, arrays of objects a pointer and n_NAME. Numbers are in the units of the
 * specification. Unknown properties are ignored, as the specification wants; wrong types and duplicate keys are
 * errors.
 *
 * Ownership: a parsed config lives in one arena and zl_oci_config_free() frees all of it. A config built by hand may live in the caller's memory: the engine only reads it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <zlayer/spec.h>

#include "base/error.h"
#include "base/macro.h"

struct zl_arena;

struct zl_oci_root {
        char *path;
        bool readonly;
};

struct zl_oci_id_map {
        uint32_t container_id;
        uint32_t host_id;
        uint32_t size;
};

struct zl_oci_mount {
        char *destination;
        char *type;
        char *source;
        char **options;
        struct zl_oci_id_map *uid_mappings;
        size_t n_uid_mappings;
        struct zl_oci_id_map *gid_mappings;
        size_t n_gid_mappings;
};

struct zl_oci_console_size {
        uint64_t height, width;
};

struct zl_oci_user {
        uint32_t uid, gid;
        bool has_umask;
        uint32_t umask;
        uint32_t *additional_gids;
        size_t n_additional_gids;
        /* Ours, beside the specification's Windows meaning: "name", "uid", "name:group", "uid:gid"; looked up in /etc/passwd and
         * /etc/group INSIDE the rootfs and, when set, used in place of uid and gid. Supplementary groups of the
         * named user are added. */
        char *username;
};

struct zl_oci_capabilities {
        char **bounding, **effective, **permitted, **inheritable, **ambient;
};

struct zl_oci_rlimit {
        char *type;
        uint64_t soft, hard;
};

struct zl_oci_scheduler {
        char *policy; /* SCHED_OTHER … SCHED_DEADLINE */
        bool has_nice;
        int32_t nice;
        int32_t priority;
        char **flags;
        uint64_t runtime, deadline, period; /* nanoseconds */
        bool has_runtime;
};

struct zl_oci_io_priority {
        char *class_; /* IOPRIO_CLASS_RT, _BE, _IDLE */
        int32_t priority;
};

struct zl_oci_exec_cpu_affinity {
        char *initial, *final; /* CPU lists */
};

struct zl_oci_process {
        bool terminal;
        struct zl_oci_console_size *console_size;
        struct zl_oci_user user;
        char **args;
        char *command_line; /* Windows only: refused */
        char **env;
        char *cwd;
        struct zl_oci_capabilities *capabilities;
        struct zl_oci_rlimit *rlimits;
        size_t n_rlimits;
        bool no_new_privileges;
        char *apparmor_profile;
        bool has_oom_score_adj;
        int32_t oom_score_adj;
        struct zl_oci_scheduler *scheduler;
        char *selinux_label;
        struct zl_oci_io_priority *io_priority;
        struct zl_oci_exec_cpu_affinity *exec_cpu_affinity;
};

struct zl_oci_hook {
        char *path;
        char **args;
        char **env;
        bool has_timeout;
        int64_t timeout; /* seconds */
};

struct zl_oci_hooks {
        struct zl_oci_hook *prestart;
        size_t n_prestart;
        struct zl_oci_hook *create_runtime;
        size_t n_create_runtime;
        struct zl_oci_hook *create_container;
        size_t n_create_container;
        struct zl_oci_hook *start_container;
        size_t n_start_container;
        struct zl_oci_hook *poststart;
        size_t n_poststart;
        struct zl_oci_hook *poststop;
        size_t n_poststop;
};

struct zl_oci_namespace {
        char *type; /* pid network mount ipc uts user cgroup time */
        char *path; /* NULL: a new one */
};

struct zl_oci_device {
        char *type; /* c b u p */
        char *path;
        bool has_major, has_minor;
        int64_t major, minor;
        bool has_file_mode, has_uid, has_gid;
        uint32_t file_mode, uid, gid;
};

struct zl_oci_net_device_target {
        char *name; /* inside; NULL: the same */
};
struct zl_oci_net_device {
        char *host_name; /* the key */
        struct zl_oci_net_device_target target;
};
static inline const char *zl_oci_net_device_name(const struct zl_oci_net_device *d)
{
        return d->target.name && *d->target.name ? d->target.name : d->host_name;
}

struct zl_oci_device_rule {
        bool allow;
        char *type; /* a c b */
        bool has_major, has_minor;
        int64_t major, minor; /* absent or -1: any */
        char *access;         /* of r, w, m */
};

struct zl_oci_memory {
        bool has_limit, has_reservation, has_swap, has_kernel, has_kernel_tcp, has_swappiness;
        int64_t limit, reservation, swap, kernel, kernel_tcp;
        uint64_t swappiness;
        bool has_disable_oom_killer, disable_oom_killer;
        bool has_use_hierarchy, use_hierarchy;
        bool has_check_before_update, check_before_update;
};

struct zl_oci_cpu {
        bool has_shares, has_quota, has_burst, has_period, has_realtime_runtime,
                has_realtime_period, has_idle;
        uint64_t shares, burst, period, realtime_period;
        int64_t quota, realtime_runtime, idle;
        char *cpus, *mems;
};

struct zl_oci_weight_device {
        int64_t major, minor;
        bool has_weight, has_leaf_weight;
        uint16_t weight, leaf_weight;
};

struct zl_oci_throttle_device {
        int64_t major, minor;
        uint64_t rate;
};

struct zl_oci_block_io {
        bool has_weight, has_leaf_weight;
        uint16_t weight, leaf_weight;
        struct zl_oci_weight_device *weight_device;
        size_t n_weight_device;
        struct zl_oci_throttle_device *throttle_read_bps_device;
        size_t n_throttle_read_bps_device;
        struct zl_oci_throttle_device *throttle_write_bps_device;
        size_t n_throttle_write_bps_device;
        struct zl_oci_throttle_device *throttle_read_iops_device;
        size_t n_throttle_read_iops_device;
        struct zl_oci_throttle_device *throttle_write_iops_device;
        size_t n_throttle_write_iops_device;
};

struct zl_oci_hugepage_limit {
        char *page_size; /* "2MB" */
        uint64_t limit;
};

struct zl_oci_interface_priority {
        char *name;
        uint32_t priority;
};

struct zl_oci_net_cls {
        bool has_class_id;
        uint32_t class_id;
        struct zl_oci_interface_priority *priorities;
        size_t n_priorities;
};

struct zl_oci_rdma_limit {
        bool has_hca_handles, has_hca_objects;
        uint32_t hca_handles, hca_objects;
};
struct zl_oci_rdma {
        char *device; /* the key */
        struct zl_oci_rdma_limit limit;
};

struct zl_oci_pids {
        bool has_limit;
        int64_t limit;
};

struct zl_oci_resources {
        struct zl_oci_device_rule *devices;
        size_t n_devices;
        struct zl_oci_memory *memory;
        struct zl_oci_cpu *cpu;
        struct zl_oci_pids *pids;
        struct zl_oci_block_io *block_io;
        struct zl_oci_hugepage_limit *hugepage_limits;
        size_t n_hugepage_limits;
        struct zl_oci_net_cls *network;
        struct zl_oci_rdma *rdma;
        size_t n_rdma;
        struct zl_str_map unified;
};

struct zl_oci_seccomp_arg {
        uint32_t index;
        uint64_t value, value_two;
        char *op; /* SCMP_CMP_… */
};

struct zl_oci_seccomp_rule {
        char **names;
        char *action;
        bool has_errno_ret;
        uint32_t errno_ret;
        struct zl_oci_seccomp_arg *args;
        size_t n_args;
};

struct zl_oci_seccomp {
        char *default_action;
        bool has_default_errno_ret;
        uint32_t default_errno_ret;
        char **architectures;
        char **flags;
        char *listener_path;
        char *listener_metadata;
        struct zl_oci_seccomp_rule *syscalls;
        size_t n_syscalls;
};

struct zl_oci_personality {
        char *domain; /* LINUX, LINUX32 */
        char **flags;
};

struct zl_oci_intel_rdt {
        char *clos_id;
        char *l3_cache_schema;
        char *mem_bw_schema;
        char **schemata;
        bool enable_monitoring;
};

struct zl_oci_time_span {
        int64_t secs;
        uint32_t nanosecs;
};
struct zl_oci_time_offset {
        char *clock; /* the key: monotonic, boottime */
        struct zl_oci_time_span offset;
};

struct zl_oci_memory_policy {
        char *mode;
        char *nodes;
        char **flags;
};

struct zl_oci_linux {
        struct zl_oci_id_map *uid_mappings;
        size_t n_uid_mappings;
        struct zl_oci_id_map *gid_mappings;
        size_t n_gid_mappings;
        struct zl_str_map sysctl;
        struct zl_oci_resources *resources;
        char *cgroups_path;
        struct zl_oci_namespace *namespaces;
        size_t n_namespaces;
        struct zl_oci_device *devices;
        size_t n_devices;
        struct zl_oci_net_device *net_devices;
        size_t n_net_devices;
        struct zl_oci_seccomp *seccomp;
        char *rootfs_propagation;
        char **masked_paths;
        char **readonly_paths;
        char *mount_label;
        struct zl_oci_intel_rdt *intel_rdt;
        struct zl_oci_memory_policy *memory_policy;
        struct zl_oci_personality *personality;
        struct zl_oci_time_offset *time_offsets;
        size_t n_time_offsets;
};

struct zl_oci_config {
        char *oci_version;
        struct zl_oci_root *root;
        struct zl_oci_process *process; /* NULL: create works, start does not */
        char *hostname;
        char *domainname;
        struct zl_oci_mount *mounts;
        size_t n_mounts;
        struct zl_oci_hooks *hooks;
        struct zl_str_map annotations;
        struct zl_oci_linux *linux_; /* "linux" is a macro of the compiler */
        struct zl_arena *arena; /* where everything above lives, when it was parsed; else NULL */
};

enum { ZL_OCI_CONFIG_MAX = 16 << 20 }; /* bytes of a config.json that are read at most */

/* Decodes a config.json text. `what` names the document in errors. Checks types only, not the meaning
 * (zl_oci_config_check). Does not block. */
int zl_oci_config_parse(const char *text, size_t len, const char *what, struct zl_oci_config **ret,
                        struct zl_error *err);
/* Reads and decodes `path` below dirfd. */
int zl_oci_config_load_at(int dirfd, const char *path, struct zl_oci_config **ret,
                          struct zl_error *err);
/* The same for who has no use for linux.seccomp.syscalls, because he gets the filter compiled or another program compiles it: two thirds of
 * the text are names that then are not read. Not to be written back. */
int zl_oci_config_load_without_calls_at(int dirfd, const char *path, struct zl_oci_config **ret,
                                        struct zl_error *err);
/* The "process" object alone, as `exec --process FILE` reads it, and the "linux.resources" object alone, as `update
 * --resources FILE` reads it. What they return lives in `arena`. */
int zl_oci_process_parse(const char *text, size_t len, const char *what, struct zl_arena *arena,
                         struct zl_oci_process *ret, struct zl_error *err);
int zl_oci_resources_parse(const char *text, size_t len, const char *what, struct zl_arena *arena,
                           struct zl_oci_resources *ret, struct zl_error *err);

/* Writes the document as JSON text that the caller frees; absent members are left out. */
int zl_oci_config_dump(const struct zl_oci_config *config, char **ret, struct zl_error *err);
int zl_oci_process_dump(const struct zl_oci_process *process, char **ret, struct zl_error *err);

/* Replaces a loaded config by a copy that takes a quarter of the memory: the arena also holds the text and the tree that
 * it was read from. For whoever keeps it for long. */
int zl_oci_config_compact(struct zl_oci_config **config, struct zl_error *err);

/* Only for objects made by the functions above; NULL is allowed. */
void zl_oci_config_free(struct zl_oci_config *config);
ZL_DEFINE_CLEANUP(struct zl_oci_config *, zl_oci_config_freep, zl_oci_config_free)

/* Does the document make sense for a Linux container: version 1.x, the required members, absolute paths, known names, no
 * contradictions? Fails at the first fault, which the error names by its JSON path. */
int zl_oci_config_check(const struct zl_oci_config *config, struct zl_error *err);
