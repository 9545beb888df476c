/* SPDX-License-Identifier: Apache-2.0 */
/* FNV-1a of 64 bits: quick sums of short texts where nobody means harm; else base/hash.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ZL_FNV_INIT UINT64_C(0xcbf29ce484222325)

/* The sum of what `sum` is of and these bytes. */
static inline uint64_t zl_fnv(uint64_t sum, const void *data, size_t len)
{
        for (size_t i = 0; i < len; i++)
                sum = (sum ^ ((const unsigned char *)data)[i]) * UINT64_C(0x100000001b3);
        return sum;
}
