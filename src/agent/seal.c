/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See seal.h. A sealed value is nonce (12 bytes, random), ciphertext, tag (16 bytes). With random nonces one key may
 * seal some 2^32 values before they could repeat; a store of secrets stays far below.
 */
#include "agent/seal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/crypto.h"
#include "base/macro.h"
#include "base/parse.h"

enum { NONCE_LEN = 12, TAG_LEN = 16, SCRYPT_N = 1 << 15, SCRYPT_MEMORY = 64 << 20 };

struct cipher {
        const struct zl_crypto *lib;
        EVP_CIPHER_CTX *ctx;
};

static void cipher_done(struct cipher *c)
{
        if (c->ctx)
                c->lib->EVP_CIPHER_CTX_free(c->ctx);
}
#define _cleanup_cipher_ _cleanup_(cipher_done)

int zl_seal_key_parse(const char *text, struct zl_seal_key *ret)
{
        struct zl_seal_key key;

        text += strspn(text, " \t\r\n");
        for (size_t i = 0; i < ZL_SEAL_KEY_LEN; i++) {
                int high = zl_hex_digit(text[2 * i]);
                int low = high < 0 ? -1 : zl_hex_digit(text[2 * i + 1]);

                if (low < 0)
                        return -EINVAL;
                key.bytes[i] = (uint8_t)(high << 4 | low);
        }
        text += (size_t)2 * ZL_SEAL_KEY_LEN;
        if (text[strspn(text, " \t\r\n")])
                return -EINVAL;
        *ret = key;
        zl_seal_key_wipe(&key);
        return 0;
}

int zl_seal_key_derive(const char *password, const void *salt, size_t salt_len,
                       struct zl_seal_key *ret)
{
        const struct zl_crypto *lib;

        if (zl_crypto_load(&lib, NULL) < 0)
                return -ELIBACC;
        return lib->EVP_PBE_scrypt(password, strlen(password), salt, salt_len, SCRYPT_N, 8, 1,
                                   SCRYPT_MEMORY, ret->bytes, sizeof(ret->bytes)) == 1
                       ? 0
                       : -EIO;
}

void zl_seal_key_wipe(struct zl_seal_key *key)
{
        explicit_bzero(key, sizeof(*key));
}

/* The context with key, nonce and label taken in. */
static int begin(struct cipher *c, const struct zl_seal_key *key, const char *label,
                 const uint8_t *nonce, bool encrypt)
{
        int n;

        if (zl_crypto_load(&c->lib, NULL) < 0)
                return -ELIBACC;
        c->ctx = c->lib->EVP_CIPHER_CTX_new();
        if (!c->ctx)
                return -ENOMEM;
        if (c->lib->EVP_CipherInit_ex(c->ctx, c->lib->EVP_aes_256_gcm(), NULL, key->bytes, nonce,
                                      encrypt) != 1 ||
            c->lib->EVP_CipherUpdate(c->ctx, NULL, &n, (const uint8_t *)label,
                                     (int)strlen(label)) != 1)
                return -EIO;
        return 0;
}

int zl_seal(const struct zl_seal_key *key, const char *label, const void *data, size_t len,
            struct zl_sealed *ret)
{
        _cleanup_cipher_ struct cipher c = { 0 };
        _cleanup_free_ uint8_t *out = malloc(len + ZL_SEAL_OVERHEAD);
        int n, r;

        if (!out)
                return -ENOMEM;
        if (getrandom(out, NONCE_LEN, 0) != NONCE_LEN)
                return -EIO;
        r = begin(&c, key, label, out, true);
        if (r < 0)
                return r;
        if (c.lib->EVP_CipherUpdate(c.ctx, out + NONCE_LEN, &n, data, (int)len) != 1 ||
            c.lib->EVP_CipherFinal_ex(c.ctx, out + NONCE_LEN + n, &n) != 1 ||
            c.lib->EVP_CIPHER_CTX_ctrl(c.ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN,
                                       out + NONCE_LEN + len) != 1)
                return -EIO;
        *ret = (struct zl_sealed){ zl_take_ptr(out), len + ZL_SEAL_OVERHEAD };
        return 0;
}

int zl_unseal(const struct zl_seal_key *key, const char *label, const struct zl_sealed *sealed,
              char **ret, size_t *ret_len)
{
        _cleanup_cipher_ struct cipher c = { 0 };
        uint8_t tag[TAG_LEN];
        size_t len;
        char *out;
        int n, r;

        if (sealed->len < ZL_SEAL_OVERHEAD)
                return -EBADMSG;
        len = sealed->len - ZL_SEAL_OVERHEAD;
        r = begin(&c, key, label, sealed->data, false);
        if (r < 0)
                return r;
        out = malloc(len + 1);
        if (!out)
                return -ENOMEM;
        memcpy(tag, sealed->data + NONCE_LEN + len, TAG_LEN);
        if (c.lib->EVP_CipherUpdate(c.ctx, (uint8_t *)out, &n, sealed->data + NONCE_LEN,
                                    (int)len) != 1 ||
            c.lib->EVP_CIPHER_CTX_ctrl(c.ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) != 1 ||
            c.lib->EVP_CipherFinal_ex(c.ctx, (uint8_t *)out + n, &n) != 1) {
                explicit_bzero(out, len);
                free(out);
                return -EBADMSG;
        }
        out[len] = 0;
        *ret = out;
        *ret_len = len;
        return 0;
}
