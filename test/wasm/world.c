/* SPDX-License-Identifier: Apache-2.0 */
/* A guest for the tests: looks at its world and says what it finds. The first argument chooses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int show_world(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                printf("arg %s\n", argv[i]);
        for (char **e = environ; e && *e; e++)
                printf("env %s\n", *e);
        return 0;
}

static int copy_stdin(void)
{
        char buf[4096];
        size_t n;

        while ((n = fread(buf, 1, sizeof(buf), stdin)) > 0)
                fwrite(buf, 1, n, stdout);
        return 0;
}

static int write_file(const char *path)
{
        FILE *f = fopen(path, "w");

        if (!f || fputs("written by a guest\n", f) < 0 || fclose(f) != 0) {
                fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
                return 3;
        }
        return 0;
}

static int read_file(const char *path)
{
        FILE *f = fopen(path, "r");
        int c;

        if (!f) {
                fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
                return 4;
        }
        while ((c = getc(f)) != EOF)
                putchar(c);
        fclose(f);
        return 0;
}

static int much(long lines)
{
        for (long i = 0; i < lines; i++)
                printf("%ld 0123456789012345678901234567890123456789\n", i);
        return 0;
}

static int clocks(void)
{
        struct timespec a, b;
        unsigned char random[16] = { 0 };
        int sum = 0;

        clock_gettime(CLOCK_MONOTONIC, &a);
        usleep(20000);
        clock_gettime(CLOCK_MONOTONIC, &b);
        if (getentropy(random, sizeof(random)) != 0)
                return 5;
        for (size_t i = 0; i < sizeof(random); i++)
                sum += random[i];
        printf("slept %d random %d time %d\n",
               (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec >= 20000000, sum > 0,
               time(NULL) > 1700000000);
        return 0;
}

/* What an instance finds in its memory, and random bytes: both must be of nobody else. */
static int fresh(void)
{
        static volatile int times;
        unsigned char random[16];

        if (getentropy(random, sizeof(random)) != 0)
                return 5;
        printf("%d ", ++times);
        for (size_t i = 0; i < sizeof(random); i++)
                printf("%02x", random[i]);
        puts("");
        return 0;
}

/* Which of the three streams are terminals; no newline, and no end in order, so it is seen only if it was written at once. */
static void streams(void)
{
        printf("%d%d%d", isatty(0), isatty(1), isatty(2));
        fflush(stdout);
        __builtin_trap();
}

/* What malloc gives is touched, so it is there; the compiler must not see through it. */
static int eat(void)
{
        static char *volatile keep;

        for (size_t all = 0;; all += 1 << 20) {
                keep = malloc(1 << 20);
                if (!keep)
                        abort();
                memset(keep, 1, 1 << 20);
        }
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "world";

        if (strcmp(what, "cat") == 0)
                return copy_stdin();
        if (strcmp(what, "write") == 0)
                return write_file(argv[2]);
        if (strcmp(what, "read") == 0)
                return read_file(argv[2]);
        if (strcmp(what, "exit") == 0)
                return atoi(argv[2]);
        if (strcmp(what, "much") == 0)
                return much(atol(argv[2]));
        if (strcmp(what, "clocks") == 0)
                return clocks();
        if (strcmp(what, "fresh") == 0)
                return fresh();
        if (strcmp(what, "streams") == 0)
                streams();
        if (strcmp(what, "trap") == 0)
                __builtin_trap();
        if (strcmp(what, "eat") == 0)
                return eat();
        if (strcmp(what, "sleep") == 0)
                return (int)sleep((unsigned)atoi(argv[2]));
        return show_world(argc, argv);
}
