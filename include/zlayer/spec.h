/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deployment specs, version "v1": what a spec file says, as plain structs.
 *
 * Conventions of all structs here
 *  - A string that is optional is NULL when absent; one that is not is never NULL.
 *  - An optional number, flag or enum `x` is valid only if `has_x`.
 *  - An optional struct is a pointer, NULL when absent.
 *  - A list of strings is a NULL-terminated vector; NULL is the empty (or absent) one.
 *  - A list of structs is an array `xs` of `n_xs` elements; a map likewise, its elements carry their `name`, in
 *    the order of the file.
 *  - Durations are nanoseconds. Texts above 292 years are kept as INT64_MAX.
 *  - Everything is malloc()ed piece by piece, so a program may replace a string by free() and strdup(). The
 *    whole is released with zl_spec_free() or zl_service_spec_free().
 *
 * No function here is affected by the locale. Loading blocks on file input only. Different specs may be used by different threads.
 */
#ifndef ZLAYER_SPEC_H
#define ZLAYER_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zlayer/error.h>
#include <zlayer/problem.h>
#include <zlayer/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- building blocks ----------------------------------------------------------------------------- */

struct zl_str_pair {
        char *key, *value;
};

/* Keys are unique; order is that of the file. */
struct zl_str_map {
        struct zl_str_pair *items;
        size_t n;
};

/* ---- enums: the C name is the spelling of the file in capitals ----------------------------------------- */

enum zl_rtype { ZL_RTYPE_SERVICE, ZL_RTYPE_JOB, ZL_RTYPE_CRON };

enum zl_service_type {
        ZL_SERVICE_STANDARD,
        ZL_SERVICE_WASM_HTTP,
        ZL_SERVICE_WASM_PLUGIN,
        ZL_SERVICE_WASM_TRANSFORMER,
        ZL_SERVICE_WASM_AUTHENTICATOR,
        ZL_SERVICE_WASM_RATE_LIMITER,
        ZL_SERVICE_WASM_MIDDLEWARE,
        ZL_SERVICE_WASM_ROUTER,
        ZL_SERVICE_JOB,
};

enum zl_node_mode { ZL_NODE_MODE_SHARED, ZL_NODE_MODE_DEDICATED, ZL_NODE_MODE_EXCLUSIVE };
enum zl_expose { ZL_EXPOSE_PUBLIC, ZL_EXPOSE_INTERNAL };
enum zl_transport { ZL_TRANSPORT_TCP, ZL_TRANSPORT_UDP };
enum zl_protocol {
        ZL_PROTOCOL_HTTP,
        ZL_PROTOCOL_HTTPS,
        ZL_PROTOCOL_TCP,
        ZL_PROTOCOL_UDP,
        ZL_PROTOCOL_WEBSOCKET,
};
enum zl_gpu_scheduling { ZL_GPU_BEST_EFFORT, ZL_GPU_GANG, ZL_GPU_SPREAD };
enum zl_gpu_sharing { ZL_GPU_EXCLUSIVE, ZL_GPU_MPS, ZL_GPU_TIME_SLICE };
enum zl_join_mode { ZL_JOIN_OPEN, ZL_JOIN_TOKEN, ZL_JOIN_CLOSED };
enum zl_join_scope { ZL_JOIN_SERVICE, ZL_JOIN_GLOBAL };
enum zl_scale_mode { ZL_SCALE_FIXED, ZL_SCALE_ADAPTIVE, ZL_SCALE_MANUAL };
enum zl_depends_condition { ZL_DEPENDS_STARTED, ZL_DEPENDS_HEALTHY, ZL_DEPENDS_READY };
/* depends[].on_timeout and init.steps[].on_failure */
enum zl_on_fault { ZL_ON_FAULT_FAIL, ZL_ON_FAULT_WARN, ZL_ON_FAULT_CONTINUE };
enum zl_health_type { ZL_HEALTH_TCP, ZL_HEALTH_HTTP, ZL_HEALTH_COMMAND };
enum zl_init_failure { ZL_INIT_FAILURE_FAIL, ZL_INIT_FAILURE_RESTART, ZL_INIT_FAILURE_BACKOFF };
enum zl_panic_action { ZL_PANIC_RESTART, ZL_PANIC_SHUTDOWN, ZL_PANIC_ISOLATE };
enum zl_storage_type {
        ZL_STORAGE_BIND,
        ZL_STORAGE_NAMED,
        ZL_STORAGE_ANONYMOUS,
        ZL_STORAGE_TMPFS,
        ZL_STORAGE_S3,
};
enum zl_storage_tier { ZL_TIER_LOCAL, ZL_TIER_CACHED, ZL_TIER_NETWORK };
enum zl_restart_kind {
        ZL_RESTART_NO,
        ZL_RESTART_ALWAYS, /* what was stopped by hand, too, but only when an agent is started */
        ZL_RESTART_UNLESS_STOPPED,
        ZL_RESTART_ON_FAILURE,
};
enum zl_network_mode_kind {
        ZL_NETWORK_DEFAULT,
        ZL_NETWORK_HOST,
        ZL_NETWORK_NONE,
        ZL_NETWORK_BRIDGE,
        ZL_NETWORK_CONTAINER,
};
enum zl_stream_check_type { ZL_STREAM_TCP_CONNECT, ZL_STREAM_UDP_PROBE };
enum zl_platform_os { ZL_OS_LINUX, ZL_OS_WINDOWS, ZL_OS_MACOS };
enum zl_platform_arch { ZL_ARCH_AMD64, ZL_ARCH_ARM64 };

/* ---- parts of a service ------------------------------------------------------------------------------ */

struct zl_image_spec {
        char *name; /* canonical: "docker.io/library/nginx:latest" */
        enum zl_pull_policy pull_policy;
};

/* What the process arguments become is decided by zl_spec_process_args() (spec/spec.h). */
struct zl_command_spec {
        char **entrypoint; /* NULL: absent; an empty vector is an empty list */
        char **args;
        char *workdir;
};

struct zl_distributed_spec {
        char *backend; /* "nccl" */
        uint16_t master_port;
};

struct zl_gpu_spec {
        uint32_t count;
        char *vendor; /* "nvidia" */
        char *mode;
        char *model;
        bool has_scheduling, has_sharing;
        enum zl_gpu_scheduling scheduling;
        struct zl_distributed_spec *distributed;
        enum zl_gpu_sharing sharing;
};

struct zl_resources_spec {
        bool has_cpu, has_pids_limit, has_cpu_shares, has_memory_swappiness;
        bool has_oom_score_adj, has_oom_kill_disable, has_blkio_weight;
        double cpu;   /* cores */
        char *memory; /* "512Mi"; zl_spec_memory_bytes() (spec/spec.h) reads it */
        struct zl_gpu_spec *gpu;
        int64_t pids_limit;
        char *cpuset;
        uint32_t cpu_shares;
        char *memory_swap, *memory_reservation; /* any text; zl_spec_size_bytes() reads it */
        uint8_t memory_swappiness;
        int32_t oom_score_adj;
        bool oom_kill_disable;
        uint16_t blkio_weight;
};

struct zl_overlay_settings {
        bool enabled, encrypted, isolated;
};

struct zl_overlays_spec {
        struct zl_overlay_settings service, global;
};

struct zl_join_policy {
        enum zl_join_mode mode;
        enum zl_join_scope scope;
};

struct zl_service_network_spec {
        struct zl_overlays_spec overlays;
        struct zl_join_policy join;
};

struct zl_stream_check {
        enum zl_stream_check_type type;
        char *request; /* udp_probe */
        char *expect;  /* udp_probe, optional */
};

struct zl_stream_spec {
        bool tls, proxy_protocol;
        char *session_timeout; /* unchecked text */
        struct zl_stream_check *health_check;
};

struct zl_tunnel_access {
        bool enabled, audit;
        char *max_ttl; /* duration text, checked */
};

struct zl_endpoint_tunnel {
        bool enabled;
        char *from, *to;
        uint16_t remote_port; /* 0: chosen automatically */
        bool has_expose;
        enum zl_expose expose;
        struct zl_tunnel_access *access;
};

struct zl_endpoint_spec {
        char *name;
        enum zl_protocol protocol;
        uint16_t port;
        bool has_target_port;
        uint16_t target_port; /* absent: `port` */
        char *path, *host;
        enum zl_expose expose;
        struct zl_stream_spec *stream;
        struct zl_endpoint_tunnel *tunnel;
};

struct zl_scale_targets {
        bool has_cpu, has_memory, has_rps;
        uint8_t cpu, memory; /* percent */
        uint32_t rps;
};

struct zl_scale_spec {
        enum zl_scale_mode mode;
        uint32_t replicas; /* fixed */
        uint32_t min, max; /* adaptive, as all that follows */
        bool has_cooldown;
        int64_t cooldown;
        struct zl_scale_targets targets;
};

struct zl_depends_spec {
        char *service;
        enum zl_depends_condition condition;
        bool has_timeout; /* absent only if the file says null: 300 s then too */
        int64_t timeout;
        enum zl_on_fault on_timeout;
};

struct zl_health_check {
        enum zl_health_type type;
        uint16_t port;          /* tcp; 0: zl_spec_health_port() (spec/spec.h) chooses */
        char *url;              /* http */
        uint16_t expect_status; /* http */
        char *command;          /* command */
};

struct zl_health_spec {
        bool has_start_grace, has_interval, has_timeout;
        int64_t start_grace; /* absent: 5 s */
        int64_t interval;    /* absent: 10 s */
        int64_t timeout;     /* absent: 5 s */
        uint32_t retries;
        struct zl_health_check check;
};

struct zl_init_step {
        char *id, *uses;
        char *with; /* one JSON object as text; "{}" if absent */
        bool has_retry, has_timeout;
        uint32_t retry;
        int64_t timeout; /* absent: 300 s */
        enum zl_on_fault on_failure;
};

struct zl_init_spec {
        struct zl_init_step *steps;
        size_t n_steps;
};

struct zl_init_failure_policy {
        enum zl_init_failure action;
};

struct zl_panic_policy {
        enum zl_panic_action action;
};

struct zl_errors_spec {
        struct zl_init_failure_policy on_init_failure;
        struct zl_panic_policy on_panic;
};

struct zl_lifecycle_spec {
        bool delete_on_exit;
};

struct zl_device_spec {
        char *path;
        bool read, write, mknod; /* all false means read and write */
};

/* One flat struct; which members count is told by `type`. */
struct zl_storage_spec {
        enum zl_storage_type type;
        char *source;              /* bind */
        char *name;                /* named */
        char *target;              /* all */
        bool readonly;             /* bind, named, s3 */
        enum zl_storage_tier tier; /* named, anonymous */
        char *size;                /* named, tmpfs; unchecked text */
        bool has_mode;
        uint32_t mode;         /* tmpfs */
        char *bucket, *prefix; /* s3 */
        char *endpoint, *credentials;
};

struct zl_port_mapping {
        bool has_host_port;
        uint16_t host_port; /* 0 or absent: any free one */
        uint16_t container_port;
        enum zl_transport protocol;
        char *host_ip;
};

struct zl_node_selector {
        struct zl_str_map labels, prefer_labels;
};

struct zl_platform_spec {
        enum zl_platform_os os;
        enum zl_platform_arch arch;
        char *os_version; /* "osVersion" in the file */
};

struct zl_wasm_capabilities {
        bool config, keyvalue, logging, secrets, metrics, http_client, cli, filesystem, sockets;
};

struct zl_wasm_preopen {
        char *source, *target;
        bool readonly;
};

struct zl_wasm_spec {
        uint32_t min_instances, max_instances;
        int64_t idle_timeout, request_timeout;
        char *max_memory;
        uint64_t max_fuel; /* 0: unlimited */
        bool has_epoch_interval;
        int64_t epoch_interval;
        struct zl_wasm_capabilities *capabilities; /* NULL: zl_wasm_capabilities_allowed() */
        bool allow_http_outgoing;
        char **allowed_hosts; /* empty: all */
        bool allow_tcp, allow_udp;
        struct zl_wasm_preopen *preopens;
        size_t n_preopens;
        bool kv_enabled;
        char *kv_namespace; /* absent: name of the service */
        uint64_t kv_max_value_size;
        char **secrets;
        bool precompile;
};

struct zl_logs_spec {
        char *destination; /* "disk" */
        uint64_t max_size_bytes, retention_secs;
};

struct zl_restart_policy {
        enum zl_restart_kind kind;
        bool has_max_attempts;
        uint32_t max_attempts;
        char *delay; /* unchecked text */
};

struct zl_ulimit_spec {
        int64_t soft, hard; /* -1: unlimited */
};

struct zl_ulimit_entry {
        char *name;
        struct zl_ulimit_spec limit;
};

struct zl_network_mode {
        enum zl_network_mode_kind kind;
        char *name; /* bridge: its name or NULL; container: its id, never NULL */
};

/* ---- a service ------------------------------------------------------------------------------------------- */

struct zl_service_spec {
        enum zl_rtype rtype;
        char *schedule; /* cron text, see spec/cron.h */
        struct zl_image_spec image;
        struct zl_resources_spec resources;
        struct zl_str_map env; /* values unresolved: may be "$E:NAME" or "$S:NAME" */
        struct zl_command_spec command;
        struct zl_service_network_spec network;
        struct zl_endpoint_spec *endpoints;
        size_t n_endpoints;
        struct zl_scale_spec scale;
        struct zl_depends_spec *depends;
        size_t n_depends;
        struct zl_health_spec health;
        struct zl_init_spec init;
        struct zl_errors_spec errors;
        struct zl_lifecycle_spec lifecycle;
        struct zl_device_spec *devices;
        size_t n_devices;
        struct zl_storage_spec *storage;
        size_t n_storage;
        struct zl_port_mapping *port_mappings;
        size_t n_port_mappings;
        char **capabilities; /* to add; alias in the file: cap_add */
        char **cap_drop;
        bool privileged;
        enum zl_node_mode node_mode;
        struct zl_node_selector *node_selector;
        struct zl_platform_spec *platform;
        enum zl_service_type service_type;
        struct zl_wasm_spec *wasm;
        struct zl_logs_spec *logs;
        bool host_network; /* already folded with network_mode: true also for mode host */
        char *hostname;
        char **dns;
        char **extra_hosts;
        struct zl_restart_policy *restart_policy;
        struct zl_str_map labels;
        char *user;
        char *stop_signal;
        bool has_stop_grace_period;
        int64_t stop_grace_period;
        struct zl_str_map sysctls;
        struct zl_ulimit_entry *ulimits;
        size_t n_ulimits;
        char **security_opt;
        char *pid_mode, *ipc_mode;
        struct zl_network_mode network_mode;
        char **extra_groups;
        bool read_only_root_fs;
        bool has_init_container;
        bool init_container;
        bool tty, stdin_open;
        char *userns_mode, *cgroup_parent;
        char **expose;
};

/* ---- a deployment ------------------------------------------------------------------------------------------ */

struct zl_service_entry {
        char *name; /* any text: zl_ident_part_is_valid() before it touches a path */
        struct zl_service_spec *spec;
};

struct zl_external_spec {
        char **backends;
        struct zl_endpoint_spec *endpoints;
        size_t n_endpoints;
        struct zl_health_spec *health;
};

struct zl_external_entry {
        char *name;
        struct zl_external_spec spec;
};

struct zl_tunnel_spec {
        char *from, *to;
        uint16_t local_port, remote_port;
        enum zl_transport protocol;
        enum zl_expose expose;
};

struct zl_tunnel_entry {
        char *name;
        struct zl_tunnel_spec spec;
};

struct zl_api_spec {
        bool enabled;
        char *bind;
        char *jwt_secret;
        bool swagger;
};

struct zl_deployment_spec {
        char *version;    /* "v1" */
        char *deployment; /* its name */
        struct zl_service_entry *services;
        size_t n_services;
        struct zl_external_entry *externals;
        size_t n_externals;
        struct zl_tunnel_entry *tunnels;
        size_t n_tunnels;
        struct zl_api_spec api;
};

/* ---- loading ----------------------------------------------------------------------------------------------- */

enum {
        ZL_SPEC_MAX_BYTES = 8 << 20, /* larger files are refused unread */
};

/* Reads one YAML (or JSON) document, decodes and validates it. 0 and `*ret`, or a negative errno: then `err` tells the
 * first problem, and if the content is at fault (ZL_E_INVALID) and `problems` is not NULL, `*problems` is the
 * list of all that could be found (free it with zl_problems_free()), otherwise NULL. `path` "-" is standard input. */
ZL_PUBLIC int zl_spec_load_file(const char *path, struct zl_deployment_spec **ret,
                                struct zl_problems **problems, struct zl_error *err);
ZL_PUBLIC int zl_spec_load_text(const char *text, size_t len, struct zl_deployment_spec **ret,
                                struct zl_problems **problems, struct zl_error *err);
ZL_PUBLIC void zl_spec_free(struct zl_deployment_spec *spec);

/* The service of that name, or NULL. */
ZL_PUBLIC const struct zl_service_spec *zl_spec_get_service(const struct zl_deployment_spec *spec,
                                                            const char *name);

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* The spec with all defaults, in canonical form; the caller frees the text. The YAML form loads again into
 * the same spec; the JSON form too unless network_mode is a bridge or container (see docs). NULL without memory. */
ZL_PUBLIC char *zl_spec_dump_json(const struct zl_deployment_spec *spec);
ZL_PUBLIC char *zl_spec_dump_yaml(const struct zl_deployment_spec *spec);
/* One service alone, compact; zl_service_spec_load_json() reads it back exactly. */
ZL_PUBLIC char *zl_service_spec_dump_json(const struct zl_service_spec *spec);
/* The JSON Schema (draft 2020-12) of deployment specs as text; the caller frees it. NULL without memory. */
ZL_PUBLIC char *zl_spec_json_schema(void);

/* ---- single services -------------------------------------------------------------------------------------------- */

/* A service with all defaults for `image`, a reference in any form. For programs that run single containers. */
ZL_PUBLIC int zl_service_spec_new_default(const char *image, struct zl_service_spec **ret,
                                          struct zl_error *err);
/* Reads what zl_service_spec_dump_json() wrote. */
ZL_PUBLIC int zl_service_spec_load_json(const char *text, size_t len, struct zl_service_spec **ret,
                                        struct zl_error *err);
/* A deep copy; NULL without memory. */
ZL_PUBLIC struct zl_service_spec *zl_service_spec_copy(const struct zl_service_spec *spec);
ZL_PUBLIC void zl_service_spec_free(struct zl_service_spec *spec);

/* The value of `key`, or NULL. */
ZL_PUBLIC const char *zl_str_map_get(const struct zl_str_map *map, const char *key);
/* Inserts or replaces (both texts are copied). 0 or -ENOMEM. */
ZL_PUBLIC int zl_str_map_set(struct zl_str_map *map, const char *key, const char *value);

#ifdef __cplusplus
}
#endif
#endif
