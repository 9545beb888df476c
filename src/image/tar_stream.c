/* SPDX-License-Identifier: Apache-2.0 */
/* See tar_stream.h. */
#include "image/tar_stream.h"

#include <stdlib.h>
#include <unistd.h>

#include "image/inflate.h"

enum { CHUNK = 64 << 10 };

static int on_inflated(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        return zl_tar_reader_feed(ctx, data, len, err);
}

int zl_tar_read_fd(int fd, const struct zl_tar_handler *handler, void *ctx, struct zl_error *err)
{
        _cleanup_(zl_tar_reader_freep) struct zl_tar_reader *tar = zl_tar_reader_new(handler, ctx);
        _cleanup_(zl_inflate_freep) struct zl_inflate *inflate = zl_inflate_new(on_inflated, tar);
        _cleanup_free_ char *chunk = malloc(CHUNK);
        int r = 0;

        if (!tar || !inflate || !chunk)
                return zl_fail_oom(err);
        for (;;) {
                ssize_t n = read(fd, chunk, CHUNK);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return zl_fail_errno(err, errno, "cannot read the archive");
                if (n == 0)
                        break;
                r = zl_inflate_feed(inflate, chunk, (size_t)n, err);
                if (r < 0)
                        return r;
        }
        r = zl_inflate_finish(inflate, err);
        return r < 0 ? r : zl_tar_reader_finish(tar, err);
}
