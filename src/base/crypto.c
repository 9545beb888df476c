/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See crypto.h. Linked into the agent libcrypto is 4 MB and seventeen thousand relocations, which every command would
 * pay for.
 */
#include "base/crypto.h"

#include <stddef.h>

#include "base/library.h"

static struct zl_crypto crypto;

static const struct zl_library_function functions[] = {
#define X(name) { #name, offsetof(struct zl_crypto, name) },
        ZL_CRYPTO_FUNCTIONS(X)
#undef X
};

static struct zl_library library = ZL_LIBRARY_INIT("libcrypto.so.3", "to encrypt", functions,
                                                   &crypto);

int zl_crypto_load(const struct zl_crypto **ret, struct zl_error *err)
{
        int r = zl_library_load(&library, err);

        if (r >= 0)
                *ret = &crypto;
        return r;
}
