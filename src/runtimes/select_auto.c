/* SPDX-License-Identifier: Apache-2.0 */
/* See select_auto.h: a table of lines, tried in order, one per system and primary runtime. */
#include "runtimes/select_auto.h"

#include "base/buf.h"

/* Kinds that are alternatives stand on lines of their own; kinds that complete each other stand on one line. */
static const struct line {
        enum zl_host_system system;
        enum zl_runtime_kind primary;
        enum zl_runtime_kind delegates[ZL_SELECTION_MAX]; /* up to ZL_RUNTIME_AUTO */
} lines[] = {
        { ZL_HOST_LINUX, ZL_RUNTIME_NATIVE, { ZL_RUNTIME_AUTO } }, /* runs WebAssembly, too */
        { ZL_HOST_LINUX, ZL_RUNTIME_DOCKER, { ZL_RUNTIME_WASM } },
        { ZL_HOST_MACOS, ZL_RUNTIME_SEATBELT, { ZL_RUNTIME_LIBKRUN_VM, ZL_RUNTIME_WASM } },
        { ZL_HOST_MACOS, ZL_RUNTIME_LIBKRUN_VM, { ZL_RUNTIME_WASM } },
        { ZL_HOST_MACOS, ZL_RUNTIME_DOCKER, { ZL_RUNTIME_WASM } },
        { ZL_HOST_WINDOWS, ZL_RUNTIME_HCS, { ZL_RUNTIME_WSL, ZL_RUNTIME_WASM } },
        { ZL_HOST_WINDOWS, ZL_RUNTIME_DOCKER, { ZL_RUNTIME_WASM } },
};

enum zl_host_system zl_host_system(void)
{
#if defined(__APPLE__)
        return ZL_HOST_MACOS;
#elif defined(_WIN32)
        return ZL_HOST_WINDOWS;
#else
        return ZL_HOST_LINUX;
#endif
}

const char *zl_runtime_kind_os(enum zl_runtime_kind kind)
{
        switch (kind) {
        case ZL_RUNTIME_SEATBELT:
                return "macos";
        case ZL_RUNTIME_HCS:
                return "windows";
        case ZL_RUNTIME_WASM:
                return "wasm";
        default:
                return "linux";
        }
}

static void take_line(const struct line *line, zl_select_fact fact, void *data,
                      struct zl_selection *ret)
{
        *ret = (struct zl_selection){ .kinds = { line->primary }, .n = 1 };
        for (size_t i = 0; i < ZL_SELECTION_MAX && line->delegates[i] != ZL_RUNTIME_AUTO; i++) {
                _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

                if (fact(line->delegates[i], data, &why))
                        ret->kinds[ret->n++] = line->delegates[i];
        }
}

int zl_select_auto(enum zl_host_system system, zl_select_fact fact, void *data,
                   struct zl_selection *ret, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf tried = ZL_BUF_INIT(64 << 10);
        _cleanup_error_ struct zl_error first = ZL_ERROR_INIT;
        int r;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(lines); i++) {
                _cleanup_error_ struct zl_error why = ZL_ERROR_INIT;

                if (lines[i].system != system)
                        continue;
                if (fact(lines[i].primary, data, &why)) {
                        take_line(&lines[i], fact, data, ret);
                        return 0;
                }
                zl_buf_putf(&tried, "%s%s: %s", tried.len ? "; " : "",
                            zl_runtime_kind_name(lines[i].primary), zl_error_message(&why));
                if (!zl_error_is_set(&first))
                        zl_error_move(&first, &why);
        }
        r = zl_fail(err, ZL_E_CONFIGURATION, 0, "no runtime can be used here (%s)",
                    tried.data ? tried.data : "none is for this system");
        if (first.hint)
                zl_error_hint(err, "%s", first.hint);
        return r;
}
