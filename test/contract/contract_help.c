/* SPDX-License-Identifier: Apache-2.0 */
/* The usual steps of the cases (contract.h). */
#include "contract.h"

/* `extra` is more of the service, as flow YAML beginning with a comma. */
int create_image(const char *name, const char *image, const char *script, const char *extra)
{
        _cleanup_spec_ struct zl_deployment_spec *spec = NULL;
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 16);
        struct zl_create_options o = { .name = name };
        int r;

        zl_buf_putf(
                &text,
                "{version: v1, deployment: contract, services: {s: {image: {name: '%s', pull_policy: "
                "never}%s, command: {entrypoint: [sh, -c, '%s']}%s}}}",
                image, strstr(extra, "network") ? "" : ", network_mode: none", script, extra);
        OK(zl_spec_load_text(text.data, text.len, &spec, NULL, &err));
        o.spec = spec->services[0].spec;
        r = zl_runtime_create(rt, &o, &err);
        if (r >= 0)
                mock_script(name, script);
        return r;
}

int create_with(const char *name, const char *script, const char *extra)
{
        return create_image(name, "bb", script, extra);
}

int start_image(const char *name, const char *image, const char *script)
{
        OK(create_image(name, image, script, ""));
        OK(zl_runtime_start(rt, name, &err));
        return 0;
}

int start_with(const char *name, const char *script, const char *extra)
{
        OK(create_with(name, script, extra));
        OK(zl_runtime_start(rt, name, &err));
        return 0;
}

int wait_end(const char *name, int *ret_code, int *ret_signal)
{
        struct zl_status s;

        OK(zl_runtime_wait(rt, name, 20 * SEC, &s, &err));
        CHECK(s.state == ZL_STATE_EXITED);
        *ret_code = s.exit_code;
        if (ret_signal)
                *ret_signal = s.signal;
        zl_status_done(&s);
        return 0;
}

int state_of(const char *name, enum zl_workload_state *ret)
{
        struct zl_status s;

        OK(zl_runtime_state(rt, name, &s, &err));
        *ret = s.state;
        zl_status_done(&s);
        return 0;
}

int expect_state(const char *name, enum zl_workload_state wanted)
{
        enum zl_workload_state state;

        if (state_of(name, &state) < 0)
                return -1;
        if (state != wanted)
                FAIL("%s is %s instead of %s", name, zl_workload_state_name(state),
                     zl_workload_state_name(wanted));
        return 0;
}

/* All of a log as "STREAM:LINE|STREAM:LINE|"; streams have no order between them, so one stream at a time. */
int read_log(const char *name, const struct zl_log_options *o, struct zl_buf *ret)
{
        struct zl_logs *logs;
        struct zl_log_entry e;
        int r;

        OK(zl_logs_open(rt, name, o, &logs, &err));
        while ((r = zl_logs_next(logs, &e, &err)) >= 0) {
                struct pollfd pfd = { .fd = zl_logs_fd(logs), .events = POLLIN };

                if (r > 0)
                        zl_buf_putf(ret, "%d:%.*s%s|", e.stream, (int)e.len, e.data,
                                    e.partial ? "..." : "");
                else if (poll(&pfd, 1, 20000) <= 0)
                        break;
        }
        zl_logs_close(logs);
        CHECK(r == -ENODATA);
        return 0;
}

int expect_log(const char *name, const struct zl_log_options *o, const char *wanted)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 20);

        if (read_log(name, o, &text) < 0)
                return -1;
        if (!zl_streq(text.data ? text.data : "", wanted))
                FAIL("the log is \"%s\" instead of \"%s\"", text.data ? text.data : "", wanted);
        return 0;
}

/* Until the log has a line; a program tells that way that it is ready. */
int wait_line(const char *name, const char *line)
{
        const struct zl_log_options o = { .follow = true, .tail = -1 };
        struct zl_logs *logs;
        struct zl_log_entry e;
        bool found = false;
        int r;

        OK(zl_logs_open(rt, name, &o, &logs, &err));
        while (!found && (r = zl_logs_next(logs, &e, &err)) >= 0) {
                struct pollfd pfd = { .fd = zl_logs_fd(logs), .events = POLLIN };

                found = r > 0 && e.len >= strlen(line) && memcmp(e.data, line, strlen(line)) == 0;
                if (r == 0 && poll(&pfd, 1, 20000) <= 0)
                        break;
        }
        zl_logs_close(logs);
        CHECK(found);
        return 0;
}

/* The output of a command run inside, and its code. `in` (may be NULL) is its input. */
int exec_in(const char *name, const char *script, const char *in, struct zl_buf *out, int *ret_code)
{
        char *argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
                         (char *)(uintptr_t)script, NULL };
        int input[2], output[2], r;
        struct zl_exec_options o = { .argv = argv };
        struct zl_exec *exec;
        char buf[4096];
        ssize_t n;

        CHECK(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0);
        o.stdio[0] = in ? input[0] : -1;
        o.stdio[1] = o.stdio[2] = output[1];
        OK(zl_exec_open(rt, name, &o, &exec, &err));
        close(input[0]);
        close(output[1]);
        if (in)
                CHECK(write(input[1], in, strlen(in)) == (ssize_t)strlen(in));
        close(input[1]);
        while ((n = read(output[0], buf, sizeof(buf))) > 0)
                zl_buf_put(out, buf, (size_t)n);
        close(output[0]);
        while ((r = zl_exec_result(exec, ret_code, &err)) == 0) {
                struct pollfd pfd = { .fd = zl_exec_fd(exec), .events = POLLIN };

                CHECK(poll(&pfd, 1, 20000) > 0);
        }
        zl_exec_close(exec);
        CHECK(r == 1);
        return 0;
}

int temporary(void)
{
        char path[] = "/tmp/zlt-contract.XXXXXX";
        int fd = mkostemp(path, O_CLOEXEC);

        if (fd >= 0)
                unlink(path);
        return fd;
}

/* Is the text in the file? */
bool file_has(int fd, const char *text)
{
        _cleanup_free_ char *all = NULL;
        size_t len;

        lseek(fd, 0, SEEK_SET);
        return zl_read_fd(fd, 64 << 20, &all, &len) == 0 && memmem(all, len, text, strlen(text));
}
