/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay has two halves. Each reads from its own descriptor into its buffer, and the buffer is written to the other's. An end of input is
 * passed on as a shutdown once the buffer is empty, so a client that sends, shuts down and then reads gets its answer. A fault of
 * either side ends both.
 */
#include "network/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "network/server.h"

enum { RELAY_BUFFER = 32 * 1024 };

struct half {
        struct zl_net_source source; /* first */
        struct relay *relay;
        uint32_t events;
        size_t from, to; /* what is in the buffer and not written yet */
        bool ended;      /* no more input */
        bool passed_on;  /* and the other side was told */
        char buffer[RELAY_BUFFER];
};

struct relay {
        int epoll_fd;
        bool connecting; /* the second half */
        struct half halves[2];
};

static void end(struct relay *r)
{
        zl_close(r->halves[0].source.fd);
        zl_close(r->halves[1].source.fd);
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
        if (epoll_ctl(h->relay->epoll_fd, op, h->source.fd, &event) < 0)
                return -errno;
        h->events = events;
        return 0;
}

static int fill(struct half *h)
{
        ssize_t n;

        if (h->ended || h->from < h->to)
                return 0;
        h->from = h->to = 0;
        n = read(h->source.fd, h->buffer, sizeof(h->buffer));
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        h->to = (size_t)n;
        h->ended = n == 0;
        return 0;
}

static int empty(struct half *h)
{
        while (h->from < h->to) {
                ssize_t n = send(other(h)->source.fd, h->buffer + h->from, h->to - h->from,
                                 MSG_NOSIGNAL);

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                h->from += (size_t)n;
        }
        if (h->ended && !h->passed_on) {
                shutdown(other(h)->source.fd, SHUT_WR);
                h->passed_on = true;
        }
        return 0;
}

static int move(struct relay *r)
{
        int e = 0;

        for (int i = 0; i < 2 && e == 0 && !r->connecting; i++) {
                e = fill(&r->halves[i]);
                if (e == 0)
                        e = empty(&r->halves[i]);
        }
        for (int i = 0; i < 2 && e == 0; i++) {
                struct half *h = &r->halves[i];
                uint32_t events = 0;

                if (r->connecting)
                        events = i == 1 ? EPOLLOUT : 0;
                else
                        events = (h->from == h->to && !h->ended ? (uint32_t)EPOLLIN : 0) |
                                 (other(h)->from < other(h)->to ? (uint32_t)EPOLLOUT : 0);
                e = watch(h, events);
        }
        return e;
}

static void half_ready(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        struct relay *r = ((struct half *)source)->relay;

        if (r->connecting && events & (EPOLLERR | EPOLLHUP)) {
                end(r);
                return;
        }
        r->connecting = false;
        if (move(r) < 0 || (r->halves[0].passed_on && r->halves[1].passed_on))
                end(r);
}

int zl_net_relay_start(int epoll_fd, int fd, const struct zl_ip *target, uint16_t port)
{
        _cleanup_close_ int out = socket(target->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                         0);
        union zl_sockaddr sa;
        socklen_t len = zl_ip_to_sockaddr(target, port, &sa);
        struct relay *r;
        int e;

        if (out < 0 || (connect(out, &sa.any, len) < 0 && errno != EINPROGRESS))
                return -errno;
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->epoll_fd = epoll_fd;
        r->connecting = true;
        for (int i = 0; i < 2; i++) {
                r->halves[i].relay = r;
                r->halves[i].source.ready = half_ready;
        }
        r->halves[0].source.fd = fd;
        r->halves[1].source.fd = out;
        e = move(r);
        if (e < 0) {
                free(r);
                return e;
        }
        zl_take_fd(out);
        return 0;
}
