/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side of exec and attach: connections with a role of their own.
 *
 * The terminal of an exec is ours from the moment it runs: the master came over the socket, so its data and its size do
 * not pass through the monitor.
 */
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "monitor/client_internal.h"

struct zl_monitor_exec {
        struct zl_monitor *m;
        int tty_fd;
        pid_t pid;
        bool ended;
        int code;
};

struct zl_monitor_attach {
        struct zl_monitor *m;
        bool over;
};

/* ---- exec ------------------------------------------------------------------------------------------------ */

static int send_exec(struct zl_monitor *m, const struct zl_monitor_exec_options *options,
                     struct zl_error *err)
{
        int fds[3];
        size_t n = 0;
        uint8_t mask = 0;

        for (int i = 0; i < 3 && !options->tty; i++) {
                if (options->stdio[i] < 0)
                        continue;
                mask |= (uint8_t)(1 << i);
                fds[n++] = options->stdio[i];
        }
        zl_monitor_begin(m, ZL_WIRE_EXEC);
        zl_wire_put_strv(&m->out, options->argv);
        zl_wire_put_strv(&m->out, options->env);
        zl_wire_put_str(&m->out, options->cwd);
        zl_wire_put_str(&m->out, options->user);
        zl_wire_put_u8(&m->out, options->privileged);
        zl_wire_put_u8(&m->out, options->tty);
        zl_wire_put_u32(&m->out, options->rows);
        zl_wire_put_u32(&m->out, options->cols);
        zl_wire_put_u8(&m->out, mask);
        return zl_monitor_send(m, fds, n, err);
}

int zl_monitor_exec_open(int run_dir_fd, const struct zl_monitor_exec_options *options,
                         struct zl_monitor_exec **ret, struct zl_error *err)
{
        _cleanup_(zl_monitor_exec_closep) struct zl_monitor_exec *exec = NULL;
        int r;

        if (!options->argv || !options->argv[0])
                return zl_fail(err, ZL_E_INVALID, 0, "a command to run is missing");
        exec = calloc(1, sizeof(*exec));
        if (!exec)
                return zl_fail_oom(err);
        exec->tty_fd = -EBADF;
        r = zl_monitor_connect(run_dir_fd, &exec->m, err);
        if (r >= 0)
                r = send_exec(exec->m, options, err);
        if (r < 0)
                return r;
        r = zl_monitor_receive(exec->m, ZL_MONITOR_TIMEOUT_MSEC, &exec->tty_fd, err);
        if (r < 0)
                return r;
        if (r == 0)
                return zl_fail(err, ZL_E_TIMEOUT, 0, "the monitor does not answer");
        if (exec->m->head.type == ZL_WIRE_ERROR)
                return zl_wire_get_error(&exec->m->wire, err);
        exec->pid = zl_wire_get_i32(&exec->m->wire);
        if (exec->m->head.type != ZL_WIRE_EXEC_STARTED || zl_wire_finish(&exec->m->wire) < 0 ||
            options->tty != (exec->tty_fd >= 0))
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the monitor's answer makes no sense");
        *ret = zl_take_ptr(exec);
        return 0;
}

int zl_monitor_exec_fd(const struct zl_monitor_exec *exec)
{
        return exec->m->fd;
}

pid_t zl_monitor_exec_pid(const struct zl_monitor_exec *exec)
{
        return exec->pid;
}

int zl_monitor_exec_tty_fd(const struct zl_monitor_exec *exec)
{
        return exec->tty_fd;
}

int zl_monitor_exec_resize(struct zl_monitor_exec *exec, uint16_t rows, uint16_t cols,
                           struct zl_error *err)
{
        struct winsize size = { .ws_row = rows, .ws_col = cols };

        if (exec->tty_fd < 0)
                return zl_fail(err, ZL_E_STATE, 0, "the command has no terminal");
        if (ioctl(exec->tty_fd, TIOCSWINSZ, &size) < 0)
                return zl_fail_errno(err, errno, "cannot resize the terminal");
        return 0;
}

int zl_monitor_exec_kill(struct zl_monitor_exec *exec, int sig, struct zl_error *err)
{
        if (exec->ended)
                return zl_fail(err, ZL_E_STATE, ESRCH, "the command has ended");
        /* Without an answer: on this connection only the end of the command is told. */
        zl_monitor_begin(exec->m, ZL_WIRE_EXEC_KILL);
        zl_wire_put_i32(&exec->m->out, sig);
        return zl_monitor_send(exec->m, NULL, 0, err);
}

int zl_monitor_exec_result(struct zl_monitor_exec *exec, int *ret_code, struct zl_error *err)
{
        int r;

        if (!exec->ended) {
                r = zl_monitor_receive(exec->m, 0, NULL, err);
                if (r <= 0)
                        return r;
                exec->code = zl_wire_get_i32(&exec->m->wire);
                if (exec->m->head.type != ZL_WIRE_EXEC_EXITED || zl_wire_finish(&exec->m->wire) < 0)
                        return zl_fail(err, ZL_E_PROTOCOL, 0,
                                       "the monitor's answer makes no sense");
                exec->ended = true;
        }
        *ret_code = exec->code;
        return 1;
}

void zl_monitor_exec_close(struct zl_monitor_exec *exec)
{
        if (!exec)
                return;
        zl_monitor_close(exec->m);
        zl_close(exec->tty_fd);
        free(exec);
}

/* ---- attach ------------------------------------------------------------------------------------------------ */

int zl_monitor_attach_open(int run_dir_fd, struct zl_monitor_attach **ret, struct zl_error *err)
{
        _cleanup_(zl_monitor_attach_closep) struct zl_monitor_attach *attach = calloc(
                1, sizeof(*attach));
        int r;

        if (!attach)
                return zl_fail_oom(err);
        r = zl_monitor_connect(run_dir_fd, &attach->m, err);
        if (r < 0)
                return r;
        zl_monitor_begin(attach->m, ZL_WIRE_ATTACH);
        r = zl_monitor_call(attach->m, ZL_WIRE_OK, ZL_MONITOR_TIMEOUT_MSEC, err);
        if (r < 0)
                return r;
        *ret = zl_take_ptr(attach);
        return 0;
}

int zl_monitor_attach_fd(const struct zl_monitor_attach *attach)
{
        return attach->m->fd;
}

static int take_output(struct zl_monitor *m, int *ret_stream, const char **ret_data,
                       size_t *ret_len, struct zl_error *err)
{
        int stream = zl_wire_get_u8(&m->wire);
        const char *data = zl_wire_get_rest(&m->wire, ret_len);

        if (zl_wire_finish(&m->wire) < 0 || stream < 1 || stream > 2)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the monitor's output makes no sense");
        *ret_stream = stream;
        *ret_data = data;
        return 1;
}

int zl_monitor_attach_next(struct zl_monitor_attach *attach, int *ret_stream, const char **ret_data,
                           size_t *ret_len, struct zl_error *err)
{
        struct zl_monitor *m = attach->m;
        int r;

        if (attach->over)
                return -ENODATA;
        r = zl_monitor_receive(m, 0, NULL, err);
        if (r <= 0)
                return r;
        switch (m->head.type) {
        case ZL_WIRE_OUTPUT:
                return take_output(m, ret_stream, ret_data, ret_len, err);
        case ZL_WIRE_END:
                attach->over = true;
                return -ENODATA;
        case ZL_WIRE_DROPPED:
                return zl_fail(err, ZL_E_BUSY, 0, "detached: the output was not taken fast enough");
        case ZL_WIRE_ERROR:
                return zl_wire_get_error(&m->wire, err);
        default:
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the monitor's message makes no sense");
        }
}

int zl_monitor_attach_write(struct zl_monitor_attach *attach, const void *data, size_t len,
                            struct zl_error *err)
{
        const char *p = data;
        size_t piece;
        int r;

        do {
                piece = ZL_MIN(len, (size_t)ZL_WIRE_OUTPUT_MAX);
                zl_monitor_begin(attach->m, ZL_WIRE_INPUT);
                zl_buf_put(&attach->m->out, p, piece);
                r = zl_monitor_send(attach->m, NULL, 0, err);
                if (r < 0)
                        return r;
                p += piece;
                len -= piece;
        } while (len > 0);
        return 0;
}

int zl_monitor_attach_resize(struct zl_monitor_attach *attach, uint16_t rows, uint16_t cols,
                             struct zl_error *err)
{
        zl_monitor_begin(attach->m, ZL_WIRE_RESIZE);
        zl_wire_put_u32(&attach->m->out, rows);
        zl_wire_put_u32(&attach->m->out, cols);
        return zl_monitor_send(attach->m, NULL, 0, err);
}

void zl_monitor_attach_close(struct zl_monitor_attach *attach)
{
        if (!attach)
                return;
        zl_monitor_close(attach->m);
        free(attach);
}
