/* SPDX-License-Identifier: Apache-2.0 */
/* The part of zl_container_create() that makes processes out of a checkpoint; for create.c alone. */
#pragma once

#include "container/internal.h"

struct zl_restore {
        const struct zl_criu_settings *settings;
        struct zl_plan *plan;           /* the process's standard descriptors are in it */
        struct zl_container *container; /* with its state directory and group; gets pid and pidfd */
        int report_fd,
                sync_fd; /* two ends of a pair: what fails before criu begins comes out of sync_fd */
        /* criu's own process is there, and waits: the last moment to make the group. May be NULL. */
        int (*on_process)(pid_t pid, void *data, struct zl_error *err);
        int (*on_console)(int fd, void *data,
                          struct zl_error *err); /* takes the master of its terminal */
        void *data;
};

/* On success the processes run. On failure container->pid may be set: the caller ends it. Runs the hooks of the host. Blocks for as long
 * as criu works. */
int zl_container_restore(const struct zl_restore *restore, struct zl_error *err);
