/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlayer-wasm: runs one WebAssembly program. It is the process of a container whose root holds nothing but itself and the
 * module, and the sandbox that wasmtime builds is the inner one of two.
 *
 *   run      the guest, to its end; its exit code is ours
 *   keep     instances ready, and runs one whenever it is asked to (wasm/keep.h); standard input is the socket
 *   spare    loads the engine, then waits for one request (standard input is the socket) and runs it
 *   compile  a module into the cache
 *   prepare  stage and compile for a caller that knows nothing of WebAssembly; says where both are
 *   stage    copies this program, the loader and all libraries into a directory
 *
 * Signals end the guest: it cannot catch them. A handler sets a flag and advances the epoch, which interrupts code at its
 * next loop; a guest that waits in a call of the host is not in code, so a timer ends the process a moment later. Both the
 * ticker of epochs and the time limit are timers with the same handler; nothing wakes up when there is neither.
 */
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/strv.h"
#include "wasm/cache.h"
#include "wasm/engine.h"
#include "wasm/keep.h"

enum { MODULE_MAX = 256 << 20, TIME_UP = 1000, EXIT_TIME_UP = 124 };
#define LAST_NSEC (50 * 1000000L) /* from the interrupt to the end of a guest that waits */

/* What a signal handler can reach. */
static struct zl_wasm_engine *running;
static volatile int interrupt;

static int fail(const struct zl_error *err)
{
        fprintf(stderr, "zlayer-wasm: %s\n", zl_error_message(err));
        if (err->hint)
                fprintf(stderr, "zlayer-wasm: hint: %s\n", err->hint);
        switch (err->code) {
        case ZL_E_INVALID:
        case ZL_E_NOT_FOUND:
                return ZL_WASM_EXIT_INVALID;
        case ZL_E_UNSUPPORTED:
                return ZL_WASM_EXIT_UNSUPPORTED;
        default:
                return ZL_WASM_EXIT_FAILED;
        }
}

/* ---- signals and timers ------------------------------------------------------------------------------------ */

enum timer { TIMER_TICK, TIMER_LIMIT, TIMER_LAST };

static int exit_code_of_interrupt(void)
{
        return interrupt == TIME_UP ? EXIT_TIME_UP : 128 + interrupt;
}

static int set_timer(enum timer what, int64_t nsec, bool again)
{
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
                                  .sigev_signo = SIGALRM,
                                  .sigev_value.sival_int = (int)what };
        const struct timespec t = { nsec / 1000000000, nsec % 1000000000 };
        const struct itimerspec spec = { .it_value = t,
                                         .it_interval = again ? t : (struct timespec){ 0 } };
        timer_t timer;

        if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
                return -errno;
        return timer_settime(timer, 0, &spec, NULL) < 0 ? -errno : 0;
}

static void end_guest(int why)
{
        if (!interrupt) {
                interrupt = why;
                if (set_timer(TIMER_LAST, LAST_NSEC, false) < 0)
                        _exit(exit_code_of_interrupt());
        }
        zl_wasm_engine_tick(running);
}

static void handle(int sig, siginfo_t *info, void *context)
{
        int saved = errno;

        (void)context;
        if (sig != SIGALRM || info->si_code != SI_TIMER)
                end_guest(sig);
        else if (info->si_value.sival_int == TIMER_LIMIT)
                end_guest(TIME_UP);
        else if (info->si_value.sival_int == TIMER_LAST)
                _exit(exit_code_of_interrupt());
        else
                zl_wasm_engine_tick(running);
        errno = saved;
}

static int watch(const struct zl_wasm_options *o, struct zl_error *err)
{
        static const int ending[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM };
        struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART };
        int r = 0;

        sigfillset(&action.sa_mask);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(ending); i++)
                sigaction(ending[i], &action, NULL);
        signal(SIGPIPE, SIG_IGN);
        if (o->epoch_nsec)
                r = set_timer(TIMER_TICK, o->epoch_nsec, true);
        if (r == 0 && o->timeout_nsec)
                r = set_timer(TIMER_LIMIT, o->timeout_nsec, false);
        return r < 0 ? zl_fail_errno(err, -r, "cannot set a timer") : 0;
}

/* ---- run ----------------------------------------------------------------------------------------------------- */

static int load_unit(struct zl_wasm_engine *engine, const struct zl_wasm_options *o, bool check,
                     struct zl_wasm_unit **ret, struct zl_error *err)
{
        _cleanup_free_ char *bytes = NULL;
        size_t len;
        int r;

        if (o->compiled)
                return zl_wasm_unit_load(engine, o->compiled, ret, err);
        r = zl_read_file_at(AT_FDCWD, o->module, MODULE_MAX, &bytes, &len);
        if (r == -EFBIG || r == -E2BIG)
                return zl_fail(err, ZL_E_INVALID, 0, "%s is larger than %d MiB", o->module,
                               MODULE_MAX >> 20);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", o->module);
        r = zl_wasm_unit_compile(engine, bytes, len, ret, err);
        if (r == 0 && check)
                r = zl_wasm_unit_check(engine, *ret, err);
        return r;
}

/* "oom REASON" or "end REASON": whoever looks after the container reads it. */
static void note_reason(const char *path, const struct zl_wasm_result *result)
{
        _cleanup_free_ char *text = NULL;

        if (path && result->reason &&
            asprintf(&text, "%s %s\n", result->oom ? "oom" : "end", result->reason) >= 0)
                zl_write_file_at(AT_FDCWD, path, text, strlen(text), 0644, 0);
}

static int report(const struct zl_wasm_options *o, struct zl_wasm_result *result)
{
        int code = result->code;

        if (interrupt)
                code = exit_code_of_interrupt();
        else if (result->out_of_time)
                code = EXIT_TIME_UP;
        if (interrupt == TIME_UP) {
                free(result->reason);
                result->reason = strdup("out of time: max_execution_time has passed");
        }
        /* A stop that was asked for is nothing to complain about. */
        if (result->reason && (!interrupt || interrupt == TIME_UP)) {
                fprintf(stderr, "zlayer-wasm: %s\n", result->reason);
                if (result->trapped && result->backtrace)
                        fprintf(stderr, "%s\n", result->backtrace);
                note_reason(o->reason, result);
        }
        zl_wasm_result_done(result);
        return code;
}

/* One guest needs one thread of the runtime below the engine, and one heap: before there is any. The variable is for that
 * runtime alone; what the guest gets was taken before. */
static int spare_threads(char ***ret_env)
{
        if (zl_strv_dup(environ, ret_env) < 0)
                return -ENOMEM;
        mallopt(M_ARENA_MAX, 1);
        return setenv("TOKIO_WORKER_THREADS", "1", 1) < 0 ? -ENOMEM : 0;
}

/* What the command line says, the engine, and the environment that a guest gets. */
static int begin(char *const *argv, struct zl_wasm_options *o, char ***ret_env,
                 struct zl_error *err)
{
        int r = zl_wasm_options_from_argv(argv, o, err);

        if (r == 0 && spare_threads(ret_env) < 0)
                r = zl_fail_oom(err);
        if (r == 0)
                r = zl_wasm_engine_new(&(struct zl_wasm_engine_options){ .fuel = o->fuel > 0,
                                                                         .parallel = !o->compiled },
                                       &running, err);
        return r;
}

/* What the engine holds goes with the process, faster than by hand. */
static int end(const struct zl_wasm_options *o, int r, struct zl_wasm_result *result,
               const struct zl_error *err)
{
        if (r < 0) {
                result->reason = strdup(zl_error_message(err));
                note_reason(o->reason, result);
                zl_wasm_result_done(result);
        }
        return r < 0 ? fail(err) : report(o, result);
}

/* Runs the module of the options, unless something has failed already, and tells how it ended. Returns the exit code. */
static int finish(struct zl_wasm_options *o, char *const *env, int r, struct zl_error *err)
{
        struct zl_wasm_run how = { .options = o, .env = env, .interrupt = &interrupt };
        struct zl_wasm_result result = { 0 };
        struct zl_wasm_unit *unit = NULL;

        if (r == 0)
                r = watch(o, err);
        if (r == 0)
                r = load_unit(running, o, true, &unit, err);
        if (r == 0)
                r = zl_wasm_run_unit(running, unit, &how, &result, err);
        return end(o, r, &result, err);
}

static int run(char *const *argv)
{
        _cleanup_strv_ char **env = NULL;
        _cleanup_wasm_options_ struct zl_wasm_options o = { 0 };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int r = begin(argv, &o, &env, &err);

        return finish(&o, env, r, &err);
}

/* ---- keep ---------------------------------------------------------------------------------------------------- */

struct kept {
        const struct zl_wasm_options *options;
        const struct zl_wasm_unit *unit;
};

/* In the process of one instance. Its bad end is its own: the reason on record is that of the workload. */
static int run_kept(void *data, char *const *args, char *const *env)
{
        const struct kept *kept = data;
        struct zl_wasm_options o = *kept->options;
        struct zl_wasm_run how = { .options = &o, .env = env, .interrupt = &interrupt };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_wasm_result result = { 0 };
        int r;

        o.args = (char **)(uintptr_t)args;
        o.reason = NULL;
        r = watch(&o, &err);
        if (r == 0)
                r = zl_wasm_run_unit(running, kept->unit, &how, &result, &err);
        return end(&o, r, &result, &err);
}

static int keep(char *const *argv)
{
        _cleanup_strv_ char **env = NULL;
        _cleanup_wasm_options_ struct zl_wasm_options o = { 0 };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_wasm_result none = { 0 };
        struct zl_wasm_unit *unit = NULL;
        struct zl_keep how = { .fd = STDIN_FILENO, .run = run_kept };
        int r = begin(argv, &o, &env, &err);

        if (r == 0)
                r = load_unit(running, &o, true, &unit, &err);
        if (r == 0)
                r = zl_wasm_unit_link(running, unit, &err);
        if (r == 0) {
                how.ready = o.ready > 0 ? o.ready : 1;
                how.data = &(struct kept){ &o, unit };
                r = zl_keep_serve(&how);
                if (r < 0)
                        zl_fail_errno(&err, -r, "cannot keep instances");
        }
        return end(&o, r, &none, &err);
}

/* ---- spare --------------------------------------------------------------------------------------------------- */

/* The first process of a pid namespace is deaf to signals it does not handle. */
static void end_waiting(int sig)
{
        _exit(128 + sig);
}

/* Standard input has been the socket, and is that of any other instance from now on. */
static int drop_socket(void)
{
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        return fd < 0 || dup2(fd, STDIN_FILENO) < 0 || close(fd) < 0 ? -errno : 0;
}

/* Loads the engine as the options say, waits for those of the guest, and goes on as `run` does. */
static int spare(char *const *argv)
{
        _cleanup_strv_ char **own_env = NULL;
        _cleanup_wasm_options_ struct zl_wasm_options first = { 0 }, o = { 0 };
        _cleanup_free_ char *buffer = NULL, **args = NULL, **env = NULL;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int r;

        signal(SIGTERM, end_waiting);
        signal(SIGINT, end_waiting);
        r = begin(argv, &first, &own_env, &err);
        if (r == 0) {
                r = zl_keep_receive(STDIN_FILENO, &buffer, &args, &env);
                if (r == -EPIPE)
                        _exit(0); /* nobody wants it any more */
                if (r == 0)
                        r = drop_socket();
                if (r < 0)
                        zl_fail_errno(&err, -r, "cannot take the module to run");
        }
        if (r == 0)
                r = zl_wasm_options_from_argv(args, &o, &err);
        return finish(&o, env, r, &err);
}

/* ---- compile ------------------------------------------------------------------------------------------------- */

static int digest_of(const char *path, char text[ZL_DIGEST_TEXT_MAX], struct zl_error *err)
{
        _cleanup_free_ char *bytes = NULL;
        size_t len;
        int r = zl_read_file_at(AT_FDCWD, path, MODULE_MAX, &bytes, &len);

        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", path);
        return zl_sha256_text(bytes, len, text) ? 0 : zl_fail_oom(err);
}

static int compile_to(const char *cache, const char *key, const char *module, bool fuel,
                      struct zl_error *err)
{
        const struct zl_wasm_options o = { .module = (char *)(uintptr_t)module };
        struct zl_wasm_engine *engine = NULL;
        struct zl_wasm_unit *unit = NULL;
        _cleanup_free_ char *code = NULL, *path = NULL;
        _cleanup_close_ int lock = zl_wasm_cache_lock(cache, err);
        uint64_t max;
        size_t len;
        int r;

        if (lock < 0)
                return lock;
        /* Whoever had the lock may have compiled the same. */
        r = zl_wasm_cache_find(cache, key, &path, err);
        if (r != 0)
                return r < 0 ? r : 0;
        r = zl_wasm_cache_max(&max, err);
        if (r == 0)
                r = zl_wasm_engine_new(
                        &(struct zl_wasm_engine_options){ .fuel = fuel, .parallel = true }, &engine,
                        err);
        if (r == 0)
                r = load_unit(engine, &o, true, &unit, err);
        if (r == 0)
                r = zl_wasm_unit_serialize(unit, &code, &len, err);
        return r < 0 ? r : zl_wasm_cache_put(cache, key, code, len, max, err);
}

/* The entry's path in `*ret`, made if it is not there. `digest` NULL: looked for. */
static int get_compiled(const char *cache, const char *module, const char *digest, bool fuel,
                        char **ret, struct zl_error *err)
{
        char own[ZL_DIGEST_TEXT_MAX], key[ZL_WASM_KEY_SIZE];
        int r = digest ? 0 : digest_of(module, own, err);

        if (r == 0 && !zl_wasm_cache_key(digest ? digest : own, fuel, key))
                r = zl_fail_oom(err);
        if (r == 0)
                r = zl_wasm_cache_find(cache, key, ret, err);
        if (r != 0)
                return r < 0 ? r : 0;
        r = compile_to(cache, key, module, fuel, err);
        if (r == 0)
                r = zl_wasm_cache_find(cache, key, ret, err);
        if (r == 0)
                r = zl_fail(err, ZL_E_INTERNAL, 0, "the compiled module is not in %s", cache);
        return r < 0 ? r : 0;
}

/* compile CACHE MODULE [DIGEST] [fuel]: prints the entry's path. */
static int compile(char *const *argv)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *path = NULL;
        size_t n = zl_strv_len(argv);
        bool fuel = n > 0 && zl_streq(argv[n - 1], "fuel");

        n -= fuel;
        if (n < 2 || n > 3) {
                fprintf(stderr, "zlayer-wasm: compile CACHE MODULE [DIGEST] [fuel]\n");
                return ZL_WASM_EXIT_FAILED;
        }
        if (get_compiled(argv[0], argv[1], n == 3 ? argv[2] : NULL, fuel, &path, &err) < 0)
                return fail(&err);
        printf("%s\n", path);
        return 0;
}

/* prepare CACHE MODULE: all that an instance needs; prints the directory of the engine and the compiled module. */
static int prepare(char *const *argv)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        _cleanup_free_ char *engine = NULL, *code = NULL, *self = realpath("/proc/self/exe", NULL);
        int r;

        if (zl_strv_len(argv) != 2) {
                fprintf(stderr, "zlayer-wasm: prepare CACHE MODULE\n");
                return ZL_WASM_EXIT_FAILED;
        }
        r = self ? zl_wasm_engine_dir(argv[0], self, &engine, &err)
                 : zl_fail_errno(&err, errno, "cannot find this program");
        if (r == 0)
                r = get_compiled(argv[0], argv[1], NULL, false, &code, &err);
        if (r < 0)
                return fail(&err);
        printf("%s\n%s\n", engine, code);
        return 0;
}

/* ---- stage --------------------------------------------------------------------------------------------------- */

struct staging {
        int dir;
        int result;
        const char *failed;
};

static int copy_file(const char *from, int dir, const char *name)
{
        _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC), out = -EBADF;
        struct stat st;

        if (in < 0 || fstat(in, &st) < 0)
                return -errno;
        out = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
        if (out < 0 || fchmod(out, 0755) < 0)
                return -errno;
        for (off_t done = 0; done < st.st_size;) {
                ssize_t n = copy_file_range(in, NULL, out, NULL, (size_t)(st.st_size - done), 0);
                char buf[1 << 16];

                if (n <= 0) { /* not across these file systems */
                        n = read(in, buf, sizeof(buf));
                        if (n <= 0)
                                return n < 0 ? -errno : -EIO;
                        if (zl_write_full(out, buf, (size_t)n) < 0)
                                return -ENOSPC;
                }
                done += n;
        }
        return 0;
}

/* The loader has a name of its own, since its path is that of the machine. */
static int stage_object(struct dl_phdr_info *info, size_t size, void *data)
{
        struct staging *s = data;
        const char *slash = strrchr(info->dlpi_name, '/');
        const char *name = slash ? slash + 1 : info->dlpi_name;

        (void)size;
        if (!slash)
                return 0; /* the program itself, and what the kernel maps */
        s->result = copy_file(info->dlpi_name, s->dir, name);
        if (s->result == 0 && zl_startswith(name, "ld-"))
                s->result = copy_file(info->dlpi_name, s->dir, ZL_WASM_LOADER);
        s->failed = info->dlpi_name;
        return s->result;
}

static int stage(char *const *argv)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct staging s = { .dir = -EBADF };

        if (zl_strv_len(argv) != 1) {
                fprintf(stderr, "zlayer-wasm: stage DIRECTORY\n");
                return ZL_WASM_EXIT_FAILED;
        }
        s.dir = zl_open_dir_at(AT_FDCWD, argv[0], 0755, &err);
        if (s.dir < 0)
                return fail(&err);
        if (fchmod(s.dir, 0755) < 0)
                s.result = -errno;
        s.failed = ZL_WASM_PROGRAM;
        if (s.result == 0)
                s.result = copy_file("/proc/self/exe", s.dir, ZL_WASM_PROGRAM);
        if (s.result == 0)
                dl_iterate_phdr(stage_object, &s);
        close(s.dir);
        if (s.result < 0) {
                zl_fail_errno(&err, -s.result, "cannot copy %s to %s", s.failed, argv[0]);
                return fail(&err);
        }
        return 0;
}

/* ---- main ---------------------------------------------------------------------------------------------------- */

static int version(char *const *argv)
{
        (void)argv;
        printf("zlayer-wasm %s, wasmtime %s\n", ZL_VERSION, ZL_WASMTIME_VERSION);
        return 0;
}

static int help(char *const *argv)
{
        (void)argv;
        puts("zlayer-wasm run [--OPTION=VALUE]... -- MODULE [ARG...]\n"
             "zlayer-wasm keep [--ready=N] [--OPTION=VALUE]... -- MODULE\n"
             "zlayer-wasm spare [--OPTION=VALUE]... -- MODULE\n"
             "zlayer-wasm compile CACHE MODULE [DIGEST] [fuel]\n"
             "zlayer-wasm prepare CACHE MODULE\n"
             "zlayer-wasm stage DIRECTORY\n"
             "zlayer-wasm --version\n\n"
             "Runs one WebAssembly program (WASI 0.1 module or WASI 0.2 command component). It is started\n"
             "by zlayer-agent and zlayer-oci inside a container; by hand it has no sandbox but that of the\n"
             "engine. Options of run: compiled argv0 memory fuel epoch epoch-deadline timeout reason dir\n"
             "http network no-args no-env no-home no-stdin no-output.");
        return 0;
}

int main(int argc, char **argv)
{
        static const struct {
                const char *name;
                int (*run)(char *const *argv);
        } commands[] = { { "run", run },           { "keep", keep },       { "spare", spare },
                         { "compile", compile },   { "prepare", prepare }, { "stage", stage },
                         { "--version", version }, { "--help", help } };

        for (size_t i = 0; argc > 1 && i < ZL_ARRAY_SIZE(commands); i++)
                if (zl_streq(argv[1], commands[i].name))
                        return commands[i].run(argv + 2);
        fprintf(stderr, "zlayer-wasm: say run, compile or stage; --help tells more\n");
        return ZL_WASM_EXIT_FAILED;
}
