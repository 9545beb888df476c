/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: a content store below <root_dir>/images, and the ways into it and out of it.
 *
 * Every layer is unpacked once, into a directory of its own that serves as an overlayfs lower directory
 * (white-outs are character devices 0:0, opaque directories carry trusted.overlay.opaque). Names point to
 * manifests, manifests to layers; what nothing points to and nobody holds is garbage.
 *
 * A store may be used by several threads and several processes at once. All changes become visible
 * whole or not at all, and are durable when the call returns. What a dead process left half-made is
 * removed when a store is opened. Names of images may be written in any form that
 * zl_reference_parse() takes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zlayer/runtime.h>

#include "base/error.h"
#include "base/macro.h"

struct zl_image_store;

/* Bounds against hostile images; see zl_image_limits_default. */
struct zl_image_limits {
        uint64_t manifest_bytes;  /* one manifest, index or config document */
        uint64_t layers;          /* per image */
        uint64_t layer_bytes;     /* one layer, unpacked */
        uint64_t layer_entries;   /* files in one layer */
        uint64_t expansion;       /* unpacked bytes per compressed byte ... */
        uint64_t expansion_floor; /* ... looked at only beyond so many unpacked bytes */
};
extern const struct zl_image_limits zl_image_limits_default;

struct zl_image_store_options {
        bool plain_http;                      /* HTTP to every registry, not only on loopback */
        const struct zl_image_limits *limits; /* NULL: the defaults; copied */
};

/* Opens the store at the directory `path` (made when missing, mode 0700). `options` may be NULL. */
int zl_image_store_open(const char *path, const struct zl_image_store_options *options,
                        struct zl_image_store **ret, struct zl_error *err);
void zl_image_store_close(struct zl_image_store *store); /* NULL is allowed */
ZL_DEFINE_CLEANUP(struct zl_image_store *, zl_image_store_closep, zl_image_store_close)
#define _cleanup_image_store_ _cleanup_(zl_image_store_closep)

/* ---- reading ------------------------------------------------------------------------------------- */

enum zl_image_kind { ZL_IMAGE_CONTAINER, ZL_IMAGE_WASM };
enum zl_wasm_version { ZL_WASM_UNKNOWN, ZL_WASM_P1, ZL_WASM_P2 };

struct zl_image_healthcheck {
        char **test; /* {"CMD", ...} or {"CMD-SHELL", "..."} or {"NONE"} */
        int64_t interval, timeout, start_period; /* nanoseconds, 0: not given */
        int64_t retries;
};

/* One image of the platform it was pulled for. Vectors are NULL-terminated and may be NULL. */
struct zl_image {
        char *reference;     /* canonical name; NULL if none points to it */
        char *digest;        /* of the manifest */
        char *config_digest; /* "the image id" */
        char *os, *architecture, *variant;
        char **env; /* NAME=VALUE */
        char **entrypoint, **cmd;
        char *user, *working_dir, *stop_signal;
        char **volumes;                           /* paths */
        char **labels;                            /* KEY=VALUE */
        char **exposed_ports;                     /* "80/tcp" */
        struct zl_image_healthcheck *healthcheck; /* or NULL */
        int64_t created;                          /* nanoseconds since 1970; 0 unknown */
        uint64_t size;                            /* bytes of all files, unpacked */

        /* Containers: absolute paths, LOWEST first; at least one. They stay while the image has a name
         * or a hold, so hold it before you mount. Layers hidden entirely by an opaque root are left out. */
        char **layer_dirs;

        /* WebAssembly artifacts (ZL_IMAGE_WASM): the module as a file; layer_dirs is NULL. */
        enum zl_image_kind kind;
        enum zl_wasm_version wasm_version;
        char *wasm_path; /* absolute */
        char *wasm_name; /* title annotation of the layer, or NULL */
};
void zl_image_free(struct zl_image *image); /* NULL is allowed */
ZL_DEFINE_CLEANUP(struct zl_image *, zl_image_freep, zl_image_free)
#define _cleanup_image_ _cleanup_(zl_image_freep)

/* Finds an image by name, by digest ("sha256:HEX" of manifest or config) or by the first hex digits
 * (at least 6, unambiguous) of one. Never asks a registry. ZL_E_NOT_FOUND if it is not in the store. */
int zl_image_lookup(struct zl_image_store *store, const char *name, struct zl_image **ret,
                    struct zl_error *err);

/* Every name with what it points to, in order of name. The caller frees each and the array. */
int zl_image_list(struct zl_image_store *store, struct zl_image ***ret, size_t *ret_n,
                  struct zl_error *err);

/* Names, digests, manifest and config as JSON text; the caller frees it. */
int zl_image_inspect_json(struct zl_image_store *store, const char *name, char **ret_json,
                          struct zl_error *err);

/* ---- getting and giving ---------------------------------------------------------------------------- */

/* Makes sure that the image is present as options->policy asks (if_not_present acts as newer for a mutable
 * reference; names made by import or tag are never looked for in a registry, except by "always").
 * `platform` is "os/architecture[/variant]" or NULL for this machine's. `*ret_digest` (may be NULL) is the digest of
 * the manifest. Errors: ZL_E_NOT_FOUND, ZL_E_UNAUTHORIZED, ZL_E_NETWORK, ZL_E_PROTOCOL, ZL_E_CORRUPT (a digest or
 * size is wrong), ZL_E_NO_SPACE, ZL_E_CANCELLED, ZL_E_INVALID (hostile or broken archive). */
int zl_image_pull(struct zl_image_store *store, const char *reference, const char *platform,
                  const struct zl_pull_options *options, char **ret_digest, struct zl_error *err);

struct zl_image_search {
        unsigned limit;                  /* 0: as many as the registry tells */
        bool plain_http;                 /* HTTP also beyond loopback */
        const char *username, *password; /* NULL: from the Docker configuration file */
};
/* What a registry has whose name or description fits `term`, "[REGISTRY/]TERM" (docker.io without one): a JSON array of {name,
 * description, stars, official}, with names as they can be pulled. A registry that cannot search has its catalog gone through for names
 * that contain the term; "REGISTRY/" lists all of it. The caller frees. Blocks. */
int zl_image_search(const char *term, const struct zl_image_search *options, char **ret_json,
                    struct zl_error *err);

/* Imports an OCI layout (directory or tar), a docker-save tar or a plain root file system tar (each also
 * compressed) under `name`. `progress` may be NULL. */
int zl_image_import(struct zl_image_store *store, const char *path, const char *name,
                    const struct zl_pull_options *progress, char **ret_digest,
                    struct zl_error *err);

/* Writes a tar to `fd` that is an OCI layout and can be read by `docker load` too. Layers are written
 * uncompressed, rebuilt bit for bit, so config digest (image id) and diff ids are those of the original. */
int zl_image_save(struct zl_image_store *store, const char *name, int fd, struct zl_error *err);

struct zl_tar_writer;
struct zl_image_commit {
        const char *base;                          /* digest of the manifest of an image of files */
        const char *name;                          /* of the new image */
        const char *created_by, *comment, *author; /* for its history; may be NULL */
        /* Writes what is new, as a layer (image/tar_writer.h) but for the end of the archive. Called in a thread of its own. */
        int (*write)(void *ctx, struct zl_tar_writer *writer, struct zl_error *err);
        void *ctx;
};
/* Makes an image of another one and one layer more. `*ret_id` (may be NULL) is the digest of its configuration. Hold the
 * base meanwhile. */
int zl_image_commit(struct zl_image_store *store, const struct zl_image_commit *options,
                    char **ret_id, struct zl_error *err);

/* Gives an image one more name. */
int zl_image_tag(struct zl_image_store *store, const char *name, const char *new_name,
                 struct zl_error *err);

/* ---- removing -------------------------------------------------------------------------------------- */

/* While a file <images>/holds/HOLDER names it, an image is in use: it keeps manifest, config and layers. A holder (a
 * name without slash, such as a container's) holds one image; holding again replaces. `digest` is a
 * manifest's. Holds alone are not synced to disk: whoever holds does so again after a power cut. */
int zl_image_hold(struct zl_image_store *store, const char *digest, const char *holder,
                  struct zl_error *err);
int zl_image_release(struct zl_image_store *store, const char *holder, struct zl_error *err);
/* Makes what the next hold is made of, for who has time now and none then. It is removed when the store is closed. */
void zl_image_hold_ahead(struct zl_image_store *store);

/* Removes a name (or, given a digest, all names of it), and then what only that image used. The last name of an image
 * that is held is refused (ZL_E_BUSY, the holder is named) unless `force`; its content stays in any case. */
int zl_image_remove(struct zl_image_store *store, const char *name, bool force,
                    struct zl_error *err);

/* Removes layers and documents that nothing points to; with `all` first the names of all images that nobody
 * holds. Images being pulled at this moment are safe. `*ret_freed` (may be NULL) is in bytes. */
int zl_image_prune(struct zl_image_store *store, bool all, uint64_t *ret_freed,
                   struct zl_error *err);
