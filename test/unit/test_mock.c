/* SPDX-License-Identifier: Apache-2.0 */
/* The mock runtime keeps the contract of the interface: states, events, waiting, logs, failures on demand. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <zlayer/spec.h>

#include "base/clock.h"
#include "runtimes/mock.h"

static struct zl_runtime *rt;
static char image[] = "bb";
static struct zl_service_spec spec = { .image.name = image };

static int setup(void **state)
{
        return zl_runtime_new(ZL_RUNTIME_MOCK, NULL, &rt, NULL);
}

static int teardown(void **state)
{
        zl_runtime_free(rt);
        return 0;
}

static int create(const char *name)
{
        struct zl_create_options o = { .name = name, .spec = &spec };

        return zl_runtime_create(rt, &o, NULL);
}

static enum zl_workload_state state_of(const char *name)
{
        struct zl_status s;
        enum zl_workload_state state;

        assert_int_equal(zl_runtime_state(rt, name, &s, NULL), 0);
        state = s.state;
        zl_status_done(&s);
        return state;
}

static void test_life(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_status s;

        assert_int_equal(create("d01.web.1"), 0);
        assert_int_equal(create("d01.web.1"), -EEXIST);
        assert_int_equal(state_of("d01.web.1"), ZL_STATE_PENDING);
        assert_int_equal(zl_runtime_start(rt, "d01.web.1", NULL), 0);
        assert_true(zl_runtime_start(rt, "d01.web.1", &err) < 0);
        assert_int_equal(err.code, ZL_E_STATE);
        assert_true(zl_runtime_remove(rt, "d01.web.1", false, NULL) < 0);
        assert_int_equal(zl_mock_exit(rt, "d01.web.1", 42, 0, false, NULL), 0);
        assert_int_equal(zl_runtime_wait(rt, "d01.web.1", -1, &s, NULL), 0);
        assert_int_equal(s.exit_code, 42);
        assert_int_equal(s.generation, 1);
        zl_status_done(&s);
        /* started again: a new generation with a clean record */
        assert_int_equal(zl_runtime_start(rt, "d01.web.1", NULL), 0);
        assert_int_equal(zl_runtime_kill(rt, "d01.web.1", 9, false, NULL), 0);
        assert_int_equal(zl_runtime_state(rt, "d01.web.1", &s, NULL), 0);
        assert_int_equal(s.exit_code, 137);
        assert_int_equal(s.signal, 9);
        assert_int_equal(s.generation, 2);
        zl_status_done(&s);
        assert_int_equal(zl_runtime_remove(rt, "d01.web.1", false, NULL), 0);
        assert_int_equal(zl_runtime_remove(rt, "d01.web.1", false, NULL), -ENOENT);
}

static void test_ready(void **state)
{
        assert_int_equal(create("d01.web.1"), 0);
        assert_true(zl_runtime_set_ready(rt, "d01.web.1", true, NULL) < 0);
        assert_int_equal(zl_runtime_start(rt, "d01.web.1", NULL), 0);
        assert_false(zl_mock_is_ready(rt, "d01.web.1"));
        assert_int_equal(zl_runtime_set_ready(rt, "d01.web.1", true, NULL), 0);
        assert_true(zl_mock_is_ready(rt, "d01.web.1"));
        assert_int_equal(zl_runtime_set_ready(rt, "d01.web.1", true, NULL), 0);
        /* whoever ends gets no traffic, and has to become ready anew */
        assert_int_equal(zl_mock_exit(rt, "d01.web.1", 0, 0, false, NULL), 0);
        assert_false(zl_mock_is_ready(rt, "d01.web.1"));
        assert_int_equal(zl_runtime_start(rt, "d01.web.1", NULL), 0);
        assert_false(zl_mock_is_ready(rt, "d01.web.1"));
        assert_int_equal(zl_runtime_set_ready(rt, "d01.web.2", true, NULL), -ENOENT);
}

static void test_bad_names(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        assert_true(create("../../etc") < 0);
        assert_true(zl_runtime_start(rt, "web", &err) < 0);
        assert_int_equal(err.code, ZL_E_INVALID);
}

static void test_watch(void **state)
{
        struct zl_watch *watch;
        struct zl_status s;
        struct pollfd pfd = { .events = POLLIN };
        static const enum zl_workload_state expected[] = { ZL_STATE_PENDING, ZL_STATE_RUNNING,
                                                           ZL_STATE_EXITED };

        assert_int_equal(create("d01.web.1"), 0);
        assert_int_equal(zl_watch_open(rt, "d01.web.1", &watch, NULL), 0);
        pfd.fd = zl_watch_fd(watch);
        zl_runtime_start(rt, "d01.web.1", NULL);
        zl_runtime_stop(rt, "d01.web.1", 0, NULL);
        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(poll(&pfd, 1, 1000), 1);
                assert_int_equal(zl_watch_next(watch, &s, NULL), 1);
                /* between running and exited stands "stopping" */
                assert_int_equal(s.state, i == 2 ? ZL_STATE_STOPPING : expected[i == 3 ? 2 : i]);
                assert_true(i < 3 || s.stop_requested);
                zl_status_done(&s);
        }
        assert_int_equal(zl_watch_next(watch, &s, NULL), -ENODATA);
        zl_watch_close(watch);
}

static void *end_soon(void *arg)
{
        usleep(20000);
        zl_mock_exit(rt, "d01.web.1", 3, 0, true, NULL);
        return NULL;
}

static void test_wait(void **state)
{
        pthread_t thread;
        struct zl_status s;

        assert_true(zl_runtime_wait(rt, "d01.web.1", -1, &s, NULL) == -ENOENT);
        create("d01.web.1");
        zl_runtime_start(rt, "d01.web.1", NULL);
        assert_int_equal(zl_runtime_wait(rt, "d01.web.1", 5 * ZL_NSEC_PER_MSEC, &s, NULL),
                         -ETIMEDOUT);
        pthread_create(&thread, NULL, end_soon, NULL);
        assert_int_equal(zl_runtime_wait(rt, "d01.web.1", -1, &s, NULL), 0);
        assert_int_equal(s.exit_code, 3);
        assert_true(s.oom);
        zl_status_done(&s);
        pthread_join(thread, NULL);
}

static void test_failures(void **state)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        zl_mock_fail_next(rt, ZL_MOCK_CREATE, "d01.web.1", ZL_E_NO_SPACE, 1);
        {
                struct zl_create_options o = { .name = "d01.web.1", .spec = &spec };

                assert_true(zl_runtime_create(rt, &o, &err) < 0);
                assert_int_equal(err.code, ZL_E_NO_SPACE);
                assert_int_equal(zl_runtime_create(rt, &o, NULL), 0);
        }
        assert_int_equal(zl_mock_count(rt, ZL_MOCK_CREATE), 2);
}

static void test_logs(void **state)
{
        struct zl_log_options o = { .tail = 2, .follow = true };
        struct zl_logs *logs;
        struct zl_log_entry e;

        create("d01.web.1");
        zl_runtime_start(rt, "d01.web.1", NULL);
        zl_mock_say(rt, "d01.web.1", 1, "one", NULL);
        zl_mock_say(rt, "d01.web.1", 2, "two", NULL);
        zl_mock_say(rt, "d01.web.1", 1, "three", NULL);
        assert_int_equal(zl_logs_open(rt, "d01.web.1", &o, &logs, NULL), 0);
        assert_int_equal(zl_logs_next(logs, &e, NULL), 1);
        assert_string_equal(e.data, "two");
        assert_int_equal(e.stream, 2);
        assert_int_equal(zl_logs_next(logs, &e, NULL), 1);
        assert_int_equal(zl_logs_next(logs, &e, NULL), 0);
        zl_mock_say(rt, "d01.web.1", 1, "four", NULL);
        assert_int_equal(zl_logs_next(logs, &e, NULL), 1);
        assert_string_equal(e.data, "four");
        zl_mock_exit(rt, "d01.web.1", 0, 0, false, NULL);
        assert_int_equal(zl_logs_next(logs, &e, NULL), -ENODATA);
        zl_logs_close(logs);
}

static bool ignore_stop(const char *name, int *ret_code, void *data)
{
        return false;
}

static int end_with_seven(const char *name, uint32_t generation, void *data)
{
        return 7;
}

static void test_hooks(void **state)
{
        struct zl_mock_hooks hooks = { .on_stop = ignore_stop };
        struct zl_status s;

        zl_mock_set_hooks(rt, &hooks);
        create("d01.web.1");
        zl_runtime_start(rt, "d01.web.1", NULL);
        assert_int_equal(zl_runtime_stop(rt, "d01.web.1", ZL_NSEC_PER_MSEC, NULL), 0);
        zl_runtime_state(rt, "d01.web.1", &s, NULL);
        assert_int_equal(s.exit_code, 137);
        zl_status_done(&s);
        hooks.on_start = end_with_seven;
        zl_mock_set_hooks(rt, &hooks);
        create("d01.web.2");
        zl_runtime_start(rt, "d01.web.2", NULL);
        zl_runtime_state(rt, "d01.web.2", &s, NULL);
        assert_int_equal(s.exit_code, 7);
        zl_status_done(&s);
}

static void test_list_order(void **state)
{
        struct zl_status *all;
        size_t n;

        create("d01.web.10");
        create("d01.web.2");
        create("c01.x.1");
        assert_int_equal(zl_runtime_list(rt, &all, &n, NULL), 0);
        assert_int_equal(n, 3);
        assert_string_equal(all[0].name, "c01.x.1");
        assert_string_equal(all[1].name, "d01.web.2");
        assert_string_equal(all[2].name, "d01.web.10");
        for (size_t i = 0; i < n; i++)
                zl_status_done(&all[i]);
        free(all);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_life, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ready, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bad_names, setup, teardown),
                cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
                cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
                cmocka_unit_test_setup_teardown(test_logs, setup, teardown),
                cmocka_unit_test_setup_teardown(test_hooks, setup, teardown),
                cmocka_unit_test_setup_teardown(test_list_order, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
