/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs several commands in turn, round by round, and prints how long each took, so that all of them meet the same
 * moods of the machine.
 *
 *     race [-n ROUNDS] [-w WARMUP] [-p PACE_MS] [-j JOBS] -- CMD ARG.. -- CMD ARG.. ...
 *
 * A "@" inside an argument becomes a number that is different in each run (for container names); an argument
 * ";" ends one program and begins the next of a sequence, which counts as one run (not with -j). With -p a run begins at most every PACE_MS milliseconds; with -j each run starts JOBS copies and waits
 * for all. Output: one line per command and round: COMMAND_NUMBER ROUND NANOSECONDS MAXRSS_KIB EXIT_STATUS.
 * Standard output of the commands is dropped; standard error is ours.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_COMMANDS = 64, MAX_ARGS = 128, MAX_JOBS = 256 };

extern char **environ;

static uint64_t now(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A copy of the arguments with every "@" in them replaced by the number of the run. */
static void instantiate(char **argv, char **out, char numbers[MAX_ARGS][256], unsigned run)
{
        int i;

        for (i = 0; argv[i] && i < MAX_ARGS - 1; i++) {
                char *at = strchr(argv[i], '@');

                out[i] = argv[i];
                if (!at)
                        continue;
                snprintf(numbers[i], sizeof numbers[i], "%.*s%u%s", (int)(at - argv[i]), argv[i],
                         run, at + 1);
                out[i] = numbers[i];
        }
        out[i] = NULL;
}

struct result {
        uint64_t nsec;
        long maxrss;
        int status;
};

static void account(struct result *result, pid_t pid)
{
        struct rusage usage;
        int status;

        wait4(pid, &status, 0, &usage);
        if (WIFSIGNALED(status))
                result->status = 128 + WTERMSIG(status);
        else if (WEXITSTATUS(status))
                result->status = WEXITSTATUS(status);
        if (usage.ru_maxrss > result->maxrss)
                result->maxrss = usage.ru_maxrss;
}

static pid_t start(char **args, const posix_spawn_file_actions_t *actions)
{
        pid_t pid;

        if (posix_spawnp(&pid, args[0], actions, NULL, args, environ) != 0) {
                fprintf(stderr, "race: cannot run %s\n", args[0]);
                exit(125);
        }
        return pid;
}

/* The programs of a sequence, one after the other. */
static void run_sequence(struct result *result, char **args,
                         const posix_spawn_file_actions_t *actions)
{
        while (*args) {
                char **end = args;

                while (*end && strcmp(*end, ";") != 0)
                        end++;
                if (*end)
                        *end++ = NULL;
                account(result, start(args, actions));
                args = end;
        }
}

static struct result run_once(char **argv, int jobs, const posix_spawn_file_actions_t *actions)
{
        static unsigned run;
        char numbers[MAX_ARGS][256], *args[MAX_ARGS];
        struct result result = { 0 };
        pid_t pids[MAX_JOBS];
        uint64_t begin = now();

        for (int j = 0; j < jobs; j++) {
                instantiate(argv, args, numbers, ++run);
                if (jobs == 1)
                        run_sequence(&result, args, actions);
                else
                        pids[j] = start(args, actions);
        }
        for (int j = 0; jobs > 1 && j < jobs; j++)
                account(&result, pids[j]);
        result.nsec = now() - begin;
        return result;
}

static void pace(uint64_t *next, uint64_t interval)
{
        uint64_t t = now();

        if (*next > t) {
                struct timespec ts = { (time_t)((*next - t) / 1000000000u),
                                       (long)((*next - t) % 1000000000u) };

                nanosleep(&ts, NULL);
        }
        *next = (*next > t ? *next : t) + interval;
}

int main(int argc, char **argv)
{
        int rounds = 60, warmup = 5, pace_ms = 0, jobs = 1, n = 0, opt;
        char **commands[MAX_COMMANDS];
        posix_spawn_file_actions_t actions;
        uint64_t next = 0;

        while ((opt = getopt(argc, argv, "+n:w:p:j:")) != -1) {
                int value = atoi(optarg ? optarg : "");

                if (opt == 'n')
                        rounds = value;
                else if (opt == 'w')
                        warmup = value;
                else if (opt == 'p')
                        pace_ms = value;
                else if (opt == 'j' && value >= 1 && value <= MAX_JOBS)
                        jobs = value;
                else
                        return 2;
        }
        for (int i = optind - 1; i < argc && n < MAX_COMMANDS; i++) {
                if (strcmp(argv[i], "--") != 0)
                        continue;
                argv[i] = NULL;
                if (i + 1 < argc)
                        commands[n++] = argv + i + 1;
        }
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
        for (int round = -warmup; round < rounds; round++) {
                for (int c = 0; c < n; c++) {
                        struct result r;

                        if (pace_ms > 0)
                                pace(&next, (uint64_t)pace_ms * 1000000u);
                        r = run_once(commands[c], jobs, &actions);
                        if (round >= 0)
                                printf("%d %d %" PRIu64 " %ld %d\n", c, round, r.nsec, r.maxrss,
                                       r.status);
                }
        }
        return 0;
}
