/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What "auto" means on each system, as a pure function: from what the runtimes of a machine say about themselves to the ones
 * that are to be used. Nothing of the machine is looked at here, so every system is tested on every other.
 */
#pragma once

#include "runtimes/runtime.h"

enum zl_host_system { ZL_HOST_LINUX, ZL_HOST_MACOS, ZL_HOST_WINDOWS, ZL_HOST_SYSTEM_MAX_ };

/* The system that this program was built for. */
enum zl_host_system zl_host_system(void) _const_;

enum { ZL_SELECTION_MAX = 4 };

/* The first is the primary one; the others, if any, get what it cannot run. */
struct zl_selection {
        enum zl_runtime_kind kinds[ZL_SELECTION_MAX];
        size_t n;
};

/* What is known of one kind; asked for at most once per kind, and only if it matters. `why` (an error that the caller releases) is set if it
 * cannot be used. */
typedef bool (*zl_select_fact)(enum zl_runtime_kind kind, void *data, struct zl_error *why);

/* In the order of the table: the first line whose primary can be used, with those of its delegates that can.
 * ZL_E_CONFIGURATION names all primaries that were tried, and why each cannot. */
int zl_select_auto(enum zl_host_system system, zl_select_fact fact, void *data,
                   struct zl_selection *ret, struct zl_error *err);

/* The operating system that images must be made for to run on a kind here: "linux", "windows", "macos", "wasm". */
const char *zl_runtime_kind_os(enum zl_runtime_kind kind);
