/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (see base64.h). Here and not taken from OpenSSL, so that a command which only wants to decode a password does
 * not load and initialise a library of five megabytes.
 */
#include "base/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macro.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *zl_base64_encode(const void *data, size_t len)
{
        const unsigned char *p = data;
        char *text = malloc((len + 2) / 3 * 4 + 1), *out = text;

        if (!text)
                return NULL;
        for (size_t i = 0; i < len; i += 3) {
                size_t n = ZL_MIN(len - i, (size_t)3);
                uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                             (n > 2 ? p[i + 2] : 0);

                *out++ = alphabet[v >> 18];
                *out++ = alphabet[v >> 12 & 63];
                *out++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
                *out++ = n > 2 ? alphabet[v & 63] : '=';
        }
        *out = 0;
        return text;
}

int zl_base64_decode(const char *text, char **ret, size_t *ret_len)
{
        _cleanup_free_ char *data = malloc(strlen(text) / 4 * 3 + 3);
        size_t len = 0, digits = 0, padding = 0;
        uint32_t v = 0;

        if (!data)
                return -ENOMEM;
        for (const char *p = text; *p; p++) {
                const char *digit = strchr(alphabet, *p);

                if (strchr(" \t\r\n", *p))
                        continue;
                if (*p == '=')
                        padding++;
                else if (!digit || padding)
                        return -EINVAL;
                else
                        v = v << 6 | (uint32_t)(digit - alphabet), digits++;
                if (*p != '=' && digits % 4 != 1)
                        data[len++] = (char)(v >> (6 - 2 * ((digits - 1) % 4)));
        }
        /* One digit alone is no byte; if there is padding it fills the last four, and bits that nobody wants are 0. */
        if (digits % 4 == 1 || padding > 2 || (padding && (digits + padding) % 4 != 0) ||
            (digits % 4 == 2 && v & 15) || (digits % 4 == 3 && v & 3))
                return -EINVAL;
        data[len] = 0;
        *ret = zl_take_ptr(data);
        *ret_len = len;
        return 0;
}
