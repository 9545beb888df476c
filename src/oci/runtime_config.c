/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing config.json: the tables that say which property is which member (runtime-spec 1.2, "config.md" and
 * "config-linux.md"). The walking is done by src/schema; what values mean is checked in config_check.c.
 */
#include "oci/runtime_config.h"

#include <fcntl.h>

#include "base/fd.h"
#include "schema/schema.h"

#undef linux /* a macro of gnu17 that would spoil the names below */

#define F(S, key, member, type, ...) ZL_FIELD(struct zl_oci_##S, key, member, type, ##__VA_ARGS__)
#define OPT(S, key, member, type)                                                                  \
        ZL_FIELD(struct zl_oci_##S, key, member, type, ZL_HAS(struct zl_oci_##S, has_##member))
#define PTR(S, key, member, type) ZL_FIELD(struct zl_oci_##S, key, member, type, .flags = ZL_PTR)
#define LIST(S, key, member, type)                                                                 \
        ZL_FIELD(struct zl_oci_##S, key, member, type, ZL_COUNT(struct zl_oci_##S, n_##member))
#define STR(S, key, member)                                                                        \
        ZL_FIELD(struct zl_oci_##S, key, member, zl_type_str, .flags = ZL_OPTIONAL)
#define BOOL(S, key, member) ZL_FIELD(struct zl_oci_##S, key, member, zl_type_bool, .def = "false")
#define NUM(S, key, member, type) ZL_FIELD(struct zl_oci_##S, key, member, type, .def = "0")
#define REQ(S, key, member, type)                                                                  \
        ZL_FIELD(struct zl_oci_##S, key, member, type, .flags = ZL_REQUIRED)
#define STRV(S, key, member) F(S, key, member, zl_type_strv)
#define TYPE(S)                                                                                    \
        static const struct zl_type S##_type = ZL_TYPE_STRUCT(struct zl_oci_##S, #S, S##_fields,   \
                                                              .ignore_unknown = true)
#define TYPE_AND_LIST(S)                                                                           \
        TYPE(S);                                                                                   \
        static const struct zl_type S##s_type = ZL_TYPE_LIST(S##_type)

static const struct zl_type u32s_type = ZL_TYPE_LIST(zl_type_u32);

/* --- root, mounts, process ------------------------------------------------------------------------------ */

static const struct zl_field root_fields[] = {
        REQ(root, "path", path, zl_type_str),
        BOOL(root, "readonly", readonly),
};
TYPE(root);

static const struct zl_field id_map_fields[] = {
        REQ(id_map, "containerID", container_id, zl_type_u32),
        REQ(id_map, "hostID", host_id, zl_type_u32),
        REQ(id_map, "size", size, zl_type_u32),
};
TYPE_AND_LIST(id_map);

static const struct zl_field mount_fields[] = {
        REQ(mount, "destination", destination, zl_type_str),
        STR(mount, "type", type),
        STR(mount, "source", source),
        STRV(mount, "options", options),
        LIST(mount, "uidMappings", uid_mappings, id_maps_type),
        LIST(mount, "gidMappings", gid_mappings, id_maps_type),
};
TYPE_AND_LIST(mount);

static const struct zl_field console_size_fields[] = {
        REQ(console_size, "height", height, zl_type_u64),
        REQ(console_size, "width", width, zl_type_u64),
};
TYPE(console_size);

static const struct zl_field user_fields[] = {
        NUM(user, "uid", uid, zl_type_u32),
        NUM(user, "gid", gid, zl_type_u32),
        OPT(user, "umask", umask, zl_type_u32),
        LIST(user, "additionalGids", additional_gids, u32s_type),
        STR(user, "username", username),
};
TYPE(user);

static const struct zl_field capabilities_fields[] = {
        STRV(capabilities, "bounding", bounding),   STRV(capabilities, "effective", effective),
        STRV(capabilities, "permitted", permitted), STRV(capabilities, "inheritable", inheritable),
        STRV(capabilities, "ambient", ambient),
};
TYPE(capabilities);

static const struct zl_field rlimit_fields[] = {
        REQ(rlimit, "type", type, zl_type_str),
        REQ(rlimit, "soft", soft, zl_type_u64),
        REQ(rlimit, "hard", hard, zl_type_u64),
};
TYPE_AND_LIST(rlimit);

static const struct zl_field scheduler_fields[] = {
        REQ(scheduler, "policy", policy, zl_type_str),
        OPT(scheduler, "nice", nice, zl_type_i32),
        NUM(scheduler, "priority", priority, zl_type_i32),
        STRV(scheduler, "flags", flags),
        OPT(scheduler, "runtime", runtime, zl_type_u64),
        NUM(scheduler, "deadline", deadline, zl_type_u64),
        NUM(scheduler, "period", period, zl_type_u64),
};
TYPE(scheduler);

static const struct zl_field io_priority_fields[] = {
        REQ(io_priority, "class", class_, zl_type_str),
        NUM(io_priority, "priority", priority, zl_type_i32),
};
TYPE(io_priority);

static const struct zl_field exec_cpu_affinity_fields[] = {
        STR(exec_cpu_affinity, "initial", initial),
        STR(exec_cpu_affinity, "final", final),
};
TYPE(exec_cpu_affinity);

static const struct zl_field process_fields[] = {
        BOOL(process, "terminal", terminal),
        PTR(process, "consoleSize", console_size, console_size_type),
        F(process, "user", user, user_type),
        STRV(process, "args", args),
        STR(process, "commandLine", command_line),
        STRV(process, "env", env),
        STR(process, "cwd", cwd),
        PTR(process, "capabilities", capabilities, capabilities_type),
        LIST(process, "rlimits", rlimits, rlimits_type),
        BOOL(process, "noNewPrivileges", no_new_privileges),
        STR(process, "apparmorProfile", apparmor_profile),
        OPT(process, "oomScoreAdj", oom_score_adj, zl_type_i32),
        PTR(process, "scheduler", scheduler, scheduler_type),
        STR(process, "selinuxLabel", selinux_label),
        PTR(process, "ioPriority", io_priority, io_priority_type),
        PTR(process, "execCPUAffinity", exec_cpu_affinity, exec_cpu_affinity_type),
};
TYPE(process);

/* --- hooks ------------------------------------------------------------------------------------------------- */

static const struct zl_field hook_fields[] = {
        REQ(hook, "path", path, zl_type_str),
        STRV(hook, "args", args),
        STRV(hook, "env", env),
        OPT(hook, "timeout", timeout, zl_type_i64),
};
TYPE(hook);
static const struct zl_type hook_list_type = ZL_TYPE_LIST(hook_type);

static const struct zl_field hooks_fields[] = {
        LIST(hooks, "prestart", prestart, hook_list_type),
        LIST(hooks, "createRuntime", create_runtime, hook_list_type),
        LIST(hooks, "createContainer", create_container, hook_list_type),
        LIST(hooks, "startContainer", start_container, hook_list_type),
        LIST(hooks, "poststart", poststart, hook_list_type),
        LIST(hooks, "poststop", poststop, hook_list_type),
};
TYPE(hooks);

/* --- resources ----------------------------------------------------------------------------------------------- */

static const struct zl_field device_rule_fields[] = {
        REQ(device_rule, "allow", allow, zl_type_bool),
        STR(device_rule, "type", type),
        OPT(device_rule, "major", major, zl_type_i64),
        OPT(device_rule, "minor", minor, zl_type_i64),
        STR(device_rule, "access", access),
};
TYPE_AND_LIST(device_rule);

static const struct zl_field memory_fields[] = {
        OPT(memory, "limit", limit, zl_type_i64),
        OPT(memory, "reservation", reservation, zl_type_i64),
        OPT(memory, "swap", swap, zl_type_i64),
        OPT(memory, "kernel", kernel, zl_type_i64),
        OPT(memory, "kernelTCP", kernel_tcp, zl_type_i64),
        OPT(memory, "swappiness", swappiness, zl_type_u64),
        OPT(memory, "disableOOMKiller", disable_oom_killer, zl_type_bool),
        OPT(memory, "useHierarchy", use_hierarchy, zl_type_bool),
        OPT(memory, "checkBeforeUpdate", check_before_update, zl_type_bool),
};
TYPE(memory);

static const struct zl_field cpu_fields[] = {
        OPT(cpu, "shares", shares, zl_type_u64),
        OPT(cpu, "quota", quota, zl_type_i64),
        OPT(cpu, "burst", burst, zl_type_u64),
        OPT(cpu, "period", period, zl_type_u64),
        OPT(cpu, "realtimeRuntime", realtime_runtime, zl_type_i64),
        OPT(cpu, "realtimePeriod", realtime_period, zl_type_u64),
        OPT(cpu, "idle", idle, zl_type_i64),
        STR(cpu, "cpus", cpus),
        STR(cpu, "mems", mems),
};
TYPE(cpu);

static const struct zl_field weight_device_fields[] = {
        REQ(weight_device, "major", major, zl_type_i64),
        REQ(weight_device, "minor", minor, zl_type_i64),
        OPT(weight_device, "weight", weight, zl_type_u16),
        OPT(weight_device, "leafWeight", leaf_weight, zl_type_u16),
};
TYPE_AND_LIST(weight_device);

static const struct zl_field throttle_device_fields[] = {
        REQ(throttle_device, "major", major, zl_type_i64),
        REQ(throttle_device, "minor", minor, zl_type_i64),
        REQ(throttle_device, "rate", rate, zl_type_u64),
};
TYPE_AND_LIST(throttle_device);

static const struct zl_field block_io_fields[] = {
        OPT(block_io, "weight", weight, zl_type_u16),
        OPT(block_io, "leafWeight", leaf_weight, zl_type_u16),
        LIST(block_io, "weightDevice", weight_device, weight_devices_type),
        LIST(block_io, "throttleReadBpsDevice", throttle_read_bps_device, throttle_devices_type),
        LIST(block_io, "throttleWriteBpsDevice", throttle_write_bps_device, throttle_devices_type),
        LIST(block_io, "throttleReadIOPSDevice", throttle_read_iops_device, throttle_devices_type),
        LIST(block_io, "throttleWriteIOPSDevice", throttle_write_iops_device,
             throttle_devices_type),
};
TYPE(block_io);

static const struct zl_field hugepage_limit_fields[] = {
        REQ(hugepage_limit, "pageSize", page_size, zl_type_str),
        REQ(hugepage_limit, "limit", limit, zl_type_u64),
};
TYPE_AND_LIST(hugepage_limit);

static const struct zl_field interface_priority_fields[] = {
        REQ(interface_priority, "name", name, zl_type_str),
        REQ(interface_priority, "priority", priority, zl_type_u32),
};
TYPE_AND_LIST(interface_priority);

static const struct zl_field net_cls_fields[] = {
        OPT(net_cls, "classID", class_id, zl_type_u32),
        LIST(net_cls, "priorities", priorities, interface_prioritys_type),
};
TYPE(net_cls);

static const struct zl_field rdma_limit_fields[] = {
        OPT(rdma_limit, "hcaHandles", hca_handles, zl_type_u32),
        OPT(rdma_limit, "hcaObjects", hca_objects, zl_type_u32),
};
TYPE(rdma_limit);
static const struct zl_type rdma_type = ZL_TYPE_MAP(struct zl_oci_rdma, limit, rdma_limit_type);

static const struct zl_field pids_fields[] = {
        OPT(pids, "limit", limit, zl_type_i64),
};
TYPE(pids);

static const struct zl_field resources_fields[] = {
        LIST(resources, "devices", devices, device_rules_type),
        PTR(resources, "memory", memory, memory_type),
        PTR(resources, "cpu", cpu, cpu_type),
        PTR(resources, "pids", pids, pids_type),
        PTR(resources, "blockIO", block_io, block_io_type),
        LIST(resources, "hugepageLimits", hugepage_limits, hugepage_limits_type),
        PTR(resources, "network", network, net_cls_type),
        LIST(resources, "rdma", rdma, rdma_type),
        F(resources, "unified", unified, zl_type_str_map),
};
TYPE(resources);

/* --- the rest of linux ---------------------------------------------------------------------------------------- */

static const struct zl_field namespace_fields[] = {
        REQ(namespace, "type", type, zl_type_str),
        STR(namespace, "path", path),
};
TYPE_AND_LIST(namespace);

static const struct zl_field device_fields[] = {
        REQ(device, "type", type, zl_type_str),
        REQ(device, "path", path, zl_type_str),
        OPT(device, "major", major, zl_type_i64),
        OPT(device, "minor", minor, zl_type_i64),
        OPT(device, "fileMode", file_mode, zl_type_u32),
        OPT(device, "uid", uid, zl_type_u32),
        OPT(device, "gid", gid, zl_type_u32),
};
TYPE_AND_LIST(device);

static const struct zl_field net_device_target_fields[] = {
        STR(net_device_target, "name", name),
};
TYPE(net_device_target);
static const struct zl_type net_devices_type = ZL_TYPE_MAP(struct zl_oci_net_device, target,
                                                           net_device_target_type);

static const struct zl_field seccomp_arg_fields[] = {
        REQ(seccomp_arg, "index", index, zl_type_u32),
        REQ(seccomp_arg, "value", value, zl_type_u64),
        NUM(seccomp_arg, "valueTwo", value_two, zl_type_u64),
        REQ(seccomp_arg, "op", op, zl_type_str),
};
TYPE_AND_LIST(seccomp_arg);

static const struct zl_field seccomp_rule_fields[] = {
        STRV(seccomp_rule, "names", names),
        REQ(seccomp_rule, "action", action, zl_type_str),
        OPT(seccomp_rule, "errnoRet", errno_ret, zl_type_u32),
        LIST(seccomp_rule, "args", args, seccomp_args_type),
};
TYPE_AND_LIST(seccomp_rule);

static const struct zl_field seccomp_fields[] = {
        REQ(seccomp, "defaultAction", default_action, zl_type_str),
        OPT(seccomp, "defaultErrnoRet", default_errno_ret, zl_type_u32),
        STRV(seccomp, "architectures", architectures),
        STRV(seccomp, "flags", flags),
        STR(seccomp, "listenerPath", listener_path),
        STR(seccomp, "listenerMetadata", listener_metadata),
        LIST(seccomp, "syscalls", syscalls, seccomp_rules_type),
};
TYPE(seccomp);

static const struct zl_field personality_fields[] = {
        REQ(personality, "domain", domain, zl_type_str),
        STRV(personality, "flags", flags),
};
TYPE(personality);

static const struct zl_field intel_rdt_fields[] = {
        STR(intel_rdt, "closID", clos_id),
        STR(intel_rdt, "l3CacheSchema", l3_cache_schema),
        STR(intel_rdt, "memBwSchema", mem_bw_schema),
        STRV(intel_rdt, "schemata", schemata),
        BOOL(intel_rdt, "enableMonitoring", enable_monitoring),
};
TYPE(intel_rdt);

static const struct zl_field time_span_fields[] = {
        NUM(time_span, "secs", secs, zl_type_i64),
        NUM(time_span, "nanosecs", nanosecs, zl_type_u32),
};
TYPE(time_span);
static const struct zl_type time_offsets_type = ZL_TYPE_MAP(struct zl_oci_time_offset, offset,
                                                            time_span_type);

static const struct zl_field memory_policy_fields[] = {
        STR(memory_policy, "mode", mode),
        STR(memory_policy, "nodes", nodes),
        STRV(memory_policy, "flags", flags),
};
TYPE(memory_policy);

static const struct zl_field linux__fields[] = {
        ZL_FIELD(struct zl_oci_linux, "uidMappings", uid_mappings, id_maps_type,
                 ZL_COUNT(struct zl_oci_linux, n_uid_mappings)),
        LIST(linux, "gidMappings", gid_mappings, id_maps_type),
        F(linux, "sysctl", sysctl, zl_type_str_map),
        PTR(linux, "resources", resources, resources_type),
        STR(linux, "cgroupsPath", cgroups_path),
        LIST(linux, "namespaces", namespaces, namespaces_type),
        LIST(linux, "devices", devices, devices_type),
        LIST(linux, "netDevices", net_devices, net_devices_type),
        PTR(linux, "seccomp", seccomp, seccomp_type),
        STR(linux, "rootfsPropagation", rootfs_propagation),
        STRV(linux, "maskedPaths", masked_paths),
        STRV(linux, "readonlyPaths", readonly_paths),
        STR(linux, "mountLabel", mount_label),
        PTR(linux, "intelRdt", intel_rdt, intel_rdt_type),
        PTR(linux, "memoryPolicy", memory_policy, memory_policy_type),
        PTR(linux, "personality", personality, personality_type),
        LIST(linux, "timeOffsets", time_offsets, time_offsets_type),
};
static const struct zl_type linux__type = ZL_TYPE_STRUCT(struct zl_oci_linux, "linux",
                                                         linux__fields, .ignore_unknown = true);

static const struct zl_field config_fields[] = {
        REQ(config, "ociVersion", oci_version, zl_type_str),
        PTR(config, "root", root, root_type),
        PTR(config, "process", process, process_type),
        STR(config, "hostname", hostname),
        STR(config, "domainname", domainname),
        LIST(config, "mounts", mounts, mounts_type),
        PTR(config, "hooks", hooks, hooks_type),
        F(config, "annotations", annotations, zl_type_str_map),
        PTR(config, "linux", linux_, linux__type),
};
TYPE(config);
static const struct zl_type without_calls_type = ZL_TYPE_STRUCT(
        struct zl_oci_config, "config", config_fields, .ignore_unknown = true,
        .passed_over = "syscalls");

/* --- functions -------------------------------------------------------------------------------------------------- */

/* zl-size: zl_oci_config_parse() by one of two tables */
static int parse(const struct zl_type *type, const char *text, size_t len, const char *what,
                 struct zl_oci_config **ret, struct zl_error *err)
{
        struct zl_arena *arena = zl_arena_new(0);
        struct zl_oci_config *config;
        int r;

        if (!arena)
                return zl_fail_oom(err);
        config = zl_arena_alloc(arena, sizeof *config);
        r = config ? zl_schema_read_json(type, text, len, what, arena, config, err)
                   : zl_fail_oom(err);
        if (r < 0) {
                zl_arena_free(arena);
                return r;
        }
        config->arena = arena;
        *ret = config;
        return 0;
}

int zl_oci_config_parse(const char *text, size_t len, const char *what, struct zl_oci_config **ret,
                        struct zl_error *err)
{
        return parse(&config_type, text, len, what, ret, err);
}

static int load_at(const struct zl_type *type, int dirfd, const char *path,
                   struct zl_oci_config **ret, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_read_file_at(dirfd, path, ZL_OCI_CONFIG_MAX, &text, &len);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", path);
        return parse(type, text, len, path, ret, err);
}

int zl_oci_config_load_at(int dirfd, const char *path, struct zl_oci_config **ret,
                          struct zl_error *err)
{
        return load_at(&config_type, dirfd, path, ret, err);
}

int zl_oci_config_load_without_calls_at(int dirfd, const char *path, struct zl_oci_config **ret,
                                        struct zl_error *err)
{
        return load_at(&without_calls_type, dirfd, path, ret, err);
}

int zl_oci_process_parse(const char *text, size_t len, const char *what, struct zl_arena *arena,
                         struct zl_oci_process *ret, struct zl_error *err)
{
        return zl_schema_read_json(&process_type, text, len, what, arena, ret, err);
}

int zl_oci_resources_parse(const char *text, size_t len, const char *what, struct zl_arena *arena,
                           struct zl_oci_resources *ret, struct zl_error *err)
{
        return zl_schema_read_json(&resources_type, text, len, what, arena, ret, err);
}

static int dump(const struct zl_type *type, const void *object, char **ret, struct zl_error *err)
{
        char *text = zl_schema_dump_json(type, object, 0);

        if (!text)
                return zl_fail_oom(err);
        *ret = text;
        return 0;
}

int zl_oci_config_dump(const struct zl_oci_config *config, char **ret, struct zl_error *err)
{
        return dump(&config_type, config, ret, err);
}

int zl_oci_process_dump(const struct zl_oci_process *process, char **ret, struct zl_error *err)
{
        return dump(&process_type, process, ret, err);
}

int zl_oci_config_compact(struct zl_oci_config **config, struct zl_error *err)
{
        struct zl_oci_config *copy = calloc(1, sizeof(*copy));

        if (!copy || zl_schema_copy(&config_type, *config, copy) < 0) {
                free(copy);
                return zl_fail_oom(err);
        }
        copy->arena = NULL;
        zl_oci_config_free(*config);
        *config = copy;
        return 0;
}

void zl_oci_config_free(struct zl_oci_config *config)
{
        if (!config)
                return;
        if (config->arena) {
                zl_arena_free(config->arena);
                return;
        }
        zl_schema_free(&config_type, config);
        free(config);
}
