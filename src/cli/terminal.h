/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The foreground of a command that runs something for the caller: the caller's terminal in raw mode, bytes to and
 * from a pseudo terminal, window size, and signals passed on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct zl_foreground {
        int tty_fd; /* the other end of the workload's terminal; -1: it has our descriptors itself */
        int done_fd;   /* becomes readable when the workload has ended */
        bool no_input; /* do not read our standard input */
        /* Both may be NULL. `on_signal` gets the signals sent to this process that ask for something (TERM, INT, HUP,
         * QUIT, USR1, USR2, CONT …), `on_resize` the size of our terminal whenever it changes. */
        void (*on_signal)(int sig, void *data);
        void (*on_resize)(uint16_t rows, uint16_t cols, void *data);
        void *data;
};

/* Blocks the signals above for this process, so that none is lost between starting a workload and waiting for it.
 * Call before the workload is started; children must unblock them (the engine resets the mask of its children). */
int zl_foreground_prepare(struct zl_error *err);

/* Passes bytes, sizes and signals on until `done_fd` is readable and the terminal's output is read to its end. Restores
 * the caller's terminal in every case. Blocks as long as the workload runs. */
int zl_foreground_run(const struct zl_foreground *fg, struct zl_error *err);

/* Size of the terminal behind `fd`; false if it is none. */
bool zl_terminal_size(int fd, uint16_t *rows, uint16_t *cols);
