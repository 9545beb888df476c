/* SPDX-License-Identifier: Apache-2.0 */
/* WebAssembly in this process, by the public calls: worlds, limits, ends, threads. Without the engine one clear error. */
#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <zlayer/wasm.h>

#define WRITE                                                                                      \
        "(import \"wasi_snapshot_preview1\" \"fd_write\""                                          \
        " (func $write (param i32 i32 i32 i32) (result i32)))"                                     \
        "(memory (export \"memory\") 1) (data (i32.const 16) \"hello\\n\")"
#define SAY                                                                                        \
        "(i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 6))"         \
        "(drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"

static struct zl_wasm_library *library;

/* The engine handles the signals of traps, and cmocka takes them for every test. */
static const int trap_signals[] = { SIGSEGV, SIGILL, SIGFPE, SIGBUS };
static struct sigaction engine_handlers[ZL_ARRAY_SIZE(trap_signals)];

static int setup(void **state)
{
        const struct zl_wasm_library_options options = { .fuel = true, .pool = 8 };
        int r = zl_wasm_library_open(&options, &library, NULL);

        for (size_t i = 0; i < ZL_ARRAY_SIZE(trap_signals); i++)
                sigaction(trap_signals[i], NULL, &engine_handlers[i]);
        return r;
}

static void give_signals(void)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(trap_signals); i++)
                sigaction(trap_signals[i], &engine_handlers[i], NULL);
}

static int teardown(void **state)
{
        zl_wasm_library_close(library);
        return 0;
}

static struct zl_wasm_module *module_of(const char *text)
{
        struct zl_wasm_module *m = NULL;
        struct zl_error err = ZL_ERROR_INIT;

        give_signals();
        if (zl_wasm_module_new(library, text, strlen(text), &m, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        return m;
}

static struct zl_wasm_outcome run(const char *text, const struct zl_wasm_call *call)
{
        struct zl_wasm_module *m = module_of(text);
        struct zl_wasm_outcome end = { .exit_code = -1 };
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_wasm_module_run(m, call, &end, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        zl_wasm_module_free(m);
        return end;
}

struct heard {
        char text[64];
        size_t len;
};

static ssize_t hear(void *data, int stream, const void *bytes, size_t len)
{
        struct heard *h = data;

        if (stream != 1 || h->len + len > sizeof(h->text))
                return -EIO;
        memcpy(h->text + h->len, bytes, len);
        h->len += len;
        return (ssize_t)len;
}

static void says_hello(void **state)
{
        struct heard h = { .len = 0 };
        struct zl_wasm_outcome end = run(
                "(module " WRITE "(func (export \"_start\") " SAY "))",
                &(struct zl_wasm_call){ .output = hear, .output_data = &h });

        assert_int_equal(end.exit_code, 0);
        assert_null(end.reason);
        assert_int_equal(h.len, 6);
        assert_memory_equal(h.text, "hello\n", 6);
        zl_wasm_outcome_done(&end);
}

static void ends(void **state)
{
        struct zl_wasm_outcome end = run(
                "(module (func (export \"main\") (result i32) i32.const 7))", NULL);

        assert_int_equal(end.exit_code, 7);
        zl_wasm_outcome_done(&end);
        end = run("(module (func $f unreachable) (func (export \"_start\") call $f))", NULL);
        assert_int_equal(end.exit_code, 134);
        assert_true(end.trapped);
        assert_non_null(strstr(end.reason, "unreachable"));
        assert_non_null(strstr(end.backtrace, "!f"));
        zl_wasm_outcome_done(&end);
        assert_null(end.reason);
}

static void limits(void **state)
{
        static const char loop[] = "(module (func (export \"_start\") (loop br 0)))";
        struct zl_wasm_outcome end = run(loop, &(struct zl_wasm_call){ .max_fuel = 10000 });

        assert_true(end.trapped);
        assert_non_null(strstr(end.reason, "fuel"));
        zl_wasm_outcome_done(&end);
        end = run(loop, &(struct zl_wasm_call){ .timeout_nsec = 30000000 });
        assert_int_equal(end.exit_code, 124);
        zl_wasm_outcome_done(&end);
        /* Growing fails at the limit, and what cannot go on without is told as out of memory. */
        end = run(
                "(module (memory (export \"memory\") 1) (func (export \"_start\")"
                " (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable))",
                &(struct zl_wasm_call){ .max_memory = 1 << 20 });
        assert_true(end.oom);
        zl_wasm_outcome_done(&end);
}

/* Numbers of the threads of this process. */
static size_t list_threads(pid_t ret[64])
{
        DIR *dir = opendir("/proc/self/task");
        const struct dirent *de;
        size_t n = 0;

        assert_non_null(dir);
        while ((de = readdir(dir)) && n < 64)
                if (de->d_name[0] != '.')
                        ret[n++] = (pid_t)atoi(de->d_name);
        closedir(dir);
        return n;
}

static bool blocks(pid_t thread, int sig)
{
        unsigned long long mask = 0;
        char path[64], line[200];
        FILE *f;

        snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)thread);
        f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "SigBlk: %llx", &mask) == 1)
                        break;
        fclose(f);
        return mask >> (sig - 1) & 1;
}

/* The first call with a time limit makes a thread, which no signal of the program reaches. */
static void signals_are_the_programs(void **state)
{
        static const char empty[] = "(module (func (export \"_start\")))";
        const struct zl_wasm_call limited = { .timeout_nsec = INT64_C(60000000000) };
        struct zl_wasm_module *m;
        struct zl_wasm_library *l = NULL;
        struct zl_wasm_outcome end;
        pid_t before[64], after[64];
        size_t n_before, n_after, n_new = 0;

        assert_int_equal(zl_wasm_library_open(NULL, &l, NULL), 0);
        give_signals();
        assert_int_equal(zl_wasm_module_new(l, empty, strlen(empty), &m, NULL), 0);
        n_before = list_threads(before);
        assert_int_equal(zl_wasm_module_run(m, &limited, &end, NULL), 0);
        n_after = list_threads(after);
        for (size_t i = 0; i < n_after; i++) {
                bool is_new = true;

                for (size_t k = 0; k < n_before; k++)
                        is_new = is_new && before[k] != after[i];
                n_new += is_new;
                assert_true(!is_new || blocks(after[i], SIGTERM));
        }
        assert_int_equal(n_new, 1);
        zl_wasm_outcome_done(&end);
        zl_wasm_module_free(m);
        zl_wasm_library_close(l);
}

static void *interrupt_soon(void *data)
{
        usleep(20000);
        *(volatile int *)data = 1;
        zl_wasm_library_interrupt(library);
        return NULL;
}

static void another_thread_ends_it(void **state)
{
        volatile int flag = 0;
        struct zl_wasm_outcome end;
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, interrupt_soon, (void *)(uintptr_t)&flag),
                         0);
        end = run("(module (func (export \"_start\") (loop br 0)))",
                  &(struct zl_wasm_call){ .interrupt = &flag });
        pthread_join(thread, NULL);
        assert_int_equal(end.exit_code, 137);
        zl_wasm_outcome_done(&end);
}

static void ended_before_it_began(void **state)
{
        volatile int flag = 1;
        struct zl_wasm_outcome end = run("(module (func (export \"_start\") (loop br 0)))",
                                         &(struct zl_wasm_call){ .interrupt = &flag });

        assert_int_equal(end.exit_code, 137);
        zl_wasm_outcome_done(&end);
}

static void *run_many(void *data)
{
        struct zl_wasm_module *m = data;

        for (int i = 0; i < 200; i++) {
                struct zl_wasm_outcome end = { 0 };

                if (zl_wasm_module_run(m, NULL, &end, NULL) < 0 || end.exit_code != 1)
                        return m;
                zl_wasm_outcome_done(&end);
        }
        return NULL;
}

/* Each has a memory of its own, from a pool that is smaller than the number of calls: a counter in it is always at one. */
static void many_at_once(void **state)
{
        struct zl_wasm_module *m = module_of(
                "(module (memory 1) (func (export \"main\") (result i32)"
                " (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))"
                " (i32.load (i32.const 8))))");
        pthread_t threads[8];
        void *wrong;

        for (int i = 0; i < 8; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, run_many, m), 0);
        for (int i = 0; i < 8; i++) {
                pthread_join(threads[i], &wrong);
                assert_null(wrong);
        }
        zl_wasm_module_free(m);
}

static void bad_modules(void **state)
{
        static const struct {
                const char *text, *says;
        } bad[] = {
                { "", "empty" },
                { "no module", "neither WebAssembly nor its text form" },
                { "(module (import \"env\" \"x\" (func)) (func (export \"_start\")))", "env.x" },
                { "(module (func (export \"other\")))", "neither _start nor main" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                struct zl_wasm_module *m = NULL;
                struct zl_error err = ZL_ERROR_INIT;

                assert_true(zl_wasm_module_new(library, bad[i].text, strlen(bad[i].text), &m,
                                               &err) < 0);
                assert_int_equal(err.code, ZL_E_INVALID);
                assert_non_null(strstr(zl_error_message(&err), bad[i].says));
                assert_null(m);
                zl_error_done(&err);
        }
}

static void directories(void **state)
{
        const struct zl_wasm_directory none = { "/no/such/directory", "/", false };
        struct zl_wasm_module *m = module_of("(module (func (export \"_start\")))");
        struct zl_wasm_outcome end = { 0 };
        struct zl_error err = ZL_ERROR_INIT;

        assert_true(zl_wasm_module_run(
                            m, &(struct zl_wasm_call){ .directories = &none, .n_directories = 1 },
                            &end, &err) < 0);
        assert_non_null(strstr(zl_error_message(&err), "/no/such/directory"));
        zl_error_done(&err);
        zl_wasm_module_free(m);
}

static void without_the_engine(void **state)
{
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_wasm_library *l = NULL;

        setenv("ZLAYER_WASM_LIBRARY", "/no/such/library", 1);
        assert_true(zl_wasm_library_open(NULL, &l, &err) < 0);
        assert_int_equal(err.code, ZL_E_UNSUPPORTED);
        assert_non_null(strstr(err.hint, "-Dwasm"));
        zl_error_done(&err);
        unsetenv("ZLAYER_WASM_LIBRARY");
        setenv("ZLAYER_WASM_LIBRARY", getenv("ZL_WASM_LIBRARY_OF_BUILD"), 1);
}

int main(void)
{
        const char *built = getenv("ZL_WASM_LIBRARY_OF_BUILD");
        const struct CMUnitTest alone[] = { cmocka_unit_test(without_the_engine) };
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(says_hello),
                cmocka_unit_test(ends),
                cmocka_unit_test(limits),
                cmocka_unit_test(signals_are_the_programs),
                cmocka_unit_test(another_thread_ends_it),
                cmocka_unit_test(ended_before_it_began),
                cmocka_unit_test(many_at_once),
                cmocka_unit_test(bad_modules),
                cmocka_unit_test(directories),
        };
        int failed;

        if (!built)
                setenv("ZL_WASM_LIBRARY_OF_BUILD", "", 1);
        failed = cmocka_run_group_tests(alone, NULL, NULL);
        /* A build without WebAssembly ends here. */
        return built && *built ? failed + cmocka_run_group_tests(tests, setup, teardown) : failed;
}
