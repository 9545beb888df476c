/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libzlayer-wasm.so: the engine for programs that run guests in their own process (<zlayer/wasm.h>). Thin: what a call asks for
 * becomes the options that zlayer-wasm has, and engine.c and run.c do the rest.
 *
 * Time limits need somebody who advances the epoch: one thread for the library, which is there from the first call with a limit and
 * sleeps while there is none.
 */
#include "wasm/plugin.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"
#include "wasm/engine.h"

#define TICK_NSEC (5 * 1000000L)
enum { EXIT_TIME_UP = 124, EXIT_INTERRUPTED = 137 };

struct zl_wasm_library {
        struct zl_wasm_engine *engine;
        bool fuel;
        pthread_mutex_t lock; /* of all below */
        pthread_cond_t wake;
        pthread_t ticker;
        bool ticking, closing;
        size_t timed; /* calls under way that have a limit */
};

struct zl_wasm_module {
        struct zl_wasm_library *library;
        struct zl_wasm_unit *unit;
};

#define X(name, type, parameters) ZL_PUBLIC type zl_wasm_plugin_##name parameters;
ZL_WASM_PLUGIN_FUNCTIONS(X)
#undef X

/* ---- the library -------------------------------------------------------------------------------------- */

int zl_wasm_plugin_open_1(const struct zl_wasm_library_options *options,
                          struct zl_wasm_library **ret, struct zl_error *err)
{
        struct zl_wasm_library *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return zl_fail_oom(err);
        l->fuel = options->fuel;
        r = zl_wasm_engine_new(
                &(struct zl_wasm_engine_options){ .fuel = options->fuel,
                                                  .parallel = true,
                                                  .pool = options->pool,
                                                  .pool_memory = options->pool_memory },
                &l->engine, err);
        if (r < 0) {
                free(l);
                return r;
        }
        pthread_mutex_init(&l->lock, NULL);
        pthread_cond_init(&l->wake, NULL);
        *ret = l;
        return 0;
}

static void *tick(void *data)
{
        struct zl_wasm_library *l = data;
        const struct timespec nap = { .tv_nsec = TICK_NSEC };

        pthread_mutex_lock(&l->lock);
        while (!l->closing) {
                if (l->timed == 0) {
                        pthread_cond_wait(&l->wake, &l->lock);
                        continue;
                }
                pthread_mutex_unlock(&l->lock);
                nanosleep(&nap, NULL);
                zl_wasm_engine_tick(l->engine);
                pthread_mutex_lock(&l->lock);
        }
        pthread_mutex_unlock(&l->lock);
        return NULL;
}

static int count_timed(struct zl_wasm_library *l, struct zl_error *err)
{
        int r = 0;

        pthread_mutex_lock(&l->lock);
        if (!l->ticking) {
                r = zl_thread_start(&l->ticker, tick, l);
                l->ticking = r == 0;
        }
        if (r == 0) {
                l->timed++;
                pthread_cond_signal(&l->wake);
        }
        pthread_mutex_unlock(&l->lock);
        return r ? zl_fail_errno(err, -r, "cannot make a thread for the time limit") : 0;
}

static void discount_timed(struct zl_wasm_library *l)
{
        pthread_mutex_lock(&l->lock);
        l->timed--;
        pthread_mutex_unlock(&l->lock);
}

void zl_wasm_plugin_close(struct zl_wasm_library *l)
{
        pthread_mutex_lock(&l->lock);
        l->closing = true;
        pthread_cond_signal(&l->wake);
        pthread_mutex_unlock(&l->lock);
        if (l->ticking)
                pthread_join(l->ticker, NULL);
        zl_wasm_engine_free(l->engine);
        pthread_cond_destroy(&l->wake);
        pthread_mutex_destroy(&l->lock);
        free(l);
}

void zl_wasm_plugin_interrupt(struct zl_wasm_library *l)
{
        zl_wasm_engine_tick(l->engine);
}

/* ---- modules -------------------------------------------------------------------------------------------- */

int zl_wasm_plugin_module(struct zl_wasm_library *l, const void *bytes, size_t len,
                          struct zl_wasm_module **ret, struct zl_error *err)
{
        struct zl_wasm_module *m = calloc(1, sizeof(*m));
        int r = m ? zl_wasm_unit_compile(l->engine, bytes, len, &m->unit, err) : zl_fail_oom(err);

        if (r == 0)
                r = zl_wasm_unit_check(l->engine, m->unit, err);
        if (r == 0)
                r = zl_wasm_unit_link(l->engine, m->unit, err);
        if (r < 0) {
                if (m)
                        zl_wasm_unit_free(m->unit);
                free(m);
                return r;
        }
        m->library = l;
        *ret = m;
        return 0;
}

void zl_wasm_plugin_module_free(struct zl_wasm_module *m)
{
        zl_wasm_unit_free(m->unit);
        free(m);
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

/* The options borrow the texts of the call; only the array of directories is its own. */
static int borrow_options(const struct zl_wasm_call *call, struct zl_wasm_options *o,
                          struct zl_error *err)
{
        static char module[] = "module";

        *o = (struct zl_wasm_options){
                .module = module,
                .argv0 = (char *)(uintptr_t)call->argv0,
                .args = (char **)(uintptr_t)call->args,
                .memory_max = call->max_memory,
                .fuel = call->max_fuel,
                .http = call->http,
                .network = call->network,
                .no_stdin = !call->stdin_is_ours,
        };
        if (call->n_directories == 0)
                return 0;
        o->dirs = calloc(call->n_directories, sizeof(*o->dirs));
        if (!o->dirs)
                return zl_fail_oom(err);
        o->n_dirs = call->n_directories;
        for (size_t i = 0; i < o->n_dirs; i++) {
                const struct zl_wasm_directory *d = &call->directories[i];

                o->dirs[i] = (struct zl_wasm_dir){ (char *)(uintptr_t)d->host,
                                                   (char *)(uintptr_t)d->guest, d->readonly };
        }
        return 0;
}

static void take_outcome(struct zl_wasm_result *result, struct zl_wasm_outcome *ret)
{
        *ret = (struct zl_wasm_outcome){
                .exit_code = result->interrupt     ? EXIT_INTERRUPTED
                             : result->out_of_time ? EXIT_TIME_UP
                                                   : result->code,
                .trapped = result->trapped,
                .oom = result->oom,
                .reason = result->reason,
                .backtrace = result->backtrace,
        };
}

int zl_wasm_plugin_run(struct zl_wasm_module *m, const struct zl_wasm_call *call,
                       struct zl_wasm_outcome *ret, struct zl_error *err)
{
        struct zl_wasm_options options;
        struct zl_wasm_result result = { 0 };
        const struct zl_wasm_run run = {
                .options = &options,
                .env = (char *const *)(uintptr_t)call->env,
                .output = call->output,
                .output_data = call->output_data,
                .interrupt = call->interrupt,
                .deadline = call->timeout_nsec > 0 ? zl_now_monotonic() + call->timeout_nsec : 0,
        };
        int r;

        if (call->max_fuel && !m->library->fuel)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "max_fuel needs a library that was opened with fuel");
        r = borrow_options(call, &options, err);
        if (r == 0 && run.deadline)
                r = count_timed(m->library, err);
        if (r == 0) {
                r = zl_wasm_run_unit(m->library->engine, m->unit, &run, &result, err);
                if (run.deadline)
                        discount_timed(m->library);
        }
        free(options.dirs);
        if (r < 0)
                zl_wasm_result_done(&result);
        else
                take_outcome(&result, ret);
        return r;
}
