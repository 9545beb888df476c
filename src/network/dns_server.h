/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name server: answers the names of a table to the containers of each network, and passes all other names on to the
 * host's resolvers. UDP and TCP, one thread, no blocking call.
 *
 * It is embedded: the server keeps an epoll descriptor of its own for everything it waits for, timers included. Whoever has the
 * loop watches zl_dns_server_fd() for reading and then calls zl_dns_server_dispatch().
 *
 * What it holds is bounded (ZL_DNS_…_MAX below): queries beyond that are answered SERVFAIL, connections beyond that are closed. Each
 * of them is a descriptor, so the process should raise RLIMIT_NOFILE above their sum; without descriptors less is possible.
 * Not thread-safe: one thread, which is also the one that changes the table.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/ip.h"
#include "network/names.h"
#include "network/resolv_conf.h"

enum {
        ZL_DNS_PORT = 53,
        ZL_DNS_QUERIES_MAX = 1024,    /* forwarded and not answered yet; half of them per client */
        ZL_DNS_UPSTREAM_TCP_MAX = 64, /* of those, over TCP */
        ZL_DNS_CONNS_MAX = 128,       /* connections of clients; a quarter of them per client */
};

#define ZL_DNS_IDLE_NSEC (10 * ZL_NSEC_PER_SEC) /* a connection without a query */

struct zl_dns_server;

/* Where the containers of one network ask. */
struct zl_dns_listener {
        const char *network; /* id; a network may have several listeners (IPv4 and IPv6) */
        struct zl_ip
                address; /* one address, no wildcard: answers come from where the question went */
        uint16_t port;   /* host order; 0: 53 */
        /* Reverse names of addresses within this prefix of `address` are ours: never forwarded. 0: only those known. */
        unsigned prefix_bits;
        /* Sockets that are bound (TCP: and listening) already, or -EBADF: the server makes them, in the network namespace of
         * the caller. They belong to the server from the call on, also if it fails. */
        int udp_fd, tcp_fd;
};

#define ZL_DNS_LISTENER_INIT                                                                       \
        {                                                                                          \
                .udp_fd = -EBADF, .tcp_fd = -EBADF                                                 \
        }

/* Counted since the start. */
struct zl_dns_stats {
        uint64_t queries;   /* well-formed ones */
        uint64_t malformed; /* dropped, or answered FORMERR */
        uint64_t own;       /* answered from the table */
        uint64_t forwarded;
        uint64_t failed;             /* no resolver answered */
        uint64_t refused;            /* beyond the bounds */
        size_t pending, connections; /* now */
};

/* The table stays the caller's and must outlive the server. */
int zl_dns_server_new(struct zl_names *names, struct zl_dns_server **ret, struct zl_error *err);
/* How sockets towards resolvers are made (close-on-exec, not blocking; a negative errno). Without this call, by socket(2). */
typedef int zl_dns_make_socket(void *data, int family, int type);
void zl_dns_server_set_sockets(struct zl_dns_server *server, zl_dns_make_socket *make, void *data);
void zl_dns_server_free(struct zl_dns_server *server);
ZL_DEFINE_CLEANUP(struct zl_dns_server *, zl_dns_server_freep, zl_dns_server_free)
#define _cleanup_dns_server_ _cleanup_(zl_dns_server_freep)

/* Readable when there is something to do. Stays the server's. */
int zl_dns_server_fd(const struct zl_dns_server *server);
/* Does what is due and returns; a bounded amount of work per call. Never fails: what goes wrong concerns one client. */
void zl_dns_server_dispatch(struct zl_dns_server *server);

/* Begins to answer there. ZL_E_BUSY if the port is taken, ZL_E_INVALID for a wildcard or a second listener at the
 * same address and port. */
int zl_dns_server_listen(struct zl_dns_server *server, const struct zl_dns_listener *listener,
                         struct zl_error *err);
/* Ends all listeners of a network with the queries and connections that came through them; the number of listeners. */
size_t zl_dns_server_unlisten(struct zl_dns_server *server, const char *network);

/* Where to forward to from now on; copied. A resolver that is a listener of this server is skipped whenever it would be asked.
 * None: names that are not ours are answered SERVFAIL. */
void zl_dns_server_set_resolvers(struct zl_dns_server *server, const struct zl_resolv_conf *conf);

/* The same with those that the resolv.conf at an absolute path names, now and after each change of it; it may be replaced, be a link, be
 * missing for a while (no resolvers then). Reads the file when it changes. ZL_E_IO and its like if its directory cannot be watched. */
int zl_dns_server_follow(struct zl_dns_server *server, const char *path, struct zl_error *err);

void zl_dns_server_get_stats(const struct zl_dns_server *server, struct zl_dns_stats *ret);
