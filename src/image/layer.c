/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline of one layer: blob bytes -> digest -> decompressor -> diff id -> tar parser -> files, all in the thread
 * that receives the bytes, so a slow disk slows the sender through TCP and no layer is ever in memory. Parallelism
 * comes from several layers at a time.
 *
 * What may go wrong: the digests are known only at the end, when the files are written already. They lie in a
 * temporary directory until then, and the unpacker trusts nothing. Archives that expand without measure are
 * stopped while they do (zl_image_limits).
 */
#include "image/layer.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/random.h"
#include "image/inflate.h"
#include "image/split.h"
#include "image/unpack.h"

struct zl_layer {
        struct zl_image_store *store;
        struct zl_store_tmp *tmp;
        struct zl_layer_source source;
        char work[24]; /* directory of this layer below tmp */
        int work_fd, root;
        struct zl_hash *blob_hash, *diff_hash;
        uint64_t position, unpacked;
        int failed; /* unpacking did, for this reason: */
        struct zl_error fault;
        struct zl_inflate *inflate;
        struct zl_tar_reader *tar;
        struct zl_unpack *unpack;
        struct zl_split *split;
};

/* ---- the stages, last one first ------------------------------------------------------------------------ */

static int on_entry(void *ctx, const struct zl_tar_entry *entry, struct zl_error *err)
{
        struct zl_layer *l = ctx;
        int r = zl_unpack_entry(l->unpack, entry, err);

        if (r >= 0 && entry->type == '0' && entry->size > 0)
                r = zl_split_file(l->split, entry->path, err);
        return r;
}

static int on_data(void *ctx, uint64_t offset, const void *data, size_t len, struct zl_error *err)
{
        struct zl_layer *l = ctx;
        int r = zl_unpack_data(l->unpack, offset, data, len, err);

        return r < 0 ? r : zl_split_data(l->split, offset, len, err);
}

static int on_entry_end(void *ctx, struct zl_error *err)
{
        struct zl_layer *l = ctx;

        return zl_unpack_entry_end(l->unpack, err);
}

static int on_raw(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        struct zl_layer *l = ctx;

        return zl_split_raw(l->split, data, len, err);
}

static const struct zl_tar_handler tar_handler = { on_entry, on_data, on_entry_end, on_raw };

static int on_unpacked(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        struct zl_layer *l = ctx;
        const struct zl_image_limits *limits = &l->store->limits;

        l->unpacked += len;
        /* Headers count too: an archive of nothing but entries is bounded here. */
        if (l->unpacked / 2 > limits->layer_bytes ||
            (l->unpacked > limits->expansion_floor &&
             l->unpacked / limits->expansion > l->position))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "the layer expands from %llu to more than %llu bytes: refused as a "
                               "decompression bomb",
                               (unsigned long long)l->position, (unsigned long long)l->unpacked);
        zl_hash_update(l->diff_hash, data, len);
        return zl_tar_reader_feed(l->tar, data, len, err);
}

/* What cannot be unpacked may simply not be what was asked for: then the wrong digest is the better message, so the
 * rest is only hashed and finish() decides. */
static int put_off(struct zl_layer *l, int r, struct zl_error *fault, struct zl_error *err)
{
        if (l->blob_hash && (fault->code == ZL_E_INVALID || fault->code == ZL_E_CORRUPT)) {
                zl_error_move(&l->fault, fault);
                l->failed = r;
                return 0;
        }
        zl_error_move(err, fault);
        return r;
}

int zl_layer_feed(struct zl_layer *l, const void *data, size_t len, struct zl_error *err)
{
        _cleanup_error_ struct zl_error fault = ZL_ERROR_INIT;
        int r;

        l->position += len;
        if (l->source.digest && l->position > l->source.size)
                return zl_fail(err, ZL_E_CORRUPT, 0,
                               "layer %s is larger than the %llu bytes that its manifest says",
                               l->source.digest, (unsigned long long)l->source.size);
        if (l->blob_hash)
                zl_hash_update(l->blob_hash, data, len);
        if (l->failed)
                return 0;
        r = zl_inflate_feed(l->inflate, data, len, &fault);
        return r < 0 ? put_off(l, r, &fault, err) : 0;
}

uint64_t zl_layer_position(const struct zl_layer *l)
{
        return l->position;
}

/* ---- life ------------------------------------------------------------------------------------------------ */

void zl_layer_free(struct zl_layer *l)
{
        if (!l)
                return;
        zl_error_done(&l->fault);
        zl_hash_free(l->blob_hash);
        zl_hash_free(l->diff_hash);
        zl_inflate_free(l->inflate);
        zl_tar_reader_free(l->tar);
        zl_unpack_free(l->unpack);
        zl_split_free(l->split);
        zl_close(l->root);
        zl_close(l->work_fd);
        free(l);
}

static int make_directories(struct zl_layer *l, struct zl_error *err)
{
        zl_random_hex(l->work, sizeof l->work - 1);
        l->work_fd = zl_open_dir_at(l->tmp->fd, l->work, 0700, err);
        if (l->work_fd < 0)
                return l->work_fd;
        if (mkdirat(l->work_fd, "root", 0755) < 0 || fchmodat(l->work_fd, "root", 0755, 0) < 0)
                return zl_fail_errno(err, errno, "cannot make a directory in %s/tmp",
                                     l->store->path);
        l->root = zl_open_dir_at(l->work_fd, "root", 0, err);
        return l->root < 0 ? l->root : 0;
}

int zl_layer_new(struct zl_image_store *store, struct zl_store_tmp *tmp,
                 const struct zl_layer_source *source, struct zl_layer **ret, struct zl_error *err)
{
        _cleanup_(zl_layer_freep) struct zl_layer *l = calloc(1, sizeof *l);
        enum zl_hash_kind kind = ZL_SHA256;
        int r;

        if (!l)
                return zl_fail_oom(err);
        l->store = store;
        l->tmp = tmp;
        l->source = *source;
        l->work_fd = l->root = -EBADF;
        r = make_directories(l, err);
        if (r >= 0)
                r = zl_unpack_new(l->root, l->work_fd, &store->limits, &l->unpack, err);
        if (r >= 0)
                r = zl_split_new(l->work_fd, "split", &l->split, err);
        if (r < 0)
                return r;
        if (source->digest && zl_digest_check(source->digest, &kind) == 0)
                l->blob_hash = zl_hash_new(kind);
        kind = ZL_SHA256;
        if (source->diff_id)
                (void)zl_digest_check(source->diff_id, &kind);
        l->diff_hash = zl_hash_new(kind);
        l->inflate = zl_inflate_new(on_unpacked, l);
        l->tar = zl_tar_reader_new(&tar_handler, l);
        if ((source->digest && !l->blob_hash) || !l->diff_hash || !l->inflate || !l->tar)
                return zl_fail_oom(err);
        *ret = zl_take_ptr(l);
        return 0;
}

static int verify_blob(struct zl_layer *l, struct zl_error *err)
{
        char text[ZL_DIGEST_TEXT_MAX];

        if (!l->blob_hash)
                return 0;
        if (l->position != l->source.size)
                return zl_fail(err, ZL_E_CORRUPT, 0,
                               "layer %s has %llu bytes, its manifest says %llu", l->source.digest,
                               (unsigned long long)l->position, (unsigned long long)l->source.size);
        zl_hash_finish(l->blob_hash, text);
        if (!zl_streq(text, l->source.digest))
                return zl_fail(err, ZL_E_CORRUPT, 0,
                               "layer %s does not match its digest: the content is %s",
                               l->source.digest, text);
        return 0;
}

static int verify_diff_id(struct zl_layer *l, char diff_id[ZL_DIGEST_TEXT_MAX],
                          struct zl_error *err)
{
        zl_hash_finish(l->diff_hash, diff_id);
        if (l->source.diff_id && !zl_streq(diff_id, l->source.diff_id))
                return zl_fail(err, ZL_E_CORRUPT, 0,
                               "layer %s unpacks to %s, but the image config says %s",
                               l->source.digest ? l->source.digest : "of the archive", diff_id,
                               l->source.diff_id);
        return 0;
}

/* What `inspect`, `ls` and `save` want to know later. */
static int write_meta(struct zl_layer *l, const char *diff_id, struct zl_error *err)
{
        _cleanup_json_ json_t *json = json_pack(
                "{s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:s}", "diff_id", diff_id, "size",
                (json_int_t)zl_unpack_bytes(l->unpack), "entries",
                (json_int_t)zl_unpack_entries(l->unpack), "tar_size", (json_int_t)l->unpacked,
                "compression", zl_inflate_kind(l->inflate), "blob",
                l->source.digest ? l->source.digest : "", "blob_size", (json_int_t)l->position,
                "media_type", l->source.media_type ? l->source.media_type : "");
        _cleanup_free_ char *text = json ? zl_json_dump(json, 1) : NULL;
        int r;

        if (!text)
                return zl_fail_oom(err);
        r = zl_write_file_at(l->work_fd, "meta", text, strlen(text), 0600, 0);
        return r < 0 ? zl_fail_errno(err, -r, "cannot write to %s/tmp", l->store->path) : 0;
}

/* Records first, the directory last: who sees the layer sees all of it. Under the lock, so that a prune sees all of it or
 * nothing, too. */
static int publish(struct zl_layer *l, const char *diff_id, struct zl_error *err)
{
        struct zl_image_store *s = l->store;
        char name[ZL_LAYER_NAME_MAX], file[ZL_LAYER_NAME_MAX + 8];
        _cleanup_close_ int lock = zl_store_lock(s, false, err);

        if (lock < 0)
                return lock;
        zl_layer_name(diff_id, name);
        snprintf(file, sizeof file, "%s.split", name);
        if (renameat(l->work_fd, "split", s->meta_fd, file) < 0)
                goto fail;
        snprintf(file, sizeof file, "%s.json", name);
        if (renameat(l->work_fd, "meta", s->meta_fd, file) < 0 || fsync(s->meta_fd) < 0)
                goto fail;
        if (renameat(l->work_fd, "root", s->layers_fd, name) < 0 && errno != EEXIST &&
            errno != ENOTEMPTY)
                goto fail;
        if (fsync(s->layers_fd) < 0)
                goto fail;
        return 0;
fail:
        return zl_fail_errno(err, errno, "cannot put layer %s into %s", name, s->path);
}

int zl_layer_finish(struct zl_layer *l, char *ret_diff_id, struct zl_error *err)
{
        char diff_id[ZL_DIGEST_TEXT_MAX];
        int r = verify_blob(l, err);

        if (r >= 0 && l->failed) {
                zl_error_move(err, &l->fault);
                return l->failed;
        }
        if (r >= 0)
                r = zl_inflate_finish(l->inflate, err);
        if (r >= 0)
                r = zl_tar_reader_finish(l->tar, err);
        if (r >= 0)
                r = verify_diff_id(l, diff_id, err);
        if (r >= 0)
                r = zl_unpack_finish(l->unpack, err);
        if (r >= 0)
                r = zl_split_finish(l->split, err);
        if (r >= 0)
                r = write_meta(l, diff_id, err);
        if (r < 0)
                return r;
        if (syncfs(l->root) < 0)
                return zl_fail_errno(err, errno, "cannot sync %s", l->store->path);
        r = publish(l, diff_id, err);
        if (r >= 0 && ret_diff_id)
                memcpy(ret_diff_id, diff_id, sizeof diff_id);
        return r;
}
