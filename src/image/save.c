/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving: one tar that is an OCI image layout and, by its manifest.json, also what `docker load` reads. Layers are rebuilt from their
 * records (split.h) and go in uncompressed; so config and diff ids stay, while the manifest describes other
 * blobs than the one that was pulled and has a digest of its own.
 *
 * What may go wrong: a layer that cannot be rebuilt exactly is noticed by its digest when it has been written
 * already. The caller throws the output away then.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strv.h"
#include "image/split.h"
#include "image/store.h"
#include "image/tar_writer.h"
#include "oci/image.h"

enum { CHUNK = 256 * 1024 };

struct save {
        struct zl_image_store *store;
        struct zl_tar_writer *tar;
        struct zl_image *image;
        struct zl_document manifest;
        struct zl_image_config config;
        struct zl_map *written; /* names that are in the tar already */
        struct zl_hash *hash;   /* of the layer being written */
};

static int put_header(struct save *s, const char *name, uint64_t size, struct zl_error *err)
{
        const struct zl_tar_entry e = {
                .type = '0', .path = name, .link = "", .size = size, .mode = 0644
        };

        return zl_tar_writer_entry(s->tar, &e, err);
}

static int put_file(struct save *s, const char *name, const char *text, size_t len,
                    struct zl_error *err)
{
        int r = put_header(s, name, len, err);

        return r < 0 ? r : zl_tar_writer_data(s->tar, text, len, err);
}

/* Has it been written under that digest? Notes that it now is. -ENOMEM. */
static int first_time(struct save *s, const char *path)
{
        if (zl_map_has(s->written, path))
                return 0;
        return zl_map_put(s->written, path, s) < 0 ? -ENOMEM : 1;
}

/* ---- content ------------------------------------------------------------------------------------------------------- */

static int put_stored_blob(struct save *s, const char *digest, struct zl_error *err)
{
        _cleanup_free_ char *path = zl_store_blob_path(digest), *chunk = malloc(CHUNK);
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        ssize_t n;
        int r;

        if (!path || !chunk)
                return zl_fail_oom(err);
        r = first_time(s, path);
        if (r <= 0)
                return r < 0 ? zl_fail_oom(err) : 0;
        fd = openat(s->store->fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return zl_fail_errno(err, errno, "cannot open %s/%s", s->store->path, path);
        r = put_header(s, path, (uint64_t)st.st_size, err);
        while (r >= 0 && (n = read(fd, chunk, CHUNK)) > 0)
                r = zl_tar_writer_data(s->tar, chunk, (size_t)n, err);
        return r;
}

static int layer_sink(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        struct save *s = ctx;

        zl_hash_update(s->hash, data, len);
        return zl_tar_writer_data(s->tar, data, len, err);
}

static int rebuild(struct save *s, const char *diff_id, struct zl_error *err)
{
        char name[ZL_LAYER_NAME_MAX], file[ZL_LAYER_NAME_MAX + 8], digest[ZL_DIGEST_TEXT_MAX];
        _cleanup_close_ int record = -EBADF, root = -EBADF;
        enum zl_hash_kind kind = ZL_SHA256;
        int r;

        snprintf(file, sizeof file, "%s.split", zl_layer_name(diff_id, name));
        record = openat(s->store->meta_fd, file, O_RDONLY | O_CLOEXEC);
        root = openat(s->store->layers_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (record < 0 || root < 0)
                return zl_fail_errno(err, errno, "cannot open layer %s", name);
        (void)zl_digest_check(diff_id, &kind);
        zl_hash_free(s->hash);
        s->hash = zl_hash_new(kind);
        if (!s->hash)
                return zl_fail_oom(err);
        r = zl_split_rebuild(record, root, layer_sink, s, err);
        if (r >= 0 && !zl_streq(zl_hash_finish(s->hash, digest), diff_id)) {
                r = zl_fail(err, ZL_E_CORRUPT, 0, "layer %s cannot be rebuilt as it was", diff_id);
                zl_error_hint(err,
                              "its archive holds a file twice, or its files were changed; pull "
                              "the image where it is needed instead");
        }
        return r;
}

static int put_layer(struct save *s, const char *diff_id, struct zl_error *err)
{
        _cleanup_free_ char *path = zl_store_blob_path(diff_id);
        uint64_t size = 0;
        int r;

        if (!path)
                return zl_fail_oom(err);
        r = first_time(s, path);
        if (r <= 0)
                return r < 0 ? zl_fail_oom(err) : 0;
        r = zl_store_layer_tar_size(s->store, diff_id, &size, err);
        if (r >= 0)
                r = put_header(s, path, size, err);
        return r < 0 ? r : rebuild(s, diff_id, err);
}

/* ---- documents ------------------------------------------------------------------------------------------------------- */

/* The manifest of the uncompressed layers. */
static int make_manifest(struct save *s, char **ret, struct zl_error *err)
{
        _cleanup_json_ json_t *json = NULL, *layers = json_array();

        ZL_STRV_FOREACH(id, s->config.diff_ids) {
                uint64_t size = 0;
                int r = zl_store_layer_tar_size(s->store, *id, &size, err);

                if (r < 0)
                        return r;
                json_array_append_new(layers,
                                      json_pack("{s:s, s:s, s:I}", "mediaType", ZL_MEDIA_OCI_LAYER,
                                                "digest", *id, "size", (json_int_t)size));
        }
        json = json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:O}", "schemaVersion", 2, "mediaType",
                         ZL_MEDIA_OCI_MANIFEST, "config", "mediaType", ZL_MEDIA_OCI_CONFIG,
                         "digest", s->manifest.config.digest, "size",
                         (json_int_t)s->manifest.config.size, "layers", layers);
        *ret = json ? zl_json_dump(json, 0) : NULL;
        return *ret ? 0 : zl_fail_oom(err);
}

static int put_index(struct save *s, const char *digest, size_t size, struct zl_error *err)
{
        const char *name = s->image->reference;
        const char *tag = name ? strrchr(name, ':') : NULL;
        _cleanup_json_ json_t *json = NULL;
        json_t *annotations = json_object(), *platform = json_object();
        _cleanup_free_ char *text = NULL;

        if (name)
                zl_json_set(annotations, "io.containerd.image.name", json_string(name));
        if (tag && !strchr(name, '@'))
                zl_json_set(annotations, "org.opencontainers.image.ref.name", json_string(tag + 1));
        zl_json_set(platform, "architecture",
                    json_string(s->image->architecture ? s->image->architecture : "unknown"));
        zl_json_set(platform, "os", json_string(s->image->os ? s->image->os : "linux"));
        if (s->image->variant)
                zl_json_set(platform, "variant", json_string(s->image->variant));
        json = json_pack("{s:i, s:s, s:[{s:s, s:s, s:I, s:o, s:o}]}", "schemaVersion", 2,
                         "mediaType", ZL_MEDIA_OCI_INDEX, "manifests", "mediaType",
                         s->manifest.media_type ? s->manifest.media_type : ZL_MEDIA_OCI_MANIFEST,
                         "digest", digest, "size", (json_int_t)size, "platform", platform,
                         "annotations", annotations);
        text = json ? zl_json_dump(json, 0) : NULL;
        return text ? put_file(s, "index.json", text, strlen(text), err) : zl_fail_oom(err);
}

/* What `docker load` looks for. */
static int put_docker_manifest(struct save *s, struct zl_error *err)
{
        _cleanup_free_ char *config = zl_store_blob_path(s->manifest.config.digest), *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        json_t *layers = json_array(), *tags = json_array();
        const char *name = s->image->reference;

        ZL_STRV_FOREACH(id, s->config.diff_ids) {
                _cleanup_free_ char *path = zl_store_blob_path(*id);

                json_array_append_new(layers, path ? json_string(path) : NULL);
        }
        if (name && !strchr(name, '@'))
                json_array_append_new(tags, json_string(name));
        json = json_pack("[{s:s, s:o, s:o}]", "Config", config, "RepoTags", tags, "Layers", layers);
        text = json ? zl_json_dump(json, 0) : NULL;
        return text ? put_file(s, "manifest.json", text, strlen(text), err) : zl_fail_oom(err);
}

static int save_container(struct save *s, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL, *path = NULL;
        char digest[ZL_DIGEST_TEXT_MAX];
        int r = make_manifest(s, &text, err);

        if (r < 0)
                return r;
        if (!zl_sha256_text(text, strlen(text), digest) || !(path = zl_store_blob_path(digest)) ||
            zl_replace_str(&s->manifest.media_type, ZL_MEDIA_OCI_MANIFEST) < 0)
                return zl_fail_oom(err);
        ZL_STRV_FOREACH(id, s->config.diff_ids) {
                r = put_layer(s, *id, err);
                if (r < 0)
                        return r;
        }
        r = put_file(s, path, text, strlen(text), err);
        if (r >= 0)
                r = put_index(s, digest, strlen(text), err);
        return r < 0 ? r : put_docker_manifest(s, err);
}

/* Artifacts are kept as they came. */
static int save_artifact(struct save *s, size_t manifest_len, struct zl_error *err)
{
        struct zl_wasm_info wasm = zl_document_wasm(&s->manifest);
        int r = put_stored_blob(s, wasm.layer->digest, err);

        if (r >= 0)
                r = put_stored_blob(s, s->image->digest, err);
        return r < 0 ? r : put_index(s, s->image->digest, manifest_len, err);
}

static int save(struct save *s, struct zl_error *err)
{
        static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
        _cleanup_free_ char *manifest = NULL, *config = NULL;
        size_t manifest_len, config_len;
        int r = zl_store_get_blob(s->store, s->image->digest, &manifest, &manifest_len, err);

        if (r >= 0)
                r = zl_document_parse(manifest, manifest_len, NULL, s->image->digest, &s->manifest,
                                      err);
        if (r >= 0)
                r = zl_store_get_blob(s->store, s->image->config_digest, &config, &config_len, err);
        if (r >= 0 && s->image->kind == ZL_IMAGE_CONTAINER)
                r = zl_image_config_parse(config, config_len, "image config", &s->config, err);
        if (r >= 0)
                r = put_file(s, "oci-layout", layout, sizeof layout - 1, err);
        if (r >= 0)
                r = put_stored_blob(s, s->image->config_digest, err);
        if (r >= 0)
                r = s->image->kind == ZL_IMAGE_WASM ? save_artifact(s, manifest_len, err)
                                                    : save_container(s, err);
        return r < 0 ? r : zl_tar_writer_finish(s->tar, err);
}

int zl_image_save(struct zl_image_store *store, const char *name, int fd, struct zl_error *err)
{
        struct save s = { .store = store };
        int r = zl_image_lookup(store, name, &s.image, err);

        if (r < 0)
                return r;
        s.written = zl_map_new(NULL);
        s.tar = zl_tar_writer_new(zl_tar_sink_fd, &fd);
        r = s.written && s.tar ? save(&s, err) : zl_fail_oom(err);
        zl_image_free(s.image);
        zl_document_done(&s.manifest);
        zl_image_config_done(&s.config);
        zl_map_free(s.written);
        zl_hash_free(s.hash);
        zl_tar_writer_free(s.tar);
        if (r < 0)
                zl_error_prefix(err, "save of %s", name);
        return r;
}
