/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups as the files of a root directory know them. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

enum { ZL_GROUPS_MAX = 1024 };

/* Names of users inside `root_fd`; async-signal-safe. */
struct zl_user_result {
        uid_t uid;
        gid_t gid;
        gid_t *groups; /* room for ZL_GROUPS_MAX, first n_groups are in use */
        size_t n_groups;
        char home[4096]; /* "" if unknown */
};
int zl_user_lookup(int root_fd, const char *text, struct zl_user_result *ret);
