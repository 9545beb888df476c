/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl, loaded when the first transfer begins: it brings some thirty libraries along, and most commands talk to
 * nobody.
 */
#pragma once

#include <curl/curl.h>

#include "base/error.h"

#define ZL_CURL_FUNCTIONS(X)                                                                       \
        X(global_init)                                                                             \
        X(easy_init)                                                                               \
        X(easy_cleanup)                                                                            \
        X(easy_reset)                                                                              \
        X(easy_setopt)                                                                             \
        X(easy_perform)                                                                            \
        X(easy_getinfo)                                                                            \
        X(easy_send)                                                                               \
        X(easy_recv)                                                                               \
        X(easy_strerror)                                                                           \
        X(slist_append)                                                                            \
        X(slist_free_all)

/* The functions curl_NAME. The macros of curl.h that check the types of options do not see these calls. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
struct zl_curl {
#define X(name) __typeof__(&curl_##name) name;
        ZL_CURL_FUNCTIONS(X)
#undef X
};

/* Loads and initialises it on the first call; `*ret` stays valid for ever. ZL_E_UNSUPPORTED if it is not installed.
 * Thread-safe. */
int zl_curl_load(const struct zl_curl **ret, struct zl_error *err);
