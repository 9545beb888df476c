/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks of native workloads as people see them. Each call opens what it needs; blocking, safe from any thread. Where native
 * workloads are not built in, all of them are ZL_E_UNSUPPORTED.
 */
#pragma once

#include "base/json.h"

struct zl_networks {
        const char *root_dir, *runtime_dir; /* absolute */
};

struct zl_networks_facts {
        const char *way;  /* "bridge", "pasta", "slirp4netns"; NULL: the host's network only */
        char detail[400]; /* how, or what is missing */
};

/* Which networks native workloads can have here. Changes nothing. */
int zl_networks_probe(const struct zl_networks *n, struct zl_networks_facts *ret,
                      struct zl_error *err);
/* {available, way, detail}; NULL without memory. */
json_t *zl_networks_facts_view(const struct zl_networks_facts *facts);
/* All that were made by hand or have containers, as zl_net_list() tells them. Starts nothing. */
int zl_networks_list(const struct zl_networks *n, json_t **ret, struct zl_error *err);
/* One that stays. ZL_E_EXISTS. */
int zl_networks_create(const struct zl_networks *n, const char *name, struct zl_error *err);
/* ZL_E_NOT_FOUND, ZL_E_BUSY. */
int zl_networks_remove(const struct zl_networks *n, const char *name, struct zl_error *err);
/* Traffic of published ports and balanced addresses, as zl_net_client_ports() tells them; an empty array without any. Starts
 * nothing. */
int zl_networks_ports(const struct zl_networks *n, json_t **ret, struct zl_error *err);
