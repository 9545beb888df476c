/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompression (see inflate.h). gzip goes through ISA-L where the build has it (two to three times the speed of
 * zlib on the processors we care for), else through zlib; both check the CRC of every member.
 *
 * What may go wrong: memory. A zstd frame may ask for a window of any size; ZSTD_WINDOW_LOG_MAX bounds it
 * at what `zstd --ultra -22` produces. Output size is the sink's to bound.
 */
#include "image/inflate.h"

#include <stdbool.h>

#include <zstd.h>
#ifdef ZL_HAVE_ISAL
#include <isa-l/igzip_lib.h>
#else
#include <zlib.h>
#endif

enum {
        OUTPUT_SIZE = 256 * 1024,
        MAGIC_SIZE = 4,
        ZSTD_WINDOW_LOG_MAX = 27,
};

enum kind { UNKNOWN, PLAIN, GZIP, ZSTD };

struct zl_inflate {
        zl_inflate_sink sink;
        void *ctx;
        enum kind kind;
        unsigned char magic[MAGIC_SIZE];
        size_t n_magic;
        bool in_member; /* the current member or frame has begun and not ended */
        unsigned char *out;
        ZSTD_DCtx *zstd;
#ifdef ZL_HAVE_ISAL
        struct inflate_state gzip;
#else
        z_stream gzip;
#endif
};

struct zl_inflate *zl_inflate_new(zl_inflate_sink sink, void *ctx)
{
        struct zl_inflate *z = calloc(1, sizeof *z);

        if (!z)
                return NULL;
        z->sink = sink;
        z->ctx = ctx;
        z->out = malloc(OUTPUT_SIZE);
        if (!z->out) {
                free(z);
                return NULL;
        }
        return z;
}

void zl_inflate_free(struct zl_inflate *z)
{
        if (!z)
                return;
#ifndef ZL_HAVE_ISAL
        if (z->kind == GZIP)
                inflateEnd(&z->gzip);
#endif
        ZSTD_freeDCtx(z->zstd);
        free(z->out);
        free(z);
}

const char *zl_inflate_kind(const struct zl_inflate *z)
{
        return z->kind == GZIP ? "gzip" : z->kind == ZSTD ? "zstd" : "";
}

#ifdef ZL_HAVE_ISAL
static int gzip_begin(struct zl_inflate *z)
{
        isal_inflate_init(&z->gzip);
        z->gzip.crc_flag = ISAL_GZIP;
        return 0;
}

static int gzip_feed(struct zl_inflate *z, const unsigned char *p, size_t n, struct zl_error *err)
{
        struct inflate_state *s = &z->gzip;
        int r;

        s->next_in = (unsigned char *)(uintptr_t)p;
        s->avail_in = (uint32_t)n;
        for (;;) {
                if (!z->in_member) {
                        if (s->avail_in == 0)
                                return 0;
                        /* ISA-L reads ahead; what it did not use stays in next_in. */
                        isal_inflate_reset(s);
                        s->crc_flag = ISAL_GZIP;
                        z->in_member = true;
                }
                s->next_out = z->out;
                s->avail_out = OUTPUT_SIZE;
                r = isal_inflate(s);
                if (r != ISAL_DECOMP_OK)
                        return zl_fail(err, ZL_E_CORRUPT, 0,
                                       "the gzip data is damaged (ISA-L error %d)", r);
                if (s->next_out > z->out) {
                        r = z->sink(z->ctx, z->out, (size_t)(s->next_out - z->out), err);
                        if (r < 0)
                                return r;
                }
                if (s->block_state == ISAL_BLOCK_FINISH)
                        z->in_member = false;
                else if (s->avail_in == 0 && s->avail_out > 0)
                        return 0;
        }
}
#else
static int gzip_begin(struct zl_inflate *z)
{
        return inflateInit2(&z->gzip, 15 + 16) == Z_OK ? 0 : -ENOMEM;
}

static int gzip_feed(struct zl_inflate *z, const unsigned char *p, size_t n, struct zl_error *err)
{
        z_stream *s = &z->gzip;
        int r;

        s->next_in = (unsigned char *)(uintptr_t)p;
        s->avail_in = (uInt)n;
        for (;;) {
                if (!z->in_member) {
                        if (s->avail_in == 0)
                                return 0;
                        inflateReset(s);
                        z->in_member = true;
                }
                s->next_out = z->out;
                s->avail_out = OUTPUT_SIZE;
                r = inflate(s, Z_NO_FLUSH);
                if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
                        return zl_fail(err, ZL_E_CORRUPT, 0, "the gzip data is damaged: %s",
                                       s->msg ? s->msg : "no reason given");
                if (s->next_out > z->out) {
                        int e = z->sink(z->ctx, z->out, (size_t)(s->next_out - z->out), err);

                        if (e < 0)
                                return e;
                }
                if (r == Z_STREAM_END)
                        z->in_member = false;
                else if (s->avail_in == 0 && s->avail_out > 0)
                        return 0;
        }
}
#endif

static int zstd_begin(struct zl_inflate *z)
{
        z->zstd = ZSTD_createDCtx();
        if (!z->zstd)
                return -ENOMEM;
        ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
        return 0;
}

static int zstd_feed(struct zl_inflate *z, const unsigned char *p, size_t n, struct zl_error *err)
{
        ZSTD_inBuffer in = { p, n, 0 };

        for (;;) {
                ZSTD_outBuffer out = { z->out, OUTPUT_SIZE, 0 };
                size_t left = ZSTD_decompressStream(z->zstd, &out, &in);

                if (ZSTD_isError(left))
                        return zl_fail(err, ZL_E_CORRUPT, 0, "the zstd data is damaged: %s",
                                       ZSTD_getErrorName(left));
                z->in_member = left != 0;
                if (out.pos > 0) {
                        int r = z->sink(z->ctx, z->out, out.pos, err);

                        if (r < 0)
                                return r;
                }
                if (in.pos == in.size && out.pos < out.size)
                        return 0;
        }
}

static int feed(struct zl_inflate *z, const unsigned char *p, size_t n, struct zl_error *err)
{
        /* Pieces small enough for the 32-bit counters of the libraries. */
        while (n > 0) {
                size_t len = ZL_MIN(n, (size_t)1 << 30);
                int r = z->kind == GZIP   ? gzip_feed(z, p, len, err)
                        : z->kind == ZSTD ? zstd_feed(z, p, len, err)
                                          : z->sink(z->ctx, p, len, err);

                if (r < 0)
                        return r;
                p += len;
                n -= len;
        }
        return 0;
}

/* Decides by the first bytes, then feeds them. */
static int begin(struct zl_inflate *z, struct zl_error *err)
{
        static const unsigned char zstd_magic[] = { 0x28, 0xb5, 0x2f, 0xfd };
        const unsigned char *m = z->magic;
        int r = 0;

        /* zstd:chunked and pzstd begin with a skippable frame, 0x184d2a50 to 5f. */
        if (z->n_magic >= 2 && m[0] == 0x1f && m[1] == 0x8b) {
                r = gzip_begin(z);
                z->kind = GZIP;
        } else if (z->n_magic == MAGIC_SIZE &&
                   (memcmp(m, zstd_magic, MAGIC_SIZE) == 0 ||
                    ((m[0] & 0xf0) == 0x50 && m[1] == 0x2a && m[2] == 0x4d && m[3] == 0x18))) {
                r = zstd_begin(z);
                z->kind = ZSTD;
        } else {
                z->kind = PLAIN;
        }
        if (r < 0)
                return zl_fail_oom(err);
        return feed(z, z->magic, z->n_magic, err);
}

int zl_inflate_feed(struct zl_inflate *z, const void *data, size_t len, struct zl_error *err)
{
        const unsigned char *p = data;

        while (z->kind == UNKNOWN && len > 0) {
                z->magic[z->n_magic++] = *p++;
                len--;
                if (z->n_magic == MAGIC_SIZE) {
                        int r = begin(z, err);

                        if (r < 0)
                                return r;
                }
        }
        return feed(z, p, len, err);
}

int zl_inflate_finish(struct zl_inflate *z, struct zl_error *err)
{
        if (z->kind == UNKNOWN) {
                int r = begin(z, err);

                if (r < 0)
                        return r;
        }
        if (z->in_member)
                return zl_fail(err, ZL_E_CORRUPT, 0, "the %s data is cut off", zl_inflate_kind(z));
        return 0;
}
