/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One repository of a registry that speaks the OCI distribution API (Docker registry v2): manifests and blobs, with
 * authentication and retries. May be used by several threads, each with its own struct zl_http.
 */
#pragma once

#include "image/http.h"
#include "oci/image.h"
#include "oci/reference.h"

struct zl_registry;

struct zl_registry_options {
        bool plain_http;
        const char *username, *password; /* NULL: from the Docker configuration file */
        bool all_of_it; /* for its catalog and its search, not for one repository */
};

int zl_registry_open(const struct zl_reference *ref, const struct zl_registry_options *options,
                     struct zl_registry **ret, struct zl_error *err);
void zl_registry_close(struct zl_registry *registry);
ZL_DEFINE_CLEANUP(struct zl_registry *, zl_registry_closep, zl_registry_close)

/* Asks for "/PATH?QUERY", with authentication and retries. Whatever is answered is success: look at its status. */
int zl_registry_get(struct zl_registry *registry, struct zl_http *http, const char *path,
                    size_t max, struct zl_http_response *ret, struct zl_error *err);
/* What such a status says about `what` of the registry, as an error. */
int zl_registry_refusal(struct zl_registry *registry, const char *what,
                        const struct zl_http_response *answer, struct zl_error *err);

struct zl_manifest_text {
        char *text, *media_type;
        size_t len;
        char *digest; /* computed from the text, in the algorithm asked for */
};
void zl_manifest_text_done(struct zl_manifest_text *m);
#define _cleanup_manifest_text_ _cleanup_(zl_manifest_text_done)

/* Fetches by tag or digest; a digest is verified. ZL_E_NOT_FOUND if the registry does not know it. */
int zl_registry_manifest(struct zl_registry *registry, struct zl_http *http,
                         const char *tag_or_digest, size_t max, struct zl_manifest_text *ret,
                         struct zl_error *err);
/* Only asks for the digest of a tag; the caller frees it. */
int zl_registry_digest(struct zl_registry *registry, struct zl_http *http, const char *tag,
                       char **ret_digest, struct zl_error *err);

/* Streams the blob into `sink` from where `position` (what the sink has taken so far) stands; goes on after broken
 * connections. Verifies nothing: the sink does. */
int zl_registry_blob(struct zl_registry *registry, struct zl_http *http,
                     const struct zl_descriptor *blob, zl_http_sink sink, void *ctx,
                     struct zl_error *err);
/* A small blob as text, digest and size verified. */
int zl_registry_small_blob(struct zl_registry *registry, struct zl_http *http,
                           const struct zl_descriptor *blob, size_t max, char **ret,
                           struct zl_error *err);
