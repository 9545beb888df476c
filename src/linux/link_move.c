/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link goes into another network namespace. Name, namespace and nothing else change, in one request; the kernel takes the link down and its
 * addresses off, so those that somebody gave it for good and for everywhere (permanent, scope global) are put on again before it
 * goes up. Others (leases, those of the link alone) belong to the network that it has left.
 *
 * What may go wrong: the name is taken over there, or the link must not leave (NETIF_F_NETNS_LOCAL): the kernel's words are in the error.
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "linux/link.h"

struct addresses {
        unsigned link;
        struct {
                struct ifaddrmsg head;
                uint8_t local[16], peer[16];
                size_t len;
        } items[64];
        size_t n;
};

static int on_address(const struct nlmsghdr *m, void *data)
{
        struct addresses *a = data;
        const struct ifaddrmsg *head = NLMSG_DATA(m);
        const void *local, *peer, *more;
        uint32_t flags;
        size_t len;

        if (m->nlmsg_type != RTM_NEWADDR || m->nlmsg_len < NLMSG_LENGTH(sizeof(*head)) ||
            head->ifa_index != a->link || head->ifa_scope != RT_SCOPE_UNIVERSE)
                return 0;
        len = head->ifa_family == AF_INET ? 4 : 16;
        flags = head->ifa_flags;
        more = zl_nl_find(m, sizeof(*head), IFA_FLAGS, sizeof(flags), NULL);
        if (more)
                memcpy(&flags, more, sizeof(flags));
        peer = zl_nl_find(m, sizeof(*head), IFA_ADDRESS, len, NULL);
        local = zl_nl_find(m, sizeof(*head), IFA_LOCAL, len, NULL);
        if (!(flags & IFA_F_PERMANENT) || !peer)
                return 0;
        if (a->n == ZL_ARRAY_SIZE(a->items))
                return -E2BIG;
        a->items[a->n].head = *head;
        a->items[a->n].len = len;
        memcpy(a->items[a->n].local, local ? local : peer, len);
        memcpy(a->items[a->n].peer, peer, len);
        a->n++;
        return 0;
}

static int read_addresses(struct zl_nl *nl, unsigned link, struct addresses *ret)
{
        const struct ifaddrmsg head = { .ifa_family = AF_UNSPEC };
        int r;

        do {
                _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;

                *ret = (struct addresses){ .link = link };
                zl_nl_end(&buf, zl_nl_begin(&buf, RTM_GETADDR, NLM_F_DUMP, &head, sizeof(head)));
                r = zl_nl_dump(nl, &buf, on_address, ret);
        } while (r == -EINTR);
        return r;
}

static void put_addresses(struct zl_buf *buf, unsigned link, const struct addresses *a)
{
        for (size_t i = 0; i < a->n; i++) {
                struct ifaddrmsg head = a->items[i].head;
                size_t begin;

                head.ifa_index = link;
                head.ifa_flags = head.ifa_family == AF_INET6 ? IFA_F_NODAD : 0;
                begin = zl_nl_begin(buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &head,
                                    sizeof(head));
                zl_nl_put(buf, IFA_LOCAL, a->items[i].local, a->items[i].len);
                zl_nl_put(buf, IFA_ADDRESS, a->items[i].peer, a->items[i].len);
                zl_nl_end(buf, begin);
        }
}

static int move(struct zl_nl *nl, unsigned link, const char *new_name, int netns_fd)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        const struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = (int)link };
        size_t begin = zl_nl_begin(&buf, RTM_NEWLINK, 0, &head, sizeof(head));

        zl_nl_put_str(&buf, IFLA_IFNAME, new_name);
        zl_nl_put_u32(&buf, IFLA_NET_NS_FD, (uint32_t)netns_fd);
        zl_nl_end(&buf, begin);
        return zl_nl_transact(nl, &buf, NULL);
}

/* The addresses before the link is up: so nobody sees it without them. */
static int complete(struct zl_nl *nl, const char *name, const struct addresses *a)
{
        _cleanup_buf_ struct zl_buf buf = ZL_NL_BUF;
        struct ifinfomsg up = { .ifi_family = AF_UNSPEC,
                                .ifi_flags = IFF_UP,
                                .ifi_change = IFF_UP };
        int index = zl_link_index(nl, name);

        if (index <= 0)
                return index < 0 ? index : -ENODEV;
        put_addresses(&buf, (unsigned)index, a);
        up.ifi_index = index;
        zl_nl_end(&buf, zl_nl_begin(&buf, RTM_NEWLINK, 0, &up, sizeof(up)));
        return zl_nl_transact(nl, &buf, NULL);
}

int zl_link_move(struct zl_nl *from, const char *name, struct zl_nl *to, int to_fd,
                 const char *new_name, struct zl_error *err)
{
        struct addresses addresses;
        int index = zl_link_index(from, name), r;

        if (index <= 0)
                return zl_fail_errno(err, index < 0 ? -index : ENODEV,
                                     "there is no network device %s", name);
        r = read_addresses(from, (unsigned)index, &addresses);
        if (r == 0)
                r = move(from, (unsigned)index, new_name, to_fd);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot move the network device %s", name);
        r = complete(to, new_name, &addresses);
        return r < 0 ? zl_fail_errno(err, -r, "cannot set up the network device %s", new_name) : 0;
}
