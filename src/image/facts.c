/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image is for, by its manifest: whoever has several runtimes must know before one of them pulls. An index names the
 * systems; a manifest alone has them in its configuration, or is a WebAssembly artifact.
 */
#include "image/facts.h"

#include "base/clock.h"
#include "base/strv.h"
#include "image/image.h"

enum { DOCUMENT_MAX = 4 << 20 };
#define QUESTION_SPAN (30 * ZL_NSEC_PER_SEC)

void zl_image_facts_done(struct zl_image_facts *f)
{
        zl_strv_free(f->systems);
        *f = (struct zl_image_facts){ 0 };
}

static int add_system(struct zl_image_facts *f, const char *os)
{
        return !os || !*os || zl_strv_contains(f->systems, os) ? 0 : zl_strv_push(&f->systems, os);
}

static int read_index(const struct zl_document *index, struct zl_image_facts *f)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < index->n_items; i++)
                if (!index->items[i].is_attestation)
                        r = add_system(f, index->items[i].platform.os);
        return r;
}

static int read_config(struct zl_registry *registry, struct zl_http *http,
                       const struct zl_document *manifest, struct zl_image_facts *f,
                       struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        struct zl_image_config config = { 0 };
        int r = zl_registry_small_blob(registry, http, &manifest->config, DOCUMENT_MAX, &text, err);

        if (r >= 0)
                r = zl_image_config_parse(text, strlen(text), manifest->config.digest, &config,
                                          err);
        if (r < 0)
                return r;
        r = add_system(f, config.platform.os);
        zl_image_config_done(&config);
        return r < 0 ? zl_fail_oom(err) : 0;
}

static int fetch(struct zl_registry *registry, struct zl_http *http, const struct zl_reference *ref,
                 struct zl_image_facts *f, struct zl_error *err)
{
        _cleanup_manifest_text_ struct zl_manifest_text m = { 0 };
        _cleanup_document_ struct zl_document doc = { 0 };
        int r = zl_registry_manifest(registry, http, ref->digest ? ref->digest : ref->tag,
                                     DOCUMENT_MAX, &m, err);

        if (r >= 0)
                r = zl_document_parse(m.text, m.len, m.media_type, "the manifest", &doc, err);
        if (r < 0)
                return r;
        if (doc.kind == ZL_DOCUMENT_INDEX)
                return read_index(&doc, f) < 0 ? zl_fail_oom(err) : 0;
        f->wasm = zl_document_wasm(&doc).is_wasm;
        return f->wasm ? 0 : read_config(registry, http, &doc, f, err);
}

int zl_image_facts_fetch(const char *reference, const struct zl_registry_options *options,
                         struct zl_image_facts *ret, struct zl_error *err)
{
        _cleanup_reference_ struct zl_reference ref = { 0 };
        _cleanup_(zl_registry_closep) struct zl_registry *registry = NULL;
        _cleanup_(zl_http_freep) struct zl_http *http = NULL;
        struct zl_image_facts facts = { 0 };
        int r = zl_reference_parse(reference, &ref, NULL, err);

        if (r >= 0)
                r = zl_registry_open(&ref, options, &registry, err);
        if (r >= 0)
                r = zl_http_new(NULL, NULL, &http, err);
        /* What asks here pulls afterwards, and then hears better what is wrong. */
        if (r >= 0)
                zl_http_set_deadline(http, zl_now_monotonic() + QUESTION_SPAN);
        if (r >= 0)
                r = fetch(registry, http, &ref, &facts, err);
        if (r < 0) {
                zl_image_facts_done(&facts);
                zl_error_prefix(err, "%s", reference);
                return r;
        }
        *ret = facts;
        return 0;
}
