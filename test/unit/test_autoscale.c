/* SPDX-License-Identifier: Apache-2.0 */
/* Scaling by itself: targets, steps, hysteresis, cooldown, limits. */
#include "support.h"

#include "agent/autoscale.h"
#include "base/clock.h"

static struct zl_scale_spec spec_of(uint8_t cpu, uint8_t memory)
{
        return (struct zl_scale_spec){ .mode = ZL_SCALE_ADAPTIVE,
                                       .min = 1,
                                       .max = 10,
                                       .targets = { .has_cpu = cpu > 0,
                                                    .cpu = cpu,
                                                    .has_memory = memory > 0,
                                                    .memory = memory } };
}

/* With a fresh memory and these figures (negative: unknown). */
static uint32_t decide(uint8_t cpu_target, uint8_t memory_target, double cpu, double memory,
                       uint32_t current)
{
        struct zl_autoscale state = { 0 };
        struct zl_scale_spec spec = spec_of(cpu_target, memory_target);
        struct zl_usage usage = { cpu >= 0, memory >= 0, cpu, memory };

        return zl_autoscale_decide(&state, &spec, &usage, current, 0);
}

static void test_targets(void **state)
{
        (void)state;
        assert_int_equal(decide(50, 0, 50, -1, 4), 4);
        assert_int_equal(decide(50, 0, 54, -1, 4), 4); /* hysteresis */
        assert_int_equal(decide(50, 0, 75, -1, 4), 6);
        assert_int_equal(decide(50, 0, 60, -1, 1), 2);
        assert_int_equal(decide(50, 0, 500, -1, 4), 8);  /* never more than twice */
        assert_int_equal(decide(50, 0, 500, -1, 8), 10); /* max */
        assert_int_equal(decide(50, 0, 30, -1, 4), 4);
        assert_int_equal(decide(50, 0, 20, -1, 4), 3); /* 4 × 0.4 / 0.75 */
        assert_int_equal(decide(50, 0, 0, -1, 8), 4);  /* never less than half */
        assert_int_equal(decide(50, 0, 0, -1, 1), 1);
        /* the one that wants most decides */
        assert_int_equal(decide(50, 50, 0, 100, 4), 8);
        assert_int_equal(decide(50, 50, 0, 50, 4), 4);
        /* an unknown figure, and none at all */
        assert_int_equal(decide(50, 50, -1, 100, 4), 8);
        assert_int_equal(decide(50, 0, -1, 100, 4), 4);
        assert_int_equal(decide(0, 0, 100, 100, 4), 4);
}

static void test_smoothing_and_cooldown(void **state)
{
        struct zl_autoscale s = { 0 };
        struct zl_scale_spec spec = spec_of(50, 0);
        struct zl_usage calm = { .has_cpu = true, .cpu = 40 },
                        peak = { .has_cpu = true, .cpu = 70 };

        (void)state;
        /* one peak is none */
        assert_int_equal(zl_autoscale_decide(&s, &spec, &calm, 4, 0), 4);
        assert_int_equal(zl_autoscale_decide(&s, &spec, &peak, 4, 1), 4);
        assert_int_equal(zl_autoscale_decide(&s, &spec, &peak, 4, 2), 5);
        /* the next change has to wait */
        peak.cpu = 200;
        assert_int_equal(zl_autoscale_decide(&s, &spec, &peak, 5, 29 * ZL_NSEC_PER_SEC), 5);
        assert_int_equal(zl_autoscale_decide(&s, &spec, &peak, 5, 31 * ZL_NSEC_PER_SEC), 10);
        spec.has_cooldown = true;
        spec.cooldown = 5 * ZL_NSEC_PER_SEC;
        peak.cpu = 0;
        assert_int_equal(zl_autoscale_decide(&s, &spec, &peak, 10, 35 * ZL_NSEC_PER_SEC), 10);
        assert_int_equal(zl_autoscale_decide(&s, &spec, &peak, 10, 37 * ZL_NSEC_PER_SEC), 5);
}

static void test_wanted(void **state)
{
        struct zl_scale_spec spec = spec_of(50, 0);

        (void)state;
        assert_true(zl_autoscale_is_wanted(&spec));
        spec.max = 1;
        assert_false(zl_autoscale_is_wanted(&spec));
        spec = spec_of(0, 0);
        assert_false(zl_autoscale_is_wanted(&spec));
        spec = spec_of(50, 0);
        spec.mode = ZL_SCALE_FIXED;
        assert_false(zl_autoscale_is_wanted(&spec));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_targets),
                cmocka_unit_test(test_smoothing_and_cooldown),
                cmocka_unit_test(test_wanted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
