/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The images that were looked up last, decoded: a start asks two or three times for the same one, and manifest and configuration cannot
 * change under a digest. What can go is files, so they are looked for each time; which name means which digest is
 * read from the index afresh (lookup.c).
 */
#include <unistd.h>

#include "base/strv.h"
#include "image/store.h"

void zl_recent_init(struct zl_image_store *store)
{
        pthread_mutex_init(&store->lock, NULL);
}

void zl_recent_done(struct zl_image_store *store)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(store->recent); i++)
                zl_image_free(store->recent[i]);
        pthread_mutex_destroy(&store->lock);
}

static int copy_health(const struct zl_image_healthcheck *from, struct zl_image_healthcheck **ret)
{
        struct zl_image_healthcheck *h;

        if (!from)
                return 0;
        h = *ret = calloc(1, sizeof(*h));
        if (!h)
                return -ENOMEM;
        *h = *from;
        h->test = NULL;
        return zl_strv_dup(from->test, &h->test);
}

/* Without its name. */
static struct zl_image *copy(const struct zl_image *from)
{
        _cleanup_image_ struct zl_image *to = calloc(1, sizeof(*to));

        if (!to)
                return NULL;
        to->created = from->created;
        to->size = from->size;
        to->kind = from->kind;
        to->wasm_version = from->wasm_version;
        if (zl_replace_str(&to->digest, from->digest) < 0 ||
            zl_replace_str(&to->config_digest, from->config_digest) < 0 ||
            zl_replace_str(&to->os, from->os) < 0 ||
            zl_replace_str(&to->architecture, from->architecture) < 0 ||
            zl_replace_str(&to->variant, from->variant) < 0 ||
            zl_strv_dup(from->env, &to->env) < 0 ||
            zl_strv_dup(from->entrypoint, &to->entrypoint) < 0 ||
            zl_strv_dup(from->cmd, &to->cmd) < 0 || zl_replace_str(&to->user, from->user) < 0 ||
            zl_replace_str(&to->working_dir, from->working_dir) < 0 ||
            zl_replace_str(&to->stop_signal, from->stop_signal) < 0 ||
            zl_strv_dup(from->volumes, &to->volumes) < 0 ||
            zl_strv_dup(from->labels, &to->labels) < 0 ||
            zl_strv_dup(from->exposed_ports, &to->exposed_ports) < 0 ||
            copy_health(from->healthcheck, &to->healthcheck) < 0 ||
            zl_strv_dup(from->layer_dirs, &to->layer_dirs) < 0 ||
            zl_replace_str(&to->wasm_path, from->wasm_path) < 0 ||
            zl_replace_str(&to->wasm_name, from->wasm_name) < 0)
                return NULL;
        return zl_take_ptr(to);
}

static bool is_whole(struct zl_image_store *store, const struct zl_image *image)
{
        if (!zl_store_has_blob(store, image->digest) ||
            !zl_store_has_blob(store, image->config_digest))
                return false;
        ZL_STRV_FOREACH(dir, image->layer_dirs)
                if (access(*dir, F_OK) < 0)
                        return false;
        return !image->wasm_path || access(image->wasm_path, F_OK) == 0;
}

struct zl_image *zl_recent_get(struct zl_image_store *store, const char *digest, const char *name)
{
        struct zl_image *image = NULL;

        pthread_mutex_lock(&store->lock);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(store->recent) && !image; i++)
                if (store->recent[i] && zl_streq(store->recent[i]->digest, digest))
                        image = copy(store->recent[i]);
        pthread_mutex_unlock(&store->lock);
        if (image && (!is_whole(store, image) || zl_replace_str(&image->reference, name) < 0)) {
                zl_image_free(image);
                return NULL;
        }
        return image;
}

void zl_recent_put(struct zl_image_store *store, const struct zl_image *image)
{
        struct zl_image *own = copy(image), *old;
        size_t at = 0;

        if (!own)
                return;
        pthread_mutex_lock(&store->lock);
        /* One that was not whole is looked up again: it takes its own place. */
        while (at < ZL_ARRAY_SIZE(store->recent) && store->recent[at] &&
               !zl_streq(store->recent[at]->digest, own->digest))
                at++;
        if (at == ZL_ARRAY_SIZE(store->recent))
                at = store->recent_next++ % ZL_ARRAY_SIZE(store->recent);
        old = store->recent[at];
        store->recent[at] = own;
        pthread_mutex_unlock(&store->lock);
        zl_image_free(old);
}
