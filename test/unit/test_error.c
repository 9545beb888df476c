/* SPDX-License-Identifier: Apache-2.0 */
/* The error object: filled once, prefixed on the way up, moved, and never without a message. */
#include "support.h"

#include "base/error.h"
#include "base/log.h"

static void fills_and_prefixes(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        assert_string_equal(zl_error_message(&err), "no error");
        assert_string_equal(zl_error_message(NULL), "no error");
        zl_error_prefix(&err, "not set");
        zl_error_hint(&err, "not set");
        assert_false(zl_error_is_set(&err));
        assert_int_equal(zl_fail(&err, ZL_E_IO, ENOSPC, "cannot write %s", "x"), -ENOSPC);
        assert_string_equal(err.message, "cannot write x: No space left on device");
        assert_int_equal(err.sys_errno, ENOSPC);
        zl_error_prefix(&err, "image %s", "bb");
        zl_error_prefix(&err, "service %s", "web");
        assert_string_equal(err.message,
                            "service web: image bb: cannot write x: No space left on device");
        zl_error_hint(&err, "free %d bytes", 5);
        assert_string_equal(err.hint, "free 5 bytes");
        /* A new fault replaces the old one whole; the old message may be part of the new one. */
        assert_int_equal(zl_fail(&err, ZL_E_PULL, 0, "again: %s", err.message), -EIO);
        assert_non_null(strstr(err.message, "again: service web"));
        assert_null(err.hint);
        zl_error_recode(&err, ZL_E_CORRUPT);
        assert_string_equal(zl_code_name(err.code), "corrupt");
}

static void works_without_an_object(void **state)
{
        assert_int_equal(zl_fail(NULL, ZL_E_NOT_FOUND, 0, "x"), -ENOENT);
        assert_int_equal(zl_fail_errno(NULL, EPERM, "x"), -EPERM);
        assert_int_equal(zl_fail_oom(NULL), -ENOMEM);
        zl_error_prefix(NULL, "x");
        zl_error_hint(NULL, "x");
        zl_error_done(NULL);
        zl_error_move(NULL, NULL);
}

static void out_of_memory_needs_no_memory(void **state)
{
        struct zl_error err = ZL_ERROR_INIT;

        assert_int_equal(zl_fail_oom(&err), -ENOMEM);
        assert_string_equal(err.message, "out of memory");
        zl_error_prefix(&err, "while testing");
        assert_string_equal(err.message, "while testing: out of memory");
        zl_error_done(&err);
        assert_int_equal(zl_fail_oom(&err), -ENOMEM);
        zl_error_done(&err);
        assert_null(err.message);
}

static void moves(void **state)
{
        struct zl_error a = ZL_ERROR_INIT, b = ZL_ERROR_INIT;

        zl_fail(&a, ZL_E_BUSY, 0, "a");
        zl_fail(&b, ZL_E_IO, 0, "b");
        zl_error_move(&b, &a);
        assert_string_equal(b.message, "a");
        assert_false(zl_error_is_set(&a));
        zl_error_move(&b, &b);
        assert_string_equal(b.message, "a");
        zl_error_move(NULL, &b);
        assert_false(zl_error_is_set(&b));
}

static void every_code_has_a_name_and_an_errno(void **state)
{
        for (int code = 1; code < ZL_E_MAX_; code++) {
                assert_string_not_equal(zl_code_name(code), "unknown");
                assert_true(zl_fail(NULL, code, 0, "x") < 0);
                for (int other = 1; other < code; other++)
                        assert_string_not_equal(zl_code_name(code), zl_code_name(other));
        }
        assert_string_equal(zl_code_name(ZL_E_MAX_), "unknown");
        assert_string_equal(zl_code_name(-1), "unknown");
        assert_int_equal(zl_code_from_errno(ENOENT), ZL_E_NOT_FOUND);
        assert_int_equal(zl_code_from_errno(EDQUOT), ZL_E_NO_SPACE);
        assert_int_equal(zl_code_from_errno(0x7fff), ZL_E_IO);
}

static char logged[256];

static void sink(enum zl_log_level level, const char *message, void *data)
{
        snprintf(logged, sizeof logged, "%s %s %s", (const char *)data, zl_log_level_name(level),
                 message);
}

static void logs_what_the_level_lets_through(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        enum zl_log_level level;

        zl_warn("nobody listens yet");
        zl_log_set(ZL_LOG_INFO, sink, (void *)"p");
        zl_debug("dropped");
        assert_string_equal(logged, "");
        zl_info("n=%d", 5);
        assert_string_equal(logged, "p info n=5");
        zl_fail(&err, ZL_E_IO, 0, "broken");
        zl_error_hint(&err, "mend it");
        zl_log_error(ZL_LOG_ERROR, &err, "service %s", "web");
        assert_string_equal(logged, "p error service web: broken (mend it)");
        zl_log_set(ZL_LOG_WARNING, NULL, NULL);
        assert_int_equal(zl_log_level_parse("WARN", &level), 0);
        assert_int_equal(level, ZL_LOG_WARNING);
        assert_int_equal(zl_log_level_parse("loud", &level), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(fills_and_prefixes),
                cmocka_unit_test(works_without_an_object),
                cmocka_unit_test(out_of_memory_needs_no_memory),
                cmocka_unit_test(moves),
                cmocka_unit_test(every_code_has_a_name_and_an_errno),
                cmocka_unit_test(logs_what_the_level_lets_through),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
