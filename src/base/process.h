/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says about a process. Does not block; any thread. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* When it started, in clock ticks since boot; 0 if it is gone. With the number of a process this is never used twice. */
uint64_t zl_process_start_time(pid_t pid);
