/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record from which the tar of an unpacked layer can be rebuilt bit for bit: all bytes that are not file data, and
 * for the file data where it lies. So the store keeps no second copy of a layer, and `image save` still
 * gives back the very layers whose digests the config names.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/macro.h"

struct zl_split;

/* Begins a record in the new file `name` below `dirfd`. */
int zl_split_new(int dirfd, const char *name, struct zl_split **ret, struct zl_error *err);
void zl_split_free(struct zl_split *split);
ZL_DEFINE_CLEANUP(struct zl_split *, zl_split_freep, zl_split_free)

/* In the order of the archive: bytes as they are; a file (its path in the archive); data of that file. */
int zl_split_raw(struct zl_split *split, const void *data, size_t len, struct zl_error *err);
int zl_split_file(struct zl_split *split, const char *path, struct zl_error *err);
int zl_split_data(struct zl_split *split, uint64_t offset, uint64_t len, struct zl_error *err);
int zl_split_finish(struct zl_split *split, struct zl_error *err);

/* Called with the bytes of the rebuilt archive. */
typedef int (*zl_split_sink)(void *ctx, const void *data, size_t len, struct zl_error *err);
/* Rebuilds the archive from the record `fd` and the unpacked layer `root`. The caller verifies the digest. */
int zl_split_rebuild(int fd, int root, zl_split_sink sink, void *ctx, struct zl_error *err);
