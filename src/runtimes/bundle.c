/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bundle builder: process, environment, namespaces, names. Arguments follow Docker (spec_process_args);
 * the environment is merged in the documented order, later wins: image, PATH, TERM, HOSTNAME, the spec's resolved
 * values, what a GPU wants.
 *
 * Why a function of its input alone: this is where a spec turns into rights on the machine, and it must be
 * possible to test every rule of that. The parts are called in order and stop at the first refusal.
 */
#include "runtimes/bundle.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/path.h"
#include "runtimes/bundle_private.h"
#include "spec/spec.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* ---- helpers ------------------------------------------------------------------------------------- */

void bundle_warn(const struct bundle_builder *b, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&text, fmt, ap) < 0)
                text = NULL;
        va_end(ap);
        if (!text)
                return;
        if (b->in->warn)
                b->in->warn(text, b->in->warn_data);
        zl_debug("%s: %s", b->in->name, text);
}

void *bundle_append(void *array, size_t *n, size_t size)
{
        void **p = array;
        char *grown = reallocarray(*p, *n + 1, size);

        if (!grown)
                return NULL;
        *p = grown;
        memset(grown + *n * size, 0, size);
        return grown + (*n)++ * size;
}

char **bundle_words(const char *text)
{
        char **words = NULL;

        while (*text) {
                size_t len = strcspn(text, " ");

                if (len > 0 && zl_strv_push_take(&words, strndup(text, len)) < 0) {
                        zl_strv_free(words);
                        return NULL;
                }
                text += len + strspn(text + len, " ");
        }
        return words;
}

void zl_bundle_devices_free(struct zl_bundle_device *devices, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(devices[i].path);
        free(devices);
}

const char *zl_bundle_joined(const char *mode)
{
        const char *id = mode ? zl_startswith(mode, "container:") : NULL;

        return id && *id ? id : NULL;
}

/* ---- names --------------------------------------------------------------------------------------- */

static bool is_hostname(const char *s)
{
        size_t len = strlen(s);

        /* The kernel takes 64 bytes. */
        if (len == 0 || len > 64 || s[0] == '-' || s[0] == '.')
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char)*s) && *s != '-' && *s != '.' && *s != '_')
                        return false;
        return true;
}

int zl_bundle_hostname(const struct zl_service_spec *spec, const struct zl_ident *ident, char **ret,
                       struct zl_error *err)
{
        int r;

        if (spec->hostname) {
                if (!is_hostname(spec->hostname))
                        return zl_fail(err, ZL_E_INVALID, 0, "hostname: \"%s\" is no host name",
                                       spec->hostname);
                *ret = strdup(spec->hostname);
                return *ret ? 0 : zl_fail_oom(err);
        }
        /* 63 - "-rep-" - ten digits */
        r = asprintf(ret, "%.48s-rep-%u", ident->service, ident->replica);
        return r < 0 ? zl_fail_oom(err) : 0;
}

int zl_bundle_cgroup(const struct zl_bundle_input *in, char **ret, struct zl_error *err)
{
        const char *parent = in->spec->cgroup_parent;
        int r;

        if (in->facts->systemd_cgroup) {
                size_t len = parent ? strlen(parent) : 0;

                if (parent && (len < 7 || !zl_streq(parent + len - 6, ".slice") ||
                               strchr(parent, '/') || strchr(parent, ':')))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "cgroup_parent: \"%s\" is not the name of a slice", parent);
                r = asprintf(ret, "%s:zlayer:%s", parent ? parent : "system.slice", in->name);
                return r < 0 ? zl_fail_oom(err) : 0;
        }
        if (parent) {
                parent += strspn(parent, "/");
                if (!zl_path_is_clean_relative(parent))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "cgroup_parent: \"%s\" is not a clean path",
                                       in->spec->cgroup_parent);
        }
        r = asprintf(ret, "/%s/%s", parent ? parent : "zlayer", in->name);
        return r < 0 ? zl_fail_oom(err) : 0;
}

/* ---- process ------------------------------------------------------------------------------------- */

static int set_pair(char ***env, const char *pair)
{
        const char *eq = strchr(pair, '=');
        _cleanup_free_ char *name = eq ? strndup(pair, (size_t)(eq - pair)) : NULL;

        /* "NAME" alone in an image means nothing; Docker drops it, too. */
        if (!eq || eq == pair)
                return 0;
        return name ? zl_env_set(env, name, eq + 1) : -ENOMEM;
}

static int add_spec_env(struct bundle_builder *b, char ***env)
{
        int r = 0;

        if (b->in->env) {
                ZL_STRV_FOREACH(pair, b->in->env)
                        if (set_pair(env, *pair) < 0)
                                return -ENOMEM;
                return 0;
        }
        for (size_t i = 0; r == 0 && i < b->spec->env.n; i++)
                r = zl_env_set(env, b->spec->env.items[i].key, b->spec->env.items[i].value);
        return r;
}

static int make_env(struct bundle_builder *b, char ***ret)
{
        _cleanup_strv_ char **env = NULL;
        int r = 0;

        ZL_STRV_FOREACH(pair, b->in->image->env)
                if (set_pair(&env, *pair) < 0)
                        return -ENOMEM;
        if (!b->in->wasm && !zl_env_get(env, "PATH"))
                r = zl_env_set(&env, "PATH", default_path);
        if (r == 0 && !b->in->wasm && !zl_env_get(env, "TERM"))
                r = zl_env_set(&env, "TERM", "xterm");
        if (r == 0 && !b->in->wasm && !zl_env_get(env, "HOSTNAME"))
                r = zl_env_set(&env, "HOSTNAME", b->config->hostname);
        if (r == 0)
                r = add_spec_env(b, &env);
        if (r == 0)
                r = bundle_gpu_env(b, &env);
        if (r == 0)
                *ret = zl_take_ptr(env);
        return r;
}

static int check_env(struct bundle_builder *b)
{
        for (size_t i = 0; !b->in->env && i < b->spec->env.n; i++) {
                const char *key = b->spec->env.items[i].key;

                if (!*key || strchr(key, '='))
                        return zl_fail(b->err, ZL_E_INVALID, 0,
                                       "env: \"%s\" cannot be the name of a variable", key);
        }
        return 0;
}

static int set_user(struct bundle_builder *b, struct zl_oci_process *process)
{
        const char *user = b->spec->user ? b->spec->user : b->in->image->user;

        /* Empty is root. Numbers go through the rootfs as well: their groups stand there. */
        if (user && *user && !(process->user.username = strdup(user)))
                return zl_fail_oom(b->err);
        if (b->in->n_extra_gids > 0) {
                process->user.additional_gids = calloc(b->in->n_extra_gids, sizeof(uint32_t));
                if (!process->user.additional_gids)
                        return zl_fail_oom(b->err);
                for (size_t i = 0; i < b->in->n_extra_gids; i++)
                        process->user.additional_gids[i] = b->in->extra_gids[i];
                process->user.n_additional_gids = b->in->n_extra_gids;
        }
        return 0;
}

static int set_terminal(struct bundle_builder *b, struct zl_oci_process *process)
{
        process->terminal = b->spec->tty;
        if (!b->spec->tty || b->in->rows == 0 || b->in->cols == 0)
                return 0;
        process->console_size = calloc(1, sizeof(*process->console_size));
        if (!process->console_size)
                return zl_fail_oom(b->err);
        process->console_size->height = b->in->rows;
        process->console_size->width = b->in->cols;
        return 0;
}

static int make_process(struct bundle_builder *b)
{
        const struct zl_image *image = b->in->image;
        struct zl_oci_process *process = b->config->process = calloc(1, sizeof(*process));
        const char *cwd = b->spec->command.workdir;
        int r;

        if (!process)
                return zl_fail_oom(b->err);
        if (!cwd || !*cwd)
                cwd = image->working_dir;
        if (!cwd || !*cwd)
                cwd = "/";
        if (cwd[0] != '/')
                return zl_fail(b->err, ZL_E_INVALID, 0, "command.workdir: \"%s\" is not absolute",
                               cwd);
        r = check_env(b);
        if (r < 0)
                return r;
        process->cwd = zl_path_clean_absolute(cwd);
        if (!process->cwd || make_env(b, &process->env) < 0 ||
            zl_spec_process_args(&b->spec->command, image->entrypoint, image->cmd, &process->args) <
                    0)
                return zl_fail_oom(b->err);
        if (!process->args[0][0])
                return zl_fail(b->err, ZL_E_INVALID, 0, "command: the program's name is empty");
        r = set_user(b, process);
        return r < 0 ? r : set_terminal(b, process);
}

/* ---- namespaces ---------------------------------------------------------------------------------- */

/* `joined` > 0: the namespace of that process. */
static int add_namespace(struct bundle_builder *b, const char *type, const char *proc, pid_t joined)
{
        struct zl_oci_linux *l = b->config->linux_;
        struct zl_oci_namespace *ns = BUNDLE_APPEND(l->namespaces, l->n_namespaces);

        if (!ns || !(ns->type = strdup(type)))
                return zl_fail_oom(b->err);
        if (joined > 0 && asprintf(&ns->path, "/proc/%d/ns/%s", (int)joined, proc) < 0) {
                ns->path = NULL;
                return zl_fail_oom(b->err);
        }
        return 0;
}

/* What network the workload lives in. A wish for isolation is never answered with less of it. */
static int choose_network(struct bundle_builder *b)
{
        const struct zl_network_mode *mode = &b->spec->network_mode;

        b->host_network = b->spec->host_network || mode->kind == ZL_NETWORK_HOST;
        if (b->host_network &&
            (mode->kind == ZL_NETWORK_NONE || mode->kind == ZL_NETWORK_CONTAINER))
                return zl_fail(b->err, ZL_E_INVALID, 0,
                               "network_mode: contradicts host_network: true");
        if (mode->kind == ZL_NETWORK_CONTAINER && b->in->network_of <= 0)
                return zl_fail(b->err, ZL_E_INTERNAL, 0, "network_mode: no process to join");
        return 0;
}

/* pid_mode and ipc_mode: "host", "private" (the default), "container:ID"; ipc also knows "shareable" and "none". */
static int choose_mode(struct bundle_builder *b, const char *field, const char *mode, bool ipc,
                       bool *ret_host)
{
        *ret_host = false;
        if (!mode || !*mode || zl_streq(mode, "private") || zl_bundle_joined(mode))
                return 0;
        if (zl_streq(mode, "host")) {
                *ret_host = true;
                return 0;
        }
        if (ipc && (zl_streq(mode, "shareable") || zl_streq(mode, "none")))
                return 0;
        return zl_fail(b->err, ZL_E_INVALID, 0, "%s: \"%s\" is not a known mode", field, mode);
}

static int make_namespaces(struct bundle_builder *b)
{
        const char *userns = b->spec->userns_mode;
        int r = choose_network(b);

        if (r == 0)
                r = choose_mode(b, "pid_mode", b->spec->pid_mode, false, &b->host_pid);
        if (r == 0)
                r = choose_mode(b, "ipc_mode", b->spec->ipc_mode, true, &b->host_ipc);
        if (r < 0)
                return r;
        /* Anything but the host's users is a wish for more isolation: never ignored. */
        if (userns && *userns && !zl_streq(userns, "host"))
                return zl_fail(b->err, ZL_E_UNSUPPORTED, 0,
                               "userns_mode: \"%s\" is not available, only \"host\" is", userns);
        r = add_namespace(b, "mount", "mnt", 0);
        if (r == 0)
                r = add_namespace(b, "uts", "uts", 0);
        if (r == 0)
                r = add_namespace(b, "cgroup", "cgroup", 0);
        if (r == 0 && !b->host_pid)
                r = add_namespace(b, "pid", "pid", b->in->pid_of);
        if (r == 0 && !b->host_ipc)
                r = add_namespace(b, "ipc", "ipc", b->in->ipc_of);
        if (r == 0 && !b->host_network)
                r = add_namespace(b, "network", "net", b->in->network_of);
        return r;
}

/* ---- the rest ------------------------------------------------------------------------------------ */

static int add_annotation(struct bundle_builder *b, const char *key, const char *value)
{
        return zl_str_map_set(&b->config->annotations, key, value) < 0 ? zl_fail_oom(b->err) : 0;
}

static int make_annotations(struct bundle_builder *b)
{
        char replica[16];
        int r = 0;

        snprintf(replica, sizeof(replica), "%u", b->in->ident->replica);
        for (size_t i = 0; r == 0 && i < b->spec->labels.n; i++)
                r = add_annotation(b, b->spec->labels.items[i].key, b->spec->labels.items[i].value);
        if (r == 0)
                r = add_annotation(b, "com.zlayer.deployment", b->in->ident->deployment);
        if (r == 0)
                r = add_annotation(b, "com.zlayer.service", b->in->ident->service);
        if (r == 0)
                r = add_annotation(b, "com.zlayer.replica", replica);
        return r;
}

/* Only own namespaces may be changed: everything else under /proc/sys belongs to the machine. */
static bool sysctl_is_own(const struct bundle_builder *b, const char *key)
{
        static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb",
                                           "kernel.msgmni", "kernel.sem",
                                           "kernel.shmall", "kernel.shmmax",
                                           "kernel.shmmni", "kernel.shm_rmid_forced" };

        if (zl_startswith(key, "net."))
                return !b->host_network && b->in->network_of == 0;
        if (zl_startswith(key, "fs.mqueue."))
                return !b->host_ipc;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(ipc); i++)
                if (zl_streq(key, ipc[i]))
                        return !b->host_ipc;
        return zl_streq(key, "kernel.domainname");
}

static int make_sysctls(struct bundle_builder *b)
{
        for (size_t i = 0; i < b->spec->sysctls.n; i++) {
                const char *key = b->spec->sysctls.items[i].key;

                if (strstr(key, "..") || strchr(key, '/') || !sysctl_is_own(b, key))
                        return zl_fail(
                                b->err, ZL_E_INVALID, 0,
                                "sysctls: \"%s\" does not belong to a namespace of this workload",
                                key);
                if (zl_str_map_set(&b->config->linux_->sysctl, key,
                                   b->spec->sysctls.items[i].value) < 0)
                        return zl_fail_oom(b->err);
        }
        return 0;
}

/* The defaults of the spec are no wishes. */
static void warn_about_wasm(const struct bundle_builder *b, const struct zl_wasm_spec *w)
{
        bool http = b->spec->service_type == ZL_SERVICE_WASM_HTTP;

        if (!http && ((w->max_instances != 10 && w->min_instances == 0) ||
                      w->idle_timeout != 300 * ZL_NSEC_PER_SEC ||
                      w->request_timeout != 30 * ZL_NSEC_PER_SEC))
                bundle_warn(b,
                            "wasm.max_instances, idle_timeout, request_timeout: a service of this "
                            "type is one instance and has no requests");
        if (!http && w->min_instances > 0 &&
            (zl_strv_len(b->spec->command.entrypoint) || zl_strv_len(b->spec->command.args)))
                bundle_warn(b, "command: with wasm.min_instances nothing is run before an exec, "
                               "which brings its own arguments");
        if (http && (w->has_epoch_interval || !w->precompile))
                bundle_warn(
                        b, "wasm.epoch_interval, precompile: a service of type wasm_http is always "
                           "compiled before it starts, and its requests end by request_timeout");
        if (w->kv_namespace || w->kv_max_value_size != 1 << 20 || zl_strv_len(w->secrets) > 0)
                bundle_warn(b, "wasm.kv_namespace, kv_max_value_size, secrets: guests have no "
                               "key-value store and no secrets yet");
}

static bool is_without_address(const struct bundle_builder *b)
{
        const struct zl_service_spec *s = b->spec;

        if (!b->host_network)
                return s->n_endpoints > 0 && !zl_spec_is_on_bridge(s);
        for (size_t i = 0; i < s->n_endpoints; i++)
                if (zl_spec_target_port(&s->endpoints[i]) != s->endpoints[i].port)
                        return true;
        return false;
}

/* Fields that somebody may rely on and that nothing here does yet. */
static void warn_about_the_rest(const struct bundle_builder *b)
{
        const struct zl_service_spec *s = b->spec;

        if (s->n_port_mappings > 0 && (b->host_network || !zl_spec_is_on_bridge(s)))
                bundle_warn(b, "port_mappings: ports are published on a bridge only%s",
                            b->host_network ? " (the workload is on the host's network anyway)"
                                            : "");
        /* The agent refuses these (agent/endpoints.h); here may be somebody else. */
        if (is_without_address(b))
                bundle_warn(b,
                            "endpoints: nothing leads to them beside a bridge but, on the host's "
                            "network, the workload's own ports");
        if (b->in->wasm && (s->privileged || zl_strv_len(s->capabilities) > 0))
                bundle_warn(b,
                            "%s: a WebAssembly program has no rights on the system, it gets none",
                            s->privileged ? "privileged" : "capabilities");
        if (b->in->wasm && s->wasm)
                warn_about_wasm(b, s->wasm);
        if (s->logs && !zl_streq(s->logs->destination, "disk"))
                bundle_warn(b, "logs.destination: \"%s\" is not available, logs are kept on disk",
                            s->logs->destination);
}

static int check_kind(struct bundle_builder *b)
{
        const struct zl_platform_spec *p = b->spec->platform;
        const char *machine = b->in->facts->machine;

        if (!b->in->wasm &&
            (b->in->image->kind == ZL_IMAGE_WASM || (b->spec->service_type != ZL_SERVICE_STANDARD &&
                                                     b->spec->service_type != ZL_SERVICE_JOB)))
                return zl_fail(b->err, ZL_E_UNSUPPORTED, 0,
                               "%s is a WebAssembly workload, which the native runtime cannot run",
                               b->in->name);
        if (b->in->wasm && b->spec->tty)
                return zl_fail(b->err, ZL_E_UNSUPPORTED, 0,
                               "tty: a WebAssembly program cannot have a terminal");
        if (p && p->os != ZL_OS_LINUX)
                return zl_fail(b->err, ZL_E_ROUTE_TO_PEER, 0,
                               "platform.os: %s must run on another machine, this one is Linux",
                               b->in->name);
        if (p && !zl_streq(machine, p->arch == ZL_ARCH_AMD64 ? "x86_64" : "aarch64"))
                return zl_fail(b->err, ZL_E_ROUTE_TO_PEER, 0,
                               "platform.arch: %s must run on another machine, this one is %s",
                               b->in->name, machine);
        return 0;
}

static int choose_stop(struct bundle_builder *b, struct zl_bundle *ret)
{
        const char *text = b->spec->stop_signal ? b->spec->stop_signal : b->in->image->stop_signal;

        ret->stop_signal = 15;
        if (text && *text) {
                ret->stop_signal = zl_parse_signal(text);
                if (ret->stop_signal < 0)
                        return zl_fail(b->err, ZL_E_INVALID, 0,
                                       "stop_signal: \"%s\" is not a signal", text);
        }
        ret->grace_nsec = b->spec->has_stop_grace_period ? b->spec->stop_grace_period
                                                         : ZL_BUNDLE_GRACE_DEFAULT;
        ret->init_reaper = b->spec->has_init_container && b->spec->init_container;
        if (ret->init_reaper && (b->host_pid || b->in->pid_of > 0)) {
                bundle_warn(b, "init_container: not needed without a process namespace of its own");
                ret->init_reaper = false;
        }
        return 0;
}

static int make_frame(struct bundle_builder *b)
{
        struct zl_oci_config *c = b->config;
        int r;

        c->oci_version = strdup("1.2.0");
        c->root = calloc(1, sizeof(*c->root));
        c->linux_ = calloc(1, sizeof(*c->linux_));
        if (!c->oci_version || !c->root || !c->linux_ || !(c->root->path = strdup(b->in->rootfs)) ||
            !(c->linux_->rootfs_propagation = strdup("private")))
                return zl_fail_oom(b->err);
        c->root->readonly = b->spec->read_only_root_fs;
        r = zl_bundle_hostname(b->spec, b->in->ident, &c->hostname, b->err);
        if (r < 0 || (b->in->facts->rootless && !b->spec->cgroup_parent))
                return r;
        return zl_bundle_cgroup(b->in, &c->linux_->cgroups_path, b->err);
}

int zl_bundle_make(const struct zl_bundle_input *in, struct zl_bundle *ret, struct zl_error *err)
{
        static int (*const parts[])(struct bundle_builder *) = {
                check_kind,    make_frame,     make_namespaces,  make_process,
                bundle_mounts, bundle_devices, bundle_security,  bundle_resources,
                bundle_limits, make_sysctls,   make_annotations,
        };
        struct zl_bundle bundle = { .config = calloc(1, sizeof(*bundle.config)) };
        struct bundle_builder b = {
                .in = in, .spec = in->spec, .config = bundle.config, .err = err
        };
        int r = 0;

        if (!bundle.config)
                return zl_fail_oom(err);
        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(parts); i++)
                r = parts[i](&b);
        zl_strv_free(b.cdi_files);
        if (r == 0)
                r = choose_stop(&b, &bundle);
        if (r < 0) {
                zl_bundle_done(&bundle);
                return r;
        }
        warn_about_the_rest(&b);
        bundle.builtin_filter = b.builtin_filter;
        *ret = bundle;
        return 0;
}
