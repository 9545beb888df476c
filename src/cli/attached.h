/* SPDX-License-Identifier: Apache-2.0 */
/* The foreground of `run`: our streams, terminal and signals joined to those of a workload until it has ended. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zlayer/runtime.h>

#include "base/error.h"

struct zl_attached {
        struct zl_runtime *rt;
        const char *name;
        struct zl_attach *attach; /* opened before the start, so nothing is missed */
        struct zl_watch *watch;   /* tells the end */
        bool input;               /* pass our standard input on */
        bool tty;
        bool visiting; /* it ran before us: the end of our input is not that of its own, and ^P ^Q on our terminal leaves it alone */
        bool signals;  /* pass them on; otherwise INT, TERM and HUP leave it alone */
        int64_t timeout; /* stop it after this span; negative: never */
};

/* Blocks until the workload has ended and all its output is written; fills `*ret` (release it) and returns 0. 1: it was left alone. Our terminal is restored
 * in every case. zl_foreground_prepare() must have been called before the start. */
int zl_attached_run(const struct zl_attached *attached, struct zl_status *ret,
                    struct zl_error *err);
