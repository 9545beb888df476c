/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of clients: messages behind their length (RFC 1035, 4.2.2), several at once if the client likes (RFC 7766). A client that
 * takes its answers slowly, or has many queries waiting, is not read any further; one that does nothing is closed.
 *
 * Everybody who may fail closes the connection, which is freed at the end of the loop's round only; whoever called something
 * that might looks at source.fd afterwards.
 */
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "network/dns_internal.h"

enum { PER_CLIENT = ZL_DNS_CONNS_MAX / 4, CHUNK = 4096 };

#define ACCEPT_PAUSE_NSEC (200 * ZL_NSEC_PER_MSEC)

void zl_dns_conn_close(struct zl_dns_server *s, struct zl_dns_conn *conn)
{
        if (conn->source.fd < 0)
                return;
        zl_dns_source_close(&conn->source);
        zl_dns_forward_drop(s, NULL, conn);
        zl_buf_done(&conn->in);
        zl_buf_done(&conn->out);
        zl_dns_link_append(&s->dead, &conn->link);
        s->n_conns--;
}

static void touch(struct zl_dns_server *s, struct zl_dns_conn *conn)
{
        conn->deadline = zl_now_monotonic() + ZL_DNS_IDLE_NSEC;
        zl_dns_link_append(&s->conns, &conn->link);
        zl_dns_server_wake_at(s, conn->deadline);
}

static bool may_read(const struct zl_dns_conn *conn)
{
        return !conn->ended && conn->waiting < ZL_DNS_CONN_QUERIES &&
               conn->out.len < ZL_DNS_CONN_UNSENT / 2;
}

/* Watches for what can be done now, or closes what has come to its end. */
static void update(struct zl_dns_server *s, struct zl_dns_conn *conn)
{
        uint32_t events = (may_read(conn) ? EPOLLIN : 0) | (conn->out.len > 0 ? EPOLLOUT : 0);

        if (conn->source.fd < 0)
                return;
        if ((conn->ended && conn->waiting == 0 && conn->out.len == 0) ||
            zl_dns_source_set(s, &conn->source, events) < 0)
                zl_dns_conn_close(s, conn);
}

static void flush(struct zl_dns_server *s, struct zl_dns_conn *conn)
{
        ssize_t n;

        if (conn->out.len == 0)
                return;
        n = send(conn->source.fd, conn->out.data, conn->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
                zl_buf_consume(&conn->out, (size_t)n);
                touch(s, conn);
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
                zl_dns_conn_close(s, conn);
        }
}

void zl_dns_conn_send(struct zl_dns_server *s, struct zl_dns_conn *conn, const void *data,
                      size_t len)
{
        uint8_t head[2] = { (uint8_t)(len >> 8), (uint8_t)len };

        if (conn->source.fd < 0)
                return;
        zl_buf_put(&conn->out, head, sizeof(head));
        if (zl_buf_put(&conn->out, data, len) < 0) {
                zl_dns_conn_close(s, conn);
                return;
        }
        flush(s, conn);
        update(s, conn);
}

/* Takes the whole messages out of what was read. */
static void take_messages(struct zl_dns_server *s, struct zl_dns_conn *conn)
{
        struct zl_dns_client client = { .socket = conn->socket, .conn = conn, .ip = conn->client };

        while (conn->source.fd >= 0 && conn->in.len >= 2 && conn->waiting < ZL_DNS_CONN_QUERIES) {
                const uint8_t *head = (const uint8_t *)conn->in.data;
                size_t len = (size_t)head[0] << 8 | head[1];

                if (len > ZL_DNS_QUERY_MAX) {
                        zl_dns_conn_close(s, conn);
                        return;
                }
                if (conn->in.len < 2 + len)
                        return;
                memcpy(s->in, head + 2, len);
                zl_buf_consume(&conn->in, 2 + len);
                if (!zl_dns_server_take(s, &client, s->in, len))
                        zl_dns_conn_close(s, conn);
        }
}

void zl_dns_conn_answered(struct zl_dns_server *s, struct zl_dns_conn *conn)
{
        if (conn->source.fd < 0)
                return;
        conn->waiting--;
        touch(s, conn);
        take_messages(s, conn);
        update(s, conn);
}

static void read_some(struct zl_dns_server *s, struct zl_dns_conn *conn)
{
        void *room = zl_buf_reserve(&conn->in, CHUNK);
        ssize_t n = room ? recv(conn->source.fd, room, CHUNK, MSG_DONTWAIT) : -1;

        if (n > 0) {
                conn->in.len += (size_t)n;
                touch(s, conn);
                take_messages(s, conn);
        } else if (n == 0) {
                conn->ended = true;
        } else if (!room || (errno != EAGAIN && errno != EINTR)) {
                zl_dns_conn_close(s, conn);
        }
}

static void conn_ready(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events)
{
        struct zl_dns_conn *conn = zl_container_of(source, struct zl_dns_conn, source);

        if (events & (EPOLLERR | EPOLLHUP)) {
                zl_dns_conn_close(s, conn);
                return;
        }
        if (events & EPOLLOUT)
                flush(s, conn);
        if (conn->source.fd >= 0 && events & EPOLLIN && may_read(conn))
                read_some(s, conn);
        update(s, conn);
}

static size_t count_of_client(const struct zl_dns_server *s, const struct zl_ip *client)
{
        size_t n = 0;

        for (struct zl_dns_link *l = s->conns.next; l != &s->conns; l = l->next)
                n += zl_ip_equal(&zl_container_of(l, struct zl_dns_conn, link)->client, client);
        return n;
}

static void add(struct zl_dns_server *s, const struct zl_dns_socket *socket, int fd,
                const struct zl_ip *client)
{
        struct zl_dns_conn *conn = calloc(1, sizeof(*conn));

        if (!conn) {
                zl_close(fd);
                return;
        }
        zl_dns_link_init(&conn->link);
        conn->source = (struct zl_dns_source){ .fd = fd, .ready = conn_ready };
        conn->socket = socket;
        conn->client = *client;
        conn->in = ZL_BUF_INIT(2 * (ZL_DNS_QUERY_MAX + 2) + CHUNK);
        conn->out = ZL_BUF_INIT(ZL_DNS_CONN_UNSENT + ZL_DNS_MESSAGE_MAX);
        s->n_conns++;
        touch(s, conn);
        update(s, conn);
}

void zl_dns_conn_accept(struct zl_dns_server *s, const struct zl_dns_socket *socket, int listen_fd)
{
        for (int i = 0; i < ZL_DNS_BATCH; i++) {
                union zl_sockaddr address;
                socklen_t len = sizeof(address);
                int fd = accept4(listen_fd, &address.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
                struct zl_ip client;
                uint16_t port;

                if (fd < 0) {
                        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
                            errno == ENOBUFS)
                                s->accept_at = zl_now_monotonic() + ACCEPT_PAUSE_NSEC;
                        return;
                }
                zl_ip_from_sockaddr(&address, &client, &port);
                if (s->n_conns < ZL_DNS_CONNS_MAX && count_of_client(s, &client) < PER_CLIENT) {
                        add(s, socket, fd, &client);
                } else {
                        s->stats.refused++;
                        zl_close(fd);
                }
        }
}

int64_t zl_dns_conn_timers(struct zl_dns_server *s, int64_t now)
{
        while (s->conns.next != &s->conns) {
                struct zl_dns_conn *conn = zl_container_of(s->conns.next, struct zl_dns_conn, link);

                if (conn->deadline > now)
                        return conn->deadline;
                if (conn->waiting > 0)
                        touch(s,
                              conn); /* it is our turn; the forwarded query has a limit of its own */
                else
                        zl_dns_conn_close(s, conn);
        }
        return 0;
}
