/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of runtimes: names, defaults from the environment, and what "auto" says when nothing works. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "runtimes/select.h"

static void test_kinds(void **state)
{
        static const struct {
                const char *text;
                enum zl_runtime_kind kind;
        } good[] = { { "auto", ZL_RUNTIME_AUTO },        { "native", ZL_RUNTIME_NATIVE },
                     { "youki", ZL_RUNTIME_NATIVE },     { "docker", ZL_RUNTIME_DOCKER },
                     { "wasm", ZL_RUNTIME_WASM },        { "libkrun-vm", ZL_RUNTIME_LIBKRUN_VM },
                     { "oci:crun", ZL_RUNTIME_OCI },     { "mock", ZL_RUNTIME_MOCK },
                     { "seatbelt", ZL_RUNTIME_SEATBELT } };
        static const char *const bad[] = { "", "oci", "oci:", "Native", "native ", "podman" };
        enum zl_runtime_kind kind;
        const char *oci;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                assert_int_equal(zl_runtime_kind_parse(good[i].text, &kind, &oci), 0);
                assert_int_equal(kind, good[i].kind);
        }
        assert_int_equal(zl_runtime_kind_parse("oci:crun", &kind, &oci), 0);
        assert_string_equal(oci, "crun");
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_int_equal(zl_runtime_kind_parse(bad[i], &kind, NULL), -EINVAL);
        /* every name can be read back */
        for (int k = 0; k < ZL_RUNTIME_KIND_MAX_; k++) {
                const char *name = zl_runtime_kind_name((enum zl_runtime_kind)k);

                if (k == ZL_RUNTIME_OCI)
                        continue;
                assert_int_equal(zl_runtime_kind_parse(name, &kind, NULL), 0);
                assert_int_equal(kind, k);
        }
}

static void test_settings(void **state)
{
        struct zl_runtime_options options = { .runtime_dir = "relative//x/../y" };
        struct zl_runtime_settings s;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        setenv("ZLAYER_ROOT_DIR", "/somewhere/else/", 1);
        setenv("ZLAYER_RUNTIME_DIR", "/not/this", 1);
        setenv("ZLAYER_USE_SYSTEMD", "1", 1);
        assert_int_equal(zl_runtime_settings_make(&options, &s, NULL), 0);
        assert_string_equal(s.root_dir, "/somewhere/else");
        assert_int_equal(s.runtime_dir[0], '/');
        assert_non_null(strstr(s.runtime_dir, "/relative/y"));
        assert_true(s.systemd_cgroup);
        zl_runtime_settings_done(&s);
        setenv("ZLAYER_USE_SYSTEMD", "perhaps", 1);
        assert_true(zl_runtime_settings_make(NULL, &s, &err) < 0);
        assert_int_equal(err.code, ZL_E_CONFIGURATION);
        unsetenv("ZLAYER_ROOT_DIR");
        unsetenv("ZLAYER_RUNTIME_DIR");
        unsetenv("ZLAYER_USE_SYSTEMD");
        assert_int_equal(zl_runtime_settings_make(NULL, &s, NULL), 0);
        assert_string_equal(s.root_dir, "/var/lib/zlayer");
        assert_false(s.systemd_cgroup);
        zl_runtime_settings_done(&s);
}

static void test_auto_explains(void **state)
{
        const struct zl_runtime_options options = { .monitor_path = "/no/such/monitor",
                                                    .docker_host = "unix:///no/such/socket" };
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_runtime *rt = NULL;

        assert_true(zl_runtime_new(ZL_RUNTIME_AUTO, &options, &rt, &err) < 0);
        assert_null(rt);
        assert_int_equal(err.code, ZL_E_CONFIGURATION);
        assert_non_null(strstr(err.message, "native: "));
        assert_non_null(strstr(err.message, "docker: "));
}

static void test_not_built(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_runtime *rt = NULL;

        assert_true(zl_runtime_new(ZL_RUNTIME_HCS, NULL, &rt, &err) < 0);
        assert_int_equal(err.code, ZL_E_CONFIGURATION);
        assert_non_null(strstr(err.message, "hcs"));
        assert_non_null(strstr(err.message, "not part of this build"));
}

static void test_probe(void **state)
{
        struct zl_runtime_info *infos;
        bool mock = false;
        size_t n;

        assert_int_equal(zl_runtime_probe(NULL, &infos, &n, NULL), 0);
        assert_int_equal(n, ZL_RUNTIME_KIND_MAX_ - 1); /* all but auto */
        assert_int_equal(infos[0].kind, ZL_RUNTIME_NATIVE);
        for (size_t i = 0; i < n; i++) {
                assert_non_null(infos[i].detail);
                assert_true(infos[i].built || !infos[i].available);
                mock = mock || (infos[i].kind == ZL_RUNTIME_MOCK && infos[i].available);
        }
        assert_true(mock);
        zl_runtime_info_free(infos, n);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),         cmocka_unit_test(test_settings),
                cmocka_unit_test(test_auto_explains), cmocka_unit_test(test_not_built),
                cmocka_unit_test(test_probe),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
