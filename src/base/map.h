/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from strings to pointers that remembers the order of insertion. Keys are copied; values
 * belong to the caller unless a destructor is given. Lookups are O(1), and the hash is keyed with
 * a random seed per map, so input cannot choose its collisions.
 */
#pragma once

#include <stdbool.h>

#include "base/macro.h"

struct zl_map;

/* `free_value` may be NULL. Returns NULL when memory is exhausted. */
struct zl_map *zl_map_new(void (*free_value)(void *value));
void zl_map_free(struct zl_map *map);
ZL_DEFINE_CLEANUP(struct zl_map *, zl_map_freep, zl_map_free)
#define _cleanup_map_ _cleanup_(zl_map_freep)

size_t zl_map_size(const struct zl_map *map);
void *zl_map_get(const struct zl_map *map, const char *key); /* NULL if absent */
bool zl_map_has(const struct zl_map *map, const char *key);

/* Inserts or replaces (destroying the old value; the key keeps its place). Returns 0 or -ENOMEM, and
 * on failure the value still belongs to the caller. */
int zl_map_put(struct zl_map *map, const char *key, void *value);

/* Takes a value out without destroying it; NULL if absent. */
void *zl_map_take(struct zl_map *map, const char *key);
/* Removes and destroys; false if absent. */
bool zl_map_remove(struct zl_map *map, const char *key);

/* Walks in order of insertion: start with *pos = 0. Returns false at the end. Removing the entry
 * just returned is allowed during a walk; inserting is not. */
bool zl_map_next(const struct zl_map *map, size_t *pos, const char **ret_key, void **ret_value);
