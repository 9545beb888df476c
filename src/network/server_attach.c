/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers: an address, a link into their namespace, and all of it taken back when their first process ends, which a pidfd tells.
 *
 * The peer of the link is made in the container's namespace by the same request that makes the link; for its addresses and routes
 * we go in with setns() for an instant, open a socket that belongs to that namespace, and come back.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/ident.h"
#include "base/log.h"
#include "base/random.h"
#include "network/server.h"

#define CONTAINER_LINK "eth0"
#define MTU_AGE_NSEC (5 * ZL_NSEC_PER_SEC)

/* ---- records -------------------------------------------------------------------------------------- */

static char *record_path(const char *room, const char *name)
{
        char *path = NULL;

        return asprintf(&path, "%s/%s.json", room, name) < 0 ? NULL : path;
}

int zl_net_save(struct zl_net_server *s, const char *room, const char *name, const json_t *document,
                struct zl_error *err)
{
        _cleanup_free_ char *path = record_path(room, name), *text = zl_json_dump(document, 0);
        int r;

        if (!path || !text)
                return zl_fail_oom(err);
        r = zl_write_file_at(s->dir_fd, path, text, strlen(text), 0600, 0);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write %s/%s", s->dir, path) : 0;
}

void zl_net_forget(struct zl_net_server *s, const char *room, const char *name)
{
        _cleanup_free_ char *path = record_path(room, name);

        if (path && unlinkat(s->dir_fd, path, 0) < 0 && errno != ENOENT)
                zl_warn("cannot remove %s/%s", s->dir, path);
}

/* ---- the link ------------------------------------------------------------------------------------- */

/* Looked up once in a while only: it takes a walk through all routes of the host. */
static uint32_t uplink_mtu(struct zl_net_server *s)
{
        int64_t now = zl_now_monotonic();

        if (!s->mtu_at || s->mtu_at + MTU_AGE_NSEC < now) {
                s->mtu = zl_route_default_mtu(&s->route, AF_INET, NULL);
                s->mtu_at = now;
        }
        return s->mtu;
}

/* Routers are told to a container by us alone, and its addresses are unique: it neither asks its neighbours nor believes them. Each of
 * these questions would reach every container of the network. */
static int open_inside(void *data, struct zl_error *err)
{
        zl_net_set_sysctl(ZL_NET_IPV6_CONF "/" CONTAINER_LINK "/accept_ra", "0");
        zl_net_set_sysctl(ZL_NET_IPV6_CONF "/" CONTAINER_LINK "/accept_dad", "0");
        return zl_nl_open(data, NETLINK_ROUTE, err);
}

int zl_net_plug(struct zl_net_server *s, struct zl_net_attachment *a, int netns,
                struct zl_error *err)
{
        const struct zl_net_network *n = a->network;
        const struct zl_net_addr addresses[] = { zl_net_address(n, AF_INET, a->host),
                                                 zl_net_address(n, AF_INET6, a->host) };
        uint8_t mac[ZL_MAC_SIZE] = { 0x02, 0x7a };
        const struct zl_veth veth = { .host = a->link,
                                      .peer = CONTAINER_LINK,
                                      .netns_fd = netns,
                                      .bridge = n->link,
                                      .mac = mac,
                                      .mtu = uplink_mtu(s) };
        const struct zl_link_setup setup = { .name = CONTAINER_LINK,
                                             .addresses = addresses,
                                             .n_addresses = 2,
                                             .gateways = n->gateway,
                                             .n_gateways = 2 };
        _cleanup_nl_ struct zl_nl inside = ZL_NL_INIT;
        int r;

        /* From the address: who knows the one from a cache knows the other. */
        memcpy(mac + 2, addresses[0].bytes, 4);
        r = zl_link_add_veth(&s->route, &veth, err);
        if (r < 0)
                return r;
        r = zl_netns_call(netns, open_inside, &inside, err);
        return r < 0 ? r : zl_link_setup(&inside, &setup, err);
}

void zl_net_pull(int netns)
{
        _cleanup_nl_ struct zl_nl inside = ZL_NL_INIT;

        if (zl_netns_call(netns, open_inside, &inside, NULL) == 0)
                zl_link_delete(&inside, CONTAINER_LINK, NULL);
}

static void unplug(struct zl_net_server *s, const struct zl_net_attachment *a)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

        if (zl_link_delete(&s->route, a->link, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "%s", a->name);
}

/* ---- life ----------------------------------------------------------------------------------------- */

void zl_net_attachment_free(struct zl_net_attachment *a)
{
        if (!a)
                return;
        zl_close(a->pid.fd);
        free(a->ports);
        json_decref(a->document);
        free(a);
}

static void pid_ended(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        zl_net_detach(s, (struct zl_net_attachment *)source);
}

void zl_net_detach(struct zl_net_server *s, struct zl_net_attachment *a)
{
        struct zl_net_network *n = a->network;

        /* First nobody is led to it any more. */
        zl_net_names_remove(s, a);
        zl_net_ports_close(s, a);
        unplug(s, a);
        zl_net_forget(s, "containers", a->name);
        n->used[a->host / 64] &= ~(UINT64_C(1) << a->host % 64);
        n->users--;
        s->idle_at = zl_now_monotonic();
        zl_map_remove(s->attachments, a->name);
}

int zl_net_attachment_load(struct zl_net_server *s, json_t *document, int pidfd,
                           struct zl_net_attachment **ret, struct zl_error *err)
{
        struct zl_net_attachment *a = calloc(1, sizeof(*a));
        int r;

        if (!a) {
                zl_close(pidfd);
                return zl_fail_oom(err);
        }
        a->pid = (struct zl_net_source){ .fd = pidfd, .ready = pid_ended };
        a->document = json_incref(document);
        a->name = zl_json_str(document, "name", "");
        a->network = zl_map_get(s->networks, zl_json_str(document, "network", ""));
        a->host = (unsigned)zl_json_int(document, "host", 0);
        a->ready = zl_json_bool(document, "ready", false);
        snprintf(a->link, sizeof(a->link), "%s", zl_json_str(document, "link", ""));
        if (!a->network || a->host < 2 || a->host >= ZL_NET_FIRST_SERVICE || !*a->link) {
                r = zl_fail(err, ZL_E_CORRUPT, 0, "the network record of %s makes no sense",
                            a->name);
                zl_net_attachment_free(a);
                return r;
        }
        r = zl_map_put(s->attachments, a->name, a);
        if (r < 0) {
                zl_net_attachment_free(a);
                return zl_fail_oom(err);
        }
        a->network->used[a->host / 64] |= UINT64_C(1) << a->host % 64;
        a->network->users++;
        zl_net_names_add(s, a);
        r = zl_net_source_add(s, &a->pid);
        if (r < 0) {
                zl_net_detach(s, a);
                return zl_fail_errno(err, -r, "cannot watch the container");
        }
        *ret = a;
        return 0;
}

static json_t *json_address(const struct zl_net_addr *a)
{
        const struct zl_ip ip = zl_net_ip(a);
        char text[ZL_IP_TEXT_MAX];

        return json_string(zl_ip_format(&ip, text));
}

/* Writes into the document what the container is given. */
static int fill(struct zl_net_server *s, const struct zl_net_network *n, unsigned host, json_t *d)
{
        const struct zl_net_addr four = zl_net_address(n, AF_INET, host),
                                 six = zl_net_address(n, AF_INET6, host);
        char link[IF_NAMESIZE], random[9];
        int r;

        zl_random_hex(random, 6);
        snprintf(link, sizeof(link), "zv%s-%s", s->tag, random);
        r = zl_json_set(d, "host", json_integer(host));
        r = r ? r : zl_json_set(d, "link", json_string(link));
        r = r ? r : zl_json_set(d, "bridge", json_string(n->bridge));
        r = r ? r : zl_json_set(d, "prefix", json_integer(ZL_NET_SUBNET_BITS));
        r = r ? r : zl_json_set(d, "ipv4", json_address(&four));
        r = r ? r : zl_json_set(d, "ipv6", json_address(&six));
        r = r ? r : zl_json_set(d, "gateway4", json_address(&n->gateway[0]));
        r = r ? r : zl_json_set(d, "gateway6", json_address(&n->gateway[1]));
        if (n->has_names && r == 0)
                r = zl_json_set(d, "resolver", json_address(&n->gateway[0]));
        if (r == 0 && !json_object_get(d, "ready"))
                r = zl_json_set(d, "ready", json_false());
        return r;
}

/* Where the endpoints of its service are. */
static int tell_service(struct zl_net_attachment *a)
{
        const struct zl_net_addr four = zl_net_address(a->network, AF_INET, a->service->host),
                                 six = zl_net_address(a->network, AF_INET6, a->service->host);
        int r = zl_json_set(a->document, "service4", json_address(&four));

        return r < 0 ? r : zl_json_set(a->document, "service6", json_address(&six));
}

static int check_request(const json_t *d, struct zl_error *err)
{
        struct zl_ident ident;
        const char *network = zl_json_str(d, "network", "");

        if (zl_ident_parse(zl_json_str(d, "name", ""), &ident) < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "\"%s\" is not the name of a workload",
                               zl_json_str(d, "name", ""));
        if (!zl_net_is_network_name(network))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "network_mode: \"%s\" is not the name of a network", network);
        return 0;
}

int zl_net_attach(struct zl_net_server *s, json_t *document, int pidfd, int netns, json_t **ret,
                  struct zl_error *err)
{
        struct zl_net_attachment *a = NULL, *old;
        _cleanup_close_ int pid = pidfd;
        struct zl_net_network *n;
        unsigned host;
        int r = check_request(document, err);

        if (r < 0)
                return r;
        old = zl_map_get(s->attachments, zl_json_str(document, "name", ""));
        if (old)
                zl_net_detach(s, old);
        r = zl_net_network_get(s, zl_json_str(document, "network", ""), &n, err);
        s->idle_at = zl_now_monotonic(); /* should it stay without a user */
        if (r == 0)
                r = zl_net_names_check(s, n, document, err);
        if (r == 0)
                r = zl_net_take_host(n, &host, err);
        if (r < 0)
                return r;
        if (fill(s, n, host, document) < 0)
                r = zl_fail_oom(err);
        if (r == 0)
                r = zl_net_save(s, "containers", zl_json_str(document, "name", ""), document, err);
        if (r == 0)
                r = zl_net_attachment_load(s, document, zl_take_fd(pid), &a, err);
        if (r < 0) {
                n->used[host / 64] &= ~(UINT64_C(1) << host % 64);
                zl_net_forget(s, "containers", zl_json_str(document, "name", ""));
                return r;
        }
        r = zl_net_ports_open(s, a, true, err);
        if (r == 0 && a->service)
                r = tell_service(a);
        if (r == 0 && a->n_ports > 0)
                r = zl_net_save(s, "containers", a->name, a->document, err);
        if (r == 0)
                r = zl_net_plug(s, a, netns, err);
        if (r < 0) {
                zl_net_detach(s, a);
                return r;
        }
        zl_net_ports_update(s, a);
        *ret = a->document;
        return 0;
}
