/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests through OpenSSL's EVP interface, which picks the processor's SHA instructions. Nothing else of
 * base needs libcrypto, so a static program that does not hash does not carry it.
 */
#include "base/hash.h"

#include <openssl/evp.h>

struct zl_hash {
        EVP_MD_CTX *ctx;
        enum zl_hash_kind kind;
};

static const struct {
        const char *name;
        size_t bytes;
        const EVP_MD *(*md)(void);
} kinds[] = {
        [ZL_SHA256] = { "sha256", 32, EVP_sha256 },
        [ZL_SHA384] = { "sha384", 48, EVP_sha384 },
        [ZL_SHA512] = { "sha512", 64, EVP_sha512 },
};

struct zl_hash *zl_hash_new(enum zl_hash_kind kind)
{
        struct zl_hash *hash = calloc(1, sizeof *hash);

        if (!hash)
                return NULL;
        hash->kind = kind;
        hash->ctx = EVP_MD_CTX_new();
        if (!hash->ctx || EVP_DigestInit_ex(hash->ctx, kinds[kind].md(), NULL) != 1) {
                zl_hash_free(hash);
                return NULL;
        }
        return hash;
}

void zl_hash_free(struct zl_hash *hash)
{
        if (!hash)
                return;
        EVP_MD_CTX_free(hash->ctx);
        free(hash);
}

void zl_hash_update(struct zl_hash *hash, const void *data, size_t len)
{
        EVP_DigestUpdate(hash->ctx, data, len);
}

char *zl_hash_finish(struct zl_hash *hash, char text[ZL_DIGEST_TEXT_MAX])
{
        static const char hex[] = "0123456789abcdef";
        unsigned char raw[EVP_MAX_MD_SIZE];
        size_t prefix = strlen(kinds[hash->kind].name);
        char *p = text;

        EVP_DigestFinal_ex(hash->ctx, raw, NULL);
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
