/* SPDX-License-Identifier: Apache-2.0 */
/* Names of workloads: the grammar keeps everything out that means something in a path. */
#include "support.h"

#include "base/ident.h"
#include "base/macro.h"

static void judges_parts(void **state)
{
        static const char *const good[] = { "a", "A1", "web-1", "a_b", "0x" };
        static const char *const bad[] = { "",   "-a", "_a",  "a.b", "a/b",
                                           "..", ".",  "a b", "ä",   "a\n" };
        char part[65];

        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++)
                assert_true(zl_ident_part_is_valid(good[i]));
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_false(zl_ident_part_is_valid(bad[i]));
        memset(part, 'x', sizeof part);
        part[64] = 0;
        assert_false(zl_ident_part_is_valid(part));
        part[63] = 0;
        assert_true(zl_ident_part_is_valid(part));
}

static void names_read_back(void **state)
{
        struct zl_ident a, b;
        char part[64], name[ZL_IDENT_NAME_MAX];

        memset(part, 'x', 63);
        part[63] = 0;
        assert_int_equal(zl_ident_make(&a, part, part, UINT32_MAX, NULL), 0);
        assert_int_equal(strlen(zl_ident_name(&a, name)), 63 + 1 + 63 + 1 + 10);
        assert_int_equal(zl_ident_parse(name, &b), 0);
        assert_true(zl_ident_equal(&a, &b));
        assert_int_equal(zl_ident_parse("app.web.2", &b), 0);
        assert_string_equal(b.deployment, "app");
        assert_string_equal(b.service, "web");
        assert_int_equal(b.replica, 2);
        assert_false(zl_ident_equal(&a, &b));
}

static void refuses_other_names(void **state)
{
        static const char *const bad[] = {
                "",    "a",    "a.b",  "a.b.",    "a.b.0",  "a.b.01",  "a.b.-1",          "a.b.1.2",
                "..1", "a..1", ".b.1", "a/b.c.1", "a.b.1 ", "a.b.1\n", "a.b.99999999999", "../a.b.1"
        };
        struct zl_ident id;
        char long_name[300];

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                if (zl_ident_parse(bad[i], &id) != -EINVAL)
                        fail_msg("\"%s\" is taken", bad[i]);
        memset(long_name, 'x', sizeof long_name);
        long_name[299] = 0;
        assert_int_equal(zl_ident_parse(long_name, &id), -EINVAL);
}

static void errors_name_the_part(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_ident id;

        assert_int_equal(zl_ident_make(&id, "app", "we/b", 1, &err), -EINVAL);
        assert_int_equal(err.code, ZL_E_INVALID);
        assert_non_null(strstr(err.message, "we/b"));
        assert_non_null(err.hint);
        assert_int_equal(zl_ident_make(&id, "..", "web", 1, &err), -EINVAL);
        assert_non_null(strstr(err.message, "deployment"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(judges_parts),
                cmocka_unit_test(names_read_back),
                cmocka_unit_test(refuses_other_names),
                cmocka_unit_test(errors_name_the_part),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
