/* SPDX-License-Identifier: Apache-2.0 */
/* Cases: logs, commands run inside, the streams of a workload. */
#include "contract.h"

static int case_logs(const char *name)
{
        const struct zl_log_options follow = { .follow = true, .tail = -1 };
        const struct zl_log_options tail = { .tail = 2 };
        struct zl_log_options since = { .tail = -1 };

        OK(start_with(name, "echo line1; sleep 0.05; echo line2; echo line3", ""));
        if (expect_log(name, &follow, "1:line1|1:line2|1:line3|") < 0 ||
            expect_log(name, &tail, "1:line2|1:line3|") < 0)
                return -1;
        since.since = zl_now_realtime() + 3600 * SEC;
        return expect_log(name, &since, "");
}

static int case_terminal_log(const char *name)
{
        const struct zl_log_options o = { .follow = true, .tail = -1 };
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 20);

        OK(start_with(name, "test -t 1 && echo terminal; sleep 0.1", ", tty: true"));
        if (read_log(name, &o, &text) < 0)
                return -1;
        CHECK(text.data && zl_startswith(text.data, "1:terminal"));
        return 0;
}

static int case_exec(const char *name)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(1 << 20), in = ZL_BUF_INIT(1 << 20);
        char *nothing[] = { (char *)(uintptr_t) "no-such-command", NULL };
        struct zl_exec_options o = { .argv = nothing, .stdio = { -1, -1, -1 } };
        struct zl_exec *exec;
        int code;

        OK(start_with(name, "echo ready; exec sleep 1000", ", env: {A: b}"));
        OK(wait_line(name, "ready"));
        OK(exec_in(name, "echo $A; echo error >&2; exit 5", NULL, &out, &code));
        CHECK(code == 5 && strstr(out.data, "b\n") && strstr(out.data, "error\n"));
        OK(exec_in(name, "tr a-z A-Z", "through", &in, &code));
        CHECK(code == 0 && zl_streq(in.data, "THROUGH"));
        FAILS(zl_exec_open(rt, name, &o, &exec, &err), ZL_E_NO_COMMAND);
        FAILS(zl_exec_open(rt, "contract.nobody.1", &o, &exec, &err), ZL_E_NOT_FOUND);
        return 0;
}

static int case_exec_terminal(const char *name)
{
        char *argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
                         (char *)(uintptr_t) "read x; stty size; exit 3", NULL };
        struct zl_exec_options o = { .argv = argv, .tty = true, .rows = 31, .cols = 97 };
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(1 << 16);
        struct zl_exec *exec;
        char buf[1000];
        int code, r;
        ssize_t n;

        OK(start_with(name, "echo ready; exec sleep 1000", ""));
        OK(wait_line(name, "ready"));
        OK(zl_exec_open(rt, name, &o, &exec, &err));
        CHECK(zl_exec_tty_fd(exec) >= 0);
        OK(zl_exec_resize(exec, 32, 98, &err));
        CHECK(write(zl_exec_tty_fd(exec), "\n", 1) == 1);
        while ((n = read(zl_exec_tty_fd(exec), buf, sizeof(buf))) > 0)
                zl_buf_put(&out, buf, (size_t)n);
        while ((r = zl_exec_result(exec, &code, &err)) == 0) {
                struct pollfd pfd = { .fd = zl_exec_fd(exec), .events = POLLIN };

                CHECK(poll(&pfd, 1, 20000) > 0);
        }
        zl_exec_close(exec);
        CHECK(r == 1 && code == 3);
        CHECK(out.data && strstr(out.data, "32 98"));
        return 0;
}

static int case_exec_kill(const char *name)
{
        char *argv[] = { (char *)(uintptr_t) "sleep", (char *)(uintptr_t) "1000", NULL };
        struct zl_exec_options o = { .argv = argv, .stdio = { -1, -1, -1 } };
        struct zl_exec *exec;
        int code, r;

        OK(start_with(name, "exec sleep 1000", ""));
        OK(zl_exec_open(rt, name, &o, &exec, &err));
        OK(zl_exec_kill(exec, SIGKILL, &err));
        while ((r = zl_exec_result(exec, &code, &err)) == 0) {
                struct pollfd pfd = { .fd = zl_exec_fd(exec), .events = POLLIN };

                CHECK(poll(&pfd, 1, 20000) > 0);
        }
        zl_exec_close(exec);
        CHECK(r == 1 && code == 137);
        return 0;
}

static int case_attach(const char *name)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(1 << 16);
        struct zl_attach *attach;
        const char *data;
        size_t len;
        int stream, code, r;

        OK(create_with(name, "tr a-z A-Z; exit 8", ", stdin_open: true"));
        OK(zl_attach_open(rt, name, &attach, &err));
        OK(zl_runtime_start(rt, name, &err));
        OK(zl_attach_write(attach, "through", 7, &err));
        OK(zl_attach_write(attach, NULL, 0, &err));
        while ((r = zl_attach_next(attach, &stream, &data, &len, &err)) >= 0) {
                struct pollfd pfd = { .fd = zl_attach_fd(attach), .events = POLLIN };

                if (r > 0)
                        zl_buf_put(&out, data, len);
                else
                        CHECK(poll(&pfd, 1, 20000) > 0);
        }
        zl_attach_close(attach);
        CHECK(r == -ENODATA && out.data && zl_streq(out.data, "THROUGH"));
        if (wait_end(name, &code, NULL) < 0)
                return -1;
        CHECK(code == 8);
        return 0;
}

const struct contract_case stream_cases[] = {
        { "logs", "logs", case_logs },
        { "terminal_log", "logs shell", case_terminal_log },
        { "exec", "exec shell", case_exec },
        { "exec_terminal", "exec shell", case_exec_terminal },
        { "exec_kill", "exec shell", case_exec_kill },
        { "attach", "attach process", case_attach },
        { NULL, NULL, NULL },
};
