/* SPDX-License-Identifier: Apache-2.0 */
/* The exit record: what is saved is loaded, and what is no record is refused. */
#include "support.h"

#include "base/macro.h"
#include "monitor/record.h"

static void test_round_trip(void **state)
{
        struct place *p = *state;
        struct zl_exit_record in = {
                .generation = 7,
                .exit_code = 137,
                .signal = 9,
                .oom = true,
                .stop_requested = true,
                .reason = (char *)"ended \"badly\"\n\tüber \x01 alles \\",
                .created_at = 1700000000123456789,
                .started_at = 1700000001000000001,
                .finished_at = 1700000002999999999,
                .memory_peak = 12345678901,
                .cpu_usec = 42,
                .oom_kills = 3,
                .log_bytes = 100,
                .log_dropped = 1,
        };
        struct zl_exit_record out;

        assert_int_equal(zl_exit_record_save(p->fd, &in, NULL), 0);
        assert_int_equal(zl_exit_record_load(p->fd, &out, NULL), 0);
        assert_string_equal(out.reason, in.reason);
        free(out.reason);
        out.reason = in.reason;
        assert_memory_equal(&in, &out, sizeof(in));
}

static void test_bad_bytes_in_the_reason(void **state)
{
        struct place *p = *state;
        struct zl_exit_record in = { .exit_code = -1,
                                     .failed = true,
                                     .reason = (char *)"bad \xff\xfe" };
        struct zl_exit_record out;

        assert_int_equal(zl_exit_record_save(p->fd, &in, NULL), 0);
        assert_int_equal(zl_exit_record_load(p->fd, &out, NULL), 0);
        assert_string_equal(out.reason, "bad ??");
        assert_true(out.failed);
        zl_exit_record_done(&out);
}

static void test_refused(void **state)
{
        static const char *const bad[] = {
                "",
                "{",
                "[]",
                "{}",
                "{\"generation\":1}",
                "{\"generation\":\"1\",\"exit_code\":0,\"signal\":0,\"oom\":false,\"stop_requested\":false,\"failed\":false}",
                "{\"generation\":1,\"exit_code\":256,\"signal\":0,\"oom\":false,\"stop_requested\":false,\"failed\":false}",
                "{\"generation\":1,\"exit_code\":0,\"signal\":0,\"oom\":0,\"stop_requested\":false,\"failed\":false}",
                "{\"generation\":1,\"exit_code\":0,\"signal\":0,\"oom\":false,\"stop_requested\":false,\"failed\":false,\"finished_at\":\"soon\"}",
        };
        struct place *p = *state;
        struct zl_exit_record out;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                struct zl_error err = ZL_ERROR_INIT;

                put_file(p->fd, ZL_EXIT_RECORD_NAME, bad[i]);
                assert_true(zl_exit_record_load(p->fd, &out, &err) < 0);
                assert_int_equal(err.code, ZL_E_CORRUPT);
                zl_error_done(&err);
        }
}

static void test_blank(void **state)
{
        struct place *p = *state;
        struct zl_exit_record in = { .generation = 3, .exit_code = 5, .reason = (char *)"why" },
                              out;
        struct stat made, filled;
        char long_reason[5000];

        assert_int_equal(zl_exit_record_prepare(p->fd), 0);
        assert_int_equal(fstatat(p->fd, ZL_EXIT_RECORD_NAME, &made, 0), 0);
        assert_int_equal(zl_exit_record_load(p->fd, &out, NULL), -ENOENT);
        assert_int_equal(zl_exit_record_prepare(p->fd), -EEXIST);
        assert_int_equal(zl_exit_record_remove(p->fd, NULL), 0);
        /* It is filled in its place, and is a record like any other then. */
        assert_int_equal(zl_exit_record_save(p->fd, &in, NULL), 0);
        assert_int_equal(fstatat(p->fd, ZL_EXIT_RECORD_NAME, &filled, 0), 0);
        assert_int_equal(filled.st_ino, made.st_ino);
        assert_int_equal(filled.st_size, made.st_size);
        assert_int_equal(zl_exit_record_load(p->fd, &out, NULL), 0);
        assert_int_equal(out.exit_code, 5);
        assert_string_equal(out.reason, "why");
        zl_exit_record_done(&out);
        in.exit_code = 6;
        assert_int_equal(zl_exit_record_save(p->fd, &in, NULL), 0);
        assert_int_equal(zl_exit_record_load(p->fd, &out, NULL), 0);
        assert_int_equal(out.exit_code, 6);
        zl_exit_record_done(&out);
        assert_int_equal(zl_exit_record_remove(p->fd, NULL), 0);
        assert_int_equal(faccessat(p->fd, ZL_EXIT_RECORD_NAME, F_OK, 0), -1);
        /* One that does not fit goes another way. */
        assert_int_equal(zl_exit_record_prepare(p->fd), 0);
        memset(long_reason, 'x', sizeof(long_reason));
        long_reason[sizeof(long_reason) - 1] = 0;
        in.reason = long_reason;
        assert_int_equal(zl_exit_record_save(p->fd, &in, NULL), 0);
        assert_int_equal(zl_exit_record_load(p->fd, &out, NULL), 0);
        assert_int_equal(strlen(out.reason), 4096);
        zl_exit_record_done(&out);
}

static void test_missing(void **state)
{
        struct place *p = *state;
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_exit_record out;

        assert_int_equal(zl_exit_record_remove(p->fd, NULL), 0);
        assert_int_equal(zl_exit_record_remove(p->fd, NULL), 0);
        assert_int_equal(zl_exit_record_load(p->fd, &out, &err), -ENOENT);
        assert_int_equal(err.code, ZL_E_NOT_FOUND);
        zl_error_done(&err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_round_trip), TEST(test_bad_bytes_in_the_reason),
                TEST(test_refused),    TEST(test_missing),
                TEST(test_blank),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
