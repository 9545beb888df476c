/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Balanced addresses: one for each service with endpoints in a network, an address of its bridge, so that the host answers for it and
 * leads on what arrives at the ports of the endpoints (server_ports.c). Which one it is stands in the network's record.
 *
 * What may go wrong: two services whose names give the same first choice. The next free one is taken, by who comes first; from then on
 * the record decides.
 */
#include <stdio.h>

#include "base/fnv.h"
#include "base/ident.h"
#include "base/log.h"
#include "network/names.h"
#include "network/server.h"

/* All but the broadcast address. */
enum { SERVICES = ZL_NET_HOSTS - ZL_NET_FIRST_SERVICE - 1 };

static void service_free(void *value)
{
        struct zl_net_service *service = value;

        if (!service)
                return;
        free(service->name);
        free(service);
}

struct zl_map *zl_net_services_new(void)
{
        return zl_map_new(service_free);
}

int zl_net_service_load(struct zl_net_network *n, const char *name, unsigned host,
                        struct zl_net_service **ret)
{
        struct zl_net_service *service;

        if (host < ZL_NET_FIRST_SERVICE || host >= ZL_NET_HOSTS - 1 ||
            n->used[host / 64] >> host % 64 & 1)
                return -EINVAL;
        service = calloc(1, sizeof(*service));
        if (!service || !(service->name = strdup(name)) ||
            zl_map_put(n->services, service->name, service) < 0) {
                service_free(service);
                return -ENOMEM;
        }
        service->host = host;
        n->used[host / 64] |= UINT64_C(1) << host % 64;
        *ret = service;
        return 0;
}

static int make(struct zl_net_server *s, struct zl_net_network *n, const char *name,
                struct zl_net_service **ret, struct zl_error *err)
{
        unsigned first = (unsigned)(zl_fnv(ZL_FNV_INIT, name, strlen(name)) % SERVICES);
        int r = -EINVAL;

        for (unsigned i = 0; r == -EINVAL && i < SERVICES; i++)
                r = zl_net_service_load(n, name, ZL_NET_FIRST_SERVICE + (first + i) % SERVICES,
                                        ret);
        if (r == -EINVAL)
                return zl_fail(err, ZL_E_NO_SPACE, 0,
                               "network %s has no balanced address left, all %d are taken", n->name,
                               SERVICES);
        return r < 0 ? zl_fail_oom(err) : zl_net_network_save(s, n, err);
}

/* ---- addresses and names ---------------------------------------------------------------------------- */

struct pair {
        struct zl_net_addr a[2];
};

static struct pair addresses_of(const struct zl_net_network *n,
                                const struct zl_net_service *service)
{
        struct pair p = { { zl_net_address(n, AF_INET, service->host),
                            zl_net_address(n, AF_INET6, service->host) } };

        p.a[0].prefix = 32;
        p.a[1].prefix = 128;
        return p;
}

static void raise_one(struct zl_net_server *s, struct zl_net_network *n,
                      const struct zl_net_service *service)
{
        const struct pair p = addresses_of(n, service);
        const struct zl_link_setup setup = {
                .name = n->bridge, .addresses = p.a, .n_addresses = 2, .no_source = true
        };
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

        if (zl_link_setup(&s->route, &setup, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "%s has no balanced address", service->name);
}

static void lower_one(struct zl_net_server *s, const struct zl_net_network *n,
                      const struct zl_net_service *service)
{
        const struct pair p = addresses_of(n, service);

        for (int i = 0; i < 2; i++)
                if (zl_link_drop_address(&s->route, n->link, &p.a[i]) < 0 && i == 0)
                        zl_warn("cannot take the address of %s from %s", service->name, n->bridge);
}

void zl_net_services_raise(struct zl_net_server *s, struct zl_net_network *n)
{
        const char *name;
        size_t pos = 0;
        void *value;

        while (zl_map_next(n->services, &pos, &name, &value)) {
                const struct zl_net_service *service = value;

                if (service->users > 0)
                        raise_one(s, n, service);
                else
                        lower_one(s, n, service); /* an earlier life may have left it */
        }
}

/* "vip.SERVICE.service.local" leads to it. */
static void add_name(struct zl_net_server *s, const struct zl_net_network *n,
                     const struct zl_net_service *service)
{
        const struct pair p = addresses_of(n, service);
        const struct zl_ip ips[] = { zl_net_ip(&p.a[0]), zl_net_ip(&p.a[1]) };
        char name[ZL_IDENT_NAME_MAX + 32];
        char *names[] = { name, NULL };
        const struct zl_names_record record = { .network = n->name,
                                                .owner = service->name,
                                                .names = names,
                                                .addresses = ips,
                                                .n_addresses = 2,
                                                .ready = true };
        _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

        snprintf(name, sizeof(name), "vip.%s." ZL_NAMES_DOMAIN, strchr(service->name, '.') + 1);
        if (zl_names_set(s->names, &record, &why) < 0)
                zl_log_error(ZL_LOG_WARNING, &why, "the address of %s has no name", service->name);
}

void zl_net_services_load(struct zl_net_network *n, const json_t *document)
{
        json_t *services = json_object_get(document, "services"), *host;
        const char *name;

        json_object_foreach(services, name, host)
        {
                struct zl_net_service *made;

                if (zl_net_service_load(n, name, (unsigned)json_integer_value(host), &made) < 0)
                        zl_warn("network %s: the address of %s on record makes no sense", n->name,
                                name);
        }
}

/* ---- life ------------------------------------------------------------------------------------------- */

int zl_net_service_enter(struct zl_net_server *s, struct zl_net_attachment *a, struct zl_error *err)
{
        struct zl_net_network *n = a->network;
        struct zl_net_service *service;
        struct zl_ident ident = { 0 };
        char name[ZL_IDENT_NAME_MAX];
        int r = 0;

        if (json_array_size(json_object_get(a->document, "endpoints")) == 0)
                return 0;
        zl_ident_parse(a->name, &ident);
        snprintf(name, sizeof(name), "%s.%s", ident.deployment, ident.service);
        service = zl_map_get(n->services, name);
        if (!service)
                r = make(s, n, name, &service, err);
        if (r < 0)
                return r;
        if (service->users++ == 0) {
                if (n->link)
                        raise_one(s, n, service);
                add_name(s, n, service);
        }
        a->service = service;
        return 0;
}

void zl_net_service_leave(struct zl_net_server *s, struct zl_net_attachment *a)
{
        struct zl_net_service *service = a->service;

        a->service = NULL;
        if (!service || --service->users > 0)
                return;
        zl_names_remove(s->names, a->network->name, service->name);
        if (a->network->link)
                lower_one(s, a->network, service);
}
