/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones: the C library as the oracle, rules of the future, damaged files. */
#include "support.h"

#include <time.h>

#include "base/timezone.h"

static int32_t offset_at(const struct zl_timezone *zone, int64_t t)
{
        struct zl_timezone_period p;

        zl_timezone_period(zone, t, &p);
        assert_true(p.begin == INT64_MIN || p.begin <= t);
        assert_true(p.end == INT64_MAX || t < p.end);
        return p.offset;
}

static void test_like_the_c_library(void **state)
{
        static const char *const names[] = {
                "Europe/Berlin",     "America/New_York",    "America/St_Johns", "Asia/Kolkata",
                "Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Chatham",  "America/Santiago",
                "Asia/Gaza",         "Pacific/Apia",        "Etc/GMT+5",        "UTC",
                "Antarctica/Troll",  "Europe/Dublin"
        };

        (void)state;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                _cleanup_timezone_ struct zl_timezone *zone = NULL;

                assert_int_equal(zl_timezone_load(names[i], &zone, NULL), 0);
                setenv("TZ", names[i], 1);
                tzset();
                /* 1970 to 2100 in steps of 11 hours and something */
                for (int64_t t = 0; t < INT64_C(4102444800); t += 40013) {
                        time_t seconds = t;
                        struct tm tm;

                        assert_non_null(localtime_r(&seconds, &tm));
                        if (offset_at(zone, t) != tm.tm_gmtoff)
                                fail_msg("%s at %lld: %d instead of %ld", names[i], (long long)t,
                                         offset_at(zone, t), tm.tm_gmtoff);
                }
        }
        unsetenv("TZ");
}

static void test_periods(void **state)
{
        _cleanup_timezone_ struct zl_timezone *zone = NULL;
        struct zl_timezone_period p;

        (void)state;
        assert_int_equal(zl_timezone_load("Europe/Berlin", &zone, NULL), 0);
        zl_timezone_period(zone, 1774746000, &p); /* 2026-03-29T01:00:00Z, the change itself */
        assert_int_equal(p.begin, 1774746000);
        assert_int_equal(p.end, 1792890000);
        assert_int_equal(p.offset, 7200);
        assert_int_equal(p.before, 3600);
        zl_timezone_period(zone, 1774745999, &p);
        assert_int_equal(p.end, 1774746000);
        assert_int_equal(p.offset, 3600);
        zl_timezone_period(NULL, 5, &p);
        assert_true(p.begin == INT64_MIN && p.end == INT64_MAX && p.offset == 0 && p.before == 0);
}

static void test_names(void **state)
{
        static const char *const bad[] = {
                "",       "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe/",
                "Europe", "CET-1CEST",    "Europe/Ber lin",   "zone.tab"
        };

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                struct zl_timezone *zone = NULL;

                if (zl_timezone_load(bad[i], &zone, &err) >= 0)
                        fail_msg("accepted: '%s'", bad[i]);
                assert_null(zone);
        }
}

/* Every shorter file and every flipped byte: an error or a zone, never a crash (the sanitizers watch). */
static void test_damaged(void **state)
{
        char *data = NULL;
        size_t len, refused = 0;

        (void)state;
        assert_int_equal(zl_read_file_at(AT_FDCWD, "/usr/share/zoneinfo/Europe/Berlin", 1 << 20,
                                         &data, &len),
                         0);
        for (size_t n = 0; n < len; n++) {
                struct zl_timezone *zone = NULL;
                char *part = malloc(n + 1);

                assert_non_null(part);
                memcpy(part, data, n);
                if (zl_timezone_parse(part, n, &zone, NULL) < 0)
                        refused++;
                zl_timezone_free(zone);
                free(part);
        }
        assert_int_equal(refused, len);
        for (size_t n = 0; n < len; n++) {
                struct zl_timezone *zone = NULL;

                data[n] ^= (char)0x85;
                if (zl_timezone_parse(data, len, &zone, NULL) >= 0)
                        offset_at(zone, 1774746000);
                zl_timezone_free(zone);
                data[n] ^= (char)0x85;
        }
        free(data);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_like_the_c_library),
                cmocka_unit_test(test_periods),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_damaged),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
