/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in front of an OCI runtime and puts down how long that takes: one line "OPERATION NANOSECONDS" per call in the file
 * "times" beside this program, which runs the program "real" beside it with the same arguments. What a caller needs beyond the
 * sum of these is its own, and what this program costs: bench/runtimes.py finds that out.
 */
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The first word that is neither an option nor the value of one that has it. */
static const char *operation(char **argv)
{
        static const char *const valued[] = { "--root", "--log", "--log-format" };

        for (argv++; *argv; argv++) {
                if (**argv != '-')
                        return *argv;
                for (size_t i = 0; i < sizeof(valued) / sizeof(*valued); i++)
                        if (strcmp(*argv, valued[i]) == 0 && argv[1])
                                argv++;
        }
        return "-";
}

int main(int argc, char **argv)
{
        extern char **environ;
        char dir[PATH_MAX], real[PATH_MAX + 8], times[PATH_MAX + 8], line[128];
        ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
        long long begin = now();
        int status, fd, len;
        pid_t pid;

        if (argc < 1 || n < 0)
                return 125;
        dir[n] = 0;
        *strrchr(dir, '/') = 0;
        snprintf(real, sizeof(real), "%s/real", dir);
        snprintf(times, sizeof(times), "%s/times", dir);
        if (posix_spawn(&pid, real, NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) < 0)
                return 125;
        len = snprintf(line, sizeof(line), "%s %lld\n", operation(argv), now() - begin);
        fd = open(times, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, line, (size_t)len) != len)
                return 125;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
