/* SPDX-License-Identifier: Apache-2.0 */
/* What check.c, engine.c and run.c share. */
#pragma once

#include <wasi.h>
#include <wasm.h>
#include <wasmtime.h>

#include "wasm/engine.h"

struct zl_wasm_engine {
        wasm_engine_t *engine;
        bool fuel;
};

struct zl_wasm_unit {
        enum zl_wasm_code kind;
        wasmtime_module_t *module;       /* ZL_WASM_MODULE */
        wasmtime_instance_pre_t *linked; /* the same with its imports, or NULL */
        wasmtime_component_t *component; /* ZL_WASM_COMPONENT */
};

/* Fills `err` from an error of the engine, which is freed; "WHAT: its text". Returns the negative errno. */
int zl_wasm_fail(struct zl_error *err, enum zl_code code, wasmtime_error_t *e, const char *what);
/* The text of an error as a C string; NULL without memory. */
char *zl_wasm_error_text(const wasmtime_error_t *e);

/* Finds unit->run_export; ZL_E_INVALID or ZL_E_UNSUPPORTED if there is none. */
int zl_wasm_find_run(struct zl_wasm_engine *engine, const struct zl_wasm_unit *unit, char **ret,
                     struct zl_error *err);
