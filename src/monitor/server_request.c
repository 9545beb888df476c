/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message asks for: a table from type to handler, with the roles in which it is allowed. A message that does
 * not decode to its last byte, or comes in a role in which it makes no sense, ends the connection.
 */
#include <signal.h>

#include "base/log.h"
#include "monitor/server.h"

enum {
        CONTROL = 1 << ZL_CONN_CONTROL,
        EXEC = 1 << ZL_CONN_EXEC,
        ATTACHED = 1 << ZL_CONN_ATTACHED,
};

/* Each returns -EPROTO if the message does not decode. */

static int on_status(struct zl_server *s, struct zl_server_request *q)
{
        struct zl_monitor_status status;

        if (zl_wire_finish(q->wire) < 0)
                return -EPROTO;
        zl_server_fill_status(s, &status);
        zl_wire_begin(&s->message, ZL_WIRE_STATE, q->serial);
        zl_wire_put_status(&s->message, &status);
        zl_conn_send(s, q->conn);
        return 0;
}

static int on_start(struct zl_server *s, struct zl_server_request *q)
{
        if (zl_wire_finish(q->wire) < 0)
                return -EPROTO;
        zl_server_start(s, q->conn, q->serial);
        return 0;
}

static int answer(struct zl_server *s, struct zl_server_request *q, int r,
                  const struct zl_error *err)
{
        if (r < 0)
                zl_conn_send_error(s, q->conn, q->serial, err);
        else
                zl_conn_send_ok(s, q->conn, q->serial);
        return 0;
}

static void send_exited(struct zl_server *s, struct zl_conn *conn, uint32_t serial)
{
        zl_wire_begin(&s->message, ZL_WIRE_EXITED, serial);
        zl_wire_put_record(&s->message, &s->record);
        zl_conn_send(s, conn);
}

static int on_stop(struct zl_server *s, struct zl_server_request *q)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int32_t sig = zl_wire_get_i32(q->wire);
        int64_t grace = zl_wire_get_i64(q->wire);

        if (zl_wire_finish(q->wire) < 0 || sig < 0 || sig > SIGRTMAX)
                return -EPROTO;
        if (s->phase == ZL_LIFE_ENDED) {
                send_exited(s, q->conn, q->serial);
                return 0;
        }
        /* One at a time: the answer has one serial. */
        if (q->conn->waits_stop)
                return -EPROTO;
        q->conn->waits_stop = true;
        q->conn->stop_serial = q->serial;
        if (zl_server_stop(s, sig, grace, &err) < 0) {
                q->conn->waits_stop = false;
                zl_conn_send_error(s, q->conn, q->serial, &err);
        }
        return 0;
}

static int on_kill(struct zl_server *s, struct zl_server_request *q)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        int32_t sig = zl_wire_get_i32(q->wire);
        bool all = zl_wire_get_bool(q->wire);
        int r;

        if (zl_wire_finish(q->wire) < 0 || sig < 0 || sig > SIGRTMAX)
                return -EPROTO;
        if (s->phase > ZL_LIFE_RUNNING)
                r = zl_fail(&err, ZL_E_STATE, ESRCH, "%s has ended", s->name);
        else
                r = zl_container_kill(s->container, sig, all, &err);
        if (r >= 0)
                s->last_signal = sig;
        /* KILL through us is an end on request; any other signal may mean anything to the workload. */
        if (r >= 0 && sig == SIGKILL)
                s->record.stop_requested = true;
        return answer(s, q, r, &err);
}

static int on_pause(struct zl_server *s, struct zl_server_request *q)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        bool pause = zl_wire_get_bool(q->wire);

        if (zl_wire_finish(q->wire) < 0)
                return -EPROTO;
        return answer(s, q, zl_server_pause(s, pause, &err), &err);
}

static int on_resize(struct zl_server *s, struct zl_server_request *q)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        uint32_t rows = zl_wire_get_u32(q->wire), cols = zl_wire_get_u32(q->wire);
        int r;

        if (zl_wire_finish(q->wire) < 0 || rows > UINT16_MAX || cols > UINT16_MAX)
                return -EPROTO;
        r = zl_server_resize(s, rows, cols, &err);
        /* Those attached get output only. */
        return q->conn->role == ZL_CONN_ATTACHED ? 0 : answer(s, q, r, &err);
}

static int on_subscribe(struct zl_server *s, struct zl_server_request *q)
{
        struct zl_monitor_status status;

        if (zl_wire_finish(q->wire) < 0)
                return -EPROTO;
        q->conn->role = ZL_CONN_SUBSCRIBER;
        zl_server_fill_status(s, &status);
        zl_wire_begin(&s->message, ZL_WIRE_STATE, 0);
        zl_wire_put_status(&s->message, &status);
        zl_conn_send(s, q->conn);
        return 0;
}

static int on_exec(struct zl_server *s, struct zl_server_request *q)
{
        zl_server_exec(s, q);
        return zl_wire_finish(q->wire);
}

static int on_exec_kill(struct zl_server *s, struct zl_server_request *q)
{
        int32_t sig = zl_wire_get_i32(q->wire);

        if (zl_wire_finish(q->wire) < 0 || sig < 0 || sig > SIGRTMAX)
                return -EPROTO;
        zl_server_exec_kill(s, q->conn, sig);
        return 0;
}

static int on_attach(struct zl_server *s, struct zl_server_request *q)
{
        if (zl_wire_finish(q->wire) < 0)
                return -EPROTO;
        zl_wire_begin(&s->message, ZL_WIRE_OK, q->serial);
        zl_wire_put_u8(&s->message, s->has_input);
        zl_conn_send(s, q->conn);
        q->conn->role = ZL_CONN_ATTACHED;
        if (s->phase == ZL_LIFE_ENDED) {
                zl_wire_begin(&s->message, ZL_WIRE_END, 0);
                zl_conn_send(s, q->conn);
        }
        return 0;
}

static int on_input(struct zl_server *s, struct zl_server_request *q)
{
        size_t len;
        const char *data = zl_wire_get_rest(q->wire, &len);

        if (zl_wire_finish(q->wire) < 0)
                return -EPROTO;
        zl_server_input(s, data, len);
        return 0;
}

static int on_adopt(struct zl_server *s, struct zl_server_request *q)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        const char *name = zl_wire_get_str(q->wire);
        _cleanup_free_ char **args = zl_wire_get_strv(q->wire);
        _cleanup_free_ char **env = zl_wire_get_strv(q->wire);
        /* Who was started before an update of the programs may not say it. */
        const char *hostname = zl_wire_finish(q->wire) < 0 ? zl_wire_get_str(q->wire) : NULL;
        const struct zl_monitor_adoption what = { name, hostname, args, env };

        if (zl_wire_finish(q->wire) < 0 || !name || q->conn != s->owner)
                return -EPROTO;
        return answer(s, q, zl_server_spare_adopt(s, &what, &err), &err);
}

static const struct {
        int (*handle)(struct zl_server *s, struct zl_server_request *q);
        unsigned roles;
} requests[] = {
        [ZL_WIRE_STATUS] = { on_status, CONTROL },
        [ZL_WIRE_START] = { on_start, CONTROL },
        [ZL_WIRE_STOP] = { on_stop, CONTROL },
        [ZL_WIRE_KILL] = { on_kill, CONTROL },
        [ZL_WIRE_PAUSE] = { on_pause, CONTROL },
        [ZL_WIRE_RESIZE] = { on_resize, CONTROL | ATTACHED },
        [ZL_WIRE_SUBSCRIBE] = { on_subscribe, CONTROL },
        [ZL_WIRE_EXEC] = { on_exec, CONTROL },
        [ZL_WIRE_EXEC_KILL] = { on_exec_kill, EXEC },
        [ZL_WIRE_ATTACH] = { on_attach, CONTROL },
        [ZL_WIRE_INPUT] = { on_input, ATTACHED },
        [ZL_WIRE_ADOPT] = { on_adopt, CONTROL },
};

void zl_server_request(struct zl_server *s, struct zl_conn *conn, size_t len, int *fds,
                       size_t n_fds)
{
        struct zl_wire_head head;
        struct zl_wire wire;
        struct zl_server_request q = { conn, &wire, 0, fds, n_fds };
        int r = zl_wire_open(&wire, s->scratch, len, &head);

        if (r == -EPROTONOSUPPORT) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                zl_fail(&err, ZL_E_PROTOCOL, 0, "this monitor speaks version %d, not %u",
                        ZL_WIRE_VERSION, head.version);
                zl_conn_send_error(s, conn, head.serial, &err);
                conn->role = ZL_CONN_CLOSING;
                zl_conn_update(s, conn);
                return;
        }
        if (r == 0 && (head.type >= ZL_ARRAY_SIZE(requests) || !requests[head.type].handle ||
                       !(requests[head.type].roles & 1U << conn->role)))
                r = -EPROTO;
        if (r == 0) {
                q.serial = head.serial;
                r = requests[head.type].handle(s, &q);
        }
        if (r < 0) {
                zl_warn("a client's message makes no sense: its connection is closed");
                zl_conn_drop(s, conn);
        }
}
