/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay has two halves. Each reads from its own descriptor into a buffer that all relays share, and writes it to the other's; what
 * that does not take is kept by the half, which reads on when it is gone. Where much comes at once it goes through a pipe instead: the
 * kernel hands its pages on, and nobody copies. What the other does not take stays in there. An end of input is passed on as a
 * shutdown behind the last byte, so a client that sends, shuts down and then reads gets its answer. A fault of either side ends both.
 *
 * A target is tried by the family of the client first: a server that listens for one of them only is found by both.
 *
 * Bytes are counted as they are read, without any header. Packets are the segments that the kernel has counted on the client's socket.
 *
 * What may go wrong: relays eat all descriptors, and no container could be attached any more. A part of them is kept back; a client
 * beyond that waits in the queue of the listening socket, and there is no pipe.
 */
#include "network/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "network/server.h"

enum { BULK = 32 * 1024, KEPT_BACK_MAX = 1024 };

struct zl_net_pipe {
        int ends[2];
        size_t len; /* what is in it */
};

struct half {
        struct zl_net_source source; /* first */
        struct relay *relay;
        uint32_t events;
        /* What the other side has not taken yet; NULL: nothing. */
        struct zl_net_pipe *pipe;
        char *kept;
        size_t from, to; /* of `kept` */
        bool is_bulk;    /* much came at once */
        bool ended;      /* no more input */
        bool passed_on;  /* and the other side was told */
};

struct relay {
        struct relay *next, **at; /* of the server's list, and what points to this one */
        struct zl_net_server *server;
        struct zl_net_gate *gate; /* NULL: gone */
        uint32_t segments[2];     /* of the client's socket that are counted: in, out */
        bool connecting;          /* the second half */
        struct zl_ip targets[2];
        int next_target;
        uint16_t port;
        struct half halves[2];
};

/* Both numbers of the kernel have 32 bits. */
static void count_segments(struct relay *r)
{
        struct tcp_info info = { 0 };
        socklen_t len = sizeof(info);

        if (!r->gate ||
            getsockopt(r->halves[0].source.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
            len < offsetof(struct tcp_info, tcpi_segs_in) + sizeof(info.tcpi_segs_in))
                return;
        r->gate->in.packets += info.tcpi_segs_in - r->segments[0];
        r->gate->out.packets += info.tcpi_segs_out - r->segments[1];
        r->segments[0] = info.tcpi_segs_in;
        r->segments[1] = info.tcpi_segs_out;
}

void zl_net_relays_count(struct zl_net_server *s)
{
        for (struct relay *r = s->relays; r; r = r->next)
                count_segments(r);
}

void zl_net_relays_forget(struct zl_net_server *s, const struct zl_net_gate *gate)
{
        for (struct relay *r = s->relays; r; r = r->next)
                if (r->gate == gate)
                        r->gate = NULL;
}

/* ---- pipes ---------------------------------------------------------------------------------------- */

/* A relay takes two descriptors, and so does a pipe. */
bool zl_net_relay_has_room(const struct zl_net_server *s)
{
        struct rlimit files = { .rlim_cur = 0 };

        getrlimit(RLIMIT_NOFILE, &files);
        return 2 * (s->n_relays + s->n_pipes + 1) + s->n_sessions <=
               files.rlim_cur - ZL_MIN(files.rlim_cur / 2, (rlim_t)KEPT_BACK_MAX);
}

static void close_pipe(struct zl_net_server *s, struct zl_net_pipe *p)
{
        zl_close(p->ends[0]);
        zl_close(p->ends[1]);
        free(p);
        s->n_pipes--;
}

/* NULL: there is none to be had, or a small one only, which is slower than the buffer. */
static struct zl_net_pipe *take_pipe(struct zl_net_server *s)
{
        struct zl_net_pipe *p = s->spare_pipe;

        if (p) {
                s->spare_pipe = NULL;
                return p;
        }
        p = zl_net_relay_has_room(s) ? calloc(1, sizeof(*p)) : NULL;
        if (!p || pipe2(p->ends, O_CLOEXEC | O_NONBLOCK) < 0) {
                free(p);
                return NULL;
        }
        s->n_pipes++;
        if (fcntl(p->ends[1], F_SETPIPE_SZ, ZL_NET_BUFFER) >= 0)
                return p;
        close_pipe(s, p);
        return NULL;
}

static void put_pipe(struct half *h)
{
        struct zl_net_server *s = h->relay->server;
        struct zl_net_pipe *p = h->pipe;

        h->pipe = NULL;
        if (p && (p->len > 0 || s->spare_pipe))
                close_pipe(s, p);
        else if (p)
                s->spare_pipe = p;
}

/* ---- the ways ------------------------------------------------------------------------------------- */

static void end(struct relay *r)
{
        count_segments(r);
        *r->at = r->next;
        if (r->next)
                r->next->at = r->at;
        r->server->n_relays--;
        zl_close(r->halves[0].source.fd);
        zl_close(r->halves[1].source.fd);
        for (int i = 0; i < 2; i++) {
                put_pipe(&r->halves[i]);
                free(r->halves[i].kept);
        }
        free(r);
}

static struct half *other(struct half *h)
{
        return &h->relay->halves[h == &h->relay->halves[0]];
}

static int watch(struct half *h, uint32_t events)
{
        struct epoll_event event = { .events = events, .data.ptr = &h->source };
        int op = h->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

        if (events == h->events)
                return 0;
        /* Without any event a hang-up would still be told, again and again. */
        if (events == 0)
                op = EPOLL_CTL_DEL;
        if (epoll_ctl(h->relay->server->epoll_fd, op, h->source.fd, &event) < 0)
                return -errno;
        h->events = events;
        return 0;
}

/* Sends what the other side takes: so many bytes, or a negative errno. */
static ssize_t push(struct half *h, const char *data, size_t len)
{
        size_t done = 0;

        while (done < len) {
                ssize_t n = send(other(h)->source.fd, data + done, len - done, MSG_NOSIGNAL);

                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (n < 0)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

static int keep(struct half *h, const char *data, size_t len)
{
        h->kept = malloc(len);
        if (!h->kept)
                return -ENOMEM;
        memcpy(h->kept, data, len);
        h->from = 0;
        h->to = len;
        return 0;
}

static int push_kept(struct half *h)
{
        ssize_t n = push(h, h->kept + h->from, h->to - h->from);

        if (n < 0)
                return (int)n;
        h->from += (size_t)n;
        if (h->from == h->to) {
                free(h->kept);
                h->kept = NULL;
        }
        return 0;
}

static int push_pipe(struct half *h)
{
        struct zl_net_pipe *p = h->pipe;

        while (p->len > 0) {
                ssize_t n = splice(p->ends[0], NULL, other(h)->source.fd, NULL, p->len,
                                   SPLICE_F_NONBLOCK);

                if (n <= 0)
                        return n == 0 ? -EIO : errno == EAGAIN || errno == EINTR ? 0 : -errno;
                p->len -= (size_t)n;
        }
        put_pipe(h);
        return 0;
}

/* So many bytes were read: 0 is the end. */
static void took(struct half *h, size_t n)
{
        struct zl_net_gate *gate = h->relay->gate;

        h->ended = n == 0;
        h->is_bulk = n >= BULK;
        if (gate)
                (h == &h->relay->halves[0] ? &gate->in : &gate->out)->bytes += n;
}

/* Pages change hands, and nobody copies. */
static int carry_by_pipe(struct half *h)
{
        ssize_t n = splice(h->source.fd, NULL, h->pipe->ends[1], NULL, ZL_NET_BUFFER,
                           SPLICE_F_NONBLOCK);
        int e = n < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;

        if (n < 0) {
                /* There may be what only read() takes: urgent data. */
                h->is_bulk = false;
                put_pipe(h);
                return e;
        }
        took(h, (size_t)n);
        h->pipe->len = (size_t)n;
        return push_pipe(h);
}

static int carry_by_buffer(struct half *h)
{
        char *buffer = h->relay->server->buffer;
        ssize_t n = read(h->source.fd, buffer, ZL_NET_BUFFER), sent;

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        took(h, (size_t)n);
        sent = push(h, buffer, (size_t)n);
        if (sent < 0)
                return (int)sent;
        return sent < n ? keep(h, buffer + sent, (size_t)(n - sent)) : 0;
}

static bool has_rest(const struct half *h)
{
        return h->kept || h->pipe;
}

static int push_rest(struct half *h)
{
        return h->kept ? push_kept(h) : h->pipe ? push_pipe(h) : 0;
}

static int carry(struct half *h)
{
        int e = push_rest(h);

        if (e == 0 && !has_rest(h) && !h->ended) {
                h->pipe = h->is_bulk ? take_pipe(h->relay->server) : NULL;
                e = h->pipe ? carry_by_pipe(h) : carry_by_buffer(h);
        }
        if (e == 0 && !has_rest(h) && h->ended && !h->passed_on) {
                shutdown(other(h)->source.fd, SHUT_WR);
                h->passed_on = true;
        }
        return e;
}

/* What came about at `at`: both halves, where the kernel did not say. */
static int move(struct half *at, uint32_t events)
{
        struct relay *r = at->relay;
        int e = 0;

        if (events & ~(uint32_t)EPOLLOUT)
                e = carry(at);
        if (e == 0 && events & ~(uint32_t)EPOLLIN)
                e = carry(other(at));
        for (int i = 0; i < 2 && e == 0; i++) {
                struct half *h = &r->halves[i];
                uint32_t wanted = (!has_rest(h) && !h->ended ? (uint32_t)EPOLLIN : 0) |
                                  (has_rest(other(h)) ? (uint32_t)EPOLLOUT : 0);

                e = watch(h, wanted);
        }
        return e;
}

/* What came in two pieces goes on in two: with Nagle's algorithm the second would wait for the receiver to acknowledge the first, who
 * takes up to 40 ms to do so. Whether to wait is for those to say who write. */
static void hurry(int fd)
{
        const int one = 1;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* A connection that does not leave the machine has no bottleneck to look for: what BBR, if it is the host's default, spends on pacing
 * halves the throughput. Reno is in every kernel, and allowed to everybody. */
static void stay_here(int fd)
{
        static const char simplest[] = "reno";

        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, simplest, strlen(simplest));
}

/* Of somebody without privileges the clients come from elsewhere, too. */
static bool is_from_here(int fd)
{
        union zl_sockaddr sa;
        socklen_t len = sizeof(sa);
        struct zl_ip ip;
        uint16_t port;

        if (getpeername(fd, &sa.any, &len) < 0)
                return false;
        if (sa.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&sa.in6.sin6_addr))
                return sa.in6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
        zl_ip_from_sockaddr(&sa, &ip, &port);
        return zl_ip_is_loopback(&ip);
}

/* Begins with the next target that can be tried. */
static int connect_next(struct relay *r)
{
        struct half *out = &r->halves[1];
        int e = -ECONNREFUSED;

        while (r->next_target < 2 && r->targets[r->next_target].family) {
                const struct zl_ip *ip = &r->targets[r->next_target++];
                union zl_sockaddr sa;
                socklen_t len = zl_ip_to_sockaddr(ip, r->port, &sa);

                zl_close(out->source.fd);
                out->events = 0;
                out->source.fd = socket(ip->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                hurry(out->source.fd);
                stay_here(out->source.fd);
                if (out->source.fd >= 0 &&
                    (connect(out->source.fd, &sa.any, len) == 0 || errno == EINPROGRESS))
                        return watch(out, EPOLLOUT);
                e = -errno;
        }
        return e;
}

static void half_ready(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        struct relay *r = ((struct half *)source)->relay;

        if (r->connecting && events & (EPOLLERR | EPOLLHUP)) {
                if (connect_next(r) < 0)
                        end(r);
                return;
        }
        r->connecting = false;
        if (move((struct half *)source, events) < 0 ||
            (r->halves[0].passed_on && r->halves[1].passed_on))
                end(r);
}

static void enlist(struct relay *r)
{
        struct zl_net_server *s = r->server;

        r->at = &s->relays;
        r->next = s->relays;
        if (r->next)
                r->next->at = &r->next;
        s->relays = r;
        s->n_relays++;
}

int zl_net_relay_start(struct zl_net_server *s, struct zl_net_gate *gate, int fd,
                       const struct zl_ip targets[2], uint16_t port)
{
        struct relay *r;
        int e;

        if (!zl_net_buffer(s))
                return -ENOMEM;
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->server = s;
        r->gate = gate;
        r->connecting = true;
        memcpy(r->targets, targets, sizeof(r->targets));
        r->port = port;
        for (int i = 0; i < 2; i++)
                r->halves[i] = (struct half){ .relay = r,
                                              .source = { .fd = -EBADF, .ready = half_ready } };
        e = connect_next(r);
        if (e < 0) {
                zl_close(r->halves[1].source.fd);
                free(r);
                return e;
        }
        hurry(fd);
        if (is_from_here(fd))
                stay_here(fd);
        r->halves[0].source.fd = fd;
        enlist(r);
        return 0;
}
