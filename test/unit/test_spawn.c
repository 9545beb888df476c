/* SPDX-License-Identifier: Apache-2.0 */
/* What a spawned program inherits, and the time at which a process started. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "base/spawn.h"

enum { STRAY_FD = 50 };

/* The shell says "fine" on descriptor 3 if it has nothing of ours but that. Two signals of its own (32 and 33) glibc leaves
 * ignored. grep looks at itself: a shell that waits blocks signals. */
static const char script[] =
        "test ! -e /proc/$$/fd/50 && grep -q '^SigIgn:.*[08]0000000$' /proc/self/status && "
        "grep -q '^SigBlk:.*0000000000000000' /proc/self/status && test -z \"$SECRET\" && "
        "read -r _ _ _ _ _ session _ </proc/$$/stat && test \"$session\" = $$ && echo fine >&3";

static void test_detached(void **state)
{
        char *argv[] = { (char *)"sh", (char *)"-c", (char *)(uintptr_t)script, NULL };
        char *env[] = { (char *)"PATH=/usr/bin:/bin", NULL };
        char said[16] = "";
        sigset_t usr1, old;
        int fds[2], status;
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(dup2(STDERR_FILENO, STRAY_FD),
                         STRAY_FD); /* inherited by whoever does not close */
        signal(SIGUSR2, SIG_IGN);
        sigemptyset(&usr1);
        sigaddset(&usr1, SIGUSR1);
        sigprocmask(SIG_BLOCK, &usr1, &old);
        setenv("SECRET", "hush", 1);
        assert_int_equal(zl_spawn_detached("/bin/sh", argv, env, fds[1], &pid), 0);
        sigprocmask(SIG_SETMASK, &old, NULL);
        signal(SIGUSR2, SIG_DFL);
        close(STRAY_FD);
        close(fds[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(read(fds[0], said, sizeof(said) - 1), 5);
        assert_string_equal(said, "fine\n");
        close(fds[0]);
}

static void test_missing_program(void **state)
{
        char *argv[] = { (char *)"none", NULL }, *env[] = { NULL };
        pid_t pid;

        assert_int_equal(zl_spawn_detached("/nowhere/none", argv, env, STDERR_FILENO, &pid),
                         -ENOENT);
}

static void test_start_time(void **state)
{
        pid_t pid = fork();
        uint64_t started;

        if (pid == 0) {
                pause();
                _exit(0);
        }
        started = zl_process_start_time(pid);
        assert_true(started >= zl_process_start_time(getpid()));
        assert_true(zl_process_start_time(getpid()) > 0);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(zl_process_start_time(pid), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_detached),
                cmocka_unit_test(test_missing_program),
                cmocka_unit_test(test_start_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
