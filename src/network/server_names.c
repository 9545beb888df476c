/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name service of our networks: the server of dns_server.h in our loop, listening at the gateway addresses of each bridge, with a
 * table that follows the attachments. The table needs no record: it is made anew from those of the containers.
 *
 * What may go wrong: somebody has port 53 of every address of the host. The network does without names then, which the log says, and
 * its containers are not told that there were any.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/strv.h"
#include "network/server.h"

#define RESOLV_CONF "/etc/resolv.conf"

static void names_ready(struct zl_net_server *s, struct zl_net_source *source, uint32_t events)
{
        zl_dns_server_dispatch(s->dns);
}

int zl_net_names_open(struct zl_net_server *s, struct zl_error *err)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;
        int r;

        s->names = zl_names_new();
        if (!s->names)
                return zl_fail_oom(err);
        r = zl_dns_server_new(s->names, &s->dns, err);
        if (r < 0)
                return r;
        if (zl_dns_server_follow(s->dns, RESOLV_CONF, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "only names of containers are resolved");
        s->dns_source = (struct zl_net_source){ .fd = zl_dns_server_fd(s->dns),
                                                .ready = names_ready };
        r = zl_net_source_add(s, &s->dns_source);
        return r < 0 ? zl_fail_errno(err, -r, "cannot watch the name service") : 0;
}

void zl_net_names_listen(struct zl_net_server *s, struct zl_net_network *n)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

        if (n->has_names)
                return;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(n->gateway); i++) {
                struct zl_dns_listener l = ZL_DNS_LISTENER_INIT;

                l.network = n->name;
                l.address = zl_net_ip(&n->gateway[i]);
                l.prefix_bits = n->gateway[i].prefix;
                if (zl_dns_server_listen(s->dns, &l, &why) == 0)
                        continue;
                zl_log_error(ZL_LOG_WARNING, &why, "network %s", n->name);
                zl_error_done(&why);
                /* A host without IPv6 is one thing, IPv4 is what containers are told. */
                if (l.address.family == AF_INET) {
                        zl_dns_server_unlisten(s->dns, n->name);
                        return;
                }
        }
        n->has_names = true;
}

void zl_net_names_unlisten(struct zl_net_server *s, const struct zl_net_network *n)
{
        zl_dns_server_unlisten(s->dns, n->name);
        zl_names_remove_network(s->names, n->name);
}

static int set_record(struct zl_net_server *s, const struct zl_net_attachment *a,
                      struct zl_error *err)
{
        const struct zl_net_addr four = zl_net_address(a->network, AF_INET, a->host),
                                 six = zl_net_address(a->network, AF_INET6, a->host);
        const struct zl_ip addresses[] = { zl_net_ip(&four), zl_net_ip(&six) };
        _cleanup_strv_ char **names = NULL;
        struct zl_names_record record = { .network = a->network->name,
                                          .owner = a->name,
                                          .addresses = addresses,
                                          .n_addresses = 2,
                                          .ready = a->ready };
        char replica[16];
        int r;

        snprintf(replica, sizeof(replica), "%d", (int)zl_json_int(a->document, "replica", 1));
        r = zl_names_of_replica(zl_json_str(a->document, "service", "-"), replica, NULL, &names,
                                err);
        record.names = names;
        return r < 0 ? r : zl_names_set(s->names, &record, err);
}

void zl_net_names_add(struct zl_net_server *s, const struct zl_net_attachment *a)
{
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

        if (set_record(s, a, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "%s has no name", a->name);
}

void zl_net_names_remove(struct zl_net_server *s, const struct zl_net_attachment *a)
{
        zl_names_remove(s->names, a->network->name, a->name);
}

int zl_net_set_ready(struct zl_net_server *s, struct zl_net_attachment *a, bool ready,
                     struct zl_error *err)
{
        if (a->ready == ready)
                return 0;
        /* First the answer, then the disk: who ends must not wait for it. */
        a->ready = ready;
        zl_names_set_ready(s->names, a->network->name, a->name, ready);
        zl_net_ports_update(s, a);
        if (zl_json_set(a->document, "ready", json_boolean(ready)) < 0)
                return zl_fail_oom(err);
        return zl_net_save(s, "containers", a->name, a->document, err);
}
