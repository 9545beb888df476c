/* SPDX-License-Identifier: Apache-2.0 */
/* What happens after an end: policies, pauses, the crash loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/container_supervisor.h"
#include "base/macro.h"

#define SEC ZL_NSEC_PER_SEC
#define MIDDLE 20 /* no spread */

static enum zl_verdict supervise(const struct zl_restart_rule *rule,
                                 struct zl_restart_history *history,
                                 const struct zl_exit_fact *fact, int64_t now, int64_t *ret_delay)
{
        struct zl_exit_fact copy = *fact;

        copy.now = now;
        copy.random = MIDDLE;
        return zl_supervise(rule, history, &copy, ret_delay);
}

static enum zl_verdict decide(enum zl_restart_kind kind, enum zl_panic_action panic, int code,
                              bool stop)
{
        struct zl_restart_rule rule = { .kind = kind, .panic = panic };
        struct zl_restart_history history = { 0 };
        struct zl_exit_fact fact = { .exit_code = code, .stop_requested = stop };
        int64_t delay;

        return supervise(&rule, &history, &fact, 0, &delay);
}

static void policies(void **state)
{
        static const struct {
                enum zl_restart_kind kind;
                enum zl_panic_action panic;
                int code;
                bool stop;
                enum zl_verdict verdict;
        } cases[] = {
                { ZL_RESTART_ON_FAILURE, ZL_PANIC_RESTART, 0, false, ZL_VERDICT_COMPLETED },
                { ZL_RESTART_ON_FAILURE, ZL_PANIC_RESTART, 1, false, ZL_VERDICT_RESTART },
                { ZL_RESTART_ON_FAILURE, ZL_PANIC_RESTART, -1, false, ZL_VERDICT_RESTART },
                { ZL_RESTART_ON_FAILURE, ZL_PANIC_RESTART, 1, true, ZL_VERDICT_STOPPED },
                { ZL_RESTART_NO, ZL_PANIC_RESTART, 1, false, ZL_VERDICT_GIVE_UP },
                { ZL_RESTART_NO, ZL_PANIC_RESTART, 0, false, ZL_VERDICT_COMPLETED },
                { ZL_RESTART_ALWAYS, ZL_PANIC_RESTART, 0, false, ZL_VERDICT_RESTART },
                { ZL_RESTART_ALWAYS, ZL_PANIC_RESTART, 0, true, ZL_VERDICT_STOPPED },
                { ZL_RESTART_UNLESS_STOPPED, ZL_PANIC_RESTART, 0, false, ZL_VERDICT_RESTART },
                { ZL_RESTART_UNLESS_STOPPED, ZL_PANIC_RESTART, 137, true, ZL_VERDICT_STOPPED },
                { ZL_RESTART_ALWAYS, ZL_PANIC_SHUTDOWN, 1, false, ZL_VERDICT_SHUTDOWN },
                { ZL_RESTART_ALWAYS, ZL_PANIC_ISOLATE, 1, false, ZL_VERDICT_ISOLATE },
                { ZL_RESTART_ON_FAILURE, ZL_PANIC_ISOLATE, 0, false, ZL_VERDICT_COMPLETED },
        };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++)
                assert_int_equal(
                        decide(cases[i].kind, cases[i].panic, cases[i].code, cases[i].stop),
                        cases[i].verdict);
}

static void five_restarts_in_five_minutes(void **state)
{
        const struct zl_restart_rule rule = { .kind = ZL_RESTART_ON_FAILURE };
        const struct zl_exit_fact fact = { .exit_code = 1, .ran_nsec = SEC };
        struct zl_restart_history h = { 0 };
        int64_t delay, now = 0;

        (void)state;
        for (int i = 0; i < 5; i++) {
                assert_int_equal(supervise(&rule, &h, &fact, now, &delay), ZL_VERDICT_RESTART);
                now += delay + SEC;
        }
        assert_int_equal(supervise(&rule, &h, &fact, now, &delay), ZL_VERDICT_CRASH_LOOP);
        assert_int_equal(delay, 30 * SEC);
        assert_int_equal(h.total, 6);
        /* once the window has passed, it is an ordinary restart again */
        now += 400 * SEC;
        assert_int_equal(supervise(&rule, &h, &fact, now, &delay), ZL_VERDICT_RESTART);
}

static void running_well_forgives(void **state)
{
        const struct zl_restart_rule rule = { .kind = ZL_RESTART_ON_FAILURE };
        struct zl_exit_fact fact = { .exit_code = 1, .ran_nsec = 0 };
        struct zl_restart_history h = { 0 };
        int64_t delay, now = 0;

        (void)state;
        for (int i = 0; i < 4; i++)
                supervise(&rule, &h, &fact, now, &delay);
        assert_int_equal(delay, 800 * ZL_NSEC_PER_MSEC);
        fact.ran_nsec = 60 * SEC;
        assert_int_equal(supervise(&rule, &h, &fact, now, &delay), ZL_VERDICT_RESTART);
        assert_int_equal(delay, 100 * ZL_NSEC_PER_MSEC);
}

static void pauses_have_a_ceiling(void **state)
{
        const struct zl_restart_rule rule = { .kind = ZL_RESTART_ON_FAILURE };
        const struct zl_exit_fact fact = { .exit_code = 1 };
        struct zl_restart_history h = { 0 };
        int64_t delay = 0, now = 0;

        (void)state;
        for (int i = 0; i < 100; i++) {
                enum zl_verdict v = supervise(&rule, &h, &fact, now, &delay);

                assert_true(delay <= (v == ZL_VERDICT_CRASH_LOOP ? 300 * SEC : 30 * SEC));
                now += delay;
        }
        assert_int_equal(h.total, 100);
}

static void delay_of_the_spec_and_spread(void **state)
{
        const struct zl_restart_rule rule = { .kind = ZL_RESTART_ON_FAILURE, .delay = 10 * SEC };
        struct zl_exit_fact fact = { .exit_code = 1 };
        int64_t delay;

        (void)state;
        for (uint64_t random = 0; random < 1000; random += 7) {
                struct zl_restart_history h = { 0 };

                fact.random = random;
                zl_supervise(&rule, &h, &fact, &delay);
                assert_true(delay >= 8 * SEC && delay <= 12 * SEC);
        }
}

static void attempts_are_counted_in_a_row(void **state)
{
        const struct zl_restart_rule rule = { .kind = ZL_RESTART_ON_FAILURE, .max_attempts = 2 };
        struct zl_exit_fact fact = { .exit_code = 1 };
        struct zl_restart_history h = { 0 };
        int64_t delay;

        (void)state;
        assert_int_equal(supervise(&rule, &h, &fact, 0, &delay), ZL_VERDICT_RESTART);
        assert_int_equal(supervise(&rule, &h, &fact, 0, &delay), ZL_VERDICT_RESTART);
        assert_int_equal(supervise(&rule, &h, &fact, 0, &delay), ZL_VERDICT_GIVE_UP);
        fact.ran_nsec = 61 * SEC;
        assert_int_equal(supervise(&rule, &h, &fact, 0, &delay), ZL_VERDICT_RESTART);
}

static void rules_of_specs(void **state)
{
        static const struct {
                const char *yaml;
                enum zl_restart_kind kind;
        } cases[] = {
                { "rtype: service", ZL_RESTART_ON_FAILURE },
                { "restart_policy: {kind: no}", ZL_RESTART_NO },
                { "restart_policy: {kind: always}", ZL_RESTART_ALWAYS },
                { "rtype: job", ZL_RESTART_NO },
                { "rtype: job, restart_policy: {kind: always}", ZL_RESTART_NO },
                { "rtype: job, restart_policy: {kind: on_failure}", ZL_RESTART_ON_FAILURE },
        };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(cases); i++) {
                struct zl_deployment_spec *spec = NULL;
                struct zl_restart_rule rule;
                char text[512];

                snprintf(text, sizeof(text),
                         "version: v1\ndeployment: abc\nservices: {s: {image: {name: a}, %s}}\n",
                         cases[i].yaml);
                assert_int_equal(zl_spec_load_text(text, strlen(text), &spec, NULL, NULL), 0);
                assert_int_equal(zl_restart_rule_from_spec(spec->services[0].spec, &rule), 0);
                assert_int_equal(rule.kind, cases[i].kind);
                zl_spec_free(spec);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(policies),
                cmocka_unit_test(five_restarts_in_five_minutes),
                cmocka_unit_test(running_well_forgives),
                cmocka_unit_test(pauses_have_a_ceiling),
                cmocka_unit_test(delay_of_the_spec_and_spread),
                cmocka_unit_test(attempts_are_counted_in_a_row),
                cmocka_unit_test(rules_of_specs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
