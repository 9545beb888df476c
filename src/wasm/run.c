/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One life of an instance: a store with its limits and its view of the world, the start function, and what its end means.
 *
 * What a guest has written is out before it traps. The engine's own streams write a module's output where it is made, and flush it
 * every time. A component flushes when it likes, and what then lies in the engine is lost with the process: its output, and that for a
 * program that embeds us, goes through a callback of ours. That costs a task of the engine's scheduler and two changes of thread
 * for every piece. A callback has to take everything, which write() to a blocking descriptor does.
 *
 * An end by the engine has many forms: an error that carries an exit status is proc_exit(); a trap of a module has a code; a
 * trap of a component is an error with a text. What we caused ourselves (interrupt, time) we know from the callback, before
 * we look at what the engine says about it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/strv.h"
#include "wasm/engine_private.h"

enum { EXIT_TRAP = 134, PAGE = 65536 };

struct stream {
        const struct zl_wasm_run *run;
        int number; /* 1 or 2 */
};

/* One run under way. */
struct instance {
        struct zl_wasm_engine *engine;
        const struct zl_wasm_unit *unit;
        const struct zl_wasm_run *run;
        const struct zl_wasm_options *options;
        struct zl_wasm_result *result;
        wasmtime_store_t *store;
        wasmtime_context_t *context;
        struct stream streams[2];
        uint64_t ticks;
        wasmtime_instance_t core; /* of a module */
        bool has_core;
};

void zl_wasm_result_done(struct zl_wasm_result *result)
{
        free(result->reason);
        free(result->backtrace);
        *result = (struct zl_wasm_result){ 0 };
}

/* ---- the guest's world ------------------------------------------------------------------------------- */

static ptrdiff_t write_output(void *data, const unsigned char *bytes, size_t len)
{
        const struct stream *s = data;
        int r;

        if (s->run->output)
                return s->run->output(s->run->output_data, s->number, bytes, len);
        r = zl_write_full(s->number, bytes, len);
        return r < 0 ? r : (ptrdiff_t)len;
}

/* The engine's own streams take EAGAIN for an error of the guest. */
static bool is_blocking(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return flags >= 0 && !(flags & O_NONBLOCK);
}

static void set_output(struct instance *in, wasi_config_t *wasi)
{
        if (in->options->no_output)
                return;
        if (!in->run->output && in->unit->module && is_blocking(STDOUT_FILENO) &&
            is_blocking(STDERR_FILENO)) {
                wasi_config_inherit_stdout(wasi);
                wasi_config_inherit_stderr(wasi);
                return;
        }
        for (int i = 0; i < 2; i++)
                in->streams[i] = (struct stream){ in->run, i + 1 };
        wasi_config_set_stdout_custom(wasi, write_output, &in->streams[0], NULL);
        wasi_config_set_stderr_custom(wasi, write_output, &in->streams[1], NULL);
}

static int set_args(const struct instance *in, wasi_config_t *wasi, struct zl_error *err)
{
        const struct zl_wasm_options *o = in->options;
        const char *slash = strrchr(o->module ? o->module : "", '/');
        size_t n = o->no_args ? 0 : zl_strv_len(o->args);
        const char **argv = calloc(n + 1, sizeof(*argv));
        bool ok;

        if (!argv)
                return zl_fail_oom(err);
        argv[0] = o->argv0 ? o->argv0 : slash ? slash + 1 : o->module;
        for (size_t i = 0; i < n; i++)
                argv[i + 1] = o->args[i];
        ok = wasi_config_set_argv(wasi, n + 1, argv);
        free(argv);
        return ok ? 0 : zl_fail(err, ZL_E_INVALID, 0, "an argument is not valid UTF-8");
}

static int set_env(const struct instance *in, wasi_config_t *wasi, struct zl_error *err)
{
        size_t n = in->options->no_env ? 0 : zl_strv_len(in->run->env);
        _cleanup_strv_ char **names = NULL;
        const char **values = calloc(n + 1, sizeof(*values));
        int r = values ? 0 : -ENOMEM;

        for (size_t i = 0, all = n; r == 0 && i < all; i++) {
                const char *pair = in->run->env[i], *eq = strchrnul(pair, '=');

                if (in->options->no_home && zl_startswith(pair, "HOME=")) {
                        n--;
                        continue;
                }
                values[zl_strv_len(names)] = *eq ? eq + 1 : eq;
                r = zl_strv_push_take(&names, strndup(pair, (size_t)(eq - pair)));
        }
        if (r < 0)
                r = zl_fail_oom(err);
        else if (n > 0 && !wasi_config_set_env(wasi, n, (const char **)(uintptr_t)names, values))
                r = zl_fail(err, ZL_E_INVALID, 0, "a variable is not valid UTF-8");
        free(values);
        return r;
}

static int set_dirs(const struct instance *in, wasi_config_t *wasi, struct zl_error *err)
{
        for (size_t i = 0; i < in->options->n_dirs; i++) {
                const struct zl_wasm_dir *d = &in->options->dirs[i];

                if (!wasi_config_preopen_dir(wasi, d->host, d->guest, !d->readonly))
                        return zl_fail(err, ZL_E_INVALID, 0,
                                       "%s cannot be opened as the directory %s", d->host,
                                       d->guest);
        }
        return 0;
}

static int make_world(struct instance *in, struct zl_error *err)
{
        wasi_config_t *wasi = wasi_config_new();
        wasmtime_error_t *e;
        int r = set_args(in, wasi, err);

        if (r == 0)
                r = set_env(in, wasi, err);
        if (r == 0)
                r = set_dirs(in, wasi, err);
        if (r < 0) {
                wasi_config_delete(wasi);
                return r;
        }
        if (!in->options->no_stdin)
                wasi_config_inherit_stdin(wasi);
        set_output(in, wasi);
        if (in->options->network) {
                wasi_config_inherit_network(wasi);
                wasi_config_allow_ip_name_lookup(wasi, true);
        }
        e = wasmtime_context_set_wasi(in->context, wasi);
        if (!e && in->options->http)
                wasmtime_context_set_wasi_http(in->context);
        return e ? zl_wasm_fail(err, ZL_E_INTERNAL, e, "cannot set up WASI") : 0;
}

/* ---- limits ---------------------------------------------------------------------------------------------- */

/* The epoch has advanced: a tick has passed, or somebody wants the guest to end. */
static wasmtime_error_t *at_epoch(const wasmtime_context_t *context, void *data, uint64_t *delta,
                                  wasmtime_update_deadline_kind_t *kind)
{
        struct instance *in = data;

        *delta = 1;
        *kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
        if (in->run->interrupt && *in->run->interrupt) {
                in->result->interrupt = *in->run->interrupt;
                return wasmtime_error_new("interrupted");
        }
        in->ticks++;
        if (in->run->deadline && zl_now_monotonic() >= in->run->deadline) {
                in->result->out_of_time = true;
                return wasmtime_error_new("out of time");
        }
        if (in->options->epoch_deadline && in->ticks >= in->options->epoch_deadline) {
                in->result->out_of_time = true;
                return wasmtime_error_new("out of time");
        }
        return NULL;
}

static int set_limits(struct instance *in, struct zl_error *err)
{
        const struct zl_wasm_options *o = in->options;
        wasmtime_error_t *e = NULL;

        if (o->memory_max)
                wasmtime_store_limiter(
                        in->store, o->memory_max > INT64_MAX ? INT64_MAX : (int64_t)o->memory_max,
                        -1, -1, -1, -1);
        wasmtime_context_set_epoch_deadline(in->context, 1);
        wasmtime_store_epoch_deadline_callback(in->store, at_epoch, in, NULL);
        if (in->engine->fuel)
                e = wasmtime_context_set_fuel(in->context, o->fuel ? o->fuel : UINT64_MAX);
        return e ? zl_wasm_fail(err, ZL_E_INTERNAL, e, "cannot set the fuel") : 0;
}

/* ---- how it ended ------------------------------------------------------------------------------------ */

/* Is the guest's memory so full that the next piece would not have fitted? A refused growth is told to the guest alone. */
static bool memory_is_full(const struct instance *in)
{
        wasmtime_extern_t item;
        uint64_t bytes = 0;

        if (!in->options->memory_max || !in->has_core ||
            !wasmtime_instance_export_get(in->context, &in->core, "memory", 6, &item))
                return false;
        if (item.kind == WASMTIME_EXTERN_MEMORY)
                bytes = wasmtime_memory_data_size(in->context, &item.of.memory);
        wasmtime_extern_delete(&item);
        return bytes + PAGE > in->options->memory_max / 4 * 3;
}

/* First line to the reason, the rest (where it happened) to the backtrace. */
static int put_text(struct instance *in, const char *text, size_t len)
{
        struct zl_wasm_result *r = in->result;
        const char *cause = memmem(text, len, "Caused by:", 10);
        size_t end = len;

        while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == 0))
                end--;
        r->backtrace = strndup(text, end);
        if (!r->backtrace)
                return -ENOMEM;
        /* The last line is the cause itself, where there is a chain: "1: wasm trap: ..." */
        if (cause) {
                const char *line = strrchr(r->backtrace, '\n');

                line = line ? line + 1 : r->backtrace;
                line += strspn(line, " 0123456789:");
                r->reason = strdup(line);
        } else {
                r->reason = strndup(r->backtrace, strcspn(r->backtrace, "\n"));
        }
        return r->reason ? 0 : -ENOMEM;
}

static int replace_reason(struct instance *in, const char *text)
{
        free(in->result->reason);
        in->result->reason = strdup(text);
        return in->result->reason ? 0 : -ENOMEM;
}

static int finish_trap(struct instance *in, const char *text, size_t len)
{
        struct zl_wasm_result *r = in->result;
        int result = put_text(in, text, len);

        r->trapped = true;
        r->code = EXIT_TRAP;
        if (result < 0)
                return result;
        /* The engine knows codes up to 125 only and does not tell which other one it was; wasmtime makes 1 of it. */
        if (memmem(text, len, "exit with invalid exit status", 29))
                r->code = EXIT_FAILURE;
        if (r->interrupt)
                return replace_reason(in, "interrupted");
        if (r->out_of_time)
                return replace_reason(in, in->run->deadline
                                                  ? "out of time"
                                                  : "out of time: the epoch deadline has passed");
        r->out_of_fuel = memmem(text, len, "all fuel consumed", 17) != NULL;
        if (r->out_of_fuel)
                return replace_reason(in, "out of fuel: max_fuel is used up");
        r->oom = memory_is_full(in);
        return r->oom ? replace_reason(in, "out of memory: the limit of its memory is reached") : 0;
}

static int finish_error(struct instance *in, wasmtime_error_t *e)
{
        wasm_name_t text = { 0 };
        int status, r = 0;

        if (wasmtime_error_exit_status(e, &status)) {
                in->result->code = status & 0xff;
                if (status != 0 && memory_is_full(in)) {
                        in->result->oom = true;
                        r = replace_reason(in, "out of memory: the limit of its memory is reached");
                }
        } else {
                wasmtime_error_message(e, &text);
                r = finish_trap(in, text.data, text.size);
                wasm_byte_vec_delete(&text);
        }
        wasmtime_error_delete(e);
        return r;
}

static int finish(struct instance *in, wasmtime_error_t *e, wasm_trap_t *trap, struct zl_error *err)
{
        wasm_message_t text = { 0 };
        int r = 0;

        if (e) {
                r = finish_error(in, e);
        } else if (trap) {
                wasm_trap_message(trap, &text);
                r = finish_trap(in, text.data, text.size);
                wasm_byte_vec_delete(&text);
        }
        if (trap)
                wasm_trap_delete(trap);
        return r < 0 ? zl_fail_oom(err) : 0;
}

/* ---- modules ---------------------------------------------------------------------------------------------- */

/* main() may be that of C: two integers, of which a program without them makes nothing. */
static int call(struct instance *in, const wasmtime_func_t *func, struct zl_error *err)
{
        wasm_functype_t *type = wasmtime_func_type(in->context, func);
        size_t n_args = wasm_functype_params(type)->size;
        size_t n_results = wasm_functype_results(type)->size;
        wasmtime_val_t args[2] = { { .kind = WASMTIME_I32 }, { .kind = WASMTIME_I32 } };
        wasmtime_val_t results[1] = { 0 };
        wasm_trap_t *trap = NULL;
        wasmtime_error_t *e;
        int r;

        wasm_functype_delete(type);
        if (n_args > 2 || n_results > 1)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "the start of the module wants %zu arguments and has %zu results",
                               n_args, n_results);
        e = wasmtime_func_call(in->context, func, args, n_args, results, n_results, &trap);
        r = finish(in, e, trap, err);
        if (r == 0 && !e && !in->result->trapped && n_results && results[0].kind == WASMTIME_I32)
                in->result->code = results[0].of.i32 & 0xff;
        return r;
}

static bool find_func(struct instance *in, const char *name, wasmtime_func_t *ret)
{
        wasmtime_extern_t item;
        bool found = wasmtime_instance_export_get(in->context, &in->core, name, strlen(name),
                                                  &item);

        if (!found)
                return false;
        found = item.kind == WASMTIME_EXTERN_FUNC;
        if (found)
                *ret = item.of.func;
        wasmtime_extern_delete(&item);
        return found;
}

static wasmtime_error_t *link_module(struct instance *in, wasm_trap_t **ret_trap)
{
        wasmtime_linker_t *linker = wasmtime_linker_new(in->engine->engine);
        wasmtime_error_t *e = wasmtime_linker_define_wasi(linker);

        if (!e)
                e = wasmtime_linker_instantiate(linker, in->context, in->unit->module, &in->core,
                                                ret_trap);
        wasmtime_linker_delete(linker);
        return e;
}

static int run_module(struct instance *in, struct zl_error *err)
{
        wasm_trap_t *trap = NULL;
        wasmtime_error_t *e;
        wasmtime_func_t func;
        int r = 0;

        e = in->unit->linked ? wasmtime_instance_pre_instantiate(in->unit->linked, in->context,
                                                                 &in->core, &trap)
                             : link_module(in, &trap);
        /* A memory that is larger than its limit from the beginning, an import of another type. */
        if (e)
                return zl_wasm_fail(err, ZL_E_INVALID, e, "the module cannot be started");
        if (trap)
                return finish(in, NULL, trap, err);
        in->has_core = true;
        if (find_func(in, "_initialize", &func) && !find_func(in, "_start", &func)) {
                find_func(in, "_initialize", &func);
                r = call(in, &func, err);
                if (r < 0 || in->result->trapped)
                        return r;
        }
        if (!find_func(in, "_start", &func) && !find_func(in, "main", &func))
                return zl_fail(err, ZL_E_INVALID, 0,
                               "the module has no start: it exports neither _start nor main");
        return call(in, &func, err);
}

/* ---- components ------------------------------------------------------------------------------------------- */

static int find_component_run(struct instance *in, const wasmtime_component_instance_t *instance,
                              wasmtime_component_func_t *ret, struct zl_error *err)
{
        _cleanup_free_ char *name = NULL;
        wasmtime_component_export_index_t *outer, *inner = NULL;
        bool found = false;
        int r = zl_wasm_find_run(in->engine, in->unit, &name, err);

        if (r < 0)
                return r;
        outer = wasmtime_component_instance_get_export_index(instance, in->context, NULL, name,
                                                             strlen(name));
        if (outer)
                inner = wasmtime_component_instance_get_export_index(instance, in->context, outer,
                                                                     "run", 3);
        if (inner)
                found = wasmtime_component_instance_get_func(instance, in->context, inner, ret);
        if (inner)
                wasmtime_component_export_index_delete(inner);
        if (outer)
                wasmtime_component_export_index_delete(outer);
        return found ? 0 : zl_fail(err, ZL_E_INVALID, 0, "%s has no function run", name);
}

static wasmtime_error_t *link_component(struct instance *in, wasmtime_component_linker_t *linker)
{
        wasmtime_error_t *e = wasmtime_component_linker_add_wasip2(linker);

        if (!e && in->options->http)
                e = wasmtime_component_linker_add_wasi_http(linker);
        /* All imports are known by name (zl_wasm_unit_check); what is not granted ends the guest when it is called. */
        if (!e && !in->options->http)
                e = wasmtime_component_linker_define_unknown_imports_as_traps(linker,
                                                                              in->unit->component);
        return e;
}

static int run_component(struct instance *in, struct zl_error *err)
{
        wasmtime_component_linker_t *linker = wasmtime_component_linker_new(in->engine->engine);
        wasmtime_component_instance_t instance;
        wasmtime_component_func_t func;
        wasmtime_component_val_t result = { 0 };
        wasmtime_error_t *e = link_component(in, linker);
        int r;

        if (!e)
                e = wasmtime_component_linker_instantiate(linker, in->context, in->unit->component,
                                                          &instance);
        wasmtime_component_linker_delete(linker);
        if (e)
                return zl_wasm_fail(err, ZL_E_INVALID, e, "the component cannot be started");
        r = find_component_run(in, &instance, &func, err);
        if (r < 0)
                return r;
        e = wasmtime_component_func_call(&func, in->context, NULL, 0, &result, 1);
        if (e)
                return finish(in, e, NULL, err);
        if (result.kind == WASMTIME_COMPONENT_RESULT)
                in->result->code = result.of.result.is_ok ? 0 : 1;
        wasmtime_component_val_delete(&result);
        return 0;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

int zl_wasm_run_unit(struct zl_wasm_engine *engine, const struct zl_wasm_unit *unit,
                     const struct zl_wasm_run *run, struct zl_wasm_result *ret,
                     struct zl_error *err)
{
        struct instance in = {
                .engine = engine,
                .unit = unit,
                .run = run,
                .options = run->options,
                .result = ret,
                .store = wasmtime_store_new(engine->engine, NULL, NULL),
        };
        int r;

        *ret = (struct zl_wasm_result){ 0 };
        if (!in.store)
                return zl_fail_oom(err);
        in.context = wasmtime_store_context(in.store);
        r = set_limits(&in, err);
        /* Whoever wanted the end before the deadline was set has advanced an epoch that nobody counts. */
        if (r == 0 && run->interrupt && *run->interrupt) {
                ret->interrupt = *run->interrupt;
                wasmtime_store_delete(in.store);
                return finish_trap(&in, "interrupted", 11) < 0 ? zl_fail_oom(err) : 0;
        }
        if (r == 0)
                r = make_world(&in, err);
        if (r == 0)
                r = unit->kind == ZL_WASM_MODULE ? run_module(&in, err) : run_component(&in, err);
        wasmtime_store_delete(in.store);
        return r;
}
