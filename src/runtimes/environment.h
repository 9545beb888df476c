/* SPDX-License-Identifier: Apache-2.0 */
/* Variables that move parts of the root directory elsewhere, and those that ask for what there is not. */
#pragma once

#include "base/error.h"

/* The directory that `variable` names, made absolute, else `name` below `root_dir`; the caller frees it. NULL without memory. */
char *zl_environment_dir(const char *variable, const char *root_dir, const char *name);

/* ZL_E_CONFIGURATION if a variable is set that would have to change something and cannot. */
int zl_environment_check(struct zl_error *err);
