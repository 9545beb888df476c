/* SPDX-License-Identifier: Apache-2.0 */
/* Loading libmicrohttpd (see mhd.h). */
#include "api/mhd.h"

#include <stddef.h>

#include "base/library.h"

struct zl_mhd zl_mhd;

static const struct zl_library_function functions[] = {
#define X(name) { "MHD_" #name, offsetof(struct zl_mhd, name) },
        ZL_MHD_FUNCTIONS(X)
#undef X
};

static struct zl_library library = ZL_LIBRARY_INIT("libmicrohttpd.so.12", "to answer on the socket",
                                                   functions, &zl_mhd);

int zl_mhd_load(struct zl_error *err)
{
        return zl_library_load(&library, err);
}
