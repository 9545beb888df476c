/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the image store, shared by the files of this room: directories, locks, temporary places, blobs
 * and the index of names. Layout:
 *
 *     lock                       flock()ed while index, holds or garbage are changed; never for long
 *     index.json                 names -> manifests
 *     blobs/ALGORITHM/HEX        manifests, configs, modules (not layers: see split.h)
 *     layers/NAME/               one unpacked layer; NAME from its diff id
 *     meta/NAME.json, .split     what we know about that layer, and how to rebuild its tar
 *     holds/HOLDER               digest of the manifest that HOLDER uses
 *     locks/NAME                 flock()ed by whoever makes that layer
 *     tmp/RANDOM/                work of one live operation, flock()ed; unlocked ones are garbage
 */
#pragma once

#include <pthread.h>

#include "base/hash.h"
#include "base/map.h"
#include "image/image.h"

struct zl_store_tmp;

struct zl_image_store {
        char *path;
        int fd; /* the directory itself, and those in it */
        int layers_fd, meta_fd, holds_fd, locks_fd, tmp_fd;
        bool plain_http;
        struct zl_image_limits limits;
        pthread_mutex_t lock; /* guards what is below */
        struct zl_image *recent[8];
        size_t recent_next;         /* is replaced next */
        struct zl_store_tmp *ahead; /* where the next hold's file is made, or NULL */
        bool has_hold;              /* it is */
};

/* recent.c: an image that was looked up before, the caller's; NULL if it is not remembered or something of it is missing. */
struct zl_image *zl_recent_get(struct zl_image_store *store, const char *digest, const char *name);
void zl_recent_put(struct zl_image_store *store, const struct zl_image *image);
void zl_recent_init(struct zl_image_store *store);
void zl_recent_done(struct zl_image_store *store);

/* Takes the lock of the whole store; closing the descriptor releases it. */
int zl_store_lock(struct zl_image_store *store, bool exclusive, struct zl_error *err);

/* ---- temporary places ------------------------------------------------------------------------------ */

/* A locked directory below tmp/ that dies with the process. */
struct zl_store_tmp {
        struct zl_image_store *store;
        int fd; /* holds the lock */
        char name[33];
};
int zl_store_tmp_new(struct zl_image_store *store, struct zl_store_tmp *ret, struct zl_error *err);
void zl_store_tmp_done(struct zl_store_tmp *tmp); /* removes it */
#define ZL_STORE_TMP_INIT ((struct zl_store_tmp){ .fd = -EBADF })
#define _cleanup_store_tmp_ _cleanup_(zl_store_tmp_done)

/* Tells prune what this operation is about to use: until `tmp` is done, content of these digests stays. Later calls
 * replace. */
int zl_store_lease(struct zl_store_tmp *tmp, char *const *digests, struct zl_error *err);

/* ---- blobs ------------------------------------------------------------------------------------------ */

/* Stores a small document durably. Checks nothing: the caller computed or verified the digest. */
int zl_store_put_blob(struct zl_image_store *store, const char *digest, const void *data,
                      size_t len, struct zl_error *err);
/* Reads one and verifies its digest. ZL_E_NOT_FOUND if it is absent. */
int zl_store_get_blob(struct zl_image_store *store, const char *digest, char **ret, size_t *ret_len,
                      struct zl_error *err);
/* "blobs/sha256/HEX"; the caller frees it. */
char *zl_store_blob_path(const char *digest);
bool zl_store_has_blob(struct zl_image_store *store, const char *digest);
/* Does the text have that digest? */
bool zl_digest_matches(const char *digest, const void *data, size_t len);

/* ---- layers ------------------------------------------------------------------------------------------ */

enum { ZL_LAYER_NAME_MAX = 8 + 128 };
/* The file name of a layer: the hex digits of a sha256, "sha512-HEX" for others. Returns buf. */
char *zl_layer_name(const char *diff_id, char buf[ZL_LAYER_NAME_MAX]);
bool zl_store_has_layer(struct zl_image_store *store, const char *diff_id);

/* Size of the layer's tar, from its record. */
int zl_store_layer_tar_size(struct zl_image_store *store, const char *diff_id, uint64_t *ret,
                            struct zl_error *err);

/* Waits for the right to make the layer; closing the descriptor gives it back. `cancel` may be NULL. */
int zl_store_lock_layer(struct zl_image_store *store, const char *diff_id, const int *cancel,
                        struct zl_error *err);

/* ---- lookup.c ---------------------------------------------------------------------------------------- */

/* The image of a manifest that is known already; `name` (may be NULL) becomes its reference. ZL_E_CORRUPT or ZL_E_NOT_FOUND if something
 * of it is missing. */
int zl_store_load_image(struct zl_image_store *store, const char *digest, const char *name,
                        struct zl_image **ret, struct zl_error *err);

/* ---- index ------------------------------------------------------------------------------------------- */

struct zl_index_entry {
        char *digest; /* of the manifest for our platform */
        char *source; /* digest that the registry gives the name: manifest or index */
        bool local;   /* made by import or tag: no registry knows it */
        int64_t updated;
};
void zl_index_entry_free(struct zl_index_entry *entry);

/* The map name -> struct zl_index_entry. Callers that change it hold the exclusive lock. */
int zl_index_load(struct zl_image_store *store, struct zl_map **ret, struct zl_error *err);
int zl_index_save(struct zl_image_store *store, const struct zl_map *index, struct zl_error *err);
/* Loads, sets one name, saves, under the lock. The content must be in the store already. */
int zl_index_set(struct zl_image_store *store, const char *name, const char *digest,
                 const char *source, bool local, struct zl_error *err);

/* The digest of the manifest that `name` (any form) means; `*ret_name` (may be NULL) is the canonical name, or
 * NULL if it was found by digest. */
int zl_index_resolve(struct zl_image_store *store, const struct zl_map *index, const char *name,
                     char **ret_digest, char **ret_name, struct zl_error *err);
