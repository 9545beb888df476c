/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No field of a spec is dropped in silence. For every field that the JSON Schema knows there is a row with a wish. What a
 * runtime makes of a service with the wish must differ from what it makes of it without, or the wish is refused, or a
 * warning names it; rows that are the agent's business must change nothing. The runtimes are Docker, native (whose bundle is the external OCI
 * runtimes', too) and WebAssembly.
 */
#include "support.h"

#include <zlayer/spec.h>

#include "base/buf.h"
#include "base/ident.h"
#include "base/json.h"
#include "base/strv.h"
#include "oci/runtime_config.h"
#include "runtimes/bundle.h"
#include "runtimes/docker.h"
#include "runtimes/gpu.h"
#include "spec/spec.h"

enum who {
        RUNTIME, /* every runtime has to answer for it */
        AGENT, /* the agent does it, or says that it does not (agent/unhonoured.c); nothing reaches a runtime */
        MONITOR, /* native has it beside the bundle: in the monitor or in files; Docker is told */
        CONTAINER, /* as RUNTIME, but WebAssembly has it by what it is, or beside the bundle (native_wasm.c) */
        SELECTION, /* decides which runtime gets the service, or is what the default is already */
        ALIAS,     /* another spelling */
};

static const struct row {
        const char *field; /* DEFINITION.PROPERTY of the schema */
        enum who who;
        const char *yaml;    /* of the service */
        const char *without; /* what it is compared with; NULL: nothing */
} rows[] = {
        { "Service.rtype", AGENT, "rtype: job", NULL },
        { "Service.schedule", AGENT, "rtype: cron, schedule: '0 0 * * * * *'", NULL },
        { "Service.image", SELECTION, NULL, NULL },
        { "Service.resources", ALIAS, NULL, NULL },
        { "Service.env", RUNTIME, "env: {A: b}", NULL },
        { "Service.command", ALIAS, NULL, NULL },
        { "Service.network", AGENT, "network: {join: {mode: open}}", NULL },
        { "Service.endpoints", AGENT, "endpoints: [{name: e, protocol: tcp, port: 80}]", NULL },
        { "Service.scale", AGENT, "scale: {mode: fixed, replicas: 3}", NULL },
        { "Service.depends", AGENT, NULL,
          NULL }, /* on a service that this deployment does not have */
        { "Service.health", AGENT, "health: {check: {type: tcp, port: 80}}", NULL },
        { "Service.init", AGENT, "init: {steps: [{id: a, uses: init.sleep}]}", NULL },
        { "Service.errors", AGENT, "errors: {on_panic: {action: isolate}}", NULL },
        { "Service.lifecycle", AGENT, "lifecycle: {delete_on_exit: true}", NULL },
        { "Service.devices", RUNTIME, "devices: [{path: /dev/fuse}]", NULL },
        { "Service.storage", ALIAS, NULL, NULL },
        { "Service.port_mappings", MONITOR, "port_mappings: [{container_port: 80}]", NULL },
        { "Service.capabilities", RUNTIME, "capabilities: [NET_ADMIN]", NULL },
        { "Service.cap_add", ALIAS, NULL, NULL },
        { "Service.cap_drop", CONTAINER, "cap_drop: [CHOWN]", NULL },
        { "Service.privileged", RUNTIME, "privileged: true", NULL },
        { "Service.node_mode", AGENT, "node_mode: dedicated", NULL },
        { "Service.node_selector", AGENT, "node_selector: {labels: {a: b}}", NULL },
        { "Service.platform", RUNTIME, "platform: {os: windows, arch: amd64}", NULL },
        { "Service.service_type", CONTAINER, "service_type: wasm_plugin, wasm: {}", NULL },
        { "Service.wasm", CONTAINER, "service_type: wasm_plugin, wasm: {}", NULL },
        { "Service.wasm_http", ALIAS, NULL, NULL },
        { "Service.logs", ALIAS, NULL, NULL },
        { "Service.host_network", RUNTIME, "host_network: true", NULL },
        { "Service.hostname", RUNTIME, "hostname: named", NULL },
        { "Service.dns", MONITOR, "dns: [10.0.0.1]", NULL },
        { "Service.extra_hosts", MONITOR, "extra_hosts: ['a:10.0.0.1']", NULL },
        { "Service.restart_policy", AGENT, "restart_policy: {kind: always}", NULL },
        { "Service.labels", MONITOR, "labels: {a: b}", NULL },
        { "Service.user", RUNTIME, "user: '5:6'", NULL },
        { "Service.stop_signal", RUNTIME, "stop_signal: SIGUSR1", NULL },
        { "Service.stop_grace_period", RUNTIME, "stop_grace_period: 3s", NULL },
        { "Service.sysctls", RUNTIME, "sysctls: {net.ipv4.ip_forward: '1'}", NULL },
        { "Service.ulimits", RUNTIME, "ulimits: {nofile: {soft: 5, hard: 6}}", NULL },
        { "Service.security_opt", CONTAINER, "security_opt: ['seccomp=unconfined']", NULL },
        { "Service.pid_mode", RUNTIME, "pid_mode: host", NULL },
        { "Service.ipc_mode", RUNTIME, "ipc_mode: host", NULL },
        { "Service.network_mode", MONITOR, "network_mode: bridge", "network_mode: none" },
        { "Service.extra_groups", RUNTIME, "extra_groups: ['7']", NULL },
        { "Service.read_only_root_fs", RUNTIME, "read_only_root_fs: true", NULL },
        { "Service.init_container", RUNTIME, "init_container: true", NULL },
        { "Service.tty", RUNTIME, "tty: true", NULL },
        { "Service.stdin_open", MONITOR, "stdin_open: true", NULL },
        { "Service.userns_mode", RUNTIME, "userns_mode: auto", NULL },
        { "Service.cgroup_parent", RUNTIME, "cgroup_parent: /other", NULL },
        { "Service.expose", MONITOR, "expose: ['80']", NULL },

        { "Image.name", SELECTION, NULL, NULL },
        { "Image.pull_policy", AGENT, NULL, NULL },

        { "Resources.cpu", RUNTIME, "resources: {cpu: 0.5}", NULL },
        { "Resources.memory", RUNTIME, "resources: {memory: 64Mi}", NULL },
        { "Resources.gpu", RUNTIME, "resources: {gpu: {count: 1, vendor: nvidia}}", NULL },
        { "Resources.pids_limit", RUNTIME, "resources: {pids_limit: 9}", NULL },
        { "Resources.cpuset", RUNTIME, "resources: {cpuset: '0'}", NULL },
        { "Resources.cpu_shares", RUNTIME, "resources: {cpu_shares: 99}", NULL },
        { "Resources.memory_swap", RUNTIME, "resources: {memory: 64Mi, memory_swap: 96Mi}",
          "resources: {memory: 64Mi}" },
        { "Resources.memory_reservation", RUNTIME, "resources: {memory_reservation: 32Mi}", NULL },
        { "Resources.memory_swappiness", RUNTIME, "resources: {memory_swappiness: 5}", NULL },
        { "Resources.oom_score_adj", RUNTIME, "resources: {oom_score_adj: 55}", NULL },
        { "Resources.oom_kill_disable", RUNTIME, "resources: {oom_kill_disable: true}", NULL },
        { "Resources.blkio_weight", RUNTIME, "resources: {blkio_weight: 99}", NULL },

        { "Gpu.count", RUNTIME, "resources: {gpu: {count: 2, vendor: nvidia}}",
          "resources: {gpu: {count: 1, vendor: nvidia}}" },
        { "Gpu.vendor", RUNTIME, "resources: {gpu: {count: 1, vendor: amd}}",
          "resources: {gpu: {count: 1, vendor: nvidia}}" },
        { "Gpu.mode", RUNTIME, "resources: {gpu: {count: 1, vendor: nvidia, mode: x}}",
          "resources: {gpu: {count: 1, vendor: nvidia}}" },
        { "Gpu.model", RUNTIME, "resources: {gpu: {count: 1, vendor: nvidia, model: x}}",
          "resources: {gpu: {count: 1, vendor: nvidia}}" },
        { "Gpu.scheduling", RUNTIME,
          "resources: {gpu: {count: 1, vendor: nvidia, scheduling: spread}}",
          "resources: {gpu: {count: 1, vendor: nvidia}}" },
        { "Gpu.distributed", AGENT, NULL, NULL },
        { "Gpu.sharing", RUNTIME, "resources: {gpu: {count: 1, vendor: nvidia, sharing: mps}}",
          "resources: {gpu: {count: 1, vendor: nvidia}}" },

        { "Command.entrypoint", RUNTIME, "command: {entrypoint: [a, b]}", NULL },
        { "Command.args", RUNTIME, "command: {args: [c]}", NULL },
        { "Command.workdir", RUNTIME, "command: {workdir: /w}", NULL },

        { "Storage.bind", RUNTIME, "storage: [{type: bind, source: /usr, target: /x}]", NULL },
        { "Storage.bind.readonly", RUNTIME,
          "storage: [{type: bind, source: /usr, target: /x, readonly: true}]",
          "storage: [{type: bind, source: /usr, target: /x}]" },
        { "Storage.named", RUNTIME, "storage: [{type: named, name: v, target: /x}]", NULL },
        { "Storage.named.readonly", RUNTIME,
          "storage: [{type: named, name: v, target: /x, readonly: true}]",
          "storage: [{type: named, name: v, target: /x}]" },
        { "Storage.named.tier", RUNTIME,
          "storage: [{type: named, name: v, target: /x, tier: network}]",
          "storage: [{type: named, name: v, target: /x}]" },
        { "Storage.named.size", RUNTIME, "storage: [{type: named, name: v, target: /x, size: 1Gi}]",
          "storage: [{type: named, name: v, target: /x}]" },
        { "Storage.anonymous", RUNTIME, "storage: [{type: anonymous, target: /x}]", NULL },
        { "Storage.anonymous.tier", RUNTIME,
          "storage: [{type: anonymous, target: /x, tier: cached}]",
          "storage: [{type: anonymous, target: /x}]" },
        { "Storage.tmpfs", RUNTIME, "storage: [{type: tmpfs, target: /x}]", NULL },
        { "Storage.tmpfs.size", RUNTIME, "storage: [{type: tmpfs, target: /x, size: 1Mi}]",
          "storage: [{type: tmpfs, target: /x}]" },
        { "Storage.tmpfs.mode", RUNTIME, "storage: [{type: tmpfs, target: /x, mode: 448}]",
          "storage: [{type: tmpfs, target: /x}]" },
        { "Storage.s3", RUNTIME, "storage: [{type: s3, bucket: b, target: /x}]", NULL },

        { "PortMapping.host_port", MONITOR, "port_mappings: [{container_port: 80, host_port: 81}]",
          NULL },
        { "PortMapping.container_port", MONITOR, "port_mappings: [{container_port: 80}]", NULL },
        { "PortMapping.protocol", MONITOR, "port_mappings: [{container_port: 80, protocol: udp}]",
          NULL },
        { "PortMapping.host_ip", MONITOR,
          "port_mappings: [{container_port: 80, host_ip: 127.0.0.1}]", NULL },

        { "Device.path", RUNTIME, "devices: [{path: /dev/fuse}]", NULL },
        { "Device.read", RUNTIME, "devices: [{path: /dev/fuse, read: false}]",
          "devices: [{path: /dev/fuse}]" },
        { "Device.write", RUNTIME, "devices: [{path: /dev/fuse, write: false}]",
          "devices: [{path: /dev/fuse}]" },
        { "Device.mknod", RUNTIME, "devices: [{path: /dev/fuse, read: true, mknod: true}]",
          "devices: [{path: /dev/fuse, read: true}]" },

        { "TargetPlatform.os", RUNTIME, "platform: {os: windows, arch: amd64}", NULL },
        { "TargetPlatform.arch", SELECTION, NULL, NULL },
        { "TargetPlatform.osVersion", SELECTION, NULL, NULL }, /* of Windows */

        { "Logs.destination", RUNTIME, "logs: {destination: memory}", "logs: {}" },
        { "Logs.max_size_bytes", MONITOR, "logs: {max_size_bytes: 5000000}", "logs: {}" },
        { "Logs.retention_secs", AGENT, "logs: {retention_secs: 5}", "logs: {}" },

        { "Ulimit.soft", RUNTIME, "ulimits: {nofile: {soft: 4, hard: 6}}",
          "ulimits: {nofile: {soft: 5, hard: 6}}" },
        { "Ulimit.hard", RUNTIME, "ulimits: {nofile: {soft: 5, hard: 7}}",
          "ulimits: {nofile: {soft: 5, hard: 6}}" },

        { "Wasm.max_instances", CONTAINER, "service_type: wasm_http, wasm: {max_instances: 3}",
          NULL },
        { "Wasm.idle_timeout", CONTAINER, "service_type: wasm_http, wasm: {idle_timeout: 3s}",
          NULL },
        { "Wasm.request_timeout", CONTAINER, "service_type: wasm_http, wasm: {request_timeout: 3s}",
          NULL },
        { "Wasm.max_memory", CONTAINER, "service_type: wasm_http, wasm: {max_memory: 64Mi}", NULL },
        { "Wasm.max_fuel", CONTAINER, "service_type: wasm_http, wasm: {max_fuel: 9}", NULL },
        { "Wasm.epoch_interval", CONTAINER,
          "service_type: wasm_plugin, wasm: {epoch_interval: 9ms}", NULL },
        { "Wasm.capabilities", CONTAINER,
          "service_type: wasm_plugin, wasm: {capabilities: {cli: false}}", NULL },
        { "Wasm.allow_http_outgoing", CONTAINER,
          "service_type: wasm_http, wasm: {allow_http_outgoing: false}", NULL },
        { "Wasm.allowed_hosts", CONTAINER, "service_type: wasm_http, wasm: {allowed_hosts: [a]}",
          NULL },
        { "Wasm.allow_tcp", CONTAINER, "service_type: wasm_http, wasm: {allow_tcp: true}", NULL },
        { "Wasm.allow_udp", CONTAINER, "service_type: wasm_http, wasm: {allow_udp: true}", NULL },
        { "Wasm.preopens", CONTAINER,
          "service_type: wasm_plugin, wasm: {preopens: [{source: /usr, target: /x}]}", NULL },
        { "Wasm.precompile", RUNTIME, "service_type: wasm_http, wasm: {precompile: false}", NULL },
        { "Wasm.epoch_interval", RUNTIME, "service_type: wasm_http, wasm: {epoch_interval: 9ms}",
          NULL },
        { "Wasm.precompile", CONTAINER, "service_type: wasm_plugin, wasm: {precompile: false}",
          NULL },
        { "Wasm.min_instances", CONTAINER, "service_type: wasm_http, wasm: {min_instances: 1}",
          NULL },
        { "Wasm.max_instances", RUNTIME, "service_type: wasm_plugin, wasm: {max_instances: 3}",
          NULL },
        { "Wasm.idle_timeout", RUNTIME, "service_type: wasm_plugin, wasm: {idle_timeout: 3s}",
          NULL },
        { "Wasm.request_timeout", RUNTIME, "service_type: wasm_plugin, wasm: {request_timeout: 3s}",
          NULL },
        { "Wasm.kv_namespace", RUNTIME, "service_type: wasm_http, wasm: {kv_namespace: a}", NULL },
        { "Wasm.kv_max_value_size", RUNTIME,
          "service_type: wasm_http, wasm: {kv_max_value_size: 9}", NULL },
        { "Wasm.secrets", RUNTIME, "service_type: wasm_http, wasm: {secrets: [a]}", NULL },
        { "Wasm.kv_enabled", SELECTION, NULL,
          NULL }, /* true is the default, and false is what is there */
};

/* ---- the schema has no field without a row ------------------------------------------------------------------- */

static bool has_row(const char *definition, const char *property)
{
        char field[100];

        snprintf(field, sizeof(field), "%s.%s", definition, property);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++)
                if (zl_streq(rows[i].field, field))
                        return true;
        return false;
}

static void test_every_field_has_a_row(void **state)
{
        static const char *const definitions[] = {
                "Service", "Image",          "Resources", "Gpu",    "Command", "PortMapping",
                "Device",  "TargetPlatform", "Logs",      "Ulimit", "Wasm"
        };
        _cleanup_free_ char *text = zl_spec_json_schema();
        _cleanup_json_ json_t *schema = NULL;

        assert_int_equal(zl_json_parse(text, strlen(text), "schema", &schema, NULL), 0);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(definitions); i++) {
                json_t *properties = json_object_get(
                        json_object_get(json_object_get(schema, "$defs"), definitions[i]),
                        "properties");
                const char *key;
                json_t *value;

                assert_true(json_object_size(properties) > 0);
                json_object_foreach(properties, key, value) if (!has_row(definitions[i], key))
                        fail_msg("%s.%s has no row", definitions[i], key);
        }
}

/* ---- what the runtimes make of a service --------------------------------------------------------------------- */

static struct zl_buf warnings;

static void note(const char *text, void *data)
{
        zl_buf_putf(&warnings, "%s\n", text);
}

static struct zl_deployment_spec *load(const char *service)
{
        struct zl_deployment_spec *spec = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        char text[1000];

        snprintf(text, sizeof(text),
                 "{version: v1, deployment: abc, services: {s: {image: {name: bb}%s%s}}}",
                 service && *service ? ", " : "", service ? service : "");
        if (zl_spec_load_text(text, strlen(text), &spec, NULL, &err) < 0)
                fail_msg("%s: %s", text, zl_error_message(&err));
        return spec;
}

/* The text of it all, or NULL and the error. */
typedef char *(*maker)(const struct zl_service_spec *spec, struct zl_error *err);

static char *make_docker(const struct zl_service_spec *spec, struct zl_error *err)
{
        struct docker d = { .settings.root_dir = (char *)(uintptr_t) "/r" };
        const struct zl_create_options o = { .name = "abc.s.1", .spec = spec, .warn = note };
        _cleanup_json_ json_t *body = NULL;

        return docker_spec_make(&d, &o, &body, err) < 0 ? NULL : zl_json_dump(body, 0);
}

static int find_devices(const char *path, struct zl_bundle_device **devices, size_t *n)
{
        *devices = calloc(1, sizeof(**devices));
        (*devices)[0] = (struct zl_bundle_device){ strdup(path), 'c', 10, 229 };
        *n = 1;
        return 0;
}

static char *make_bundle(const struct zl_service_spec *spec, bool wasm, struct zl_error *err)
{
        static const struct zl_bundle_facts facts = { .machine = "x86_64",
                                                      .kernel_major = 6,
                                                      .capabilities = (UINT64_C(1) << 41) - 1,
                                                      .files_max = UINT64_MAX,
                                                      .pids_controller = true,
                                                      .find_devices = find_devices };
        static const struct zl_bundle_volume volume = { (char *)(uintptr_t) "/v",
                                                        (char *)(uintptr_t) "/x", false };
        static const gid_t gid = 7;
        char *cmd[] = { (char *)(uintptr_t) "cmd", NULL };
        struct zl_image image = { .cmd = cmd, .kind = wasm ? ZL_IMAGE_WASM : ZL_IMAGE_CONTAINER };
        _cleanup_(zl_bundle_done) struct zl_bundle bundle = { 0 };
        struct zl_bundle_input in = { .name = "abc.s.1",
                                      .spec = spec,
                                      .image = &image,
                                      .rootfs = "/r",
                                      .volumes = &volume,
                                      .n_volumes = spec->n_storage &&
                                                   spec->storage[0].type != ZL_STORAGE_BIND &&
                                                   spec->storage[0].type != ZL_STORAGE_TMPFS,
                                      .extra_gids = &gid,
                                      .n_extra_gids = zl_strv_len(spec->extra_groups),
                                      .wasm = wasm,
                                      .facts = &facts,
                                      .warn = note };
        _cleanup_free_ char *config = NULL;
        const struct zl_gpu_uses nobody = { 0 };
        _cleanup_gpus_ struct zl_gpus gpus = { 0 };
        struct zl_ident ident;
        char *text = NULL;

        assert_int_equal(zl_ident_parse(in.name, &ident), 0);
        in.ident = &ident;
        if (spec->resources.gpu) {
                const struct zl_gpu_wish wish = zl_gpu_wish_of(spec->resources.gpu);

                assert_int_equal(zl_gpus_find(&facts, wish.vendor, &gpus, err), 0);
                assert_int_equal(zl_gpus_choose(&gpus, &nobody, &wish, err), 0);
                in.gpus = gpus;
        }
        if (zl_bundle_make(&in, &bundle, err) < 0 ||
            zl_oci_config_dump(bundle.config, &config, err) < 0)
                return NULL;
        assert_true(asprintf(&text, "%s %d %lld %d", config, bundle.stop_signal,
                             (long long)bundle.grace_nsec, bundle.init_reaper) > 0);
        return text;
}

static char *make_native(const struct zl_service_spec *spec, struct zl_error *err)
{
        return make_bundle(spec, false, err);
}

static char *make_wasm(const struct zl_service_spec *spec, struct zl_error *err)
{
        return make_bundle(spec, true, err);
}

/* The word behind the first dot of "Service.tty", in the spelling of the file. */
static const char *word_of(const struct row *row)
{
        return strchr(row->field, '.') + 1;
}

/* Does the runtime have to answer for it? */
static bool is_asked(enum who who, const char *runtime)
{
        return who == RUNTIME || (who == MONITOR && zl_streq(runtime, "docker")) ||
               (who == CONTAINER && !zl_streq(runtime, "wasm"));
}

static int check_row(const struct row *row, const char *runtime, maker make)
{
        struct zl_deployment_spec *with = load(row->yaml), *without = load(row->without);
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *a = NULL, *b = NULL;
        bool warned, changed;

        b = make(without->services[0].spec, &err);
        if (!b)
                fail_msg("%s: without %s: %s", runtime, row->field, zl_error_message(&err));
        zl_buf_done(&warnings);
        warnings = ZL_BUF_INIT(1 << 16);
        a = make(with->services[0].spec, &err);
        warned = warnings.len > 0;
        changed = a && !zl_streq(a, b);
        zl_spec_free(with);
        zl_spec_free(without);
        if (!a) {
                if (!zl_error_is_set(&err) || strlen(zl_error_message(&err)) < 10)
                        fail_msg("%s: %s is refused without a word", runtime, row->field);
                if (row->who != AGENT)
                        return 0;
        }
        if (row->who == AGENT && (changed || !a)) {
                fprintf(stderr, "%s: %s is the agent's, but it changes something\n", runtime,
                        word_of(row));
                return 1;
        }
        if (!changed && !warned && a && is_asked(row->who, runtime)) {
                fprintf(stderr, "%s: %s is dropped in silence\n", runtime, word_of(row));
                return 1;
        }
        return 0;
}

static void check_all(const char *runtime, maker make)
{
        int failed = 0;

        warnings = ZL_BUF_INIT(1 << 16);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++)
                if (rows[i].yaml)
                        failed += check_row(&rows[i], runtime, make);
        zl_buf_done(&warnings);
        assert_int_equal(failed, 0);
}

static void test_docker(void **state)
{
        check_all("docker", make_docker);
}

static void test_native(void **state)
{
        check_all("native", make_native);
}

static void test_wasm(void **state)
{
        check_all("wasm", make_wasm);
}

/* A service of WebAssembly that says nothing special is not warned. */
static void test_defaults_are_no_wish(void **state)
{
        static const char *const types[] = { "service_type: wasm_http, wasm: {}",
                                             "service_type: wasm_plugin, wasm: {}" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(types); i++) {
                struct zl_deployment_spec *spec = load(types[i]);
                char *text;

                warnings = ZL_BUF_INIT(1 << 16);
                text = make_wasm(spec->services[0].spec, NULL);
                assert_non_null(text);
                free(text);
                if (warnings.len)
                        fail_msg("%s: %s", types[i], warnings.data);
                zl_spec_free(spec);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_field_has_a_row),
                cmocka_unit_test(test_docker),
                cmocka_unit_test(test_native),
                cmocka_unit_test(test_wasm),
                cmocka_unit_test(test_defaults_are_no_wish),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
