/* SPDX-License-Identifier: Apache-2.0 */
/* A process on our memory: what it leaves behind, and what it does not. */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux/clone.h"
#include "support.h"

struct seen {
        pid_t pid;
        int dumpable, n_cpus;
        bool may_be_signalled;
        char far[4096]; /* deep in the stack of both */
};

static void look(struct seen *seen)
{
        char deep[2048];
        cpu_set_t cpus;
        sigset_t mask;

        memset(deep, 0x5a, sizeof deep);
        memcpy(seen->far, deep, sizeof deep);
        sched_getaffinity(0, sizeof cpus, &cpus);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        seen->n_cpus = CPU_COUNT(&cpus);
        seen->may_be_signalled = !sigismember(&mask, SIGTERM);
        seen->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
        seen->pid = getpid();
}

static void run(void *data)
{
        look(data);
        _exit(7);
}

static void test_borrowing(void **state _unused_)
{
        struct zl_clone how = { .cgroup_fd = -1, .hidden = 1 };
        struct seen *seen = calloc(1, sizeof *seen);
        cpu_set_t before, after;
        sigset_t mask;
        int status _unused_;
        pid_t pid;

        sched_getaffinity(0, sizeof before, &before);
        pid = zl_clone_borrowing(&how, run, seen);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
        !(defined(__x86_64__) || defined(__aarch64__))
        assert_int_equal(pid, -ENOSYS);
#else
        assert_true(pid > 0);
        assert_int_equal(seen->pid, pid); /* it has ended already */
        assert_int_equal(seen->far[2047], 0x5a);
        assert_int_equal(seen->n_cpus, 1);
        assert_int_equal(seen->dumpable, 0);
        assert_false(seen->may_be_signalled);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
#endif
        sched_getaffinity(0, sizeof after, &after);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        assert_memory_equal(&before, &after, sizeof before);
        assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
        assert_false(sigismember(&mask, SIGTERM));
        free(seen);
}

static void test_forbidden(void **state _unused_)
{
        struct zl_clone how = { .cgroup_fd = -1 };
        struct seen seen = { 0 };

        setenv("ZL_FORBID", "borrow", 1);
        assert_int_equal(zl_clone_borrowing(&how, run, &seen), -ENOSYS);
        unsetenv("ZL_FORBID");
        /* What the kernel refuses: no directory of a group. */
        how.cgroup_fd = STDIN_FILENO;
        assert_true(zl_clone_borrowing(&how, run, &seen) < 0);
        assert_int_equal(seen.pid, 0);
        assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_borrowing),
                cmocka_unit_test(test_forbidden),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
