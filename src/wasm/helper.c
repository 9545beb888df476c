/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory from which instances run the program zlayer-wasm.
 *
 * An instance has a root without a C library, and the engine is a shared library that needs one. So the program is copied
 * once, with the loader and every library it has loaded, into a directory of the cache; that directory is bound
 * read-only into each root. Its name tells which program it was made from (file, size, time), so a new program gets a new
 * directory; the old ones are removed with the cache.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "wasm/cache.h"

static int name_engine(const char *cache, const char *helper, char **ret, struct zl_error *err)
{
        struct stat st;

        if (stat(helper, &st) < 0)
                return zl_fail(err, ZL_E_CONFIGURATION, errno, "cannot run %s", helper);
        if (asprintf(ret, "%s/engine-%llx-%llx-%llx-%llx.%lx", cache, (unsigned long long)st.st_dev,
                     (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
                     (unsigned long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec) < 0) {
                *ret = NULL;
                return zl_fail_oom(err);
        }
        return 0;
}

static int make_engine(const char *helper, const char *path, struct zl_error *err)
{
        _cleanup_free_ char *tmp = NULL;
        char *args[] = { (char *)(uintptr_t) "stage", NULL, NULL };
        int r;

        if (asprintf(&tmp, "%s.XXXXXX", path) < 0) {
                tmp = NULL;
                return zl_fail_oom(err);
        }
        if (!mkdtemp(tmp))
                return zl_fail_errno(err, errno, "cannot make a directory for the engine in %s",
                                     path);
        args[1] = tmp;
        r = zl_wasm_call_helper(helper, args, NULL, NULL, err);
        if (r == 0 && rename(tmp, path) < 0 && errno != ENOTEMPTY && errno != EEXIST)
                r = zl_fail_errno(err, errno, "cannot make %s", path);
        zl_rm_rf_at(AT_FDCWD, tmp); /* is gone, unless somebody was faster */
        return r;
}

int zl_wasm_engine_dir(const char *cache, const char *helper, char **ret, struct zl_error *err)
{
        _cleanup_free_ char *path = NULL;
        int r = name_engine(cache, helper, &path, err);

        if (r == 0 && access(path, F_OK) < 0) {
                int lock = zl_wasm_cache_lock(cache, err);

                if (lock < 0)
                        return lock;
                if (access(path, F_OK) < 0)
                        r = make_engine(helper, path, err);
                close(lock);
        }
        if (r == 0)
                *ret = zl_take_ptr(path);
        return r;
}
