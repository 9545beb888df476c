/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict readers of numbers and other small texts: the whole string must match, no blanks, no locale, no
 * silent overflow. Each returns 0, -EINVAL (not the grammar) or -ERANGE (too large); the result is
 * untouched on failure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 to 15, or -1 for what is no hexadecimal digit. */
int zl_hex_digit(char c);

/* Decimal digits only; base 0 also takes 0x and 0o prefixes; base 8 takes octal digits. */
int zl_parse_u64(const char *s, unsigned base, uint64_t *ret);
int zl_parse_u32(const char *s, unsigned base, uint32_t *ret);
int zl_parse_i64(const char *s, int64_t *ret); /* decimal, optional '-' */
int zl_parse_bool(const char *s, bool *ret);   /* 1 0 true false yes no on off, any case */

/* "512", "64Ki", "1.5Gi" is not: integers with K M G T P (1000ⁿ, also lower case) or Ki Mi Gi Ti Pi (1024ⁿ)
 * and an optional final B. */
int zl_parse_size(const char *s, uint64_t *ret);

/* A CPU list such as "0-3,7" in the form that cpuset files take: checks the grammar only. */
bool zl_is_cpu_list(const char *s);

/* "TERM", "SIGTERM", "term", "15", "RTMIN+3"; -EINVAL for unknown ones. Returns the number. */
int zl_parse_signal(const char *s);
/* "SIGTERM" for 15; NULL for numbers without a name. */
const char *zl_signal_name(int sig);

/* Is the text valid UTF-8 without NUL? */
bool zl_utf8_is_valid(const char *s, size_t len);
