/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NULL-terminated vectors of strings that own their strings. A NULL vector is an empty one.
 */
#pragma once

#include <stdbool.h>

#include "base/macro.h"

void zl_strv_free(char **strv);
ZL_DEFINE_CLEANUP(char **, zl_strv_freep, zl_strv_free)
#define _cleanup_strv_ _cleanup_(zl_strv_freep)

size_t zl_strv_len(char *const *strv);
bool zl_strv_contains(char *const *strv, const char *s);

/* Each returns 0 or -ENOMEM; the vector is unchanged on failure. */
int zl_strv_push(char ***strv, const char *s); /* appends a copy */
int zl_strv_push_take(char ***strv, char *s);  /* appends `s` itself; frees it on failure */
int zl_strv_pushf(char ***strv, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int zl_strv_extend(char ***strv, char *const *more); /* appends copies of all */
int zl_strv_dup(char *const *strv, char ***ret);     /* NULL gives NULL */

/* Environment vectors ("NAME=VALUE"): the value of `name` or NULL; setting replaces. */
const char *zl_env_get(char *const *env, const char *name);
int zl_env_set(char ***env, const char *name, const char *value);

#define ZL_STRV_FOREACH(p, strv) for (char *const *p = (strv); p && *p; p++)
