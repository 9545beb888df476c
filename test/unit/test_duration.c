/* SPDX-License-Identifier: Apache-2.0 */
/* Duration text: what is accepted, what not, and the canonical form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/macro.h"
#include "spec/duration.h"

#define S ZL_NSEC_PER_SEC

static void test_accepted(void **state)
{
        static const struct {
                const char *text;
                int64_t nsec;
        } rows[] = {
                { "0", 0 },
                { "0s", 0 },
                { "30s", 30 * S },
                { "1s 1h", 3601 * S },
                { "1s1s", 2 * S },
                { "5 5s", 55 * S },
                { "1 . 5 s", 15 * S / 10 },
                { " 2m ", 120 * S },
                { "\xc2\xa0"
                  "1\xe2\x80\x89s\xe3\x80\x80",
                  S },
                { "1.5h", 5400 * S },
                { "1.5m", 90 * S },
                { "0.5ms", 500000 },
                { "1ns 1us 1ms", 1001001 },
                { "1\xc2\xb5s", 1000 },
                { "1M", 2630016 * S },
                { "1m", 60 * S },
                { "1y 1w 1d", (31557600 + 604800 + 86400) * S },
                { "1year 2months 3weeks 4days 5hours 6minutes 7seconds",
                  (31557600LL + 2 * 2630016 + 3 * 604800 + 4 * 86400 + 5 * 3600 + 6 * 60 + 7) * S },
                { "1000years", INT64_MAX },
                { "00s", 0 },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                const char *why = "";
                int64_t v = -1;

                if (zl_duration_parse(rows[i].text, &v, &why) < 0 || v != rows[i].nsec)
                        fail_msg("'%s': %s, %lld", rows[i].text, why, (long long)v);
        }
}

static void test_refused(void **state)
{
        static const char *const rows[] = {
                "",
                " ",
                "30",
                "00",
                "0 ",
                " 0",
                "1h30",
                "5S",
                "1H",
                "1mon",
                "1e3s",
                "-5s",
                "+5s",
                "1,5s",
                "1:00",
                "PT1S",
                "1_0s",
                ".5s",
                "1.s",
                "1.2.3s",
                "s",
                "1 s s",
                "0.0001h",
                "1.5ns",
                "1.0ns",
                "1s.",
                "1sm",
                "1\xce\xbcs",
                "18446744073709551616s",
                "18446744073709551615y",
                "18446744073709551615s 1s",
                "0.00000000000000000000001s",
                "1s;",
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                const char *why = NULL;
                int64_t v = -1;

                if (zl_duration_parse(rows[i], &v, &why) >= 0)
                        fail_msg("accepted: '%s' as %lld", rows[i], (long long)v);
                assert_non_null(why);
                assert_int_equal(v, -1);
        }
}

static void test_format(void **state)
{
        static const struct {
                int64_t nsec;
                const char *text;
        } rows[] = {
                { 0, "0s" },
                { 90 * S, "1m 30s" },
                { 7 * 86400 * S, "7days" },
                { 86400 * S, "1day" },
                { 750 * ZL_NSEC_PER_MSEC, "750ms" },
                { 31557600 * S + 2630016 * S + 3600 * S + 1, "1year 1month 1h 1ns" },
                { 2 * 2630016 * S, "2months" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(200);
                int64_t back = -1;

                zl_duration_format(rows[i].nsec, &out);
                assert_string_equal(out.data, rows[i].text);
                assert_int_equal(zl_duration_parse(out.data, &back, NULL), 0);
                assert_true(back == rows[i].nsec);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_format),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
