/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User namespaces: which one we are in, and writing the id maps of a new one, by whoever may.
 *
 * How to use it:
 *
 *         struct zl_userns_maps maps = { uid, n_uid, gid, n_gid };
 *         pid = clone with CLONE_NEWUSER; the child waits
 *         r = zl_userns_write_maps(pid, &maps, err);          // then tell the child to go on
 *
 * Three ways, chosen for uids and gids apart:
 *   - with CAP_SETUID (CAP_SETGID) in our own user namespace the map is written as it is; that is root, also root of a user namespace;
 *   - without, a map of one id onto our own effective one is written, too; for gids setgroups(2) is then denied for good in the new
 *     namespace (zl_userns_denies_groups() tells that before anything is made);
 *   - any other map needs newuidmap(1) (newgidmap), which grants what /etc/subuid (/etc/subgid) says. It is looked for in the
 *     directories of the system alone, never in $PATH, and gets no environment.
 *
 * Without privileges the child must stay dumpable until its maps are written: the files of one that is not belong to the machine's
 * root, and newuidmap refuses it, too (zl_userns_must_show()). Afterwards it should hide (prctl(PR_SET_DUMPABLE, 0)).
 *
 * No state; any thread. Reading /proc and /etc; zl_userns_write_maps() blocks for as long as the helper runs (milliseconds).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/runtime_config.h"

/* Ids inside, ids outside (in our own user namespace), how many. Not owned. */
struct zl_userns_maps {
        const struct zl_oci_id_map *uids;
        size_t n_uids;
        const struct zl_oci_id_map *gids;
        size_t n_gids;
};

/* Is it effective, in the user namespace that we are in? */
bool zl_userns_has_capability(int capability);
/* Is setgroups(2) denied where we are, and so in whatever namespace we make? */
bool zl_userns_is_without_groups(void);

/* Will zl_userns_write_maps() deny setgroups(2), or is it denied already? */
bool zl_userns_denies_groups(const struct zl_userns_maps *maps);
/* Must the child be dumpable while the maps are written? */
bool zl_userns_must_show(void);

/* Writes both maps of the user namespace of `pid`, a child of ours that was not waited for. ZL_E_PERMISSION, ZL_E_CONFIGURATION: not
 * allowed, or the helper is missing; the message has what the helper said. After a failure one of the maps may be written. */
int zl_userns_write_maps(pid_t pid, const struct zl_userns_maps *maps, struct zl_error *err);

/*
 * The largest maps that we may have: all ids of our own namespace with CAP_SETUID and CAP_SETGID; without, 0 for us and 1 … for what the
 * files of subordinate ids give us, or 0 alone where these or the helpers are missing. `storage` has room for ZL_USERNS_OWN_MAX maps and must
 * outlive `ret`.
 */
enum { ZL_USERNS_OWN_MAX = 32 };
int zl_userns_own_maps(struct zl_oci_id_map storage[ZL_USERNS_OWN_MAX], struct zl_userns_maps *ret,
                       struct zl_error *err);

/* The text of a map as the kernel reads it; the caller frees. NULL without memory. */
char *zl_userns_map_text(const struct zl_oci_id_map *maps, size_t n);
