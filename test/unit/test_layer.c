/* SPDX-License-Identifier: Apache-2.0 */
/* Layers through the whole store: what tar packed comes out the same, white-outs become overlayfs', and saving gives back
 * every byte. Needs root for owners and devices. */
#include "support.h"

#include <ftw.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "image/image.h"
#include "image/inflate.h"
#include "image/tar_reader.h"

static void run(const struct place *p, const char *command)
{
        char text[4096];

        snprintf(text, sizeof text, "cd %s && { %s ; } </dev/null", p->path, command);
        if (system(text) != 0)
                fail_msg("failed: %s", command);
}

static struct zl_image *import(const struct place *p, const char *file, const char *name)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_image_store *store;
        struct zl_image *image = NULL;
        char path[256], root[256];

        snprintf(root, sizeof root, "%s/store", p->path);
        snprintf(path, sizeof path, "%s/%s", p->path, file);
        assert_int_equal(zl_image_store_open(root, NULL, &store, NULL), 0);
        if (zl_image_import(store, path, name, NULL, NULL, &err) < 0 ||
            zl_image_lookup(store, name, &image, &err) < 0)
                fail_msg("%s: %s", file, zl_error_message(&err));
        zl_image_store_close(store);
        return image;
}

/* Everything `find` and getfattr tell about two trees is equal. */
static void assert_same_tree(const struct place *p, const char *a, const char *b)
{
        static const char *const views[] = {
                "find . -mindepth 1 ! -type d -printf '%%p %%M %%U %%G %%s %%n %%T@ %%l %%y\\n'",
                "find . -printf '%%p %%M %%U %%G %%T@\\n'",
                "find . -type f -exec sha256sum {} +",
                "find . -type c -o -type b -exec stat -c '%%n %%t %%T' {} +",
                "getfattr -R -h -m '^(user|security.cap)' -d . 2>/dev/null",
        };
        char command[2048];

        for (size_t i = 0; i < ZL_ARRAY_SIZE(views); i++) {
                char view[256];

                snprintf(view, sizeof view, views[i], 0);
                snprintf(command, sizeof command,
                         "(cd %s && %s) | sort >x; (cd %s && %s) | sort >y; diff x y >&2", a, view,
                         b, view);
                run(p, command);
        }
}

static void make_tree(const struct place *p)
{
        run(p, "rm -rf t && mkdir -p t/d/e t/sticky t/" /* long names need extended headers */
               "0123456789012345678901234567890123456789012345678901234567890123456789/"
               "0123456789012345678901234567890123456789012345678901234567890123456789");
        run(p,
            "echo hello >t/f && ln t/f t/hard && ln -s f t/soft && ln -s /abs/olute t/dangling && "
            "mkfifo t/pipe && mknod t/char c 5 1 && mknod t/block b 8 300 && "
            "(cd t/0*/0* && printf deep >file) && : >t/empty && echo x >'t/with space and ümläut'");
        run(p,
            "chown 1000:2000 t/d && chown -h 3:4 t/soft && chown 3000000:3000001 t/d/e && chmod 1777 t/sticky && "
            "cp /bin/true t/suid && chmod 4755 t/suid && chmod 2750 t/d && chmod 000 t/empty");
        run(p,
            "setfattr -n user.one -v 1 t/f && setcap cap_net_raw+ep t/suid 2>/dev/null; "
            "truncate -s 3M t/sparse && printf A | dd of=t/sparse bs=1 seek=1000000 conv=notrunc status=none && "
            "dd if=/dev/urandom of=t/big bs=64k count=20 status=none");
        run(p,
            "find t -exec touch -h -d '2001-02-03 04:05:06' {} +; touch -d 1969-12-31T23:59:58Z t/f");
}

static void test_formats(void **state)
{
        static const char *const packers[] = {
                "tar --xattrs --xattrs-include='*' --format=posix -C t -cf a.tar .",
                "tar --xattrs --xattrs-include='*' --format=posix -S -C t -cf a.tar .",
                "tar --xattrs --xattrs-include='*' --format=posix -S --sparse-version=0.0 -C t -cf a.tar .",
                "tar --xattrs --xattrs-include='*' --format=posix -S --sparse-version=0.1 -C t -cf a.tar .",
        };
        const struct place *p = *state;

        make_tree(p);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(packers); i++) {
                _cleanup_image_ struct zl_image *image = NULL;

                run(p, packers[i]);
                image = import(p, "a.tar", "t");
                assert_same_tree(p, "t", image->layer_dirs[0]);
                run(p, "rm -rf store");
        }
        /* GNU's own format holds no attributes. */
        run(p, "setfattr -x user.one t/f; setcap -r t/suid 2>/dev/null; chmod 4755 t/suid; "
               "touch -d '2001-02-03 04:05:06' t/suid; touch -d 2001-02-03 t/f");
        for (size_t i = 0; i < 2; i++) {
                _cleanup_image_ struct zl_image *image = NULL;

                run(p, i ? "tar --format=gnu -S -C t -cf a.tar ."
                         : "tar --format=gnu -C t -cf a.tar .");
                image = import(p, "a.tar", "t");
                assert_same_tree(p, "t", image->layer_dirs[0]);
                run(p, "rm -rf store");
        }
}

static void test_whiteouts(void **state)
{
        const struct place *p = *state;
        _cleanup_image_ struct zl_image *image = NULL;
        char path[512], value[8];
        struct stat st;

        run(p,
            "rm -rf w && mkdir -p w/o w/both w/parent && : >w/.wh.gone && : >w/o/.wh..wh..opq && echo x >w/o/kept && "
            ": >w/.wh.both && echo x >w/both/f && : >w/parent/.wh.x && : >w/.wh..wh.plnk && "
            "tar -C w -cf w.tar o/.wh..wh..opq o/kept .wh.gone .wh.both both/f parent .wh..wh.plnk");
        image = import(p, "w.tar", "w");
        snprintf(path, sizeof path, "%s/gone", image->layer_dirs[0]);
        assert_int_equal(lstat(path, &st), 0);
        assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
        snprintf(path, sizeof path, "%s/parent/x", image->layer_dirs[0]);
        assert_int_equal(lstat(path, &st), 0);
        assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
        snprintf(path, sizeof path, "%s/o", image->layer_dirs[0]);
        assert_int_equal(getxattr(path, "trusted.overlay.opaque", value, sizeof value), 1);
        snprintf(path, sizeof path, "%s/o/kept", image->layer_dirs[0]);
        assert_int_equal(lstat(path, &st), 0);
        /* White-out and new content in one layer: the new content, opaque. */
        snprintf(path, sizeof path, "%s/both/f", image->layer_dirs[0]);
        assert_int_equal(lstat(path, &st), 0);
        snprintf(path, sizeof path, "%s/both", image->layer_dirs[0]);
        assert_int_equal(getxattr(path, "trusted.overlay.opaque", value, sizeof value), 1);
        snprintf(path, sizeof path, "%s/.wh..wh.plnk", image->layer_dirs[0]);
        assert_int_equal(lstat(path, &st), -1);
}

static void test_save(void **state)
{
        const struct place *p = *state;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_image_store *store;
        char root[256];
        int fd;

        make_tree(p);
        run(p, "rm -rf store && tar --format=posix -S -C t -cf a.tar .");
        zl_image_free(import(p, "a.tar", "t"));
        snprintf(root, sizeof root, "%s/store", p->path);
        assert_int_equal(zl_image_store_open(root, NULL, &store, NULL), 0);
        fd = openat(p->fd, "saved.tar", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (zl_image_save(store, "t", fd, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        close(fd);
        zl_image_store_close(store);
        run(p,
            "rm -rf s && mkdir s && tar -C s -xf saved.tar && cmp a.tar s/blobs/sha256/$(sha256sum <a.tar | cut -c1-64)");
}

static void test_limits(void **state)
{
        const struct place *p = *state;
        static const struct zl_image_limits limits[] = {
                { 4 << 20, 8, 1500000, 1000, 100000, 1 },
                { 4 << 20, 8, 1 << 30, 3, 100000, 1 },
                { 4 << 20, 8, 1 << 30, 1000, 5, 100000 },
        };
        static const char *const why[] = { "limit", "entries", "decompression bomb" };
        char root[256], path[256];

        run(p,
            "rm -rf store b && mkdir b && truncate -s 2M b/zeros && : >b/a && : >b/b && : >b/c && "
            "tar -C b -czf b.tgz .");
        snprintf(root, sizeof root, "%s/store", p->path);
        snprintf(path, sizeof path, "%s/b.tgz", p->path);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(limits); i++) {
                const struct zl_image_store_options options = { .limits = &limits[i] };
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                struct zl_image_store *store;

                assert_int_equal(zl_image_store_open(root, &options, &store, NULL), 0);
                assert_true(zl_image_import(store, path, "b", NULL, NULL, &err) < 0);
                assert_int_equal(err.code, ZL_E_INVALID);
                if (!strstr(err.message, why[i]))
                        fail_msg("%zu: %s", i, err.message);
                zl_image_store_close(store);
        }
}

/* ---- the parser and the decompressor, fed in pieces of every size --------------------------------------------- */

struct seen {
        unsigned entries, ends;
        uint64_t bytes, raw;
};

static int on_entry(void *ctx, const struct zl_tar_entry *e, struct zl_error *err)
{
        (void)e;
        (void)err;
        ((struct seen *)ctx)->entries++;
        return 0;
}
static int on_data(void *ctx, uint64_t offset, const void *data, size_t len, struct zl_error *err)
{
        (void)offset;
        (void)data;
        (void)err;
        ((struct seen *)ctx)->bytes += len;
        return 0;
}
static int on_end(void *ctx, struct zl_error *err)
{
        (void)err;
        ((struct seen *)ctx)->ends++;
        return 0;
}
static int on_raw(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        (void)data;
        (void)err;
        ((struct seen *)ctx)->raw += len;
        return 0;
}
static int to_tar(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        return zl_tar_reader_feed(ctx, data, len, err);
}

static void test_pieces(void **state)
{
        static const struct zl_tar_handler handler = { on_entry, on_data, on_end, on_raw };
        static const char *const files[] = { "a.tar", "a.tar.gz", "a.tar.zst", "multi.gz" };
        const struct place *p = *state;
        struct seen first = { 0 };

        run(p,
            "rm -f a.tar* && tar --format=posix -S -C t -cf a.tar . && gzip -k a.tar && zstd -q a.tar && "
            "head -c 100000 a.tar | gzip >multi.gz && tail -c +100001 a.tar | gzip >>multi.gz");
        for (size_t f = 0; f < ZL_ARRAY_SIZE(files); f++)
                for (size_t piece = 1; piece < 1 << 20; piece = piece * 7 + 3) {
                        struct seen seen = { 0 };
                        struct zl_tar_reader *tar = zl_tar_reader_new(&handler, &seen);
                        struct zl_inflate *z = zl_inflate_new(to_tar, tar);
                        _cleanup_free_ char *data = NULL;
                        size_t len;

                        assert_int_equal(zl_read_file_at(p->fd, files[f], 64 << 20, &data, &len),
                                         0);
                        if (piece == 1)
                                len = ZL_MIN(len, (size_t)200000); /* slow, and shows enough */
                        for (size_t i = 0; i < len; i += piece)
                                assert_int_equal(
                                        zl_inflate_feed(z, data + i, ZL_MIN(piece, len - i), NULL),
                                        0);
                        if (piece > 1) {
                                assert_int_equal(zl_inflate_finish(z, NULL), 0);
                                assert_int_equal(zl_tar_reader_finish(tar, NULL), 0);
                                assert_int_equal(seen.entries, seen.ends);
                                if (!first.entries)
                                        first = seen;
                                assert_memory_equal(&first, &seen, sizeof seen);
                        }
                        zl_inflate_free(z);
                        zl_tar_reader_free(tar);
                }
}

static int swallow(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        (void)data;
        (void)err;
        *(uint64_t *)ctx += len;
        return 0;
}

static void test_damaged_streams(void **state)
{
        static const char *const files[] = { "a.tar.gz", "a.tar.zst" };
        const struct place *p = *state;

        for (size_t f = 0; f < ZL_ARRAY_SIZE(files); f++)
                for (int cut = 0; cut < 2; cut++) {
                        uint64_t total = 0;
                        struct zl_inflate *z = zl_inflate_new(swallow, &total);
                        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                        _cleanup_free_ char *data = NULL;
                        size_t len;
                        int r;

                        assert_int_equal(zl_read_file_at(p->fd, files[f], 64 << 20, &data, &len),
                                         0);
                        if (cut)
                                len -= 9;
                        else
                                data[len / 2] ^= 0x55;
                        r = zl_inflate_feed(z, data, len, &err);
                        if (r >= 0)
                                r = zl_inflate_finish(z, &err);
                        assert_true(r < 0);
                        assert_int_equal(err.code, ZL_E_CORRUPT);
                        zl_inflate_free(z);
                }
}

/* Where an archive may stop: only behind all the bytes of an entry. */
static void test_where_it_stops(void **state)
{
        static const struct zl_tar_handler handler = { on_entry, on_data, on_end, on_raw };
        static const struct {
                size_t len;
                bool whole;
        } cases[] = {
                { 10240, true },          /* with zero blocks */
                { 3 * 512 + 1024, true }, /* without them */
                { 3 * 512 + 700, true },  /* nor all padding */
                { 3 * 512 + 513, true },  /* umoci: nor any */
                { 3 * 512 + 512, false }, /* a byte of the file is missing */
                { 3 * 512, false },       /* its data is */
                { 2 * 512 + 100, false }, /* its header is cut */
                { 2 * 512, false },       /* it is missing behind an extended header */
                { 512 + 200, false },     { 512, false }, { 100, false }, { 0, true },
        };
        const struct place *p = *state;
        _cleanup_free_ char *data = NULL;
        size_t len;

        run(p,
            "printf %513s x >513 && tar --format=posix --pax-option=exthdr.name=x,comment:=c -cf e.tar 513");
        assert_int_equal(zl_read_file_at(p->fd, "e.tar", 1 << 20, &data, &len), 0);
        assert_int_equal(len, 10240);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                struct seen seen = { 0 };
                struct zl_tar_reader *tar = zl_tar_reader_new(&handler, &seen);

                assert_int_equal(zl_tar_reader_feed(tar, data, cases[i].len, NULL), 0);
                if ((zl_tar_reader_finish(tar, &err) >= 0) != cases[i].whole)
                        fail_msg("%zu bytes: %s", cases[i].len, zl_error_message(&err));
                if (cases[i].whole && cases[i].len)
                        assert_int_equal(seen.bytes, 513);
                zl_tar_reader_free(tar);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_formats),        cmocka_unit_test(test_whiteouts),
                cmocka_unit_test(test_save),           cmocka_unit_test(test_limits),
                cmocka_unit_test(test_pieces),         cmocka_unit_test(test_damaged_streams),
                cmocka_unit_test(test_where_it_stops),
        };

        if (geteuid() != 0) {
                fprintf(stderr, "needs root for owners and devices\n");
                return 77;
        }
        return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
