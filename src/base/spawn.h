/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a program of ours that outlives us. */
#pragma once

#include <sys/types.h>

enum { ZL_SPAWN_FD = 3 };

/* Runs a program with a session of its own, default signals, none blocked, and of our descriptors only `fd`, as ZL_SPAWN_FD, beside
 * 0, 1 and 2. Returns when it runs, or a negative errno when it cannot be run. The caller waits for `*ret_pid`. Any thread. */
int zl_spawn_detached(const char *program, char *const *argv, char *const *env, int fd,
                      pid_t *ret_pid);
