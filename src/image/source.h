/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an import reads from: a directory or a tar (also compressed), seen as a set of named files.
 */
#pragma once

#include "image/http.h"
#include "image/store.h"

enum zl_source_kind {
        ZL_SOURCE_OCI,    /* an OCI image layout */
        ZL_SOURCE_DOCKER, /* what `docker save` writes */
        ZL_SOURCE_PLAIN,  /* a tar of a root file system */
};

struct zl_source;

/* Looks at `path` and finds out what it is. `tmp` takes the unpacked form of a compressed archive. */
int zl_source_open(const char *path, struct zl_store_tmp *tmp, struct zl_source **ret,
                   struct zl_error *err);
void zl_source_close(struct zl_source *source);
ZL_DEFINE_CLEANUP(struct zl_source *, zl_source_closep, zl_source_close)

enum zl_source_kind zl_source_kind(const struct zl_source *source);
/* Time of last change of the source, nanoseconds. */
int64_t zl_source_mtime(const struct zl_source *source);

/* Size of a file in it; -ENOENT if there is none. */
int zl_source_size(struct zl_source *source, const char *name, uint64_t *ret);
/* Reads a small file whole. ZL_E_NOT_FOUND, or ZL_E_INVALID if it is larger than `max`. */
int zl_source_read(struct zl_source *source, const char *name, size_t max, char **ret,
                   size_t *ret_len, struct zl_error *err);
/* Sends a file of it, or with NULL the whole source as it is (PLAIN), to the sink. May be called from several threads. */
int zl_source_stream(struct zl_source *source, const char *name, zl_http_sink sink, void *ctx,
                     struct zl_error *err);
