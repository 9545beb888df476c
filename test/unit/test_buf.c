/* SPDX-License-Identifier: Apache-2.0 */
/* The growing buffer: content, maximum, sticky errors, moving the content out. */
#include "support.h"

#include "base/buf.h"

static void appends(void **state)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1000);

        assert_int_equal(zl_buf_puts(&b, "one"), 0);
        assert_int_equal(zl_buf_putc(&b, ' '), 0);
        assert_int_equal(zl_buf_putf(&b, "%d-%s", 2, "three"), 0);
        assert_int_equal(zl_buf_put(&b, NULL, 0), 0);
        assert_string_equal(b.data, "one 2-three");
        assert_int_equal(b.len, 11);
        zl_buf_consume(&b, 4);
        assert_string_equal(b.data, "2-three");
        zl_buf_consume(&b, 7);
        assert_string_equal(b.data, "");
}

static void stops_at_the_maximum(void **state)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(10);

        assert_int_equal(zl_buf_puts(&b, "0123456789"), 0);
        assert_int_equal(zl_buf_putc(&b, 'x'), -E2BIG);
        assert_int_equal(zl_buf_puts(&b, ""), -E2BIG); /* the error sticks */
        assert_string_equal(b.data, "0123456789");
        assert_null(zl_buf_take(&b));
        zl_buf_reset(&b);
        assert_int_equal(zl_buf_putf(&b, "%s", "12345678901"), -E2BIG);
        zl_buf_reset(&b);
        assert_int_equal(zl_buf_puts(&b, "again"), 0);
}

static void takes_sizes_that_overflow(void **state)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(SIZE_MAX);

        assert_int_equal(zl_buf_puts(&b, "x"), 0);
        assert_null(zl_buf_reserve(&b, SIZE_MAX - 1));
        assert_int_equal(zl_buf_error(&b), -E2BIG);
}

static void reserved_but_unwritten_is_empty(void **state)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(100);
        char *s;

        assert_non_null(zl_buf_reserve(&b, 50));
        s = zl_buf_take(&b);
        assert_string_equal(s, "");
        free(s);
        s = zl_buf_take(&b); /* nothing at all was ever allocated now */
        assert_string_equal(s, "");
        free(s);
}

static void grows_large(void **state)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1 << 20);

        for (int i = 0; i < 100000; i++)
                assert_int_equal(zl_buf_put(&b, "0123456789", 10), 0);
        assert_int_equal(b.len, 1000000);
        assert_memory_equal(b.data + 999990, "0123456789", 11);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(appends),
                cmocka_unit_test(stops_at_the_maximum),
                cmocka_unit_test(takes_sizes_that_overflow),
                cmocka_unit_test(reserved_but_unwritten_is_empty),
                cmocka_unit_test(grows_large),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
