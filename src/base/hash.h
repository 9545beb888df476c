/* SPDX-License-Identifier: Apache-2.0 */
/* Cryptographic digests over OpenSSL, and their text form "sha256:HEX". */
#pragma once

#include "base/error.h"

struct zl_hash; /* a running digest */

enum zl_hash_kind { ZL_SHA256, ZL_SHA384, ZL_SHA512 };
enum { ZL_HASH_MAX = 64, ZL_DIGEST_TEXT_MAX = 7 + 128 + 1 };

struct zl_hash *zl_hash_new(enum zl_hash_kind kind); /* NULL without memory */
void zl_hash_free(struct zl_hash *hash);
ZL_DEFINE_CLEANUP(struct zl_hash *, zl_hash_freep, zl_hash_free)

void zl_hash_update(struct zl_hash *hash, const void *data, size_t len);
/* Writes "sha256:HEX" and a NUL; the object can only be freed afterwards. Returns text. */
char *zl_hash_finish(struct zl_hash *hash, char text[ZL_DIGEST_TEXT_MAX]);

/* All in one for sha256. */
char *zl_sha256_text(const void *data, size_t len, char text[ZL_DIGEST_TEXT_MAX]);

/* Which algorithm a digest text names and whether it is well-formed (lower-case hex of the right
 * length): 0 or -EINVAL. */
int zl_digest_check(const char *text, enum zl_hash_kind *ret);
