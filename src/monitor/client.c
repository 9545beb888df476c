/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side of a monitor: connection, questions, orders, events.
 *
 * What may go wrong: the monitor dies or ends at any moment. Every such fault is ZL_E_NETWORK, and the caller then asks
 * the exit record (client.h says why that is always right). A monitor that does not answer (stopped, or in a hook that
 * hangs) is ZL_E_TIMEOUT; the connection is then of no use any more, since the late answer would be taken for that of the
 * next question.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/socket.h"
#include "monitor/client_internal.h"

int zl_monitor_new(int fd, struct zl_monitor **ret, struct zl_error *err)
{
        struct zl_monitor *m = calloc(1, sizeof(*m));

        if (!m) {
                zl_close(fd);
                return zl_fail_oom(err);
        }
        m->fd = fd;
        m->timeout_msec = ZL_MONITOR_TIMEOUT_MSEC;
        m->out = ZL_BUF_INIT(2 * ZL_WIRE_MAX);
        m->in = ZL_BUF_INIT(ZL_WIRE_MAX);
        *ret = m;
        return 0;
}

static int connect_as(int run_dir_fd, int type, struct zl_monitor **ret, struct zl_error *err)
{
        int fd = zl_unix_connect_at(run_dir_fd, ZL_MONITOR_SOCKET, type);

        /* A socket that nobody listens on is what a killed monitor leaves. */
        if (fd == -ECONNREFUSED || fd == -ENOENT)
                return zl_fail(err, ZL_E_NOT_FOUND, ENOENT, "no monitor listens on %s",
                               ZL_MONITOR_SOCKET);
        if (fd < 0)
                return zl_fail_errno(err, -fd, "cannot connect to %s", ZL_MONITOR_SOCKET);
        return zl_monitor_new(fd, ret, err);
}

int zl_monitor_connect(int run_dir_fd, struct zl_monitor **ret, struct zl_error *err)
{
        return connect_as(run_dir_fd, SOCK_SEQPACKET, ret, err);
}

int zl_monitor_connect_within(int run_dir_fd, int timeout_msec, struct zl_monitor **ret,
                              struct zl_error *err)
{
        /* A socket that does not wait, since a monitor that is stopped takes no connection off its queue. */
        int r = connect_as(run_dir_fd, SOCK_SEQPACKET | SOCK_NONBLOCK, ret, err);

        if (r >= 0)
                (*ret)->timeout_msec = timeout_msec;
        return r;
}

/* Whoever was prepared for nothing leaves the directory, and then us. */
static void abandon(struct zl_monitor *m)
{
        struct pollfd p = { .fd = m->fd, .events = POLLIN };

        shutdown(m->fd, SHUT_WR);
        while (poll(&p, 1, ZL_MONITOR_TIMEOUT_MSEC) < 0 && errno == EINTR)
                ;
}

void zl_monitor_close(struct zl_monitor *monitor)
{
        if (!monitor)
                return;
        if (monitor->prepared)
                abandon(monitor);
        zl_close(monitor->fd);
        zl_monitor_reap(monitor);
        zl_buf_done(&monitor->out);
        zl_buf_done(&monitor->in);
        free(monitor);
}

int zl_monitor_fd(const struct zl_monitor *monitor)
{
        return monitor->fd;
}

/* ---- messages ---------------------------------------------------------------------------------------- */

void zl_monitor_begin(struct zl_monitor *m, enum zl_wire_type type)
{
        zl_wire_begin(&m->out, type, ++m->serial);
}

static int fail_gone(struct zl_error *err, int errnum)
{
        return zl_fail(err, ZL_E_NETWORK, errnum, "the monitor is gone");
}

int zl_monitor_send(struct zl_monitor *m, const int *fds, size_t n_fds, struct zl_error *err)
{
        ssize_t n;
        int r = zl_wire_end(&m->out);

        if (r == -E2BIG)
                return zl_fail(err, ZL_E_INVALID, E2BIG,
                               "the request does not fit into a message of %d bytes", ZL_WIRE_MAX);
        if (r < 0)
                return zl_fail_oom(err);
        n = zl_send_fds(m->fd, m->out.data, m->out.len, fds, n_fds, 0);
        if (n == -EPIPE || n == -ECONNRESET)
                return fail_gone(err, (int)-n);
        if (n < 0)
                return zl_fail_errno(err, (int)-n, "cannot send to the monitor");
        return 0;
}

/* Waits until something can be received: 1, or 0 when the time is over. */
static int wait_readable(int fd, int timeout_msec)
{
        int64_t until = zl_now_monotonic() + timeout_msec * ZL_NSEC_PER_MSEC;
        int64_t left = timeout_msec;

        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                int r = poll(&p, 1, timeout_msec < 0 ? -1 : (int)left);

                if (r >= 0 || errno != EINTR)
                        return r < 0 ? -errno : r;
                left = ZL_MAX((until - zl_now_monotonic()) / ZL_NSEC_PER_MSEC, INT64_C(0));
        }
}

/* Room for the message that waits: the buffer grows with what comes, not to the maximum at once. */
static ssize_t receive_message(struct zl_monitor *m, int *fds, size_t *n_fds)
{
        ssize_t n;
        char *room;

        do
                n = recv(m->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (n > ZL_WIRE_MAX)
                return -EPROTO;
        zl_buf_reset(&m->in);
        room = zl_buf_reserve(&m->in, (size_t)ZL_MAX(n, (ssize_t)1));
        if (!room)
                return -ENOMEM;
        n = zl_recv_fds(m->fd, room, (size_t)ZL_MAX(n, (ssize_t)1), fds, n_fds, MSG_DONTWAIT);
        if (n > 0)
                m->in.len = (size_t)n;
        return n;
}

int zl_monitor_receive(struct zl_monitor *m, int timeout_msec, int *ret_fd, struct zl_error *err)
{
        _cleanup_close_ int fd = -EBADF;
        size_t n_fds = 1;
        ssize_t n;
        int r;

        if (timeout_msec != 0) {
                r = wait_readable(m->fd, timeout_msec);
                if (r <= 0)
                        return r < 0 ? zl_fail_errno(err, -r, "cannot wait for the monitor") : 0;
        }
        n = receive_message(m, &fd, &n_fds);
        if (n_fds == 0)
                fd = -EBADF;
        if (n == -EAGAIN)
                return 0;
        if (n == 0 || n == -ECONNRESET || n == -EPIPE)
                return fail_gone(err, (int)-n);
        if (n == -EPROTO || n == -EMSGSIZE)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the monitor's message is too long");
        if (n < 0)
                return zl_fail_errno(err, (int)-n, "cannot receive from the monitor");
        r = zl_wire_open(&m->wire, m->in.data, (size_t)n, &m->head);
        if (r == -EPROTONOSUPPORT)
                return zl_fail(err, ZL_E_PROTOCOL, 0,
                               "the monitor speaks version %u of the protocol, not %d",
                               m->head.version, ZL_WIRE_VERSION);
        if (r < 0)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the monitor's message makes no sense");
        if (ret_fd)
                *ret_fd = zl_take_fd(fd);
        return 1;
}

static int fail_nonsense(struct zl_error *err)
{
        return zl_fail(err, ZL_E_PROTOCOL, 0, "the monitor's answer makes no sense");
}

int zl_monitor_call(struct zl_monitor *m, enum zl_wire_type want, int timeout_msec,
                    struct zl_error *err)
{
        int r = zl_monitor_send(m, NULL, 0, err);

        if (r < 0)
                return r;
        r = zl_monitor_receive(m, timeout_msec, NULL, err);
        if (r < 0)
                return r;
        if (r == 0)
                return zl_fail(err, ZL_E_TIMEOUT, 0, "the monitor does not answer");
        if (m->head.serial != m->serial)
                return fail_nonsense(err);
        if (m->head.type == ZL_WIRE_ERROR)
                return zl_wire_get_error(&m->wire, err);
        return m->head.type == want ? 0 : fail_nonsense(err);
}

static int call_ok(struct zl_monitor *m, struct zl_error *err)
{
        int r = zl_monitor_call(m, ZL_WIRE_OK, m->timeout_msec, err);

        if (r >= 0 && zl_wire_finish(&m->wire) < 0)
                return fail_nonsense(err);
        return r;
}

/* ---- questions and orders ------------------------------------------------------------------------------ */

void zl_monitor_status_done(struct zl_monitor_status *status)
{
        zl_exit_record_done(&status->record);
        *status = ZL_MONITOR_STATUS_INIT;
}

static int take_status(struct zl_monitor *m, struct zl_monitor_status *ret, struct zl_error *err)
{
        struct zl_monitor_status status = ZL_MONITOR_STATUS_INIT;

        zl_wire_get_status(&m->wire, &status);
        if (zl_wire_finish(&m->wire) < 0) {
                zl_monitor_status_done(&status);
                return fail_nonsense(err);
        }
        *ret = status;
        return 0;
}

int zl_monitor_get_status(struct zl_monitor *monitor, struct zl_monitor_status *ret,
                          struct zl_error *err)
{
        int r;

        zl_monitor_begin(monitor, ZL_WIRE_STATUS);
        r = zl_monitor_call(monitor, ZL_WIRE_STATE, monitor->timeout_msec, err);
        return r < 0 ? r : take_status(monitor, ret, err);
}

int zl_monitor_adopt(struct zl_monitor *monitor, const struct zl_monitor_adoption *what,
                     struct zl_error *err)
{
        zl_monitor_begin(monitor, ZL_WIRE_ADOPT);
        zl_wire_put_str(&monitor->out, what->name);
        zl_wire_put_strv(&monitor->out, what->args);
        zl_wire_put_strv(&monitor->out, what->env);
        zl_wire_put_str(&monitor->out, what->hostname);
        return call_ok(monitor, err);
}

int zl_monitor_start(struct zl_monitor *monitor, struct zl_error *err)
{
        zl_monitor_begin(monitor, ZL_WIRE_START);
        return call_ok(monitor, err);
}

int zl_monitor_stop(struct zl_monitor *monitor, int sig, int64_t grace_nsec,
                    struct zl_exit_record *ret_record, struct zl_error *err)
{
        _cleanup_exit_record_ struct zl_exit_record record = ZL_EXIT_RECORD_INIT;
        int r;

        zl_monitor_begin(monitor, ZL_WIRE_STOP);
        zl_wire_put_i32(&monitor->out, sig);
        zl_wire_put_i64(&monitor->out, grace_nsec);
        /* How long it takes is the workload's business: no limit. A monitor that dies is noticed. */
        r = zl_monitor_call(monitor, ZL_WIRE_EXITED, -1, err);
        if (r < 0)
                return r;
        zl_wire_get_record(&monitor->wire, &record);
        if (zl_wire_finish(&monitor->wire) < 0)
                return fail_nonsense(err);
        if (ret_record) {
                *ret_record = record;
                record = ZL_EXIT_RECORD_INIT;
        }
        return 0;
}

int zl_monitor_kill(struct zl_monitor *monitor, int sig, bool all, struct zl_error *err)
{
        zl_monitor_begin(monitor, ZL_WIRE_KILL);
        zl_wire_put_i32(&monitor->out, sig);
        zl_wire_put_u8(&monitor->out, all);
        return call_ok(monitor, err);
}

int zl_monitor_pause(struct zl_monitor *monitor, bool pause, struct zl_error *err)
{
        zl_monitor_begin(monitor, ZL_WIRE_PAUSE);
        zl_wire_put_u8(&monitor->out, pause);
        return call_ok(monitor, err);
}

int zl_monitor_resize(struct zl_monitor *monitor, uint16_t rows, uint16_t cols,
                      struct zl_error *err)
{
        zl_monitor_begin(monitor, ZL_WIRE_RESIZE);
        zl_wire_put_u32(&monitor->out, rows);
        zl_wire_put_u32(&monitor->out, cols);
        return call_ok(monitor, err);
}

/* ---- events ---------------------------------------------------------------------------------------------- */

int zl_monitor_subscribe(struct zl_monitor *monitor, struct zl_error *err)
{
        zl_monitor_begin(monitor, ZL_WIRE_SUBSCRIBE);
        return zl_monitor_send(monitor, NULL, 0, err);
}

int zl_monitor_next_event(struct zl_monitor *monitor, struct zl_monitor_status *ret,
                          struct zl_error *err)
{
        int r;

        if (monitor->over)
                return -ENODATA;
        r = zl_monitor_receive(monitor, 0, NULL, err);
        if (r <= 0)
                return r;
        if (monitor->head.type == ZL_WIRE_ERROR)
                return zl_wire_get_error(&monitor->wire, err);
        if (monitor->head.type != ZL_WIRE_STATE)
                return fail_nonsense(err);
        r = take_status(monitor, ret, err);
        if (r < 0)
                return r;
        monitor->over = ret->state == ZL_STATE_EXITED || ret->state == ZL_STATE_FAILED;
        return 1;
}
