/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes: names, users that keep them, removal, anonymous ones. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/strv.h"
#include "runtimes/volume.h"

static char root[] = "/tmp/zl-unit-volume-XXXXXX";
static struct zl_volumes *volumes;

static int setup(void **state)
{
        strcpy(root, "/tmp/zl-unit-volume-XXXXXX");
        return mkdtemp(root) && zl_volumes_open(root, &volumes, NULL) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
        zl_volumes_close(volumes);
        return zl_rm_rf_at(AT_FDCWD, root);
}

static void test_names(void **state)
{
        static const char *const good[] = { "a", "data", "shop.data", "A1_b-c", "0" };
        static const char *const bad[] = { "",   ".",   "..",    "a.b.c", "a.",   ".a",  "a/b",
                                           "-a", "a b", "_anon", "ä",     "a.-b", "a\n", "a..b" };
        const struct zl_ident shop = { "shop", "db", 1 }, run = { "run", "db", 1 };
        const struct zl_ident kept = { "run-db", "db", 1 }, other = { "run-db", "web", 1 };
        char *full = NULL;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++)
                assert_true(zl_volume_name_is_valid(good[i]));
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_false(zl_volume_name_is_valid(bad[i]));
        /* Two deployments never share by accident, and none can reach into another. */
        assert_int_equal(zl_volume_full_name(&shop, "data", &full, NULL), 0);
        assert_string_equal(full, "shop.data");
        free(full);
        full = NULL;
        assert_int_equal(zl_volume_full_name(&run, "data", &full, NULL), 0);
        assert_string_equal(full, "data");
        free(full);
        full = NULL;
        assert_int_equal(zl_volume_full_name(&kept, "data", &full, NULL), 0);
        assert_string_equal(full, "data");
        free(full);
        full = NULL;
        assert_int_equal(zl_volume_full_name(&other, "data", &full, NULL), 0);
        assert_string_equal(full, "run-db.data");
        free(full);
        full = NULL;
        assert_int_equal(zl_volume_full_name(&run, "shop.data", &full, NULL), -EINVAL);
        assert_null(full);
}

static void test_create(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_volume_info info;

        assert_int_equal(zl_volume_create(volumes, "data", NULL), 0);
        assert_true(zl_volume_create(volumes, "data", &err) < 0);
        assert_int_equal(err.code, ZL_E_EXISTS);
        assert_int_equal(zl_volume_inspect(volumes, "data", &info, NULL), 0);
        assert_string_equal(info.name, "data");
        assert_true(info.created_at > 0);
        assert_null(info.users);
        assert_int_equal(access(info.path, W_OK), 0);
        zl_volume_info_done(&info);
        assert_int_equal(zl_volume_remove(volumes, "data", NULL), 0);
        assert_int_equal(zl_volume_remove(volumes, "data", NULL), -ENOENT);
        assert_int_equal(zl_volume_inspect(volumes, "data", &info, NULL), -ENOENT);
}

static void test_users(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        char *path = NULL, *again = NULL;
        bool fresh = false;

        assert_int_equal(zl_volume_attach(volumes, "data", "shop.web.1", &path, &fresh, NULL), 0);
        assert_true(fresh);
        assert_int_equal(zl_volume_attach(volumes, "data", "shop.web.2", &again, &fresh, NULL), 0);
        assert_false(fresh); /* somebody else may be filling it */
        assert_string_equal(path, again);
        assert_true(zl_volume_remove(volumes, "data", &err) < 0);
        assert_int_equal(err.code, ZL_E_BUSY);
        assert_non_null(strstr(err.message, "shop.web.1, shop.web.2"));
        assert_int_equal(zl_volume_detach(volumes, "data", "shop.web.1", NULL), 0);
        assert_int_equal(zl_volume_detach(volumes, "data", "shop.web.1", NULL), 0);
        assert_int_equal(zl_volume_detach_all(volumes, "shop.web.2", NULL), 0);
        free(again);
        /* Content, also hidden, makes a volume used before. */
        again = NULL;
        assert_true(asprintf(&again, "%s/.hidden", path) > 0);
        close(open(again, O_CREAT | O_WRONLY, 0600));
        free(path);
        free(again);
        assert_int_equal(zl_volume_attach(volumes, "data", "shop.web.3", &path, &fresh, NULL), 0);
        assert_false(fresh);
        free(path);
        assert_int_equal(zl_volume_detach(volumes, "data", "shop.web.3", NULL), 0);
        assert_int_equal(zl_volume_remove(volumes, "data", NULL), 0);
}

static void test_list_and_prune(void **state)
{
        struct zl_volume_info *infos;
        _cleanup_strv_ char **names = NULL;
        char *path;
        size_t n;
        bool fresh;
        uint64_t bytes = 0;

        zl_volume_create(volumes, "b", NULL);
        zl_volume_create(volumes, "a", NULL);
        zl_volume_attach(volumes, "shop.c", "shop.web.1", &path, &fresh, NULL);
        free(path);
        zl_volume_make_anonymous(volumes, "gone.web.1", 0, &path, &fresh, NULL);
        free(path);
        assert_int_equal(zl_volume_list(volumes, &infos, &n, NULL), 0);
        assert_int_equal(n, 3);
        assert_string_equal(infos[0].name, "a");
        assert_string_equal(infos[2].name, "shop.c");
        assert_string_equal(infos[2].users[0], "shop.web.1");
        zl_volume_info_free(infos, n);
        assert_int_equal(zl_volume_prune(volumes, "/nonexistent", &names, &bytes, NULL), 0);
        assert_int_equal(zl_strv_len(names), 3);
        assert_true(zl_strv_contains(names, "_anon/gone.web.1"));
        assert_false(zl_strv_contains(names, "shop.c"));
        assert_int_equal(zl_volume_list(volumes, &infos, &n, NULL), 0);
        assert_int_equal(n, 1);
        zl_volume_info_free(infos, n);
}

static void test_anonymous(void **state)
{
        char *first = NULL, *again = NULL;
        bool fresh;

        assert_int_equal(zl_volume_make_anonymous(volumes, "run.x.1", 0, &first, &fresh, NULL), 0);
        assert_true(fresh);
        assert_int_equal(access(first, W_OK), 0);
        assert_int_equal(zl_volume_make_anonymous(volumes, "run.x.1", 1, &again, &fresh, NULL), 0);
        assert_string_not_equal(first, again);
        assert_int_equal(zl_volume_remove_anonymous(volumes, "run.x.1", NULL), 0);
        assert_int_equal(zl_volume_remove_anonymous(volumes, "run.x.1", NULL), 0);
        assert_int_equal(access(first, F_OK), -1);
        free(first);
        free(again);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test_setup_teardown(test_create, setup, teardown),
                cmocka_unit_test_setup_teardown(test_users, setup, teardown),
                cmocka_unit_test_setup_teardown(test_list_and_prune, setup, teardown),
                cmocka_unit_test_setup_teardown(test_anonymous, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
