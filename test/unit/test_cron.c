/* SPDX-License-Identifier: Apache-2.0 */
/* Cron text, and the next instants, checked against dates worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "spec/cron.h"

static void test_accepted(void **state)
{
        static const char *const rows[] = {
                "* * * * * *",
                "******",
                "0 0 0 1 1 * 2030",
                "0 0 0 ? * ?",
                "*/15 0-10/5 8,12 1-7 Jan,march ? 2026-2030/2",
                "1 , 2 * * * * *",
                "1 - 5 * * * * *",
                "  @hourly ",
                "@yearly",
                "@monthly",
                "@weekly",
                "@daily",
                "0 0 0 * * 1-7",
                "0 0 0 * * tues,Thurs,SATURDAY",
                "0 0 0 * * MON-FRI/2",
                "5/10 * * * * *",
                "007 * * * * *",
                "0 0 0 31 2 *",
                "0 0 */23 * * *",
                "0 0 0 * */12 */7",
                "0 0 0 * * * */2100",
                "0 0 0 ?/2 * *",
                "0\t0\n0\r* * *",
        };
        struct zl_cron cron;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                if (zl_cron_parse(rows[i], &cron, &err) < 0)
                        fail_msg("%s", zl_error_message(&err));
        }
}

static void test_refused(void **state)
{
        static const char *const rows[] = {
                "",
                " ",
                "* * * * *",
                "* * * * * * * *",
                "60 * * * * *",
                "* 60 * * * *",
                "* * 24 * * *",
                "* * * 0 * *",
                "* * * 32 * *",
                "* * * * 0 *",
                "* * * * 13 *",
                "* * * * * 0",
                "* * * * * 8",
                "* * * * * * 1969",
                "* * * * * * 2101",
                "*/0 * * * * *",
                "*/60 * * * * *",
                "* * */24 * * *",
                "5-1 * * * * *",
                "0 0 0 * * FRI-MON",
                "? * * * * *",
                "0 0 0 L * *",
                "0 0 0 1W * *",
                "0 0 0 * * 2#1",
                "0 0 0 * * MON/2",
                "0 0 0 * sept *",
                "0 0 0 * * mo",
                "@midnight",
                "@annually",
                "@reboot",
                "@every 5m",
                "@Daily",
                "@daily x",
                "TZ=UTC 0 0 0 * * *",
                "1, * * * * *",
                ",1 * * * * *",
                "1,,2 * * * * *",
                "-1 * * * * *",
                "99999999999 * * * * *",
                "* * * * * MON-3",
                "1.5 * * * * *",
                "a * * * * *",
        };
        struct zl_cron cron;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                if (zl_cron_parse(rows[i], &cron, &err) != -EINVAL)
                        fail_msg("accepted: '%s'", rows[i]);
                assert_int_equal(err.code, ZL_E_INVALID);
        }
}

static void test_next(void **state)
{
        static const struct {
                const char *cron, *after, *next; /* NULL: never */
        } rows[] = {
                { "* * * * * *", "2026-01-31T23:59:59.5Z", "2026-02-01T00:00:00Z" },
                { "* * * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z" },
                { "0 30 2 * * MON-FRI", "2026-11-27T02:30:00Z", "2026-11-30T02:30:00Z" },
                { "0 30 2 * * MON-FRI", "2026-11-27T02:29:59.999999999Z", "2026-11-27T02:30:00Z" },
                { "@weekly", "2026-11-24T00:00:00Z", "2026-11-29T00:00:00Z" },
                { "@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z" },
                { "@hourly", "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z" },
                { "0 0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z" },
                { "0 0 0 29 2 *", "2096-03-01T00:00:00Z", NULL }, /* 2100 is no leap year */
                { "0 0 0 31 2 *", "2026-01-01T00:00:00Z", NULL },
                { "0 0 0 13 * FRI", "2026-11-14T00:00:00Z", "2027-08-13T00:00:00Z" },
                { "15 10 5 * * *", "2026-06-01T05:10:15Z", "2026-06-02T05:10:15Z" },
                { "0,30 59 23 31 12 * 2026", "2026-12-31T23:59:00Z", "2026-12-31T23:59:30Z" },
                { "0,30 59 23 31 12 * 2026", "2026-12-31T23:59:30Z", NULL },
                { "59 59 23 31 12 * 2100", "2026-01-01T00:00:00Z", "2100-12-31T23:59:59Z" },
                { "5 * * * * *", "2026-01-01T00:00:06Z", "2026-01-01T00:01:05Z" },
                { "0 5 * * * *", "2026-01-01T00:05:01Z", "2026-01-01T01:05:00Z" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                struct zl_cron cron;
                int64_t after, expected = -1, next;
                char text[ZL_RFC3339_SIZE];

                assert_int_equal(zl_cron_parse(rows[i].cron, &cron, NULL), 0);
                assert_int_equal(zl_parse_rfc3339(rows[i].after, &after), 0);
                if (rows[i].next)
                        assert_int_equal(zl_parse_rfc3339(rows[i].next, &expected), 0);
                next = zl_cron_next(&cron, after);
                if (next != expected)
                        fail_msg("%s after %s: %s", rows[i].cron, rows[i].after,
                                 next < 0 ? "never" : zl_format_rfc3339(next, text));
        }
}

/* Clocks in Berlin: 2026-03-29 02:00 becomes 03:00 (01:00 UTC), 2026-10-25 03:00 becomes 02:00 (01:00 UTC). */
static void test_next_in_zone(void **state)
{
        static const struct {
                const char *zone, *cron, *after, *next;
        } rows[] = {
                { "Europe/Berlin", "0 30 8 * * *", "2026-01-10T00:00:00Z", "2026-01-10T07:30:00Z" },
                { "Europe/Berlin", "0 30 8 * * *", "2026-07-10T00:00:00Z", "2026-07-10T06:30:00Z" },
                /* the hour that is left out: once, at the change, and the next day as always */
                { "Europe/Berlin", "0 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z" },
                { "Europe/Berlin", "0 30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z" },
                { "Europe/Berlin", "0 */15 2 * * *", "2026-03-28T12:00:00Z",
                  "2026-03-29T01:00:00Z" },
                { "Europe/Berlin", "0 */15 2 * * *", "2026-03-29T01:00:00Z",
                  "2026-03-30T00:00:00Z" },
                /* 03:00 exists that day and comes right at the change */
                { "Europe/Berlin", "0 0 2,3 * * *", "2026-03-29T00:00:00Z",
                  "2026-03-29T01:00:00Z" },
                { "Europe/Berlin", "0 0 2,3 * * *", "2026-03-29T01:00:00Z",
                  "2026-03-30T00:00:00Z" },
                /* what happens every hour goes on evenly */
                { "Europe/Berlin", "0 */30 * * * *", "2026-03-29T00:30:00Z",
                  "2026-03-29T01:00:00Z" },
                { "Europe/Berlin", "0 */30 * * * *", "2026-03-29T01:00:00Z",
                  "2026-03-29T01:30:00Z" },
                /* the hour that comes twice: in the first one only */
                { "Europe/Berlin", "0 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z" },
                { "Europe/Berlin", "0 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z" },
                { "Europe/Berlin", "0 0 3 * * *", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z" },
                /* unless it happens every hour */
                { "Europe/Berlin", "0 30 * * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z" },
                { "Europe/Berlin", "0 30 * * * *", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z" },
                /* half an hour, the other side of the world, no change at all, far ahead */
                { "Australia/Lord_Howe", "0 45 1 * * *", "2026-04-04T12:00:00Z",
                  "2026-04-04T14:45:00Z" },
                { "Australia/Lord_Howe", "0 45 1 * * *", "2026-04-04T14:45:00Z",
                  "2026-04-05T15:15:00Z" },
                { "America/New_York", "@daily", "2026-07-04T12:00:00Z", "2026-07-05T04:00:00Z" },
                { "Asia/Kolkata", "@daily", "2026-07-04T12:00:00Z", "2026-07-04T18:30:00Z" },
                { "UTC", "0 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T02:30:00Z" },
                { "Europe/Berlin", "0 0 12 1 7 * 2077", "2026-01-01T00:00:00Z",
                  "2077-07-01T10:00:00Z" },
                { "Europe/Berlin", "0 0 12 31 2 *", "2026-01-01T00:00:00Z", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(rows); i++) {
                _cleanup_timezone_ struct zl_timezone *zone = NULL;
                struct zl_cron cron;
                int64_t after, expected = -1, next;
                char text[ZL_RFC3339_SIZE];

                assert_int_equal(zl_timezone_load(rows[i].zone, &zone, NULL), 0);
                assert_int_equal(zl_cron_parse(rows[i].cron, &cron, NULL), 0);
                assert_int_equal(zl_parse_rfc3339(rows[i].after, &after), 0);
                if (rows[i].next)
                        assert_int_equal(zl_parse_rfc3339(rows[i].next, &expected), 0);
                next = zl_cron_next_in(&cron, zone, after);
                if (next != expected)
                        fail_msg("%s in %s after %s: %s", rows[i].cron, rows[i].zone, rows[i].after,
                                 next < 0 ? "never" : zl_format_rfc3339(next, text));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_next),
                cmocka_unit_test(test_next_in_zone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
