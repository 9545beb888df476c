/* SPDX-License-Identifier: Apache-2.0 */
/* The strict readers: what they take, what they refuse, and that a refused text changes nothing. */
#include "support.h"

#include <signal.h>

#include "base/macro.h"
#include "base/parse.h"

static void unsigned_numbers(void **state)
{
        uint64_t v = 7;
        uint32_t w = 7;

        assert_int_equal(zl_parse_u64("0", 10, &v), 0);
        assert_int_equal(v, 0);
        assert_int_equal(zl_parse_u64("18446744073709551615", 10, &v), 0);
        assert_true(v == UINT64_MAX);
        v = 7;
        assert_int_equal(zl_parse_u64("18446744073709551616", 10, &v), -ERANGE);
        static const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "1x", "0x10", "1_0", "１" };
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_int_equal(zl_parse_u64(bad[i], 10, &v), -EINVAL);
        assert_int_equal(v, 7);
        assert_int_equal(zl_parse_u64("0x1F", 0, &v), 0);
        assert_int_equal(v, 31);
        assert_int_equal(zl_parse_u64("0o17", 0, &v), 0);
        assert_int_equal(v, 15);
        assert_int_equal(zl_parse_u64("0x", 0, &v), -EINVAL);
        assert_int_equal(zl_parse_u64("0644", 8, &v), 0);
        assert_int_equal(v, 0644);
        assert_int_equal(zl_parse_u64("8", 8, &v), -EINVAL);
        assert_int_equal(zl_parse_u32("4294967295", 10, &w), 0);
        assert_true(w == UINT32_MAX);
        w = 7;
        assert_int_equal(zl_parse_u32("4294967296", 10, &w), -ERANGE);
        assert_int_equal(w, 7);
}

static void signed_numbers(void **state)
{
        int64_t v = 7;

        assert_int_equal(zl_parse_i64("-9223372036854775808", &v), 0);
        assert_true(v == INT64_MIN);
        assert_int_equal(zl_parse_i64("9223372036854775807", &v), 0);
        assert_true(v == INT64_MAX);
        v = 7;
        assert_int_equal(zl_parse_i64("9223372036854775808", &v), -ERANGE);
        assert_int_equal(zl_parse_i64("-9223372036854775809", &v), -ERANGE);
        assert_int_equal(zl_parse_i64("--1", &v), -EINVAL);
        assert_int_equal(zl_parse_i64("-", &v), -EINVAL);
        assert_int_equal(v, 7);
        assert_int_equal(zl_parse_i64("-0", &v), 0);
        assert_int_equal(v, 0);
}

static void booleans(void **state)
{
        bool v = true;

        assert_int_equal(zl_parse_bool("Off", &v), 0);
        assert_false(v);
        assert_int_equal(zl_parse_bool("YES", &v), 0);
        assert_true(v);
        assert_int_equal(zl_parse_bool("maybe", &v), -EINVAL);
        assert_int_equal(zl_parse_bool("", &v), -EINVAL);
        assert_int_equal(zl_parse_bool("y", &v), -EINVAL);
}

static void sizes(void **state)
{
        static const struct {
                const char *text;
                uint64_t value;
        } good[] = {
                { "0", 0 },
                { "512", 512 },
                { "512B", 512 },
                { "1K", 1000 },
                { "1k", 1000 },
                { "1Ki", 1024 },
                { "1KiB", 1024 },
                { "64Mi", 64ull << 20 },
                { "2G", 2000000000 },
                { "1Ti", 1ull << 40 },
                { "16383Pi", 16383ull << 50 },
        };
        static const char *const bad[] = { "",    "K",    "1.5Gi", "-1",  "1 K", "1X",
                                           "1KK", "1KiK", "Ki1",   "1BB", "1i",  "1bK" };
        uint64_t v = 7;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_int_equal(zl_parse_size(bad[i], &v), -EINVAL);
        assert_int_equal(zl_parse_size("16384Pi", &v), -ERANGE);
        assert_int_equal(zl_parse_size("99999999999999999999", &v), -ERANGE);
        assert_int_equal(zl_parse_size("9999999999999999999999999999999", &v), -ERANGE);
        assert_int_equal(v, 7);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                assert_int_equal(zl_parse_size(good[i].text, &v), 0);
                assert_true(v == good[i].value);
        }
}

static void cpu_lists(void **state)
{
        static const char *const good[] = { "0", "0-3", "0-3,7", "1,2,3", "0-1,4-5\n" };
        static const char *const bad[] = { "",  ",",     "0,",  "-1",     "0-",  "0--1",
                                           "a", "0-1-2", "0 1", "100000", "0\n1" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++)
                assert_true(zl_is_cpu_list(good[i]));
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_false(zl_is_cpu_list(bad[i]));
}

static void signals(void **state)
{
        static const char *const bad[] = {
                "",           "0",   "65",       "-9",      "SIG",
                "SIGSIGTERM", "TER", "RTMIN+99", "RTMIN-1", "99999999999"
        };

        assert_int_equal(zl_parse_signal("SIGTERM"), SIGTERM);
        assert_int_equal(zl_parse_signal("term"), SIGTERM);
        assert_int_equal(zl_parse_signal("15"), SIGTERM);
        assert_int_equal(zl_parse_signal("SigKill"), SIGKILL);
        assert_int_equal(zl_parse_signal("IOT"), SIGABRT);
        assert_int_equal(zl_parse_signal("RTMIN"), SIGRTMIN);
        assert_int_equal(zl_parse_signal("SIGRTMIN+3"), SIGRTMIN + 3);
        assert_int_equal(zl_parse_signal("RTMAX-1"), SIGRTMAX - 1);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_int_equal(zl_parse_signal(bad[i]), -EINVAL);
        assert_string_equal(zl_signal_name(SIGABRT), "SIGABRT");
        assert_string_equal(zl_signal_name(9), "SIGKILL");
        assert_null(zl_signal_name(0));
        assert_null(zl_signal_name(1000));
        for (int sig = 1; sig < 32; sig++) /* every classic signal has a name that reads back */
                assert_int_equal(zl_parse_signal(zl_signal_name(sig)), sig);
}

static void utf8(void **state)
{
        static const char *const good[] = { "",
                                            "plain",
                                            "\xc2\x80",
                                            "\xdf\xbf",
                                            "\xe0\xa0\x80",
                                            "\xed\x9f\xbf",
                                            "\xee\x80\x80",
                                            "\xef\xbf\xbf",
                                            "\xf0\x90\x80\x80",
                                            "\xf4\x8f\xbf\xbf" };
        static const char *const bad[] = { "\x80",
                                           "\xc0\x80",
                                           "\xc1\xbf",
                                           "\xc2",
                                           "\xe0\x9f\xbf",
                                           "\xed\xa0\x80",
                                           "\xf0\x8f\xbf\xbf",
                                           "\xf4\x90\x80\x80",
                                           "\xf5\x80\x80\x80",
                                           "\xff",
                                           "a\xe2\x82",
                                           "\xe2\x28\xa1" };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++)
                assert_true(zl_utf8_is_valid(good[i], strlen(good[i])));
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_false(zl_utf8_is_valid(bad[i], strlen(bad[i])));
        assert_false(zl_utf8_is_valid("a\0b", 3));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(unsigned_numbers),
                cmocka_unit_test(signed_numbers),
                cmocka_unit_test(booleans),
                cmocka_unit_test(sizes),
                cmocka_unit_test(cpu_lists),
                cmocka_unit_test(signals),
                cmocka_unit_test(utf8),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
