/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the name server: one struct, one thread, one epoll descriptor. Each file has one subject:
 *
 *   dns_server.c   the loop, timers, listeners, UDP
 *   dns_conn.c     connections of clients
 *   dns_forward.c  queries that other resolvers are to answer
 *   dns_resolv.c   the host's resolv.conf
 */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "network/dns_answer.h"
#include "network/dns_message.h"
#include "network/dns_server.h"

enum {
        ZL_DNS_EVENTS = 64,      /* taken from epoll at once */
        ZL_DNS_BATCH = 64,       /* datagrams taken from a socket at once */
        ZL_DNS_QUERY_MAX = 4096, /* a longer query over TCP ends the connection */
        ZL_DNS_CONN_QUERIES =
                32, /* of one connection that wait for an answer; it is not read meanwhile */
        ZL_DNS_CONN_UNSENT = 128 * 1024,
};

/* A resolver that did not answer is not the first to be asked for so long. */
#define ZL_DNS_SHUN_NSEC (10 * ZL_NSEC_PER_SEC)

/* The object that has this member. */
#define zl_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Lists in order of time. A head, or an element, is in the list of its own if it is in no other. */
struct zl_dns_link {
        struct zl_dns_link *next, *prev;
};

static inline void zl_dns_link_init(struct zl_dns_link *link)
{
        link->next = link->prev = link;
}

static inline void zl_dns_link_drop(struct zl_dns_link *link)
{
        link->prev->next = link->next;
        link->next->prev = link->prev;
        zl_dns_link_init(link);
}

static inline void zl_dns_link_append(struct zl_dns_link *list, struct zl_dns_link *link)
{
        zl_dns_link_drop(link);
        link->prev = list->prev;
        link->next = list;
        list->prev->next = link;
        list->prev = link;
}

/* What epoll hands back. A closed one (fd < 0) may still be in a batch of events. */
struct zl_dns_source {
        int fd;
        uint32_t events; /* registered now */
        void (*ready)(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events);
};

struct zl_dns_socket; /* a listener: in dns_server.c */

struct zl_dns_conn {
        struct zl_dns_link
                link; /* first: in the list of connections, by the time of the last traffic */
        struct zl_dns_source source;
        const struct zl_dns_socket *socket;
        struct zl_ip client;
        struct zl_buf in, out;
        unsigned waiting; /* queries that are being forwarded */
        bool ended;       /* the client will send no more */
        int64_t deadline;
};

/* Whom an answer goes to. */
struct zl_dns_client {
        const struct zl_dns_socket *socket;
        struct zl_dns_conn *conn; /* NULL: over UDP, to `address` */
        union zl_sockaddr address;
        socklen_t address_len;
        struct zl_ip ip;
};

struct zl_dns_server {
        struct zl_names *names;
        int epoll_fd;
        zl_dns_make_socket *make_socket;
        void *make_data;
        struct zl_dns_source timer;
        struct zl_dns_source resolv; /* inotify */
        char *resolv_path;           /* NULL: none is followed */
        int64_t armed;               /* when the timer fires; 0: never */
        struct zl_dns_link sockets, conns, pending;
        struct zl_dns_link
                dead; /* freed at the end of the round: memory with a link at its begin */
        size_t n_conns, n_pending, n_upstream_tcp;
        int64_t accept_at; /* no descriptors were left: when connections are accepted again; 0: now */
        struct zl_resolv_conf conf; /* `search` is not kept */
        int64_t shun_until[ZL_RESOLVERS_MAX];
        uint8_t *in, *out; /* one message each */
        struct zl_dns_stats stats;
};

/* ---- dns_server.c */
int zl_dns_source_set(struct zl_dns_server *s, struct zl_dns_source *source, uint32_t events);
void zl_dns_source_close(struct zl_dns_source *source);
/* Sees to it that the timer fires at `when` at the latest. */
void zl_dns_server_wake_at(struct zl_dns_server *s, int64_t when);
/* Whether somebody asking there would ask ourselves. */
bool zl_dns_server_is_own(const struct zl_dns_server *s, const struct zl_resolver *resolver);
/* One message of a client: answers it, now or later. false: it was no query at all. */
bool zl_dns_server_take(struct zl_dns_server *s, const struct zl_dns_client *client,
                        const void *data, size_t len);
/* To the client, whichever way it came. */
void zl_dns_server_reply(struct zl_dns_server *s, const struct zl_dns_client *client,
                         const void *data, size_t len);
/* An answer without records. Uses s->out. */
void zl_dns_server_reply_rcode(struct zl_dns_server *s, const struct zl_dns_client *client,
                               const void *data, const struct zl_dns_query *query, unsigned rcode);
/* How long an answer to this client may be. */
size_t zl_dns_client_max(const struct zl_dns_client *client, const struct zl_dns_query *query);

/* ---- dns_conn.c */
void zl_dns_conn_accept(struct zl_dns_server *s, const struct zl_dns_socket *socket, int listen_fd);
void zl_dns_conn_send(struct zl_dns_server *s, struct zl_dns_conn *conn, const void *data,
                      size_t len);
void zl_dns_conn_close(struct zl_dns_server *s, struct zl_dns_conn *conn);
/* A query of this connection has its answer. */
void zl_dns_conn_answered(struct zl_dns_server *s, struct zl_dns_conn *conn);
/* Closes those whose time is up. The next deadline, or 0. */
int64_t zl_dns_conn_timers(struct zl_dns_server *s, int64_t now);

/* ---- dns_forward.c */
void zl_dns_forward(struct zl_dns_server *s, const struct zl_dns_client *client, const void *data,
                    size_t len, const struct zl_dns_query *query);
/* Forgets the queries of a listener or, if that is NULL, of a connection. */
void zl_dns_forward_drop(struct zl_dns_server *s, const struct zl_dns_socket *socket,
                         const struct zl_dns_conn *conn);
int64_t zl_dns_forward_timers(struct zl_dns_server *s, int64_t now);

/* ---- dns_resolv.c */
void zl_dns_server_unfollow(struct zl_dns_server *s);
