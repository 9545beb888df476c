/* SPDX-License-Identifier: Apache-2.0 */
/* A WebAssembly file in the place of an image. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Does what stands in the place of an image name a file FILE.wasm or FILE.wat? */
bool zl_run_is_module_file(const char *image);

/* The name under which the file is imported; the caller frees it. ZL_E_NOT_FOUND if there is none. */
int zl_run_module_name(const char *path, char **ret, struct zl_error *err);
