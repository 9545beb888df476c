/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside a root. After a root directory is opened, nobody uses an absolute path inside it:
 * everything is (root descriptor, relative path, policy). The kernel resolves with openat2(2); where
 * that is missing (or forbidden by ZL_FORBID=openat2) a walk component by component does the same,
 * which is what macOS uses too. In that walk symbolic links are resolved by us, never by the kernel.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

enum zl_path_policy {
        /* A path inside somebody else's root file system: symbolic links, absolute ones and ".." are
         * resolved as if the root were "/". Never leaves the root; never follows magic links of procfs. */
        ZL_PATH_IN_ROOT,
        /* Symbolic links are followed as long as they stay inside: absolute ones and those that climb above
         * the root are refused (-EXDEV). For what comes from outside and has no business out there. */
        ZL_PATH_BENEATH,
        /* A path that must not contain symbolic links at all, nor leave the root (-ELOOP, -EXDEV). */
        ZL_PATH_NO_SYMLINKS,
        /* As NO_SYMLINKS, and must not cross a mount point (-EXDEV). */
        ZL_PATH_NO_MOUNTS,
};

/* openat() with a policy; O_CLOEXEC is added. Leading slashes of `path` are dropped; "" and "." are the
 * root itself. Returns the descriptor or a negative errno. `mode` is for O_CREAT. */
int zl_open_in(int rootfd, const char *path, int flags, mode_t mode, enum zl_path_policy policy);

/* mkdir -p inside a root; opens the last directory (O_PATH) and returns it. Existing components are
 * followed by the policy IN_ROOT, missing ones are created, also those that a link leads to. */
int zl_mkdir_p_in(int rootfd, const char *path, mode_t mode);

/* Opens (O_PATH) the parent directory of `path` by the policy and tells the last component, which is
 * never "", "." or "..": -EINVAL for such paths. `*ret_base` points into `path`, which therefore must not end
 * in slashes. */
int zl_open_parent_in(int rootfd, const char *path, enum zl_path_policy policy,
                      const char **ret_base);

/* "a/b" from "a" and "b"; exactly one slash between; "b" if `a` is empty. NULL without memory. */
char *zl_path_join(const char *a, const char *b);

/* NAME in the directory that the file `path` is in. NULL if `path` is NULL or has no directory, or without memory. */
char *zl_path_beside(const char *path, const char *name);

/* No empty, "." or ".." component, no leading or trailing slash, not empty. */
bool zl_path_is_clean_relative(const char *path) _pure_;
/* Begins with a slash and is clean behind it; "/" is. */
bool zl_path_is_clean_absolute(const char *path) _pure_;
/* One component: not empty, no slash, not "." or "..", at most 255 bytes. */
bool zl_path_is_name(const char *name) _pure_;

/* A lexically clean copy: slashes and "." dropped, ".." removes what is before it and never climbs above
 * "/". The result is absolute. NULL without memory. */
char *zl_path_clean_absolute(const char *path);

/* The first executable file of this name in the absolute directories of $PATH (the system's own if it is not set). NULL if there
 * is none, or without memory. */
char *zl_find_program(const char *name);
