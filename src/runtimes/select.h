/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which runtimes there are and which one "auto" means. One table says for each kind its name, whether it is compiled
 * in, how to find out whether it works here, and how it is made.
 */
#pragma once

#include "runtimes/runtime.h"

/* The options with every default filled in; owns its strings. */
struct zl_runtime_settings {
        char *root_dir, *runtime_dir, *oci_name, *monitor_path;
        bool systemd_cgroup, plain_http;
};
void zl_runtime_settings_done(struct zl_runtime_settings *settings);

/* Fills defaults from the environment (ZLAYER_ROOT_DIR, ZLAYER_RUNTIME_DIR, ZLAYER_MONITOR, ZLAYER_USE_SYSTEMD) and the place
 * of this program. Directories are made absolute. monitor_path is NULL if the program is nowhere to be
 * found. `options` may be NULL. */
int zl_runtime_settings_make(const struct zl_runtime_options *options,
                             struct zl_runtime_settings *ret, struct zl_error *err);

/* Native: 0, or why it cannot work here, in the error (ZL_E_PERMISSION without root, ZL_E_UNSUPPORTED, ZL_E_CONFIGURATION).
 * Changes nothing. */
int zl_native_probe(const struct zl_runtime_options *options, struct zl_error *err);
