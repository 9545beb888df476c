/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a WebAssembly instance: what is written to a command line is what is read from it. */
#include "support.h"

#include "base/strv.h"
#include "wasm/options.h"

static void round_trip(void **state)
{
        _cleanup_wasm_options_ struct zl_wasm_options in = { .memory_max = UINT64_MAX,
                                                             .fuel = 7,
                                                             .epoch_nsec = 10000000,
                                                             .epoch_deadline = 3,
                                                             .timeout_nsec = INT64_MAX,
                                                             .ready = 3,
                                                             .http = true,
                                                             .no_env = true };
        _cleanup_wasm_options_ struct zl_wasm_options out = { 0 };
        _cleanup_strv_ char **argv = NULL;

        in.module = strdup("/a module=x");
        in.argv0 = strdup("--name=");
        in.reason = strdup("");
        assert_int_equal(zl_strv_push(&in.args, "--dir=ro"), 0);
        assert_int_equal(zl_strv_push(&in.args, "--"), 0);
        assert_int_equal(zl_strv_push(&in.args, ""), 0);
        assert_int_equal(zl_wasm_options_add_dir(&in, "/a:1:2", "/b:ro", true), 0);
        assert_int_equal(zl_wasm_options_add_dir(&in, "/", "", false), 0);
        assert_int_equal(zl_wasm_options_to_argv(&in, &argv), 0);
        assert_int_equal(zl_wasm_options_from_argv(argv, &out, NULL), 0);
        assert_string_equal(out.module, in.module);
        assert_string_equal(out.argv0, in.argv0);
        assert_string_equal(out.reason, "");
        assert_null(out.compiled);
        assert_true(out.memory_max == in.memory_max && out.fuel == 7 && out.epoch_deadline == 3);
        assert_true(out.epoch_nsec == in.epoch_nsec && out.timeout_nsec == INT64_MAX);
        assert_int_equal(out.ready, 3);
        assert_true(out.http && out.no_env && !out.network && !out.no_args && !out.no_home);
        assert_int_equal(zl_strv_len(out.args), 3);
        assert_string_equal(out.args[0], "--dir=ro");
        assert_string_equal(out.args[1], "--");
        assert_int_equal(out.n_dirs, 2);
        assert_string_equal(out.dirs[0].host, "/a:1:2");
        assert_string_equal(out.dirs[0].guest, "/b:ro");
        assert_true(out.dirs[0].readonly && !out.dirs[1].readonly);
        assert_string_equal(out.dirs[1].guest, "");
}

static void refused(void **state)
{
        static const char *const bad[] = {
                "module",
                "--unknown=1",
                "--http=yes",
                "--fuel",
                "--fuel=x",
                "--fuel=-1",
                "--argv0",
                "--dir",
                "--dir=/a:/b",
                "--dir=ro:1:",
                "--dir=rw:9:9:/a/b",
                "--dir=xx:2:2:/a/b",
                "--timeout=1s",
                "--dir=rw:18446744073709551615:5:/a/b",
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                char *argv[] = { (char *)(uintptr_t)bad[i], (char *)(uintptr_t) "--",
                                 (char *)(uintptr_t) "m", NULL };
                _cleanup_wasm_options_ struct zl_wasm_options out = { 0 };
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                if (zl_wasm_options_from_argv(argv, &out, &err) != -EINVAL)
                        fail_msg("%s is taken", bad[i]);
                assert_non_null(strstr(zl_error_message(&err), bad[i]));
        }
}

static void no_module(void **state)
{
        char *argv[] = { (char *)(uintptr_t) "--http", (char *)(uintptr_t) "--", NULL };
        _cleanup_wasm_options_ struct zl_wasm_options out = { 0 };

        assert_int_equal(zl_wasm_options_from_argv(argv, &out, NULL), -EINVAL);
        assert_int_equal(zl_wasm_options_from_argv(argv + 2, &out, NULL), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(round_trip),
                cmocka_unit_test(refused),
                cmocka_unit_test(no_module),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
