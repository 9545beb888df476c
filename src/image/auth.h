/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials for registries: Docker's configuration file, and the challenges that registries send. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/macro.h"

struct zl_credentials {
        char *username, *password; /* both NULL: anonymous */
};
void zl_credentials_done(struct zl_credentials *c);
#define _cleanup_credentials_ _cleanup_(zl_credentials_done)

/* Looks the registry ("docker.io", "host:port") up in $DOCKER_CONFIG/config.json or ~/.docker/config.json: keys
 * REGISTRY, https://REGISTRY, and https://index.docker.io/v1/ for docker.io; an entry holds username and
 * password, or "auth" with base64 of "user:password". Nothing found is success with no credentials; a file that cannot be
 * parsed is an error. */
int zl_credentials_load(const char *registry, struct zl_credentials *ret, struct zl_error *err);

/* "Basic BASE64"; the caller frees it; NULL without memory. */
char *zl_credentials_basic(const struct zl_credentials *c);

/* A WWW-Authenticate value: scheme and parameters. */
struct zl_challenge {
        bool bearer, basic;
        char *realm, *service, *scope;
};
void zl_challenge_done(struct zl_challenge *c);
#define _cleanup_challenge_ _cleanup_(zl_challenge_done)

/* Reads `Bearer realm="...",service="...",scope="..."` or `Basic realm="..."`. 0, -EINVAL (malformed or another
 * scheme) or -ENOMEM. */
int zl_challenge_parse(const char *text, struct zl_challenge *ret);
