/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping our own program out of the hands of containers. */
#pragma once

#include "base/error.h"

/*
 * Makes the program that is running unwritable through /proc/PID/exe, by executing it again from a read-only mount that is
 * in no mount namespace (5.12), or else from a sealed copy in memory. Call it first thing in main(), before
 * anything is open that must not be lost; it does not return where it had to execute. Returns 0 where nothing is
 * to be done: already protected, the file system is read-only, or we may not write the file ourselves and so nobody in our
 * containers may. A negative errno otherwise. `*ret_fd` is then a descriptor to be closed when there is time, or negative: the
 * protection does not depend on it, but closing it may take milliseconds.
 */
int zl_self_protect(char **argv, int *ret_fd, struct zl_error *err);
