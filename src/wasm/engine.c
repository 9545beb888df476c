/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine, code, and what an error of wasmtime becomes. Everything that decides what the compiled code looks like is set
 * here and counts in the key of the cache (cache.c, SETTINGS): change one, change the other.
 *
 * Epochs are always compiled in: they are how a guest that never calls out is interrupted, and cost a load and a compare per
 * loop. Fuel costs more and is compiled in where it is asked for.
 */
#include "wasm/engine_private.h"

#include <stdlib.h>
#include <string.h>

enum { STACK_BYTES = 1 << 20 };

/* ---- errors ----------------------------------------------------------------------------------------- */

char *zl_wasm_error_text(const wasmtime_error_t *e)
{
        wasm_name_t text = { 0 };
        char *s;

        wasmtime_error_message(e, &text);
        s = strndup(text.data ? text.data : "", text.size);
        wasm_byte_vec_delete(&text);
        return s;
}

int zl_wasm_fail(struct zl_error *err, enum zl_code code, wasmtime_error_t *e, const char *what)
{
        _cleanup_free_ char *text = zl_wasm_error_text(e);

        wasmtime_error_delete(e);
        /* "caused by" chains have a line each. */
        for (char *nl = text; nl && (nl = strchr(nl, '\n'));)
                *nl = ' ';
        return text ? zl_fail(err, code, 0, "%s: %s", what, text) : zl_fail_oom(err);
}

/* ---- engine ----------------------------------------------------------------------------------------- */

/* Memory that a guest has touched is wiped up to this size and given back beyond it. */
#define POOL_KEPT (256 << 10)

static void set_pool(wasm_config_t *config, const struct zl_wasm_engine_options *o)
{
        wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();

        wasmtime_pooling_allocation_config_total_core_instances_set(pool, o->pool);
        wasmtime_pooling_allocation_config_total_component_instances_set(pool, o->pool);
        wasmtime_pooling_allocation_config_total_memories_set(pool, o->pool);
        wasmtime_pooling_allocation_config_total_tables_set(pool, o->pool);
        wasmtime_pooling_allocation_config_total_stacks_set(pool, o->pool);
        if (o->pool_memory) {
                wasmtime_pooling_allocation_config_max_memory_size_set(pool, o->pool_memory);
                wasmtime_config_memory_reservation_set(config, o->pool_memory);
        }
        wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool, POOL_KEPT);
        wasmtime_pooling_allocation_config_table_keep_resident_set(pool, POOL_KEPT);
        wasmtime_pooling_allocation_strategy_set(config, pool);
        wasmtime_pooling_allocation_config_delete(pool);
}

int zl_wasm_engine_new(const struct zl_wasm_engine_options *o, struct zl_wasm_engine **ret,
                       struct zl_error *err)
{
        struct zl_wasm_engine *engine = calloc(1, sizeof(*engine));
        wasm_config_t *config = engine ? wasm_config_new() : NULL;

        if (!config) {
                free(engine);
                return zl_fail_oom(err);
        }
        wasmtime_config_epoch_interruption_set(config, true);
        wasmtime_config_consume_fuel_set(config, o->fuel);
        wasmtime_config_max_wasm_stack_set(config, STACK_BYTES);
        wasmtime_config_wasm_component_model_set(config, true);
        wasmtime_config_native_unwind_info_set(config, false);
        wasmtime_config_parallel_compilation_set(config, o->parallel);
        if (o->pool)
                set_pool(config, o);
        /* The engine takes the configuration. */
        engine->engine = wasm_engine_new_with_config(config);
        if (!engine->engine) {
                free(engine);
                return zl_fail(err, ZL_E_INTERNAL, 0, "wasmtime refuses its configuration");
        }
        engine->fuel = o->fuel;
        *ret = engine;
        return 0;
}

void zl_wasm_engine_free(struct zl_wasm_engine *engine)
{
        if (!engine)
                return;
        wasm_engine_delete(engine->engine);
        free(engine);
}

void zl_wasm_engine_tick(struct zl_wasm_engine *engine)
{
        wasmtime_engine_increment_epoch(engine->engine);
}

/* ---- code -------------------------------------------------------------------------------------------- */

void zl_wasm_unit_free(struct zl_wasm_unit *unit)
{
        if (!unit)
                return;
        if (unit->linked)
                wasmtime_instance_pre_delete(unit->linked);
        if (unit->module)
                wasmtime_module_delete(unit->module);
        if (unit->component)
                wasmtime_component_delete(unit->component);
        free(unit);
}

static bool is_binary(const char *bytes, size_t len)
{
        return len >= 4 && memcmp(bytes, "\0asm", 4) == 0;
}

/* "\0asm", version, layer: 1 0 is a module, 0d 0 1 0 a component of this time. */
static int kind_of(const char *bytes, size_t len, enum zl_wasm_code *ret, struct zl_error *err)
{
        if (len < 8)
                return zl_fail(err, ZL_E_INVALID, 0, "the module is cut off after %zu bytes", len);
        if (memcmp(bytes + 4, "\1\0\0\0", 4) == 0)
                *ret = ZL_WASM_MODULE;
        else if (memcmp(bytes + 4, "\x0d\0\1\0", 4) == 0)
                *ret = ZL_WASM_COMPONENT;
        else
                return zl_fail(err, ZL_E_INVALID, 0,
                               "WebAssembly of version %02x %02x %02x %02x is not known",
                               (unsigned char)bytes[4], (unsigned char)bytes[5],
                               (unsigned char)bytes[6], (unsigned char)bytes[7]);
        return 0;
}

static int compile_binary(struct zl_wasm_engine *engine, const char *bytes, size_t len,
                          struct zl_wasm_unit *unit, struct zl_error *err)
{
        wasmtime_error_t *e;
        int r = kind_of(bytes, len, &unit->kind, err);

        if (r < 0)
                return r;
        e = unit->kind == ZL_WASM_MODULE
                    ? wasmtime_module_new(engine->engine, (const uint8_t *)bytes, len,
                                          &unit->module)
                    : wasmtime_component_new(engine->engine, (const uint8_t *)bytes, len,
                                             &unit->component);
        return e ? zl_wasm_fail(err, ZL_E_INVALID, e, "not valid WebAssembly") : 0;
}

int zl_wasm_unit_compile(struct zl_wasm_engine *engine, const void *bytes, size_t len,
                         struct zl_wasm_unit **ret, struct zl_error *err)
{
        _cleanup_(zl_wasm_unit_freep) struct zl_wasm_unit *unit = calloc(1, sizeof(*unit));
        wasm_byte_vec_t binary = { 0 };
        int r;

        if (!unit)
                return zl_fail_oom(err);
        if (len == 0)
                return zl_fail(err, ZL_E_INVALID, 0, "the module is empty");
        if (is_binary(bytes, len)) {
                r = compile_binary(engine, bytes, len, unit, err);
        } else if (memchr(bytes, 0, len)) {
                r = zl_fail(err, ZL_E_INVALID, 0, "this is neither WebAssembly nor its text form");
        } else {
                wasmtime_error_t *e = wasmtime_wat2wasm(bytes, len, &binary);

                r = e ? zl_wasm_fail(err, ZL_E_INVALID, e,
                                     "this is neither WebAssembly nor its text form")
                      : compile_binary(engine, binary.data, binary.size, unit, err);
                if (!e)
                        wasm_byte_vec_delete(&binary);
        }
        if (r == 0)
                *ret = zl_take_ptr(unit);
        return r;
}

int zl_wasm_unit_load(struct zl_wasm_engine *engine, const char *path, struct zl_wasm_unit **ret,
                      struct zl_error *err)
{
        _cleanup_(zl_wasm_unit_freep) struct zl_wasm_unit *unit = calloc(1, sizeof(*unit));
        wasmtime_error_t *e, *second;

        if (!unit)
                return zl_fail_oom(err);
        /* The file itself says which it is; the wrong reader refuses it at its header. */
        unit->kind = ZL_WASM_MODULE;
        e = wasmtime_module_deserialize_file(engine->engine, path, &unit->module);
        if (e) {
                unit->kind = ZL_WASM_COMPONENT;
                second = wasmtime_component_deserialize_file(engine->engine, path,
                                                             &unit->component);
                if (second) {
                        wasmtime_error_delete(second);
                        return zl_wasm_fail(err, ZL_E_CORRUPT, e, "not compiled for this engine");
                }
                wasmtime_error_delete(e);
        }
        *ret = zl_take_ptr(unit);
        return 0;
}

int zl_wasm_unit_serialize(const struct zl_wasm_unit *unit, char **ret, size_t *ret_len,
                           struct zl_error *err)
{
        wasm_byte_vec_t code = { 0 };
        wasmtime_error_t *e = unit->kind == ZL_WASM_MODULE
                                      ? wasmtime_module_serialize(unit->module, &code)
                                      : wasmtime_component_serialize(unit->component, &code);

        if (e)
                return zl_wasm_fail(err, ZL_E_INTERNAL, e, "cannot write the compiled module");
        *ret = malloc(code.size + 1);
        if (*ret)
                memcpy(*ret, code.data, code.size);
        *ret_len = code.size;
        wasm_byte_vec_delete(&code);
        return *ret ? 0 : zl_fail_oom(err);
}

int zl_wasm_unit_link(struct zl_wasm_engine *engine, struct zl_wasm_unit *unit,
                      struct zl_error *err)
{
        wasmtime_linker_t *linker;
        wasmtime_error_t *e;

        if (unit->kind != ZL_WASM_MODULE || unit->linked)
                return 0;
        linker = wasmtime_linker_new(engine->engine);
        e = wasmtime_linker_define_wasi(linker);
        if (!e)
                e = wasmtime_linker_instantiate_pre(linker, unit->module, &unit->linked);
        wasmtime_linker_delete(linker);
        return e ? zl_wasm_fail(err, ZL_E_INVALID, e, "the module cannot be started") : 0;
}
