/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table. Its picture:
 *
 *   prerouting, output   what arrives at an address and port that is published, or at the balanced address of a service, goes
 *                        to the chain of that front
 *   front chains         one of the targets at random, by a map
 *   postrouting          masquerade what leaves a network, and what comes back into the one it came from (a container that
 *                        reaches a neighbour, or itself, by a published port: the answer has to pass here, too)
 *   forward              answers and published ports; within a network all; into a network nothing else
 *   forward, input,      what goes to a container by a front, and what comes back, is counted for the front
 *   output
 *
 * Counting costs every packet, so it has to be one rule and one look into a map, however many fronts there are, and before that which accepts
 * answers, so that it costs hardly more. What is led nowhere, as nearly all that the host itself sends and gets, must not come so far: its status is
 * a bit. Conntrack keeps for us by which front a connection came: a label of 128 bits, set with the target. (Its mark has one user only, who
 * may well be another, and the address that the client wrote to would be two looks and four times the price.) Labels of others on the
 * same connection make it one that is not counted.
 *
 * Loopback addresses are left out: a packet of 127.0.0.1 cannot be sent out of another link without route_localnet, which would
 * open the host's loopback services to its neighbours. Who holds the port forwards those by hand.
 */
#include "network/firewall.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/fnv.h"
#include "base/forbid.h"

enum { PRIORITY_DSTNAT = -100, PRIORITY_SRCNAT = 100, PRIORITY_FILTER = 0, PORT_OFFSET = 2 };
enum { WATCH_BUFFER = 64 * 1024 };
enum { ORIGINAL, REPLY }; /* directions of a connection: IP_CT_DIR_… */
enum { SOURCE_4 = 12, DESTINATION_4 = 16, SOURCE_6 = 8, DESTINATION_6 = 24 };

/* Key of a map of fronts: address if it has one, protocol, port, each in four bytes of its own. */
struct key {
        uint8_t bytes[24];
        size_t len;
        const char *map;
};

static struct key front_key(const struct zl_firewall_front *f)
{
        size_t n = zl_ip_size(&f->address);
        uint16_t port = htons(f->port);
        struct key key = { .len = n + 8, .map = n == 0 ? "any" : n == 4 ? "four" : "six" };

        memcpy(key.bytes, f->address.bytes, n);
        key.bytes[n] = f->udp ? IPPROTO_UDP : IPPROTO_TCP;
        memcpy(key.bytes + n + 4, &port, sizeof(port));
        return key;
}

void zl_firewall_front_name(const struct zl_firewall_front *f, const char *what,
                            char ret[ZL_FIREWALL_NAME_MAX])
{
        char address[ZL_IP_TEXT_MAX];

        zl_ip_format(&f->address, address);
        for (char *p = address; *p; p++)
                if (*p == ':')
                        *p = '_';
        snprintf(ret, ZL_FIREWALL_NAME_MAX, "%s-%s%s%s-%u", what, f->udp ? "udp" : "tcp",
                 *address ? "-" : "", address, f->port);
}

/* What all connections have that come by a front, in this life of the table and the next ones: half of the bits are left to others. */
struct label {
        uint8_t bytes[ZL_NFT_LABEL_SIZE + 4];
};

static struct label front_label(const struct zl_firewall_front *f, uint8_t direction)
{
        struct label label = { .bytes = { [ZL_NFT_LABEL_SIZE] = direction } };
        char name[ZL_FIREWALL_NAME_MAX];
        uint64_t h;

        zl_firewall_front_name(f, "to", name);
        h = zl_fnv(ZL_FNV_INIT, name, strlen(name));
        memcpy(label.bytes + ZL_NFT_LABEL_SIZE - sizeof(h), &h, sizeof(h));
        return label;
}

static const struct {
        const char *what; /* for zl_firewall_front_name() */
        uint8_t direction;
} ways[] = { { "in", ORIGINAL }, { "out", REPLY } };

/* ---- pieces of rules ------------------------------------------------------------------------------ */

static void is_byte(struct zl_nft *nft, enum nft_meta_keys key, uint8_t value)
{
        zl_nft_meta(nft, key, NFT_REG_1);
        zl_nft_compare(nft, NFT_REG_1, NFT_CMP_EQ, &value, sizeof(value));
}

static void is_any_bit(struct zl_nft *nft, enum nft_ct_keys key, uint32_t bits)
{
        const uint32_t zero = 0;

        zl_nft_ct(nft, key, NFT_REG_1);
        zl_nft_mask(nft, NFT_REG_1, &bits, sizeof(bits));
        zl_nft_compare(nft, NFT_REG_1, NFT_CMP_NEQ, &zero, sizeof(zero));
}

static void is_link(struct zl_nft *nft, enum nft_meta_keys key, enum nft_cmp_ops op,
                    const char *name)
{
        char padded[IF_NAMESIZE] = { 0 };

        snprintf(padded, sizeof(padded), "%s", name);
        zl_nft_meta(nft, key, NFT_REG_1);
        zl_nft_compare(nft, NFT_REG_1, op, padded, sizeof(padded));
}

static void is_in_prefix(struct zl_nft *nft, bool source, const struct zl_net_addr *prefix)
{
        bool four = prefix->family == AF_INET;
        uint32_t len = four ? 4 : 16;
        uint32_t offset = four ? (source ? SOURCE_4 : DESTINATION_4)
                               : (source ? SOURCE_6 : DESTINATION_6);
        uint8_t mask[16] = { 0 };

        for (unsigned i = 0; i < prefix->prefix; i++)
                mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
        zl_nft_payload(nft, NFT_PAYLOAD_NETWORK_HEADER, offset, len, NFT_REG_1);
        zl_nft_mask(nft, NFT_REG_1, mask, len);
        zl_nft_compare(nft, NFT_REG_1, NFT_CMP_EQ, prefix->bytes, len);
}

static void is_family(struct zl_nft *nft, bool four)
{
        is_byte(nft, NFT_META_NFPROTO, four ? ZL_NF_IPV4 : ZL_NF_IPV6);
}

/* ---- the way in ---------------------------------------------------------------------------------- */

static void put_dispatch(struct zl_nft *nft, const char *chain, const char *map)
{
        bool four = zl_streq(map, "four"), six = zl_streq(map, "six");
        uint32_t size = four ? 4 : six ? 16 : 0, reg = NFT_REG32_00 + size / 4;

        zl_nft_rule(nft, chain);
        if (size > 0) {
                is_family(nft, four);
                zl_nft_payload(nft, NFT_PAYLOAD_NETWORK_HEADER,
                               four ? DESTINATION_4 : DESTINATION_6, size, NFT_REG32_00);
        } else {
                const uint32_t local = RTN_LOCAL;

                zl_nft_fib_type(nft, NFT_REG_1);
                zl_nft_compare(nft, NFT_REG_1, NFT_CMP_EQ, &local, sizeof(local));
        }
        zl_nft_meta(nft, NFT_META_L4PROTO, reg);
        zl_nft_payload(nft, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_OFFSET, 2, reg + 1);
        zl_nft_lookup_verdict(nft, map, NFT_REG32_00);
        zl_nft_rule_end(nft);
}

static void put_loopback_return(struct zl_nft *nft, const char *chain)
{
        static const struct zl_net_addr four = { AF_INET, 8, { 127 } };
        static const struct zl_net_addr six = { AF_INET6, 128, { [15] = 1 } };

        zl_nft_rule(nft, chain);
        is_family(nft, true);
        is_in_prefix(nft, false, &four);
        zl_nft_verdict(nft, NFT_RETURN);
        zl_nft_rule_end(nft);
        zl_nft_rule(nft, chain);
        is_family(nft, false);
        is_in_prefix(nft, false, &six);
        zl_nft_verdict(nft, NFT_RETURN);
        zl_nft_rule_end(nft);
}

static void put_dispatches(struct zl_nft *nft, const char *chain)
{
        static const char *const maps[] = { "four", "six", "any" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(maps); i++)
                put_dispatch(nft, chain, maps[i]);
}

/* Balanced addresses are those of a network: who comes by another link is not let through to them. */
static void put_guard(struct zl_nft *nft, const char *bridge, const struct zl_net_addr *services)
{
        if (!services->family)
                return;
        zl_nft_rule(nft, "prerouting");
        is_family(nft, services->family == AF_INET);
        is_in_prefix(nft, false, services);
        is_link(nft, NFT_META_IIFNAME, NFT_CMP_NEQ, bridge);
        zl_nft_verdict(nft, ZL_NF_DROP);
        zl_nft_rule_end(nft);
}

static void put_prerouting(struct zl_nft *nft, const struct zl_firewall_network *networks, size_t n)
{
        zl_nft_flush_chain(nft, "prerouting");
        put_loopback_return(nft, "prerouting");
        for (size_t i = 0; i < n; i++) {
                put_guard(nft, networks[i].bridge, &networks[i].services4);
                put_guard(nft, networks[i].bridge, &networks[i].services6);
        }
        put_dispatches(nft, "prerouting");
}

/* ---- networks ------------------------------------------------------------------------------------- */

static void masquerade(struct zl_nft *nft, const char *bridge, const struct zl_net_addr *subnet)
{
        if (!subnet->family)
                return;
        zl_nft_rule(nft, "postrouting");
        is_family(nft, subnet->family == AF_INET);
        is_in_prefix(nft, true, subnet);
        is_link(nft, NFT_META_OIFNAME, NFT_CMP_NEQ, bridge);
        zl_nft_masquerade(nft);
        zl_nft_rule_end(nft);
        zl_nft_rule(nft, "postrouting");
        is_family(nft, subnet->family == AF_INET);
        is_in_prefix(nft, true, subnet);
        is_in_prefix(nft, false, subnet);
        is_any_bit(nft, NFT_CT_STATUS, IPS_DST_NAT);
        zl_nft_masquerade(nft);
        zl_nft_rule_end(nft);
}

/* Behind the last byte of the label stands the direction. */
static void put_count(struct zl_nft *nft, const char *chain)
{
        zl_nft_rule(nft, chain);
        is_any_bit(nft, NFT_CT_STATUS, IPS_DST_NAT);
        zl_nft_ct(nft, NFT_CT_LABELS, NFT_REG32_00);
        zl_nft_ct(nft, NFT_CT_DIRECTION, NFT_REG32_00 + ZL_NFT_LABEL_SIZE / 4);
        zl_nft_counter_of(nft, "counts", NFT_REG32_00);
        zl_nft_verdict(nft, ZL_NF_ACCEPT);
        zl_nft_rule_end(nft);
}

static void put_forward(const struct zl_firewall *fw, struct zl_nft *nft,
                        const struct zl_firewall_network *networks, size_t n)
{
        if (!fw->lacks_labels)
                put_count(nft, "forward");
        /* The kernel's numbers of the states: established and related. */
        zl_nft_rule(nft, "forward");
        is_any_bit(nft, NFT_CT_STATE, 1U << 1 | 1U << 2);
        zl_nft_verdict(nft, ZL_NF_ACCEPT);
        zl_nft_rule_end(nft);
        zl_nft_rule(nft, "forward");
        is_any_bit(nft, NFT_CT_STATUS, IPS_DST_NAT);
        zl_nft_verdict(nft, ZL_NF_ACCEPT);
        zl_nft_rule_end(nft);
        for (size_t i = 0; i < n; i++) {
                zl_nft_rule(nft, "forward");
                is_link(nft, NFT_META_OIFNAME, NFT_CMP_EQ, networks[i].bridge);
                is_link(nft, NFT_META_IIFNAME, NFT_CMP_NEQ, networks[i].bridge);
                zl_nft_counter(nft);
                zl_nft_verdict(nft, ZL_NF_DROP);
                zl_nft_rule_end(nft);
        }
}

static void put_networks(const struct zl_firewall *fw, struct zl_nft *nft,
                         const struct zl_firewall_network *networks, size_t n)
{
        zl_nft_flush_chain(nft, "postrouting");
        zl_nft_flush_chain(nft, "forward");
        put_prerouting(nft, networks, n);
        for (size_t i = 0; i < n; i++) {
                masquerade(nft, networks[i].bridge, &networks[i].four);
                masquerade(nft, networks[i].bridge, &networks[i].six);
        }
        put_forward(fw, nft, networks, n);
}

/* ---- fronts --------------------------------------------------------------------------------------- */

static void put_targets(const struct zl_firewall *fw, struct zl_nft *nft,
                        const struct zl_firewall_front *f, bool four)
{
        const struct label label = front_label(f, ORIGINAL);
        char chain[ZL_FIREWALL_NAME_MAX];
        uint8_t family = four ? ZL_NF_IPV4 : ZL_NF_IPV6;
        size_t size = zl_nft_target_size(family), n = 0;
        _cleanup_free_ uint8_t *targets = calloc(f->n_targets + 1, size);

        if (!targets) {
                nft->buf.error = -ENOMEM;
                return;
        }
        for (size_t i = 0; i < ZL_MIN(f->n_targets, (size_t)ZL_FIREWALL_TARGETS_MAX); i++) {
                const struct zl_ip *ip = four ? &f->targets[i].four : &f->targets[i].six;
                uint16_t port = htons(f->targets[i].port);
                uint8_t *p = targets + n * size;

                if (!ip->family)
                        continue;
                memcpy(p, ip->bytes, zl_ip_size(ip));
                memcpy(p + size - 4, &port, sizeof(port));
                n++;
        }
        if (n == 0)
                return;
        zl_firewall_front_name(f, "to", chain);
        zl_nft_rule(nft, chain);
        is_family(nft, four);
        is_byte(nft, NFT_META_L4PROTO, f->udp ? IPPROTO_UDP : IPPROTO_TCP);
        if (!fw->lacks_labels)
                zl_nft_label(nft, label.bytes);
        zl_nft_balance(nft, family, targets, n);
        zl_nft_rule_end(nft);
}

static void put_counters(const struct zl_firewall *fw, struct zl_nft *nft,
                         const struct zl_firewall_front *f)
{
        char name[ZL_FIREWALL_NAME_MAX];

        zl_firewall_front_name(f, "to", name);
        zl_nft_add_counter(nft, name);
        for (size_t i = 0; !fw->lacks_labels && i < ZL_ARRAY_SIZE(ways); i++) {
                const struct label label = front_label(f, ways[i].direction);

                zl_firewall_front_name(f, ways[i].what, name);
                zl_nft_add_counter(nft, name);
                zl_nft_add_counter_element(nft, "counts", label.bytes, sizeof(label.bytes), name);
        }
}

static void remove_counters(const struct zl_firewall *fw, struct zl_nft *nft,
                            const struct zl_firewall_front *f)
{
        char name[ZL_FIREWALL_NAME_MAX];

        zl_firewall_front_name(f, "to", name);
        zl_nft_delete_counter(nft, name);
        for (size_t i = 0; !fw->lacks_labels && i < ZL_ARRAY_SIZE(ways); i++) {
                const struct label label = front_label(f, ways[i].direction);

                zl_nft_delete_element(nft, "counts", label.bytes, sizeof(label.bytes));
                zl_firewall_front_name(f, ways[i].what, name);
                zl_nft_delete_counter(nft, name);
        }
}

static void put_front(const struct zl_firewall *fw, struct zl_nft *nft,
                      const struct zl_firewall_front *f)
{
        struct key key = front_key(f);
        char chain[ZL_FIREWALL_NAME_MAX];

        zl_firewall_front_name(f, "to", chain);
        if (!f->is_known)
                put_counters(fw, nft, f);
        zl_nft_add_chain(nft, chain);
        zl_nft_flush_chain(nft, chain);
        zl_nft_rule(nft, chain);
        zl_nft_named_counter(nft, chain);
        zl_nft_rule_end(nft);
        if (!f->address.family || f->address.family == AF_INET)
                put_targets(fw, nft, f, true);
        if (!f->address.family || f->address.family == AF_INET6)
                put_targets(fw, nft, f, false);
        zl_nft_add_element(nft, key.map, key.bytes, key.len, chain);
}

/* ---- the table ------------------------------------------------------------------------------------ */

/* nft does not know a label in a map: whoever lists the table sees it as an address. */
static void put_counting(struct zl_nft *nft)
{
        const uint32_t type = ZL_NFT_JOIN(ZL_NFT_TYPE_IPV6, ZL_NFT_TYPE_CT_DIRECTION);

        zl_nft_add_counter_map(nft, "counts", type, sizeof(struct label));
        zl_nft_add_base_chain(nft, "count-input", "filter", ZL_NF_INPUT, PRIORITY_FILTER);
        zl_nft_add_base_chain(nft, "count-output", "filter", ZL_NF_OUTPUT, PRIORITY_FILTER);
        put_count(nft, "count-input");
        put_count(nft, "count-output");
}

static void put_table(const struct zl_firewall *fw, struct zl_nft *nft)
{
        const uint32_t tail = ZL_NFT_JOIN(ZL_NFT_TYPE_PROTO, ZL_NFT_TYPE_SERVICE);

        zl_nft_add_table(nft);
        zl_nft_delete_table(nft);
        zl_nft_add_table(nft);
        zl_nft_add_base_chain(nft, "prerouting", "nat", ZL_NF_PREROUTING, PRIORITY_DSTNAT);
        zl_nft_add_base_chain(nft, "output", "nat", ZL_NF_OUTPUT, PRIORITY_DSTNAT);
        zl_nft_add_base_chain(nft, "postrouting", "nat", ZL_NF_POSTROUTING, PRIORITY_SRCNAT);
        zl_nft_add_base_chain(nft, "forward", "filter", ZL_NF_FORWARD, PRIORITY_FILTER);
        zl_nft_add_map(nft, "any", tail, 8);
        zl_nft_add_map(nft, "four", (uint32_t)ZL_NFT_TYPE_IPV4 << 12 | tail, 12);
        zl_nft_add_map(nft, "six", (uint32_t)ZL_NFT_TYPE_IPV6 << 12 | tail, 24);
        put_loopback_return(nft, "output");
        put_dispatches(nft, "output");
        if (!fw->lacks_labels)
                put_counting(nft);
}

int zl_firewall_open(const char *table, struct zl_firewall *ret, struct zl_error *err)
{
        snprintf(ret->table, sizeof(ret->table), "%s", table);
        return zl_nl_open(&ret->nl, NETLINK_NETFILTER, err);
}

void zl_firewall_close(struct zl_firewall *fw)
{
        zl_nl_close(&fw->nl);
}

/* A rule that is taken back at once. */
static int probe_labels(struct zl_firewall *fw)
{
        static const uint8_t label[ZL_NFT_LABEL_SIZE] = { 1 };
        _cleanup_nft_ struct zl_nft nft;

        zl_nft_begin(&nft, ZL_NF_INET, fw->table);
        zl_nft_add_table(&nft);
        zl_nft_add_chain(&nft, "probe");
        zl_nft_rule(&nft, "probe");
        zl_nft_label(&nft, label);
        zl_nft_rule_end(&nft);
        zl_nft_flush_chain(&nft, "probe");
        zl_nft_delete_chain(&nft, "probe");
        return zl_nft_commit(&nft, &fw->nl, NULL);
}

int zl_firewall_probe(struct zl_firewall *fw, struct zl_error *err)
{
        _cleanup_nft_ struct zl_nft nft;

        fw->lacks_labels = zl_forbidden("ct-labels") || probe_labels(fw) < 0;

        zl_nft_begin(&nft, ZL_NF_INET, fw->table);
        zl_nft_add_table(&nft);
        return zl_nft_commit(&nft, &fw->nl, err);
}

int zl_firewall_build(struct zl_firewall *fw, const struct zl_firewall_network *networks,
                      size_t n_networks, const struct zl_firewall_front *fronts, size_t n_fronts,
                      struct zl_error *err)
{
        _cleanup_nft_ struct zl_nft nft;

        zl_nft_begin(&nft, ZL_NF_INET, fw->table);
        put_table(fw, &nft);
        put_networks(fw, &nft, networks, n_networks);
        for (size_t i = 0; i < n_fronts; i++)
                put_front(fw, &nft, &fronts[i]);
        return zl_nft_commit(&nft, &fw->nl, err);
}

int zl_firewall_set_networks(struct zl_firewall *fw, const struct zl_firewall_network *networks,
                             size_t n, struct zl_error *err)
{
        _cleanup_nft_ struct zl_nft nft;

        zl_nft_begin(&nft, ZL_NF_INET, fw->table);
        put_networks(fw, &nft, networks, n);
        return zl_nft_commit(&nft, &fw->nl, err);
}

int zl_firewall_set_fronts(struct zl_firewall *fw, const struct zl_firewall_front *fronts, size_t n,
                           struct zl_error *err)
{
        _cleanup_nft_ struct zl_nft nft;

        zl_nft_begin(&nft, ZL_NF_INET, fw->table);
        for (size_t i = 0; i < n; i++)
                put_front(fw, &nft, &fronts[i]);
        return zl_nft_commit(&nft, &fw->nl, err);
}

int zl_firewall_remove_front(struct zl_firewall *fw, const struct zl_firewall_front *front,
                             struct zl_error *err)
{
        struct key key = front_key(front);
        _cleanup_nft_ struct zl_nft nft;
        char chain[ZL_FIREWALL_NAME_MAX];

        zl_firewall_front_name(front, "to", chain);
        zl_nft_begin(&nft, ZL_NF_INET, fw->table);
        zl_nft_delete_element(&nft, key.map, key.bytes, key.len);
        zl_nft_flush_chain(&nft, chain);
        zl_nft_delete_chain(&nft, chain);
        remove_counters(fw, &nft, front);
        return zl_nft_commit(&nft, &fw->nl, err);
}

int zl_firewall_counts(struct zl_firewall *fw, zl_nft_each_counter *each, void *data)
{
        return zl_nft_list_counters(&fw->nl, ZL_NF_INET, fw->table, each, data);
}

int zl_firewall_remove(struct zl_firewall *fw, struct zl_error *err)
{
        _cleanup_nft_ struct zl_nft nft;

        zl_nft_begin(&nft, ZL_NF_INET, fw->table);
        zl_nft_add_table(&nft);
        zl_nft_delete_table(&nft);
        return zl_nft_commit(&nft, &fw->nl, err);
}

/* ---- watching ------------------------------------------------------------------------------------- */

int zl_firewall_watch(struct zl_error *err)
{
        const int group = NFNLGRP_NFTABLES;
        struct zl_nl nl = ZL_NL_INIT;
        int r = zl_nl_open(&nl, NETLINK_NETFILTER, err);

        if (r < 0)
                return r;
        if (setsockopt(nl.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
                r = zl_fail_errno(err, errno, "cannot watch the tables of rules");
                zl_nl_close(&nl);
                return r;
        }
        return nl.fd;
}

static unsigned change_of(const struct zl_firewall *fw, uint32_t ours, const struct nlmsghdr *m)
{
        size_t len = 0;
        const char *table;

        if (m->nlmsg_pid == ours || m->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
                return 0;
        switch (m->nlmsg_type & 0xff) {
        case NFT_MSG_DELTABLE:
                table = zl_nl_find(m, sizeof(struct nfgenmsg), NFTA_TABLE_NAME, 1, &len);
                return table && len == strlen(fw->table) + 1 && memcmp(table, fw->table, len) == 0
                               ? ZL_FIREWALL_DESTROYED
                               : 0;
        case NFT_MSG_NEWCHAIN:
        case NFT_MSG_DELRULE:
                return ZL_FIREWALL_OTHERS;
        default:
                return 0;
        }
}

unsigned zl_firewall_look(const struct zl_firewall *fw, int watch_fd)
{
        struct sockaddr_nl self = { 0 };
        socklen_t self_len = sizeof(self);
        _cleanup_free_ char *buf = malloc(WATCH_BUFFER);
        unsigned changes = 0;
        ssize_t n;

        if (!buf || getsockname(fw->nl.fd, (struct sockaddr *)&self, &self_len) < 0)
                return 0;
        while ((n = recv(watch_fd, buf, WATCH_BUFFER, MSG_DONTWAIT)) != 0) {
                int left = (int)n;

                /* Too many at once: some are lost, and ours may have been among them. */
                if (n < 0 && errno == ENOBUFS)
                        changes |= ZL_FIREWALL_DESTROYED | ZL_FIREWALL_OTHERS;
                else if (n < 0)
                        break;
                for (struct nlmsghdr *m = (struct nlmsghdr *)(void *)buf;
                     n > 0 && left > 0 && NLMSG_OK(m, (unsigned)left); m = NLMSG_NEXT(m, left))
                        changes |= change_of(fw, self.nl_pid, m);
        }
        return changes;
}
