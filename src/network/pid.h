/* SPDX-License-Identifier: Apache-2.0 */
/* Processes by number and start time, which together are never used twice; none of it blocks. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* A pidfd, if the process that started then (zl_process_start_time()) still lives; -ESRCH, other negative errnos. */
int zl_pid_open(pid_t pid, uint64_t started);
/* The network namespace of a process of which `pidfd` is, so that a number used again is noticed. */
int zl_pid_netns(pid_t pid, int pidfd);
