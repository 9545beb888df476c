/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar parser. Why our own and not libarchive: layers have to be rebuilt bit for bit (image save), which
 * needs every byte that is not file data as it stood; names must come out as bytes, not through the
 * locale; and the parser has to be driven by data that arrives from the network, without a thread or a pipe
 * in between. What remains is a small state machine over blocks of 512 bytes.
 *
 * Everything in a header is hostile: numbers are checked for overflow, extended headers and sparse maps are bounded, and
 * a size that the archive claims is never allocated, only counted down while real bytes arrive.
 */
#include "image/tar_reader.h"

#include <stdbool.h>

#include "base/buf.h"
#include "base/parse.h"

enum {
        BLOCK = 512,
        EXTENSION_MAX = 1 << 20, /* one pax header or long name */
        SPARSE_MAX = 1 << 18,    /* pieces of one file */
        XATTRS_MAX = 256,        /* of one file */
};

enum state { HEADER, EXTENSION, GNU_SPARSE, PAX_SPARSE, DATA, PADDING, END };

struct piece {
        uint64_t offset, len;
};

/* What pax records say about the next entry. */
struct overrides {
        char *path, *link;
        bool has_size, has_uid, has_gid, has_mtime, has_real_size;
        uint64_t size, real_size, uid, gid;
        int64_t mtime;
        uint32_t mtime_nsec;
        int sparse_major, sparse_minor; /* -1: none */
        bool sparse;
        struct zl_tar_xattr *xattrs;
        size_t n_xattrs;
};

struct zl_tar_reader {
        const struct zl_tar_handler *handler;
        void *ctx;
        enum state state;
        unsigned char block[BLOCK];
        size_t have; /* bytes in block */
        uint64_t position;
        uint64_t left;    /* bytes of the current body still to come */
        uint64_t padding; /* zeros behind it */
        int zero_blocks;
        char extension_type;
        struct zl_buf extension;
        struct overrides over;
        bool waits_for_entry; /* an extended header came, its entry has not */

        struct zl_tar_entry entry;
        char *path, *link;
        bool is_sparse;
        struct piece *pieces;
        size_t n_pieces, size_pieces;
        size_t piece;         /* where the data is */
        uint64_t piece_done;  /* bytes of that piece that came */
        uint64_t file_offset; /* of data that is not sparse */
        struct zl_buf map;    /* pax 1.0 sparse map, as text */
        uint64_t map_lines;   /* newlines in it */
};

static int broken(struct zl_tar_reader *r, struct zl_error *err, const char *why)
{
        return zl_fail(err, ZL_E_INVALID, 0, "broken tar archive at byte %llu: %s",
                       (unsigned long long)r->position, why);
}

static void overrides_done(struct overrides *o)
{
        free(o->path);
        free(o->link);
        for (size_t i = 0; i < o->n_xattrs; i++) {
                free(o->xattrs[i].name);
                free(o->xattrs[i].value);
        }
        free(o->xattrs);
        *o = (struct overrides){ .sparse_major = -1, .sparse_minor = -1 };
}

struct zl_tar_reader *zl_tar_reader_new(const struct zl_tar_handler *handler, void *ctx)
{
        struct zl_tar_reader *r = calloc(1, sizeof *r);

        if (!r)
                return NULL;
        r->handler = handler;
        r->ctx = ctx;
        r->extension = ZL_BUF_INIT(EXTENSION_MAX);
        r->map = ZL_BUF_INIT(EXTENSION_MAX * 8);
        overrides_done(&r->over);
        return r;
}

void zl_tar_reader_free(struct zl_tar_reader *r)
{
        if (!r)
                return;
        overrides_done(&r->over);
        zl_buf_done(&r->extension);
        zl_buf_done(&r->map);
        free(r->path);
        free(r->link);
        free(r->pieces);
        free(r);
}

uint64_t zl_tar_reader_position(const struct zl_tar_reader *r)
{
        return r->position;
}

/* ---- numbers --------------------------------------------------------------------------------------- */

/* A numeric field: octal text with blanks around, or base-256 if the first bit is set. */
static int parse_number(const unsigned char *p, size_t n, int64_t *ret)
{
        uint64_t v = 0;
        size_t i = 0;

        if (p[0] & 0x80) {
                bool negative = p[0] & 0x40;

                v = negative ? ~UINT64_C(0) : 0;
                for (i = 0; i < n; i++) {
                        unsigned char c = i == 0 ? (negative ? p[0] : p[0] & 0x7f) : p[i];

                        if ((int64_t)v >> 55 != (negative ? -1 : 0))
                                return -ERANGE;
                        v = v << 8 | c;
                }
                *ret = (int64_t)v;
                return 0;
        }
        while (i < n && p[i] == ' ')
                i++;
        for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) {
                if (v >> 60)
                        return -ERANGE;
                v = v << 3 | (uint64_t)(p[i] - '0');
        }
        for (; i < n; i++)
                if (p[i] != ' ' && p[i] != 0)
                        return -EINVAL;
        *ret = (int64_t)v;
        return 0;
}

static int header_u64(const unsigned char *p, size_t n, uint64_t *ret)
{
        int64_t v;
        int r = parse_number(p, n, &v);

        if (r < 0 || v < 0)
                return r < 0 ? r : -ERANGE;
        *ret = (uint64_t)v;
        return 0;
}

static int header_u32(const unsigned char *p, size_t n, uint32_t *ret)
{
        uint64_t v;
        int r = header_u64(p, n, &v);

        if (r < 0 || v > UINT32_MAX)
                return r < 0 ? r : -ERANGE;
        *ret = (uint32_t)v;
        return 0;
}

/* pax time: decimal seconds with an optional fraction, may be negative. */
static int parse_pax_time(const char *s, int64_t *ret, uint32_t *ret_nsec)
{
        _cleanup_free_ char *whole = strndup(s, strcspn(s, "."));
        const char *fraction = strchr(s, '.');
        uint32_t nsec = 0, unit = 100000000;
        int64_t sec;

        if (!whole)
                return -ENOMEM;
        if (zl_parse_i64(whole, &sec) < 0)
                return -EINVAL;
        for (const char *p = fraction ? fraction + 1 : ""; *p; p++, unit /= 10) {
                if (*p < '0' || *p > '9')
                        return -EINVAL;
                nsec += (uint32_t)(*p - '0') * unit;
        }
        if (whole[0] == '-' && nsec) { /* -1.25 is -2 + 0.75 */
                sec--;
                nsec = 1000000000 - nsec;
        }
        *ret = sec;
        *ret_nsec = nsec;
        return 0;
}

/* ---- pax records ------------------------------------------------------------------------------------ */

static int add_piece(struct zl_tar_reader *r, uint64_t offset, uint64_t len)
{
        if (r->n_pieces >= SPARSE_MAX || offset + len < offset || offset + len > INT64_MAX)
                return -E2BIG;
        if (r->n_pieces == r->size_pieces) {
                size_t size = r->size_pieces ? r->size_pieces * 2 : 16;
                struct piece *p = realloc(r->pieces, size * sizeof *p);

                if (!p)
                        return -ENOMEM;
                r->pieces = p;
                r->size_pieces = size;
        }
        r->pieces[r->n_pieces++] = (struct piece){ offset, len };
        return 0;
}

/* "offset,len,offset,len" */
static int parse_sparse_list(struct zl_tar_reader *r, char *list)
{
        char *save = NULL;

        r->n_pieces = 0;
        for (char *a = strtok_r(list, ",", &save); a; a = strtok_r(NULL, ",", &save)) {
                char *b = strtok_r(NULL, ",", &save);
                uint64_t offset, len;
                int e;

                if (!b || zl_parse_u64(a, 10, &offset) < 0 || zl_parse_u64(b, 10, &len) < 0)
                        return -EINVAL;
                e = add_piece(r, offset, len);
                if (e < 0)
                        return e;
        }
        return 0;
}

static int add_xattr(struct overrides *o, const char *name, const char *value, size_t len)
{
        struct zl_tar_xattr *list;

        if (o->n_xattrs >= XATTRS_MAX)
                return -E2BIG;
        list = realloc(o->xattrs, (o->n_xattrs + 1) * sizeof *list);
        if (!list)
                return -ENOMEM;
        o->xattrs = list;
        list += o->n_xattrs;
        *list = (struct zl_tar_xattr){ strdup(name), malloc(len + 1), len };
        if (!list->name || !list->value) {
                free(list->name);
                free(list->value);
                return -ENOMEM;
        }
        memcpy(list->value, value, len);
        list->value[len] = 0;
        o->n_xattrs++;
        return 0;
}

static int sparse_record(struct zl_tar_reader *r, const char *key, char *value)
{
        struct overrides *o = &r->over;
        uint64_t v = 0;

        if (zl_streq(key, "name"))
                return zl_replace_str(&o->path, value);
        o->sparse = true;
        if (zl_streq(key, "map"))
                return parse_sparse_list(r, value);
        if (zl_parse_u64(value, 10, &v) < 0)
                return -EINVAL;
        if (zl_streq(key, "major") || zl_streq(key, "minor")) {
                if (v > 1)
                        return -EINVAL;
                *(key[1] == 'a' ? &o->sparse_major : &o->sparse_minor) = (int)v;
        } else if (zl_streq(key, "size") || zl_streq(key, "realsize")) {
                o->has_real_size = true;
                o->real_size = v;
        } else if (zl_streq(key, "offset")) {
                return add_piece(r, v, 0);
        } else if (zl_streq(key, "numbytes")) {
                struct piece *last = r->n_pieces ? &r->pieces[r->n_pieces - 1] : NULL;

                if (!last || last->offset + v < v || last->offset + v > INT64_MAX)
                        return -EINVAL;
                last->len = v;
        }
        return 0;
}

static int pax_record(struct zl_tar_reader *r, const char *key, char *value, size_t len)
{
        struct overrides *o = &r->over;
        const char *rest;

        rest = zl_startswith(key, "SCHILY.xattr.");
        if (rest)
                return add_xattr(o, rest, value, len);
        if (memchr(value, 0, len))
                return -EINVAL; /* only values of attributes may hold NUL */
        rest = zl_startswith(key, "GNU.sparse.");
        if (rest)
                return sparse_record(r, rest, value);
        if (zl_streq(key, "path"))
                return zl_replace_str(&o->path, value);
        if (zl_streq(key, "linkpath"))
                return zl_replace_str(&o->link, value);
        if (zl_streq(key, "size"))
                return o->has_size = true, zl_parse_u64(value, 10, &o->size);
        if (zl_streq(key, "uid"))
                return o->has_uid = true, zl_parse_u64(value, 10, &o->uid);
        if (zl_streq(key, "gid"))
                return o->has_gid = true, zl_parse_u64(value, 10, &o->gid);
        if (zl_streq(key, "mtime"))
                return o->has_mtime = true, parse_pax_time(value, &o->mtime, &o->mtime_nsec);
        return 0; /* atime, ctime, uname, comment ... */
}

/* Records "LENGTH KEY=VALUE\n", where LENGTH counts the whole record. */
static int parse_pax(struct zl_tar_reader *r, char *p, size_t n)
{
        while (n > 0) {
                char *blank = memchr(p, ' ', ZL_MIN(n, (size_t)21)), *equals, *end;
                uint64_t len;
                int e;

                if (!blank)
                        return -EINVAL;
                *blank = 0;
                if (zl_parse_u64(p, 10, &len) < 0 || len > n || len < (size_t)(blank - p) + 3)
                        return -EINVAL;
                end = p + len - 1;
                equals = memchr(blank + 1, '=', (size_t)(end - blank - 1));
                if (*end != '\n' || !equals || memchr(blank + 1, 0, (size_t)(equals - blank - 1)))
                        return -EINVAL;
                *end = *equals = 0;
                e = pax_record(r, blank + 1, equals + 1, (size_t)(end - equals - 1));
                if (e < 0)
                        return e;
                p += len;
                n -= len;
        }
        return 0;
}

static int extension_end(struct zl_tar_reader *r, struct zl_error *err)
{
        size_t len = r->extension.len;
        char *text = zl_buf_take(&r->extension);
        int e = 0;

        if (!text)
                return zl_fail_oom(err);
        r->extension = ZL_BUF_INIT(EXTENSION_MAX);
        if (r->extension_type == 'x') {
                e = parse_pax(r, text, len);
        } else if (r->extension_type == 'L' || r->extension_type == 'K') {
                char **p = r->extension_type == 'L' ? &r->over.path : &r->over.link;

                /* Ends in NULs; one in the middle is a trick. */
                for (size_t i = strlen(text); i < len; i++)
                        if (text[i])
                                e = -EINVAL;
                if (e == 0)
                        e = zl_replace_str(p, text);
        } /* 'g': records for all entries, in practice a comment of git archive */
        free(text);
        if (e == -ENOMEM)
                return zl_fail_oom(err);
        return e < 0 ? broken(r, err, "an extended header is malformed") : 0;
}

/* ---- headers ----------------------------------------------------------------------------------------- */

static bool checksum_is_right(const unsigned char *h)
{
        uint64_t want, sum = 0;
        int64_t signed_sum = 0;

        if (header_u64(h + 148, 8, &want) < 0)
                return false;
        for (int i = 0; i < BLOCK; i++) {
                unsigned char c = i >= 148 && i < 156 ? ' ' : h[i];

                sum += c;
                signed_sum += (signed char)c;
        }
        return sum == want || (uint64_t)signed_sum == want;
}

static bool block_is_zero(const unsigned char *b)
{
        return b[0] == 0 && memcmp(b, b + 1, BLOCK - 1) == 0;
}

/* Takes the name fields, unless an extended header gave longer ones. */
static int take_names(struct zl_tar_reader *r, const unsigned char *h)
{
        bool posix = memcmp(h + 257, "ustar\0", 6) == 0;
        const char *prefix = (const char *)h + 345;

        free(r->path);
        free(r->link);
        r->path = zl_take_ptr(r->over.path);
        r->link = zl_take_ptr(r->over.link);
        if (!r->link)
                r->link = strndup((const char *)h + 157, 100);
        if (!r->path && posix && *prefix) {
                size_t a = strnlen(prefix, 155), b = strnlen((const char *)h, 100);

                r->path = calloc(1, a + b + 2);
                if (r->path) {
                        memcpy(r->path, prefix, a);
                        r->path[a] = '/';
                        memcpy(r->path + a + 1, h, b);
                }
        } else if (!r->path) {
                r->path = strndup((const char *)h, 100);
        }
        return r->path && r->link ? 0 : -ENOMEM;
}

static int take_numbers(struct zl_tar_reader *r, const unsigned char *h, uint64_t *ret_size)
{
        struct zl_tar_entry *e = &r->entry;
        const struct overrides *o = &r->over;
        bool device = h[156] == '3' || h[156] == '4';

        if (header_u32(h + 100, 8, &e->mode) < 0 ||
            (!o->has_uid && header_u32(h + 108, 8, &e->uid) < 0) ||
            (!o->has_gid && header_u32(h + 116, 8, &e->gid) < 0) ||
            (!o->has_size && header_u64(h + 124, 12, ret_size) < 0) ||
            (!o->has_mtime && parse_number(h + 136, 12, &e->mtime) < 0) ||
            (device &&
             (header_u32(h + 329, 8, &e->major) < 0 || header_u32(h + 337, 8, &e->minor) < 0)))
                return -EINVAL;
        if ((o->has_uid && o->uid >= UINT32_MAX) || (o->has_gid && o->gid >= UINT32_MAX))
                return -EINVAL;
        if (o->has_uid)
                e->uid = (uint32_t)o->uid;
        if (o->has_gid)
                e->gid = (uint32_t)o->gid;
        if (o->has_size)
                *ret_size = o->size;
        if (o->has_mtime) {
                e->mtime = o->mtime;
                e->mtime_nsec = o->mtime_nsec;
        }
        return *ret_size > INT64_MAX ? -EINVAL : 0;
}

static bool has_body(char type)
{
        return type == '0' || type == 0 || type == '7' || type == 'S';
}

/* The pieces of an old GNU sparse header or one of its continuation blocks. */
static int take_gnu_pieces(struct zl_tar_reader *r, const unsigned char *p, int n)
{
        for (int i = 0; i < n; i++, p += 24) {
                uint64_t offset, len;
                int e;

                if (p[0] == 0)
                        break;
                if (header_u64(p, 12, &offset) < 0 || header_u64(p + 12, 12, &len) < 0)
                        return -EINVAL;
                e = add_piece(r, offset, len);
                if (e < 0)
                        return e;
        }
        return 0;
}

/* Pieces must come in order, not overlap, lie in the file, and add up to the bytes stored. */
static bool pieces_are_sound(const struct zl_tar_reader *r)
{
        uint64_t end = 0, sum = 0;

        for (size_t i = 0; i < r->n_pieces; i++) {
                if (r->pieces[i].offset < end)
                        return false;
                end = r->pieces[i].offset + r->pieces[i].len;
                sum += r->pieces[i].len;
        }
        return end <= r->entry.size && sum == r->left;
}

/* All is known about the entry: tell it, then expect its data. */
static int begin_entry(struct zl_tar_reader *r, struct zl_error *err)
{
        int e;

        if (r->is_sparse && !pieces_are_sound(r))
                return broken(r, err, "the map of a sparse file contradicts its size");
        r->entry.path = r->path;
        r->entry.link = r->link;
        r->entry.xattrs = r->over.xattrs;
        r->entry.n_xattrs = r->over.n_xattrs;
        r->piece = 0;
        r->piece_done = 0;
        r->file_offset = 0;
        e = r->handler->entry(r->ctx, &r->entry, err);
        overrides_done(&r->over);
        r->waits_for_entry = false;
        if (e < 0)
                return e;
        r->state = DATA;
        if (r->left > 0)
                return 0;
        r->state = r->padding ? PADDING : HEADER;
        return r->handler->entry_end(r->ctx, err);
}

static int begin_extension(struct zl_tar_reader *r, char type, uint64_t size, struct zl_error *err)
{
        if (size > EXTENSION_MAX)
                return broken(r, err, "an extended header is larger than 1 MiB");
        r->extension_type = type;
        r->waits_for_entry = r->waits_for_entry || type != 'g';
        r->left = size;
        r->state = size ? EXTENSION : HEADER;
        if (type == 'x' && !r->over.sparse)
                r->n_pieces = 0;
        return 0;
}

static int begin_sparse(struct zl_tar_reader *r, const unsigned char *h, struct zl_error *err)
{
        const struct overrides *o = &r->over;

        r->is_sparse = true;
        if (h[156] == 'S') {
                r->n_pieces = 0;
                if (take_gnu_pieces(r, h + 386, 4) < 0 ||
                    header_u64(h + 483, 12, &r->entry.size) < 0 || r->entry.size > INT64_MAX)
                        return broken(r, err, "a sparse header is malformed");
                r->state = GNU_SPARSE;
                return h[482] ? 0 : begin_entry(r, err);
        }
        r->entry.size = o->has_real_size ? o->real_size : r->left;
        if (r->entry.size > INT64_MAX)
                return broken(r, err, "a sparse header is malformed");
        if (o->sparse_major != 1)
                return begin_entry(r, err);
        zl_buf_reset(&r->map);
        r->map_lines = 0;
        r->n_pieces = 0;
        r->state = PAX_SPARSE;
        return 0;
}

static int take_header(struct zl_tar_reader *r, struct zl_error *err)
{
        const unsigned char *h = r->block;
        char type = (char)h[156];
        uint64_t size = 0;

        if (block_is_zero(h)) {
                r->state = ++r->zero_blocks == 2 ? END : HEADER;
                return 0;
        }
        if (r->zero_blocks)
                return broken(r, err, "a lone zero block");
        if (!checksum_is_right(h))
                return broken(r, err, "wrong checksum of a header (no tar archive?)");
        if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
                if (header_u64(h + 124, 12, &size) < 0)
                        return broken(r, err, "a header holds a malformed number");
                r->padding = (BLOCK - size % BLOCK) % BLOCK;
                return begin_extension(r, type, size, err);
        }
        r->entry = (struct zl_tar_entry){ 0 };
        if (take_names(r, h) < 0)
                return zl_fail_oom(err);
        if (take_numbers(r, h, &size) < 0)
                return broken(r, err, "a header holds a malformed or absurd number");
        if (!has_body(type) && (type < '1' || type > '6'))
                return zl_fail(err, ZL_E_INVALID, 0, "%.300s: unknown tar entry type 0x%02x",
                               r->path, (unsigned char)type);
        r->entry.type = has_body(type) ? '0' : type;
        /* Before ustar a directory was a file with a slash at the end. */
        if (has_body(type) && type != 'S' && *r->path && r->path[strlen(r->path) - 1] == '/')
                r->entry.type = '5';
        r->left = r->entry.type == '0' ? size : 0;
        r->padding = (BLOCK - r->left % BLOCK) % BLOCK;
        r->entry.size = r->left;
        r->is_sparse = false;
        if (r->entry.type == '0' && (type == 'S' || r->over.sparse))
                return begin_sparse(r, h, err);
        return begin_entry(r, err);
}

/* ---- bodies ------------------------------------------------------------------------------------------- */

static int raw(struct zl_tar_reader *r, const void *data, size_t len, struct zl_error *err)
{
        return r->handler->raw ? r->handler->raw(r->ctx, data, len, err) : 0;
}

static int take_block(struct zl_tar_reader *r, struct zl_error *err)
{
        int e;

        if (r->state == HEADER)
                return take_header(r, err);
        if (r->state == GNU_SPARSE) {
                e = take_gnu_pieces(r, r->block, 21);
                if (e < 0)
                        return broken(r, err, "a sparse map is malformed or too large");
                return r->block[504] ? 0 : begin_entry(r, err);
        }
        return 0;
}

/* One number of a map, ended by a newline. NULL if there is none. */
static char *map_number(char *p, const char *end, uint64_t *ret)
{
        char *newline = memchr(p, '\n', (size_t)(end - p));

        if (!newline)
                return NULL;
        *newline = 0;
        if (zl_parse_u64(p, 10, ret) < 0)
                return NULL;
        *newline = '\n';
        return newline + 1;
}

static int take_pax_map(struct zl_tar_reader *r, char *p, uint64_t count, struct zl_error *err)
{
        const char *end = r->map.data + r->map.len;

        for (uint64_t i = 0; i < count; i++) {
                uint64_t offset, len;

                p = map_number(p, end, &offset);
                p = p ? map_number(p, end, &len) : NULL;
                if (!p || add_piece(r, offset, len) < 0)
                        return broken(r, err, "a sparse map is malformed or too large");
        }
        return begin_entry(r, err);
}

/* One block of a pax 1.0 map: "COUNT\nOFFSET\nLEN\n..." in decimal, padded with zeros to a whole block. */
static int take_pax_map_block(struct zl_tar_reader *r, struct zl_error *err)
{
        uint64_t count;
        char *p;

        if (r->left < BLOCK)
                return broken(r, err, "a sparse map is cut off");
        r->left -= BLOCK;
        if (zl_buf_put(&r->map, r->block, BLOCK) < 0)
                return broken(r, err, "a sparse map is too large");
        for (int i = 0; i < BLOCK; i++)
                r->map_lines += r->block[i] == '\n';
        if (r->map_lines == 0)
                return 0;
        p = map_number(r->map.data, r->map.data + r->map.len, &count);
        if (!p || count > SPARSE_MAX)
                return broken(r, err, "a sparse map is malformed or too large");
        return r->map_lines < 1 + 2 * count ? 0 : take_pax_map(r, p, count, err);
}

static int take_data(struct zl_tar_reader *r, const char **p, size_t *n, struct zl_error *err)
{
        size_t len = (size_t)ZL_MIN((uint64_t)*n, r->left);
        uint64_t offset = r->file_offset;
        int e;

        if (r->is_sparse) {
                while (r->piece_done == r->pieces[r->piece].len) {
                        r->piece++;
                        r->piece_done = 0;
                }
                len = (size_t)ZL_MIN((uint64_t)len, r->pieces[r->piece].len - r->piece_done);
                offset = r->pieces[r->piece].offset + r->piece_done;
                r->piece_done += len;
        }
        e = r->handler->data(r->ctx, offset, *p, len, err);
        if (e < 0)
                return e;
        r->file_offset += len;
        r->left -= len;
        r->position += len;
        *p += len;
        *n -= len;
        if (r->left > 0)
                return 0;
        r->state = r->padding ? PADDING : HEADER;
        return r->handler->entry_end(r->ctx, err);
}

/* Padding and extended headers: any length, all of it raw. */
static int take_body(struct zl_tar_reader *r, const char **p, size_t *n, struct zl_error *err)
{
        uint64_t *left = r->state == PADDING ? &r->padding : &r->left;
        size_t len = r->state == END ? *n : (size_t)ZL_MIN((uint64_t)*n, *left);
        int e = raw(r, *p, len, err);

        if (e < 0)
                return e;
        if (r->state == EXTENSION && zl_buf_put(&r->extension, *p, len) < 0)
                return zl_fail_oom(err);
        r->position += len;
        *p += len;
        *n -= len;
        if (r->state == END)
                return 0;
        *left -= len;
        if (*left > 0)
                return 0;
        if (r->state == EXTENSION) {
                r->state = r->padding ? PADDING : HEADER;
                return extension_end(r, err);
        }
        r->state = HEADER;
        return 0;
}

/* Headers and maps come in whole blocks. */
static int take_part_of_block(struct zl_tar_reader *r, const char **p, size_t *n,
                              struct zl_error *err)
{
        size_t len = ZL_MIN(*n, BLOCK - r->have);
        int e;

        memcpy(r->block + r->have, *p, len);
        r->have += len;
        r->position += len;
        *p += len;
        *n -= len;
        if (r->have < BLOCK)
                return 0;
        r->have = 0;
        e = raw(r, r->block, BLOCK, err);
        if (e < 0)
                return e;
        return r->state == PAX_SPARSE ? take_pax_map_block(r, err) : take_block(r, err);
}

int zl_tar_reader_feed(struct zl_tar_reader *r, const void *data, size_t len, struct zl_error *err)
{
        const char *p = data;
        int e = 0;

        while (len > 0 && e >= 0) {
                switch (r->state) {
                case HEADER:
                case GNU_SPARSE:
                case PAX_SPARSE:
                        e = take_part_of_block(r, &p, &len, err);
                        break;
                case DATA:
                        e = take_data(r, &p, &len, err);
                        break;
                case EXTENSION:
                case PADDING:
                case END:
                        e = take_body(r, &p, &len, err);
                        break;
                }
        }
        return e < 0 ? e : 0;
}

/* umoci writes layers that stop after the last byte of data, without its padding and the zero blocks. All engines take
 * them, and nothing is missing from them. */
int zl_tar_reader_finish(struct zl_tar_reader *r, struct zl_error *err)
{
        bool at_end = r->state == PADDING || (r->state == HEADER && r->have == 0);

        if (r->state == END || (at_end && !r->waits_for_entry))
                return 0;
        return broken(r, err, "it is cut off");
}
