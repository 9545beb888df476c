/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 3339 both ways, checked against the C library's calendar, and the clocks' directions. */
#include "support.h"

#include <time.h>

#include "base/clock.h"
#include "base/macro.h"

static void formats(void **state)
{
        char buf[ZL_RFC3339_SIZE];

        assert_string_equal(zl_format_rfc3339(0, buf), "1970-01-01T00:00:00.000000000Z");
        assert_string_equal(zl_format_rfc3339(-1, buf), "1969-12-31T23:59:59.999999999Z");
        assert_string_equal(zl_format_rfc3339(INT64_C(951782400) * ZL_NSEC_PER_SEC, buf),
                            "2000-02-29T00:00:00.000000000Z");
        assert_string_equal(zl_format_rfc3339(INT64_MAX, buf), "2262-04-11T23:47:16.854775807Z");
        assert_string_equal(zl_format_rfc3339(INT64_MIN, buf), "1677-09-21T00:12:43.145224192Z");
}

static void agrees_with_gmtime(void **state)
{
        for (int64_t sec = -6000000000; sec < 9000000000; sec += 86399 * 31) {
                char buf[ZL_RFC3339_SIZE], expected[40];
                time_t t = (time_t)sec;
                struct tm tm;
                int64_t back;

                gmtime_r(&t, &tm);
                strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000000Z", &tm);
                assert_string_equal(zl_format_rfc3339(sec * ZL_NSEC_PER_SEC, buf), expected);
                assert_int_equal(zl_parse_rfc3339(buf, &back), 0);
                assert_true(back == sec * ZL_NSEC_PER_SEC);
        }
}

static void parses(void **state)
{
        static const struct {
                const char *text;
                int64_t nsec;
        } good[] = {
                { "1970-01-01T00:00:00Z", 0 },
                { "1970-01-01t00:00:00z", 0 },
                { "1970-01-01 00:00:01Z", ZL_NSEC_PER_SEC },
                { "1970-01-01T01:00:00+01:00", 0 },
                { "1969-12-31T22:30:00-01:30", 0 },
                { "1970-01-01T00:00:00.5Z", ZL_NSEC_PER_SEC / 2 },
                { "1970-01-01T00:00:00.000000001Z", 1 },
                { "1970-01-01T00:00:00.0000000019Z", 1 },
                { "2016-12-31T23:59:60Z", INT64_C(1483228800) * ZL_NSEC_PER_SEC },
        };
        static const char *const bad[] = {
                "",
                "1970-01-01",
                "1970-01-01T00:00:00",
                "1970-01-01T00:00Z",
                "1970-1-01T00:00:00Z",
                "1970-13-01T00:00:00Z",
                "1970-00-01T00:00:00Z",
                "1970-01-32T00:00:00Z",
                "2026-02-29T00:00:00Z",
                "2026-02-30T00:00:00Z",
                "2026-04-31T00:00:00Z",
                "1970-01-01T24:00:00Z",
                "1970-01-01T00:60:00Z",
                "1970-01-01T00:00:61Z",
                "1970-01-01T00:00:00.Z",
                "1970-01-01T00:00:00Zx",
                "1970-01-01T00:00:00+1:00",
                "1970-01-01T00:00:00+24:00",
                "9999-01-01T00:00:00Z",
                " 1970-01-01T00:00:00Z",
        };
        int64_t v = 7;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                if (zl_parse_rfc3339(bad[i], &v) != -EINVAL)
                        fail_msg("%s is taken", bad[i]);
        assert_int_equal(v, 7);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(good); i++) {
                assert_int_equal(zl_parse_rfc3339(good[i].text, &v), 0);
                assert_true(v == good[i].nsec);
        }
        assert_int_equal(zl_parse_rfc3339("2028-02-29T00:00:00Z", &v), 0);
}

static void ages(void **state)
{
        char buf[ZL_RFC3339_SIZE];

        assert_string_equal(zl_format_age(-5, buf), "0s");
        assert_string_equal(zl_format_age(119 * ZL_NSEC_PER_SEC, buf), "119s");
        assert_string_equal(zl_format_age(120 * ZL_NSEC_PER_SEC, buf), "2m");
        assert_string_equal(zl_format_age(7200 * ZL_NSEC_PER_SEC, buf), "2h");
        assert_string_equal(zl_format_age(3 * 86400 * ZL_NSEC_PER_SEC, buf), "3d");
}

static void clocks_go_forward(void **state)
{
        int64_t a = zl_now_monotonic(), b = zl_now_monotonic();

        assert_true(a > 0 && b >= a);
        assert_true(zl_now_boottime() >= a);
        assert_true(zl_now_realtime() / ZL_NSEC_PER_SEC >= (int64_t)time(NULL) - 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(formats),
                cmocka_unit_test(agrees_with_gmtime),
                cmocka_unit_test(parses),
                cmocka_unit_test(ages),
                cmocka_unit_test(clocks_go_forward),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
