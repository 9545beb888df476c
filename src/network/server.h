/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlayer-net inside: the process of one runtime directory that owns its bridges, addresses and the table of rules.
 *
 * Everything it must not forget is on disk before it is done, so that whatever instant it dies at, its next life finds what there
 * is (server_recover.c): a network's record stands before its bridge, a container's before its link, and each goes after it.
 *
 *   <runtime_dir>/net/lock                   held by the process that lives
 *   <runtime_dir>/net/net.sock               requests (network/client.h speaks)
 *   <runtime_dir>/net/networks/NAME.json     slot of the pool, while the network is there
 *   <runtime_dir>/net/containers/NAME.json   what was asked for and what was given; an address is taken if it stands there
 *
 *   <root_dir>/networks/NAME.json            the same, and stays: a network that comes back gets the subnet and the balanced addresses it
 *                                            had; "kept" if somebody made it by hand
 *
 * One thread. Requests take as long as the kernel does, about a millisecond.
 */
#pragma once

#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "network/dns_server.h"
#include "network/firewall.h"
#include "network/ip.h"
#include "network/outside.h"
#include "network/records.h"

enum {
        ZL_NET_SUBNET_BITS = 20,
        ZL_NET_HOSTS = 1 << (32 - ZL_NET_SUBNET_BITS),
        /* The last quarter of a subnet is for the balanced addresses of services. */
        ZL_NET_SERVICE_BITS = ZL_NET_SUBNET_BITS + 2,
        ZL_NET_FIRST_SERVICE = ZL_NET_HOSTS / 4 * 3,
        ZL_NET_REQUEST_MAX = 64 * 1024,
};

struct zl_net_server;
struct zl_net_front;

struct zl_net_source {
        int fd;
        void (*ready)(struct zl_net_server *s, struct zl_net_source *source, uint32_t events);
};

/* The socket of a published port, and what was carried by hand that came in by it: the kernel counts the rest. */
struct zl_net_gate {
        struct zl_net_source socket; /* first */
        uint64_t connections;
        struct zl_nft_count in, out; /* to the targets, and back */
};

struct zl_net_network {
        char *name;
        unsigned slot; /* of the pool */
        char bridge[IF_NAMESIZE];
        unsigned link;                 /* index of the bridge; 0: not there */
        struct zl_net_addr gateway[2]; /* ours: IPv4, IPv6, with the subnet's prefix */
        uint64_t used[ZL_NET_HOSTS / 64];
        unsigned next; /* where to look for a free address first: one just released is taken last */
        size_t users;
        struct zl_map *services; /* by "DEPLOYMENT.SERVICE" */
        bool kept;               /* made by hand */
        bool has_names;          /* the name service listens at its gateways */
};

/* The balanced address of a service: the same for as long as there is the network, also while nobody is behind it. */
struct zl_net_service {
        char *name;
        unsigned host;
        size_t users;
};

/* One port of one container. */
struct zl_net_port {
        struct zl_net_front *front;
        uint16_t container;
};

/* A container in a network. */
struct zl_net_attachment {
        struct zl_net_source pid; /* first */
        const char *name;         /* in the document */
        json_t *document;
        struct zl_net_network *network;
        unsigned host;                  /* number of its address in the subnet */
        struct zl_net_service *service; /* NULL: it has no endpoints */
        char link[IF_NAMESIZE];
        bool ready;
        struct zl_net_port *ports;
        size_t n_ports;
};

struct zl_net_server {
        const char *dir, *memory_dir; /* for messages */
        int memory_fd;                /* of <root_dir>/networks */
        int dir_fd, lock_fd, epoll_fd, netns_fd, log_fd;
        int outside_fd; /* where the host is, if we are not there (network/outside.h); else -EBADF */
        struct zl_net_source listener;
        struct zl_nl route;
        struct zl_firewall firewall;
        struct zl_map *networks, *attachments, *fronts;
        struct zl_names *names;
        struct zl_dns_server *dns;
        struct zl_net_source dns_source, rules_source;
        uint32_t pool; /* first address */
        unsigned pool_bits;
        uint8_t ula[6];    /* prefix of our IPv6 subnets */
        char tag[5];       /* by which links are known to be ours */
        int64_t idle_at;   /* when something became unused; 0: nothing is */
        int64_t accept_at; /* when the listeners that were put aside listen again; 0: none was */
        uint32_t mtu;      /* of the uplink; 0: the kernel's own choice */
        int64_t mtu_at;
        struct relay *relays; /* of relay.c */
        size_t n_relays;
        char *buffer;                   /* zl_net_buffer() */
        struct zl_net_pipe *spare_pipe; /* of relay.c: empty; NULL: there is none */
        size_t n_pipes;                 /* with those in use */
        struct session *sessions;       /* of datagrams.c */
        size_t n_sessions;
        int64_t datagrams_at; /* when they are looked at; 0: there are none */
        struct zl_net_drain *drains;
        int64_t passage_at; /* when the chains of others are looked at again; 0: nothing changed there */
        int64_t drain_at; /* when they are looked at; 0: there are none */
};

static inline struct zl_ip zl_net_ip(const struct zl_net_addr *a)
{
        struct zl_ip ip = { .family = a->family };

        memcpy(ip.bytes, a->bytes, zl_ip_size(&ip));
        return ip;
}

int zl_net_source_add(struct zl_net_server *s, struct zl_net_source *source);
/* For what is carried from one descriptor to another at once: everybody's, until he returns to the loop. NULL: no memory. */
enum { ZL_NET_BUFFER = 256 * 1024 };
char *zl_net_buffer(struct zl_net_server *s);
/* Answers a request with what is in `document`, which is taken over; NULL is no memory. */
void zl_net_answer(int fd, json_t *document);
/* A new connection (non-blocking), or -1. A listener that cannot have one now, because there are no descriptors, would be ready
 * again at once, for ever: it is put aside for a moment. */
int zl_net_accept(struct zl_net_server *s, struct zl_net_source *listener,
                  union zl_sockaddr *ret_peer);
void zl_net_put_aside(struct zl_net_server *s, struct zl_net_source *listener);
int zl_net_source_watch(struct zl_net_server *s, struct zl_net_source *source, bool on);

/* ---- server_network.c ------------------------------------------------------------------------------- */

/* How the names of all bridges begin. */
const char *zl_net_bridge_prefix(const struct zl_net_server *s, char ret[IF_NAMESIZE]);
/* The network of a name, made if it is not there. */
int zl_net_network_get(struct zl_net_server *s, const char *name, struct zl_net_network **ret,
                       struct zl_error *err);
/* Takes in a network of which a record was found; its bridge is made if it is not there. */
int zl_net_network_load(struct zl_net_server *s, const char *name, unsigned slot,
                        struct zl_net_network **ret, struct zl_error *err);
/* Requests of people: a network that stays, and its end. ZL_E_EXISTS, ZL_E_NOT_FOUND, ZL_E_BUSY with who uses it. */
int zl_net_network_keep(struct zl_net_server *s, const char *name, struct zl_error *err);
int zl_net_network_remove(struct zl_net_server *s, const char *name, struct zl_error *err);
int zl_net_network_raise(struct zl_net_server *s, struct zl_net_network *n, struct zl_error *err);
/* Writes a setting of the kernel if it is another; one that is not there is left, one that cannot be written is a warning. */
#define ZL_NET_IPV6_CONF "/proc/sys/net/ipv6/conf"
void zl_net_set_sysctl(const char *path, const char *value);
/* Removes the networks that nobody uses. */
void zl_net_network_sweep(struct zl_net_server *s);
void zl_net_network_free(struct zl_net_network *n);
int zl_net_network_save(struct zl_net_server *s, const struct zl_net_network *n,
                        struct zl_error *err);
int zl_net_take_host(struct zl_net_network *n, unsigned *ret, struct zl_error *err);
struct zl_net_addr zl_net_address(const struct zl_net_network *n, int family, unsigned host);
/* Tells the firewall which networks there are. */
int zl_net_firewall_networks(struct zl_net_server *s, struct zl_firewall_network **ret,
                             size_t *ret_n);

/* ---- server_memory.c -------------------------------------------------------------------------------- */

/* It becomes the name of a file. */
bool zl_net_is_network_name(const char *name);
/* What is known of a network from earlier: 0, -ENOENT, or a negative errno. */
int zl_net_recall(struct zl_net_server *s, const char *name, json_t **ret);
int zl_net_remember(struct zl_net_server *s, const struct zl_net_network *n, const json_t *document,
                    struct zl_error *err);
/* Negative errno; -ENOENT if nothing was known. */
int zl_net_unremember(struct zl_net_server *s, const char *name);
/* Marks the slots of networks that were made by hand in `kept` and those of all the others in `known`. */
void zl_net_mark_remembered(struct zl_net_server *s, uint8_t *kept, uint8_t *known, unsigned n);
/* Forgets who had that slot. */
void zl_net_unremember_slot(struct zl_net_server *s, unsigned slot);

/* ---- server_service.c ------------------------------------------------------------------------------- */

struct zl_map *zl_net_services_new(void); /* NULL without memory */
/* A service out of a record. -EINVAL: its address is none for services, or is taken. */
int zl_net_service_load(struct zl_net_network *n, const char *name, unsigned host,
                        struct zl_net_service **ret);
/* Gives an attachment with endpoints the service it belongs to, with its address, and takes it away. */
int zl_net_service_enter(struct zl_net_server *s, struct zl_net_attachment *a,
                         struct zl_error *err);
void zl_net_service_leave(struct zl_net_server *s, struct zl_net_attachment *a);
/* All services of a record of a network. */
void zl_net_services_load(struct zl_net_network *n, const json_t *document);
/* Their addresses, on a bridge that was just made or found. */
void zl_net_services_raise(struct zl_net_server *s, struct zl_net_network *n);

/* ---- server_attach.c -------------------------------------------------------------------------------- */

/* `document` is the request; `pidfd` and `netns` are of the container, the first becomes the attachment's. `*ret` is what
 * stands on record then, borrowed. */
int zl_net_attach(struct zl_net_server *s, json_t *document, int pidfd, int netns, json_t **ret,
                  struct zl_error *err);
/* An attachment out of a record. */
int zl_net_attachment_load(struct zl_net_server *s, json_t *document, int pidfd,
                           struct zl_net_attachment **ret, struct zl_error *err);
/* The link, addresses and routes. */
int zl_net_plug(struct zl_net_server *s, struct zl_net_attachment *a, int netns,
                struct zl_error *err);
/* Removes what a container may still have of an earlier link. */
void zl_net_pull(int netns);
void zl_net_detach(struct zl_net_server *s, struct zl_net_attachment *a);
void zl_net_attachment_free(struct zl_net_attachment *a);
int zl_net_save(struct zl_net_server *s, const char *room, const char *name, const json_t *document,
                struct zl_error *err);
void zl_net_forget(struct zl_net_server *s, const char *room, const char *name);

/* ---- server_names.c --------------------------------------------------------------------------------- */

int zl_net_names_open(struct zl_net_server *s, struct zl_error *err);
/* What fails is in the log: a network without names is one, too. */
void zl_net_names_listen(struct zl_net_server *s, struct zl_net_network *n);
void zl_net_names_unlisten(struct zl_net_server *s, const struct zl_net_network *n);
/* Whether the container of a request may have the names that it wants besides that of its service: no other service of the network
 * has them. */
int zl_net_names_check(struct zl_net_server *s, const struct zl_net_network *n,
                       const json_t *document, struct zl_error *err);
void zl_net_names_add(struct zl_net_server *s, const struct zl_net_attachment *a);
void zl_net_names_remove(struct zl_net_server *s, const struct zl_net_attachment *a);
/* Whether its names lead to it. Goes on record. */
int zl_net_set_ready(struct zl_net_server *s, struct zl_net_attachment *a, bool ready,
                     struct zl_error *err);

/* ---- server_ports.c --------------------------------------------------------------------------------- */

/* Takes the ports that the document asks for, and writes those that were chosen into it: all of them, or else (somebody took one while
 * nobody held them for a container that lives) those that can be had, and tells of the others in the log. What was taken before a failure
 * is given back by zl_net_ports_close(). */
int zl_net_ports_open(struct zl_net_server *s, struct zl_net_attachment *a, bool all,
                      struct zl_error *err);
void zl_net_ports_close(struct zl_net_server *s, struct zl_net_attachment *a);
/* Tells the firewall anew who is behind the ports of a container. */
void zl_net_ports_update(struct zl_net_server *s, const struct zl_net_attachment *a);
/* All fronts, for a table that is made anew. */
int zl_net_ports_list(struct zl_net_server *s, struct zl_firewall_front **ret, size_t *ret_n);
void zl_net_ports_forget(struct zl_firewall_front *list, size_t n);
void zl_net_front_free(struct zl_net_front *f);
/* The listeners that were put aside listen again. */
void zl_net_ports_resume(struct zl_net_server *s);

/* What each front has led on: an array for the protocol. */
int zl_net_ports_count(struct zl_net_server *s, json_t **ret, struct zl_error *err);
/* Whether anybody who is ready is behind a port of it. */
bool zl_net_ports_has_ready(struct zl_net_server *s, const struct zl_net_attachment *a);

/* ---- server_drain.c --------------------------------------------------------------------------------- */

/* The connections of a container that is no longer ready are waited for; then the request is answered with "ok". */
int zl_net_drain_begin(struct zl_net_server *s, struct zl_net_source *request,
                       const struct zl_net_attachment *a, int64_t timeout_nsec,
                       struct zl_error *err);
/* Looks at all of them. Due at drain_at. */
void zl_net_drain_look(struct zl_net_server *s);
/* Whoever asked has gone. */
void zl_net_drain_forget(struct zl_net_server *s, const struct zl_net_source *request);

/* ---- server_recover.c ------------------------------------------------------------------------------- */

int zl_net_recover(struct zl_net_server *s, struct zl_error *err);
