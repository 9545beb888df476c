/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The string map: a dense array of entries in order of insertion, and an open-addressed index of
 * entry numbers beside it (the shape of Python's dict). Deleting leaves a hole in the array that the
 * next growth squeezes out, so walks stay valid while entries are removed.
 */
#include "base/map.h"

#include <errno.h>

#include "base/random.h"

struct entry {
        char *key; /* NULL: a hole */
        void *value;
        uint64_t hash;
};

struct zl_map {
        struct entry *entries;
        uint32_t *index; /* entry number + 1; 0 is free */
        size_t used;     /* entries in use, holes included */
        size_t live;
        size_t slots; /* size of index, a power of two; entries has slots / 2 places */
        uint64_t seed[2];
        void (*free_value)(void *value);
};

static inline uint64_t rotate(uint64_t x, int bits)
{
        return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein). A plain hash with a secret start, FNV for example, has collisions that do
 * not depend on the start; keys come from files that others write, so this one has to hold. */
static uint64_t hash_key(const struct zl_map *map, const char *key)
{
        size_t len = strlen(key), whole = len & ~(size_t)7;
        uint64_t v[4] = { map->seed[0] ^ UINT64_C(0x736f6d6570736575),
                          map->seed[1] ^ UINT64_C(0x646f72616e646f6d),
                          map->seed[0] ^ UINT64_C(0x6c7967656e657261),
                          map->seed[1] ^ UINT64_C(0x7465646279746573) };
        uint64_t word;

        for (size_t i = 0; i < whole; i += 8) {
                memcpy(&word, key + i,
                       8); /* the byte order does not matter: it stays in this process */
                v[3] ^= word;
                sip_round(v);
                v[0] ^= word;
        }
        word = (uint64_t)len << 56;
        memcpy(&word, key + whole, len - whole);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
        v[2] ^= 0xff;
        for (int i = 0; i < 3; i++)
                sip_round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct zl_map *zl_map_new(void (*free_value)(void *value))
{
        struct zl_map *map = calloc(1, sizeof *map);

        if (!map)
                return NULL;
        map->free_value = free_value;
        zl_random_bytes(map->seed, sizeof map->seed);
        return map;
}

void zl_map_free(struct zl_map *map)
{
        if (!map)
                return;
        for (size_t i = 0; i < map->used; i++) {
                if (!map->entries[i].key)
                        continue;
                if (map->free_value)
                        map->free_value(map->entries[i].value);
                free(map->entries[i].key);
        }
        free(map->entries);
        free(map->index);
        free(map);
}

size_t zl_map_size(const struct zl_map *map)
{
        return map ? map->live : 0;
}

static struct entry *find(const struct zl_map *map, const char *key)
{
        uint64_t hash;

        if (!map || map->slots == 0)
                return NULL;
        hash = hash_key(map, key);
        for (size_t i = hash & (map->slots - 1);; i = (i + 1) & (map->slots - 1)) {
                struct entry *e;

                if (map->index[i] == 0)
                        return NULL;
                e = &map->entries[map->index[i] - 1];
                if (e->key && e->hash == hash && zl_streq(e->key, key))
                        return e;
        }
}

void *zl_map_get(const struct zl_map *map, const char *key)
{
        struct entry *e = find(map, key);

        return e ? e->value : NULL;
}

bool zl_map_has(const struct zl_map *map, const char *key)
{
        return find(map, key) != NULL;
}

static void index_insert(struct zl_map *map, size_t number)
{
        size_t i = map->entries[number].hash & (map->slots - 1);

        while (map->index[i] != 0)
                i = (i + 1) & (map->slots - 1);
        map->index[i] = (uint32_t)(number + 1);
}

/* Rebuilds with room for more, without the holes. */
static int rebuild(struct zl_map *map)
{
        size_t slots = 16, n = 0;
        struct entry *entries;
        uint32_t *index;

        while (slots / 4 < map->live + 1)
                slots *= 2;
        if (slots > UINT32_MAX)
                return -ENOMEM;
        entries = calloc(slots / 2, sizeof *entries);
        index = calloc(slots, sizeof *index);
        if (!entries || !index) {
                free(entries);
                free(index);
                return -ENOMEM;
        }
        for (size_t i = 0; i < map->used; i++)
                if (map->entries[i].key)
                        entries[n++] = map->entries[i];
        free(map->entries);
        free(map->index);
        map->entries = entries;
        map->index = index;
        map->slots = slots;
        map->used = n;
        for (size_t i = 0; i < n; i++)
                index_insert(map, i);
        return 0;
}

int zl_map_put(struct zl_map *map, const char *key, void *value)
{
        struct entry *e = find(map, key);
        char *copy;
        int r;

        if (e) {
                if (map->free_value && e->value != value)
                        map->free_value(e->value);
                e->value = value;
                return 0;
        }
        if (map->used >= map->slots / 2) {
                r = rebuild(map);
                if (r < 0)
                        return r;
        }
        copy = strdup(key);
        if (!copy)
                return -ENOMEM;
        map->entries[map->used] = (struct entry){ copy, value, hash_key(map, key) };
        index_insert(map, map->used++);
        map->live++;
        return 0;
}

void *zl_map_take(struct zl_map *map, const char *key)
{
        struct entry *e = find(map, key);

        if (!e)
                return NULL;
        free(zl_take_ptr(e->key));
        map->live--;
        return zl_take_ptr(e->value);
}

bool zl_map_remove(struct zl_map *map, const char *key)
{
        void *value;

        if (!zl_map_has(map, key))
                return false;
        value = zl_map_take(map, key);
        if (map->free_value)
                map->free_value(value);
        return true;
}

bool zl_map_next(const struct zl_map *map, size_t *pos, const char **ret_key, void **ret_value)
{
        while (map && *pos < map->used) {
                const struct entry *e = &map->entries[(*pos)++];

                if (!e->key)
                        continue;
                if (ret_key)
                        *ret_key = e->key;
                if (ret_value)
                        *ret_value = e->value;
                return true;
        }
        return false;
}
