/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs as data: labels, names of states, what is due. */
#include "support.h"

#include "agent/job.h"
#include "base/clock.h"
#include "spec/spec.h"

/* A service spec with these lines. */
static struct zl_deployment_spec *spec_of(const char *lines)
{
        struct zl_deployment_spec *spec = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        char *text = NULL;

        assert_true(
                asprintf(&text,
                         "version: v1\ndeployment: app\nservices:\n  a:\n    image: {name: x}\n%s",
                         lines) > 0);
        if (zl_spec_load_text(text, strlen(text), &spec, NULL, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        free(text);
        return spec;
}

static int load(const char *lines, struct zl_job_settings *ret, struct zl_error *err)
{
        struct zl_deployment_spec *spec = spec_of(lines);
        int r = zl_job_settings_load(spec->services[0].spec, ret, err);

        zl_spec_free(spec);
        return r;
}

#define CRON "    rtype: cron\n    schedule: "

static void test_settings(void **state)
{
        struct zl_job_settings s;

        (void)state;
        assert_int_equal(load("    rtype: job\n    labels: {other: x}\n", &s, NULL), 0);
        assert_false(s.is_cron);
        assert_int_equal(s.timeout, 0);
        assert_int_equal(s.concurrency, 1);
        assert_int_equal(s.queue, 100);
        assert_int_equal(s.history, 10);
        zl_job_settings_done(&s);
        assert_int_equal(load(CRON "'@daily'\n    labels: {zlayer.job.timeout: 1h 30m, "
                                   "zlayer.job.concurrency: '3', zlayer.job.queue: '0', "
                                   "zlayer.job.history: '0', zlayer.cron.timezone: Europe/Berlin, "
                                   "zlayer.cron.overlap: replace, zlayer.cron.missed: all}\n",
                              &s, NULL),
                         0);
        assert_true(s.is_cron);
        assert_int_equal(s.timeout, 5400 * ZL_NSEC_PER_SEC);
        assert_int_equal(s.concurrency, 3);
        assert_int_equal(s.queue, 0);
        assert_int_equal(s.history, 0);
        assert_int_equal(s.overlap, ZL_OVERLAP_REPLACE);
        assert_int_equal(s.missed, ZL_MISSED_ALL);
        assert_non_null(s.zone);
        zl_job_settings_done(&s);
}

static void test_bad_labels(void **state)
{
        static const struct {
                const char *label, *part;
        } rows[] = {
                { "zlayer.job.timeout: soon", "labels.zlayer.job.timeout: \"soon\"" },
                { "zlayer.job.timeout: 0s", "not a duration" },
                { "zlayer.job.concurrency: '0'", "number from 1 to 1000" },
                { "zlayer.job.concurrency: '1001'", "number from 1 to 1000" },
                { "zlayer.job.history: '-1'", "number from 0 to 1000" },
                { "zlayer.cron.overlap: maybe", "none of allow, forbid, replace" },
                { "zlayer.cron.missed: some", "none of none, latest, all" },
                { "zlayer.cron.timezone: Mars/Olympus", "no time zone \"Mars/Olympus\"" },
                { "zlayer.cron.zone: UTC", "no such setting" },
                { "zlayer.job.retries: '1'", "no such setting" },
        };
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_job_settings s;

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char lines[256];

                snprintf(lines, sizeof(lines), CRON "'@daily'\n    labels: {%s}\n", rows[i].label);
                assert_true(load(lines, &s, &err) < 0);
                if (!strstr(zl_error_message(&err), rows[i].part))
                        fail_msg("%s: %s", rows[i].label, zl_error_message(&err));
                zl_error_done(&err);
        }
        assert_int_equal(load("    rtype: job\n    labels: {zlayer.cron.missed: all}\n", &s, &err),
                         -EINVAL);
        assert_non_null(strstr(zl_error_message(&err), "only a service of rtype cron"));
        zl_error_done(&err);
}

static void test_names(void **state)
{
        (void)state;
        for (int i = 0; i < ZL_EXECUTION_STATE_MAX_; i++) {
                enum zl_execution_state got;

                assert_int_equal(zl_execution_state_parse(
                                         zl_execution_state_name((enum zl_execution_state)i), &got),
                                 0);
                assert_int_equal(got, i);
        }
        for (int i = 0; i < ZL_TRIGGER_MAX_; i++) {
                enum zl_trigger got;

                assert_int_equal(zl_trigger_parse(zl_trigger_name((enum zl_trigger)i), &got), 0);
                assert_int_equal(got, i);
        }
        assert_int_equal(zl_trigger_parse("whim", &(enum zl_trigger){ 0 }), -EINVAL);
        assert_int_equal(zl_execution_state_parse("", &(enum zl_execution_state){ 0 }), -EINVAL);
}

/* ---- what is due ------------------------------------------------------------------------------------------------ */

static int64_t at(const char *text)
{
        int64_t t;

        assert_int_equal(zl_parse_rfc3339(text, &t), 0);
        return t;
}

static void assert_due(const char *missed, const char *last, const char *now, const char *times,
                       unsigned n_skipped)
{
        struct zl_job_settings s;
        struct zl_cron_due due;
        char lines[256], got[1024] = "";

        snprintf(lines, sizeof(lines),
                 CRON "'0 */10 * * * *'\n    labels: {zlayer.cron.missed: %s}\n", missed);
        assert_int_equal(load(lines, &s, NULL), 0);
        zl_cron_due(&s, at(last), at(now), &due);
        zl_job_settings_done(&s);
        for (size_t i = 0; i < due.n; i++) {
                char text[ZL_RFC3339_SIZE];

                zl_format_rfc3339(due.times[i], text);
                text[16] = 0;
                strcat(got, got[0] ? " " : "");
                strcat(got, text + 11);
        }
        assert_string_equal(got, times);
        assert_int_equal(due.n_skipped, n_skipped);
}

static void test_due(void **state)
{
        (void)state;
        assert_due("latest", "2026-01-01T00:00:00Z", "2026-01-01T00:09:59Z", "", 0);
        assert_due("latest", "2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z", "00:10", 0);
        assert_due("none", "2026-01-01T00:00:00Z", "2026-01-01T00:10:04Z", "00:10", 0);
        /* later than the tolerance it was missed */
        assert_due("none", "2026-01-01T00:00:00Z", "2026-01-01T00:10:06Z", "", 1);
        assert_due("latest", "2026-01-01T00:00:00Z", "2026-01-01T00:10:06Z", "00:10", 0);
        assert_due("latest", "2026-01-01T00:00:00Z", "2026-01-01T00:55:00Z", "00:50", 4);
        assert_due("latest", "2026-01-01T00:00:00Z", "2026-01-01T00:50:01Z", "00:50", 4);
        assert_due("all", "2026-01-01T00:00:00Z", "2026-01-01T00:35:00Z", "00:10 00:20 00:30", 0);
        assert_due("all", "2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z",
                   "01:30 01:40 01:50 02:00 02:10 02:20 02:30 02:40 02:50 03:00", 8);
        /* a clock that was set back */
        assert_due("all", "2026-01-01T00:00:00Z", "2025-12-31T00:00:00Z", "", 0);
        /* a gap of years is not walked through, and what is due now is not lost in it */
        assert_due("latest", "2016-01-01T00:00:00Z", "2026-01-01T00:10:00Z", "00:10", 1000);
}

static void test_next_times(void **state)
{
        struct zl_job_settings s;
        int64_t times[5];

        (void)state;
        assert_int_equal(load(CRON "'0 0 12 30,31 12 * 2026'\n", &s, NULL), 0);
        assert_int_equal(zl_job_next_times(&s, at("2026-01-01T00:00:00Z"), times, 5), 2);
        assert_int_equal(times[1], at("2026-12-31T12:00:00Z"));
        zl_job_settings_done(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_settings),   cmocka_unit_test(test_bad_labels),
                cmocka_unit_test(test_names),      cmocka_unit_test(test_due),
                cmocka_unit_test(test_next_times),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
