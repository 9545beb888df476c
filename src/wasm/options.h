/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one WebAssembly instance gets: its module, its arguments, its limits and the little of the world that it may
 * see. The same struct is filled by the runtimes, written to the command line of zlayer-wasm, and read from it there, by
 * one table (options.c); a program that runs a module in process fills it by hand.
 *
 * The guest's environment is not part of it: it is the environment of the process that runs it (struct zl_wasm_run,
 * engine.h), because a command line can be read by every user of the machine.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macro.h"

struct zl_wasm_dir {
        char *host, *guest; /* guest: the name under which the program finds it */
        bool readonly;
};

struct zl_wasm_options {
        char *module; /* path of the .wasm or .wat file */
        char *compiled; /* path of the same compiled by zl_wasm_compile(), trusted; NULL: compile now */
        char *argv0; /* NULL: the file's name */
        char **args; /* behind argv0 */
        struct zl_wasm_dir *dirs;
        size_t n_dirs;
        uint64_t memory_max;     /* bytes of linear memory; 0: unlimited */
        uint64_t fuel;           /* 0: unlimited */
        int64_t epoch_nsec;      /* length of a tick; 0: no ticker */
        uint64_t epoch_deadline; /* ticks the guest may run; 0: unlimited */
        int64_t timeout_nsec;    /* how long it may run; 0: unlimited */
        uint64_t ready;          /* instances that are kept ready; 0: it is run once, at once */
        char *reason;            /* file to put the reason of a bad end into, or NULL */
        bool http;               /* outgoing HTTP requests */
        bool network;            /* TCP, UDP and names */
        bool no_args, no_env, no_stdin, no_output;
        bool no_home; /* HOME is the doing of the container, not of the spec */
};

void zl_wasm_options_done(struct zl_wasm_options *options);
#define _cleanup_wasm_options_ _cleanup_(zl_wasm_options_done)

/* 0 or -ENOMEM. */
int zl_wasm_options_add_dir(struct zl_wasm_options *options, const char *host, const char *guest,
                            bool readonly);

/* Appends "--NAME=VALUE"... to `*argv`, then "--", the module and the arguments. 0 or -ENOMEM. */
int zl_wasm_options_to_argv(const struct zl_wasm_options *options, char ***argv);

/* The whole command of an instance inside its container, where the engine is mounted (ZL_WASM_ENGINE_MOUNT): the loader,
 * the program, what it shall do ("run", or "keep" for one with `ready`), the above. An exec repeats it with "run" and other arguments. */
int zl_wasm_command(const struct zl_wasm_options *options, const char *word, char ***argv);
enum { ZL_WASM_COMMAND_WORDS = 5 }; /* so many stand before the options */

/* Reads what the above has written (argv[0] is the first option). ZL_E_INVALID for anything else. `*ret` is to be
 * released by the caller also on failure. */
int zl_wasm_options_from_argv(char *const *argv, struct zl_wasm_options *ret, struct zl_error *err);

/* Names inside an instance's root: the engine's directory, what is in it, and the module in one of two forms. */
#define ZL_WASM_ENGINE_MOUNT "/.zlayer"
#define ZL_WASM_LOADER "ld.so"
#define ZL_WASM_PROGRAM "zlayer-wasm"
#define ZL_WASM_MODULE_MOUNT "/.zlayer-module"
#define ZL_WASM_CODE_MOUNT "/.zlayer-code" /* or a directory in which it is ZL_WASM_CODE */
#define ZL_WASM_CODE "module"
