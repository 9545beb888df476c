/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of runtimes: names, what is compiled in, what works on this machine, and how each is made. What "auto" means is
 * decided in select_auto.c from the facts that are gathered here.
 *
 * What may go wrong: a probe says yes and the constructor still fails (a race, a full disk). Then "auto" fails with
 * that error instead of trying the next kind: workloads of the first kind may exist, and silently using another
 * one would run them twice.
 */
#include "runtimes/select.h"
#include "runtimes/environment.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/parse.h"
#include "base/path.h"
#include "base/strv.h"
#ifdef ZL_HAVE_NATIVE
#include "runtimes/composite.h"
#endif
#include "runtimes/select_auto.h"
#include "spec/duration.h"

#ifndef ZL_LIBEXECDIR
#define ZL_LIBEXECDIR "/usr/local/libexec"
#endif

static const char not_built[] = "not part of this build";

#ifdef ZL_HAVE_NATIVE
#define NATIVE_PROBE probe_native
#define NATIVE_NEW zl_native_new
#define NATIVE_OPS &zl_native_ops
#define OCI_PROBE zl_oci_probe
#define OCI_NEW zl_oci_new
#define COMPOSITE_NEW composite_of_auto
#define COMPOSITE_OPS &zl_composite_ops
#define COMPOSITE_DETAIL "what auto chooses, each workload by the system of its image"
#define OCI_DETAIL "Linux containers by an external OCI runtime"
#define WASM_PROBE zl_wasm_probe
#define WASM_OPS &zl_wasm_ops
#define WASM_NEW zl_wasm_new
#define WASM_DETAIL "WebAssembly programs in containers of their own"
#else
#define OCI_PROBE NULL
#define OCI_NEW NULL
#define OCI_DETAIL not_built
#define COMPOSITE_NEW NULL
#define COMPOSITE_OPS NULL
#define COMPOSITE_DETAIL not_built
#define WASM_PROBE NULL
#define WASM_OPS NULL
#define WASM_NEW NULL
#define WASM_DETAIL not_built
#define NATIVE_PROBE NULL
#define NATIVE_NEW NULL
#define NATIVE_OPS NULL
#endif

#ifdef ZL_HAVE_NATIVE
static int probe_native(const struct zl_runtime_options *options, char **ret_version,
                        struct zl_error *err)
{
        int r = zl_native_probe(options, err);

        if (r == 0 && ret_version)
                *ret_version = strdup(ZL_VERSION);
        return r;
}
#endif

#ifdef ZL_HAVE_DOCKER
#define DOCKER_PROBE zl_docker_probe
#define DOCKER_NEW zl_docker_new
#define DOCKER_OPS &zl_docker_ops
#define DOCKER_DETAIL "containers of a Docker Engine"

#else
#define DOCKER_PROBE NULL
#define DOCKER_NEW NULL
#define DOCKER_OPS NULL
#define DOCKER_DETAIL not_built
#endif

#ifdef ZL_HAVE_NATIVE
static int composite_of_auto(const struct zl_runtime_options *options, struct zl_runtime **ret,
                             struct zl_error *err);
#endif

/* What there is; which of them "auto" means stands in select_auto.c. */
static const struct kind {
        enum zl_runtime_kind kind;
        const char *name, *alias;
        /* `*ret_version` may be NULL. */
        int (*probe)(const struct zl_runtime_options *options, char **ret_version,
                     struct zl_error *err);
        /* NULL: not built */
        int (*make)(const struct zl_runtime_options *options, struct zl_runtime **ret,
                    struct zl_error *err);
        const struct zl_runtime_ops *ops;
        const char *detail;
} kinds[] = {
        { ZL_RUNTIME_NATIVE, "native", "youki", NATIVE_PROBE, NATIVE_NEW, NATIVE_OPS,
          "Linux containers by the built-in engine" },
        { ZL_RUNTIME_DOCKER, "docker", NULL, DOCKER_PROBE, DOCKER_NEW, DOCKER_OPS, DOCKER_DETAIL },
        { ZL_RUNTIME_OCI, "oci", NULL, OCI_PROBE, OCI_NEW, NATIVE_OPS, OCI_DETAIL },
        { ZL_RUNTIME_WASM, "wasm", NULL, WASM_PROBE, WASM_NEW, WASM_OPS, WASM_DETAIL },
        { ZL_RUNTIME_LIBKRUN_VM, "libkrun-vm", NULL, NULL, NULL, NULL, not_built },
        { ZL_RUNTIME_SEATBELT, "seatbelt", NULL, NULL, NULL, NULL, not_built },
        { ZL_RUNTIME_HCS, "hcs", NULL, NULL, NULL, NULL, not_built },
        { ZL_RUNTIME_WSL, "wsl", NULL, NULL, NULL, NULL, not_built },
        { ZL_RUNTIME_COMPOSITE, "composite", NULL, NULL, COMPOSITE_NEW, COMPOSITE_OPS,
          COMPOSITE_DETAIL },
        { ZL_RUNTIME_MOCK, "mock", NULL, NULL, zl_mock_new, &zl_mock_ops,
          "in memory, for tests: runs nothing" },
};

static const struct kind *find_kind(enum zl_runtime_kind kind)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(kinds); i++)
                if (kinds[i].kind == kind)
                        return &kinds[i];
        return NULL;
}

/* ---- names --------------------------------------------------------------------------------------- */

const char *zl_runtime_kind_name(enum zl_runtime_kind kind)
{
        const struct kind *k = find_kind(kind);

        return k ? k->name : kind == ZL_RUNTIME_AUTO ? "auto" : "unknown";
}

int zl_runtime_kind_parse(const char *text, enum zl_runtime_kind *ret, const char **ret_oci_name)
{
        const char *oci = zl_startswith(text, "oci:");

        if (ret_oci_name)
                *ret_oci_name = NULL;
        if (zl_streq(text, "auto")) {
                *ret = ZL_RUNTIME_AUTO;
                return 0;
        }
        if (oci) {
                if (!*oci)
                        return -EINVAL;
                *ret = ZL_RUNTIME_OCI;
                if (ret_oci_name)
                        *ret_oci_name = oci;
                return 0;
        }
        for (size_t i = 0; i < ZL_ARRAY_SIZE(kinds); i++) {
                /* "oci" alone would not say which. */
                if (kinds[i].kind == ZL_RUNTIME_OCI)
                        continue;
                if (zl_streq(text, kinds[i].name) ||
                    (kinds[i].alias && zl_streq(text, kinds[i].alias))) {
                        *ret = kinds[i].kind;
                        return 0;
                }
        }
        return -EINVAL;
}

/* ---- settings ------------------------------------------------------------------------------------ */

void zl_runtime_settings_done(struct zl_runtime_settings *s)
{
        free(s->root_dir);
        free(s->runtime_dir);
        free(s->oci_name);
        free(s->monitor_path);
        free(s->docker_host);
        free(s->wasm_cache_dir);
        *s = (struct zl_runtime_settings){ 0 };
}

/* The first of option, environment variable and default, made absolute. */
static int choose_dir(const char *option, const char *variable, const char *fallback, char **ret,
                      struct zl_error *err)
{
        const char *env = getenv(variable);
        const char *path = option && *option ? option : env && *env ? env : fallback;
        _cleanup_free_ char *cwd = NULL, *joined = NULL;

        if (path[0] != '/') {
                cwd = getcwd(NULL, 0);
                if (!cwd)
                        return zl_fail_errno(err, errno, "cannot tell the working directory");
                joined = zl_path_join(cwd, path);
                if (!joined)
                        return zl_fail_oom(err);
                path = joined;
        }
        *ret = zl_path_clean_absolute(path);
        return *ret ? 0 : zl_fail_oom(err);
}

/* DIRECTORY-OF(path)/NAME if that can be executed, else NULL. */
static char *beside(const char *path, const char *name)
{
        char *file = zl_path_beside(path, name);

        if (file && access(file, X_OK) == 0)
                return file;
        free(file);
        return NULL;
}

/* An embedding program may live anywhere, so the place of the library itself counts, too. */
char *zl_find_installed(const char *name)
{
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *file = NULL;
        Dl_info info;

        if (n > 0) {
                self[n] = 0;
                file = beside(self, name);
        }
        if (!file && dladdr((void *)(uintptr_t)zl_find_installed, &info) && info.dli_fname) {
                _cleanup_free_ char *real = realpath(info.dli_fname, NULL);

                file = real ? beside(real, name) : NULL;
        }
        return file ? file : beside(ZL_LIBEXECDIR "/zlayer/", name);
}

static int choose_bool(const char *variable, bool *value, struct zl_error *err)
{
        const char *text = getenv(variable);

        if (text && *text && zl_parse_bool(text, value) < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "%s is \"%s\", which is neither true nor false", variable, text);
        return 0;
}

static int choose_wasm(const struct zl_runtime_options *o, struct zl_runtime_settings *s,
                       struct zl_error *err)
{
        const char *most = getenv("ZLAYER_WASM_MAX_EXECUTION_TIME");
        _cleanup_free_ char *fallback = zl_path_join(s->root_dir, "wasm");
        int r;

        if (!fallback)
                return zl_fail_oom(err);
        r = choose_dir(o->wasm_cache_dir, "ZLAYER_WASM_CACHE_DIR", fallback, &s->wasm_cache_dir,
                       err);
        if (r == 0 && !s->wasm_max_execution_nsec && most && *most &&
            zl_duration_parse(most, &s->wasm_max_execution_nsec, NULL) < 0)
                r = zl_fail(err, ZL_E_CONFIGURATION, 0,
                            "ZLAYER_WASM_MAX_EXECUTION_TIME is no duration: %s", most);
        return r == 0 ? choose_bool("ZLAYER_WASM_SPARE", &s->wasm_spare, err) : r;
}

int zl_runtime_settings_make(const struct zl_runtime_options *options,
                             struct zl_runtime_settings *ret, struct zl_error *err)
{
        static const struct zl_runtime_options none;
        const struct zl_runtime_options *o = options ? options : &none;
        const char *monitor = o->monitor_path ? o->monitor_path : getenv("ZLAYER_MONITOR");
        const char *systemd = getenv("ZLAYER_USE_SYSTEMD");
        struct zl_runtime_settings s = { .systemd_cgroup = o->systemd_cgroup,
                                         .plain_http = o->plain_http,
                                         .wasm_max_execution_nsec = o->wasm_max_execution_nsec,
                                         .wasm_spare = o->wasm_spare,
                                         .monitor_spare = o->monitor_spare };
        const char *data = getenv("ZLAYER_DATA_DIR"); /* an older name */
        int r = zl_environment_check(err);

        if (r == 0)
                r = choose_dir(o->root_dir, "ZLAYER_ROOT_DIR",
                               data && *data ? data : "/var/lib/zlayer", &s.root_dir, err);

        if (r == 0)
                r = choose_dir(o->runtime_dir, "ZLAYER_RUNTIME_DIR", "/var/run/zlayer",
                               &s.runtime_dir, err);
        if (r == 0 && (zl_replace_str(&s.oci_name, o->oci_name) < 0 ||
                       zl_replace_str(&s.docker_host, o->docker_host) < 0))
                r = zl_fail_oom(err);
        if (r == 0)
                r = choose_wasm(o, &s, err);
        if (r == 0)
                r = choose_bool("ZLAYER_MONITOR_SPARE", &s.monitor_spare, err);
        if (r == 0 && monitor && *monitor) {
                if (!(s.monitor_path = strdup(monitor)))
                        r = zl_fail_oom(err);
        } else if (r == 0) {
                s.monitor_path = zl_find_installed("zlayer-monitor");
        }
        if (r == 0 && !o->systemd_cgroup && systemd && *systemd &&
            zl_parse_bool(systemd, &s.systemd_cgroup) < 0)
                r = zl_fail(err, ZL_E_CONFIGURATION, 0,
                            "ZLAYER_USE_SYSTEMD is \"%s\", which is neither true nor false",
                            systemd);
        if (r < 0) {
                zl_runtime_settings_done(&s);
                return r;
        }
        *ret = s;
        return 0;
}

/* The settings once more as options, with every default filled. */
static struct zl_runtime_options options_of(const struct zl_runtime_settings *s)
{
        return (struct zl_runtime_options){
                .root_dir = s->root_dir,
                .runtime_dir = s->runtime_dir,
                .oci_name = s->oci_name,
                .monitor_path = s->monitor_path,
                .systemd_cgroup = s->systemd_cgroup,
                .plain_http = s->plain_http,
                .docker_host = s->docker_host,
                .wasm_cache_dir = s->wasm_cache_dir,
                .wasm_max_execution_nsec = s->wasm_max_execution_nsec,
                .wasm_spare = s->wasm_spare,
                .monitor_spare = s->monitor_spare,
        };
}

/* ---- choice -------------------------------------------------------------------------------------- */

static int make_one(const struct kind *k, const struct zl_runtime_options *options,
                    struct zl_runtime **ret, struct zl_error *err)
{
        int r;

        if (!k->make)
                return zl_fail(err, ZL_E_CONFIGURATION, 0, "the %s runtime is %s", k->name,
                               not_built);
        if (k->probe) {
                r = k->probe(options, NULL, err);
                if (r < 0) {
                        zl_error_prefix(err, "the %s runtime cannot be used", k->name);
                        return r;
                }
        }
        return k->make(options, ret, err);
}

static bool is_usable(enum zl_runtime_kind kind, void *data, struct zl_error *why)
{
        const struct kind *k = find_kind(kind);

        if (!k || !k->make) {
                zl_fail(why, ZL_E_CONFIGURATION, 0, "%s", not_built);
                return false;
        }
        return !k->probe || k->probe(data, NULL, why) == 0;
}

#ifdef ZL_HAVE_NATIVE
/* Those that were chosen, behind one door. */
static int make_composite(const struct zl_selection *s, const struct zl_runtime_options *options,
                          struct zl_runtime **ret, struct zl_error *err)
{
        struct zl_composite_target targets[ZL_SELECTION_MAX];
        int r;

        for (size_t i = 0; i < s->n; i++) {
                targets[i].os = zl_runtime_kind_os(s->kinds[i]);
                r = find_kind(s->kinds[i])->make(options, &targets[i].rt, err);
                if (r < 0) {
                        while (i-- > 0)
                                zl_runtime_free(targets[i].rt);
                        return r;
                }
        }
        return zl_composite_new(targets, s->n, options, NULL, ret, err);
}

static int composite_of_auto(const struct zl_runtime_options *options, struct zl_runtime **ret,
                             struct zl_error *err)
{
        struct zl_selection s;
        int r = zl_select_auto(zl_host_system(), is_usable, (void *)(uintptr_t)options, &s, err);

        return r < 0 ? r : make_composite(&s, options, ret, err);
}
#endif

static int make_auto(const struct zl_runtime_options *options, struct zl_runtime **ret,
                     struct zl_error *err)
{
        struct zl_selection s;
        int r = zl_select_auto(zl_host_system(), is_usable, (void *)(uintptr_t)options, &s, err);

        if (r < 0)
                return r;
#ifdef ZL_HAVE_NATIVE
        if (s.n > 1)
                return make_composite(&s, options, ret, err);
#endif
        return find_kind(s.kinds[0])->make(options, ret, err);
}

int zl_runtime_new(enum zl_runtime_kind kind, const struct zl_runtime_options *options,
                   struct zl_runtime **ret, struct zl_error *err)
{
        struct zl_runtime_settings settings;
        const struct kind *k;
        int r = zl_runtime_settings_make(options, &settings, err);

        if (r < 0)
                return r;
        const struct zl_runtime_options full = options_of(&settings);

        k = find_kind(kind);
        if (kind == ZL_RUNTIME_AUTO)
                r = make_auto(&full, ret, err);
        else if (k)
                r = make_one(k, &full, ret, err);
        else
                r = zl_fail(err, ZL_E_INVALID, 0, "%d is not a kind of runtime", (int)kind);
        zl_runtime_settings_done(&settings);
        return r;
}

/* ---- probe --------------------------------------------------------------------------------------- */

static int list_operations(const struct zl_runtime_ops *ops, char ***ret)
{
        const char *name;
        int r = 0;

        for (size_t i = 0; r == 0 && ops && (name = zl_runtime_operation_name(i)); i++)
                if (zl_runtime_ops_have(ops, i))
                        r = zl_strv_push(ret, name);
        return r;
}

int zl_runtime_probe(const struct zl_runtime_options *options, struct zl_runtime_info **ret,
                     size_t *ret_n, struct zl_error *err)
{
        struct zl_runtime_settings s;
        struct zl_runtime_info *infos;
        size_t n = 0;
        int r = zl_runtime_settings_make(options, &s, err);

        if (r < 0)
                return r;
        const struct zl_runtime_options full = options_of(&s);

        infos = calloc(ZL_ARRAY_SIZE(kinds), sizeof(*infos));
        for (; infos && n < ZL_ARRAY_SIZE(kinds); n++) {
                const struct kind *k = &kinds[n];
                _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
                char *version = NULL;
                bool works = k->make && (!k->probe || k->probe(&full, &version, &why) == 0);

                infos[n] = (struct zl_runtime_info){ .kind = k->kind,
                                                     .built = k->make != NULL,
                                                     .available = works,
                                                     .version = version };
                infos[n].detail = strdup(works || !k->make ? k->detail : zl_error_message(&why));
                if (!infos[n].detail || list_operations(k->ops, &infos[n].operations) < 0)
                        break;
        }
        zl_runtime_settings_done(&s);
        if (!infos || n < ZL_ARRAY_SIZE(kinds)) {
                zl_runtime_info_free(infos, ZL_ARRAY_SIZE(kinds));
                return zl_fail_oom(err);
        }
        *ret = infos;
        *ret_n = n;
        return 0;
}

void zl_runtime_info_free(struct zl_runtime_info *infos, size_t n)
{
        for (size_t i = 0; infos && i < n; i++) {
                free(infos[i].detail);
                free(infos[i].version);
                zl_strv_free(infos[i].operations);
        }
        free(infos);
}
