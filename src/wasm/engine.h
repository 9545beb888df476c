/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasmtime behind a few calls: an engine, compiling, running. The only files that know its C interface are check.c,
 * engine.c and run.c; only zlayer-wasm and the plugin of the library link them.
 *
 * Thread safety: an engine may be used by several threads, each call of zl_wasm_run() makes a store of its own.
 */
#pragma once

#include <sys/types.h>

#include "wasm/options.h"

struct zl_wasm_engine;

enum zl_wasm_code { ZL_WASM_MODULE = 1, ZL_WASM_COMPONENT = 2 };

struct zl_wasm_engine_options {
        bool fuel;     /* counted by the code that is compiled */
        bool parallel; /* threads compile */
        /* Instances whose memory is reserved in advance, and how much each can have; 0: mapped for each. */
        uint32_t pool;
        uint64_t pool_memory; /* bytes; 0: 4 GiB */
};
int zl_wasm_engine_new(const struct zl_wasm_engine_options *options, struct zl_wasm_engine **ret,
                       struct zl_error *err);
void zl_wasm_engine_free(struct zl_wasm_engine *engine); /* NULL is allowed */
ZL_DEFINE_CLEANUP(struct zl_wasm_engine *, zl_wasm_engine_freep, zl_wasm_engine_free)

/* Advances the epoch: every running instance of the engine looks at its deadline at its next loop or call. May be called
 * from any thread and from a signal handler. */
void zl_wasm_engine_tick(struct zl_wasm_engine *engine);

/* ---- code -------------------------------------------------------------------------------------------- */

struct zl_wasm_unit; /* compiled code, ready to be instantiated any number of times */

/* From the bytes of a module or a component, binary or text. ZL_E_INVALID, with the place, if they are not valid. */
int zl_wasm_unit_compile(struct zl_wasm_engine *engine, const void *bytes, size_t len,
                         struct zl_wasm_unit **ret, struct zl_error *err);
/* From a file that zl_wasm_unit_serialize() has made. It is machine code that will run: whoever can write
 * it can do anything. ZL_E_CORRUPT if it is of another version, machine or configuration. */
int zl_wasm_unit_load(struct zl_wasm_engine *engine, const char *path, struct zl_wasm_unit **ret,
                      struct zl_error *err);
/* The machine code; the caller frees it. */
int zl_wasm_unit_serialize(const struct zl_wasm_unit *unit, char **ret, size_t *ret_len,
                           struct zl_error *err);
/* Can it be run as a program: has it a start, is all that it imports there? Else ZL_E_INVALID, or ZL_E_UNSUPPORTED for HTTP
 * components, which are served and not run. */
int zl_wasm_unit_check(struct zl_wasm_engine *engine, const struct zl_wasm_unit *unit,
                       struct zl_error *err);
/* Looks its imports up once and for all: for who runs it many times. Else each run does it. */
int zl_wasm_unit_link(struct zl_wasm_engine *engine, struct zl_wasm_unit *unit,
                      struct zl_error *err);
void zl_wasm_unit_free(struct zl_wasm_unit *unit);
ZL_DEFINE_CLEANUP(struct zl_wasm_unit *, zl_wasm_unit_freep, zl_wasm_unit_free)

/* ---- running ------------------------------------------------------------------------------------------ */

/* How it ended. */
struct zl_wasm_result {
        int code;      /* exit code; 134 for a trap */
        bool trapped;  /* ended by the engine and not by itself */
        bool oom;      /* ... when it had used up its memory */
        int interrupt; /* ... because *options->interrupt was set: its value */
        bool out_of_fuel, out_of_time;
        char *reason;    /* what is to be said about a trap, one line; NULL: nothing */
        char *backtrace; /* of the guest, several lines, or NULL */
};
void zl_wasm_result_done(struct zl_wasm_result *result);

/* Where the guest's output goes: all of it must be taken; negative errno if that is impossible. */
typedef ssize_t zl_wasm_output(void *data, int stream, const void *bytes, size_t len);

struct zl_wasm_run {
        const struct zl_wasm_options *options;
        char *const *env;       /* NAME=VALUE; may be NULL */
        zl_wasm_output *output; /* NULL: descriptors 1 and 2 */
        void *output_data;      /* its first argument */
        const volatile int *
                interrupt; /* looked at whenever the epoch advances; not 0 ends the guest; or NULL */
        int64_t deadline;  /* the same for this time of the monotonic clock in nsec; 0: none */
};

/* Runs to the end; blocks. Negative only if it could not be started; how it went is in the result. */
int zl_wasm_run_unit(struct zl_wasm_engine *engine, const struct zl_wasm_unit *unit,
                     const struct zl_wasm_run *run, struct zl_wasm_result *ret,
                     struct zl_error *err);
