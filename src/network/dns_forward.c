/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries for other resolvers. Each has a socket of its own towards the one that is asked, connected (so that only that resolver can answer),
 * with a source port that the kernel chooses at random and a random id; what comes back must be the answer to the very question. The
 * message goes out and comes back as it is, but for the id: EDNS options and DNSSEC are between the client and the resolver.
 *
 * What may go wrong: a resolver is silent, refuses, cannot be reached or fails. Then the next one is asked, and when all have been asked as
 * often as resolv.conf says, the client hears SERVFAIL, or what the last one said. A resolver that was silent is the last choice for a while.
 * An answer that does not fit over UDP is asked for again over TCP if the client has a connection; if not, it is told to make one.
 */
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/random.h"
#include "network/dns_internal.h"

enum { PER_CLIENT = ZL_DNS_QUERIES_MAX / 2 };

struct pending {
        struct zl_dns_link link; /* first: by the time it was sent */
        struct zl_dns_source source;
        struct zl_dns_client client;
        bool tcp;
        struct zl_buf stream; /* the answer over TCP, as far as it has come */
        int64_t deadline;
        unsigned resolver; /* index of the one that is asked */
        unsigned asked;    /* set of those asked in this round */
        unsigned round;
        uint16_t client_id;
        size_t client_max, len, question_end;
        uint8_t message[]; /* the query; its id is that of the last attempt */
};

static struct pending *from_link(struct zl_dns_link *link)
{
        return zl_container_of(link, struct pending, link);
}

static struct pending *from_source(struct zl_dns_source *source)
{
        return zl_container_of(source, struct pending, source);
}

static void close_socket(struct zl_dns_server *s, struct pending *q)
{
        zl_dns_source_close(&q->source);
        zl_buf_done(&q->stream);
        s->n_upstream_tcp -= q->tcp;
        q->tcp = false;
}

/* May come twice: the reply closes a connection that takes no more, and with it goes what waits for it. */
static void release(struct zl_dns_server *s, struct pending *q)
{
        if (!q->client.socket)
                return;
        q->client.socket = NULL;
        close_socket(s, q);
        zl_dns_link_append(&s->dead, &q->link);
        s->n_pending--;
}

/* ---- the end of a query ----------------------------------------------------------------------------- */

static void set_id(void *message, uint16_t id)
{
        uint8_t *p = message;

        p[0] = (uint8_t)(id >> 8);
        p[1] = (uint8_t)id;
}

static uint16_t get_id(const void *message)
{
        const uint8_t *p = message;

        return (uint16_t)(p[0] << 8 | p[1]);
}

/* An answer with nothing but the question, and TC if the records had no room. */
static void reply_empty(struct zl_dns_server *s, struct pending *q, unsigned rcode, bool truncated)
{
        struct zl_dns_query query;
        struct zl_dns_writer w;
        unsigned ignored;

        set_id(q->message, q->client_id);
        zl_dns_read_query(q->message, q->len, &query, &ignored);
        zl_dns_write_begin(&w, s->out, ZL_DNS_UDP_MIN, q->message, &query);
        w.truncated = truncated;
        zl_dns_server_reply(s, &q->client, s->out, zl_dns_write_end(&w, rcode));
}

static void finish(struct zl_dns_server *s, struct pending *q)
{
        struct zl_dns_conn *conn = q->client.conn;

        release(s, q);
        if (conn)
                zl_dns_conn_answered(s, conn);
}

static void fail(struct zl_dns_server *s, struct pending *q)
{
        s->stats.failed++;
        reply_empty(s, q, ZL_DNS_SERVFAIL, false);
        finish(s, q);
}

static void deliver(struct zl_dns_server *s, struct pending *q, uint8_t *data, size_t len,
                    unsigned rcode)
{
        s->shun_until[q->resolver] = 0;
        set_id(data, q->client_id);
        if (len > q->client_max)
                reply_empty(s, q, rcode, true);
        else
                zl_dns_server_reply(s, &q->client, data, len);
        finish(s, q);
}

/* ---- asking ----------------------------------------------------------------------------------------- */

/* The first that was not asked in this round and has not been silent lately, else the first not asked; -1: none. */
static int choose(const struct zl_dns_server *s, const struct pending *q)
{
        int64_t now = zl_now_monotonic();
        int silent = -1;

        for (size_t i = 0; i < s->conf.n_resolvers; i++) {
                if (q->asked & 1u << i || zl_dns_server_is_own(s, &s->conf.resolvers[i]))
                        continue;
                if (s->shun_until[i] <= now)
                        return (int)i;
                if (silent < 0)
                        silent = (int)i;
        }
        return silent;
}

static void set_deadline(struct zl_dns_server *s, struct pending *q)
{
        q->deadline = zl_now_monotonic() + s->conf.timeout * ZL_NSEC_PER_SEC;
        zl_dns_link_append(&s->pending, &q->link);
        zl_dns_server_wake_at(s, q->deadline);
}

/* A socket to the resolver, with the connection made or on its way. */
static int open_towards(const struct zl_dns_server *s, const struct zl_resolver *resolver, int type)
{
        union zl_sockaddr address;
        socklen_t len = zl_ip_to_sockaddr(&resolver->address, resolver->port, &address);
        _cleanup_close_ int fd = s->make_socket(s->make_data, address.any.sa_family, type);

        if (fd < 0)
                return fd;
        if (address.any.sa_family == AF_INET6)
                address.in6.sin6_scope_id = resolver->scope;
        if (connect(fd, &address.any, len) < 0 && errno != EINPROGRESS)
                return -errno;
        return zl_take_fd(fd);
}

static void udp_ready(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events);
static void tcp_ready(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events);

static int open_source(struct zl_dns_server *s, struct pending *q, int type)
{
        int fd = open_towards(s, &s->conf.resolvers[q->resolver], type);
        bool tcp = type == SOCK_STREAM;

        if (fd < 0)
                return fd;
        q->source = (struct zl_dns_source){ .fd = fd, .ready = tcp ? tcp_ready : udp_ready };
        set_id(q->message, (uint16_t)zl_random_u64());
        return zl_dns_source_set(s, &q->source, tcp ? EPOLLOUT : EPOLLIN);
}

static bool ask(struct zl_dns_server *s, struct pending *q, unsigned resolver)
{
        q->resolver = resolver;
        q->asked |= 1u << resolver;
        if (open_source(s, q, SOCK_DGRAM) >= 0 &&
            send(q->source.fd, q->message, q->len, MSG_NOSIGNAL) == (ssize_t)q->len) {
                set_deadline(s, q);
                return true;
        }
        close_socket(s, q);
        return false;
}

/* Asks whoever is next; false if nobody is left. */
static bool ask_next(struct zl_dns_server *s, struct pending *q)
{
        for (; q->round < s->conf.attempts; q->round++, q->asked = 0) {
                int i;

                while ((i = choose(s, q)) >= 0)
                        if (ask(s, q, (unsigned)i))
                                return true;
        }
        return false;
}

/* The one that was asked is of no use. `silent`: nor may it be soon. */
static void give_up(struct zl_dns_server *s, struct pending *q, bool silent)
{
        if (silent)
                s->shun_until[q->resolver] = zl_now_monotonic() + ZL_DNS_SHUN_NSEC;
        close_socket(s, q);
        if (!ask_next(s, q))
                fail(s, q);
}

static void ask_tcp(struct zl_dns_server *s, struct pending *q)
{
        close_socket(s, q);
        if (s->n_upstream_tcp >= ZL_DNS_UPSTREAM_TCP_MAX) {
                s->stats.refused++;
                fail(s, q);
                return;
        }
        q->tcp = true;
        s->n_upstream_tcp++;
        q->stream = ZL_BUF_INIT(ZL_DNS_MESSAGE_MAX + 2);
        if (open_source(s, q, SOCK_STREAM) < 0)
                give_up(s, q, false);
        else
                set_deadline(s, q);
}

/* ---- answers ---------------------------------------------------------------------------------------- */

/* false: this is not what was asked for; somebody may be guessing. */
static bool take_answer(struct zl_dns_server *s, struct pending *q, uint8_t *data, size_t len)
{
        struct zl_dns_reply reply;

        if (zl_dns_read_reply(data, len, &reply) < 0 || reply.id != get_id(q->message) ||
            !zl_dns_same_question(data, reply.question_end, q->message, q->question_end))
                return false;
        if (reply.truncated && q->client.conn && !q->tcp)
                ask_tcp(s, q);
        else if ((reply.rcode == ZL_DNS_SERVFAIL || reply.rcode == ZL_DNS_REFUSED) &&
                 choose(s, q) >= 0)
                give_up(s, q, false);
        else
                deliver(s, q, data, len, reply.rcode);
        return true;
}

static void udp_ready(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events)
{
        struct pending *q = from_source(source);
        ssize_t n = recv(source->fd, s->in, ZL_DNS_MESSAGE_MAX, MSG_DONTWAIT);

        if (n >= 0)
                take_answer(s, q, s->in, (size_t)n);
        else if (errno != EAGAIN && errno != EINTR)
                give_up(s, q, true);
}

/* The query in one piece: the buffer of a fresh connection has room for it. */
static bool send_stream(struct zl_dns_server *s, struct pending *q)
{
        uint8_t *p = s->out;

        set_id(p, (uint16_t)q->len);
        memcpy(p + 2, q->message, q->len);
        return send(q->source.fd, p, q->len + 2, MSG_DONTWAIT | MSG_NOSIGNAL) ==
                       (ssize_t)q->len + 2 &&
               zl_dns_source_set(s, &q->source, EPOLLIN) >= 0;
}

/* 0: more is to come; 1: it is there. */
static int receive_stream(struct pending *q)
{
        size_t wanted = q->stream.len < 2 ? 2 : 2 + (size_t)get_id(q->stream.data);
        void *room = zl_buf_reserve(&q->stream, wanted - q->stream.len);
        ssize_t n = room ? recv(q->source.fd, room, wanted - q->stream.len, MSG_DONTWAIT) : -1;

        if (n < 0)
                return room && (errno == EAGAIN || errno == EINTR) ? 0 : -EIO;
        if (n == 0)
                return -EPIPE;
        q->stream.len += (size_t)n;
        return q->stream.len >= 2 && q->stream.len == 2 + (size_t)get_id(q->stream.data);
}

static void tcp_ready(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events)
{
        struct pending *q = from_source(source);
        int r = 0;

        if (source->events & EPOLLOUT)
                r = events & (EPOLLERR | EPOLLHUP) || !send_stream(s, q) ? -EIO : 0;
        else
                r = receive_stream(q);
        if (r > 0) {
                size_t len = q->stream.len - 2;

                memcpy(s->in, q->stream.data + 2, len);
                r = take_answer(s, q, s->in, len) ? 1 : -EBADMSG;
        }
        if (r < 0)
                give_up(s, q, false);
}

/* ---- from outside ----------------------------------------------------------------------------------- */

static bool has_room(const struct zl_dns_server *s, const struct zl_dns_client *client)
{
        size_t n = 0;

        if (s->n_pending < PER_CLIENT)
                return true;
        for (struct zl_dns_link *l = s->pending.next; l != &s->pending; l = l->next)
                n += zl_ip_equal(&from_link(l)->client.ip, &client->ip);
        return s->n_pending < ZL_DNS_QUERIES_MAX && n < PER_CLIENT;
}

void zl_dns_forward(struct zl_dns_server *s, const struct zl_dns_client *client, const void *data,
                    size_t len, const struct zl_dns_query *query)
{
        struct pending *q = NULL;

        if (len <= ZL_DNS_QUERY_MAX && has_room(s, client))
                q = calloc(1, sizeof(*q) + len);
        if (!q) {
                s->stats.refused++;
                zl_dns_server_reply_rcode(s, client, data, query, ZL_DNS_SERVFAIL);
                return;
        }
        zl_dns_link_init(&q->link);
        q->source.fd = -EBADF;
        q->client = *client;
        q->client_id = query->id;
        q->client_max = zl_dns_client_max(client, query);
        q->len = len;
        q->question_end = query->question_end;
        memcpy(q->message, data, len);
        s->n_pending++;
        if (ask_next(s, q)) {
                s->stats.forwarded++;
                if (client->conn)
                        client->conn->waiting++;
                return;
        }
        s->stats.failed++;
        zl_dns_server_reply_rcode(s, client, data, query, ZL_DNS_SERVFAIL);
        release(s, q);
}

void zl_dns_forward_drop(struct zl_dns_server *s, const struct zl_dns_socket *socket,
                         const struct zl_dns_conn *conn)
{
        struct zl_dns_link *next;

        for (struct zl_dns_link *l = s->pending.next; l != &s->pending; l = next) {
                struct pending *q = from_link(l);

                next = l->next;
                if (socket ? q->client.socket == socket : q->client.conn == conn)
                        release(s, q);
        }
}

int64_t zl_dns_forward_timers(struct zl_dns_server *s, int64_t now)
{
        while (s->pending.next != &s->pending) {
                struct pending *q = from_link(s->pending.next);

                if (q->deadline > now)
                        return q->deadline;
                give_up(s, q, !q->tcp);
        }
        return 0;
}

void zl_dns_server_set_resolvers(struct zl_dns_server *s, const struct zl_resolv_conf *conf)
{
        s->conf = *conf;
        s->conf.search = NULL;
        memset(s->shun_until, 0, sizeof(s->shun_until));
        /* Who waits for one of the old ones will ask any of the new ones after it. */
        for (struct zl_dns_link *l = s->pending.next; l != &s->pending; l = l->next)
                from_link(l)->asked = 0;
}
