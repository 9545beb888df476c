/* SPDX-License-Identifier: Apache-2.0 */
/* From two directories to the client of zlayer-net. */
#include "runtimes/networks.h"

#include <stdio.h>

json_t *zl_networks_facts_view(const struct zl_networks_facts *facts)
{
        return json_pack("{s:b, s:s?, s:s}", "available", facts->way != NULL, "way", facts->way,
                         "detail", facts->detail);
}

#ifdef ZL_HAVE_NATIVE

#include <stdlib.h>

#include "base/path.h"
#include "network/client.h"
#include "network/probe.h"
#include "runtimes/select.h"

struct place {
        struct zl_net net; /* points to the others */
        char *program, *dir, *memory;
};

static void place_done(struct place *p)
{
        free(p->program);
        free(p->dir);
        free(p->memory);
}
#define _cleanup_place_ _cleanup_(place_done)

static int find_place(const struct zl_networks *n, struct place *ret, struct zl_error *err)
{
        const char *monitor = getenv("ZLAYER_MONITOR");

        *ret = (struct place){ .dir = zl_path_join(n->runtime_dir, "net"),
                               .memory = zl_path_join(n->root_dir, "networks"),
                               .program = monitor ? zl_path_beside(monitor, "zlayer-net")
                                                  : zl_find_installed("zlayer-net") };
        ret->net = (struct zl_net){ .program = ret->program,
                                    .dir = ret->dir,
                                    .memory = ret->memory,
                                    .pool = getenv("ZLAYER_NETWORK_POOL") };
        return ret->dir && ret->memory ? 0 : zl_fail_oom(err);
}

int zl_networks_probe(const struct zl_networks *n, struct zl_networks_facts *ret,
                      struct zl_error *err)
{
        _cleanup_place_ struct place place = { 0 };
        struct zl_net_facts facts;
        int r = find_place(n, &place, err);

        if (r < 0)
                return r;
        zl_net_probe(place.program, &facts);
        ret->way = facts.way;
        snprintf(ret->detail, sizeof(ret->detail), "%s", facts.detail);
        return 0;
}

int zl_networks_list(const struct zl_networks *n, json_t **ret, struct zl_error *err)
{
        _cleanup_place_ struct place place = { 0 };
        int r = find_place(n, &place, err);

        return r < 0 ? r : zl_net_list(&place.net, ret, err);
}

int zl_networks_create(const struct zl_networks *n, const char *name, struct zl_error *err)
{
        _cleanup_place_ struct place place = { 0 };
        int r = find_place(n, &place, err);

        return r < 0 ? r : zl_net_client_keep(&place.net, name, err);
}

int zl_networks_remove(const struct zl_networks *n, const char *name, struct zl_error *err)
{
        _cleanup_place_ struct place place = { 0 };
        int r = find_place(n, &place, err);

        return r < 0 ? r : zl_net_client_remove(&place.net, name, err);
}

int zl_networks_ports(const struct zl_networks *n, json_t **ret, struct zl_error *err)
{
        _cleanup_place_ struct place place = { 0 };
        int r = find_place(n, &place, err);

        if (r == 0)
                r = zl_net_client_ports(&place.net, ret, err);
        if (r == -ENOENT) {
                *ret = json_array();
                r = *ret ? 0 : zl_fail_oom(err);
        }
        return r;
}

#else

int zl_networks_probe(const struct zl_networks *n, struct zl_networks_facts *ret,
                      struct zl_error *err)
{
        *ret = (struct zl_networks_facts){ .detail = "not in this build" };
        return 0;
}

static int unsupported(struct zl_error *err)
{
        return zl_fail(err, ZL_E_UNSUPPORTED, 0, "this program was built without native networks");
}

int zl_networks_list(const struct zl_networks *n, json_t **ret, struct zl_error *err)
{
        return unsupported(err);
}

int zl_networks_create(const struct zl_networks *n, const char *name, struct zl_error *err)
{
        return unsupported(err);
}

int zl_networks_remove(const struct zl_networks *n, const char *name, struct zl_error *err)
{
        return unsupported(err);
}

int zl_networks_ports(const struct zl_networks *n, json_t **ret, struct zl_error *err)
{
        return unsupported(err);
}

#endif
