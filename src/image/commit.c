/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new image on top of one that is here: its configuration and manifest with one layer more. The layer comes as a tar from
 * the caller and takes the way of every other layer, so all digests are those of what is in the store then.
 *
 * The descriptors of the layers below stay as they are in the manifest, though their compressed blobs are not kept; the
 * new one is described uncompressed, as the layers of an import are.
 */
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/strv.h"
#include "image/layers.h"
#include "image/tar_writer.h"
#include "oci/image.h"
#include "oci/reference.h"

struct commit {
        struct zl_image_store *store;
        const struct zl_image_commit *options;
        struct zl_store_tmp tmp;
        struct zl_reference ref;
        json_t *manifest, *config;
        char *old_config; /* digest */
        char diff_id[ZL_DIGEST_TEXT_MAX];
};

static void commit_done(struct commit *c)
{
        zl_store_tmp_done(&c->tmp);
        zl_reference_done(&c->ref);
        json_decref(c->manifest);
        json_decref(c->config);
        free(c->old_config);
}

static int load(struct commit *c, const char *digest, const char *what, json_t **ret,
                struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_store_get_blob(c->store, digest, &text, &len, err);

        return r < 0 ? r : zl_json_parse(text, len, what, ret, err);
}

/* What is in the store and must stay until the new image has its name. */
static int lease(struct commit *c, const char *manifest, const char *config, struct zl_error *err)
{
        const json_t *ids = json_object_get(json_object_get(c->config, "rootfs"), "diff_ids"), *id;
        _cleanup_strv_ char **digests = NULL;
        int r = 0;
        size_t i;

        json_array_foreach(ids, i, id) if (json_is_string(id) && r == 0)
                r = zl_strv_push(&digests, json_string_value(id));
        if (r == 0 && manifest)
                r = zl_strv_push(&digests, manifest);
        if (r == 0 && config)
                r = zl_strv_push(&digests, config);
        if (r == 0 && *c->diff_id)
                r = zl_strv_push(&digests, c->diff_id);
        return r < 0 ? zl_fail_oom(err) : zl_store_lease(&c->tmp, digests, err);
}

static int load_base(struct commit *c, struct zl_error *err)
{
        const char *config;
        int r = load(c, c->options->base, "image manifest", &c->manifest, err);

        if (r < 0)
                return r;
        config = zl_json_str(json_object_get(c->manifest, "config"), "digest", NULL);
        if (!config || !json_is_array(json_object_get(c->manifest, "layers")))
                return zl_fail(err, ZL_E_CORRUPT, 0, "%s is no manifest of an image",
                               c->options->base);
        if (zl_replace_str(&c->old_config, config) < 0)
                return zl_fail_oom(err);
        r = load(c, config, "image config", &c->config, err);
        return r < 0 ? r : lease(c, c->options->base, config, err);
}

/* ---- the layer --------------------------------------------------------------------------------------------- */

static int produce(void *ctx, void **worker _unused_, const struct zl_layers_task *task _unused_,
                   void *transfer, struct zl_error *err)
{
        const struct commit *c = ctx;
        _cleanup_tar_writer_ struct zl_tar_writer *writer = zl_tar_writer_new(zl_layers_feed,
                                                                              transfer);
        int r = writer ? c->options->write(c->options->ctx, writer, err) : zl_fail_oom(err);

        return r < 0 ? r : zl_tar_writer_finish(writer, err);
}

static int make_layer(struct commit *c, struct zl_error *err)
{
        struct zl_layers_task task = { .source = { .media_type = ZL_MEDIA_OCI_LAYER } };
        struct zl_layers_job job = { .store = c->store,
                                     .tmp = &c->tmp,
                                     .tasks = &task,
                                     .n_tasks = 1,
                                     .produce = produce,
                                     .ctx = c };

        /* Only now is it known what to lease; should a prune have come in between, once more. */
        for (int tries = 0; tries < 3; tries++) {
                int r = zl_layers_run(&job, err);

                if (r < 0)
                        return r;
                memcpy(c->diff_id, task.diff_id, sizeof c->diff_id);
                r = lease(c, c->options->base, c->old_config, err);
                if (r < 0 || zl_store_has_layer(c->store, c->diff_id))
                        return r;
        }
        return zl_fail(err, ZL_E_BUSY, 0, "the new layer is removed again and again");
}

/* ---- the documents ----------------------------------------------------------------------------------------- */

static int extend_config(struct commit *c)
{
        const struct zl_image_commit *o = c->options;
        json_t *ids = json_object_get(json_object_get(c->config, "rootfs"), "diff_ids");
        json_t *history = json_object_get(c->config, "history"), *step;
        char created[ZL_RFC3339_SIZE];
        int r;

        zl_format_rfc3339(zl_now_realtime(), created);
        step = json_pack("{s:s, s:s, s:s*, s:s*}", "created", created, "created_by",
                         o->created_by ? o->created_by : "", "comment", o->comment, "author",
                         o->author);
        if (!history) {
                history = json_array();
                if (zl_json_set(c->config, "history", history) < 0) {
                        json_decref(step);
                        return -ENOMEM;
                }
        }
        r = json_array_append_new(history, step) < 0 ||
                            json_array_append_new(ids, json_string(c->diff_id)) < 0
                    ? -ENOMEM
                    : 0;
        r = r ? r : zl_json_set(c->config, "created", json_string(created));
        return r == 0 && o->author ? zl_json_set(c->config, "author", json_string(o->author)) : r;
}

static int dump_document(const json_t *document, char **ret_text, char digest[ZL_DIGEST_TEXT_MAX],
                         struct zl_error *err)
{
        char *text = zl_json_dump(document, 0);

        if (!text || !zl_sha256_text(text, strlen(text), digest)) {
                free(text);
                return zl_fail_oom(err);
        }
        *ret_text = text;
        return 0;
}

static int put_documents(struct commit *c, char config_digest[ZL_DIGEST_TEXT_MAX],
                         char manifest_digest[ZL_DIGEST_TEXT_MAX], struct zl_error *err)
{
        _cleanup_free_ char *config = NULL, *manifest = NULL;
        json_t *descriptor, *layer;
        uint64_t size = 0;
        int r = zl_store_layer_tar_size(c->store, c->diff_id, &size, err);

        if (r == 0 && extend_config(c) < 0)
                return zl_fail_oom(err);
        if (r == 0)
                r = dump_document(c->config, &config, config_digest, err);
        if (r < 0)
                return r;
        descriptor = json_object_get(c->manifest, "config");
        layer = json_pack("{s:s, s:s, s:I}", "mediaType", ZL_MEDIA_OCI_LAYER, "digest", c->diff_id,
                          "size", (json_int_t)size);
        if (zl_json_set(descriptor, "digest", json_string(config_digest)) < 0 ||
            zl_json_set(descriptor, "size", json_integer((json_int_t)strlen(config))) < 0 ||
            json_array_append_new(json_object_get(c->manifest, "layers"), layer) < 0)
                return zl_fail_oom(err);
        r = dump_document(c->manifest, &manifest, manifest_digest, err);
        if (r == 0)
                r = lease(c, manifest_digest, config_digest, err);
        if (r == 0)
                r = zl_store_put_blob(c->store, config_digest, config, strlen(config), err);
        return r < 0 ? r
                     : zl_store_put_blob(c->store, manifest_digest, manifest, strlen(manifest),
                                         err);
}

static int commit(struct commit *c, char config_digest[ZL_DIGEST_TEXT_MAX], struct zl_error *err)
{
        char manifest_digest[ZL_DIGEST_TEXT_MAX];
        _cleanup_free_ char *name = NULL;
        int r = zl_store_tmp_new(c->store, &c->tmp, err);

        if (r >= 0)
                r = load_base(c, err);
        if (r >= 0)
                r = make_layer(c, err);
        if (r >= 0)
                r = put_documents(c, config_digest, manifest_digest, err);
        if (r < 0)
                return r;
        name = zl_reference_text(&c->ref);
        return name ? zl_index_set(c->store, name, manifest_digest, NULL, true, err)
                    : zl_fail_oom(err);
}

int zl_image_commit(struct zl_image_store *store, const struct zl_image_commit *options,
                    char **ret_id, struct zl_error *err)
{
        _cleanup_(commit_done) struct commit c = { .store = store,
                                                   .options = options,
                                                   .tmp = ZL_STORE_TMP_INIT };
        char digest[ZL_DIGEST_TEXT_MAX];
        int r = zl_reference_parse(options->name, &c.ref, NULL, err);

        if (r < 0)
                return r;
        if (c.ref.digest)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "%s: the name of an image that is made here cannot hold a digest",
                               options->name);
        r = commit(&c, digest, err);
        if (r == 0 && ret_id && !(*ret_id = strdup(digest)))
                return zl_fail_oom(err);
        return r;
}
