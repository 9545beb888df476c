/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions that are ours: names in the table of the network that asks, everything below service.local, reverse names of addresses that
 * are known or belong to the network. A name that exists without what was asked for (no ready replica, another type) is no error: the
 * answer is empty. All may be kept for no time at all, so that nobody goes on to use the address of a replica that has died.
 */
#include "network/dns_answer.h"

enum { TTL = 0 };

struct addresses {
        struct zl_dns_writer *writer;
        unsigned type;
};

static bool add_address(const struct zl_ip *address, void *data)
{
        const struct addresses *a = data;
        unsigned type = address->family == AF_INET ? ZL_DNS_A : ZL_DNS_AAAA;

        if (a->type != type && a->type != ZL_DNS_ANY)
                return true;
        return zl_dns_write_address(a->writer, address, TTL);
}

static unsigned without_data(const struct zl_dns_query *query, struct zl_dns_writer *w,
                             unsigned rcode)
{
        bool below = zl_dns_name_is_below(query->name, ZL_NAMES_DOMAIN);

        w->authoritative = true;
        if (w->counts[0] == 0 && !w->truncated)
                zl_dns_write_soa(w, below ? ZL_NAMES_DOMAIN : NULL, TTL);
        return rcode;
}

static bool answer_reverse(struct zl_names *names, const struct zl_dns_scope *scope,
                           const struct zl_dns_query *query, struct zl_dns_writer *w,
                           unsigned *ret_rcode)
{
        const char *name;
        struct zl_ip ip;

        if (zl_dns_reverse_address(query->name, &ip) < 0)
                return false;
        name = zl_names_reverse(names, scope->network, &ip);
        if (!name &&
            (scope->prefix_bits == 0 || !zl_ip_in_prefix(&ip, &scope->address, scope->prefix_bits)))
                return false;
        if (name && (query->type == ZL_DNS_PTR || query->type == ZL_DNS_ANY))
                zl_dns_write_ptr(w, name, TTL);
        *ret_rcode = without_data(query, w, name ? ZL_DNS_NOERROR : ZL_DNS_NXDOMAIN);
        return true;
}

bool zl_dns_answer(struct zl_names *names, const struct zl_dns_scope *scope,
                   const struct zl_dns_query *query, struct zl_dns_writer *w, unsigned *ret_rcode)
{
        struct addresses a = { w, query->type };

        if ((query->class != ZL_DNS_CLASS_IN && query->class != ZL_DNS_CLASS_ANY) ||
            query->type == ZL_DNS_AXFR || query->type == ZL_DNS_IXFR) {
                *ret_rcode = ZL_DNS_REFUSED;
                return true;
        }
        if (zl_names_lookup(names, scope->network, query->name, add_address, &a)) {
                *ret_rcode = without_data(query, w, ZL_DNS_NOERROR);
                return true;
        }
        if (zl_dns_name_is_below(query->name, ZL_NAMES_DOMAIN)) {
                bool apex = zl_streq(query->name, ZL_NAMES_DOMAIN);

                *ret_rcode = without_data(query, w, apex ? ZL_DNS_NOERROR : ZL_DNS_NXDOMAIN);
                return true;
        }
        return answer_reverse(names, scope, query, w, ret_rcode);
}
