/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents of an image: index, manifest, config (OCI image-spec 1.1 and Docker manifest schema 2), and
 * what platform and kind of content they describe. Unknown members are ignored, as the
 * specification asks; members that we use must have the right type. No I/O here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macro.h"

#define ZL_MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define ZL_MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define ZL_MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define ZL_MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define ZL_MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define ZL_MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

struct zl_platform {
        char *os, *architecture, *variant, *os_version; /* NULL: not given */
};
void zl_platform_done(struct zl_platform *platform);
#define _cleanup_platform_ _cleanup_(zl_platform_done)

/* This machine's: "linux", "amd64" or "arm64"... with the variant where one is usual. -ENOMEM. */
int zl_platform_host(struct zl_platform *ret);
/* "os/architecture[/variant]". */
int zl_platform_parse(const char *text, struct zl_platform *ret, struct zl_error *err);
/* How well an image for `offer` runs on `want`: 0 not at all, larger is better. */
int zl_platform_match(const struct zl_platform *want, const struct zl_platform *offer);

struct zl_descriptor {
        char *media_type; /* "" if absent */
        char *digest;     /* well-formed, see zl_digest_check() */
        uint64_t size;
        struct zl_platform platform;
        char *title;            /* annotation org.opencontainers.image.title */
        char *ref_name;         /* annotation org.opencontainers.image.ref.name */
        bool is_attestation;    /* annotation vnd.docker.reference.type: not an image to run */
        bool has_wit_component; /* annotation org.bytecodealliance.wit-component.version */
        char **urls;            /* other places where the blob may be found */
};

enum zl_document_kind { ZL_DOCUMENT_INDEX, ZL_DOCUMENT_MANIFEST };

/* An index (manifests) or a manifest (config and layers). */
struct zl_document {
        enum zl_document_kind kind;
        char *media_type;    /* as the document or the caller says */
        char *artifact_type; /* or NULL */
        struct zl_descriptor config;
        struct zl_descriptor *items; /* manifests, or layers from the lowest up */
        size_t n_items;
};

/* Reads a document. `media_type` is what the transport said about it or NULL; `what` names it in errors. Schema 1
 * manifests are refused by name. */
int zl_document_parse(const char *text, size_t len, const char *media_type, const char *what,
                      struct zl_document *ret, struct zl_error *err);
void zl_document_done(struct zl_document *doc);
#define _cleanup_document_ _cleanup_(zl_document_done)

/* The entry of an index for a platform, else one for WebAssembly, which runs everywhere; NULL if there is none. An entry without platform counts when it is the
 * only one. */
const struct zl_descriptor *zl_document_choose(const struct zl_document *index,
                                               const struct zl_platform *want);

/* The config document of a container image. */
struct zl_image_config {
        struct zl_platform platform;
        int64_t created; /* nanoseconds since 1970, 0 unknown */
        char **diff_ids; /* of the uncompressed layers, from the lowest up */
        char **env, **entrypoint, **cmd;
        char *user, *working_dir, *stop_signal;
        char **volumes, **labels, **exposed_ports;
        bool has_healthcheck;
        char **health_test;
        int64_t health_interval, health_timeout, health_start_period, health_retries;
};
int zl_image_config_parse(const char *text, size_t len, const char *what,
                          struct zl_image_config *ret, struct zl_error *err);
void zl_image_config_done(struct zl_image_config *config);
#define _cleanup_image_config_ _cleanup_(zl_image_config_done)

/* What an artifact is: rules in the order artifactType, config media type, layer media types. */
struct zl_wasm_info {
        bool is_wasm;
        int version; /* 0 unknown, 1 WASI preview 1, 2 preview 2 */
        const struct zl_descriptor
                *layer; /* the module; belongs to the document. NULL: none found */
};
struct zl_wasm_info zl_document_wasm(const struct zl_document *manifest);

/* The same question to the first bytes of a module: 1, 2, 0 unknown, -EINVAL if it is no module. */
int zl_wasm_version_of(const void *data, size_t len);
