/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format of tar archives as we write them (see tar_writer.h). Small writes are gathered, so that a tree of small
 * files does not cost a system call per header.
 *
 * Times are whole seconds: parts of them would cost a pax record for every entry, and no tool that reads images
 * compares them.
 */
#include "image/tar_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fd.h"

enum { BLOCK = 512, CHUNK = 256 * 1024, PAX_MAX = 16 << 20 };

struct zl_tar_writer {
        zl_tar_sink sink;
        void *ctx;
        uint64_t left;    /* bytes of the file that are still to come */
        uint64_t padding; /* zeros behind them */
        size_t n;
        char chunk[CHUNK];
};

struct zl_tar_writer *zl_tar_writer_new(zl_tar_sink sink, void *ctx)
{
        struct zl_tar_writer *w = malloc(sizeof *w);

        if (w) {
                w->sink = sink;
                w->ctx = ctx;
                w->left = w->padding = 0;
                w->n = 0;
        }
        return w;
}

void zl_tar_writer_free(struct zl_tar_writer *w)
{
        free(w);
}

int zl_tar_sink_fd(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        int r = zl_write_full(*(const int *)ctx, data, len);

        return r < 0 ? zl_fail_errno(err, -r, "cannot write the archive") : 0;
}

static int put(struct zl_tar_writer *w, const void *data, size_t len, struct zl_error *err)
{
        const char *p = data;

        while (len > 0) {
                size_t n = ZL_MIN(len, CHUNK - w->n);
                int r;

                memcpy(w->chunk + w->n, p, n);
                w->n += n;
                p += n;
                len -= n;
                if (w->n < CHUNK)
                        break;
                w->n = 0;
                r = w->sink(w->ctx, w->chunk, CHUNK, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_zeros(struct zl_tar_writer *w, size_t len, struct zl_error *err)
{
        static const char zeros[2 * BLOCK];

        return put(w, zeros, len, err);
}

/* ---- headers ----------------------------------------------------------------------------------------------- */

/* Octal digits and a NUL; what is too large gets zeros, a pax record tells it then. */
static void octal(char *field, size_t size, uint64_t value)
{
        if (value >> (3 * (size - 1)))
                value = 0;
        field[size - 1] = 0;
        for (size_t i = size - 1; i-- > 0; value >>= 3)
                field[i] = (char)('0' + (value & 7));
}

static int put_header(struct zl_tar_writer *w, const struct zl_tar_entry *e, struct zl_error *err)
{
        char h[BLOCK] = "";
        unsigned sum = 0;

        memcpy(h, e->path, strnlen(e->path, 100));
        octal(h + 100, 8, e->mode & 07777);
        octal(h + 108, 8, e->uid);
        octal(h + 116, 8, e->gid);
        octal(h + 124, 12, e->size);
        octal(h + 136, 12, e->mtime > 0 ? (uint64_t)e->mtime : 0);
        h[156] = e->type;
        if (e->link)
                memcpy(h + 157, e->link, strnlen(e->link, 100));
        memcpy(h + 257,
               "ustar\0"
               "00",
               8);
        octal(h + 329, 8, e->major);
        octal(h + 337, 8, e->minor);
        memset(h + 148, ' ', 8);
        for (int i = 0; i < BLOCK; i++)
                sum += (unsigned char)h[i];
        octal(h + 148, 7, sum);
        return put(w, h, sizeof h, err);
}

/* "LEN KEY=VALUE\n", where LEN counts itself. */
static void put_record(struct zl_buf *records, const char *key, const void *value, size_t len)
{
        size_t rest = strlen(key) + len + 3, total = rest + 1;
        char number[24];

        while ((size_t)snprintf(number, sizeof number, "%zu", total) + rest != total)
                total = (size_t)snprintf(number, sizeof number, "%zu", total) + rest;
        zl_buf_putf(records, "%zu %s=", total, key);
        zl_buf_put(records, value, len);
        zl_buf_putc(records, '\n');
}

static void put_number(struct zl_buf *records, const char *key, uint64_t value, unsigned bits)
{
        char text[24];

        if (value >> bits)
                put_record(records, key, text,
                           (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
}

/* What the header has no room for. */
static int put_pax(struct zl_tar_writer *w, const struct zl_tar_entry *e, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf records = ZL_BUF_INIT(PAX_MAX);
        struct zl_tar_entry extra = { .type = 'x', .path = "pax", .mode = 0644 };
        int r;

        if (strlen(e->path) > 100)
                put_record(&records, "path", e->path, strlen(e->path));
        if (e->link && strlen(e->link) > 100)
                put_record(&records, "linkpath", e->link, strlen(e->link));
        put_number(&records, "size", e->size, 33);
        put_number(&records, "uid", e->uid, 21);
        put_number(&records, "gid", e->gid, 21);
        for (size_t i = 0; i < e->n_xattrs; i++) {
                char key[300];

                snprintf(key, sizeof key, "SCHILY.xattr.%s", e->xattrs[i].name);
                put_record(&records, key, e->xattrs[i].value, e->xattrs[i].len);
        }
        if (zl_buf_error(&records) < 0)
                return zl_fail(err, ZL_E_INVALID, -zl_buf_error(&records),
                               "the attributes of %.300s are too large for an archive", e->path);
        if (records.len == 0)
                return 0;
        extra.size = records.len;
        r = put_header(w, &extra, err);
        if (r >= 0)
                r = put(w, records.data, records.len, err);
        return r < 0 ? r : put_zeros(w, (BLOCK - records.len % BLOCK) % BLOCK, err);
}

int zl_tar_writer_entry(struct zl_tar_writer *w, const struct zl_tar_entry *e, struct zl_error *err)
{
        int r = put_pax(w, e, err);

        w->left = e->type == '0' ? e->size : 0;
        w->padding = (BLOCK - w->left % BLOCK) % BLOCK;
        return r < 0 ? r : put_header(w, e, err);
}

int zl_tar_writer_data(struct zl_tar_writer *w, const void *data, size_t len, struct zl_error *err)
{
        int r;

        if (len > w->left)
                return zl_fail(err, ZL_E_CORRUPT, 0, "a file is longer than its entry says");
        w->left -= len;
        r = put(w, data, len, err);
        return r < 0 || w->left > 0 ? r : put_zeros(w, w->padding, err);
}

int zl_tar_writer_finish(struct zl_tar_writer *w, struct zl_error *err)
{
        int r = put_zeros(w, (size_t)2 * BLOCK, err);

        return r < 0 ? r : w->sink(w->ctx, w->chunk, w->n, err);
}
