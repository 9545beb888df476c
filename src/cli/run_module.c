/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `run FILE.wasm`: a file in the place of an image. It is imported under a name of its own, which holds the file's name for
 * people and a digest of its path, so that two files of one name do not take it from each other; the next run of the same path
 * finds it there and renews it.
 */
#include "cli/run_module.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"

enum { NAME_MAX_KEPT = 60, TAG_LEN = 12 };

static bool ends_with(const char *s, const char *end)
{
        size_t len = strlen(s), n = strlen(end);

        return len > n && zl_streq(s + len - n, end);
}

bool zl_run_is_module_file(const char *image)
{
        struct stat st;

        if (!ends_with(image, ".wasm") && !ends_with(image, ".wat"))
                return false;
        /* No reference begins so; a file that is not there is then told as that. */
        if (image[0] == '/' || zl_startswith(image, "./") || zl_startswith(image, "../"))
                return true;
        return stat(image, &st) == 0 && S_ISREG(st.st_mode);
}

/* What references allow: small letters and digits, single marks between them. */
static void put_clean(char *to, const char *from)
{
        size_t n = 0;

        for (; *from && n < NAME_MAX_KEPT; from++) {
                unsigned char c = (unsigned char)*from;

                if (c < 128 && isalnum(c))
                        to[n++] = (char)tolower(c);
                else if (n > 0 && isalnum((unsigned char)to[n - 1]))
                        to[n++] = c == '.' ? '.' : '-';
        }
        while (n > 0 && !isalnum((unsigned char)to[n - 1]))
                n--;
        to[n] = 0;
}

int zl_run_module_name(const char *path, char **ret, struct zl_error *err)
{
        _cleanup_free_ char *real = realpath(path, NULL);
        char digest[ZL_DIGEST_TEXT_MAX], name[NAME_MAX_KEPT + 1];

        if (!real)
                return zl_fail_errno(err, errno, "cannot find %s", path);
        if (!zl_sha256_text(real, strlen(real), digest))
                return zl_fail_oom(err);
        put_clean(name, strrchr(real, '/') + 1);
        if (asprintf(ret, "localhost/file/%s:%.*s", *name ? name : "module", TAG_LEN,
                     digest + strlen("sha256:")) < 0)
                return zl_fail_oom(err);
        return 0;
}
