/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompression that is fed: gzip (any number of members), zstd (any number of frames) or nothing at all,
 * told by the first bytes and not by what a media type claims.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/macro.h"

struct zl_inflate;

/* Called with what came out, at most 256 KiB at a time. Returns 0 or a negative errno with `err` filled. */
typedef int (*zl_inflate_sink)(void *ctx, const void *data, size_t len, struct zl_error *err);

/* NULL without memory. */
struct zl_inflate *zl_inflate_new(zl_inflate_sink sink, void *ctx);
void zl_inflate_free(struct zl_inflate *inflate);
ZL_DEFINE_CLEANUP(struct zl_inflate *, zl_inflate_freep, zl_inflate_free)

/* ZL_E_CORRUPT if the stream is damaged; else what the sink said. */
int zl_inflate_feed(struct zl_inflate *inflate, const void *data, size_t len, struct zl_error *err);
/* The end of the input: ZL_E_CORRUPT if the stream is cut off. */
int zl_inflate_finish(struct zl_inflate *inflate, struct zl_error *err);
/* "gzip", "zstd" or "" for uncompressed; known after the first four bytes. */
const char *zl_inflate_kind(const struct zl_inflate *inflate);
