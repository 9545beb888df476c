/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of runtimes: names, what is compiled in, what works on this machine, and the choice of "auto". The
 * choice is explicit: the first kind in the order of the table that is built and whose probe succeeds; if none is, the
 * error names every kind that was tried and why it was not taken, so nobody has to guess.
 *
 * What may go wrong: a probe says yes and the constructor still fails (a race, a full disk). Then "auto" fails with
 * that error instead of trying the next kind: workloads of the first kind may exist, and silently using another
 * one would run them twice.
 */
#include "runtimes/select.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/parse.h"
#include "base/path.h"

#ifndef ZL_LIBEXECDIR
#define ZL_LIBEXECDIR "/usr/local/libexec"
#endif

static const char not_built[] = "not part of this build";

#ifdef ZL_HAVE_NATIVE
#define NATIVE_PROBE zl_native_probe
#define NATIVE_NEW zl_native_new
#else
#define NATIVE_PROBE NULL
#define NATIVE_NEW NULL
#endif

/* In the order in which "auto" tries those marked so. */
static const struct kind {
        enum zl_runtime_kind kind;
        const char *name, *alias;
        bool automatic;
        int (*probe)(const struct zl_runtime_options *options, struct zl_error *err);
        /* NULL: not built */
        int (*make)(const struct zl_runtime_options *options, struct zl_runtime **ret,
                    struct zl_error *err);
        const char *detail;
} kinds[] = {
        { ZL_RUNTIME_NATIVE, "native", "youki", true, NATIVE_PROBE, NATIVE_NEW,
          "Linux containers by the built-in engine" },
        { ZL_RUNTIME_DOCKER, "docker", NULL, true, NULL, NULL, not_built },
        { ZL_RUNTIME_OCI, "oci", NULL, false, NULL, NULL, not_built },
        { ZL_RUNTIME_WASM, "wasm", NULL, false, NULL, NULL, not_built },
        { ZL_RUNTIME_LIBKRUN_VM, "libkrun-vm", NULL, false, NULL, NULL, not_built },
        { ZL_RUNTIME_SEATBELT, "seatbelt", NULL, false, NULL, NULL, not_built },
        { ZL_RUNTIME_HCS, "hcs", NULL, false, NULL, NULL, not_built },
        { ZL_RUNTIME_WSL, "wsl", NULL, false, NULL, NULL, not_built },
        { ZL_RUNTIME_COMPOSITE, "composite", NULL, false, NULL, NULL, not_built },
        { ZL_RUNTIME_MOCK, "mock", NULL, false, NULL, zl_mock_new,
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

/* DIRECTORY-OF(path)/zlayer-monitor if that is a program, else NULL. */
static char *monitor_beside(const char *path)
{
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = slash ? strndup(path, (size_t)(slash - path)) : NULL;
        char *monitor = dir ? zl_path_join(dir, "zlayer-monitor") : NULL;

        if (monitor && access(monitor, X_OK) == 0)
                return monitor;
        free(monitor);
        return NULL;
}

/* An embedding program may live anywhere, so the place of the library itself counts, too. */
static char *find_monitor(void)
{
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *monitor = NULL;
        Dl_info info;

        if (n > 0) {
                self[n] = 0;
                monitor = monitor_beside(self);
        }
        if (!monitor && dladdr((void *)(uintptr_t)find_monitor, &info) && info.dli_fname) {
                _cleanup_free_ char *real = realpath(info.dli_fname, NULL);

                monitor = real ? monitor_beside(real) : NULL;
        }
        return monitor ? monitor : monitor_beside(ZL_LIBEXECDIR "/zlayer/");
}

int zl_runtime_settings_make(const struct zl_runtime_options *options,
                             struct zl_runtime_settings *ret, struct zl_error *err)
{
        static const struct zl_runtime_options none;
        const struct zl_runtime_options *o = options ? options : &none;
        const char *monitor = o->monitor_path ? o->monitor_path : getenv("ZLAYER_MONITOR");
        const char *systemd = getenv("ZLAYER_USE_SYSTEMD");
        struct zl_runtime_settings s = { .systemd_cgroup = o->systemd_cgroup,
                                         .plain_http = o->plain_http };
        int r = choose_dir(o->root_dir, "ZLAYER_ROOT_DIR", "/var/lib/zlayer", &s.root_dir, err);

        if (r == 0)
                r = choose_dir(o->runtime_dir, "ZLAYER_RUNTIME_DIR", "/var/run/zlayer",
                               &s.runtime_dir, err);
        if (r == 0 && o->oci_name && !(s.oci_name = strdup(o->oci_name)))
                r = zl_fail_oom(err);
        if (r == 0 && monitor && *monitor) {
                if (!(s.monitor_path = strdup(monitor)))
                        r = zl_fail_oom(err);
        } else if (r == 0) {
                s.monitor_path = find_monitor();
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

/* ---- choice -------------------------------------------------------------------------------------- */

static int make_one(const struct kind *k, const struct zl_runtime_options *options,
                    struct zl_runtime **ret, struct zl_error *err)
{
        int r;

        if (!k->make)
                return zl_fail(err, ZL_E_CONFIGURATION, 0, "the %s runtime is %s", k->name,
                               not_built);
        if (k->probe) {
                r = k->probe(options, err);
                if (r < 0) {
                        zl_error_prefix(err, "the %s runtime cannot be used", k->name);
                        return r;
                }
        }
        return k->make(options, ret, err);
}

static int make_auto(const struct zl_runtime_options *options, struct zl_runtime **ret,
                     struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf tried = ZL_BUF_INIT(64 << 10);
        _cleanup_error_ struct zl_error first = ZL_ERROR_INIT;
        int r;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(kinds); i++) {
                const struct kind *k = &kinds[i];
                _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

                if (!k->automatic)
                        continue;
                if (k->make && (!k->probe || k->probe(options, &why) == 0))
                        return k->make(options, ret, err);
                zl_buf_putf(&tried, "%s%s: %s", tried.len ? "; " : "", k->name,
                            k->make ? zl_error_message(&why) : not_built);
                if (!zl_error_is_set(&first))
                        zl_error_move(&first, &why);
        }
        r = zl_fail(err, ZL_E_CONFIGURATION, 0, "no runtime can be used here (%s)",
                    tried.data ? tried.data : "none is built");
        if (first.hint)
                zl_error_hint(err, "%s", first.hint);
        return r;
}

int zl_runtime_new(enum zl_runtime_kind kind, const struct zl_runtime_options *options,
                   struct zl_runtime **ret, struct zl_error *err)
{
        struct zl_runtime_settings settings;
        const struct kind *k;
        int r = zl_runtime_settings_make(options, &settings, err);

        if (r < 0)
                return r;
        const struct zl_runtime_options full = {
                .root_dir = settings.root_dir,
                .runtime_dir = settings.runtime_dir,
                .oci_name = settings.oci_name,
                .monitor_path = settings.monitor_path,
                .systemd_cgroup = settings.systemd_cgroup,
                .plain_http = settings.plain_http,
        };
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

int zl_runtime_probe(const struct zl_runtime_options *options, struct zl_runtime_info **ret,
                     size_t *ret_n, struct zl_error *err)
{
        struct zl_runtime_settings s;
        struct zl_runtime_info *infos;
        size_t n = 0;
        int r = zl_runtime_settings_make(options, &s, err);

        if (r < 0)
                return r;
        const struct zl_runtime_options full = { .root_dir = s.root_dir,
                                                 .runtime_dir = s.runtime_dir,
                                                 .oci_name = s.oci_name,
                                                 .monitor_path = s.monitor_path,
                                                 .systemd_cgroup = s.systemd_cgroup,
                                                 .plain_http = s.plain_http };
        infos = calloc(ZL_ARRAY_SIZE(kinds), sizeof(*infos));
        for (; infos && n < ZL_ARRAY_SIZE(kinds); n++) {
                const struct kind *k = &kinds[n];
                _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
                bool works = k->make && (!k->probe || k->probe(&full, &why) == 0);

                infos[n] = (struct zl_runtime_info){ .kind = k->kind,
                                                     .built = k->make != NULL,
                                                     .available = works };
                infos[n].detail = strdup(works || !k->make ? k->detail : zl_error_message(&why));
                if (!infos[n].detail)
                        break;
        }
        zl_runtime_settings_done(&s);
        if (!infos || n < ZL_ARRAY_SIZE(kinds)) {
                zl_runtime_info_free(infos, n);
                return zl_fail_oom(err);
        }
        *ret = infos;
        *ret_n = n;
        return 0;
}

void zl_runtime_info_free(struct zl_runtime_info *infos, size_t n)
{
        for (size_t i = 0; infos && i < n; i++)
                free(infos[i].detail);
        free(infos);
}
