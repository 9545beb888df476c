/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the store: lookup, list, inspect. Names are read afresh, as are images that were not looked up lately (recent.c); one of which
 * something is missing is reported as such and counts as absent for a pull.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strv.h"
#include "image/store.h"
#include "oci/image.h"

static void healthcheck_free(struct zl_image_healthcheck *h)
{
        if (!h)
                return;
        zl_strv_free(h->test);
        free(h);
}

void zl_image_free(struct zl_image *image)
{
        if (!image)
                return;
        free(image->reference);
        free(image->digest);
        free(image->config_digest);
        free(image->os);
        free(image->architecture);
        free(image->variant);
        zl_strv_free(image->env);
        zl_strv_free(image->entrypoint);
        zl_strv_free(image->cmd);
        free(image->user);
        free(image->working_dir);
        free(image->stop_signal);
        zl_strv_free(image->volumes);
        zl_strv_free(image->labels);
        zl_strv_free(image->exposed_ports);
        healthcheck_free(image->healthcheck);
        zl_strv_free(image->layer_dirs);
        free(image->wasm_path);
        free(image->wasm_name);
        free(image);
}

/* Unpacked size of a layer from its record; 0 if that is gone (only shown to people). */
static uint64_t layer_size(struct zl_image_store *store, const char *name)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        char file[ZL_LAYER_NAME_MAX + 8];
        size_t len;

        snprintf(file, sizeof file, "%s.json", name);
        if (zl_read_file_at(store->meta_fd, file, 1 << 20, &text, &len) < 0 ||
            zl_json_parse(text, len, file, &json, NULL) < 0)
                return 0;
        return (uint64_t)zl_json_int(json, "size", 0);
}

static bool is_opaque(const char *dir)
{
        char value[2];

        return getxattr(dir, zl_process_opaque_xattr(), value, sizeof value) == 1 &&
               value[0] == 'y';
}

static int add_layers(struct zl_image_store *store, const struct zl_image_config *config,
                      struct zl_image *image, struct zl_error *err)
{
        ZL_STRV_FOREACH(id, config->diff_ids) {
                _cleanup_free_ char *dir = NULL;
                char name[ZL_LAYER_NAME_MAX];

                zl_layer_name(*id, name);
                if (asprintf(&dir, "%s/layers/%s", store->path, name) < 0) {
                        dir = NULL;
                        return zl_fail_oom(err);
                }
                if (access(dir, F_OK) < 0)
                        return zl_fail(err, ZL_E_CORRUPT, 0, "layer %s is missing in the store",
                                       *id);
                image->size += layer_size(store, name);
                /* overlayfs takes no notice of an opaque root: leave out what it hides. */
                if (is_opaque(dir)) {
                        zl_strv_free(image->layer_dirs);
                        image->layer_dirs = NULL;
                }
                if (zl_strv_push(&image->layer_dirs, dir) < 0)
                        return zl_fail_oom(err);
        }
        return image->layer_dirs ? 0 : zl_fail(err, ZL_E_CORRUPT, 0, "the image has no layers");
}

static int add_health(const struct zl_image_config *c, struct zl_image *image)
{
        struct zl_image_healthcheck *h;

        if (!c->has_healthcheck)
                return 0;
        h = image->healthcheck = calloc(1, sizeof *h);
        if (!h || zl_strv_dup(c->health_test, &h->test) < 0)
                return -ENOMEM;
        h->interval = c->health_interval;
        h->timeout = c->health_timeout;
        h->start_period = c->health_start_period;
        h->retries = c->health_retries;
        return 0;
}

/* Moves what the config says into the image. */
static int take_config(struct zl_image_config *c, struct zl_image *image)
{
        image->os = zl_take_ptr(c->platform.os);
        image->architecture = zl_take_ptr(c->platform.architecture);
        image->variant = zl_take_ptr(c->platform.variant);
        image->env = zl_take_ptr(c->env);
        image->entrypoint = zl_take_ptr(c->entrypoint);
        image->cmd = zl_take_ptr(c->cmd);
        image->user = zl_take_ptr(c->user);
        image->working_dir = zl_take_ptr(c->working_dir);
        image->stop_signal = zl_take_ptr(c->stop_signal);
        image->volumes = zl_take_ptr(c->volumes);
        image->labels = zl_take_ptr(c->labels);
        image->exposed_ports = zl_take_ptr(c->exposed_ports);
        image->created = c->created;
        return add_health(c, image);
}

static int load_container(struct zl_image_store *store, const struct zl_document *manifest,
                          struct zl_image *image, struct zl_error *err)
{
        _cleanup_image_config_ struct zl_image_config config = { 0 };
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_store_get_blob(store, manifest->config.digest, &text, &len, err);

        if (r >= 0)
                r = zl_image_config_parse(text, len, manifest->config.digest, &config, err);
        if (r >= 0)
                r = add_layers(store, &config, image, err);
        if (r >= 0 && take_config(&config, image) < 0)
                r = zl_fail_oom(err);
        return r;
}

static int load_wasm(struct zl_image_store *store, const struct zl_wasm_info *info,
                     struct zl_image *image, struct zl_error *err)
{
        _cleanup_free_ char *path = NULL;

        image->kind = ZL_IMAGE_WASM;
        image->wasm_version = (enum zl_wasm_version)info->version;
        if (!info->layer || !zl_store_has_blob(store, info->layer->digest))
                return zl_fail(err, ZL_E_CORRUPT, 0, "the module is missing in the store");
        path = zl_store_blob_path(info->layer->digest);
        if (path)
                image->wasm_path = zl_path_join(store->path, path);
        image->size = info->layer->size;
        if (!image->wasm_path || zl_replace_str(&image->wasm_name, info->layer->title) < 0 ||
            zl_replace_str(&image->os, "wasi") < 0 ||
            zl_replace_str(&image->architecture, "wasm") < 0)
                return zl_fail_oom(err);
        return 0;
}

static int load_image(struct zl_image_store *store, const char *digest, const char *name,
                      struct zl_image **ret, struct zl_error *err)
{
        _cleanup_image_ struct zl_image *image = calloc(1, sizeof *image);
        _cleanup_document_ struct zl_document manifest = { 0 };
        _cleanup_free_ char *text = NULL;
        struct zl_wasm_info wasm;
        size_t len;
        int r;

        if (!image)
                return zl_fail_oom(err);
        r = zl_store_get_blob(store, digest, &text, &len, err);
        if (r >= 0)
                r = zl_document_parse(text, len, NULL, digest, &manifest, err);
        if (r >= 0 && manifest.kind != ZL_DOCUMENT_MANIFEST)
                r = zl_fail(err, ZL_E_NOT_FOUND, 0, "%s is no image", digest);
        if (r >= 0 && (zl_replace_str(&image->digest, digest) < 0 ||
                       zl_replace_str(&image->reference, name) < 0 ||
                       zl_replace_str(&image->config_digest, manifest.config.digest) < 0))
                r = zl_fail_oom(err);
        if (r < 0)
                return r;
        wasm = zl_document_wasm(&manifest);
        r = wasm.is_wasm ? load_wasm(store, &wasm, image, err)
                         : load_container(store, &manifest, image, err);
        if (r < 0) {
                zl_error_prefix(err, "image %s", name ? name : digest);
                return r;
        }
        *ret = zl_take_ptr(image);
        return 0;
}

int zl_store_load_image(struct zl_image_store *store, const char *digest, const char *name,
                        struct zl_image **ret, struct zl_error *err)
{
        int r;

        *ret = zl_recent_get(store, digest, name);
        if (*ret)
                return 0;
        r = load_image(store, digest, name, ret, err);
        if (r == 0)
                zl_recent_put(store, *ret);
        return r;
}

int zl_image_lookup(struct zl_image_store *store, const char *name, struct zl_image **ret,
                    struct zl_error *err)
{
        _cleanup_map_ struct zl_map *index = NULL;
        _cleanup_free_ char *digest = NULL, *canonical = NULL;
        int r = zl_index_load(store, &index, err);

        if (r >= 0)
                r = zl_index_resolve(store, index, name, &digest, &canonical, err);
        return r < 0 ? r : zl_store_load_image(store, digest, canonical, ret, err);
}

static int by_reference(const void *a, const void *b)
{
        return strcmp((*(struct zl_image *const *)a)->reference,
                      (*(struct zl_image *const *)b)->reference);
}

static void free_images(struct zl_image **images, size_t n)
{
        for (size_t i = 0; i < n; i++)
                zl_image_free(images[i]);
        free(images);
}

int zl_image_list(struct zl_image_store *store, struct zl_image ***ret, size_t *ret_n,
                  struct zl_error *err)
{
        _cleanup_map_ struct zl_map *index = NULL;
        struct zl_image **images;
        size_t n = 0, pos = 0;
        const char *name;
        void *value;
        int r = zl_index_load(store, &index, err);

        if (r < 0)
                return r;
        images = calloc(zl_map_size(index) + 1, sizeof(struct zl_image *));
        if (!images)
                return zl_fail_oom(err);
        while (zl_map_next(index, &pos, &name, &value)) {
                const struct zl_index_entry *entry = value;

                /* A damaged image must not hide the others: it is listed with what is known. */
                if (load_image(store, entry->digest, name, &images[n], NULL) < 0) {
                        images[n] = calloc(1, sizeof *images[n]);
                        if (!images[n] || zl_replace_str(&images[n]->reference, name) < 0 ||
                            zl_replace_str(&images[n]->digest, entry->digest) < 0) {
                                free_images(images, n + 1);
                                return zl_fail_oom(err);
                        }
                }
                n++;
        }
        qsort(images, n, sizeof(struct zl_image *), by_reference);
        *ret = images;
        *ret_n = n;
        return 0;
}

/* ---- inspect ------------------------------------------------------------------------------------------------- */

/* All names that point to the manifest. */
static json_t *names_of(const struct zl_map *index, const char *digest)
{
        json_t *names = json_array();
        const char *name;
        size_t pos = 0;
        void *value;

        while (zl_map_next(index, &pos, &name, &value))
                if (zl_streq(((struct zl_index_entry *)value)->digest, digest))
                        json_array_append_new(names, json_string(name));
        return names;
}

static json_t *strings(char *const *strv)
{
        json_t *list = json_array();

        ZL_STRV_FOREACH(s, strv)
                json_array_append_new(list, zl_json_string_lossy(*s, strlen(*s)));
        return list;
}

static int read_json_blob(struct zl_image_store *store, const char *digest, json_t **ret,
                          struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_store_get_blob(store, digest, &text, &len, err);

        return r < 0 ? r : zl_json_parse(text, len, digest, ret, err);
}

static json_t *describe(const struct zl_image *image, json_t *names, json_t *manifest,
                        json_t *config)
{
        char created[ZL_RFC3339_SIZE];
        json_t *json = json_object();

        if (zl_json_set(json, "names", names) < 0 ||
            zl_json_set(json, "digest", json_string(image->digest)) < 0 ||
            zl_json_set(json, "id", json_string(image->config_digest)) < 0 ||
            zl_json_set(json, "kind",
                        json_string(image->kind == ZL_IMAGE_WASM ? "wasm" : "container")) < 0 ||
            zl_json_set(json, "os", json_string(image->os ? image->os : "")) < 0 ||
            zl_json_set(json, "architecture",
                        json_string(image->architecture ? image->architecture : "")) < 0 ||
            zl_json_set(json, "variant",
                        image->variant ? json_string(image->variant) : json_null()) < 0 ||
            zl_json_set(json, "created",
                        image->created ? json_string(zl_format_rfc3339(image->created, created))
                                       : json_null()) < 0 ||
            zl_json_set(json, "size", json_integer((json_int_t)image->size)) < 0 ||
            zl_json_set(json, "layers", strings(image->layer_dirs)) < 0 ||
            zl_json_set(json, "manifest", json_incref(manifest)) < 0 ||
            zl_json_set(json, "config", json_incref(config)) < 0 ||
            (image->wasm_path && zl_json_set(json, "module", json_string(image->wasm_path)) < 0)) {
                json_decref(json);
                return NULL;
        }
        return json;
}

int zl_image_inspect_json(struct zl_image_store *store, const char *name, char **ret_json,
                          struct zl_error *err)
{
        _cleanup_map_ struct zl_map *index = NULL;
        _cleanup_image_ struct zl_image *image = NULL;
        _cleanup_json_ json_t *manifest = NULL, *config = NULL, *json = NULL;
        int r = zl_image_lookup(store, name, &image, err);

        if (r >= 0)
                r = zl_index_load(store, &index, err);
        if (r >= 0)
                r = read_json_blob(store, image->digest, &manifest, err);
        if (r >= 0)
                r = read_json_blob(store, image->config_digest, &config, err);
        if (r < 0)
                return r;
        json = describe(image, names_of(index, image->digest), manifest, config);
        *ret_json = json ? zl_json_dump(json, 2) : NULL;
        return *ret_json ? 0 : zl_fail_oom(err);
}
