/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table behind the name service: who is called what, in which network, at which addresses. An owner is
 * whatever comes and goes as one (a container, the balanced address of a service); it has one record per network it is in.
 * Several owners may have the same name: that is how a service name gets all its replicas.
 *
 * A change is seen by the very next lookup. Nothing here blocks. Not thread-safe: one thread, that of the server.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "network/ip.h"

/* All our own names end so; what ends so and is not in the table does not exist anywhere. */
#define ZL_NAMES_DOMAIN "service.local"

enum {
        ZL_NAMES_NETWORK_MAX = 128, /* bytes of a network's id, NUL included */
        ZL_NAMES_OWNER_MAX = 256,
        ZL_NAMES_PER_OWNER = 64,
        ZL_NAMES_ADDRESSES_PER_OWNER = 16,
};

struct zl_names;

struct zl_names_record {
        const char *network; /* id of the network in which the names are seen */
        const char *owner;   /* name of the container */
        char *const *names; /* NULL-terminated; any case, no dot at the end. The first is the answer
                                     to reverse queries */
        const struct zl_ip *addresses;
        size_t n_addresses;
        bool ready; /* only who is ready is in answers */
};

struct zl_names *zl_names_new(void); /* NULL without memory */
void zl_names_free(struct zl_names *names);
ZL_DEFINE_CLEANUP(struct zl_names *, zl_names_freep, zl_names_free)
#define _cleanup_names_ _cleanup_(zl_names_freep)

/* Letters, digits, '-', '_', labels of 1 to 63, 253 in all. */
bool zl_names_is_name(const char *s);
/*
 * Adds the record, or replaces the one that this owner has in this network; everything is copied. ZL_E_INVALID: a name that is
 * no host name (letters, digits, '-', '_', labels of 1 to 63, 253 in all), a network, an owner or numbers beyond the limits;
 * ZL_E_EXISTS: an address that another owner has in this network. The table is unchanged on failure.
 */
int zl_names_set(struct zl_names *names, const struct zl_names_record *record,
                 struct zl_error *err);

/* Each tells whether there was such a record. A NULL network means every network that the owner is in. */
bool zl_names_set_ready(struct zl_names *names, const char *network, const char *owner, bool ready);
bool zl_names_remove(struct zl_names *names, const char *network, const char *owner);
/* All records of a network; the number of them. */
size_t zl_names_remove_network(struct zl_names *names, const char *network);

/* Owners' records in the table. */
size_t zl_names_size(const struct zl_names *names);

/* Called once for each address of each ready owner of a name. false ends the walk. */
typedef bool zl_names_visit(const struct zl_ip *address, void *data);

/*
 * Walks over the addresses that `name` (any case, no dot at the end) has in `network`. The walk begins with another owner
 * each time, so that clients which take the first address spread. false: nobody has this name, ready or not; true with no
 * visit: there are owners but none is ready. `visit` may be NULL and must not change the table.
 */
bool zl_names_lookup(struct zl_names *names, const char *network, const char *name,
                     zl_names_visit *visit, void *data);

/* The first name of who has this address in the network, ready or not; NULL if nobody has. Valid until the table changes. */
const char *zl_names_reverse(const struct zl_names *names, const char *network,
                             const struct zl_ip *address);

/*
 * The names of one replica, best first: "<replica>.<service>.service.local", "<service>.service.local", "<service>", and each
 * alias as it is and below service.local. `aliases` is NULL-terminated or NULL. The caller frees the vector with zl_strv_free().
 */
int zl_names_of_replica(const char *service, const char *replica, char *const *aliases, char ***ret,
                        struct zl_error *err);
