/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a service spec asks for, in Docker's words: the body of POST /containers/create. Each part of the body has a function;
 * what Docker has no word for is an error that names the field (ZL_E_UNSUPPORTED), never silence. Restarts, health, init
 * actions, scale and endpoints are the agent's and no business of a runtime.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <zlayer/spec.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/ident.h"
#include "base/log.h"
#include "base/strv.h"
#include "runtimes/bundle.h"
#include "runtimes/cdi.h"
#include "runtimes/docker.h"
#include "runtimes/volume.h"
#include "spec/spec.h"

enum { PROFILE_MAX = 4 << 20, LOG_SIZE_DEFAULT = 10 << 20 };

struct body {
        const struct docker *d;
        const struct zl_create_options *o;
        const struct zl_service_spec *s;
        struct zl_ident ident;
        json_t *top, *host; /* host: HostConfig, which is in `top` */
        struct zl_error *err;
};

static int refuse(const struct body *b, const char *field, const char *what)
{
        int r = zl_fail(b->err, ZL_E_UNSUPPORTED, 0, "%s: Docker cannot express %s", field, what);

        zl_error_hint(b->err,
                      "leave it out, or use another runtime (zlayer-agent info lists them)");
        return r;
}

/* What is accepted and means nothing here. */
static void warn(const struct body *b, const char *text)
{
        if (b->o->warn)
                b->o->warn(text, b->o->warn_data);
        else
                zl_warn("%s: %s", b->o->name, text);
}

static int set(const struct body *b, json_t *o, const char *key, json_t *value)
{
        return zl_json_set(o, key, value) < 0 ? zl_fail_oom(b->err) : 0;
}

static json_t *strings(char *const *strv)
{
        json_t *list = json_array();

        ZL_STRV_FOREACH(s, strv)
                if (json_array_append_new(list, zl_json_string_lossy(*s, strlen(*s))) < 0) {
                        json_decref(list);
                        return NULL;
                }
        return list;
}

static int set_strings(const struct body *b, json_t *o, const char *key, char *const *strv)
{
        return strv && *strv ? set(b, o, key, strings(strv)) : 0;
}

static json_t *object_of(const struct zl_str_map *map)
{
        json_t *o = json_object();

        for (size_t i = 0; o && i < map->n; i++)
                zl_json_set(o, map->items[i].key, json_string(map->items[i].value));
        return o;
}

/* ---- what runs --------------------------------------------------------------------------------------- */

static int put_process(struct body *b)
{
        const struct zl_command_spec *c = &b->s->command;
        bool input = b->o->attach_stdin || b->s->stdin_open;
        _cleanup_strv_ char **args = NULL;
        int r = set(b, b->top, "Image", json_string(b->s->image.name));

        if (r == 0 && c->entrypoint) {
                /* An empty entrypoint drops the image's, which Docker does only if something stands there. */
                if (zl_spec_process_args(c, NULL, NULL, &args) < 0)
                        return zl_fail_oom(b->err);
                r = set(b, b->top, "Entrypoint", json_pack("[s]", args[0]));
                if (r == 0)
                        r = set_strings(b, b->top, "Cmd", args + 1);
        } else if (r == 0) {
                r = set_strings(b, b->top, "Cmd", c->args);
        }
        if (r == 0 && c->workdir)
                r = set(b, b->top, "WorkingDir", json_string(c->workdir));
        if (r == 0 && b->s->user)
                r = set(b, b->top, "User", json_string(b->s->user));
        if (r == 0)
                r = set_strings(b, b->host, "GroupAdd", b->s->extra_groups);
        if (r == 0 && b->s->stop_signal)
                r = set(b, b->top, "StopSignal", json_string(b->s->stop_signal));
        if (r == 0 && b->s->has_stop_grace_period)
                r = set(b, b->top, "StopTimeout",
                        json_integer((b->s->stop_grace_period + ZL_NSEC_PER_SEC - 1) /
                                     ZL_NSEC_PER_SEC));
        if (r == 0)
                r = set(b, b->top, "Tty", json_boolean(b->s->tty));
        if (r == 0)
                r = set(b, b->top, "OpenStdin", json_boolean(input));
        /* Otherwise the engine never passes the end of the input on. */
        if (r == 0)
                r = set(b, b->top, "StdinOnce", json_boolean(input && !b->s->tty));
        if (r == 0 && b->s->has_init_container)
                r = set(b, b->host, "Init", json_boolean(b->s->init_container));
        if (r == 0 && b->o->rows && b->o->cols)
                r = set(b, b->host, "ConsoleSize", json_pack("[i,i]", b->o->rows, b->o->cols));
        /* The checks are the agent's, also the image's own. */
        return r < 0 ? r : set(b, b->top, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE"));
}

static int put_env(struct body *b)
{
        const struct zl_str_map *env = &b->s->env;
        _cleanup_strv_ char **own = NULL;

        if (b->o->env)
                return set_strings(b, b->top, "Env", b->o->env);
        for (size_t i = 0; i < env->n; i++)
                if (zl_strv_pushf(&own, "%s=%s", env->items[i].key, env->items[i].value) < 0)
                        return zl_fail_oom(b->err);
        return set_strings(b, b->top, "Env", own);
}

static int put_labels(struct body *b)
{
        json_t *labels = object_of(&b->s->labels);
        int r;

        for (size_t i = 0; i < b->s->labels.n; i++)
                if (zl_startswith(b->s->labels.items[i].key, DOCKER_LABEL)) {
                        json_decref(labels);
                        return zl_fail(b->err, ZL_E_INVALID, 0,
                                       "labels: \"%s\": those that begin with " DOCKER_LABEL
                                       " are ours",
                                       b->s->labels.items[i].key);
                }
        r = set(b, b->top, "Labels", labels);
        if (r == 0)
                r = set(b, labels, DOCKER_LABEL_ROOT, json_string(b->d->settings.root_dir));
        if (r == 0)
                r = set(b, labels, DOCKER_LABEL_IMAGE, json_string(b->s->image.name));
        if (r == 0 && b->o->auto_remove)
                r = set(b, labels, DOCKER_LABEL_AUTO_REMOVE, json_string("true"));
        return r;
}

/* ---- limits ------------------------------------------------------------------------------------------ */

static int put_size(struct body *b, const char *field, const char *key, const char *text)
{
        uint64_t bytes;

        if (!text)
                return 0;
        if (zl_spec_size_bytes(text, &bytes) < 0)
                return zl_fail(b->err, ZL_E_INVALID, 0, "%s: \"%s\" is not a size", field, text);
        return set(b, b->host, key, json_integer(bytes > INT64_MAX ? -1 : (json_int_t)bytes));
}

static int put_gpu(struct body *b, const struct zl_gpu_spec *gpu)
{
        if (!gpu)
                return 0;
        if (!zl_streq(gpu->vendor, "nvidia"))
                return refuse(b, "resources.gpu.vendor", "GPUs other than nvidia's");
        if (gpu->model)
                warn(b, "resources.gpu.model: devices are not chosen by model");
        if (gpu->mode)
                warn(b, "resources.gpu.mode: means nothing on Linux");
        if (gpu->has_scheduling)
                warn(b, "resources.gpu.scheduling: there is only this machine");
        if (gpu->has_sharing)
                warn(b, "resources.gpu.sharing: is set up on the host, not per workload");
        return set(b, b->host, "DeviceRequests",
                   json_pack("[{s:s, s:i, s:[[s]]}]", "Driver", "nvidia", "Count", (int)gpu->count,
                             "Capabilities", "gpu"));
}

static int put_resources(struct body *b)
{
        const struct zl_resources_spec *m = &b->s->resources;
        const struct {
                bool has;
                const char *key;
                json_int_t value;
        } numbers[] = {
                { m->has_cpu, "NanoCpus", (json_int_t)(m->cpu * 1e9 + 0.5) },
                { m->has_cpu_shares, "CpuShares", m->cpu_shares },
                { m->has_memory_swappiness, "MemorySwappiness", m->memory_swappiness },
                { m->has_oom_score_adj, "OomScoreAdj", m->oom_score_adj },
                { m->has_blkio_weight, "BlkioWeight", m->blkio_weight },
                { true, "PidsLimit", m->has_pids_limit ? m->pids_limit : ZL_BUNDLE_PIDS_DEFAULT },
        };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(numbers); i++)
                if (numbers[i].has)
                        r = set(b, b->host, numbers[i].key, json_integer(numbers[i].value));
        if (r == 0 && m->has_oom_kill_disable)
                r = set(b, b->host, "OomKillDisable", json_boolean(m->oom_kill_disable));
        if (r == 0 && m->cpuset)
                r = set(b, b->host, "CpusetCpus", json_string(m->cpuset));
        if (r == 0)
                r = put_size(b, "resources.memory", "Memory", m->memory);
        if (r == 0)
                r = put_size(b, "resources.memory_swap", "MemorySwap", m->memory_swap);
        if (r == 0)
                r = put_size(b, "resources.memory_reservation", "MemoryReservation",
                             m->memory_reservation);
        return r < 0 ? r : put_gpu(b, m->gpu);
}

static int put_ulimits(struct body *b)
{
        json_t *list;
        int r;

        if (b->s->n_ulimits == 0)
                return 0;
        list = json_array();
        r = set(b, b->host, "Ulimits", list);
        for (size_t i = 0; r == 0 && i < b->s->n_ulimits; i++) {
                const struct zl_ulimit_entry *u = &b->s->ulimits[i];

                if (json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "Name", u->name,
                                                          "Soft", (json_int_t)u->limit.soft, "Hard",
                                                          (json_int_t)u->limit.hard)) < 0)
                        r = zl_fail_oom(b->err);
        }
        return r;
}

static int put_devices(struct body *b)
{
        json_t *list = json_array();
        int r = b->s->n_devices ? set(b, b->host, "Devices", list) : 0;

        for (size_t i = 0; r == 0 && i < b->s->n_devices; i++) {
                const struct zl_device_spec *v = &b->s->devices[i];
                bool none = !v->read && !v->write && !v->mknod;
                char rights[4];

                if (zl_cdi_is_name(v->path))
                        return refuse(b, "devices",
                                      "a device by its CDI name in this version of its API");
                snprintf(rights, sizeof(rights), "%s%s%s", v->read || none ? "r" : "",
                         v->write || none ? "w" : "", v->mknod ? "m" : "");
                if (json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "PathOnHost", v->path,
                                                          "PathInContainer", v->path,
                                                          "CgroupPermissions", rights)) < 0)
                        r = zl_fail_oom(b->err);
        }
        if (!b->s->n_devices)
                json_decref(list);
        return r;
}

/* Logs are kept as native keeps them: five files of the size that the spec asks for. */
static int put_logs(struct body *b)
{
        uint64_t size = b->s->logs ? b->s->logs->max_size_bytes : LOG_SIZE_DEFAULT;

        if (b->s->logs && !zl_streq(b->s->logs->destination, "disk"))
                warn(b, "logs.destination: logs are kept on disk");
        return set(b, b->host, "LogConfig",
                   json_pack("{s:s, s:{s:o, s:s}}", "Type", "json-file", "Config", "max-size",
                             json_sprintf("%llu",
                                          (unsigned long long)(size ? size : LOG_SIZE_DEFAULT)),
                             "max-file", "5"));
}

/* ---- storage ----------------------------------------------------------------------------------------- */

static json_t *named(struct body *b, const struct zl_storage_spec *m)
{
        _cleanup_free_ char *full = NULL;

        if (zl_volume_full_name(&b->ident, m->name, &full, b->err) < 0)
                return NULL;
        return json_pack("{s:s, s:s, s:s, s:b}", "Type", "volume", "Source", full, "Target",
                         m->target, "ReadOnly", m->readonly);
}

static json_t *tmpfs(struct body *b, const struct zl_storage_spec *m)
{
        json_t *options = json_object();
        uint64_t bytes;

        if (m->size && zl_spec_size_bytes(m->size, &bytes) < 0) {
                json_decref(options);
                zl_fail(b->err, ZL_E_INVALID, 0, "storage: \"%s\" is not a size", m->size);
                return NULL;
        }
        if (m->size)
                zl_json_set(options, "SizeBytes", json_integer((json_int_t)bytes));
        if (m->has_mode)
                zl_json_set(options, "Mode", json_integer(m->mode));
        return json_pack("{s:s, s:s, s:o}", "Type", "tmpfs", "Target", m->target, "TmpfsOptions",
                         options);
}

static json_t *mount(struct body *b, const struct zl_storage_spec *m)
{
        switch (m->type) {
        case ZL_STORAGE_BIND:
                return json_pack("{s:s, s:s, s:s, s:b}", "Type", "bind", "Source", m->source,
                                 "Target", m->target, "ReadOnly", m->readonly);
        case ZL_STORAGE_NAMED:
                if (m->size)
                        refuse(b, "storage.size", "the size of a named volume");
                else if (m->tier != ZL_TIER_LOCAL)
                        refuse(b, "storage.tier", "where a volume is kept");
                else
                        return named(b, m);
                return NULL;
        case ZL_STORAGE_ANONYMOUS:
                if (m->tier == ZL_TIER_LOCAL)
                        return json_pack("{s:s, s:s}", "Type", "volume", "Target", m->target);
                refuse(b, "storage.tier", "where a volume is kept");
                return NULL;
        case ZL_STORAGE_TMPFS:
                return tmpfs(b, m);
        case ZL_STORAGE_S3:
                break;
        }
        refuse(b, "storage", "a mount of S3");
        return NULL;
}

static int put_storage(struct body *b)
{
        json_t *list = json_array();
        int r = set(b, b->host, "Mounts", list);

        for (size_t i = 0; r == 0 && i < b->s->n_storage; i++) {
                json_t *one = mount(b, &b->s->storage[i]);

                if (!one && zl_error_is_set(b->err))
                        return -EINVAL;
                if (json_array_append_new(list, one) < 0)
                        r = zl_fail_oom(b->err);
        }
        if (r == 0 && b->s->read_only_root_fs)
                r = set(b, b->host, "ReadonlyRootfs", json_true());
        return r;
}

/* ---- network ----------------------------------------------------------------------------------------- */

/* "container:ID" with the container's name in the engine. */
static int put_joined(struct body *b, const char *field, const char *key, const char *id)
{
        char name[ZL_IDENT_NAME_MAX];

        if (zl_ident_resolve(id, b->ident.deployment, name) < 0)
                return zl_fail(b->err, ZL_E_INVALID, 0, "%s: \"%s\" is not the name of a workload",
                               field, id);
        return set(b, b->host, key, json_sprintf("container:" DOCKER_PREFIX "%s", name));
}

static int put_network_mode(struct body *b)
{
        const struct zl_network_mode *mode = &b->s->network_mode;

        if (b->s->host_network)
                return set(b, b->host, "NetworkMode", json_string("host"));
        switch (mode->kind) {
        case ZL_NETWORK_NONE:
                return set(b, b->host, "NetworkMode", json_string("none"));
        case ZL_NETWORK_BRIDGE:
                return set(b, b->host, "NetworkMode",
                           json_string(mode->name ? mode->name : "bridge"));
        case ZL_NETWORK_CONTAINER:
                return put_joined(b, "network_mode", "NetworkMode", mode->name);
        default:
                return 0;
        }
}

static int put_ports(struct body *b)
{
        json_t *exposed = json_object(), *bindings = json_object();
        int r = set(b, b->top, "ExposedPorts", exposed);

        if (set(b, b->host, "PortBindings", bindings) < 0 || r < 0)
                return -ENOMEM;
        ZL_STRV_FOREACH(e, b->s->expose)
                if (r == 0) {
                        _cleanup_free_ char *key = NULL;

                        if (asprintf(&key, "%s%s", *e, strchr(*e, '/') ? "" : "/tcp") < 0)
                                return zl_fail_oom(b->err);
                        r = set(b, exposed, key, json_object());
                }
        for (size_t i = 0; r == 0 && i < b->s->n_port_mappings; i++) {
                const struct zl_port_mapping *p = &b->s->port_mappings[i];
                char key[32], port[8] = "";
                json_t *list;

                snprintf(key, sizeof(key), "%u/%s", p->container_port,
                         p->protocol == ZL_TRANSPORT_UDP ? "udp" : "tcp");
                if (p->has_host_port && p->host_port)
                        snprintf(port, sizeof(port), "%u", p->host_port);
                list = json_object_get(bindings, key);
                if (!list) {
                        list = json_array();
                        r = set(b, bindings, key, list);
                }
                if (r == 0)
                        r = set(b, exposed, key, json_object());
                if (r == 0 && json_array_append_new(list, json_pack("{s:s, s:s}", "HostIp",
                                                                    p->host_ip ? p->host_ip : "",
                                                                    "HostPort", port)) < 0)
                        r = zl_fail_oom(b->err);
        }
        return r;
}

/* Who shares the network of another shares its names and ports, and can have none of its own. */
static int check_shared(const struct body *b)
{
        const struct {
                bool asked;
                const char *field;
        } asked[] = { { b->s->hostname, "hostname" },
                      { b->s->dns && *b->s->dns, "dns" },
                      { b->s->extra_hosts && *b->s->extra_hosts, "extra_hosts" },
                      { b->s->expose && *b->s->expose, "expose" },
                      { b->s->n_port_mappings > 0, "port_mappings" } };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(asked); i++)
                if (asked[i].asked)
                        return refuse(b, asked[i].field, "this in the network of another workload");
        return 0;
}

static int put_network(struct body *b)
{
        _cleanup_free_ char *hostname = NULL;
        int r = put_network_mode(b);

        if (r == 0 && b->s->network_mode.kind == ZL_NETWORK_CONTAINER)
                return check_shared(b);
        if (r == 0)
                r = zl_bundle_hostname(b->s, &b->ident, &hostname, b->err);
        if (r == 0 && hostname)
                r = set(b, b->top, "Hostname", json_string(hostname));
        if (r == 0 && b->s->host_network && b->s->n_port_mappings > 0)
                warn(b, "port_mappings: the workload is on the host's network anyway");
        if (r == 0)
                r = put_ports(b);
        if (r == 0)
                r = set_strings(b, b->host, "Dns", b->s->dns);
        return r < 0 ? r : set_strings(b, b->host, "ExtraHosts", b->s->extra_hosts);
}

/* ---- isolation --------------------------------------------------------------------------------------- */

/* "host" or "container:ID", as far as Docker has it. */
static int put_mode(struct body *b, const char *field, const char *key, const char *mode)
{
        const char *joined = zl_bundle_joined(mode);

        if (!mode || !*mode)
                return 0;
        return joined ? put_joined(b, field, key, joined) : set(b, b->host, key, json_string(mode));
}

/* Docker's daemon wants the text of a seccomp profile; its own client reads the file, and so do we. */
static int put_option(struct body *b, json_t *list, const char *option)
{
        const char *path = zl_startswith(option, "seccomp=");
        _cleanup_free_ char *text = NULL;
        int r;

        if (!path)
                path = zl_startswith(option, "seccomp:");
        if (!path || zl_streq(path, "unconfined") || zl_streq(path, "builtin"))
                return json_array_append_new(list, json_string(option)) < 0 ? zl_fail_oom(b->err)
                                                                            : 0;
        r = zl_read_file_at(AT_FDCWD, path, PROFILE_MAX, &text, NULL);
        if (r < 0)
                return zl_fail_errno(b->err, -r, "security_opt: cannot read the profile %s", path);
        return json_array_append_new(list, json_sprintf("seccomp=%s", text)) < 0
                       ? zl_fail_oom(b->err)
                       : 0;
}

static int put_isolation(struct body *b)
{
        json_t *options = json_array();
        int r = set(b, b->host, "SecurityOpt", options);

        ZL_STRV_FOREACH(o, b->s->security_opt)
                if (r == 0)
                        r = put_option(b, options, *o);
        /* What is the default has no word here. */
        if (r == 0 && !zl_streq_ptr(b->s->pid_mode, "private"))
                r = put_mode(b, "pid_mode", "PidMode", b->s->pid_mode);
        if (r == 0)
                r = put_mode(b, "ipc_mode", "IpcMode", b->s->ipc_mode);
        if (r == 0 && b->s->userns_mode && *b->s->userns_mode) {
                if (!zl_streq(b->s->userns_mode, "host"))
                        return refuse(b, "userns_mode", "user namespaces per container");
                r = set(b, b->host, "UsernsMode", json_string("host"));
        }
        if (r == 0 && b->s->cgroup_parent)
                r = set(b, b->host, "CgroupParent", json_string(b->s->cgroup_parent));
        if (r == 0)
                r = set_strings(b, b->host, "CapAdd", b->s->capabilities);
        if (r == 0)
                r = set_strings(b, b->host, "CapDrop", b->s->cap_drop);
        if (r == 0 && b->s->sysctls.n)
                r = set(b, b->host, "Sysctls", object_of(&b->s->sysctls));
        return r < 0 ? r : set(b, b->host, "Privileged", json_boolean(b->s->privileged));
}

/* ---- all of it --------------------------------------------------------------------------------------- */

static int check_kind(struct body *b)
{
        if (b->s->wasm ||
            (b->s->service_type != ZL_SERVICE_STANDARD && b->s->service_type != ZL_SERVICE_JOB))
                return refuse(b, "service_type", "WebAssembly workloads");
        if (b->s->platform && b->s->platform->os != ZL_OS_LINUX) {
                zl_fail(b->err, ZL_E_ROUTE_TO_PEER, 0,
                        "%s needs %s: platform.os asks for it, and Docker here runs linux",
                        b->ident.service,
                        b->s->platform->os == ZL_OS_WINDOWS ? "windows" : "macos");
                return -EREMOTE;
        }
        return 0;
}

int docker_spec_make(const struct docker *d, const struct zl_create_options *o, json_t **ret,
                     struct zl_error *err)
{
        static int (*const parts[])(struct body *) = {
                check_kind,  put_process, put_env,     put_labels,  put_resources, put_ulimits,
                put_devices, put_logs,    put_storage, put_network, put_isolation,
        };
        struct zl_error own = ZL_ERROR_INIT;
        struct body b = { .d = d, .o = o, .s = o->spec, .err = &own };
        _cleanup_json_ json_t *top = json_object();
        int r = zl_ident_parse(o->name, &b.ident);

        b.top = top;
        b.host = json_object();
        if (r == 0)
                r = set(&b, top, "HostConfig", b.host);
        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(parts); i++)
                r = parts[i](&b);
        if (r < 0) {
                zl_error_move(err, &own);
                return r;
        }
        *ret = zl_take_ptr(top);
        return 0;
}
