/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of ours in a program that may be somebody else's. */
#pragma once

#include <pthread.h>

/* Starts a thread that no signal is ever delivered to: signals are the program's, and are handled where it wants that. 0 or a negative errno;
 * the caller joins or detaches it. */
int zl_thread_start(pthread_t *ret, void *(*run)(void *data), void *data);
