/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer record (see split.h): zstd-compressed items of one letter, then little-endian numbers of the machine:
 *
 *     'R' u32 n, n bytes      raw bytes           'F' u32 n, n bytes     the file that follows
 *     'D' u64 offset, u64 n   n bytes of that file
 *
 * Headers and padding compress to some twenty bytes per file. What may go wrong: an archive that holds the same file
 * twice with different content cannot be rebuilt; the digest check of the caller finds that.
 */
#include "image/split.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <zstd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/path.h"

enum { CHUNK = 128 * 1024, ITEM_MAX = 4 << 20 };

struct zl_split {
        int fd;
        ZSTD_CCtx *zstd;
        struct zl_buf raw;    /* bytes of the next 'R' */
        uint64_t offset, len; /* the next 'D' */
        char out[CHUNK];
};

int zl_split_new(int dirfd, const char *name, struct zl_split **ret, struct zl_error *err)
{
        _cleanup_(zl_split_freep) struct zl_split *s = calloc(1, sizeof *s);

        if (!s)
                return zl_fail_oom(err);
        s->raw = ZL_BUF_INIT(2 * CHUNK);
        s->zstd = ZSTD_createCCtx();
        s->fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (s->fd < 0)
                return zl_fail_errno(err, errno, "cannot make %s", name);
        if (!s->zstd)
                return zl_fail_oom(err);
        ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, 1);
        *ret = zl_take_ptr(s);
        return 0;
}

void zl_split_free(struct zl_split *s)
{
        if (!s)
                return;
        zl_close(s->fd);
        ZSTD_freeCCtx(s->zstd);
        zl_buf_done(&s->raw);
        free(s);
}

static int put(struct zl_split *s, const void *data, size_t len, ZSTD_EndDirective end,
               struct zl_error *err)
{
        ZSTD_inBuffer in = { data, len, 0 };
        size_t left;

        do {
                ZSTD_outBuffer out = { s->out, sizeof s->out, 0 };
                int r;

                left = ZSTD_compressStream2(s->zstd, &out, &in, end);
                if (ZSTD_isError(left))
                        return zl_fail(err, ZL_E_INTERNAL, 0, "zstd: %s", ZSTD_getErrorName(left));
                r = zl_write_full(s->fd, s->out, out.pos);
                if (r < 0)
                        return zl_fail_errno(err, -r, "cannot write the record of a layer");
        } while (in.pos < in.size || (end == ZSTD_e_end && left > 0));
        return 0;
}

static int put_item(struct zl_split *s, char type, const void *data, size_t len,
                    struct zl_error *err)
{
        uint32_t n = (uint32_t)len;
        int r = put(s, &type, 1, ZSTD_e_continue, err);

        if (r >= 0)
                r = put(s, &n, sizeof n, ZSTD_e_continue, err);
        return r < 0 ? r : put(s, data, len, ZSTD_e_continue, err);
}

/* Items are gathered: headers come 512 bytes at a time, file data in pieces of any size. */
static int flush_raw(struct zl_split *s, struct zl_error *err)
{
        int r = s->raw.len ? put_item(s, 'R', s->raw.data, s->raw.len, err) : 0;

        zl_buf_reset(&s->raw);
        return r;
}

static int flush_data(struct zl_split *s, struct zl_error *err)
{
        const uint64_t numbers[2] = { s->offset, s->len };
        int r = 0;

        if (s->len) {
                r = put(s, "D", 1, ZSTD_e_continue, err);
                if (r >= 0)
                        r = put(s, numbers, sizeof numbers, ZSTD_e_continue, err);
        }
        s->len = 0;
        return r;
}

int zl_split_raw(struct zl_split *s, const void *data, size_t len, struct zl_error *err)
{
        const char *p = data;
        int r = flush_data(s, err);

        while (r >= 0 && len > 0) {
                size_t n = ZL_MIN(len, (size_t)CHUNK);

                if (zl_buf_put(&s->raw, p, n) < 0)
                        return zl_fail_oom(err);
                p += n;
                len -= n;
                if (s->raw.len >= CHUNK)
                        r = flush_raw(s, err);
        }
        return r;
}

int zl_split_file(struct zl_split *s, const char *path, struct zl_error *err)
{
        int r = flush_data(s, err);

        if (r >= 0)
                r = flush_raw(s, err);
        return r < 0 ? r : put_item(s, 'F', path, strlen(path), err);
}

int zl_split_data(struct zl_split *s, uint64_t offset, uint64_t len, struct zl_error *err)
{
        if (s->len && s->offset + s->len == offset) {
                s->len += len;
                return 0;
        }
        if (s->len) {
                int r = flush_data(s, err);

                if (r < 0)
                        return r;
        }
        s->offset = offset;
        s->len = len;
        return 0;
}

int zl_split_finish(struct zl_split *s, struct zl_error *err)
{
        int r = flush_data(s, err);

        if (r >= 0)
                r = flush_raw(s, err);
        return r < 0 ? r : put(s, NULL, 0, ZSTD_e_end, err);
}

/* ---- rebuilding --------------------------------------------------------------------------------------- */

struct rebuild {
        int fd, root, file;
        ZSTD_DCtx *zstd;
        char in[CHUNK];
        ZSTD_inBuffer have;
        char data[CHUNK];
        zl_split_sink sink;
        void *ctx;
};

static int damaged(struct zl_error *err)
{
        return zl_fail(err, ZL_E_CORRUPT, 0, "the record of a layer is damaged");
}

/* Exactly `len` bytes; 1 at the end of the record. */
static int get(struct rebuild *b, void *data, size_t len, struct zl_error *err)
{
        ZSTD_outBuffer out = { data, len, 0 };

        while (out.pos < len) {
                size_t before = out.pos, left;
                ssize_t n;

                left = ZSTD_decompressStream(b->zstd, &out, &b->have);
                if (ZSTD_isError(left))
                        return damaged(err);
                if (out.pos > before || out.pos == len)
                        continue;
                if (b->have.pos < b->have.size)
                        continue;
                n = zl_read_full(b->fd, b->in, sizeof b->in);
                if (n < 0)
                        return zl_fail_errno(err, (int)-n, "cannot read the record of a layer");
                if (n == 0)
                        return out.pos == 0 ? 1 : damaged(err);
                b->have = (ZSTD_inBuffer){ b->in, (size_t)n, 0 };
        }
        return 0;
}

static int rebuild_raw(struct rebuild *b, struct zl_error *err)
{
        uint32_t len;
        int r = get(b, &len, sizeof len, err);

        for (size_t n; r == 0 && len > 0; len -= (uint32_t)n) {
                n = ZL_MIN((size_t)len, sizeof b->data);
                r = get(b, b->data, n, err);
                if (r == 0)
                        r = b->sink(b->ctx, b->data, n, err);
        }
        return r == 1 ? damaged(err) : r;
}

static int rebuild_file(struct rebuild *b, struct zl_error *err)
{
        _cleanup_free_ char *path = NULL;
        uint32_t len;
        int r = get(b, &len, sizeof len, err);

        if (r != 0 || len > ITEM_MAX)
                return r < 0 ? r : damaged(err);
        path = calloc(1, (size_t)len + 1);
        if (!path)
                return zl_fail_oom(err);
        r = get(b, path, len, err);
        if (r != 0)
                return r < 0 ? r : damaged(err);
        zl_close(b->file);
        b->file = zl_open_in(b->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, ZL_PATH_BENEATH);
        return b->file < 0 ? zl_fail(err, ZL_E_CORRUPT, -b->file,
                                     "cannot open %s of an unpacked layer", path)
                           : 0;
}

static int rebuild_data(struct rebuild *b, struct zl_error *err)
{
        uint64_t numbers[2];
        int r = get(b, numbers, sizeof numbers, err);

        if (r != 0)
                return r < 0 ? r : damaged(err);
        while (numbers[1] > 0) {
                ssize_t n = pread(b->file, b->data, ZL_MIN(numbers[1], (uint64_t)sizeof b->data),
                                  (off_t)numbers[0]);

                if (n <= 0)
                        return zl_fail(err, ZL_E_CORRUPT, n < 0 ? errno : 0,
                                       "a file of an unpacked layer is shorter than it was");
                r = b->sink(b->ctx, b->data, (size_t)n, err);
                if (r < 0)
                        return r;
                numbers[0] += (uint64_t)n;
                numbers[1] -= (uint64_t)n;
        }
        return 0;
}

int zl_split_rebuild(int fd, int root, zl_split_sink sink, void *ctx, struct zl_error *err)
{
        struct rebuild *b = calloc(1, sizeof *b);
        char type;
        int r;

        if (!b)
                return zl_fail_oom(err);
        *b = (struct rebuild){ .fd = fd, .root = root, .file = -EBADF, .sink = sink, .ctx = ctx };
        b->zstd = ZSTD_createDCtx();
        r = b->zstd ? 0 : zl_fail_oom(err);
        while (r == 0) {
                r = get(b, &type, 1, err);
                if (r != 0)
                        break;
                r = type == 'R'                   ? rebuild_raw(b, err)
                    : type == 'F'                 ? rebuild_file(b, err)
                    : type == 'D' && b->file >= 0 ? rebuild_data(b, err)
                                                  : damaged(err);
        }
        zl_close(b->file);
        ZSTD_freeDCtx(b->zstd);
        free(b);
        return r == 1 ? 0 : r;
}
