/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few words of a shell that the contract needs, for backends whose workloads cannot have one: the guest of a
 * WebAssembly runtime (guest.c) and the mock. Statements end with ";":
 *
 *         echo WORDS [>&2]   sleep SECONDS   exec sleep SECONDS   tr a-z A-Z   exit N   true
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct play {
        void (*say)(void *data, int stream, const char *line);
        void (*sleep)(void *data, double seconds);
        void (*upper)(void *data); /* input to output, in capitals */
        void *data;
};

enum { PLAY_UNKNOWN = -2 };

/* One statement. -1: go on; 0 and more: the exit code. */
static inline int play_statement(const struct play *p, char *s)
{
        char *to_errors = strstr(s, " >&2");

        if (strncmp(s, "echo ", 5) == 0) {
                if (to_errors)
                        *to_errors = 0;
                p->say(p->data, to_errors ? 2 : 1, s + 5);
                return -1;
        }
        if (strncmp(s, "sleep ", 6) == 0) {
                p->sleep(p->data, strtod(s + 6, NULL));
                return -1;
        }
        if (strncmp(s, "exec sleep ", 11) == 0) {
                p->sleep(p->data, strtod(s + 11, NULL));
                return 0;
        }
        if (strcmp(s, "tr a-z A-Z") == 0) {
                p->upper(p->data);
                return -1;
        }
        if (strncmp(s, "exit ", 5) == 0)
                return (int)strtol(s + 5, NULL, 10);
        return strcmp(s, "true") == 0 || !*s ? -1 : PLAY_UNKNOWN;
}

/* The exit code, or PLAY_UNKNOWN. Changes `script`. */
static inline int play(const struct play *p, char *script)
{
        int r = -1;

        while (r == -1 && script) {
                char *end = strstr(script, "; ");

                if (end)
                        *end = 0;
                r = play_statement(p, script);
                script = end ? end + 2 : NULL;
        }
        return r == -1 ? 0 : r;
}
