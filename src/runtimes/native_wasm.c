/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebAssembly workloads (see native_wasm.h). Two kinds of images: an artifact, whose blob is the module and which has no
 * files; and an image with layers for the platform wasi/wasm, whose entrypoint is a file in them and which sees its root
 * file system, as crun and containerd's shims do it.
 *
 * Two sandboxes: the engine gives the guest what is opened for it and nothing else; the container round it has no
 * capabilities, no devices' worth, a seccomp filter and a root with no programs, for the day the engine has a hole.
 *
 * What may go wrong: the module (an error of create, from the compiler or its check), the cache (an error with its path).
 */
#include "runtimes/native_wasm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strv.h"
#include "spec/spec.h"
#include "wasm/cache.h"

enum { MODULE_MAX = 256 << 20, EXEC_MAX = 1 << 20, EPOCH_DEADLINE = 1000000 };
#define EXEC_FILE NATIVE_WASM_DIR "/command"

void native_wasm_free(struct native_wasm *w)
{
        if (!w)
                return;
        free(w->engine);
        free(w->source);
        free(w->server);
        zl_strv_free(w->args);
        zl_wasm_options_done(&w->options);
        free(w);
}

bool native_wasm_is(const struct zl_image *image)
{
        return image->kind == ZL_IMAGE_WASM ||
               (image->architecture && zl_startswith(image->architecture, "wasm")) ||
               (image->os && zl_startswith(image->os, "wasi"));
}

int native_wasm_find_helper(const char *monitor_path, char **ret, struct zl_error *err)
{
        const char *named = getenv("ZLAYER_WASM");
        char *path = named && *named ? strdup(named)
                                     : zl_path_beside(monitor_path, ZL_WASM_PROGRAM);
        int r = 0;

        if (!path || access(path, X_OK) < 0) {
                r = zl_fail(err, ZL_E_CONFIGURATION, 0, "the program zlayer-wasm is not there");
                zl_error_hint(err, "build with -Dwasm=enabled; wasmtime is fetched by "
                                   "`tools/wasmtime library`, which needs pip and cargo");
        }
        if (r == 0 && ret)
                *ret = zl_take_ptr(path);
        free(path);
        return r;
}

/* ---- the module -------------------------------------------------------------------------------------- */

static int digest_file(const char *path, char digest[ZL_DIGEST_TEXT_MAX], struct zl_error *err)
{
        _cleanup_free_ char *bytes = NULL;
        size_t len;
        int r = zl_read_file_at(AT_FDCWD, path, MODULE_MAX, &bytes, &len);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read the module %s", path);
        return zl_sha256_text(bytes, len, digest) ? 0 : zl_fail_oom(err);
}

/* A file of the image, from the topmost layer that has it. */
static int find_in_layers(const struct zl_image *image, const char *name, char **ret,
                          struct zl_error *err)
{
        for (size_t i = zl_strv_len(image->layer_dirs); i-- > 0;) {
                _cleanup_close_ int root = open(image->layer_dirs[i],
                                                O_PATH | O_DIRECTORY | O_CLOEXEC);
                _cleanup_close_ int fd = root < 0 ? -errno
                                                  : zl_open_in(root, name, O_RDONLY, 0,
                                                               ZL_PATH_NO_SYMLINKS);
                struct stat st;

                if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                        continue;
                *ret = zl_path_join(image->layer_dirs[i], name + strspn(name, "/"));
                return *ret ? 0 : zl_fail_oom(err);
        }
        return zl_fail(err, ZL_E_INVALID, 0, "the image has no file %s to run", name);
}

/* What follows argv0: as for containers where the image has a command, else all that the spec says. */
static int choose_args(struct native_wasm *w, const struct zl_service_spec *spec,
                       const struct zl_image *image, char **ret_name, struct zl_error *err)
{
        _cleanup_strv_ char **args = NULL;

        if (image->kind == ZL_IMAGE_WASM) {
                if (zl_strv_extend(&w->args, spec->command.entrypoint) < 0 ||
                    zl_strv_extend(&w->args, spec->command.args) < 0)
                        return zl_fail_oom(err);
                w->options.argv0 = strdup(image->wasm_name ? image->wasm_name : spec->image.name);
                return w->options.argv0 ? 0 : zl_fail_oom(err);
        }
        if (zl_spec_process_args(&spec->command, image->entrypoint, image->cmd, &args) < 0)
                return zl_fail_oom(err);
        w->options.argv0 = strdup(args[0]);
        *ret_name = args[0][0] == '/' ? strdup(args[0]) : NULL;
        if (args[0][0] != '/' && asprintf(ret_name, "/%s", args[0]) < 0)
                *ret_name = NULL;
        if (!w->options.argv0 || !*ret_name || zl_strv_extend(&w->args, args + 1) < 0)
                return zl_fail_oom(err);
        return 0;
}

/* Who waits for a compilation. */
struct waiting {
        const struct zl_create_options *options;
        const char *source; /* of the module */
};

static void tell_progress(void *data, unsigned seconds)
{
        const struct waiting *w = data;
        _cleanup_free_ char *text = NULL;
        struct stat st = { 0 };

        (void)stat(w->source, &st);
        if (asprintf(&text, "compiling %s (%.1f MiB, once for this module): %u s so far",
                     w->options->spec->image.name, (double)st.st_size / (1 << 20), seconds) < 0)
                return;
        if (w->options->progress)
                w->options->progress(text, w->options->progress_data);
        else
                zl_info("%s: %s", w->options->name, text);
}

struct compilation {
        const char *cache, *helper, *digest;
        const struct zl_wasm_patience *patience;
};

static int compile(struct native_wasm *w, const struct compilation *c, struct zl_error *err)
{
        const char *cache = c->cache, *digest = c->digest;
        bool fuel = w->options.fuel > 0;
        char key[ZL_WASM_KEY_SIZE];
        char *args[] = { (char *)(uintptr_t) "compile",
                         (char *)(uintptr_t)cache,
                         w->source,
                         (char *)(uintptr_t)digest,
                         fuel ? (char *)(uintptr_t) "fuel" : NULL,
                         NULL };
        char *path = NULL;
        int r;

        if (!zl_wasm_cache_key(digest, fuel, key))
                return zl_fail_oom(err);
        r = zl_wasm_cache_find(cache, key, &path, err);
        if (r == 0) {
                r = zl_wasm_call_helper(c->helper, args, c->patience, NULL, err);
                if (r < 0 && err->code == ZL_E_INVALID)
                        err->code = ZL_E_PULL; /* the image is wrong, not what was asked for */
                if (r == 0)
                        r = zl_wasm_cache_find(cache, key, &path, err);
                if (r == 0)
                        r = zl_fail(err, ZL_E_INTERNAL, 0, "the compiled module is not in %s",
                                    cache);
        }
        if (r < 0)
                return r;
        free(w->source);
        w->source = path;
        w->compiled = true;
        return 0;
}

/* ---- what it may do ---------------------------------------------------------------------------------- */

/* Others than the types of WebAssembly have no list of capabilities: everything the engine can give. */
static int grant(struct native_wasm *w, const struct zl_service_spec *spec, struct zl_error *err)
{
        const struct zl_wasm_spec *s = spec->wasm;
        struct zl_wasm_options *o = &w->options;
        struct zl_wasm_capabilities caps;
        int r;

        o->http = o->network = true;
        if (!zl_wasm_capabilities_allowed(spec->service_type, &caps))
                return 0;
        if (s && s->capabilities)
                caps = *s->capabilities;
        o->no_args = o->no_stdin = !caps.cli;
        o->no_env = !caps.config;
        o->no_output = !caps.logging;
        o->http = caps.http_client && (!s || s->allow_http_outgoing);
        o->network = caps.sockets || (s && s->allow_tcp && s->allow_udp);
        if (s && s->allow_tcp != s->allow_udp) {
                r = zl_fail(err, ZL_E_UNSUPPORTED, 0,
                            "wasm: allow_tcp and allow_udp can only be granted together");
                zl_error_hint(err, "the engine opens the network as a whole or not at all");
                return r;
        }
        if (o->http && s && zl_strv_len(s->allowed_hosts) > 0) {
                r = zl_fail(err, ZL_E_UNSUPPORTED, 0,
                            "wasm.allowed_hosts: the engine cannot limit requests to some hosts");
                zl_error_hint(err, "leave the list empty (all hosts), or set allow_http_outgoing: "
                                   "false");
                return r;
        }
        if (!caps.filesystem && (spec->n_storage > 0 || (s && s->n_preopens > 0)))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "storage: the capability filesystem is not granted to this service");
        return 0;
}

static int limit(struct native_wasm *w, const struct zl_service_spec *spec, struct zl_error *err)
{
        const struct zl_wasm_spec *s = spec->wasm;
        struct zl_wasm_options *o = &w->options;

        if (!s)
                return 0;
        if (s->max_memory && zl_spec_memory_bytes(s->max_memory, &o->memory_max) < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "wasm.max_memory: %s is not a size",
                               s->max_memory);
        o->fuel = s->max_fuel;
        if (s->has_epoch_interval && s->epoch_interval > 0) {
                o->epoch_nsec = s->epoch_interval;
                o->epoch_deadline = EPOCH_DEADLINE;
        }
        if (spec->service_type != ZL_SERVICE_WASM_HTTP && s->min_instances > 0) {
                if (spec->tty)
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "wasm.min_instances: what only keeps instances ready has no "
                                       "terminal; each exec can have one");
                o->ready = s->min_instances;
                w->keep_most = s->max_instances;
        }
        return 0;
}

/* The blob's name is its digest. */
static int find_module(struct native_wasm *w, const struct zl_image *image, const char *name,
                       char digest[ZL_DIGEST_TEXT_MAX], struct zl_error *err)
{
        const char *hex = image->wasm_path ? strrchr(image->wasm_path, '/') : NULL;
        int r;

        if (image->kind != ZL_IMAGE_WASM) {
                r = find_in_layers(image, name, &w->source, err);
                return r < 0 ? r : digest_file(w->source, digest, err);
        }
        w->source = strdup(image->wasm_path);
        if (!w->source)
                return zl_fail_oom(err);
        snprintf(digest, ZL_DIGEST_TEXT_MAX, "sha256:%.64s", hex ? hex + 1 : "");
        return 0;
}

int native_wasm_prepare_spare(struct native *n, const struct zl_service_spec *spec,
                              struct native_wasm **ret, struct zl_error *err)
{
        _cleanup_free_ char *helper = NULL;
        struct native_wasm *w = calloc(1, sizeof(*w));
        int r = w ? native_wasm_find_helper(n->settings.monitor_path, &helper, err)
                  : zl_fail_oom(err);

        if (r == 0) {
                w->compiled = w->linked = w->spare = true;
                r = grant(w, spec, err);
        }
        if (r == 0)
                r = limit(w, spec, err);
        if (r == 0)
                r = zl_wasm_engine_dir(n->settings.wasm_cache_dir, helper, &w->engine, err);
        if (r < 0) {
                native_wasm_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

int native_wasm_prepare(struct native *n, const struct zl_create_options *options,
                        const struct zl_image *image, struct native_wasm **ret,
                        struct zl_error *err)
{
        const struct zl_service_spec *spec = options->spec;
        const char *cache = n->settings.wasm_cache_dir;
        struct waiting waiting = { .options = options };
        const struct zl_wasm_patience patience = { tell_progress, &waiting };
        _cleanup_free_ char *helper = NULL, *name = NULL;
        struct native_wasm *w = calloc(1, sizeof(*w));
        char digest[ZL_DIGEST_TEXT_MAX];
        int r = w ? 0 : zl_fail_oom(err);

        if (r == 0)
                r = native_wasm_find_helper(n->settings.monitor_path, &helper, err);
        if (r == 0)
                w->options.timeout_nsec = n->settings.wasm_max_execution_nsec;
        if (r == 0)
                r = grant(w, spec, err);
        if (r == 0)
                r = limit(w, spec, err);
        if (r == 0)
                w->own_root = image->kind != ZL_IMAGE_WASM;
        if (r == 0)
                r = choose_args(w, spec, image, &name, err);
        if (r == 0)
                r = find_module(w, image, name, digest, err);
        if (r == 0)
                r = zl_wasm_engine_dir(cache, helper, &w->engine, err);
        if (r == 0)
                waiting.source = w->source;
        if (r == 0 && spec->service_type == ZL_SERVICE_WASM_HTTP)
                r = native_wasm_http_prepare(w,
                                             &(struct native_wasm_http){ spec,
                                                                         n->settings.monitor_path,
                                                                         cache, digest, &patience },
                                             err);
        else if (r == 0 && (!spec->wasm || spec->wasm->precompile))
                r = compile(w, &(struct compilation){ cache, helper, digest, &patience }, err);
        if (r < 0) {
                native_wasm_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

/* ---- its configuration ---------------------------------------------------------------------------------- */

static int add_bind(struct zl_oci_config *config, const char *source, const char *target,
                    bool readonly)
{
        struct zl_oci_mount *mounts = reallocarray(config->mounts, config->n_mounts + 1,
                                                   sizeof(*mounts));
        struct zl_oci_mount *m;

        if (!mounts)
                return -ENOMEM;
        config->mounts = mounts;
        m = &mounts[config->n_mounts++];
        *m = (struct zl_oci_mount){ .destination = strdup(target),
                                    .type = strdup("bind"),
                                    .source = strdup(source) };
        if (!m->destination || !m->type || !m->source || zl_strv_push(&m->options, "bind") < 0 ||
            zl_strv_push(&m->options, "nosuid") < 0 || zl_strv_push(&m->options, "nodev") < 0 ||
            zl_strv_push(&m->options, readonly ? "ro" : "rw") < 0)
                return -ENOMEM;
        return 0;
}

static int check_directory(const char *field, const char *path, struct zl_error *err)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return zl_fail_errno(err, errno, "%s: cannot open %s", field, path);
        return S_ISDIR(st.st_mode)
                       ? 0
                       : zl_fail(err, ZL_E_INVALID, 0,
                                 "%s: %s is no directory, and a WebAssembly program can be given "
                                 "nothing else",
                                 field, path);
}

static int add_preopens(struct native_wasm *w, const struct zl_wasm_spec *s,
                        struct zl_oci_config *config, struct zl_error *err)
{
        for (size_t i = 0; s && i < s->n_preopens; i++) {
                const struct zl_wasm_preopen *p = &s->preopens[i];
                _cleanup_free_ char *target = zl_path_clean_absolute(p->target);
                char field[40];
                int r;

                snprintf(field, sizeof(field), "wasm.preopens[%zu]", i);
                if (!target)
                        return zl_fail_oom(err);
                if (p->source[0] != '/' || p->target[0] != '/' || zl_streq(target, "/"))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "%s: source and target must be absolute, and not the root",
                                       field);
                r = check_directory(field, p->source, err);
                if (r < 0)
                        return r;
                if (add_bind(config, p->source, target, p->readonly) < 0 ||
                    zl_wasm_options_add_dir(&w->options, target, p->target, p->readonly) < 0)
                        return zl_fail_oom(err);
        }
        return 0;
}

/* What storage has mounted becomes a directory of the guest. The files of the network are for the C library, not for it. */
static int add_storage(struct native_wasm *w, const struct zl_oci_config *config,
                       struct zl_error *err)
{
        for (size_t i = 0; i < config->n_mounts; i++) {
                const struct zl_oci_mount *m = &config->mounts[i];
                bool bind = zl_streq(m->type, "bind");
                int r = 0;

                if (zl_streq(m->destination, "/etc/hosts") ||
                    zl_streq(m->destination, "/etc/hostname") ||
                    zl_streq(m->destination, "/etc/resolv.conf"))
                        continue;
                if (bind)
                        r = check_directory(m->destination, m->source, err);
                if (r == 0 && zl_wasm_options_add_dir(&w->options, m->destination, m->destination,
                                                      zl_strv_contains(m->options, "ro")) < 0)
                        r = zl_fail_oom(err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Of a spare, whose command is not known, NULL: then the file is there. */
static int save_command(int state_fd, char *const *command, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t len = 0;
        char *p;
        int r;

        ZL_STRV_FOREACH(s, command)
                len += strlen(*s) + 1;
        p = text = malloc(len + 1);
        if (!text)
                return zl_fail_oom(err);
        ZL_STRV_FOREACH(s, command)
                p = (char *)memcpy(p, *s, strlen(*s) + 1) + strlen(*s) + 1;
        fd = openat(state_fd, EXEC_FILE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        r = fd < 0 ? -errno : zl_write_full(fd, text, len);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s", EXEC_FILE) : 0;
}

static int set_options(struct native_wasm *w, char *const *env, struct zl_error *err)
{
        const char *module = w->linked ? ZL_WASM_CODE_MOUNT "/" ZL_WASM_CODE : ZL_WASM_MODULE_MOUNT;

        w->options.module = strdup(module);
        w->options.reason = strdup(NATIVE_WASM_MOUNT "/reason");
        w->options.no_home = !zl_env_get(env, "HOME");
        if (w->compiled)
                w->options.compiled = strdup(module);
        if (!w->options.module || !w->options.reason || (w->compiled && !w->options.compiled))
                return zl_fail_oom(err);
        if (w->own_root && zl_wasm_options_add_dir(&w->options, "/", "/", false) < 0)
                return zl_fail_oom(err);
        return 0;
}

/* What the process of the workload runs, and what an exec in it repeats with arguments of its own; NULL: nothing. */
static int make_commands(struct native_wasm *w, const struct zl_service_spec *spec,
                         struct zl_oci_config *config, char ***ret_first, char ***ret_exec)
{
        char *const *args = w->keep_most ? NULL : w->args;
        int r;

        if (w->server) {
                r = add_bind(config, w->server, NATIVE_WASM_SERVER_MOUNT, true);
                return r < 0 ? r
                             : native_wasm_http_command(w, spec, config->process->env, ret_first);
        }
        r = zl_wasm_command(&w->options,
                            w->spare       ? "spare"
                            : w->keep_most ? "keep"
                                           : "run",
                            ret_first);
        if (r == 0)
                r = zl_wasm_command(&w->options, "run", ret_exec);
        return r < 0 ? r : zl_strv_extend(ret_first, args);
}

int native_wasm_apply(struct native_wasm *w, const struct zl_service_spec *spec,
                      const char *state_dir, int state_fd, struct zl_oci_config *config,
                      struct zl_error *err)
{
        _cleanup_free_ char *end = zl_path_join(state_dir, NATIVE_WASM_DIR);
        _cleanup_free_ char *code = zl_path_join(state_dir, NATIVE_WASM_CODE_DIR);
        _cleanup_strv_ char **first = NULL, **exec = NULL;
        int r = end && code ? 0 : zl_fail_oom(err);

        /* What was a spare has them already. */
        if (r == 0 && mkdirat(state_fd, NATIVE_WASM_DIR, 0700) < 0 && errno != EEXIST)
                r = zl_fail_errno(err, errno, "cannot make %s", end);
        if (r == 0 && w->linked && mkdirat(state_fd, NATIVE_WASM_CODE_DIR, 0755) < 0 &&
            errno != EEXIST)
                r = zl_fail_errno(err, errno, "cannot make %s", code);
        if (r == 0)
                r = set_options(w, config->process->env, err);
        if (r == 0)
                r = add_storage(w, config, err);
        if (r == 0)
                r = add_preopens(w, spec->wasm, config, err);
        if (r == 0 && (make_commands(w, spec, config, &first, &exec) < 0 ||
                       add_bind(config, w->engine, ZL_WASM_ENGINE_MOUNT, true) < 0 ||
                       add_bind(config, w->linked ? code : w->source,
                                w->linked ? ZL_WASM_CODE_MOUNT : ZL_WASM_MODULE_MOUNT, true) < 0 ||
                       add_bind(config, end, NATIVE_WASM_MOUNT, false) < 0))
                r = zl_fail_oom(err);
        if (r == 0)
                r = save_command(state_fd, w->spare ? NULL : exec, err);
        if (r < 0)
                return r;
        zl_strv_free(config->process->args);
        config->process->args = zl_take_ptr(first);
        return 0;
}

/* ---- exec --------------------------------------------------------------------------------------------------- */

int native_wasm_exec_argv(int state_fd, char *const *args, char ***ret, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **command = NULL;
        size_t len;
        int r = zl_read_file_at(state_fd, EXEC_FILE, EXEC_MAX, &text, &len);

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", EXEC_FILE);
        if (len == 0)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "a component that answers HTTP has no command to execute");
        for (size_t i = 0; i < len; i += strlen(text + i) + 1)
                if (zl_strv_push(&command, text + i) < 0)
                        return zl_fail_oom(err);
        if (zl_strv_extend(&command, args) < 0)
                return zl_fail_oom(err);
        *ret = zl_take_ptr(command);
        return 1;
}
