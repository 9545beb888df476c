/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WebAssembly workload as a native one: its process is zlayer-wasm, its root holds the engine and nothing else (or the
 * image's files, for images that bring some), and everything else (limits, logs, signals, figures, records) is what any
 * container has.
 */
#pragma once

#include "oci/runtime_config.h"
#include "runtimes/native.h"
#include "wasm/cache.h"
#include "wasm/options.h"

/* Where an instance leaves the reason of a bad end: a directory of the state, and where it is seen inside. */
#define NATIVE_WASM_DIR "wasm"
#define NATIVE_WASM_MOUNT "/.zlayer-end"
/* Of one that was a spare: where its module is, as a link to the entry of the cache. */
#define NATIVE_WASM_CODE_DIR "wasm-code"
/* The program that serves HTTP components, inside. */
#define NATIVE_WASM_SERVER_MOUNT "/.zlayer-serve"

struct native_wasm {
        char *engine; /* directory with zlayer-wasm and its libraries */
        char *source; /* file of the module, compiled or not, to be mounted */
        bool compiled,
                own_root;   /* source is machine code; the image has files, which the guest sees */
        char **args;        /* behind argv0 */
        uint32_t keep_most; /* its process keeps instances ready; so many run at once */
        bool linked;        /* source is linked into the state and not mounted by itself */
        bool spare;         /* its process waits for module and arguments */
        char *server; /* program wasmtime, which is the process of an HTTP component; else NULL */
        struct zl_wasm_options options;
};
void native_wasm_free(struct native_wasm *wasm); /* NULL is allowed */

/* Is it a module, or an image for the platform wasm? */
bool native_wasm_is(const struct zl_image *image);

/* Finds the module, compiles it unless the cache has it, and decides from the spec what the instance may do. ZL_E_CONFIGURATION without
 * zlayer-wasm, ZL_E_INVALID for a bad module or a wish that makes no sense, ZL_E_UNSUPPORTED for what the engine cannot do. */
int native_wasm_prepare(struct native *n, const struct zl_create_options *options,
                        const struct zl_image *image, struct native_wasm **ret,
                        struct zl_error *err);

/* The same for a spare (native_spare.c), of which nothing but the spec is known. */
int native_wasm_prepare_spare(struct native *n, const struct zl_service_spec *spec,
                              struct native_wasm **ret, struct zl_error *err);

/* Turns the configuration of a container into that of the instance: command, mounts, no rights. `state_dir` is the absolute
 * path of the workload's directory, open as `state_fd`. What a later exec needs is put down there. */
int native_wasm_apply(struct native_wasm *wasm, const struct zl_service_spec *spec,
                      const char *state_dir, int state_fd, struct zl_oci_config *config,
                      struct zl_error *err);

/* The same for an HTTP component (native_wasm_http.c): finds the program that serves it and compiles w->source with it. */
struct native_wasm_http {
        const struct zl_service_spec *spec;
        const char *monitor_path, *cache, *digest;
        const struct zl_wasm_patience *patience;
};
int native_wasm_http_prepare(struct native_wasm *wasm, const struct native_wasm_http *how,
                             struct zl_error *err);
/* Its command is appended to `*ret`. 0 or -ENOMEM. */
int native_wasm_http_command(const struct native_wasm *wasm, const struct zl_service_spec *spec,
                             char *const *env, char ***ret);

/* The command of an exec in a wasm workload: another instance with these arguments. 0: it is no wasm workload; 1: `*ret` is
 * the command. */
int native_wasm_exec_argv(int state_fd, char *const *args, char ***ret, struct zl_error *err);

/* Where zlayer-wasm is: 0, or ZL_E_CONFIGURATION with how to get it. `*ret` may be NULL. */
int native_wasm_find_helper(const char *monitor_path, char **ret, struct zl_error *err);
