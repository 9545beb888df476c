/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can this module be run as a program? Asked once, when it is compiled, so that a missing import or a missing start is an error
 * of create with its name, and not an end of the workload that somebody finds in a log.
 *
 * Imports of a module are looked up in a linker that has what we offer, so the answer is the engine's own. A component's
 * imports are interfaces with versions, of which any 0.2 is the same to the engine; they are compared by package.
 */
#include <stdlib.h>
#include <string.h>

#include "wasm/engine_private.h"

static bool name_is(const wasm_name_t *name, const char *text)
{
        return name->size == strlen(text) && memcmp(name->data, text, name->size) == 0;
}

/* ---- modules ------------------------------------------------------------------------------------------ */

static int check_imports(wasmtime_linker_t *linker, wasmtime_context_t *context,
                         const wasm_importtype_vec_t *imports, struct zl_error *err)
{
        for (size_t i = 0; i < imports->size; i++) {
                const wasm_name_t *module = wasm_importtype_module(imports->data[i]);
                const wasm_name_t *name = wasm_importtype_name(imports->data[i]);
                wasmtime_extern_t found;
                int r;

                if (wasmtime_linker_get(linker, context, module->data, module->size, name->data,
                                        name->size, &found)) {
                        wasmtime_extern_delete(&found);
                        continue;
                }
                r = zl_fail(err, ZL_E_INVALID, 0,
                            "the module imports %.*s.%.*s, which is not there", (int)module->size,
                            module->data, (int)name->size, name->data);
                zl_error_hint(err, "WASI preview 1 (wasi_snapshot_preview1) is what modules get");
                return r;
        }
        return 0;
}

static int check_start(const wasmtime_module_t *module, struct zl_error *err)
{
        wasm_exporttype_vec_t exports;
        bool found = false;

        wasmtime_module_exports(module, &exports);
        for (size_t i = 0; i < exports.size && !found; i++) {
                const wasm_name_t *name = wasm_exporttype_name(exports.data[i]);

                found = (name_is(name, "_start") || name_is(name, "main")) &&
                        wasm_externtype_kind(wasm_exporttype_type(exports.data[i])) ==
                                WASM_EXTERN_FUNC;
        }
        wasm_exporttype_vec_delete(&exports);
        return found ? 0
                     : zl_fail(err, ZL_E_INVALID, 0,
                               "the module has no start: it exports neither _start nor main");
}

static int check_module(struct zl_wasm_engine *engine, const struct zl_wasm_unit *unit,
                        struct zl_error *err)
{
        wasmtime_linker_t *linker = wasmtime_linker_new(engine->engine);
        wasmtime_store_t *store = wasmtime_store_new(engine->engine, NULL, NULL);
        wasm_importtype_vec_t imports;
        wasmtime_error_t *e = wasmtime_linker_define_wasi(linker);
        int r;

        wasmtime_module_imports(unit->module, &imports);
        r = e ? zl_wasm_fail(err, ZL_E_INTERNAL, e, "WASI")
              : check_imports(linker, wasmtime_store_context(store), &imports, err);
        wasm_importtype_vec_delete(&imports);
        wasmtime_store_delete(store);
        wasmtime_linker_delete(linker);
        return r < 0 ? r : check_start(unit->module, err);
}

/* ---- components ----------------------------------------------------------------------------------------- */

static bool begins_with(const char *name, size_t len, const char *prefix)
{
        return len >= strlen(prefix) && memcmp(name, prefix, strlen(prefix)) == 0;
}

static int check_interfaces(const wasmtime_component_type_t *type, const wasm_engine_t *engine,
                            struct zl_error *err)
{
        static const char *const offered[] = { "wasi:cli/",    "wasi:clocks/", "wasi:filesystem/",
                                               "wasi:http/",   "wasi:io/",     "wasi:random/",
                                               "wasi:sockets/" };
        size_t n = wasmtime_component_type_import_count(type, engine);

        for (size_t i = 0; i < n; i++) {
                const char *name;
                size_t len;
                wasmtime_component_extern_t *item;
                const char *at;
                bool found = false;
                int r;

                if (!wasmtime_component_type_import_nth(type, engine, i, &name, &len, &item))
                        continue;
                at = memchr(name, '@', len);
                for (size_t j = 0; j < ZL_ARRAY_SIZE(offered) && !found; j++)
                        found = begins_with(name, len, offered[j]) && at &&
                                begins_with(at, len - (size_t)(at - name), "@0.2.");
                r = found ? 0
                          : zl_fail(err, ZL_E_INVALID, 0,
                                    "the component imports %.*s, which is not there", (int)len,
                                    name);
                wasmtime_component_extern_delete(item);
                if (r < 0) {
                        zl_error_hint(err, "the interfaces of WASI 0.2 are what components get");
                        return r;
                }
        }
        return 0;
}

int zl_wasm_find_run(struct zl_wasm_engine *engine, const struct zl_wasm_unit *unit, char **ret,
                     struct zl_error *err)
{
        wasmtime_component_type_t *type = wasmtime_component_type(unit->component);
        size_t n = wasmtime_component_type_export_count(type, engine->engine);
        bool serves_http = false;
        char *found = NULL;
        int r = 0;

        for (size_t i = 0; i < n && !found; i++) {
                const char *name;
                size_t len;
                wasmtime_component_extern_t *item;

                if (!wasmtime_component_type_export_nth(type, engine->engine, i, &name, &len,
                                                        &item))
                        continue;
                if (begins_with(name, len, "wasi:cli/run@0.2."))
                        found = strndup(name, len);
                serves_http |= begins_with(name, len, "wasi:http/incoming-handler@");
                wasmtime_component_extern_delete(item);
        }
        wasmtime_component_type_delete(type);
        if (!found && serves_http) {
                r = zl_fail(err, ZL_E_UNSUPPORTED, 0,
                            "the component answers HTTP requests and is no program to run");
                zl_error_hint(err, "give the service the type wasm_http");
        } else if (!found) {
                r = zl_fail(err, ZL_E_INVALID, 0,
                            "the component has no start: it does not export wasi:cli/run@0.2");
        }
        *ret = found;
        return r;
}

static int check_component(struct zl_wasm_engine *engine, const struct zl_wasm_unit *unit,
                           struct zl_error *err)
{
        _cleanup_free_ char *run = NULL;
        wasmtime_component_type_t *type = wasmtime_component_type(unit->component);
        int r = check_interfaces(type, engine->engine, err);

        wasmtime_component_type_delete(type);
        return r < 0 ? r : zl_wasm_find_run(engine, unit, &run, err);
}

int zl_wasm_unit_check(struct zl_wasm_engine *engine, const struct zl_wasm_unit *unit,
                       struct zl_error *err)
{
        return unit->kind == ZL_WASM_MODULE ? check_module(engine, unit, err)
                                            : check_component(engine, unit, err);
}
