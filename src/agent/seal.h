/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing: authenticated encryption (AES-256-GCM) of one value under a key, bound to a label. What was sealed under one
 * label cannot be opened under another, so a value cannot be moved to another name by editing the file.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { ZL_SEAL_KEY_LEN = 32, ZL_SEAL_OVERHEAD = 12 + 16 };

struct zl_seal_key {
        uint8_t bytes[ZL_SEAL_KEY_LEN];
};

/* 64 hexadecimal digits, blanks around them ignored. -EINVAL otherwise. */
int zl_seal_key_parse(const char *text, struct zl_seal_key *ret);
/* scrypt (N 2^15, r 8, p 1) of a password: takes about 0.1 s and 32 MiB. */
int zl_seal_key_derive(const char *password, const void *salt, size_t salt_len,
                       struct zl_seal_key *ret);
void zl_seal_key_wipe(struct zl_seal_key *key);

struct zl_sealed {
        uint8_t *data; /* owned */
        size_t len;    /* ZL_SEAL_OVERHEAD more than what is in it */
};

/* The caller frees ret->data. 0, -ENOMEM, -EIO (the library refuses) or -ELIBACC (it is not installed), as all here. */
int zl_seal(const struct zl_seal_key *key, const char *label, const void *data, size_t len,
            struct zl_sealed *ret);
/* The contrary; `*ret` has a NUL behind its `*ret_len` bytes and should be wiped. -EBADMSG: another key or label, or
 * damaged. */
int zl_unseal(const struct zl_seal_key *key, const char *label, const struct zl_sealed *sealed,
              char **ret, size_t *ret_len);
