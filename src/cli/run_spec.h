/* SPDX-License-Identifier: Apache-2.0 */
/* From the options of `run` to the same service spec that a deployment file gives. */
#pragma once

#include <zlayer/spec.h>

#include "cli/cli.h"

struct zl_run_options {
        bool detach, interactive, tty, rm, read_only, privileged, init;
        const char *name, *network, *user, *workdir, *entrypoint, *hostname, *pull;
        char **env, **volumes, **ports, **cap_add, **cap_drop, **tmpfs, **labels, **ulimits,
                **sysctls;
        char **devices, **dns, **add_hosts, **security_opt, **network_aliases;
        const char *stop_signal, *restart;
        struct zl_cli_u64 memory, pids_limit;
        struct zl_cli_double cpus;
        struct zl_cli_i64 timeout, stop_timeout;
};

/* `argv` is the command, NULL-terminated, may be empty. */
int zl_run_spec_build(const struct zl_run_options *options, const char *image, char *const *argv,
                      struct zl_service_spec **ret, struct zl_error *err);
