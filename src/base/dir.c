/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dir.h"

#include <dirent.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"

int zl_dir_each(int fd, int (*each)(void *data, const char *name, unsigned char type), void *data)
{
        _Alignas(struct dirent64) char entries[4096];
        long n;

        while ((n = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
                const struct dirent64 *d;

                for (long at = 0; at < n; at += d->d_reclen) {
                        int r;

                        d = (const void *)(entries + at);
                        if (zl_streq(d->d_name, ".") || zl_streq(d->d_name, ".."))
                                continue;
                        r = each(data, d->d_name, d->d_type);
                        if (r != 0)
                                return r;
                }
        }
        return n < 0 ? -errno : 0;
}
