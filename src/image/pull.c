/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling: from a reference and a policy to an image in the store. The order makes a pull that dies harmless: layers first
 * (each whole or not at all), then config and manifest, the name last.
 *
 * When the registry cannot be asked and the policy does not insist ("newer"), the image that is there is used and the
 * log says so.
 */
#include <stdio.h>

#include "image/registry.h"
#include "image/store.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/strv.h"
#include "image/layers.h"

#define QUESTION_SPAN (10 * ZL_NSEC_PER_SEC)

struct pull {
        struct zl_image_store *store;
        const struct zl_pull_options *options;
        struct zl_reference ref;
        char *name; /* canonical */
        struct zl_platform platform;
        struct zl_registry *registry;
        struct zl_http *http;
        struct zl_store_tmp tmp;

        char *source; /* digest of what the tag points to */
        struct zl_manifest_text manifest_text;
        struct zl_document manifest;
        struct zl_wasm_info wasm;
        char *config_text;
        struct zl_image_config config;
};

static void pull_done(struct pull *p)
{
        zl_reference_done(&p->ref);
        free(p->name);
        zl_platform_done(&p->platform);
        zl_http_free(p->http);
        zl_registry_close(p->registry);
        zl_store_tmp_done(&p->tmp);
        free(p->source);
        zl_manifest_text_done(&p->manifest_text);
        zl_document_done(&p->manifest);
        free(p->config_text);
        zl_image_config_done(&p->config);
}

static bool pull_stopped(void *data)
{
        const struct pull *p = data;

        return p->options->cancel && __atomic_load_n(p->options->cancel, __ATOMIC_RELAXED);
}

/* ---- documents ------------------------------------------------------------------------------------------------ */

static int no_platform(struct pull *p, const struct zl_document *index, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf have = ZL_BUF_INIT(1 << 12);
        int r;

        for (size_t i = 0; i < index->n_items; i++) {
                const struct zl_platform *o = &index->items[i].platform;

                if (!index->items[i].is_attestation && o->os && o->architecture)
                        zl_buf_putf(&have, "%s%s/%s%s%s", have.len ? ", " : "", o->os,
                                    o->architecture, o->variant ? "/" : "",
                                    o->variant ? o->variant : "");
        }
        r = zl_fail(err, ZL_E_NOT_FOUND, 0, "there is no image for %s/%s%s%s", p->platform.os,
                    p->platform.architecture, p->platform.variant ? "/" : "",
                    p->platform.variant ? p->platform.variant : "");
        zl_error_hint(err, "it is offered for: %s", have.len ? have.data : "nothing");
        return r;
}

static int parse_manifest(struct pull *p, struct zl_document *ret, struct zl_error *err)
{
        return zl_document_parse(p->manifest_text.text, p->manifest_text.len,
                                 p->manifest_text.media_type, "manifest", ret, err);
}

/* Follows an index (or two) to the manifest of the platform. */
static int fetch_manifest(struct pull *p, struct zl_error *err)
{
        const struct zl_image_limits *limits = &p->store->limits;
        const char *what = p->ref.digest ? p->ref.digest : p->ref.tag;
        int r = zl_registry_manifest(p->registry, p->http, what, limits->manifest_bytes,
                                     &p->manifest_text, err);

        if (r < 0)
                return r;
        if (zl_replace_str(&p->source, p->manifest_text.digest) < 0)
                return zl_fail_oom(err);
        for (int depth = 0;; depth++) {
                _cleanup_document_ struct zl_document index = { 0 };
                const struct zl_descriptor *d;

                r = parse_manifest(p, &p->manifest, err);
                if (r < 0 || p->manifest.kind == ZL_DOCUMENT_MANIFEST)
                        return r;
                if (depth == 2)
                        return zl_fail(err, ZL_E_PROTOCOL, 0, "indexes point to indexes");
                index = p->manifest;
                p->manifest = (struct zl_document){ 0 };
                d = zl_document_choose(&index, &p->platform);
                if (!d)
                        return no_platform(p, &index, err);
                zl_manifest_text_done(&p->manifest_text);
                r = zl_registry_manifest(p->registry, p->http, d->digest, limits->manifest_bytes,
                                         &p->manifest_text, err);
                if (r < 0)
                        return r;
                if (p->manifest_text.len != d->size)
                        return zl_fail(err, ZL_E_CORRUPT, 0,
                                       "manifest %s has %zu bytes, its index says %llu", d->digest,
                                       p->manifest_text.len, (unsigned long long)d->size);
        }
}

static int fetch_config(struct pull *p, struct zl_error *err)
{
        const struct zl_image_limits *limits = &p->store->limits;
        size_t n;
        int r;

        if (p->manifest.n_items > limits->layers)
                return zl_fail(err, ZL_E_INVALID, 0, "the image has %zu layers, the limit is %llu",
                               p->manifest.n_items, (unsigned long long)limits->layers);
        p->wasm = zl_document_wasm(&p->manifest);
        r = zl_registry_small_blob(p->registry, p->http, &p->manifest.config,
                                   limits->manifest_bytes, &p->config_text, err);
        if (r < 0 || p->wasm.is_wasm)
                return r;
        r = zl_image_config_parse(p->config_text, p->manifest.config.size, "image config",
                                  &p->config, err);
        if (r < 0)
                return r;
        n = zl_strv_len(p->config.diff_ids);
        if (n != p->manifest.n_items)
                return zl_fail(err, ZL_E_PROTOCOL, 0,
                               "the manifest lists %zu layers, the image config %zu diff ids",
                               p->manifest.n_items, n);
        if (n == 0)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "the image has no layers: it is no container image");
        return 0;
}

/* ---- content --------------------------------------------------------------------------------------------------- */

static int produce(void *ctx, void **worker, const struct zl_layers_task *task, void *transfer,
                   struct zl_error *err)
{
        struct pull *p = ctx;
        struct zl_http **http = (struct zl_http **)worker;
        int r = 0;

        /* The stop function of a handle looks at one transfer, so each has its own handle. */
        zl_http_free(*http);
        *http = NULL;
        r = zl_http_new(zl_layers_stopped, transfer, http, err);
        if (r >= 0)
                r = zl_registry_blob(p->registry, *http, &p->manifest.items[task->index],
                                     zl_layers_feed, transfer, err);
        return r;
}

static void free_worker(void *worker)
{
        zl_http_free(worker);
}

static int take_lease(struct pull *p, struct zl_error *err)
{
        _cleanup_strv_ char **digests = NULL;
        int r = zl_store_tmp_new(p->store, &p->tmp, err);

        if (r < 0)
                return r;
        if (zl_strv_push(&digests, p->manifest_text.digest) < 0 ||
            zl_strv_push(&digests, p->manifest.config.digest) < 0 ||
            zl_strv_extend(&digests, p->config.diff_ids) < 0 ||
            (p->wasm.layer && zl_strv_push(&digests, p->wasm.layer->digest) < 0))
                return zl_fail_oom(err);
        return zl_store_lease(&p->tmp, digests, err);
}

static int fetch_layers(struct pull *p, struct zl_error *err)
{
        struct zl_layers_job job = { .store = p->store,
                                     .tmp = &p->tmp,
                                     .options = p->options,
                                     .produce = produce,
                                     .free_worker = free_worker,
                                     .ctx = p };
        int r;

        job.tasks = calloc(p->manifest.n_items, sizeof *job.tasks);
        if (!job.tasks)
                return zl_fail_oom(err);
        for (size_t i = 0; i < p->manifest.n_items; i++) {
                const struct zl_descriptor *d = &p->manifest.items[i];
                bool twice = false;

                for (size_t j = 0; j < i && !twice; j++)
                        twice = zl_streq(p->config.diff_ids[i], p->config.diff_ids[j]);
                if (!twice)
                        job.tasks[job.n_tasks++] = (struct zl_layers_task){
                                { d->digest, d->size, p->config.diff_ids[i], d->media_type }, i, ""
                        };
        }
        r = zl_layers_run(&job, err);
        free(job.tasks);
        return r;
}

static int fetch_module(struct pull *p, struct zl_error *err)
{
        const struct zl_descriptor *d = p->wasm.layer;
        _cleanup_free_ char *module = NULL;
        int r;

        if (!d)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the WebAssembly artifact holds no module");
        if (zl_store_has_blob(p->store, d->digest))
                return 0;
        r = zl_registry_small_blob(p->registry, p->http, d, (size_t)1 << 28, &module, err);
        if (r >= 0 && zl_wasm_version_of(module, d->size) < 0)
                r = zl_fail(err, ZL_E_INVALID, 0, "%s is no WebAssembly module", d->digest);
        return r < 0 ? r : zl_store_put_blob(p->store, d->digest, module, d->size, err);
}

static int fetch(struct pull *p, struct zl_error *err)
{
        int r;

        zl_layers_tell(p->options, "resolving");
        r = fetch_manifest(p, err);
        if (r >= 0)
                r = fetch_config(p, err);
        if (r >= 0)
                r = take_lease(p, err);
        if (r >= 0)
                r = p->wasm.is_wasm ? fetch_module(p, err) : fetch_layers(p, err);
        if (r >= 0)
                r = zl_store_put_blob(p->store, p->manifest.config.digest, p->config_text,
                                      p->manifest.config.size, err);
        if (r >= 0)
                r = zl_store_put_blob(p->store, p->manifest_text.digest, p->manifest_text.text,
                                      p->manifest_text.len, err);
        if (r >= 0)
                r = zl_index_set(p->store, p->name, p->manifest_text.digest, p->source, false, err);
        if (r >= 0)
                zl_layers_tell(p->options, "done");
        return r;
}

/* ---- policy ---------------------------------------------------------------------------------------------------- */

/* What the store has under the name, and whether it is for the platform wanted. */
struct present {
        char *digest, *source;
        bool usable, local;
};

static int look(struct pull *p, const char *platform, struct present *ret, struct zl_error *err)
{
        _cleanup_map_ struct zl_map *index = NULL;
        _cleanup_image_ struct zl_image *image = NULL;
        const struct zl_index_entry *entry;
        _cleanup_free_ char *name = NULL;
        struct zl_platform have;
        int r = zl_index_load(p->store, &index, err);

        if (r < 0)
                return r;
        if (zl_index_resolve(p->store, index, p->name, &ret->digest, &name, NULL) < 0)
                return 0;
        entry = zl_map_get(index, name ? name : p->name);
        ret->local = entry && entry->local;
        if (zl_replace_str(&ret->source, entry ? entry->source : ret->digest) < 0)
                return zl_fail_oom(err);
        if (zl_store_load_image(p->store, ret->digest, name, &image, NULL) < 0)
                return 0; /* something of it is missing: as good as absent */
        have = (struct zl_platform){ image->os, image->architecture, image->variant, NULL };
        ret->usable = !platform || zl_platform_match(&p->platform, &have) > 0;
        return 0;
}

static bool is_outage(const struct zl_error *err)
{
        return err->code != ZL_E_CANCELLED && err->code != ZL_E_NO_SPACE;
}

/* Is what we have still what the registry has under that tag? Also true if it cannot be asked. A registry that is silent, or to which
 * packets do not get through, must not hold up what is here. */
static int is_current(struct pull *p, const struct present *have, bool *ret, struct zl_error *err)
{
        _cleanup_error_ struct zl_error fault = ZL_ERROR_INIT;
        _cleanup_free_ char *digest = NULL;
        int r;

        *ret = true;
        if (have->local || p->ref.digest)
                return 0; /* no registry knows it, or it cannot change */
        zl_layers_tell(p->options, "resolving");
        zl_http_set_deadline(p->http, zl_now_monotonic() + QUESTION_SPAN);
        r = zl_registry_digest(p->registry, p->http, p->ref.tag, &digest, &fault);
        zl_http_set_deadline(p->http, 0);
        if (r < 0 && !is_outage(&fault)) {
                zl_error_move(err, &fault);
                return r;
        }
        if (r < 0)
                zl_warn("image %s: cannot ask for a newer one, using what is here: %s", p->name,
                        zl_error_message(&fault));
        else
                *ret = zl_streq(digest, have->source);
        return 0;
}

static int pull_by_policy(struct pull *p, const struct present *have, enum zl_pull_policy policy,
                          struct zl_error *err)
{
        struct zl_registry_options options = { p->store->plain_http, p->options->username,
                                               p->options->password };
        bool current = have->usable;
        int r;

        if (policy == ZL_PULL_NEVER && !have->usable) {
                zl_fail(err, ZL_E_NOT_FOUND, 0,
                        "not in the image store, and the pull policy is never");
                zl_error_hint(err, "pull or import it first, or use another pull policy");
                return -ENOENT;
        }
        if (policy == ZL_PULL_IF_NOT_PRESENT && zl_reference_is_mutable(&p->ref))
                policy = ZL_PULL_NEWER;
        if (have->usable && (policy == ZL_PULL_NEVER || policy == ZL_PULL_IF_NOT_PRESENT ||
                             (policy == ZL_PULL_NEWER && (have->local || p->ref.digest))))
                return 0;
        r = zl_registry_open(&p->ref, &options, &p->registry, err);
        if (r >= 0)
                r = zl_http_new(pull_stopped, p, &p->http, err);
        if (r >= 0 && policy == ZL_PULL_NEWER && current)
                r = is_current(p, have, &current, err);
        else
                current = false;
        if (r < 0 || current)
                return r;
        return fetch(p, err);
}

/* zl-size: what zl_image_pull() has */
static int pull(struct zl_image_store *store, const char *reference, const char *platform,
                const struct zl_pull_options *options, char **ret_digest, struct zl_error *err)
{
        _cleanup_(pull_done) struct pull p = { .store = store, .tmp = ZL_STORE_TMP_INIT };
        struct present have = { 0 };
        const char *digest;
        int r;

        p.options = options;
        r = zl_reference_parse(reference, &p.ref, NULL, err);
        if (r < 0)
                return r;
        /* A digest is compared with what we compute, which is lower case. */
        for (char *c = p.ref.digest; c && *c; c++)
                if (*c >= 'A' && *c <= 'F')
                        *c += 'a' - 'A';
        p.name = zl_reference_text(&p.ref);
        r = platform ? zl_platform_parse(platform, &p.platform, err)
                     : zl_platform_host(&p.platform);
        if (!p.name || r == -ENOMEM)
                return zl_fail_oom(err);
        if (r >= 0)
                r = look(&p, platform, &have, err);
        if (r >= 0)
                r = pull_by_policy(&p, &have, p.options->policy, err);
        if (r < 0)
                zl_error_prefix(err, "image %s", p.name);
        digest = p.manifest_text.digest ? p.manifest_text.digest : have.digest;
        if (r >= 0 && ret_digest) {
                *ret_digest = strdup(digest);
                if (!*ret_digest)
                        r = zl_fail_oom(err);
        }
        free(have.digest);
        free(have.source);
        return r;
}

/* The image of one digest: from here, or else from where the name leads. */
static int pull_pinned(struct zl_image_store *store, const char *reference,
                       const struct zl_pull_options *options, char **ret_digest,
                       struct zl_error *err)
{
        _cleanup_image_ struct zl_image *image = NULL;
        _cleanup_free_ char *pinned = NULL;
        struct zl_pull_options unpinned = *options;

        if (zl_image_lookup(store, options->digest, &image, NULL) >= 0) {
                if (ret_digest && !(*ret_digest = strdup(options->digest)))
                        return zl_fail_oom(err);
                return 0;
        }
        if (asprintf(&pinned, "%.*s@%s", (int)strcspn(reference, "@"), reference, options->digest) <
            0) {
                pinned = NULL;
                return zl_fail_oom(err);
        }
        unpinned.digest = NULL;
        if (unpinned.policy != ZL_PULL_NEVER)
                unpinned.policy = ZL_PULL_IF_NOT_PRESENT;
        return pull(store, pinned, NULL, &unpinned, ret_digest, err);
}

/* zl-size: the options are a struct of the public interface; platform is not in it */
int zl_image_pull(struct zl_image_store *store, const char *reference, const char *platform,
                  const struct zl_pull_options *options, char **ret_digest, struct zl_error *err)
{
        static const struct zl_pull_options defaults;

        if (options && options->digest && !platform)
                return pull_pinned(store, reference, options, ret_digest, err);
        return pull(store, reference, platform, options ?: &defaults, ret_digest, err);
}
