/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See environment.h. A variable that cannot be honoured is an error and not ignored: who sets it relies on it, and would
 * find files where nobody looks for them.
 */
#include "runtimes/environment.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/path.h"

char *zl_environment_dir(const char *variable, const char *root_dir, const char *name)
{
        const char *path = getenv(variable);
        _cleanup_free_ char *cwd = NULL, *joined = NULL;

        if (!path || !*path)
                return zl_path_join(root_dir, name);
        if (path[0] == '/')
                return zl_path_clean_absolute(path);
        cwd = getcwd(NULL, 0);
        joined = cwd ? zl_path_join(cwd, path) : NULL;
        return joined ? zl_path_clean_absolute(joined) : NULL;
}

int zl_environment_check(struct zl_error *err)
{
        static const struct {
                const char *variable, *why, *instead;
        } refused[] = {
                { "ZLAYER_BUNDLE_DIR", "the bundle of a container lies with its state",
                  "set ZLAYER_STATE_DIR, which moves both, or unset it" },
                { "ZLAYER_ROOTFS_DIR", "the writable files of a container lie with its state",
                  "set ZLAYER_STATE_DIR, which moves both, or unset it" },
        };
        const char *cache = getenv("ZLAYER_CACHE_TYPE");
        int r;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(refused); i++) {
                const char *value = getenv(refused[i].variable);

                if (!value || !*value)
                        continue;
                r = zl_fail(err, ZL_E_CONFIGURATION, 0, "%s is set to %s, but %s",
                            refused[i].variable, value, refused[i].why);
                zl_error_hint(err, "%s", refused[i].instead);
                return r;
        }
        if (!cache || !*cache || zl_streq(cache, "persistent"))
                return 0;
        if (zl_streq(cache, "memory") || zl_streq(cache, "s3"))
                r = zl_fail(err, ZL_E_CONFIGURATION, 0,
                            "ZLAYER_CACHE_TYPE is %s, but images are kept on disk only", cache);
        else
                r = zl_fail(err, ZL_E_CONFIGURATION, 0,
                            "ZLAYER_CACHE_TYPE is \"%s\", which is no kind of cache", cache);
        zl_error_hint(err, "unset it, or set it to persistent");
        return r;
}
