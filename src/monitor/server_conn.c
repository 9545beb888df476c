/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections. A message is sent at once if the socket takes it; otherwise it waits in a queue that has a bound, and a
 * client that does not take its answers is dropped: nothing that a client does or does not do makes the monitor wait.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/socket.h"
#include "monitor/server.h"

static void flush_queue(struct zl_server *s, struct zl_conn *conn);

static void conn_ready(struct zl_server *s, struct zl_source *source, uint32_t events)
{
        struct zl_conn *conn = (struct zl_conn *)source;
        int fds[3];
        size_t n_fds = ZL_ARRAY_SIZE(fds);
        ssize_t n;

        if (conn->dead)
                return;
        if (events & EPOLLOUT)
                flush_queue(s, conn);
        if (conn->dead || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return;
        if (!(source->events & EPOLLIN)) {
                /* Gone while its input waits: what it sent will still be read, what it did not take is moot. */
                if (conn->role == ZL_CONN_CLOSING) {
                        zl_conn_drop(s, conn);
                        return;
                }
                zl_buf_reset(&conn->queue);
                zl_source_set(s, source, 0);
                return;
        }
        s->dirty = true;
        n = zl_recv_fds(source->fd, s->scratch, ZL_SERVER_SCRATCH, fds, &n_fds, MSG_DONTWAIT);
        if (n == -EAGAIN)
                return;
        if (n <= 0) {
                zl_conn_drop(s, conn);
                return;
        }
        zl_server_request(s, conn, (size_t)n, fds, n_fds);
        for (size_t i = 0; i < n_fds; i++)
                zl_close(fds[i]);
}

int zl_server_add_conn(struct zl_server *s, int fd)
{
        struct zl_conn *conn;

        if (s->n_conns >= ZL_SERVER_CONNS_MAX)
                return -EMFILE;
        conn = calloc(1, sizeof(*conn));
        if (!conn)
                return -ENOMEM;
        conn->source = (struct zl_source){ .fd = fd, .ready = conn_ready };
        conn->queue = ZL_BUF_INIT(ZL_SERVER_QUEUE_MAX);
        conn->next = s->conns;
        s->conns = conn;
        s->n_conns++;
        zl_conn_update(s, conn);
        return 0;
}

void zl_server_accept(struct zl_server *s, struct zl_source *source, uint32_t events)
{
        for (;;) {
                _cleanup_close_ int fd = accept4(source->fd, NULL, NULL,
                                                 SOCK_CLOEXEC | SOCK_NONBLOCK);
                uid_t uid;
                gid_t gid;
                pid_t pid;

                if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
                        continue;
                if (fd < 0)
                        return;
                if (zl_unix_peer(fd, &pid, &uid, &gid) < 0 || (uid != 0 && uid != geteuid()))
                        continue;
                if (zl_server_add_conn(s, fd) >= 0)
                        fd = -EBADF;
        }
}

void zl_conn_update(struct zl_server *s, struct zl_conn *conn)
{
        uint32_t events = 0;

        if (conn->dead)
                return;
        if (conn->role != ZL_CONN_ATTACHED || s->input_queue.len == 0)
                events |= EPOLLIN;
        if (conn->role == ZL_CONN_CLOSING)
                events = 0;
        if (conn->queue.len > 0)
                events |= EPOLLOUT;
        if (conn->role == ZL_CONN_CLOSING && !events)
                zl_conn_drop(s, conn);
        else if (zl_source_set(s, &conn->source, events) < 0)
                zl_conn_drop(s, conn);
}

void zl_conn_drop(struct zl_server *s, struct zl_conn *conn)
{
        if (conn->dead)
                return;
        conn->dead = true;
        zl_server_spare_orphan(s, conn);
        if (conn->role == ZL_CONN_EXEC)
                zl_server_exec_orphan(s, conn);
        zl_source_close(s, &conn->source);
        zl_buf_done(&conn->queue);
}

void zl_server_bury_conns(struct zl_server *s)
{
        for (struct zl_conn **p = &s->conns; *p;) {
                struct zl_conn *conn = *p;

                if (!conn->dead) {
                        p = &conn->next;
                        continue;
                }
                *p = conn->next;
                s->n_conns--;
                free(conn);
        }
}

/* ---- sending ------------------------------------------------------------------------------------------- */

static void flush_queue(struct zl_server *s, struct zl_conn *conn)
{
        size_t pos = 0;

        while (pos < conn->queue.len) {
                uint32_t len;
                ssize_t n;

                memcpy(&len, conn->queue.data + pos, sizeof(len));
                n = send(conn->source.fd, conn->queue.data + pos + sizeof(len), len,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0) {
                        zl_conn_drop(s, conn);
                        return;
                }
                pos += sizeof(len) + len;
                conn->taken += len;
        }
        zl_buf_consume(&conn->queue, pos);
        if (conn->queue.len == 0)
                zl_buf_done(&conn->queue);
        zl_conn_update(s, conn);
        if (s->stalled)
                zl_server_check_stall(s, 0);
}

/* Sends now or queues; `a` and `b` are two parts of one message. */
static void send_parts(struct zl_server *s, struct zl_conn *conn, struct iovec a, struct iovec b)
{
        struct iovec iov[2] = { a, b };
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = b.iov_len ? 2 : 1 };
        uint32_t len = (uint32_t)(a.iov_len + b.iov_len);

        if (conn->dead)
                return;
        if (conn->queue.len == 0) {
                ssize_t n;

                do
                        n = sendmsg(conn->source.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
                while (n < 0 && errno == EINTR);
                if (n >= 0)
                        return;
                if (errno != EAGAIN) {
                        zl_conn_drop(s, conn);
                        return;
                }
        }
        s->dirty = true;
        zl_buf_put(&conn->queue, &len, sizeof(len));
        zl_buf_put(&conn->queue, a.iov_base, a.iov_len);
        zl_buf_put(&conn->queue, b.iov_base, b.iov_len);
        if (zl_buf_error(&conn->queue))
                zl_conn_drop(s, conn);
        else
                zl_conn_update(s, conn);
}

void zl_conn_send(struct zl_server *s, struct zl_conn *conn)
{
        if (zl_wire_end(&s->message) < 0) {
                zl_conn_drop(s, conn);
                return;
        }
        send_parts(s, conn, (struct iovec){ s->message.data, s->message.len }, (struct iovec){ 0 });
}

void zl_conn_send_ok(struct zl_server *s, struct zl_conn *conn, uint32_t serial)
{
        zl_wire_begin(&s->message, ZL_WIRE_OK, serial);
        zl_conn_send(s, conn);
}

void zl_conn_send_error(struct zl_server *s, struct zl_conn *conn, uint32_t serial,
                        const struct zl_error *err)
{
        zl_wire_begin(&s->message, ZL_WIRE_ERROR, serial);
        zl_wire_put_error(&s->message, err);
        zl_conn_send(s, conn);
}

void zl_conn_send_fd(struct zl_server *s, struct zl_conn *conn, int fd)
{
        if (conn->dead)
                return;
        if (conn->queue.len > 0 || zl_wire_end(&s->message) < 0 ||
            zl_send_fds(conn->source.fd, s->message.data, s->message.len, &fd, 1, MSG_DONTWAIT) < 0)
                zl_conn_drop(s, conn);
}

void zl_conn_send_output(struct zl_server *s, struct zl_conn *conn, int stream, const char *data,
                         size_t len)
{
        while (len > 0 && !conn->dead) {
                size_t piece = ZL_MIN(len, (size_t)ZL_WIRE_OUTPUT_MAX);
                struct zl_wire_head head = { .magic = ZL_WIRE_MAGIC,
                                             .version = ZL_WIRE_VERSION,
                                             .type = ZL_WIRE_OUTPUT,
                                             .len = (uint32_t)piece + 1 };
                char front[sizeof(head) + 1];

                memcpy(front, &head, sizeof(head));
                front[sizeof(head)] = (char)stream;
                send_parts(s, conn, (struct iovec){ front, sizeof(front) },
                           (struct iovec){ (void *)data, piece });
                data += piece;
                len -= piece;
        }
}

void zl_server_note_state(struct zl_server *s)
{
        struct zl_monitor_status status;
        struct iovec iov[2];
        size_t len = 0;
        uint64_t sum;

        if (s->lock_fd < 0)
                return;
        zl_server_fill_status(s, &status);
        zl_wire_begin(&s->message, ZL_WIRE_STATE, 0);
        zl_wire_put_status(&s->message, &status);
        if (zl_wire_end(&s->message) == 0 && s->message.len <= ZL_MONITOR_NOTE_MAX) {
                len = sizeof(sum) + s->message.len;
                sum = zl_wire_sum(s->message.data, s->message.len);
                iov[0] = (struct iovec){ &sum, sizeof(sum) };
                iov[1] = (struct iovec){ s->message.data, s->message.len };
        }
        /* Better nothing than something old: then we are asked. */
        if (!len || pwritev(s->lock_fd, iov, 2, ZL_MONITOR_NOTE_AT) != (ssize_t)len ||
            ftruncate(s->lock_fd, (off_t)(ZL_MONITOR_NOTE_AT + len)) < 0)
                (void)!ftruncate(s->lock_fd, ZL_MONITOR_NOTE_AT);
}

void zl_server_tell_state(struct zl_server *s)
{
        struct zl_monitor_status status;

        zl_server_note_state(s);
        zl_server_fill_status(s, &status);
        for (struct zl_conn *c = s->conns; c; c = c->next) {
                if (c->dead || c->role != ZL_CONN_SUBSCRIBER)
                        continue;
                zl_wire_begin(&s->message, ZL_WIRE_STATE, 0);
                zl_wire_put_status(&s->message, &status);
                zl_conn_send(s, c);
        }
}
