/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index and manifest documents (see image.h). They come from outside, so every member that is used is
 * checked for type and grammar; a digest that reaches the rest of the program is well-formed and therefore safe
 * as a file name.
 *
 * What may go wrong: two documents of different kinds can share bytes (an index that also has "layers"). The kind
 * is taken from the members, and a document that claims both is refused.
 */
#include "oci/image.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/strv.h"

static void descriptor_done(struct zl_descriptor *d)
{
        free(d->media_type);
        free(d->digest);
        free(d->title);
        free(d->ref_name);
        zl_strv_free(d->urls);
        zl_platform_done(&d->platform);
        *d = (struct zl_descriptor){ 0 };
}

void zl_document_done(struct zl_document *doc)
{
        for (size_t i = 0; i < doc->n_items; i++)
                descriptor_done(&doc->items[i]);
        free(doc->items);
        descriptor_done(&doc->config);
        free(doc->media_type);
        free(doc->artifact_type);
        *doc = (struct zl_document){ 0 };
}

/* Copies a member that must be a string if it is there (null counts as absent). */
static int take_string(const json_t *object, const char *key, char **ret, const char *what,
                       struct zl_error *err)
{
        const json_t *value = json_object_get(object, key);

        if (!value || json_is_null(value))
                return 0;
        if (!json_is_string(value))
                return zl_fail(err, ZL_E_PROTOCOL, 0, "%s: \"%s\" is not a string", what, key);
        return zl_replace_str(ret, json_string_value(value)) < 0 ? zl_fail_oom(err) : 0;
}

static int parse_platform(const json_t *json, struct zl_platform *p, const char *what,
                          struct zl_error *err)
{
        int r;

        if (!json || json_is_null(json))
                return 0;
        if (!json_is_object(json))
                return zl_fail(err, ZL_E_PROTOCOL, 0, "%s: a platform is not an object", what);
        r = take_string(json, "os", &p->os, what, err);
        if (r >= 0)
                r = take_string(json, "architecture", &p->architecture, what, err);
        if (r >= 0)
                r = take_string(json, "variant", &p->variant, what, err);
        if (r >= 0)
                r = take_string(json, "os.version", &p->os_version, what, err);
        return r;
}

static int parse_annotations(const json_t *json, struct zl_descriptor *d)
{
        const char *title = zl_json_str(json, "org.opencontainers.image.title", NULL);
        const char *ref_name = zl_json_str(json, "org.opencontainers.image.ref.name", NULL);

        d->is_attestation = zl_json_str(json, "vnd.docker.reference.type", NULL) != NULL;
        d->has_wit_component = json_object_get(
                                       json, "org.bytecodealliance.wit-component.version") != NULL;
        if (zl_replace_str(&d->title, title) < 0)
                return -ENOMEM;
        return zl_replace_str(&d->ref_name, ref_name);
}

static int parse_urls(const json_t *json, struct zl_descriptor *d)
{
        const json_t *url;
        size_t i;

        json_array_foreach(json, i, url) if (json_is_string(url) &&
                                             zl_strv_push(&d->urls, json_string_value(url)) <
                                                     0) return -ENOMEM;
        return 0;
}

static int parse_descriptor(const json_t *json, struct zl_descriptor *d, const char *what,
                            struct zl_error *err)
{
        const json_t *size = json_object_get(json, "size");
        int r;

        if (!json_is_object(json))
                return zl_fail(err, ZL_E_PROTOCOL, 0, "%s: a descriptor is not an object", what);
        r = take_string(json, "mediaType", &d->media_type, what, err);
        if (r < 0)
                return r;
        r = take_string(json, "digest", &d->digest, what, err);
        if (r < 0)
                return r;
        if (!d->digest || zl_digest_check(d->digest, NULL) < 0)
                return zl_fail(err, ZL_E_PROTOCOL, 0,
                               "%s: \"%.100s\" is not a digest of a known algorithm", what,
                               d->digest ? d->digest : "");
        if (!json_is_integer(size) || json_integer_value(size) < 0)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "%s: the size of %s is missing or no number",
                               what, d->digest);
        d->size = (uint64_t)json_integer_value(size);
        r = parse_platform(json_object_get(json, "platform"), &d->platform, what, err);
        if (r < 0)
                return r;
        if ((!d->media_type && zl_replace_str(&d->media_type, "") < 0) ||
            parse_annotations(json_object_get(json, "annotations"), d) < 0 ||
            parse_urls(json_object_get(json, "urls"), d) < 0)
                return zl_fail_oom(err);
        return 0;
}

static int parse_items(const json_t *array, struct zl_document *doc, const char *what,
                       struct zl_error *err)
{
        size_t n = json_array_size(array);

        if (!json_is_array(array))
                return zl_fail(err, ZL_E_PROTOCOL, 0, "%s: its list of %s is not an array", what,
                               doc->kind == ZL_DOCUMENT_INDEX ? "manifests" : "layers");
        doc->items = calloc(n + 1, sizeof *doc->items);
        if (!doc->items)
                return zl_fail_oom(err);
        for (size_t i = 0; i < n; i++) {
                int r = parse_descriptor(json_array_get(array, i), &doc->items[doc->n_items++],
                                         what, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_document(const json_t *json, const char *media_type, const char *what,
                          struct zl_document *doc, struct zl_error *err)
{
        const json_t *manifests = json_object_get(json, "manifests");
        const json_t *layers = json_object_get(json, "layers");
        const json_t *config = json_object_get(json, "config");
        int64_t schema = zl_json_int(json, "schemaVersion", 2);
        int r;

        if (!json_is_object(json))
                return zl_fail(err, ZL_E_PROTOCOL, 0, "%s is not a JSON object", what);
        if (schema != 2)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0,
                               "%s: manifests of schema version %lld are not supported", what,
                               (long long)schema);
        if (!manifests == !config || (manifests && layers))
                return zl_fail(err, ZL_E_PROTOCOL, 0,
                               "%s is neither an image index nor an image manifest", what);
        r = take_string(json, "mediaType", &doc->media_type, what, err);
        if (r >= 0 && !doc->media_type && media_type &&
            zl_replace_str(&doc->media_type, media_type))
                r = zl_fail_oom(err);
        if (r >= 0)
                r = take_string(json, "artifactType", &doc->artifact_type, what, err);
        if (r < 0)
                return r;
        doc->kind = manifests ? ZL_DOCUMENT_INDEX : ZL_DOCUMENT_MANIFEST;
        if (config) {
                r = parse_descriptor(config, &doc->config, what, err);
                if (r < 0)
                        return r;
        }
        return parse_items(manifests ? manifests : layers, doc, what, err);
}

/* zl-size: text and length are one argument */
int zl_document_parse(const char *text, size_t len, const char *media_type, const char *what,
                      struct zl_document *ret, struct zl_error *err)
{
        _cleanup_document_ struct zl_document doc = { 0 };
        _cleanup_json_ json_t *json = NULL;
        int r = zl_json_parse(text, len, what, &json, err);

        if (r < 0)
                return r;
        r = parse_document(json, media_type, what, &doc, err);
        if (r < 0)
                return r;
        *ret = doc;
        doc = (struct zl_document){ 0 };
        return 0;
}

const struct zl_descriptor *zl_document_choose(const struct zl_document *index,
                                               const struct zl_platform *want)
{
        const struct zl_descriptor *best = NULL, *wasm = NULL;
        int best_match = 0;

        for (size_t i = 0; i < index->n_items; i++) {
                const struct zl_descriptor *d = &index->items[i];
                int match = zl_platform_match(want, &d->platform);

                if (d->is_attestation)
                        continue;
                if (!d->platform.os && !d->platform.architecture && index->n_items == 1)
                        match = 1;
                if (d->platform.architecture && zl_startswith(d->platform.architecture, "wasm"))
                        wasm = wasm ? wasm : d;
                if (match > best_match) {
                        best_match = match;
                        best = d;
                }
        }
        return best ? best : wasm;
}
