/* SPDX-License-Identifier: Apache-2.0 */
/* The door: arguments are checked before any backend sees them, and what a backend lacks has one answer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/strv.h"
#include "runtimes/runtime.h"

static struct zl_runtime_ops none = { .kind = ZL_RUNTIME_WASM };
static struct zl_runtime bare = { .ops = &none };

static void check_code(int r, struct zl_error *err, enum zl_code code)
{
        assert_true(r < 0);
        assert_int_equal(err->code, code);
        zl_error_done(err);
}

static void test_unsupported(void **state)
{
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_update update = ZL_UPDATE_INIT;
        const struct zl_commit_options commit = { .image = "x" };
        struct zl_image_info *images;
        struct zl_file_stat stat;
        struct zl_change *changes;
        struct zl_status status;
        struct zl_watch *watch;
        struct zl_top top;
        char *text;
        size_t n;

        check_code(zl_runtime_image_list(&bare, &images, &n, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_image_inspect(&bare, "x", &text, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_image_history(&bare, "x", &text, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_image_search(&bare, "x", 1, &text, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_image_tag(&bare, "x", "y", &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_image_remove(&bare, "x", false, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_image_prune(&bare, false, NULL, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_image_save(&bare, "x", 1, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_image_load(&bare, "/x", NULL, NULL, NULL, &err), &err,
                   ZL_E_UNSUPPORTED);
        check_code(zl_runtime_rename(&bare, "a.b.1", "a.b.2", &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_prune(&bare, NULL, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_watch_open_all(&bare, &watch, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_wait_for(&bare, "a.b.1", ZL_WAIT_REMOVED, 0, &status, &err), &err,
                   ZL_E_UNSUPPORTED);
        check_code(zl_runtime_update(&bare, "a.b.1", &update, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_top(&bare, "a.b.1", NULL, &top, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_archive_head(&bare, "a.b.1", "/", &stat, &err), &err,
                   ZL_E_UNSUPPORTED);
        check_code(zl_runtime_archive_get(&bare, "a.b.1", "/", 1, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_archive_put(&bare, "a.b.1", "/", 1, 0, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_export(&bare, "a.b.1", 1, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_changes(&bare, "a.b.1", &changes, &n, &err), &err, ZL_E_UNSUPPORTED);
        check_code(zl_runtime_commit(&bare, "a.b.1", &commit, NULL, &err), &err, ZL_E_UNSUPPORTED);
        assert_false(zl_runtime_can(&bare, "pull"));
}

static int never(struct zl_runtime *rt, const char *name, const char *path, int fd,
                 struct zl_error *err)
{
        fail_msg("%s reached the backend", path);
        return 0;
}

static int never_rename(struct zl_runtime *rt, const char *name, const char *new_name,
                        struct zl_error *err)
{
        fail_msg("%s reached the backend", name);
        return 0;
}

static void test_arguments(void **state)
{
        struct zl_runtime_ops ops = { .archive_get = never, .rename = never_rename };
        struct zl_runtime rt = { .ops = &ops };
        struct zl_error err = ZL_ERROR_INIT;

        check_code(zl_runtime_archive_get(&rt, "a.b.1", "etc", 1, &err), &err, ZL_E_INVALID);
        check_code(zl_runtime_archive_get(&rt, "../b.1", "/etc", 1, &err), &err, ZL_E_INVALID);
        check_code(zl_runtime_rename(&rt, "a.b.1", "a/b.c.1", &err), &err, ZL_E_INVALID);
        check_code(zl_runtime_image_remove(&rt, "", false, &err), &err, ZL_E_INVALID);
}

static void test_operations(void **state)
{
        struct zl_runtime_ops ops = { .archive_get = never };
        struct zl_runtime rt = { .ops = &ops };
        const char *name;
        size_t n = 0, has = 0;

        for (; (name = zl_runtime_operation_name(n)); n++) {
                has += zl_runtime_can(&rt, name);
                for (size_t k = 0; k < n; k++)
                        assert_string_not_equal(name, zl_runtime_operation_name(k));
        }
        assert_in_range(n, 30, 60);
        assert_int_equal(has, 1);
        assert_true(zl_runtime_can(&rt, "archive_get"));
        assert_false(zl_runtime_can(&rt, "no such thing"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_unsupported),
                cmocka_unit_test(test_arguments),
                cmocka_unit_test(test_operations),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
