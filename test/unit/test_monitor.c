/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor, all of it but the engine (container_double.c stands in for that): this program launches itself as
 * zlayer-monitor and drives it through the client.
 */
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/socket.h"
#include "base/strv.h"
#include "monitor/client.h"
#include "monitor/log_reader.h"
#include "monitor/main.h"
#include "monitor/protocol.h"

struct place {
        char dir[64];
        int state, run;
        struct zl_monitor_launch launch;
        struct zl_error err;
        char name[32], cgroup[64];
        int uid;
};

/* With ZL_TEST_MONITOR the same tests drive the real program, real containers and busybox. */
static const char *real_program(void)
{
        return getenv("ZL_TEST_MONITOR");
}

static const char *program(void)
{
        return real_program() ? real_program() : "/proc/self/exe";
}

/* Where the workload's root directory is. */
static const char *root_of(const struct place *p)
{
        return real_program() ? "rootfs" : ".";
}

static void make_rootfs(struct place *p)
{
        static const char *const applets[] = { "sh", "sleep", "seq",   "tr",   "head",
                                               "wc", "stty",  "cat",   "true", "touch",
                                               "dd", "yes",   "setsid" };
        static const char *const dirs[] = { "bin", "proc", "dev", "tmp", "sys", "etc" };
        char path[128];
        size_t len;
        char *text;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(dirs); i++) {
                snprintf(path, sizeof(path), "rootfs/%s", dirs[i]);
                assert_int_equal(zl_mkdir_p_at(p->state, path, 0755), 0);
        }
        assert_int_equal(zl_read_file_at(AT_FDCWD, "/bin/busybox", 16 << 20, &text, &len), 0);
        assert_int_equal(zl_write_file_at(p->state, "rootfs/bin/busybox", text, len, 0755, 0), 0);
        free(text);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(applets); i++) {
                snprintf(path, sizeof(path), "rootfs/bin/%s", applets[i]);
                assert_int_equal(symlinkat("busybox", p->state, path), 0);
        }
}

static int make_place(void **state)
{
        struct place *p = calloc(1, sizeof(*p));

        strcpy(p->dir, "/tmp/zl-unit-XXXXXX");
        assert_non_null(mkdtemp(p->dir));
        p->state = zl_open_dir_at(AT_FDCWD, p->dir, 0, NULL);
        assert_int_equal(zl_mkdir_p_at(p->state, "run", 0755), 0);
        p->run = zl_open_dir_at(p->state, "run", 0, NULL);
        assert_true(p->run >= 0);
        p->launch = ZL_MONITOR_LAUNCH_INIT;
        snprintf(p->name, sizeof(p->name), "t.monitor.%d", getpid());
        snprintf(p->cgroup, sizeof(p->cgroup), "/zlayer/%s", p->name);
        p->launch.name = p->name;
        if (real_program())
                make_rootfs(p);
        p->launch.state_dir_fd = p->state;
        p->launch.run_dir_fd = p->run;
        p->launch.bundle = p->dir;
        *state = p;
        return 0;
}

/* What the runtime's recover does when a monitor was killed. */
static void remove_cgroup(struct place *p)
{
        char pattern[128];
        glob_t found;

        if (!real_program())
                return;
        snprintf(pattern, sizeof(pattern), "/sys/fs/cgroup/{.,*}/zlayer/%s", p->name); /* v2, v1 */
        if (glob(pattern, GLOB_BRACE, NULL, &found) != 0)
                return;
        for (size_t i = 0; i < found.gl_pathc; i++) {
                for (int n = 0; n < 100 && rmdir(found.gl_pathv[i]) < 0 && errno == EBUSY; n++)
                        usleep(10000);
        }
        globfree(&found);
}

static int remove_place(void **state)
{
        struct place *p = *state;
        pid_t pid;

        if (zl_monitor_is_alive(p->run, &pid, NULL) == 1)
                kill(pid, SIGKILL);
        remove_cgroup(p);
        zl_error_done(&p->err);
        zl_close(p->run);
        zl_close(p->state);
        zl_rm_rf_at(AT_FDCWD, p->dir);
        free(p);
        return 0;
}

/* A minimal container over busybox in ROOTFS of the place. */
static json_t *real_config(struct place *p, bool terminal, json_t *args)
{
        json_t *json = json_pack(
                "{s:s, s:{s:s,s:b}, s:{s:o,s:[ss],s:s,s:b,s:{s:i,s:i},s:b}, s:s,"
                " s:[{s:s,s:s,s:s},{s:s,s:s,s:s,s:[sss]},{s:s,s:s,s:s,s:[ss]}],"
                " s:{s:s,s:{s:{s:I}},s:[{s:s},{s:s},{s:s},{s:s},{s:s}]}}",
                "ociVersion", "1.2.0", "root", "path", "rootfs", "readonly", 0, "process", "args",
                args, "env", "PATH=/bin", "FROM=config", "cwd", "/", "terminal", terminal, "user",
                "uid", p->uid, "gid", p->uid, "noNewPrivileges", 1, "hostname", "t", "mounts",
                "destination", "/proc", "type", "proc", "source", "proc", "destination", "/dev",
                "type", "tmpfs", "source", "tmpfs", "options", "nosuid", "mode=755", "size=1m",
                "destination", "/dev/pts", "type", "devpts", "source", "devpts", "options",
                "newinstance", "ptmxmode=0666", "linux", "cgroupsPath", p->cgroup, "resources",
                "memory", "limit", (json_int_t)(64 << 20), "namespaces", "type", "pid", "type",
                "mount", "type", "ipc", "type", "uts", "type", "network");

        assert_non_null(json);
        return json;
}

static json_t *config_of(struct place *p, bool terminal, json_t *args)
{
        if (real_program())
                return real_config(p, terminal, args);
        return json_pack("{s:{s:o,s:[ss],s:b}}", "process", "args", args, "env",
                         "PATH=/usr/bin:/bin", "FROM=config", "terminal", terminal);
}

static void write_args(struct place *p, bool terminal, json_t *args)
{
        json_t *json = config_of(p, terminal, args);
        char *text = zl_json_dump(json, 0);

        assert_non_null(text);
        assert_int_equal(zl_write_file_at(p->state, "config.json", text, strlen(text), 0644, 0), 0);
        free(text);
        json_decref(json);
}

static void write_config(struct place *p, bool terminal, const char *script)
{
        write_args(p, terminal, json_pack("[sss]", "/bin/sh", "-c", script));
}

static struct zl_monitor *launch(struct place *p, bool terminal, const char *script)
{
        struct zl_monitor *m = NULL;
        int r;

        write_config(p, terminal, script);
        r = zl_monitor_launch(program(), &p->launch, &m, &p->err);
        if (r < 0)
                fail_msg("launch: %s", zl_error_message(&p->err));
        return m;
}

static struct zl_monitor *launch_and_start(struct place *p, bool terminal, const char *script)
{
        struct zl_monitor *m = launch(p, terminal, script);

        if (zl_monitor_start(m, &p->err) < 0)
                fail_msg("start: %s", zl_error_message(&p->err));
        return m;
}

/* How long to wait, or how often to look: ZL_SLOW times as long in an emulated machine. */
static int patience(int times)
{
        const char *slow = getenv("ZL_SLOW");

        return times * (slow ? atoi(slow) : 1);
}

static void wait_fd(int fd)
{
        struct pollfd f = { .fd = fd, .events = POLLIN };

        if (poll(&f, 1, patience(20000)) != 1)
                fail_msg("nothing came within 20 s, or ZL_SLOW times as long");
}

/* Follows the states to the end. */
static void wait_end(struct place *p, struct zl_monitor *m, struct zl_exit_record *ret)
{
        struct zl_monitor_status status = ZL_MONITOR_STATUS_INIT;
        struct zl_exit_record record = ZL_EXIT_RECORD_INIT;
        int r;

        if (m && zl_monitor_subscribe(m, &p->err) >= 0) {
                while ((r = zl_monitor_next_event(m, &status, &p->err)) >= 0) {
                        if (r == 0)
                                wait_fd(zl_monitor_fd(m));
                        zl_monitor_status_done(&status);
                }
                assert_true(r == -ENODATA || p->err.code == ZL_E_NETWORK);
        }
        zl_monitor_close(m);
        /* Told means: on record, and nobody holds the directory. */
        if (zl_exit_record_load(p->state, &record, &p->err) < 0)
                fail_msg("record: %s", zl_error_message(&p->err));
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 0);
        if (ret)
                *ret = record;
        else
                zl_exit_record_done(&record);
}

static void read_log(struct place *p, struct zl_buf *out)
{
        struct zl_log_reader *reader;
        struct zl_log_reader_entry e;
        int r;

        assert_int_equal(zl_log_reader_open(p->state, NULL, &reader, NULL), 0);
        while ((r = zl_log_reader_next(reader, &e, NULL)) == 1) {
                zl_buf_put(out, e.data, e.len);
                if (!e.partial)
                        zl_buf_putc(out, '\n');
        }
        assert_int_equal(r, -ENODATA);
        assert_int_equal(zl_buf_error(out), 0);
        zl_log_reader_close(reader);
}

static void test_exit_codes(void **state)
{
        static const struct {
                const char *script;
                int code, sig;
        } cases[] = {
                { "exit 0", 0, 0 },       { "exit 1", 1, 0 },         { "exit 42", 42, 0 },
                { "kill -9 $$", 137, 9 }, { "kill -15 $$", 143, 15 },
        };
        struct place *p = *state;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                struct zl_exit_record record;
                struct zl_monitor *m;

                /* The first process of a pid namespace cannot kill itself, and a TERM it has no handler for is lost. */
                if (real_program() && cases[i].sig == SIGTERM)
                        continue;
                p->launch.generation = (uint32_t)i + 1;
                if (real_program() && cases[i].sig) {
                        m = launch_and_start(p, false, "sleep 60");
                        assert_int_equal(zl_monitor_kill(m, cases[i].sig, false, NULL), 0);
                } else {
                        m = launch_and_start(p, false, cases[i].script);
                }
                wait_end(p, m, &record);
                assert_int_equal(record.exit_code, cases[i].code);
                assert_int_equal(record.signal, cases[i].sig);
                assert_int_equal(record.generation, i + 1);
                assert_false(record.failed);
                /* A KILL that went through us was asked for. */
                assert_int_equal(record.stop_requested, real_program() && cases[i].sig == SIGKILL);
                assert_true(record.created_at > 0 && record.started_at >= record.created_at &&
                            record.finished_at >= record.started_at);
                zl_exit_record_done(&record);
        }
}

static void test_start_failure(void **state)
{
        struct place *p = *state;
        struct zl_exit_record record = ZL_EXIT_RECORD_INIT;
        struct zl_monitor *m = NULL;

        write_args(p, false, json_pack("[s]", "/no/such/thing"));
        assert_int_equal(zl_monitor_launch(program(), &p->launch, &m, &p->err), 0);
        assert_true(zl_monitor_start(m, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_NO_COMMAND);
        assert_int_equal(p->err.sys_errno, ENOENT);
        assert_int_equal(zl_exit_record_load(p->state, &record, NULL), 0);
        assert_int_equal(record.exit_code, 127);
        assert_false(record.failed);
        assert_non_null(record.reason);
        zl_exit_record_done(&record);
        zl_monitor_close(m);
}

static void test_launch_failure(void **state)
{
        struct place *p = *state;
        static const char config[] = "{\"process\":{\"args\":[],\"env\":[]}}";

        /* The error comes whole, and nothing is left. */
        zl_write_file_at(p->state, "config.json", config, strlen(config), 0644, 0);
        assert_true(zl_monitor_launch(program(), &p->launch, NULL, &p->err) < 0);
        if (!real_program()) {
                assert_int_equal(p->err.code, ZL_E_CREATE);
                assert_int_equal(p->err.sys_errno, ENOSYS);
                assert_non_null(strstr(p->err.message, "no args"));
        }
        assert_int_equal(faccessat(p->run, "monitor.sock", F_OK, 0), -1);
        assert_int_equal(faccessat(p->run, "monitor.pid", F_OK, 0), -1);
        zl_error_done(&p->err);
        assert_true(zl_monitor_launch("/no/such/program", &p->launch, NULL, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_CONFIGURATION);
}

static void test_waiting(void **state)
{
        struct place *p = *state;
        struct zl_exit_record record = ZL_EXIT_RECORD_INIT;
        struct zl_monitor *m = NULL;

        assert_true(zl_monitor_start_ahead("/no/such/program", NULL, &m, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_CONFIGURATION);
        zl_error_done(&p->err);
        assert_int_equal(zl_monitor_start_ahead(program(), NULL, &m, &p->err), 0);
        assert_true(zl_monitor_is_waiting(m));
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 0);
        write_config(p, false, "exit 7");
        p->launch.ahead = m;
        if (zl_monitor_launch(program(), &p->launch, &m, &p->err) < 0)
                fail_msg("launch: %s", zl_error_message(&p->err));
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 1);
        assert_int_equal(zl_monitor_start(m, &p->err), 0);
        wait_end(p, m, &record);
        assert_int_equal(record.exit_code, 7);
        zl_exit_record_done(&record);
}

static int prepare(struct place *p, struct zl_monitor *m, const char *name, int run)
{
        const struct zl_monitor_preparation what = { .name = name,
                                                     .state_dir_fd = p->state,
                                                     .run_dir_fd = run };

        return zl_monitor_prepare(m, &what, &p->err);
}

/* One that knows for whom it will be has the directory; nothing of it is left when nothing comes of it. */
static void test_prepared(void **state)
{
        struct place *p = *state;
        struct zl_exit_record record = ZL_EXIT_RECORD_INIT;
        struct zl_monitor *first = NULL, *second = NULL;
        int other;

        assert_int_equal(zl_monitor_start_ahead(program(), NULL, &first, &p->err), 0);
        assert_int_equal(prepare(p, first, p->launch.name, p->run), 0);
        for (int i = 0; i < 500 && zl_monitor_is_alive(p->run, NULL, NULL) == 0; i++)
                usleep(10 * 1000);
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 1);

        /* Another is told so, when it is launched. */
        write_config(p, false, "exit 7");
        assert_int_equal(zl_monitor_start_ahead(program(), NULL, &second, &p->err), 0);
        assert_int_equal(prepare(p, second, p->launch.name, p->run), 0);
        p->launch.ahead = second;
        assert_true(zl_monitor_launch(program(), &p->launch, NULL, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_EXISTS);
        zl_error_done(&p->err);
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 1);

        zl_monitor_close(first);
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 0);
        assert_int_equal(faccessat(p->run, "monitor.sock", F_OK, 0), -1);
        assert_int_equal(faccessat(p->run, "monitor.pid", F_OK, 0), -1);

        /* The launch may have another directory, and the workload another name; what is prepared may be prepared for another. */
        assert_int_equal(mkdirat(p->run, "other", 0700), 0);
        other = openat(p->run, "other", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(other >= 0);
        assert_int_equal(zl_monitor_start_ahead(program(), NULL, &second, &p->err), 0);
        assert_int_equal(prepare(p, second, "first", p->run), 0);
        assert_int_equal(prepare(p, second, "another", other), 0);
        p->launch.ahead = second;
        assert_int_equal(zl_monitor_launch(program(), &p->launch, &second, &p->err), 0);
        assert_int_equal(unlinkat(p->run, "other", AT_REMOVEDIR), 0);
        close(other);
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 1);
        assert_int_equal(zl_monitor_start(second, &p->err), 0);
        wait_end(p, second, &record);
        assert_int_equal(record.exit_code, 7);
        zl_exit_record_done(&record);
}

struct chore {
        bool fails, done;
};

static int do_chore(void *data, struct zl_error *err)
{
        struct chore *chore = data;

        chore->done = true;
        return chore->fails ? zl_fail(err, ZL_E_NO_SPACE, 0, "no room for it") : 0;
}

static void test_meanwhile(void **state)
{
        struct place *p = *state;
        struct chore chore = { 0 };
        struct zl_monitor *m = NULL;

        write_config(p, false, "exit 0");
        p->launch.meanwhile = do_chore;
        p->launch.meanwhile_data = &chore;
        assert_int_equal(zl_monitor_launch(program(), &p->launch, &m, &p->err), 0);
        assert_true(chore.done);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        zl_monitor_close(zl_take_ptr(m));
        for (int i = 0; zl_monitor_is_alive(p->run, NULL, NULL) == 1 && i < 500; i++)
                usleep(10000);
        /* It fails, and there is a monitor, which whoever cleans up finds. */
        chore.fails = true;
        p->launch.generation++;
        assert_true(zl_monitor_launch(program(), &p->launch, &m, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_NO_SPACE);
        zl_error_done(&p->err);
        assert_null(m);
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 1);
        assert_int_equal(zl_monitor_connect(p->run, &m, &p->err), 0);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        zl_monitor_close(zl_take_ptr(m));
        /* What is wrong with the launch itself comes first. */
        for (int i = 0; zl_monitor_is_alive(p->run, NULL, NULL) == 1 && i < 500; i++)
                usleep(10000);
        p->launch.bundle = "/no/such/bundle";
        assert_true(zl_monitor_launch(program(), &p->launch, &m, &p->err) < 0);
        assert_int_not_equal(p->err.code, ZL_E_NO_SPACE);
        zl_error_done(&p->err);
}

static void test_second_launch_is_refused(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch(p, false, "exit 0");
        struct zl_exit_record record;

        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 1);
        assert_true(zl_monitor_launch(program(), &p->launch, NULL, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_EXISTS);
        /* The first one is not disturbed, and one that never started can be stopped. */
        assert_int_equal(zl_monitor_stop(m, 0, -1, &record, NULL), 0);
        assert_true(record.stop_requested);
        assert_int_equal(record.signal, SIGKILL);
        assert_int_equal(record.started_at, 0);
        zl_exit_record_done(&record);
        zl_monitor_close(m);
}

static void test_every_byte_is_logged(void **state)
{
        struct place *p = *state;
        enum { SIZE = 20 * 1000 * 1000 };
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(SIZE * 2);
        struct zl_exit_record record;
        size_t lines = 0;

        p->launch.log_max_size = 1 << 30;
        wait_end(
                p,
                launch_and_start(p, false, "seq 1 1000000; seq 1 10000 | tr -d '\\n'; printf last"),
                &record);
        read_log(p, &out);
        assert_int_equal(out.len, record.log_bytes);
        assert_int_equal(record.log_dropped, 0);
        assert_int_equal(out.len, 6888896 + 38894 + 4);
        assert_memory_equal(out.data + out.len - 4, "last", 4);
        for (const char *q = out.data; lines < 1000000; q++) {
                char *end;

                assert_int_equal(strtoul(q, &end, 10), ++lines);
                assert_int_equal(*end, '\n');
                q = end;
        }
        zl_exit_record_done(&record);
}

static void test_grandchild_does_not_hold_the_end(void **state)
{
        struct place *p = *state;
        int64_t begin = zl_now_monotonic();
        struct zl_exit_record record;

        /* In a session of its own the double cannot kill it, so it keeps the pipe. */
        wait_end(p, launch_and_start(p, false, "setsid sleep 6 & echo told; exit 3"), &record);
        assert_int_equal(record.exit_code, 3);
        assert_true(zl_now_monotonic() - begin < 4 * ZL_NSEC_PER_SEC);
        zl_exit_record_done(&record);
}

static void test_stop(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch_and_start(
                p, false, "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done");
        struct zl_exit_record record;
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(4096);

        usleep(200000);
        assert_int_equal(zl_monitor_stop(m, 0, 10 * ZL_NSEC_PER_SEC, &record, NULL), 0);
        assert_int_equal(record.exit_code, 7);
        assert_true(record.stop_requested);
        zl_exit_record_done(&record);
        zl_monitor_close(m);
        read_log(p, &out);
        assert_string_equal(out.data, "up\nbye\n");
}

static void test_stop_kills_after_grace(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch_and_start(p, false,
                                                "trap '' TERM; while :; do sleep 0.05; done");
        struct zl_exit_record record;

        usleep(200000);
        assert_int_equal(zl_monitor_stop(m, 0, 300 * ZL_NSEC_PER_MSEC, &record, NULL), 0);
        assert_int_equal(record.exit_code, 137);
        zl_exit_record_done(&record);
        zl_monitor_close(m);
}

static void test_sigterm_to_the_monitor_stops(void **state)
{
        struct place *p = *state;
        struct zl_exit_record record;
        struct zl_monitor *m;
        pid_t pid = 0;

        p->launch.init_reaper =
                true; /* hands the signal on to a command that has no handler for it */
        m = launch_and_start(p, false, "exec sleep 60");
        assert_int_equal(zl_monitor_is_alive(p->run, &pid, NULL), 1);
        assert_int_equal(kill(pid, SIGTERM), 0);
        wait_end(p, m, &record);
        assert_int_equal(record.exit_code, 143);
        assert_int_equal(record.signal, SIGTERM);
        assert_true(record.stop_requested);
        zl_exit_record_done(&record);
}

static void test_sigkill_to_the_monitor(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch_and_start(p, false, "sleep 60"), *again;
        struct zl_monitor_status status;
        pid_t pid = 0, init;

        assert_int_equal(zl_monitor_get_status(m, &status, NULL), 0);
        init = status.pid;
        assert_int_equal(status.state, ZL_STATE_RUNNING);
        zl_monitor_status_done(&status);
        assert_int_equal(zl_monitor_is_alive(p->run, &pid, NULL), 1);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_true(zl_monitor_get_status(m, &status, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_NETWORK);
        zl_monitor_close(m);
        for (int i = 0; i < 200 && kill(init, 0) == 0; i++)
                usleep(10000);
        assert_int_equal(kill(init, 0), -1);
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 0);
        zl_error_done(&p->err);
        assert_true(zl_monitor_connect(p->run, &again, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_NOT_FOUND);
        /* What it left is no hindrance for the next one. */
        p->launch.generation = 2;
        wait_end(p, launch_and_start(p, false, "exit 5"), NULL);
}

static void test_client_dies(void **state)
{
        struct place *p = *state;
        struct zl_exit_record record;
        pid_t pid = fork();

        if (pid == 0) {
                launch_and_start(p, false, "sleep 0.3; echo done; exit 9");
                raise(SIGKILL);
        }
        waitpid(pid, NULL, 0);
        assert_int_equal(zl_monitor_is_alive(p->run, NULL, NULL), 1);
        for (int i = 0; i < 500 && zl_monitor_is_alive(p->run, NULL, NULL) == 1; i++)
                usleep(10000);
        assert_int_equal(zl_exit_record_load(p->state, &record, NULL), 0);
        assert_int_equal(record.exit_code, 9);
        zl_exit_record_done(&record);
}

static void test_pause(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch_and_start(p, false, "sleep 60");
        struct zl_monitor_exec_options options = { .argv = (char *[]){ (char *)"true", NULL },
                                                   .stdio = { -1, -1, -1 } };
        struct zl_monitor_exec *exec;
        struct zl_monitor_status status;

        assert_int_equal(zl_monitor_pause(m, true, NULL), 0);
        assert_int_equal(zl_monitor_get_status(m, &status, NULL), 0);
        assert_int_equal(status.state, ZL_STATE_PAUSED);
        zl_monitor_status_done(&status);
        assert_true(zl_monitor_exec_open(p->run, &options, &exec, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_STATE);
        assert_true(zl_monitor_pause(m, true, NULL) < 0);
        assert_int_equal(zl_monitor_pause(m, false, NULL), 0);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        zl_monitor_close(m);
}

static int exec_code(struct place *p, struct zl_monitor_exec *exec)
{
        int code = -1, r;

        while ((r = zl_monitor_exec_result(exec, &code, &p->err)) == 0)
                wait_fd(zl_monitor_exec_fd(exec));
        if (r < 0)
                fail_msg("exec: %s", zl_error_message(&p->err));
        return code;
}

static void test_exec(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch_and_start(p, false, "sleep 60");
        char *argv[] = { (char *)"sh", (char *)"-c",
                         (char *)"read x; echo out:$x:$FROM:$MORE; echo err >&2; exit 23", NULL };
        char *env[] = { (char *)"MORE=more", NULL };
        struct zl_monitor_exec_options options = { .argv = argv, .env = env };
        char *bad[] = { (char *)"/no/such/command", NULL };
        struct zl_monitor_exec *exec;
        int in[2], out[2], err[2];
        char text[64] = "";

        assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC), 0);
        options.stdio[0] = in[0];
        options.stdio[1] = out[1];
        options.stdio[2] = err[1];
        assert_int_equal(zl_monitor_exec_open(p->run, &options, &exec, &p->err), 0);
        close(in[0]);
        close(out[1]);
        close(err[1]);
        assert_int_equal(write(in[1], "in\n", 3), 3);
        assert_int_equal(exec_code(p, exec), 23);
        assert_true(zl_read_full(out[0], text, sizeof(text) - 1) > 0);
        assert_string_equal(text, "out:in:config:more\n");
        memset(text, 0, sizeof(text));
        assert_true(zl_read_full(err[0], text, sizeof(text) - 1) > 0);
        assert_string_equal(text, "err\n");
        zl_monitor_exec_close(exec);

        options = (struct zl_monitor_exec_options){ .argv = bad, .stdio = { -1, -1, -1 } };
        assert_true(zl_monitor_exec_open(p->run, &options, &exec, &p->err) < 0);
        assert_int_equal(p->err.code, ZL_E_NO_COMMAND);
        argv[2] = (char *)"sleep 60";
        options.argv = argv;
        assert_int_equal(zl_monitor_exec_open(p->run, &options, &exec, NULL), 0);
        assert_int_equal(zl_monitor_exec_kill(exec, SIGTERM, NULL), 0);
        assert_int_equal(exec_code(p, exec), 143);
        zl_monitor_exec_close(exec);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        zl_monitor_close(m);
        close(in[1]);
        close(out[0]);
        close(err[0]);
}

/* Reads a terminal until `needle` came. */
static void expect(int fd, const char *needle)
{
        char text[4096] = "";
        size_t len = 0;

        while (!strstr(text, needle)) {
                ssize_t n;

                wait_fd(fd);
                n = read(fd, text + len, sizeof(text) - 1 - len);
                if (n <= 0)
                        fail_msg("no \"%s\" in \"%s\"", needle, text);
                len += (size_t)n;
                text[len] = 0;
        }
}

static void test_exec_terminal(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch_and_start(p, false, "sleep 60");
        char *argv[] = { (char *)"sh", (char *)"-c",
                         (char *)"stty size; read x; stty size; read x; exit 4", NULL };
        struct zl_monitor_exec_options options = {
                .argv = argv, .tty = true, .rows = 33, .cols = 77
        };
        struct zl_monitor_exec *exec;
        int tty;

        assert_int_equal(zl_monitor_exec_open(p->run, &options, &exec, &p->err), 0);
        tty = zl_monitor_exec_tty_fd(exec);
        expect(tty, "33 77");
        assert_int_equal(zl_monitor_exec_resize(exec, 12, 34, NULL), 0);
        assert_int_equal(write(tty, "\n", 1), 1);
        expect(tty, "12 34");
        assert_int_equal(write(tty, "\n", 1), 1);
        assert_int_equal(exec_code(p, exec), 4);
        zl_monitor_exec_close(exec);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        zl_monitor_close(m);
}

/* What stands in the pid file is the state, as long as a monitor holds it, and nothing else passes for it. */
static void test_glance(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch(p, false, "sleep 60");
        struct zl_monitor_status status = ZL_MONITOR_STATUS_INIT;
        int fd;

        assert_int_equal(zl_monitor_glance(p->run, ".", &status), 1);
        assert_int_equal(status.state, ZL_STATE_PENDING);
        assert_int_equal(status.record.generation, 1);
        assert_int_equal(zl_monitor_start(m, &p->err), 0);
        assert_int_equal(zl_monitor_glance(p->run, ".", &status), 1);
        assert_int_equal(status.state, ZL_STATE_RUNNING);
        assert_true(status.pid > 0);
        assert_true(status.record.started_at > 0);
        zl_monitor_status_done(&status);
        /* A byte that is not (yet) what the monitor wrote. */
        fd = openat(p->run, "monitor.pid", O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "x", 1, 60), 1);
        close(fd);
        assert_int_equal(zl_monitor_glance(p->run, ".", &status), 0);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        assert_int_equal(zl_monitor_glance(p->run, ".", &status), 0);
        zl_monitor_close(m);
}

/* The end of the command and what its terminal still has come in one round of the loop, often enough among many. */
static void test_many_execs_without_client(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch_and_start(p, false, "sleep 60");
        char *argv[] = { (char *)"sh", (char *)"-c", (char *)"seq 1 2000", NULL };
        struct zl_monitor_exec_options options = { .argv = argv, .tty = true };
        struct zl_monitor_status status = ZL_MONITOR_STATUS_INIT;

        for (int i = 0; i < 60; i++) {
                struct zl_monitor_exec *exec;

                if (zl_monitor_exec_open(p->run, &options, &exec, &p->err) < 0)
                        fail_msg("exec %d: %s", i, zl_error_message(&p->err));
                zl_monitor_exec_close(exec);
        }
        assert_int_equal(zl_monitor_get_status(m, &status, NULL), 0);
        assert_int_equal(status.state, ZL_STATE_RUNNING);
        zl_monitor_status_done(&status);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        zl_monitor_close(m);
}

static void test_exec_survives_its_client(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch_and_start(p, false, "sleep 60");
        char script[256];
        char *argv[] = { (char *)"sh", (char *)"-c", script, NULL };
        struct zl_monitor_exec_options options = { .argv = argv, .tty = true };
        struct zl_monitor_exec *exec;
        struct stat st;

        int root = openat(p->state, root_of(p), O_PATH | O_DIRECTORY | O_CLOEXEC);

        snprintf(script, sizeof(script), "sleep 0.2; seq 1 100000; touch %s/survived",
                 real_program() ? "" : p->dir);
        assert_int_equal(zl_monitor_exec_open(p->run, &options, &exec, &p->err), 0);
        zl_monitor_exec_close(exec);
        for (int i = 0; i < patience(500) && fstatat(root, "survived", &st, 0) < 0; i++)
                usleep(10000);
        assert_int_equal(fstatat(root, "survived", &st, 0), 0);
        close(root);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        zl_monitor_close(m);
}

static void collect(struct place *p, struct zl_monitor_attach *a, struct zl_buf *out)
{
        const char *data;
        size_t len;
        int stream, r;

        while ((r = zl_monitor_attach_next(a, &stream, &data, &len, &p->err)) >= 0) {
                if (r == 1)
                        zl_buf_put(out, data, len);
                else
                        wait_fd(zl_monitor_attach_fd(a));
        }
        if (r != -ENODATA)
                fail_msg("attach: %s", zl_error_message(&p->err));
}

static void test_attach_half_close(void **state)
{
        struct place *p = *state;
        enum { SIZE = 1000 * 1000 };
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(SIZE * 2);
        struct zl_monitor_attach *a, *b;
        struct zl_monitor *m;
        char *big = malloc(SIZE);
        pid_t pid;

        memset(big, 'x', SIZE);
        p->launch.attach_stdin = true;
        m = launch(p, false, "sleep 0.3; wc -c");
        assert_int_equal(zl_monitor_attach_open(p->run, &a, &p->err), 0);
        assert_int_equal(zl_monitor_attach_open(p->run, &b, &p->err), 0);
        assert_int_equal(zl_monitor_start(m, &p->err), 0);
        /* Another process writes: input must flow while we read, and survive the writer's end. */
        pid = fork();
        if (pid == 0) {
                zl_monitor_attach_write(b, big, SIZE, NULL);
                zl_monitor_attach_write(b, NULL, 0, NULL);
                _exit(0);
        }
        zl_monitor_attach_close(b);
        collect(p, a, &out);
        waitpid(pid, NULL, 0);
        assert_string_equal(out.data, "1000000\n");
        zl_monitor_attach_close(a);
        zl_monitor_close(m);
        free(big);
}

static void test_attach_terminal(void **state)
{
        struct place *p = *state;
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(65536);
        struct zl_monitor_attach *a;
        struct zl_exit_record record;
        struct zl_monitor *m;

        p->launch.rows = 11;
        p->launch.cols = 22;
        m = launch(p, true, "stty size; read x; stty size; cat; echo end; exit 6");
        assert_int_equal(zl_monitor_attach_open(p->run, &a, &p->err), 0);
        assert_int_equal(zl_monitor_start(m, &p->err), 0);
        usleep(200000);
        assert_int_equal(zl_monitor_attach_resize(a, 40, 50, NULL), 0);
        assert_int_equal(zl_monitor_attach_write(a, "go\n", 3, NULL), 0);
        usleep(100000);
        assert_int_equal(zl_monitor_attach_write(a, NULL, 0, NULL), 0); /* ^D ends cat */
        collect(p, a, &out);
        assert_non_null(strstr(out.data, "11 22"));
        assert_non_null(strstr(out.data, "40 50"));
        assert_non_null(strstr(out.data, "end"));
        zl_monitor_attach_close(a);
        wait_end(p, m, &record);
        assert_int_equal(record.exit_code, 6);
        zl_exit_record_done(&record);
}

static void test_slow_client_is_dropped(void **state)
{
        struct place *p = *state;
        struct zl_monitor_attach *a;
        struct zl_exit_record record;
        struct zl_monitor *m;
        const char *data;
        int stream, r;
        size_t len;

        p->launch.log_max_size = 1 << 30;
        m = launch(p, false, "head -c 5000000 /dev/zero");
        assert_int_equal(zl_monitor_attach_open(p->run, &a, &p->err), 0);
        assert_int_equal(zl_monitor_start(m, &p->err), 0);
        /* The workload gets on without the client. */
        wait_end(p, m, &record);
        assert_int_equal(record.exit_code, 0);
        assert_int_equal(record.log_bytes, 5000000);
        zl_exit_record_done(&record);
        while ((r = zl_monitor_attach_next(a, &stream, &data, &len, &p->err)) >= 0) {
                if (r == 0)
                        wait_fd(zl_monitor_attach_fd(a));
        }
        assert_true(r < 0 && (p->err.code == ZL_E_BUSY || p->err.code == ZL_E_NETWORK));
        zl_monitor_attach_close(a);
}

static void test_attached_keeps_up(void **state)
{
        struct place *p = *state;
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(30 * 1000 * 1000);
        struct zl_monitor_attach *a;
        struct zl_monitor *m;

        m = launch(p, false, "seq 1 2000000");
        assert_int_equal(zl_monitor_attach_open(p->run, &a, &p->err), 0);
        assert_int_equal(zl_monitor_start(m, &p->err), 0);
        collect(p, a, &out);
        assert_int_equal(out.len, 14888896);
        zl_monitor_attach_close(a);
        zl_monitor_close(m);
}

static void test_hostile_client(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m = launch_and_start(p, false, "sleep 60");
        struct zl_monitor_status status;
        unsigned seed = 12345;

        for (int i = 0; i < 3000; i++) {
                _cleanup_close_ int fd = zl_unix_connect_at(p->run, "monitor.sock", SOCK_SEQPACKET);
                unsigned char junk[512];
                struct zl_wire_head head = { .magic = ZL_WIRE_MAGIC, .version = ZL_WIRE_VERSION };
                size_t len = (size_t)rand_r(&seed) % sizeof(junk);

                assert_true(fd >= 0);
                for (size_t j = 0; j < sizeof(junk); j++)
                        junk[j] = (unsigned char)(rand_r(&seed) % 4 ? 0 : rand_r(&seed));
                /* Most with a good head, so that the bodies are what is tried; no order to kill or to stop. */
                head.type = (uint16_t[]){
                        ZL_WIRE_STATUS, ZL_WIRE_RESIZE,    ZL_WIRE_SUBSCRIBE,
                        ZL_WIRE_EXEC,   ZL_WIRE_EXEC_KILL, ZL_WIRE_ATTACH,
                        ZL_WIRE_INPUT,  ZL_WIRE_LAUNCH,    77
                }[rand_r(&seed) % 9];
                head.len = (uint32_t)(len > sizeof(head) ? len - sizeof(head) : 0);
                if (rand_r(&seed) % 8 == 0)
                        head.version++;
                if (rand_r(&seed) % 16)
                        memcpy(junk, &head, sizeof(head));
                zl_send_fds(fd, junk, len, (int[]){ fd, 0, 1 }, (size_t)rand_r(&seed) % 4,
                            MSG_DONTWAIT);
                if (rand_r(&seed) % 2)
                        zl_send_fds(fd, junk, len / 2, NULL, 0, MSG_DONTWAIT);
        }
        assert_int_equal(zl_monitor_get_status(m, &status, &p->err), 0);
        assert_int_equal(status.state, ZL_STATE_RUNNING);
        zl_monitor_status_done(&status);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        zl_monitor_close(m);
}

/* ---- with the real engine only ------------------------------------------------------------------------ */

static void need_engine(void)
{
        if (!real_program())
                skip();
}

static void test_out_of_memory(void **state)
{
        struct place *p = *state;
        struct zl_exit_record record;

        need_engine();
        wait_end(p, launch_and_start(p, false, "exec dd if=/dev/zero of=/dev/null bs=200M"),
                 &record);
        assert_true(record.oom);
        assert_true(record.oom_kills > 0);
        assert_int_equal(record.exit_code, 137);
        assert_int_equal(record.signal, 9);
        assert_true(record.memory_peak > 32 << 20);
        zl_exit_record_done(&record);
}

static void test_streams_can_be_opened_again(void **state)
{
        struct place *p = *state;
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(4096);
        struct zl_exit_record record;

        need_engine();
        p->uid = 1000;
        wait_end(p,
                 launch_and_start(p, false,
                                  "echo one >/proc/self/fd/1 && echo two >/proc/self/fd/2"),
                 &record);
        assert_int_equal(record.exit_code, 0);
        read_log(p, &out);
        assert_non_null(strstr(out.data, "one\n"));
        assert_non_null(strstr(out.data, "two\n"));
        zl_exit_record_done(&record);
}

static void test_hundred_megabytes(void **state)
{
        struct place *p = *state;
        struct zl_log_reader_entry e;
        struct zl_log_reader *reader;
        struct zl_exit_record record;
        uint64_t bytes = 0;
        int64_t begin;

        need_engine();
        p->launch.log_max_size = 1 << 30;
        begin = zl_now_monotonic();
        wait_end(p,
                 launch_and_start(p, false,
                                  "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 100000000; "
                                  "echo; echo the end"),
                 &record);
        print_message("100 MB of lines logged in %d ms\n",
                      (int)((zl_now_monotonic() - begin) / ZL_NSEC_PER_MSEC));
        assert_int_equal(record.log_bytes, 100000000 + 1 + 8);
        zl_exit_record_done(&record);
        begin = zl_now_monotonic();
        assert_int_equal(zl_log_reader_open(p->state, NULL, &reader, NULL), 0);
        while (zl_log_reader_next(reader, &e, NULL) == 1)
                bytes += e.len + !e.partial;
        zl_log_reader_close(reader);
        print_message("and read in %d ms\n",
                      (int)((zl_now_monotonic() - begin) / ZL_NSEC_PER_MSEC));
        assert_int_equal(bytes, 100000000 + 1 + 8);
}

static uint64_t pss_of(pid_t pid)
{
        char path[64], *text, *line;
        uint64_t kib = 0;

        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
        assert_int_equal(zl_read_file_at(AT_FDCWD, path, 65536, &text, NULL), 0);
        line = strstr(text, "\nPss:");
        assert_non_null(line);
        kib = strtoull(line + 5, NULL, 10);
        free(text);
        return kib;
}

static void test_memory_and_latency(void **state)
{
        struct place *p = *state;
        struct zl_monitor *m;
        char *argv[] = { (char *)"true", NULL };
        struct zl_monitor_exec_options options = { .argv = argv, .stdio = { -1, -1, -1 } };
        int64_t best = INT64_MAX, begin = zl_now_monotonic();
        pid_t pid;

        need_engine();
        m = launch_and_start(p, false, "echo up; sleep 60");
        print_message("launch and start: %d us\n",
                      (int)((zl_now_monotonic() - begin) / ZL_NSEC_PER_USEC));
        for (int i = 0; i < 20; i++) {
                struct zl_monitor_exec *exec;

                begin = zl_now_monotonic();
                assert_int_equal(zl_monitor_exec_open(p->run, &options, &exec, &p->err), 0);
                assert_int_equal(exec_code(p, exec), 0);
                zl_monitor_exec_close(exec);
                best = ZL_MIN(best, zl_now_monotonic() - begin);
        }
        sleep(2);
        assert_int_equal(zl_monitor_is_alive(p->run, &pid, NULL), 1);
        print_message("exec of true: %d us at best; idle monitor: %d KiB\n",
                      (int)(best / ZL_NSEC_PER_USEC), (int)pss_of(pid));
        assert_true(pss_of(pid) <= 256);
        assert_int_equal(zl_monitor_stop(m, SIGKILL, 0, NULL, NULL), 0);
        zl_monitor_close(m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                TEST(test_exit_codes),
                TEST(test_start_failure),
                TEST(test_launch_failure),
                TEST(test_waiting),
                TEST(test_prepared),
                TEST(test_meanwhile),
                TEST(test_second_launch_is_refused),
                TEST(test_every_byte_is_logged),
                TEST(test_grandchild_does_not_hold_the_end),
                TEST(test_stop),
                TEST(test_stop_kills_after_grace),
                TEST(test_sigterm_to_the_monitor_stops),
                TEST(test_sigkill_to_the_monitor),
                TEST(test_client_dies),
                TEST(test_pause),
                TEST(test_exec),
                TEST(test_exec_terminal),
                TEST(test_glance),
                TEST(test_exec_survives_its_client),
                TEST(test_many_execs_without_client),
                TEST(test_attach_half_close),
                TEST(test_attach_terminal),
                TEST(test_slow_client_is_dropped),
                TEST(test_attached_keeps_up),
                TEST(test_hostile_client),
                TEST(test_out_of_memory),
                TEST(test_streams_can_be_opened_again),
                TEST(test_hundred_megabytes),
                TEST(test_memory_and_latency),
        };

        if (argc > 0 && zl_streq(argv[0], "zlayer-monitor"))
                return zl_monitor_main(argc, argv);
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
