/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the native runtime through its C interface, for system tests and for measuring: each call of this program is
 * one call of the library, in a process of its own, so what is tested is also that nothing depends on a
 * process that lives on. Directories come from the environment, as for every other program.
 *
 *         native-driver import PATH NAME            an image into the store
 *         native-driver create NAME FILE            the service of NAME in the spec FILE; warnings to standard error
 *         native-driver start|state|inspect|stats|recover|list|logs NAME …
 *         native-driver rename NAME NAME
 *         native-driver stop NAME [SECONDS]         native-driver kill NAME SIGNAL
 *         native-driver pause|resume NAME           native-driver rm NAME [force]
 *         native-driver wait NAME [SECONDS]         native-driver exec NAME COMMAND …
 *         native-driver repeat N state NAME|list    how long that takes
 *         native-driver latency FILE N              create + start of N containers one after the other
 *         native-driver phases FILE N               the same, and more operations: a line "OPERATION NANOSECONDS" for each call
 *
 * `state`, `list` and `wait` print "NAME STATE EXIT SIGNAL OOM GENERATION REASON". Errors go to standard error as
 * "CODE: message"; the exit code is then 1 (exec: that of the command).
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlayer/spec.h>

#include "base/clock.h"
#include "base/ident.h"
#include "base/parse.h"
#include "base/path.h"
#include "image/image.h"
#include "runtimes/runtime.h"
#include "runtimes/status.h"
#include "spec/spec.h"

static struct zl_runtime *rt;
static struct zl_error err;

static void warn(const char *text, void *data)
{
        fprintf(stderr, "warning: %s\n", text);
}

static void print_status(const struct zl_status *s)
{
        printf("%s %s %d %d %d %u %s\n", s->name, zl_workload_state_name(s->state), s->exit_code,
               s->signal, s->oom, s->generation, s->reason ? s->reason : "-");
}

static int import_image(int argc, char **argv)
{
        const char *root = getenv("ZLAYER_ROOT_DIR");
        _cleanup_free_ char *path = zl_path_join(root ? root : "/var/lib/zlayer", "images");
        _cleanup_image_store_ struct zl_image_store *store = NULL;
        int r = zl_image_store_open(path, NULL, &store, &err);

        return r < 0 ? r : zl_image_import(store, argv[0], argv[1], NULL, NULL, &err);
}

static int create_named(const char *name, const struct zl_deployment_spec *spec)
{
        struct zl_ident id;
        struct zl_create_options o = { .name = name, .warn = warn };

        if (zl_ident_parse(name, &id) == 0)
                o.spec = zl_spec_get_service(spec, id.service);
        return zl_runtime_create(rt, &o, &err);
}

static int create(int argc, char **argv)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        int r = zl_spec_load_file(argv[1], &spec, NULL, &err);

        return r < 0 ? r : create_named(argv[0], spec);
}

static int rename_it(int argc, char **argv)
{
        return zl_runtime_rename(rt, argv[0], argv[1], &err);
}

static int start(int argc, char **argv)
{
        return zl_runtime_start(rt, argv[0], &err);
}

static int64_t seconds(int argc, char **argv, int64_t fallback)
{
        int64_t n;

        return argc > 1 && zl_parse_i64(argv[1], &n) == 0 ? n * ZL_NSEC_PER_SEC : fallback;
}

static int stop(int argc, char **argv)
{
        return zl_runtime_stop(rt, argv[0], seconds(argc, argv, -1), &err);
}

static int send_signal(int argc, char **argv)
{
        return zl_runtime_kill(rt, argv[0], zl_parse_signal(argv[1]), false, &err);
}

static int pause_it(int argc, char **argv)
{
        return zl_runtime_pause(rt, argv[0], true, &err);
}

static int resume(int argc, char **argv)
{
        return zl_runtime_pause(rt, argv[0], false, &err);
}

static int rm(int argc, char **argv)
{
        return zl_runtime_remove(rt, argv[0], argc > 1, &err);
}

static int state(int argc, char **argv)
{
        struct zl_status s;
        int r = zl_runtime_state(rt, argv[0], &s, &err);

        if (r == 0) {
                print_status(&s);
                zl_status_done(&s);
        }
        return r;
}

static int list(int argc, char **argv)
{
        struct zl_status *all;
        size_t n;
        int r = zl_runtime_list(rt, &all, &n, &err);

        for (size_t i = 0; r == 0 && i < n; i++) {
                print_status(&all[i]);
                zl_status_done(&all[i]);
        }
        if (r == 0)
                free(all);
        return r;
}

static int wait_for(int argc, char **argv)
{
        struct zl_status s;
        int r = zl_runtime_wait(rt, argv[0], seconds(argc, argv, 20 * ZL_NSEC_PER_SEC), &s, &err);

        if (r == 0) {
                print_status(&s);
                zl_status_done(&s);
        }
        return r;
}

static int logs(int argc, char **argv)
{
        struct zl_logs *l;
        struct zl_log_entry e;
        int r = zl_logs_open(rt, argv[0], NULL, &l, &err);

        if (r < 0)
                return r;
        while (zl_logs_next(l, &e, &err) > 0)
                printf("%d %.*s\n", e.stream, (int)e.len, e.data);
        zl_logs_close(l);
        return 0;
}

static int run_exec(int argc, char **argv)
{
        struct zl_exec_options o = { .argv = argv + 1, .stdio = { 0, 1, 2 } };
        struct zl_exec *exec;
        int code = 0;
        int r = zl_exec_open(rt, argv[0], &o, &exec, &err);

        if (r < 0)
                return r;
        while ((r = zl_exec_result(exec, &code, &err)) == 0) {
                struct pollfd pfd = { .fd = zl_exec_fd(exec), .events = POLLIN };

                poll(&pfd, 1, 20000);
        }
        zl_exec_close(exec);
        return r < 0 ? r : code;
}

static int inspect(int argc, char **argv)
{
        char *json;
        int r = zl_runtime_inspect(rt, argv[0], &json, &err);

        if (r == 0) {
                puts(json);
                free(json);
        }
        return r;
}

static int stats(int argc, char **argv)
{
        struct zl_stats s;
        int r = zl_runtime_stats(rt, argv[0], &s, &err);

        if (r == 0)
                printf("memory=%llu limit=%llu pids=%llu pids_limit=%llu cpu_limit=%.2f\n",
                       (unsigned long long)s.memory_bytes, (unsigned long long)s.memory_limit,
                       (unsigned long long)s.pids, (unsigned long long)s.pids_limit, s.cpu_limit);
        return r;
}

static int recover(int argc, char **argv)
{
        return zl_runtime_recover(rt, &err);
}

static int compare(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

static void print_quantiles(const char *what, int64_t *t, size_t n)
{
        qsort(t, n, sizeof(*t), compare);
        printf("%s: min %.2f p50 %.2f p90 %.2f max %.2f ms\n", what, (double)t[0] / 1e6,
               (double)t[n / 2] / 1e6, (double)t[n * 9 / 10] / 1e6, (double)t[n - 1] / 1e6);
}

/* Only what looks: the same question again and again, nothing printed but how long it takes. */
static int repeat(int argc, char **argv)
{
        enum { MAX = 1000 };
        static int64_t t[MAX];
        size_t n = strtoul(argv[0], NULL, 10), i, count;
        struct zl_status s, *all;
        int r = 0;

        for (i = 0; r == 0 && i < n && i < MAX; i++) {
                int64_t begin = zl_now_monotonic();

                if (zl_streq(argv[1], "list") && (r = zl_runtime_list(rt, &all, &count, &err)) == 0)
                        zl_status_free_all(all, count);
                else if (argc > 2 && (r = zl_runtime_state(rt, argv[2], &s, &err)) == 0)
                        zl_status_done(&s);
                t[i] = zl_now_monotonic() - begin;
        }
        if (r < 0 || i == 0)
                return r;
        print_quantiles(argv[1], t, i);
        return 0;
}

static int latency(int argc, char **argv)
{
        enum { MAX = 1000 };
        static int64_t t_create[MAX], t_start[MAX], t_both[MAX], t_remove[MAX];
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 20, i;
        int r = zl_spec_load_file(argv[0], &spec, NULL, &err);

        for (i = 0; r == 0 && i < n && i < MAX; i++) {
                char name[128];
                int64_t a, b, c, d;

                snprintf(name, sizeof(name), "lat.%s.%zu", spec->services[0].name, i + 1);
                a = zl_now_monotonic();
                r = create_named(name, spec);
                b = zl_now_monotonic();
                if (r == 0)
                        r = zl_runtime_start(rt, name, &err);
                c = zl_now_monotonic();
                if (r == 0)
                        r = zl_runtime_remove(rt, name, true, &err);
                d = zl_now_monotonic();
                t_create[i] = b - a;
                t_start[i] = c - b;
                t_both[i] = c - a;
                t_remove[i] = d - c;
        }
        if (r < 0)
                return r;
        print_quantiles("create", t_create, i);
        print_quantiles("start", t_start, i);
        print_quantiles("create+start", t_both, i);
        print_quantiles("remove", t_remove, i);
        return 0;
}

static int open_exec(const char *name)
{
        char *argv[] = { (char *)(uintptr_t) "/bin/true", NULL };
        const struct zl_exec_options o = { .argv = argv, .stdio = { -1, -1, -1 } };
        struct zl_exec *exec;
        int r = zl_exec_open(rt, name, &o, &exec, &err);

        if (r == 0)
                zl_exec_close(exec);
        return r;
}

static int phase(const char *name, const char *what, const struct zl_deployment_spec *spec)
{
        int64_t begin = zl_now_monotonic();
        int r = zl_streq(what, "create")  ? create_named(name, spec)
                : zl_streq(what, "start") ? zl_runtime_start(rt, name, &err)
                : zl_streq(what, "exec")  ? open_exec(name)
                : zl_streq(what, "kill")
                        ? zl_runtime_kill(rt, name, 9, false, &err)
                        : zl_runtime_pause(rt, name, zl_streq(what, "pause"), &err);

        if (r == 0)
                printf("%s %lld\n", what, (long long)(zl_now_monotonic() - begin));
        return r;
}

static int phases(int argc, char **argv)
{
        static const char *const order[] = { "create", "start", "exec", "pause", "resume", "kill" };
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        size_t n = strtoul(argv[1], NULL, 10), i;
        struct zl_status s;
        int r = zl_spec_load_file(argv[0], &spec, NULL, &err);

        for (i = 0; r == 0 && i < n; i++) {
                char name[128];

                snprintf(name, sizeof(name), "lat.%s.%zu", spec->services[0].name, i + 1);
                for (size_t k = 0; r == 0 && k < ZL_ARRAY_SIZE(order); k++)
                        r = phase(name, order[k], spec);
                if (r == 0)
                        r = zl_runtime_wait(rt, name, 20 * ZL_NSEC_PER_SEC, &s, &err);
                if (r == 0) {
                        zl_status_done(&s);
                        r = zl_runtime_remove(rt, name, false, &err);
                }
        }
        return r;
}

static const struct {
        const char *name;
        int min_args;
        int (*run)(int argc, char **argv);
} commands[] = {
        { "import", 2, import_image }, { "create", 2, create },
        { "start", 1, start },         { "stop", 1, stop },
        { "kill", 2, send_signal },    { "pause", 1, pause_it },
        { "resume", 1, resume },       { "rm", 1, rm },
        { "state", 1, state },         { "list", 0, list },
        { "wait", 1, wait_for },       { "logs", 1, logs },
        { "exec", 2, run_exec },       { "inspect", 1, inspect },
        { "stats", 1, stats },         { "recover", 0, recover },
        { "rename", 2, rename_it },    { "latency", 1, latency },
        { "phases", 2, phases },

        { "repeat", 2, repeat },
};

/* native, or what ZLAYER_RUNTIME says */
static int open_runtime(void)
{
        const char *kind_text = getenv("ZLAYER_RUNTIME");
        struct zl_runtime_options o = { 0 };
        enum zl_runtime_kind kind = ZL_RUNTIME_NATIVE;

        if (kind_text && *kind_text && zl_runtime_kind_parse(kind_text, &kind, &o.oci_name) < 0)
                return zl_fail(&err, ZL_E_CONFIGURATION, 0, "unknown runtime \"%s\"", kind_text);
        return zl_runtime_new(kind, &o, &rt, &err);
}

int main(int argc, char **argv)
{
        int r = -1;

        for (size_t i = 0; argc > 1 && i < ZL_ARRAY_SIZE(commands); i++) {
                if (!zl_streq(argv[1], commands[i].name) || argc - 2 < commands[i].min_args)
                        continue;
                r = open_runtime();
                if (r == 0)
                        r = commands[i].run(argc - 2, argv + 2);
                zl_runtime_free(rt);
                if (r < 0)
                        fprintf(stderr, "%s: %s\n", zl_code_name(err.code), zl_error_message(&err));
                zl_error_done(&err);
                return r < 0 ? 1 : r;
        }
        fprintf(stderr, "usage: native-driver COMMAND …\n");
        return 2;
}
