/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks: a slot of the address pool, a bridge with the first address of it, and rules. A network lives from its first container to
 * a moment after its last.
 *
 * What may go wrong: a subnet of the pool that the host uses already (a VPN, another engine). Every prefix that the host has a route
 * to is looked at before a slot is taken.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/ident.h"
#include "base/log.h"
#include "network/server.h"

enum { REPLICAS = ZL_NET_FIRST_SERVICE - 2 };

void zl_net_network_free(struct zl_net_network *n)
{
        if (!n)
                return;
        zl_map_free(n->services);
        free(n->name);
        free(n);
}

/* ---- addresses ------------------------------------------------------------------------------------ */

struct zl_net_addr zl_net_address(const struct zl_net_network *n, int family, unsigned host)
{
        struct zl_net_addr a = n->gateway[family == AF_INET6];
        uint8_t *last = a.bytes + (family == AF_INET6 ? 14 : 2);
        /* The gateway is host 1. */
        unsigned number = ((unsigned)last[0] << 8 | last[1]) - 1 + host;

        last[0] = (uint8_t)(number >> 8);
        last[1] = (uint8_t)number;
        return a;
}

int zl_net_take_host(struct zl_net_network *n, unsigned *ret, struct zl_error *err)
{
        /* 0 is the network, 1 the gateway. */
        for (unsigned i = 0; i < REPLICAS; i++) {
                unsigned host = 2 + (n->next + i) % REPLICAS;

                if (n->used[host / 64] >> host % 64 & 1)
                        continue;
                n->used[host / 64] |= UINT64_C(1) << host % 64;
                n->next = host - 1;
                *ret = host;
                return 0;
        }
        return zl_fail(err, ZL_E_NO_SPACE, 0, "network %s has no address left, all %d are taken",
                       n->name, REPLICAS);
}

/* ---- the pool ------------------------------------------------------------------------------------- */

static uint32_t slot_address(const struct zl_net_server *s, unsigned slot)
{
        return s->pool + ((uint32_t)slot << (32 - ZL_NET_SUBNET_BITS));
}

static void put_address(uint8_t bytes[4], uint32_t address)
{
        for (int i = 0; i < 4; i++)
                bytes[i] = (uint8_t)(address >> (24 - 8 * i));
}

struct overlap {
        const struct zl_net_server *s;
        uint8_t *taken; /* per slot */
        unsigned n;
};

static bool is_ours(const struct zl_net_server *s, unsigned link)
{
        const char *name;
        size_t pos = 0;
        void *value;

        while (link && zl_map_next(s->networks, &pos, &name, &value))
                if (((struct zl_net_network *)value)->link == link)
                        return true;
        return false;
}

static int mark_overlap(const struct zl_net_addr *prefix, unsigned link, void *data)
{
        struct overlap *o = data;
        uint32_t first, mask, step = 1U << (32 - ZL_NET_SUBNET_BITS);

        if (prefix->family != AF_INET || prefix->prefix == 0 || is_ours(o->s, link))
                return 0;
        first = (uint32_t)prefix->bytes[0] << 24 | (uint32_t)prefix->bytes[1] << 16 |
                (uint32_t)prefix->bytes[2] << 8 | prefix->bytes[3];
        mask = ~(uint32_t)(UINT64_C(0xffffffff) >> prefix->prefix);
        for (unsigned i = 0; i < o->n; i++) {
                uint32_t address = slot_address(o->s, i);

                if ((address & mask) == (first & mask) || (first & ~(step - 1)) == address)
                        o->taken[i] = 1;
        }
        return 0;
}

/* Which slots overlap with what the host has, or are used by a network that is there. */
static int mark_taken(struct zl_net_server *s, uint8_t *taken, unsigned n, struct zl_error *err)
{
        struct overlap overlap = { .s = s, .taken = taken, .n = n };
        const char *name;
        size_t pos = 0;
        void *value;
        int r;

        do
                r = zl_route_list(&s->route, mark_overlap, &overlap);
        while (r == -EINTR);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot look at the routes of this host");
        while (zl_map_next(s->networks, &pos, &name, &value))
                taken[((struct zl_net_network *)value)->slot % n] = 1;
        return 0;
}

/* The one it had, or the first that nobody had, or one that somebody had who may get another. */
static int take_slot(struct zl_net_server *s, int64_t had, unsigned *ret, struct zl_error *err)
{
        unsigned n = 1U << (ZL_NET_SUBNET_BITS - s->pool_bits), i, known_one = n;
        _cleanup_free_ uint8_t *taken = calloc(3, n);
        int r = taken ? mark_taken(s, taken, n, err) : zl_fail_oom(err);

        if (r < 0)
                return r;
        if (had >= 0 && had < n && !taken[had]) {
                *ret = (unsigned)had;
                return 0;
        }
        zl_net_mark_remembered(s, taken + n, taken + 2 * (size_t)n, n);
        for (i = 0; i < n && (taken[i] || taken[n + i] || taken[2 * n + i]); i++)
                if (!taken[i] && !taken[n + i] && known_one == n)
                        known_one = i;
        if (i == n) {
                i = known_one;
                zl_net_unremember_slot(s, i);
        }
        if (i < n) {
                *ret = i;
                return 0;
        }
        r = zl_fail(err, ZL_E_NO_SPACE, 0,
                    "no subnet is left: each of the %u in the address pool is used by a network of "
                    "ours or by a route of this host",
                    n);
        zl_error_hint(err, "set ZLAYER_NETWORK_POOL to a larger or another range");
        return r;
}

/* ---- the bridge ----------------------------------------------------------------------------------- */

void zl_net_set_sysctl(const char *path, const char *value)
{
        char old[16] = "";
        int fd = open(path, O_RDWR | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, old, sizeof(old) - 1) : -1;

        if (n > 0 && old[0] != value[0] && pwrite(fd, value, strlen(value), 0) < 0)
                zl_warn("cannot write %s to %s", value, path);
        zl_close(fd);
}

/* A host that forwards IPv6 stops listening to its router's advertisements unless it is told to go on: all links that do listen are
 * told, and those that are still to come. */
static void keep_listening(void)
{
        DIR *dir = opendir(ZL_NET_IPV6_CONF);
        const struct dirent *de;
        char path[sizeof(ZL_NET_IPV6_CONF) + NAME_MAX + 16];

        while (dir && (de = readdir(dir))) {
                _cleanup_free_ char *value = NULL;

                snprintf(path, sizeof(path), ZL_NET_IPV6_CONF "/%s/accept_ra", de->d_name);
                if (zl_read_file_at(AT_FDCWD, path, 16, &value, NULL) == 0 && value[0] == '1')
                        zl_net_set_sysctl(path, "2");
        }
        if (dir)
                closedir(dir);
}

static void let_forward(const char *bridge)
{
        _cleanup_free_ char *six = NULL;
        char path[128];

        zl_net_set_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
        if (zl_read_file_at(AT_FDCWD, ZL_NET_IPV6_CONF "/all/forwarding", 16, &six, NULL) == 0 &&
            six[0] == '0') {
                keep_listening();
                zl_net_set_sysctl(ZL_NET_IPV6_CONF "/all/forwarding", "1");
        }
        snprintf(path, sizeof(path), ZL_NET_IPV6_CONF "/%s/accept_ra", bridge);
        zl_net_set_sysctl(path, "0");
}

int zl_net_network_raise(struct zl_net_server *s, struct zl_net_network *n, struct zl_error *err)
{
        const struct zl_link_setup setup = { .name = n->bridge,
                                             .addresses = n->gateway,
                                             .n_addresses = 2 };
        uint8_t mac[ZL_MAC_SIZE] = { 0x02, 0x7a };
        int index = zl_link_index(&s->route, n->bridge), r;

        memcpy(mac + 2, n->gateway[0].bytes, 4);
        if (index == 0) {
                r = zl_link_add_bridge(&s->route, n->bridge, mac,
                                       zl_route_default_mtu(&s->route, AF_INET, NULL), err);
                if (r < 0)
                        return r;
                index = zl_link_index(&s->route, n->bridge);
        }
        if (index <= 0)
                return zl_fail_errno(err, index < 0 ? -index : ENODEV, "bridge %s", n->bridge);
        r = zl_link_setup(&s->route, &setup, err);
        if (r < 0)
                return r;
        n->link = (unsigned)index;
        let_forward(n->bridge);
        zl_net_services_raise(s, n);
        zl_net_names_listen(s, n);
        return 0;
}

/* ---- life ----------------------------------------------------------------------------------------- */

const char *zl_net_bridge_prefix(const struct zl_net_server *s, char ret[IF_NAMESIZE])
{
        snprintf(ret, IF_NAMESIZE, "zl%s-", s->tag);
        return ret;
}

int zl_net_network_load(struct zl_net_server *s, const char *name, unsigned slot,
                        struct zl_net_network **ret, struct zl_error *err)
{
        struct zl_net_network *n = calloc(1, sizeof(*n));
        char prefix[IF_NAMESIZE];

        if (!n || !(n->name = strdup(name)) || !(n->services = zl_net_services_new()) ||
            zl_map_put(s->networks, n->name, n) < 0) {
                zl_net_network_free(n);
                return zl_fail_oom(err);
        }
        n->slot = slot;
        snprintf(n->bridge, sizeof(n->bridge), "%s%u", zl_net_bridge_prefix(s, prefix), slot);
        n->gateway[0] = (struct zl_net_addr){ .family = AF_INET, .prefix = ZL_NET_SUBNET_BITS };
        put_address(n->gateway[0].bytes, slot_address(s, slot) + 1);
        n->gateway[1] = (struct zl_net_addr){ .family = AF_INET6, .prefix = 64 };
        memcpy(n->gateway[1].bytes, s->ula, sizeof(s->ula));
        n->gateway[1].bytes[6] = (uint8_t)(slot >> 8);
        n->gateway[1].bytes[7] = (uint8_t)slot;
        n->gateway[1].bytes[15] = 1;
        *ret = n;
        return 0;
}

int zl_net_firewall_networks(struct zl_net_server *s, struct zl_firewall_network **ret,
                             size_t *ret_n)
{
        struct zl_firewall_network *list = calloc(zl_map_size(s->networks) + 1, sizeof(*list));
        const char *name;
        size_t pos = 0, i = 0;
        void *value;

        if (!list)
                return -ENOMEM;
        while (zl_map_next(s->networks, &pos, &name, &value)) {
                const struct zl_net_network *n = value;

                list[i].bridge = n->bridge;
                list[i].four = zl_net_address(n, AF_INET, 0);
                list[i].six = zl_net_address(n, AF_INET6, 0);
                list[i].services4 = zl_net_address(n, AF_INET, ZL_NET_FIRST_SERVICE);
                list[i].services4.prefix = ZL_NET_SERVICE_BITS;
                list[i].services6 = zl_net_address(n, AF_INET6, ZL_NET_FIRST_SERVICE);
                list[i].services6.prefix = 128 - 32 + ZL_NET_SERVICE_BITS;
                i++;
        }
        *ret = list;
        *ret_n = i;
        return 0;
}

static int tell_firewall(struct zl_net_server *s, struct zl_error *err)
{
        _cleanup_free_ struct zl_firewall_network *list = NULL;
        size_t n;

        if (zl_net_firewall_networks(s, &list, &n) < 0)
                return zl_fail_oom(err);
        return zl_firewall_set_networks(&s->firewall, list, n, err);
}

static void drop(struct zl_net_server *s, struct zl_net_network *n)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

        zl_net_names_unlisten(s, n);
        if (zl_link_delete(&s->route, n->bridge, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "network %s", n->name);
        zl_net_forget(s, "networks", n->name);
        zl_map_remove(s->networks, n->name);
}

static json_t *json_subnet(const struct zl_net_network *n, int family)
{
        const struct zl_net_addr a = zl_net_address(n, family, 0);
        const struct zl_ip ip = zl_net_ip(&a);
        char text[ZL_IP_TEXT_MAX];

        return json_sprintf("%s/%d", zl_ip_format(&ip, text), a.prefix);
}

int zl_net_network_save(struct zl_net_server *s, const struct zl_net_network *n,
                        struct zl_error *err)
{
        _cleanup_json_ json_t *document = json_pack(
                "{s:i,s:b,s:s,s:o,s:o}", "slot", (int)n->slot, "kept", (int)n->kept, "bridge",
                n->bridge, "subnet4", json_subnet(n, AF_INET), "subnet6", json_subnet(n, AF_INET6));
        json_t *services = json_object();
        const char *name;
        size_t pos = 0;
        void *value;
        int r = document && zl_json_set(document, "services", services) == 0 ? 0 : -ENOMEM;

        while (r == 0 && zl_map_next(n->services, &pos, &name, &value))
                r = zl_json_set(services, name,
                                json_integer(((struct zl_net_service *)value)->host));
        if (r < 0)
                return zl_fail_oom(err);
        r = zl_net_remember(s, n, document, err);
        return r < 0 ? r : zl_net_save(s, "networks", n->name, document, err);
}

/* Its record stands before its bridge. */
static int make(struct zl_net_server *s, const char *name, struct zl_net_network **ret,
                struct zl_error *err)
{
        _cleanup_json_ json_t *known = NULL;
        unsigned slot = 0;
        int64_t had = zl_net_recall(s, name, &known) == 0 ? zl_json_int(known, "slot", -1) : -1;
        int r = take_slot(s, had, &slot, err);

        if (r == 0)
                r = zl_net_network_load(s, name, slot, ret, err);
        if (r < 0)
                return r;
        (*ret)->kept = zl_json_bool(known, "kept", false);
        zl_net_services_load(*ret, known);
        r = zl_net_network_save(s, *ret, err);
        if (r < 0)
                zl_map_remove(s->networks, name);
        return r;
}

int zl_net_network_keep(struct zl_net_server *s, const char *name, struct zl_error *err)
{
        struct zl_net_network *n = zl_map_get(s->networks, name);
        int r = n ? 0 : make(s, name, &n, err);

        s->idle_at = zl_now_monotonic();
        if (r < 0)
                return r;
        if (n->kept)
                return zl_fail(err, ZL_E_EXISTS, 0, "there is a network %s already", name);
        n->kept = true;
        return zl_net_network_save(s, n, err);
}

static int refuse_used(struct zl_net_server *s, const struct zl_net_network *n,
                       struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf users = ZL_BUF_INIT(2000);
        const char *name;
        size_t pos = 0;
        void *value;

        while (zl_map_next(s->attachments, &pos, &name, &value))
                if (((struct zl_net_attachment *)value)->network == n)
                        zl_buf_putf(&users, "%s%s", users.len ? ", " : "", name);
        return zl_fail(err, ZL_E_BUSY, 0, "network %s is used by %s", n->name,
                       zl_buf_error(&users) ? "many containers" : users.data);
}

int zl_net_network_remove(struct zl_net_server *s, const char *name, struct zl_error *err)
{
        struct zl_net_network *n = zl_map_get(s->networks, name);
        bool was_there = n;
        int r;

        if (n && n->users > 0)
                return refuse_used(s, n, err);
        s->idle_at = zl_now_monotonic();
        if (n) {
                drop(s, n);
                r = tell_firewall(s, err);
                if (r < 0)
                        return r;
        }
        r = zl_net_is_network_name(name) ? zl_net_unremember(s, name) : -ENOENT;
        if (r == -ENOENT && !was_there)
                return zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no network %s", name);
        return r < 0 && r != -ENOENT ? zl_fail_errno(err, -r, "cannot forget the network %s", name)
                                     : 0;
}

int zl_net_network_get(struct zl_net_server *s, const char *name, struct zl_net_network **ret,
                       struct zl_error *err)
{
        struct zl_net_network *n = zl_map_get(s->networks, name);
        int r = n ? 0 : make(s, name, &n, err);

        /* Also one that an earlier life left without containers: nobody has looked at its bridge yet. */
        if (r == 0 && n->link == 0) {
                r = zl_net_network_raise(s, n, err);
                if (r == 0)
                        r = tell_firewall(s, err);
                if (r < 0)
                        drop(s, n);
        }
        if (r < 0) {
                zl_error_prefix(err, "network %s", name);
                return r;
        }
        *ret = n;
        return 0;
}

void zl_net_network_sweep(struct zl_net_server *s)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        bool changed = false;
        const char *name;
        size_t pos = 0;
        void *value;

        while (zl_map_next(s->networks, &pos, &name, &value)) {
                struct zl_net_network *n = value;

                if (n->users == 0) {
                        drop(s, n);
                        changed = true;
                }
        }
        if (changed && tell_firewall(s, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "networks that are gone");
}
