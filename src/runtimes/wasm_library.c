/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <zlayer/wasm.h>: loads libzlayer-wasm.so, which has the engine, when somebody asks for it, and passes every call on. It is never
 * unloaded: the engine has threads and signal handlers.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/library.h"
#include "runtimes/select.h"
#include "wasm/plugin.h"

static struct {
#define X(name, type, parameters) type(*name) parameters;
        ZL_WASM_PLUGIN_FUNCTIONS(X)
#undef X
} plugin;

static const struct zl_library_function functions[] = {
#define X(name, type, parameters) { "zl_wasm_plugin_" #name, offsetof(__typeof__(plugin), name) },
        ZL_WASM_PLUGIN_FUNCTIONS(X)
#undef X
};

static int load(struct zl_error *err)
{
        static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
        static struct zl_library library = ZL_LIBRARY_INIT(
                ZL_WASM_PLUGIN_LIBRARY, "to run WebAssembly in this process", functions, &plugin);
        const char *named = getenv("ZLAYER_WASM_LIBRARY");
        int r;

        pthread_mutex_lock(&lock);
        if (!library.loaded) {
                _cleanup_free_ char *path = named && *named
                                                    ? strdup(named)
                                                    : zl_find_installed(ZL_WASM_PLUGIN_LIBRARY);

                /* Without a path the dynamic linker's own directories are left. */
                library.soname = path ? path : ZL_WASM_PLUGIN_LIBRARY;
                r = zl_library_load(&library, err);
                library.soname = ZL_WASM_PLUGIN_LIBRARY;
                if (r < 0)
                        zl_error_hint(err,
                                      "build with -Dwasm=enabled; it belongs beside libzlayer or "
                                      "into $ZLAYER_WASM_LIBRARY");
        } else {
                r = 0;
        }
        pthread_mutex_unlock(&lock);
        return r;
}

int zl_wasm_library_open(const struct zl_wasm_library_options *options,
                         struct zl_wasm_library **ret, struct zl_error *err)
{
        static const struct zl_wasm_library_options none;
        int r = load(err);

        return r < 0 ? r : plugin.open_1(options ? options : &none, ret, err);
}

void zl_wasm_library_close(struct zl_wasm_library *library)
{
        if (library)
                plugin.close(library);
}

int zl_wasm_module_new(struct zl_wasm_library *library, const void *bytes, size_t len,
                       struct zl_wasm_module **ret, struct zl_error *err)
{
        return plugin.module(library, bytes, len, ret, err);
}

void zl_wasm_module_free(struct zl_wasm_module *module)
{
        if (module)
                plugin.module_free(module);
}

int zl_wasm_module_run(struct zl_wasm_module *module, const struct zl_wasm_call *call,
                       struct zl_wasm_outcome *ret, struct zl_error *err)
{
        static const struct zl_wasm_call none;

        return plugin.run(module, call ? call : &none, ret, err);
}

void zl_wasm_library_interrupt(struct zl_wasm_library *library)
{
        plugin.interrupt(library);
}

void zl_wasm_outcome_done(struct zl_wasm_outcome *outcome)
{
        free(outcome->reason);
        free(outcome->backtrace);
        *outcome = (struct zl_wasm_outcome){ 0 };
}
