/* SPDX-License-Identifier: Apache-2.0 */
/* The words for errno values in programs linked with musl must be those of glibc, with which this test is linked. */
#include "support.h"

#include "base/musl.c"

static void words_are_those_of_glibc(void **state)
{
        for (int errnum = 0; errnum < 140; errnum++) {
                /* For a number without a name both use one buffer. */
                char *ours = strdup(strerror(errnum));

                assert_string_equal(ours, __real_strerror(errnum));
                free(ours);
        }
}

static void checked_functions_do_the_work(void **state)
{
        char text[8];

        assert_int_equal(__snprintf_chk(text, sizeof text, 0, sizeof text, "%d", 42), 2);
        assert_string_equal(text, "42");
        assert_ptr_equal(__strncpy_chk(text, "abc", sizeof text, sizeof text), text);
        assert_string_equal(text, "abc");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(words_are_those_of_glibc),
                cmocka_unit_test(checked_functions_do_the_work),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
