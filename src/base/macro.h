/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small language helpers: ownership by cleanup attribute, moves, array sizes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _unused_ __attribute__((unused))
#define _noreturn_ __attribute__((noreturn))
#define _nodiscard_ __attribute__((warn_unused_result))
#define _fallthrough_ __attribute__((fallthrough))
#define _pure_ __attribute__((pure))
#define _const_ __attribute__((const))

#define ZL_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define ZL_MIN(a, b) ((a) < (b) ? (a) : (b))
#define ZL_MAX(a, b) ((a) > (b) ? (a) : (b))

#define zl_streq(a, b) (strcmp((a), (b)) == 0)

static inline int zl_streq_ptr(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}

/* The rest of `s` behind `prefix`, or NULL if `s` does not begin with it. */
static inline const char *zl_startswith(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* Makes a cleanup function `NAMEp` for variables of `type` out of `func(type)`. */
#define ZL_DEFINE_CLEANUP(type, name, func)                                                        \
        static inline void name(type *p)                                                           \
        {                                                                                          \
                if (*p)                                                                            \
                        func(*p);                                                                  \
        }

static inline void zl_freep(void *p)
{
        free(*(void **)p);
}

#define _cleanup_free_ _cleanup_(zl_freep)

/* Moves a pointer out of a variable that owns it. */
#define zl_take_ptr(p)                                                                             \
        ({                                                                                         \
                __typeof__(p) *_zl_pp = &(p);                                                      \
                __typeof__(p) _zl_p = *_zl_pp;                                                     \
                *_zl_pp = NULL;                                                                    \
                _zl_p;                                                                             \
        })

/* Replaces the string `*p` (freeing the old one) by a copy of `s`; NULL is allowed.
 * Returns 0 or -ENOMEM. */
int zl_replace_str(char **p, const char *s);
