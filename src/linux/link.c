/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, addresses, routes. The one thing that is not obvious: a veth pair is made with one request that names the port's
 * bridge and the peer's namespace, so there is no instant at which an end of it is in the wrong place.
 *
 * What may go wrong: a kernel without IPv6, or with it switched off. It says EOPNOTSUPP, EACCES or EAFNOSUPPORT for each IPv6 address, which is
 * then left out: a container with IPv4 alone is better than none.
 */
#include "linux/link.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

static size_t address_size(const struct zl_net_addr *a)
{
        return a->family == AF_INET ? 4 : 16;
}

/* ---- looking -------------------------------------------------------------------------------------- */

static void read_stats(const struct nlmsghdr *m, struct zl_link_info *ret)
{
        struct rtnl_link_stats64 s;
        const void *p = zl_nl_find(m, sizeof(struct ifinfomsg), IFLA_STATS64,
                                   offsetof(struct rtnl_link_stats64, rx_compressed), NULL);

        if (!p)
                return;
        memcpy(&s, p, offsetof(struct rtnl_link_stats64, rx_compressed));
        ret->rx_bytes = s.rx_bytes;
        ret->tx_bytes = s.tx_bytes;
        ret->rx_packets = s.rx_packets;
        ret->tx_packets = s.tx_packets;
        ret->rx_errors = s.rx_errors;
        ret->tx_errors = s.tx_errors;
        ret->rx_dropped = s.rx_dropped;
        ret->tx_dropped = s.tx_dropped;
}

static uint32_t read_u32(const struct nlmsghdr *m, size_t header, uint16_t type)
{
        const void *p = zl_nl_find(m, header, type, sizeof(uint32_t), NULL);
        uint32_t v = 0;

        if (p)
                memcpy(&v, p, sizeof(v));
        return v;
}

struct link_walk {
        zl_link_each *each;
        void *data;
};

static int on_link(const struct nlmsghdr *m, void *data)
{
        const struct link_walk *w = data;
        const struct ifinfomsg *head = NLMSG_DATA(m);
        struct zl_link_info info = { 0 };
        const char *name;
        size_t len = 0;

        if (m->nlmsg_type != RTM_NEWLINK || m->nlmsg_len < NLMSG_LENGTH(sizeof(*head)))
                return 0;
        name = zl_nl_find(m, sizeof(*head), IFLA_IFNAME, 1, &len);
        if (!name)
                return 0;
        memcpy(info.name, name, ZL_MIN(len, sizeof(info.name) - 1));
        info.index = (unsigned)head->ifi_index;
        info.up = head->ifi_flags & IFF_UP;
        info.master = read_u32(m, sizeof(*head), IFLA_MASTER);
        info.mtu = read_u32(m, sizeof(*head), IFLA_MTU);
        read_stats(m, &info);
        return w->each(&info, w->data);
}

int zl_link_list(struct zl_nl *nl, zl_link_each *each, void *data)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        const struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
        struct link_walk walk = { .each = each, .data = data };

        zl_nl_end(&buf, zl_nl_begin(&buf, RTM_GETLINK, NLM_F_DUMP, &head, sizeof(head)));
        return zl_nl_dump(nl, &buf, on_link, &walk);
}

static int take_link(const struct zl_link_info *link, void *data)
{
        *(struct zl_link_info *)data = *link;
        return 1;
}

/* By name, or by index if that is NULL. 1 if it is there, 0 if not, negative errno. Asks for this one alone: a host with a thousand
 * containers has a thousand links. */
static int find_link(struct zl_nl *nl, const char *name, unsigned index, struct zl_link_info *ret)
{
        const struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index };
        struct link_walk walk = { .each = take_link, .data = ret };
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        size_t begin = zl_nl_begin(&buf, RTM_GETLINK, 0, &head, sizeof(head));
        int r;

        if (name)
                zl_nl_put_str(&buf, IFLA_IFNAME, name);
        zl_nl_end(&buf, begin);
        r = zl_nl_get(nl, &buf, on_link, &walk);
        return r == -ENODEV ? 0 : r;
}

int zl_link_index(struct zl_nl *nl, const char *name)
{
        struct zl_link_info link;
        int r = find_link(nl, name, 0, &link);

        return r == 1 ? (int)link.index : r;
}

struct route_walk {
        zl_prefix_each *each;
        void *data;
        bool defaults; /* only default routes */
};

static int on_route(const struct nlmsghdr *m, void *data)
{
        const struct route_walk *w = data;
        const struct rtmsg *head = NLMSG_DATA(m);
        struct zl_net_addr prefix = { 0 };
        const void *p;

        if (m->nlmsg_type != RTM_NEWROUTE || m->nlmsg_len < NLMSG_LENGTH(sizeof(*head)) ||
            (head->rtm_family != AF_INET && head->rtm_family != AF_INET6) ||
            head->rtm_type != RTN_UNICAST || w->defaults != (head->rtm_dst_len == 0))
                return 0;
        prefix.family = head->rtm_family;
        prefix.prefix = head->rtm_dst_len;
        p = zl_nl_find(m, sizeof(*head), RTA_DST, address_size(&prefix), NULL);
        if (p)
                memcpy(prefix.bytes, p, address_size(&prefix));
        else if (!w->defaults)
                return 0;
        return w->each(&prefix, read_u32(m, sizeof(*head), RTA_OIF), w->data);
}

static int list_routes(struct zl_nl *nl, uint8_t family, struct route_walk *walk)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        const struct rtmsg head = { .rtm_family = family };

        zl_nl_end(&buf, zl_nl_begin(&buf, RTM_GETROUTE, NLM_F_DUMP, &head, sizeof(head)));
        return zl_nl_dump(nl, &buf, on_route, walk);
}

int zl_route_list(struct zl_nl *nl, zl_prefix_each *each, void *data)
{
        struct route_walk walk = { .each = each, .data = data };
        int r = list_routes(nl, AF_INET, &walk);

        /* A host without IPv6 has no routes of it. */
        return r != 0 ? r : ZL_MAX(list_routes(nl, AF_INET6, &walk), 0);
}

static int take_route_link(const struct zl_net_addr *prefix, unsigned link, void *data)
{
        unsigned *ret = data;

        *ret = link;
        return link != 0;
}

uint32_t zl_route_default_mtu(struct zl_nl *nl, uint8_t family, unsigned *ret_link)
{
        unsigned index = 0;
        struct route_walk walk = { .each = take_route_link, .data = &index, .defaults = true };
        struct zl_link_info link;

        if (list_routes(nl, family, &walk) != 1)
                return 0;
        if (ret_link)
                *ret_link = index;
        return find_link(nl, NULL, index, &link) == 1 ? link.mtu : 0;
}

/* ---- changing ------------------------------------------------------------------------------------- */

static int run(struct zl_nl *nl, struct zl_buf *buf, struct zl_error *err, const char *what,
               const char *subject)
{
        int r = zl_nl_transact(nl, buf, err);

        if (r < 0)
                zl_error_prefix(err, "cannot %s %s", what, subject);
        return r;
}

static size_t begin_link(struct zl_buf *buf, uint16_t type, uint16_t flags, int index, bool up)
{
        const struct ifinfomsg head = { .ifi_family = AF_UNSPEC,
                                        .ifi_index = index,
                                        .ifi_flags = up ? IFF_UP : 0,
                                        .ifi_change = up ? IFF_UP : 0 };

        return zl_nl_begin(buf, type, flags, &head, sizeof(head));
}

int zl_link_add_bridge(struct zl_nl *nl, const char *name, const uint8_t mac[ZL_MAC_SIZE],
                       uint32_t mtu, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        size_t begin = begin_link(&buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, true), info;

        zl_nl_put_str(&buf, IFLA_IFNAME, name);
        zl_nl_put(&buf, IFLA_ADDRESS, mac, ZL_MAC_SIZE);
        if (mtu)
                zl_nl_put_u32(&buf, IFLA_MTU, mtu);
        info = zl_nl_nest(&buf, IFLA_LINKINFO);
        zl_nl_put(&buf, IFLA_INFO_KIND, "bridge", 6);
        zl_nl_nest_end(&buf, info);
        zl_nl_end(&buf, begin);
        return run(nl, &buf, err, "make the bridge", name);
}

static void put_peer(struct zl_buf *buf, const struct zl_veth *veth)
{
        const struct ifinfomsg head = { .ifi_family = AF_UNSPEC };
        size_t data = zl_nl_nest(buf, IFLA_INFO_DATA), peer = zl_nl_nest(buf, VETH_INFO_PEER);

        zl_buf_put(buf, &head, sizeof(head));
        zl_nl_put_str(buf, IFLA_IFNAME, veth->peer);
        zl_nl_put(buf, IFLA_ADDRESS, veth->mac, ZL_MAC_SIZE);
        zl_nl_put_u32(buf, IFLA_NET_NS_FD, (uint32_t)veth->netns_fd);
        if (veth->mtu)
                zl_nl_put_u32(buf, IFLA_MTU, veth->mtu);
        zl_nl_nest_end(buf, peer);
        zl_nl_nest_end(buf, data);
}

/* A container that reaches itself by a published port: where br_netfilter is loaded (Docker loads it), the bridge sees the translated
 * address itself and would have to send the packet out of the port that it came in by. */
static void put_hairpin(struct zl_buf *buf, const char *link)
{
        const uint8_t on = 1;
        size_t begin = begin_link(buf, RTM_NEWLINK, 0, 0, false), info, data;

        zl_nl_put_str(buf, IFLA_IFNAME, link);
        info = zl_nl_nest(buf, IFLA_LINKINFO);
        zl_nl_put(buf, IFLA_INFO_SLAVE_KIND, "bridge", 6);
        data = zl_nl_nest(buf, IFLA_INFO_SLAVE_DATA);
        zl_nl_put(buf, IFLA_BRPORT_MODE, &on, sizeof(on));
        zl_nl_nest_end(buf, data);
        zl_nl_nest_end(buf, info);
        zl_nl_end(buf, begin);
}

/* Our end is a port of a bridge and has nobody's address. With one of its own it would talk to its container, and be one more route of
 * fe80::/64, which the kernel tries one by one. A kernel that does not know this, or has no IPv6, refuses. */
static void be_without_address(struct zl_nl *nl, const char *link)
{
        const uint8_t none = IN6_ADDR_GEN_MODE_NONE;
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        size_t begin = begin_link(&buf, RTM_NEWLINK, 0, 0, false), families, six;

        zl_nl_put_str(&buf, IFLA_IFNAME, link);
        families = zl_nl_nest(&buf, IFLA_AF_SPEC);
        six = zl_nl_nest(&buf, AF_INET6);
        zl_nl_put(&buf, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof(none));
        zl_nl_nest_end(&buf, six);
        zl_nl_nest_end(&buf, families);
        zl_nl_end(&buf, begin);
        zl_nl_transact(nl, &buf, NULL);
}

int zl_link_add_veth(struct zl_nl *nl, const struct zl_veth *veth, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        size_t begin = begin_link(&buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, true), info;
        int r;

        zl_nl_put_str(&buf, IFLA_IFNAME, veth->host);
        zl_nl_put_u32(&buf, IFLA_MASTER, veth->bridge);
        if (veth->mtu)
                zl_nl_put_u32(&buf, IFLA_MTU, veth->mtu);
        info = zl_nl_nest(&buf, IFLA_LINKINFO);
        zl_nl_put(&buf, IFLA_INFO_KIND, "veth", 4);
        put_peer(&buf, veth);
        zl_nl_nest_end(&buf, info);
        zl_nl_end(&buf, begin);
        put_hairpin(&buf, veth->host);
        r = run(nl, &buf, err, "make the link", veth->host);
        if (r == 0)
                be_without_address(nl, veth->host);
        return r;
}

int zl_link_delete(struct zl_nl *nl, const char *name, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        size_t begin = begin_link(&buf, RTM_DELLINK, 0, 0, false);
        struct zl_error own = ZL_ERROR_INIT;
        int r;

        zl_nl_put_str(&buf, IFLA_IFNAME, name);
        zl_nl_end(&buf, begin);
        r = run(nl, &buf, &own, "remove the link", name);
        if (r == -ENODEV)
                r = 0;
        if (r < 0)
                zl_error_move(err, &own);
        zl_error_done(&own);
        return r;
}

static void put_address(struct zl_buf *buf, int index, const struct zl_net_addr *a, bool no_source)
{
        const struct ifa_cacheinfo deprecated = { .ifa_prefered = 0, .ifa_valid = UINT32_MAX };
        const struct ifaddrmsg head = { .ifa_family = a->family,
                                        .ifa_prefixlen = a->prefix,
                                        .ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0,
                                        .ifa_index = (unsigned)index };
        size_t begin = zl_nl_begin(buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head,
                                   sizeof(head));

        zl_nl_put(buf, IFA_LOCAL, a->bytes, address_size(a));
        zl_nl_put(buf, IFA_ADDRESS, a->bytes, address_size(a));
        if (no_source && a->family == AF_INET6)
                zl_nl_put(buf, IFA_CACHEINFO, &deprecated, sizeof(deprecated));
        zl_nl_end(buf, begin);
}

int zl_link_drop_address(struct zl_nl *nl, unsigned link, const struct zl_net_addr *address)
{
        const struct ifaddrmsg head = { .ifa_family = address->family,
                                        .ifa_prefixlen = address->prefix,
                                        .ifa_index = link };
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        size_t begin = zl_nl_begin(&buf, RTM_DELADDR, 0, &head, sizeof(head));
        int r;

        zl_nl_put(&buf, IFA_LOCAL, address->bytes, address_size(address));
        zl_nl_end(&buf, begin);
        r = zl_nl_transact(nl, &buf, NULL);
        return r == -EADDRNOTAVAIL || r == -ENODEV ? 0 : r;
}

static void put_default_route(struct zl_buf *buf, int index, const struct zl_net_addr *gateway)
{
        const struct rtmsg head = { .rtm_family = gateway->family,
                                    .rtm_table = RT_TABLE_MAIN,
                                    .rtm_protocol = RTPROT_BOOT,
                                    .rtm_scope = RT_SCOPE_UNIVERSE,
                                    .rtm_type = RTN_UNICAST };
        size_t begin = zl_nl_begin(buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &head,
                                   sizeof(head));

        zl_nl_put(buf, RTA_GATEWAY, gateway->bytes, address_size(gateway));
        zl_nl_put_u32(buf, RTA_OIF, (uint32_t)index);
        zl_nl_end(buf, begin);
}

static void put_family(struct zl_buf *buf, int index, const struct zl_link_setup *setup,
                       uint8_t family)
{
        for (size_t i = 0; i < setup->n_addresses; i++)
                if (setup->addresses[i].family == family)
                        put_address(buf, index, &setup->addresses[i], setup->no_source);
        for (size_t i = 0; i < setup->n_gateways; i++)
                if (setup->gateways[i].family == family)
                        put_default_route(buf, index, &setup->gateways[i]);
}

int zl_link_setup(struct zl_nl *nl, const struct zl_link_setup *setup, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf four = ZL_NL_BUF, six = ZL_NL_BUF;
        int index = zl_link_index(nl, setup->name), r;

        if (index <= 0)
                return zl_fail_errno(err, index < 0 ? -index : ENODEV, "cannot set up the link %s",
                                     setup->name);
        zl_nl_end(&four, begin_link(&four, RTM_SETLINK, 0, index, true));
        put_family(&four, index, setup, AF_INET);
        r = run(nl, &four, err, "set up the link", setup->name);
        if (r < 0)
                return r;
        put_family(&six, index, setup, AF_INET6);
        r = six.len ? zl_nl_transact(nl, &six, NULL) : 0;
        if (r == -EOPNOTSUPP || r == -EACCES || r == -EAFNOSUPPORT || r == -EPERM)
                return 0;
        return r < 0 ? zl_fail_errno(err, -r, "cannot set up IPv6 on the link %s", setup->name) : 0;
}
