/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tar writer writes, the tar reader reads back as it was: names, numbers and attributes of every size. And trees.
 */
#include "support.h"

#include "base/buf.h"
#include "image/tar_writer.h"
#include "runtimes/tar_tree.h"

struct seen {
        struct zl_buf text; /* "TYPE NAME LINK SIZE MODE UID GID XATTRS\n" and the data */
        bool short_form;
};

static int sink(void *ctx, const void *data, size_t len, struct zl_error *err)
{
        return zl_buf_put(ctx, data, len) < 0 ? zl_fail_oom(err) : 0;
}

static int on_entry(void *ctx, const struct zl_tar_entry *e, struct zl_error *err _unused_)
{
        struct seen *s = ctx;

        zl_buf_putf(&s->text, "%c %s", e->type, e->path);
        if (*e->link)
                zl_buf_putf(&s->text, " > %s", e->link);
        if (!s->short_form)
                zl_buf_putf(&s->text, " %llu %o %u:%u %u,%u %lld", (unsigned long long)e->size,
                            e->mode, e->uid, e->gid, e->major, e->minor, (long long)e->mtime);
        for (size_t i = 0; i < e->n_xattrs; i++)
                zl_buf_putf(&s->text, " %s=%.*s", e->xattrs[i].name, (int)e->xattrs[i].len,
                            e->xattrs[i].value);
        zl_buf_puts(&s->text, "\n");
        return 0;
}

static int on_data(void *ctx, uint64_t offset, const void *data, size_t len,
                   struct zl_error *err _unused_)
{
        struct seen *s = ctx;

        if (offset == 0)
                zl_buf_putf(&s->text, "[%.*s]\n", (int)(len < 40 ? len : 40), (const char *)data);
        return 0;
}

static int on_end(void *ctx _unused_, struct zl_error *err _unused_)
{
        return 0;
}

static void read_back(const struct zl_buf *archive, struct seen *seen)
{
        static const struct zl_tar_handler handler = { on_entry, on_data, on_end, NULL };
        struct zl_tar_reader *reader = zl_tar_reader_new(&handler, seen);
        struct zl_error err = ZL_ERROR_INIT;

        assert_non_null(reader);
        for (size_t i = 0; i < archive->len; i += 512)
                assert_int_equal(zl_tar_reader_feed(reader, archive->data + i, 512, &err), 0);
        assert_int_equal(zl_tar_reader_finish(reader, &err), 0);
        zl_tar_reader_free(reader);
}

static void test_entries(void **state _unused_)
{
        char long_name[301], long_link[201];
        struct zl_tar_xattr xattrs[] = { { (char *)"user.a", (char *)"b=c\n", 4 } };
        struct zl_tar_entry entries[] = {
                { .type = '0',
                  .path = "short",
                  .link = "",
                  .size = 5,
                  .mode = 04755,
                  .uid = 1,
                  .gid = 2,
                  .mtime = 1234567890 },
                { .type = '5',
                  .path = "dir/",
                  .link = "",
                  .mode = 0700,
                  .xattrs = xattrs,
                  .n_xattrs = 1 },
                { .type = '0',
                  .path = long_name,
                  .link = "",
                  .size = 512,
                  .mode = 0644,
                  .uid = 3000000,
                  .gid = UINT32_MAX - 1 },
                { .type = '2', .path = "link", .link = long_link, .mode = 0777 },
                { .type = '3', .path = "null", .link = "", .mode = 0666, .major = 1, .minor = 3 },
        };
        struct zl_buf archive = ZL_BUF_INIT(1 << 20), want = ZL_BUF_INIT(1 << 20);
        struct seen seen = { .text = ZL_BUF_INIT(1 << 20) };
        struct zl_tar_writer *w = zl_tar_writer_new(sink, &archive);
        struct zl_error err = ZL_ERROR_INIT;
        char block[512];

        memset(long_name, 'n', 300);
        memset(long_link, 'l', 200);
        long_name[300] = long_link[200] = 0;
        memset(block, 'x', sizeof block);
        assert_non_null(w);
        for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
                assert_int_equal(zl_tar_writer_entry(w, &entries[i], &err), 0);
                if (entries[i].size)
                        assert_int_equal(zl_tar_writer_data(w, block, entries[i].size, &err), 0);
        }
        assert_true(zl_tar_writer_data(w, "y", 1, &err) < 0); /* more than the entry says */
        zl_error_done(&err);
        assert_int_equal(zl_tar_writer_finish(w, &err), 0);
        assert_int_equal(archive.len % 512, 0);
        read_back(&archive, &seen);
        zl_buf_putf(&want,
                    "0 short 5 4755 1:2 0,0 1234567890\n[xxxxx]\n"
                    "5 dir/ 0 700 0:0 0,0 0 user.a=b=c\n\n"
                    "0 %s 512 644 3000000:%u 0,0 0\n[%.40s]\n"
                    "2 link > %s 0 777 0:0 0,0 0\n"
                    "3 null 0 666 0:0 1,3 0\n",
                    long_name, UINT32_MAX - 1, block, long_link);
        assert_string_equal(seen.text.data, want.data);
        zl_tar_writer_free(w);
        zl_buf_done(&archive);
        zl_buf_done(&want);
        zl_buf_done(&seen.text);
}

/* Names once, hard links as such, nothing followed. */
static void test_tree(void **state)
{
        struct zl_buf archive = ZL_BUF_INIT(1 << 20);
        struct seen seen = { .text = ZL_BUF_INIT(1 << 20), .short_form = true };
        struct zl_tar_writer *w = zl_tar_writer_new(sink, &archive);
        int dir = ((struct place *)*state)->fd;
        struct zl_error err = ZL_ERROR_INIT;

        assert_non_null(w);
        assert_int_equal(mkdirat(dir, "a", 0755), 0);
        put_file(dir, "a/file", "text");
        assert_int_equal(symlinkat("/etc/passwd", dir, "out"), 0);
        assert_int_equal(zl_tar_tree(w, dir, "a", "named", 0, &err), 0);
        assert_int_equal(linkat(dir, "a/file", dir, "a/second", 0), 0);
        assert_int_equal(zl_tar_tree(w, dir, "a", "", 0, &err), 0);
        assert_int_equal(zl_tar_tree(w, dir, "out", "out", 0, &err), 0);
        assert_int_equal(zl_tar_tree(w, dir, "nothing", "x", 0, &err), 0);
        assert_int_equal(zl_tar_writer_finish(w, &err), 0);
        read_back(&archive, &seen);
        assert_non_null(strstr(seen.text.data, "5 named/\n0 named/file\n[text]\n"));
        assert_true(strstr(seen.text.data, "0 file\n[text]\n1 second > file\n") ||
                    strstr(seen.text.data, "0 second\n[text]\n1 file > second\n"));
        assert_non_null(strstr(seen.text.data, "2 out > /etc/passwd\n"));
        zl_tar_writer_free(w);
        zl_buf_done(&archive);
        zl_buf_done(&seen.text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_entries),
                cmocka_unit_test_setup_teardown(test_tree, place_setup, place_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
