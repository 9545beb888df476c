/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name server's loop, its listeners and UDP. A query is answered where it is read unless it has to be forwarded; nothing is kept of
 * it then, so a flood of them costs time and no memory.
 *
 * What may go wrong: descriptors run out. Connections then wait in the kernel for a while instead of making the loop spin, and
 * forwarding fails with SERVFAIL; names of our own go on being answered.
 */
#include "network/dns_server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "network/dns_internal.h"

enum {
        BACKLOG = 128,
        RECEIVE_BUFFER = 4 << 20, /* thousands of queries at once are waited for, not lost */
};

struct zl_dns_socket {
        struct zl_dns_link link; /* first */
        struct zl_dns_source udp, tcp;
        uint16_t port;
        struct zl_dns_scope scope;
        char network[ZL_NAMES_NETWORK_MAX];
};

/* ---- loop ------------------------------------------------------------------------------------------- */

int zl_dns_source_set(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events)
{
        struct epoll_event event = { .events = events, .data.ptr = source };
        int op = source->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

        if (events == source->events)
                return 0;
        if (events == 0)
                op = EPOLL_CTL_DEL;
        if (epoll_ctl(s->epoll_fd, op, source->fd, &event) < 0)
                return -errno;
        source->events = events;
        return 0;
}

void zl_dns_source_close(struct zl_dns_source *source)
{
        source->fd = zl_close(source->fd); /* no copy of it exists: it leaves epoll by itself */
        source->events = 0;
}

void zl_dns_server_wake_at(struct zl_dns_server *s, int64_t when)
{
        struct itimerspec spec = { .it_value = { .tv_sec = when / ZL_NSEC_PER_SEC,
                                                 .tv_nsec = when % ZL_NSEC_PER_SEC } };

        if (when == 0 || (s->armed && s->armed <= when))
                return;
        timerfd_settime(s->timer.fd, TFD_TIMER_ABSTIME, &spec, NULL);
        s->armed = when;
}

static void accept_again(struct zl_dns_server *s)
{
        s->accept_at = 0;
        for (struct zl_dns_link *l = s->sockets.next; l != &s->sockets; l = l->next)
                zl_dns_source_set(s, &zl_container_of(l, struct zl_dns_socket, link)->tcp, EPOLLIN);
}

static void timer_ready(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events)
{
        int64_t now = zl_now_monotonic(), queries, conns;
        uint64_t fired;

        if (read(source->fd, &fired, sizeof(fired)) < 0)
                return;
        s->armed = 0;
        if (s->accept_at && now >= s->accept_at)
                accept_again(s);
        queries = zl_dns_forward_timers(s, now);
        conns = zl_dns_conn_timers(s, now);
        zl_dns_server_wake_at(s, queries);
        zl_dns_server_wake_at(s, conns);
        zl_dns_server_wake_at(s, s->accept_at);
}

static void bury(struct zl_dns_server *s)
{
        while (s->dead.next != &s->dead) {
                struct zl_dns_link *link = s->dead.next;

                zl_dns_link_drop(link);
                free(link);
        }
}

int zl_dns_server_fd(const struct zl_dns_server *s)
{
        return s->epoll_fd;
}

void zl_dns_server_dispatch(struct zl_dns_server *s)
{
        struct epoll_event events[ZL_DNS_EVENTS];
        int n = epoll_wait(s->epoll_fd, events, ZL_DNS_EVENTS, 0);

        for (int i = 0; i < n; i++) {
                struct zl_dns_source *source = events[i].data.ptr;

                if (source->fd >= 0)
                        source->ready(s, source, events[i].events);
        }
        bury(s);
}

/* ---- one message ------------------------------------------------------------------------------------ */

size_t zl_dns_client_max(const struct zl_dns_client *client, const struct zl_dns_query *query)
{
        return client->conn ? ZL_DNS_MESSAGE_MAX : query->udp_size;
}

void zl_dns_server_reply(struct zl_dns_server *s, const struct zl_dns_client *client,
                         const void *data, size_t len)
{
        if (client->conn)
                zl_dns_conn_send(s, client->conn, data, len);
        else /* a full socket loses it, as the network might; the client asks again */
                sendto(client->socket->udp.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL,
                       &client->address.any, client->address_len);
}

void zl_dns_server_reply_rcode(struct zl_dns_server *s, const struct zl_dns_client *client,
                               const void *data, const struct zl_dns_query *query, unsigned rcode)
{
        struct zl_dns_writer w;

        zl_dns_write_begin(&w, s->out, ZL_DNS_UDP_MIN, data, query);
        zl_dns_server_reply(s, client, s->out, zl_dns_write_end(&w, rcode));
}

bool zl_dns_server_take(struct zl_dns_server *s, const struct zl_dns_client *client,
                        const void *data, size_t len)
{
        struct zl_dns_query query;
        struct zl_dns_writer w;
        unsigned rcode;
        size_t max;

        switch (zl_dns_read_query(data, len, &query, &rcode)) {
        case ZL_DNS_IGNORE:
                s->stats.malformed++;
                return false;
        case ZL_DNS_BAD:
                s->stats.malformed++;
                zl_dns_server_reply_rcode(s, client, data, &query, rcode);
                return true;
        case ZL_DNS_GOOD:
                break;
        }
        s->stats.queries++;
        max = zl_dns_client_max(client, &query);
        if (!client->conn)
                max = ZL_MIN(max, (size_t)ZL_DNS_UDP_OWN);
        zl_dns_write_begin(&w, s->out, max, data, &query);
        if (zl_dns_answer(s->names, &client->socket->scope, &query, &w, &rcode)) {
                s->stats.own++;
                zl_dns_server_reply(s, client, s->out, zl_dns_write_end(&w, rcode));
        } else {
                zl_dns_forward(s, client, data, len, &query);
        }
        return true;
}

/* ---- listeners -------------------------------------------------------------------------------------- */

static void udp_ready(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events)
{
        struct zl_dns_client client = { .socket = zl_container_of(source, struct zl_dns_socket,
                                                                  udp) };
        uint16_t port;

        for (int i = 0; i < ZL_DNS_BATCH; i++) {
                ssize_t n;

                client.address_len = sizeof(client.address);
                n = recvfrom(source->fd, s->in, ZL_DNS_MESSAGE_MAX, MSG_DONTWAIT,
                             &client.address.any, &client.address_len);
                if (n < 0)
                        break; /* nothing there, or an error of an earlier answer, which is now cleared */
                zl_ip_from_sockaddr(&client.address, &client.ip, &port);
                if (port != 0)
                        zl_dns_server_take(s, &client, s->in, (size_t)n);
        }
}

static void tcp_ready(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events)
{
        zl_dns_conn_accept(s, zl_container_of(source, struct zl_dns_socket, tcp), source->fd);
        /* Without descriptors the loop must not spin on a connection that cannot be taken. */
        if (s->accept_at) {
                zl_dns_source_set(s, source, 0);
                zl_dns_server_wake_at(s, s->accept_at);
        }
}

bool zl_dns_server_is_own(const struct zl_dns_server *s, const struct zl_resolver *resolver)
{
        for (struct zl_dns_link *l = s->sockets.next; l != &s->sockets; l = l->next) {
                const struct zl_dns_socket *socket = zl_container_of(l, struct zl_dns_socket, link);

                if (socket->port == resolver->port &&
                    zl_ip_equal(&socket->scope.address, &resolver->address))
                        return true;
        }
        return false;
}

static int open_socket(const union zl_sockaddr *address, socklen_t len, int type)
{
        _cleanup_close_ int fd = socket(address->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                        0);
        int on = 1;

        if (fd < 0)
                return -errno;
        if (type == SOCK_STREAM)
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        /* The address may still be on its way to the bridge. */
        if (address->any.sa_family == AF_INET)
                setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
        else
                setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
        if (bind(fd, &address->any, len) < 0)
                return -errno;
        if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
                return -errno;
        return zl_take_fd(fd);
}

static int open_sockets(struct zl_dns_socket *socket, const struct zl_dns_listener *l,
                        struct zl_error *err)
{
        struct zl_dns_source *sources[] = { &socket->udp, &socket->tcp };
        static const int types[] = { SOCK_DGRAM, SOCK_STREAM };
        int size = RECEIVE_BUFFER;
        char text[ZL_IP_TEXT_MAX];
        union zl_sockaddr address;
        socklen_t len = zl_ip_to_sockaddr(&l->address, socket->port, &address);

        for (size_t i = 0; i < ZL_ARRAY_SIZE(sources); i++) {
                int fd = sources[i]->fd;

                if (fd < 0)
                        fd = open_socket(&address, len, types[i]);
                if (fd < 0)
                        return zl_fail(
                                err, fd == -EADDRINUSE ? ZL_E_BUSY : zl_code_from_errno(-fd), -fd,
                                "the name service of network %s cannot listen at %s port %u/%s",
                                l->network, zl_ip_format(&l->address, text), socket->port,
                                i == 0 ? "udp" : "tcp");
                sources[i]->fd = fd;
                zl_fd_set_nonblock(fd, true);
        }
        if (setsockopt(socket->udp.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
                setsockopt(socket->udp.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        return 0;
}

static int check_listener(const struct zl_dns_server *s, const struct zl_dns_listener *l,
                          const struct zl_resolver *place, struct zl_error *err)
{
        static const uint8_t any[16];
        char text[ZL_IP_TEXT_MAX];

        if (!l->network[0] || strlen(l->network) >= ZL_NAMES_NETWORK_MAX)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%.80s\" is no id of a network", l->network);
        if (zl_ip_size(&l->address) == 0 || memcmp(l->address.bytes, any, sizeof(any)) == 0 ||
            l->prefix_bits > 8 * zl_ip_size(&l->address))
                return zl_fail(
                        err, ZL_E_INVALID, 0,
                        "the name service of network %s needs an address of its own, not \"%s\"/%u",
                        l->network, zl_ip_format(&l->address, text), l->prefix_bits);
        if (zl_dns_server_is_own(s, place))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "the name service listens at %s port %u already",
                               zl_ip_format(&l->address, text), place->port);
        return 0;
}

static void socket_free(struct zl_dns_socket *socket)
{
        zl_dns_source_close(&socket->udp);
        zl_dns_source_close(&socket->tcp);
        free(socket);
}

int zl_dns_server_listen(struct zl_dns_server *s, const struct zl_dns_listener *l,
                         struct zl_error *err)
{
        struct zl_resolver place = { .address = l->address,
                                     .port = l->port ? l->port : ZL_DNS_PORT };
        _cleanup_close_ int udp_fd = l->udp_fd, tcp_fd = l->tcp_fd;
        struct zl_dns_socket *socket;
        int r = check_listener(s, l, &place, err);

        if (r < 0)
                return r;
        socket = calloc(1, sizeof(*socket));
        if (!socket)
                return zl_fail_oom(err);
        zl_dns_link_init(&socket->link);
        socket->udp = (struct zl_dns_source){ .fd = zl_take_fd(udp_fd), .ready = udp_ready };
        socket->tcp = (struct zl_dns_source){ .fd = zl_take_fd(tcp_fd), .ready = tcp_ready };
        socket->port = place.port;
        strcpy(socket->network, l->network);
        socket->scope = (struct zl_dns_scope){ socket->network, l->address, l->prefix_bits };
        r = open_sockets(socket, l, err);
        if (r >= 0) {
                r = zl_dns_source_set(s, &socket->udp, EPOLLIN);
                if (r >= 0)
                        r = zl_dns_source_set(s, &socket->tcp, EPOLLIN);
                if (r < 0)
                        zl_fail_errno(err, -r, "cannot wait for queries of network %s", l->network);
        }
        if (r < 0) {
                socket_free(socket);
                return r;
        }
        zl_dns_link_append(&s->sockets, &socket->link);
        return 0;
}

/* `network` NULL: all of them. */
static size_t drop_sockets(struct zl_dns_server *s, const char *network)
{
        struct zl_dns_link *next;
        size_t n = 0;

        for (struct zl_dns_link *l = s->sockets.next; l != &s->sockets; l = next) {
                struct zl_dns_socket *socket = zl_container_of(l, struct zl_dns_socket, link);
                struct zl_dns_link *next_conn;

                next = l->next;
                if (network && !zl_streq(socket->network, network))
                        continue;
                zl_dns_forward_drop(s, socket, NULL);
                for (struct zl_dns_link *c = s->conns.next; c != &s->conns; c = next_conn) {
                        struct zl_dns_conn *conn = zl_container_of(c, struct zl_dns_conn, link);

                        next_conn = c->next;
                        if (conn->socket == socket)
                                zl_dns_conn_close(s, conn);
                }
                zl_dns_link_drop(l);
                socket_free(socket);
                n++;
        }
        return n;
}

size_t zl_dns_server_unlisten(struct zl_dns_server *s, const char *network)
{
        size_t n = drop_sockets(s, network);

        bury(s);
        return n;
}

/* ---- the server ------------------------------------------------------------------------------------- */

static int make_socket(void *data, int family, int type)
{
        int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd < 0 ? -errno : fd;
}

void zl_dns_server_set_sockets(struct zl_dns_server *s, zl_dns_make_socket *make, void *data)
{
        s->make_socket = make;
        s->make_data = data;
}

int zl_dns_server_new(struct zl_names *names, struct zl_dns_server **ret, struct zl_error *err)
{
        _cleanup_dns_server_ struct zl_dns_server *s = calloc(1, sizeof(*s));

        if (!s)
                return zl_fail_oom(err);
        s->names = names;
        s->resolv.fd = -EBADF;
        s->make_socket = make_socket;
        zl_dns_link_init(&s->sockets);
        zl_dns_link_init(&s->conns);
        zl_dns_link_init(&s->pending);
        zl_dns_link_init(&s->dead);
        s->in = malloc(ZL_DNS_MESSAGE_MAX);
        s->out = malloc(ZL_DNS_MESSAGE_MAX);
        s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        s->timer = (struct zl_dns_source){
                .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
                .ready = timer_ready,
        };
        if (!s->in || !s->out)
                return zl_fail_oom(err);
        if (s->epoll_fd < 0 || s->timer.fd < 0 || zl_dns_source_set(s, &s->timer, EPOLLIN) < 0)
                return zl_fail_errno(err, errno, "no descriptors for the name service");
        *ret = zl_take_ptr(s);
        return 0;
}

void zl_dns_server_free(struct zl_dns_server *s)
{
        if (!s)
                return;
        drop_sockets(s, NULL);
        bury(s);
        zl_dns_server_unfollow(s);
        zl_dns_source_close(&s->timer);
        zl_close(s->epoll_fd);
        free(s->in);
        free(s->out);
        free(s);
}

void zl_dns_server_get_stats(const struct zl_dns_server *s, struct zl_dns_stats *ret)
{
        *ret = s->stats;
        ret->pending = s->n_pending;
        ret->connections = s->n_conns;
}
