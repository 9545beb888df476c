/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import sources (see source.h). An archive is read once to learn what it holds: an OCI layout and a docker-save archive are few
 * files, so the reading stops as soon as there are too many of them and it must be a root file system. Of a compressed archive the
 * uncompressed form is kept in a temporary file only if it is one of the first two.
 */
#include "image/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/path.h"
#include "image/inflate.h"
#include "image/tar_reader.h"

enum { MEMBERS_MAX = 8192, CHUNK = 256 * 1024, LINKS_MAX = 8 };

struct member {
        uint64_t offset, size;
        char *link; /* of a symbolic or hard link, else NULL */
};

struct zl_source {
        char *path;
        enum zl_source_kind kind;
        int fd; /* the directory, or the (uncompressed) archive */
        bool is_dir;
        int64_t mtime;
        struct zl_map *members; /* of an archive */
};

static void member_free(void *value)
{
        struct member *m = value;

        free(m->link);
        free(m);
}

void zl_source_close(struct zl_source *s)
{
        if (!s)
                return;
        zl_close(s->fd);
        zl_map_free(s->members);
        free(s->path);
        free(s);
}

enum zl_source_kind zl_source_kind(const struct zl_source *s)
{
        return s->kind;
}

int64_t zl_source_mtime(const struct zl_source *s)
{
        return s->mtime;
}

/* ---- learning what an archive holds -------------------------------------------------------------------------- */

struct scan {
        struct zl_source *source;
        struct zl_tar_reader *tar;
        struct member *open; /* the file whose data comes next */
        bool plain;          /* too many files for anything else */
        int copy;            /* where the uncompressed bytes go, or -1 */
};

/* Names as the archive has them, without "./" and slashes at the end. */
static char *member_name(const char *path)
{
        char *clean = zl_path_clean_absolute(path);

        if (clean)
                memmove(clean, clean + 1, strlen(clean));
        return clean;
}

static int scan_entry(void *ctx, const struct zl_tar_entry *e, struct zl_error *err)
{
        struct scan *s = ctx;
        _cleanup_free_ char *name = member_name(e->path);
        struct member *m;

        s->open = NULL;
        if (e->type == '5')
                return 0;
        if (!name)
                return zl_fail_oom(err);
        if (e->type > '2' || zl_map_size(s->source->members) >= MEMBERS_MAX) {
                s->plain = true;
                return -ECANCELED; /* seen enough */
        }
        m = calloc(1, sizeof *m);
        if (!m)
                return zl_fail_oom(err);
        m->size = e->size;
        if (e->type == '2') /* relative to where the link stands */
                m->link = *e->link == '/' ? strdup(e->link) : zl_path_join(name, "..");
        if (e->type == '2' && m->link && *e->link != '/') {
                char *joined = zl_path_join(m->link, e->link);

                free(m->link);
                m->link = joined;
        } else if (e->type == '1') {
                m->link = strdup(e->link);
        }
        if ((e->type != '0' && !m->link) || zl_map_put(s->source->members, name, m) < 0) {
                member_free(m);
                return zl_fail_oom(err);
        }
        s->open = m;
        return 0;
}

static int scan_data(void *ctx, uint64_t offset, const void *data _unused_, size_t len _unused_,
                     struct zl_error *err _unused_)
{
        struct scan *s = ctx;

        if (s->open && offset == 0)
                s->open->offset = zl_tar_reader_position(s->tar);
        return 0;
}

static int scan_end(void *ctx _unused_, struct zl_error *err _unused_)
{
        return 0;
}

static const struct zl_tar_handler scan_handler = { scan_entry, scan_data, scan_end, NULL };

static int scan_bytes(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        struct scan *s = ctx;

        return zl_tar_reader_feed(s->tar, data, len, err);
}

static int copy_bytes(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        int r = zl_write_full(*(int *)ctx, data, len);

        return r < 0 ? zl_fail_errno(err, -r, "cannot write the unpacked archive") : 0;
}

/* The whole file through the decompressor; tells whether it was compressed. */
static int read_all(struct zl_source *s, zl_inflate_sink sink, void *ctx, bool *ret_compressed,
                    struct zl_error *err)
{
        _cleanup_(zl_inflate_freep) struct zl_inflate *z = zl_inflate_new(sink, ctx);
        _cleanup_free_ char *chunk = malloc(CHUNK);
        uint64_t offset = 0;
        ssize_t n;
        int r;

        if (!z || !chunk)
                return zl_fail_oom(err);
        while ((n = pread(s->fd, chunk, CHUNK, (off_t)offset)) > 0) {
                r = zl_inflate_feed(z, chunk, (size_t)n, err);
                if (r < 0)
                        return r;
                offset += (uint64_t)n;
        }
        if (n < 0)
                return zl_fail_errno(err, errno, "cannot read %s", s->path);
        *ret_compressed = *zl_inflate_kind(z) != 0;
        return zl_inflate_finish(z, err);
}

static int open_scratch(struct zl_store_tmp *tmp, struct zl_error *err)
{
        int fd = openat(tmp->fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

        if (fd < 0) {
                fd = openat(tmp->fd, "archive", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                if (fd >= 0)
                        unlinkat(tmp->fd, "archive", 0);
        }
        return fd < 0 ? zl_fail_errno(err, errno, "cannot make a temporary file") : fd;
}

static int scan_archive(struct zl_source *s, struct zl_store_tmp *tmp, struct zl_error *err)
{
        _cleanup_(zl_tar_reader_freep) struct zl_tar_reader *tar = NULL;
        _cleanup_error_ struct zl_error fault = ZL_ERROR_INIT;
        struct scan scan = { .source = s };
        _cleanup_close_ int copy = -EBADF;
        bool compressed = false;
        int r;

        s->members = zl_map_new(member_free);
        scan.tar = tar = zl_tar_reader_new(&scan_handler, &scan);
        if (!s->members || !tar)
                return zl_fail_oom(err);
        r = read_all(s, scan_bytes, &scan, &compressed, &fault);
        if (r >= 0)
                r = zl_tar_reader_finish(tar, &fault);
        s->kind = ZL_SOURCE_PLAIN;
        if (scan.plain)
                return 0;
        if (r < 0) {
                zl_error_move(err, &fault);
                zl_error_prefix(err, "%s", s->path);
                return r;
        }
        if (zl_map_has(s->members, "oci-layout") && zl_map_has(s->members, "index.json"))
                s->kind = ZL_SOURCE_OCI;
        else if (zl_map_has(s->members, "manifest.json"))
                s->kind = ZL_SOURCE_DOCKER;
        if (s->kind == ZL_SOURCE_PLAIN || !compressed)
                return 0;
        copy = open_scratch(tmp, err);
        if (copy < 0)
                return copy;
        r = read_all(s, copy_bytes, &copy, &compressed, err);
        if (r < 0)
                return r;
        zl_close(s->fd);
        s->fd = zl_take_fd(copy);
        return 0;
}

int zl_source_open(const char *path, struct zl_store_tmp *tmp, struct zl_source **ret,
                   struct zl_error *err)
{
        _cleanup_(zl_source_closep) struct zl_source *s = calloc(1, sizeof *s);
        struct stat st;
        int r = 0;

        if (!s)
                return zl_fail_oom(err);
        s->path = strdup(path);
        s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (!s->path)
                return zl_fail_oom(err);
        if (s->fd < 0 || fstat(s->fd, &st) < 0)
                return zl_fail_errno(err, errno, "cannot open %s", path);
        s->mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        s->is_dir = S_ISDIR(st.st_mode);
        if (s->is_dir) {
                s->kind = ZL_SOURCE_OCI;
                if (faccessat(s->fd, "index.json", F_OK, 0) < 0) {
                        zl_fail(err, ZL_E_INVALID, 0, "%s is a directory, but no OCI image layout",
                                path);
                        zl_error_hint(err, "pack a root file system into a tar and import that");
                        return -EINVAL;
                }
        } else if (!S_ISREG(st.st_mode)) {
                return zl_fail(err, ZL_E_INVALID, 0, "%s is neither a file nor a directory", path);
        } else {
                r = scan_archive(s, tmp, err);
        }
        if (r >= 0)
                *ret = zl_take_ptr(s);
        return r;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static const struct member *find_member(struct zl_source *s, const char *path)
{
        _cleanup_free_ char *name = member_name(path);

        for (int i = 0; i < LINKS_MAX && name; i++) {
                const struct member *m = zl_map_get(s->members, name);
                char *next;

                if (!m || !m->link)
                        return m;
                next = member_name(m->link);
                free(name);
                name = next;
        }
        return NULL;
}

/* Opens a file of the source: a descriptor (the caller's) with where it begins and how long it is. */
static int open_member(struct zl_source *s, const char *name, uint64_t *ret_offset,
                       uint64_t *ret_size)
{
        const struct member *m;
        struct stat st;
        int fd;

        if (s->is_dir) {
                fd = zl_open_in(s->fd, name, O_RDONLY | O_NONBLOCK, 0, ZL_PATH_IN_ROOT);
                if (fd < 0)
                        return fd;
                if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                        zl_close(fd);
                        return -ENOENT;
                }
                *ret_offset = 0;
                *ret_size = (uint64_t)st.st_size;
                return fd;
        }
        m = find_member(s, name);
        if (!m)
                return -ENOENT;
        *ret_offset = m->offset;
        *ret_size = m->size;
        fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : fd;
}

int zl_source_size(struct zl_source *s, const char *name, uint64_t *ret)
{
        uint64_t offset;
        int fd = open_member(s, name, &offset, ret);

        if (fd < 0)
                return fd;
        zl_close(fd);
        return 0;
}

static int missing(struct zl_source *s, const char *name, int r, struct zl_error *err)
{
        return zl_fail(err, ZL_E_NOT_FOUND, r == -ENOENT ? 0 : -r, "%s holds no %.300s", s->path,
                       name);
}

/* zl-size: text and length are one result */
int zl_source_read(struct zl_source *s, const char *name, size_t max, char **ret, size_t *ret_len,
                   struct zl_error *err)
{
        uint64_t offset, size;
        _cleanup_close_ int fd = open_member(s, name, &offset, &size);
        _cleanup_free_ char *text = NULL;

        if (fd < 0)
                return missing(s, name, fd, err);
        if (size > max)
                return zl_fail(err, ZL_E_INVALID, 0, "%s: %s has more than %zu bytes", s->path,
                               name, max);
        text = malloc((size_t)size + 1);
        if (!text)
                return zl_fail_oom(err);
        if (pread(fd, text, (size_t)size, (off_t)offset) != (ssize_t)size)
                return zl_fail(err, ZL_E_IO, 0, "cannot read %s of %s", name, s->path);
        text[size] = 0;
        *ret = zl_take_ptr(text);
        *ret_len = (size_t)size;
        return 0;
}

int zl_source_stream(struct zl_source *s, const char *name, zl_http_sink sink, void *ctx,
                     struct zl_error *err)
{
        uint64_t offset = 0, size = UINT64_MAX;
        _cleanup_close_ int fd = name ? open_member(s, name, &offset, &size)
                                      : fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
        _cleanup_free_ char *chunk = malloc(CHUNK);

        if (fd < 0)
                return name ? missing(s, name, fd, err)
                            : zl_fail_errno(err, errno, "cannot read %s", s->path);
        if (!chunk)
                return zl_fail_oom(err);
        while (size > 0) {
                ssize_t n = pread(fd, chunk, (size_t)ZL_MIN(size, (uint64_t)CHUNK), (off_t)offset);
                int r;

                if (n < 0)
                        return zl_fail_errno(err, errno, "cannot read %s", s->path);
                if (n == 0)
                        break;
                r = sink(ctx, chunk, (size_t)n, err);
                if (r < 0)
                        return r;
                offset += (uint64_t)n;
                size -= (uint64_t)n;
        }
        return 0;
}
