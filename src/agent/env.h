/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of a workload: values of the spec, with "$E:NAME" replaced by the agent's variable NAME and "$S:…" by a
 * secret. What cannot be resolved is an error: a workload must not run with the text of a reference as its password.
 *
 * The agent's own variables are not all for everybody: $ZLAYER_ENV_ALLOW, a list of patterns (fnmatch) with commas between
 * them, says which ones "$E:" may name (all, if it is not set), and the keys of the secrets are never among them.
 */
#pragma once

#include <zlayer/spec.h>

#include "base/error.h"

struct zl_secret_ref;

struct zl_env_source {
        const char *(*getenv)(void *data, const char *name);
        void (*warn)(const char *text, void *data); /* may be NULL */
        /* `*ret` is freed by the caller. NULL: there are no secrets. */
        int (*secret)(void *data, const char *deployment, const struct zl_secret_ref *ref,
                      char **ret, struct zl_error *err);
        const char *deployment; /* for secret() */
        void *host_data, *warn_data;
};

/* `*ret_env` is a vector "NAME=VALUE" in the order of the spec; NULL if there is none. Errors name the variable. */
int zl_env_resolve(const struct zl_str_map *env, const struct zl_env_source *source,
                   char ***ret_env, struct zl_error *err);

/* A reference behind "$S:", taken apart. Members point into `buf` of the reference. */
struct zl_secret_ref {
        char *buf;           /* owned */
        const char *service; /* "@service/name": scope is that service; else NULL */
        const char *project; /* "project:env/name"; else NULL */
        const char *environment;
        const char *name;
        const char *field; /* JSON field of it, or NULL */
};
/* 0, -EINVAL or -ENOMEM. */
int zl_secret_ref_parse(const char *text, struct zl_secret_ref *ret);
void zl_secret_ref_done(struct zl_secret_ref *ref);
