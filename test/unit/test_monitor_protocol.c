/* SPDX-License-Identifier: Apache-2.0 */
/* The wire: what is encoded is decoded, every cut and every extra byte is noticed, junk does not crash. */
#include "support.h"

#include "monitor/protocol.h"

static void make_status(struct zl_buf *buf)
{
        struct zl_monitor_status status = {
                .state = ZL_STATE_EXITED,
                .monitor_pid = 5,
                .pid = 6,
                .terminal = true,
                .n_execs = 2,
                .n_attached = 3,
                .record = { .generation = 4,
                            .exit_code = 137,
                            .signal = 9,
                            .oom = true,
                            .reason = (char *)"why" },
        };

        zl_wire_begin(buf, ZL_WIRE_STATE, 77);
        zl_wire_put_status(buf, &status);
        assert_int_equal(zl_wire_end(buf), 0);
}

static int read_status(const void *data, size_t len, struct zl_monitor_status *ret)
{
        struct zl_wire_head head;
        struct zl_wire wire;
        int r = zl_wire_open(&wire, data, len, &head);

        if (r < 0)
                return r;
        assert_int_equal(head.serial, 77);
        zl_wire_get_status(&wire, ret);
        return zl_wire_finish(&wire);
}

static void test_status(void **state)
{
        struct zl_buf buf = ZL_BUF_INIT(ZL_WIRE_MAX);
        struct zl_monitor_status out = ZL_MONITOR_STATUS_INIT;

        make_status(&buf);
        assert_int_equal(read_status(buf.data, buf.len, &out), 0);
        assert_int_equal(out.state, ZL_STATE_EXITED);
        assert_int_equal(out.pid, 6);
        assert_int_equal(out.record.signal, 9);
        assert_true(out.record.oom);
        assert_string_equal(out.record.reason, "why");
        zl_monitor_status_done(&out);
        zl_buf_done(&buf);
}

static void test_every_cut_is_noticed(void **state)
{
        struct zl_buf buf = ZL_BUF_INIT(ZL_WIRE_MAX);

        make_status(&buf);
        for (size_t len = 0; len < buf.len; len++) {
                struct zl_monitor_status out = ZL_MONITOR_STATUS_INIT;
                uint32_t body = (uint32_t)(len - sizeof(struct zl_wire_head));
                char *copy = malloc(len + 1); /* so that a sanitizer sees what is read beyond */

                memcpy(copy, buf.data, len);
                assert_int_equal(read_status(copy, len, &out), -EPROTO);
                /* With the length in the head made to fit, the body itself is too short. */
                if (len >= sizeof(struct zl_wire_head)) {
                        memcpy(copy + offsetof(struct zl_wire_head, len), &body, sizeof(body));
                        assert_int_equal(read_status(copy, len, &out), -EPROTO);
                }
                zl_monitor_status_done(&out);
                free(copy);
        }
        zl_buf_done(&buf);
}

static void test_extra_byte_is_noticed(void **state)
{
        struct zl_buf buf = ZL_BUF_INIT(ZL_WIRE_MAX);
        struct zl_monitor_status out = ZL_MONITOR_STATUS_INIT;

        make_status(&buf);
        zl_wire_put_u8(&buf, 0);
        assert_int_equal(zl_wire_end(&buf), 0);
        assert_int_equal(read_status(buf.data, buf.len, &out), -EPROTO);
        zl_monitor_status_done(&out);
        zl_buf_done(&buf);
}

static void test_error(void **state)
{
        struct zl_buf buf = ZL_BUF_INIT(ZL_WIRE_MAX);
        struct zl_error in = ZL_ERROR_INIT, out = ZL_ERROR_INIT;
        struct zl_wire_head head;
        struct zl_wire wire;

        zl_fail(&in, ZL_E_NO_COMMAND, ENOENT, "cannot execute sh");
        zl_error_hint(&in, "is it in the image?");
        zl_wire_begin(&buf, ZL_WIRE_ERROR, 1);
        zl_wire_put_error(&buf, &in);
        assert_int_equal(zl_wire_end(&buf), 0);
        assert_int_equal(zl_wire_open(&wire, buf.data, buf.len, &head), 0);
        assert_int_equal(zl_wire_get_error(&wire, &out), -ENOENT);
        assert_int_equal(out.code, ZL_E_NO_COMMAND);
        assert_int_equal(out.sys_errno, ENOENT);
        assert_string_equal(out.message, in.message);
        assert_string_equal(out.hint, in.hint);
        zl_error_done(&in);
        zl_error_done(&out);
        zl_buf_done(&buf);
}

static void test_vectors(void **state)
{
        char *const in[] = { (char *)"a", (char *)"", (char *)"c", NULL };
        struct zl_buf buf = ZL_BUF_INIT(ZL_WIRE_MAX);
        struct zl_wire_head head;
        struct zl_wire wire;
        char **out;

        zl_wire_begin(&buf, ZL_WIRE_EXEC, 1);
        zl_wire_put_strv(&buf, in);
        zl_wire_put_strv(&buf, NULL);
        zl_wire_put_str(&buf, NULL);
        zl_wire_put_str(&buf, "");
        assert_int_equal(zl_wire_end(&buf), 0);
        assert_int_equal(zl_wire_open(&wire, buf.data, buf.len, &head), 0);
        out = zl_wire_get_strv(&wire);
        assert_non_null(out);
        assert_string_equal(out[0], "a");
        assert_string_equal(out[1], "");
        assert_string_equal(out[2], "c");
        assert_null(out[3]);
        free(out);
        assert_null(zl_wire_get_strv(&wire));
        assert_null(zl_wire_get_str(&wire));
        assert_string_equal(zl_wire_get_str(&wire), "");
        assert_int_equal(zl_wire_finish(&wire), 0);
        zl_buf_done(&buf);
}

static void test_hostile_lengths(void **state)
{
        static const struct {
                uint32_t length;
                const char *rest;
                size_t rest_len;
        } cases[] = {
                { 0xfffffffe, "x", 2 }, /* far beyond the end */
                { 3, "ab", 3 - 1 },     /* one too long */
                { 3, "abc", 3 },        /* no NUL */
                { 3, "a\0\0", 3 },      /* a NUL too early */
                { 0x7fffffff, "", 0 },
        };

        for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
                struct zl_buf buf = ZL_BUF_INIT(ZL_WIRE_MAX);
                struct zl_wire_head head;
                struct zl_wire wire;

                zl_wire_begin(&buf, ZL_WIRE_EXEC, 1);
                if (i % 2)
                        zl_wire_put_u32(&buf, 1); /* in a vector of one */
                zl_wire_put_u32(&buf, cases[i / 2].length);
                zl_buf_put(&buf, cases[i / 2].rest, cases[i / 2].rest_len);
                assert_int_equal(zl_wire_end(&buf), 0);
                assert_int_equal(zl_wire_open(&wire, buf.data, buf.len, &head), 0);
                if (i % 2)
                        assert_null(zl_wire_get_strv(&wire));
                else
                        assert_null(zl_wire_get_str(&wire));
                assert_int_equal(zl_wire_finish(&wire), -EPROTO);
                zl_buf_done(&buf);
        }
}

static void test_versions(void **state)
{
        struct zl_buf buf = ZL_BUF_INIT(ZL_WIRE_MAX);
        struct zl_wire_head head;
        struct zl_wire wire;

        make_status(&buf);
        ((struct zl_wire_head *)(void *)buf.data)->version = 2;
        assert_int_equal(zl_wire_open(&wire, buf.data, buf.len, &head), -EPROTONOSUPPORT);
        assert_int_equal(head.version, 2);
        assert_int_equal(zl_wire_finish(&wire), -EPROTO);
        zl_buf_done(&buf);
}

static void test_too_long(void **state)
{
        struct zl_buf buf = ZL_BUF_INIT(2 * ZL_WIRE_MAX);
        char *big = calloc(1, 2 * ZL_WIRE_MAX);

        memset(big, 'x', 2 * ZL_WIRE_MAX - 1);
        zl_wire_begin(&buf, ZL_WIRE_EXEC, 1);
        zl_wire_put_str(&buf, big);
        assert_int_equal(zl_wire_end(&buf), -E2BIG);
        zl_buf_done(&buf);
        free(big);
}

static void test_launch(void **state)
{
        char *const lower[] = { (char *)"/l1", (char *)"/l2", NULL };
        struct zl_monitor_launch in = ZL_MONITOR_LAUNCH_INIT, out;
        struct zl_buf buf = ZL_BUF_INIT(ZL_WIRE_MAX);
        struct zl_wire_head head;
        struct zl_wire wire;
        uint32_t mask;

        in.name = "a.b.1";
        in.bundle = "/b";
        in.lower_dirs = lower;
        in.upper_dir = "/u";
        in.generation = 9;
        in.state_dir_fd = 0;
        in.run_dir_fd = 1;
        in.rows = 5;
        in.no_pivot = true;
        in.log_max_files = 8;
        in.keep_most = 7;
        zl_wire_begin(&buf, ZL_WIRE_LAUNCH, 1);
        zl_wire_put_launch(&buf, &in);
        assert_int_equal(zl_wire_end(&buf), 0);
        assert_int_equal(zl_wire_open(&wire, buf.data, buf.len, &head), 0);
        assert_int_equal(zl_wire_get_launch(&wire, &out, &mask), 0);
        assert_int_equal(mask, 1 << ZL_LAUNCH_STATE_DIR | 1 << ZL_LAUNCH_RUN_DIR);
        assert_string_equal(out.name, "a.b.1");
        assert_string_equal(out.lower_dirs[1], "/l2");
        assert_string_equal(out.upper_dir, "/u");
        assert_int_equal(out.keep_most, 7);
        assert_null(out.work_dir);
        assert_int_equal(out.generation, 9);
        assert_int_equal(out.rows, 5);
        assert_true(out.no_pivot);
        assert_false(out.init_reaper);
        assert_int_equal(out.log_max_files, 8);
        free((void *)out.lower_dirs);
        zl_buf_done(&buf);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_every_cut_is_noticed),
                cmocka_unit_test(test_extra_byte_is_noticed),
                cmocka_unit_test(test_error),
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_hostile_lengths),
                cmocka_unit_test(test_versions),
                cmocka_unit_test(test_too_long),
                cmocka_unit_test(test_launch),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
