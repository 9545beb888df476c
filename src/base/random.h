/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers from the kernel, and names made of them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Fills `buf`; never fails (falls back to /dev/urandom, aborts if even that is missing). */
void zl_random_bytes(void *buf, size_t len);
uint64_t zl_random_u64(void);

/* Writes `len` lower-case hex digits and a NUL to `buf`, which has room for len + 1. */
void zl_random_hex(char *buf, size_t len);
