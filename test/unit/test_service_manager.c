/* SPDX-License-Identifier: Apache-2.0 */
/* The agent inside of a program: what it holds while it lives, and lets go of when it ends. */
#include "support.h"

#include <zlayer/service_manager.h>

#include "agent/control.h"

static void the_root_directory_is_held_as_long_as_it_lives(void **state)
{
        const struct place *p = *state;
        struct zl_runtime_options runtime = { .root_dir = p->path, .runtime_dir = p->path };
        struct zl_service_manager_options options = { .runtime = &runtime };
        struct zl_service_manager *manager = NULL;
        struct zl_error err = ZL_ERROR_INIT;
        enum zl_deployment_state phase;
        int fd;

        if (zl_service_manager_new(ZL_RUNTIME_MOCK, &options, &manager, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
        assert_int_equal(zl_root_lock_take(p->path, true, NULL, &err), -EBUSY);
        zl_error_done(&err);
        /* beside other agents, but not beside a daemon */
        fd = zl_root_lock_take(p->path, false, NULL, &err);
        assert_true(fd >= 0);
        close(fd);
        /* a call wakes its thread */
        assert_int_equal(zl_service_manager_state(manager, "nobody", &phase, NULL, &err), -ENOENT);
        zl_error_done(&err);
        assert_int_equal(zl_root_lock_take(p->path, true, NULL, &err), -EBUSY);
        zl_error_done(&err);
        zl_service_manager_free(manager);
        fd = zl_root_lock_take(p->path, true, NULL, &err);
        if (fd < 0)
                fail_msg("%s", zl_error_message(&err));
        close(fd);
}

/* A daemon that was killed leaves its pid; whoever shares the lock has perhaps not wiped it yet. */
static void a_name_that_a_dead_daemon_left_is_not_believed(void **state)
{
        const struct place *p = *state;
        struct zl_error err = ZL_ERROR_INIT;
        pid_t holder = 0;
        int shared = zl_root_lock_take(p->path, false, NULL, &err), alone;

        assert_true(shared >= 0);
        put_file(p->fd, "agent.lock", "4711");
        assert_int_equal(zl_root_lock_take(p->path, true, &holder, &err), -EBUSY);
        assert_int_equal(holder, 0);
        zl_error_done(&err);
        close(shared);
        alone = zl_root_lock_take(p->path, true, NULL, &err);
        assert_true(alone >= 0);
        assert_int_equal(zl_root_lock_take(p->path, true, &holder, &err), -EBUSY);
        assert_int_equal(holder, getpid());
        zl_error_done(&err);
        close(alone);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_root_directory_is_held_as_long_as_it_lives),
                cmocka_unit_test(a_name_that_a_dead_daemon_left_is_not_believed),
        };

        return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
