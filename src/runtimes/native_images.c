/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The images of the native runtime: the interface's words for what src/image does. The store is opened when first
 * needed and then shared; it is safe for several threads and processes by itself.
 */
#include <string.h>

#include "base/json.h"
#include "runtimes/native.h"

int native_pull(struct zl_runtime *rt, const char *image, const struct zl_pull_options *options,
                char **ret_digest, struct zl_error *err)
{
        struct zl_image_store *images;
        int r = native_images(native_from(rt), &images, err);

        return r < 0 ? r : zl_image_pull(images, image, NULL, options, ret_digest, err);
}

static int fill_info(const struct zl_image *image, struct zl_image_info *ret)
{
        int r = zl_replace_str(&ret->reference, image->reference);

        r = r ? r : zl_replace_str(&ret->digest, image->digest);
        r = r ? r : zl_replace_str(&ret->id, image->config_digest);
        r = r ? r : zl_replace_str(&ret->os, image->os);
        r = r ? r : zl_replace_str(&ret->architecture, image->architecture);
        ret->size = image->size;
        ret->created = image->created;
        return r;
}

int native_image_list(struct zl_runtime *rt, struct zl_image_info **ret, size_t *ret_n,
                      struct zl_error *err)
{
        struct zl_image_store *store;
        struct zl_image **images = NULL;
        struct zl_image_info *infos;
        size_t n = 0;
        int r = native_images(native_from(rt), &store, err);

        if (r == 0)
                r = zl_image_list(store, &images, &n, err);
        if (r < 0)
                return r;
        infos = calloc(n + 1, sizeof(*infos));
        for (size_t i = 0; i < n; i++) {
                if (infos && r == 0)
                        r = fill_info(images[i], &infos[i]);
                zl_image_free(images[i]);
        }
        free(images);
        if (!infos || r < 0) {
                zl_image_info_free(infos, n);
                return zl_fail_oom(err);
        }
        *ret = infos;
        *ret_n = n;
        return 0;
}

int native_image_inspect(struct zl_runtime *rt, const char *image, char **ret_json,
                         struct zl_error *err)
{
        struct zl_image_store *store;
        int r = native_images(native_from(rt), &store, err);

        return r < 0 ? r : zl_image_inspect_json(store, image, ret_json, err);
}

/* The configuration tells it oldest first. */
int native_image_history(struct zl_runtime *rt, const char *image, char **ret_json,
                         struct zl_error *err)
{
        _cleanup_json_ json_t *all = NULL, *history = json_array();
        _cleanup_free_ char *text = NULL;
        json_t *steps;
        int r = native_image_inspect(rt, image, &text, err);

        if (r == 0)
                r = zl_json_parse(text, strlen(text), image, &all, err);
        if (r < 0)
                return r;
        steps = json_object_get(json_object_get(all, "config"), "history");
        for (size_t i = json_array_size(steps); history && i-- > 0;)
                if (json_array_append(history, json_array_get(steps, i)) < 0)
                        return zl_fail_oom(err);
        *ret_json = history ? zl_json_dump(history, 2) : NULL;
        return *ret_json ? 0 : zl_fail_oom(err);
}

int native_image_search(struct zl_runtime *rt, const char *term, unsigned limit, char **ret_json,
                        struct zl_error *err)
{
        const struct zl_image_search options = {
                .limit = limit, .plain_http = native_from(rt)->settings.plain_http
        };

        return zl_image_search(term, &options, ret_json, err);
}

int native_image_tag(struct zl_runtime *rt, const char *image, const char *name,
                     struct zl_error *err)
{
        struct zl_image_store *store;
        int r = native_images(native_from(rt), &store, err);

        return r < 0 ? r : zl_image_tag(store, image, name, err);
}

int native_image_remove(struct zl_runtime *rt, const char *image, bool force, struct zl_error *err)
{
        struct zl_image_store *store;
        int r = native_images(native_from(rt), &store, err);

        return r < 0 ? r : zl_image_remove(store, image, force, err);
}

int native_image_prune(struct zl_runtime *rt, bool all, uint64_t *ret_freed, struct zl_error *err)
{
        struct zl_image_store *store;
        int r = native_images(native_from(rt), &store, err);

        return r < 0 ? r : zl_image_prune(store, all, ret_freed, err);
}

int native_image_save(struct zl_runtime *rt, const char *image, int fd, struct zl_error *err)
{
        struct zl_image_store *store;
        int r = native_images(native_from(rt), &store, err);

        return r < 0 ? r : zl_image_save(store, image, fd, err);
}

int native_image_load(struct zl_runtime *rt, const char *path, const char *name,
                      const struct zl_pull_options *progress, char **ret_digest,
                      struct zl_error *err)
{
        struct zl_image_store *store;
        int r;

        if (!name)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "%s: the native runtime has to be told what an image is called",
                               path);
        r = native_images(native_from(rt), &store, err);
        return r < 0 ? r : zl_image_import(store, path, name, progress, ret_digest, err);
}
