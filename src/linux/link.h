/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, addresses and routes, over a NETLINK_ROUTE socket (linux/nl.h) in the namespace that is meant. Addresses are AF_INET or
 * AF_INET6 with 4 or 16 bytes in network order. Each request is carried out when the call returns.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>

#include "linux/nl.h"

enum { ZL_MAC_SIZE = 6 };

struct zl_net_addr {
        uint8_t family; /* AF_INET, AF_INET6 */
        uint8_t prefix; /* bits */
        uint8_t bytes[16];
};

/* Index of a link by name; 0 if there is none; negative errno. `nl` decides the namespace. */
int zl_link_index(struct zl_nl *nl, const char *name);

/* A bridge that is up. `mac` is fixed, so it does not change with what is plugged in. ZL_E_EXISTS if the name is taken. */
int zl_link_add_bridge(struct zl_nl *nl, const char *name, const uint8_t mac[ZL_MAC_SIZE],
                       uint32_t mtu, struct zl_error *err);

struct zl_veth {
        const char *host; /* name of our end, which is up and a port of `bridge` */
        const char *peer; /* name of the other end, made directly in the other namespace, not up */
        int netns_fd;     /* that namespace */
        unsigned bridge;  /* index */
        const uint8_t *mac; /* of the peer; ZL_MAC_SIZE */
        uint32_t mtu;       /* of both; 0: the kernel's */
};
int zl_link_add_veth(struct zl_nl *nl, const struct zl_veth *veth, struct zl_error *err);

/* Moves a link into another network namespace, where it is called `new_name`, with its permanent global addresses (at most 64), and up.
 * `to` and `to_fd` are a socket of that namespace and the namespace itself. Where it fails after the move the link is there. */
int zl_link_move(struct zl_nl *from, const char *name, struct zl_nl *to, int to_fd,
                 const char *new_name, struct zl_error *err);

/* Missing is success. */
int zl_link_delete(struct zl_nl *nl, const char *name, struct zl_error *err);

/* What a container's namespace gets: the link named `name` up, with addresses, and default routes by way of the gateways.
 * A family that the kernel does not do is left out when it is AF_INET6. */
struct zl_link_setup {
        const char *name;
        const struct zl_net_addr *addresses;
        size_t n_addresses;
        const struct zl_net_addr *gateways; /* prefix is not looked at */
        size_t n_gateways;
        bool no_source; /* what this host begins itself does not begin at these IPv6 addresses */
};
int zl_link_setup(struct zl_nl *nl, const struct zl_link_setup *setup, struct zl_error *err);
/* Takes an address away. Missing is success. Negative errno. */
int zl_link_drop_address(struct zl_nl *nl, unsigned link, const struct zl_net_addr *address);

/* ---- looking -------------------------------------------------------------------------------------- */

struct zl_link_info {
        unsigned index, master;
        uint32_t mtu;
        bool up;
        char name[IF_NAMESIZE];
        uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets, rx_errors, tx_errors, rx_dropped,
                tx_dropped;
};
typedef int zl_link_each(const struct zl_link_info *link, void *data);
/* Stops when `each` returns non-zero, which is returned. */
int zl_link_list(struct zl_nl *nl, zl_link_each *each, void *data);

/* Every prefix that this host has an address in or a route to, but default routes: what a new subnet must not overlap. */
typedef int zl_prefix_each(const struct zl_net_addr *prefix, unsigned link, void *data);
int zl_route_list(struct zl_nl *nl, zl_prefix_each *each, void *data);

/* MTU of the link of the default route of a family and its index; 0 if there is none. */
uint32_t zl_route_default_mtu(struct zl_nl *nl, uint8_t family, unsigned *ret_link);
