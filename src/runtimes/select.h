/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which runtimes there are and which one "auto" means. One table says for each kind its name, whether it is compiled
 * in, how to find out whether it works here, and how it is made.
 */
#pragma once

#include "runtimes/runtime.h"

/* The options with every default filled in; owns its strings. */
struct zl_runtime_settings {
        char *root_dir, *runtime_dir, *oci_name, *monitor_path, *docker_host;
        char *wasm_cache_dir;
        int64_t wasm_max_execution_nsec; /* 0: no limit */
        bool wasm_spare, monitor_spare;
        bool systemd_cgroup, plain_http;
};
void zl_runtime_settings_done(struct zl_runtime_settings *settings);

/* Fills defaults from the environment (ZLAYER_ROOT_DIR, ZLAYER_RUNTIME_DIR, ZLAYER_MONITOR, ZLAYER_USE_SYSTEMD, ZLAYER_WASM_…) and the place
 * of this program. Directories are made absolute. monitor_path is NULL if the program is nowhere to be
 * found. `options` may be NULL. */
int zl_runtime_settings_make(const struct zl_runtime_options *options,
                             struct zl_runtime_settings *ret, struct zl_error *err);

/* Native: 0, or why it cannot work here, in the error (ZL_E_PERMISSION without root, ZL_E_UNSUPPORTED, ZL_E_CONFIGURATION).
 * Changes nothing. */
int zl_native_probe(const struct zl_runtime_options *options, struct zl_error *err);
/* Docker: the same; `*ret_version` (may be NULL), freed by the caller: of the engine, or NULL if it tells none. */
int zl_docker_probe(const struct zl_runtime_options *options, char **ret_version,
                    struct zl_error *err);

/* External OCI runtimes: the absolute path of a program that is named or given as a path; the caller frees it. With NULL: the first of
 * the usual ones that is installed. ZL_E_CONFIGURATION. */
int zl_oci_find(const char *name, char **ret, struct zl_error *err);
/* zlayer-monitor-oci beside `monitor` (may be NULL), or NULL; the caller frees it. */
char *zl_oci_monitor(const char *monitor);
/* As zl_native_probe(), and asks the program for its features; `*ret_version` (may be NULL): what it calls itself. */
int zl_wasm_probe(const struct zl_runtime_options *options, char **ret_version,
                  struct zl_error *err);
int zl_oci_probe(const struct zl_runtime_options *options, char **ret_version,
                 struct zl_error *err);

/* The path of a program or library of ours: beside this program, beside this library, in the libexec directory. NULL if it
 * is in none of them; the caller frees it. */
char *zl_find_installed(const char *name);
