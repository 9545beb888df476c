/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String vectors. No capacity is stored, which keeps the representation the one that execve() wants: every
 * append reallocates. Finding the end is linear anyway, and so a vector that somebody else allocated
 * to measure may be appended to as well.
 */
#include "base/strv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void zl_strv_free(char **strv)
{
        if (!strv)
                return;
        for (char **p = strv; *p; p++)
                free(*p);
        free(strv);
}

size_t zl_strv_len(char *const *strv)
{
        size_t n = 0;

        while (strv && strv[n])
                n++;
        return n;
}

bool zl_strv_contains(char *const *strv, const char *s)
{
        ZL_STRV_FOREACH(p, strv)
                if (zl_streq(*p, s))
                        return true;
        return false;
}

int zl_strv_push_take(char ***strv, char *s)
{
        size_t n = zl_strv_len(*strv);
        char **grown;

        if (!s)
                return -ENOMEM;
        grown = realloc(*strv, (n + 2) * sizeof(char *));
        if (!grown) {
                free(s);
                return -ENOMEM;
        }
        grown[n] = s;
        grown[n + 1] = NULL;
        *strv = grown;
        return 0;
}

int zl_strv_push(char ***strv, const char *s)
{
        return zl_strv_push_take(strv, strdup(s));
}

int zl_strv_pushf(char ***strv, const char *fmt, ...)
{
        va_list ap;
        char *s;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&s, fmt, ap);
        va_end(ap);
        return n < 0 ? -ENOMEM : zl_strv_push_take(strv, s);
}

int zl_strv_extend(char ***strv, char *const *more)
{
        size_t before = zl_strv_len(*strv);

        ZL_STRV_FOREACH(p, more) {
                int r = zl_strv_push(strv, *p);

                if (r == 0)
                        continue;
                for (char **q = *strv + before; *strv && *q; q++)
                        free(zl_take_ptr(*q));
                return r;
        }
        return 0;
}

int zl_strv_dup(char *const *strv, char ***ret)
{
        _cleanup_strv_ char **copy = NULL;
        int r;

        if (strv) {
                copy = calloc(1, 2 * sizeof(char *));
                if (!copy)
                        return -ENOMEM;
                r = zl_strv_extend(&copy, strv);
                if (r < 0)
                        return r;
        }
        *ret = zl_take_ptr(copy);
        return 0;
}

static char **env_find(char *const *env, const char *name)
{
        size_t n = strlen(name);

        ZL_STRV_FOREACH(p, env)
                if (strncmp(*p, name, n) == 0 && (*p)[n] == '=')
                        return (char **)p;
        return NULL;
}

const char *zl_env_get(char *const *env, const char *name)
{
        char **p = env_find(env, name);

        return p ? *p + strlen(name) + 1 : NULL;
}

int zl_env_set(char ***env, const char *name, const char *value)
{
        char **old = env_find(*env, name);
        char *pair;

        if (asprintf(&pair, "%s=%s", name, value) < 0)
                return -ENOMEM;
        if (!old)
                return zl_strv_push_take(env, pair);
        free(*old);
        *old = pair;
        return 0;
}
