/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

uint64_t zl_process_start_time(pid_t pid)
{
        char path[32], text[1024]; /* 52 numbers and a name */
        _cleanup_close_ int fd = -EBADF;
        const char *p;
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return 0;
        text[n] = 0;
        /* The name may hold blanks and brackets; the 20th field after it is the start time. */
        p = strrchr(text, ')');
        for (int i = 0; p && i < 20; i++)
                p = strchr(p + 1, ' ');
        return p ? strtoull(p + 1, NULL, 10) : 0;
}

int zl_process_ask(const char *path, char *const *args, char *const *env, const int out[2],
                   pid_t *ret)
{
        static char *const empty[] = { NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none;
        int r;

        sigemptyset(&none);
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attr);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, out[0], STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
        r = posix_spawn(ret, path, &actions, &attr, args, env ? env : empty);
        posix_spawnattr_destroy(&attr);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* PROC_USER_INIT_INO of the kernel. */
#define FIRST_USERNS_INO 0xEFFFFFFDU

bool zl_process_is_in_first_userns(void)
{
        struct stat st;

        return stat("/proc/self/ns/user", &st) < 0 || st.st_ino == FIRST_USERNS_INO;
}

const char *zl_process_opaque_xattr(void)
{
        return zl_process_is_in_first_userns() ? "trusted.overlay.opaque" : "user.overlay.opaque";
}
