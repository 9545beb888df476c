/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libzlayer-wasm.so shows to libzlayer: the functions of <zlayer/wasm.h> under other names. Both are built from one tree and
 * installed together; the name of the first function carries a number that changes with the structs.
 */
#pragma once

#include <zlayer/wasm.h>

#define ZL_WASM_PLUGIN_FUNCTIONS(X)                                                                \
        X(open_1, int,                                                                             \
          (const struct zl_wasm_library_options *, struct zl_wasm_library **, struct zl_error *))  \
        X(close, void, (struct zl_wasm_library *))                                                 \
        X(module, int,                                                                             \
          (struct zl_wasm_library *, const void *, size_t, struct zl_wasm_module **,               \
           struct zl_error *))                                                                     \
        X(module_free, void, (struct zl_wasm_module *))                                            \
        X(run, int,                                                                                \
          (struct zl_wasm_module *, const struct zl_wasm_call *, struct zl_wasm_outcome *,         \
           struct zl_error *))                                                                     \
        X(interrupt, void, (struct zl_wasm_library *))

#define ZL_WASM_PLUGIN_LIBRARY "libzlayer-wasm.so"
