/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Importing from files. An OCI layout keeps its manifest (and so its digest). A docker-save archive has none and a plain root file system not
 * even a config: theirs are made here, in the OCI form, from what there is and nothing else, so that importing the
 * same file twice gives the same digests.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strv.h"
#include "image/layers.h"
#include "image/source.h"
#include "oci/image.h"
#include "oci/reference.h"

struct import {
        struct zl_image_store *store;
        const struct zl_pull_options *options;
        struct zl_store_tmp tmp;
        struct zl_source *source;
        struct zl_reference ref;
        struct zl_platform platform;

        char *manifest_text, *config_text;
        size_t manifest_len, config_len;
        struct zl_document manifest;
        struct zl_image_config config;
        char *manifest_digest;
        char config_digest[ZL_DIGEST_TEXT_MAX];
        char **members; /* names of the layers in the source */
};

static void import_done(struct import *m)
{
        zl_source_close(m->source);
        zl_store_tmp_done(&m->tmp);
        zl_reference_done(&m->ref);
        zl_platform_done(&m->platform);
        free(m->manifest_text);
        free(m->config_text);
        zl_document_done(&m->manifest);
        zl_image_config_done(&m->config);
        free(m->manifest_digest);
        zl_strv_free(m->members);
}

static int lease(struct import *m, const char *layer, struct zl_error *err)
{
        _cleanup_strv_ char **digests = NULL;

        if ((m->manifest_digest && zl_strv_push(&digests, m->manifest_digest) < 0) ||
            (*m->config_digest && zl_strv_push(&digests, m->config_digest) < 0) ||
            zl_strv_extend(&digests, m->config.diff_ids) < 0 ||
            (layer && zl_strv_push(&digests, layer) < 0))
                return zl_fail_oom(err);
        return zl_store_lease(&m->tmp, digests, err);
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static int produce(void *ctx, void **worker _unused_, const struct zl_layers_task *task,
                   void *transfer, struct zl_error *err)
{
        struct import *m = ctx;

        return zl_source_stream(m->source, m->members ? m->members[task->index] : NULL,
                                zl_layers_feed, transfer, err);
}

/* All layers of the config; `digests` says whether the manifest knows those of the blobs. */
static int import_layers(struct import *m, bool digests, struct zl_error *err)
{
        struct zl_layers_job job = { .store = m->store,
                                     .tmp = &m->tmp,
                                     .options = m->options,
                                     .produce = produce,
                                     .ctx = m };
        size_t n = zl_strv_len(m->config.diff_ids);
        int r;

        if (n != zl_strv_len(m->members) || n == 0)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "the archive has %zu layers, the image config %zu diff ids",
                               zl_strv_len(m->members), n);
        if (n > m->store->limits.layers)
                return zl_fail(err, ZL_E_INVALID, 0, "the image has %zu layers, the limit is %llu",
                               n, (unsigned long long)m->store->limits.layers);
        r = lease(m, NULL, err);
        if (r < 0)
                return r;
        job.tasks = calloc(n, sizeof *job.tasks);
        if (!job.tasks)
                return zl_fail_oom(err);
        for (size_t i = 0; i < n; i++) {
                const struct zl_descriptor *d = digests ? &m->manifest.items[i] : NULL;
                bool twice = false;

                for (size_t j = 0; j < i && !twice; j++)
                        twice = zl_streq(m->config.diff_ids[i], m->config.diff_ids[j]);
                if (!twice)
                        job.tasks[job.n_tasks++] = (struct zl_layers_task){
                                { d ? d->digest : NULL, d ? d->size : 0, m->config.diff_ids[i],
                                  d ? d->media_type : ZL_MEDIA_OCI_LAYER },
                                i,
                                ""
                        };
        }
        r = zl_layers_run(&job, err);
        free(job.tasks);
        return r;
}

/* A manifest for layers that came without: they are described uncompressed. */
static int make_manifest(struct import *m, struct zl_error *err)
{
        _cleanup_json_ json_t *json = NULL;
        json_t *layers = json_array();
        char digest[ZL_DIGEST_TEXT_MAX];

        ZL_STRV_FOREACH(id, m->config.diff_ids) {
                uint64_t size = 0;
                int r = zl_store_layer_tar_size(m->store, *id, &size, err);

                if (r < 0) {
                        json_decref(layers);
                        return r;
                }
                json_array_append_new(layers,
                                      json_pack("{s:s, s:s, s:I}", "mediaType", ZL_MEDIA_OCI_LAYER,
                                                "digest", *id, "size", (json_int_t)size));
        }
        json = json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:o}", "schemaVersion", 2, "mediaType",
                         ZL_MEDIA_OCI_MANIFEST, "config", "mediaType", ZL_MEDIA_OCI_CONFIG,
                         "digest", m->config_digest, "size", (json_int_t)m->config_len, "layers",
                         layers);
        m->manifest_text = json ? zl_json_dump(json, 0) : NULL;
        if (!m->manifest_text)
                return zl_fail_oom(err);
        m->manifest_len = strlen(m->manifest_text);
        if (!zl_sha256_text(m->manifest_text, m->manifest_len, digest) ||
            zl_replace_str(&m->manifest_digest, digest) < 0)
                return zl_fail_oom(err);
        return 0;
}

/* ---- OCI layout --------------------------------------------------------------------------------------------------- */

static int read_blob(struct import *m, const struct zl_descriptor *d, char **ret, size_t *ret_len,
                     struct zl_error *err)
{
        _cleanup_free_ char *path = zl_store_blob_path(d->digest);
        int r;

        if (!path)
                return zl_fail_oom(err);
        r = zl_source_read(m->source, path, m->store->limits.manifest_bytes, ret, ret_len, err);
        if (r < 0)
                return r;
        if (*ret_len != d->size || !zl_digest_matches(d->digest, *ret, *ret_len))
                return zl_fail(err, ZL_E_CORRUPT, 0, "%s does not match its digest or size", path);
        return 0;
}

/* Of several images in a layout: the one named like our tag, else the one for the platform. */
static const struct zl_descriptor *choose(struct import *m, const struct zl_document *index)
{
        const struct zl_descriptor *named = NULL;

        if (index->n_items == 1)
                return &index->items[0];
        for (size_t i = 0; i < index->n_items; i++)
                if (index->items[i].ref_name && m->ref.tag &&
                    zl_streq(index->items[i].ref_name, m->ref.tag))
                        named = named ? named : &index->items[i];
        return named ? named : zl_document_choose(index, &m->platform);
}

static int find_oci_manifest(struct import *m, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_source_read(m->source, "index.json", m->store->limits.manifest_bytes, &text,
                               &len, err);

        for (int depth = 0; r >= 0; depth++) {
                _cleanup_document_ struct zl_document doc = { 0 };
                const struct zl_descriptor *d;

                r = zl_document_parse(text, len, NULL, depth ? "manifest" : "index.json", &doc,
                                      err);
                if (r < 0)
                        return r;
                if (doc.kind == ZL_DOCUMENT_MANIFEST && depth > 0) {
                        m->manifest = doc;
                        doc = (struct zl_document){ 0 };
                        m->manifest_text = zl_take_ptr(text);
                        m->manifest_len = len;
                        return 0;
                }
                d = doc.kind == ZL_DOCUMENT_INDEX ? choose(m, &doc) : NULL;
                if (!d || depth == 3)
                        return zl_fail(err, ZL_E_NOT_FOUND, 0,
                                       "the layout holds no image for %s/%s or with the tag %s",
                                       m->platform.os, m->platform.architecture,
                                       m->ref.tag ? m->ref.tag : "");
                if (zl_replace_str(&m->manifest_digest, d->digest) < 0)
                        return zl_fail_oom(err);
                free(zl_take_ptr(text));
                r = read_blob(m, d, &text, &len, err);
        }
        return r;
}

static int import_module(struct import *m, const struct zl_descriptor *d, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL, *path = NULL;
        size_t len;
        int r;

        if (!d)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the WebAssembly artifact holds no module");
        path = zl_store_blob_path(d->digest);
        if (!path)
                return zl_fail_oom(err);
        r = zl_source_read(m->source, path, (size_t)1 << 28, &text, &len, err);
        if (r < 0)
                return r;
        if (len != d->size || !zl_digest_matches(d->digest, text, len))
                return zl_fail(err, ZL_E_CORRUPT, 0, "%s does not match its digest or size", path);
        if (zl_wasm_version_of(text, len) < 0)
                return zl_fail(err, ZL_E_INVALID, 0, "%s is no WebAssembly module", d->digest);
        return zl_store_put_blob(m->store, d->digest, text, len, err);
}

static int import_oci(struct import *m, struct zl_error *err)
{
        struct zl_wasm_info wasm;
        int r = find_oci_manifest(m, err);

        if (r >= 0)
                r = read_blob(m, &m->manifest.config, &m->config_text, &m->config_len, err);
        if (r < 0)
                return r;
        memcpy(m->config_digest, m->manifest.config.digest, strlen(m->manifest.config.digest) + 1);
        wasm = zl_document_wasm(&m->manifest);
        if (wasm.is_wasm) {
                r = lease(m, wasm.layer ? wasm.layer->digest : NULL, err);
                return r < 0 ? r : import_module(m, wasm.layer, err);
        }
        r = zl_image_config_parse(m->config_text, m->config_len, "image config", &m->config, err);
        for (size_t i = 0; r >= 0 && i < m->manifest.n_items; i++)
                r = zl_strv_push_take(&m->members, zl_store_blob_path(m->manifest.items[i].digest));
        if (r == -ENOMEM && !zl_error_is_set(err))
                return zl_fail_oom(err);
        return r < 0 ? r : import_layers(m, true, err);
}

/* ---- docker save ---------------------------------------------------------------------------------------------------- */

static int read_docker_manifest(struct import *m, char **ret_config, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        const json_t *image, *layers, *layer;
        const char *config;
        size_t len, i;
        int r = zl_source_read(m->source, "manifest.json", m->store->limits.manifest_bytes, &text,
                               &len, err);

        if (r >= 0)
                r = zl_json_parse(text, len, "manifest.json", &json, err);
        if (r < 0)
                return r;
        if (json_array_size(json) > 1)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "the archive holds %zu images; save one image per archive",
                               json_array_size(json));
        image = json_array_get(json, 0);
        config = zl_json_str(image, "Config", NULL);
        layers = json_object_get(image, "Layers");
        if (!config || !json_is_array(layers))
                return zl_fail(err, ZL_E_INVALID, 0, "manifest.json names no config and layers");
        json_array_foreach(layers, i,
                           layer) if (zl_strv_push(&m->members, json_is_string(layer)
                                                                        ? json_string_value(layer)
                                                                        : "") <
                                      0) return zl_fail_oom(err);
        return zl_replace_str(ret_config, config) < 0 ? zl_fail_oom(err) : 0;
}

static int import_docker(struct import *m, struct zl_error *err)
{
        _cleanup_free_ char *config = NULL;
        int r = read_docker_manifest(m, &config, err);

        if (r >= 0)
                r = zl_source_read(m->source, config, m->store->limits.manifest_bytes,
                                   &m->config_text, &m->config_len, err);
        if (r >= 0)
                r = zl_image_config_parse(m->config_text, m->config_len, config, &m->config, err);
        if (r < 0)
                return r;
        if (!zl_sha256_text(m->config_text, m->config_len, m->config_digest))
                return zl_fail_oom(err);
        r = import_layers(m, false, err);
        return r < 0 ? r : make_manifest(m, err);
}

/* ---- plain root file system ------------------------------------------------------------------------------------------ */

static int make_config(struct import *m, const char *diff_id, struct zl_error *err)
{
        char created[ZL_RFC3339_SIZE];
        _cleanup_json_ json_t *json = json_pack(
                "{s:s, s:s, s:s, s:{}, s:{s:s, s:[s]}, s:[{s:s, s:s}]}", "created",
                zl_format_rfc3339(zl_source_mtime(m->source), created), "architecture",
                m->platform.architecture, "os", m->platform.os, "config", "rootfs", "type",
                "layers", "diff_ids", diff_id, "history", "created", created, "created_by",
                "zlayer-agent image import");

        m->config_text = json ? zl_json_dump(json, 0) : NULL;
        if (!m->config_text || zl_strv_push(&m->config.diff_ids, diff_id) < 0)
                return zl_fail_oom(err);
        m->config_len = strlen(m->config_text);
        return zl_sha256_text(m->config_text, m->config_len, m->config_digest) ? 0
                                                                               : zl_fail_oom(err);
}

static int import_plain(struct import *m, struct zl_error *err)
{
        struct zl_layers_task task = { .source = { .media_type = ZL_MEDIA_OCI_LAYER } };
        struct zl_layers_job job = { .store = m->store,
                                     .tmp = &m->tmp,
                                     .tasks = &task,
                                     .n_tasks = 1,
                                     .options = m->options,
                                     .produce = produce,
                                     .ctx = m };
        int r = 0;

        /* Only now do we know what to lease; should a prune have come in between, unpack once more. */
        for (int tries = 0; tries < 3; tries++) {
                r = zl_layers_run(&job, err);
                if (r >= 0)
                        r = lease(m, task.diff_id, err);
                if (r < 0 || zl_store_has_layer(m->store, task.diff_id))
                        break;
        }
        if (r >= 0)
                r = make_config(m, task.diff_id, err);
        return r < 0 ? r : make_manifest(m, err);
}

/* ---- a module by itself ---------------------------------------------------------------------------------------------- */

enum { MODULE_MAX = 256 << 20 };

/* Binary by its first bytes, text by its name. */
static bool is_module(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        size_t len = strlen(path);
        struct stat st;
        char magic[4];

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return false;
        return (len > 4 && zl_streq(path + len - 4, ".wat")) ||
               (len > 5 && zl_streq(path + len - 5, ".wasm")) ||
               (zl_read_full(fd, magic, sizeof magic) == sizeof magic &&
                memcmp(magic, "\0asm", sizeof magic) == 0);
}

/* The artifact that the tools for WebAssembly make: a config that says little, and the module as the only layer. */
static int make_artifact(struct import *m, const char *digest, size_t len, const char *title,
                         struct zl_error *err)
{
        _cleanup_json_ json_t *config = json_pack("{s:s, s:s, s:[s]}", "architecture", "wasm", "os",
                                                  "wasip1", "layerDigests", digest);
        _cleanup_json_ json_t *json = NULL;
        char text[ZL_DIGEST_TEXT_MAX];

        m->config_text = config ? zl_json_dump(config, 0) : NULL;
        if (!m->config_text)
                return zl_fail_oom(err);
        m->config_len = strlen(m->config_text);
        if (!zl_sha256_text(m->config_text, m->config_len, m->config_digest))
                return zl_fail_oom(err);
        json = json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:[{s:s, s:s, s:I, s:{s:s}}]}",
                         "schemaVersion", 2, "mediaType", ZL_MEDIA_OCI_MANIFEST, "config",
                         "mediaType", "application/vnd.wasm.config.v0+json", "digest",
                         m->config_digest, "size", (json_int_t)m->config_len, "layers", "mediaType",
                         "application/wasm", "digest", digest, "size", (json_int_t)len,
                         "annotations", "org.opencontainers.image.title", title);
        m->manifest_text = json ? zl_json_dump(json, 0) : NULL;
        if (!m->manifest_text)
                return zl_fail_oom(err);
        m->manifest_len = strlen(m->manifest_text);
        if (!zl_sha256_text(m->manifest_text, m->manifest_len, text) ||
            zl_replace_str(&m->manifest_digest, text) < 0)
                return zl_fail_oom(err);
        return 0;
}

static int import_file(struct import *m, const char *path, struct zl_error *err)
{
        const char *slash = strrchr(path, '/');
        char digest[ZL_DIGEST_TEXT_MAX];
        _cleanup_free_ char *bytes = NULL;
        size_t len;
        int r = zl_read_file_at(AT_FDCWD, path, MODULE_MAX, &bytes, &len);

        if (r == -EFBIG || r == -E2BIG)
                return zl_fail(err, ZL_E_INVALID, 0, "the module is larger than %d MiB",
                               MODULE_MAX >> 20);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read the module");
        /* Text is looked at by the compiler. */
        if (len == 0 || (memchr(bytes, 0, len) && zl_wasm_version_of(bytes, len) < 0))
                return zl_fail(err, ZL_E_INVALID, 0, "this is no WebAssembly module");
        if (!zl_sha256_text(bytes, len, digest))
                return zl_fail_oom(err);
        r = lease(m, digest, err);
        if (r >= 0)
                r = zl_store_put_blob(m->store, digest, bytes, len, err);
        return r < 0 ? r : make_artifact(m, digest, len, slash ? slash + 1 : path, err);
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

static int import_archive(struct import *m, const char *path, struct zl_error *err)
{
        int r = zl_source_open(path, &m->tmp, &m->source, err);

        if (r < 0)
                return r;
        switch (zl_source_kind(m->source)) {
        case ZL_SOURCE_OCI:
                return import_oci(m, err);
        case ZL_SOURCE_DOCKER:
                return import_docker(m, err);
        case ZL_SOURCE_PLAIN:
                return import_plain(m, err);
        }
        return -EINVAL;
}

static int import(struct import *m, const char *path, struct zl_error *err)
{
        _cleanup_free_ char *name = NULL;
        int r = zl_store_tmp_new(m->store, &m->tmp, err);

        if (r < 0)
                return r;
        r = is_module(path) ? import_file(m, path, err) : import_archive(m, path, err);
        if (r >= 0)
                r = lease(m, NULL, err);
        if (r >= 0)
                r = zl_store_put_blob(m->store, m->config_digest, m->config_text, m->config_len,
                                      err);
        if (r >= 0)
                r = zl_store_put_blob(m->store, m->manifest_digest, m->manifest_text,
                                      m->manifest_len, err);
        if (r < 0)
                return r;
        name = zl_reference_text(&m->ref);
        if (!name)
                return zl_fail_oom(err);
        r = zl_index_set(m->store, name, m->manifest_digest, NULL, true, err);
        if (r >= 0)
                zl_layers_tell(m->options, "done");
        return r;
}

/* zl-size: store, source, name, progress, result, error: a struct would hold two strings */
int zl_image_import(struct zl_image_store *store, const char *path, const char *name,
                    const struct zl_pull_options *progress, char **ret_digest, struct zl_error *err)
{
        _cleanup_(import_done) struct import m = { .store = store,
                                                   .options = progress,
                                                   .tmp = ZL_STORE_TMP_INIT };
        int r = zl_reference_parse(name, &m.ref, NULL, err);

        if (r < 0)
                return r;
        if (m.ref.digest)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "%s: the name of an import cannot hold a digest", name);
        if (zl_platform_host(&m.platform) < 0)
                return zl_fail_oom(err);
        r = import(&m, path, err);
        if (r < 0) {
                zl_error_prefix(err, "import of %s", path);
                return r;
        }
        if (ret_digest)
                *ret_digest = zl_take_ptr(m.manifest_digest);
        return 0;
}
