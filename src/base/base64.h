/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 of RFC 4648, section 4: the usual alphabet, with padding. */
#pragma once

#include <stddef.h>

/* The text, which the caller frees; NULL without memory. */
char *zl_base64_encode(const void *data, size_t len);

/* The bytes and a NUL behind them, which the caller frees. White space is skipped and the padding may be missing;
 * anything else: -EINVAL. -ENOMEM without memory. */
int zl_base64_decode(const char *text, char **ret, size_t *ret_len);
