/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secrets store: <root_dir>/secrets.json, mode 0600. Names and scopes are in the clear, values are sealed (seal.h). The
 * key is, in this order: $ZLAYER_SECRETS_KEY (64 hexadecimal digits), $ZLAYER_SECRETS_PASSWORD (by scrypt), the file
 * $ZLAYER_SECRETS_KEY_FILE, or <root_dir>/secrets.key (0600, made with the first secret). A key that does not fit the
 * store is refused before anything is read or written.
 *
 * A scope is "" (every deployment), "DEPLOYMENT", "DEPLOYMENT/SERVICE", ":ENVIRONMENT" or "PROJECT:ENVIRONMENT".
 *
 * Several processes may use it at once: changes are made under a lock, the file is replaced as a whole. Calls block on the
 * disk; with a password opening takes 0.1 s. One object belongs to one thread at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/env.h"
#include "base/error.h"

enum {
        ZL_SECRET_NAME_MAX = 128,
        ZL_SECRET_VALUE_MAX = 512 << 10, /* bytes */
};

struct zl_secrets;

/* A store that does not exist yet is an empty one. `env` is asked for the variables above. */
struct zl_secrets_options {
        const char *root_dir;
        const char *(*getenv)(void *data, const char *name);
        void *getenv_data;
};
int zl_secrets_open(const struct zl_secrets_options *options, struct zl_secrets **ret,
                    struct zl_error *err);
void zl_secrets_close(struct zl_secrets *secrets);
ZL_DEFINE_CLEANUP(struct zl_secrets *, zl_secrets_closep, zl_secrets_close)
#define _cleanup_secrets_ _cleanup_(zl_secrets_closep)

/* Letters, digits, '_', '-' and '.', at most ZL_SECRET_NAME_MAX. */
bool zl_secret_name_is_valid(const char *name);
/* The scope that a reference of this deployment means; NULL without memory. `deployment` may be "". */
char *zl_secret_scope(const char *deployment, const struct zl_secret_ref *ref);

/* What people write to name a secret: NAME, @SERVICE/NAME (with a deployment), :ENVIRONMENT/NAME or PROJECT:ENVIRONMENT/NAME, the forms
 * behind "$S:" without the field. `deployment` NULL: of all. ZL_E_INVALID with the forms. */
struct zl_secret_target {
        struct zl_secret_ref ref;
        char *scope;
};
int zl_secret_target_parse(const char *text, const char *deployment, struct zl_secret_target *ret,
                           struct zl_error *err);
void zl_secret_target_done(struct zl_secret_target *target);
#define _cleanup_secret_target_ _cleanup_(zl_secret_target_done)

/* Durable on return. */
int zl_secret_put(struct zl_secrets *secrets, const char *scope, const char *name,
                  const void *value, size_t len, struct zl_error *err);
/* ZL_E_NOT_FOUND if there is none. */
int zl_secret_remove(struct zl_secrets *secrets, const char *scope, const char *name,
                     struct zl_error *err);

/* What the reference of a service of `deployment` stands for, as text: the deployment's own secret, else (for a plain
 * name) that of all deployments; with a field, that member of the JSON object in it. ZL_E_NOT_FOUND if there is none.
 * `*ret` should be wiped (zl_secret_wipe) and is freed by the caller. */
int zl_secret_resolve(struct zl_secrets *secrets, const char *deployment,
                      const struct zl_secret_ref *ref, char **ret, struct zl_error *err);
/* Overwrites and frees. */
void zl_secret_wipe(char *value);

struct zl_secret_info {
        char *scope, *name;
        int64_t updated_at;
};
/* In order of scope and name. */
int zl_secret_list(struct zl_secrets *secrets, struct zl_secret_info **ret, size_t *ret_n,
                   struct zl_error *err);
void zl_secret_info_free(struct zl_secret_info *infos, size_t n);
