/* SPDX-License-Identifier: Apache-2.0 */
/* posix_spawn() and not fork(): the callers have threads, and a large image that is not to be copied. */
#include "base/spawn.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>

int zl_spawn_detached(const char *program, char *const *argv, char *const *env, int fd,
                      pid_t *ret_pid)
{
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none, all;
        int r;

        sigemptyset(&none);
        sigfillset(&all);
        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        if (posix_spawnattr_init(&attr) != 0) {
                posix_spawn_file_actions_destroy(&actions);
                return -ENOMEM;
        }
        /* Onto itself, dup2 clears O_CLOEXEC: the C library knows that case. */
        r = posix_spawn_file_actions_adddup2(&actions, fd, ZL_SPAWN_FD);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, ZL_SPAWN_FD + 1);
        /* These three only fail for values that do not exist. */
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setsigdefault(&attr, &all);
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                POSIX_SPAWN_SETSID);
        if (r == 0)
                r = posix_spawn(ret_pid, program, &actions, &attr, argv, env);
        posix_spawnattr_destroy(&attr);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}
