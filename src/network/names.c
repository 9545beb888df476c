/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three maps over the same records: by network and owner (who has the memory), by network and name (a list of owners), by network
 * and address. Keys are "NETWORK\nREST", which neither part can contain.
 *
 * What may go wrong: memory, in the middle of a change. A new record is therefore linked beside the old one, which goes
 * only when all of the new one is in place.
 */
#include "network/names.h"

#include <ctype.h>
#include <stdio.h>

#include "base/map.h"
#include "base/strv.h"

enum { KEY_MAX = ZL_NAMES_NETWORK_MAX + ZL_NAMES_OWNER_MAX + 1 };

struct owner {
        char *network, *name;
        char **names; /* lower case, none twice */
        struct zl_ip *addresses;
        size_t n_addresses;
        bool ready;
};

struct entry {
        struct owner **owners;
        size_t n_owners, size;
        unsigned turn;
};

struct zl_names {
        struct zl_map *owners;  /* struct owner */
        struct zl_map *entries; /* struct entry, by name */
        struct zl_map *reverse; /* struct owner, by address; not freed */
};

static void owner_free(void *p)
{
        struct owner *o = p;

        if (!o)
                return;
        free(o->network);
        free(o->name);
        zl_strv_free(o->names);
        free(o->addresses);
        free(o);
}

static inline void owner_freep(struct owner **p)
{
        owner_free(*p);
}
#define _cleanup_owner_ _cleanup_(owner_freep)

static void entry_free(void *p)
{
        struct entry *e = p;

        free(e->owners);
        free(e);
}

struct zl_names *zl_names_new(void)
{
        struct zl_names *names = calloc(1, sizeof(*names));

        if (!names)
                return NULL;
        names->owners = zl_map_new(owner_free);
        names->entries = zl_map_new(entry_free);
        names->reverse = zl_map_new(NULL);
        if (!names->owners || !names->entries || !names->reverse) {
                zl_names_free(names);
                return NULL;
        }
        return names;
}

void zl_names_free(struct zl_names *names)
{
        if (!names)
                return;
        zl_map_free(names->reverse);
        zl_map_free(names->entries);
        zl_map_free(names->owners);
        free(names);
}

/* ---- keys ---------------------------------------------------------------------------------------- */

/* NULL if no such key can be in a map. */
static const char *make_key(const char *network, const char *rest, char key[KEY_MAX])
{
        int n = snprintf(key, KEY_MAX, "%s\n%s", network, rest);

        return n > 0 && n < KEY_MAX ? key : NULL;
}

static const char *make_name_key(const char *network, const char *name, char key[KEY_MAX])
{
        if (!make_key(network, name, key))
                return NULL;
        for (char *c = strchr(key, '\n'); *c; c++)
                *c = (char)tolower((unsigned char)*c);
        return key;
}

static const char *make_address_key(const char *network, const struct zl_ip *ip, char key[KEY_MAX])
{
        char text[ZL_IP_TEXT_MAX];

        return make_key(network, zl_ip_format(ip, text), key);
}

static void *get(const struct zl_map *map, const char *key)
{
        return key ? zl_map_get(map, key) : NULL;
}

/* ---- what a record may be --------------------------------------------------------------------------- */

bool zl_names_is_name(const char *s)
{
        size_t len = strlen(s), label = 0;

        if (len == 0 || len > 253)
                return false;
        for (; *s; s++) {
                if (*s == '.' && label == 0)
                        return false;
                if (*s != '.' && !isalnum((unsigned char)*s) && *s != '-' && *s != '_')
                        return false;
                label = *s == '.' ? 0 : label + 1;
                if (label > 63)
                        return false;
        }
        return label > 0;
}

static int check_record(const struct zl_names_record *r, struct zl_error *err)
{
        size_t network = strlen(r->network), owner = strlen(r->owner);

        if (network == 0 || network >= ZL_NAMES_NETWORK_MAX || strchr(r->network, '\n'))
                return zl_fail(err, ZL_E_INVALID, 0, "\"%.80s\" is no id of a network", r->network);
        if (owner == 0 || owner >= ZL_NAMES_OWNER_MAX || strchr(r->owner, '\n'))
                return zl_fail(err, ZL_E_INVALID, 0, "\"%.80s\" is no name of a container",
                               r->owner);
        if (zl_strv_len(r->names) > ZL_NAMES_PER_OWNER ||
            r->n_addresses > ZL_NAMES_ADDRESSES_PER_OWNER)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "%s has %zu names and %zu addresses, but %d and %d is the most",
                               r->owner, zl_strv_len(r->names), r->n_addresses, ZL_NAMES_PER_OWNER,
                               ZL_NAMES_ADDRESSES_PER_OWNER);
        ZL_STRV_FOREACH(name, r->names)
                if (!zl_names_is_name(*name))
                        return zl_fail(err, ZL_E_INVALID, 0, "\"%.80s\" of %s is no host name",
                                       *name, r->owner);
        for (size_t i = 0; i < r->n_addresses; i++)
                if (zl_ip_size(&r->addresses[i]) == 0)
                        return zl_fail(err, ZL_E_INVALID, 0, "an address of %s has no family",
                                       r->owner);
        return 0;
}

static int check_addresses(const struct zl_names *names, const struct zl_names_record *r,
                           struct zl_error *err)
{
        char key[KEY_MAX], text[ZL_IP_TEXT_MAX];

        for (size_t i = 0; i < r->n_addresses; i++) {
                const struct owner *other = get(
                        names->reverse, make_address_key(r->network, &r->addresses[i], key));

                if (other && !zl_streq(other->name, r->owner))
                        return zl_fail(err, ZL_E_EXISTS, 0, "%s has the address %s of %s already",
                                       other->name, zl_ip_format(&r->addresses[i], text), r->owner);
        }
        return 0;
}

static struct owner *owner_new(const struct zl_names_record *r)
{
        _cleanup_owner_ struct owner *o = calloc(1, sizeof(*o));

        if (!o)
                return NULL;
        o->network = strdup(r->network);
        o->name = strdup(r->owner);
        o->addresses = calloc(r->n_addresses + 1, sizeof(*o->addresses));
        if (!o->network || !o->name || !o->addresses)
                return NULL;
        ZL_STRV_FOREACH(name, r->names) {
                _cleanup_free_ char *lower = strdup(*name);

                if (!lower)
                        return NULL;
                for (char *c = lower; *c; c++)
                        *c = (char)tolower((unsigned char)*c);
                if (!zl_strv_contains(o->names, lower) && zl_strv_push(&o->names, lower) < 0)
                        return NULL;
        }
        for (size_t i = 0; i < r->n_addresses; i++)
                o->addresses[i] = r->addresses[i];
        o->n_addresses = r->n_addresses;
        o->ready = r->ready;
        return zl_take_ptr(o);
}

/* ---- links ------------------------------------------------------------------------------------------ */

static int entry_add(struct zl_names *names, struct owner *o, const char *name)
{
        char key[KEY_MAX];
        struct entry *e;

        make_name_key(o->network, name, key);
        e = zl_map_get(names->entries, key);
        if (!e) {
                e = calloc(1, sizeof(*e));
                if (!e)
                        return -ENOMEM;
                if (zl_map_put(names->entries, key, e) < 0) {
                        entry_free(e);
                        return -ENOMEM;
                }
        }
        if (e->n_owners == e->size) {
                struct owner **more = realloc(e->owners, (2 * e->size + 1) * sizeof(*more));

                if (!more)
                        return -ENOMEM;
                e->owners = more;
                e->size = 2 * e->size + 1;
        }
        e->owners[e->n_owners++] = o;
        return 0;
}

static void entry_drop(struct zl_names *names, const struct owner *o, const char *name)
{
        char key[KEY_MAX];
        struct entry *e = get(names->entries, make_name_key(o->network, name, key));
        size_t kept = 0;

        if (!e)
                return;
        for (size_t i = 0; i < e->n_owners; i++)
                if (e->owners[i] != o)
                        e->owners[kept++] = e->owners[i];
        e->n_owners = kept;
        if (kept == 0)
                zl_map_remove(names->entries, key);
}

static bool has_address(const struct owner *o, const struct zl_ip *ip)
{
        for (size_t i = 0; o && i < o->n_addresses; i++)
                if (zl_ip_equal(&o->addresses[i], ip))
                        return true;
        return false;
}

/* Takes every link to `o` away; an address that `heir` (may be NULL) has too is then its. */
static void unlink_owner(struct zl_names *names, const struct owner *o, struct owner *heir)
{
        char key[KEY_MAX];

        ZL_STRV_FOREACH(name, o->names)
                entry_drop(names, o, *name);
        for (size_t i = 0; i < o->n_addresses; i++) {
                if (get(names->reverse, make_address_key(o->network, &o->addresses[i], key)) != o)
                        continue;
                if (has_address(heir, &o->addresses[i]))
                        zl_map_put(names->reverse, key, heir); /* replacing needs no memory */
                else
                        zl_map_remove(names->reverse, key);
        }
}

static int link_owner(struct zl_names *names, struct owner *o)
{
        char key[KEY_MAX];
        int r;

        ZL_STRV_FOREACH(name, o->names) {
                r = entry_add(names, o, *name);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < o->n_addresses; i++) {
                make_address_key(o->network, &o->addresses[i], key);
                r = zl_map_put(names->reverse, key, o);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- changes ---------------------------------------------------------------------------------------- */

int zl_names_set(struct zl_names *names, const struct zl_names_record *record, struct zl_error *err)
{
        _cleanup_owner_ struct owner *o = NULL;
        struct owner *old;
        char key[KEY_MAX];
        int r = check_record(record, err);

        if (r < 0)
                return r;
        r = check_addresses(names, record, err);
        if (r < 0)
                return r;
        o = owner_new(record);
        if (!o)
                return zl_fail_oom(err);
        make_key(o->network, o->name, key);
        old = zl_map_get(names->owners, key);
        r = link_owner(names, o);
        if (r >= 0 && !old)
                r = zl_map_put(names->owners, key, o);
        if (r < 0) {
                unlink_owner(names, o, old);
                return zl_fail_oom(err);
        }
        if (old) {
                unlink_owner(names, old, o);
                zl_map_put(names->owners, key, o); /* destroys the old one; needs no memory */
        }
        zl_take_ptr(o);
        return 0;
}

static bool matches(const struct owner *o, const char *network, const char *owner)
{
        return (!network || zl_streq(o->network, network)) && (!owner || zl_streq(o->name, owner));
}

static size_t remove_matching(struct zl_names *names, const char *network, const char *owner)
{
        size_t pos = 0, n = 0;
        const char *key;
        void *value;

        while (zl_map_next(names->owners, &pos, &key, &value)) {
                if (!matches(value, network, owner))
                        continue;
                unlink_owner(names, value, NULL);
                zl_map_remove(names->owners, key);
                n++;
        }
        return n;
}

bool zl_names_set_ready(struct zl_names *names, const char *network, const char *owner, bool ready)
{
        bool found = false;
        size_t pos = 0;
        void *value;

        while (zl_map_next(names->owners, &pos, NULL, &value)) {
                struct owner *o = value;

                if (matches(o, network, owner)) {
                        o->ready = ready;
                        found = true;
                }
        }
        return found;
}

bool zl_names_remove(struct zl_names *names, const char *network, const char *owner)
{
        return remove_matching(names, network, owner) > 0;
}

size_t zl_names_remove_network(struct zl_names *names, const char *network)
{
        return remove_matching(names, network, NULL);
}

size_t zl_names_size(const struct zl_names *names)
{
        return zl_map_size(names->owners);
}

/* ---- questions -------------------------------------------------------------------------------------- */

bool zl_names_lookup(struct zl_names *names, const char *network, const char *name,
                     zl_names_visit *visit, void *data)
{
        char key[KEY_MAX];
        struct entry *e = get(names->entries, make_name_key(network, name, key));

        if (!e)
                return false;
        if (!visit)
                return true;
        e->turn = (e->turn + 1) % (unsigned)e->n_owners;
        for (size_t i = 0; i < e->n_owners; i++) {
                const struct owner *o = e->owners[(e->turn + i) % e->n_owners];

                for (size_t j = 0; o->ready && j < o->n_addresses; j++)
                        if (!visit(&o->addresses[j], data))
                                return true;
        }
        return true;
}

const char *zl_names_reverse(const struct zl_names *names, const char *network,
                             const struct zl_ip *address)
{
        char key[KEY_MAX];
        const struct owner *o = get(names->reverse, make_address_key(network, address, key));

        return o && o->names ? o->names[0] : NULL;
}

/* ---- names of a replica ----------------------------------------------------------------------------- */

static int add_names(const char *service, const char *replica, char *const *aliases, char ***names)
{
        int r = zl_strv_pushf(names, "%s.%s." ZL_NAMES_DOMAIN, replica, service);

        if (r >= 0)
                r = zl_strv_pushf(names, "%s." ZL_NAMES_DOMAIN, service);
        if (r >= 0)
                r = zl_strv_push(names, service);
        for (char *const *alias = aliases; r >= 0 && alias && *alias; alias++) {
                size_t len = strlen(*alias), domain = strlen("." ZL_NAMES_DOMAIN);

                r = zl_strv_push(names, *alias);
                if (r >= 0 &&
                    (len < domain || strcasecmp(*alias + len - domain, "." ZL_NAMES_DOMAIN) != 0))
                        r = zl_strv_pushf(names, "%s." ZL_NAMES_DOMAIN, *alias);
        }
        return r;
}

int zl_names_of_replica(const char *service, const char *replica, char *const *aliases, char ***ret,
                        struct zl_error *err)
{
        _cleanup_strv_ char **names = NULL;

        if (add_names(service, replica, aliases, &names) < 0)
                return zl_fail_oom(err);
        *ret = zl_take_ptr(names);
        return 0;
}
