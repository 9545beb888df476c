/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's lines about pressure. */
#include "linux/cgroup.h"
#include "support.h"

static void test_both_lines(void **state)
{
        struct zl_pressure p;

        (void)state;
        assert_true(zl_pressure_parse(
                "some avg10=12.34 avg60=5.00 avg300=0.07 total=18446744073709551615\n"
                "full avg10=1.50 avg60=0.00 avg300=0.00 total=42\n",
                &p));
        assert_true(p.some.avg10 > 12.33 && p.some.avg10 < 12.35);
        assert_true(p.some.avg300 > 0.06 && p.some.avg300 < 0.08);
        assert_true(p.some.total_usec == UINT64_MAX);
        assert_true(p.full.avg10 > 1.49 && p.full.avg10 < 1.51);
        assert_true(p.full.total_usec == 42);
}

/* Kernels before 5.13 have no second line for the processor. */
static void test_one_line(void **state)
{
        struct zl_pressure p = { .full = { .total_usec = 7 } };

        (void)state;
        assert_true(zl_pressure_parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n", &p));
        assert_true(p.some.total_usec == 9);
        assert_true(p.full.total_usec == 0);
}

static void test_no_line(void **state)
{
        static const char *const texts[] = {
                NULL,        "",
                "some",      "some avg10=1 avg60=2 avg300=3",
                "total=9\n", "full avg10=x avg60=0 avg300=0 total=1\n"
        };
        struct zl_pressure p;

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(texts); i++) {
                assert_false(zl_pressure_parse(texts[i], &p));
                assert_true(p.some.total_usec == 0 && p.full.total_usec == 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_lines),
                cmocka_unit_test(test_one_line),
                cmocka_unit_test(test_no_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
