/* SPDX-License-Identifier: Apache-2.0 */
/* Duration text: "1m 30s", "750ms", "7days", "0". */
#pragma once

#include <stdint.h>

#include "base/buf.h"

/* Reads a duration. Above INT64_MAX ns (292 years) it saturates. 0, -EINVAL (`*ret_why`, may be NULL, tells in words)
 * or -ERANGE (64 bits overflow). */
int zl_duration_parse(const char *text, int64_t *ret_nsec, const char **ret_why);
/* Appends the canonical text: "1m 30s"; "0s" for zero. */
void zl_duration_format(int64_t nsec, struct zl_buf *out);
