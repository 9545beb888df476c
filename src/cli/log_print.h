/* SPDX-License-Identifier: Apache-2.0 */
/* Log entries of one or several containers as lines for people: `logs` and the foreground of `up`. */
#pragma once

#include <stdbool.h>

#include "cli/cli.h"

struct zl_log_printer {
        bool color;
        bool times;       /* put the time in front */
        bool json;        /* an object per entry, all to stdout; `name` is a member of it */
        bool split;       /* stderr of the container to our stderr; else all to stdout */
        const char *name; /* put in front of each line; NULL: nothing */
        int width;        /* of the names, so that lines are aligned */
        unsigned index;   /* chooses the colour */
        bool in_line[2];  /* the last entry of this stream was partial */
};

void zl_log_print(struct zl_log_printer *printer, const struct zl_log_entry *entry);
