/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled seccomp filters, kept on disk by the digest of the profile. Compiling takes milliseconds, and nearly all
 * containers of a machine share one profile.
 */
#pragma once

#include "oci/runtime_config.h"
#include "runtimes/seccomp_profile.h"

struct zl_seccomp_cache;

/* Below the directory `dir`, which is made when it is needed. NULL without memory. Its calls are safe for several threads, and for
 * several processes that have opened the same directory. */
struct zl_seccomp_cache *zl_seccomp_cache_new(const char *dir);
void zl_seccomp_cache_free(struct zl_seccomp_cache *cache); /* NULL is allowed */

/* A descriptor (the caller closes it) from which zl_seccomp_program_read_fd() reads the filter of `profile`; compiled if it is
 * new. */
int zl_seccomp_cache_open(struct zl_seccomp_cache *cache, const struct zl_oci_seccomp *profile,
                          struct zl_error *err);
/* The same for the built-in profile, which is not even made if these facts were seen before. */
int zl_seccomp_cache_open_builtin(struct zl_seccomp_cache *cache,
                                  const struct zl_seccomp_facts *facts, struct zl_error *err);
/* Gives the filter of such a descriptor a name of its own, which stays when the cache is wiped. 0 or a negative errno. */
int zl_seccomp_cache_keep(int fd, int dir_fd, const char *name);
