/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebAssembly inside the calling process: for programs that trust the sandbox of the engine and want many short calls. There
 * are no namespaces, no cgroup and no seccomp filter round the guest here, and no pid of its own; a workload of the runtime
 * interface (runtime.h) has all of them.
 *
 * The engine is a library of its own (libzlayer-wasm.so with wasmtime) that the first zl_wasm_library_open() loads; a
 * program that does not call it pays nothing. It is looked for at $ZLAYER_WASM_LIBRARY, beside libzlayer and the program, and
 * in the libexec directory. The engine installs handlers for SIGSEGV, SIGILL, SIGFPE and SIGBUS in the calling process; signals
 * that are not a guest's go on to the handlers that were there before.
 *
 * Threads: a library and a module may be used by several threads at once; each call has an instance of its own.
 * Errors: 0 or a negative errno; the last parameter is filled, unless it is NULL.
 */
#ifndef ZLAYER_WASM_H
#define ZLAYER_WASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <zlayer/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct zl_wasm_library; /* an engine */
struct zl_wasm_module;  /* compiled code */

struct zl_wasm_library_options {
        bool fuel; /* calls may be limited by instructions; all code becomes a little slower */
        /* Instances whose memory is reserved in advance, which makes starting them several times faster; a call beyond that number
         * fails with ZL_E_INTERNAL. 0: memory is mapped for each call. Each takes address space (not memory): pool_memory and guards. */
        uint32_t pool;
        uint64_t
                pool_memory; /* bytes of linear memory an instance of the pool can have; 0: 4 GiB */
};

/* Blocks for milliseconds (loading). `options` may be NULL: all zero. ZL_E_UNSUPPORTED if the engine is not
 * installed. The caller closes. */
ZL_PUBLIC int zl_wasm_library_open(const struct zl_wasm_library_options *options,
                                   struct zl_wasm_library **ret, struct zl_error *err);
/* After all its modules are freed. NULL is allowed. */
ZL_PUBLIC void zl_wasm_library_close(struct zl_wasm_library *library);

/* Compiles a module or a component, binary or text; blocks for as long as that takes, with all processors. The bytes
 * are not needed afterwards. ZL_E_INVALID (with the place) if they are not valid, import what is not there, or have no
 * start; ZL_E_UNSUPPORTED for components that serve HTTP. */
ZL_PUBLIC int zl_wasm_module_new(struct zl_wasm_library *library, const void *bytes, size_t len,
                                 struct zl_wasm_module **ret, struct zl_error *err);
/* After all calls have returned. NULL is allowed. */
ZL_PUBLIC void zl_wasm_module_free(struct zl_wasm_module *module);

struct zl_wasm_directory {
        const char *host, *guest; /* path here, and the name under which the guest finds it */
        bool readonly;
};

/* What one call gets. All zero is a guest with no arguments, no environment, no files and no network, whose standard input is empty
 * and whose output goes to descriptors 1 and 2. Nothing is kept: all may be released after the call. */
struct zl_wasm_call {
        const char *argv0;       /* NULL: "module" */
        const char *const *args; /* behind argv0, NULL-terminated; may be NULL */
        const char *const *env;  /* NAME=VALUE, NULL-terminated; may be NULL */
        const struct zl_wasm_directory *directories;
        size_t n_directories;
        uint64_t max_memory; /* bytes of linear memory; 0: no limit of its own */
        uint64_t max_fuel;   /* instructions; 0: no limit. Needs a library with `fuel` */
        int64_t timeout_nsec; /* how long it may compute; 0: no limit. A guest that waits in a call of the host is not ended. */
        bool http;          /* outgoing HTTP requests (components) */
        bool network;       /* TCP, UDP, names (components) */
        bool stdin_is_ours; /* the guest reads the standard input of this process */
        /* Gets everything the guest writes to `stream` 1 or 2, as it is written: takes all and returns `len`, or a negative errno. Is called
         * from another thread while the call waits. NULL: descriptors 1 and 2. */
        ssize_t (*output)(void *data, int stream, const void *bytes, size_t len);
        void *output_data;
        /* Not 0 ends the guest at its next loop after zl_wasm_library_interrupt(). May be NULL. */
        const volatile int *interrupt;
};

/* How a call ended. */
struct zl_wasm_outcome {
        int exit_code;   /* of the guest; 134 for a trap, 124 out of time, 137 interrupted */
        bool trapped;    /* ended by the engine */
        bool oom;        /* ... because its memory was used up */
        char *reason;    /* one line, or NULL: it ended by itself */
        char *backtrace; /* of the guest, several lines, or NULL */
};
ZL_PUBLIC void zl_wasm_outcome_done(struct zl_wasm_outcome *outcome); /* releases its texts */

/* A new instance, from its start to its end; blocks until then. Negative only if it could not be started: how it ended is in
 * the outcome. `call` may be NULL: all zero. */
ZL_PUBLIC int zl_wasm_module_run(struct zl_wasm_module *module, const struct zl_wasm_call *call,
                                 struct zl_wasm_outcome *ret, struct zl_error *err);

/* Makes all running guests look at `interrupt` of their call. Any thread; async-signal-safe. */
ZL_PUBLIC void zl_wasm_library_interrupt(struct zl_wasm_library *library);

#ifdef __cplusplus
}
#endif

#endif
