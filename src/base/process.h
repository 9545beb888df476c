/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says about a process, and starting one. Does not block; any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* When it started, in clock ticks since boot; 0 if it is gone. With the number of a process this is never used twice. */
uint64_t zl_process_start_time(pid_t pid);

/* Starts a program that is asked for what it writes: nothing on its standard input, out[0] and out[1] (which may be the same) as output and
 * error, no blocked signals, env NULL for an empty environment. Whatever else is open must be close-on-exec. 0 or a negative errno; the
 * caller waits for *ret. */
int zl_process_ask(const char *path, char *const *args, char *const *env, const int out[2],
                   pid_t *ret);

/* Are we in the user namespace that the machine began with? Also true where there are none. Async-signal-safe. */
bool zl_process_is_in_first_userns(void);
/* The attribute by which overlayfs knows an opaque directory: in other user namespaces than the first, mounts are made with "userxattr", and
 * trusted attributes cannot be set. Async-signal-safe. */
const char *zl_process_opaque_xattr(void);
