/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of a container's /etc/hosts, /etc/hostname and /etc/resolv.conf. Pure functions of their input: who
 * reads the host's files and who writes the container's is not decided here.
 *
 * Each returns 0 and a text that the caller frees, or a negative errno with `err` filled; none blocks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct zl_net_files {
        const char *hostname;     /* of the container; never NULL */
        bool host_network;        /* it lives in the host's network namespace */
        const char *address;      /* its own address, or NULL while it has only loopback */
        const char *gateway;      /* what "host-gateway" means, or NULL: it is refused then */
        char *const *extra_hosts; /* "name:address"; the address may be IPv6, or "host-gateway" */
        char *const
                *dns; /* resolver addresses that replace the host's; NULL or empty: the host's */
        const char *search;      /* domain that is searched before the host's, or NULL */
        const char *host_hosts;  /* text of the host's /etc/hosts, or NULL */
        const char *host_resolv; /* text of the host's resolv.conf, or NULL */
};

/* With the host's network: the host's entries and then the extra ones. Otherwise loopback, the container's
 * own name, and the extra ones. ZL_E_INVALID for an extra host that is no "name:address". */
int zl_net_make_hosts(const struct zl_net_files *in, char **ret, struct zl_error *err);

int zl_net_make_hostname(const struct zl_net_files *in, char **ret, struct zl_error *err);

/* `*ret_dropped` (may be NULL) is the number of host resolvers that were left out because they are loopback addresses
 * of the host, which mean something else in a namespace of its own. ZL_E_INVALID for a `dns` that is no address. */
int zl_net_make_resolv_conf(const struct zl_net_files *in, char **ret, size_t *ret_dropped,
                            struct zl_error *err);

/* The host's resolver text that is best for a container: that of systemd-resolved's upstream servers if
 * /etc/resolv.conf only names its stub, else /etc/resolv.conf. Reads files; "" if there is none. NULL without memory. */
char *zl_net_read_host_resolv(void);
