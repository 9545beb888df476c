/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphers and key derivation of OpenSSL's libcrypto, loaded by the first who encrypts. Digests are in hash.h. */
#pragma once

#include <openssl/evp.h>

#include "base/error.h"

#define ZL_CRYPTO_FUNCTIONS(X)                                                                     \
        X(EVP_PBE_scrypt)                                                                          \
        X(EVP_CIPHER_CTX_new)                                                                      \
        X(EVP_CIPHER_CTX_free)                                                                     \
        X(EVP_CIPHER_CTX_ctrl)                                                                     \
        X(EVP_CipherInit_ex)                                                                       \
        X(EVP_CipherUpdate)                                                                        \
        X(EVP_CipherFinal_ex)                                                                      \
        X(EVP_aes_256_gcm)

struct zl_crypto {
#define X(name) __typeof__(&name) name;
        ZL_CRYPTO_FUNCTIONS(X)
#undef X
};

/* `*ret` stays valid for ever. ZL_E_UNSUPPORTED if it is not installed. Thread-safe. */
int zl_crypto_load(const struct zl_crypto **ret, struct zl_error *err);
