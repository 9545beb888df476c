/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers. getentropy() asks the kernel directly and cannot run out of file descriptors; it
 * only fails on kernels without getrandom(), which are below our floor, so that is a bug: abort.
 */
#include "base/random.h"

#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

void zl_random_bytes(void *buf, size_t len)
{
        unsigned char *p = buf;

        while (len > 0) {
                size_t n = len > 256 ? 256 : len; /* the most that getentropy() gives at once */

                if (getentropy(p, n) < 0)
                        abort();
                p += n;
                len -= n;
        }
}

uint64_t zl_random_u64(void)
{
        uint64_t v;

        zl_random_bytes(&v, sizeof v);
        return v;
}

void zl_random_hex(char *buf, size_t len)
{
        static const char digits[] = "0123456789abcdef";

        zl_random_bytes(buf, len);
        for (size_t i = 0; i < len; i++)
                buf[i] = digits[(unsigned char)buf[i] & 15];
        buf[len] = 0;
}
