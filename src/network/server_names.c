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

/* The host's resolvers are asked where the host is: some listen on its loopback only. */
static int make_socket(void *data, int family, int type)
{
        const struct zl_net_server *s = data;

        return zl_outside_socket(s->outside_fd, family, type);
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
        zl_dns_server_set_sockets(s->dns, make_socket, s);
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

/* Strings of the document, which the result points to; the caller frees the vector only. NULL without memory. */
static char **aliases_of(const json_t *document)
{
        const json_t *list = json_object_get(document, "aliases"), *v;
        char **names = calloc(json_array_size(list) + 1, sizeof(*names));
        size_t i, n = 0;

        json_array_foreach(list, i, v) if (names && json_is_string(v))
                names[n++] = (char *)(uintptr_t)json_string_value(v);
        return names;
}

static bool has_alias(const json_t *document, const char *name)
{
        const json_t *v;
        size_t i;

        json_array_foreach(json_object_get(document, "aliases"), i,
                           v) if (strcasecmp(json_string_value(v) ?: "", name) == 0) return true;
        return false;
}

/* What both have is fine for replicas of one service only, and for services of the same name. */
static bool is_same_service(const char *a, const char *b)
{
        const char *end_a = strrchr(a, '.'), *end_b = strrchr(b, '.');

        return end_a && end_b && end_a - a == end_b - b && memcmp(a, b, (size_t)(end_a - a)) == 0;
}

/* The name that two containers must not both have, or NULL. */
static const char *find_clash(const json_t *mine, const json_t *theirs)
{
        const char *my_service = zl_json_str(mine, "service", ""), *name;
        const json_t *v;
        size_t i;

        json_array_foreach(json_object_get(mine, "aliases"), i, v)
        {
                name = json_string_value(v) ?: "";
                if (strcasecmp(name, zl_json_str(theirs, "service", "")) == 0 ||
                    has_alias(theirs, name))
                        return name;
        }
        return has_alias(theirs, my_service) ? my_service : NULL;
}

int zl_net_names_check(struct zl_net_server *s, const struct zl_net_network *n,
                       const json_t *document, struct zl_error *err)
{
        const json_t *v;
        const char *name;
        size_t i, pos = 0;
        void *value;

        json_array_foreach(json_object_get(document, "aliases"), i, v) if (
                !zl_names_is_name(
                        json_string_value(v)
                                ?: "")) return zl_fail(err, ZL_E_INVALID, 0,
                                                       "network alias: \"%s\" is no host name",
                                                       json_string_value(v) ?: "");
        while (zl_map_next(s->attachments, &pos, &name, &value)) {
                const struct zl_net_attachment *a = value;
                const char *clash = a->network == n &&
                                                    !is_same_service(
                                                            name, zl_json_str(document, "name", ""))
                                            ? find_clash(document, a->document)
                                            : NULL;

                if (clash)
                        return zl_fail(
                                err, ZL_E_EXISTS, 0,
                                "network alias: \"%s\" is the name of %s in the network %s already",
                                clash, name, n->name);
        }
        return 0;
}

static int set_record(struct zl_net_server *s, const struct zl_net_attachment *a,
                      struct zl_error *err)
{
        const struct zl_net_addr four = zl_net_address(a->network, AF_INET, a->host),
                                 six = zl_net_address(a->network, AF_INET6, a->host);
        const struct zl_ip addresses[] = { zl_net_ip(&four), zl_net_ip(&six) };
        _cleanup_free_ char **aliases = aliases_of(a->document);
        _cleanup_strv_ char **names = NULL;
        struct zl_names_record record = { .network = a->network->name,
                                          .owner = a->name,
                                          .addresses = addresses,
                                          .n_addresses = 2,
                                          .ready = a->ready };
        char replica[16];
        int r;

        snprintf(replica, sizeof(replica), "%d", (int)zl_json_int(a->document, "replica", 1));
        if (!aliases)
                return zl_fail_oom(err);
        r = zl_names_of_replica(zl_json_str(a->document, "service", "-"), replica, aliases, &names,
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
