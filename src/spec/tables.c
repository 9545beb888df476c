/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spec as tables: every field of every struct with its type, default, aliases and what is written when it is empty
 * (spec §7, §8, §11). This is the only place that knows the names of the fields; the decoder, the encoder and the
 * JSON Schema all read it. The order is the canonical order of output.
 */
#include "spec/tables.h"

/* ---- defaults that are structs, and advice for keys of other tools ---------------------------------------- */

#define SCALE_DEFAULT "{\"mode\":\"adaptive\",\"min\":1,\"max\":10,\"cooldown\":\"30s\"}"
#define HEALTH_DEFAULT "{\"start_grace\":\"5s\",\"check\":{\"type\":\"tcp\",\"port\":0}}"

static const struct zl_key_hint image_hints[] = {
        { "tag", "the tag is a part of name: 'name: repository:tag'" },
        { "policy", "did you mean 'pull_policy'?" },
        { NULL, NULL },
};
static const struct zl_key_hint command_hints[] = {
        { "cmd", "did you mean 'args'?" },
        { "command", "did you mean 'entrypoint'?" },
        { "cwd", "did you mean 'workdir'?" },
        { "working_dir", "did you mean 'workdir'?" },
        { NULL, NULL },
};
static const struct zl_key_hint resources_hints[] = {
        { "cpus", "did you mean 'cpu'?" },
        { "mem", "did you mean 'memory'?" },
        { "memory_limit", "did you mean 'memory'?" },
        { NULL, NULL },
};
static const struct zl_key_hint health_hints[] = {
        { "start_period", "did you mean 'start_grace'?" },
        { "test", "did you mean 'check: {type: command, command: ...}'?" },
        { NULL, NULL },
};
static const struct zl_key_hint service_hints[] = {
        { "volumes", "mounts are listed under 'storage', for example "
                     "'storage: [{type: bind, source: /a, target: /b}]'" },
        { "ports", "use 'port_mappings: [{host_port: 8080, container_port: 80}]'" },
        { "environment", "did you mean 'env'?" },
        { "networks", "use 'network_mode: bridge:NAME'" },
        { "depends_on", "use 'depends: [{service: NAME}]'" },
        { "healthcheck", "use 'health: {check: {type: tcp, port: 80}}'" },
        { "restart", "use 'restart_policy: {kind: always}'" },
        { "replicas", "use 'scale: {mode: fixed, replicas: 2}'" },
        { "runtime", "the kind of workload is told by 'service_type'" },
        { "entrypoint", "use 'command: {entrypoint: [...]}'" },
        { "args", "use 'command: {args: [...]}'" },
        { "workdir", "use 'command: {workdir: /path}'" },
        { "name", "the name of a service is its key under 'services'" },
        { "serviceType", "did you mean 'service_type'?" },
        { "read_only", "did you mean 'read_only_root_fs'?" },
        { "<<", "merge keys are not supported; repeat the fields or use an alias for a whole map" },
        { NULL, NULL },
};
static const struct zl_key_hint deployment_hints[] = {
        { "name", "did you mean 'deployment'?" },
        { NULL, NULL },
};

/* ---- enums --------------------------------------------------------------------------------------------- */

static const struct zl_enum_item rtype_items[] = {
        { "service", ZL_RTYPE_SERVICE },
        { "job", ZL_RTYPE_JOB },
        { "cron", ZL_RTYPE_CRON },
};
static const struct zl_type rtype_type = ZL_TYPE_ENUM("Rtype", rtype_items);

static const struct zl_enum_item service_type_items[] = {
        { "standard", ZL_SERVICE_STANDARD },
        { "wasm_http", ZL_SERVICE_WASM_HTTP },
        { "wasm_plugin", ZL_SERVICE_WASM_PLUGIN },
        { "wasm_transformer", ZL_SERVICE_WASM_TRANSFORMER },
        { "wasm_authenticator", ZL_SERVICE_WASM_AUTHENTICATOR },
        { "wasm_rate_limiter", ZL_SERVICE_WASM_RATE_LIMITER },
        { "wasm_middleware", ZL_SERVICE_WASM_MIDDLEWARE },
        { "wasm_router", ZL_SERVICE_WASM_ROUTER },
        { "job", ZL_SERVICE_JOB },
};
static const struct zl_type service_type_type = ZL_TYPE_ENUM("ServiceType", service_type_items);

static const struct zl_enum_item node_mode_items[] = {
        { "shared", ZL_NODE_MODE_SHARED },
        { "dedicated", ZL_NODE_MODE_DEDICATED },
        { "exclusive", ZL_NODE_MODE_EXCLUSIVE },
};
static const struct zl_type node_mode_type = ZL_TYPE_ENUM("NodeMode", node_mode_items);

static const struct zl_enum_item transport_items[] = {
        { "tcp", ZL_TRANSPORT_TCP },
        { "udp", ZL_TRANSPORT_UDP },
};
static const struct zl_type transport_type = ZL_TYPE_ENUM("Transport", transport_items);

static const struct zl_enum_item gpu_scheduling_items[] = {
        { "best-effort", ZL_GPU_BEST_EFFORT },
        { "gang", ZL_GPU_GANG },
        { "spread", ZL_GPU_SPREAD },
};
static const struct zl_type gpu_scheduling_type = ZL_TYPE_ENUM("GpuScheduling",
                                                               gpu_scheduling_items);

static const struct zl_enum_item gpu_sharing_items[] = {
        { "exclusive", ZL_GPU_EXCLUSIVE },
        { "mps", ZL_GPU_MPS },
        { "time-slice", ZL_GPU_TIME_SLICE },
};
static const struct zl_type gpu_sharing_type = ZL_TYPE_ENUM("GpuSharing", gpu_sharing_items);

static const struct zl_enum_item condition_items[] = {
        { "started", ZL_DEPENDS_STARTED },
        { "healthy", ZL_DEPENDS_HEALTHY },
        { "ready", ZL_DEPENDS_READY },
};
static const struct zl_type condition_type = ZL_TYPE_ENUM("DependsCondition", condition_items);

static const struct zl_enum_item on_fault_items[] = {
        { "fail", ZL_ON_FAULT_FAIL },
        { "warn", ZL_ON_FAULT_WARN },
        { "continue", ZL_ON_FAULT_CONTINUE },
};
static const struct zl_type on_fault_type = ZL_TYPE_ENUM("OnFault", on_fault_items);

static const struct zl_enum_item init_failure_items[] = {
        { "fail", ZL_INIT_FAILURE_FAIL },
        { "restart", ZL_INIT_FAILURE_RESTART },
        { "backoff", ZL_INIT_FAILURE_BACKOFF },
};
static const struct zl_type init_failure_type = ZL_TYPE_ENUM("InitFailure", init_failure_items);

static const struct zl_enum_item panic_action_items[] = {
        { "restart", ZL_PANIC_RESTART },
        { "shutdown", ZL_PANIC_SHUTDOWN },
        { "isolate", ZL_PANIC_ISOLATE },
};
static const struct zl_type panic_action_type = ZL_TYPE_ENUM("PanicAction", panic_action_items);

static const struct zl_enum_item tier_items[] = {
        { "local", ZL_TIER_LOCAL },
        { "cached", ZL_TIER_CACHED },
        { "network", ZL_TIER_NETWORK },
};
static const struct zl_type tier_type = ZL_TYPE_ENUM("StorageTier", tier_items);

static const struct zl_enum_item restart_kind_items[] = {
        { "no", ZL_RESTART_NO },
        { "always", ZL_RESTART_ALWAYS },
        { "unless_stopped", ZL_RESTART_UNLESS_STOPPED },
        { "on_failure", ZL_RESTART_ON_FAILURE },
};
static const struct zl_type restart_kind_type = ZL_TYPE_ENUM("RestartKind", restart_kind_items);

static const struct zl_enum_item os_items[] = {
        { "linux", ZL_OS_LINUX },
        { "windows", ZL_OS_WINDOWS },
        { "macos", ZL_OS_MACOS },
};
static const struct zl_type os_type = ZL_TYPE_ENUM("Os", os_items);

static const struct zl_enum_item arch_items[] = {
        { "amd64", ZL_ARCH_AMD64 },
        { "arm64", ZL_ARCH_ARM64 },
};
static const struct zl_type arch_type = ZL_TYPE_ENUM("Arch", arch_items);

static const struct zl_enum_item pull_policy_items[] = {
        { "always", ZL_PULL_ALWAYS },
        { "newer", ZL_PULL_NEWER },
        { "if_not_present", ZL_PULL_IF_NOT_PRESENT },
        { "never", ZL_PULL_NEVER },
};
static const struct zl_type pull_policy_type = ZL_TYPE_ENUM("PullPolicy", pull_policy_items);

/* ---- image, command, resources ------------------------------------------------------------------------------- */

static const struct zl_field image_fields[] = {
        F(zl_image_spec, name, zl_image_name_type, .flags = ZL_REQUIRED,
          DOC("Image reference; docker.io and the tag latest are the defaults.")),
        F(zl_image_spec, pull_policy, pull_policy_type, .def = "if_not_present",
          DOC("When to look for the image at its registry.")),
};
static const struct zl_type image_type = ZL_TYPE_STRUCT(struct zl_image_spec, "Image", image_fields,
                                                        .key_hints = image_hints);

static const struct zl_field command_fields[] = {
        F(zl_command_spec, entrypoint, zl_type_strv, .flags = ZL_OPTIONAL,
          DOC("Replaces the ENTRYPOINT and CMD of the image.")),
        F(zl_command_spec, args, zl_type_strv, .flags = ZL_OPTIONAL,
          DOC("Replaces the CMD of the image; given alone, the ENTRYPOINT of the image stays.")),
        F(zl_command_spec, workdir, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Working directory; default is that of the image, else /.")),
};
static const struct zl_type command_type = ZL_TYPE_STRUCT(
        struct zl_command_spec, "Command", command_fields, .key_hints = command_hints);

static const struct zl_field distributed_fields[] = {
        F(zl_distributed_spec, backend, zl_type_str, .def = "nccl",
          DOC("Communication library: nccl, gloo or mpi.")),
        F(zl_distributed_spec, master_port, zl_type_u16, .def = "29500",
          DOC("Port of the first worker.")),
};
static const struct zl_type distributed_type = ZL_TYPE_STRUCT(struct zl_distributed_spec,
                                                              "GpuDistributed", distributed_fields);

static const struct zl_field gpu_fields[] = {
        F(zl_gpu_spec, count, zl_type_u32, .def = "1", DOC("Number of devices.")),
        F(zl_gpu_spec, vendor, zl_type_str, .def = "nvidia", DOC("nvidia, amd, intel or apple.")),
        F(zl_gpu_spec, mode, zl_type_str, .flags = ZL_OPTIONAL, DOC("native or vm (macOS only).")),
        F(zl_gpu_spec, model, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Part of the wanted model's name.")),
        OPT(zl_gpu_spec, scheduling, gpu_scheduling_type,
            DOC("How a group of replicas is placed.")),
        F(zl_gpu_spec, distributed, distributed_type, .flags = ZL_PTR,
          DOC("Environment for distributed training.")),
        OPT(zl_gpu_spec, sharing, gpu_sharing_type, DOC("How one device is shared.")),
};
static const struct zl_type gpu_type = ZL_TYPE_STRUCT(struct zl_gpu_spec, "Gpu", gpu_fields);

static const struct zl_field resources_fields[] = {
        OPT(zl_resources_spec, cpu, zl_type_f64, .flags = ZL_OUT_NULL, DOC("Cores, more than 0.")),
        F(zl_resources_spec, memory, zl_type_str, .flags = ZL_OPTIONAL | ZL_OUT_NULL,
          DOC("Limit of memory: a whole number with Ki, Mi, Gi or Ti.")),
        F(zl_resources_spec, gpu, gpu_type, .flags = ZL_PTR, DOC("Graphics processors.")),
        OPT(zl_resources_spec, pids_limit, zl_type_i64, DOC("Most processes and threads.")),
        F(zl_resources_spec, cpuset, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("List of cores, such as 0-3,7.")),
        OPT(zl_resources_spec, cpu_shares, zl_type_u32,
            DOC("Weight against other containers; 1024 is normal.")),
        F(zl_resources_spec, memory_swap, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Limit of memory and swap together; -1 is unlimited.")),
        F(zl_resources_spec, memory_reservation, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Memory kept for this container when it gets scarce.")),
        OPT(zl_resources_spec, memory_swappiness, zl_type_u8, DOC("0 to 100.")),
        OPT(zl_resources_spec, oom_score_adj, zl_type_i32,
            DOC("-1000 (killed last) to 1000 (killed first) when memory runs out.")),
        OPT(zl_resources_spec, oom_kill_disable, zl_type_bool,
            DOC("Let processes wait instead of killing them when the limit is reached.")),
        OPT(zl_resources_spec, blkio_weight, zl_type_u16,
            DOC("Weight of disk access, 10 to 1000.")),
};
static const struct zl_type resources_type = ZL_TYPE_STRUCT(
        struct zl_resources_spec, "Resources", resources_fields, .key_hints = resources_hints);

/* ---- scale --------------------------------------------------------------------------------------------------- */

static const struct zl_field scale_fixed_fields[] = {
        F(zl_scale_spec, replicas, zl_type_u32, .flags = ZL_REQUIRED, DOC("How many.")),
};

static const struct zl_field scale_targets_fields[] = {
        OPT(zl_scale_targets, cpu, zl_type_u8, .flags = ZL_OUT_NULL,
            DOC("Percent of the processor.")),
        OPT(zl_scale_targets, memory, zl_type_u8, .flags = ZL_OUT_NULL, DOC("Percent of memory.")),
        OPT(zl_scale_targets, rps, zl_type_u32, .flags = ZL_OUT_NULL,
            DOC("Requests per second and replica.")),
};
static const struct zl_type scale_targets_type = ZL_TYPE_STRUCT(
        struct zl_scale_targets, "ScaleTargets", scale_targets_fields);

static const struct zl_field scale_adaptive_fields[] = {
        F(zl_scale_spec, min, zl_type_u32, .flags = ZL_REQUIRED,
          DOC("Fewest replicas, and how many to begin with.")),
        F(zl_scale_spec, max, zl_type_u32, .flags = ZL_REQUIRED, DOC("Most replicas.")),
        OPT(zl_scale_spec, cooldown, zl_duration_type, .flags = ZL_OUT_NULL,
            DOC("Time between two changes; absent: 30s.")),
        F(zl_scale_spec, targets, scale_targets_type, DOC("What to keep below.")),
};

static const struct zl_variant scale_variants[] = {
        { "fixed", ZL_SCALE_FIXED, scale_fixed_fields, ZL_ARRAY_SIZE(scale_fixed_fields), false,
          "Always the same number of replicas." },
        { "adaptive", ZL_SCALE_ADAPTIVE, scale_adaptive_fields,
          ZL_ARRAY_SIZE(scale_adaptive_fields), false, "Between two bounds, by load." },
        { "manual", ZL_SCALE_MANUAL, NULL, 0, true, "Begins with one; changed by hand." },
};
static const struct zl_type scale_type = ZL_TYPE_UNION(struct zl_scale_spec, "Scale", "mode", mode,
                                                       scale_variants);

/* ---- depends, health, init, errors, lifecycle ---------------------------------------------------------------- */

static const struct zl_field depend_fields[] = {
        F(zl_depends_spec, service, zl_type_str, .flags = ZL_REQUIRED,
          DOC("Name of a service of this file.")),
        F(zl_depends_spec, condition, condition_type, .def = "healthy", DOC("What to wait for.")),
        OPT(zl_depends_spec, timeout, zl_duration_type, .def = "300s", .flags = ZL_OUT_NULL,
            DOC("How long to wait.")),
        F(zl_depends_spec, on_timeout, on_fault_type, .def = "fail", DOC("What to do then.")),
};
static const struct zl_type depend_type = ZL_TYPE_STRUCT(struct zl_depends_spec, "Depends",
                                                         depend_fields);

static const struct zl_type depends_type = ZL_TYPE_LIST(depend_type);

static const struct zl_field health_tcp_fields[] = {
        F(zl_health_check, port, zl_type_u16, .flags = ZL_REQUIRED,
          DOC("Port to connect to; 0: that of the first endpoint.")),
};

static const struct zl_field health_http_fields[] = {
        F(zl_health_check, url, zl_type_str, .flags = ZL_REQUIRED, DOC("Address to get.")),
        F(zl_health_check, expect_status, zl_type_u16, .def = "200",
          DOC("Status that counts as healthy.")),
};

static const struct zl_field health_command_fields[] = {
        F(zl_health_check, command, zl_type_str, .flags = ZL_REQUIRED,
          DOC("Command line for sh -c.")),
};

static const struct zl_variant health_check_variants[] = {
        { "tcp", ZL_HEALTH_TCP, health_tcp_fields, ZL_ARRAY_SIZE(health_tcp_fields), true,
          "A connection can be made." },
        { "http", ZL_HEALTH_HTTP, health_http_fields, ZL_ARRAY_SIZE(health_http_fields), true,
          "A request gets the expected status." },
        { "command", ZL_HEALTH_COMMAND, health_command_fields, ZL_ARRAY_SIZE(health_command_fields),
          true, "A command ends with 0." },
};
static const struct zl_type health_check_type = ZL_TYPE_UNION(struct zl_health_check, "HealthCheck",
                                                              "type", type, health_check_variants);

static const struct zl_field health_fields[] = {
        OPT(zl_health_spec, start_grace, zl_duration_type, .flags = ZL_OUT_NULL,
            DOC("Time before the first check; absent: 5s.")),
        OPT(zl_health_spec, interval, zl_duration_type, .flags = ZL_OUT_NULL,
            DOC("Time between checks; absent: 10s.")),
        OPT(zl_health_spec, timeout, zl_duration_type, .flags = ZL_OUT_NULL,
            DOC("Longest time of one check; absent: 5s.")),
        F(zl_health_spec, retries, zl_type_u32, .def = "3",
          DOC("Failures in a row until the interval grows.")),
        F(zl_health_spec, check, health_check_type, .flags = ZL_REQUIRED, DOC("What is checked.")),
};
static const struct zl_type health_type = ZL_TYPE_STRUCT(struct zl_health_spec, "Health",
                                                         health_fields, .key_hints = health_hints);

static const struct zl_field init_step_fields[] = {
        F(zl_init_step, id, zl_type_str, .flags = ZL_REQUIRED, DOC("Name of the step.")),
        F(zl_init_step, uses, zl_type_str, .flags = ZL_REQUIRED,
          DOC("Action: init.wait_tcp, init.wait_http, init.run, init.s3_push, init.s3_pull.")),
        F(zl_init_step, with, zl_json_map_type, .def = "{}", DOC("Parameters of the action.")),
        OPT(zl_init_step, retry, zl_type_u32, .flags = ZL_OUT_NULL, DOC("How often to try again.")),
        OPT(zl_init_step, timeout, zl_duration_type, .flags = ZL_OUT_NULL,
            DOC("Longest time of the step; absent: 300s.")),
        F(zl_init_step, on_failure, on_fault_type, .def = "fail",
          DOC("What to do when the step fails.")),
};
static const struct zl_type init_step_type = ZL_TYPE_STRUCT(struct zl_init_step, "InitStep",
                                                            init_step_fields);

static const struct zl_type init_steps_type = ZL_TYPE_LIST(init_step_type);

static const struct zl_field init_fields[] = {
        F(zl_init_spec, steps, init_steps_type, COUNT(zl_init_spec, steps),
          DOC("Run in order before the start.")),
};
static const struct zl_type init_type = ZL_TYPE_STRUCT(struct zl_init_spec, "Init", init_fields);

static const struct zl_field init_failure_policy_fields[] = {
        F(zl_init_failure_policy, action, init_failure_type, .def = "fail", DOC("What to do.")),
};
static const struct zl_type init_failure_policy_type = ZL_TYPE_STRUCT(
        struct zl_init_failure_policy, "InitFailurePolicy", init_failure_policy_fields);

static const struct zl_field panic_policy_fields[] = {
        F(zl_panic_policy, action, panic_action_type, .def = "restart", DOC("What to do.")),
};
static const struct zl_type panic_policy_type = ZL_TYPE_STRUCT(struct zl_panic_policy,
                                                               "PanicPolicy", panic_policy_fields);

static const struct zl_field errors_fields[] = {
        F(zl_errors_spec, on_init_failure, init_failure_policy_type,
          DOC("When an init step fails.")),
        F(zl_errors_spec, on_panic, panic_policy_type, DOC("When the process ends with an error.")),
};
static const struct zl_type errors_type = ZL_TYPE_STRUCT(struct zl_errors_spec, "Errors",
                                                         errors_fields);

static const struct zl_field lifecycle_fields[] = {
        F(zl_lifecycle_spec, delete_on_exit, zl_type_bool, .def = "false",
          DOC("Remove the container when it has ended.")),
};
static const struct zl_type lifecycle_type = ZL_TYPE_STRUCT(struct zl_lifecycle_spec, "Lifecycle",
                                                            lifecycle_fields);

/* ---- devices, storage, ports --------------------------------------------------------------------------------- */

static const struct zl_field device_fields[] = {
        F(zl_device_spec, path, zl_type_str, .flags = ZL_REQUIRED,
          DOC("Device file on the host; the same path inside. Or a CDI name, VENDOR/CLASS=NAME.")),
        F(zl_device_spec, read, zl_type_bool, .def = "true", DOC("May be read.")),
        F(zl_device_spec, write, zl_type_bool, .def = "true", DOC("May be written.")),
        F(zl_device_spec, mknod, zl_type_bool, .def = "false", DOC("May be made by mknod.")),
};
static const struct zl_type device_type = ZL_TYPE_STRUCT(struct zl_device_spec, "Device",
                                                         device_fields);

static const struct zl_type devices_type = ZL_TYPE_LIST(device_type);

static const struct zl_field storage_bind_fields[] = {
        F(zl_storage_spec, source, zl_type_str, .flags = ZL_REQUIRED,
          DOC("Directory or file on the host.")),
        F(zl_storage_spec, target, zl_type_str, .flags = ZL_REQUIRED, DOC("Where it appears.")),
        F(zl_storage_spec, readonly, zl_type_bool, .def = "false", DOC("May not be written.")),
};

static const struct zl_field storage_named_fields[] = {
        F(zl_storage_spec, name, zl_type_str, .flags = ZL_REQUIRED, DOC("Name of the volume.")),
        F(zl_storage_spec, target, zl_type_str, .flags = ZL_REQUIRED, DOC("Where it appears.")),
        F(zl_storage_spec, readonly, zl_type_bool, .def = "false", DOC("May not be written.")),
        F(zl_storage_spec, tier, tier_type, .def = "local", DOC("Where it is kept.")),
        F(zl_storage_spec, size, zl_type_str, .flags = ZL_OPTIONAL, DOC("Wished size.")),
};

static const struct zl_field storage_anonymous_fields[] = {
        F(zl_storage_spec, target, zl_type_str, .flags = ZL_REQUIRED, DOC("Where it appears.")),
        F(zl_storage_spec, tier, tier_type, .def = "local", DOC("Where it is kept.")),
};

static const struct zl_field storage_tmpfs_fields[] = {
        F(zl_storage_spec, target, zl_type_str, .flags = ZL_REQUIRED, DOC("Where it appears.")),
        F(zl_storage_spec, size, zl_type_str, .flags = ZL_OPTIONAL | ZL_OUT_NULL,
          DOC("Most memory it may take.")),
        OPT(zl_storage_spec, mode, zl_type_u32, .flags = ZL_OUT_NULL,
            DOC("Permissions as a number; write 0o1777 for octal.")),
};

static const struct zl_field storage_s3_fields[] = {
        F(zl_storage_spec, bucket, zl_type_str, .flags = ZL_REQUIRED, DOC("Name of the bucket.")),
        F(zl_storage_spec, prefix, zl_type_str, .flags = ZL_OPTIONAL | ZL_OUT_NULL,
          DOC("Only keys that begin so.")),
        F(zl_storage_spec, target, zl_type_str, .flags = ZL_REQUIRED, DOC("Where it appears.")),
        F(zl_storage_spec, readonly, zl_type_bool, .def = "false", DOC("May not be written.")),
        F(zl_storage_spec, endpoint, zl_type_str, .flags = ZL_OPTIONAL | ZL_OUT_NULL,
          DOC("Address of the server.")),
        F(zl_storage_spec, credentials, zl_type_str, .flags = ZL_OPTIONAL | ZL_OUT_NULL,
          DOC("Name of a secret.")),
};

static const struct zl_variant storage_variants[] = {
        { "bind", ZL_STORAGE_BIND, storage_bind_fields, ZL_ARRAY_SIZE(storage_bind_fields), false,
          "A directory or file of the host." },
        { "named", ZL_STORAGE_NAMED, storage_named_fields, ZL_ARRAY_SIZE(storage_named_fields),
          false, "A volume that outlives the container." },
        { "anonymous", ZL_STORAGE_ANONYMOUS, storage_anonymous_fields,
          ZL_ARRAY_SIZE(storage_anonymous_fields), false,
          "A volume that goes with the container." },
        { "tmpfs", ZL_STORAGE_TMPFS, storage_tmpfs_fields, ZL_ARRAY_SIZE(storage_tmpfs_fields),
          false, "Memory." },
        { "s3", ZL_STORAGE_S3, storage_s3_fields, ZL_ARRAY_SIZE(storage_s3_fields), false,
          "A bucket of an object store." },
};
static const struct zl_type storage_type = ZL_TYPE_UNION(struct zl_storage_spec, "Storage", "type",
                                                         type, storage_variants);

static const struct zl_type storage_list_type = ZL_TYPE_LIST(storage_type);

static const struct zl_field port_mapping_fields[] = {
        OPT(zl_port_mapping, host_port, zl_type_u16,
            DOC("Port on the host; 0 or absent: any free one.")),
        F(zl_port_mapping, container_port, zl_type_u16, .flags = ZL_REQUIRED,
          DOC("Port in the container.")),
        F(zl_port_mapping, protocol, transport_type, .def = "tcp", DOC("tcp or udp.")),
        F(zl_port_mapping, host_ip, zl_type_str, .def = "0.0.0.0", .flags = ZL_OUT_TEXT,
          DOC("Address on the host.")),
};
static const struct zl_type port_mapping_type = ZL_TYPE_STRUCT(
        struct zl_port_mapping, "PortMapping", port_mapping_fields, .ignore_unknown = true);

static const struct zl_type port_mappings_type = ZL_TYPE_LIST(port_mapping_type);

/* ---- placement, WASM, logs, restart, limits ------------------------------------------------------------------ */

static const struct zl_field node_selector_fields[] = {
        F(zl_node_selector, labels, zl_type_str_map, DOC("Labels a node must have.")),
        F(zl_node_selector, prefer_labels, zl_type_str_map, DOC("Labels a node should have.")),
};
static const struct zl_type node_selector_type = ZL_TYPE_STRUCT(
        struct zl_node_selector, "NodeSelector", node_selector_fields);

static const struct zl_field platform_fields[] = {
        F(zl_platform_spec, os, os_type, .flags = ZL_REQUIRED, DOC("Operating system.")),
        F(zl_platform_spec, arch, arch_type, .flags = ZL_REQUIRED, DOC("Processor.")),
        ZL_FIELD(struct zl_platform_spec, "osVersion", os_version, zl_type_str,
                 .flags = ZL_OPTIONAL, DOC("Version of the operating system.")),
};
static const struct zl_type platform_type = ZL_TYPE_STRUCT(
        struct zl_platform_spec, "TargetPlatform", platform_fields, .ignore_unknown = true);

static const struct zl_field capabilities_fields[] = {
        F(zl_wasm_capabilities, config, zl_type_bool, .def = "true", DOC("Configuration.")),
        F(zl_wasm_capabilities, keyvalue, zl_type_bool, .def = "true", DOC("Key-value store.")),
        F(zl_wasm_capabilities, logging, zl_type_bool, .def = "true", DOC("Logs.")),
        F(zl_wasm_capabilities, secrets, zl_type_bool, .def = "false", DOC("Secrets.")),
        F(zl_wasm_capabilities, metrics, zl_type_bool, .def = "true", DOC("Metrics.")),
        F(zl_wasm_capabilities, http_client, zl_type_bool, .def = "false", DOC("HTTP requests.")),
        F(zl_wasm_capabilities, cli, zl_type_bool, .def = "false",
          DOC("Arguments and standard streams.")),
        F(zl_wasm_capabilities, filesystem, zl_type_bool, .def = "false", DOC("Files.")),
        F(zl_wasm_capabilities, sockets, zl_type_bool, .def = "false", DOC("Sockets.")),
};
static const struct zl_type capabilities_type = ZL_TYPE_STRUCT(
        struct zl_wasm_capabilities, "WasmCapabilities", capabilities_fields);

static const struct zl_field preopen_fields[] = {
        F(zl_wasm_preopen, source, zl_type_str, .flags = ZL_REQUIRED,
          DOC("Directory on the host.")),
        F(zl_wasm_preopen, target, zl_type_str, .flags = ZL_REQUIRED, DOC("Where it appears.")),
        F(zl_wasm_preopen, readonly, zl_type_bool, .def = "false", DOC("May not be written.")),
};
static const struct zl_type preopen_type = ZL_TYPE_STRUCT(struct zl_wasm_preopen, "WasmPreopen",
                                                          preopen_fields);

static const struct zl_type preopens_type = ZL_TYPE_LIST(preopen_type);

static const struct zl_field wasm_fields[] = {
        F(zl_wasm_spec, min_instances, zl_type_u32, .def = "0", DOC("Fewest instances kept.")),
        F(zl_wasm_spec, max_instances, zl_type_u32, .def = "10", DOC("Most instances.")),
        F(zl_wasm_spec, idle_timeout, zl_duration_type, .def = "300s",
          DOC("When an idle instance ends.")),
        F(zl_wasm_spec, request_timeout, zl_duration_type, .def = "30s",
          DOC("Longest time of a request.")),
        F(zl_wasm_spec, max_memory, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Limit of memory: a whole number with Ki, Mi, Gi or Ti.")),
        F(zl_wasm_spec, max_fuel, zl_type_u64, .def = "0", DOC("Most instructions; 0: unlimited.")),
        OPT(zl_wasm_spec, epoch_interval, zl_duration_type,
            DOC("How often a running guest looks whether its time is up.")),
        F(zl_wasm_spec, capabilities, capabilities_type, .flags = ZL_PTR,
          DOC("May only restrict what the service type allows.")),
        F(zl_wasm_spec, allow_http_outgoing, zl_type_bool, .def = "true",
          DOC("HTTP requests to others.")),
        F(zl_wasm_spec, allowed_hosts, zl_type_strv, DOC("Hosts it may talk to; empty: all.")),
        F(zl_wasm_spec, allow_tcp, zl_type_bool, .def = "false", DOC("TCP connections.")),
        F(zl_wasm_spec, allow_udp, zl_type_bool, .def = "false", DOC("UDP datagrams.")),
        F(zl_wasm_spec, preopens, preopens_type, COUNT(zl_wasm_spec, preopens),
          DOC("Directories it sees.")),
        F(zl_wasm_spec, kv_enabled, zl_type_bool, .def = "true", DOC("Give it a key-value store.")),
        F(zl_wasm_spec, kv_namespace, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Name of the store; absent: name of the service.")),
        F(zl_wasm_spec, kv_max_value_size, zl_type_u64, .def = "1048576",
          DOC("Most bytes of a value.")),
        F(zl_wasm_spec, secrets, zl_type_strv, DOC("Names of secrets it may read.")),
        F(zl_wasm_spec, precompile, zl_type_bool, .def = "true",
          DOC("Compile when the image arrives.")),
};
static const struct zl_type wasm_type = ZL_TYPE_STRUCT(struct zl_wasm_spec, "Wasm", wasm_fields);

static const struct zl_field logs_fields[] = {
        F(zl_logs_spec, destination, zl_type_str, .def = "disk", DOC("disk or memory.")),
        F(zl_logs_spec, max_size_bytes, zl_type_u64, .def = "104857600", DOC("Most bytes kept.")),
        F(zl_logs_spec, retention_secs, zl_type_u64, .def = "604800",
          DOC("How long they are kept, in seconds.")),
};
static const struct zl_type logs_type = ZL_TYPE_STRUCT(struct zl_logs_spec, "Logs", logs_fields,
                                                       .ignore_unknown = true);

static const struct zl_field restart_policy_fields[] = {
        F(zl_restart_policy, kind, restart_kind_type, .flags = ZL_REQUIRED,
          DOC("When to restart.")),
        OPT(zl_restart_policy, max_attempts, zl_type_u32, DOC("Most restarts.")),
        F(zl_restart_policy, delay, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Time before a restart.")),
};
static const struct zl_type restart_policy_type = ZL_TYPE_STRUCT(
        struct zl_restart_policy, "RestartPolicy", restart_policy_fields);

static const struct zl_field ulimit_fields[] = {
        F(zl_ulimit_spec, soft, zl_type_i64, .def = "0", DOC("Limit that counts; -1: unlimited.")),
        F(zl_ulimit_spec, hard, zl_type_i64, .def = "0", DOC("How far the process may raise it.")),
};
static const struct zl_type ulimit_type = ZL_TYPE_STRUCT(struct zl_ulimit_spec, "Ulimit",
                                                         ulimit_fields);

static const struct zl_type ulimits_type = ZL_TYPE_MAP(struct zl_ulimit_entry, limit, ulimit_type);

/* ---- the service --------------------------------------------------------------------------------------------- */

static const struct zl_field service_fields[] = {
        F(zl_service_spec, rtype, rtype_type, .def = "service",
          DOC("service: runs on; job: runs when asked; cron: runs by schedule.")),
        F(zl_service_spec, schedule, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Cron text: seconds minutes hours day-of-month month day-of-week [year], UTC.")),
        F(zl_service_spec, image, image_type, .flags = ZL_REQUIRED, DOC("What to run.")),
        F(zl_service_spec, resources, resources_type, DOC("Limits.")),
        F(zl_service_spec, env, zl_type_str_map, .flags = ZL_OUT_ALWAYS,
          DOC("Environment; $E:NAME takes a variable of the host, $S:NAME a secret.")),
        F(zl_service_spec, command, command_type, DOC("What to run in the image.")),
        F(zl_service_spec, network, zl_service_network_type, DOC("Overlay networks.")),
        F(zl_service_spec, endpoints, zl_endpoints_type, COUNT(zl_service_spec, endpoints),
          .flags = ZL_OUT_ALWAYS, DOC("Ports the service offers.")),
        F(zl_service_spec, scale, scale_type, .def = SCALE_DEFAULT, DOC("How many replicas.")),
        F(zl_service_spec, depends, depends_type, COUNT(zl_service_spec, depends),
          .flags = ZL_OUT_ALWAYS, DOC("Services that must run before.")),
        F(zl_service_spec, health, health_type, .def = HEALTH_DEFAULT,
          DOC("How its health is checked.")),
        F(zl_service_spec, init, init_type, DOC("What is done before the start.")),
        F(zl_service_spec, errors, errors_type, DOC("What is done after failures.")),
        F(zl_service_spec, lifecycle, lifecycle_type, DOC("What happens at the end.")),
        F(zl_service_spec, devices, devices_type, COUNT(zl_service_spec, devices),
          .flags = ZL_OUT_ALWAYS, DOC("Devices of the host.")),
        F(zl_service_spec, storage, storage_list_type, COUNT(zl_service_spec, storage),
          DOC("Mounts.")),
        F(zl_service_spec, port_mappings, port_mappings_type, COUNT(zl_service_spec, port_mappings),
          DOC("Ports published on the host.")),
        F(zl_service_spec, capabilities, zl_type_strv, .alias = "cap_add",
          DOC("Linux capabilities to add.")),
        F(zl_service_spec, cap_drop, zl_type_strv, DOC("Linux capabilities to drop.")),
        F(zl_service_spec, privileged, zl_type_bool, .def = "false",
          DOC("All capabilities and devices, nothing masked.")),
        F(zl_service_spec, node_mode, node_mode_type, .def = "shared",
          DOC("How replicas share nodes.")),
        F(zl_service_spec, node_selector, node_selector_type, .flags = ZL_PTR,
          DOC("Which nodes may run it.")),
        F(zl_service_spec, platform, platform_type, .flags = ZL_PTR,
          DOC("Operating system and processor it needs.")),
        F(zl_service_spec, service_type, service_type_type, .def = "standard",
          DOC("What kind of workload it is.")),
        F(zl_service_spec, wasm, wasm_type, .alias = "wasm_http", .flags = ZL_PTR,
          DOC("Options of WASM services.")),
        F(zl_service_spec, logs, logs_type, .flags = ZL_PTR, DOC("How logs are kept.")),
        F(zl_service_spec, host_network, zl_type_bool, .def = "false",
          .flags = ZL_OPTIONAL | ZL_OUT_NEVER, DOC("Old form of network_mode: host.")),
        F(zl_service_spec, hostname, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Name of the host inside.")),
        F(zl_service_spec, dns, zl_type_strv, DOC("Name servers.")),
        F(zl_service_spec, extra_hosts, zl_type_strv,
          DOC("Lines for /etc/hosts: host:ip or host:host-gateway.")),
        F(zl_service_spec, restart_policy, restart_policy_type, .flags = ZL_PTR,
          DOC("When the runtime restarts it.")),
        F(zl_service_spec, labels, zl_type_str_map, DOC("Any texts.")),
        F(zl_service_spec, user, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("User and group: uid[:gid] or names.")),
        F(zl_service_spec, stop_signal, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Signal that asks it to end.")),
        OPT(zl_service_spec, stop_grace_period, zl_duration_type,
            DOC("Time between that and KILL.")),
        F(zl_service_spec, sysctls, zl_type_str_map, DOC("Kernel parameters of its namespaces.")),
        F(zl_service_spec, ulimits, ulimits_type, COUNT(zl_service_spec, ulimits),
          DOC("Resource limits of processes.")),
        F(zl_service_spec, security_opt, zl_type_strv,
          DOC("apparmor=, seccomp=, no-new-privileges:true.")),
        F(zl_service_spec, pid_mode, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("host or container:ID.")),
        F(zl_service_spec, ipc_mode, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("host, shareable, private or container:ID.")),
        F(zl_service_spec, network_mode, zl_network_mode_type, .def = "default",
          DOC("Which network it gets.")),
        F(zl_service_spec, extra_groups, zl_type_strv, DOC("Supplementary groups.")),
        F(zl_service_spec, read_only_root_fs, zl_type_bool, .def = "false",
          DOC("The root may not be written.")),
        OPT(zl_service_spec, init_container, zl_type_bool, DOC("Run a reaper as process 1.")),
        F(zl_service_spec, tty, zl_type_bool, .def = "false", DOC("Give it a terminal.")),
        F(zl_service_spec, stdin_open, zl_type_bool, .def = "false",
          DOC("Keep standard input open.")),
        F(zl_service_spec, userns_mode, zl_type_str, .flags = ZL_OPTIONAL, DOC("host, or absent.")),
        F(zl_service_spec, cgroup_parent, zl_type_str, .flags = ZL_OPTIONAL,
          DOC("Cgroup above its own.")),
        F(zl_service_spec, expose, zl_type_strv, DOC("Ports as documentation: PORT[/proto].")),
};
const struct zl_type zl_service_type_table = ZL_TYPE_STRUCT(
        struct zl_service_spec, "Service", service_fields, .key_hints = service_hints,
        .finish = zl_service_finish);
static const struct zl_type services_type = ZL_TYPE_MAP(struct zl_service_entry, spec,
                                                        zl_service_type_table, .elem_ptr = true);

/* ---- the deployment ------------------------------------------------------------------------------------------ */

static const struct zl_field external_fields[] = {
        F(zl_external_spec, backends, zl_type_strv, .flags = ZL_REQUIRED,
          DOC("Addresses; at least one.")),
        F(zl_external_spec, endpoints, zl_endpoints_type, COUNT(zl_external_spec, endpoints),
          DOC("Ports of the proxy.")),
        F(zl_external_spec, health, health_type, .flags = ZL_PTR,
          DOC("How back ends are checked.")),
};
static const struct zl_type external_type = ZL_TYPE_STRUCT(struct zl_external_spec, "External",
                                                           external_fields);

static const struct zl_type externals_type = ZL_TYPE_MAP(struct zl_external_entry, spec,
                                                         external_type);

static const struct zl_field tunnel_fields[] = {
        F(zl_tunnel_spec, from, zl_type_str, .flags = ZL_REQUIRED, DOC("Node where it begins.")),
        F(zl_tunnel_spec, to, zl_type_str, .flags = ZL_REQUIRED, DOC("Node where it ends.")),
        F(zl_tunnel_spec, local_port, zl_type_u16, .flags = ZL_REQUIRED,
          DOC("Port at the beginning.")),
        F(zl_tunnel_spec, remote_port, zl_type_u16, .flags = ZL_REQUIRED, DOC("Port at the end.")),
        F(zl_tunnel_spec, protocol, transport_type, .def = "tcp", DOC("tcp or udp.")),
        F(zl_tunnel_spec, expose, zl_expose_type, .def = "internal", DOC("Who reaches it.")),
};
static const struct zl_type tunnel_type = ZL_TYPE_STRUCT(struct zl_tunnel_spec, "Tunnel",
                                                         tunnel_fields);

static const struct zl_type tunnels_type = ZL_TYPE_MAP(struct zl_tunnel_entry, spec, tunnel_type);

static const struct zl_field api_fields[] = {
        F(zl_api_spec, enabled, zl_type_bool, .def = "true", DOC("Run the API server.")),
        F(zl_api_spec, bind, zl_type_str, .def = "0.0.0.0:3669", DOC("Address it listens on.")),
        F(zl_api_spec, jwt_secret, zl_type_str, .flags = ZL_OPTIONAL | ZL_OUT_NULL,
          DOC("Key of its tokens.")),
        F(zl_api_spec, swagger, zl_type_bool, .def = "true",
          DOC("Show the documentation of the API.")),
};
static const struct zl_type api_type = ZL_TYPE_STRUCT(struct zl_api_spec, "Api", api_fields,
                                                      .ignore_unknown = true);

static const struct zl_field deployment_fields[] = {
        F(zl_deployment_spec, version, zl_type_str, .flags = ZL_REQUIRED, DOC("Always v1.")),
        F(zl_deployment_spec, deployment, zl_type_str, .flags = ZL_REQUIRED,
          DOC("Name: 3 to 63 letters, digits and hyphens, beginning with a letter or digit.")),
        F(zl_deployment_spec, services, services_type, COUNT(zl_deployment_spec, services),
          .flags = ZL_OUT_ALWAYS, DOC("What runs, by name.")),
        F(zl_deployment_spec, externals, externals_type, COUNT(zl_deployment_spec, externals),
          DOC("Back ends that run elsewhere, by name.")),
        F(zl_deployment_spec, tunnels, tunnels_type, COUNT(zl_deployment_spec, tunnels),
          DOC("Tunnels between nodes, by name.")),
        F(zl_deployment_spec, api, api_type, DOC("The API server.")),
};
const struct zl_type zl_deployment_type = ZL_TYPE_STRUCT(
        struct zl_deployment_spec, "Deployment", deployment_fields, .key_hints = deployment_hints,
        .doc = "A ZLayer deployment spec, version v1.");
