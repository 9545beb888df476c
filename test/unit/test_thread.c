/* SPDX-License-Identifier: Apache-2.0 */
/* A thread of ours gets no signal of the program, and the caller's mask is what it was. */
#include "support.h"

#include <signal.h>

#include "base/thread.h"

static void *look(void *data)
{
        pthread_sigmask(SIG_SETMASK, NULL, data);
        return data;
}

static void test_signals_are_the_programs(void **state)
{
        static const int numbers[] = { SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGPIPE };
        sigset_t usr2, before, mask, after;
        pthread_t thread;
        void *result;

        (void)state;
        sigemptyset(&usr2);
        sigaddset(&usr2, SIGUSR2);
        pthread_sigmask(SIG_BLOCK, &usr2, &before);
        sigemptyset(&mask);
        assert_int_equal(zl_thread_start(&thread, look, &mask), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, &mask);
        pthread_sigmask(SIG_SETMASK, &before, &after);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(numbers); i++) {
                assert_true(sigismember(&mask, numbers[i]));
                assert_int_equal(sigismember(&after, numbers[i]), sigismember(&before, numbers[i]));
        }
        assert_true(sigismember(&after, SIGUSR2));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_signals_are_the_programs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
