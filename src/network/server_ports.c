/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published ports. A front is one address, protocol and port of the host; replicas of one service that publish the same port share
 * it. Three things belong to it: a socket that is bound there, so that nobody else can be and a taken port is noticed before anything
 * starts; a chain of the firewall that spreads connections over those who are ready (over all, while nobody is); and a
 * relay, because what comes in by the host's loopback cannot be led by the kernel (network/firewall.c).
 *
 * A front at the balanced address of a service needs neither socket nor relay: nobody but the host has that address.
 *
 * The socket listens, so connections that the firewall does not lead (its table was destroyed) still arrive, by way of the relay.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/ident.h"
#include "base/log.h"
#include "base/random.h"
#include "network/datagrams.h"
#include "network/port_owner.h"
#include "network/relay.h"
#include "network/server.h"

enum { BACKLOG = 512, PORTS_MAX = 1024 };

struct zl_net_front {
        struct zl_net_gate gate; /* first */
        struct zl_ip address;    /* AF_UNSPEC: all */
        uint16_t port;
        bool udp;
        bool balanced;     /* at the address of a service: no socket */
        const char *field; /* for messages: who wished it */
        char service[130]; /* "DEPLOYMENT.SERVICE" that it belongs to */
        size_t users;
        bool in_kernel;
        char key[96];
};

void zl_net_front_free(struct zl_net_front *f)
{
        if (!f)
                return;
        zl_close(f->gate.socket.fd);
        free(f);
}

/* ---- targets -------------------------------------------------------------------------------------- */

/* Those behind a front: the ready ones, or all. `targets` has room for ZL_FIREWALL_TARGETS_MAX. */
static size_t find_targets(struct zl_net_server *s, const struct zl_net_front *f, bool only_ready,
                           struct zl_firewall_target *targets)
{
        const char *name;
        size_t pos = 0, n = 0;
        void *value;

        while (zl_map_next(s->attachments, &pos, &name, &value)) {
                const struct zl_net_attachment *a = value;
                const struct zl_net_addr four = zl_net_address(a->network, AF_INET, a->host),
                                         six = zl_net_address(a->network, AF_INET6, a->host);

                for (size_t i = 0; i < a->n_ports && n < ZL_FIREWALL_TARGETS_MAX; i++) {
                        if (a->ports[i].front != f || (only_ready && !a->ready))
                                continue;
                        targets[n++] = (struct zl_firewall_target){
                                .four = zl_net_ip(&four),
                                .six = zl_net_ip(&six),
                                .port = a->ports[i].container,
                        };
                }
        }
        return n;
}

static size_t targets_of(struct zl_net_server *s, const struct zl_net_front *f,
                         struct zl_firewall_target *targets)
{
        size_t n = find_targets(s, f, true, targets);

        return n > 0 ? n : find_targets(s, f, false, targets);
}

bool zl_net_ports_has_ready(struct zl_net_server *s, const struct zl_net_attachment *a)
{
        _cleanup_free_ struct zl_firewall_target *targets = calloc(ZL_FIREWALL_TARGETS_MAX,
                                                                   sizeof(*targets));

        for (size_t i = 0; targets && i < a->n_ports; i++)
                if (find_targets(s, a->ports[i].front, true, targets) > 0)
                        return true;
        return false;
}

void zl_net_ports_forget(struct zl_firewall_front *list, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free((struct zl_firewall_target *)(uintptr_t)list[i].targets);
        free(list);
}

/* What the firewall is told of a front. Its targets are the caller's, for zl_net_ports_forget(). */
static int describe(struct zl_net_server *s, const struct zl_net_front *f,
                    struct zl_firewall_front *ret)
{
        struct zl_firewall_target *targets = calloc(ZL_FIREWALL_TARGETS_MAX, sizeof(*targets)),
                                  *few;

        if (!targets)
                return -ENOMEM;
        *ret = (struct zl_firewall_front){ .address = f->address,
                                           .port = f->port,
                                           .udp = f->udp,
                                           .is_known = f->in_kernel,
                                           .n_targets = targets_of(s, f, targets) };
        few = realloc(targets, (ret->n_targets + 1) * sizeof(*targets));
        ret->targets = few ? few : targets;
        return 0;
}

static bool is_among(const struct zl_net_port *ports, size_t n, const struct zl_net_front *f)
{
        for (size_t i = 0; i < n; i++)
                if (ports[i].front == f)
                        return true;
        return false;
}

/* One batch for all: the kernel looks through the whole table at each. */
void zl_net_ports_update(struct zl_net_server *s, const struct zl_net_attachment *a)
{
        struct zl_firewall_front *list = calloc(a->n_ports + 1, sizeof(*list));
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        size_t n = 0;
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < a->n_ports; i++)
                if (!is_among(a->ports, i, a->ports[i].front)) {
                        r = describe(s, a->ports[i].front, &list[n]);
                        n += r == 0;
                }
        if (r < 0)
                zl_fail_oom(&why);
        else if (n > 0)
                r = zl_firewall_set_fronts(&s->firewall, list, n, &why);
        if (r < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "ports of %s", a->name);
        for (size_t i = 0; r == 0 && i < a->n_ports; i++)
                a->ports[i].front->in_kernel = true;
        zl_net_ports_forget(list, n);
}

int zl_net_ports_list(struct zl_net_server *s, struct zl_firewall_front **ret, size_t *ret_n)
{
        struct zl_firewall_front *list = calloc(zl_map_size(s->fronts) + 1, sizeof(*list));
        const char *name;
        size_t pos = 0, n = 0;
        void *value;

        if (!list)
                return -ENOMEM;
        while (zl_map_next(s->fronts, &pos, &name, &value)) {
                struct zl_net_front *f = value;

                f->in_kernel = false;
                if (describe(s, f, &list[n]) < 0) {
                        zl_net_ports_forget(list, n);
                        return -ENOMEM;
                }
                f->in_kernel = true;
                n++;
        }
        *ret = list;
        *ret_n = n;
        return 0;
}

/* ---- counts --------------------------------------------------------------------------------------- */

static int add_count(const char *name, const struct zl_nft_count *count, void *data)
{
        return zl_json_set(
                data, name,
                json_pack("[I,I]", (json_int_t)count->packets, (json_int_t)count->bytes));
}

static struct zl_nft_count find_count(const json_t *counts, const struct zl_firewall_front *f,
                                      const char *what)
{
        char name[ZL_FIREWALL_NAME_MAX];
        const json_t *pair;

        zl_firewall_front_name(f, what, name);
        pair = json_object_get(counts, name);
        return (struct zl_nft_count){
                (uint64_t)json_integer_value(json_array_get(pair, 0)),
                (uint64_t)json_integer_value(json_array_get(pair, 1)),
        };
}

static int put_sum(json_t *object, const char *bytes, const char *packets,
                   const struct zl_nft_count *a, const struct zl_nft_count *b)
{
        int r = zl_json_set(object, bytes, json_integer((json_int_t)(a->bytes + b->bytes)));

        return r < 0 ? r
                     : zl_json_set(object, packets,
                                   json_integer((json_int_t)(a->packets + b->packets)));
}

static int describe_front(const struct zl_net_server *s, const struct zl_net_front *f,
                          const json_t *counts, json_t *list)
{
        const struct zl_firewall_front front = { .address = f->address,
                                                 .port = f->port,
                                                 .udp = f->udp };
        const struct zl_net_gate *g = &f->gate;
        struct zl_nft_count to = find_count(counts, &front, "to"),
                            in = find_count(counts, &front, "in"),
                            out = find_count(counts, &front, "out");
        char address[ZL_IP_TEXT_MAX];
        json_t *object = json_pack("{s:s,s:s,s:i,s:b,s:I}", "service", f->service, "address",
                                   zl_ip_format(&f->address, address), "port", (int)f->port, "udp",
                                   (int)f->udp, "connections",
                                   (json_int_t)(to.packets + g->connections));

        if (json_array_append_new(list, object) < 0)
                return -ENOMEM;
        /* Half of it would be a wrong figure. */
        if (s->firewall.lacks_labels)
                return 0;
        return put_sum(object, "in_bytes", "in_packets", &in, &g->in) < 0 ||
                               put_sum(object, "out_bytes", "out_packets", &out, &g->out) < 0
                       ? -ENOMEM
                       : 0;
}

int zl_net_ports_count(struct zl_net_server *s, json_t **ret, struct zl_error *err)
{
        _cleanup_json_ json_t *counts = json_object();
        json_t *list = json_array();
        const char *name;
        size_t pos = 0;
        void *value;
        int r;

        do
                r = counts && list ? zl_firewall_counts(&s->firewall, add_count, counts) : -ENOMEM;
        while (r == -EINTR);
        zl_net_relays_count(s);
        while (r == 0 && zl_map_next(s->fronts, &pos, &name, &value))
                r = describe_front(s, value, counts, list);
        if (r < 0) {
                json_decref(list);
                return zl_fail_errno(err, -r, "cannot read the counters of ports");
        }
        *ret = list;
        return 0;
}

/* ---- the relay ------------------------------------------------------------------------------------ */

/* A client of a socket for both families has an IPv4 address in the form of an IPv6 one. */
static bool by_six(const union zl_sockaddr *peer)
{
        return peer->any.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&peer->in6.sin6_addr);
}

/* One of the targets at random: false if there is none. */
static bool choose_target(struct zl_net_server *s, const struct zl_net_front *f,
                          struct zl_firewall_target *ret)
{
        /* For each connection: what is not filled is not touched. */
        struct zl_firewall_target targets[ZL_FIREWALL_TARGETS_MAX];
        size_t n = targets_of(s, f, targets);

        if (n > 0)
                *ret = targets[zl_random_u64() % n];
        return n > 0;
}

static void front_ready(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        struct zl_net_front *f = (struct zl_net_front *)source;
        struct zl_firewall_target t;
        union zl_sockaddr peer;
        struct zl_ip both[2];
        int fd;

        if (!zl_net_relay_has_room(s)) {
                zl_net_put_aside(s, source);
                return;
        }
        fd = zl_net_accept(s, source, &peer);
        if (fd < 0 || !choose_target(s, f, &t)) {
                zl_close(fd);
                return;
        }
        both[0] = by_six(&peer) ? t.six : t.four;
        both[1] = by_six(&peer) ? t.four : t.six;
        f->gate.connections++;
        if (zl_net_relay_start(s, &f->gate, fd, both, t.port) < 0)
                zl_close(fd);
}

static bool choose_for_datagram(struct zl_net_server *s, struct zl_net_gate *gate, bool six,
                                union zl_sockaddr *ret, socklen_t *ret_len)
{
        const struct zl_net_front *f = (struct zl_net_front *)gate;
        struct zl_firewall_target t;

        if (!choose_target(s, f, &t))
                return false;
        gate->connections++;
        *ret_len = zl_ip_to_sockaddr(six ? &t.six : &t.four, t.port, ret);
        return true;
}

static void datagram_ready(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        zl_net_datagrams_take(s, (struct zl_net_gate *)source, choose_for_datagram);
}

void zl_net_ports_resume(struct zl_net_server *s)
{
        const char *name;
        size_t pos = 0;
        void *value;

        while (zl_map_next(s->fronts, &pos, &name, &value)) {
                struct zl_net_front *f = value;

                if (!f->balanced)
                        zl_net_source_watch(s, &f->gate.socket, true);
        }
}

/* ---- sockets -------------------------------------------------------------------------------------- */

/* Bound to all addresses of both families where there are both. */
static int bind_front(const struct zl_net_server *s, struct zl_net_front *f)
{
        const int one = 1, zero = 0;
        bool any = f->address.family == AF_UNSPEC;
        struct zl_ip address = any ? (struct zl_ip){ .family = AF_INET6 } : f->address;
        union zl_sockaddr sa;
        socklen_t len = sizeof(sa);
        int type = f->udp ? SOCK_DGRAM : SOCK_STREAM;
        int fd = zl_outside_socket(s->outside_fd, address.family, type);

        if (fd == -EAFNOSUPPORT && any) {
                address.family = AF_INET;
                fd = zl_outside_socket(s->outside_fd, AF_INET, type);
        }
        if (fd < 0)
                return fd;
        f->gate.socket.fd = fd;
        if (address.family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &zero : &one, sizeof(one));
        if (!f->udp)
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        else if (address.family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
        else
                setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
        len = zl_ip_to_sockaddr(&address, f->port, &sa);
        if (bind(fd, &sa.any, len) < 0 || (!f->udp && listen(fd, BACKLOG) < 0))
                return -errno;
        len = sizeof(sa);
        if (getsockname(fd, &sa.any, &len) < 0)
                return -errno;
        zl_ip_from_sockaddr(&sa, &address, &f->port);
        return 0;
}

static void make_key(struct zl_net_front *f)
{
        char address[ZL_IP_TEXT_MAX];

        snprintf(f->key, sizeof(f->key), "%s/%u/%s", f->udp ? "udp" : "tcp", f->port,
                 zl_ip_format(&f->address, address));
}

static int refuse(const struct zl_net_server *s, const struct zl_net_front *wish, int why,
                  struct zl_error *err)
{
        const char *proto = wish->udp ? "udp" : "tcp";
        char owner[64];
        int r;

        /* Who has it is looked up where we are. */
        if (why == -EADDRINUSE && s->outside_fd < 0 &&
            zl_port_owner(wish->port, wish->udp, owner, sizeof(owner)))
                r = zl_fail(err, ZL_E_BUSY, -why,
                            "%s: cannot have %s port %u of the host, %s has it", wish->field, proto,
                            wish->port, owner);
        else
                r = zl_fail(err, ZL_E_BUSY, -why, "%s: cannot have %s port %u of the host",
                            wish->field, proto, wish->port);
        zl_error_hint(err, "%s",
                      why == -EACCES ? "ports below 1024 (net.ipv4.ip_unprivileged_port_start) are "
                                       "root's alone"
                                     : "choose another host_port, or 0 for any free one; `ss -lnp` "
                                       "tells who has which");
        return r;
}

static int front_get(struct zl_net_server *s, const struct zl_net_front *wish,
                     struct zl_net_front **ret, struct zl_error *err)
{
        struct zl_net_front *f = wish->port ? zl_map_get(s->fronts, wish->key) : NULL;
        const char *proto = wish->udp ? "udp" : "tcp";
        int r;

        if (f) {
                if (!zl_streq(f->service, wish->service))
                        return zl_fail(err, ZL_E_BUSY, EADDRINUSE,
                                       "%s: %s port %u of the host is published by %s", wish->field,
                                       proto, wish->port, f->service);
                *ret = f;
                return 0;
        }
        f = malloc(sizeof(*f));
        if (!f)
                return zl_fail_oom(err);
        *f = *wish;
        r = f->balanced ? 0 : bind_front(s, f);
        if (r == 0) {
                make_key(f);
                r = f->balanced ? 0 : zl_net_source_add(s, &f->gate.socket);
        }
        if (r == 0)
                r = zl_map_put(s->fronts, f->key, f);
        if (r < 0) {
                zl_net_front_free(f);
                return refuse(s, wish, r, err);
        }
        *ret = f;
        return 0;
}

/* ---- containers ----------------------------------------------------------------------------------- */

static int read_wish(const struct zl_net_attachment *a, const json_t *p, struct zl_net_front *ret,
                     struct zl_error *err)
{
        const char *ip = zl_json_str(p, "ip", "");
        struct zl_ident ident = { 0 };

        *ret = (struct zl_net_front){ .gate.socket = { .fd = -EBADF, .ready = front_ready },
                                      .port = (uint16_t)zl_json_int(p, "host", 0),
                                      .udp = zl_json_bool(p, "udp", false),
                                      .field = zl_json_bool(p, "endpoint", false)
                                                       ? "endpoints"
                                                       : "port_mappings" };
        if (ret->udp)
                ret->gate.socket.ready = datagram_ready;
        zl_ident_parse(a->name, &ident);
        snprintf(ret->service, sizeof(ret->service), "%s.%s", ident.deployment, ident.service);
        if (*ip && !zl_streq(ip, "0.0.0.0") && !zl_streq(ip, "::") &&
            zl_ip_parse(ip, &ret->address) < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "%s: host_ip \"%s\" is no address", ret->field,
                               ip);
        if (zl_json_int(p, "container", 0) == 0)
                return zl_fail(err, ZL_E_INVALID, 0, "%s: the port of the container must not be 0",
                               ret->field);
        make_key(ret);
        return 0;
}

static int open_port(struct zl_net_server *s, struct zl_net_attachment *a,
                     const struct zl_net_front *wish, json_t *p, struct zl_error *err)
{
        struct zl_net_front *front = NULL;
        int r = front_get(s, wish, &front, err);

        if (r < 0)
                return r;
        front->users++;
        a->ports[a->n_ports++] = (struct zl_net_port){
                .front = front, .container = (uint16_t)zl_json_int(p, "container", 0)
        };
        return zl_json_set(p, "host", json_integer(front->port)) < 0 ? zl_fail_oom(err) : 0;
}

/* An endpoint is a front at each of the two addresses of the service. */
static int open_endpoint(struct zl_net_server *s, struct zl_net_attachment *a, json_t *p,
                         struct zl_error *err)
{
        static const int families[] = { AF_INET, AF_INET6 };
        struct zl_net_front wish;
        int r = read_wish(a, p, &wish, err);

        wish.balanced = true;
        for (int i = 0; r == 0 && i < 2; i++) {
                const struct zl_net_addr address = zl_net_address(a->network, families[i],
                                                                  a->service->host);

                wish.address = zl_net_ip(&address);
                make_key(&wish);
                r = open_port(s, a, &wish, p, err);
        }
        return r;
}

static int open_mapping(struct zl_net_server *s, struct zl_net_attachment *a, json_t *p,
                        struct zl_error *err)
{
        struct zl_net_front wish;
        int r = read_wish(a, p, &wish, err);

        return r < 0 ? r : open_port(s, a, &wish, p, err);
}

static int open_each(struct zl_net_server *s, struct zl_net_attachment *a, json_t *list,
                     int (*open)(struct zl_net_server *s, struct zl_net_attachment *a, json_t *p,
                                 struct zl_error *err),
                     bool all, struct zl_error *err)
{
        json_t *p;
        size_t i;

        json_array_foreach(list, i, p)
        {
                _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
                int r = open(s, a, p, &why);

                if (r < 0 && all) {
                        zl_error_move(err, &why);
                        return r;
                }
                if (r < 0)
                        zl_log_error(ZL_LOG_WARNING, &why, "%s", a->name);
        }
        return 0;
}

int zl_net_ports_open(struct zl_net_server *s, struct zl_net_attachment *a, bool all,
                      struct zl_error *err)
{
        json_t *list = json_object_get(a->document, "ports"),
               *endpoints = json_object_get(a->document, "endpoints");
        size_t n = json_array_size(list) + 2 * json_array_size(endpoints);
        int r;

        if (n > PORTS_MAX)
                return zl_fail(err, ZL_E_INVALID, 0, "port_mappings: more than %d", PORTS_MAX);
        a->ports = calloc(n + 1, sizeof(*a->ports));
        if (!a->ports)
                return zl_fail_oom(err);
        r = open_each(s, a, list, open_mapping, all, err);
        if (r == 0)
                r = zl_net_service_enter(s, a, err);
        return r < 0 ? r : open_each(s, a, endpoints, open_endpoint, all, err);
}

static void close_front(struct zl_net_server *s, struct zl_net_front *f)
{
        const struct zl_firewall_front front = { .address = f->address,
                                                 .port = f->port,
                                                 .udp = f->udp };
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        int r = zl_firewall_remove_front(&s->firewall, &front, &why);

        /* Not there: an attach that failed before its rules were made. */
        if (r < 0 && r != -ENOENT)
                zl_log_error(ZL_LOG_WARNING, &why, "port %u", f->port);
        zl_net_datagrams_drop(s, &f->gate);
        zl_net_relays_forget(s, &f->gate);
        zl_map_remove(s->fronts, f->key);
}

void zl_net_ports_close(struct zl_net_server *s, struct zl_net_attachment *a)
{
        struct zl_net_port *ports = zl_take_ptr(a->ports);
        struct zl_net_attachment rest = { .name = a->name,
                                          .ports = calloc(a->n_ports + 1, sizeof(*ports)) };
        size_t n = a->n_ports;

        a->n_ports = 0;
        for (size_t i = 0; i < n; i++)
                ports[i].front->users--;
        for (size_t i = 0; i < n; i++) {
                if (is_among(ports, i, ports[i].front))
                        continue; /* and perhaps gone */
                if (ports[i].front->users == 0)
                        close_front(s, ports[i].front);
                else if (rest.ports)
                        rest.ports[rest.n_ports++] = ports[i];
        }
        /* Others are still behind these. */
        zl_net_ports_update(s, &rest);
        free(rest.ports);
        free(ports);
        zl_net_service_leave(s, a);
}
