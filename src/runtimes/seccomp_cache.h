/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled seccomp filters, kept on disk by the digest of the profile. Compiling takes milliseconds, and nearly all
 * containers of a machine share one profile.
 */
#pragma once

#include "oci/runtime_config.h"

/* A descriptor (the caller closes it) from which zl_seccomp_program_read_fd() reads the filter of `profile`; made and
 * remembered below <cache_dir> if it is new. Safe for several threads and processes. */
int zl_seccomp_cache_open(const char *cache_dir, const struct zl_oci_seccomp *profile,
                          struct zl_error *err);
