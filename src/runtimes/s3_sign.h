/* SPDX-License-Identifier: Apache-2.0 */
/* AWS signature version 4 of S3 requests. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct zl_s3_signature {
        const char *method, *host; /* the Host header: with its port, if it is not the usual one */
        const char *path;          /* escaped, begins with "/" */
        const char *payload;       /* hex SHA-256 of the body */
        const char *id, *secret, *token, *region; /* token may be NULL */
        int64_t time;                             /* nanoseconds since 1970 */
};

/* The headers "Name: value" that have to go with the request: date, payload, token, authorization. A vector, freed by
 * the caller. 0 or -ENOMEM. Pure. */
int zl_s3_sign(const struct zl_s3_signature *s, char ***ret_headers);
