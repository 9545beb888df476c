/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a (compressed) layer: the parser ends, and what it says about entries and data is consistent. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "image/inflate.h"
#include "image/tar_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
        bool open;
        uint64_t size, end, total;
};

static int on_entry(void *ctx, const struct zl_tar_entry *e, struct zl_error *err)
{
        struct seen *s = ctx;

        (void)err;
        if (s->open || !e->path || !e->link || e->type < '0' || e->type > '6')
                abort();
        s->open = true;
        s->size = e->size;
        s->end = 0;
        return 0;
}

static int on_data(void *ctx, uint64_t offset, const void *data, size_t len, struct zl_error *err)
{
        struct seen *s = ctx;

        (void)data;
        /* In order, within the file, never without one. */
        if (!s->open || offset < s->end || offset + len < offset || offset + len > s->size)
                abort();
        s->end = offset + len;
        s->total += len;
        return s->total > 64 << 20 ? zl_fail(err, ZL_E_INVALID, 0, "enough") : 0;
}

static int on_end(void *ctx, struct zl_error *err)
{
        struct seen *s = ctx;

        (void)err;
        if (!s->open)
                abort();
        s->open = false;
        return 0;
}

static int to_tar(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        return zl_tar_reader_feed(ctx, data, len, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct zl_tar_handler handler = { on_entry, on_data, on_end, NULL };
        struct seen seen = { 0 };
        struct zl_tar_reader *tar = zl_tar_reader_new(&handler, &seen);
        struct zl_inflate *inflate = zl_inflate_new(to_tar, tar);
        size_t piece = size ? data[0] + (size_t)1 : 1; /* pieces of any size */
        int r = 0;

        for (size_t i = 0; i < size && r >= 0; i += piece)
                r = zl_inflate_feed(inflate, data + i, ZL_MIN(piece, size - i), NULL);
        if (r >= 0)
                r = zl_inflate_finish(inflate, NULL);
        if (r >= 0)
                (void)zl_tar_reader_finish(tar, NULL);
        zl_inflate_free(inflate);
        zl_tar_reader_free(tar);
        return 0;
}
