/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests through OpenSSL's plain functions, which pick the processor's SHA instructions. They are deprecated in favour of
 * EVP, whose first use initialises the whole library, reads openssl.cnf and takes several times as long as what a
 * command has to hash. A static program carries these few functions only.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <openssl/sha.h>

struct zl_hash {
        enum zl_hash_kind kind;
        union {
                SHA256_CTX sha256;
                SHA512_CTX sha512;
        };
};

static const struct {
        const char *name;
        size_t bytes;
} kinds[] = {
        [ZL_SHA256] = { "sha256", SHA256_DIGEST_LENGTH },
        [ZL_SHA384] = { "sha384", SHA384_DIGEST_LENGTH },
        [ZL_SHA512] = { "sha512", SHA512_DIGEST_LENGTH },
};

struct zl_hash *zl_hash_new(enum zl_hash_kind kind)
{
        struct zl_hash *hash = calloc(1, sizeof *hash);

        if (!hash)
                return NULL;
        hash->kind = kind;
        switch (kind) {
        case ZL_SHA256:
                SHA256_Init(&hash->sha256);
                break;
        case ZL_SHA384:
                SHA384_Init(&hash->sha512);
                break;
        case ZL_SHA512:
                SHA512_Init(&hash->sha512);
                break;
        }
        return hash;
}

void zl_hash_free(struct zl_hash *hash)
{
        free(hash);
}

void zl_hash_update(struct zl_hash *hash, const void *data, size_t len)
{
        if (hash->kind == ZL_SHA256)
                SHA256_Update(&hash->sha256, data, len);
        else
                SHA512_Update(&hash->sha512, data, len);
}

char *zl_hash_finish(struct zl_hash *hash, char text[ZL_DIGEST_TEXT_MAX])
{
        static const char hex[] = "0123456789abcdef";
        unsigned char raw[SHA512_DIGEST_LENGTH];
        size_t prefix = strlen(kinds[hash->kind].name);
        char *p = text;

        /* SHA-384 is SHA-512 with other first values, cut short. */
        if (hash->kind == ZL_SHA256)
                SHA256_Final(raw, &hash->sha256);
        else if (hash->kind == ZL_SHA384)
                SHA384_Final(raw, &hash->sha512);
        else
                SHA512_Final(raw, &hash->sha512);
        memcpy(p, kinds[hash->kind].name, prefix);
        p += prefix;
        *p++ = ':';
        for (size_t i = 0; i < kinds[hash->kind].bytes; i++) {
                *p++ = hex[raw[i] >> 4];
                *p++ = hex[raw[i] & 15];
        }
        *p = 0;
        return text;
}

char *zl_sha256_text(const void *data, size_t len, char text[ZL_DIGEST_TEXT_MAX])
{
        _cleanup_(zl_hash_freep) struct zl_hash *hash = zl_hash_new(ZL_SHA256);

        if (!hash)
                return NULL;
        zl_hash_update(hash, data, len);
        return zl_hash_finish(hash, text);
}

int zl_digest_check(const char *text, enum zl_hash_kind *ret)
{
        for (size_t i = 0; i < ZL_ARRAY_SIZE(kinds); i++) {
                const char *hex = zl_startswith(text, kinds[i].name);

                if (!hex || *hex != ':')
                        continue;
                hex++;
                if (strspn(hex, "0123456789abcdef") != kinds[i].bytes * 2 ||
                    hex[kinds[i].bytes * 2])
                        return -EINVAL;
                if (ret)
                        *ret = (enum zl_hash_kind)i;
                return 0;
        }
        return -EINVAL;
}
