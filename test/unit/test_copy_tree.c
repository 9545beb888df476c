/* SPDX-License-Identifier: Apache-2.0 */
/* Copy-up: what a volume gets of an image. Merging layers needs root; a single layer does not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "runtimes/copy_tree.h"

static char root[64];
static char low[80], high[80];
static int to;

static int setup(void **state)
{
        strcpy(root, "/tmp/zl-unit-copy-XXXXXX");
        if (!mkdtemp(root))
                return -1;
        snprintf(low, sizeof(low), "%s/low", root);
        snprintf(high, sizeof(high), "%s/high", root);
        zl_mkdir_p_at(AT_FDCWD, low, 0755);
        zl_mkdir_p_at(AT_FDCWD, high, 0755);
        to = zl_open_dir_at(AT_FDCWD, root, 0, NULL);
        zl_mkdir_p_at(to, "to", 0755);
        zl_close(to);
        to = openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY);
        to = openat(to, "to", O_RDONLY | O_DIRECTORY);
        return to < 0 ? -1 : 0;
}

static int teardown(void **state)
{
        zl_close(to);
        return zl_rm_rf_at(AT_FDCWD, root);
}

static void put(const char *layer, const char *path, const char *text)
{
        char full[256];

        snprintf(full, sizeof(full), "%s/%s", layer, path);
        assert_int_equal(zl_write_file_at(AT_FDCWD, full, text, strlen(text), 0640, 0), 0);
}

static void make_dir(const char *layer, const char *path)
{
        char full[256];

        snprintf(full, sizeof(full), "%s/%s", layer, path);
        assert_int_equal(zl_mkdir_p_at(AT_FDCWD, full, 0755), 0);
}

static void assert_content(const char *path, const char *expected)
{
        _cleanup_free_ char *text = NULL;

        assert_int_equal(zl_read_file_at(to, path, 4096, &text, NULL), 0);
        assert_string_equal(text, expected);
}

static void test_one_layer(void **state)
{
        char *const layers[] = { low, NULL };
        char full[256], link[64] = "";
        struct stat a, b;

        make_dir(low, "data/sub/deep");
        put(low, "data/file", "hello");
        put(low, "data/.hidden", "x");
        put(low, "data/sub/deep/f", "deep");
        snprintf(full, sizeof(full), "%s/data/link", low);
        assert_int_equal(symlink("/etc/passwd", full), 0);
        snprintf(full, sizeof(full), "%s/data/sub/second", low);
        {
                char first[256];

                snprintf(first, sizeof(first), "%s/data/file", low);
                assert_int_equal(linkat(AT_FDCWD, first, AT_FDCWD, full, 0), 0);
        }
        snprintf(full, sizeof(full), "%s/data", low);
        assert_int_equal(chmod(full, 01755), 0);
        assert_int_equal(zl_copy_up(layers, "/data", to, NULL), 0);
        assert_content("file", "hello");
        assert_content(".hidden", "x");
        assert_content("sub/deep/f", "deep");
        assert_true(readlinkat(to, "link", link, sizeof(link) - 1) > 0);
        assert_string_equal(link, "/etc/passwd");
        assert_int_equal(fstat(to, &a), 0);
        assert_int_equal(a.st_mode & 07777, 01755);
        assert_int_equal(fstatat(to, "file", &a, 0), 0);
        assert_int_equal(fstatat(to, "sub/second", &b, 0), 0);
        assert_int_equal(a.st_mode & 07777, 0640);
        assert_int_equal(a.st_ino, b.st_ino); /* still one file with two names */
}

static void test_nothing_there(void **state)
{
        char *const layers[] = { low, NULL };

        put(low, "file", "x");
        assert_int_equal(zl_copy_up(layers, "/missing", to, NULL), 0);
        assert_int_equal(zl_copy_up(layers, "/file", to, NULL), 0);
        assert_int_equal(faccessat(to, "file", F_OK, 0), -1);
}

/* A link of the image means a place in the image, never one of the host. */
static void test_links_stay_inside(void **state)
{
        char *const layers[] = { low, NULL };
        char full[256];

        make_dir(low, "real");
        put(low, "real/f", "inside");
        snprintf(full, sizeof(full), "%s/data", low);
        assert_int_equal(symlink("/../../real", full), 0);
        assert_int_equal(zl_copy_up(layers, "/data", to, NULL), 0);
        assert_content("f", "inside");
}

static void test_layers(void **state)
{
        char *const layers[] = { low, high, NULL };
        char full[256];

        if (geteuid() != 0)
                skip(); /* merging layers needs root */
        make_dir(low, "data");
        make_dir(high, "data");
        put(low, "data/a", "low");
        put(low, "data/b", "low");
        put(low, "data/gone", "low");
        put(high, "data/b", "high");
        snprintf(full, sizeof(full), "%s/data/gone", high);
        assert_int_equal(mknod(full, S_IFCHR, makedev(0, 0)), 0);
        assert_int_equal(zl_copy_up(layers, "/data", to, NULL), 0);
        assert_content("a", "low");
        assert_content("b", "high");
        assert_int_equal(faccessat(to, "gone", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_one_layer, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nothing_there, setup, teardown),
                cmocka_unit_test_setup_teardown(test_links_stay_inside, setup, teardown),
                cmocka_unit_test_setup_teardown(test_layers, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
