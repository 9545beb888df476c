/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world of a user without privileges: one user namespace for each runtime directory, in which he is root and has the subordinate ids
 * that the machine gives him. Whatever we do for him happens in there.
 */
#pragma once

#include "base/error.h"

/* Makes the world if there is none, enters it and executes this program again inside, so it returns only on failure. Single-threaded
 * callers only. */
#ifdef __linux__
int zl_world_enter(const char *runtime_dir, char **argv, struct zl_error *err);
#else
static inline int zl_world_enter(const char *runtime_dir, char **argv, struct zl_error *err)
{
        return 0; /* no such thing here: as who we are */
}
#endif
