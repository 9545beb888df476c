/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading libcurl (see curl.h). Linked the usual way it costs every command 4 ms and 6 MB, which is more than all
 * else that `exec` does.
 */
#include "image/curl.h"

#include <pthread.h>
#include <stddef.h>

#include "base/library.h"

static struct zl_curl curl;
static CURLcode initialised;

static const struct zl_library_function functions[] = {
#define X(name) { "curl_" #name, offsetof(struct zl_curl, name) },
        ZL_CURL_FUNCTIONS(X)
#undef X
};

static struct zl_library library = ZL_LIBRARY_INIT("libcurl.so.4", "to talk to a registry",
                                                   functions, &curl);

static void initialise(void)
{
        initialised = curl.global_init(CURL_GLOBAL_DEFAULT);
}

int zl_curl_load(const struct zl_curl **ret, struct zl_error *err)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        int r = zl_library_load(&library, err);

        if (r < 0)
                return r;
        pthread_once(&once, initialise);
        if (initialised != CURLE_OK)
                return zl_fail(err, ZL_E_UNSUPPORTED, 0, "libcurl does not initialise: %s",
                               curl.easy_strerror(initialised));
        *ret = &curl;
        return 0;
}
