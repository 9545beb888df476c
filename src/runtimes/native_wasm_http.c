/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Components that answer HTTP (wasi:http/proxy, service_type wasm_http). The C interface of the engine cannot drive an incoming
 * handler, so the process of such a workload is the program `wasmtime serve`, in the same container as zlayer-wasm would
 * be: the loader and the libraries are those of the engine's directory, the program is bound beside them.
 *
 * Each request gets an instance of its own; request_timeout ends it, max_instances bounds how many are answered at once, and
 * idle_timeout how long one that could be used again is kept. min_instances has no counterpart: what a request needs is compiled and
 * mapped from the start, and an instance takes microseconds.
 *
 * What may go wrong: the program is missing, the module is no component that answers HTTP; both are errors of create.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/strv.h"
#include "runtimes/native_wasm.h"
#include "spec/spec.h"
#include "wasm/cache.h"

#define HANDLER "wasi:http/incoming-handler@0.2."
#define REQUEST_TIMEOUT                                                                            \
        (30 * ZL_NSEC_PER_SEC) /* the default of the spec, for a service that has no `wasm` */
enum { MODULE_MAX = 256 << 20, CODE_MAX = 1 << 30, DEFAULT_PORT = 8080, KEPT_RESIDENT = 256 << 10 };

/* ---- the program ------------------------------------------------------------------------------------------ */

static int find_server(const char *monitor_path, char **ret, struct zl_error *err)
{
        const char *named = getenv("ZLAYER_WASMTIME");
        char *path = named && *named ? strdup(named) : zl_path_beside(monitor_path, "wasmtime");
        int r;

        if (!(named && *named) && (!path || access(path, X_OK) < 0)) {
                free(path);
                path = zl_find_program("wasmtime");
        }
        if (path && access(path, X_OK) == 0) {
                *ret = path;
                return 0;
        }
        free(path);
        r = zl_fail(err, ZL_E_UNSUPPORTED, 0,
                    "components that answer HTTP are served by the program wasmtime, which is not "
                    "there");
        zl_error_hint(err, "install wasmtime into $PATH or beside zlayer-monitor, or name it in "
                           "$ZLAYER_WASMTIME (tools/wasmtime cli fetches one)");
        return r;
}

/* ---- the component ------------------------------------------------------------------------------------------ */

/* Only the compiler reads a component to its end; these two tell what people mix up. */
static int check_component(const char *path, struct zl_error *err)
{
        _cleanup_free_ char *bytes = NULL;
        size_t len;
        int r = zl_read_file_at(AT_FDCWD, path, MODULE_MAX, &bytes, &len);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read the component %s", path);
        if (len >= 8 && memcmp(bytes, "\0asm\1\0\0\0", 8) == 0) {
                r = zl_fail(err, ZL_E_INVALID, 0,
                            "service_type wasm_http wants a component, and this is a core module");
                zl_error_hint(err, "tools like jco and wasm-tools make components of modules");
                return r;
        }
        if (!memmem(bytes, len, HANDLER, strlen(HANDLER)))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "the component does not answer HTTP: it does not export %sx",
                               HANDLER);
        return 0;
}

/* Another wasmtime, other code; how it is compiled has to fit how it is served. */
static int make_key(const char *server, const char *digest, bool fuel, char key[ZL_WASM_KEY_SIZE],
                    struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        struct stat st;

        if (stat(server, &st) < 0)
                return zl_fail_errno(err, errno, "cannot look at %s", server);
        if (asprintf(&text, "serve 1 epoch %llx %llx %llx %llx.%lx %s",
                     (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
                     (unsigned long long)st.st_size, (unsigned long long)st.st_mtim.tv_sec,
                     st.st_mtim.tv_nsec, digest) < 0) {
                text = NULL;
                return zl_fail_oom(err);
        }
        return zl_wasm_cache_key(text, fuel, key) ? 0 : zl_fail_oom(err);
}

static int put_code(const char *cache, const char *key, const char *file, struct zl_error *err)
{
        _cleanup_free_ char *code = NULL;
        uint64_t max;
        size_t len;
        int r = zl_read_file_at(AT_FDCWD, file, CODE_MAX, &code, &len);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read what wasmtime has compiled");
        r = zl_wasm_cache_max(&max, err);
        return r < 0 ? r : zl_wasm_cache_put(cache, key, code, len, max, err);
}

static int compile_to(struct native_wasm *w, const struct native_wasm_http *how, const char *key,
                      struct zl_error *err)
{
        const char *cache = how->cache;
        _cleanup_close_ int lock = zl_wasm_cache_lock(cache, err);
        _cleanup_free_ char *path = NULL, *file = NULL;
        char *args[] = { (char *)(uintptr_t) "compile",
                         (char *)(uintptr_t) "-Wepoch-interruption=y",
                         (char *)(uintptr_t)(w->options.fuel ? "-Wfuel=1"
                                                             : "-Wepoch-interruption=y"),
                         (char *)(uintptr_t) "-o",
                         NULL,
                         w->source,
                         NULL };
        int r;

        if (lock < 0)
                return lock;
        r = zl_wasm_cache_find(cache, key, &path, err);
        if (r != 0)
                return r < 0 ? r : 0;
        /* A name that the cache takes for none of its own, and removes should we die. */
        if (asprintf(&file, "%s/code/serve.%d", cache, (int)getpid()) < 0) {
                file = NULL;
                return zl_fail_oom(err);
        }
        args[4] = file;
        r = zl_wasm_call_helper(w->server, args, how->patience, NULL, err);
        if (r < 0)
                err->code =
                        ZL_E_PULL; /* the image is wrong: of wasmtime we know that it is there */
        if (r == 0)
                r = put_code(cache, key, file, err);
        unlink(file);
        return r;
}

int native_wasm_http_prepare(struct native_wasm *w, const struct native_wasm_http *how,
                             struct zl_error *err)
{
        char key[ZL_WASM_KEY_SIZE], *path = NULL;
        int r = find_server(how->monitor_path, &w->server, err);

        if (r == 0 && !w->options.http && how->spec->network_mode.kind != ZL_NETWORK_NONE) {
                r = zl_fail(err, ZL_E_UNSUPPORTED, 0,
                            "wasm: the program wasmtime cannot refuse outgoing HTTP requests");
                zl_error_hint(err, "network_mode: none keeps them from leaving the container");
        }
        if (r == 0)
                r = check_component(w->source, err);
        if (r == 0)
                r = make_key(w->server, how->digest, w->options.fuel > 0, key, err);
        if (r == 0)
                r = zl_wasm_cache_find(how->cache, key, &path, err);
        if (r == 0) {
                r = compile_to(w, how, key, err);
                if (r == 0)
                        r = zl_wasm_cache_find(how->cache, key, &path, err);
                if (r == 0)
                        r = zl_fail(err, ZL_E_INTERNAL, 0, "the compiled component is not in %s",
                                    how->cache);
        }
        if (r < 0)
                return r;
        free(w->source);
        w->source = path;
        w->compiled = true;
        return 0;
}

/* ---- its command --------------------------------------------------------------------------------------------- */

/* Where it listens: what the first endpoint or published port says, else 8080. */
static unsigned port_of(const struct zl_service_spec *spec)
{
        if (spec->n_endpoints > 0)
                return zl_spec_target_port(&spec->endpoints[0]);
        return spec->n_port_mappings > 0 ? spec->port_mappings[0].container_port : DEFAULT_PORT;
}

static unsigned long long milliseconds(int64_t nsec)
{
        return ((unsigned long long)nsec + 999999) / 1000000;
}

static int put_limits(const struct native_wasm *w, const struct zl_wasm_spec *s, char ***ret)
{
        int64_t timeout = s ? s->request_timeout : REQUEST_TIMEOUT;
        int r = zl_strv_push(ret, "-Wepoch-interruption=y"); /* as it was compiled */

        if (r == 0 && timeout > 0)
                r = zl_strv_pushf(ret, "-Wtimeout=%llums", milliseconds(timeout));
        if (r == 0 && s && s->idle_timeout > 0)
                r = zl_strv_pushf(ret, "--idle-instance-timeout=%llums",
                                  milliseconds(s->idle_timeout));
        if (r == 0 && s && s->max_instances > 0)
                r = zl_strv_pushf(ret, "--max-concurrent-requests=%u", s->max_instances);
        /* Memory, tables and stacks of so many instances that have ended are kept as they are, for the next. */
        if (r == 0 && s && s->min_instances > 0)
                r = zl_strv_pushf(ret,
                                  "-Opooling-allocator=y,pooling-max-unused-warm-slots=%u,pooling-"
                                  "memory-keep-resident=%d",
                                  s->min_instances, KEPT_RESIDENT);
        if (r == 0 && w->options.memory_max)
                r = zl_strv_pushf(ret, "-Wmax-memory-size=%llu",
                                  (unsigned long long)w->options.memory_max);
        if (r == 0 && w->options.fuel)
                r = zl_strv_pushf(ret, "-Wfuel=%llu", (unsigned long long)w->options.fuel);
        return r;
}

/* Variables are named only, so that nobody reads their values from the list of processes. */
static int put_world(const struct native_wasm *w, char *const *env, char ***ret)
{
        int r = 0;

        if (w->options.no_output)
                r = zl_strv_push(ret, "-Sinherit-stdout=n,inherit-stderr=n");
        if (r == 0 && w->options.network)
                r = zl_strv_push(ret, "-Sinherit-network=y,allow-ip-name-lookup=y");
        ZL_STRV_FOREACH(pair, env)
                if (r == 0 && !w->options.no_env)
                        r = zl_strv_pushf(ret, "--env=%.*s", (int)strcspn(*pair, "="), *pair);
        return r;
}

int native_wasm_http_command(const struct native_wasm *w, const struct zl_service_spec *spec,
                             char *const *env, char ***ret)
{
        static const char *const start[] = { ZL_WASM_ENGINE_MOUNT "/" ZL_WASM_LOADER,
                                             "--library-path",
                                             ZL_WASM_ENGINE_MOUNT,
                                             NATIVE_WASM_SERVER_MOUNT,
                                             "serve",
                                             "--allow-precompiled",
                                             "--no-logging-prefix" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(start); i++)
                r = zl_strv_push(ret, start[i]);
        if (r == 0)
                r = zl_strv_pushf(ret, "--addr=0.0.0.0:%u", port_of(spec));
        if (r == 0)
                r = put_limits(w, spec->wasm, ret);
        if (r == 0)
                r = put_world(w, env, ret);
        return r < 0 ? r : zl_strv_push(ret, ZL_WASM_MODULE_MOUNT);
}
