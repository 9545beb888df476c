/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each client of a gate has a session: a socket of its own that is connected to the target, so that an answer is known to be its.
 * An answer leaves by the gate's socket, from the very address that the client wrote to (IP_PKTINFO).
 *
 * What may go wrong: many clients. There are SESSIONS_MAX sessions, and never so many that others lack descriptors; the one that has
 * been silent longest gives way. A target that is gone refuses: its session ends, and the next datagram begins a new one.
 */
#include "network/datagrams.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "network/relay.h"

enum { SESSIONS_MAX = 1024, BATCH = 32, DATAGRAM_MAX = 65536, CONTROL_MAX = 64 };

#define SILENCE_NSEC (30 * ZL_NSEC_PER_SEC)

struct session {
        struct zl_net_source source; /* first: connected to the target */
        struct session *next;        /* the one that spoke before */
        struct zl_net_gate *gate;
        union zl_sockaddr client;
        socklen_t client_len;
        /* Which address of the host the client wrote to, as the kernel told it. */
        _Alignas(struct cmsghdr) char control[CONTROL_MAX];
        size_t control_len;
        int64_t used_at;
};

static void end_at(struct zl_net_server *s, struct session **at)
{
        struct session *session = *at;

        *at = session->next;
        s->n_sessions--;
        zl_close(session->source.fd);
        free(session);
}

static void end(struct zl_net_server *s, const struct session *session)
{
        for (struct session **at = &s->sessions; *at; at = &(*at)->next)
                if (*at == session) {
                        end_at(s, at);
                        return;
                }
}

/* To the head of the list, so that its tail is the one that has been silent longest. */
static void touch(struct zl_net_server *s, struct session *session)
{
        struct session **at = &s->sessions;

        while (*at && *at != session)
                at = &(*at)->next;
        if (*at)
                *at = session->next;
        session->next = s->sessions;
        s->sessions = session;
        session->used_at = zl_now_monotonic();
        if (!s->datagrams_at)
                s->datagrams_at = session->used_at + SILENCE_NSEC;
}

static void count(struct zl_nft_count *c, size_t len)
{
        c->packets++;
        c->bytes += len;
}

static void answer_ready(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        struct session *session = (struct session *)source;
        char *data = zl_net_buffer(s);
        ssize_t n = data ? recv(source->fd, data, DATAGRAM_MAX, MSG_DONTWAIT) : -1;
        struct iovec iov = { .iov_base = data, .iov_len = n > 0 ? (size_t)n : 0 };
        struct msghdr m = { .msg_name = &session->client,
                            .msg_namelen = session->client_len,
                            .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = session->control_len ? session->control : NULL,
                            .msg_controllen = (socklen_t)session->control_len };

        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        end(s, session);
                return;
        }
        touch(s, session);
        if (sendmsg(session->gate->socket.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                count(&session->gate->out, (size_t)n);
}

static struct session *begin(struct zl_net_server *s, struct zl_net_gate *gate,
                             const struct msghdr *m, zl_net_choose *choose)
{
        const union zl_sockaddr *client = m->msg_name;
        bool six = client->any.sa_family == AF_INET6 &&
                   !IN6_IS_ADDR_V4MAPPED(&client->in6.sin6_addr);
        union zl_sockaddr target;
        struct session *session;
        socklen_t len;

        if (!choose(s, gate, six, &target, &len))
                return NULL;
        if (s->sessions && (s->n_sessions >= SESSIONS_MAX || !zl_net_relay_has_room(s))) {
                struct session **at = &s->sessions;

                while ((*at)->next)
                        at = &(*at)->next;
                end_at(s, at);
        }
        session = calloc(1, sizeof(*session));
        if (!session)
                return NULL;
        session->source.ready = answer_ready;
        session->source.fd = socket(target.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                    0);
        if (session->source.fd < 0 || connect(session->source.fd, &target.any, len) < 0 ||
            zl_net_source_add(s, &session->source) < 0) {
                zl_close(session->source.fd);
                free(session);
                return NULL;
        }
        session->gate = gate;
        session->client = *client;
        session->client_len = m->msg_namelen;
        session->control_len = ZL_MIN((size_t)m->msg_controllen, sizeof(session->control));
        memcpy(session->control, m->msg_control, session->control_len);
        s->n_sessions++;
        return session;
}

static struct session *find(struct zl_net_server *s, const struct zl_net_gate *gate,
                            const struct msghdr *m)
{
        for (struct session *i = s->sessions; i; i = i->next)
                if (i->gate == gate && i->client_len == m->msg_namelen &&
                    memcmp(&i->client, m->msg_name, m->msg_namelen) == 0)
                        return i;
        return NULL;
}

static void carry(struct zl_net_server *s, struct zl_net_gate *gate, const struct msghdr *m,
                  size_t len, zl_net_choose *choose)
{
        /* The second try is for a target that has gone since. */
        for (int i = 0; i < 2; i++) {
                struct session *session = find(s, gate, m);

                if (!session)
                        session = begin(s, gate, m, choose);
                if (!session)
                        return;
                touch(s, session);
                if (send(session->source.fd, m->msg_iov->iov_base, len, MSG_NOSIGNAL) >= 0) {
                        count(&gate->in, len);
                        return;
                }
                if (errno == EAGAIN)
                        return;
                end(s, session);
        }
}

void zl_net_datagrams_take(struct zl_net_server *s, struct zl_net_gate *gate, zl_net_choose *choose)
{
        char *data = zl_net_buffer(s);

        for (int i = 0; data && i < BATCH; i++) {
                _Alignas(struct cmsghdr) char control[CONTROL_MAX];
                union zl_sockaddr client;
                struct iovec iov = { .iov_base = data, .iov_len = DATAGRAM_MAX };
                struct msghdr m = { .msg_name = &client,
                                    .msg_namelen = sizeof(client),
                                    .msg_iov = &iov,
                                    .msg_iovlen = 1,
                                    .msg_control = control,
                                    .msg_controllen = sizeof(control) };
                ssize_t n = recvmsg(gate->socket.fd, &m, MSG_DONTWAIT);

                if (n < 0)
                        return;
                carry(s, gate, &m, (size_t)n, choose);
        }
}

void zl_net_datagrams_drop(struct zl_net_server *s, const struct zl_net_gate *gate)
{
        for (struct session **at = &s->sessions; *at;)
                if ((*at)->gate == gate)
                        end_at(s, at);
                else
                        at = &(*at)->next;
}

void zl_net_datagrams_look(struct zl_net_server *s)
{
        int64_t now = zl_now_monotonic(), oldest = 0;

        for (struct session **at = &s->sessions; *at;) {
                if ((*at)->used_at + SILENCE_NSEC <= now) {
                        end_at(s, at);
                        continue;
                }
                oldest = (*at)->used_at;
                at = &(*at)->next;
        }
        s->datagrams_at = oldest ? oldest + SILENCE_NSEC : 0;
}
