/* SPDX-License-Identifier: Apache-2.0 */
/* What a WebAssembly workload of the contract is: `sh -c SCRIPT` with a very small sh. */
#include <ctype.h>
#include <time.h>

#include "play.h"

static void say(void *data, int stream, const char *line)
{
        char text[500];

        (void)data;
        /* In one piece: the engine makes a write of each part. */
        snprintf(text, sizeof(text), "%s\n", line);
        fputs(text, stream == 2 ? stderr : stdout);
        fflush(stdout);
}

static void doze(void *data, double seconds)
{
        struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

        (void)data;
        nanosleep(&t, NULL);
}

static void upper(void *data)
{
        int c;

        (void)data;
        while ((c = getchar()) != EOF)
                putchar(toupper(c));
        fflush(stdout);
}

/* Before the words of the command stands what the engine calls the module. */
int main(int argc, char **argv)
{
        const struct play p = { say, doze, upper, NULL };
        int code = argc > 2 && strcmp(argv[argc - 2], "-c") == 0 ? play(&p, argv[argc - 1])
                                                                 : PLAY_UNKNOWN;

        if (code == PLAY_UNKNOWN)
                fprintf(stderr, "guest: I cannot play this\n");
        return code == PLAY_UNKNOWN ? 99 : code;
}
